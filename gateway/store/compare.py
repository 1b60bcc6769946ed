"""What a run would change: its staged records against those in force, or those in force against what was before.

Leaves the temporary table `changed` (collection, key, op, remapped, ended, and where the new row lies) for
`gateway.store.applying`.
"""

from collections.abc import Iterable, Sequence
from dataclasses import asdict
from datetime import date
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.guard import CollectionCount
from gateway.schema import KINDS
from gateway.store.runs import Attempt

# The shape of a plan is said where estimates cannot be right: whole sets are compared by hash, small sets are
# followed by index.
WHOLE_SETS = "SELECT set_config('enable_nestloop', 'off', true)"
BY_KEY = "SELECT set_config('enable_nestloop', 'on', true), set_config('enable_seqscan', 'off', true)"

_CHANGED = (
    'CREATE TEMP TABLE changed (collection text COLLATE "C", key text COLLATE "C", op text, remapped boolean, '
    "page bigint, place int, restored_from bigint, ended boolean NOT NULL DEFAULT false, hash text, "
    "renamed boolean NOT NULL DEFAULT false, yearly boolean NOT NULL DEFAULT false) ON COMMIT DROP"
)


async def compare(
    c: AsyncConnection, attempt: Attempt, today: date, *, takes_over: bool = False, off: Sequence[str] = ()
) -> list[CollectionCount]:
    """Find which records are added, changed or gone, and count. A key staged twice counts once, the last wins.

    Only a pull can tell that something is gone; and nothing is gone without a word from a collection that is absent,
    of which only what changed was pulled, or in which a row's key could not be read. `today` decides what was due to
    end by now. `takes_over`: the records in force came from another system, which writes its own address into each;
    what says the same is no change at the source. `off`: collections that a person has switched off. Nothing of them
    comes in or comes back, whatever brings it, and a pull removes what there is.
    """
    await c.execute(text(_CHANGED))
    if attempt.kind == "undo":
        return await _restoring(c, attempt, off)
    values = {"run": attempt.run, "connection": attempt.connection, "whole": attempt.kind == "pull"}
    await c.execute(text(WHOLE_SETS))
    await c.execute(
        text(
            "CREATE TEMP TABLE latest ON COMMIT DROP AS "
            "SELECT DISTINCT ON (collection, key) collection, key, op, hash, page, place FROM staged "
            "WHERE run_id = :run ORDER BY collection, key, page DESC, place DESC"
        ),
        values,
    )
    await c.execute(text("ANALYZE latest"))
    # A hash is <mapping>:<record>. Where only the first part differs, the source did not change anything; of a hash
    # that the first version made (it has one part) nobody can tell, and after an upgrade not all of it is a change.
    await c.execute(
        text(
            "INSERT INTO changed (collection, key, op, remapped, page, place, hash) "
            "SELECT l.collection, l.key, CASE WHEN r.key IS NULL THEN 'added' ELSE 'changed' END, "
            "  coalesce(split_part(r.hash, ':', 2) IN ('', split_part(l.hash, ':', 2)), false), "
            "  l.page, l.place, l.hash "
            "FROM latest l LEFT JOIN record r ON r.connection_id = :connection "
            "  AND r.collection = l.collection AND r.key = l.key "
            "WHERE l.op = 'put' AND r.hash IS DISTINCT FROM l.hash "
            "UNION ALL "
            "SELECT r.collection, r.key, 'gone', false, NULL, NULL, NULL FROM record r "
            "LEFT JOIN latest l ON l.collection = r.collection AND l.key = r.key "
            "WHERE r.connection_id = :connection AND (l.op = 'gone' OR (:whole AND l.key IS NULL AND r.collection IN ("
            "  SELECT collection FROM run_page WHERE run_id = :run GROUP BY collection "
            "  HAVING max(absent) = '' AND sum(unkeyed) = 0 AND NOT bool_or(partial))))"
        ),
        values,
    )
    removed = await _switched_off(c, attempt, off)
    await c.execute(text("ANALYZE changed"))
    if takes_over:
        await c.execute(text(_SAYS_THE_SAME), values)
    await c.execute(text(_MARK_RENAMED), values)
    await _mark_ended(c, attempt, today)
    return [*(one for one in await _counts(c, values) if one.collection not in removed), *removed.values()]


async def written(c: AsyncConnection, attempt: Attempt) -> int:
    """The same of the few records of a program's request, each found by its key; returns how many differ."""
    await c.execute(text(_CHANGED))
    done = await c.execute(
        text(
            "INSERT INTO changed (collection, key, op, remapped, page, place, hash) "
            "SELECT s.collection, s.key, CASE WHEN s.op = 'gone' THEN 'gone' WHEN r.key IS NULL THEN 'added' "
            "  ELSE 'changed' END, false, s.page, s.place, s.hash "
            "FROM staged s LEFT JOIN LATERAL (SELECT * FROM record r WHERE r.connection_id = :connection "
            "  AND r.collection = s.collection AND r.key = s.key LIMIT 1) r ON true "
            "WHERE s.run_id = :run AND (s.op = 'gone' AND r.key IS NOT NULL "
            "  OR s.op = 'put' AND r.hash IS DISTINCT FROM s.hash)"
        ),
        {"run": attempt.run, "connection": attempt.connection},
    )
    return done.rowcount


async def _switched_off(c: AsyncConnection, attempt: Attempt, off: Sequence[str]) -> dict[str, CollectionCount]:
    """Keep these collections out of the change set, but for a pull's removal of all that is kept of them: it is what a
    person decided, and counts as absent, so that no guard takes it for a loss."""
    if not off:
        return {}
    values = {"connection": attempt.connection, "off": list(off)}
    await c.execute(text("DELETE FROM changed WHERE collection = ANY(:off)"), values)
    if attempt.kind != "pull":
        return {}
    await c.execute(
        text(
            "INSERT INTO changed (collection, key, op, remapped) SELECT collection, key, 'gone', false FROM record "
            "WHERE connection_id = :connection AND collection = ANY(:off)"
        ),
        values,
    )
    rows = await c.execute(
        text("SELECT collection, count(*) AS n FROM changed WHERE collection = ANY(:off) GROUP BY 1 ORDER BY 1"), values
    )
    return {
        row.collection: CollectionCount(row.collection, gone=row.n, ended=row.n, known=row.n, absent=SWITCHED_OFF)
        for row in rows
    }


async def removed_by_choice(c: AsyncConnection, attempt: Attempt, off: Sequence[str]) -> dict[str, int]:
    """Kind -> how many of its entities the change set ends because a person switched their collections off. To be asked
    before it is applied."""
    if not off or attempt.kind != "pull":
        return {}
    rows = await c.execute(
        text(
            "SELECT m.kind, count(DISTINCT m.key) AS n FROM changed x JOIN claim m ON m.connection_id = :connection "
            "AND m.collection = x.collection AND m.record_key = x.key "
            "WHERE x.op = 'gone' AND x.collection = ANY(:off) GROUP BY m.kind"
        ),
        {"connection": attempt.connection, "off": list(off)},
    )
    return {row.kind: row.n for row in rows}


SWITCHED_OFF = "switched off"
"""Why a collection is absent that a person does not want any more."""
_SAYS_THE_SAME = """
    UPDATE changed x SET remapped = true FROM staged s
    WHERE x.op = 'changed' AND s.run_id = :run AND s.page = x.page AND s.place = x.place
    AND (SELECT array_agg(said ORDER BY said) FROM (
            SELECT concat_ws(chr(31), a->>0, a->>1, coalesce(a->>2, ''), CAST(a->>3 AS boolean), a->>4, a->5)
            FROM json_array_elements(s.claims) a) now(said))
        IS NOT DISTINCT FROM (SELECT array_agg(said ORDER BY said) FROM (
            SELECT concat_ws(chr(31), c.kind, c.key, coalesce(c.same_as, ''), c.anchor, c.rank, c.stated) FROM claim c
            WHERE c.connection_id = :connection AND c.collection = x.collection AND c.record_key = x.key) was(said))
"""
# A record that has another key now is no loss, and goes with the one that it is now, never without it.
_MARK_RENAMED = """
    UPDATE changed x SET renamed = true FROM staged s JOIN changed n ON n.collection = s.collection AND n.key = s.hash
    WHERE s.run_id = :run AND s.op = 'gone' AND s.hash IS NOT NULL AND n.op <> 'gone'
    AND x.op = 'gone' AND x.collection = s.collection AND x.key = s.key
"""
OVER = (
    # Enrollments, sessions and program statuses say when they end; a class ends with its sessions, an enrollment
    # also with its class, a person with every role, and what is yearly with its school year.
    "(CASE WHEN {kind} = ANY('{yearly}') THEN {year_over} ELSE CASE {kind} WHEN 'class' THEN {class_over} "
    "WHEN 'enrollment' THEN coalesce({doc}->>'end_on' <= :today, false) OR coalesce((SELECT {of_class} FROM entity k "
    "  WHERE k.kind = 'class' AND k.id = CAST({doc}->>'class' AS uuid)), false) "
    "WHEN 'person' THEN coalesce((SELECT bool_and(coalesce(r->>'end_on' <= :today, false)) "
    "  FROM json_array_elements({doc}->'roles') r), false) "
    "ELSE coalesce({doc}->>'end_on' <= :today, false) END END)"
)
YEARLY = "{" + ",".join(kind.name for kind in KINDS.values() if kind.yearly) + "}"
"""What ends with its school year, as an array of SQL."""
# The school years that go on are those of the sessions that are still to end; between two years there are none.
_GOES_ON = "entity g WHERE g.kind = 'session' AND g.doc->>'end_on' > :today"
_THIS_YEAR = f"(SELECT min(CAST(g.doc->>'school_year' AS int)) FROM {_GOES_ON})"
_YEAR_OVER = (
    "coalesce({doc}->>'on' < (SELECT min(b.doc->>'begin_on') FROM entity b WHERE b.kind = 'session' "
    f"  AND CAST(b.doc->>'school_year' AS int) >= {_THIS_YEAR}), "
    f"CAST({{doc}}->>'school_year' AS int) < {_THIS_YEAR}, "
    f"NOT EXISTS (SELECT FROM {_GOES_ON}) "
    "  AND EXISTS (SELECT FROM entity b WHERE b.kind = 'session' AND b.doc->>'end_on' <= :today))"
)
_CLASS_OVER = (
    "coalesce((SELECT bool_and(coalesce(s.doc->>'end_on' <= :today, false)) "
    "FROM json_array_elements_text({doc}->'sessions') v "
    "JOIN entity s ON s.kind = 'session' AND s.id = CAST(v AS uuid)), false)"
)


def over(kind: str, doc: str) -> str:
    """SQL that tells whether what `doc` describes was due to end by :today."""
    return OVER.format(
        kind=kind,
        doc=doc,
        yearly=YEARLY,
        year_over=_YEAR_OVER.format(doc=doc),
        class_over=_CLASS_OVER.format(doc=doc),
        of_class=_CLASS_OVER.format(doc="k.doc"),
    )


async def _mark_ended(c: AsyncConnection, attempt: Attempt, today: date) -> None:
    """Of the records that are gone, those whose entity was due to end: a term's enrollments after the term. A record
    that only contributes to an entity has ended when what it states has; one that only gives it another name is no
    loss by itself: what is lost with the name shows when everything is resolved."""
    await c.execute(text(BY_KEY))
    await c.execute(
        text(
            "WITH gone AS MATERIALIZED (SELECT collection, key FROM changed WHERE op = 'gone'), "
            "meant AS MATERIALIZED ("
            "  SELECT g.collection, g.key, m.kind, CASE WHEN m.anchor THEN e.doc ELSE m.stated END AS doc, "
            "    m.same_as IS NOT NULL AS only_a_name, m.anchor, "
            "    bool_or(m.anchor AND m.same_as IS NULL) OVER (PARTITION BY g.collection, g.key) AS anchored "
            "  FROM gone g JOIN claim m ON m.connection_id = :connection AND m.collection = g.collection "
            "    AND m.record_key = g.key "
            "  LEFT JOIN link l ON l.connection_id = m.connection_id AND l.kind = m.kind AND l.key = m.key "
            "  LEFT JOIN entity e ON e.kind = l.kind AND e.id = l.entity_id) "
            f"UPDATE changed x SET ended = true, yearly = o.yearly FROM ("
            f"  SELECT collection, key, bool_or(kind = ANY('{YEARLY}')) AS yearly FROM meant m "
            "  WHERE CASE WHEN anchored THEN anchor AND doc IS NOT NULL ELSE only_a_name OR kind = 'person' END "
            f"  GROUP BY 1, 2 HAVING bool_and(only_a_name OR {over('m.kind', 'm.doc')})) o "
            "WHERE x.op = 'gone' AND x.collection = o.collection AND x.key = o.key"
        ),
        {"connection": attempt.connection, "today": today.isoformat()},
    )


async def _counts(c: AsyncConnection, values: dict[str, Any]) -> list[CollectionCount]:
    await c.execute(text(WHOLE_SETS))
    rows = await c.execute(text(_COUNTS), values)
    return [
        CollectionCount(
            collection=r.collection,
            received=int(r.received),
            distinct=r.distinct_keys,
            duplicates=r.staged - r.distinct_keys,
            inactive=r.inactive,
            rejected=r.rejected,
            added=r.added,
            changed=r.changed,
            remapped=r.remapped,
            same=r.distinct_keys - r.inactive - r.added - r.changed - r.remapped,
            gone=r.gone,
            ended=r.ended,
            year_over=r.year_over,
            known=r.known,
            total=r.total,
            absent=r.absent,
            partial=r.partial,
            unkeyed=int(r.unkeyed),
            purged=int(r.purged),
            repeated=await _repeated(c, values, r.collection) if r.staged > r.distinct_keys else 0,
            mapped=r.mapped,
            unmapped=int(r.unmapped),
        )
        for r in rows.all()
    ]


_OPS = (
    "SELECT collection, count(*) FILTER (WHERE op = 'added') AS added, "
    "  count(*) FILTER (WHERE op = 'changed' AND NOT remapped) AS changed, "
    "  count(*) FILTER (WHERE op = 'changed' AND remapped) AS remapped, "
    "  count(*) FILTER (WHERE op = 'gone') AS gone, "
    "  count(*) FILTER (WHERE op = 'gone' AND (ended OR renamed)) AS ended, "
    "  count(*) FILTER (WHERE op = 'gone' AND ended AND yearly) AS year_over "
    "FROM changed GROUP BY collection"
)
_KNOWN = "SELECT collection, count(*) AS known FROM record WHERE connection_id = :connection GROUP BY collection"
_PARTS = {
    "l": "SELECT collection, count(*) AS distinct_keys, count(*) FILTER (WHERE op = 'gone') AS inactive FROM latest "
    "GROUP BY collection",
    "s": "SELECT collection, count(*) AS staged, count(*) FILTER (WHERE op = 'put') AS mapped FROM staged "
    "WHERE run_id = :run GROUP BY collection",
    "j": "SELECT collection, count(*) AS rejected FROM reject WHERE run_id = :run GROUP BY collection",
    "u": "SELECT collection, max(n) AS unmapped FROM ("
    "  SELECT q.collection, sum(CAST(m->>2 AS int)) AS n FROM run_page q, json_array_elements(q.unmapped) m "
    "  WHERE q.run_id = :run GROUP BY q.collection, m->>0) t GROUP BY collection",
    "x": _OPS,
    "k": _KNOWN,
}
# Each table is read once, however many collections there are.
_COUNTS = (
    "SELECT p.*, "
    + ", ".join(
        f"coalesce({name}, 0) AS {name}"
        for name in (
            *("distinct_keys", "inactive", "staged", "mapped", "rejected", "unmapped"),
            *("added", "changed", "remapped", "gone", "ended", "year_over", "known"),
        )
    )
    + " FROM (SELECT collection, min(id) AS first, sum(rows) AS received, max(total) AS total, "
    "  max(absent) AS absent, bool_or(partial) AS partial, sum(unkeyed) AS unkeyed, sum(purged) AS purged "
    "  FROM run_page WHERE run_id = :run GROUP BY collection) p "
    + " ".join(f"LEFT JOIN ({part}) {name} USING (collection)" for name, part in _PARTS.items())
    + " ORDER BY p.first"
)


async def _repeated(c: AsyncConnection, values: dict[str, Any], collection: str) -> int:
    """How many keys came on more than one page."""
    return int(
        await c.scalar(
            text(
                "SELECT count(*) FROM (SELECT FROM staged WHERE run_id = :run AND collection = :collection "
                "GROUP BY key HAVING count(DISTINCT page) > 1) k"
            ),
            values | {"collection": collection},
        )
    )


async def _restoring(c: AsyncConnection, attempt: Attempt, off: Sequence[str]) -> list[CollectionCount]:
    """What brings the records back to how they stood before the first run to be undone.

    That is, of each record touched since: the row that was first ended since then, if it was in force before.
    """
    values = {"connection": attempt.connection, "first": min(attempt.undoes), "off": list(off)}
    await c.execute(
        text(
            "INSERT INTO changed SELECT coalesce(n.collection, b.collection), coalesce(n.key, b.key), "
            "  CASE WHEN b.key IS NULL THEN 'gone' WHEN n.key IS NULL THEN 'added' ELSE 'changed' END, false, "
            "  NULL, NULL, b.ended_by "
            "FROM (SELECT collection, key, since FROM record WHERE connection_id = :connection) n "
            "FULL JOIN (SELECT DISTINCT ON (collection, key) collection, key, since, ended_by FROM record_history "
            "  WHERE connection_id = :connection AND ended_by >= :first "
            "  ORDER BY collection, key, ended_by) o ON o.collection = n.collection AND o.key = n.key "
            "LEFT JOIN LATERAL (SELECT o.collection, o.key, o.ended_by WHERE o.since < :first) b ON true "
            "WHERE (n.since >= :first OR b.key IS NOT NULL)"
        ),
        values,
    )
    await c.execute(text("DELETE FROM changed WHERE op <> 'gone' AND collection = ANY(:off)"), values)
    await c.execute(text("ANALYZE changed"))
    rows = await c.execute(
        text(
            f"SELECT x.*, coalesce(known, 0) AS known FROM ({_OPS}) x LEFT JOIN ({_KNOWN}) k USING (collection) "
            "ORDER BY collection"
        ),
        values,
    )
    return [CollectionCount(r.collection, added=r.added, changed=r.changed, gone=r.gone, known=r.known) for r in rows]


async def keep_only(c: AsyncConnection, ops: Sequence[str]) -> None:
    """Leave out of the change set what is not to be done now. What is added takes with it what it was before."""
    await c.execute(
        text("DELETE FROM changed WHERE NOT op = ANY(:ops) AND NOT (renamed AND 'added' = ANY(:ops))"),
        {"ops": list(ops)},
    )


async def any_left(c: AsyncConnection) -> bool:
    """Whether there is anything to do."""
    return bool(await c.scalar(text("SELECT EXISTS (SELECT FROM changed)")))


async def digest(c: AsyncConnection, ops: Sequence[str] = ("added", "changed", "gone")) -> str:
    """Names exactly this change set, or its part with these ops, by which records it changes and into what: what was
    approved is published, and nothing else."""
    return str(
        await c.scalar(
            text(
                "SELECT count(*) || ':' || coalesce(md5(string_agg(concat_ws('/', collection, key, op, hash), ',' "
                "ORDER BY collection, key)), '') FROM changed WHERE op = ANY(:ops)"
            ),
            {"ops": list(ops)},
        )
    )


async def decided(c: AsyncConnection, run: int) -> str | None:
    """The change set that a person decided upon for this run, if any did."""
    found: str | None = await c.scalar(
        text(
            "SELECT digest FROM hold WHERE run_id = :run AND state IN ('approved', 'additions') "
            "ORDER BY id DESC LIMIT 1"
        ),
        {"run": run},
    )
    return found


def as_stored(counts: Iterable[CollectionCount]) -> list[dict[str, Any]]:
    """Counts as they are kept with a run."""
    return [asdict(count) for count in counts]
