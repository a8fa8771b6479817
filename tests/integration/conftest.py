"""The fixtures of the integration tests: real servers, one clean environment, the real programs.

Fixtures
  stack_servers  session: one primary, two replicas (each a server of its own) and one RabbitMQ
  stack          function: a Stack, migrated; fresh databases and a fresh vhost for this test alone
  module_stack   module: the same, shared by the tests of a file that do not disturb each other
  bare_stack     function: a Stack with empty databases, nothing migrated

A Stack promises that it holds nothing of another test, that it stops what it started, and that each
program which the test did not kill itself exits with code 0 on SIGTERM. When a test fails, the end
of every program's log is in the report.
"""
import datetime
import itertools
import json
import os
import subprocess
import sys

import pika
import psycopg2
import pytest
import requests

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))

# pylint: disable=wrong-import-position
from harness.servers import (HOST, HarnessError, Postgres, Program, Proxy, RabbitMQ, Standby,
                             discard_all, free_port, new_folder, program_env, release_port,
                             remove_folder, start_all, wait_until)

ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", ".."))
BUILD = os.path.join(ROOT, os.environ.get("PGFANOUT_BUILD", "build"))
DATA = os.path.join(ROOT, "tests", "data")
SANITIZED = any(os.path.basename(BUILD).endswith(s) for s in ("-asan", "-tsan"))
# Limits are generous for slow machines and more so for slow builds; a passing test never waits.
SLOWNESS = 4 if SANITIZED else 1

ROWS = ("select id::text, name, price::text, stock, created_at, updated_at "
        "from products order by id")
# Change records; heartbeats come and go all the time.
OUTBOX = "select count(*) from pgfanout.outbox where heartbeat is null"


def pytest_configure(config):
    config.addinivalue_line("markers", "long: further cases of a test, which only `make test-long` runs")


def pytest_collection_modifyitems(config, items):
    if os.environ.get("LONG") != "1":
        config.hook.pytest_deselected(items=[i for i in items if i.get_closest_marker("long")])
        items[:] = [i for i in items if not i.get_closest_marker("long")]


def line_teller(request, name, form):
    """A function that appends a line to a file in the build folder, and to the test's report."""
    def line(text):
        with open(os.path.join(BUILD, name), "a", encoding="utf-8") as f:
            f.write(f"{text} form={form}\n")
        request.node.user_properties.append(("line", text))

    return line


class Servers:
    """The session's servers, which any test may kill, pause or restart."""

    def __init__(self, replicas=2):
        self.folder = new_folder()
        self.primary = Postgres("primary", self.folder)
        self.replicas = [Postgres(f"replica-{n + 1}", self.folder) for n in range(replicas)]
        self.rabbitmq = RabbitMQ(self.folder)
        self.all = [self.primary, *self.replicas, self.rabbitmq]
        self.by_name = {s.name: s for s in self.all}
        self.numbers = itertools.count(1)

    def ensure_up(self):
        """Undoes what the last test did to a server."""
        for server in self.all:
            server.resume()
        start_all(self.all)
        if self.rabbitmq.alarmed():
            self.rabbitmq.clear_memory_alarm()


class Stack:
    """One clean environment. Databases are named by server: "primary", "replica-1", "replica-2"."""

    def __init__(self, servers, folder):
        self.servers, self.folder = servers, str(folder)
        self.primary, self.replicas, self.rabbitmq = (servers.primary, servers.replicas,
                                                      servers.rabbitmq)
        number = next(servers.numbers)
        self.database, self.vhost = f"products_{number}", f"test-{number}"
        self.programs, self.apis, self.ports, self.cleanups = [], [], [], []
        self._sql = {}
        self._http = None
        servers.ensure_up()
        self.env = {
            "DATABASE_URL": self.primary.create_database(self.database),
            "RABBITMQ_URL": self.rabbitmq.create_vhost(self.vhost),
            "HOST": HOST, "PORT": self.port(),
            "CONSUMER_HOST": HOST, "CONSUMER_PORT": self.port(),
            "WORKERS": 2,  # on any machine: what two workers share must be tested
        }
        for n, replica in enumerate(self.replicas, 1):
            self.env[f"REPLICA_{n}_URL"] = replica.create_database(self.database)

    def port(self):
        """A free port, given back when the stack ends."""
        self.ports.append(free_port())
        return self.ports[-1]

    # ---- programs ----

    def program(self, name):
        path = os.path.join(BUILD, name)
        if not os.access(path, os.X_OK):
            raise HarnessError(f"{path} is not built: run make")
        return path

    def run(self, name, *args, timeout=60, check=False, cwd=None, **env):
        """Runs one of the programs to its end; returns the CompletedProcess (text)."""
        done = subprocess.run([self.program(name), *map(str, args)],
                              env=program_env(self._merged(env)), stdin=subprocess.DEVNULL,
                              capture_output=True, text=True, timeout=timeout * SLOWNESS,
                              cwd=cwd or self.folder)
        if check and done.returncode:
            raise AssertionError(f"{name} {' '.join(map(str, args))}: exit code "
                                 f"{done.returncode}\n{done.stdout}{done.stderr}")
        return done

    def _merged(self, env):
        """The stack's settings with changes; None removes one."""
        return {k: v for k, v in {**self.env, **env}.items() if v is not None}

    def migrate(self, *args):
        return self.run("pgfanout-migrate", *(args or ("up",)), check=True)

    def reset(self, *args, **env):
        """reset-replicas; look at .returncode, .stdout and .stderr."""
        return self.run("reset-replicas", *args, timeout=120, **env)

    def start_program(self, name, *args, env=None, label=None):
        """Starts one without waiting; for programs that are meant to fail or hang."""
        label = label or f"{name}-{len(self.programs) + 1}"
        program = Program([self.program(name), *args], self._merged(env or {}), label,
                          os.path.join(self.folder, f"{label}.log"), self.folder)
        self.programs.append(program)
        return program

    def start_api(self, n=1, wait=True, **env):
        """One API, or a list of n; ready (GET /ready) on return. .base is its URL.

        The first one started listens on env["PORT"] and is whom get(), post() ... talk to.
        """
        started = []
        for _ in range(n):
            port = env.get("PORT") or (self.port() if self.apis else self.env["PORT"])
            program = self.start_program("pgfanout-api", env={**env, "PORT": port})
            program.base = f"http://{HOST}:{port}"
            self.apis.append(program)
            started.append(program)
        if wait:
            for program in started:
                program.wait_for_http(program.base + "/ready", 20 * SLOWNESS)
        return started[0] if n == 1 else started

    def start_consumer(self, wait=True, **env):
        """The consumer; serves GET /health on return. .base is its URL."""
        running = [p for p in self.programs if p.name.startswith("pgfanout-consumer")]
        port = env.get("CONSUMER_PORT") or (self.port() if running else self.env["CONSUMER_PORT"])
        program = self.start_program("pgfanout-consumer", env={**env, "CONSUMER_PORT": port})
        program.base = f"http://{HOST}:{port}"
        if wait:
            program.wait_for_http(program.base + "/health", 20 * SLOWNESS)
        return program

    def proxy(self, server):
        """A Proxy in front of a server of the stack; closed when the stack ends."""
        proxy = Proxy(HOST, server.port)
        self.cleanups.append(proxy.close)
        return proxy

    def proxied_url(self, server, proxy):
        """The URL that reaches this stack's database or vhost on server through proxy."""
        if server is self.rabbitmq:
            return server.url(self.vhost, port=proxy.port)
        return server.url(self.database, port=proxy.port)

    # ---- databases ----

    def start_standby(self, name="standby-1", primary=None):
        """A Standby of the primary, running; discarded when the stack ends."""
        standby = Standby(f"{name}-{self.database}".replace("_", "-"), self.servers.folder,
                          primary or self.primary)

        def discard():
            discard_all([standby])
            self.primary.psql(f"select pg_drop_replication_slot(slot_name) from pg_replication_slots "
                              f"where slot_name = '{standby.name.replace('-', '_')}'", "postgres")
        self.cleanups.append(discard)
        start_all([standby])
        return standby

    def connect(self, db="primary"):
        """A psycopg2 connection of its own, for tests that hold transactions open."""
        conn = psycopg2.connect(self.servers.by_name[db].url(self.database), connect_timeout=5,
                                options="-c timezone=UTC -c statement_timeout=60000")
        self.cleanups.append(conn.close)
        return conn

    def sql(self, db, query, *args):
        """One statement, committed; its rows, or [] where it returns none."""
        for attempt in (1, 2):
            conn = self._sql.get(db)
            if conn is None or conn.closed:
                conn = self._sql[db] = self.connect(db)
                conn.autocommit = True
            try:
                with conn.cursor() as cursor:
                    cursor.execute(query, args or None)
                    return cursor.fetchall() if cursor.description else []
            except (psycopg2.OperationalError, psycopg2.InterfaceError):
                # The server was restarted since the last call: once more on a new connection.
                if not conn.closed or attempt == 2:
                    raise
        raise AssertionError("not reached")

    def psql(self, db, script):
        """A script through psql, as a person would: COPY FROM STDIN and \\-commands work."""
        return self.servers.by_name[db].psql(script, self.database)

    def rows(self, db):
        return self.sql(db, ROWS)

    # ---- HTTP ----

    @property
    def api(self):
        """A requests session, which keeps its connection."""
        if self._http is None:
            self._http = requests.Session()
            self._http.trust_env = False
            self.cleanups.append(self._http.close)
        return self._http

    def url(self, path, base=None):
        return (base or self.apis[0].base) + path

    def request(self, method, path, base=None, **kwargs):
        kwargs.setdefault("timeout", 30 * SLOWNESS)
        return self.api.request(method, self.url(path, base), **kwargs)

    def get(self, path, **kwargs):
        return self.request("GET", path, **kwargs)

    def post(self, path, **kwargs):
        return self.request("POST", path, **kwargs)

    def put(self, path, **kwargs):
        return self.request("PUT", path, **kwargs)

    def patch(self, path, **kwargs):
        return self.request("PATCH", path, **kwargs)

    def delete(self, path, **kwargs):
        return self.request("DELETE", path, **kwargs)

    def create(self, name="A product", price="9.99", stock=1, **more):
        """POSTs a product with price's digits as they are; returns the answer's data."""
        fields = [f'"{k}":{json.dumps(v)}' for k, v in {"name": name, **more}.items()]
        body = "{" + ",".join([*fields, f'"price":{price}', f'"stock":{stock}']) + "}"
        answer = self.post("/api/products", data=body.encode(),
                           headers={"Content-Type": "application/json"})
        assert answer.status_code in (200, 201), answer.text
        return answer.json()["data"]

    # ---- broker ----

    def amqp(self):
        """A new pika BlockingConnection to the stack's vhost, closed when the stack ends."""
        conn = pika.BlockingConnection(pika.URLParameters(
            self.env["RABBITMQ_URL"] + "?heartbeat=0&blocked_connection_timeout=60"))
        self.cleanups.append(lambda: conn.is_open and conn.close())
        return conn

    @staticmethod
    def take_all(channel, queue):
        """Takes what is ready in a queue: (routing key, properties, body) each."""
        letters = iter(lambda: channel.basic_get(queue, auto_ack=True), (None, None, None))
        return [(method.routing_key, properties, body) for method, properties, body in letters]

    def queue_depth(self, name):
        """Messages ready in a queue, this very moment; None where there is no such queue."""
        conn = self.amqp()
        try:
            return conn.channel().queue_declare(name, passive=True).method.message_count
        except pika.exceptions.ChannelClosedByBroker:
            return None
        finally:
            conn.close()

    def queues(self):
        """The vhost's queues: name -> messages, the unacknowledged included; 0.1 s old at most."""
        return self.rabbitmq.queues(self.vhost)

    # ---- convergence ----

    def assert_equal(self, dbs=("replica-1", "replica-2")):
        """Row by row, to the last digit and microsecond."""
        expected = {row[0]: row for row in self.rows("primary")}
        wrong = []
        for db in dbs:
            found = {row[0]: row for row in self.rows(db)}
            for key in sorted(expected.keys() | found.keys()):
                if expected.get(key) != found.get(key):
                    wrong.append(f"{db} {key}:\n    primary {_show(expected.get(key))}"
                                 f"\n    replica {_show(found.get(key))}")
        assert not wrong, f"{len(wrong)} rows differ:\n" + "\n".join(wrong[:10])

    def wait_converged(self, timeout=30, dbs=("replica-1", "replica-2")):
        """Waits until nothing is in flight and the replicas equal the primary; then proves the
        latter.

        On its way: change records, and messages in the sync, delete and retry queues of dbs,
        unacknowledged ones included. Dead letters have arrived, if not where they should.
        """
        prefixes = tuple(f"products.{kind}.{db}" for kind in ("sync", "delete", "retry")
                         for db in dbs)

        def why_not():
            waiting = self.sql("primary", OUTBOX)[0][0]
            if waiting:
                return f"{waiting} change records"
            primary = self._digest("primary")
            for db in dbs:
                if self._digest(db) != primary:
                    return f"{db} differs"
            full = {q: n for q, n in self.queues().items() if n and q.startswith(prefixes)}
            return f"queues {full}" if full else None

        last = [None]

        def done():
            last[0] = why_not()
            return last[0] is None

        try:
            wait_until(done, timeout * SLOWNESS, "convergence", 0.1)
        except TimeoutError as e:
            if last[0] and "differs" in last[0]:
                self.assert_equal(dbs)
            raise AssertionError(f"no convergence: {last[0] or e}; queues {self.queues()}") from e
        self.assert_equal(dbs)

    def _digest(self, db):
        return self.sql(db, f"select count(*), md5(string_agg(r::text, e'\\n')) from ({ROWS}) r")[0]

    # ---- the end ----

    def stop_programs(self):
        """SIGTERM to all, last started first; the complaints about those that did not end well."""
        wrong = []
        for program in reversed(self.programs):
            if program.popen is None or program.killed:
                continue
            if program.running():
                try:
                    code = program.stop(20 * SLOWNESS)
                except HarnessError as e:
                    wrong.append(str(e))
                    continue
                if code != 0:
                    wrong.append(f"{program.name}: exit code {code} on SIGTERM\n{program.log(60)}")
            elif program.popen.returncode != 0 and not getattr(program, "may_fail", False):
                wrong.append(f"{program.name} ended by itself with {program.popen.returncode}\n"
                             f"{program.log(60)}")
        return wrong

    def close(self):
        try:
            # Undo what the test paused or removed: otherwise a program cannot exit cleanly.
            self.servers.ensure_up()
            wrong = self.stop_programs()
        finally:
            for program in self.programs:
                program.kill9()
            for cleanup in reversed(self.cleanups):
                try:
                    cleanup()
                except Exception:  # pylint: disable=broad-except
                    pass  # a connection that the test broke
            for port in self.ports:
                release_port(port)
            LIVE.discard(self)
        self.rabbitmq.delete_vhost(self.vhost)
        for server in [self.primary, *self.replicas]:
            server.drop_database(self.database)
        assert not wrong, "\n\n".join(wrong)

    def logs(self, lines=60):
        return [(f"end of the log of {p.name}", p.log(lines)) for p in self.programs]


def _show(row):
    return "-" if row is None else tuple(
        v.isoformat() if isinstance(v, datetime.datetime) else v for v in row)


LIVE = set()  # stacks whose logs go into a failure's report


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    outcome = yield
    report = outcome.get_result()
    if report.failed and report.when == "call":
        for stack in LIVE:
            report.sections.extend(stack.logs())


@pytest.fixture(scope="session")
def stack_servers():
    servers = Servers()
    try:
        start_all(servers.all)
        yield servers
    finally:
        discard_all(servers.all)
        remove_folder(servers.folder)


def _stack(servers, folder, migrated):
    stack = Stack(servers, folder)
    LIVE.add(stack)
    try:
        if migrated:
            stack.migrate()
        yield stack
    finally:
        stack.close()


@pytest.fixture
def stack(stack_servers, tmp_path):
    yield from _stack(stack_servers, tmp_path, True)


@pytest.fixture
def bare_stack(stack_servers, tmp_path):
    yield from _stack(stack_servers, tmp_path, False)


@pytest.fixture(scope="module")
def module_stack(stack_servers, tmp_path_factory):
    yield from _stack(stack_servers, tmp_path_factory.mktemp("stack"), True)
