"""Ten thousand random operations upon plans: each earlier moment is told by the acts, each version stays its bytes."""

import asyncio
import json
from collections import Counter
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
AT_ONCE = 8
"""Plans that are worked on side by side, each with its own chance: what an operation costs is waiting for answers."""


async def test_ten_thousand_operations_are_replayed_to_every_moment(
    store: Store, district: int, actor: Actor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = await populate(store, district, actor, tmp_path / "roster")
    sound = json.loads(json.dumps(content(world, goals=[GOAL])))
    with proof("plans", seed=SEED) as counts:
        found: Counter[str] = Counter()
        for first in range(0, OPERATIONS // EACH, AT_ONCE):
            group = [Operated(store, district, sound, Random(SEED + first + n)) for n in range(AT_ONCE)]
            await asyncio.gather(*(one.begin() for one in group))
            for n in range(EACH):
                await asyncio.gather(*(one.operate(monkeypatch, n // 10) for one in group))
            for one in group:
                found.update(await one.compare())
        counts |= {"operations": OPERATIONS, **found}
        assert counts["versions"] >= 50
