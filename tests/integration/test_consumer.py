"""The consumer alone, against real servers: messages are published by hand, as any publisher could.

What it promises: the newest version wins in any order; a message that cannot be applied costs only
itself; the trouble of one replica does not affect the others and uses up no attempts; nothing is
acknowledged before it is committed, or confirmed in its next queue.
"""
import json
import random
import time
import uuid

import pika
import pytest
import requests

from conftest import SANITIZED, SLOWNESS, wait_until

STAMP = "2026-01-31T12:00:00.123456Z"
BOTH = ("replica-1", "replica-2")


def product(number, version, **more):
    return {"id": str(uuid.UUID(int=number)), "name": f"product {number} v{version}",
            "price": 1.25, "stock": version % 1000, "createdAt": STAMP, "updatedAt": STAMP,
            "version": version, **more}


def gone(number, version):
    return {"id": str(uuid.UUID(int=number)), "version": version}


class Publisher:
    """A confirmed publisher to the exchange, or to a queue by its name."""

    def __init__(self, stack):
        self.connection = stack.amqp()
        self.channel = self.connection.channel()
        self.channel.confirm_delivery()

    def send(self, kind, body, queue=None, headers=None, **properties):
        if not isinstance(body, (str, bytes)):
            body = json.dumps(body)
        properties = {"content_type": "application/json", "type": f"products.{kind}",
                      "message_id": str(uuid.uuid4()), **properties}
        self.channel.basic_publish("" if queue else "products", queue or f"products.{kind}",
                                   body if isinstance(body, bytes) else body.encode(),
                                   pika.BasicProperties(delivery_mode=2, headers=headers or {},
                                                        **properties), mandatory=True)

    def send_until_taken(self, *args):
        """A broker that has just started refuses messages until its queues have found a leader."""
        def taken():
            self.send(*args)
            return True
        wait_until(taken, 20 * SLOWNESS, "the broker takes a message")


def found(stack, db):
    """number -> version of the products on a replica."""
    return {uuid.UUID(i).int: v for i, v in stack.sql(db, "select id::text, version from products")}


def wait_found(stack, expected, dbs=BOTH, timeout=20):
    for db in dbs:
        wait_until(lambda db=db: found(stack, db) == expected, timeout * SLOWNESS,
                   f"{len(expected)} products on {db}")


def dead_letters(stack, replica, n, timeout=20):
    """Waits for n of them and takes them: a list of (body, headers, properties)."""
    wait_until(lambda: stack.queue_depth(f"products.dead.{replica}") is not None, timeout * SLOWNESS,
               "the dead-letter queue")
    channel, letters = stack.amqp().channel(), []

    def take():
        method, properties, body = channel.basic_get(f"products.dead.{replica}", auto_ack=True)
        if method:
            letters.append((body, properties.headers, properties))
        return len(letters) >= n
    wait_until(take, timeout * SLOWNESS, f"{n} dead letters of {replica}")
    assert channel.basic_get(f"products.dead.{replica}")[0] is None, "more dead letters than expected"
    return letters


def status(consumer, replica):
    answer = requests.get(consumer.base + "/status", timeout=10).json()
    return next(r for r in answer["data"]["replicas"] if r["name"] == replica)


def wait_state(consumer, replica, state, timeout=15):
    wait_until(lambda: status(consumer, replica)["state"] == state, timeout * SLOWNESS,
               f"{replica} {state}")


def wait_idle(stack, timeout=20):
    """Until every message has been acknowledged."""
    wait_until(lambda: not {q: n for q, n in stack.queues().items() if n}, timeout * SLOWNESS,
               "empty queues")


@pytest.fixture
def consumer(stack):
    program = stack.start_consumer(RETRY_DELAY_MS=200, AUTO_RESET="false")
    for replica in BOTH:
        wait_state(program, replica, "applying")
    return program


def follow(stack, source, *former):
    """As if reset from a primary of this source, and from others before."""
    for replica in BOTH:
        stack.sql(replica, "update pgfanout.streams set follows = %s, followed = %s", source,
                  list(former))


def test_old_duplicate_and_reordered_messages_converge(stack, consumer):
    rng = random.Random(7)
    changes, newest = [], {}
    for number in range(1, 61):
        for version in rng.sample(range(1, 100000), 12):
            kind = rng.choice(("sync", "sync", "delete"))
            changes.append((kind, number, version))
            if version > newest.get(number, ("", 0))[1]:
                newest[number] = (kind, version)
    changes += rng.sample(changes, 300)
    rng.shuffle(changes)
    publisher = Publisher(stack)
    for at in range(0, len(changes), 5):
        part = changes[at:at + 5]
        if rng.random() < 0.5:
            for kind, number, version in part:
                publisher.send(kind, product(number, version) if kind == "sync"
                               else gone(number, version))
            continue
        for kind, make in (("sync", product), ("delete", gone)):
            array = [make(n, v) for k, n, v in part if k == kind]
            if array:
                publisher.send(kind, array)
    wait_found(stack, {n: v for n, (kind, v) in newest.items() if kind == "sync"})
    wait_idle(stack)
    for db in BOTH:
        assert found(stack, db) == {n: v for n, (kind, v) in newest.items() if kind == "sync"}
    assert status(consumer, "replica-1")["stale"] > 0


def test_values_arrive_to_the_last_digit(stack, consumer):
    publisher = Publisher(stack)
    for number, price in enumerate(("19.99", "0", "99999999999.9999", "151.90", "1.0000"), 1):
        body = json.dumps(product(number, number, name="Größe \"€\" \n 🙂"))
        publisher.send("sync", body.replace("1.25", price))
    wait_found(stack, {n: n for n in range(1, 6)})
    for db in BOTH:
        rows = stack.sql(db, "select price::text, name, created_at::text from products order by id")
        assert [r[0] for r in rows] == ["19.99", "0", "99999999999.9999", "151.90", "1.0000"]
        assert rows[0][1] == "Größe \"€\" \n 🙂"
        assert rows[0][2] == "2026-01-31 12:00:00.123456+00"


POISON = {
    "broken": b'{"id":',
    "not UTF-8": b'{"id":"\xff"}',
    "empty": b"",
    "a number": b"7",
    "an empty array": b"[]",
    "an unknown field": json.dumps(product(900, 1, colour="red")).encode(),
    "a missing field": json.dumps(gone(901, 1)).encode(),
    "a bad price": json.dumps(product(902, 1, price="1.25")).encode(),
    "a version of text": json.dumps({**product(903, 1), "version": "1"}).encode(),
    "a bad id": json.dumps(product(904, 1, id="no-uuid")).encode(),
    "twice the same key": b'{"id":"00000000-0000-0000-0000-000000000001","id":1}',
    "too deep": b"[" * 20000 + b"]" * 20000,
}


def test_poison_costs_only_itself(stack, consumer):
    follow(stack, "s1")
    publisher = Publisher(stack)
    started = time.monotonic()
    for number, (name, body) in enumerate(POISON.items(), 1):
        publisher.send("sync", body, queue="products.sync.replica-1", message_id=name,
                       headers={"tenant": "acme", "x-source": "s1", "x-xid": "7001"})
        publisher.send("sync", product(number, number))
    publisher.send("sync", product(950, 1), queue="products.sync.replica-1", content_type="text/plain",
                   message_id="the wrong content type")
    wait_found(stack, {n: n for n in range(1, len(POISON) + 1)}, timeout=5)
    letters = dead_letters(stack, "replica-1", len(POISON) + 1)
    assert time.monotonic() - started >= 0.2 + 0.4, "three attempts with exponential back-off"
    by_id = {properties.message_id: (body, headers) for body, headers, properties in letters}
    for name, body in POISON.items():
        found_body, headers = by_id[name]
        assert found_body == body, name
        assert headers["x-attempt"] == 3, name
        assert headers["x-queue"] == "products.sync.replica-1"
        assert headers["x-error"] and "\n" not in headers["x-error"]
        assert len(headers["x-error"].encode()) <= 500
        assert headers["x-died-at"].endswith("Z")
        assert headers["tenant"] == "acme"
        assert (headers["x-source"], headers["x-xid"]) == ("s1", "7001")
        assert "x-death" not in headers
    assert "text/plain" in by_id["the wrong content type"][1]["x-error"]
    assert stack.queue_depth("products.dead.replica-2") == 0
    after = status(consumer, "replica-1")
    assert after["dead"] == len(POISON) + 1
    assert after["retried"] == 2 * (len(POISON) + 1)
    wait_idle(stack)


def test_bad_elements_of_an_array_are_split_off(stack, consumer):
    follow(stack, "s1")
    publisher = Publisher(stack)
    bad = '{"id" :  "x"}'
    array = "[" + ",".join([json.dumps(product(1, 11)), bad, json.dumps(product(2, 12)), "null",
                            json.dumps(product(3, 13))]) + "]"
    publisher.send("sync", array, headers={"x-xid": "70 71*2 72*2", "x-source": "s1"}, message_id="m")
    wait_found(stack, {1: 11, 2: 12, 3: 13}, timeout=5)
    for replica in BOTH:
        letters = dead_letters(stack, replica, 2)
        assert sorted(body for body, _, _ in letters) == [b"null", bad.encode()]
        assert {body: headers["x-xid"] for body, headers, _ in letters} == {b"null": "72",
                                                                            bad.encode(): "71"}
        assert {properties.message_id for _, _, properties in letters} == {"m"}
        assert all(headers["x-source"] == "s1" for _, headers, _ in letters)
    wait_idle(stack)


def test_a_refused_change_is_isolated(stack, consumer):
    """One replica has a rule of its own; even the older version of the refused product arrives."""
    stack.sql("replica-1", "alter table products add constraint odd check (stock <> 66666)")
    publisher = Publisher(stack)
    for part in range(20):
        array = [product(n, 1000 + n) for n in range(part * 50 + 1, part * 50 + 51)]
        publisher.send("sync", array)
    publisher.send("sync", [product(7, 5000), product(7, 5001, stock=66666), product(8, 5002)])
    expected = {n: 1000 + n for n in range(1, 1001)} | {7: 5000, 8: 5002}
    wait_found(stack, expected, ["replica-1"])
    wait_found(stack, expected | {7: 5001}, ["replica-2"])
    (body, headers, _), = dead_letters(stack, "replica-1", 1)
    assert json.loads(body)["version"] == 5001
    assert "odd" in headers["x-error"]
    assert stack.queue_depth("products.dead.replica-2") == 0
    wait_idle(stack)


def test_a_replayed_dead_letter_is_applied(stack, consumer):
    stack.sql("replica-1", "alter table products add constraint odd check (stock <> 66666)")
    publisher = Publisher(stack)
    publisher.send("sync", product(1, 5, stock=66666))
    (body, headers, _), = dead_letters(stack, "replica-1", 1)
    stack.sql("replica-1", "alter table products drop constraint odd")
    publisher.send("sync", body, queue=headers["x-queue"], headers=headers)
    wait_found(stack, {1: 5})


def test_garbage_in_headers_is_survived(stack, consumer):
    follow(stack, None)
    publisher = Publisher(stack)
    rows = [{"x-attempt": "many"}, {"x-attempt": -5}, {"x-attempt": 10 ** 12}, {"x-attempt": True},
            {"x-xid": "7001*999999999999"}, {"x-xid": "\u20ac"}, {"x-xid": 12}, {"x-source": 7},
            {"x-source": "s" * 5000}, {"x-source": "\u20ac"}, {"x-death": [{"count": 3}]},
            {"deep": {"a": {"b": [1, None]}}}, {f"h{i}": "v" * 200 for i in range(40)}]
    for number, headers in enumerate(rows, 1):
        publisher.send("sync", product(number, number), headers=headers)
        publisher.send("sync", b"bad", queue="products.sync.replica-1", headers=headers)
    wait_found(stack, {n: n for n in range(1, len(rows) + 1)})
    letters = dead_letters(stack, "replica-1", len(rows))
    assert sum(headers["x-attempt"] > 3 for _, headers, _ in letters) == 1, "the one of 10^12"
    wait_idle(stack)


def test_kill_9_in_the_middle_of_batches_loses_nothing(stack, consumer):
    publisher = Publisher(stack)
    rng = random.Random(3)
    for at in range(0, 20000, 50):
        publisher.send("sync", [product(n, n + 1) for n in range(at + 1, at + 51)])
    for _ in range(5):
        time.sleep(rng.uniform(0.02, 0.3))
        consumer.kill9()
        consumer.restart()
    wait_found(stack, {n: n + 1 for n in range(1, 20001)}, timeout=60)
    wait_idle(stack)
    assert stack.queue_depth("products.dead.replica-1") == 0


def test_a_replica_that_is_down_waits_alone(stack, consumer):
    replica = stack.servers.by_name["replica-1"]
    replica.stop("immediate")
    publisher = Publisher(stack)
    for n in range(1, 301):
        publisher.send("sync", product(n, n))
    wait_found(stack, {n: n for n in range(1, 301)}, ["replica-2"])
    wait_until(lambda: stack.queue_depth("products.sync.replica-1") == 300, 10 * SLOWNESS,
               "all messages back in the queue")
    assert status(consumer, "replica-1")["state"] == "connecting-replica"
    assert status(consumer, "replica-1")["lastError"]
    replica.start()
    wait_found(stack, {n: n for n in range(1, 301)})
    assert status(consumer, "replica-1")["retried"] == 0, "no attempt was used up"
    wait_idle(stack)


def test_a_hung_replica_delays_nobody(stack):
    consumer = stack.start_consumer(APPLY_TIMEOUT_MS=1000)
    for db in BOTH:
        wait_state(consumer, db, "applying")
    replica = stack.servers.by_name["replica-1"]
    replica.pause()
    try:
        publisher = Publisher(stack)
        for n in range(1, 101):
            publisher.send("sync", product(n, n))
        wait_found(stack, {n: n for n in range(1, 101)}, ["replica-2"], timeout=5)
        wait_until(lambda: stack.queue_depth("products.sync.replica-1") == 100, 20 * SLOWNESS,
                   "all messages back in the queue")
        assert requests.get(consumer.base + "/health", timeout=5).status_code == 200
    finally:
        replica.resume()
    wait_found(stack, {n: n for n in range(1, 101)})


def test_a_running_reset_makes_the_messages_wait(stack, consumer):
    reset = stack.connect("replica-1")
    with reset.cursor() as cursor:
        cursor.execute("select pg_advisory_xact_lock(1885824610, 1)")
        publisher = Publisher(stack)
        for n in range(1, 51):
            publisher.send("sync", product(n, n))
        wait_found(stack, {n: n for n in range(1, 51)}, ["replica-2"])
        wait_state(consumer, "replica-1", "resetting")
        assert found(stack, "replica-1") == {}
        wait_until(lambda: stack.queue_depth("products.sync.replica-1") == 50, 10 * SLOWNESS,
                   "all messages back in the queue")
    reset.commit()
    wait_found(stack, {n: n for n in range(1, 51)}, timeout=5)
    assert status(consumer, "replica-1")["retried"] == 0


def test_locks_on_the_replica_are_waited_for(stack, consumer):
    blocker = stack.connect("replica-1")
    with blocker.cursor() as cursor:
        cursor.execute("lock table products in access exclusive mode")
        publisher = Publisher(stack)
        publisher.send("sync", product(1, 1))
        publisher.send("delete", gone(2, 2))
        time.sleep(1)
    blocker.commit()
    wait_found(stack, {1: 1}, timeout=15)
    assert stack.queue_depth("products.dead.replica-1") == 0


def test_a_read_only_replica_waits(stack, consumer):
    stack.sql("replica-1", f'alter database "{stack.database}" set default_transaction_read_only = on')
    stack.sql("replica-1", "select pg_terminate_backend(pid) from pg_stat_activity "
                           "where application_name = 'pgfanout-consumer'")
    Publisher(stack).send("sync", product(1, 1))
    wait_until(lambda: "read-only" in (status(consumer, "replica-1")["lastError"] or ""),
               15 * SLOWNESS, "the reason in /status")
    conn = stack.connect("replica-1")
    conn.autocommit = True
    with conn.cursor() as cursor:
        cursor.execute("set default_transaction_read_only = off")
        cursor.execute(f'alter database "{stack.database}" set default_transaction_read_only = off')
    wait_found(stack, {1: 1})
    assert status(consumer, "replica-1")["retried"] == 0


def test_a_corrupt_replica_waits(stack, consumer):
    """Stands in for a page that cannot be read: no fault of the change that meets it."""
    stack.sql("replica-1", "create function corrupt() returns trigger language plpgsql as $$ begin "
              "raise 'invalid page in block 7' using errcode = 'XX001'; end $$")
    stack.sql("replica-1", "create trigger corrupt before insert on products for each row when (new.stock = 7) "
              "execute function corrupt()")
    Publisher(stack).send("sync", [product(1, 1), product(2, 2, stock=7), product(3, 3)])
    wait_until(lambda: "invalid page" in (status(consumer, "replica-1")["lastError"] or ""),
               15 * SLOWNESS, "the reason in /status")
    wait_found(stack, {1: 1, 2: 2, 3: 3}, ["replica-2"])
    stack.sql("replica-1", "drop trigger corrupt on products")
    wait_found(stack, {1: 1, 2: 2, 3: 3}, ["replica-1"])
    of = status(consumer, "replica-1")
    assert (of["retried"], of["dead"]) == (0, 0)


def test_an_unmigrated_replica_waits(bare_stack):
    stack = bare_stack
    consumer = stack.start_consumer()
    for db in BOTH:
        wait_state(consumer, db, "not-migrated")
    assert "pgfanout-migrate up" in status(consumer, "replica-1")["lastError"]
    time.sleep(1)
    assert consumer.log().count("replica-1 the replica's schema") <= 1, "logged once"
    stack.migrate()
    for db in BOTH:
        wait_state(consumer, db, "applying")
    Publisher(stack).send("sync", product(1, 1))
    wait_found(stack, {1: 1})


def test_a_deleted_queue_is_noticed(stack, consumer):
    publisher = Publisher(stack)
    publisher.send("sync", product(1, 1))
    wait_found(stack, {1: 1})
    publisher.channel.queue_delete("products.sync.replica-1")
    wait_until(lambda: status(consumer, "replica-1")["needsReset"], 10 * SLOWNESS, "needsReset")
    assert stack.sql("replica-1", "select needs_reset from pgfanout.streams") == [(True,)]
    assert "reset-replicas" in consumer.log()
    wait_state(consumer, "replica-1", "applying")
    publisher.send("sync", product(2, 2))
    wait_found(stack, {1: 1, 2: 2})


def test_deleted_retry_and_dead_queues_come_back(stack, consumer):
    publisher = Publisher(stack)
    publisher.send("sync", product(1, 1))
    wait_found(stack, {1: 1})
    for queue in ("products.retry.replica-1", "products.retry.replica-1.2", "products.dead.replica-1"):
        publisher.channel.queue_delete(queue)
    publisher.send("sync", b"bad", queue="products.sync.replica-1", message_id="bad")
    (body, headers, _), = dead_letters(stack, "replica-1", 1)
    assert (body, headers["x-attempt"]) == (b"bad", 3)


def test_broker_restart(stack, consumer):
    publisher = Publisher(stack)
    for n in range(1, 101):
        publisher.send("sync", product(n, n))
    # RabbitMQ writes its list of quorum queues down half a second late: killed before that, it
    # comes
    # back with queues that answer nothing. That is not what this test is about.
    time.sleep(2)
    stack.rabbitmq.kill9()
    stack.rabbitmq.start()
    publisher = Publisher(stack)
    for n in range(101, 201):
        publisher.send_until_taken("sync", product(n, n))
    wait_found(stack, {n: n for n in range(1, 201)}, timeout=40)


def test_poison_does_not_stop_draining_while_the_broker_is_full(stack, consumer):
    """While the broker takes no messages failed changes cannot be moved; the others go on."""
    consumer.stop()
    publisher = Publisher(stack)
    publisher.send("sync", b"bad", queue="products.sync.replica-1")
    for n in range(1, 1001):
        publisher.send("sync", product(n, n))
    stack.rabbitmq.memory_alarm()
    try:
        consumer.restart()
        wait_found(stack, {n: n for n in range(1, 1001)})
        time.sleep(1)
        assert status(consumer, "replica-1")["retried"] == 0
    finally:
        stack.rabbitmq.clear_memory_alarm()
    dead_letters(stack, "replica-1", 1)
    wait_idle(stack)


def test_stop_under_load_ends_in_order(stack, consumer):
    publisher = Publisher(stack)
    for at in range(0, 10000, 50):
        publisher.send("sync", [product(n, n + 1) for n in range(at + 1, at + 51)])
    for _ in range(3):
        time.sleep(0.1)
        assert consumer.stop(15 * SLOWNESS) == 0
        consumer.restart()
        consumer.wait_for_http(consumer.base + "/health", 20 * SLOWNESS)
    wait_found(stack, {n: n + 1 for n in range(1, 10001)}, timeout=60)


def test_messages_of_another_source_form_their_own_batch(stack, consumer):
    """The xid counts only for the source of the snapshot; without one, the floor does. What a former
    primary's relay left in the queues is stale."""
    follow(stack, "s1", "s2")
    stack.sql("replica-1", "update pgfanout.tables set source = 's1', snapshot = '100:100:', "
                           "floor = 50")
    publisher = Publisher(stack)
    cases = [(1, 10, {"x-source": "s1", "x-xid": "99"}), (2, 10, {"x-source": "s1", "x-xid": "100"}),
             (3, 60, {"x-source": "s1", "x-xid": "99"}), (4, 60, {"x-source": "s2", "x-xid": "99"}),
             (5, 10, {"x-source": "s2", "x-xid": "200"}), (6, 60, {}), (7, 10, {}),
             (8, 10, {"x-source": "s1"})]
    for number, version, headers in cases * 3:
        publisher.send("sync", product(number, version), headers=headers)
    publisher.send("sync", product(9, 99))
    wait_found(stack, {2: 10, 6: 60, 9: 99}, ["replica-1"])


def test_metrics_status_and_wrong_paths(stack, consumer):
    Publisher(stack).send("sync", product(1, 1))
    wait_found(stack, {1: 1})
    wait_until(lambda: 'pgfanout_consumer_applied_total{replica="replica-1"} 1' in
               requests.get(consumer.base + "/metrics", timeout=10).text, 10, "the counter")
    answer = requests.get(consumer.base + "/health", timeout=10)
    assert (answer.status_code, answer.json()["data"]["status"]) == (200, "ok")
    text = requests.get(consumer.base + "/status", timeout=10).text
    assert "password" not in text
    wait_until(lambda: status(consumer, "replica-1")["queues"] == {"sync": 0, "delete": 0, "retry": 0,
                                                                   "dead": 0}, 15, "counts")
    assert requests.get(consumer.base + "/nothing", timeout=10).status_code == 404
    assert requests.post(consumer.base + "/health", timeout=10).status_code == 405
    assert "password" not in consumer.log()


def test_wrong_starts_say_why(stack, consumer):
    taken = stack.run("pgfanout-consumer")
    assert taken.returncode == 2 and "CONSUMER_PORT" in taken.stderr
    for env, word in (({"RABBITMQ_URL": None}, "RABBITMQ_URL"), ({"MAX_ATTEMPTS": "0"}, "MAX_ATTEMPTS"),
                      ({"MAX_ATTEMPTS": "11"}, "MAX_ATTEMPTS"), ({"PREFETCH": "x"}, "PREFETCH"),
                      ({"REPLICA_1_URL": None, "REPLICA_2_URL": None}, "REPLICA_1_URL")):
        done = stack.run("pgfanout-consumer", **env)
        assert done.returncode == 2 and word in done.stderr, (env, done.stderr)
    assert stack.run("pgfanout-consumer", "--check-config").returncode == 0
    assert "password" not in stack.run("pgfanout-consumer", "--check-config").stdout
    assert stack.run("pgfanout-consumer", "--bogus").returncode == 2


def test_status_follows_a_reset(stack, consumer):
    for state in (True, False):
        stack.sql("replica-1", "update pgfanout.streams set needs_reset = %s, reason = 'a test'",
                  state)
        wait_until(lambda state=state: status(consumer, "replica-1")["needsReset"] is state,
                   15 * SLOWNESS, f"needsReset {state}")


def test_arrays_have_a_limit(stack, consumer):
    publisher = Publisher(stack)
    publisher.send("delete", [gone(n, n) for n in range(1, 10001)])
    publisher.send("delete", [gone(n, n) for n in range(1, 10002)], queue="products.delete.replica-1")
    (body, headers, _), = dead_letters(stack, "replica-1", 1)
    assert len(json.loads(body)) == 10001
    assert "10000" in headers["x-error"]
    wait_until(lambda: stack.sql("replica-2", "select count(*) from pgfanout.tombstones_1") == [(10000,)],
               10 * SLOWNESS, "the tombstones")


@pytest.mark.skipif(SANITIZED, reason="sanitizers need memory of their own")
def test_small_messages_full_of_garbage_take_little_memory(stack):
    """20 kB that fail in 10000 places are 10000 messages to be moved."""
    consumer, publisher = stack.start_consumer(MAX_ATTEMPTS=1), Publisher(stack)
    wait_until(lambda: stack.queue_depth("products.dead.replica-1") is not None, 20, "the queues")
    for kind in ("sync", "delete"):
        for _ in range(20):
            publisher.send(kind, [1] * 10000, queue=f"products.{kind}.replica-1")
    wait_until(lambda: stack.queue_depth("products.dead.replica-1") > 50000, 60, "50000 dead letters")
    with open(f"/proc/{consumer.popen.pid}/status", encoding="ascii") as status:
        peak_kb = next(int(line.split()[1]) for line in status if line.startswith("VmHWM"))
    assert peak_kb < 150 * 1024


def test_stop_does_not_wait_for_a_hung_replica(stack):
    consumer = stack.start_consumer(DRAIN_TIMEOUT_MS=1000)
    for db in BOTH:
        wait_state(consumer, db, "applying")
    replica = stack.servers.by_name["replica-1"]
    replica.pause()
    try:
        Publisher(stack).send("sync", product(1, 1))
        wait_found(stack, {1: 1}, ["replica-2"])
        started = time.monotonic()
        assert consumer.stop(15 * SLOWNESS) == 0
        assert time.monotonic() - started < 5 * SLOWNESS
        wait_until(lambda: stack.queue_depth("products.sync.replica-1") == 1, 10 * SLOWNESS,
                   "the message back in its queue")
    finally:
        replica.resume()
