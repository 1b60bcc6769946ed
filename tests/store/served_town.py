"""A town whose roster a test publishes as it likes, without a pull, and what is served of it."""

import json
import random
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import text

from gateway.served import COLLECTIONS
from gateway.store import served
from gateway.store.database import Store, Transaction

Doc = dict[str, Any]
Key = tuple[str, str]
"""Kind and id of an entity."""


@dataclass
class Town:
    """`there`: what is published now."""

    store: Store
    district: int
    there: dict[Key, Doc] = field(default_factory=dict)

    async def publish(self, changes: Mapping[Key, Doc | None]) -> None:
        """One publication; None removes."""
        async with self.store.transaction(self.district) as c:
            await self.publish_in(c, changes)

    async def publish_in(self, c: Transaction, changes: Mapping[Key, Doc | None]) -> None:
        moved = {key: doc for key, doc in changes.items() if self.there.get(key) != doc}
        rows = [[kind, id, doc, self.there.get((kind, id))] for (kind, id), doc in moved.items()]
        await c.execute(text(_PUBLISH), {"district": self.district, "rows": json.dumps(rows)})
        await c.execute(text(_REMOVE), {"rows": json.dumps([row for row in rows if row[2] is None])})
        for key, doc in moved.items():
            self.there.pop(key, None)
            if doc is not None:
                self.there[key] = doc

    async def rows(self) -> dict[str, dict[str, Any]]:
        """Collection -> sourcedId -> the row."""
        async with self.store.transaction(self.district) as c:
            return await rows(c)

    async def gaps(self) -> list[tuple[str, str, bool, int]]:
        async with self.store.transaction(self.district) as c:
            found = (await served.status(c)).gaps
        return [(one["collection"], one["field"], one["whole"], one["records"]) for one in found]


_PUBLISH = """
    WITH p AS (INSERT INTO publication (district_id, at) VALUES (:district, clock_timestamp()) RETURNING id),
    j AS MATERIALIZED (SELECT j FROM json_array_elements(CAST(:rows AS json)) j),
    logged AS (INSERT INTO change (district_id, publication, kind, entity_id, op, before)
        SELECT :district, p.id, j->>0, CAST(j->>1 AS uuid), CASE WHEN j->>2 IS NULL THEN 'removed'
            WHEN j->>3 IS NULL THEN 'added' ELSE 'changed' END, j->3 FROM j, p)
    INSERT INTO entity (district_id, kind, id, doc, publication)
    SELECT :district, j->>0, CAST(j->>1 AS uuid), j->2, p.id FROM j, p WHERE j->>2 IS NOT NULL
    ON CONFLICT (id, kind, district_id) DO UPDATE SET doc = excluded.doc, publication = excluded.publication
"""
_REMOVE = """
    DELETE FROM entity e USING json_array_elements(CAST(:rows AS json)) j
    WHERE e.kind = j->>0 AND e.id = CAST(j->>1 AS uuid)
"""


async def rows(c: Transaction) -> dict[str, dict[str, Any]]:
    found = {}
    for name, one in COLLECTIONS.items():
        columns = ", ".join(column.name for column in one.columns)
        read = await c.execute(
            text(f"SELECT sourced_id, gone, at, CAST(doc AS text) AS doc, {columns} FROM {one.table}")
        )
        found[name] = {row.sourced_id: row for row in read}
    return found


class Roster:
    """Documents of a small town, made by a dice: who is related to whom, what is missing, what changes."""

    def __init__(self, dice: random.Random) -> None:
        self._dice = dice
        self.ids: dict[str, list[str]] = {
            kind: [str(uuid.UUID(int=dice.getrandbits(128), version=4)) for _ in range(n)] for kind, n in _SIZES.items()
        }

    def doc(self, kind: str, there: Mapping[Key, Doc]) -> Doc | None:
        """One that refers to what is there only; None where something that it needs is not there."""
        dice, made = self._dice, _MADE[kind]

        def of(kind: str) -> str | None:
            ids = sorted(id for found, id in there if found == kind)
            return dice.choice(ids) if ids else None

        doc = made(dice, of)
        return None if any(value is None for value in doc.values()) else {k: v for k, v in doc.items() if v != ""}

    def changes(self, there: Mapping[Key, Doc], n: int) -> dict[Key, Doc | None]:
        """Some that come, go, or become another; with what goes goes what refers to it, as resolving has it."""
        dice, dicing = self._dice, dict(there)
        for _ in range(n):
            kind = dice.choice(list(_SIZES))
            key = (kind, dice.choice(self.ids[kind]))
            if key in dicing and dice.random() < 0.35:
                del dicing[key]
            elif (doc := self.doc(kind, {k: v for k, v in dicing.items() if k != key})) is not None:
                dicing[key] = doc
        while lost := [key for key, doc in dicing.items() if _named(doc) - {id for _, id in dicing}]:
            for key in lost:
                del dicing[key]
        return {key: dicing.get(key) for key in dicing.keys() | there.keys() if dicing.get(key) != there.get(key)}


def _named(doc: Doc) -> set[str]:
    """Every id in a document."""
    return {part for part in json.dumps(doc).split('"') if len(part) == 36 and part.count("-") == 4}


_SIZES = {
    "organization": 4, "session": 3, "resource": 2, "course": 3, "class": 5, "person": 14, "relationship": 10,
    "enrollment": 14, "category": 2, "score_scale": 2, "line_item": 5, "result": 8, "assessment": 3,
    "assessment_result": 6,
}  # fmt: skip


def _person(dice: random.Random, of: Any) -> Doc:
    population = dice.choice(["student", "student", "staff", "contact"])
    role = {"student": "student", "staff": "teacher", "contact": "parent"}[population]
    at = of("organization")
    told = at and (population != "contact" or dice.random() < 0.3)
    return {
        "population": population, "given_name": dice.choice(["Ada", "Ben", ""]) or "", "family_name": "Wren",
        "roles": [{"role": role, "organization": at}] if told else "",
        "primary_organization": at if at and dice.random() < 0.5 else "",
        "sex": dice.choice(["female", ""]), "active": dice.choice([True, ""]),
    }  # fmt: skip


_MADE: dict[str, Any] = {
    "organization": lambda d, of: {
        "name": d.choice(["North", "South"]), "type": d.choice(["school", "school", "district", ""]),
        "identifier": d.choice(["1", "2", ""]), "parent": of("organization") or "",
    },
    "session": lambda d, of: {
        "title": "Term", "type": d.choice(["term", "semester"]), "begin_on": "2026-08-17",
        "end_on": d.choice(["2027-01-12", "2027-06-12", ""]), "school_year": 2027, "parent": of("session") or "",
    },
    "resource": lambda d, of: {"vendor_resource_id": d.choice(["a", "b"]), "title": d.choice(["Atlas", ""])},
    "course": lambda d, of: {
        "title": "Reading", "code": d.choice(["R1", ""]), "organization": of("organization") or "",
        "session": of("session") or "", "resources": [of("resource")] if of("resource") else "",
    },
    "class": lambda d, of: {
        "title": d.choice(["Reading a", "Reading b"]), "course": of("course"), "school": of("organization"),
        "sessions": [of("session")] if of("session") and d.random() < 0.8 else "",
    },
    "person": _person,
    "relationship": lambda d, of: {
        "student": of("person"), "contact": of("person"), "relation": d.choice(["mother", "guardian", "other"]),
        "education_rights": d.choice(["no", "yes", ""]),
    },
    "enrollment": lambda d, of: {
        "person": of("person"), "class": of("class"), "role": d.choice(["student", "teacher"]),
        "school": of("organization") if of("organization") and d.random() < 0.3 else "",
    },
    "category": lambda d, of: {"title": "Tests", "weight": d.choice([0.5, 30.0])},
    "score_scale": lambda d, of: {
        "title": "Letters", "type": "letter", "class": of("class"), "values": [{"value": "A", "stands_for": "90"}],
    },
    "line_item": lambda d, of: {
        "title": d.choice(["Essay", "Quiz"]), "class": of("class"), "category": of("category") or "",
        "due_on": "2026-09-01", "session": of("session") or "", "score_scale": of("score_scale") or "",
    },
    "result": lambda d, of: {
        "line_item": of("line_item"), "student": of("person"), "status": d.choice(["exempt", ""]),
        "on": d.choice(["2026-09-02", ""]), "score": d.choice(["9", "A"]),
    },
    "assessment": lambda d, of: {
        "title": "Map", "parent": of("assessment") or "", "purpose": d.choice(["interim", ""]),
    },
    "assessment_result": lambda d, of: {
        "assessment": of("assessment"), "student": of("person"), "on": "2026-09-02",
        "scores": [{"method": "scale", "value": d.choice(["196", "201"]), "datatype": "integer"}],
    },
}  # fmt: skip
