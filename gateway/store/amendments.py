"""Requests to amend a student's record: asked, decided by a day, and the family's statement where it was refused."""

import uuid
from datetime import date, timedelta
from typing import Any, Literal

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.errors import ConfigError, Refused
from gateway.store import standing
from gateway.store.database import Store
from gateway.store.registers import Actor, log_act

ANSWER_IN = timedelta(days=45)
"""Default time to an answer. # 34 CFR 99.21 says "within a reasonable time"; 99.10 gives 45 days to answer to a
request to see the record."""

Decision = Literal["granted", "refused"]


async def ask(
    store: Store,
    c: AsyncConnection,
    district: int,
    student: str,
    by: str,
    about: str,
    asked: str,
    on: date,
    due: date,
    actor: Actor,
) -> str:
    """Record a request; returns its id. ConfigError for one that is not whole."""
    if not (by.strip() and about.strip() and asked.strip()) or due < on:
        raise ConfigError(
            "amendment-incomplete",
            "A request says who asks, about which part of the record, and for what; its due date is not before it.",
            "Give --by, --about and --asked, and --due after --on.",
        )
    id = str(uuid.uuid4())
    await c.execute(
        text(
            "INSERT INTO amendment (id, district_id, student_id, asked_by, about, asked, asked_on, due_on, actor) "
            "VALUES (CAST(:id AS uuid), :district, CAST(:student AS uuid), :by, :about, :asked, :on, :due, "
            "  CAST(:actor AS json))"
        ),
        {
            "id": id,
            "district": district,
            "student": student,
            "by": by.strip(),
            "about": about.strip(),
            "asked": asked.strip(),
            "on": on,
            "due": due,
            "actor": actor.as_json(),
        },
    )
    await log_act(c, district, actor, "amendment-asked", id, {"due": due.isoformat()})
    await standing.ask(store, c, district, id, student, due, actor)
    return id


async def decide(c: AsyncConnection, district: int, id: str, decision: Decision, because: str, actor: Actor) -> None:
    """Answer a request, once; or grant one that was refused, after a hearing. Refused without a reason."""
    if not because.strip():
        raise Refused("reason-missing", "The answer to a request needs a reason.", "Give --because.")
    before = await _known(c, id)
    if before == "granted" or before == decision:
        raise Refused(
            "amendment-decided",
            f"This request was {before} already.",
            "What was refused can still be granted, after a hearing; anything else is a new request.",
        )
    await c.execute(
        text(
            "UPDATE amendment SET decision = :decision, because = :because, decided_at = now() "
            "WHERE CAST(id AS text) = :id"
        ),
        {"decision": decision, "because": because.strip(), "id": id.lower()},
    )
    await log_act(c, district, actor, f"amendment-{decision}", id.lower(), {})


async def state(c: AsyncConnection, district: int, id: str, statement: str, actor: Actor) -> None:
    """Keep the family's statement, word for word, with what it disagrees with. Only where the request was refused."""
    if await _known(c, id) != "refused":
        raise Refused(
            "amendment-not-refused",
            "A statement stands beside what was not amended; this request was not refused.",
            "Decide about it first: planbridge family decide.",
        )
    if not statement.strip():
        raise ConfigError("amendment-incomplete", "The statement is empty.", "Give the family's own words.")
    await c.execute(
        text("UPDATE amendment SET statement = :statement WHERE CAST(id AS text) = :id"),
        {"statement": statement, "id": id.lower()},
    )
    await log_act(c, district, actor, "amendment-statement", id.lower(), {})


async def _known(c: AsyncConnection, id: str) -> str | None:
    """How it was decided so far, locked until the transaction ends."""
    row = (
        await c.execute(
            text("SELECT decision FROM amendment WHERE CAST(id AS text) = :id FOR UPDATE"), {"id": id.lower()}
        )
    ).one_or_none()
    if row is None:
        raise ConfigError(
            "amendment-unknown", "There is no such request.", "`planbridge family amendments` lists them."
        )
    decision: str | None = row.decision
    return decision


async def listed(c: AsyncConnection, today: date, student: str | None = None) -> list[dict[str, Any]]:
    """Requests, all or one student's, those that wait longest first; `overdue` where the day of the answer is past."""
    rows = await c.execute(
        text(
            "SELECT CAST(id AS text) AS id, CAST(planbridge_survivor(student_id) AS text) AS student, asked_by, about, "
            "  asked, asked_on, due_on, decision IS NULL AND due_on < :today AS overdue, decision, because, "
            "  decided_at, statement FROM amendment WHERE CAST(:student AS uuid) IS NULL "
            "OR planbridge_survivor(student_id) = planbridge_survivor(CAST(:student AS uuid)) "
            "ORDER BY decision IS NOT NULL, due_on, id"
        ),
        {"today": today, "student": student},
    )
    return [dict(row._mapping) for row in rows]


async def untold(c: AsyncConnection, today: date) -> tuple[str, int, date] | None:
    """Of the requests whose day of the answer is past: under which name that is told once, how many there are, and
    since when. The name is another one each week, and as soon as another one is overdue."""
    row = (
        await c.execute(
            text(
                "SELECT count(*) AS overdue, min(due_on) AS since, max(due_on) AS latest FROM amendment "
                "WHERE decision IS NULL AND due_on < :today"
            ),
            {"today": today},
        )
    ).one()
    if not row.overdue:
        return None
    year, week, _ = today.isocalendar()
    return f"amendments/{year}-{week}/{row.latest}", row.overdue, row.since
