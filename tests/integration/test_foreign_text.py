"""Promise 10: what a database, a message or a client says is quoted where it may be, and nowhere else:
no row of the database in an answer or a status page, nothing that steers a terminal on one.
"""
import json

import pytest
import requests

from conftest import SLOWNESS, wait_until
from test_dead_letters import Publisher, cli, letters, product, wait_letters

SECRET = "only for the owner"
HIDE = f"alter table products add column hidden text not null default '{SECRET}'"
CHECK = "alter table products add constraint odd check (stock <> 66666) not valid"
TRIGGER = """
create function tell() returns trigger language plpgsql as $$
begin
    if new.stock = 66666 then raise exception 'no: %', new using detail = new::text; end if;
    return new;
end $$;
create trigger tell before insert or update on products for each row execute function tell();
"""
UNIQUE = "create unique index one_name on products (hidden, (stock = 66666)) where stock = 66666"
# C1's CSI, a line separator, an override of the direction of writing, and C0's.
STEERING = "\u009b31m\u2028\u202e\x1b[0m\x07"
STEERS = set("\u009b\u2028\u202e\x1b\x07")


@pytest.mark.parametrize("how, words", [(CHECK, "constraint odd"), (TRIGGER, "P0001"),
                                        (UNIQUE, "constraint one_name")])
def test_a_refusal_quotes_no_row(stack, how, words):
    stack.start_api()
    stack.sql("primary", HIDE)
    stack.sql("primary", how)
    if how is UNIQUE:
        stack.sql("primary", "insert into products (id, name, price, stock) "
                  "values (gen_random_uuid(), 'first', 1, 66666)")
    body = {"name": "my name", "price": 1, "stock": 66666}
    answers = [stack.post("/api/products", json=body),
               stack.post("/api/products/import", data=json.dumps(body) + "\n",
                          headers={"Content-Type": "application/x-ndjson"})]
    assert [a.status_code for a in answers] == [422, 200]
    assert answers[1].json()["data"]["rejected"] == 1
    for answer in answers:
        assert words in answer.text and "SQLSTATE" in answer.text
        assert SECRET not in answer.text and "my name" not in answer.text


@pytest.mark.parametrize("how, words", [(CHECK, "constraint odd"), (TRIGGER, "P0001")])
def test_the_last_error_of_a_replica_quotes_no_row(stack, how, words):
    stack.sql("replica-1", HIDE)
    stack.sql("replica-1", how)
    consumer = stack.start_consumer(RETRY_DELAY_MS=20)
    wait_until(lambda: stack.queue_depth("products.sync.replica-1") is not None, 20 * SLOWNESS,
               "the queues")
    Publisher(stack).send(product(1, 5, stock=66666), queue="products.sync.replica-1")
    wait_letters(stack, "replica-1", 1)
    answer = requests.get(consumer.base + "/status", timeout=10)
    replica = answer.json()["data"]["replicas"][0]
    assert words in replica["lastError"]
    assert SECRET not in answer.text and "product 1 v5" not in answer.text
    # Who may read the letters has the whole product, and what the trigger said.
    [letter] = letters(stack)
    if how is TRIGGER:
        assert "no: (" in letter["error"]
    assert "product 1 v5" in cli(stack, "show", "--all").stdout
    logged = consumer.log(200)
    assert ("product 1 v5" in logged) == (how is TRIGGER), "no DETAIL, but what the trigger says"


def test_dead_letters_steer_no_terminal(stack):
    stack.start_consumer()
    wait_until(lambda: stack.queue_depth("products.dead.replica-1") is not None, 20 * SLOWNESS,
               "the queues")
    publisher = Publisher(stack)
    publisher.send(json.dumps({"name": STEERING}, ensure_ascii=False).encode(),
                   "products.dead.replica-1", message_id="m" + STEERING,
                   headers={"x-attempt": 3, "x-error": STEERING, "x-mine" + STEERING: STEERING,
                            "x-queue": "products.sync.replica-1"})
    for args in (["list"], ["list", "--json"], ["show", "--all"], ["show", "--all", "--json"],
                 ["discard", "--all", "--yes"]):
        done = cli(stack, *args)
        assert done.stdout.count("\n") and not STEERS & set(done.stdout + done.stderr), args
        if "--json" in args and "show" in args:
            shown = json.loads(done.stdout)
            assert json.loads(shown["body"]) == {"name": STEERING}
            assert shown["headers"]["x-mine" + STEERING] == STEERING


def test_programs_quote_what_databases_say_in_one_plain_line(stack):
    stack.sql("replica-1", "update pgfanout.streams set needs_reset = true, "
              "reset_at = now(), reason = %s",
              STEERING)
    stack.start_api()
    wait_until(lambda: stack.get("/status").json()["data"]["replicas"][0]["state"] == "needs reset",
               20 * SLOWNESS, "the mark")
    done = stack.migrate()
    assert "needs a reset" in done.stdout and not STEERS & set(done.stdout + done.stderr)
    assert not STEERS & set(stack.get("/status").json()["data"]["replicas"][0]["reason"])
    done = stack.run("reset-replicas", "--verify")
    assert not STEERS & set(done.stdout + done.stderr)
