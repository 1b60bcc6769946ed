"""The feed of events, read off what is on record anyway: changes of entities, acts on plans, ends of deliveries.

Rows are told in the order of the transactions that wrote them, up to the oldest one that is still open: what that one
writes comes later, and is never skipped.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.events import CHANGES, DELIVERIES, PLANS, Happened, Place, Sources
from gateway.identity import population


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
    c: AsyncConnection, place: Place, until: Head, kept_from: datetime, wanted: Sources, limit: int
) -> list[Happened]:
    """The next rows after a place, at most `limit`, up to the head and none from before `kept_from`."""
    values = {"xid": str(place.xid), "until": str(until.xid), "kept_from": kept_from, "limit": limit}
    found: list[Happened] = []
    if wanted.kinds:
        changes = await c.execute(
            text(_CHANGES), values | {"seq": place.after(CHANGES), "kinds": list(wanted.kinds)}
        )
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
    return sorted(found, key=lambda one: one.order)[:limit]


def _changed(row: Any) -> Happened:
    doc = row.doc or {}
    kind = population(doc) if row.kind == "person" else None
    ids: dict[str, str | int] = {"id": row.entity}
    ids |= {name: doc[name] for name in ("person", "student", "class", "line_item") if isinstance(doc.get(name), str)}
    if row.survivor is not None:
        ids["survivor"] = row.survivor
    student = row.survivor or row.entity if row.kind == "person" else doc.get("student", doc.get("person"))
    return Happened(
        CHANGES, int(row.xid), row.seq, row.at, row.kind, row.op, row.entity, ids, student, population=kind
    )


_AFTER = "t.xid >= CAST(:xid AS xid8) AND (t.xid, t.{key}) > (CAST(:xid AS xid8), :seq) AND t.xid < CAST(:until AS xid8)"
# What an entity was says whom the change is about once it is gone; of a person also whom they were merged into.
_CHANGES = f"""
    SELECT CAST(t.xid AS text) AS xid, t.seq, p.at, t.kind, t.op, CAST(t.entity_id AS text) AS entity,
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
_DELIVERIES = f"""
    SELECT CAST(t.xid AS text) AS xid, t.id AS seq, t.finished_at AS at, t.state AS op,
        CAST(t.plan_id AS text) AS plan, t.version, CAST(planbridge_survivor(l.student_id) AS text) AS student
    FROM delivery t JOIN plan l ON l.id = t.plan_id
    WHERE {_AFTER.format(key="id")} AND t.state IN ('delivered', 'parked') AND t.finished_at >= :kept_from
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
    for table in ("change", "plan_event", "delivery"):
        await c.execute(
            text(
                f"UPDATE {table} SET xid = '1' WHERE EXISTS "
                f"(SELECT FROM {table} WHERE xid >= pg_snapshot_xmin(pg_current_snapshot()))"
            )
        )
