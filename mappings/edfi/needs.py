"""What Ed-Fi states beyond roster and results: programs and what they stand for, attendance, discipline, grades."""

from collections.abc import Callable, Iterator, Sequence
from datetime import date
from functools import partial

from msgspec import UNSET, UnsetType

from connectors.edfi import models_needs as wire
from gateway.mapping import Claim, Crosswalks, Inbound, Statement
from gateway.schema.needs import AttendanceEvent, CourseGrade, DisciplineIncident, MealEligibility
from gateway.schema.roster import ProgramStatus
from mappings.edfi.values import code, given, text, translated


def participation(
    one: wire.Participation, codes: Crosswalks, *, needs: Sequence[str], left: date | None = None
) -> Iterator[Statement]:
    """One claim for each need that taking part stands for. It is in force while it has no last day, or that day has
    not passed. `left`: the day on which the student left it, where a record tells that beside its last day."""
    ends = [day for day in (one.endDate, left) if day is not None]
    for need in needs:
        yield Claim(
            "program_status",
            f"{one.key}|{need}",
            ProgramStatus(
                student=one.studentReference.key,
                status=need,
                organization=one.educationOrganizationReference.key,
                code=one.programReference.programTypeDescriptor,
                program=text(one.programReference.programName),
                begin_on=one.beginDate,
                end_on=min(ends, default=UNSET),
            ),
        )


def any_program(one: wire.StudentProgramAssociation, codes: Crosswalks) -> Iterator[Statement]:
    need = codes.translate("program_type", one.programReference.programTypeDescriptor)
    yield from participation(one, codes, needs=[need] if need else [])


def special_education(one: wire.StudentSpecialEducationProgramAssociation, codes: Crosswalks) -> Iterator[Statement]:
    # Ed-Fi: taking part is the sign; an eligibility that is denied takes it back.
    needs = [] if one.ideaEligibility is False else ["disability"]
    yield from participation(one, codes, needs=needs, left=one.specialEducationExitDate)


def section_504(one: wire.StudentSection504ProgramAssociation, codes: Crosswalks) -> Iterator[Statement]:
    yield from participation(one, codes, needs=[] if one.section504Eligibility is False else ["section_504"])


def language_instruction(
    one: wire.StudentLanguageInstructionProgramAssociation, codes: Crosswalks
) -> Iterator[Statement]:
    learner = ["english_learner"] if one.englishLearnerParticipation else []
    yield from participation(one, codes, needs=[*learner, "language_instruction"])


def title_i(one: wire.StudentTitleIPartAProgramAssociation, codes: Crosswalks) -> Iterator[Statement]:
    """Who is served as one of few is disadvantaged. A program of the whole school has every student, and says nothing
    about any of them."""
    served = translated("title_i_participant", one.titleIPartAParticipantDescriptor, codes)
    needs = {"title_i": ["title_i", "economically_disadvantaged"], "title_i_schoolwide": ["title_i_schoolwide"]}
    yield from participation(one, codes, needs=needs.get(served or "", [served] if served else []))


def meals(one: wire.StudentSchoolFoodServiceProgramAssociation, codes: Crosswalks) -> Iterator[Statement]:
    services = [each.schoolFoodServiceProgramServiceDescriptor for each in one.schoolFoodServiceProgramServices or ()]
    words = {codes.translate("meal_service", service) for service in services}
    eligibility = next((word for word in ("free", "reduced", "full") if word in words), None)
    if one.directCertification:
        eligibility = "free"
    yield Claim(
        "meal_eligibility",
        one.key,
        MealEligibility(
            student=one.studentReference.key,
            eligibility=given(eligibility),
            # Ed-Fi: to take part is the sign, unless everything is paid in full.
            economically_disadvantaged=eligibility != "full",
            organization=one.educationOrganizationReference.key,
            begin_on=one.beginDate,
            end_on=given(one.endDate),
        ),
    )


def school_attendance(one: wire.StudentSchoolAttendanceEvent, codes: Crosswalks) -> Iterator[Statement]:
    yield _attendance(one, codes, school=str(one.schoolReference.schoolId), session=one.sessionReference.key)


def section_attendance(one: wire.StudentSectionAttendanceEvent, codes: Crosswalks) -> Iterator[Statement]:
    yield _attendance(one, codes, school=str(one.sectionReference.schoolId), class_=one.sectionReference.key)


def _attendance(
    one: wire.StudentSchoolAttendanceEvent | wire.StudentSectionAttendanceEvent, codes: Crosswalks, **where: str
) -> Claim:
    return Claim(
        "attendance_event",
        one.key,
        AttendanceEvent(
            student=one.studentReference.key,
            on=one.eventDate,
            category=translated("attendance_category", one.attendanceEventCategoryDescriptor, codes),
            code=one.attendanceEventCategoryDescriptor,
            days=given(one.eventDuration),
            **where,
        ),
    )


def discipline(one: wire.DisciplineAction, codes: Crosswalks) -> Iterator[Statement]:
    yield Claim(
        "discipline_incident",
        one.key,
        DisciplineIncident(
            student=one.studentReference.key,
            on=one.disciplineDate,
            school=str(one.responsibilitySchoolReference.schoolId),
        ),
    )


def grade(one: wire.Grade | wire.Grade4, codes: Crosswalks) -> Iterator[Statement]:
    taken, period = one.studentSectionAssociationReference, one.gradingPeriodReference
    name = period.gradingPeriodName if isinstance(period, wire.GradingPeriodReference) else None
    yield Claim(
        "course_grade",
        one.key,
        CourseGrade(
            student=taken.student.key,
            class_=taken.section.key,
            school=str(taken.schoolId),
            type=translated("grade_type", one.gradeTypeDescriptor, codes),
            code=one.gradeTypeDescriptor,
            period=text(name or code(period.gradingPeriodDescriptor)),
            school_year=taken.schoolYear,
            letter=text(one.letterGradeEarned),
            number=_number(one.numericGradeEarned),
        ),
    )


def _number(value: float | None) -> str | UnsetType:
    """As it was written: 87, and not 87.0."""
    return UNSET if value is None else f"{value:.10g}"


def _as(need: str) -> Callable[[wire.Participation, Crosswalks], Iterator[Statement]]:
    return partial(participation, needs=[need])


INBOUND: dict[type, Inbound] = {
    wire.StudentProgramAssociation: any_program,
    wire.StudentSpecialEducationProgramAssociation: special_education,
    wire.StudentSection504ProgramAssociation: section_504,
    wire.StudentLanguageInstructionProgramAssociation: language_instruction,
    wire.StudentHomelessProgramAssociation: _as("homeless"),
    wire.StudentTitleIPartAProgramAssociation: title_i,
    wire.StudentMigrantEducationProgramAssociation: _as("migrant"),
    wire.StudentCTEProgramAssociation: _as("career_technical"),
    wire.StudentNeglectedOrDelinquentProgramAssociation: _as("neglected_or_delinquent"),
    wire.StudentSchoolFoodServiceProgramAssociation: meals,
    wire.StudentSchoolAttendanceEvent: school_attendance,
    wire.StudentSectionAttendanceEvent: section_attendance,
    wire.DisciplineAction: discipline,
    wire.Grade: grade,
    wire.Grade4: grade,
}
"""What to ask of each kind of wire record that goes beyond roster and results."""
