"""Who is told what, and what was told."""

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.messages import Standing


async def standing(c: AsyncConnection, run: int) -> Standing:
    """How the run's connection stood before it: its newest good sync."""
    good = (
        await c.execute(
            text(
                "SELECT g.id, g.finished_at FROM run g, run r WHERE r.id = :run AND g.id < r.id "
                "AND g.connection_id = r.connection_id AND g.state = 'published' AND g.kind = 'pull' "
                "ORDER BY g.id DESC LIMIT 1"
            ),
            {"run": run},
        )
    ).one_or_none()
    return Standing() if good is None else Standing(good.id, good.finished_at)
