"""GET /api/products without a limit: every product, from one replica, however many parts it
takes.
"""
from collections import Counter

ROWS = 2600  # six parts


def test_a_list_comes_from_one_replica(stack):
    stack.start_api()
    for db in ("replica-1", "replica-2"):
        stack.sql(db, "insert into products select gen_random_uuid(), %s, 1, 1, now(), now(), 1 "
                      "from generate_series(1, %s)", db, ROWS)
        stack.sql(db, "update pgfanout.streams set needs_reset = false")
    seen = set()
    for _ in range(8):
        answer = stack.get("/api/products")
        seen.add(answer.headers["X-Served-By"])
        assert Counter(p["name"] for p in answer.json()["data"]) == {
            answer.headers["X-Served-By"]: ROWS}
    assert seen == {"replica-1", "replica-2"}
