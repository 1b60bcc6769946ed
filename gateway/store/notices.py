"""What people have to be told: what ended, what is wrong and since when, what is due this morning."""

from dataclasses import dataclass
from datetime import date, datetime
from zoneinfo import ZoneInfo

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.messages import Standing
from gateway.store.attention import UNTOLD as UNTOLD_WAITING
from gateway.store.database import Store
from gateway.store.registers import Actor, Connection, log_act

UNTOLD_RUN = "r.state IN ('held', 'failed', 'published', 'compared') AND r.told IS DISTINCT FROM r.state"
UNTOLD_DELIVERY = "d.state IN ('parked', 'delivered', 'withdrawn') AND NOT d.told"
GOOD = (
    "{run}.good_at IS NOT NULL AND {run}.kind = 'pull' "
    "AND ({run}.mode = 'publish' OR n.shadow AND {run}.mode = 'shadow')"
)
# 30, 7 and 1 day before: which of them has come.
LEFT = "(n.secret_ends - CAST(:today AS date))"
STEP = f"CASE WHEN {LEFT} <= 1 THEN 1 WHEN {LEFT} <= 7 THEN 7 ELSE 30 END"
# Nothing is expected of a connection whose place another one has taken.
ENDING = (
    f"{LEFT} <= 30 AND {STEP} < coalesce(n.secret_told, 31) "
    "AND NOT EXISTS (SELECT FROM succession t WHERE t.old_id = n.id AND t.done_at IS NOT NULL)"
)
MORNING = (
    "'digest' = ANY(ch.events) AND CAST(now() AT TIME ZONE ch.zone AS time) >= ch.digest_at "
    "AND ch.digested_on < CAST(now() AT TIME ZONE ch.zone AS date)"
)


@dataclass(frozen=True)
class Ended:
    """A run that ended and that nobody was told of. `pull`: it asked the source; `good`: it is a good sync."""

    run: int
    connection: int
    state: str
    pull: bool
    good: bool


async def districts_with_work(store: Store, today: date) -> list[int]:
    """Where something has to be told or sent now, over all districts."""
    async with store.owner.begin() as c:
        rows = await c.execute(
            text(
                f"SELECT r.district_id FROM run r WHERE {UNTOLD_RUN} "
                f"UNION SELECT d.district_id FROM delivery d WHERE {UNTOLD_DELIVERY} "
                "UNION SELECT v.district_id FROM verification v WHERE NOT v.told "
                f"UNION SELECT a.district_id FROM attention a WHERE {UNTOLD_WAITING} "
                f"UNION SELECT n.district_id FROM connection n WHERE {ENDING} "
                f"UNION SELECT ch.district_id FROM channel ch WHERE {MORNING} "
                "UNION SELECT district_id FROM sending WHERE state = 'queued' AND next_at <= now() "
                "UNION SELECT district_id FROM heartbeat WHERE run_id IS NOT NULL AND next_at <= now() "
                "ORDER BY 1"
            ),
            {"today": today},
        )
        return list(rows.scalars())


async def take_turn(c: AsyncConnection, district: int) -> bool:
    """Whether this transaction is the only one that now makes notices for the district: they are made in order."""
    return bool(
        await c.scalar(
            text("SELECT pg_try_advisory_xact_lock(hashtext('planbridge.notices'), :district)"), {"district": district}
        )
    )


async def untold_runs(c: AsyncConnection) -> list[Ended]:
    """Runs that ended since, in their order."""
    rows = await c.execute(
        text(
            f"SELECT r.id, r.connection_id, r.state, r.kind = 'pull' AND r.mode <> 'dry', ({GOOD.format(run='r')}) "
            f"FROM run r JOIN connection n ON n.id = r.connection_id WHERE {UNTOLD_RUN} ORDER BY r.id"
        )
    )
    return [Ended(*row) for row in rows]


async def told_of_run(c: AsyncConnection, ended: Ended) -> None:
    await c.execute(
        text("UPDATE run SET told = :state WHERE id = :run AND state = :state"),
        {"run": ended.run, "state": ended.state},
    )


async def standing(c: AsyncConnection, run: int) -> Standing:
    """How the run's connection stood before it, and what is planned for it now."""
    row = (
        await c.execute(
            text(
                "SELECT r.connection_id, good.id, good.good_at, make_interval(secs => n.fresh_seconds) AS silence, "
                "  CASE WHEN s.enabled THEN s.next_due_at END AS next_run, failed.times, failed.since "
                "FROM run r JOIN connection n ON n.id = r.connection_id LEFT JOIN schedule s ON s.connection_id = n.id "
                "LEFT JOIN LATERAL (SELECT g.id, g.good_at FROM run g WHERE g.connection_id = n.id AND g.id < r.id "
                f"  AND {GOOD.format(run='g')} ORDER BY g.id DESC LIMIT 1) good ON true "
                "CROSS JOIN LATERAL (SELECT count(*) AS times, min(f.finished_at) AS since FROM run f "
                "  WHERE f.connection_id = n.id AND f.id < r.id AND f.id > coalesce(good.id, 0) "
                "  AND f.kind = 'pull' AND f.mode <> 'dry' AND f.state = 'failed') failed "
                "WHERE r.id = :run"
            ),
            {"run": run},
        )
    ).one()
    zone = await zone_of(c, row.connection_id)
    return Standing(row.id, row.good_at, row.next_run, row.silence, zone, row.times, row.since)


async def zone_of(c: AsyncConnection, connection: int) -> ZoneInfo:
    """In which zone people are told times: that of the connection's schedule, else that of the first channel."""
    return ZoneInfo(
        await c.scalar(
            text(
                "SELECT coalesce((SELECT zone FROM schedule WHERE connection_id = :connection), "
                "  (SELECT zone FROM channel ORDER BY id LIMIT 1), 'UTC')"
            ),
            {"connection": connection},
        )
    )


async def raise_alarm(c: AsyncConnection, district: int, connection: int, kind: str, at: datetime) -> bool:
    """Whether to tell of it: the first time, and then once for each further day that it lasts.

    Days are counted from half a day to half a day, so that a night's run that fails some minutes earlier than the
    night before still counts.
    """
    return bool(
        await c.scalar(
            text(
                "INSERT INTO alarm (district_id, connection_id, kind, since) "
                "VALUES (:district, :connection, :kind, :at) "
                "ON CONFLICT (connection_id, kind) DO UPDATE "
                "  SET told_days = round(extract(epoch FROM excluded.since - alarm.since) / 86400) "
                "  WHERE round(extract(epoch FROM excluded.since - alarm.since) / 86400) > alarm.told_days "
                "RETURNING true"
            ),
            {"district": district, "connection": connection, "kind": kind, "at": at},
        )
    )


async def raise_once(c: AsyncConnection, district: int, connection: int, kind: str) -> bool:
    """Whether this alarm was not raised yet."""
    return bool(
        await c.scalar(
            text(
                "INSERT INTO alarm (district_id, connection_id, kind, since) "
                "VALUES (:district, :connection, :kind, now()) ON CONFLICT DO NOTHING RETURNING true"
            ),
            {"district": district, "connection": connection, "kind": kind},
        )
    )


async def raised(store: Store, kind: str) -> set[int]:
    """The connections for which this alarm was raised, over all districts."""
    async with store.owner.begin() as c:
        return set(
            (await c.execute(text("SELECT connection_id FROM alarm WHERE kind = :kind"), {"kind": kind})).scalars()
        )


async def end_alarms(c: AsyncConnection, connection: int, *kinds: str) -> bool:
    """Whether any of these was raised; now none is."""
    gone = await c.execute(
        text("DELETE FROM alarm WHERE connection_id = :connection AND kind = ANY(:kinds)"),
        {"connection": connection, "kinds": list(kinds)},
    )
    return gone.rowcount > 0


async def goes_on(c: AsyncConnection, ended: Ended) -> bool:
    """Whether a run waits for the same reasons as the one whose place it took, about which nobody decided."""
    reasons = "(SELECT array_agg(DISTINCT h.code || ' ' || h.collection) FROM hold h WHERE h.run_id = {run})"
    return bool(
        await c.scalar(
            text(
                f"SELECT r.state = 'superseded' AND {reasons.format(run='r.id')} = {reasons.format(run=':run')} "
                "FROM run r WHERE r.connection_id = :connection AND r.id < :run "
                "AND EXISTS (SELECT FROM hold h WHERE h.run_id = r.id) ORDER BY r.id DESC LIMIT 1"
            ),
            {"connection": ended.connection, "run": ended.run},
        )
    )


async def untold_deliveries(c: AsyncConnection) -> list[tuple[int, int, str, datetime]]:
    """(delivery, connection, state, when it ended) of those that ended since, in their order; none is a withdrawal."""
    rows = await c.execute(
        text(
            "UPDATE delivery d SET told = true "
            f"WHERE {UNTOLD_DELIVERY} AND d.kind = 'push' RETURNING d.id, d.connection_id, d.state, d.finished_at"
        )
    )
    return sorted((row.id, row.connection_id, row.state, row.finished_at) for row in rows)


async def ending_credentials(c: AsyncConnection, today: date) -> list[tuple[int, str, date, int]]:
    """(connection, name, end date, which of 30, 7 and 1) to be announced now; they count as announced."""
    rows = await c.execute(
        text(
            f"UPDATE connection n SET secret_told = {STEP} WHERE {ENDING} "
            "RETURNING n.id, n.name, n.secret_ends, n.secret_told"
        ),
        {"today": today},
    )
    return sorted((row.id, row.name, row.secret_ends, row.secret_told) for row in rows)


async def set_end_date(store: Store, connection: Connection, ends: date | None, actor: Actor) -> None:
    """When the credentials of a connection end; what was announced of an earlier date counts no more."""
    async with store.transaction(connection.district) as c:
        await c.execute(
            text("UPDATE connection SET secret_ends = :ends, secret_told = NULL WHERE id = :connection"),
            {"ends": ends, "connection": connection.id},
        )
        told = {"ends": ends.isoformat() if ends else None}
        await log_act(c, connection.district, actor, "secret-expires", connection.name, told)


async def end_dates(c: AsyncConnection) -> dict[int, date]:
    """Connection -> when its credentials end, where that is known."""
    rows = await c.execute(text("SELECT id, secret_ends FROM connection WHERE secret_ends IS NOT NULL"))
    return {row.id: row.secret_ends for row in rows}


async def due_mornings(c: AsyncConnection) -> list[tuple[int, ZoneInfo, date]]:
    """(channel, zone, day) whose digest goes out now; it counts as sent."""
    rows = await c.execute(
        text(
            "UPDATE channel ch SET digested_on = CAST(now() AT TIME ZONE ch.zone AS date) "
            f"WHERE {MORNING} RETURNING ch.id, ch.zone, ch.digested_on"
        )
    )
    return [(row.id, ZoneInfo(row.zone), row.digested_on) for row in rows]


async def tallies(c: AsyncConnection) -> dict[int, tuple[int, int, int, int]]:
    """Connection -> records set aside and values without a mapping in its newest pull, and in that of a day before."""
    rows = await c.execute(
        text(
            """
            SELECT n.id, now_.rejects, now_.unmapped, coalesce(then_.rejects, 0) AS rejects_then,
                   coalesce(then_.unmapped, 0) AS unmapped_then
            FROM connection n
            CROSS JOIN LATERAL (
                SELECT (SELECT count(*) FROM reject j WHERE j.run_id = r.id) AS rejects,
                       (SELECT coalesce(sum(CAST(u->>2 AS int)), 0) FROM json_array_elements(r.unmapped) u) AS unmapped
                FROM run r WHERE r.connection_id = n.id AND r.kind = 'pull'
                  AND r.state IN ('held', 'published', 'compared')
                ORDER BY r.id DESC LIMIT 1
            ) now_
            LEFT JOIN LATERAL (
                SELECT (SELECT count(*) FROM reject j WHERE j.run_id = r.id) AS rejects,
                       (SELECT coalesce(sum(CAST(u->>2 AS int)), 0) FROM json_array_elements(r.unmapped) u) AS unmapped
                FROM run r WHERE r.connection_id = n.id AND r.kind = 'pull'
                  AND r.state IN ('published', 'compared') AND r.created_at < now() - interval '20 hours'
                ORDER BY r.id DESC LIMIT 1
            ) then_ ON true
            """
        )
    )
    return {row.id: (row.rejects, row.unmapped, row.rejects_then, row.unmapped_then) for row in rows}
