"""How one value of an entity is written into one field of a OneRoster 1.2 record, and what a record is made of.

Each function here makes the writer of one field: it is given the entity and returns the field's value, or None where
there is nothing to write.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from gateway.connector import Loss
from gateway.mapping import Crosswalks

Row = dict[str, Any]
TYPES = {
    "orgs": "org",
    "academicSessions": "academicSession",
    "resources": "resource",
    "courses": "course",
    "classes": "class",
    "users": "user",
    "categories": "category",
    "scoreScales": "scoreScale",
    "lineItems": "lineItem",
    "assessmentLineItems": "assessmentLineItem",
}
"""Of each collection that is referred to, what a reference calls its records."""


class Beside(Protocol):
    """What a row says that stands in other entities. Every id is an entity id; what is not known is empty."""

    def href(self, collection: str, id: str) -> str:
        """The address of a record."""

    def children(self, kind: str, id: str) -> Sequence[str]:
        """Of an organization or a session: those whose parent it is."""

    def contacts(self, student: str) -> Sequence[str]:
        """The contacts of a student, from the relationships."""

    def school(self, class_: str) -> str:
        """The school of a class."""


@dataclass(frozen=True)
class Gap:
    """A field that the standard demands and the entity does not tell. `filled`: a placeholder stands there."""

    collection: str
    field: str
    filled: bool


@dataclass
class Entity:
    """What is being written, and what has been found out about it."""

    kind: str
    id: str
    values: Mapping[str, Any]
    beside: Beside
    codes: Crosswalks
    losses: list[Loss] = field(default_factory=list)
    gaps: list[Gap] = field(default_factory=list)

    def lose(self, pointer: str, reason: str) -> None:
        self.losses.append(Loss(f"/{pointer}", "cannot", reason))

    def link(self, collection: str, id: str) -> Row:
        return {"href": self.beside.href(collection, id), "sourcedId": id, "type": TYPES[collection]}


Write = Callable[[Entity], Any]


@dataclass(frozen=True)
class Shape:
    """The records of a collection: each field with its writer, what the standard demands, and what stands where that
    is not told, if anything honest can. `optional`: no record is written where nothing but its id is told."""

    collection: str
    fields: dict[str, Write]
    required: tuple[str, ...] = ()
    placeholders: dict[str, Write] = field(default_factory=dict)
    optional: bool = False

    def row(self, entity: Entity) -> Row | None:
        """The record, without what every record has."""
        row = {name: value for name, write in self.fields.items() if (value := write(entity)) not in (None, "", [])}
        if self.optional and not row:
            return None
        for name in self.required:
            if name not in row:
                stands = self.placeholders[name](entity) if name in self.placeholders else None
                if stands is not None:
                    row[name] = stands
                entity.gaps.append(Gap(self.collection, name, filled=stands is not None))
        return row


def told(name: str) -> Write:
    """A text, a date or a list of texts, as it is."""
    return lambda entity: entity.values.get(name)


def always(value: Any) -> Write:
    return lambda entity: value


def either(*writes: Write) -> Write:
    """The first that has something to write."""
    return lambda entity: next((value for write in writes if (value := write(entity)) not in (None, "")), None)


def flag(name: str) -> Write:
    """A boolean as the standard writes it. # OneRoster 1.2 TrueFalseEnum"""
    return lambda entity: boolean(entity.values.get(name))


def boolean(value: bool | None) -> str | None:
    return None if value is None else "true" if value else "false"


def moment(name: str) -> Write:
    """A day as a date-time: its beginning."""
    return lambda entity: f"{entity.values[name]}T00:00:00.000Z" if name in entity.values else None


def number(name: str) -> Write:
    """A number; the entity has it as text."""

    def write(entity: Entity) -> int | float | None:
        stated = entity.values.get(name)
        found = as_number(stated)
        if stated and found is None:
            entity.lose(name, "It is no number, and the standard has no other place for it.")
        return found

    return write


def as_number(stated: Any) -> int | float | None:
    """What a text says as a JSON number; None where it says none."""
    if isinstance(stated, int | float) or stated is None:
        return stated
    if re.fullmatch(r"[+-]?[0-9]+", stated):
        return int(stated)
    return float(stated) if re.fullmatch(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]{1,3})?", stated) else None


def word(name: str, table: str) -> Write:
    """A word of ours as a code of the standard, by a crosswalk."""

    def write(entity: Entity) -> str | None:
        stated = entity.values.get(name)
        found = code(entity, table, stated)
        if stated and found is None:
            entity.lose(name, f"The crosswalk {table} has no code for it.")
        return found

    return write


def code(entity: Entity, table: str, stated: str | None) -> str | None:
    row = entity.codes.find(table, stated) if stated else None
    return (row.target or None) if row else None


def words(name: str, table: str) -> Write:
    """Each word of a list as a code; which of them have none is told."""

    def write(entity: Entity) -> list[str]:
        found = []
        for n, stated in enumerate(entity.values.get(name, ())):
            translated = code(entity, table, stated)
            if translated is None:
                entity.lose(f"{name}/{n}", f"The crosswalk {table} has no code for it.")
            else:
                found.append(translated)
        return found

    return write


def ref(name: str, collection: str) -> Write:
    """A reference to one record."""
    return lambda entity: entity.link(collection, entity.values[name]) if name in entity.values else None


def refs(name: str, collection: str) -> Write:
    """References to several records."""
    return lambda entity: [entity.link(collection, id) for id in entity.values.get(name, ())]


def children(collection: str) -> Write:
    return lambda entity: [entity.link(collection, id) for id in entity.beside.children(entity.kind, entity.id)]


def school_of_class(entity: Entity) -> Row | None:
    school = entity.beside.school(entity.values["class"]) if "class" in entity.values else ""
    return entity.link("orgs", school) if school else None
