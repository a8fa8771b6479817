"""Promise: after the failover to a synchronous standby no acknowledged change is lost, and no reader of any
replica steps back, although nobody tells the programs.

The short form of `make test-failovers`: it counts, and no result depends on time. The checker is tested too:
it finds what a failover to a standby that was not synchronous loses.
"""
import time

from failovers.field import Field, Round
from failovers.load import ALL_ROWS, GHOST, SHARED_NAME
from harness.servers import wait_until
from integration.conftest import SLOWNESS

SHORT = (Round(load=1), Round(load=1, stall=0.2, returns=1), Round(load=0.7, returns=1, waits=True))


def test_nothing_is_lost(bare_stack, tell):
    field = Field(bare_stack, 1)
    for what in SHORT:
        field.fail_over(what)
    time.sleep(0.5)
    wrong = field.finish()
    tell(field.line())
    assert not wrong, "\n".join(wrong[:20])


def test_the_checker_finds_what_is_wrong(bare_stack):
    """Commits do not wait for the standby, which gets none of the last ones; and more that no run should see."""
    field = Field(bare_stack, 1, synchronous=False)
    ledger, findings = field.ledger, field.findings
    field.load.resume()

    def wait_more(many):
        until = ledger.acked + many
        wait_until(lambda: ledger.acked > until, 30 * SLOWNESS, "writes")

    def found(text, who):
        with findings.mutex:
            texts = findings.texts[:]
            findings.texts.clear()  # of which there are so many at most
        return any(text in t and t.startswith(who) for t in texts)

    def wait_found(text, who):
        wait_until(lambda: found(text, who), 30 * SLOWNESS, f"{text!r} to be found on a {who}")

    wait_more(300)
    assert not findings.texts and not ledger.lost_on(lambda: dict(field.on_leader(ALL_ROWS)))
    field.on_leader(f"insert into products (id, name, price, stock) values (gen_random_uuid(), '{GHOST}', 1, 1) returning 1")
    wait_found("was only ever on a primary that is dead", "replica")
    # A replica that is behind, and clients who do not say what they have written.
    field.consumer.pause()
    field.load.forgets = True
    wait_found("was left at", "client")
    field.load.forgets = False
    field.consumer.resume()
    field.pair.stall()
    wait_more(300)
    field.pair.leader.kill9()
    field.pair.promote()
    field.follow()
    field.check_ledger()
    assert len(ledger.lost) > 20, ledger.lost
    # What the replicas had already is counted a second time.
    wait_found(" went from ", "replica")
    with field.pair.old_primary(bare_stack.database, waits=False) as written:
        field.pair.other.psql(f"delete from products where name = '{SHARED_NAME}'", bare_stack.database)
        assert len(written()) == 2
