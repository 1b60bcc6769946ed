"""By what a plan was judged when it was last looked whether it may lie at a destination, and what of that changed."""

import hashlib
import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.store import rights
from gateway.store.database import Store

EVERY = "interval '30 minutes'"
"""Half of the hour within which a change is to be followed: the other half is for doing so."""


@dataclass(frozen=True)
class There:
    """A plan of which a destination has something: the version it was sent last, by what it is judged today (`facts`),
    and by what it was judged last, if it was: when it was sent, or with a look."""

    plan: str
    student: str
    version: int
    facts: str
    known: str | None


async def due(store: Store) -> list[tuple[int, int]]:
    """(district, connection) of every destination that has something and was not looked at for half an hour. Read as
    the owner, over all districts: ids only, and a hint; `claim` decides."""
    async with store.owner.begin() as c:
        rows = await c.execute(
            text(
                "SELECT n.district_id, n.id FROM connection n JOIN district i ON i.id = n.district_id "
                "LEFT JOIN destination d ON d.connection_id = n.id "
                f"WHERE (d.rechecked_at IS NULL OR d.rechecked_at < now() - {EVERY}) "
                "AND n.paused_because IS NULL AND i.suspended_at IS NULL "
                f"AND EXISTS (SELECT FROM ledger l WHERE l.connection_id = n.id AND {_LIES}) ORDER BY 1, 2"
            )
        )
        return [(row.district_id, row.id) for row in rows]


_LIES = "NOT l.shared AND l.sent_sha256 IS NOT NULL AND l.ended_on IS NULL"


async def claim(c: AsyncConnection, district: int, connection: int) -> bool:
    """Whether the look that is due is the caller's to make."""
    return bool(
        await c.scalar(
            text(
                "INSERT INTO destination (connection_id, district_id, profile, rechecked_at) "
                "VALUES (:connection, :district, '{}', now()) "
                "ON CONFLICT (connection_id) DO UPDATE SET rechecked_at = now() "
                f"WHERE destination.rechecked_at IS NULL OR destination.rechecked_at < now() - {EVERY} "
                "RETURNING connection_id"
            ),
            {"connection": connection, "district": district},
        )
    )


async def changed(store: Store, c: AsyncConnection, connection: int, today: date) -> list[There]:
    """The plans that a destination has anything of and that are not on their way there, of which something is another
    than when they were last judged: the consents, the agreements, whoever is kept from the student or is family and by
    which rights, whether the student is of age, the numbers by which they are known and how many are, the team and who
    of it still works here, the newest version, and what the district lets leave."""
    there = f"""
        SELECT d.plan_id, max(d.version) FILTER (WHERE d.state IN ('delivered', 'parked')) AS version
        FROM delivery d WHERE d.connection_id = :connection AND d.plan_id IN (
            SELECT o.plan_id FROM ledger l JOIN delivery o ON o.id = l.delivery_id
            WHERE l.connection_id = :connection AND {_LIES})
        GROUP BY d.plan_id HAVING NOT bool_or(d.state IN ('queued', 'sending'))
    """
    found = await _judged_by(store, c, there, connection, today)
    return [one for one in found if one.version and one.facts != one.known]


async def facts(
    store: Store, c: AsyncConnection, connection: int, plans: Collection[str], today: date
) -> dict[str, str]:
    """By what each of these plans is judged today, for those that are about to be sent."""
    there = "SELECT plan_id, 0 AS version FROM unnest(CAST(:plans AS uuid[])) plan_id"
    found = await _judged_by(store, c, there, connection, today, plans=list(plans))
    return {one.plan: one.facts for one in found}


async def _judged_by(
    store: Store, c: AsyncConnection, there: str, connection: int, today: date, **more: Any
) -> list[There]:
    asked = {"connection": connection, "today": today, **more}
    rows = (await c.execute(text(_JUDGED.replace("{there}", there)), asked)).all()
    if not rows:
        return []
    barred = await rights.barred(store, c, {row.student: row.people for row in rows})
    agreed = await c.scalar(text(_AGREED), {"connection": connection, "today": today})
    profile = await c.scalar(text("SELECT profile FROM destination WHERE connection_id = :id"), {"id": connection})
    found = []
    for row in rows:
        judged = [row.consents, row.family, sorted(barred[row.student]), row.team, row.child, row.newest]
        told = json.dumps([*judged, agreed, profile or {}], default=str, sort_keys=True)
        hashed = hashlib.sha256(told.encode()).hexdigest()
        found.append(There(row.plan, row.student, row.version, hashed, row.known))
    return found


_JUDGED = """
    WITH RECURSIVE there AS MATERIALIZED ({there}), whose AS MATERIALIZED (
        SELECT p.id, planbridge_survivor(p.student_id) AS student, p.content
        FROM there JOIN plan p ON p.id = there.plan_id
    ), known_as (student, id) AS (
        SELECT student, student FROM whose
        UNION SELECT k.student, d.entity_id FROM known_as k JOIN identity_decision d ON d.other_id = k.id
        WHERE d.act = 'merge' AND d.undone_by IS NULL
    ), given AS MATERIALIZED (
        SELECT k.student, json_agg(json_build_array(o.id, o.recipient) ORDER BY o.id) AS ids
        FROM consent o JOIN known_as k ON k.id = o.student_id
        WHERE o.revoked_at IS NULL AND CAST(:today AS date) BETWEEN o.from_on AND o.until_on GROUP BY 1
    ), family AS MATERIALIZED (
        SELECT of_person AS student, array_agg(DISTINCT doc->>'contact') AS people,
               json_agg(json_build_array(doc->>'contact', doc->>'education_rights', doc->>'relation',
                   doc->>'legal_guardian') ORDER BY id) AS ties
        FROM entity WHERE kind = 'relationship' AND of_person IN (SELECT CAST(student AS text) FROM whose) GROUP BY 1
    ), team AS MATERIALIZED (
        SELECT w.id, json_agg(json_build_array(m->>'who', m->>'role', e.doc->>'active', e.doc->'roles')
                   ORDER BY m->>'id', m->>'who') AS members
        FROM whose w CROSS JOIN LATERAL (
            SELECT m FROM json_array_elements(w.content->'team') m
            UNION ALL SELECT json_build_object('who', w.content->>'coordinator', 'role', 'coordinator')) t(m)
        LEFT JOIN entity e ON e.kind = 'person' AND e.id = planbridge_survivor(
            CASE WHEN json_typeof(m->'who') = 'string' THEN CAST(m->>'who' AS uuid) END)
        WHERE coalesce(m->>'begin_on', '') <= CAST(CAST(:today AS date) AS text)
        AND coalesce(m->>'end_on', '9') >= CAST(CAST(:today AS date) AS text)
        GROUP BY w.id
    )
    SELECT CAST(w.id AS text) AS plan, CAST(w.student AS text) AS student, there.version, g.ids AS consents,
           coalesce(f.people, '{}') AS people, f.ties AS family, t.members AS team,
           json_build_array(s.doc->'identifiers', CAST(s.doc->>'birth_date' AS date) + interval '18 years'
               <= CAST(:today AS date), (SELECT count(DISTINCT o.entity_id) FROM person_number n
               JOIN person_number o ON o.number = n.number AND NOT o.former
               WHERE n.entity_id = w.student AND NOT n.former)) AS child,
           (SELECT max(v.version) FROM plan_version v WHERE v.plan_id = w.id) AS newest, k.facts AS known
    FROM there JOIN whose w ON w.id = there.plan_id
    LEFT JOIN given g ON g.student = w.student
    LEFT JOIN family f ON f.student = CAST(w.student AS text)
    LEFT JOIN team t ON t.id = w.id
    LEFT JOIN entity s ON s.kind = 'person' AND s.id = w.student
    LEFT JOIN recheck k ON k.plan_id = w.id AND k.connection_id = :connection
    ORDER BY k.facts IS NULL, w.id
"""
_AGREED = """
    SELECT json_agg(json_build_array(a.id, a.sections, a.needs_consent) ORDER BY a.id) FROM agreement a
    WHERE a.ended_at IS NULL AND CAST(:today AS date) BETWEEN a.from_on AND a.until_on
    AND a.connection_id IN (SELECT CAST(:connection AS int) UNION
        SELECT old_id FROM succession WHERE new_id = :connection)
"""


async def note(c: AsyncConnection, district: int, connection: int, there: There) -> None:
    """What a plan was judged by; the next look at it comes with the next change."""
    await c.execute(
        text(
            "INSERT INTO recheck (connection_id, plan_id, district_id, facts) "
            "VALUES (:connection, CAST(:plan AS uuid), :district, :facts) "
            "ON CONFLICT (connection_id, plan_id) DO UPDATE SET facts = excluded.facts, at = now()"
        ),
        {"connection": connection, "plan": there.plan, "district": district, "facts": there.facts},
    )


async def forget(c: AsyncConnection, connection: int, plan: str) -> None:
    """The next look judges this plan anew, whatever changed."""
    await c.execute(
        text("UPDATE recheck SET facts = '' WHERE connection_id = :connection AND plan_id = CAST(:plan AS uuid)"),
        {"connection": connection, "plan": plan},
    )


async def look_on(c: AsyncConnection, connection: int) -> None:
    """More than one look could judge is to be judged: the next one is due at once."""
    await c.execute(text("UPDATE destination SET rechecked_at = NULL WHERE connection_id = :id"), {"id": connection})


async def differ(c: AsyncConnection, connection: int, plan: str, contents: Mapping[str, str]) -> bool:
    """Whether what a destination was sent of a plan alone is another thing than these objects (name -> fingerprint)."""
    rows = await c.execute(
        text(
            "SELECT l.resource || ' ' || l.identity AS name, l.sent_sha256 FROM ledger l "
            "JOIN delivery d ON d.id = l.delivery_id "
            f"WHERE l.connection_id = :connection AND d.plan_id = CAST(:plan AS uuid) AND {_LIES}"
        ),
        {"connection": connection, "plan": plan},
    )
    return {row.name: row.sent_sha256 for row in rows} != contents
