"""Promise 5, seen by the operator: a replica that stands still because somebody has locked something
there says who it is, and the others go on.
"""
import requests

from conftest import SLOWNESS, wait_until


def status(consumer, name="replica-1"):
    data = requests.get(consumer.base + "/status", timeout=10).json()["data"]
    return next(r for r in data["replicas"] if r["name"] == name)


def locker(stack, sql, db="replica-1"):
    """A session that holds a lock; the connection and its pid."""
    conn = stack.connect(db)
    with conn.cursor() as cursor:
        cursor.execute("set application_name = 'somebody\u009b at work'")
        conn.commit()
        cursor.execute(sql)
        cursor.execute("select pg_backend_pid(), current_user")
        return conn, cursor.fetchone()


def metric(program, line):
    return line in requests.get(program.base + "/metrics", timeout=10).text


def test_a_locked_row_names_who_holds_it(stack):
    stack.start_api()
    consumer = stack.start_consumer()
    mine = stack.create("mine")["id"]
    stack.wait_converged()
    assert status(consumer)["blockedBy"] == []
    conn, (pid, user) = locker(stack, f"select * from products where id = '{mine}' for update")
    stack.patch(f"/api/products/{mine}", json={"stock": 7})
    wait_until(lambda: status(consumer)["blockedBy"], 20 * SLOWNESS, "the one who blocks")
    [blocker] = status(consumer)["blockedBy"]
    assert (blocker["pid"], blocker["user"]) == (pid, user)
    assert blocker["application"].startswith("somebody") and "\u009b" not in blocker["application"]
    assert blocker["state"] == "idle in transaction" and blocker["since"].endswith("Z")
    assert metric(consumer, 'pgfanout_consumer_blocked{replica="replica-1"} 1')
    assert metric(consumer, 'pgfanout_consumer_blocked{replica="replica-2"} 0')
    stack.wait_converged(dbs=("replica-2",))
    # It outlasts the replica's own patience for a lock.
    wait_until(lambda: "blocked by a lock" in consumer.log(200), 60 * SLOWNESS, "its patience's end")
    assert [b["pid"] for b in status(consumer)["blockedBy"]] == [pid]
    assert "lock" in status(consumer)["lastError"]
    conn.rollback()
    stack.wait_converged()
    wait_until(lambda: status(consumer)["blockedBy"] == [], 20 * SLOWNESS, "nobody blocks")
    assert metric(consumer, 'pgfanout_consumer_blocked{replica="replica-1"} 0')
    assert consumer.log(500).count(f"pid={pid}") == 1
    assert status(consumer)["dead"] == status(consumer)["retried"] == 0


def test_a_locked_table_is_said_to_be_locked(stack):
    """By programs that connect while it is: statements that name it cannot even be prepared."""
    conn, (pid, _) = locker(stack, "lock table products, pgfanout.dead_letters, "
                                   "pgfanout.streams in access exclusive mode")
    consumer = stack.start_consumer()
    stack.start_api(wait=False)
    wait_until(lambda: status(consumer)["blockedBy"], 30 * SLOWNESS, "the one who blocks")
    assert status(consumer)["blockedBy"][0]["pid"] == pid
    assert "locked by another session" in status(consumer)["lastError"]
    assert "no connection to the replica" not in consumer.log(200)

    def reason():
        try:
            return stack.get("/status").json()["data"]["replicas"][0].get("reason", "")
        except requests.ConnectionError:
            return ""
    wait_until(lambda: "locked by another session" in reason(), 30 * SLOWNESS, "the API's reason")
    conn.rollback()
    stack.apis[0].wait_for_http(stack.apis[0].base + "/ready", 30 * SLOWNESS)
    stack.create()
    stack.wait_converged()
    wait_until(lambda: status(consumer)["blockedBy"] == [], 20 * SLOWNESS, "nobody blocks")
