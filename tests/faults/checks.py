"""The readers of the fault suite: what must hold at every moment, and after every round.

At every moment, on each replica by itself (StepCheck, fed by readers of the replica and of the API):
  1. a product's stock, and its version between two resets, never gets smaller; nor does the n of a row of
     another table
  2. a product that was gone comes back only with a higher stock than it had
  3. the rows that nobody writes are all there: a table is never empty, nor partly filled
After a round (check_ledger): what was acknowledged is what the primary holds.

A reader that cannot read says nothing: a replica that is down is no violation.
"""
import http.client
import json
import random
import re
import threading
import time
import urllib.request

import psycopg2

from faults.workload import BASE, BASE_ROWS, TABLES

GONE_MAX = 100_000  # remembered products that are gone, for each place

# One statement, one snapshot: either the table before a reset or the one after it.
READ = ("select r.reset_at::text, (select count(*) from products where name = 'base'), p.id::text, "
        "p.stock, p.version from pgfanout.streams r left join products p on p.name <> 'base' "
        "where r.name = 'products'")


READ_TABLES = " union all ".join(
    f"select '{table} ' || concat_ws(',', id{', at' if 'at' in columns.split(', ') else ''}), n from {table}"
    for table, columns in TABLES.items())


class Findings:
    """What went wrong, from all readers. Any thread."""

    def __init__(self):
        self.mutex = threading.Lock()
        self.stepped_back, self.partial, self.reads, self.texts = 0, 0, 0, []
        self.restored = set()  # replicas that were restored from a backup, and not reset since
        self.emptied = set()   # those whose table is empty until a reset: nothing may be served from them

    def _add(self, kind, text):
        with self.mutex:
            setattr(self, kind, getattr(self, kind) + 1)
            if len(self.texts) < 20:
                self.texts.append(text)

    def back(self, text):
        self._add("stepped_back", text)

    def part(self, text):
        self._add("partial", text)

    def read(self):
        with self.mutex:
            self.reads += 1


class StepCheck:
    """Rules 1 and 2 for one place that is read one read after another. One thread."""

    def __init__(self, place, findings):
        self.place, self.findings = place, findings
        self.here, self.gone = {}, {}  # id -> (stock, version, epoch); id -> stock

    def forgives(self):
        """Nothing that is seen counts, neither now nor later."""
        restored = self.place.removeprefix("API, ") in self.findings.restored
        if restored:
            self.here.clear()
            self.gone.clear()
        return restored

    def present(self, key, stock, version=None, epoch=None):
        if self.forgives():
            return
        if key in self.gone:
            before = self.gone.pop(key)
            if stock <= before:
                self.findings.back(f"{self.place}: {key} was deleted at {before} and came back "
                                   f"with {stock}")
        elif key in self.here:
            before, old_version, old_epoch = self.here[key]
            if stock < before:
                self.findings.back(f"{self.place}: {key} went from {before} to {stock}")
            elif version is not None and epoch == old_epoch and version < old_version:
                self.findings.back(f"{self.place}: {key} went from version {old_version} to "
                                   f"{version}")
        self.here[key] = (stock, version, epoch)

    def absent(self, key):
        if not self.forgives() and key in self.here:
            self.gone[key] = self.here.pop(key)[0]
            if len(self.gone) > GONE_MAX:
                del self.gone[next(iter(self.gone))]

    def whole(self, rows):
        """rows: (id, stock, version, epoch) of everything but the base rows."""
        found = set()
        for row in rows:
            found.add(row[0])
            self.present(*row)
        for key in [k for k in self.here if k not in found]:
            self.absent(key)


class Reader(threading.Thread):
    """Calls look() again and again; if look() reaches nothing, it is tried again."""

    pace = 0.05
    trouble = (psycopg2.Error, OSError, http.client.HTTPException)

    def __init__(self, name, findings):
        super().__init__(name=name, daemon=True)
        self.findings, self.stopping, self.broken = findings, threading.Event(), None

    def run(self):
        try:
            while not self.stopping.wait(self.pace):
                try:
                    self.look()
                    self.findings.read()
                except self.trouble:
                    self.lost()
                    self.stopping.wait(0.2)
        except Exception as e:  # pylint: disable=broad-except
            self.broken = f"reader {self.name}: {e!r}"

    def look(self):
        raise NotImplementedError

    def lost(self):
        """The connection is of no more use."""


class ReplicaReader(Reader):
    """Reads a replica's whole table directly."""

    def __init__(self, name, findings, connect):
        super().__init__(f"read-{name}", findings)
        self.place, self.connect, self.connection = name, connect, None
        self.steps, self.tables = StepCheck(name, findings), StepCheck(name, findings)

    def look(self):
        if self.connection is None:
            self.connection = self.connect()
            self.connection.autocommit = True
        with self.connection.cursor() as cursor:
            cursor.execute(READ)
            rows = cursor.fetchall()
            cursor.execute(READ_TABLES)
            self.tables.whole((key, n, None, None) for key, n in cursor.fetchall())
        if self.place in self.findings.emptied:
            self.steps = StepCheck(self.place, self.findings)
            return
        if rows[0][1] != BASE_ROWS:
            self.findings.part(f"{self.place}: {rows[0][1]} of {BASE_ROWS} rows that nobody wrote")
        self.steps.whole((r[2], r[3], r[4], r[0]) for r in rows if r[2] is not None)

    def lost(self):
        if self.connection is not None:
            self.connection.close()
            self.connection = None


class ApiReader(Reader):
    """Reads products by id, pages, and now and then the full list, as clients do."""

    pace = 0.01

    def __init__(self, findings, ledger, addresses, seed):
        super().__init__("read-api", findings)
        self.ledger, self.addresses = ledger, addresses
        self.rng, self.client = random.Random(f"{seed}:read-api"), None
        self.steps = {}  # X-Served-By -> StepCheck
        self.turns, self.cursor = 0, ""

    def get(self, path):
        if self.client is None:
            self.client = http.client.HTTPConnection(*self.rng.choice(self.addresses()), timeout=15)
        self.client.request("GET", path)
        answer = self.client.getresponse()
        # A list that ends too early is an HTTPException here, never a shorter list.
        body = json.loads(answer.read())
        return answer.status, answer.getheader("X-Served-By"), body

    def check_of(self, place):
        if place not in self.steps:
            self.steps[place] = StepCheck(f"API, {place}", self.findings)
        return self.steps[place]

    def look(self):
        self.turns += 1
        if self.turns % 50 == 0:
            self.look_at_list()
        elif self.turns % 5 == 0:
            self.look_at_page()
        else:
            self.look_at_one()

    def look_at_one(self):
        for key in self.ledger.some_ids(self.rng, 1):
            status, place, body = self.get(f"/api/products/{key}")
            if status == 200:
                self.check_of(place).present(key, body["data"]["stock"])
            elif status == 404:
                self.check_of(place).absent(key)

    def look_at_page(self):
        status, place, body = self.get(f"/api/products?limit=100{self.cursor}")
        if status == 200:
            self.cursor = f"&cursor={body['next']}" if body["next"] else ""
            for product in body["data"]:
                self.check_of(place).present(product["id"], product["stock"])

    def look_at_list(self):
        """Complete and in order. It may step back: when a replica fails in the middle, another one
        continues the list, under the first one's name."""
        status, place, body = self.get("/api/products")
        if status != 200:
            return
        ids = [p["id"] for p in body["data"]]
        base = sum(1 for p in body["data"] if p["name"] == BASE)
        if base != BASE_ROWS or any(a >= b for a, b in zip(ids, ids[1:])):
            self.findings.part(f"list of the API from {place}: {base} of {BASE_ROWS} rows that "
                               "nobody wrote, or out of order")

    def lost(self):
        if self.client is not None:
            self.client.close()
            self.client = None


class MetricReader(Reader):
    """Adds up a counter of the consumers across restarts: changes delivered that changed nothing.

    What a consumer counted in the last fraction of a second before a kill -9 is missing.
    """

    pace = 0.25

    def __init__(self, findings, urls):
        super().__init__("read-metrics", findings)
        self.urls, self.seen, self.total = urls, {}, 0
        self.opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    def look(self):
        for url in self.urls():
            try:
                with self.opener.open(url, timeout=2) as answer:
                    text = answer.read().decode()
            except OSError:
                continue
            now = sum(float(n) for n in
                      re.findall(r"^pgfanout_consumer_stale_total\{.*\} (\S+)$", text, re.M))
            before = self.seen.get(url, 0)
            self.total += int(now - before if now >= before else now)
            self.seen[url] = now


class Readers:
    """All readers of an arena."""

    def __init__(self, arena):
        self.findings = Findings()
        self.metrics = MetricReader(self.findings, arena.metric_urls)
        self.all = [ReplicaReader(s.name, self.findings, lambda s=s: arena.connect(s))
                    for s in arena.stack.replicas]
        self.all += [ApiReader(self.findings, arena.workload.ledger, arena.addresses, arena.seed),
                     self.metrics]
        for reader in self.all:
            reader.start()

    def assert_clean(self):
        broken = [r.broken for r in self.all if r.broken]
        assert not broken, broken
        found = self.findings
        assert not (found.stepped_back or found.partial), (
            f"{found.stepped_back} steps back, {found.partial} partial reads:\n"
            + "\n".join(found.texts))

    def stop(self):
        for reader in self.all:
            reader.stopping.set()
        for reader in self.all:
            reader.join(20)


def check_ledger(workload, rows, counters):
    """Acknowledged writes that are not on the primary, as a list of texts.

    rows: id -> stock of all products there; counters: (id, n, present) of workload_counters.
    """
    owned, counted = workload.ledger.settled()
    lost = [f"{key}: should be {sorted(states, key=str)}, is {rows.get(key)}"
            for key, states in owned.items() if rows.get(key) not in states]
    for key, number, present in counters:
        if number < counted.get(key, 0):
            lost.append(f"{key}: {counted[key]} was committed, the primary has {number}")
        expected = number if present else None
        for product in workload.many if key == workload.many_key else [key]:
            if rows.get(product) != expected:
                lost.append(f"{product}: should be {expected}, is {rows.get(product)}")
    return lost
