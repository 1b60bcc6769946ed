"""What a Canvas holds: people, courses, who is in them, assignments, gradebook columns; and who of them sees what."""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from synthetic import District

GRADERS = ("TeacherEnrollment", "TaEnrollment")
STAFF = (*GRADERS, "DesignerEnrollment")


@dataclass
class User:
    id: int
    name: str
    sis: str | None
    """None where the district's system did not make it."""


@dataclass
class Course:
    id: int
    name: str
    sis: str
    state: str = "available"


@dataclass
class Enrollment:
    id: int
    course: int
    user: int
    type: str
    observed: int | None = None
    state: str = "active"


@dataclass
class Assignment:
    """`shown_to`: the students of each override, in the order in which they were made; `days` beside each."""

    id: int
    course: int
    name: str = ""
    description: str | None = None
    due_at: str | None = None
    lock_at: str | None = None
    points: float | None = 0.0
    grading_type: str = "points"
    submission_types: list[str] = field(default_factory=lambda: ["none"])
    omitted: bool = False
    only_overrides: bool = False
    overrides: list[dict[str, Any]] = field(default_factory=list)
    integration_id: str | None = None
    published: bool = False
    deleted: bool = False
    updated: datetime = field(default_factory=lambda: datetime.now(UTC))
    scores: dict[int, float] = field(default_factory=dict)


@dataclass
class Column:
    id: int
    course: int
    title: str
    read_only: bool = False
    hidden: bool = False
    teacher_notes: bool = False
    cells: dict[int, str] = field(default_factory=dict)


class World:
    """Everything, in memory. Ids begin at one thousand and are given once."""

    def __init__(self) -> None:
        self.users: dict[int, User] = {}
        self.courses: dict[int, Course] = {}
        self.enrollments: dict[int, Enrollment] = {}
        self.observers: set[tuple[int, int]] = set()
        self.assignments: dict[int, Assignment] = {}
        self.columns: dict[int, Column] = {}
        self._given = 1000

    def id(self) -> int:
        self._given += 1
        return self._given

    def person(self, name: str, sis: str | None = None) -> User:
        made = User(self.id(), name, sis)
        self.users[made.id] = made
        return made

    def course(self, name: str, sis: str, state: str = "available") -> Course:
        made = Course(self.id(), name, sis, state)
        self.courses[made.id] = made
        return made

    def enroll(self, course: Course, user: User, type: str, observed: User | None = None) -> Enrollment:
        made = Enrollment(self.id(), course.id, user.id, type, observed.id if observed else None)
        self.enrollments[made.id] = made
        return made

    def observe(self, observer: User, student: User) -> None:
        """Linked in the account: into each course of the student Canvas takes the observer as well."""
        self.observers.add((observer.id, student.id))
        for one in [*self.enrollments.values()]:
            if one.user == student.id and one.type == "StudentEnrollment":
                self.enroll(self.courses[one.course], observer, "ObserverEnrollment", student)

    def copy(self, id: int) -> Assignment:
        """As a teacher duplicates one: for everybody, not published, without its ids."""
        first = self.assignments[id]
        made = Assignment(self.id(), first.course, f"{first.name} Copy", first.description)
        self.assignments[made.id] = made
        return made

    def visible_to(self, user: int) -> list[str]:
        """Every text of ours that somebody finds in all of Canvas."""
        found = []
        for one in self.enrollments.values():
            if one.user != user or not (one.state == "active" or (one.state == "completed" and one.type in STAFF)):
                continue  # staff go on reading when their time is over
            if one.type not in STAFF and self.courses[one.course].state != "available":
                continue
            for task in self.assignments.values():
                if task.course == one.course and not task.deleted and self._shows(task, one):
                    found += [task.name, task.description or ""]
            if one.type in GRADERS:
                columns = [column for column in self.columns.values() if column.course == one.course]
                found += [text for column in columns for text in (column.title, *column.cells.values())]
        return found

    def _shows(self, task: Assignment, one: Enrollment) -> bool:
        if one.type in STAFF:
            return True
        return task.published and self._is_for(task, one.observed if one.type == "ObserverEnrollment" else one.user)

    def _is_for(self, task: Assignment, student: int | None) -> bool:
        return not task.only_overrides or any(student in one["student_ids"] for one in task.overrides)

    def total(self, student: int, course: int) -> tuple[float | None, float | None]:
        """In percent: of what was graded, and of all that counts."""
        counting = [
            one
            for one in self.assignments.values()
            if one.course == course and one.published and not one.deleted and not one.omitted
            if one.grading_type != "not_graded" and self._is_for(one, student)
        ]
        graded = [one for one in counting if student in one.scores]
        return _percent(graded, student), _percent(counting, student)


def _percent(tasks: list[Assignment], student: int) -> float | None:
    whole = sum(one.points or 0.0 for one in tasks)
    return round(100 * sum(one.scores.get(student, 0.0) for one in tasks) / whole, 2) if whole else None


def world(district: District) -> World:
    """The invented district in Canvas: a course for each section, by its school and code."""
    made = World()
    people = {one.number: made.person(f"{one.given} {one.family}", one.number) for one in district.students}
    people |= {one.number: made.person(f"{one.given} {one.family}", one.number) for one in district.staff}
    courses = {(one.school, one.code): made.course(one.title, f"{one.school}-{one.code}") for one in district.sections}
    for one in district.enrollments:
        type = "StudentEnrollment" if one.role == "student" else "TeacherEnrollment"
        made.enroll(courses[one.school, one.section], people[one.person], type)
    contacts = {one.number: made.person(f"{one.given} {one.family}") for one in district.contacts}
    for tie in district.kinships:
        made.observe(contacts[tie.contact], people[tie.student])
    return made
