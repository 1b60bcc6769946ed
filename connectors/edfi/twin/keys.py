"""Of which fields the natural key of each resource is made, as its tombstones spell it."""

from collections.abc import Sequence

_SECTION = "localCourseCode schoolId schoolYear sectionIdentifier sessionName"
_PROGRAM = "programEducationOrganizationId programName programTypeDescriptor"
_RESULT = "assessmentIdentifier namespace studentAssessmentIdentifier studentUniqueId"
# Ed-Fi: primary keys of ODS 4.0.0, 5.2.0 and 6.1.0
_KEYS = {
    "localEducationAgencies": "localEducationAgencyId",
    "schools": "schoolId",
    "students": "studentUniqueId",
    "staffs": "staffUniqueId",
    "parents": "parentUniqueId",
    "contacts": "contactUniqueId",
    "studentSchoolAssociations": "entryDate schoolId studentUniqueId",
    "studentEducationOrganizationAssociations": "educationOrganizationId studentUniqueId",
    "studentDemographics": "educationOrganizationId studentUniqueId",
    "studentDirectories": "educationOrganizationId studentUniqueId",
    "studentIdentificationCodes": "educationOrganizationId studentIdentificationSystemDescriptor studentUniqueId",
    "staffDirectories": "educationOrganizationId staffUniqueId",
    "staffIdentificationCodes": "educationOrganizationId staffIdentificationSystemDescriptor staffUniqueId",
    "studentParentAssociations": "parentUniqueId studentUniqueId",
    "studentContactAssociations": "contactUniqueId studentUniqueId",
    "staffEducationOrganizationAssignmentAssociations": (
        "beginDate educationOrganizationId staffClassificationDescriptor staffUniqueId"
    ),
    "sessions": "schoolId schoolYear sessionName",
    "courses": "courseCode educationOrganizationId",
    "courseOfferings": "localCourseCode schoolId schoolYear sessionName",
    "sections": _SECTION,
    "studentSectionAssociations": f"beginDate {_SECTION} studentUniqueId",
    "staffSectionAssociations": f"{_SECTION} staffUniqueId",
    "assessments": "assessmentIdentifier namespace",
    "objectiveAssessments": "assessmentIdentifier identificationCode namespace",
    "studentAssessments": _RESULT,
    "programs": "educationOrganizationId programName programTypeDescriptor",
    "studentProgramAssociations": f"beginDate educationOrganizationId {_PROGRAM} studentUniqueId",
    "interventions": "educationOrganizationId interventionIdentificationCode",
    "studentInterventionAssociations": "educationOrganizationId interventionIdentificationCode studentUniqueId",
    "cohorts": "cohortIdentifier educationOrganizationId",
    "studentCohortAssociations": "beginDate cohortIdentifier educationOrganizationId studentUniqueId",
    "staffCohortAssociations": "beginDate cohortIdentifier educationOrganizationId staffUniqueId",
}
_DESCRIPTOR = "codeValue namespace"
_BEGUN = "beginDate"


def natural_key(resource: str, *, five: bool) -> Sequence[str]:
    """The names of its fields."""
    names = _KEYS.get(resource, _DESCRIPTOR).split()
    return [_BEGUN, *names] if five and resource == "staffSectionAssociations" else names
