"""Promise: after the failover to a synchronous standby no acknowledged change is lost, and no reader of any
replica steps back, although nobody tells the programs.

The short form of `make test-failovers`: it counts, and no result depends on time. The checker is tested too:
it finds what a failover to a standby that was not synchronous loses.
"""
import random
import time

from failovers.field import Field, Round
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


def test_the_checker_finds_what_is_lost(bare_stack):
    """Commits do not wait for the standby, which gets none of the last ones."""
    field = Field(bare_stack, random.randrange(10**6), synchronous=False)
    field.load.resume()
    wait_until(lambda: field.ledger.acked > 300, 30 * SLOWNESS, "some writes")
    field.pair.stall()
    before = field.ledger.acked
    wait_until(lambda: field.ledger.acked > before + 300, 30 * SLOWNESS, "writes that will be lost")
    field.pair.leader.kill9()
    field.pair.promote()
    field.follow()
    field.check_ledger()
    assert len(field.ledger.lost) > 20, field.ledger.lost
