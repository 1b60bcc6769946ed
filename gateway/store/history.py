"""What was: what a run changed or would change, how an entity stood on a day, what may be undone."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.store.database import Store


async def previewed(store: Store, district: int, run: int, limit: int) -> list[dict[str, Any]]:
    """What a held or compared run would do, removals first: entity, kind, op, and which fields differ; no values."""
    async with store.transaction(district) as c:
        rows = await c.execute(
            text(
                "SELECT kind, CAST(entity_id AS text) AS entity, op, before, after FROM preview WHERE run_id = :run "
                "ORDER BY array_position(ARRAY['removed', 'changed', 'added'], op), kind, entity_id LIMIT :limit"
            ),
            {"run": run, "limit": limit},
        )
        return [_without_values(dict(row._mapping)) for row in rows]


async def changed_by(store: Store, district: int, run: int, limit: int) -> list[dict[str, Any]]:
    """What a run changed, in the order in which it did: entity, kind, op, and which fields differ; no values."""
    async with store.transaction(district) as c:
        rows = await c.execute(
            text(
                "SELECT h.kind, CAST(h.entity_id AS text) AS entity, h.op, h.before, "
                "  coalesce((SELECT n.before FROM change n WHERE n.entity_id = h.entity_id AND n.kind = h.kind "
                "    AND n.seq > h.seq ORDER BY n.seq LIMIT 1), "
                "    (SELECT e.doc FROM entity e WHERE e.id = h.entity_id AND e.kind = h.kind)) AS after "
                "FROM change h JOIN publication p ON p.id = h.publication WHERE p.run_id = :run "
                "ORDER BY h.seq LIMIT :limit"
            ),
            {"run": run, "limit": limit},
        )
        return [_without_values(dict(row._mapping)) for row in rows]


def _without_values(row: Mapping[str, Any]) -> dict[str, Any]:
    was, now = row["before"] or {}, row["after"] or {}
    fields = sorted(name for name in {*was, *now} if was.get(name) != now.get(name)) if row["op"] == "changed" else []
    return {"kind": row["kind"], "entity": row["entity"], "op": row["op"], "fields": ", ".join(fields)}


async def counts_by(store: Store, district: int, run: int) -> list[dict[str, Any]]:
    """Kind and op -> how many entities a run moved."""
    async with store.transaction(district) as c:
        rows = await c.execute(
            text(
                "SELECT h.kind, h.op, count(*) AS entities FROM change h JOIN publication p ON p.id = h.publication "
                "WHERE p.run_id = :run GROUP BY 1, 2 ORDER BY 1, 2"
            ),
            {"run": run},
        )
        return [dict(row._mapping) for row in rows]


async def as_of(store: Store, district: int, kind: str, entity: str, at: datetime) -> dict[str, Any] | None:
    """An entity as it was published at a moment; None where it was not. The first change after that moment kept it."""
    async with store.transaction(district) as c:
        return await _as_of(c, kind, entity, at)


async def _as_of(c: AsyncConnection, kind: str, entity: str, at: datetime) -> dict[str, Any] | None:
    later = (
        await c.execute(
            text(
                "SELECT h.before FROM change h JOIN publication p ON p.id = h.publication "
                "WHERE h.kind = :kind AND h.entity_id = CAST(:entity AS uuid) AND p.at > :at ORDER BY h.seq LIMIT 1"
            ),
            {"kind": kind, "entity": entity, "at": at},
        )
    ).one_or_none()
    if later is not None:
        before: dict[str, Any] | None = later.before
        return before
    now: dict[str, Any] | None = await c.scalar(
        text("SELECT doc FROM entity WHERE kind = :kind AND id = CAST(:entity AS uuid)"),
        {"kind": kind, "entity": entity},
    )
    return now


async def changes_of(store: Store, district: int, kind: str, entity: str) -> list[dict[str, Any]]:
    """Every change of one entity, newest first: when, by which run of which connection, and what it was before."""
    async with store.transaction(district) as c:
        rows = await c.execute(
            text(
                "SELECT p.at, p.run_id AS run, n.name AS connection, r.kind AS run_kind, h.op, h.before "
                "FROM change h JOIN publication p ON p.id = h.publication JOIN run r ON r.id = p.run_id "
                "JOIN connection n ON n.id = r.connection_id "
                "WHERE h.kind = :kind AND h.entity_id = CAST(:entity AS uuid) ORDER BY h.seq DESC"
            ),
            {"kind": kind, "entity": entity},
        )
        return [dict(row._mapping) for row in rows]
