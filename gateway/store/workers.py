"""Whether somebody is at work, and what only one of all workers may do."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from sqlalchemy import text

from gateway.store.database import Store


async def alive(store: Store, within: float) -> bool:
    """Whether some worker has shown life within so many seconds."""
    async with store.transaction() as c:
        return bool(
            await c.scalar(
                text(
                    "SELECT EXISTS (SELECT FROM procrastinate_workers "
                    "WHERE last_heartbeat > now() - make_interval(secs => :seconds))"
                ),
                {"seconds": within},
            )
        )


@asynccontextmanager
async def only_one(store: Store, what: str) -> AsyncIterator[bool]:
    """Whether nobody else, on any machine, does the same within; the lock goes with the transaction."""
    async with store.transaction() as c:
        yield bool(
            await c.scalar(text("SELECT pg_try_advisory_xact_lock(hashtext('planbridge.' || :what))"), {"what": what})
        )
