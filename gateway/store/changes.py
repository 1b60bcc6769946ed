"""From claims in force to published entities, as set-based SQL inside one transaction of one run.

The working tables are temporary, made by gateway.store.applying: touched (claim keys to
resolve again), said (of these, what gateway.store.wholes has published), orphan (entities that lost a key), batch
(entities to fold), moved (what was published so far).
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.schema import KINDS, Kind
from gateway.store.applying import KEEP_LINKS
from gateway.store.runs import Attempt

CHUNK = 1_000
RETRIED = ("unmatched", "ambiguous", "identity-conflict", "not-in-system-of-record")


class ClaimRow(msgspec.Struct, frozen=True):
    """One live claim about `key`, as the source stated it in `run`: references are source keys.

    `joined`: a person said that the key denotes this entity, which has other keys of its own.
    """

    entity: str | None
    connection: int
    key: str
    collection: str
    record_key: str
    rank: int
    anchor: bool
    stated: dict[str, Any]
    run: int
    joined: bool


@dataclass(frozen=True)
class Waiting:
    """A claim key that cannot be published, or not wholly, and what it waits for."""

    connection: int
    key: str
    code: str
    reason: str
    field: str = ""
    target_kind: str = ""
    target_key: str = ""


def _json(rows: Any) -> str:
    return msgspec.json.encode(rows).decode()


async def lock_district(c: AsyncConnection, district: int) -> None:
    """Resolve to publish is one at a time per district."""
    await c.execute(
        text("SELECT pg_advisory_xact_lock(hashtext('planbridge.publish'), :district)"), {"district": district}
    )


async def must_resolve_all(c: AsyncConnection, district: int) -> bool:
    """Whether a choice that concerns every entity (a system of record) was made since the last publication."""
    return bool(await c.scalar(text("SELECT resolve_all FROM district WHERE id = :district"), {"district": district}))


async def touch_retried(c: AsyncConnection, kind: str) -> None:
    """What could not be matched before is tried again once something was published that may match it."""
    await c.execute(
        text(
            "INSERT INTO touched SELECT DISTINCT connection_id, kind, key FROM waiting "
            "WHERE kind = :kind AND code = ANY(:codes) AND (EXISTS (SELECT FROM moved WHERE op <> 'removed') "
            "  OR EXISTS (SELECT FROM touched WHERE kind = :kind)) "
            "ON CONFLICT (kind, connection_id, key) DO UPDATE SET done = false"
        ),
        {"kind": kind, "codes": list(RETRIED)},
    )


async def unlinked(c: AsyncConnection, kind: str, after: tuple[int, str]) -> list[tuple[int, str]]:
    """The next chunk of touched keys with an anchor and without an entity yet: (connection, key), in order."""
    rows = await c.execute(
        text(
            "SELECT t.connection_id, t.key FROM touched t WHERE t.kind = :kind AND NOT t.done "
            "AND (t.connection_id, t.key) > (:connection, :key) "
            "AND NOT EXISTS (SELECT FROM link l WHERE l.connection_id = t.connection_id "
            "  AND l.kind = t.kind AND l.key = t.key) "
            "AND EXISTS (SELECT FROM claim c WHERE c.connection_id = t.connection_id AND c.kind = t.kind "
            "  AND c.key = t.key AND c.anchor AND c.same_as IS NULL) ORDER BY 1, 2 LIMIT :chunk"
        ),
        {"kind": kind, "connection": after[0], "key": after[1], "chunk": CHUNK},
    )
    return [(row.connection_id, row.key) for row in rows]


async def claims_of_keys(c: AsyncConnection, kind: str, keys: Sequence[tuple[int, str]]) -> list[ClaimRow]:
    """Every live claim about these keys."""
    rows = await c.execute(
        text(
            "SELECT NULL AS entity, c.connection_id, c.key, c.collection, c.record_key, c.rank, c.anchor, c.stated, "
            "  c.run_id, false FROM json_array_elements(CAST(:keys AS json)) u "
            "CROSS JOIN LATERAL (SELECT * FROM claim WHERE key = u->>1 AND kind = :kind "
            "  AND connection_id = CAST(u->>0 AS int) AND same_as IS NULL OFFSET 0) c"
        ),
        {"kind": kind, "keys": _json(keys)},
    )
    return [ClaimRow(*row) for row in rows]


async def add_links(
    c: AsyncConnection, attempt: Attempt, kind: str, links: Iterable[tuple[int, str, str, str]]
) -> None:
    """Remember (connection, key, entity, method) for good."""
    await c.execute(
        text(
            "INSERT INTO link (district_id, connection_id, kind, key, entity_id, method, run_id, since) "
            "SELECT :district, CAST(j->>0 AS int), :kind, j->>1, CAST(j->>2 AS uuid), j->>3, :run, :run "
            "FROM json_array_elements(CAST(:links AS json)) j ON CONFLICT DO NOTHING"
        ),
        {"district": attempt.district, "kind": kind, "run": attempt.run, "links": _json(list(links))},
    )


async def link_aliases(c: AsyncConnection, attempt: Attempt, kind: str) -> None:
    """A key that denotes another shares its entity."""
    await c.execute(
        text(
            "WITH denoted AS MATERIALIZED ("
            "  SELECT DISTINCT c.connection_id, c.kind, c.key, l.entity_id FROM claim c "
            "  JOIN link l ON l.connection_id = c.connection_id AND l.kind = c.kind AND l.key = c.same_as "
            "  WHERE c.same_as IS NOT NULL AND c.kind = :kind AND EXISTS (SELECT FROM touched t WHERE t.kind = :kind "
            "    AND t.connection_id = c.connection_id AND t.key IN (c.key, c.same_as) AND NOT t.done)"
            f"), kept AS ({KEEP_LINKS} FROM link l JOIN denoted d ON d.connection_id = l.connection_id "
            "  AND d.kind = l.kind AND d.key = l.key WHERE l.entity_id <> d.entity_id AND l.method <> 'decided') "
            "INSERT INTO link (district_id, connection_id, kind, key, entity_id, method, run_id, since) "
            "SELECT :district, connection_id, kind, key, entity_id, 'alias', :run, :run FROM denoted "
            "ON CONFLICT (connection_id, kind, key) "
            "DO UPDATE SET entity_id = excluded.entity_id, run_id = excluded.run_id, since = excluded.since "
            "WHERE link.entity_id <> excluded.entity_id AND link.method <> 'decided'"
        ),
        {"district": attempt.district, "kind": kind, "run": attempt.run},
    )


async def fill_batch(c: AsyncConnection, kind: str) -> int:
    """Collect the entities of the touched keys that are still to be folded, numbered from 1; returns how many."""
    await c.execute(text("TRUNCATE batch"))
    await c.execute(text("ANALYZE touched"))
    filled = await c.execute(
        text(
            # What is said needs no look-up; it is left out first, because it is nearly everything.
            "WITH t AS MATERIALIZED (SELECT connection_id, key FROM touched WHERE kind = :kind AND NOT done "
            "  EXCEPT SELECT connection_id, key FROM said WHERE kind = :kind) "
            "INSERT INTO batch SELECT row_number() OVER (ORDER BY entity_id), entity_id FROM ("
            "  SELECT DISTINCT l.entity_id FROM t JOIN link l ON l.connection_id = t.connection_id "
            "  AND l.kind = :kind AND l.key = t.key "
            "  UNION SELECT entity_id FROM orphan WHERE kind = :kind) e"
        ),
        {"kind": kind},
    )
    await c.execute(text("DELETE FROM orphan WHERE kind = :kind"), {"kind": kind})
    await c.execute(text("ANALYZE batch"))
    await c.execute(text("SELECT planbridge_grown(:n, 'link')"), {"n": filled.rowcount})
    return filled.rowcount


async def batch_claims(c: AsyncConnection, kind: str, first: int) -> tuple[list[str], list[ClaimRow]]:
    """One chunk of the batch: the entities, and every live claim of any connection about them."""
    values = {"kind": kind, "first": first, "last": first + CHUNK - 1}
    entities = await c.execute(
        text("SELECT CAST(entity_id AS text) FROM batch WHERE n BETWEEN :first AND :last"), values
    )
    rows = await c.execute(
        text(
            "SELECT CAST(b.entity_id AS text), c.connection_id, c.key, c.collection, c.record_key, c.rank, c.anchor, "
            "  c.stated, c.run_id, l.method = 'decided' "
            "FROM batch b JOIN link l ON l.kind = :kind AND l.entity_id = b.entity_id AND l.method <> 'alias' "
            "JOIN claim c ON c.connection_id = l.connection_id AND c.kind = l.kind AND c.key = l.key "
            "WHERE b.n BETWEEN :first AND :last AND c.same_as IS NULL"
        ),
        values,
    )
    return list(entities.scalars()), [ClaimRow(*row) for row in rows]


async def lookup(
    c: AsyncConnection, kind: str, references: set[tuple[int, str, str]]
) -> dict[tuple[int, str, str], str]:
    """(connection, kind, key) -> entity id, of those that denote a published entity (or one of `kind` itself)."""
    rows = await c.execute(
        text(
            # LIMIT has each reference followed by index; EXISTS beside OR would read all entities into a hash table.
            "SELECT l.connection_id, l.kind, l.key, CAST(l.entity_id AS text) "
            "FROM json_array_elements(CAST(:wanted AS json)) u "
            "CROSS JOIN LATERAL (SELECT * FROM link WHERE connection_id = CAST(u->>0 AS int) AND kind = u->>1 "
            "  AND key = u->>2 LIMIT 1) l "
            "WHERE coalesce((SELECT true FROM entity e WHERE e.id = l.entity_id AND e.kind = l.kind LIMIT 1), "
            "  l.kind = :kind AND (SELECT true FROM claim c WHERE c.key = l.key AND c.kind = l.kind "
            "    AND c.connection_id = l.connection_id AND c.anchor LIMIT 1))"
        ),
        {"kind": kind, "wanted": _json(sorted(references))},
    )
    return {(r[0], r[1], r[2]): r[3] for r in rows}


def publishing(next: str) -> str:
    """SQL that publishes the rows (id, doc as text or NULL, match) of `next`: only differences are written."""
    return f"""
    WITH next AS MATERIALIZED ({next}), present AS MATERIALIZED (
        SELECT id, doc, match FROM entity
        WHERE id = ANY(ARRAY(SELECT id FROM next)) AND kind = :kind AND district_id = :district
    ), differing AS MATERIALIZED (
        SELECT n.id, n.doc, n.match, e.doc AS before, e.id IS NOT NULL AS known
        FROM next n LEFT JOIN present e ON e.id = n.id
        WHERE CAST(e.doc AS text) IS DISTINCT FROM n.doc OR e.match IS DISTINCT FROM n.match
    ), logged AS (
        INSERT INTO change (district_id, publication, kind, entity_id, op, before)
        SELECT :district, :publication, :kind, id,
               CASE WHEN doc IS NULL THEN 'removed' WHEN known THEN 'changed' ELSE 'added' END, before
        FROM differing ORDER BY id
        RETURNING entity_id, op
    ), removed AS (
        DELETE FROM entity WHERE district_id = :district AND kind = :kind
        AND id = ANY(ARRAY(SELECT id FROM differing WHERE doc IS NULL))
    ), put AS (
        INSERT INTO entity (district_id, kind, id, doc, match, publication)
        SELECT :district, :kind, id, CAST(doc AS json), match, :publication FROM differing WHERE doc IS NOT NULL
        ON CONFLICT (district_id, kind, id)
        DO UPDATE SET doc = excluded.doc, match = excluded.match, publication = excluded.publication
    )
    INSERT INTO moved SELECT :kind, entity_id, op FROM logged
    """


_PUBLISH = text(
    publishing("SELECT CAST(j->>0 AS uuid) AS id, j->>1 AS doc, j->>2 AS match "
               "FROM json_array_elements(CAST(:rows AS json)) j")
)  # fmt: skip


async def put_entities(
    c: AsyncConnection,
    attempt: Attempt,
    kind: str,
    publication: int,
    rows: Sequence[tuple[str, str | None, str | None]],
) -> None:
    """Publish (id, doc as JSON text or None when it lives no more, match word); only differences are written."""
    await c.execute(
        _PUBLISH,
        {
            "district": attempt.district,
            "kind": kind,
            "publication": publication,
            "rows": _json(rows),
        },
    )


async def clear_waiting(c: AsyncConnection, kind: str) -> None:
    """Forget what the touched keys waited for; it is stated anew."""
    await c.execute(
        text(
            "DELETE FROM waiting w USING touched t WHERE t.kind = :kind AND NOT t.done "
            "AND w.connection_id = t.connection_id AND w.kind = t.kind AND w.key = t.key"
        ),
        {"kind": kind},
    )
    await c.execute(
        text(
            "DELETE FROM difference d USING ("
            "  SELECT l.entity_id FROM touched t JOIN link l ON l.connection_id = t.connection_id "
            "  AND l.kind = t.kind AND l.key = t.key WHERE t.kind = :kind AND NOT t.done "
            "  UNION SELECT entity_id FROM orphan WHERE kind = :kind) e "
            "WHERE d.kind = :kind AND d.entity_id = e.entity_id"
        ),
        {"kind": kind},
    )


async def clear_traits(c: AsyncConnection) -> None:
    """Forget the traits of touched keys; those that still wait get them anew."""
    for table in ("person_trait", "person_number"):
        await c.execute(
            text(
                f"DELETE FROM {table} p USING touched t WHERE t.kind = 'person' AND NOT t.done "
                "AND p.connection_id = t.connection_id AND p.key = t.key"
            )
        )


async def add_waiting(c: AsyncConnection, attempt: Attempt, kind: str, waiting: Sequence[Waiting]) -> None:
    """List what cannot be published yet, and why."""
    if waiting:
        await c.execute(
            text(
                "INSERT INTO waiting SELECT :district, CAST(j->>0 AS int), :kind, j->>1, j->>2, j->>3, j->>4, "
                "j->>5, j->>6, :run FROM json_array_elements(CAST(:rows AS json)) j"
            ),
            {
                "district": attempt.district,
                "kind": kind,
                "run": attempt.run,
                "rows": _json(
                    [(w.connection, w.key, w.field, w.code, w.target_kind, w.target_key, w.reason) for w in waiting]
                ),
            },
        )


async def add_differences(
    c: AsyncConnection, attempt: Attempt, kind: str, rows: Sequence[tuple[int, str, str]]
) -> None:
    """Note (connection, entity, field) where a source says something else than what is published."""
    if rows:
        await c.execute(
            text(
                "INSERT INTO difference SELECT :district, CAST(j->>0 AS int), :kind, CAST(j->>1 AS uuid), j->>2 "
                "FROM json_array_elements(CAST(:rows AS json)) j"
            ),
            {"district": attempt.district, "kind": kind, "rows": _json(rows)},
        )


async def list_unanchored(c: AsyncConnection, attempt: Attempt, kind: str) -> None:
    """Contributions about a key that no anchor speaks of are kept, and listed as waiting for one."""
    await c.execute(
        text(
            "INSERT INTO waiting SELECT :district, t.connection_id, t.kind, t.key, '', 'no-anchor', '', '', "
            "  'Other records speak of it, but its own record is not there.', :run "
            "FROM touched t WHERE t.kind = :kind AND NOT t.done "
            "AND EXISTS (SELECT FROM claim c WHERE c.connection_id = t.connection_id AND c.kind = t.kind "
            "  AND c.key = t.key AND c.same_as IS NULL) "
            "AND NOT EXISTS (SELECT FROM claim c WHERE c.connection_id = t.connection_id AND c.kind = t.kind "
            "  AND c.key = t.key AND c.same_as IS NULL AND c.anchor)"
        ),
        {"district": attempt.district, "kind": kind, "run": attempt.run},
    )


async def left(c: AsyncConnection, kind: str) -> bool:
    """Whether keys of this kind still have to be resolved."""
    return bool(
        await c.scalar(
            text(
                "SELECT EXISTS (SELECT FROM touched WHERE kind = :kind AND NOT done) "
                "OR EXISTS (SELECT FROM orphan WHERE kind = :kind)"
            ),
            {"kind": kind},
        )
    )


async def finish_kind(c: AsyncConnection, attempt: Attempt, kind: str) -> None:
    """Mark the touched keys of a kind as done, and touch what depends on what came or went."""
    await c.execute(text("SELECT planbridge_grown((SELECT count(*) FROM batch), 'entity')"))
    await c.execute(
        text(
            "INSERT INTO touched SELECT DISTINCT w.connection_id, w.kind, w.key FROM touched t "
            "JOIN link l ON l.connection_id = t.connection_id AND l.kind = t.kind AND l.key = t.key "
            "JOIN link same ON same.kind = l.kind AND same.entity_id = l.entity_id "
            "JOIN entity e ON e.kind = same.kind AND e.id = same.entity_id "
            "JOIN waiting w ON w.connection_id = same.connection_id AND w.target_kind = same.kind "
            "  AND w.target_key = same.key WHERE t.kind = :kind AND NOT t.done ON CONFLICT DO NOTHING"
        ),
        {"kind": kind},
    )
    await c.execute(text("UPDATE touched SET done = true WHERE kind = :kind AND NOT done"), {"kind": kind})
    await c.execute(text(_REMOVED_ARE_LOOSE), {"kind": kind})
    if await c.scalar(text("SELECT EXISTS (SELECT FROM loose WHERE kind = :kind)"), {"kind": kind}):
        for child in KINDS.values():
            await touch_children(c, kind, child)
        for statement in _RECOGNISE_AGAIN:
            await c.execute(text(statement), {"kind": kind, "run": attempt.run})
    await c.execute(text("UPDATE moved SET seen = true WHERE kind = :kind AND NOT seen"), {"kind": kind})


_REMOVED_ARE_LOOSE = (
    "INSERT INTO loose SELECT l.connection_id, l.kind, l.key, NULL, false FROM moved m "
    "JOIN link l ON l.kind = m.kind AND l.entity_id = m.entity_id "
    "WHERE m.kind = :kind AND m.op = 'removed' AND NOT m.seen ON CONFLICT DO NOTHING"
)
_RECOGNISE_AGAIN = (
    # What a person decided stands, and waits until whoever it denotes is published again.
    "WITH stands AS (DELETE FROM loose o USING link l WHERE o.again AND o.kind = :kind AND l.key = o.key "
    "  AND l.kind = o.kind AND l.connection_id = o.connection_id AND l.method = 'decided' RETURNING l.*) "
    "INSERT INTO waiting SELECT district_id, connection_id, kind, key, '', 'unmatched', '', '', "
    "  'Whom it was said to be is not in the system of record any more.', :run FROM stands",
    "WITH l AS (DELETE FROM link l USING loose o WHERE o.again AND l.key = o.key AND l.kind = o.kind "
    f"AND l.connection_id = o.connection_id AND o.kind = :kind RETURNING l.*) {KEEP_LINKS} FROM l",
    "UPDATE touched t SET done = false FROM loose o WHERE o.again AND o.kind = :kind AND t.kind = o.kind "
    "AND t.connection_id = o.connection_id AND t.key = o.key",
    "INSERT INTO touched SELECT connection_id, kind, key FROM loose WHERE again AND kind = :kind "
    "ON CONFLICT DO NOTHING",
    "DELETE FROM loose WHERE kind = :kind",
)


async def touch_children(c: AsyncConnection, kind: str, child: Kind) -> None:
    """Whatever refers to a key that denotes nothing any more is resolved again: it waits then, visibly."""
    for reference in child.references:
        if reference.kind != kind:
            continue
        if not reference.many:
            refers = "c.stated->>:field = l.key"
        elif reference.part is None:
            refers = "EXISTS (SELECT FROM json_array_elements_text(c.stated->:field) v WHERE v = l.key)"
        else:
            refers = "EXISTS (SELECT FROM json_array_elements(c.stated->:field) v WHERE v->>:part = l.key)"
        await c.execute(
            text(
                "INSERT INTO touched SELECT DISTINCT c.connection_id, c.kind, c.key FROM loose l "
                f"JOIN claim c ON c.connection_id = l.connection_id AND c.kind = :child AND {refers} "
                "WHERE l.kind = :kind ON CONFLICT (kind, connection_id, key) DO UPDATE SET done = false"
            ),
            {"kind": kind, "child": child.name, "field": reference.field}
            | ({"part": reference.part} if reference.part else {}),
        )
