"""Promises 3 and 6 where replicas have a unique key beside the id: what one change waits for another
one gives it, so no order in which products change hands costs a change.
"""
import uuid

import pytest
import requests

from conftest import OUTBOX, SLOWNESS, wait_until
from test_dead_letters import cli, letters, wait_letters

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
    for replica in REPLICAS:
        assert status(consumer, replica)["dead"] == 0
        assert status(consumer, replica)["retried"] > 0, "not a chain at all"


def test_replay_all_leaves_none_of_a_chain(stack):
    n = 8
    fill(stack, n)
    stack.start_api()
    stack.start_consumer(RETRY_DELAY_MS=20)
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
    assert stack.sql("replica-1", "select count(*) from pgfanout.dead_letters") == [(0,)]


def test_a_key_that_is_really_taken_is_given_up(stack):
    """While others of the same batch go through."""
    fill(stack, 4)
    stack.start_api()
    consumer = stack.start_consumer(RETRY_DELAY_MS=20)
    stack.wait_converged()
    add_key(stack, dbs=REPLICAS)
    rename(stack, [("n0", "n1"), ("n2", "free"), ("n3", "n2")])
    wait_letters(stack, "replica-1", 1)
    wait_letters(stack, "replica-2", 1)
    assert {x["productId"] for x in letters(stack)} == {ident(1)}
    assert {x["attempts"] for x in letters(stack)} == {3}
    names = dict(stack.sql("replica-1", "select id::text, name from products"))
    assert [names[ident(i)] for i in range(1, 5)] == ["n0", "n1", "free", "n2"]
    assert status(consumer)["retried"] == 2


def test_a_cycle_needs_a_key_that_is_checked_at_the_end(stack):
    n = 12  # so many in one transaction share a message, and so a batch
    fill(stack, n)
    stack.start_api()
    consumer = stack.start_consumer(RETRY_DELAY_MS=20)
    stack.wait_converged()
    stack.sql("primary", DEFERRABLE)
    add_key(stack, DEFERRABLE, ["replica-1"])
    add_key(stack, KEY, ["replica-2"])
    rename(stack, [("n0", "n"), ("n1", "n0"), ("n", "n1")])  # has a way, see above
    stack.wait_converged()
    conn = stack.connect("primary")
    with conn, conn.cursor() as cursor:
        cursor.execute("update products set name = 'n' || (substr(name, 2)::int + 1) %% %s", (n,))
        # One that is refused for itself does not keep the cycle from being tried as a whole.
        cursor.execute("insert into products (id, name, price, stock) values (%s, 'odd', 1, 7)",
                       (ident(100),))
    stack.wait_converged(dbs=("replica-1",))
    wait_letters(stack, "replica-2", n)
    stack.sql("replica-2", "alter table products drop constraint one_name")
    stack.sql("replica-2", DEFERRABLE)
    # Replayed, each has a message of its own: it finds all of them at once, so they share a batch.
    consumer.pause()
    assert f"{n} replayed, 0 left" in cli(stack, "replay", "--all").stdout
    consumer.resume()
    stack.wait_converged()
