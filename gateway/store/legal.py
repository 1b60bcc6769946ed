"""Legal holds: while a court or an inquiry needs what is kept of a student, nothing of it is removed."""

from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.errors import ConfigError, Refused
from gateway.store import standing
from gateway.store.database import Store
from gateway.store.registers import Actor, log_act


async def place(store: Store, c: AsyncConnection, district: int, student: str, because: str, actor: Actor) -> int:
    """Hold everything of a student, also after a restore; returns the hold's number. Refused without a reason."""
    if not because.strip():
        raise Refused("reason-missing", "A legal hold needs a reason.", "Give --because: the case's reference.")
    made = await c.scalar(
        text(
            "INSERT INTO legal_hold (district_id, student_id, because, actor) "
            "VALUES (:district, CAST(:student AS uuid), :because, CAST(:actor AS json)) RETURNING id"
        ),
        {"district": district, "student": student, "because": because.strip(), "actor": actor.as_json()},
    )
    await log_act(c, district, actor, "legal-hold", str(made), {})
    await standing.hold(store, c, district, student, actor)
    return int(str(made))


async def lift(store: Store, c: AsyncConnection, district: int, hold: int, because: str, actor: Actor) -> None:
    """End a hold: what is due by then goes with the next pass. Refused without a reason."""
    if not because.strip():
        raise Refused("reason-missing", "To lift a legal hold needs a reason.", "Give --because.")
    found = await c.scalar(
        text(
            "UPDATE legal_hold SET lifted_at = now(), lifted_because = :because "
            "WHERE id = :id AND lifted_at IS NULL RETURNING CAST(student_id AS text)"
        ),
        {"id": hold, "because": because.strip()},
    )
    if found is None:
        raise ConfigError(
            "legal-hold-unknown", f"There is no legal hold {hold} in force.", "`planbridge retention holds` lists them."
        )
    await log_act(c, district, actor, "legal-hold-lifted", str(hold), {})
    await standing.hold_no_more(store, c, district, found, actor)


async def refuse(c: AsyncConnection, district: int, student: str) -> None:
    """In the transaction that would remove something of a student. Refused with legal-hold."""
    held = await c.scalar(
        text(
            "SELECT id FROM legal_hold WHERE district_id = :district AND lifted_at IS NULL "
            "AND planbridge_survivor(student_id) = planbridge_survivor(CAST(:student AS uuid)) LIMIT 1"
        ),
        {"district": district, "student": student},
    )
    if held is not None:
        raise Refused(
            "legal-hold",
            f"Legal hold {held} keeps everything of this student.",
            f"When the case is over: planbridge retention lift {held} --because ...",
        )


async def listed(c: AsyncConnection) -> list[dict[str, Any]]:
    """Every hold, the newest first."""
    rows = await c.execute(
        text(
            "SELECT id, CAST(planbridge_survivor(student_id) AS text) AS student, because, at, lifted_at, "
            "  lifted_because FROM legal_hold ORDER BY id DESC"
        )
    )
    return [dict(row._mapping) for row in rows]
