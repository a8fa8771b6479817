"""Fixtures of the positions tests: three replicas instead of two; what they print is also in
positions.txt in the build folder."""
import os
import sys

import pytest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))

# pylint: disable=wrong-import-position,unused-import
from faults.conftest import pytest_configure  # noqa: F401
from harness.servers import discard_all, remove_folder, start_all
from integration.conftest import (BUILD, Servers, bare_stack, pytest_runtest_makereport,  # noqa: F401
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
    def line(text):
        with open(os.path.join(BUILD, "positions.txt"), "a", encoding="utf-8") as f:
            f.write(f"{text} form=short\n")
        request.node.user_properties.append(("line", text))

    return line
