"""What the link files of a CSV package add to a record that stands in another file. # OneRoster 1.1, 1.2 CSV"""

from collections.abc import Iterator

from connectors.oneroster import models as wire
from gateway.mapping import Claim, Crosswalks
from gateway.schema import assessment, roster
from gateway.schema.fields import Values
from mappings.oneroster.results import objective_source
from mappings.oneroster.values import number_text, required_reference, required_text, text


def course_resource(record: wire.CourseResource, codes: Crosswalks) -> Iterator[Claim]:
    yield _to("course", record.course, "course", roster.Course(resources=[_resource(record)]))


def class_resource(record: wire.ClassResource, codes: Crosswalks) -> Iterator[Claim]:
    yield _to("class", record.class_, "class", roster.Class(resources=[_resource(record)]))


def user_resource(record: wire.UserResource, codes: Crosswalks) -> Iterator[Claim]:
    """At which organization or in which class the person has it is not held."""
    yield _to("person", record.user, "user", roster.Person(resources=[_resource(record)]))


def _resource(record: wire.CourseResource | wire.ClassResource | wire.UserResource) -> str:
    return required_reference(record.resource, "resource")


def line_item_score_scale(record: wire.LineItemScoreScale, codes: Crosswalks) -> Iterator[Claim]:
    scale = required_reference(record.scoreScale, "scoreScale")
    yield _to("line_item", record.lineItem, "lineItem", assessment.LineItem(score_scale=scale))


def result_score_scale(record: wire.ResultScoreScale, codes: Crosswalks) -> Iterator[Claim]:
    scale = required_reference(record.scoreScale, "scoreScale")
    yield _to("result", record.result, "result", assessment.Result(score_scale=scale))


def line_item_objective(record: wire.LineItemObjective, codes: Crosswalks) -> Iterator[Claim]:
    id = required_text(record.learningObjectiveId, "learningObjectiveId")
    objective = assessment.Objective(objective_source(record.source, codes), id)
    yield _to("line_item", record.lineItem, "lineItem", assessment.LineItem(learning_objectives=[objective]))


def result_objective(record: wire.ResultObjective, codes: Crosswalks) -> Iterator[Claim]:
    score = assessment.ObjectiveScore(
        objective_source(record.source, codes),
        required_text(record.learningObjectiveId, "learningObjectiveId"),
        number_text(record.score),
        text(record.textScore),
    )
    yield _to("result", record.result, "result", assessment.Result(learning_objectives=[score]))


def _to(kind: str, key: wire.Ref, field: str, values: Values) -> Claim:
    return Claim(kind, required_reference(key, field), values, anchor=False)
