"""A synchronous standby that is away: each commit on the primary waits for it, as long as it is away."""
import contextlib
import threading

from conftest import SLOWNESS, wait_until

NEW = {"name": "n", "price": 1, "stock": 1}
LINKS = 2 + 2 + 2  # of a worker to the primary, that write

HANGING = "select count(*) from pg_stat_activity where wait_event = 'SyncRep' and application_name = 'pgfanout-api write'"
SESSIONS = "select count(*) from pg_stat_activity where application_name ~ '^pgfanout'"


@contextlib.contextmanager
def standby_away(stack):
    run = stack.servers.primary.psql
    run("alter system set synchronous_standby_names = 'away'", "postgres")
    run("select pg_reload_conf()", "postgres")
    try:
        wait_until(lambda: run("show synchronous_standby_names", "postgres").strip() == "away", 20, "the setting")
        yield lambda: release(run)
    finally:
        release(run)


def release(run):
    """As if it had come back: all that hangs ends."""
    run("set synchronous_commit = off; alter system reset synchronous_standby_names", "postgres")
    run("select pg_reload_conf()", "postgres")


def primary_of(stack):
    return stack.get("/status").json()["data"]["primary"]


def test_hanging_commits_take_no_more_connections_than_there_are(stack):
    stack.start_api(REQUEST_TIMEOUT_MS=500, WORKERS=1)
    assert stack.post("/api/products", json=NEW).status_code == 201
    before = stack.sql("primary", SESSIONS)[0][0]
    codes = []
    over = threading.Event()

    def write():
        while not over.is_set():
            codes.append(stack.post("/api/products", json=NEW).status_code)
    with standby_away(stack) as back:
        writers = [threading.Thread(target=write) for _ in range(8)]
        for writer in writers:
            writer.start()
        try:
            wait_until(lambda: stack.get("/ready").status_code == 503, 30 * SLOWNESS, "it not to be ready")
            wait_until(lambda: len(codes) > 200, 60 * SLOWNESS, "writes that are turned away")
        finally:
            over.set()
            for writer in writers:
                writer.join()
        hanging, = stack.sql("primary", HANGING)[0]
        assert 0 < hanging <= LINKS
        assert stack.sql("primary", SESSIONS)[0][0] <= before + LINKS
        assert set(codes) <= {201, 503, 504} and 504 in codes and 503 in codes
        assert "synchronous standby" in stack.get("/ready").text
        wait_until(lambda: primary_of(stack)["hung"] == hanging, 10 * SLOWNESS, "all that hang to be counted")
        # Nor does an API that is started anew open more.
        stack.apis[0].kill9()
        stack.apis[0].restart()
        wait_until(lambda: "hung" in primary_of(stack) and primary_of(stack)["hung"] == hanging, 20 * SLOWNESS, "it to see them")
        for _ in range(20):
            answer = stack.post("/api/products", json=NEW)
            assert answer.status_code == 503 and "nothing was changed" in answer.text, answer.text
        assert stack.sql("primary", HANGING) == [(hanging,)]
        assert stack.get("/api/products?limit=1").status_code == 200  # reads go on
        back()
        wait_until(lambda: stack.post("/api/products", json=NEW).status_code == 201, 20 * SLOWNESS, "writes to go on")
    wait_until(lambda: primary_of(stack)["hung"] == 0, 20 * SLOWNESS, "no write to hang")
    wait_until(lambda: primary_of(stack)["connections"] == 1 + 2, 20 * SLOWNESS, "all connections to be there again")
    assert "writes hang in their commit" in stack.apis[0].log() and "no write hangs" in stack.apis[0].log()


def test_an_import_ends_no_commit_that_hangs(stack):
    """It wants to send its rows once more, and would end the session that they were lost with."""
    stack.start_api(REQUEST_TIMEOUT_MS=500, WORKERS=1)
    answers = []
    rows = "".join(f'{{"name": "imported {n}", "price": 1, "stock": 1}}\n' for n in range(10))

    def load():
        answers.append(stack.post("/api/products/import", data=rows, timeout=120,
                                  headers={"Content-Type": "application/x-ndjson"}))
    with standby_away(stack) as back:
        importer = threading.Thread(target=load)
        importer.start()
        wait_until(lambda: primary_of(stack)["hung"] > 0, 30 * SLOWNESS, "its commit to be given up")
        importer.join()
        assert answers[0].status_code != 200
        assert stack.sql("primary", HANGING)[0][0] > 0
        assert stack.sql("primary", "select count(*) from products where name like 'imported%'") == [(0,)]
        back()
        wait_until(lambda: stack.sql("primary", "select count(*) from products where name like 'imported%'") == [(10,)],
                   20 * SLOWNESS, "the commit to end")


def test_a_reset_leaves_no_session_behind(stack):
    stack.start_api(REQUEST_TIMEOUT_MS=500)
    stack.start_consumer()
    assert stack.post("/api/products", json=NEW).status_code == 201
    stack.wait_converged()
    with standby_away(stack):
        done = stack.reset()
        assert done.returncode == 0, done.stderr
        assert stack.sql("primary", "select count(*) from pg_stat_activity where wait_event = 'SyncRep'") == [(0,)]
