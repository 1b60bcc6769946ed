"""The rows that the OneRoster provider serves: kept beside what is published, and stamped when they can be seen."""

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import msgspec
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.errors import Unavailable
from gateway.served import COLLECTIONS, OF_KIND, SQL, Collection
from gateway.store.database import Store
from gateway.store.rosters import MAY_BE_TOLD
from gateway.wire import Gap, Row, referrers

CHUNK = 1_000
UNSTAMPED = "infinity"
"""The time of a row whose transaction has not said yet when it ends."""
FOLLOWED = (*OF_KIND, "relationship")
"""The kinds whose changes move what is served."""
_EXTRA: Mapping[str, Mapping[str, str]] = {"users": {"roles_at": 'text[] COLLATE "C"', "family_of": "uuid[]"}}
"""Columns that a collection has beyond those of its fields."""


@dataclass(frozen=True)
class State:
    """How far the rows of a district follow its changes. `number` counts the projections that changed something, `at`
    is the time of the last; `everything`: nothing is known yet, or all of it is to be looked at anew."""

    xid: int
    seq: int
    number: int
    at: datetime | None
    everything: bool
    restamp: bool

    @property
    def first(self) -> bool:
        """Whether nobody can have read anything yet."""
        return self.at is None


@dataclass(frozen=True)
class Place:
    """A place in the change log, the last publication up to it, and whether that is all there is."""

    xid: int
    seq: int
    publication: int
    complete: bool


async def reading(c: AsyncConnection, district: int) -> tuple[int, datetime]:
    """Before anything that is served is read in this transaction, each statement of which must see what is committed:
    the number and the time of what is there. Whoever asked at that time or later sees it. Unavailable while nothing is
    ready to be served yet."""
    await c.execute(
        text("SELECT pg_advisory_xact_lock_shared(hashtext('planbridge.served'), :district)"), {"district": district}
    )
    found = (await c.execute(text("SELECT number, at FROM projection WHERE at IS NOT NULL"))).one_or_none()
    if found is None:
        raise Unavailable(
            "not-served-yet",
            "What this district has published is being made ready to be served.",
            "Ask again in some minutes; `planbridge serve status` shows how far it is.",
        )
    return found.number, found.at


@asynccontextmanager
async def projecting(store: Store, district: int) -> AsyncIterator[AsyncConnection]:
    """The district as it is at one moment, for the only one who writes what is served. Purges wait for it, and it for
    them: it must not write again what it read of somebody before they were purged."""
    async with store.engine.connect() as connection:
        c = await connection.execution_options(isolation_level="REPEATABLE READ")
        async with c.begin():  # a lock of the session: the moment that is looked at begins once it is had
            await c.execute(text("SELECT pg_advisory_lock(hashtext('planbridge.project'), :d)"), {"d": district})
        try:
            async with c.begin():
                await c.execute(text("SELECT set_config('planbridge.district', :d, true)"), {"d": str(district)})
                await c.execute(text(_WORKING_TABLE))
                yield c
        finally:
            if not c.invalidated:
                async with c.begin():
                    await c.execute(
                        text("SELECT pg_advisory_unlock(hashtext('planbridge.project'), :d)"), {"d": district}
                    )


async def alone(c: AsyncConnection, district: int) -> None:
    """Keep anybody from writing what is served until this transaction ends."""
    await c.execute(text("SELECT pg_advisory_xact_lock(hashtext('planbridge.project'), :d)"), {"d": district})


_WORKING_TABLE = (
    'CREATE TEMP TABLE projecting (kind text COLLATE "C", round int, id uuid, PRIMARY KEY (kind, round, id)) '
    "ON COMMIT DROP"
)


async def state(c: AsyncConnection, district: int) -> State:
    await c.execute(
        text("INSERT INTO projection (district_id, again) VALUES (:district, true) ON CONFLICT DO NOTHING"),
        {"district": district},
    )
    row = (
        await c.execute(
            text(
                "SELECT CAST(p.xid AS text) AS xid, p.seq, p.number, p.at, p.restamp, "
                "  p.again OR p.followed_at < d.history_from AS everything "
                "FROM projection p JOIN district d ON d.id = p.district_id WHERE p.district_id = :district"
            ),
            {"district": district},
        )
    ).one()
    return State(int(row.xid), row.seq, row.number, row.at, bool(row.everything), row.restamp)


# A place that this server has not reached yet is one of the server that was before a restore.
_AFTER = (
    "(xid, seq) > (CASE WHEN CAST(:xid AS xid8) < pg_snapshot_xmax(pg_current_snapshot()) "
    "THEN CAST(:xid AS xid8) ELSE '0' END, :seq)"
)
_SETTLED = "xid < pg_snapshot_xmin(pg_current_snapshot())"


async def note_changes(c: AsyncConnection, now: State) -> Place:
    """Note every entity that changed since then, or every one there is; returns up to where."""
    values = {"xid": str(now.xid), "seq": now.seq, "kinds": list(FOLLOWED)}
    last = (
        await c.execute(
            text(
                f"SELECT CAST(xid AS text) AS xid, seq FROM change WHERE {_AFTER} AND {_SETTLED} "
                "ORDER BY change.xid DESC, seq DESC LIMIT 1"
            ),
            values,
        )
    ).one_or_none()
    place = (int(last.xid), last.seq) if last else (now.xid, now.seq)
    if now.everything:
        await c.execute(
            text("INSERT INTO projecting SELECT kind, 0, id FROM entity WHERE kind = ANY(:kinds)"),
            {"kinds": list(OF_KIND)},
        )
        for collection in COLLECTIONS.values():
            await c.execute(
                text(
                    f"INSERT INTO projecting SELECT :kind, 0, entity_id FROM {collection.table} WHERE NOT gone "
                    "UNION SELECT :kind, 0, entity_id FROM served_gap WHERE collection = :name ON CONFLICT DO NOTHING"
                ),
                {"kind": collection.kind, "name": collection.name},
            )
    else:
        await c.execute(
            text(
                "INSERT INTO projecting SELECT DISTINCT kind, 0, entity_id FROM change "
                f"WHERE {_AFTER} AND {_SETTLED} AND kind = ANY(:kinds)"
            ),
            values,
        )
    await c.execute(text("ANALYZE projecting"))
    rest = {"xid": str(place[0]), "seq": place[1]}
    complete = not await c.scalar(text(f"SELECT EXISTS (SELECT FROM change WHERE {_AFTER})"), rest)
    return Place(*place, int(await c.scalar(text("SELECT coalesce(max(id), 0) FROM publication")) or 0), complete)


async def note_family(c: AsyncConnection, now: State) -> None:
    """Bring up to date who is whose family, and note those whose rows say so."""
    if now.everything:
        await c.execute(text("DELETE FROM served_family"))
        await c.execute(text(_FAMILY.format(which="")))
        return
    theirs = "relationship_id IN (SELECT id FROM projecting WHERE kind = 'relationship')"
    await c.execute(text(_NOTE_BOTH.format(which=theirs)))
    await c.execute(text(f"DELETE FROM served_family WHERE {theirs}"))
    await c.execute(text(_FAMILY.format(which="AND id IN (SELECT id FROM projecting WHERE kind = 'relationship')")))
    await c.execute(text(_NOTE_BOTH.format(which=theirs)))
    for statement in _NOTE_FAMILY:
        await c.execute(text(statement))


_FAMILY = (
    "INSERT INTO served_family SELECT district_id, id, CAST(r.doc->>'student' AS uuid), "
    "  CAST(r.doc->>'contact' AS uuid), coalesce(r.doc->>'relation', '') FROM entity r "
    f"WHERE kind = 'relationship' AND {MAY_BE_TOLD} {{which}}"
)
_NOTE_BOTH = (
    "INSERT INTO projecting SELECT 'person', 0, u FROM served_family f, unnest(ARRAY[student_id, contact_id]) u "
    "WHERE f.{which} ON CONFLICT DO NOTHING"
)
_NOTE_FAMILY = (
    # Family without roles of their own have them at the schools of their students.
    "INSERT INTO projecting SELECT 'person', 0, f.contact_id FROM served_family f "
    "JOIN projecting p ON p.kind = 'person' AND p.id = f.student_id ON CONFLICT DO NOTHING",
    # Of who was purged, and whose family that was, nothing is left but what others' rows say.
    "WITH lost AS MATERIALIZED (SELECT coalesce(array_agg(p.id), '{}') AS ids FROM projecting p "
    "  WHERE p.kind = 'person' AND NOT EXISTS (SELECT FROM entity e WHERE e.id = p.id AND e.kind = 'person')) "
    "INSERT INTO projecting SELECT 'person', 0, u.entity_id FROM served_users u, lost "
    "WHERE lost.ids <> '{}' AND (u.family_of && lost.ids OR u.agents_ids && CAST(lost.ids AS text[])) "
    "ON CONFLICT DO NOTHING",
)


async def noted(c: AsyncConnection, kind: str, round: int, after: str | None) -> list[str]:
    """The next entities of a kind that were noted, in the order of their ids."""
    rows = await c.execute(
        text(
            "SELECT CAST(id AS text) FROM projecting WHERE kind = :kind AND round = :round "
            "AND id > coalesce(CAST(:after AS uuid), '00000000-0000-0000-0000-000000000000') ORDER BY id LIMIT :chunk"
        ),
        {"kind": kind, "round": round, "after": after, "chunk": CHUNK},
    )
    return list(rows.scalars())


_CHILDREN = (
    "(SELECT json_agg(s.sourced_id ORDER BY s.sourced_id) FROM {table} s "
    "WHERE s.parent_id = CAST(e.id AS text) AND NOT s.gone)"
)
_SCHOOL = (
    "(SELECT k.doc->'school' FROM entity k WHERE k.id = CAST(e.doc->>'class' AS uuid) AND k.kind = 'class' LIMIT 1)"
)
_SAID = {
    "organization": f"'children', {_CHILDREN.format(table='served_orgs')}",
    "session": f"'children', {_CHILDREN.format(table='served_academic_sessions')}",
    "person": "'contacts', (SELECT json_agg(DISTINCT CAST(f.contact_id AS text)) FROM served_family f "
    "  WHERE f.student_id = e.id), "
    "'family', (SELECT json_agg(json_build_array(f.student_id, "
    "    coalesce(s.doc->>'primary_organization', s.doc->'roles'->0->>'organization'), f.relation) "
    "    ORDER BY f.student_id, f.relationship_id) FROM served_family f "
    "  JOIN entity s ON s.id = f.student_id AND s.kind = 'person' WHERE f.contact_id = e.id)",
    "enrollment": f"'school', {_SCHOOL}",
    "line_item": f"'school', {_SCHOOL}",
}


async def published(
    c: AsyncConnection, kind: str, ids: Sequence[str]
) -> list[tuple[str, dict[str, Any], dict[str, Any]]]:
    """(id, document, what others say that belongs with it) of those entities that are published."""
    said = f"json_build_object({_SAID[kind]})" if kind in _SAID else "NULL"
    rows = await c.execute(
        text(
            f"SELECT CAST(e.id AS text), e.doc, {said} FROM entity e "
            "WHERE e.id = ANY(CAST(:ids AS uuid[])) AND e.kind = :kind ORDER BY e.id"
        ),
        {"kind": kind, "ids": ids},
    )
    return [(id, doc, beside or {}) for id, doc, beside in rows]


async def absent(c: AsyncConnection, ids: Iterable[str]) -> set[str]:
    """Those of these entities that are not served."""
    rows = await c.execute(
        text(
            "SELECT CAST(u AS text) FROM unnest(CAST(:ids AS uuid[])) u "
            "WHERE EXISTS (SELECT FROM served_gap g WHERE g.entity_id = u AND g.whole "
            "  AND g.collection <> 'demographics') OR NOT EXISTS (SELECT FROM entity e WHERE e.id = u)"
        ),
        {"ids": sorted(set(ids))},
    )
    return set(rows.scalars())


async def put(c: AsyncConnection, district: int, collection: Collection, rows: Sequence[Row], at: Any) -> int:
    """Write the rows that differ from what is there; returns how many did."""
    if not rows:
        return 0
    columns = {column.name: SQL[column.type] for column in collection.columns} | _EXTRA.get(collection.name, {})
    typed = "".join(f", {name} {type.removesuffix(' COLLATE "C"')}" for name, type in columns.items())
    names = "".join(f", {name}" for name in columns)
    done = await c.execute(
        text(
            f"INSERT INTO {collection.table} AS t (district_id, sourced_id, entity_id, gone, at, doc{names}) "
            f"SELECT :district, r.id, CAST(r.id AS uuid), false, :at, CAST(r.doc AS json)"
            f"{''.join(f', r.{name}' for name in columns)} "
            f"FROM json_to_recordset(CAST(:rows AS json)) r (id text, doc text{typed}) "
            "ON CONFLICT (district_id, sourced_id) DO UPDATE SET gone = false, at = excluded.at, doc = excluded.doc"
            f"{''.join(f', {name} = excluded.{name}' for name in columns)}"
            f"{', survivor = NULL' if collection.kind == 'person' else ''} "
            "WHERE t.gone OR CAST(t.doc AS text) <> CAST(excluded.doc AS text)"
            f"{' OR t.family_of IS DISTINCT FROM excluded.family_of' if collection.name == 'users' else ''}"
        ),
        {"district": district, "at": at, "rows": _json([{"id": r.id, "doc": r.doc, **r.values} for r in rows])},
    )
    return done.rowcount


def _json(rows: Any) -> str:
    return msgspec.json.encode(rows).decode()


async def bury(c: AsyncConnection, collection: Collection, ids: Sequence[str], at: Any) -> int:
    """Let the rows of these entities be gone, those that were there; whoever was merged names the survivor."""
    cleared = "".join(
        f", {name} = NULL" for name in ("agents_ids", "children_ids", "family_of") if name in _names(collection)
    )
    survivor, doc = "", _buried()
    if collection.kind == "person":
        now = "nullif(planbridge_survivor(entity_id), entity_id)"
        survivor, doc = f", survivor = CAST({now} AS text)", _buried(now)
    done = await c.execute(
        text(
            f"UPDATE {collection.table} SET gone = true, at = :at, doc = {doc}{survivor}{cleared} "
            "WHERE entity_id = ANY(CAST(:ids AS uuid[])) AND NOT gone"
        ),
        {"ids": ids, "at": at},
    )
    return done.rowcount


def _buried(survivor: str = "") -> str:
    """SQL: the document of a row that is gone."""
    named = f" || coalesce(',\"metadata\":{{\"survivor\":' || to_json(CAST({survivor} AS text)) || '}}', '')"
    return f"CAST('{{\"sourcedId\":' || to_json(sourced_id){named if survivor else ''} || '}}' AS json)"


def _names(collection: Collection) -> set[str]:
    return {column.name for column in collection.columns} | _EXTRA.get(collection.name, {}).keys()


async def name_survivors(c: AsyncConnection, collection: Collection, at: Any) -> int:
    """Have those who were merged, and are gone, name who they are now, after whom they named was merged too."""
    done = await c.execute(
        text(
            f"UPDATE {collection.table} t SET at = :at, survivor = x.now, doc = {_buried('x.now')} "
            "FROM (SELECT sourced_id AS id, CAST(nullif(planbridge_survivor(entity_id), entity_id) AS text) AS now "
            f"  FROM {collection.table} WHERE gone AND (survivor IN (SELECT CAST(id AS text) FROM projecting "
            "  WHERE kind = 'person') OR entity_id IN (SELECT id FROM projecting WHERE kind = 'person'))) x "
            "WHERE t.sourced_id = x.id AND t.survivor IS DISTINCT FROM x.now"
        ),
        {"at": at},
    )
    return done.rowcount


async def put_gaps(
    c: AsyncConnection, district: int, ids: Sequence[str], collections: Sequence[str], gaps: Sequence[tuple[str, Gap]]
) -> None:
    """Say of these entities what keeps them from being served, or from being served wholly, instead of what was said."""
    await c.execute(
        text(
            "DELETE FROM served_gap WHERE entity_id = ANY(CAST(:ids AS uuid[])) AND collection = ANY(:collections)"
        ),
        {"ids": ids, "collections": collections},
    )
    if gaps:
        await c.execute(
            text(
                "INSERT INTO served_gap (district_id, collection, entity_id, field, target, whole) "
                "SELECT :district, j->>0, CAST(j->>1 AS uuid), j->>2, CAST(j->>3 AS uuid), CAST(j->>4 AS boolean) "
                "FROM json_array_elements(CAST(:rows AS json)) j"
            ),
            {
                "district": district,
                "rows": _json([(gap.collection, id, gap.field, gap.target, gap.whole) for id, gap in gaps]),
            },
        )


async def parents(c: AsyncConnection, collection: Collection, ids: Sequence[str]) -> dict[str, str]:
    """Of those of these entities that are served and have one, the parent."""
    rows = await c.execute(
        text(
            f"SELECT CAST(entity_id AS text), parent_id FROM {collection.table} "
            "WHERE entity_id = ANY(CAST(:ids AS uuid[])) AND NOT gone AND parent_id IS NOT NULL"
        ),
        {"ids": ids},
    )
    return {row[0]: row[1] for row in rows}


async def note(c: AsyncConnection, kind: str, round: int, ids: Iterable[str]) -> None:
    """Note entities to be looked at (again)."""
    await c.execute(
        text(
            "INSERT INTO projecting SELECT :kind, :round, u FROM unnest(CAST(:ids AS uuid[])) u ON CONFLICT DO NOTHING"
        ),
        {"kind": kind, "round": round, "ids": sorted(set(ids))},
    )


async def note_waiting(c: AsyncConnection, kind: str, round: int, ids: Sequence[str]) -> None:
    """These are served: note what lacks them."""
    for later in OF_KIND:
        await c.execute(
            text(
                "INSERT INTO projecting SELECT DISTINCT CAST(:later AS text), CAST(:round AS int), entity_id "
                "FROM served_gap WHERE target = ANY(CAST(:ids AS uuid[])) AND collection = ANY(:collections) "
                "ON CONFLICT DO NOTHING"
            ),
            {
                "later": later,
                "round": round + 1 if later == kind else 0,
                "ids": ids,
                "collections": [one.name for one in OF_KIND[later]],
            },
        )


async def note_referrers(c: AsyncConnection, kind: str, round: int, ids: Sequence[str]) -> None:
    """These are not served: note what names them."""
    for collection, column, several in referrers(kind):
        if column == "agents_ids":
            found = (
                "SELECT student_id AS entity_id FROM served_family WHERE contact_id = ANY(CAST(:ids AS uuid[])) "
                "AND CAST(:several AS boolean)"
            )
        else:
            names = f"{column} && CAST(:ids AS text[])" if several else f"{column} = ANY(:ids)"
            found = f"SELECT entity_id FROM {collection.table} WHERE {names} AND NOT gone AND :several = :several"
        await c.execute(
            text(
                f"INSERT INTO projecting SELECT DISTINCT CAST(:kind AS text), CAST(:round AS int), entity_id "
                f"FROM ({found}) f ON CONFLICT DO NOTHING"
            ),
            {
                "kind": collection.kind,
                "round": round + 1 if collection.kind == kind else 0,
                "ids": ids,
                "several": several,
            },
        )


async def note_of_classes(c: AsyncConnection, ids: Sequence[str]) -> None:
    """These classes changed: note what is at their school."""
    for name in ("enrollments", "lineItems"):
        collection = COLLECTIONS[name]
        await c.execute(
            text(
                f"INSERT INTO projecting SELECT '{collection.kind}', 0, entity_id FROM {collection.table} "
                "WHERE class_id = ANY(:ids) AND NOT gone ON CONFLICT DO NOTHING"
            ),
            {"ids": ids},
        )


async def grown(c: AsyncConnection, collection: Collection, rows: int) -> None:
    """Let the database know that a table has become another one."""
    await c.execute(text("SELECT planbridge_grown(:n, :table)"), {"n": rows, "table": collection.table})


async def end(
    c: AsyncConnection, district: int, now: State, place: Place, changed: Iterable[Collection], *, moved: bool
) -> datetime | None:
    """The last statements: whatever was written is true from now on, and nobody reads meanwhile. Returns the time, or
    None where nothing changed (`moved`: something that is served with it did)."""
    touched = list(COLLECTIONS.values()) if now.restamp else list(changed)
    values: dict[str, Any] = {
        "district": district,
        "xid": str(place.xid),
        "seq": place.seq,
        "publication": place.publication,
        "complete": place.complete,
        "at": None,
        "moved": False,
    }
    if touched or moved or now.first:
        await c.execute(text("SELECT pg_advisory_xact_lock(hashtext('planbridge.served'), :district)"), values)
        values["at"] = await c.scalar(
            text(
                "SELECT greatest(clock_timestamp(), at + interval '1 microsecond') FROM projection "
                "WHERE district_id = :district"
            ),
            values,
        )
        values["moved"] = True
        for collection in touched:
            which = "" if now.restamp else " WHERE at = 'infinity'"
            await c.execute(text(f"UPDATE {collection.table} SET at = :at{which}"), values)
    await c.execute(text(_FOLLOWED_UP_TO), values)
    at: datetime | None = values["at"]
    return at


_FOLLOWED_UP_TO = """
    UPDATE projection SET xid = CAST(:xid AS xid8), seq = :seq, followed_at = clock_timestamp(), again = false,
        restamp = false, at = coalesce(CAST(:at AS timestamptz), at),
        number = number + CASE WHEN :moved THEN 1 ELSE 0 END,
        publication = CASE WHEN :complete THEN :publication ELSE publication END
    WHERE district_id = :district
"""


async def ask_again(c: AsyncConnection, district: int) -> None:
    """Have everything looked at anew the next time."""
    await c.execute(
        text(
            "INSERT INTO projection (district_id, again) VALUES (:district, true) "
            "ON CONFLICT (district_id) DO UPDATE SET again = true"
        ),
        {"district": district},
    )


async def due(store: Store) -> list[int]:
    """The districts in which something was published since, and somebody may ask for it; a hint."""
    async with store.owner.begin() as c:
        rows = await c.execute(
            text(
                "SELECT d.id FROM district d LEFT JOIN projection p ON p.district_id = d.id "
                "WHERE (p.district_id IS NOT NULL OR EXISTS (SELECT FROM client n WHERE n.district_id = d.id "
                "  AND n.revoked_at IS NULL AND CAST(n.scopes AS text) LIKE '%purl.imsglobal.org/spec/or/%')) "
                "AND (coalesce(p.again, true) OR EXISTS (SELECT FROM publication q WHERE q.district_id = d.id "
                "  AND q.id > p.publication)) ORDER BY d.id"
            )
        )
        return list(rows.scalars())


@dataclass(frozen=True)
class Status:
    """How far what is served follows what is published. `behind`: publications that are not in it yet, and `since`,
    when the first of them was; `counts`: rows by collection, and how many of them are gone; `gaps`: what is left out
    (`whole`), or lacks a field."""

    number: int
    at: datetime | None
    followed_at: datetime | None
    behind: int
    since: datetime | None
    counts: list[dict[str, Any]]
    gaps: list[dict[str, Any]]


async def status(c: AsyncConnection) -> Status:
    row = (
        await c.execute(
            text(
                "SELECT p.number, p.at, p.followed_at, count(q.id) AS behind, min(q.at) AS since FROM (VALUES (1)) one "
                "LEFT JOIN projection p ON true LEFT JOIN publication q ON q.id > coalesce(p.publication, 0) "
                "GROUP BY 1, 2, 3"
            )
        )
    ).one()
    counts = await c.execute(
        text(
            " UNION ALL ".join(
                f"SELECT '{one.name}' AS collection, count(*) FILTER (WHERE NOT gone) AS served, "
                f"count(*) FILTER (WHERE gone) AS gone FROM {one.table}"
                for one in COLLECTIONS.values()
            )
        )
    )
    gaps = await c.execute(
        text(
            "SELECT collection, field, whole, target IS NOT NULL AS refers, count(DISTINCT entity_id) AS records "
            "FROM served_gap GROUP BY 1, 2, 3, 4 ORDER BY 1, 3 DESC, 2, 4"
        )
    )
    return Status(
        row.number or 0,
        row.at,
        row.followed_at,
        row.behind,
        row.since,
        [dict(one._mapping) for one in counts],
        [dict(one._mapping) for one in gaps],
    )
