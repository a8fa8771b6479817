"""Promise 10 for the programs: settings, arguments, missing migrations, exit codes, several
programs at once.
"""
import os
import re
import socket
import subprocess
import threading

import pytest

from conftest import BUILD
from harness.servers import wait_until

PROGRAMS = ("pgfanout-api", "pgfanout-consumer", "reset-replicas", "pgfanout-migrate")
OK, USAGE, UNREACHABLE, SCHEMA = 0, 2, 3, 4


@pytest.mark.parametrize("name", PROGRAMS)
def test_help_version_check_config(stack, name):
    done = stack.run(name, "--help")
    assert done.returncode == OK and name in done.stdout
    assert "REPLICA_n_URL" in done.stdout and "Exit codes" in done.stdout
    done = stack.run(name, "--version")
    assert done.returncode == OK and re.search(r"\d+\.\d+\.\d+", done.stdout)
    done = stack.run(name, "--check-config")
    assert done.returncode == OK, done.stderr
    assert "REPLICA_1_URL" in done.stdout and "password" not in done.stdout
    done = stack.run(name, "--frobnicate")
    assert done.returncode == USAGE and "frobnicate" in done.stderr


BAD_SETTINGS = [
    ("DATABASE_URL", None, ("pgfanout-api", "reset-replicas", "pgfanout-migrate")),
    ("DATABASE_URL", "mysql://x", ("pgfanout-api", "reset-replicas", "pgfanout-migrate")),
    ("RABBITMQ_URL", None, ("pgfanout-api", "pgfanout-consumer", "reset-replicas")),
    ("RABBITMQ_URL", "http://x", ("pgfanout-api", "pgfanout-consumer", "reset-replicas")),
    ("PORT", "eighty", ("pgfanout-api",)),
    ("PORT", "70000", ("pgfanout-api",)),
    ("CONSUMER_PORT", "-1", ("pgfanout-consumer",)),
    ("READ_BALANCE", "fastest", ("pgfanout-api",)),
    ("MAX_ATTEMPTS", "0", ("pgfanout-consumer",)),
    ("RETRY_DELAY_MS", "soon", ("pgfanout-consumer",)),
    ("LOG_LEVEL", "loud", PROGRAMS),
    ("LOG_FORMAT", "xml", PROGRAMS),
    ("REPLICA_1_NAME", "Not A Name", PROGRAMS),
    ("REPLICA_2_NAME", "replica-1", PROGRAMS),
    ("REPLICA_7_NAME", "orphan", PROGRAMS),
]


@pytest.mark.parametrize("setting,value,programs", BAD_SETTINGS, ids=[f"{s}={v}" for s, v, _ in BAD_SETTINGS])
def test_bad_setting(stack, setting, value, programs):
    for name in programs:
        args = ("up",) if name == "pgfanout-migrate" else ()
        done = stack.run(name, *args, **{setting: value})
        assert done.returncode == USAGE, (name, done.returncode, done.stderr)
        assert setting in done.stderr, (name, done.stderr)
        assert len(done.stderr.strip().splitlines()) == 1, done.stderr
        assert ":password@127" not in done.stderr


def test_no_replicas_at_all(stack):
    for name in PROGRAMS:
        done = stack.run(name, *(("up",) if name == "pgfanout-migrate" else ()), REPLICA_1_URL=None, REPLICA_2_URL=None)
        assert done.returncode == USAGE and "REPLICA_1_URL" in done.stderr, (name, done.stderr)


def test_env_file_fills_in(stack, tmp_path):
    lines = [f"{k}={v}" if n % 2 else f"export {k}='{v}'" for n, (k, v) in enumerate(stack.env.items())]
    (tmp_path / ".env").write_text("# settings\n\n" + "\n".join(lines) + "\n")
    bare = {k: None for k in stack.env}
    done = stack.run("pgfanout-migrate", "status", cwd=tmp_path, **bare)
    assert done.returncode == OK, done.stderr
    done = stack.run("pgfanout-migrate", "status", cwd=tmp_path, **{**bare, "DATABASE_URL": "postgresql://user@127.0.0.1:1/x"})
    assert done.returncode == UNREACHABLE, "the environment must win over .env"
    (tmp_path / ".env").write_text("DATABASE_URL\n")
    done = stack.run("pgfanout-migrate", "status", cwd=tmp_path)
    assert done.returncode == USAGE and ".env, line 1" in done.stderr


def test_unmigrated(bare_stack):
    stack = bare_stack
    done = stack.run("pgfanout-api")
    assert done.returncode == SCHEMA and "pgfanout-migrate up" in done.stderr, done.stderr
    done = stack.run("reset-replicas", "--yes")
    assert done.returncode == SCHEMA and "pgfanout-migrate up" in done.stderr, done.stderr
    assert stack.run("pgfanout-migrate", "status").returncode == SCHEMA
    # The consumer waits for its replicas, and says what for.
    consumer = stack.start_consumer()
    consumer.wait_for_line("pgfanout-migrate up", 20)
    stack.migrate()
    stack.start_api()
    stack.create("after the migration")
    stack.wait_converged()


def test_up_down_up_is_lossless(stack):
    stack.start_api()
    stack.start_consumer()
    ids = [stack.create(f"kept {n}", "1.50")["id"] for n in range(10)]
    stack.delete("/api/products/" + ids[0])
    stack.wait_converged()
    for program in list(stack.programs):
        assert program.stop() == 0
    # A change that nobody has published yet must survive, too.
    stack.sql("primary", "update products set name = 'pending' where id = %s", ids[1])
    rows = {db: stack.rows(db) for db in ("primary", "replica-1", "replica-2")}
    versions = stack.sql("replica-1", "select id::text, version from products order by id")
    for _ in range(3):
        assert stack.migrate("down").returncode == OK
    done = stack.run("pgfanout-migrate", "status")
    assert done.returncode == SCHEMA
    for db, before in rows.items():
        assert stack.rows(db) == before
    for _ in range(2):  # twice: the second finds nothing to do
        assert stack.migrate("up").returncode == OK
    assert stack.run("pgfanout-migrate", "status").returncode == OK
    for db, before in rows.items():
        assert stack.rows(db) == before
    assert stack.sql("replica-1", "select id::text, version from products order by id") == versions
    stack.apis.clear()
    stack.start_api()
    stack.start_consumer()
    stack.wait_converged()
    assert stack.sql("replica-1", "select name from products where id = %s", ids[1]) == [("pending",)]
    stack.put("/api/products/" + ids[2], json={"name": "newer", "price": 1, "stock": 1})
    stack.wait_converged()


def test_two_migrations_at_once(bare_stack):
    results = []
    threads = [threading.Thread(target=lambda: results.append(bare_stack.run("pgfanout-migrate", "up"))) for _ in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert [r.returncode for r in results] == [OK] * 4, [r.stderr for r in results]
    assert bare_stack.run("pgfanout-migrate", "status").returncode == OK


def test_the_same_database_twice_is_refused(stack):
    done = stack.run("pgfanout-migrate", "up", REPLICA_2_URL=stack.env["REPLICA_1_URL"])
    assert done.returncode == USAGE and "replica-2" in done.stderr, done.stderr
    done = stack.run("pgfanout-migrate", "up", REPLICA_1_URL=stack.env["DATABASE_URL"])
    assert done.returncode == USAGE, done.stderr


def test_a_new_replica_of_an_empty_primary(bare_stack):
    """Nothing was ever written, but a relay that does not know the replica is running: what it
    publishes must not be missing there."""
    stack = bare_stack
    second = stack.env.pop("REPLICA_2_URL")
    stack.migrate()
    api = stack.start_api()
    assert "needs a reset" not in stack.migrate("up").stdout
    stack.env["REPLICA_2_URL"] = second
    done = stack.migrate("up")
    assert "needs a reset" not in done.stdout, "its queues were declared, so it misses nothing"
    stack.create("written by an API that does not know replica-2")
    assert api.stop() == 0
    stack.apis.clear()
    stack.start_api()
    stack.start_consumer()
    stack.wait_converged()


def test_a_new_replica_without_a_broker(bare_stack):
    """As above, but the migration cannot declare the queues: then the replica needs a reset."""
    stack = bare_stack
    second = stack.env.pop("REPLICA_2_URL")
    stack.migrate()
    stack.start_api()
    wait_until(lambda: "replica-1" in "".join(stack.queues()), 20, "the relay leads")
    wait_until(lambda: stack.sql("primary", "select count(*) from pg_locks where locktype = 'advisory' and objid = 3 and "
                                 "database = (select oid from pg_database where datname = current_database())") == [(1,)],
               20, "the relay leads")
    stack.env["REPLICA_2_URL"] = second
    done = stack.run("pgfanout-migrate", "up", RABBITMQ_URL="amqp://user:password@127.0.0.1:1")
    assert done.returncode == OK and "replica-2: needs a reset" in done.stdout


def test_a_taken_port(stack):
    with socket.socket() as s:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        s.bind((stack.env["HOST"], int(stack.env["PORT"])))
        s.listen()
        done = stack.run("pgfanout-api")
        assert done.returncode == USAGE and str(stack.env["PORT"]) in done.stderr
    stack.start_api()
    second = stack.run("pgfanout-api")
    assert second.returncode == USAGE, "a second API on the same port must be refused"
    stack.start_consumer()
    second = stack.run("pgfanout-consumer")
    assert second.returncode == USAGE


def test_unreachable_at_migration(stack):
    done = stack.run("pgfanout-migrate", "up", REPLICA_1_URL="postgresql://user:password@127.0.0.1:1/products")
    assert done.returncode == UNREACHABLE and "replica-1" in done.stderr and "password" not in done.stderr


def test_broker_away_writes_go_on_and_flow_again(stack):
    stack.start_api()
    stack.start_consumer()
    stack.create("before")
    stack.wait_converged()
    stack.rabbitmq.kill9()
    ids = [stack.create(f"without a broker {n}")["id"] for n in range(100)]
    assert stack.sql("primary", "select count(*) from pgfanout.outbox where heartbeat is null")[0][0] >= 100
    stack.rabbitmq.start()
    stack.wait_converged(90)
    assert stack.get("/api/products/" + ids[-1]).status_code == 200


def test_broker_alarm_writes_go_on(stack):
    stack.start_api()
    stack.start_consumer()
    stack.create("before")
    stack.wait_converged()
    stack.rabbitmq.memory_alarm()
    try:
        for n in range(300):
            stack.create(f"during the alarm {n}")
    finally:
        stack.rabbitmq.clear_memory_alarm()
    stack.wait_converged(60)


@pytest.mark.parametrize("victim", ["api", "consumer", "both"])
def test_kill_9_at_random_moments(stack, victim):
    """Writers go on while the programs are killed and started again; whatever was answered 2xx is
    on every replica."""
    api, consumer = stack.start_api(), stack.start_consumer()
    acknowledged, stop, base = {}, threading.Event(), api.base

    def write(worker):
        import requests  # pylint: disable=import-outside-toplevel
        session = requests.Session()
        session.trust_env = False
        n = 0
        while not stop.is_set():
            n += 1
            try:
                answer = session.post(base + "/api/products", timeout=10,
                                      json={"name": f"{worker}-{n}", "price": n, "stock": n})
                if answer.status_code == 201:
                    acknowledged[answer.json()["data"]["id"]] = f"{worker}-{n}"
            except requests.RequestException:
                stop.wait(0.02)
    threads = [threading.Thread(target=write, args=(w,)) for w in range(6)]
    for t in threads:
        t.start()
    for _ in range(4):
        stop.wait(0.7)
        if victim in ("consumer", "both"):
            consumer.kill9()
        if victim in ("api", "both"):
            api.kill9()
            stack.apis.remove(api)
            api = stack.start_api(PORT=stack.env["PORT"])
        if victim in ("consumer", "both"):
            consumer = stack.start_consumer(CONSUMER_PORT=stack.env["CONSUMER_PORT"])
    stop.wait(0.5)
    stop.set()
    for t in threads:
        t.join()
    assert len(acknowledged) > 50
    stack.wait_converged(90)
    for db in ("primary", "replica-1", "replica-2"):
        found = dict(stack.sql(db, "select id::text, name from products"))
        missing = {k: v for k, v in acknowledged.items() if found.get(k) != v}
        assert not missing, f"{len(missing)} acknowledged writes are not on {db}"


def test_two_apis_and_two_consumers(stack):
    first, second = stack.start_api(2)
    one = stack.start_consumer()
    stack.start_consumer()
    for n in range(100):
        stack.create(f"a {n}")
        stack.post("/api/products", base=second.base, json={"name": f"b {n}", "price": 1, "stock": n})
    stack.wait_converged()
    # The one that publishes may be the one that dies.
    first.kill9()
    one.kill9()
    for n in range(100):
        stack.post("/api/products", base=second.base, json={"name": f"c {n}", "price": 1, "stock": n})
    stack.wait_converged(60)
    assert stack.sql("replica-1", "select count(*) from products") == [(300,)]


def test_a_hung_replica_holds_up_nobody(stack):
    """SIGSTOP: connections stay open, nothing answers."""
    stack.start_api()
    stack.start_consumer()
    made = stack.create("before")
    stack.wait_converged()
    stack.replicas[0].pause()
    try:
        for n in range(50):
            assert stack.get("/api/products/" + made["id"]).status_code == 200
            stack.create(f"while one hangs {n}")
        stack.wait_converged(30, dbs=("replica-2",))
        assert stack.get("/api/products/" + made["id"]).headers["X-Served-By"] == "replica-2"
    finally:
        stack.replicas[0].resume()
    stack.wait_converged(60)


def test_without_replicas_the_primary_serves(stack):
    stack.start_api()
    stack.start_consumer()
    made = stack.create("kept")
    stack.wait_converged()
    for replica in stack.replicas:
        replica.stop("immediate")
    answer = stack.get("/api/products/" + made["id"])
    assert answer.status_code == 200 and answer.headers["X-Served-By"] == "primary"


def test_routes_are_listed():
    done = subprocess.run([os.path.join(BUILD, "pgfanout-api"), "--routes"], capture_output=True, text=True, check=True)
    routes = done.stdout.split("\n")
    for route in ("GET /api/products", "POST /api/products", "GET /api/products/:id", "PUT /api/products/:id",
                  "PATCH /api/products/:id", "DELETE /api/products/:id", "POST /api/products/import", "GET /health"):
        assert route in routes
