"""The setting TABLES of pgfanout-migrate, schemas all of whose tables are replicated, and what `tables` prints."""
import json

import pytest

from conftest import SLOWNESS, wait_until

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
    wait_until(loaded, 40 * SLOWNESS, "all is loaded")


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


@pytest.mark.parametrize("event_trigger", (True, False))
def test_a_schema_is_replicated_with_what_comes_later(stack, event_trigger):
    stack.psql("primary", SCHEMA)
    if not event_trigger:
        stack.psql("primary", "drop event trigger pgfanout_altered; drop event trigger pgfanout_dropped")
    stack.start_api()
    stack.start_consumer()
    stack.sql("primary", "select pgfanout.add_schema('blog')")
    wait_loaded(stack, "blog.posts", "blog.comments")
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
    stack.psql("primary", "set role another; create table theirs.later (id int primary key)")
    assert registered(stack) == ["theirs.own"]


def test_what_tables_prints(stack):
    stack.start_api()
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
    wait_until(waits, 20 * SLOWNESS, "it knows of the table")
    assert stack.reset("--table", "users", "--replica", "replica-1").returncode == 0
    found = listed(stack)[1]
    assert found["public.users", "replica-1"]["state"] == "loaded" and found["public.users", "replica-2"]["state"] == "waiting"
    wait_until(lambda: listed(stack)[1]['public."User"', "primary"]["state"] == "capture broken", 10 * SLOWNESS, "it is seen")
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
    wait_until(lambda: listed(stack)[1]["public.big", "replica-1"]["reason"] is not None, 20 * SLOWNESS, "it is known")
    wait_until(lambda: "yet to be loaded" in listed(stack)[1]["public.big", "replica-1"]["reason"], 20 * SLOWNESS, "it is known")
    reset = stack.start_program("reset-replicas", "--table", "big", "--quiet")
    seen = []

    def progress():
        seen.append(listed(stack)[1]["public.big", "replica-1"])
        return seen[-1]["state"] == "loaded"
    wait_until(progress, 60 * SLOWNESS, "it is loaded")
    wait_until(lambda: not reset.running(), 10 * SLOWNESS, "its end")
    assert reset.popen.returncode == 0
    loading = [o for o in seen if o["state"] == "loading" and o["rows"] is not None]
    assert loading and 0 <= loading[-1]["rows"] <= 200000 and loading[-1]["expectedRows"] == 200000, seen
