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
    """One writable resource. `rel` is the name of one item; `key` lists its natural key as paths."""

    rel: str
    key: tuple[str, ...]
    fields: Fields


def writable(*, five: bool) -> dict[str, Shape]:
    """Every writable resource but the descriptors, parents before children. # Ed-Fi: OpenAPI 4.0 and 5.0"""
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
        "interventions": Shape("Intervention", (_OWNER, "interventionIdentificationCode"), _INTERVENTION),
        "studentInterventionAssociations": Shape(
            "StudentInterventionAssociation",
            (
                "interventionReference.educationOrganizationId",
                "interventionReference.interventionIdentificationCode",
                "studentReference.studentUniqueId",
            ),
            _STUDENT_INTERVENTION | {"cohortReference": _cohort(36 if five else 20)},
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


def _text(limit: int, *, required: bool = False, key: bool = False) -> Field:
    return Field("text", required=required, key=key, limit=limit)


def _coded(name: str, *, required: bool = False) -> Field:
    return Field("descriptor", required=required, limit=306, of=f"{name}Descriptor")


def _to(rel: str, key: Iterable[tuple[str, Field]], *, required: bool = False) -> Field:
    return Field("reference", required=required, of=rel, fields=dict(key))


def _many(fields: Fields) -> Field:
    return Field("many", fields=fields)


def _cohort(limit: int) -> Field:
    return _to("Cohort", [("cohortIdentifier", _text(limit, required=True, key=True)), _OWNER_ID])


def _team(limit: int) -> Fields:
    return {
        "cohortIdentifier": _text(limit, required=True, key=True),
        "educationOrganizationReference": _ORGANIZATION,
        "cohortTypeDescriptor": _coded("CohortType", required=True),
        "cohortDescription": _text(1024),
    }


def _member(name: str, who: Field, limit: int) -> Fields:
    cohort = Field("reference", required=True, of="Cohort", fields=_cohort(limit).fields)
    return {"beginDate": _must("day"), "cohortReference": cohort, name: who, "endDate": _DAY}


def _must(kind: Kind) -> Field:
    return Field(kind, required=True)


_DAY, _WHOLE, _FLAG = Field("day"), Field("whole"), Field("flag")
_OWNER_ID = ("educationOrganizationId", _must("whole"))
_ORGANIZATION = _to("EducationOrganization", [_OWNER_ID], required=True)
_STUDENT = _to("Student", [("studentUniqueId", _text(32, required=True, key=True))], required=True)
_STAFF = _to("Staff", [("staffUniqueId", _text(32, required=True, key=True))], required=True)
_PROGRAM_KEY = (
    _OWNER_ID,
    ("programName", _text(60, required=True, key=True)),
    ("programTypeDescriptor", _coded("ProgramType", required=True)),
)
_CONTENT = _to("EducationContent", [("contentIdentifier", _text(225, required=True, key=True))], required=True)
_PRESCRIPTION = _to(
    "InterventionPrescription",
    [_OWNER_ID, ("interventionPrescriptionIdentificationCode", _text(60, required=True, key=True))],
    required=True,
)
_INTERVENTION_KEY = (_OWNER_ID, ("interventionIdentificationCode", _text(60, required=True, key=True)))

_PROGRAM: Fields = {
    "educationOrganizationReference": _ORGANIZATION,
    "programName": _text(60, required=True, key=True),
    "programTypeDescriptor": _coded("ProgramType", required=True),
    "programId": _text(20),
    "characteristics": _many({"programCharacteristicDescriptor": _coded("ProgramCharacteristic", required=True)}),
    "sponsors": _many({"programSponsorDescriptor": _coded("ProgramSponsor", required=True)}),
}
_PROGRAM_BEFORE_5: Fields = {"services": _many({"serviceDescriptor": _coded("Service", required=True)})}

_STATUS: Fields = {
    "participationStatusDescriptor": _coded("ParticipationStatus", required=True),
    "statusBeginDate": _must("day"),
    "statusEndDate": _DAY,
    "designatedBy": _text(60),
}
_PARTICIPATION: Fields = {
    "beginDate": _must("day"),
    "educationOrganizationReference": _ORGANIZATION,
    "programReference": _to("Program", _PROGRAM_KEY, required=True),
    "studentReference": _STUDENT,
    "endDate": _DAY,
    "reasonExitedDescriptor": _coded("ReasonExited"),
    "servedOutsideOfRegularSession": _FLAG,
    "programParticipationStatuses": _many(_STATUS),
    "services": _many(
        {
            "serviceDescriptor": _coded("Service", required=True),
            "primaryIndicator": _FLAG,
            "serviceBeginDate": _DAY,
            "serviceEndDate": _DAY,
        }
    ),
}
_PARTICIPATION_BEFORE_5: Fields = {"participationStatus": Field("one", fields=_STATUS | {"statusBeginDate": _DAY})}

_INTERVENTION: Fields = {
    "educationOrganizationReference": _ORGANIZATION,
    "interventionIdentificationCode": _text(60, required=True, key=True),
    "beginDate": _must("day"),
    "endDate": _DAY,
    "deliveryMethodDescriptor": _coded("DeliveryMethod", required=True),
    "interventionClassDescriptor": _coded("InterventionClass", required=True),
    "minDosage": _WHOLE,
    "maxDosage": _WHOLE,
    "namespace": _text(255),
    "appropriateGradeLevels": _many({"gradeLevelDescriptor": _coded("GradeLevel", required=True)}),
    "appropriateSexes": _many({"sexDescriptor": _coded("Sex", required=True)}),
    "diagnoses": _many({"diagnosisDescriptor": _coded("Diagnosis", required=True)}),
    "populationServeds": _many({"populationServedDescriptor": _coded("PopulationServed", required=True)}),
    "meetingTimes": _many({"startTime": _must("time"), "endTime": _must("time")}),
    "staffs": _many({"staffReference": _STAFF}),
    "educationContents": _many({"educationContentReference": _CONTENT}),
    "interventionPrescriptions": _many({"interventionPrescriptionReference": _PRESCRIPTION}),
    "uris": _many({"uri": _text(255, required=True)}),
    "learningResourceMetadataURIs": _many({"learningResourceMetadataURI": _text(255, required=True)}),
}

_STUDENT_INTERVENTION: Fields = {
    "interventionReference": _to("Intervention", _INTERVENTION_KEY, required=True),
    "studentReference": _STUDENT,
    "diagnosticStatement": _text(1024),
    "dosage": _WHOLE,
    "interventionEffectivenesses": _many(
        {
            "diagnosisDescriptor": _coded("Diagnosis", required=True),
            "gradeLevelDescriptor": _coded("GradeLevel", required=True),
            "populationServedDescriptor": _coded("PopulationServed", required=True),
            "interventionEffectivenessRatingDescriptor": _coded("InterventionEffectivenessRating", required=True),
            "improvementIndex": _WHOLE,
        }
    ),
}
