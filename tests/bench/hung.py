"""The part `hung`: what a hung replica-1 costs clients that do not need it, compared with the same
run without the fault.

A moderate load of reads by id and of new products at the same time. In the run with the fault all
processes of replica-1's server are stopped with SIGSTOP (connections stay open, nothing answers)
one second after the load began, until its end, so that the time before the fault is noticed is
measured too. wrk reports the percentiles. replica-2's lag is measured twice: as /status shows it,
which advances with the heartbeats, and from the commit of a product to the moment it is visible on
replica-2.
"""
import json
import os
import re
import statistics
import subprocess
import threading
import time

import psycopg2

import lab
from lab import HERE, REPETITIONS, wait_until

SECONDS = 3 * lab.SECONDS
ROWS = int(100_000 * lab.SCALE)
HEARTBEAT_MS = 250
READERS, WRITERS, PACE_MS = 64, 16, 40  # connections; PACE_MS is each one's average pause
PROBE_ID = "00000000-0000-4000-8000-00000000beef"
PROBE_EVERY_S = 0.02
UNITS = {"us": 0.001, "ms": 1, "s": 1000}


class Paced(threading.Thread):
    """wrk at a moderate load; p99_ms, worst_ms and rate when it has ended. Any answer but 2xx fails
    the measurement."""

    def __init__(self, base, script, connections, paths=None):
        super().__init__()
        self.argv = ["wrk", "--latency", "-t1", f"-c{connections}", f"-d{SECONDS}s", "--timeout", "20s", "-s",
                     os.path.join(HERE, "paced.lua"), base]
        self.env = {**os.environ, **(paths or {}), "SCRIPT": os.path.join(HERE, script), "PACE_MS": str(PACE_MS)}
        self.text = ""

    def run(self):
        self.text = subprocess.run(self.argv, capture_output=True, text=True, check=False, env=self.env).stdout

    def milliseconds(self, pattern):
        number, unit = re.search(pattern + r"\s+([\d.]+)(us|ms|s)", self.text).groups()
        return float(number) * UNITS[unit]

    def figures(self):
        if "Requests/sec" not in self.text or "Non-2xx" in self.text or "Socket errors" in self.text:
            raise RuntimeError(f"wrk {self.env['SCRIPT']}:\n{self.text}")
        return {"p99": self.milliseconds("99%"), "worst": self.milliseconds(r"Latency\s+\S+\s+\S+"),
                "rate": float(re.search(r"Requests/sec:\s+([\d.]+)", self.text).group(1))}


class Probe(threading.Thread):
    """From the commit of a product to the moment it is on replica-2, again and again; and the lag
    that /status shows."""

    def __init__(self, l):
        super().__init__()
        self.l, self.ending, self.seen, self.told, self.broken = l, threading.Event(), [], [], None

    def run(self):
        try:
            self.look()
        except Exception as e:  # pylint: disable=broad-except
            self.broken = e

    def status_lag(self):
        replicas = json.loads(lab.get(self.l.base + "/status"))["data"]["replicas"]
        return next(r["lagMs"] for r in replicas if r["name"] == "replica-2")

    def look(self):
        writer, reader = psycopg2.connect(self.l.primary.url()), psycopg2.connect(self.l.replicas[1].url())
        writer.autocommit = reader.autocommit = True
        with writer.cursor() as w, reader.cursor() as r:
            w.execute("insert into products (id, name, price, stock) values (%s, 'probe', 1, 0) on conflict (id) do update set stock = 0",
                      (PROBE_ID,))
            value = 0
            while not self.ending.is_set():
                value += 1
                w.execute("update products set stock = %s where id = %s", (value, PROBE_ID))
                committed = time.monotonic()
                while True:
                    r.execute("select stock from products where id = %s", (PROBE_ID,))
                    row = r.fetchone()
                    if row and row[0] == value:
                        break
                    if time.monotonic() - committed > 60:
                        raise RuntimeError("replica-2 does not get the probe")
                    time.sleep(0.0005)
                self.seen.append((time.monotonic() - committed) * 1000)
                if value % 10 == 0:
                    self.told.append(self.status_lag())
                self.ending.wait(PROBE_EVERY_S)
        writer.close()
        reader.close()

    def figures(self):
        self.ending.set()
        self.join()
        if self.broken:
            raise self.broken
        return {"lag": sorted(self.seen)[int(len(self.seen) * 0.99)], "told": statistics.mean(self.told)}


def all_serve(l):
    replicas = json.loads(lab.get(l.base + "/status"))["data"]["replicas"]
    return all(r["state"] == "serving" and r["lagMs"] is not None for r in replicas)


def run(l, paths, fault):
    """One run; its figures."""
    wait_until(lambda: all_serve(l), 60, "both replicas to serve")
    probe = Probe(l)
    load = {"reads": Paced(l.base, "read.lua", READERS, paths), "writes": Paced(l.base, "write_one.lua", WRITERS)}
    for thread in (probe, *load.values()):
        thread.start()
    time.sleep(1)
    if fault:
        l.replicas[0].pause()
    try:
        for thread in load.values():
            thread.join()
        result = probe.figures()
    finally:
        probe.ending.set()
        l.replicas[0].resume()
    for name, thread in load.items():
        result.update({f"{name} {k}": v for k, v in thread.figures().items()})
    l.wait_drained()
    return result


def hung(l, results):
    l.fill(ROWS)
    paths = l.product_paths(ROWS)
    with l.running("pgfanout-api", "pgfanout-consumer", HEARTBEAT_MS=HEARTBEAT_MS):
        run(l, paths, False)  # plans, caches, the connections' first batches
        pairs = []
        for n in range(REPETITIONS):
            first = n % 2 == 0
            one, two = run(l, paths, first), run(l, paths, not first)
            pairs.append((one, two) if first else (two, one))

    def middle(name, side):
        return statistics.median(pair[side][name] for pair in pairs)
    for name, work in (("reads p99", "reads, p99"), ("writes p99", "writes, p99"), ("lag", "commit to visible on replica-2, p99"),
                       ("told", "replica-2's lag in /status, mean")):
        what = name.split()[0]
        note = (f"worst {middle(what + ' worst', 0):.0f} / {middle(what + ' worst', 1):.0f} ms, "
                f"{middle(what + ' rate', 0):.0f} / {middle(what + ' rate', 1):.0f} a second") if what in ("reads", "writes") else ""
        results.compare("-", f"replica-1 hung / the same without: {work}", "ms",
                        lab.medians([(a[name], b[name]) for a, b in pairs], 0.05), "≤ 2", note)
