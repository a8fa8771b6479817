"""Promise 5 for transactions: one of a million rows delays the changes of others by little.

Its changes are published beside those of small transactions, and no faster than the replicas apply
them: see api/relay/outbox.c and api/relay/pace.c.
"""
import os
import threading
import time
import uuid

import psycopg2

from conftest import SLOWNESS, wait_until

REPLICAS = ("replica-1", "replica-2")
ROWS = int(os.environ.get("BIG_ROWS", 300_000))
VISIBLE_S = 5 * SLOWNESS  # 2 s on a machine of its own
BIG = ("insert into products (id, name, price, stock) "
       "select gen_random_uuid(), 'big ' || i, i %% 1000, i from generate_series(1, %s) i")


class Small:
    """A thread that changes another product each second, and measures from its commit until both
    replicas show it."""

    def __init__(self, stack):
        self.stack, self.found, self.error = stack, [], None
        self.ending = threading.Event()
        self.thread = threading.Thread(target=self._run)
        self.thread.start()

    def _run(self):
        try:
            conns = {db: self.stack.connect(db) for db in ("primary", *REPLICAS)}
            for conn in conns.values():
                conn.autocommit = True
            cursors = {db: conn.cursor() for db, conn in conns.items()}
            while not self.ending.is_set():
                self.found.append(self._one(cursors))
                self.ending.wait(0.2)
        except (psycopg2.Error, TimeoutError) as e:
            self.error = e

    @staticmethod
    def _one(cursors):
        product = str(uuid.uuid4())
        cursors["primary"].execute("insert into products (id, name, price, stock) "
                                   "values (%s, 'small', 1, 1)", (product,))
        committed = time.monotonic()
        for db in REPLICAS:
            def there(cursor=cursors[db]):
                cursor.execute("select 1 from products where id = %s", (product,))
                return cursor.fetchone() is not None
            wait_until(there, 120 * SLOWNESS, f"{product} on {db}", 0.02)
        return committed, time.monotonic() - committed

    def end(self):
        self.ending.set()
        self.thread.join()
        if self.error:
            raise self.error
        return self.found


def count(stack, db):
    return stack.sql(db, "select count(*) from products where name like 'big %'")[0][0]


def test_others_are_visible_soon_while_a_big_transaction_goes_through(stack):
    stack.start_consumer()
    stack.start_api()
    stack.create("first")
    stack.wait_converged()
    small = Small(stack)
    stack.sql("primary", "set statement_timeout = 0")
    begun = time.monotonic()
    stack.sql("primary", BIG, ROWS)
    committed = time.monotonic()
    for db in REPLICAS:
        wait_until(lambda d=db: count(stack, d) == ROWS, 240 * SLOWNESS, f"all on {db}", 0.3)
    complete = time.monotonic()
    found = small.end()
    during = [wait for at, wait in found if committed < at + wait and at < complete]
    print(f"insert {committed - begun:.1f} s, through {complete - committed:.1f} s, "
          f"{len(during)} small ones during it, waits "
          + " ".join(f"{w:.2f}" for w in during))
    assert len(during) >= 3
    assert max(during) < VISIBLE_S
    stack.wait_converged(60)
