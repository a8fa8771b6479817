"""Promise 10: bad input gets a clear error and changes nothing.

One row a request: what is sent, the exact status, the value of "field" (None: no field), a word
that the error must contain. After all of them the catalogue is unchanged.
"""
import http.client
import json
import socket

import pytest

ID = "11111111-2222-4333-8444-555555555555"
GOOD = {"name": "Lamp", "price": 19.99, "stock": 3}


def body(**changes):
    product = dict(GOOD)
    for key, value in changes.items():
        if value is DROP:
            product.pop(key, None)
        else:
            product[key] = value
    return json.dumps(product)


DROP = object()
JSON = "application/json"

# method, path, content type, body, status, field, word
BAD = [
    # --- not JSON at all: 400
    ("POST", "/api/products", JSON, "", 400, None, ""),
    ("POST", "/api/products", JSON, "   ", 400, None, ""),
    ("POST", "/api/products", JSON, "{", 400, None, ""),
    ("POST", "/api/products", JSON, '{"name":"a","price":1,"stock":1', 400, None, ""),
    ("POST", "/api/products", JSON, "[]", 400, None, "object"),
    ("POST", "/api/products", JSON, "null", 400, None, "object"),
    ("POST", "/api/products", JSON, '"text"', 400, None, "object"),
    ("POST", "/api/products", JSON, body() + "x", 400, None, ""),
    ("POST", "/api/products", JSON, body() + body(), 400, None, ""),
    ("POST", "/api/products", JSON, "{'name':'a','price':1,'stock':1}", 400, None, ""),
    ("POST", "/api/products", JSON, '{"name":"a","price":1,"stock":1,}', 400, None, ""),
    ("POST", "/api/products", JSON, '{"name":"a","price":01,"stock":1}', 400, None, ""),
    ("POST", "/api/products", JSON, '{"name":"a","price":.5,"stock":1}', 400, None, ""),
    ("POST", "/api/products", JSON, '{"name":"a","price":NaN,"stock":1}', 400, None, ""),
    ("POST", "/api/products", JSON, '{"name":"a","price":1,"stock":1,"price":2}', 400, "price", "duplicate"),
    ("POST", "/api/products", JSON, '{"name":"a","price":1,"stock":1,"pr\\u0069ce":2}', 400, "price", "duplicate"),
    ("POST", "/api/products", JSON, b'{"name":"\xff","price":1,"stock":1}', 400, None, ""),
    ("POST", "/api/products", JSON, b'{"name":"\xc0\xaf","price":1,"stock":1}', 400, None, ""),
    ("POST", "/api/products", JSON, b'{"name":"\xed\xa0\x80","price":1,"stock":1}', 400, None, ""),
    ("POST", "/api/products", JSON, '{"name":"\\ud800","price":1,"stock":1}', 400, None, ""),
    ("POST", "/api/products", JSON, '{"name":"a\\u0000b","price":1,"stock":1}', 400, None, ""),
    ("POST", "/api/products", JSON, '{"name":"a\nb","price":1,"stock":1}', 400, None, ""),
    ("POST", "/api/products", JSON, b"\xef\xbb\xbf" + body().encode(), 400, None, ""),
    ("POST", "/api/products", JSON, "[" * 5000, 400, None, ""),
    # --- fields: 422
    ("POST", "/api/products", JSON, "{}", 422, "name", "name"),
    ("POST", "/api/products", JSON, body(name=DROP), 422, "name", "name"),
    ("POST", "/api/products", JSON, body(price=DROP), 422, "price", "price"),
    ("POST", "/api/products", JSON, body(stock=DROP), 422, "stock", "stock"),
    ("POST", "/api/products", JSON, body(name=None), 422, "name", ""),
    ("POST", "/api/products", JSON, body(name=""), 422, "name", "200"),
    ("POST", "/api/products", JSON, body(name="x" * 201), 422, "name", "200"),
    ("POST", "/api/products", JSON, body(name="\U0001f600" * 201), 422, "name", "200"),
    ("POST", "/api/products", JSON, body(name=5), 422, "name", ""),
    ("POST", "/api/products", JSON, body(name=["a"]), 422, "name", ""),
    ("POST", "/api/products", JSON, body(price=None), 422, "price", ""),
    ("POST", "/api/products", JSON, body(price="19.99"), 422, "price", ""),
    ("POST", "/api/products", JSON, body(price=-1), 422, "price", ""),
    ("POST", "/api/products", JSON, body(price=-0.01), 422, "price", ""),
    ("POST", "/api/products", JSON, body(price=True), 422, "price", ""),
    ("POST", "/api/products", JSON, '{"name":"a","price":0.00001,"stock":1}', 422, "price", "4"),
    ("POST", "/api/products", JSON, '{"name":"a","price":1.23456,"stock":1}', 422, "price", "4"),
    ("POST", "/api/products", JSON, '{"name":"a","price":1000000000000000,"stock":1}', 422, "price", "15"),
    ("POST", "/api/products", JSON, '{"name":"a","price":999999999999.9999,"stock":1}', 422, "price", "15"),
    ("POST", "/api/products", JSON, '{"name":"a","price":1e400,"stock":1}', 422, "price", ""),
    ("POST", "/api/products", JSON, '{"name":"a","price":1e-400,"stock":1}', 422, "price", ""),
    ("POST", "/api/products", JSON, '{"name":"a","price":1e99999999999999999999,"stock":1}', 422, "price", ""),
    ("POST", "/api/products", JSON, body(stock=None), 422, "stock", ""),
    ("POST", "/api/products", JSON, body(stock=-1), 422, "stock", ""),
    ("POST", "/api/products", JSON, body(stock=1.5), 422, "stock", ""),
    ("POST", "/api/products", JSON, '{"name":"a","price":1,"stock":2147483648}', 422, "stock", ""),
    ("POST", "/api/products", JSON, '{"name":"a","price":1,"stock":99999999999999999999}', 422, "stock", ""),
    ("POST", "/api/products", JSON, body(stock="3"), 422, "stock", ""),
    ("POST", "/api/products", JSON, body(stock={}), 422, "stock", ""),
    ("POST", "/api/products", JSON, body(colour="red"), 422, "colour", ""),
    ("POST", "/api/products", JSON, body(created_at="2026-01-31T12:00:00.123456Z"), 422, "created_at", ""),
    ("POST", "/api/products", JSON, '{"createdAt":1,"createdAt":1}', 400, "createdAt", ""),
    ("PATCH", "/api/products/" + ID, JSON, '{"updatedAt":"2026-01-31T12:00:00.123456Z"}', 422, None, "nothing"),
    ("POST", "/api/products", JSON, body(version=7), 422, "version", ""),
    ("POST", "/api/products", JSON, body(id="no-uuid"), 422, "id", ""),
    ("POST", "/api/products", JSON, body(id=7), 422, "id", ""),
    ("POST", "/api/products", JSON, body(id="{" + ID + "}"), 422, "id", ""),
    ("PUT", "/api/products/" + ID, JSON, body(id="99999999-2222-4333-8444-555555555555"), 422, "id", ""),
    ("PUT", "/api/products/" + ID, JSON, body(stock=DROP), 422, "stock", ""),
    ("PATCH", "/api/products/" + ID, JSON, '{"price":"1"}', 422, "price", ""),
    ("PATCH", "/api/products/" + ID, JSON, '{"nope":1}', 422, "nope", ""),
    ("PATCH", "/api/products/" + ID, JSON, "{}", 422, None, "nothing"),
    # --- content type and size
    ("POST", "/api/products", None, body(), 415, None, "application/json"),
    ("POST", "/api/products", "text/plain", body(), 415, None, "application/json"),
    ("POST", "/api/products", "application/x-www-form-urlencoded", "name=a", 415, None, "application/json"),
    ("POST", "/api/products", "application/jsonx", body(), 415, None, "application/json"),
    ("PUT", "/api/products/" + ID, "text/json", body(), 415, None, "application/json"),
    ("PATCH", "/api/products/" + ID, None, "{}", 415, None, "application/json"),
    ("POST", "/api/products/import", JSON, body(), 415, None, "application/x-ndjson"),
    ("POST", "/api/products", JSON, " " * 70000 + body(), 413, None, ""),
    # --- paths, ids, methods, queries
    ("GET", "/api/products/no-uuid", None, None, 400, "id", ""),
    ("GET", "/api/products/" + ID + "0", None, None, 400, "id", ""),
    ("GET", "/api/products/" + ID.replace("-", ""), None, None, 400, "id", ""),
    ("GET", "/api/products/%31" + ID[1:], None, None, 400, "id", ""),
    ("DELETE", "/api/products/1", None, None, 400, "id", ""),
    ("PUT", "/api/products/1", JSON, body(), 400, "id", ""),
    ("GET", "/api/products/" + ID, None, None, 404, None, ""),
    ("PATCH", "/api/products/" + ID, JSON, '{"stock":1}', 404, None, ""),
    ("DELETE", "/api/products/" + ID, None, None, 404, None, ""),
    ("GET", "/api", None, None, 404, None, ""),
    ("GET", "/api/product", None, None, 404, None, ""),
    ("GET", "/api/products/" + ID + "/price", None, None, 404, None, ""),
    ("GET", "/API/products", None, None, 404, None, ""),
    ("GET", "/api//products", None, None, 404, None, ""),
    ("GET", "/../etc/passwd", None, None, 404, None, ""),
    ("DELETE", "/api/products", None, None, 405, None, ""),
    ("PUT", "/api/products", JSON, body(), 405, None, ""),
    ("POST", "/api/products/" + ID, JSON, body(), 405, None, ""),
    ("POST", "/health", JSON, "{}", 405, None, ""),
    ("GET", "/api/products?limit=0", None, None, 400, "limit", "1000"),
    ("GET", "/api/products?limit=1001", None, None, 400, "limit", "1000"),
    ("GET", "/api/products?limit=-1", None, None, 400, "limit", ""),
    ("GET", "/api/products?limit=ten", None, None, 400, "limit", ""),
    ("GET", "/api/products?limit=", None, None, 400, "limit", ""),
    ("GET", "/api/products?limit=5&limit=6", None, None, 400, "limit", ""),
    ("GET", "/api/products?limit=5&cursor=!!", None, None, 400, "cursor", ""),
    ("GET", "/api/products?page=2", None, None, 400, "page", ""),
]


def test_there_are_at_least_sixty():
    assert len(BAD) >= 60


@pytest.fixture(scope="module")
def running(module_stack):
    stack = module_stack
    stack.start_api()
    keep = stack.create("Lamp", "19.99", 3)
    yield stack
    rows = stack.sql("primary", "select id::text, name, price::text, stock from products")
    assert rows == [(keep["id"], "Lamp", "19.99", 3)], "a bad request changed the catalogue"


def raw(stack, method, path, headers, data):
    """One request with exactly these headers; (status, headers, body)."""
    if isinstance(data, str):
        data = data.encode()
    conn = http.client.HTTPConnection(stack.env["HOST"], int(stack.env["PORT"]), timeout=20)
    try:
        conn.request(method, path, data, headers)
        answer = conn.getresponse()
        return answer.status, answer.headers, answer.read().decode()
    finally:
        conn.close()


@pytest.mark.parametrize("row", BAD, ids=lambda r: f"{r[0]}-{r[1][:40]}-{str(r[3])[:40]}-{r[4]}")
def test_bad_request(running, row):
    method, path, content_type, data, status, field, word = row
    headers = {"Content-Type": content_type} if content_type else {}
    got, got_headers, text = raw(running, method, path, headers, data)
    assert got == status, text
    envelope = json.loads(text)
    assert envelope["success"] is False
    assert envelope["error"], "an error must say what is wrong"
    assert word.lower() in envelope["error"].lower()
    assert envelope.get("field") == field, envelope
    if status == 405:
        assert got_headers.get("Allow"), "405 must come with Allow"


# Requests that no client library would send, byte for byte; the exact status, and the connection
# must not be confused by them.
RAW = [
    ("GET /api/products/{id} HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n", 400),
    ("POST /api/products HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 5\r\n"
     "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    ("POST /api/products HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", (400, 501)),
    ("GET /api/products/{id}%00 HTTP/1.1\r\nHost: x\r\n\r\n", 400),
    ("BREW /api/products HTTP/1.1\r\nHost: x\r\n\r\n", 405),
    ("GET /nothing HTTP/1.1\r\nHost: x\r\n\r\n", 404),
]


@pytest.mark.parametrize("text,status", RAW, ids=[str(i) for i in range(len(RAW))])
def test_raw_request(running, text, status):
    with socket.create_connection((running.env["HOST"], int(running.env["PORT"])), timeout=10) as s:
        s.sendall(text.replace("{id}", ID).encode())
        first = b""
        while b"\r\n" not in first:
            piece = s.recv(4096)
            if not piece:
                break
            first += piece
    got = int(first.split(b" ")[1])
    assert got in (status if isinstance(status, tuple) else (status,)), first
