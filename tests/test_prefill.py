"""Plans begin with what the sources know: few values are typed, each other one names its source, many open at once."""

import json
from collections.abc import AsyncIterator, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from gateway import clock, opening, planning, prefill
from gateway.errors import ConfigError, Refused
from gateway.schema.plan import sha256
from gateway.store import plans as stored
from gateway.store import prefills, purges, reading, standing
from gateway.store.database import Store
from gateway.store.plans import StoredVersion
from gateway.store.prefills import Kept
from gateway.store.registers import Actor
from tests.records import owl
from tests.store.school import GONE, NUMBER, OTHERS, School


@pytest.fixture
async def school(store: Store, district: int, actor: Actor, tmp_path: Path) -> AsyncIterator[School]:
    made = School(tmp_path / "roster", store=store, district=district, actor=actor)
    today = clock.today()
    made.files["academicSessions"] = [
        {"sourcedId": "year", "title": "Year", "type": "schoolYear", "schoolYear": str(today.year + 1),
         "startDate": (today - timedelta(days=90)).isoformat(), "endDate": (today + timedelta(days=200)).isoformat()}
    ]  # fmt: skip
    for row in made.files["users"]:
        if row["role"] == "student":
            row["grades"] = "09" if row["sourcedId"] == GONE else "10"
    await made.connect()
    await made.pull()
    yield made


async def student(school: School) -> str:
    [found] = await reading.find_students(school.store, school.district, NUMBER)
    return str(found["id"])


async def begun_with(school: School, plan: str) -> list[Kept]:
    async with school.store.transaction(school.district) as c:
        return await prefills.of_plan(c, plan)


def leaves(typed: Any) -> int:
    """How many values somebody typed."""
    if isinstance(typed, dict | list):
        return sum(leaves(part) for part in (typed.values() if isinstance(typed, dict) else typed))
    return 1


async def test_a_whole_plan_takes_twelve_typed_values(school: School, tmp_path: Path) -> None:
    vendor = await owl(school, tmp_path / "results")
    day = clock.today() - timedelta(days=30)
    await vendor.says(f"{NUMBER},Reading,2026-27,9,{day.month}/{day.day}/{day.year},41,,,")
    people = {one["given_name"]: one["id"] for one in await reading.entities(school.store, school.district, "person")}
    counselor = Actor("ferdinand", "educator", person=people["Ferdinand"])
    child = await student(school)

    first = await planning.begin(school.store, school.district, child, counselor)
    suggested = [row.value for row in await begun_with(school, first) if row.use == "suggested"]
    [result] = [value for value in suggested if "assessment_result" in value]
    parents = [value["who"] for value in suggested if "who" in value]
    assert (result["title"], result["scores"], result["purpose"]) == (
        "Owl Reading", [{"method": "points", "value": "41"}], "screening",
    )  # fmt: skip
    assert sorted(parents) == sorted([people["Ignatz"], people["Dorothea"]])
    async with school.store.transaction(school.district) as c:
        draft = (await stored.load(c, first)).content
    assert "needs" not in draft, "no need is made of a result"

    typed = {
        "strengths": [{"statement": "Explains mazes to others."}],
        "needs": [
            {
                "domain": "academic",
                "statement": "Reads slowly.",
                "evidence": [{"assessment_result": result["assessment_result"]}],
            }
        ],
        "goals": [{"statement": "Reads with ease.", "targets": [{"value": 65}]}],
        "supports": [{"name": "Reading hour", "kind": "tutoring"}],
    }
    consulted = {
        "held_on": clock.today().isoformat(),
        "participants": [{"who": people["Ignatz"], "role": "parent"}],
        "outcome": "agreed",
    }
    assert leaves(typed) + leaves(consulted) == 12

    plan = await planning.begin(school.store, school.district, child, counselor, typed)
    await planning.take(school.store, school.district, plan, "consult", counselor)
    async with school.store.transaction(school.district) as c:
        content = (await stored.load(c, plan)).content
    await planning.edit(school.store, school.district, plan, content | {"consultations": [consulted]}, counselor)
    version = await planning.take(school.store, school.district, plan, "finalize", counselor)
    assert isinstance(version, StoredVersion)
    said = json.loads(version.content)
    [goal], [support] = said["goals"], said["supports"]
    assert goal["domain"] == "academic" and goal["addresses"] == ["need-1"]
    assert goal["measure"] == {"assessment": "Owl Reading", "score_method": "points"}
    assert goal["baseline"] == {"measure": "Owl Reading, points", "value": 41, "on": day.isoformat()}
    assert (goal["targets"][0]["due_on"], goal["targets"][0]["value"]) == (said["period_end"], 65)
    assert (support["goals"], support["owner"], said["coordinator"]) == (["goal-1"], *[people["Ferdinand"]] * 2)

    # Where each value comes from stands beside the document, and not in its hash.
    known = await begun_with(school, plan)
    assert all(row.origins for row in known)
    by = {row.pointer: row.origins[0] for row in known}
    assert by["/school"]["connection"] == "sis" and by["/school"]["record"] == f"users/{GONE}"
    assert by["/period_end"]["record"] == "academicSessions/year"
    assert by["/needs/-/evidence/-"]["connection"] == "owl" and by["/needs/-/evidence/-"]["run"] > 0
    assert by["/goals/0/domain"] == {"rule": "the plan has one need"}
    assert sha256(version.content.encode()) == version.sha256
    assert "origins" not in version.content

    await purges.purge_student(school.store, school.district, child, school.actor, "The family asked.")
    assert await begun_with(school, plan) == []


async def test_plans_are_opened_for_a_grade_and_a_school_once(school: School, actor: Actor) -> None:
    async def opened(**chosen: Any) -> tuple[int, dict[str, int]]:
        done = await opening.open_plans(school.store, school.district, actor, **chosen)
        return len(done.plans), done.skipped

    await planning.begin(school.store, school.district, await student(school), actor)
    assert await opened(grade="09") == (0, {"has a plan": 1})
    assert await opened(school="Fennel School", dry=True) == (OTHERS + 1, {"has a plan": 1})
    assert await opened(grade="10") == (OTHERS + 1, {})
    assert await opened(school="Fennel School") == (0, {"has a plan": OTHERS + 2})
    async with school.store.transaction(school.district) as c:
        plans = await stored.listed(c)
    assert len({plan["student"] for plan in plans}) == len(plans) == OTHERS + 2
    assert {plan["version"] for plan in plans} == {None}
    known = await begun_with(school, plans[-1]["id"])
    assert {"/school", "/context/grades"} <= {row.pointer for row in known}
    for code, chosen in {"selection-missing": {}, "school-unknown": {"school": "Nowhere"}}.items():
        with pytest.raises(ConfigError) as error:
            await opened(**chosen)
        assert error.value.code == code


def tie(contact: str, **more: Any) -> dict[str, Any]:
    return {"id": f"of-{contact}", "contact": contact} | more


def test_of_several_ties_to_one_person_the_one_that_says_most_is_suggested() -> None:
    found = prefill._each_once(
        [
            tie("mother", relation="mother"),
            tie("mother", education_rights="yes", legal_guardian=True),
            tie("aunt"),
        ]
    )
    assert [prefill._participant(one) for one in found] == [
        {"who": "aunt", "education_rights": "unknown"},
        {"who": "mother", "education_rights": "yes", "role": "guardian"},
    ]


async def test_who_has_no_rights_by_a_source_or_by_the_district_is_not_suggested(school: School) -> None:
    people = {one["given_name"]: one["id"] for one in await reading.entities(school.store, school.district, "person")}
    child = await student(school)

    async def suggested() -> set[str]:
        plan = await planning.begin(school.store, school.district, child, school.actor)
        told = await prefill.of_plan(school.store, school.district, plan)
        assert told == await begun_with(school, plan)
        return participants(told)

    def participants(told: Sequence[Kept]) -> set[str]:
        return {row.value["who"] for row in told if "participants" in row.pointer}

    first = await planning.begin(school.store, school.district, child, school.actor)
    assert await suggested() == {people["Ignatz"], people["Dorothea"]}
    await standing.restrict(school.store, school.district, child, people["Ignatz"], "Order 26/118", school.actor)
    assert await suggested() == {people["Dorothea"]}
    for word in ('{"education_rights": "no"}', '{"restrictions": "Order 26/119"}'):
        async with school.store.transaction(school.district) as c:
            await c.execute(
                text(
                    "UPDATE entity SET doc = CAST(CAST(doc AS jsonb) - 'education_rights' || CAST(:word AS jsonb) "
                    "AS json) WHERE kind = 'relationship' AND doc->>'contact' = :contact"
                ),
                {"word": word, "contact": people["Dorothea"]},
            )
        assert await suggested() == set()
    begun = await begun_with(school, first)
    assert participants(begun) == {people["Ignatz"], people["Dorothea"]}
    assert participants(await prefill.of_plan(school.store, school.district, first)) == set(), (
        "nor where they were once"
    )


def test_nothing_is_implied_where_two_things_could_be_meant_and_what_was_written_stays() -> None:
    typed = {
        "needs": [{"domain": "academic", "statement": "a"}, {"domain": "behavior", "statement": "b"}],
        "goals": [{"statement": "g", "domain": "academic"}, {"statement": "h", "addresses": ["need-2"]}],
        "supports": [{"name": "s", "kind": "other"}],
    }
    before = json.dumps(typed)
    plan, implied = prefill.begun(typed, [], None)
    assert (plan, implied, json.dumps(typed)) == (typed, [], before)


def test_what_somebody_wrote_takes_the_place_of_what_was_known() -> None:
    known = [Kept("filled", "/school", "a", [{"rule": "x"}]), Kept("context", "/context/grades", ["09"], [])]
    plan, stands = prefill.begun({"school": "b"}, known, None)
    assert (plan, stands) == ({"school": "b"}, known[1:])


async def test_a_plan_that_was_written_for_another_student_is_refused(school: School, actor: Actor) -> None:
    others = {"student": "00000000-0000-4000-8000-000000000001"}
    with pytest.raises(Refused) as refusal:
        await planning.begin(school.store, school.district, await student(school), actor, others)
    assert refusal.value.code == "plan-other-student"
