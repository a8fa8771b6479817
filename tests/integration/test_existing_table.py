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
    "no-stock": (LOOSE.replace(", stock integer", ""), "column stock must be there, of type integer"),
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
    assert bare_stack.sql("primary", "select to_regclass('products_outbox')") == [(None,)]
