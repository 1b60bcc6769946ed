"""Who has no right to a student's plan, or is kept from the student: by any source's word, or by the district's own."""

from collections.abc import Collection, Mapping

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.store import standing
from gateway.store.database import Store

Named = Mapping[str, Collection[str]]
"""Student -> people whom plans of the student name."""


async def barred(store: Store, c: AsyncConnection, named: Named) -> dict[str, frozenset[str]]:
    """Student -> those of the named people who are told nothing and sent nothing today."""
    by_sources, by_district = await barred_by_sources(c, named), await standing.restricted_among(store, c, named)
    return {one: by_sources[one] | by_district[one].keys() for one in named}


async def barred_by_sources(c: AsyncConnection, named: Named) -> dict[str, frozenset[str]]:
    """Student -> those of the named people whose education rights are `no`, or whose contact with the student is
    restricted, by any source; also where either goes by an id from before a merge."""
    if not named:
        return {}
    known_as = await c.execute(
        text("SELECT one, CAST(planbridge_survivor(CAST(one AS uuid)) AS text) FROM unnest(CAST(:ids AS text[])) one"),
        {"ids": sorted({*named, *(person for people in named.values() for person in people)})},
    )
    today = {row[0]: row[1] for row in known_as}
    rows = await c.execute(
        text(
            "SELECT doc->>'student' AS student, array_agg(DISTINCT doc->>'contact') AS contacts FROM entity "
            "WHERE kind = 'relationship' AND doc->>'student' = ANY(:students) "
            "AND (doc->>'education_rights' = 'no' OR coalesce(doc->>'restrictions', '') <> '') GROUP BY 1"
        ),
        {"students": sorted({today[student] for student in named})},
    )
    kept_away = {row.student: set(row.contacts) for row in rows}
    return {
        student: frozenset(person for person in people if today[person] in kept_away.get(today[student], ()))
        for student, people in named.items()
    }
