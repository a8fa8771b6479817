"""The relay's SQL statements alone: which records a sweep finds, and which it does not even
read.
"""
import json
import os

from conftest import ROOT

SQL = os.path.join(ROOT, "api", "relay", "sql")
SETTINGS = ("enable_seqscan = off", "enable_bitmapscan = off", "enable_hashjoin = off",
            "enable_mergejoin = off", "enable_material = off", "jit = off",
            "max_parallel_workers_per_gather = 0", "plan_cache_mode = force_generic_plan")
EVERYTHING = "1:1:"
PLENTY = str(2**31 - 1)  # bytes


class Relay:
    def __init__(self, stack):
        conn = stack.connect()
        conn.autocommit = True
        self.cursor = conn.cursor()
        for setting in SETTINGS:
            self.cursor.execute(f"set {setting}")
        for name in ("claim", "claim_big", "beat"):
            with open(os.path.join(SQL, f"outbox_{name}.sql"), encoding="utf-8") as f:
                self.cursor.execute(f"prepare {name} as " + f.read())

    def execute(self, what, previous, limit, sweep, last, most=PLENTY):
        self.cursor.execute(f"{what}execute claim(%s, %s, %s, %s, %s, '1', %s)",
                            (previous, str(limit), sweep, *map(str, last), most))
        return self.cursor.fetchall()

    def sweep(self, previous, limit=2):
        """In chunks, as outbox.c does; returns this sweep's snapshot and the versions found. In each third chunk no
        body fits, so that it has none, and the next one has a single record."""
        snapshot, last, found, n, one = None, (0, 0), [], 0, False
        while True:
            n += 1
            most, rows_most = ("0" if n % 3 == 0 and not one else PLENTY), 1 if one else limit
            first, *rows = self.execute("", previous, rows_most, snapshot, last, most)
            snapshot = snapshot or first[0]
            one = bool(rows) and most == "0"
            if one:
                assert all(row[5] is None and row[7] > 0 for row in rows)
                continue
            assert all(row[5] is not None and row[7] is None for row in rows)
            found += [int(row[2]) for row in rows]
            last = max([last, *((int(row[1]), int(row[2])) for row in rows)])
            if len(rows) < rows_most:
                return snapshot, found

    def pages(self, previous):
        plan = self.execute("explain (analyze, buffers, format json) ", previous, 1000, None, (0, 0))[0][0]
        top = (json.loads(plan) if isinstance(plan, str) else plan)[0]["Plan"]
        return top["Shared Hit Blocks"] + top["Shared Read Blocks"]


def insert(cursor, n=1):
    cursor.execute("insert into products (id, name, price) select gen_random_uuid(), 'x', 1 "
                   "from generate_series(1, %s)", (n,))


def recorded(stack):
    return {int(v) for v, in stack.sql("primary", "select version from pgfanout.outbox")}


def test_every_commit_is_found_once_in_whatever_order(stack):
    """Transactions that overlap, end in another order, roll back, use savepoints."""
    relay, found, snapshot = Relay(stack), [], EVERYTHING
    conns = [stack.connect() for _ in range(5)]
    cursors = [c.cursor() for c in conns]

    def look():
        nonlocal snapshot
        snapshot, more = relay.sweep(snapshot)
        found.extend(more)

    look()
    for cursor in cursors:
        insert(cursor, 3)
        look()
    assert not found
    cursors[1].execute("savepoint s")
    insert(cursors[1], 2)
    cursors[1].execute("rollback to s")
    conns[4].commit()
    look()
    insert(cursors[0], 2)
    conns[1].commit()
    look()
    insert(cursors[4], 3)
    conns[3].rollback()
    look()
    conns[0].commit()
    look()
    conns[4].commit()
    conns[2].commit()
    look()
    look()
    assert len(found) == len(set(found)) == 3 + 3 + 5 + 3 + 3
    assert set(found) == recorded(stack)
    assert sorted(relay.sweep(EVERYTHING)[1]) == sorted(found)


def test_an_open_transaction_of_any_size_costs_a_sweep_nothing(stack):
    relay = Relay(stack)
    conn = stack.connect()
    insert(conn.cursor(), 20000)
    snapshot, found = relay.sweep(EVERYTHING)
    assert not found
    assert relay.pages(snapshot) < 30
    with stack.connect() as other:
        insert(other.cursor())
    later, found = relay.sweep(snapshot)
    assert len(found) == 1
    assert relay.pages(later) < 30
    conn.commit()
    assert len(relay.sweep(later, 1000)[1]) == 20000


def test_behind_a_transaction_put_aside_and_the_rest_of_it(stack):
    """Between transactions with older and newer ids, one that was running at the last sweep."""
    relay = Relay(stack)
    conns = [stack.connect() for _ in range(3)]
    cursors = [c.cursor() for c in conns]
    snapshot, _ = relay.sweep(EVERYTHING)
    for order in ((0, 1, 2), (2, 1, 0)):  # of commits
        for cursor, rows in zip(cursors, (3, 50, 2)):
            insert(cursor, rows)
        if order[0] == 2:
            snapshot, _ = relay.sweep(snapshot)  # now they were running
        for i in order:
            conns[i].commit()
        everything = recorded(stack) - {int(r[2]) for r in relay.execute("", EVERYTHING, 1000, snapshot, (0, 0))[1:]}
        assert len(everything) == 55
        first, *rows = relay.execute("", snapshot, 20, None, (0, 0))
        xid = rows[-1][1]
        last = max(int(r[2]) for r in rows if r[1] == xid)
        _, *behind = relay.execute("", snapshot, 20, first[0], (xid, 2**63 - 1))
        assert len(behind) == 2 and all(int(r[1]) > int(xid) for r in behind)
        found = [int(r[2]) for r in rows + behind]
        while True:
            relay.cursor.execute("execute claim_big(%s, %s, '20', '1', %s)", (xid, str(last), PLENTY))
            chunk = relay.cursor.fetchall()
            found += [int(r[2]) for r in chunk]
            if len(chunk) < 20:
                break
            last = int(chunk[-1][2])
        assert len(found) == len(set(found)) and set(found) == everything
        snapshot = first[0]


def test_the_rest_of_a_big_transaction_is_found_by_the_index(stack):
    relay = Relay(stack)
    with stack.connect() as conn:
        insert(conn.cursor(), 20000)
    version, xid = stack.sql("primary", "select max(version) - 10, max(xid::text) from pgfanout.outbox")[0]
    relay.cursor.execute("explain (analyze, buffers, format json) execute claim_big(%s, %s, '1000', '1', '8388608')",
                         (xid, str(version)))
    plan = relay.cursor.fetchall()[0][0]
    top = (json.loads(plan) if isinstance(plan, str) else plan)[0]["Plan"]
    assert top["Actual Rows"] == 10
    assert top["Shared Hit Blocks"] + top["Shared Read Blocks"] < 10


PLACE = "select (pg_current_wal_insert_lsn() - '0/0')::bigint"


def test_a_sweep_says_where_it_is(stack):
    """What it finds was committed before its place, and has no newer version than the one that it names."""
    relay = Relay(stack)
    assert relay.execute("", EVERYTHING, 10, None, (0, 0))[0][2] == 0, "none was given out"
    previous = EVERYTHING
    for n in range(1, 4):
        insert(relay.cursor, n)
        relay.cursor.execute(PLACE)
        committed = relay.cursor.fetchone()[0]
        first, *rows = relay.execute("", previous, 1000, None, (0, 0))
        previous = first[0]
        assert first[8] >= committed and len(rows) == n and all(row[8] is None for row in rows)
        assert first[2] == max(int(row[2]) for row in rows) == stack.sql("primary", "select last_value from pgfanout.version_seq")[0][0]


def test_a_heartbeat_has_its_place_before_its_transaction_and_on_the_disk(stack):
    relay = Relay(stack)
    relay.cursor.execute("set synchronous_commit = off")  # as the relay's session
    found = "select heartbeat, ('x' || encode(body, 'hex'))::bit(64)::bigint, xid from pgfanout.outbox where heartbeat is not null order by xid desc limit 1"
    for _ in range(20):
        relay.cursor.execute(PLACE)
        before = relay.cursor.fetchone()[0]
        relay.cursor.execute("execute beat('1', true)")
        flushed = stack.sql("primary", "select (pg_current_wal_flush_lsn() - '0/0')::bigint")[0][0]
        at = stack.sql("primary", found)[0][1]
        assert before < at <= flushed
    # Where others' commits see to that, nobody waits for it here; who publishes it looks how far the disk is.
    relay.cursor.execute("execute beat('1', false)")
    assert stack.sql("primary", found)[0][1] > at
    relay.cursor.execute("show synchronous_commit")
    assert relay.cursor.fetchone() == ("off",)
    # No transaction has begun when the place is taken: it is not in the way of one that begins meanwhile.
    relay.cursor.execute("explain (verbose, costs off) execute beat('1', true)")
    plan = "\n".join(line for line, in relay.cursor.fetchall())
    made, reads = plan.index("->  Nested Loop"), plan.index("->  CTE Scan on place")
    assert made < plan.index("pg_current_xact_id") < reads, "the row is made of the place"
    # Its record is like any other.
    first, *rows = relay.execute("", EVERYTHING, 1000, None, (0, 0))
    assert 0 < first[9] <= stack.sql("primary", "select (pg_current_wal_flush_lsn() - '0/0')::bigint")[0][0]
    assert first[2] == 0 and len(rows) == 21 and all(len(row[5]) == 8 and row[6] and row[4] == "b" for row in rows)
