"""The connections between the processes: one proxy for each pair, which the network faults break.

EDGES names the pairs. A wired arena gives every program the addresses of its own proxies, so that a
fault of one pair does not affect the others.
"""
import threading

from harness.servers import HOST, Proxy

EDGES = ("client-api", "api-primary", "api-replica-1", "api-rabbitmq", "consumer-replica-1",
         "consumer-rabbitmq", "consumer-primary", "reset-primary", "reset-replica-1", "reset-rabbitmq")


class Wire(Proxy):
    """A Proxy that can also break a connection in the middle of a frame."""

    def __init__(self, host, port):
        self._left, self._mutex = None, threading.Lock()
        super().__init__(host, port)

    def cut_after(self, count):
        """Forwards count bytes, in any direction, and then resets the connection."""
        with self._mutex:
            self._left = count

    def repair(self):
        with self._mutex:
            self._left = None
        self.resume()

    def _read(self, pipe):
        before = pipe.size
        super()._read(pipe)
        with self._mutex:
            came = pipe.size - before
            if self._left is None or came == 0:
                return
            if came < self._left:
                self._left -= came
                return
            data = pipe.queue[-1][1]
            keep = data[:len(data) - (came - self._left)]
            self._left = None
        # What came before the cut still arrives: a peer then holds half a frame.
        pipe.sink.settimeout(1)
        pipe.sink.sendall(b"".join(d for _, d in list(pipe.queue)[:-1]) + keep)
        raise ConnectionResetError("cut by the test")


def wires(stack):
    """edge -> Wire, for all edges but the client's, which has one once an API is there."""
    return {edge: Wire(HOST, stack.servers.by_name[edge.split("-", 1)[1]].port)
            for edge in EDGES if edge != "client-api"}


def wired_env(stack, lines, program):
    """The settings that lead a program over its wires."""
    names = {"primary": "DATABASE_URL", "replica-1": "REPLICA_1_URL", "rabbitmq": "RABBITMQ_URL"}
    return {names[edge.split("-", 1)[1]]:
            stack.proxied_url(stack.servers.by_name[edge.split("-", 1)[1]], wire)
            for edge, wire in lines.items() if edge.startswith(f"{program}-")}
