"""Hostile requests against resources: each gets a clear answer, tells nothing of the database, and changes nothing.

One row a request: method, path, body, the exact status, the value of "field" (None: no field), a word that the error
must contain. A path is sent as it stands.
"""
import base64
import http.client
import itertools
import json
import os
import re
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import quote

import pytest
from conftest import SLOWNESS, wait_until
from test_resources import register, wait_gone, wait_known, wait_loaded, wait_there

JSON = "application/json"
CONTROL = re.compile("[\x00-\x1f\x7f-\x9f]")
# Words that only the database itself, or its catalog, would say.
INTERNALS = re.compile(r"violates|constraint|relation|pgfanout\.|pg_|SELECT|INSERT|UPDATE |syntax|neighbour|secret"
                       r"|_key\b|_fkey|_check|_excl|_pkey|trigger_|ck_|DETAIL|HINT|\bper\b \"")
ODD = 'odd"; DROP TABLE users;--'

SCHEMA = r"""
    CREATE TYPE mood AS ENUM ('sad', 'very glad', '{a,"b"}');
    CREATE TABLE users (id serial PRIMARY KEY, name text NOT NULL, email text UNIQUE,
        bio text CONSTRAINT ck_both CHECK (bio <> 'never'));
    CREATE TABLE posts (id serial PRIMARY KEY, title text NOT NULL, "userId" integer NOT NULL CONSTRAINT ck_both REFERENCES users,
        editor_id integer REFERENCES users, at timestamptz NOT NULL DEFAULT now());
    CREATE INDEX ON posts ("userId"); CREATE INDEX ON posts (title text_pattern_ops); CREATE INDEX ON posts (at);
    CREATE TABLE comments (id serial PRIMARY KEY, body text NOT NULL, "postId" integer NOT NULL REFERENCES posts);
    CREATE INDEX ON comments ("postId");
    CREATE TABLE pairs (a text, b integer, v text, PRIMARY KEY (a, b));
    CREATE TABLE texts (id text PRIMARY KEY, v text);
    CREATE TABLE uuids (id uuid PRIMARY KEY, v text);
    CREATE TABLE kinds (id bigint PRIMARY KEY, small smallint, whole integer, num numeric(6,2), double double precision,
        flag boolean NOT NULL DEFAULT false, short varchar(5), fixed char(3), day date, at timestamptz, doc jsonb, raw json,
        feel mood, nums integer[], tiny smallint[], feels mood[], labels varchar(3)[], gen integer GENERATED ALWAYS AS (whole * 2) STORED,
        u uuid, bytes bytea, span int4range, addr inet);
    CREATE INDEX ON kinds (small); CREATE INDEX ON kinds (at); CREATE INDEX ON kinds (feel); CREATE INDEX ON kinds (u);
    CREATE TABLE always (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, v text);
    CREATE TABLE rooms (id integer PRIMARY KEY, seats integer NOT NULL CONSTRAINT ck_secret_seats CHECK (seats > 0), floor integer,
        span int4range, EXCLUDE USING gist (span WITH &&), CONSTRAINT ck_both CHECK (floor < seats));
    CREATE TABLE deferred (id integer PRIMARY KEY, v integer UNIQUE DEFERRABLE INITIALLY DEFERRED,
        "userId" integer REFERENCES users DEFERRABLE INITIALLY DEFERRED);
    CREATE TABLE audit (id serial PRIMARY KEY, audit_secret text NOT NULL, v text UNIQUE);
    CREATE TABLE ledger (v text NOT NULL CONSTRAINT ck_same CHECK (v <> 'ledger of ck_same'));
    CREATE TABLE watched (id integer PRIMARY KEY, v text CONSTRAINT ck_same CHECK (v <> 'same'));
    CREATE TABLE parted (id integer PRIMARY KEY, v text NOT NULL, n integer CONSTRAINT ck_n CHECK (n > 0)) PARTITION BY RANGE (id);
    CREATE TABLE parted_1 PARTITION OF parted FOR VALUES FROM (0) TO (1000);
    CREATE FUNCTION trigger_watch() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        IF coalesce(NEW.v, OLD.v) = 'drop' THEN RETURN NULL; END IF;
        IF NEW.v = 'audit' THEN INSERT INTO audit (audit_secret) VALUES (NULL); END IF;
        IF NEW.v = 'audit twice' THEN INSERT INTO audit (audit_secret, v) VALUES ('a', 'a'), ('b', 'a'); END IF;
        IF NEW.v = 'ledger' THEN INSERT INTO ledger VALUES (NULL); END IF;
        IF NEW.v ~ '^ledger of' THEN INSERT INTO ledger VALUES (NEW.v); END IF;
        IF NEW.v = 'slow' THEN PERFORM pg_sleep(3); END IF;
        IF NEW.v ~ '^raise' THEN RAISE EXCEPTION 'secret of "neighbour" for "%%"', NEW.v
            USING ERRCODE = substr(NEW.v, 7), DETAIL = 'secret', HINT = 'secret'; END IF;
        IF NEW.v = 'missing table' THEN PERFORM * FROM no_such_secret; END IF;
        IF TG_OP = 'DELETE' THEN RETURN OLD; END IF; RETURN NEW; END $$;
    CREATE TRIGGER trigger_watch BEFORE INSERT OR UPDATE OR DELETE ON watched FOR EACH ROW EXECUTE FUNCTION trigger_watch();
    CREATE TRIGGER trigger_watch BEFORE INSERT OR UPDATE OR DELETE ON parted FOR EACH ROW EXECUTE FUNCTION trigger_watch();
    CREATE TABLE "{odd}" (id integer PRIMARY KEY, "a""b" text, "a\b" text, "$1" text, "it's" text, "%%s" text, "limit" text,
        "column.limit" text, "é" text, "a,b" text, "-c" text, "k1" text, "number" text, "w" text, "row" text, "<script>" text);
    CREATE INDEX ON "{odd}" ("a""b"); CREATE INDEX ON "{odd}" ("a\b"); CREATE INDEX ON "{odd}" ("$1"); CREATE INDEX ON "{odd}" ("it's");
    CREATE INDEX ON "{odd}" ("limit"); CREATE INDEX ON "{odd}" ("column.limit"); CREATE INDEX ON "{odd}" ("é"); CREATE INDEX ON "{odd}" ("a,b");
    CREATE INDEX ON "{odd}" ("-c"); CREATE INDEX ON "{odd}" ("%%s");
    CREATE TABLE hidden (id integer PRIMARY KEY, v text);

    INSERT INTO users (name, email, bio) VALUES ('Ada', 'ada@example.org', 'x'), ('Grace', 'grace@example.org', NULL),
        ('"; DROP TABLE users; --', '$1', E'\\'';--');
    INSERT INTO posts (title, "userId", editor_id) SELECT 'Post ' || n, 1 + n %% 2, 3 FROM generate_series(1, 120) n;
    INSERT INTO comments (body, "postId") SELECT 'Comment ' || n, 1 FROM generate_series(1, 1000) n;
    INSERT INTO pairs VALUES ('x,y/z', 7, 'one'), ('', -1, 'two'), ('%%2C', 0, 'three');
    INSERT INTO texts VALUES ('..', 'dots'), ('a/b,c', 'signs'), ('$1''"\', 'quotes'), ('ä☃', 'far'), ('import', 'word');
    INSERT INTO uuids VALUES ('6ba7b810-9dad-11d1-80b4-00c04fd430c8', 'u');
    INSERT INTO kinds (id, small, whole, at, doc, feel) VALUES (1, 1, 1, '2026-01-31 12:00:00Z', 'null', 'sad');
    INSERT INTO always (v) VALUES ('one');
    INSERT INTO rooms VALUES (1, 5, 1, '[1,5)');
    INSERT INTO deferred VALUES (1, 1, 1);
    INSERT INTO watched VALUES (1, 'kept'), (2, 'drop');
    INSERT INTO "{odd}" (id, "a""b", "a\b", "$1", "it's") VALUES (1, '"', '\', '$1', '''); DROP TABLE users; --');
    INSERT INTO hidden VALUES (1, 'secret of the neighbour');
""".replace("{odd}", ODD.replace('"', '""')).replace("%%", "%")
TABLES = ("users", "posts", "comments", "pairs", "texts", "uuids", "kinds", "always", "rooms", "deferred", "watched", "parted", ODD, "hidden")
RESOURCES = ("users+posts!userId, posts+users!userId, comments, pairs, texts, uuids, kinds, always, rooms, deferred, watched, parted, odd=" + ODD)


def tables_are(stack):
    return [stack.sql("primary", f'select count(*), md5(string_agg(t::text, e\'\\n\' order by t::text)) from "{name}" t')
            for name in (*(t.replace('"', '""') for t in TABLES), "audit")]


@pytest.fixture(scope="module")
def running(module_stack):
    stack = module_stack
    stack.psql("primary", SCHEMA)
    stack.start_consumer()
    register(stack, *(f'"{t}"'.replace(ODD, ODD.replace('"', '""')) for t in TABLES))
    stack.start_api(RESOURCES=RESOURCES, WORKERS=1)
    wait_loaded(stack, *TABLES[:-2])
    wait_known(stack, "/api/users?limit=1")
    wait_there(stack, "texts", "id = 'import'")
    wait_there(stack, "users", "id = 3")
    stack.before = tables_are(stack)
    stack.pid = stack.apis[0].pid
    return stack


def raw(stack, method, path, headers, data, base=0):
    """One request with exactly these headers; (status, headers, text)."""
    if isinstance(data, str):
        data = data.encode()
    conn = http.client.HTTPConnection(stack.env["HOST"], int(stack.apis[base].base.rsplit(":", 1)[1]), timeout=30 * SLOWNESS)
    try:
        conn.putrequest(method, path, skip_accept_encoding=True, skip_host="Host" in headers)
        for name, value in headers.items():
            conn.putheader(name, value)
        if data is not None and "Content-Length" not in headers and "Transfer-Encoding" not in headers:
            conn.putheader("Content-Length", str(len(data)))
        conn.endheaders(data)
        answer = conn.getresponse()
        return answer.status, answer.headers, answer.read().decode()
    finally:
        conn.close()


def cursor(values):
    return base64.urlsafe_b64encode(values.encode() if isinstance(values, str) else values).decode().rstrip("=")


def row(**more):
    return json.dumps({"id": 900, **more})


UNKNOWN = "is no column of"
U = "6ba7b810-9dad-11d1-80b4-00c04fd430c8"
USER = '{"name":"x","email":"new@example.org"}'
KIND = "/api/kinds"

# What follows is GET where only path, status, field and word are given.
QUERIES = {
    "injection": [
        ("/api/users?name';DROP TABLE users;--=eq.1".replace(" ", "%20"), 400, "name';DROP TABLE users;--", UNKNOWN),
        ("/api/users?%22id%22=eq.1", 400, '"id"', UNKNOWN),
        ("/api/users?id=eq.1%20OR%201=1", 400, "id", "whole number"),
        ("/api/users?id=eq.1;DROP%20TABLE%20users", 400, "id", "whole number"),
        ("/api/users?id=eq.1::text", 400, "id", "whole number"),
        ("/api/users?id=eq.(select%201)", 400, "id", "whole number"),
        ("/api/users?id=in.(1);DROP%20TABLE%20users", 400, "id", "brackets"),
        ("/api/users?id=in.(1,2));--", 400, "id", "brackets"),
        ("/api/users?id=in.(select)", 400, "id", "whole number"),
        ("/api/users?id=in.(1,%222);DROP TABLE users;--%22)".replace(" ", "%20"), 400, "id", "whole number"),
        ("/api/users?id=eq'1.1", 400, "id", "operators"),
        ("/api/users?id=eq", 400, "id", "operators"),
        ("/api/users?id=%3D.1", 400, "id", "operators"),
        ("/api/users?id=EQ.1", 400, "id", "operators"),
        ("/api/users?id=not.eq.1", 400, "id", "operators"),
        ("/api/users?id=is.NULL;--", 400, "id", "operators"),
        ("/api/users?id=is.nulL", 400, "id", "operators"),
        ("/api/users?or=(id.eq.1,id.eq.2)", 400, "or", UNKNOWN),
        ("/api/users?id->>x=eq.1", 400, "id->>x", UNKNOWN),
        ("/api/users?id::text=eq.1", 400, "id::text", UNKNOWN),
        ("/api/users?ctid=eq.(0,1)", 400, "ctid", UNKNOWN),
        ("/api/users?xmin=gt.0", 400, "xmin", UNKNOWN),
        ("/api/users?tableoid=eq.1", 400, "tableoid", UNKNOWN),
        ("/api/users?column.=eq.1", 400, "column.", UNKNOWN),
        ("/api/users?column.column.id=eq.1", 400, "column.column.id", UNKNOWN),
        ("/api/users?column.limit=eq.1", 400, "column.limit", UNKNOWN),
        ("/api/users?public.users.id=eq.1", 400, "public.users.id", UNKNOWN),
        ("/api/users?name=like.%25'%20OR%20''='", 400, "name", "index"),
        ("/api/users?order=id;DROP%20TABLE%20users", 400, "order", "no column"),
        ("/api/users?order=id%20desc", 400, "order", "no column"),
        ("/api/users?order=id.desc", 400, "order", "no column"),
        ("/api/users?order=1", 400, "order", "no column"),
        ("/api/users?order=(select%201)", 400, "order", "no column"),
        ("/api/users?order=%22id%22%20desc", 400, "order", "quotes"),
        ("/api/users?order=--id", 400, "order", "no column"),
        ("/api/users?select=*", 400, "select", "no column"),
        ("/api/users?select=id,count(*)", 400, "select", "no column"),
        ("/api/users?select=id)%20from%20shadow--", 400, "select", "no column"),
        ("/api/users?select=id::text", 400, "select", "no column"),
        ("/api/users?select=xmin", 400, "select", "no column"),
        ("/api/users?embed=pgclass", 400, "embed", "no foreign key"),
        ("/api/users?embed=posts;DROP%20TABLE%20users", 400, "embed", "no foreign key"),
        ("/api/users?embed=posts!userId'--", 400, "embed", "no foreign key"),
        ("/api/users?embed=hidden", 400, "embed", "no foreign key"),
        ("/api/users?embed=audit", 400, "embed", "no foreign key"),
        ("/api/users?limit=1;DROP%20TABLE%20users", 400, "limit", "1000"),
        ("/api/users?limit=1%20OFFSET%201", 400, "limit", "1000"),
        ("/api/users?offset=1", 400, "offset", UNKNOWN),
        ("/api/users?count=exact;--", 400, "count", "exact or estimated"),
        ("/api/users?limit=1&cursor=" + cursor('["1 OR 1=1"]'), 400, "cursor", ""),
        ("/api/users?limit=1&cursor=" + cursor('["1);--"]'), 400, "cursor", ""),
        ("/api/users/1%20OR%201=1", 400, "id", "whole number"),
        ("/api/users/1;DROP%20TABLE%20users", 400, "id", "whole number"),
        ("/api/users/'1'", 400, "id", "whole number"),
        ("/api/users/$1", 400, "id", "whole number"),
        ("/api/users/NULL", 400, "id", "whole number"),
        ("/api/users/1/posts!userId';--", 404, None, "foreign key"),
        ("/api/users/1%20OR%201=1/posts!userId", 400, "id", "whole number"),
    ],
    "parameters": [
        ("/api/users?limit=0", 400, "limit", "1000"),
        ("/api/users?limit=1001", 400, "limit", "1000"),
        ("/api/users?limit=-1", 400, "limit", "1000"),
        ("/api/users?limit=%2B1", 400, "limit", "1000"),
        ("/api/users?limit=01", 400, "limit", "1000"),
        ("/api/users?limit=1e2", 400, "limit", "1000"),
        ("/api/users?limit=1.0", 400, "limit", "1000"),
        ("/api/users?limit=%D9%A1", 400, "limit", "1000"),
        ("/api/users?limit=99999999999999999999", 400, "limit", "1000"),
        ("/api/users?limit=", 400, "limit", "no value"),
        ("/api/users?limit", 400, "limit", "no value"),
        ("/api/users?=1", 400, None, "no name"),
        ("/api/users?limit=1&limit=1", 400, "limit", "more than once"),
        ("/api/users?limit=1&%6Cimit=1", 400, "limit", "more than once"),
        ("/api/users?order=id&order=id", 400, "order", "more than once"),
        ("/api/users?select=id&select=name", 400, "select", "more than once"),
        ("/api/users?embed=posts!userId&embed=posts!userId", 400, "embed", "more than once"),
        ("/api/users?count=exact&count=exact", 400, "count", "more than once"),
        ("/api/users?cursor=x&cursor=x", 400, "cursor", "more than once"),
        ("/api/users?select=id,id", 400, "select", "twice"),
        ("/api/users?order=id,-id", 400, "order", "twice"),
        ("/api/users?select=id,", 400, "select", "names of columns"),
        ("/api/users?select=,", 400, "select", "names of columns"),
        ("/api/users?order=,id", 400, "order", "names of columns"),
        ("/api/users?order=-", 400, "order", "names of columns"),
        ('/api/users?select=%22id', 400, "select", "quotes"),
        ('/api/users?select=%22id%22x', 400, "select", "quotes"),
        ("/api/users?LIMIT=1", 400, "LIMIT", UNKNOWN),
        ("/api/users?page=1", 400, "page", UNKNOWN),
        ("/api/users?" + "&".join(["id=gt.0"] * 17), 400, "id", "16 filters"),
        ("/api/users?" + "&".join(["id=gt.0"] * 70), 400, None, "too many"),
        ("/api/users?id=in.(" + ",".join(["1"] * 101) + ")", 400, "id", "100 values"),
        ("/api/users?id=in.()", 400, "id", "brackets"),
        ("/api/users?id=in.(,)", 400, "id", "empty value"),
        ("/api/users?id=in.(1,)", 400, "id", "empty value"),
        ('/api/users?email=in.(%22a%22b)', 400, "email", "quotes"),
        ("/api/users?email=eq." + "x" * 5000, 400, "email", "4096"),
        ("/api/users?email=in.(" + ",".join(["x" * 500] * 10) + ")", 400, "email", "4096"),
        ("/api/users?" + "x" * 5000 + "=eq.1", 400, "x" * 63, "4096"),
        ("/api/users?order=" + ",".join(["id"] * 100), 400, "order", "twice"),
        ("/api/users?order=" + "x" * 4000, 400, "order", "no column"),
        ("/api/users?embed=" + "posts!userId.users!userId." * 1 + "posts!userId.users!userId", 400, "embed", "deeper than 3"),
        ("/api/users?embed=" + "a." * 2000 + "a", 400, "embed", "no foreign key"),
        ("/api/users?embed=.", 400, "embed", "names of resources"),
        ("/api/users?embed=posts!", 400, "embed", "names of resources"),
        ("/api/users?embed=!userId", 400, "embed", "names of resources"),
        ("/api/users?embed=posts", 400, "embed", "ambiguous"),
        ("/api/posts?embed=users", 400, "embed", "ambiguous"),
        ("/api/comments?embed=posts.users!userId.posts!userId.comments", 400, "embed", "deeper than 3"),
        ("/api/users/1?limit=1", 400, "limit", "one row"),
        ("/api/users/1?id=eq.1", 400, "id", "one row"),
        ("/api/users/1?order=id", 400, "order", "one row"),
        ("/api/users/1?cursor=x", 400, "cursor", "one row"),
        ("/api/users/1?count=exact", 400, "count", "one row"),
        ("/api/users/1?nope=eq.1", 400, "nope", "one row"),
        ("/api/users/1?select=nope", 400, "select", "no column"),
        ("/api/users/1?embed=nope", 400, "embed", "no foreign key"),
        ("/api/users?name=eq.Ada", 400, "name", "index"),
        ("/api/users?order=name", 400, "order", "index"),
        ("/api/kinds?doc=eq.1", 400, "doc", "cannot be compared"),
        ("/api/kinds?nums=gt.%7B1%7D", 400, "nums", "cannot be compared"),
        ("/api/kinds?order=doc", 400, "order", "no order"),
        ("/api/kinds?order=bytes", 400, "order", "no order"),
        ("/api/kinds?small=like.1%25", 400, "small", "no text"),
        ("/api/kinds?feel=like.s%25", 400, "feel", "no text"),
        ("/api/kinds?small=is.true", 400, "small", "no boolean"),
        ("/api/posts?title=like.a%5C", 400, "title", "escapes nothing"),
    ],
    "bytes": [
        ("/api/users?%00=eq.1", 400, "%00", "NUL"),
        ("/api/users?id%00=eq.1", 400, "id%00", "NUL"),
        ("/api/users?email=eq.%00", 400, "email", "NUL"),
        ("/api/users?email=eq.a%00b", 400, "email", "NUL"),
        ("/api/users?email=eq.%FF", 400, "email", "UTF-8"),
        ("/api/users?email=eq.%C0%AF", 400, "email", "UTF-8"),
        ("/api/users?email=eq.%ED%A0%80", 400, "email", "UTF-8"),
        ("/api/users?email=eq.%F4%90%80%80", 400, "email", "UTF-8"),
        ("/api/users?email=eq.%C3", 400, "email", "UTF-8"),
        ("/api/users?email=eq.%", 400, "email", "hexadecimal"),
        ("/api/users?email=eq.%4", 400, "email", "hexadecimal"),
        ("/api/users?email=eq.%4g", 400, "email", "hexadecimal"),
        ("/api/users?email=eq.%%341", 400, "email", "hexadecimal"),
        ("/api/users?email=eq.%u0041", 400, "email", "hexadecimal"),
        ("/api/users?%=eq.1", 400, "%", "hexadecimal"),
        ("/api/users?%FF=eq.1", 400, "%FF", "UTF-8"),
        ("/api/users?%1B[2J=eq.1", 400, " [2J", UNKNOWN),
        ("/api/users?%C2%9B=eq.1", 400, " ", UNKNOWN),
        ("/api/users?%E2%80%AEdi=eq.1", 400, " di", UNKNOWN),
        ("/api/users?order=%0Aid", 400, "order", "no column"),
        ("/api/users?embed=%1B[2J", 400, "embed", "no foreign key"),
        ("/api/users/%00", 400, "id", "NUL"),
        ("/api/users/1%00", 400, "id", "NUL"),
        ("/api/users/%FF", 400, "id", "UTF-8"),
        ("/api/users/%", 400, "id", "hexadecimal"),
        ("/api/users/%31", 200, None, None),
        ("/api/users/+1", 400, "id", "whole number"),
        ("/api/users/%201", 400, "id", "whole number"),
        ("/api/users/%D9%A1", 400, "id", "whole number"),
        ("/api/texts/" + "x" * 4097, 400, "id", "4096"),
        ("/api/texts/" + "%78" * 4097, 414, None, "too long"),
        ("/api/texts/" + "x" * 4096, 404, None, "no row"),
    ],
    "values": [
        (KIND + "?id=eq.9223372036854775808", 400, "id", "whole number"),
        (KIND + "?id=eq.-9223372036854775809", 400, "id", "whole number"),
        (KIND + "?id=eq." + "9" * 4000, 400, "id", "whole number"),
        (KIND + "?id=eq.1.0", 400, "id", "whole number"),
        (KIND + "?id=eq.0x1", 400, "id", "whole number"),
        (KIND + "?id=eq.1e1", 400, "id", "whole number"),
        (KIND + "?small=eq.32768", 400, "small", "32767"),
        (KIND + "?small=lt.-32769", 400, "small", "32767"),
        ("/api/users?id=eq.2147483648", 400, "id", "2147483647"),
        ("/api/users/2147483648", 400, "id", "2147483647"),
        ("/api/users/-2147483649", 400, "id", "2147483647"),
        (KIND + "/9223372036854775808", 400, "id", "whole number"),
        (KIND + "?at=eq.no-time", 400, "at", "type"),
        (KIND + "?at=eq.2026-13-01T00:00:00Z", 400, "at", "type"),
        (KIND + "?at=eq.300000-01-01", 400, "at", "type"),
        (KIND + "?at=gt.'", 400, "at", "type"),
        (KIND + "?feel=eq.nope", 400, "feel", "type"),
        (KIND + "?feel=in.(sad,nope)", 400, "feel", "type"),
        (KIND + "?u=eq.1", 400, "u", "UUID"),
        (KIND + "?u=eq.%7B" + U + "%7D", 400, "u", "UUID"),
        (KIND + "?u=eq." + U.replace("-", ""), 400, "u", "UUID"),
        ("/api/uuids/" + U + "0", 400, "id", "UUID"),
        ("/api/uuids/" + U.replace("-", ""), 400, "id", "UUID"),
        ("/api/uuids/%20" + U, 400, "id", "UUID"),
        ("/api/pairs/1", 400, None, "2 values"),
        ("/api/pairs/1,2,3", 400, None, "2 values"),
        ("/api/pairs/,", 400, "b", "whole number"),
        ("/api/pairs/x%2Cy%2Fz%2C7", 400, None, "2 values"),
        ("/api/pairs/7,x", 400, "b", "whole number"),
        ("/api/pairs/x,7,", 400, None, "2 values"),
        ("/api/pairs/x,", 400, "b", "whole number"),
        ("/api/pairs/x,%37%20", 400, "b", "whole number"),
        ("/api/users/1,2", 400, "id", "whole number"),
        ("/api/users/,1", 400, "id", "whole number"),
        ("/api/users/1,", 400, "id", "whole number"),
    ],
    "cursors": [
        ("/api/users?limit=1&cursor=!!", 400, "cursor", "earlier page"),
        ("/api/users?limit=1&cursor=AAAA", 400, "cursor", "earlier page"),
        ("/api/users?limit=1&cursor=A", 400, "cursor", "earlier page"),
        ("/api/users?limit=1&cursor=WyIxIl0=", 400, "cursor", "earlier page"),
        ("/api/users?limit=1&cursor=WyIxIl1", 400, "cursor", "earlier page"),
        ("/api/users?limit=1&cursor=" + cursor("[]"), 400, "cursor", "earlier page"),
        ("/api/users?limit=1&cursor=" + cursor("{}"), 400, "cursor", "earlier page"),
        ("/api/users?limit=1&cursor=" + cursor("null"), 400, "cursor", "earlier page"),
        ("/api/users?limit=1&cursor=" + cursor("[1]"), 400, "cursor", "earlier page"),
        ("/api/users?limit=1&cursor=" + cursor("[null]"), 400, "cursor", "earlier page"),
        ("/api/users?limit=1&cursor=" + cursor('["x"]'), 400, "cursor", "earlier page"),
        ("/api/users?limit=1&cursor=" + cursor('["1","2"]'), 400, "cursor", "earlier page"),
        ("/api/users?limit=1&cursor=" + cursor('[["1"]]'), 400, "cursor", "earlier page"),
        ("/api/users?limit=1&cursor=" + cursor("[" * 2000), 400, "cursor", "earlier page"),
        ("/api/users?limit=1&cursor=" + cursor('["1"]x'), 400, "cursor", "earlier page"),
        ("/api/users?limit=1&cursor=" + cursor('["1\\u0000"]'), 400, "cursor", "earlier page"),
        ("/api/users?limit=1&cursor=" + cursor(b'["\xff"]'), 400, "cursor", "earlier page"),
        ("/api/users?limit=1&cursor=" + cursor('["2147483648"]'), 400, "cursor", "earlier page"),
        ("/api/users?limit=1&cursor=" + "A" * 5000, 400, "cursor", "4096"),
        ("/api/users?order=-id&limit=1&cursor=" + cursor('["a","1"]'), 400, "cursor", "earlier page"),
        ("/api/pairs?limit=1&cursor=" + cursor('["1"]'), 400, "cursor", "earlier page"),
        ("/api/kinds?order=at&limit=1&cursor=" + cursor('["never","1"]'), 400, "at", "type"),
        ("/api/kinds?order=at&limit=1&cursor=" + cursor('["now","x"]'), 400, "cursor", "earlier page"),
        ("/api/kinds?order=feel&limit=1&cursor=" + cursor('["nope","1"]'), 400, "feel", "type"),
        ("/api/uuids?limit=1&cursor=" + cursor('["1"]'), 400, "cursor", "earlier page"),
        ("/api/users/1/posts!userId?limit=1&cursor=" + cursor('["1","2"]'), 400, "cursor", "earlier page"),
    ],
    "paths": [
        ("/api/hidden", 404, None, "nothing under this path"),
        ("/api/audit", 404, None, "nothing under this path"),
        ("/api/pgfanout.outbox", 404, None, "nothing under this path"),
        ("/api/Users", 404, None, "nothing under this path"),
        ("/api/users%00", 404, None, "nothing under this path"),
        ("/api/%75sers", 404, None, "nothing under this path"),
        ("/api/users/", 404, None, "nothing under this path"),
        ("/api//users", 404, None, "nothing under this path"),
        ("/api/users//posts", 404, None, "nothing under this path"),
        ("/api/users/1/", 404, None, "nothing under this path"),
        ("/api/users/1/hidden", 404, None, "nothing under this path"),
        ("/api/users/1/posts/", 404, None, "nothing under this path"),
        ("/api/users/1/posts/1", 404, None, "nothing under this path"),
        ("/api/users/1/posts/1/comments", 404, None, "nothing under this path"),
        ("/api/users/1/posts", 404, None, "more than one"),
        ("/api/users/1/posts!nope", 404, None, "foreign key"),
        ("/api/users/1/posts!", 404, None, "foreign key"),
        ("/api/users/1/posts!%75ser%49d", 200, None, None),
        ("/api/users/1/posts!userId%", 404, None, "foreign key"),
        ("/api/users/1/posts!user%4gd", 404, None, "foreign key"),
        ("/api/users/1/posts!userId%00", 404, None, "foreign key"),
        ("/api/users/1/posts!%FF", 404, None, "foreign key"),
        ("/api/users/1/comments", 404, None, "foreign key"),
        ("/api/comments/1/posts", 404, None, "foreign key"),
        ("/api/users!userId", 404, None, "nothing under this path"),
        ("/api/users/../hidden", 404, None, "nothing under this path"),
        ("/api/users/..", 400, "id", "whole number"),
        ("/api/users/%2e%2e%2fhidden", 400, "id", "whole number"),
        ("/api/;DROP", 404, None, "nothing under this path"),
        ("/API/users", 404, None, "nothing under this path"),
        ("/users", 404, None, "nothing under this path"),
        ("/api/odd/1/odd", 404, None, "foreign key"),
        ("/api/" + "x" * 3000, 404, None, "nothing under this path"),
        ("/api/users/999999", 404, None, "no row"),
        ("/api/uuids/00000000-0000-0000-0000-000000000000", 404, None, "no row"),
    ],
}
J = {"Content-Type": JSON}
WRITES = {
    "methods": [
        ("DELETE", "/api/users", None, 405, None, ""),
        ("PUT", "/api/users", USER, 405, None, ""),
        ("PATCH", "/api/users", USER, 405, None, ""),
        ("POST", "/api/users/1", USER, 405, None, ""),
        ("POST", "/api/users/1/posts!userId", USER, 405, None, ""),
        ("DELETE", "/api/users/1/posts!userId", None, 405, None, ""),
        ("OPTIONS", "/api/users", None, 405, None, ""),
        ("TRACE", "/api/users", None, 405, None, ""),
        ("BREW", "/api/users/1", None, 405, None, ""),
        ("get", "/api/users", None, 405, None, ""),
        ("POST", "/api/hidden", USER, 404, None, ""),
        ("DELETE", "/api/users/x", None, 400, "id", "whole number"),
        ("PATCH", "/api/users/x", USER, 400, "id", "whole number"),
        ("PUT", "/api/users/x", USER, 400, "id", "whole number"),
        ("DELETE", "/api/users/999", None, 404, None, "no row"),
        ("PATCH", "/api/users/999", '{"name":"x"}', 404, None, "no row"),
        ("DELETE", "/api/pairs/1", None, 400, None, "2 values"),
        ("PUT", "/api/pairs/1,2,3", '{"v":"x"}', 400, None, "2 values"),
        ("POST", "/api/users?select=id", USER, 400, "select", ""),
        ("DELETE", "/api/users/1?id=eq.2", None, 400, "id", ""),
        ("PATCH", "/api/users/1?id=eq.2", USER, 400, "id", ""),
    ],
    "heads": [
        ("POST", "/api/users", ({}, USER), 415, None, "application/json"),
        ("POST", "/api/users", ({"Content-Type": "text/plain"}, USER), 415, None, "application/json"),
        ("POST", "/api/users", ({"Content-Type": "application/x-www-form-urlencoded"}, "name=a"), 415, None, "application/json"),
        ("POST", "/api/users", ({"Content-Type": "application/json; charset=utf-16"}, USER.encode("utf-16")), 415, None, ""),
        ("PUT", "/api/users/1", ({"Content-Type": "application/merge-patch+json"}, USER), 415, None, "application/json"),
        ("PATCH", "/api/users/1", ({"Content-Type": "application/x-ndjson"}, USER), 415, None, "application/json"),
        ("POST", "/api/users", ({**J, "Content-Encoding": "gzip"}, b"\x1f\x8b\x08\x00"), 415, None, "uncompressed"),
        ("PATCH", "/api/users/1", ({**J, "Content-Encoding": "identity, br"}, USER), 415, None, "uncompressed"),
        ("POST", "/api/users", ({**J, "Transfer-Encoding": "gzip, chunked"}, "0\r\n\r\n"), 501, None, ""),
        ("PUT", "/api/users/1", ({**J, "If-Match": '"1"'}, USER), 412, None, "nothing was changed"),
        ("PUT", "/api/users/1", ({**J, "If-None-Match": "*"}, USER), 412, None, "nothing was changed"),
        ("PATCH", "/api/users/1", ({**J, "If-Unmodified-Since": "Sat, 29 Oct 1994 19:43:31 GMT"}, USER), 412, None, "nothing was changed"),
        ("DELETE", "/api/users/1", ({"If-Match": "*"}, None), 412, None, "nothing was changed"),
        ("PUT", "/api/users/1", ({**J, "Content-Range": "bytes 0-9/100"}, USER), 400, None, "Content-Range"),
        ("POST", "/api/users", ({**J, "Host": "evil.example"}, USER), 421, None, "ALLOWED_HOSTS"),
        ("GET", "/api/users", ({"Host": "evil.example"}, None), 421, None, "ALLOWED_HOSTS"),
        ("POST", "/api/users", (J, " " * 70000 + USER), 413, None, ""),
        ("POST", "/api/users", ({**J, "Content-Length": "99999999999999999999"}, ""), 400, None, ""),
        ("POST", "/api/users", ({**J, "Expect": "200-ok"}, USER), 417, None, ""),
    ],
    "bodies": [
        ("POST", "/api/users", "", 400, None, "JSON"),
        ("POST", "/api/users", "  ", 400, None, "JSON"),
        ("POST", "/api/users", "{", 400, None, "JSON"),
        ("POST", "/api/users", "[]", 400, None, "object"),
        ("POST", "/api/users", f"[{USER}]", 400, None, "object"),
        ("POST", "/api/users", "null", 400, None, "object"),
        ("POST", "/api/users", '"x"', 400, None, "object"),
        ("POST", "/api/users", "1", 400, None, "object"),
        ("POST", "/api/users", USER + USER, 400, None, "JSON"),
        ("POST", "/api/users", USER[:-1] + ",}", 400, None, "JSON"),
        ("POST", "/api/users", '{"name":NaN}', 400, None, "JSON"),
        ("POST", "/api/users", "[" * 30000, 400, None, "JSON"),
        ("POST", "/api/users", '{"a":' * 10000, 400, None, "JSON"),
        ("POST", "/api/users", b'{"name":"\xff"}', 400, None, "JSON"),
        ("POST", "/api/users", b'{"name":"\xed\xa0\x80"}', 400, None, "JSON"),
        ("POST", "/api/users", '{"name":"\\ud800"}', 400, None, "JSON"),
        ("POST", "/api/users", '{"name":"\\udc00\\ud800"}', 400, None, "JSON"),
        ("POST", "/api/users", '{"name":"a\\u0000b"}', 400, None, "JSON"),
        ("POST", "/api/users", '{"na\\u0000me":"a"}', 400, None, "JSON"),
        ("POST", "/api/users", '{"name":"a\nb"}', 400, None, "JSON"),
        ("POST", "/api/users", b"\xef\xbb\xbf" + USER.encode(), 400, None, "JSON"),
        ("POST", "/api/users", '{"name":"a","name":"b"}', 400, "name", "twice"),
        ("POST", "/api/users", '{"name":"a","n\\u0061me":"b"}', 400, "name", "twice"),
        ("POST", "/api/users", '{"name":"a","nope":1}', 422, "nope", "no column"),
        ("POST", "/api/users", '{"Name":"a"}', 422, "Name", "no column"),
        ("POST", "/api/users", '{"":"a"}', 422, None, "no column"),
        ("POST", "/api/users", '{"name\\"":"a"}', 422, 'name"', "no column"),
        ("POST", "/api/users", '{"name\\"; DROP TABLE users; --":"a"}', 422, 'name"; DROP TABLE users; --', "no column"),
        ("POST", "/api/users", '{"\\u001b[2J":"a"}', 422, " [2J", "no column"),
        ("POST", "/api/users", json.dumps({"x" * 60000: 1}), 422, "x" * 63, "no column"),
        ("POST", "/api/users", json.dumps({"ä" * 100: 1}, ensure_ascii=False), 422, "ä" * 31, "no column"),
        ("POST", "/api/users", '{"ctid":"(0,1)"}', 422, "ctid", "no column"),
        ("POST", "/api/users", '{"posts":[]}', 422, "posts", "no column"),
        ("POST", "/api/users", "{}", 422, "name", "missing"),
        ("POST", "/api/users", '{"name":null}', 422, "name", "missing"),
        ("PUT", "/api/users/1", '{"email":"x"}', 422, "name", "missing"),
        ("PATCH", "/api/users/1", '{"name":null}', 422, "name", "missing"),
        ("PATCH", "/api/users/1", "{}", 422, None, "nothing to change"),
        ("PATCH", "/api/users/1", '{"id":1}', 422, None, "nothing to change"),
        ("PATCH", "/api/users/1", '{"id":2}', 422, "id", "path"),
        ("PUT", "/api/users/1", '{"id":2,"name":"x"}', 422, "id", "path"),
        ("PUT", "/api/users/1", '{"id":null,"name":"x"}', 422, "id", "path"),
        ("POST", "/api/users", '{"name":5}', 422, "name", "string"),
        ("POST", "/api/users", '{"name":["a"]}', 422, "name", "string"),
        ("POST", "/api/users", '{"name":{"a":"b"}}', 422, "name", "string"),
        ("POST", "/api/users", '{"name":true}', 422, "name", "string"),
        ("POST", "/api/users", '{"id":"1","name":"x"}', 422, "id", "whole number"),
        ("POST", "/api/users", '{"id":1.0,"name":"x"}', 422, "id", "whole number"),
        ("POST", "/api/users", '{"id":null,"name":"x"}', 422, "id", "missing"),
        ("POST", "/api/users", '{"id":1,"name":"x"}', 409, "id", "same value"),
        ("POST", "/api/users", '{"name":"x","email":"ada@example.org"}', 409, "email", "same value"),
        ("PATCH", "/api/users/2", '{"email":"ada@example.org"}', 409, "email", "same value"),
        ("PUT", "/api/users/2", '{"name":"x","email":"ada@example.org"}', 409, "email", "same value"),
        ("POST", "/api/users", json.dumps({"name": "x", "email": os.urandom(30000).hex()}), 422, None, "an index, can hold"),
        ("POST", "/api/posts", '{"title":"x","userId":4711}', 409, "userId", "refers"),
        ("POST", "/api/posts", '{"title":"x","userId":1,"editor_id":4711}', 409, "editor_id", "refers"),
        ("PATCH", "/api/posts/1", '{"userId":4711}', 409, "userId", "refers"),
        ("PUT", "/api/comments/1", '{"body":"x","postId":4711}', 409, "postId", "refers"),
        ("DELETE", "/api/users/1", None, 409, None, "refers"),
        ("DELETE", "/api/posts/1", None, 409, None, "refers"),
    ],
    "types": [
        ("POST", KIND, row(small=32768), 422, "small", "fits smallint"),
        ("POST", KIND, row(small=-32769), 422, "small", "fits smallint"),
        ("POST", KIND, row(whole=2147483648), 422, "whole", "fits integer"),
        ("POST", KIND, row(whole=-2147483649), 422, "whole", "fits integer"),
        ("POST", KIND, '{"id":9223372036854775808}', 422, "id", "fits bigint"),
        ("POST", KIND, '{"id":1e3}', 422, "id", "whole number"),
        ("POST", KIND, '{"id":' + "9" * 60000 + "}", 422, "id", "whole number"),
        ("POST", KIND, row(whole=1.5), 422, "whole", "whole number"),
        ("POST", KIND, row(whole="1"), 422, "whole", "whole number"),
        ("POST", KIND, row(whole=True), 422, "whole", "whole number"),
        ("POST", KIND, row(num=10000), 422, None, "out of its column's range"),
        ("POST", KIND, '{"id":900,"num":1e5000}', 422, None, "column's"),
        ("POST", KIND, '{"id":900,"num":1e999999999999}', 422, None, "column's"),
        ("POST", KIND, row(num="1"), 422, "num", "number"),
        ("POST", KIND, row(num="nan"), 422, "num", "number"),
        ("POST", KIND, '{"id":900,"double":1e400}', 422, "double", "out of its column's range"),
        ("POST", KIND, '{"id":900,"double":1e-400}', 422, "double", "out of its column's range"),
        ("POST", KIND, row(flag=None), 422, "flag", "missing"),
        ("POST", KIND, row(flag=1), 422, "flag", "true or false"),
        ("POST", KIND, row(flag="true"), 422, "flag", "true or false"),
        ("POST", KIND, row(short="xxxxxx"), 422, "short", "at most 5"),
        ("POST", KIND, row(short="\U0001f600" * 6), 422, "short", "at most 5"),
        ("POST", KIND, row(short="xxxxx "), 422, "short", "at most 5"),
        ("POST", KIND, row(fixed="xxxx"), 422, None, "too long"),
        ("POST", KIND, row(day="no day"), 422, "day", "none of its column's type"),
        ("POST", KIND, row(day="2026-02-30"), 422, "day", "none of its column's type"),
        ("POST", KIND, row(day="99999999-01-01"), 422, "day", "column's"),
        ("POST", KIND, row(day=20260101), 422, "day", "string"),
        ("POST", KIND, row(at="2026-01-31T25:00:00Z"), 422, "at", "none of its column's type"),
        ("POST", KIND, row(at="2026-01-31T12:00:00 Nowhere/Land"), 422, None, "none of its column's type"),
        ("POST", KIND, row(at=""), 422, None, "none of its column's type"),
        ("POST", KIND, row(feel="nope"), 422, "feel", "sad, very glad"),
        ("POST", KIND, row(feel="SAD"), 422, "feel", "sad, very glad"),
        ("POST", KIND, row(feel=""), 422, "feel", "sad, very glad"),
        ("POST", KIND, row(nums=1), 422, "nums", "array"),
        ("POST", KIND, row(nums=["1"]), 422, "nums", "whole number"),
        ("POST", KIND, row(nums=[1, [2]]), 422, "nums", "none of its column's type"),
        ("POST", KIND, row(nums=[[1], [2, 3]]), 422, "nums", "none of its column's type"),
        ("POST", KIND, row(nums=[[1], 2]), 422, "nums", "none of its column's type"),
        ("POST", KIND, row(nums=[[[[[[[1]]]]]]]), 422, "nums", "6 dimensions"),
        ("POST", KIND, '{"id":900,"nums":' + "[" * 15 + "]" * 15 + "}", 422, "nums", "6 dimensions"),
        ("POST", KIND, row(nums=[2147483648]), 422, None, "column's"),
        ("POST", KIND, row(tiny=[32768]), 422, None, "column's"),
        ("POST", KIND, row(nums="{1,"), 422, "nums", "none of its column's type"),
        ("POST", KIND, row(nums="[9999999999:1]={1}"), 422, None, "column's"),
        ("POST", KIND, row(nums={}), 422, "nums", "array"),
        ("POST", KIND, row(feels=["sad", "nope"]), 422, "feels", "sad, very glad"),
        ("POST", KIND, row(feels=['sad","very glad']), 422, "feels", "sad, very glad"),
        ("POST", KIND, row(labels=["xxxx"]), 422, None, "too long"),
        ("POST", KIND, row(gen=2), 422, "gen", "generated"),
        ("PATCH", KIND + "/1", '{"gen":2}', 422, "gen", "generated"),
        ("PUT", KIND + "/1", '{"gen":2}', 422, "gen", "generated"),
        ("POST", KIND, row(gen=None), 422, "gen", "generated"),
        ("POST", KIND, row(u="x"), 422, "u", "none of its column's type"),
        ("POST", KIND, row(bytes="\\x0"), 422, None, "none of its column's type"),
        ("POST", KIND, row(bytes="\\xzz"), 422, None, "none of its column's type"),
        ("POST", KIND, row(span="[5,1)"), 422, None, "none of its column's type"),
        ("POST", KIND, row(addr="1.2.3.4.5"), 422, "addr", "none of its column's type"),
        ("POST", KIND, '{"id":900,"doc":{"a":"\\u0000"}}', 400, None, "JSON"),
        ("POST", KIND, '{"id":900,"doc":' + "[" * 30000 + "]" * 30000 + "}", 400, None, "JSON"),
        ("POST", KIND, '{"id":900,"doc":1e200000}', 422, None, "column's"),
        ("POST", "/api/always", '{"id":5}', 422, "id", "made by the database"),
        ("POST", "/api/always", '{"id":null}', 422, "id", "made by the database"),
        ("PUT", "/api/always/99", '{"v":"x"}', 404, None, "no row"),
        ("PATCH", "/api/always/1", '{"id":2}', 422, "id", "path"),
        ("POST", "/api/pairs", '{"a":"x,y/z","b":7}', 409, "a", "same value"),
        ("POST", "/api/pairs", '{"a":"x"}', 422, "b", "missing"),
        ("PUT", "/api/pairs/x,8", '{"a":"y"}', 422, "a", "path"),
        ("PUT", "/api/texts/x", '{"id":"y"}', 422, "id", "path"),
        ("POST", "/api/texts", '{"id":5}', 422, "id", "string"),
        ("POST", "/api/texts", json.dumps({"id": os.urandom(30000).hex()}), 422, None, ""),
    ],
    "rules": [
        ("POST", "/api/rooms", '{"id":2,"seats":0}', 422, "seats", "check"),
        ("PATCH", "/api/rooms/1", '{"seats":-1,"floor":null}', 422, "seats", "check"),
        ("POST", "/api/rooms", '{"id":2,"seats":5,"floor":6}', 422, None, "check"),
        ("POST", "/api/rooms", '{"id":2,"seats":5,"span":"[4,6)"}', 409, "span", "excludes"),
        ("PUT", "/api/rooms/2", '{"seats":5,"span":"[4,6)"}', 409, "span", "excludes"),
        ("POST", "/api/rooms", '{"id":2}', 422, "seats", "missing"),
        ("POST", "/api/deferred", '{"id":2,"v":1}', 409, "v", "same value"),
        ("POST", "/api/deferred", '{"id":2,"userId":4711}', 409, "userId", "refers"),
        ("PATCH", "/api/deferred/1", '{"userId":4711}', 409, "userId", "refers"),
        ("PUT", "/api/deferred/1", '{"userId":4711}', 409, "userId", "refers"),
        ("PUT", "/api/deferred/2", '{"v":1}', 409, "v", "same value"),
        ("POST", "/api/watched", '{"id":3,"v":"drop"}', 422, None, "did not keep"),
        ("PUT", "/api/watched/3", '{"v":"drop"}', 422, None, "did not keep"),
        ("PATCH", "/api/watched/1", '{"v":"drop"}', 404, None, "no row"),
        ("DELETE", "/api/watched/2", None, 404, None, "no row"),
        ("POST", "/api/watched", '{"id":3,"v":"audit"}', 422, None, "missing"),
        ("POST", "/api/watched", '{"id":3,"v":"audit twice"}', 409, None, "same value"),
        ("PATCH", "/api/watched/1", '{"v":"audit"}', 422, None, "missing"),
        # What a trigger does to another table, which has a column, or a constraint, of the same name.
        ("POST", "/api/watched", '{"id":3,"v":"ledger"}', 422, None, "missing"),
        ("POST", "/api/watched", '{"id":3,"v":"ledger of ck_same"}', 422, None, "check"),
        ("POST", "/api/watched", '{"id":3,"v":"same"}', 422, "v", "check"),
        ("POST", "/api/parted", '{"id":3,"v":"ledger"}', 422, None, "missing"),
        ("POST", "/api/parted", '{"id":3}', 422, "v", "missing"),
        ("PUT", "/api/parted/3", '{"v":"x","n":0}', 422, "n", "check"),
        ("POST", "/api/users", '{"name":"x","bio":"never"}', 422, "bio", "check"),
        ("POST", "/api/watched", '{"id":3,"v":"raise P0001"}', 422, None, "does not allow it"),
        ("PATCH", "/api/watched/1", '{"v":"raise P0001"}', 422, None, "does not allow it"),
        ("POST", "/api/watched", '{"id":3,"v":"raise 22023"}', 422, "v", "type"),
        ("POST", "/api/watched", '{"id":3,"v":"raise 23514"}', 422, None, "check"),
        ("POST", "/api/watched", '{"id":3,"v":"raise 42501"}', 403, None, ""),
        ("POST", "/api/watched", '{"id":3,"v":"raise ZZ999"}', 422, None, "does not allow it"),
        ("POST", "/api/watched", '{"id":3,"v":"raise XX000"}', 422, None, "does not allow it"),
        ("POST", "/api/watched", '{"id":3,"v":"raise 21000"}', 422, None, "does not allow it"),
        ("POST", "/api/watched", '{"id":3,"v":"raise 40001"}', 503, None, "could not do it now"),
        ("POST", "/api/watched", '{"id":3,"v":"raise 0A000"}', 422, None, "does not allow it"),
        ("POST", "/api/watched", '{"id":3,"v":"raise 55000"}', 422, None, "does not allow it"),
        ("POST", "/api/watched", '{"id":3,"v":"missing table"}', 503, None, ""),
    ],
}
ALL = {**{k: [("GET", path, None, *rest) for path, *rest in v] for k, v in QUERIES.items()}, **WRITES}


def outcome(stack, method, path, data):
    headers, data = data if isinstance(data, tuple) else ({} if data is None else J, data)
    status, got, text = raw(stack, method, path, headers, data)
    assert not CONTROL.search(text), text
    if status >= 400:
        assert not INTERNALS.search(re.sub(r'"field":".*', "", text)), text
        answer = json.loads(text)
        assert answer["success"] is False and answer["error"]
        if status == 405:
            assert got["Allow"]
        return status, answer.get("field"), answer["error"]
    return status, None, text


def check_alive(stack):
    assert stack.apis[0].pid == stack.pid and stack.apis[0].running()
    assert stack.get("/api/users/1?embed=posts!userId").json()["data"]["name"] == "Ada"
    assert stack.patch("/api/users/2", json={"name": "Grace"}).status_code == 200


def test_there_are_at_least_150():
    assert sum(len(rows) for rows in ALL.values()) >= 150


@pytest.mark.parametrize("group", ALL)
def test_hostile(running, group):
    wrong = []
    for method, path, data, status, field, word in ALL[group]:
        got = None
        try:
            got = outcome(running, method, path, data)
            assert got[:2] == (status, field)
            assert word is None or word.lower() in got[2].lower()
        except (AssertionError, http.client.HTTPException, OSError) as e:
            wrong.append(f"{method} {path[:150]} {str(data)[:100]} -> {got or repr(e)[:300]}\n        wanted {status, field, word}")
    assert not wrong, f"{len(wrong)} of {len(ALL[group])}:\n" + "\n".join(wrong)
    assert tables_are(running) == running.before
    check_alive(running)
    log = running.apis[0].log(10 ** 6)
    assert "level=error" not in log and " error " not in log, log[-2000:]


# ---- names and values that look like SQL ----

NASTY = ['"', "'", "\\", "$1", "%s", "%2C", "'; DROP TABLE users; --", '"; DROP TABLE users; --', "$$", "a,b", "(1)", "NULL", "null", "",
         " ", "\t\n\x1b[2J", "é☃\U0001f600", "\u2028\ufeff", "{a,b}", "\\x00", "E'\\'", "-1", "eq.1", "<script>alert(1)</script>"]
COLUMNS = ['a"b', "a\\b", "$1", "it's", "%s", "limit", "column.limit", "é", "a,b", "-c", "k1", "number", "w", "row", "<script>"]


def quoted(text):
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def encoded(text):
    return quote(text, safe="")


def test_names_and_values_that_look_like_sql(running):
    stack = running
    for n, value in enumerate(NASTY, 100):
        sent = {"id": n, **{c: value for c in COLUMNS}}
        answer = stack.post("/api/odd", json=sent)
        assert answer.status_code == 201 and answer.json()["data"] == sent, answer.text
        assert stack.patch(f"/api/odd/{n}", json={c: value for c in COLUMNS}).json()["data"] == sent
        assert stack.put(f"/api/odd/{n}", json=sent).json()["data"] == sent
    wait_there(stack, '"' + ODD.replace('"', '""') + '"', f"id = {99 + len(NASTY)}")
    known = [c for c in COLUMNS if c not in ("k1", "number", "w", "row", "<script>")]
    for n, value in enumerate(NASTY, 100):
        for column in known:
            # A quoted value is one of a list; as a filter a value is the whole rest.
            name = encoded("column." + column if column == "limit" or column.startswith("column.") else column)
            for given in ([] if value == "" else [f"eq.{value}"]) + [f"in.({quoted(value)},{quoted('x' + value)})"]:
                rows = stack.get(f"/api/odd?{name}={encoded(given)}&limit=10")
                assert rows.status_code == 200, (rows.text, given)
                assert [r["id"] for r in rows.json()["data"] if r["id"] >= 100] == [n], (column, given, rows.text)
    for column in known:
        for sign in ("", "-"):
            # Pages by the column and back, by cursors that hold the values.
            path = f"/api/odd?select={encoded('id,' + quoted(column))}&order={encoded(sign + quoted(column))}&limit=5"
            seen, following = [], None
            while True:
                page = stack.get(path + (f"&cursor={following}" if following else ""))
                assert page.status_code == 200, page.text
                seen += [r["id"] for r in page.json()["data"]]
                following = page.json()["next"]
                if not following:
                    break
            assert len(seen) == len(set(seen)) == len(NASTY) + 1, (column, sign)
    for n in range(100, 100 + len(NASTY)):
        assert stack.delete(f"/api/odd/{n}").status_code == 200
    assert stack.get("/api/odd/1").json()["data"]["it's"] == "'); DROP TABLE users; --"
    assert tables_are(stack) == stack.before


def test_keys_that_look_like_anything(running):
    stack = running
    for key in [v for v in NASTY if v != ""] + [".", "x" * 2000, "/", "//", "?x=1", "#", "a/b/c", ",", ",,"]:
        answer = stack.post("/api/texts", json={"id": key, "v": key})
        assert answer.status_code == 201, answer.text
        where = answer.headers["Location"]
        assert where == "/api/texts/" + "".join(
            c if c.isascii() and (c.isalnum() or c in "-._~:") else encoded(c) for c in key)
        # http.client, unlike requests, sends a path as it stands.
        for method, status in (("PATCH", 200), ("PUT", 200), ("DELETE", 200), ("DELETE", 404), ("GET", 404)):
            body = json.dumps({"v": "x"}) if method[0] == "P" else None
            got = raw(stack, method, where, J if body else {}, body)
            if (method, status) == ("GET", 404) and got[0] == 200:
                continue  # a replica that still has it
            assert got[0] == status, (method, where, got)
    for a in ("x,y", "", "%", "/", ",", "'"):
        path = "/api/pairs/" + encoded(a) + ",5"
        assert raw(stack, "PUT", path, J, '{"v":"new"}')[0] == 201
        assert stack.sql("primary", "select v from pairs where a = %s and b = 5", a) == [("new",)]
        assert raw(stack, "DELETE", path, {}, None)[0] == 200
    assert tables_are(stack) == stack.before
    # What GET tells of a row PUT takes, however its key is written.
    for path in ("/api/uuids/" + U, "/api/uuids/" + U.upper(), "/api/users/03", "/api/users/-0", "/api/users/%33"):
        got = stack.get(path)
        if got.status_code == 200:
            body = {k: v for k, v in got.json()["data"].items() if k != "posts"}
            assert stack.put(path, json=body).status_code == 200, path
    assert stack.put("/api/uuids/" + U, json={"id": U.upper(), "v": "u"}).status_code == 200
    assert tables_are(stack) == stack.before


def test_keys_that_are_too_long_for_a_path(running):
    """Such a row is made and listed, and its answer has what fits."""
    stack = running
    for key in ("", "x" * 7000, "é" * 8000, "\t" * 20000):
        status, headers, text = raw(stack, "POST", "/api/texts", J, json.dumps({"id": key, "v": "long"}))
        assert status == 201 and "Location" not in headers and json.loads(text)["data"]["id"] == key, (status, text[:200])
    wait_there(stack, "texts", "id = repeat(chr(9), 20000)")
    wait_there(stack, "texts", "id = ''")
    listed = stack.get("/api/texts").json()["data"]
    assert sum(r["v"] == "long" for r in listed) == 4
    # A page whose cursor nobody could send back is not told to be the last one.
    answers = [outcome(stack, "GET", f"/api/texts?limit={n}", None) for n in range(1, len(listed) + 1)]
    assert {a[:2] for a in answers} == {(200, None), (400, "limit")} and answers[-1][0] == 200
    assert all("too long for a cursor" in a[2] for a in answers if a[0] == 400)
    stack.sql("primary", "delete from texts where v = 'long'")
    assert tables_are(stack) == stack.before


def test_head_of_everything(running):
    for path in ("/api/users", "/api/users?limit=1", "/api/users/1", "/api/users/99", "/api/users/x", "/api/users/1/posts!userId",
                 "/api/users/1/posts!userId?limit=2", "/api/hidden", "/api/users?nope=eq.1", "/api/users?count=exact&limit=1"):
        get, head = running.get(path), running.request("HEAD", path)
        assert head.status_code == get.status_code and head.content == b"", path
        assert head.headers.get("Content-Type") == get.headers.get("Content-Type")
        assert head.headers.get("X-Total-Count") == get.headers.get("X-Total-Count")
        if "Content-Length" in head.headers and get.status_code != 200:
            assert head.headers["Content-Length"] == get.headers["Content-Length"]


def test_delete_with_a_body(running):
    for body, headers in ((b"{}", J), (b"x" * 100, {"Content-Type": "text/plain"}), (b"[" * 1000, {})):
        assert running.request("DELETE", "/api/users/999", data=body, headers=headers).status_code in (400, 404, 415)
    assert tables_are(running) == running.before


def test_children_are_cut_at_100(running):
    post = running.get("/api/posts/1?embed=comments").json()["data"]
    assert len(post["comments"]) == 100 and post["commentsTruncated"] is True
    assert [c["id"] for c in post["comments"]] == list(range(1, 101))
    other = running.get("/api/posts/2?embed=comments").json()["data"]
    assert other["comments"] == [] and "commentsTruncated" not in other
    # As many as there may be are not cut; depth 3, there and back again.
    deep = running.get("/api/comments/1?embed=posts.users!userId.posts!userId").json()["data"]
    assert len(deep["posts"]["users"]["posts"]) == 60
    pages = running.get("/api/users?limit=1000&embed=posts!userId.comments.posts")
    assert pages.status_code == 200, pages.text
    ada = pages.json()["data"][0]
    assert ada["id"] == 1 and "postsTruncated" not in ada
    grace = pages.json()["data"][1]
    assert len(grace["posts"][0]["comments"]) == 100 and grace["posts"][0]["commentsTruncated"] is True
    assert all(c["posts"]["id"] == 1 for c in grace["posts"][0]["comments"])
    assert len(running.get("/api/posts/1/comments").json()["data"]) == 1000
    assert raw(running, "GET", "/api/users/1/posts!user%49d", {}, None)[2] == raw(running, "GET", "/api/users/1/posts!userId", {}, None)[2]
    assert len(running.get("/api/users/1/posts!userId").json()["data"]) == 60


def test_two_of_one_resource_in_a_row(running):
    one = running.get("/api/posts/1?embed=users!editor_id").json()["data"]
    assert (one["users!userId"]["id"], one["users!editor_id"]["id"]) == (one["userId"], 3) and "users" not in one
    page = running.get("/api/posts?limit=3&embed=users!editor_id.posts!editor_id").json()["data"]
    assert [(p["users!userId"]["id"], len(p["users!editor_id"]["posts"])) for p in page] == [(2, 100), (1, 100), (2, 100)]
    assert page[0]["users!editor_id"]["postsTruncated"] is True
    # The setting's is called as the resource, as long as it is the only one.
    assert running.get("/api/users/3").json()["data"]["posts"] == []
    user = running.get("/api/users/3?embed=posts!editor_id").json()["data"]
    assert user["posts!userId"] == [] and "posts!userIdTruncated" not in user and "posts" not in user
    assert [p["id"] for p in user["posts!editor_id"]] == list(range(1, 101)) and user["posts!editor_idTruncated"] is True
    nested = running.get("/api/comments/1?embed=posts.users!userId,posts.users!editor_id").json()["data"]["posts"]
    assert (nested["users!userId"]["id"], nested["users!editor_id"]["id"]) == (nested["userId"], 3)


# ---- many statements, many at a time ----

def test_as_many_statements_as_anybody_likes(running):
    """Other columns each time: other statements, more of them than a connection keeps."""
    names = ["whole", "small", "num", "double", "flag", "short", "day", "u", "bytes"]
    bodies = {"whole": 1, "small": 1, "num": 1, "double": 1, "flag": True, "short": "x", "day": "2026-01-31", "u": U, "bytes": "\\x00"}
    n = 0
    for size in range(1, 5):
        for columns in itertools.combinations(names, size):
            n += 1
            answer = running.patch("/api/kinds/999", json={c: bodies[c] for c in columns})
            assert answer.status_code == 404, answer.text
            assert running.get(f"/api/kinds/1?select={','.join(columns)}").status_code == 200
    assert n > 250
    assert tables_are(running) == running.before


def together(stack, requests_):
    """All at the same time, each on a connection of its own: (status, headers, text) each."""
    with ThreadPoolExecutor(len(requests_)) as pool:
        return list(pool.map(lambda r: raw(stack, *r), requests_))


@pytest.mark.parametrize("state,status", [("42501", 403), ("23514", 422), ("P0001", 422), ("0A000", 422), ("55000", 422),
                                          ("40001", 503), ("40P01", 503)])
def test_one_is_refused_the_others_are_not(running, state, status):
    """Writes that share a statement do not share its refusal."""
    stack = running
    stack.sql("primary", "insert into watched select n, 'many' from generate_series(1000, 1039) n")
    try:
        for _ in range(5):
            got = together(stack, [("PATCH", f"/api/watched/{1000 + n}", J,
                                    json.dumps({"v": f"raise {state}" if n == 20 else "good"})) for n in range(40)])
            assert [g[0] for g in got] == [status if n == 20 else 200 for n in range(40)], [g for g in got if g[0] != 200]
            assert not INTERNALS.search(got[20][2]), got[20]
    finally:
        stack.sql("primary", "delete from watched where id >= 1000 and v <> 'drop'")


def test_a_deferred_constraint_is_found_at_the_commit(running):
    """Nobody is told of a row that the commit takes back."""
    got = together(running, [("POST", "/api/deferred", J, json.dumps({"id": 100 + n, "v": 100 + n // 2, "userId": 1 if n % 7 else 4711}))
                             for n in range(40)])
    rows = dict(running.sql("primary", "select id, v from deferred where id >= 100"))
    running.sql("primary", "delete from deferred where id >= 100")
    assert {100 + n for n in range(40) if got[n][0] == 201} == set(rows)
    assert {g[0] for g in got} <= {201, 409} and len(set(rows.values())) == len(rows) >= 15, got
    assert tables_are(running) == running.before


# ---- slow ones ----

def test_nothing_takes_longer_than_it_may(stack):
    stack.psql("primary", """CREATE TABLE big (id serial PRIMARY KEY, v text NOT NULL);
        INSERT INTO big (v) SELECT repeat(md5(n::text), 4) FROM generate_series(1, 600000) n;""")
    stack.start_consumer()
    register(stack, "big")
    stack.start_api(RESOURCES="big", RESOURCE_SCANS="true", READ_TIMEOUT_MS=400, REQUEST_TIMEOUT_MS=60000)
    wait_loaded(stack, "big")
    wait_known(stack, "/api/big/1")
    slow = "&".join(["v=like." + "%25_" * 100] * 15 + ["v=eq.x"])  # of each row all but the last are true
    for path in (f"/api/big?{slow}&count=exact&limit=1", f"/api/big?{slow}&order=-v&limit=1", f"/api/big?{slow}"):
        status, headers, text = raw(stack, "GET", path, {}, None)
        assert status == 503 and headers["Retry-After"] and "READ_TIMEOUT_MS" in text, (path, status, text)
        assert not INTERNALS.search(text)
        assert raw(stack, "GET", "/api/big/1", {}, None)[0] == 200
    got = together(stack, [("GET", f"/api/big?{slow}&limit=1" if n % 2 else f"/api/big/{n + 1}", {}, None) for n in range(30)])
    # One that is asked again where the first one does not answer is not asked again and again.
    repeated = re.search(r'reads_repeated_total{database="replica-1"} (\d+)', stack.get("/metrics").text)
    assert int(repeated.group(1)) < 60, repeated
    assert all("READ_TIMEOUT_MS" in g[2] for g in got[1::2]), {g[2] for g in got[1::2]}
    # Nor is a link lost with all that is on it; a slow machine may not make the time for one or the other.
    assert all(int(n) < 10 for n in re.findall(r"read_failures_total{.*} (\d+)", stack.get("/metrics").text))
    assert {g[0] for g in got[::2]} == {200} and {g[0] for g in got[1::2]} == {503}, {(g[0], g[2][:90]) for g in got}


# ---- values that the database looks up, or reads by a grammar ----

LOOKED = {"rel": "nowhere", "kind": "no_type", "fn": "no_function", "role": "no_role", "space": "no_schema", "path": "$[", "search": "a &",
          "more": "a b"}


def test_values_that_are_looked_up(stack):
    """What the database says of them is of the class of statements that do not fit the table: it is none of it."""
    stack.psql("primary", """CREATE TYPE pair AS (x integer, doc json);
        CREATE TABLE looked (id serial PRIMARY KEY, rel regclass, kind regtype, fn regproc, role regrole, space regnamespace, path jsonpath,
            search tsquery, two pair, more regclass, docs json[], v text);
        CREATE TABLE rels (id regclass PRIMARY KEY, v text);
        CREATE TABLE pairs (a regclass, b regtype, v text, PRIMARY KEY (a, b));
        CREATE TABLE broken (id integer PRIMARY KEY, v text);
        CREATE FUNCTION broken() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM * FROM no_such_secret; RETURN NEW; END $$;
        CREATE TRIGGER broken BEFORE INSERT OR UPDATE ON broken FOR EACH ROW EXECUTE FUNCTION broken();
        CREATE TABLE elsewhere (id integer PRIMARY KEY);
        INSERT INTO looked (rel, two, docs) VALUES ('pg_class', '(1,"{}")', '{1}'); INSERT INTO rels VALUES ('pg_class', 'x');
        INSERT INTO pairs VALUES ('pg_class', 'integer', 'x');""")
    stack.start_consumer()
    tables = ("looked", "rels", "pairs", "broken")
    register(stack, *tables)
    stack.start_api(RESOURCES=",".join(tables), RESOURCE_SCANS="true")
    wait_loaded(stack, *tables)
    wait_known(stack, "/api/looked?limit=1")
    wait_there(stack, "pairs", "v = 'x'")

    def ask(status, field, method, path, data=None):
        got = outcome(stack, method, path, data)
        assert got[:2] == (status, field), (method, path, data, got)
        return got
    for column, bad in LOOKED.items():
        ask(422, column, "POST", "/api/looked", json.dumps({column: bad, "v": "x"}))
        ask(422, column, "PATCH", "/api/looked/1", json.dumps({column: bad}))
        ask(422, column, "PUT", "/api/looked/1", json.dumps({column: bad}))
        if column != "path":
            ask(400, column, "GET", f"/api/looked?{column}=eq.{encoded(bad)}")
            ask(400, column, "GET", f"/api/looked?id=eq.1&{column}=in.({encoded(bad)})&count=exact&limit=1")
    ask(400, "path", "GET", "/api/looked?path=eq.$")
    ask(422, None, "POST", "/api/looked", json.dumps({"two": '(1,"{")'}))
    ask(400, "two", "GET", "/api/looked?two=eq." + encoded('(1,"{")'))
    ask(400, "two", "GET", "/api/looked?two=eq." + encoded('(1,"{}")'))
    ask(400, "docs", "GET", "/api/looked?id=gt.0&docs=eq." + encoded("{1}"))
    assert stack.get("/api/looked?rel=eq.pg_class").json()["data"][0]["id"] == 1
    # A table that only the primary has is looked up there.
    assert stack.get("/api/looked?rel=eq.elsewhere").json()["data"] == []
    assert stack.get("/api/looked?rel=eq.elsewhere").headers["X-Served-By"] == "primary"
    for method, data in (("GET", None), ("PATCH", '{"v":"y"}'), ("PUT", '{"v":"y"}'), ("DELETE", None)):
        ask(400, "id", method, "/api/rels/nowhere", data)
        ask(400, "id", method, "/api/rels/a%20b", data)
        ask(400, None if method == "GET" else "b", method, "/api/pairs/pg_class,no_type", data)
    ask(200, None, "PATCH", "/api/rels/pg_class", '{"v":"y"}')
    ask(422, "id", "POST", "/api/rels", '{"id":"nowhere"}')
    # Several could be to blame, and the words name neither.
    ask(422, None, "POST", "/api/looked", json.dumps({"path": "$[", "search": "a"}))
    # A trigger that meets such a thing is no value's fault.
    ask(503, None, "POST", "/api/broken", '{"id":1}')
    lines = [{"id": n, "v": "x", "rel": "nowhere" if n == 150 else "pg_class"} for n in range(100, 200)]
    answer = stack.post("/api/looked/import", data="\n".join(map(json.dumps, lines)).encode(), headers={"Content-Type": "application/x-ndjson"})
    counts = answer.json()["data"]
    assert (counts["created"], counts["rejected"], [e["line"] for e in counts["errors"]]) == (99, 1, [51]), answer.text


# ---- a role that may not do everything ----

ROLE = "resources_hostile"


@pytest.fixture
def limited(stack):
    """The API's user is none that everything is allowed to."""
    stack.psql("primary", f"""
        DROP ROLE IF EXISTS {ROLE}; CREATE ROLE {ROLE} LOGIN PASSWORD 'password';
        CREATE TABLE notes (id serial PRIMARY KEY, owner text NOT NULL, v text);
        CREATE TABLE readable (id serial PRIMARY KEY, v text, w text);
        CREATE TABLE unreadable (id serial PRIMARY KEY, v text);
        INSERT INTO notes (owner, v) VALUES ('me', 'mine'), ('neighbour', 'secret');
        INSERT INTO readable (v) VALUES ('x'); INSERT INTO unreadable (v) VALUES ('secret');
        ALTER TABLE notes ENABLE ROW LEVEL SECURITY;
        CREATE POLICY own ON notes TO {ROLE} USING (owner = 'me') WITH CHECK (owner = 'me');
        CREATE TABLE shared (id serial PRIMARY KEY, owner text NOT NULL, v text);
        INSERT INTO shared (owner, v) VALUES ('me', 'mine'), ('neighbour', 'secret'), ('neighbour', 'over');
        ALTER TABLE shared ENABLE ROW LEVEL SECURITY;
        CREATE POLICY see ON shared FOR SELECT TO {ROLE} USING (true); CREATE POLICY own ON shared FOR UPDATE TO {ROLE} USING (owner = 'me');
        CREATE POLICY over ON shared FOR DELETE TO {ROLE} USING (v = 'over');
        GRANT USAGE ON SCHEMA pgfanout TO {ROLE}; GRANT ALL ON ALL TABLES IN SCHEMA pgfanout TO {ROLE};
        GRANT ALL ON ALL SEQUENCES IN SCHEMA pgfanout, public TO {ROLE}; GRANT ALL ON ALL FUNCTIONS IN SCHEMA pgfanout TO {ROLE};
        GRANT ALL ON notes, shared, products, pgfanout_migrations TO {ROLE}; GRANT SELECT, UPDATE (v) ON readable TO {ROLE};
        GRANT EXECUTE ON FUNCTION pg_control_system() TO {ROLE};""")
    stack.start_consumer()
    register(stack, "notes", "shared", "readable", "unreadable")
    stack.start_api(RESOURCES="notes,shared,readable,unreadable", DATABASE_URL=stack.env["DATABASE_URL"].replace("//user:", f"//{ROLE}:"))
    wait_loaded(stack, "notes", "shared", "readable", "unreadable")
    wait_known(stack, "/api/notes?limit=1")
    wait_there(stack, "unreadable", "id = 1")
    yield stack
    stack.stop_programs()
    stack.psql("primary", f"DROP OWNED BY {ROLE}; DROP ROLE {ROLE};")


def test_what_the_role_may_not_do(limited):
    stack = limited
    rows = [
        ("POST", "/api/notes", '{"id":10,"owner":"me","v":"x"}', 201, None, ""),
        ("POST", "/api/notes", '{"owner":"neighbour","v":"x"}', 403, None, "row security"),
        ("POST", "/api/notes", '{"owner":"neighbour","v":"notes"}', 403, None, "row security"),
        ("POST", "/api/notes", '{"id":2,"owner":"me","v":"x"}', 409, "id", "same value"),
        ("PATCH", "/api/notes/1", '{"v":"y"}', 200, None, ""),
        ("PATCH", "/api/notes/1", '{"owner":"notes"}', 403, None, "row security"),
        ("PATCH", "/api/notes/2", '{"v":"y"}', 404, None, "no row"),
        ("PUT", "/api/notes/1", '{"owner":"me","v":"z"}', 200, None, ""),
        ("PUT", "/api/notes/11", '{"owner":"me","v":"z"}', 201, None, ""),
        ("PUT", "/api/notes/2", '{"owner":"me","v":"y"}', 403, None, "row security"),
        ("DELETE", "/api/notes/2", None, 404, None, "no row"),
        ("DELETE", "/api/notes/10", None, 200, None, ""),
        ("PATCH", "/api/shared/1", '{"v":"y"}', 200, None, ""),
        ("PATCH", "/api/shared/1", '{"owner":"neighbour"}', 403, None, "row security"),
        ("PATCH", "/api/shared/2", '{"v":"y"}', 404, None, "no row"),
        ("DELETE", "/api/shared/1", None, 404, None, "no row"),
        ("PATCH", "/api/readable/1", '{"v":"y"}', 200, None, ""),
        ("PATCH", "/api/readable/1", '{"w":"y"}', 403, None, ""),
        ("PUT", "/api/readable/1", '{"v":"y"}', 403, None, ""),
        ("POST", "/api/readable", '{"v":"y"}', 403, None, ""),
        ("DELETE", "/api/readable/1", None, 403, None, ""),
        ("POST", "/api/unreadable", '{"v":"y"}', 403, None, ""),
        ("PATCH", "/api/unreadable/1", '{"v":"y"}', 403, None, ""),
        ("DELETE", "/api/unreadable/1", None, 403, None, ""),
    ]
    wrong = []
    for method, path, data, status, field, word in rows:
        got = outcome(stack, method, path, data)
        if got[:2] != (status, field) or word not in got[2]:
            wrong.append(f"{method} {path} {data} -> {got}, wanted {status, field, word}")
    assert not wrong, "\n".join(wrong)
    assert stack.sql("primary", "select * from notes order by id") == [(1, "me", "z"), (2, "neighbour", "secret"), (11, "me", "z")]
    assert stack.sql("primary", "select v from shared order by id") == [("y",), ("secret",), ("over",)]
    wait_there(stack, "notes", "id = 11")
    wait_gone(stack, "notes", "id = 10")
    wait_there(stack, "shared", "v = 'y'")
    assert stack.sql("primary", "select v, w from readable") == [("y", None)]
    # The replicas have no row security: what is registered is replicated whole.
    assert stack.get("/api/notes/2").status_code == 200
    # When they are gone the primary is asked, which does not let this user, and says so at once.
    for replica in stack.replicas:
        replica.stop("fast")
    for path in ("/api/notes/1", "/api/notes", "/api/notes?limit=1", "/api/unreadable/1"):
        status, _, text = raw(stack, "GET", path, {}, None)
        assert status == 503 and not INTERNALS.search(text), text
    assert outcome(stack, "GET", "/api/readable/1", None)[0] == 200


def test_lines_that_row_security_forbids(limited):
    lines = [{"id": n, "owner": "neighbour" if n == 130 else "me", "v": "line"} for n in range(100, 150)]
    lines += [{"id": 2, "owner": "me", "v": "line"}, {"id": 1, "owner": "me", "v": "line"}]
    answer = limited.post("/api/notes/import", data="\n".join(map(json.dumps, lines)).encode(), headers={"Content-Type": "application/x-ndjson"})
    assert answer.status_code == 200, answer.text
    counts = answer.json()["data"]
    assert (counts["created"], counts["replaced"], counts["rejected"]) == (49, 1, 2), counts
    assert sorted((e["line"], "row security" in e["error"]) for e in counts["errors"]) == [(31, True), (51, True)]
    assert limited.sql("primary", "select v from notes where id <= 2 order by id") == [("line",), ("secret",)]
    # Without the right no line is tried by itself.
    units = re.compile(r"pgfanout_api_write_statements_total (\d+)")
    before = int(units.search(limited.get("/metrics").text).group(1))
    lines = "\n".join(json.dumps({"id": n, "v": "x"}) for n in range(1000))
    answer = limited.post("/api/unreadable/import", data=lines.encode(), headers={"Content-Type": "application/x-ndjson"})
    assert answer.status_code == 503 and not INTERNALS.search(answer.text), answer.text
    assert int(units.search(limited.get("/metrics").text).group(1)) - before < 10


def test_row_security_and_locks(limited):
    """While somebody has locked a row, the others are looked at whether they can be locked: one that may not be updated is
    not waited for until the end."""
    stack = limited
    conn = stack.connect()
    with ThreadPoolExecutor(1) as pool, conn.cursor() as cursor:
        cursor.execute("select from shared where id = 1 for update")
        waiting = pool.submit(raw, stack, "PATCH", "/api/shared/1", J, '{"v":"at last"}')
        wait_until(lambda: "pgfanout_api_writes_locked 1\n" in stack.get("/metrics").text, 10 * SLOWNESS, "the write to wait", 0.02)
        assert outcome(stack, "PATCH", "/api/shared/2", '{"v":"y"}')[0] == 404
        assert outcome(stack, "DELETE", "/api/shared/2", None)[0] == 404
        assert outcome(stack, "DELETE", "/api/shared/3", None)[0] == 200
        assert not waiting.done()
        conn.rollback()
        assert waiting.result()[0] == 200
    conn.close()
    assert stack.sql("primary", "select id, v from shared order by id") == [(1, "at last"), (2, "secret")]
    wait_gone(stack, "shared", "id = 3")


# ---- keys that are one, and keys that are none, at the same time ----

ENDS = {"dates": ("date", "2026-01-{:02}", "no-date"), "times": ("timestamptz", "2026-01-{:02}T00:00:00Z", "no-time"),
        "bytes": ("bytea", "\\x{:02}", "\\xzz"), "moods": ("mood", "m{:02}", "m99"), "oids": ("oid", "{}", "no-oid")}
OTHERS = {"dates": "Jan {} 2026", "times": "2026-01-{:02} 01:00:00+01", "bytes": "\\x {:02}", "oids": "+{}"}


def test_keys_do_not_share_their_fate(stack):
    """Requests for keys are joined to one statement: a key that is none is refused alone, and a row that two texts name is
    written twice."""
    labels = ", ".join(f"'m{n:02}'" for n in range(1, 21))
    stack.psql("primary", f"CREATE TYPE mood AS ENUM ({labels});" + "".join(
        f"CREATE TABLE {name} (id {kind} PRIMARY KEY, v text, w text);"
        f"INSERT INTO {name} VALUES " + ", ".join(f"('{key.format(n)}', 'first', 'first')" for n in range(1, 21)) + ";"
        for name, (kind, key, _) in ENDS.items()))
    stack.start_consumer()
    register(stack, *ENDS)
    stack.start_api(RESOURCES=",".join(ENDS), WORKERS=1)
    wait_loaded(stack, *ENDS)
    for name, (_, key, bad) in ENDS.items():
        wait_known(stack, f"/api/{name}?limit=1")
        wait_there(stack, name, f"id = '{key.format(20)}'")
        good = [encoded(key.format(n)) for n in range(1, 21)]
        for _ in range(5):
            got = together(stack, [("GET", f"/api/{name}/{good[n] if n % 10 else encoded(bad)}", {}, None) for n in range(20)])
            assert [g[0] for g in got] == [200 if n % 10 else 400 for n in range(20)], (name, [g[2] for g in got])
            got = together(stack, [("PATCH", f"/api/{name}/{good[n] if n % 10 else encoded(bad)}", J, '{"v":"x"}') for n in range(20)])
            assert [g[0] for g in got] == [200 if n % 10 else 422 if name == "bytes" else 400 for n in range(20)], (name, [g[2] for g in got])
            assert {json.loads(g[2]).get("field") for g in got} <= {None, "id"}
            if name not in OTHERS:
                continue
            both = [encoded(f.format(n)) for n in range(1, 11) for f in (key, OTHERS[name])]
            for method, body in (("PATCH", '{"v":"y"}'), ("PUT", '{"v":"z"}')):
                got = together(stack, [(method, f"/api/{name}/{k}", J, body) for k in both])
                assert {g[0] for g in got} == {200}, (name, method, [g[2] for g in got if g[0] != 200])
