"""What was: what a run changed or would change, how an entity stood on a day, what may be undone."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.errors import ConfigError, Refused
from gateway.schema import KINDS
from gateway.store import watermarks
from gateway.store.changes import ClaimRow
from gateway.store.database import Store
from gateway.store.registers import pause_in
from gateway.store.runs import Attempt


@dataclass(frozen=True)
class Undoable:
    """A run and every later one of its connection that published something: they go together."""

    connection: int
    runs: tuple[int, ...]


async def undoable(c: AsyncConnection, run: int) -> Undoable:
    """What undoing this run undoes. Refused where it published nothing, or was undone before."""
    found = (
        await c.execute(text("SELECT connection_id, publication, undone_by FROM run WHERE id = :run"), {"run": run})
    ).one_or_none()
    if found is None or found.connection_id is None:  # a decision's run: it is undone with the decision
        raise ConfigError("run-unknown", f"There is no run {run}.", "`planbridge runs` lists them.")
    if found.publication is None or found.undone_by is not None:
        why = f"was undone by run {found.undone_by}" if found.undone_by else "published nothing"
        raise Refused("nothing-to-undo", f"Run {run} {why}.", "`planbridge runs` shows what each run published.")
    await _refuse_forgotten(c, found.connection_id, run)
    later = await c.execute(
        text(
            "SELECT id FROM run WHERE connection_id = :connection AND id >= :run AND publication IS NOT NULL "
            "ORDER BY id"
        ),
        {"connection": found.connection_id, "run": run},
    )
    return Undoable(found.connection_id, tuple(later.scalars()))


async def _refuse_forgotten(c: AsyncConnection, connection: int, run: int) -> None:
    first = await c.scalar(text("SELECT history_from FROM connection WHERE id = :id"), {"id": connection})
    if run < (first or 0):
        raise Refused(
            "history-gone",
            f"What run {run} replaced was kept for its time and is gone.",
            f"Runs from {first} on can be undone; PLANBRIDGE_HISTORY_DAYS says how long the past is kept.",
        )


async def mark_undone(c: AsyncConnection, attempt: Attempt) -> None:
    """In the transaction that undoes: the undone runs name the undoing one, and their connection waits for a person,
    or its next pull would publish the same again."""
    values = {"run": attempt.run, "undone": list(attempt.undoes), "first": min(attempt.undoes)}
    # What an undone undoing had taken back is in force again.
    await c.execute(text("UPDATE run SET undone_by = NULL WHERE undone_by = ANY(:undone) AND id < :first"), values)
    await c.execute(text("UPDATE run SET undone_by = :run WHERE id = ANY(:undone) AND undone_by IS NULL"), values)
    await watermarks.forget(c, attempt.connection)
    undone = f"run {attempt.undoes[0]}" if len(attempt.undoes) == 1 else f"runs {attempt.undoes[0]} and later"
    await pause_in(c, attempt.connection, "undo", f"{undone} of it were undone by run {attempt.run}.")


async def compensations(store: Store, district: int, undo: int) -> list[dict[str, Any]]:
    """Deliveries made since the first undone run, of plans whose student the undo changed: to be sent again."""
    async with store.transaction(district) as c:
        rows = await c.execute(
            text(
                "WITH undone AS (SELECT min(r.started_at) AS since FROM run r WHERE r.undone_by = :undo), "
                "moved AS MATERIALIZED (SELECT DISTINCT h.entity_id FROM change h "
                "  JOIN publication p ON p.id = h.publication WHERE p.run_id = :undo AND h.kind = 'person') "
                "SELECT DISTINCT CAST(d.plan_id AS text) AS plan, n.name AS destination, max(d.version) AS version "
                "FROM delivery d JOIN plan l ON l.id = d.plan_id JOIN moved m ON m.entity_id = l.student_id "
                "JOIN connection n ON n.id = d.connection_id, undone u "
                "WHERE d.state = 'delivered' AND d.finished_at >= u.since GROUP BY 1, 2 ORDER BY 1, 2"
            ),
            {"undo": undo},
        )
        return [dict(row._mapping) for row in rows]


async def previewed(store: Store, district: int, run: int, limit: int) -> list[dict[str, Any]]:
    """What a held or compared run would do, removals first: entity, kind, op, and which fields differ; no values."""
    async with store.transaction(district) as c:
        rows = await c.execute(
            text(
                "SELECT kind, CAST(entity_id AS text) AS entity, op, before, after FROM preview WHERE run_id = :run "
                "ORDER BY array_position(ARRAY['removed', 'changed', 'added'], op), kind, entity_id LIMIT :limit"
            ),
            {"run": run, "limit": limit},
        )
        return [_without_values(dict(row._mapping)) for row in rows]


async def changed_by(store: Store, district: int, run: int, limit: int) -> list[dict[str, Any]]:
    """What a run changed, in the order in which it did: entity, kind, op, and which fields differ; no values."""
    async with store.transaction(district) as c:
        rows = await c.execute(
            text(
                "SELECT h.kind, CAST(h.entity_id AS text) AS entity, h.op, h.before, "
                "  coalesce((SELECT n.before FROM change n WHERE n.entity_id = h.entity_id AND n.kind = h.kind "
                "    AND n.seq > h.seq ORDER BY n.seq LIMIT 1), "
                "    (SELECT e.doc FROM entity e WHERE e.id = h.entity_id AND e.kind = h.kind)) AS after "
                "FROM change h JOIN publication p ON p.id = h.publication WHERE p.run_id = :run "
                "ORDER BY h.seq LIMIT :limit"
            ),
            {"run": run, "limit": limit},
        )
        return [_without_values(dict(row._mapping)) for row in rows]


def _without_values(row: Mapping[str, Any]) -> dict[str, Any]:
    was, now = row["before"] or {}, row["after"] or {}
    fields = sorted(name for name in {*was, *now} if was.get(name) != now.get(name)) if row["op"] == "changed" else []
    return {"kind": row["kind"], "entity": row["entity"], "op": row["op"], "fields": ", ".join(fields)}


async def counts_by(store: Store, district: int, run: int) -> list[dict[str, Any]]:
    """Kind and op -> how many entities a run moved."""
    async with store.transaction(district) as c:
        rows = await c.execute(
            text(
                "SELECT h.kind, h.op, count(*) AS entities FROM change h JOIN publication p ON p.id = h.publication "
                "WHERE p.run_id = :run GROUP BY 1, 2 ORDER BY 1, 2"
            ),
            {"run": run},
        )
        return [dict(row._mapping) for row in rows]


async def as_of(store: Store, district: int, kind: str, entity: str, at: datetime) -> dict[str, Any] | None:
    """An entity as it was published at a moment; None where it was not. The first change after that moment kept it."""
    async with store.transaction(district) as c:
        begins = await c.scalar(text("SELECT history_from FROM district WHERE id = :id"), {"id": district})
        if begins is not None and at < begins:
            raise Refused(
                "history-gone",
                f"What was before {begins:%Y-%m-%d %H:%M} UTC was kept for its time and is gone.",
                "Ask for a later moment; PLANBRIDGE_HISTORY_DAYS says how long the past is kept.",
            )
        return await _as_of(c, kind, entity, at)


async def _as_of(c: AsyncConnection, kind: str, entity: str, at: datetime) -> dict[str, Any] | None:
    later = (
        await c.execute(
            text(
                "SELECT h.before FROM change h JOIN publication p ON p.id = h.publication "
                "WHERE h.kind = :kind AND h.entity_id = CAST(:entity AS uuid) AND p.at > :at ORDER BY h.seq LIMIT 1"
            ),
            {"kind": kind, "entity": entity, "at": at},
        )
    ).one_or_none()
    if later is not None:
        before: dict[str, Any] | None = later.before
        return before
    now: dict[str, Any] | None = await c.scalar(
        text("SELECT doc FROM entity WHERE kind = :kind AND id = CAST(:entity AS uuid)"),
        {"kind": kind, "entity": entity},
    )
    return now


async def changes_of(store: Store, district: int, kind: str, entity: str) -> list[dict[str, Any]]:
    """Every change of one entity, newest first: when, by which run of which connection (none of a decision or a purge),
    what it was before, and of an end across a year change, why."""
    async with store.transaction(district) as c:
        rows = await c.execute(
            text(
                "SELECT p.at, p.run_id AS run, n.name AS connection, r.kind AS run_kind, h.op, "
                "  g.reason, h.before "
                "FROM change h JOIN publication p ON p.id = h.publication LEFT JOIN run r ON r.id = p.run_id "
                "LEFT JOIN connection n ON n.id = r.connection_id "
                "LEFT JOIN ending g ON g.publication = h.publication AND g.kind = h.kind "
                "  AND g.entity_id = h.entity_id "
                "WHERE h.kind = :kind AND h.entity_id = CAST(:entity AS uuid) ORDER BY h.seq DESC"
            ),
            {"kind": kind, "entity": entity},
        )
        return [dict(row._mapping) for row in rows]


@dataclass(frozen=True)
class ClaimOrigin:
    """A live claim, and what is known of the record and the run it comes from; `body` is None once it was purged."""

    claim: ClaimRow
    run: int
    mapping: str | None
    fetched_at: datetime | None
    method: str
    body: str | None


async def claims_about(c: AsyncConnection, kind: str, entity: str) -> tuple[dict[str, Any] | None, list[ClaimOrigin]]:
    """An entity as published (None where it is not) and every live claim about it."""
    doc = await c.scalar(
        text("SELECT doc FROM entity WHERE kind = :kind AND id = CAST(:entity AS uuid)"),
        {"kind": kind, "entity": entity},
    )
    rows = await c.execute(
        text(
            "SELECT c.connection_id, c.key, c.collection, c.record_key, c.rank, c.anchor, c.stated, c.run_id, "
            "  l.method = 'decided', r.mapping, o.fetched_at, l.method, o.body FROM link l "
            "JOIN claim c ON c.connection_id = l.connection_id AND c.kind = l.kind AND c.key = l.key "
            "JOIN run r ON r.id = c.run_id LEFT JOIN record o ON o.connection_id = c.connection_id "
            "  AND o.collection = c.collection AND o.key = c.record_key "
            "WHERE l.kind = :kind AND l.entity_id = CAST(:entity AS uuid) AND l.method <> 'alias' "
            "AND c.same_as IS NULL ORDER BY c.connection_id, c.rank, c.collection, c.record_key"
        ),
        {"kind": kind, "entity": entity},
    )
    return doc, [ClaimOrigin(ClaimRow(entity, *row[:9]), *row[7:8], *row[9:]) for row in rows]


@dataclass(frozen=True)
class Feed:
    """Changes in the order of their publication, and the place to go on from."""

    changes: list[dict[str, Any]]
    place: tuple[int, int]


BEGINNING = (0, 0)
_WITHHELD = [kind.name for kind in KINDS.values() if kind.withheld]


async def changes_since(store: Store, district: int, place: tuple[int, int] = BEGINNING, limit: int = 1000) -> Feed:
    """What was published since a place: kind, entity, op, publication. Nothing is ever skipped: what a transaction
    still under way will publish comes later, also where younger ones were faster. A place that this server has not
    reached yet is one of the server that was before a restore: everything is told again. Of kinds that are withheld
    nothing is told."""
    async with store.transaction(district) as c:
        rows = (
            await c.execute(
                text(
                    "SELECT CAST(xid AS text) AS xid, seq, kind, CAST(entity_id AS text) AS entity, op, publication "
                    "FROM change WHERE (xid, seq) > (CASE WHEN CAST(:xid AS xid8) < "
                    "  pg_snapshot_xmax(pg_current_snapshot()) THEN CAST(:xid AS xid8) ELSE '0' END, :seq) "
                    "AND xid < pg_snapshot_xmin(pg_current_snapshot()) AND kind <> ALL(:withheld) "
                    "ORDER BY change.xid, seq LIMIT :limit"
                ),
                {"xid": str(place[0]), "seq": place[1], "limit": limit, "withheld": _WITHHELD},
            )
        ).all()
    found = [{"kind": r.kind, "entity": r.entity, "op": r.op, "publication": r.publication} for r in rows]
    return Feed(found, (int(rows[-1].xid), rows[-1].seq) if rows else place)
