"""The writers of the fault suite, and the ledger of the writes that were acknowledged to them.

Promise: exactly what was answered 2xx by the API or committed by the primary is in the ledger as
acknowledged. There are two ways to know what a product must be, whatever dies:

  owned    one writer alone writes the id, one write after another, each with a stock one higher. A
           write without an answer leaves two possible states; the writer then stops using the id.
  counted  several writers share the id. Each transaction first raises the id's row in the primary's
           table workload_counters, which makes writers wait for each other in commit order, and
           writes that number as stock. The table's row and the product must always agree.

The tables of two more streams, two that are related and one in partitions, have an `n` that only ever grows:
each row is one writer's. What the primary has committed of them, the replicas must have.

So the stock of a product only ever grows, over deletes and re-inserts too: checks.py relies on it.
Every writer is a thread with random numbers of its own, drawn from the seed and the writer's name.
"""
import collections
import contextlib
import http.client
import io
import json
import random
import threading
import time
import uuid

import psycopg2

BASE_ROWS = 1500  # never written again: a read that finds fewer saw an incomplete table
HOT_IDS, OWNED_IDS, MANY_IDS, COPY_ROWS = 12, 40, 400, 200

BASE = "base"  # the name of the rows that are never written again

COUNT = "update workload_counters set n = n + 1, present = %s where id = %s returning n"
PUT = ("insert into products (id, name, price, stock) values (%s, %s, %s, %s) on conflict (id) do "
       "update set name = excluded.name, price = excluded.price, stock = excluded.stock, "
       "updated_at = now()")


class Ledger:
    """What was acknowledged. Any thread."""

    def __init__(self):
        self.mutex = threading.Lock()
        self.acked = 0       # writes of a product that were acknowledged
        self.unanswered = 0  # requests to the API that ended otherwise than 2xx
        self.errors = []     # the last of them, for the report
        self.owned = {}      # id -> set of possible states: a stock, or None where deleted
        self.counted = {}    # id -> the highest number acknowledged
        self.recent = collections.deque(maxlen=4 * OWNED_IDS)  # ids of the API's, for readers
        self.missing = []    # acknowledged by the API, but not found by it later

    def own(self, states):
        """Acknowledged writes of owned ids: id -> stock or None."""
        with self.mutex:
            self.acked += len(states)
            for key, state in states.items():
                self.owned[key] = {state}
            if len(states) < COPY_ROWS:
                self.recent.extend(states)

    def doubt(self, states, why=None):
        """Writes of owned ids that may or may not have happened."""
        with self.mutex:
            for key, state in states.items():
                self.owned.setdefault(key, {None}).add(state)
            if why is not None:
                self.unanswered += 1
                self.errors = [*self.errors[-9:], why]

    def count(self, numbers):
        """Committed numbers of counted ids, weights being the products written."""
        with self.mutex:
            for key, number, weight in numbers:
                self.acked += weight
                self.counted[key] = max(number, self.counted.get(key, 0))

    def settled(self):
        """Copies for the comparison after a round. Owned ids that are surely gone are forgotten:
        that a replica equals the primary is compared row by row anyway."""
        with self.mutex:
            owned, counted = dict(self.owned), dict(self.counted)
            self.owned = {k: s for k, s in owned.items() if s != {None}}
            return owned, counted

    def some_ids(self, rng, many):
        with self.mutex:
            ids = [*self.counted, *self.recent]
        return rng.sample(ids, min(many, len(ids)))


class Writer(threading.Thread):
    """A thread that calls turn() again and again, and rests while the workload is paused."""

    pace = (0.005, 0.03)  # seconds between two turns

    def __init__(self, workload, name):
        super().__init__(name=name, daemon=True)
        self.workload, self.ledger = workload, workload.ledger
        self.rng = random.Random(f"{workload.seed}:{name}")
        self.resting, self.broken = threading.Event(), None

    def run(self):
        try:
            while not self.workload.stopping.is_set():
                if not self.workload.running.is_set():
                    self.rest()
                    self.resting.set()
                    self.workload.running.wait(0.2)
                    continue
                self.resting.clear()
                self.turn()
                time.sleep(self.rng.uniform(*self.pace))
        except Exception as e:  # pylint: disable=broad-except
            self.broken = f"writer {self.name}: {e!r}"  # a defect of the suite, reported at the end
        self.resting.set()

    def rest(self):
        """The workload is paused; called again and again until it goes on."""

    def linger(self, seconds):
        """Waits inside a turn, but not longer than the workload runs."""
        until = time.monotonic() + seconds
        while time.monotonic() < until and self.workload.running.is_set():
            time.sleep(0.02)

    def new_id(self):
        return str(uuid.UUID(int=self.rng.getrandbits(128), version=4))

    def price(self):
        return f"{self.rng.randint(0, 10**8)}.{self.rng.randint(0, 9999):04}"

    def turn(self):
        raise NotImplementedError


class ApiWriter(Writer):
    """Creates, replaces, patches, deletes and imports through the API, on ids of its own."""

    def __init__(self, workload, name):
        super().__init__(workload, name)
        self.ids, self.client, self.base = {}, None, None  # id -> stock

    def send(self, method, path, body, kind="application/json"):
        """The answer's status and JSON; OSError or HTTPException where there was none."""
        if self.client is None:
            self.base = self.rng.choice(self.workload.addresses())
            self.client = http.client.HTTPConnection(*self.base, timeout=30)
        try:
            self.client.request(method, path, body, {"Content-Type": kind} if body else {})
            answer = self.client.getresponse()
            return answer.status, json.loads(answer.read() or b"null")
        except (OSError, http.client.HTTPException, ValueError):
            self.hang_up()
            raise

    def hang_up(self):
        if self.client is not None:
            self.client.close()
            self.client = None

    # The API at the other end may be gone for good when the next round begins.
    rest = hang_up

    def write(self, states, method, path, body=None, **more):
        """One request; True when it was acknowledged. Else its ids are retired."""
        try:
            status, answer = self.send(method, path, body, **more)
            rejected = path.endswith("import") and status == 200 and answer["data"]["rejected"]
            why = None if status in (200, 201) and not rejected else f"{method} {status} {answer}"
        except (OSError, http.client.HTTPException, ValueError) as e:
            why = f"{method} {self.base}: {e!r}"
        if why is None:
            self.ledger.own(states)
            return True
        if " 404 " in why:
            self.ledger.missing.append(f"{why} for {states}")
        self.ledger.doubt(states, why)
        for key in states:
            self.ids.pop(key, None)
        self.hang_up()
        time.sleep(0.1)
        return False

    def product(self, stock, key=None):
        fields = f'"name":"api","price":{self.price()},"stock":{stock}'
        return f'{{"id":"{key}",{fields}}}' if key else f"{{{fields}}}"

    def create(self):
        key = self.new_id()
        self.ids[key] = 1
        self.write({key: 1}, "POST", "/api/products", self.product(1, key))

    def replace(self, key):
        self.ids[key] += 1
        self.write({key: self.ids[key]}, "PUT", f"/api/products/{key}",
                   self.product(self.ids[key]))

    def patch(self, key):
        self.ids[key] += 1
        self.write({key: self.ids[key]}, "PATCH", f"/api/products/{key}",
                   f'{{"stock":{self.ids[key]}}}')

    def delete(self, key):
        del self.ids[key]
        self.write({key: None}, "DELETE", f"/api/products/{key}")

    def load(self):
        keys = [*self.rng.sample(sorted(self.ids), min(5, len(self.ids))), *(
            self.new_id() for _ in range(self.rng.randint(1, 20)))]
        for key in keys:
            self.ids[key] = self.ids.get(key, 0) + 1
        lines = "".join(self.product(self.ids[k], k) + "\n" for k in keys)
        self.write({k: self.ids[k] for k in keys}, "POST", "/api/products/import", lines,
                   kind="application/x-ndjson")

    def turn(self):
        if len(self.ids) < OWNED_IDS // 2:
            self.create()
            return
        key = self.rng.choice(sorted(self.ids))
        what = self.rng.random()
        if what < 0.02:
            self.load()
        elif what < 0.2 or len(self.ids) > OWNED_IDS:
            self.delete(key)
        elif what < 0.6:
            self.replace(key)
        else:
            self.patch(key)


class SqlWriter(Writer):
    """Work as at a psql prompt: transactions of several statements on shared ids."""

    connection = None

    def cursor(self):
        if self.connection is None or self.connection.closed:
            self.connection = self.workload.connect()
        return self.connection.cursor()

    def turn(self):
        try:
            with self.cursor() as cursor:
                self.transaction(cursor)
        except psycopg2.Error:
            with contextlib.suppress(psycopg2.Error):
                self.connection and self.connection.rollback()
            time.sleep(0.1)

    def change(self, cursor, key):
        """One write of a counted id: (id, number, weight), for the ledger once it is committed."""
        gone = self.rng.random() < 0.3
        cursor.execute(COUNT, (not gone, key))
        number = cursor.fetchone()[0]
        if gone:
            cursor.execute("delete from products where id = %s", (key,))
        else:
            cursor.execute(PUT, (key, self.name, self.price(), number))
        return key, number, 1

    def transaction(self, cursor):
        done = []
        for key in sorted(self.rng.sample(self.workload.hot, self.rng.randint(1, 4))):
            if self.rng.random() < 0.1:
                cursor.execute("savepoint s")
                self.change(cursor, key)
                cursor.execute("rollback to s")
            else:
                done.append(self.change(cursor, key))
        if self.rng.random() < 0.15:
            self.connection.rollback()
            return
        self.connection.commit()
        self.ledger.count(done)


class LongWriter(SqlWriter):
    """Transactions of seconds, half of them rolled back; the hot ids come last, just before."""

    pace = (0.1, 0.5)

    def transaction(self, cursor):
        done = [self.change(cursor, key) for key in self.rng.sample(self.workload.cool, 3)]
        self.linger(self.rng.uniform(0.5, 4))
        done += [self.change(cursor, key) for key in sorted(self.rng.sample(self.workload.hot, 2))]
        if self.rng.random() < 0.5:
            self.connection.rollback()
        else:
            self.connection.commit()
            self.ledger.count(done)


class CopyWriter(SqlWriter):
    """COPY of many new products, and deletes of what it copied before, each one transaction."""

    pace = (0.3, 1.0)

    def __init__(self, workload, name):
        super().__init__(workload, name)
        self.batches = []

    def transaction(self, cursor):
        if len(self.batches) > 3:
            keys = self.batches.pop(0)
            states = dict.fromkeys(keys)
            self.ledger.doubt(states)
            cursor.execute("delete from products where id = any(%s::uuid[])", (keys,))
        else:
            keys = [self.new_id() for _ in range(COPY_ROWS)]
            states = dict.fromkeys(keys, 1)
            self.ledger.doubt(states)
            rows = "".join(f"{key}\tcopied\t{self.price()}\t1\n" for key in keys)
            cursor.copy_expert("copy products (id, name, price, stock) from stdin",
                               io.StringIO(rows))
        self.connection.commit()
        self.ledger.own(states)
        if states[keys[0]] is not None:
            self.batches.append(keys)


class ManyWriter(SqlWriter):
    """Deletes many ids in one statement and inserts them again in another, for ever."""

    pace = (0.2, 0.8)

    def transaction(self, cursor):
        work = self.workload
        cursor.execute("update workload_counters set n = n + 1, present = not present "
                       "where id = %s returning n, present", (work.many_key,))
        number, present = cursor.fetchone()
        if present:
            cursor.execute("insert into products (id, name, price, stock) select "
                           "unnest(%s::uuid[]), 'many', %s, %s", (work.many, self.price(), number))
        else:
            cursor.execute("delete from products where id = any(%s::uuid[])", (work.many,))
        self.connection.commit()
        self.ledger.count([(work.many_key, number, len(work.many))])


# Two more streams: name -> the columns that replicas must have, the key first.
TABLES = {"fault_authors": "id, name, n", "fault_posts": "id, author, n, body", "fault_events": "id, at, n, note"}
STREAMS = ("products", "related", "parts")
MAKE_TABLES = """
    create table fault_authors (id integer primary key, name text not null, n bigint not null);
    create table fault_posts (id integer primary key, n bigint not null, body text,
        author integer not null references fault_authors on delete cascade on update cascade);
    create table fault_events (id integer, at integer, n bigint not null, note text, primary key (id, at))
        partition by range (at);
    create table fault_early partition of fault_events for values from (0) to (10);
    create table fault_late (note text, n bigint not null, at integer not null, id integer not null);
    alter table fault_events attach partition fault_late for values from (10) to (20);
    select pgfanout.add_table('fault_authors', stream => 'related'),
        pgfanout.add_table('fault_posts', stream => 'related'), pgfanout.add_table('fault_events', stream => 'parts')"""
ROWS = 25  # of each table and writer


class TablesWriter(SqlWriter):
    """Transactions of a few statements on related tables and on one in partitions, on rows of its own."""

    pace = (0.02, 0.1)

    def __init__(self, workload, name, first):
        super().__init__(workload, name)
        self.first, self.n = first, 0

    def ids(self):
        self.n += 1
        return {"id": self.first + self.rng.randrange(ROWS), "other": self.first + self.rng.randrange(ROWS),
                "n": self.n, "at": self.rng.randrange(20), "text": "x" * self.rng.randrange(200)}

    STATEMENTS = (
        "insert into fault_authors values (%(id)s, %(text)s, %(n)s) "
        "on conflict (id) do update set name = excluded.name, n = excluded.n",
        "insert into fault_posts (id, n, body, author) select %(other)s, %(n)s, nullif(%(text)s, ''), id "
        "from fault_authors where id = %(id)s on conflict (id) do update "
        "set n = excluded.n, body = excluded.body, author = excluded.author",
        "delete from fault_posts where id = %(id)s",
        "insert into fault_events (id, at, n, note) select %(id)s, %(at)s, %(n)s, %(text)s where not exists "
        "(select from fault_events where id = %(id)s)",
        "update fault_events set n = %(n)s, note = %(text)s where id = %(id)s",
        "update fault_events set n = %(n)s, at = (at + 7) %% 20 where id = %(id)s",
        "update fault_late set n = %(n)s where id = %(id)s",
        "delete from fault_early where id = %(id)s",
    )
    RARE = (
        "delete from fault_authors where id = %(id)s",
        "truncate fault_posts",
        "truncate fault_early",
    )

    def transaction(self, cursor):
        for _ in range(self.rng.randint(1, 5)):
            rare = self.rng.random() < 0.04
            cursor.execute(self.rng.choice(self.RARE if rare else self.STATEMENTS), self.ids())
        if self.rng.random() < 0.1:
            self.connection.rollback()
        else:
            self.connection.commit()


class Workload:
    """All writers together. Paused at first and after pause(); the caller's thread only.

    connect()    a new psycopg2 connection to the primary
    addresses()  (host, port) of the APIs that writers may use
    """

    def __init__(self, seed, connect, addresses):
        self.seed, self.connect, self.addresses = seed, connect, addresses
        self.ledger = Ledger()
        self.running, self.stopping = threading.Event(), threading.Event()
        rng = random.Random(f"{seed}:ids")
        ids = [str(uuid.UUID(int=rng.getrandbits(128), version=4))
               for _ in range(2 * HOT_IDS + MANY_IDS + 1)]
        self.hot, self.cool = ids[:HOT_IDS], ids[HOT_IDS:2 * HOT_IDS]
        self.many, self.many_key = ids[2 * HOT_IDS:-1], ids[-1]
        self._prepare()
        self.writers = [ApiWriter(self, "api-1"), ApiWriter(self, "api-2"), SqlWriter(self, "sql-1"),
                        SqlWriter(self, "sql-2"), LongWriter(self, "long"),
                        CopyWriter(self, "copy"), ManyWriter(self, "many"),
                        TablesWriter(self, "tables-1", 0), TablesWriter(self, "tables-2", 1000)]
        for writer in self.writers:
            writer.start()

    def add(self, writer):
        self.writers.append(writer)
        writer.start()

    def _prepare(self):
        connection = self.connect()
        with connection, connection.cursor() as cursor:
            cursor.execute("create table workload_counters "
                           "(id uuid primary key, n integer not null, present boolean not null)")
            cursor.execute("insert into workload_counters select unnest(%s::uuid[]), 0, false",
                           ([*self.hot, *self.cool, self.many_key],))
            cursor.execute("insert into products (id, name, price, stock) select "
                           "gen_random_uuid(), %s, g, g from generate_series(1, %s) g",
                           (BASE, BASE_ROWS))
            cursor.execute(MAKE_TABLES)
        connection.close()

    def resume(self):
        for writer in self.writers:
            writer.resting.clear()
        self.running.set()

    def pause(self, timeout=90):
        """Returns when every writer has ended its turn."""
        self.running.clear()
        deadline = time.monotonic() + timeout
        for writer in self.writers:
            if not writer.resting.wait(max(0, deadline - time.monotonic())):
                raise AssertionError(f"writer {writer.name} does not come to an end")
        broken = [w.broken for w in self.writers if w.broken]
        assert not broken, broken

    def stop(self):
        self.stopping.set()
        self.running.clear()
        for writer in self.writers:
            writer.join(35)
