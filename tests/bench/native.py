"""Native logical replication, for comparison: two subscriptions with default settings, in a database
of their own on the same servers. Its tables have the names that pgfanout's have, and no triggers.
"""
import contextlib
import os
import time

from lab import PSQL, interleave, pgbench, postgres_bin, shell, wait_until

DB = "native"


class Native:
    """rows: how many each table has at first."""

    def __init__(self, l, rows, *tables):
        self.l = l
        for server in [l.primary, *l.replicas]:
            server.create_database(DB)
        for table in tables:
            table.make(l.primary, rows, DB)
        for replica in l.replicas:
            shell(f"{os.path.join(postgres_bin(), 'pg_dump')} -s {l.primary.url(DB)} | {PSQL} -d {replica.url(DB)}")
        l.primary.psql("create publication bench_pub for all tables", DB)

    def subscribe(self, timeout=300, copy=True):
        """Returns when both replicas have the rows that are there by now, or, without copy, are subscribed."""
        for n, replica in enumerate(self.l.replicas):
            replica.psql(f"create subscription bench_sub_{n} connection '{self.l.primary.url(DB)}' publication bench_pub "
                         f"with (copy_data = {copy})", DB)
        for replica in self.l.replicas:
            wait_until(lambda replica=replica: replica.psql(
                "select bool_and(srsubstate in ('f', 's', 'r')) from pg_subscription_rel", DB).strip() == "t",
                       timeout, "the subscriptions' first rows", 0.02)
        return self

    def wait_there(self, table):
        return self.l.wait_there(table, DB)

    def pause(self):
        for n, replica in enumerate(self.l.replicas):
            replica.psql(f"alter subscription bench_sub_{n} disable", DB)
        wait_until(lambda: self.l.primary.psql("select count(*) from pg_stat_replication").strip() == "0", 30, "the subscriptions to stop")

    def resume(self):
        for n, replica in enumerate(self.l.replicas):
            replica.psql(f"alter subscription bench_sub_{n} enable", DB)

    def unsubscribe(self):
        for n, replica in enumerate(self.l.replicas):
            replica.psql(f"drop subscription bench_sub_{n}", DB)

    @contextlib.contextmanager
    def away(self):
        """Without subscriptions, while nothing is written to their tables: the servers of a subscription read all
        that any database of the primary writes, and would cost who is measured meanwhile."""
        self.unsubscribe()
        yield
        self.subscribe(copy=False)


def compare_backlog(l, native, table, script, changes, repetitions):
    """Changes a second of a backlog that a script of pgbench's made, until both replicas have all."""
    def ours():
        with native.away():
            pgbench(l.primary, script, 32, transactions=changes)
            l.start("pgfanout-consumer")
            begun = time.monotonic()
            l.start("pgfanout-api")
            rate = changes / (l.wait_there(table) - begun)
            l.stop("pgfanout-api")
            l.stop("pgfanout-consumer")
            return rate

    def theirs():
        native.pause()
        pgbench(l.primary, script, 32, transactions=changes, db=DB)
        begun = time.monotonic()
        native.resume()
        return changes / (native.wait_there(table) - begun)
    return interleave(repetitions, ours, theirs)
