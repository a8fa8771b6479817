"""The results of the bench: build/bench.json, and the tables made from it in docs/benchmarks.md and
README.md.

bench.json holds the newest rows of every part. A run of some parts replaces those and keeps the
others, as long as machine, versions and settings are the same; otherwise it starts with an empty
file. `report.py` writes the tables into the pages, between the two marks there, and refuses to do
so unless all parts were measured in full.
"""
import contextlib
import datetime
import glob
import json
import os
import platform
import re
import shutil
import subprocess
import sys

import lab

PARTS = range(1, 26)  # the numbers of the rows
FILE = os.path.join(lab.BUILD, "bench.json")
IN_SHORT = (1, 2, 5, 6, 7, 8, 9, 10, 15, 16, 18, 24, 25)  # compared with what people would use instead
MARKS = ("<!-- results: written by make bench-docs -->\n", "<!-- end of results -->\n")


# ---- the machine ----

def first_match(pattern, path):
    with contextlib.suppress(OSError), open(path, encoding="utf-8") as f:
        found = re.search(pattern, f.read())
        return found.group(1) if found else None


def version_of(*argv):
    """The first number with a dot in what a program says, or None where there is no such
    program."""
    if not shutil.which(argv[0]):
        return None
    found = re.search(r"\d+\.[\d.]*\d", subprocess.run(argv, capture_output=True, text=True, check=False).stdout)
    return found.group(0) if found else None


def machine():
    rabbitmq = [os.path.basename(p).rsplit("-", 1)[1] for p in glob.glob("/usr/lib/rabbitmq/lib/rabbitmq_server-*")]
    return {"cpu": first_match(r"model name\s*: (.*)", "/proc/cpuinfo") or platform.machine(), "cores": os.cpu_count(),
            "memory_gb": round(int(first_match(r"MemTotal:\s+(\d+)", "/proc/meminfo") or 0) / 2**20), "kernel": platform.release(),
            "pgfanout": first_match(r"(\S+)", os.path.join(lab.ROOT, "VERSION")),
            "postgresql": version_of(os.path.join(lab.postgres_bin(), "postgres"), "--version"),
            "rabbitmq": rabbitmq[-1] if rabbitmq else None, "node": version_of("node", "--version")}


# ---- the file ----

def save(settings, parts, rows, failed):
    """Rows with the same settings may stand in one table. parts: those that ran; failed: those of
    them that ended early."""
    kept, kept_failed = [], []
    with contextlib.suppress(OSError, ValueError, KeyError), open(FILE, encoding="utf-8") as f:
        old = json.load(f)
        if old["settings"] == settings:
            kept = [r for r in old["results"] if r["part"] not in parts]
            kept_failed = [p for p in old["failed"] if p not in parts]
    today = datetime.date.today().isoformat()
    rows = kept + [{**r, "date": today} for r in rows]
    # those without a number last
    rows.sort(key=lambda r: (not isinstance(r["number"], int), str(r["number"]).zfill(2)))
    os.makedirs(lab.BUILD, exist_ok=True)
    with open(FILE, "w", encoding="utf-8") as f:
        json.dump({"settings": settings, "results": rows, "failed": kept_failed + failed}, f, indent=1)
        f.write("\n")


# ---- the page ----

def figure(v):
    return "-" if v is None else f"{v:,.0f}" if abs(v) >= 100 else f"{v:.3g}"


def ratio(row):
    return "-" if row["ratio"] is None else f"{row['ratio']:.2f} ×"


def verdict(row):
    return "" if row["met"] is None else "met" if row["met"] else "NOT MET"


def table(bench):
    settings, rows = bench["settings"], bench["results"]
    where = settings["machine"]
    days = sorted({r["date"] for r in rows})
    yield f"| machine | {where['cpu']}, {where['cores']} cores, {where['memory_gb']} GB |"
    yield "|---|---|"
    yield f"| kernel | Linux {where['kernel']} |"
    yield f"| versions | pgfanout {where['pgfanout']}, PostgreSQL {where['postgresql']}, RabbitMQ {where['rabbitmq']}, Node {where['node']} |"
    yield f"| measured | {' to '.join(dict.fromkeys((days[0], days[-1])))}, {settings['repetitions']} times each, {settings['seconds']} s at a time |"
    yield ""
    yield "| # | pgfanout / alternative | pgfanout | alternative | unit | pgfanout ÷ alternative | target | met | note |"
    yield "|---:|---|---:|---:|---|---:|---:|---|---|"
    for r in rows:
        yield (f"| {r['number']} | {r['work']} | {figure(r['ours'])} | {figure(r['theirs'])} | {r['unit']} | {ratio(r)} | {r['wanted']} "
               f"| {verdict(r)} | {r['note']} |")


def short(bench):
    where = bench["settings"]["machine"]
    yield f"| on {where['cores']} cores ({where['cpu']}) shared by all processes | pgfanout | alternative | | pgfanout ÷ alternative |"
    yield "|---|---:|---|---:|---:|"
    for r in bench["results"]:
        if r["number"] in IN_SHORT and r["wanted"]:
            ours, theirs = r["work"].split(" / ", 1)
            yield f"| {ours} | {figure(r['ours'])} {r['unit']} | {theirs} | {figure(r['theirs'])} {r['unit']} | {ratio(r)} |"


PAGES = {os.path.join(lab.ROOT, "docs", "benchmarks.md"): table, os.path.join(lab.ROOT, "README.md"): short}


def why_not(bench):
    """The reason why the results are not complete, or None."""
    missing = sorted(set(PARTS) - {r["number"] for r in bench["results"]})
    if bench["failed"]:
        return f"failed: {', '.join(bench['failed'])}"
    if missing:
        return f"not measured: {', '.join(map(str, missing))}"
    if bench["settings"]["scale"] != 1:
        return f"measured with BENCH_SCALE={bench['settings']['scale']:g}, not with full tables"
    return None


def publish():
    try:
        with open(FILE, encoding="utf-8") as f:
            bench = json.load(f)
    except OSError as e:
        sys.exit(f"bench-docs: run make bench first: {e}")
    reason = why_not(bench)
    if reason:
        sys.exit(f"bench-docs: {FILE} is no full run: {reason}")
    for path, lines in PAGES.items():
        with open(path, encoding="utf-8") as f:
            before, _, rest = f.read().partition(MARKS[0])
        _, end, after = rest.partition(MARKS[1])
        if not end:
            sys.exit(f"bench-docs: the marks are missing in {path}")
        with open(path, "w", encoding="utf-8") as f:
            f.write(before + MARKS[0] + "\n".join(lines(bench)) + "\n" + end + after)


if __name__ == "__main__":
    publish()
