"""Tables that refer to each other in circles, tables of one name, and what a role may not see or do."""
import os
import random

import psycopg2
import pytest

from conftest import SLOWNESS, wait_until
from test_tables import nothing_given_up, wait_equal

ACTIONS = ("cascade", "set null", "no action")


@pytest.mark.parametrize("seed", [None, *(pytest.param(n, marks=pytest.mark.long) for n in (1, 2, 3, 4))])
def test_random_graphs_of_foreign_keys_end_equal(stack, seed):
    """Cycles, references to the table itself, every action; a reset in between, with everything running."""
    seed = int(os.environ.get("SEED") or random.randrange(1 << 30)) if seed is None else seed
    print("SEED", seed)
    r = random.Random(seed)
    names, rows = [f"n{i}" for i in range(6)], 40
    edges = [(a, b) for a in names for b in r.sample(names, 2)] + [("n0", "n1"), ("n1", "n2"), ("n2", "n0"), ("n3", "n3")]
    columns = {a: ["id", "word", *(f"r{k}" for k, e in enumerate(edges) if e[0] == a)] for a in names}
    stack.start_api()
    stack.start_consumer()
    stack.psql("primary", "".join(
        f"create table {a} (id int primary key, word text, {', '.join(c + ' int' for c in columns[a][2:])});"
        f"insert into {a} (id, word) select i, 'w' from generate_series(1, {rows}) i;" for a in names) + "".join(
        f"alter table {a} add foreign key (r{k}) references {b} on delete {r.choice(ACTIONS)} on update {r.choice(ACTIONS)} "
        f"{r.choice(('', 'deferrable initially deferred'))};" for k, (a, b) in enumerate(edges)) + "".join(
        f"select pgfanout.add_table('{a}');" for a in names))
    conn = stack.connect("primary")
    conn.autocommit = True
    done = 0

    def write(n):
        nonlocal done
        for _ in range(n):
            a, i = r.choice(names), r.randrange(1, rows)
            refers, other = r.choice(columns[a][2:]), r.randrange(1, rows)
            try:
                with conn.cursor() as cursor:
                    cursor.execute(r.choice((
                        f"update {a} set {refers} = {other} where id = {i}",
                        f"update {a} set {refers} = id where id % 5 = {i % 5}",
                        f"update {a} set id = {other} where id = {i}",
                        f"update {a} set id = -id",
                        f"delete from {a} where id = {i}",
                        f"begin; delete from {a} where id = {i}; insert into {a} (id, word) values ({i}, 'again'); commit",
                        f"insert into {a} (id, word) values ({i}, 'new') on conflict (id) do update set word = 'u{i}', {refers} = {other}")))
                done += 1
            except psycopg2.IntegrityError:
                with conn.cursor() as cursor:
                    cursor.execute("rollback")
    write(150)
    assert stack.reset("--yes", "--replica", "replica-1").returncode == 0
    write(150)
    for a in names:
        wait_equal(stack, a, columns[a], 60)
    nothing_given_up(stack)
    assert done > 100, "most writes must have been taken"
    assert stack.reset("--verify").returncode == 0
    conn.close()


def test_tables_of_one_name_are_not_mixed_up(stack):
    """In two schemas, of one stream and with the same keys; the names hold what separates names."""
    stack.start_api()
    stack.start_consumer()
    tables = {"public.same": "p", "other.same": "o", '"other.same".same': "q", 'public."other.same"': "r"}
    stack.psql("primary", 'create schema other; create schema "other.same";' + "".join(
        f"create table {t} (id int primary key, word text); insert into {t} select i, '{w}' || i from generate_series(1, 20) i; "
        f"select pgfanout.add_table('{t}');" for t, w in tables.items()))
    for t in tables:
        wait_equal(stack, t, ("id", "word"), 60)
    for n, (t, w) in enumerate(tables.items(), 1):
        stack.psql("primary", f"update {t} set word = '{w}{w}' || id where id % {n + 1} = 0; delete from {t} where id = {n}")
    stack.psql("primary", "alter table other.same rename column word to term")
    for t in tables:
        wait_equal(stack, t, ("id", "term" if t == "other.same" else "word"), 60)
    stack.psql("primary", "truncate public.same; select pgfanout.drop_table('\"other.same\".same'); insert into other.same values (99, 'x')")
    for t in ("public.same", "other.same", 'public."other.same"'):
        wait_equal(stack, t, ("id",), 60)
    assert stack.sql("replica-1", 'select count(*) from "other.same".same') == [(19,)], "dropped, and kept there"
    assert stack.reset("--yes", "--table", "other.same").returncode == 0
    wait_equal(stack, "other.same", ("id", "term"), 60)
    nothing_given_up(stack)
    assert stack.reset("--verify").returncode == 0


def test_row_security_that_comes_later_hides_nothing_from_replicas(stack):
    """A row that its writer may not see is a change like any other, never a delete. Nor does a load leave it out."""
    stack.start_api()
    stack.start_consumer()
    stack.psql("primary", """
        create table secrets (id int primary key, owner text, word text);
        insert into secrets select i, case when i % 2 = 0 then 'even' else 'odd' end, 'w' from generate_series(1, 20) i;
        select pgfanout.add_table('secrets');
        do $$ begin create role secretive; exception when duplicate_object then null; end $$;
        grant select, insert, update, delete on secrets to secretive;""")
    stack.cleanups.append(lambda: stack.psql("primary", "drop owned by secretive; drop role secretive"))
    wait_equal(stack, "secrets", ("id", "owner", "word"), 60)
    stack.psql("primary", """
        alter table secrets enable row level security; alter table secrets force row level security;
        create policy even on secrets to secretive using (owner = 'even') with check (true);""")
    stack.psql("primary", """
        set role secretive; update secrets set word = 'seen'; insert into secrets values (21, 'odd', 'never seen');
        delete from secrets where id in (4, 5); update secrets set owner = 'odd';""")
    assert stack.sql("primary", "select count(*) from secrets") == [(20,)], "a superuser sees all: 20 and one more, without one"
    wait_equal(stack, "secrets", ("id", "owner", "word"), 60)
    assert stack.reset("--yes", "--table", "secrets").returncode == 0
    wait_equal(stack, "secrets", ("id", "owner", "word"), 60)
    nothing_given_up(stack)


def test_a_replica_whose_role_may_not_make_the_table(bare_stack):
    """It waits, says why, and has it soon after it may; the other replica and products go on."""
    stack, role = bare_stack, "modest"
    stack.psql("replica-1", f"""
        do $$ begin create role {role} login password 'password'; exception when duplicate_object then null; end $$;
        grant create on database {stack.database} to {role}; grant usage, create on schema public to {role}; create schema theirs;""")
    stack.cleanups.append(lambda: stack.psql("replica-1", f"reassign owned by {role} to current_user; drop owned by {role}; drop role {role}"))
    stack.env["REPLICA_1_URL"] = stack.env["REPLICA_1_URL"].replace("//user:", f"//{role}:")
    stack.migrate()
    stack.start_api()
    consumer = stack.start_consumer()
    stack.psql("primary", "create schema theirs; create table theirs.t (id int primary key); insert into theirs.t values (1), (2); "
               "create table ours (id int primary key); insert into ours values (3); "
               "select pgfanout.add_table('theirs.t'), pgfanout.add_table('ours')")
    wait_until(lambda: stack.sql("replica-2", "select count(*) from theirs.t") == [(2,)], 60 * SLOWNESS, "the other replica")
    wait_equal(stack, "ours", ("id",), 60)
    (reason,), = wait_until(lambda: stack.sql("replica-1", "select waiting from pgfanout.shapes where waiting is not null"),
                            30 * SLOWNESS, "it waits")
    assert "permission denied for schema theirs" in reason and "theirs.t" in reason
    stack.create("products go on")
    stack.wait_converged()
    assert consumer.running()
    stack.psql("replica-1", f"grant usage, create on schema theirs to {role}")
    wait_equal(stack, "theirs.t", ("id",), 90)
    nothing_given_up(stack)
