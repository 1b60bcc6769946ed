"""Five hundred runs over systems that go wrong by the dice: none publishes in part, each is made good by the next."""

from collections.abc import Iterator
from random import Random

import pytest

from tests.e2e.faulted import CATEGORIES, Found, Source
from tests.e2e.office import QuickHome
from tests.e2e.processes import Home
from tests.proofs.record import proof

pytestmark = [pytest.mark.proof, pytest.mark.timeout(7200)]

SEED = 50_050
RUNS = 250
"""For each kind of system."""
TRIED = 5
EVENINGS = 5


@pytest.fixture
def home() -> Iterator[Home]:
    with QuickHome.made() as made:
        yield made


@pytest.mark.parametrize("kind", ["oneroster", "edfi"])
def test_disturbed_runs_end_as_the_undisturbed_or_are_held(home: Home, kind: str) -> None:
    with proof(f"faulted-{kind}", seed=SEED) as counts:
        rng, found = Random(SEED), Found()
        for number in range(RUNS // (TRIED * EVENINGS)):
            with Source.connected(home, kind, f"{kind} {number}", rng, tried=TRIED) as source:
                source.evening(rng, found)
                for _ in range(1, EVENINGS):
                    source.change(rng)
                    source.evening(rng, found)
        counts |= found.as_counts()
        assert found.runs == RUNS
        assert min(found.faults[name] for name in CATEGORIES) > RUNS / 20
        assert found.rests > RUNS / 20
