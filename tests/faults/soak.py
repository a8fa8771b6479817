"""make soak: random faults, alone and in pairs, one round after another for SOAK_MINUTES (10).

The environment variables are those of the suite (conftest.py): SEED, FAULTS. Every round is a line;
the first one that fails ends the run with the programs' logs and code 1. All rounds share one arena, in which an API and a consumer
live from the beginning to the end: they must not grow (Vitals).
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


class Vitals:
    """What the veterans use after each round, at rest: memory, descriptors, threads. It must not grow: after the first rounds
    threads stay as many as they were, and nothing else ever doubles."""

    learning = 10  # rounds

    def __init__(self):
        self.rounds, self.most, self.now = 0, {}, {}

    @staticmethod
    def of(program):
        with open(f"/proc/{program.pid}/status", encoding="ascii", errors="replace") as f:
            fields = dict(line.split(":", 1) for line in f if ":" in line)
        return {"memory_mb": int(fields["VmRSS"].split()[0]) // 1024, "threads": int(fields["Threads"]),
                "descriptors": len(os.listdir(f"/proc/{program.pid}/fd"))}

    def look(self, programs):
        """Text for the round's line; AssertionError where something grows."""
        self.rounds += 1
        self.now = {(p.name, what): n for p in programs for what, n in self.of(p).items()}
        for (name, what), n in self.now.items():
            most = self.most.setdefault((name, what), n)
            limit = most if what == "threads" else 2 * most
            assert self.rounds <= self.learning or n <= limit, f"{name}: {n} {what}, {most} at first"
            if self.rounds <= self.learning:
                self.most[name, what] = max(n, most)
        return " ".join(f"{what}={','.join(str(n) for (_, w), n in self.now.items() if w == what)}"
                        for what in ("memory_mb", "descriptors", "threads"))


def choose(rng, names):
    """One fault, or every other time two."""
    two = pair(rng, names) if rng.random() < 0.5 and len(names) > 1 else None
    return two or (FAULTS[rng.choice(sorted(names))],)


def rounds(arenas, rng, until):
    """One round after another; returns how many there were."""
    names, vitals, number = selected(), Vitals(), 0
    while time.monotonic() < until:
        number += 1
        faults = choose(rng, names)
        arena = arenas.get(True)
        result, used = arena.new_result(faults, f"{SEED}.{number}"), "-"
        try:
            arena.round(faults, result)
            used = vitals.look([*arena.veteran_apis, *arena.veteran_consumers])
        finally:
            print(f"{result} {used}", flush=True)
    return number


def main():
    servers, folders = Servers(), Folders()
    arenas, failed, number = Arenas(servers, folders, veterans=True), False, 0
    print(f"soak: {MINUTES:g} minutes, SEED={SEED}", flush=True)
    try:
        start_all(servers.all)
        number = rounds(arenas, random.Random(f"{SEED}:soak"), time.monotonic() + 60 * MINUTES)
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
    print("soak: a round failed" if failed else f"soak: {number} rounds, all in order", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
