"""A new primary: a standby is promoted, and an epoch begins (migrations/primary/0006_epochs.up.sql).

The old primary goes on running here, as one that was cut off would.
"""
import threading
import uuid

import pika
import psycopg2
import pytest
from conftest import SLOWNESS, wait_until
from test_positions import at, product, served_by

JUMP = 2 ** 32
REPLICAS = ("replica-1", "replica-2")


class Pair:
    """The stack's primary and a standby of it, which has all that was committed when it is promoted."""

    def __init__(self, stack, name="standby-1"):
        self.stack, self.new = stack, stack.start_standby(name)
        self.conn = None

    def caught_up(self):
        target = self.stack.sql("primary", "select pg_current_wal_insert_lsn()")[0][0]
        wait_until(lambda: self.sql("select pg_last_wal_replay_lsn() >= %s::pg_lsn", target)[0][0], 30 * SLOWNESS, "the standby", 0.02)

    def cut_off(self):
        """What is committed from now on does not come to it."""
        self.new.psql("alter system set primary_conninfo = ''", "postgres")
        self.new.psql("select pg_reload_conf()", "postgres")
        wait_until(lambda: self.sql("select count(*) from pg_stat_wal_receiver") == [(0,)], 30 * SLOWNESS, "its receiver to end", 0.02)

    def promote(self, keeps_all=True):
        if keeps_all:
            self.caught_up()
        self.new.psql("select pg_promote(true, 60)", "postgres")

    def sql(self, query, *args):
        if self.conn is None:
            self.conn = psycopg2.connect(self.new.url(self.stack.database), connect_timeout=5, options="-c statement_timeout=60000")
            self.conn.autocommit = True
            self.stack.cleanups.append(self.conn.close)
        with self.conn.cursor() as cursor:
            cursor.execute(query, args or None)
            return cursor.fetchall() if cursor.description else []

    def url(self):
        return self.new.url(self.stack.database)

    def urls(self):
        """Of both: the old one first."""
        primary = self.stack.servers.primary
        return primary.url(self.stack.database).replace(f":{primary.port}/", f":{primary.port},127.0.0.1:{self.new.port}/") + \
            "?target_session_attrs=read-write"


@pytest.fixture
def pair(stack):
    return Pair(stack)


def insert(run, name="x"):
    key = str(uuid.uuid4())
    run("insert into products (id, name, price, stock) values (%s, %s, 1, 1)", key, name)
    return key


def of_primary(stack):
    return lambda query, *args: stack.sql("primary", query, *args)


def names(stack, db):
    return {name for name, in stack.sql(db, "select name from products")}


# As in tests/unit/test_source.c.
@pytest.mark.parametrize("source, other, succeeds", [
    ("71/5", "71/5", False), ("71/5@2-9", "71/5", True), ("71/5", "71/5@2-9", False), ("71/5@3-1", "71/5@2-9", True),
    ("71/5@10-1", "71/5@9-1", True), ("71/5@2-8", "71/5@2-9", False), ("71/5@2-9", "71/5@2-8", False), ("71/6@2-9", "71/5", False),
    ("71/55@2-9", "71/5", False), ("71/5@2147483647-9", "71/5@2-9", True), ("71/5@99999999999-9", "71/5", False),
    ("71/5@x", "71/5", False), ("71/5@2", "71/5", False), ("table-17@2-9", "table-17", True), ("", "71/5", False)])
def test_which_source_succeeds_another(module_stack, source, other, succeeds):
    assert module_stack.sql("replica-1", "select pgfanout.succeeds(%s, %s)", source, other) == [(succeeds,)]


def test_the_first_record_begins_an_epoch(pair):
    """In the statement that makes it, before it takes a version, and once."""
    stack = pair.stack
    old = stack.sql("primary", "select pgfanout.source()")[0][0]
    insert(of_primary(stack), "before")
    before, xid = stack.sql("primary", "select max(version), max(xid::text::bigint) from pgfanout.outbox")[0]
    pair.promote()
    assert pair.sql("select pgfanout.source()") == [(old,)], "nothing was captured yet"
    with pair.conn.cursor() as cursor:
        pair.conn.autocommit = False
        cursor.execute("insert into products (id, name, price, stock) values (gen_random_uuid(), 'undone', 1, 1)")
        pair.conn.rollback()
        pair.conn.autocommit = True
    source, = pair.sql("select pgfanout.source()")[0]
    assert source.startswith(old + "@2-"), "a transaction that is undone has begun it"
    insert(pair.sql, "after")
    versions = [v for v, in pair.sql("select version from pgfanout.outbox order by version")]
    assert versions[0] <= before and versions[1] >= before + JUMP
    assert versions[1] < before + JUMP + 100, "once"
    assert pair.sql("select last_value from pgfanout.epoch_xid") == [(xid + 1,)]
    assert pair.sql("select pgfanout.source()") == [(source,)]
    assert stack.sql("primary", "select pgfanout.source()") == [(old,)]


def test_two_that_are_promoted_are_told_apart(pair):
    stack = pair.stack
    other = Pair(stack, "standby-2")
    for p in (pair, other):
        p.promote()
        insert(p.sql)
    one, two = (p.sql("select pgfanout.source()")[0][0] for p in (pair, other))
    assert one != two and one.split("-")[0] == two.split("-")[0]
    assert stack.sql("replica-1", "select pgfanout.succeeds(%s, %s), pgfanout.succeeds(%s, %s)", one, two, two, one) == [(False, False)]


def test_a_fenced_primary_captures_nothing(pair):
    stack = pair.stack
    stack.sql("primary", "select pgfanout.fence(true)")
    with pytest.raises(psycopg2.errors.ReadOnlySqlTransaction, match="not the primary any more"):
        insert(of_primary(stack))
    pair.promote()
    insert(pair.sql), insert(pair.sql)
    assert pair.sql("select count(*), pgfanout.is_fenced() from products") == [(2, False)]
    stack.sql("primary", "select pgfanout.fence(false)")
    insert(of_primary(stack))


def test_replicas_go_on_with_the_new_primary(pair):
    stack = pair.stack
    api, _ = stack.start_api(), stack.start_consumer()
    created = product(stack)
    stack.wait_converged()
    insert(of_primary(stack), "before")
    old = stack.sql("replica-1", "select follows from pgfanout.streams where stream = 1")[0][0]
    pair.promote()
    assert api.stop() == 0
    stack.start_api(DATABASE_URL=pair.url(), PORT=stack.env["PORT"])
    insert(pair.sql, "after")
    for db in REPLICAS:
        wait_until(lambda db=db: {"before", "after"} <= names(stack, db), 30 * SLOWNESS, db)
        follows = stack.sql(db, "select follows from pgfanout.streams where stream = 1")[0][0]
        assert follows.startswith(old + "@2-")
    # Positions of the old primary's are of no use any more: it is the new one that answers.
    path = "/api/products/" + created.json()["data"]["id"]
    answer = stack.get(path, headers=at(created))
    assert answer.status_code == 200 and served_by(answer) == "primary"
    # Marks of the new one come, though its places may be behind.
    wait_until(lambda: served_by(stack.get(path, headers=at(stack.put(path, json={"name": "n", "price": 2, "stock": 3})))) in REPLICAS,
               30 * SLOWNESS, "marks of the new primary")
    assert all(r["state"] == "serving" for r in stack.get("/status").json()["data"]["replicas"])


def test_what_comes_late_of_the_old_primary_is_applied_by_version(pair):
    """A change in retry, which the outbox of neither has any more; and a row that was changed since."""
    stack = pair.stack
    api, consumer = stack.start_api(), stack.start_consumer()
    late, changed = insert(of_primary(stack), "late"), insert(of_primary(stack), "changed")
    stack.wait_converged()
    assert consumer.stop() == 0
    stack.sql("primary", "update products set stock = 7 where id = any(%s::uuid[])", [late, changed])
    channel = stack.amqp().channel()
    wait_until(lambda: stack.queue_depth("products.sync.replica-1") >= 1 and stack.sql("primary", OUTBOX_EMPTY) == [(0,)],
               30 * SLOWNESS, "the messages")
    held = [(p, b) for _, p, b in stack.take_all(channel, "products.sync.replica-1") if p.type == "products.sync"]
    pair.promote()
    assert api.stop() == 0
    stack.start_api(DATABASE_URL=pair.url(), PORT=stack.env["PORT"])
    stack.start_consumer(DATABASE_URL=pair.url())
    pair.sql("update products set stock = 9 where id = %s", changed)
    wait_until(lambda: stack.sql("replica-1", "select stock from products where id = %s", changed) == [(9,)], 30 * SLOWNESS, "the new one")
    assert stack.sql("replica-1", "select stock from products where id = %s", late) == [(1,)]
    for properties, body in held:
        channel.basic_publish("", "products.sync.replica-1", body, properties)
    wait_until(lambda: stack.sql("replica-1", "select stock from products where id = %s", late) == [(7,)], 30 * SLOWNESS, "the late one")
    assert stack.sql("replica-1", "select stock from products where id = %s", changed) == [(9,)]


OUTBOX_EMPTY = "select count(*) from pgfanout.outbox where heartbeat is null"


def test_a_transaction_that_was_open_at_a_reset_is_not_taken_for_contained(pair):
    """Its version is below all that the snapshot knows, and its record waited for the broker when the primary was lost."""
    stack = pair.stack
    open_one = stack.connect()
    with open_one.cursor() as cursor:
        cursor.execute("insert into products (id, name, price, stock) values (gen_random_uuid(), 'open', 1, 1)")
    insert(of_primary(stack), "newer")
    assert stack.reset().returncode == 0
    open_one.commit()
    pair.promote()
    spy = stack.amqp().channel()
    spy.queue_declare("spy", durable=True)
    spy.exchange_declare("products", "topic", durable=True)
    spy.queue_bind("spy", "products", "#")
    stack.start_api(DATABASE_URL=pair.url())
    stack.start_consumer(DATABASE_URL=pair.url())
    insert(pair.sql, "after")
    for db in REPLICAS:
        wait_until(lambda db=db: names(stack, db) == {"open", "newer", "after"}, 30 * SLOWNESS, db)
    sources = {}
    for _, p, body in stack.take_all(spy, "spy"):
        if p.type == "products.sync":
            sources.update({name: p.headers["x-source"] for name in ("open", "newer", "after") if f'"{name}"' in body.decode()})
    assert "@" not in sources["open"] and sources["open"] == sources["newer"] and sources["after"].startswith(sources["open"] + "@2-")


def test_transaction_ids_that_are_given_out_again_are_new(pair):
    """The snapshot of a reset contains transactions that the standby never got: it gives their ids to others."""
    stack = pair.stack
    insert(of_primary(stack), "both have it")
    pair.caught_up()
    pair.cut_off()
    for n in range(20):
        insert(of_primary(stack), f"lost {n}")
    assert stack.reset().returncode == 0
    pair.promote(keeps_all=False)
    for n in range(10):
        insert(pair.sql, f"new {n}")
    stack.start_api(DATABASE_URL=pair.url())
    stack.start_consumer(DATABASE_URL=pair.url())
    for db in REPLICAS:
        wait_until(lambda db=db: {f"new {n}" for n in range(10)} <= names(stack, db), 30 * SLOWNESS, db)


def test_an_old_primary_that_is_there_gets_nothing(pair):
    """It is the first host that DATABASE_URL names, and takes writes as ever."""
    stack = pair.stack
    first = stack.start_api(wait=False, DATABASE_URL=pair.url())  # of another process: whose replicas have heard of it
    stack.start_consumer(DATABASE_URL=pair.url())
    pair.promote()
    wait_until(lambda: first.running() and stack.get("/ready").status_code == 200, 30 * SLOWNESS, "the new primary")
    for db in REPLICAS:
        wait_until(lambda db=db: "@2-" in stack.sql(db, "select follows from pgfanout.streams where stream = 1")[0][0],
                   30 * SLOWNESS, "replicas to follow it")
    there = stack.sql("primary", "select count(*) from products")[0][0]
    api = stack.start_api(DATABASE_URL=pair.urls(), wait=False, PORT=stack.port())
    api.wait_for_http(api.base + "/health", 20 * SLOWNESS)
    body = {"name": "n", "price": 1, "stock": 1}
    wait_until(lambda: stack.post("/api/products", json=body, base=api.base).status_code == 201, 30 * SLOWNESS, "a write to be accepted", 0.002)
    for _ in range(20):
        assert product(stack, base=api.base).status_code == 201
    assert stack.sql("primary", "select count(*) from products") == [(there,)]
    names_here = {a for a, in stack.sql("primary", "select application_name from pg_stat_activity where datname = current_database() "
                                        "and application_name ~ 'pgfanout-api (write|relay)'")}
    assert names_here == set()


def test_nothing_goes_that_synchronous_standbys_lack(pair):
    stack = pair.stack
    primary = stack.servers.primary
    primary.psql("alter system set synchronous_standby_names = '*'", "postgres")
    primary.psql("select pg_reload_conf()", "postgres")
    try:
        wait_until(lambda: stack.sql("primary", "select sync_state from pg_stat_replication") == [("sync",)], 30 * SLOWNESS, "it to count")
        stack.start_api()
        stack.start_consumer()
        insert(of_primary(stack), "first")
        stack.wait_converged()
        pair.new.pause()
        local = stack.connect()
        with local.cursor() as cursor:
            cursor.execute("set synchronous_commit = local")
            cursor.execute("insert into products (id, name, price, stock) values (gen_random_uuid(), 'local', 1, 1)")
        local.commit()
        wait_until(lambda: "waits for synchronous standbys" in stack.apis[0].log(), 30 * SLOWNESS, "the relay to say so")
        assert all("local" not in names(stack, db) for db in REPLICAS)
        pair.new.resume()
        for db in REPLICAS:
            wait_until(lambda db=db: "local" in names(stack, db), 30 * SLOWNESS, db)
    finally:
        pair.new.resume()
        primary.psql("alter system reset synchronous_standby_names", "postgres")
        primary.psql("select pg_reload_conf()", "postgres")


def test_a_standby_of_the_old_primary_is_not_read_for_a_position_of_the_new_one(pair):
    """It was ahead of the one that was promoted, so its place in the WAL is behind the new primary's, and says nothing."""
    stack = pair.stack
    other = Pair(stack, "standby-2")
    api = stack.start_api(DATABASE_URL=pair.urls(), STANDBY_1_URL=pair.url(), STANDBY_2_URL=other.url(), WORKERS=1)
    key = stack.create(name="v0")["id"]
    pair.caught_up()
    other.caught_up()
    pair.cut_off()
    stack.sql("primary", "create table junk as select g, repeat('x', 500) v from generate_series(1, 20000) g")
    other.caught_up()
    promotion = threading.Thread(target=lambda: pair.new.psql("select pg_promote(true, 60)", "postgres"))
    promotion.start()
    written, stale = [0], []

    def write_and_read():
        n = written[-1] + 1
        put = stack.put(f"/api/products/{key}", json={"name": f"v{n}", "price": 1, "stock": 1})
        if put.status_code != 200:
            return False
        written.append(n)
        for _ in range(3):
            got = stack.get(f"/api/products/{key}", headers={"X-Position": put.headers["X-Position"]})
            if got.status_code == 200 and got.json()["data"]["name"] != f"v{n}":
                stale.append((got.headers, got.text))
        return pair.sql("select name from products where id = %s", key) == [(f"v{n}",)]
    wait_until(write_and_read, 60 * SLOWNESS, "a write on the new primary", 0)
    begun = written[-1]
    while written[-1] < begun + 300:
        assert write_and_read()
    promotion.join()
    assert api.running() and not stale, stale[:3]


def test_nothing_is_copied_from_an_old_primary(pair):
    stack = pair.stack
    insert(of_primary(stack), "before")
    pair.promote()
    stack.start_api(DATABASE_URL=pair.url())
    consumer = stack.start_consumer(DATABASE_URL=pair.url())
    insert(pair.sql, "after")
    for db in REPLICAS:
        wait_until(lambda db=db: "after" in names(stack, db), 30 * SLOWNESS, db)
    assert consumer.stop() == 0
    for args in ((), ("--verify",), ("--repair",)):
        done = stack.reset(*args)
        assert done.returncode == 4 and "is the primary no more" in done.stderr, done.stderr
    assert all("after" in names(stack, db) for db in REPLICAS)
    for url in (pair.url(), pair.urls()):  # of both hosts the one that leads is taken
        for args in (("--verify",), ("--repair",), ()):
            done = stack.reset(*args, DATABASE_URL=url)
            assert done.returncode == 0, done.stdout + done.stderr
        assert all(names(stack, db) == {"before", "after"} for db in REPLICAS)


def test_what_was_lost_is_named_and_repaired(pair):
    """An asynchronous standby had not received all that was published: rows that are new, changed and deleted."""
    stack = pair.stack
    api, consumer = stack.start_api(), stack.start_consumer()
    changed, deleted = insert(of_primary(stack), "changed"), insert(of_primary(stack), "deleted")
    stack.wait_converged()
    pair.caught_up()
    pair.cut_off()
    new = insert(of_primary(stack), "new")
    stack.sql("primary", "update products set stock = 8 where id = %s", changed)
    stack.sql("primary", "delete from products where id = %s", deleted)
    stack.wait_converged()
    pair.promote(keeps_all=False)
    assert api.stop() == 0 and consumer.stop() == 0
    stack.start_api(DATABASE_URL=pair.url(), PORT=stack.env["PORT"])
    consumer = stack.start_consumer(DATABASE_URL=pair.url())
    there = insert(pair.sql, "there")
    want = sorted([(changed, 1), (deleted, 1), (there, 1)])
    for db in REPLICAS:
        wait_until(lambda db=db: sorted(stack.sql(db, "select id::text, stock from products")) == want, 60 * SLOWNESS, db, 0.1)
        wait_until(lambda db=db: stack.sql(db, "select count(*) from pgfanout.streams where unverified is not null") == [(0,)],
                   30 * SLOWNESS, "it to be noted", 0.1)
    found = [line for line in consumer.log(1000).splitlines() if "compared with the primary" in line]
    for key in (changed, deleted, new):
        assert any(key in line for line in found), found
    assert not any(there in line for line in found)
    assert consumer.log(1000).count("comparing replicas with it") >= 1


def test_who_may_not_repair_says_so(pair):
    stack = pair.stack
    pair.promote()
    stack.start_api(DATABASE_URL=pair.url())
    consumer = stack.start_consumer(DATABASE_URL=pair.url(), AUTO_RESET="false")
    insert(pair.sql, "after")
    wait_until(lambda: "run reset-replicas --repair" in consumer.log(), 30 * SLOWNESS, "the consumer to say so")
    assert stack.sql("replica-1", "select unverified is not null from pgfanout.streams where stream = 1") == [(True,)]
    done = stack.reset("--repair", DATABASE_URL=pair.url())
    assert done.returncode == 0, done.stdout + done.stderr
    assert all(stack.sql(db, "select count(*) from pgfanout.streams where unverified is not null") == [(0,)] for db in REPLICAS)


def test_an_epoch_that_is_used_is_kept(pair):
    """Its name is drawn by chance: a crash must not draw another one when somebody knows the first."""
    pair.promote()
    source, = pair.sql("set synchronous_commit = off; select pgfanout.current_source()")[0]
    pair.new.stop("kill")
    pair.new.start()
    pair.conn = None
    assert pair.sql("select pgfanout.current_source()") == [(source,)]
    assert pair.sql("select source from pgfanout.epochs order by begun_at")[-1] == (source,)


def test_a_cancel_leaves_no_lock(pair):
    pair.promote()
    holder = psycopg2.connect(pair.url())
    pair.stack.cleanups.append(holder.close)
    holder.cursor().execute("lock table pgfanout.streams in access exclusive mode")
    with pytest.raises(psycopg2.errors.QueryCanceled):
        pair.sql("set statement_timeout = 300; select pgfanout.current_source()")
    assert pair.sql("select count(*) from pg_locks where locktype = 'advisory'") == [(0,)]
    holder.rollback()
    pair.sql("set statement_timeout = '60s'")
    insert(pair.sql)


def test_a_fence_begins_the_epoch_that_it_is_of(pair):
    pair.promote()
    pair.sql("select pgfanout.fence(true)")
    assert pair.sql("select pgfanout.is_fenced()") == [(True,)]
    with pytest.raises(psycopg2.errors.ReadOnlySqlTransaction):
        insert(pair.sql)


@pytest.mark.parametrize("names, n", [("'*'", 1), ("'FIRST 1 (*)'", 1), ("'2 (*)'", 2), ("'first 2 (*)'", 2), ("'ANY 2 (*)'", 2), ("'any 1 (a, \"*\")'", 1)])
def test_as_many_standbys_as_a_commit_waits_for(module_stack, names, n):
    """By the function's own pattern: it is one for all forms."""
    sql = module_stack.sql("primary", "select prosrc from pg_proc where proname = 'standbys_flushed'")[0][0]
    pattern = sql.split("FROM '")[1].split("'")[0]
    found = module_stack.sql("primary", "select coalesce(substring(%s FROM %s)::int, 1)", names.strip("'"), pattern)
    assert found == [(n,)]


def test_a_reset_on_the_new_primary_is_the_last_one(pair):
    """What waited for the broker goes by the name of the epoch before, under the new relay's numbers: it counts."""
    stack = pair.stack
    for n in range(5):
        insert(of_primary(stack), f"waited {n}")
    pair.promote()
    assert stack.reset(DATABASE_URL=pair.url()).returncode == 0
    stack.start_api(DATABASE_URL=pair.url())
    stack.start_consumer(DATABASE_URL=pair.url(), AUTO_RESET="false")
    insert(pair.sql, "after")
    want = {f"waited {n}" for n in range(5)} | {"after"}
    beats = [{b for b, in stack.sql(db, "select heartbeat_sync from pgfanout.streams")} for db in REPLICAS]
    for db, before in zip(REPLICAS, beats):
        wait_until(lambda db=db: names(stack, db) == want, 30 * SLOWNESS, db)
        # Messages are taken for lost after 3 s without one of them.
        for _ in range(6):
            wait_until(lambda db=db, before=before: {b for b, in stack.sql(db, "select heartbeat_sync from pgfanout.streams")} != before,
                       30 * SLOWNESS, "a heartbeat")
            before.clear()
            before.update(b for b, in stack.sql(db, "select heartbeat_sync from pgfanout.streams"))
        assert stack.sql(db, "select needs_reset, reason from pgfanout.streams") == [(False, None)]


def test_what_was_lost_and_comes_late_is_repaired_too(pair):
    stack = pair.stack
    api, consumer = stack.start_api(), stack.start_consumer()
    row = insert(of_primary(stack), "row")
    stack.wait_converged()
    pair.caught_up()
    pair.cut_off()
    assert consumer.stop() == 0
    stack.sql("primary", "update products set stock = 7 where id = %s", row)
    channel = stack.amqp().channel()
    held = []
    for db in REPLICAS:
        wait_until(lambda db=db: stack.queue_depth(f"products.sync.{db}") >= 1 and stack.sql("primary", OUTBOX_EMPTY) == [(0,)],
                   30 * SLOWNESS, "the message")
        held += [(db, p, b) for _, p, b in stack.take_all(channel, f"products.sync.{db}") if p.type == "products.sync"]
    pair.promote(keeps_all=False)
    assert api.stop() == 0
    stack.start_api(DATABASE_URL=pair.url(), PORT=stack.env["PORT"])
    consumer = stack.start_consumer(DATABASE_URL=pair.url())
    insert(pair.sql, "after")
    for db in REPLICAS:
        wait_until(lambda db=db: "after" in names(stack, db) and
                   stack.sql(db, "select count(*) from pgfanout.streams where unverified is not null") == [(0,)], 60 * SLOWNESS, db, 0.1)
    for db, properties, body in held:
        channel.basic_publish("", f"products.sync.{db}", body, properties)
    assert len(held) == 2
    wait_until(lambda: consumer.log(1000).count(row) >= 1, 60 * SLOWNESS, "it to be found", 0.1)
    for db in REPLICAS:
        wait_until(lambda db=db: stack.sql(db, "select stock from products where id = %s", row) == [(1,)], 60 * SLOWNESS, db, 0.1)


def test_the_new_primary_leads_though_the_old_one_lives(pair):
    """DATABASE_URL names both, so who is promoted leads; whoever does it says nothing to us."""
    stack = pair.stack
    stack.start_api(DATABASE_URL=pair.urls(), STANDBY_1_URL=pair.url())
    stack.start_consumer(DATABASE_URL=pair.urls())
    product(stack)
    pair.promote()
    wait_until(lambda: "@2-" in stack.sql("replica-1", "select follows from pgfanout.streams where stream = 1")[0][0] and
               stack.post("/api/products", json={"name": "n", "price": 1, "stock": 1}).status_code == 201, 30 * SLOWNESS, "it to lead")
    there = stack.sql("primary", "select count(*) from products")[0][0]
    for _ in range(10):
        product(stack)
    assert stack.sql("primary", "select count(*) from products") == [(there,)]
    assert pair.sql("select count(*) from products")[0][0] > there + 9
