"""What Ed-Fi records look like on the wire, as far as they are mapped, and their natural keys as text."""

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


def contact_key(unique_id: str) -> str:
    """The key of a family contact, the same whether the standard calls it parent or contact."""
    return f"contact/{joined(unique_id)}"


class Wire(msgspec.Struct, gc=False):
    """A JSON object of the API. Servers leave an absent value out or send null; both read as None."""


class Link(Wire):
    """Where a reference leads. `rel` names the concrete type behind an abstract reference."""

    rel: str = ""


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


# --- Organizations


class LocalEducationAgency(Wire):
    localEducationAgencyId: int
    nameOfInstitution: str
    parentLocalEducationAgencyReference: LocalEducationAgencyReference | None = None

    @property
    def key(self) -> str:
        return str(self.localEducationAgencyId)


class School(Wire):
    schoolId: int
    nameOfInstitution: str
    gradeLevels: list[GradeLevel] | None = None
    localEducationAgencyReference: LocalEducationAgencyReference | None = None

    @property
    def key(self) -> str:
        return str(self.schoolId)


# --- People


class Student(StudentReference):
    firstName: str
    lastSurname: str
    birthDate: date
    middleName: str | None = None
    preferredFirstName: str | None = None
    preferredLastSurname: str | None = None


class StaffIdentificationCode(Wire):
    staffIdentificationSystemDescriptor: Descriptor
    identificationCode: str
    assigningOrganizationIdentificationCode: str | None = None


class Staff(StaffReference):
    firstName: str
    lastSurname: str
    middleName: str | None = None
    preferredFirstName: str | None = None
    preferredLastSurname: str | None = None
    electronicMails: list[ElectronicMail] | None = None
    identificationCodes: list[StaffIdentificationCode] | None = None


class Adult(Wire, kw_only=True):
    """What a family contact has under both names that the standard gave it."""

    firstName: str
    lastSurname: str
    middleName: str | None = None
    preferredFirstName: str | None = None
    preferredLastSurname: str | None = None
    electronicMails: list[ElectronicMail] | None = None
    telephones: list[Telephone] | None = None
    languages: list[Language] | None = None


class Parent(Adult, kw_only=True):
    """Up to data standard 4."""

    parentUniqueId: str

    @property
    def key(self) -> str:
        return contact_key(self.parentUniqueId)


class Contact(Adult, kw_only=True):
    """From data standard 5."""

    contactUniqueId: str

    @property
    def key(self) -> str:
        return contact_key(self.contactUniqueId)


class Kinship(Wire, kw_only=True):
    """What a contact is to a student under both names that the standard gave it."""

    studentReference: StudentReference
    contactPriority: int | None = None
    contactRestrictions: str | None = None
    emergencyContactStatus: bool | None = None
    legalGuardian: bool | None = None
    livesWith: bool | None = None
    primaryContactStatus: bool | None = None
    relationDescriptor: Descriptor | None = None


class StudentParentAssociation(Kinship, kw_only=True):
    """Up to data standard 4."""

    parentReference: ParentReference

    @property
    def contact(self) -> str:
        return self.parentReference.key

    @property
    def key(self) -> str:
        return f"{self.contact}|{self.studentReference.key}"


class StudentContactAssociation(Kinship, kw_only=True):
    """From data standard 5."""

    contactReference: ContactReference

    @property
    def contact(self) -> str:
        return self.contactReference.key

    @property
    def key(self) -> str:
        return f"{self.contact}|{self.studentReference.key}"


class Race(Wire):
    raceDescriptor: Descriptor


class StudentCharacteristic(Wire):
    studentCharacteristicDescriptor: Descriptor
    periods: list[Period] | None = None


class StudentIdentificationCode(Wire):
    studentIdentificationSystemDescriptor: Descriptor
    identificationCode: str
    assigningOrganizationIdentificationCode: str | None = None


class StudentEducationOrganizationAssociation(Wire):
    educationOrganizationReference: EducationOrganizationReference
    studentReference: StudentReference
    electronicMails: list[ElectronicMail] | None = None
    hispanicLatinoEthnicity: bool | None = None
    languages: list[Language] | None = None
    limitedEnglishProficiencyDescriptor: Descriptor | None = None
    races: list[Race] | None = None
    sexDescriptor: Descriptor | None = None
    studentCharacteristics: list[StudentCharacteristic] | None = None
    studentIdentificationCodes: list[StudentIdentificationCode] | None = None

    @property
    def key(self) -> str:
        return f"{self.studentReference.key}|{self.educationOrganizationReference.key}"


class StudentSchoolAssociation(Wire):
    entryDate: date
    schoolReference: SchoolReference
    studentReference: StudentReference
    entryGradeLevelDescriptor: Descriptor
    exitWithdrawDate: date | None = None
    primarySchool: bool | None = None

    @property
    def key(self) -> str:
        return f"{self.studentReference.key}|{self.schoolReference.schoolId}|{self.entryDate}"


class StaffEducationOrganizationAssignmentAssociation(Wire):
    beginDate: date
    staffClassificationDescriptor: Descriptor
    educationOrganizationReference: EducationOrganizationReference
    staffReference: StaffReference
    endDate: date | None = None

    @property
    def key(self) -> str:
        place = joined(self.educationOrganizationReference.key, self.staffClassificationDescriptor)
        return f"{self.staffReference.key}|{place}|{self.beginDate}"


# --- Teaching


class Session(Wire):
    sessionName: str
    schoolReference: SchoolReference
    schoolYearTypeReference: SchoolYearTypeReference
    beginDate: date
    endDate: date
    termDescriptor: Descriptor

    @property
    def key(self) -> str:
        year = self.schoolYearTypeReference.schoolYear
        return SessionReference(self.schoolReference.schoolId, year, self.sessionName).key


class CourseIdentificationCode(Wire):
    courseIdentificationSystemDescriptor: Descriptor
    identificationCode: str


class Course(Wire):
    courseCode: str
    courseTitle: str
    educationOrganizationReference: EducationOrganizationReference
    academicSubjectDescriptor: Descriptor | None = None  # up to data standard 4
    academicSubjects: list[AcademicSubject] | None = None  # from data standard 5
    identificationCodes: list[CourseIdentificationCode] | None = None
    offeredGradeLevels: list[GradeLevel] | None = None

    @property
    def key(self) -> str:
        organization = self.educationOrganizationReference.educationOrganizationId
        return CourseReference(self.courseCode, organization).key


class CourseOffering(Wire):
    localCourseCode: str
    courseReference: CourseReference
    sessionReference: SessionReference

    @property
    def key(self) -> str:
        session = self.sessionReference
        return CourseOfferingReference(
            self.localCourseCode, session.schoolId, session.schoolYear, session.sessionName
        ).key


class ClassPeriod(Wire):
    classPeriodReference: ClassPeriodReference


class Section(Wire):
    sectionIdentifier: str
    courseOfferingReference: CourseOfferingReference
    classPeriods: list[ClassPeriod] | None = None
    locationReference: LocationReference | None = None
    offeredGradeLevels: list[GradeLevel] | None = None
    sectionName: str | None = None

    @property
    def key(self) -> str:
        offering = self.courseOfferingReference
        return SectionReference(
            offering.localCourseCode,
            offering.schoolId,
            offering.schoolYear,
            self.sectionIdentifier,
            offering.sessionName,
        ).key


class StudentSectionAssociation(Wire):
    beginDate: date
    sectionReference: SectionReference
    studentReference: StudentReference
    endDate: date | None = None

    @property
    def key(self) -> str:
        return f"{self.studentReference.key}|{self.sectionReference.key}|{self.beginDate}"


class StaffSectionAssociation(Wire):
    """From data standard 5: the begin date belongs to the key."""

    sectionReference: SectionReference
    staffReference: StaffReference
    classroomPositionDescriptor: Descriptor
    beginDate: date
    endDate: date | None = None

    @property
    def key(self) -> str:
        return f"{self.staffReference.key}|{self.sectionReference.key}|{self.beginDate}"


class StaffSectionAssociation4(Wire):
    """Up to data standard 4: one per member of staff and section, its begin date may be absent or change."""

    sectionReference: SectionReference
    staffReference: StaffReference
    classroomPositionDescriptor: Descriptor
    beginDate: date | None = None
    endDate: date | None = None

    @property
    def key(self) -> str:
        return f"{self.staffReference.key}|{self.sectionReference.key}"


# --- Assessment


class AssessmentScore(Wire):
    minimumScore: str | None = None
    maximumScore: str | None = None


class Assessment(AssessmentReference):
    assessmentTitle: str
    academicSubjects: list[AcademicSubject] | None = None
    assessedGradeLevels: list[GradeLevel] | None = None
    assessmentCategoryDescriptor: Descriptor | None = None
    assessmentFamily: str | None = None
    scores: list[AssessmentScore] | None = None


class ObjectiveAssessment(Wire):
    identificationCode: str
    assessmentReference: AssessmentReference
    academicSubjectDescriptor: Descriptor | None = None
    description: str | None = None
    nomenclature: str | None = None
    parentObjectiveAssessmentReference: ObjectiveAssessmentReference | None = None
    scores: list[AssessmentScore] | None = None

    @property
    def key(self) -> str:
        whole = self.assessmentReference
        return ObjectiveAssessmentReference(whole.assessmentIdentifier, self.identificationCode, whole.namespace).key


class ScoreResult(Wire):
    assessmentReportingMethodDescriptor: Descriptor
    result: str
    resultDatatypeTypeDescriptor: Descriptor


class PerformanceLevel(Wire):
    assessmentReportingMethodDescriptor: Descriptor
    performanceLevelDescriptor: Descriptor


class StudentObjectiveAssessment(Wire):
    objectiveAssessmentReference: ObjectiveAssessmentReference
    administrationDate: str | None = None
    performanceLevels: list[PerformanceLevel] | None = None
    scoreResults: list[ScoreResult] | None = None


class StudentAssessment(Wire):
    studentAssessmentIdentifier: str
    assessmentReference: AssessmentReference
    studentReference: StudentReference
    administrationDate: str | None = None  # a time in UTC; servers also send the bare day
    performanceLevels: list[PerformanceLevel] | None = None
    reasonNotTestedDescriptor: Descriptor | None = None
    reportedSchoolReference: SchoolReference | None = None
    retestIndicatorDescriptor: Descriptor | None = None
    scoreResults: list[ScoreResult] | None = None
    studentObjectiveAssessments: list[StudentObjectiveAssessment] | None = None
    whenAssessedGradeLevelDescriptor: Descriptor | None = None

    @property
    def key(self) -> str:
        return joined(
            self.assessmentReference.assessmentIdentifier,
            self.assessmentReference.namespace,
            self.studentAssessmentIdentifier,
            self.studentReference.studentUniqueId,
        )
