"""100,000 section associations through one worker in less than 200 MB, hardly more than 10,000 take."""

import pytest

from tests.e2e.processes import Home
from tests.e2e.test_memory import MEGABYTE, SEED, measured
from tests.proofs.record import proof

pytestmark = [pytest.mark.proof, pytest.mark.timeout(3600)]


def test_a_hundred_thousand_section_associations_in_less_than_200_mb() -> None:
    with proof("memory", seed=SEED) as counts, Home.made() as home:
        small, large = measured(home, students=1_390), measured(home, students=13_900)
        for pull in (small, large):
            counts[f"{pull.associations} section associations"] = {
                "peak of the worker in MB": round(pull.peak / MEGABYTE, 1),
                "seconds from start to published": pull.seconds,
            }
        assert 9_500 < small.associations < 10_500 and large.associations >= 100_000
        assert large.peak < 200 * MEGABYTE
        assert large.peak - small.peak < 50 * MEGABYTE
