"""Many clients of one resource, while other sessions lock its rows, alter its table, or servers go away.

Each request is answered; what was answered with 2xx is on the primary, once, and on the replicas in the end; while nothing
is down nothing fails.
"""
import http.client
import json
import os
import random
import threading
import time
import uuid

import psycopg2
import pytest
import requests
from conftest import SLOWNESS, wait_until
from test_resources import REPLICAS, register, wait_known, wait_loaded, wait_there

CLIENTS, SECONDS = 50, 4
HOT = 5  # rows that all write
OWN = 3  # rows of each client alone
FIRST_OWN = 1000
COLUMNS = "id, v, n"


def fds(program):
    return len(os.listdir(f"/proc/{program.pid}/fd"))


class Client(threading.Thread):
    """One that writes at random. `own` is what each of its rows must be: a text, None (no row), or a set of them
    where an outcome is not known."""

    def __init__(self, storm, number):
        super().__init__()
        self.storm, self.number = storm, number
        self.random = random.Random(storm.seed * 1000 + number)
        self.own = {FIRST_OWN + number * OWN + i: {"first"} for i in range(OWN)}
        self.made = {}  # ids of POST, and their texts
        self.answers = {}
        self.wrong = []

    def run(self):
        with requests.Session() as session:
            session.trust_env = False
            while not self.storm.stopping.is_set():
                try:
                    self.one(session)
                except Exception as e:  # pylint: disable=broad-except
                    self.wrong.append(repr(e))
                    return

    def one(self, session):
        method = self.random.choice(["POST", "PUT", "PATCH", "PATCH", "DELETE", "GET", "LIST"])
        text = f"{self.number}-{uuid.uuid4()}"
        hot = self.random.random() < 0.5
        key = self.random.randint(1, HOT) if hot else self.random.choice(list(self.own))
        body = {"v": text, "n": self.number} if method in ("POST", "PUT") else {"v": text} if method == "PATCH" else None
        path = {"POST": "/api/rows", "LIST": f"/api/rows?limit=20&id=gte.{key}"}.get(method, f"/api/rows/{key}")
        began = time.monotonic()
        answer = session.request("GET" if method == "LIST" else method, self.storm.stack.url(path), json=body, timeout=60 * SLOWNESS)
        seconds = time.monotonic() - began
        status = answer.status_code
        self.answers[(method, status)] = self.answers.get((method, status), 0) + 1
        if status >= 500 and (self.storm.quiet or status not in (503, 504)):
            self.wrong.append((method, path, status, answer.text))
        elif seconds > 15 * SLOWNESS:
            self.wrong.append((method, path, f"{seconds} s"))
        elif status not in (200, 201, 404, 503, 504):
            self.wrong.append((method, path, status, answer.text))
        self.note(method, None if hot else key, text, answer)

    def note(self, method, key, text, answer):
        if method in ("GET", "LIST"):
            return
        status = answer.status_code
        if method == "POST":
            if status == 201:
                self.made[answer.json()["data"]["id"]] = text
            return
        if status < 300 and method != "DELETE" and answer.json()["data"]["v"] != text:
            self.wrong.append(("another row's answer", method, text, answer.text))
        if key is None:
            return
        to = None if method == "DELETE" else text
        before = self.own[key]
        if status < 300:
            if method == "PATCH" and before == {None}:
                self.wrong.append(("changed what was not there", key, answer.text))
            self.own[key] = {to}
        elif status == 404:
            if None not in before:
                self.wrong.append(("not there", key, before))
            self.own[key] = {None}
        elif "nothing was changed" not in answer.text:
            self.own[key] = before | {to}


class Storm:
    def __init__(self, stack, quiet, seed=1):
        self.stack, self.quiet, self.seed = stack, quiet, seed
        self.stopping = threading.Event()
        self.clients = [Client(self, n) for n in range(CLIENTS)]

    def run(self, disturb):
        api = self.stack.apis[0]
        pid = api.pid
        for c in self.clients:
            c.start()
        try:
            disturb(time.monotonic() + SECONDS)
        finally:
            self.stopping.set()
            for c in self.clients:
                c.join(90 * SLOWNESS)
        assert not any(c.is_alive() for c in self.clients), "a request without an answer"
        wrong = [w for c in self.clients for w in c.wrong]
        assert not wrong, (len(wrong), wrong[:5])
        assert api.pid == pid and api.running()
        self.check_primary()

    def check_primary(self):
        rows = {i: (v, n) for i, v, n in self.stack.sql("primary", f"select {COLUMNS} from rows")}
        made = [i for c in self.clients for i in c.made]
        assert len(made) == len(set(made)), "two rows had one id"
        lost = [(i, v) for c in self.clients for i, v in c.made.items() if rows.get(i, (None,))[0] != v]
        assert not lost, (len(lost), lost[:5])
        wrong = [(i, expected, rows.get(i)) for c in self.clients for i, expected in c.own.items()
                 if rows.get(i, (None,))[0] not in expected]
        assert not wrong, (len(wrong), wrong[:5])
        total = {}
        for c in self.clients:
            for k, n in c.answers.items():
                total[k] = total.get(k, 0) + n
        print("answers:", dict(sorted(total.items())))
        assert sum(n for (m, s), n in total.items() if s < 300) > CLIENTS * 5 / SLOWNESS
        return total


def converged(stack):
    digest = f"select count(*), md5(string_agg(r::text, e'\\n')) from (select {COLUMNS} from rows order by id) r"
    wait_until(lambda: len({stack.sql(db, digest)[0] for db in ("primary", *REPLICAS)}) == 1, 60 * SLOWNESS, "equal replicas", 0.1)


@pytest.fixture
def rows(stack):
    stack.psql("primary", f"""CREATE TABLE rows (id integer PRIMARY KEY GENERATED BY DEFAULT AS IDENTITY (START 100000), v text NOT NULL, n integer);
        INSERT INTO rows (id, v) SELECT n, 'first' FROM generate_series(1, {HOT}) n;
        INSERT INTO rows (id, v) SELECT {FIRST_OWN} + n, 'first' FROM generate_series(0, {CLIENTS * OWN - 1}) n;""")
    stack.start_consumer()
    register(stack, "rows")
    stack.start_api(RESOURCES="rows", REQUEST_TIMEOUT_MS=14000)  # of slow machines too, nobody waits in vain
    wait_loaded(stack, "rows")
    wait_known(stack, "/api/rows?limit=1")
    wait_there(stack, "rows", f"id = {FIRST_OWN + CLIENTS * OWN - 1}")
    before = fds(stack.apis[0])
    yield stack
    # Connections to servers come and go; those of 50 clients would be seen.
    wait_until(lambda: fds(stack.apis[0]) <= before + 20, 30 * SLOWNESS, "descriptors to be closed", 0.1)
    log = stack.apis[0].log(10 ** 6)
    assert "fatal" not in log and "Sanitizer" not in log, log[-3000:]


def keys(random_, n):
    own = [FIRST_OWN + i for i in range(CLIENTS * OWN)]
    return sorted(random_.sample(list(range(1, HOT + 1)) + own, n))


def test_rows_that_others_lock(rows):
    """Row locks for some hundredths of a second each, of hot rows and of others."""
    def disturb(until):
        with_ = random.Random(1)
        conn = rows.connect()
        while time.monotonic() < until:
            with conn.cursor() as cursor:
                cursor.execute("select from rows where id = any(%s) order by id for update", (keys(with_, 30),))
                time.sleep(with_.random() / 10)
            conn.rollback()
            time.sleep(0.02)
    Storm(rows, quiet=True).run(disturb)
    converged(rows)


def test_others_that_deadlock(rows):
    """Sessions that lock rows in an order of their own, and meet the API's and each other's."""
    def disturb(until):
        def other(seed):
            with_ = random.Random(seed)
            conn = rows.connect()
            while time.monotonic() < until:
                some = keys(with_, 6)
                with_.shuffle(some)
                try:
                    with conn.cursor() as cursor:
                        cursor.execute("set local deadlock_timeout = '20ms'")
                        for key in some:
                            cursor.execute("update rows set n = -1 where id = %s", (key,))
                except psycopg2.errors.DeadlockDetected:
                    pass
                conn.rollback()
        others = [threading.Thread(target=other, args=(n,)) for n in range(3)]
        for t in others:
            t.start()
        for t in others:
            t.join()
    Storm(rows, quiet=True).run(disturb)
    converged(rows)


def test_a_table_that_is_altered(rows):
    """A column comes, gets another name, and goes, five times a second: no request fails."""
    def disturb(until):
        n = 0
        while time.monotonic() < until:
            for ddl in ("ADD COLUMN more text DEFAULT 'x'", "RENAME COLUMN more TO less", "DROP COLUMN less"):
                rows.sql("primary", f"ALTER TABLE rows {ddl}")
                n += 1
                time.sleep(0.2)
        assert n >= 6
    Storm(rows, quiet=True).run(disturb)
    converged(rows)


def test_an_altered_table_and_one_writer(rows):
    """Nor does one that writes the very moment after: it is read again against what the table is now."""
    seen = set()
    for n in range(10):
        rows.sql("primary", f"ALTER TABLE rows {'ADD COLUMN more text' if n % 2 == 0 else 'DROP COLUMN more'}")
        answers = [rows.post("/api/rows", json={"v": "x"}), rows.patch("/api/rows/1", json={"v": "x"}), rows.put("/api/rows/2", json={"v": "x"}),
                   rows.delete(f"/api/rows/{FIRST_OWN + n}")]
        assert [a.status_code for a in answers] == [201, 200, 200, 200], [a.text for a in answers]
        seen |= {"more" in a.json()["data"] for a in answers[:3]}
        assert ("more" in answers[0].json()["data"]) == (n % 2 == 0)
    assert seen == {True, False}


@pytest.mark.long
@pytest.mark.parametrize("how", ["fast", "immediate", "kill"])
def test_a_primary_that_goes_away(rows, how):
    def disturb(until):
        time.sleep(1)
        rows.primary.stop(how)
        time.sleep(1)
        rows.primary.start()
        time.sleep(max(2, until - time.monotonic()))
    Storm(rows, quiet=False).run(disturb)
    converged(rows)


def test_a_replica_that_is_killed(rows):
    """Writes need none, and reads have another one."""
    def disturb(until):
        time.sleep(1)
        rows.replicas[0].kill9()
        time.sleep(1)
        rows.replicas[0].start()
        time.sleep(max(1, until - time.monotonic()))
    Storm(rows, quiet=True).run(disturb)
    converged(rows)


def test_clients_that_leave(rows):
    """Connections cut while their requests are under way: nobody else gets their answers, and nothing leaks."""

    stop = threading.Event()

    def leave(seed):
        with_ = random.Random(seed)
        while not stop.is_set():
            conn = http.client.HTTPConnection(rows.env["HOST"], int(rows.env["PORT"]), timeout=20)
            conn.request(with_.choice(["PUT", "PATCH"]), f"/api/rows/{with_.randint(1, HOT)}", json.dumps({"v": "left"}), {"Content-Type": "application/json"})
            time.sleep(with_.random() / 200)
            conn.close()
    leavers = [threading.Thread(target=leave, args=(n,)) for n in range(5)]
    for t in leavers:
        t.start()
    try:
        Storm(rows, quiet=True).run(lambda until: time.sleep(max(0, until - time.monotonic())))
    finally:
        stop.set()
        for t in leavers:
            t.join()
    converged(rows)
