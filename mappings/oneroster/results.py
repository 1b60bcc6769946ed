"""What OneRoster's gradebook states: categories, scales, line items, assessments and the results of all of them."""

import re
from collections.abc import Iterator

from msgspec import UNSET, UnsetType

from connectors.oneroster import models as wire
from gateway.errors import RecordError
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
    texts,
)


def category(record: wire.Category, codes: Crosswalks) -> Iterator[Claim]:
    yield Claim(
        "category",
        record.sourcedId,
        schema.Category(title=required_text(record.title, "title"), weight=decimal(record.weight, "weight")),
    )


def score_scale(record: wire.ScoreScale, codes: Crosswalks) -> Iterator[Claim]:
    yield Claim(
        "score_scale",
        record.sourcedId,
        schema.ScoreScale(
            title=required_text(record.title, "title"),
            type=text(record.type),
            organization=reference(record.org, "org"),
            course=reference(record.course, "course"),
            class_=reference(record.class_, "class"),
            values=_scale_values(record) or UNSET,
        ),
    )


def _scale_values(record: wire.ScoreScale) -> list[schema.ScaleValue]:
    stated = record.scoreScaleValue
    if isinstance(stated, str):
        if stated.strip():
            reason = "scoreScaleValue does not have the form {value:meaning},{value:meaning}."
            raise RecordError("bad-score-scale", reason, field="scoreScaleValue")
        return []
    values = ((number_text(one.itemValueLHS), number_text(one.itemValueRHS)) for one in stated or ())
    return [schema.ScaleValue(left, right or "") for left, right in values if left is not UNSET]


def line_item(record: wire.LineItem, codes: Crosswalks) -> Iterator[Claim]:
    yield Claim(
        "line_item",
        record.sourcedId,
        schema.LineItem(
            title=required_text(record.title, "title"),
            description=text(record.description),
            class_=required_reference(record.class_, "class"),
            school=reference(record.school, "school"),
            category=reference(record.category, "category"),
            session=reference(record.academicSession, "academicSession"),
            grading_period=reference(record.gradingPeriod, "gradingPeriod"),
            assign_on=day(record.assignDate, "assignDate"),
            due_on=day(record.dueDate, "dueDate"),
            minimum=number_text(record.resultValueMin),
            maximum=number_text(record.resultValueMax),
            score_scale=reference(record.scoreScale, "scoreScale"),
            learning_objectives=_objectives(record.learningObjectiveSet, codes) or UNSET,
        ),
    )


def _objectives(sets: list[wire.ObjectiveSet] | None, codes: Crosswalks) -> list[schema.Objective]:
    """Whose and which learning objectives, one by one."""
    found = []
    for one in sets or ():
        source = objective_source(one.source, codes)
        ids = texts(one.learningObjectiveIds)
        if ids is UNSET:
            codes.notice("objective-without-id", "learningObjectiveSet")
            continue
        found += [schema.Objective(source, id) for id in ids]
    return list(dict.fromkeys(found))


def objective_source(stated: wire.Text, codes: Crosswalks) -> str:
    """Whose id a learning objective has; the standard's own word where that is not said."""
    source = text(stated)
    if source is UNSET:
        codes.notice("objective-without-source", "learningObjectiveSet")
        return "unknown"
    return source


def _objective_scores(sets: list[wire.ObjectiveResultSet] | None, codes: Crosswalks) -> list[schema.ObjectiveScore]:
    found = []
    for one in sets or ():
        source = objective_source(one.source, codes)
        for result in one.learningObjectiveResults or ():
            id = text(result.learningObjectiveId)
            if id is UNSET:
                codes.notice("objective-without-id", "learningObjectiveSet")
                continue
            found.append(schema.ObjectiveScore(source, id, number_text(result.score), text(result.textScore)))
    return list(dict.fromkeys(found))


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
            score_scale=reference(record.scoreScale, "scoreScale"),
            learning_objectives=_objective_scores(record.learningObjectiveSet, codes) or UNSET,
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
            score_scale=reference(record.scoreScale, "scoreScale"),
            learning_objectives=_objectives(record.learningObjectiveSet, codes) or UNSET,
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
            score_scale=reference(record.scoreScale, "scoreScale"),
            learning_objectives=_objective_scores(record.learningObjectiveSet, codes) or UNSET,
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
