"""A table is altered again and again at random moments, under writers: nothing is lost or given up, and readers of
the replicas see no column half filled."""
import os
import random
import threading
import time

import psycopg2
import pytest

from conftest import SLOWNESS, wait_until
from test_tables import REPLICAS

ROWS = 300


class Altered:
    """A table, and what it is called and has by now."""

    def __init__(self, stack, seed):
        self.stack, self.random, self.n = stack, random.Random(seed), 0
        self.schema, self.name, self.key = "public", "t", "id"
        self.columns = {}  # name -> type; beside id, code, word and note
        self.note = "note"
        stack.psql("primary", f"""
            create schema other; create type mood as enum ('sad', 'ok');
            create table t (id int primary key, code text not null, word varchar(100), note text, m mood default 'ok');
            insert into t select i, 'c' || i, 'w', 'n' from generate_series(1, {ROWS}) i;
            select pgfanout.add_table('t');""")

    @property
    def relation(self):
        return f"{self.schema}.{self.name}"

    def alter(self, what):
        self.stack.psql("primary", f"alter table {self.relation} {what}")

    def new(self, kind):
        self.n += 1
        self.columns[f"x{self.n}"] = kind
        return f"x{self.n}"

    def add_constant(self):
        self.alter(f"add column {self.new('int')} int default {self.n}")

    def add_nothing(self):
        self.alter(f"add column {self.new('text')} text")

    def add_volatile(self):
        self.alter(f"add column {self.new('float8')} float8 default random()")

    def add_generated(self):
        self.alter(f"add column {self.new('generated')} int generated always as (id * 2) stored")

    def drop(self):
        if self.columns:
            name = self.random.choice(sorted(self.columns))
            del self.columns[name]
            self.alter(f"drop column {name}")

    def rename_column(self):
        old, self.note = self.note, f"note{self.n}x{self.random.randrange(1000)}"
        self.alter(f"rename column {old} to {self.note}")

    def rename_table(self):
        name = f"t{self.random.randrange(1000)}"
        self.alter(f"rename to {name}")
        self.name = name

    def move(self):
        schema = "other" if self.schema == "public" else "public"
        self.alter(f"set schema {schema}")
        self.schema = schema

    def type_rewritten(self):
        ints = sorted(name for name, kind in self.columns.items() if kind in ("int", "bigint"))
        if ints:
            name = self.random.choice(ints)
            kind = "bigint" if self.columns[name] == "int" else "int"
            self.columns[name] = kind
            self.alter(f"alter column {name} type {kind}")

    def type_kept(self):
        self.alter(f"alter column word type varchar({100 + self.random.randrange(1000)})")

    def label(self):
        self.n += 1
        self.stack.psql("primary", f"alter type mood add value 'm{self.n}'")

    def new_key(self):
        self.key = self.random.choice([k for k in ("id", "code", "id, code") if k != self.key])
        constraint, = self.stack.sql("primary", "select conname from pg_constraint where contype = 'p' and conrelid = %s::regclass",
                                     self.relation)[0]
        self.alter(f"drop constraint {constraint}, add primary key ({self.key})")


KINDS = ("add_constant", "add_nothing", "add_volatile", "add_generated", "drop", "rename_column", "rename_table", "move",
         "type_rewritten", "type_kept", "label", "new_key")


def write(stack, table, seed, stop, failures):
    r = random.Random(seed)
    conn = stack.connect("primary")
    conn.autocommit = True
    n = 0
    while not stop.is_set():
        n += 1
        i = r.randrange(ROWS)
        try:
            with conn.cursor() as cursor:
                cursor.execute(r.choice((
                    f"update {table.relation} set word = 'u{seed}x{n}' where id = {i}",
                    f"update {table.relation} set {table.note} = 'u{n}', m = 'sad' where id % 50 = {i % 50}",
                    f"delete from {table.relation} where id = {i}",
                    f"insert into {table.relation} (id, code, word) values ({i}, 'c{i}', 'i{n}') on conflict do nothing")))
        except (psycopg2.errors.UndefinedTable, psycopg2.errors.UndefinedColumn, psycopg2.errors.DeadlockDetected,
                psycopg2.errors.FeatureNotSupported, psycopg2.errors.DatatypeMismatch, psycopg2.errors.UndefinedFunction):
            pass  # renamed just now; or it is not noticed yet, and says so
        except psycopg2.Error as e:
            failures.append(e)
            return
    conn.close()


def read(stack, db, stop, failures):
    """A column that each row has a value for has it in every row that is seen."""
    conn = stack.connect(db)
    conn.autocommit = True
    while not stop.is_set():
        try:
            with conn.cursor() as cursor:
                cursor.execute("""select relation::text from pgfanout.tables where id > 1""")
                found = cursor.fetchall()
                if not found:
                    continue
                cursor.execute(f"select to_jsonb(s) from {found[0][0]} s")
                for row, in cursor.fetchall():
                    if any(v is None for name, v in row.items() if name.startswith("x") and name in read.full):
                        failures.append((db, row))
        except psycopg2.Error:
            pass  # it moves just now
        time.sleep(0.01)
    conn.close()


read.full = set()


def texts(stack, db, table, names):
    return sorted(stack.sql(db, f"select {', '.join(n + '::text' for n in names)} from {table.relation}"), key=str)


@pytest.mark.parametrize("event_trigger,rounds", ((False, 1), pytest.param(False, 20, marks=pytest.mark.long),
                                                  pytest.param(True, 20, marks=pytest.mark.long)))
def test_altered_at_random_moments(stack, event_trigger, rounds):
    seed = int(os.environ.get("SEED") or random.randrange(1 << 30))
    print("SEED", seed)
    stack.start_api()
    stack.start_consumer()
    if not event_trigger:
        stack.psql("primary", "drop event trigger pgfanout_altered; drop event trigger pgfanout_dropped")
    table, stop, failures = Altered(stack, seed), threading.Event(), []
    read.full = set()
    wait_until(lambda: all(texts(stack, db, table, ("id",)) == texts(stack, "primary", table, ("id",)) for db in REPLICAS),
               30 * SLOWNESS, "the rows")
    for n in range(rounds):
        stop.clear()
        threads = [threading.Thread(target=write, args=(stack, table, s, stop, failures)) for s in range(2)]
        threads += [threading.Thread(target=read, args=(stack, db, stop, failures)) for db in REPLICAS]
        for t in threads:
            t.start()
        done = []
        try:
            for kind in table.random.sample(KINDS, len(KINDS)):
                time.sleep(table.random.choice((0, 0, 0.1, 0.7)))  # a moment, not a condition
                known = set(table.columns)
                getattr(table, kind)()
                done.append(kind)
                # Of those that every row has a value for from the start.
                read.full |= {c for c in set(table.columns) - known if table.columns[c] != "text"}
        finally:
            stop.set()
            for t in threads:
                t.join()
        assert not failures, (done, failures[:3])
        names = ("id", "code", "word", table.note, "m", *table.columns)

        def equal():
            should = texts(stack, "primary", table, names) # pylint: disable=cell-var-from-loop
            for db in REPLICAS:
                has = texts(stack, db, table, names) # pylint: disable=cell-var-from-loop
                assert has == should, f"{db}: {[x for x in has if x not in should][:3]} not {[x for x in should if x not in has][:3]}"
            return True
        try:
            wait_until(equal, 60 * SLOWNESS, "equal")
        except TimeoutError as e:
            raise AssertionError(f"round {n}: {done}: {e}") from e
        for db in REPLICAS:
            assert stack.sql(db, "select count(*) from pgfanout.dead_letters") == [(0,)], done
            assert stack.sql(db, "select count(*) from pgfanout.waiting") == [(0,)], done
    assert stack.sql("primary", "select state from pgfanout.tables where stream = 'tables'") == [("captured",)]


# What is put off until a load, and what it adds: a column that every row has a value for.
PUT_OFF = (
    ("alter table t add column x1 float8 not null default random()", "x1"),
    ("alter table t alter column n type bigint", None),
    ("alter table t drop constraint t_pkey, add primary key (code, id), add column x2 int generated always as (id * 2) stored", "x2"),
    ("alter table t add column x3 uuid not null default gen_random_uuid()", "x3"),
    ("alter table t alter column n type text using 'n' || n, add column x4 timestamptz not null default clock_timestamp()", "x4"),
    ("alter table t drop column x1, alter column n type varchar(90), add column x5 float8 default random()", "x5"),
    ("alter table t drop constraint t_pkey, add primary key (id), drop column x3", None),
)
# Where the consumer dies: what is seen on the replica then, of a session that somebody else has.
OTHERS = "from pg_stat_activity where pid <> pg_backend_pid() and datname = current_database() and "
MOMENTS = (
    ("it is put off", "select true from pgfanout.shapes where pending"),
    ("the load has begun", "select true " + OTHERS + "query like 'CREATE TABLE%' or query like 'COPY % FROM STDIN%'"),
    ("rows are copied", "select true from pg_stat_progress_copy"),
    ("it waits for readers", "select true " + OTHERS + "wait_event_type = 'Lock' and query like '%LOCK TABLE%'"),
    ("it is in place", "select true from pgfanout.tables where shape = {shape}"),
    (None, 1.0),
    (None, 3.0),
)


def registered(stack):
    return stack.sql("primary", "select shape from pgfanout.registered where id > 1")[0][0]


def write_more(stack, seed, rows, stop, failures):
    r = random.Random(seed)
    conn = stack.connect("primary")
    conn.autocommit = True
    n = 0
    while not stop.wait(0.005):
        n += 1
        i = r.randrange(rows)
        try:
            with conn.cursor() as cursor:
                cursor.execute(r.choice((f"update t set word = 'u{seed}x{n}' where id = {i}",
                                         f"update t set word = 'm{seed}x{n}' where id % 500 = {i % 500}",
                                         f"delete from t where id = {i}",
                                         f"insert into t (id, code, word, n) values ({i}, 'c{i}', 'i{n}', '1') on conflict do nothing")))
        except (psycopg2.errors.DeadlockDetected, psycopg2.errors.DatatypeMismatch, psycopg2.errors.UndefinedColumn, psycopg2.errors.InvalidTextRepresentation,
                psycopg2.errors.UndefinedFunction, psycopg2.errors.FeatureNotSupported):
            pass  # altered just now; without an event trigger it is not noticed yet, and says so
        except psycopg2.Error as e:
            failures.append(e)
            return


def look(stack, db, stop, failures):
    """What has a value in every row of the primary has it in every row that is seen."""
    conn = stack.connect(db)
    conn.autocommit = True
    while not stop.wait(0.02):
        try:
            with conn.cursor() as cursor:
                cursor.execute("select * from t limit 0")
                full = [c.name for c in cursor.description if c.name.startswith("x")]
                if full:
                    cursor.execute(f"select count(*) from t where {' or '.join(c + ' is null' for c in full)}")
                    if cursor.fetchall() != [(0,)]:
                        failures.append((db, full))
        except psycopg2.errors.UndefinedColumn:
            pass  # it was dropped just now


@pytest.mark.parametrize("event_trigger", (True, pytest.param(False, marks=pytest.mark.long)))
def test_the_consumer_dies_while_a_table_that_was_put_off_is_loaded(stack, event_trigger):
    """Again and again, at moments of the load: the table is the old one until it is the whole new one."""
    seed, rows = int(os.environ.get("SEED") or random.randrange(1 << 30)), 4000
    print("SEED", seed)
    stack.start_api()
    consumer = stack.start_consumer()
    if not event_trigger:
        stack.psql("primary", "drop event trigger pgfanout_altered; drop event trigger pgfanout_dropped")
    stack.psql("primary", f"""
        create table t (id int primary key, code text not null, word text, n int, note text);
        insert into t select i, 'c' || i, 'w', i, (select string_agg(md5(i * k || ''), '') from generate_series(1, 60) k)
            from generate_series(1, {rows}) i;
        create index on t (word);
        select pgfanout.add_table('t');""")
    wait_until(lambda: all(stack.sql(db, "select count(*) from t") == [(rows,)] for db in REPLICAS), 60 * SLOWNESS, "the rows")
    stop, failures = threading.Event(), []
    threads = [threading.Thread(target=write_more, args=(stack, seed + k, rows, stop, failures)) for k in range(2)]
    threads += [threading.Thread(target=look, args=(stack, db, stop, failures)) for db in REPLICAS]
    for t in threads:
        t.start()
    moments = list(MOMENTS)
    random.Random(seed).shuffle(moments)
    try:
        for (alter, column), (what, condition) in zip(PUT_OFF, moments):
            holder = stack.connect("replica-1")
            before = registered(stack)
            stack.psql("primary", alter)
            wait_until(lambda: registered(stack) != before, 10 * SLOWNESS, "the new shape")
            shape = registered(stack)
            if what == "it waits for readers":  # of the old table; to be put off waits for them too
                wait_until(lambda: stack.sql("replica-1", MOMENTS[0][1]), 60 * SLOWNESS, "it is put off", interval=0.002)
                holder.cursor().execute("select 1 from t limit 1")
            if what is None:
                time.sleep(condition)  # a moment, not a condition
            else:
                wait_until(lambda: stack.sql("replica-1", condition.replace("{shape}", str(shape))), 60 * SLOWNESS, what, interval=0.002)
            consumer.kill9()
            # Before the one that died has ended on the server.
            consumer = stack.start_consumer(wait=False)
            holder.close()
            wait_until(lambda: all(stack.sql(db, "select shape, due from pgfanout.tables where id > 1") == [(shape, False)] for db in REPLICAS),
                       90 * SLOWNESS, f"the load after the death when {what}: {alter}")
            for db in REPLICAS:
                assert column is None or stack.sql(db, f"select count(*) filter (where {column} is null) from t") == [(0,)]
            assert not failures, (what, alter, failures[:3])
    finally:
        stop.set()
        for t in threads:
            t.join()
    assert not failures, failures[:3]
    sums = "select id, code, word, n, md5(note), x2, x4, x5 from t order by id"
    wait_until(lambda: stack.sql("primary", sums) == stack.sql("replica-1", sums) == stack.sql("replica-2", sums), 60 * SLOWNESS, "equal")
    for db in REPLICAS:
        assert stack.sql(db, "select (select count(*) from pgfanout.dead_letters), (select count(*) from pgfanout.waiting)") == [(0, 0)]
        assert stack.sql(db, "select needs_reset from pgfanout.streams where name = 'tables'") == [(False,)]
        assert stack.queue_depth(f"tables.dead.{db}") == 0
        assert stack.sql(db, "select relname from pg_class where relname like '%pgfanout%new%' or relname like 't\\_%new%'") == []
    assert stack.reset("--verify").returncode == 0


@pytest.mark.parametrize("alter,put_off", (("alter table t add column c int default 1", False),
                                           ("alter table t add column c float8 not null default random()", True)))
def test_a_long_reader_does_not_keep_the_others_from_an_altered_table(stack, alter, put_off):
    """What waits for it lets later ones through, and is done when it has ended."""
    stack.start_api()
    stack.start_consumer()
    stack.psql("primary", "create table t (id int primary key); insert into t values (1); select pgfanout.add_table('t')")
    wait_until(lambda: all(stack.sql(db, "select id from t") == [(1,)] for db in REPLICAS), 60 * SLOWNESS, "the rows")
    holder = stack.connect("replica-1")
    holder.cursor().execute("select * from t")
    stack.psql("primary", alter)
    # The other replica has it; this one waits all the time.
    wait_until(lambda: stack.sql("replica-2", "select id from t where c is not null"), 60 * SLOWNESS, "replica-2 to have it")
    wait_until(lambda: stack.sql("replica-1", "select true from pg_locks where not granted and relation = 't'::regclass"),
               60 * SLOWNESS, "it waits for the reader", interval=0.01)
    slowest, until = 0, time.monotonic() + 7
    while time.monotonic() < until:
        start = time.monotonic()
        assert stack.sql("replica-1", "select id from t") == [(1,)]
        slowest = max(slowest, time.monotonic() - start)
        time.sleep(0.05)
    assert slowest < 2 * SLOWNESS, slowest
    holder.close()
    wait_until(lambda: stack.sql("replica-1", "select c is not null from t") == [(True,)], 60 * SLOWNESS, "replica-1 to have it")
    assert stack.sql("replica-1", "select count(*) from pgfanout.shapes where waiting is not null or pending") == [(0,)]
    assert put_off or stack.sql("replica-1", "select c from t") == [(1,)]
