"""Districts of invented people at rest: made under a mark that stays, a day later, and who in them teaches whom."""

import secrets
from datetime import date
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.errors import ConfigError
from gateway.store.database import Store
from gateway.store.registers import Actor, invented_day, log_act

FAMILY = "Sandbox, the family"
"""Who says that a student is not to be shown, in a sandbox."""


async def make(store: Store, name: str, day: date, actor: Actor) -> int:
    """A new district of invented people in which it is this day. ConfigError where there is one of that name."""
    async with store.owner.begin() as c:
        made = await c.scalar(
            text(
                "INSERT INTO district (name, sealed_key) VALUES (:name, :key) ON CONFLICT (name) DO NOTHING "
                "RETURNING id"
            ),
            {"name": name, "key": store.secrets.seal(secrets.token_bytes(32))},
        )
        if made is None:
            raise ConfigError("district-exists", f"There is a district {name!r} already.", "Choose another name.")
        await log_act(c, made, actor, "sandbox", name, {"day": day.isoformat()})
    return int(made)


async def named(store: Store, name: str) -> int:
    """The id of the sandbox of this name. ConfigError where there is none, or it is a real district."""
    async with store.owner.connect() as c:
        found = await c.scalar(text("SELECT id FROM district WHERE name = :name"), {"name": name})
    if found is not None:
        async with store.transaction(found) as c:
            await day(c, found)
        return int(found)
    raise _none()


async def day(c: AsyncConnection, district: int) -> date:
    """The day that it is there. ConfigError in a real district."""
    found = await invented_day(c, district)
    if found is None:
        raise _none()
    return found


def _none() -> ConfigError:
    return ConfigError(
        "sandbox-unknown", "This is no sandbox.", "Whoever runs Planbridge makes one: planbridge sandbox NAME"
    )


async def pass_day(c: AsyncConnection, district: int, to: date, actor: Actor) -> None:
    """From now on it is this day."""
    await log_act(c, district, actor, "sandbox-day", to.isoformat(), {"day": to.isoformat()})


async def classroom(c: AsyncConnection, today: date) -> list[dict[str, Any]]:
    """Who teaches whom today, the fullest classes first: teacher, name, student, student's number, class."""
    rows = await c.execute(
        text(
            "WITH e AS (SELECT doc->>'class' AS class, doc->>'person' AS person, doc->>'role' AS role FROM entity "
            "  WHERE kind = 'enrollment' AND coalesce(doc->>'begin_on', '') <= :today "
            "  AND coalesce(doc->>'end_on', '9999') >= :today) "
            "SELECT t.person AS teacher, p.doc->>'given_name' || ' ' || (p.doc->>'family_name') AS name, "
            "  s.person AS student, t.class, count(*) OVER (PARTITION BY t.class) AS size "
            "FROM e t JOIN e s ON s.class = t.class AND s.role = 'student' "
            "JOIN entity p ON p.kind = 'person' AND CAST(p.id AS text) = t.person WHERE t.role = 'teacher' "
            "ORDER BY size DESC, t.class, s.person"
        ),
        {"today": today.isoformat()},
    )
    return [dict(row._mapping) for row in rows]


async def teacher(c: AsyncConnection) -> str | None:
    """The person who has the sandbox's one account."""
    found = await c.scalar(text("SELECT CAST(person_id AS text) FROM account ORDER BY id LIMIT 1"))
    return None if found is None else str(found)


async def end_tokens(c: AsyncConnection, client: str) -> None:
    """Every token of a client is worth nothing."""
    await c.execute(text("DELETE FROM client_token WHERE client_id = :client"), {"client": client})


async def denials(c: AsyncConnection) -> list[int]:
    """Consents by which the sandbox's families keep students from a program."""
    rows = await c.execute(
        text("SELECT id FROM consent WHERE grantor = :family AND NOT permit AND revoked_at IS NULL ORDER BY id"),
        {"family": FAMILY},
    )
    return list(rows.scalars())
