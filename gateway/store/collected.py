"""Which groups beyond roster and results a connection collects: for what purpose, and on whose word."""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.collecting import Reason
from gateway.store.database import Store
from gateway.store.registers import Actor, Connection, log_act


async def reasons(c: AsyncConnection, connection: int) -> dict[str, Reason]:
    """Each group that is on, and why."""
    rows = await c.execute(
        text("SELECT name, purpose, basis FROM collected WHERE connection_id = :connection ORDER BY name"),
        {"connection": connection},
    )
    return {row.name: Reason(row.purpose, row.basis) for row in rows}


async def listed(c: AsyncConnection, connection: int) -> list[dict[str, Any]]:
    """The same with who switched it on, and when."""
    rows = await c.execute(
        text(
            'SELECT name AS "group", purpose, basis, actor, at FROM collected WHERE connection_id = :connection '
            "ORDER BY name"
        ),
        {"connection": connection},
    )
    return [dict(row._mapping) for row in rows]


async def switch(
    store: Store, connection: Connection, changes: Mapping[str, Reason | None], collections: Sequence[str], actor: Actor
) -> None:
    """Switch groups on, for a reason, or off (None). `collections` are those of the groups: what is read of them next
    is everything, for what changed meanwhile nobody asked. What was read stays until the next run removes it."""
    async with store.transaction(connection.district) as c:
        values = {"connection": connection.id, "district": connection.district, "actor": actor.as_json()}
        for group, reason in changes.items():
            gone = await c.execute(
                text("DELETE FROM collected WHERE connection_id = :connection AND name = :group"),
                values | {"group": group},
            )
            if reason is not None:
                await c.execute(
                    text(
                        "INSERT INTO collected (district_id, connection_id, name, purpose, basis, actor) "
                        "VALUES (:district, :connection, :group, :purpose, :basis, CAST(:actor AS json))"
                    ),
                    values | {"group": group} | vars(reason),
                )
            if reason is not None or gone.rowcount:
                why = {} if reason is None else {"purpose": reason.purpose, "basis": reason.basis}
                act = "collect-off" if reason is None else "collect-on"
                await log_act(c, connection.district, actor, act, connection.name, {"group": group, **why})
        await _forget_marks(c, connection.id, collections)


async def forget(c: AsyncConnection, connection: int, collections: Sequence[str]) -> None:
    """Nothing that was set aside of these collections is kept, and how far they were read is forgotten."""
    await _forget_marks(c, connection, collections)
    await c.execute(
        text("DELETE FROM reject WHERE connection_id = :connection AND collection = ANY(:collections)"),
        {"connection": connection, "collections": list(collections)},
    )


async def _forget_marks(c: AsyncConnection, connection: int, collections: Sequence[str]) -> None:
    await c.execute(
        text("DELETE FROM watermark WHERE connection_id = :connection AND collection = ANY(:collections)"),
        {"connection": connection, "collections": list(collections)},
    )
