"""A district at a glance: how much waits for a person, how deliveries stand, how the last syncs went. Counts only."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

MANY = 1000
"""Counted so far: whoever has more has many, and looking takes no longer the larger the district is."""

_WAITS = {
    "rejects": "SELECT FROM open_reject",
    "people": (
        "SELECT FROM waiting WHERE kind = 'person' AND code IN ('unmatched', 'ambiguous', 'identity-conflict') "
        "UNION ALL SELECT FROM identity_conflict WHERE NOT over"
    ),
    "parked": (
        "SELECT FROM delivery d WHERE d.state = 'parked' AND NOT EXISTS (SELECT FROM delivery l "
        "  WHERE l.plan_id = d.plan_id AND l.connection_id = d.connection_id AND l.id > d.id)"
    ),
    "plans": "SELECT FROM attention WHERE closed_at IS NULL",
}


async def waits(c: AsyncConnection) -> dict[str, int]:
    """How much waits for a person, by what it is; `MANY` + 1 stands for more than `MANY`."""
    counted = ", ".join(
        f"(SELECT count(*) FROM ({sql} LIMIT {MANY + 1}) {name}) AS {name}" for name, sql in _WAITS.items()
    )
    return {name: int(n) for name, n in (await c.execute(text(f"SELECT {counted}"))).one()._mapping.items()}


async def deliveries(c: AsyncConnection) -> dict[str, int]:
    """State -> deliveries."""
    rows = await c.execute(text("SELECT state, count(*) AS n FROM delivery GROUP BY state"))
    return {row.state: int(row.n) for row in rows}


@dataclass(frozen=True)
class Sync:
    """A sync that was published: its run, when, how many seconds it took, and collection -> records there after it."""

    run: int
    at: datetime
    seconds: float
    records: dict[str, int]


async def syncs(c: AsyncConnection, connection: int, most: int = 20) -> list[Sync]:
    """The last syncs of a connection that were published, the oldest first."""
    rows = await c.execute(
        text(
            "SELECT id, good_at AS at, coalesce(extract(epoch FROM finished_at - started_at), 0) AS seconds, counts, "
            "  state = 'published' AND effect = 'all' AS removed "
            "FROM run WHERE connection_id = :connection AND kind = 'pull' AND mode = 'publish' "
            "AND good_at IS NOT NULL ORDER BY id DESC LIMIT :most"
        ),
        {"connection": connection, "most": most},
    )
    return [
        Sync(row.id, row.at, max(float(row.seconds), 0.0), _records(row.counts, removed=row.removed)) for row in rows
    ][::-1]


def _records(counts: dict[str, Any], *, removed: bool) -> dict[str, int]:
    """`removed`: not where the removals wait for a person, or were dropped by one."""
    return {
        one["collection"]: max(one.get("known", 0) + one["added"] - (one["gone"] if removed else 0), 0)
        for one in counts.get("collections", ())
    }
