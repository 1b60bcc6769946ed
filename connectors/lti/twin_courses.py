"""What a platform has: people, courses, gradebooks, and who sees what of them."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from synthetic import District
from synthetic.model import Contact, Staff, Student

STUDENT, TEACHER, AIDE, PARENT = "student", "teacher", "aide", "parent"
"""Roles in a course. An aide is a teacher who may not edit: Moodle's list of members calls them learners."""


@dataclass
class Person:
    """Somebody with an account. `number`: what the roster calls them; `children`: ids of accounts they look after."""

    id: str
    number: str
    name: str
    email: str = ""
    children: set[str] = field(default_factory=set)


@dataclass
class Entry:
    """What a column has for one student. `comments`: all of them; where comments take each other's place, one."""

    score: float | None = None
    comments: list[str] = field(default_factory=list)
    timestamp: str = ""


@dataclass
class Column:
    """A column of a gradebook. `ours`: a tool made it; else it is a teacher's."""

    id: int
    item: dict[str, Any]
    by_tool: bool
    entries: dict[str, Entry] = field(default_factory=dict)

    @property
    def maximum(self) -> float:
        return float(self.item["scoreMaximum"])


@dataclass
class Course:
    """A course. `members`: account id -> role in it."""

    id: str
    code: str
    title: str
    members: dict[str, str] = field(default_factory=dict)
    columns: dict[int, Column] = field(default_factory=dict)
    published: bool = True


class Courses:
    """All courses of the platform, one for each section of the invented district."""

    def __init__(self, district: District) -> None:
        self.people: dict[str, Person] = {}
        self.courses: dict[str, Course] = {}
        self._numbers: dict[str, Person] = {}
        self._columns = 0
        people: list[Staff | Student | Contact] = [*district.staff, *district.students, *district.contacts]
        for one in people:
            self.add_person(one.number, f"{one.given} {one.family}", one.email)
        for kin in district.kinships:
            self.person(kin.contact).children.add(self.person(kin.student).id)
        places = {}
        for section in district.sections:
            code = f"{section.school}-{section.code}"
            places[section.school, section.code] = self.add_course(code, section.title)
        for enrolled in district.enrollments:
            role = TEACHER if enrolled.role == "teacher" else STUDENT
            places[enrolled.school, enrolled.section].members[self.person(enrolled.person).id] = role

    def add_person(self, number: str, name: str, email: str = "") -> Person:
        one = Person(str(len(self.people) + 2), number, name, email)
        self.people[one.id] = self._numbers[number] = one
        return one

    def add_course(self, code: str, title: str) -> Course:
        made = Course(str(len(self.courses) + 2), code, title)
        self.courses[made.id] = made
        return made

    def person(self, number: str) -> Person:
        return self._numbers[number]

    def add_column(self, course: Course, item: dict[str, Any], *, by_tool: bool) -> Column:
        self._columns += 1
        made = course.columns[self._columns] = Column(self._columns, item, by_tool)
        return made

    def graded(self, course: Course, label: str, maximum: float, scores: dict[str, float]) -> Column:
        """A teacher's own column, with these scores by number."""
        column = self.add_column(course, {"label": label, "scoreMaximum": maximum}, by_tool=False)
        column.entries = {self.person(number).id: Entry(score) for number, score in scores.items()}
        return column

    def total(self, course: Course, number: str) -> float | None:
        """The course total in percent, of what has a score; None where nothing has."""
        person = self.person(number).id
        scored = [
            (entry.score, column.maximum)
            for column in course.columns.values()
            if (entry := column.entries.get(person)) is not None and entry.score is not None
        ]
        return 100 * sum(score for score, _ in scored) / sum(most for _, most in scored) if scored else None

    def visible_to(self, number: str) -> list[str]:
        """Every word of every gradebook that somebody gets to see, over all courses: students what is theirs and what
        columns are called; parents the same of their children; teachers and aides all of their courses."""
        person = self.person(number)
        return [text for course in self.courses.values() for text in self._seen(course, person)]

    def _seen(self, course: Course, person: Person) -> Iterator[str]:
        role = course.members.get(person.id)
        whose = {one for one in (person.id, *person.children) if course.members.get(one) == STUDENT}
        if role in (TEACHER, AIDE):
            whose = {one for column in course.columns.values() for one in column.entries}
        elif not whose:
            return
        for column in course.columns.values():
            yield str(column.item["label"])
            yield from (comment for one in whose for comment in column.entries.get(one, Entry()).comments)
