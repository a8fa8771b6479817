"""HTTP as real clients use it: refused bodies, connections closed early, limits that are reached,
the first moments after /ready.
"""
import json
import signal
import socket
import threading
import time

import pytest

from harness.servers import wait_until

PRODUCT = json.dumps({"name": "Lamp", "price": 19.99, "stock": 3}).encode()
NOBODY = "11111111-2222-4333-8444-555555555555"


@pytest.fixture(scope="module")
def api(module_stack):
    return module_stack.start_api()


@pytest.fixture(scope="module")
def consumer(module_stack):
    return module_stack.start_consumer()


def dial(program, timeout=20):
    host, port = program.base.removeprefix("http://").split(":")
    return socket.create_connection((host, int(port)), timeout=timeout)


def read_all(s):
    """Everything until the server ends the connection."""
    got = b""
    while piece := s.recv(65536):
        got += piece
    return got


def read_answer(s):
    """(status, head, body) of one answer with a Content-Length."""
    got = b""
    while b"\r\n\r\n" not in got:
        piece = s.recv(65536)
        assert piece, f"no answer, but the end, after {got!r}"
        got += piece
    head, body = got.split(b"\r\n\r\n", 1)
    length = int([v for v in head.split(b"\r\n") if v.lower().startswith(b"content-length:")][0].split(b":")[1])
    while len(body) < length:
        body += s.recv(65536)
    return int(head.split()[1]), head.decode(), json.loads(body)


def head(method, path, *lines):
    return "\r\n".join([f"{method} {path} HTTP/1.1", "Host: localhost", *lines, "", ""]).encode()


def get(program, path="/api/products/" + NOBODY):
    with dial(program) as s:
        s.sendall(head("GET", path, "Connection: close"))
        return read_answer(s)


@pytest.mark.parametrize("size", [70_000, 900_000])
def test_body_over_the_limit_is_answered_and_the_connection_kept(api, size):
    with dial(api) as s:
        s.sendall(head("POST", "/api/products", "Content-Type: application/json", f"Content-Length: {size}"))
        # in pieces: a connection that the server has closed would not take them all
        for _ in range(10):
            s.sendall(b" " * (size // 10))
            time.sleep(0.02)
        status, _, answer = read_answer(s)
        assert status == 413 and answer["success"] is False
        s.sendall(head("GET", "/health"))
        assert read_answer(s)[0] == 200


@pytest.mark.parametrize("chunked", [False, True])
def test_refused_import_is_answered_after_its_body(api, chunked):
    piece, pieces = b" " * 65535 + b"\n", 80  # 5 MB
    how = "Transfer-Encoding: chunked" if chunked else f"Content-Length: {len(piece) * pieces}"
    with dial(api) as s:
        s.sendall(head("POST", "/api/products/import", "Content-Type: application/json", how))
        for _ in range(pieces):
            s.sendall(b"%x\r\n%s\r\n" % (len(piece), piece) if chunked else piece)
        s.sendall(b"0\r\n\r\n" if chunked else b"")
        assert read_answer(s)[0] == 415


LONG = [("POST", "/api/products", 413), ("GET", "/api/products/" + NOBODY, 413), ("DELETE", "/nothing", 404),
        ("PUT", "/health", 405), ("POST", "/api/products/import", 415)]


@pytest.mark.parametrize("how", ["length", "chunks", "one chunk"])
@pytest.mark.parametrize("method,path,status", LONG)
def test_body_too_long_to_be_thrown_away_in_passing_is_answered(api, method, path, status, how):
    assert send_long(api, method, path, how) == status


@pytest.mark.parametrize("how", ["length", "chunks", "one chunk"])
@pytest.mark.parametrize("method,path,status", [("GET", "/health", 200), ("POST", "/status", 405), ("PUT", "/x", 404)])
def test_so_does_the_consumer(consumer, method, path, status, how):
    assert send_long(consumer, method, path, how) == status
    assert get(consumer, "/health")[0] == 200


def send_long(program, method, path, how):
    """The status of the answer to a body of 10 MB, which a simple client sends before it reads."""
    piece, pieces = b" " * 65535 + b"\n", 160
    size = len(piece) * pieces
    with dial(program) as s:
        s.sendall(head(method, path, "Content-Type: application/json",
                       f"Content-Length: {size}" if how == "length" else "Transfer-Encoding: chunked"))
        s.sendall(b"%x\r\n" % size if how == "one chunk" else b"")
        for _ in range(pieces):
            s.sendall(b"%x\r\n%s\r\n" % (len(piece), piece) if how == "chunks" else piece)
        s.sendall({"length": b"", "chunks": b"0\r\n\r\n", "one chunk": b"\r\n0\r\n\r\n"}[how])
        status, _, answer = read_answer(s)
        assert answer["success"] is (status == 200)
        assert s.recv(1) == b"", "it is the last answer"
        return status


def test_request_that_names_the_host_as_to_a_proxy(api):
    assert get(api, "http://localhost:80/api/products?limit=1")[0] == 200
    assert get(api, "http://127.0.0.1")[0] == 200
    assert get(api, "http://[::1]/nothing")[0] == 404
    assert get(api, "http://shop.example/api/products?limit=1")[0] == 421, "its host counts, not the header's"


def test_client_that_ends_its_side_gets_its_answer_and_the_end(api):
    with dial(api, 10) as s:
        s.sendall(head("GET", "/api/products/" + NOBODY))
        s.shutdown(socket.SHUT_WR)
        got = read_all(s)  # within the timeout, far below that of an idle connection
    assert got.startswith(b"HTTP/1.1 404 ") and got.endswith(b"}")


def test_clients_that_leave_in_the_middle_leave_nothing_behind(api):
    """Also those whose end comes together with their last bytes."""
    parts = [head("GET", "/api/products/" + NOBODY)[:-2],
             head("POST", "/api/products", "Content-Type: application/json", "Content-Length: 100") + b"{",
             head("POST", "/api/products/import", "Content-Type: application/x-ndjson", "Content-Length: 100000") + PRODUCT + b"\n",
             head("GET", "/api/products/" + NOBODY) * 3]
    for _ in range(10):
        for part in parts:
            with dial(api) as s:
                s.sendall(part)

    def counts():
        data = get(api, "/stats")[2]["data"]
        return data["importsRunning"], data["inFlight"], data["connections"] <= 2
    wait_until(lambda: counts() == (0, 0, True), 15, "the connections to end")


def test_reads_right_after_ready_are_served(stack):
    """/ready is about the process; a worker that has no connections yet lets its reads wait."""
    api = stack.start_api(WORKERS=8)
    got = []
    threads = [threading.Thread(target=lambda: got.append(get(api)[0])) for _ in range(64)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert got == [404] * 64


def test_more_than_max_in_flight_get_503_at_once(stack):
    api = stack.start_api(WORKERS=1, MAX_IN_FLIGHT=4, READ_TIMEOUT_MS=3000, REQUEST_TIMEOUT_MS=10000)
    got = []

    def ask():
        begun = time.monotonic()
        status, text, _ = get(api)
        got.append((status, "Retry-After: " in text, time.monotonic() - begun))
    for replica in stack.replicas:  # one that answers would take them all, if they come slowly
        replica.pause()
    try:
        threads = [threading.Thread(target=ask) for _ in range(40)]
        for t in threads:
            t.start()
        wait_until(lambda: len(got) >= 20, 10, "answers while the replicas hang")
        assert any(status == 503 for status, _, _ in got)
        assert get(api, "/health")[0] == 200
        for t in threads:
            t.join()
    finally:
        for replica in stack.replicas:
            replica.resume()
    refused = [g for g in got if g[0] == 503]
    assert all(retry and seconds < 2 for _, retry, seconds in refused), refused
    assert {status for status, _, _ in got} <= {404, 503}, "those that were taken are served by another database"


def held(program, n, data):
    """n connections, each after it has sent data."""
    sockets = [dial(program) for _ in range(n)]
    for s in sockets:
        s.sendall(data)
    return sockets


SLOW = {
    "silent": b"",
    "half a head": head("GET", "/health")[:-10],
    "half a body": head("POST", "/api/products", "Content-Type: application/json", "Content-Length: 100") + b"{",
    "kept alive": head("GET", "/health"),
    "half a body for nobody": head("GET", "/health", "Content-Length: 100") + b"{",
    "after a malformed head": b"GET\0\r\n",
}


@pytest.mark.parametrize("slow", SLOW)
def test_clients_that_send_nothing_keep_nobody_out(module_stack, slow):
    """Beyond MAX_CONNECTIONS the longest idle connection is closed for a new one."""
    api = module_stack.start_api(WORKERS=1, MAX_CONNECTIONS=8)
    others = held(api, 30, SLOW[slow])
    begun = time.monotonic()
    for _ in range(20):
        assert get(api, "/health")[0] == 200
    assert time.monotonic() - begun < 10
    for s in others:
        s.close()
    assert api.stop(20) == 0


def test_the_longest_idle_goes_first(stack):
    api = stack.start_api(WORKERS=1, MAX_CONNECTIONS=8)

    def ask(s):
        s.sendall(head("GET", "/health"))
        return read_answer(s)[0]
    clients = held(api, 8, b"")
    assert {ask(s) for s in clients} == {200}
    # idle since: 1, 2 ... 7, 0
    assert ask(clients[0]) == 200
    newcomers = held(api, 2, b"")
    assert {ask(s) for s in newcomers} == {200}
    # once they have been idle for a second
    assert clients[1].recv(1) == b"" and clients[2].recv(1) == b""
    assert {ask(s) for s in [clients[0], *clients[3:], *newcomers]} == {200}
    for s in clients + newcomers:
        s.close()


def test_requests_under_way_are_not_cut_for_newcomers(stack):
    api = stack.start_api(WORKERS=1, MAX_CONNECTIONS=4, REQUEST_TIMEOUT_MS=60000)
    blocker = stack.connect()
    with blocker.cursor() as c:
        c.execute("lock products in share mode")  # writes wait
    working = held(api, 4, head("DELETE", "/api/products/" + NOBODY))
    others = held(api, 30, b"")
    wait_until(lambda: get(api, "/stats")[2]["data"]["inFlight"] == 4, 10, "the requests to be under way")
    wait_until(lambda: closed(others[0]), 10, "an idle connection to be closed")
    blocker.rollback()
    for s in working:
        status, _, _ = read_answer(s)
        assert status in (404, 503), status  # an answer, whatever it says
    for s in working + others:
        s.close()


def in_chunk(data):
    return b"%x\r\n%s\r\n" % (len(data), data)


def imports(program, n):
    s = held(program, n, head("POST", "/api/products/import", "Content-Type: application/x-ndjson",
                              "Transfer-Encoding: chunked") + in_chunk(PRODUCT + b"\n"))
    wait_until(lambda: stats(program)["importsRunning"] == n, 10, "the imports to run")
    return s


def stats(program):
    return get(program, "/stats")[2]["data"]


def test_the_slowest_import_gives_way(stack):
    """MAX_LISTS imports that send next to nothing keep no other out, and none is ended needlessly."""
    api = stack.start_api(WORKERS=1, MAX_LISTS=2)
    slow = imports(api, 2)
    import_one = head("POST", "/api/products/import", "Content-Type: application/x-ndjson",
                      f"Content-Length: {len(PRODUCT)}") + PRODUCT
    with dial(api) as s:  # both are young
        s.sendall(import_one)
        assert read_answer(s)[0] == 503

    def let_in():
        for other in slow:
            try:
                other.sendall(in_chunk(b"\n"))
            except OSError:
                pass  # it has given way
        with dial(api) as s:
            s.sendall(import_one)
            return read_answer(s)[0] == 200
    wait_until(let_in, 30, "an import to be let in")
    answers = []
    for s in slow:
        s.settimeout(1)
        try:
            answers.append(read_answer(s))
        except TimeoutError:
            s.sendall(b"0\r\n\r\n")
            answers.append(read_answer(s))
    assert sorted(status for status, _, _ in answers) == [200, 503]
    ended = [body for status, _, body in answers if status == 503][0]
    assert "others waited" in ended["error"] and ended["data"]["rejected"] == 0
    assert stats(api)["importsRunning"] == 0
    for s in slow:
        s.close()


def test_the_slowest_reader_of_a_list_gives_way(stack):
    stack.sql("primary", "insert into products (id, name, price, stock) "
              "select gen_random_uuid(), repeat('x', 200), 1, n from generate_series(1, 60000) n")
    stack.start_consumer()
    api = stack.start_api(WORKERS=1, MAX_LISTS=2)
    stack.wait_converged(60)
    slow = []
    for _ in range(2):
        s = socket.socket()
        s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        s.connect(("127.0.0.1", int(stack.env["PORT"])))
        s.sendall(head("GET", "/api/products"))
        slow.append(s)
    wait_until(lambda: stats(api)["listsRunning"] == 2, 10, "the lists to run")

    def let_in():
        for s in slow:
            s.recv(10)
        answer = stack.get("/api/products")
        return answer.status_code == 200 and len(answer.json()["data"]) == 60000
    wait_until(let_in, 40, "a list to be let in")
    wait_until(lambda: stats(api)["listsRunning"] == 1, 10, "one to remain")
    for s in slow:
        s.close()


def test_byte_order_mark_before_an_import_is_skipped(stack):
    api = stack.start_api()
    for more in (b"", b"\r\n", b"\n" + PRODUCT):
        body = b"\xef\xbb\xbf" + PRODUCT + more
        with dial(api) as s:
            s.sendall(head("POST", "/api/products/import", "Content-Type: application/x-ndjson",
                           f"Content-Length: {len(body)}") + body)
            data = read_answer(s)[2]["data"]
        assert (data["created"], data["rejected"]) == (1 + more.count(PRODUCT), 0)
    assert stack.sql("primary", "select count(*) from products where name = 'Lamp'")[0][0] == 4


def test_hosts_that_are_allowed(stack):
    api = stack.start_api(ALLOWED_HOSTS="shop.example, .inner.example,[2001:db8::1]")

    def ask(host):
        with dial(api) as s:
            s.sendall(f"GET /health HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
            return read_answer(s)[0]
    for host in ["shop.example", "SHOP.example:8000", "shop.example.", "inner.example", "a.b.inner.example",
                 "[2001:db8::1]:80", "localhost", "127.1.2.3:9", "[::1]"]:
        assert ask(host) == 200, host
    for host in ["shop.example.org", "ashop.example", "xinner.example", "evil", "[2001:db8::2]", "128.0.0.1", "::1:x"]:
        assert ask(host) == 421, host
    everywhere = stack.start_api(HOST="0.0.0.0", ALLOWED_HOSTS=None)
    with dial(everywhere) as s:
        s.sendall(b"GET /health HTTP/1.1\r\nHost: anything.example\r\n\r\n")
        assert read_answer(s)[0] == 200
    wrong = stack.run("pgfanout-api", "--check-config", ALLOWED_HOSTS="http://shop.example")
    assert wrong.returncode == 2 and "ALLOWED_HOSTS" in wrong.stderr
    consumer = stack.start_consumer(ALLOWED_HOSTS="shop.example")
    with dial(consumer) as s:
        s.sendall(b"GET /health HTTP/1.1\r\nHost: evil.example\r\n\r\n")
        assert read_answer(s)[0] == 421


def closed(s):
    s.settimeout(0.1)
    try:
        return s.recv(1) == b""
    except TimeoutError:
        return False


@pytest.mark.parametrize("slow", ["silent", "half a head", "kept alive"])
def test_nor_keep_they_the_consumers_health_from_answering(stack, slow):
    consumer = stack.start_consumer()
    others = held(consumer, 150, SLOW[slow])
    assert get(consumer, "/health")[0] == 200
    for s in others:
        s.close()


def test_stop_finishes_what_was_accepted(stack):
    """SIGTERM while clients keep asking on kept connections: every request that was sent is
    answered."""
    api = stack.start_api()
    wrong, closes = [], []

    def client():
        with dial(api) as s:
            while True:
                s.sendall(head("GET", "/api/products/" + NOBODY))
                try:
                    status, text, _ = read_answer(s)
                except (AssertionError, OSError) as e:
                    wrong.append(str(e))
                    return
                if status != 404:
                    wrong.append(status)
                if "Connection: close" in text:
                    closes.append(1)
                    return
    threads = [threading.Thread(target=client) for _ in range(8)]
    for t in threads:
        t.start()
    time.sleep(0.3)
    api.popen.send_signal(signal.SIGTERM)
    for t in threads:
        t.join(20)
    assert api.popen.wait(20) == 0
    assert not wrong and len(closes) == 8
