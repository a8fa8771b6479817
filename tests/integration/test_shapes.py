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
    seed = int(os.environ.get("SEED", random.randrange(1 << 30)))
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
                read.full |= {c for c in set(table.columns) - known if table.columns[c] in ("float8", "generated")}
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
