"""What could not be read, mapped, matched or resolved: by cause, one by one, and with its payload opened."""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.errors import ConfigError
from gateway.store.database import Store


async def causes(c: AsyncConnection) -> list[dict[str, Any]]:
    """What is set aside now, grouped: five thousand errors of one cause are one line. `replayable`: how many have a
    payload still; `mappings`: by which mappings they were read."""
    rows = await c.execute(
        text(
            "SELECT j.cause, n.name AS connection, j.collection, j.code, j.field, count(*) AS records, "
            "  count(j.sealed_body) AS replayable, min(j.reason) AS example, "
            "  array_agg(DISTINCT r.mapping) AS mappings "
            "FROM open_reject j JOIN connection n ON n.id = j.connection_id JOIN run r ON r.id = j.run_id "
            "GROUP BY 1, 2, 3, 4, 5 ORDER BY records DESC, 2, 3, 4, 5"
        )
    )
    return [dict(row._mapping) for row in rows]


async def rows(
    c: AsyncConnection, *, run: int | None = None, cause: str | None = None, limit: int = 200
) -> list[dict[str, Any]]:
    """Records set aside, one by one: those of a run, whatever became of them since, or those set aside now."""
    source = "open_reject" if run is None else "reject"
    found = await c.execute(
        text(
            "SELECT j.id, j.run_id, n.name AS connection, j.collection, j.key, j.position, j.field, j.code, j.reason, "
            f"  j.cause FROM {source} j JOIN connection n ON n.id = j.connection_id "
            "WHERE j.run_id = coalesce(CAST(:run AS bigint), j.run_id) "
            "AND j.cause = coalesce(CAST(:cause AS text), j.cause) ORDER BY j.id LIMIT :limit"
        ),
        {"run": run, "cause": cause, "limit": limit},
    )
    return [dict(row._mapping) for row in found]


@dataclass(frozen=True)
class Opened:
    """One reject with its payload, if that was not purged. `state`: open, replayed, or replaced by a newer pull."""

    id: int
    run: int
    connection: int
    name: str
    collection: str
    key: str | None
    position: str
    field: str
    code: str
    reason: str
    cause: str
    state: str
    replayed_by: int | None
    body: str | None


async def one(store: Store, c: AsyncConnection, id: int) -> Opened:
    """ConfigError when there is no such reject."""
    row = (
        await c.execute(
            text(
                "SELECT j.id, j.run_id AS run, j.connection_id AS connection, n.name, j.collection, j.key, j.position, "
                "  j.field, j.code, j.reason, j.cause, "
                "  CASE WHEN EXISTS (SELECT FROM open_reject o WHERE o.id = j.id) THEN 'open' "
                "    WHEN p.state = 'published' THEN 'replayed' ELSE 'replaced' END AS state, j.replayed_by, "
                "  j.sealed_body FROM reject j JOIN connection n ON n.id = j.connection_id "
                "LEFT JOIN run p ON p.id = j.replayed_by WHERE j.id = :id"
            ),
            {"id": id},
        )
    ).one_or_none()
    if row is None:
        raise ConfigError("reject-unknown", f"There is no reject {id}.", "`planbridge rejects --rows` lists them.")
    plain = dict(row._mapping)
    sealed = plain.pop("sealed_body")
    return Opened(**plain, body=None if sealed is None else store.secrets.open(sealed).decode())


async def open_with(c: AsyncConnection, *, cause: str | None = None, id: int | None = None) -> set[int]:
    """The connections that have open rejects: all, those of a cause, or one reject."""
    found = await c.execute(
        text(
            "SELECT DISTINCT connection_id FROM open_reject WHERE cause = coalesce(CAST(:cause AS text), cause) "
            "AND id = coalesce(CAST(:id AS bigint), id)"
        ),
        {"cause": cause, "id": id},
    )
    return set(found.scalars())


async def waiting(c: AsyncConnection) -> list[dict[str, Any]]:
    """What cannot be published yet, grouped: by connection, kind, cause and field."""
    found = await c.execute(
        text(
            "SELECT n.name AS connection, w.kind, w.code, w.field, count(*) AS records, min(w.reason) AS reason "
            "FROM waiting w JOIN connection n ON n.id = w.connection_id "
            "GROUP BY 1, 2, 3, 4 ORDER BY 1, 2, records DESC"
        )
    )
    return [dict(row._mapping) for row in found]


async def waiting_rows(c: AsyncConnection, code: str, limit: int) -> list[dict[str, Any]]:
    """The records that wait for one cause, with what they wait for and their payload where there is one still."""
    found = await c.execute(
        text(
            "SELECT n.name AS connection, w.kind, m.collection, w.key, w.field, w.target_kind, w.reason, r.body "
            "FROM waiting w JOIN connection n ON n.id = w.connection_id "
            "LEFT JOIN LATERAL (SELECT collection, record_key FROM claim x WHERE x.connection_id = w.connection_id "
            "  AND x.kind = w.kind AND x.key = w.key ORDER BY x.anchor DESC, x.rank LIMIT 1) m ON true "
            "LEFT JOIN record r ON r.connection_id = w.connection_id AND r.collection = m.collection "
            "  AND r.key = m.record_key WHERE w.code = :code ORDER BY 1, 2, 4, 5 LIMIT :limit"
        ),
        {"code": code, "limit": limit},
    )
    return [dict(row._mapping) for row in found]
