"""Promise 1: a change is published only when it is on the primary's disk.

If a crash of the primary took back a published change, the replicas would be ahead of the primary
until the product is written again. If its version were then given out a second time, the replicas
would reject the new change as old.
"""
import pytest

from harness.servers import start_all, wait_until


@pytest.fixture
def lazy(stack):
    """A primary that writes its log to disk only where a commit waits for that."""
    stack.sql("primary", "alter system set wal_writer_delay = '10s'")
    stack.sql("primary", "alter system set synchronous_commit = off")
    stack.sql("primary", "select pg_reload_conf()")
    yield stack
    stack.servers.ensure_up()
    stack.sql("primary", "alter system reset all")
    stack.sql("primary", "select pg_reload_conf()")


@pytest.mark.parametrize("writer", ["statements", "copy", "logical replication"])
def test_what_replicas_have_survives_a_crash_of_the_primary(lazy, writer):
    lazy.start_api()
    lazy.start_consumer()
    key = lazy.create("before")["id"]
    lazy.wait_converged()
    if writer == "copy":
        lazy.psql("primary", "delete from products; copy products (id, name, price, stock) "
                  f"from stdin;\n{key}\tcopied\t1\t159\n\\.\n")
    else:
        role = "replica" if writer == "logical replication" else "origin"
        lazy.sql("primary", f"set session_replication_role = {role}")
        for stock in range(130, 160):
            lazy.sql("primary", "update products set stock = %s where id = %s", stock, key)
    wait_until(lambda: lazy.sql("replica-1", "select stock from products") == [(159,)], 20,
               "the last of the changes")
    lazy.primary.kill9()
    start_all([lazy.primary])
    lazy.wait_converged()
    assert lazy.rows("primary")[0][3] == 159


def test_ids_of_transactions_in_a_resets_snapshot_are_not_given_out_again(lazy):
    """Those that were rolled back, or committed without waiting for the disk, leave nothing
    there."""
    api = lazy.start_api()
    lazy.start_consumer()
    key = lazy.create("before")["id"]
    lazy.wait_converged()
    api.stop()
    for _ in range(100):
        lazy.sql("primary", "begin; select pg_current_xact_id(); rollback")
    assert lazy.reset("--quiet").returncode == 0
    lazy.primary.kill9()
    start_all([lazy.primary])
    for stock in range(20):
        lazy.sql("primary", "update products set stock = %s where id = %s", stock, key)
    api.restart()
    lazy.wait_converged()
    assert lazy.rows("replica-1")[0][3] == 19
