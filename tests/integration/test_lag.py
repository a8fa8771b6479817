"""Lag, measured by heartbeats through outbox, broker and queues; reads avoid replicas that are far
behind.

A heartbeat says: everything committed on the primary before its time has arrived. So the lag is
right also when nothing is written, and when nothing is applied.
"""
import re
import threading
import time
import uuid

import pika
import pytest

from conftest import SLOWNESS
from harness.servers import wait_until

REPLICAS = ("replica-1", "replica-2")
MAX_LAG_MS = 2000
IDLE_LAG_MS = 2500 * SLOWNESS  # a heartbeat is sent every second, and looked at every second
QUICK = {"MAX_REPLICA_LAG_MS": MAX_LAG_MS}
BEAT = "select least(heartbeat_sync, heartbeat_delete) from pgfanout.streams"
BEATS = "select count(*) from pgfanout.outbox where heartbeat is not null"


def replicas(stack, base=None):
    """name -> what /status says of it"""
    data = stack.get("/status", base=base).json()["data"]
    return {r["name"]: r for r in data["replicas"]}


def lag_ms(stack, name):
    return replicas(stack)[name]["lagMs"]


def served_by(stack, n=10):
    answers = [stack.get("/api/products?limit=1") for _ in range(n)]
    assert {a.status_code for a in answers} == {200}
    return {a.headers["X-Served-By"] for a in answers}


def wait_served_by(stack, names, timeout=30):
    wait_until(lambda: served_by(stack) == set(names), timeout * SLOWNESS, f"reads from {names}", 0.1)


def wait_measured(stack):
    wait_until(lambda: all(r["lagMs"] is not None and r["lagMs"] < MAX_LAG_MS for r in replicas(stack).values()),
               20 * SLOWNESS, "heartbeats on all replicas")


def test_small_when_idle_and_replicas_serve_at_once(stack):
    stack.start_consumer()
    stack.start_api(**QUICK)
    assert served_by(stack) == set(REPLICAS)  # at once, whatever is known of their lag
    wait_measured(stack)
    for _ in range(20):
        for name, replica in replicas(stack).items():
            assert replica["lagMs"] < IDLE_LAG_MS and replica["state"] == "serving", name
        time.sleep(0.15)
    text = stack.get("/metrics").text
    lags = dict(re.findall(r'^pgfanout_api_replica_lag_seconds\{replica="([^"]+)"\} (\S+)$', text, re.M))
    assert set(lags) == set(REPLICAS) and all(0 <= float(v) < IDLE_LAG_MS / 1000 for v in lags.values())
    # Heartbeats are no changes, and do not pile up.
    assert 'pgfanout_api_relay_confirmed_total{stream="products"} 0' in text
    assert 'pgfanout_api_relay_messages_total{stream="products"} 0' in text
    consumer = stack.request("GET", "/metrics", base=f"http://{stack.env['CONSUMER_HOST']}:{stack.env['CONSUMER_PORT']}").text
    assert 'pgfanout_consumer_messages_total{replica="replica-1"} 0' in consumer
    assert 'pgfanout_consumer_batches_total{replica="replica-1"} 0' in consumer
    assert stack.sql("primary", BEATS)[0][0] <= 1


def test_dead_consumer_sends_reads_to_the_primary_and_back(stack):
    consumer = stack.start_consumer()
    stack.start_api(**QUICK)
    wait_measured(stack)
    consumer.kill9()
    assert "primary" not in served_by(stack)  # not yet
    wait_served_by(stack, ["primary"])
    made = stack.create("while nobody applies")
    assert stack.get("/api/products/" + made["id"]).status_code == 200
    one = replicas(stack)["replica-1"]
    assert one["state"] == "lagging" and one["lagMs"] > MAX_LAG_MS and "behind the primary" in one["reason"]
    time.sleep(1)
    assert lag_ms(stack, "replica-1") >= one["lagMs"] + 900
    assert stack.get("/ready").status_code == 200
    stack.start_consumer()
    wait_served_by(stack, REPLICAS)
    assert stack.get("/api/products/" + made["id"]).status_code == 200
    stack.wait_converged()


def test_one_locked_replica_leaves_alone(stack):
    stack.start_consumer()
    stack.start_api(**QUICK)
    wait_measured(stack)
    lock = stack.connect("replica-1")
    lock.cursor().execute("lock table products in exclusive mode")  # readers may, writers may not
    stack.create("while it is locked")
    wait_served_by(stack, ["replica-2"])
    states = {name: r["state"] for name, r in replicas(stack).items()}
    assert states == {"replica-1": "lagging", "replica-2": "serving"}
    lock.rollback()
    wait_served_by(stack, REPLICAS)


def test_with_the_primary_gone_lagging_replicas_serve(stack):
    consumer = stack.start_consumer()
    stack.start_api(**QUICK)
    made = stack.create("here before all that")
    stack.wait_converged()
    wait_measured(stack)
    consumer.stop()
    wait_served_by(stack, ["primary"])
    stack.primary.stop("immediate")
    wait_served_by(stack, REPLICAS)
    assert stack.get("/api/products/" + made["id"]).status_code == 200
    before = lag_ms(stack, "replica-1")
    time.sleep(1)
    assert lag_ms(stack, "replica-1") > before, "the primary's clock is carried on"
    stack.primary.start()
    wait_served_by(stack, ["primary"])
    stack.start_consumer()
    wait_served_by(stack, REPLICAS)


def test_the_nearest_of_lagging_replicas_serves(stack):
    consumer = stack.start_consumer()
    stack.start_api(**QUICK)
    wait_measured(stack)
    consumer.stop()
    stack.sql("replica-1", "update pgfanout.streams set heartbeat_sync = now() - interval '1 hour'")
    wait_served_by(stack, ["primary"])
    stack.primary.stop("immediate")
    wait_served_by(stack, ["replica-2"])
    assert lag_ms(stack, "replica-1") > 3_500_000


def test_without_a_heartbeat_a_replica_is_trusted_for_a_while(stack):
    """No broker: no relay leads, no lag is measured."""
    stack.start_api(RABBITMQ_URL="amqp://user:password@127.0.0.1:1/none", **QUICK)
    assert served_by(stack) == set(REPLICAS)
    assert lag_ms(stack, "replica-1") is None
    assert "replica_lag_seconds{" not in stack.get("/metrics").text
    wait_served_by(stack, ["primary"])
    assert replicas(stack)["replica-1"]["state"] == "lagging"


def test_no_limit(stack):
    stack.start_api(MAX_REPLICA_LAG_MS=0, HEARTBEAT_MS=100)
    stack.sql("replica-1", "update pgfanout.streams set heartbeat_sync = '2020-01-01', heartbeat_delete = '2020-01-01'")
    wait_until(lambda: lag_ms(stack, "replica-1"), 10 * SLOWNESS, "the lag")
    assert served_by(stack) == set(REPLICAS)


def test_settings_must_fit_each_other(stack):
    done = stack.run("pgfanout-api", "--check-config", MAX_REPLICA_LAG_MS=1999)
    assert done.returncode == 2 and "MAX_REPLICA_LAG_MS is 1999" in done.stderr and "HEARTBEAT_MS" in done.stderr


def test_other_subscribers_see_no_heartbeats(stack):
    channel = stack.amqp().channel()
    stack.start_consumer()
    stack.start_api(HEARTBEAT_MS=100)
    wait_measured(stack)
    queue = channel.queue_declare("", exclusive=True).method.queue
    for exchange in ("products", "products.retry", "products.redeliver"):
        channel.queue_bind(queue, exchange, "#")
    before = stack.sql("replica-1", BEAT)
    stack.create("a change")
    stack.wait_converged()
    wait_until(lambda: stack.sql("replica-1", BEAT) > before, 10 * SLOWNESS, "the next heartbeat")
    assert [properties.type for _, properties, _ in stack.take_all(channel, queue)] == ["products.sync"]


@pytest.mark.parametrize("body", ['{"at":"yesterday"}', '{}', '{"at":"2026-01-31T12:00:00Z","more":1}', '[]', ''])
def test_malformed_heartbeat_is_poison(stack, body):
    stack.start_consumer(RETRY_DELAY_MS=50)
    wait_until(lambda: stack.queue_depth("products.dead.replica-1") == 0, 20 * SLOWNESS, "queues")
    channel = stack.amqp().channel()
    channel.basic_publish("", "products.delete.replica-1", body.encode(),
                          pika.BasicProperties(type="products.heartbeat", content_type="application/json"))
    wait_until(lambda: stack.queue_depth("products.dead.replica-1") == 1, 20 * SLOWNESS, "the dead letter")
    _, properties, dead = channel.basic_get("products.dead.replica-1", auto_ack=True)
    assert dead.decode() == body and properties.type == "products.heartbeat" and properties.headers["x-attempt"] == 3
    assert stack.sql("replica-1", BEAT) == [(None,)]


def test_a_missing_queue_holds_up_nobody_and_is_made_again(stack):
    """Heartbeats find a queue that is gone while nobody consumes."""
    api = stack.start_api(HEARTBEAT_MS=200)
    consumer = stack.start_consumer()
    wait_measured(stack)
    consumer.stop()
    channel = stack.amqp().channel()
    channel.queue_delete("products.sync.replica-1")
    wait_until(lambda: stack.queue_depth("products.sync.replica-1") is not None, 5 * SLOWNESS, "the queue made again")
    assert "a queue of a replica was deleted" in api.log()
    before = stack.sql("replica-2", BEAT)
    stack.start_consumer()
    wait_until(lambda: stack.sql("replica-2", BEAT) > before, 20 * SLOWNESS, "heartbeats on the other one")
    wait_until(lambda: stack.sql("replica-1", BEAT) > before, 20 * SLOWNESS, "heartbeats on that one")


def test_of_two_apis_only_the_leader_writes_heartbeats(stack):
    first, second = stack.start_api(2, HEARTBEAT_MS=100)
    wait_until(lambda: stack.sql("replica-1", "select 1") and stack.queue_depth("products.sync.replica-1"), 20 * SLOWNESS, "heartbeats")
    stack.sql("primary", """
        create table beats (pid integer, at timestamptz);
        create function note_beat() returns trigger language plpgsql as
            $$ begin insert into beats values (pg_backend_pid(), new.heartbeat); return null; end $$;
        create trigger note after insert on pgfanout.outbox for each row when (new.heartbeat is not null)
            execute function note_beat()""")
    count = lambda: stack.sql("primary", "select count(*), count(distinct pid) from beats")[0]
    wait_until(lambda: count()[0] >= 10, 20 * SLOWNESS, "ten heartbeats")
    assert count()[1] == 1
    gaps = stack.sql("primary", "select min(gap) from (select at - lag(at) over (order by at) as gap from beats) g")[0][0]
    assert gaps.total_seconds() > 0.02  # due every 0.1 s; the primary may take one late
    leader = next(a for a in (first, second) if stack.get("/status", base=a.base).json()["data"]["relay"]["state"] == "leading")
    leader.stop()
    wait_until(lambda: count()[1] == 2, 30 * SLOWNESS, "heartbeats of the other one")
    # Whatever was left by the first is found by the second.
    wait_until(lambda: stack.sql("primary", BEATS)[0][0] <= 1, 10 * SLOWNESS, "no pile")


def test_heartbeats_that_vanish_are_written_again(stack):
    stack.start_consumer()
    stack.start_api(HEARTBEAT_MS=100)
    wait_measured(stack)
    for _ in range(20):
        stack.sql("primary", "truncate pgfanout.outbox")
        time.sleep(0.03)
    before = stack.sql("replica-1", BEAT)
    wait_until(lambda: stack.sql("replica-1", BEAT) > before, 10 * SLOWNESS, "heartbeats")


def test_a_heartbeat_ahead_of_the_primarys_clock_says_nothing(stack):
    """Its lag is not 0 but unknown, so reads avoid the replica."""
    consumer = stack.start_consumer()
    stack.start_api(**QUICK)
    wait_measured(stack)
    consumer.stop()
    stack.sql("replica-1", "update pgfanout.streams set heartbeat_sync = now() + interval '1 hour', "
              "heartbeat_delete = now() + interval '1 hour'")
    made = stack.create("not on any replica")
    wait_served_by(stack, ["primary"])
    one = replicas(stack)["replica-1"]
    assert one["lagMs"] is None and one["state"] == "lagging"
    assert one["reason"] == "its heartbeat is ahead of the primary's clock, so its lag is not known"
    assert stack.get("/api/products/" + made["id"]).status_code == 200
    metrics = stack.get("/metrics").text
    assert not re.search(r'replica_lag_seconds\{replica="replica-1"\}', metrics)
    # Nor is it the nearest one when the primary is away.
    stack.primary.stop("immediate")
    wait_served_by(stack, ["replica-2"])
    stack.primary.start()
    stack.start_consumer()
    wait_served_by(stack, REPLICAS)


def test_a_clock_that_was_set_back_heals_by_itself(stack):
    """A heartbeat that the primary recorded while its clock was an hour ahead."""
    stack.start_consumer()
    stack.start_api(HEARTBEAT_MS=1000, **QUICK)
    wait_measured(stack)
    stack.sql("primary", "create table seen (at timestamptz)")
    stack.sql("replica-1", "create table seen as select heartbeat_sync as at from pgfanout.streams with no data")
    stack.sql("replica-1", """
        create function note() returns trigger language plpgsql as
            $$ begin insert into public.seen values (new.heartbeat_sync); return null; end $$;
        create trigger note after update on pgfanout.streams for each row execute function note()""")

    def seen():
        # Of two heartbeats in a sweep only the newer one is published.
        stack.sql("primary", "insert into pgfanout.outbox (stream, version, kind, heartbeat) values "
                  "(1, 1, 'b', now() + interval '1 hour')")
        return stack.sql("replica-1", "select 1 from seen where at > now() + interval '50 minutes'")
    wait_until(seen, 10 * SLOWNESS, "the heartbeat of another time", 0.5)
    wait_until(lambda: stack.sql("replica-1", "select heartbeat_sync < now() + interval '1 minute' "
                                 "from pgfanout.streams") == [(True,)], 10 * SLOWNESS, "the next one")
    wait_measured(stack)
    wait_served_by(stack, REPLICAS)


def test_a_reset_counts_as_a_heartbeat(stack):
    stack.sql("replica-1", "update pgfanout.streams set heartbeat_sync = now() + interval '1 day', heartbeat_delete = null")
    before = stack.sql("primary", "select clock_timestamp()")[0][0]
    assert stack.reset("--replica", "replica-1", "--yes").returncode == 0
    at = stack.sql("replica-1", "select heartbeat_sync, heartbeat_delete from pgfanout.streams")[0]
    assert at[0] == at[1] and before <= at[0] <= stack.sql("primary", "select clock_timestamp()")[0][0]


class Writers:
    """Threads that change products in all kinds of transactions, and note what was committed by
    when."""

    def __init__(self, stack, n):
        self.stop, self.done, self.doomed, self.lock = False, {}, set(), threading.Lock()
        self.threads = [threading.Thread(target=self._write, args=(k, stack.connect())) for k in range(n)]
        for thread in self.threads:
            thread.start()

    def _write(self, number, conn):
        mine, turn = [], 0
        with conn.cursor() as cursor:
            while not self.stop:
                turn += 1
                if mine and turn % 3 == 0:
                    key, gone = mine.pop(0), True
                    self.doomed.add(key)  # from here on it may be there or not
                    cursor.execute("delete from products where id = %s", (key,))
                else:
                    key, gone = str(uuid.uuid4()), False
                    mine.append(key)
                    cursor.execute("insert into products (id, name, price, stock) values (%s, 'x', 1, 1)", (key,))
                if number == 0:
                    time.sleep(0.4)  # open across heartbeats
                elif number == 1:  # many rows, so that a sweep has chunks
                    cursor.execute("update products set stock = stock + 1 where id = any (%s::uuid[])", (mine[-1500:],))
                conn.commit()
                cursor.execute("select clock_timestamp()")
                at = cursor.fetchone()[0]
                conn.commit()
                with self.lock:
                    self.done[key] = (at, gone)

    def end(self):
        self.stop = True
        for thread in self.threads:
            thread.join()


def test_a_heartbeat_never_overtakes_a_change(stack):
    """Whatever was committed before a replica's heartbeat is visible on it, at any moment,
    whichever process is killed."""
    stack.sql("primary", "insert into products (id, name, price, stock) "
              "select gen_random_uuid(), 'n' || n, 1, 1 from generate_series(1, 3000) n")
    apis = stack.start_api(2, HEARTBEAT_MS=100)
    consumer = stack.start_consumer(BATCH_MAX_CHANGES=50)
    stack.wait_converged()
    writers = Writers(stack, 5)
    checked, seen = 0, set()
    conns = {name: stack.connect(name) for name in REPLICAS}
    began, upset = time.monotonic(), 0
    try:
        while time.monotonic() - began < 12:
            for name, conn in conns.items():
                with writers.lock:
                    expected = dict(writers.done)
                with conn.cursor() as cursor:
                    cursor.execute("select (" + BEAT + "), array(select id::text from products)")
                    beat, there = cursor.fetchone()
                    conn.commit()
                there = set(there)
                for key, (at, gone) in expected.items():
                    if at < beat and (gone or key not in writers.doomed):
                        checked += 1
                        assert (key in there) != gone, f"{name}: {key} of {at} is not in step with {beat}"
                seen.add((name, beat))
            if time.monotonic() - began > 3 and upset == 0:
                upset = 1
                consumer.kill9()
                stack.start_consumer(BATCH_MAX_CHANGES=50)
            if time.monotonic() - began > 7 and upset == 1:
                upset = 2
                next(a for a in apis if stack.get("/status", base=a.base).json()["data"]["relay"]["state"] == "leading").kill9()
    finally:
        writers.end()
    assert checked > 1000 and len(seen) > 20
    stack.wait_converged(60)
