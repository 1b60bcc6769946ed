"""Who has no right to a student's plan, or is kept from the student: by any source's word."""

from collections.abc import Collection

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection


async def barred(c: AsyncConnection, students: Collection[str]) -> dict[str, frozenset[str]]:
    """Student -> the contacts whose education rights are `no`, or whose contact with the student is restricted, by any
    source, today. Whoever is named here is told nothing and sent nothing."""
    if not students:
        return {}
    rows = await c.execute(
        text(
            "SELECT doc->>'student' AS student, array_agg(DISTINCT doc->>'contact') AS contacts FROM entity "
            "WHERE kind = 'relationship' AND doc->>'student' = ANY(:students) "
            "AND (doc->>'education_rights' = 'no' OR coalesce(doc->>'restrictions', '') <> '') GROUP BY 1"
        ),
        {"students": sorted(students)},
    )
    return {row.student: frozenset(row.contacts) for row in rows}
