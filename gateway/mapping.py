"""What a mapping is: pure functions from one wire record to claims, and the code tables they ask."""

import csv
import hashlib
from collections import Counter
from collections.abc import Callable, Iterable
from collections.abc import Mapping as Table
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any, Literal

import msgspec
from pydantic import BaseModel

from gateway.connector import Document, Loss
from gateway.errors import ConfigError
from gateway.schema.fields import Values
from gateway.schema.plan import Plan
from gateway.summary import PlanProfile


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


Missed = tuple[str, str, str, str]
"""What of a record did not come into its claims: why (unmapped, defaulted, override), the crosswalk or the field, the
code, what stands in its place."""

OUTWARD = "out_"
"""A table whose name begins so is read the other way: from a word of the common schema to a code of the target."""


@dataclass
class Crosswalks:
    """The code tables of one mapping; whatever a table does not know is counted, never guessed.

    `defaults` holds the word a district chose for whatever a table does not know. `unmapped` counts what got no word;
    `missed` lists what the record being mapped met: (unmapped or defaulted, table, code, the default); `noticed` what
    was read in it although the standard does not allow it: (code of docs/leniencies.md, field).
    """

    tables: dict[str, dict[str, Row]]
    defaults: dict[str, str] = field(default_factory=dict)
    unmapped: Counter[tuple[str, str]] = field(default_factory=Counter)
    missed: list[Missed] = field(default_factory=list)
    noticed: list[tuple[str, str]] = field(default_factory=list)

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
        row = self.find(table, code)
        if row is not None:
            return row.target or None
        default = self.defaults.get(table)
        if default is None:
            self.unmapped[table, code] += 1
        self.missed.append(("unmapped" if default is None else "defaulted", table, code, default or ""))
        return default

    def notice(self, code: str, field: str) -> None:
        """The record being mapped has something in `field` that the standard does not allow, and it was read."""
        self.noticed.append((code, field))

    def find(self, table: str, code: str) -> Row | None:
        """The line for a code as it stands, else for it in lower case; nothing is counted."""
        return self.tables[table].get(code) or self.tables[table].get(code.strip().casefold())

    def with_own(self, rows: Iterable[tuple[str, Row]], defaults: Table[str, str]) -> "Crosswalks":
        """These tables with a district's own lines, (table, line), laid over them, and its defaults."""
        tables = {name: dict(lines) for name, lines in self.tables.items()}
        for table, row in rows:
            tables[table][row.source] = row
        return Crosswalks(tables, dict(defaults))

    def fresh(self) -> "Crosswalks":
        """The same tables with nothing counted yet."""
        return Crosswalks(self.tables, self.defaults)

    def fingerprint(self) -> str:
        """Changes whenever any line or default changes, so that records are mapped again."""
        lines: dict[str, Any] = {name: sorted(map(repr, rows.values())) for name, rows in self.tables.items()}
        if self.defaults:
            lines[""] = sorted(self.defaults.items())
        return hashlib.sha256(msgspec.json.encode(lines)).hexdigest()[:16]


def row(source: str, target: str, match: str, note: str = "") -> Row:
    """A line of a crosswalk. ConfigError when it contradicts itself."""
    if match not in ("exact", "narrower", "broader", "none") or (match == "none") != (not target):
        raise ConfigError(
            "crosswalk-line",
            f"The crosswalk line for source code {source!r} has match {match!r} and target {target!r}.",
            "Use exact, narrower or broader with a target, or none without one.",
        )
    return Row(source, target, match, note)  # type: ignore[arg-type]


def _row(line: dict[str, str]) -> Row:
    return row(line["source"], line["target"], line.get("match") or "exact", line.get("note") or "")


Inbound = Callable[[Any, Crosswalks], Iterable[Statement]]


@dataclass(frozen=True)
class Attended:
    """A class that the student attends now, and where it is, by the keys of the destination's own records."""

    key: str
    school: str = ""
    sessions: tuple[str, ...] = ()


@dataclass(frozen=True)
class Member:
    """Somebody of the staff on a plan's team today: their entity id, the key or number by which the destination knows
    them (empty where it does not), and their role on the team in words."""

    person: str
    number: str
    role: str


@dataclass(frozen=True)
class Place:
    """A course of a destination that told of itself, by its own ids and addresses: `kind` says which protocol's words
    `facts` are in."""

    key: str
    kind: str = ""
    facts: Table[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Parties:
    """Whom a plan is about, by the ids the destination knows them by: `student`, and staff by entity id. `plan` is
    the plan's own id; `settings` are the destination's, without secrets. All ids are keys of the destination's own
    records: `school` is that of the plan's school, and `classes` are those of the student that it knows.
    `collections` are those that its last pull read: they tell which edition of a standard it speaks. `today` is the
    district's day, where it is known.

    A destination from which nothing is pulled has no keys that we know: `student` and `staff` are then the district's
    own numbers. `link` is the plan's doorway, with nobody's number in it. `roles` are the words for what staff are, on
    the plan's team or at a school, by entity id; `team` is its staff today. `print` makes the tagged PDF of what a
    profile lets through, and of no more; it takes half a second, so it is called when the file is sent. `version` and
    `finalized_on` are those of what is sent; `closed`: the plan is over, whatever its days say. `places` are those that
    the destination itself told of."""

    plan: str
    student: str
    staff: Table[str, str]
    settings: Table[str, Any]
    classes: tuple[Attended, ...] = ()
    collections: frozenset[str] = frozenset()
    school: str = ""
    today: date | None = None
    link: str = ""
    roles: Table[str, str] = field(default_factory=dict)
    team: tuple[Member, ...] = ()
    print: Callable[[PlanProfile], bytes] | None = None
    places: tuple[Place, ...] = ()
    version: int = 0
    finalized_on: date | None = None
    closed: bool = False


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
    outward: str = ".+"
    """What a target's own codes look like, as a regular expression: checked where a district names one."""
    profile: type[BaseModel] | None = None
    """The delivery profile: what a destination gets to see. Its defaults send as little as possible."""

    def codes(self) -> Crosswalks:
        """A fresh set of this mapping's crosswalks, with nothing counted yet."""
        return Crosswalks.load(self.crosswalks)
