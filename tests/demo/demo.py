"""make demo: all of pgfanout on this machine, on private servers, with a real catalogue.

Starts a primary with a standby, two replicas and a RabbitMQ, migrates, starts the API and the consumer, imports
tests/data/catalogue.ndjson, registers the tables of a blog, waits until no change is in flight,
and compares primary, replicas and standby row by row. Then it keeps running, with commands to try, until Ctrl-C or SIGTERM. With DEMO=once it
ends after the comparison; the exit code is 0 only if all are equal.

Promises: it takes no port that is in use, and prefers the well-known ones; it writes the settings
to BUILD/demo/env for other terminals; it stops all it started and deletes its data. Any program or
server of it may be killed, to see what happens: the demo says so, starts it again and goes on; only
what ends again and again ends the demo.
"""
import hashlib
import itertools
import json
import os
import shlex
import signal
import sys
import time
import urllib.request

ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", ".."))
sys.path.insert(0, os.path.join(ROOT, "tests"))

# pylint: disable=wrong-import-position
from harness.servers import (HOST, PASSWORD, USER, HarnessError, Postgres, Program, RabbitMQ,
                             Standby, discard_all, free_port, new_folder, remove_folder, start_all,
                             wait_until)

CATALOGUE = os.path.join(ROOT, "tests", "data", "catalogue.ndjson")
# A blog as an application with an ORM has it: names with capitals, references.
BLOG = """
    create table "User" (id serial primary key, name text, email text not null unique);
    create table "Category" (id serial primary key, name text not null unique);
    create table "Post" (id serial primary key, title text not null, content text, published boolean not null default false,
        "createdAt" timestamp(3) not null default current_timestamp,
        "userId" integer not null references "User" on delete cascade, "categoryId" integer references "Category" on delete set null);
    create index on "Post" ("userId");
    create table "Comment" (id serial primary key, content text not null,
        "userId" integer not null references "User" on delete cascade, "postId" integer not null references "Post" on delete cascade);
    create index on "Comment" ("postId");
    insert into "User" (name, email) select 'User ' || i, 'user' || i || '@example.org' from generate_series(1, 100) i;
    insert into "Category" (name) values ('News'), ('Notes'), ('Reviews');
    insert into "Post" (title, "userId", "categoryId") select 'Post ' || i, i % 100 + 1, i % 3 + 1 from generate_series(1, 500) i;
    insert into "Comment" (content, "userId", "postId") select 'Comment ' || i, i % 100 + 1, i % 500 + 1 from generate_series(1, 1500) i;
    select pgfanout.add_table(t) from unnest(array['"User"', '"Category"', '"Post"', '"Comment"']) t;
"""
# As changes they come behind the copies of the tables, or are in them.
CHANGES = """
    update "Post" set published = true where id % 10 <> 0;
    delete from "User" where id > 90; -- and what is theirs
    insert into "User" (name, email) values ('Another one', 'another@example.org');
"""
RESOURCES = "users=User+posts+comments, posts=Post+users+categories+comments, categories=Category, comments=Comment"
TABLES = {  # what is compared, by key
    "products": "select id, name, price, stock, created_at, updated_at from products order by id",
    "User": 'select id, name, email from "User" order by id',
    "Category": 'select id, name from "Category" order by id',
    "Post": 'select id, title, content, published, "createdAt", "userId", "categoryId" from "Post" order by id',
    "Comment": 'select id, content, "userId", "postId" from "Comment" order by id',
}
LIMIT = 120  # seconds for the replicas to follow; they need about one
STABLE = 10  # seconds after which an end is a new event, and not the last one repeated
TRIES = 5    # ends in a row after which there is no more to be had


class Stop(Exception):
    """Somebody asked the demo to end."""


def on_signal(number, _frame):
    # A second Ctrl-C must not interrupt the tidying up.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise Stop(signal.Signals(number).name)


def say(text=""):
    print(text, flush=True)


def how(code):
    """What a process ended with, as a person says it."""
    return signal.Signals(-code).name if code < 0 else f"exit code {code}"


class Clock:
    """Prints a step's name and, when it is over, what it took."""

    def __init__(self, what):
        self.what = what

    def __enter__(self):
        print(f"  {self.what:<52}", end="", flush=True)
        self.begin = time.monotonic()
        return self

    def __exit__(self, kind, *_):
        self.seconds = time.monotonic() - self.begin
        say(f"{self.seconds:8.2f} s" if kind is None else "  -")


class Demo:
    """All that runs. close() may be called at any moment, also while something is starting."""

    def __init__(self, build):
        self.build = os.path.abspath(os.path.join(ROOT, build))
        self.home = os.path.join(self.build, "demo")
        os.makedirs(self.home, exist_ok=True)
        self.envfile = os.path.join(self.home, "env")
        self.servers, self.programs, self.folder, self.env = [], [], None, {}
        self.ends = {}  # name -> (when it was last started again, how often in a row)

    def start_servers(self):
        self.folder = new_folder()
        self.primary = Postgres("primary", self.folder, port=5432)
        self.replicas = [Postgres(f"replica-{n}", self.folder, port=5432 + n) for n in (1, 2)]
        self.rabbitmq = RabbitMQ(self.folder, port=5672, management_port=15672)
        self.servers = [self.primary, *self.replicas, self.rabbitmq]
        start_all(self.servers)
        for server in (self.primary, *self.replicas):
            server.create_database()
        self.standby = Standby("standby-1", self.folder, self.primary, port=5435)
        self.servers.append(self.standby)
        self.standby.start()
        self.copies = [*self.replicas, self.standby]

    def write_env(self):
        # Both servers that may lead: `pgfanout-migrate promote standby-1` can be tried.
        leaders = [self.primary, self.standby]
        ports = ",".join(str(server.port) for server in leaders)
        self.env = {
            "DATABASE_URL": self.primary.url().replace(
                f":{self.primary.port}/", f":{self.primary.port},{HOST}:{self.standby.port}/") + "?target_session_attrs=read-write",
            **{f"REPLICA_{n}_URL": r.url() for n, r in enumerate(self.replicas, 1)},
            "STANDBY_1_URL": self.standby.url(),
            "RABBITMQ_URL": self.rabbitmq.url(),
            "HOST": HOST, "PORT": str(free_port(8000)),
            "CONSUMER_HOST": HOST, "CONSUMER_PORT": str(free_port(8080)),
            "RESOURCES": RESOURCES,
        }
        self.api = f"http://{HOST}:{self.env['PORT']}"
        self.consumer = f"http://{HOST}:{self.env['CONSUMER_PORT']}"
        more = {
            "API": self.api, "CONSUMER": self.consumer,
            "PGHOST": ",".join(HOST for _ in leaders), "PGPORT": ports, "PGTARGETSESSIONATTRS": "read-write",
            "PGUSER": USER, "PGPASSWORD": PASSWORD, "PGDATABASE": "products",
            "RABBITMQ_UI": self.rabbitmq.management_url,
        }
        with open(self.envfile, "w") as f:
            f.write("# The running demo: set -a; . build/demo/env; set +a\n")
            for key, value in {**self.env, **more}.items():
                f.write(f"{key}={shlex.quote(value)}\n")
            f.write(f'PATH={shlex.quote(self.build)}:"$PATH"\n')

    def program(self, name, *args):
        log = os.path.join(self.home, f"{name}.log")
        if os.path.exists(log):
            os.unlink(log)
        # Not the caller's directory: a .env file there must not affect the demo.
        program = Program([os.path.join(self.build, name), *args], self.env, name, log, self.folder)
        self.programs.append(program)
        return program

    def migrate(self):
        program = self.program("pgfanout-migrate", "up")
        code = program.wait(60)
        self.programs.remove(program)
        if code != 0:
            program.kill9()
            raise HarnessError(f"pgfanout-migrate up: exit code {code}\n{program.log(60)}")

    def start_programs(self):
        self.program("pgfanout-api")
        self.program("pgfanout-consumer")
        self.wait_for_programs()

    def wait_for_programs(self):
        api, consumer = self.programs
        api.wait_for_http(self.api + "/ready")
        consumer.wait_for_http(self.consumer + "/health")

    def start_again(self):
        """Starts what has ended: servers first, programs need them. Whether anything had."""
        ended = [(s.name, s.process.popen.returncode, s.start, s.log)
                 for s in self.servers if not s.running()]
        ended += [(p.name, p.popen.returncode, p.restart, p.log)
                  for p in self.programs if not p.running()]
        for name, code, start, log in ended:
            begun, times = self.ends.get(name, (0, 0))
            times = times + 1 if time.monotonic() - begun < STABLE else 1
            if times > TRIES:
                raise HarnessError(f"{name} ended {times} times in a row, at last with "
                                   f"{how(code)}:\n{log(60)}")
            say(f"\n  {name} ended ({how(code)}): starting it again")
            try:
                start()
            except HarnessError:
                # A killed PostgreSQL's children may still be there, for a moment: next time.
                pass
            self.ends[name] = (time.monotonic(), times)
        return bool(ended)

    def http(self, path, data=None, kind="application/json"):
        """The JSON answer; asked once more where a program or server ended meanwhile."""
        request = urllib.request.Request(self.api + path, data=data, headers={"Content-Type": kind})
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        for left in reversed(range(TRIES)):
            try:
                with opener.open(request, timeout=120) as answer:
                    return json.load(answer)
            except OSError as e:
                text = e.read().decode(errors="replace") if hasattr(e, "read") else ""
                if not self.start_again() or not left:
                    raise HarnessError(f"{path}: {e} {text}\n{self.programs[0].log(60)}") from e
                self.wait_for_programs()
        raise AssertionError("not reached")

    def import_catalogue(self):
        with open(CATALOGUE, "rb") as f:
            answer = self.http("/api/products/import", f.read(), "application/x-ndjson")
        return answer["data"]

    def register_blog(self):
        self.primary.psql(BLOG)
        self.primary.psql(CHANGES)

    def wait_for_replicas(self):
        """Until no change record and no message is left and the replicas have caught up."""
        last = {}

        def settled():
            self.start_again()
            last["changes"] = int(self.primary.psql("select count(*) from pgfanout.outbox where heartbeat is null"))
            if last["changes"]:
                return False
            last["queues"] = {q: n for q, n in self.rabbitmq.queues().items()
                              if n and ".dead." not in q}
            if last["queues"]:
                return False
            # The queues' counts are a moment old; the tables' are not.
            for table, rows in TABLES.items():
                sums = [s.psql(f"select md5(string_agg(r::text, '')) from ({rows}) r")
                        for s in (self.primary, *self.copies)]
                last["equal"] = len(set(sums)) == 1 or table
                if last["equal"] is not True:
                    return False
            return True

        try:
            wait_until(settled, LIMIT, "the replicas to follow", 0.1)
        except TimeoutError:
            # Not the end: the comparison that comes next shows what differs.
            say(f"\n  not settled within {LIMIT} s: {last}")

    def compare(self):
        """Row by row; prints a line a table and server and every difference; true if all are equal."""
        say(f"\n  {'table':<10}{'server':<12}{'rows':>8}  sha256 of all rows")
        wrong, total = 0, 0
        for table, query in TABLES.items():
            text = {s.name: s.psql(f"set timezone = 'UTC'; copy ({query}) to stdout")
                    for s in (self.primary, *self.copies)}
            rows = {name: dict(line.split("\t", 1) for line in t.splitlines())
                    for name, t in text.items()}
            total += len(rows["primary"])
            for name, t in text.items():
                say(f"  {table:<10}{name:<12}{len(rows[name]):>8}  {hashlib.sha256(t.encode()).hexdigest()}")
            wrong += sum(self.differences(rows["primary"], rows[r.name], r.name) for r in self.copies)
        if wrong:
            say(f"\n  {wrong} rows DIFFER.")
        elif not total:
            say("\n  There are no rows: nothing was imported.")
        else:
            say(f"\n  All {total} rows are equal on {', '.join(r.name for r in self.replicas)} and {self.standby.name}.")
        return not wrong and bool(total)

    @staticmethod
    def differences(ours, theirs, name):
        """Prints the first, and counts all."""
        keys = [key for key in sorted(ours.keys() | theirs.keys()) if ours.get(key) != theirs.get(key)]
        for key in keys[:20]:
            say(f"  {key}\n    primary    {ours.get(key, '(none)')}\n    {name:<10} {theirs.get(key, '(none)')}")
        return len(keys)

    def examples(self):
        """Commands with ids that exist; each can be pasted as it is."""
        first, second, third = self.primary.psql(
            "select id from products order by id limit 3").split()
        env = os.path.relpath(self.envfile, ROOT)
        as_json = "-H 'Content-Type: application/json'"
        product = '{"name":"Crème brûlée","price":4.50,"stock":12}'
        urls = [("primary", self.primary)] + [(r.name, r) for r in self.copies]
        say("\nIn another terminal, for shorter commands (psql, reset-replicas and $API just work):")
        say(f"  cd {shlex.quote(ROOT)}; set -a; . {env}; set +a")
        say("\nRead (X-Served-By says which server answered)")
        say(f"  curl -si {self.api}/api/products/{first}")
        say(f"  curl -s '{self.api}/api/products?limit=5'")
        say("Write")
        say(f"  curl -si {as_json} -d '{product}' {self.api}/api/products")
        say(f"  curl -s -X PATCH {as_json} -d '{{\"price\":19.99}}' {self.api}/api/products/{second}")
        say(f"  curl -s -X DELETE {self.api}/api/products/{third}")
        say("Read your own writes: send back the X-Position of the answer, and whoever answers has the change")
        say(f"  at=$(curl -si -X PATCH {as_json} -d '{{\"stock\":7}}' {self.api}/api/products/{second} "
            "| tr -d '\\r' | sed -n 's/^X-Position: //p')")
        say(f"  curl -si -H \"X-Position: $at\" {self.api}/api/products/{second}")
        say("Look; any writer counts, psql too")
        for name, server in urls:
            say(f"  psql {server.url()} -c 'select count(*), max(updated_at) from products'"
                f"   # {name}")
        say(f"  psql {self.primary.url()} -c \"update products set stock = stock + 1\"")
        say("Any table: those of the blog, over HTTP, with what belongs to them")
        comment = '{"content":"Well said","userId":1,"postId":1}'
        say(f"  curl -s {self.api}/api/users/1")
        say(f"  curl -s '{self.api}/api/posts?limit=2&order=-id'")
        say(f"  curl -s {self.api}/api/posts/1/comments")
        say(f"  curl -s '{self.api}/api/users?email=eq.user7@example.org&select=id,name&embed=posts.categories'")
        say(f"  curl -si {as_json} -d '{comment}' {self.api}/api/comments")
        say(f"  curl -s -X PATCH {as_json} -d '{{\"title\":\"A better title\"}}' {self.api}/api/posts/1")
        say(f"  curl -s -X DELETE {self.api}/api/users/2   # and all that is theirs")
        say("… or with psql; and one of yours")
        say(f"  psql {self.replicas[0].url()} -c 'select count(*) from \"Post\"'   # {self.replicas[0].name}")
        say(f"  psql {self.primary.url()} -c \"create table mine (id int primary key, t text)\" "
            "-c \"select pgfanout.add_table('mine')\" -c 'table pgfanout.tables'")
        say("Rebuild the replicas while all goes on")
        settings = " ".join(f"{k}={shlex.quote(v)}" for k, v in self.env.items()
                            if k.endswith("_URL"))
        say(f"  env {settings} {os.path.relpath(self.build, ROOT)}/reset-replicas")
        say("A new primary, while all goes on (in the terminal with the shorter commands)")
        say("  pgfanout-migrate promote standby-1")
        say("Watch")
        say(f"  {self.rabbitmq.management_url}/#/queues   user: {USER}  password: {PASSWORD}")
        say(f"  {self.api}/status   {self.consumer}/status   {self.api}/metrics")
        say(f"  {os.path.relpath(self.home, ROOT)}/*.log")

    def stay(self):
        say("\nRunning until Ctrl-C.")
        for _ in itertools.count():
            time.sleep(1)
            self.start_again()

    def close(self):
        """Programs first, in reverse; true if each exited with 0."""
        clean = True
        for program in reversed(self.programs):
            if program.running():
                try:
                    code = program.stop()
                    if code != 0:
                        say(f"  {program.name}: exit code {code}\n{program.log(30)}")
                        clean = False
                except HarnessError as e:
                    say(str(e))
                    clean = False
        discard_all(self.servers)
        if self.folder:
            remove_folder(self.folder)
        if os.path.exists(self.envfile):
            os.unlink(self.envfile)
        return clean


def run(demo, once):
    say("pgfanout demo")
    with Clock("private servers: 4 PostgreSQL, 1 RabbitMQ"):
        demo.start_servers()
    demo.write_env()
    with Clock("pgfanout-migrate up"):
        demo.migrate()
    with Clock("pgfanout-api and pgfanout-consumer"):
        demo.start_programs()
    with Clock("import of the sample catalogue"):
        counts = demo.import_catalogue()
    with Clock("a blog's tables: made, registered, changed"):
        demo.register_blog()
    with Clock("until the replicas have all"):
        demo.wait_for_replicas()
    say("  imported: " + ", ".join(f"{k} {v}" for k, v in counts.items() if isinstance(v, int)))
    equal = demo.compare()
    if once:
        return 0 if equal else 1
    demo.examples()
    if not equal:
        say("\nThe replicas DIFFER from the primary: see the logs.")
    demo.stay()
    return 0


def main():
    signal.signal(signal.SIGINT, on_signal)
    signal.signal(signal.SIGTERM, on_signal)
    signal.signal(signal.SIGHUP, on_signal)
    demo = Demo(sys.argv[1] if len(sys.argv) > 1 else "build")
    try:
        code = run(demo, os.environ.get("DEMO") == "once")
    except Stop as e:
        # Ctrl-C is how the demo is meant to end; before it was up, it is an abort.
        say(f"\n{e}: stopping")
        code = 0 if os.environ.get("DEMO") != "once" else 1
    except (HarnessError, RuntimeError, TimeoutError) as e:
        say(f"\ndemo: {e}")
        code = 1
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        clean = demo.close()
    sys.exit(code if clean else code or 1)


if __name__ == "__main__":
    main()
