"""Promises 1, 3, 4, 5, 7 and 8 under every fault of the table, alone and in pairs.

A round that fails prints its line with FAILED; the same SEED and FAULTS repeat it:
    make test-faults SEED=4711 FAULTS=replica-kill9
"""
import pytest

from faults.conftest import cases
from faults.faults import FAULTS


@pytest.mark.parametrize("name,seed", cases(), ids=lambda value: value)
def test_fault(arenas, tell, name, seed):
    faults = [FAULTS[n] for n in name.split("+")]
    arena = arenas.get(any(f.wired for f in faults))
    result = arena.new_result(faults, seed)
    try:
        arena.round(faults, result)
    finally:
        tell(str(result))
