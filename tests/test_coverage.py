"""Every student is counted once, and no small number can be read from what is told."""

from collections.abc import Mapping
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.coverage import (
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
from gateway.plans import State


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

GROUPS = st.dictionaries(
    st.sampled_from("abcdefgh"),
    st.integers(1, 60).flatmap(
        lambda n: st.builds(
            Group, students=st.just(n), lacks=st.fixed_dictionaries({what: st.integers(0, n) for what in LACKS})
        )
    ),
    min_size=1,
)


@given(GROUPS)
def test_no_small_number_is_told(groups: Mapping[str, Group]) -> None:
    for row in suppressed(groups):
        group = groups[row.group]
        assert row.students is None or row.students == group.students >= SMALL
        for what, told in row.lacks.items():
            if told is not None:
                assert told == group.lacks[what]
                assert row.students is not None
                assert not any(0 < part < SMALL for part in (told, group.students - told))


@given(GROUPS)
def test_no_number_that_is_not_told_can_be_computed_from_the_totals(groups: Mapping[str, Group]) -> None:
    """By whoever knows the totals, if these are told, and that nobody counts less than nothing or more than all."""
    rows = suppressed(groups)
    [together] = suppressed({"all": _sum(groups)})
    if together.students is not None:
        _open(
            [(0, together.students) if row.students is None else (row.students,) * 2 for row in rows], together.students
        )
    for what in LACKS:
        if (total := together.lacks[what]) is not None:
            _open([_bounds(row, what, total) for row in rows], total)


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
    rows = suppressed({"a": Group(40, even), "b": Group(12, even), "c": Group(4, even)})
    assert {row.group: row.students for row in rows} == {"a": 40, "b": None, "c": None}
    assert all(number is None for row in rows[1:] for number in row.lacks.values())


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
    assert {row.group: row.students for row in by["program"]} == {"el": 15, "idea": 15, "none": 45}
