"""Every enrolled student with what is on record of them and their plans, as far as coverage is counted."""

from collections.abc import Iterable
from datetime import date, timedelta
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway import continuity
from gateway.coverage import IN_FORCE, PlanFacts, Student
from gateway.store import attention

LATELY = timedelta(days=30)
"""So long ago a support may have been delivered last and still count as delivered."""


async def enrolled(c: AsyncConnection, today: date) -> list[Student]:
    """Every student who is enrolled today, with their plans, at their main school, in the order of their ids."""
    rows = await c.execute(
        text(
            "SELECT CAST(id AS text) AS id, doc->'roles' AS roles, doc->'active' AS active, doc->'grades' AS grades, "
            "  doc->'languages' AS languages FROM entity "
            "WHERE kind = 'person' AND doc->>'population' = 'student' ORDER BY entity.id"
        )
    )
    plans, programs = await _plans(c, today), await _programs(c, today)
    found = []
    for row in rows:
        person = {"roles": row.roles or (), "active": row.active is not False}
        if schools := continuity.enrolled_at(person, today):
            found.append(
                Student(
                    row.id,
                    schools[0],
                    (row.grades or [""])[0],
                    row.languages or (),
                    programs.get(row.id, ()),
                    plans.get(row.id, ()),
                )
            )
    return found


async def _plans(c: AsyncConnection, today: date) -> dict[str, list[PlanFacts]]:
    """Student -> plans, with what is in force of each, else what is worked on."""
    rows = await c.execute(
        text(
            "SELECT CAST(p.id AS text) AS id, CAST(planbridge_survivor(p.student_id) AS text) AS student, p.state, "
            "  p.standing, d.doc->>'coordinator' AS coordinator, d.doc->'supports' AS supports, d.doc->'team' AS team, "
            "  d.doc->'consultations' AS consultations, EXISTS ("
            "    SELECT FROM record_entry r WHERE r.plan_id = p.id AND r.kind = 'support_delivery' "
            "    AND r.occurred_at >= CAST(:since AS date) AND CAST(r.body AS json)->>'minutes' <> '0' "
            "    AND NOT EXISTS (SELECT FROM record_entry s WHERE s.supersedes = r.id)) AS delivered "
            "FROM plan p CROSS JOIN LATERAL (SELECT coalesce((SELECT CAST(v.content AS json) FROM plan_version v "
            "  WHERE v.plan_id = p.id AND p.standing = ANY(:in_force) ORDER BY v.version DESC LIMIT 1), p.content) "
            "  AS doc) d ORDER BY p.created_at"
        ),
        {"since": today - LATELY, "in_force": sorted(IN_FORCE)},
    )
    found: dict[str, list[PlanFacts]] = {}
    for row in rows:
        doc: dict[str, Any] = {
            "supports": row.supports or (),
            "team": row.team or (),
            "consultations": row.consultations or (),
        }
        if row.coordinator:
            doc["coordinator"] = row.coordinator
        found.setdefault(row.student, []).append(PlanFacts(row.id, row.state, row.standing, doc, row.delivered))
    return found


async def _programs(c: AsyncConnection, today: date) -> dict[str, list[str]]:
    """Student -> the programs they are in today."""
    rows = await c.execute(
        text(
            "SELECT doc->>'student' AS student, doc->>'status' AS status FROM entity WHERE kind = 'program_status' "
            "AND coalesce(doc->>'begin_on', '') <= :today AND coalesce(doc->>'end_on', '9') >= :today ORDER BY 1, 2"
        ),
        {"today": today.isoformat()},
    )
    found: dict[str, list[str]] = {}
    for row in rows:
        found.setdefault(row.student, []).append(row.status)
    return found


async def who_is_here(c: AsyncConnection, students: Iterable[Student], today: date) -> frozenset[str]:
    """Everybody on the roster whom these students' plans name, and who is here today."""
    named = {
        person
        for student in students
        for plan in student.plans
        for person in (
            *(support.get("owner") for support in plan.doc.get("supports", ())),
            *(member.get("who") for member in plan.doc.get("team", ())),
        )
        if isinstance(person, str)
    }
    people = await attention.people(c, named)
    found = {id: continuity.somebody(doc, (), today) for id, doc in people.items()}
    return frozenset(id for id, one in found.items() if one is not None and one.active)


async def names(c: AsyncConnection, ids: Iterable[str]) -> dict[str, str]:
    """What organizations, and people who work with students, are called."""
    rows = await c.execute(
        text(
            "SELECT CAST(id AS text) AS id, coalesce(doc->>'name', concat_ws(' ', doc->>'given_name', "
            "  doc->>'family_name')) AS name FROM entity WHERE kind IN ('organization', 'person') "
            "AND doc->>'population' IS DISTINCT FROM 'student' AND id = ANY(CAST(:ids AS uuid[]))"
        ),
        {"ids": sorted({id for id in ids if id})},
    )
    return {row.id: row.name for row in rows}
