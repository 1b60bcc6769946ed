"""A hundred thousand random requests with two districts' tokens over all routes: nothing of one is told to the other,
also where no statement of the application's asks for its district."""

from pathlib import Path

import httpx
import pytest

from gateway.settings import Settings
from tests.api import two
from tests.api.leaks import open_doors, played, unfiltered
from tests.api.two import ROUTES
from tests.proofs.record import proof

pytestmark = [pytest.mark.proof, pytest.mark.timeout(8 * 3600)]

SEED = 77_012
REQUESTS = 100_000
"""Half of them without the application's own filter."""
PIECES = 20


async def test_a_hundred_thousand_requests_tell_nothing_of_another_district(settings: Settings, tmp_path: Path) -> None:
    async with two.served(settings, tmp_path / "leaks") as both:
        both.http.timeout = httpx.Timeout(1_800)  # beside other work one answer of so many may take a minute
        with proof("leaks", seed=SEED) as counts:
            counts |= {"routes": len(ROUTES), "requests": 0, "without_filters": 0, "statements_stripped": 0}
            counts |= {"told_of_the_own_district": 0, "server_errors": 0, "leaks": 0}
            for piece in range(PIECES):
                if piece % 2:
                    with unfiltered(both.store) as stripped:
                        found, leaks = await played(both, f"{SEED}/{piece}", REQUESTS // PIECES)
                    counts["without_filters"] += found["requests"]
                    counts["statements_stripped"] += stripped["statements"]
                else:
                    found, leaks = await played(both, f"{SEED}/{piece}", REQUESTS // PIECES)
                assert leaks == []
                counts["requests"] += found["requests"]
                counts["told_of_the_own_district"] += found["told of the own district"]
                assert found["routes"] == len(ROUTES)
            with open_doors(both.store), unfiltered(both.store):
                _, leaks = await played(both, f"{SEED}", 3_000, only_reading=True)
            counts["found_with_open_doors"] = len(leaks)
            assert len(leaks) > 100
