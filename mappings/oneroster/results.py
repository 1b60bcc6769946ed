"""What OneRoster's gradebook states: categories, line items, assessments and the results of all of them."""

import re
from collections.abc import Iterator

from msgspec import UNSET, UnsetType

from connectors.oneroster import models as wire
from gateway.mapping import Claim, Crosswalks
from gateway.schema import assessment as schema
from gateway.schema.assessment import Score
from mappings.oneroster.values import (
    code,
    day,
    decimal,
    flag,
    number_text,
    reference,
    required_reference,
    required_text,
    text,
)


def category(record: wire.Category, codes: Crosswalks) -> Iterator[Claim]:
    yield Claim(
        "category",
        record.sourcedId,
        schema.Category(title=required_text(record.title, "title"), weight=decimal(record.weight, "weight")),
    )


def line_item(record: wire.LineItem, codes: Crosswalks) -> Iterator[Claim]:
    """Graded work. Of its two sessions the grading period is the narrower one."""
    period = reference(record.gradingPeriod, "gradingPeriod")
    yield Claim(
        "line_item",
        record.sourcedId,
        schema.LineItem(
            title=required_text(record.title, "title"),
            description=text(record.description),
            class_=required_reference(record.class_, "class"),
            school=reference(record.school, "school"),
            category=reference(record.category, "category"),
            session=reference(record.academicSession, "academicSession") if period is UNSET else period,
            assign_on=day(record.assignDate, "assignDate"),
            due_on=day(record.dueDate, "dueDate"),
            minimum=number_text(record.resultValueMin),
            maximum=number_text(record.resultValueMax),
        ),
    )


def result(record: wire.Result, codes: Crosswalks) -> Iterator[Claim]:
    yield Claim(
        "result",
        record.sourcedId,
        schema.Result(
            line_item=required_reference(record.lineItem, "lineItem"),
            student=required_reference(record.student, "student"),
            class_=reference(record.class_, "class"),
            status=code("score_status", record.scoreStatus, codes),
            on=day(record.scoreDate, "scoreDate"),
            score=number_text(record.score),
            text_score=text(record.textScore),
            comment=text(record.comment),
            late=flag(record.late, "late"),
            missing=flag(record.missing, "missing"),
            incomplete=flag(record.incomplete, "incomplete"),
            in_progress=flag(record.inProgress, "inProgress"),
        ),
    )


def assessment_line_item(record: wire.AssessmentLineItem, codes: Crosswalks) -> Iterator[Claim]:
    yield Claim(
        "assessment",
        record.sourcedId,
        schema.Assessment(
            title=required_text(record.title, "title"),
            description=text(record.description),
            parent=reference(record.parentAssessmentLineItem, "parentAssessmentLineItem"),
            class_=reference(record.class_, "class"),
            purpose=_purpose(record, codes),
            minimum=number_text(record.resultValueMin),
            maximum=number_text(record.resultValueMax),
        ),
    )


def _purpose(record: wire.AssessmentLineItem, codes: Crosswalks) -> str | UnsetType:
    stated = record.metadata.purpose if isinstance(record.metadata, wire.AssessmentMetadata) else None
    return UNSET if stated is None else code("assessment_purpose", str(stated), codes)


def assessment_result(record: wire.AssessmentResult, codes: Crosswalks) -> Iterator[Claim]:
    yield Claim(
        "assessment_result",
        record.sourcedId,
        schema.AssessmentResult(
            assessment=required_reference(record.assessmentLineItem, "assessmentLineItem"),
            student=required_reference(record.student, "student"),
            on=day(record.scoreDate, "scoreDate"),
            status=code("score_status", record.scoreStatus, codes),
            scores=_scores(record) or UNSET,
            comment=text(record.comment),
            late=flag(record.late, "late"),
            missing=flag(record.missing, "missing"),
            incomplete=flag(record.incomplete, "incomplete"),
            in_progress=flag(record.inProgress, "inProgress"),
        ),
    )


def _scores(record: wire.AssessmentResult) -> list[Score]:
    score = number_text(record.score)
    percentile = number_text(record.scorePercentile)
    in_words = text(record.textScore)
    scores = []
    if score is not UNSET:
        scores.append(Score("score", score, _datatype(score)))
    if percentile is not UNSET:
        scores.append(Score("percentile", percentile, "percentile"))
    if in_words is not UNSET:
        scores.append(Score("text score", in_words))
    return scores


def _datatype(score: str) -> str:
    if re.fullmatch(r"[+-]?[0-9]+", score):
        return "integer"
    return "decimal" if re.fullmatch(r"[+-]?[0-9]*\.[0-9]+", score) else "text"
