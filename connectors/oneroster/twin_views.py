"""Which paths OneRoster 1.1 and 1.2 have, which records each shows, and to whom."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from connectors.oneroster.twin_1p1 import ROOT
from connectors.oneroster.twin_fields import Version
from connectors.oneroster.twin_quirks import Service
from connectors.oneroster.twin_rows import GRADEBOOK, RESOURCES, ROSTERING, Row
from connectors.oneroster.twin_shelves import Among, Shelves
from synthetic.model import Staff, Student

Parents = Mapping[str, str]
_BOTH: tuple[Version, ...] = ("1.1", "1.2")
_NEW: tuple[Version, ...] = ("1.2",)
_ROOTS: Mapping[Service, str] = {
    "roster": ROSTERING,
    "gradebook": GRADEBOOK,
    "assessment": GRADEBOOK,
    "resources": RESOURCES,
}
_COLLECTION = {
    "class": "classes",
    "course": "courses",
    "school": "orgs",
    "term": "academicSessions",
    "academicSession": "academicSessions",
    "user": "users",
    "student": "users",
    "teacher": "users",
    "lineItem": "lineItems",
}


@dataclass(frozen=True)
class View:
    """One path: the records of a collection it shows, in which envelope, to holders of any of the scopes.

    `singular` is the envelope of one record, below the path; without it there is no such path. `keep` chooses by fact,
    `within` by row, of what belongs to the parents in the path.
    """

    path: str
    collection: str
    scopes: str
    singular: str = ""
    service: Service = "roster"
    versions: tuple[Version, ...] = _BOTH
    keep: Callable[[Any], bool] = lambda fact: True
    within: Callable[[Shelves, Parents], Among] | None = None

    @property
    def name(self) -> str:
        return self.path.rpartition("/")[2]

    @property
    def parents(self) -> tuple[tuple[str, str], ...]:
        """The names in the path, and the collections they are of."""
        return tuple((name, _COLLECTION[name]) for name in re.findall(r"{(\w+)}", self.path))

    def root(self, version: Version) -> str:
        return ROOT if version == "1.1" else _ROOTS[self.service]


@dataclass(frozen=True)
class Post:
    """One path that takes records and gives them ids. What they must belong to stands in it."""

    path: str
    collection: str

    @property
    def parents(self) -> tuple[tuple[str, str], ...]:
        return tuple((name, _COLLECTION[name]) for name in re.findall(r"{(\w+)}", self.path))


def rerooted(row: Row, base: str, version: Version) -> Row:
    """The row with hrefs below the one root of 1.1, where that is what was asked."""
    if version == "1.1":
        _reroot(row, base)
    return row


def _reroot(value: Any, base: str) -> None:
    for part in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        _reroot(part, base)
    if isinstance(value, dict) and "href" in value:
        collection, _, sourced_id = value["href"].rpartition("/")
        value["href"] = f"{base}{ROOT}/{collection.rpartition('/')[2]}/{sourced_id}"


def _of(*names: str) -> Callable[[Shelves, Parents], Among]:
    """The records whose reference of each name is the parent of that name."""

    def among(shelves: Shelves, parents: Parents) -> Among:
        return lambda sourced_id, row: all(row.get(name, {}).get("sourcedId") == parents[name] for name in names)

    return among


def _one_of(find: Callable[[Shelves, Parents], set[str]]) -> Callable[[Shelves, Parents], Among]:
    """The records whose sourcedIds are found."""

    def among(shelves: Shelves, parents: Parents) -> Among:
        wanted = find(shelves, parents)
        return lambda sourced_id, row: sourced_id in wanted

    return among


def _enrolled(role: str) -> Callable[[Shelves, Parents], Among]:
    """Who is in the class with this role."""
    return _one_of(
        lambda shelves, parents: {
            row["user"]["sourcedId"]
            for row in shelves.rows("enrollments").values()
            if row["class"]["sourcedId"] == parents["class"] and row["role"] == role
        }
    )


def _at_school(role: str) -> Callable[[Shelves, Parents], Among]:
    """Who has this role at the school."""

    def among(shelves: Shelves, parents: Parents) -> Among:
        return lambda sourced_id, row: any(
            one["role"] == role and one["org"]["sourcedId"] == parents["school"] for one in row["roles"]
        )

    return among


def _attended(shelves: Shelves, user: str) -> set[str]:
    return {
        row["class"]["sourcedId"] for row in shelves.rows("enrollments").values() if row["user"]["sourcedId"] == user
    }


def _attended_by(name: str) -> Callable[[Shelves, Parents], Among]:
    return _one_of(lambda shelves, parents: _attended(shelves, parents[name]))


def _in_school(shelves: Shelves, school: str) -> list[Row]:
    return [row for row in shelves.rows("classes").values() if row["school"]["sourcedId"] == school]


def _in_term(shelves: Shelves, parents: Parents) -> Among:
    return lambda sourced_id, row: any(term["sourcedId"] == parents["term"] for term in row["terms"])


def _items_of(shelves: Shelves, parents: Parents) -> dict[str, Row]:
    return {
        sourced_id: row
        for sourced_id, row in shelves.rows("lineItems").items()
        if row["class"]["sourcedId"] == parents["class"]
    }


def _results_of_class(shelves: Shelves, parents: Parents) -> Among:
    items = _items_of(shelves, parents)
    narrower = [name for name in ("lineItem", "student") if name in parents]
    return lambda sourced_id, row: (
        row["lineItem"]["sourcedId"] in items and all(row[name]["sourcedId"] == parents[name] for name in narrower)
    )


def _scales_of_school(shelves: Shelves, parents: Parents) -> Among:
    classes = {
        sourced_id
        for sourced_id, row in shelves.rows("classes").items()
        if row["school"]["sourcedId"] == parents["school"]
    }
    return lambda sourced_id, row: row["class"]["sourcedId"] in classes


def _books_of_classes(shelves: Shelves, classes: set[str]) -> set[str]:
    rows = shelves.rows("classes")
    return {shelves.resource_of(rows[one]["course"]["sourcedId"]) for one in classes if one in rows}


def _is_term(term: Any) -> bool:
    return term.code in ("fall", "spring")


def _is_period(term: Any) -> bool:
    return term.code not in ("year", "fall", "spring")


def _is_student(user: Any) -> bool:
    return isinstance(user, Student)


def _is_teacher(user: Any) -> bool:
    return isinstance(user, Staff) and user.role == "teacher"


_CORE = "roster-core.readonly roster.readonly"
_FULL = "roster.readonly"
_GRADES_CORE = "gradebook-core.readonly gradebook.readonly"
_GRADES = "gradebook.readonly"
_ASSESSMENT = "assessment.readonly"
_RESOURCES_CORE = "resource-core.readonly resource.readonly"
_RESOURCES = "resource.readonly"


def _graded(path: str, collection: str, within: Any, versions: tuple[Version, ...] = _BOTH) -> View:
    return View(path, collection, _GRADES, service="gradebook", versions=versions, within=within)


# OneRoster 1.2 rostering, gradebook, resources, and 1.1: paths, envelopes and scopes
VIEWS = (
    View("orgs", "orgs", _CORE, "org"),
    View("schools", "orgs", _CORE, "org", keep=lambda org: org.level != "district"),
    View("academicSessions", "academicSessions", _CORE, "academicSession"),
    View("terms", "academicSessions", _CORE, "academicSession", keep=_is_term),
    View("gradingPeriods", "academicSessions", _CORE, "academicSession", keep=_is_period),
    View("courses", "courses", _CORE, "course"),
    View("classes", "classes", _CORE, "class"),
    View("users", "users", _CORE, "user"),
    View("students", "users", _CORE, "user", keep=_is_student),
    View("teachers", "users", _CORE, "user", keep=_is_teacher),
    View("enrollments", "enrollments", _CORE, "enrollment"),
    View("demographics", "demographics", "roster-demographics.readonly", "demographics"),
    View("classes/{class}/students", "users", _FULL, within=_enrolled("student")),
    View("classes/{class}/teachers", "users", _FULL, within=_enrolled("teacher")),
    View("courses/{course}/classes", "classes", _FULL, within=_of("course")),
    View("schools/{school}/classes", "classes", _FULL, within=_of("school")),
    View(
        "schools/{school}/courses",
        "courses",
        _FULL,
        within=_one_of(
            lambda shelves, parents: {row["course"]["sourcedId"] for row in _in_school(shelves, parents["school"])}
        ),
    ),
    View("schools/{school}/enrollments", "enrollments", _FULL, within=_of("school")),
    View("schools/{school}/students", "users", _FULL, keep=_is_student, within=_at_school("student")),
    View("schools/{school}/teachers", "users", _FULL, keep=_is_teacher, within=_at_school("teacher")),
    View(
        "schools/{school}/terms",
        "academicSessions",
        _FULL,
        keep=_is_term,
        within=_one_of(
            lambda shelves, parents: {
                term["sourcedId"] for row in _in_school(shelves, parents["school"]) for term in row["terms"]
            }
        ),
    ),
    View("schools/{school}/classes/{class}/enrollments", "enrollments", _FULL, within=_of("school", "class")),
    View("schools/{school}/classes/{class}/students", "users", _FULL, within=_enrolled("student")),
    View("schools/{school}/classes/{class}/teachers", "users", _FULL, within=_enrolled("teacher")),
    View("students/{student}/classes", "classes", _FULL, within=_attended_by("student")),
    View("teachers/{teacher}/classes", "classes", _FULL, within=_attended_by("teacher")),
    View("users/{user}/classes", "classes", _FULL, within=_attended_by("user")),
    View("terms/{term}/classes", "classes", _FULL, within=_in_term),
    View(
        "terms/{term}/gradingPeriods",
        "academicSessions",
        _FULL,
        keep=_is_period,
        within=lambda shelves, parents: (
            lambda sourced_id, row: row.get("parent", {}).get("sourcedId") == parents["term"]
        ),
    ),
    View("categories", "categories", _GRADES_CORE, "category", "gradebook"),
    View("lineItems", "lineItems", _GRADES_CORE, "lineItem", "gradebook"),
    View("results", "results", _GRADES_CORE, "result", "gradebook"),
    View("scoreScales", "scoreScales", _GRADES_CORE, "scoreScale", "gradebook", _NEW),
    View("assessmentLineItems", "assessmentLineItems", _ASSESSMENT, "assessmentLineItem", "assessment", _NEW),
    View("assessmentResults", "assessmentResults", _ASSESSMENT, "assessmentResult", "assessment", _NEW),
    _graded(
        "classes/{class}/categories",
        "categories",
        _one_of(
            lambda shelves, parents: {row["category"]["sourcedId"] for row in _items_of(shelves, parents).values()}
        ),
        _NEW,
    ),
    _graded("classes/{class}/lineItems", "lineItems", _of("class")),
    _graded("classes/{class}/lineItems/{lineItem}/results", "results", _results_of_class),
    _graded("classes/{class}/results", "results", _results_of_class),
    _graded("classes/{class}/scoreScales", "scoreScales", _of("class"), _NEW),
    _graded("classes/{class}/students/{student}/results", "results", _results_of_class),
    _graded("schools/{school}/scoreScales", "scoreScales", _scales_of_school, _NEW),
    View("resources", "resources", _RESOURCES_CORE, "resource", "resources"),
    View(
        "classes/{class}/resources",
        "resources",
        _RESOURCES,
        service="resources",
        within=_one_of(lambda shelves, parents: _books_of_classes(shelves, {parents["class"]})),
    ),
    View(
        "courses/{course}/resources",
        "resources",
        _RESOURCES,
        service="resources",
        within=_one_of(lambda shelves, parents: {shelves.resource_of(parents["course"])}),
    ),
    View(
        "users/{user}/resources",
        "resources",
        _RESOURCES,
        service="resources",
        versions=_NEW,
        within=_one_of(lambda shelves, parents: _books_of_classes(shelves, _attended(shelves, parents["user"]))),
    ),
)

POSTS = (
    Post("classes/{class}/lineItems", "lineItems"),
    Post("schools/{school}/lineItems", "lineItems"),
    Post("lineItems/{lineItem}/results", "results"),
    Post("classes/{class}/academicSessions/{academicSession}/results", "results"),
)
