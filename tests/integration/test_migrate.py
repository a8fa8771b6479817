"""pgfanout-migrate: up, down and status on real databases, twice, at once, and with one missing."""
import os
import subprocess
import threading
import time

import psycopg2
import pytest

from conftest import ROOT, program_env, wait_until

DATABASES = ("primary", "replica-1", "replica-2")


def migrations(side):
    """Their numbers and names, as they are printed."""
    files = sorted(f for f in os.listdir(os.path.join(ROOT, "migrations", side)) if f.endswith(".up.sql"))
    return [f"{int(f[:4])} {f[5:-len('.up.sql')]}" for f in files]


MIGRATIONS = {db: migrations("primary" if db == "primary" else "replica")
              for db in DATABASES}
NEWEST = {db: names[-1] for db, names in MIGRATIONS.items()}
UNREACHABLE, SCHEMA, BUSY, FAILED, INTERRUPTED, USAGE = 3, 4, 5, 6, 7, 2


def migrate(stack, *args, **env):
    return stack.run("pgfanout-migrate", *args, **env)


def registered(stack, db):
    return stack.sql(db, "select number, name from pgfanout_migrations order by number")


def needs_reset(stack, db):
    return stack.sql(db, "select needs_reset from pgfanout.streams")[0][0]


def insert(stack, name="x", db="primary"):
    return stack.sql(db, "insert into products (id, name, price, stock, created_at, updated_at) "
                     "values (gen_random_uuid(), %s, 1.50, 1, now(), now()) returning id::text",
                     name)[0][0]


def test_up_migrates_everything_and_then_does_nothing(bare_stack):
    first = migrate(bare_stack, "up")
    assert first.returncode == 0 and first.stderr == ""
    assert first.stdout.splitlines() == [
        f"{db}: {name}: applied" for db in DATABASES for name in MIGRATIONS[db]]
    second = migrate(bare_stack, "up")
    assert second.returncode == 0
    assert second.stdout.splitlines() == [f"{db}: {NEWEST[db]}: up to date" for db in DATABASES]


def test_everything_it_makes_says_what_it_is(stack):
    for db in DATABASES:
        silent = stack.sql(db, """
            select relname from pg_class where relnamespace = 'public'::regnamespace
                and relkind in ('r', 'S', 'v') and obj_description(oid, 'pg_class') is null
            union all select proname from pg_proc where pronamespace = 'public'::regnamespace
                and obj_description(oid, 'pg_proc') is null""")
        assert silent == []


def test_status_says_what_is_pending(bare_stack):
    before = migrate(bare_stack, "status")
    assert before.returncode == SCHEMA and before.stdout.count("pending") == sum(map(len, MIGRATIONS.values()))
    bare_stack.migrate()
    after = migrate(bare_stack, "status")
    assert after.returncode == 0 and "pending" not in after.stdout
    assert [line.split()[:3] for line in after.stdout.splitlines()[1:3]] == [
        ["primary", "1", "products"], ["primary", "2", "capture"]]


def test_many_at_once_apply_everything_once(bare_stack):
    runs = []
    threads = [threading.Thread(target=lambda: runs.append(migrate(bare_stack, "up")))
               for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [(r.returncode, r.stderr) for r in runs] == [(0, "")] * 6
    lines = [line for r in runs for line in r.stdout.splitlines()]
    for db in DATABASES:
        for name in MIGRATIONS[db]:
            assert lines.count(f"{db}: {name}: applied") == 1
        assert not db.startswith("replica") or not needs_reset(bare_stack, db)


def test_a_fresh_system_needs_no_reset(stack):
    assert not needs_reset(stack, "replica-1") and not needs_reset(stack, "replica-2")


@pytest.mark.parametrize("how", ["products-before", "written-and-deleted", "rows-on-the-replica"])
def test_a_replica_that_may_miss_something_needs_a_reset(bare_stack, how):
    if how == "products-before":
        bare_stack.psql("primary", "create table products (id uuid primary key, name text not null,"
                        " price numeric not null, stock integer not null default 0, created_at "
                        "timestamptz not null default now(), updated_at timestamptz not null "
                        "default now());")
        insert(bare_stack)
    elif how == "written-and-deleted":
        migrate(bare_stack, "up", REPLICA_1_URL=None)
        insert(bare_stack)
        bare_stack.sql("primary", "delete from products")
    else:
        bare_stack.psql("replica-1", "create table products (id uuid primary key, name text not "
                        "null, price numeric not null, stock integer not null, created_at "
                        "timestamptz not null, updated_at timestamptz not null);")
        insert(bare_stack, db="replica-1")
    done = migrate(bare_stack, "up")
    assert done.returncode == 0
    assert needs_reset(bare_stack, "replica-1")
    assert "reset-replicas --replica replica-1" in done.stdout
    if how == "products-before":
        assert len(bare_stack.rows("primary")) == 1


def take_back(stack):
    down = migrate(stack, "down")
    assert down.returncode == 0
    return [line for line in down.stdout.splitlines() if not line.startswith("    ")]


WAITING = ("select version, xid::text, b.row ->> 'id', b.row ->> 'name', (b.row ->> 'stock')::int "
           "from pgfanout.outbox o cross join lateral (select pgfanout.row_of(o) as row) b order by version")
WAITED = "select version, xid::text, id::text, name, stock from products_outbox order by version"


def test_down_and_up_lose_nothing(stack):
    kept, changed, gone = (insert(stack, name) for name in ("kept", "changed", "gone"))
    stack.sql("primary", "delete from products where id = %s", insert(stack, "short"))
    stack.sql("replica-1", "insert into pgfanout.tombstones_1 values (%s, 7)", kept)
    insert(stack, db="replica-1")
    waiting = stack.sql("primary", WAITING)
    assert len(waiting) == 5
    rows = {db: stack.rows(db) for db in DATABASES}

    assert take_back(stack) == ["replica-2: 6 positions: taken back", "replica-1: 6 positions: taken back",
                                "primary: 6 epochs: taken back"]
    assert take_back(stack) == [f"{db}: 5 readable_tables: taken back" for db in reversed(DATABASES)]
    assert stack.sql("primary", WAITING) == waiting
    assert take_back(stack) == [f"{db}: 4 readable: taken back" for db in reversed(DATABASES)]
    assert take_back(stack) == [f"{db}: 3 any_table: taken back" for db in reversed(DATABASES)]
    assert {db: stack.rows(db) for db in DATABASES} == rows
    assert stack.sql("primary", WAITED) == waiting
    assert migrate(stack, "status").returncode == SCHEMA
    late = insert(stack, "late")
    assert stack.sql("primary", WAITED)[:-1] == waiting

    # From here on nobody records; the next up finds it.
    take_back(stack)
    stack.sql("primary", "update products set stock = 5 where id = %s", changed)
    stack.sql("primary", "delete from products where id = %s", gone)
    new = insert(stack, "new")
    assert len(stack.sql("primary", WAITED)) == 6

    stack.migrate()
    found = stack.sql("primary", WAITING)
    assert found[:5] == waiting
    assert sorted((row[2:] for row in found[5:]), key=str) == sorted(
        [(late, "late", 1), (changed, "changed", 5), (gone, None, None), (new, "new", 1)], key=str)
    assert stack.sql("primary", "select to_regclass('products_capture_paused')") == [(None,)]
    assert stack.sql("replica-1", "select id::text, version from pgfanout.tombstones_1") == [
        (kept, 7)]
    insert(stack)
    assert stack.sql("primary", "select count(*) from pgfanout.outbox") == [(10,)]


def test_down_takes_back_what_the_newest_made_alone(stack):
    stack.psql("primary", "create table t (id int primary key); select pgfanout.add_table('t'); insert into t values (1)")
    kept = ("select to_regclass('pgfanout.readable_tables')::text, (select count(*) from pgfanout.registered), "
            "(select count(*) from pgfanout.outbox)")
    assert stack.sql("primary", kept) == [("pgfanout.readable_tables", 2, 2)]
    made = ("select (select count(*) from pg_proc where pronamespace = 'pgfanout'::regnamespace and proname ~ '^(apply|truncate|arrive)_[0-9]+$'), "
            "(select string_agg(relname, ',' order by relname) from pg_class where relnamespace = 'pgfanout'::regnamespace "
            "and relname ~ '^(seen_|positions$|places$|wrong_changes$)'), to_regprocedure('pgfanout.note_seen(smallint, bigint, boolean)')::text")
    before = stack.sql("replica-1", made)
    assert before[0][1] == "places,positions,seen_1,wrong_changes"
    epochs = ("select to_regclass('pgfanout.epochs') is not null, (select count(*) from pg_trigger where tgrelid = 'pgfanout.outbox'::regclass), "
              "(select last_value from pgfanout.epoch), pgfanout.source()")
    # As if a standby had been promoted: which epoch it is, is kept.
    stack.sql("primary", "select setval('pgfanout.epoch', last_value | (77::bigint << 32)) from pgfanout.epoch")
    (*_, epoch, source), = stack.sql("primary", epochs)
    assert stack.sql("primary", epochs) == [(True, 1, epoch, source)] and source.endswith("@1-77")
    take_back(stack)
    assert stack.sql("replica-1", made) == [(0, None, None)], "the version before generates its own"
    assert stack.sql("primary", kept) == [("pgfanout.readable_tables", 2, 2)]
    assert stack.sql("primary", epochs) == [(False, 0, epoch, source.split("@")[0])]
    take_back(stack)
    assert stack.sql("primary", kept) == [(None, 2, 2)]
    assert stack.sql("replica-1", "select to_regclass('pgfanout.readable_tables')::text, pgfanout.readable(1, 1), "
                     "(select count(*) from pgfanout.tables)") == [(None, True, 1)]
    stack.migrate()
    assert stack.sql("primary", kept) == [("pgfanout.readable_tables", 2, 2)]
    assert stack.sql("replica-1", "select id, shape from pgfanout.readable_tables") == [(1, 1)]
    assert stack.sql("replica-1", made) == before
    assert stack.sql("primary", epochs) == [(True, 1, epoch, source)]


def test_what_is_readable_is_what_the_function_says(stack):
    """With its conditions of three tables, in each order."""
    def readable():
        there = stack.sql("replica-1", "select id from pgfanout.readable_tables order by id")
        for (number, shape) in stack.sql("replica-1", "select id, shape from pgfanout.tables where shape < 1000"):
            try:
                says = stack.sql("replica-1", "select pgfanout.readable(%s, %s, (select relation from pgfanout.tables where id = %s))",
                                 number, shape, number)[0][0]
            except psycopg2.errors.Error as e:
                assert e.pgcode == "PF006"
                says = False
            assert says == ((number,) in there)
        return [number for number, in there]

    stack.psql("replica-1", """create table a (id int primary key); create table b (id int primary key);
        insert into pgfanout.streams (stream, name, needs_reset) values (7, 'seven', false);
        insert into pgfanout.shapes (id, description) values (21, '{"table": 2}'), (31, '{"table": 3}');
        insert into pgfanout.tables (id, stream, relation, shape) values (2, 7, 'a', 21), (3, 8, 'b', 31);""")
    assert readable() == [1, 2]  # nobody knows stream 8
    for change, want in (
            ("insert into pgfanout.streams (stream, name, needs_reset) values (8, 'eight', false)", [1, 2, 3]),
            ("update pgfanout.streams set needs_reset = true where stream in (7, 8)", [1]),
            ("update pgfanout.streams set needs_reset = false where stream = 8", [1, 3]),
            ("update pgfanout.tables set stream = 8 where id = 2", [1, 2, 3]),
            ("delete from pgfanout.streams where stream = 8", [1]),
            ("update pgfanout.tables set stream = 1 where id in (2, 3)", [1, 2, 3]),
            ("insert into pgfanout.shapes (id, description, waiting) values (22, '{\"table\": 2}', 'a reason')", [1, 3]),
            ("insert into pgfanout.shapes (id, description, pending) values (32, '{\"table\": 3}', true)", [1]),
            ("update pgfanout.tables set shape = 22 where id = 2", [1, 2]),
            ("update pgfanout.tables set shape = 21 where id = 2", [1]),
            ("update pgfanout.shapes set waiting = null, pending = false", [1, 2, 3]),
            ("update pgfanout.shapes set pending = true where id = 21", [1, 2, 3]),  # not a newer one
            ("update pgfanout.shapes set pending = true where id = 22", [1, 3]),
            ("delete from pgfanout.shapes where id = 22", [1, 2, 3]),
            ("update pgfanout.tables set due = true where id = 2", [1, 3]),
            ("update pgfanout.tables set dropped = 'sync' where id = 3", [1])):
        stack.psql("replica-1", change)
        assert readable() == want, change


def test_down_all_the_way_keeps_the_products(stack):
    insert(stack)
    rows = {db: stack.rows(db) for db in DATABASES}
    for _ in range(max(map(len, MIGRATIONS.values()))):
        take_back(stack)
    last = migrate(stack, "down")
    assert last.returncode == 0 and last.stdout.count("nothing to take back") == 3
    stack.migrate()
    assert {db: stack.rows(db) for db in DATABASES} == rows
    assert stack.sql("primary", "select count(*) from pgfanout.outbox") == [(1,)]


def test_a_replica_that_is_down_keeps_nobody_else_back(bare_stack):
    bare_stack.replicas[0].stop()
    done = migrate(bare_stack, "up")
    assert done.returncode == UNREACHABLE
    assert "database=replica-1" in done.stderr and "password" not in done.stderr
    assert registered(bare_stack, "primary") and registered(bare_stack, "replica-2")
    assert migrate(bare_stack, "status").returncode == UNREACHABLE
    bare_stack.replicas[0].start()
    again = migrate(bare_stack, "up")
    assert again.returncode == 0 and f"replica-1: {NEWEST['replica-1']}: applied" in again.stdout
    assert not needs_reset(bare_stack, "replica-1")


def test_a_replica_that_hangs_costs_its_time_limit_only(bare_stack):
    bare_stack.replicas[0].pause()
    start = time.monotonic()
    done = migrate(bare_stack, "up")
    assert done.returncode == UNREACHABLE and 4 < time.monotonic() - start < 20
    assert f"replica-2: {NEWEST['replica-2']}: applied" in done.stdout


def test_a_newer_database_is_left_alone(stack):
    stack.sql("replica-1", "insert into pgfanout_migrations values (%s, 'future')", len(MIGRATIONS["replica-1"]) + 1)
    for command in ("up", "down", "status"):
        done = migrate(stack, command)
        assert done.returncode == SCHEMA
        assert f"has migration {len(MIGRATIONS['replica-1']) + 1} (future), this program knows {len(MIGRATIONS['replica-1'])}" in done.stderr
        assert registered(stack, "replica-1")[-1] == (len(MIGRATIONS['replica-1']) + 1, "future")
        assert stack.sql("replica-1", "select count(*) from pg_proc "
                         "where proname = 'apply_1'") == [(1,)]


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_one_database_under_two_names_is_refused(bare_stack, host):
    url = bare_stack.env["DATABASE_URL"].replace("127.0.0.1", host)
    done = migrate(bare_stack, "up", REPLICA_2_URL=url)
    assert done.returncode == USAGE
    assert "database=primary and=replica-2" in done.stderr and done.stdout == ""
    assert bare_stack.sql("replica-1", "select to_regclass('products')") == [(None,)]


def test_primary_and_replica_swapped_are_refused(stack):
    done = migrate(stack, "up", DATABASE_URL=stack.env["REPLICA_1_URL"],
                   REPLICA_1_URL=stack.env["DATABASE_URL"])
    assert done.returncode == SCHEMA and done.stderr.count("is this the right database?") == 2


def test_a_failing_migration_leaves_nothing(bare_stack):
    bare_stack.psql("primary", "create table products (id uuid primary key, name text not null, "
                    "price numeric not null, stock integer not null default 0, created_at "
                    "timestamptz not null default now(), updated_at timestamptz not null default "
                    "now()); insert into products values (gen_random_uuid(), 'x', -1);")
    done = migrate(bare_stack, "up")
    assert done.returncode == FAILED
    assert "products_price_check" in done.stderr and f"replica-2: {NEWEST['replica-2']}: applied" in done.stdout
    assert bare_stack.sql("primary", "select to_regclass('pgfanout_migrations')") == [(None,)]
    bare_stack.sql("primary", "update products set price = 1")
    assert migrate(bare_stack, "up").returncode == 0


def test_a_table_in_use_is_not_waited_for_for_ever(bare_stack):
    bare_stack.psql("primary", "create table products (id uuid primary key, name text not null, "
                    "price numeric not null, stock integer not null default 0, created_at "
                    "timestamptz not null default now(), updated_at timestamptz not null default "
                    "now());")
    conn = bare_stack.connect()
    conn.cursor().execute("lock table products in exclusive mode")
    done = migrate(bare_stack, "up")
    assert done.returncode == BUSY and "pg_stat_activity" in done.stderr
    assert "replica-1: 2 apply: applied" in done.stdout
    conn.rollback()
    conn.close()
    assert migrate(bare_stack, "up").returncode == 0


def test_sigterm_ends_a_wait_at_once(bare_stack):
    conn = bare_stack.connect()
    conn.cursor().execute("select pg_advisory_xact_lock(1885824609, 4)")
    process = subprocess.Popen([bare_stack.program("pgfanout-migrate"), "up"],
                               env=program_env(bare_stack.env), stdout=subprocess.DEVNULL,
                               stderr=subprocess.DEVNULL, cwd=bare_stack.folder)
    time.sleep(1)
    assert process.poll() is None
    process.terminate()
    assert process.wait(3) == INTERRUPTED
    conn.rollback()
    conn.close()
    assert migrate(bare_stack, "up").returncode == 0


@pytest.mark.parametrize("args, env, code, text", [
    ((), {}, USAGE, "Usage:"),
    (("sideways",), {}, USAGE, "sideways"),
    (("up", "down"), {}, USAGE, "down"),
    (("up",), {"DATABASE_URL": None}, USAGE, "DATABASE_URL"),
    (("up",), {"REPLICA_1_URL": None, "REPLICA_2_URL": None}, USAGE, "REPLICA_1_URL"),
    (("--check-config",), {"DATABASE_URL": None}, USAGE, "DATABASE_URL"),
    (("--check-config",), {}, 0, "REPLICA_2_URL=postgresql://user@127.0.0.1"),
    (("--help",), {}, 0, "DATABASE_URL"),
    (("--version",), {}, 0, "pgfanout-migrate "),
])
def test_command_line(module_stack, args, env, code, text):
    done = migrate(module_stack, *args, **env)
    assert done.returncode == code and text in done.stdout + done.stderr
    assert "password" not in (done.stdout + done.stderr).replace("user:password@host", "")
