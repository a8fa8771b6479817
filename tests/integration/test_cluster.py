"""RABBITMQ_URL with the nodes of a cluster: any one of them may die at any moment while writes
continue.
"""
import threading
import time
import urllib.parse

import pytest
import requests

from conftest import SLOWNESS, RabbitMQ, discard_all, new_folder, remove_folder, start_all, wait_until

REPLICAS = ("replica-1", "replica-2")


@pytest.fixture(scope="module")
def nodes():
    folder = new_folder()
    first = RabbitMQ(folder, "rabbit-1")
    try:
        first.start()
        all_nodes = [first] + [RabbitMQ(folder, f"rabbit-{n}", join=first) for n in (2, 3)]
        try:
            start_all(all_nodes)
            yield all_nodes
        finally:
            discard_all(all_nodes)
    finally:
        first.discard()
        remove_folder(folder)


class Writer(threading.Thread):
    """Creates products through the API, one after another; remembers which were acknowledged."""

    def __init__(self, base):
        super().__init__(daemon=True)
        self.base, self.acknowledged, self.failed = base, set(), []
        self.done = threading.Event()

    def run(self):
        session = requests.Session()
        session.trust_env = False
        n = 0
        while not self.done.is_set():
            n += 1
            answer = session.post(f"{self.base}/api/products", timeout=20,
                                  json={"name": f"product {n}", "price": n, "stock": n})
            if answer.status_code == 201:
                self.acknowledged.add(answer.json()["data"]["id"])
            else:
                self.failed.append(answer.text)
            time.sleep(0.005)


def queue(node, vhost, name):
    quoted = urllib.parse.quote(vhost, safe="")
    return node.api("GET", f"/queues/{quoted}/{name}") or {}


def wait_online(node, vhost):
    """Until every queue has its three members up again: only then may another node go."""
    def online():
        return all(len(queue(node, vhost, f"products.{kind}.{r}").get("online", [])) == 3
                   for kind in ("sync", "delete") for r in REPLICAS)

    wait_until(online, 40 * SLOWNESS, "three members online", 0.3)


def test_any_node_may_die_under_writes(stack, nodes):
    nodes[0].create_vhost(stack.vhost)
    stack.env["RABBITMQ_URL"] = ",".join(n.url(stack.vhost) for n in nodes)
    # pgfanout-migrate was with another broker: there are no queues here yet, and nothing is lost.
    api = stack.start_api()
    consumer = stack.start_consumer()
    stack.create("first")
    wait_until(lambda: all(stack.sql(r, "select count(*) from products") == [(1,)] for r in REPLICAS),
               20 * SLOWNESS, "the first product")
    own, stack.rabbitmq = stack.rabbitmq, nodes[0]
    wait_online(nodes[0], stack.vhost)
    assert len(queue(nodes[0], stack.vhost, "products.sync.replica-1")["members"]) == 3
    writer = Writer(api.base)
    writer.start()
    try:
        for number, node in enumerate(nodes):
            alive = nodes[(number + 1) % 3]
            before = len(writer.acknowledged)
            node.kill9()
            # Not only accepted: it arrives while the node is down.
            made = stack.create(f"while {node.name} is away")["id"]
            wait_until(lambda m=made: all(stack.sql(r, "select 1 from products where id = %s", m)
                                          for r in REPLICAS), 40 * SLOWNESS, "it arrives")
            assert len(writer.acknowledged) > before
            node.start()
            wait_online(alive, stack.vhost)
    finally:
        writer.done.set()
        writer.join()
    assert not writer.failed, writer.failed[:3]
    stack.wait_converged(60)
    found = {row[0] for row in stack.rows("replica-1")}
    assert writer.acknowledged <= found and len(writer.acknowledged) > 100
    for replica in REPLICAS:
        assert stack.sql(replica, "select needs_reset, auto_reset from pgfanout.streams") == [
            (False, False)], "a node that dies is no deleted queue"
    assert stack.sql("primary", "select count(*) from pgfanout.queues where reset_due_at is not null") == [(0,)]
    assert api.running() and consumer.running()
    stack.rabbitmq = own
