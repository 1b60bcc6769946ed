"""Which operations OneRoster 1.2 and 1.1 have, the scopes each takes, and what each of them asks or writes."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace

from gateway.queries import Bond, Clause, Holds, Own, Parent, Via, View
from gateway.scopes import ONEROSTER, V1P1, V1P2
from gateway.served import WRITABLE


@dataclass(frozen=True)
class Operation:
    """One GET. `one`: it gives a single row, whose id the path has as sourcedId. `older`: it is one of 1.1."""

    service: str
    path: str
    id: str
    scopes: frozenset[str]
    view: View
    envelope: str
    one: bool = False
    parents: tuple[Parent, ...] = ()
    bonds: tuple[Bond, ...] = ()
    all_of: tuple[Bond, ...] = ()
    older: bool = False

    @property
    def parameters(self) -> list[str]:
        """The names in the path, in their order."""
        return re.findall(r"\{(\w+)\}", self.path)


SCHOOL, CLASS, COURSE, TERM = "schoolSourcedId", "classSourcedId", "courseSourcedId", "termSourcedId"
STUDENT, TEACHER, USER, LINE_ITEM = "studentSourcedId", "teacherSourcedId", "userSourcedId", "lineItemSourcedId"


def _views() -> Iterator[View]:
    whole = "academicSessions classes courses demographics enrollments orgs users categories lineItems results"
    for name in f"{whole} scoreScales assessmentLineItems assessmentResults resources".split():
        yield View(name, name)
    yield View("schools", "orgs", (Clause("type", "=", "school"),))
    yield View("terms", "academicSessions", (Clause("type", "=", "term"),))
    yield View("gradingPeriods", "academicSessions", (Clause("type", "=", "gradingPeriod"),))
    yield View("students", "users", (Clause("roles.role", "=", "student"),))
    yield View("teachers", "users", (Clause("roles.role", "=", "teacher"),))


VIEWS = {view.name: view for view in _views()}
PLURALS = {"categories": "category", "classes": "class", "demographics": "demographics"}
SERVICES = {
    "rostering": ("academicSessions", "classes", "courses", "demographics", "enrollments", "orgs", "users"),
    "gradebook": ("categories", "lineItems", "results", "scoreScales", "assessmentLineItems", "assessmentResults"),
    "resources": ("resources",),
}
FAMILY = {"rostering": "roster", "gradebook": "gradebook", "resources": "resource"}


def singular(collection: str) -> str:
    """What a single row's envelope is called, and a reference's type."""
    return PLURALS.get(collection, collection.removesuffix("s"))


def _whole() -> Iterator[Operation]:
    """Each view as a list, and one row of it by its id."""
    names = {"demographics": "Demographics"}
    for view in VIEWS.values():
        service = next(service for service, served in SERVICES.items() if view.collection in served)
        match view.name:
            case "demographics":
                scopes = _scopes("roster-demographics.readonly")
            case "assessmentLineItems" | "assessmentResults":
                scopes = _scopes("assessment.readonly")
            case _:
                scopes = _scopes(f"{FAMILY[service]}.readonly", f"{FAMILY[service]}-core.readonly")
        many, single = _capital(view.name), names.get(view.name, _capital(singular(view.name)))
        yield Operation(service, f"/{view.name}", f"getAll{many}", scopes, view, view.collection)
        path = f"/{view.name}/{{sourcedId}}"
        yield Operation(service, path, f"get{single}", scopes, view, singular(view.collection), one=True)


def _school(*below: Bond) -> Parent:
    return Parent(VIEWS["schools"], SCHOOL, below)


def _class(*below: Bond) -> Parent:
    return Parent(VIEWS["classes"], CLASS, below)


def _enrolled(role: str, **where: str) -> Via:
    return Via("enrollments", "user", where=where, being={"role": role})


def _taught(person: str, role: str = "") -> Via:
    return Via("enrollments", "class", where={"user": person}, being={"role": role} if role else {})


# A result need not name its class: its line item does.
_RESULTS = (Own("class", CLASS), Via("lineItems", "sourcedId", mine="lineItem", where={"class": CLASS}))
# A course is often the district's; which school has it is told by its classes.
_OFFERED = (Own("org", SCHOOL), Via("classes", "course", where={"school": SCHOOL}))

BELOW: dict[str, tuple[str, str, tuple[Parent, ...], tuple[Bond, ...], tuple[Bond, ...]]] = {
    "/classes/{classSourcedId}/students": (
        "getStudentsForClass", "users", (_class(),), (_enrolled("student", **{"class": CLASS}),), (),
    ),
    "/classes/{classSourcedId}/teachers": (
        "getTeachersForClass", "users", (_class(),), (_enrolled("teacher", **{"class": CLASS}),), (),
    ),
    "/courses/{courseSourcedId}/classes": (
        "getClassesForCourse", "classes", (Parent(VIEWS["courses"], COURSE),), (Own("course", COURSE),), (),
    ),
    "/schools/{schoolSourcedId}/classes": (
        "getClassesForSchool", "classes", (_school(),), (Own("school", SCHOOL),), (),
    ),
    "/schools/{schoolSourcedId}/courses": ("getCoursesForSchool", "courses", (_school(),), _OFFERED, ()),
    "/schools/{schoolSourcedId}/enrollments": (
        "getEnrollmentsForSchool", "enrollments", (_school(),), (Own("school", SCHOOL),), (),
    ),
    "/schools/{schoolSourcedId}/students": (
        "getStudentsForSchool", "students", (_school(),),
        (Holds("student", SCHOOL), _enrolled("student", school=SCHOOL)), (),
    ),
    "/schools/{schoolSourcedId}/teachers": (
        "getTeachersForSchool", "teachers", (_school(),),
        (Holds("teacher", SCHOOL), _enrolled("teacher", school=SCHOOL)), (),
    ),
    "/schools/{schoolSourcedId}/terms": (
        "getTermsForSchool", "terms", (_school(),), (Via("classes", "terms", where={"school": SCHOOL}),), (),
    ),
    "/schools/{schoolSourcedId}/classes/{classSourcedId}/enrollments": (
        "getEnrollmentsForClassInSchool", "enrollments",
        (_school(), _class(Own("school", SCHOOL))), (Own("class", CLASS),), (),
    ),
    "/schools/{schoolSourcedId}/classes/{classSourcedId}/students": (
        "getStudentsForClassInSchool", "users",
        (_school(), _class(Own("school", SCHOOL))), (_enrolled("student", **{"class": CLASS}),), (),
    ),
    "/schools/{schoolSourcedId}/classes/{classSourcedId}/teachers": (
        "getTeachersForClassInSchool", "users",
        (_school(), _class(Own("school", SCHOOL))), (_enrolled("teacher", **{"class": CLASS}),), (),
    ),
    "/students/{studentSourcedId}/classes": (
        "getClassesForStudent", "classes",
        (Parent(VIEWS["students"], STUDENT),), (_taught(STUDENT, "student"),), (),
    ),
    "/teachers/{teacherSourcedId}/classes": (
        "getClassesForTeacher", "classes",
        (Parent(VIEWS["teachers"], TEACHER),), (_taught(TEACHER, "teacher"),), (),
    ),
    "/users/{userSourcedId}/classes": (
        "getClassesForUser", "classes", (Parent(VIEWS["users"], USER),), (_taught(USER),), (),
    ),
    "/terms/{termSourcedId}/classes": (
        "getClassesForTerm", "classes", (Parent(VIEWS["terms"], TERM),), (Own("terms", TERM),), (),
    ),
    "/terms/{termSourcedId}/gradingPeriods": (
        "getGradingPeriodsForTerm", "gradingPeriods", (Parent(VIEWS["terms"], TERM),), (Own("parent", TERM),), (),
    ),
    "/classes/{classSourcedId}/categories": (
        "getCategoriesForClass", "categories", (_class(),),
        (Via("lineItems", "category", where={"class": CLASS}),), (),
    ),
    "/classes/{classSourcedId}/lineItems": (
        "getLineItemsForClass", "lineItems", (_class(),), (Own("class", CLASS),), (),
    ),
    "/classes/{classSourcedId}/results": ("getResultsForClass", "results", (_class(),), _RESULTS, ()),
    "/classes/{classSourcedId}/lineItems/{lineItemSourcedId}/results": (
        "getResultsForLineItemForClass", "results",
        (_class(), Parent(VIEWS["lineItems"], LINE_ITEM, (Own("class", CLASS),))), (Own("lineItem", LINE_ITEM),), (),
    ),
    "/classes/{classSourcedId}/students/{studentSourcedId}/results": (
        "getResultsForStudentForClass", "results",
        (_class(), Parent(VIEWS["students"], STUDENT)), _RESULTS, (Own("student", STUDENT),),
    ),
    "/classes/{classSourcedId}/scoreScales": (
        "getScoreScalesForClass", "scoreScales", (_class(),), (Own("class", CLASS),), (),
    ),
    "/schools/{schoolSourcedId}/scoreScales": (
        "getScoreScalesForSchool", "scoreScales", (_school(),),
        (Via("classes", "sourcedId", mine="class", where={"school": SCHOOL}),), (),
    ),
    "/classes/{classSourcedId}/resources": (
        "getResourcesForClass", "resources", (_class(),),
        (Via("classes", "resources", where={"sourcedId": CLASS}),), (),
    ),
    "/courses/{courseSourcedId}/resources": (
        "getResourcesForCourse", "resources", (Parent(VIEWS["courses"], COURSE),),
        (Via("courses", "resources", where={"sourcedId": COURSE}),), (),
    ),
    "/users/{userSourcedId}/resources": (
        "getResourcesForUser", "resources", (Parent(VIEWS["users"], USER),),
        (Via("users", "resources", where={"sourcedId": USER}),), (),
    ),
}  # fmt: skip
"""Lists below a parent: the operation, the view listed, the parents, and what ties a row to them."""


def _below() -> Iterator[Operation]:
    for path, (id, name, parents, bonds, all_of) in BELOW.items():
        view = VIEWS[name]
        service = next(service for service, served in SERVICES.items() if view.collection in served)
        scopes = _scopes(f"{FAMILY[service]}.readonly")
        yield Operation(service, path, id, scopes, view, view.collection, parents=parents, bonds=bonds, all_of=all_of)


def _scopes(*names: str) -> frozenset[str]:
    return frozenset(f"{V1P2}{name}" for name in names)


def _capital(name: str) -> str:
    return name[0].upper() + name[1:]


OPERATIONS = (*_whole(), *_below())


@dataclass(frozen=True)
class Writing:
    """One PUT, DELETE or POST of a collection of the gradebook service."""

    method: str
    path: str
    id: str
    scopes: frozenset[str]
    collection: str

    @property
    def parameters(self) -> list[str]:
        return re.findall(r"\{(\w+)\}", self.path)


def _writings() -> Iterator[Writing]:
    for name in WRITABLE:
        family = "assessment" if name.startswith("assessment") else "gradebook"
        for method, act in (("PUT", "createput"), ("DELETE", "delete")):
            id = f"{method.lower()}{_capital(singular(name))}"
            yield Writing(method, f"/{name}/{{sourcedId}}", id, _scopes(f"{family}.{act}"), name)
    for path, (id, name) in POSTS.items():
        yield Writing("POST", path, id, _scopes("gradebook.createpost"), name)


SESSION = "academicSessionSourcedId"
MOST_POSTED = 1_000
"""Records of one POST."""
POSTS = {
    f"/classes/{{{CLASS}}}/lineItems": ("postLineItemsForClass", "lineItems"),
    f"/schools/{{{SCHOOL}}}/lineItems": ("postLineItemsForSchool", "lineItems"),
    f"/lineItems/{{{LINE_ITEM}}}/results": ("postResultsForLineItem", "results"),
    f"/classes/{{{CLASS}}}/academicSessions/{{{SESSION}}}/results": (
        "postResultsForAcademicSessionForClass",
        "results",
    ),
}
WRITINGS = tuple(_writings())
"""Every operation that writes, all of them of the gradebook service."""


def _older() -> Iterator[Operation]:
    """Those of 1.1, which knows no score scales and no resources of a user, and has one scope where 1.2 has two for
    gradebook and resources. # OneRoster 1.1: the categories of a class are not in its list, but are asked for"""
    for one in OPERATIONS:
        scopes = frozenset(scope.replace(V1P2, V1P1) for scope in one.scopes) & ONEROSTER.keys()
        if scopes and one.view.collection != "scoreScales" and one.path != "/users/{userSourcedId}/resources":
            yield replace(one, id=one.id.replace("getAll", "get"), scopes=scopes, older=True)


def _older_writings() -> Iterator[Writing]:
    """1.1 has no POST, and writes what it has and what it reads."""
    for one in WRITINGS:
        scopes = frozenset(scope.replace(V1P2, V1P1) for scope in one.scopes) & ONEROSTER.keys()
        if one.method != "POST" and scopes and one.collection != "scoreScales":
            yield replace(one, scopes=scopes)


OLDER_OPERATIONS = tuple(_older())
OLDER_WRITINGS = tuple(_older_writings())
