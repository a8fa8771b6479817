"""Read your own writes: X-Position.

Every answer says what its client has seen by then, and a read that sends that back is never answered with anything
older, whoever answers: see docs/replication.md. The load that proves it under faults is tests/positions/.
"""
import base64
import threading
import uuid

import pytest
import requests
from conftest import SLOWNESS, wait_until
from test_resources import RESOURCES, REPLICAS, data, register, wait_known, wait_loaded
from test_walks import BLOG, BLOG_COLUMNS

LONG = {"POSITION_WAIT_MS": 9000, "REQUEST_TIMEOUT_MS": 20000}  # for tests that want a replica's answer, however slow the machine is


def at(answer):
    """The headers that send an answer's position back."""
    return {"X-Position": answer.headers["X-Position"]}


def served_by(answer):
    return answer.headers["X-Served-By"]


def product(stack, stock=1, **kwargs):
    answer = stack.post("/api/products", json={"name": "A product", "price": 1, "stock": stock}, **kwargs)
    assert answer.status_code == 201, answer.text
    return answer


def ids(answer):
    assert answer.status_code == 200, answer.text
    return [row["id"] for row in answer.json()["data"]]


def hold(stack, replica, table="products"):
    """Nobody writes the table there until the connection is closed; it can be read."""
    conn = stack.connect(replica)
    conn.cursor().execute(f"LOCK TABLE {table} IN EXCLUSIVE MODE")
    return conn


@pytest.fixture
def running(stack):
    stack.start_consumer()
    stack.start_api(**LONG)
    return stack


@pytest.fixture
def blog(stack):
    stack.psql("primary", BLOG)
    stack.start_consumer()
    register(stack, *BLOG_COLUMNS)
    stack.start_api(RESOURCES=RESOURCES, RESOURCE_SCANS="true", **LONG)
    wait_loaded(stack, *BLOG_COLUMNS)
    wait_known(stack, "/api/users?limit=1")
    return stack


def answers_of_all_kinds(stack, path, row, changed):
    """(what, answer) of each verb, and of each kind of read."""
    created = stack.post(path, json=row)
    key = data(created, 201)["id"]
    yield "POST", created
    yield "PATCH", stack.patch(f"{path}/{key}", json=changed)
    yield "GET", stack.get(f"{path}/{key}", headers=at(created))
    yield "HEAD", stack.request("HEAD", f"{path}/{key}", headers=at(created))
    yield "page", stack.get(f"{path}?limit=2")
    yield "list", stack.get(path)
    yield "DELETE", stack.delete(f"{path}/{key}")
    yield "DELETE of nothing", stack.delete(f"{path}/{key}")
    yield "GET of nothing", stack.get(f"{path}/{key}")
    lines = b'{"name":"A","price":1,"stock":1}\n' if path.endswith("products") else b'{"name":"A","email":"a@b"}\n'
    yield "import", stack.post(f"{path}/import", data=lines, headers={"Content-Type": "application/x-ndjson"})


@pytest.mark.parametrize("path,row,changed", [
    ("/api/products", {"name": "A", "price": 1, "stock": 1}, {"stock": 2}),
    ("/api/users", {"name": "A", "email": "a@example.org"}, {"name": "B"})])
def test_every_answer_has_a_position(blog, path, row, changed):
    for what, answer in answers_of_all_kinds(blog, path, row, changed):
        assert answer.status_code in (200, 201, 404), (what, answer.text)
        assert 0 < len(answer.headers.get("X-Position", "")) <= 64, what
        # It is one that is taken.
        assert blog.get(path + "?limit=1", headers=at(answer)).status_code == 200, what
        assert "Set-Cookie" not in answer.headers


def test_what_is_no_position_is_refused(running):
    position = product(running).headers["X-Position"]
    other = base64.urlsafe_b64encode(b"\x02" + bytes(20)).rstrip(b"=").decode()
    for bad in ("", "x", position[:-1], position + "A", "*" + position[1:], other, position + ", " + position, "9" * 5000):
        answer = running.get("/api/products", headers={"X-Position": bad})
        assert (answer.status_code, answer.json()["success"]) == (400, False), bad
        assert "X-Position" in answer.json()["error"]
    # A write sees the newest there is whatever its client has seen.
    assert running.post("/api/products", json={"name": "A", "price": 1, "stock": 1}, headers={"X-Position": "x"}).status_code == 201


def test_own_writes_are_read_from_the_primary_while_replicas_lack_them(stack):
    stack.start_api(POSITION_WAIT_MS=0)
    created = product(stack)  # there is no consumer
    key = created.json()["data"]["id"]
    path = f"/api/products/{key}"
    assert stack.get(path).status_code == 404  # who does not say what it has seen gets what there is
    for where in (path, "/api/products", "/api/products?limit=10"):
        answer = stack.get(where, headers=at(created))
        assert (answer.status_code, served_by(answer)) == (200, "primary"), where
        assert key in str(answer.json())
    gone = stack.delete(path)
    answer = stack.get(path, headers=at(gone))
    assert (answer.status_code, served_by(answer)) == (404, "primary")
    metrics = stack.get("/metrics").text
    assert "pgfanout_api_reads_late_total 4" in metrics.replace(".0", "")


def test_then_replicas_serve_them(running):
    created = product(running)
    key = created.json()["data"]["id"]
    for where in (f"/api/products/{key}", "/api/products", "/api/products?limit=10"):
        answer = running.get(where, headers=at(created))
        assert answer.status_code == 200 and key in answer.text
        assert served_by(answer) in REPLICAS, where
    gone = running.delete(f"/api/products/{key}")
    answer = running.get(f"/api/products/{key}", headers=at(gone))
    assert (answer.status_code, served_by(answer) in REPLICAS) == (404, True)
    assert key not in ids(running.get("/api/products", headers=at(gone)))


def test_the_primary_away(stack):
    """503 that says so, unless the client takes what there is."""
    consumer = stack.start_consumer()
    stack.start_api(POSITION_WAIT_MS=0)
    old = product(stack)
    stack.wait_converged()
    consumer.stop()
    created = product(stack)
    key = created.json()["data"]["id"]
    stack.primary.kill9()
    for where in (f"/api/products/{key}", "/api/products", "/api/products?limit=10"):
        wait_until(lambda where=where: stack.get(where, headers=at(created)).status_code == 503, 20 * SLOWNESS, "503", 0.1)
        answer = stack.get(where, headers=at(created))
        assert "X-Position" in answer.json()["error"] and "primary" in answer.json()["error"]
        assert answer.headers["Retry-After"]
        past = stack.get(where, headers={**at(created), "Cache-Control": "no-cache, max-stale"})
        assert past.status_code == (404 if where.endswith(key) else 200) and served_by(past) in REPLICAS
    # What replicas have they serve.
    answer = stack.get(f"/api/products/{old.json()['data']['id']}", headers=at(old))
    assert answer.status_code == 200 and served_by(answer) in REPLICAS


def test_a_client_never_goes_back(running):
    """One replica lags; a client that has read the other one never sees it."""
    created = product(running)
    key = created.json()["data"]["id"]
    path = f"/api/products/{key}"
    running.wait_converged()
    held = hold(running, "replica-2")
    running.patch(path, json={"stock": 2})
    wait_until(lambda: running.sql("replica-1", "select stock from products where id = %s", key) == [(2,)],
               20 * SLOWNESS, "replica-1 to have it", 0.02)
    assert running.sql("replica-2", "select stock from products where id = %s", key) == [(1,)]
    kinds = (path, "/api/products", "/api/products?limit=5")
    stocks = set()
    for n in range(30):
        seen, position = 0, {}
        for where in (kinds[n % 3], kinds[(n + 1) % 3], kinds[n % 2], path):
            answer = running.get(where, headers=position)
            rows = answer.json()["data"]
            stock = rows["stock"] if where == path else [r["stock"] for r in rows if r["id"] == key][0]
            assert stock >= seen, (n, where, served_by(answer))
            seen, position = stock, at(answer)
            stocks.add(stock)
    assert stocks == {1, 2}  # some began at each of the two
    held.close()
    running.wait_converged()


def test_a_client_never_sees_a_deleted_row_again(running):
    keys = [product(running).json()["data"]["id"] for _ in range(5)]
    running.wait_converged()
    held = hold(running, "replica-2")
    running.sql("primary", "delete from products where id = %s", keys[0])  # somebody else
    wait_until(lambda: len(running.rows("replica-1")) == 4, 20 * SLOWNESS, "replica-1 to have it", 0.02)
    for n in range(20):
        first = running.get("/api/products" + ("?limit=9" if n % 2 else ""))
        for where in ("/api/products", "/api/products?limit=9", f"/api/products/{keys[0]}"):
            then = running.get(where, headers=at(first))
            if keys[0] not in first.text:
                assert then.status_code == 404 or keys[0] not in ids(then), (served_by(first), served_by(then))
    held.close()


def test_a_row_comes_before_its_mark(running):
    """A row by key is served as soon as it is there, however far the mark is."""
    created = product(running)
    path = "/api/products/" + created.json()["data"]["id"]
    running.wait_converged()
    for replica in REPLICAS:  # no further mark comes
        running.psql(replica, """CREATE FUNCTION no_mark() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
            CREATE TRIGGER no_mark BEFORE INSERT ON pgfanout.positions FOR EACH ROW EXECUTE FUNCTION no_mark()""")
    for stock in range(2, 12):
        changed = running.patch(path, json={"stock": stock})
        answer = running.get(path, headers=at(changed))
        assert answer.json()["data"]["stock"] == stock and served_by(answer) in REPLICAS


def test_a_wrong_row_is_never_taken_for_the_written_one(running):
    """What a replica refuses is behind its mark: who has written it reads it elsewhere, at once."""
    created = product(running)
    key = created.json()["data"]["id"]
    path = f"/api/products/{key}"
    running.wait_converged()
    running.psql("replica-1", """CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS
        $$ BEGIN RAISE EXCEPTION 'not here'; END $$;
        CREATE TRIGGER refuse BEFORE UPDATE ON products FOR EACH ROW WHEN (NEW.stock > 100) EXECUTE FUNCTION refuse()""")
    for stock in range(101, 131):
        changed = running.patch(path, json={"stock": stock})
        for where in (path, "/api/products?limit=10", "/api/products"):
            answer = running.get(where, headers=at(changed))
            rows = answer.json()["data"]
            assert [r["stock"] for r in ([rows] if where == path else rows)] == [stock], (where, served_by(answer))
            assert served_by(answer) != "replica-1"


def test_resources(blog):
    """Rows, pages, lists, children and embeds, of two tables and their stream."""
    user = blog.post("/api/users", json={"name": "New", "email": "new@example.org"})
    author = data(user, 201)["id"]
    post = blog.post("/api/posts", json={"title": "Mine", "content": "…", "userId": author})
    key = data(post, 201)["id"]
    for where in (f"/api/posts/{key}", f"/api/posts/{key}?embed=users", f"/api/users/{author}?embed=posts", "/api/posts",
                  "/api/posts?limit=100&count=exact", f"/api/posts?userId=eq.{author}&limit=5", f"/api/users/{author}/posts"):
        answer = blog.get(where, headers=at(post))
        assert answer.status_code == 200 and "Mine" in answer.text, (where, answer.text)
        assert served_by(answer) in REPLICAS, where
    gone = blog.delete(f"/api/posts/{key}")
    for where in (f"/api/posts/{key}", f"/api/users/{author}?embed=posts", "/api/posts", f"/api/users/{author}/posts"):
        answer = blog.get(where, headers=at(gone))
        assert "Mine" not in answer.text, where
        assert answer.status_code == (404 if where.endswith(str(key)) else 200)


def test_what_another_table_shows_through_an_embed(blog):
    """A row's version says nothing of the rows that come with it."""
    user = blog.post("/api/users", json={"name": "Old", "email": "old@example.org"})
    author = data(user, 201)["id"]
    post = blog.post("/api/posts", json={"title": "Mine", "content": "…", "userId": author})
    key = data(post, 201)["id"]
    answer = blog.get(f"/api/posts/{key}?embed=users", headers=at(post))
    assert answer.json()["data"]["users"]["name"] == "Old"
    held = [hold(blog, replica, '"User"') for replica in REPLICAS]
    blog.patch(f"/api/users/{author}", json={"name": "New"})
    changed = blog.patch(f"/api/posts/{key}", json={"title": "Changed"})
    answers = []
    thread = threading.Thread(target=lambda: answers.append(requests.get(
        blog.url(f"/api/posts/{key}?embed=users"), headers=at(changed), timeout=60)))
    thread.start()
    for conn in held:
        conn.close()
    thread.join()
    shown = answers[0].json()["data"]
    assert (shown["title"], shown["users"]["name"]) == ("Changed", "New")


def test_positions_are_for_all_apis_and_outlive_them(running):
    other = running.start_api(**LONG)
    created = product(running)
    path = "/api/products/" + created.json()["data"]["id"]
    answer = running.get(path, base=other.base, headers=at(created))
    assert answer.status_code == 200 and served_by(answer) in REPLICAS
    changed = running.patch(path, base=other.base, json={"stock": 9})
    for api in running.apis:
        api.stop()
    again = running.start_api(**LONG)
    for where in (path, "/api/products"):
        shown = running.get(where, base=again.base, headers=at(changed))
        assert '"stock":9' in shown.text.replace(" ", ""), where


def test_positions_outlive_servers_and_resets(running):
    created = product(running)
    path = "/api/products/" + created.json()["data"]["id"]
    position = at(running.get(path, headers=at(created)))
    for server in (*running.replicas, running.primary, running.rabbitmq):
        server.kill9()
        server.start()
        changed = running.sql("primary", "update products set stock = stock + 1 returning stock")
        assert changed
    wait_until(lambda: running.patch(path, json={"name": "B"}).status_code == 200, 30 * SLOWNESS, "writes", 0.1)
    changed = running.patch(path, json={"stock": 50})
    assert running.reset("--yes").returncode == 0
    for headers in (position, at(changed)):
        for where in (path, "/api/products"):
            answer = running.get(where, headers=headers)
            assert answer.status_code == 200 and '"stock":50' in answer.text.replace(" ", ""), where

    def by_replica():
        return served_by(running.get("/api/products?limit=1", headers=at(changed))) in REPLICAS
    wait_until(by_replica, 30 * SLOWNESS, "a replica to serve what was written before its reset", 0.1)


def test_a_position_of_another_installation_is_asked_of_the_primary(running):
    position = bytearray(base64.urlsafe_b64decode(product(running).headers["X-Position"] + "=="))
    position[2] ^= 1  # another source
    answer = running.get("/api/products", headers={"X-Position": base64.urlsafe_b64encode(position).rstrip(b"=").decode()})
    assert (answer.status_code, served_by(answer)) == (200, "primary")
    running.wait_converged()
    # From then on it is one of ours.
    wait_until(lambda: served_by(running.get("/api/products", headers=at(answer))) in REPLICAS, 20 * SLOWNESS, "a replica", 0.05)


def test_browsers_have_it_in_a_cookie(stack):
    stack.start_api(POSITION_WAIT_MS=0, POSITION_COOKIE="true")
    browser = requests.Session()
    base = stack.apis[0].base
    created = browser.post(base + "/api/products", json={"name": "A", "price": 1, "stock": 1}, timeout=30)
    key = created.json()["data"]["id"]
    cookie = created.headers["Set-Cookie"]
    assert cookie.startswith("pgfanout_position=" + created.headers["X-Position"] + ";")
    assert "HttpOnly" in cookie and "Path=/" in cookie and "SameSite=Lax" in cookie
    answer = browser.get(base + f"/api/products/{key}", timeout=30)
    assert (answer.status_code, served_by(answer)) == (200, "primary")
    # Others of the browser's cookies, and one that is none of ours, are no fault.
    for cookies in ("a=b; pgfanout_position=" + created.headers["X-Position"], "pgfanout_position=x; a=b", "pgfanout_positions=1", ";;"):
        answer = stack.get(f"/api/products/{key}", headers={"Cookie": cookies})
        assert answer.status_code == (200 if created.headers["X-Position"] in cookies else 404), cookies
    # The newer of header and cookie counts.
    old = at(stack.get("/api/products"))
    answer = stack.get(f"/api/products/{key}", headers={**old, "Cookie": "pgfanout_position=" + created.headers["X-Position"]})
    assert answer.status_code == 200


def test_nobody_waits_who_need_not(running):
    """Without writes every replica has what was seen, and reads go round as ever."""
    product(running)
    running.wait_converged()
    answer = running.get("/api/products", headers=at(product(running)))
    wait_until(lambda: {served_by(running.get("/api/products?limit=1", headers=at(answer))) for _ in range(10)} == set(REPLICAS),
               20 * SLOWNESS, "both replicas to serve", 0.1)


def test_many_at_once(running):
    """Rows that are written together are read back together, each in its newest state."""
    keys = [str(uuid.uuid4()) for _ in range(40)]
    wrong = []

    def client(number):
        http = requests.Session()
        base = running.apis[0].base
        for stock in range(1, 16):
            key = keys[number]
            wrote = http.put(f"{base}/api/products/{key}", json={"name": "A", "price": 1, "stock": stock}, timeout=60)
            shown = http.get(f"{base}/api/products/{key}", headers=at(wrote), timeout=60)
            if shown.status_code != 200 or shown.json()["data"]["stock"] != stock:
                wrong.append((number, stock, shown.text, served_by(shown)))
    threads = [threading.Thread(target=client, args=(n,)) for n in range(len(keys))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong, wrong[:3]
