"""What was measured and what came out: assessments and their results, line items and theirs."""

import re
from datetime import date
from typing import Annotated

import msgspec
from msgspec import UNSET, UnsetType

from gateway.schema.fields import Values, meta


class ScaleValue(msgspec.Struct, frozen=True, omit_defaults=True):
    """One value of a scale, and what it stands for."""

    value: str
    stands_for: str


class ScoreScale(Values):
    """Which values a score may have, and what they stand for. Source: OneRoster 1.2 ScoreScale."""

    title: Annotated[str | UnsetType, meta("Title.", required=True)] = UNSET
    type: Annotated[str | UnsetType, meta("What sort of scale, in the source's words.")] = UNSET
    organization: Annotated[str | UnsetType, meta("Who uses it.", ref="organization")] = UNSET
    course: Annotated[str | UnsetType, meta("Course it is used in.", ref="course")] = UNSET
    class_: Annotated[str | UnsetType, meta("Class it is used in.", ref="class")] = msgspec.field(
        name="class", default=UNSET
    )
    values: Annotated[list[ScaleValue] | UnsetType, meta("Its values.")] = UNSET


class Objective(msgspec.Struct, frozen=True, omit_defaults=True):
    """A learning objective. `source` says whose id it is: case (1EdTech CASE), unknown, or the vendor's own word.
    Source: OneRoster 1.2 LearningObjectiveSet."""

    source: str
    id: str


class ObjectiveScore(msgspec.Struct, frozen=True, omit_defaults=True):
    """What came out for one learning objective; a score stays text.
    Source: OneRoster 1.2 LearningObjectiveScoreSet."""

    source: str
    id: str
    score: str | UnsetType = UNSET
    text_score: str | UnsetType = UNSET


class Assessment(Values):
    """An assessment, or (with a parent) one reported part of it. Source: Ed-Fi Assessment and
    ObjectiveAssessment; OneRoster 1.2 AssessmentLineItem."""

    title: Annotated[str | UnsetType, meta("Title.", required=True)] = UNSET
    identifier: Annotated[str | UnsetType, meta("Identifier in the source.")] = UNSET
    namespace: Annotated[str | UnsetType, meta("Namespace of the identifier.")] = UNSET
    family: Annotated[str | UnsetType, meta("Family the assessment belongs to.")] = UNSET
    description: Annotated[str | UnsetType, meta("Description.")] = UNSET
    parent: Annotated[str | UnsetType, meta("Assessment this is part of.", ref="assessment")] = UNSET
    class_: Annotated[str | UnsetType, meta("Class, if given to one class.", ref="class")] = msgspec.field(
        name="class", default=UNSET
    )
    purpose: Annotated[
        str | UnsetType,
        meta("diagnostic, screening, progress_monitoring, formative, interim, summative_state ..."),
    ] = UNSET
    category: Annotated[str | UnsetType, meta("The source's own category code.")] = UNSET
    subjects: Annotated[list[str] | UnsetType, meta("Subjects, in the source's words.")] = UNSET
    grades: Annotated[list[str] | UnsetType, meta("Assessed grades, CEDS codes.")] = UNSET
    minimum: Annotated[str | UnsetType, meta("Lowest possible value, as text.")] = UNSET
    maximum: Annotated[str | UnsetType, meta("Highest possible value, as text.")] = UNSET
    score_scale: Annotated[str | UnsetType, meta("Scale of its scores.", ref="score_scale")] = UNSET
    learning_objectives: Annotated[list[Objective] | UnsetType, meta("Learning objectives it is about.")] = UNSET


class Score(msgspec.Struct, frozen=True, omit_defaults=True):
    """One reported value. It stays text; `datatype` (integer, decimal, percentile, percentage, level, range,
    text) says how to read it."""

    method: str
    value: str
    datatype: str = "text"


_NUMBER = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)")
_INTEGER = re.compile(r"[+-]?[0-9]+")


def read_as(datatype: str, value: str) -> str:
    """The datatype by which a value can be read: the stated one where the value is like that, decimal for an integer
    that is none, else text. Vendors write a word in the place of a number."""
    if datatype in ("text", "range", "level"):
        return datatype
    if not _NUMBER.fullmatch(value.strip()):
        return "text"
    if datatype == "integer" and not _INTEGER.fullmatch(value.strip()):
        return "decimal"
    return datatype


class PerformanceLevel(msgspec.Struct, frozen=True, omit_defaults=True):
    """One reported level, in the source's own code."""

    method: str
    level: str


class AssessmentResult(Values):
    """One student's result in one assessment or one part of it. Source: Ed-Fi StudentAssessment;
    OneRoster 1.2 AssessmentResult."""

    assessment: Annotated[str | UnsetType, meta("Assessment.", ref="assessment", required=True)] = UNSET
    student: Annotated[str | UnsetType, meta("Student.", ref="person", required=True)] = UNSET
    on: Annotated[date | UnsetType, meta("Day of administration.")] = UNSET
    period: Annotated[str | UnsetType, meta("Testing window, in the source's words: Fall, BOY ...")] = UNSET
    school_year: Annotated[int | UnsetType, meta("School year, as the year in which it ends.")] = UNSET
    status: Annotated[str | UnsetType, meta("Score status: fully_graded, exempt ...")] = UNSET
    parent: Annotated[str | UnsetType, meta("Result this is part of.", ref="assessment_result")] = UNSET
    school: Annotated[str | UnsetType, meta("Reported school.", ref="organization")] = UNSET
    grade: Annotated[str | UnsetType, meta("Grade when assessed, CEDS code.")] = UNSET
    scores: Annotated[list[Score] | UnsetType, meta("Scores.")] = UNSET
    performance_levels: Annotated[list[PerformanceLevel] | UnsetType, meta("Performance levels.")] = UNSET
    retest: Annotated[str | UnsetType, meta("Retest indicator, the source's code.")] = UNSET
    reason_not_tested: Annotated[str | UnsetType, meta("Why there is no score, the source's code.")] = UNSET
    comment: Annotated[str | UnsetType, meta("Comment.")] = UNSET
    late: Annotated[bool | UnsetType, meta("Handed in late.")] = UNSET
    missing: Annotated[bool | UnsetType, meta("Not handed in.")] = UNSET
    incomplete: Annotated[bool | UnsetType, meta("Incomplete.")] = UNSET
    in_progress: Annotated[bool | UnsetType, meta("Not finished yet.")] = UNSET
    score_scale: Annotated[str | UnsetType, meta("Scale of the score.", ref="score_scale")] = UNSET
    learning_objectives: Annotated[
        list[ObjectiveScore] | UnsetType, meta("What came out for each learning objective.")
    ] = UNSET


class Category(Values):
    """A group of line items. Source: OneRoster 1.2 Category."""

    title: Annotated[str | UnsetType, meta("Title.", required=True)] = UNSET
    weight: Annotated[float | UnsetType, meta("Weight in the grade.")] = UNSET


class LineItem(Values):
    """Something graded in a class. Source: OneRoster 1.2 LineItem."""

    title: Annotated[str | UnsetType, meta("Title.", required=True)] = UNSET
    description: Annotated[str | UnsetType, meta("Description.")] = UNSET
    class_: Annotated[str | UnsetType, meta("Class.", ref="class", required=True)] = msgspec.field(
        name="class", default=UNSET
    )
    school: Annotated[str | UnsetType, meta("School.", ref="organization")] = UNSET
    category: Annotated[str | UnsetType, meta("Category.", ref="category")] = UNSET
    session: Annotated[str | UnsetType, meta("Session.", ref="session")] = UNSET
    grading_period: Annotated[str | UnsetType, meta("Grading period it counts in.", ref="session")] = UNSET
    assign_on: Annotated[date | UnsetType, meta("Day it was set.")] = UNSET
    due_on: Annotated[date | UnsetType, meta("Day it is due.")] = UNSET
    minimum: Annotated[str | UnsetType, meta("Lowest possible value, as text.")] = UNSET
    maximum: Annotated[str | UnsetType, meta("Highest possible value, as text.")] = UNSET
    score_scale: Annotated[str | UnsetType, meta("Scale of its scores.", ref="score_scale")] = UNSET
    learning_objectives: Annotated[
        list[Objective] | UnsetType, meta("Learning objectives it is about.", merge="owned")
    ] = UNSET


class Result(Values):
    """One student's result for one line item. Source: OneRoster 1.2 Result."""

    line_item: Annotated[str | UnsetType, meta("Line item.", ref="line_item", required=True)] = UNSET
    student: Annotated[str | UnsetType, meta("Student.", ref="person", required=True)] = UNSET
    class_: Annotated[str | UnsetType, meta("Class.", ref="class")] = msgspec.field(name="class", default=UNSET)
    status: Annotated[str | UnsetType, meta("fully_graded, exempt, not_submitted ...")] = UNSET
    on: Annotated[date | UnsetType, meta("Day of the score.")] = UNSET
    score: Annotated[str | UnsetType, meta("Score, as text.")] = UNSET
    text_score: Annotated[str | UnsetType, meta("Score in words.")] = UNSET
    comment: Annotated[str | UnsetType, meta("Comment.")] = UNSET
    late: Annotated[bool | UnsetType, meta("Handed in late.")] = UNSET
    missing: Annotated[bool | UnsetType, meta("Not handed in.")] = UNSET
    incomplete: Annotated[bool | UnsetType, meta("Incomplete.")] = UNSET
    in_progress: Annotated[bool | UnsetType, meta("Not finished yet.")] = UNSET
    score_scale: Annotated[str | UnsetType, meta("Scale of the score.", ref="score_scale")] = UNSET
    learning_objectives: Annotated[
        list[ObjectiveScore] | UnsetType, meta("What came out for each learning objective.", merge="owned")
    ] = UNSET
