"""make test-positions: the load for POSITIONS_MINUTES (10), one fault after another, then the measurement.

SEED repeats the order and the lengths of the faults. With --forget-position the clients send no positions, to
see what is stale without them. Prints what the short form prints, also into positions.txt in the build folder,
and what was wrong with all details; code 1 if anything was.
"""
import os
import pathlib
import random
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))

# pylint: disable=wrong-import-position
from harness.servers import discard_all, remove_folder, start_all
from integration.conftest import BUILD, Servers, Stack
from positions.field import FAULTS, REPLICAS, Field, load_line, measure, run_fault, wrong_in

MINUTES = float(os.environ.get("POSITIONS_MINUTES") or 10)
SEED = int(os.environ.get("SEED") or random.SystemRandom().randrange(10**6))
HOLD, BETWEEN = (3, 8), 2  # seconds
MEASURED = min(60, 6 * MINUTES)  # seconds of it


def tell(text):
    print(text, flush=True)
    with open(os.path.join(BUILD, "positions.txt"), "a", encoding="utf-8") as f:
        f.write(f"{text}\n")


def faults(field, rng, until):
    """All faults in one order after another."""
    while True:
        for name in rng.sample(sorted(FAULTS), len(FAULTS)):
            if time.monotonic() >= until:
                return
            began = time.monotonic()
            run_fault(field, name, rng, lambda: time.sleep(rng.uniform(*HOLD)))
            stale, failed = wrong_in(field.client.tell("count"))
            print(f"fault={name} seconds={time.monotonic() - began:.1f} stale={stale} failed={failed}", flush=True)
            time.sleep(BETWEEN)


def run(field):
    began = time.monotonic()
    field.client.tell("load 0 0.06")
    faults(field, random.Random(SEED), began + 60 * MINUTES - MEASURED)
    field.client.tell("pause")
    field.stack.wait_converged(120, REPLICAS)
    measured = measure(field, lambda: time.sleep(MEASURED))
    tell(f"{load_line(field.client.tell('count'), (time.monotonic() - began) / 60)} seed={SEED}")
    tell(measured)


def main():
    servers, folder = Servers(len(REPLICAS)), tempfile.mkdtemp(prefix="pgfanout-positions-")
    stack, field, failed = None, None, True
    os.chmod(folder, 0o755)
    print(f"positions: {MINUTES:g} minutes, SEED={SEED}", flush=True)
    try:
        start_all(servers.all)
        stack = Stack(servers, pathlib.Path(folder))
        stack.migrate()
        field = Field(stack, SEED, "--forget-position" in sys.argv[1:])
        run(field)
        failed = any(wrong_in(field.client.tell("count")))
        stack.close()
    finally:
        if failed:
            if field:
                print(field.client.log(), file=sys.stderr)
            for title, text in stack.logs(30) if stack else []:
                print(f"---- {title}\n{text}", file=sys.stderr)
        discard_all(servers.all)
        remove_folder(servers.folder)
        remove_folder(folder)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
