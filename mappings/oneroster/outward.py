"""How an entity of the common schema is written as OneRoster 1.2: strictly, and saying what does not fit."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from gateway.connector import Loss
from gateway.mapping import Crosswalks
from gateway.schema import KINDS
from mappings.oneroster import gradebook_rows, roster_rows
from mappings.oneroster.cells import Beside, Entity, Gap

_BEYOND = ("attendance_event", "discipline_incident", "course_grade", "meal_eligibility")
_NO_PLACE = "OneRoster has no place for what goes beyond roster and results."
SHAPES = {**roster_rows.SHAPES, **gradebook_rows.SHAPES, **dict.fromkeys(_BEYOND, ())}
NOWHERE = {
    **roster_rows.NOWHERE,
    **gradebook_rows.NOWHERE,
    **{kind: dict.fromkeys(KINDS[kind].merge, _NO_PLACE) for kind in _BEYOND},
}


@dataclass(frozen=True)
class Outward:
    """`rows`: (collection of OneRoster, its record in the wire shape of 1.2 REST); none where OneRoster has no place
    for such a kind. `losses`: what of the entity is in no row, `/` and the field's name. `gaps`: what the standard
    demands and the entity does not tell; a row with a gap that is not filled is not valid."""

    rows: list[tuple[str, dict[str, Any]]]
    losses: list[Loss]
    gaps: list[Gap]


def outward(
    kind: str, id: str, values: Mapping[str, Any], modified: datetime, beside: Beside, codes: Crosswalks
) -> Outward:
    """Write one published entity; pure.

    `values` is the entity's document as it is stored: JSON, references are entity ids. `id` becomes the sourcedId,
    `modified` the dateLastModified. `codes` are those of this mapping: its tables `out_*` lead from our words to the
    standard's. A person makes a record of users and, where anything of that is known, one of demographics; a
    relationship stands in its student's agents. Booleans are the texts "true" and "false", nothing is null, no list
    is empty. A line item has `gradingPeriod` and `academicSession` apart; what the columns of CSV are made of is for
    who writes CSV to say.
    """
    entity = Entity(kind, id, values, beside, codes)
    common = {"sourcedId": id, "status": "active", "dateLastModified": _instant(modified)}
    rows = []
    for shape in SHAPES[kind]:
        row = shape.row(entity)
        if row is not None:
            rows.append((shape.collection, common | row))
    for name, reason in NOWHERE.get(kind, {}).items():
        if name in values:
            entity.lose(name, reason)
    return Outward(rows, entity.losses, entity.gaps)


def family_roles(related: Iterable[tuple[str, str]]) -> list[dict[str, Any]]:
    """The roles of family at the schools of its students, from (school, relation): OneRoster wants a role of
    everybody."""
    relations: dict[str, set[str]] = {}
    for school, relation in related:
        relations.setdefault(school, set()).add(relation)
    return [
        {"roleType": "primary", "role": _role_of(found), "org": {"sourcedId": school}}
        for school, found in relations.items()
    ]


def _role_of(relations: set[str]) -> str:
    """The word of OneRoster for how somebody is related; where students of one school differ, the closest."""
    if relations & {"mother", "father", "parent"}:
        return "parent"
    return "guardian" if relations & {"guardian", "foster_parent"} else "relative"


def _instant(modified: datetime) -> str:
    return modified.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
