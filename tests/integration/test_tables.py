"""Any table: registered by one SQL statement, created and loaded on every replica, and kept equal."""
import json
import re
import threading

import pika
import psycopg2
import pytest

from conftest import SLOWNESS, wait_until

REPLICAS = ("replica-1", "replica-2")


def rows(stack, db, table, columns="*"):
    """Every column as its text."""
    return stack.sql(db, f"select {columns} from {table} t order by 1")


def wait_equal(stack, table, columns, timeout=20):
    """The replicas have what the primary has, by the texts of all columns."""
    texts = ", ".join(f"{c}::text" for c in columns)

    def read(db):
        return sorted(stack.sql(db, f"select {texts} from {table}"), key=str)

    def equal():
        expected = read("primary")
        for db in REPLICAS:
            found = read(db)
            assert len(found) == len(expected), f"{db}: {len(found)} rows, not {len(expected)}"
            for has, should in zip(found, expected):
                for column, x, y in zip(columns, has, should):
                    assert x == y, f"{db}: {column} is {str(x)[:100]!r}, not {str(y)[:100]!r}"
        return True
    wait_until(equal, timeout * SLOWNESS, f"{table} on all replicas")


def nothing_given_up(stack):
    """Nor does a row wait for another one."""
    for db in REPLICAS:
        assert stack.sql(db, "select (select count(*) from pgfanout.dead_letters), (select count(*) from pgfanout.waiting)") == [(0, 0)]
        for stream in ("tables", "products"):
            assert stack.queue_depth(f"{stream}.dead.{db}") == 0


def test_a_table_with_rows_comes_and_follows(stack):
    stack.start_api()
    stack.start_consumer()
    stack.psql("primary", """
        create table users (id serial primary key, name text, email text unique, made timestamptz default now());
        insert into users (name, email) select 'user ' || i, i || '@example.org' from generate_series(1, 1000) i;
        select pgfanout.add_table('users');""")
    columns = ("id", "name", "email", "made")
    wait_equal(stack, "users", columns, 30)
    stack.psql("primary", """
        insert into users (name, email) values ('new', 'new@example.org');
        update users set name = null where id = 7;
        update users set id = 5000 where id = 8;
        delete from users where id = 9;""")
    wait_equal(stack, "users", columns)
    stack.psql("primary", "truncate users; insert into users (name, email) values ('last', null);")
    wait_equal(stack, "users", columns)
    stack.create("a product, meanwhile")
    stack.wait_converged()


A = "create table a (id int primary key, x int, y int not null, unique (x), unique (y) deferrable);"
HINTS = {  # before, the arguments, what is said
    "no table": ("", "'nope'", "there is no table nope"),
    "no key": ("create table a (id int)", "'a'", "has no primary key"),
    "a float key": ("create table a (id float8 primary key)", "'a'", "two values that are equal may be different"),
    "a key of floats": ("create table a (id real[] primary key)", "'a'", "two values that are equal may be different"),
    "a key with a float": ("create type pair as (n int, f float8); create table a (id pair primary key)", "'a'",
                           "two values that are equal may be different"),
    "a key of a range of floats": ("create type floats as range (subtype = float8); create table a (id floats primary key)", "'a'",
                                   "two values that are equal may be different"),
    "a view": ("create view a as select 1 as id", "'a'", "is a view"),
    "a materialized view": ("create materialized view a as select 1 as id", "'a'", "is a materialized view"),
    "a sequence": ("create sequence a", "'a'", "is a sequence"),
    "a foreign table": ("create foreign data wrapper w; create server s foreign data wrapper w; create foreign table a (id int) server s",
                        "'a'", "is a foreign table"),
    "unlogged": ("create unlogged table a (id int primary key)", "'a'", "UNLOGGED"),
    "temporary": ("create temp table a (id int primary key)", "'a'", "temporary"),
    "a partition": ("create table p (id int primary key) partition by range (id); create table a partition of p default", "'a'",
                    "is a partition"),
    "it inherits": ("create table p (id int); create table a (primary key (id)) inherits (p)", "'a'", "inherits from a table"),
    "it is inherited from": ("create table a (id int primary key); create table b () inherits (a)", "'a'", "is inherited from"),
    "the system's": ("", "'pg_catalog.pg_class'", "is a system table"),
    "ours": ("", "'pgfanout.outbox'", "belongs to pgfanout"),
    "twice": ("create table a (id int primary key); select pgfanout.add_table('a')", "'a'", "registered already"),
    "deferrable": ("create table a (id int primary key deferrable)", "'a'", "has no primary key"),
    "its version": ("create table a (id int primary key, pgfanout_version int)", "'a'", "replicas need for themselves"),
    "no such index": (A, "'a', key => 'nope'", "has no index nope that can be its key"),
    "a key that may be NULL": (A, "'a', key => 'a_x_key'", "has no index a_x_key that can be its key"),
    "a key that is deferrable": (A, "'a', key => 'a_y_key'", "has no index a_y_key that can be its key"),
    "a partial key": (A + "create unique index part on a (y) where y > 0", "'a', key => 'part'", "has no index part that can be its key"),
    "no such column": (A, "'a', columns => '{id,nope}'", "has no column nope"),
    "the key left out": (A, "'a', columns => '{x}'", "is part of the key, and not among the columns"),
    "no replica": (A, "'a', replicas => '{}'", "names no replica"),
    "no such replica": (A + "insert into pgfanout.queues (stream, replica) values (1, 'replica-1') on conflict do nothing",
                        "'a', replicas => '{replica-1,nope}'", "there is no replica 'nope'"),
    "the stream of products": (A, "'a', stream => 'products'", "cannot be a stream of tables"),
    "a stream with capitals": (A, "'a', stream => 'Big'", "cannot be a stream of tables"),
}


def refused(stack, before, call, phrase):
    """With a hint."""
    conn = stack.connect("primary")
    conn.autocommit = False
    with conn.cursor() as cursor:
        if before:
            cursor.execute(before)
        with pytest.raises(psycopg2.Error) as e:
            cursor.execute(call)
        assert phrase in str(e.value) and e.value.diag.message_hint
    conn.close()


@pytest.mark.parametrize("name", HINTS)
def test_what_cannot_be_registered_says_why_and_what_helps(module_stack, name):
    before, arguments, phrase = HINTS[name]
    refused(module_stack, before, f"select pgfanout.add_table({arguments})", phrase)


@pytest.mark.parametrize("function", ["refresh", "drop_table"])
def test_what_is_not_there_can_be_neither_refreshed_nor_dropped(module_stack, function):
    call = f"select pgfanout.{function}('a')"
    refused(module_stack, "", call, "there is no table a")
    refused(module_stack, A, call, "a is not registered")
    refused(module_stack, A + """create role nobody; grant usage on schema pgfanout to nobody;
                                 select pgfanout.add_table('a'); grant all on a to nobody; set role nobody""",
            call, "only the owner of public.a may do that")


CHANGES = (
    "alter table {} add column added int default 7",
    "alter table {} add column rolled double precision default random()",
    "alter table {} rename column name to called",
    "alter table {} rename column called to name; alter table {} rename column note to n; "
    "alter table {} rename column n to note",
    "alter table {} drop column rolled",
    "alter table {} add column rolled text default 'again'",
    "alter table {} alter column added type bigint",
    "alter table {} alter column added type text using 'n' || added",
    "alter table {} alter column name type varchar(200)",
    "alter table {} rename column id to number",
    "alter table {} rename to other",
    "alter table other set schema elsewhere",
)


@pytest.mark.parametrize("event_trigger,consumers", ((True, 2), pytest.param(False, 1, marks=pytest.mark.long)))
def test_a_table_is_altered_under_load(stack, event_trigger, consumers):
    stack.start_api()
    for _ in range(consumers):
        stack.start_consumer()
    stack.psql("primary", """
        create schema elsewhere;
        create table shaped (id int primary key, name varchar(100), note text);
        insert into shaped select i, 'name ' || i, 'note' from generate_series(1, 300) i;
        select pgfanout.add_table('shaped');""")
    if not event_trigger:
        stack.psql("primary", "drop event trigger pgfanout_altered; drop event trigger pgfanout_dropped")
    wait_equal(stack, "shaped", ("id", "name", "note"), 30)
    table, stop, written = ["shaped"], threading.Event(), []

    def write():
        conn = stack.connect("primary")
        conn.autocommit = True
        i = 1000
        while not stop.is_set():
            i += 1
            try:
                with conn.cursor() as cursor:
                    cursor.execute(f"""
                        insert into {table[0]} values ({i}); delete from {table[0]} where note = 'x{i - 50}';
                        update {table[0]} set note = 'x{i}' where note is null or note = 'x{i - 1}'""")
                written.append(i)
            except psycopg2.Error:
                pass # renamed, and not yet noticed: it fails and says so
        conn.close()
    writer = threading.Thread(target=write)
    writer.start()
    try:
        for change in CHANGES:
            n = len(written)
            wait_until(lambda: len(written) > n + 20, 20 * SLOWNESS, "writes")
            stack.psql("primary", change.replace("{}", table[0]))
            table[0] = "other" if change.endswith("rename to other") else table[0]
            table[0] = "elsewhere.other" if change.endswith("elsewhere") else table[0]
            n = len(written)
            wait_until(lambda: len(written) > n + 20, 20 * SLOWNESS, f"writes after {change}")
    finally:
        stop.set()
        writer.join()
    wait_equal(stack, "elsewhere.other", ("number", "name", "note", "added", "rolled"), 60)
    for db in REPLICAS:
        assert stack.sql(db, "select count(*) from pgfanout.dead_letters") == [(0,)]
    stack.create("a product, meanwhile")
    stack.wait_converged()


def test_a_column_whose_value_is_known_is_there_at_once_on_replicas(stack):
    """No load, no moment with a NULL, and rows of the older shape that are still on their way have it too."""
    stack.start_api()
    consumer = stack.start_consumer()
    stack.psql("primary", """
        create table grows (id int primary key, name text);
        insert into grows select i, 'name' from generate_series(1, 1000) i;
        select pgfanout.add_table('grows');""")
    wait_equal(stack, "grows", ("id", "name"), 30)
    loaded = "select snapshot::text from pgfanout.tables where relation = 'grows'::regclass"
    before = [stack.sql(db, loaded) for db in REPLICAS]
    consumer.stop()
    stack.psql("primary", """
        insert into grows values (2000, 'older shape'); update grows set name = 'older' where id = 1;
        alter table grows add column d date default '2024-02-29', add column f float8 default 0.1, add column nothing text;
        alter table grows add column t text default 'it''s a \\ {backslash}', add column a int[] default '{1,NULL}';
        insert into grows values (2001, 'newer shape', null, null, null, null, null);
        update grows set d = null, nothing = 'something' where id = 2;""")
    stack.start_consumer()
    wait_equal(stack, "grows", ("id", "name", "d", "f", "nothing", "t", "a"), 30)
    assert [stack.sql(db, loaded) for db in REPLICAS] == before
    # Values that each row has of its own need a load.
    stack.psql("primary", "alter table grows add column r float8 default random(); alter table grows alter column r drop default")
    wait_equal(stack, "grows", ("id", "r"), 30)
    assert [stack.sql(db, loaded) for db in REPLICAS] != before


def test_a_table_is_dropped_and_registered_once_more(stack):
    stack.start_api()
    stack.start_consumer()
    stack.psql("primary", """
        create table come_and_go (id int primary key, name text);
        insert into come_and_go values (1, 'one'), (2, 'two');
        select pgfanout.add_table('come_and_go');""")
    wait_equal(stack, "come_and_go", ("id", "name"), 30)
    stack.psql("primary", """
        select pgfanout.drop_table('come_and_go');
        alter table come_and_go add column more int default 5;
        delete from come_and_go where id = 1;""")
    assert stack.sql("primary", "select count(*) from pg_trigger where tgrelid = 'come_and_go'::regclass") == [(0,)]
    assert ("come_and_go",) not in stack.sql("primary", "select name from pgfanout.tables")
    stack.psql("primary", "insert into come_and_go values (3, 'three'); select pgfanout.add_table('come_and_go')")
    wait_equal(stack, "come_and_go", ("id", "name", "more"), 30)
    stack.psql("primary", "update come_and_go set more = 6 where id = 3; drop table come_and_go")
    wait_until(lambda: not stack.sql("primary", "select from pgfanout.tables where name = 'come_and_go'"),
               10 * SLOWNESS, "the table is registered no more")
    wait_until(lambda: all(stack.sql(db, "select more from come_and_go where id = 3") == [(6,)] for db in REPLICAS),
               10 * SLOWNESS, "the last change")


def test_a_table_that_cannot_be_had_waits_and_no_other_waits_for_it(stack):
    stack.start_api()
    consumer = stack.start_consumer()
    for db in ("primary", "replica-1"):
        stack.psql(db, "create type floats as range (subtype = float8)")
    stack.psql("primary", """
        create table odd (id int primary key, name text);
        create table even (id int primary key, name text);
        insert into odd values (1, 'one'), (2, 'two'); insert into even values (6, 'six');
        select pgfanout.add_table('odd'), pgfanout.add_table('even');""")
    for table in ("odd", "even"):
        wait_equal(stack, table, ("id", "name"), 30)
    stack.psql("primary", "alter table odd add column f floats default '[1,2]'; insert into odd values (3, 'three'); "
               "delete from odd where id = 1; insert into even values (7, 'seven')")
    wait_equal(stack, "even", ("id", "name"))
    (reason,), = wait_until(lambda: stack.sql("replica-2", "select waiting from pgfanout.shapes where waiting is not null"),
                            20 * SLOWNESS, "a table waits")
    assert "floats" in reason and "odd" in reason
    wait_until(lambda: stack.sql("replica-1", "select name, f::text from odd order by id") ==
               [("two", "[1,2]"), ("three", "[1,2]")], 30 * SLOWNESS, "the other replica has it")
    assert stack.sql("replica-2", "select name from odd order by id") == [("one",), ("two",)]

    def told():
        streams = {r["name"]: {s["stream"]: s for s in r["streams"]}
                   for r in stack.get("/status", base=consumer.base).json()["data"]["replicas"]}
        return streams["replica-2"]["tables"]["is_running"] and "floats" in streams["replica-2"]["tables"]["last_error"]
    wait_until(told, 20 * SLOWNESS, "the status tells of it")
    # A reset leaves it out and says so; it tries again what the replica lacked.
    assert stack.reset("--yes", "--replica", "replica-2").returncode == 1
    stack.psql("replica-2", "create type floats as range (subtype = float8)")
    assert stack.reset("--yes", "--replica", "replica-2").returncode == 0
    # The consumer, which has not heard of that, must not leave this out.
    stack.psql("primary", "update odd set name = 'third' where id = 3")
    wait_equal(stack, "odd", ("id", "name", "f"), 60)
    assert stack.sql("replica-2", "select count(*) from pgfanout.shapes where waiting is not null") == [(0,)]
    for db in REPLICAS:
        assert stack.sql(db, "select count(*) from pgfanout.dead_letters") == [(0,)]


@pytest.mark.parametrize("event_trigger", (True, pytest.param(False, marks=pytest.mark.long)))
def test_readers_of_a_replica_see_a_table_before_or_after_a_change(stack, event_trigger):
    """Columns with a value for each row, rewritten ones and another key come with the rows: nobody sees them half done.
    What a user has made on the replica stays."""
    stack.start_api()
    stack.start_consumer()
    if not event_trigger:
        stack.psql("primary", "drop event trigger pgfanout_altered; drop event trigger pgfanout_dropped")
    stack.psql("primary", """
        create table seen (id int primary key, code text not null, n int not null, gone text);
        insert into seen select i, 'code ' || i, i, 'x' from generate_series(1, 5000) i;
        create index by_n on seen (n);
        select pgfanout.add_table('seen');""")
    wait_equal(stack, "seen", ("id", "code", "n"), 30)
    role = f"watcher_{stack.database}"
    for db in REPLICAS:
        stack.psql(db, "create index by_gone on seen (gone); create statistics both_of on lower(code), upper(code) from seen")
    stack.psql("replica-1", "create view over_it as select code from seen") # it is brought up to date, not replaced
    stack.psql("replica-2", f"create role {role}; grant select (code) on seen to {role}")
    stack.cleanups.append(lambda: stack.sql("replica-2", f"drop owned by {role}; drop role {role}"))
    stop, failures, reads = threading.Event(), [], {db: 0 for db in REPLICAS}

    def described():
        return stack.sql("primary", "select shape from pgfanout.registered where id > 1")[0][0]

    def write():
        conn = stack.connect("primary")
        conn.autocommit = True
        while not stop.is_set():
            try:
                with conn.cursor() as cursor:
                    cursor.execute("update seen set n = n + 1 where code in ('code 7', 'code 8')")
            except psycopg2.Error:
                pass # as an ALTER is noticed
        conn.close()

    def read(db):
        conn = stack.connect(db)
        conn.autocommit = True
        with conn.cursor() as cursor:
            while not stop.is_set():
                cursor.execute("select count(*), count(*) filter (where to_jsonb(s) -> 'r' = 'null'), "
                               "count(distinct jsonb_typeof(to_jsonb(s) -> 'n')), count(*) filter (where s.n is null) from seen s")
                row, = cursor.fetchall()
                reads[db] += 1
                if row != (5000, 0, 1, 0):
                    failures.append((db, row))
        conn.close()
    threads = [threading.Thread(target=write)] + [threading.Thread(target=read, args=(db,)) for db in REPLICAS]
    for t in threads:
        t.start()
    try:
        for change in ("add column r float8 default random(), drop column gone",
                       "alter column n type numeric using n + 0.5",
                       "alter column n type bigint using floor(n)::bigint, alter column r type text",
                       "drop constraint seen_pkey, add primary key (code)",
                       "alter column id type bigint, drop constraint seen_pkey, add primary key (id, code)",
                       "drop constraint seen_pkey, add primary key (id)"):
            before = described()
            stack.psql("primary", "alter table seen " + change)
            wait_until(lambda: described() > before, 20 * SLOWNESS, "it is noticed")  # pylint: disable=cell-var-from-loop
            for db in REPLICAS:
                wait_until(lambda: stack.sql(db, "select shape, due from pgfanout.tables where id > 1") == [(described(), False)],  # pylint: disable=cell-var-from-loop
                           60 * SLOWNESS, f"{db} has it: {change}")
    finally:
        stop.set()
        for t in threads:
            t.join()
    assert not failures, failures[:5]
    assert min(reads.values()) > 20
    wait_equal(stack, "seen", ("id", "code", "n", "r"), 60)
    # By the new key, both ways.
    stack.psql("primary", "update seen set id = -id where id < 10; delete from seen where id = -3; insert into seen values (-3, 'new', 3, 'r')")
    wait_equal(stack, "seen", ("id", "code", "n", "r"))
    for db in REPLICAS:
        assert stack.sql(db, "select count(*) from pgfanout.dead_letters") == [(0,)]
        assert stack.sql(db, "select count(*) from pgfanout.shapes where pending or waiting is not null") == [(0,)]
        assert stack.sql(db, "select indexname, substr(indexdef, position('(' in indexdef)) from pg_indexes where tablename = 'seen' "
                         "order by 1") == [("by_n", "(n)"), ("seen_pkey", "(id)")]
        assert stack.sql(db, "select count(*) from pg_statistic_ext where stxname = 'both_of' and stxrelid = 'seen'::regclass") == [(1,)]
    assert stack.sql("replica-1", "select count(*) from over_it") == [(5000,)]
    assert stack.sql("replica-2", f"select has_column_privilege('{role}', 'seen', 'code', 'select')") == [(True,)]


def test_a_consumer_that_may_not_reset_leaves_a_table_as_it_was(stack):
    stack.start_api()
    consumer = stack.start_consumer()
    stack.psql("primary", "create table frozen (id int primary key, name text); insert into frozen values (1, 'one'), (2, 'two'); "
               "select pgfanout.add_table('frozen')")
    wait_equal(stack, "frozen", ("id", "name"), 30)
    consumer.stop()
    stack.start_consumer(AUTO_RESET="false")
    stack.psql("primary", "alter table frozen add column r float8 default random(); alter table frozen rename name to called; "
               "update frozen set called = 'first' where id = 1; delete from frozen where id = 2")
    for db in REPLICAS:
        wait_until(lambda: stack.sql(db, "select count(*) from pgfanout.shapes where pending") == [(2,)], 20 * SLOWNESS, "both shapes")  # pylint: disable=cell-var-from-loop
    for queue in ("sync", "delete"):
        for db in REPLICAS:
            wait_until(lambda: stack.queue_depth(f"tables.{queue}.{db}") == 0, 20 * SLOWNESS, "an empty queue")  # pylint: disable=cell-var-from-loop
    for db in REPLICAS:
        assert stack.sql(db, "select id, name from frozen order by id") == [(1, "one"), (2, "two")]
    rehearsed = stack.reset("--dry-run")
    assert rehearsed.returncode == 0, rehearsed.stdout + rehearsed.stderr
    assert stack.sql("replica-1", "select count(*) from pgfanout.shapes where pending") == [(2,)]
    assert stack.reset("--yes").returncode == 0
    wait_equal(stack, "frozen", ("id", "called", "r"))
    stack.psql("primary", "update frozen set called = 'again'; insert into frozen values (3, 'three', 3)")
    wait_equal(stack, "frozen", ("id", "called", "r"))


def test_a_key_that_something_hangs_on_is_kept_until_that_is_gone(stack):
    stack.start_api()
    stack.start_consumer()
    stack.psql("primary", """
        create table keyed (id int primary key, code text not null);
        create table other (id int primary key);
        insert into keyed values (1, 'a'), (2, 'b');
        select pgfanout.add_table('keyed'), pgfanout.add_table('other');""")
    wait_equal(stack, "keyed", ("id", "code"), 30)
    stack.psql("replica-1", "create table of_mine (id int references keyed)")
    stack.psql("primary", """
        alter table keyed drop constraint keyed_pkey, add primary key (code);
        update keyed set id = 1; delete from keyed where code = 'a'; insert into other values (1);""")
    wait_equal(stack, "other", ("id",))
    wait_until(lambda: "keyed_pkey" in str(stack.sql("replica-1", "select waiting from pgfanout.shapes")), 20 * SLOWNESS, "it is said")
    assert stack.sql("replica-1", "select id, code from keyed order by id") == [(1, "a"), (2, "b")]
    stack.psql("replica-1", "drop table of_mine")
    wait_equal(stack, "keyed", ("id", "code"), 60)
    stack.psql("primary", "update keyed set code = 'c'; insert into keyed values (1, 'd'); update keyed set code = 'e' where code = 'd'")
    wait_equal(stack, "keyed", ("id", "code"))


def test_a_shape_that_never_comes_is_not_waited_for_long(stack):
    stack.start_api()
    stack.start_consumer()
    stack.psql("primary", "create table plain (id int primary key, name text); insert into plain values (0); "
               "select pgfanout.add_table('plain')")
    wait_equal(stack, "plain", ("id", "name"), 30)
    version, = stack.sql("primary", "select nextval('pgfanout.version_seq')")[0]
    body = json.dumps({"table": "public.plain", "version": version, "row": {"id": 1, "name": "another publisher's"}})
    stack.amqp().channel().basic_publish("tables", "public.plain.sync", body.encode(), pika.BasicProperties(
        content_type="application/json", delivery_mode=2, headers={"x-shape": 123456789}))
    stack.psql("primary", "insert into plain values (2, 'two')")

    def both(db):
        assert [i for i, in stack.sql(db, "select id from plain order by id")] == [0, 1, 2]
        return True
    for db in REPLICAS:
        wait_until(lambda: both(db), 30 * SLOWNESS, "both rows")  # pylint: disable=cell-var-from-loop


def test_a_table_for_one_replica_and_a_stream_of_its_own(stack):
    stack.start_api()
    consumer = stack.start_consumer()
    stack.psql("primary", """
        create table only_one (id int primary key, name text);
        create table everywhere (id int primary key, name text);
        insert into only_one values (1, 'one');
        select pgfanout.add_table('only_one', replicas => '{replica-1}', stream => 'hot');
        select pgfanout.add_table('everywhere', stream => 'hot');""")

    def ids(db, table):
        return [i for i, in stack.sql(db, f"select id from {table} order by id")]
    wait_until(lambda: ids("replica-1", "only_one") == [1], 30 * SLOWNESS, "the row of before")
    stack.psql("primary", """
        insert into only_one values (2, 'two'); insert into everywhere values (7, 'seven'); truncate only_one;
        insert into only_one values (3, 'three'); insert into everywhere values (8, 'eight');""")
    wait_until(lambda: ids("replica-1", "only_one") == [3], 30 * SLOWNESS, "what came later")
    for db in REPLICAS:
        wait_until(lambda: ids(db, "everywhere") == [7, 8], 30 * SLOWNESS, "the other table")  # pylint: disable=cell-var-from-loop
        assert stack.sql(db, "select follows from pgfanout.streams where name = 'hot'") == \
            stack.sql("primary", "select pgfanout.source()")
    metrics = stack.get("/metrics").text
    assert all(f'pgfanout_api_relay_leading{{stream="{s}"}} 1' in metrics for s in ("products", "hot"))
    confirmed = dict(re.findall(r'^pgfanout_api_relay_confirmed_total\{stream="(\w+)"\} (\d+)$', metrics, re.M))
    assert confirmed["products"] == "0" and int(confirmed["hot"]) >= 4
    assert stack.sql("replica-2", "select to_regclass('only_one')") == [(None,)]
    for db in REPLICAS:
        assert stack.sql(db, "select count(*) from pgfanout.dead_letters") == [(0,)]
        wait_until(lambda: stack.queue_depth(f"hot.sync.{db}") == 0, 20 * SLOWNESS, "an empty queue")  # pylint: disable=cell-var-from-loop
        assert stack.queue_depth(f"hot.dead.{db}") == 0

    def hot(db):
        return next(s for r in stack.get("/status", base=consumer.base).json()["data"]["replicas"] if r["name"] == db
                    for s in r["streams"] if s["stream"] == "hot")
    for db in REPLICAS:
        # The load may have had all of it before the messages came.
        found = wait_until(lambda: hot(db) if hot(db)["last_lsn"] else None, 20 * SLOWNESS, "a version")  # pylint: disable=cell-var-from-loop
        assert found["state"] == "applying" and found["error_count"] == 0 and found["is_running"] is True
    def api_knows():
        for replica in stack.get("/status").json()["data"]["replicas"]:
            hot = next(x for x in replica["streams"] if x["stream"] == "hot")
            assert hot["needsReset"] is False and hot["reason"] is None and 0 <= hot["lagMs"] < 60000, hot
        return True
    wait_until(api_knows, 30 * SLOWNESS, "the API knows of the stream")
    stack.sql("replica-2", "update pgfanout.streams set needs_reset = true, reason = 'by hand' where name = 'hot'")
    wait_until(lambda: next(x for x in stack.get("/status").json()["data"]["replicas"][1]["streams"] if x["stream"] == "hot")
               ["reason"] == "by hand", 30 * SLOWNESS, "the API knows that it needs a reset")
    metrics = stack.get("/metrics", base=consumer.base).text
    assert 'pgfanout_consumer_applied_total{replica="replica-1"} 0' in metrics # of products, as ever
    for name in ("messages_total", "applied_total", "consuming", "needs_reset"):
        line = next(x for x in metrics.splitlines() if x.startswith(f'pgfanout_consumer_{name}{{replica="replica-1",stream="hot"}} '))
        assert (float(line.split()[1]) == 0) == (name == "needs_reset"), line


def test_who_may_register(stack):
    stack.psql("primary", """
        drop role if exists somebody; create role somebody login; grant create on schema public to somebody;
        set role somebody; create table of_somebody (id int primary key); reset role;""")
    register = "select pgfanout.add_table('of_somebody')"
    conn = stack.connect("primary")
    with conn.cursor() as cursor:
        cursor.execute("set role somebody")
        with pytest.raises(psycopg2.errors.InsufficientPrivilege) as refused:
            cursor.execute(register)
        assert "GRANT EXECUTE" in refused.value.diag.message_hint
        conn.rollback()
        cursor.execute(refused.value.diag.message_hint.split(", if this")[0])
        cursor.execute("set role somebody")
        cursor.execute(register)
        conn.rollback()
    conn.close()
    stack.psql("primary", "drop owned by somebody; drop role somebody")


def test_capture_that_was_taken_apart_is_seen_and_mended(stack):
    stack.start_api()
    stack.start_consumer()
    stack.psql("primary", "create table apart (id int primary key); create table whole (id int primary key); "
               "select pgfanout.add_table('apart'), pgfanout.add_table('whole')")
    wait_equal(stack, "apart", ("id",))
    wait_equal(stack, "whole", ("id",))

    def state():
        return stack.sql("primary", "select state from pgfanout.tables where name = 'apart'")[0][0]
    assert state() == "captured"
    stack.psql("primary", "alter table apart disable trigger pgfanout_insert")
    wait_until(lambda: "pgfanout_insert is disabled" in state(), 20 * SLOWNESS, "it is seen")
    # What it misses is nobody else's trouble, and comes when it is mended.
    stack.psql("primary", "insert into apart values (1)")
    stack.psql("replica-1", "insert into whole values (1)")
    done = stack.reset("--yes")
    assert done.returncode == 1 and "apart" in done.stderr, done.stdout + done.stderr
    assert stack.sql("replica-1", "select count(*) from whole") == [(0,)]
    assert stack.reset("--yes", "--table", "apart").returncode not in (0, 1)
    for db in REPLICAS:
        assert stack.sql(db, "select count(*) from apart") == [(0,)]
    stack.psql("primary", "select pgfanout.refresh('apart')")
    assert state() == "captured"
    wait_equal(stack, "apart", ("id",))
    stack.psql("primary", "alter table apart drop constraint apart_pkey")
    wait_until(lambda: state() != "captured", 20 * SLOWNESS, "it is seen")
    with pytest.raises(psycopg2.Error) as refused:
        stack.sql("primary", "select pgfanout.refresh('apart')")
    assert "has no primary key" in str(refused.value)


def test_in_one_transaction(stack):
    stack.start_api()
    stack.start_consumer()
    stack.psql("primary", """
        drop event trigger pgfanout_altered;
        begin;
        create table at_once (id int primary key, tg_op text);
        insert into at_once values (1, 'before');
        select pgfanout.add_table('at_once');
        insert into at_once values (2, 'after');
        update at_once set tg_op = 'changed' where id = 1;
        commit;""")
    wait_equal(stack, "at_once", ("id", "tg_op"), 30)
    stack.psql("primary", """
        begin;
        alter table at_once add column more int default 3;
        alter table at_once rename column tg_op to name;
        select pgfanout.refresh('at_once');
        insert into at_once values (3, 'new', 4);
        commit;
        insert into at_once values (4, 'newer');""")
    wait_equal(stack, "at_once", ("id", "name", "more"), 30)


@pytest.mark.parametrize("step", ("shape", pytest.param("the replica resets itself", marks=pytest.mark.long),
                                  pytest.param("replica has been reset", marks=pytest.mark.long)))
def test_killed_after_a_step_it_goes_on(stack, step):
    stack.psql("primary", """
        create table killed (id int primary key, name text);
        insert into killed select i, 'name ' || i from generate_series(1, 20000) i;""")
    for change in ("select pgfanout.add_table('killed')",
                   "alter table killed add column more float default random()",
                   "alter table killed rename column name to called",
                   "alter table killed add column name text default 'again'"):
        programs = stack.start_api(), stack.start_consumer()
        stack.psql("primary", change)
        stack.psql("primary", "delete from killed where id = (select min(id) from killed)")
        if step == "shape": # the message brings it, or a load that began before
            newest = stack.sql("primary", "select max(id) from pgfanout.shapes")
            wait_until(lambda: newest in [stack.sql(db, "select max(shape) from pgfanout.tables") for db in REPLICAS],  # pylint: disable=cell-var-from-loop
                       40 * SLOWNESS, step)
        elif "rename" not in change:
            wait_until(lambda: step in programs[1].log(400), 40 * SLOWNESS, step)  # pylint: disable=cell-var-from-loop
        for program in programs:
            program.kill9()
    stack.start_api()
    stack.start_consumer()
    wait_equal(stack, "killed", ("id", "called", "more", "name"), 60)
    for db in REPLICAS:
        assert stack.sql(db, "select count(*) from pgfanout.dead_letters") == [(0,)]


def test_only_the_tables_that_are_named_are_loaded_again(stack):
    stack.start_api()
    stack.start_consumer()
    stack.psql("primary", """
        create schema blog;
        create table blog."Posts" (id int primary key, name text);
        create table users (id int primary key, name text);
        insert into blog."Posts" values (1, 'a post'); insert into users values (1, 'a user');
        select pgfanout.add_table('users'), pgfanout.add_table('blog."Posts"');""")
    stack.create("a product")
    stack.wait_converged()
    for table in ("users", 'blog."Posts"'):
        wait_equal(stack, table, ("id", "name"), 30)
    for db in REPLICAS:
        stack.psql(db, """update users set name = 'drifted'; update blog."Posts" set name = 'drifted'; update products set name = 'drifted'""")

    def drifted(db):
        return [stack.sql(db, f"select name from {t} limit 1")[0][0] == "drifted" for t in ("users", 'blog."Posts"', "products")]
    for args, word in ((("--table", "blog.posts"), "users"), (("--table", "users,nope"), "nope"), (("--table", ""), "no table"),
                       (("--table", "a b"), "with double quotes"), (("--table", "pgfanout.outbox"), "not registered")):
        bad = stack.reset(*args)
        assert bad.returncode == 2 and word in bad.stderr, bad.stderr
    assert drifted("replica-1") == drifted("replica-2") == [True, True, True]
    before = stack.sql("replica-1", "select reset_at from pgfanout.streams order by stream")
    done = stack.reset("--table", 'blog."Posts"', "--replica", "replica-1")
    assert done.returncode == 0, done.stdout + done.stderr
    assert drifted("replica-1") == [True, False, True] and drifted("replica-2") == [True, True, True]
    done = stack.reset("--table", "users", "--table", "products")
    assert done.returncode == 0, done.stdout + done.stderr
    assert drifted("replica-1") == [False, False, False] and drifted("replica-2") == [False, True, False]
    assert stack.sql("replica-1", "select reset_at from pgfanout.streams order by stream") == before
    stack.psql("primary", """update users set name = 'later'; delete from blog."Posts"; insert into blog."Posts" values (2, 'new')""")
    assert stack.reset("--quiet").returncode == 0
    for table in ("users", 'blog."Posts"'):
        wait_equal(stack, table, ("id", "name"), 30)


def test_what_a_user_made_on_a_replica_is_there_after_a_reset(stack):
    """Tables tied by a foreign key of the replica's own, a view over both and a table that refers to them."""
    stack.start_api()
    stack.start_consumer()
    stack.psql("primary", """
        create table parent (id int primary key, code text, note numeric);
        create table child (id int primary key, parent int, data json);
        create table plain (id int primary key, parent int);
        insert into parent select i, 'code ' || i, 1.0 from generate_series(1, 500) i;
        insert into child select i, i, '{"a":  1}' from generate_series(1, 500) i;
        insert into plain select i, i from generate_series(1, 500) i;
        select pgfanout.add_table(t) from unnest('{parent,child,plain}'::text[]) t;""")
    columns = {"parent": ("id", "code", "note"), "child": ("id", "parent", "data"), "plain": ("id", "parent")}
    for table, names in columns.items():
        wait_equal(stack, table, names, 30)
    role = f"reader_{stack.database}"
    stack.sql("replica-1", f"create role {role}")
    stack.cleanups.append(lambda: stack.sql("replica-1", f"drop owned by {role}; drop role {role}"))
    stack.psql("replica-1", f"""
        alter table child add constraint to_parent foreign key (parent) references parent on delete cascade;
        comment on constraint to_parent on child is 'tied';
        alter table plain add constraint also foreign key (parent) references parent deferrable initially deferred;
        create view both_of_them as select p.*, c.data from parent p join child c on c.parent = p.id;
        grant select on both_of_them to {role};
        create table of_mine (parent int references parent);
        insert into of_mine values (1), (400);
        create unique index by_code on parent (code);
        create index by_parent on plain (parent);
        create function shout() returns trigger language plpgsql as 'begin return new; end';
        create trigger shouts after insert on child for each row execute function shout();""")
    catalog = f"""
        select conname, pg_get_constraintdef(oid), obj_description(oid, 'pg_constraint') from pg_constraint
        where conrelid in ('parent'::regclass, 'child'::regclass, 'plain'::regclass, 'of_mine'::regclass)
        union all select indexname, indexdef, null from pg_indexes where tablename in ('parent', 'child', 'plain')
        union all select 'view', definition, has_table_privilege('{role}', 'both_of_them', 'select')::text
        from pg_views where viewname = 'both_of_them'
        union all select tgname, pg_get_triggerdef(oid), null from pg_trigger where tgname = 'shouts' order by 1, 2"""
    before = stack.sql("replica-1", catalog)
    oids = "select 'parent'::regclass::oid, 'child'::regclass::oid"
    kept = stack.sql("replica-1", oids)

    def break_it():
        stack.psql("replica-1", """
            begin; set constraints all deferred;
            delete from parent where id between 10 and 20;
            update parent set code = code || ' drifted', note = 1.00 where id between 30 and 40;
            insert into child values (9000, 30, '{}');
            update child set data = '{"a":1}' where id = 50;
            update plain set parent = 1 where id = 2;
            delete from plain where parent between 10 and 20;
            update parent set code = case id when 100 then 'x' else 'code 100' end where id in (100, 101) and id = 100;
            update parent set code = 'code 100' where id = 101; update parent set code = 'code 101' where id = 100;
            commit;""")
        stack.psql("replica-2", "delete from parent where id < 400; update child set parent = 7")
    for names in ((), ("--table", "child")): # what is tied to it comes along
        break_it()
        done = stack.reset(*names)
        assert done.returncode == 0, done.stdout + done.stderr
        for table, wanted in columns.items():
            wait_equal(stack, table, wanted)
        assert stack.sql("replica-1", catalog) == before
        assert stack.sql("replica-1", oids) == kept
        assert stack.sql("replica-1", "select count(*) from both_of_them") == [(500,)]
    stack.psql("primary", "update parent set note = 2 where id < 10; insert into parent values (900, 'new', 0); insert into child values (900, 900, null)")
    for table, wanted in columns.items():
        wait_equal(stack, table, wanted)
    # What refers to a row that is gone on the primary: the reset says so and changes nothing.
    stack.psql("replica-1", "insert into parent values (5000, 'mine'); insert into of_mine values (5000)")
    done = stack.reset("--replica", "replica-1")
    assert done.returncode not in (0, 2) and "of_mine" in done.stderr, done.stderr
    assert stack.sql("replica-1", catalog) == before
    stack.sql("replica-1", "delete from of_mine")
    assert stack.reset("--replica", "replica-1").returncode == 0
    wait_equal(stack, "parent", columns["parent"])


@pytest.mark.parametrize("event_trigger", (pytest.param(True, marks=pytest.mark.long), False))
def test_columns_that_were_asked_for_are_followed_and_a_filter_is_not(stack, event_trigger):
    stack.start_api()
    stack.start_consumer()
    if not event_trigger:
        stack.psql("primary", "drop event trigger pgfanout_altered; drop event trigger pgfanout_dropped")
    stack.psql("primary", "create table chosen (id int primary key, a text, secret text, b int, shown boolean)")
    for nonsense in ("nonsense", "b", "count(*) > 1", "shown;"):
        with pytest.raises(psycopg2.Error) as refused:
            stack.sql("primary", "select pgfanout.add_table('chosen', filter => %s)", nonsense)
        assert "filter of" in str(refused.value) and refused.value.diag.message_hint
    stack.psql("primary", """
        insert into chosen select i, 'a' || i, 'secret', i, i % 2 = 0 from generate_series(1, 100) i;
        select pgfanout.add_table('chosen', columns => '{id,a,b}', filter => 'shown');""")

    def wait(columns):
        texts = ", ".join(f"{c}::text" for c in columns)
        for db in REPLICAS:
            wait_until(lambda: stack.sql(db, f"select {texts} from chosen order by id") ==  # pylint: disable=cell-var-from-loop
                       stack.sql("primary", f"select {texts} from chosen where shown order by id"), 30 * SLOWNESS, f"{columns} on {db}")
    wait(("id", "a", "b"))
    stack.psql("primary", """
        begin; alter table chosen rename a to c; alter table chosen rename b to a; alter table chosen rename id to number;
        select pgfanout.refresh('chosen'); update chosen set c = c || '!', a = -a; commit;""" if not event_trigger else """
        alter table chosen rename a to c; alter table chosen rename b to a; alter table chosen rename id to number;
        update chosen set c = c || '!', a = -a;""")
    stack.psql("primary", "update chosen set shown = not shown where number < 10")
    for db in REPLICAS:
        wait_until(lambda: stack.sql(db, "select attname from pg_attribute where attrelid = 'chosen'::regclass and attnum > 0 "  # pylint: disable=cell-var-from-loop
                                     "and not attisdropped order by 1") == [("a",), ("c",), ("number",), ("pgfanout_version",)],
                   30 * SLOWNESS, "the columns that were asked for")
        wait_until(lambda: stack.sql(db, "select number, c, a from chosen order by 1") ==  # pylint: disable=cell-var-from-loop
                   stack.sql("primary", "select number, c, a from chosen where shown order by 1"), 30 * SLOWNESS, "rows")
    if event_trigger:
        with pytest.raises(psycopg2.Error) as refused:
            stack.sql("primary", "alter table chosen rename shown to visible")
        assert "filter of" in str(refused.value) and "drop_table" in refused.value.diag.message_hint
        return
    stack.psql("primary", "alter table chosen rename shown to visible")
    wait_until(lambda: "filter of" in stack.sql("primary", "select state from pgfanout.tables where name = 'chosen'")[0][0],
               20 * SLOWNESS, "the state says why")
    with pytest.raises(psycopg2.Error):
        stack.sql("primary", "update chosen set a = 1")


HOSTED = "hosted_owner"


def test_a_database_whose_owner_is_no_superuser(bare_stack):
    stack = bare_stack
    stack.psql("primary", f"""
        do $$ begin create role {HOSTED} login password 'password'; exception when duplicate_object then null; end $$;
        alter schema public owner to {HOSTED}""")
    stack.sql("primary", f"grant create on database {stack.database} to {HOSTED}")
    stack.env["DATABASE_URL"] = stack.env["DATABASE_URL"].replace("//user:", f"//{HOSTED}:")
    stack.cleanups.append(lambda: stack.psql("primary", f"reassign owned by {HOSTED} to current_user; "
                                             f"drop owned by {HOSTED}; drop role {HOSTED}"))
    done = stack.migrate()
    assert stack.sql("primary", "select count(*) from pg_event_trigger") == [(0,)]
    assert "no event triggers, which only a superuser may make" in done.stdout
    stack.start_api()
    stack.start_consumer()
    conn = psycopg2.connect(stack.env["DATABASE_URL"])
    conn.autocommit = True

    def run(script):
        with conn.cursor() as cursor:
            cursor.execute(script)
    run("""
        create table plain (id int primary key, name text); insert into plain values (1, 'one');
        create table parted (id int primary key, name text) partition by range (id);
        create table p1 partition of parted for values from (0) to (100); insert into parted values (1, 'one');
        select pgfanout.add_table('plain'), pgfanout.add_table('parted');""")
    for table in ("plain", "parted"):
        wait_equal(stack, table, ("id", "name"), 60)
    run("create table p2 partition of parted for values from (100) to (200); insert into p2 values (100, 'direct');")
    run("update parted set id = 101 where id = 1; alter table plain add column more int default 1;")
    wait_equal(stack, "parted", ("id", "name"), 60)
    wait_equal(stack, "plain", ("id", "name", "more"), 60)
    wait_until(lambda: stack.sql("primary", "select state from pgfanout.tables where name <> 'products'") == [("captured",)] * 2,
               20 * SLOWNESS, "capture is whole")
    run("truncate p2")
    wait_equal(stack, "parted", ("id", "name"), 60)
    conn.close()
