"""Part 10: the API with fan-out as people write it by hand in Node (peer/), compared with pgfanout.

Both use the same PostgreSQL and RabbitMQ servers: Node has a database and a vhost of its own there,
both named peer, and a table without triggers. Both run all the time; the one that is not measured
is idle. Node runs as one process, as is usual, and once more as a cluster of two workers, in rows
without a target. Its connection pools have the size that is fastest, found before with short runs,
like the number of pgbench's clients. Its times are timestamptz(3), because a JavaScript Date holds
no more: otherwise its replicas could never equal its primary.
"""
import json
import os
import shutil
import subprocess
import time

import lab
from lab import HERE, HOST, Program, free_port, get, interleave, until_there, wait_until, wrk

TABLE = ("create table products (id uuid primary key, name text not null, price numeric not null, stock integer not null, "
         "created_at timestamptz(3) not null default now(), updated_at timestamptz(3) not null default now())")


def installed():
    """The folder with the peer and its modules, below build/. npm ci runs if the lock file has
    changed."""
    folder = os.path.join(lab.BUILD, "bench-node")
    os.makedirs(folder, exist_ok=True)
    done, lock = os.path.join(folder, "installed"), os.path.join(HERE, "peer", "package-lock.json")
    shutil.copytree(os.path.join(HERE, "peer"), folder, dirs_exist_ok=True)
    with open(lock, encoding="utf-8") as f:
        wanted = f.read()
    if os.path.exists(done):
        with open(done, encoding="utf-8") as f:
            if f.read() == wanted:
                return folder
    for tool in ("node", "npm"):
        if not shutil.which(tool):
            raise RuntimeError(f"there is no {tool}: run tests/deps.sh bench")
    npm = subprocess.run(["npm", "ci", "--omit=dev", "--ignore-scripts", "--no-audit", "--no-fund"], cwd=folder, text=True, timeout=300,
                         capture_output=True, check=False)
    if npm.returncode:
        raise RuntimeError(f"npm ci (it needs the npm registry once): {npm.stderr.strip()[-500:]}")
    with open(done, "w", encoding="utf-8") as f:
        f.write(wanted)
    return folder


class Programs:
    """Programs of peer/, which end together. env: what all of them get."""

    def __init__(self, l, **env):
        self.l, self.folder, self.programs = l, installed(), []
        self.env = {"NODE_ENV": "production", "HOST": HOST, **env}

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        if kind:
            self.kill()
            return
        while self.programs:
            program = self.programs.pop()
            if program.stop() != 0:
                self.kill()
                raise RuntimeError(f"{program.name} did not end well:\n{program.log(30)}")

    def kill(self):
        while self.programs:
            self.programs.pop().kill9()

    def start(self, name, setting, port, **env):
        log = os.path.join(self.l.folder, f"peer-{name}-{port}.log")
        program = Program([shutil.which("node"), os.path.join(self.folder, name + ".js")], {**self.env, setting: port, **env},
                          f"the peer's {name}", log)
        self.programs.append(program)
        program.wait_for_http(f"http://{HOST}:{port}/health", 30)
        return f"http://{HOST}:{port}"


def best_pool(measure, choices=(5, 10, 20)):
    """The number of connections that is fastest, found once with short runs, for the comparison."""
    return max(choices, key=measure)


class Peer(Programs):
    """The peer's databases, its consumer, and an API for each size of pool and number of workers
    that was asked for."""

    def __init__(self, l, rows, paths):
        super().__init__(l, RABBITMQ_URL=l.rabbitmq.create_vhost("peer"), DATABASE_URL=l.primary.create_database("peer"))
        self.rows, self.paths, self.apis, self.health = rows, paths, {}, None
        for n, replica in enumerate(l.replicas, 1):
            self.env[f"REPLICA_{n}_URL"] = replica.create_database("peer")
        for server in [l.primary, *l.replicas]:  # the rows of Lab.fill, of one time everywhere
            server.psql(f"""
                set synchronous_commit = off;
                {TABLE};
                insert into products
                select md5(n::text)::uuid, 'Product number ' || n, round((n % 100000) / 100.0, 2), n % 500, '2026-01-01', '2026-01-01'
                from generate_series(1, {rows}) n order by 1;
                vacuum analyze products;""", "peer")

    def __enter__(self):
        try:
            self.health = self.start("consumer", "CONSUMER_PORT", free_port()) + "/health"
        except Exception:
            self.kill()
            raise
        return self

    def api(self, pool, workers=1):
        if (pool, workers) not in self.apis:
            self.apis[pool, workers] = base = self.start("api", "PORT", free_port(), POOL_SIZE=pool, WORKERS=workers)
            self.warm(base)
            self.wait_drained()
        return self.apis[pool, workers]

    def warm(self, base):
        """V8 compiles code only after it has run often."""
        wrk(base, "read.lua", 64, 2, env=self.paths)
        wrk(base, "write_one.lua", 64, 2)

    def count(self):
        return int(self.l.primary.psql("select count(*) from products", "peer"))

    def equal(self):
        digest = "select count(*), sum(stock), max(updated_at) from products"
        return len({s.psql(digest, "peer") for s in [self.l.primary, *self.l.replicas]}) == 1

    def wait_drained(self, timeout=300):
        """Waits until both replicas have all; returns the time, like Lab.wait_equal. It watches the
        consumer's count, which costs nothing."""
        new = self.count() - self.rows
        wait_until(lambda: min(json.loads(get(self.health))["applied"]) >= new, timeout, "the peer's consumer to keep up", 0.01)
        seen = time.monotonic()
        if self.equal():
            return seen
        wait_until(self.equal, timeout, "the peer's replicas to be equal", 0.05)
        return time.monotonic()


def written(whose, base, seconds):
    """Writes a second; returns when nothing is in flight, so that the next measurement is not
    disturbed."""
    rate = wrk(base, "write_one.lua", 64, seconds)
    whose.wait_drained()
    return rate


def node(l, results, rows, paths, seconds, repetitions):
    l.fill(rows)
    with Peer(l, rows, paths) as peer, l.running("pgfanout-api", "pgfanout-consumer"):
        peer.warm(l.base)
        l.wait_drained()

        def compare(work, pool, measure):
            """measure(whose, base): ours and theirs differ in nothing but these two."""
            for workers, name, wanted in ((1, "Node", "≥ 7"), (2, "Node, 2 workers", None)):
                theirs = peer.api(pool, workers)
                pair = interleave(repetitions, lambda: measure(l, l.base), lambda theirs=theirs: measure(peer, theirs))
                results.compare(10, f"{work} / {name}", "1/s", pair, wanted, f"pools of {pool}")

        pool = best_pool(lambda size: wrk(peer.api(size), "read.lua", 64, 2, env=paths))
        compare(f"GET one of {rows:,}, 64 connections", pool, lambda _, base: wrk(base, "read.lua", 64, seconds, env=paths))
        pool = best_pool(lambda size: written(peer, peer.api(size), 2))
        compare("POST, 64 connections, everything running", pool, lambda whose, base: written(whose, base, seconds))
        compare("POST until both replicas have all", pool, 
                lambda whose, base: until_there(lambda: wrk(base, "write_one.lua", 64, seconds * 2), whose.wait_drained)[0])
