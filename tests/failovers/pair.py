"""Two servers that take turns: one leads, the other is its synchronous standby. Each keeps its port.

What a manager of failovers does, and nothing else: nobody tells the programs. A promoted server takes writes
at once, without a standby; it waits for one again when make_standby() has ended.
"""
import contextlib
import itertools
import os
import shutil
import signal
import time

import psycopg2

from harness.servers import (DATABASE, HOST, PASSWORD, USER, HarnessError, Postgres, RabbitMQ, Standby, discard_all,
                             free_port, new_folder, release_port, remove_folder, start_all, wait_until)
from integration.conftest import SLOWNESS, Servers

STREAMS = "select count(*) from pg_stat_replication where state = 'streaming' and sync_state = 'sync'"
# Grows with each transaction that writes anything; and with each version that is given out.
WRITTEN = ("select pg_snapshot_xmax(pg_current_snapshot())", "select last_value from pgfanout.version_seq")


class Member(Standby):
    """A standby of self.primary where there is one, when its folder is filled."""

    def __init__(self, name, folder):
        Postgres.__init__(self, name, folder)  # pylint: disable=super-init-not-called,non-parent-init-called
        self.primary = None

    def _initialize(self):
        if self.primary:
            super()._initialize()
        else:
            Postgres._initialize(self)

    def empty(self):
        self.kill9()
        for folder in (self.data, self.sockets):
            shutil.rmtree(folder, ignore_errors=True)

    def promote(self):
        """pg_ctl promote; returns before it has happened."""
        self._run(f"{self.bin}/pg_ctl", "promote", "-W", "-s", "-D", self.data)

    def set(self, **settings):
        """For the next start; what was set before counts no more."""
        with open(f"{self.data}/postgresql.auto.conf", "a", encoding="utf-8") as f:
            f.writelines(f"{name} = '{value}'\n" for name, value in settings.items())

    def connect(self, db):
        connection = psycopg2.connect(self.url(db), connect_timeout=5)
        connection.autocommit = True
        return connection


class Pair:
    """leader and other. One thread."""

    def __init__(self, folder):
        self.leader, self.other = Member("primary-a", folder), Member("primary-b", folder)
        self.members = (self.leader, self.other)
        self.watch = None  # a session of the standby: promotion does not end it

    def url(self, db=DATABASE, first=None):
        """Whoever takes writes; first is asked first."""
        ports = sorted((m.port for m in self.members), key=lambda port: first is not None and port != first.port)
        hosts = ",".join(f"{HOST}:{port}" for port in ports)
        return f"postgresql://{USER}:{PASSWORD}@{hosts}/{db}?target_session_attrs=read-write"

    def ready(self):
        """Both run, and each commit waits for the standby."""
        self.leader.start()
        if not (self.watch and self.other.running()):
            self.make_standby()
        self.synchronous()

    def make_standby(self):
        """other becomes a new copy of the leader, and follows it."""
        self.other.empty()
        self.other.primary = self.leader
        self.other.start()
        # The copy has the leader's settings, but has no standby when it is promoted.
        self.other.psql("alter system reset synchronous_standby_names; select pg_reload_conf()", "postgres")
        self.watch = self.other.connect("postgres")

    def synchronous(self, on=True):
        what = "set synchronous_standby_names = '*'" if on else "reset synchronous_standby_names"
        self.leader.psql(f"alter system {what}; select pg_reload_conf()", "postgres")
        if on:
            wait_until(lambda: self.leader.psql(STREAMS, "postgres") == "1\n", 30 * SLOWNESS, "a synchronous standby")

    def stall(self):
        """From now on the standby gets nothing, so that no commit ends: the leader's walsender stops."""
        for pid in self.leader.psql("select pid from pg_stat_replication", "postgres").split():
            os.kill(int(pid), signal.SIGSTOP)

    def promote(self):
        """The leader is dead, other leads. Returns when that was seen, on the monotonic clock."""
        self.other.promote()
        with self.watch.cursor() as cursor:
            deadline = time.monotonic() + 30 * SLOWNESS
            while True:
                cursor.execute("select pg_is_in_recovery()")
                if not cursor.fetchone()[0]:
                    break
                if time.monotonic() > deadline:
                    raise HarnessError(f"{self.other.name} was not promoted\n{self.other.log()}")
                time.sleep(0.003)
        promoted = time.monotonic()
        self.watch.close()
        self.watch = None
        self.leader, self.other = self.other, self.leader
        return promoted

    @contextlib.contextmanager
    def old_primary(self, db, waits):
        """The killed server again, as it was: it takes writes, and would commit them unless it waits for a standby.

        Yields a function which says what was written there since, by whomever. It has an answer because the
        server is first started where nobody finds it, and counted.
        """
        old, port = self.other, self.other.port
        old.set(autovacuum="off", **({} if waits else {"synchronous_standby_names": ""}))
        old.port = free_port()
        try:
            old.set(port=old.port)
            old.start()
            before = [old.psql(query, db) for query in WRITTEN]
            old.stop()
        finally:
            release_port(old.port)
            old.port = port
        old.set(port=port)
        old.start()

        def written():
            now = [old.psql(query, db) for query in WRITTEN]
            return [f"{query}: {was.strip()} before, now {found.strip()}"
                    for query, was, found in zip(WRITTEN, before, now) if was != found]

        try:
            yield written
        finally:
            old.kill9()


class PairServers(Servers):
    """The session's servers; `primary` is whoever leads."""

    def __init__(self):  # pylint: disable=super-init-not-called
        self.folder = new_folder()
        self.pair = Pair(self.folder)
        self.replicas = [Postgres(f"replica-{n}", self.folder) for n in (1, 2)]
        self.rabbitmq = RabbitMQ(self.folder)
        self.numbers = itertools.count(1)

    @property
    def primary(self):
        return self.pair.leader

    @property
    def all(self):
        return [self.primary, *self.replicas, self.rabbitmq]

    @property
    def by_name(self):
        return {"primary": self.primary, **{s.name: s for s in self.replicas}}

    def start(self):
        start_all(self.all)

    def discard(self):
        discard_all([*self.all, self.pair.other])
        remove_folder(self.folder)
