"""Rows of the served collections put there by hand, in the wire shape of OneRoster 1.2, and an agreement in force."""

import json
import uuid
from collections.abc import Iterable, Mapping
from datetime import timedelta
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway import clock, served
from gateway.access import SAYS
from gateway.store import clients, vendors
from gateway.store.database import Store
from gateway.store.registers import Actor
from gateway.vendors import Agreement, Terms

Row = dict[str, Any]
Roster = dict[str, dict[str, Row]]
"""Collection -> sourcedId -> record."""
PRINCIPAL = Actor("Ottoline Farrow", "principal")
assert "principal" in SAYS


def link(id: str) -> Row:
    return {"sourcedId": id}


async def serve(c: AsyncConnection, district: int, roster: Mapping[str, Mapping[str, Row]]) -> None:
    """Serve these and nothing else: what was there before and is not in them is gone."""
    for name, records in roster.items():
        collection = served.COLLECTIONS[name]
        await c.execute(
            text(f"UPDATE {collection.table} SET gone = true, doc = '{{}}' WHERE sourced_id <> ALL(:ids)"),
            {"ids": list(records)},
        )
        rows = [
            served.values(collection, record)
            | {"district_id": district, "sourced_id": id, "entity_id": id, "gone": False, "doc": record | link(id)}
            | {"at": clock.now().isoformat()}
            for id, record in records.items()
        ]
        await c.execute(text(f"DELETE FROM {collection.table} WHERE sourced_id = ANY(:ids)"), {"ids": list(records)})
        await c.execute(
            text(
                f"INSERT INTO {collection.table} SELECT r.* FROM json_array_elements(CAST(:rows AS json)) j "
                f"CROSS JOIN LATERAL json_populate_record(CAST(NULL AS {collection.table}), j) r"
            ),
            {"rows": json.dumps(rows, default=str)},
        )


async def family(c: AsyncConnection, district: int, pairs: Iterable[tuple[str, str]]) -> None:
    """Student and whose contact may be named."""
    for student, contact in pairs:
        await c.execute(
            text(
                "INSERT INTO served_family (district_id, relationship_id, student_id, contact_id, relation) "
                "VALUES (:district, CAST(:id AS uuid), CAST(:student AS uuid), CAST(:contact AS uuid), 'parent')"
            ),
            {"district": district, "id": str(uuid.uuid4()), "student": student, "contact": contact},
        )


def terms(**more: Any) -> Terms:
    """Terms that hold for some weeks; every collection of OneRoster with all fields, unless otherwise said."""
    today = clock.today()
    return Terms(
        **{
            "purpose": "rostering",
            "basis": "school_official",
            "signer": "Ottoline Farrow",
            "document": "contract 17",
            "breach_contact": "breach@vendor.example.org",
            "begin": today - timedelta(days=1),
            "until": today + timedelta(days=40),
            "collections": dict.fromkeys(served.COLLECTIONS),
            **more,
        }
    )


async def agreed(store: Store, district: int, actor: Actor, of: Terms, client: str = "") -> Agreement:
    """An agreement in force, with a new client or this one."""
    if not client:
        client, _ = await clients.add(store, district, "Reading App", ["students.read"], actor)
    made = await vendors.draft(store, district, client, of, actor)
    async with store.transaction(district) as c:
        seen = await vendors.preview(c, made)
    async with store.transaction(district) as c:
        await vendors.approve(c, district, made.id, PRINCIPAL, people=seen.widening.people)
    return made
