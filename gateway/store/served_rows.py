"""The rows of each collection as a projection writes them: what was noted to be looked at, read, written, let go."""

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.served import COLLECTIONS, SQL, WRITABLE, Collection
from gateway.store import standing
from gateway.store.database import Store
from gateway.store.rosters import MAY_BE_TOLD
from gateway.wire import Gap, Row, referrers

CHUNK = 1_000
_EXTRA: dict[str, dict[str, str]] = {"users": {"roles_at": 'text[] COLLATE "C"', "family_of": "uuid[]"}}
"""Columns that a collection has beyond those of its fields."""


async def note_family(store: Store, c: AsyncConnection, *, everything: bool) -> None:
    """Bring up to date who is whose family, and note those whose rows say so."""
    if everything:
        await c.execute(text("DELETE FROM served_family"))
        await c.execute(text(_FAMILY.format(which="")))
        await _keep_away(store, c, "true")
        return
    theirs = "relationship_id IN (SELECT id FROM projecting WHERE kind = 'relationship')"
    await c.execute(text(_NOTE_BOTH.format(which=theirs)))
    await c.execute(text(f"DELETE FROM served_family WHERE {theirs}"))
    await c.execute(text(_FAMILY.format(which="AND id IN (SELECT id FROM projecting WHERE kind = 'relationship')")))
    await _keep_away(store, c, theirs)
    await c.execute(text(_NOTE_BOTH.format(which=theirs)))
    for statement in _NOTE_FAMILY:
        await c.execute(text(statement))


async def _keep_away(store: Store, c: AsyncConnection, which: str) -> None:
    """Whom the district keeps from a student is not handed on as family either, whatever the sources say."""
    pairs = await c.execute(
        text(
            "SELECT CAST(student_id AS text) AS student, array_agg(CAST(contact_id AS text)) AS contacts "
            f"FROM served_family WHERE {which} AND EXISTS (SELECT FROM standing WHERE kind = :kind AND ended IS NULL) "
            "GROUP BY 1"
        ),
        {"kind": standing.RESTRICTION},
    )
    named = {pair.student: pair.contacts for pair in pairs}
    for student, contacts in (await standing.restricted_among(store, c, named)).items():
        if contacts:
            await c.execute(
                text(
                    "DELETE FROM served_family WHERE student_id = CAST(:student AS uuid) "
                    "AND contact_id = ANY(CAST(:contacts AS uuid[]))"
                ),
                {"student": student, "contacts": sorted(contacts)},
            )


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


async def names(c: AsyncConnection, ids: Iterable[str]) -> dict[str, str]:
    """The sourcedIds of those of these entities that a program wrote, under a name of its own."""
    rows = await c.execute(
        text(
            "SELECT CAST(entity_id AS text), sourced_id FROM written "
            "WHERE entity_id = ANY(CAST(:ids AS uuid[])) AND kind = ANY(:kinds)"
        ),
        {"ids": sorted(set(ids)), "kinds": [COLLECTIONS[name].kind for name in WRITABLE]},
    )
    return {row[0]: row[1] for row in rows}


async def any_names(c: AsyncConnection) -> bool:
    """Whether any program has ever written here."""
    return bool(await c.scalar(text("SELECT EXISTS (SELECT FROM connection WHERE client_id IS NOT NULL)")))


async def put(c: AsyncConnection, district: int, collection: Collection, rows: Sequence[Row], at: Any) -> int:
    """Write the rows that differ from what is there; returns how many did."""
    if not rows:
        return 0
    columns = {column.name: SQL[column.type] for column in collection.columns} | _EXTRA.get(collection.name, {})
    typed = "".join(f", {name} {type.partition(' COLLATE')[0]}" for name, type in columns.items())
    names = "".join(f", {name}" for name in columns)
    done = await c.execute(
        text(
            f"INSERT INTO {collection.table} AS t (district_id, sourced_id, entity_id, gone, at, doc{names}) "
            f"SELECT :district, r.row_name, CAST(r.row_id AS uuid), false, :at, CAST(r.doc AS json)"
            f"{''.join(f', r.{name}' for name in columns)} "
            f"FROM json_to_recordset(CAST(:rows AS json)) r (row_name text, row_id text, doc text{typed}) "
            "ON CONFLICT (district_id, sourced_id) DO UPDATE SET gone = false, at = excluded.at, doc = excluded.doc"
            f"{''.join(f', {name} = excluded.{name}' for name in columns)}"
            f"{', survivor = NULL' if collection.kind == 'person' else ''} "
            "WHERE t.gone OR CAST(t.doc AS text) <> CAST(excluded.doc AS text)"
            f"{' OR t.family_of IS DISTINCT FROM excluded.family_of' if collection.name == 'users' else ''}"
        ),
        {
            "district": district,
            "at": at,
            "rows": _json([{**r.values, "row_name": r.sourced_id, "row_id": r.id, "doc": r.doc} for r in rows]),
        },
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
            f"  FROM {collection.table} WHERE gone AND (survivor IS NOT NULL "
            "  OR entity_id IN (SELECT id FROM projecting WHERE kind = 'person'))) x "
            "WHERE t.sourced_id = x.id AND t.survivor IS DISTINCT FROM x.now"
        ),
        {"at": at},
    )
    return done.rowcount


async def put_gaps(
    c: AsyncConnection, district: int, ids: Sequence[str], collections: Sequence[str], gaps: Sequence[tuple[str, Gap]]
) -> None:
    """Say of these entities what keeps them from being served, wholly or at all, instead of what was said."""
    await c.execute(
        text("DELETE FROM served_gap WHERE entity_id = ANY(CAST(:ids AS uuid[])) AND collection = ANY(:collections)"),
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
    await c.execute(
        text(
            "INSERT INTO projecting "
            "SELECT DISTINCT k.kind, CASE WHEN k.kind = :kind THEN :next ELSE 0 END, g.entity_id FROM served_gap g "
            "JOIN json_each_text(CAST(:kinds AS json)) k (name, kind) ON k.name = g.collection "
            "WHERE g.target = ANY(CAST(:ids AS uuid[])) ON CONFLICT DO NOTHING"
        ),
        {
            "kind": kind,
            "next": round + 1,
            "ids": ids,
            "kinds": _json({one.name: one.kind for one in COLLECTIONS.values()}),
        },
    )


async def note_referrers(c: AsyncConnection, kind: str, round: int, ids: Sequence[str]) -> None:
    """These are not served: note what names them."""
    ids = [*ids, *(await names(c, ids)).values()]
    for collection, column, several in referrers(kind):
        if column == "agents_ids":
            found = (
                "SELECT u.entity_id FROM served_family f JOIN served_users u ON u.entity_id = f.student_id "
                "WHERE f.contact_id = ANY(CAST(:ids AS uuid[])) AND NOT u.gone "
                "AND u.agents_ids && CAST(:ids AS text[]) AND :several = :several"
            )
        else:
            named = f"{column} && CAST(:ids AS text[])" if several else f"{column} = ANY(:ids)"
            found = f"SELECT entity_id FROM {collection.table} WHERE {named} AND NOT gone AND :several = :several"
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


async def unstamped(c: AsyncConnection, collection: Collection) -> list[str]:
    """The rows of a collection that this transaction has written, by their sourcedIds."""
    rows = await c.execute(text(f"SELECT sourced_id FROM {collection.table} WHERE at = 'infinity'"))
    return list(rows.scalars())


async def forget(c: AsyncConnection, district: int) -> None:
    """What is gone is said to be so for as long as changes are kept."""
    begins = await c.scalar(text("SELECT history_from FROM district WHERE id = :district"), {"district": district})
    if begins is not None:
        for collection in COLLECTIONS.values():
            await c.execute(text(f"DELETE FROM {collection.table} WHERE gone AND at < :begins"), {"begins": begins})


async def grown(c: AsyncConnection, collection: Collection, rows: int) -> None:
    """Let the database know that a table has become another one."""
    await c.execute(text("SELECT planbridge_grown(:n, :table)"), {"n": rows, "table": collection.table})
