"""What Ed-Fi states about schools and their terms, courses and sections, and who is in a section."""

from collections.abc import Iterator

from msgspec import UNSET

from connectors.edfi import models_roster as wire
from gateway.mapping import Alias, Claim, Crosswalks, Statement
from gateway.schema.roster import Class, Course, Enrollment, Organization, Session
from mappings.edfi.values import code, given, grades, text, translated


def local_education_agency(agency: wire.LocalEducationAgency, codes: Crosswalks) -> Iterator[Statement]:
    above = agency.parentLocalEducationAgencyReference
    yield Claim(
        "organization",
        agency.key,
        Organization(
            name=text(agency.nameOfInstitution),
            type="district",
            identifier=agency.key,
            parent=str(above.localEducationAgencyId) if above else UNSET,
        ),
    )


def school(place: wire.School, codes: Crosswalks) -> Iterator[Statement]:
    above = place.localEducationAgencyReference
    yield Claim(
        "organization",
        place.key,
        Organization(
            name=text(place.nameOfInstitution),
            type="school",
            identifier=place.key,
            parent=str(above.localEducationAgencyId) if above else UNSET,
            grades=grades(place.gradeLevels, codes),
        ),
    )


def session(term: wire.Session, codes: Crosswalks) -> Iterator[Statement]:
    yield Claim(
        "session",
        term.key,
        Session(
            title=text(term.sessionName),
            type=translated("term", term.termDescriptor, codes),
            begin_on=term.beginDate,
            end_on=term.endDate,
            school_year=term.schoolYearTypeReference.schoolYear,
            school=str(term.schoolReference.schoolId),
        ),
    )


def course(one: wire.Course, codes: Crosswalks) -> Iterator[Statement]:
    subjects = [each.academicSubjectDescriptor for each in one.academicSubjects or ()]
    if one.academicSubjectDescriptor:
        subjects.append(one.academicSubjectDescriptor)
    sced = [
        number.identificationCode
        for number in one.identificationCodes or ()
        if codes.translate("course_code", number.courseIdentificationSystemDescriptor)
    ]
    yield Claim(
        "course",
        one.key,
        Course(
            title=text(one.courseTitle),
            code=one.courseCode,
            organization=one.educationOrganizationReference.key,
            grades=grades(one.offeredGradeLevels, codes),
            subjects=[code(subject) for subject in subjects] or UNSET,
            subject_codes=sced or UNSET,
        ),
    )


def course_offering(offering: wire.CourseOffering, codes: Crosswalks) -> Iterator[Statement]:
    """Sections name the offering, not the course; for us both denote the course."""
    yield Alias("course", offering.key, offering.courseReference.key)


def section(one: wire.Section, codes: Crosswalks) -> Iterator[Statement]:
    offering = one.courseOfferingReference
    periods = [each.classPeriodReference.classPeriodName for each in one.classPeriods or ()]
    yield Claim(
        "class",
        one.key,
        Class(
            title=text(one.sectionName) or f"{offering.localCourseCode} {one.sectionIdentifier}",
            code=one.sectionIdentifier,
            location=given(one.locationReference.classroomIdentificationCode if one.locationReference else None),
            course=offering.key,
            school=str(offering.schoolId),
            sessions=[offering.session.key],
            grades=grades(one.offeredGradeLevels, codes),
            periods=periods or UNSET,
        ),
    )


def student_section(record: wire.StudentSectionAssociation, codes: Crosswalks) -> Iterator[Statement]:
    yield Claim(
        "enrollment",
        record.key,
        Enrollment(
            person=record.studentReference.key,
            class_=record.sectionReference.key,
            school=str(record.sectionReference.schoolId),
            role="student",
            begin_on=record.beginDate,
            end_on=given(record.endDate),
        ),
    )


_POSITIONS = {"primary_teacher": ("teacher", True), "teacher": ("teacher", False), "aide": ("aide", False)}


def staff_section(
    record: wire.StaffSectionAssociation | wire.StaffSectionAssociation4, codes: Crosswalks
) -> Iterator[Statement]:
    position = codes.translate("classroom_position", record.classroomPositionDescriptor)
    role, primary = _POSITIONS[position] if position else (UNSET, UNSET)
    yield Claim(
        "enrollment",
        record.key,
        Enrollment(
            person=record.staffReference.key,
            class_=record.sectionReference.key,
            school=str(record.sectionReference.schoolId),
            role=role,
            primary=primary,
            begin_on=given(record.beginDate),
            end_on=given(record.endDate),
        ),
    )
