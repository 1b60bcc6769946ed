"""What the sources know of students who are to get a plan, who said so, and what a plan was begun with."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

OF_STUDENT = ("relationship", "program_status", "assessment_result")
"""Kinds of which a plan begins with what is published about its student."""


@dataclass(frozen=True)
class Kept:
    """One value that a plan was begun with: whether it was `filled` in, is `suggested`, or told as `context`; where in
    the document it stands or would stand; and where it comes from."""

    use: str
    pointer: str
    value: Any
    origins: list[dict[str, Any]]


async def about(c: AsyncConnection, students: Sequence[str]) -> dict[str, dict[str, list[dict[str, Any]]]]:
    """Student -> kind -> what is published about them, each with its id."""
    rows = await c.execute(
        text(
            "SELECT kind, CAST(id AS text) AS id, doc FROM entity WHERE kind = ANY(:kinds) "
            "AND doc->>'student' = ANY(:students) ORDER BY entity.id"
        ),
        {"kinds": list(OF_STUDENT), "students": list(students)},
    )
    found: dict[str, dict[str, list[dict[str, Any]]]] = {
        student: {kind: [] for kind in OF_STUDENT} for student in students
    }
    for row in rows:
        found[row.doc["student"]][row.kind].append({"id": row.id, **row.doc})
    return found


@dataclass(frozen=True)
class Saying:
    """A live claim about an entity: who states which of its fields, in which record, by which run."""

    entity: str
    connection: int
    name: str
    collection: str
    record_key: str
    rank: int
    anchor: bool
    stated: dict[str, Any]
    run: int
    joined: bool


async def sayings(c: AsyncConnection, kind: str, ids: Iterable[str]) -> dict[str, list[Saying]]:
    """Entity -> the claims about it, of many entities of one kind at once."""
    rows = await c.execute(
        text(
            "SELECT CAST(l.entity_id AS text), c.connection_id, n.name, c.collection, c.record_key, c.rank, c.anchor, "
            "  c.stated, c.run_id, l.method = 'decided' FROM link l "
            "JOIN claim c ON c.connection_id = l.connection_id AND c.kind = l.kind AND c.key = l.key "
            "JOIN connection n ON n.id = c.connection_id "
            "WHERE l.kind = :kind AND l.entity_id = ANY(CAST(:ids AS uuid[])) AND l.method <> 'alias' "
            "AND c.same_as IS NULL"
        ),
        {"kind": kind, "ids": list(ids)},
    )
    found: dict[str, list[Saying]] = {}
    for row in rows:
        found.setdefault(row[0], []).append(Saying(*row))
    return found


async def keep(c: AsyncConnection, district: int, plan: str, rows: Sequence[Kept], at: datetime) -> None:
    """Remember for good what a plan was begun with, beside its document and outside its hash."""
    await c.execute(
        text(
            "INSERT INTO plan_prefill (plan_id, n, district_id, use, pointer, value, origins, at) "
            "SELECT CAST(:plan AS uuid), n, :district, j->>0, j->>1, j->2, j->3, :at "
            "FROM json_array_elements(CAST(:rows AS json)) WITH ORDINALITY AS r(j, n)"
        ),
        {
            "plan": plan,
            "district": district,
            "at": at,
            "rows": json.dumps([(row.use, row.pointer, row.value, row.origins) for row in rows]),
        },
    )


async def of_plan(c: AsyncConnection, plan: str) -> list[Kept]:
    """What a plan was begun with."""
    rows = await c.execute(
        text(
            "SELECT use, pointer, value, origins FROM plan_prefill WHERE CAST(plan_id AS text) = :plan "
            "ORDER BY plan_prefill.n"
        ),
        {"plan": plan.lower()},
    )
    return [Kept(*row) for row in rows]


async def lock_openings(c: AsyncConnection, district: int) -> None:
    """Opening plans in bulk is one at a time per district, or two would open two for one student."""
    await c.execute(text("SELECT pg_advisory_xact_lock(hashtext('planbridge.open'), :d)"), {"d": district})


async def with_plan(c: AsyncConnection, ended: Sequence[str]) -> set[str]:
    """Students who have a plan that is not over."""
    rows = await c.execute(
        text("SELECT DISTINCT CAST(planbridge_survivor(student_id) AS text) FROM plan WHERE state <> ALL(:ended)"),
        {"ended": list(ended)},
    )
    return set(rows.scalars())
