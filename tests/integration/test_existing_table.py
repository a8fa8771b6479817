"""A table products that was there before pgfanout: migrate takes it over if all its changes can be
replicated, or refuses before it changes anything.
"""
import pytest

TIMES = ", created_at timestamptz, updated_at timestamptz"
LOOSE = "id uuid primary key, name varchar(200), price numeric(12,4), stock integer" + TIMES
FAILED = 6

REFUSED = {
    "no-key": (LOOSE.replace(" primary key", ""), "column id must be its primary key"),
    "late-key": (LOOSE.replace("primary key", "primary key deferrable"), "column id must be its primary key"),
    "wider-key": (LOOSE.replace(" primary key", "") + ", unique (id, name)", "column id must be its primary key"),
    "serial-id": (LOOSE.replace("uuid", "bigserial"), "column id must be there, of type uuid"),
    "float-price": (LOOSE.replace("numeric(12,4)", "double precision"), "column price must be there, of type numeric"),
    "local-times": (LOOSE.replace("timestamptz", "timestamp"), "column created_at must be there"),
    "made-price": (LOOSE.replace("price numeric(12,4)", "price numeric generated always as (stock * 2) stored"),
                   "column price must be there, of type numeric, and not generated"),
    "no-stock": (LOOSE.replace(", stock integer", ""), "column stock must be there, of type integer"),
}


COLUMNS = f"({LOOSE})"
# scripts, since each of them is more than a table
REFUSED_SHAPES = {
    "partitioned": (f"create table products {COLUMNS} partition by hash (id);"
                    "create table products_0 partition of products for values with (modulus 1, remainder 0);",
                    "it is partitioned"),
    "partition": (f"create table catalogue {COLUMNS} partition by hash (id);"
                  "create table products partition of catalogue for values with (modulus 1, remainder 0);",
                  "it is a partition"),
    "parent": (f"create table products {COLUMNS}; create table child () inherits (products);", "inherited from"),
    "child": (f"create table parent {COLUMNS};"
              "create table products (primary key (id)) inherits (parent);", "inherits from a table"),
    "view": (f"create table catalogue {COLUMNS}; create view products as select * from catalogue;",
             "it is not an ordinary table"),
    "unlogged": (f"create unlogged table products {COLUMNS};", "ALTER TABLE products SET LOGGED"),
}
REPLICA = LOOSE.replace("(12,4)", "") + ", version bigint not null default 0"
REFUSED_REPLICAS = {
    "unlogged": (f"create unlogged table products ({REPLICA});", "ALTER TABLE products SET LOGGED"),
    "wide-stock": (f"create table products ({REPLICA.replace('integer', 'bigint')});",
                   "column stock must be there, of type integer"),
    "rounding-price": (f"create table products ({LOOSE});", "column price must be there, of type numeric"),
    "rounding-times": (f"create table products ({REPLICA.replace('timestamptz', 'timestamptz(0)')});",
                       "column created_at must be there"),
    "narrow-version": (f"create table products ({REPLICA.replace('bigint', 'integer')});",
                       "column version must be there, of type bigint"),
    "hidden-rows": (f"create table products ({REPLICA}); alter table products enable row level security;",
                    "row level security"),
}


def test_a_loose_table_is_taken_over(bare_stack):
    stack = bare_stack
    stack.sql("primary", f"create table products ({LOOSE}, note text)")
    stack.sql("primary", "insert into products (id, name, price, stock, created_at, updated_at) "
              "values (gen_random_uuid(), 'before', 1.5, 1, now(), now())")
    stack.migrate()
    assert stack.reset("--yes").returncode == 0
    stack.start_api()
    stack.start_consumer()
    assert stack.create("after")["createdAt"] > "2026"
    # Without these a record could be no product, or a delete that is none.
    for column in ("name", "price", "stock", "created_at", "updated_at"):
        with pytest.raises(Exception, match="not-null constraint"):
            stack.sql("primary", f"update products set {column} = null")
    stack.wait_converged()
    assert len(stack.rows("primary")) == 2


@pytest.mark.parametrize("name", REFUSED)
def test_what_could_not_be_replicated_is_refused(bare_stack, name):
    columns, complaint = REFUSED[name]
    bare_stack.sql("primary", f"create table products ({columns})")
    done = bare_stack.run("pgfanout-migrate", "up")
    assert done.returncode == FAILED and complaint in done.stdout + done.stderr
    assert bare_stack.sql("primary", "select to_regclass('pgfanout.outbox')") == [(None,)]


@pytest.mark.parametrize("name", REFUSED_SHAPES)
def test_a_shape_whose_changes_are_not_seen_is_refused(bare_stack, name):
    script, complaint = REFUSED_SHAPES[name]
    bare_stack.psql("primary", script)
    done = bare_stack.run("pgfanout-migrate", "up")
    assert done.returncode == FAILED and complaint in done.stderr, done.stderr
    assert bare_stack.sql("primary", "select to_regclass('pgfanout.outbox')") == [(None,)]


@pytest.mark.parametrize("name", REFUSED_REPLICAS)
def test_a_replica_that_would_not_keep_what_is_sent_is_refused(bare_stack, name):
    script, complaint = REFUSED_REPLICAS[name]
    bare_stack.psql("replica-1", script)
    done = bare_stack.run("pgfanout-migrate", "up")
    assert done.returncode == FAILED and complaint in done.stderr, done.stderr
    assert bare_stack.sql("replica-1", "select to_regclass('pgfanout.streams')") == [(None,)]


@pytest.mark.parametrize("stock", ["bigint", "smallint"])
def test_a_stock_of_another_width_is_read_right(bare_stack, stock):
    """Answers once showed 0: four bytes read of eight."""
    stack = bare_stack
    stack.psql("primary", f"create table products ({LOOSE.replace('integer', stock)})")
    stack.migrate()
    assert stack.reset("--yes").returncode == 0
    stack.start_api()
    stack.start_consumer()
    made = stack.create("wide", stock=31999)
    assert made["stock"] == 31999
    path = f"/api/products/{made['id']}"
    assert stack.patch(path, json={"name": "wider"}).json()["data"]["stock"] == 31999
    assert stack.put(path, json={"name": "w", "price": 1, "stock": 7}).json()["data"]["stock"] == 7
    stack.wait_converged()
    for replica in stack.replicas:
        replica.stop()
    # Now everything is read from the primary.
    assert stack.get(path).json()["data"]["stock"] == 7
    assert stack.get("/api/products").json()["data"][0]["stock"] == 7
    assert stack.get("/api/products?limit=1").json()["data"][0]["stock"] == 7
    for replica in stack.replicas:
        replica.start()
    if stock == "bigint":
        with pytest.raises(Exception, match="products_stock_check"):
            stack.sql("primary", "update products set stock = 2147483648")


def test_a_stock_that_fits_no_product_is_refused(bare_stack):
    bare_stack.psql("primary", f"create table products ({LOOSE.replace('integer', 'bigint')}); insert into products "
                    "values (gen_random_uuid(), 'x', 1, 2147483648, now(), now())")
    done = bare_stack.run("pgfanout-migrate", "up")
    assert done.returncode == FAILED and "products_stock_check" in done.stderr


def test_an_id_of_the_tables_own_making_stays(bare_stack):
    own = "'00000000-0000-4000-8000-00000000000a'"
    bare_stack.psql("primary", f"create table products ({LOOSE.replace('primary key', f'primary key default {own}')})")
    bare_stack.migrate()
    bare_stack.psql("primary", "insert into products (name, price) values ('x', 1)")
    assert f"'{bare_stack.rows('primary')[0][0]}'" == own


@pytest.mark.parametrize("name", ["primary", "replica-1"])
def test_no_table_is_made_in_front_of_one_that_is_there(bare_stack, name):
    """search_path = app, public: an empty app.products would hide the catalogue."""
    stack = bare_stack
    columns = LOOSE if name == "primary" else REPLICA
    stack.psql(name, f"create table products ({columns}); create schema app;"
               f'alter database "{stack.database}" set search_path = app, public;')
    done = stack.run("pgfanout-migrate", "up")
    assert done.returncode == FAILED, done.stderr
    assert "public.products is there already" in done.stderr and "search_path" in done.stderr
    assert stack.psql(name, "select count(*) from pg_class where relnamespace = 'app'::regnamespace").strip() == "0"
    stack.psql(name, f'alter database "{stack.database}" set search_path = public, app;')
    stack.migrate()
