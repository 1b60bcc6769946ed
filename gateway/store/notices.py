"""Who is told what, and what was told."""

from zoneinfo import ZoneInfo

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.messages import Standing


async def standing(c: AsyncConnection, run: int) -> Standing:
    """How the run's connection stood before it, and what is planned for it now."""
    row = (
        await c.execute(
            text(
                "SELECT good.id, good.good_at, make_interval(secs => n.fresh_seconds) AS silence, s.zone, "
                "  CASE WHEN s.enabled THEN s.next_due_at END AS next_run "
                "FROM run r JOIN connection n ON n.id = r.connection_id LEFT JOIN schedule s ON s.connection_id = n.id "
                "LEFT JOIN LATERAL (SELECT g.id, g.good_at FROM run g WHERE g.connection_id = n.id AND g.id < r.id "
                "  AND g.good_at IS NOT NULL AND g.mode = 'publish' AND g.kind = 'pull' "
                "  ORDER BY g.id DESC LIMIT 1) good ON true "
                "WHERE r.id = :run"
            ),
            {"run": run},
        )
    ).one()
    return Standing(row.id, row.good_at, row.next_run, row.silence, ZoneInfo(row.zone or "UTC"))
