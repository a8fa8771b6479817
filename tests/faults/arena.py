"""The environment of the fault suite: servers, programs, writers and readers, and the order of a
round.

A round: the writers run. After a random moment the fault begins (several may, each with its own
moment and duration), and ends. The writers pause, reset-replicas restores what the fault may have
lost, and everything must converge within the row's limit, counted from the end of the fault. The
replicas are compared row by row with the primary, and the primary with the ledger of acknowledged
writes.

All random values are drawn from the round's seed: with the same seed, fault and form a fault begins
and ends at the same moments. Only the interleaving of threads differs.
"""
import random
import threading
import time

import pika
import psycopg2

from faults.checks import Readers, check_ledger
from faults.replay import Replayer
from faults.wire import Wire, wired_env, wires
from faults.workload import PUT, STREAMS, TABLES, Workload
from harness.servers import HOST, wait_until
from integration.conftest import SLOWNESS

DRAIN_LIMIT = 14  # DRAIN_TIMEOUT_MS, 3 s for confirms, and a second for the machine
FRESH_WITHIN = 10  # a change reaches a replica that has no trouble, while another one has

MARKER = "00000000-0000-4000-8000-00000000face"
REPLICAS = ("replica-1", "replica-2")


class Result:
    """One round, as a line."""

    def __init__(self, name, seed):
        self.name, self.seed = name, seed
        self.acked = self.duplicates = self.stepped_back = self.lost = 0
        self.converged, self.ok = None, False

    def __str__(self):
        took = "never" if self.converged is None else f"{self.converged:.1f} s"
        return (f"fault={self.name} seed={self.seed} acked={self.acked} lost={self.lost} "
                f"duplicates={self.duplicates} stepped_back={self.stepped_back} converged={took}"
                + ("" if self.ok else " FAILED"))


class Arena:
    """One environment for many rounds. form: "short" or "long". wired: programs go over wires."""

    def __init__(self, stack, seed, form, wired):
        self.stack, self.seed, self.form, self.wired = stack, seed, form, wired
        self.wires, self.marker = {}, 0
        self.others = []  # addresses of further APIs, which no fault is aimed at
        self.every_moment = []  # what a fault repeats as long as it lasts
        self.awaited = []  # (what, function): must also come true by itself once the fault is over
        # Short rounds must see the deadlines pass too.
        self.settings = {"APPLY_TIMEOUT_MS": 3000} if form == "short" else {}
        if wired:
            self.wires = wires(stack)
        self.apis, self.consumers = [self.start_api()], [self.start_consumer()]
        if wired:
            self.wires["client-api"] = Wire(HOST, self.apis[0].port)
        for wire in self.wires.values():
            stack.cleanups.append(wire.close)
        self.workload = Workload(f"{seed}", self.connect, self.addresses)
        self.workload.add(Replayer(self.workload, self.amqp, REPLICAS))
        self.wait_converged(60)
        self.readers = Readers(self)
        self.broken = False

    # ---- programs ----

    def start_api(self):
        env = {**wired_env(self.stack, self.wires, "api"), **self.settings}
        port = self.stack.port()
        program = self.stack.start_api(PORT=port, **env)
        program.port = port
        return program

    def start_consumer(self):
        env = {**wired_env(self.stack, self.wires, "consumer"), **self.settings}
        return self.stack.start_consumer(CONSUMER_PORT=self.stack.port(), **env)

    def start_reset(self, *args):
        return self.stack.start_program(
            "reset-replicas", "--quiet", *args, env=wired_env(self.stack, self.wires, "reset"))

    def sigterm(self, program):
        """Exit code 0, within the drain limit."""
        began = time.monotonic()
        code = program.stop(DRAIN_LIMIT * SLOWNESS)
        assert code == 0, (f"{program.name}: exit code {code} {time.monotonic() - began:.1f} s "
                           f"after SIGTERM\n{program.log(40)}")

    def addresses(self):
        """(host, port) of the APIs, as clients know them."""
        wire = self.wires.get("client-api")
        return [(HOST, wire.port if wire and n == 0 else api.port)
                for n, api in enumerate(self.apis)] + self.others

    def metric_urls(self):
        return [f"{c.base}/metrics" for c in list(self.consumers)]

    # ---- databases ----

    def count_alarms(self):
        """How often a replica has noticed that messages did not come."""
        return sum(p.log().count("have not come through its") for p in self.stack.programs
                   if p.name.startswith("pgfanout-consumer"))

    def connect(self, server=None):
        server = server or self.stack.primary
        return psycopg2.connect(server.url(self.stack.database), connect_timeout=5,
                                options="-c timezone=UTC -c statement_timeout=60000")

    def amqp(self):
        return pika.BlockingConnection(pika.URLParameters(
            self.stack.env["RABBITMQ_URL"] + "?heartbeat=0&blocked_connection_timeout=60"))

    # ---- waiting ----

    def wait_converged(self, limit):
        self.stack.wait_converged(limit)
        for table, columns in TABLES.items():
            wait_until(lambda: self.tables_differ(table, columns) is None, limit * SLOWNESS,  # pylint: disable=cell-var-from-loop
                       f"{table} to be equal on all replicas")

    def tables_differ(self, table, columns):
        """The first difference between a replica and the primary, or None."""
        read = f"select row({columns})::text from {table} order by 1"
        expected = self.stack.sql("primary", read)
        for db in REPLICAS:
            found = self.stack.sql(db, read)
            if found != expected:
                return db, set(found) ^ set(expected)
        return None

    def assert_fresh(self, db):
        """A change made now reaches the replica soon."""
        self.marker += 1
        self.stack.sql("primary", PUT, MARKER, "marker", 1, self.marker)
        wait_until(lambda: self.stack.sql(db, "select 1 from products where id = %s and stock = %s",
                                          MARKER, self.marker),
                   FRESH_WITHIN * SLOWNESS, f"a fresh change on {db}")

    # ---- a round ----

    def reset(self):
        done = self.stack.reset("--quiet")
        assert done.returncode == 0, f"reset-replicas: {done.returncode}\n{done.stderr}"

    def new_result(self, faults, seed):
        return Result("+".join(f.name for f in faults), seed)

    def round(self, faults, result):
        """Runs the faults together and fills result in; raises where a promise was broken."""
        ledger, found = self.workload.ledger, self.readers.findings
        acked, unanswered = ledger.acked, ledger.unanswered
        duplicates = self.readers.metrics.total
        self.alarms = self.count_alarms()
        try:
            self.workload.resume()
            self._trouble(faults, random.Random(f"{result.seed}:{result.name}"))
            ended = time.monotonic()
            self.workload.pause()
            self._settle(faults, ended, result)
            if all(f.writes_go_on for f in faults):
                assert ledger.unanswered == unanswered, (
                    f"{ledger.unanswered - unanswered} writes through the API failed, the last: "
                    f"{ledger.errors}")
            result.ok = True
        except BaseException:
            self.broken = True
            raise
        finally:
            result.acked = ledger.acked - acked
            result.duplicates = self.readers.metrics.total - duplicates
            result.stepped_back = found.stepped_back

    def _trouble(self, faults, rng):
        """Each fault in a thread of its own, with its own random moment and duration."""
        failures = []

        def run(fault, fault_rng):
            try:
                time.sleep(fault_rng.uniform(0.2, 1))
                with fault.trouble(self, fault_rng):
                    self._hold(fault, fault_rng, alone=len(faults) == 1)
            except BaseException as e:  # pylint: disable=broad-except
                failures.append(e)

        threads = [threading.Thread(target=run, args=(f, random.Random(rng.random())))
                   for f in faults]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if failures:
            raise failures[0]

    def _hold(self, fault, rng, alone):
        low, high = fault.hold[self.form]
        until = time.monotonic() + rng.uniform(low, high)
        if alone and fault.bystander:
            time.sleep(min(0.5, max(0, until - time.monotonic())))
            self.assert_fresh(fault.bystander)
        while time.monotonic() < until:
            for step in list(self.every_moment):
                step()
            time.sleep(0.02)

    def _settle(self, faults, ended, result):
        """Waits until everything works again and is equal."""
        limit = max(f.limit for f in faults) * SLOWNESS
        may_miss = any(f.loses or f.marks for f in faults)
        for program in (*self.apis, *self.consumers):
            assert program.running(), f"{program.name} ended by itself:\n{program.log(40)}"
        if any(f.loses for f in faults):
            self.reset()
        for api in self.apis:  # or the next round's writers would meet what this one left behind
            api.wait_for_http(f"{api.base}/ready", limit)
        while self.awaited:
            what, came = self.awaited.pop()
            wait_until(came, limit, what)
        self.wait_converged(limit)
        result.converged = time.monotonic() - ended
        assert result.converged <= limit, f"converged only after {result.converged:.1f} s"
        rows = dict(self.stack.sql("primary", "select id::text, stock from products"))
        counters = self.stack.sql("primary", "select id::text, n, present from workload_counters")
        lost = check_ledger(self.workload, rows, counters) + self.workload.ledger.missing
        result.lost = len(lost)
        assert not lost, f"{len(lost)} acknowledged writes are lost:\n" + "\n".join(lost[:10])
        self.readers.assert_clean()
        assert may_miss or self.count_alarms() == self.alarms, (
            "a replica misses messages, but nobody took any")
        for stream in STREAMS:
            for db in REPLICAS:
                dead = self.stack.queue_depth(f"{stream}.dead.{db}")
                assert not dead, f"{dead} dead letters of {stream} on {db}: trouble of a server is no poison"

    def close(self):
        self.workload.stop()
        self.readers.stop()
