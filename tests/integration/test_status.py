"""What /status and /metrics say is so, or is said not to be known: backlogs, errors, states."""
import re

import pika
import requests

from conftest import SLOWNESS, wait_until


def of_replica(program, name="replica-1"):
    data = requests.get(program.base + "/status", timeout=10).json()["data"]
    return next(r for r in data["replicas"] if r["name"] == name)


def relay(stack):
    return stack.get("/status").json()["data"]["relay"]


def metric(program, name):
    """None where it is not shown."""
    text = requests.get(program.base + "/metrics", timeout=10).text
    found = re.search(rf"^{re.escape(name)} (\S+)$", text, re.M)
    return float(found.group(1)) if found else None


WAITING = 'pgfanout_consumer_waiting_messages{replica="replica-1"}'


def test_a_backlog_counts_what_is_not_acknowledged_and_is_null_where_nobody_counts(stack):
    consumer = stack.start_consumer(PREFETCH=10)
    wait_until(lambda: of_replica(consumer)["queues"], 20 * SLOWNESS, "the first count")
    assert of_replica(consumer)["queues"] == {"sync": 0, "delete": 0, "retry": 0, "dead": 0}
    # A batch that does not end: its messages are with the consumer, not ready in the queue.
    conn = stack.connect("replica-1")
    with conn.cursor() as cursor:
        cursor.execute("lock table products in exclusive mode")
    channel = stack.amqp().channel()
    channel.confirm_delivery()

    def send(n):
        for _ in range(n):
            channel.basic_publish("", "products.sync.replica-1", b"[]",
                                  pika.BasicProperties(delivery_mode=2))
            channel.basic_publish("", "products.delete.replica-1",
                                  b'{"id":"00000000-0000-0000-0000-000000000001","version":1}',
                                  pika.BasicProperties(delivery_mode=2))
    send(3)
    wait_until(lambda: (of_replica(consumer)["queues"] or {}).get("delete") == 3, 30 * SLOWNESS,
               "three that are not acknowledged")
    assert metric(consumer, WAITING) >= 3
    send(27)
    wait_until(lambda: (of_replica(consumer)["queues"] or {}).get("delete") == 30, 30 * SLOWNESS,
               "those and the ready ones")
    conn.rollback()
    wait_until(lambda: (of_replica(consumer)["queues"] or {}).get("delete") == 0, 30 * SLOWNESS, "none")
    # The replica away: nobody consumes, nobody counts.
    stack.replicas[0].stop("immediate")
    wait_until(lambda: of_replica(consumer)["state"] == "connecting-replica", 30 * SLOWNESS, "it is away")
    assert of_replica(consumer)["queues"] is None
    assert metric(consumer, WAITING) is None
    assert metric(consumer, 'pgfanout_consumer_dead_messages{replica="replica-1"}') is None
    assert of_replica(consumer)["lastError"] and of_replica(consumer)["lastErrorOverAt"] is None
    stack.replicas[0].start()
    wait_until(lambda: of_replica(consumer)["queues"], 30 * SLOWNESS, "counted again")
    wait_until(lambda: of_replica(consumer)["lastErrorOverAt"], 30 * SLOWNESS, "the error is over")
    was = of_replica(consumer)
    assert was["lastError"] and was["lastErrorAt"] <= was["lastErrorOverAt"]


def test_retry_queues_all_count(stack):
    consumer = stack.start_consumer(MAX_ATTEMPTS=3, RETRY_DELAY_MS=600000)
    wait_until(lambda: of_replica(consumer)["queues"], 20 * SLOWNESS, "the queues")
    channel = stack.amqp().channel()
    for queue in ("products.retry.replica-1", "products.retry.replica-1.2"):
        channel.basic_publish("", queue, b"{}", pika.BasicProperties(expiration="600000"))
    wait_until(lambda: of_replica(consumer)["queues"]["retry"] == 2, 30 * SLOWNESS, "both queues")


def test_the_outbox_is_counted(stack):
    api = stack.start_api()
    wait_until(lambda: relay(stack)["outbox"] == 0, 20 * SLOWNESS, "an empty outbox")
    stack.rabbitmq.pause()
    try:
        for _ in range(5):
            stack.create()
        wait_until(lambda: relay(stack)["outbox"] == 5, 30 * SLOWNESS, "five changes")
        assert metric(api, "pgfanout_api_outbox_changes") == 5
        stack.primary.stop("immediate")
        wait_until(lambda: relay(stack)["outbox"] is None, 30 * SLOWNESS, "not known")
        assert metric(api, "pgfanout_api_outbox_changes") is None
    finally:
        stack.rabbitmq.resume()
        stack.primary.start()
    wait_until(lambda: relay(stack)["outbox"] == 0, 60 * SLOWNESS, "all published")
    wait_until(lambda: relay(stack).get("lastErrorOverAt"), 60 * SLOWNESS, "the error is over")
    assert relay(stack)["lastErrorAt"] <= relay(stack)["lastErrorOverAt"]


def test_a_large_outbox_is_estimated(stack):
    stack.start_api(RABBITMQ_URL="amqp://user:password@127.0.0.1:1/nowhere")
    stack.sql("primary", "insert into products (id, name, price, stock) select gen_random_uuid(), "
              "repeat('x', 100), 1, 1 from generate_series(1, 60000)")
    wait_until(lambda: 50000 < (relay(stack)["outbox"] or 0) <= 70000, 60 * SLOWNESS, "about 60000")
    assert stack.get("/ready").status_code in (200, 503)


def test_a_program_that_is_not_ready_has_made_no_error(stack):
    api = stack.start_api()
    stack.primary.stop("immediate")
    try:
        wait_until(lambda: stack.get("/ready").status_code == 503, 20 * SLOWNESS, "not ready")
        before = stack.get("/stats").json()["data"]["serverErrors"]
        for _ in range(3):
            assert stack.get("/ready").status_code == 503
        assert stack.get("/stats").json()["data"]["serverErrors"] == before == 0
    finally:
        stack.primary.start()
    api.wait_for_http(api.base + "/ready", 20 * SLOWNESS)


def test_both_programs_spell_a_state_alike(bare_stack):
    stack = bare_stack
    stack.run("pgfanout-migrate", "up", REPLICA_1_URL=stack.env["REPLICA_2_URL"], REPLICA_2_URL=None,
              check=True)
    stack.start_api(wait=False)
    consumer = stack.start_consumer()
    wait_until(lambda: of_replica(consumer)["state"] == "not-migrated", 20 * SLOWNESS, "the consumer")

    def state():
        try:
            return stack.get("/status").json()["data"]["replicas"][0]["state"]
        except requests.ConnectionError:
            return None
    wait_until(lambda: state() == "not-migrated", 20 * SLOWNESS, "the API")


def test_queues_that_cannot_be_used_are_no_lost_connection(stack):
    channel = stack.amqp().channel()
    channel.queue_delete("products.sync.replica-1")
    channel.queue_declare("products.sync.replica-1", durable=True)  # a classic one
    consumer = stack.start_consumer()
    consumer.wait_for_line("the broker answers, but the replica's queues cannot be used")
    assert "no connection to the broker" not in consumer.log(200)


def test_a_user_who_may_only_read_makes_no_error_by_looking(stack):
    stack.start_api()
    stack.sql("replica-1", "drop role if exists reader")
    stack.sql("replica-1", "create role reader login password 'reader'")
    stack.sql("replica-1", "grant select on all tables in schema public, pgfanout to reader")
    stack.sql("replica-1", "update pgfanout.streams set queues_declared_at = null")
    try:
        url = re.sub(r"//[^@]*@", "//reader:reader@", stack.env["REPLICA_1_URL"])
        second = stack.start_api(REPLICA_1_URL=url, LOG_LEVEL="debug")
        wait_until(lambda: "database serves" in second.log(200), 20 * SLOWNESS, "it serves")
        wait_until(lambda: of_replica(second)["state"] == "serving", 20 * SLOWNESS, "it serves")
        assert second.stop() == 0
        assert "could not be noted" not in second.log(500)
    finally:
        for program in stack.apis:
            if program.running():
                program.stop()
        stack.sql("replica-1", "drop owned by reader")
        stack.sql("replica-1", "drop role reader")
