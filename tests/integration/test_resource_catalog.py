"""What the listed resources are: api/resources/sql/catalog.sql as the API runs it, on real catalogs. And
pgfanout.readable(), by which a read learns that a database does not have a table as it was asked for."""
import json
import os

import psycopg2
import pytest

from conftest import ROOT, SLOWNESS, wait_until
from test_tables import wait_equal

with open(os.path.join(ROOT, "api", "resources", "sql", "catalog.sql"), encoding="utf-8") as f:
    CATALOG = f.read()

PREPARE = f"""deallocate all; prepare catalog(text, text) as {CATALOG};
              set enable_seqscan = off; set enable_bitmapscan = off; set enable_hashjoin = off; set enable_mergejoin = off;
              set jit = off; set row_security = off; set plan_cache_mode = force_generic_plan"""


def look(stack, *names, was=""):
    """(fingerprint, model or None) of resources such as "users=User"."""
    listed = []
    for name in names:
        name, _, table = name.partition("=")
        schema, dot, relation = (table or name).rpartition(".")
        listed.append({"name": name, "schema": schema if dot else None, "relation": relation})
    stack.sql("primary", PREPARE)
    rows = stack.sql("primary", "execute catalog(%s, %s)", json.dumps(listed), was)
    assert len(rows) == 1
    return rows[0][0], rows[0][1] and json.loads(rows[0][1])


def model(stack, *names):
    return look(stack, *names)[1]


def add(stack, *tables):
    for table in tables:
        stack.sql("primary", "select pgfanout.add_table(%s)", table)


def by_name(columns):
    return {c.pop("name"): c for c in columns}


@pytest.fixture
def primary(stack):
    return stack


def test_types(primary):
    primary.psql("primary", r"""
        create schema blog;
        create type blog.mood as enum ('sad', 'it''s', '');
        create type pair as (a int, b text);
        create type floats as range (subtype = float8);
        create domain email as text default 'a@b' check (value like '%@%');
        create domain codes as varchar(7)[];
        create domain short as varchar(5);
        create collation loose (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
        create table blog."Odd" (
            id bigint primary key, small smallint, number integer not null, exact numeric(12,2), approx real, approx8 float8,
            yes boolean, js json, jb jsonb, "at" timestamptz, at3 timestamptz(3), ts timestamp, day date, hours time, span interval,
            txt text, v varchar, v40 varchar(40), c3 char(3), bp bpchar, n name, one "char", u uuid, bin bytea, o oid,
            mood blog.mood, moods blog.mood[], ints int[], texts text[][], utcs timestamptz[], jbs jsonb[], pairs pair[], vec int2vector,
            pair pair, ip inet, pt point, r int4range, rs floats, email email, codes codes, short short, emails email[],
            loose text collate loose, plain text collate "C", "we""ird 'name'" text, "créé" xml);
        select pgfanout.add_table('blog."Odd"')""")
    r = model(primary, "odd=blog.Odd")["resources"][0]
    assert (r["name"], r["schema"], r["relation"], r["key"]) == ("odd", "blog", "Odd", ["id"])
    shape, = primary.sql("primary", "select id, shape from pgfanout.registered where id <> 1")
    assert (r["table"], r["shape"]) == shape
    assert "filter" not in r and "comment" not in r
    columns = by_name(r["columns"])
    assert sorted(c.pop("number") for c in columns.values()) == list(range(1, len(columns) + 1))
    collations = {n: c.pop("collation", None) for n, c in columns.items()}
    assert collations["c3"] == 100 and collations["id"] is None and collations["loose"] > 16384
    plain = {"plain": True}
    assert columns == {
        "id": {"type": "bigint", "kind": "integer", "notnull": True, **plain},
        "small": {"type": "smallint", "kind": "integer", **plain},
        "number": {"type": "integer", "kind": "integer", "notnull": True, **plain},
        "exact": {"type": "numeric(12,2)", "kind": "number"},
        "approx": {"type": "real", "kind": "number"},
        "approx8": {"type": "double precision", "kind": "number"},
        "yes": {"type": "boolean", "kind": "boolean", **plain},
        "js": {"type": "json", "kind": "json"},
        "jb": {"type": "jsonb", "kind": "json"},
        "at": {"type": "timestamp with time zone", "kind": "utc", **plain},
        "at3": {"type": "timestamp(3) with time zone", "kind": "utc", **plain},
        "ts": {"type": "timestamp without time zone", "kind": "time", **plain},
        "day": {"type": "date", "kind": "time", **plain},
        "hours": {"type": "time without time zone", "kind": "other", **plain},
        "span": {"type": "interval", "kind": "other"},
        "txt": {"type": "text", "kind": "text", **plain},
        "v": {"type": "character varying", "kind": "text", **plain},
        "v40": {"type": "character varying(40)", "kind": "text", "max": 40, **plain},
        "c3": {"type": "character(3)", "kind": "text"},
        "bp": {"type": "bpchar", "kind": "text"},
        "n": {"type": "name", "kind": "text", **plain},
        "one": {"type": '"char"', "kind": "other", **plain},
        "u": {"type": "uuid", "kind": "text", **plain},
        "bin": {"type": "bytea", "kind": "other", **plain},
        "o": {"type": "oid", "kind": "other", **plain},
        "mood": {"type": "blog.mood", "kind": "text", "labels": ["sad", "it's", ""], **plain},
        "moods": {"type": "blog.mood[]", "kind": "array", "element": "text", "labels": ["sad", "it's", ""]},
        "ints": {"type": "integer[]", "kind": "array", "element": "integer"},
        "texts": {"type": "text[]", "kind": "array", "element": "text"},
        "utcs": {"type": "timestamp with time zone[]", "kind": "array", "element": "utc"},
        "jbs": {"type": "jsonb[]", "kind": "other"},
        "pairs": {"type": "public.pair[]", "kind": "other"},
        "vec": {"type": "int2vector", "kind": "other"},
        "pair": {"type": "public.pair", "kind": "other"},
        "ip": {"type": "inet", "kind": "other"},
        "pt": {"type": "point", "kind": "other"},
        "r": {"type": "int4range", "kind": "other"},
        "rs": {"type": "public.floats", "kind": "other"},
        "email": {"type": "text", "kind": "text", "default": True, **plain},
        "codes": {"type": "character varying[]", "kind": "array", "element": "text"},
        "short": {"type": "character varying(5)", "kind": "text", "max": 5, **plain},
        "emails": {"type": "text[]", "kind": "array", "element": "text"},
        "loose": {"type": "text", "kind": "text"},
        "plain": {"type": "text", "kind": "text", **plain},
        "we\"ird 'name'": {"type": "text", "kind": "text", **plain},
        "créé": {"type": "xml", "kind": "other"},
    } | {"codes": {**columns["codes"], "kind": "array", "element": "text"}}


def test_columns_and_keys(primary):
    primary.psql("primary", """
        create table a (id int generated always as identity primary key, b int generated by default as identity, c serial, d int default 7,
            e int generated always as (2) stored, f text not null, g text);
        comment on table a is 'all of them'; comment on column a.f is 'it''s f';
        create table pair (x text, y int, z int, primary key (y, x));
        create table other (id int primary key, code text not null, hidden text, constraint code_key unique (code));
        create table filtered (id int primary key, published boolean);
        select pgfanout.add_table('a'), pgfanout.add_table('pair');
        select pgfanout.add_table('other', columns => '{id,code}', key => 'code_key');
        select pgfanout.add_table('filtered', filter => 'published');
        insert into pair select 'x', n, n from generate_series(1, 500) n; analyze pair; analyze filtered""")
    found = model(primary, "a", "pair", "other", "filtered", "again=a", "items=products")
    assert "missing" not in found and "references" not in found
    r = {r["name"]: r for r in found["resources"]}
    assert list(r) == ["a", "pair", "other", "filtered", "again", "items"]
    assert {**r["again"], "name": "a"} == r["a"]
    assert r["a"]["comment"] == "all of them"
    columns = by_name(r["a"]["columns"])
    assert {n: {k for k in c if k not in ("type", "kind", "plain", "number", "collation")} for n, c in columns.items()} == {
        "id": {"notnull", "default", "identity"}, "b": {"notnull", "default", "identity"}, "c": {"notnull", "default"},
        "d": {"default"}, "e": {"default", "generated"}, "f": {"notnull", "comment"}, "g": set()}
    assert (columns["id"]["identity"], columns["b"]["identity"], columns["f"]["comment"]) == ("always", "by default", "it's f")
    assert r["pair"]["key"] == ["y", "x"] and r["pair"]["rows"] == 500 and r["a"]["rows"] == -1
    assert r["other"]["key"] == ["code"] and [c["name"] for c in r["other"]["columns"]] == ["id", "code"]
    assert r["filtered"]["filter"] == "published" and r["filtered"]["rows"] == 0
    assert r["items"]["table"] == 1 and [c["name"] for c in r["items"]["columns"]] == [
        "id", "name", "price", "stock", "created_at", "updated_at"]
    assert [c["kind"] for c in r["items"]["columns"]] == ["text", "text", "number", "integer", "utc", "utc"]
    assert not r["items"].get("joined") or r["items"]["joined"] is True


INDEXES = {
    "create index on t (a)": ("btree", ["a"]),
    "create index on t (a, b desc)": ("btree", ["a", "b desc"]),
    "create index on t (a desc nulls last, b nulls first)": ("btree", ["a desc unordered", "b unordered"]),
    "create unique index on t (b, a)": ("unique btree", ["b", "a"]),
    "create unique index on t (b) include (c)": ("unique btree", ["b"]),
    "create index on t using hash (c)": ("hash", ["c"]),
    "create index on t (c text_pattern_ops)": ("btree", ["c pattern unordered"]),
    "create index on t (v varchar_pattern_ops)": ("btree", ["v pattern unordered"]),
    "create index on t (v varchar_ops)": ("btree", ["v"]),
    "create index on t (k)": ("btree", ["k pattern"]),
    "create index on t (n)": ("btree", ["n pattern"]),
    'create index on t (c collate "C", a)': ("btree", ["c pattern unordered unequal", "a"]),
    'create index on t (a, k collate "en-x-icu", b)': ("btree", ["a"]),
    'create index on t (k collate "en-x-icu")': None,
    "create index on t (a, hidden)": ("btree", ["a"]),
    "create unique index on t (a, hidden)": ("btree", ["a"]),
    "create index on t (hidden, a)": None,
    "create index on t (lower(c))": None,
    "create index on t (a, lower(c))": None,
    "create index on t (a) where b > 1": None,
    "create index on t using brin (a)": None,
    "create index on t using gin (l)": None,
    "create index on t (l)": ("btree", ["l"]),
    "alter table t add constraint late unique (a) deferrable": ("btree", ["a"]),
}


def shown(x):
    words = ("desc", "pattern", "unordered", "unequal")
    return (("unique " if x.get("unique") else "") + x["method"],
            [" ".join([c["name"], *(w for w in words if c.get(w))]) for c in x["columns"]])


def test_indexes(primary):
    primary.psql("primary", """
        create table t (id int primary key, a int, b int, c text, v varchar(9), k text collate "C", n name, l int[], hidden int);
        select pgfanout.add_table('t', columns => '{id,a,b,c,v,k,n,l}')""")
    fingerprint, found = look(primary, "t")
    assert [shown(x) for x in found["resources"][0]["indexes"]] == [("unique btree", ["id"])]
    for statement, expected in INDEXES.items():
        primary.sql("primary", statement)
        again, found = look(primary, "t", was=fingerprint)
        assert again != fingerprint, statement
        assert [shown(x) for x in found["resources"][0]["indexes"]][1:] == ([expected] if expected else []), statement
        name, = primary.sql("primary", "select i.indexrelid::regclass::text, conname from pg_index i left join pg_constraint c "
                            "on conindid = indexrelid where indrelid = 't'::regclass and not indisprimary")
        primary.sql("primary", f"alter table t drop constraint {name[1]}" if name[1] else f"drop index {name[0]}")
        fingerprint, _ = look(primary, "t")


def test_an_index_that_is_not_valid_is_none(primary):
    primary.psql("primary", "create table t (id int primary key, a int); select pgfanout.add_table('t'); insert into t values (1, 1), (2, 1)")
    with pytest.raises(psycopg2.errors.UniqueViolation):
        primary.sql("primary", "create unique index concurrently a_key on t (a)")
    assert [shown(x) for x in model(primary, "t")["resources"][0]["indexes"]] == [("unique btree", ["id"])]


def test_references(primary):
    primary.psql("primary", """
        create table users (id int primary key, boss int references users);
        create table posts (a int, b int, author int references users, editor int references users, primary key (a, b));
        create table profiles (id int primary key references users);
        create table comments (id int primary key, pb int, pa int);
        create table likes (id int primary key, pa int, pb int, foreign key (pa, pb) references posts, unique (pb, pa));
        create table partial (id int primary key, one int references users);
        create unique index on partial (one) where one > 0;
        create table few (id int primary key, one int references users, two int references users);
        create table notes (id int primary key, u int references users, unlisted int);
        create table unregistered (id int primary key references users);
        alter table posts add unique (b, a);
        alter table comments add foreign key (pb, pa) references posts (b, a) not valid;
        select pgfanout.add_table(t) from unnest('{users,posts,profiles,comments,likes,partial,notes}'::text[]) t;
        select pgfanout.add_table('few', columns => '{id,one}')""")
    names = ("users", "posts", "profiles", "comments", "likes", "partial", "few", "unregistered", "people=users")

    def found():
        return {(r["child"], ",".join(r["columns"]), r["parent"], ",".join(r["keys"]), r.get("unique", False))
                for r in model(primary, *names)["references"]}
    expected = {(c, n, u, "id", one) for u in ("users", "people") for c, n, one in (
        ("users", "boss", False), ("people", "boss", False), ("posts", "author", False), ("posts", "editor", False),
        ("profiles", "id", True), ("partial", "one", False), ("few", "one", False))}
    expected |= {("likes", "pa,pb", "posts", "a,b", True)}
    assert found() == expected
    primary.sql("primary", "alter table comments validate constraint comments_pb_pa_fkey")
    assert found() == expected | {("comments", "pb,pa", "posts", "b,a", False)}


def test_inserts_that_may_be_joined(primary):
    primary.psql("primary", """
        create function f() returns trigger language plpgsql as $$ begin return new; end $$;
        create table t (id int primary key, a int); select pgfanout.add_table('t');
        create table parted (id int primary key) partition by range (id); select pgfanout.add_table('parted');
        create table part_1 partition of parted for values from (0) to (10);
        create table part_2 partition of parted for values from (10) to (20);
        insert into parted select generate_series(0, 9); analyze part_1; create table child (id int primary key references t)""")

    def joined(name="t"):
        return model(primary, name)["resources"][0].get("joined", False)
    # Ours, and those of a foreign key, do not count.
    assert joined() and joined("parted")
    assert [model(primary, t)["resources"][0].get("partitioned") for t in ("t", "parted")] == [None, True]
    for make, undo in (
            ("create trigger mine before insert on t for each row execute function f()", "drop trigger mine on t"),
            ("create trigger mine after insert on t execute function f()", "drop trigger mine on t"),
            ("create trigger pgfanout_like after update or insert on t for each row execute function f()",
             "drop trigger pgfanout_like on t"),
            ("create rule mine as on insert to t where new.id < 0 do instead nothing", "drop rule mine on t")):
        primary.sql("primary", make)
        assert not joined(), make
        primary.sql("primary", undo)
        assert joined(), undo
    primary.sql("primary", "create trigger mine after update or delete on t for each row execute function f()")
    assert joined()
    primary.sql("primary", "create trigger other before insert on t for each row execute function f(); alter table t disable trigger other")
    assert joined()
    primary.sql("primary", "create trigger mine before insert on part_2 for each row execute function f()")
    assert not joined("parted")
    primary.sql("primary", "drop trigger mine on part_2")
    assert joined("parted")
    assert model(primary, "parted")["resources"][0]["rows"] == 10
    # A superuser sees all rows.
    primary.sql("primary", "alter table t enable row level security")
    assert joined()


def test_row_security(primary):
    primary.psql("primary", """
        create table t (id int primary key); select pgfanout.add_table('t'); alter table t enable row level security;
        drop role if exists resource_reader; create role resource_reader""")
    try:
        primary.sql("primary", "set role resource_reader")
        found = model(primary, "t")
        assert found["resources"][0].get("joined") is None and found["resources"][0]["key"] == ["id"]
    finally:
        primary.sql("primary", "reset role")
        primary.sql("primary", "drop role resource_reader")


def test_what_is_missing(primary):
    primary.psql("primary", r"""
        create schema blog; create schema shop;
        create table blog.posts (id int primary key); create table shop.posts (id int primary key);
        create table blog.unregistered (id int primary key); create table one (id int primary key);
        create table shop.one (id int primary key);
        create table "User" (id int primary key); create view seen as select 1 as id;
        create table parted (id int primary key) partition by range (id);
        create table part_1 partition of parted for values from (0) to (10);
        do $$ begin execute format('create table odd (id int primary key, %I int)', E'a\tb'); end $$;
        select pgfanout.add_table(t) from unnest('{blog.posts,shop.posts,one,"\"User\"",parted,odd}'::text[]) t""")
    found = model(primary, "posts", "mine=blog.posts", "unregistered", "b=blog.unregistered", "one", "users=user", "seen", "part_1",
                  "odd", "none", "n=nowhere.none", "class=pg_class", "outbox", "s=shop.one", "q=blog.User")
    assert [r["name"] for r in found["resources"]] == ["mine", "one"]
    reasons = {m["name"]: m["reason"] for m in found["missing"]}
    assert reasons == {
        "posts": "several registered tables are called posts: name one with its schema, posts=schema.posts",
        "unregistered": "the table blog.unregistered is not registered: SELECT pgfanout.add_table('blog.unregistered')",
        "b": "the table blog.unregistered is not registered: SELECT pgfanout.add_table('blog.unregistered')",
        "users": "there is no table user; there is public.\"User\", and names are taken as they are written: users=User",
        "seen": "public.seen is no table, and only tables can be registered",
        "part_1": "public.part_1 is a partition: name the table that it is a part of",
        "odd": "a column of public.odd has control characters in its name: rename it, or leave it out "
               "with pgfanout.add_table('public.odd', columns => ...)",
        "none": "there is no table none",
        "n": "there is no table nowhere.none",
        "class": "there is no table pg_class",
        "outbox": "there is no table outbox",
        "s": "the table shop.one is not registered: SELECT pgfanout.add_table('shop.one')",
        "q": "there is no table blog.User",
    }
    # What it says to do helps.
    primary.sql("primary", "select pgfanout.add_table('blog.unregistered')")
    primary.sql("primary", "select pgfanout.drop_table('shop.posts')")
    found = model(primary, "posts", "b=blog.unregistered")
    assert [r["schema"] for r in found["resources"]] == ["blog", "blog"] and "missing" not in found


CHANGES = [
    "alter table t add column added int",
    "alter table t rename column added to renamed",
    "alter table t alter column renamed type bigint",
    "alter table t drop column renamed",
    "alter table t alter column a set default 5",
    "alter table t alter column a drop default",
    "alter table t alter column a set not null",
    "alter table t alter column a drop not null",
    "alter table t alter column a set not null; alter table t alter column a add generated by default as identity",
    "alter table t alter column a set generated always",
    "alter table t alter column a drop identity",
    "alter table t alter column a drop not null",
    "comment on table t is 'x'",
    "comment on table t is null",
    "comment on column t.a is 'x'",
    "comment on column t.a is 'y'",
    "comment on column t.a is null",
    "create index t_a on t (a)",
    "drop index t_a",
    "create unique index t_b on t (b)",
    "alter table t add constraint up foreign key (b) references u",
    "alter table t drop constraint up",
    "alter table t add constraint up foreign key (b) references u not valid",
    "alter table t validate constraint up",
    "alter type mood add value 'new'",
    "alter type mood rename value 'new' to 'newer'",
    "alter type mood rename to moods",
    "alter domain code set default 'x'",
    "create trigger tr before insert on t for each row execute function f()",
    "alter table t disable trigger tr",
    "drop trigger tr on t",
    "create rule r as on delete to t where old.id < 0 do instead nothing",
    "drop rule r on t",
    "alter table t enable row level security",
    "create table part_2 partition of p for values from (10) to (20)",
    "create trigger tr before insert on part_2 for each row execute function f()",
    "alter table p detach partition part_2",
    "insert into t (id) select generate_series(100, 200); analyze t",
    "insert into p select generate_series(0, 9); analyze part_1",
    "alter schema s rename to z",
    "alter schema z rename to s",
    "select pgfanout.drop_table('t')",
    "select pgfanout.add_table('t')",
    "alter table t rename to elsewhere",
    "alter table elsewhere rename to t",
    "alter table u drop constraint u_pkey cascade; alter table u add primary key (id, other)",
    "drop table t",
    "create table t (id int primary key)",
]

NO_CHANGES = [
    "insert into t (id, a) values (1, 1)", "update t set a = 2", "delete from t", "vacuum t", "analyze t",
    "create table unlisted (id int primary key)", "select pgfanout.add_table('unlisted')", "comment on table unlisted is 'x'",
    "create index on unlisted (id)", "drop table unlisted", "create temp table t (id int)", "drop table pg_temp.t",
]


def test_every_change_is_noticed_and_nothing_else(primary):
    primary.psql("primary", """
        create schema s; create type mood as enum ('a'); create domain code as text;
        create function f() returns trigger language plpgsql as $$ begin return new; end $$;
        create table u (id int primary key, other int not null default 1);
        create table t (id int primary key, a int, b int, m mood, ms mood[], c code);
        create table p (id int primary key) partition by range (id); create table part_1 partition of p for values from (0) to (10);
        create table s.x (id int primary key); analyze;
        select pgfanout.add_table(t) from unnest('{t,u,p,s.x}'::text[]) t""")
    names = ("t", "u", "p", "x=s.x", "y=z.x")
    fingerprint, found = look(primary, *names)
    assert len(found["resources"]) == 4
    assert look(primary, *names, was=fingerprint) == (fingerprint, None)
    for statement in NO_CHANGES:
        primary.sql("primary", statement)
        assert look(primary, *names, was=fingerprint) == (fingerprint, None), statement
    for statement in CHANGES:
        for part in statement.split("; "):
            primary.sql("primary", part)
        again, changed = look(primary, *names, was=fingerprint)
        assert again != fingerprint and changed is not None, statement
        assert changed != found or statement in UNSEEN, statement
        assert look(primary, *names, was=again) == (again, None), statement
        fingerprint, found = again, changed


# The sum changes, and what is said stays what it was.
UNSEEN = {"alter table t add constraint up foreign key (b) references u not valid", "alter table t enable row level security", "alter table t disable trigger tr", "create rule r as on delete to t where old.id < 0 do instead nothing",
          "create table part_2 partition of p for values from (10) to (20)", "drop trigger tr on t"}


def test_altered_and_not_noticed_yet(primary):
    """Without event triggers the shape is what it was for a while: the model is that of the shape."""
    primary.psql("primary", """
        drop event trigger pgfanout_altered; drop event trigger pgfanout_dropped;
        create table t (id int primary key, a int default 1, b text); select pgfanout.add_table('t');""")
    before = model(primary, "t")["resources"][0]
    primary.psql("primary", "alter table t rename column a to renamed; alter table t drop column b; alter table t add column c int")
    during = model(primary, "t")["resources"][0]
    assert [c["name"] for c in during["columns"]] == ["id", "a", "b"] and during["shape"] == before["shape"]
    primary.sql("primary", "select pgfanout.refresh('t')")
    after = model(primary, "t")["resources"][0]
    assert [c["name"] for c in after["columns"]] == ["id", "renamed", "c"] and after["shape"] != before["shape"]
    primary.sql("primary", "drop table t")
    assert model(primary, "t")["missing"] == [{"name": "t", "reason": "there is no table t"}]


def test_broken_capture_is_registered_all_the_same(primary):
    primary.psql("primary", "create table t (id int primary key); select pgfanout.add_table('t'); alter table t disable trigger pgfanout_insert")
    assert [r["name"] for r in model(primary, "t")["resources"]] == ["t"]


# ---- readable() ----

def unreadable(stack, db, table, shape):
    """What it says, or None."""
    try:
        assert stack.sql(db, "select pgfanout.readable(%s, %s)", table, shape) == [(True,)]
    except psycopg2.Error as e:
        assert e.pgcode == "PF006", e
        return e.diag.message_primary
    return None


def registered(stack, name="t"):
    return stack.sql("primary", "select id, shape from pgfanout.registered where relation = %s::regclass", name)[0]


def test_readable_on_the_primary(primary):
    primary.psql("primary", "create table t (id int primary key); select pgfanout.add_table('t')")
    table, shape = registered(primary)
    assert unreadable(primary, "primary", table, shape) is None
    assert unreadable(primary, "primary", 1, registered(primary, "products")[1]) is None
    assert unreadable(primary, "primary", table, shape + 1) == f"table {table} has shape {shape}, not {shape + 1}"
    assert unreadable(primary, "primary", table + 9, shape) == f"no table is registered as number {table + 9}"
    primary.sql("primary", "alter table t add column a int")
    assert unreadable(primary, "primary", table, shape) == f"table {table} has shape {shape + 1}, not {shape}"
    assert unreadable(primary, "primary", *registered(primary)) is None
    primary.sql("primary", "select pgfanout.drop_table('t')")
    assert unreadable(primary, "primary", table, shape + 1) == f"no table is registered as number {table}"


def test_readable_on_a_replica(stack):
    stack.psql("primary", "create table t (id int primary key, a int); insert into t values (1, 1)")
    stack.start_api()
    assert unreadable(stack, "replica-1", 1, 1) is None
    add(stack, "t")
    table, shape = registered(stack)
    assert unreadable(stack, "replica-1", table, shape) == f"table {table} is not here"
    stack.start_consumer()
    wait_until(lambda: unreadable(stack, "replica-1", table, shape) is None, 60 * SLOWNESS, "the table to be loaded")
    assert stack.sql("replica-1", "select id, a from t") == [(1, 1)]
    # Another shape: what has not come yet, and what is over.
    assert unreadable(stack, "replica-1", table, shape + 1) == f"table {table} has shape {shape} here, not {shape + 1}"
    stack.sql("primary", "alter table t rename column a to b")
    newer = registered(stack)[1]
    assert newer > shape
    wait_until(lambda: unreadable(stack, "replica-1", table, newer) is None, 60 * SLOWNESS, "the new shape")
    assert unreadable(stack, "replica-1", table, shape) == f"table {table} has shape {newer} here, not {shape}"
    # A shape that cannot be brought.
    stack.sql("replica-1", "create view v as select b from t")
    stack.sql("primary", "alter table t alter column b type text using 'x'")
    latest = registered(stack)[1]
    wait_until(lambda: "could not be brought" in (unreadable(stack, "replica-1", table, newer) or ""), 60 * SLOWNESS, "the shape to wait")
    assert unreadable(stack, "replica-1", table, latest) == f"table {table} has shape {newer} here, not {latest}"
    stack.sql("replica-1", "drop view v")
    wait_until(lambda: unreadable(stack, "replica-1", table, latest) is None, 120 * SLOWNESS, "the shape to be brought")
    wait_equal(stack, "t", ("id", "b"))


@pytest.mark.parametrize("change, reason", [
    ("update pgfanout.tables set due = true where id = %(t)s", "has rows that are yet to be loaded here"),
    ("update pgfanout.tables set dropped = 'sync' where id = %(t)s", "is registered no more"),
    ("update pgfanout.streams set needs_reset = true where stream = (select stream from pgfanout.tables where id = %(t)s)",
     "may lack changes here: the replica needs a reset"),
    ("update pgfanout.shapes set waiting = 'why' where id = %(s)s + 1", "has a newer shape that could not be brought here yet"),
    ("update pgfanout.shapes set pending = true where id = %(s)s + 1", "has a newer shape that could not be brought here yet"),
    ("drop table t", "was dropped here"),
    ("delete from pgfanout.tables where id = %(t)s", "is not here"),
])
def test_what_keeps_a_replica_from_reading(stack, change, reason):
    """As the consumer leaves it behind, one by one. Another table's trouble is its own."""
    stack.psql("replica-1", """
        insert into pgfanout.streams (stream, name, needs_reset) values (2, 'tables', false);
        create table t (id int primary key); create table other (id int primary key);
        insert into pgfanout.shapes (id, description) select n, jsonb_build_object('table', 101, 'name', 't') from generate_series(20, 21) n;
        insert into pgfanout.shapes (id, description) select n, '{"table": 102}' from generate_series(30, 31) n;
        insert into pgfanout.shapes (id, description, waiting) values (19, '{"table": 101}', 'why');
        insert into pgfanout.tables (id, stream, relation, shape) values (101, 2, 't'::regclass, 20), (102, 2, 'other'::regclass, 30)""")
    assert unreadable(stack, "replica-1", 101, 20) is None and unreadable(stack, "replica-1", 102, 30) is None
    stack.sql("replica-1", "update pgfanout.shapes set waiting = 'why', pending = true where id = 31")
    assert unreadable(stack, "replica-1", 102, 30) == "table 102 has a newer shape that could not be brought here yet"
    assert unreadable(stack, "replica-1", 101, 20) is None
    stack.sql("replica-1", change % {"t": 101, "s": 20})
    assert unreadable(stack, "replica-1", 101, 20) == f"table 101 {reason}"
    assert unreadable(stack, "replica-1", 1, 1) is None


def test_anybody_may_ask(stack):
    for db in ("primary", "replica-1"):
        shape = registered(stack, "products")[1] if db == "primary" else 1
        stack.psql(db, "drop role if exists resource_reader; create role resource_reader")
        try:
            stack.sql(db, "set role resource_reader")
            assert unreadable(stack, db, 1, shape) is None and unreadable(stack, db, 1, shape + 5) is not None
        finally:
            stack.sql(db, "reset role")
            stack.sql(db, "drop role resource_reader")
