"""By what a plan was judged when it was last looked whether it may lie at a destination, and what of that changed."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.store import rights
from gateway.store.database import Store

EVERY = "interval '30 minutes'"
"""Half of the hour within which a change is to be followed: the other half is for doing so."""


@dataclass(frozen=True)
class There:
    """A plan of which a destination has something: the version it was sent last, and what there is of a judgement.
    `fresh`: it was sent so lately that no look can have been before."""

    plan: str
    student: str
    version: int
    facts: str
    known: str | None
    fresh: bool


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
    than when they were last judged: the consents, the agreements, whoever is kept from the student or is family, the
    team and who of it still works here, and the newest version."""
    rows = (await c.execute(text(_THERE), {"connection": connection, "today": today})).all()
    if not rows:
        return []
    barred = await rights.barred(store, c, {row.student: row.people for row in rows})
    agreed = await c.scalar(text(_AGREED), {"connection": connection, "today": today})
    found = []
    for row in rows:
        facts = [row.consents, sorted(row.people), sorted(barred[row.student]), row.team, row.newest, agreed]
        hashed = hashlib.sha256(json.dumps(facts, default=str, sort_keys=True).encode()).hexdigest()
        if hashed != row.known:
            found.append(There(row.plan, row.student, row.version, hashed, row.known, row.fresh))
    return found


_THERE = f"""
    WITH there AS MATERIALIZED (
        SELECT d.plan_id FROM ledger l JOIN delivery d ON d.id = l.delivery_id
        WHERE l.connection_id = :connection AND {_LIES} GROUP BY d.plan_id
    ), newest AS (
        SELECT d.plan_id, max(d.version) FILTER (WHERE d.state IN ('delivered', 'parked')) AS version,
               max(d.finished_at) > now() - interval '2 hours' AS fresh
        FROM delivery d JOIN there USING (plan_id) WHERE d.connection_id = :connection
        GROUP BY d.plan_id HAVING NOT bool_or(d.state IN ('queued', 'sending'))
    ), given AS MATERIALIZED (
        SELECT planbridge_survivor(student_id) AS student, json_agg(json_build_array(id, recipient) ORDER BY id) AS ids
        FROM consent WHERE revoked_at IS NULL AND CAST(:today AS date) BETWEEN from_on AND until_on GROUP BY 1
    ), family AS MATERIALIZED (
        SELECT doc->>'student' AS student, array_agg(DISTINCT doc->>'contact') AS people
        FROM entity WHERE kind = 'relationship' GROUP BY 1
    ), team AS MATERIALIZED (
        SELECT p.id, json_agg(json_build_array(m->>'who', m->>'role', e.doc->>'active', e.doc->'roles')
                   ORDER BY m->>'id') AS members
        FROM plan p JOIN there ON there.plan_id = p.id CROSS JOIN LATERAL json_array_elements(p.content->'team') m
        LEFT JOIN entity e ON e.kind = 'person' AND CAST(e.id AS text) = m->>'who'
        WHERE coalesce(m->>'begin_on', '') <= CAST(CAST(:today AS date) AS text)
        AND coalesce(m->>'end_on', '9') >= CAST(CAST(:today AS date) AS text)
        GROUP BY p.id
    )
    SELECT CAST(p.id AS text) AS plan, CAST(planbridge_survivor(p.student_id) AS text) AS student, n.version, n.fresh,
           g.ids AS consents, coalesce(f.people, '{{}}') AS people, t.members AS team,
           json_build_array((SELECT max(v.version) FROM plan_version v WHERE v.plan_id = p.id),
               p.content->>'coordinator') AS newest, k.facts AS known
    FROM newest n JOIN plan p ON p.id = n.plan_id
    LEFT JOIN given g ON g.student = planbridge_survivor(p.student_id)
    LEFT JOIN family f ON f.student = CAST(planbridge_survivor(p.student_id) AS text)
    LEFT JOIN team t ON t.id = p.id
    LEFT JOIN recheck k ON k.plan_id = p.id AND k.connection_id = :connection
    WHERE n.version IS NOT NULL ORDER BY k.facts IS NULL, p.id
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
        text("DELETE FROM recheck WHERE connection_id = :connection AND plan_id = CAST(:plan AS uuid)"),
        {"connection": connection, "plan": plan},
    )


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
