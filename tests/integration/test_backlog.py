"""A replica's backlog is bounded, and a replica that lost changes in the broker resets itself.

Each test loses changes on purpose and checks two things: no read uses the incomplete replica, and
in the end the replica has everything.
"""
import collections
import time

import pytest

from conftest import SLOWNESS, wait_until
from test_consumer import status, wait_state

REPLICAS = ("replica-1", "replica-2")
BOUND = 40
API = {"MAX_BACKLOG_MESSAGES": BOUND, "MESSAGE_MAX_CHANGES": 1}


def write(stack, n, name="many"):
    stack.sql("primary", "insert into products (id, name, price, stock) "
              "select gen_random_uuid(), %s || i, i, i from generate_series(1, %s) i", name, n)


def marked(stack, replica):
    return stack.sql(replica, "select needs_reset from pgfanout.streams")[0][0]


def wait_marked(stack, replica, value=True, timeout=30):
    wait_until(lambda: marked(stack, replica) is value, timeout * SLOWNESS,
               f"{replica} {'marked' if value else 'complete'}")


def due(stack, replica):
    return stack.sql("primary", "select reset_due_at from pgfanout.queues where replica = %s",
                     replica)[0][0]


def wait_published(stack):
    wait_until(lambda: stack.sql("primary", "select count(*) from pgfanout.outbox") == [(0,)],
               30 * SLOWNESS, "an empty outbox")


def wait_reads(stack, replica):
    """Until the API reads from this replica again."""
    wait_until(lambda: replica in served_by(stack), 10 * SLOWNESS, f"reads from {replica}")


def served_by(stack, n=8):
    return {stack.get("/api/products?limit=1").headers["X-Served-By"] for _ in range(n)}


def test_a_backlog_over_the_bound_is_dropped_and_the_replica_resets_itself(stack):
    """The consumer is dead and one replica is down: the API enforces the limit without them."""
    api = stack.start_api(**API)
    stack.create("first")
    assert not any(marked(stack, r) for r in REPLICAS), "a new replica has lost nothing"
    stack.servers.replicas[1].kill9()
    write(stack, 10 * BOUND)
    wait_published(stack)
    for replica in REPLICAS:
        wait_until(lambda r=replica: due(stack, r) is not None, 20 * SLOWNESS, f"{replica} due")
        wait_until(lambda r=replica: stack.queue_depth(f"products.sync.{r}") <= BOUND,
                   20 * SLOWNESS, f"{replica} within its bound")
    wait_marked(stack, "replica-1")
    assert "MAX_BACKLOG_MESSAGES" in stack.sql(
        "replica-1", "select reason from pgfanout.streams")[0][0]
    assert served_by(stack) == {"primary"}
    metrics = stack.get("/metrics").text
    assert 'pgfanout_api_backlog_dropped_messages_total{database="replica-2"}' in metrics

    # It keeps being bounded, and what is known of a replica that is down survives the API's death.
    write(stack, 3 * BOUND, "more")
    wait_published(stack)
    wait_until(lambda: stack.queue_depth("products.sync.replica-2") <= BOUND, 20 * SLOWNESS, "the bound")
    api.kill9()
    stack.servers.replicas[1].start()
    assert not marked(stack, "replica-2"), "nobody has told it yet"
    again = stack.start_api(**API, PORT=stack.env["PORT"])
    until = time.monotonic() + 3
    while time.monotonic() < until:
        assert served_by(stack) == {"primary"}
    wait_marked(stack, "replica-2")

    consumer = stack.start_consumer()
    for replica in REPLICAS:
        wait_marked(stack, replica, False)
    stack.wait_converged()
    write(stack, 5, "after")
    stack.wait_converged()
    wait_state(consumer, "replica-1", "applying")
    assert "has been reset" in consumer.log(500)
    for replica in REPLICAS:
        wait_reads(stack, replica)
    assert again.running()


def test_what_is_dropped_after_the_snapshot_of_a_reset_makes_another_one_due(stack):
    """The reset must not remove a mark that is newer than its snapshot."""
    stack.start_api(**API)
    stack.create("first")
    reader = stack.connect("replica-1")
    cursor = reader.cursor()
    cursor.execute("select count(*) from products")  # keeps the new table from being swapped in
    reset = stack.start_program("reset-replicas", "--replica", "replica-1", "--yes")
    wait_until(lambda: stack.sql("primary", "select count(*) from pg_stat_activity where "
                                 "application_name = 'reset-replicas'") == [(0,)] and
               "Copying" in reset.log(), 20 * SLOWNESS, "the reset beyond its snapshot")
    write(stack, 5 * BOUND)
    for replica in REPLICAS:
        wait_until(lambda r=replica: due(stack, r) is not None, 20 * SLOWNESS, f"{replica} due")
        wait_until(lambda r=replica: stack.queue_depth(f"products.sync.{r}") <= BOUND,
                   20 * SLOWNESS, "the bound")
    # the connector has tried to note it on the replica: that must not hold up anything
    time.sleep(2)
    assert stack.get("/status").json()["data"]["replicas"][0]["state"] == "needs reset"
    reader.rollback()
    assert reset.wait(30 * SLOWNESS) == 0
    assert stack.sql("replica-1", "select count(*) from products") == [(1,)]
    wait_marked(stack, "replica-1")
    assert served_by(stack) == {"primary"}
    assert stack.reset("--yes").returncode == 0
    time.sleep(3)
    assert not marked(stack, "replica-1") and not marked(stack, "replica-2")
    stack.start_consumer()
    stack.wait_converged()


@pytest.mark.parametrize("finder", ["api", "consumer", "reset"])
def test_a_queue_deleted_while_nobody_consumed(stack, finder):
    """The first program that finds it marks the replica before it recreates the queue."""
    api = stack.start_api()
    consumer = stack.start_consumer(AUTO_RESET="false")
    write(stack, 5)
    stack.wait_converged()
    for replica in REPLICAS:
        wait_until(lambda r=replica: stack.sql(r, "select queues_declared_at is not null from "
                                               "pgfanout.streams") == [(True,)], 10, "noted")
    consumer.stop()
    write(stack, 5, "in the queue")
    wait_published(stack)
    api.stop()
    channel = stack.amqp().channel()
    channel.queue_delete("products.sync.replica-1")
    if finder == "api":
        stack.start_api(PORT=stack.env["PORT"])
        wait_until(lambda: due(stack, "replica-1") is not None, 20 * SLOWNESS, "replica-1 due")
    elif finder == "consumer":
        alone = stack.start_consumer(AUTO_RESET="false")
        wait_until(lambda: status(alone, "replica-1")["needsReset"], 20 * SLOWNESS, "needsReset")
        wait_state(alone, "replica-1", "applying")
        assert "deleted" in status(alone, "replica-1")["needsResetReason"]
        alone.stop()
    else:
        # A reset that makes the queue and then fails: something hangs on the table.
        with stack.connect("replica-1") as conn:
            holder = conn.cursor()
            holder.execute("select pg_advisory_lock_shared(1885824610, 1)")
            assert stack.reset("--replica", "replica-1", "--yes").returncode == 5
        conn.close()
        assert stack.queue_depth("products.sync.replica-1") == 0
    wait_marked(stack, "replica-1")
    assert not marked(stack, "replica-2")
    if finder != "api":
        stack.start_api(PORT=stack.env["PORT"])
    assert "replica-1" not in served_by(stack)
    stack.start_consumer()
    wait_marked(stack, "replica-1", False)
    stack.wait_converged()
    time.sleep(2)
    assert not marked(stack, "replica-1"), "it was reset once, and nothing was lost since"


def test_without_auto_reset_a_person_does_it(stack):
    stack.start_api(**API)
    consumer = stack.start_consumer(AUTO_RESET="false")
    write(stack, 5)
    stack.wait_converged()
    stack.amqp().channel().queue_delete("products.delete.replica-2")
    wait_until(lambda: status(consumer, "replica-2")["needsReset"], 20 * SLOWNESS, "needsReset")
    write(stack, 5)
    time.sleep(7)
    assert marked(stack, "replica-2")
    assert stack.reset("--replica", "replica-2", "--yes").returncode == 0
    stack.wait_converged()
    assert not marked(stack, "replica-2")


def test_a_deleted_queue_is_made_good_at_once(stack):
    """With everything running no operator has to act."""
    stack.start_api(**API)
    consumer = stack.start_consumer()
    write(stack, 5)
    stack.wait_converged()
    for kind in ("sync", "delete"):
        stack.amqp().channel().queue_delete(f"products.{kind}.replica-1")
        write(stack, 5)
        wait_until(lambda k=kind: consumer.log(2000).count("has been reset") > (k == "delete"),
                   40 * SLOWNESS, "the reset")
        stack.wait_converged()
        wait_marked(stack, "replica-1", False)


def test_a_queue_with_other_arguments_is_named(stack):
    channel = stack.amqp().channel()
    channel.queue_delete("products.sync.replica-1")  # pgfanout-migrate's
    channel.queue_declare("products.sync.replica-1", durable=True, arguments={"x-queue-type": "classic"})
    api = stack.start_api()
    consumer = stack.start_consumer()
    stack.create("written all the same")

    def relay_error():
        return stack.get("/status").json()["data"]["relay"].get("lastError", "")

    wait_until(lambda: "products.sync.replica-1 exists with other settings" in relay_error(),
               20 * SLOWNESS, "the relay's error")
    wait_until(lambda: "products.sync.replica-1 exists with other settings" in
               (status(consumer, "replica-1")["lastError"] or ""), 20 * SLOWNESS, "the consumer's error")
    wait_state(consumer, "replica-2", "applying")
    time.sleep(3)
    said = [line.split(" error=")[0].split(" ", 1)[1] for program in (api, consumer)
            for line in program.log(500).splitlines() if "exists with other settings" in line]
    assert max(collections.Counter(said).values()) <= 2, f"said once, not at each try: {said}"
    assert api.running() and consumer.running()
    channel.queue_delete("products.sync.replica-1")
    stack.wait_converged()
    assert not marked(stack, "replica-1"), "it was never declared, so nothing was in it"
