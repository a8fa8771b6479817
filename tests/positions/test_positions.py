"""Promise: a read that sends the position of what its client did and saw is never answered by less.

The short form of `make test-positions`: it counts, and no result depends on time. The checker is
tested too: it finds what is stale, and nothing where there is one database alone.
"""
import contextlib
import http.server
import itertools
import random
import threading
import time
import types

import pytest

from faults.faults import network
from harness.servers import HOST, HarnessError, wait_until
from integration.conftest import SLOWNESS
from positions.field import (CLIENTS, FAULTS, REPLICAS, Client, Field, load_line, measure, reads_of, run_fault,
                             wrong_in)

READS = 2000  # during each fault, and after it
LOAD = "load 2000 0.1"  # a second, so that a server which starts has a processor too


def test_nobody_reads_less_than_it_has_seen(stack, tell):
    field, rng, began = Field(stack), random.Random(1), time.monotonic()
    client = field.client
    client.tell(LOAD)
    client.wait_for(READS)
    for name in FAULTS:
        run_fault(field, name, rng, lambda: client.wait_for(READS))
    client.wait_for(READS)
    client.tell("pause")
    stack.wait_converged(60, REPLICAS)
    measured = measure(field, lambda: client.wait_for(READS))
    counts = client.tell("count")
    tell(load_line(counts, (time.monotonic() - began) / 60))
    tell(measured)
    assert wrong_in(counts) == (0, 0), client.log()
    assert counts["writes"] and all(counts["reads"].values())
    assert {*REPLICAS} <= set(counts["servers"]) <= {"primary", *REPLICAS}


def test_the_checker_finds_what_is_stale(stack):
    """Positions are kept from APIs that read from a replica which is behind: reads of every kind show it."""
    field = Field(stack, forget=True)
    client = field.client

    def found():
        counts = client.tell("count")
        return all(counts["stale"].values()) and all(counts["wrong"][why] for why in ("older", "back", "missing"))

    with network("consumer-replica-1", "slow")(field, None):
        client.tell(LOAD)
        wait_until(found, 60 * SLOWNESS, "everything that can be stale")
        counts = client.tell("pause")
    assert counts["failed"] == counts["wrong"]["unwritten"] == 0, client.log()
    assert "STALE: client=" in client.log() and "served_by=replica-1" in client.log()


def test_the_checker_finds_nothing_on_one_database(stack, stack_servers):
    field = Field(stack, forget=True)
    for replica in stack_servers.replicas:
        replica.stop()
    for api in field.apis:
        wait_until(lambda api=api: stack.get("/api/products/00000000-0000-4000-8000-000000000000", base=api.base)
                   .headers["X-Served-By"] == "primary", 30 * SLOWNESS, "the primary to serve")
    field.client.tell(LOAD)
    field.client.wait_for(3 * READS)
    counts = field.client.tell("pause")
    assert wrong_in(counts) == (0, 0), field.client.log()
    assert counts["servers"] == {"primary": reads_of(counts)} and all(counts["reads"].values())


# ---- the client, with an API that says what the test wants --------------------------------------

@contextlib.contextmanager
def fake_api(stack, headers):
    """A Client whose API has no rows; headers(position that was sent) are those of its answers."""
    class Answers(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self):
            self.send_response(404)
            for name, value in {**headers(self.headers["X-Position"]), "Content-Length": "2"}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(b"{}")

        def log_message(self, *args):  # pylint: disable=arguments-differ
            pass

    class Server(http.server.ThreadingHTTPServer):
        request_queue_size = 2 * CLIENTS

        def handle_error(self, *args):  # the client has gone
            pass

    api = types.SimpleNamespace(port=stack.port())
    with Server((HOST, api.port), Answers) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        client = Client(stack, [api, api], 1, False)
        try:
            client.tell("load 1000 0")
            yield client
        finally:
            client.close()
            server.shutdown()


@pytest.mark.parametrize("header,why", [
    ({}, "an answer has no X-Position"), ({"X-Position": ""}, "an empty X-Position"),
    ({"X-Position": "p" * 65}, "longer than 64 bytes")], ids=["none", "empty", "long"])
def test_the_checker_asks_for_positions(bare_stack, header, why):
    with fake_api(bare_stack, lambda sent: header) as client:
        with pytest.raises(HarnessError, match=f"answers have no position(?s:.*){why}"):
            client.wait_for(READS)


def test_clients_send_what_they_were_answered_last(bare_stack):
    numbers, mutex, sent = itertools.count(1), threading.Lock(), []

    def answer(position):
        with mutex:
            sent.append(position)
            return {"X-Position": f"{next(numbers):064}"}

    with fake_api(bare_stack, answer) as client:
        client.wait_for(READS)
        client.tell("pause")
    assert sent.count(None) == CLIENTS  # each once, at first
    found = [int(position) for position in sent if position]
    assert len(found) == len(set(found)) and set(found) <= set(range(1, len(sent) + 1))
