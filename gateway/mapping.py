"""What a mapping is: pure functions from one wire record to claims, and the code tables they ask."""

import csv
import hashlib
from collections import Counter
from collections.abc import Callable, Iterable
from collections.abc import Mapping as Table
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import msgspec
from pydantic import BaseModel

from gateway.connector import Document, Loss
from gateway.errors import ConfigError
from gateway.schema.fields import Values
from gateway.schema.plan import Plan


class Claim(msgspec.Struct, frozen=True):
    """What one record states about the entity `(kind, key)`; keys are the source's own, unique in a connection.

    An entity lives while some claim about it is an `anchor`; others contribute and wait until there is one.
    Lower `rank` wins where several records of one connection state the same field.
    """

    kind: str
    key: str
    values: Values
    anchor: bool = True
    rank: int = 0


class Alias(msgspec.Struct, frozen=True):
    """`key` denotes the same entity as `same_as` (a course offering and its course, an id and its successor)."""

    kind: str
    key: str
    same_as: str


Statement = Claim | Alias
Match = Literal["exact", "narrower", "broader", "none"]


@dataclass(frozen=True)
class Row:
    """One line of a crosswalk. `target` is empty where `match` is none: known, and without a counterpart."""

    source: str
    target: str
    match: Match
    note: str = ""


@dataclass
class Crosswalks:
    """The code tables of one mapping; whatever a table does not know is counted, never guessed."""

    tables: dict[str, dict[str, Row]]
    unmapped: Counter[tuple[str, str]] = field(default_factory=Counter)

    @classmethod
    def load(cls, folder: Path) -> "Crosswalks":
        """Read `<table>.csv` files with the columns source,target,match,note."""
        tables = {}
        for path in sorted(folder.glob("*.csv")):
            with path.open(newline="", encoding="utf-8") as lines:
                tables[path.stem] = {row.source: row for row in map(_row, csv.DictReader(lines))}
        return cls(tables)

    def translate(self, table: str, code: str) -> str | None:
        """The common schema's word for `code`, or None: then it is counted unless the table says `none`."""
        row = self.tables[table].get(code) or self.tables[table].get(code.strip().casefold())
        if row is None:
            self.unmapped[table, code] += 1
            return None
        return row.target or None

    def fingerprint(self) -> str:
        """Changes whenever any line changes, so that records are mapped again."""
        lines = msgspec.json.encode({name: sorted(map(repr, rows.values())) for name, rows in self.tables.items()})
        return hashlib.sha256(lines).hexdigest()[:16]


def _row(line: dict[str, str]) -> Row:
    match = line.get("match") or "exact"
    if match not in ("exact", "narrower", "broader", "none") or (match == "none") != (not line["target"]):
        raise ConfigError(
            "crosswalk-line",
            f"The crosswalk line for source code {line['source']!r} has match {match!r} and target {line['target']!r}.",
            "Use exact, narrower or broader with a target, or none without one.",
        )
    return Row(line["source"], line["target"], match, line.get("note") or "")  # type: ignore[arg-type]


Inbound = Callable[[Any, Crosswalks], Iterable[Statement]]


@dataclass(frozen=True)
class Parties:
    """Whom a plan is about, by the ids the destination knows them by: `student`, and staff by entity id. `plan` is
    the plan's own id; `settings` are the destination's, without secrets."""

    plan: str
    student: str
    staff: Table[str, str]
    settings: Table[str, Any]


Outbound = Callable[[Plan, Parties, Any, Crosswalks], tuple[list[Document], list[Loss]]]


@dataclass(frozen=True)
class Mapping:
    """A connector's mapping: `inbound` by wire type; `outbound` turns a finalized plan into documents.

    `version` is raised whenever the functions change what they state; stored records are then mapped again.
    """

    name: str
    version: str
    inbound: Table[type, Inbound]
    crosswalks: Path
    outbound: "Outbound | None" = None
    profile: type[BaseModel] | None = None
    """The delivery profile: what a destination gets to see. Its defaults send as little as possible."""

    def codes(self) -> Crosswalks:
        """A fresh set of this mapping's crosswalks, with nothing counted yet."""
        return Crosswalks.load(self.crosswalks)
