"""Promise 5: a replica that hangs delays no read, not even one that was already sent to it.

The read deadline is so long that no connection is given up because of it: a read is answered here
only because the API noticed the silence earlier.
"""
import re
import threading

import pytest

from harness.servers import wait_until

READS = 40


@pytest.fixture
def api(stack):
    stack.start_consumer()
    return stack.start_api(WORKERS=1, READ_TIMEOUT_MS=20000, REQUEST_TIMEOUT_MS=60000)


def count(stack, name, database="replica-1"):
    text = stack.get("/metrics").text
    return int(re.search(rf'^pgfanout_api_{name}_total{{database="{database}"}} (\d+)$', text, re.M).group(1))


def ask(stack, paths):
    """All at the same time; (status, who served it) of each."""
    got = []

    def one(path):
        answer = stack.get(path)
        got.append((answer.status_code, answer.headers["X-Served-By"]))

    threads = [threading.Thread(target=one, args=(path,)) for path in paths]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return got


@pytest.mark.parametrize("query", ["/{}", "?limit=10"])
def test_reads_under_way_are_answered_by_another_replica(stack, api, query):
    path = "/api/products" + query.format(stack.create("known to both")["id"])
    stack.wait_converged()
    assert {who for _, who in ask(stack, [path] * READS)} == {"replica-1", "replica-2"}
    stack.replicas[0].pause()
    try:
        assert ask(stack, [path] * READS) == [(200, "replica-2")] * READS
        assert count(stack, "reads_repeated") > 0
        # As long as it is silent nothing more is sent there.
        sent = count(stack, "read_statements")
        assert ask(stack, [path] * READS) == [(200, "replica-2")] * READS
        assert count(stack, "read_statements") == sent
    finally:
        stack.replicas[0].resume()
    wait_until(lambda: stack.get(path).headers["X-Served-By"] == "replica-1", 10, "reads from the replica that woke up")
    assert count(stack, "read_failures") == 0


def test_with_no_other_replica_a_read_waits_for_the_primary(stack):
    """Silence alone sends nothing to the primary: that takes the read deadline."""
    stack.start_consumer()
    api = stack.start_api(WORKERS=1, READ_TIMEOUT_MS=1000, REPLICA_2_URL=None)
    path = "/api/products/" + stack.create()["id"]
    stack.wait_converged()
    stack.replicas[0].pause()
    try:
        assert set(ask(stack, [path] * READS)) == {(200, "primary")}
        assert count(stack, "reads_repeated") == 0
        assert count(stack, "read_failures") > 0
    finally:
        stack.replicas[0].resume()
    assert api.running()


def test_a_replica_that_is_far_away_is_not_silent(stack):
    proxy = stack.proxy(stack.replicas[0])
    stack.start_consumer()
    stack.start_api(WORKERS=1, READ_TIMEOUT_MS=2000, REPLICA_1_URL=stack.proxied_url(stack.replicas[0], proxy))
    path = "/api/products/" + stack.create()["id"]
    stack.wait_converged()
    proxy.delay(400)  # more than an eighth of the deadline
    wait_until(lambda: stack.get(path).headers["X-Served-By"] == "replica-1", 30, "the API to learn what is usual there")
    before = count(stack, "reads_repeated")
    assert (200, "replica-1") in [ask(stack, [path])[0] for _ in range(4)]
    assert count(stack, "reads_repeated") == before
