"""The facts of the one invented district, in no system's spelling: what twins, demo and tests agree on."""

from dataclasses import dataclass, field
from datetime import date


@dataclass(frozen=True)
class School:
    """One school. `number` is the number the state gives it; both systems know it."""

    number: int
    name: str
    level: str  # elementary | middle | high
    grades: tuple[str, ...]  # "KG", "01" ... "12"


@dataclass(frozen=True)
class Term:
    """One term of the school year, the same dates in every school."""

    code: str  # "fall" | "spring"
    title: str
    begin: date
    end: date


@dataclass(frozen=True)
class Course:
    """One course of the catalogue, owned by the district."""

    code: str
    title: str
    subject: str  # a key of synthetic.SUBJECTS
    grades: tuple[str, ...]


@dataclass(frozen=True)
class Section:
    """One class of one school in one term. `code` is unique in its school and known to both systems."""

    code: str
    school: int
    course: str
    term: str
    period: str
    title: str
    grades: tuple[str, ...]


@dataclass(frozen=True)
class Staff:
    """One adult who works at one school (or at the district, school None)."""

    number: str
    given: str
    family: str
    email: str
    role: str  # teacher | principal | counselor | district_administrator
    school: int | None
    begin: date
    end: date | None = None  # last day of the assignment, once it is known


@dataclass(frozen=True)
class Contact:
    """One family contact of one or more students."""

    number: str
    given: str
    family: str
    email: str
    phone: str


@dataclass(frozen=True)
class Kinship:
    """How a contact belongs to a student."""

    contact: str
    student: str
    relation: str  # mother | father | guardian | grandparent
    legal_guardian: bool
    lives_with: bool
    priority: int


@dataclass(frozen=True)
class Student:
    """One child. `number` is the district's student number, known to both systems; leading zeros matter."""

    number: str
    given: str
    middle: str | None
    family: str
    preferred_given: str | None
    birth: date
    sex: str  # male | female
    races: tuple[str, ...]  # american_indian | asian | black | pacific_islander | white
    hispanic: bool
    grade: str
    school: int
    entry: date
    email: str
    english_learner: bool
    economically_disadvantaged: bool
    language: str  # ISO 639-3 of the home language
    device: bool
    exit: date | None = None  # last day of somebody who leaves


@dataclass(frozen=True)
class SectionEnrollment:
    """One person in one section; `begin`/`end` are inclusive dates."""

    section: str
    school: int
    person: str
    role: str  # student | teacher
    primary: bool
    begin: date
    end: date

    @property
    def key(self) -> tuple[int, str, str, date]:
        """What no two enrollments share; section codes alone repeat between schools."""
        return self.school, self.section, self.person, self.begin


@dataclass(frozen=True)
class Objective:
    """One reported part of an assessment."""

    code: str
    title: str


@dataclass(frozen=True)
class Assessment:
    """One assessment the district gives. `purpose` is a word of the common schema."""

    code: str
    title: str
    family: str
    subject: str
    purpose: str  # diagnostic | interim | summative_state | interest_inventory
    minimum: int
    maximum: int
    objectives: tuple[Objective, ...]


@dataclass(frozen=True)
class Sitting:
    """One student's result in one assessment: a scale score and one score per objective.

    An interest inventory has neither percentile nor level.
    """

    code: str
    assessment: str
    student: str
    school: int
    grade: str  # of the student on that day
    on: date
    score: int
    percentile: int | None
    level: str | None  # below | approaching | meets | exceeds
    objectives: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class District:
    """The whole district on one day, every list sorted by its own key.

    `issued` is the last student number handed out; a number is never given twice. `generation` counts how often the
    systems have given all their records new ids. `remade`: the numbers of the students whose record alone was made
    anew, under another id.
    """

    number: int
    name: str
    school_year: int  # the year it ends
    year_begin: date
    year_end: date
    schools: tuple[School, ...]
    terms: tuple[Term, ...]
    courses: tuple[Course, ...]
    sections: tuple[Section, ...]
    staff: tuple[Staff, ...]
    students: tuple[Student, ...]
    contacts: tuple[Contact, ...]
    kinships: tuple[Kinship, ...]
    enrollments: tuple[SectionEnrollment, ...]
    assessments: tuple[Assessment, ...]
    sittings: tuple[Sitting, ...]
    issued: int
    generation: int = 0
    remade: frozenset[str] = frozenset()
