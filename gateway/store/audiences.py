"""How a delivery is shown where it arrives: as a doorway or not, to whom, or not yet at all."""

import json
from collections import Counter
from collections.abc import Sequence
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.connector import Document
from gateway.store.database import Store
from gateway.store.deliveries import Delivery, hold_fence


async def note_doorway(c: AsyncConnection, delivery: int) -> None:
    """This delivery is a link and nothing of the plan."""
    await c.execute(text("UPDATE delivery SET doorway = true WHERE id = :id"), {"id": delivery})


async def is_doorway(c: AsyncConnection, delivery: int) -> bool:
    """Whether a delivery is a link and nothing of the plan."""
    return bool(await c.scalar(text("SELECT doorway FROM delivery WHERE id = :id"), {"id": delivery}))


async def was_doorway(c: AsyncConnection, connection: int, plan: str) -> bool:
    """Whether what a destination has of a plan is a doorway: what arrived there last was one."""
    return bool(
        await c.scalar(
            text(
                "SELECT doorway FROM delivery WHERE plan_id = CAST(:plan AS uuid) AND connection_id = :connection "
                "AND state = 'delivered' AND kind = 'push' ORDER BY id DESC LIMIT 1"
            ),
            {"plan": plan, "connection": connection},
        )
    )


async def note(store: Store, delivery: Delivery, audience: list[dict[str, Any]] | None) -> None:
    """Who sees it there, as counts; None where the destination does not tell."""
    await _put(store, delivery, "audience", audience)


async def note_rehearsed(store: Store, delivery: Delivery, documents: Sequence[Document]) -> None:
    """What would have been sent: the destination is in the shadow, or not for this school yet."""
    counts = Counter(document.resource for document in documents)
    await _put(store, delivery, "rehearsed", [{"resource": name, "objects": n} for name, n in counts.items()])


async def _put(store: Store, delivery: Delivery, column: str, value: list[dict[str, Any]] | None) -> None:
    async with store.transaction(delivery.district) as c:
        await hold_fence(c, delivery)
        await c.execute(
            text(f"UPDATE delivery SET {column} = CAST(:value AS json) WHERE id = :id"),
            {"id": delivery.id, "value": None if value is None else json.dumps(value)},
        )
