"""What goes beyond roster and results in the invented district: who takes part in which program, attendance, grades."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta

from synthetic.model import District, SectionEnrollment, Student

# Every so many students, by their number: it stays what it is when others come and go, and draws nothing by chance.
_EVERY = {
    "special_education": 11,
    "section_504": 13,
    "homeless": 17,
    "migrant": 19,
    "neglected": 23,
}
_ABSENT, _ABSENT_FROM_CLASS, _DISCIPLINED, _GRADED, _ENDED = 4, 6, 7, 3, 33
_CATEGORIES = ("excused", "unexcused", "tardy", "early")
_LETTERS = ((90, "A"), (80, "B"), (70, "C"), (0, "D"))


@dataclass(frozen=True)
class Participation:
    """One student in one program; `end` is the last day of one that is over."""

    student: str
    program: str  # a key of _EVERY, or language, title_i, career, meals
    begin: date
    end: date | None
    service: str = ""  # of meals: free | reduced


@dataclass(frozen=True)
class Absence:
    """One day of one student, or one class on that day."""

    student: str
    school: int
    on: date
    category: str  # excused | unexcused | tardy | early
    section: SectionEnrollment | None = None


@dataclass(frozen=True)
class Incident:
    """One thing that happened to be dealt with."""

    code: str
    student: str
    school: int
    on: date


@dataclass(frozen=True)
class Grade:
    """What one student got in one class in the first grading period."""

    enrollment: SectionEnrollment
    letter: str
    number: int


@dataclass(frozen=True)
class Needs:
    """Everything of that kind, each list in the order of the students."""

    participations: tuple[Participation, ...]
    absences: tuple[Absence, ...]
    incidents: tuple[Incident, ...]
    grades: tuple[Grade, ...]


def needs_of(district: District) -> Needs:
    """What is so of these students; the same student always gives the same."""
    first: dict[str, list[SectionEnrollment]] = {}
    autumn = min(district.terms, key=lambda term: term.begin)
    for one in district.enrollments:
        if one.role == "student" and one.begin <= autumn.end and one.end <= autumn.end:
            first.setdefault(one.person, []).append(one)
    participations: list[Participation] = []
    absences: list[Absence] = []
    incidents: list[Incident] = []
    grades: list[Grade] = []
    for student in district.students:
        classes = first.get(student.number, [])
        participations += _participations(student)
        absences += _absences(student, classes)
        incidents += _incidents(student)
        grades += _grades(student, classes)
    return Needs(tuple(participations), tuple(absences), tuple(incidents), tuple(grades))


def _participations(student: Student) -> Iterator[Participation]:
    place = int(student.number)
    end = student.entry + timedelta(days=30) if place % _ENDED == 0 else student.exit
    wanted = [program for program, every in _EVERY.items() if place % every == 0]
    if student.english_learner:
        wanted.append("language")
    if student.economically_disadvantaged:
        wanted += ["title_i", "meals"]
    if student.grade >= "09" and student.grade != "KG" and place % 2 == 0:
        wanted.append("career")
    for program in wanted:
        service = ("free", "reduced")[place % 2] if program == "meals" else ""
        yield Participation(student.number, program, student.entry, end, service)


def _absences(student: Student, classes: list[SectionEnrollment]) -> Iterator[Absence]:
    place = int(student.number)
    category = _CATEGORIES[place // _ABSENT % len(_CATEGORIES)]
    if place % _ABSENT == 0:
        yield Absence(student.number, student.school, _weekday(student.entry, 10 + place % 40), category)
    if place % _ABSENT_FROM_CLASS == 0 and classes:
        on = _weekday(classes[0].begin, 3 + place % 20)
        yield Absence(student.number, student.school, on, "unexcused", classes[0])


def _incidents(student: Student) -> Iterator[Incident]:
    place = int(student.number)
    for n in range(1 + (place % 2) if place % _DISCIPLINED == 0 else 0):
        on = _weekday(student.entry, 5 + place % 30 + n)
        yield Incident(f"D{student.number}-{n + 1}", student.number, student.school, on)


def _grades(student: Student, classes: list[SectionEnrollment]) -> Iterator[Grade]:
    place = int(student.number)
    for n, one in enumerate(classes if place % _GRADED == 0 else ()):
        number = 65 + (place * 7 + n * 11) % 35
        yield Grade(one, next(letter for least, letter in _LETTERS if number >= least), number)


def _weekday(begin: date, after: int) -> date:
    """So many days later, or the Monday after."""
    day = begin + timedelta(days=after)
    return day + timedelta(days=max(0, 7 - day.weekday()) if day.weekday() > 4 else 0)
