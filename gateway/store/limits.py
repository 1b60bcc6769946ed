"""What a district set its guards to, connection by connection, and what a person allowed for a while."""

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from pydantic import ValidationError
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.errors import ConfigError, Refused
from gateway.guard import Guards
from gateway.store.database import Store
from gateway.store.registers import Actor, log_act


async def guards(c: AsyncConnection, connection: int, at: datetime) -> Guards:
    """What holds for a connection's runs at this moment: its own limits, eased by what is allowed until later."""
    own = await c.scalar(text("SELECT guards FROM connection WHERE id = :connection"), {"connection": connection})
    allowed = await c.execute(
        text("SELECT limits FROM allowance WHERE connection_id = :connection AND until_at > :at ORDER BY id"),
        {"connection": connection, "at": at},
    )
    return Guards.model_validate(own).eased(list(allowed.scalars()))


async def own_guards(store: Store, district: int, connection: int) -> Guards:
    """A connection's own limits, as set."""
    async with store.transaction(district) as c:
        own = await c.scalar(text("SELECT guards FROM connection WHERE id = :connection"), {"connection": connection})
        return Guards.model_validate(own)


async def set_guards(store: Store, district: int, connection: int, values: Mapping[str, Any], actor: Actor) -> Guards:
    """Set a connection's limits; what was set before is in the act's detail. ConfigError names what does not fit."""
    wanted = checked(values)
    async with store.transaction(district) as c:
        old = await c.scalar(
            text("SELECT guards FROM connection WHERE id = :connection FOR UPDATE"), {"connection": connection}
        )
        await c.execute(
            text("UPDATE connection SET guards = CAST(:guards AS json) WHERE id = :connection"),
            {"guards": wanted.model_dump_json(exclude_defaults=True), "connection": connection},
        )
        await log_act(
            c, district, actor, "guards-set", str(connection),
            {"before": old, "after": wanted.model_dump(exclude_defaults=True)},
        )  # fmt: skip
    return wanted


def checked(values: Mapping[str, Any]) -> Guards:
    """The limits these values describe. ConfigError when one is unknown or no number."""
    try:
        wanted = Guards.model_validate(values)
        for name in wanted.limits:
            wanted.of(name)
    except ValidationError as error:
        problem = error.errors(include_input=False, include_url=False)[0]
        raise ConfigError(
            "limits-invalid",
            f"These limits do not fit: {'.'.join(map(str, problem['loc']))}: {problem['msg']}",
            "`planbridge guards show` lists the names; shares are numbers, 0.1 means 10 %.",
        ) from None
    return wanted


async def allow(
    store: Store,
    district: int,
    connection: int,
    limits: Mapping[str, Mapping[str, float]],
    until: datetime,
    because: str,
    actor: Actor,
) -> int:
    """Ease limits for a while, with a reason; it ends by itself."""
    checked({"limits": limits})
    if not because.strip():
        raise Refused("reason-missing", "Easing a guard needs a reason.", "Give --reason.")
    async with store.transaction(district) as c:
        made = await c.scalar(
            text(
                "INSERT INTO allowance (district_id, connection_id, limits, until_at, because, actor) VALUES "
                "(:district, :connection, CAST(:limits AS json), :until, :because, CAST(:actor AS json)) RETURNING id"
            ),
            {
                "district": district,
                "connection": connection,
                "limits": json.dumps(limits),
                "until": until,
                "because": because,
                "actor": actor.as_json(),
            },
        )
        await log_act(c, district, actor, "guards-eased", str(connection), {"until": until.isoformat()})
    return int(made)


async def allowances(store: Store, district: int, connection: int, at: datetime) -> list[dict[str, Any]]:
    """What is allowed for a while, still."""
    async with store.transaction(district) as c:
        rows = await c.execute(
            text(
                "SELECT limits, until_at, because, actor FROM allowance "
                "WHERE connection_id = :connection AND until_at > :at ORDER BY id"
            ),
            {"connection": connection, "at": at},
        )
        return [dict(row._mapping) for row in rows]
