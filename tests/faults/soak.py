"""make soak: random faults, alone and in pairs, one round after another for SOAK_MINUTES (10).

The environment variables are those of the suite (conftest.py): SEED, FAULTS. Every round is a line;
the first one that fails ends the run with the programs' logs and code 1.

Two more programs, an API and a consumer, run from the first round to the last. No fault is aimed at
them, but they meet the faults of all servers, and what the deaths of other programs cause. After
each round their memory, descriptors and threads are measured: none may grow with time.
"""
import os
import pathlib
import random
import re
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
MEMORY_MB, GROWS_MB = 48, 6  # at most; and in the last third more than in the first
GROWS = 8  # descriptors: clients and connections come and go


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


class Witness:
    """A program that lives as long as the soak, and what it was seen to use."""

    def __init__(self, program):
        self.program, self.seen = program, []

    def look(self):
        """(megabytes, descriptors, threads)."""
        assert self.program.running(), f"{self.program.name} ended:\n{self.program.log(40)}"
        proc = pathlib.Path("/proc", str(self.program.pid))
        memory = re.search(r"VmRSS:\s+(\d+)", (proc / "status").read_text(encoding="utf-8"))
        self.seen.append((int(memory.group(1)) / 1024, len(os.listdir(proc / "fd")),
                          len(os.listdir(proc / "task"))))
        return "{:.0f}MB,{}fds,{}threads".format(*self.seen[-1])

    def judge(self):
        """The most of the first third of the rounds, and of the last."""
        third = max(1, len(self.seen) // 3)
        first, last = (tuple(map(max, zip(*part))) for part in (self.seen[:third], self.seen[-third:]))
        print(f"soak: {self.program.name}: {first} in the first third, {last} in the last: "
              "megabytes, descriptors, threads", flush=True)
        assert last[0] <= MEMORY_MB and last[0] <= first[0] + GROWS_MB, "memory grows"
        assert last[1] <= first[1] + GROWS, "descriptors leak"
        assert last[2] <= first[2], "threads leak"


def choose(rng, names):
    """One fault, or every other time two."""
    two = pair(rng, names) if rng.random() < 0.5 and len(names) > 1 else None
    return two or (FAULTS[rng.choice(sorted(names))],)


def rounds(arena, rng, until):
    """Rounds until it is time; returns how many there were."""
    api = arena.stack.start_api(PORT=arena.stack.port(), **arena.settings)
    consumer = arena.stack.start_consumer(CONSUMER_PORT=arena.stack.port(), **arena.settings)
    host, port = api.base.removeprefix("http://").split(":")
    arena.others.append((host, int(port)))
    witnesses, number = [Witness(api), Witness(consumer)], 0
    while time.monotonic() < until:
        number += 1
        faults = choose(rng, selected())
        result = arena.new_result(faults, f"{SEED}.{number}")
        try:
            arena.round(faults, result)
        finally:
            print(result, *(w.look() for w in witnesses), flush=True)
    for witness in witnesses:
        witness.judge()
    return number


def main():
    servers, folders = Servers(), Folders()
    arenas, failed, number = Arenas(servers, folders), False, 0
    print(f"soak: {MINUTES:g} minutes, SEED={SEED}", flush=True)
    try:
        start_all(servers.all)
        number = rounds(arenas.get(True), random.Random(f"{SEED}:soak"),
                        time.monotonic() + 60 * MINUTES)
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
    print("soak: one failed" if failed else f"soak: {number} rounds, all in order", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
