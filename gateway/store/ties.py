"""What ties people to students: the plans they coordinate or work on, and the classes they are in together."""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

OVER = ("closed", "superseded", "revoked", "entered_in_error", "archived", "purged")
"""States in which a plan ties nobody to the student any more."""


@dataclass(frozen=True)
class PlanTie:
    """A plan that is under way, and whom it names."""

    id: str
    student: str
    state: str
    coordinator: str | None
    team: list[dict[str, Any]]


async def plans(c: AsyncConnection, student: str | None = None) -> list[PlanTie]:
    """The plans under way, all or one student's, the newest first."""
    rows = await c.execute(
        text(
            "SELECT CAST(id AS text) AS id, CAST(planbridge_survivor(student_id) AS text) AS student, state, "
            "  content->>'coordinator' AS coordinator, content->'team' AS team FROM plan "
            "WHERE state <> ALL(:over) AND (CAST(:student AS uuid) IS NULL "
            "  OR planbridge_survivor(student_id) = planbridge_survivor(CAST(:student AS uuid))) "
            "ORDER BY created_at DESC, id"
        ),
        {"student": student, "over": list(OVER)},
    )
    return [PlanTie(row.id, row.student, row.state, row.coordinator, row.team or []) for row in rows]


async def taught(c: AsyncConnection, today: str, teacher: str | None = None) -> list[tuple[str, str]]:
    """(teacher, student) of everybody who is in a class together today, or of one teacher."""
    rows = await c.execute(
        text(
            "SELECT DISTINCT t.doc->>'person' AS teacher, s.doc->>'person' AS student FROM entity t "
            "JOIN entity s ON s.kind = 'enrollment' AND s.doc->>'class' = t.doc->>'class' "
            "  AND s.doc->>'role' = 'student' "
            "WHERE t.kind = 'enrollment' AND t.doc->>'role' = 'teacher' "
            "AND (CAST(:teacher AS text) IS NULL OR t.doc->>'person' = :teacher) "
            f"AND {_NOW.format(e='t')} AND {_NOW.format(e='s')} ORDER BY 1, 2"
        ),
        {"teacher": teacher, "today": today},
    )
    return [(row.teacher, row.student) for row in rows]


# The last day is the source's: some mean it to be the first day without. Whoever may be gone sees nothing.
_NOW = "coalesce({e}.doc->>'begin_on', '') <= :today AND coalesce({e}.doc->>'end_on', '9999') > :today"
