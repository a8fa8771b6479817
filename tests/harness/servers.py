"""Private, throw-away servers and programs for the tests and the demo (Python standard library
only).

Owns every process and folder that a run starts, and promises that none outlives it: whatever way
the run ends, a small watchdog process (the last function) kills what is left and removes the
folders. Only processes started here are ever signalled, by pid, together with their descendants.

Servers listen on 127.0.0.1 alone, on ports that were free and are locked against parallel runs;
PostgreSQL is user:password with fsync on, RabbitMQ user:password with the management plugin. As
root they run as the users postgres and rabbitmq, otherwise as the calling user.

Every class may be used from any thread, but one object from one thread at a time.
"""
import atexit
import base64
import collections
import contextlib
import glob
import json
import os
import pwd
import random
import re
import select
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.parse
import urllib.request

USER, PASSWORD, DATABASE = "user", "password", "products"
HOST = "127.0.0.1"


class HarnessError(Exception):
    """A server or program failed; the text contains the end of its log."""


def wait_until(fn, timeout, what, interval=0.05):
    """Calls fn until its result is true and returns that; an exception of fn counts as not yet.

    After timeout seconds raises TimeoutError, which says what was waited for and what fn last said.
    """
    deadline = time.monotonic() + timeout
    while True:
        try:
            last = fn()
            if last:
                return last
        except Exception as e:  # pylint: disable=broad-except
            if isinstance(e, HarnessError):
                raise
            last = e
        if time.monotonic() >= deadline:
            raise TimeoutError(f"{what}: not within {timeout} s; last seen: {last!r}")
        time.sleep(interval)


def tail(path, lines=60):
    """The end of a log file, or the reason why there is none."""
    try:
        with open(path, errors="replace") as f:
            return "".join(collections.deque(f, lines))
    except OSError as e:
        return f"(no log: {e})\n"


# ---- ports and folders -------------------------------------------------------------------------

_port_locks = {}  # port -> the socket that holds it, as long as this process lives
_port_mutex = threading.Lock()


def _port_lock(port):
    """Reserves a port against other runs, or returns None.

    The lock is an abstract unix socket's name: it reaches exactly as far as the port itself (all
    users of one network namespace), ends with its holder and leaves no file behind.
    """
    lock = socket.socket(socket.AF_UNIX)
    try:
        lock.bind(f"\0pgfanout-port-{port}")
    except OSError:
        lock.close()
        return None
    return lock


def _port_is_free(port):
    # The wildcard address meets listeners on every address; SO_REUSEADDR forgives TIME_WAIT only.
    with socket.socket() as s:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            s.bind(("", port))
            s.listen(1)
        except OSError:
            return False
    return True


def free_port(prefer=None):
    """A port nobody listens on and no other run has reserved; prefer is tried first.

    Ports come from below the ephemeral range, so that no outgoing connection takes one meanwhile.
    """
    candidates = ([prefer] if prefer else []) + random.sample(range(20000, 32000), 500)
    with _port_mutex:
        for port in candidates:
            lock = None if port in _port_locks else _port_lock(port)
            if lock and _port_is_free(port):
                _port_locks[port] = lock
                return port
            if lock:
                lock.close()
    raise HarnessError("found no free port")


def release_port(port):
    with _port_mutex:
        lock = _port_locks.pop(port, None)
        if lock:
            lock.close()


def new_folder():
    """A short path (a unix socket's is limited to 107 bytes) that the servers' users can enter."""
    path = tempfile.mkdtemp(prefix="pgfanout-", dir="/tmp")
    os.chmod(path, 0o755)
    _watchdog.tell("folder", path)
    return path


def remove_folder(path):
    shutil.rmtree(path, ignore_errors=True)
    _watchdog.tell("gone", path)


# ---- processes ---------------------------------------------------------------------------------

def _parents():
    """pid -> parent's pid, of all processes."""
    result = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            with contextlib.suppress(OSError, IndexError), open(f"/proc/{entry}/stat") as f:
                result[int(entry)] = int(f.read().rpartition(")")[2].split()[1])
    return result


def process_tree(root):
    """root and all its descendants, parents first."""
    children = collections.defaultdict(list)
    for pid, parent in _parents().items():
        children[parent].append(pid)
    result = [root] if os.path.exists(f"/proc/{root}") else []
    for pid in result:
        result.extend(children[pid])
    return result


def signal_tree(root, number):
    # Root first, and stopped, so that it cannot start children meanwhile.
    tree = process_tree(root)
    if tree:
        with contextlib.suppress(ProcessLookupError):
            os.kill(root, signal.SIGSTOP if number in (signal.SIGKILL, signal.SIGSTOP) else 0)
        tree = process_tree(root)
    for pid in tree:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)


def kill_tree(root):
    signal_tree(root, signal.SIGKILL)


class Process:
    """One process started here, with its log. It has its own session, so the terminal's Ctrl-C does
    not reach it."""

    def __init__(self, argv, env, log, cwd, user=None):
        self.argv, self.env, self.log_path, self.cwd, self.user = argv, env, log, cwd, user
        self.popen = None

    def start(self):
        extra = {"user": self.user, "group": pwd.getpwnam(self.user).pw_gid,
                 "extra_groups": []} if self.user else {}
        with open(self.log_path, "ab") as log:
            self.popen = subprocess.Popen(
                self.argv, env=self.env, stdin=subprocess.DEVNULL, stdout=log,
                stderr=subprocess.STDOUT, cwd=self.cwd, start_new_session=True, **extra)
        _watchdog.tell("started", self.popen.pid)

    @property
    def pid(self):
        return self.popen.pid if self.popen else None

    def running(self):
        return self.popen is not None and self.popen.poll() is None

    def pids(self):
        return process_tree(self.popen.pid) if self.running() else []

    def signal(self, number):
        if self.running():
            self.popen.send_signal(number)

    def wait(self, timeout):
        """The exit code (negative: the signal), or None when it still runs after timeout."""
        try:
            code = self.popen.wait(timeout)
        except subprocess.TimeoutExpired:
            return None
        _watchdog.tell("ended", self.popen.pid)
        return code

    def kill9(self):
        """SIGKILL for the whole tree at once, like a power failure."""
        if self.running():
            doomed = self.pids()
            kill_tree(self.popen.pid)
            self.wait(10)
            # Grandchildren are reaped by init; a port or a lock is free only when they are gone.
            wait_until(lambda: not any(_alive(p) for p in doomed), 10, f"death of {self.argv[0]}")

    def pause(self):
        if self.running():
            signal_tree(self.popen.pid, signal.SIGSTOP)

    def resume(self):
        for pid in reversed(self.pids()):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)


def _alive(pid):
    try:
        with open(f"/proc/{pid}/stat") as f:
            return f.read().rpartition(")")[2].split()[0] not in ("Z", "X")
    except OSError:
        return False


def _own(path, user):
    """Gives a folder and what is in it to the server's user."""
    if user:
        record = pwd.getpwnam(user)
        for folder, _, files in os.walk(path):
            for name in [folder] + [os.path.join(folder, f) for f in files]:
                os.chown(name, record.pw_uid, record.pw_gid)


def _write(path, text, mode=0o644):
    with open(path, "w") as f:
        f.write(text)
    os.chmod(path, mode)


def _accepts(port):
    with contextlib.suppress(OSError):
        socket.create_connection((HOST, port), 1).close()
        return True
    return False


class Server:
    """What PostgreSQL and RabbitMQ have in common: one process tree, one log, one folder."""

    stop_limit = 30

    def __init__(self, name, folder, user):
        self.name, self.dir = name, os.path.join(folder, name)
        self.user = user if os.getuid() == 0 else None
        self.process, self.discarded = None, False
        self.log_path = f"{self.dir}/server.log"
        os.makedirs(self.dir)

    def start(self, timeout=60):
        """Starts it where it is not running and waits until it serves; data is kept."""
        if self.process and self.process.running():
            return self
        self._launch()

        def ready():
            if self.discarded:
                self.kill9()
                raise HarnessError(f"{self.name} was discarded while it started")
            if not self.process.running():
                raise HarnessError(f"{self.name} ended at its start:\n{self.log()}")
            return self._serves()

        try:
            wait_until(ready, timeout, f"{self.name} to serve", 0.1)
        except TimeoutError as e:
            raise HarnessError(f"{e}\n{self.log()}") from e
        return self

    def pids(self):
        return self.process.pids() if self.process else []

    def running(self):
        return bool(self.process and self.process.running())

    def kill9(self):
        if self.process:
            self.process.kill9()

    def restart(self, mode="fast"):
        self.stop(mode)
        return self.start()

    def discard(self):
        """Ends it and deletes its data; also while another thread is still starting it."""
        self.discarded = True
        self.kill9()

    def pause(self):
        """SIGSTOP for every process of it: connections stay open, nothing answers."""
        self.process.pause()

    def resume(self):
        if self.process:
            self.process.resume()

    def log(self, lines=60):
        return tail(self.log_path, lines)

    def _signal_and_wait(self, number):
        self.process.resume()  # a stopped process would not see the signal
        self.process.signal(number)
        if self.process.wait(self.stop_limit) is None:
            self.process.kill9()
            raise HarnessError(f"{self.name} did not stop within {self.stop_limit} s:\n{self.log()}")


class Postgres(Server):
    """One PostgreSQL server; several databases may live in it. settings: postgresql.conf lines."""

    def __init__(self, name, folder, port=None, settings=None):
        super().__init__(name, folder, "postgres")
        self.port = free_port(port)
        self.data, self.sockets = f"{self.dir}/data", f"{self.dir}/s"
        self.settings = {
            "listen_addresses": f"'{HOST}'", "port": self.port,
            "unix_socket_directories": f"'{self.sockets}'",
            "fsync": "on", "synchronous_commit": "on", "full_page_writes": "on",
            "shared_buffers": "32MB", "max_connections": 100, "max_wal_size": "1GB",
            "max_prepared_transactions": 10,
            "checkpoint_timeout": "15min", "jit": "off", "logging_collector": "off",
            **(settings or {})}
        self.bin = postgres_bin(name)
        self.env = {"PATH": f"{self.bin}:/usr/bin:/bin", "LANG": "C.UTF-8", "TZ": "UTC",
                    "HOME": self.dir}

    def _initialize(self):
        os.mkdir(self.sockets)
        _write(f"{self.dir}/pw", PASSWORD + "\n")
        _own(self.dir, self.user)
        self._run(f"{self.bin}/initdb", "-D", self.data, "-U", USER, f"--pwfile={self.dir}/pw",
                  "-A", "scram-sha-256", "-E", "UTF8", "--locale=C.UTF-8", "--no-sync",
                  "--no-instructions")
        self._configure()

    def _run(self, *command):
        # It is short, and its own output is the best error message.
        extra = {"user": self.user, "group": pwd.getpwnam(self.user).pw_gid,
                 "extra_groups": []} if self.user else {}
        done = subprocess.run(
            command, env=self.env, cwd="/", stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True, **extra)
        if done.returncode:
            raise HarnessError(f"{command[0]} for {self.name} failed:\n{done.stdout}")

    def _configure(self):
        with open(f"{self.data}/postgresql.conf", "a") as f:
            f.writelines(f"{key} = {value}\n" for key, value in self.settings.items())

    def _launch(self):
        first = not os.path.exists(f"{self.data}/postgresql.conf")
        if first:
            self._initialize()
        self.process = Process([f"{self.bin}/postgres", "-D", self.data], self.env, self.log_path,
                               self.dir, self.user)
        self.process.start()

    def _serves(self):
        if not _accepts(self.port):
            return False
        self.psql("select 1", "postgres")
        return True

    def stop(self, mode="fast"):
        """mode: smart, fast, immediate (recovery at the next start) or kill."""
        if not self.running():
            return
        if mode == "kill":
            self.kill9()
        else:
            self._signal_and_wait({"smart": signal.SIGTERM, "fast": signal.SIGINT,
                                   "immediate": signal.SIGQUIT}[mode])

    def url(self, db=DATABASE, host=HOST, port=None):
        return f"postgresql://{USER}:{PASSWORD}@{host}:{port or self.port}/{db}"

    def psql(self, script, db=DATABASE):
        """Runs a script (stopping at the first error) and returns psql's bare output."""
        done = subprocess.run(
            [psql_program(), "-XAtq", "-v", "ON_ERROR_STOP=1", "-d", self.url(db), "-f", "-"],
            input=script, text=True, capture_output=True, timeout=120,
            env={**os.environ, "PGCONNECT_TIMEOUT": "5"})
        if done.returncode:
            raise RuntimeError(f"psql on {self.name}/{db}: {done.stderr.strip()}")
        return done.stdout

    def create_database(self, name=DATABASE):
        """A fresh, empty database, replacing one of that name."""
        self.psql(f'{self._drop(name)};\ncreate database "{name}"', "postgres")
        return self.url(name)

    def drop_database(self, name):
        self.psql(self._drop(name), "postgres")

    @staticmethod
    def _drop(name):
        return f'drop database if exists "{name}" with (force)'


class Standby(Postgres):
    """A streaming standby of a Postgres that runs, by a slot of its own on it."""

    def __init__(self, name, folder, primary, port=None, settings=None):
        super().__init__(name, folder, port=port, settings=settings)
        self.primary, self.bin = primary, primary.bin

    def _initialize(self):
        slot = self.name.replace("-", "_")
        os.mkdir(self.sockets)
        _own(self.dir, self.user)
        self.primary.psql(f"select pg_create_physical_replication_slot('{slot}') where not exists "
                          f"(select from pg_replication_slots where slot_name = '{slot}')", "postgres")
        self._run(f"{self.bin}/pg_basebackup", "-D", self.data, "-R", "-X", "stream", "-S", slot,
                  "-c", "fast", "--no-sync", "-d",
                  self.primary.url("postgres") + f"?application_name={self.name}")
        self._configure()


def postgres_bin(name=""):
    """The programs of PostgreSQL for a server of this name: the newest's, unless POSTGRES_VERSIONS
    says "primary=15" or "replica=15", the beginnings of names."""
    for word in os.environ.get("POSTGRES_VERSIONS", "").split():
        begin, _, version = word.partition("=")
        if name and name.startswith(begin):
            path = f"/usr/lib/postgresql/{version}/bin"
            if not os.path.exists(f"{path}/initdb"):
                raise HarnessError(f"POSTGRES_VERSIONS: there is no {path}/initdb")
            return path
    found = glob.glob("/usr/lib/postgresql/*/bin/initdb")
    if found:
        return os.path.dirname(max(found, key=lambda p: float(p.split("/")[4])))
    path = shutil.which("initdb")
    if not path:
        raise HarnessError("no PostgreSQL server programs found: run 'make deps'")
    return os.path.dirname(os.path.realpath(path))


def pgbouncer_program():
    found = shutil.which("pgbouncer", path=os.environ.get("PATH", "") + ":/usr/sbin")
    if not found:
        raise HarnessError("found no pgbouncer: run make deps")
    return found


def psql_program():
    path = shutil.which("psql") or f"{postgres_bin()}/psql"
    return path


class PgBouncer(Server):
    """A pooler in session mode in front of one Postgres. It drops `options` from the start-up
    packet, as hosted ones do. settings: further lines of its [pgbouncer] section."""

    def __init__(self, name, folder, postgres, settings=None):
        super().__init__(name, folder, "postgres")
        self.port, self.postgres = free_port(), postgres
        lines = {"listen_addr": HOST, "listen_port": self.port, "unix_socket_dir": "",
                 "auth_type": "scram-sha-256", "auth_file": f"{self.dir}/users",
                 "pool_mode": "session", "default_pool_size": 100, "max_client_conn": 300,
                 "ignore_startup_parameters": "options, extra_float_digits", **(settings or {})}
        _write(f"{self.dir}/users", f'"{USER}" "{PASSWORD}"\n')
        _write(f"{self.dir}/pgbouncer.ini",
               f"[databases]\n* = host={HOST} port={postgres.port}\n[pgbouncer]\n" +
               "".join(f"{key} = {value}\n" for key, value in lines.items()))

    def _launch(self):
        _own(self.dir, self.user)
        self.process = Process([pgbouncer_program(), f"{self.dir}/pgbouncer.ini"],
                               {"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8"}, self.log_path,
                               self.dir, self.user)
        self.process.start()

    def _serves(self):
        return _accepts(self.port)

    def stop(self):
        if self.running():
            self._signal_and_wait(signal.SIGINT)

    def url(self, db=DATABASE):
        return self.postgres.url(db, port=self.port)


class RabbitMQ(Server):
    """One broker node with management plugin and an epmd of its own.

    join: a node that runs; this one joins its cluster at its first start, and shares its epmd.
    tick_ms: how often quorum queues report their counts. RabbitMQ's 5 s are too slow to wait for.
    """

    def __init__(self, folder, name="rabbitmq", port=None, management_port=None, join=None,
                 tick_ms=100):
        super().__init__(name, folder, "rabbitmq")
        self.port = free_port(port)
        self.management_port = free_port(management_port)
        self.dist_port, self.cli_port = free_port(), free_port()
        self.epmd_port = join.epmd_port if join else free_port()
        self.node = f"pgfanout{self.port}@localhost"
        self.epmd = None
        self.log_path = f"{self.dir}/log/node.log"
        for sub in ("log", "mnesia", "gen"):
            os.mkdir(f"{self.dir}/{sub}")
        _write(f"{self.dir}/rabbitmq.conf", f"""\
listeners.tcp.1 = {HOST}:{self.port}
management.tcp.ip = {HOST}
management.tcp.port = {self.management_port}
load_definitions = {self.dir}/definitions.json
log.console = false
log.file = node.log
disk_free_limit.absolute = 64MB
vm_memory_high_watermark.absolute = 512MB
heartbeat = 10
""" + (f"""\
cluster_formation.peer_discovery_backend = classic_config
cluster_formation.classic_config.nodes.1 = {join.node}
""" if join else ""))
        _write(f"{self.dir}/advanced.config",
               f"[{{rabbit, [{{quorum_tick_interval, {tick_ms}}}]}}].\n")
        _write(f"{self.dir}/enabled_plugins", "[rabbitmq_management].\n")
        everything = {"configure": ".*", "write": ".*", "read": ".*"}
        _write(f"{self.dir}/definitions.json", json.dumps({
            "users": [{"name": USER, "password": PASSWORD, "tags": "administrator"}],
            "vhosts": [{"name": "/"}],
            "permissions": [{"user": USER, "vhost": "/", **everything}]}))
        self.cookie = join.cookie if join else f"{random.getrandbits(128):x}"
        _write(f"{self.dir}/.erlang.cookie", self.cookie, 0o400)
        _own(self.dir, self.user)
        self.env = {
            "PATH": "/usr/lib/erlang/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8",
            "HOME": self.dir, "RABBITMQ_NODENAME": self.node,
            "RABBITMQ_DIST_PORT": str(self.dist_port),
            "ERL_EPMD_PORT": str(self.epmd_port), "ERL_EPMD_ADDRESS": HOST,
            "RABBITMQ_CTL_DIST_PORT_MIN": str(self.cli_port),
            "RABBITMQ_CTL_DIST_PORT_MAX": str(self.cli_port + 9),
            "RABBITMQ_MNESIA_BASE": f"{self.dir}/mnesia", "RABBITMQ_LOG_BASE": f"{self.dir}/log",
            "RABBITMQ_PID_FILE": f"{self.dir}/pid",
            "RABBITMQ_CONFIG_FILE": f"{self.dir}/rabbitmq.conf",
            "RABBITMQ_ADVANCED_CONFIG_FILE": f"{self.dir}/advanced.config",
            "RABBITMQ_CONF_ENV_FILE": f"{self.dir}/none-env.conf",
            "RABBITMQ_ENABLED_PLUGINS_FILE": f"{self.dir}/enabled_plugins",
            "RABBITMQ_GENERATED_CONFIG_DIR": f"{self.dir}/gen",
            # The script then becomes the Erlang VM instead of watching over it: one pid to stop.
            "RUNNING_UNDER_SYSTEMD": "true",
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS":
                "+S 2:2 +sbwt none +sbwtdcpu none +sbwtdio none "
                "-kernel inet_dist_use_interface {127,0,0,1}"}

    def _launch(self):
        # epmd started here, so that it ends with the broker, and not as a daemon that Erlang leaves
        # behind.
        if not (self.epmd and self.epmd.running()) and not _accepts(self.epmd_port):
            epmd = shutil.which("epmd") or "/usr/bin/epmd"
            self.epmd = Process([epmd, "-port", str(self.epmd_port), "-address", HOST], self.env,
                                f"{self.dir}/epmd.log", self.dir, self.user)
            self.epmd.start()
            wait_until(lambda: _accepts(self.epmd_port), 10, "epmd to serve")
        self.process = Process(["/usr/lib/rabbitmq/bin/rabbitmq-server"], self.env,
                               f"{self.dir}/stdout.log", self.dir, self.user)
        self.process.start()

    def _serves(self):
        return _accepts(self.port) and self.api("GET", "/overview") is not None

    def log(self, lines=60):
        return tail(f"{self.dir}/stdout.log", lines) + tail(self.log_path, lines)

    def stop(self, mode="fast"):
        """mode: fast (the broker's own stop, some seconds) or kill."""
        if self.running():
            if mode == "kill":
                self.kill9()
            else:
                self._signal_and_wait(signal.SIGTERM)

    def kill9(self):
        """SIGKILL, but not within the first seconds of a queue's life.

        RabbitMQ 3.10 writes the register of its quorum queues to disk some seconds late: one that
        is killed before comes back with a last queue that answers nobody, ever. That is its own
        defect, and not what the tests are about.
        """
        if self.running():
            try:
                self.ctl("eval", "[dets:sync(T) || T <- dets:all()].", timeout=20)
            except Exception:  # pylint: disable=broad-except
                pass  # it hangs or is half up already: then there is nothing to wait for
        super().kill9()

    def discard(self):
        if self.process:
            self.process.kill9()
        super().discard()
        if self.epmd:
            self.epmd.kill9()

    def url(self, vhost="/", port=None):
        name = urllib.parse.quote(vhost, safe="")
        return f"amqp://{USER}:{PASSWORD}@{HOST}:{port or self.port}/{name}"

    @property
    def management_url(self):
        return f"http://{HOST}:{self.management_port}"

    def api(self, method, path, body=None, timeout=30):
        """The management API below /api: the JSON answer, {} when empty, None for a 404."""
        request = urllib.request.Request(
            f"{self.management_url}/api{path}", method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Content-Type": "application/json", "Authorization": "Basic " +
                     base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()})
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(request, timeout=timeout) as answer:
                return json.loads(answer.read() or b"{}")
        except urllib.error.HTTPError as e:
            if e.code == 404:
                return None
            raise RuntimeError(f"{method} {path}: {e.code} {e.read()[:500]!r}") from e

    def create_vhost(self, name):
        """A fresh vhost, replacing one of that name; returns its URL."""
        self.delete_vhost(name)
        quoted = urllib.parse.quote(name, safe="")
        self.api("PUT", f"/vhosts/{quoted}", {})
        self.api("PUT", f"/permissions/{quoted}/{USER}",
                 {"configure": ".*", "write": ".*", "read": ".*"})
        return self.url(name)

    def delete_vhost(self, name):
        self.api("DELETE", f"/vhosts/{urllib.parse.quote(name, safe='')}")

    def queues(self, vhost="/"):
        """Queue name -> messages, the unacknowledged included; 0.1 s old at most (the tick)."""
        quoted = urllib.parse.quote(vhost, safe="")
        rows = self.api("GET", f"/queues/{quoted}?disable_stats=true&enable_queue_totals=true") or []
        return {row["name"]: row.get("messages", 0) for row in rows}

    def close_connections(self):
        """Closes every client connection, as an operator would; clients may reconnect at once."""
        for row in self.api("GET", "/connections") or []:
            path = f"/connections/{urllib.parse.quote(row['name'], safe='')}"
            try:
                self.api("DELETE", path)
            except RuntimeError:
                if self.api("GET", path):  # a connection that ends meanwhile makes the broker fail
                    raise

    def ctl(self, *args, timeout=60):
        """rabbitmqctl; returns its output."""
        extra = {"user": self.user, "group": pwd.getpwnam(self.user).pw_gid,
                 "extra_groups": []} if self.user else {}
        done = subprocess.run(["/usr/lib/rabbitmq/bin/rabbitmqctl", "-q", *args], env=self.env,
                              cwd=self.dir, stdin=subprocess.DEVNULL, text=True,
                              capture_output=True, timeout=timeout, **extra)
        if done.returncode:
            raise RuntimeError(f"rabbitmqctl {' '.join(args)}: {done.stdout}{done.stderr}")
        return done.stdout

    def alarmed(self):
        """Whether a memory or disk alarm blocks publishers, this very moment."""
        try:
            return self.api("GET", "/health/checks/alarms")["status"] != "ok"
        except RuntimeError:  # 503: the check failed
            return True

    def memory_alarm(self):
        """Makes the broker block every publisher."""
        self.ctl("set_vm_memory_high_watermark", "0.0000001")
        wait_until(self.alarmed, 30, "the memory alarm")

    def clear_memory_alarm(self):
        self.ctl("set_vm_memory_high_watermark", "absolute", "512MB")
        wait_until(lambda: not self.alarmed(), 30, "the memory alarm to clear")


def start_all(servers):
    """Starts them in parallel; raises the first failure after all have finished."""
    failures = []

    def run(server):
        try:
            server.start()
        except Exception as e:  # pylint: disable=broad-except
            failures.append(e)

    threads = [threading.Thread(target=run, args=(s,)) for s in servers]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    if failures:
        raise failures[0]


def discard_all(servers):
    """Ends servers and deletes their data."""
    for server in servers:
        server.discard()


# ---- pgfanout's programs
# --------------------------------------------------------------------------

SANITIZER_ENV = {
    "ASAN_OPTIONS": "detect_leaks=1:detect_stack_use_after_return=1:exitcode=99",
    "UBSAN_OPTIONS": "print_stacktrace=1:halt_on_error=1",
    "TSAN_OPTIONS": "halt_on_error=1:exitcode=99:second_deadlock_stack=1",
}


def program_env(env):
    """A program's whole environment: env and the few things every process needs."""
    base = {"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8", "HOME": "/nonexistent"}
    return {**base, **SANITIZER_ENV, **{key: str(value) for key, value in env.items()}}


class Program(Process):
    """One of pgfanout's programs. cwd should hold no .env file, or its settings count too."""

    def __init__(self, argv, env, name, log_path, cwd="/"):
        super().__init__([str(a) for a in argv], program_env(env), log_path, cwd)
        self.name = name
        self.killed = False
        self.start()

    def restart(self):
        """Starts it again after stop() or kill9(), same settings, same log."""
        self.killed = False
        self.start()
        return self

    def log(self, lines=None):
        return tail(self.log_path, lines)

    def wait_for_line(self, regex, timeout=10):
        """The first match in the log."""
        pattern = re.compile(regex, re.M)

        def found():
            match = pattern.search(self.log())
            if not match and not self.running():
                match = pattern.search(self.log())
                if not match:
                    raise HarnessError(f"{self.name} ended ({self.popen.returncode}) without "
                                       f"/{regex}/ in its log:\n{self.log(60)}")
            return match

        try:
            return wait_until(found, timeout, f"/{regex}/ in the log of {self.name}")
        except TimeoutError as e:
            raise HarnessError(f"{e}\n{self.log(60)}") from e

    def wait_for_http(self, url, timeout=20):
        """Until GET url answers 200."""
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

        def answers():
            if not self.running():
                raise HarnessError(f"{self.name} ended with {self.popen.returncode} at its "
                                   f"start:\n{self.log(60)}")
            with opener.open(url, timeout=5) as answer:
                return answer.status == 200

        try:
            wait_until(answers, timeout, f"{self.name}: 200 from {url}")
        except TimeoutError as e:
            raise HarnessError(f"{e}\n{self.log(60)}") from e
        return self

    def stop(self, limit=20):
        """SIGTERM; returns the exit code. One that does not end in time is killed: HarnessError."""
        self.resume()
        self.signal(signal.SIGTERM)
        code = self.wait(limit)
        if code is None:
            self.kill9()
            raise HarnessError(f"{self.name} did not end within {limit} s of SIGTERM:\n"
                               f"{self.log(60)}")
        return code

    def kill9(self):
        self.killed = True
        super().kill9()


# ---- the wire ----------------------------------------------------------------------------------

class _Pipe:
    """One direction of one connection: delayed bytes."""

    def __init__(self, source, sink):
        self.source, self.sink = source, sink
        self.queue = collections.deque()  # (due, bytes)
        self.size, self.ended = 0, False


class Proxy:
    """A TCP proxy for one target, to cause network faults. Its port is in .port.

    cut()    resets all connections and every new one, until resume()
    stall()  nothing moves, nothing closes: a peer that hangs, or a lost network
    delay(ms) each direction is late by ms; bytes stay in order, throughput is untouched
    drop()   resets the connections there are; new ones are welcome
    One thread, which does all I/O; the methods only set flags and wake it.
    """

    LIMIT = 4 * 1024 * 1024

    def __init__(self, target_host, target_port):
        self.target = (target_host, target_port)
        self.listener = socket.create_server((HOST, 0), backlog=128)
        self.listener.setblocking(False)
        self.port = self.listener.getsockname()[1]
        self._pairs = []
        self._mode, self._delay, self._drop, self._closing = "open", 0.0, 0, False
        self._wake_r, self._wake_w = os.pipe()
        os.set_blocking(self._wake_r, False)
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _set(self, **what):
        for key, value in what.items():
            setattr(self, key, value)
        os.write(self._wake_w, b"x")

    def cut(self):
        self._set(_mode="cut")
        wait_until(lambda: not self._pairs, 5, "the proxy to cut")

    def stall(self):
        self._set(_mode="stall")

    def delay(self, ms):
        self._set(_delay=ms / 1000.0)

    def drop(self):
        before = self._drop
        self._set(_drop=before + 1)

    def resume(self):
        self._set(_mode="open", _delay=0.0)

    def close(self):
        self._set(_closing=True)
        self._thread.join(5)

    def connections(self):
        return len(self._pairs)

    @staticmethod
    def _reset(sock):
        with contextlib.suppress(OSError):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        sock.close()

    def _accept(self):
        with contextlib.suppress(OSError):
            client, _ = self.listener.accept()
            if self._mode == "cut":
                self._reset(client)
                return
            try:
                server = socket.create_connection(self.target, 5)
            except OSError:
                self._reset(client)
                return
            for s in (client, server):
                s.setblocking(False)
                s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._pairs.append((_Pipe(client, server), _Pipe(server, client)))

    def _end(self, pair):
        if pair in self._pairs:
            self._pairs.remove(pair)
            self._reset(pair[0].source)
            self._reset(pair[1].source)

    def _read(self, pipe):
        data = pipe.source.recv(65536)
        if data:
            pipe.queue.append((time.monotonic() + self._delay, data))
            pipe.size += len(data)
        else:
            pipe.ended = True

    def _write(self, pipe, now):
        while pipe.queue and pipe.queue[0][0] <= now:
            due, data = pipe.queue[0]
            sent = pipe.sink.send(data)
            pipe.size -= sent
            if sent < len(data):
                pipe.queue[0] = (due, data[sent:])
                break
            pipe.queue.popleft()
        if pipe.ended and not pipe.queue:
            pipe.ended = None  # passed on, once
            with contextlib.suppress(OSError):
                pipe.sink.shutdown(socket.SHUT_WR)

    def _run(self):
        dropped = 0
        while not self._closing:
            now = time.monotonic()
            if self._mode == "cut" or dropped != self._drop:
                dropped = self._drop
                for pair in list(self._pairs):
                    self._end(pair)
            poller = select.poll()
            poller.register(self._wake_r, select.POLLIN)
            by_fd, wait = {}, 5.0
            if self._mode != "stall":
                poller.register(self.listener, select.POLLIN)
                for pair in list(self._pairs):
                    events = collections.Counter()
                    for pipe in pair:
                        if pipe.ended is False and pipe.size < self.LIMIT:
                            events[pipe.source] |= select.POLLIN
                        if pipe.queue:
                            due = pipe.queue[0][0] - now
                            if due <= 0:
                                events[pipe.sink] |= select.POLLOUT
                            else:
                                wait = min(wait, due)
                    if pair[0].ended is None and pair[1].ended is None:
                        self._pairs.remove(pair)
                        pair[0].source.close()
                        pair[1].source.close()
                        continue
                    for sock, mask in events.items():
                        poller.register(sock, mask)
                        by_fd[sock.fileno()] = pair
            ready = poller.poll(wait * 1000)
            now = time.monotonic()
            for fd, mask in ready:
                if fd == self._wake_r:
                    os.read(self._wake_r, 4096)
                elif fd == self.listener.fileno():
                    self._accept()
                elif self._mode == "open" and by_fd[fd] in self._pairs:
                    pair = by_fd[fd]
                    try:
                        for pipe in pair:
                            if pipe.source.fileno() == fd and mask & ~select.POLLOUT and \
                                    pipe.ended is False:
                                self._read(pipe)
                    except BlockingIOError:
                        pass
                    except OSError:
                        self._end(pair)
            if self._mode == "open":
                for pair in list(self._pairs):
                    try:
                        for pipe in pair:
                            self._write(pipe, now)
                    except BlockingIOError:
                        pass
                    except OSError:
                        self._end(pair)
        for pair in list(self._pairs):
            self._end(pair)
        self.listener.close()
        os.close(self._wake_r)
        os.close(self._wake_w)


# ---- the watchdog ------------------------------------------------------------------------------

class _Watchdog:
    """Tells a separate process what to clean up if this one dies without doing so itself.

    The pipe is the leash: it closes when this process ends, however it ends.
    """

    def __init__(self):
        self.mutex, self.pipe, self.owner = threading.Lock(), None, None

    def tell(self, word, value):
        with self.mutex:
            if self.pipe is None or self.owner != os.getpid():
                child = subprocess.Popen(
                    [sys.executable, "-B", os.path.abspath(__file__), "watchdog"],
                    stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                    cwd="/", start_new_session=True)
                self.pipe, self.owner, self.child = child.stdin, os.getpid(), child
                atexit.register(self.finish)
            with contextlib.suppress(BrokenPipeError):
                self.pipe.write(f"{word} {value}\n".encode())
                self.pipe.flush()

    def finish(self):
        if self.owner == os.getpid():
            with contextlib.suppress(OSError):
                self.pipe.close()
            self.child.wait()


_watchdog = _Watchdog()


def _start_time(pid):
    with contextlib.suppress(OSError, IndexError), open(f"/proc/{pid}/stat") as f:
        return f.read().rpartition(")")[2].split()[19]
    return None


def watchdog_main():
    """Runs until standard input closes, then ends and removes what was not ended and removed."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    roots, folders = {}, []
    for line in sys.stdin:
        word, value = line.rstrip("\n").split(" ", 1)
        if word == "started":
            roots[int(value)] = _start_time(int(value))
        elif word == "ended":
            roots.pop(int(value), None)
        elif word == "folder":
            folders.append(value)
        elif word == "gone" and value in folders:
            folders.remove(value)
    for pid, started in roots.items():
        # A pid that was reused meanwhile has another start time.
        if started is not None and _start_time(pid) == started:
            kill_tree(pid)
    deadline = time.monotonic() + 5
    for path in folders:
        shutil.rmtree(path, ignore_errors=True)
        while os.path.exists(path) and time.monotonic() < deadline:
            time.sleep(0.1)
            shutil.rmtree(path, ignore_errors=True)


if __name__ == "__main__" and sys.argv[1:] == ["watchdog"]:
    watchdog_main()
