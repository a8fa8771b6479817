"""Delivers old messages again, late and in any order, while everything else runs.

A queue of its own receives every message. Some of them are published, unchanged, to a random
replica's sync or delete queue a second time, seconds later. They must change nothing. Without this
the broker's usual order would hide a replica that simply takes what comes last.
"""
import collections

import pika

from faults.workload import Writer

KEPT = 300  # old messages to choose from


class Replayer(Writer):
    """Rests with the other writers, so that the queues can run empty."""

    pace = (0.05, 0.15)

    def __init__(self, workload, connect, replicas):
        super().__init__(workload, "replay")
        self.connect, self.replicas = connect, replicas
        self.connection = self.channel = self.queue = None
        self.kept, self.replayed = collections.deque(maxlen=KEPT), 0

    def open(self):
        self.connection = self.connect()
        self.channel = self.connection.channel()
        self.queue = self.channel.queue_declare(
            "", exclusive=True, arguments={"x-max-length": 1000, "x-overflow": "drop-head"}
        ).method.queue
        self.channel.queue_bind(self.queue, "products", "products.*")

    def turn(self):
        try:
            if self.connection is None:
                self.open()
            self.listen()
            for _ in range(self.rng.randint(0, 4)):
                self.repeat()
        except (pika.exceptions.AMQPError, OSError):
            self.connection = None
            self.linger(0.3)

    def listen(self):
        for _ in range(20):
            method, properties, body = self.channel.basic_get(self.queue, auto_ack=True)
            if method is None:
                return
            self.kept.append((method.routing_key, properties, body))

    def repeat(self):
        if self.kept:
            key, properties, body = self.rng.choice(self.kept)
            self.channel.basic_publish("", f"{key}.{self.rng.choice(self.replicas)}", body,
                                       properties)
            self.replayed += 1
