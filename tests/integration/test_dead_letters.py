"""Changes that were given up: they can be listed, shown, replayed and discarded, and none is lost
meanwhile. The products they left wrong on a replica are read elsewhere until they are right again.
"""
import json
import time
import uuid

import pika
import pytest
import requests

from conftest import SLOWNESS, wait_until

STAMP = "2026-01-31T12:00:00.123456Z"
BOTH = ("replica-1", "replica-2")
REFUSED = 66666  # a stock that replicas with the constraint do not take


def ident(number):
    return str(uuid.UUID(int=number))


def product(number, version, **more):
    return {"id": ident(number), "name": f"product {number} v{version}", "price": 1.25,
            "stock": version % 1000, "createdAt": STAMP, "updatedAt": STAMP, "version": version,
            **more}


def break_replica(stack, db):
    stack.sql(db, f"alter table products add constraint odd check (stock <> {REFUSED}) not valid")


def mend_replica(stack, db):
    stack.sql(db, "alter table products drop constraint odd")


class Publisher:
    def __init__(self, stack, confirms=True):
        self.channel = stack.amqp().channel()
        if confirms:
            self.channel.confirm_delivery()

    def send(self, body, queue=None, kind="sync", headers=None, **properties):
        self.channel.basic_publish(
            "" if queue else "products", queue or f"products.{kind}",
            body if isinstance(body, bytes) else json.dumps(body).encode(),
            pika.BasicProperties(delivery_mode=2, headers=headers or {}, **{
                "content_type": "application/json", "type": f"products.{kind}",
                "message_id": str(uuid.uuid4()), **properties}), mandatory=True)

    def bury(self, replica, body, number, **headers):
        """A letter as the consumer writes it."""
        self.send(body, f"products.dead.{replica}", message_id=f"letter-{number}",
                  headers={"x-attempt": 3, "x-error": "no", "x-queue": f"products.sync.{replica}",
                           "x-died-at": STAMP, **headers})


def cli(stack, *args, code=0, **env):
    done = stack.run("pgfanout-consumer", "dead-letters", *args, **env)
    assert done.returncode == code, (done.returncode, done.stdout, done.stderr)
    return done


def letters(stack, *args):
    return [json.loads(line) for line in cli(stack, "list", "--json", *args).stdout.splitlines()]


def wait_letters(stack, replica, n):
    wait_until(lambda: stack.queue_depth(f"products.dead.{replica}") == n, 20 * SLOWNESS,
               f"{n} dead letters of {replica}")


def wait_empty(stack, *names):
    wait_until(lambda: not any(stack.queue_depth(n) for n in names), 20 * SLOWNESS, "empty queues")


def found(stack, db):
    return {uuid.UUID(i).int: v for i, v in stack.sql(db, "select id::text, version from products")}


def wrong(stack, db):
    return {uuid.UUID(i).int: v
            for i, v in stack.sql(db, "select key[1], version from pgfanout.dead_letters")}


def consumer_status(consumer, replica):
    answer = requests.get(consumer.base + "/status", timeout=10).json()
    return next(r for r in answer["data"]["replicas"] if r["name"] == replica)


@pytest.fixture
def consumer(stack):
    program = stack.start_consumer(RETRY_DELAY_MS=20)
    for replica in BOTH:
        wait_until(lambda r=replica: consumer_status(program, r)["state"] == "applying",
                   20 * SLOWNESS, f"{replica} applying")
    return program


def test_list_and_show_change_nothing(stack, consumer):
    for db in BOTH:
        break_replica(stack, db)
    publisher = Publisher(stack)
    publisher.send(product(1, 5, stock=REFUSED), message_id="m-1")
    publisher.send([product(2, 6, stock=REFUSED), product(3, 7)], message_id="m-2")
    publisher.send(b'\xff\x1b[31m', queue="products.delete.replica-2", message_id="evil\x1b[0m")
    wait_letters(stack, "replica-1", 2)
    wait_letters(stack, "replica-2", 3)

    listed = letters(stack)
    assert sorted((x["replica"], x["messageId"]) for x in listed) == [
        ("replica-1", "m-1"), ("replica-1", "m-2"), ("replica-2", "evil [0m"), ("replica-2", "m-1"),
        ("replica-2", "m-2")]
    one = next(x for x in listed if (x["replica"], x["messageId"]) == ("replica-1", "m-2"))
    assert (one["productId"], one["kind"], one["version"], one["attempts"]) == (ident(2), "sync", 6, 3)
    assert "odd" in one["error"] and one["diedAt"].endswith("Z") and 0 <= one["ageSeconds"] < 60
    evil = next(x for x in listed if x["messageId"].startswith("evil"))
    assert (evil["productId"], evil["version"], evil["kind"]) == (None, None, "delete")

    text = cli(stack, "list").stdout.splitlines()
    assert len(text) == 6 and text[0].startswith("REPLICA")
    assert any(ident(2) in line and "replica-1" in line and "odd" in line for line in text)
    assert [x["messageId"] for x in letters(stack, ident(1))] == ["m-1", "m-1"]
    assert {x["replica"] for x in letters(stack, "--replica", "replica-2")} == {"replica-2"}

    shown = [json.loads(x) for x in cli(stack, "show", "--json", "--all").stdout.splitlines()]
    one = next(x for x in shown if (x["replica"], x["messageId"]) == ("replica-1", "m-2"))
    assert json.loads(one["body"]) == product(2, 6, stock=REFUSED)
    assert one["queue"] == "products.sync.replica-1" and one["headers"]["x-attempt"] == 3
    assert next(x for x in shown if "bodyBase64" in x)["bodyBase64"] == "/xtbMzFt"
    text = cli(stack, "show", "--all").stdout
    assert "\\xff\\x1b[31m" in text and "\x1b" not in text and json.dumps(product(1, 5, stock=REFUSED)) in text

    assert [x["messageId"] for x in letters(stack)] == [x["messageId"] for x in listed]
    assert (stack.queue_depth("products.dead.replica-1"),
            stack.queue_depth("products.dead.replica-2")) == (2, 3)


def test_wrong_use_is_told(stack):
    assert "There are no dead letters" in cli(stack, "list").stdout  # no queue was declared yet
    assert "replica-1, replica-2" in cli(stack, "list", "--replica", "nope", code=1).stderr
    assert "nothing-like-it" in cli(stack, "show", "nothing-like-it", code=1).stderr
    assert "--yes" in cli(stack, "discard", "--all", code=2).stderr
    for args in ([], ["look"], ["show"], ["replay"], ["discard"], ["replay", "--all", "x"],
                 ["list", "--yes"], ["list", "--nope"], ["list", "--replica"]):
        assert "--help" in cli(stack, *args, code=2).stderr, args
    assert "discard" in cli(stack, "--help").stdout
    done = cli(stack, "list", code=3, RABBITMQ_URL="amqp://user:secret@127.0.0.1:1/x")
    assert "127.0.0.1:1" in done.stderr and "secret" not in done.stderr


def test_an_old_letter_is_harmless_after_a_newer_change(stack, consumer):
    break_replica(stack, "replica-1")
    publisher = Publisher(stack)
    publisher.send(product(1, 5, stock=REFUSED))
    wait_letters(stack, "replica-1", 1)
    assert wrong(stack, "replica-1") == {1: 5} and wrong(stack, "replica-2") == {}
    publisher.send(product(1, 7))
    wait_until(lambda: found(stack, "replica-1") == {1: 7}, 20 * SLOWNESS, "the newer change")
    assert wrong(stack, "replica-1") == {}, "the newer change makes it right"
    mend_replica(stack, "replica-1")
    done = cli(stack, "replay", "--all")
    assert "1 replayed, 0 left" in done.stdout and ident(1) in done.stdout
    wait_until(lambda: consumer_status(consumer, "replica-1")["stale"] == 1, 20 * SLOWNESS, "stale")
    assert found(stack, "replica-1") == {1: 7}
    assert letters(stack) == []


def test_what_dies_again_is_a_new_letter_and_not_met_twice(stack, consumer):
    break_replica(stack, "replica-1")
    publisher = Publisher(stack)
    for number in range(1, 31):
        publisher.send(product(number, number, stock=REFUSED))
    wait_letters(stack, "replica-1", 30)
    assert "30 replayed" in cli(stack, "replay", "--all", "--replica", "replica-1").stdout
    wait_letters(stack, "replica-1", 30)
    assert {x["attempts"] for x in letters(stack)} == {3}, "all attempts before them again"
    assert len(wrong(stack, "replica-1")) == 30


def test_ids_choose_and_the_rest_stays_in_order(stack, consumer):
    publisher = Publisher(stack)
    for number in range(1, 41):
        publisher.bury("replica-1", product(number, number), number)
    publisher.bury("replica-2", product(7, 7), 7)
    done = cli(stack, "replay", ident(7), "letter-9", "missing", code=1)
    assert "3 replayed" in done.stdout and "missing" in done.stderr and "letter-9 " not in done.stderr
    wait_until(lambda: found(stack, "replica-1") == {7: 7, 9: 9} and
               found(stack, "replica-2") == {7: 7}, 20 * SLOWNESS, "the chosen ones")
    done = cli(stack, "discard", "letter-1", "letter-40", "--replica", "replica-1")
    assert "2 discarded" in done.stdout and "letter-40" in done.stdout
    assert "reset-replicas --repair --replica replica-1" in done.stderr
    rest = [n for n in range(2, 40) if n not in (7, 9)]
    assert [x["messageId"] for x in letters(stack)] == [f"letter-{n}" for n in rest]
    done = cli(stack, "discard", "--all", "--yes", "--json")
    gone = [json.loads(line) for line in done.stdout.splitlines()]
    assert [x["messageId"] for x in gone] == [f"letter-{n}" for n in rest]
    assert {x["result"] for x in gone} == {"discarded"} and json.loads(gone[0]["body"]) == product(2, 2)
    assert letters(stack) == [] and found(stack, "replica-1") == {7: 7, 9: 9}


def test_what_cannot_go_back_is_left(stack, consumer):
    publisher = Publisher(stack)
    publisher.bury("replica-1", product(1, 1), 1, **{"x-queue": "products.sync.replica-2"})
    publisher.send(product(2, 2), "products.dead.replica-1", message_id="by type alone")
    done = cli(stack, "replay", "--all", code=1)
    assert "1 replayed, 1 left" in done.stdout and "which queue" in done.stdout
    wait_until(lambda: found(stack, "replica-1") == {2: 2}, 20 * SLOWNESS, "the one that could go")
    assert [x["messageId"] for x in letters(stack)] == ["letter-1"]
    consumer.stop()
    stack.amqp().channel().queue_delete("products.sync.replica-1")
    cli(stack, "discard", "--all", "--yes")
    publisher.bury("replica-1", product(3, 3), 3)
    assert "does not exist" in cli(stack, "replay", "--all", code=1).stdout
    assert [x["messageId"] for x in letters(stack)] == ["letter-3"]


def test_kill_9_in_the_middle_of_a_replay_loses_nothing(stack, consumer):
    publisher, count, halfway = Publisher(stack, False), 6000, 0
    for number in range(1, count + 1):
        publisher.bury("replica-1", product(number, number), number)
    wait_letters(stack, "replica-1", count)
    for round_number in range(3):
        replay = stack.start_program("pgfanout-consumer", "dead-letters", "replay", "--all",
                                     label=f"replay-{round_number}")
        wait_until(replay.log, 20 * SLOWNESS, "its first words", 0.001)
        replay.kill9()
        # The broker puts back what the dead process held, and nothing is missing: each letter is
        # there or was applied.
        wait_until(lambda: not stack.queues().get("products.sync.replica-1") and
                   stack.queue_depth("products.dead.replica-1") + len(found(stack, "replica-1")) >= count,
                   30 * SLOWNESS, "all letters back")
        if not stack.queue_depth("products.dead.replica-1"):
            break
        halfway += 1
    assert halfway, "killed too late to prove anything"
    # What the last one held may come back late: copies of what was replayed.
    wait_until(lambda: "replayed" in cli(stack, "replay", "--all").stdout and
               not stack.queues().get("products.dead.replica-1"), 60 * SLOWNESS, "no letter left")
    wait_until(lambda: len(found(stack, "replica-1")) == count, 30 * SLOWNESS, "all products")
    wait_empty(stack, "products.sync.replica-1")
    assert found(stack, "replica-1") == {n: n for n in range(1, count + 1)}


def test_a_queue_longer_than_any_prefetch_is_read_to_its_end(stack, consumer):
    publisher, count = Publisher(stack, False), 5000
    for number in range(1, count + 1):
        publisher.bury("replica-1", product(number, number), number)
    wait_letters(stack, "replica-1", count)
    for _ in range(2):
        listed = letters(stack)
        assert [x["messageId"] for x in listed] == [f"letter-{n}" for n in range(1, count + 1)]
    assert f"{count} replayed" in cli(stack, "replay", "--all").stdout
    wait_until(lambda: len(found(stack, "replica-1")) == count, 30 * SLOWNESS, "all products")


def test_large_letters(stack, consumer):
    publisher = Publisher(stack)
    body = json.dumps([{"id": ident(n), "version": 1, "x": "y" * 100} for n in range(80000)]).encode()
    for number in range(4):
        publisher.bury("replica-1", body, number)
    wait_until(lambda: stack.queue_depth("products.dead.replica-1") == 4, 30 * SLOWNESS,
               "all letters to be ready")
    shown = [json.loads(x) for x in cli(stack, "show", "--all", "--json").stdout.splitlines()]
    assert [x["bytes"] for x in shown] == [len(body)] * 4 and shown[3]["body"].encode() == body
    assert [x["products"] for x in shown] == [80000] * 4
    assert [x["messageId"] for x in letters(stack, ident(79999))] == [f"letter-{n}" for n in range(4)]


def test_a_replica_that_refuses_the_record_parks_all_the_same(stack, consumer):
    break_replica(stack, "replica-1")
    stack.sql("replica-1", "alter table pgfanout.dead_letters add constraint no check (version = 0)")
    Publisher(stack).send(product(1, 5, stock=REFUSED))
    wait_letters(stack, "replica-1", 1)
    consumer.wait_for_line("does not take the record")
    assert wrong(stack, "replica-1") == {} and consumer_status(consumer, "replica-1")["state"] == "applying"


def test_only_what_is_wrong_is_recorded(stack, consumer):
    publisher = Publisher(stack)
    publisher.send(product(1, 9))
    publisher.send({"id": ident(2), "version": 9}, kind="delete")
    wait_until(lambda: found(stack, "replica-1") == {1: 9}, 20 * SLOWNESS, "the newer ones")
    wait_empty(stack, "products.delete.replica-1")
    bad = [product(1, 8, colour="red"), product(2, 8, colour="red"), product(3, 8, colour="red"),
           {**product(4, 8), "version": "8"}, {**product(5, 8), "id": "no"},
           product(1, 10, colour="red")]
    for body in bad:
        publisher.send(body, queue="products.sync.replica-1")
    publisher.send(product(6, 3), queue="products.sync.replica-1", content_type="text/plain")
    publisher.send(b'{"id":', queue="products.sync.replica-1")
    wait_letters(stack, "replica-1", len(bad) + 2)
    assert wrong(stack, "replica-1") == {1: 10, 3: 8, 6: 3}
    assert stack.sql("replica-1", "select queue, error from pgfanout.dead_letters where version = 10") == [
        ("products.sync.replica-1", "unknown field \"colour\"")]
    wait_until(lambda: consumer_status(consumer, "replica-1")["wrongProducts"] == 3, 20 * SLOWNESS, "the count")
    assert 'pgfanout_consumer_wrong_products{replica="replica-1"} 3' in requests.get(
        consumer.base + "/metrics", timeout=10).text


# ---- reading ----

def api_replica(stack, name):
    return next(r for r in stack.get("/status").json()["data"]["replicas"] if r["name"] == name)


def wait_wrong(stack, name, n):
    wait_until(lambda: api_replica(stack, name)["wrongProducts"] == n, 20 * SLOWNESS, f"{n} wrong of {name}")


def served_by(stack, path, times=12):
    answers = [stack.get(path) for _ in range(times)]
    return {a.headers["X-Served-By"] for a in answers}, answers


def test_a_wrong_product_is_read_elsewhere_until_it_is_cured(stack, consumer):
    stack.start_api()
    mine, other = stack.create("mine")["id"], stack.create("other")["id"]
    stack.wait_converged()
    break_replica(stack, "replica-1")
    stack.patch(f"/api/products/{mine}", json={"stock": REFUSED})
    wait_letters(stack, "replica-1", 1)
    wait_wrong(stack, "replica-1", 1)
    wait_wrong(stack, "replica-2", 0)

    names, answers = served_by(stack, f"/api/products/{mine}")
    assert names == {"replica-2"}
    assert {a.json()["data"]["stock"] for a in answers} == {REFUSED}
    assert served_by(stack, f"/api/products/{other}")[0] == set(BOTH), "others are right there"
    assert served_by(stack, "/api/products")[0] == {"replica-2"}
    assert served_by(stack, "/api/products?limit=1")[0] == {"replica-2"}
    assert 'pgfanout_api_wrong_products{database="replica-1"} 1' in stack.get("/metrics").text

    # Wrong on both: the primary.
    break_replica(stack, "replica-2")
    stack.patch(f"/api/products/{mine}", json={"name": "newer"})
    wait_letters(stack, "replica-2", 1)
    wait_wrong(stack, "replica-2", 1)
    names, answers = served_by(stack, f"/api/products/{mine}")
    assert names == {"primary"} and {a.json()["data"]["name"] for a in answers} == {"newer"}
    assert served_by(stack, "/api/products")[0] == {"primary"}

    # No other server: an old product is better than none.
    stack.primary.stop("immediate")
    wait_until(lambda: stack.get(f"/api/products/{mine}").headers.get("X-Served-By") in BOTH,
               20 * SLOWNESS, "an answer by a replica")
    stack.primary.start()

    for db in BOTH:
        mend_replica(stack, db)
    cli(stack, "replay", mine)
    for db in BOTH:
        wait_wrong(stack, db, 0)
        assert wrong(stack, db) == {}
    stack.wait_converged()
    wait_until(lambda: served_by(stack, f"/api/products/{mine}")[0] == set(BOTH), 20 * SLOWNESS, "both again")
    assert {a.json()["data"]["name"] for a in served_by(stack, f"/api/products/{mine}")[1]} == {"newer"}
    wait_until(lambda: served_by(stack, "/api/products?limit=1")[0] == set(BOTH), 20 * SLOWNESS, "both again")


def test_discarding_cures_nothing_and_a_reset_does(stack, consumer):
    stack.start_api()
    mine = stack.create("mine")["id"]
    stack.wait_converged()
    break_replica(stack, "replica-1")
    stack.patch(f"/api/products/{mine}", json={"stock": REFUSED})
    wait_wrong(stack, "replica-1", 1)
    wait_letters(stack, "replica-1", 1)
    cli(stack, "discard", mine)
    time.sleep(2)
    assert served_by(stack, f"/api/products/{mine}")[0] == {"replica-2"}
    mend_replica(stack, "replica-1")
    assert stack.reset("--replica", "replica-1").returncode == 0
    wait_wrong(stack, "replica-1", 0)
    stack.wait_converged()
    wait_until(lambda: served_by(stack, f"/api/products/{mine}")[0] == set(BOTH), 20 * SLOWNESS, "both again")


def test_too_many_dead_letters_make_a_replica_unfit(stack):
    stack.start_api()
    record = ("insert into pgfanout.dead_letters (\"table\", key, version, queue, error) "
              "select 1, array[gen_random_uuid()::text], 1, 'q', 'e' from generate_series(1, {})")
    stack.sql("replica-1", record.format(10000))
    wait_wrong(stack, "replica-1", 10000)
    assert api_replica(stack, "replica-1")["state"] == "serving"
    stack.sql("replica-1", record.format(1))
    wait_until(lambda: api_replica(stack, "replica-1")["state"] == "too many dead letters", 20 * SLOWNESS, "unfit")
    assert "reset-replicas" in api_replica(stack, "replica-1")["reason"]
    assert served_by(stack, f"/api/products/{ident(1)}")[0] == {"replica-2"}
    stack.sql("replica-1", "truncate pgfanout.dead_letters")
    wait_until(lambda: api_replica(stack, "replica-1")["state"] == "serving", 20 * SLOWNESS, "fit")
    wait_wrong(stack, "replica-1", 0)


# ---- versions that the primary cannot have given out -------------------------------------------

FUTURE = (1 << 63) - 1


def wait_given(stack, replica):
    """Until the replica has heard from the primary which versions there are."""
    wait_until(lambda: stack.sql(replica, "select given > 0 from pgfanout.streams") == [(True,)],
               20 * SLOWNESS, f"a heartbeat on {replica}")


def no_reads_avoid(stack, replica):
    return stack.sql(replica, "select count(*) from pgfanout.dead_letters") == [(0,)]


@pytest.mark.parametrize("readable", [True, False])
def test_a_version_from_the_future_is_refused(stack, readable):
    """Applied or recorded it would turn away, or outlive, every change to come."""
    stack.start_api()
    stack.start_consumer(RETRY_DELAY_MS=20)
    made = stack.create("right")
    stack.wait_converged()
    wait_given(stack, "replica-1")
    body = {"id": made["id"], "name": "forged", "price": 1, "stock": 1, "createdAt": STAMP,
            "updatedAt": STAMP, "version": FUTURE}
    if not readable:
        del body["name"]
    Publisher(stack).send(body, "products.sync.replica-1")
    Publisher(stack).send({"id": made["id"], "version": FUTURE}, "products.delete.replica-1", "delete")
    wait_letters(stack, "replica-1", 2)
    assert wrong(stack, "replica-1") == {}, "there is no such version to wait for"
    assert any("above all that the primary can have given out" in m["error"] for m in letters(stack))
    stack.sql("primary", "update products set stock = 77")
    stack.wait_converged()
    cli(stack, "replay", "--all")
    wait_letters(stack, "replica-1", 2)
    stack.wait_converged()
    assert stack.reset("--verify").returncode == 0


def test_a_record_of_an_impossible_version_ends_with_the_next_change(stack):
    """One that was made before the replica knew which versions there are."""
    stack.start_api()
    stack.start_consumer()
    made = stack.create("right")
    stack.wait_converged()
    wait_given(stack, "replica-1")
    stack.sql("replica-1", "insert into pgfanout.dead_letters (\"table\", key, version, queue, error) values "
              "(1, array[%s], %s, 'products.sync.replica-1', 'no')", made["id"], FUTURE)
    stack.sql("primary", "update products set stock = 78")
    stack.wait_converged()
    wait_until(lambda: no_reads_avoid(stack, "replica-1"), 10 * SLOWNESS, "no record")


def test_a_repair_ends_a_record_of_a_version_never_given_out(stack):
    stack.start_api()
    stack.start_consumer()
    ids = [stack.create(f"p{n}")["id"] for n in range(4)]
    stack.wait_converged()
    wait_given(stack, "replica-1")
    for key, version in zip(ids, (FUTURE, 1 << 40, 1000, 1)):
        stack.sql("replica-1", "insert into pgfanout.dead_letters (\"table\", key, version, queue, error) values "
                  "(1, array[%s], %s, 'products.sync.replica-1', 'no')", key, version)
    done = stack.reset("--repair")
    assert done.returncode == 0, done.stdout + done.stderr
    assert no_reads_avoid(stack, "replica-1")
    assert stack.reset("--verify").returncode == 0


PAIRS = """
    create table pairs (tenant int, name text, n int, primary key (name, tenant));
    select pgfanout.add_table('pairs', stream => 'pairs');
    create table counts (id bigint primary key, n int);
    insert into counts values (1, 1);
    select pgfanout.add_table('counts');
"""


def test_letters_of_any_table_and_stream(stack, consumer):
    """They name the table and its key, and are chosen by it; replayed, repaired, or discarded like products'."""
    stack.start_api()
    stack.psql("primary", PAIRS)
    for db in BOTH:
        wait_until(lambda: stack.sql(db, "select count(*) from pgfanout.tables where not due") == [(3,)],  # pylint: disable=cell-var-from-loop
                   90 * SLOWNESS, "the tables are there")
    for table in ("pairs", "counts"):
        stack.psql("replica-1", f"alter table {table} add constraint odd check (n <> {REFUSED})")
    stack.psql("primary", f"""
        insert into pairs values (1, 'a "b"', {REFUSED}); insert into pairs values (2, 'c', {REFUSED}); insert into pairs values (3, 'c', 3);
        update counts set n = {REFUSED};""")
    stack.create("a product")
    wait_until(lambda: [stack.queue_depth(f"{s}.dead.replica-1") for s in ("pairs", "tables")] == [2, 1], 60 * SLOWNESS, "dead letters")

    listed = letters(stack)
    assert sorted((x["replica"], x["stream"], x["table"], x["key"], x["kind"], x["productId"], x["rows"], x["products"]) for x in listed) == [
        ("replica-1", "pairs", "public.pairs", '{"a \\"b\\"",1}', "sync", None, 1, 0),
        ("replica-1", "pairs", "public.pairs", "{c,2}", "sync", None, 1, 0),
        ("replica-1", "tables", "public.counts", "{1}", "sync", None, 1, 0)]
    assert all(x["version"] > 0 and "odd" in x["error"] for x in listed)
    text = cli(stack, "list").stdout
    assert "public.pairs {c,2}" in text and "public.counts {1}" in text
    assert [x["key"] for x in letters(stack, "public.pairs {c,2}")] == ["{c,2}"]
    assert "no dead letter has the id public.pairs {c,3}" in cli(stack, "list", "public.pairs {c,3}", code=1).stderr
    assert sorted(stack.sql("replica-1", "select t.relation::text, d.key::text from pgfanout.dead_letters d join pgfanout.tables t on t.id = d.\"table\"")) == [
        ("counts", "{1}"), ("pairs", '{"a \\"b\\"",1}'), ("pairs", "{c,2}")]

    streams = {s["stream"]: s["wrongRows"] for s in wait_until(
        lambda: (lambda r: r["streams"] if [s["wrongRows"] for s in r["streams"]].count({}) == 1 else None)(
            consumer_status(consumer, "replica-1")), 20 * SLOWNESS, "wrong rows are counted")}
    assert streams == {"products": {}, "pairs": {"public.pairs": 2}, "tables": {"public.counts": 1}}
    metrics = requests.get(consumer.base + "/metrics", timeout=10).text
    for labels, rows in ("", 0), (',stream="pairs"', 2), (',stream="tables"', 1):
        assert f'pgfanout_consumer_wrong_products{{replica="replica-1"{labels}}} {rows}\n' in metrics
    assert [line for line in metrics.splitlines() if line.startswith("pgfanout_consumer_wrong_rows{")] == [
        f'pgfanout_consumer_wrong_rows{{replica="replica-1",stream="{s}",table="public.{t}"}} {n}'
        for s, t, n in (("pairs", "pairs", 2), ("tables", "counts", 1))]

    # One is replayed when its cause is gone, another discarded and repaired, and one cured by a newer change.
    for table in ("pairs", "counts"):
        stack.psql("replica-1", f"alter table {table} drop constraint odd")
    done = cli(stack, "replay", 'public.pairs {"a \\"b\\"",1}')
    assert '(sync of public.pairs {"a \\"b\\"",1}, version' in done.stdout and "1 replayed, 0 left." in done.stdout
    done = cli(stack, "discard", "public.pairs {c,2}")
    assert "1 discarded." in done.stdout and "reset-replicas --repair --replica replica-1" in done.stderr
    wait_until(lambda: stack.sql("replica-1", "select name from pairs order by name, tenant") == [('a "b"',), ("c",)], 20 * SLOWNESS, "the replayed one")
    repair = stack.run("reset-replicas", "--repair", timeout=100)
    assert repair.returncode == 0, repair.stdout + repair.stderr
    assert "replica-1: public.pairs {c,2} missing; a change of it was given up" in repair.stdout
    assert "replica-1: public.counts {1} different: n; a change of it was given up" in repair.stdout
    for db in BOTH:
        assert stack.sql(db, "select count(*) from pairs") == [(3,)] and stack.sql(db, "select n from counts") == [(REFUSED,)]
    assert stack.sql("replica-1", "select count(*) from pgfanout.dead_letters") == [(0,)]
    # What is left is old news by now.
    assert "1 replayed, 0 left." in cli(stack, "replay", "--all").stdout
    wait_empty(stack, "pairs.dead.replica-1", "tables.dead.replica-1", "tables.sync.replica-1")
    assert letters(stack) == []


def test_a_replica_that_does_not_answer_cannot_name_rows(stack, consumer):
    publisher = Publisher(stack)
    publisher.bury("replica-1", product(1, 5), 1)
    publisher.bury("replica-2", product(2, 5), 2)
    wait_letters(stack, "replica-2", 1)
    stack.replicas[0].stop("immediate")
    done = cli(stack, "list", "--json", code=3)
    assert "replica-1 cannot be asked for its streams and tables" in done.stderr
    assert [(x["messageId"], x["productId"]) for x in map(json.loads, done.stdout.splitlines())] == [("letter-1", None), ("letter-2", ident(2))]
    stack.replicas[0].start()
    assert [x["productId"] for x in letters(stack)] == [ident(1), ident(2)]
