"""Which properties the records of OneRoster 1.2 and 1.1 have, and of which kind each is."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

Version = Literal["1.1", "1.2"]
Kind = Literal["text", "number", "date", "moment", "truth", "texts", "ref", "refs", "objects", "object"]


@dataclass(frozen=True)
class Property:
    """One property: `refs` are a list of references, `texts` one of words, `objects` one of anything else."""

    name: str
    kind: Kind
    required: bool


Model = Mapping[str, Property]


def _model(spelt: str) -> Model:
    """A model out of `name`, `name!` for a required one, `name:kind` for what is no text."""
    return {
        one.name: one for one in _properties(f"sourcedId! status! dateLastModified!:moment metadata:object {spelt}")
    }


def _properties(spelt: str) -> Iterator[Property]:
    for word in spelt.split():
        name, _, kind = word.partition(":")
        yield Property(name.rstrip("!"), kind or "text", name.endswith("!"))  # type: ignore[arg-type]


_RACES = (
    "americanIndianOrAlaskaNative:truth asian:truth blackOrAfricanAmerican:truth"
    " nativeHawaiianOrOtherPacificIslander:truth white:truth demographicRaceTwoOrMoreRaces:truth"
    " hispanicOrLatinoEthnicity:truth countryOfBirthCode stateOfBirthAbbreviation cityOfBirth"
    " publicSchoolResidenceStatus"
)
_FLAGS = "inProgress:truth incomplete:truth late:truth missing:truth"

_IN_BOTH = {
    "orgs": _model("name! type! identifier! parent:ref children:refs"),
    "academicSessions": _model("title! startDate!:date endDate!:date type! parent:ref children:refs schoolYear!"),
    "courses": _model(
        "title! schoolYear:ref courseCode! grades:texts subjects:texts org:ref subjectCodes:texts resources:refs"
    ),
    "enrollments": _model("user!:ref class!:ref school!:ref role! primary:truth beginDate:date endDate:date"),
    "demographics": _model(f"birthDate:date sex {_RACES}"),
}

# OneRoster 1.2 rostering, gradebook, resources; 1.1: the one document it has
MODELS: Mapping[Version, Mapping[str, Model]] = {
    "1.2": {
        **_IN_BOTH,
        "classes": _model(
            "title! classCode classType location grades:texts subjects:texts course!:ref school!:ref terms!:refs"
            " subjectCodes:texts periods:texts resources:refs"
        ),
        "users": _model(
            "userMasterIdentifier username userIds:objects enabledUser!:truth givenName! familyName! middleName"
            " preferredFirstName preferredMiddleName preferredLastName pronouns roles!:objects userProfiles:objects"
            " primaryOrg:ref identifier email sms phone agents:refs grades:texts password resources:refs"
        ),
        "categories": _model("title! weight:number"),
        "lineItems": _model(
            "title! description assignDate!:moment dueDate!:moment class!:ref school!:ref category!:ref"
            " gradingPeriod:ref academicSession:ref scoreScale:ref resultValueMin:number resultValueMax:number"
            " learningObjectiveSet:objects"
        ),
        "results": _model(
            "lineItem!:ref student!:ref class:ref scoreScale:ref scoreStatus! score:number textScore scoreDate!:date"
            f" comment learningObjectiveSet:objects {_FLAGS}"
        ),
        "scoreScales": _model("title! type! course:ref class!:ref scoreScaleValue!:objects"),
        "assessmentLineItems": _model(
            "title! description class:ref parentAssessmentLineItem:ref scoreScale:ref resultValueMin:number"
            " resultValueMax:number learningObjectiveSet:objects"
        ),
        "assessmentResults": _model(
            "assessmentLineItem!:ref student!:ref score:number textScore scoreDate!:date scoreScale:ref"
            f" scorePercentile:number scoreStatus! comment learningObjectiveSet:objects {_FLAGS}"
        ),
        "resources": _model("title roles:texts importance vendorResourceId! vendorId applicationId"),
    },
    "1.1": {
        **_IN_BOTH,
        "classes": _model(
            "title! classCode classType location grades:texts subjects:texts course:ref school!:ref terms:refs"
            " subjectCodes:texts periods resources:refs"
        ),
        "users": _model(
            "username! userIds:objects enabledUser:truth givenName! familyName! middleName role! identifier email sms"
            " phone agents:refs orgs!:refs grades:texts password"
        ),
        "categories": _model("title!"),
        "lineItems": _model(
            "title! description assignDate!:moment dueDate:moment class!:ref category!:ref gradingPeriod:ref"
            " resultValueMin!:number resultValueMax:number"
        ),
        "results": _model("lineItem!:ref student!:ref scoreStatus! score!:number scoreDate!:date comment"),
        "resources": _model("title role importance vendorResourceId! vendorId applicationId"),
    },
}

REFERRED = {
    "parent": "orgs",
    "school": "orgs",
    "org": "orgs",
    "primaryOrg": "orgs",
    "class": "classes",
    "course": "courses",
    "user": "users",
    "student": "users",
    "category": "categories",
    "gradingPeriod": "academicSessions",
    "academicSession": "academicSessions",
    "scoreScale": "scoreScales",
    "lineItem": "lineItems",
    "assessmentLineItem": "assessmentLineItems",
    "parentAssessmentLineItem": "assessmentLineItems",
}
"""Where a reference of this name leads, in the records that can be written."""


def fields(collection: str, shapes: tuple[Version, ...]) -> frozenset[str]:
    """What may be selected and filtered on where rows have one of these shapes."""
    return frozenset(name for shape in shapes for name in MODELS[shape].get(collection, ()))
