"""The invented district is the same for the same seed, and nothing in it points into the void."""

import time
from collections import Counter, defaultdict
from datetime import date, timedelta

import pytest

from synthetic import SUBJECTS, District, Year, build, moved, with_new_students, without_students
from synthetic.disasters import (
    renumbered,
    reshuffled,
    schools_renumbered,
    twins,
    twins_merged,
    twins_mixed,
    with_twins,
    without_sections,
)


@pytest.fixture(scope="module")
def district() -> District:
    return build()


SMALL = build(schools=4, students=90)
CHANGED = {
    "as built": lambda district: district,
    "smaller": lambda district: without_students(district, 0.33, 1),
    "grown": lambda district: with_new_students(district, 40, 1),
    "moved": lambda district: moved(district, 0.5, 1),
    "all three": lambda district: moved(with_new_students(without_students(district, 0.5, 1), 300, 2), 1, 3),
    "renumbered": lambda district: renumbered(district, 0.4, 1),
    "with schools renumbered": lambda district: schools_renumbered(district, 500),
    "reshuffled": lambda district: reshuffled(district, 0.7, 1),
    "without sections": lambda district: without_sections(district, 0.3, 1),
    "with twins": lambda district: with_twins(district, 20, 1),
    "with twins merged": lambda district: twins_merged(with_twins(district, 20, 1), 12),
    "with twins mixed": lambda district: twins_mixed(with_twins(district, 20, 1), 12),
    "of seven schools": lambda district: build(schools=7, students=900, seed=5),
    "of one school": lambda district: build(schools=1, students=3),
    "in November": lambda district: Year(SMALL).on(date(2026, 11, 3)),
    "between the terms": lambda district: Year(SMALL).on(date(2027, 1, 7)),
    "in summer": lambda district: Year(SMALL).on(date(2027, 7, 15)),
    "in the next year": lambda district: Year(SMALL).on(date(2027, 9, 15)),
    "empty": lambda district: build(students=0),
}


@pytest.fixture(params=CHANGED)
def any_district(request: pytest.FixtureRequest, district: District) -> District:
    return CHANGED[request.param](district)


def test_same_seed_same_district(district: District) -> None:
    assert build() == district
    assert build(seed=7) != district


def test_default_size_and_year(district: District) -> None:
    assert (len(district.schools), len(district.students)) == (3, 600)
    assert {school.level for school in district.schools} == {"elementary", "middle", "high"}
    assert (district.year_begin.isoformat(), district.year_end.isoformat()) == ("2026-08-17", "2027-05-28")
    assert [term.code for term in district.terms] == ["fall", "spring"]
    assert all(student.number.startswith("00") for student in district.students)
    assert {student.grade for student in district.students} == {
        grade for school in district.schools for grade in school.grades
    }


def test_every_reference_resolves(any_district: District) -> None:
    district = any_district
    schools = {school.number: school for school in district.schools}
    courses = {course.code: course for course in district.courses}
    terms = {term.code: term for term in district.terms}
    sections = {(section.school, section.code): section for section in district.sections}
    students = {student.number: student for student in district.students}
    staff = {person.number for person in district.staff}
    contacts = {contact.number for contact in district.contacts}
    tests = {test.code: {part.code for part in test.objectives} for test in district.assessments}

    assert all(course.subject in SUBJECTS for course in courses.values())
    assert all(test.subject in SUBJECTS for test in district.assessments)
    for section in sections.values():
        assert section.school in schools and section.term in terms
        assert set(section.grades) <= set(courses[section.course].grades)
    assert all(person.school is None or person.school in schools for person in district.staff)
    assert all(student.grade in schools[student.school].grades for student in students.values())
    assert {kin.student for kin in district.kinships} == set(students)
    assert {kin.contact for kin in district.kinships} == contacts
    for one in district.enrollments:
        section = sections[one.school, one.section]
        assert one.person in (students if one.role == "student" else staff)
        assert terms[section.term].begin <= one.begin <= one.end <= terms[section.term].end
        if one.role == "student":
            student = students[one.person]
            assert one.end < student.entry or (student.school, student.grade) == (one.school, section.grades[0])
            assert one.end < student.entry or student.entry <= one.begin
    for sitting in district.sittings:
        assert sitting.student in students and sitting.school in schools
        assert set(sitting.objectives) == tests[sitting.assessment]


def test_lists_are_sorted_by_keys_that_are_unique(any_district: District) -> None:
    keys = {
        "schools": lambda one: one.number,
        "terms": lambda one: one.code,
        "courses": lambda one: one.code,
        "sections": lambda one: (one.school, one.code),
        "staff": lambda one: one.number,
        "students": lambda one: one.number,
        "contacts": lambda one: one.number,
        "kinships": lambda one: (one.student, one.priority),
        "enrollments": lambda one: one.key,
        "assessments": lambda one: one.code,
        "sittings": lambda one: one.code,
    }
    for name, key in keys.items():
        found = [key(one) for one in getattr(any_district, name)]
        assert found == sorted(set(found)), name


def test_every_section_has_one_primary_teacher_and_some_a_second(district: District) -> None:
    teachers = defaultdict(list)
    for one in district.enrollments:
        if one.role == "teacher":
            teachers[one.school, one.section].append(one.primary)
    assert set(teachers) == {(section.school, section.code) for section in district.sections}
    assert Counter(map(sum, teachers.values())).keys() == {1}
    assert {len(primaries) for primaries in teachers.values()} == {1, 2}


def test_nobody_is_in_two_classes_at_once(district: District) -> None:
    sections = {(section.school, section.code): section for section in district.sections}
    seen = Counter(
        (one.person, section.term, section.period)
        for one in district.enrollments
        if (section := sections[one.school, one.section]) and (one.role == "student" or one.primary)
    )
    assert max(seen.values()) == 1


def test_siblings_share_their_contacts(district: District) -> None:
    family = {student.number: student.family for student in district.students}
    homes = defaultdict(set)
    adults = Counter(kin.student for kin in district.kinships)
    for kin in district.kinships:
        homes[kin.contact].add(kin.student)
    assert set(adults.values()) == {1, 2}
    assert max(map(len, homes.values())) == 3
    assert all(len({family[child] for child in children}) == 1 for children in homes.values())


def test_every_kind_of_assessment_was_sat_by_most(district: District) -> None:
    purposes = {test.purpose: test for test in district.assessments}
    assert set(purposes) == {"diagnostic", "interim", "summative_state", "interest_inventory"}
    assert (purposes["diagnostic"].subject, purposes["interim"].subject) == ("reading", "mathematics")
    tests = {test.code: test for test in district.assessments}
    for sitting in district.sittings:
        test = tests[sitting.assessment]
        for score in (sitting.score, *sitting.objectives.values()):
            assert test.minimum <= score <= test.maximum
        rated = test.purpose != "interest_inventory"
        assert (sitting.percentile is not None, sitting.level is not None) == (rated, rated)
    sat = {sitting.student for sitting in district.sittings if sitting.assessment == purposes["interim"].code}
    assert 0.85 < len(sat) / len(district.students) < 1


def test_without_students_leaves_the_others_untouched(district: District) -> None:
    smaller = without_students(district, 0.33, 1)
    assert len(smaller.students) == 402
    left = {student.number for student in smaller.students}
    assert set(smaller.students) < set(district.students)
    assert smaller.enrollments == tuple(
        one for one in district.enrollments if one.role == "teacher" or one.person in left
    )
    assert without_students(district, 0.33, 1) == smaller != without_students(district, 0.33, 2)


def test_with_new_students_never_gives_a_number_twice(district: District) -> None:
    last = district.students[-1].number
    smaller = without_students(district, 1, 1)
    grown = with_new_students(smaller, 40, 1)
    assert len(grown.students) == 40
    assert min(student.number for student in grown.students) > last
    assert {one.person for one in grown.enrollments if one.role == "student"} == {
        student.number for student in grown.students
    }
    assert with_new_students(smaller, 40, 1) == grown


def test_moved_students_change_one_class_for_a_parallel_one(district: District) -> None:
    after = moved(district, 0.1, 1)
    before = {one.key: one for one in district.enrollments}
    ended = {one.key: one for one in after.enrollments if before.get(one.key) != one}
    old = [one for key, one in ended.items() if key in before]
    new = {one.person: one for key, one in ended.items() if key not in before}
    sections = {(section.school, section.code): section for section in district.sections}
    assert len(old) == len(new) == 60
    for one in old:
        then = new[one.person]
        assert then.begin == one.end + timedelta(days=1)
        left, entered = sections[one.school, one.section], sections[then.school, then.section]
        assert left.code != entered.code
        assert (left.course, left.term, left.grades) == (entered.course, entered.term, entered.grades)
    assert after.students == district.students


def test_renumbered_students_are_the_same_people(district: District) -> None:
    after = renumbered(district, 0.25, 1)
    old, new = ({one.number: one for one in either.students} for either in (district, after))
    assert len(new.keys() - old.keys()) == 150 == len(old.keys() - new.keys())
    assert min(new.keys() - old.keys()) > max(old)
    assert sorted(one.email for one in after.students) == sorted(one.email for one in district.students)
    assert Counter(one.section for one in after.enrollments) == Counter(one.section for one in district.enrollments)


def test_reshuffled_students_keep_their_courses_and_no_enrollment(district: District) -> None:
    after = reshuffled(district, 1.0, 1)
    assert not {one.key for one in after.enrollments if one.role == "student"} & {
        one.key for one in district.enrollments
    }
    course = {(section.school, section.code): section.course for section in district.sections}
    for either in (district, after):
        assert len(either.enrollments) == len(district.enrollments)
    assert Counter((one.person, course[one.school, one.section]) for one in after.enrollments) == Counter(
        (one.person, course[one.school, one.section]) for one in district.enrollments
    )


def test_twins_share_all_but_their_names_and_numbers(district: District) -> None:
    after = with_twins(district, 20, 1)
    pairs = twins(after)
    assert len(pairs) >= 20
    for first, other in pairs[:20]:
        assert (first.family, first.birth, first.school) == (other.family, other.birth, other.school)
        assert first.number != other.number
    merged = twins_merged(after, 20)
    assert len(merged.students) == len(after.students) - 20
    mixed = twins_mixed(after, 20)
    names = {one.number: one.given for one in after.students}
    for first, other in pairs[:20]:
        swapped = {one.number: one.given for one in mixed.students}
        assert (swapped[first.number], swapped[other.number]) == (names[other.number], names[first.number])


@pytest.mark.parametrize("share", [-0.1, 1.5])
def test_a_share_lies_between_nothing_and_all(district: District, share: float) -> None:
    with pytest.raises(ValueError, match="share"):
        without_students(district, share)


def test_a_hundred_thousand_enrollments_are_built_in_seconds() -> None:
    begin = time.perf_counter()
    large = build(students=13_500)
    assert len(large.enrollments) > 100_000
    assert time.perf_counter() - begin < 10
