"""When two sources speak of the same thing: ids, the words by which an entity is recognised, whose word counts."""

import hashlib
import hmac
from collections.abc import Sequence
from dataclasses import dataclass

from gateway.fold import Doc
from gateway.schema import Kind

STAFF_ROLES_ARE_ALL_BUT = {
    "student": "student",
    "guardian": "contact",
    "parent": "contact",
    "relative": "contact",
}


@dataclass(frozen=True)
class Identifiers:
    """Which of a connection's identifier systems carries the number that other systems know too."""

    student: str
    staff: str


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
    values = {i["value"].strip() for i in doc.get("identifiers", ()) if i["system"] == system}
    if system is None or len(values) != 1 or "" in values:
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
