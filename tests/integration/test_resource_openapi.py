"""What /openapi.json, /stats and /status say of resources is so: the document is valid, and every real answer fits the
schema of its path, method and status."""
import json
import os
import re
import subprocess
import time

import jsonschema
import pytest
from conftest import BUILD, ROOT, SLOWNESS, wait_until
from test_openapi import check_valid, operations, resolve
from test_resources import BLOG, BLOG_COLUMNS, RESOURCES, data, register, start, wait_gone, wait_known, wait_loaded, wait_there

JSON = {"Content-Type": "application/json"}
COMMENTS = """
    COMMENT ON TABLE "User" IS 'People who "write"'; COMMENT ON COLUMN "Post"."createdAt" IS 'When it was begun – é';
    COMMENT ON COLUMN "Post".content IS 'Markdown';"""
KINDS = r"""
    CREATE TYPE mood AS ENUM ('sad', 'very "glad"', ''); CREATE TYPE pair AS (x int, y text);
    CREATE DOMAIN positive AS integer CHECK (value > 0); CREATE DOMAIN label AS mood;
    CREATE TABLE kinds (id bigint PRIMARY KEY, flag boolean, small smallint, wide bigint, exact numeric, odd numeric(12,2),
        single real, double double precision, words text, short varchar(5), fixed char(4), bytes bytea, at timestamptz,
        local timestamp, day date, span interval, clock time, zone timetz, key uuid, doc jsonb, raw json, feel mood, two pair,
        num positive, numbers integer[], texts text[], deep integer[][], moods mood[], times timestamptz[], wides bigint[],
        exacts numeric[], days date[], locals timestamp[], keys uuid[], flags boolean[], span2 int4range, addr inet, spot point,
        mask bit(3), more varbit, search tsvector, odds integer[], must jsonb NOT NULL DEFAULT '{}', lab label,
        "a ""b""/{c}~é" text, "limit" integer, twice bigint GENERATED ALWAYS AS (small * 2) STORED,
        number integer GENERATED ALWAYS AS IDENTITY, "column.x" text);
    CREATE INDEX ON kinds (words); CREATE INDEX ON kinds ("limit");
    COMMENT ON TABLE kinds IS 'One of each';
    COMMENT ON COLUMN kinds.at IS 'the moment';
    INSERT INTO kinds VALUES (9223372036854775807, true, -32768, -9223372036854775808, 123456789012345678901234567890.0123456789,
        1.5, 1.1, 0.1, E'a "quoted" \\ line\nnext \u2028 ☃', 'äöü', 'ab', '\x00ff10', '2026-01-31 12:00:00.123456+00',
        '2026-01-31 12:00:00.5', '2026-01-31', '1 year 2 mons 3 days 04:05:06.789', '12:34:56.789', '12:34:56+02',
        '6ba7b810-9dad-11d1-80b4-00c04fd430c8', '{"a": [1, null, 1.10]}', '{"b" : 1,  "b":2}', 'very "glad"', '(1,"x y")', 7,
        '{1,NULL,3}', '{"a,b",NULL,"q\"\\",""}', '{{1,2},{3,4}}', '{sad,"",NULL}', '{"2026-01-31 12:00:00.000001+00"}',
        '{-9223372036854775808}', '{NaN,1.50}', '{2026-01-31}', '{"2026-01-31 12:00:00"}',
        '{6ba7b810-9dad-11d1-80b4-00c04fd430c8}', '{t,f,NULL}', '[1,5)', '10.0.0.0/8', '(1.5,2)', B'101', B'1', 'a:1 b:2',
        '[2:3]={7,8}', '[1]', 'sad', 'odd', 5);
    INSERT INTO kinds (id, exact, double, numbers, doc) VALUES (2, 'NaN', '-Infinity', '{}', 'null');
    INSERT INTO kinds (id) VALUES (3);
    CREATE TABLE pairs (a text, b integer, v text NOT NULL, PRIMARY KEY (a, b));
    CREATE TABLE made (id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY, v text NOT NULL, a text, b integer,
        first integer REFERENCES made, second integer REFERENCES made, FOREIGN KEY (a, b) REFERENCES pairs);
    INSERT INTO pairs VALUES ('x,y', 1, 'one'); INSERT INTO made (v, a, b, first) VALUES ('one', 'x,y', 1, 1);"""
MORE = "kinds, pairs+made, made+made!first+made!second"


@pytest.fixture(scope="module")
def api(module_stack):
    """A blog, and a table of all kinds; in an envelope under /api, and bare under no prefix."""
    stack = module_stack
    stack.psql("primary", BLOG + COMMENTS + KINDS)
    start(stack, f"{RESOURCES}, {MORE}", *BLOG_COLUMNS, "kinds", "pairs", "made", RESOURCE_SCANS="true")
    stack.bare = stack.start_api(RESOURCES=f"{RESOURCES}, {MORE}", RESOURCE_PREFIX="/", RESOURCE_ENVELOPE="false").base
    for base in (None, stack.bare):
        prefix = "" if base else "/api"
        wait_until(lambda p=f"{prefix}/users?limit=1", b=base: stack.get(p, base=b).status_code == 200, 10 * SLOWNESS, "users", 0.05)
    return stack


class Described:
    """An API whose answers are held against its document."""

    def __init__(self, stack, base=None):
        self.stack, self.base = stack, base
        self.prefix = "" if base else "/api"
        self.document = stack.get("/openapi.json", base=base).json()
        self.seen = set()

    def template(self, path):
        parts = path.partition("?")[0].split("/")
        fit = [t for t in self.document["paths"] if len(t.split("/")) == len(parts)
               and all(a == b or re.fullmatch(r"\{\w+\}", a) for a, b in zip(t.split("/"), parts))]
        assert fit, f"{path} is not in the document"
        return min(fit, key=lambda t: t.count("{"))

    def schema(self, path, method, status):
        """The schema of the answer; None: it has no body."""
        template = self.template(path)
        response = self.document["paths"][template][method.lower()]["responses"].get(str(status))
        assert response, f"{method} {template} answers {status}, which is not in the document"
        self.seen.add((template, method.lower(), str(status)))
        response = resolve(self.document, response)
        if "content" not in response:
            return response, None
        return response, {**response["content"]["application/json"]["schema"], "components": self.document["components"]}

    def ask(self, method, path, status, **kwargs):
        answer = self.stack.request(method, self.prefix + path, base=self.base, **kwargs)
        assert answer.status_code == status, (method, path, answer.text)
        response, schema = self.schema(self.prefix + path, method, status)
        if schema is None:
            assert answer.content == b""
        else:
            assert answer.headers["Content-Type"] == "application/json"
            jsonschema.validate(answer.json(), schema, jsonschema.Draft202012Validator,
                                format_checker=jsonschema.FormatChecker())
        for name in ("Location", "X-Served-By", "X-Total-Count", "X-Next-Cursor"):
            assert name not in answer.headers or name in response.get("headers", {}) or status >= 400, (name, method, path)
        return answer

    def body(self, path, method):
        operation = self.document["paths"][self.template(self.prefix + path)][method.lower()]
        schema = {**operation["requestBody"]["content"]["application/json"]["schema"], "components": self.document["components"]}
        return jsonschema.Draft202012Validator(schema, format_checker=jsonschema.FormatChecker())

    def row(self, answer):
        return answer.json() if self.base else answer.json()["data"]


@pytest.fixture(params=["enveloped", "bare"])
def described(api, request):
    return Described(api, api.bare if request.param == "bare" else None)


def test_is_valid(described):
    check_valid(described.document)
    names = re.compile(r"[A-Za-z0-9._-]+")
    for kind in described.document["components"].values():
        assert all(names.fullmatch(name) for name in kind)
    assert [t["name"] for t in described.document["tags"]] == ["users", "posts", "categories", "comments", "kinds", "pairs", "made"]
    for path, verb, operation, _ in operations(described.document):
        assert re.fullmatch(r"[A-Za-z0-9./!_-]+", operation["operationId"]), (path, verb)


def test_products_are_as_they_were(api):
    api_without = api.start_api(RESOURCES="")
    static = api.get("/openapi.json", base=api_without.base)
    with open(os.path.join(ROOT, "api", "serve", "static", "openapi.json"), encoding="utf-8") as f:
        assert static.text == f.read()
    was, now = static.json(), Described(api).document
    for path, item in was["paths"].items():
        if path not in ("/stats", "/status"):
            assert now["paths"][path] == item, path
    for kind, all_ in was["components"].items():
        for name, component in all_.items():
            assert now["components"][kind][name] == component
    assert "resources" not in api.get("/stats", base=api_without.base).json()["data"]
    assert "resources" not in api.get("/status", base=api_without.base).json()["data"]
    api_without.stop()


def test_has_every_route(described):
    listed = subprocess.run([f"{BUILD}/pgfanout-api", "--routes"], capture_output=True, text=True, check=True).stdout
    routes = {line.replace("/api", "", 1) for line in listed.splitlines() if ":resource" in line}
    paths = {path: re.sub(r"\{\w+\}", ":key", path.removeprefix(described.prefix).replace("/users", "/:resource", 1).replace(
        "/posts", "/:child")) for path in described.document["paths"] if re.fullmatch(described.prefix + r"/users(/import|/\{id\}(/posts)?)?", path)}
    assert {f"{verb.upper()} {paths[path]}" for path, verb, _, _ in operations(described.document) if path in paths} == routes


def test_paths_and_words(described):
    d, p = described.document, described.prefix
    paths = {path for path in d["paths"] if described.prefix == "" or path.startswith("/api")}
    for path in ("/users", "/users/{id}", "/users/{id}/posts", "/users/{id}/comments", "/posts/{id}/comments",
                 "/categories/{id}/posts", "/pairs/{key}", "/pairs/{key}/made", "/made/{id}/made!first", "/made/{id}/made!second"):
        assert p + path in paths, path
    assert p + "/posts/{id}/users" not in paths
    schemas = d["components"]["schemas"]
    assert schemas["row.users"]["description"] == 'People who "write"'
    post = schemas["row.posts"]["properties"]
    assert post["createdAt"]["description"].startswith("When it was begun – é") and post["createdAt"]["format"] == "date-time-local"
    assert post["content"] == {"type": ["string", "null"], "description": "Markdown"}
    assert post["id"] == {"type": "integer", "format": "int32"}
    kinds = schemas["row.kinds"]["properties"]
    assert kinds["feel"]["enum"] == ["sad", 'very "glad"', "", None] and kinds["lab"]["enum"] == kinds["feel"]["enum"]
    assert kinds["short"]["maxLength"] == 5 and kinds["at"]["format"] == "date-time" and kinds["twice"]["readOnly"]
    assert set(kinds) - set(schemas["row.kinds"]["required"]) == {"doc", "raw"}
    assert schemas["new.posts"]["required"] == ["title", "userId"] and "required" not in schemas["change.posts"]
    assert schemas["new.pairs"]["required"] == ["a", "b", "v"] and schemas["replace.pairs"]["required"] == ["v"]
    assert not {"twice", "number"} & set(schemas["new.kinds"]["properties"]) and "replace.made" not in schemas
    parameters = {x["name"]: x for x in d["paths"][p + "/kinds"]["get"]["parameters"] if "name" in x}
    assert {"words", "column.limit", "column.column.x", 'a "b"/{c}~é'} <= set(parameters)
    assert "like." in parameters["words"]["description"] and "is.true" in parameters["flag"]["description"]
    assert "lt." not in parameters["addr"]["description"] and "eq." not in parameters["doc"]["description"].split(": ")[1]


def test_the_blog_fits(described):
    ask, row = described.ask, described.row
    for path in ("/users", "/posts", "/categories", "/comments", "/users?limit=1", "/posts?order=-id&limit=1", "/posts?count=exact&limit=2",
                 "/posts?embed=comments.users&userId=eq.1", "/users/1", "/posts/1", "/posts/2", "/users/1/posts", "/users/2/comments",
                 "/posts/1/comments?limit=1", "/posts/99/comments", "/categories/1/posts", "/comments/1?embed=posts"):
        ask("GET", path, 200)
    for path, status in (("/users?nope=1", 400), ("/users?limit=0", 400), ("/users/x", 400), ("/users/99", 404),
                         ("/users/x/posts", 400), ("/users/1?limit=1", 400)):
        ask("GET", path, status)
    email = f"{time.monotonic()}@example.org"
    made = ask("POST", "/users", 201, json={"name": None, "email": email})
    key = row(made)["id"]
    assert made.headers["Location"] == f"{described.prefix}/users/{key}"
    ask("POST", "/users", 409, json={"email": email})
    ask("POST", "/users", 422, json={"name": "x"})
    ask("POST", "/users", 400, data="{", headers=JSON)
    ask("POST", "/users", 413, data=" " * 70000, headers=JSON)
    ask("POST", "/users", 415, data="{}")
    ask("PUT", f"/users/{key}", 200, json={"id": key, "email": email})
    ask("PUT", f"/users/{key + 1000}", 201, json={"email": email + "1"})
    ask("PUT", f"/users/{key}", 422, json={"id": 700000, "email": email})
    ask("PUT", "/users/x", 400, json={"email": email})
    ask("PATCH", f"/users/{key}", 200, json={"name": "y"})
    ask("PATCH", f"/users/{key}", 422, json={})
    ask("PATCH", f"/users/{key}", 412, json={"name": "y"}, headers={"If-Match": '"1"'})
    ask("PATCH", "/users/424242", 404, json={"name": "y"})
    lines = {"headers": {"Content-Type": "application/x-ndjson"}}
    ask("POST", "/users/import", 200, data=f'{{"email":"{email}2"}}\n{{"email":7}}\n', **lines)
    ask("POST", "/users/import", 415, json={})
    described.stack.sql("primary", 'delete from "User" where email = %s', email + "2")
    ask("DELETE", "/users/1", 409)
    ask("DELETE", "/users/x", 400)
    for k in (key, key + 1000):
        ask("DELETE", f"/users/{k}", 204 if described.base else 200)
    ask("DELETE", f"/users/{key}", 404)
    routes = {(t, v) for t, v, _ in described.seen}
    assert {(t, v) for t, v, _, _ in operations(described.document) if "/users" in t or "/posts" in t} - routes <= {
        (described.prefix + f"/{r}{k}", v) for r in ("posts",) for k in ("", "/import", "/{id}") for v in ("post", "put", "patch", "delete")}


def test_two_of_one_resource_fit(described):
    row = described.row(described.ask("GET", "/made/1", 200))
    assert (row["made!first"]["id"], row["made!second"]) == (1, None) and "made" not in row


def test_forbidden_fits(described):
    described.stack.psql("primary", f"""CREATE OR REPLACE FUNCTION no() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN RAISE insufficient_privilege; END $$;
        CREATE TRIGGER no BEFORE INSERT ON "Category" FOR EACH ROW EXECUTE FUNCTION no();""")
    try:
        described.ask("POST", "/categories", 403, json={"name": "x"})
    finally:
        described.stack.psql("primary", 'DROP TRIGGER no ON "Category"')


def test_every_kind_fits(described):
    ask, row, stack = described.ask, described.row, described.stack
    for path in ("/kinds", "/kinds/2", "/kinds/3", "/kinds/9223372036854775807", "/kinds?column.limit=eq.5", "/pairs/x%2Cy,1",
                 "/pairs", "/pairs/x%2Cy,1/made", "/made/1/made!first", "/made/1"):
        ask("GET", path, 200)
    got = row(ask("GET", "/kinds/9223372036854775807", 200))
    assert got["flag"] is True and got["must"] == [1]
    body = {k: v for k, v in got.items() if k not in ("twice", "number")}
    body["id"] = 50 if described.base else 51
    assert described.body("/kinds", "POST").is_valid(body)
    made = ask("POST", "/kinds", 201, json=body)
    ask("PUT", f"/kinds/{body['id']}", 200, json=body)
    assert row(made)["words"] == got["words"]
    gone = ask("DELETE", f"/kinds/{body['id']}", 204 if described.base else 200)
    assert gone.status_code
    ask("PUT", "/made/1", 200, json={"v": "two"})
    ask("PUT", "/made/777", 404, json={"v": "two"})
    ask("PUT", "/pairs/new,1", 201, json={"v": "two"})
    ask("PUT", "/pairs/new,1", 200, json={"v": "three"})
    ask("DELETE", "/pairs/new,1", 204 if described.base else 200)
    # Infinity, and years that ISO 8601 does not have, are strings of no format.
    stack.psql("primary", "INSERT INTO kinds (id, at, local, day) VALUES (77, 'infinity', '0044-03-15 BC', '-infinity')")
    wait_there(stack, "kinds", "id = 77")
    answer = stack.get(f"{described.prefix}/kinds/77", base=described.base)
    jsonschema.validate(answer.json(), described.schema(f"{described.prefix}/kinds/77", "GET", 200)[1], jsonschema.Draft202012Validator)
    stack.psql("primary", "DELETE FROM kinds WHERE id = 77")
    wait_gone(stack, "kinds", "id = 77")


# What the schemas of requests say, and what the API does.
BODIES = [
    {"id": 60}, {}, {"id": None}, {"id": 61, "flag": 1}, {"id": 62, "small": 40000}, {"id": 63, "small": 1.5}, {"id": 64, "twice": 1},
    {"id": 65, "number": 1}, {"id": 66, "short": "sixsix"}, {"id": 67, "feel": "angry"}, {"id": 68, "feel": ""}, {"id": 69, "exact": "NaN"},
    {"id": 70, "exact": "1"}, {"id": 71, "numbers": ["x"]}, {"id": 72, "numbers": "{1,2}"},
    {"id": 73, "must": None}, {"id": 74, "at": 5}, {"id": 75, "day": "2026-02-30"}, {"id": 76, "nope": 1}, {"id": 78, "moods": ["sad", None]},
    {"id": 79, "moods": ["angry"]}, {"id": 80, "feel": None}, {"id": 81, "key": "x"}, {"id": 82, "doc": None, "raw": {"a": 1}},
]


@pytest.mark.parametrize("body", BODIES, ids=[str(n) for n in range(len(BODIES))])
def test_bodies_are_taken_as_the_schema_says(api, body):
    described = Described(api)
    valid = described.body("/kinds", "POST").is_valid(body)
    answer = api.post("/api/kinds", json=body)
    assert (answer.status_code == 201) == valid, (valid, answer.text)
    if answer.status_code == 201:
        api.delete(f"/api/kinds/{body['id']}")


def test_a_column_that_is_added_appears(api):
    def columns():
        schema = api.get("/openapi.json").json()["components"]["schemas"]["row.categories"]
        return list(schema["properties"]), schema["required"]
    assert columns() == (["id", "name"],) * 2
    api.psql("primary", """ALTER TABLE "Category" ADD COLUMN colour text; COMMENT ON COLUMN "Category".colour IS 'of the label'""")
    wait_until(lambda: columns() == (["id", "name", "colour"],) * 2, 10 * SLOWNESS, "the column", 0.02)
    wait_until(lambda: "of the label" in api.get("/openapi.json").text, 10 * SLOWNESS, "the comment", 0.02)
    api.psql("primary", 'ALTER TABLE "Category" DROP COLUMN colour')
    wait_until(lambda: columns() == (["id", "name"],) * 2, 10 * SLOWNESS, "the column gone", 0.02)


def counted(stack, base=None):
    rows = stack.get("/stats", base=base).json()["data"]["resources"]
    return {r["name"]: (r["rows"], r.get("estimated", False)) for r in rows}


def test_stats_count_rows(api, described):
    assert list(counted(api)) == ["users", "posts", "categories", "comments", "kinds", "pairs", "made"]
    wait_until(lambda: counted(api)["users"] == (2, False), 10 * SLOWNESS, "users to be counted", 0.05)
    assert counted(api)["comments"] == (3, False)
    api.psql("primary", "INSERT INTO pairs SELECT 'n', n, '' FROM generate_series(1, 7) n")
    wait_until(lambda: counted(api)["pairs"] == (8, False), 10 * SLOWNESS, "new rows to be counted", 0.05)
    api.psql("primary", "DELETE FROM pairs WHERE a = 'n'")
    for path in ("/stats", "/status"):
        answer = api.get(path, base=described.base)
        schema = described.schema(path, "GET", 200)[1]
        jsonschema.validate(answer.json(), schema, jsonschema.Draft202012Validator)
        # The schema is one that a wrong answer does not fit.
        wrong = {**answer.json(), "data": {**answer.json()["data"], "resources": [{"name": 1}]}}
        assert not jsonschema.Draft202012Validator(schema).is_valid(wrong)


def test_status_tells_which_are_served(stack):
    stack.psql("primary", "CREATE TABLE a (id int PRIMARY KEY); CREATE TABLE b (id int PRIMARY KEY);")
    stack.start_consumer()
    register(stack, "a")
    stack.start_api(RESOURCES="first=a, b, c=public.nowhere")
    wait_loaded(stack, "a")
    wait_known(stack, "/api/first?limit=1")

    def told():
        return {r.pop("name"): r for r in data(stack.get("/status"))["resources"]}
    wait_until(lambda: told()["first"]["state"] == "served", 10 * SLOWNESS, "the model", 0.05)
    assert told()["first"] == {"table": "public.a", "state": "served"}
    assert told()["b"] == {"table": "b", "state": "missing",
                           "reason": "the table public.b is not registered: SELECT pgfanout.add_table('public.b')"}
    assert told()["c"]["table"] == "public.nowhere" and told()["c"]["reason"].startswith("there is no table public.nowhere")
    assert [p for p in stack.get("/openapi.json").json()["paths"] if p.startswith("/api/") and "products" not in p] == [
        "/api/first", "/api/first/import", "/api/first/{id}"]
    assert counted(stack) == {"first": (0, False), "b": (None, False), "c": (None, False)}
    stack.psql("primary", "SELECT pgfanout.add_table('b'); INSERT INTO b SELECT generate_series(1, 5); ANALYZE b")
    wait_until(lambda: told()["b"] == {"table": "public.b", "state": "served", "rows": 5}, 10 * SLOWNESS, "b", 0.05)


def test_many_rows_are_estimated(stack):
    stack.psql("primary", "CREATE TABLE big (id int PRIMARY KEY); CREATE TABLE small (id int PRIMARY KEY);")
    start(stack, "big, small", "big", "small")
    wait_known(stack, "/api/big?limit=1")
    stack.psql("primary", "INSERT INTO small SELECT generate_series(1, 9); ALTER TABLE big DISABLE TRIGGER USER;"
                          "INSERT INTO big SELECT generate_series(1, 100000)")
    wait_until(lambda: counted(stack) == {"big": (100000, False), "small": (9, False)}, 10 * SLOWNESS, "counts", 0.1)
    stack.psql("primary", "INSERT INTO big SELECT generate_series(100001, 150000)")
    wait_until(lambda: counted(stack)["big"] == (100001, True), 10 * SLOWNESS, "an estimate", 0.1)
    stack.psql("primary", "ANALYZE big")
    wait_until(lambda: counted(stack)["big"] == (150000, True), 10 * SLOWNESS, "a better one", 0.1)
    # One that is locked holds nobody up, and the others are counted.
    holder = stack.connect()
    with holder.cursor() as cursor:
        cursor.execute("LOCK TABLE small IN ACCESS EXCLUSIVE MODE")
    time.sleep(1.1)
    stack.get("/stats")
    wait_until(lambda: counted(stack)["small"][0] is None, 10 * SLOWNESS, "small to be unknown", 0.1)
    assert counted(stack)["big"] == (150000, True)
    holder.rollback()
    wait_until(lambda: counted(stack)["small"] == (9, False), 10 * SLOWNESS, "small again", 0.1)


def test_a_hung_primary_does_not_hold_stats_up(stack):
    stack.psql("primary", "CREATE TABLE a (id int PRIMARY KEY); INSERT INTO a VALUES (1)")
    proxy = stack.proxy(stack.primary)
    stack.start_consumer()
    register(stack, "a")
    stack.start_api(RESOURCES="a", DATABASE_URL=stack.proxied_url(stack.primary, proxy))
    wait_loaded(stack, "a")
    wait_until(lambda: counted(stack) == {"a": (1, False)}, 10 * SLOWNESS, "a count", 0.1)
    proxy.stall()
    try:
        for _ in range(15):
            assert json.loads(stack.get("/stats").text)["data"]["resources"][0]["rows"] in (1, None)
            stack.get("/openapi.json")
            time.sleep(0.3)
    finally:
        proxy.resume()
    wait_until(lambda: counted(stack) == {"a": (1, False)}, 20 * SLOWNESS, "a count again", 0.1)
