"""Promise 2: whatever changes products on the primary is recorded in the outbox, exactly.

The rule behind all of these tests: replaying the change records in the order of their versions onto
the old table gives the new one. None of the programs runs here, only the SQL.
"""
import contextlib
import random
import threading

import psycopg2
import pytest
from psycopg2 import errors

A, B, C = (f"00000000-0000-4000-8000-00000000000{n}" for n in "abc")
STATE = "select id::text, name, price::text, stock, created_at, updated_at from products"
RECORDS = ("select b.row ->> 'id', b.row ->> 'name', b.row ->> 'price', (b.row ->> 'stock')::int, "
           "(b.row ->> 'createdAt')::timestamptz, (b.row ->> 'updatedAt')::timestamptz, version, xid::text "
           "from pgfanout.outbox o cross join lateral (select pgfanout.row_of(o) as row) b "
           "where version > %s order by version")


def state(stack):
    return {row[0]: row[1:] for row in stack.sql("primary", STATE)}


def last_version(stack):
    return stack.sql("primary", "select case when is_called then last_value else 0 end "
                     "from pgfanout.version_seq")[0][0]


class Changes:
    """What was recorded inside a `with recorded(stack)` block."""

    def __init__(self, rows):
        self.rows = rows
        self.ids = [row[0] for row in rows]
        self.deleted = {row[0] for row in rows if row[1] is None}


@contextlib.contextmanager
def recorded(stack):
    """Proves the law for what happens inside; yields an empty list that then holds one Changes."""
    before, version, result = state(stack), last_version(stack), []
    yield result
    changes = Changes(stack.sql("primary", RECORDS, version))
    replay = dict(before)
    for row in changes.rows:
        if row[1] is None:
            replay.pop(row[0], None)
        else:
            replay[row[0]] = row[1:6]
    assert replay == state(stack)
    result.append(changes)


@pytest.fixture
def primary(module_stack):
    """The module's stack with exactly the products A (stock 1) and B (stock 2)."""
    module_stack.sql("primary", "delete from products")
    module_stack.sql("primary", "insert into products (id, name, price, stock) values "
                     "(%s, 'a', 1.10, 1), (%s, 'b', 2.2000, 2)", A, B)
    return module_stack


def row(key, name="x", price="1", stock=0):
    return f"('{key}', '{name}', {price}, {stock})"


INTO = "insert into products (id, name, price, stock) values "
COPY = ("copy products (id, name, price, stock) from stdin;\n"
        f"{C}\tcopied\t3.30\t3\n\\.\n")
REPLICA_ROLE = "set session_replication_role = replica;\n"

# what a person types -> whose records it must leave (in any order, once or more)
SCRIPTS = {
    "insert": (INTO + row(C) + ";", {C}),
    "insert-many": (INTO + ", ".join(row(f"00000000-0000-4000-8000-0000000010{n:02d}", stock=n)
                                     for n in range(50)) + ";", None),
    "insert-select": ("insert into products select gen_random_uuid(), name || g, price, stock "
                      "from products, generate_series(1, 20) g;", None),
    "update": (f"update products set price = 9.99, stock = 7 where id = '{A}';", {A}),
    "update-all": ("update products set stock = stock + 1;", {A, B}),
    "update-nothing": ("update products set stock = 1 where false;", set()),
    "update-from": ("update products p set stock = q.stock from products q where q.id <> p.id;",
                    {A, B}),
    "update-same-row-twice-in-a-transaction":
        (f"begin; update products set stock = 5 where id = '{A}'; "
         f"update products set stock = 6 where id = '{A}'; commit;", {A}),
    "delete": (f"delete from products where id = '{A}';", {A}),
    "delete-all": ("delete from products;", {A, B}),
    "delete-and-insert-again":
        (f"begin; delete from products where id = '{A}'; {INTO}{row(A, 'again')}; commit;", {A}),
    "insert-and-delete": (f"begin; {INTO}{row(C)}; delete from products where id = '{C}'; commit;",
                          {C}),
    "copy": (COPY, {C}),
    "on-conflict-update": (INTO + row(A, "new") + ", " + row(C) +
                           " on conflict (id) do update set name = excluded.name;", {A, C}),
    "on-conflict-nothing": (INTO + row(A, "new") + ", " + row(C) +
                            " on conflict do nothing;", {C}),
    "merge": ("merge into products p using (values "
              f"('{A}'::uuid, 'x'), ('{B}', 'gone'), ('{C}', 'new')) v (id, name) on p.id = v.id "
              "when matched and v.name = 'gone' then delete "
              "when matched then update set name = v.name "
              "when not matched then insert (id, name, price) values (v.id, v.name, 1);",
              {A, B, C}),
    "primary-key": (f"update products set id = '{C}' where id = '{A}';", {A, C}),
    "primary-key-there-and-back":
        (f"begin; update products set id = '{C}' where id = '{A}'; "
         f"update products set id = '{A}' where id = '{C}'; commit;", {A, C}),
    "primary-key-onto-a-deleted-one":
        (f"begin; delete from products where id = '{B}'; "
         f"update products set id = '{B}' where id = '{A}'; commit;", {A, B}),
    "cte-delete-insert-same-id":
        (f"with gone as (delete from products where id = '{A}' returning *) "
         "insert into products select id, name || '!', price, stock, created_at, updated_at "
         "from gone;", {A}),
    "cte-insert-update":
        (f"with made as (insert into products (id, name, price) values ('{C}', 'c', 1) returning 1)"
         f" update products set stock = 9 where id = '{B}';", {B, C}),
    "truncate": ("truncate products;", {A, B}),
    "truncate-and-insert": (f"begin; truncate products; {INTO}{row(A, 'again')}; commit;", {A, B}),
    "replica-role-insert": (REPLICA_ROLE + INTO + row(C) + ";", {C}),
    "replica-role-copy": (REPLICA_ROLE + COPY, {C}),
    "replica-role-update": (REPLICA_ROLE + "update products set stock = 3;", {A, B}),
    "replica-role-delete": (REPLICA_ROLE + f"delete from products where id = '{A}';", {A}),
    "replica-role-primary-key":
        (REPLICA_ROLE + f"update products set id = '{C}' where id = '{A}';", {A, C}),
    "replica-role-truncate": (REPLICA_ROLE + "truncate products;", {A, B}),
    "repeatable-read":
        ("begin isolation level repeatable read; select count(*) from products; "
         f"update products set stock = 3 where id = '{A}'; delete from products where id = '{B}'; "
         f"{INTO}{row(C)}; commit;", {A, B, C}),
    "serializable":
        (f"begin isolation level serializable; {INTO}{row(C)}; delete from products "
         f"where id = '{B}'; commit;", {B, C}),
    "rolled-back": (f"begin; delete from products; {INTO}{row(C)}; rollback;", set()),
    "savepoint-rolled-back":
        (f"begin; update products set stock = 8 where id = '{A}'; savepoint s; "
         f"delete from products; {INTO}{row(C)}; rollback to s; "
         f"update products set name = 'kept' where id = '{B}'; commit;", {A, B}),
    "exception-caught":
        (f"do $$ begin begin delete from products where id = '{A}'; raise 'no'; "
         f"exception when others then null; end; "
         f"update products set stock = 4 where id = '{B}'; end $$;", {B}),
    "temporary-decoys":
        ("create temp table products (like public.products); "
         "create temp table outbox (like pgfanout.outbox); "
         "create temp sequence version_seq; "
         f"insert into public.products (id, name, price) values ('{C}', 'c', 1); "
         f"update public.products set stock = 5 where id = '{A}'; "
         f"delete from public.products where id = '{B}';", {A, B, C}),
    "other-search-path":
        ("create schema if not exists elsewhere; set search_path = elsewhere; "
         f"delete from public.products where id = '{A}';", {A}),
    "planner-wishes":
        ("set enable_indexscan = off; set enable_nestloop = off; set jit_above_cost = 0; "
         "update products set stock = 6;", {A, B}),
}


@pytest.mark.parametrize("name", SCRIPTS)
def test_each_way_of_writing_is_recorded(primary, name):
    script, ids = SCRIPTS[name]
    with recorded(primary) as result:
        primary.psql("primary", script)
    if ids is None:
        assert result[0].ids and not result[0].deleted
    else:
        assert set(result[0].ids) == ids


def test_psql_needs_no_id_and_no_times(primary):
    with recorded(primary) as result:
        primary.psql("primary", "insert into products (name, price) values ('c', 3)")
    assert len(result[0].ids) == 1
    before = state(primary)
    with recorded(primary):
        primary.psql("primary", f"update products set stock = 9 where id = '{A}'")
    after = state(primary)
    assert after[A][4] > before[A][4] and after[A][3] == before[A][3]
    assert after[B] == before[B]


@pytest.mark.parametrize("write", [
    "update products set stock = 9, updated_at = '2020-01-02T03:04:05Z' where id = '{}'",
    REPLICA_ROLE + "update products set updated_at = '2020-01-02T03:04:05Z' where id = '{}'",
    INTO.replace(") values", ", updated_at) values") + "('{}', 'a', 1, 1, '2020-01-02T03:04:05Z') "
    "on conflict (id) do update set updated_at = excluded.updated_at"])
def test_a_time_that_the_writer_names_counts(primary, write):
    with recorded(primary):
        primary.psql("primary", write.format(A))
    assert state(primary)[A][4].isoformat() == "2020-01-02T03:04:05+00:00"


def test_replicated_rows_keep_the_time_of_their_origin(primary):
    before = state(primary)[A][4]
    with recorded(primary):
        primary.psql("primary", REPLICA_ROLE + f"update products set stock = 9 where id = '{A}'")
    assert state(primary)[A][4] == before


def test_a_record_names_its_transaction(primary):
    with recorded(primary) as result:
        xids = primary.psql("primary", f"begin; savepoint s; {INTO}{row(C)}; release s; "
                            "\\t on\n\\a\nselect pg_current_xact_id();\ncommit;")
    assert result[0].rows[0][7] in xids.split()


def test_versions_of_rolled_back_work_are_not_taken_again(primary):
    before = last_version(primary)
    primary.psql("primary", "begin; update products set stock = 9; rollback;")
    with recorded(primary) as result:
        primary.psql("primary", "update products set stock = 10;")
    assert min(r[6] for r in result[0].rows) > before + 2


@pytest.mark.parametrize("role", ["origin", "replica"])
@pytest.mark.parametrize("isolation", ["repeatable read", "serializable"])
@pytest.mark.parametrize("write", [f"{INTO}{row(A, 'new')}",
                                   f"update products set id = '{A}' where id = '{B}'"])
def test_a_snapshot_that_shows_a_deleted_product_is_not_recorded(primary, write, isolation, role):
    # The old snapshot shows two rows with the id A then: the one deleted since, and the own one.
    conn = primary.connect()
    with conn.cursor() as cursor:
        cursor.execute(f"set session_replication_role = {role}")
        conn.commit()
        cursor.execute(f"set transaction isolation level {isolation}")
        cursor.execute("select count(*) from products")
        with recorded(primary) as result:
            primary.sql("primary", "delete from products where id = %s", A)
            with pytest.raises(errors.SerializationFailure):
                cursor.execute(write)
        assert result[0].ids == [A] and result[0].deleted == {A}
        conn.rollback()
        cursor.execute(f"set transaction isolation level {isolation}")
        with recorded(primary) as result:
            cursor.execute(write)
            conn.commit()
        assert A in result[0].ids
    conn.close()


@pytest.mark.parametrize("isolation", ["repeatable read", "serializable"])
def test_truncate_is_refused_where_it_could_miss_rows(primary, isolation):
    before = state(primary)
    conn = primary.connect()
    with conn.cursor() as cursor:
        cursor.execute(f"set transaction isolation level {isolation}")
        with pytest.raises(errors.FeatureNotSupported) as e:
            cursor.execute("truncate products")
    assert "DELETE FROM products" in e.value.diag.message_hint
    conn.close()
    assert state(primary) == before


def test_truncate_records_what_others_committed_while_it_waited(primary):
    other, truncater = primary.connect(), primary.connect()
    other.cursor().execute(INTO + row(C))
    with recorded(primary) as result:
        done = []

        def truncate():
            with truncater, truncater.cursor() as cursor:
                cursor.execute("select 1")  # the transaction is older than the other's commit
                cursor.execute("truncate products")
            done.append(True)

        thread = threading.Thread(target=truncate)
        thread.start()
        thread.join(0.3)
        assert not done
        other.commit()
        thread.join(10)
        assert done
    assert set(result[0].ids) == {A, B, C} and state(primary) == {}
    other.close()
    truncater.close()


def test_a_role_that_only_may_write_products_is_recorded(primary):
    primary.psql("primary", "drop role if exists capture_shop; create role capture_shop; "
                 "grant select, insert, update, delete, truncate on products to capture_shop;")
    try:
        with recorded(primary) as result:
            primary.psql("primary", f"set role capture_shop; {INTO}{row(C)}; "
                         f"update products set stock = 3 where id = '{A}'; "
                         f"delete from products where id = '{B}';")
        assert set(result[0].ids) == {A, B, C}
        with recorded(primary):
            primary.psql("primary", "set role capture_shop; truncate products;")
        conn = primary.connect()
        with pytest.raises(errors.InsufficientPrivilege), conn.cursor() as cursor:
            cursor.execute("set role capture_shop")
            cursor.execute("delete from pgfanout.outbox")
        conn.close()
    finally:
        primary.psql("primary", "drop owned by capture_shop; drop role capture_shop;")


def test_row_security_never_turns_a_change_into_a_delete(primary):
    # The owner of the table is no superuser here, and row security is forced upon it.
    primary.psql("primary", """
        create role capture_owner; grant create on schema public to capture_owner;
        alter table products owner to capture_owner;
        alter table pgfanout.outbox owner to capture_owner;
        alter sequence pgfanout.version_seq owner to capture_owner;
        alter function pgfanout.capture_1() owner to capture_owner;
        alter table products enable row level security, force row level security;
        create policy hidden on products using (stock < 100) with check (true);""")
    try:
        conn = primary.connect()
        before = last_version(primary)
        with conn.cursor() as cursor:
            cursor.execute("set role capture_owner")
            with pytest.raises(errors.InsufficientPrivilege):
                cursor.execute("update products set stock = 500")
        conn.close()
        assert primary.sql("primary", f"select count(*) from pgfanout.outbox where version > {before} and heartbeat is null") == [(0,)]
        assert primary.sql("primary", "select count(*) from products where stock >= 500") == [(0,)]
    finally:
        primary.psql("primary", """
            drop policy hidden on products;
            alter table products disable row level security, no force row level security;
            reassign owned by capture_owner to current_user; drop owned by capture_owner;
            drop role capture_owner;""")


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("name", ["aaa", "zzz"])  # fires before and after ours
def test_a_trigger_that_writes_products_again(primary, when, name):
    body = ("new.stock := new.stock + 100; return new;" if when == "before" else
            "if pg_trigger_depth() = 1 then update products set stock = stock + 100 "
            "where id = new.id; end if; return null;")
    primary.psql("primary", f"create function {name}() returns trigger language plpgsql as "
                 f"$$ begin {body} end $$; create trigger {name} {when} insert or update "
                 f"on products for each row execute function {name}();")
    try:
        with recorded(primary) as result:
            primary.psql("primary", f"update products set price = 5; {INTO}{row(C)};")
        assert set(result[0].ids) == {A, B, C}
        newest = {r[0]: r[3] for r in result[0].rows}
        assert newest == {A: 101, B: 102, C: 100}
    finally:
        primary.psql("primary", f"drop function {name}() cascade;")


def test_a_long_copy_is_recorded_row_by_row(primary):
    lines = "".join(f"{n:08x}-0000-4000-8000-000000000000\tname {n}\t{n}.25\t{n}\n"
                    for n in range(20000))
    with recorded(primary) as result:
        primary.psql("primary", "copy products (id, name, price, stock) from stdin;\n"
                     f"{lines}\\.\n{INTO}{row(C)};")
    assert len(result[0].rows) == 20001


@pytest.mark.parametrize("values, constraint", [
    ("gen_random_uuid(), '', 1, 1", "products_name_check"),
    ("gen_random_uuid(), repeat('x', 201), 1, 1", "products_name_check"),
    ("gen_random_uuid(), 'x', -0.01, 1", "products_price_check"),
    ("gen_random_uuid(), 'x', 'NaN', 1", "products_price_check"),
    ("gen_random_uuid(), 'x', 'Infinity', 1", "products_price_check"),
    ("gen_random_uuid(), 'x', 1000000000000000, 1", "products_price_check"),
    ("gen_random_uuid(), 'x', ('0.' || repeat('1', 63))::numeric, 1", "products_price_check"),
    ("gen_random_uuid(), 'x', 1, -1", "products_stock_check"),
])
def test_what_the_api_refuses_the_database_refuses_too(primary, values, constraint):
    with pytest.raises(errors.CheckViolation) as e:
        primary.sql("primary", f"insert into products (id, name, price, stock) values ({values})")
    assert e.value.diag.constraint_name == constraint


@pytest.mark.parametrize("price", ["0", "0.0001", "999999999999999", "12345678901.2345", "1.0000"])
def test_prices_at_the_limits_are_taken(primary, price):
    with recorded(primary) as result:
        primary.psql("primary", f"{INTO}{row(C, price=price)};")
    assert result[0].rows[0][2] == price


# ---- versions under races ----------------------------------------------------------------------

ROUNDS, SESSIONS, IDS = 10000, 8, 3

# Each leaves stock one higher than the row it found, or 0 where it found none: so the records of an
# id, in the order of their versions, tell whether that order is the one of the commits.
UPSERT = ("insert into products (id, name, price, stock) values (%(id)s, 'r', 1, 0) "
          "on conflict (id) do update set stock = products.stock + 1")
RACES = [
    (3, [UPSERT]),
    (3, ["delete from products where id = %(id)s"]),
    (2, ["insert into products (id, name, price, stock) values (%(id)s, 'r', 1, 0) "
         "on conflict do nothing"]),
    (2, ["update products set stock = stock + 1 where id = %(id)s"]),
    (1, [UPSERT, "delete from products where id = %(id)s"]),
    (1, ["delete from products where id = %(id)s", UPSERT]),
    (1, ["insert into products (id, name, price, stock) values (%(id)s, 'r', 1, 0)"]),
]


def _race(stack, number, rounds, problems):
    rng = random.Random(number)
    weights = [w for w, _ in RACES]
    ids = [f"00000000-0000-4000-9000-00000000000{n}" for n in range(IDS)]
    expected = (errors.UniqueViolation, errors.SerializationFailure, errors.DeadlockDetected)
    try:
        conn = psycopg2.connect(stack.servers.primary.url(stack.database),
                                options="-c synchronous_commit=off -c statement_timeout=30000")
        with contextlib.closing(conn), conn.cursor() as cursor:
            for n in range(rounds):
                level = rng.choice(["read committed", "read committed", "repeatable read"])
                try:
                    cursor.execute(f"set transaction isolation level {level}")
                    for statement in rng.choices(RACES, weights)[0][1]:
                        cursor.execute(statement, {"id": rng.choice(ids[:1] + ids)
                                                   if n % 2 else ids[0]})
                    conn.commit()
                except expected:
                    conn.rollback()
    except Exception as e:  # pylint: disable=broad-except
        problems.append(e)


def test_versions_follow_the_commits_of_racing_writers(stack):
    version, problems = last_version(stack), []
    threads = [threading.Thread(target=_race, args=(stack, n, ROUNDS // SESSIONS, problems))
               for n in range(SESSIONS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(240)
    assert not problems and not any(t.is_alive() for t in threads)

    rows = stack.sql("primary", RECORDS, version)
    assert len(rows) > ROUNDS / 4
    found, wrong = {}, []
    for key, name, _, stock, *_, number, _ in rows:
        before = found.get(key)
        if name is None:
            if before is None:
                wrong.append((number, key, "deleted what was not there"))
            found[key] = None
        else:
            if stock != (0 if before is None else before + 1):
                wrong.append((number, key, f"stock {stock} after {before}"))
            found[key] = stock
    assert not wrong, f"{len(wrong)} of {len(rows)}: {wrong[:5]}"
    assert {k: v for k, v in found.items() if v is not None} == {
        k: v[2] for k, v in state(stack).items()}
