"""Which delivered objects are to be looked at again, and how they were found."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.connector import Document
from gateway.store.database import Store

EVERY = "interval '1 day'"
WEEK = "interval '6 days 12 hours'"
AT_MOST = 2000
ONCE_A_DAY = "interval '20 hours'"
# What was sent again since it was found lost is there, until the next look says otherwise.
LOST = "l.lost IS NOT NULL AND (l.delivered_sha256 IS NULL OR l.at <= l.lost_at)"
DELIVERED = "l.sent_sha256 IS NOT NULL AND (l.delivered_sha256 IS NOT NULL OR l.lost IS NOT NULL)"


@dataclass(frozen=True)
class Known:
    """What the ledger knows of an object that was delivered. `renewable`: it was not sent again by itself today."""

    sent_sha256: str
    delivered: bool
    remote_id: str
    lost: str | None
    renewable: bool


@dataclass(frozen=True)
class Look:
    """One look at a destination. `plans` and `objects` were looked at; `skipped` could not be compared, because what
    is sent of them would be another thing today; `renewed` plans are sent again."""

    plans: int = 0
    objects: int = 0
    skipped: int = 0
    renewed: int = 0


@dataclass(frozen=True)
class Untold:
    """A look that nobody was told of."""

    connection: int
    name: str
    looked_at: datetime
    plans: int


async def due(store: Store) -> list[tuple[int, int]]:
    """(district, connection) of every destination whose next look has come; the first one is a day after the first
    delivery. Read as the owner, over all districts: it is ids only, and a hint; `claim` decides."""
    async with store.owner.begin() as c:
        await c.execute(
            text(
                "INSERT INTO verification (connection_id, district_id, due_at) "
                f"SELECT d.connection_id, min(d.district_id), min(d.finished_at) + {EVERY} FROM delivery d "
                "WHERE d.state = 'delivered' "
                "AND NOT EXISTS (SELECT FROM verification v WHERE v.connection_id = d.connection_id) "
                "GROUP BY d.connection_id ON CONFLICT DO NOTHING"
            )
        )
        rows = await c.execute(
            text("SELECT district_id, connection_id FROM verification WHERE due_at <= now() ORDER BY due_at")
        )
        return [(row.district_id, row.connection_id) for row in rows]


async def claim(c: AsyncConnection, connection: int) -> bool:
    """Whether the look that is due is the caller's to make: the next one is due a day later. None is made while the
    connection is paused or its district suspended."""
    return bool(
        await c.scalar(
            text(
                f"UPDATE verification v SET due_at = now() + {EVERY} "
                "FROM connection n JOIN district d ON d.id = n.district_id "
                "WHERE v.connection_id = :connection AND v.due_at <= now() AND n.id = v.connection_id "
                "RETURNING n.paused_because IS NULL AND d.suspended_at IS NULL"
            ),
            {"connection": connection},
        )
    )


async def ask(c: AsyncConnection, district: int, connection: int, *, whole: bool) -> None:
    """Somebody wants a look now; `whole`: at everything that was ever delivered."""
    await c.execute(
        text(
            "INSERT INTO verification (connection_id, district_id, due_at, whole) "
            f"VALUES (:connection, :district, now() + {EVERY}, :whole) "
            "ON CONFLICT (connection_id) DO UPDATE SET due_at = excluded.due_at, error_code = NULL, "
            "  whole = verification.whole OR :whole"
        ),
        {"connection": connection, "district": district, "whole": whole},
    )


@dataclass(frozen=True)
class Wanted:
    """A plan to be looked at as it was delivered last: wholly, or only what was put into records of others."""

    plan: str
    version: int
    wholly: bool


async def wanted(c: AsyncConnection, connection: int) -> list[Wanted]:
    """What is to be looked at now: wholly the plans of which something was sent since the last look, was lost, or was
    not looked at for a week; and what was put into records of others, who may write them anew each night. In this
    order, and so many that the rest comes up within the week. Not what is on its way there."""
    rows = await c.execute(
        text(
            f"""
            WITH asked AS (
                SELECT coalesce(bool_or(v.whole), false) AS whole FROM verification v
                WHERE v.connection_id = :connection
            ), theirs AS (
                SELECT d.plan_id, bool_or(l.looked_at IS NULL OR l.at > l.looked_at) AS changed,
                       bool_or(l.lost IS NOT NULL) AS lost, min(l.looked_at) < now() - {WEEK} AS old,
                       coalesce(bool_or(l.merged AND l.looked_at < now() - {ONCE_A_DAY}), false) AS merged,
                       min(l.looked_at) AS looked_at
                FROM ledger l JOIN delivery d ON d.id = l.delivery_id
                WHERE l.connection_id = :connection AND {DELIVERED}
                GROUP BY d.plan_id
            ), newest AS (
                SELECT d.plan_id, max(d.version) FILTER (WHERE d.state IN ('delivered', 'parked')) AS version
                FROM delivery d WHERE d.connection_id = :connection
                GROUP BY d.plan_id HAVING NOT bool_or(d.state IN ('queued', 'sending'))
            )
            SELECT CAST(t.plan_id AS text), n.version, t.changed OR t.lost OR t.old OR asked.whole
            FROM theirs t JOIN newest n USING (plan_id) CROSS JOIN asked
            WHERE n.version IS NOT NULL AND (t.changed OR t.lost OR t.old OR t.merged OR asked.whole)
            ORDER BY t.changed DESC, t.lost DESC, t.old DESC, t.looked_at, t.plan_id
            LIMIT (SELECT CASE WHEN whole THEN NULL ELSE greatest({AT_MOST}, (SELECT count(*) / 3 FROM theirs)) END
                   FROM asked)
            """
        ),
        {"connection": connection},
    )
    return [Wanted(*row) for row in rows]


async def known(c: AsyncConnection, connection: int, document: Document) -> Known | None:
    """What the ledger knows of an object; None where it was never delivered, or was taken back."""
    row = (
        await c.execute(
            text(
                "SELECT l.sent_sha256, coalesce(l.delivered_sha256 = l.sent_sha256, false), l.remote_id, l.lost, "
                f"  coalesce(l.renewed_at < now() - {ONCE_A_DAY}, true) FROM ledger l "
                "WHERE l.connection_id = :connection AND l.resource = :resource AND l.identity = :identity "
                f"AND {DELIVERED}"
            ),
            {"connection": connection, "resource": document.resource, "identity": document.identity},
        )
    ).one_or_none()
    return None if row is None else Known(*row)


async def note_found(c: AsyncConnection, connection: int, document: Document, lost: str | None) -> None:
    """How an object was found: as it was sent, or what is wrong with it."""
    await c.execute(
        text(
            "UPDATE ledger l SET looked_at = now(), merged = :merged, lost = :lost, "
            "  lost_at = CASE WHEN CAST(:lost AS text) IS NULL THEN NULL "
            f"    WHEN {LOST} THEN l.lost_at ELSE now() END "
            "WHERE l.connection_id = :connection AND l.resource = :resource AND l.identity = :identity"
        ),
        {
            "connection": connection,
            "resource": document.resource,
            "identity": document.identity,
            "merged": document.merge,
            "lost": lost,
        },
    )


async def note_looked(c: AsyncConnection, connection: int, plan: str, documents: Sequence[Document] | None) -> None:
    """A plan was looked at, also what of it could not be compared. What is in none of its documents by now (a choice of
    the destination was taken back) is not missed any more; None: nobody could tell."""
    await c.execute(
        text(
            "UPDATE ledger SET looked_at = now(), "
            "  lost = CASE WHEN CAST(:places AS text[]) IS NULL OR resource || ' ' || identity = ANY(:places) "
            "    THEN lost END "
            "WHERE connection_id = :connection AND delivery_id IN "
            "(SELECT d.id FROM delivery d WHERE d.plan_id = CAST(:plan AS uuid) AND d.connection_id = :connection)"
        ),
        {
            "connection": connection,
            "plan": plan,
            "places": None if documents is None else [f"{one.resource} {one.identity}" for one in documents],
        },
    )


async def forget(c: AsyncConnection, connection: int, document: Document) -> None:
    """An object counts as not delivered, by itself and once: the delivery that follows sends it again."""
    await c.execute(
        text(
            "UPDATE ledger SET delivered_sha256 = NULL, renewed_at = now() "
            "WHERE connection_id = :connection AND resource = :resource AND identity = :identity"
        ),
        {"connection": connection, "resource": document.resource, "identity": document.identity},
    )


async def forget_lost(c: AsyncConnection, connection: int, plan: str) -> int:
    """What was found lost of a plan counts as not delivered, because a person says so. How many objects."""
    gone = await c.execute(
        text(
            f"UPDATE ledger l SET delivered_sha256 = NULL FROM delivery d WHERE d.id = l.delivery_id AND {LOST} "
            "AND l.connection_id = :connection AND d.plan_id = CAST(:plan AS uuid)"
        ),
        {"connection": connection, "plan": plan},
    )
    return gone.rowcount


async def finish(c: AsyncConnection, connection: int, found: Look | None, error_code: str | None) -> None:
    """What a look found; or why it ended early: then it is due again in an hour."""
    await c.execute(
        text(
            "UPDATE verification SET error_code = :error, "
            "  due_at = CASE WHEN CAST(:error AS text) IS NULL THEN due_at ELSE now() + interval '1 hour' END, "
            "  whole = whole AND CAST(:error AS text) IS NOT NULL, "
            "  looked_at = CASE WHEN CAST(:error AS text) IS NULL THEN now() ELSE looked_at END, "
            "  plans = coalesce(CAST(:plans AS int), plans), objects = coalesce(CAST(:objects AS int), objects), "
            "  skipped = coalesce(CAST(:skipped AS int), skipped), renewed = coalesce(CAST(:renewed AS int), renewed), "
            "  told = told AND CAST(:error AS text) IS NOT NULL "
            "WHERE connection_id = :connection"
        ),
        {
            "connection": connection,
            "error": error_code,
            "plans": found and found.plans,
            "objects": found and found.objects,
            "skipped": found and found.skipped,
            "renewed": found and found.renewed,
        },
    )


async def last(c: AsyncConnection, connection: int) -> dict[str, Any] | None:
    """When a destination was last looked at, what was found, and why a look since then ended early."""
    row = (
        await c.execute(
            text(
                "SELECT looked_at, plans, objects, skipped, renewed, error_code FROM verification "
                "WHERE connection_id = :connection"
            ),
            {"connection": connection},
        )
    ).one_or_none()
    return None if row is None else dict(row._mapping)


async def lost(c: AsyncConnection, connection: int) -> list[dict[str, Any]]:
    """Every object that is not there as it was delivered: plan, version, resource, what is wrong, since when."""
    rows = await c.execute(
        text(
            "SELECT CAST(d.plan_id AS text) AS plan, d.version, l.resource, l.lost, l.lost_at AS since "
            "FROM ledger l JOIN delivery d ON d.id = l.delivery_id "
            f"WHERE l.connection_id = :connection AND {LOST} ORDER BY l.lost_at, 1, l.resource, l.identity"
        ),
        {"connection": connection},
    )
    return [dict(row._mapping) for row in rows]


async def untold(c: AsyncConnection) -> list[Untold]:
    """Looks that ended since; they count as told."""
    rows = await c.execute(
        text(
            "UPDATE verification v SET told = true FROM connection n WHERE n.id = v.connection_id AND NOT v.told "
            "RETURNING v.connection_id, n.name, v.looked_at, v.plans"
        )
    )
    return sorted((Untold(*row) for row in rows), key=lambda one: one.connection)
