"""Deliveries taken, and the time of one that waits, come."""

from datetime import timedelta

from gateway import clock, dispatch
from gateway.store import deliveries, turns
from gateway.store.database import Store
from gateway.store.deliveries import Delivery


async def carried_out(store: Store, district: int, number: int) -> None:
    """What a worker does with a delivery once its time has come."""
    async with store.transaction(district) as c:
        await turns.claim(c, number, clock.now() + timedelta(days=2))
    await dispatch.deliver_job(store, district, number)


async def taken(store: Store, district: int, number: int) -> list[Delivery]:
    """What a worker would take now of what waits where this delivery goes; nothing is sent of it."""
    connection = await deliveries.destination(store, district, number)
    assert connection is not None
    return await deliveries.take(store, district, connection, 10)
