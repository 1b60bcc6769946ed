"""Plans come in by the hundred: each becomes a draft or is rejected with every place that is wrong, and none twice."""

import csv
import io
import json
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import text

from gateway import intake, plan_template
from gateway.errors import ConfigError
from gateway.intake import Taken
from gateway.schema.plan import Plan
from gateway.store import plans as stored
from gateway.store.database import Store
from gateway.store.registers import Actor
from tests.village import TODAY, Village, populate

PLANS = 60
PLANTED = "planted-nobody"


@pytest.fixture
async def village(store: Store, district: int) -> Village:
    return await populate(store, district)


@dataclass
class Wrong:
    """A fault that is planted: which plan, what is written where, and what is said of it."""

    plan: int
    part: str
    cells: dict[str, str]
    column: str
    code: str


WRONG = (
    Wrong(3, "plan", {"student_number": PLANTED}, "student_number", "student-unknown"),
    Wrong(9, "plan", {"period_start": "soon"}, "period_start", "plan-invalid"),
    Wrong(17, "need", {"domain": PLANTED}, "domain", "plan-invalid"),
    Wrong(24, "support", {"owner_number": PLANTED}, "owner_number", "staff-unknown"),
    Wrong(31, "support", {"frequency_interval": ""}, "support", "plan-invalid"),
    Wrong(38, "plan", {"plan_id": "own-39"}, "plan_id", "import-id"),
    Wrong(52, "goal", {"student_number": "N-other"}, "student_number", "import-row"),
)
"""The 38th and the 39th have one id: neither is taken, as nobody knows which is meant."""


def rows(number: int, students: list[str]) -> list[dict[str, str]]:
    own = {"plan_id": f"own-{number}"}
    return [
        own | {"part": "plan", "student_number": students[number % len(students)], "coordinator_number": "N-teacher",
               "period_start": TODAY.isoformat(), "next_review_on": (TODAY + timedelta(days=40)).isoformat()},
        own | {"part": "strength", "statement": "Tells stories; listens, too."},
        own | {"part": "need", "domain": "academic", "statement": "Reads slowly.", "evidence": "Read aloud."},
        own | {"part": "goal", "domain": "academic", "statement": "Reads a page.", "addresses": "need-1",
               "baseline_measure": "words", "baseline_value": "40", "baseline_on": TODAY.isoformat(),
               "target_measure": "words", "target_value": "62.5", "target_due_on": TODAY.isoformat()},
        own | {"part": "support", "statement": "Reading aloud", "kind": "tutoring", "addresses": "goal-1",
               "frequency": "2", "frequency_interval": "week", "duration_minutes": "30", "owner_number": "N-teacher"},
    ]  # fmt: skip


def written(plans: int, students: list[str], wrong: tuple[Wrong, ...] = WRONG) -> tuple[bytes, dict[int, int]]:
    """A file with faults in it; plan -> the row in which its fault stands."""
    made = io.StringIO()
    writer = csv.DictWriter(made, plan_template.COLUMNS)
    writer.writeheader()
    at, row = {}, 1
    for number in range(1, plans + 1):
        fault = next((one for one in wrong if one.plan == number), None)
        for one in rows(number, students):
            row += 1
            if fault is not None and one["part"] == fault.part:
                one |= fault.cells
                at[number] = row
            if fault is not None and "plan_id" in fault.cells:
                one |= {"plan_id": fault.cells["plan_id"]}
            writer.writerow(one)
    return b"\xef\xbb\xbf" + made.getvalue().encode(), at


async def taken(village: Village, content: bytes, actor: Actor, *, as_csv: bool = True) -> Taken:
    return await intake.take(village.store, village.district, intake.read(content, as_csv=as_csv), actor, "file")


async def count(village: Village) -> int:
    async with village.store.transaction(village.district) as c:
        return len(await stored.listed(c))


async def test_each_plan_becomes_a_draft_or_is_rejected_and_a_second_time_changes_nothing(
    village: Village, actor: Actor
) -> None:
    """The small count of tests/proofs/test_intake_proof.py."""
    content, at = written(PLANS, ["N-student", "N-other"])
    before = await count(village)
    done = await taken(village, content, actor)
    bad = {f"own-{one.plan}" for one in WRONG} - {"own-38"} | {"own-39"}
    assert (len(done.drafts), done.rejected, len(done.unchanged)) == (PLANS - 8, 8, 0)
    assert set(done.drafts) == {f"own-{n}" for n in range(1, PLANS + 1)} - bad - {"own-38"}
    said = {(one.row, one.field, one.code) for one in done.faults}
    for wrong in WRONG:
        column = "frequency_interval" if wrong.column == "support" else wrong.column
        row = at[wrong.plan]
        assert any(r == row and c == wrong.code and (f == column or wrong.column == "support") for r, f, c in said), (
            wrong, done.faults)  # fmt: skip
    assert PLANTED not in str(done.faults), "a report repeats no value"
    assert await count(village) == before + PLANS - 8

    again = await taken(village, content, actor)
    assert (again.drafts, again.unchanged, again.rejected) == ({}, done.drafts, 8)
    assert await count(village) == before + PLANS - 8
    async with village.store.transaction(village.district) as c:
        made = Plan.model_validate((await stored.load(c, done.drafts["own-1"])).content)
        acts = list((await c.execute(text("SELECT detail FROM act WHERE act = 'plan-import' ORDER BY seq"))).scalars())
        events = await stored.events(c, done.drafts["own-1"])
    assert (made.coordinator, made.supports[0].owner, made.school) == (village.teacher, village.teacher, village.school)
    assert (made.goals[0].targets[0].value, made.goals[0].baseline and made.goals[0].baseline.value) == (62.5, 40)
    assert [one["rejected"] for one in acts] == [8, 8] and [one["drafts"] for one in acts] == [PLANS - 8, 0]
    assert [(one["act"], one["actor"]["name"]) for one in events] == [("created", actor.name)]


async def test_what_says_something_else_under_an_id_that_came_before_is_rejected(
    village: Village, actor: Actor
) -> None:
    plan = {"student": village.student, "strengths": [{"statement": "Sings."}]}
    first = await taken(village, _json({"id": "a", "plan": plan}), actor, as_csv=False)
    assert list(first.drafts) == ["a"]
    plan["strengths"] = [{"statement": "Dances."}]
    second = await taken(village, _json({"id": "a", "plan": plan}), actor, as_csv=False)
    assert (second.rejected, [one.code for one in second.faults]) == (1, ["import-differs"])
    # ... and so is whoever is no student of the district's, or nowhere at school
    async with village.store.transaction(village.district) as c:
        await c.execute(
            text("UPDATE entity SET doc = CAST(CAST(doc AS jsonb) || '{\"roles\": []}' AS json) WHERE id = :id"),
            {"id": village.other},
        )
    odd = [
        {"id": "b", "plan": {"student": village.teacher}},
        {"id": "c", "plan": {"student": village.other, "planted-word": 1}},
        {"id": "d", "plan": [], "planted-word": 1},
        {"plan": {"student": village.student}},
    ]
    third = await taken(village, _json(*odd), actor, as_csv=False)
    assert [(one.row, one.plan, one.field, one.code) for one in third.faults if one.code != "plan-invalid"] == [
        (1, "b", "/student", "student-unknown"),
        (2, "c", "/student", "student-not-enrolled"),
        (3, "d", "/plan", "import-row"),
        (3, "d", "", "import-row"),
        (3, "d", "/student", "student-unknown"),
        (4, "", "/id", "import-id"),
    ]
    assert third.rejected == 4 and "planted" not in str(third.faults)


def _json(*plans: dict[str, Any]) -> bytes:
    return json.dumps({"plans": plans}).encode()


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"plan_id,part,student_number,planted\n", "import-columns"),
        (b"plan_id,part\n", "import-columns"),
        (b'plan_id,part,student_number\n1,plan,"a\n', "import-unreadable"),
        (b"\xff\xfe", "import-unreadable"),
        (b"plan_id,part,student_number\n", "import-size"),
    ],
)
def test_a_file_that_is_not_the_template_is_refused_whole(content: bytes, code: str) -> None:
    with pytest.raises(ConfigError) as refused:
        intake.read(content, as_csv=True)
    assert refused.value.code == code and "planted" not in str(refused.value)


def test_a_spreadsheets_semicolons_are_read_too() -> None:
    [plan] = intake.read(b"plan_id;part;student_number\r\n7;Plan;00123\r\n", as_csv=True)
    assert (plan.own_id, plan.numbers, plan.faults) == ("7", {"/student": "00123"}, [])
