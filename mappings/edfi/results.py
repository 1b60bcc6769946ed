"""What Ed-Fi states about assessments and their results."""

from collections.abc import Iterator, Sequence
from datetime import date
from typing import Any

from msgspec import UNSET, UnsetType

from connectors.edfi import models_results as wire
from connectors.edfi.models import ObjectiveAssessmentReference, joined
from gateway.errors import RecordError
from gateway.mapping import Claim, Crosswalks, Statement
from gateway.schema.assessment import Assessment, AssessmentResult, PerformanceLevel, Score, read_as
from mappings.edfi.values import code, code_if, given, grades, text, translated


def assessment(one: wire.Assessment, codes: Crosswalks) -> Iterator[Statement]:
    subjects = [each.academicSubjectDescriptor for each in one.academicSubjects or ()]
    if one.academicSubjectDescriptor:
        subjects.append(one.academicSubjectDescriptor)
    minimum, maximum = _range(one.scores)
    yield Claim(
        "assessment",
        one.key,
        Assessment(
            title=text(one.assessmentTitle),
            identifier=one.assessmentIdentifier,
            namespace=one.namespace,
            family=text(one.assessmentFamily),
            purpose=translated("assessment_category", one.assessmentCategoryDescriptor, codes),
            category=given(one.assessmentCategoryDescriptor),
            subjects=[code(subject) for subject in subjects] or UNSET,
            grades=grades(one.assessedGradeLevels, codes),
            minimum=minimum,
            maximum=maximum,
        ),
    )


def objective_assessment(part: wire.ObjectiveAssessment, codes: Crosswalks) -> Iterator[Statement]:
    above = _part_above(part, codes) or part.assessmentReference
    subject = part.academicSubjectDescriptor
    minimum, maximum = _range(part.scores)
    yield Claim(
        "assessment",
        part.key,
        Assessment(
            title=text(part.description) or part.identificationCode,
            identifier=part.identificationCode,
            namespace=part.assessmentReference.namespace,
            parent=above.key,
            subjects=[code(subject)] if subject else UNSET,
            minimum=minimum,
            maximum=maximum,
        ),
    )


def student_assessment(record: wire.StudentAssessment, codes: Crosswalks) -> Iterator[Statement]:
    """The result, and one more for each part that was reported by itself."""
    student, on = record.studentReference.key, _day(record.administrationDate)
    reported, year, window = record.reportedSchoolReference, record.schoolYearTypeReference, record.period
    common: dict[str, Any] = {
        "student": student,
        "period": code(window.assessmentPeriodDescriptor) if window else UNSET,
        "school_year": year.schoolYear if year else UNSET,
        "school": str(reported.schoolId) if reported else UNSET,
        "grade": translated("grade", record.whenAssessedGradeLevelDescriptor, codes),
    }
    yield Claim(
        "assessment_result",
        record.key,
        AssessmentResult(
            **common,
            assessment=record.assessmentReference.key,
            on=on,
            scores=_scores(record.scoreResults, codes),
            performance_levels=_levels(record.performanceLevels),
            retest=code_if(record.retestIndicatorDescriptor),
            reason_not_tested=code_if(record.reasonNotTestedDescriptor),
        ),
    )
    for part in record.studentObjectiveAssessments or ():
        objective = part.objectiveAssessmentReference
        yield Claim(
            "assessment_result",
            f"{record.key}|{joined(objective.identificationCode)}",
            AssessmentResult(
                **common,
                assessment=objective.key,
                parent=record.key,
                on=_day(part.administrationDate) or on,
                scores=_scores(part.scoreResults, codes),
                performance_levels=_levels(part.performanceLevels),
            ),
        )


def _part_above(part: wire.ObjectiveAssessment, codes: Crosswalks) -> ObjectiveAssessmentReference | None:
    """The part that this one is a part of; the first of them where there are several, and it is said."""
    above = [each.parentObjectiveAssessmentReference for each in part.parentObjectiveAssessments or ()]
    if part.parentObjectiveAssessmentReference:
        above.append(part.parentObjectiveAssessmentReference)
    if len(above) > 1:
        codes.notice("several-parents", "parentObjectiveAssessments")
    return above[0] if above else None


def _scores(results: Sequence[wire.ScoreResult] | None, codes: Crosswalks) -> list[Score] | UnsetType:
    """# Ed-Fi: a result is text whatever its datatype, and a server checks nothing."""
    scores = []
    for each in results or ():
        stated = codes.translate("result_datatype", each.resultDatatypeTypeDescriptor) or "text"
        datatype = read_as(stated, each.result)
        if datatype != stated:
            codes.notice("score-not-of-its-type", "scoreResults")
        scores.append(Score(code(each.assessmentReportingMethodDescriptor), each.result, datatype))
    return scores or UNSET


def _levels(levels: Sequence[wire.PerformanceLevel] | None) -> list[PerformanceLevel] | UnsetType:
    reported = [
        PerformanceLevel(code(each.assessmentReportingMethodDescriptor), code(each.performanceLevelDescriptor))
        for each in levels or ()
    ]
    return reported or UNSET


def _range(scores: Sequence[wire.AssessmentScore] | None) -> tuple[str | UnsetType, str | UnsetType]:
    """Lowest and highest value, where all reporting methods share them; otherwise they belong to none."""
    ranges = {(each.minimumScore, each.maximumScore) for each in scores or ()}
    if len(ranges) != 1:
        return UNSET, UNSET
    minimum, maximum = ranges.pop()
    return given(minimum), given(maximum)


def _day(moment: str | None) -> date | UnsetType:
    """The day in front of a time: a test is stamped with its day and no real hour, so zones do not matter."""
    if moment is None:
        return UNSET
    try:
        return date.fromisoformat(moment[:10])
    except ValueError:
        raise RecordError("edfi-date", "The day of administration is not a date.", field="administrationDate") from None
