"""When a delivery has its turn: of a plan the newest alone, and again later where the destination could not answer."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.store.database import Store

WAITS = tuple(timedelta(minutes=n) for n in (2, 5, 10, 20, 30, 60))
"""Between one try and the next; the last one again and again. The destination may ask for longer."""
GIVEN_UP = timedelta(hours=24)
"""After that a person looks: an outage of a night and a morning is over by then."""
Attempts = Mapping[int, int]
"""Deliveries that an attempt has taken, each with the attempt's number."""


async def supersede(c: AsyncConnection, plan: str, connection: int, by: int) -> None:
    """What waits of a plan for its turn at a destination is over once a newer one is there."""
    await c.execute(
        text(
            f"UPDATE delivery SET {_OVER} || :by || ' is newer and goes instead.' "
            "WHERE plan_id = CAST(:plan AS uuid) AND connection_id = :connection AND state = 'queued' AND id < :by"
        ),
        {"plan": plan, "connection": connection, "by": by},
    )


async def supersede_older(c: AsyncConnection, connection: int, newest: Sequence[int]) -> None:
    """The same for what of a plan was handed back, or left by an attempt that died, before one of these was asked for.
    Nobody else is at a destination while its deliveries are taken."""
    await c.execute(
        text(
            f"UPDATE delivery d SET {_OVER} || n.id || ' is newer and goes instead.' FROM delivery n "
            "WHERE n.id = ANY(:newest) AND d.plan_id = n.plan_id AND d.connection_id = :connection AND d.id < n.id "
            "AND d.state IN ('queued', 'sending')"
        ),
        {"connection": connection, "newest": list(newest)},
    )


async def rest(c: AsyncConnection, connection: int, now: datetime) -> None:
    """Let everything wait that is queued for a destination, where since then it could not answer another delivery:
    three hundred plans do not each wait for a server that is down."""
    await c.execute(
        text(
            "UPDATE delivery d SET next_at = w.next_at, tried_at = coalesce(d.tried_at, w.tried_at), reason = w.reason "
            "FROM (SELECT id, next_at, tried_at, reason FROM delivery WHERE connection_id = :connection "
            "  AND state = 'queued' AND next_at > :now AND tries > 0 ORDER BY next_at, id LIMIT 1) w "
            "WHERE d.connection_id = :connection AND d.state = 'queued' AND w.id <> d.id "
            "AND coalesce(d.next_at, :now) <= :now AND w.tried_at > d.created_at"
        ),
        {"connection": connection, "now": now},
    )


async def make_way(store: Store, district: int, taken: Attempts) -> set[int]:
    """Those of what was taken and not begun that go no more, because a newer one of the plan waits by now."""
    async with store.transaction(district) as c:
        rows = await c.execute(
            text(
                f"UPDATE delivery d SET {_OVER} || n.newest || ' is newer and goes instead.' FROM ({_TAKEN}) a, "
                "LATERAL (SELECT max(w.id) AS newest FROM delivery w JOIN delivery m ON m.id = a.id "
                "  WHERE w.plan_id = m.plan_id AND w.connection_id = m.connection_id AND w.id > m.id "
                "  AND w.state = 'queued') n "
                "WHERE d.id = a.id AND d.fence = a.fence AND d.state = 'sending' AND n.newest IS NOT NULL "
                "RETURNING d.id"
            ),
            _bound(taken),
        )
        return set(rows.scalars())


async def hand_back(store: Store, district: int, taken: Attempts) -> None:
    """What was taken and not begun waits again, unless another attempt has taken it over."""
    async with store.transaction(district) as c:
        await c.execute(
            text(
                f"UPDATE delivery d SET state = 'queued' FROM ({_TAKEN}) a "
                "WHERE d.id = a.id AND d.fence = a.fence AND d.state = 'sending'"
            ),
            _bound(taken),
        )


_OVER = "state = 'superseded', told = true, next_at = NULL, finished_at = now(), reason = 'Delivery '"
_TAKEN = "SELECT * FROM unnest(CAST(:ids AS bigint[]), CAST(:fences AS int[])) AS a(id, fence)"


def _bound(taken: Attempts) -> dict[str, list[int]]:
    return {"ids": list(taken), "fences": list(taken.values())}


async def later(
    store: Store, district: int, delivery: int, fence: int, reason: str, now: datetime, asked: timedelta
) -> datetime | None:
    """Let a delivery whose destination could not answer wait; until when. `asked`: for how long the destination asks.
    None where it is over instead: a newer one of the plan waits, it was tried for so long that a person is next, or
    another attempt has taken it over."""
    async with store.transaction(district) as c:
        row = (
            await c.execute(
                text(
                    "UPDATE delivery d SET tries = tries + 1, tried_at = coalesce(tried_at, :now), reason = :reason "
                    "WHERE id = :id AND fence = :fence AND state = 'sending' "
                    "RETURNING tries, tried_at, CAST(plan_id AS text) AS plan, connection_id, "
                    "(SELECT max(n.id) FROM delivery n WHERE n.plan_id = d.plan_id "
                    "AND n.connection_id = d.connection_id AND n.id > d.id AND n.state = 'queued') AS newer, "
                    "(SELECT coalesce(sum(o.tries), 0) FROM delivery o WHERE o.connection_id = d.connection_id "
                    "AND o.state = 'queued' AND o.id <> d.id) AS others"
                ),
                {"id": delivery, "fence": fence, "now": now, "reason": reason},
            )
        ).one_or_none()
        if row is None:
            return None
        again: datetime = now + max(asked, WAITS[min(row.tries + row.others, len(WAITS)) - 1])
        if row.newer is None and again - row.tried_at > GIVEN_UP:
            return None
        await c.execute(
            text("UPDATE delivery SET state = 'queued', next_at = :again WHERE id = :id"),
            {"id": delivery, "again": again},
        )
        if row.newer is not None:
            await supersede(c, row.plan, row.connection_id, row.newer)
            return None
        return again


async def due(store: Store, now: datetime) -> list[tuple[int, int, int]]:
    """(district, delivery, connection) of what has waited for long enough. Read as the owner, over all districts: it is
    ids only, and a hint; `claim` decides."""
    async with store.owner.begin() as c:
        rows = await c.execute(
            text(
                "SELECT t.district_id, t.id, t.connection_id FROM delivery t JOIN district d ON d.id = t.district_id "
                "WHERE t.state = 'queued' AND t.next_at <= :now AND d.suspended_at IS NULL "
                # Last what failed: it may be the one that the destination cannot stomach, and not be down at all.
                "ORDER BY t.tries, t.id LIMIT 1000"
            ),
            {"now": now},
        )
        return [(row.district_id, row.id, row.connection_id) for row in rows]


async def claim(c: AsyncConnection, delivery: int, now: datetime) -> bool:
    """Whether the try that is due is the caller's to queue."""
    mine = await c.scalar(
        text("UPDATE delivery SET next_at = NULL WHERE id = :id AND state = 'queued' AND next_at <= :now RETURNING id"),
        {"id": delivery, "now": now},
    )
    return mine is not None
