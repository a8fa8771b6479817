"""A replica notices what it should have had and has not: messages that the broker lost or gave away
after it had confirmed them.

Each test loses messages in a way that no program sees happen. The replica must be marked within
seconds, serve no read that lacks them, and be whole again by itself; or nothing is lost, and it must
not be marked.
"""
import json
import time
import urllib.parse

import pika
import pytest

from conftest import SLOWNESS, wait_until
from test_backlog import marked, served_by, wait_marked, wait_published, write
from test_consumer import status
from test_dead_letters import letters

REPLICAS = ("replica-1", "replica-2")
API = {"MESSAGE_MAX_CHANGES": 1}
MARKED_WITHIN = 12  # a heartbeat each second, 3 s of patience, and a slow machine


def path(stack, what, *names):
    parts = [urllib.parse.quote(n, safe="") for n in (stack.vhost, *names)]
    return "/" + "/".join([what, *parts])


def unbind(stack, kind="sync", replica="replica-1"):
    queue = f"products.{kind}.{replica}"
    stack.rabbitmq.api("DELETE", path(stack, "bindings") + "/" +
                       f"e/products/q/{queue}/products.{kind}")


def purge(stack, queue):
    stack.rabbitmq.api("DELETE", path(stack, "queues", queue) + "/contents")


def policy(stack, pattern, **definition):
    """Until its end, a policy on the queues that match."""
    where = path(stack, "policies", "test")
    stack.rabbitmq.api("PUT", where, {"pattern": pattern, "apply-to": "queues", "priority": 1,
                                      "definition": {k.replace("_", "-"): v
                                                     for k, v in definition.items()}})
    return lambda: stack.rabbitmq.api("DELETE", where)


def reason(stack, replica="replica-1"):
    return stack.sql(replica, "select reason from pgfanout.streams")[0][0]


def wait_beat(stack, replica="replica-1"):
    """Until a heartbeat that is made from now on has counted, so all before it has come."""
    now = stack.sql("primary", "select clock_timestamp()")[0][0]
    wait_until(lambda: stack.sql(replica, "select least(heartbeat_sync, heartbeat_delete) > %s "
                                 "from pgfanout.streams", now) == [(True,)],
               20 * SLOWNESS, f"a heartbeat on {replica}")


def named(stack, name):
    """The products of this name that `dead-letters list` names, and how many there are."""
    ids = {row[0] for row in stack.sql("primary", "select id::text from products where name like %s",
                                       name + "%")}
    return len({x["productId"] for x in letters(stack)} & ids), len(ids)


def take(channel, queue):
    """The first message with changes, or None; heartbeats before it go back."""
    beats = []
    while True:
        method, properties, _ = channel.basic_get(queue)
        if method and properties.type == "products.heartbeat":
            beats.append(method.delivery_tag)
            continue
        for tag in beats:
            channel.basic_nack(tag, requeue=True)
        return method


def running(stack, **consumer):
    stack.start_api(**API)
    program = stack.start_consumer(**consumer)
    write(stack, 20, "before")
    stack.wait_converged()
    for replica in REPLICAS:
        wait_beat(stack, replica)
    return program


def assert_marked_and_healed(stack, consumer, messages):
    """replica-1 lacks so many messages; there is a consumer with AUTO_RESET=false."""
    wait_marked(stack, "replica-1", timeout=MARKED_WITHIN)
    assert reason(stack).startswith(f"{messages} messages"), reason(stack)
    wait_until(lambda: "replica-1" not in served_by(stack), 5 * SLOWNESS, "reads from elsewhere")
    wait_until(lambda: status(consumer, "replica-1")["needsReset"], 10 * SLOWNESS, "needsReset")
    assert "have not come through its" in consumer.log(200)
    assert not marked(stack, "replica-2")
    consumer.stop()
    stack.start_consumer()
    wait_marked(stack, "replica-1", False)
    stack.wait_converged()
    for replica in REPLICAS:
        wait_beat(stack, replica)
        assert not marked(stack, replica), reason(stack, replica)
    assert stack.reset("--verify").returncode == 0


@pytest.mark.parametrize("kind", ["sync", "delete"])
def test_a_binding_that_was_removed_and_made_again(stack, kind):
    consumer = running(stack, AUTO_RESET="false")
    unbind(stack, kind)
    write(stack, 7, "lost or not")
    stack.sql("primary", "delete from products where name like 'before%%' and stock <= 5")
    wait_published(stack)
    channel = stack.amqp().channel()
    channel.queue_bind(f"products.{kind}.replica-1", "products", f"products.{kind}")
    assert_marked_and_healed(stack, consumer, 7 if kind == "sync" else 5)


def test_a_binding_that_is_still_missing(stack):
    consumer = running(stack, AUTO_RESET="false")
    unbind(stack)
    write(stack, 3, "lost")
    wait_marked(stack, "replica-1", timeout=MARKED_WITHIN)
    write(stack, 3, "lost too")
    wait_published(stack)
    consumer.stop()
    stack.start_consumer()  # its reset binds the queue again
    wait_marked(stack, "replica-1", False)
    stack.wait_converged()
    wait_beat(stack)
    assert not marked(stack, "replica-1")


def test_a_purged_queue(stack):
    consumer = running(stack, AUTO_RESET="false")
    consumer.stop()
    write(stack, 12, "purged")
    wait_published(stack)
    purge(stack, "products.sync.replica-1")
    consumer = stack.start_consumer(AUTO_RESET="false")
    assert_marked_and_healed(stack, consumer, 12)


POLICIES = {"message-ttl": {"message_ttl": 100}, "max-length": {"max_length": 4},
            "max-length-bytes": {"max_length_bytes": 500}}


@pytest.mark.parametrize("name", POLICIES)
def test_a_policy_that_the_broker_follows(stack, name):
    """The broker parks what is too old or too much, heartbeats too; nobody consumes meanwhile."""
    consumer = running(stack, AUTO_RESET="false")
    # Before the consumer stops: a heartbeat without a time to live would keep those behind it.
    end = policy(stack, "^products[.]sync[.]replica-1$", **POLICIES[name])
    wait_until(lambda: "test" == stack.rabbitmq.api(
        "GET", path(stack, "queues", "products.sync.replica-1")).get("policy"),
        10 * SLOWNESS, "the policy")
    consumer.stop()
    write(stack, 30, "bounded")
    wait_published(stack)
    wait_until(lambda: stack.queue_depth("products.dead.replica-1") >= 26, 20 * SLOWNESS,
               "what the broker parks")
    end()
    found, all_of_them = named(stack, "bounded")
    assert found >= 26 and all_of_them == 30
    consumer = stack.start_consumer(AUTO_RESET="false")
    wait_marked(stack, "replica-1", timeout=MARKED_WITHIN)
    assert "have not come through its sync queue" in reason(stack)
    wait_until(lambda: "replica-1" not in served_by(stack), 5 * SLOWNESS, "reads from elsewhere")
    assert not marked(stack, "replica-2")
    consumer.stop()
    stack.start_consumer()
    wait_marked(stack, "replica-1", False)
    stack.wait_converged()
    wait_beat(stack)
    assert not marked(stack, "replica-1")


def test_a_delivery_limit_and_somebody_who_requeues(stack):
    consumer = running(stack, AUTO_RESET="false")
    consumer.stop()
    end = policy(stack, "^products[.]sync[.]", delivery_limit=5)
    write(stack, 1, "thrown back")
    wait_published(stack)
    channel = stack.amqp().channel()

    def parked():
        method = take(channel, "products.sync.replica-1")
        if method:
            channel.basic_nack(method.delivery_tag, requeue=True)
        return stack.queue_depth("products.dead.replica-1") and named(stack, "thrown back") == (1, 1)

    wait_until(parked, 30 * SLOWNESS, "the limit")
    channel.close()
    end()
    consumer = stack.start_consumer(AUTO_RESET="false")
    assert_marked_and_healed(stack, consumer, 1)


def test_a_replica_restored_from_an_old_backup(stack):
    consumer = running(stack)
    name = "replica-1"
    consumer.stop()
    tables = ("products", "pgfanout.tombstones_1", "pgfanout.streams", "pgfanout.received",
              "pgfanout.arrivals", "pgfanout.heartbeats", "pgfanout.tables")
    for table in tables:
        stack.sql(name, f"create table backup_{table.replace('.', '_')} as table {table}")
    consumer = stack.start_consumer(AUTO_RESET="false")
    stack.sql("primary", "update products set stock = stock + 1000")
    stack.wait_converged()
    for replica in REPLICAS:
        wait_beat(stack, replica)
    consumer.stop()
    for table in tables:
        stack.sql(name, f"truncate {table}")
        stack.sql(name, f"insert into {table} overriding system value table backup_{table.replace('.', '_')}"
                  if table == "pgfanout.arrivals" else f"insert into {table} table backup_{table.replace('.', '_')}")
    consumer = stack.start_consumer(AUTO_RESET="false")
    wait_marked(stack, name, timeout=MARKED_WITHIN)
    wait_until(lambda: name not in served_by(stack), 5 * SLOWNESS, "reads from elsewhere")
    consumer.stop()
    stack.start_consumer()
    wait_marked(stack, name, False)
    stack.wait_converged()


def test_one_message_that_somebody_holds_for_a_moment(stack):
    """Heartbeats overtake it, so they must not count; when it is back nothing has happened."""
    consumer = running(stack, AUTO_RESET="false")
    consumer.stop()
    write(stack, 3, "held")
    wait_published(stack)
    channel = stack.amqp().channel()
    held = take(channel, "products.sync.replica-1")
    at = stack.sql("primary", "select clock_timestamp()")[0][0]
    beats = "select heartbeat_sync > %s, heartbeat_delete > %s from pgfanout.streams"
    stack.start_consumer(AUTO_RESET="false")
    wait_until(lambda: stack.sql("replica-1", beats, at, at)[0][1], 20 * SLOWNESS, "a heartbeat")
    wait_until(lambda: stack.sql("replica-1", "select waiting is not null from pgfanout.heartbeats "
                                 "where queue = 'sync'") == [(True,)], 20 * SLOWNESS, "one that waits")
    assert stack.sql("replica-1", beats, at, at) == [(False, True)]
    channel.basic_nack(held.delivery_tag, requeue=True)
    stack.wait_converged()
    wait_beat(stack)
    assert not marked(stack, "replica-1")


def test_nothing_is_missing_when_programs_and_the_broker_die(stack):
    """Terms begin and end, messages come twice and in another order."""
    apis = stack.start_api(2, HEARTBEAT_MS=100)
    consumers = [stack.start_consumer(AUTO_RESET="false") for _ in range(2)]
    for turn in range(4):
        write(stack, 3000, f"turn {turn}")
        (apis[turn % 2], consumers[turn % 2], stack.rabbitmq, stack.replicas[0])[turn].kill9()
        stack.sql("primary", "delete from products where stock %% 7 = %s", turn)
        for program in (*apis, *consumers):
            if not program.running():
                program.restart()
        for server in (stack.rabbitmq, stack.replicas[0]):
            if not server.running():
                server.start()
    stack.wait_converged(60)
    for replica in REPLICAS:
        wait_beat(stack, replica)
        assert not marked(stack, replica), reason(stack, replica)
    terms = stack.sql("primary", "select count(*) from pgfanout.relay")[0][0]
    assert 1 < terms <= 9
    assert stack.sql("replica-1", "select count(*) from pgfanout.received")[0][0] <= 2 * terms


def test_messages_of_others_have_no_numbers_and_do_no_harm(stack):
    consumer = running(stack)
    channel = stack.amqp().channel()
    body = json.dumps({"id": "00000000-0000-4000-8000-000000000001", "version": 1}).encode()
    for headers in ({}, {"x-term": -1, "x-number": 1}, {"x-term": "a", "x-number": "b"},
                    {"x-term": 1 << 62, "x-number": 1 << 62}, {"x-term": 5, "x-number": 7}):
        channel.basic_publish("", "products.delete.replica-1", body, pika.BasicProperties(
            content_type="application/json", type="products.delete", headers=headers))
    wait_until(lambda: stack.queue_depth("products.delete.replica-1") == 0, 20 * SLOWNESS, "them to come")
    wait_beat(stack)
    time.sleep(4)
    assert not marked(stack, "replica-1") and consumer.running()
    # What belongs to no term that heartbeats know is forgotten.
    assert stack.sql("replica-1", "select count(*) from pgfanout.received where term = 5") == [(0,)]
