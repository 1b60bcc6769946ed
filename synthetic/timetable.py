"""The timetable: which courses a level takes, how a grade is split into classes, who teaches and attends."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date
from itertools import count
from math import ceil
from random import Random

from synthetic.model import Course, School, Section, SectionEnrollment, Staff, Student, Term
from synthetic.people import GRADES, adult

SUBJECTS = {
    "english": "English Language Arts",
    "reading": "Reading",
    "mathematics": "Mathematics",
    "science": "Science",
    "social_studies": "Social Studies",
    "arts": "Fine and Performing Arts",
    "physical_education": "Physical, Health, and Safety Education",
    "career": "Career and Technical Education",
}

LEVELS = {"elementary": GRADES[:6], "middle": GRADES[6:9], "high": GRADES[9:]}

_TAKEN = {
    "elementary": ("reading", "mathematics"),
    "middle": ("english", "mathematics", "science", "social_studies", "physical_education"),
    "high": ("english", "mathematics", "science", "social_studies", "arts"),
}
_WHOLE_LEVEL = ("physical_education", "arts")  # one course for all grades of the level
_CLASS_SIZE = 26
_PERIODS = 6
_LOAD = 5  # sections a teacher has at the same time

# The classes of one grade of one school: per course and term, its parallel sections.
Parallel = Mapping[tuple[int, str], Sequence[Sequence[Section]]]


def catalogue() -> tuple[Course, ...]:
    """Every course of the district, sorted by code."""
    courses = [
        Course(_course_code(subject, level, grade), _course_title(subject, level, grade), subject, grades)
        for level, subjects in _TAKEN.items()
        for subject in subjects
        for grade, grades in (
            [(LEVELS[level][0], LEVELS[level])]
            if subject in _WHOLE_LEVEL
            else [(grade, (grade,)) for grade in LEVELS[level]]
        )
    ]
    return tuple(sorted(courses, key=lambda course: course.code))


def _course_code(subject: str, level: str, grade: str) -> str:
    return f"{subject[:3].upper()}-{level[:1].upper() + 'S' if subject in _WHOLE_LEVEL else grade}"


def _course_title(subject: str, level: str, grade: str) -> str:
    return f"{SUBJECTS[subject]}, {f'{level} school' if subject in _WHOLE_LEVEL else f'grade {grade}'}"


def sections(schools: Iterable[School], terms: Sequence[Term], students: Iterable[Student]) -> tuple[Section, ...]:
    """The classes needed for these students, never fewer than two in parallel; sorted by school and code.

    All sections of one group of children lie in different periods, so do the sections of one teacher.
    """
    sizes: dict[tuple[int, str], int] = defaultdict(int)
    for student in students:
        sizes[student.school, student.grade] += 1
    made = [
        Section(
            code=f"{subject[:3].upper()}{grade}-{term.code[0].upper()}{group + 1:02d}",
            school=school.number,
            course=_course_code(subject, school.level, grade),
            term=term.code,
            period=str((place + group) % _PERIODS + 1),
            title=f"{SUBJECTS[subject]} {grade}, class {group + 1}",
            grades=(grade,),
        )
        for school in schools
        for grade in school.grades
        for place, subject in enumerate(_TAKEN[school.level])
        for term in terms
        for group in range(max(2, ceil(sizes[school.number, grade] / _CLASS_SIZE)))
    ]
    return tuple(sorted(made, key=lambda section: (section.school, section.code)))


def parallel(sections: Iterable[Section]) -> Parallel:
    """The sections of every (school, grade), those of the same course and term side by side."""
    found: dict[tuple[int, str], dict[tuple[str, str], list[Section]]] = defaultdict(lambda: defaultdict(list))
    for section in sections:
        found[section.school, section.grades[0]][section.course, section.term].append(section)
    return {place: list(offers.values()) for place, offers in found.items()}


def attending(students: Iterable[Student], offered: Parallel, terms: Mapping[str, Term]) -> Iterator[SectionEnrollment]:
    """Each student in one section of every course and term of their grade, from their entry on."""
    seen: dict[tuple[int, str], int] = defaultdict(int)
    for student in students:
        place = student.school, student.grade
        group = seen[place]
        seen[place] += 1
        for offers in offered[place]:
            yield attendance(student, offers[group % len(offers)], terms)


def attendance(
    student: Student, section: Section, terms: Mapping[str, Term], begin: date | None = None
) -> SectionEnrollment:
    """The student in that section until its term ends, from `begin` (default: entry or start of the term)."""
    term = terms[section.term]
    start = begin or max(student.entry, term.begin)
    return SectionEnrollment(section.code, section.school, student.number, "student", False, start, term.end)


def teaching(
    rng: Random,
    schools: Iterable[School],
    offered: Parallel,
    terms: Mapping[str, Term],
    begin: date,
    known: Iterable[Staff] = (),
    after: int = 100,
) -> tuple[list[Staff], list[SectionEnrollment]]:
    """The adults of the schools and their classes.

    Every section has one primary teacher, the same in all terms; the first of eight parallel ones also has
    the school's support teacher as a co-teacher. Who is `known` takes up their role and school again; others get
    a number above `after`.
    """
    staff: list[Staff] = []
    taught: list[SectionEnrollment] = []
    free = list(known)
    numbers = count(after + 1)

    def hire(role: str, school: int | None) -> Staff:
        again = next((person for person in free if (person.role, person.school) == (role, school)), None)
        if again:
            free.remove(again)
        staff.append(again or adult(rng, next(numbers), role, school, begin))
        return staff[-1]

    def teach(person: Staff, section: Section, *, primary: bool) -> None:
        term = terms[section.term]
        taught.append(
            SectionEnrollment(section.code, section.school, person.number, "teacher", primary, term.begin, term.end)
        )

    hire("district_administrator", None)
    for school in schools:
        hire("principal", school.number)
        hire("counselor", school.number)
        support = hire("teacher", school.number)
        teachers: dict[tuple[str, str, int], Staff] = {}
        for grade in school.grades:
            for offers in offered[school.number, grade]:
                for place, section in enumerate(offers):
                    load = section.course, grade, place // _LOAD
                    if load not in teachers:
                        teachers[load] = hire("teacher", school.number)
                    teach(teachers[load], section, primary=True)
                    if place % 8 == 0:
                        teach(support, section, primary=False)
    return staff, taught
