"""make bench: pgfanout compared with its alternatives, on this machine, in this run.

`bench.py [PART…]` runs all parts or the named ones (see PARTS), prints a table and writes
build/bench.json. BENCH_SECONDS and BENCH_REPETITIONS make it shorter or longer. Ratios are pgfanout
÷ alternative, "ours" and "theirs" in the code. "wanted" is the target; rows without one are there
for comparison.
"""
import base64
import os
import random
import re
import statistics
import sys
import threading
import time
import uuid

import any_table
import hung
import lab
import native
import node_peer
import report
import resources
import rest_peer
from lab import (DATABASE, HERE, HOST, REPETITIONS, SCALE, SECONDS, Lab, PSQL, best_clients, interleave, medians, pgbench, shell, timed,
                 until_there, wait_until, wrk)
from tables import PRODUCTS

MILLION = int(1_000_000 * SCALE)
HUNDRED_THOUSAND = int(100_000 * SCALE)


class Results:
    def __init__(self):
        self.rows = []
        self.part = None  # the one that runs

    def add(self, number, work, unit, ours, theirs, ratio, wanted, met, note=""):
        self.rows.append({"part": self.part, "number": number, "work": work, "unit": unit, "ours": ours, "theirs": theirs, "ratio": ratio,
                          "wanted": wanted, "met": None if met is None else bool(met), "note": note})
        print(line(self.rows[-1]), flush=True)

    def compare(self, number, work, unit, pair, wanted, note=""):
        if not wanted:
            self.add(number, work, unit, pair["ours"], pair["theirs"], pair["ratio"], "", None, note)
            return
        sign, limit = wanted.split()
        met = pair["ratio"] >= float(limit) if sign == "≥" else pair["ratio"] <= float(limit)
        self.add(number, work, unit, pair["ours"], pair["theirs"], pair["ratio"], wanted + " ×", met, note)


def line(r):
    return (f"{r['number']:>3}  {r['work']:<58} {report.figure(r['ours']):>11} {report.figure(r['theirs']):>11} {r['unit']:<8} "
            f"{report.ratio(r):>8} {r['wanted']:>9}  {report.verdict(r)} {r['note']}")


def reads(l, results):
    l.fill(100_000)
    env = l.product_paths(100_000)
    with l.running("pgfanout-api", "pgfanout-consumer"):
        clients = best_clients(l.replicas[0], "read_one.sql", 2)
        pair = interleave(REPETITIONS, lambda: wrk(l.base, "read.lua", 64, SECONDS, env=env),
                          lambda: pgbench(l.replicas[0], "read_one.sql", clients, SECONDS))
    results.compare(1, "GET one of 100,000, 64 connections / pgbench SELECT", "1/s", pair, "≥ 1.0", f"pgbench -c {clients}")


def pages(l, results):
    l.fill(100_000)
    cursors = [base64.urlsafe_b64encode(uuid.UUID(i).bytes).decode().rstrip("=") for i in l.ids(100_000)]
    env = l.paths("/api/products?limit=50&cursor=", cursors)
    with l.running("pgfanout-api", "pgfanout-consumer"):
        clients = best_clients(l.replicas[0], "read_page.sql", 2)
        pair = interleave(REPETITIONS, lambda: wrk(l.base, "read.lua", 64, SECONDS, env=env),
                          lambda: pgbench(l.replicas[0], "read_page.sql", clients, SECONDS))
    results.compare(2, "GET ?limit=50 / pgbench json_agg of the page", "1/s", pair, "≥ 1.0", f"pgbench -c {clients}")


def full_list(l, results):
    l.fill(MILLION)
    with l.running("pgfanout-api", "pgfanout-consumer"):
        def ours():
            return MILLION / timed(shell, f"curl -sf {l.base}/api/products | tail -c 100 | grep -q success")

        def theirs():
            query = "copy (select id, name, price, stock, created_at, updated_at from products order by id) to stdout"
            return MILLION / timed(shell, f"{PSQL} -d {l.replicas[0].url()} -c '{query}' > /dev/null")
        pair = interleave(REPETITIONS, ours, theirs)
        rss = l.rss_kb("pgfanout-api")
    results.compare(3, f"list of {MILLION:,} streamed / psql copy to stdout", "rows/s", pair, "≥ 0.5", f"API {rss / 1024:.0f} MB")


def writes(l, results):
    """Relay, broker, consumer and replicas work at the same time, on the same cores."""
    l.fill(HUNDRED_THOUSAND)
    l.primary.psql("drop table if exists products_plain; create table products_plain (like products including all); "
                   "insert into products_plain select * from products")
    clients = best_clients(l.primary, "insert_plain.sql", 2)
    with l.running("pgfanout-api", "pgfanout-consumer"):
        def ours():
            rate = wrk(l.base, "write_one.lua", 64, SECONDS)
            l.wait_drained()
            return rate
        pair = interleave(REPETITIONS, ours, lambda: pgbench(l.primary, "insert_plain.sql", clients, SECONDS))
    results.compare(4, "POST, 64 connections, capture, all running / pgbench INSERT, bare table", "1/s", pair, "≥ 1.0",
                    f"pgbench -c {clients}; pgfanout includes relay, broker, consumer and replicas on the same cores")


def sustained(l, results):
    """Writes until both replicas have everything: the drain counts as part of the time."""
    l.fill(HUNDRED_THOUSAND)
    peer = native.Native(l, 0, PRODUCTS).subscribe()
    clients = best_clients(l.primary, "insert.sql", 2, db=native.DB)
    peer.wait_there(PRODUCTS)
    length = SECONDS * 2
    lags = []
    with l.running("pgfanout-api", "pgfanout-consumer"):
        def ours():
            with peer.away():
                rate, lag = until_there(lambda: wrk(l.base, "write_one.lua", 64, length), l.wait_drained)
            lags.append(lag)
            return rate

        def theirs():
            return until_there(lambda: pgbench(l.primary, "insert.sql", clients, length, db=native.DB), lambda: peer.wait_there(PRODUCTS))[0]
        pair = interleave(REPETITIONS, ours, theirs)
    results.compare(5, "POST until both replicas have all / pgbench + 2 logical subscriptions", "1/s", pair, "≥ 1.2",
                    f"all there {statistics.median(lags):.2f} s after the last write")


def drain(l, results):
    rows = int(200_000 * SCALE)
    l.fill(HUNDRED_THOUSAND)
    peer = native.Native(l, 0, PRODUCTS).subscribe()
    with l.running("pgfanout-api", "pgfanout-consumer"):
        pass  # declares the queues
    pair = native.compare_backlog(l, peer, PRODUCTS, "insert.sql", rows, REPETITIONS)
    results.compare(6, f"backlog of {rows:,} to 2 replicas / native logical replication", "rows/s", pair, "≥ 2.0",
                    "pgfanout timed from the start of the API")


def probe(l, db, seconds, rate=500):
    """Commit -> visible on both replicas, seconds: a list. One writer on the primary, one reader a
    replica on a held connection."""
    import psycopg2  # pylint: disable=import-outside-toplevel
    writer = psycopg2.connect(l.primary.url(db))
    writer.autocommit = True
    seen = [dict() for _ in l.replicas]
    stop = threading.Event()

    def watch(n):
        conn = psycopg2.connect(l.replicas[n].url(db))
        conn.autocommit = True
        with conn.cursor() as c:
            last = -1
            c.execute("prepare look as select stock from products where id = '00000000-0000-4000-8000-000000000000'")
            while not stop.is_set():
                c.execute("execute look")
                got = c.fetchone()
                now = time.monotonic()
                if got and got[0] != last:
                    for value in range(last + 1, got[0] + 1):
                        seen[n][value] = now
                    last = got[0]
                time.sleep(0.0002)
    threads = [threading.Thread(target=watch, args=(n,)) for n in range(len(l.replicas))]
    for t in threads:
        t.start()
    committed = {}
    with writer.cursor() as c:
        c.execute("insert into products (id, name, price, stock) values ('00000000-0000-4000-8000-000000000000', 'probe', 1, 0) "
                  "on conflict (id) do update set stock = 0")
        wait_until(lambda: all(0 in s for s in seen), 30, "the probe")
        begun = time.monotonic()
        for value in range(1, int(seconds * rate)):
            due = begun + value / rate
            time.sleep(max(0, due - time.monotonic()))
            c.execute("update products set stock = %s where id = '00000000-0000-4000-8000-000000000000'", (value,))
            committed[value] = time.monotonic()
        wait_until(lambda: all(value in s for s in seen), 30, "the probe's last value")
    stop.set()
    for t in threads:
        t.join()
    return sorted(max(s[v] for s in seen) - committed[v] for v in committed)


def latency(l, results):
    l.fill(HUNDRED_THOUSAND)
    peer = native.Native(l, 0, PRODUCTS).subscribe()
    both = {"p50": [], "p99": []}
    with l.running("pgfanout-api", "pgfanout-consumer"):
        for _ in range(REPETITIONS):
            with peer.away():
                mine = probe(l, DATABASE, SECONDS)
            other = probe(l, native.DB, SECONDS)
            for name, part in (("p50", 0.5), ("p99", 0.99)):
                both[name].append((mine[int(len(mine) * part)] * 1000, other[int(len(other) * part)] * 1000))
    for name, wanted in (("p50", "≤ 3"), ("p99", "≤ 5")):
        results.compare(7, f"commit to visible on both replicas at 500 writes/s, {name} / native logical replication", "ms",
                        medians(both[name], 0.05), wanted)


def reset(l, results):
    l.fill(MILLION, [l.primary])
    rss = []

    def ours():
        program = lab.Program([os.path.join(lab.BUILD, "reset-replicas"), "--yes", "--quiet"], l.env, "reset",
                              os.path.join(l.folder, "reset.log"))
        l.programs["reset"] = program
        begun = time.monotonic()
        while program.running():
            try:
                rss.append(l.rss_kb("reset"))
            except (OSError, AttributeError):
                pass
            time.sleep(0.02)
        taken = time.monotonic() - begun
        del l.programs["reset"]
        if program.popen.returncode:
            raise RuntimeError(program.log(20))
        return taken

    def theirs():
        for replica in l.replicas:
            replica.psql("drop table if exists products_pipe; create table products_pipe (like products including all)")
        columns = "(id, name, price, stock, created_at, updated_at)"
        pipes = " & ".join(f"{PSQL} -d {l.primary.url()} -c 'copy products {columns} to stdout' | "
                           f"{PSQL} -d {r.url()} -c 'copy products_pipe {columns} from stdin'" for r in l.replicas)
        return timed(shell, pipes + " & wait")
    pair = interleave(REPETITIONS, ours, theirs)
    results.compare(8, f"reset-replicas, {MILLION:,} rows, 2 replicas / two psql copy pipes", "s", pair, "≤ 1.2",
                    f"at most {max(rss) / 1024:.0f} MB")
    results.add(11, "memory of reset-replicas", "MB", max(rss) / 1024, None, None, "≤ 48", max(rss) <= 48 * 1024)


def imports(l, results):
    l.fill(0)
    path = os.path.join(l.folder, "products")
    rng = random.Random(1)
    with open(path + ".ndjson", "w", encoding="utf-8") as a, open(path + ".tsv", "w", encoding="utf-8") as b:
        for n in range(MILLION):
            key = f"{rng.getrandbits(128):032x}"
            key = f"{key[:8]}-{key[8:12]}-4{key[13:16]}-8{key[17:20]}-{key[20:]}"
            a.write(f'{{"id":"{key}","name":"Product number {n}","price":{n % 100000 / 100:.2f},"stock":{n % 500}}}\n')
            b.write(f"{key}\tProduct number {n}\t{n % 100000 / 100:.2f}\t{n % 500}\n")
    # capture on, publishing apart
    with l.running("pgfanout-api", RABBITMQ_URL=f"amqp://user:password@{HOST}:1"):
        def ours():
            l.primary.psql("truncate products, pgfanout.outbox")
            l.primary.psql("truncate pgfanout.outbox")
            return MILLION / timed(shell, f"curl -sf -T {path}.ndjson -X POST -H 'Content-Type: application/x-ndjson' "
                                          f"{l.base}/api/products/import | grep -q '\"created\":{MILLION}'")

        def theirs():
            l.primary.psql("truncate products")
            l.primary.psql("truncate pgfanout.outbox")
            return MILLION / timed(shell, f"{PSQL} -d {l.primary.url()} -c \"\\copy products (id, name, price, stock) from '{path}.tsv'\"")
        pair = interleave(REPETITIONS, ours, theirs)
    results.compare(9, f"import of {MILLION:,} NDJSON products / \\copy, capture on in both", "rows/s", pair, "≥ 0.7")
    l.primary.psql("truncate products; truncate pgfanout.outbox")


def memory(l, results):
    l.fill(100_000)
    env = l.product_paths(100_000)
    with l.running("pgfanout-api"):
        wrk(l.base, "read.lua", 1000, SECONDS, env=env)
        wrk(l.base, "write_one.lua", 1000, SECONDS)
        rss = l.rss_kb("pgfanout-api")
    results.add(11, "memory of the API, 1,000 keep-alive connections under load", "MB", rss / 1024, None, None, "≤ 48", rss <= 48 * 1024)
    with l.running("pgfanout-api", "pgfanout-consumer"):
        pass
    l.primary.psql(f"update products set stock = stock + 1 where stock >= 0; insert into products (id, name, price, stock) "
                   f"select gen_random_uuid(), 'backlog ' || n, 1, 1 from generate_series(1, {max(1, MILLION - 100_000)}) n")
    with l.running("pgfanout-api"):
        wait_until(l.forgotten, 300, "the backlog in the queues")
        with l.running("pgfanout-consumer"):
            l.wait_drained(600)
    most = l.peaks["pgfanout-consumer"]
    results.add(11, f"memory of the consumer, backlog of {MILLION:,}", "MB", most / 1024, None, None, "≤ 48", most <= 48 * 1024)


def replicas(results):
    """All numbers of replicas get the same write rate, one that the machine can sustain with the
    most of them, so that only the number differs."""
    numbers = (1, 2, 4, 8)
    pace = {"SCRIPT": os.path.join(HERE, "write_one.lua"), "PACE_MS": "8"}
    figures = {n: [] for n in numbers}

    def paced(l, seconds):
        wrk(l.base, "paced.lua", 64, seconds, env=pace)
        l.wait_drained()
        return int(l.primary.psql("select count(*) from products")), l.cpu(l.programs["pgfanout-api"].popen.pid)
    for _ in range(REPETITIONS):
        for n in numbers:
            with Lab(n) as l:
                l.fill(1000)
                with l.running("pgfanout-api", "pgfanout-consumer"):
                    rows, seconds = paced(l, 1)
                    more_rows, more_seconds = paced(l, SECONDS)
                    figures[n].append((more_seconds - seconds) / (more_rows - rows) * 1e6)
    for n in numbers[1:]:
        results.compare(12, f"API's CPU per write, relay included, {n} replicas / 1 replica", "us",
                        medians(list(zip(figures[n], figures[1]))), "≤ 1.1")


def cpu(l, results):
    l.fill(HUNDRED_THOUSAND)
    with l.running("pgfanout-api", "pgfanout-consumer"):
        wrk(l.base, "write_one.lua", 64, 1)
        l.wait_drained()
        pairs = []
        for _ in range(REPETITIONS):
            mine, postgres = l.program_cpu(), l.postgres_cpu()
            before = int(l.primary.psql("select count(*) from products"))
            wrk(l.base, "write_one.lua", 64, SECONDS)
            l.wait_drained()
            rows = int(l.primary.psql("select count(*) from products")) - before
            pairs.append(((l.program_cpu() - mine) / rows * 1e6, (l.postgres_cpu() - postgres) / rows * 1e6))
    results.compare(13, "CPU of API + consumer per replicated write / PostgreSQL's", "us", medians(pairs), "≤ 0.35")


def longtx(l, results):
    """How fast the relay publishes bursts of 50,000 changes, each committed at once: right after
    the transaction has begun, and after ten minutes of other writes. These leave dead records,
    which vacuum must keep and the relay must not read again."""
    minutes = float(os.environ.get("BENCH_LONG_MINUTES", "10"))
    burst = int(50_000 * SCALE)
    l.fill(HUNDRED_THOUSAND)
    import psycopg2  # pylint: disable=import-outside-toplevel
    held, writer = psycopg2.connect(l.primary.url()), psycopg2.connect(l.primary.url())

    def confirmed():
        metrics = lab.get(l.base + "/metrics").decode()
        return float(re.search(r'^pgfanout_api_relay_confirmed_total\{stream="products"\} (\S+)', metrics, re.M).group(1))

    def carried(bursts=15):
        rates = []
        for _ in range(bursts):
            with writer.cursor() as c:
                c.execute("update products set stock = stock + 1 where id in (select md5(n::text)::uuid from generate_series(1, %s) n)", (burst,))
            before, begun = confirmed(), time.monotonic()
            writer.commit()
            wait_until(lambda: confirmed() - before >= burst, 60, "the burst", 0.005)
            rates.append(burst / (time.monotonic() - begun))
        return statistics.median(rates)
    with l.running("pgfanout-api", "pgfanout-consumer"):
        pass  # declares the queues
    # the bursts wait in the queues: nothing else runs beside the relay
    with l.running("pgfanout-api"):
        carried(3)
        with l.running("pgfanout-consumer"):
            l.wait_drained()
        with held.cursor() as c:
            c.execute("set transaction isolation level repeatable read")
            c.execute("insert into products (id, name, price, stock) values (gen_random_uuid(), 'held open', 1, 1)")
        first = carried()
        with l.running("pgfanout-consumer"):
            pgbench(l.primary, "insert.sql", 16, minutes * 60, rate=2000)
            l.wait_drained()
        last = carried()
    held.rollback()
    results.compare(14, f"relay's throughput, transaction open for {minutes:g} minutes: end / start", "1/s", medians([(last, first)]), "≥ 0.9",
                    f"bursts of {burst:,}, 2,000 writes/s in between")


def node(l, results):
    node_peer.node(l, results, HUNDRED_THOUSAND, l.product_paths(HUNDRED_THOUSAND), SECONDS, REPETITIONS)


PARTS = {"reads": reads, "pages": pages, "list": full_list, "writes": writes, "sustained": sustained, "drain": drain,
         "latency": latency, "reset": reset, "import": imports, "node": node, "memory": memory, "cpu": cpu, "longtx": longtx,
         "replicas": replicas, "hung": hung.hung, "backlog": any_table.backlog, "tpcb": any_table.tpcb, "capture": any_table.capture,
         "load": any_table.load, "many": any_table.many, "rows": resources.reads, "row-writes": resources.writes,
         "row-list": resources.full_list, "rows-node": rest_peer.node, "rows-postgrest": rest_peer.postgrest}
OWN_SERVERS = ("replicas", "many")  # parts that start their servers themselves


def main():
    names = sys.argv[1:] or list(PARTS)
    for name in names:
        if name not in PARTS:
            sys.exit(f"no part {name}: one of {', '.join(PARTS)}")
    results, where = Results(), report.machine()
    print("  ".join(f"{k}: {v}" for k, v in where.items()))
    print(f"{'#':>3}  {'pgfanout / alternative':<58} {'pgfanout':>11} {'alternative':>11} {'':<8} {'ratio':>8} {'target':>9}")
    failed = []
    for name in names:
        results.part = name
        try:
            if name in OWN_SERVERS:
                PARTS[name](results)
            else:
                with Lab() as l:
                    PARTS[name](l, results)
        except Exception as e:  # pylint: disable=broad-except
            failed.append(name)
            print(f"  -  {name}: {e}", flush=True)
    report.save({"machine": where, "seconds": SECONDS, "repetitions": REPETITIONS, "scale": SCALE}, names, results.rows, failed)
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
