"""The setting TABLES of pgfanout-migrate, schemas all of whose tables are replicated, and what `tables` prints."""
import json
import random
import threading

import psycopg2
import pytest

from conftest import SLOWNESS, wait_until
from test_tables import wait_equal

REPLICAS = ("replica-1", "replica-2")


def registered(stack):
    return [f"{s}.{n}" for s, n in stack.sql("primary", "select schema, name from pgfanout.tables where name <> 'products'")]


def listed(stack, **env):
    """What `tables` says: {(table, database): the line's object}."""
    done = stack.run("pgfanout-migrate", "tables", "--json", **env)
    return done.returncode, {(o["table"], o["database"]): o for o in map(json.loads, done.stdout.splitlines())}


def wait_loaded(stack, *tables):
    def loaded():
        found = listed(stack)[1]
        for table in tables:
            for db in REPLICAS:
                assert found[table, db]["state"] == "loaded", found[table, db]
        return True
    wait_until(loaded, 160 * SLOWNESS, "all is loaded")


SCHEMA = """
    create schema blog;
    create table users (id int primary key);
    create table "User" (id int primary key);
    create table "odd.name,really" (id int primary key);
    create table blog.posts (id int primary key);
    create table blog.comments (id int primary key);
    create table blog.no_key (id int);
    create table blog.parted (id int primary key) partition by range (id);
    create table blog.part_1 partition of blog.parted for values from (0) to (10);
    insert into users values (1); insert into blog.posts values (1), (2);
"""


def test_up_registers_what_is_listed(stack):
    stack.psql("primary", SCHEMA)
    up = stack.run("pgfanout-migrate", "up", TABLES='users, "User",blog.*,"odd.name,really"')
    assert up.returncode == 0, up.stdout + up.stderr
    assert {"public.users", "public.User", "public.odd.name,really", "blog.posts", "blog.comments"} <= set(registered(stack))
    assert not {"blog.no_key", "blog.part_1"} & set(registered(stack))
    assert "primary: blog.*: registered" in up.stdout and "has no primary key" in up.stderr
    again = stack.run("pgfanout-migrate", "up", TABLES='users, "User",blog.*,"odd.name,really"')
    assert again.returncode == 0 and "registered" not in again.stdout
    # What is registered and not listed is named, and stays.
    fewer = stack.run("pgfanout-migrate", "up", TABLES="blog.posts,USERS")
    assert fewer.returncode == 0
    for name in ("blog.comments", 'public.\\"User\\"', "blog.*"):
        assert "not listed in TABLES" in fewer.stderr and name in fewer.stderr, fewer.stderr
    assert "public.users" not in fewer.stderr and "blog.posts" not in fewer.stderr
    assert "blog.comments" in registered(stack)
    # One that is refused keeps no other back.
    stack.psql("primary", "create table extra (id int primary key); create view seen as select 1 as id")
    some = stack.run("pgfanout-migrate", "up", TABLES="nope,extra,seen,elsewhere.*")
    assert some.returncode == 6 and "public.extra" in registered(stack)
    for phrase in ("there is no table", "is a view", "there is no schema"):
        assert phrase in some.stderr, some.stderr
    bad = stack.run("pgfanout-migrate", "up", TABLES="users;drop table users")
    assert bad.returncode == 2 and "TABLES" in bad.stderr and "schema.table" in bad.stderr


@pytest.mark.parametrize("event_trigger", (True, pytest.param(False, marks=pytest.mark.long)))
def test_a_schema_is_replicated_with_what_comes_later(stack, event_trigger):
    stack.psql("primary", SCHEMA)
    if not event_trigger:
        stack.psql("primary", "drop event trigger pgfanout_altered; drop event trigger pgfanout_dropped")
    stack.start_api()
    stack.start_consumer()
    stack.sql("primary", "select pgfanout.add_schema('blog')")
    wait_loaded(stack, "blog.posts", "blog.comments", "blog.parted")
    stack.psql("primary", """
        create table blog.later (id int primary key); insert into blog.later values (7);
        create table blog.no_key_yet (id int);
        create table other (id int primary key);
        alter table other set schema blog;
        drop table blog.comments;""")
    wait_loaded(stack, "blog.later", "blog.other")
    assert "blog.no_key_yet" not in registered(stack) and "blog.comments" not in registered(stack)
    for db in REPLICAS:
        assert stack.sql(db, "select id from blog.later") == [(7,)]
    found = listed(stack)[1]
    assert found["blog.*", "primary"]["state"] == "all tables, new ones too"
    assert "has no primary key" in found["blog.no_key_yet", "primary"]["reason"]
    stack.psql("primary", "alter table blog.no_key_yet add primary key (id)")
    wait_loaded(stack, "blog.no_key_yet")
    # Told to leave one alone, or no more to look, it does.
    stack.psql("primary", "select pgfanout.drop_table('blog.later')")
    stack.psql("primary", "alter table blog.later add column more int")
    stack.psql("primary", "select pgfanout.drop_schema('blog'); create table blog.after (id int primary key)")
    stack.psql("primary", "select pgfanout.notice(false)")
    assert "blog.later" not in registered(stack) and "blog.after" not in registered(stack)
    assert "blog.posts" in registered(stack)
    stack.psql("primary", "select pgfanout.add_schema('blog')")
    assert {"blog.later", "blog.after"} <= set(registered(stack))


def test_who_may_register_a_schema(stack):
    stack.psql("primary", """
        drop role if exists owner_of_it; create role owner_of_it; drop role if exists another; create role another;
        create schema theirs authorization owner_of_it; grant usage, create on schema theirs to another;
        grant execute on function pgfanout.register(regclass,text[],text,text,text[],text) to another;
        set role another; create table theirs.of_another (id int primary key);""")
    stack.cleanups.append(lambda: stack.psql("primary", "drop owned by owner_of_it, another cascade; drop role owner_of_it; drop role another"))
    for role in ("another", "owner_of_it"):
        with pytest.raises(Exception) as refused:
            stack.psql("primary", f"set role {role}; select pgfanout.add_schema('theirs')")
        assert "only the owner of schema" in str(refused.value)
    stack.psql("primary", """
        grant execute on function pgfanout.register(regclass,text[],text,text,text[],text) to owner_of_it;
        set role owner_of_it; create table theirs.own (id int primary key); select pgfanout.add_schema('theirs');""")
    assert registered(stack) == ["theirs.own"]
    assert "may not register a table of another" in stack.sql("primary", "select reason from pgfanout.skipped")[0][0]
    stack.psql("primary", """
        set role another; create table theirs.later (id int primary key);
        set role owner_of_it; create table theirs.more as select 1 as id; alter table theirs.more add primary key (id);""")
    assert registered(stack) == ["theirs.more", "theirs.own"]


def test_what_tables_prints(stack):
    api = stack.start_api()
    stack.psql("primary", SCHEMA + """
        create type mood as enum ('fine');
        create table moody (id int primary key, mood mood);
        create table only_one (id int primary key);
        select pgfanout.add_table('users'), pgfanout.add_table('moody'), pgfanout.add_table('"User"');
        select pgfanout.add_table('only_one', replicas => '{replica-1}', stream => 'hot');
        alter table "User" disable trigger all;""")
    code, found = listed(stack)
    assert code == 0
    assert found["public.users", "primary"]["state"] == "captured"
    assert found["public.users", "replica-1"]["state"] == "waiting"
    assert "is its consumer at work" in found["public.users", "replica-1"]["reason"]
    assert found["public.only_one", "replica-1"]["stream"] == "hot" and ("public.only_one", "replica-2") not in found
    stack.start_consumer(AUTO_RESET="false")

    def waits():
        found = listed(stack)[1]
        assert "yet to be loaded" in found["public.users", "replica-1"]["reason"]
        return True
    wait_until(waits, 60 * SLOWNESS, "it knows of the table")
    wait_until(lambda: stack.reset("--table", "users", "--replica", "replica-1").returncode == 0, 60 * SLOWNESS, "a reset")
    found = listed(stack)[1]
    assert found["public.users", "replica-1"]["state"] == "loaded" and found["public.users", "replica-2"]["state"] == "waiting"
    wait_until(lambda: listed(stack)[1]['public."User"', "primary"]["state"] == "capture broken", 40 * SLOWNESS, "it is seen")
    wait_until(lambda: ['"User"'] == [t["table"] for t in stack.get("/status").json()["data"]["primary"]["tables"]],
               40 * SLOWNESS, "/status has it")
    assert "not all captured" in api.log(200)
    text = stack.run("pgfanout-migrate", "tables")
    assert text.returncode == 0
    line = next(x for x in text.stdout.splitlines() if "replica-1" in x and "public.users" in x)
    assert line.split() == ["public.users", "tables", "replica-1", "loaded"]
    stack.replicas[1].stop("immediate")
    code, found = listed(stack)
    assert code == 3 and found["public.users", "replica-2"]["state"] == "unknown"
    assert found["public.users", "replica-1"]["state"] == "loaded"


def test_progress_of_a_load(stack):
    stack.start_api()
    stack.start_consumer(AUTO_RESET="false")
    stack.psql("primary", """
        create table big (id int primary key, filler text);
        insert into big select i, repeat('x', 500) from generate_series(1, 200000) i; analyze big;
        select pgfanout.add_table('big');""")
    wait_until(lambda: listed(stack)[1]["public.big", "replica-1"]["reason"] is not None, 60 * SLOWNESS, "it is known")
    wait_until(lambda: "yet to be loaded" in listed(stack)[1]["public.big", "replica-1"]["reason"], 60 * SLOWNESS, "it is known")
    reset = stack.start_program("reset-replicas", "--table", "big", "--quiet")
    seen = []

    def progress():
        seen.append(listed(stack)[1]["public.big", "replica-1"])
        return seen[-1]["state"] == "loaded"
    wait_until(progress, 60 * SLOWNESS, "it is loaded")
    wait_until(lambda: not reset.running(), 40 * SLOWNESS, "its end")
    assert reset.popen.returncode == 0
    loading = [o for o in seen if o["state"] == "loading" and o["rows"] is not None]
    assert loading and 0 <= loading[-1]["rows"] <= 200000 and loading[-1]["expectedRows"] == 200000, seen


def rows(stack, db, table):
    return stack.sql(db, f"select id, name from {table} order by id")


def ours(stack, db):
    """What a replica knows of tables: its rows, and what was generated for them."""
    return (stack.sql(db, "select relation::regclass::text from pgfanout.tables where id <> 1 order by 1"),
            stack.sql(db, "select p.proname from pg_proc p where pronamespace = 'pgfanout'::regnamespace and proname ~ '_1[0-9][0-9]$' "
                      "union all select relname from pg_class where relnamespace = 'pgfanout'::regnamespace and relname ~ '^tombstones_1[0-9][0-9]$' "
                      "union all select typname from pg_type where typnamespace = 'pgfanout'::regnamespace and typname ~ '^columns_' and typname <> 'columns_1'"))


def test_a_table_is_dropped_on_the_replicas_or_kept(stack):
    stack.start_api()
    consumer = stack.start_consumer()
    stack.psql("primary", """
        create table keep (id int primary key, name text); create table purge (id int primary key, name text);
        create table viewed (id int primary key, name text); create table drop_it (id int primary key, name text);
        insert into keep select i, 'old' from generate_series(1, 1000) i;
        insert into purge select * from keep; insert into viewed select * from keep; insert into drop_it select * from keep;
        select pgfanout.add_table(t) from unnest('{keep,purge,viewed,drop_it}'::text[]) t;""")
    wait_loaded(stack, "public.keep", "public.purge", "public.viewed", "public.drop_it")
    stack.sql("replica-1", "create view over as select * from viewed")
    channel = stack.amqp().channel()
    tap = channel.queue_declare("", exclusive=True).method.queue
    channel.queue_bind(tap, "tables", "#")
    # The last changes, in both queues, and the end behind them, in one sweep.
    stack.psql("primary", """
        begin;
        update keep set name = 'new'; delete from keep where id > 500; insert into keep values (2000, 'last');
        update purge set name = 'new'; update viewed set name = 'new'; delete from viewed where id = 3;
        delete from drop_it where id > 10; update drop_it set name = 'new';
        select pgfanout.drop_table('keep');
        select pgfanout.drop_table('purge', purge => true);
        select pgfanout.drop_table('viewed', true);
        drop table drop_it;
        commit;
        update keep set name = 'later';""")
    wait_until(lambda: all(not ours(stack, db)[0] for db in REPLICAS), 90 * SLOWNESS, "they know nothing of the tables")
    kept = [(i, "new") for i in range(1, 501)] + [(2000, "last")]
    for db in REPLICAS:
        assert rows(stack, db, "keep") == kept
        assert rows(stack, db, "drop_it") == [(i, "new") for i in range(1, 11)]
        assert stack.sql(db, "select to_regclass('purge')") == [(None,)]
        assert ours(stack, db)[1] == []
    assert stack.sql("replica-2", "select to_regclass('viewed')") == [(None,)]
    assert len(rows(stack, "replica-1", "over")) == 999
    wait_until(lambda: "could not be dropped" in consumer.log(500) and "view public.over" in consumer.log(500), 40 * SLOWNESS, "it is told")
    assert registered(stack) == []
    # Messages of then come once more: nothing happens, and nothing is poison.
    again = stack.take_all(channel, tap)
    assert len(again) > 5
    for key, properties, body in again:
        channel.basic_publish("tables", key, body, properties)
    stack.psql("primary", "create table mark (id int primary key, name text); insert into mark values (1, 'mark'); select pgfanout.add_table('mark')")
    wait_loaded(stack, "public.mark")
    for db in REPLICAS:
        wait_until(lambda: stack.queue_depth(f"tables.sync.{db}") == 0, 60 * SLOWNESS, "all is taken")  # pylint: disable=cell-var-from-loop
        assert rows(stack, db, "keep") == kept
        assert stack.sql(db, "select count(*) from pgfanout.dead_letters") == [(0,)]
        assert stack.queue_depth(f"tables.dead.{db}") == 0
    # And once more registered.
    stack.psql("primary", """
        create table drop_it (id int primary key, name text); insert into drop_it values (7, 'again');
        select pgfanout.add_table(t) from unnest('{keep,purge,viewed,drop_it}'::text[]) t;
        update keep set name = 'followed' where id = 1;""")
    wait_loaded(stack, "public.keep", "public.purge", "public.viewed", "public.drop_it")

    def equal():
        for table in ("keep", "purge", "viewed", "drop_it"):
            for db in REPLICAS:
                assert rows(stack, db, table) == rows(stack, "primary", table), (db, table)
        return True
    wait_until(equal, 60 * SLOWNESS, "equal")
    assert len(rows(stack, "replica-1", "over")) == 999


def test_a_table_that_is_dropped_before_it_was_loaded(stack):
    """While the consumer was away; and where the message that it is dropped was lost."""
    stack.start_api()
    consumer = stack.start_consumer(AUTO_RESET="false")
    stack.psql("primary", "create table short_lived (id int primary key); create table lost (id int primary key); "
               "select pgfanout.add_table('short_lived'), pgfanout.add_table('lost', stream => 'hot')")
    wait_until(lambda: all(len(ours(stack, db)[0]) == 2 for db in REPLICAS), 90 * SLOWNESS, "they know of both")
    assert consumer.stop() == 0
    stack.psql("primary", "drop table short_lived; select pgfanout.drop_table('lost')")
    wait_until(lambda: stack.sql("primary", "select count(*) from pgfanout.outbox where kind = 's'") == [(0,)], 60 * SLOWNESS, "it is told")
    for db in REPLICAS:
        stack.amqp().channel().queue_purge(f"hot.sync.{db}")
        stack.sql(db, "update pgfanout.streams set needs_reset = true, auto_reset = true, reason = 'lost' where name = 'hot'")
    consumer = stack.start_consumer()
    wait_until(lambda: all(not ours(stack, db)[0] for db in REPLICAS), 90 * SLOWNESS, "they know of none")
    for db in REPLICAS:
        wait_until(lambda: stack.sql(db, "select needs_reset from pgfanout.streams where name = 'hot'") == [(False,)],  # pylint: disable=cell-var-from-loop
                   90 * SLOWNESS, "the stream is complete")
    assert "could not reset itself" not in consumer.log(1000)
    done = stack.reset()
    assert done.returncode == 0, done.stdout + done.stderr


def test_tables_come_and_go_while_clients_write(stack):
    """Also while a transaction is open that wrote the table before it was registered."""
    stack.start_api()
    stack.start_consumer()
    stack.psql("primary", "create table hot (id int primary key, n int); insert into hot select i, 0 from generate_series(1, 500) i")
    stop, failures = threading.Event(), []

    def work(seed):
        conn, rng = stack.connect("primary"), random.Random(seed)
        conn.autocommit = True
        with conn.cursor() as cursor:
            while not stop.is_set():
                try:
                    cursor.execute("insert into hot values (%(id)s, %(n)s) on conflict (id) do update set n = excluded.n" if rng.random() < 0.7
                                   else "delete from hot where id = %(id)s", {"id": rng.randrange(1, 600), "n": rng.randrange(1 << 30)})
                except psycopg2.Error as e:
                    failures.append(e)
                    return
    early = stack.connect("primary")
    early.cursor().execute("insert into hot values (-1, -1); update hot set n = -2 where id = 1000; delete from hot where id = 1000")
    adder = stack.connect("primary")
    adder.autocommit = True
    adding = threading.Thread(target=lambda: adder.cursor().execute("select pgfanout.add_table('hot')"))
    adding.start()
    wait_until(lambda: stack.sql("primary", "select %s = any (pg_blocking_pids(%s))", early.get_backend_pid(), adder.get_backend_pid())
               == [(True,)], 30 * SLOWNESS, "add_table() to wait for the transaction that is open")
    early.commit()
    adding.join()
    writers = [threading.Thread(target=work, args=(i,)) for i in range(2)]
    for w in writers:
        w.start()
    try:
        wait_loaded(stack, "public.hot")
        for db in REPLICAS:
            assert stack.sql(db, "select n from hot where id = -1") == [(-1,)]
        for again in range(2):
            stack.sql("primary", "select pgfanout.drop_table('hot')")
            stack.sql("primary", "insert into hot values (%s, 0)", -2 - again)  # captured by nobody
            stack.sql("primary", "select pgfanout.add_table('hot')")
        wait_loaded(stack, "public.hot")
    finally:
        stop.set()
        for w in writers:
            w.join()
    assert not failures
    wait_equal(stack, "hot", ("id", "n"), 60)
    for db in REPLICAS:
        assert stack.sql(db, "select id from hot where id < 0 order by id") == [(-3,), (-2,), (-1,)]
        assert stack.sql(db, "select count(*) from pgfanout.dead_letters") == [(0,)]


def test_what_was_written_until_a_table_is_dropped_comes_before_that(stack):
    """drop_table() waits for who writes: the record that ends the table is behind all of its changes."""
    stack.sql("primary", "create table hot (id int primary key)")
    stack.sql("primary", "select pgfanout.add_table('hot')")
    writer, dropper = stack.connect("primary"), stack.connect("primary")
    dropper.autocommit = True
    cursor = writer.cursor()
    cursor.execute("insert into hot values (1)")
    dropping = threading.Thread(target=lambda: dropper.cursor().execute("select pgfanout.drop_table('hot')"))
    dropping.start()
    wait_until(lambda: stack.sql("primary", "select %s = any (pg_blocking_pids(%s))", writer.get_backend_pid(), dropper.get_backend_pid())
               == [(True,)], 30 * SLOWNESS, "drop_table() to wait for the transaction that is open")
    cursor.execute("insert into hot values (2)")
    writer.commit()
    dropping.join()
    assert stack.sql("primary", "select kind from pgfanout.outbox where stream <> 1 and heartbeat is null order by version") == [
        ("s",), ("i",), ("i",), ("s",)]
