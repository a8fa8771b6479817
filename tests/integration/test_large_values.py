"""Values of many megabytes: what fits into a message arrives, and what does not holds nobody up."""
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
        assert {e for _, e in wrong(stack, db)} == {'unknown field "the row is too large for a message: reset the table to have it "'}
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


def memory(program):
    """Of a process: now, and at most since the last call; in MB."""
    with open(f"/proc/{program.pid}/status", encoding="ascii") as f:
        found = {k: int(v.split()[0]) // 1024 for k, v in (line.split(":") for line in f) if k in ("VmRSS", "VmHWM")}
    with open(f"/proc/{program.pid}/clear_refs", "w", encoding="ascii") as f:
        f.write("5")
    return found["VmRSS"], found["VmHWM"]


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
