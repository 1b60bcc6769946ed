"""What a district chose for a destination beside its delivery profile."""

from typing import Literal

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.store.registers import Actor, Connection, log_act

EditedThere = Literal["ask", "keep", "ours"]


async def edited_there(c: AsyncConnection, connection: int) -> EditedThere:
    """What becomes of an update where a person edited what stands at a destination: `ask` parks it, `keep` leaves it as
    it is there, `ours` is sent."""
    found: EditedThere | None = await c.scalar(
        text("SELECT edited_there FROM destination WHERE connection_id = :id"), {"id": connection}
    )
    return found or "ask"


async def set_edited_there(c: AsyncConnection, destination: Connection, choice: EditedThere, actor: Actor) -> None:
    """Choose that, with the line about who did."""
    await c.execute(
        text(
            "INSERT INTO destination (connection_id, district_id, profile, edited_there) "
            "VALUES (:connection, :district, '{}', :choice) "
            "ON CONFLICT (connection_id) DO UPDATE SET edited_there = excluded.edited_there"
        ),
        {"connection": destination.id, "district": destination.district, "choice": choice},
    )
    await log_act(c, destination.district, actor, "edited-there", destination.name, {"choice": choice})
