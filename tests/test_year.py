"""What the change of the school year does to people, looked at one by one."""

from datetime import date
from typing import Any

import pytest

from gateway.year import Change, Ending, Moved, ending_assignments, highest, is_over, is_promoted, reason, together

TODAY = date(2027, 7, 1)
CHANGE = Change(1, date(2027, 6, 14), date(2027, 8, 16), 40, "12")


def student(grade: str, end_on: str | None = None, **more: Any) -> dict[str, Any]:
    role = {"role": "student", "organization": "high"} | ({"end_on": end_on} if end_on else {})
    return {"population": "student", "grades": [grade], "roles": [role]} | more


def teacher(*roles: tuple[str, str | None]) -> dict[str, Any]:
    return {
        "population": "staff",
        "roles": [
            {"role": "teacher", "organization": place, **({"end_on": day} if day else {})} for place, day in roles
        ],
    }


def test_grades_have_an_order_and_some_have_no_place_in_it() -> None:
    assert highest(["KG", "09", "12", "UG"]) == "12" and highest(["08", "KG"]) == "08" and highest(["Other"]) == ""


@pytest.mark.parametrize(
    ("was", "now", "so"), [("08", "09", True), ("KG", "01", True), ("09", "09", False), ("09", "08", False),
                           ("09", "UG", False)],
)  # fmt: skip
def test_promoted_is_who_goes_on_in_a_higher_grade(was: str, now: str, so: bool) -> None:
    assert is_promoted(Moved("x", student(was), student(now))) is so


def test_somebody_is_over_when_every_role_has_had_its_last_day() -> None:
    assert is_over(None, TODAY) and is_over(student("12", "2027-06-14"), TODAY)
    assert not is_over(student("12"), TODAY) and not is_over(student("12", "2027-07-02"), TODAY)
    assert not is_over({"population": "student"}, TODAY)


def test_why_somebody_ends_is_told_by_how_they_stood_when_it_was_announced() -> None:
    assert reason(student("12"), CHANGE) == "graduated" and reason(student("11"), CHANGE) == "left"
    assert reason(None, CHANGE) == "left"  # who came after that
    assert reason(student("12", "2027-06-14"), CHANGE) == "graduated"
    assert reason(student("12", "2027-03-01"), CHANGE) is None


def test_a_year_change_lasts_from_the_last_day_until_everybody_has_settled() -> None:
    days = [date(2027, 6, 13), date(2027, 6, 14), date(2027, 9, 15), date(2027, 9, 16)]
    assert [CHANGE.lasts(day) for day in days] == [False, True, True, False]


def test_assignments_end_that_get_a_last_day_or_are_gone() -> None:
    moved = [
        Moved("a", teacher(("high", None)), teacher(("high", "2027-06-30"))),
        Moved("b", teacher(("high", "2027-06-30")), teacher(("high", "2027-06-30"))),
        Moved("c", teacher(("high", None), ("elementary", None)), teacher(("high", None))),
        Moved("d", teacher(("high", "2027-05-01")), None),
        Moved("e", None, teacher(("high", "2027-06-30"))),
    ]
    assert ending_assignments(moved, TODAY) == [("high", date(2027, 6, 30)), ("elementary", None)]


def test_five_that_end_on_one_day_are_told_and_four_are_not() -> None:
    four: list[Ending] = [("high", TODAY)] * 3 + [("elementary", TODAY)]
    assert together(four) == {} == together([("high", None)] * 9)
    assert together([*four, ("elementary", TODAY), ("high", date(2027, 8, 1))]) == {
        ("high", TODAY): 3, ("elementary", TODAY): 2
    }  # fmt: skip
