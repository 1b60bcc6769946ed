"""What can be written to this server: the properties of each writable resource, by standard."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal

Fields = dict[str, "Field"]
Kind = Literal["text", "day", "time", "whole", "flag", "descriptor", "reference", "many", "one"]


@dataclass(frozen=True)
class Field:
    """One property.

    `of` names the descriptor, or the item a reference points to; `key` marks text of a natural key; `limit`
    is the most characters a text may have.
    """

    kind: Kind
    required: bool = False
    key: bool = False
    limit: int = 0
    of: str = ""
    fields: Fields = field(default_factory=dict)


@dataclass(frozen=True)
class Shape:
    """One writable resource. `rel` is the name of one item; `key` lists its natural key as paths.

    `open`: a record of the SIS, of which only some properties are judged here and all others are kept as they come.
    """

    rel: str
    key: tuple[str, ...]
    fields: Fields
    open: bool = False


def writable(standard: str) -> dict[str, Shape]:
    """Every writable resource but the descriptors and the SIS's own, parents before children.

    # Ed-Fi: OpenAPI 3.3 to 6.0
    """
    five, longest = standard >= "5", 120 if standard >= "6" else 60
    intervention = _INTERVENTION | {
        "interventionIdentificationCode": text(longest, required=True, key=True),
        "interventionPrescriptions": many({"interventionPrescriptionReference": _prescription(longest)}),
    }
    if standard < "4":
        del intervention["namespace"]
    return {
        "programs": Shape(
            "Program",
            (_OWNER, "programName", "programTypeDescriptor"),
            _PROGRAM if five else _PROGRAM | _PROGRAM_BEFORE_5,
        ),
        "studentProgramAssociations": Shape(
            "StudentProgramAssociation",
            (
                "beginDate",
                _OWNER,
                "programReference.educationOrganizationId",
                "programReference.programName",
                "programReference.programTypeDescriptor",
                "studentReference.studentUniqueId",
            ),
            _PARTICIPATION if five else _PARTICIPATION | _PARTICIPATION_BEFORE_5,
        ),
        "interventions": Shape("Intervention", (_OWNER, "interventionIdentificationCode"), intervention),
        "studentInterventionAssociations": Shape(
            "StudentInterventionAssociation",
            (
                "interventionReference.educationOrganizationId",
                "interventionReference.interventionIdentificationCode",
                "studentReference.studentUniqueId",
            ),
            _STUDENT_INTERVENTION
            | {
                "interventionReference": pointer(
                    "Intervention",
                    [_OWNER_ID, ("interventionIdentificationCode", text(longest, required=True, key=True))],
                ),
                "cohortReference": _cohort(36 if five else 20),
            },
        ),
        "cohorts": Shape("Cohort", ("cohortIdentifier", _OWNER), _team(36 if five else 20)),
        "studentCohortAssociations": Shape(
            "StudentCohortAssociation",
            ("beginDate", *_COHORT_KEY, "studentReference.studentUniqueId"),
            _member("studentReference", _STUDENT, 36 if five else 20),
        ),
        "staffCohortAssociations": Shape(
            "StaffCohortAssociation",
            ("beginDate", *_COHORT_KEY, "staffReference.staffUniqueId"),
            _member("staffReference", _STAFF, 36 if five else 20) | {"studentRecordAccess": _FLAG},
        ),
    }


DESCRIPTOR: Fields = {
    "codeValue": Field("text", required=True, key=True, limit=50),
    "namespace": Field("text", required=True, key=True, limit=255),
    "shortDescription": Field("text", required=True, limit=75),
    "description": Field("text", limit=1024),
    "effectiveBeginDate": Field("day"),
    "effectiveEndDate": Field("day"),
}

_OWNER = "educationOrganizationReference.educationOrganizationId"
_COHORT_KEY = ("cohortReference.cohortIdentifier", "cohortReference.educationOrganizationId")


def text(limit: int, *, required: bool = False, key: bool = False) -> Field:
    return Field("text", required=required, key=key, limit=limit)


def coded(name: str, *, required: bool = False) -> Field:
    return Field("descriptor", required=required, limit=306, of=f"{name}Descriptor")


def to(rel: str, key: Iterable[tuple[str, Field]], *, required: bool = False) -> Field:
    return Field("reference", required=required, of=rel, fields=dict(key))


def pointer(rel: str, key: Iterable[tuple[str, Field]]) -> Field:
    """A required reference."""
    return to(rel, key, required=True)


def _prescription(longest: int) -> Field:
    key = [_OWNER_ID, ("interventionPrescriptionIdentificationCode", text(longest, required=True, key=True))]
    return pointer("InterventionPrescription", key)


def many(fields: Fields) -> Field:
    return Field("many", fields=fields)


def _cohort(limit: int) -> Field:
    return to("Cohort", [("cohortIdentifier", text(limit, required=True, key=True)), _OWNER_ID])


def _team(limit: int) -> Fields:
    return {
        "cohortIdentifier": text(limit, required=True, key=True),
        "educationOrganizationReference": _ORGANIZATION,
        "cohortTypeDescriptor": coded("CohortType", required=True),
        "cohortDescription": text(1024),
    }


def _member(name: str, who: Field, limit: int) -> Fields:
    cohort = Field("reference", required=True, of="Cohort", fields=_cohort(limit).fields)
    return {"beginDate": must("day"), "cohortReference": cohort, name: who, "endDate": _DAY}


def must(kind: Kind) -> Field:
    return Field(kind, required=True)


_DAY, _WHOLE, _FLAG = Field("day"), Field("whole"), Field("flag")
_OWNER_ID = ("educationOrganizationId", must("whole"))
_ORGANIZATION = to("EducationOrganization", [_OWNER_ID], required=True)
_STUDENT = to("Student", [("studentUniqueId", text(32, required=True, key=True))], required=True)
_STAFF = to("Staff", [("staffUniqueId", text(32, required=True, key=True))], required=True)
_PROGRAM_KEY = (
    _OWNER_ID,
    ("programName", text(60, required=True, key=True)),
    ("programTypeDescriptor", coded("ProgramType", required=True)),
)
_CONTENT = to("EducationContent", [("contentIdentifier", text(225, required=True, key=True))], required=True)

_PROGRAM: Fields = {
    "educationOrganizationReference": _ORGANIZATION,
    "programName": text(60, required=True, key=True),
    "programTypeDescriptor": coded("ProgramType", required=True),
    "programId": text(20),
    "characteristics": many({"programCharacteristicDescriptor": coded("ProgramCharacteristic", required=True)}),
    "sponsors": many({"programSponsorDescriptor": coded("ProgramSponsor", required=True)}),
}
_PROGRAM_BEFORE_5: Fields = {"services": many({"serviceDescriptor": coded("Service", required=True)})}

_STATUS: Fields = {
    "participationStatusDescriptor": coded("ParticipationStatus", required=True),
    "statusBeginDate": must("day"),
    "statusEndDate": _DAY,
    "designatedBy": text(60),
}
_PARTICIPATION: Fields = {
    "beginDate": must("day"),
    "educationOrganizationReference": _ORGANIZATION,
    "programReference": to("Program", _PROGRAM_KEY, required=True),
    "studentReference": _STUDENT,
    "endDate": _DAY,
    "reasonExitedDescriptor": coded("ReasonExited"),
    "servedOutsideOfRegularSession": _FLAG,
    "programParticipationStatuses": many(_STATUS),
    "services": many(
        {
            "serviceDescriptor": coded("Service", required=True),
            "primaryIndicator": _FLAG,
            "serviceBeginDate": _DAY,
            "serviceEndDate": _DAY,
        }
    ),
}
_PARTICIPATION_BEFORE_5: Fields = {"participationStatus": Field("one", fields=_STATUS | {"statusBeginDate": _DAY})}

_INTERVENTION: Fields = {
    "educationOrganizationReference": _ORGANIZATION,
    "beginDate": must("day"),
    "endDate": _DAY,
    "deliveryMethodDescriptor": coded("DeliveryMethod", required=True),
    "interventionClassDescriptor": coded("InterventionClass", required=True),
    "minDosage": _WHOLE,
    "maxDosage": _WHOLE,
    "namespace": text(255),
    "appropriateGradeLevels": many({"gradeLevelDescriptor": coded("GradeLevel", required=True)}),
    "appropriateSexes": many({"sexDescriptor": coded("Sex", required=True)}),
    "diagnoses": many({"diagnosisDescriptor": coded("Diagnosis", required=True)}),
    "populationServeds": many({"populationServedDescriptor": coded("PopulationServed", required=True)}),
    "meetingTimes": many({"startTime": must("time"), "endTime": must("time")}),
    "staffs": many({"staffReference": _STAFF}),
    "educationContents": many({"educationContentReference": _CONTENT}),
    "uris": many({"uri": text(255, required=True)}),
    "learningResourceMetadataURIs": many({"learningResourceMetadataURI": text(255, required=True)}),
}

_STUDENT_INTERVENTION: Fields = {
    "studentReference": _STUDENT,
    "diagnosticStatement": text(1024),
    "dosage": _WHOLE,
    "interventionEffectivenesses": many(
        {
            "diagnosisDescriptor": coded("Diagnosis", required=True),
            "gradeLevelDescriptor": coded("GradeLevel", required=True),
            "populationServedDescriptor": coded("PopulationServed", required=True),
            "interventionEffectivenessRatingDescriptor": coded("InterventionEffectivenessRating", required=True),
            "improvementIndex": _WHOLE,
        }
    ),
}
