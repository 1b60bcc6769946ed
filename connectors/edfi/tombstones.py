"""Which of our keys the natural key of a record means that an Ed-Fi server says is gone."""

from collections.abc import Callable, Mapping
from typing import Any

from connectors.edfi.models import (
    AssessmentReference,
    ContactReference,
    CourseOfferingReference,
    CourseReference,
    ObjectiveAssessmentReference,
    ParentReference,
    SectionReference,
    SessionReference,
    StaffReference,
    StudentReference,
    joined,
)

Values = Mapping[str, Any]
"""A natural key as /deletes and /keyChanges write it: flat, under the names of the standard."""


def key_of(resource: str, standard: int, values: Values) -> str:
    """The same text as the key of the record that had these values. KeyError, TypeError or ValueError where a part of
    them is missing or of another kind."""
    if resource == "staffSectionAssociations" and standard < 5:
        return f"{_staff(values)}|{_section(values)}"  # Ed-Fi: the begin date belongs to the key from 5 on
    return _KEYS[resource](values)


def _text(values: Values, name: str) -> str:
    value = values[name]
    if not isinstance(value, str):
        raise TypeError(f"{name} is no text")
    return value


def _number(values: Values, name: str) -> int:
    return int(values[name])


def _day(values: Values, name: str) -> str:
    # Ed-Fi: servers write a date here as a date, or as a time at midnight.
    return _text(values, name)[:10]


def _student(values: Values) -> str:
    return StudentReference(_text(values, "studentUniqueId")).key


def _staff(values: Values) -> str:
    return StaffReference(_text(values, "staffUniqueId")).key


def _parent(values: Values) -> str:
    return ParentReference(_text(values, "parentUniqueId")).key


def _contact(values: Values) -> str:
    return ContactReference(_text(values, "contactUniqueId")).key


def _organization(values: Values) -> str:
    return str(_number(values, "educationOrganizationId"))


def _session(values: Values) -> str:
    return SessionReference(
        _number(values, "schoolId"), _number(values, "schoolYear"), _text(values, "sessionName")
    ).key


def _course(values: Values) -> str:
    return CourseReference(_text(values, "courseCode"), _number(values, "educationOrganizationId")).key


def _offering(values: Values) -> str:
    return CourseOfferingReference(
        _text(values, "localCourseCode"),
        _number(values, "schoolId"),
        _number(values, "schoolYear"),
        _text(values, "sessionName"),
    ).key


def _section(values: Values) -> str:
    return SectionReference(
        _text(values, "localCourseCode"),
        _number(values, "schoolId"),
        _number(values, "schoolYear"),
        _text(values, "sectionIdentifier"),
        _text(values, "sessionName"),
    ).key


def _assignment(values: Values) -> str:
    place = joined(_organization(values), _text(values, "staffClassificationDescriptor"))
    return f"{_staff(values)}|{place}|{_day(values, 'beginDate')}"


def _number_of(values: Values, system: str) -> str:
    return joined(_organization(values), _text(values, system))


def _assessment(values: Values) -> str:
    return AssessmentReference(_text(values, "assessmentIdentifier"), _text(values, "namespace")).key


def _objective(values: Values) -> str:
    return ObjectiveAssessmentReference(
        _text(values, "assessmentIdentifier"), _text(values, "identificationCode"), _text(values, "namespace")
    ).key


def _result(values: Values) -> str:
    return joined(
        _text(values, "assessmentIdentifier"),
        _text(values, "namespace"),
        _text(values, "studentAssessmentIdentifier"),
        _text(values, "studentUniqueId"),
    )


_KEYS: Mapping[str, Callable[[Values], str]] = {
    "localEducationAgencies": lambda values: str(_number(values, "localEducationAgencyId")),
    "schools": lambda values: str(_number(values, "schoolId")),
    "students": _student,
    "staffs": _staff,
    "parents": _parent,
    "contacts": _contact,
    "studentSchoolAssociations": lambda values: (
        f"{_student(values)}|{_number(values, 'schoolId')}|{_day(values, 'entryDate')}"
    ),
    "studentEducationOrganizationAssociations": lambda values: f"{_student(values)}|{_organization(values)}",
    "studentDemographics": lambda values: f"{_student(values)}|{_organization(values)}",
    "studentDirectories": lambda values: f"{_student(values)}|{_organization(values)}",
    "studentIdentificationCodes": lambda values: (
        f"{_student(values)}|{_number_of(values, 'studentIdentificationSystemDescriptor')}"
    ),
    "staffDirectories": lambda values: f"{_staff(values)}|{_organization(values)}",
    "staffIdentificationCodes": lambda values: (
        f"{_staff(values)}|{_number_of(values, 'staffIdentificationSystemDescriptor')}"
    ),
    "staffEducationOrganizationAssignmentAssociations": _assignment,
    "studentParentAssociations": lambda values: f"{_parent(values)}|{_student(values)}",
    "studentContactAssociations": lambda values: f"{_contact(values)}|{_student(values)}",
    "sessions": _session,
    "courses": _course,
    "courseOfferings": _offering,
    "sections": _section,
    "studentSectionAssociations": lambda values: f"{_student(values)}|{_section(values)}|{_day(values, 'beginDate')}",
    "staffSectionAssociations": lambda values: f"{_staff(values)}|{_section(values)}|{_day(values, 'beginDate')}",
    "assessments": _assessment,
    "objectiveAssessments": _objective,
    "studentAssessments": _result,
}
