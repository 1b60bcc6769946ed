"""Every student is counted once, and no small number can be read from what is told."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway import clock, decisions, planning
from gateway.coverage import (
    IN_FORCE,
    LACKS,
    NO_PLAN,
    SMALL,
    STATES,
    Group,
    Load,
    PlanFacts,
    Row,
    Student,
    counted,
    lacking,
    loads,
    reach,
    suppressed,
    without_adult,
)
from gateway.plan_guards import Given
from gateway.plans import State
from gateway.store import plans
from gateway.store.coverage import enrolled
from gateway.store.database import Store
from gateway.store.registers import Actor
from tests.records import small, tied_goal


def here(person: str) -> bool:
    return person != "gone"


def support(owner: Any = "teacher", **more: Any) -> dict[str, Any]:
    return {"name": "Reading hour", "owner": owner} | more


PLANS = st.builds(
    PlanFacts,
    id=st.text("p", max_size=2),
    state=st.sampled_from([*STATES, "superseded", "entered_in_error"]),
    standing=st.sampled_from([None, "finalized", "active", "closed"]),
)
STUDENTS = st.lists(
    st.builds(
        Student,
        id=st.uuids().map(str),
        school=st.sampled_from(["north", "south", ""]),
        grade=st.sampled_from(["01", "02"]),
        plans=st.lists(PLANS, max_size=3),
    ),
    max_size=40,
)


@given(STUDENTS)
def test_every_student_is_in_exactly_one_state(students: list[Student]) -> None:
    found = counted(students)
    assert sum(n for at in found.values() for n in at.values()) == len(students)
    assert {place: sum(at.values()) for place, at in found.items()} == {
        place: sum(one.school == place for one in students) for place in {one.school for one in students}
    }
    assert all(set(at) == set(STATES) for at in found.values())


def test_every_state_of_a_plan_is_counted() -> None:
    known = set(get_args(State))
    assert known - {"entered_in_error"} <= set(STATES)


@pytest.mark.parametrize(
    ("plans", "state"),
    [
        ([], NO_PLAN),
        ([PlanFacts("a", "draft")], "draft"),
        ([PlanFacts("a", "draft", "active")], "active"),  # the next version is being written
        ([PlanFacts("a", "closed", "closed"), PlanFacts("b", "draft")], "draft"),
        ([PlanFacts("a", "closed", "closed")], "closed"),
        ([PlanFacts("a", "revoked", "revoked")], "revoked"),
        ([PlanFacts("a", "entered_in_error")], NO_PLAN),
        ([PlanFacts("a", "on_hold"), PlanFacts("b", "consultation")], "on_hold"),
    ],
)
def test_the_plan_that_counts_is_the_furthest_one(plans: list[PlanFacts], state: str) -> None:
    assert Student("x", "north", plans=plans).state == state


def test_who_has_no_trusted_adult_on_the_team() -> None:
    def lonely(*team: dict[str, Any], state: str = "active") -> bool:
        return without_adult(Student("x", "north", plans=[PlanFacts("a", state, doc={"team": list(team)})]), here)

    assert (
        lonely() and lonely({"who": "teacher", "role": "teacher"}) and lonely({"who": "gone", "role": "trusted_adult"})
    )
    assert not lonely({"who": "teacher", "role": "trusted_adult"})
    assert not lonely({"who": {"name": "Nana Quill", "side": "family"}, "role": "trusted_adult"})
    assert not lonely(state="closed"), "who is asked for is who has a plan"


def test_the_load_counts_what_is_open_and_nothing_else() -> None:
    doc = {
        "coordinator": "lead",
        "supports": [support(), support(), support(status="completed"), support({"name": "Nana", "side": "family"})],
    }
    students = [
        Student("x", "north", plans=[PlanFacts("a", "active", doc=doc), PlanFacts("b", "closed", doc=doc)]),
        Student("y", "north", plans=[PlanFacts("c", "draft", doc={"supports": [support()]})]),
    ]
    assert sorted(loads(students), key=lambda one: one.person) == [Load("lead", 0, 0, 1), Load("teacher", 3, 2, 0)]


@pytest.mark.parametrize(
    ("doc", "state", "delivered", "missing"),
    [
        ({}, "draft", True, set(LACKS)),
        ({}, "active", True, {"owner", "consultation"}),
        ({"supports": [support()], "consultations": [{"outcome": "disagreed"}]}, "active", True, set()),
        ({"supports": [support()], "consultations": [{"outcome": "agreed"}]}, "active", False, {"minutes"}),
        ({"supports": [support(), support("gone")], "consultations": [{"outcome": "agreed"}]}, "active", True,
         {"owner"}),
        ({"supports": [support(None)], "consultations": [{"outcome": "agreed"}]}, "active", True, {"owner"}),
        ({"supports": [support()], "consultations": [{"outcome": "declined_to_participate"}]}, "on_hold", True,
         {"consultation"}),
    ],
)  # fmt: skip
def test_what_a_student_lacks(doc: dict[str, Any], state: str, delivered: bool, missing: set[str]) -> None:
    assert lacking(Student("x", "north", plans=[PlanFacts("a", state, doc=doc, delivered=delivered)]), here) == missing


# --- small numbers

COUNTS = st.integers(0, 40)
GROUPS = st.dictionaries(
    st.sampled_from("abcdefgh"),
    st.builds(
        # Who has no plan lacks everything; others lack this or that.
        lambda nothing, some, well: Group(
            nothing + max(some) + well,
            {"plan": nothing} | {w: nothing + n for w, n in zip(LACKS[1:], some, strict=True)},
        ),
        COUNTS,
        st.tuples(COUNTS, COUNTS, COUNTS),
        st.integers(1, 40),
    ),
    min_size=1,
)


def parts(students: int, lacks: Mapping[str, int | None]) -> list[int]:
    """What can be computed of one row."""
    told = {what: n for what, n in lacks.items() if n is not None}
    having = [students - n for n in told.values()]
    return [*told.values(), *having, *(n - told["plan"] for n in told.values() if "plan" in told)]


@given(GROUPS)
def test_no_small_number_is_told(groups: Mapping[str, Group]) -> None:
    [together] = suppressed({"all": _sum(groups)}, _sum(groups))
    for row in [together, *suppressed(groups, _sum(groups))]:
        group = groups.get(row.group, _sum(groups))
        assert row.students is None or row.students == group.students >= SMALL
        assert row.students is not None or set(row.lacks.values()) == {None}
        for what, told in row.lacks.items():
            assert told in (None, group.lacks[what])
        assert not any(0 < part < SMALL for part in parts(group.students, row.lacks))


@given(GROUPS)
def test_no_number_that_is_not_told_can_be_computed_from_the_totals(groups: Mapping[str, Group]) -> None:
    """By whoever knows the totals, if these are told, and that nobody counts less than nothing or more than all. Where
    nobody at all lacks something, or everybody does, that is known of each."""
    whole = _sum(groups)
    rows = suppressed(groups, whole)
    [together] = suppressed({"all": whole}, whole)
    if together.students is None:
        return
    _open([(0, together.students) if row.students is None else (row.students,) * 2 for row in rows], together.students)
    for what in LACKS:
        total = together.lacks[what]
        if total is not None and 0 < total < together.students:
            _open([_bounds(row, what, total) for row in rows], total)
        if total is not None and together.lacks["plan"] is not None and (more := total - together.lacks["plan"]) > 0:
            _open([_more(row, what, more) for row in rows], more)


def _more(row: Row, what: str, total: int) -> tuple[int, int]:
    """Who has a plan and lacks this."""
    told, none = row.lacks[what], row.lacks["plan"]
    return (0, total) if told is None or none is None else (told - none,) * 2


@given(st.lists(st.tuples(st.sets(st.sampled_from(["el", "idea", "504"])), st.booleans()), max_size=150))
def test_of_programs_that_overlap_neither_the_rest_nor_the_overlap_can_be_computed(
    drawn: list[tuple[set[str], bool]],
) -> None:
    planned = [PlanFacts("a", "active")]
    students = [
        Student(f"{n}", "north", programs=sorted(programs), plans=planned if has else ())
        for n, (programs, has) in enumerate(drawn)
    ]
    together, by = reach(students, ("program",), here)
    assert not {"none", "unknown"} & {row.group for row in by.get("program", ())}, (
        "it would tell how many are in several"
    )
    for row in by["program"]:
        if row.students is not None:
            rest = {w: a - b for w, a in together.lacks.items() if a is not None and (b := row.lacks[w]) is not None}
            assert together.students is not None
            assert not any(0 < part < SMALL for part in [together.students - row.students])
            assert not any(0 < part < SMALL for part in parts(together.students - row.students, rest))


def _sum(groups: Mapping[str, Group]) -> Group:
    return Group(
        sum(group.students for group in groups.values()),
        {what: sum(group.lacks[what] for group in groups.values()) for what in LACKS},
    )


def _bounds(row: Row, what: str, total: int) -> tuple[int, int]:
    told = row.lacks[what]
    if told is not None:
        return told, told
    return 0, total if row.students is None else row.students


def _open(bounds: list[tuple[int, int]], total: int) -> None:
    """Each number that has bounds to lie between could be several."""
    for n, (least, most) in enumerate(bounds):
        if least == most:
            continue
        others = bounds[:n] + bounds[n + 1 :]
        lowest = max(least, total - sum(high for _, high in others))
        highest = min(most, total - sum(low for low, _ in others))
        assert highest > lowest, (bounds, total)


def test_one_small_group_takes_the_smallest_of_the_others_with_it() -> None:
    even = dict.fromkeys(LACKS, 0)
    groups = {"a": Group(40, even), "b": Group(12, even), "c": Group(4, even)}
    rows = suppressed(groups, _sum(groups))
    assert {row.group: row.students for row in rows} == {"a": 40, "b": None, "c": None}
    assert all(number is None for row in rows[1:] for number in row.lacks.values())


def test_a_program_that_nearly_all_are_in_is_not_told() -> None:
    students = [Student(f"{n}", "north", programs=["idea"] if n < 95 else []) for n in range(100)]
    [row] = reach(students, ("program",), here)[1]["program"]
    assert row == Row("idea", None, dict.fromkeys(LACKS, None))


def test_students_are_counted_in_every_program_and_in_one_language() -> None:
    students = [
        Student(
            f"{n}", "north", languages=["spa", "eng"] if n < 20 else [], programs=["el", "el", "idea"] if n < 15 else []
        )
        for n in range(60)
    ]
    together, by = reach(students, ("school", "language", "program"), here)
    assert together == Row("all", 60, dict.fromkeys(LACKS, 60))
    assert {row.group: row.students for row in by["language"]} == {"spa": 20, "unknown": 40}
    assert {row.group: row.students for row in by["program"]} == {"el": 15, "idea": 15}


# --- of real plans


async def test_each_enrolled_student_is_counted_once_whatever_became_of_their_plans(
    store: Store, district: int, actor: Actor, tmp_path: Path
) -> None:
    school = await small(store, district, actor, tmp_path)
    next_one, put_back, stays, gone, twice, _ = school.children
    team = [{"who": school.teacher, "role": "trusted_adult"}]
    plan = await school.finalized(0, team=team, goals=[tied_goal()])
    async with store.transaction(district) as c:
        content = (await plans.load(c, plan)).content
    await planning.edit(store, district, plan, content | {"team": []}, actor)
    revoked = await school.finalized(1, team=team, goals=[tied_goal()])
    await planning.take(store, district, revoked, "revoke", actor, Given(because="Another child's."))
    await school.plan(3)
    await school.plan(4)
    await school.finalized(4, goals=[tied_goal()])
    await decisions.merge(store, district, gone, stays, actor, "Enrolled twice.")
    async with store.transaction(district) as c:
        found = await enrolled(c, clock.today())
    states = {one.id: one.state for one in found}
    assert len(found) == len(states) == 5 and gone not in states
    in_force = {states[one] for one in (next_one, twice)}
    assert in_force <= IN_FORCE, "of two plans the one in force counts, and so it does while the next is written"
    assert (states[put_back], states[stays]) == ("revoked", "draft")
    adult = {one.id: one.plan.doc["team"] for one in found if one.plan}
    assert adult[next_one], "what is in force counts"
