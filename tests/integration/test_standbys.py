"""Streaming standbys of the primary in the pool of reads: STANDBY_n_URL."""
import threading
import time

import pytest
from conftest import SLOWNESS, wait_until
from test_positions import LONG, at, ids, product, served_by
from test_resources import RESOURCES, data, register, wait_known, wait_loaded
from test_walks import BLOG, BLOG_COLUMNS

ALL = {"replica-1", "replica-2", "standby-1"}
IDLE_LAG_MS = 3500 * SLOWNESS


def standby_of(stack):
    return stack.get("/status").json()["data"]["standbys"][0]


def wait_serving(stack, state="serving"):
    wait_until(lambda: standby_of(stack)["state"] == state, 30 * SLOWNESS, f"the standby to be {state}", 0.1)


def readers(stack, path, n=20, **kwargs):
    found = set()
    for _ in range(n):
        answer = stack.get(path, **kwargs)
        assert answer.status_code == 200, answer.text
        found.add(served_by(answer))
    return found


def start(stack, standby, **env):
    stack.start_api(STANDBY_1_URL=standby.url(stack.database), **env)
    wait_serving(stack)


@pytest.fixture
def running(stack):
    standby = stack.start_standby()
    stack.start_consumer()
    start(stack, standby, **LONG)
    return stack, standby


def replaying(standby, stack, on):
    standby.psql(f"select pg_wal_replay_{'resume' if on else 'pause'}()", stack.database)
    if not on:
        wait_until(lambda: standby.psql("select pg_get_wal_replay_pause_state()", stack.database).strip() == "paused",
                   20 * SLOWNESS, "replay to pause", 0.02)


def test_it_takes_turns_with_the_replicas(running):
    stack, _ = running
    created = product(stack)
    path = "/api/products/" + created.json()["data"]["id"]
    stack.wait_converged()
    wait_until(lambda: readers(stack, path, headers=at(created)) == ALL, 20 * SLOWNESS, "all to have it", 0.1)
    for where in (path, "/api/products", "/api/products?limit=10"):
        wait_until(lambda where=where: readers(stack, where, headers=at(created)) == ALL, 20 * SLOWNESS, f"all to serve {where}", 0.1)
    metrics = stack.get("/metrics").text
    assert 'pgfanout_api_database_up{database="standby-1"} 1' in metrics
    assert 'pgfanout_api_reads_total{database="standby-1"}' in metrics


def test_what_status_says(running):
    stack, standby = running
    product(stack)
    wait_until(lambda: standby_of(stack)["streaming"] == "streaming", 20 * SLOWNESS, "the primary to say so", 0.1)
    status = standby_of(stack)
    slot = standby.name.replace("-", "_")
    assert (status["name"], status["state"], status["slot"], status["syncState"]) == ("standby-1", "serving", slot, "async")
    assert status["receiver"]["status"] == "streaming" and status["receiver"]["slot"] == slot
    assert status["receiver"]["replayedLsn"] and status["receiver"]["timeline"] == 1
    for member in ("writeLagMs", "flushLagMs", "replayLagMs"):
        assert status[member] is None or status[member] >= 0
    assert "needsReset" not in status and "streams" not in status
    assert "secret" not in stack.get("/status").text and "postgresql://" not in stack.get("/status").text
    # Lag in milliseconds, and true when nothing is written.
    wait_until(lambda: standby_of(stack)["lagMs"] is not None, 10 * SLOWNESS, "lag", 0.1)
    end = time.monotonic() + 4
    while time.monotonic() < end:
        assert standby_of(stack)["lagMs"] < IDLE_LAG_MS
        time.sleep(0.2)


def test_one_that_lags_gets_no_reads(stack):
    standby = stack.start_standby()
    stack.start_consumer()
    start(stack, standby, MAX_REPLICA_LAG_MS=2500)
    replaying(standby, stack, False)
    product(stack)
    wait_serving(stack, "lagging")
    assert "behind the primary" in standby_of(stack)["reason"]
    assert readers(stack, "/api/products?limit=1") == ALL - {"standby-1"}
    replaying(standby, stack, True)
    wait_serving(stack)
    wait_until(lambda: readers(stack, "/api/products?limit=1") == ALL, 20 * SLOWNESS, "all to serve", 0.1)


def test_positions(running):
    stack, standby = running
    created = product(stack)
    path = "/api/products/" + created.json()["data"]["id"]
    replaying(standby, stack, False)
    for stock in range(2, 8):
        changed = stack.patch(path, json={"stock": stock})
        position = at(changed)
        for where in (path, "/api/products", path, "/api/products?limit=9"):
            answer = stack.get(where, headers=position)
            rows = answer.json()["data"]
            assert (rows["stock"] if where == path else rows[0]["stock"]) == stock, (where, served_by(answer))
            assert served_by(answer) != "standby-1"
            position = at(answer)
    gone = stack.delete(path)
    assert stack.get(path, headers=at(gone)).status_code == 404
    assert ids(stack.get("/api/products", headers=at(gone))) == []
    # Who has seen the standby as it is now goes on from there.
    old = [a for a in (stack.get(path) for _ in range(30)) if served_by(a) == "standby-1"][0]
    assert old.json()["data"]["stock"] < 7
    replaying(standby, stack, True)
    wait_until(lambda: "standby-1" in readers(stack, "/api/products", headers=at(gone)), 20 * SLOWNESS, "the standby to have it", 0.1)
    for _ in range(10):
        assert stack.get(path, headers=at(gone)).status_code == 404


def test_resources(stack):
    """Also of a table with a filter: a standby has all rows of it."""
    stack.psql("primary", BLOG)
    standby = stack.start_standby()
    stack.start_consumer()
    register(stack, *(t for t in BLOG_COLUMNS if t != '"Comment"'))
    stack.psql("primary", """select pgfanout.add_table('"Comment"', filter => 'id <> 2')""")
    start(stack, standby, RESOURCES=RESOURCES, RESOURCE_SCANS="true", **LONG)
    wait_loaded(stack, *BLOG_COLUMNS)
    wait_known(stack, "/api/users?limit=1")
    post = stack.post("/api/posts", json={"title": "Mine", "content": "…", "userId": 1})
    key = data(post, 201)["id"]
    for where in (f"/api/posts/{key}", f"/api/posts/{key}?embed=users", "/api/posts", "/api/posts?limit=100&count=exact",
                  "/api/users/1/posts", "/api/comments", "/api/posts/1?embed=comments", "/api/posts/1/comments?limit=9"):
        def all_alike(where=where):
            answers = [stack.get(where, headers=at(post)) for _ in range(12)]
            return {served_by(a) for a in answers} == ALL and len({a.text for a in answers}) == 1
        wait_until(all_alike, 20 * SLOWNESS, f"all to serve {where} alike", 0.1)
    assert 2 not in ids(stack.get("/api/comments"))


def test_recovery_conflicts_go_elsewhere(stack):
    """What the primary's locks and vacuum cancel on a standby is answered by somebody else."""
    standby = stack.start_standby()
    standby.psql("alter system set max_standby_streaming_delay = 0; select pg_reload_conf()", stack.database)
    stack.start_consumer()
    start(stack, standby)
    for _ in range(5):
        product(stack)
    stop = threading.Event()

    def disturb():
        conn = stack.connect()
        conn.autocommit = True
        while not stop.is_set():
            conn.cursor().execute("UPDATE products SET stock = stock + 1")
            conn.cursor().execute("VACUUM FULL pgfanout.streams")
            conn.cursor().execute("VACUUM products")
    thread = threading.Thread(target=disturb)
    thread.start()
    try:
        for n in range(300):
            answer = stack.get("/api/products" + ("?limit=3" if n % 2 else ""))
            assert answer.status_code == 200, answer.text
    finally:
        stop.set()
        thread.join()


def test_the_primary_away(running):
    stack, _ = running
    created = product(stack)
    wait_until(lambda: "standby-1" in readers(stack, "/api/products", headers=at(created)), 20 * SLOWNESS, "the standby to have it", 0.1)
    stack.primary.kill9()
    for _ in range(20):
        assert stack.get("/api/products").status_code == 200
    wait_until(lambda: "standby-1" in readers(stack, "/api/products", headers=at(created)), 20 * SLOWNESS, "the standby to serve it", 0.1)


def test_a_standby_comes_and_goes(running):
    stack, standby = running
    product(stack)
    for how in (standby.kill9, standby.pause):
        how()
        for _ in range(30):
            assert stack.get("/api/products").status_code == 200
        wait_serving(stack, "unreachable")
        standby.resume()
        standby.start()
        wait_serving(stack)


def test_what_is_named_wrongly(stack):
    """Each is told what it is, and gets no reads."""
    standby = stack.start_standby()
    other = stack.servers.by_name["replica-2"]
    stack.start_api(STANDBY_1_URL=other.url(stack.database), wait=False)
    stack.start_api(STANDBY_1_URL=stack.primary.url(stack.database), wait=False)
    stack.start_api(STANDBY_1_URL=standby.url("postgres"), wait=False)
    stack.start_api(REPLICA_2_URL=standby.url(stack.database), wait=False)
    words = [("standbys", 0, "not-migrated", ""), ("standbys", 0, "no standby", "it takes writes itself"),
             ("standbys", 0, "not-migrated", ""), ("replicas", 1, "unreachable", "name it STANDBY_n_URL")]
    for api, (kind, i, state, why) in zip(stack.apis, words):
        def said(api=api, kind=kind, i=i, state=state, why=why):
            status = stack.get("/status", base=api.base).json()["data"][kind][i]
            return status["state"] == state and why in status["reason"]
        wait_until(said, 30 * SLOWNESS, f"{state}: {why}", 0.1)
    # The consumer says so as well.
    consumer = stack.start_consumer(REPLICA_2_URL=standby.url(stack.database))
    wait_until(lambda: "STANDBY_n_URL" in consumer.log(100), 20 * SLOWNESS, "the consumer to say so", 0.1)
    for name in ("standby-1", "replica-2"):
        assert stack.run("pgfanout-api", "--check-config", STANDBY_1_URL=standby.url(stack.database),
                         STANDBY_1_NAME=name).returncode == (0 if name == "standby-1" else 2)
