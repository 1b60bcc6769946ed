"""What programs were really served, a line for each answer, and whom it told of."""

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Protocol

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.store.clients import Client
from gateway.store.database import Ask, literal, together


class Caller(Protocol):
    """Who asked: a program, and the person for whom it holds a token."""

    @property
    def client(self) -> Client: ...

    @property
    def person(self) -> str | None: ...


# Of a collection, the student of whom each row x tells. Plans, records and events are named by their students.
_STUDENT = {
    "users": "SELECT s.entity_id FROM served_users s WHERE s.sourced_id = x.id AND 'student' = ANY(s.roles_role)",
    "demographics": "SELECT s.entity_id FROM served_users s WHERE s.sourced_id = x.id "
    "AND 'student' = ANY(s.roles_role)",
    "enrollments": "SELECT u.entity_id FROM served_enrollments s JOIN served_users u ON u.sourced_id = s.user_id "
    "WHERE s.sourced_id = x.id AND s.role = 'student'",
    "results": "SELECT u.entity_id FROM served_results s JOIN served_users u ON u.sourced_id = s.student_id "
    "WHERE s.sourced_id = x.id",
    "assessmentResults": "SELECT u.entity_id FROM served_assessment_results s "
    "JOIN served_users u ON u.sourced_id = s.student_id WHERE s.sourced_id = x.id",
    **dict.fromkeys(("plans", "record", "events"), "SELECT CAST(x.id AS uuid)"),
}


async def log(
    c: AsyncConnection, call: Caller, collection: str, sourced_ids: Iterable[str], fields: Collection[str]
) -> None:
    """Keep, in the transaction of the read, that these rows were served with these fields: see `log_each`."""
    await log_each(c, call, collection, dict.fromkeys(sourced_ids, fields))


async def log_each(c: AsyncConnection, call: Caller, collection: str, served: Mapping[str, Collection[str]]) -> None:
    """Keep, in the transaction of the read, one line for an answer: each row's sourcedId, and the fields of it that
    really were served (names of the standard; sections of plans and records). Rows of plans, records and events are
    named by their student's id."""
    sets: dict[tuple[str, ...], int] = {}
    of = {id: sets.setdefault(tuple(sorted(fields)), len(sets)) for id, fields in served.items()}
    student = _STUDENT.get(collection, "SELECT CAST(NULL AS uuid) WHERE false")
    await c.execute(
        text(
            "INSERT INTO client_read (district_id, client_id, agreement_id, person_id, collection, row_count, fields, "
            "  students, sets) SELECT :district, :client, (SELECT a.id FROM vendor_agreement a "
            "    WHERE a.client_id = :client AND a.ended_at IS NULL), CAST(:person AS uuid), :collection, :rows, "
            "  CAST(:fields AS json), coalesce(array_agg(w.id ORDER BY x.n) FILTER (WHERE w.id IS NOT NULL), '{}'), "
            "  coalesce(array_agg(x.set ORDER BY x.n) FILTER (WHERE w.id IS NOT NULL), '{}') "
            "FROM unnest(CAST(:ids AS text[]), CAST(:sets AS smallint[])) WITH ORDINALITY x (id, set, n) "
            f"LEFT JOIN LATERAL ({student}) w (id) ON true"
        ),
        {
            "district": call.client.district,
            "client": call.client.id,
            "person": call.person,
            "collection": collection,
            "rows": len(of),
            "fields": json.dumps([list(one) for one in sets]),
            "ids": list(of),
            "sets": list(of.values()),
        },
    )


def student(collection: str) -> str:
    """SQL: of whom a row s of a collection of OneRoster tells: the id of a student, or none."""
    if collection == "users":
        return "SELECT s.entity_id WHERE 'student' = ANY(s.roles_role)"
    person = {"enrollments": "s.user_id", "demographics": "s.sourced_id"}.get(collection, "s.student_id")
    if collection not in _STUDENT:
        return "SELECT CAST(NULL AS uuid)"
    found = f"SELECT u.entity_id FROM served_users u WHERE u.sourced_id = {person} AND u.district_id = s.district_id"
    return f"{found} AND {_WHERE[collection]}" if collection in _WHERE else found


_WHERE = {"demographics": "'student' = ANY(u.roles_role)", "enrollments": "s.role = 'student'"}


@dataclass(frozen=True)
class Line:
    """What one answer told: of so many rows of a collection, and of each student which of the `sets` of fields."""

    collection: str
    rows: int
    sets: Sequence[Sequence[str]]
    students: Sequence[tuple[str, int]]


async def keep(c: AsyncConnection, call: Caller, agreement: int, line: Line, *with_it: Ask) -> None:
    """Keep one line, and whatever else is to be written with it, and end the transaction of the read, in one round
    trip."""
    values = {
        "district": call.client.district,
        "client": call.client.id,
        "agreement": agreement,
        "person": call.person,
        "collection": line.collection,
        "rows": line.rows,
        "fields": json.dumps(line.sets),
        "students": literal([student for student, _ in line.students]),
        "of": literal([str(of) for _, of in line.students]),
    }
    await together(c, *with_it, (_KEEP, values), last=True)


_KEEP = (
    "INSERT INTO client_read (district_id, client_id, agreement_id, person_id, collection, row_count, fields, "
    "  students, sets) VALUES (CAST(:district AS int), :client, CAST(:agreement AS bigint), CAST(:person AS uuid), "
    "  :collection, CAST(:rows AS int), CAST(:fields AS json), CAST(:students AS uuid[]), CAST(:of AS smallint[]))"
)


async def began(c: AsyncConnection, call: Caller, collection: str, at: datetime) -> bool:
    """Whether a program had been given something of a collection at this time already: only then is there anything to
    which what changed since is to be added."""
    return bool(
        await c.scalar(
            text(
                "SELECT EXISTS (SELECT FROM client_read WHERE client_id = :client AND collection = :collection "
                "AND at <= :at)"
            ),
            {"client": call.client.id, "collection": collection, "at": at},
        )
    )


# One student has one id, also of what was read before two were found to be one. What is on record as a disclosure and
# as a read of the same transaction is one read.
_TOLD = """
    SELECT planbridge_survivor(x.student) AS student, r.collection, f.field, r.at, r.person_id
    FROM client_read r CROSS JOIN LATERAL unnest(r.students, r.sets) x (student, set)
    CROSS JOIN LATERAL json_array_elements_text(r.fields->x.set) f (field)
    WHERE r.client_id = :client AND r.at >= :begin AND r.at < :until AND x.student IS NOT NULL
    UNION ALL
    SELECT planbridge_survivor(d.student_id), CASE WHEN d.plan_id IS NULL THEN 'record' ELSE 'plans' END, s.section,
        d.at, d.person_id
    FROM disclosure d CROSS JOIN LATERAL json_array_elements_text(d.sections) s (section)
    WHERE d.actor->>'client' = :client AND d.act <> 'reveal' AND d.at >= :begin AND d.at < :until
    AND NOT EXISTS (SELECT FROM client_read r WHERE r.client_id = :client AND r.at = d.at
        AND d.student_id = ANY(r.students))
"""


async def incident(c: AsyncConnection, client: str, begin: datetime, until: datetime) -> list[dict[str, Any]]:
    """Each student and field of whom a program's credentials read or were sent something from `begin` to before
    `until`: how often, and when first and last. Of plans and records the field is a section."""
    rows = await c.execute(
        text(
            "SELECT CAST(student AS text) AS student, collection, field, count(*) AS times, min(at) AS first, "
            f"  max(at) AS last FROM ({_TOLD}) t GROUP BY 1, 2, 3 ORDER BY 1, 2, 3"
        ),
        {"client": client, "begin": begin, "until": until},
    )
    return [dict(row._mapping) for row in rows]


async def received(c: AsyncConnection, client: str) -> list[dict[str, Any]]:
    """The same of everything that it ever received."""
    return await incident(c, client, datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC))


async def use(
    c: AsyncConnection, client: str, since: datetime, agreed: Mapping[str, Collection[str]]
) -> list[dict[str, Any]]:
    """Of each collection that is agreed: which of its fields were read since then, which never were, how often it was
    asked and when last."""
    asked = await c.execute(
        text(
            "SELECT collection, count(*) AS times, max(at) AS last FROM client_read "
            "WHERE client_id = :client AND at >= :since GROUP BY 1"
        ),
        {"client": client, "since": since},
    )
    reads = {row.collection: row for row in asked}
    fields = await c.execute(
        text(
            "SELECT r.collection, array_agg(DISTINCT f.field) AS fields FROM client_read r "
            "CROSS JOIN LATERAL json_array_elements(r.fields) s "
            "CROSS JOIN LATERAL json_array_elements_text(s) f (field) "
            "WHERE r.client_id = :client AND r.at >= :since GROUP BY 1"
        ),
        {"client": client, "since": since},
    )
    read = {row.collection: set(row.fields) for row in fields}
    return [
        {
            "collection": collection,
            "reads": reads[collection].times if collection in reads else 0,
            "last": reads[collection].last if collection in reads else None,
            "read": sorted(read.get(collection, set()) & set(names)),
            "never_read": sorted(set(names) - read.get(collection, set())),
        }
        for collection, names in agreed.items()
    ]
