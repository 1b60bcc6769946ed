"""How a provider spells the gradebooks of the invented district's classes, and the books and programs they use."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from functools import cached_property
from hashlib import blake2b
from typing import Any
from uuid import NAMESPACE_URL, uuid5

from connectors.oneroster.twin_rows import (
    GRADEBOOK,
    ROSTERING,
    Roster,
    Row,
    class_id,
    day_of,
    make_id,
    org_ref,
    ref,
    session_id,
    session_ref,
    truth,
    user_id,
    user_ref,
)
from synthetic import District
from synthetic.model import Course, Section, SectionEnrollment

COLLECTIONS = ("categories", "lineItems", "results", "scoreScales", "resources")


@dataclass(frozen=True)
class _Task:
    """What every class is given once: `after` so many days of its term, for at most so many points."""

    code: str
    title: str
    category: str
    after: int
    days: int
    points: float


_CATEGORIES = {"homework": ("Homework", 0.3), "tests": ("Tests", 0.7)}
_TASKS = (
    _Task("homework-1", "Homework 1", "homework", 7, 7, 10.0),
    _Task("test-1", "Unit test 1", "tests", 28, 1, 100.0),
)
_LETTERS = (("90-100", "A"), ("80-89", "B"), ("70-79", "C"), ("60-69", "D"), ("0-59", "F"))


class Gradebook:
    """The categories, line items, results, score scales and resources of one district.

    They are worked out when they are first asked for: a large district has more results than anything else. `known`
    says whether they have been.
    """

    def __init__(self, district: District, roster: Roster) -> None:
        self._district = district
        self._roster = roster
        self._begins = {term.code: term.begin for term in district.terms}

    @property
    def known(self) -> bool:
        return "facts" in self.__dict__

    @cached_property
    def facts(self) -> Mapping[str, Mapping[str, Any]]:
        """`facts[collection][sourcedId]` as in `Roster`."""
        sections = {(one.school, one.code): one for one in self._district.sections}
        found: dict[str, dict[str, Any]] = {
            "categories": {make_id("category", code): code for code in _CATEGORIES},
            "lineItems": {
                self._line_item_id(section, task): (section, task) for section in sections.values() for task in _TASKS
            },
            "results": {
                make_id("grade", *one.key, task.code): (one, sections[one.school, one.section], task)
                for one in self._district.enrollments
                if one.role == "student" and (one.school, one.section) in sections
                for task in _TASKS[1:]
            },
            "scoreScales": {self._scale_id(section): section for section in sections.values()},
            "resources": {resource_id(course): course for course in self._district.courses},
        }
        return {
            collection: {self._roster.reissued(sourced_id): fact for sourced_id, fact in facts.items()}
            for collection, facts in found.items()
        }

    def row(self, collection: str, fact: Any, base: str) -> Row:
        """The fact's own properties, as `Roster.row` gives them."""
        match collection:
            case "categories":
                title, weight = _CATEGORIES[fact]
                return {"title": title, "weight": weight}
            case "lineItems":
                row = self._line_item(base, *fact)
            case "results":
                row = self._result(base, *fact)
            case "scoreScales":
                row = self._scale(base, fact)
            case _:
                return _resource(fact)
        if self._district.generation:
            self._roster.reissue_references(row)
        return row

    def _line_item(self, base: str, section: Section, task: _Task) -> Row:
        given = self._given(section, task)
        row: Row = {
            "title": task.title,
            "description": f"{task.title} of {section.title}",
            "assignDate": _midnight(given),
            "dueDate": _midnight(given + timedelta(days=task.days)),
            "class": self._class_ref(base, section),
            "school": org_ref(base, section.school),
            "category": ref(f"{base}{GRADEBOOK}/categories", "category", make_id("category", task.category)),
            "academicSession": session_ref(base, session_id(self._district, section.term)),
            "resultValueMin": 0.0,
            "resultValueMax": task.points,
        }
        if task.category == "tests":
            row["scoreScale"] = self._scale_ref(base, section)
            row["learningObjectiveSet"] = [{"source": "case", "learningObjectiveIds": [_objective(section)]}]
        return row

    def _result(self, base: str, enrollment: SectionEnrollment, section: Section, task: _Task) -> Row:
        """One in twenty did not hand in, one in twenty is late: drawn by who and what it is, never by chance."""
        drawn = blake2b(repr((*enrollment.key, task.code)).encode(), digest_size=4).digest()
        share = 0.4 + 0.6 * drawn[0] / 255
        row: Row = {
            "lineItem": ref(f"{base}{GRADEBOOK}/lineItems", "lineItem", self._line_item_id(section, task)),
            "student": user_ref(base, user_id(self._district, enrollment.person)),
            "class": self._class_ref(base, section),
            "scoreDate": day_of(self._given(section, task) + timedelta(days=task.days)),
            "scoreStatus": "fully graded",
            "late": truth(drawn[1] % 20 == 1),
        }
        if drawn[1] % 20 == 0:
            return row | {"scoreStatus": "not submitted", "missing": "true"}
        points = round(task.points * share, 1)
        part = {"learningObjectiveId": _objective(section), "score": points}
        return row | {
            "score": points,
            "textScore": _letter(share),
            "scoreScale": self._scale_ref(base, section),
            "learningObjectiveSet": [{"source": "case", "learningObjectiveResults": [part]}],
        }

    def _scale(self, base: str, section: Section) -> Row:
        return {
            "title": "Letters",
            "type": "letter",
            "class": self._class_ref(base, section),
            "course": ref(f"{base}{ROSTERING}/courses", "course", make_id("course", section.course)),
            "scoreScaleValue": [{"itemValueLHS": points, "itemValueRHS": letter} for points, letter in _LETTERS],
        }

    def _given(self, section: Section, task: _Task) -> date:
        return self._begins[section.term] + timedelta(days=task.after)

    def _class_ref(self, base: str, section: Section) -> Row:
        return ref(f"{base}{ROSTERING}/classes", "class", class_id(self._district, section.school, section.code))

    def _scale_ref(self, base: str, section: Section) -> Row:
        return ref(f"{base}{GRADEBOOK}/scoreScales", "scoreScale", self._scale_id(section))

    def _line_item_id(self, section: Section, task: _Task) -> str:
        return make_id("task", self._district.school_year, section.school, section.code, task.code)

    def _scale_id(self, section: Section) -> str:
        return make_id("scale", self._district.school_year, section.school, section.code)


def resource_id(course: Course) -> str:
    """The sourcedId of the book of a course, before ids were given out anew."""
    return make_id("resource", course.code)


def _resource(course: Course) -> Row:
    return {
        "title": f"{course.title}, student edition",
        "roles": ["student", "teacher"],
        "importance": "primary",
        "vendorResourceId": f"urn:example:book:{course.code}",
        "vendorId": "example-publisher",
        "applicationId": "example-reader",
    }


def _objective(section: Section) -> str:
    """OneRoster 1.2: an identifier of CASE is a UUID."""
    return str(uuid5(NAMESPACE_URL, f"https://case.example.org/{section.course}/1"))


def _letter(share: float) -> str:
    return next(letter for points, letter in _LETTERS if share * 100 >= int(points.partition("-")[0]))


def _midnight(day: date) -> str:
    return f"{day_of(day)}T00:00:00.000Z"
