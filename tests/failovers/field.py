"""The environment of the failover suite, and what one failover is.

Two servers that take turns as the primary (pair.py), two replicas, a broker; two APIs, one of which asks the
first server first, the other the second; a consumer; the load (load.py). The programs know both servers by
DATABASE_URL, and as standbys, and are told nothing.

A failover may have more to it (Round):
  stall      for some time before its death the primary's WAL goes nowhere, as over a cut network. A transaction of
             that time is visible there at last, because its session is ended, and must never be elsewhere
  returns    the dead primary comes back as it was, and takes writes. The programs' sessions with the one that
             leads are ended, so that they look for the primary anew: none may write to the old one, or relay from it
  restarted  meanwhile an API is killed and started, which knows nothing of the past
"""
import contextlib
import dataclasses
import statistics
import threading
import time

import psycopg2

from failovers.load import ALL_ROWS, GHOST, Load
from faults.checks import Findings
from harness.servers import wait_until
from integration.conftest import SLOWNESS

REPLICAS = ("replica-1", "replica-2")
ACCEPTED_WITHIN = 2  # seconds: what is promised
STATE = "select name, needs_reset, coalesce(reset_at::text, 'never') from pgfanout.streams order by name"
WRONG = ("select id::text, name, price::text, stock from products where name not in ('shared', 'ghost') "
         "and (name, price) is distinct from ('write ' || stock, stock + 0.5)")


@dataclasses.dataclass
class Round:
    load: float = 1.0     # seconds of load before the primary dies
    stall: float = 0.0    # the last of them
    returns: float = 0.0  # seconds for which the old primary is back
    waits: bool = False   # it waits for a standby then, as it did before
    restarted: bool = False

    @staticmethod
    def random(rng):
        returns = rng.random() < 0.3
        return Round(load=rng.uniform(0.5, 2), stall=rng.uniform(0.1, 0.5) if rng.random() < 0.4 else 0.0,
                     returns=rng.uniform(1, 4) if returns else 0.0, waits=rng.random() < 0.5,
                     restarted=returns and rng.random() < 0.3)

    def __str__(self):
        more = [f"stall={self.stall:.1f}"] if self.stall else []
        if self.returns:
            more += [f"returns={self.returns:.1f}", f"waits={int(self.waits)}", f"restarted={int(self.restarted)}"]
        return " ".join([f"load={self.load:.1f}", *more])


class Field:
    """stack: one whose servers are PairServers. synchronous=False: a commit waits for nobody, so it may be lost."""

    def __init__(self, stack, seed, synchronous=True):
        self.stack, self.pair, self.synchronous = stack, stack.servers.pair, synchronous
        self.failovers = self.returns = self.stalls = 0
        self.accepted = []  # seconds from each promotion until all APIs had taken a write
        self.problems = []
        self.pair.ready()
        self.follow()
        # A session's end must not wait for a standby that a failed test has left dead.
        stack.cleanups.append(lambda: self.pair.synchronous(False))
        if not synchronous:
            self.pair.synchronous(False)
        standbys = {f"STANDBY_{n}_URL": member.url(stack.database) for n, member in enumerate(self.pair.members, 1)}
        urls = [self.pair.url(stack.database, first=member) for member in self.pair.members]
        stack.env.update(DATABASE_URL=urls[0], **standbys)
        stack.migrate()
        self.consumer = stack.start_consumer()
        self.apis = [self.start_api(url) for url in urls]
        self.timeline, self.replicas_at = self.epoch(), self.replica_states()
        readers = {s.name: lambda s=s: self.connect_to(s) for s in stack.replicas}
        self.findings = Findings()
        self.load = Load(seed, self.apis, self.connect, readers, self.findings)
        self.ledger = self.load.ledger
        stack.cleanups.append(self.load.stop)

    def start_api(self, url):
        port = self.stack.port()
        api = self.stack.start_api(PORT=port, DATABASE_URL=url)
        api.port = port
        return api

    def follow(self):
        """The stack's primary is whoever leads now."""
        self.stack.primary = self.pair.leader

    def connect_to(self, server):
        connection = psycopg2.connect(server.url(self.stack.database), connect_timeout=5)
        connection.autocommit = True
        return connection

    def connect(self):
        """For SQL writers: not to an old primary that came back. In between nobody leads."""
        leader = self.pair.leader
        return psycopg2.connect(self.pair.url(self.stack.database, first=leader), connect_timeout=5,
                                options="-c statement_timeout=20000")

    def on_leader(self, query):
        with contextlib.closing(self.connect_to(self.pair.leader)) as connection, connection.cursor() as cursor:
            cursor.execute(query)
            return cursor.fetchall()

    def epoch(self):
        """The timeline of the last epoch that has begun."""
        return self.on_leader("select last_value & 2147483647 from pgfanout.epoch")[0][0]

    def replica_states(self):
        return {db: self.stack.sql(db, STATE) for db in REPLICAS}

    # ---- a failover ----

    def wait_accepted(self, what):
        """Until each API has taken a write that was sent after ledger.ask(); returns when the last did."""
        wait_until(lambda: len(self.ledger.accepted) == len(self.apis), 60 * SLOWNESS, f"writes to be accepted {what}", 0.01)
        return max(self.ledger.accepted.values())

    def check_ledger(self, final=False):
        self.ledger.lost_on(lambda: dict(self.on_leader(ALL_ROWS)), final)

    def fail_over(self, what):
        """One Round; the pair is whole again afterwards. Returns how long writes took, in seconds."""
        self.load.resume()
        time.sleep(what.load - what.stall)
        ghost = self.stall(what.stall) if what.stall else None
        self.pair.leader.kill9()
        self.ledger.ask()
        promoted = self.pair.promote()
        self.follow()
        took = max(0, self.wait_accepted("after the promotion") - promoted)
        self.failovers += 1
        self.accepted.append(took)
        if ghost:
            assert not self.on_leader(f"select 1 from products where name = '{GHOST}'"), "what was stalled arrived"
        self.check_ledger()
        if what.returns:
            self.old_returns(what)
        self.load.pace = 0.1  # the copy needs a processor too
        self.pair.make_standby()
        self.load.pace = 0
        if self.synchronous:
            self.pair.synchronous()
        self.load.check()
        for program in (*self.apis, self.consumer):
            assert program.running(), f"{program.name} ended by itself:\n{program.log(40)}"
        return took

    def stall(self, seconds):
        """Nothing reaches the standby any more; something becomes visible nevertheless. Returns its id."""
        self.stalls += 1
        self.pair.stall()
        session = self.connect_to(self.pair.leader)
        with contextlib.closing(session), session.cursor() as cursor:
            cursor.execute("select gen_random_uuid()::text")
            key = cursor.fetchone()[0]
            self.ledger.ghosts.add(key)
            insert = f"insert into products (id, name, price, stock) values ('{key}', '{GHOST}', 1, 1)"
            thread = threading.Thread(target=self.execute, args=(cursor, insert))
            thread.start()
            time.sleep(seconds / 2)
            # Who has waited for the standby does so no more; the transaction was committed before.
            self.on_leader(f"select pg_terminate_backend({session.info.backend_pid})")
            thread.join()
        wait_until(lambda: self.on_leader(f"select 1 from products where id = '{key}'"), 10 * SLOWNESS, "a ghost", 0.01)
        time.sleep(seconds / 2)
        return key

    @staticmethod
    def execute(cursor, statement):
        with contextlib.suppress(psycopg2.Error):
            cursor.execute(statement)

    def old_returns(self, what):
        """While it is back, writes go on, and reach the one that leads alone."""
        self.returns += 1
        with self.pair.old_primary(self.stack.database, what.waits) as written:
            until = time.monotonic() + what.returns
            if what.restarted:
                self.restart(self.apis[self.failovers % 2])
            self.on_leader("select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() "
                           "and pid <> pg_backend_pid()")
            self.ledger.ask()
            self.wait_accepted("while the old primary is back")
            self.check_ledger()
            time.sleep(max(0, until - time.monotonic()))
            self.problems += [f"failover {self.failovers}: the old primary was written to: {text}" for text in written()]

    def restart(self, api):
        api.kill9()
        api.restart().wait_for_http(f"{api.base}/ready", 30 * SLOWNESS)

    # ---- the end ----

    def finish(self):
        """Everything comes to rest; returns what is wrong, as texts."""
        self.load.pause()
        wrong = self.problems
        try:
            self.stack.wait_converged(60)
        except AssertionError as e:
            wrong.append(str(e))
        self.check_ledger(final=True)
        wrong += [f"lost: {text}" for text in self.ledger.lost] + self.findings.texts
        wrong += [f"the content of {row} is not that of its number" for row in self.on_leader(WRONG)]
        wrong += self.epochs_wrong()
        states = self.replica_states()
        wrong += [f"{db} was reset, or is to be: {states[db]}, at first {self.replicas_at[db]}" for db in REPLICAS
                  if states[db] != self.replicas_at[db]]
        wrong += [f"{dead} dead letters of {db}" for db in REPLICAS
                  for dead in [self.stack.queue_depth(f"products.dead.{db}")] if dead]
        return wrong

    def epochs_wrong(self):
        """Each failover began one epoch; versions are of the last one."""
        wrong, timeline = [], self.epoch()
        if timeline != self.timeline + self.failovers:
            wrong.append(f"{self.failovers} failovers from timeline {self.timeline}, and the epoch is of {timeline}")
        for db in REPLICAS:
            version = self.stack.sql(db, "select max(version) from products")[0][0] or 0
            if version >> 32 < self.failovers:
                wrong.append(f"{db}: the highest version, {version}, is of epoch {version >> 32}")
        return wrong

    def line(self):
        """What came of it."""
        ms = sorted(1000 * s for s in self.accepted)
        cuts = statistics.quantiles(ms, n=100, method="inclusive") if len(ms) > 1 else (ms or [0]) * 99
        return (f"failovers={self.failovers} acknowledged={self.ledger.acked} unknown={self.ledger.unknown} "
                f"lost={len(self.ledger.lost)} stepped_back={self.findings.stepped_back} reads={self.findings.reads} "
                f"stalls={self.stalls} returns={self.returns} "
                f"within_{ACCEPTED_WITHIN}s={sum(s <= ACCEPTED_WITHIN for s in self.accepted)} "
                f"accept_ms p50={cuts[49]:.0f} p99={cuts[98]:.0f} max={max(ms, default=0):.0f}")
