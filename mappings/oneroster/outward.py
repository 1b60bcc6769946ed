"""How an entity of the common schema is written as OneRoster 1.2: strictly, and saying what does not fit."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

from gateway.connector import Loss
from gateway.mapping import Crosswalks

Values = Mapping[str, Any]


class Beside(Protocol):
    """What a row says that stands in other entities. Every id is an entity id; what is not known is empty."""

    def href(self, collection: str, id: str) -> str:
        """The address of a record; CSV has none and never asks."""

    def children(self, kind: str, id: str) -> Sequence[str]:
        """Of an organization or a session: those whose parent it is."""

    def contacts(self, student: str) -> Sequence[str]:
        """The contacts of a student, from the relationships."""

    def school(self, class_: str) -> str:
        """The school of a class."""


@dataclass(frozen=True)
class Outward:
    """`rows`: (collection of OneRoster, its record in the wire shape of 1.2 REST); none where OneRoster has no place
    for such a kind. `losses`: what of the entity is in no row, by the field's name, and what a row lacks although the
    standard demands it."""

    rows: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    losses: list[Loss] = field(default_factory=list)


def outward(kind: str, id: str, values: Values, modified: datetime, beside: Beside, codes: Crosswalks) -> Outward:
    """Write one published entity; pure.

    `values` is the entity's document as it is stored: JSON, references are entity ids. `id` becomes the sourcedId,
    `modified` the dateLastModified. `codes` are those of this mapping: its tables `out_*` lead from our words to the
    standard's. A person gives users and, where anything of it is known, demographics. Booleans are the texts "true"
    and "false", nothing is null, no list is empty. A line item has `gradingPeriod` and `academicSession` apart; the
    CSV binding's rows are made of these by who writes CSV.
    """
    raise NotImplementedError
