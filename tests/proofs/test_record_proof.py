"""Ten thousand random acts upon running records: each earlier moment is read again as it was."""

import random
from pathlib import Path

import pytest

from gateway.store.database import Store
from gateway.store.registers import Actor
from tests.proofs.record import proof
from tests.records import small
from tests.test_record import replayed

pytestmark = [pytest.mark.proof, pytest.mark.timeout(3600)]

SEED = 61_717
OPERATIONS = 10_000


async def test_ten_thousand_acts_are_replayed_to_every_moment(
    store: Store, district: int, actor: Actor, tmp_path: Path
) -> None:
    here = await small(store, district, actor, tmp_path)
    with proof("record", seed=SEED) as counts:
        counts |= {"acts": OPERATIONS, **await replayed(here, random.Random(SEED), OPERATIONS)}
