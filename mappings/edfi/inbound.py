"""Which function says what an Ed-Fi record states."""

from collections.abc import Mapping as Table

from connectors.edfi import models_results, models_roster
from gateway.mapping import Inbound
from mappings.edfi import people, results, teaching

INBOUND: Table[type, Inbound] = {
    models_roster.LocalEducationAgency: teaching.local_education_agency,
    models_roster.School: teaching.school,
    models_roster.Student: people.student,
    models_roster.Staff: people.staff,
    models_roster.Parent: people.contact,
    models_roster.Contact: people.contact,
    models_roster.StudentParentAssociation: people.kinship,
    models_roster.StudentContactAssociation: people.kinship,
    models_roster.StudentEducationOrganizationAssociation: people.student_organization,
    models_roster.StudentDemographic: people.student_demographic,
    models_roster.StudentDirectory: people.student_directory,
    models_roster.StudentIdentificationCode6: people.student_number,
    models_roster.StaffDirectory: people.staff_directory,
    models_roster.StaffIdentificationCode6: people.staff_number,
    models_roster.StudentSchoolAssociation: people.student_school,
    models_roster.StaffEducationOrganizationAssignmentAssociation: people.staff_assignment,
    models_roster.Session: teaching.session,
    models_roster.Course: teaching.course,
    models_roster.CourseOffering: teaching.course_offering,
    models_roster.Section: teaching.section,
    models_roster.StudentSectionAssociation: teaching.student_section,
    models_roster.StaffSectionAssociation: teaching.staff_section,
    models_roster.StaffSectionAssociation4: teaching.staff_section,
    models_results.Assessment: results.assessment,
    models_results.ObjectiveAssessment: results.objective_assessment,
    models_results.StudentAssessment: results.student_assessment,
}
"""What to ask of each kind of wire record."""
