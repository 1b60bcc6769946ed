"""What people look at: published entities, who is matched, where sources disagree."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.store.database import Store


async def entity(store: Store, district: int, kind: str, id: str) -> dict[str, Any] | None:
    """One published entity as it stands, with its id."""
    async with store.transaction(district) as c:
        return await entity_in(c, kind, id)


async def entity_in(c: AsyncConnection, kind: str, id: str) -> dict[str, Any] | None:
    """The same in the caller's transaction."""
    found = await entities_in(c, kind, ids=[id])
    return found[0] if found else None


async def entities(store: Store, district: int, kind: str, *, ids: Sequence[str] | None = None) -> list[dict[str, Any]]:
    """Published entities of a kind, all of them or those with the given ids, in the order of their ids. Whoever was
    merged into another person is found as that person."""
    async with store.transaction(district) as c:
        return await entities_in(c, kind, ids=ids)


async def entities_in(c: AsyncConnection, kind: str, *, ids: Sequence[str] | None = None) -> list[dict[str, Any]]:
    """The same in the caller's transaction."""
    rows = await c.execute(
        text(
            "SELECT CAST(id AS text) AS id, doc FROM entity WHERE kind = :kind "
            "AND (CAST(:ids AS uuid[]) IS NULL OR id = ANY(ARRAY("
            "  SELECT planbridge_survivor(asked) FROM unnest(CAST(:ids AS uuid[])) asked))) ORDER BY entity.id"
        ),
        {"kind": kind, "ids": list(ids) if ids is not None else None},
    )
    return [{"id": row.id, **row.doc} for row in rows]


async def referring(store: Store, district: int, kind: str, field: str, id: str) -> list[dict[str, Any]]:
    """Published entities of a kind whose field names the given entity."""
    async with store.transaction(district) as c:
        return await referring_in(c, kind, field, id)


async def referring_in(c: AsyncConnection, kind: str, field: str, id: str) -> list[dict[str, Any]]:
    """The same in the caller's transaction."""
    rows = await c.execute(
        text(
            "SELECT CAST(id AS text) AS id, doc FROM entity WHERE kind = :kind "
            "AND doc->>:field = (SELECT CAST(planbridge_survivor(CAST(:id AS uuid)) AS text)) ORDER BY entity.id"
        ),
        {"kind": kind, "field": field, "id": id},
    )
    return [{"id": row.id, **row.doc} for row in rows]


async def find_students(store: Store, district: int, number: str | None = None) -> list[dict[str, Any]]:
    """Students, or those who have exactly this identifier in some system."""
    async with store.transaction(district) as c:
        return await find_students_in(c, number)


async def find_students_in(c: AsyncConnection, number: str | None = None) -> list[dict[str, Any]]:
    """The same in the caller's transaction."""
    rows = await c.execute(
        text(
            "SELECT CAST(id AS text) AS id, doc FROM entity WHERE kind = 'person' "
            "AND doc->>'population' = 'student' AND (CAST(:number AS text) IS NULL OR EXISTS ("
            "  SELECT FROM json_array_elements(doc->'identifiers') i WHERE i->>'value' = :number)) "
            "ORDER BY entity.id"
        ),
        {"number": number},
    )
    return [{"id": row.id, **row.doc} for row in rows]


async def entity_counts(store: Store, district: int) -> dict[str, int]:
    """Kind -> how many entities are published; people by population."""
    async with store.transaction(district) as c:
        rows = await c.execute(
            text(
                "SELECT CASE kind WHEN 'person' THEN doc->>'population' ELSE kind END, count(*) "
                "FROM entity GROUP BY 1 ORDER BY 1"
            )
        )
        return {row[0]: row[1] for row in rows}


async def matched(store: Store, district: int) -> list[dict[str, Any]]:
    """Per connection and population: people who are one with somebody of the system of record."""
    async with store.transaction(district) as c:
        rows = await c.execute(
            text(
                "SELECT n.name AS connection, e.doc->>'population' AS population, count(*) AS people "
                "FROM link l JOIN entity e ON e.kind = l.kind AND e.id = l.entity_id "
                "JOIN connection n ON n.id = l.connection_id "
                "WHERE l.kind = 'person' AND l.method IN ('matched', 'ruled', 'decided') GROUP BY 1, 2 ORDER BY 1, 2"
            )
        )
        return [dict(row._mapping) for row in rows]


async def differences(store: Store, district: int) -> list[dict[str, Any]]:
    """Where a second source says something else than what is published: counts by kind and field."""
    async with store.transaction(district) as c:
        rows = await c.execute(
            text(
                "SELECT n.name AS connection, d.kind, d.field, count(*) AS entities FROM difference d "
                "JOIN connection n ON n.id = d.connection_id GROUP BY 1, 2, 3 ORDER BY 1, 2, 3"
            )
        )
        return [dict(row._mapping) for row in rows]


async def keys_at(c: AsyncConnection, connection: int, kind: str, ids: Sequence[str]) -> dict[str, str]:
    """Entity id -> the key by which a connection's own records name it; of several the first in order."""
    rows = await c.execute(
        text(
            "SELECT CAST(asked AS text) AS id, min(l.key) AS key FROM unnest(CAST(:ids AS uuid[])) asked "
            "JOIN link l ON l.entity_id = planbridge_survivor(asked) AND l.kind = :kind "
            "AND l.connection_id = :connection AND l.method <> 'alias' "
            "AND EXISTS (SELECT FROM claim c WHERE c.connection_id = l.connection_id AND c.kind = l.kind "
            "  AND c.key = l.key AND c.anchor AND c.same_as IS NULL) GROUP BY 1"
        ),
        {"ids": list(ids), "kind": kind, "connection": connection},
    )
    return {row.id: row.key for row in rows}


async def people_at(c: AsyncConnection, connection: int, key: str) -> list[str]:
    """Whom a connection's own records name by this key."""
    rows = await c.execute(
        text(
            "SELECT DISTINCT CAST(planbridge_survivor(entity_id) AS text) FROM link WHERE kind = 'person' "
            "AND connection_id = :connection AND key = :key AND method <> 'alias'"
        ),
        {"connection": connection, "key": key},
    )
    return list(rows.scalars())


async def marked(c: AsyncConnection, number: int) -> list[dict[str, Any]]:
    """Published people who have a number of this mark (see gateway.candidates.number_mark) today."""
    rows = await c.execute(
        text(
            "SELECT CAST(e.id AS text) AS id, e.doc FROM person_number n "
            "JOIN entity e ON e.id = n.entity_id AND e.kind = 'person' "
            "WHERE n.number = :number AND NOT n.former ORDER BY e.id"
        ),
        {"number": number},
    )
    return [{"id": row.id, **row.doc} for row in rows]


async def provenance(c: AsyncConnection, kind: str, id: str) -> list[dict[str, Any]]:
    """Every live claim about an entity: connection, collection, source key, run and mapping version."""
    rows = await c.execute(
        text(
            "SELECT n.name AS connection, c.connection_id, c.collection, c.record_key, c.rank, c.anchor, "
            "  c.stated, c.run_id AS run, r.mapping, l.method, r.finished_at "
            "FROM link l JOIN claim c ON c.connection_id = l.connection_id AND c.kind = l.kind AND c.key = l.key "
            "JOIN connection n ON n.id = c.connection_id JOIN run r ON r.id = c.run_id "
            "WHERE l.kind = :kind AND l.entity_id = planbridge_survivor(CAST(:id AS uuid)) AND l.method <> 'alias' "
            "AND c.same_as IS NULL ORDER BY c.connection_id, l.method = 'decided', c.rank, c.collection, c.record_key"
        ),
        {"kind": kind, "id": id},
    )
    return [dict(row._mapping) for row in rows]
