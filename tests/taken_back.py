"""A plan taken back from a destination, by the job that a worker would do."""

from typing import Any

from gateway import dispatch
from gateway.store import deliveries
from gateway.store.database import Store
from gateway.store.registers import Actor


async def taken_back(
    store: Store, district: int, plan: str, destination: str, actor: Actor, because: str
) -> dict[str, Any]:
    """The delivery that did it, as its status says."""
    [number] = await dispatch.request_withdrawal(store, district, plan, actor, because, destination)
    await dispatch.deliver_job(store, district, number)
    async with store.transaction(district) as c:
        return await deliveries.status(c, number)


def objects(found: dict[str, Any]) -> int:
    """How many objects were taken back."""
    return sum(receipt["delivered"] for receipt in found["receipts"])
