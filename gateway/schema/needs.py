"""What goes beyond roster and results, where a district has switched it on: attendance, discipline, grades, meals."""

from datetime import date
from typing import Annotated

from msgspec import UNSET, UnsetType, field

from gateway.schema.fields import Values, meta


class AttendanceEvent(Values):
    """One day, or one class on a day, as attendance was taken. Why somebody was away is never asked.
    Source: Ed-Fi studentSchoolAttendanceEvent, studentSectionAttendanceEvent."""

    student: Annotated[str | UnsetType, meta("Student.", ref="person", required=True)] = UNSET
    on: Annotated[date | UnsetType, meta("Day.", required=True)] = UNSET
    category: Annotated[
        str | UnsetType, meta("present, excused_absence, unexcused_absence, tardy, early_departure, partial.")
    ] = UNSET
    code: Annotated[str | UnsetType, meta("The source's own code.")] = UNSET
    school: Annotated[str | UnsetType, meta("School.", ref="organization")] = UNSET
    session: Annotated[str | UnsetType, meta("Session.", ref="session")] = UNSET
    class_: Annotated[str | UnsetType, meta("Class, where it was taken in one.", ref="class")] = field(
        name="class", default=UNSET
    )
    days: Annotated[float | UnsetType, meta("How much of a day, where the source says it.")] = UNSET


class DisciplineIncident(Values):
    """That something happened, for counting: whose, when and where, and never what.
    Source: Ed-Fi disciplineAction."""

    student: Annotated[str | UnsetType, meta("Student.", ref="person", required=True)] = UNSET
    on: Annotated[date | UnsetType, meta("Day.", required=True)] = UNSET
    school: Annotated[str | UnsetType, meta("School.", ref="organization")] = UNSET


class CourseGrade(Values):
    """A grade for a class in a grading period. Source: Ed-Fi grade."""

    student: Annotated[str | UnsetType, meta("Student.", ref="person", required=True)] = UNSET
    class_: Annotated[str | UnsetType, meta("Class.", ref="class", required=True)] = field(name="class", default=UNSET)
    school: Annotated[str | UnsetType, meta("School.", ref="organization")] = UNSET
    type: Annotated[
        str | UnsetType, meta("final, semester, grading_period, mid_term, progress_report, exam, conduct.")
    ] = UNSET
    code: Annotated[str | UnsetType, meta("The source's own code of the type.")] = UNSET
    period: Annotated[str | UnsetType, meta("Grading period, in the source's words.")] = UNSET
    school_year: Annotated[int | UnsetType, meta("The year in which the school year ends.")] = UNSET
    letter: Annotated[str | UnsetType, meta("Letter grade.")] = UNSET
    number: Annotated[str | UnsetType, meta("Grade as a number, kept as text.")] = UNSET


class MealEligibility(Values):
    """Whether a student eats free or at a reduced price. Law binds each use of it: it stands apart from the other
    needs, so that none of them carries it along. Source: Ed-Fi studentSchoolFoodServiceProgramAssociation."""

    student: Annotated[str | UnsetType, meta("Student.", ref="person", required=True)] = UNSET
    eligibility: Annotated[str | UnsetType, meta("free, reduced or full.")] = UNSET
    economically_disadvantaged: Annotated[bool | UnsetType, meta("As far as the meals tell.")] = UNSET
    organization: Annotated[str | UnsetType, meta("Who stated it.", ref="organization")] = UNSET
    begin_on: Annotated[date | UnsetType, meta("First day.")] = UNSET
    end_on: Annotated[date | UnsetType, meta("Last day.")] = UNSET
