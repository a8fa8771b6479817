"""A partitioned table, registered by its parent: writes through it and to its partitions, rows that move, and
partitions that come and go."""
import random
import threading

import psycopg2
import pytest

from conftest import SLOWNESS, wait_until
from test_tables import REPLICAS, wait_equal

COLUMNS = ("id", "place", "amount", "note")
# p2 has its columns in another order, and other numbers; p3 has partitions of its own.
TABLE = """
    create table parted (id int, place text, amount numeric, note text, primary key (id, place)) partition by range (id);
    create table p1 partition of parted for values from (0) to (100);
    create table p2 (gone int, note text, amount numeric, place text not null, id int not null);
    alter table p2 drop column gone;
    alter table parted attach partition p2 for values from (100) to (200);
    create table p3 partition of parted for values from (200) to (300) partition by list (place);
    create table p3a partition of p3 for values in ('a', 'b');
    create table p3rest partition of p3 default;
    insert into parted select i, 'a', i * 1.5, 'note ' || i from generate_series(0, 299) i;
"""
WRITES = {
    "through the parent": """
        insert into parted values (1, 'x', 1), (101, 'x', 2), (201, 'x', 3), (201, 'b', 4);
        update parted set note = 'through the parent' where id % 3 = 0;
        delete from parted where id % 7 = 0;""",
    "to a partition": """
        insert into p1 values (2, 'x', 'NaN'); insert into p2 (id, place, amount) values (102, 'x', 2);
        insert into p3 values (202, 'x', 3); insert into p3a values (203, 'b', 3);
        update p2 set note = 'of p2', amount = id where id % 2 = 0; update p3 set amount = -1; delete from p3a where id = 205;
        delete from p1 where id < 5; update p1 set place = 'moved within' where id = 10;""",
    "rows move": """
        update parted set id = id + 100, place = 'm' where place = 'a' and id between 30 and 60;
        update parted set id = id - 150, place = 'm' where id between 230 and 240; update p3 set place = 'z' where id = 250;
        update p3a set place = 'b' where id = 251;""",
    "a row moves there and back": """
        begin; update parted set id = 199, place = 'q' where id = 61; update parted set id = 61 where place = 'q';
        savepoint s; update parted set id = 198 where place = 'q'; rollback to s; update parted set id = 297 where place = 'q'; commit;
        begin isolation level repeatable read; update parted set id = 296 where place = 'q'; update p1 set note = 'read' where id = 66;
        delete from p2 where id = 110; insert into p2 (id, place) values (110, 'again'); commit;""",
    "copied and upserted": """
        copy parted from stdin;
66	copied	1.10	\\N
166	copied	1.10	\\N
266	copied	1.10	\\N
\\.
        copy p2 (id, place, note) from stdin;
167	copied	to p2
\\.
        insert into parted values (66, 'copied', 2), (67, 'copied', 2), (266, 'copied', 3)
            on conflict (id, place) do update set amount = excluded.amount, note = 'conflict';
        insert into p3rest values (266, 'copied', 4) on conflict (id, place) do update set amount = excluded.amount;
        merge into parted p using (values (66), (68)) as v (id) on p.id = v.id and p.place = 'copied'
            when matched then update set id = 168 when not matched then insert values (v.id, 'merged', 1);""",
    "applied by replication": """
        set session_replication_role = replica; insert into parted values (69, 'applied', 1); update parted set id = 169 where place = 'merged';
        delete from p2 where id = 120;""",
    "a partition is truncated": "truncate p2; insert into p2 (id, place) values (150, 'after');",
    "partitions within are truncated": "begin; insert into p3 values (260, 'within'); truncate p3; insert into p3 values (261, 'after'); commit;",
    "all is truncated": """
        begin; insert into parted values (50, 'before'); truncate parted; insert into parted values (50, 'after'), (150, 'after');
        insert into p3a values (270, 'a'); truncate p1, p3a; insert into p3a values (271, 'a'); commit; insert into p1 values (3, 'later');""",
    "partitions come": """
        create table p4 partition of parted for values from (300) to (400);
        insert into p4 select i, 'new' from generate_series(300, 350) i; update parted set id = 399 where id = 300;
        begin; create table p5 partition of parted for values from (400) to (500) partition by list (place);
        create table p5n partition of p5 for values in ('new'); insert into parted values (401, 'new'); delete from p4 where id = 301;
        insert into p5n values (402, 'new'); commit;""",
    "a partition comes with rows": """
        create table p6 (id int not null, place text not null, note text, amount numeric);
        insert into p6 select i, 'with', 'rows' from generate_series(500, 599) i;
        alter table parted attach partition p6 for values from (500) to (600);
        update p6 set note = 'since' where id = 510; delete from parted where id = 511; insert into p6 values (512, 'since');""",
    "a partition leaves": """
        alter table parted detach partition p4; update p4 set note = 'elsewhere'; truncate p4;
        insert into p4 values (50, 'after', 7); truncate p4;""",
    "a partition leaves while others write": "alter table parted detach partition p6 concurrently; update p6 set note = 'elsewhere';",
    "a partition within leaves": "alter table p5 detach partition p5n; insert into p5n values (403, 'new');",
    "it was altered elsewhere, and comes back": """
        delete from p6 where id between 500 and 550;
        alter table parted attach partition p6 for values from (500) to (600);
        alter table parted detach partition p6; update p6 set note = 'meanwhile'; insert into p6 values (599, 'x');
        alter table parted attach partition p6 for values from (500) to (600);""",
    "a partition comes and leaves before it is noticed": """
        begin; create table p7 (id int not null, place text not null, note text, amount numeric);
        alter table parted attach partition p7 for values from (600) to (700); insert into p7 values (600, 'gone', 'soon');
        update parted set id = 601 where id = 62; alter table parted detach partition p7; commit;""",
    "a partition is dropped": "drop table p6; drop table p3a;",
    "the table is altered": """
        alter table parted add column more int default 7; update p2 set more = 8; alter table parted rename column note to n;
        alter table parted rename column n to note;""",
}

# Rows come or leave with a partition.
LOADED = ("a partition comes with rows", "a partition leaves", "a partition leaves while others write", "a partition within leaves",
          "it was altered elsewhere, and comes back", "a partition comes and leaves before it is noticed", "a partition is dropped")
# Loads take time: what comes next is loaded with it.
UNSEEN = LOADED[1:4]


def loads(stack):
    return stack.sql("primary", "select loads from pgfanout.registered where id > 1")[0][0]


def start(stack, event_trigger):
    stack.start_api()
    stack.start_consumer()
    if not event_trigger:
        stack.psql("primary", "drop event trigger pgfanout_altered; drop event trigger pgfanout_dropped")
    stack.psql("primary", TABLE + "select pgfanout.add_table('parted')")
    wait_equal(stack, "parted", COLUMNS, 30)


def assert_whole(stack):
    for db in REPLICAS:
        assert stack.sql(db, "select count(*) from pgfanout.dead_letters") == [(0,)]
    wait_until(lambda: stack.sql("primary", "select state from pgfanout.tables where name = 'parted'") == [("captured",)],
               10 * SLOWNESS, "capture is whole")


@pytest.mark.parametrize("event_trigger", (pytest.param(True, marks=pytest.mark.long), False))
def test_every_way_to_write(stack, event_trigger):
    start(stack, event_trigger)
    for what, script in WRITES.items():
        before = loads(stack)
        stack.psql("primary", script)
        if what in LOADED:
            wait_until(lambda: loads(stack) > before, 20 * SLOWNESS, f"noticed: {what}") # pylint: disable=cell-var-from-loop
        elif event_trigger:
            assert loads(stack) == before, f"{what}: nothing needs to be loaded again"
        if what not in UNSEEN:
            wait_equal(stack, "parted", COLUMNS, 60)
    wait_equal(stack, "parted", (*COLUMNS, "more"), 60)
    assert_whole(stack)
    stack.psql("primary", "select pgfanout.drop_table('parted')")
    assert stack.sql("primary", "select tgrelid::regclass::text from pg_trigger where tgname ~ '^pgfanout' "
                     "and tgrelid <> 'products'::regclass") == []


def test_each_way_is_recorded_once(stack):
    """No write is recorded twice, whichever table it names."""
    stack.psql("primary", TABLE + "select pgfanout.add_table('parted'); delete from pgfanout.outbox")
    for script, kinds in (("insert into parted values (1, 'x')", "i"), ("insert into p3rest values (201, 'x')", "i"),
                          ("update p3 set amount = 1 where id = 201 and place = 'x'", "u"),
                          ("update parted set amount = 1 where id = 1", "uu"), ("delete from p1 where place = 'x'", "d"),
                          ("update parted set id = 299 where id = 201 and place = 'x'", "du"),
                          ("update parted set id = 2 where id = 299 and place = 'x'", "di"),
                          ("insert into p3rest values (202, 'x')", "i"), ("truncate p3rest", "d"), ("truncate parted", "t")):
        stack.psql("primary", script)
        found = stack.sql("primary", "with gone as (delete from pgfanout.outbox returning *) "
                          "select string_agg(kind::text, '' order by version) from gone where kind <> 's'")
        assert found == [(kinds,)], script


@pytest.mark.parametrize("event_trigger,steps", ((False, 12), pytest.param(False, 80, marks=pytest.mark.long),
                                                 pytest.param(True, 80, marks=pytest.mark.long)))
def test_rows_move_while_partitions_come_and_go(stack, event_trigger, steps):
    start(stack, event_trigger)
    stack.psql("primary", "create table extra (like parted including all, check (id between 300 and 399))")
    stop, failures, written = threading.Event(), [], []

    def write(seed):
        r = random.Random(seed)
        conn = stack.connect("primary")
        conn.autocommit = True
        while not stop.is_set():
            table, i, j = r.choice(("parted", "parted", "p1", "p2", "p3", "extra")), r.randrange(400), r.randrange(400)
            try:
                with conn.cursor() as cursor:
                    cursor.execute(r.choice((
                        f"insert into {table} (id, place, note) values ({i}, 'a', 'w') on conflict (id, place) do update set note = 'c{j}'",
                        f"update {table} set id = {j} where id = {i}", f"update {table} set note = 'u{j}' where id % 10 = {i % 10}",
                        f"delete from {table} where id = {i}")))
                written.append(seed)
            except (psycopg2.errors.CheckViolation, psycopg2.errors.UniqueViolation, psycopg2.errors.DeadlockDetected,
                    psycopg2.errors.SerializationFailure):
                pass # no partition takes it, or somebody else has it, or has moved it
            except psycopg2.Error as e:
                failures.append(e)
                return
        conn.close()
    writers = [threading.Thread(target=write, args=(seed,)) for seed in range(3)]
    for w in writers:
        w.start()
    try:
        for step in range(steps):
            n = len(written)
            wait_until(lambda: failures or len(written) > n + 100, 20 * SLOWNESS, "writes")  # pylint: disable=cell-var-from-loop
            what = ("alter table parted attach partition extra for values from (300) to (400)", "truncate p2",
                    "alter table parted detach partition extra", "truncate extra")[step % 4]
            while True:
                try:
                    stack.sql("primary", what)
                    break
                except psycopg2.errors.DeadlockDetected:
                    pass  # with one who writes the partition and then looks at the whole table
    finally:
        stop.set()
        for w in writers:
            w.join()
    assert not failures
    wait_equal(stack, "parted", COLUMNS, 60)
    assert_whole(stack)


def test_what_cannot_be_registered(stack):
    stack.psql("primary", TABLE + "create table no_key (id int) partition by range (id);"
               "create table logged (id int primary key) partition by range (id);"
               "create unlogged table unlogged partition of logged default;")
    for table, phrase in (("p1", "is a partition"), ("p3", "is a partition"), ("no_key", "has no primary key"),
                          ("logged", "partition unlogged of logged is UNLOGGED")):
        with pytest.raises(psycopg2.Error) as refused:
            stack.sql("primary", "select pgfanout.add_table(%s)", table)
        assert phrase in str(refused.value).replace("public.", "") and refused.value.diag.message_hint


def test_a_trigger_of_a_partition_that_is_disabled_is_seen_and_mended(stack):
    stack.start_api()
    stack.psql("primary", TABLE + "select pgfanout.add_table('parted')")

    def state():
        return stack.sql("primary", "select state from pgfanout.tables where name = 'parted'")[0][0]
    for table, trigger in (("p3a", "pgfanout_row"), ("p2", "pgfanout_truncate"), ("parted", "pgfanout_truncate")):
        assert state() == "captured"
        stack.psql("primary", f"alter table {table} disable trigger {trigger}")
        wait_until(lambda: f"{trigger} of public.{table} is disabled" in state()  # pylint: disable=cell-var-from-loop
                   or table == "parted" and f"{trigger} is disabled" in state(), 20 * SLOWNESS, "it is seen")  # pylint: disable=cell-var-from-loop
        stack.psql("primary", "select pgfanout.refresh('parted')")
    assert state() == "captured"
