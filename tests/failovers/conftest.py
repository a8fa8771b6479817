"""Fixtures of the failover tests: two servers that take turns as the primary; what they print is also in
failovers.txt in the build folder."""
import os
import sys

import pytest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))

# pylint: disable=wrong-import-position,unused-import
from failovers.pair import PairServers
from faults.conftest import pytest_configure  # noqa: F401
from integration.conftest import bare_stack, line_teller, pytest_runtest_makereport  # noqa: F401


@pytest.fixture(scope="session")
def stack_servers():
    servers = PairServers()
    try:
        servers.start()
        yield servers
    finally:
        servers.discard()


@pytest.fixture
def tell(request):
    return line_teller(request, "failovers.txt", "short")
