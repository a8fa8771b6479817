"""Promise 7: reset is online. One snapshot, all replicas at once, the old table until the new one
replaces it, nothing lost.
"""
import random
import re
import threading
import time
import uuid

import psycopg2
import pytest

from conftest import SANITIZED
from harness.servers import Postgres, wait_until

REPLICAS = ("replica-1", "replica-2")


def fill(stack, rows, db="primary"):
    stack.sql(db, "insert into products (id, name, price, stock) select md5(n::text)::uuid, 'product ' || n, round(n / 100.0, 2), n "
              "from generate_series(1, %s) n", rows)


class Writers(threading.Thread):
    """Writes to the primary until stopped: inserts, updates, deletes, re-inserts, some rolled
    back."""

    def __init__(self, stack, seed):
        super().__init__(daemon=True)
        self.conn, self.rng = stack.connect("primary"), random.Random(seed)
        self.halt, self.commits, self.error = threading.Event(), 0, None

    def run(self):
        try:
            while not self.halt.is_set():
                with self.conn.cursor() as c:
                    for _ in range(self.rng.randrange(1, 6)):
                        n = self.rng.randrange(1, 3000)
                        what = self.rng.random()
                        if what < 0.4:
                            c.execute("insert into products (id, name, price, stock) values (md5(%s::text)::uuid, %s, %s, 1) "
                                      "on conflict (id) do update set name = excluded.name, price = excluded.price, "
                                      "updated_at = clock_timestamp()", (n, f"written {n} {self.rng.random()}", n))
                        elif what < 0.7:
                            c.execute("update products set stock = stock + 1 where id = md5(%s::text)::uuid", (n,))
                        else:
                            c.execute("delete from products where id = md5(%s::text)::uuid", (n,))
                if self.rng.random() < 0.1:
                    self.conn.rollback()
                else:
                    self.conn.commit()
                    self.commits += 1
        except psycopg2.errors.DeadlockDetected:
            self.conn.rollback()
            if not self.halt.is_set():
                self.run()
        except Exception as e:  # pylint: disable=broad-except
            self.error = e

    def stop(self):
        self.halt.set()
        self.join(30)
        assert self.error is None, self.error
        assert self.commits > 0


class Readers(threading.Thread):
    """Reads the replica all the while: prepared and plain statements, and in REPEATABLE READ;
    counts must never fall below `least`."""

    def __init__(self, stack, db, least):
        super().__init__(daemon=True)
        self.conn, self.snap = stack.connect(db), stack.connect(db)
        self.conn.autocommit = True
        self.snap.set_session(isolation_level="REPEATABLE READ")
        self.least, self.halt, self.reads, self.error = least, threading.Event(), 0, None

    def run(self):
        try:
            with self.conn.cursor() as c, self.snap.cursor() as s:
                c.execute("set plan_cache_mode = force_generic_plan")
                c.execute("prepare total as select count(*) from products")
                c.execute("prepare one (uuid) as select name from products where id = $1")
                while not self.halt.is_set():
                    # The snapshot is taken before the table is looked at: a swap may come in
                    # between.
                    s.execute("select count(*) from pgfanout.tombstones_1")
                    for statement in ("execute total", "select count(*) from products"):
                        c.execute(statement)
                        got = c.fetchone()[0]
                        assert got >= self.least, f"{statement}: {got} rows"
                    c.execute("execute one (md5('5000')::uuid)")
                    assert c.fetchone(), "a row that was always there"
                    s.execute("select count(*) from products")
                    got = s.fetchone()[0]
                    assert got >= self.least, f"REPEATABLE READ: {got} rows"
                    self.snap.commit()
                    self.reads += 1
        except Exception as e:  # pylint: disable=broad-except
            self.error = e

    def stop(self):
        self.halt.set()
        self.join(30)
        assert self.error is None, self.error
        assert self.reads > 0


def test_reset_under_writers_readers_and_a_long_transaction(stack):
    """The hard case: a transaction opened before the snapshot and committed after the swap holds
    versions lower than the snapshot's newest."""
    stack.start_api()
    stack.start_consumer()
    fill(stack, 20000)
    stack.wait_converged(60)
    # What is wrong on the replica and must be repaired.
    stack.sql("replica-1", "delete from products where stock % 3 = 0 and stock > 6000")
    stack.sql("replica-1", "update products set name = 'drifted' where stock % 7 = 0")
    stack.sql("replica-2", "insert into products select gen_random_uuid(), 'only here', 1, 1, now(), now(), 99999999 "
              "from generate_series(1, 100)")
    readers = [Readers(stack, db, 10000) for db in REPLICAS]
    writers = [Writers(stack, seed) for seed in (1, 2, 3)]
    long = stack.connect("primary")
    with long.cursor() as c:
        c.execute("update products set name = 'long ' || stock where stock between 4000 and 4100")
        c.execute("delete from products where stock between 4101 and 4200")
        c.execute("insert into products (id, name, price, stock) values (%s, 'long insert', 1, 1)", (str(uuid.uuid4()),))
        for thread in readers + writers:
            thread.start()
        done = stack.reset("--yes")
        assert done.returncode == 0, done.stdout + done.stderr
        again = stack.reset("--yes", "--replica", "replica-1")
        assert again.returncode == 0, again.stdout + again.stderr
        # Of the very products that the long transaction holds, the replicas now have the old state.
        assert stack.sql("replica-1", "select count(*) from products where name like 'long %%'")[0][0] == 0
    long.commit()
    time.sleep(0.5)
    for thread in writers + readers:
        thread.stop()
    stack.wait_converged(60)
    assert stack.sql("replica-2", "select count(*) from products where name like 'long %%'")[0][0] == 102
    assert stack.sql("replica-2", "select count(*) from products where name = 'only here'")[0][0] == 0


def test_old_messages_after_a_reset(stack):
    """A reset forgets versions and tombstones; late messages of any age must still not step back or
    resurrect."""
    stack.start_api()
    consumer = stack.start_consumer()
    channel = stack.amqp().channel()
    tap = channel.queue_declare("", exclusive=True).method.queue
    channel.queue_bind(tap, "products", "products.*")
    kept, gone = stack.create("v1")["id"], stack.create("gone")["id"]
    stack.put("/api/products/" + kept, json={"name": "v2", "price": 2, "stock": 2})
    stack.delete("/api/products/" + gone)
    stack.wait_converged()
    old = stack.take_all(channel, tap)
    assert len(old) == 4
    assert stack.reset("--yes").returncode == 0
    bare = [(k, type(p)(content_type="application/json", delivery_mode=2), b) for k, p, b in old]
    for messages in (old, bare):  # with the headers that name the transaction, and without
        for key, properties, body in messages:
            for replica in REPLICAS:
                channel.basic_publish("", f"{key}.{replica}", body, properties)
    marker = stack.create("marker")["id"]
    stack.wait_converged()
    assert stack.sql("replica-1", "select name from products where id = %s", kept) == [("v2",)]
    assert stack.sql("replica-1", "select 1 from products where id = %s", gone) == []
    assert stack.sql("replica-1", "select name from products where id = %s", marker) == [("marker",)]
    assert consumer.running()


def test_kill_9_leaves_the_old_table(stack):
    stack.start_api()
    stack.start_consumer()
    fill(stack, 30000)
    stack.wait_converged(60)
    stack.sql("replica-1", "update products set name = 'drifted' where stock < 100")
    rng = random.Random(7)
    for _ in range(8):
        victim = stack.start_program("reset-replicas", "--yes")
        time.sleep(rng.uniform(0.01, 0.5))  # the moment to die, not a wait for anything
        victim.kill9()
        for db in REPLICAS:
            assert stack.sql(db, "select count(*) from products")[0][0] >= 30000
        stack.create("after the kill")
    done = stack.reset("--yes")
    assert done.returncode == 0, done.stdout + done.stderr
    stack.wait_converged(60)
    for db in REPLICAS:
        left = stack.sql(db, "select relname from pg_class where relnamespace = 'public'::regnamespace "
                         "and relkind in ('r', 'i') and relname not like 'pgfanout_migrations%%' order by 1")
        assert left == [("products",), ("products_pkey",)]


def test_a_third_replica_added_while_traffic_runs(stack):
    stack.start_api()
    stack.start_consumer()
    fill(stack, 5000)
    stack.wait_converged(60)
    third = Postgres("replica-3", stack.servers.folder)
    third.start()
    stack.servers.by_name["replica-3"] = third
    stack.cleanups.append(lambda: (third.stop("immediate"), stack.servers.by_name.pop("replica-3")))
    stack.env["REPLICA_3_URL"] = third.create_database(stack.database)
    writers = [Writers(stack, 11), Writers(stack, 12)]
    for thread in writers:
        thread.start()
    stack.migrate()
    for program in list(stack.programs):
        if program.running():
            assert program.stop() == 0
    stack.apis.clear()
    stack.start_api()
    stack.start_consumer()
    # Not loaded yet: it gets changes, but no reads.
    served = {stack.get("/api/products?limit=1").headers["X-Served-By"] for _ in range(30)}
    assert "replica-3" not in served
    done = stack.reset("--replica", "replica-3")
    assert done.returncode == 0, done.stdout + done.stderr
    wait_until(lambda: stack.get("/api/products?limit=1").headers["X-Served-By"] == "replica-3", 30, "reads from replica-3")
    for thread in writers:
        thread.stop()
    stack.wait_converged(60, dbs=(*REPLICAS, "replica-3"))


def test_dry_run_changes_nothing_and_bad_arguments(stack):
    stack.start_api()
    stack.start_consumer()
    fill(stack, 100)
    stack.wait_converged()
    stack.sql("replica-1", "update products set name = 'drifted'")
    done = stack.reset("--dry-run")
    assert done.returncode == 0 and "replica-1" in done.stdout
    assert stack.sql("replica-1", "select count(*) from products where name = 'drifted'")[0][0] == 100
    for args, word in ((("--replica", "replica-9"), "replica-9"), (("--nonsense",), "nonsense"), (("--replica",), "replica")):
        bad = stack.reset(*args)
        assert bad.returncode == 2 and word in bad.stderr, bad.stderr
    help_text = stack.reset("--help")
    assert help_text.returncode == 0 and "--dry-run" in help_text.stdout


def test_a_replica_that_is_down_does_not_hold_up_the_other(stack):
    stack.start_api()
    stack.start_consumer()
    fill(stack, 1000)
    stack.wait_converged()
    stack.sql("replica-2", "delete from products")
    stack.replicas[0].stop("immediate")
    done = stack.reset("--yes")
    assert done.returncode == 3 and "replica-1" in done.stderr, done.stdout + done.stderr
    stack.wait_converged(60, dbs=("replica-2",))
    stack.replicas[0].start()
    stack.wait_converged(60)


def test_views_and_grants(stack):
    """Grants survive the swap, and so do views; what keeps the table from being reset is named, and nothing is
    changed."""
    stack.start_consumer()
    fill(stack, 100)
    role = f"reader_{stack.database}"
    stack.sql("replica-1", f"create role {role}")
    stack.cleanups.append(lambda: stack.sql("replica-1", f"drop owned by {role}; drop role {role}"))
    stack.sql("replica-1", f"grant select on products to {role}")
    stack.sql("replica-1", "create index by_name on products (name)")
    assert stack.reset("--yes").returncode == 0
    assert stack.sql("replica-1", "select has_table_privilege(%s, 'products', 'select')", role) == [(True,)]
    assert stack.sql("replica-1", "select count(*) from pg_indexes where indexname = 'by_name'") == [(1,)]
    stack.sql("replica-2", "create view cheap as select * from products where price < 1")
    stack.sql("replica-2", "update products set name = 'drifted', price = 0; delete from products where stock < 50")
    done = stack.reset("--yes", "--replica", "replica-2")
    assert done.returncode == 0, done.stdout + done.stderr
    assert stack.sql("replica-2", "select count(*) from cheap") == [(99,)]
    stack.assert_equal()
    stack.sql("replica-2", "create rule no_more as on insert to products do instead nothing")
    before = stack.sql("replica-2", "select reset_at from pgfanout.streams")
    done = stack.reset("--yes", "--replica", "replica-2")
    assert done.returncode not in (0, 2) and "no_more" in done.stderr, done.stderr
    assert stack.sql("replica-2", "select reset_at from pgfanout.streams") == before
    stack.sql("replica-2", "drop rule no_more on products; drop view cheap")


@pytest.mark.skipif(SANITIZED, reason="sanitizers change what memory means")
@pytest.mark.parametrize("rows", (400_000, pytest.param(1_000_000, marks=pytest.mark.long)))
def test_rows_go_through_flat_memory(stack, rows):
    fill(stack, rows)
    # no relay is needed here
    stack.sql("primary", "truncate pgfanout.outbox")
    program = stack.start_program("reset-replicas", "--yes")
    most = 0
    while program.running():
        try:
            with open(f"/proc/{program.popen.pid}/status", encoding="ascii") as f:
                found = re.search(r"VmRSS:\s+(\d+)", f.read())
                most = max(most, int(found.group(1)) if found else 0)
        except (OSError, ProcessLookupError):
            pass
        time.sleep(0.05)
    assert program.popen.returncode == 0, program.log()
    assert 0 < most < 48_000, f"{most} kB"
    stack.assert_equal()
