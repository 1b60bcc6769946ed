"""When destinations are looked at: whether they still have what was delivered, and whether it may still lie there."""

import logging
from collections.abc import Awaitable, Callable

from gateway import logs
from gateway.deferring import defer
from gateway.store import rechecks, verifications
from gateway.store.database import Store, Transaction

log = logging.getLogger(__name__)


async def queue_due(store: Store) -> None:
    """Queue every look whose time has come, in all districts; each is claimed by one of the workers that tick."""
    for district, connection in await verifications.due(store):
        await _queue(store, "look", district, connection, lambda c, district, id: verifications.claim(c, id))
    for district, connection in await rechecks.due(store):
        await _queue(store, "recheck", district, connection, rechecks.claim)


async def _queue(
    store: Store, task: str, district: int, connection: int, claim: Callable[[Transaction, int, int], Awaitable[bool]]
) -> None:
    with logs.about(district=district, connection=connection):
        try:
            async with store.transaction(district) as c:
                if await claim(c, district, connection):
                    await defer(c, task, f"destination/{connection}", district=district, connection=connection)
        except Exception as error:  # one connection's trouble is not the others'
            log.error("the %s of a destination met a fault of ours: %s", task, logs.where(error))
