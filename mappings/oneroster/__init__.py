"""OneRoster and the common schema: records in, entities out."""

from pathlib import Path

from connectors.oneroster import models as wire
from gateway.mapping import Inbound, Mapping
from mappings.oneroster import links, results, roster
from mappings.oneroster.lenient import lenient

INBOUND: dict[type, Inbound] = {
    wire.Org: roster.org,
    wire.AcademicSession: roster.academic_session,
    wire.ResourceItem: roster.resource,
    wire.Course: roster.course,
    wire.CourseResource: links.course_resource,
    wire.Class: roster.class_,
    wire.ClassResource: links.class_resource,
    wire.User: roster.user,
    wire.UserRole: roster.user_role,
    wire.UserResource: links.user_resource,
    wire.Demographics: roster.demographics,
    wire.Enrollment: roster.enrollment,
    wire.Category: results.category,
    wire.ScoreScale: results.score_scale,
    wire.LineItem: results.line_item,
    wire.LineItemScoreScale: links.line_item_score_scale,
    wire.LineItemObjective: links.line_item_objective,
    wire.Result: results.result,
    wire.ResultScoreScale: links.result_score_scale,
    wire.ResultObjective: links.result_objective,
    wire.AssessmentLineItem: results.assessment_line_item,
    wire.AssessmentResult: results.assessment_result,
}

MAPPING = Mapping(
    name="oneroster",
    version="2",
    inbound={wire_type: lenient(wire_type, inbound) for wire_type, inbound in INBOUND.items()},
    outward=r"[A-Za-z][A-Za-z ]*|ext:[a-zA-Z0-9._-]+",
    crosswalks=Path(__file__).parent / "crosswalks",
)
