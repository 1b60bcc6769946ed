"""Plans that were taken in at rest: by which id of its own a program knows a plan, and whom the numbers in it mean."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection


@dataclass(frozen=True)
class Known:
    """A plan that came under this id before: our id of it, and the fingerprint of what came."""

    plan: str
    sha256: str


async def known(c: AsyncConnection, caller: str, own_ids: Iterable[str]) -> dict[str, Known]:
    """Own id -> the plan that came under it from this caller; those that never came are left out."""
    rows = await c.execute(
        text(
            "SELECT own_id, CAST(plan_id AS text) AS plan, sha256 FROM intake "
            "WHERE caller = :caller AND own_id = ANY(:ids)"
        ),
        {"caller": caller, "ids": list(own_ids)},
    )
    return {row.own_id: Known(row.plan, row.sha256) for row in rows}


async def keep(c: AsyncConnection, district: int, caller: str, own_id: str, plan: str, sha256: str) -> bool:
    """Remember under which id a plan came, in the transaction that makes it. False where another one came meanwhile:
    then this one is not to be made."""
    kept = await c.scalar(
        text(
            "INSERT INTO intake (district_id, caller, own_id, plan_id, sha256) "
            "VALUES (:district, :caller, :own, CAST(:plan AS uuid), :sha256) ON CONFLICT DO NOTHING RETURNING true"
        ),
        {"district": district, "caller": caller, "own": own_id, "plan": plan, "sha256": sha256},
    )
    return bool(kept)


async def numbered(c: AsyncConnection, numbers: Sequence[str]) -> dict[str, list[dict[str, Any]]]:
    """Number -> the published people who have exactly this one, in whichever system."""
    rows = await c.execute(
        text(
            "SELECT DISTINCT i->>'value' AS number, CAST(e.id AS text) AS id, CAST(e.doc AS text) AS doc "
            "FROM entity e CROSS JOIN LATERAL json_array_elements(e.doc->'identifiers') i "
            "WHERE e.kind = 'person' AND i->>'value' = ANY(:numbers) ORDER BY 1, 2"
        ),
        {"numbers": list(numbers)},
    )
    found: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        found.setdefault(row.number, []).append({"id": row.id, **json.loads(row.doc)})
    return found
