"""The year passes at the rates it declares, ends what it takes away, and is the same each time it is told."""

from collections.abc import Iterator
from datetime import date, timedelta
from itertools import pairwise

import pytest

from synthetic import District, Year, build
from synthetic.summer import CHANGE_ID, CHANGE_SCHOOL
from synthetic.terms import ONE_TERM, is_school_day
from synthetic.year import RATES

DISTRICT = build(schools=4, students=160)
FALL, SPRING = DISTRICT.terms


@pytest.fixture(scope="module")
def days() -> dict[date, District]:
    year = Year(DISTRICT)
    last = date(2027, 9, 15) - DISTRICT.year_begin
    return {day: year.on(day) for day in (DISTRICT.year_begin + timedelta(days=n) for n in range(last.days + 1))}


def records(district: District) -> dict[object, object]:
    """Everything but results and sections, by a key of its own."""
    lists = (district.students, district.staff, district.contacts)
    found: dict[object, object] = {one.number: one for people in lists for one in people}
    found |= {(kin.student, kin.priority): kin for kin in district.kinships}
    return found | {one.key: one for one in district.enrollments}


def written(before: District, after: District) -> int:
    known = records(before)
    return sum(known.get(key) != record for key, record in records(after).items())


def of_the_year(days: dict[date, District]) -> Iterator[tuple[date, District, District]]:
    for (_, before), (day, after) in pairwise(days.items()):
        if day <= DISTRICT.year_end:
            yield day, before, after


def test_the_same_seed_tells_the_same_story_from_wherever_it_is_asked(days: dict[date, District]) -> None:
    for day in (date(2026, 10, 5), date(2027, 8, 20)):
        assert Year(DISTRICT).on(day) == days[day]
    other = Year(DISTRICT, seed=1)
    later = other.on(date(2026, 10, 5))
    assert later != days[date(2026, 10, 5)]
    other.on(date(2027, 1, 11))
    assert other.on(date(2026, 10, 5)) == later


def test_school_days_keep_to_their_rates_and_days_off_write_nothing(days: dict[date, District]) -> None:
    shares = []
    for day, before, after in of_the_year(days):
        touched = written(before, after)
        if is_school_day(DISTRICT, day) and day != FALL.end - timedelta(days=4):
            shares.append(touched / len(records(after)))
        elif day.weekday() > 4 and day.month > 10:
            assert touched == 0, day
    assert len(shares) > 170
    low, high = RATES
    assert min(shares) < 2 * low and 0.8 * high < max(shares) < 2 * high
    assert low < sum(shares) / len(shares) < high


def test_what_is_taken_away_had_ended(days: dict[date, District]) -> None:
    for day, before, after in of_the_year(days):
        left = {one.key for one in after.enrollments}
        for one in before.enrollments:
            over = one.end < day - timedelta(days=1)
            assert one.key in left or over or one.begin > day - timedelta(days=1), (day, one)
        for person in set(before.students) - set(after.students):
            again = {one.number for one in after.students}
            assert person.number in again or (person.exit and person.exit < day), (day, person)


def test_between_the_terms_sixty_in_a_hundred_sections_change(days: dict[date, District]) -> None:
    def sections(day: date) -> set[tuple[int, str]]:
        return {(one.school, one.code) for one in days[day].sections}

    before, between, after = (sections(day) for day in (date(2026, 12, 11), date(2027, 1, 5), date(2027, 2, 1)))
    assert before | after == between == {(one.school, one.code) for one in DISTRICT.sections}
    assert len(before ^ after) / len(between) == pytest.approx(ONE_TERM, abs=0.01)
    ended = [one for one in days[date(2027, 1, 5)].enrollments if one.end == FALL.end]
    left = [one for one in days[date(2027, 1, 12)].enrollments if one.end == FALL.end]
    assert 0 < len(left) < 0.5 * len(ended)


def test_summer_by_its_dates(days: dict[date, District]) -> None:
    def on(month: int, day: int) -> District:
        return days[date(2027, month, day)]

    seniors = {one.number for one in on(6, 14).students if one.grade == "12" and not one.exit}
    assert seniors and {one.number for one in on(6, 15).students if one.exit} >= seniors
    assert all(one.end == date(2027, 6, 30) for one in on(6, 15).staff)
    assert on(6, 23).sections and not on(6, 24).sections and not on(7, 31).sections
    assert (on(6, 30).school_year, on(7, 1).school_year) == (2027, 2028)
    assert on(8, 2).sections and {one.end for one in on(8, 2).staff} == {None}

    old, new = ({one.number: one for one in on(*day).students} for day in ((6, 14), (8, 2)))
    assert not seniors & set(new) and set(new) - set(old)
    back = [new[number] for number in old.keys() & new.keys()]
    assert all(one.grade > old[one.number].grade or old[one.number].grade == "KG" for one in back)
    levels = {school.number: school.level for school in DISTRICT.schools}
    moved = [one for one in back if old[one.number].school != one.school]
    assert sum(levels[old[one.number].school] == levels[one.school] for one in moved) == round(
        CHANGE_SCHOOL * len(back)
    )
    assert len(on(8, 2).remade & {one.number for one in back}) == round(CHANGE_ID * len(back)) > 0
    numbers = {one.number for one in on(6, 14).staff}
    assert 0.85 < len(numbers & {one.number for one in on(8, 2).staff}) / len(numbers) < 1
