"""Resources: registered tables served at /api/<name>, read from the replicas and written to the primary."""
import concurrent.futures
import http.client
import json
import socket
import threading

import pytest
import requests
from conftest import SLOWNESS, wait_until
from test_tables import wait_equal
from test_walks import BLOG, BLOG_COLUMNS

RESOURCES = ("users=User+posts+comments, posts=Post+users+categories+comments, categories=Category, "
             "comments=Comment")
REPLICAS = ("replica-1", "replica-2")


def register(stack, *tables):
    stack.psql("primary", "".join(f"SELECT pgfanout.add_table('{t}');" for t in tables))


def wait_loaded(stack, *tables):
    """Until both replicas have the tables as they are."""
    def loaded():
        for db in REPLICAS:
            done = stack.sql(db, """select count(*) from pgfanout.tables t join pg_class c on c.oid = t.relation
                where not t.due and format('%%I', c.relname) = any (%s)""", [t.split(".")[-1] for t in tables])
            if done != [(len(tables),)]:
                return False
        return True
    wait_until(loaded, 30 * SLOWNESS, "the replicas to have the tables", 0.05)


def wait_known(stack, path):
    wait_until(lambda: stack.get(path).status_code != 503, 10 * SLOWNESS, f"{path} to be served", 0.05)


def start(stack, resources, *tables, **env):
    stack.start_consumer()
    register(stack, *tables)
    stack.start_api(RESOURCES=resources, **env)
    wait_loaded(stack, *tables)


def wait_there(stack, table, where):
    for db in REPLICAS:
        wait_until(lambda db=db: stack.sql(db, f"select 1 from {table} where {where}"), 10 * SLOWNESS, f"{where} on {db}", 0.02)


def wait_gone(stack, table, where):
    for db in REPLICAS:
        wait_until(lambda db=db: not stack.sql(db, f"select 1 from {table} where {where}"), 10 * SLOWNESS,
                   f"{where} gone on {db}", 0.02)


def data(answer, status=200):
    assert answer.status_code == status, answer.text
    return answer.json()["data"]


@pytest.fixture
def blog(stack):
    stack.psql("primary", BLOG)
    start(stack, RESOURCES, *BLOG_COLUMNS)
    wait_known(stack, "/api/users?limit=1")
    return stack


def test_the_blog_that_people_know(blog):
    """The walk of an Express application with Prisma: users, posts, comments, categories."""
    users = data(blog.get("/api/users"))
    assert [(u["id"], u["name"], u["email"]) for u in users] == [(1, "Ada", "ada@example.org"), (2, "Grace", "grace@example.org")]
    assert [p["title"] for p in users[0]["posts"]] == ["Hello"]
    assert [c["content"] for c in users[0]["comments"]] == ["Thanks", "Nice"]
    posts = data(blog.get("/api/posts"))
    assert [(p["title"], p["published"], p["users"]["name"], p["categories"]["name"]) for p in posts] == [
        ("Hello", False, "Ada", "News"), ("World", False, "Grace", "Notes")]
    assert [c["content"] for c in posts[0]["comments"]] == ["First!", "Thanks"]
    assert [c["content"] for c in data(blog.get("/api/posts/1/comments"))] == ["First!", "Thanks"]
    assert data(blog.get("/api/posts/99/comments")) == []

    answer = blog.post("/api/users", json={"name": "Alan", "email": "alan@example.org"})
    assert data(answer, 201) == {"id": 3, "name": "Alan", "email": "alan@example.org"}
    assert answer.headers["Location"] == "/api/users/3"
    wait_there(blog, '"User"', "id = 3")
    got = blog.get("/api/users/3")
    assert got.headers["X-Served-By"] in REPLICAS
    assert data(got) == {"id": 3, "name": "Alan", "email": "alan@example.org", "posts": [], "comments": []}

    assert data(blog.put("/api/users/3", json={"name": "Alan T.", "email": "alan@example.org"}))["name"] == "Alan T."
    assert data(blog.patch("/api/users/3", json={"email": "turing@example.org"})) == {
        "id": 3, "name": "Alan T.", "email": "turing@example.org"}
    post = data(blog.post("/api/posts", json={"title": "On machines", "content": None, "userId": 3, "categoryId": 1}), 201)
    assert (post["id"], post["published"], post["content"]) == (3, False, None)
    comment = data(blog.post("/api/comments", json={"content": "Good", "userId": 1, "postId": 3}), 201)
    wait_there(blog, '"Comment"', f"id = {comment['id']}")
    assert data(blog.get("/api/posts/3"))["comments"] == [comment]
    assert data(blog.put("/api/posts/3", json={"title": "On computable numbers", "userId": 3, "published": True}))["published"] is True
    for n in range(20):  # a bulk loop
        data(blog.post("/api/comments", json={"content": f"Number {n}", "userId": 2, "postId": 3}), 201)
    assert blog.delete(f"/api/comments/{comment['id']}").json() == {
        "success": True, "data": None, "message": "comments deleted successfully"}
    wait_gone(blog, '"Comment"', f"id = {comment['id']}")
    wait_there(blog, '"Comment"', "content = 'Number 19'")
    assert len(data(blog.get("/api/posts/3/comments"))) == 20
    assert blog.get(f"/api/comments/{comment['id']}").status_code == 404
    assert blog.delete("/api/comments/99999").status_code == 404
    assert blog.get("/health").status_code == 200


def test_users_bare(stack):
    """The other walk: one table, bare answers, no prefix."""
    stack.psql("primary", """CREATE TABLE users (id serial PRIMARY KEY, name text NOT NULL, email text NOT NULL UNIQUE,
        "createdAt" timestamptz NOT NULL DEFAULT now());""")
    start(stack, "users", "users", RESOURCE_PREFIX="/", RESOURCE_ENVELOPE="false")
    wait_known(stack, "/users")
    assert stack.get("/users").json() == []
    answer = stack.post("/users", json={"name": "Ada", "email": "ada@example.org"})
    assert answer.status_code == 201 and answer.headers["Location"] == "/users/1"
    row = answer.json()
    assert list(row) == ["id", "name", "email", "createdAt"] and row["id"] == 1
    assert len(row["createdAt"]) == len("2026-01-31T12:00:00.123456Z") and row["createdAt"].endswith("Z")
    wait_there(stack, "users", "id = 1")
    assert stack.get("/users").json() == [row] and stack.get("/users/1").json() == row
    for n in range(5):
        stack.post("/users", json={"name": f"n{n}", "email": f"n{n}@example.org"})
    wait_there(stack, "users", "id = 6")
    page = stack.get("/users?limit=4")
    assert [u["id"] for u in page.json()] == [1, 2, 3, 4]
    rest = stack.get("/users", params={"limit": 4, "cursor": page.headers["X-Next-Cursor"]})
    assert [u["id"] for u in rest.json()] == [5, 6] and "X-Next-Cursor" not in rest.headers
    gone = stack.delete("/users/1")
    assert gone.status_code == 204 and gone.content == b""
    error = stack.post("/users", json={"name": "x", "email": "n1@example.org"})
    assert error.status_code == 409
    assert error.json() == {"success": False, "error": "email: another row has the same value already", "field": "email"}


def test_what_is_not_listed_is_not_there(blog):
    blog.psql("primary", "CREATE TABLE secrets (id int PRIMARY KEY); SELECT pgfanout.add_table('secrets');")
    for path in ("/api/secrets", "/api/User", "/api/pgfanout.outbox", "/api/users/1/secrets", "/api/tags"):
        assert blog.get(path).status_code == 404, path
        assert blog.get(path).json()["error"].startswith("there is nothing under this path")
    assert blog.get("/api/users/1/categories").status_code == 404
    assert blog.request("DELETE", "/api/users").headers["Allow"] == "GET, HEAD, POST"


def test_errors_name_the_field(blog):
    cases = [
        ("post", "/api/users", {"name": "x"}, 422, "email"),
        ("post", "/api/users", {"email": "ada@example.org"}, 409, "email"),
        ("post", "/api/users", {"email": 7}, 422, "email"),
        ("post", "/api/users", {"email": "y", "nick": "z"}, 422, "nick"),
        ("post", "/api/posts", {"title": "x", "userId": 4711}, 409, "userId"),
        ("post", "/api/posts", {"title": "x", "userId": "1"}, 422, "userId"),
        ("post", "/api/posts", {"title": "x", "userId": 1.5}, 422, "userId"),
        ("post", "/api/posts", {"title": "x", "userId": 2 ** 31}, 422, "userId"),
        ("post", "/api/posts", {"title": "x", "userId": 1, "createdAt": "yesterday-ish"}, 422, "createdAt"),
        ("patch", "/api/posts/1", {"published": "yes"}, 422, "published"),
        ("patch", "/api/posts/1", {"id": 2}, 422, "id"),
        ("patch", "/api/posts/1", {}, 422, None),
        ("patch", "/api/posts/x", {"title": "y"}, 400, "id"),
        ("patch", "/api/posts/1,2", {"title": "y"}, 400, "id"),
        ("delete", "/api/users/1", None, 409, None),
        ("get", "/api/posts/x", None, 400, "id"),
        ("get", "/api/posts?nope=eq.1", None, 400, "nope"),
        ("get", "/api/posts?content=eq.1", None, 400, "content"),
        ("get", "/api/posts?order=content", None, 400, "order"),
        ("get", "/api/posts?userId=eq.x", None, 400, "userId"),
        ("get", "/api/posts?limit=0", None, 400, "limit"),
        ("get", "/api/posts?cursor=x", None, 400, "cursor"),
        ("get", "/api/posts?embed=nope", None, 400, "embed"),
        ("get", "/api/posts?select=nope", None, 400, "select"),
    ]
    for method, path, body, status, field in cases:
        answer = getattr(blog, method)(path, **({"json": body} if body is not None else {}))
        assert (answer.status_code, answer.json().get("field", None)) == (status, field), (method, path, body, answer.text)
        assert "relation" not in answer.text and "violates" not in answer.text
    answer = blog.post("/api/users", data=b"{", headers={"Content-Type": "application/json"})
    assert answer.status_code == 400 and "JSON" in answer.json()["error"]


def test_pages_stay_whole_under_writes(blog):
    """Rows that are there all the time come once each, in every order, while others come and go."""
    blog.psql("primary", """INSERT INTO "Post" (title, "userId", "createdAt")
        SELECT 'Post ' || n, n % 2 + 1, '2026-01-01'::timestamp + (n % 50) * interval '1 day' FROM generate_series(1, 600) n;
        CREATE INDEX ON "Post" ("createdAt", id);""")
    wait_there(blog, '"Post"', "title = 'Post 600'")
    stop = threading.Event()

    def write():
        n = 0
        while not stop.is_set():
            n += 1
            blog.psql("primary", f"""INSERT INTO "Post" (title, "userId") VALUES ('Passing {n}', 1);
                DELETE FROM "Post" WHERE title = 'Passing {n - 3}';""")
    writer = threading.Thread(target=write)
    writer.start()
    try:
        for order in ("", "order=-createdAt,id&", "order=createdAt&", "order=-id&"):
            wait_until(lambda order=order: blog.get(f"/api/posts?{order}limit=1").status_code == 200, 10 * SLOWNESS, "the index", 0.1)
            seen, cursor = [], None
            while True:
                page = blog.get(f"/api/posts?{order}select=id,title,createdAt&limit=37" + (f"&cursor={cursor}" if cursor else "")).json()
                seen += page["data"]
                cursor = page["next"]
                if not cursor:
                    break
            kept = [p for p in seen if p["title"].startswith("Post ")]
            assert len(kept) == 600 and len({p["id"] for p in kept}) == 600, order
            key = {"": lambda p: p["id"], "order=-id&": lambda p: -p["id"]}.get(order)
            if key:
                assert [key(p) for p in seen] == sorted(key(p) for p in seen)
            else:
                days = [p["createdAt"] for p in seen]
                assert days == sorted(days, reverse=order.startswith("order=-"))
    finally:
        stop.set()
        writer.join()
    listed = data(blog.get("/api/posts?userId=eq.1"))
    assert len([p for p in listed if p["title"].startswith("Post ")]) == 300
    counted = blog.get("/api/categories?count=exact&limit=1")
    assert counted.headers["X-Total-Count"] == "2" and len(data(counted)) == 1


def test_a_column_comes_goes_and_is_renamed(blog):
    """Soon, without a restart; requests under way neither fail nor mix shapes."""
    shapes, failures, stop = set(), [], threading.Event()

    def read():
        with requests.Session() as s:
            while not stop.is_set():
                answer = s.get(blog.url("/api/categories"), timeout=30)
                if answer.status_code != 200:
                    failures.append(answer.text)
                    continue
                rows = answer.json()["data"]
                shapes.update(tuple(r) for r in rows)
                if len({tuple(r) for r in rows}) != 1:
                    failures.append(answer.text)
    reader = threading.Thread(target=read)
    reader.start()
    try:
        for ddl, member in (("ADD COLUMN colour text DEFAULT 'red'", "colour"), ("RENAME COLUMN colour TO color", "color"),
                            ("DROP COLUMN color", None), ("RENAME COLUMN name TO title", "title")):
            blog.psql("primary", f'ALTER TABLE "Category" {ddl}')

            def shown(member=member):
                row = data(blog.get("/api/categories/1"))
                return member in row if member else set(row) == {"id", "name"}
            wait_until(shown, 10 * SLOWNESS, ddl, 0.02)
    finally:
        stop.set()
        reader.join()
    assert not failures, failures[:3]
    assert shapes <= {("id", "name"), ("id", "name", "colour"), ("id", "name", "color"), ("id", "title")}
    assert data(blog.patch("/api/categories/1", json={"title": "Old news"})) == {"id": 1, "title": "Old news"}


def test_a_stream_that_lags_is_read_elsewhere(blog):
    """Each table's stream by itself: neither do products suffer, nor resources where only products lag."""
    blog.start_api(RESOURCES=RESOURCES, MAX_REPLICA_LAG_MS=2000)

    def served_by(path):
        answers = [blog.get(path) for _ in range(8)]
        assert {a.status_code for a in answers} == {200}
        return {a.headers["X-Served-By"] for a in answers}
    paths = ("/api/categories/1", "/api/users?limit=1")  # by key, and a page with embeds of the same stream
    for path in (*paths, "/api/products?limit=1"):
        wait_until(lambda path=path: served_by(path) == set(REPLICAS), 20 * SLOWNESS, f"{path} from both", 0.1)
    for table, lagging, others in (('"Category"', paths, ["/api/products?limit=1"]), ("products", ["/api/products?limit=1"], paths)):
        lock = blog.connect("replica-1")
        lock.cursor().execute(f"lock table {table} in exclusive mode")  # readers may, writers may not
        blog.psql("primary", 'update "Category" set name = name; insert into products (id, name, price, stock) '
                  "values (gen_random_uuid(), 'x', 1, 1)")
        for path in lagging:
            wait_until(lambda path=path: served_by(path) == {"replica-2"}, 20 * SLOWNESS, f"{path} from replica-2 alone", 0.1)
        for path in others:
            assert served_by(path) == set(REPLICAS), path
        lock.rollback()
        for path in lagging:
            wait_until(lambda path=path: served_by(path) == set(REPLICAS), 20 * SLOWNESS, f"{path} from both again", 0.1)


class SlowList:
    """A list that has begun, and waits for its reader with most of it still to be read from a database."""

    def __init__(self, stack, path):
        self.conn = http.client.HTTPConnection("127.0.0.1", int(stack.env["PORT"]), timeout=60)
        self.conn.sock = socket.socket()
        self.conn.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        self.conn.sock.connect(("127.0.0.1", int(stack.env["PORT"])))
        self.conn.request("GET", path)
        self.answer = self.conn.getresponse()
        assert self.answer.status == 200
        self.begun = self.answer.read(1000)

    def rest(self):
        try:
            return json.loads(self.begun + self.answer.read())["data"]
        finally:
            self.conn.close()


def test_a_list_goes_on_while_its_table_is_altered(stack):
    """With the members that it has begun with; where they are gone, it is cut."""
    stack.psql("primary", """create table kinds (id int primary key, name text not null);
        create table things (id int primary key, name text not null, kind int not null references kinds, size int, note text);
        insert into kinds select n, 'kind ' || n from generate_series(0, 9) n;
        insert into things select n, repeat('x', 200) || n, n % 10, n, repeat('y', 200) from generate_series(1, 60000) n""")
    start(stack, "things, kinds", "kinds", "things", MAX_LISTS=8)
    wait_known(stack, "/api/things/1")
    wait_known(stack, "/api/kinds/1")
    whole, some, embeds, by_note = (SlowList(stack, path) for path in (
        "/api/things", "/api/things?select=name,size&order=-id", "/api/things?embed=kinds&select=id,name", "/api/things?select=id,note"))
    for table, ddl in (("things", "rename column name to title"), ("things", "add column name text default 'new'"),
                       ("things", "alter column size type bigint"), ("kinds", "rename column name to label"),
                       ("kinds", "rename to sorts"), ("things", "rename to objects")):
        stack.psql("primary", f"alter table {table} {ddl}")
    wait_until(lambda: stack.get("/api/things/1").status_code == 503, 10 * SLOWNESS, "nothing to have the old name", 0.05)
    stack.psql("primary", "alter table objects rename to things; alter table sorts rename to kinds")
    wait_until(lambda: set(stack.get("/api/things/1").json().get("data") or ()) ==
               {"id", "title", "kind", "size", "note", "name"}, 10 * SLOWNESS, "the new shape", 0.05)
    wait_until(lambda: set(stack.get("/api/kinds/1").json().get("data") or ()) == {"id", "label"}, 10 * SLOWNESS, "the new kinds", 0.05)
    for db in REPLICAS:
        wait_until(lambda db=db: stack.sql(db, "select count(title) from things where name = 'new'") == [(60000,)], 60 * SLOWNESS,
                   f"the new shape on {db}", 0.05)

    rows = whole.rest()
    assert [r["id"] for r in rows] == list(range(1, 60001))
    assert {tuple(r) for r in rows} == {("id", "name", "kind", "size", "note")}
    assert all(r["name"] == "x" * 200 + str(r["id"]) for r in rows)
    assert [(r["name"], r["size"]) for r in some.rest()] == [("x" * 200 + str(n), n) for n in range(60000, 0, -1)]
    rows = embeds.rest()
    assert [r["id"] for r in rows] == list(range(1, 60001))
    assert all(r["kinds"] == {"id": r["id"] % 10, "name": f"kind {r['id'] % 10}"} for r in rows)

    # What is not there any more cannot be sent, and a short list is never well-formed.
    stack.psql("primary", "alter table things drop column note")
    wait_until(lambda: "note" not in data(stack.get("/api/things/1")), 10 * SLOWNESS, "the column to be gone", 0.05)
    with pytest.raises(http.client.IncompleteRead):
        by_note.rest()


def test_a_parent_that_the_replica_lacks_is_read_at_the_primary(blog):
    for db in REPLICAS:
        blog.sql(db, 'delete from "User" where id = 2')
    answer = blog.get("/api/posts/2")
    assert answer.headers["X-Served-By"] == "primary"
    assert data(answer)["users"]["name"] == "Grace"
    assert blog.get("/api/posts/1").headers["X-Served-By"] in REPLICAS
    page = blog.get("/api/posts?limit=10&embed=users")
    assert page.headers["X-Served-By"] == "primary" and [p["users"]["id"] for p in data(page)] == [1, 2]


def test_keys_of_all_kinds(stack):
    tables = {
        "pairs": ("a text, b integer, v text, primary key (a, b)", [("x,y/z", 7), ("", -1), ("ä %", 0)]),
        "uuids": ("id uuid primary key default gen_random_uuid(), v text", [("6ba7b810-9dad-11d1-80b4-00c04fd430c8",)]),
        "numerics": ("id numeric primary key, v text", [("1.50",), ("-1000000000000000000000.5",)]),
        "times": ("id timestamptz primary key, v text", [("2026-01-31 12:00:00.123456+00",)]),
        "labels": ("id label primary key, v text", [("two words",)]),
    }
    stack.psql("primary", "CREATE TYPE label AS ENUM ('a', 'two words');" + "".join(
        f"CREATE TABLE {name} ({columns});" for name, (columns, _) in tables.items()))
    start(stack, ",".join(tables), *tables)
    from urllib.parse import quote
    for name, (_, keys) in tables.items():
        wait_known(stack, f"/api/{name}?limit=1")
        for key in keys:
            path = f"/api/{name}/" + ",".join(quote(str(k), safe="") for k in key)
            answer = stack.put(path, json={"v": "one"})
            assert answer.status_code == 201, answer.text
            again = stack.put(path, json={"v": "two"})
            assert again.status_code == 200 and again.json()["data"]["v"] == "two", again.text
            row = again.json()["data"]
            wait_until(lambda path=path, row=row: all(stack.get(path).json().get("data") == row for _ in range(4)),
                       10 * SLOWNESS, path, 0.02)
            assert data(stack.get(answer.headers["Location"])) == row
            assert data(stack.patch(path, json={"v": None}))["v"] is None
            assert stack.delete(path).status_code == 200
            assert stack.delete(path).status_code == 404


def test_every_type_goes_out_and_in(stack):
    """What GET answers PUT takes, and the row is the same to the last digit."""
    stack.psql("primary", r"""
        CREATE TYPE mood AS ENUM ('sad', 'very glad'); CREATE TYPE pair AS (x int, y text);
        CREATE DOMAIN positive AS integer CHECK (value > 0);
        CREATE TABLE kinds (id bigint PRIMARY KEY, flag boolean, small smallint, wide bigint, exact numeric, odd numeric(12,2),
            single real, double double precision, words text, short varchar(5), fixed char(4), bytes bytea, at timestamptz,
            local timestamp, day date, span interval, clock time, zone timetz, key uuid, doc jsonb, raw json, feel mood, two pair,
            num positive, numbers integer[], texts text[], deep integer[][], moods mood[], times timestamptz[], span2 int4range,
            addr inet, spot point, mask bit(3), more varbit, xmlish xml, search tsvector, odds integer[]);
        INSERT INTO kinds VALUES (9223372036854775807, true, -32768, -9223372036854775808, 123456789012345678901234567890.0123456789,
            1.5, 1.1, 0.1, E'a "quoted" \\ line\nnext \u2028 ☃', 'äöü', 'ab', '\x00ff10', '2026-01-31 12:00:00.123456+00',
            '2026-01-31 12:00:00.5', '2026-01-31', '1 year 2 mons 3 days 04:05:06.789', '12:34:56.789', '12:34:56+02',
            '6ba7b810-9dad-11d1-80b4-00c04fd430c8', '{"a": [1, null, 1.10]}', '{"b" : 1,  "b":2}', 'very glad', '(1,"x y")', 7,
            '{1,NULL,3}', '{"a,b",NULL,"q\"\\",""}', '{{1,2},{3,4}}', '{sad,"very glad"}', '{"2026-01-31 12:00:00.000001+00"}',
            '[1,5)', '10.0.0.0/8', '(1.5,2)', B'101', B'1', '<a>b</a>', 'a:1 b:2', '[2:3]={7,8}');
        INSERT INTO kinds (id, exact, double, at, local, day, doc, numbers) VALUES (2, 'NaN', '-Infinity', 'infinity', '0044-03-15 BC',
            '-infinity', 'null', '{}');
        INSERT INTO kinds (id) VALUES (3);""")
    start(stack, "kinds", "kinds")
    wait_known(stack, "/api/kinds?limit=1")
    before = stack.sql("primary", "select id, k::text from kinds k order by id")
    for key, text in before:
        got = stack.get(f"/api/kinds/{key}")
        assert got.status_code == 200 and got.headers["X-Served-By"] in REPLICAS
        body = got.text[got.text.index('"data":') + len('"data":'):got.text.rindex(',"message"')]
        answer = stack.put(f"/api/kinds/{key}", data=body.encode(), headers={"Content-Type": "application/json"})
        assert answer.status_code == 200, answer.text
        assert stack.sql("primary", "select k::text from kinds k where id = %s", key) == [(text,)]
        # POST of the same under another key, so that nothing is left from before.
        posted = body.replace(f'"id":{key}', f'"id":{key % 1000 + 100}', 1)
        assert stack.post("/api/kinds", data=posted.encode(), headers={"Content-Type": "application/json"}).status_code == 201
        same = "select (to_jsonb(a) - 'id' - 'raw') = (to_jsonb(b) - 'id' - 'raw') and a.raw::text is not distinct from b.raw::text from kinds a, kinds b where a.id = %s and b.id = %s"
        assert stack.sql("primary", same, key, key % 1000 + 100) == [(True,)]
    rows = {r["id"]: r for r in json.loads(stack.get("/api/kinds").text, parse_float=str)["data"]}
    assert rows[9223372036854775807]["exact"] == "123456789012345678901234567890.0123456789"
    assert rows[9223372036854775807]["at"] == "2026-01-31T12:00:00.123456Z"
    assert rows[9223372036854775807]["doc"] == {"a": [1, None, "1.10"]}
    assert rows[9223372036854775807]["deep"] == [[1, 2], [3, 4]] and rows[9223372036854775807]["odds"] == "[2:3]={7,8}"
    assert rows[2]["doc"] is None and "doc" not in rows[3] and rows[3]["words"] is None
    assert (rows[2]["exact"], rows[2]["double"], rows[2]["at"]) == ("NaN", "-Infinity", "infinity")


def test_rows_are_imported(blog):
    """Lines with a key create or replace, lines without create; what a line says wrong is told by its number."""
    lines = [{"email": f"n{n}@example.org", "name": f"n{n}"} for n in range(2500)]
    lines[1000] = {"email": 7}
    lines[1001] = {"id": 1, "email": "ada@example.com", "name": "Ada L."}
    lines[1002] = {"email": "n3@example.org"}  # there already
    lines[1003] = {"email": "only@example.org"}
    body = "\n".join(json.dumps(line) for line in lines) + "\n"
    answer = blog.post("/api/users/import", data=body.encode(), headers={"Content-Type": "application/x-ndjson"})
    assert answer.status_code == 200, answer.text
    counts = answer.json()["data"]
    assert (counts["created"], counts["replaced"], counts["rejected"]) == (2497, 1, 2), counts
    wrong = [(e["line"], e.get("field")) for e in counts["errors"]]
    # Two batches are at the database at a time: either line may be the first with this address.
    assert wrong in ([(1001, "email"), (1003, "email")], [(4, "email"), (1001, "email")])
    assert any(e["error"] == "email: another row has the same value already" for e in counts["errors"])
    assert blog.sql("primary", 'select count(*) from "User"') == [(2499,)]
    assert blog.sql("primary", 'select name, email from "User" where id = 1') == [("Ada L.", "ada@example.com")]
    wait_there(blog, '"User"', "email = 'n2499@example.org'")



def test_imports_of_keys_that_are_written_in_several_ways(stack):
    """What comes last holds, however its key is written."""
    stack.psql("primary", "create table numbers (id numeric primary key, v int); create table days (id date primary key, v int)")
    start(stack, "numbers, days", "numbers", "days")
    wait_known(stack, "/api/numbers/1")
    keys = ("1", "1.0", "10e-1", "1.00"), ('"2026-01-02"', '"20260102"', '"Jan 2, 2026"', '"2026-01-02 BC"')
    for path, texts, rows in (("numbers", keys[0], 1), ("days", keys[1], 2)):
        lines = [f'{{"id": {texts[n % 4]}, "v": {n}}}' for n in range(400)]
        done = data(stack.post(f"/api/{path}/import", data="\n".join(lines), headers={"Content-Type": "application/x-ndjson"}))
        assert (done["created"], done["replaced"], done["rejected"]) == (rows, 400 - rows, 0), done
        assert stack.sql("primary", f"select max(v) from {path}") == [(399,)]
        assert stack.sql("primary", f"select v from {path} order by id") == ([(399,)] if rows == 1 else [(399,), (398,)])  # BC first


def test_an_import_that_the_api_does_not_survive(blog):
    """What its batches have committed stays; one waits for a lock then. The same lines once more: each row is there once, created
    or replaced."""
    n, killed = 20000, threading.Event()
    ndjson = {"Content-Type": "application/x-ndjson"}
    line = '{{"id":{0},"name":"Category {0}"}}\n'.format
    written = "select count(*) from \"Category\" where name like 'Category %%'"

    def unfinished():
        for first in range(1000, 1000 + n, 100):
            yield "".join(map(line, range(first, first + 100))).encode()
        killed.wait(60 * SLOWNESS)  # the import has no end
    blog.sql("primary", 'insert into "Category" values (12345, \'locked\')')
    locker = blog.connect()
    with concurrent.futures.ThreadPoolExecutor(1) as pool, locker.cursor() as cursor:
        cursor.execute('select from "Category" where id = 12345 for update')
        answer = pool.submit(blog.post, "/api/categories/import", data=unfinished(), headers=ndjson)
        wait_until(lambda: blog.sql("primary", written) > [(2000,)], 60 * SLOWNESS, "some batches", 0.01)
        blog.apis[0].kill9()
        killed.set()
        with pytest.raises(requests.RequestException):
            answer.result()
    before, = blog.sql("primary", written)[0]
    assert before < n
    locker.rollback()
    blog.apis[0].start()
    blog.apis[0].wait_for_http(blog.apis[0].base + "/ready", 20 * SLOWNESS)
    wait_known(blog, "/api/categories?limit=1")
    answer = blog.post("/api/categories/import", data="".join(map(line, range(1000, 1000 + n))).encode(), headers=ndjson)
    counts = data(answer)
    # A batch that was at the database may have been committed after it was looked at.
    assert counts["created"] + counts["replaced"] == n and counts["rejected"] == 0 and before <= counts["replaced"], (before, counts)
    assert blog.sql("primary", written) == [(n,)]
    assert blog.sql("primary", 'select count(*) from "Category" where id >= 1000 and name <> \'Category \' || id') == [(0,)]
    wait_equal(blog, '"Category"', BLOG_COLUMNS['"Category"'], 60)


def test_imports_follow_the_table(blog):
    """The table is altered while rows come: none is lost."""
    stop = threading.Event()

    def alter():
        n = 0
        while not stop.is_set():
            n += 1
            blog.psql("primary", f'ALTER TABLE "Category" ADD COLUMN c{n} text; ALTER TABLE "Category" DROP COLUMN c{n};')
            stop.wait(0.3)
    altering = threading.Thread(target=alter)
    altering.start()
    try:
        def body():
            for n in range(20000):
                yield json.dumps({"name": f"Category {n}"}).encode() + b"\n"
        answer = blog.post("/api/categories/import", data=body(), headers={"Content-Type": "application/x-ndjson"})
    finally:
        stop.set()
        altering.join()
    assert answer.status_code == 200, answer.text
    assert answer.json()["data"]["created"] == 20000, answer.text
    assert blog.sql("primary", "select count(distinct name) from \"Category\" where name like 'Category %%'") == [(20000,)]


def test_wrong_rows_are_read_elsewhere(blog):
    """A row of which a change was given up on a replica is not read there, by key, page or embed."""
    number, = blog.sql("primary", "select id from pgfanout.registered where relation = '\"User\"'::regclass")[0]
    blog.sql("replica-1", """insert into pgfanout.dead_letters ("table", key, version, queue, error)
        select %s, '{2}', nextval, 'tables.sync.replica-1', 'a test' from (select max(pgfanout_version) + 1 as nextval from "User") v""", number)

    def served_by(path, n=20):
        return {blog.get(path).headers["X-Served-By"] for _ in range(n)}
    wait_until(lambda: served_by("/api/users/2", 6) == {"replica-2"}, 10 * SLOWNESS, "the fence", 0.05)
    assert served_by("/api/users/2") == {"replica-2"}
    assert served_by("/api/users/1?embed=posts") == set(REPLICAS)
    assert served_by("/api/users?limit=5") == {"replica-2"}
    assert served_by("/api/posts/1") == {"replica-2"}  # which embeds users
    assert served_by("/api/categories/1") == set(REPLICAS)
    assert served_by("/api/categories?limit=5") == set(REPLICAS)
    assert served_by("/api/products?limit=5") == set(REPLICAS)
    blog.patch("/api/users/2", json={"name": "Grace H."})  # a newer change cures it
    wait_until(lambda: served_by("/api/users/2", 6) == set(REPLICAS), 10 * SLOWNESS, "the fence to fall", 0.05)
