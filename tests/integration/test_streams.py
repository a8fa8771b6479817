"""One stream's trouble is no other's.

Each trouble strikes the stream of products and then the stream of another table. The other one goes on meanwhile: its
changes arrive, it is not marked, not reset, nothing of it is given up.
"""
import itertools
import json

import pika
import pytest

from conftest import SLOWNESS, wait_until

REPLICAS = ("replica-1", "replica-2")
STREAMS = ("products", "tables")
BOUND = 40
NUMBERS = itertools.count(1)


def other(stream):
    return STREAMS[1 - STREAMS.index(stream)]


def start(stack, consumer=True):
    """With both streams at work."""
    stack.start_api(MAX_BACKLOG_MESSAGES=BOUND, MESSAGE_MAX_CHANGES=1)
    program = stack.start_consumer(RETRY_DELAY_MS=20)
    stack.sql("primary", "create table items (id int primary key, n int)")
    stack.sql("primary", "select pgfanout.add_table('items')")
    for db in REPLICAS:
        wait_until(lambda db=db: stack.sql(db, "select due from pgfanout.tables where relation = to_regclass('items')") == [(False,)],
                   60 * SLOWNESS, f"{db} has the table")
    for stream in STREAMS:
        assert_fresh(stack, stream)
    if not consumer:
        program.stop()


def write(stack, stream, n=1):
    """Returns what finds the last row."""
    first = next(NUMBERS) * 1000
    if stream == "products":
        stack.sql("primary", "insert into products (id, name, price, stock) select gen_random_uuid(), 'number ' || i, 1, 1 "
                             "from generate_series(%s, %s) i", first, first + n - 1)
        return f"select 1 from products where name = 'number {first + n - 1}'"
    stack.sql("primary", "insert into items select i, 0 from generate_series(%s, %s) i", first, first + n - 1)
    return f"select 1 from items where id = {first + n - 1}"


def assert_fresh(stack, stream, dbs=REPLICAS):
    """What is written now arrives."""
    question = write(stack, stream)
    for db in dbs:
        wait_until(lambda db=db: stack.sql(db, question) == [(1,)], 30 * SLOWNESS, f"a change of {stream} on {db}")


def state(stack, db, stream):
    """needs_reset, reset_at."""
    return stack.sql(db, "select needs_reset, reset_at from pgfanout.streams where name = %s", stream)[0]


def due(stack, stream, replica="replica-1"):
    return stack.sql("primary", "select q.reset_due_at is not null from pgfanout.queues q join pgfanout.streams s on s.id = q.stream "
                     "where s.name = %s and q.replica = %s", stream, replica)[0][0]


def assert_untouched(stack, stream, before):
    for db in REPLICAS:
        assert state(stack, db, stream) == before[db]
        assert stack.queue_depth(f"{stream}.dead.{db}") == 0
        assert not due(stack, stream, db)


def states(stack, stream):
    return {db: state(stack, db, stream) for db in REPLICAS}


@pytest.mark.parametrize("stream", STREAMS)
def test_poison(stack, stream):
    start(stack)
    before = states(stack, other(stream))
    stack.amqp().channel().basic_publish("", f"{stream}.sync.replica-1", b"no JSON at all", pika.BasicProperties(
        delivery_mode=2, type=f"{stream}.sync", content_type="application/json", message_id="poison"))
    wait_until(lambda: stack.queue_depth(f"{stream}.dead.replica-1") == 1, 30 * SLOWNESS, "the dead letter")
    for s in STREAMS:
        assert_fresh(stack, s)
    assert_untouched(stack, other(stream), before)


@pytest.mark.parametrize("stream", STREAMS)
def test_a_deleted_queue_and_the_reset_after_it(stack, stream):
    start(stack)
    before, struck = states(stack, other(stream)), state(stack, "replica-1", stream)
    stack.amqp().channel().queue_delete(f"{stream}.sync.replica-1")
    assert_fresh(stack, other(stream))
    wait_until(lambda: state(stack, "replica-1", stream) == (False, state(stack, "replica-1", stream)[1])
               and state(stack, "replica-1", stream)[1] != struck[1], 60 * SLOWNESS, "the consumer to reset the stream")
    for s in STREAMS:
        assert_fresh(stack, s)
    assert_untouched(stack, other(stream), before)


@pytest.mark.parametrize("stream", STREAMS)
def test_a_dropped_backlog(stack, stream):
    start(stack, consumer=False)
    before = states(stack, other(stream))
    kept = write(stack, other(stream), 3)
    write(stack, stream, 10 * BOUND)
    wait_until(lambda: due(stack, stream), 30 * SLOWNESS, "the struck stream to be due")
    assert not due(stack, other(stream))
    stack.start_consumer(AUTO_RESET="false")
    for db in REPLICAS:
        wait_until(lambda db=db: stack.sql(db, kept) == [(1,)], 30 * SLOWNESS, "what waited of the other stream")
        wait_until(lambda db=db: state(stack, db, stream)[0], 30 * SLOWNESS, "the mark on the replica")
    assert_fresh(stack, other(stream))
    assert_untouched(stack, other(stream), before)
    done = stack.reset("--yes", *(() if stream == "products" else ("--table", "items")))
    assert done.returncode == 0, done.stdout + done.stderr
    assert_fresh(stack, other(stream))


ODD = """
    create type mood as enum ('sad', 'ok');
    create table "odd.name, really" (id bigint, k text, b boolean, i int, n numeric, f float8, t text, j json, jb jsonb,
        at timestamptz, d date, a int[], m mood, nothing text, primary key (id, k))"""
ROW = """(9007199254740993, 'a"b', true, -7, 1.50, 'NaN', E'tab\\t\u00e9', '{"z": 1,  "a":2}', 'null',
    '0044-03-15 12:00:00.000001 BC', '2026-11-30', '[0:1]={1,NULL}', 'ok', null)"""
AS_MESSAGE = {"id": 9007199254740993, "k": 'a"b', "b": True, "i": -7, "n": "1.50", "f": "NaN", "t": "tab\t\u00e9", "j": '{"z": 1,  "a":2}',
              "jb": None, "d": "2026-11-30", "a": "[0:1]={1,NULL}", "m": "ok"}


def test_what_a_subscriber_gets(stack):
    """Of a table whose name has all that a routing key must not have."""
    start(stack)
    stack.psql("primary", ODD + "; select pgfanout.add_table('\"odd.name, really\"')")
    for db in REPLICAS:
        wait_until(lambda db=db: stack.sql(db, "select due from pgfanout.tables where relation = to_regclass('\"odd.name, really\"')")
                   == [(False,)], 60 * SLOWNESS, f"{db} has the table")
    channel = stack.amqp().channel()
    channel.queue_declare("tap", exclusive=True)
    channel.queue_bind("tap", "tables", "#")
    name, got = '"odd.name, really"', []
    for n, change in enumerate((f"insert into {name} values {ROW}", f"update {name} set i = 8", f"update {name} set k = 'c'",
                                f"delete from {name}", f"truncate {name}")):
        stack.sql("primary", change)
        want = (1, 2, 5, 6, 7)[n]
        wait_until(lambda: got.extend(stack.take_all(channel, "tap")) or len(got) >= want, 30 * SLOWNESS, change)  # pylint: disable=cell-var-from-loop
    # A change of the key: the old one's delete and the new row, twice, in the order of their kinds.
    assert [k.rsplit(".", 1)[1] for k, _, _ in got[2:5]] == ["sync", "sync", "delete"]
    again, got = got[2], [got[i] for i in (0, 1, 4, 3, 5, 6)]
    assert json.loads(again[2])["row"] == json.loads(got[3][2])["row"]
    keys, properties, bodies = zip(*got)
    kinds = ["sync", "sync", "delete", "sync", "delete", "truncate"]
    assert [k.replace("public.odd%2Ename, really.", "") for k in keys] == kinds
    assert [p.type for p in properties] == [f"tables.{kind}" for kind in kinds]
    assert [p.delivery_mode for p in properties] == [2] * 6
    bodies = [json.loads(b, parse_float=str) for b in bodies]
    versions = [b.pop("version") for b in bodies]
    assert len(set(versions)) == 6 and max(versions) == versions[5] and min(versions) == versions[0]
    assert {b.pop("table") for b in bodies} == {"public.odd.name, really"}
    at = bodies[0]["row"].pop("at")
    assert bodies[0] == {"row": AS_MESSAGE}
    assert stack.sql("primary", "select %s::timestamptz = '0044-03-15 12:00:00.000001 BC'", at) == [(True,)]
    key = {"id": 9007199254740993, "k": 'a"b'}
    for body in bodies[1], bodies[3]:
        body["row"].pop("at")
    assert bodies[1:] == [{"row": {**AS_MESSAGE, "i": 8}}, {"key": key}, {"row": {**AS_MESSAGE, "i": 8, "k": "c"}},
                          {"key": {**key, "k": "c"}}, {}]
    headers = [p.headers for p in properties]
    assert len({h["x-shape"] for h in headers}) == 1 and [h["x-inserted"] for h in headers] == [1, 0, 0, 0, 0, 0]
    cuts = [h["x-cut"].split(":") for h in headers]
    assert {int(term) for term, _ in cuts} == {h["x-term"] for h in headers}
    assert cuts[2] == cuts[3] and len({sweep for _, sweep in cuts}) == 5
    assert [int(sweep) for _, sweep in cuts] == sorted(int(sweep) for _, sweep in cuts)
