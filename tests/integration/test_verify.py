"""reset-replicas --verify finds exactly what differs while everything runs; --repair repairs
exactly that.
"""
import re
import time
import uuid

import pytest

from conftest import SLOWNESS
from harness.servers import wait_until
from test_reset import Writers, fill

REPLICAS = ("replica-1", "replica-2")


def ident(stack, n):
    return stack.sql("primary", "select md5(%s::text)::uuid::text", n)[0][0]


def verify(stack, *args, timeout=120, **env):
    return stack.run("reset-replicas", *(args or ("--verify",)), timeout=timeout, **env)


def differences(done):
    """{(replica, id): what}, from the lines of --verify."""
    return {(m[1], m[2]): m[3] for m in
            re.finditer(r"^(replica-\d): ([0-9a-f]{8}-[0-9a-f-]{27}) (.+)$", done.stdout, re.M)}


def expect(done, code, found=None):
    assert done.returncode == code, done.stdout + done.stderr
    if found is not None:
        assert differences(done) == found, done.stdout + done.stderr


def start(stack, rows):
    stack.start_api()
    consumer = stack.start_consumer()
    fill(stack, rows)
    stack.wait_converged(60)
    return consumer


def drift(stack, spoil=None):
    """Makes replica-1 differ in every way; returns what --verify must report."""
    ids = {n: ident(stack, n) for n in range(1, 9)}
    stranger, tomb = str(uuid.uuid4()), str(uuid.uuid4())
    run = spoil or (lambda *args: stack.sql("replica-1", *args))
    run("update products set name = 'spoiled', stock = 77 where id = %s", ids[1])
    run("delete from products where id = %s", ids[2])
    run("insert into products values (%s, 'stranger', 1, 1, now(), now(), 1)", stranger)
    run("update products set version = 987654321987 where id = %s", ids[3])
    run("update products set price = (price::text || '0')::numeric where id = %s", ids[4])
    run("update products set updated_at = updated_at + interval '1 microsecond' where id = %s", ids[5])
    run("insert into pgfanout.tombstones_1 values (%s, 987654321987)", tomb)
    run("delete from products where id = %s", ids[6])
    run("insert into pgfanout.tombstones_1 values (%s, 987654321987)", ids[6])
    run("update products set name = 'both', version = 987654321987 where id = %s", ids[7])
    run("insert into pgfanout.dead_letters (\"table\", key, version, queue, error) values (1, array[%s], 1, 'products.sync.replica-1', 'no')", ids[8])
    return {
        ("replica-1", ids[1]): "different: name, stock",
        ("replica-1", ids[2]): "missing",
        ("replica-1", stranger): "extra",
        ("replica-1", ids[3]): "version 987654321987 was never given out",
        ("replica-1", ids[4]): "different: price",
        ("replica-1", ids[5]): "different: updated_at",
        ("replica-1", tomb): "tombstone's version 987654321987 was never given out",
        ("replica-1", ids[6]): "missing; tombstone's version 987654321987 was never given out",
        ("replica-1", ids[7]): "different: name; version 987654321987 was never given out",
        ("replica-1", ids[8]): "a change of it was given up (version 1)",
    }


def versions(stack, db):
    return dict(stack.sql(db, "select id::text, version from products"))


def test_equal_then_every_kind_of_drift_then_repaired(stack):
    start(stack, 12000)
    done = verify(stack)
    expect(done, 0, {})
    assert "replica-1: equal, 12000 products" in done.stdout

    found = drift(stack)
    expect(verify(stack), 1, found)
    expect(verify(stack, "--verify", "--replica", "replica-2"), 0, {})
    quiet = verify(stack, "--verify", "--quiet")
    assert quiet.returncode == 1
    assert sorted(quiet.stdout.split()) == sorted(key for _, key in found)

    before = {db: versions(stack, db) for db in REPLICAS}
    newest = stack.sql("primary", "select last_value from pgfanout.version_seq")[0][0]
    done = verify(stack, "--repair")
    expect(done, 0, found)
    assert f"replica-1: {len(found)} products differed, {len(found)} repaired" in done.stdout
    stack.wait_converged(30)
    wrong = {key for _, key in found}
    for db in REPLICAS:
        after = versions(stack, db)
        assert {k: v for k, v in after.items() if k not in wrong} == \
            {k: v for k, v in before[db].items() if k not in wrong}, "only what differed is touched"
        assert all(newest < after[k] < 987654321987 for k in wrong & after.keys())
    assert stack.sql("replica-1", "select count(*) from pgfanout.dead_letters") == [(0,)]
    assert stack.sql("primary", "select count(*) from products where name like 'held by%%'") == [(0,)]
    expect(verify(stack), 0, {})
    # And repaired products take changes again.
    stack.sql("primary", "update products set stock = stock + 1")
    stack.sql("primary", "insert into products (id, name, price, stock) select id::uuid, 'new', 1, 1 from unnest(%s) as id "
              "on conflict do nothing", sorted(wrong))
    stack.wait_converged(60)


def test_no_false_positive_while_everything_changes(stack):
    """Also of products that come and go all the time, and exactly the drift beside them."""
    start(stack, 8000)
    writers = [Writers(stack, seed) for seed in (1, 2, 3)]
    for writer in writers:
        writer.start()
    for _ in range(5):
        expect(verify(stack), 0, {})
    hidden = ident(stack, 5000), ident(stack, 5001), str(uuid.uuid4())
    stack.sql("replica-2", "update products set name = 'spoiled' where id = %s", hidden[0])
    stack.sql("replica-2", "delete from products where id = %s", hidden[1])
    stack.sql("replica-2", "insert into products values (%s, 'stranger', 1, 1, now(), now(), 1)", hidden[2])
    found = {("replica-2", hidden[0]): "different: name", ("replica-2", hidden[1]): "missing",
             ("replica-2", hidden[2]): "extra"}
    expect(verify(stack), 1, found)
    expect(verify(stack, "--repair"), 0, found)
    expect(verify(stack), 0, {})
    for writer in writers:
        writer.stop()
    stack.wait_converged(60)


def test_changes_of_a_purged_queue_are_found_and_mended(stack):
    consumer = start(stack, 3000)
    assert consumer.stop() == 0
    stack.sql("primary", "update products set stock = stock + 1 where stock <= 100")
    stack.sql("primary", "delete from products where stock between 2000 and 2049")
    wait_until(lambda: not stack.sql("primary", "select 1 from pgfanout.outbox where heartbeat is null"), 20 * SLOWNESS,
               "everything is published")
    channel = stack.amqp().channel()
    for kind in ("sync", "delete"):
        channel.queue_purge(f"products.{kind}.replica-1")
    stack.start_consumer(AUTO_RESET="false")
    done = verify(stack)
    expect(done, 1)
    found = differences(done)
    assert {db for db, _ in found} == {"replica-1"}
    assert sorted(found.values()) == ["different: stock, updated_at"] * 100 + ["extra"] * 50
    expect(verify(stack, "--repair"), 0, found)
    stack.wait_converged(30)
    expect(verify(stack), 0, {})


def test_nobody_can_tell_without_a_consumer(stack):
    consumer = start(stack, 1000)
    wait_until(lambda: verify(stack).returncode == 0, 30 * SLOWNESS, "equal")
    assert consumer.stop() == 0
    expect(verify(stack, VERIFY_TIMEOUT_MS=2000), 0, {})  # equal replicas are equal, whatever runs
    stack.sql("primary", "update products set stock = 0 where stock <= 10")
    began = time.monotonic()
    for what in ("--verify", "--repair"):
        done = verify(stack, what, VERIFY_TIMEOUT_MS=2000)
        expect(done, 8, {})
        assert "undetermined" in done.stderr and "10 products look different" in done.stderr
        assert "replica-1" in done.stderr and "replica-2" in done.stderr
    assert time.monotonic() - began < 30 * SLOWNESS
    stack.start_consumer()
    expect(verify(stack), 0, {})


def test_a_change_that_waits_for_its_next_attempt_is_on_its_way(stack):
    """Later heartbeats have arrived while it waits in the retry queue."""
    stack.start_api()
    stack.start_consumer(RETRY_DELAY_MS=2500)
    fill(stack, 100)
    stack.wait_converged(30)
    key = ident(stack, 5)
    stack.sql("replica-1", "alter table products add constraint no_poison check (name <> 'poison')")
    stack.sql("primary", "update products set name = 'poison' where id = %s", key)
    wait_until(lambda: stack.queue_depth("products.retry.replica-1") or stack.queue_depth("products.retry.replica-1.2"),
               20 * SLOWNESS, "an attempt has failed")
    stack.sql("replica-1", "alter table products drop constraint no_poison")
    expect(verify(stack), 0, {})
    stack.wait_converged(30)


def test_a_replica_that_is_down_is_named_and_the_other_compared(stack):
    start(stack, 500)
    stack.sql("replica-2", "delete from products where id = %s", ident(stack, 1))
    stack.replicas[0].stop("immediate")
    done = verify(stack)
    expect(done, 1, {("replica-2", ident(stack, 1)): "missing"})
    assert "replica-1" in done.stderr
    expect(verify(stack, "--verify", "--replica", "replica-1"), 3, {})
    expect(verify(stack, "--repair", "--replica", "replica-2"), 0)
    expect(verify(stack), 3, {})
    stack.replicas[0].start()
    wait_until(lambda: verify(stack).returncode == 0, 60 * SLOWNESS, "equal")
    stack.primary.stop("immediate")
    expect(verify(stack), 3, {})
    stack.primary.start()


def test_repair_against_a_writer_of_the_same_product(stack):
    """The product that differs is being inserted, or changed, by a long transaction: the writer's
    state wins."""
    start(stack, 100)
    extra, changed = str(uuid.uuid4()), ident(stack, 7)
    stack.sql("replica-1", "insert into products values (%s, 'stranger', 1, 1, now(), now(), 1)", extra)
    stack.sql("replica-1", "update products set name = 'spoiled' where id = %s", changed)
    writer = stack.connect("primary")
    with writer.cursor() as c:
        c.execute("insert into products (id, name, price, stock) values (%s, 'mine', 2, 2)", (extra,))
        c.execute("update products set name = 'mine' where id = %s", (changed,))
        # While it holds both, they cannot be recorded once more; that is reported, and affects
        # nothing else.
        repair = stack.start_program("reset-replicas", "--repair")
        repair.may_fail = True
        wait_until(lambda: stack.sql("primary", "select 1 from pg_stat_activity where query like '%%publish_1%%' "
                                     "and wait_event is not null and state = 'active' and pid <> pg_backend_pid()"), 40 * SLOWNESS, "the repair waits")
    writer.commit()
    wait_until(lambda: not repair.running(), 60 * SLOWNESS, "the repair ends")
    assert repair.popen.returncode == 0, repair.log()
    stack.wait_converged(30)
    assert stack.sql("replica-1", "select name from products where id in (%s, %s)", extra, changed) == [("mine",)] * 2


@pytest.mark.parametrize("args", [("--verify", "--dry-run"), ("--repair", "--dry-run"), ("--verify", "--repair")])
def test_what_cannot_be_combined(module_stack, args):
    done = verify(module_stack, *args)
    assert done.returncode == 2 and "cannot be combined" in done.stderr, done.stderr


def test_many_differences(module_stack):
    """An empty replica: more differences than are judged at a time, and more rows in a range than
    the primary has."""
    stack = module_stack
    stack.start_api()
    stack.start_consumer()
    fill(stack, 25000)
    stack.wait_converged(60)
    stack.sql("replica-1", "delete from products")
    stack.sql("replica-2", "insert into products select ('ffffffff-ffff-4fff-8fff-' || lpad(to_hex(n), 12, '0'))::uuid, 'more', 1, 1, "
              "now(), now(), 1 from generate_series(1, 12000) n")
    done = verify(stack)
    expect(done, 1)
    found = differences(done)
    assert len(found) == 37000, done.stdout[-1000:] + done.stderr
    assert sum(what == "missing" for (db, _), what in found.items() if db == "replica-1") == 25000
    assert sum(what == "extra" for (db, _), what in found.items() if db == "replica-2") == 12000
