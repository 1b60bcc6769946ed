"""What Ed-Fi says on the wire of schools, people and teaching, as far as it is mapped, by data standard."""

from datetime import date

from connectors.edfi.models import (
    AcademicSubject,
    ClassPeriodReference,
    ContactReference,
    CourseOfferingReference,
    CourseReference,
    Descriptor,
    EducationOrganizationReference,
    ElectronicMail,
    GradeLevel,
    Language,
    LocalEducationAgencyReference,
    LocationReference,
    ParentReference,
    Period,
    SchoolReference,
    SchoolYearTypeReference,
    SectionReference,
    SessionReference,
    StaffReference,
    StudentReference,
    Telephone,
    Wire,
    contact_key,
    joined,
)

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
    birthDate: date | None = None
    middleName: str | None = None
    preferredFirstName: str | None = None
    preferredLastSurname: str | None = None


class StaffIdentificationCode(Wire):
    staffIdentificationSystemDescriptor: Descriptor
    identificationCode: str
    assigningOrganizationIdentificationCode: str | None = None


class Staff(StaffReference):
    """E-mail and numbers stand here up to data standard 5."""

    firstName: str
    lastSurname: str
    middleName: str | None = None
    preferredFirstName: str | None = None
    preferredLastSurname: str | None = None
    electronicMails: list[ElectronicMail] | None = None
    identificationCodes: list[StaffIdentificationCode] | None = None


class OfStaff(Wire, kw_only=True):
    """What an agency or a school knows of a member of staff."""

    educationOrganizationReference: EducationOrganizationReference
    staffReference: StaffReference

    @property
    def key(self) -> str:
        return f"{self.staffReference.key}|{self.educationOrganizationReference.key}"


class StaffDirectory(OfStaff, kw_only=True):
    """From data standard 6."""

    electronicMails: list[ElectronicMail] | None = None


class StaffIdentificationCode6(OfStaff, kw_only=True):
    """From data standard 6, where a number is a record of its own. It has none where it is one never kept."""

    staffIdentificationSystemDescriptor: Descriptor
    identificationCode: str | None = None
    assigningOrganizationIdentificationCode: str | None = None

    @property
    def key(self) -> str:
        place = self.educationOrganizationReference.key
        return f"{self.staffReference.key}|{joined(place, self.staffIdentificationSystemDescriptor)}"


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


class OfStudent(Wire, kw_only=True):
    """What an agency or a school knows of a student."""

    educationOrganizationReference: EducationOrganizationReference
    studentReference: StudentReference

    @property
    def key(self) -> str:
        return f"{self.studentReference.key}|{self.educationOrganizationReference.key}"


class Demographics(OfStudent, kw_only=True):
    """What moved from one resource to another with data standard 6."""

    hispanicLatinoEthnicity: bool | None = None
    languages: list[Language] | None = None
    limitedEnglishProficiencyDescriptor: Descriptor | None = None
    races: list[Race] | None = None
    sexDescriptor: Descriptor | None = None
    studentCharacteristics: list[StudentCharacteristic] | None = None


class StudentEducationOrganizationAssociation(Demographics, kw_only=True):
    """Of who a student is, data standard 6 left nothing here but what is for a district's own overrides; with what a
    student learns at home it stays here."""

    barrierToInternetAccessInResidenceDescriptor: Descriptor | None = None
    electronicMails: list[ElectronicMail] | None = None
    internetAccessInResidence: bool | None = None
    internetAccessTypeInResidenceDescriptor: Descriptor | None = None
    internetPerformanceInResidenceDescriptor: Descriptor | None = None
    primaryLearningDeviceAccessDescriptor: Descriptor | None = None
    primaryLearningDeviceAwayFromSchoolDescriptor: Descriptor | None = None
    primaryLearningDeviceProviderDescriptor: Descriptor | None = None
    studentIdentificationCodes: list[StudentIdentificationCode] | None = None


class StudentDemographic(Demographics, kw_only=True):
    """From data standard 6."""

    economicDisadvantageDescriptor: Descriptor | None = None


class StudentDirectory(OfStudent, kw_only=True):
    """From data standard 6."""

    electronicMails: list[ElectronicMail] | None = None


class StudentIdentificationCode6(OfStudent, kw_only=True):
    """From data standard 6, where a number is a record of its own. It has none where it is one never kept."""

    studentIdentificationSystemDescriptor: Descriptor
    identificationCode: str | None = None
    assigningOrganizationIdentificationCode: str | None = None

    @property
    def key(self) -> str:
        place = self.educationOrganizationReference.key
        return f"{self.studentReference.key}|{joined(place, self.studentIdentificationSystemDescriptor)}"


class StudentSchoolAssociation(Wire):
    entryDate: date
    schoolReference: SchoolReference
    studentReference: StudentReference
    entryGradeLevelDescriptor: Descriptor | None = None
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
    beginDate: date | None = None
    endDate: date | None = None
    termDescriptor: Descriptor | None = None

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
