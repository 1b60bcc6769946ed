"""By which names the GET of each resource filters; any other name in a query is ignored, as real servers do."""

from collections.abc import Iterable

# Ed-Fi: query parameters of OpenAPI 4.0 and 5.0, as far as this district's rows could carry them
_FILTERS = {
    "localEducationAgencies": "localEducationAgencyId localEducationAgencyCategoryDescriptor",
    "schools": "schoolId localEducationAgencyId",
    "students": "id studentUniqueId birthDate firstName lastSurname middleName birthCity maidenName",
    "staffs": "id staffUniqueId firstName lastSurname loginId",
    "parents": "id parentUniqueId firstName lastSurname loginId",
    "contacts": "id contactUniqueId firstName lastSurname loginId",
    "studentSchoolAssociations": (
        "id entryDate schoolId studentUniqueId schoolYear entryGradeLevelDescriptor exitWithdrawDate primarySchool"
    ),
    "studentEducationOrganizationAssociations": (
        "id educationOrganizationId studentUniqueId sexDescriptor hispanicLatinoEthnicity "
        "limitedEnglishProficiencyDescriptor"
    ),
    "studentDemographics": (
        "id educationOrganizationId studentUniqueId sexDescriptor hispanicLatinoEthnicity "
        "limitedEnglishProficiencyDescriptor economicDisadvantageDescriptor"
    ),
    "studentDirectories": "id educationOrganizationId studentUniqueId",
    "studentIdentificationCodes": (
        "id educationOrganizationId studentUniqueId studentIdentificationSystemDescriptor identificationCode "
        "assigningOrganizationIdentificationCode"
    ),
    "staffDirectories": "id educationOrganizationId staffUniqueId",
    "staffIdentificationCodes": (
        "id educationOrganizationId staffUniqueId staffIdentificationSystemDescriptor identificationCode "
        "assigningOrganizationIdentificationCode"
    ),
    "studentParentAssociations": "id parentUniqueId studentUniqueId relationDescriptor contactPriority",
    "studentContactAssociations": "id contactUniqueId studentUniqueId relationDescriptor contactPriority",
    "staffEducationOrganizationAssignmentAssociations": (
        "id beginDate educationOrganizationId staffUniqueId staffClassificationDescriptor endDate"
    ),
    "sessions": "id schoolId schoolYear sessionName termDescriptor beginDate endDate",
    "courses": "id courseCode educationOrganizationId courseTitle",
    "courseOfferings": "id localCourseCode schoolId schoolYear sessionName courseCode educationOrganizationId",
    "sections": "id sectionIdentifier localCourseCode schoolId schoolYear sessionName sectionName",
    "studentSectionAssociations": (
        "id beginDate endDate localCourseCode schoolId schoolYear sectionIdentifier sessionName studentUniqueId"
    ),
    "staffSectionAssociations": (
        "id beginDate endDate localCourseCode schoolId schoolYear sectionIdentifier sessionName staffUniqueId "
        "classroomPositionDescriptor"
    ),
    "assessments": "id assessmentIdentifier namespace assessmentTitle assessmentFamily assessmentCategoryDescriptor",
    "objectiveAssessments": "id assessmentIdentifier identificationCode namespace",
    "studentAssessments": (
        "id assessmentIdentifier namespace studentAssessmentIdentifier studentUniqueId schoolYear "
        "reportedSchoolId administrationDate whenAssessedGradeLevelDescriptor"
    ),
    "programs": "id educationOrganizationId programName programTypeDescriptor programId",
    "studentProgramAssociations": (
        "beginDate educationOrganizationId programEducationOrganizationId programName programTypeDescriptor "
        "studentUniqueId"
    ),
    "interventions": (
        "id educationOrganizationId interventionIdentificationCode beginDate endDate deliveryMethodDescriptor "
        "interventionClassDescriptor minDosage maxDosage namespace"
    ),
    "studentInterventionAssociations": (
        "id educationOrganizationId interventionIdentificationCode studentUniqueId diagnosticStatement dosage"
    ),
    "cohorts": "id educationOrganizationId cohortIdentifier cohortTypeDescriptor",
    "studentCohortAssociations": "id beginDate cohortIdentifier educationOrganizationId studentUniqueId",
    "staffCohortAssociations": "id beginDate cohortIdentifier educationOrganizationId staffUniqueId",
}
_DESCRIPTOR = "codeValue namespace shortDescription"


def filters(resource: str) -> Iterable[str]:
    return _FILTERS.get(resource, _DESCRIPTOR).split()
