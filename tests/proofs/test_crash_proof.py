"""Fifty workers are killed while they pull or resolve, and ten are stopped and woken: nothing is lost or doubled."""

from random import Random

import pytest

from tests.e2e.processes import Home
from tests.e2e.test_crash import SEED, SMALL, a_system, interrupted, stopped_and_woken, undisturbed
from tests.proofs.proof import proof

pytestmark = [pytest.mark.proof, pytest.mark.timeout(3_600)]


def test_fifty_kills_lose_and_double_nothing() -> None:
    with proof("crash", seed=SEED) as counts, Home.made() as home:
        for kind in ("oneroster", "edfi"):
            with a_system(kind, SMALL) as system:
                whole = undisturbed(home, system)
                random = Random(SEED)
                counts[f"{kind} killed"] = interrupted(
                    home, system, whole, f"{kind} killed", random, pulling=15, resolving=10
                )
                for n in range(5):
                    stopped_and_woken(home, system, whole, f"{kind} stopped {n}", random)
                counts[f"{kind} stopped and woken"] = 5
