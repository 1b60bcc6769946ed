"""What goes beyond roster and results as Ed-Fi resources of one data standard, each row rendered by itself."""

from collections.abc import Callable

from connectors.edfi.twin import wire
from connectors.edfi.twin.collection import Key, Row, Source
from connectors.edfi.twin.planted import Planted
from connectors.edfi.twin.wire import coded, reference
from synthetic.model import District, Section, SectionEnrollment
from synthetic.needs import Absence, Grade, Incident, Participation, needs_of

_NAMES = "localCourseCode", "schoolId", "schoolYear", "sectionIdentifier", "sessionName"
# Program -> the resource of its participations, its name, its type.
_PROGRAMS = {
    "special_education": ("studentSpecialEducationProgramAssociations", "Special Education", "Special Education"),
    "section_504": ("studentSection504ProgramAssociations", "Section 504", "Section 504 Placement"),
    "homeless": ("studentHomelessProgramAssociations", "Homeless Services", "Homeless"),
    "migrant": ("studentMigrantEducationProgramAssociations", "Migrant Education", "Migrant Education"),
    "neglected": (
        "studentNeglectedOrDelinquentProgramAssociations",
        "Neglected and Delinquent",
        "Neglected and Delinquent Program",
    ),
    "language": ("studentLanguageInstructionProgramAssociations", "English Learners", "Bilingual"),
    "title_i": ("studentTitleIPartAProgramAssociations", "Title I", "Title I Part A"),
    "career": ("studentCTEProgramAssociations", "Career Pathways", "Career and Technical Education"),
    "meals": ("studentSchoolFoodServiceProgramAssociations", "Meals", "Student School Food Service"),
}
_CATEGORIES = {
    "excused": "Excused Absence",
    "unexcused": "Unexcused Absence",
    "tardy": "Tardy",
    "early": "Early departure",
}
_PERIOD = "First Nine Weeks"


class NeedsRows:
    """One district in one standard; `sources` names the facts of every resource, as Rows does."""

    def __init__(self, district: District, *, standard: str, namespace: str, planted: Planted) -> None:
        self._district = district
        self._standard = standard
        self._namespace = namespace
        self._text = planted.text
        self._terms = {term.code: term for term in district.terms}
        self._sections = {(section.school, section.code): section for section in district.sections}

    def sources(self) -> dict[str, Source]:
        """Facts, natural key and row of every resource, by its name; keys as the references spell them."""
        needs = needs_of(self._district)
        days = [one for one in needs.absences if one.section is None]
        classes = [one for one in needs.absences if one.section is not None]
        return {
            **{
                resource: Source(
                    [one for one in needs.participations if one.program == program],
                    self._participation_key,
                    self._participation,
                )
                for program, (resource, _, _) in _PROGRAMS.items()
                if program != "section_504" or self._standard >= "6"  # Ed-Fi: from 5.2 on; 5.0 is played
            },
            "studentSchoolAttendanceEvents": Source(days, self._absence_key, self._absence),
            "studentSectionAttendanceEvents": Source(classes, self._absence_key, self._absence),
            "disciplineActions": Source(needs.incidents, lambda one: (one.code, one.on, one.student), self._incident),
            "grades": Source(needs.grades, self._grade_key, self._grade),
        }

    # Programs

    def _participation_key(self, one: Participation) -> Key:
        _, name, kind = _PROGRAMS[one.program]
        number = self._district.number
        return one.begin, number, number, name, kind, one.student

    def _participation(self, one: Participation) -> Row:
        _, name, kind = _PROGRAMS[one.program]
        number = self._district.number
        program = {"educationOrganizationId": number, "programName": name, **coded("ProgramType", kind)}
        return {
            "beginDate": one.begin.isoformat(),
            "educationOrganizationReference": wire.organization(number, agency=True),
            "programReference": reference("Program", "programs", **program),
            "studentReference": wire.student(one.student),
            **({"endDate": one.end.isoformat()} if one.end else {}),
            "programParticipationStatuses": [],
            **(_DETAILS[one.program](self, one) if one.program in _DETAILS else {}),
        }

    def _special_education(self, one: Participation) -> Row:
        row: Row = {"ideaEligibility": True, "disabilities": [], "specialEducationProgramServices": []}
        if self._text is None:
            return row
        reason = {"specialEducationExitExplained": self._text} if self._standard >= "5" else {}
        disability = {**self._coded("Disability"), "disabilityDiagnosis": self._text}
        return row | reason | {"disabilities": [disability], "medicallyFragile": True, **self._left()}

    def _section_504(self, one: Participation) -> Row:
        told = self._coded("Section504Disability") if self._text else {}
        return {"section504Eligibility": True, "accommodationPlan": True, **told}

    def _language(self, one: Participation) -> Row:
        return {"englishLearnerParticipation": True, "languageInstructionProgramServices": []}

    def _homeless(self, one: Participation) -> Row:
        told = self._coded("HomelessPrimaryNighttimeResidence") if self._text else {}
        return {"homelessUnaccompaniedYouth": False, "homelessProgramServices": [], **told}

    def _title_i(self, one: Participation) -> Row:
        return coded("TitleIPartAParticipant", "Public Targeted Assistance Program")

    def _migrant(self, one: Participation) -> Row:
        told = self._coded("ContinuationOfServicesReason") if self._text else {}
        return {"lastQualifyingMove": "2026-05-04", "priorityForServices": False, **told}

    def _neglected(self, one: Participation) -> Row:
        return self._coded("NeglectedOrDelinquentProgram") if self._text else {}

    def _meals(self, one: Participation) -> Row:
        word = {"free": "Free Lunch", "reduced": "Reduced Price Lunch"}[one.service]
        return {"schoolFoodServiceProgramServices": [coded("SchoolFoodServiceProgramService", word)]}

    # Attendance and discipline

    def _absence_key(self, one: Absence) -> Key:
        category = _CATEGORIES[one.category]
        if one.section is not None:
            return category, one.on, *self._section_key(one.section), one.student
        return category, one.on, *self._session_key(one), one.student

    def _absence(self, one: Absence) -> Row:
        row = {
            **coded("AttendanceEventCategory", _CATEGORIES[one.category]),
            "eventDate": one.on.isoformat(),
            "studentReference": wire.student(one.student),
            **({"attendanceEventReason": self._text, **self._coded("EducationalEnvironment")} if self._text else {}),
        }
        if one.section is not None:
            return row | {"sectionReference": self._section_reference(one.section), "classPeriods": []}
        names = ("schoolId", "schoolYear", "sessionName")
        session = dict(zip(names, self._session_key(one), strict=True))
        return row | {
            "schoolReference": wire.school(one.school),
            "sessionReference": reference("Session", "sessions", **session),
            "eventDuration": 0.5 if one.category in ("tardy", "early") else 1.0,
        }

    def _incident(self, one: Incident) -> Row:
        told: Row = {}
        if self._text is not None:
            told = {**self._coded("DisciplineActionLengthDifferenceReason"), "relatedToZeroTolerancePolicy": True}
        return {
            "disciplineActionIdentifier": one.code,
            "disciplineDate": one.on.isoformat(),
            "disciplines": [self._coded("Discipline") if self._text else coded("Discipline", "Other")],
            "responsibilitySchoolReference": wire.school(one.school),
            "studentReference": wire.student(one.student),
            "staffs": [],
            **self._about(one),
            **told,
        }

    def _about(self, one: Incident) -> Row:
        """What it was for. # Ed-Fi: up to 4 the student's part in the incident, from 5 on the behavior."""
        incident = {"incidentIdentifier": one.code, "schoolId": one.school, "studentUniqueId": one.student}
        if self._standard < "5":
            name, key = "studentDisciplineIncidentAssociation", incident
        else:
            name = "studentDisciplineIncidentBehaviorAssociation"
            behavior = self._coded("Behavior") if self._text else coded("Behavior", "School Violation")
            key = {**behavior, **incident}
        return {f"{name}s": [{f"{name}Reference": reference(name[0].upper() + name[1:], f"{name}s", **key)}]}

    # Grades

    def _grade_key(self, one: Grade) -> Key:
        taken = one.enrollment
        period = 1 if self._standard < "5" else _PERIOD
        year = self._district.school_year
        return taken.begin, "Grading Period", _PERIOD, period, year, *self._section_key(taken), taken.person

    def _grade(self, one: Grade) -> Row:
        taken, year = one.enrollment, self._district.school_year
        named = {"periodSequence": 1} if self._standard < "5" else {"gradingPeriodName": _PERIOD}
        period = {**coded("GradingPeriod", _PERIOD), **named, "schoolId": taken.school, "schoolYear": year}
        section = dict(zip(_NAMES, self._section_key(taken), strict=True))
        association = {"beginDate": taken.begin.isoformat(), **section, "studentUniqueId": taken.person}
        return {
            **coded("GradeType", "Grading Period"),
            "gradingPeriodReference": reference("GradingPeriod", "gradingPeriods", **period),
            "studentSectionAssociationReference": reference(
                "StudentSectionAssociation", "studentSectionAssociations", **association
            ),
            "letterGradeEarned": one.letter,
            "numericGradeEarned": float(one.number),
            **({"diagnosticStatement": self._text} if self._text else {}),
            "learningStandardGrades": [],
        }

    def _session_key(self, one: Absence) -> Key:
        term = next((term for term in self._terms.values() if term.begin <= one.on <= term.end), None)
        title = (term or next(iter(self._terms.values()))).title
        return one.school, self._district.school_year, title

    def _section_key(self, one: SectionEnrollment) -> Key:
        section: Section = self._sections[one.school, one.section]
        return (
            section.course,
            section.school,
            self._district.school_year,
            section.code,
            self._terms[section.term].title,
        )

    def _section_reference(self, one: SectionEnrollment) -> Row:
        return reference("Section", "sections", **dict(zip(_NAMES, self._section_key(one), strict=True)))

    def _coded(self, name: str) -> Row:
        """A descriptor of the district's own whose code value is the planted text."""
        return coded(name, self._text or "", namespace=self._namespace)

    def _left(self) -> Row:
        return self._coded("SpecialEducationSetting")


_DETAILS: dict[str, Callable[[NeedsRows, Participation], Row]] = {
    "special_education": NeedsRows._special_education,
    "section_504": NeedsRows._section_504,
    "language": NeedsRows._language,
    "homeless": NeedsRows._homeless,
    "title_i": NeedsRows._title_i,
    "migrant": NeedsRows._migrant,
    "neglected": NeedsRows._neglected,
    "meals": NeedsRows._meals,
}
