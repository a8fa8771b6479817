"""The bench's servers, programs, load generators and clocks.

Everything runs on this machine, all servers with fsync on. The two sides are measured alternately
(A B, B A, …) in one run, because machines are noisy: the ratio of neighbouring measurements is more
reliable than the absolute figures.
"""
import contextlib
import itertools
import os
import re
import statistics
import subprocess
import sys
import time
import urllib.request

import psycopg2

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
# pylint: disable=wrong-import-position
from harness.servers import (DATABASE, HOST, Postgres, Program, RabbitMQ, discard_all, free_port, new_folder, postgres_bin,
                             psql_program, remove_folder, start_all, wait_until)
from tables import PRODUCTS

ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", ".."))
BUILD = os.path.join(ROOT, os.environ.get("PGFANOUT_BUILD", "build"))
HERE = os.path.dirname(os.path.abspath(__file__))
SECONDS = int(os.environ.get("BENCH_SECONDS", "5"))
REPETITIONS = int(os.environ.get("BENCH_REPETITIONS", "3"))
SCALE = float(os.environ.get("BENCH_SCALE", "1"))  # of row counts, for trying out
# wal_retrieve_retry_interval: else a subscription that was enabled less than 5 s ago waits before it
# starts again.
SERVER = {"shared_buffers": "256MB", "max_connections": 200, "wal_level": "logical", "max_wal_size": "4GB",
          "max_wal_senders": 20, "max_replication_slots": 20, "max_worker_processes": 20,
          "max_logical_replication_workers": 12, "wal_retrieve_retry_interval": "'100ms'"}
TICKS = os.sysconf("SC_CLK_TCK")


class Lab:
    """A primary and n replicas with the product tables, a RabbitMQ, and pgfanout's programs on
    request."""

    def __init__(self, replicas=2):
        self.folder = new_folder()
        self.primary = Postgres("primary", self.folder, settings=SERVER)
        self.replicas = [Postgres(f"replica-{n}", self.folder, settings=SERVER) for n in range(1, replicas + 1)]
        self.rabbitmq = RabbitMQ(self.folder, tick_ms=5000)
        self.servers = [self.primary, *self.replicas, self.rabbitmq]
        self.programs = {}
        self.peaks = {}  # of the programs that have ended: the most memory of each, kB
        self.marks = itertools.count(1)
        self.env = {}

    def __enter__(self):
        start_all(self.servers)
        self.env = {"DATABASE_URL": self.primary.create_database(), "RABBITMQ_URL": self.rabbitmq.create_vhost("bench"),
                    "HOST": HOST, "PORT": free_port(), "CONSUMER_HOST": HOST, "CONSUMER_PORT": free_port(),
                    "LOG_LEVEL": "warn"}
        for n, replica in enumerate(self.replicas, 1):
            self.env[f"REPLICA_{n}_URL"] = replica.create_database()
        self.run("pgfanout-migrate", "up")
        return self

    def __exit__(self, *_):
        for name in list(self.programs):
            self.stop(name)
        discard_all(self.servers)
        remove_folder(self.folder)

    # ---- programs ----

    def run(self, name, *args, **env):
        done = subprocess.run([os.path.join(BUILD, name), *args], capture_output=True, text=True, check=False,
                              env={**os.environ, **{k: str(v) for k, v in {**self.env, **env}.items()}})
        if done.returncode:
            raise RuntimeError(f"{name}: exit code {done.returncode}\n{done.stdout}{done.stderr}")
        return done

    def start(self, name, **env):
        port = self.env["PORT" if name == "pgfanout-api" else "CONSUMER_PORT"]
        program = Program([os.path.join(BUILD, name)], {**self.env, **env}, name,
                          os.path.join(self.folder, name + ".log"))
        path = "/ready" if name == "pgfanout-api" else "/health"
        program.wait_for_http(f"http://{HOST}:{port}{path}", 30)
        self.programs[name] = program
        return program

    def stop(self, name):
        if name in self.programs:
            self.peaks[name] = max(self.peaks.get(name, 0), self.rss_kb(name, "VmHWM"))
        program = self.programs.pop(name, None)
        if program and program.stop() != 0:
            raise RuntimeError(f"{name} did not end well:\n{program.log(30)}")

    @contextlib.contextmanager
    def running(self, *names, **env):
        for name in names:
            self.start(name, **env)
        try:
            yield
        finally:
            for name in reversed(names):
                self.stop(name)

    @property
    def base(self):
        return f"http://{HOST}:{self.env['PORT']}"

    # ---- data ----

    def fill(self, rows, servers=None):
        """The same rows on the named servers (default all): ids are md5 of 1 … rows."""
        for server in servers or [self.primary, *self.replicas]:
            server.psql(f"""
                set synchronous_commit = off;
                truncate products;
                insert into products (id, name, price, stock, created_at, updated_at)
                select md5(n::text)::uuid, 'Product number ' || n, round((n % 100000) / 100.0, 2), n % 500, '2026-01-01', '2026-01-01'
                from generate_series(1, {rows}) n order by 1;
                vacuum analyze products;""")
        self.primary.psql("truncate pgfanout.outbox; vacuum analyze pgfanout.outbox")

    def script(self, name, text):
        """A file for pgbench."""
        path = os.path.join(self.folder, name + ".sql")
        with open(path, "w", encoding="utf-8") as f:
            f.write(text)
        return path

    def ids(self, rows):
        """Those of fill(rows)."""
        return self.primary.psql(f"select md5(n::text)::uuid from generate_series(1, {rows}) n").split()

    def paths(self, start, ends, name="paths"):
        """The environment that makes read.lua request start + each of ends, which a file of that
        name holds."""
        path = os.path.join(self.folder, name)
        with open(path, "w", encoding="ascii") as f:
            f.writelines(f"{start}{end}\n" for end in ends)
        return {"PATHS": path}

    def product_paths(self, rows):
        return self.paths("/api/products/", self.ids(rows))

    def register(self, *tables, timeout=300):
        """Returns when both replicas have them."""
        names = [name for table in tables for name in table.names]
        self.primary.psql("".join(f"select pgfanout.add_table('{name}');" for name in names))
        with self.running("pgfanout-api", "pgfanout-consumer"):
            self.wait_loaded(names, timeout)

    def wait_loaded(self, names, timeout=300):
        """Waits until both replicas have loaded all rows of registered tables; returns the time."""
        regclasses = ", ".join(f"to_regclass('{name}')" for name in names)
        for replica in self.replicas:
            wait_until(lambda replica=replica: int(replica.psql(f"select count(*) from pgfanout.tables where relation in ({regclasses}) "
                                                                "and not due")) == len(names), timeout, "the tables to be loaded", 0.02)
        return time.monotonic()

    def wait_there(self, table, db=DATABASE, timeout=300):
        """Waits until both replicas have all changes of a table; returns the time. It waits for a
        row that is written last, which costs the servers next to nothing. Then it compares the
        rows, which counts for the time only if they are not equal at once."""
        n = -next(self.marks)
        self.primary.psql(table.mark(n), db)
        for replica in self.replicas:
            with contextlib.closing(psycopg2.connect(replica.url(db))) as conn, conn.cursor() as cursor:
                conn.autocommit = True

                def there():
                    cursor.execute(f"select from {table.name} where {table.mark_where.format(n=n)}")
                    return cursor.rowcount == 1
                wait_until(there, timeout, "the last row on the replica", 0.01)
        seen = time.monotonic()
        if not self.equal(table, db):
            wait_until(lambda: self.equal(table, db), timeout, "the replicas to keep up", 0.05)
            seen = time.monotonic()
        if db == DATABASE:
            wait_until(self.forgotten, timeout, "the relay to forget what is confirmed")
        return seen

    def wait_drained(self, timeout=300):
        return self.wait_there(PRODUCTS, timeout=timeout)

    def equal(self, table, db=DATABASE):
        return len({s.psql(table.digest, db) for s in [self.primary, *self.replicas]}) == 1

    def forgotten(self):
        return self.primary.psql("select exists (select from pgfanout.outbox where heartbeat is null)").strip() == "f"

    # ---- clocks ----

    def cpu(self, *pids):
        """User and system seconds of processes, with their ended children."""
        total = 0
        for pid in pids:
            with contextlib.suppress(OSError), open(f"/proc/{pid}/stat", encoding="ascii") as f:
                fields = f.read().rsplit(")", 1)[1].split()
                total += sum(int(v) for v in fields[11:15])
        return total / TICKS

    def program_cpu(self):
        return self.cpu(*(p.popen.pid for p in self.programs.values()))

    def postgres_cpu(self):
        return self.cpu(*(pid for s in [self.primary, *self.replicas] for pid in s.pids()))

    def rss_kb(self, name, which="VmRSS"):
        """Of a program that runs; VmHWM: the most it has been."""
        with open(f"/proc/{self.programs[name].popen.pid}/status", encoding="ascii") as f:
            return int(re.search(which + r":\s+(\d+)", f.read()).group(1))


def get(url):
    with urllib.request.urlopen(url, timeout=60) as answer:
        return answer.read()


def wrk(base, script, connections, seconds, threads=1, env=None):
    """Requests per second; an error answer or a socket error fails the measurement."""
    done = subprocess.run(["wrk", f"-t{threads}", f"-c{connections}", f"-d{seconds}s", "--timeout", "20s",
                           "-s", os.path.join(HERE, script), base],
                          capture_output=True, text=True, check=True, env={**os.environ, **(env or {})})
    if "Non-2xx" in done.stdout or "Socket errors" in done.stdout:
        raise RuntimeError(f"wrk {script}:\n{done.stdout}")
    return float(re.search(r"Requests/sec:\s+([\d.]+)", done.stdout).group(1))


def pgbench(server, script, clients, seconds=None, transactions=None, rate=None, db=DATABASE):
    """Transactions per second of a script file (None: pgbench's own), prepared statements, for some
    seconds or for so many transactions in all; at most rate a second."""
    length = ["-T", str(round(seconds))] if transactions is None else ["-t", str(transactions // clients)]
    if rate is not None:
        length += ["-R", str(rate)]
    argv = [os.path.join(postgres_bin(), "pgbench"), "-n", "-M", "prepared", "-c", str(clients), "-j", str(min(2, clients)),
            *length, *(["-f", os.path.join(HERE, script)] if script else [])]
    done = subprocess.run([*argv, server.url(db)], capture_output=True, text=True, check=True)
    return float(re.search(r"tps = ([\d.]+) \(without", done.stdout).group(1))


def best_clients(server, script, seconds, choices=(8, 16, 32, 64), db=DATABASE):
    """The number of clients that is fastest, found once with short runs, for the comparison."""
    return max(choices, key=lambda c: pgbench(server, script, c, seconds, db=db))


def until_there(write, there):
    """Writes a second by write(), which returns its rate, including the time until the replicas
    have them, by there(), which returns when; and that time alone."""
    begun = time.monotonic()
    rate = write()
    written = time.monotonic()
    done = there()
    return rate * (written - begun) / (done - begun), done - written


def timed(fn, *args, **kwargs):
    begun = time.monotonic()
    fn(*args, **kwargs)
    return time.monotonic() - begun


def medians(pairs, least=0):
    """Of pairs (ours, theirs): the median of each, and the median of the neighbours' ratios. Theirs
    counts as at least `least`."""
    return {"ours": statistics.median(a for a, _ in pairs), "theirs": statistics.median(b for _, b in pairs),
            "ratio": statistics.median(a / max(b, least) for a, b in pairs)}


def interleave(repetitions, ours, theirs):
    """Runs both alternately: medians()."""
    pairs = []
    for n in range(repetitions):
        # Who goes first changes, so that a trend of the machine favours neither.
        if n % 2:
            b = theirs()
            a = ours()
        else:
            a = ours()
            b = theirs()
        pairs.append((a, b))
    return medians(pairs)


def shell(command):
    subprocess.run(["bash", "-c", "set -o pipefail; " + command], check=True, capture_output=True)


PSQL = psql_program() + " -XAtq -v ON_ERROR_STOP=1"
