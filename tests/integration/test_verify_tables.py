"""reset-replicas --verify and --repair of any table: exactly what differs is found and mended, whatever the
key, beside writers; by table and key.
"""
import re
import threading

import pytest

from conftest import SLOWNESS, wait_until
from test_tables import REPLICAS, wait_equal

TYPES = """
    create extension if not exists citext;
    create collation folded (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
"""
FOLDERS = "create table folders (name text collate folded primary key, note text);"
TABLES = """
    create schema "Odd";
    create table "Odd"."Pairs" (tenant int, note text, "The name" text, at timestamptz(3) not null default now(),
        primary key ("The name", tenant));
    create table amounts (amount numeric primary key, note text);
    create table mails (address citext primary key, note text, tags text[]);
    create table posts (id bigint primary key, secret text, title text, published boolean not null);
    insert into "Odd"."Pairs" select i % 7, 'note ' || i, 'name ' || i from generate_series(1, 6000) i;
    insert into "Odd"."Pairs" values (1, '', E'it''s "quoted", {x} \\\\ \\n'), (2, 'two', 'ü'), (2, 'upper', 'Ü');
    insert into amounts select i + 0.50, 'note ' || i from generate_series(1, 1000) i;
    insert into folders select 'Folder ' || i, 'note ' || i from generate_series(1, 1000) i;
    insert into mails select 'User' || i || '@Example.org', 'note ' || i, array['a', i::text] from generate_series(1, 1000) i;
    insert into posts select i, 'secret ' || i, 'title ' || i, i % 3 > 0 from generate_series(1, 1000) i;
    select pgfanout.add_table(t) from unnest('{"\\"Odd\\".\\"Pairs\\"",amounts,folders,mails}'::text[]) t;
    select pgfanout.add_table('posts', columns => '{id,title,published}', filter => 'published', stream => 'blog');
"""
COLUMNS = {'"Odd"."Pairs"': ("tenant", "note", '"The name"', "at"), "amounts": ("amount", "note"),
           "folders": ("name", "note"), "mails": ("address", "note", "tags")}


def start(stack):
    stack.start_api()
    stack.start_consumer()
    for db in REPLICAS:
        stack.psql(db, TYPES + FOLDERS)
    stack.psql("primary", TYPES + FOLDERS + TABLES)
    equal(stack)


def equal(stack):
    for table, columns in COLUMNS.items():
        wait_equal(stack, table, columns, 120)
    wait_until(lambda: all(posts(stack, db) == posts(stack, "primary", "where published") for db in REPLICAS),
               120 * SLOWNESS, "posts on all replicas")


def posts(stack, db, where=""):
    return stack.sql(db, f"select id, title, published from posts {where} order by id")


def verify(stack, *args, code=0, found=(), **env):
    """The lines about rows must be those, and no others."""
    done = stack.run("reset-replicas", *(args or ("--verify",)), timeout=200, **env)
    assert done.returncode == code, done.stdout + done.stderr
    lines = [line for line in done.stdout.splitlines() if re.match(r"replica-\d: \S+ \{", line)]
    assert sorted(lines) == sorted(found), done.stdout + done.stderr
    return done


HIGH = 987654321987
DRIFT = (  # what is done to replica-1, and what is then said
    ("""update "Odd"."Pairs" set note = 'spoiled', at = at + interval '1 millisecond' where "The name" = 'name 5'""",
     'Odd.Pairs {"name 5",5} different: note, at'),
    ("""update "Odd"."Pairs" set note = null where note = ''""",
     r'Odd.Pairs {"it' "'" r's \"quoted\", {x} \\ \x0a",1} different: note'),
    ("""update "Odd"."Pairs" set note = 'old', pgfanout_version = 1 where "The name" = 'name 6'""",
     'Odd.Pairs {"name 6",6} different: note'),
    ("""delete from "Odd"."Pairs" where "The name" = 'Ü'""", "Odd.Pairs {Ü,2} missing"),
    ("""insert into "Odd"."Pairs" values (3, 'extra', 'ü', now(), 1)""", "Odd.Pairs {ü,3} extra"),
    (f"""update "Odd"."Pairs" set pgfanout_version = {HIGH} where "The name" = 'name 5999'""",
     f'Odd.Pairs {{"name 5999",0}} version {HIGH} was never given out'),
    (f"""insert into pgfanout.tombstones_{{Pairs}} values ('gone', 1, {HIGH})""",
     f"Odd.Pairs {{gone,1}} tombstone's version {HIGH} was never given out"),
    ("""insert into pgfanout.dead_letters ("table", key, version, queue, error)
        values ({Pairs}, '{{name 7,0}}', 1, 'tables.sync.replica-1', 'no')""",
     'Odd.Pairs {"name 7",0} a change of it was given up (version 1)'),
    ("update amounts set amount = 7.5 where amount = 7.5", "public.amounts {7.50} different: amount"),
    ("update amounts set note = 'spoiled' where amount = 8.5", "public.amounts {8.50} different: note"),
    ("delete from amounts where amount = 9.5", "public.amounts {9.50} missing"),
    ("insert into amounts values ('NaN', 'extra', 1)", "public.amounts {NaN} extra"),
    ("update folders set name = 'fOLDER 7' where name = 'folder 7'", 'public.folders {"Folder 7"} different: name'),
    ("delete from folders where name = 'FOLDER 8'", 'public.folders {"Folder 8"} missing'),
    ("insert into folders values ('extra', 'extra', 1)", "public.folders {extra} extra"),
    ("update mails set address = 'USER7@example.org', tags = '{{a}}' where address = 'user7@example.org'",
     "public.mails {User7@Example.org} different: address, tags"),
    ("update mails set tags = '[0:1]={{a,9}}' where address = 'user9@example.org'", "public.mails {User9@Example.org} different: tags"),
    ("delete from mails where address = 'user8@example.org'", "public.mails {User8@Example.org} missing"),
    ("insert into posts values (3, 'not published', true, 1)", "public.posts {3} extra"),
    ("update posts set title = null where id = 4", "public.posts {4} different: title"),
    ("delete from posts where id = 5", "public.posts {5} missing"),
)


def spoil(stack):
    number = stack.sql("replica-1", "select id from pgfanout.tables where relation = '\"Odd\".\"Pairs\"'::regclass")[0][0]
    for sql, _ in DRIFT:
        stack.psql("replica-1", sql.replace("{Pairs}", str(number)).replace("{{", "{").replace("}}", "}"))
    return ["replica-1: " + what for _, what in DRIFT]


class Writer(threading.Thread):
    """Writes rows of the composite and of the filtered table, beside those that are spoiled."""

    def __init__(self, stack):
        super().__init__(daemon=True)
        self.conn, self.halt, self.error, self.n = stack.connect("primary"), threading.Event(), None, 0

    def run(self):
        try:
            while not self.halt.is_set():
                self.n += 1
                with self.conn.cursor() as c:
                    c.execute("""update "Odd"."Pairs" set note = %s where "The name" like %s""", (str(self.n), f"name {self.n % 90 + 10}_"))
                    c.execute("""delete from "Odd"."Pairs" where "The name" = %s""", (f"name 2{self.n % 100}",))
                    c.execute("""insert into "Odd"."Pairs" values (9, 'new', %s) on conflict do nothing""", (f"name 2{self.n % 70}",))
                    c.execute("update posts set published = not published, title = %s where id between %s and %s + 30",
                              (str(self.n), self.n % 500 + 100, self.n % 500 + 100))
                self.conn.commit()
                self.halt.wait(0.02)
        except Exception as e:  # pylint: disable=broad-except
            self.error = e

    def stop(self):
        self.halt.set()
        self.join(30)
        assert self.error is None and self.n > 3, (self.error, self.n)


def test_every_kind_of_drift_of_every_kind_of_key_beside_writers(stack):
    start(stack)
    done = verify(stack)
    rows = sum(stack.sql("primary", f"select count(*) from {t}")[0][0] for t in COLUMNS) + len(posts(stack, "replica-1"))
    assert f"replica-1: equal, {rows} rows of 6 tables" in done.stdout
    writer = Writer(stack)
    writer.start()
    verify(stack)
    found = spoil(stack)
    verify(stack, code=1, found=found)
    done = verify(stack, "--verify", "--replica", "replica-2", "--table", "amounts", "--table", '"Odd"."Pairs"')
    assert "rows of 2 tables" in done.stdout
    verify(stack, "--verify", "--table", "amounts", code=1, found=[line for line in found if "public.amounts" in line])
    quiet = stack.run("reset-replicas", "--verify", "--quiet", timeout=200)
    assert sorted(quiet.stdout.splitlines()) == sorted(re.match(r"replica-1: (\S+ \{.*\}) ", line)[1] for line in found)
    done = verify(stack, "--repair", found=found)
    assert f"replica-1: {len(found)} rows differed, {len(found)} repaired" in done.stdout
    verify(stack)
    writer.stop()
    equal(stack)
    assert stack.sql("replica-1", "select count(*) from pgfanout.dead_letters") == [(0,)]
    # What was repaired takes changes again.
    stack.psql("primary", """update "Odd"."Pairs" set note = note || '!'; update amounts set note = note || '!';
        update folders set note = note || '!'; update mails set note = note || '!'; update posts set title = 'x' || id;
        insert into "Odd"."Pairs" values (1, 'back', 'gone');""")
    equal(stack)


def test_a_table_that_is_not_there_yet_is_undetermined(stack):
    stack.start_api()
    stack.start_consumer()
    stack.psql("primary", """
        create extension hstore; create table moods (id int primary key, mood hstore);
        create table here (id int primary key); insert into here select generate_series(1, 10);
        create table elsewhere (id int primary key); insert into elsewhere values (1);
        select pgfanout.add_table('here'); select pgfanout.add_table('elsewhere', replicas => '{replica-2}');
        select pgfanout.add_table('moods', stream => 'moods');""")
    for db in REPLICAS:
        wait_until(lambda: stack.sql(db, "select to_regclass('here')") != [(None,)]  # pylint: disable=cell-var-from-loop
                   and stack.sql(db, "select count(*) from here") == [(10,)], 90 * SLOWNESS, "here")  # pylint: disable=cell-var-from-loop
    done = verify(stack, code=8, VERIFY_TIMEOUT_MS=1500)
    for db in REPLICAS:
        assert re.search(rf"undetermined replica={db} table=public.moods .*does not have the table yet", done.stderr), done.stderr
        stack.psql(db, "create extension hstore")
    done = verify(stack, VERIFY_TIMEOUT_MS=150000)
    assert "replica-1: equal, 10 rows of 3 tables" in done.stdout and "replica-2: equal, 11 rows of 4 tables" in done.stdout


def test_a_change_that_waits_for_another_row_is_on_its_way(stack):
    """It is known to be wrong meanwhile, and nobody can say yet that it stays so."""
    stack.start_api()
    stack.start_consumer(RETRY_DELAY_MS=3000)
    stack.psql("primary", "create table named (id int primary key, name text); insert into named values (1, 'a'), (2, 'a');"
               "select pgfanout.add_table('named')")
    wait_equal(stack, "named", ("id", "name"), 120)
    stack.psql("replica-1", "create table allowed (name text primary key); insert into allowed values ('a');"
               "alter table named add foreign key (name) references allowed (name)")
    stack.psql("primary", "update named set name = 'b' where id = 1")
    wait_until(lambda: stack.sql("replica-1", "select key::text, not dead from pgfanout.waiting") == [("{1}", True)], 20 * SLOWNESS, "it waits")
    program = stack.start_program("reset-replicas", "--verify")
    program.may_fail = True
    wait_until(lambda: "replica-1: 2 rows, waiting for changes in flight" in program.log() or not program.running(),
               20 * SLOWNESS, "it compares", interval=0.01)
    stack.psql("replica-1", "insert into allowed values ('b')")
    wait_until(lambda: not program.running(), 60 * SLOWNESS, "the comparison ends")
    assert program.popen.returncode == 0, program.log()
    wait_equal(stack, "named", ("id", "name"))


def test_partitioned_tables(stack):
    stack.start_api()
    stack.start_consumer()
    stack.psql("primary", """
        create table events (at date, id int, note text, primary key (at, id)) partition by range (at);
        create table events_1 partition of events for values from ('2020-01-01') to ('2021-01-01');
        create table events_2 partition of events default;
        insert into events select date '2020-12-30' + i % 5, i, 'x' from generate_series(1, 100) i;
        select pgfanout.add_table('events');""")
    wait_equal(stack, "events", ("at", "id", "note"), 120)
    verify(stack)
    stack.psql("replica-2", "delete from events where id = 7; update events set note = 'y' where id = 8; insert into events values ('2019-01-01', 1, 'z', 1)")
    found = ["replica-2: public.events {2021-01-01,7} missing", "replica-2: public.events {2021-01-02,8} different: note",
             "replica-2: public.events {2019-01-01,1} extra"]
    verify(stack, code=1, found=found)
    verify(stack, "--repair", found=found)
    verify(stack)


@pytest.mark.long
def test_wide_rows_and_large_values(stack):
    stack.start_api()
    stack.start_consumer()
    columns = ", ".join(f"c{n} text" for n in range(1, 1590))
    stack.psql("primary", f"""
        create table wide (id int primary key, {columns});
        insert into wide (id, c1, c700, c1589) select i, 'a' || i, 'b', 'c' from generate_series(1, 300) i;
        create table large (id int primary key, body bytea);
        insert into large select i, decode(repeat(md5(i::text), 100000), 'hex') from generate_series(1, 20) i;
        select pgfanout.add_table('wide'); select pgfanout.add_table('large');""")
    wait_equal(stack, "wide", ("id", "c1", "c700", "c1589"), 120)
    wait_equal(stack, "large", ("id", "md5(body)"), 120)
    verify(stack)
    stack.psql("replica-2", "update wide set c700 = '' where id = 7; update wide set c1589 = null, c2 = 'x' where id = 8;"
               "update large set body = body || 'x' where id = 9; delete from large where id = 10")
    found = ["replica-2: public.wide {7} different: c700", "replica-2: public.wide {8} different: c2, c1589",
             "replica-2: public.large {9} different: body", "replica-2: public.large {10} missing"]
    verify(stack, code=1, found=found)
    verify(stack, "--repair", found=found)
    verify(stack)
