"""pgfanout-migrate promote: a standby takes the place of the primary, on servers of each test's own."""
import contextlib
import os
import re
import signal
import threading
import time

import psycopg2
import pytest
from conftest import SLOWNESS, wait_until
from harness.servers import HOST, PASSWORD, USER, Postgres, Standby, discard_all, start_all

OK, USAGE, UNREACHABLE, SCHEMA, BUSY, REFUSED = 0, 2, 3, 4, 5, 6
PRODUCT = "insert into products (name, price, stock) values ('%s', 1, 1)"
FENCED = "is not the primary any more"


class Cluster:
    """A primary with standbys, and the two replicas of a stack. DATABASE_URL names all servers of it."""

    def __init__(self, stack):
        self.stack, self.db, self.all = stack, stack.database, []
        stack.cleanups.append(lambda: discard_all(self.all))
        self.old = self.start(Postgres(f"old-{self.db}".replace("_", "-"), stack.servers.folder))
        self.old.create_database(self.db)
        stack.env["DATABASE_URL"] = self.url()
        stack.migrate()

    def start(self, server):
        self.all.append(server)
        start_all([server])
        return server

    def url(self, user=USER):
        hosts = ",".join(f"{HOST}:{s.port}" for s in self.all)
        return f"postgresql://{user}:{PASSWORD}@{hosts}/{self.db}?target_session_attrs=read-write"

    def standby(self, n=1):
        standby = self.start(Standby(f"standby-{n}-{self.db}".replace("_", "-"), self.stack.servers.folder, self.old))
        self.stack.env[f"STANDBY_{n}_URL"] = standby.url(self.db)
        self.stack.env["DATABASE_URL"] = self.url()
        return standby

    def promote(self, *args, **env):
        return self.stack.run("pgfanout-migrate", "promote", *args, **env)

    def start_promote(self, *args):
        program = self.stack.start_program("pgfanout-migrate", "promote", *args)
        program.may_fail = True
        return program

    def psql(self, server, script):
        return server.psql(script, self.db).strip()

    def names(self, server):
        return self.psql(server, "select string_agg(name, ' ' order by name) from products")

    def source(self, server):
        return self.psql(server, "select pgfanout.source()")

    def leads(self, server):
        return self.psql(server, "select not pg_is_in_recovery()") == "t"

    def assert_followed(self, server):
        for n in (1, 2):
            assert self.stack.sql(f"replica-{n}", "select distinct follows from pgfanout.streams where stream = 1") == \
                [(self.source(server),)]

    def assert_nothing_changed(self, standby):
        assert not self.leads(standby)
        self.psql(self.old, PRODUCT % "goes on" + "; delete from products where name = 'goes on'; create table t (); drop table t")

    def assert_fenced(self):
        """Registered tables take nothing, others nothing from who does not insist."""
        with pytest.raises(RuntimeError, match="read-only transaction"):
            self.psql(self.old, "create table further (id int)")
        with pytest.raises(RuntimeError, match=FENCED):
            self.psql(self.old, "set default_transaction_read_only = off; " + PRODUCT % "lost")


@pytest.fixture
def cluster(bare_stack):
    return Cluster(bare_stack)


class Writer:
    """Writes all the time, to whoever takes it, and knows what was acknowledged."""

    def __init__(self, cluster):
        self.url, self.written, self.stopped = cluster.url(), [], False
        self.thread = threading.Thread(target=self.run)
        self.thread.start()

    def run(self):
        conn, n = None, 0
        while not self.stopped:
            try:
                conn = conn or psycopg2.connect(self.url, connect_timeout=2)
                conn.autocommit = True
                n += 1
                conn.cursor().execute(PRODUCT % f"w{n:06d}")
                self.written.append(f"w{n:06d}")
            except psycopg2.Error:
                conn = None
                time.sleep(0.01)

    def stop(self):
        self.stopped = True
        self.thread.join()


def wait_ended(program):
    assert program.wait(60 * SLOWNESS) is not None, program.log()
    return program.popen.returncode


def test_planned(cluster):
    """Nothing is lost, the old primary takes no more writes, the replicas follow; and again: nothing is left to do."""
    standby = cluster.standby()
    # As if it had been a primary once, and fenced.
    cluster.psql(standby, "alter system set default_transaction_read_only = on")
    cluster.psql(standby, "select pg_reload_conf()")
    writers = [psycopg2.connect(cluster.old.url(cluster.db)) for _ in range(2)]
    writers[0].cursor().execute("set synchronous_commit = off")
    writers[0].commit()
    writers[1].cursor().execute(PRODUCT % "never committed")
    writers[0].cursor().execute(PRODUCT % "committed")
    writers[0].commit()
    version = int(cluster.psql(cluster.old, "select last_value from pgfanout.version_seq"))

    done = cluster.promote("standby-1")
    assert done.returncode == OK, done.stdout + done.stderr
    assert "standby-1: promoted, timeline 2" in done.stdout and "has all that the old primary" in done.stdout
    assert "reset-replicas" not in done.stdout and "DATABASE_URL" not in done.stdout and done.stderr == ""
    assert cluster.leads(standby) and cluster.names(standby) == "committed"
    for writer in writers:
        with pytest.raises(psycopg2.Error):
            writer.cursor().execute(PRODUCT % "lost")
    cluster.assert_fenced()
    source = cluster.source(standby)
    assert source.startswith(cluster.source(cluster.old) + "@2-") and f"leads: {source}" in done.stdout
    cluster.assert_followed(standby)
    assert "replica-1: follows it\n" in done.stdout and "replica-2: follows it\n" in done.stdout
    cluster.psql(standby, PRODUCT % "new" + "; create table further (id int)")
    assert int(cluster.psql(standby, "select last_value from pgfanout.version_seq")) > version + 2 ** 32

    for args in ([], ["--old-is-dead"]):
        done = cluster.promote("standby-1", *args)
        assert done.returncode == OK, done.stdout + done.stderr
        assert "takes writes already, timeline 2" in done.stdout and "replica-1: follows it already\n" in done.stdout
        assert cluster.source(standby) == source
    # The programs find it by DATABASE_URL.
    stack = cluster.stack
    stack.start_api()
    stack.start_consumer()
    stack.create("by the API")
    for n in (1, 2):
        wait_until(lambda n=n: stack.sql(f"replica-{n}", "select string_agg(name, ',' order by name) from products") ==
                   [("by the API,committed,new",)], 30 * SLOWNESS, "the replicas to have it", 0.1)


def test_nothing_acknowledged_is_lost(cluster):
    """While it is written all the time, by who goes on with the new primary."""
    standby = cluster.standby()
    writer = Writer(cluster)
    try:
        wait_until(lambda: len(writer.written) > 100, 20 * SLOWNESS, "writes")
        done = cluster.promote("standby-1")
        assert done.returncode == OK, done.stdout + done.stderr
        before = len(writer.written)
        wait_until(lambda: len(writer.written) > before + 10, 20 * SLOWNESS, "writes on the new primary")
    finally:
        writer.stop()
    assert set(writer.written) <= set(cluster.names(standby).split())


def test_the_old_primary_is_dead(cluster):
    """It is not promoted without our saying so, nor if another standby has received more. The old primary comes back:
    it is fenced by another run."""
    first, second = cluster.standby(), cluster.standby(2)
    cluster.psql(cluster.old, PRODUCT % "both have it")
    wait_until(lambda: cluster.names(first) == "both have it", 20 * SLOWNESS, "the standby to have it")
    first.stop()
    cluster.psql(cluster.old, PRODUCT % "one has it")
    wait_until(lambda: "one" in cluster.names(second), 20 * SLOWNESS, "the standby to have it")
    cluster.old.kill9()
    first.start()

    done = cluster.promote("standby-1")
    assert done.returncode == UNREACHABLE and "--old-is-dead" in done.stderr and "nothing was changed" in done.stderr
    done = cluster.promote("--old-is-dead", "standby-1")
    assert done.returncode == REFUSED and "standby-2" in done.stderr and "received more" in done.stderr, done.stderr
    assert not cluster.leads(first) and not cluster.leads(second)

    cluster.stack.replicas[1].stop()
    done = cluster.promote("standby-2", "--old-is-dead", DATABASE_URL=cluster.old.url(cluster.db))
    assert done.returncode == OK, done.stdout + done.stderr
    assert cluster.leads(second) and cluster.names(second) == "both have it one has it"
    assert "replica-1: follows it\n" in done.stdout and "replica-2: not told" in done.stdout
    assert "primary: does not answer" in done.stdout and "reset-replicas --repair" in done.stdout
    assert f"does not name its host, as in postgresql://{USER}@{HOST}:{second.port}/{cluster.db}" in done.stdout
    assert not cluster.leads(first)

    cluster.old.start()
    cluster.stack.replicas[1].start()
    cluster.psql(cluster.old, PRODUCT % "too late")
    done = cluster.promote("standby-2")
    assert done.returncode == OK, done.stdout + done.stderr
    assert "primary: fenced" in done.stdout and "reset-replicas --repair" in done.stdout
    assert "replica-1: follows it already\n" in done.stdout and "replica-2: follows it\n" in done.stdout
    cluster.assert_fenced()
    cluster.assert_followed(second)


def test_it_is_said_to_be_dead_and_is_not(cluster):
    """A standby that is cut off: what it lacks is counted. The old primary is fenced all the same."""
    standby, second = cluster.standby(), cluster.standby(2)
    cluster.psql(standby, "alter system set primary_conninfo = ''")
    cluster.psql(standby, "select pg_reload_conf()")
    wait_until(lambda: cluster.psql(standby, "select count(*) from pg_stat_wal_receiver") == "0", 20 * SLOWNESS, "no receiver")
    cluster.psql(cluster.old, PRODUCT % "lost")
    wait_until(lambda: cluster.names(second) == "lost", 20 * SLOWNESS, "the other standby to have it")
    done = cluster.promote("standby-1")
    assert done.returncode == REFUSED and "receives nothing" in done.stderr and "nothing was changed" in done.stderr
    done = cluster.promote("standby-1", "--old-is-dead")
    assert done.returncode == REFUSED and "standby-2, has received more" in done.stderr, done.stderr
    cluster.assert_nothing_changed(standby)
    second.stop()
    done = cluster.promote("standby-1", "--old-is-dead")
    assert done.returncode == OK, done.stdout + done.stderr
    assert int(re.search(r"the last (\d+) bytes of the old primary's WAL are lost", done.stdout)[1]) > 100
    assert "reset-replicas --repair" in done.stdout and cluster.names(standby) == ""
    cluster.assert_fenced()
    cluster.assert_followed(standby)


def test_killed_and_run_again(cluster):
    standby = cluster.standby()
    writer = psycopg2.connect(cluster.old.url(cluster.db))
    writer.cursor().execute(PRODUCT % "committed")
    writer.commit()

    # 1. It is fenced, and a session does not end: the process hangs.
    writer.cursor().execute("select 1")
    backend = writer.info.backend_pid
    os.kill(backend, signal.SIGSTOP)
    program = cluster.start_promote("standby-1")
    wait_until(lambda: cluster.psql(cluster.old, "select pgfanout.is_fenced()") == "t", 30 * SLOWNESS, "the fence")
    wait_until(lambda: cluster.psql(cluster.old, "show default_transaction_read_only") == "on", 30 * SLOWNESS, "the fence")
    program.kill9()
    assert not cluster.leads(standby)
    cluster.assert_fenced()

    # 2. The standby has not replayed all: it is paused once the old primary is fenced again. A stop says how to undo.
    program = cluster.start_promote("standby-1")
    program.wait_for_line("primary: fencing", 30 * SLOWNESS)
    cluster.psql(standby, "select pg_wal_replay_pause()")
    wait_until(lambda: cluster.psql(standby, "select pg_get_wal_replay_pause_state()") == "paused", 20 * SLOWNESS, "replay to pause")
    os.kill(backend, signal.SIGCONT)
    program.wait_for_line("replay is paused", 30 * SLOWNESS)
    program.kill9()
    program = cluster.start_promote("standby-1")
    program.wait_for_line("replay is paused", 30 * SLOWNESS)
    program.signal(signal.SIGTERM)
    assert wait_ended(program) == 7 and "SELECT pgfanout.fence(false)" in program.log(), program.log()
    cluster.psql(standby, "select pg_wal_replay_resume()")

    # 3. It is promoted, and leads, but a replica is not told.
    replica = cluster.stack.connect("replica-2")
    replica.cursor().execute("select pg_advisory_xact_lock(1885824611, 1)")
    program = cluster.start_promote("standby-1")
    program.wait_for_line("replica-1: follows it", 60 * SLOWNESS)
    program.kill9()
    replica.rollback()
    assert cluster.leads(standby) and cluster.names(standby) == "committed"
    source = cluster.source(standby)
    done = cluster.promote("standby-1")
    assert done.returncode == OK, done.stdout + done.stderr
    assert "replica-1: follows it already\nreplica-2: follows it\n" in done.stdout
    assert cluster.source(standby) == source
    cluster.assert_followed(standby)


def two_standbys(cluster):
    """Both have all that there is."""
    standbys = cluster.standby(), cluster.standby(2)
    cluster.psql(cluster.old, PRODUCT % "both have it")
    for standby in standbys:
        wait_until(lambda standby=standby: cluster.names(standby) == "both have it", 20 * SLOWNESS, "the standby to have it")
    return standbys


def test_two_at_once(cluster):
    """The one that waits for the other looks again then, and refuses: the other standby leads."""
    first, second = two_standbys(cluster)
    # One is behind its fence, which ends sessions, when the other begins.
    writer = psycopg2.connect(cluster.old.url(cluster.db))
    os.kill(writer.info.backend_pid, signal.SIGSTOP)
    program = cluster.start_promote("standby-1")
    program.wait_for_line("primary: fencing", 30 * SLOWNESS)
    cluster.psql(first, "select pg_wal_replay_pause()")
    wait_until(lambda: cluster.psql(first, "select pg_get_wal_replay_pause_state()") == "paused", 20 * SLOWNESS, "replay to pause")
    os.kill(writer.info.backend_pid, signal.SIGCONT)
    program.wait_for_line("replay is paused", 30 * SLOWNESS)
    other = cluster.start_promote("standby-2")
    waiting = "select count(*) from pg_locks where locktype = 'advisory' and not granted"
    wait_until(lambda: "1" in [cluster.psql(s, waiting) for s in cluster.all], 10 * SLOWNESS, "the other one to wait")
    cluster.psql(first, "select pg_wal_replay_resume()")
    assert wait_ended(program) == OK, program.log()
    assert wait_ended(other) == REFUSED and "another server leads" in other.log(), other.log()
    assert "nothing was changed" in other.log()
    assert cluster.leads(first) and not cluster.leads(second)
    cluster.assert_followed(first)


def test_two_at_once_and_the_old_primary_is_dead(cluster):
    standbys = two_standbys(cluster)
    cluster.old.kill9()
    programs = [cluster.start_promote(f"standby-{n}", "--old-is-dead") for n in (1, 2)]
    codes = [wait_ended(program) for program in programs]
    assert sorted(codes) == [OK, REFUSED], [program.log() for program in programs]
    leader = standbys[codes.index(OK)]
    assert [cluster.leads(standby) for standby in standbys] == [standby is leader for standby in standbys]
    assert "another server leads" in programs[codes.index(REFUSED)].log()
    cluster.assert_followed(leader)


@contextlib.contextmanager
def held_while_fencing(cluster, *args):
    """A run that waits for a session of the old primary to end."""
    writer = psycopg2.connect(cluster.old.url(cluster.db))
    writer.cursor().execute("select 1")
    os.kill(writer.info.backend_pid, signal.SIGSTOP)
    try:
        run = cluster.start_promote("standby-1", *args)
        run.wait_for_line("primary: fencing", 30 * SLOWNESS)
        yield run
    finally:
        os.kill(writer.info.backend_pid, signal.SIGCONT)
        writer.close()


def test_a_replica_hangs(cluster):
    """The others are told, and it follows with the first message."""
    standby, replica = cluster.standby(), cluster.stack.replicas[0]
    proxy = cluster.stack.proxy(replica)
    cluster.stack.env["REPLICA_1_URL"] = cluster.stack.proxied_url(replica, proxy)
    with held_while_fencing(cluster) as run:
        proxy.stall()
    wait_until(lambda: not run.running(), 60 * SLOWNESS, "it to end")
    assert run.popen.returncode == OK, run.log()
    assert "replica-1: not told" in run.log() and "replica-2: follows it" in run.log()
    assert cluster.leads(standby)


def test_the_old_primary_hangs_while_it_is_fenced(cluster):
    standby = cluster.standby()
    proxy = cluster.stack.proxy(cluster.old)
    cluster.stack.env["DATABASE_URL"] = (f"postgresql://{USER}:{PASSWORD}@{HOST}:{proxy.port},{HOST}:{standby.port}/{cluster.db}"
                                         "?target_session_attrs=read-write")
    with held_while_fencing(cluster, "--old-is-dead") as run:
        proxy.stall()
        wait_until(lambda: not run.running(), 60 * SLOWNESS, "it to end")
    assert run.popen.returncode == OK and "answers no more" in run.log(), run.log()
    assert cluster.leads(standby)


def test_prepared_transactions(cluster):
    """They could be committed behind the fence, on the old primary alone: nothing is fenced before they have ended."""
    standby = cluster.standby()
    cluster.psql(cluster.old, "begin; " + PRODUCT % "prepared" + "; prepare transaction 'x'")
    for args in ([], ["--old-is-dead"]):
        done = cluster.promote("standby-1", *args)
        assert done.returncode == REFUSED and "1 prepared transactions wait" in done.stderr, done.stdout + done.stderr
        assert "nothing was changed" in done.stderr
    cluster.assert_nothing_changed(standby)
    cluster.psql(cluster.old, "commit prepared 'x'")
    done = cluster.promote("standby-1")
    assert done.returncode == OK, done.stdout + done.stderr
    assert cluster.names(standby) == "prepared"


def test_the_new_primary_waits_for_standbys(cluster):
    """As pg_basebackup copies it: the standby has the setting of the old primary, and nobody follows it yet."""
    standby = cluster.standby()
    cluster.psql(standby, "alter system set synchronous_standby_names = '*'")
    cluster.psql(standby, "select pg_reload_conf()")
    done = cluster.promote("standby-1")
    assert done.returncode == OK, done.stdout + done.stderr
    assert "standby-1: commits there wait for a synchronous standby (synchronous_standby_names = *), and none follows it yet\n" \
        in done.stdout
    cluster.psql(standby, "alter system reset synchronous_standby_names")
    cluster.psql(standby, "select pg_reload_conf()")
    done = cluster.promote("standby-1")
    assert done.returncode == OK and "synchronous" not in done.stdout, done.stdout + done.stderr


def test_promoted_by_others(cluster):
    """As a run that was killed behind the promotion leaves it, and as a manager does it."""
    standby = cluster.standby()
    cluster.old.kill9()
    cluster.psql(standby, "select pg_promote()")
    assert "@" not in cluster.source(standby)
    done = cluster.promote("standby-1")
    assert done.returncode == OK, done.stdout + done.stderr
    assert "takes writes already" in done.stdout and "@2-" in cluster.source(standby)
    cluster.assert_followed(standby)


def test_refusals(cluster):
    standby = cluster.standby()
    for args in ([], ["--frobnicate", "standby-1"], ["standby-1", "standby-2"]):
        done = cluster.promote(*args)
        assert done.returncode == USAGE and "promote needs" in done.stderr, done.stderr
    done = cluster.promote("standby-7")
    assert done.returncode == USAGE and "no standby standby-7" in done.stderr and "standby-1" in done.stderr
    assert cluster.promote("standby-1", STANDBY_1_URL=None).returncode == USAGE
    done = cluster.promote("standby-1", STANDBY_1_URL=cluster.old.url(cluster.db))
    assert done.returncode == USAGE and "never was one" in done.stderr, done.stderr
    # Another system, and a database there that is no primary's.
    other = cluster.stack.primary.url(cluster.db)
    assert cluster.promote("standby-1", STANDBY_1_URL=other).returncode == SCHEMA
    cluster.stack.run("pgfanout-migrate", "up", DATABASE_URL=other, check=True)
    for args in ([], ["--old-is-dead"]):
        done = cluster.promote("standby-1", *args, STANDBY_1_URL=other)
        assert done.returncode == USAGE and "no standby of the database" in done.stderr, done.stderr
    assert cluster.promote("standby-1", STANDBY_1_URL=cluster.stack.env["REPLICA_1_URL"] + "?").returncode == SCHEMA
    # A role that may read, no more.
    cluster.psql(cluster.old, f"""create role plain login password '{PASSWORD}'; grant usage on schema pgfanout to plain;
        grant select on all tables in schema pgfanout, public to plain; grant select on pgfanout_migrations to plain""")
    wait_until(lambda: cluster.psql(standby, "select count(*) from pg_roles where rolname = 'plain'") == "1", 20 * SLOWNESS, "the role")
    done = cluster.promote("standby-1", DATABASE_URL=cluster.url("plain"))
    assert done.returncode == REFUSED and "only a superuser" in done.stderr and "nothing was changed" in done.stderr, done.stderr
    done = cluster.promote("standby-1", STANDBY_1_URL=standby.url(cluster.db).replace(f"{USER}:", "plain:"))
    assert done.returncode == REFUSED and "may not promote" in done.stderr and "nothing was changed" in done.stderr, done.stderr
    cluster.assert_nothing_changed(standby)
