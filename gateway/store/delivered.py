"""Deliveries as people look for them: by where they went, and by what became of them."""

from collections.abc import Sequence
from typing import Any, Literal, get_args

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.errors import ConfigError

State = Literal["queued", "sending", "delivered", "parked", "superseded", "withdrawn", "rehearsed"]
STATES: tuple[State, ...] = get_args(State)


async def listed(
    c: AsyncConnection,
    *,
    connection: int | None = None,
    state: str = "",
    plan: str = "",
    before: int = 0,
    most: int = 100,
) -> list[dict[str, Any]]:
    """Deliveries, the newest first: without what was in them. `before`: only those with a smaller number."""
    refuse_unknown(state)
    rows = await c.execute(
        text(
            "SELECT d.id, CAST(d.plan_id AS text) AS plan, d.version, n.name AS destination, d.kind, d.state, "
            "  d.doorway, d.tries, d.next_at, d.created_at, d.finished_at FROM delivery d "
            "JOIN connection n ON n.id = d.connection_id "
            "WHERE d.connection_id = coalesce(:connection, d.connection_id) AND :state IN ('', d.state) "
            "AND :plan IN ('', CAST(d.plan_id AS text)) AND (:before = 0 OR d.id < :before) "
            "ORDER BY d.id DESC LIMIT :most"
        ),
        {"connection": connection, "state": state, "plan": plan, "before": before, "most": most},
    )
    return [dict(row._mapping) for row in rows]


async def counted(c: AsyncConnection, deliveries: Sequence[int]) -> dict[str, int]:
    """How many of these deliveries are in each state; `waiting`: queued, and not due before a later time."""
    rows = await c.execute(
        text(
            "SELECT CASE WHEN next_at IS NOT NULL AND state = 'queued' THEN 'waiting' ELSE state END AS state, "
            "count(*) AS many FROM delivery WHERE id = ANY(:ids) GROUP BY 1 ORDER BY 1"
        ),
        {"ids": list(deliveries)},
    )
    return {row.state: row.many for row in rows}


async def parked(c: AsyncConnection, connection: int, message: str = "") -> list[int]:
    """Parked deliveries to a destination, of each plan the newest; only those of a cause that says so, if any."""
    rows = await c.execute(
        text(
            "SELECT d.id FROM delivery d WHERE d.connection_id = :connection AND d.state = 'parked' "
            "AND (:message = '' OR EXISTS (SELECT FROM json_to_recordset(coalesce(d.causes, '[]')) AS x(message text) "
            "  WHERE position(:message in x.message) > 0)) "
            "AND NOT EXISTS (SELECT FROM delivery l WHERE l.plan_id = d.plan_id "
            "  AND l.connection_id = d.connection_id AND l.id > d.id) ORDER BY d.id"
        ),
        {"connection": connection, "message": message},
    )
    return list(rows.scalars())


def refuse_unknown(state: str) -> None:
    """ConfigError for a state that no delivery has."""
    if state and state not in STATES:
        raise ConfigError("delivery-state-unknown", f"No delivery is {state!r}.", f"Choose from: {', '.join(STATES)}.")
