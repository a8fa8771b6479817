"""Fixtures of the fault suite: servers for the session, and an arena that many rounds share.

Settings come from the environment, as make passes them:
  FAULTS_FORM  short (default) or long
  SEED         a number; without it one is drawn, and every round's line shows it
  FAULTS       patterns separated by commas, for example "replica-*,api-kill9"; a pair is "one+two"
  ROUNDS       how often each fault runs, and how many times as many pairs the seed draws
The long form also runs each fault while reset-replicas runs again and again.
An arena in which a round failed is not used again: the next round gets a new one.
"""
import fnmatch
import os
import random
import sys

import pytest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))

# pylint: disable=wrong-import-position,unused-import
from faults.arena import Arena
from faults.faults import FAULTS, pair
from integration.conftest import (LIVE, Stack, line_teller, pytest_runtest_makereport, stack,  # noqa: F401
                                  stack_servers)

FORM = os.environ.get("FAULTS_FORM") or "short"
SEED = int(os.environ.get("SEED") or random.SystemRandom().randrange(10**6))
ROUNDS = int(os.environ.get("ROUNDS") or 1)
PATTERNS = [p.strip() for p in (os.environ.get("FAULTS") or "*").split(",")]
PAIRS = {"short": 3, "long": 10}  # of a round, drawn by the seed

# What the short form has no time for: the programs meet both replicas in the same way, a torn
# connection is a cut one too, and all links are slow at once.
SHORT_LEAVES_OUT = ("replica-2-*", "*-cut", "api-*-slow", "consumer-*-slow", "reset-*-slow", "client-*-slow")


def selected():
    """Names of single faults that run."""
    for pattern in PATTERNS:
        if "+" not in pattern and not fnmatch.filter(FAULTS, pattern):
            raise pytest.UsageError(f"FAULTS: no fault is named {pattern!r}")
    names = [n for n in FAULTS if any(fnmatch.fnmatch(n, p) for p in PATTERNS)]
    if FORM == "short" and PATTERNS == ["*"]:
        names = [n for n in names if not any(fnmatch.fnmatch(n, p) for p in SHORT_LEAVES_OUT)]
    return names


def beside_resets():
    """Each selected fault together with a reset, unless the two share a victim."""
    names = selected()
    return [f"{n}+resets" for n in names if "resets" in names and "reset" not in FAULTS[n].victims]


def cases():
    """(name, seed of the round) of everything that runs; wired faults last, they share an arena."""
    result = [(name, f"{SEED}{'' if n == 0 else f'.{n}'}") for n in range(ROUNDS)
              for name in selected()]
    result += [(p, f"{SEED}") for p in PATTERNS if "+" in p]
    if FORM == "long":
        result += [(p, f"{SEED}") for p in beside_resets()]
    if FORM == "long" and len(selected()) > 1 or PATTERNS == ["*"]:
        rng = random.Random(f"{SEED}:pairs")
        for n in range(ROUNDS * PAIRS[FORM]):
            two = pair(rng, selected())
            if two:
                result.append(("+".join(f.name for f in two), f"{SEED}.{n}"))
    return sorted(result, key=lambda case: any(FAULTS[n].wired for n in case[0].split("+")))


class Arenas:
    """Hands out the arena of a round; keeps one at a time."""

    def __init__(self, servers, folders):
        self.servers, self.folders = servers, folders
        self.arena = self.stack = None

    def get(self, wired):
        if self.arena and (self.arena.broken or self.arena.wired != wired):
            self.close()
        if not self.arena:
            self.stack = Stack(self.servers, self.folders.mktemp("arena"))
            LIVE.add(self.stack)
            self.stack.migrate()
            self.arena = Arena(self.stack, SEED, FORM, wired)
        return self.arena

    def close(self):
        """What a failed round left behind is not another finding."""
        arena, environment = self.arena, self.stack
        self.arena = self.stack = None
        if environment is None:
            return
        self.servers.ensure_up()
        try:
            if arena:
                arena.close()
            environment.close()
        except AssertionError:
            if not arena or not arena.broken:
                raise


@pytest.fixture(scope="session")
def arenas(stack_servers, tmp_path_factory):  # noqa: F811
    result = Arenas(stack_servers, tmp_path_factory)
    yield result
    result.close()


@pytest.fixture
def tell(request):
    return line_teller(request, "faults.txt", FORM)


class Teller:
    """Prints the line of a round when it has ended, also one that another process ran."""

    def __init__(self, reporter):
        self.reporter = reporter

    def pytest_runtest_logreport(self, report):
        if report.when == "call":
            for name, text in report.user_properties:
                if name == "line":
                    self.reporter.ensure_newline()
                    self.reporter.write_line(text)


@pytest.hookimpl(trylast=True)  # when there is a reporter
def pytest_configure(config):
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    if reporter and not hasattr(config, "workerinput"):
        config.pluginmanager.register(Teller(reporter))
