"""Which Ed-Fi collections are pulled under which data standard, in what order, and what of them is never kept."""

import re
from collections.abc import Sequence
from operator import attrgetter
from typing import Any

import msgspec

from connectors.edfi import models_results, models_roster
from gateway.connector import Resource

STANDARDS = (3, 4, 5, 6)
"""The major versions of the Ed-Fi data standard that this connector knows."""


def resources(standard: int) -> Sequence[Resource]:
    """The collections of that data standard, parents before children."""
    return [resource for resource, standards in _TABLE if standard in standards]


def every_resource() -> Sequence[Resource]:
    """One entry per name, over all standards: what may be kept, before it is known which server is asked."""
    by_name = {resource.name: resource for standard in STANDARDS for resource in resources(standard)}
    return list(by_name.values())


_BOOKKEEPING = ("id", "_etag", "_lastModifiedDate", "**.link")

_DOCUMENTS = ("identificationDocuments", "personalIdentificationDocuments", "citizenshipStatusDescriptor", "visas")
_ADDRESSES = ("addresses", "internationalAddresses")
_ORIGIN = ("ancestryEthnicOrigins", "tribalAffiliations", "genderIdentity")
_OTHER_NAMES = ("maidenName", "otherNames")


def _resource(name: str, wire: type, *drop: str) -> Resource:
    return Resource(name, wire, key=attrgetter("key"), drop=drop, ignore=_BOOKKEEPING)


_STUDENTS = _resource(
    "students",
    models_roster.Student,
    *_DOCUMENTS,
    *_OTHER_NAMES,
    "birthCity",
    "birthCountryDescriptor",
    "birthInternationalProvince",
    "birthStateAbbreviationDescriptor",
    "birthSexDescriptor",
    "dateEnteredUS",
    "multipleBirthStatus",
    "personReference",
)
_STAFFS = _resource(
    "staffs",
    models_roster.Staff,
    *_DOCUMENTS,
    *_OTHER_NAMES,
    *_ADDRESSES,
    *_ORIGIN,
    "birthDate",
    "credentials",
    "educatorPreparationPrograms",
    "educatorResearch",
    "highestCompletedLevelOfEducationDescriptor",
    "hispanicLatinoEthnicity",
    "languages",
    "loginId",
    "oldEthnicityDescriptor",
    "openStaffPositionReference",
    "personReference",
    "races",
    "recognitions",
    "sexDescriptor",
    "telephones",
    "yearsOfPriorProfessionalExperience",
    "yearsOfPriorTeachingExperience",
)
_OF_CONTACTS = (
    "personalIdentificationDocuments",
    *_OTHER_NAMES,
    *_ADDRESSES,
    "genderIdentity",
    "highestCompletedLevelOfEducationDescriptor",
    "loginId",
    "personReference",
    "sexDescriptor",
)
_STUDENT_ORGANIZATIONS = _resource(
    "studentEducationOrganizationAssociations",
    models_roster.StudentEducationOrganizationAssociation,
    *_ADDRESSES,
    *_ORIGIN,
    "disabilities",
    "displacedStudents",
    "loginId",
    "oldEthnicityDescriptor",
    "profileThumbnail",
    "telephones",
)
_STUDENT_DEMOGRAPHICS = _resource(
    "studentDemographics",
    models_roster.StudentDemographic,
    *_ORIGIN,
    "citizenshipStatusDescriptor",
    "disabilities",
    "identificationDocuments",
    "visas",
)
_STUDENT_DIRECTORIES = _resource("studentDirectories", models_roster.StudentDirectory, *_ADDRESSES, "telephones")
_STUDENT_NUMBERS = _resource("studentIdentificationCodes", models_roster.StudentIdentificationCode6)
_STAFF_DIRECTORIES = _resource("staffDirectories", models_roster.StaffDirectory, *_ADDRESSES, "telephones")
_STAFF_NUMBERS = _resource("staffIdentificationCodes", models_roster.StaffIdentificationCode6)
_STUDENT_SCHOOLS = _resource(
    "studentSchoolAssociations",
    models_roster.StudentSchoolAssociation,
    "employedWhileEnrolled",
    "exitWithdrawTypeDescriptor",
    "residencyStatusDescriptor",
)
_ASSIGNMENTS = _resource(
    "staffEducationOrganizationAssignmentAssociations",
    models_roster.StaffEducationOrganizationAssignmentAssociation,
    "credentialReference",
    "employmentStaffEducationOrganizationEmploymentAssociationReference",
)
_STUDENT_ASSESSMENTS = _resource(
    "studentAssessments",
    models_results.StudentAssessment,
    "eventCircumstanceDescriptor",
    "eventDescription",
    "items",
    "serialNumber",
)

_ALL = frozenset(STANDARDS)
_UP_TO_4 = frozenset({3, 4})
_FROM_5 = frozenset({5, 6})
_FROM_6 = frozenset({6})

_TABLE: tuple[tuple[Resource, frozenset[int]], ...] = (
    (_resource("localEducationAgencies", models_roster.LocalEducationAgency), _ALL),
    (_resource("schools", models_roster.School), _ALL),
    (_STUDENTS, _ALL),
    (_STAFFS, _ALL),
    (_resource("parents", models_roster.Parent, *_OF_CONTACTS), _UP_TO_4),
    (_resource("contacts", models_roster.Contact, *_OF_CONTACTS), _FROM_5),
    (_STUDENT_SCHOOLS, _ALL),
    (_STUDENT_ORGANIZATIONS, _ALL),
    (_STUDENT_DEMOGRAPHICS, _FROM_6),
    (_STUDENT_DIRECTORIES, _FROM_6),
    (_STUDENT_NUMBERS, _FROM_6),
    (_STAFF_DIRECTORIES, _FROM_6),
    (_STAFF_NUMBERS, _FROM_6),
    (_ASSIGNMENTS, _ALL),
    (_resource("studentParentAssociations", models_roster.StudentParentAssociation), _UP_TO_4),
    (_resource("studentContactAssociations", models_roster.StudentContactAssociation), _FROM_5),
    (_resource("sessions", models_roster.Session), _ALL),
    (_resource("courses", models_roster.Course), _ALL),
    (_resource("courseOfferings", models_roster.CourseOffering), _ALL),
    (_resource("sections", models_roster.Section), _ALL),
    (_resource("studentSectionAssociations", models_roster.StudentSectionAssociation), _ALL),
    (_resource("staffSectionAssociations", models_roster.StaffSectionAssociation4), _UP_TO_4),
    (_resource("staffSectionAssociations", models_roster.StaffSectionAssociation), _FROM_5),
    (_resource("assessments", models_results.Assessment), _ALL),
    (_resource("objectiveAssessments", models_results.ObjectiveAssessment), _ALL),
    (_STUDENT_ASSESSMENTS, _ALL),
)

# A drop path names a field, not a value, and the number that two systems share stands in the same list as
# these. The code value decides whatever its namespace: districts define their own "Social Security Number".
_NEVER_KEPT = (
    rb"Canadian SIN|Drivers License|Health Record|Medicaid|PIN|Selective Service"
    rb'|Social Security[^"#]*|SSN|US Visa'
)
_IDENTITY_NUMBER = re.compile(
    rb'"(?:student|staff)IdentificationSystemDescriptor"\s*:\s*"[^"#]*#\s*(?:' + _NEVER_KEPT + rb')\s*"',
    re.IGNORECASE,
)
_LISTED_IN = {
    "staffs": "identificationCodes",
    "studentEducationOrganizationAssociations": "studentIdentificationCodes",
}
_RECORDS_OF_THEIR_OWN = ("staffIdentificationCodes", "studentIdentificationCodes")  # from data standard 6


def without_identity_numbers(resource: Resource, rows: Sequence[msgspec.Raw]) -> Sequence[msgspec.Raw]:
    """The rows without the numbers of identity, health and military records among identification codes."""
    codes = _LISTED_IN.get(resource.name)
    if codes is None and resource.name not in _RECORDS_OF_THEIR_OWN:
        return rows
    return [_without(codes, row) if _IDENTITY_NUMBER.search(memoryview(row)) else row for row in rows]


def _without(codes: str | None, row: msgspec.Raw) -> msgspec.Raw:
    """A row without such numbers: of those in its list, or of itself, which then says of whom and of what sort."""
    try:
        record = msgspec.json.decode(row, type=dict[str, Any])
        if codes is None:
            record = {name: record[name] for name in record if name not in _NUMBER}
        else:
            record[codes] = [code for code in record[codes] if not _IDENTITY_NUMBER.search(msgspec.json.encode(code))]
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, KeyError, TypeError):
        return _WITHHELD  # such a number is in it, and not where it belongs
    return msgspec.Raw(msgspec.json.encode(record))


_NUMBER = ("identificationCode", "assigningOrganizationIdentificationCode", "_ext")
_WITHHELD = msgspec.Raw(b'"withheld: it names a number that is never kept, in a place where none belongs"')
