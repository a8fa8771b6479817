"""make test-failovers: FAILOVERS (100) one after another, each at a random moment under load.

SEED repeats the moments, and what else happens at each; only the interleaving of threads differs. Prints a line
for each, and at the end what the short form prints, also into failovers.txt in the build folder; code 1 if
anything was wrong. That writes are accepted again in time counts here too.
"""
import os
import pathlib
import random
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))

# pylint: disable=wrong-import-position
from failovers.field import ACCEPTED_WITHIN, Field, Round
from failovers.pair import PairServers
from harness.servers import remove_folder
from integration.conftest import BUILD, Stack

FAILOVERS = int(os.environ.get("FAILOVERS") or 100)
SEED = int(os.environ.get("SEED") or random.SystemRandom().randrange(10**6))


def tell(text):
    print(text, flush=True)
    with open(os.path.join(BUILD, "failovers.txt"), "a", encoding="utf-8") as f:
        f.write(f"{text}\n")


def run(field):
    """Returns what is wrong, as texts."""
    rng = random.Random(SEED)
    for number in range(1, FAILOVERS + 1):
        what = Round.random(rng)
        took = field.fail_over(what)
        print(f"failover={number} {what} accept_ms={1000 * took:.0f} acknowledged={field.ledger.acked} "
              f"lost={len(field.ledger.lost)} stepped_back={field.findings.stepped_back}", flush=True)
    wrong = field.finish()
    late = [f"{s:.1f}" for s in field.accepted if s > ACCEPTED_WITHIN]
    if late:
        wrong.append(f"{len(late)} times writes were not accepted within {ACCEPTED_WITHIN} s, but in {', '.join(late)}")
    tell(f"{field.line()} seed={SEED}")
    return wrong


def main():
    servers, folder = PairServers(), tempfile.mkdtemp(prefix="pgfanout-failovers-")
    stack, failed = None, True
    os.chmod(folder, 0o755)
    print(f"failovers: {FAILOVERS}, SEED={SEED}", flush=True)
    try:
        servers.start()
        stack = Stack(servers, pathlib.Path(folder))
        wrong = run(Field(stack, SEED))
        print("\n".join(wrong[:50]), end="\n" if wrong else "", file=sys.stderr)
        stack.close()
        failed = bool(wrong)
    finally:
        for title, text in stack.logs(40) if failed and stack else []:
            print(f"---- {title}\n{text}", file=sys.stderr)
        servers.discard()
        remove_folder(folder)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
