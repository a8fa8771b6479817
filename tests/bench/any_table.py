"""Parts 15 to 19: tables that are no products, registered by pgfanout.add_table().

What pgfanout costs and carries for any table is compared with what PostgreSQL itself does for the
same table, in another database of the same servers. Each part also says how much memory the relay's
program and the consumer needed at most.
"""
import os
import time

import lab
from lab import DATABASE, REPETITIONS, SCALE, SECONDS, Lab, best_clients, interleave, pgbench, postgres_bin, shell, until_there
from native import DB, Native, compare_backlog
from tables import ARTICLES, ORDERS, WIDE, digest

LIMIT_MB = 48
ROWS = int(100_000 * SCALE)
MANY = 500


class Tpcb:
    """The four tables of pgbench's own script. The history has no key, and gets one."""

    names = ["pgbench_accounts", "pgbench_branches", "pgbench_tellers", "pgbench_history"]
    name, mark_where = "pgbench_tellers", "tid = {n}"
    digest = (digest(names[0], ["aid", "bid", "abalance", "filler"]) + digest(names[1], ["bid", "bbalance", "filler"]) +
              digest(names[2], ["tid", "bid", "tbalance", "filler"]) +
              digest(names[3], ["id", "tid", "bid", "aid", "delta", "mtime", "filler"]))

    def make(self, server, rows, db):
        """rows: of the accounts, a multiple of 100,000."""
        shell(f"{os.path.join(postgres_bin(), 'pgbench')} -i -q -s {rows // 100_000} {server.url(db)}")
        server.psql("alter table pgbench_history add id bigint generated always as identity primary key", db)

    def mark(self, n):
        return f"insert into pgbench_tellers (tid, bid, tbalance) values ({n}, 1, 0)"


def both(l, rows, *tables):
    """The tables with the same rows on both sides, loaded by all replicas."""
    for table in tables:
        table.make(l.primary, rows, DATABASE)
    l.register(*tables)
    return Native(l, rows, *tables).subscribe()


def add_memory(l, results, what):
    for name, program in (("the API with the relay", "pgfanout-api"), ("the consumer", "pgfanout-consumer")):
        most = l.peaks[program] / 1024
        results.add(11, f"memory of {name}, {what}", "MB", most, None, None, f"≤ {LIMIT_MB}", most <= LIMIT_MB)


def backlog(l, results):
    changes = int(200_000 * SCALE)
    native = both(l, ROWS, ORDERS, WIDE, ARTICLES)
    for table, what, wanted in ((ORDERS, "6 columns", "≥ 1.8"), (WIDE, "30 columns", "≥ 1.2"), (ARTICLES, "a key of two texts", "≥ 1.5")):
        for kind, text in (("INSERTs", table.new_row()), ("UPDATEs", table.changed_row(ROWS))):
            pair = compare_backlog(l, native, table, l.script(f"{table.name}-{kind}", text), changes, REPETITIONS)
            results.compare(15, f"backlog of {changes:,} {kind}, {what}, to 2 replicas / native logical replication", "rows/s", pair, wanted)
    add_memory(l, results, f"backlogs of {changes:,} of any table")


def tpcb(l, results):
    """Updates of three tables and an INSERT into a fourth in each transaction."""
    accounts = max(1, int(10 * SCALE)) * 100_000
    tables = Tpcb()
    native = both(l, accounts, tables)
    clients = best_clients(l.primary, None, 2, db=DB)
    native.wait_there(tables)
    length = SECONDS * 2
    lags = []
    with l.running("pgfanout-api", "pgfanout-consumer"):
        def ours():
            with native.away():
                rate, lag = until_there(lambda: pgbench(l.primary, None, clients, length), lambda: l.wait_there(tables))
            lags.append(lag)
            return rate

        def theirs():
            return until_there(lambda: pgbench(l.primary, None, clients, length, db=DB), lambda: native.wait_there(tables))[0]
        pair = interleave(REPETITIONS, ours, theirs)
    results.compare(16, "pgbench's transactions until both replicas have all / 2 logical subscriptions", "1/s", pair, "≥ 1.0",
                    f"{accounts:,} accounts, pgbench -c {clients}; all there {max(lags):.2f} s after the last write at most")
    add_memory(l, results, "pgbench's transactions")


def capture(l, results):
    """Nothing publishes: what a writer pays alone. The outbox grows on both sides that have one, and
    is empty at the start of each measurement."""
    ORDERS.make(l.primary, ROWS, DATABASE)
    l.register(ORDERS)
    for db in ("bare", "trigger"):
        l.primary.create_database(db)
        ORDERS.make(l.primary, ROWS, db)
    l.primary.psql("""
        create table outbox (id bigint generated always as identity primary key, kind text not null, payload jsonb not null);
        create function record() returns trigger language plpgsql as $$
        begin
            insert into outbox (kind, payload) values (tg_table_name || '.' || tg_op, to_jsonb(new));
            return new;
        end $$;
        create trigger record after insert or update on orders for each row execute function record()""", "trigger")
    script = l.script("orders-update", ORDERS.changed_row(ROWS))
    clients = best_clients(l.primary, script, 2, db="bare")

    def rate(db, outbox=None):
        if outbox:
            l.primary.psql(f"truncate {outbox}", db)
        return pgbench(l.primary, script, clients, SECONDS, db=db)
    for who, db, outbox, wanted in (("with capture", DATABASE, "pgfanout.outbox", "≥ 0.6"),
                                    ("with a plain outbox trigger of to_jsonb(NEW)", "trigger", "outbox", None)):
        pair = interleave(REPETITIONS, lambda db=db, outbox=outbox: rate(db, outbox), lambda: rate("bare"))
        results.compare(17, f"UPDATE of one row of 6 columns {who} / without", "1/s", pair, wanted, f"pgbench -c {clients}")


def load(l, results):
    rows = int(1_000_000 * SCALE)
    ORDERS.make(l.primary, rows, DATABASE)
    native = Native(l, rows, ORDERS)
    with l.running("pgfanout-api", "pgfanout-consumer"):
        def ours():
            begun = time.monotonic()
            l.primary.psql("select pgfanout.add_table('orders')")
            taken = l.wait_loaded(ORDERS.names) - begun
            if not l.equal(ORDERS):
                raise RuntimeError("the loaded tables differ")
            l.primary.psql("select pgfanout.drop_table('orders', purge => true)")
            for replica in l.replicas:
                lab.wait_until(lambda replica=replica: replica.psql("select to_regclass('orders') is null").strip() == "t", 60,
                               "the replicas to drop the table")
            return taken

        def theirs():
            begun = time.monotonic()
            native.subscribe()
            taken = time.monotonic() - begun
            if not l.equal(ORDERS, DB):
                raise RuntimeError("the subscribers' tables differ")
            native.unsubscribe()
            for replica in l.replicas:
                replica.psql("truncate orders", DB)
            return taken
        pair = interleave(REPETITIONS, ours, theirs)
    results.compare(18, f"first load of {rows:,} rows, 2 replicas / native tablesync", "s", pair, "≤ 1.0",
                    "from add_table() and CREATE SUBSCRIPTION")
    add_memory(l, results, f"first load of {rows:,} rows")


def many(results):
    """Two sets of servers; the one that is not measured has no programs running."""
    with Lab() as one, Lab() as more:
        for l in (one, more):
            ORDERS.make(l.primary, ROWS, DATABASE)
        more.primary.psql("".join(f"create table idle_{n} (id bigint primary key, name text not null);"
                                  f"select pgfanout.add_table('idle_{n}');" for n in range(1, MANY)))
        for l in (one, more):
            l.register(ORDERS, timeout=1800)
        script = one.script("orders-update", ORDERS.changed_row(ROWS))

        def rate(l):
            with l.running("pgfanout-api", "pgfanout-consumer"):
                return until_there(lambda: pgbench(l.primary, script, 16, SECONDS), lambda: l.wait_there(ORDERS))[0]
        for l in (one, more):
            rate(l)  # plans and caches
        pair = interleave(REPETITIONS, lambda: rate(more), lambda: rate(one))
        results.compare(19, f"UPDATEs until both replicas have all, {MANY} registered tables / 1", "1/s", pair, "≥ 0.95", "pgbench -c 16")
        add_memory(more, results, f"{MANY} registered tables")
