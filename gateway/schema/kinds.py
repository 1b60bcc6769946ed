"""One table of every kind of entity, read off the declarations: merge rules, references, order."""

from dataclasses import dataclass
from typing import Annotated, Any, get_args, get_origin, get_type_hints

import msgspec

from gateway.schema import assessment, needs, roster
from gateway.schema.fields import Merge, Values


@dataclass(frozen=True)
class Reference:
    """A field that holds a key of `kind`: itself, each item of a list, or `part` of each item of a list."""

    field: str
    kind: str
    required: bool
    many: bool
    part: str | None = None


@dataclass(frozen=True)
class Kind:
    """What the gateway knows of one kind of entity.

    `match`: fields by which a second source's entity is recognised as the same (ids for references).
    `system_of_record`: the collection whose system of record alone publishes entities of this kind, if any.
    `restricted`: it tells what a student needs or lived through: it is in no roster that others are given. `withheld`:
    nor in anything else that leaves the gateway (a plan, an export, an agreement), unless it is asked for by name.
    `yearly`: it belongs to its school year, and a source may have none of it in the next one.
    """

    name: str
    values: type[Values]
    system_of_record: str | None
    match: tuple[str, ...]
    merge: dict[str, Merge]
    required: tuple[str, ...]
    references: tuple[Reference, ...]
    restricted: bool = False
    withheld: bool = False
    yearly: bool = False


def _kind(
    name: str,
    values: type[Values],
    *,
    system_of_record: str | None = None,
    match: tuple[str, ...] = (),
    restricted: bool = False,
    withheld: bool = False,
    yearly: bool = False,
) -> Kind:
    merge: dict[str, Merge] = {}
    required = []
    references: list[Reference] = []
    hints = get_type_hints(values, include_extras=True)
    for field in msgspec.structs.fields(values):
        extra = _extra(hints[field.name])
        wire = field.encode_name
        merge[wire] = extra["merge"]
        if extra["required"]:
            required.append(wire)
        references += _references(wire, hints[field.name], extra)
    fields = (merge, tuple(required), tuple(references))
    return Kind(name, values, system_of_record, match, *fields, restricted=restricted, withheld=withheld, yearly=yearly)


def _extra(hint: Any) -> dict[str, Any]:
    for note in get_args(hint)[1:]:
        if isinstance(note, msgspec.Meta):
            return dict(note.extra or {})
    raise TypeError("every field of the common schema needs meta(...)")


def _references(wire: str, hint: Any, extra: dict[str, Any]) -> list[Reference]:
    stated = [t for t in get_args(get_args(hint)[0]) if t is not msgspec.UnsetType] or [get_args(hint)[0]]
    many = get_origin(stated[0]) is list
    if "ref" in extra:
        return [Reference(wire, extra["ref"], extra["required"], many)]
    if not many:
        return []
    item = get_args(stated[0])[0]
    if not (isinstance(item, type) and issubclass(item, msgspec.Struct)):
        return []
    found = []
    for name, part in get_type_hints(item, include_extras=True).items():
        if get_origin(part) is Annotated and "ref" in _extra(part):
            found.append(Reference(wire, _extra(part)["ref"], False, True, part=name))
    return found


KINDS: dict[str, Kind] = {
    kind.name: kind
    for kind in (
        _kind("organization", roster.Organization, system_of_record="organization", match=("type", "identifier")),
        _kind(
            "session",
            roster.Session,
            system_of_record="session",
            match=("school", "begin_on", "end_on", "type"),
        ),
        _kind("resource", roster.LearningResource),
        _kind("course", roster.Course, system_of_record="course", match=("organization", "code")),
        _kind("class", roster.Class, system_of_record="class", match=("school", "code")),
        _kind("person", roster.Person),
        _kind("relationship", roster.Relationship, system_of_record="contact"),
        _kind("program_status", roster.ProgramStatus, restricted=True),
        _kind("enrollment", roster.Enrollment, system_of_record="enrollment", match=("class", "person", "role")),
        _kind("category", assessment.Category),
        _kind("score_scale", assessment.ScoreScale),
        _kind("line_item", assessment.LineItem),
        _kind("result", assessment.Result),
        _kind("assessment", assessment.Assessment),
        _kind("assessment_result", assessment.AssessmentResult),
        _kind("attendance_event", needs.AttendanceEvent, restricted=True, yearly=True),
        _kind("discipline_incident", needs.DisciplineIncident, restricted=True, yearly=True),
        _kind("course_grade", needs.CourseGrade, restricted=True, yearly=True),
        _kind("meal_eligibility", needs.MealEligibility, restricted=True, withheld=True),
    )
}
"""Every kind, parents before what refers to them."""

ORDER: dict[str, int] = {name: place for place, name in enumerate(KINDS)}
