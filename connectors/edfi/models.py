"""What every Ed-Fi record is made of on the wire: references, whose natural keys become text, and small shapes."""

import re
from datetime import date

import msgspec

Descriptor = str
"""A code as Ed-Fi writes it: `namespace#codeValue`, for example `uri://ed-fi.org/SexDescriptor#Female`."""


def joined(*parts: object) -> str:
    """A key of several fields as one text; a `|` inside a value is escaped, so no two keys meet."""
    plain = "|".join(map(str, parts))
    if "\\" not in plain and plain.count("|") < len(parts):  # as nearly all are; every record passes here
        return plain
    return "|".join(str(part).replace("\\", "\\\\").replace("|", "\\|") for part in parts)


def unique_id(key: str) -> str:
    """The number in the key of a student or of somebody of the staff, as the server knows it."""
    return re.sub(r"\\(.)", r"\1", re.sub(r"^(student|staff)/", "", key))


def contact_key(unique_id: str) -> str:
    """The key of a family contact, the same whether the standard calls it parent or contact."""
    return f"contact/{joined(unique_id)}"


class Wire(msgspec.Struct, gc=False):
    """A JSON object of the API. Servers leave an absent value out or send null; both read as None."""


class Link(Wire):
    """Where a reference leads. `rel` names the concrete type behind an abstract reference."""

    rel: str | None = None


class LocalEducationAgencyReference(Wire):
    localEducationAgencyId: int


class EducationOrganizationReference(Wire):
    educationOrganizationId: int
    link: Link | None = None

    @property
    def key(self) -> str:
        return str(self.educationOrganizationId)


class SchoolReference(Wire):
    schoolId: int


class SchoolYearTypeReference(Wire):
    schoolYear: int


class StudentReference(Wire):
    studentUniqueId: str

    @property
    def key(self) -> str:
        return f"student/{joined(self.studentUniqueId)}"


class StaffReference(Wire):
    staffUniqueId: str

    @property
    def key(self) -> str:
        return f"staff/{joined(self.staffUniqueId)}"


class ParentReference(Wire):
    parentUniqueId: str

    @property
    def key(self) -> str:
        return contact_key(self.parentUniqueId)


class ContactReference(Wire):
    contactUniqueId: str

    @property
    def key(self) -> str:
        return contact_key(self.contactUniqueId)


class SessionReference(Wire):
    schoolId: int
    schoolYear: int
    sessionName: str

    @property
    def key(self) -> str:
        return joined(self.schoolId, self.schoolYear, self.sessionName)


class CourseReference(Wire):
    courseCode: str
    educationOrganizationId: int

    @property
    def key(self) -> str:
        return joined(self.courseCode, self.educationOrganizationId)


class CourseOfferingReference(Wire):
    localCourseCode: str
    schoolId: int
    schoolYear: int
    sessionName: str

    @property
    def key(self) -> str:
        """Distinct from every course key, as both are keys of courses."""
        offering = joined(self.localCourseCode, self.schoolId, self.schoolYear, self.sessionName)
        return f"offering:{offering}"

    @property
    def session(self) -> SessionReference:
        return SessionReference(self.schoolId, self.schoolYear, self.sessionName)


class SectionReference(Wire):
    localCourseCode: str
    schoolId: int
    schoolYear: int
    sectionIdentifier: str
    sessionName: str

    @property
    def key(self) -> str:
        return joined(self.localCourseCode, self.schoolId, self.schoolYear, self.sectionIdentifier, self.sessionName)


class LocationReference(Wire):
    classroomIdentificationCode: str


class ClassPeriodReference(Wire):
    classPeriodName: str


class AssessmentReference(Wire):
    assessmentIdentifier: str
    namespace: str

    @property
    def key(self) -> str:
        return joined(self.assessmentIdentifier, self.namespace)


class ObjectiveAssessmentReference(Wire):
    assessmentIdentifier: str
    identificationCode: str
    namespace: str

    @property
    def key(self) -> str:
        return joined(self.assessmentIdentifier, self.namespace, self.identificationCode)


class Period(Wire):
    beginDate: date
    endDate: date | None = None


class GradeLevel(Wire):
    gradeLevelDescriptor: Descriptor


class AcademicSubject(Wire):
    academicSubjectDescriptor: Descriptor


class ElectronicMail(Wire):
    electronicMailAddress: str
    doNotPublishIndicator: bool | None = None
    primaryEmailAddressIndicator: bool | None = None


class Telephone(Wire):
    telephoneNumberTypeDescriptor: Descriptor
    telephoneNumber: str
    doNotPublishIndicator: bool | None = None
    orderOfPriority: int | None = None
    textMessageCapabilityIndicator: bool | None = None


class LanguageUse(Wire):
    languageUseDescriptor: Descriptor


class Language(Wire):
    languageDescriptor: Descriptor
    uses: list[LanguageUse] | None = None
