"""Ten thousand random operations upon plans: each earlier moment is told by the acts, each version stays its bytes."""

import json
from pathlib import Path
from random import Random

import pytest

from gateway.store.database import Store
from gateway.store.registers import Actor
from tests.api.test_plan_life import GOAL
from tests.api.world import content, populate
from tests.plan_operations import Operated
from tests.proofs.record import proof

pytestmark = [pytest.mark.proof, pytest.mark.timeout(3600)]

SEED = 60_606
OPERATIONS = 10_000
EACH = 250
"""Operations upon one plan, before the next one is begun."""


async def test_ten_thousand_operations_are_replayed_to_every_moment(
    store: Store, district: int, actor: Actor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = await populate(store, district, actor, tmp_path / "roster")
    sound = json.loads(json.dumps(content(world, goals=[GOAL])))
    with proof("plans", seed=SEED) as counts:
        operated = Operated(store, district, sound, Random(SEED))
        for n in range(OPERATIONS):
            if n % EACH == 0:
                await operated.begin()
            await operated.operate(monkeypatch, n % EACH // 10)
        counts |= {"operations": OPERATIONS, **await operated.compare()}
        assert counts["versions"] >= 50
