"""How every connection stands, read in one query: for the command line, for monitors, for those who raise alarms."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import text

from gateway.status import ConnectionState
from gateway.store.database import Store
from gateway.store.verifications import LOST

STATES = text(
    """
    SELECT now() AS at, n.district_id AS district, d.name AS district_name, n.id AS connection, n.name, n.connector,
           n.created_at, make_interval(secs => n.fresh_seconds) AS "limit", n.shadow, n.paused_because,
           (s.connection_id IS NOT NULL OR newest.id IS NOT NULL
             OR NOT EXISTS (SELECT FROM destination t WHERE t.connection_id = n.id) AND n.client_id IS NULL)
             AND d.suspended_at IS NULL AS watched,
           (SELECT max(b.until_at) FROM blackout b
            WHERE b.district_id = n.district_id AND coalesce(b.connection_id, n.id) = n.id
              AND b.from_at <= now()) AS quiet_until,
           good.id AS good_run, good.good_at,
           EXISTS (SELECT FROM run r WHERE r.connection_id = n.id AND r.state = 'held'
                   AND r.good_at IS NOT NULL) AS removals_held,
           (SELECT max(r.id) FROM run r WHERE r.connection_id = n.id AND r.state = 'held'
            AND r.good_at IS NULL) AS held_run,
           (SELECT max(r.id) FROM run r WHERE r.connection_id = n.id
            AND r.state IN ('queued', 'pulling', 'resolving', 'approved')) AS under_way,
           CASE WHEN ended.state = 'failed' THEN failed.since END AS failing_since,
           failed.times AS failures,
           CASE WHEN ended.state = 'failed' THEN ended.error_code END AS error_code,
           coalesce(s.enabled, false) AS scheduled,
           CASE WHEN s.enabled THEN s.next_due_at END AS next_due_at, s.last_due_at, s.last_skipped,
           (SELECT count(*) FROM ledger l WHERE l.connection_id = n.id AND """
    + LOST
    + """) AS overwritten
    FROM connection n
    JOIN district d ON d.id = n.district_id
    LEFT JOIN schedule s ON s.connection_id = n.id
    LEFT JOIN LATERAL (
        SELECT r.id FROM run r WHERE r.connection_id = n.id AND r.kind = 'pull' ORDER BY r.id DESC LIMIT 1
    ) newest ON true
    LEFT JOIN LATERAL (
        SELECT r.id, r.good_at FROM run r
        WHERE r.connection_id = n.id AND r.kind = 'pull' AND r.good_at IS NOT NULL
          AND (r.mode = 'publish' OR n.shadow AND r.mode = 'shadow')
        ORDER BY r.id DESC LIMIT 1
    ) good ON true
    LEFT JOIN LATERAL (
        SELECT r.state, r.error_code FROM run r
        WHERE r.connection_id = n.id AND r.kind = 'pull' AND r.mode <> 'dry'
          AND r.state NOT IN ('queued', 'pulling', 'resolving', 'approved')
        ORDER BY r.id DESC LIMIT 1
    ) ended ON true
    LEFT JOIN LATERAL (
        SELECT count(*) AS times, min(r.finished_at) AS since FROM run r
        WHERE r.connection_id = n.id AND r.kind = 'pull' AND r.mode <> 'dry' AND r.state = 'failed'
          AND r.id > coalesce(good.id, 0)
    ) failed ON true
    WHERE n.district_id = coalesce(CAST(:district AS int), n.district_id)
      AND NOT EXISTS (SELECT FROM succession t WHERE t.old_id = n.id AND t.done_at IS NOT NULL)
    ORDER BY d.name, n.id
    """
)


async def read(store: Store, district: int | None = None) -> list[ConnectionState]:
    """Every connection of a district, or of all: then as the owner, for monitors of the whole installation. Without
    those whose place another one has taken: nothing is expected of them."""
    begun = store.owner.begin() if district is None else store.transaction(district)
    async with begun as c:
        rows = (await c.execute(STATES, {"district": district})).mappings().all()
    return [ConnectionState(**row) for row in rows]


@dataclass(frozen=True)
class Load:
    """What the workers of the installation have to do. `runs`: (district, connection, state, how many)."""

    workers: int
    waiting: int
    under_way: int
    parked: int
    runs: Sequence[tuple[str, str, str, int]]


async def load(store: Store, alive_within: float) -> Load:
    """As the owner, over all districts: counts only. A worker lives that was heard within so many seconds."""
    async with store.owner.begin() as c:
        counts = (
            await c.execute(
                text(
                    "SELECT (SELECT count(*) FROM procrastinate_workers "
                    "        WHERE last_heartbeat > now() - make_interval(secs => :seconds)) AS workers, "
                    "  (SELECT count(*) FROM procrastinate_jobs WHERE status = 'todo') AS waiting, "
                    "  (SELECT count(*) FROM procrastinate_jobs WHERE status = 'doing') AS under_way, "
                    "  (SELECT count(*) FROM delivery WHERE state = 'parked') AS parked"
                ),
                {"seconds": alive_within},
            )
        ).one()
        runs = await c.execute(
            text(
                "SELECT d.name AS district, n.name AS connection, r.state, count(*) AS times FROM run r "
                "JOIN connection n ON n.id = r.connection_id JOIN district d ON d.id = n.district_id "
                "GROUP BY 1, 2, 3 ORDER BY 1, 2, 3"
            )
        )
        counted = [(row.district, row.connection, row.state, row.times) for row in runs]
    return Load(counts.workers, counts.waiting, counts.under_way, counts.parked, counted)
