"""What is removed when its time is over."""

from sqlalchemy import text

from gateway.store.database import Store


async def purge_payloads(store: Store, days: int) -> int:
    """Remove source payloads older than `days`, of all districts; what they said stays as claims."""
    async with store.owner.begin() as c:
        purged = 0
        for statement in (
            "UPDATE record SET body = NULL WHERE body IS NOT NULL "
            "AND fetched_at < now() - make_interval(days => :days)",
            "UPDATE record_history SET body = NULL WHERE body IS NOT NULL "
            "AND fetched_at < now() - make_interval(days => :days)",
            "UPDATE reject SET sealed_body = NULL WHERE sealed_body IS NOT NULL "
            "AND at < now() - make_interval(days => :days)",
        ):
            purged += (await c.execute(text(statement), {"days": days})).rowcount
        return purged
