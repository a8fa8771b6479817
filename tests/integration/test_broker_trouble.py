"""One's trouble at the broker is only its own (promise 5), and none of it loses a change (promise 1):
queues that somebody else declared, subscribers that refuse, slow links, second installations.
"""
import time

import pika
import pytest

from conftest import SLOWNESS
from harness.servers import wait_until

QUORUM = {"x-queue-type": "quorum"}
LIMITED = {"x-max-length": 2, "x-overflow": "reject-publish"}


def consumer_status(consumer, stack, replica):
    data = stack.get("/status", base=consumer.base).json()["data"]
    return next(r for r in data["replicas"] if r["name"] == replica)


def relay_status(stack, api):
    return stack.get("/status", base=api.base).json()["data"]["relay"]


def upstream(stack, replica):
    data = stack.get("/status").json()["data"]
    return next(r for r in data["replicas"] if r["name"] == replica)


def has(stack, replica, product):
    return stack.sql(replica, "select 1 from products where id = %s", product["id"])


def declare(stack, queue, arguments=None):
    conn = stack.amqp()
    conn.channel().queue_declare(queue, durable=True, arguments=arguments or {})
    conn.close()


def delete_queues(stack, *queues):
    conn = stack.amqp()
    channel = conn.channel()
    for queue in queues:
        channel.queue_delete(queue)
    conn.close()


def arrives(stack, product, *replicas):
    for replica in replicas:
        wait_until(lambda r=replica: has(stack, r, product), 20 * SLOWNESS, f"a change on {replica}")


# ---- queues with other arguments ----

@pytest.mark.parametrize("queues", [
    ("products.sync.replica-1",), ("products.delete.replica-1",)])
def test_a_main_queue_of_other_arguments_concerns_its_replica_alone(stack, queues):
    delete_queues(stack, *queues)
    for queue in queues:
        declare(stack, queue)  # classic
    stack.start_api()
    consumer = stack.start_consumer(AUTO_RESET="false")
    arrives(stack, stack.create(), "replica-2")
    wait_until(lambda: upstream(stack, "replica-1")["needsReset"], 20 * SLOWNESS, "the mark")
    assert queues[0] in upstream(stack, "replica-1")["reason"]
    assert queues[0] in relay_status(stack, stack.apis[0])["lastError"]
    wait_until(lambda: queues[0] in (consumer_status(consumer, stack, "replica-1")["lastError"] or ""),
               20 * SLOWNESS, "the consumer says which")
    # Mended by hand: made again, and complete after a reset.
    delete_queues(stack, *queues)
    wait_until(lambda: stack.queue_depth(queues[0]) is not None, 45 * SLOWNESS, "the queue again")
    assert stack.reset("--replica", "replica-1").returncode == 0
    stack.wait_converged()


@pytest.mark.parametrize("queue", ["products.dead.replica-1", "products.retry.replica-1"])
def test_a_queue_for_failed_changes_of_other_arguments_stops_nothing(stack, queue):
    delete_queues(stack, queue)
    declare(stack, queue)
    stack.start_api()
    consumer = stack.start_consumer()
    arrives(stack, stack.create(), "replica-1", "replica-2")
    assert not upstream(stack, "replica-1")["needsReset"]
    assert queue in relay_status(stack, stack.apis[0])["lastError"]
    wait_until(lambda: queue in (consumer_status(consumer, stack, "replica-1")["lastError"] or ""),
               20 * SLOWNESS, "the consumer says which")


def test_failed_changes_wait_for_a_retry_queue_that_could_lose_them(stack):
    """A classic retry queue without a way back would drop them when their delay is over."""
    delete_queues(stack, "products.retry.replica-1")
    declare(stack, "products.retry.replica-1")
    stack.sql("replica-1", "alter table products add constraint odd check (name <> 'odd')")
    stack.start_api()
    stack.start_consumer(RETRY_DELAY_MS=10)
    odd = stack.create("odd")
    arrives(stack, stack.create(), "replica-1", "replica-2")
    assert stack.queue_depth("products.retry.replica-1") == 0
    stack.sql("replica-1", "alter table products drop constraint odd")
    delete_queues(stack, "products.retry.replica-1")
    arrives(stack, odd, "replica-1")
    stack.wait_converged()


def test_an_exchange_for_retries_of_another_type_stops_no_change(stack):
    conn = stack.amqp()
    channel = conn.channel()
    channel.exchange_delete("products.retry")
    channel.exchange_declare("products.retry", "fanout", durable=True)
    conn.close()
    stack.start_api()
    stack.start_consumer()
    arrives(stack, stack.create(), "replica-1", "replica-2")
    assert "products.retry" in relay_status(stack, stack.apis[0])["lastError"]


# ---- queues that refuse ----

def subscribe(stack, limited):
    """Two subscribers: a queue that refuses when it is full, and "healthy". Returns the channel."""
    channel = stack.amqp().channel()
    channel.queue_declare(limited, durable=True, arguments=LIMITED)
    channel.queue_declare("healthy", durable=True)
    for queue in (limited, "healthy"):
        channel.queue_bind(queue, "products", "products.*")
    return channel


def test_a_subscriber_that_refuses_loses_only_its_own_copies(stack):
    channel = subscribe(stack, "full")
    stack.start_api(MESSAGE_MAX_CHANGES=1)
    stack.start_consumer()
    products = [stack.create(f"p{n}") for n in range(20)]
    stack.wait_converged()
    assert not upstream(stack, "replica-1")["needsReset"]
    assert stack.queue_depth("full") < len(products)

    def everything_came():
        bodies = b"".join(body for _, _, body in stack.take_all(channel, "healthy"))
        seen.update(p["id"] for p in products if p["id"].encode() in bodies)
        return len(seen) == len(products)
    seen = set()
    wait_until(everything_came, 20 * SLOWNESS, "all changes at the healthy subscriber")
    # The fast way again, when it takes messages.
    channel.queue_purge("full")
    channel.queue_unbind("full", "products", "products.*")
    wait_until(lambda: stack.create("afterwards") and "relay goes on" in stack.apis[0].log(),
               60 * SLOWNESS, "the fast way again", 0.5)
    stack.wait_converged()


def test_a_subscriber_that_is_full_now_and_then_delays_nobody(stack):
    """It takes a message from time to time, so the exchange confirms some and refuses most. Each
    time that the relay waits for a queue it publishes again, in another term.
    """
    channel = subscribe(stack, "slow")
    stack.start_api(MESSAGE_MAX_CHANGES=1)
    stack.start_consumer()
    stack.wait_converged()
    for n in range(60):
        arrives(stack, stack.create(f"p{n}"), "replica-1", "replica-2")
        if n % 3 == 0:
            channel.basic_get("slow", auto_ack=True)
    assert "the exchange does not take messages" in stack.apis[0].log(), "it was never full"
    terms = {properties.headers["x-term"]
             for _, properties, _ in stack.take_all(channel, "healthy")}
    assert len(terms) <= 3, "it is waited for again and again"
    assert not upstream(stack, "replica-1")["needsReset"]


def test_a_replicas_queue_that_refuses_holds_up_nobody(stack):
    """Somebody bounds replica-1's queue by a policy. It is marked, and resets itself afterwards."""
    stack.rabbitmq.ctl("set_policy", "-p", stack.vhost, "bound", "^products.sync.replica-1$",
                       '{"max-length":2,"overflow":"reject-publish"}', "--apply-to", "queues")
    stack.start_api(MESSAGE_MAX_CHANGES=1)
    consumer = stack.start_consumer(REPLICA_1_URL="postgresql://user:password@127.0.0.1:1/nobody")
    for n in range(20):
        stack.create(f"p{n}")
    stack.wait_converged(dbs=("replica-2",))
    wait_until(lambda: upstream(stack, "replica-1")["needsReset"], 20 * SLOWNESS, "the mark")
    assert "refused" in upstream(stack, "replica-1")["reason"]
    consumer.stop()
    stack.rabbitmq.ctl("clear_policy", "-p", stack.vhost, "bound")
    stack.start_consumer()
    stack.wait_converged(60)


def test_a_second_queue_that_refuses_for_a_moment_is_waited_for(stack):
    """While replica-1 is left out for long, replica-2's queue is full for a moment only."""
    for replica, most in (("replica-1", 2), ("replica-2", 150)):  # with what is published again, and heartbeats
        stack.rabbitmq.ctl("set_policy", "-p", stack.vhost, replica, f"^products.sync.{replica}$",
                           f'{{"max-length":{most},"overflow":"reject-publish"}}', "--apply-to", "queues")
    api = stack.start_api(MESSAGE_MAX_CHANGES=1)
    consumer = stack.start_consumer(REPLICA_1_URL="postgresql://user:password@127.0.0.1:1/nobody", PREFETCH=5)
    stack.wait_converged(dbs=("replica-2",))
    consumer.pause()
    for n in range(10):
        stack.create(f"a{n}")
    wait_until(lambda: upstream(stack, "replica-1")["needsReset"], 30 * SLOWNESS, "the mark")
    for n in range(200):
        stack.create(f"b{n}")
    wait_until(lambda: "a replica's queue does not take changes replica=replica-2" in api.log(),
               30 * SLOWNESS, "the refusal")
    consumer.resume()
    stack.wait_converged(dbs=("replica-2",))
    assert not upstream(stack, "replica-2")["needsReset"]
    assert upstream(stack, "replica-1")["needsReset"]


# ---- a queue that is missing ----

def test_a_returned_move_recreates_no_main_queue_unmarked(stack):
    """A change that cannot be moved makes the consumer declare the queues for failed ones. It must
    not create a main queue that is missing at that moment: the replica cannot be marked while its
    row is locked, and a consumer that died then would leave a queue that looks complete."""
    stack.sql("replica-1", "alter table products add constraint odd check (name <> 'odd')")
    stack.start_api()
    consumer = stack.start_consumer(AUTO_RESET="false")
    arrives(stack, stack.create(), "replica-1", "replica-2")
    wait_until(lambda: consumer_status(consumer, stack, "replica-1")["queues"], 20 * SLOWNESS,
               "the queues to be counted")

    def marked():
        return stack.sql("replica-1", "select needs_reset from pgfanout.streams") == [(True,)] or \
            stack.sql("primary", "select 1 from pgfanout.queues where replica = 'replica-1' "
                      "and reset_due_at is not null")

    lock = stack.connect("replica-1")
    lock.cursor().execute("lock table pgfanout.streams in share mode")
    # It reads the change and the end of the queue at once, so it has to move the change before it
    # can care for the queue.
    consumer.pause()
    stack.create("odd")
    wait_until(lambda: stack.sql("primary", "select from pgfanout.outbox where heartbeat is null") == [],
               20 * SLOWNESS, "the change to be published")
    delete_queues(stack, "products.retry.replica-1", "products.delete.replica-1")
    consumer.resume()
    wait_until(lambda: stack.queue_depth("products.retry.replica-1") is not None, 45 * SLOWNESS,
               "the retry queue again")
    assert stack.queue_depth("products.delete.replica-1") is None or marked()
    lock.close()
    wait_until(lambda: stack.queue_depth("products.delete.replica-1") is not None, 45 * SLOWNESS,
               "the queue again")
    assert marked()


# ---- slow links ----

def eight_replicas(stack):
    """replica-3 to replica-8: more databases of the second replica's server."""
    server = stack.replicas[1]
    urls = {}
    for n in range(3, 9):
        name = f"{stack.database}_{n}"
        urls[f"REPLICA_{n}_URL"] = server.create_database(name)
        stack.cleanups.append(lambda name=name: server.drop_database(name))
    return urls


def test_a_slow_link_to_the_broker_with_eight_replicas(bare_stack):
    stack = bare_stack
    stack.env.update(eight_replicas(stack))
    stack.migrate()
    proxy = stack.proxy(stack.rabbitmq)
    proxy.delay(100)
    slow = stack.proxied_url(stack.rabbitmq, proxy)
    stack.start_api(RABBITMQ_URL=slow)
    began = time.monotonic()
    stack.start_consumer(RABBITMQ_URL=slow)
    stack.create()
    wait_until(lambda: all(upstream(stack, f"replica-{n}")["lagMs"] is not None
                           for n in range(1, 9)), 30 * SLOWNESS, "heartbeats on all eight")
    stack.wait_converged()
    took = time.monotonic() - began
    assert took < 30 * SLOWNESS, took
    # It keeps the lead, and goes on publishing while all queues are declared again.
    stack.apis[0].wait_for_line("relay leads")
    late = []
    until = time.monotonic() + 35
    while time.monotonic() < until:
        product, began = stack.create(), time.monotonic()
        arrives(stack, product, "replica-1", "replica-2")
        late.append(time.monotonic() - began)
    assert max(late) < 5 * SLOWNESS, max(late)
    assert stack.apis[0].log().count("relay leads") == 1
    assert "relay lost" not in stack.apis[0].log()


# ---- two installations ----

@pytest.fixture
def second(stack):
    """The environment of a second installation: other databases, the same virtual host."""
    env = {}
    for key, server in (("DATABASE_URL", stack.primary), ("REPLICA_1_URL", stack.replicas[0]),
                        ("REPLICA_2_URL", stack.replicas[1])):
        name = f"{stack.database}_second"
        env[key] = server.create_database(name)
        stack.cleanups.append(lambda s=server, n=name: s.drop_database(n))
    return env


def test_a_relay_of_another_primary_is_refused(stack, second):
    first = stack.start_api()
    stack.run("pgfanout-migrate", "up", check=True, **second)
    other = stack.start_api(wait=False, **second)
    wait_until(lambda: relay_status(stack, other)["state"] == "refused", 20 * SLOWNESS, "refusal")
    assert "another primary" in relay_status(stack, other)["lastError"]
    assert relay_status(stack, first)["state"] == "leading"
    # Writes go on; it publishes as soon as the other one is gone, and not before.
    assert stack.post("/api/products", base=other.base, json={"name": "x", "price": 1, "stock": 1}
                      ).status_code == 201
    conn = stack.amqp()
    letters = stack.take_all(conn.channel(), "products.sync.replica-1")
    assert {p.type for _, p, _ in letters} <= {"products.heartbeat"}
    assert {p.headers["x-source"] for _, p, _ in letters} <= {
        stack.sql("primary", "select pgfanout.source()")[0][0]}
    first.stop()
    wait_until(lambda: relay_status(stack, other)["state"] == "leading", 30 * SLOWNESS, "its turn")


def test_a_prefix_separates_two_installations(stack, second):
    stack.start_api()
    stack.start_consumer()
    second["QUEUE_PREFIX"] = "shop."
    stack.run("pgfanout-migrate", "up", check=True, **second)
    other = stack.start_api(**second)
    stack.start_consumer(**second)
    product = stack.create("ours")
    answer = stack.post("/api/products", base=other.base,
                        json={"name": "theirs", "price": 1, "stock": 1}).json()["data"]
    arrives(stack, product, "replica-1", "replica-2")

    def theirs():
        got = stack.get(f"/api/products/{answer['id']}", base=other.base)
        return got.status_code == 200 and got.headers["X-Served-By"] != "primary"
    wait_until(theirs, 20 * SLOWNESS, "the other's change on its replica")
    assert not has(stack, "replica-1", answer)
    assert {"shop.products.sync.replica-1", "products.sync.replica-1"} <= set(stack.queues())
    stack.wait_converged()


def test_a_prefix_that_cannot_be_one(stack):
    for prefix in ("amq.x", "sh op", "a*", "#", "x" * 33, "é"):
        for program in ("pgfanout-api", "pgfanout-consumer", "reset-replicas", "pgfanout-migrate"):
            done = stack.run(program, "--check-config", QUEUE_PREFIX=prefix)
            assert done.returncode == 2 and "QUEUE_PREFIX" in done.stderr, (program, prefix, done)


def test_a_consumer_applies_nothing_of_another_primary(stack):
    api = stack.start_api()
    consumer = stack.start_consumer()
    arrives(stack, stack.create(), "replica-1", "replica-2")
    source = stack.sql("primary", "select pgfanout.source()")[0][0]
    conn = stack.amqp()
    channel = conn.channel()
    body = ('{"id":"a1db7441-a91b-585b-9987-1f343ca0a754","name":"theirs","price":1,"stock":1,'
            '"createdAt":"2026-01-31T12:00:00.123456Z","updatedAt":"2026-01-31T12:00:00.123456Z",'
            '"version":9000000000}')
    channel.basic_publish("", "products.sync.replica-1", body, pika.BasicProperties(
        content_type="application/json", delivery_mode=2, message_id="theirs",
        type="products.sync", headers={"x-source": "another", "x-xid": "7001"}))
    wait_until(lambda: consumer_status(consumer, stack, "replica-1")["state"] == "another-primary",
               20 * SLOWNESS, "the state")
    text = consumer_status(consumer, stack, "replica-1")["lastError"]
    assert "another" in text and source in text
    assert stack.sql("replica-1", "select 1 from products where name = 'theirs'") == []
    # It waits, unacknowledged, for somebody to look; the other replica goes on.
    arrives(stack, stack.create(), "replica-2")
    wait_until(lambda: stack.queue_depth("products.sync.replica-1"), 20 * SLOWNESS, "it waits")
    assert stack.queue_depth("products.dead.replica-1") == 0
    channel.queue_purge("products.sync.replica-1")
    assert api.running()
    assert stack.reset("--replica", "replica-1").returncode == 0
    stack.wait_converged()
