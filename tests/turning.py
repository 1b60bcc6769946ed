"""The time of a delivery that waits, come."""

from datetime import timedelta

from gateway import clock, dispatch
from gateway.store import turns
from gateway.store.database import Store


async def carried_out(store: Store, district: int, number: int) -> None:
    """What a worker does with a delivery once its time has come."""
    async with store.transaction(district) as c:
        await turns.claim(c, number, clock.now() + timedelta(days=2))
    await dispatch.deliver_job(store, district, number)
