"""Five hundred deliveries to each kind of platform that throttles finish without a failure."""

from pathlib import Path

import pytest

from gateway.store.database import Store
from gateway.store.registers import Actor
from tests.delivering.throttled import WAYS, pushed
from tests.proofs.record import proof

pytestmark = [pytest.mark.proof, pytest.mark.timeout(3600)]

PLANS = 500


async def test_five_hundred_arrive_however_they_are_refused(store: Store, actor: Actor, tmp_path: Path) -> None:
    with proof("throttled", seed=PLANS) as counts:
        for way in WAYS:
            counts[way] = found = await pushed(store, way, PLANS, actor, tmp_path / way.replace(" ", "-"))
            assert found["states"] == {"delivered": found["plans"]} and found["plans"] == PLANS, found
            assert found["refused"] > 0 and found["tries"] == 0
