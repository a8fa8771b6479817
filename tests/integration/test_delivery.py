"""Promises 3, 4 and 6: duplicates, reordering, poison messages; queues that are deleted."""
import json
import random
import time
import uuid

import pika
import pytest

from harness.servers import wait_until

REPLICAS = ("replica-1", "replica-2")
NOW = "2026-01-31T12:00:00.123456Z"


def sync(key, version, name="by hand", price="1.50", stock=1):
    return (f'{{"id":"{key}","name":{json.dumps(name)},"price":{price},"stock":{stock},'
            f'"createdAt":"{NOW}","updatedAt":"{NOW}","version":{version}}}')


def delete(key, version):
    return f'{{"id":"{key}","version":{version}}}'


class Sender:
    """Publishes by hand, with confirms, straight into one replica's queue or to the exchange."""

    def __init__(self, stack):
        self.channel = stack.amqp().channel()
        self.channel.confirm_delivery()

    def __call__(self, queue, body, exchange="", content_type="application/json", headers=None):
        self.channel.basic_publish(
            exchange, queue, body.encode() if isinstance(body, str) else body,
            pika.BasicProperties(content_type=content_type, delivery_mode=2, headers=headers), mandatory=True)


def settle(stack, replica="replica-1", timeout=30):
    """Until the replica's queues are empty, retries included."""
    names = [f"products.{k}.{replica}" for k in ("sync", "delete", "retry")]

    def idle():
        return not any(n for q, n in stack.queues().items() if q.startswith(tuple(names)))
    # The management figures lag up to a second: they must be empty for longer than that.
    since = [None]

    def idle_for_long():
        if not idle():
            since[0] = None
            return False
        since[0] = since[0] or time.monotonic()
        return time.monotonic() - since[0] > 2.5
    wait_until(idle_for_long, timeout, f"queues of {replica} empty", 0.2)


@pytest.fixture(scope="module")
def running(module_stack):
    module_stack.start_api()
    module_stack.start_consumer()
    return module_stack


def row(stack, db, key):
    rows = stack.sql(db, "select name, price::text, stock from products where id = %s", key)
    return rows[0] if rows else None


def test_old_messages_never_step_back(running):
    send = Sender(running)
    key = running.create("first")["id"]
    for name in ("second", "third"):
        running.put("/api/products/" + key, json={"name": name, "price": 2, "stock": 2})
    running.wait_converged()
    version = running.sql("replica-1", "select version from products where id = %s", key)[0][0]
    for old in (1, version - 1, version):
        send("products.sync.replica-1", sync(key, old, "OLD"))
        send("products.delete.replica-1", delete(key, old))
    settle(running)
    running.assert_equal()


def test_deleted_stays_deleted(running):
    send = Sender(running)
    key = running.create("to be deleted")["id"]
    running.wait_converged()
    version = running.sql("replica-1", "select version from products where id = %s", key)[0][0]
    running.delete("/api/products/" + key)
    running.wait_converged()
    send("products.sync.replica-1", sync(key, version, "ZOMBIE"))
    send("products.sync.replica-1", "[" + sync(key, version, "ZOMBIE") + "," + sync(key, 1, "ZOMBIE") + "]")
    settle(running)
    assert row(running, "replica-1", key) is None
    # Created again, it is there again.
    running.put("/api/products/" + key, json={"name": "back", "price": 1, "stock": 1})
    running.wait_converged()
    assert row(running, "replica-1", key)[0] == "back"


def test_a_delete_may_overtake_its_sync(running):
    send, key = Sender(running), str(uuid.uuid4())
    send("products.delete.replica-1", delete(key, 500))
    settle(running)
    send("products.sync.replica-1", sync(key, 499))
    settle(running)
    assert row(running, "replica-1", key) is None
    send("products.sync.replica-1", sync(key, 501, "newer than the delete"))
    wait_until(lambda: row(running, "replica-1", key), 20, "the newer sync")
    send("products.delete.replica-1", delete(key, 502))
    wait_until(lambda: row(running, "replica-1", key) is None, 20, "the newer delete")


def test_other_subscribers_get_every_change(running):
    channel = running.amqp().channel()
    queue = channel.queue_declare("", exclusive=True).method.queue
    channel.queue_bind(queue, "products", "products.*")
    made = running.create("for subscribers", "0.30")
    running.delete("/api/products/" + made["id"])
    got = []

    def both():
        method, properties, body = channel.basic_get(queue, auto_ack=True)
        if method:
            got.append((method.routing_key, properties, body.decode()))
        return len(got) == 2
    wait_until(both, 20, "two messages")
    (key1, props1, body1), (key2, props2, body2) = sorted(got, key=lambda g: g[0], reverse=True)
    assert (key1, key2) == ("products.sync", "products.delete")
    first, second = json.loads(body1), json.loads(body2)
    assert list(first) == ["id", "name", "price", "stock", "createdAt", "updatedAt", "version"]
    assert '"price":0.30,' in body1
    assert {k: first[k] for k in ("id", "name", "stock", "createdAt", "updatedAt")} == \
        {k: made[k] for k in ("id", "name", "stock", "createdAt", "updatedAt")}
    assert list(second) == ["id", "version"] and second["id"] == made["id"]
    assert second["version"] > first["version"]
    for props, kind in ((props1, "products.sync"), (props2, "products.delete")):
        assert props.content_type == "application/json" and props.delivery_mode == 2
        assert props.message_id and props.timestamp and props.type == kind
    assert props1.message_id != props2.message_id


POISON = [
    ("broken JSON", "sync", b'{"id":'),
    ("no JSON", "sync", b"\x00\x01\x02\xff"),
    ("empty", "sync", b""),
    ("a number", "sync", b"42"),
    ("empty array", "sync", b"[]"),
    ("missing field", "sync", b'{"id":"%s","version":5}'),
    ("wrong type", "sync", b'{"id":"%s","name":7,"price":1,"stock":1,"createdAt":"' + NOW.encode() +
     b'","updatedAt":"' + NOW.encode() + b'","version":5}'),
    ("bad price", "sync", b'{"id":"%s","name":"a","price":"1","stock":1,"createdAt":"' + NOW.encode() +
     b'","updatedAt":"' + NOW.encode() + b'","version":5}'),
    ("bad uuid", "sync", b'{"id":"nope","name":"a","price":1,"stock":1,"createdAt":"' + NOW.encode() +
     b'","updatedAt":"' + NOW.encode() + b'","version":5}'),
    ("bad time", "sync", b'{"id":"%s","name":"a","price":1,"stock":1,"createdAt":"2026-02-30T00:00:00Z","updatedAt":"' +
     NOW.encode() + b'","version":5}'),
    ("bad version", "sync", b'{"id":"%s","name":"a","price":1,"stock":1,"createdAt":"' + NOW.encode() +
     b'","updatedAt":"' + NOW.encode() + b'","version":"5"}'),
    ("unknown field", "delete", b'{"id":"%s","version":5,"why":"?"}'),
    ("a sync in the delete queue", "delete", b'{"id":"%s","name":"a","price":1,"stock":1,"version":5}'),
]


def test_poison_costs_only_itself(stack):
    """Ten and more kinds: three attempts in all, 1 s and 2 s apart, then the dead-letter queue with
    the reason; what comes behind is applied long before."""
    stack.start_api()
    stack.start_consumer()
    send = Sender(stack)
    wait_until(lambda: stack.queue_depth("products.dead.replica-1") is not None, 20, "queues declared")
    begun = time.monotonic()
    sent = []
    for _, kind, body in POISON:
        text = body.replace(b"%s", str(uuid.uuid4()).encode())
        sent.append(text)
        send(f"products.{kind}.replica-1", text)
    behind = stack.create("behind the poison")["id"]
    wait_until(lambda: row(stack, "replica-1", behind) and row(stack, "replica-2", behind), 10, "those behind")
    assert stack.queue_depth("products.dead.replica-1") == 0, "given up before the third attempt"
    wait_until(lambda: stack.queue_depth("products.dead.replica-1") == len(POISON), 60, "dead letters")
    assert time.monotonic() - begun >= 3, "1 s and 2 s must lie between the attempts"
    channel = stack.amqp().channel()
    dead = [channel.basic_get("products.dead.replica-1", auto_ack=True) for _ in POISON]
    assert sorted(d[2] for d in dead) == sorted(sent), "the body must be what was sent"
    for method, properties, body in dead:
        assert properties.headers["x-attempt"] == 3
        assert len(properties.headers["x-error"]) > 5
        assert properties.headers["x-queue"] in ("products.sync.replica-1", "products.delete.replica-1")
    assert stack.queue_depth("products.dead.replica-2") == 0
    stack.wait_converged()


def test_a_bad_element_is_split_off(stack):
    stack.start_api()
    stack.start_consumer(RETRY_DELAY_MS=50)
    send = Sender(stack)
    wait_until(lambda: stack.queue_depth("products.dead.replica-1") is not None, 20, "queues declared")
    good = [str(uuid.uuid4()) for _ in range(3)]
    elements = [sync(good[0], 10), '{"id":"x"}', sync(good[1], 11), "7", sync(good[2], 12)]
    send("products.sync.replica-1", "[" + ",".join(elements) + "]")
    wait_until(lambda: all(row(stack, "replica-1", k) for k in good), 20, "the good elements")
    wait_until(lambda: stack.queue_depth("products.dead.replica-1") == 2, 30, "the bad elements")
    channel = stack.amqp().channel()
    bodies = sorted(channel.basic_get("products.dead.replica-1", auto_ack=True)[2] for _ in range(2))
    assert bodies == [b"7", b'{"id":"x"}']


def test_a_row_that_only_this_replica_refuses(stack):
    """The database refuses one row of a batch: the rest of the batch is applied, the row is retried
    and parked, alone."""
    stack.start_api()
    stack.start_consumer(RETRY_DELAY_MS=50)
    stack.sql("replica-1", "alter table products add constraint no_bad check (name not like 'bad%')")
    ids = [stack.create(f"good {n}")["id"] for n in range(20)]
    bad = stack.create("bad one")["id"]
    ids += [stack.create(f"good {n}")["id"] for n in range(20)]
    stack.wait_converged(dbs=("replica-2",))
    wait_until(lambda: all(row(stack, "replica-1", k) for k in ids), 30, "the good rows")
    wait_until(lambda: stack.queue_depth("products.dead.replica-1") == 1, 30, "the dead letter")
    method, properties, body = stack.amqp().channel().basic_get("products.dead.replica-1", auto_ack=True)
    assert json.loads(body)["id"] == bad
    assert "no_bad" in properties.headers["x-error"] and properties.headers["x-attempt"] == 3
    assert row(stack, "replica-1", bad) is None


def test_an_unreachable_replica_uses_up_no_attempts(stack):
    stack.start_api()
    stack.start_consumer(RETRY_DELAY_MS=50)
    stack.create("before")
    stack.wait_converged()
    stack.replicas[0].stop("immediate")
    for n in range(50):
        stack.create(f"while down {n}")
    stack.wait_converged(dbs=("replica-2",))
    assert stack.get("/api/products?limit=1").headers["X-Served-By"] == "replica-2"
    time.sleep(2)  # longer than all retries together would take
    stack.replicas[0].start()
    stack.wait_converged(60)
    assert stack.queue_depth("products.dead.replica-1") == 0


def test_queues_unbound_deleted_and_none_at_all(stack):
    """With no queue bound nothing counts as published; a deleted queue is recreated and its replica
    marked."""
    api = stack.start_api()
    consumer = stack.start_consumer(AUTO_RESET="false")
    stack.create("first")
    stack.wait_converged()
    consumer.stop()
    channel = stack.amqp().channel()
    for replica in REPLICAS:
        for kind in ("sync", "delete"):
            channel.queue_unbind(f"products.{kind}.{replica}", "products", f"products.{kind}")
    ids = [stack.create(f"unroutable {n}")["id"] for n in range(20)]
    # The relay declares its topology again and continues by itself; nothing may be missing.
    wait_until(lambda: stack.sql("primary", "select count(*) from pgfanout.outbox where heartbeat is null") == [(0,)], 60, "outbox empty")
    stack.start_consumer(AUTO_RESET="false")
    stack.wait_converged(60)
    assert row(stack, "replica-1", ids[0])
    # Deleted under a running consumer.
    channel = stack.amqp().channel()
    channel.queue_delete("products.sync.replica-2")
    wait_until(lambda: stack.sql("replica-2", "select needs_reset from pgfanout.streams") == [(True,)], 30,
               "replica-2 marked")
    wait_until(lambda: stack.queue_depth("products.sync.replica-2") is not None, 30, "the queue made again")
    stack.create("after")
    assert stack.reset("--replica", "replica-2", "--yes").returncode == 0
    stack.wait_converged(60)
    assert stack.sql("replica-2", "select needs_reset from pgfanout.streams") == [(False,)]
    assert api.running()


@pytest.mark.parametrize("seed", [1, 2, 3, 4])
def test_any_history_any_order_any_duplicates(stack, seed):
    """Property: a random history, delivered with random duplication and reordering, ends in the
    primary's rows."""
    rng = random.Random(seed)
    channel = stack.amqp().channel()
    stack.start_api(MESSAGE_MAX_CHANGES=rng.choice([1, 3, 200]))
    consumer = stack.start_consumer()
    wait_until(lambda: stack.queue_depth("products.dead.replica-2") is not None, 20, "queues declared")
    tap = channel.queue_declare("", exclusive=True).method.queue
    channel.queue_bind(tap, "products", "products.*")
    consumer.stop()
    ids = [str(uuid.UUID(int=rng.getrandbits(128), version=4)) for _ in range(12)]
    for step in range(250):
        key, kind = rng.choice(ids), rng.random()
        if kind < 0.45:
            stack.sql("primary", "insert into products values (%s, %s, %s, %s) on conflict (id) do update set "
                      "name = excluded.name, price = excluded.price, stock = excluded.stock, updated_at = now()",
                      key, f"step {step}", f"{rng.randrange(10**6)}.{rng.randrange(10**4):04d}", rng.randrange(100))
        elif kind < 0.65:
            stack.sql("primary", "update products set stock = stock + 1, updated_at = clock_timestamp() where id = %s", key)
        elif kind < 0.9:
            stack.sql("primary", "delete from products where id = %s", key)
        elif kind < 0.95:
            other = rng.choice(ids)
            stack.sql("primary", "update products set id = %s where id = %s and not exists "
                      "(select from products where id = %s)", other, key, other)
            stack.sql("primary", "update products set name = name || '.' where id::text > %s", key)
        else:
            stack.sql("primary", "delete from products where id::text < %s", rng.choice(ids))
    wait_until(lambda: stack.sql("primary", "select count(*) from pgfanout.outbox where heartbeat is null") == [(0,)], 30, "outbox empty")
    messages = stack.take_all(channel, tap)
    assert messages
    # Take everything out of replica-1's queues, and put it back shuffled and doubled; replica-2
    # keeps the broker's order.
    for kind in ("sync", "delete"):
        channel.queue_purge(f"products.{kind}.replica-1")
    again = messages + rng.choices(messages, k=len(messages) // 2)
    rng.shuffle(again)
    confirmed = stack.amqp().channel()
    confirmed.confirm_delivery()
    for n, (key, properties, body) in enumerate(again):
        confirmed.basic_publish("", key + ".replica-1", body, properties, mandatory=True)
        if n == len(again) // 3:
            consumer = stack.start_consumer()
        if n == 2 * len(again) // 3:
            consumer.kill9()
    stack.start_consumer()
    stack.wait_converged(60)
