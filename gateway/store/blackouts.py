"""When nothing may be written: times a district set for one connection or for all of them."""

from datetime import datetime
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.errors import ConfigError, Refused
from gateway.guard import Hold
from gateway.store.database import Store
from gateway.store.registers import Actor, log_act

# What was set for a connection holds for the one that is to take its place, or took it: it writes the same.
_ACTIVE = (
    "(connection_id IS NULL OR connection_id = :connection OR connection_id = ("
    "  SELECT old_id FROM succession WHERE new_id = :connection)) AND from_at <= :at AND until_at > :at"
)


async def active(c: AsyncConnection, connection: int, at: datetime) -> datetime | None:
    """Until when a blackout lasts that concerns this connection at that moment; None where there is none."""
    found: datetime | None = await c.scalar(
        text(f"SELECT max(until_at) FROM blackout WHERE {_ACTIVE}"), {"connection": connection, "at": at}
    )
    return found


async def refuse(c: AsyncConnection, connection: int, at: datetime) -> None:
    """Refused while a blackout lasts."""
    until = await active(c, connection, at)
    if until is not None:
        raise Refused(
            "blackout",
            f"Nothing may be published or delivered before {until:%Y-%m-%d %H:%M} UTC.",
            "Wait, or end the blackout: planbridge blackouts end. A dry run is allowed: planbridge pull --dry-run.",
        )


async def reasons(c: AsyncConnection, connection: int, at: datetime) -> list[Hold]:
    """The reason to hold a run that would publish in a blackout."""
    until = await active(c, connection, at)
    if until is None:
        return []
    return [Hold("blackout", "", f"Nothing may be published before {until:%Y-%m-%d %H:%M} UTC.", 0, 0)]


async def add(
    store: Store, district: int, connection: int | None, begin: datetime, end: datetime, because: str, actor: Actor
) -> int:
    """Set a blackout, for one connection or (None) for the whole district."""
    if end <= begin:
        raise ConfigError("blackout-times", "The blackout ends before it begins.", "Give --from before --until.")
    async with store.transaction(district) as c:
        made = await c.scalar(
            text(
                "INSERT INTO blackout (district_id, connection_id, from_at, until_at, because, actor) "
                "VALUES (:district, :connection, :begin, :end, :because, CAST(:actor AS json)) RETURNING id"
            ),
            {
                "district": district,
                "connection": connection,
                "begin": begin,
                "end": end,
                "because": because,
                "actor": actor.as_json(),
            },
        )
        await log_act(c, district, actor, "blackout", str(made), {"because": because})
    return int(made)


async def end(store: Store, district: int, blackout: int, actor: Actor) -> None:
    """End a blackout now, or drop one that has not begun."""
    async with store.transaction(district) as c:
        found = await c.scalar(text("DELETE FROM blackout WHERE id = :id RETURNING id"), {"id": blackout})
        if found is None:
            raise ConfigError(
                "blackout-unknown", f"There is no blackout {blackout}.", "`planbridge blackouts` lists them."
            )
        await log_act(c, district, actor, "blackout-ended", str(blackout), {})


async def listed(store: Store, district: int) -> list[dict[str, Any]]:
    """Blackouts, the next to begin first."""
    async with store.transaction(district) as c:
        rows = await c.execute(
            text(
                "SELECT b.id, n.name AS connection, b.from_at, b.until_at, b.because FROM blackout b "
                "LEFT JOIN connection n ON n.id = b.connection_id ORDER BY b.from_at"
            )
        )
        return [dict(row._mapping) for row in rows]
