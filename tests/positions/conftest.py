"""Fixtures of the positions tests: three replicas instead of two; what they print is also in
positions.txt in the build folder."""
import os
import sys

import pytest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))

# pylint: disable=wrong-import-position,unused-import
from faults.conftest import pytest_configure  # noqa: F401
from harness.servers import discard_all, remove_folder, start_all
from integration.conftest import (Servers, bare_stack, line_teller, pytest_runtest_makereport,  # noqa: F401
                                  stack)
from positions.field import REPLICAS


@pytest.fixture(scope="session")
def stack_servers():
    servers = Servers(len(REPLICAS))
    try:
        start_all(servers.all)
        yield servers
    finally:
        discard_all(servers.all)
        remove_folder(servers.folder)


@pytest.fixture
def tell(request):
    return line_teller(request, "positions.txt", "short")
