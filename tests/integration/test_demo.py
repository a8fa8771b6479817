"""make demo: who kills a part of it, to see what happens, sees it come back.

The demo starts servers of its own; its folder here is not the one of a demo that somebody runs.
"""
import os
import re
import shlex
import signal
import subprocess
import sys

import psycopg2
import pytest
import requests

from conftest import BUILD, SLOWNESS
from harness.servers import kill_tree, process_tree, wait_until

ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", ".."))
PROGRAMS = ("pgfanout-api", "pgfanout-consumer", "reset-replicas", "pgfanout-migrate")


def tree(demo):
    """pid -> command line of all that the demo runs."""
    lines = {}
    for pid in process_tree(demo.pid):
        try:
            with open(f"/proc/{pid}/cmdline") as f:
                lines[pid] = f.read().split("\0")
        except OSError:
            pass  # it ended meanwhile
    return lines


@pytest.fixture
def demo(tmp_path):
    build, output = tmp_path / "build", tmp_path / "output"
    build.mkdir()
    for name in PROGRAMS:
        (build / name).symlink_to(os.path.join(BUILD, name))
    with open(output, "wb") as f:
        process = subprocess.Popen([sys.executable, "-B", os.path.join(ROOT, "tests/demo/demo.py"), str(build)],
                                   cwd=ROOT, stdin=subprocess.DEVNULL, stdout=f, stderr=subprocess.STDOUT,
                                   env={k: v for k, v in os.environ.items() if k != "DEMO"})
    process.output = output.read_text

    def said(text):
        assert process.poll() is None, output.read_text()
        return text in output.read_text()

    process.wait_for = lambda text: wait_until(lambda: said(text), 60 * SLOWNESS, f"the demo to say {text!r}")
    try:
        process.wait_for("Running until Ctrl-C.")
        process.compared = output.read_text()
        with open(build / "demo/env") as f:
            words = shlex.split(f.read(), comments=True)
        process.settings = dict(word.partition("=")[::2] for word in words)
        yield process
    finally:
        if process.poll() is None:
            kill_tree(process.pid)
            process.wait(30)


def rows(url):
    with psycopg2.connect(url, connect_timeout=5) as conn, conn.cursor() as cursor:
        cursor.execute("select name from products where name like 'after %' order by name")
        return [name for name, in cursor.fetchall()]


def test_what_is_killed_comes_back(demo):
    # First that all was equal: products, and the related tables of a blog that the demo registers.
    assert re.search(r"^  All \d+ rows are equal on replica-1, replica-2 and standby-1\.$", demo.compared, re.M), demo.compared
    for table, count in (("User", 91), ("Category", 3), ("Post", 450), ("Comment", 1335)):
        for db in ("primary", "replica-1", "replica-2"):
            assert re.search(rf"^  {table} +{db} +{count} ", demo.compared, re.M), demo.compared
    api, written = requests.Session(), []
    api.trust_env = False
    victims = [("pgfanout-consumer", lambda line: "pgfanout-consumer" in line[0]),
               ("pgfanout-api", lambda line: "pgfanout-api" in line[0]),
               ("replica-1", lambda line: line[0].endswith("/postgres") and "/replica-1/" in line[-2])]
    for name, is_it in victims:
        [pid] = [pid for pid, line in tree(demo).items() if is_it(line)]
        os.kill(pid, signal.SIGKILL)
        demo.wait_for(f"{name} ended (SIGKILL): starting it again")
        wait_until(lambda: api.get(demo.settings["API"] + "/ready", timeout=5).status_code == 200,
                   30 * SLOWNESS, "the API to be ready")
        answer = api.post(demo.settings["API"] + "/api/products", timeout=30,
                          json={"name": f"after {name}", "price": 1, "stock": 1})
        assert answer.status_code == 201, answer.text
        written = sorted([*written, f"after {name}"])
        for replica in ("REPLICA_1_URL", "REPLICA_2_URL"):
            wait_until(lambda url=demo.settings[replica]: rows(url) == written, 60 * SLOWNESS,
                       f"{written} on {replica}")
    started = list(tree(demo))
    demo.send_signal(signal.SIGINT)
    assert demo.wait(60 * SLOWNESS) == 0, demo.output()
    wait_until(lambda: not [pid for pid in started if os.path.exists(f"/proc/{pid}")],
               20 * SLOWNESS, "all processes of the demo to be gone")
