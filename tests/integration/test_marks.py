"""Where a replica is in the primary's WAL: what it says is here must be here, and what is visible was committed before
what it says was seen.

A place is compared with pg_current_wal_insert_lsn(), read on the primary after a commit (it must be covered by a mark
that is larger) or in the transaction before it (what was seen must be larger as soon as the row is visible).
"""
import threading
import uuid

import pika
import pytest

from conftest import SLOWNESS, wait_until
from test_dead_letters import REFUSED, break_replica, cli, mend_replica
from test_gaps import purge, running, wait_marked
from test_streams import start as start_streams

REPLICAS = ("replica-1", "replica-2")
PLACE = "(pg_current_wal_insert_lsn() - '0/0')::bigint"
MARK = "select max(lsn) from pgfanout.positions where stream = %s"
STATE = """select coalesce((select max(lsn) from pgfanout.positions where stream = 1), 0),
	(select n from pgfanout.wrong_changes),
	array(select key[1] from pgfanout.dead_letters where "table" = 1), array(select id::text from products)"""
RARE = {"HEARTBEAT_MS": 10000, "MAX_REPLICA_LAG_MS": 60000}
# Of each heartbeat the time and the place, on the primary.
NOTE_BEATS = """
	create table beats (stream smallint, at timestamptz, lsn bigint);
	create function note_beat() returns trigger language plpgsql security definer as $$ begin
		insert into public.beats values (new.stream, new.heartbeat, ('x' || encode(new.body, 'hex'))::bit(64)::bigint);
		return null;
	end $$;
	create trigger note after insert on pgfanout.outbox for each row when (new.heartbeat is not null)
		execute function note_beat()"""


def place(stack):
    """Now: whoever sees a larger mark sees all that was visible."""
    return stack.sql("primary", f"select {PLACE}")[0][0]


def mark(stack, db="replica-1", stream=1):
    return stack.sql(db, MARK, stream)[0][0] or 0


def seen(stack, db="replica-1", stream=1):
    """last_value, is_called"""
    return stack.sql(db, f"select last_value, is_called from pgfanout.seen_{stream}")[0]


def wait_mark(stack, above, db="replica-1", stream=1):
    wait_until(lambda: mark(stack, db, stream) > above, 30 * SLOWNESS, f"a mark of {db} above {above}")


def insert(stack, stock=1, name="x"):
    return stack.sql("primary", "insert into products (id, name, price, stock) values (gen_random_uuid(), %s, 1, %s) returning id::text",
                     name, stock)[0][0]


def beats(stack, stream=1):
    return stack.sql("primary", "select count(*) from beats where stream = %s", stream)[0][0]


def gaps(stack, stream=1):
    """Between heartbeats, in seconds, oldest first."""
    return [g.total_seconds() for g, in stack.sql("primary", "select at - lag(at) over (order by at) from beats where stream = %s "
                                                             "order by at offset 1", stream)]


def test_a_mark_follows_a_write(stack):
    stack.start_consumer()
    stack.start_api(**RARE)
    stack.sql("primary", NOTE_BEATS)
    made = insert(stack)
    for db in REPLICAS:
        wait_until(lambda db=db: mark(stack, db), 30 * SLOWNESS, f"a mark of {db}")
    for turn in range(10):
        inside = stack.sql("primary", f"update products set stock = stock + 1 where id = %s returning {PLACE}", made)[0][0]
        after = place(stack)
        for db in REPLICAS:
            wait_mark(stack, after, db)
            assert stack.sql(db, "select stock from products") == [(turn + 2,)]
            assert seen(stack, db)[0] > inside and seen(stack, db)[1]
            rows = stack.sql(db, "select lsn, source from pgfanout.positions where stream = 1")
            assert len(rows) == 1 and rows[0][1] == stack.sql("primary", "select pgfanout.source()")[0][0]
    # That is not what is due every 10 s.
    assert beats(stack) >= 10 and min(gaps(stack)) < 5
    # The mark is the place of a heartbeat; each is in front of all later ones.
    assert stack.sql("primary", "select lsn from beats where lsn = %s", mark(stack)) != []
    places = [lsn for lsn, in stack.sql("primary", "select lsn from beats where stream = 1 order by at")]
    assert places == sorted(places) and len(set(places)) == len(places)


def test_a_stream_follows_the_writes_of_another(stack):
    start_streams(stack)
    number = stack.sql("primary", "select id from pgfanout.streams where name = 'tables'")[0][0]
    stack.stop_programs()
    stack.programs.clear()
    stack.apis.clear()
    stack.start_consumer()
    stack.start_api(**RARE)
    stack.sql("primary", NOTE_BEATS)
    insert(stack)
    for db in REPLICAS:
        wait_until(lambda db=db: mark(stack, db, number), 30 * SLOWNESS, f"a mark of {db}")
    for _ in range(3):
        insert(stack)
        after = place(stack)
        for db in REPLICAS:
            wait_mark(stack, after, db, number)
    assert min(gaps(stack, number)) < 5
    # What is visible of it has not changed.
    row = stack.sql("primary", f"insert into items values (-1, 0) returning {PLACE}")[0][0]
    wait_until(lambda: stack.sql("replica-1", "select 1 from items where id = -1"), 20 * SLOWNESS, "the row")
    assert seen(stack, "replica-1", number)[0] > row


def test_none_is_due_when_nobody_writes(stack):
    stack.start_consumer()
    stack.start_api(HEARTBEAT_MS=1000)
    stack.sql("primary", NOTE_BEATS)
    wait_until(lambda: beats(stack) >= 2, 20 * SLOWNESS, "heartbeats")
    insert(stack)
    wait_until(lambda: min(gaps(stack)) < 0.9, 20 * SLOWNESS, "one that is due because of the write")
    before = beats(stack) + 2  # one more may be because of it, and one that is due anyway
    wait_until(lambda: beats(stack) >= before + 3, 20 * SLOWNESS, "heartbeats")
    assert min(gaps(stack)[before:]) > 0.9, "heartbeats make no heartbeats"


def test_their_number_does_not_grow_with_the_rate_of_writes(stack):
    stack.start_consumer()
    stack.start_api(**RARE)
    stack.sql("primary", NOTE_BEATS)
    keys = [insert(stack) for _ in range(4)]

    def write(key):
        conn = stack.connect()
        conn.autocommit = True
        for _ in range(500):
            conn.cursor().execute("update products set stock = stock + 1 where id = %s", (key,))

    threads = [threading.Thread(target=write, args=(key,)) for key in keys]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    after = place(stack)
    for db in REPLICAS:
        wait_mark(stack, after, db)
    # Due 40 ms after the last one; a clock that is read a little later or earlier makes some difference.
    assert sorted(gaps(stack))[len(gaps(stack)) // 10] > 0.02
    assert beats(stack) < 2000 / 4


class Writer(threading.Thread):
    """Changes rows of its own, and notes each state with a place before its commit and one after."""

    def __init__(self, stack):
        super().__init__(daemon=True)
        self.conn, self.ended, self.states, self.lock = stack.connect(), False, {}, threading.Lock()

    def run(self):
        cursor, mine, turn = self.conn.cursor(), [str(uuid.uuid4()) for _ in range(5)], 0
        while not self.ended:
            key, turn = mine[turn % len(mine)], turn + 1
            if turn % 7 == 0:
                cursor.execute("delete from products where id = %s", (key,))
            else:
                cursor.execute("insert into products (id, name, price, stock) values (%s, 'x', 1, %s) "
                               "on conflict (id) do update set stock = excluded.stock", (key, turn))
            cursor.execute(f"select {PLACE}")
            inside = cursor.fetchone()[0]
            self.conn.commit()
            cursor.execute(f"select {PLACE}")
            after = cursor.fetchone()[0]
            self.conn.commit()
            with self.lock:
                self.states.setdefault(key, []).append((turn, turn % 7 == 0, inside, after))


def test_marks_and_what_is_seen_are_right_at_any_moment(stack):
    """Whichever process is killed. One query of a replica: the rows, the mark and the place of what is visible."""
    apis = stack.start_api(2)
    consumer = stack.start_consumer(BATCH_MAX_CHANGES=20)
    writers = [Writer(stack) for _ in range(4)]
    for writer in writers:
        writer.start()
    conns = {db: stack.connect(db) for db in REPLICAS}
    marks, checked = {db: set() for db in REPLICAS}, 0

    def look(db):
        nonlocal checked
        states = {}
        for writer in writers:
            with writer.lock:
                states.update({key: list(s) for key, s in writer.states.items()})
        cursor = conns[db].cursor()
        cursor.execute("select (" + MARK % 1 + "), (select last_value from pgfanout.seen_1), "
                       "array(select id::text from products), array(select stock from products)")
        at, visible, keys, stocks = cursor.fetchone()
        conns[db].commit()
        there = dict(zip(keys, stocks))
        marks[db].add(at)
        for key, history in states.items():
            turn = there.get(key, 0)
            for number, gone, inside, after in history:
                if number == turn:
                    assert visible > inside, f"{db}: {key} has state {number} of {inside}, seen {visible}"
                if at is not None and after < at:
                    checked += 1
                    assert turn >= number or gone or turn == 0 and any(g for n, g, *_ in history if n > number), \
                        f"{db}: {key} has state {turn}, not {number} of {after}, mark {at}"

    for what in (None, consumer.kill9, None, None):
        if what:
            what()
            stack.start_consumer(BATCH_MAX_CHANGES=20)
        elif marks["replica-1"]:
            leader = [a for a in apis if a.running() and stack.get("/status", base=a.base).json()["data"]["relay"]["state"] == "leading"]
            if len(leader) == 1 and len([a for a in apis if a.running()]) == 2:
                leader[0].kill9()
        before = {db: len(marks[db]) for db in REPLICAS}

        def enough():
            for db in REPLICAS:
                look(db)
            return all(len(marks[db]) >= before[db] + 20 for db in REPLICAS)
        wait_until(enough, 60 * SLOWNESS, "twenty marks more", 0.01)
    for writer in writers:
        writer.ended = True
        writer.join()
    assert checked > 1000
    after = place(stack)
    for db in REPLICAS:
        wait_mark(stack, after, db)
        look(db)
    stack.wait_converged()


def test_no_mark_passes_a_refused_row_before_it_is_recorded(stack):
    stack.start_consumer(RETRY_DELAY_MS=60000, APPLY_TIMEOUT_MS=1000)
    stack.start_api()
    break_replica(stack, "replica-1")
    insert(stack)
    for db in REPLICAS:
        wait_mark(stack, 0, db)
    lock = stack.connect("replica-1")
    lock.cursor().execute("lock table pgfanout.dead_letters in share mode")  # readers may, the record may not
    refused = insert(stack, REFUSED)
    after = place(stack)
    wait_mark(stack, after, "replica-2")
    waits = "select 1 from pg_stat_activity where wait_event_type = 'Lock' and query like '%%dead_letters%%' and pid <> pg_backend_pid()"
    wait_until(lambda: stack.sql("replica-1", waits), 20 * SLOWNESS, "the record")
    insert(stack)  # heartbeats follow
    wait_mark(stack, place(stack), "replica-2")
    at, counted, records, _ = stack.sql("replica-1", STATE)[0]
    assert at <= after and counted == 0 and records == []
    lock.rollback()

    def passed():
        at, counted, records, rows = stack.sql("replica-1", STATE)[0]
        assert refused not in rows
        if at > after:
            assert records == [refused] and counted >= 1
        return at > after
    wait_until(passed, 30 * SLOWNESS, "a mark behind it")
    # It is in its retry queue still, and wrong all the same.
    assert stack.queue_depth("products.retry.replica-1") == 1 and stack.queue_depth("products.dead.replica-1") == 0
    # A newer change makes it right.
    stack.sql("primary", "update products set stock = 2 where id = %s", refused)
    wait_mark(stack, place(stack))
    assert refused in stack.sql("replica-1", STATE)[0][3] and stack.sql("replica-1", STATE)[0][2] == []


def test_a_retried_row_is_right_when_it_is_applied(stack):
    """And its place goes with it: to the retry queue, to the dead-letter queue, and back by a replay."""
    break_replica(stack, "replica-1")
    stack.start_consumer(RETRY_DELAY_MS=50, MAX_ATTEMPTS=2)
    stack.start_api()
    inside = stack.sql("primary", f"insert into products (id, name, price, stock) values (gen_random_uuid(), 'x', 1, {REFUSED}) "
                                  f"returning {PLACE}")[0][0]
    wait_until(lambda: stack.queue_depth("products.dead.replica-1") == 1, 20 * SLOWNESS, "the dead letter")
    channel = stack.amqp().channel()
    method, properties, _ = channel.basic_get("products.dead.replica-1")
    channel.basic_nack(method.delivery_tag, requeue=True)
    assert inside < properties.headers["x-lsn"] <= place(stack)
    assert stack.sql("replica-1", STATE)[0][1] >= 1
    wait_mark(stack, properties.headers["x-lsn"])
    stack.sql("replica-1", "select setval('pgfanout.seen_1', 1)")
    mend_replica(stack, "replica-1")
    cli(stack, "replay", "--all")
    wait_until(lambda: stack.sql("replica-1", STATE)[0][2] == [], 20 * SLOWNESS, "the row")
    assert seen(stack) == (properties.headers["x-lsn"], True)


def test_if_the_record_is_refused_marks_end(stack):
    break_replica(stack, "replica-1")
    consumer = stack.start_consumer(RETRY_DELAY_MS=20)
    stack.start_api()
    wait_mark(stack, 0)
    stack.sql("replica-1", "alter table pgfanout.dead_letters add constraint no check (version = 0)")
    insert(stack, REFUSED)
    after = place(stack)
    wait_until(lambda: stack.queue_depth("products.dead.replica-1") == 1, 20 * SLOWNESS, "the dead letter")
    assert "tells no more how far it is" in consumer.log(200)
    insert(stack)
    wait_mark(stack, place(stack), "replica-2")
    beat = "select least(heartbeat_sync, heartbeat_delete) > %s from pgfanout.streams"
    now = stack.sql("primary", "select clock_timestamp()")[0][0]
    wait_until(lambda: stack.sql("replica-1", beat, now) == [(True,)], 20 * SLOWNESS, "a heartbeat")
    assert mark(stack) <= after, "heartbeats count, their places do not"


def test_no_mark_while_a_message_is_missing_nor_after(stack):
    consumer = running(stack, AUTO_RESET="false")
    consumer.stop()
    at = mark(stack)
    insert(stack, name="lost")
    after = place(stack)
    wait_mark(stack, 0, "replica-2")
    wait_until(lambda: stack.queue_depth("products.sync.replica-1"), 20 * SLOWNESS, "the message")
    lost = insert(stack, name="lost too")
    wait_until(lambda: stack.sql("primary", "select count(*) from pgfanout.outbox where heartbeat is null") == [(0,)],
               20 * SLOWNESS, "all published")
    purge(stack, "products.sync.replica-1")
    stack.start_consumer(AUTO_RESET="false")
    insert(stack, name="not lost")
    wait_marked(stack, "replica-1", timeout=20)
    wait_mark(stack, place(stack), "replica-2")
    assert at <= mark(stack) <= after
    assert not stack.sql("replica-1", "select 1 from products where id = %s", lost)
    # The reset is as far as its snapshot.
    assert stack.reset("--replica", "replica-1", "--yes").returncode == 0
    assert mark(stack) > after
    insert(stack)
    wait_mark(stack, place(stack))
    stack.wait_converged()


def test_a_reset_begins_anew(stack):
    insert(stack)
    after = place(stack)
    source = stack.sql("primary", "select pgfanout.source()")[0][0]
    stack.sql("replica-1", "insert into pgfanout.positions values (1, 7, 'other'), (1, 9223372036854775807, 'other'), (2, 5, 'other')")
    stack.sql("replica-1", 'insert into pgfanout.dead_letters ("table", key, version, queue, error) values (1, array[gen_random_uuid()::text], 1, %s, %s)',
              "products.sync.replica-1", "no")
    assert stack.reset("--replica", "replica-1", "--yes").returncode == 0
    rows = stack.sql("replica-1", "select lsn, source from pgfanout.positions where stream = 1")
    assert rows == [(rows[0][0], source)] and after <= rows[0][0] < place(stack)
    assert stack.sql("replica-1", "select lsn from pgfanout.positions where stream = 2") == [(5,)]
    first, called = seen(stack)
    assert rows[0][0] <= first <= place(stack) and called
    # The same primary: what was visible before may still be in somebody's hands.
    stack.sql("replica-1", "select setval('pgfanout.seen_1', 9223372036854775000)")
    assert stack.reset("--replica", "replica-1", "--yes").returncode == 0
    assert seen(stack) == (9223372036854775000, True)
    # Another one.
    stack.sql("replica-1", "update pgfanout.streams set follows = 'another'")
    assert stack.reset("--replica", "replica-1", "--yes").returncode == 0
    assert first <= seen(stack)[0] <= place(stack)
    # The next heartbeats go on from there.
    stack.start_consumer()
    stack.start_api()
    insert(stack)
    wait_mark(stack, place(stack))


def test_a_table_that_is_loaded_alone(stack):
    start_streams(stack)
    number = stack.sql("primary", "select id from pgfanout.streams where name = 'tables'")[0][0]
    for db in REPLICAS:
        assert seen(stack, db, number)[1], "it was known with the first table"
    at = {db: mark(stack, db, number) for db in REPLICAS}
    inside = stack.sql("primary", f"create table more (id int primary key); insert into more values (1); select {PLACE}")[0][0]
    stack.sql("primary", "select pgfanout.add_table('more')")
    for db in REPLICAS:
        wait_until(lambda db=db: stack.sql(db, "select id from more") == [(1,)], 60 * SLOWNESS, f"{db} has the row")
        assert seen(stack, db, number)[0] >= inside
        assert mark(stack, db, number) >= at[db]


def test_a_new_stream_gets_what_it_needs(stack):
    stack.start_consumer()
    stack.start_api()
    stack.sql("primary", "create table notes (id int primary key)")
    stack.sql("primary", "select pgfanout.add_table('notes', stream => 'notes')")
    number = stack.sql("primary", "select id from pgfanout.streams where name = 'notes'")[0][0]
    for db in REPLICAS:
        wait_until(lambda db=db: stack.sql(db, "select 1 from pg_class where oid = to_regclass('pgfanout.seen_' || %s)", number),
                   60 * SLOWNESS, f"{db} has the sequence")
    inside = stack.sql("primary", f"insert into notes values (1) returning {PLACE}")[0][0]
    after = place(stack)
    for db in REPLICAS:
        wait_mark(stack, after, db, number)
        assert stack.sql(db, "select id from notes") == [(1,)]
        assert seen(stack, db, number)[0] > inside
        assert stack.sql(db, "select has_sequence_privilege('public', 'pgfanout.seen_' || %s, 'select')", number) == [(True,)]


def test_what_versions_before_have_left(stack):
    """A heartbeat that was recorded without a place counts for lag alone. After changes without a place it is not known
    what was seen, until the next mark."""
    consumer = stack.start_consumer()
    api = stack.start_api()
    insert(stack)
    wait_mark(stack, place(stack))
    wait_until(lambda: seen(stack)[1], 20 * SLOWNESS, "what was seen")
    api.stop()
    stack.wait_converged()
    at, source = mark(stack), stack.sql("primary", "select pgfanout.source()")[0][0]
    message = pika.BasicProperties(type="products.sync", content_type="application/json", delivery_mode=2,
                                   headers={"x-source": source})
    body = ('{"id":"%s","name":"old","price":1,"stock":1,"createdAt":"2026-01-31T12:00:00.123456Z",'
            '"updatedAt":"2026-01-31T12:00:00.123456Z","version":1000000}' % uuid.uuid4())
    stack.amqp().channel().basic_publish("products", "products.sync", body.encode(), message)
    wait_until(lambda: stack.sql("replica-1", "select 1 from products where name = 'old'"), 20 * SLOWNESS, "the change")
    value, known = seen(stack)
    assert not known and value > 1
    assert mark(stack) == at
    # Alone in the outbox when a relay comes, so it is published.
    old = stack.sql("primary", "insert into pgfanout.outbox (stream, version, kind, heartbeat) values (1, 1, 'b', now()) "
                               "returning heartbeat")[0][0]
    stack.sql("replica-1", """create table came (at timestamptz, mark bigint);
        create function note_came() returns trigger language plpgsql as $$ begin
            insert into public.came select new.heartbeat_sync, max(lsn) from pgfanout.positions where stream = 1; return null;
        end $$;
        create trigger note after update on pgfanout.streams for each row execute function note_came()""")
    stack.start_api()
    wait_until(lambda: seen(stack)[1], 20 * SLOWNESS, "what was seen is known again")
    assert seen(stack)[0] >= value and mark(stack) > at
    assert set(stack.sql("replica-1", "select mark from came where at = %s", old)) == {(at,)}
    insert(stack)
    wait_mark(stack, place(stack))
    assert consumer.running()


@pytest.mark.parametrize("lsn", [-5, "nonsense", "", [1], None])
def test_places_that_are_none(stack, lsn):
    stack.start_consumer()
    source = stack.sql("primary", "select pgfanout.source()")[0][0]
    wait_until(lambda: stack.queue_depth("products.dead.replica-1") == 0, 20 * SLOWNESS, "queues")
    channel = stack.amqp().channel()
    body = '{"at":"2026-01-31T12:00:00Z","version":1,"terms":[{"term":1,"sync":0,"delete":0}]}'
    for kind in ("sync", "delete"):
        channel.basic_publish("", f"products.{kind}.replica-1", body.encode(), pika.BasicProperties(
            type="products.heartbeat", content_type="application/json",
            headers={"x-source": source, "x-xid": "1000", "x-lsn": lsn}))
    wait_until(lambda: stack.sql("replica-1", "select heartbeat_sync = heartbeat_delete from pgfanout.streams") == [(True,)],
               20 * SLOWNESS, "the heartbeat")
    assert mark(stack) == 0 and stack.queue_depth("products.dead.replica-1") == 0


def test_a_refused_truncate_makes_all_rows_wrong(stack):
    """Until it is applied: its change has no row."""
    start_streams(stack)
    number, table = stack.sql("primary", "select s.id, r.id from pgfanout.streams s join pgfanout.registered r on r.stream = s.id "
                                         "where s.name = 'tables'")[0]
    stack.sql("replica-1", "create function no() returns trigger language plpgsql as $$ begin raise 'no'; end $$; "
                           "create trigger no before delete on items for each row execute function no()")
    stack.sql("primary", "truncate items")
    after = place(stack)
    wait_mark(stack, after, "replica-2", number)
    records = 'select key, version from pgfanout.dead_letters where "table" = %s'
    wait_until(lambda: stack.sql("replica-1", records, table), 20 * SLOWNESS, "the record")
    assert stack.sql("replica-1", records, table)[0][0] == []
    assert stack.sql("replica-1", "select * from pgfanout.wrong_rows(10)") == [(table, None)]
    stack.sql("replica-1", "drop trigger no on items")
    wait_until(lambda: stack.queue_depth("tables.retry.replica-1") == 0, 20 * SLOWNESS, "no retry")
    if stack.queue_depth("tables.dead.replica-1"):
        cli(stack, "replay", "--all")
    wait_until(lambda: stack.sql("replica-1", records, table) == [], 20 * SLOWNESS, "the TRUNCATE")
    assert stack.sql("replica-1", "select count(*) from items") == [(0,)]
    wait_mark(stack, place(stack), "replica-1", number)
    assert stack.reset("--verify").returncode == 0


def test_a_key_that_cannot_be_holds_up_no_mark(stack):
    """Somebody's message: it is given up, and there is no row that it makes wrong."""
    stack.start_consumer(RETRY_DELAY_MS=20)
    stack.start_api()
    stack.sql("primary", "create table hosts (address inet primary key)")
    stack.sql("primary", "select pgfanout.add_table('hosts')")
    number, shape = stack.sql("primary", "select stream, shape from pgfanout.registered where relation = 'hosts'::regclass")[0]
    wait_until(lambda: stack.sql("replica-1", "select due from pgfanout.tables where relation = to_regclass('hosts')") == [(False,)],
               60 * SLOWNESS, "the table")
    stack.amqp().channel().basic_publish(
        "", "tables.sync.replica-1", b'{"table":"public.hosts","version":2,"row":{"address":"nonsense"}}',
        pika.BasicProperties(type="tables.sync", content_type="application/json", headers={"x-shape": shape}))
    wait_until(lambda: stack.queue_depth("tables.dead.replica-1") == 1, 20 * SLOWNESS, "the dead letter")
    assert stack.sql("replica-1", "select * from pgfanout.dead_letters") == []
    stack.sql("primary", "insert into hosts values ('::1')")
    wait_mark(stack, place(stack), "replica-1", number)
