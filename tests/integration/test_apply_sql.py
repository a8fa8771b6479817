"""A replica takes changes in any order, any number of times: the SQL function that was generated for
products, alone.

The rule: the newest version of each product wins, in whatever batches and order the changes came.
"""
import json
import random
import threading
import uuid

import pytest
from psycopg2 import errors

A, B, C = (f"00000000-0000-4000-8000-00000000000{n}" for n in "abc")
TIME = "2026-01-31 12:00:00.123456+00"
APPLY = ("select pgfanout.apply_1(%s, %s::bigint[], %s::text[]::xid8[], %s::boolean[], row(%s::uuid[], "
         "%s::text[], %s::text[], %s::integer[], %s::timestamptz[], %s::timestamptz[])::pgfanout.columns_1, "
         "%s, %s::bigint[], %s::jsonb, null)")


def sync(key, version, stock=None, xid=0, price="1.50"):
    """A change as it comes in a message; stock defaults to the version, to tell states apart."""
    return (key, version, str(xid), False, f"v{version}", price,
            version if stock is None else stock, TIME, TIME)


def delete(key, version, xid=0):
    return (key, version, str(xid), True, None, None, None, None, None)


def arguments(changes, source="source", look_new=False, runs=None, beats=None):
    ids, versions, xids, deleted, *values = ([list(column) for column in zip(*changes)] if changes else
                                             [[] for _ in range(9)])
    return [source, versions, xids, deleted, ids, *values, look_new, runs, beats]


def apply(cursor, *changes, source="source", look_new=False):
    cursor.execute(APPLY, arguments(changes, source, look_new))
    return cursor.fetchone()[0]


@pytest.fixture
def replica(module_stack):
    """A cursor on an empty replica, every statement committed."""
    conn = module_stack.connect("replica-1")
    conn.autocommit = True
    with conn.cursor() as cursor:
        cursor.execute("truncate products, pgfanout.tombstones_1; update pgfanout.streams set "
                       "needs_reset = false, source = null, snapshot = null, "
                       "follows = null, followed = '{}'; "
                       "update pgfanout.tables set source = null, snapshot = null, floor = 0")
        yield cursor
    conn.close()


def products(cursor):
    cursor.execute("select id::text, version, stock from products")
    return {row[0]: row[1:] for row in cursor.fetchall()}


def tombstones(cursor):
    cursor.execute("select id::text, version from pgfanout.tombstones_1")
    return dict(cursor.fetchall())


# batches in the order they come -> versions of products, tombstones, how many changed in each batch
ORDERS = {
    "create": ([[sync(A, 1)]], {A: 1}, {}, [1]),
    "newer": ([[sync(A, 1)], [sync(A, 2)]], {A: 2}, {}, [1, 1]),
    "older": ([[sync(A, 2)], [sync(A, 1)]], {A: 2}, {}, [1, 0]),
    "again": ([[sync(A, 2)], [sync(A, 2)]], {A: 2}, {}, [1, 0]),
    "delete": ([[sync(A, 1)], [delete(A, 2)]], {}, {A: 2}, [1, 1]),
    "delete-first": ([[delete(A, 2)], [sync(A, 1)]], {}, {A: 2}, [0, 0]),
    "delete-older-than-row": ([[sync(A, 3)], [delete(A, 2)]], {A: 3}, {}, [1, 0]),
    "delete-again": ([[sync(A, 1)], [delete(A, 2)], [delete(A, 2)]], {}, {A: 2}, [1, 1, 0]),
    "delete-older-again": ([[delete(A, 5)], [delete(A, 2)]], {}, {A: 5}, [0, 0]),
    "created-again": ([[delete(A, 2)], [sync(A, 3)]], {A: 3}, {A: 2}, [0, 1]),
    "deleted-twice": ([[delete(A, 2)], [sync(A, 3)], [delete(A, 4)], [sync(A, 3)]],
                      {}, {A: 4}, [0, 1, 1, 0]),
    "mixed-batch": ([[sync(A, 1), sync(B, 2)], [delete(A, 3), sync(B, 4), sync(C, 5)]],
                    {B: 4, C: 5}, {A: 3}, [2, 3]),
    "partly-stale": ([[sync(A, 9), sync(B, 1)], [sync(A, 8), sync(B, 2), delete(C, 3)]],
                     {A: 9, B: 2}, {C: 3}, [2, 1]),
    "empty": ([[]], {}, {}, [0]),
}


@pytest.mark.parametrize("look_new", (False, None, True))
@pytest.mark.parametrize("name", ORDERS)
def test_newest_version_wins(replica, name, look_new):
    batches, rows, graves, counts = ORDERS[name]
    assert [apply(replica, *batch, look_new=look_new) for batch in batches] == counts
    assert products(replica) == {key: (v, v) for key, v in rows.items()}
    assert tombstones(replica) == graves


def new_ids(rng, many):
    return [str(uuid.UUID(int=rng.getrandbits(128))) for _ in range(many)]


@pytest.mark.parametrize("products_in_all,changes_of_a_batch", [(12, 30), (400, 300)])
def test_any_order_and_repetition_end_in_the_same_rows(replica, products_in_all,
                                                       changes_of_a_batch):
    rng = random.Random(1)
    ids = new_ids(rng, products_in_all)
    changes = [(delete if rng.random() < 0.3 else sync)(rng.choice(ids), version)
               for version in range(1, 10 * products_in_all + 1)]
    newest = {change[0]: change for change in changes}
    expected = {key: (c[1], c[1]) for key, c in newest.items() if not c[3]}
    for _ in range(720 // products_in_all):
        replica.execute("truncate products, pgfanout.tombstones_1")
        stream = changes + rng.choices(changes, k=60)
        rng.shuffle(stream)
        while stream:
            batch = {}
            for change in stream[:rng.randint(1, changes_of_a_batch)]:
                if change[0] not in batch or batch[change[0]][1] < change[1]:
                    batch[change[0]] = change
                stream.pop(0)
            apply(replica, *batch.values(), look_new=rng.choice((False, None, True)))
        assert products(replica) == expected


# A batch of products that were inserted is first assumed to be new, one of others to be there.
@pytest.mark.parametrize("there", [None, "first", "last", "all"])
@pytest.mark.parametrize("version", [5, 7])
@pytest.mark.parametrize("look_new", [True, None])
def test_many_products_that_look_new(replica, there, version, look_new):
    ids = sorted(new_ids(random.Random(2), 100))
    old = {None: [], "first": ids[:1], "last": ids[-1:], "all": ids}[there]
    apply(replica, *(sync(key, 6) for key in old))
    stale = len(old) if version < 6 else 0
    batch = [delete(A, 9), *(sync(key, version) for key in ids)]
    assert apply(replica, *batch, look_new=look_new) == len(ids) - stale
    assert products(replica) == {key: (v, v) for key in ids
                                 for v in [6 if stale and key in old else version]}
    assert tombstones(replica) == {A: 9}
    assert apply(replica, *batch, look_new=look_new) == 0


def test_many_products_that_look_new_and_a_rule_of_the_replicas_own(replica):
    ids = new_ids(random.Random(3), 100)
    replica.execute("create unique index own on products (name)")
    try:
        with pytest.raises(errors.UniqueViolation):
            apply(replica, *(sync(key, 1) for key in ids), look_new=True)
        assert products(replica) == {}
        assert apply(replica, *(sync(key, n) for n, key in enumerate(ids, 1)), look_new=True) == len(ids)
    finally:
        replica.execute("drop index own")


def test_values_arrive_to_the_last_digit(replica):
    apply(replica, sync(A, 1, stock=2147483647, price="12345678901.2300"))
    replica.execute("select name, price::text, stock, created_at::text, updated_at::text "
                    "from products")
    assert replica.fetchone() == ("v1", "12345678901.2300", 2147483647, TIME, TIME)


# ---- the snapshot of a reset -------------------------------------------------------------------

# The snapshot 100:110:103 holds what transactions below 110 did, but for 100 ... 109 only 103 runs.
# (xid, source, version) -> stale? The floor is 50.
SNAPSHOT = {
    "old-transaction": ((90, "here", 40), True),
    "old-transaction-high-version": ((90, "here", 60), True),
    "finished-meanwhile": ((105, "here", 60), True),
    "still-running-low-version": ((103, "here", 5), False),
    "still-running": ((103, "here", 60), False),
    "begun-later-low-version": ((110, "here", 49), False),
    "begun-later": ((200, "here", 60), False),
    "unnamed-below-floor": ((0, "here", 50), True),
    "unnamed-above-floor": ((0, "here", 51), False),
    "elsewhere-below-floor": ((200, "there", 50), True),
    "elsewhere-above-floor": ((90, "there", 51), False),
    "no-source-below-floor": ((200, None, 50), True),
}


@pytest.mark.parametrize("kind", ["sync", "delete"])
@pytest.mark.parametrize("name", SNAPSHOT)
def test_what_the_snapshot_of_a_reset_contains_is_stale(replica, name, kind):
    (xid, source, version), stale = SNAPSHOT[name]
    replica.execute("update pgfanout.tables set source = 'here', snapshot = '100:110:103', "
                    "floor = 50")
    replica.execute("insert into products values (%s, 'from the snapshot', 1, 7, now(), now(), 0)",
                    [A])
    change = sync(A, version, xid=xid) if kind == "sync" else delete(A, version, xid=xid)
    assert apply(replica, change, source=source) == (0 if stale else 1)
    if stale:
        assert products(replica) == {A: (0, 7)} and not tombstones(replica)
    elif kind == "sync":
        assert products(replica) == {A: (version, version)}
    else:
        assert not products(replica) and tombstones(replica) == {A: version}


def test_a_product_deleted_before_the_reset_does_not_come_back(replica):
    replica.execute("update pgfanout.tables set source = 'here', snapshot = '100:110:103', "
                    "floor = 50")
    assert apply(replica, sync(A, 30, xid=60), source="here") == 0
    assert apply(replica, sync(A, 31), source="here") == 0
    assert not products(replica)


def test_only_changes_of_its_own_primary_are_applied(replica):
    replica.execute("update pgfanout.streams set follows = 'ours', followed = '{before}'")
    with pytest.raises(Exception) as e:
        apply(replica, sync(A, 9), source="theirs")
    assert e.value.pgcode == "PF002"
    assert "theirs" in str(e.value) and "ours" in str(e.value)
    assert apply(replica, sync(A, 8), source="before") == 0
    assert not products(replica)
    for version, source in enumerate(("ours", "", None), 1):
        assert apply(replica, sync(A, version), source=source) == 1


# ---- two sessions ------------------------------------------------------------------------------

def test_nothing_is_applied_while_a_reset_holds_the_lock(module_stack, replica):
    reset = module_stack.connect("replica-1")
    with reset.cursor() as cursor:
        cursor.execute("select pg_advisory_xact_lock(1885824610, 1)")
        with pytest.raises(Exception) as e:
            apply(replica, sync(A, 1))
        assert e.value.pgcode == "PF001"
        assert not products(replica)
    reset.rollback()
    reset.close()
    assert apply(replica, sync(A, 1)) == 1


def test_a_reset_that_waits_for_a_batch_keeps_later_batches_out(module_stack, replica):
    # Otherwise a busy consumer would keep it waiting without end.
    first, reset = module_stack.connect("replica-1"), module_stack.connect("replica-1")
    with first.cursor() as cursor:
        apply(cursor, sync(A, 1))
    with reset.cursor() as cursor:
        waiter = threading.Thread(target=cursor.execute,
                                  args=("select pg_advisory_xact_lock(1885824610, 1)",))
        waiter.start()
        waiter.join(0.5)
        assert waiter.is_alive()
        with pytest.raises(Exception) as e:
            apply(replica, sync(B, 2))
        assert e.value.pgcode == "PF001"
        first.commit()
        waiter.join(10)
        assert not waiter.is_alive()
    reset.rollback()
    first.close()
    reset.close()


@pytest.mark.parametrize("first, second, rows", [
    (delete(A, 5), sync(A, 4), {}),
    (sync(A, 4), delete(A, 5), {}),
    (sync(A, 5), sync(A, 4), {A: (5, 5)}),
    (sync(A, 4), sync(A, 5), {A: (5, 5)}),
    (delete(A, 4), sync(A, 5), {A: (5, 5)}),
])
def test_two_batches_at_once_run_one_after_the_other(module_stack, replica, first, second, rows):
    one, two = module_stack.connect("replica-1"), module_stack.connect("replica-1")
    done = []

    def later():
        with two, two.cursor() as cursor:
            cursor.execute("select 1")
            apply(cursor, second)
        done.append(True)

    with one.cursor() as cursor:
        apply(cursor, first)
        thread = threading.Thread(target=later)
        thread.start()
        thread.join(0.3)
        assert not done
        one.commit()
        thread.join(10)
    assert done and products(replica) == rows
    one.close()
    two.close()


# ---- refusals ----------------------------------------------------------------------------------

@pytest.mark.parametrize("isolation", ["repeatable read", "serializable"])
def test_older_snapshots_are_refused(module_stack, isolation):
    conn = module_stack.connect("replica-1")
    with conn.cursor() as cursor:
        cursor.execute(f"set transaction isolation level {isolation}")
        with pytest.raises(errors.ObjectNotInPrerequisiteState):
            apply(cursor, sync(A, 1))
    conn.close()


@pytest.mark.parametrize("bad, error", [
    (sync(B, 2, price="dear"), errors.InvalidTextRepresentation),
    ((B, 2, "0", False, None, "1", 1, TIME, TIME), errors.NotNullViolation),
    (sync(A, 3), errors.UniqueViolation),  # A twice: the caller must keep only the newest
])
def test_one_bad_change_fails_the_batch_and_leaves_nothing(replica, bad, error):
    with pytest.raises(error):
        apply(replica, sync(A, 1), bad, delete(C, 4))
    assert not products(replica) and not tombstones(replica)


def test_temporary_tables_of_the_session_do_not_matter(module_stack, replica):
    conn = module_stack.connect("replica-1")
    with conn, conn.cursor() as cursor:
        cursor.execute("create temp table products (like public.products);"
                       "create temp table tombstones_1 (like pgfanout.tombstones_1)")
        apply(cursor, sync(A, 1), delete(B, 2))
    conn.close()
    assert products(replica) == {A: (1, 1)} and tombstones(replica) == {B: 2}


def test_a_lost_replication_row_is_no_fault_of_the_message(module_stack):
    conn = module_stack.connect("replica-1")
    with conn.cursor() as cursor:
        cursor.execute("delete from pgfanout.tables")
        with pytest.raises(errors.ObjectNotInPrerequisiteState) as e:
            apply(cursor, sync(A, 1))
        assert "reset-replicas" in e.value.diag.message_hint
    conn.close()


def arrive(cursor, xid, *numbers):
    """These messages, and a heartbeat that names five."""
    cursor.execute("update pgfanout.heartbeats set since = since - interval '1 hour'")
    cursor.execute(APPLY, arguments(
        [], runs=[part for n in numbers for part in (0, 7, n, n)],
        beats=json.dumps([{"queue": "sync", "at": TIME, "version": 9, "term": 7, "xid": xid,
                           "terms": [{"term": 7, "messages": 5}]}])))
    cursor.execute("select needs_reset, reason, heartbeat_sync is not null from pgfanout.streams")
    return cursor.fetchone()


def test_messages_are_not_lost_while_others_of_them_come(replica):
    """Another consumer is at work on them, however slowly."""
    replica.execute("truncate pgfanout.arrivals, pgfanout.received, pgfanout.heartbeats; "
                    "update pgfanout.streams set heartbeat_sync = null, arrived = 0, reason = null")
    assert arrive(replica, 100, 1) == (False, None, False)
    assert arrive(replica, 101, 3) == (False, None, False)
    assert arrive(replica, 102, 4, 1) == (False, None, False)
    needs_reset, reason, counted = arrive(replica, 103, 4)
    assert needs_reset and reason.startswith("2 messages ") and counted
