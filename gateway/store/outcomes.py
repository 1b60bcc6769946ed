"""What a run did, or would do: its publication, counts and effects, a preview for people, and how it ended."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from sqlalchemy import text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.errors import Refused
from gateway.guard import Confused, Effects, Hold, Shrunk
from gateway.store import sessions
from gateway.store.compare import BY_KEY, over
from gateway.store.registers import Actor, log_act
from gateway.store.runs import Attempt, Verdict

PREVIEWED = 10_000
"""Entities kept of what a run would do, removals first; the counts are always whole."""
_UNMATCHED = ("unmatched", "ambiguous", "identity-conflict")


@dataclass(frozen=True)
class Before:
    """How things stood before the run: entities by kind; people of its connection, recognised and not."""

    entities: dict[str, int]
    people: int
    unmatched: int


@dataclass(frozen=True)
class Previewed:
    """One entity a run would add, change or remove; `before` and `after` are its JSON."""

    kind: str
    entity: str
    op: str
    before: Any
    after: Any


async def before(c: AsyncConnection, attempt: Attempt) -> Before:
    rows = await c.execute(text("SELECT kind, count(*) FROM entity GROUP BY kind"))
    people = await c.scalar(
        text("SELECT count(*) FROM link WHERE connection_id = :connection AND kind = 'person' AND method <> 'alias'"),
        {"connection": attempt.connection},
    )
    return Before({row.kind: row[1] for row in rows}, int(people), await _unmatched(c, attempt))


async def open_publication(c: AsyncConnection, attempt: Attempt) -> int:
    """A new publication; its time is set by `close_publication`, at the very end."""
    return int(
        await c.scalar(
            text("INSERT INTO publication (district_id, run_id) VALUES (:district, :run) RETURNING id"),
            {"district": attempt.district, "run": attempt.run},
        )
    )


async def close_publication(c: AsyncConnection, publication: int) -> None:
    """End what is open for whoever is not on the roster any more, then stamp the publication: the last statement, so
    that its time is later than all it publishes."""
    await sessions.follow(c, publication)
    await c.execute(text("UPDATE publication SET at = clock_timestamp() WHERE id = :id"), {"id": publication})


async def published_counts(c: AsyncConnection) -> dict[str, dict[str, int]]:
    """Kind -> {added, changed, removed} of this transaction."""
    found: dict[str, dict[str, int]] = {}
    for row in await c.execute(text("SELECT kind, op, count(*) AS n FROM moved GROUP BY kind, op ORDER BY 1, 2")):
        found.setdefault(row.kind, {})[row.op] = row.n
    return found


async def effects(c: AsyncConnection, attempt: Attempt, was: Before, publication: int, today: date) -> Effects:
    """What this transaction published, in the light of what was there before it."""
    await c.execute(text(BY_KEY))
    published = await published_counts(c)
    values = {"publication": publication, "today": today.isoformat()}
    ended: dict[str, int] = {}
    shrunk: list[Shrunk] = []
    if any("removed" in moved for moved in published.values()):
        rows = await c.execute(
            text(
                "SELECT kind, count(*) AS n FROM change WHERE publication = :publication AND op = 'removed' "
                f"AND {over('kind', 'before')} GROUP BY kind"
            ),
            values,
        )
        ended = {row.kind: row.n for row in rows}
        shrunk = await _shrunk(c, values)
    unmatched = await _unmatched(c, attempt)
    named, strangers = await _named(c, attempt) if attempt.kind == "pull" else (0, 0)
    confused = await _confused(c, values) if was.entities.get("person") else Confused()
    return Effects(
        published, was.entities, ended, shrunk, was.people, unmatched, was.unmatched, named, strangers, confused
    )


async def _unmatched(c: AsyncConnection, attempt: Attempt) -> int:
    """Students and staff of the run's connection who match nobody, or more than one."""
    return int(
        await c.scalar(
            text(
                "SELECT count(*) FROM waiting WHERE connection_id = :connection AND kind = 'person' "
                "AND code = ANY(:codes) AND field IN ('student', 'staff')"
            ),
            {"connection": attempt.connection, "codes": list(_UNMATCHED)},
        )
    )


async def _named(c: AsyncConnection, attempt: Attempt) -> tuple[int, int]:
    """How many students the records of this run name, changed or not, and how many of them match nobody."""
    row = (
        await c.execute(
            text(
                "SELECT count(*) AS named, count(w.key) AS strangers FROM (SELECT DISTINCT c.key FROM latest l "
                "  JOIN claim c ON c.connection_id = :connection AND c.collection = l.collection "
                "    AND c.record_key = l.key AND c.kind = 'person' AND c.same_as IS NULL "
                "  WHERE l.op <> 'gone') n "
                "JOIN (SELECT DISTINCT key FROM claim WHERE connection_id = :connection AND kind = 'person' AND anchor "
                "  AND CASE WHEN stated->>'population' IS NULL THEN EXISTS ("
                "    SELECT FROM json_array_elements(stated->'roles') r WHERE r->>'role' = 'student') "
                "  ELSE stated->>'population' = 'student' END) s ON s.key = n.key "
                "LEFT JOIN (SELECT DISTINCT key FROM waiting WHERE connection_id = :connection AND kind = 'person' "
                "  AND code = ANY(:codes)) w ON w.key = n.key"
            ),
            {"connection": attempt.connection, "codes": list(_UNMATCHED)},
        )
    ).one()
    return row.named, row.strangers


async def _confused(c: AsyncConnection, values: dict[str, Any]) -> Confused:
    """Students who seem to have been taken for one another by what this transaction published."""
    row = (await c.execute(text(_CONFUSED), values)).one()
    return Confused(row.one_number, row.swapped, row.results)


_WHO = "jsonb_build_array({0}->'given_name', {0}->'family_name', {0}->'birth_date')"
# Grouped and looked up by index, never joined with itself: a run may change everybody.
_CONFUSED = f"""
    WITH student AS MATERIALIZED (
        SELECT f.op, f.before, e.id, e.doc, e.match FROM (
            SELECT DISTINCT ON (entity_id) entity_id, op, before FROM change
            WHERE publication = :publication AND kind = 'person' ORDER BY entity_id, seq
        ) f JOIN entity e ON e.kind = 'person' AND e.id = f.entity_id WHERE e.doc->>'population' = 'student'
    ), who AS (
        SELECT who, bool_or(earlier) AS had, bool_or(NOT earlier) AS has FROM (
            SELECT id, {_WHO.format("before")} AS who, true AS earlier FROM student WHERE op = 'changed'
            UNION ALL SELECT id, {_WHO.format("doc")}, false FROM student WHERE op = 'changed'
        ) either GROUP BY who, id
    )
    SELECT (SELECT count(*) FROM student s WHERE s.before->>'identifiers' IS DISTINCT FROM s.doc->>'identifiers'
              AND EXISTS (SELECT FROM entity o WHERE o.match = s.match AND o.kind = 'person' AND o.id <> s.id)
           ) AS one_number,
           (SELECT coalesce(sum(gained), 0) FROM (
                SELECT count(*) FILTER (WHERE NOT had) AS gained FROM who
                GROUP BY who HAVING bool_or(had AND NOT has) AND bool_or(has AND NOT had)
            ) moved) AS swapped,
           (SELECT count(*) FROM change f JOIN entity e ON e.kind = f.kind AND e.id = f.entity_id
            WHERE f.publication = :publication AND f.kind IN ('assessment_result', 'result') AND f.op = 'changed'
              AND f.before->>'student' <> e.doc->>'student') AS results
"""


async def _shrunk(c: AsyncConnection, values: dict[str, Any]) -> list[Shrunk]:
    """Classes that go on and lost students whose enrollment was not due to end."""
    rows = await c.execute(
        text(
            "WITH lost AS MATERIALIZED ("
            "  SELECT CAST(before->>'class' AS uuid) AS class, count(*) AS n FROM change "
            "  WHERE publication = :publication AND kind = 'enrollment' AND op = 'removed' "
            f"  AND before->>'role' = 'student' AND NOT {over('kind', 'before')} GROUP BY 1"
            "), living AS MATERIALIZED ("
            "  SELECT l.class, l.n FROM lost l JOIN entity e ON e.kind = 'class' AND e.id = l.class"
            "), has AS MATERIALIZED ("
            "  SELECT CAST(doc->>'class' AS uuid) AS class, count(*) AS n, "
            "    count(*) FILTER (WHERE publication = :publication AND EXISTS (SELECT FROM moved m "
            "      WHERE m.kind = 'enrollment' AND m.entity_id = e.id AND m.op = 'added')) AS new "
            "  FROM entity e WHERE kind = 'enrollment' AND doc->>'role' = 'student' "
            "  AND doc->>'class' = ANY(ARRAY(SELECT CAST(class AS text) FROM living)) GROUP BY 1"
            ") SELECT l.n + coalesce(h.n - h.new, 0) AS had, coalesce(h.n, 0) AS has "
            "FROM living l LEFT JOIN has h ON h.class = l.class"
        ),
        values,
    )
    return [Shrunk(row.had, row.has) for row in rows]


async def preview(c: AsyncConnection, publication: int) -> list[Previewed]:
    """What this transaction adds, changes and removes; at most `PREVIEWED`, removals first."""
    rows = await c.execute(
        text(
            "SELECT f.kind, CAST(f.entity_id AS text) AS entity, f.before, e.doc AS after FROM ("
            "  SELECT DISTINCT ON (kind, entity_id) kind, entity_id, before FROM change "
            "  WHERE publication = :publication ORDER BY kind, entity_id, seq) f "
            "LEFT JOIN entity e ON e.kind = f.kind AND e.id = f.entity_id "
            "WHERE f.before IS NOT NULL OR e.doc IS NOT NULL "
            "ORDER BY e.doc IS NOT NULL, f.before IS NULL, f.kind, f.entity_id LIMIT :limit"
        ),
        {"publication": publication, "limit": PREVIEWED},
    )
    return [Previewed(r.kind, r.entity, _op(r.before, r.after), r.before, r.after) for r in rows]


def _op(was: Any, now: Any) -> str:
    if now is None:
        return "removed"
    return "added" if was is None else "changed"


async def keep_preview(c: AsyncConnection, attempt: Attempt, rows: Sequence[Previewed]) -> None:
    """Keep what a person may want to look at before deciding, instead of what was kept of this run before."""
    await c.execute(text("DELETE FROM preview WHERE run_id = :run"), {"run": attempt.run})
    await c.execute(
        text(
            "INSERT INTO preview SELECT :district, :run, j->>0, CAST(j->>1 AS uuid), j->>2, "
            "  CASE WHEN json_typeof(j->3) <> 'null' THEN j->3 END, "
            "  CASE WHEN json_typeof(j->4) <> 'null' THEN j->4 END "
            "FROM json_array_elements(CAST(:rows AS json)) j"
        ),
        {
            "district": attempt.district,
            "run": attempt.run,
            "rows": json.dumps([(row.kind, row.entity, row.op, row.before, row.after) for row in rows]),
        },
    )


async def finish_run(
    c: AsyncConnection,
    attempt: Attempt,
    state: str,
    counts: dict[str, Any],
    publication: int | None = None,
    *,
    good: bool = False,
) -> None:
    """Write a run's outcome and drop what was staged, unless it is held and may still be approved. `good`: it did what
    it was to do, though its removals may wait."""
    await c.execute(
        text(
            "UPDATE run SET state = :state, counts = CAST(:counts AS json), "
            "  publication = coalesce(:publication, publication), "
            "  good_at = coalesce(good_at, CASE WHEN :good THEN now() END), "
            "  finished_at = CASE WHEN :state = 'held' THEN NULL ELSE now() END, unmapped = coalesce(("
            "    SELECT json_agg(json_build_array(u.tbl, u.code, u.n) ORDER BY u.n DESC) FROM ("
            "      SELECT j->>0 AS tbl, j->>1 AS code, sum(CAST(j->>2 AS int)) AS n "
            "      FROM run_page p, json_array_elements(p.unmapped) j WHERE p.run_id = :run GROUP BY 1, 2) u), '[]') "
            "WHERE id = :run"
        ),
        {
            "run": attempt.run,
            "state": state,
            "counts": json.dumps(counts),
            "publication": publication,
            "good": good,
        },
    )
    if state != "held":
        await c.execute(text("DELETE FROM staged WHERE run_id = :run"), {"run": attempt.run})
    if state == "published":
        await c.execute(text("DELETE FROM preview WHERE run_id = :run"), {"run": attempt.run})


async def add_holds(c: AsyncConnection, attempt: Attempt, holds: Sequence[Hold], digest: str) -> None:
    """Keep why the run waits and which change set it was."""
    for hold in holds:
        await c.execute(
            text(
                "INSERT INTO hold (district_id, run_id, code, collection, reason, affected, known, effect, digest) "
                "VALUES (:district, :run, :code, :collection, :reason, :affected, :known, :effect, :digest)"
            ),
            {"district": attempt.district, "run": attempt.run, "digest": digest} | vars(hold),
        )


async def decide(c: AsyncConnection, run: int, verdict: Verdict, actor: Actor, because: str) -> int:
    """Approve a held run, wholly or for its additions alone, or refuse it; returns its connection. The person, the
    role and the reason are kept. Refused with run-not-held where nothing waits, with run-under-way where a pull of its
    connection began meanwhile."""
    if not because.strip():
        raise Refused("reason-missing", "A decision about a held run needs a reason.", "Give --reason.")
    try:
        found = (
            await c.execute(
                text(
                    "UPDATE run SET state = :state, effect = :effect, "
                    "  finished_at = CASE WHEN :state = 'refused' THEN now() END "
                    "WHERE id = :run AND state = 'held' RETURNING connection_id, district_id"
                ),
                {
                    "run": run,
                    "state": "refused" if verdict == "refused" else "approved",
                    "effect": "additions" if verdict == "additions" else "all",
                },
            )
        ).one_or_none()
    except IntegrityError:  # a pull was asked for this very moment, and a connection has one run under way
        raise Refused(
            "run-under-way", "The connection is being pulled already.", "Wait; that pull takes this run's place."
        ) from None
    if found is None:
        raise Refused("run-not-held", f"Run {run} is not held.", "`planbridge holds show` lists what waits.")
    await c.execute(
        text(
            "UPDATE hold SET state = :verdict, decided_by = :actor, decided_because = :because, "
            "decided_at = now() WHERE run_id = :run AND state = 'open'"
        ),
        {"run": run, "verdict": verdict, "actor": actor.as_json(), "because": because},
    )
    if verdict == "refused":
        for table in ("staged", "preview"):
            await c.execute(text(f"DELETE FROM {table} WHERE run_id = :run"), {"run": run})
    await log_act(c, found.district_id, actor, f"hold-{verdict}", str(run), {"because": because})
    return int(found.connection_id)
