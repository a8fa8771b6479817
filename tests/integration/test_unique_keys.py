"""Promises 3 and 6 where replicas have unique keys of their own: what one change waits for another one gives
it, whichever comes first and however late, so no order in which values change hands costs a change.
"""
import contextlib
import random
import uuid

import pytest
import requests

from conftest import OUTBOX, SLOWNESS, wait_until
from test_dead_letters import cli, letters, wait_letters
from test_tables import wait_equal

REPLICAS = ("replica-1", "replica-2")
KEY = "alter table products add constraint one_name unique (name)"
DEFERRABLE = KEY + " deferrable initially deferred"


def ident(number):
    return str(uuid.UUID(int=number))


def add_key(stack, key=KEY, dbs=REPLICAS):
    for db in dbs:
        stack.sql(db, key)


def fill(stack, n, order=lambda i: i):
    """Products named n0 … n(N-1); their ids are in the order of order(i)."""
    for i in range(n):
        stack.sql("primary", "insert into products (id, name, price, stock) values (%s, %s, 1, 0)",
                  ident(order(i) + 1), f"n{i}")


def rename(stack, pairs):
    """All renamings in one transaction, in this order."""
    conn = stack.connect("primary")
    with conn, conn.cursor() as cursor:
        for old, new in pairs:
            cursor.execute("update products set name = %s where name = %s", (new, old))
            assert cursor.rowcount == 1


def status(consumer, replica="replica-1"):
    answer = requests.get(consumer.base + "/status", timeout=10).json()
    return next(r for r in answer["data"]["replicas"] if r["name"] == replica)


def stream(consumer, name="products", replica="replica-1"):
    return next(s for s in status(consumer, replica)["streams"] if s["stream"] == name)


def wait_for_waiting(consumer, n, name="products", replica="replica-1"):
    wait_until(lambda: stream(consumer, name, replica)["waiting"] == n, 20 * SLOWNESS,
               f"{n} changes of {name} that wait on {replica}")


def assert_no_letters(stack, consumer, name="products"):
    """Nothing was given up, nothing waits, and no row is known to be wrong."""
    for replica in REPLICAS:
        wait_for_waiting(consumer, 0, name, replica)
        assert stream(consumer, name, replica)["error_count"] == 0
        assert stack.sql(replica, "select count(*) from pgfanout.waiting") == [(0,)]
        assert stack.sql(replica, "select count(*) from pgfanout.dead_letters") == [(0,)]
        assert stack.queue_depth(f"{name}.dead.{replica}") == 0


@contextlib.contextmanager
def held(stack, *queues):
    """What is in these queues, and comes there, goes to nobody until the end; then in its old order."""
    conn = stack.amqp()
    channel = conn.channel()
    for queue in queues:
        channel.basic_consume(queue, lambda *_: None, arguments={"x-priority": 10})
    try:
        yield
    finally:
        conn.close()


def heartbeats(stack, replica="replica-1", name="products"):
    return stack.sql(replica, "select least(heartbeat_sync, heartbeat_delete), heartbeat_sync from pgfanout.streams "
                     "where name = %s", name)[0]


def beat(stack, consumer_is_held=False, replica="replica-1", name="products"):
    """Two more heartbeats have come through both queues, or through the sync queue alone."""
    place = 1 if consumer_is_held else 0
    for _ in range(2):
        last = heartbeats(stack, replica, name)[place]
        wait_until(lambda: heartbeats(stack, replica, name)[place] > last, 20 * SLOWNESS,  # pylint: disable=cell-var-from-loop
                   "a heartbeat")


@pytest.mark.parametrize("order", ["up", "down", "mixed"])
def test_a_chain_of_names_costs_no_attempt(stack, order):
    n = 12
    fill(stack, n, {"up": lambda i: i, "down": lambda i: n - i, "mixed": lambda i: i * 7 % n}[order])
    stack.start_api()
    consumer = stack.start_consumer()
    stack.wait_converged()
    add_key(stack, dbs=("primary", *REPLICAS))
    rename(stack, [(f"n{i}", f"n{i + 1}") for i in reversed(range(n))])
    stack.wait_converged()
    # A swap by way of a third name: only the last state of a product is of interest, and neither
    # last state can be taken first.
    rename(stack, [("n1", "free"), ("n2", "n1"), ("free", "n2")])
    rename(stack, [("n3", "free"), ("n4", "n3"), ("n5", "n4"), ("free", "n5")])
    stack.wait_converged()
    for replica in REPLICAS:
        assert (status(consumer, replica)["retried"], status(consumer, replica)["dead"]) == (0, 0)


@pytest.mark.parametrize("batch", [3, 4, 5, 6])
def test_a_batch_that_ends_amid_a_swap_costs_no_attempt(stack, batch):
    """What waits for the next batch must not take a name that this one needs on the way."""
    n = 6
    fill(stack, n, lambda i: n - i)
    stack.start_api(MESSAGE_MAX_CHANGES=1)
    consumer = stack.start_consumer()
    stack.wait_converged()
    consumer.stop()
    add_key(stack, dbs=("primary", *REPLICAS))
    # The second swap comes by way of the same third name, and its ids are the lower ones.
    rename(stack, [("n1", "free"), ("n2", "n1"), ("free", "n2")])
    rename(stack, [("n3", "free"), ("n4", "n3"), ("n5", "n4"), ("free", "n5")])
    wait_until(lambda: stack.sql("primary", OUTBOX) == [(0,)], 30, "all changes in the queues")
    consumer = stack.start_consumer(BATCH_MAX_CHANGES=batch, PREFETCH=batch)
    stack.wait_converged()
    for replica in REPLICAS:
        assert (status(consumer, replica)["retried"], status(consumer, replica)["dead"]) == (0, 0)


def test_a_chain_the_primary_took_backwards_and_longer_than_a_batch(stack):
    n = 40
    fill(stack, n, lambda i: i * 7 % n)
    stack.start_api(MESSAGE_MAX_CHANGES=1)
    consumer = stack.start_consumer(BATCH_MAX_CHANGES=4, PREFETCH=4, RETRY_DELAY_MS=400)
    stack.wait_converged()
    add_key(stack)
    # Without the key on the primary, every name but the last is taken at first.
    conn = stack.connect("primary")
    with conn, conn.cursor() as cursor:
        for i in range(n):
            cursor.execute("update products set name = %s where id = %s",
                           (f"n{i + 1}", ident(i * 7 % n + 1)))
    stack.wait_converged(60)
    assert_no_letters(stack, consumer)


def test_replay_all_leaves_none_of_a_chain(stack):
    n = 8
    fill(stack, n)
    stack.start_api()
    consumer = stack.start_consumer(RETRY_DELAY_MS=20)
    stack.wait_converged()
    add_key(stack, dbs=("primary", *REPLICAS))
    # A row of somebody else's is in the way of the whole chain, until all of it is given up.
    stack.sql("replica-1", "insert into products (id, name, price, stock, created_at, updated_at, "
              "version) values (%s, %s, 1, 0, now(), now(), 0)", ident(999), f"n{n}")
    rename(stack, [(f"n{i}", f"n{i + 1}") for i in reversed(range(n))])
    wait_letters(stack, "replica-1", n)
    stack.sql("replica-1", "delete from products where id = %s", ident(999))
    assert f"{n} replayed, 0 left" in cli(stack, "replay", "--all").stdout
    stack.wait_converged()
    assert letters(stack) == []
    wait_for_waiting(consumer, 0)
    assert stack.sql("replica-1", "select count(*) from pgfanout.dead_letters") == [(0,)]


def test_a_key_that_is_really_taken_is_given_up(stack):
    """While others of the same batch go through."""
    fill(stack, 4)
    stack.start_api()
    consumer = stack.start_consumer(RETRY_DELAY_MS=20)
    stack.wait_converged()
    add_key(stack, dbs=REPLICAS)
    with held(stack, "products.delete.replica-1"):
        rename(stack, [("n0", "n1"), ("n2", "free"), ("n3", "n2")])
        # What it waits for may yet be in the other queue.
        wait_for_waiting(consumer, 1)
        wait_letters(stack, "replica-2", 1)
        beat(stack, consumer_is_held=True)
        assert stack.queue_depth("products.dead.replica-1") == 0
        wait_until(lambda: status(consumer)["wrongProducts"] == 1, 20 * SLOWNESS, "the count")
    wait_letters(stack, "replica-1", 1)
    assert {x["productId"] for x in letters(stack)} == {ident(1)}
    assert {x["attempts"] for x in letters(stack)} == {3}
    names = dict(stack.sql("replica-1", "select id::text, name from products"))
    assert [names[ident(i)] for i in range(1, 5)] == ["n0", "n1", "free", "n2"]
    assert (status(consumer)["retried"], status(consumer)["dead"]) == (0, 1)
    wait_for_waiting(consumer, 0)
    assert stack.sql("replica-1", "select key[1] from pgfanout.dead_letters") == [(ident(1),)]
    assert stack.sql("replica-1", "select count(*) from pgfanout.waiting") == [(0,)]


@pytest.mark.parametrize("n", [pytest.param(2, marks=pytest.mark.long), 3, pytest.param(7, marks=pytest.mark.long)])
def test_a_cycle_whose_changes_come_one_by_one(stack, n):
    """The primary takes it since it checks at the end; no replica could take any of them alone."""
    fill(stack, n, lambda i: i * 3 % n if n % 3 else i)
    stack.start_api(MESSAGE_MAX_CHANGES=1)
    consumer = stack.start_consumer(BATCH_MAX_CHANGES=1, PREFETCH=1, MAX_ATTEMPTS=1)
    stack.wait_converged()
    stack.sql("primary", DEFERRABLE)
    stack.sql("replica-1", "create unique index one_name on products (upper(name)) where stock >= 0")
    stack.sql("replica-2", "alter table products add constraint one_name exclude using btree (name with =)")
    # What users have added to a row stays in place.
    stack.sql("replica-1", "alter table products add column note text, "
              "add column loud text generated always as (upper(name)) stored")
    stack.sql("replica-1", "update products set note = id::text")
    stack.sql("primary", "update products set name = 'n' || (substr(name, 2)::int + 1) %% %s", n)
    stack.wait_converged()
    assert_no_letters(stack, consumer)
    assert stack.sql("replica-1", "select count(*) from products where note = id::text and loud = upper(name)") == [(n,)]


def test_what_deferrable_keys_take_together(stack):
    """No row is taken out, so foreign keys may refer to the table."""
    n = 5
    fill(stack, n)
    stack.start_api(MESSAGE_MAX_CHANGES=1)
    consumer = stack.start_consumer(BATCH_MAX_CHANGES=1, PREFETCH=1)
    stack.wait_converged()
    stack.sql("primary", DEFERRABLE)
    add_key(stack, DEFERRABLE)
    for db in REPLICAS:
        stack.sql(db, "create table notes (product uuid references products on delete cascade)")
        stack.sql(db, "insert into notes select id from products")
    stack.sql("primary", "update products set name = 'n' || (substr(name, 2)::int + 1) %% %s", n)
    stack.wait_converged()
    assert_no_letters(stack, consumer)
    for db in REPLICAS:
        assert stack.sql(db, "select count(*) from notes") == [(n,)]


def test_a_cycle_of_a_table_that_is_referred_to(stack):
    """Its rows cannot be taken out: it waits, is given up, and can be replayed."""
    n = 3
    fill(stack, n)
    stack.start_api()
    consumer = stack.start_consumer(RETRY_DELAY_MS=20)
    stack.wait_converged()
    stack.sql("primary", DEFERRABLE)
    add_key(stack)
    stack.sql("replica-2", "create table notes (product uuid references products on delete cascade)")
    stack.sql("replica-2", "insert into notes select id from products")
    stack.sql("primary", "update products set name = 'n' || (substr(name, 2)::int + 1) %% %s", n)
    stack.wait_converged(dbs=("replica-1",))
    wait_letters(stack, "replica-2", n)
    assert stack.sql("replica-2", "select count(*) from notes") == [(n,)]
    stack.sql("replica-2", "drop table notes")
    assert f"{n} replayed, 0 left" in cli(stack, "replay", "--all").stdout
    stack.wait_converged()
    wait_for_waiting(consumer, 0, replica="replica-2")


def test_what_is_deleted_late(stack):
    """The delete queue stands still for longer than all attempts; the consumer dies meanwhile."""
    n = 20
    settings = {"MAX_ATTEMPTS": 2, "RETRY_DELAY_MS": 10}
    fill(stack, n)
    stack.start_api()
    consumer = stack.start_consumer(**settings)
    stack.wait_converged()
    add_key(stack, dbs=("primary", *REPLICAS))
    with held(stack, *(f"products.delete.{db}" for db in REPLICAS)):
        stack.sql("primary", "delete from products where stock = 0")
        stack.sql("primary", "insert into products (name, price, stock) select 'n' || i, 2, 1 "
                  "from generate_series(0, %s) i", n - 1)
        for db in REPLICAS:
            wait_for_waiting(consumer, n, replica=db)
            beat(stack, consumer_is_held=True, replica=db)
            assert stack.queue_depth(f"products.sync.{db}") == 0
        # One that waits is superseded, one is deleted.
        stack.sql("primary", "update products set stock = 2 where name = 'n3' and stock = 1")
        stack.sql("primary", "delete from products where name = 'n4' and stock = 1")
        consumer.kill9()
        consumer = stack.start_consumer(**settings)
        for db in REPLICAS:
            wait_for_waiting(consumer, n, replica=db)
            beat(stack, consumer_is_held=True, replica=db)
            assert stack.queue_depth(f"products.dead.{db}") == 0
    stack.wait_converged()
    assert_no_letters(stack, consumer)


def test_two_consumers_of_one_replica(stack):
    n = 9
    fill(stack, n)
    stack.start_api(MESSAGE_MAX_CHANGES=1)
    consumers = [stack.start_consumer(BATCH_MAX_CHANGES=1, PREFETCH=1) for _ in range(2)]
    stack.wait_converged()
    stack.sql("primary", DEFERRABLE)
    add_key(stack)
    for _ in range(3):
        stack.sql("primary", "update products set name = 'n' || (substr(name, 2)::int + 1) %% %s", n)
    stack.wait_converged()
    for consumer in consumers:
        assert_no_letters(stack, consumer)


def test_children_before_their_parents(stack):
    """Of foreign keys that users have added to replicas, in tables of one stream."""
    stack.start_api(MESSAGE_MAX_CHANGES=1)
    consumer = stack.start_consumer(BATCH_MAX_CHANGES=1, PREFETCH=1, MAX_ATTEMPTS=1)
    stack.psql("primary", """
        create table children (id int primary key, parent int);
        create table parents (id int primary key, name text);
        select pgfanout.add_table('children');
        select pgfanout.add_table('parents');""")
    wait_equal(stack, "children", ["id", "parent"], 30)
    for db in REPLICAS:
        wait_until(lambda: stack.sql(db, "select due from pgfanout.tables where relation = to_regclass('parents')")  # pylint: disable=cell-var-from-loop
                   == [(False,)], 30 * SLOWNESS, "the second table")
        stack.sql(db, "alter table children add foreign key (parent) references parents")
    stack.psql("primary", """
        insert into children values (1, 1), (2, 1), (3, 2);
        insert into parents values (1, 'one'), (2, 'two');""")
    wait_equal(stack, "children", ["id", "parent"])
    stack.psql("primary", "delete from parents where id = 1; delete from children where parent = 1;")
    wait_equal(stack, "parents", ["id", "name"])
    wait_equal(stack, "children", ["id", "parent"])
    assert_no_letters(stack, consumer, "tables")


@pytest.mark.parametrize("seed", [0, *(pytest.param(n, marks=pytest.mark.long) for n in (1, 2, 3))])
def test_values_change_hands_at_random(stack, seed):
    """A table with a composite key and two unique ones, one of each form; permutations, deletes and inserts of
    the same values, keys that change; queues that stand still and go on; consumers that are killed."""
    r = random.Random(seed)
    print("seed", seed)
    settings = {"BATCH_MAX_CHANGES": r.choice([1, 2, 7, 100]), "MAX_ATTEMPTS": 1, "RETRY_DELAY_MS": 10}
    stack.start_api(MESSAGE_MAX_CHANGES=r.choice([1, 3, 1000]))
    consumer = stack.start_consumer(**settings)
    stack.psql("primary", """
        create table seats (room text, "No" numeric, guest text, "from" int, primary key (room, "No"),
            constraint guests unique (guest) deferrable initially deferred,
            constraint starts unique ("from") deferrable initially deferred);
        insert into seats select 'r' || i % 3, i, 'g' || i, i from generate_series(1, 30) i;
        select pgfanout.add_table('seats');""")
    columns = ("room", '"No"', "guest", '"from"')
    wait_equal(stack, "seats", columns, 30)
    for db in REPLICAS:
        stack.sql(db, "create unique index on seats (lower(guest)) where guest <> ''")
        stack.sql(db, "alter table seats add constraint apart exclude using gist (int4range(\"from\", \"from\" + 1) with &&)")

    def shift(column, order):
        return f"""with s as (select room, "No", row_number() over (order by {order}) as i, {column} as v from seats
                where {column} is not null),
            n as (select count(*) as n from s)
            update seats t set {column} = o.v from s, s as o, n
            where (t.room, t."No") = (s.room, s."No") and o.i = s.i % n.n + 1"""
    steps = (
        lambda: stack.sql("primary", shift("guest", "random()")),
        lambda: stack.sql("primary", shift('"from"', "random()")),
        lambda: stack.sql("primary", f"with g as (delete from seats where random() < 0.3 returning *) "
                          f"insert into seats select room, \"No\" + 1000 + {r.randrange(10 ** 6)}, guest, \"from\" from g"),
        lambda: stack.sql("primary", f"update seats set \"No\" = \"No\" + {r.randrange(10 ** 9)} where random() < 0.2"),
        lambda: stack.sql("primary", "update seats set \"No\" = \"No\" * 1.0 where random() < 0.3"),  # another text
        lambda: stack.sql("primary", "delete from seats where random() < 0.05"),
        lambda: stack.sql("primary", "insert into seats select 'r9', i, 'g' || i, i from generate_series(1, 30) i where not "
                          "exists (select from seats where guest = 'g' || i or \"from\" = i) on conflict (room, \"No\") do nothing"),
    )
    stack.sql("primary", f"select setseed({r.random()})")
    for _ in range(4):
        queues = r.choice([(), ("tables.delete.replica-1",), ("tables.sync.replica-1",),
                           ("tables.delete.replica-1", "tables.sync.replica-2")])
        with held(stack, *queues):
            for _ in range(r.randrange(1, 12)):
                r.choice(steps)()
            if r.random() < 0.5:
                consumer.kill9()
                consumer = stack.start_consumer(**settings)
    wait_equal(stack, "seats", columns, 40)
    assert_no_letters(stack, consumer, "tables")
