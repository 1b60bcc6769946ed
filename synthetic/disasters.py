"""What can happen to the records of a whole district at their source although nothing happened to its people."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from random import Random

from synthetic.changes import count
from synthetic.model import District, Section, SectionEnrollment, Student
from synthetic.timetable import attendance, parallel


def reissued(district: District, times: int, seed: int = 0) -> District:
    """Every system gives every record another id, `times` times; the numbers people have stay the same."""
    return replace(district, generation=district.generation + times)


def renumbered(district: District, share: float, seed: int = 0) -> District:
    """That share of the students has another, never used number, wherever the old one stood."""
    chosen = Random(seed).sample(district.students, count(district, share))
    numbers = {one.number: f"{district.issued + place:07d}" for place, one in enumerate(chosen, start=1)}

    def new(number: str) -> str:
        return numbers.get(number, number)

    return replace(
        district,
        students=_sorted(replace(one, number=new(one.number)) for one in district.students),
        kinships=tuple(
            sorted(
                (replace(kin, student=new(kin.student)) for kin in district.kinships),
                key=lambda kin: (kin.student, kin.priority),
            )
        ),
        enrollments=_in_order(replace(one, person=new(one.person)) for one in district.enrollments),
        sittings=tuple(replace(one, student=new(one.student)) for one in district.sittings),
        issued=district.issued + len(numbers),
    )


def schools_renumbered(district: District, by: int, seed: int = 0) -> District:
    """Every school has another number, higher by so much, wherever the old one stood."""
    return replace(
        district,
        schools=tuple(replace(school, number=school.number + by) for school in district.schools),
        sections=tuple(replace(one, school=one.school + by) for one in district.sections),
        staff=tuple(replace(one, school=one.school and one.school + by) for one in district.staff),
        students=tuple(replace(one, school=one.school + by) for one in district.students),
        enrollments=tuple(replace(one, school=one.school + by) for one in district.enrollments),
        sittings=tuple(replace(one, school=one.school + by) for one in district.sittings),
    )


def reshuffled(district: District, share: float, seed: int = 0) -> District:
    """That share of the students sits in a parallel class of every course, and always has."""
    chosen = {one.number: one for one in Random(seed).sample(district.students, count(district, share))}
    beside = dict(_beside(district))
    terms = {term.code: term for term in district.terms}

    def place(one: SectionEnrollment) -> SectionEnrollment:
        if one.person not in chosen:
            return one
        return attendance(chosen[one.person], beside[one.school, one.section], terms, one.begin)

    return replace(district, enrollments=_in_order({one.key: one for one in map(place, district.enrollments)}.values()))


def _beside(district: District) -> Iterator[tuple[tuple[int, str], Section]]:
    """Which section comes after each one among its parallel ones, in a ring."""
    for offers in parallel(district.sections).values():
        for group in offers:
            for section, other in zip(group, (*group[1:], group[0]), strict=True):
                yield (section.school, section.code), other


def without_sections(district: District, share: float, seed: int = 0) -> District:
    """That share of the sections is not shown, nor who teaches and attends them: all of them between two years."""
    wanted = count(district, share, of=len(district.sections))
    hidden = {(one.school, one.code) for one in Random(seed).sample(district.sections, wanted)}
    return replace(
        district,
        sections=tuple(one for one in district.sections if (one.school, one.code) not in hidden),
        enrollments=tuple(one for one in district.enrollments if (one.school, one.section) not in hidden),
    )


def with_twins(district: District, pairs: int, seed: int = 0) -> District:
    """So many pairs of students are twins: one family name, birth date, school, class and family."""
    drawn = Random(seed).sample(district.students, 2 * pairs)
    twins = {other.number: first for first, other in zip(drawn[::2], drawn[1::2], strict=True)}
    kinships = [kin for kin in district.kinships if kin.student not in twins]
    enrollments = [one for one in district.enrollments if one.person not in twins]
    sittings = [one for one in district.sittings if one.student not in twins]
    for number, first in twins.items():
        kinships += [replace(kin, student=number) for kin in district.kinships if kin.student == first.number]
        enrollments += [replace(one, person=number) for one in district.enrollments if one.person == first.number]
        sittings += [
            replace(one, student=number, code=f"{one.assessment}-{number}")
            for one in district.sittings
            if one.student == first.number
        ]
    related = {kin.contact for kin in kinships}
    return replace(
        district,
        students=tuple(_as_twin(one, twins) for one in district.students),
        contacts=tuple(contact for contact in district.contacts if contact.number in related),
        kinships=tuple(sorted(kinships, key=lambda kin: (kin.student, kin.priority))),
        enrollments=_in_order(enrollments),
        sittings=tuple(sorted(sittings, key=lambda sitting: sitting.code)),
    )


def _as_twin(one: Student, twins: Mapping[str, Student]) -> Student:
    first = twins.get(one.number)
    if first is None:
        return one
    return replace(
        first, number=one.number, given=one.given, middle=one.middle, preferred_given=one.preferred_given,
        sex=one.sex, email=one.email,
    )  # fmt: skip


def twins(district: District) -> list[tuple[Student, Student]]:
    """The pairs of students with one family name, birth date and school, the lower number first."""
    seen: dict[object, Student] = {}
    found = []
    for student in district.students:
        first = seen.setdefault((student.family, student.birth, student.school), student)
        if first is not student:
            found.append((first, student))
    return found


def twins_merged(district: District, pairs: int, seed: int = 0) -> District:
    """Somebody took so many pairs of twins for one person each: the second is gone, what was theirs is the first's."""
    first_of = {other.number: first.number for first, other in twins(district)[:pairs]}
    return replace(
        district,
        students=tuple(one for one in district.students if one.number not in first_of),
        kinships=tuple(kin for kin in district.kinships if kin.student not in first_of),
        enrollments=_in_order(
            {
                one.key: one
                for one in (replace(one, person=first_of.get(one.person, one.person)) for one in district.enrollments)
            }.values()
        ),
        sittings=tuple(replace(one, student=first_of.get(one.student, one.student)) for one in district.sittings),
    )


def twins_mixed(district: District, pairs: int, seed: int = 0) -> District:
    """Of so many pairs of twins each has the other's number, and with it the other's classes and results."""
    other_of = {one.number: other.number for pair in twins(district)[:pairs] for one, other in (pair, pair[::-1])}
    return replace(
        district,
        students=_sorted(replace(one, number=other_of.get(one.number, one.number)) for one in district.students),
    )


def _sorted(students: Iterator[Student]) -> tuple[Student, ...]:
    return tuple(sorted(students, key=lambda one: one.number))


def _in_order(enrollments: Iterable[SectionEnrollment]) -> tuple[SectionEnrollment, ...]:
    return tuple(sorted(enrollments, key=lambda one: one.key))
