"""Promises 1 and 3: tables that have been taken apart are noticed, and nothing is lost silently.

Changes that the primary's triggers do not see are in no queue. So the API looks at the catalog every
second, refuses writes while capture is broken, and `pgfanout-migrate up` repairs it and has the replicas
reset. A replica whose table a crash would empty, or that rounds, is not complete.
"""
import pytest

from harness.servers import wait_until

SCHEMA, FAILED = 4, 6
INTO = "insert into products (id, name, price, stock) values (gen_random_uuid(), '{}', 12.3456, 1);"
OFF, ON = ("alter table products {} trigger user;".format(w) for w in ("disable", "enable"))

# what an owner does -> a phrase of the reason, and what changes unseen
BROKEN = {
    "triggers-off": (OFF + INTO.format("unseen"), "trigger pgfanout_insert is disabled"),
    "triggers-off-and-on": (OFF + ON + "set session_replication_role = replica;" +
                            INTO.format("unseen"),
                            "trigger pgfanout_applied is not as it was made"),
    "trigger-dropped": ("drop trigger pgfanout_update on products; "
                        "update products set stock = 77;",
                        "trigger pgfanout_update is missing"),
    "another-table": ("alter table products rename to products_old; "
                      "create table products (like products_old including all);" +
                      INTO.format("unseen"), "another table is called products now"),
    "rewritten-column": ("alter table products alter column price type numeric(14,1);",
                         "price numeric(14,1)"),
    "null-allowed": ("alter table products alter column name drop not null;",
                     "column name may be NULL"),
    "rule-dropped": ("alter table products drop constraint products_price_check;",
                     "constraint products_price_check is missing"),
}
# what a person must put right first -> by what, and what `up` says until then
REFUSED = {
    "table-renamed": ("alter table products rename to catalogue;",
                      "alter table catalogue rename to products;", "there is no table products"),
    "column-renamed": ("alter table products rename column price to cost;",
                       "alter table products rename column cost to price;",
                       "column price must be there"),
    "unlogged": ("alter table products set unlogged;", "alter table products set logged;",
                 "ALTER TABLE products SET LOGGED"),
    "child": ("create table child () inherits (products);", "drop table child;",
              "inherits from a table or is inherited from"),
    "id-not-unique": ("alter table products drop constraint products_pkey;",
                      "alter table products add primary key (id);", "must be its primary key"),
}


@pytest.fixture
def running(stack):
    stack.start_api()
    stack.start_consumer()
    stack.create("before", "19.9999")
    stack.wait_converged()
    return stack


def primary(stack):
    return stack.get("/status").json()["data"]["primary"]


def wait_broken(stack, phrase):
    found = wait_until(lambda: (lambda p: p["state"] == "capture broken" and p)(primary(stack)),
                       20, "the API to see it")
    assert phrase in found["reason"] and "pgfanout-migrate up" in found["reason"], found


def assert_refuses(stack, phrase):
    """Writes, imports, resets; reads go on."""
    versions = stack.sql("primary", "select last_value from pgfanout.version_seq")
    body = b'{"name":"lost?","price":1,"stock":1}'
    for path, kind in (("/api/products", "application/json"),
                       ("/api/products/import", "application/x-ndjson")):
        answer = stack.post(path, data=body, headers={"Content-Type": kind})
        assert answer.status_code == 503 and "/status" in answer.text, answer.text
    assert stack.get("/ready").status_code == 503
    assert stack.get("/api/products?limit=1").status_code == 200
    assert stack.sql("primary", "select last_value from pgfanout.version_seq") == versions
    assert "lost?" not in {row[1] for row in stack.rows("primary")}
    done = stack.reset("--yes")
    assert done.returncode == SCHEMA and phrase in done.stderr, done.stderr
    done = stack.run("pgfanout-migrate", "status")
    assert done.returncode == SCHEMA and phrase in done.stdout, done.stdout


def assert_mended(stack):
    """Writes are taken again, and the replicas get what was missed."""
    done = stack.run("pgfanout-migrate", "up")
    assert done.returncode == 0, done.stderr
    assert "capture was broken" in done.stdout and done.stdout.count("needs a reset (it may") == 2
    wait_until(lambda: primary(stack)["state"] == "serving", 20, "the API to serve")
    assert stack.create("after", "1.2345")
    stack.wait_converged(60)
    wait_until(lambda: all(r["state"] == "serving" for r in
                           stack.get("/status").json()["data"]["replicas"]), 40, "reads")
    done = stack.run("pgfanout-migrate", "up")
    assert done.returncode == 0 and "broken" not in done.stdout


@pytest.mark.parametrize("name", BROKEN)
def test_broken_capture_is_noticed_and_mended(running, name):
    script, phrase = BROKEN[name]
    running.psql("primary", script)
    wait_broken(running, phrase)
    assert_refuses(running, phrase)
    assert_mended(running)
    assert "unseen" not in script or "unseen" in {row[1] for row in running.rows("replica-1")}


@pytest.mark.parametrize("name", REFUSED)
def test_what_up_cannot_mend_it_refuses(running, name):
    script, remedy, complaint = REFUSED[name]
    running.psql("primary", script)
    wait_broken(running, "")
    done = running.run("pgfanout-migrate", "up")
    assert done.returncode == FAILED and complaint in done.stderr, done.stderr
    running.psql("primary", remedy)
    # Whole again; but what was written meanwhile is not on its way.
    done = running.run("pgfanout-migrate", "status")
    assert done.returncode == SCHEMA and "changes were missed until some time after" in done.stdout
    assert primary(running)["state"] == "capture broken"
    assert_mended(running)


def test_down_keeps_what_was_missed_for_the_next_up(running):
    running.psql("primary", OFF + INTO.format("unseen"))
    for _ in range(2):  # to before capture was as it is now
        assert running.run("pgfanout-migrate", "down").returncode == 0
    done = running.run("pgfanout-migrate", "up")
    assert done.returncode == 0 and "capture was broken" in done.stdout
    running.wait_converged(60)


def test_a_renamed_table_is_no_longer_captured(running):
    running.psql("primary", "alter table products rename to products_old; "
                 "create table products (like products_old including all);")
    running.migrate()
    versions = running.sql("primary", "select last_value from pgfanout.version_seq")
    running.psql("primary", "update products_old set stock = 5")
    assert running.sql("primary", "select last_value from pgfanout.version_seq") == versions


# ---- replicas ----

def replica(stack, name="replica-1"):
    return [r for r in stack.get("/status").json()["data"]["replicas"] if r["name"] == name][0]


def persistence(stack, table="products"):
    return stack.sql("replica-1", "select relpersistence from pg_class where oid = %s::regclass",
                     table)[0][0]


@pytest.mark.parametrize("table", ["products", "pgfanout.tombstones_1", "pgfanout.streams",
                                   "pgfanout.dead_letters"])
def test_an_unlogged_table_of_a_replica_is_made_anew(running, table):
    running.sql("replica-1", f"alter table {table} set unlogged")
    wait_until(lambda: persistence(running, table) == "p", 40, "the reset")
    wait_until(lambda: replica(running)["state"] == "serving", 20, "reads")
    running.create("after")
    running.wait_converged()


def test_a_replica_that_a_crash_emptied_serves_nothing(stack):
    stack.start_api()
    stack.start_consumer(AUTO_RESET="false")
    made = stack.create("kept")
    stack.wait_converged()
    stack.sql("replica-1", "alter table products set unlogged")
    wait_until(lambda: replica(stack)["state"] == "needs reset", 20, "the look")
    assert "UNLOGGED" in replica(stack)["reason"]
    assert "replica-1: needs a reset (table products is UNLOGGED" in stack.migrate().stdout
    stack.replicas[0].stop("immediate")
    stack.replicas[0].start()
    stack.sql("replica-1", "alter table products set logged")
    assert stack.rows("replica-1") == []
    wait_until(lambda: replica(stack)["state"] != "unreachable", 20, "the look")
    assert replica(stack)["state"] == "needs reset"
    for _ in range(6):
        assert stack.get(f"/api/products/{made['id']}").json()["data"] == made
    assert stack.reset("--yes", "--replica", "replica-1").returncode == 0
    stack.wait_converged()


def test_a_replica_that_rounds_serves_nothing(running):
    running.sql("replica-1", "alter table products alter column price type numeric(14,1)")
    wait_until(lambda: replica(running)["state"] == "needs reset", 20, "the look")
    assert "rounds what is sent" in replica(running)["reason"]
    done = running.reset("--yes", "--replica", "replica-1")
    assert done.returncode == 1 and "column price" in done.stderr, done.stderr
    running.sql("replica-1", "alter table products alter column price type numeric")
    assert running.reset("--yes", "--replica", "replica-1").returncode == 0
    running.wait_converged()
    wait_until(lambda: replica(running)["state"] == "serving", 20, "reads")
