"""SIGTERM drains: accepted requests are answered, work that was begun is done once, and the exit
code is 0.
"""
import http.client
import json
import re
import socket
import threading
import time

import pytest

from faults.arena import DRAIN_LIMIT
from harness.servers import HOST, wait_until
from integration.conftest import SLOWNESS

ROWS, WRITERS = 60000, 20  # rows: more than the kernel buffers of a connection take


def metric(program, stack, name):
    text = stack.get("/metrics", base=program.base).text
    return sum(float(n) for n in re.findall(rf"^{name}(?:\{{.*\}})? (\S+)$", text, re.M))


def begin(port, head):
    """A connection on which this much was sent; its receive buffer is small, so that a long answer
    cannot hide in it."""
    s = socket.socket()
    s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)
    s.settimeout(30)
    s.connect((HOST, port))
    s.sendall(head.encode())
    return s


def finish(s):
    """The rest of the answer: status and JSON; http.client.HTTPException where it was cut."""
    answer = http.client.HTTPResponse(s)
    answer.begin()
    return answer.status, json.loads(answer.read())


@pytest.fixture
def api(stack):
    for db in ("replica-1", "replica-2"):
        stack.sql(db, "insert into products select gen_random_uuid(), 'row', 1, 1, now(), now(), 1 "
                      "from generate_series(1, %s)", ROWS)
    # On the primary too, unrecorded: right after the start it may be the only one that answers
    # reads.
    stack.psql("primary", f"""
        begin;
        insert into products (id, name, price, stock) select gen_random_uuid(), 'row', 1, 1 from generate_series(1, {ROWS});
        delete from pgfanout.outbox; commit""")
    # longer than a slow machine takes up to the signal
    return stack.start_api(REQUEST_TIMEOUT_MS=30000)


def test_the_api_answers_what_it_accepted(stack, api):
    port = int(stack.env["PORT"])
    key = stack.create(stock=0)["id"]
    line = '{"name":"imported","price":1,"stock":1}\n'
    # Under way: a list that is being sent, half an import, and writes that wait for a locked row.
    listing = begin(port, f"GET /api/products HTTP/1.1\r\nHost: {HOST}\r\n\r\n")
    loading = begin(port, f"POST /api/products/import HTTP/1.1\r\nHost: {HOST}\r\nContent-Type: "
                    f"application/x-ndjson\r\nContent-Length: {2 * len(line)}\r\n\r\n{line}")
    holder = stack.connect()
    with holder.cursor() as cursor:
        cursor.execute("select 1 from products where id = %s for update", (key,))
    answers = []

    def patch(n):
        client = http.client.HTTPConnection(HOST, port, timeout=30)
        client.request("PATCH", f"/api/products/{key}", f'{{"stock":{n}}}',
                       {"Content-Type": "application/json"})
        answers.append(client.getresponse().status)

    writers = [threading.Thread(target=patch, args=(n,)) for n in range(1, WRITERS + 1)]
    for thread in writers:
        thread.start()
    for name, number in (("in_flight", WRITERS), ("imports_running", 1), ("lists_running", 1)):
        wait_until(lambda n=name, m=number: metric(api, stack, f"pgfanout_api_{n}") == m, 4,
                   f"{name} to be {number}")
    began = time.monotonic()
    api.signal(15)

    def refused():
        try:
            socket.create_connection((HOST, port), 1).close()
        except ConnectionRefusedError:
            return True
        return False

    wait_until(refused, 5, "the API to accept no more")
    time.sleep(1)
    assert api.running() and not answers
    holder.rollback()
    loading.sendall(line.encode())
    status, body = finish(loading)
    assert (status, body["data"]["created"]) == (200, 2)
    status, body = finish(listing)
    assert status == 200 and len(body["data"]) in (ROWS, ROWS + 1)  # the primary has one more
    for thread in writers:
        thread.join(30)
    assert answers == [200] * WRITERS
    assert api.wait(DRAIN_LIMIT * SLOWNESS) == 0
    assert time.monotonic() - began < DRAIN_LIMIT * SLOWNESS
    assert stack.sql("primary", "select stock > 0 from products where id = %s", key) == [(True,)]


def test_connections_under_way_are_still_opened(stack):
    """SIGTERM while those to the primary are being opened: an import that was accepted waits for
    one."""
    wire = stack.proxy(stack.primary)
    api = stack.start_api(WORKERS=1, DRAIN_TIMEOUT_MS=30000, DATABASE_URL=stack.proxied_url(stack.primary, wire))
    wire.delay(100)  # opening one takes a second
    writers = "from pg_stat_activity where application_name = 'pgfanout-api write' and datname = current_database()"
    assert stack.sql("primary", f"select pg_terminate_backend(pid) {writers}")
    lines = '{"name":"imported","price":1,"stock":1}\n' * 2
    loading = begin(int(stack.env["PORT"]), f"POST /api/products/import HTTP/1.1\r\nHost: {HOST}\r\nContent-Type: "
                    f"application/x-ndjson\r\nContent-Length: {len(lines)}\r\n\r\n{lines}")
    wait_until(lambda: metric(api, stack, "pgfanout_api_imports_running") == 1, 4, "the import to begin")
    api.signal(15)
    status, body = finish(loading)
    assert status == 200 and body["data"]["created"] == 2, body
    assert api.wait(60 * SLOWNESS) == 0


def test_the_consumer_finishes_its_batch_once(stack):
    stack.start_api()
    consumer = stack.start_consumer()
    stack.create()
    stack.wait_converged()
    holder = stack.connect("replica-1")
    with holder.cursor() as cursor:
        cursor.execute("lock table products in share mode")
    key = stack.create("held up")["id"]
    wait_until(lambda: stack.sql(
        "replica-1", "select 1 from pg_stat_activity where wait_event_type = 'Lock' "
        "and application_name = 'pgfanout-consumer'"), 10, "the batch to wait")
    # Or the stop may come before the other replica's message, which is delivered again then.
    wait_until(lambda: stack.sql("replica-2", "select 1 from products where id = %s", key), 10, "the other replica")
    consumer.signal(15)
    time.sleep(1)
    assert consumer.running()
    holder.rollback()
    assert consumer.wait(DRAIN_LIMIT * SLOWNESS) == 0
    # Committed, and acknowledged too: nothing is delivered again.
    assert stack.sql("replica-1", "select name from products where id = %s", key) == [("held up",)]
    consumer.restart().wait_for_http(consumer.base + "/health")
    stack.wait_converged()
    assert metric(consumer, stack, "pgfanout_consumer_messages_total") == 0
