"""The district as its office keeps it: written on day by day, shown as it is on one of them."""

from collections.abc import Hashable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from random import Random

from synthetic.model import Contact, District, Kinship, Section, SectionEnrollment, Sitting, Staff, Student, Term
from synthetic.people import adult, families
from synthetic.timetable import Parallel, attendance, parallel

DAY = timedelta(days=1)
LINGERS = timedelta(days=7)
"""How long an ended enrollment is still served, as systems do: first with its end, then no more."""
LEAVERS_LINGER = timedelta(days=14)
BEFORE_THEIR_SECTION = timedelta(days=8)
"""When a section is dropped, its enrollments were dropped so long before."""


@dataclass
class Register:
    """Students, staff, classes and who is in them; what is written is seen on the evening of `today`.

    People are known by their number, sections by (school, code), enrollments by their key. What the office knows
    and its system does not serve yet, or no more, stays here with the day it is shown from or until.
    """

    frame: District
    today: date
    students: dict[str, Student] = field(default_factory=dict)
    staff: dict[str, Staff] = field(default_factory=dict)
    contacts: dict[str, Contact] = field(default_factory=dict)
    kinships: list[Kinship] = field(default_factory=list)
    sections: dict[tuple[int, str], Section] = field(default_factory=dict)
    enrollments: dict[Hashable, SectionEnrollment] = field(default_factory=dict)
    sittings: dict[str, Sitting] = field(default_factory=dict)
    offered: Parallel = field(default_factory=dict)
    _from: dict[Hashable, date] = field(default_factory=dict)
    _until: dict[Hashable, date] = field(default_factory=dict)

    @classmethod
    def opened(cls, district: District) -> "Register":
        """Of the first day of the year: who enters later is not known yet, nor what will be sat later."""
        register = cls(
            district,
            district.year_begin,
            {one.number: one for one in district.students},
            {one.number: one for one in district.staff},
            {one.number: one for one in district.contacts},
            list(district.kinships),
            sittings={one.code: one for one in district.sittings},
        )
        register._from = {one.number: one.entry for one in district.students if one.entry > district.year_begin}
        register.set_timetable(district.sections, district.enrollments)
        return register

    def shown(self) -> District:
        """What the office's system serves on this day. A sitting is known the day after."""
        students = [one for number, one in self.students.items() if self._seen(number)]
        here = {one.number for one in students}
        staff = [one for number, one in self.staff.items() if self._seen(number)]
        people = here | {one.number for one in staff}
        kinships = [one for one in self.kinships if one.student in here]
        related = {one.contact for one in kinships}
        enrollments = [
            one
            for key, one in self.enrollments.items()
            if one.person in people and self._seen(key) and self._seen((one.school, one.section), BEFORE_THEIR_SECTION)
        ]
        sittings = [one for one in self.sittings.values() if one.on < self.today and one.student in here]
        return replace(
            self.frame,
            sections=tuple(sorted((one for place, one in self.sections.items() if self._seen(place)), key=_place)),
            staff=tuple(sorted(staff, key=lambda one: one.number)),
            students=tuple(sorted(students, key=lambda one: one.number)),
            contacts=tuple(sorted((self.contacts[number] for number in related), key=lambda one: one.number)),
            kinships=tuple(sorted(kinships, key=lambda one: (one.student, one.priority))),
            enrollments=tuple(sorted(enrollments, key=lambda one: one.key)),
            sittings=tuple(sorted(sittings, key=lambda one: one.code)),
        )

    def remaining(self) -> list[Student]:
        """The students that the system shows and that do not leave."""
        return [one for number, one in self.students.items() if not one.exit and self._seen(number)]

    def teachers(self, section: str, school: int) -> list[str]:
        """Who teaches there since yesterday or longer."""
        return [
            one.person
            for one in self.enrollments.values()
            if one.role == "teacher"
            and (one.section, one.school) == (section, school)
            and one.begin < self.today <= one.end
        ]

    def running(self, person: str) -> list[SectionEnrollment]:
        """The classes somebody has been in since yesterday or longer, and is in today."""
        return [one for one in self._of(person) if one.begin < self.today <= one.end]

    def size(self) -> int:
        """How many records the district has on this day."""
        seen = self.shown()
        lists = (seen.sections, seen.staff, seen.students, seen.students, seen.contacts, seen.kinships)
        return sum(map(len, lists)) + len(seen.enrollments) + len(seen.sittings)

    # What the office writes. Each says how many records it touched, where that counts.

    def correct(self, corrected: Student | Contact) -> int:
        if isinstance(corrected, Student):
            self.students[corrected.number] = corrected
        else:
            self.contacts[corrected.number] = corrected
        return 1

    def move(self, one: SectionEnrollment, section: Section) -> int:
        """Into a parallel class from today on."""
        self._end(one)
        return 1 + self._add(attendance(self.students[one.person], section, self._terms, self.today))

    def place(self, student: Student, *, school: int, grade: str) -> int:
        """In another school or grade from today on: every class ends, others begin."""
        ended = self._end_all(student.number)
        placed = replace(student, school=school, grade=grade, entry=self.today)
        self.students[student.number] = placed
        return 1 + ended + self.attend([placed])

    def leave(self, student: Student) -> int:
        """Yesterday was the last day."""
        self.students[student.number] = replace(student, exit=self.today - DAY)
        self._until[student.number] = self.today + LEAVERS_LINGER
        return 1 + self._end_all(student.number)

    def welcome(self, rng: Random, count: int, entry: date) -> list[Student]:
        """Children of new families, who come on `entry`; they have no classes yet."""
        drawn, contacts, kinships = families(rng, self.frame.schools, count, after=self.frame.issued, entry=entry)
        students = [replace(one, entry=entry) for one in drawn]
        self.frame = replace(self.frame, issued=self.frame.issued + count)
        self.students |= {one.number: one for one in students}
        self.contacts |= {one.number: one for one in contacts}
        self.kinships += kinships
        return students

    def replace_teacher(self, rng: Random, number: str) -> int:
        """A teacher has left; somebody new takes over what they taught."""
        old = self.staff[number]
        new = adult(rng, 1 + max(map(int, self.staff)), old.role, old.school, self.today)
        taught = [one for one in self._of(number) if one.end >= self.today]
        ended = self._end_all(number)
        self.staff |= {number: replace(old, end=self.today - DAY), new.number: new}
        self._until[number] = self.today + LEAVERS_LINGER
        taken = [replace(one, person=new.number, begin=max(one.begin, self.today)) for one in taught]
        return 2 + ended + sum(map(self._add, taken))

    def attend(self, students: Iterable[Student]) -> int:
        """Each in one class of every course of their grade that is not over."""
        return sum(map(self._add, self._classes(students)))

    def sit(self, sitting: Sitting) -> int:
        self.sittings[sitting.code] = sitting
        return 1 + len(sitting.objectives)

    def set_timetable(self, sections: Iterable[Section], enrollments: Iterable[SectionEnrollment] = ()) -> None:
        """These classes and no others."""
        for gone in (*self.sections, *self.enrollments):
            self._from.pop(gone, None)
            self._until.pop(gone, None)
        self.sections = {_place(one): one for one in sections}
        self.enrollments = {one.key: one for one in enrollments}
        self.offered = parallel(self.sections.values())

    def show_from(self, things: Iterable[Hashable], day: date) -> None:
        """Known to the office, and not served before that day."""
        self._from |= dict.fromkeys(things, day)

    def drop_from(self, things: Iterable[Hashable], day: date) -> None:
        """Served no more from that day on."""
        self._until |= dict.fromkeys(things, day)

    @property
    def _terms(self) -> Mapping[str, Term]:
        return {term.code: term for term in self.frame.terms}

    def _seen(self, thing: Hashable, early: timedelta = timedelta()) -> bool:
        return self._from.get(thing, date.min) <= self.today < self._until.get(thing, date.max) - early

    def _of(self, person: str) -> Iterator[SectionEnrollment]:
        return (one for one in list(self.enrollments.values()) if one.person == person)

    def _classes(self, students: Iterable[Student]) -> Iterator[SectionEnrollment]:
        for student in students:
            for offers in self.offered[student.school, student.grade]:
                section = offers[int(student.number) % len(offers)]
                if self._terms[section.term].end >= student.entry:
                    yield attendance(student, section, self._terms)

    def _add(self, one: SectionEnrollment) -> int:
        self.enrollments[one.key] = one
        return 1

    def _end(self, one: SectionEnrollment) -> int:
        """Yesterday was the last day in this class; what has not begun by then never was."""
        if one.end < self.today:
            return 0
        if one.begin >= self.today:
            del self.enrollments[one.key]
        else:
            self.enrollments[one.key] = replace(one, end=self.today - DAY)
            self._until[one.key] = self.today + LINGERS
        return 1

    def _end_all(self, person: str) -> int:
        return sum(map(self._end, self._of(person)))


def _place(section: Section) -> tuple[int, str]:
    return section.school, section.code
