"""The faults, one row each. A row's trouble(arena, rng) is a context: entering it begins the fault,
leaving it ends it and restores only what an operator would restore. Some faults need another action
at the same time: what that action needs counts among their victims.

Rows with loses delete messages by hand. Nothing records which ones, so the round resets the
replicas afterwards. Two rows that share a victim never run as a pair.
"""
import contextlib
import dataclasses
import functools
import glob
import os
import time
import urllib.parse

import psycopg2

from faults import wire
from faults.workload import STREAMS
from harness.servers import start_all, wait_until

REPLICA, OTHER = "replica-1", "replica-2"


# ---- 1. our programs ---------------------------------------------------------------------------

def _restart_after(arena, rng, programs):
    time.sleep(rng.uniform(0, 5 if arena.form == "long" else 1.5))
    for program in programs:
        program.restart()


def _end(arena, how, programs):
    for program in programs:
        if how == "kill9":
            program.kill9()
        else:
            arena.sigterm(program)


def programs_end(how, which):
    @contextlib.contextmanager
    def trouble(arena, rng):
        programs = {"api": arena.apis, "consumer": arena.consumers,
                    "both": [*arena.apis, *arena.consumers]}[which]
        _end(arena, how, programs)
        _restart_after(arena, rng, programs)
        yield
    return trouble


def one_of_two(kind):
    """Starts a second one (kind "both": of each), and kills the two in turn."""
    @contextlib.contextmanager
    def trouble(arena, rng):
        both = {"api": [arena.apis], "consumer": [arena.consumers],
                "both": [arena.apis, arena.consumers]}[kind]
        for programs in both:
            programs.append(arena.start_api() if programs is arena.apis else arena.start_consumer())
        time.sleep(rng.uniform(0.2, 1))
        first_killed = rng.randrange(2)
        for n in (first_killed, 1 - first_killed):
            for programs in both:
                programs[n].kill9()
            time.sleep(rng.uniform(0, 1.5))
            for programs in both:
                programs[n].restart()
        yield
        for programs in both:
            arena.sigterm(programs.pop())
    return trouble


@contextlib.contextmanager
def paused_program(programs):
    for program in programs:
        program.pause()
    try:
        yield
    finally:
        for program in programs:
            program.resume()


def program_paused(which):
    return lambda arena, rng: paused_program(arena.apis if which == "api" else arena.consumers)


# ---- 2., 3. and 4. servers ---------------------------------------------------------------------

def _server(arena, name):
    return arena.stack.servers.by_name[name]


def server_down(name, how):
    @contextlib.contextmanager
    def trouble(arena, rng):
        server = _server(arena, name)
        if how == "kill9":
            server.kill9()
        else:
            server.stop()
        try:
            yield
        finally:
            start_all([server])
    return trouble


def server_paused(name):
    @contextlib.contextmanager
    def trouble(arena, rng):
        server = _server(arena, name)
        server.pause()
        try:
            yield
        finally:
            server.resume()
    return trouble


# ---- 2. the broker -----------------------------------------------------------------------------

@contextlib.contextmanager
def memory_alarm(arena, rng):
    arena.stack.rabbitmq.memory_alarm()
    try:
        yield
    finally:
        arena.stack.rabbitmq.clear_memory_alarm()


@contextlib.contextmanager
def disk_alarm(arena, rng):
    broker = arena.stack.rabbitmq
    broker.ctl("set_disk_free_limit", "1000000GB")
    try:
        wait_until(broker.alarmed, 30, "the disk alarm")
        yield
    finally:
        broker.ctl("set_disk_free_limit", "64MB")
        wait_until(lambda: not broker.alarmed(), 30, "the disk alarm to clear")


@contextlib.contextmanager
def connections_closed(arena, rng):
    for _ in range(3):
        arena.stack.rabbitmq.close_connections()
        time.sleep(rng.uniform(0.1, 0.7))
    yield


def deleted_by_hand(path):
    """path: of the management API below its vhost, with {stream}, and {kind} for sync or delete."""
    @contextlib.contextmanager
    def trouble(arena, rng):
        broker = arena.stack.rabbitmq
        what, _, name = path.format(kind=rng.choice(["sync", "delete"]), stream=rng.choice(STREAMS)).partition("/")
        vhost = urllib.parse.quote(arena.stack.vhost, safe="")
        broker.api("DELETE", f"/{what}/{vhost}/{name}")
        yield
    return trouble


@contextlib.contextmanager
def foreign_arguments(arena, rng):
    """Somebody else makes a queue of a replica, as a classic one. It is deleted at the end; the
    replica then resets itself."""
    queue = f"products.{rng.choice(['sync', 'delete'])}.{REPLICA}"

    def made():
        with contextlib.closing(arena.amqp()) as connection:
            channel = connection.channel()
            channel.queue_delete(queue)
            channel.queue_declare(queue, durable=True)  # fails if ours was quicker
        return True

    wait_until(made, 20, "a classic queue")
    yield
    with contextlib.closing(arena.amqp()) as connection:
        connection.channel().queue_delete(queue)


@contextlib.contextmanager
def second_installation(arena, rng):
    """Another primary's API with the same names on the same virtual host: it must publish nothing."""
    stack, name = arena.stack, f"{arena.stack.database}_second"
    urls = {"DATABASE_URL": stack.primary, "REPLICA_1_URL": stack.replicas[0],
            "REPLICA_2_URL": stack.replicas[1]}
    env = {key: server.create_database(name) for key, server in urls.items()}
    try:
        stack.run("pgfanout-migrate", "up", check=True, **env)
        other = stack.start_api(PORT=stack.port(), **env)
        try:
            wait_until(lambda: stack.get("/status", base=other.base).json()["data"]["relay"]["state"]
                       == "refused", 20, "the second installation to be refused")
            for _ in range(20):
                stack.post("/api/products", base=other.base,
                           json={"name": "theirs", "price": 1, "stock": 1}).raise_for_status()
            yield
            assert stack.get("/status", base=other.base).json()["data"]["relay"]["messages"] == 0
        finally:
            stack.apis.remove(other)
            arena.sigterm(other)
    finally:
        for server in urls.values():
            server.drop_database(name)


# What no program sees happen: some messages do not come, the replica counts, and resets itself.

def _path(arena, what, *names):
    return "/" + "/".join([what, *(urllib.parse.quote(n, safe="") for n in (arena.stack.vhost, *names))])


def noticed(trouble, ready=None):
    """The consumer is away meanwhile, so that something is lost for sure; a product is changed under
    it that the replica must then have by itself. ready is called before it goes away."""
    @contextlib.contextmanager
    def whole(arena, rng):
        consumer = arena.consumers[0]
        is_reset = reset_from_now_on(arena, REPLICA)
        if ready:
            ready(arena)
        arena.sigterm(consumer)
        try:
            with trouble(arena, rng):
                yield
        finally:
            consumer.restart()
        arena.awaited.append(("the replica to notice, and to reset itself", is_reset))
    return whole


def reset_from_now_on(arena, name, streams=("products",)):
    """A function that says whether these streams have been reset on the replica since this call, and need no
    other reset."""
    before = arena.stack.sql(name, "select max(reset_at) from pgfanout.streams where name = any(%s)", list(streams))[0][0]
    return lambda: arena.stack.sql(name, "select count(*) from pgfanout.streams where name = any(%s) and not needs_reset "
                                   "and reset_at > coalesce(%s::timestamptz, '-infinity')", list(streams), before) == [(len(streams),)]


def forgive_until_reset(arena, name, forgiven, streams=("products",)):
    """forgiven: the set of findings that the replica is in from now on, until it has been reset."""
    was_reset = reset_from_now_on(arena, name, streams)
    forgiven.add(name)

    def is_over():
        if not was_reset():
            return False
        time.sleep(1)  # reads that are under way
        forgiven.discard(name)
        return True

    arena.awaited.append((f"{name} to be reset", is_over))


@contextlib.contextmanager
def binding_removed(arena, rng):
    queue = f"products.sync.{REPLICA}"
    arena.stack.rabbitmq.api(
        "DELETE", f"{_path(arena, 'bindings')}/e/products/q/{queue}/products.sync")
    yield
    with contextlib.closing(arena.amqp()) as connection:
        connection.channel().queue_bind(queue, "products", "products.sync")


@contextlib.contextmanager
def purged(arena, rng):
    yield
    queue = f"products.sync.{REPLICA}"
    wait_until(lambda: arena.stack.queue_depth(queue), 20, "messages to purge")
    arena.stack.rabbitmq.api("DELETE", f"{_path(arena, 'queues', queue)}/contents")


def policy(**definition):
    """The trouble, and what makes ready for it. What the broker parks is no dead letter of the
    round's. The policy is there before the consumer goes: a message that came before it has no
    time to live, and would keep those behind it from expiring."""
    queue, dead = f"products.sync.{REPLICA}", f"products.dead.{REPLICA}"

    def ready(arena):
        rabbitmq = arena.stack.rabbitmq
        rabbitmq.api("PUT", _path(arena, "policies", "fault"), {
            "pattern": f"^products[.]sync[.]{REPLICA}$", "apply-to": "queues", "priority": 1,
            "definition": {k.replace("_", "-"): v for k, v in definition.items()}})
        wait_until(lambda: rabbitmq.api("GET", _path(arena, "queues", queue)).get("policy") == "fault",
                   20, "the policy to be the queue's")

    @contextlib.contextmanager
    def trouble(arena, rng):
        try:
            yield
            wait_until(lambda: arena.stack.queue_depth(dead), 20, "messages that the broker parked")
        finally:
            arena.stack.rabbitmq.api("DELETE", _path(arena, "policies", "fault"))
        arena.awaited.append(("the last messages with a time to live to be gone", lambda: gone(arena)))

    def gone(arena):
        if (arena.stack.rabbitmq.api("GET", _path(arena, "queues", queue)).get("policy")
                or arena.stack.queue_depth(queue)):
            return False
        with contextlib.closing(arena.amqp()) as connection:
            connection.channel().queue_purge(dead)
        return True
    return trouble, ready


@contextlib.contextmanager
def old_backup(arena, rng):
    """The replica's tables as they were before the fault: it steps back until it is reset."""
    run = functools.partial(arena.stack.sql, REPLICA)
    tables = ["pgfanout.dead_letters", "pgfanout.streams", "pgfanout.received", "pgfanout.arrivals",
              "pgfanout.heartbeats", "pgfanout.waiting", "pgfanout.tables", "pgfanout.positions", "pgfanout.places",
              "pgfanout.wrong_changes"]
    registered = run("select relation::text, id, stream from pgfanout.tables")
    for table, number, _ in registered:
        tables += [table, f"pgfanout.tombstones_{number}"]
    for table in tables:
        run(f"drop table if exists old_{table.replace('.', '_')}")
        run(f"create table old_{table.replace('.', '_')} as table {table}")
    arena.consumers[0].restart()
    yield
    arena.assert_fresh(REPLICA)
    for stream in {stream for _, _, stream in registered}:  # one that loses nothing has no need of a reset
        changed = " union all ".join(
            f"(select t::text from {table} t except select t::text from old_{table.replace('.', '_')} t)"
            for table, _, of in registered if of == stream)
        wait_until(lambda q=changed: run(q), 20, f"a row of stream {stream} that the backup lacks")
    arena.sigterm(arena.consumers[0])
    forgive_until_reset(arena, REPLICA, arena.readers.findings.restored, STREAMS)
    for table in tables:
        run(f"truncate {table}; insert into {table} overriding system value table old_{table.replace('.', '_')}")


# ---- 3. a replica ------------------------------------------------------------------------------

def _terminate(connection):
    """Ends all other sessions of the database."""
    with connection.cursor() as cursor:
        cursor.execute("select pg_terminate_backend(pid) from pg_stat_activity "
                       "where datname = current_database() and pid <> pg_backend_pid()")


@contextlib.contextmanager
def _operator(arena, name):
    """A session that was there before the trouble."""
    connection = arena.connect(_server(arena, name))
    connection.autocommit = True
    try:
        with connection.cursor() as cursor:
            yield connection, cursor.execute
    finally:
        connection.close()


@contextlib.contextmanager
def read_only(name, arena, rng):
    with _operator(arena, name) as (_, run):
        run("alter system set default_transaction_read_only = on")
        run("select pg_reload_conf()")
        try:
            yield
        finally:
            run("alter system reset default_transaction_read_only")
            run("select pg_reload_conf()")


@contextlib.contextmanager
def disk_full(name, arena, rng):
    with _operator(arena, name) as (_, run):
        run("create or replace function fault_full() returns trigger language plpgsql as $$ begin "
            "raise exception 'no space left on device' using errcode = '53100'; end $$")
        run("create trigger fault_full before insert or update or delete on products "
            "for each statement execute function fault_full()")
        try:
            yield
        finally:
            run("drop function fault_full cascade")


@contextlib.contextmanager
def unlogged_crash(name, arena, rng):
    """Somebody made the replica's table UNLOGGED, so the crash empties it. Nothing of that is served, and
    the replica resets itself."""
    forgive_until_reset(arena, name, arena.readers.findings.emptied)
    arena.stack.sql(name, "alter table products set unlogged")
    with server_down(name, "kill9")(arena, rng):
        yield


@contextlib.contextmanager
def locked(name, arena, rng):
    with _operator(arena, name) as (_, run):
        run("begin")
        run("lock table products in access exclusive mode")
        try:
            yield
        finally:
            run("rollback")


def _fill(server, connections):
    for _ in range(200):
        try:
            connections.append(psycopg2.connect(server.url("postgres"), connect_timeout=5))
        except psycopg2.OperationalError:
            return


@contextlib.contextmanager
def connections_exhausted(name, arena, rng):
    server, connections = _server(arena, name), []
    with _operator(arena, name) as (connection, _):
        try:
            _fill(server, connections)
            for _ in range(3):
                _terminate(connection)
                _fill(server, connections)
            yield
        finally:
            for other in connections:
                other.close()


@contextlib.contextmanager
def password_changed(name, arena, rng):
    with _operator(arena, name) as (connection, run):
        run("alter role \"user\" password 'another'")
        _terminate(connection)
        try:
            yield
        finally:
            run("alter role \"user\" password 'password'")


@contextlib.contextmanager
def own_constraint(name, arena, rng):
    """One product that this replica refuses: it becomes a dead letter, and a newer change cures it.
    Repeated messages that are in flight when the constraint is dropped are stale then, not dead
    letters."""
    stack, queue = arena.stack, f"products.dead.{name}"
    stack.sql(name, "alter table products add constraint fault check (name <> 'refused here')")
    try:
        key = stack.sql("primary", "insert into products (id, name, price, stock) values "
                        "(gen_random_uuid(), 'refused here', 1, 1) returning id::text")[0][0]
        yield
        wait_until(lambda: stack.queue_depth(queue), 20, "the refused change to be parked")
    finally:
        stack.sql(name, "alter table products drop constraint if exists fault")
    stack.sql("primary", "update products set name = 'fine', stock = 2 where id = %s", key)
    wait_until(lambda: stack.sql(name, "select 1 from products where id = %s and stock = 2", key),
               20, "the newer change")
    with contextlib.closing(stack.amqp()) as connection:
        connection.channel().queue_purge(queue)


# ---- 4. the primary ----------------------------------------------------------------------------

@contextlib.contextmanager
def failing_commits(arena, rng):
    """Half of all commits that wrote products fail at the very commit."""
    with _operator(arena, "primary") as (_, run):
        run("create or replace function fault_commit() returns trigger language plpgsql as $$ "
            "begin if pg_current_xact_id()::text::bigint % 2 = 0 then raise exception "
            "'this commit fails' using errcode = '53100'; end if; return null; end $$")
        run("create constraint trigger fault_commit after insert or update or delete on products "
            "deferrable initially deferred for each row execute function fault_commit()")
        try:
            yield
        finally:
            run("drop function fault_commit cascade")


@contextlib.contextmanager
def triggers_off_and_on(arena, rng):
    """What is written meanwhile is in no queue, and the API writes nothing: `up` repairs it, and has the
    replicas reset."""
    with _operator(arena, "primary") as (_, run):
        run("alter table products disable trigger user")
        try:
            yield
        finally:
            run("alter table products enable trigger user")
    done = arena.stack.run("pgfanout-migrate", "up")
    assert done.returncode == 0 and "capture was broken" in done.stdout, done.stdout + done.stderr


@contextlib.contextmanager
def long_transaction(arena, rng):
    """Written at the beginning, committed at the end: a low version that comes late."""
    with _operator(arena, "primary") as (_, run):
        run("begin")
        run("insert into products (id, name, price, stock) values (gen_random_uuid(), 'late', 1, 1)")
        yield
        run("commit")


# ---- 5. the network ----------------------------------------------------------------------------

def network(edge, how):
    """edge: one of wire.EDGES, or "all"."""
    @contextlib.contextmanager
    def trouble(arena, rng):
        lines = [w for name, w in sorted(arena.wires.items()) if edge in (name, "all")]
        try:
            for line in lines:
                if how == "cut":
                    line.cut()
                elif how == "torn":
                    line.cut_after(rng.randint(1, 3000))
                elif how == "stalled":
                    line.stall()
                else:
                    line.delay(100)
            if how == "torn":
                for _ in range(4):
                    time.sleep(rng.uniform(0.2, 0.6))
                    for line in lines:
                        line.cut_after(rng.randint(1, 3000))
            # Only the reset uses these wires: without it no traffic would be on them.
            with reset_on(arena) if edge.startswith("reset-") else contextlib.nullcontext():
                yield
        finally:
            for line in lines:
                line.repair()
    return trouble


@contextlib.contextmanager
def slow_broker(arena, rng):
    """Everything between the programs and the broker is late by 100 ms, new connections included."""
    lines = [w for name, w in sorted(arena.wires.items()) if name.endswith("-rabbitmq")]
    try:
        for line in lines:
            line.delay(100)
            line.drop()
        yield
    finally:
        for line in lines:
            line.repair()


def own_reset(how):
    """The consumer needs the primary only to reset a replica whose queue was lost."""
    @contextlib.contextmanager
    def trouble(arena, rng):
        consumer = arena.consumers[0]
        arena.sigterm(consumer)  # a new one has not just reset the replica, and need not wait
        consumer.restart()
        is_reset = reset_from_now_on(arena, REPLICA)
        with network("consumer-primary", how)(arena, rng), \
                deleted_by_hand(f"queues/products.{{kind}}.{REPLICA}")(arena, rng):
            yield
        arena.awaited.append(("the replica to reset itself", is_reset))
    return trouble


# ---- 6. reset-replicas -------------------------------------------------------------------------

RESET_LIMIT = 120  # seconds: a reset ends by itself, whatever happens to it
RESET_CODES = (0, 1, 3, 5, 6)


@contextlib.contextmanager
def reset_on(arena):
    """A reset that begins with the fault; it may fail, but it ends, and says why."""
    reset = arena.start_reset()
    reset.may_fail = True
    yield
    code = reset.wait(RESET_LIMIT)
    assert code in RESET_CODES, f"reset-replicas: exit code {code}\n{reset.log(40)}"
    assert code == 0 or reset.log(), f"reset-replicas: exit code {code} without a word"


@contextlib.contextmanager
def resets(arena, rng):
    """One reset after another as long as the fault lasts; those that fail leave the old table."""
    done = []

    def step():
        if not done or done[-1].wait(0) is not None:
            done.append(arena.start_reset())
            done[-1].may_fail = True

    step()
    arena.every_moment.append(step)
    try:
        yield
    finally:
        arena.every_moment.remove(step)
    codes = [reset.wait(RESET_LIMIT) for reset in done]
    assert all(code in RESET_CODES for code in codes), f"{codes}\n{done[-1].log(40)}"


@contextlib.contextmanager
def resets_killed(arena, rng):
    """Killed at ten points spread over the duration of one; then one completes."""
    began = time.monotonic()
    arena.reset()
    took = time.monotonic() - began
    for point in range(10):
        reset = arena.start_reset()
        time.sleep(took * (point + rng.random()) / 10)
        reset.kill9()
    yield
    arena.reset()


# ---- 7. the clock ------------------------------------------------------------------------------

@contextlib.contextmanager
def clock_steps(arena, rng):
    """The consumer's wall clock jumps by hours and days, forwards and back."""
    library = glob.glob("/usr/lib/*/faketime/libfaketimeMT.so.1")
    assert library, "libfaketime is missing: run make deps"
    path = f"{arena.stack.folder}/clock"
    consumer = arena.consumers[0]
    before = dict(consumer.env)

    def step(text):
        with open(path + ".new", "w") as f:
            f.write(text + "\n")
        os.rename(path + ".new", path)  # an empty file would end the program that reads it then

    step("+0")
    arena.sigterm(consumer)
    consumer.env.update(LD_PRELOAD=library[0], FAKETIME_TIMESTAMP_FILE=path, FAKETIME_NO_CACHE="1",
                        FAKETIME_DONT_FAKE_MONOTONIC="1", DONT_FAKE_MONOTONIC="1")
    consumer.restart()
    for offset in rng.sample(["+1h", "-1h", "+30d", "-30d", "+0.7", "-0.7"], 4):
        time.sleep(rng.uniform(0.4, 1))
        step(offset)
    yield
    arena.sigterm(consumer)
    consumer.env = before
    consumer.restart()


# ---- the table ---------------------------------------------------------------------------------

@dataclasses.dataclass
class Fault:
    """limit: seconds from the end of the fault until everything is equal, including the writers'
    last turns. hold: the shortest and longest duration of the fault, in the two forms."""
    name: str
    trouble: object
    victims: tuple
    short: tuple = (1, 2)
    long: tuple = (2, 10)
    limit: int = 30
    loses: bool = False
    marks: bool = False         # a replica notices that messages did not come
    writes_go_on: bool = False  # the API must not fail a single write
    bystander: str = ""         # a replica that must stay fresh meanwhile
    wired: bool = False

    @property
    def hold(self):
        return {"short": self.short, "long": self.long}


def _programs():
    yield Fault("api-kill9", programs_end("kill9", "api"), ("api",))
    yield Fault("api-sigterm", programs_end("sigterm", "api"), ("api",))
    yield Fault("consumer-kill9", programs_end("kill9", "consumer"), ("consumer",),
                writes_go_on=True)
    yield Fault("consumer-sigterm", programs_end("sigterm", "consumer"), ("consumer",),
                writes_go_on=True)
    yield Fault("both-kill9", programs_end("kill9", "both"), ("api", "consumer"))
    yield Fault("both-sigterm", programs_end("sigterm", "both"), ("api", "consumer"))
    yield Fault("two-apis", one_of_two("api"), ("api",))
    yield Fault("two-consumers", one_of_two("consumer"), ("consumer",), writes_go_on=True)
    yield Fault("two-of-each", one_of_two("both"), ("api", "consumer"))
    yield Fault("api-paused", program_paused("api"), ("api",), short=(2, 4), long=(10, 30))
    yield Fault("consumer-paused", program_paused("consumer"), ("consumer",), short=(2, 4),
                long=(10, 30), writes_go_on=True)


def _broker():
    def row(name, trouble, **more):
        return Fault(f"rabbitmq-{name}", trouble, ("rabbitmq",),
                     **{"limit": 45, "writes_go_on": True, **more})
    yield row("kill9", server_down("rabbitmq", "kill9"), short=(0, 1))
    yield row("stop", server_down("rabbitmq", "stop"), short=(0, 1))
    yield row("paused", server_paused("rabbitmq"), short=(8, 8), long=(30, 30))
    yield row("memory-alarm", memory_alarm)
    yield row("disk-alarm", disk_alarm)
    yield row("connections-closed", connections_closed)
    purge = f"queues/{{stream}}.{{kind}}.{REPLICA}/contents"
    yield row("queue-purged", deleted_by_hand(purge), loses=True)
    yield row("queue-deleted", deleted_by_hand(f"queues/{{stream}}.{{kind}}.{REPLICA}"), loses=True)
    yield row("foreign-arguments", foreign_arguments, bystander=OTHER, limit=90)
    yield Fault("second-installation", second_installation, ("api", "primary", "rabbitmq", REPLICA, OTHER),
                writes_go_on=True)
    yield row("exchange-deleted", deleted_by_hand("exchanges/{stream}"), loses=True)

    def counted(name, trouble, ready=None):
        return Fault(name, noticed(trouble, ready), ("rabbitmq", "consumer", "reset", REPLICA, "primary", "api"),
                     limit=60, writes_go_on=True, marks=True)
    yield counted("binding-removed", binding_removed)
    yield counted("purged-unseen", purged)
    yield counted("policy-ttl", *policy(message_ttl=50))
    yield counted("policy-max-length", *policy(max_length=3))
    yield counted("old-backup", old_backup)


def _replica(replica, other, prefix):
    def row(name, trouble, *needed, **more):
        return Fault(f"{prefix}-{name}", trouble, (replica, *needed),
                     **{"writes_go_on": True, "bystander": other, "long": (20, 30), **more})

    def on(trouble):
        return functools.partial(trouble, replica)
    yield row("kill9", server_down(replica, "kill9"))
    yield row("stop", server_down(replica, "stop"), short=(8, 9))
    yield row("paused", server_paused(replica), short=(5, 6))
    yield row("read-only", on(read_only), short=(2, 4))
    yield row("disk-full", on(disk_full), short=(2, 4))
    yield row("unlogged-crash", on(unlogged_crash), "consumer", "primary", "reset", limit=60)
    yield row("locked", on(locked), short=(5, 6), long=(20, 20))
    yield row("connections-exhausted", on(connections_exhausted), short=(2, 4))
    yield row("own-constraint", on(own_constraint), "api", "consumer", "primary", "rabbitmq", "reset",
              long=(2, 10))
    yield row("password-changed", on(password_changed), short=(2, 4))


def _replicas():
    yield from _replica(REPLICA, OTHER, "replica")
    yield from _replica(OTHER, REPLICA, "replica-2")


def _primary():
    def row(name, trouble, **more):
        return Fault(f"primary-{name}", trouble, ("primary",), **more)
    yield row("kill9", server_down("primary", "kill9"))
    yield row("stop", server_down("primary", "stop"))
    yield row("paused", server_paused("primary"), short=(4, 5), long=(10, 10))
    yield row("failing-commits", failing_commits, short=(2, 3))
    yield row("long-transaction", long_transaction, short=(3, 4), long=(20, 30))
    yield Fault("primary-triggers-off-and-on", triggers_off_and_on, ("primary", REPLICA, OTHER, "reset"),
                short=(2, 3), limit=90)


def _network():
    goes_on = ("api-replica-1", "api-rabbitmq", "consumer-replica-1", "consumer-rabbitmq",
               "reset-primary", "reset-replica-1", "reset-rabbitmq")
    times = {"cut": ((1, 2), (5, 15)), "torn": ((0, 0), (2, 5)), "stalled": ((4, 4), (30, 30)),
             "slow": ((2, 2), (10, 20))}
    for edge in (e for e in wire.EDGES if e != "consumer-primary"):
        for how, (short, long) in times.items():
            yield Fault(f"{edge}-{how}", network(edge, how), tuple(edge.split("-", 1)),
                        short=short, long=long, wired=True, writes_go_on=edge in goes_on)
    for how, (short, long) in times.items():
        yield Fault(f"consumer-primary-{how}", own_reset(how), ("consumer", "primary", "rabbitmq", REPLICA, "reset"),
                    short=short, long=long, limit=90, wired=True, writes_go_on=True)
    yield Fault("rabbitmq-slow-anew", slow_broker, ("api", "consumer", "reset", "rabbitmq"),
                short=(4, 5), long=(35, 45), limit=60, wired=True, writes_go_on=True)
    yield Fault("all-slow", network("all", "slow"), wire.EDGES, short=(2, 3), long=(20, 30),
                wired=True)


def _rest():
    yield Fault("resets", resets, ("reset",), short=(3, 4), long=(10, 20), writes_go_on=True)
    yield Fault("resets-killed", resets_killed, ("reset", REPLICA, "primary", "rabbitmq"), short=(0, 0), long=(0, 1),
                writes_go_on=True)
    yield Fault("clock-steps", clock_steps, ("consumer",), short=(0, 1), writes_go_on=True)


FAULTS = {fault.name: fault for group in (_programs, _broker, _replicas, _primary, _rest, _network)
          for fault in group()}


def pair(rng, names):
    """Two of the named faults that share no victim, or None."""
    for _ in range(100):
        one, two = (FAULTS[name] for name in rng.sample(sorted(names), 2))
        if not set(one.victims) & set(two.victims):
            return one, two
    return None
