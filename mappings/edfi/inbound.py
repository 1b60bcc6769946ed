"""Which function says what an Ed-Fi record states."""

from collections.abc import Mapping as Table

from connectors.edfi import models as wire
from gateway.mapping import Inbound
from mappings.edfi import needs, people, results, teaching

INBOUND: Table[type, Inbound] = {
    wire.LocalEducationAgency: teaching.local_education_agency,
    wire.School: teaching.school,
    wire.Student: people.student,
    wire.Staff: people.staff,
    wire.Parent: people.contact,
    wire.Contact: people.contact,
    wire.StudentParentAssociation: people.kinship,
    wire.StudentContactAssociation: people.kinship,
    wire.StudentEducationOrganizationAssociation: people.student_organization,
    wire.StudentSchoolAssociation: people.student_school,
    wire.StaffEducationOrganizationAssignmentAssociation: people.staff_assignment,
    wire.Session: teaching.session,
    wire.Course: teaching.course,
    wire.CourseOffering: teaching.course_offering,
    wire.Section: teaching.section,
    wire.StudentSectionAssociation: teaching.student_section,
    wire.StaffSectionAssociation: teaching.staff_section,
    wire.StaffSectionAssociation4: teaching.staff_section,
    wire.Assessment: results.assessment,
    wire.ObjectiveAssessment: results.objective_assessment,
    wire.StudentAssessment: results.student_assessment,
    **needs.INBOUND,
}
"""What to ask of each kind of wire record."""
