"""The natural keys of the collections we touch, for a server whose OpenAPI documents do not mark them."""

# Ed-Fi: primary keys of Data Standards 4.0, 5.2 and 6.1, by the query names of their fields.
_SECTION = "localCourseCode schoolId schoolYear sectionIdentifier sessionName"
_PROGRAM = "educationOrganizationId programName programTypeDescriptor"
_OF_PROGRAM = "programEducationOrganizationId programName programTypeDescriptor"
_IN_PROGRAM = f"beginDate educationOrganizationId {_OF_PROGRAM} studentUniqueId"
_COHORT = "cohortIdentifier educationOrganizationId"
_INTERVENTION = "educationOrganizationId interventionIdentificationCode"
_DAY = "attendanceEventCategoryDescriptor eventDate"
_OF_STUDENT = "educationOrganizationId studentUniqueId"

_KEYS = {
    "stateEducationAgencies": "stateEducationAgencyId",
    "educationServiceCenters": "educationServiceCenterId",
    "localEducationAgencies": "localEducationAgencyId",
    "schools": "schoolId",
    "students": "studentUniqueId",
    "staffs": "staffUniqueId",
    "contacts": "contactUniqueId",
    "parents": "parentUniqueId",
    "studentContactAssociations": "contactUniqueId studentUniqueId",
    "studentParentAssociations": "parentUniqueId studentUniqueId",
    "studentSchoolAssociations": "entryDate schoolId studentUniqueId",
    "studentEducationOrganizationAssociations": _OF_STUDENT,
    "studentDemographics": _OF_STUDENT,
    "studentDirectories": _OF_STUDENT,
    "calendarDates": "calendarCode date schoolId schoolYear",
    "sessions": "schoolId schoolYear sessionName",
    "gradingPeriods": "gradingPeriodDescriptor gradingPeriodName schoolId schoolYear",
    "courses": "courseCode educationOrganizationId",
    "courseOfferings": "localCourseCode schoolId schoolYear sessionName",
    "sections": _SECTION,
    "studentSectionAssociations": f"beginDate {_SECTION} studentUniqueId",
    "staffSectionAssociations": f"beginDate {_SECTION} staffUniqueId",
    "staffEducationOrganizationAssignmentAssociations": "beginDate educationOrganizationId"
    " staffClassificationDescriptor staffUniqueId",
    "assessments": "assessmentIdentifier namespace",
    "objectiveAssessments": "assessmentIdentifier identificationCode namespace",
    "studentAssessments": "assessmentIdentifier namespace studentAssessmentIdentifier studentUniqueId",
    "programs": _PROGRAM,
    "studentProgramAssociations": _IN_PROGRAM,
    "studentSpecialEducationProgramAssociations": _IN_PROGRAM,
    "studentSection504ProgramAssociations": _IN_PROGRAM,
    "studentLanguageInstructionProgramAssociations": _IN_PROGRAM,
    "studentHomelessProgramAssociations": _IN_PROGRAM,
    "studentTitleIPartAProgramAssociations": _IN_PROGRAM,
    "studentMigrantEducationProgramAssociations": _IN_PROGRAM,
    "studentSchoolFoodServiceProgramAssociations": _IN_PROGRAM,
    "staffProgramAssociations": f"beginDate {_OF_PROGRAM} staffUniqueId",
    "interventions": _INTERVENTION,
    "studentInterventionAssociations": f"{_INTERVENTION} studentUniqueId",
    "cohorts": _COHORT,
    "studentCohortAssociations": f"beginDate {_COHORT} studentUniqueId",
    "staffCohortAssociations": f"beginDate {_COHORT} staffUniqueId",
    "studentSchoolAttendanceEvents": f"{_DAY} schoolId schoolYear sessionName studentUniqueId",
    "studentSectionAttendanceEvents": f"{_DAY} {_SECTION} studentUniqueId",
    "disciplineIncidents": "incidentIdentifier schoolId",
    "grades": f"beginDate gradeTypeDescriptor gradingPeriodDescriptor gradingPeriodName gradingPeriodSchoolYear"
    f" {_SECTION} studentUniqueId",
}
# Up to 4.0 grading periods are numbered, and a member of staff is in a section once.
_UP_TO_4 = {
    "gradingPeriods": "gradingPeriodDescriptor periodSequence schoolId schoolYear",
    "staffSectionAssociations": f"{_SECTION} staffUniqueId",
    "grades": _KEYS["grades"].replace("gradingPeriodName", "gradingPeriodSequence"),
}


def natural_key(resource: str, *, five: bool) -> tuple[str, ...]:
    """The query names of the key fields, sorted; empty for a collection that is none of ours. `five`: whether it is of
    Data Standard 5 or later."""
    key = None if five else _UP_TO_4.get(resource)
    return tuple(sorted((key or _KEYS.get(resource, "")).split()))
