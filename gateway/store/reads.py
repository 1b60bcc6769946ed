"""What programs were really served, a line for each answer, and whom it told of."""

import json
from collections.abc import Collection, Iterable, Mapping
from typing import Protocol

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.store.clients import Client


class Caller(Protocol):
    """Who asked: a program, and the person for whom it holds a token."""

    @property
    def client(self) -> Client: ...

    @property
    def person(self) -> str | None: ...


# Of a collection, the student of whom each row tells. Plans, records and events are named by their students.
_STUDENT = {
    "users": "SELECT s.entity_id FROM served_users s WHERE s.sourced_id = x.id AND 'student' = ANY(s.roles_role)",
    "demographics": "SELECT s.entity_id FROM served_users s WHERE s.sourced_id = x.id "
    "AND 'student' = ANY(s.roles_role)",
    "enrollments": "SELECT u.entity_id FROM served_enrollments s JOIN served_users u ON u.sourced_id = s.\"user\" "
    "WHERE s.sourced_id = x.id AND s.role = 'student'",
    "results": "SELECT u.entity_id FROM served_results s JOIN served_users u ON u.sourced_id = s.student "
    "WHERE s.sourced_id = x.id",
    "assessmentResults": "SELECT u.entity_id FROM served_assessment_results s "
    "JOIN served_users u ON u.sourced_id = s.student WHERE s.sourced_id = x.id",
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
