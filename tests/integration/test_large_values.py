"""Values of many megabytes: what fits into a message arrives, and what does not holds nobody up."""
import random
import threading

import pytest

from conftest import SLOWNESS, wait_until
from test_dead_letters import cli

SUMS = "select id, md5(t), length(t), md5(b), length(b) from large order by id"
REPLICAS = ("replica-1", "replica-2")
LEAST = 1000000  # bytes: how large messages may be, below


def limit(stack, size):
    stack.rabbitmq.ctl("eval", f"application:set_env(rabbit, max_message_size, {size}).")


@pytest.fixture
def small_broker(stack):
    """It takes smaller messages than the programs think."""
    limit(stack, LEAST)
    yield stack
    limit(stack, 134217728)


def make(stack):
    stack.psql("primary", "create table large (t text, id int, b bytea, part int, primary key (id, part)); create table other (id int primary key);"
                          "select pgfanout.add_table('large'); select pgfanout.add_table('other');"
                          "insert into large (id, part, t) values (1, 1, 'small'), (2, 1, 'small')")
    wait_until(lambda: all(stack.sql(db, "select count(*) from large") == [(2,)] for db in REPLICAS), 30 * SLOWNESS, "the table")


def equal(stack):
    return stack.sql("primary", SUMS) == stack.sql("replica-1", SUMS) == stack.sql("replica-2", SUMS)


def wrong(stack, db):
    return stack.sql(db, "select key, error from pgfanout.dead_letters")


def test_what_is_too_large_for_the_broker_holds_nobody_up(small_broker):
    stack = small_broker
    api = stack.start_api()
    consumer = stack.start_consumer(RETRY_DELAY_MS=20)
    make(stack)
    # In one statement: as it is, by its quotes, by the other column, and small ones around.
    stack.sql("primary", "insert into large (id, part, t, b) values (3, 1, 'a', null), (4, 1, repeat('x', 1100000), null), "
              "(5, 1, repeat('\"', 600000), null), (6, 1, 'b', decode(repeat('00', 600000), 'hex')), (7, 1, repeat('y', 800000), null), (8, 1, 'z', '')")
    stack.sql("primary", "update large set t = repeat(t, 1000000) where id in (1, 2)")
    stack.sql("primary", "insert into other values (1)")
    key = stack.create("in another stream")["id"]
    wait_until(lambda: all(stack.sql(db, "select 1 from other") == [(1,)] for db in REPLICAS), 30 * SLOWNESS, "the other table")
    wait_until(lambda: all(stack.sql(db, "select 1 from products where id = %s", key) for db in REPLICAS), 30 * SLOWNESS, "the product")
    for db in REPLICAS:
        wait_until(lambda db=db: [r for r, in stack.sql(db, "select key[1] from pgfanout.dead_letters order by 1")] == list("12456"),
                   30 * SLOWNESS, f"{db} to know what is wrong")
        assert {e for _, e in wrong(stack, db)} == {'unknown field "the row is too large for a message: run reset-replicas --repair"'}
        assert stack.sql(db, "select id, left(t, 1) from large order by id") == [(1, "s"), (2, "s"), (3, "a"), (7, "y"), (8, "z")]
    wait_until(lambda: stack.sql("primary", "select count(*) from pgfanout.outbox where heartbeat is null") == [(0,)], 30 * SLOWNESS, "the outbox")
    # It was found out once, and told.
    log = api.log()
    assert log.count("is larger than configured max size") == 1 and f"smaller messages than it does by default bytes={LEAST}" in log
    assert "rows are too large for a message" in log and "key=public.large.sync" in log
    metrics = stack.get("/metrics").text
    assert int(metrics.split('\npgfanout_api_relay_too_large_total{stream="tables"} ')[1].split()[0]) >= 5
    verified = stack.reset("--verify")
    assert verified.returncode == 1 and verified.stdout.count("replica-1: public.large") == 5, verified.stdout + verified.stderr

    # A smaller one of the row heals it, and a delete does.
    stack.sql("primary", "update large set t = 'small again' where id = 1")
    stack.sql("primary", "delete from large where id = 2")
    for db in REPLICAS:
        wait_until(lambda db=db: sorted(k[0] for k, _ in wrong(stack, db)) == list("456"), 30 * SLOWNESS, f"two rows of {db} to heal")
    # A load has no such limit.
    done = stack.reset("--table", "large")
    assert done.returncode == 0, done.stdout + done.stderr
    assert equal(stack) and [wrong(stack, db) for db in REPLICAS] == [[], []]
    assert stack.reset("--verify").returncode == 0
    cli(stack, "discard", "--all", "--yes")
    assert api.running() and consumer.running()


TYPES = """
    create type mood as enum ('sad', 'it''s "fine"');
    create table typed (at timestamptz(3), "The Key" char(4), id uuid, yes boolean, small smallint, n bigint, amount numeric, f float8,
        j json, jb jsonb, tags text[], m mood, span interval, cash money, b bytea, v varchar, t text, none text, primary key ("The Key", id));
"""
TYPED = """
    insert into typed select '0044-03-15 12:00:00.123 BC', k, '00000000-0000-0000-0000-000000000001', true, -7, 1::bigint << 62, 'NaN', 1e-300,
        '{"a":  1, "a": null}', 'null', '[0:1]={a,NULL}', 'it''s "fine"', '-1 mons +2 days', '-1234.5', '\\x00ff22', repeat(' ', 3),
        repeat(E'{"\\\\,\\n\\x01ü}', length), null
    from (values ('a', 100), ('b', 400000)) as r (k, length);
"""


def repair(stack, *args, lines=""):
    done = stack.run("reset-replicas", "--repair", *args, timeout=300)
    assert done.returncode == 0 and lines in done.stdout, done.stdout + done.stderr


def known_as_wrong(stack, ids):
    for db in REPLICAS:
        wait_until(lambda db=db: sorted(k[0].strip() for k, _ in wrong(stack, db)) == sorted(ids), 60 * SLOWNESS, f"{db} to know what is wrong")


def test_a_repair_brings_what_is_too_large(small_broker):
    stack = small_broker
    stack.start_api()
    stack.start_consumer(RETRY_DELAY_MS=20)
    for db in ("primary", *REPLICAS):
        stack.psql(db, TYPES)
    stack.psql("primary", "select pgfanout.add_table('typed', filter => 'yes')")
    make(stack)
    stack.psql("primary", TYPED)
    stack.sql("primary", "update large set t = repeat('x', 1100000) where id = 1")
    stack.sql("primary", "insert into large values (repeat('\"', 600000), 3, decode(repeat('0f', 600000), 'hex'), 1)")
    known_as_wrong(stack, "13b")
    repair(stack, lines="3 rows differed, 3 repaired")
    typed = 'select "The Key", md5(row(at, "The Key", id, yes, small, n, amount, f, j, jb, tags, m, span, cash, b, v, t, none)::text) from typed order by 1'
    assert equal(stack) and stack.sql("primary", typed) == stack.sql("replica-1", typed) == stack.sql("replica-2", typed)
    assert [wrong(stack, db) for db in REPLICAS] == [[], []] and stack.reset("--verify").returncode == 0

    # Replicas that are right are left alone, also those that were not asked for.
    versions = "select id, pgfanout_version from large order by id"
    before = stack.sql("replica-2", versions)
    stack.sql("replica-1", "delete from large where id = 1")
    stack.sql("replica-1", "update large set b = null where id = 3")
    repair(stack, "--replica", "replica-1", lines="replica-1: 2 rows differed, 2 repaired")
    assert equal(stack) and stack.sql("replica-2", versions) == before and wrong(stack, "replica-2") == []
    # A row that is gone by then, and one that no longer fulfils the filter, are deletes.
    stack.sql("primary", "delete from large where id = 3")
    stack.sql("primary", "update typed set yes = false")
    wait_until(lambda: equal(stack) and stack.sql("replica-1", "select count(*) from typed") == [(0,)], 30 * SLOWNESS, "the deletes")
    repair(stack, lines="replica-2: equal")

    # What a replica refuses is said, and does not stop the rest.
    stack.sql("primary", "insert into large values (repeat('z', 1200000), 4, null, 1), (repeat('y', 1200000), 5, null, 1)")
    known_as_wrong(stack, "45")
    stack.psql("replica-1", "alter table large add constraint no_z check (t not like 'z%')")
    done = stack.run("reset-replicas", "--repair", timeout=300)
    assert done.returncode == 1 and "violates check constraint" in done.stderr, done.stdout + done.stderr
    assert "replica-1: 2 rows differed, 1 repaired" in done.stdout and "replica-2: 2 rows differed, 2 repaired" in done.stdout
    stack.psql("replica-1", "alter table large drop constraint no_z")
    repair(stack)
    assert equal(stack) and [wrong(stack, db) for db in REPLICAS] == [[], []]


class Changes(threading.Thread):
    """Makes rows too large and small, deletes them and brings them back."""

    def __init__(self, stack):
        super().__init__(daemon=True)
        self.conn, self.halt, self.error, self.n = stack.connect("primary"), threading.Event(), None, 0
        self.conn.autocommit = True

    def run(self):
        try:
            while not self.halt.wait(0.01):
                self.n += 1
                length = 1100000 if self.n % 3 else 10
                with self.conn.cursor() as c:
                    if self.n % 5 == 0:
                        c.execute("delete from large where id = %s", (self.n % 4,))
                    else:
                        c.execute("insert into large values (repeat(%s, %s), %s, null, 1) on conflict (id, part) do update set t = excluded.t",
                                  (chr(97 + self.n % 26), length, self.n % 4))
        except Exception as e:  # pylint: disable=broad-except
            self.error = e

    def stop(self):
        self.halt.set()
        self.join()
        assert self.error is None and self.n > 20, self.error


def test_a_repair_under_writers_that_dies_at_any_moment(small_broker):
    """Whatever it did before, versions decide: nothing goes back, and the next one repairs the rest."""
    stack = small_broker
    stack.start_api()
    stack.start_consumer(RETRY_DELAY_MS=20)
    make(stack)
    writer = Changes(stack)
    writer.start()
    random.seed(7)
    for _ in range(8):
        stack.sql("replica-1", "delete from large where id in (0, 1)")
        program = stack.start_program("reset-replicas", "--repair", label="repair")
        program.wait(random.uniform(0.2, 4) * SLOWNESS)
        program.kill9()
    writer.stop()
    stack.sql("primary", "insert into large values (repeat('e', 1100000), 0, null, 1), (repeat('e', 1100000), 2, null, 1)"
              " on conflict (id, part) do update set t = excluded.t")
    repair(stack)
    assert equal(stack) and [wrong(stack, db) for db in REPLICAS] == [[], []]
    assert stack.reset("--verify").returncode == 0


def memory(program):
    """Of a process: now, and at most since the last call; in MB."""
    with open(f"/proc/{program.pid}/status", encoding="ascii") as f:
        found = {k: int(v.split()[0]) // 1024 for k, v in (line.split(":") for line in f) if k in ("VmRSS", "VmHWM")}
    with open(f"/proc/{program.pid}/clear_refs", "w", encoding="ascii") as f:
        f.write("5")
    return found["VmRSS"], found["VmHWM"]


def test_memory_of_a_large_row_is_given_back(stack):
    """By the consumer, when it has been applied, and with it that of a few others right behind it."""
    stack.start_api()
    consumer = stack.start_consumer()
    make(stack)
    before = memory(consumer)[0]
    for n in (1, 2):
        stack.sql("primary", "update large set t = repeat(%s, 3000000) where id = %s", f"012345678{n}", n)
    stack.sql("primary", "insert into other values (1)")
    wait_until(lambda: equal(stack), 120 * SLOWNESS, "the change")
    most = memory(consumer)[1]
    assert most > before + 60, "the test measures what it says"
    wait_until(lambda: memory(consumer)[0] < before + 40, 60 * SLOWNESS, f"the memory to be given back: {before}, then {most} MB")
    assert consumer.log().count("a large change has come") <= 4
    stack.sql("primary", "update large set t = 'small' where id = 1")
    wait_until(lambda: equal(stack), 30 * SLOWNESS, "the next change")
    assert [wrong(stack, db) for db in REPLICAS] == [[], []]


@pytest.mark.long
@pytest.mark.parametrize("value", ["repeat('0123456789abcde', 4000000), null", "repeat('\"', 60000000), null",
                                   "null, decode(repeat('0123456789abcdef', 7500000), 'hex')"])
def test_sixty_megabytes(stack, value):
    """By the load, as a change, and as a row that is not alone; what does not fit is known."""
    api, consumer = stack.start_api(), stack.start_consumer()
    make(stack)
    stack.sql("primary", f"insert into large (id, part, t, b) values (3, 1, {value}), (4, 1, 'small', '')")
    stack.sql("primary", "insert into other values (1)")
    wait_until(lambda: equal(stack), 120 * SLOWNESS, "the change", 1)
    stack.sql("primary", "update large set id = 5 where id = 3")
    wait_until(lambda: equal(stack), 120 * SLOWNESS, "the other key", 1)
    assert stack.reset("--table", "large").returncode == 0 and equal(stack)
    assert memory(api)[1] < 1000 * SLOWNESS and memory(consumer)[1] < 3000 * SLOWNESS
    assert [wrong(stack, db) for db in REPLICAS] == [[], []]


@pytest.mark.long
def test_more_than_any_broker_takes_by_default(stack):
    """60 MB of control characters are 360 MB of JSON."""
    api = stack.start_api()
    stack.start_consumer(RETRY_DELAY_MS=20)
    make(stack)
    stack.sql("primary", "insert into large (id, part, t) values (3, 1, repeat(e'\\x01', 60000000)), (4, 1, 'small')")
    stack.sql("primary", "insert into other values (1)")
    for db in REPLICAS:
        wait_until(lambda db=db: [k[0] for k, _ in wrong(stack, db)] == ["3"] and stack.sql(db, "select 1 from other") == [(1,)],
                   60 * SLOWNESS, f"{db} to know what is wrong")
    assert "relay lost the broker" not in api.log()
    assert stack.reset("--table", "large").returncode == 0 and equal(stack)
