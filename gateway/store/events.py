"""The feed of events, read off what is on record anyway: changes of entities, acts on plans, ends of deliveries.

Rows are told in the order of the transactions that wrote them, up to the oldest one that is still open: what that one
writes comes later, and is never skipped.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.events import CHANGES, DELIVERIES, PLANS, REACH, Happened, Place, Sources, kind_of
from gateway.identity import population
from gateway.served import COLLECTIONS, WRITABLE


@dataclass(frozen=True)
class Head:
    """The feed now: which one it is, and the first transaction that is not told yet."""

    epoch: str
    xid: int
    at: datetime

    @property
    def place(self) -> Place:
        """Whoever stands here knows all that is told yet."""
        return Place(self.epoch, self.at, self.xid, source=CHANGES, seq=0)


async def head(c: AsyncConnection, district: int) -> Head:
    """How far the feed goes. What is read after it is read up to there."""
    row = (
        await c.execute(
            text(
                # Another server, database or time line than the one that gave a place counts transactions otherwise.
                "SELECT left(encode(sha256(convert_to(concat_ws('/', d.feed, s.system_identifier, b.oid, "
                "    k.timeline_id), 'UTF8')), 'hex'), 12) AS epoch, "
                "  CAST(pg_snapshot_xmin(pg_current_snapshot()) AS text) AS xid, clock_timestamp() AS at "
                "FROM district d, pg_control_system() s, pg_control_checkpoint() k, pg_database b "
                "WHERE d.id = :district AND b.datname = current_database()"
            ),
            {"district": district},
        )
    ).one()
    return Head(row.epoch, int(row.xid), row.at)


async def since(
    c: AsyncConnection,
    place: Place,
    until: Head,
    kept_from: datetime,
    wanted: Sources,
    limit: int,
    agreement: int | None = None,
) -> list[Happened]:
    """The next rows after a place, at most `limit`, up to the head and none from before `kept_from`; with an agreement
    also what came into its reach or left it."""
    values = {"xid": str(place.xid), "until": str(until.xid), "kept_from": kept_from, "limit": limit}
    found: list[Happened] = []
    if wanted.kinds:
        changes = await c.execute(text(_CHANGES), values | {"seq": place.after(CHANGES), "kinds": list(wanted.kinds)})
        found += [_changed(row) for row in changes]
    if wanted.deliveries:
        deliveries = await c.execute(text(_DELIVERIES), values | {"seq": place.after(DELIVERIES)})
        found += [
            Happened(
                DELIVERIES, int(row.xid), row.seq, row.at, "delivery", row.op, row.plan,
                {"delivery": row.seq, "plan": row.plan, "version": row.version, "student": row.student}, row.student,
            )
            for row in deliveries
        ]  # fmt: skip
    if wanted.plans:
        acts = await c.execute(text(_PLANS), values | {"seq": place.after(PLANS)})
        found += [
            Happened(
                PLANS, int(row.xid), row.seq, row.at, "plan", row.op, row.plan,
                {"plan": row.plan, "student": row.student} | ({"version": int(row.version)} if row.version else {}),
                row.student,
            )
            for row in acts
        ]  # fmt: skip
    if agreement is not None and wanted.kinds:
        moved = await c.execute(
            text(_REACH), values | {"seq": place.after(REACH), "agreement": agreement, "wrote": _WROTE}
        )
        found += [_moved(row) for row in moved]
    return await _with_names(c, sorted(found, key=lambda one: one.order)[:limit])


_WROTE = json.dumps({name: COLLECTIONS[name].kind for name in WRITABLE})


async def _with_names(c: AsyncConnection, found: list[Happened]) -> list[Happened]:
    """The same, with the sourcedIds of line items that programs wrote under names of their own."""
    items = {str(one.ids["line_item"]) for one in found if "line_item" in one.ids}
    if not items:
        return found
    rows = await c.execute(
        text(
            "SELECT CAST(entity_id AS text), sourced_id FROM written "
            "WHERE kind = 'line_item' AND entity_id = ANY(CAST(:ids AS uuid[]))"
        ),
        {"ids": sorted(items)},
    )
    names = {row[0]: row[1] for row in rows}
    return [
        replace(one, ids={**one.ids, "line_item": names[str(one.ids["line_item"])]})
        if one.ids.get("line_item") in names
        else one
        for one in found
    ]


def _changed(row: Any) -> Happened:
    doc = row.doc or {}
    kind = population(doc) if row.kind == "person" else None
    ids: dict[str, str | int] = {"id": row.entity}
    ids |= _named(doc)
    if row.survivor is not None:
        ids["survivor"] = row.survivor
    student = _student(row.kind, kind, doc, row.survivor or row.entity)
    return Happened(CHANGES, int(row.xid), row.seq, row.at, row.kind, row.op, row.entity, ids, student, population=kind)


def _moved(row: Any) -> Happened:
    doc = row.doc or {}
    kind = kind_of(row.collection) or ""
    who = population(doc) if kind == "person" else None
    ids: dict[str, str | int] = {"id": row.id, **_named(doc)}
    student = _student(kind, who, doc, row.id)
    return Happened(REACH, int(row.xid), row.seq, row.at, kind, row.op, row.id, ids, student, population=who)


def _student(kind: str, population: str | None, doc: Mapping[str, Any], id: str) -> str | None:
    if kind == "person":
        return id if population == "student" else None
    if kind == "enrollment":
        return doc.get("person") if doc.get("role") == "student" else None
    return doc.get("student")


def _named(doc: Mapping[str, Any]) -> dict[str, str | int]:
    return {name: doc[name] for name in ("person", "student", "class", "line_item") if isinstance(doc.get(name), str)}


async def reached(c: AsyncConnection, agreement: int, rows: Iterable[tuple[str, str]]) -> dict[tuple[str, str], int]:
    """(collection, id) of these that are within an agreement's reach -> the transaction in which they came into it."""
    wanted = list(dict.fromkeys(rows))
    found = await c.execute(
        text(
            "SELECT r.collection, r.sourced_id, CAST(r.xid AS text) AS xid FROM reach r "
            "JOIN unnest(CAST(:collections AS text[]), CAST(:ids AS text[])) w (collection, id) "
            "  ON r.collection = w.collection AND r.sourced_id = w.id WHERE r.agreement_id = :agreement AND r.visible"
        ),
        {"agreement": agreement, "collections": [one for one, _ in wanted], "ids": [one for _, one in wanted]},
    )
    return {(row.collection, row.sourced_id): int(row.xid) for row in found}


_AFTER = (
    "t.xid >= CAST(:xid AS xid8) AND (t.xid, t.{key}) > (CAST(:xid AS xid8), :seq) AND t.xid < CAST(:until AS xid8)"
)
# What an entity was says whom the change is about once it is gone; of a person also whom they were merged into.
_CHANGES = f"""
    SELECT CAST(t.xid AS text) AS xid, t.seq, p.at, t.kind, t.op, coalesce((SELECT w.sourced_id FROM written w
            WHERE w.entity_id = t.entity_id AND w.kind = t.kind), CAST(t.entity_id AS text)) AS entity,
        coalesce(
            (SELECT e.doc FROM entity e WHERE e.id = t.entity_id AND e.kind = t.kind),
            (SELECT n.before FROM change n WHERE n.entity_id = t.entity_id AND n.kind = t.kind
                AND n.before IS NOT NULL ORDER BY n.seq DESC LIMIT 1)) AS doc,
        CASE WHEN t.kind = 'person' AND t.op = 'removed' AND planbridge_survivor(t.entity_id) <> t.entity_id
            THEN CAST(planbridge_survivor(t.entity_id) AS text) END AS survivor
    FROM change t JOIN publication p ON p.id = t.publication
    WHERE {_AFTER.format(key="seq")} AND t.kind = ANY(:kinds) AND p.at >= :kept_from
    ORDER BY t.xid, t.seq LIMIT :limit
"""
_REACH = f"""
    SELECT CAST(t.xid AS text) AS xid, t.seq, least(t.at, now()) AS at, t.collection, t.sourced_id AS id,
        CASE WHEN t.visible THEN 'added' ELSE 'removed' END AS op,
        coalesce((SELECT e.doc FROM written w JOIN entity e ON e.id = w.entity_id AND e.kind = w.kind
                WHERE w.sourced_id = t.sourced_id AND w.kind = CAST(:wrote AS json)->>t.collection),
            (SELECT e.doc FROM entity e WHERE e.district_id = t.district_id AND e.id = CASE
                WHEN t.sourced_id ~ '^[0-9a-f]{{8}}(-[0-9a-f]{{4}}){{3}}-[0-9a-f]{{12}}$'
                THEN CAST(t.sourced_id AS uuid) END LIMIT 1)) AS doc
    FROM reach t
    WHERE {_AFTER.format(key="seq")} AND t.agreement_id = :agreement AND t.collection <> 'demographics'
        AND t.at >= :kept_from
    ORDER BY t.xid, t.seq LIMIT :limit
"""
_DELIVERIES = f"""
    SELECT CAST(t.xid AS text) AS xid, t.id AS seq, t.finished_at AS at, t.state AS op,
        CAST(t.plan_id AS text) AS plan, t.version, CAST(planbridge_survivor(l.student_id) AS text) AS student
    FROM delivery t JOIN plan l ON l.id = t.plan_id
    WHERE {_AFTER.format(key="id")} AND t.state IN ('delivered', 'parked', 'withdrawn') AND t.finished_at >= :kept_from
    ORDER BY t.xid, t.id LIMIT :limit
"""
_PLANS = f"""
    SELECT CAST(t.xid AS text) AS xid, t.seq, t.at, t.act AS op, CAST(t.plan_id AS text) AS plan,
        t.detail->>'version' AS version, CAST(planbridge_survivor(l.student_id) AS text) AS student
    FROM plan_event t JOIN plan l ON l.id = t.plan_id
    WHERE {_AFTER.format(key="seq")} AND t.at >= :kept_from
    ORDER BY t.xid, t.seq LIMIT :limit
"""


async def begin_anew(c: AsyncConnection) -> None:
    """After a restore, as the owner: places given before lead nowhere, and what was done on another server, which
    counted its transactions otherwise, was done before whatever is done here."""
    await c.execute(text("UPDATE district SET feed = gen_random_uuid()"))
    for table in ("change", "plan_event", "delivery", "reach"):
        await c.execute(
            text(
                f"UPDATE {table} SET xid = '1' WHERE EXISTS "
                f"(SELECT FROM {table} WHERE xid >= pg_snapshot_xmin(pg_current_snapshot()))"
            )
        )
