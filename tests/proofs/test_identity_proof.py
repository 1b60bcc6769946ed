"""Labelled people of two systems: no exact rule links anybody wrongly, and how good the proposals for the rest are."""

from pathlib import Path

import pytest

from gateway.likeness import PRIOR, SHOWN_FROM
from gateway.store import registers
from gateway.store.database import Store
from gateway.store.registers import Actor
from tests.identity.measure import Measured, as_counts, measured
from tests.identity.rosters import connected
from tests.proofs.record import proof

pytestmark = [pytest.mark.proof, pytest.mark.timeout(1800)]
SEEDS = (1, 2, 3, 4, 5)
EACH = 90


async def test_no_rule_links_two_people_and_proposals_are_measured(store: Store, actor: Actor, tmp_path: Path) -> None:
    with proof("identity", seed=SEEDS[0]) as counts:
        counts["shown from a likelihood of"] = SHOWN_FROM
        counts["prior"] = PRIOR
        for seed in SEEDS:
            found = await one_district(store, actor, tmp_path / str(seed), seed)
            counts[f"district {seed}"] = as_counts(found)
            assert found.wrong_links == [] and found.missed_links == []
            assert found.precision >= 0.9 and found.recall >= 0.8


async def one_district(store: Store, actor: Actor, folder: Path, seed: int) -> Measured:
    district = await registers.district(store, f"labelled-{seed}")
    sis = await connected(store, district, "sis", folder, actor)
    vendor = await connected(store, district, "vendor", folder, actor)
    return await measured(store, sis, vendor, seed, EACH)
