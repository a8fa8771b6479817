"""Exact: every type, every type of a key, and every way to write arrive as they are on the primary.

A row of a table here is a value, a key or a script; each test waits until the replicas have the primary's
texts, column by column, and sees that nothing was given up on the way.
"""
import random
import threading

import psycopg2
import pytest

from conftest import SLOWNESS, wait_until
from test_tables import REPLICAS, nothing_given_up, wait_equal


def columns_of(stack, table):
    return [name for name, in stack.sql("primary", "select quote_ident(attname) from pg_attribute where attnum > 0 "
                                        "and not attisdropped and attrelid = %s::regclass order by attnum", table)]


@pytest.fixture(scope="module")
def running(module_stack):
    module_stack.start_api()
    module_stack.start_consumer()
    return module_stack


# ---- types ----

PREPARE = """
    create extension if not exists hstore; create extension if not exists citext;
    create type span as range (subtype = text, collation = "C");
"""
DEFINED = """
    create schema kinds;
    create type mood as enum ('sad', 'ok', 'it''s "fine"');
    create type kinds."Pair, of" as (a int, "B b" text collate "C", m mood[]);
    create type nested as (p kinds."Pair, of", ps kinds."Pair, of"[]);
    create domain positive as numeric(12,3) check (value > 0);
    create domain moods as mood[];
    create domain posint as int check (value > 0);
"""
# Those of PostgreSQL's own tests of its types, and what has bitten others. '' around a value is its own.
TYPES = {
    "boolean": ["t", "f"],
    "smallint": ["-32768", "32767"], "integer": ["-2147483648", "2147483647"],
    "bigint": ["-9223372036854775808", "9223372036854775807", "4567890123456789"],
    "numeric": ["NaN", "Infinity", "-Infinity", "0.000", "-0.1", "1" + "0" * 200 + ".000", "1e-1000", "4.31", "799461.9"],
    "numeric(10,2)": ["-0.05", "NaN", "99999999.99"], "numeric(3,-3)": ["123000"], "positive": ["0.001"],
    "real": ["NaN", "Infinity", "-0", "1e-40", "3.4028235e38", "1.1754944e-38"],
    "double precision": ["NaN", "-Infinity", "-0", "5e-324", "1.7976931348623157e308", "0.1", "1004.30"],
    "money": ["-1234.56", "92233720368547758.07"],
    "text": ["", " ", "ü\n\t\r\\ \"'{x}", "\u2028\x7f\x01", "\U0001f600", "null", "x" * 300000],
    "varchar(20)": ["", "  "], "char(5)": ["a", "     "], '"char"': ["a", "\\377", ""], "name": ["n" * 63, ""],
    "bytea": ["\\x", "\\x00ff5c27"],
    "bit(5)": ["10101"], "bit varying": ["", "1" * 100],
    "date": ["0044-03-15 BC", "4713-11-24 BC", "5874897-12-31", "infinity", "-infinity", "2000-02-29"],
    "time": ["24:00:00", "23:59:59.999999"], "time(2)": ["04:05:06.78"],
    "timetz": ["12:00:00.5-07", "24:00:00+15:59:59", "00:00:00-15:59"],
    "timestamp": ["infinity", "4713-11-24 00:00:00 BC", "294276-12-31 23:59:59.999999", "12345-01-01 00:00:00"],
    "timestamptz": ["-infinity", "infinity", "294276-12-31 23:59:59.999999+00", "4714-11-24 00:00:00+00 BC",
                    "0001-12-31 23:59:59.999999 BC", "0001-01-01 00:00:00+00", "10000-01-01 00:00:00+00",
                    "9999-12-31 23:59:59.999999+00", "2024-03-31 02:30:00 Europe/Berlin"],
    "timestamptz(3)": ["2024-02-29 12:00:00.123+05"],
    "interval": ["-1 year 2 mons -3 days 04:05:06.789", "178000000 years", "-00:00:00.000001", "34 years"],
    "interval day to second(2)": ["3 days 04:05:06.78"],
    "uuid": ["00000000-0000-0000-0000-000000000000", "ffffffff-ffff-ffff-ffff-ffffffffffff"],
    "json": [' {"b" : 1, "a": [1.10, null]} ', "null", '"\\u0000"', '{"a":1,"a":2}', "1e1000"],
    "jsonb": ["null", '{"deep": ' + "[" * 20 + "]" * 20 + "}", "1.10", '"x"', "[]", '{"": "\\u00fc\\n"}', "1" + "0" * 400],
    "jsonpath": ['$."a"[*] ? (@ > 1)', "strict $"], "xml": ["<a>&lt;</a>", "", "text"],
    "inet": ["::1/64", "10.1.2.3/8", "::ffff:1.2.3.4"], "cidr": ["10.0.0.0/8", "::/0"],
    "macaddr": ["08:00:2b:01:02:03"], "macaddr8": ["08:00:2b:01:02:03:04:05"],
    "point": ["(1.5,-2e300)", "(NaN,Infinity)", "(1e-300,-0)"], "lseg": ["[(1,2),(3,4)]"], "line": ["{1,-1,1}"],
    "box": ["(1,1),(0,0)"], "path": ["[(1,2),(3,4)]", "((1,2),(3,4))"], "polygon": ["((0,0),(1,1),(2,0))"],
    "circle": ["<(5,1),3>", "<(3,5),NaN>"],
    "tsvector": ["'a':1A 'b c':2", "", "'\\\\x' '''q'''"], "tsquery": ["'a' & !'b':* <2> 'c'", ""],
    "pg_lsn": ["16/B374D848"], "pg_snapshot": ["12:20:13,15,18"], "txid_snapshot": ["12:20:13"], "xid8": ["18446744073709551615"],
    "xid": ["4294967295"], "cid": ["7"], "tid": ["(4294967295,65535)"], "oid": ["4294967295"], "regclass": ["pg_class"],
    "regtype": ["integer[]"], "int2vector": ["1 2"], "oidvector": ["1 2 3"], "aclitem": ["=r/user"],
    "mood": ["sad", "it's \"fine\""], "mood[]": ["{}", "{sad,\"it's \\\"fine\\\"\",NULL}"], "moods": ["{ok}"], "posint[]": ["{1,2}"],
    'kinds."Pair, of"': ["(,,)", "(1,\"x,\"\"y\\\\z\",\"{sad,ok}\")"], 'kinds."Pair, of"[]': ["{\"(1,\\\"x,y\\\",)\",NULL}"],
    "nested": ["(,)", "(\"(7,,{ok})\",\"{\"\"(,z,)\"\"}\")"],
    "integer[]": ["{}", "[0:1]={1,NULL}", "[-2:-1][3:4]={{1,2},{3,4}}", "{{{1}}}"],
    "text[]": ["{\"a,b\",\"\",NULL,\"NULL\",\"{\\\\\"}"], "jsonb[]": ["{\"null\",NULL}"], "timestamptz[]": ["{infinity,\"2024-01-01 00:00:00+00\"}"],
    "float8[]": ["{NaN,-0,5e-324}"], "bytea[]": ["{\"\\\\x00\"}"], "money[]": ["{-1.50}"],
    "int4range": ["empty", "(,)", "[1,5)"], "numrange": ["(,1.50]", "[1.0,1.00]"], "tstzrange": ["[\"2024-01-01 00:00:00+00\",infinity)"],
    "daterange": ["[2000-01-01,infinity]"], "nummultirange": ["{(,1.5],[2,3)}", "{}"], "int4range[]": ["{empty,\"[1,2)\"}"],
    "span": ["[\"a b\",\"c\\\"\"]"],
    "hstore": ["\"a\"=>NULL, \"b c\"=>\"\\\"\"", ""], "citext": ["MiXeD", ""],
}


def test_every_type_to_the_last_digit(running):
    stack, names = running, list(TYPES)
    for db in ("primary", *REPLICAS):
        stack.psql(db, PREPARE)
    stack.psql("primary", DEFINED + "create table types (id int primary key, {})".format(
        ", ".join(f"c{i} {name}" for i, name in enumerate(names))))

    def insert(first, values):
        for row in range(max(len(v) for v in values)):
            given = [(f"c{i}", v[row]) for i, v in enumerate(values) if row < len(v)]
            stack.sql("primary", "insert into types (id, {}) values (%s, {})".format(
                ", ".join(c for c, _ in given), ", ".join(f"%s::{names[int(c[1:])]}" for c, _ in given)),
                first + row, *(v for _, v in given))
    insert(1, [TYPES[name] for name in names])
    stack.sql("primary", "select pgfanout.add_table('types')")
    columns = columns_of(stack, "types")
    wait_equal(stack, "types", columns, 60)
    # As changes what came as a copy; rows as each other's; and everything gone.
    insert(101, [TYPES[name] for name in names])
    stack.sql("primary", "update types t set ({0}) = (select {0} from types f where f.id = t.id + 100) "
                         "where id < 5".format(", ".join(columns[1:])))
    stack.sql("primary", "update types set {} where id = 102".format(", ".join(f"{c} = null" for c in columns[1:])))
    wait_equal(stack, "types", columns)
    nothing_given_up(stack)


def test_settings_of_a_writer_change_nothing(running):
    running.psql("primary", """
        create table foreign_texts (id int primary key, f float8, ts timestamp, tt timestamptz, d date, i interval, b bytea, m money, x xml);
        select pgfanout.add_table('foreign_texts');
        set datestyle = 'SQL, DMY'; set intervalstyle = 'iso_8601'; set timezone = 'Asia/Kathmandu'; set extra_float_digits = -10;
        set bytea_output = escape; set xmlbinary = hex; set quote_all_identifiers = on; set standard_conforming_strings = off;
        set search_path = 'pg_temp', 'public'; create temp table pg_class (x int);
        insert into public.foreign_texts values (1, 0.1234567890123456, '2024-02-03 04:05:06.7', '2024-02-03 04:05:06.7', '2024-02-03',
            '1 year -3 days', 'a', 7, '<a/>');""")
    wait_equal(running, "foreign_texts", columns_of(running, "foreign_texts"), 30)


# ---- types that travel with the table ----

def test_an_enum_and_a_composite_are_altered(running):
    running.psql("primary", """
        create type state as enum ('new', 'done'); create type place as (street text, no int);
        create table orders (id int primary key, s state, ss state[], p place);
        insert into orders values (1, 'new', '{done}', '(a,1)');
        select pgfanout.add_table('orders');""")
    wait_equal(running, "orders", ("id", "s", "ss", "p"), 30)
    for change in ("alter type state add value 'paid' before 'done'", "alter type state add value 'first' before 'new'",
                   "alter type state add value 'last'", "alter type state rename value 'done' to 'shipped'"):
        running.psql("primary", f"{change}; insert into orders select max(id) + 1, l, array[l] from orders, "
                                "unnest(enum_range(null::state)) l group by l on conflict do nothing")
        running.psql("primary", "insert into orders select (select max(id) from orders) + row_number() over (), l, array[l] "
                                "from unnest(enum_range(null::state)) l")
        wait_equal(running, "orders", ("id", "s", "ss", "p"))
    for change in ("add attribute town text", "rename attribute no to number", "drop attribute street"):
        running.psql("primary", f"alter type place {change}")
        running.psql("primary", "select pgfanout.refresh('orders'); update orders set p.town = 'x' || id where id < 3" if "drop" in change
                     else "insert into orders (id, p) select max(id) + 1, row('b', 2, 'c')::place from orders")
        wait_equal(running, "orders", ("id", "s", "ss", "p"))
    order = "select array_agg(s::text order by s) from (select distinct s from orders where s is not null) o"
    for db in REPLICAS:
        assert running.sql(db, order) == running.sql("primary", order)
    nothing_given_up(running)


def test_without_an_event_trigger_a_new_label_is_seen(stack):
    stack.start_api()
    stack.start_consumer()
    stack.psql("primary", """
        drop event trigger pgfanout_altered; create type state as enum ('new');
        create table orders (id int primary key, s state); insert into orders values (1, 'new'); select pgfanout.add_table('orders');""")
    wait_equal(stack, "orders", ("id", "s"), 30)
    stack.psql("primary", "alter type state add value 'paid'; insert into orders values (2, 'paid')")
    wait_equal(stack, "orders", ("id", "s"))
    assert stack.sql("replica-1", "select enum_range(null::state)::text") == [("{new,paid}",)]
    nothing_given_up(stack)


def test_a_table_waits_for_the_type_of_an_extension(running):
    consumer = running.programs[1]
    running.psql("primary", "create extension ltree; create table paths (p ltree primary key, n int); insert into paths values ('a.b', 1); "
                            "select pgfanout.add_table('paths', stream => 'waits')")
    wait_until(lambda: r'public.ltree\" does not exist' in consumer.log(), 30 * SLOWNESS, "the reason")
    for db in REPLICAS:
        running.psql(db, "create extension ltree")
    wait_equal(running, "paths", ("p", "n"), 90)
    running.psql("primary", "update paths set p = 'a.c'; insert into paths values ('a.b', 2)")
    wait_equal(running, "paths", ("p", "n"))


INDEXES = {
    "unique": "create unique index {} on indexed (email)", "not distinct": "create unique index {} on indexed (n) nulls not distinct",
    "several": "create index {} on indexed (n desc nulls last, name) include (email) with (fillfactor = 70)",
    "sorted": 'create index {} on indexed (name collate "C" text_pattern_ops)', "part": "create index {} on indexed (n) where name is not null",
    "expression": "create index {} on indexed (lower(name), (n + 1))", "gin": "create index {} on indexed using gin (j jsonb_path_ops)",
    "hash": "create index {} on indexed using hash (name)", "brin": "create index {} on indexed using brin (n)",
    "excluded": "alter table indexed add constraint {} exclude using gist (r with &&)",
}
LEFT_OUT = {
    "own function": "create index {} on indexed (mine(n))", "own operator class": "create index {} on indexed using gin (name gin_trgm_ops)",
    "not sent": "create index {} on indexed (secret)", "not sent either": "create index {} on indexed (n) where secret = 'x'",
    "not sent, included": "create index {} on indexed (n) include (secret)",
}


def test_the_other_indexes_come_along(running):
    running.psql("primary", """
        create extension pg_trgm; create function mine(n int) returns int language sql immutable as 'select n';
        create table indexed (id int primary key, name text, email text, n int, j jsonb, r int4range, secret text);
        insert into indexed select i, 'n' || i, i || '@x', i, '{}', int4range(i, i + 1), 's' from generate_series(1, 50) i;""" + ";".join(
            sql.format(f'"{name} ""x"""') for name, sql in {**INDEXES, **LEFT_OUT}.items()) +
        "; select pgfanout.add_table('indexed', columns => '{id,name,email,n,j,r}')")
    wait_equal(running, "indexed", ("id", "name", "email", "n", "j", "r"), 60)
    definitions = "select replace(pg_get_indexdef(indexrelid), 'UNIQUE ', ''), indisvalid, indisunique and not indisprimary from pg_index " \
                  "where indrelid = 'indexed'::regclass order by 1"
    expected = [(text, True, False) for text, _, _ in running.sql("primary", definitions)
                if not any(f'"{name} ""x"""' in text for name in LEFT_OUT)]
    assert len(expected) == len(INDEXES) + 1
    for db in REPLICAS:
        assert running.sql(db, definitions) == expected
    # What is unique there takes its time here.
    running.psql("primary", "update indexed set email = 'a' where id = 1; update indexed set email = 'b' where id = 2; "
                            "begin; update indexed set email = 'c' where id = 1; update indexed set email = 'a' where id = 2; "
                            "update indexed set email = 'b' where id = 1; commit")
    wait_equal(running, "indexed", ("id", "email"))
    nothing_given_up(running)


# ---- keys ----

SORTS = """
    create collation nocase (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
    create collation "My sort" (provider = icu, locale = 'de-u-co-phonebk');
"""
# The key's columns, and rows of it; those of one row are equal keys with different texts, where there are any.
KEYS = {
    "numeric": ("numeric", [["1.0", "1.00", "1"], ["-2"], ["NaN"], ["Infinity"], ["0.5", "0.500"]]),
    "citext": ("citext", [["a", "A"], ["Straße", "STRAßE"], [""]]),
    "nocase": ("text collate nocase", [["a", "A"], ["résumé", "RÉSUMÉ"], ["é", "e\u0301"], [""]]),
    "sorted": ('varchar collate "My sort"', [["ä"], ["a"], ["A"]]),
    "bpchar": ("char(4)", [["a", "a  "], ["b"], [""]]),
    "bpchar_nocase": ("char(4) collate nocase", [["a", "A  "], ["b"]]),
    "enum": ("mood", [["sad"], ["ok"]]),
    "bytea": ("bytea", [["\\x00"], ["\\x"], ["\\x0001"]]),
    "timestamptz": ("timestamptz", [["2024-01-01 00:00:00.000001+00"], ["infinity"], ["0044-03-15 00:00:00+00 BC"]]),
    "interval": ("interval", [["1 day", "24:00:00"], ["1 mon", "30 days"], ["00:00:00"]]),
    "timetz": ("timetz", [["12:00:00+00"], ["12:00:00+01"]]),
    "inet": ("inet", [["10.0.0.1"], ["10.0.0.1/8"], ["::1"]]),
    "date": ("date", [["2024-01-01"], ["infinity"]]),
    "array": ("numeric[]", [["{1.0,NULL}", "{1,NULL}"], ["[0:0]={1}"], ["{}"]]),
    "texts": ("text[] collate nocase", [["{a}", "{A}"], ["{b,\"c,d\"}"]]),
    "range": ("numrange", [["[1.0,2]", "[1,2.00]"], ["empty"], ["(,)"]]),
    "jsonb": ("jsonb", [["1.0", "1"], ["null"], ['{"a": [1]}']]),
    "row": ("priced", [["(1.0,a)", "(1,a)"], ["(,)"]]),
    "bits": ("bit varying", [["1"], ["10"], [""]]),
    "money": ("money", [["1.50"], ["-1"]]),
    "name": ("name", [["a"], ["A"]]), "char": ('"char"', [["a"], ["b"]]), "boolean": ("boolean", [["t"], ["f"]]),
    "domain": ("short", [["a", "A"], ["b"]]),
    "lsn": ("pg_lsn", [["0/1"], ["F/0"]]), "mac": ("macaddr", [["08:00:2b:01:02:03"], ["08:00:2b:01:02:04"]]),
}
COMPOSITE = {
    "several": ("a int, b text, c timestamptz", ("a", "b", "c"), [["1", "x", "epoch"], ["1", "y", "epoch"], ["2", "x", "infinity"]]),
    "scattered": ("x int, a int, y bool, b text, z int8, c timestamptz", ("c", "a", "b"), [["epoch", "1", "x"], ["epoch", "2", "x"], ["infinity", "1", "x"]]),
    "mixed": ('"select" citext, "B b" numeric, c text collate nocase', ('"select"', '"B b"', "c"), [["x", "1.0", "q"], ["x", "2", "q"], ["y", "1", "Q"]]),
}


@pytest.fixture(scope="module")
def key_tables(running):
    for db in ("primary", *REPLICAS):
        running.psql(db, "create extension if not exists citext")
    running.psql("primary", SORTS + """
        create schema k; create type k.mood as enum ('sad', 'ok'); create type k.priced as (n numeric, t text);
        create domain k.short as citext check (length(value) < 5); set search_path = k, public;""" + "".join(
        f"create table k.of_{name} (k {what} primary key, n int); insert into k.of_{name} values ('{rows[0][0]}', -1); "
        f"select pgfanout.add_table('k.of_{name}');" for name, (what, rows) in KEYS.items()) + "".join(
        f"create table k.of_{name} ({what}, n int, primary key ({', '.join(key)})); select pgfanout.add_table('k.of_{name}');"
        for name, (what, key, _) in COMPOSITE.items()))
    for name in KEYS:
        wait_equal(running, f"k.of_{name}", ("k", "n"), 120)
    return running


@pytest.mark.parametrize("name", KEYS)
def test_a_key_of_any_type_is_one_row(key_tables, name):
    stack, (_, rows) = key_tables, KEYS[name]
    table = f"k.of_{name}"
    for n, texts in enumerate(rows):
        for text in texts:
            stack.sql("primary", f"insert into {table} values (%s, %s) on conflict (k) do update set n = excluded.n, k = excluded.k",
                      text, n)
    wait_equal(stack, table, ("k", "n"))
    for texts in rows:  # every text of a key in one transaction, then apart, with a delete between
        stack.psql("primary", "begin;" + "".join(f"delete from {table} where k = (select k from {table} where n = {rows.index(texts)}); "
                                                 f"insert into {table} values ('{t}', {rows.index(texts)});" for t in texts) + "commit;")
        for text in texts:
            stack.sql("primary", f"update {table} set k = %s where n = %s", text, rows.index(texts))
    wait_equal(stack, table, ("k", "n"))
    # Keys that change places, and one that is given up and taken by another row.
    stack.sql("primary", f"delete from {table} where n = 0")
    stack.sql("primary", f"update {table} set k = %s where n = 1", rows[0][-1])
    wait_equal(stack, table, ("k", "n"))
    stack.sql("primary", f"delete from {table}")
    wait_equal(stack, table, ("k", "n"))
    nothing_given_up(stack)


@pytest.mark.parametrize("name", COMPOSITE)
def test_a_key_of_several_columns(key_tables, name):
    stack, (_, key, rows) = key_tables, COMPOSITE[name]
    table, columns = f"k.of_{name}", (*key, "n")
    insert = f"insert into {table} ({', '.join(columns)}) values (%s, %s, %s"
    for row in rows:
        stack.sql("primary", f"{insert}, 0)", *row)
    stack.sql("primary", f"update {table} set {key[0]} = {key[0]}, {key[2]} = {key[2]}, n = n + 1")
    wait_equal(stack, table, columns, 60)
    stack.sql("primary", f"update {table} set {key[1]} = %s where {key[1]} = %s and {key[0]} = %s",
              "z" if name == "several" else "3", rows[0][1], rows[0][0])
    stack.sql("primary", f"delete from {table} where {key[0]} = %s", rows[2][0])
    stack.sql("primary", f"{insert}, 7)", *rows[2])
    wait_equal(stack, table, columns)
    nothing_given_up(stack)


# ---- statements ----

FAMILY = """
    create table parent (id int primary key, u int unique, name text);
    create table cascades (id int primary key, p int references parent on update cascade on delete cascade);
    create table nulls (id int primary key, p int references parent on update set null on delete set null);
    create table defaults (id int primary key, p int default 0 references parent on update set default on delete set default);
    create table restricts (id int primary key, p int references parent (u) on update restrict on delete restrict);
    create table grandchild (id int primary key, c int references cascades on update cascade on delete cascade);
    create table tree (id int primary key, up int references tree on delete cascade on update cascade);
    create table keyed (p int references parent on update cascade on delete cascade, n int, primary key (p, n));
    insert into parent select i, 100 + i, 'p' from generate_series(0, 9) i;
    insert into cascades select i, i from generate_series(0, 9) i; insert into nulls table cascades;
    insert into defaults table cascades; insert into grandchild table cascades; insert into restricts values (1, 109);
    insert into tree select i, nullif(i / 2, 0) from generate_series(1, 30) i;
    insert into keyed select i, n from generate_series(0, 9) i, generate_series(1, 3) n;
"""
FAMILY_TABLES = ("parent", "cascades", "nulls", "defaults", "restricts", "grandchild", "tree", "keyed")
STATEMENTS = {
    "insert update delete": "insert into parent values (20, 120); update parent set name = 'x' where id < 3; delete from parent where id = 20",
    "referenced key changes": "update parent set id = 50 where id = 1",
    "all keys change": "update parent set id = -id where id > 0",
    "referenced rows go": "delete from parent where id between -4 and -2",
    "a tree goes": "delete from tree where id = 2; update tree set id = 1000 where id = 3",
    "a swap of keys": "update tree set up = null; update tree set id = case id when 1 then 2000 else id end where id in (1, 6); update tree set id = 1 where id = 6",
    "restrict": "do $$ begin delete from parent where u = 109; exception when foreign_key_violation then null; end $$;"
                "do $$ begin update parent set u = 999, id = 7777 where u = 109; exception when foreign_key_violation then null; end $$;"
                "update restricts set p = 100; delete from parent where u = 109",
    "copy": "copy parent from stdin;\n70\t170\t\\N\n71\t171\ta\\tb\n\\.\n",
    "on conflict": "insert into parent values (70, 1, 'up'), (72, 172, 'new') on conflict (id) do update set name = excluded.name; "
                   "insert into parent values (70, 1, 'no'), (73, 172, 'no') on conflict do nothing",
    "on conflict of another key": "insert into parent values (74, 172, 'other') on conflict (u) do update set id = excluded.id, name = excluded.name",
    "merge": "merge into parent p using (values (70, 'm'), (71, null), (75, 'i')) v (id, name) on p.id = v.id "
             "when matched and v.name is null then delete when matched then update set name = v.name "
             "when not matched then insert values (v.id, v.id + 500, v.name)",
    "savepoints": "begin; update parent set name = 'a' where id = 70; savepoint s; update parent set name = 'b' where id = 70; "
                  "delete from parent where id = 75; insert into parent values (80, 180, 's'); rollback to s; insert into parent values (81, 181, 't'); "
                  "savepoint s; delete from parent where id = 81; release s; savepoint s; insert into parent values (81, 182, 'again'); release s; commit",
    "an exception": "do $$ begin insert into parent values (82, 182 + 10000); begin update parent set id = 90 where id = 82; raise 'x'; "
                    "exception when others then null; end; end $$",
    "rolled back": "begin; truncate parent cascade; insert into parent values (1, 1); rollback; "
                   "begin; delete from tree; rollback",
    "serializable": "begin isolation level serializable; update parent set name = 's', id = id + 1000 where id = 82; "
                    "delete from parent where id = 81; insert into parent values (81, 7); commit",
    "with": "with gone as (delete from parent where id = 81 returning *) insert into parent select id + 1, u + 20000, 'w' from gone",
    "cursor": "begin; declare c cursor for select * from parent where id = 70 for update; fetch c; update parent set id = 76, name = 'c' where current of c; commit",
    "key moves within a row and back": "begin; update parent set id = 77 where id = 76; update parent set id = 78 where id = 77; update parent set id = 76 where id = 78; commit",
    "as a replica": "set session_replication_role = replica; insert into parent values (83, 183); update parent set id = 84 where id = 83; "
                    "update parent set name = 'r' where id = 84; delete from parent where id = 76; "
                    "insert into cascades values (900, 12345); delete from tree where id = 1; truncate nulls",
    "prepared": "begin; insert into parent values (85, 185, 'p'); update parent set name = 'q' where id = 84; delete from cascades where id = 900; "
                "prepare transaction 'one'; begin; update parent set name = 'later' where id = 0; commit; commit prepared 'one'; "
                "begin; delete from parent where id = 85; prepare transaction 'two'; rollback prepared 'two'",
    "truncate": "truncate parent cascade",
    "after it": "insert into parent values (0, 0, 'z'), (1, 1, 'a'); insert into defaults values (1, 1); insert into keyed values (1, 1); "
                "update parent set id = 5 where id = 1",
    "truncate in between": "begin; insert into tree values (1); truncate tree; insert into tree values (1), (2); update tree set up = 1 where id = 2; "
                           "commit; begin; delete from tree where id = 2; truncate tree; rollback",
}


@pytest.fixture(scope="module")
def family(running):
    running.psql("primary", FAMILY + "".join(f"select pgfanout.add_table('{t}');" for t in FAMILY_TABLES))
    for table in FAMILY_TABLES:
        wait_equal(running, table, columns_of(running, table), 60)
    return running


@pytest.mark.parametrize("name", STATEMENTS)
def test_every_way_to_write(family, name):
    """In their order: each works on what those before it left."""
    family.psql("primary", STATEMENTS[name])
    for table in FAMILY_TABLES:
        wait_equal(family, table, columns_of(family, table))
    nothing_given_up(family)


def test_a_prepared_transaction_outlives_the_servers_end(stack):
    """What is prepared is on its way when it is committed, by whomever, after whatever."""
    stack.start_api()
    stack.start_consumer()
    stack.psql("primary", "create table twice (id int primary key, n int); insert into twice values (1, 1), (2, 1); select pgfanout.add_table('twice')")
    wait_equal(stack, "twice", ("id", "n"), 30)
    stack.psql("primary", "begin; update twice set n = 2 where id = 1; insert into twice values (3, 2); prepare transaction 'long'")
    stack.psql("primary", "update twice set n = 3 where id = 2")
    wait_until(lambda: stack.sql("replica-1", "select n from twice where id = 2") == [(3,)], 20 * SLOWNESS, "what came later")
    stack.primary.restart("immediate")
    assert stack.sql("replica-1", "select id, n from twice order by 1") == [(1, 1), (2, 3)]
    stack.sql("primary", "commit prepared 'long'")
    wait_equal(stack, "twice", ("id", "n"), 60)


def test_clients_that_race_for_few_keys(running):
    running.psql("primary", """
        create table raced (k numeric primary key, client int, n int, note text collate "C" unique);
        select pgfanout.add_table('raced');""")
    ends = []

    def client(number):
        rng, conn = random.Random(number), running.connect()
        cursor = conn.cursor()
        statements = ("insert into raced values (%(k)s, %(c)s, %(i)s, %(t)s) on conflict (k) do update set k = excluded.k, n = excluded.n, client = excluded.client",
                      "delete from raced where k = %(k)s", "update raced set k = %(k)s::numeric + 1, client = %(c)s where k = %(k)s",
                      "insert into raced values (%(k)s, %(c)s, %(i)s)", "update raced set n = %(i)s where k = %(k)s", "delete from raced where n %% 5 = 0")
        for i in range(400):
            try:
                for _ in range(rng.choice((1, 1, 3))):
                    cursor.execute(rng.choice(statements), {"k": rng.choice(("1", "1.0", "2", "2.000", "3", "4")), "c": number, "i": i, "t": None})
                (conn.rollback if rng.random() < 0.1 else conn.commit)()
            except psycopg2.errors.lookup("23505"):
                conn.rollback()
            except psycopg2.errors.DeadlockDetected:
                conn.rollback()
        conn.close()
        ends.append(number)
    threads = [threading.Thread(target=client, args=(n,)) for n in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(ends) == len(threads)
    wait_equal(running, "raced", ("k", "client", "n", "note"), 60)
    nothing_given_up(running)


# ---- sizes ----

@pytest.mark.long
def test_as_many_columns_as_a_replica_can_have(running):
    """One less than PostgreSQL's 1,600: the version stands in the last one."""
    columns = [f"a_column_{i}" for i in range(1599)]
    running.psql("primary", "create table wide ({}, primary key (a_column_1598, a_column_3)); select pgfanout.add_table('wide')".format(
        ", ".join(f"{c} {'int' if i % 2 else 'bool'}" for i, c in enumerate(columns)).replace("a_column_1598 bool", "a_column_1598 int")))
    running.sql("primary", "insert into wide ({}) values ({})".format(
        ", ".join(columns), ", ".join(["null", "7"] * 799).replace("null, 7, null, 7", "true, 7, false, 8", 1) + ", 1"))
    wait_equal(running, "wide", columns, 60)
    running.sql("primary", "update wide set a_column_1597 = 5, a_column_0 = null")
    running.sql("primary", "insert into wide (a_column_1598, a_column_3) values (2, 2)")
    running.sql("primary", "delete from wide where a_column_1598 = 1")
    wait_equal(running, "wide", columns)
    running.psql("primary", "create table wider (id int primary key, {})".format(", ".join(f"c{i} int" for i in range(1599))))
    with pytest.raises(psycopg2.Error) as refused:
        running.sql("primary", "select pgfanout.add_table('wider')")
    assert "1599 columns" in str(refused.value) and refused.value.diag.message_hint
    running.psql("primary", "drop table wider")


@pytest.mark.long
def test_a_large_value(running):
    """By the load, as a change, and as the key's neighbour of small ones; 20 MB of text that does not compress, and bytea."""
    running.psql("primary", """
        create table large (id int primary key, t text, b bytea);
        create function noise(n int) returns text language sql as $$ select string_agg(md5(i::text), '') from generate_series(1, n) i $$;
        insert into large values (1, noise(650000), null); select pgfanout.add_table('large')""")
    sums = "select id, md5(t), md5(b), length(t), length(b) from large order by 1"

    def equal():
        return running.sql("primary", sums) == running.sql("replica-1", sums) == running.sql("replica-2", sums)
    wait_until(equal, 60 * SLOWNESS, "the copy")
    running.psql("primary", "insert into large values (2, null, decode(noise(320000), 'hex')), (3, 'small', ''); "
                            "update large set t = t || 'x' where id = 1; update large set id = 4 where id = 3")
    wait_until(equal, 60 * SLOWNESS, "the changes")
    nothing_given_up(running)
