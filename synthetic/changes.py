"""What can happen to the district between two days; a change leaves the old district as it was."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import date, timedelta
from random import Random
from typing import Any, TypeVar

from synthetic.model import District
from synthetic.people import families
from synthetic.timetable import attendance, attending, parallel

T = TypeVar("T")

_NEWCOMERS = date(2026, 10, 5)
_MOVES = date(2026, 11, 2)


def without_students(district: District, share: float, seed: int = 0) -> District:
    """That share of the students is gone, with their enrollments, kinships, sittings and lone contacts."""
    gone = {one.number for one in Random(seed).sample(district.students, count(district, share))}
    kinships = tuple(kin for kin in district.kinships if kin.student not in gone)
    related = {kin.contact for kin in kinships}
    return replace(
        district,
        students=tuple(student for student in district.students if student.number not in gone),
        contacts=tuple(contact for contact in district.contacts if contact.number in related),
        kinships=kinships,
        enrollments=tuple(one for one in district.enrollments if one.person not in gone),
        sittings=tuple(sitting for sitting in district.sittings if sitting.student not in gone),
    )


def with_new_students(district: District, count: int, seed: int = 0) -> District:
    """`count` students with never used numbers come in October, into the existing sections, untested yet."""
    rng = Random(seed)
    students, contacts, kinships = families(rng, district.schools, count, after=district.issued, entry=_NEWCOMERS)
    terms = {term.code: term for term in district.terms}
    enrollments = attending(students, parallel(district.sections), terms)
    return replace(
        district,
        students=district.students + tuple(students),
        contacts=district.contacts + tuple(contacts),
        kinships=district.kinships + tuple(sorted(kinships, key=lambda kin: (kin.student, kin.priority))),
        enrollments=tuple(sorted([*district.enrollments, *enrollments], key=lambda one: one.key)),
        issued=district.issued + count,
    )


def moved(district: District, share: float, seed: int = 0) -> District:
    """That share of the students changes one of their fall classes for a parallel one in November.

    The old enrollment ends the day before the new one begins. Who came after that, or has changed every
    class before, stays.
    """
    rng = Random(seed)
    movers = {one.number: one for one in rng.sample(district.students, count(district, share))}
    offered = parallel(district.sections)
    terms = {term.code: term for term in district.terms}
    enrollments = list(district.enrollments)
    first = min(terms.values(), key=lambda term: term.begin)
    attended: dict[str, list[int]] = {number: [] for number in movers}
    for place, one in enumerate(enrollments):
        if one.person in movers and one.begin < _MOVES and one.end == first.end:
            attended[one.person].append(place)
    for number, places in attended.items():
        if not places:
            continue
        place = rng.choice(places)
        old, student = enrollments[place], movers[number]
        taken = {enrollments[other].section for other in places}
        offers = next(
            group
            for group in offered[student.school, student.grade]
            if any(section.code == old.section for section in group)
        )
        section = rng.choice([section for section in offers if section.code not in taken])
        enrollments[place] = replace(old, end=_MOVES - timedelta(days=1))
        enrollments.append(attendance(student, section, terms, _MOVES))
    return replace(district, enrollments=tuple(sorted(enrollments, key=lambda one: one.key)))


def begun_later(district: District, share: float, seed: int = 0) -> District:
    """Of that share of the students, the day of entry was wrong: it is a day later."""
    late = {one.number for one in Random(seed).sample(district.students, count(district, share))}
    students = (replace(one, entry=one.entry + timedelta(days=1)) if one.number in late else one
                for one in district.students)  # fmt: skip
    return replace(district, students=tuple(students))


def with_other_names(district: District, share: float, seed: int = 0) -> District:
    """That share of the students has another middle name."""
    other = {one.number for one in Random(seed).sample(district.students, count(district, share))}
    students = (replace(one, middle=f"M{seed}") if one.number in other else one for one in district.students)
    return replace(district, students=tuple(students))


def left_sections(district: District, share: float, seed: int = 0) -> District:
    """That share of the enrollments was a mistake, and is taken away."""
    wrong = Random(seed).sample(district.enrollments, count(district, share, of=len(district.enrollments)))
    keys = {one.key for one in wrong if one.role == "student"}
    return replace(district, enrollments=tuple(one for one in district.enrollments if one.key not in keys))


_AGAIN = "~"


def origin(key: Any) -> Any:
    """A code or number, or a key with such in it, as it was before it was given anew."""
    if isinstance(key, tuple):
        return tuple(map(origin, key))
    return key.partition(_AGAIN)[0] if isinstance(key, str) else key


def _first_again(things: Sequence[T], names: Sequence[str], share: float, seed: int) -> Sequence[T]:
    if not 0 <= share <= 1:
        raise ValueError("a share lies between 0 and 1")
    order = Random(seed).sample(range(len(things)), len(things))
    return [things[n] for n in sorted(order, key=lambda n: _AGAIN in names[n])[: round(share * len(things))]]


def recoded(district: District, share: float, seed: int = 0) -> District:
    """That share of the sections has another code, first those that have had only one; whoever is in them stays."""
    chosen = _first_again(district.sections, [one.code for one in district.sections], share, seed)
    codes = {(one.school, one.code): f"{origin(one.code)}{_AGAIN}{seed}" for one in chosen}
    sections = (replace(one, code=codes.get((one.school, one.code), one.code)) for one in district.sections)
    enrollments = (
        replace(one, section=codes.get((one.school, one.section), one.section)) for one in district.enrollments
    )
    return replace(
        district,
        sections=tuple(sections),
        enrollments=tuple(sorted(enrollments, key=lambda one: one.key)),
    )


def with_other_numbers(district: District, share: float, seed: int = 0) -> District:
    """That share of the students has another number, first those that have had only one; under it everything about them
    stands now."""
    chosen = _first_again(district.students, [one.number for one in district.students], share, seed)
    numbers = {one.number: f"{origin(one.number)}{_AGAIN}{seed}" for one in chosen}

    def now(number: str) -> str:
        return numbers.get(number, number)

    return replace(
        district,
        students=tuple(replace(one, number=now(one.number)) for one in district.students),
        kinships=tuple(replace(one, student=now(one.student)) for one in district.kinships),
        enrollments=tuple(
            sorted((replace(one, person=now(one.person)) for one in district.enrollments), key=lambda one: one.key)
        ),
        sittings=tuple(replace(one, student=now(one.student)) for one in district.sittings),
    )


def count(district: District, share: float, *, of: int | None = None) -> int:
    """How many of so many things, by default students, that share is. Raises ValueError where it is none."""
    if not 0 <= share <= 1:
        raise ValueError("a share lies between 0 and 1")
    return round(share * (len(district.students) if of is None else of))
