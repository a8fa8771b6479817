"""Each product route with valid input: envelope, status, exact values, pagination, import."""
import concurrent.futures
import json
import os
import re
import signal
import uuid

import pytest

from conftest import SLOWNESS
from harness.servers import wait_until

STAMP = re.compile(r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$")
JSON = {"Content-Type": "application/json"}
NDJSON = {"Content-Type": "application/x-ndjson"}


@pytest.fixture(scope="module")
def api(module_stack):
    module_stack.start_api()
    module_stack.start_consumer()
    return module_stack


def check_envelope(answer, status, message):
    assert answer.status_code == status, answer.text
    assert answer.headers["Content-Type"].startswith("application/json")
    envelope = answer.json()
    assert envelope["success"] is True
    assert envelope["message"] == message
    return envelope["data"]


def test_create_get_replace_patch_delete(api):
    answer = api.post("/api/products", json={"name": "Lamp", "price": 19.99, "stock": 3})
    made = check_envelope(answer, 201, "Product created successfully")
    assert list(made) == ["id", "name", "price", "stock", "createdAt", "updatedAt"]
    assert str(uuid.UUID(made["id"])) == made["id"]
    assert answer.headers["Location"] == "/api/products/" + made["id"]
    assert STAMP.match(made["createdAt"]) and made["createdAt"] == made["updatedAt"]
    path = "/api/products/" + made["id"]

    api.wait_converged()
    answer = api.get(path)
    assert check_envelope(answer, 200, "Product retrieved successfully") == made
    assert answer.headers["X-Served-By"] in ("replica-1", "replica-2")

    again = check_envelope(
        api.post("/api/products", json={"id": made["id"], "name": "Lamp 2", "price": 20, "stock": 4}),
        200, "Product updated successfully")
    assert (again["name"], again["createdAt"]) == ("Lamp 2", made["createdAt"])
    assert again["updatedAt"] > made["updatedAt"]

    put = check_envelope(api.put(path, json={"name": "Lamp 3", "price": 1, "stock": 0}),
                         200, "Product updated successfully")
    assert (put["name"], put["stock"], put["createdAt"]) == ("Lamp 3", 0, made["createdAt"])

    patched = check_envelope(api.patch(path, json={"stock": 2147483647}),
                             200, "Product updated successfully")
    assert (patched["name"], patched["stock"]) == ("Lamp 3", 2147483647)
    assert api.patch(path, data="{}", headers=JSON).status_code == 422

    api.wait_converged()
    assert check_envelope(api.delete(path), 200, "Product deleted successfully") is None
    assert api.delete(path).status_code == 404
    api.wait_converged()
    assert api.get(path).status_code == 404


def test_put_creates_and_upper_case_ids_are_one(api):
    new = str(uuid.uuid4())
    answer = api.put("/api/products/" + new.upper(), json={"name": "N", "price": 1, "stock": 1})
    assert check_envelope(answer, 201, "Product created successfully")["id"] == new
    assert answer.headers["Location"] == "/api/products/" + new
    answer = api.post("/api/products", json={"id": new.upper(), "name": "M", "price": 1, "stock": 1})
    assert check_envelope(answer, 200, "Product updated successfully")["id"] == new


def test_what_get_gave_can_be_sent_back(api):
    """createdAt and updatedAt are the server's: sent back, they are ignored, whatever they say."""
    made = api.create("Lamp", "19.90", 3)
    path = "/api/products/" + made["id"]
    stale = {**made, "createdAt": "1999-01-01T00:00:00Z", "updatedAt": None}
    for sent in (made, stale):
        put = check_envelope(api.put(path, json={**sent, "stock": 4}), 200, "Product updated successfully")
        assert (put["stock"], put["createdAt"]) == (4, made["createdAt"])
        assert put["updatedAt"] > made["updatedAt"]
        check_envelope(api.post("/api/products", json=sent), 200, "Product updated successfully")
        patched = check_envelope(api.patch(path, json={**sent, "stock": 5}), 200, "Product updated successfully")
        assert (patched["stock"], patched["createdAt"]) == (5, made["createdAt"])
    # What a list gave is what an import takes.
    page = api.get("/api/products?limit=1000").json()["data"]
    answer = api.post("/api/products/import", headers={"Content-Type": "application/x-ndjson"},
                      data="".join(json.dumps(p) + "\n" for p in [made, stale] + page[:5]))
    counts = check_envelope(answer, 200, "Products imported successfully")
    assert (counts["created"], counts["rejected"]) == (0, 0), counts
    # Other members that are not a client's are told.
    assert api.put(path, json={**made, "version": 1}).json()["field"] == "version"
    api.wait_converged()


# What is sent, and the digits that every database and every answer must hold.
PRICES = [("19.99", "19.99"), ("0.1", "0.1"), ("0", "0"), ("99999999999.9999", "99999999999.9999"),
          ("151.90", "151.90"), ("1.0000", "1.0000"), ("0.0001", "0.0001"), ("100", "100"),
          ("999999999999999", "999999999999999"), ("1e2", "100"), ("1.5E+1", "15"),
          ("125e-2", "1.25"), ("-0", "0"), ("0.30", "0.30"), ("0.7", "0.7"), ("1.1", "1.1")]


def test_prices_to_the_last_digit(api):
    ids = {}
    for sent, kept in PRICES:
        made = api.post("/api/products", headers=JSON,
                        data=f'{{"name":"price {sent}","price":{sent},"stock":1}}')
        assert made.status_code == 201, made.text
        assert f'"price":{kept},' in made.text
        ids[made.json()["data"]["id"]] = kept
    api.wait_converged()
    for db in ("primary", "replica-1", "replica-2"):
        found = dict(api.sql(db, "select id::text, price::text from products where id::text = any(%s)",
                             list(ids)))
        assert found == ids, db
    for key, kept in ids.items():
        for _ in range(2):
            assert f'"price":{kept},' in api.get("/api/products/" + key).text


def test_prices_that_only_sql_can_make(api):
    """The API takes 4 decimals and 15 digits; what SQL computes is longer, and replicates to the
    last digit all the same."""
    api.sql("primary", "insert into products (id, name, price, stock) select gen_random_uuid(), 'by sql', p, 1 from "
            "unnest(array[19.99 / 3, 5329 / 100.0, 0.00001, 123456789012345.678901234567890123456789, 1 / 3.0]) p")
    api.wait_converged()
    for (key, price) in api.sql("replica-2", "select id::text, price::text from products where name = 'by sql'"):
        assert f'"price":{price},' in api.get("/api/products/" + key).text
        assert api.patch("/api/products/" + key, json={"stock": 9}).status_code == 200
    api.wait_converged()
    assert api.sql("replica-1", "select count(*) from products where name = 'by sql' and stock = 9") == [(5,)]


NAMES = ["é", "Ελληνικά", "русский", "日本語の商品", "한국어", "עברית", "العربية", "ไทย", "हिन्दी",
         "emoji 😀👩‍👩‍👧‍👦🇩🇪", 'quotes " and \' and `', "back\\slash \\n \\u0041", "new\nline\ttab\r",
         "\x01\x1f\x7f control", "{\"json\":[1]}", "a,b;c|d", "$1 %s ${x} {}", "--; DROP TABLE products",
         " leading and trailing ", "\u2028\u2029", "\ufffd\ufeff", "x" * 200, "😀" * 200, "\\N", "NULL", "0"]


def test_names_in_every_script(api):
    ids = {}
    for name in NAMES:
        for ascii_only in (True, False):
            text = json.dumps({"name": name, "price": 1, "stock": 1}, ensure_ascii=ascii_only)
            made = api.post("/api/products", headers=JSON, data=text.encode())
            assert made.status_code == 201, (name, made.text)
            assert made.json()["data"]["name"] == name
            ids[made.json()["data"]["id"]] = name
    api.wait_converged()
    for db in ("primary", "replica-1", "replica-2"):
        assert dict(api.sql(db, "select id::text, name from products where id::text = any(%s)",
                            list(ids))) == ids, db
    for key, name in ids.items():
        assert api.get("/api/products/" + key).json()["data"]["name"] == name


def test_reads_rotate_over_the_replicas(api):
    made = api.create()
    api.wait_converged()
    served = [api.get("/api/products/" + made["id"]).headers["X-Served-By"] for _ in range(40)]
    assert set(served) == {"replica-1", "replica-2"}
    assert 10 <= served.count("replica-1") <= 30


def test_pages_cover_everything_once_in_order(api):
    api.post("/api/products/import", headers=NDJSON,
             data="\n".join(json.dumps({"name": f"page {n}", "price": n, "stock": n}) for n in range(257)))
    api.wait_converged()
    expected = [row[0] for row in api.rows("primary")]
    for limit in (1000, 100, 7):
        seen, path = [], f"/api/products?limit={limit}"
        while path:
            envelope = api.get(path).json()
            assert envelope["message"] == "Products retrieved successfully"
            assert len(envelope["data"]) <= limit
            seen += [p["id"] for p in envelope["data"]]
            path = envelope["next"] and f"/api/products?limit={limit}&cursor={envelope['next']}"
        assert seen == expected
    whole = api.get("/api/products")
    assert [p["id"] for p in whole.json()["data"]] == expected
    assert "next" not in whole.json()
    assert whole.headers["X-Served-By"] in ("replica-1", "replica-2")


def test_head_is_get_without_a_body(api):
    made = api.create()
    api.wait_converged()
    answer = api.request("HEAD", "/api/products/" + made["id"])
    assert answer.status_code == 200 and answer.content == b""
    assert api.request("HEAD", "/api/products/" + str(uuid.uuid4())).status_code == 404


def test_concurrent_writes_each_get_their_own_answer(api):
    """Writes that share a transaction: good ones succeed although bad ones are among them."""
    # A rule that only the database knows, so that it is the batch that fails and not the parser.
    api.sql("primary", "alter table products add constraint no_forbidden check (name not like 'forbidden%')")
    try:
        def write(n):
            bad = n % 10 == 3
            answer = api.post("/api/products", json={"name": f"forbidden {n}" if bad else f"fine {n}",
                                                     "price": n, "stock": n})
            return n, bad, answer
        with concurrent.futures.ThreadPoolExecutor(32) as pool:
            answers = list(pool.map(write, range(400)))
    finally:
        api.sql("primary", "alter table products drop constraint no_forbidden")
    for n, bad, answer in answers:
        if bad:
            assert answer.status_code == 422, answer.text
            assert "no_forbidden" in answer.json()["error"]
        else:
            assert answer.status_code == 201, answer.text
            assert answer.json()["data"]["name"] == f"fine {n}" and answer.json()["data"]["stock"] == n
    assert api.sql("primary", "select count(*) from products where name like 'fine %'") == [(360,)]
    assert api.sql("primary", "select count(*) from products where name like 'forbidden %'") == [(0,)]


def test_concurrent_writes_of_one_product(api):
    key = api.create("hot")["id"]
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(
            lambda n: api.put("/api/products/" + key, json={"name": f"hot {n}", "price": n, "stock": n}),
            range(200)))
    for n, answer in enumerate(answers):
        assert answer.status_code == 200 and answer.json()["data"]["name"] == f"hot {n}"
    api.wait_converged()


def test_import_counts_and_reasons(api):
    known = api.create("known")["id"]
    lines = [
        json.dumps({"name": "one", "price": 1, "stock": 1}),
        json.dumps({"id": known, "name": "two", "price": 2, "stock": 2}),
        "",
        "not json",
        json.dumps({"name": "three", "price": -3, "stock": 3}),
        json.dumps({"id": known, "name": "twice", "price": 4.50, "stock": 4}),
        '{"name":"' + "x" * 70000 + '","price":1,"stock":1}',
        json.dumps({"name": "last", "price": 5, "stock": 5}),
    ]
    data = check_envelope(api.post("/api/products/import", headers=NDJSON, data="\n".join(lines)),
                          200, "Products imported successfully")
    assert (data["created"], data["replaced"], data["rejected"]) == (2, 2, 3)
    assert [e["line"] for e in data["errors"]] == [4, 5, 7]
    assert data["errors"][1]["field"] == "price"
    assert all(e["error"] for e in data["errors"])
    assert api.sql("primary", "select name, price::text from products where id = %s", known) == [("twice", "4.5")]


def test_import_of_rows_that_only_the_database_refuses(api):
    api.sql("primary", "alter table products add constraint no_bad check (name not like 'bad %')")
    try:
        text = "\n".join(json.dumps({"name": f"bad {n}" if n % 500 == 77 else f"import {n}", "price": 1, "stock": n})
                         for n in range(3000))
        data = check_envelope(api.post("/api/products/import", headers=NDJSON, data=text), 200,
                              "Products imported successfully")
    finally:
        api.sql("primary", "alter table products drop constraint no_bad")
    assert (data["created"], data["replaced"], data["rejected"]) == (2994, 0, 6)
    assert [e["line"] for e in data["errors"]] == [n * 500 + 78 for n in range(6)]
    api.wait_converged()


def test_import_streams_any_length(api):
    """20,000 lines in chunks, without a Content-Length; half of them a second time."""
    ids = [str(uuid.uuid4()) for _ in range(20000)]

    def chunks(start):
        for n in range(start, len(ids), 250):
            yield "".join(f'{{"id":"{i}","name":"streamed","price":0.10,"stock":{n}}}\n'
                          for i in ids[n:n + 250]).encode()
    first = api.post("/api/products/import", headers=NDJSON, data=chunks(0)).json()["data"]
    assert (first["created"], first["replaced"], first["rejected"]) == (20000, 0, 0)
    second = api.post("/api/products/import", headers=NDJSON, data=chunks(10000)).json()["data"]
    assert (second["created"], second["replaced"], second["rejected"]) == (0, 10000, 0)
    api.wait_converged(60)


@pytest.mark.parametrize("stored", [False, True])
def test_import_that_lost_the_answer_makes_no_product_twice(stack, stored):
    """The connection breaks in a batch's transaction, or after its commit: ids that the API made
    are sent again."""
    proxy = stack.proxy(stack.primary)
    stack.sql("primary", "create function slow() returns trigger language plpgsql as "
              "$$ begin perform pg_sleep(1); return null; end $$")
    stack.sql("primary", "create trigger slow after insert on products for each statement execute function slow()")
    stack.start_api(DATABASE_URL=stack.proxied_url(stack.primary, proxy))
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        lines = "\n".join(json.dumps({"name": f"only once {n}", "price": 1, "stock": n}) for n in range(3))
        answer = pool.submit(stack.post, "/api/products/import", headers=NDJSON, data=lines)
        wait_until(lambda: stack.sql("primary", "select 1 from pg_stat_activity where wait_event = 'PgSleep'"), 20, "the batch")
        if stored:
            proxy.stall()
            wait_until(lambda: stack.rows("primary"), 20, "the commit")
        proxy.drop()
        proxy.resume()
        data = check_envelope(answer.result(), 200, "Products imported successfully")
    assert (data["created"], data["replaced"], data["rejected"]) == ((0, 3, 0) if stored else (3, 0, 0))
    assert [row[3] for row in sorted(stack.rows("primary"), key=lambda r: r[3])] == [0, 1, 2]


def pending_signal(pid, number):
    with open(f"/proc/{pid}/status", encoding="ascii") as f:
        masks = [int(line.split()[1], 16) for line in f if line.startswith(("SigPnd", "ShdPnd"))]
    return any(mask >> (number - 1) & 1 for mask in masks)


def test_import_order_holds_if_the_primary_hangs_over_a_line(stack):
    """The session that was sent the first of two lines of a product hangs, and goes on when the
    connection to it was given up long ago: the second line must not be overtaken."""
    stack.start_api(WORKERS=1, REQUEST_TIMEOUT_MS=500 * SLOWNESS)
    sessions = "select pid from pg_stat_activity where application_name = 'pgfanout-api write'"
    product = str(uuid.uuid4())
    lines = "".join(f'{{"id":"{product}","name":"{name}","price":1,"stock":1}}\n'
                    for name in ("older", "newer"))
    wait_until(lambda: len(stack.sql("primary", sessions)) == 6, 10 * SLOWNESS, "all connections")
    frozen = [pid for pid, in stack.sql("primary", sessions)]
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        try:
            for pid in frozen:
                os.kill(pid, signal.SIGSTOP)
            importing = pool.submit(stack.post, "/api/products/import", data=lines, headers=NDJSON)
            # Nothing is stored before the old session is told to end.
            wait_until(lambda: importing.done() or any(pending_signal(pid, signal.SIGTERM)
                                                       for pid in frozen),
                       30 * SLOWNESS, "the import, or the end of what hangs")
        finally:
            for pid in frozen:
                os.kill(pid, signal.SIGCONT)
        answer = importing.result(60 * SLOWNESS)
    assert answer.status_code == 200, answer.text
    # The sessions that were lost are gone: they have done what they will ever do.
    wait_until(lambda: len(stack.sql("primary", sessions)) == 6, 30 * SLOWNESS,
               "the end of the lost sessions")
    assert [row[1] for row in stack.rows("primary")] == ["newer"]


def test_import_of_batches_that_share_ids(api):
    """Two batches may be at the database at once: lines with the same id still take effect in their
    order."""
    shared = [str(uuid.uuid4()) for _ in range(3)]
    lines, last = [], {}
    for n in range(12):
        ids = [str(uuid.uuid4()) for _ in range(1000)]
        if n % 4:  # every fourth batch shares nothing with its neighbours
            ids[n * 83] = shared[n % 2]
            ids[999] = shared[2]
        for key in ids:
            last[key] = len(lines)
            lines.append(f'{{"id":"{key}","name":"line {len(lines)}","price":1,"stock":{len(lines)}}}')
    data = check_envelope(api.post("/api/products/import", headers=NDJSON, data="\n".join(lines)), 200,
                          "Products imported successfully")
    assert (data["created"], data["replaced"], data["rejected"]) == (len(last), len(lines) - len(last), 0)
    rows = dict(api.sql("primary", "select id::text, stock from products where name like 'line %%'"))
    assert {key: rows.get(key) for key in last} == last
    api.wait_converged(60)


def test_operations_routes(api):
    assert api.get("/health").status_code == 200
    assert api.get("/ready").status_code == 200
    status = api.get("/status")
    assert status.status_code == 200
    assert "password" not in status.text
    assert {"replica-1", "replica-2"} <= set(re.findall(r"replica-\d", status.text))
    metrics = api.get("/metrics").text
    assert "# TYPE pgfanout_" in metrics
    openapi = api.get("/openapi.json").json()
    assert openapi["openapi"].startswith("3.")
    for path in ("/api/products", "/api/products/{id}", "/api/products/import"):
        assert path in openapi["paths"]
    assert api.get("/").status_code == 200
    consumer = f"http://{api.env['CONSUMER_HOST']}:{api.env['CONSUMER_PORT']}"
    for path in ("/health", "/status", "/metrics"):
        assert api.get(path, base=consumer).status_code == 200
