"""What Ed-Fi says on the wire of assessments and their results, as far as it is mapped, by data standard."""

from connectors.edfi.models import (
    AcademicSubject,
    AssessmentReference,
    Descriptor,
    GradeLevel,
    ObjectiveAssessmentReference,
    SchoolReference,
    SchoolYearTypeReference,
    StudentReference,
    Wire,
    joined,
)


class AssessmentScore(Wire):
    minimumScore: str | None = None
    maximumScore: str | None = None


class Assessment(AssessmentReference):
    assessmentTitle: str
    academicSubjectDescriptor: Descriptor | None = None  # from data standard 6
    academicSubjects: list[AcademicSubject] | None = None  # up to data standard 5
    assessedGradeLevels: list[GradeLevel] | None = None
    assessmentCategoryDescriptor: Descriptor | None = None
    assessmentFamily: str | None = None
    scores: list[AssessmentScore] | None = None


class ParentObjectiveAssessment(Wire):
    parentObjectiveAssessmentReference: ObjectiveAssessmentReference


class ObjectiveAssessment(Wire):
    identificationCode: str
    assessmentReference: AssessmentReference
    academicSubjectDescriptor: Descriptor | None = None
    description: str | None = None
    nomenclature: str | None = None
    parentObjectiveAssessmentReference: ObjectiveAssessmentReference | None = None  # up to data standard 5
    parentObjectiveAssessments: list[ParentObjectiveAssessment] | None = None  # from data standard 6
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


class TestingWindow(Wire):
    assessmentPeriodDescriptor: Descriptor


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
    period: TestingWindow | None = None  # from data standard 4
    reasonNotTestedDescriptor: Descriptor | None = None
    reportedSchoolReference: SchoolReference | None = None  # from data standard 4
    retestIndicatorDescriptor: Descriptor | None = None
    schoolYearTypeReference: SchoolYearTypeReference | None = None
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
