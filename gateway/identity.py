"""When two sources speak of the same thing: ids, the words by which an entity is recognised, whose word counts."""

import hashlib
import hmac
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from gateway.fold import Doc
from gateway.schema import Kind

STAFF_ROLES_ARE_ALL_BUT = {
    "student": "student",
    "guardian": "contact",
    "parent": "contact",
    "relative": "contact",
}


AUTO = "auto"
"""Stands, in the setting of a connection, for every identifier system that its records have."""
_BY = " @ "


class System(NamedTuple):
    """A sort of number: the source's own word for it and, where several organizations give one of the same sort, which
    one's is meant."""

    name: str
    assigned_by: str = ""

    @classmethod
    def read(cls, text: str) -> "System":
        """`District`, `District @ 255901`, or a whole descriptor, of which the code value counts."""
        name, _, assigned_by = text.partition(_BY)
        return cls(name.rpartition("#")[2].strip() if "://" in name else name.strip(), assigned_by.strip())

    def __str__(self) -> str:
        return f"{self.name}{_BY}{self.assigned_by}" if self.assigned_by else self.name

    def has(self, identifier: Mapping[str, str]) -> bool:
        """Whether a stated identifier is of this sort."""
        return identifier["system"] == self.name and self.assigned_by in ("", identifier.get("assigned_by", ""))


@dataclass(frozen=True)
class Identifiers:
    """Which of a connection's identifier systems carries the number that other systems know too."""

    student: System
    staff: System


@dataclass(frozen=True)
class Candidates:
    """The identifier systems that a connection's setting names, in their order; `open`: any other may do as well."""

    named: tuple[System, ...]
    open: bool

    @classmethod
    def read(cls, setting: str) -> "Candidates":
        """`District`, or several in the order in which they are preferred, parted by semicolons; `auto` is any."""
        parts = [part for part in map(str.strip, setting.split(";")) if part]
        return cls(tuple(System.read(part) for part in parts if part != AUTO), AUTO in parts)

    @property
    def first(self) -> System:
        """The one that is used until the people say another one is better."""
        return self.named[0] if self.named else System("")

    @property
    def several(self) -> bool:
        """Whether there is a choice to be made."""
        return self.open or len(self.named) > 1

    def have(self, system: System) -> bool:
        return self.open or system in self.named


class Rate(NamedTuple):
    """Of so many people `stated` have a number of this system, and `matched` are recognised by it; `zeros` more would
    be if leading zeros did not count."""

    system: System
    stated: int
    matched: int
    zeros: int = 0

    @classmethod
    def of(cls, kept: Mapping[str, Any]) -> "Rate":
        return cls(System.read(kept["system"]), kept["stated"], kept["matched"], kept["zeros"])

    def kept(self) -> dict[str, Any]:
        return {"system": str(self.system), "stated": self.stated, "matched": self.matched, "zeros": self.zeros}


CLEARLY = 0.05
"""What part of the people another system must recognise more than the one in use, to be used instead."""


def best(candidates: Candidates, rates: Sequence[Rate], using: System | None) -> System:
    """The candidate by which most people are recognised; the one in use unless another is clearly better."""
    places = {system: n for n, system in enumerate(candidates.named)}
    known = [rate for rate in rates if candidates.have(rate.system) and rate.matched]
    if using is None or not candidates.have(using):
        using = None
    if not known:
        return using or candidates.first
    winner = max(known, key=lambda rate: (rate.matched, -places.get(rate.system, len(places))))
    if using is None:
        return winner.system
    now = next((rate.matched for rate in rates if rate.system == using), 0)
    people = max(rate.stated for rate in rates)
    return winner.system if winner.matched - now > CLEARLY * people else using


def entity_id(district_key: bytes, kind: str, connection: int, key: str) -> str:
    """The id an entity gets on first sight: keyed, so that it tells nothing about the source key.

    It is stored and never computed again; a source key that changes later does not change it.
    """
    digest = bytearray(hmac.digest(district_key, f"{kind}\x1f{connection}\x1f{key}".encode(), hashlib.sha256)[:16])
    digest[6] = digest[6] & 0x0F | 0x80  # RFC 9562 5.8: version 8, made by a rule of our own
    digest[8] = digest[8] & 0x3F | 0x80
    hex = digest.hex()
    return f"{hex[:8]}-{hex[8:12]}-{hex[12:16]}-{hex[16:20]}-{hex[20:]}"


def population(doc: Doc) -> str | None:
    """student, staff or contact: as stated, else as the roles say; None while neither is known."""
    if "population" in doc:
        return str(doc["population"])
    found = {STAFF_ROLES_ARE_ALL_BUT.get(role["role"], "staff") for role in doc.get("roles", ())}
    for word in ("student", "staff", "contact"):
        if word in found:
            return word
    return None


def match_word(kind: Kind, doc: Doc, identifiers: Identifiers) -> str | None:
    """The text two sources' entities have in common when they are the same one; None when it cannot be told.

    People are recognised by the configured identifier only, never by name; leading zeros count.
    """
    if kind.name == "person":
        return _person_word(doc, identifiers)
    parts = [doc.get(name) for name in kind.match]
    if not parts or any(part in (None, "") for part in parts):
        return None
    return "\x1f".join(str(part) for part in parts)


def _person_word(doc: Doc, identifiers: Identifiers) -> str | None:
    who = population(doc)
    system = {"student": identifiers.student, "staff": identifiers.staff}.get(who or "")
    if system is None:
        return None
    values = {i["value"].strip() for i in doc.get("identifiers", ()) if system.has(i)}
    if len(values) != 1 or "" in values:
        return None
    return f"{who}\x1f{values.pop()}"


def collection_of(kind: Kind, doc: Doc) -> str | None:
    """The collection whose system of record decides about this entity; None where any source may publish."""
    if kind.name == "person":
        return population(doc)
    return kind.system_of_record


def precedence(owner: int | None, order: Sequence[int]) -> list[int]:
    """Connections in the order their word counts: the system of record first, then as they were connected."""
    if owner is None:
        return list(order)
    return [owner, *(connection for connection in order if connection != owner)]
