"""The writers and readers of the failover suite, and the ledger of what was acknowledged.

A row is one client's, which writes it through the API, one write after another. Its stock is the number of the
write, so a state of a row is a number, over deletions too. A write without a good answer may have happened or
not: the row is not written again, and may be in either state for ever. Two more writers commit by SQL: each
transaction raises the stock of shared rows by one, so a commit that was lost is a number that comes twice.

What must hold:
  1. what was acknowledged is on the primary after each failover, and at the end (Ledger.lost_on)
  2. on each replica no row's stock or version gets smaller, and a deleted row does not come back older
     (ReplicaReader; the rules are those of faults/checks.py)
  3. a client whose reads send the position of what it did and saw finds its own last write, and of others'
     rows nothing older than it has seen (Client)
  4. what only the dead primary had is on no replica (Ledger.ghosts)

Number 3 leaves others' rows out where a standby answers: it may show a commit before the primary does
(docs/standbys.md, Limits).
"""
import http.client
import itertools
import json
import random
import threading
import time
import uuid

import psycopg2

from faults.checks import Reader, StepCheck
from harness.servers import HOST

CLIENTS, ROWS, SHARED = 8, 25, 12  # clients of the API; rows of each; rows of the SQL writers

ALL_ROWS = "select id::text, stock from products"
READ = ("select r.reset_at::text, p.id::text, p.name, p.stock, p.version from pgfanout.streams r "
        "left join products p on {} where r.name = 'products'")
SHARED_NAME, GHOST = "shared", "ghost"


class Row:
    """present[n - 1]: whether the row is there after its write n. acked: the last one that was acknowledged."""

    def __init__(self):
        self.present, self.acked = [], 0

    def may_be(self, stock, since=0):
        """Whether a database may have this stock (None: no row), if it has write number `since` or a later one."""
        if stock is None:
            return since == 0 or not all(self.present[since - 1:])
        return since <= stock <= len(self.present) and stock > 0 and self.present[stock - 1]


class Ledger:
    """Any thread."""

    def __init__(self):
        self.mutex = threading.Lock()
        self.rows, self.recent = {}, []  # id -> Row; ids that clients write now
        self.shared = {}                 # id -> the highest number that was committed
        self.acked = self.unknown = 0
        self.ghosts, self.lost = set(), []
        self.asked, self.accepted = None, {}  # since when to note which API took a write: API -> when

    def begin(self, key, present):
        """A write is about to be sent; returns its number."""
        with self.mutex:
            row = self.rows.setdefault(key, Row())
            row.present.append(present)
            return len(row.present)

    def ack(self, key, number, api, sent):
        with self.mutex:
            self.acked += 1
            self.rows[key].acked = number
            if self.asked is not None and sent > self.asked:
                self.accepted.setdefault(api, time.monotonic())

    def ask(self):
        """From now on accepted says when each API first took a write that was sent after this."""
        with self.mutex:
            self.asked, self.accepted = time.monotonic(), {}

    def commit(self, numbers):
        with self.mutex:
            self.acked += len(numbers)
            for key, number in numbers.items():
                self.shared[key] = max(number, self.shared[key])

    def lose(self, text):
        with self.mutex:
            self.lost.append(text)

    def some(self, rng, many):
        with self.mutex:
            return rng.sample(self.recent, min(many, len(self.recent)))

    def lost_on(self, read, final=False):
        """What was acknowledged by now and is not in what read() returns then, {id: stock}: texts.

        final: nobody writes, so a row is in its last acknowledged state, or in one that was tried after it.
        """
        with self.mutex:
            acked = {key: row.acked for key, row in self.rows.items()}
            shared = dict(self.shared)
        found = read()
        with self.mutex:
            lost = [f"{key}: write {number} was acknowledged, the primary has {found.get(key)}"
                    for key, number in acked.items() if not self.rows[key].may_be(found.get(key), number)]
            lost += [f"{key}: {number} was committed, the primary has {found.get(key)}"
                     for key, number in shared.items() if found.get(key, 0) < number]
            if final:
                lost += [f"{key}: nobody wrote it" for key in found if key not in self.rows and key not in self.shared]
            self.lost += lost
        return lost


class Thread(threading.Thread):
    """Calls turn() again and again while the load runs."""

    def __init__(self, load, name):
        super().__init__(name=name, daemon=True)
        self.load, self.ledger, self.findings = load, load.ledger, load.findings
        self.rng = random.Random(f"{load.seed}:{name}")
        self.resting, self.broken = threading.Event(), None

    def run(self):
        try:
            while not self.load.stopping.is_set():
                if self.load.running.wait(0.2):
                    self.resting.clear()
                    self.turn()
                    time.sleep(self.load.pace)
                else:
                    self.resting.set()
        except Exception as e:  # pylint: disable=broad-except
            self.broken = f"{self.name}: {e!r}"
        self.resting.set()

    def turn(self):
        raise NotImplementedError


class Client(Thread):
    """Of one API. Writes rows of its own, and reads its own and others', with the position it was answered last."""

    trouble = (OSError, http.client.HTTPException, ValueError)

    def __init__(self, load, name, api):
        super().__init__(load, name)
        self.api, self.http, self.position = api, None, None
        self.mine = []  # rows whose state is known
        self.steps = StepCheck(name, self.findings)

    def send(self, method, path, body=None):
        """(status, data, who has served); status 0 where there was no answer."""
        headers = {"Content-Type": "application/json"} if body else {}
        if method == "GET" and self.position and not self.load.forgets:
            headers["X-Position"] = self.position
        try:
            if self.http is None:
                self.http = http.client.HTTPConnection(HOST, self.api.port, timeout=10)
            self.http.request(method, path, body, headers)
            answer = self.http.getresponse()
            data = json.loads(answer.read() or b"null")
            self.position = answer.getheader("X-Position") or self.position
            return answer.status, data.get("data", data), answer.getheader("X-Served-By")
        except self.trouble as e:
            if self.http is not None:
                self.http.close()
            self.http = None
            return 0, repr(e), None

    def turn(self):
        if len(self.mine) < ROWS:
            key = str(uuid.UUID(int=self.rng.getrandbits(128), version=4))
            self.mine.append(key)
            with self.ledger.mutex:
                self.ledger.recent.append(key)
        key = self.rng.choice(self.mine)
        if self.write(key):
            self.read_mine(key)
            if self.rng.random() < 0.3:
                self.read_others()
        else:
            time.sleep(0.01)

    def write(self, key):
        row = self.ledger.rows.get(key)
        there = row is not None and bool(row.present) and row.present[-1]
        method = self.rng.choices(("PUT", "PATCH", "DELETE"), (4, 4, 2))[0] if there else self.rng.choice(("POST", "PUT"))
        number, sent = self.ledger.begin(key, method != "DELETE"), time.monotonic()
        # Whose content is that of one write alone.
        fields = f'"name":"write {number}","price":{number}.5,"stock":{number}'
        path = "/api/products" if method == "POST" else f"/api/products/{key}"
        body = {"DELETE": None, "POST": f'{{"id":"{key}",{fields}}}'}.get(method, f"{{{fields}}}")
        status, data, _ = self.send(method, path, body)
        if status in (200, 201):
            self.ledger.ack(key, number, self.api, sent)
            return True
        if status == 404:
            self.ledger.lose(f"{method} of {key}, write {number}: the API knows no such row")
        elif status not in (0, 500, 503, 504):
            raise AssertionError(f"{method} of {key}: {status} {data}")
        self.mine.remove(key)
        with self.ledger.mutex:
            self.ledger.unknown += 1
            self.ledger.recent.remove(key)
        return False

    def read_mine(self, key):
        """Nobody else writes it, so it must be just so."""
        row = self.ledger.rows[key]
        want = row.acked if row.present[row.acked - 1] else None
        status, data, server = self.send("GET", f"/api/products/{key}")
        if status in (200, 404):
            self.findings.read()
            found = data["stock"] if status == 200 else None
            if found != want:
                self.findings.back(f"{self.name}: {key} was left at {want}, and read as {found} from {server}")

    def read_others(self):
        if self.rng.random() < 0.2:
            status, data, server = self.send("GET", "/api/products?limit=200")
            rows = {p["id"]: p for p in data} if status == 200 else {}
        else:
            key = self.rng.choice([*self.ledger.some(self.rng, 3), *self.ledger.shared])
            status, data, server = self.send("GET", f"/api/products/{key}")
            rows = {key: data if status == 200 else None} if status in (200, 404) else {}
        if server is None or server.startswith("standby"):
            return
        for key, product in rows.items():
            self.findings.read()
            if product is None:
                self.steps.absent(key)
            else:
                self.steps.present(key, product["stock"])


class SqlWriter(Thread):
    """Transactions of a few statements, on the leader alone."""

    connection = None

    def turn(self):
        try:
            if self.connection is None:
                self.connection = self.load.connect()
            numbers = {}
            with self.connection.cursor() as cursor:
                for key in sorted(self.rng.sample(sorted(self.ledger.shared), self.rng.randint(1, 3))):
                    before = self.ledger.shared[key]
                    cursor.execute("update products set stock = stock + 1 where id = %s returning stock", (key,))
                    found = cursor.fetchone()
                    numbers[key] = found[0] if found else 0
                    if numbers[key] <= before:
                        self.ledger.lose(f"{key}: {before} was committed, and {found} comes after it")
            self.connection.commit()
            self.ledger.commit(numbers)
            time.sleep(self.rng.uniform(0, 0.02))
        except psycopg2.Error:
            self.hang_up()
            time.sleep(0.02)

    def hang_up(self):
        if self.connection is not None:
            self.connection.close()
        self.connection = None


class ReplicaReader(Reader):
    """Some rows by key, and now and then all of them."""

    pace = 0.02

    def __init__(self, name, connect, load):
        super().__init__(f"read-{name}", load.findings)
        self.place, self.connect, self.ledger, self.connection = name, connect, load.ledger, None
        self.steps = StepCheck(name, load.findings)
        self.rng, self.turns, self.ghosts = random.Random(f"{load.seed}:{name}"), 0, set()

    def look(self):
        if self.connection is None:
            self.connection = self.connect()
        self.turns += 1
        keys = [*self.ledger.some(self.rng, 40), *self.ledger.shared, *self.ledger.ghosts]
        with self.connection.cursor() as cursor:
            if self.turns % 20 == 0:
                cursor.execute(READ.format("true"))
            else:
                cursor.execute(READ.format("p.id = any(%s::uuid[])"), (keys,))
            found = {key: (name, stock, version, reset) for reset, key, name, stock, version in cursor.fetchall() if key}
        for key in set(self.steps.here).difference(found) if self.turns % 20 == 0 else set(keys).difference(found):
            self.steps.absent(key)
        for key, (name, *state) in found.items():
            self.steps.present(key, *state)
            if name == GHOST and key not in self.ghosts:
                self.ghosts.add(key)
                self.findings.part(f"{self.place}: {key} was only ever on a primary that is dead")

    def lost(self):
        if self.connection is not None:
            self.connection.close()
        self.connection = None


class Load:
    """Clients of each of the apis in turn, SQL writers, and a reader of each replica. Paused at first.

    connect()  a psycopg2 connection to the leader; readers: {replica: a function that connects to it}
    """

    def __init__(self, seed, apis, connect, readers, findings):
        self.seed, self.connect, self.findings = seed, connect, findings
        self.ledger = Ledger()
        self.running, self.stopping = threading.Event(), threading.Event()
        self.pace = 0         # seconds between two turns of a writer
        self.forgets = False  # clients send no positions
        self._prepare()
        self.threads = [Client(self, f"client-{n}", api) for n, api in zip(range(CLIENTS), itertools.cycle(apis))]
        self.threads += [SqlWriter(self, f"sql-{n}") for n in (1, 2)]
        self.readers = [ReplicaReader(name, f, self) for name, f in readers.items()]
        for thread in (*self.threads, *self.readers):
            thread.start()

    def _prepare(self):
        connection = self.connect()
        with connection, connection.cursor() as cursor:
            cursor.execute("insert into products (id, name, price, stock) select gen_random_uuid(), %s, 1, 1 "
                           "from generate_series(1, %s) returning id::text", (SHARED_NAME, SHARED))
            self.ledger.shared = {key: 1 for key, in cursor.fetchall()}
        connection.close()

    def resume(self):
        for thread in self.threads:
            thread.resting.clear()
        self.running.set()

    def pause(self, timeout=60):
        """Returns when each writer has ended its turn."""
        self.running.clear()
        deadline = time.monotonic() + timeout
        for thread in self.threads:
            if not thread.resting.wait(max(0, deadline - time.monotonic())):
                raise AssertionError(f"{thread.name} does not come to an end")
        self.check()

    def check(self):
        """That all still do what they are there for."""
        broken = [t.broken for t in (*self.threads, *self.readers) if t.broken]
        assert not broken, broken

    def stop(self):
        self.stopping.set()
        self.running.clear()
        for reader in self.readers:
            reader.stopping.set()
        for thread in (*self.threads, *self.readers):
            thread.join(20)
