"""What Ed-Fi records beyond roster and results look like on the wire, as far as they are mapped."""

from datetime import date

from connectors.edfi.models import (
    Descriptor,
    EducationOrganizationReference,
    SchoolReference,
    SectionReference,
    SessionReference,
    StudentReference,
    Wire,
    joined,
)

# --- Programs


class ProgramReference(Wire):
    educationOrganizationId: int
    programName: str
    programTypeDescriptor: Descriptor

    @property
    def key(self) -> str:
        return joined(self.educationOrganizationId, self.programName, self.programTypeDescriptor)


class Participation(Wire, kw_only=True):
    """What every kind of participation in a program has."""

    beginDate: date
    educationOrganizationReference: EducationOrganizationReference
    programReference: ProgramReference
    studentReference: StudentReference
    endDate: date | None = None

    @property
    def key(self) -> str:
        place = self.educationOrganizationReference.key
        return f"{self.studentReference.key}|{place}|{self.programReference.key}|{self.beginDate}"


class StudentProgramAssociation(Participation, kw_only=True):
    """In any program that has no record of its own."""


class StudentSpecialEducationProgramAssociation(Participation, kw_only=True):
    """What the disability is, and what the IEP says, is never kept."""

    ideaEligibility: bool | None = None
    specialEducationExitDate: date | None = None


class StudentSection504ProgramAssociation(Participation, kw_only=True):
    """From data standard 5.2. What the disability is, and what the plan says, is never kept."""

    section504Eligibility: bool | None = None


class StudentLanguageInstructionProgramAssociation(Participation, kw_only=True):
    englishLearnerParticipation: bool | None = None


class StudentHomelessProgramAssociation(Participation, kw_only=True):
    """Where the student sleeps is never kept."""


class StudentTitleIPartAProgramAssociation(Participation, kw_only=True):
    titleIPartAParticipantDescriptor: Descriptor | None = None


class StudentMigrantEducationProgramAssociation(Participation, kw_only=True):
    """When and from where the family came is never kept."""


class StudentCTEProgramAssociation(Participation, kw_only=True):
    """Career and technical education."""


class StudentNeglectedOrDelinquentProgramAssociation(Participation, kw_only=True):
    """Where the student is placed is never kept."""


class SchoolFoodServiceProgramService(Wire):
    schoolFoodServiceProgramServiceDescriptor: Descriptor


class StudentSchoolFoodServiceProgramAssociation(Participation, kw_only=True):
    directCertification: bool | None = None
    schoolFoodServiceProgramServices: list[SchoolFoodServiceProgramService] | None = None


# --- Attendance and discipline


class StudentSchoolAttendanceEvent(Wire):
    attendanceEventCategoryDescriptor: Descriptor
    eventDate: date
    schoolReference: SchoolReference
    sessionReference: SessionReference
    studentReference: StudentReference
    eventDuration: float | None = None

    @property
    def key(self) -> str:
        category = joined(self.attendanceEventCategoryDescriptor)
        return f"{self.studentReference.key}|{self.sessionReference.key}|{self.eventDate}|{category}"


class StudentSectionAttendanceEvent(Wire):
    attendanceEventCategoryDescriptor: Descriptor
    eventDate: date
    sectionReference: SectionReference
    studentReference: StudentReference
    eventDuration: float | None = None

    @property
    def key(self) -> str:
        category = joined(self.attendanceEventCategoryDescriptor)
        return f"{self.studentReference.key}|{self.sectionReference.key}|{self.eventDate}|{category}"


class DisciplineAction(Wire):
    """Nothing of what happened or what followed stands in its key, as it would in that of an incident's behaviors."""

    disciplineActionIdentifier: str
    disciplineDate: date
    responsibilitySchoolReference: SchoolReference
    studentReference: StudentReference

    @property
    def key(self) -> str:
        return f"{self.studentReference.key}|{joined(self.disciplineActionIdentifier)}|{self.disciplineDate}"


# --- Grades


class StudentSectionAssociationReference(SectionReference):
    beginDate: date
    studentUniqueId: str

    @property
    def student(self) -> StudentReference:
        return StudentReference(self.studentUniqueId)

    @property
    def section(self) -> SectionReference:
        return SectionReference(
            self.localCourseCode, self.schoolId, self.schoolYear, self.sectionIdentifier, self.sessionName
        )


class GradingPeriodReference(Wire):
    """From data standard 5: a grading period has a name. Its school is that of the section."""

    gradingPeriodDescriptor: Descriptor
    gradingPeriodName: str
    schoolId: int
    schoolYear: int

    @property
    def key(self) -> str:
        return joined(self.gradingPeriodDescriptor, self.gradingPeriodName, self.schoolYear)


class GradingPeriodReference4(Wire):
    """Up to data standard 4: a grading period has a number."""

    gradingPeriodDescriptor: Descriptor
    periodSequence: int
    schoolId: int
    schoolYear: int

    @property
    def key(self) -> str:
        return joined(self.gradingPeriodDescriptor, self.periodSequence, self.schoolYear)


class Graded(Wire, kw_only=True):
    """What a grade has in every data standard."""

    gradeTypeDescriptor: Descriptor
    studentSectionAssociationReference: StudentSectionAssociationReference
    letterGradeEarned: str | None = None
    numericGradeEarned: float | None = None

    def keyed(self, period: str) -> str:
        taken = self.studentSectionAssociationReference
        kind = joined(self.gradeTypeDescriptor)
        return f"{taken.student.key}|{taken.section.key}|{taken.beginDate}|{kind}|{period}"


class Grade(Graded, kw_only=True):
    """From data standard 5."""

    gradingPeriodReference: GradingPeriodReference

    @property
    def key(self) -> str:
        return self.keyed(self.gradingPeriodReference.key)


class Grade4(Graded, kw_only=True):
    """Up to data standard 4."""

    gradingPeriodReference: GradingPeriodReference4

    @property
    def key(self) -> str:
        return self.keyed(self.gradingPeriodReference.key)
