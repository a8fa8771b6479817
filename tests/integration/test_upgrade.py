"""From a version before (schema 2, products only) to this one, by `pgfanout-migrate up` under its programs.

That version is built from the history, so these tests are skipped where there is none (a tarball, a
shallow clone). Its programs write and apply while the databases are migrated; they must notice and
stop, and what was on its way anywhere must arrive by the programs of this version.
"""
import os
import re
import shutil
import subprocess
import threading
import time
import uuid

import psycopg2
import pytest
import requests

from conftest import ROOT, SLOWNESS, program_env
from harness.servers import Program, wait_until
from test_migrate import MIGRATIONS
from test_dead_letters import REFUSED, break_replica, cli, letters, mend_replica

BEFORE = "9e815a551b96dec76582659956892f543098a64d"
DATABASES = ("primary", "replica-1", "replica-2")
NEWEST = {db: names[-1] for db, names in MIGRATIONS.items()}
SCHEMAS = {db: (len(names), True) for db, names in MIGRATIONS.items()}
REPLICAS = DATABASES[1:]


@pytest.fixture(scope="module")
def before(tmp_path_factory):
    """The folder with the programs of the version before."""
    if not shutil.which("git"):
        pytest.skip("the version before cannot be built: there is no git")
    asked = subprocess.run(["git", "-C", ROOT, "cat-file", "-e", BEFORE + "^{commit}"],
                           capture_output=True, text=True, check=False)
    if asked.returncode:
        pytest.skip(f"the version before ({BEFORE[:7]}) cannot be built, its history is not here: {asked.stderr.strip()}")
    folder = tmp_path_factory.mktemp("before")
    archive = subprocess.run(["git", "-C", ROOT, "archive", BEFORE], capture_output=True, check=True)
    subprocess.run(["tar", "-x", "-C", folder], input=archive.stdout, check=True)
    env = {k: v for k, v in os.environ.items() if k not in ("MAKEFLAGS", "MFLAGS", "MAKELEVEL", "MAKEOVERRIDES", "SAN", "B", "V")}
    made = subprocess.run(["make", "-j2", "all"], cwd=folder, env=env, capture_output=True, text=True, check=False)
    assert made.returncode == 0, made.stdout + made.stderr
    return folder / "build"


@pytest.fixture
def old(bare_stack, before):
    """A Stack whose databases and programs are those of the version before, and run."""
    bare_stack.old = lambda name: str(before / name)
    done = subprocess.run([bare_stack.old("pgfanout-migrate"), "up"], env=program_env(bare_stack.env),
                          capture_output=True, text=True, check=False, cwd=bare_stack.folder)
    assert done.returncode == 0 and "2 apply: applied" in done.stdout, done.stdout + done.stderr
    return bare_stack


def start_old(stack, name, **env):
    label = f"old-{name}-{len(stack.programs) + 1}"
    program = Program([stack.old(name)], stack._merged(env), label, os.path.join(stack.folder, label + ".log"),
                      stack.folder)
    stack.programs.append(program)
    port = "PORT" if name == "pgfanout-api" else "CONSUMER_PORT"
    program.base = f"http://127.0.0.1:{stack.env[port]}"
    return program.wait_for_http(program.base + ("/ready" if name == "pgfanout-api" else "/health"), 20 * SLOWNESS)


def status(program):
    return requests.get(program.base + "/status", timeout=10).json()["data"]


def schemas(stack):
    """The newest migration of each database, and whether what it makes is there."""
    return {db: tuple(stack.sql(db, "select max(number), to_regnamespace('pgfanout') is not null from pgfanout_migrations")[0])
            for db in DATABASES}


def insert(stack, name, stock=1):
    return stack.sql("primary", "insert into products (id, name, price, stock) values (gen_random_uuid(), %s, 1.50, %s) "
                     "returning id::text", name, stock)[0][0]


class Writers:
    """Clients that never stop: two by the API, two by SQL. What they were promised is kept."""

    def __init__(self, stack, base):
        self.stack, self.base, self.ended = stack, base, False
        self.kept, self.deleted, self.codes, self.errors = {}, set(), set(), []
        self.threads = [threading.Thread(target=work, daemon=True) for work in (self.http, self.http, self.sql, self.sql)]
        for thread in self.threads:
            thread.start()

    def http(self):
        with requests.Session() as session:
            while not self.ended:
                try:
                    answer = session.post(self.base + "/api/products", timeout=30,
                                          json={"name": "by the API", "price": 2, "stock": 1})
                    self.codes.add(answer.status_code)
                    if answer.status_code != 201:
                        time.sleep(0.05)
                        continue
                    key = answer.json()["data"]["id"]
                    self.kept[key] = 1
                    answer = session.patch(f"{self.base}/api/products/{key}", json={"stock": 2}, timeout=30)
                    self.codes.add(answer.status_code)
                    self.kept[key] = 2 if answer.status_code == 200 else self.unsure(key)
                    if key < "8" and answer.status_code == 200:
                        answer = session.delete(f"{self.base}/api/products/{key}", timeout=30)
                        self.codes.add(answer.status_code)
                        self.kept.pop(key)
                        if answer.status_code < 300:
                            self.deleted.add(key)
                except requests.ConnectionError:
                    time.sleep(0.05)

    def unsure(self, key):
        """What became of a write whose answer was no promise."""
        return self.stack.unsure.setdefault(key, None)

    def sql(self):
        conn = psycopg2.connect(self.stack.primary.url(self.stack.database))
        conn.autocommit = True
        cursor = conn.cursor()
        while not self.ended:
            try:
                cursor.execute("insert into products (id, name, price, stock) select gen_random_uuid(), 'by SQL', 1, 3 "
                               "from generate_series(1, 5) returning id::text")
                keys = [row[0] for row in cursor.fetchall()]
                self.kept.update(dict.fromkeys(keys, 3))
                cursor.execute("update products set stock = 4 where id = %s", keys[:1])
                self.kept[keys[0]] = 4
                cursor.execute("delete from products where id = %s", keys[1:2])
                self.kept.pop(keys[1])
                self.deleted.add(keys[1])
                time.sleep(0.01)
            except psycopg2.Error as e:
                self.errors.append(str(e))
                return
        conn.close()

    def stop(self):
        self.ended = True
        for thread in self.threads:
            thread.join()


def check_promises(stack, writers):
    rows = dict(stack.sql("primary", "select id::text, stock from products"))
    wrong = {k: (v, rows.get(k)) for k, v in writers.kept.items() if v is not None and rows.get(k) != v}
    assert not wrong and not writers.deleted & rows.keys()


def test_what_is_on_its_way_arrives(old):
    stack, stack_amqp = old, old.amqp().channel()
    stack.unsure = {}
    api = start_old(stack, "pgfanout-api")
    consumer = start_old(stack, "pgfanout-consumer", RETRY_DELAY_MS=20)
    stack_amqp.queue_declare("spy", durable=True)
    stack_amqp.queue_bind("spy", "products", "#")

    # Rows; tombstones, with the messages that came before them; dead letters; one that is tried again.
    gone = [insert(stack, f"gone {n}") for n in range(3)]
    dead, again = insert(stack, "dead"), insert(stack, "again")
    for n in range(200):
        insert(stack, f"row {n}")
    stack.sql("primary", "delete from products where id = any(%s::uuid[])", gone)
    wait_until(lambda: all(stack.sql(db, "select count(*) from products_tombstones") == [(3,)] and
                           stack.sql(db, "select count(*) from products") == [(202,)] for db in REPLICAS), 30 * SLOWNESS, "the replicas")
    late = [(p, b) for _, p, b in stack.take_all(stack_amqp, "spy") if p.type == "products.sync" and any(k in b.decode() for k in gone)]
    stack_amqp.queue_delete("spy")
    break_replica(stack, "replica-1")
    stack.sql("primary", "update products set stock = %s where id = %s", REFUSED, dead)
    wait_until(lambda: stack.queue_depth("products.dead.replica-1") == 1, 30 * SLOWNESS, "the dead letter")
    assert stack.sql("replica-1", "select id::text from products_dead_letters") == [(dead,)]
    assert consumer.stop() == 0
    consumer = start_old(stack, "pgfanout-consumer", RETRY_DELAY_MS=10000, REPLICA_2_URL=None)
    stack.sql("primary", "update products set stock = %s where id = %s", REFUSED, again)
    wait_until(lambda: stack.queue_depth("products.retry.replica-1") == 1, 30 * SLOWNESS, "the retry")

    # Nobody consumes for replica-2: its queues fill. Then the broker takes nothing more: the outbox fills.
    writers = Writers(stack, api.base)
    try:
        wait_until(lambda: stack.queue_depth("products.sync.replica-2") > 20 and stack.queue_depth("products.delete.replica-2") > 20,
                   30 * SLOWNESS, "messages for replica-2")
        stack.rabbitmq.memory_alarm()
        wait_until(lambda: stack.sql("primary", "select count(*) from products_outbox where heartbeat is null")[0][0] > 200,
                   30 * SLOWNESS, "waiting records")
        waiting = stack.sql("primary", "select version from products_outbox where heartbeat is null")
        writers.codes.clear()

        done = stack.run("pgfanout-migrate", "up")
        assert done.returncode == 0, done.stdout + done.stderr
        assert [line for line in done.stdout.splitlines() if not re.search(": ([3-9]|[1-9][0-9]) [a-z_]+: applied$", line)] == []
        assert schemas(stack) == SCHEMAS
        assert {v for v, in waiting} <= {v for v, in stack.sql("primary", "select version from pgfanout.outbox")}

        # The old programs notice, say so, and wait: the API is not ready (what it is still asked to write is captured), the
        # consumer applies nothing.
        wait_until(lambda: requests.get(api.base + "/ready", timeout=10).status_code == 503, 20 * SLOWNESS, "the old API to refuse")
        before = len(writers.kept)
        wait_until(lambda: len(writers.kept) > before + 20, 20 * SLOWNESS, "writers by SQL to go on")
        assert stack.sql("primary", "select count(*) from pgfanout.outbox where version = any(%s)", [v for v, in waiting]) == [(len(waiting),)]
    finally:
        stack.rabbitmq.clear_memory_alarm()
        if writers.errors:
            writers.stop()
    # A consumer notices when it applies. Under the alarm nothing comes, and one that has a retry to publish waits for the broker.
    stack_amqp.basic_publish("", "products.sync.replica-1", late[0][1], late[0][0])
    wait_until(lambda: status(consumer)["replicas"][0]["state"] == "not-migrated", 20 * SLOWNESS, "the old consumer to wait")
    assert api.running() and consumer.running()
    assert api.stop() == 0 and consumer.stop() == 0
    mend_replica(stack, "replica-1")
    # Once stopped they start no more.
    again_old = subprocess.run([stack.old("pgfanout-api")], env=program_env(stack.env), capture_output=True, text=True,
                               check=False, timeout=30, cwd=stack.folder)
    assert again_old.returncode == 4 and f"has migration {SCHEMAS['primary'][0]}, this program knows 2" in again_old.stderr + again_old.stdout
    assert stack.run("pgfanout-migrate", "up").stdout.splitlines() == [f"{db}: {NEWEST[db]}: up to date" for db in DATABASES]

    stack.start_api()
    stack.start_consumer()
    time.sleep(1)
    writers.stop()
    assert writers.errors == [] and writers.codes <= {200, 201, 204, 503}
    check_promises(stack, writers)
    wait_until(lambda: not any(n for q, n in stack.queues().items() if q.startswith(("products.sync", "products.delete", "products.retry"))),
               60 * SLOWNESS, "the queues to be empty")

    # The dead letter of the old consumer is listed, and its row known to be wrong, until it is replayed.
    assert [(x["replica"], x["productId"], x["kind"]) for x in letters(stack)] == [("replica-1", dead, "sync")]
    assert stack.sql("replica-1", 'select "table", key from pgfanout.dead_letters') == [(1, [dead])]
    cli(stack, "replay", "--replica", "replica-1", "--all")
    stack.wait_converged(60)
    assert letters(stack) == [] and stack.sql("replica-1", "select * from pgfanout.dead_letters") == []

    # Messages from before come late: tombstones of the old version are respected.
    for properties, body in late:
        for db in REPLICAS:
            stack_amqp.basic_publish("", f"products.sync.{db}", body, properties)
    insert(stack, "last")
    stack.wait_converged(60)
    for db in REPLICAS:
        assert stack.sql(db, "select count(*) from pgfanout.tombstones_1 where id = any(%s::uuid[])", gone) == [(3,)]
        assert stack.sql(db, "select needs_reset, reason from pgfanout.streams where name = 'products'") == [(False, None)]
    assert len(late) > 0
    verified = stack.reset("--verify")
    assert verified.returncode == 0, verified.stdout + verified.stderr


IN_THE_MIDDLE = {"primary": "products_relay", "replica-1": "products_heartbeats", "replica-2": "products_heartbeats"}


def test_killed_in_the_middle(old):
    """Of each database, while the old programs are at work on it. The next run makes it good."""
    stack = old
    stack.unsure = {}
    api, consumer = start_old(stack, "pgfanout-api"), start_old(stack, "pgfanout-consumer")
    writers = Writers(stack, api.base)
    expected = dict.fromkeys(DATABASES, (2, False))
    try:
        time.sleep(1)
        for db, table in IN_THE_MIDDLE.items():
            conn = stack.connect(db)
            conn.cursor().execute(f"lock table {table} in access share mode")
            migrate = stack.start_program("pgfanout-migrate", "up")
            wait_until(lambda db=db: stack.sql(db, "select 1 from pg_stat_activity where application_name = 'pgfanout-migrate' "
                                               "and wait_event_type = 'Lock' and query like '%%CREATE SCHEMA pgfanout%%'"),
                       9, f"the migration of {db} to wait in its middle")
            migrate.kill9()
            conn.rollback()
            conn.close()
            wait_until(lambda db=db: not stack.sql(db, "select 1 from pg_stat_activity where application_name = 'pgfanout-migrate'"),
                       20 * SLOWNESS, "its session to end")
            assert schemas(stack) == expected, "all of it or nothing"
            expected[db] = SCHEMAS[db]
        done = stack.run("pgfanout-migrate", "up")
        assert done.returncode == 0, done.stdout + done.stderr
        assert schemas(stack) == expected
        assert f"primary: {NEWEST['primary']}: up to date" in done.stdout and "replica-2: 3 any_table: applied" in done.stdout
    finally:
        if writers.errors or not stack.sql("primary", "select to_regnamespace('pgfanout') is not null")[0][0]:
            writers.stop()
    assert api.stop() == 0 and consumer.stop() == 0
    stack.start_api()
    stack.start_consumer()
    writers.stop()
    assert writers.errors == []
    check_promises(stack, writers)
    stack.wait_converged(60)
    assert letters(stack) == []
    for db in REPLICAS:
        assert stack.sql(db, "select needs_reset, reason from pgfanout.streams where name = 'products'") == [(False, None)]


@pytest.mark.parametrize("db, held, wanted", [("primary", "products_queues", "products"),
                                              ("replica-1", "products_dead_letters", "products_replication")])
def test_a_deadlock_does_not_end_it(old, db, held, wanted):
    """Of a migration and a session that will not see to it, so that the server ends the migration's statement."""
    conn = old.connect(db)
    cursor = conn.cursor()
    cursor.execute(f"set deadlock_timeout = '1h'; lock table {held} in access share mode")
    reader = threading.Thread(target=lambda: (cursor.execute(f"select count(*) from {wanted}"), conn.rollback()), daemon=True)
    migrate = old.start_program("pgfanout-migrate", "up")
    wait_until(lambda: old.sql(db, "select 1 from pg_stat_activity where application_name = 'pgfanout-migrate' and wait_event_type = 'Lock'"),
               9, "the migration to wait", 0.02)
    reader.start()
    assert migrate.wait(30 * SLOWNESS) == 0, migrate.log()
    reader.join()
    assert schemas(old) == SCHEMAS
    assert "deadlock detected" in old.servers.by_name[db].log(4000)


def test_while_the_old_programs_are_busy(old):
    """Every program at full work."""
    stack = old
    stack.unsure = {}
    api, consumer = start_old(stack, "pgfanout-api"), start_old(stack, "pgfanout-consumer")
    writers = [Writers(stack, api.base) for _ in range(3)]
    time.sleep(2)
    done = stack.run("pgfanout-migrate", "up")
    for w in writers:
        w.stop()
    assert done.returncode == 0, done.stdout + done.stderr
    assert api.stop() == 0 and consumer.stop() == 0
    stack.start_api()
    stack.start_consumer()
    for w in writers:
        check_promises(stack, w)
    stack.wait_converged(60)
