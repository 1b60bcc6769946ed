"""A thousand plans with 37 faults: 963 drafts, 37 rejects, and a second time nothing changes."""

import csv
import io
from datetime import timedelta

import pytest

from gateway import intake, plan_template
from gateway.store import plans as stored
from gateway.store.database import Store
from gateway.store.registers import Actor
from tests.proofs.record import proof
from tests.test_intake import PLANTED, rows
from tests.village import TODAY, populate

pytestmark = [pytest.mark.proof, pytest.mark.timeout(3600)]

PLANS, FAULTS = 1_000, 37
WRONG: tuple[tuple[str, dict[str, str]], ...] = (
    ("plan", {"student_number": PLANTED}),
    ("plan", {"period_start": "soon"}),
    ("plan", {"tier": PLANTED}),
    ("plan", {"period_end": (TODAY - timedelta(days=900)).isoformat()}),
    ("plan", {"plan_id": ""}),
    ("need", {"domain": PLANTED}),
    ("need", {"statement": ""}),
    ("goal", {"target_due_on": ""}),
    ("goal", {"baseline_unknown_until": TODAY.isoformat()}),
    ("support", {"frequency_interval": ""}),
    ("support", {"owner_number": PLANTED}),
    ("support", {"kind": PLANTED}),
)


def written() -> bytes:
    """Every 27th plan has a fault, until there are as many as are asked for."""
    made = io.StringIO()
    writer = csv.DictWriter(made, plan_template.COLUMNS)
    writer.writeheader()
    planted = 0
    for number in range(1, PLANS + 1):
        fault = None
        if number % 27 == 0 and planted < FAULTS:
            fault, planted = WRONG[planted % len(WRONG)], planted + 1
        for one in rows(number, ["N-student", "N-other"]):
            if (fault is not None and "plan_id" in fault[1]) or (fault is not None and one["part"] == fault[0]):
                one |= fault[1]
            writer.writerow(one)
    assert planted == FAULTS
    return made.getvalue().encode()


async def test_a_thousand_plans_with_37_faults_are_963_drafts_and_37_rejects(
    store: Store, district: int, actor: Actor
) -> None:
    village = await populate(store, district)
    content = written()
    with proof("intake", seed=0) as counts:
        first = await intake.take(store, district, intake.read(content, as_csv=True), actor, "file")
        async with store.transaction(district) as c:
            before = await stored.listed(c)
        second = await intake.take(store, district, intake.read(content, as_csv=True), actor, "file")
        async with store.transaction(district) as c:
            assert await stored.listed(c) == before
        counts |= {"plans": PLANS, "drafts": len(first.drafts), "rejected": first.rejected}
        counts |= {"second_drafts": len(second.drafts), "second_unchanged": len(second.unchanged)}
        assert (len(first.drafts), first.rejected) == (PLANS - FAULTS, FAULTS)
        assert (second.drafts, second.unchanged, second.rejected) == ({}, first.drafts, FAULTS)
        assert len(before) == PLANS - FAULTS + 1 and PLANTED not in str(first.faults)
        assert village.plan in {one["id"] for one in before}
