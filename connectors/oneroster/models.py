"""What OneRoster records look like on the wire, and which of their fields are never kept.

One Struct serves REST and CSV, 1.1 and 1.2: a row is read by what it holds, not by the address it came from
(ClassLink serves users of the 1.2 shape under /v1p1). Types are as wide as what real servers send; what a value
means is decided in the mapping, which can name the field that is wrong. Fields nobody maps are not listed: they are
skipped here and stay in the stored payload.
"""

from collections.abc import Container
from dataclasses import replace
from typing import Annotated, Any

import msgspec

from gateway.connector import Resource

Text = str | None
Texts = list[str] | str | None
Flag = bool | int | str | None  # 1.2 has the texts "true" and "false", 1.1 servers send booleans
Number = int | float | str | None  # text from a CSV cell


class Link(msgspec.Struct, frozen=True, gc=False):
    """A reference to another record. Its type adds nothing to the collection it stands in; its href is read where
    servers leave out the sourcedId."""

    sourcedId: Text = None
    href: Text = None


# Texts where servers write the bare key, or "" for none; see mappings.oneroster.lenient.
Ref = Link | str | None
Links = list[Link | str] | Link | str | None


class Record(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What every record has. # OneRoster 1.2 Base"""

    sourcedId: Annotated[str, msgspec.Meta(min_length=1)]
    status: Text = None


class Org(Record, frozen=True, kw_only=True):
    name: Text = None
    type: Text = None
    identifier: Text = None
    parent: Ref = None


class AcademicSession(Record, frozen=True, kw_only=True):
    title: Text = None
    type: Text = None
    startDate: Text = None
    endDate: Text = None
    schoolYear: Number = None
    parent: Ref = None


class ResourceItem(Record, frozen=True, kw_only=True):
    """Something to teach or learn with, by the vendor's number. # OneRoster 1.1, 1.2 Resource"""

    vendorResourceId: Text = None
    title: Text = None
    roles: Texts = None
    role: Texts = None  # in some documents of 1.1
    importance: Text = None
    vendorId: Text = None
    applicationId: Text = None


class Course(Record, frozen=True, kw_only=True):
    title: Text = None
    courseCode: Text = None
    schoolYear: Ref = None
    org: Ref = None
    grades: Texts = None
    subjects: Texts = None
    subjectCodes: Texts = None
    resources: Links = None


class Class(Record, frozen=True, kw_only=True):
    title: Text = None
    classCode: Text = None
    classType: Text = None
    location: Text = None
    course: Ref = None
    school: Ref = None
    terms: Links = None
    grades: Texts = None
    subjects: Texts = None
    subjectCodes: Texts = None
    periods: Texts = None
    resources: Links = None


class UserId(msgspec.Struct, frozen=True, gc=False):
    type: Text = None
    identifier: Text = None


class Role(msgspec.Struct, frozen=True, gc=False):
    roleType: Text = None
    role: Text = None
    org: Ref = None
    beginDate: Text = None
    endDate: Text = None


class User(Record, frozen=True, kw_only=True):
    """A person: with `roles` (1.2 REST), with `role` and `orgs` (1.1), or with neither (1.2 CSV: see UserRole)."""

    enabledUser: Flag = None
    username: Text = None
    userMasterIdentifier: Text = None
    identifier: Text = None
    userIds: list[UserId] | str | None = None
    givenName: Text = None
    middleName: Text = None
    familyName: Text = None
    preferredFirstName: Text = None
    preferredMiddleName: Text = None
    preferredLastName: Text = None
    pronouns: Text = None
    email: Text = None
    sms: Text = None
    phone: Text = None
    grades: Texts = None
    agents: Links = None
    primaryOrg: Ref = None
    roles: list[Role] | None = None
    role: Text = None
    orgs: Links = None
    resources: Links = None


class UserRole(Record, frozen=True, kw_only=True):
    """One line of roles.csv: what a user is at one org. # OneRoster 1.2 CSV"""

    user: Ref = None
    roleType: Text = None
    role: Text = None
    org: Ref = None
    beginDate: Text = None
    endDate: Text = None


class Demographics(Record, frozen=True, kw_only=True):
    """Its sourcedId is that of the user."""

    birthDate: Text = None
    sex: Text = None
    americanIndianOrAlaskaNative: Flag = None
    asian: Flag = None
    blackOrAfricanAmerican: Flag = None
    nativeHawaiianOrOtherPacificIslander: Flag = None
    white: Flag = None
    demographicRaceTwoOrMoreRaces: Flag = None
    hispanicOrLatinoEthnicity: Flag = None


class Enrollment(Record, frozen=True, kw_only=True, rename={"class_": "class"}):
    user: Ref = None
    class_: Ref = None
    school: Ref = None
    role: Text = None
    primary: Flag = None
    beginDate: Text = None
    endDate: Text = None


class ClassResource(Record, frozen=True, kw_only=True, rename={"class_": "class"}):
    """One line of classResources.csv. # OneRoster 1.1, 1.2 CSV"""

    class_: Ref = None
    resource: Ref = None


class CourseResource(Record, frozen=True, kw_only=True):
    """One line of courseResources.csv. # OneRoster 1.1, 1.2 CSV"""

    course: Ref = None
    resource: Ref = None


class UserResource(Record, frozen=True, kw_only=True, rename={"class_": "class"}):
    """One line of userResources.csv. # OneRoster 1.2 CSV"""

    user: Ref = None
    org: Ref = None
    class_: Ref = None
    resource: Ref = None


class Category(Record, frozen=True, kw_only=True):
    title: Text = None
    weight: Number = None


class ScoreScaleValue(msgspec.Struct, frozen=True, gc=False):
    """What is written in a gradebook, and what it stands for."""

    itemValueLHS: Number = None
    itemValueRHS: Number = None


class ScoreScale(Record, frozen=True, kw_only=True, rename={"class_": "class"}):
    """Which values a score may have. # OneRoster 1.2; org in CSV alone"""

    title: Text = None
    type: Text = None
    org: Ref = None
    course: Ref = None
    class_: Ref = None
    scoreScaleValue: list[ScoreScaleValue] | str | None = None  # a text where a CSV cell has another form


class ObjectiveSet(msgspec.Struct, frozen=True, gc=False):
    """Learning objectives of one source: case, unknown, or a name of the vendor's own."""

    source: Text = None
    learningObjectiveIds: Texts = None


class ObjectiveResult(msgspec.Struct, frozen=True, gc=False):
    learningObjectiveId: Text = None
    score: Number = None
    textScore: Text = None


class ObjectiveResultSet(msgspec.Struct, frozen=True, gc=False):
    source: Text = None
    learningObjectiveResults: list[ObjectiveResult] | None = None


class LineItem(Record, frozen=True, kw_only=True, rename={"class_": "class"}):
    title: Text = None
    description: Text = None
    assignDate: Text = None
    dueDate: Text = None
    class_: Ref = None
    school: Ref = None
    category: Ref = None
    gradingPeriod: Ref = None
    academicSession: Ref = None
    scoreScale: Ref = None
    resultValueMin: Number = None
    resultValueMax: Number = None
    learningObjectiveSet: list[ObjectiveSet] | None = None


class Result(Record, frozen=True, kw_only=True, rename={"class_": "class"}):
    lineItem: Ref = None
    student: Ref = None
    class_: Ref = None
    scoreScale: Ref = None
    scoreStatus: Text = None
    score: Number = None
    textScore: Text = None
    scoreDate: Text = None
    comment: Text = None
    learningObjectiveSet: list[ObjectiveResultSet] | None = None
    inProgress: Flag = None
    incomplete: Flag = None
    late: Flag = None
    missing: Flag = None


class LineItemScoreScale(Record, frozen=True, kw_only=True):
    """One line of lineItemScoreScales.csv. # OneRoster 1.2 CSV"""

    lineItem: Ref = None
    scoreScale: Ref = None


class ResultScoreScale(Record, frozen=True, kw_only=True):
    """One line of resultScoreScales.csv. # OneRoster 1.2 CSV"""

    result: Ref = None
    scoreScale: Ref = None


class LineItemObjective(Record, frozen=True, kw_only=True):
    """One line of lineItemLearningObjectiveIds.csv. # OneRoster 1.2 CSV"""

    lineItem: Ref = None
    source: Text = None
    learningObjectiveId: Text = None


class ResultObjective(Record, frozen=True, kw_only=True):
    """One line of resultLearningObjectiveIds.csv. # OneRoster 1.2 CSV"""

    result: Ref = None
    source: Text = None
    learningObjectiveId: Text = None
    score: Number = None
    textScore: Text = None


class AssessmentMetadata(msgspec.Struct, frozen=True, gc=False):
    """The standard has no field for what an assessment is for; servers that know put it here."""

    purpose: Any = None


class AssessmentLineItem(Record, frozen=True, kw_only=True, rename={"class_": "class"}):
    title: Text = None
    description: Text = None
    class_: Ref = None
    parentAssessmentLineItem: Ref = None
    scoreScale: Ref = None
    resultValueMin: Number = None
    resultValueMax: Number = None
    learningObjectiveSet: list[ObjectiveSet] | None = None
    metadata: AssessmentMetadata | str | None = None


class AssessmentResult(Record, frozen=True, kw_only=True):
    assessmentLineItem: Ref = None
    student: Ref = None
    scoreScale: Ref = None
    scoreStatus: Text = None
    score: Number = None
    textScore: Text = None
    scorePercentile: Number = None
    scoreDate: Text = None
    comment: Text = None
    learningObjectiveSet: list[ObjectiveResultSet] | None = None
    inProgress: Flag = None
    incomplete: Flag = None
    late: Flag = None
    missing: Flag = None


def _resource(name: str, wire: type[Record], *drop: str, closed: tuple[str, ...] = ()) -> Resource:
    return Resource(
        name,
        wire,
        key=lambda record: record.sourcedId,
        drop=drop,
        closed=closed,
        ignore=("dateLastModified",),  # some servers write the time of their own refresh into it
        inactive=is_deleted,
        lenient=True,
    )


def is_deleted(record: Record) -> bool:
    """Whether the record is a tombstone."""
    return is_gone(record.status)


def is_gone(status: str | None) -> bool:
    """Whether a status says so. # OneRoster 1.2: tobedeleted; 1.0's inactive means the same"""
    return (status or "").strip().casefold() in ("tobedeleted", "inactive")


_SOCIAL_SECURITY = tuple(
    f"userIds[type={name}]"
    for name in ("ssn", "social security number", "socialsecuritynumber", "social_security_number")
)

# Metadata about a person may hold anything (a locker combination, a social security number), so none is kept but
# what a district reads by name.
_METADATA = ("metadata",)
RESOURCES = {
    resource.name: resource
    for resource in (
        _resource("orgs", Org),
        _resource("academicSessions", AcademicSession),
        _resource("resources", ResourceItem),
        _resource("courses", Course),
        _resource("courseResources", CourseResource),
        _resource("classes", Class),
        _resource("classResources", ClassResource),
        _resource(
            "users", User, "password", "userProfiles", "roles[].userProfile", *_SOCIAL_SECURITY, closed=_METADATA
        ),
        _resource("roles", UserRole, "userProfile", closed=_METADATA),
        _resource("userResources", UserResource, closed=_METADATA),
        _resource(
            "demographics",
            Demographics,
            "countryOfBirthCode",
            "stateOfBirthAbbreviation",
            "cityOfBirth",
            "publicSchoolResidenceStatus",
            closed=_METADATA,
        ),
        _resource("enrollments", Enrollment, closed=_METADATA),
        _resource("categories", Category),
        _resource("scoreScales", ScoreScale),
        _resource("lineItems", LineItem),
        _resource("lineItemScoreScales", LineItemScoreScale),
        _resource("lineItemLearningObjectiveIds", LineItemObjective),
        _resource("results", Result, closed=_METADATA),
        _resource("resultScoreScales", ResultScoreScale, closed=_METADATA),
        _resource("resultLearningObjectiveIds", ResultObjective, closed=_METADATA),
        _resource("assessmentLineItems", AssessmentLineItem),
        _resource("assessmentResults", AssessmentResult, closed=_METADATA),
    )
}
"""Every collection by name, parents before children."""

_LINKS = {
    "resources": ("courses.resources", "classes.resources", "users.resources"),
    "scoreScales": (
        "lineItems.scoreScale",
        "results.scoreScale",
        "assessmentLineItems.scoreScale",
        "assessmentResults.scoreScale",
    ),
}


def asked(names: Container[str]) -> list[Resource]:
    """The collections of these names. A reference to resources or scales that are not among them is dropped at the
    edge: it would wait for ever for what nobody asks for."""
    links = [link.split(".") for target, found in _LINKS.items() if target not in names for link in found]
    return [
        replace(resource, drop=(*resource.drop, *(field for name, field in links if name == resource.name)))
        for resource in RESOURCES.values()
        if resource.name in names
    ]
