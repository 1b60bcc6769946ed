"""Which Ed-Fi collections are pulled under which data standard, in what order, and what of them is never kept."""

import re
from collections.abc import Sequence
from operator import attrgetter
from typing import Any

import msgspec

from connectors.edfi import models
from connectors.edfi.needs import NEEDS
from gateway.connector import Resource

STANDARDS = (4, 5)
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
    models.Student,
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
    models.Staff,
    *_DOCUMENTS,
    *_OTHER_NAMES,
    *_ADDRESSES,
    *_ORIGIN,
    "birthDate",
    "credentials",
    "highestCompletedLevelOfEducationDescriptor",
    "hispanicLatinoEthnicity",
    "languages",
    "loginId",
    "oldEthnicityDescriptor",
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
    models.StudentEducationOrganizationAssociation,
    *_ADDRESSES,
    *_ORIGIN,
    "disabilities",
    "loginId",
    "oldEthnicityDescriptor",
    "profileThumbnail",
    "telephones",
)
_STUDENT_SCHOOLS = _resource(
    "studentSchoolAssociations",
    models.StudentSchoolAssociation,
    "employedWhileEnrolled",
    "exitWithdrawTypeDescriptor",
    "residencyStatusDescriptor",
)
_ASSIGNMENTS = _resource(
    "staffEducationOrganizationAssignmentAssociations",
    models.StaffEducationOrganizationAssignmentAssociation,
    "credentialReference",
    "employmentStaffEducationOrganizationEmploymentAssociationReference",
)
_STUDENT_ASSESSMENTS = _resource(
    "studentAssessments",
    models.StudentAssessment,
    "eventCircumstanceDescriptor",
    "eventDescription",
    "items",
    "serialNumber",
)

_ALL = frozenset(STANDARDS)
_UP_TO_4 = frozenset({4})
_FROM_5 = frozenset({5})

_TABLE: tuple[tuple[Resource, frozenset[int]], ...] = (
    (_resource("localEducationAgencies", models.LocalEducationAgency), _ALL),
    (_resource("schools", models.School), _ALL),
    (_STUDENTS, _ALL),
    (_STAFFS, _ALL),
    (_resource("parents", models.Parent, *_OF_CONTACTS), _UP_TO_4),
    (_resource("contacts", models.Contact, *_OF_CONTACTS), _FROM_5),
    (_STUDENT_SCHOOLS, _ALL),
    (_STUDENT_ORGANIZATIONS, _ALL),
    (_ASSIGNMENTS, _ALL),
    (_resource("studentParentAssociations", models.StudentParentAssociation), _UP_TO_4),
    (_resource("studentContactAssociations", models.StudentContactAssociation), _FROM_5),
    (_resource("sessions", models.Session), _ALL),
    (_resource("courses", models.Course), _ALL),
    (_resource("courseOfferings", models.CourseOffering), _ALL),
    (_resource("sections", models.Section), _ALL),
    (_resource("studentSectionAssociations", models.StudentSectionAssociation), _ALL),
    (_resource("staffSectionAssociations", models.StaffSectionAssociation4), _UP_TO_4),
    (_resource("staffSectionAssociations", models.StaffSectionAssociation), _FROM_5),
    (_resource("assessments", models.Assessment), _ALL),
    (_resource("objectiveAssessments", models.ObjectiveAssessment), _ALL),
    (_STUDENT_ASSESSMENTS, _ALL),
    *NEEDS,
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
_IDENTIFICATION_CODES = {
    "staffs": "identificationCodes",
    "studentEducationOrganizationAssociations": "studentIdentificationCodes",
}


def without_identity_numbers(resource: Resource, rows: Sequence[msgspec.Raw]) -> Sequence[msgspec.Raw]:
    """The rows without the numbers of identity, health and military records among identification codes."""
    codes = _IDENTIFICATION_CODES.get(resource.name)
    if codes is None:
        return rows
    return [_without(codes, row) if _IDENTITY_NUMBER.search(memoryview(row)) else row for row in rows]


def _without(codes: str, row: msgspec.Raw) -> msgspec.Raw:
    try:
        record = msgspec.json.decode(row, type=dict[str, Any])
        record[codes] = [code for code in record[codes] if not _IDENTITY_NUMBER.search(msgspec.json.encode(code))]
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, KeyError, TypeError):
        return _WITHHELD  # such a number is in it, and not where it belongs
    return msgspec.Raw(msgspec.json.encode(record))


_WITHHELD = msgspec.Raw(b'"withheld: it names a number that is never kept, in a place where none belongs"')
