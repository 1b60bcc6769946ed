"""Five hundred reads of a program, over all it may read: an incident's list has each student and field, no other."""

import random

import pytest

from gateway import api
from gateway.settings import Settings
from gateway.store.database import Store
from tests.api.conftest import serving
from tests.api.test_incident import populated, recorded
from tests.proofs.record import proof

pytestmark = [pytest.mark.proof, pytest.mark.timeout(3600)]

SEED = 71_204
READS = 500


async def test_an_incident_has_what_five_hundred_reads_told_and_no_more(store: Store, settings: Settings) -> None:
    async with serving(api.create_app(store, settings)) as http:
        with proof("incident", seed=SEED) as counts:
            expected, found = await recorded(await populated(store, http), random.Random(SEED), READS)
            assert found == expected
            counts |= {"reads": READS, "students_and_fields": len(expected), "missing": 0, "beyond": 0}
            counts["collections"] = len({collection for _, collection, _ in expected})
