"""Schedules as they are kept: when each connection is due next, and what became of the last time."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.errors import ConfigError
from gateway.schedules import Schedule, Window
from gateway.store.database import Store
from gateway.store.registers import Actor, Connection, log_act


@dataclass(frozen=True)
class Due:
    """A schedule whose time has come, locked until the transaction ends. `now` is the database's clock: workers on
    machines whose clocks differ agree on what is due."""

    connection: int
    schedule: Schedule
    due_at: datetime
    now: datetime


async def save(store: Store, connection: Connection, schedule: Schedule, limit: timedelta, actor: Actor) -> datetime:
    """Put a connection on a schedule instead of what it had, and say how long it may be silent; returns when it is
    due first."""
    async with store.transaction(connection.district) as c:
        next_due = schedule.next_due(await _now(c), connection.id)
        await c.execute(
            text(
                "INSERT INTO schedule (connection_id, district_id, cron, zone, jitter_seconds, window_from, "
                "  window_until, next_due_at) "
                "VALUES (:connection, :district, :cron, :zone, :jitter, :from, :until, :next_due) "
                "ON CONFLICT (connection_id) DO UPDATE SET cron = excluded.cron, zone = excluded.zone, "
                "  jitter_seconds = excluded.jitter_seconds, window_from = excluded.window_from, "
                "  window_until = excluded.window_until, next_due_at = excluded.next_due_at, enabled = true"
            ),
            {
                "connection": connection.id,
                "district": connection.district,
                "cron": schedule.cron,
                "zone": schedule.zone,
                "jitter": int(schedule.jitter.total_seconds()),
                "from": schedule.window and schedule.window.begins,
                "until": schedule.window and schedule.window.ends,
                "next_due": next_due,
            },
        )
        await c.execute(
            text("UPDATE connection SET fresh_seconds = :seconds WHERE id = :id"),
            {"seconds": int(limit.total_seconds()), "id": connection.id},
        )
        detail = {"cron": schedule.cron, "zone": schedule.zone, "limit_seconds": int(limit.total_seconds())}
        await log_act(c, connection.district, actor, "schedule", connection.name, detail)
    return next_due


async def switch_off(store: Store, connection: Connection, actor: Actor) -> None:
    """Pull a connection by itself no more; its schedule and its limit stay. ConfigError where it has none."""
    async with store.transaction(connection.district) as c:
        found = await c.scalar(
            text("UPDATE schedule SET enabled = false WHERE connection_id = :id AND enabled RETURNING connection_id"),
            {"id": connection.id},
        )
        if found is None:
            raise ConfigError(
                "schedule-missing", f"{connection.name} is on no schedule.", "`planbridge schedule list` shows all."
            )
        await log_act(c, connection.district, actor, "schedule-off", connection.name, {})


async def listed(c: AsyncConnection) -> list[dict[str, Any]]:
    """Every schedule of the district, also those that are off."""
    rows = await c.execute(
        text(
            "SELECT n.name AS connection, s.*, n.fresh_seconds FROM schedule s "
            "JOIN connection n ON n.id = s.connection_id ORDER BY n.id"
        )
    )
    return [
        {
            "connection": row.connection,
            "cron": row.cron,
            "zone": row.zone,
            "jitter_seconds": row.jitter_seconds,
            "window": str(_schedule(row).window or ""),
            "limit_seconds": row.fresh_seconds,
            "enabled": row.enabled,
            "next_due_at": row.next_due_at if row.enabled else None,
            "last_due_at": row.last_due_at,
            "last_run": row.last_run,
            "last_skipped": row.last_skipped,
        }
        for row in rows
    ]


async def due(store: Store) -> list[tuple[int, int]]:
    """(district, connection) of what is due now, the longest due first. Read as the owner, over all districts: a
    worker serves them all. It is ids only, and a hint: `claim` decides within the district."""
    async with store.owner.begin() as c:
        rows = await c.execute(
            text(
                "SELECT district_id, connection_id FROM schedule WHERE enabled AND next_due_at <= now() "
                "ORDER BY next_due_at"
            )
        )
        return [(row.district_id, row.connection_id) for row in rows]


async def claim(c: AsyncConnection, connection: int) -> Due | None:
    """Lock a schedule that is due. None where another worker has it, or has dealt with it meanwhile."""
    row = (
        await c.execute(
            text(
                "SELECT s.*, now() AS now FROM schedule s "
                "WHERE s.connection_id = :connection AND s.enabled AND s.next_due_at <= now() "
                "FOR UPDATE OF s SKIP LOCKED"
            ),
            {"connection": connection},
        )
    ).one_or_none()
    return None if row is None else Due(row.connection_id, _schedule(row), row.next_due_at, row.now)


async def postpone(c: AsyncConnection, due: Due, until: datetime) -> None:
    """Its time came while its window was closed: it is made up for when the window opens."""
    await c.execute(
        text("UPDATE schedule SET next_due_at = :until, last_skipped = 'outside-window' WHERE connection_id = :id"),
        {"id": due.connection, "until": until},
    )


async def settle(c: AsyncConnection, due: Due, *, run: int | None, skipped: str | None) -> None:
    """Note what became of it: a run, or a code why there is none. The next time is counted from now, so that however
    many times were missed, they were made up for by this one."""
    await c.execute(
        text(
            "UPDATE schedule SET next_due_at = :next_due, last_due_at = :due_at, last_run = :run, "
            "  last_skipped = :skipped WHERE connection_id = :id"
        ),
        {
            "id": due.connection,
            "next_due": due.schedule.next_due(due.now, due.connection),
            "due_at": due.due_at,
            "run": run,
            "skipped": skipped,
        },
    )


def _schedule(row: Any) -> Schedule:
    window = Window(row.window_from, row.window_until) if row.window_from is not None else None
    return Schedule(row.cron, row.zone, timedelta(seconds=row.jitter_seconds), window)


async def _now(c: AsyncConnection) -> datetime:
    now: datetime = (await c.execute(text("SELECT now()"))).scalar_one()
    return now
