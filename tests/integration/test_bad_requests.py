"""Promise 10: bad input gets a clear error and changes nothing.

One row a request: what is sent, the exact status, the value of "field" (None: no field), a word
that the error must contain. After all of them the catalogue is unchanged.
"""
import http.client
import json
import re
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
CONTROL = re.compile("[\x00-\x1f\x7f-\x9f]")
JSON = "application/json"

# method, path, content type (or headers, beside JSON's), body, status, field, word
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
    # what steers a terminal is not echoed as it is
    ("POST", "/api/products", JSON, '{"name":"a","price":1,"stock":1,"\\u009b2J":2}', 422, "\u009b2J", ""),
    ("POST", "/api/products", JSON, '{"name":"a","price":1,"stock":1,"\u0085\x7f":2}', 422, "\u0085\x7f", ""),
    ("POST", "/api/products", JSON, '{"name":"a","price":1,"stock":1,"\\u001b[2J":2}', 422, "\x1b[2J", ""),
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
    ("POST", "/api/products", {"Content-Encoding": "gzip"}, body(), 415, None, "uncompressed"),
    ("PUT", "/api/products/" + ID, {"Content-Encoding": "br"}, body(), 415, None, "uncompressed"),
    ("PATCH", "/api/products/" + ID, {"Content-Encoding": "identity, gzip"}, "{}", 415, None, "uncompressed"),
    ("POST", "/api/products/import", {"Content-Type": "application/x-ndjson", "Content-Encoding": "gzip"},
     b"\x1f\x8b\x08\x00", 415, None, "uncompressed"),
    # --- conditions and ranges
    ("PUT", "/api/products/" + ID, {"If-Match": '"1"'}, body(), 412, None, "If-Match"),
    ("PUT", "/api/products/" + ID, {"If-None-Match": "*"}, body(), 412, None, "If-None-Match"),
    ("PATCH", "/api/products/" + ID, {"If-Match": "*"}, '{"stock":1}', 412, None, "nothing was changed"),
    ("POST", "/api/products", {"If-None-Match": "*"}, body(), 412, None, "nothing was changed"),
    ("DELETE", "/api/products/" + ID, {"If-Match": '"1"'}, None, 412, None, "nothing was changed"),
    ("DELETE", "/api/products/" + ID, {"If-Unmodified-Since": "Sat, 29 Oct 1994 19:43:31 GMT"}, None, 412, None,
     "nothing was changed"),
    ("POST", "/api/products/import", {"Content-Type": "application/x-ndjson", "If-Match": "*"}, body(), 412, None,
     "nothing was changed"),
    ("PUT", "/api/products/" + ID, {"Content-Range": "bytes 0-9/100"}, body(), 400, None, "Content-Range"),
    # --- other hosts: a page that rebinds its name to 127.0.0.1
    ("GET", "/api/products", {"Host": "evil.example"}, None, 421, None, "ALLOWED_HOSTS"),
    ("GET", "/api/products", {"Host": "evil.example:8000"}, None, 421, None, "ALLOWED_HOSTS"),
    ("POST", "/api/products", {"Host": "127.0.0.1.evil.example"}, body(), 421, None, "ALLOWED_HOSTS"),
    ("DELETE", "/api/products/" + ID, {"Host": "localhost.evil.example"}, None, 421, None, "ALLOWED_HOSTS"),
    ("GET", "/health", {"Host": ""}, None, 421, None, "ALLOWED_HOSTS"),
    ("GET", "/health", {"Host": "localhost:evil.example"}, None, 421, None, "ALLOWED_HOSTS"),
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
    if isinstance(content_type, dict):
        headers = {"Content-Type": JSON, **content_type}
    got, got_headers, text = raw(running, method, path, headers, data)
    assert got == status, text
    assert not CONTROL.search(text), text
    envelope = json.loads(text)
    assert envelope["success"] is False
    assert envelope["error"], "an error must say what is wrong"
    assert word.lower() in envelope["error"].lower()
    assert envelope.get("field") == field, envelope
    if status == 405:
        assert got_headers.get("Allow"), "405 must come with Allow"


# Requests that no client library would send, byte for byte, and the exact status of each answer that
# may come back: what a server in front takes for one request must be one here too. Each connection
# ends with its last answer, which is JSON and without control characters. {keep} is the product
# that must survive.
FORM = "Content-Type: application/json\r\n"
SMUGGLED = "DELETE /api/products/{keep} HTTP/1.1\r\nHost: localhost\r\n\r\n"
GET = "GET /api/products/{id} HTTP/1.1\r\nHost: localhost\r\n"
POST = "POST /api/products HTTP/1.1\r\nHost: localhost\r\n" + FORM
RAW = {
    # which length?
    "two lengths": (GET + "Content-Length: 5\r\nContent-Length: 6\r\n\r\n", [400]),
    "length and chunked": (POST + "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", [400]),
    "gzip, chunked": (POST + "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", [501]),
    "folded length": (GET + "Content-Length:\r\n 60\r\n\r\n" + SMUGGLED, [400]),
    "folded length, tab": (GET + "Content-Length:\r\n\t60\r\n\r\n" + SMUGGLED, [400]),
    "folded encoding": (POST + "Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n" + SMUGGLED, [501]),
    "folded other": (GET + "X-A: 1\r\n 2\r\n\r\n", [400]),
    "blank before the first header": ("GET / HTTP/1.1\r\n Host: localhost\r\n\r\n", [400]),
    "blank before the colon": (GET + "Content-Length : 60\r\n\r\n" + SMUGGLED, [400]),
    "list of lengths": (POST + "Content-Length: 5, 5\r\n\r\nabcde", [400]),
    "signed length": (POST + "Content-Length: +5\r\n\r\nabcde", [400]),
    "length beyond 64 bits": (POST + "Content-Length: 18446744073709551617\r\n\r\nabcde", [400]),
    "no colon": (GET + "Content-Length 60\r\n\r\n", [400]),
    # NUL, bare CR, bare LF, other control characters
    "NUL in the path": ("DELETE /api/products/{keep}\0/readonly HTTP/1.1\r\nHost: localhost\r\n\r\n", [400]),
    "NUL in the query": ("GET /api/products?limit=1\0&x=2 HTTP/1.1\r\nHost: localhost\r\n\r\n", [400]),
    "NUL in a name": (GET + "Content-Length\0: 60\r\n\r\n" + SMUGGLED, [400]),
    "NUL in a value": (GET + "Content-Length: 6\x000\r\n\r\n" + SMUGGLED, [400]),
    "LF ends a header": (GET + "X-A: 1\nContent-Length: 60\r\n\r\n" + SMUGGLED, [400]),
    "LF ends the head": ("GET / HTTP/1.1\nHost: localhost\n\n", [400]),
    "CR within a header": (GET + "X-A: 1\rContent-Length: 60\r\n\r\n" + SMUGGLED, [400]),
    "CR ends the head": ("GET / HTTP/1.1\rHost: localhost\r\r", [400]),
    "control character": (GET + "X-A: \x1b[2J\r\n\r\n", [400]),
    "DEL": (GET + "X-A: \x7f\r\n\r\n", [400]),
    "TLS": ("\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03", [400]),
    # the request line
    "two blanks": ("GET  / HTTP/1.1\r\nHost: localhost\r\n\r\n", [400]),
    "blank in the target": ("GET /a b HTTP/1.1\r\nHost: localhost\r\n\r\n", [400]),
    "umlaut in the target": ("GET /\xfc HTTP/1.1\r\nHost: localhost\r\n\r\n", [400]),
    "HTTP/0.9": ("GET /\r\n\r\n", [400]),
    "HTTP/2": ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", [505]),
    "no host": ("GET / HTTP/1.1\r\n\r\n", [400]),
    "two hosts": (GET + "Host: localhost\r\n\r\n", [400]),
    "long target": ("GET /" + "a" * 20000 + " HTTP/1.1\r\nHost: localhost\r\n\r\n", [414]),
    "long header": (GET + "X-A: " + "a" * 20000 + "\r\n\r\n", [431]),
    "many headers": (GET + "X-A: 1\r\n" * 200 + "\r\n", [431]),
    "other expectation": (POST + "Expect: 200-ok\r\nContent-Length: 2\r\n\r\n{}", [417]),
    # chunks
    "no chunk size": (POST + "Transfer-Encoding: chunked\r\n\r\n\r\n0\r\n\r\n" + SMUGGLED, [400]),
    "chunk size with sign": (POST + "Transfer-Encoding: chunked\r\n\r\n+2\r\n{}\r\n0\r\n\r\n", [400]),
    "chunk size 0x": (POST + "Transfer-Encoding: chunked\r\n\r\n0x2\r\n{}\r\n0\r\n\r\n", [400]),
    "chunk size beyond 64 bits": (POST + "Transfer-Encoding: chunked\r\n\r\n10000000000000002\r\n{}\r\n0\r\n\r\n", [400]),
    "chunk longer than its size": (POST + "Transfer-Encoding: chunked\r\n\r\n1\r\n{}\r\n0\r\n\r\n" + SMUGGLED, [400]),
    "chunk with extension": (
        POST + "Transfer-Encoding: chunked\r\n\r\n2;a=\"b\"\r\n{}\r\n0\r\n\r\n" + GET + "\r\n", [400]),
    "chunk size ends with LF": (POST + "Transfer-Encoding: chunked\r\n\r\n2\n{}\r\n0\r\n\r\n" + SMUGGLED, [400]),
    "folded trailer": (POST + "Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\nX: 1\r\n 2\r\n\r\n", [400]),
    # what is before it is answered
    "fault after two requests": (GET + "\r\n" + GET + "\r\n" + GET + "X-A:\r\n 1\r\n\r\n" + SMUGGLED, [404, 404, 400]),
    "fault after a body": (POST + "Content-Length: 2\r\n\r\n{}" + "GET\0 / HTTP/1.1\r\n\r\n", [422, 400]),
    # well formed, but unusual
    "%00 in the path": ("GET /api/products/{id}%00 HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", [400]),
    "unknown method": ("BREW /api/products HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", [405]),
    "unknown path": ("GET /nothing HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", [404]),
    "empty line before": ("\r\n" + GET + "Connection: close\r\n\r\n", [404]),
    "chunk and trailer": (
        POST + "Connection: close\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\nX: 1\r\n\r\n", [422]),
    "HTTP/1.0": ("GET /api/products/{id} HTTP/1.0\r\n\r\n", [404]),
    "a large head": (GET + "Connection: close\r\n" + ("X-A: " + "a" * 73 + "\r\n") * 98 + "\r\n", [404]),
}


def answers_of(got):
    """[(status, body)] of what came until the end of a connection."""
    answers = []
    while got:
        head, _, rest = got.partition(b"\r\n\r\n")
        length = int([line for line in head.lower().split(b"\r\n")
                      if line.startswith(b"content-length:")][0].split(b":")[1])
        answers.append((int(head.split(b" ")[1]), rest[:length]))
        got = rest[length:]
    return answers


@pytest.mark.parametrize("pieces", ["whole", "byte by byte"])
@pytest.mark.parametrize("name", RAW)
def test_raw_request(running, name, pieces):
    text, statuses = RAW[name]
    if pieces != "whole" and len(text) > 2000:
        pytest.skip("long")
    keep = running.sql("primary", "select id::text from products")[0][0]
    data = text.replace("{id}", ID).replace("{keep}", keep).encode("latin-1")
    got = b""
    with socket.create_connection((running.env["HOST"], int(running.env["PORT"])), timeout=20) as s:
        s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for piece in [data] if pieces == "whole" else [data[i:i + 1] for i in range(len(data))]:
            s.sendall(piece)
        while piece := s.recv(65536):
            got += piece
    answers = answers_of(got)
    assert [status for status, _ in answers] == statuses, got
    for _, answer in answers:
        assert json.loads(answer)["error"]
        assert not CONTROL.search(answer.decode()), answer
    assert running.sql("primary", "select count(*) from products")[0][0] == 1
