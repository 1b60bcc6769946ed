"""Which identifier system of a connection is in force, how many people each one recognises, and recognising anew."""

import json
from dataclasses import dataclass

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.identity import Rate, System
from gateway.schema import KINDS
from gateway.store.applying import KEEP_LINKS
from gateway.store.changes import touch_children
from gateway.store.runs import Attempt

POPULATIONS = ("student", "staff")


@dataclass(frozen=True)
class InForce:
    """The system by which a connection's people are recognised; `people` of that population had `rates` when it was
    last counted."""

    system: System
    people: int
    rates: list[Rate]
    since: int


async def in_force(c: AsyncConnection) -> dict[tuple[int, str], InForce]:
    """(connection, population) -> what is in force, where a run has put anything in force."""
    rows = await c.execute(
        text("SELECT connection_id, population, system, people, rates, since FROM identifier_choice")
    )
    return {
        (row.connection_id, row.population): InForce(
            System.read(row.system), row.people, [Rate.of(one) for one in row.rates], row.since
        )
        for row in rows
    }


async def put(c: AsyncConnection, attempt: Attempt, connection: int, population: str, chosen: InForce) -> None:
    """Put a system in force, and keep by how much it is the best."""
    await c.execute(
        text(
            "INSERT INTO identifier_choice (district_id, connection_id, population, system, people, rates, since) "
            "VALUES (:district, :connection, :population, :system, :people, CAST(:rates AS json), :since) "
            "ON CONFLICT (connection_id, population) DO UPDATE SET system = excluded.system, "
            "  people = excluded.people, rates = excluded.rates, since = excluded.since"
        ),
        {
            "district": attempt.district,
            "connection": connection,
            "population": population,
            "system": str(chosen.system),
            "people": chosen.people,
            "rates": json.dumps([rate.kept() for rate in chosen.rates]),
            "since": chosen.since,
        },
    )


async def rates(c: AsyncConnection, connection: int, population: str) -> tuple[int, list[Rate]]:
    """How many people of a connection's records there are in a population, and of each identifier system how many have
    a number and how many would be recognised by it as somebody published: those most people are recognised by first.

    Counted as people are recognised: one number of the person, one person for it on either side, and no other birth
    date. A system of which several organizations give numbers counts as a whole and for each of them.
    """
    values = {"connection": connection, "population": population}
    rows = (await c.execute(text(_RATES), values)).all()
    found = [Rate(System(r.system, r.assigned_by), r.stated, r.matched, r.zeros) for r in rows if r.system is not None]
    found.sort(key=lambda rate: (-rate.matched, -rate.stated, rate.system))
    return int(next((row.people for row in rows if row.system is None), 0)), found


_WHO = (
    "coalesce(max(c.stated->>'population'), CASE WHEN bool_or(r.role = 'student') THEN 'student' "
    "WHEN bool_or(r.role NOT IN ('guardian', 'parent', 'relative')) THEN 'staff' END)"
)
_RATES = f"""
    WITH who AS MATERIALIZED (
        SELECT c.key, max(c.stated->>'birth_date') AS born FROM claim c
        LEFT JOIN LATERAL (SELECT v->>'role' AS role FROM json_array_elements(c.stated->'roles') v) r ON true
        WHERE c.connection_id = :connection AND c.kind = 'person' AND c.same_as IS NULL
        GROUP BY c.key HAVING bool_or(c.anchor) AND {_WHO} = :population
    ), said AS MATERIALIZED (
        SELECT DISTINCT w.key, w.born, i->>'system' AS system, coalesce(i->>'assigned_by', '') AS assigned_by,
               trim(i->>'value') AS value
        FROM who w JOIN claim c ON c.key = w.key, json_array_elements(c.stated->'identifiers') i
        WHERE c.connection_id = :connection AND c.kind = 'person' AND c.same_as IS NULL AND trim(i->>'value') <> ''
    ), numbered AS (
        SELECT key, born, system, '' AS assigned_by, value FROM said
        UNION SELECT key, born, system, assigned_by, value FROM said WHERE assigned_by <> '' AND system IN (
            SELECT system FROM said GROUP BY system HAVING count(DISTINCT assigned_by) > 1)
    ), sole AS (
        SELECT system, assigned_by, key, born, min(value) AS value FROM numbered
        GROUP BY system, assigned_by, key, born HAVING count(*) = 1
    ), own AS MATERIALIZED (
        SELECT *, count(*) OVER (PARTITION BY system, assigned_by, value) AS sharing FROM sole
    ), known AS MATERIALIZED (
        SELECT split_part(match, chr(31), 2) AS number, min(doc->>'birth_date') AS born, count(*) AS n
        FROM entity WHERE kind = 'person' AND split_part(match, chr(31), 1) = :population GROUP BY match
    ), bare AS MATERIALIZED (SELECT DISTINCT ltrim(number, '0') AS number FROM known)
    SELECT o.system, o.assigned_by, count(*) AS stated,
        count(*) FILTER (WHERE k.n = 1 AND o.sharing = 1 AND coalesce(o.born = k.born, true)) AS matched,
        count(*) FILTER (WHERE k.n IS NULL AND b.number IS NOT NULL) AS zeros, 0 AS people
    FROM own o LEFT JOIN known k ON k.number = o.value
    LEFT JOIN bare b ON k.n IS NULL AND b.number = ltrim(o.value, '0') AND b.number <> ''
    GROUP BY 1, 2
    UNION ALL SELECT NULL, NULL, 0, 0, 0, count(*) FROM who
"""


async def touch_people(c: AsyncConnection, connection: int) -> None:
    """Have all people of a connection resolved again: others are recognised by their numbers."""
    await c.execute(
        text(
            "INSERT INTO touched SELECT DISTINCT connection_id, kind, key FROM claim "
            "WHERE connection_id = :connection AND kind = 'person' "
            "ON CONFLICT (kind, connection_id, key) DO UPDATE SET done = false"
        ),
        {"connection": connection},
    )


async def recognise_anew(c: AsyncConnection, attempt: Attempt, connection: int, population: str) -> None:
    """Forget whom the keys of a connection denote where a number said so, and have them recognised again. What a
    person or a rule of the district decided stands."""
    values = {"run": attempt.run, "connection": connection, "population": population}
    await c.execute(text(_BY_NUMBER), values)
    for child in KINDS.values():
        await touch_children(c, "person", child)
    for statement in _ANEW:
        await c.execute(text(statement), values)


_BY_NUMBER = (
    "INSERT INTO loose SELECT l.connection_id, l.kind, l.key, NULL, true FROM link l "
    "JOIN entity e ON e.kind = l.kind AND e.id = l.entity_id AND e.doc->>'population' = :population "
    "WHERE l.connection_id = :connection AND l.kind = 'person' AND l.method = 'matched' ON CONFLICT DO NOTHING"
)
_ANEW = (
    "INSERT INTO orphan SELECT DISTINCT l.kind, l.entity_id FROM link l JOIN loose o ON o.kind = l.kind "
    "AND o.connection_id = l.connection_id AND o.key = l.key WHERE o.again ON CONFLICT DO NOTHING",
    "WITH l AS (DELETE FROM link l USING loose o WHERE o.again AND l.key = o.key AND l.kind = o.kind "
    f"AND l.connection_id = o.connection_id RETURNING l.*) {KEEP_LINKS} FROM l",
    "INSERT INTO touched SELECT connection_id, kind, key FROM loose "
    "UNION SELECT DISTINCT connection_id, kind, key FROM waiting WHERE kind = 'person' AND connection_id = :connection "
    "ON CONFLICT (kind, connection_id, key) DO UPDATE SET done = false",
    "DELETE FROM loose",
)
