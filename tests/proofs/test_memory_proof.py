"""A hundred thousand section associations are pulled in less than 200 MB, and ten thousand take hardly less."""

import pytest

from tests.e2e.processes import Home
from tests.e2e.test_memory import MEGABYTE, measured
from tests.proofs.proof import proof

pytestmark = [pytest.mark.proof, pytest.mark.timeout(3_600)]


def test_a_hundred_thousand_section_associations_fit_in_200_megabytes() -> None:
    with proof("memory", seed=2026) as counts, Home.made() as home:
        small, large = measured(home, students=1_400), measured(home, students=14_000)
        counts |= {"small": vars(small), "large": vars(large), "unit of peak": "kB"}
        assert small.associations >= 10_000 and large.associations >= 100_000
        assert large.peak < 200 * MEGABYTE
        assert large.peak - small.peak < 50 * MEGABYTE
