"""What the positions load runs on: servers, two APIs, a consumer, wires to one replica, the client, and
the faults that it meets in turn.

The client (main.c) is a process that is told what to do and asked what it has counted. Everything it
found wrong is on its standard error, which goes to the field's log.
"""
import contextlib
import functools
import json
import os
import select
import subprocess
import time

from faults.faults import network, programs_end, server_down, server_paused
from faults.wire import Wire
from harness.servers import HOST, HarnessError, tail, wait_until
from integration.conftest import SLOWNESS

REPLICAS = ("replica-1", "replica-2", "replica-3")
CLIENTS, PRODUCTS, AUTHORS, POSTS = 200, 4, 2, 3  # of a client its own; posts of an author

LIFE = 100000  # ROW_LIFE of rows.h: all rows begin in their first life
TABLES = f"""
    create table authors (id integer primary key, name text not null, n bigint not null);
    create table posts (id integer primary key, name text not null, n bigint not null,
        author_id integer not null references authors on delete cascade);
    create index on posts (author_id);
    insert into products (id, name, price, stock)
        select ('00000000-0000-4000-8000-' || lpad(to_hex(i), 12, '0'))::uuid, 'a product', 1.25, {LIFE}
        from generate_series(0, {CLIENTS * PRODUCTS - 1}) i;
    insert into authors select i, 'a row', {LIFE} from generate_series(0, {CLIENTS * AUTHORS - 1}) i;
    insert into posts select i, 'a row', {LIFE}, i / {POSTS}
        from generate_series(0, {CLIENTS * AUTHORS * POSTS - 1}) i;
    select pgfanout.add_table('authors'), pgfanout.add_table('posts')"""
LOADED = "select count(*) from pgfanout.tables where not due and relation in ('authors'::regclass, 'posts'::regclass)"


def reads_of(counts):
    return sum(counts["reads"].values())


def wrong_in(counts):
    """How many reads were stale, and how many answers were none or no good ones."""
    return sum(counts["stale"].values()), counts["failed"]


class Client:
    """positions-client. Ends with its standard input, so it does not outlive this process."""

    def __init__(self, stack, apis, seed, forget):
        self.log_path = os.path.join(stack.folder, "positions-client.log")
        argv = [stack.program("positions-client"), *(api.port for api in apis), CLIENTS, PRODUCTS, AUTHORS,
                POSTS, seed, "forget" if forget else "remember"]
        with open(self.log_path, "ab") as log:
            self.popen = subprocess.Popen([str(a) for a in argv], stdin=subprocess.PIPE,
                                          stdout=subprocess.PIPE, stderr=log)

    def tell(self, command):
        """Returns the counts."""
        self.popen.stdin.write(f"{command}\n".encode())
        self.popen.stdin.flush()
        answers = select.select([self.popen.stdout], [], [], 60 * SLOWNESS)[0]
        line = self.popen.stdout.readline() if answers else b""
        if not line:
            raise HarnessError(f"positions-client does not answer {command!r}\n{self.log()}")
        counts = json.loads(line)
        if counts["without_position"]:
            raise HarnessError(f"{counts['without_position']} answers have no position\n{self.log()}")
        return counts

    def wait_for(self, reads, timeout=120):
        """Until so many more have been answered."""
        until = reads_of(self.tell("count")) + reads
        wait_until(lambda: reads_of(self.tell("count")) >= until, timeout * SLOWNESS, f"{reads} more reads")

    def log(self):
        return tail(self.log_path)

    def close(self):
        self.popen.stdin.close()
        try:
            self.popen.wait(10)
        except subprocess.TimeoutExpired:
            self.popen.kill()
            self.popen.wait(10)
        self.popen.stdout.close()


class Field:
    """The environment, as the faults of tests/faults/ want it: stack, form, wires, apis, consumers."""

    form = "short"

    def __init__(self, stack, seed=1, forget=False):
        self.stack = stack
        stack.sql("primary", TABLES)
        replica = stack.replicas[0]
        self.wires = {f"{program}-{replica.name}": Wire(HOST, replica.port) for program in ("api", "consumer")}
        urls = {name: stack.proxied_url(replica, wire) for name, wire in self.wires.items()}
        self.consumers = [stack.start_consumer(REPLICA_1_URL=urls[f"consumer-{replica.name}"])]
        self.apis = [self.start_api(urls[f"api-{replica.name}"]) for _ in range(2)]
        for db in REPLICAS:
            wait_until(lambda db=db: stack.sql(db, LOADED) == [(2,)], 60 * SLOWNESS, f"the tables on {db}")
        self.wait_serving()
        stack.wait_converged(60, REPLICAS)
        self.client = Client(stack, self.apis, seed, forget)
        stack.cleanups += [*(wire.close for wire in self.wires.values()), self.client.close]

    def start_api(self, url):
        port = self.stack.port()
        program = self.stack.start_api(PORT=port, REPLICA_1_URL=url, RESOURCES="authors,posts")
        program.port = port
        return program

    def wait_serving(self, timeout=90):
        """Until both APIs may read from all replicas."""
        def serving():
            for api in self.apis:
                status = self.stack.get("/status", base=api.base).json()["data"]
                if any(r["state"] != "serving" for r in status["replicas"]):
                    return False
                for resource in ("authors", "posts"):
                    if self.stack.get(f"/api/{resource}/0", base=api.base).status_code >= 500:
                        return False
            return True
        wait_until(serving, timeout * SLOWNESS, "all replicas to serve", 0.1)


# ---- faults ------------------------------------------------------------------------------------

@contextlib.contextmanager
def replica_reset(name, field, rng):
    done = field.stack.reset("--quiet", "--replica", name)
    assert done.returncode == 0, f"reset-replicas: {done.returncode}\n{done.stderr}"
    yield


@contextlib.contextmanager
def api_restarted(how, field, rng):
    """One of the two. What it answers meanwhile, or does not, is no failure; a stale answer would be."""
    number = rng.randrange(2)
    api = field.apis[number]
    field.client.tell(f"down {number}")
    if how == "kill9":
        api.kill9()
    else:
        assert api.stop() == 0, api.log(40)
    api.restart().wait_for_http(f"{api.base}/ready", 20 * SLOWNESS)
    field.client.tell(f"up {number}")
    yield


FAULTS = {
    "replica-delayed": network("all", "slow"),
    "replica-behind": network("consumer-replica-1", "slow"),
    "replica-paused": server_paused("replica-2"),
    "replica-kill9": server_down("replica-2", "kill9"),
    "replica-reset": functools.partial(replica_reset, "replica-3"),
    "api-sigterm": functools.partial(api_restarted, "sigterm"),
    "api-kill9": functools.partial(api_restarted, "kill9"),
    "consumer-kill9": programs_end("kill9", "consumer"),
    "rabbitmq-stop": server_down("rabbitmq", "stop"),
}


def run_fault(field, name, rng, hold):
    """hold() while the fault lasts; afterwards all replicas serve again."""
    with FAULTS[name](field, rng):
        hold()
    field.wait_serving()


def measure(field, hold):
    """500 writes a second, each followed by a read, without faults. Returns what came of it, as a line."""
    field.wait_serving()
    before, began = field.client.tell("measure 500")["writes"], time.monotonic()
    hold()
    counts = field.client.tell("pause")
    return measured_line(counts, (counts["writes"] - before) / (time.monotonic() - began))


# ---- what comes out ----------------------------------------------------------------------------

def share(part, whole):
    return f"{100 * part / whole:.1f}%" if whole else "none"


def load_line(counts, minutes):
    """A line like the fault suite's."""
    reads, primary = reads_of(counts), counts["servers"].get("primary", 0)
    stale, failed = wrong_in(counts)
    kinds = ",".join(f"{kind}:{n}" for kind, n in counts["reads"].items())
    return (f"clients={CLIENTS} minutes={minutes:.1f} writes={counts['writes']} reads={reads} stale={stale} "
            f"failed={failed} replicas={share(reads - primary, reads)} primary={share(primary, reads)} "
            f"kinds={kinds} interrupted={counts['interrupted']} retired={counts['retired']}")


def measured_line(counts, rate):
    """Of the reads 50 ms after a write, how many replicas have served."""
    measured = counts["measured"]
    replicas, reads = [sum(n) for n in zip(*measured.values())] or (0, 0)
    kinds = " ".join(f"{kind}={share(*n)}" for kind, n in measured.items())
    return f"replicas_at_50ms={share(replicas, reads)} {kinds} reads={reads} writes_per_s={rate:.0f}"
