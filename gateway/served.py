"""What the OneRoster provider serves: each collection with its fields, and the columns by which it is asked for."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, Literal, get_args
from urllib.parse import quote

Type = Literal["text", "number", "date", "datetime", "boolean", "list", "ref", "refs", "object"]
Service = Literal["rostering", "gradebook", "resources"]

MARK = '"href":"@/'
"""How the address of a reference begins in a stored document. No text of a source can hold it: inside a JSON text its
quotes are escaped. What follows is `rostering/v1p2/orgs/ID`: whoever serves puts the root of OneRoster here in its
place, in the document as it is stored."""

SQL = {
    "text": 'text COLLATE "C"',
    "number": "double precision",
    "date": "date",
    "datetime": "timestamptz",
    "boolean": "boolean",
    "list": 'text[] COLLATE "C"',
    "ref": 'text COLLATE "C"',
    "refs": 'text[] COLLATE "C"',
}
"""What a column of each type is. Texts, also those of a list, are in lower case; ids are as they are."""


EVERYBODYS = frozenset({"academicSessions", "categories", "resources"})
"""Collections of which a program has all, if its agreement names them."""


@dataclass(frozen=True)
class Column:
    """A typed column, and what of a record stands in it: `path` leads there, through lists too."""

    name: str
    path: str
    type: Type


@dataclass(frozen=True)
class Field:
    """A field of the standard. `columns`: by what of it may be filtered, its own first; none of an object whose parts
    are not asked for. `collection`: where a reference leads."""

    name: str
    type: Type
    required: bool
    columns: tuple[Column, ...]
    collection: str = ""


@dataclass(frozen=True)
class Collection:
    """One collection. `kind` is that of the common schema whose entities are in it; every record also has sourcedId,
    status and dateLastModified, which are the columns sourced_id, gone and at."""

    name: str
    singular: str
    service: Service
    kind: str
    fields: Mapping[str, Field]

    @property
    def table(self) -> str:
        return f"served_{_snake(self.name)}"

    @property
    def columns(self) -> tuple[Column, ...]:
        return tuple(column for field in self.fields.values() for column in field.columns)

    @property
    def loose(self) -> Iterator[tuple[Column, bool, str]]:
        """Where a record may name others that its reader is not to know of: the column, whether it holds several, and
        their collection. A record names what it cannot be without to everybody who has it."""
        for field in self.fields.values():
            if field.collection and field.collection not in EVERYBODYS and not field.required:
                yield field.columns[0], field.type == "refs", field.collection
        yield from ((column, True, "orgs") for column in self.columns if column.path == "roles.org.sourcedId")

    def column(self, path: str) -> Column | None:
        """The column of what a filter names: a field, or a part of one, such as `roles.role` or `class.sourcedId`."""
        wanted = path.removesuffix(".sourcedId")
        return next((column for column in self.columns if wanted == column.path.removesuffix(".sourcedId")), None)


@dataclass(frozen=True)
class View:
    """A path of the standard that serves a part of a collection: rows whose `column` says `word`."""

    collection: str
    column: str
    word: str


def values(collection: Collection, record: Mapping[str, Any]) -> dict[str, Any]:
    """What stands in each column for a record of the wire shape of 1.2."""
    found = {column.name: _value(column, record) for column in collection.columns}
    if collection.name == "users":
        found["roles_at"] = [f"{role['role'].lower()}@{role['org']['sourcedId']}" for role in record.get("roles", ())]
    return found


def _value(column: Column, record: Mapping[str, Any]) -> Any:
    stated = list(_walk(record, column.path.split(".")))
    if column.type == "list":
        return list(dict.fromkeys(str(one).lower() for one in stated)) or None
    if column.type == "refs":
        return list(dict.fromkeys(stated)) or None
    if not stated:
        return None
    [one] = stated
    if column.type == "boolean":
        return one == "true"
    return one.lower() if column.type == "text" else one


def _walk(record: Any, path: list[str]) -> Iterator[Any]:
    if isinstance(record, list):
        for one in record:
            yield from _walk(one, path)
    elif not path:
        yield record
    elif path[0] in record:
        yield from _walk(record[path[0]], path[1:])


@lru_cache(maxsize=1_000)
def instant(at: datetime) -> str:
    """A time as the standard writes it: dateLastModified is cut to the millisecond, never rounded up."""
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def href(collection: str, id: str) -> str:
    """The address of a record, behind MARK's sign."""
    return f"@/{COLLECTIONS[collection].service}/v1p2/{collection}/{quote(id, safe='')}"


def _snake(name: str) -> str:
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in name)


# Words that PostgreSQL keeps for itself.
_RESERVED = {"primary": "is_primary"}


_TYPES: Mapping[str, Type] = {type: type for type in get_args(Type)}


def _collection(name: str, singular: str, service: Service, kind: str, fields: str, parts: str = "") -> Collection:
    """`fields`: `name:type`, of a reference `name>collection`, of several `name>>collection`; a star: the standard
    demands it. `parts`: what of an object may be asked for, `path:type`; a path to ids is one to a reference."""
    apart: dict[str, list[Column]] = {}
    for said in parts.split():
        path, _, type = said.partition(":")
        column = _snake(path.removesuffix(".sourcedId").replace(".", "_"))
        ending = "_ids" if type == "refs" else ""
        apart.setdefault(path.partition(".")[0], []).append(Column(column + ending, path, _TYPES[type]))
    found: dict[str, Field] = {}
    for said in fields.split():
        required = said.endswith("*")
        field, _, what = (said.removesuffix("*").replace(">>", ">*").replace(">", ">:")).partition(":")
        target = what.removeprefix("*") if field.endswith(">") else ""
        field = field.removesuffix(">")
        own: tuple[Column, ...]
        if target and what.startswith("*"):
            own = (Column(f"{_snake(field)}_ids", f"{field}.sourcedId", "refs"),)
        elif target:
            own = (Column(f"{_snake(field)}_id", f"{field}.sourcedId", "ref"),)
        elif what == "object":
            own = tuple(apart.get(field, ()))
        else:
            own = (Column(_RESERVED.get(field, _snake(field)), field, _TYPES[what]),)
        type_: Type = own[0].type if target else _TYPES[what]
        found[field] = Field(field, type_, required, own, target)
    return Collection(name, singular, service, kind, found)


_OBJECTIVES = "learningObjectiveSet.source:list learningObjectiveSet.learningObjectiveIds:list"
_SCORED = (
    "learningObjectiveSet.source:list learningObjectiveSet.learningObjectiveResults.learningObjectiveId:list"
    " learningObjectiveSet.learningObjectiveResults.textScore:list"
)
_FLAGS = "inProgress:boolean incomplete:boolean late:boolean missing:boolean"

# OneRoster 1.2 rostering, gradebook and resources services
COLLECTIONS: Mapping[str, Collection] = {
    one.name: one
    for one in (
        _collection(
            "orgs",
            "org",
            "rostering",
            "organization",
            "metadata:object name:text* type:text* identifier:text* parent>orgs children>>orgs",
        ),
        _collection(
            "academicSessions",
            "academicSession",
            "rostering",
            "session",
            "metadata:object title:text* startDate:date* endDate:date* type:text* parent>academicSessions"
            " children>>academicSessions schoolYear:text*",
        ),
        _collection(
            "resources",
            "resource",
            "resources",
            "resource",
            "metadata:object title:text roles:list importance:text vendorResourceId:text* vendorId:text"
            " applicationId:text",
        ),
        _collection(
            "courses",
            "course",
            "rostering",
            "course",
            "metadata:object title:text* schoolYear>academicSessions courseCode:text* grades:list subjects:list"
            " org>orgs subjectCodes:list resources>>resources",
        ),
        _collection(
            "classes",
            "class",
            "rostering",
            "class",
            "metadata:object title:text* classCode:text classType:text location:text grades:list subjects:list"
            " course>courses* school>orgs* terms>>academicSessions* subjectCodes:list periods:list"
            " resources>>resources",
        ),
        _collection(
            "users",
            "user",
            "rostering",
            "person",
            "metadata:object userMasterIdentifier:text username:text userIds:object enabledUser:boolean*"
            " givenName:text* familyName:text* middleName:text preferredFirstName:text preferredMiddleName:text"
            " preferredLastName:text pronouns:text roles:object* userProfiles:object primaryOrg>orgs identifier:text"
            " email:text sms:text phone:text agents>>users grades:list password:text resources>>resources",
            "userIds.type:list userIds.identifier:list roles.role:list roles.roleType:list roles.org.sourcedId:refs",
        ),
        _collection(
            "demographics",
            "demographics",
            "rostering",
            "person",
            "metadata:object birthDate:date sex:text americanIndianOrAlaskaNative:boolean asian:boolean"
            " blackOrAfricanAmerican:boolean nativeHawaiianOrOtherPacificIslander:boolean white:boolean"
            " demographicRaceTwoOrMoreRaces:boolean hispanicOrLatinoEthnicity:boolean countryOfBirthCode:text"
            " stateOfBirthAbbreviation:text cityOfBirth:text publicSchoolResidenceStatus:text",
        ),
        _collection(
            "enrollments",
            "enrollment",
            "rostering",
            "enrollment",
            "metadata:object user>users* class>classes* school>orgs* role:text* primary:boolean beginDate:date"
            " endDate:date",
        ),
        _collection("categories", "category", "gradebook", "category", "metadata:object title:text* weight:number"),
        _collection(
            "scoreScales",
            "scoreScale",
            "gradebook",
            "score_scale",
            "metadata:object title:text* type:text* course>courses class>classes* scoreScaleValue:object*",
            "scoreScaleValue.itemValueLHS:list scoreScaleValue.itemValueRHS:list",
        ),
        _collection(
            "lineItems",
            "lineItem",
            "gradebook",
            "line_item",
            "metadata:object title:text* description:text assignDate:datetime* dueDate:datetime* class>classes*"
            " school>orgs* category>categories* gradingPeriod>academicSessions academicSession>academicSessions"
            " scoreScale>scoreScales resultValueMin:number resultValueMax:number learningObjectiveSet:object",
            _OBJECTIVES,
        ),
        _collection(
            "results",
            "result",
            "gradebook",
            "result",
            "metadata:object lineItem>lineItems* student>users* class>classes scoreScale>scoreScales"
            " scoreStatus:text* score:number textScore:text scoreDate:date* comment:text"
            f" learningObjectiveSet:object {_FLAGS}",
            _SCORED,
        ),
        _collection(
            "assessmentLineItems",
            "assessmentLineItem",
            "gradebook",
            "assessment",
            "metadata:object title:text* description:text class>classes parentAssessmentLineItem>assessmentLineItems"
            " scoreScale>scoreScales resultValueMin:number resultValueMax:number learningObjectiveSet:object",
            f"metadata.purpose:text {_OBJECTIVES}",
        ),
        _collection(
            "assessmentResults",
            "assessmentResult",
            "gradebook",
            "assessment_result",
            "metadata:object assessmentLineItem>assessmentLineItems* student>users* score:number textScore:text"
            " scoreDate:date* scoreScale>scoreScales scorePercentile:number scoreStatus:text* comment:text"
            f" learningObjectiveSet:object {_FLAGS}",
            _SCORED,
        ),
    )
}
"""Every collection, those that others refer to first."""

OF_KIND: Mapping[str, tuple[Collection, ...]] = {
    kind: tuple(one for one in COLLECTIONS.values() if one.kind == kind)
    for kind in dict.fromkeys(one.kind for one in COLLECTIONS.values())
}

WRITABLE = ("categories", "scoreScales", "lineItems", "results", "assessmentLineItems", "assessmentResults")
"""What a program may write, those that others refer to first. # OneRoster 1.2 gradebook service"""

VIEWS: Mapping[str, View] = {
    "schools": View("orgs", "type", "school"),
    "terms": View("academicSessions", "type", "term"),
    "gradingPeriods": View("academicSessions", "type", "gradingperiod"),
    "students": View("users", "roles_role", "student"),
    "teachers": View("users", "roles_role", "teacher"),
}
"""Paths of the standard that serve a part of a collection, under the collection's own name in the answer."""
