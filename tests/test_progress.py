"""Progress: results that arrive become points of the goals they measure, exactly one each, against a line."""

from collections.abc import AsyncIterator
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from gateway import clock, planning, progress, record
from gateway import points as results_to_points
from gateway.errors import ConfigError
from gateway.schema.record import Body, Delivery, Entry, Point, written
from gateway.schema.work import Goal, Support
from gateway.store.database import Store
from gateway.store.measured import Result
from gateway.store.registers import Actor
from tests.records import CHILDREN, Owl, Small, owl, small, tied_goal

N = [child.number for child in CHILDREN]
PLAN = "00000000-0000-4000-8000-000000000001"


@pytest.fixture
async def here(store: Store, district: int, actor: Actor, tmp_path: Path) -> AsyncIterator[Small]:
    yield await small(store, district, actor, tmp_path)


@pytest.fixture
async def vendor(here: Small, tmp_path: Path) -> Owl:
    return await owl(here, tmp_path / "results")


def row(child: int, fall: str = "", winter: str = "", grade: str = "2") -> str:
    days = ("9/15/2026" if fall else "", "11/20/2026" if winter else "")
    return f"{N[child]},Reading,2026-27,{grade},{days[0]},{fall},{days[1]},{winter},"


async def points(here: Small, child: int) -> list[tuple[str, Any]]:
    """The points that stand in a child's record: (goal, value)."""
    found = (await record.read(here.store, here.district, here.children[child])).standing
    said = [entry.said() for entry in found if entry.kind == "progress_point"]
    return [(one.point.goal, one.point.value) for one in said if one and one.point]


async def history(here: Small, child: int) -> list[tuple[str, str | None]]:
    entries = (await record.read(here.store, here.district, here.children[child])).entries
    return [(entry.kind, because(entry)) for entry in entries]


def because(entry: Entry) -> str | None:
    said = entry.said()
    return said.because if said else None


async def test_a_winter_file_adds_one_point_to_each_tied_goal_and_a_correction_supersedes_it(
    here: Small, vendor: Owl
) -> None:
    await vendor.says(*(row(n, fall="41") for n in range(6)))
    other = tied_goal(statement="Likes to read.", measure=None)
    plan = await here.finalized(0, goals=[tied_goal(), other, tied_goal()])
    await here.finalized(1, goals=[other])
    assert await points(here, 0) == [], "where it began is no progress"
    await vendor.says(*(row(n, fall="41", winter="48") for n in range(6)))
    assert await points(here, 0) == [("goal-1", 48), ("goal-3", 48)]
    assert await points(here, 1) == await points(here, 2) == []
    await vendor.says(*(row(n, fall="41", winter="48") for n in range(6)))
    assert await points(here, 0) == [("goal-1", 48), ("goal-3", 48)], "the same file again adds nothing"
    await vendor.says(row(0, fall="41", winter="46"), *(row(n, fall="41", winter="48") for n in range(1, 6)))
    assert await points(here, 0) == [("goal-1", 46), ("goal-3", 46)]
    corrected = ("progress_point", "The result was corrected at its source.")
    assert await history(here, 0) == [("progress_point", None), ("progress_point", None), corrected, corrected]
    goal = (await record.progress_of(here.store, here.district, plan)).goals[0]
    assert (goal.expected, goal.on_track, goal.points) == (47.1, False, 1)
    assert goal.sentence == "Measured 46 on 2026-11-20. The line to 65 by 2027-05-31 stood at 47.1 that day: below it."


async def test_a_removed_result_retracts_its_point_and_one_that_is_back_gives_it_again(
    here: Small, vendor: Owl
) -> None:
    await here.finalized(0, goals=[tied_goal()])
    run = await vendor.says(*(row(n, winter="48") for n in range(6)))
    assert await points(here, 0) == [("goal-1", 48)]
    await vendor.undo(run["id"])
    assert await points(here, 0) == []
    await vendor.says(*(row(n, winter="49") for n in range(6)))
    assert await points(here, 0) == [("goal-1", 49)]
    assert [why for _, why in await history(here, 0)] == [
        None,
        "The result was removed at its source.",
        "The result is back.",
    ]
    assert (await record.verify(here.store, here.district)).faults == []


async def test_a_day_that_is_corrected_to_before_the_baseline_is_no_progress(here: Small, vendor: Owl) -> None:
    plan = await here.finalized(0, goals=[tied_goal()])
    others = [row(n, winter="48") for n in range(1, 6)]
    await vendor.says(row(0, winter="48"), *others)
    assert await points(here, 0) == [("goal-1", 48)]
    later = tied_goal(id="goal-1", baseline={"measure": "Owl points", "value": 48, "on": "2026-11-20"})
    await planning.edit(here.store, here.district, plan, await content(here, plan) | {"goals": [later]}, here.actor)
    await here.finalize(plan)
    assert await points(here, 0) == [("goal-1", 48)], "a later baseline takes nothing back"
    await vendor.says(row(0, winter="48").replace("11/20/2026", "9/10/2026"), *others)
    assert await points(here, 0) == []
    assert (await history(here, 0))[-1] == ("correction", "The result is of the time before the baseline.")


async def test_what_a_person_says_of_a_point_and_what_the_source_says_later_go_together(
    here: Small, vendor: Owl
) -> None:
    plan = await here.finalized(0, goals=[tied_goal(), tied_goal()])
    others = [row(n, winter="48") for n in range(1, 6)]
    await vendor.says(row(0, winter="48"), *others)
    by_hand = {"point": {"plan": plan, "goal": "goal-1", "measured_on": "2026-11-20", "measure": "Owl", "value": 50}}
    child = here.children[0]
    await record.correct(here.store, here.district, child, "1", by_hand, here.actor, "Read from the sheet.")
    await record.correct(here.store, here.district, child, "2", None, here.actor, "The child was ill.")
    assert await points(here, 0) == [("goal-1", 50)]
    await vendor.says(row(0, winter="51"), *others)
    assert await points(here, 0) == [("goal-1", 51)], "withdrawn by hand stays withdrawn"
    by_hand["point"] |= {"result": PLAN}
    with pytest.raises(ConfigError) as error:
        await record.add(here.store, here.district, child, {"kind": "progress_point", "body": by_hand}, here.actor)
    assert error.value.code == "record-invalid"


async def test_what_came_while_the_plan_was_written_counts_once_it_is_final(here: Small, vendor: Owl) -> None:
    plan = await here.plan(0, **here.whole(goals=[tied_goal()]))
    await vendor.says(*(row(n, fall="41", winter="50") for n in range(6)))
    assert await points(here, 0) == [], "a draft is measured by nothing"
    await here.finalize(plan)
    assert await points(here, 0) == [("goal-1", 50)]
    await planning.edit(here.store, here.district, plan, await content(here, plan) | {"title": "Second"}, here.actor)
    await here.finalize(plan)
    assert await points(here, 0) == [("goal-1", 50)], "another version adds no second point"


async def content(here: Small, plan: str) -> dict[str, Any]:
    async with here.store.transaction(here.district) as c:
        return (await planning.stored.load(c, plan)).content


async def test_a_run_that_only_compares_measures_nothing(here: Small, vendor: Owl) -> None:
    await here.finalized(0, goals=[tied_goal()])
    run = await vendor.says(row(0, winter="48"), mode="dry")
    assert run["state"] == "compared"
    assert await points(here, 0) == []


@pytest.mark.parametrize(("ended", "withdrawn"), [(True, 0), (False, 1)])
def test_what_a_new_system_does_not_carry_over_was_not_wrong(ended: bool, withdrawn: int) -> None:
    now = clock.now()
    point = Body(
        point=Point(plan=PLAN, goal="goal-1", measured_on=now.date(), measure="x", value=1, result=PLAN, score="x")
    )
    about = (PLAN, "goal-1", PLAN)
    entry = Entry(
        PLAN, PLAN, 1, "progress_point", None, False, now, now, {}, None, about, written(point), "", "", "", ""
    )
    gone = Result(PLAN, None, ended=ended)
    assert len(results_to_points._revised(entry, gone, about, now)) == withdrawn


# --- the line, and the dosage ------------------------------------------------------------------------------


def goal(**more: Any) -> Goal:
    return Goal.model_validate(
        {
            "id": "goal-1",
            "domain": "academic",
            "statement": "Reads.",
            "baseline": {"measure": "words", "value": 40, "on": "2026-09-01"},
            "targets": [{"measure": "words", "value": 80, "due_on": "2026-09-21"}],
        }
        | more
    )


def measured(value: Any, day: int) -> Point:
    return Point(plan=PLAN, goal="goal-1", measured_on=date(2026, 9, day), measure="words", value=value)


def target(value: Any = 80, comparator: str = "at_least", due: str = "2026-09-21") -> dict[str, Any]:
    return {"measure": "words", "value": value, "comparator": comparator, "due_on": due}


@pytest.mark.parametrize(
    ("changed", "value", "day", "expected", "on_track", "said"),
    [
        ({}, 60, 11, 60, True, "on track"),
        ({}, 59, 11, 60, False, "below it"),
        ({}, 80, 21, 80, True, "reached"),
        ({}, 79, 25, 80, False, "not reached"),
        ({"targets": [target(20, "at_most")]}, 30, 11, 30, True, "on track"),
        ({"targets": [target(20, "less_than")]}, 30, 11, 30, False, "above the line"),
        ({"targets": [target(60, due="2026-09-11"), target()]}, 70, 16, 70, True, "on track"),
        ({"baseline": None}, 70, 16, None, None, "Without a baseline"),
        ({"targets": []}, 70, 16, None, None, "no target"),
        ({}, "Owlet", 16, None, None, "a person compares them"),
    ],
)
def test_a_measurement_is_told_against_the_line_in_numbers_and_a_sentence(
    changed: dict[str, Any], value: Any, day: int, expected: Any, on_track: Any, said: str
) -> None:
    found = progress.against_line(goal(**changed), [measured(1, 2), measured(value, day)])
    assert (found.expected, found.on_track, found.points) == (expected, on_track, 2)
    assert said in found.sentence
    assert "risk" not in found.sentence


def test_nothing_measured_is_said_so() -> None:
    assert progress.against_line(goal(), []).sentence == "Nothing has been measured since the plan began."


@pytest.mark.parametrize(
    ("dosage", "days", "minutes"),
    [
        ({"frequency": 2, "frequency_interval": "week", "duration_minutes": 30}, 28, 240),
        ({"frequency": 1, "frequency_interval": "day", "duration_minutes": 30}, 14, 300),
        ({"duration_minutes": 90, "duration_interval": "per_week"}, 14, 180),
        ({"duration_minutes": 30}, 14, None),
        ({"frequency": 2, "frequency_interval": "week"}, 14, None),
    ],
)
def test_minutes_prescribed_so_far(dosage: dict[str, Any], days: int, minutes: int | None) -> None:
    support = Support.model_validate({"name": "x", "kind": "tutoring", **dosage})
    assert progress.planned_minutes(support, date(2026, 9, 1), date(2026, 8, 31).fromordinal(
        date(2026, 9, 1).toordinal() + days - 1)) == minutes  # fmt: skip


def test_what_was_given_is_told_beside_what_was_prescribed() -> None:
    support = Support.model_validate(
        {"id": "support-1", "name": "x", "kind": "tutoring", "duration_minutes": 60, "duration_interval": "per_week",
         "end_on": "2026-09-14"}
    )  # fmt: skip
    given = [
        Delivery(plan=PLAN, support="support-1", session=PLAN, minutes=minutes, outcome=outcome)  # type: ignore[arg-type]
        for minutes, outcome in ((60, "delivered"), (20, "partially"), (0, "student_absent"), (0, "cancelled"))
    ]
    found = progress.dosage(support, date(2026, 9, 1), given, date(2027, 1, 1))
    assert found.sentence == ("80 of about 120 minutes prescribed so far, sessions: 2, absent: 1, not held: 1.")
