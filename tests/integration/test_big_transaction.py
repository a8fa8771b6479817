"""Promise 5 for transactions: a big one delays the changes of others by little.

Its changes are published beside those of small transactions, and no faster than the replicas apply
them: see api/relay/outbox.c and api/relay/pace.c.
"""
import os
import threading
import time
import uuid

import psycopg2
import pytest

from conftest import SLOWNESS, wait_until

REPLICAS = ("replica-1", "replica-2")
ROWS = int(os.environ.get("BIG_ROWS", 150_000))  # more takes longer and changes nothing
VISIBLE_S = 5 * SLOWNESS  # on a machine of its own 1 s at most
TIMEOUT = 240 * SLOWNESS
BIG = "select count(*) from products where name = 'big'"
INSERT = ("insert into products (id, name, price, stock) "
          "select gen_random_uuid(), 'big', i %% 1000, i from generate_series(1, %s) i")


class Small:
    """A thread that adds another product a few times a second, and measures the time from its
    commit until these replicas show it. done: the query that counts how much of the big transaction
    a replica has."""

    def __init__(self, stack, done, replicas=REPLICAS):
        self.stack, self.done, self.replicas = stack, done, replicas
        self.found, self.error = [], None
        self.ending = threading.Event()
        self.thread = threading.Thread(target=self._run)
        self.thread.start()

    def _run(self):
        try:
            cursors = {}
            for db in ("primary", *self.replicas):
                conn = self.stack.connect(db)
                conn.autocommit = True
                cursors[db] = conn.cursor()
            while not self.ending.is_set():
                self._one(cursors)
                self.ending.wait(0.2)
        except (psycopg2.Error, TimeoutError) as e:
            self.error = e

    def _one(self, cursors):
        product, done = str(uuid.uuid4()), {}
        cursors["primary"].execute("insert into products (id, name, price, stock) "
                                   "values (%s, 'small', 1, 1)", (product,))
        begun = time.monotonic()
        for db in self.replicas:
            def seen(db=db):
                # One statement, so one moment.
                cursors[db].execute(f"select ({self.done}) from products where id = %s", (product,))
                row = cursors[db].fetchone()
                done[db] = row and row[0]
                return row
            wait_until(seen, TIMEOUT, f"{product} on {db}", 0.02)
        self.found.append((begun, time.monotonic(), done))

    def assert_soon(self, committed):
        """Of all that went through beside the big transaction, which committed then and has arrived
        now."""
        now = time.monotonic()
        self.ending.set()
        self.thread.join()
        if self.error:
            raise self.error
        waits = [ended - begun for begun, ended, _ in self.found if ended > committed and begun < now]
        print(f"{now - committed:.1f} s, others waited", *(f"{w:.2f}" for w in waits))
        assert max(waits) < VISIBLE_S
        for db in self.replicas:  # on any machine: they came in between
            assert any(0 < done[db] < ROWS for begun, _, done in self.found if begun >= committed), db


def start(stack):
    stack.start_consumer()
    stack.start_api()
    stack.create("first")
    stack.wait_converged()
    stack.sql("primary", "set statement_timeout = 0")


def wait_done(stack, done, rows, replicas=REPLICAS):
    for db in replicas:
        wait_until(lambda d=db: stack.sql(d, done) == [(rows,)], TIMEOUT, f"all on {db}", 0.2)


def test_others_are_visible_soon_while_it_goes_through(stack):
    """With rows that are added, changed, deleted."""
    start(stack)
    for statement, done in ((INSERT, BIG),
                            ("update products set stock = 999999 where name = 'big' and %s > 0",
                             BIG + " and stock = 999999"),
                            ("delete from products where name = 'big' and %s > 0",
                             f"select {ROWS} - ({BIG})")):
        small = Small(stack, done)
        stack.sql("primary", statement, ROWS)
        committed = time.monotonic()
        wait_done(stack, done, ROWS)
        small.assert_soon(committed)
    stack.wait_converged()


@pytest.mark.parametrize("how", ["stopped", "hung"])
def test_a_replica_that_takes_nothing_holds_up_neither(stack, how):
    """Neither the big transaction nor the others, on the other replica."""
    start(stack)
    away = stack.replicas[1]
    if how == "hung":
        away.pause()
    else:
        away.stop("immediate")
    small = Small(stack, BIG, ["replica-1"])
    stack.sql("primary", INSERT, ROWS)
    committed = time.monotonic()
    wait_done(stack, BIG, ROWS, ["replica-1"])
    small.assert_soon(committed)
    if how == "hung":
        away.resume()
    else:
        away.start()
    stack.wait_converged(120)


def test_a_replica_is_behind_until_it_has_all_of_it(stack):
    """No heartbeat that is later than the big transaction arrives before its last row."""
    start(stack)
    stack.sql("primary", INSERT, ROWS)
    committed = stack.sql("primary", "select clock_timestamp()")[0][0]
    seen = {db: set() for db in REPLICAS}

    def all_say_so():
        for db in REPLICAS:
            rows, at = stack.sql(db, f"select ({BIG}), least(heartbeat_sync, heartbeat_delete) "
                                 "from pgfanout.streams")[0]
            later = at is not None and at >= committed
            assert rows == ROWS or not later, f"{db} has {rows} rows at {at}, committed {committed}"
            seen[db].add((rows == ROWS, later))
        return all((True, True) in s for s in seen.values())

    wait_until(all_say_so, TIMEOUT, "heartbeats later than the big transaction", 0.05)
    assert all((False, False) in s for s in seen.values()), "nobody looked in between"


def test_a_product_of_it_that_is_changed_again_goes_forward_only(stack):
    """Promise 4: the newer change, or the delete, may arrive before the older one."""
    start(stack)
    rows = ROWS // 2
    stack.sql("primary", INSERT, rows)
    wait_done(stack, BIG, rows)
    ids = [i for i, in stack.sql("primary", "select id from products where name = 'big' order by id desc limit 20")]
    stack.sql("primary", "update products set stock = 999999 where name = 'big'")
    stack.sql("primary", "update products set stock = 888888 where id = any(%s::uuid[])", ids[:10])
    stack.sql("primary", "delete from products where id = any(%s::uuid[])", ids[10:])
    newest, wrong = {}, []

    def look():
        for db in REPLICAS:
            there = dict(stack.sql(db, "select id, version from products where id = any(%s::uuid[])", ids))
            for product in ids:
                before, version = newest.get((db, product), 0), there.get(product)
                if version is not None and (before is None or version < before):
                    wrong.append((db, product, before, version))
                newest[db, product] = version
        return all(stack.sql(db, BIG + " and stock < 888888") == [(0,)] for db in REPLICAS)

    wait_until(look, TIMEOUT, "all of it on both", 0.02)
    stack.wait_converged()
    look()
    assert not wrong


def test_nothing_is_lost_when_processes_die_in_the_middle(stack):
    """What the relay put aside it remembers in memory only: the records are what counts."""
    consumer = stack.start_consumer()
    stack.start_api()
    stack.create("first")
    stack.wait_converged()
    stack.sql("primary", "set statement_timeout = 0")
    stack.sql("primary", INSERT, ROWS)
    arrived = 0
    for who in ("api", "consumer", "rabbitmq"):
        wait_until(lambda a=arrived: stack.sql("replica-1", BIG)[0][0] > a, TIMEOUT, "progress", 0.02)
        arrived = stack.sql("replica-1", BIG)[0][0]
        assert arrived < ROWS, "it dies in the middle"
        if who == "api":
            stack.apis[-1].kill9()
            stack.start_api(PORT=stack.env["PORT"])
        elif who == "consumer":
            consumer.kill9()
            consumer = stack.start_consumer(CONSUMER_PORT=stack.port())
        else:
            stack.rabbitmq.kill9()
            stack.rabbitmq.start()
        stack.sql("primary", "insert into products (id, name, price, stock) "
                  "values (gen_random_uuid(), 'small', 1, 1)")
    stack.wait_converged(TIMEOUT)
