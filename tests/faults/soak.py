"""make soak: random faults, alone and in pairs, one round after another for SOAK_MINUTES (10).

The environment variables are those of the suite (conftest.py): SEED, FAULTS. Every round is a line;
the first one that fails ends the run with the programs' logs and code 1. Two arenas take turns every
few minutes, because only one of them has the wires that network faults need.
"""
import os
import pathlib
import random
import sys
import tempfile
import time
import traceback

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))

# pylint: disable=wrong-import-position
from faults.conftest import SEED, Arenas, selected
from faults.faults import FAULTS, pair
from harness.servers import discard_all, remove_folder, start_all
from integration.conftest import Servers

MINUTES = float(os.environ.get("SOAK_MINUTES") or 10)
STRETCH_S = 180  # before the other arena takes its turn


class Folders:
    """What pytest's tmp_path_factory is to the tests."""

    def __init__(self):
        self.root = tempfile.mkdtemp(prefix="pgfanout-soak-")
        os.chmod(self.root, 0o755)
        self.number = 0

    def mktemp(self, name):
        self.number += 1
        path = pathlib.Path(self.root, f"{name}-{self.number}")
        path.mkdir()
        return path


def resident_mb(program):
    with open(f"/proc/{program.pid}/status") as f:
        return next(int(line.split()[1]) // 1024 for line in f if line.startswith("VmRSS"))


def choose(rng, names):
    """One fault, or every other time two."""
    two = pair(rng, names) if rng.random() < 0.5 and len(names) > 1 else None
    return two or (FAULTS[rng.choice(sorted(names))],)


def stretch(arenas, rng, wired, number, until):
    """Rounds in one arena; returns the number of the next one."""
    names = [n for n in selected() if FAULTS[n].wired == wired]
    if not wired or len(names) > 1:
        names += [n for n in selected() if wired and not FAULTS[n].wired]
    while names and time.monotonic() < until:
        faults = choose(rng, names)
        arena = arenas.get(wired)
        result = arena.new_result(faults, f"{SEED}.{number}")
        number += 1
        try:
            arena.round(faults, result)
        finally:
            memory = ",".join(f"{resident_mb(p)}" for p in (*arena.apis, *arena.consumers)
                              if p.running())
            print(f"{result} memory_mb={memory}", flush=True)
    return number


def main():
    servers, folders = Servers(), Folders()
    arenas, failed = Arenas(servers, folders), False
    rng, number, wired = random.Random(f"{SEED}:soak"), 1, False
    print(f"soak: {MINUTES:g} minutes, SEED={SEED}", flush=True)
    try:
        start_all(servers.all)
        end = time.monotonic() + 60 * MINUTES
        while time.monotonic() < end:
            number = stretch(arenas, rng, wired, number, min(end, time.monotonic() + STRETCH_S))
            wired = not wired
        arenas.close()
    except Exception:  # pylint: disable=broad-except
        failed = True
        traceback.print_exc()
        for title, text in arenas.stack.logs() if arenas.stack else []:
            print(f"---- {title}\n{text}", file=sys.stderr)
    finally:
        discard_all(servers.all)
        remove_folder(servers.folder)
        remove_folder(folders.root)
    print(f"soak: {number - 1} rounds, {'one failed' if failed else 'all in order'}", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
