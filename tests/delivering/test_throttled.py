"""A destination that throttles is asked more slowly: nothing fails, and nothing waits for another day."""

from pathlib import Path

import pytest

from gateway.store.database import Store
from gateway.store.registers import Actor
from tests.delivering.throttled import WAYS, pushed

PLANS = 40
"""Of five hundred: tests/proofs/test_throttled_proof.py"""


@pytest.mark.parametrize("way", WAYS)
async def test_all_of_them_arrive(store: Store, actor: Actor, tmp_path: Path, way: str) -> None:
    found = await pushed(store, way, PLANS, actor, tmp_path)
    assert found["refused"] > 0, found
    assert found["states"] == {"delivered": found["plans"]}, found
    assert found["tries"] == 0 and found["plans"] > 20
