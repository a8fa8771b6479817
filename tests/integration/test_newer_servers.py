"""What newer servers do otherwise: the same holds on PostgreSQL 15 and 17, RabbitMQ 3.10 and 4.0.

RabbitMQ 4 gives every quorum queue a delivery limit of 20, and takes messages of at most 16 MiB.
PostgreSQL 17 has transaction_timeout.
"""
import json

import pytest

from harness.servers import wait_until

REPLICAS = ("replica-1", "replica-2")
MAIN = [f"products.{kind}.{replica}" for kind in ("sync", "delete") for replica in REPLICAS]


@pytest.mark.parametrize("how", ["connection lost", "requeued"])
def test_no_number_of_redeliveries_parks_a_message(stack, how):
    """Promise 1. A consumer that crashes, or a replica that is away, gives messages back many times."""
    api = stack.start_api()
    made = [stack.create(f"product {n}") for n in range(3)]
    stack.delete("/api/products/" + made[0]["id"])
    wait_until(lambda: all(stack.queue_depth(q) for q in MAIN), 20, "messages in all main queues")
    api.stop()  # and with it heartbeats: nothing comes or goes but here
    before = {q: stack.queue_depth(q) for q in MAIN}

    conn = stack.amqp()
    for _ in range(25):
        channel = conn.channel()
        taken = [channel.basic_get(q)[0] for q in MAIN]
        assert all(taken), "a message is gone"
        if how == "requeued":
            for method in taken:
                channel.basic_nack(method.delivery_tag, requeue=True)
            channel.close()
        else:
            conn.close()
            conn = stack.amqp()
        # Given back, and not parked: the broker does that a moment later.
        wait_until(lambda: {q: stack.queue_depth(q) for q in MAIN} == before, 20, "the messages to be given back")
    assert all(method.redelivered for method in taken)

    api.restart()
    stack.start_consumer()
    stack.wait_converged()
    assert {r: stack.queue_depth(f"products.dead.{r}") for r in REPLICAS} == dict.fromkeys(REPLICAS, 0)


def test_the_largest_message_is_far_below_what_a_broker_takes(stack):
    """Promises 1 and 9: a relay with as many changes as a message may hold, with the longest values."""
    channel = stack.amqp().channel()
    stack.start_api(MESSAGE_MAX_CHANGES=1000).stop()  # declares the exchange
    channel.queue_declare("a-subscriber", durable=True)
    channel.queue_bind("a-subscriber", "products", "products.*")
    # 200 characters that JSON writes with six bytes each; a price as long as SQL may make it.
    stack.sql("primary", "insert into products (id, name, price, stock) select gen_random_uuid(), repeat(e'\\x01', 200), "
              "(repeat('7', 15) || '.' || repeat('3', 48))::numeric, 2147483647 from generate_series(1, 1000)")
    stack.apis[0].restart()
    stack.start_consumer()
    stack.wait_converged()

    bodies = [body for _, _, body in stack.take_all(channel, "a-subscriber")]
    assert sum(len(json.loads(body)) for body in bodies) == 1000
    largest = max(bodies, key=len)
    assert len(json.loads(largest)) > 1 and len(largest) < 128 * 1024, "docs/messages.md says about 100 KB"
    assert {r: stack.queue_depth(f"products.dead.{r}") for r in REPLICAS} == dict.fromkeys(REPLICAS, 0)


def test_a_database_with_timeouts_for_short_transactions(stack):
    """Promises 1 and 7: a reset holds a transaction, the relay and the consumer are idle, for longer than
    others may. Session settings of ours win."""
    databases = ("primary", *REPLICAS)
    stack.sql("primary", "insert into products (id, name, price, stock) select gen_random_uuid(), 'many', n, 1 "
              "from generate_series(1, 1000) n")
    reader = stack.connect("replica-1")
    reader.cursor().execute("select from products limit 1")  # the swap waits for this transaction
    for db in databases:
        # Asked on a connection that stays without the limits. Each server has its own: 17 one more than 15.
        names = stack.sql(db, "select name from pg_settings where name ~ '_timeout$' and context = 'user' "
                          "and name ~ '^(statement|lock|transaction|idle)'")
        assert len(names) >= 4
        for name, in names:
            stack.servers.by_name[db].psql(f"alter database \"{stack.database}\" set {name} = '1s'", "postgres")

    reset = stack.start_program("reset-replicas", "--yes")
    wait_until(lambda: not reset.running() or stack.sql(
        "replica-1", "select pid from pg_stat_activity where application_name = 'reset-replicas' "
        "and datname = current_database() and now() - xact_start > '2 s'"), 60, "a long transaction")
    assert reset.running(), reset.log()
    reader.rollback()
    assert reset.wait(60) == 0, reset.log()

    stack.start_api()
    stack.start_consumer()
    made = stack.create()
    stack.wait_converged()
    wait_until(lambda: stack.sql(
        "primary", "select pid from pg_stat_activity where application_name like 'pgfanout-api%' and state = 'idle' "
        "and now() - state_change > '2 s'"), 60, "an idle connection of the API")
    assert stack.patch("/api/products/" + made["id"], json={"stock": 2}).status_code == 200
    stack.wait_converged()
    for program in stack.programs:
        assert "timeout" not in program.log(), program.log()
