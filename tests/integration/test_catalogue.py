"""The sample catalogue, and a million products to a slow reader in flat memory."""
import contextlib
import http.client
import json
import os
import re
import socket
import time

import pytest

from conftest import DATA, SANITIZED
from harness.servers import wait_until

NDJSON = {"Content-Type": "application/x-ndjson"}


def test_the_catalogue_to_the_last_digit_everywhere(stack):
    stack.start_api()
    stack.start_consumer()
    with open(os.path.join(DATA, "catalogue.ndjson"), "rb") as f:
        text = f.read()
    answer = stack.post("/api/products/import", headers=NDJSON, data=text).json()
    lines = text.decode().splitlines()
    assert answer["data"]["created"] == len(lines) and answer["data"]["rejected"] == 0
    stack.wait_converged(60)
    # Against the file itself, with the price as the text that stands in it.
    expected = {}
    for line in lines:
        product = json.loads(line, parse_float=str, parse_int=str)
        expected[product["id"]] = (product["name"], product["price"], product["stock"])
    for db in ("primary", "replica-1", "replica-2"):
        found = {r[0]: (r[1], r[2], str(r[3])) for r in stack.rows(db)}
        assert found == expected, db
    listed = stack.get("/api/products").content.decode()
    for key in list(expected)[::500]:
        name, price, count = expected[key]
        assert f'"price":{price},"stock":{count},' in listed


def rss_kb(pid):
    with open(f"/proc/{pid}/status", encoding="ascii") as f:
        return int(re.search(r"VmRSS:\s+(\d+)", f.read()).group(1))


@pytest.mark.skipif(SANITIZED, reason="sanitizers change what memory means, and a million rows take them long")
def test_a_million_products_to_a_slow_reader(stack):
    """Streamed with flat memory; the list is whole, in order, and well-formed; other requests do
    not wait."""
    count = 1_000_000
    api = stack.start_api(MAX_REPLICA_LAG_MS=0)  # no consumer is needed for this
    stack.sql("replica-1", "insert into products select md5(n::text)::uuid, 'product ' || n, n, 1, now(), now(), 0 "
              "from generate_series(1, %s) n", count)
    stack.replicas[1].stop("immediate")  # so that replica-1 serves
    wait_until(lambda: stack.get("/api/products?limit=1").headers["X-Served-By"] == "replica-1", 30, "replica-1 serves")
    before = rss_kb(api.popen.pid)
    most = 0
    conn = http.client.HTTPConnection(stack.env["HOST"], int(stack.env["PORT"]), timeout=60)
    with contextlib.closing(conn):
        conn.connect()
        conn.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        conn.request("GET", "/api/products")
        answer = conn.getresponse()
        # A reader that takes nothing for a while, then little, then all.
        time.sleep(3)
        most = max(most, rss_kb(api.popen.pid))
        seen, tail, total, last, pieces = 0, b"", 0, b"", 0
        while True:
            piece = answer.read(1 << 16)
            if not piece:
                break
            if total < 20_000_000:
                time.sleep(0.002)
            total += len(piece)
            data = tail + piece
            ids = re.findall(rb'"id":"([0-9a-f-]{36})"', data)
            if ids:
                assert ids == sorted(ids) and ids[0] > last, "out of order"
                last = ids[-1]
                seen += len(ids)
                data = data[data.rindex(ids[-1]) + 36:]
            tail = data[-100:] if not ids else data
            pieces += 1
            if pieces % 50 == 0:
                most = max(most, rss_kb(api.popen.pid))
                assert stack.get("/health").status_code == 200
    most = max(most, rss_kb(api.popen.pid))
    assert seen == count
    assert b'"message":"Products retrieved successfully"' in tail
    assert most - before < 16_000, f"{before} kB before, {most} kB at most"
