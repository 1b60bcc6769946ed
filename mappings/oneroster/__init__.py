"""OneRoster and the common schema: records in."""

from pathlib import Path

from connectors.oneroster import models as wire
from gateway.mapping import Inbound, Mapping
from mappings.oneroster import results, roster
from mappings.oneroster.lenient import lenient

INBOUND: dict[type, Inbound] = {
    wire.Org: roster.org,
    wire.AcademicSession: roster.academic_session,
    wire.Course: roster.course,
    wire.Class: roster.class_,
    wire.User: roster.user,
    wire.UserRole: roster.user_role,
    wire.Demographics: roster.demographics,
    wire.Enrollment: roster.enrollment,
    wire.Category: results.category,
    wire.LineItem: results.line_item,
    wire.Result: results.result,
    wire.AssessmentLineItem: results.assessment_line_item,
    wire.AssessmentResult: results.assessment_result,
}

MAPPING = Mapping(
    name="oneroster",
    version="2",
    inbound={wire_type: lenient(wire_type, inbound) for wire_type, inbound in INBOUND.items()},
    crosswalks=Path(__file__).parent / "crosswalks",
)
