"""What a district has published, read from its beginning to its end: as it is, or what became of it since a run."""

from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import msgspec
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.errors import ConfigError, Refused


@dataclass(frozen=True)
class State:
    """An entity at one moment. `beside` is what others say that belongs with it: of a student the contacts; of a
    contact each student's school and how they are related; of what belongs to a class its school, course, sessions."""

    doc: dict[str, Any]
    beside: dict[str, Any]


@dataclass(frozen=True)
class Entity:
    """One entity as it is (None where it is not any more), and where changes are read, as it was. `at` is when it
    became so."""

    id: str
    at: datetime
    now: State | None
    was: State | None = None


@dataclass(frozen=True)
class Since:
    """The state that a run left behind, to compare with."""

    latest: datetime


# Who must be kept from a student is not handed on as that student's family: a OneRoster agent is just a name, and
# whoever takes it in opens the student's account to it.
MAY_BE_TOLD = "r.doc->>'restrictions' IS NULL AND coalesce(r.doc->>'education_rights', '') <> 'no'"

# By kind: what is told of an entity beside its own document. {class}, {relationship} and {person} are all of a kind.
_OF_CLASS = (
    "SELECT id, CAST(json_build_object('school', doc->'school', 'course', doc->'course', 'sessions', doc->'sessions') "
    "AS text) AS said FROM ({class}) o"
)
_OF_PERSON = (
    "SELECT id, CAST(json_build_object("
    "  'contacts', json_agg(contact ORDER BY contact) FILTER (WHERE contact IS NOT NULL), "
    "  'family_at', json_agg(json_build_array(school, relation) ORDER BY school, relation) "
    "    FILTER (WHERE school IS NOT NULL)) AS text) AS said FROM ("
    "  SELECT CAST(doc->>'student' AS uuid) AS id, doc->>'contact' AS contact, NULL AS school, NULL AS relation "
    f"  FROM ({{relationship}}) r WHERE {MAY_BE_TOLD} UNION ALL "
    "  SELECT CAST(r.doc->>'contact' AS uuid), NULL, "
    "    coalesce(s.doc->>'primary_organization', s.doc->'roles'->0->>'organization'), "
    "    coalesce(r.doc->>'relation', '') "
    "  FROM ({relationship}) r JOIN ({person}) s ON s.id = CAST(r.doc->>'student' AS uuid) "
    f"  WHERE {MAY_BE_TOLD}) o GROUP BY id"
)
_BESIDE = {
    "person": (_OF_PERSON, "o.id"),
    **dict.fromkeys(("enrollment", "line_item", "score_scale"), (_OF_CLASS, "CAST(o.doc->>'class' AS uuid)")),
}
_NOW = "SELECT id, doc, publication FROM entity WHERE kind = '{kind}'"
_WAS = (
    "SELECT id, doc, publication FROM entity e WHERE kind = '{kind}' "
    "  AND NOT EXISTS (SELECT FROM earlier x WHERE x.kind = '{kind}' AND x.id = e.id) "
    "UNION ALL SELECT id, doc, NULL FROM earlier WHERE kind = '{kind}' AND doc IS NOT NULL"
)


def _states(kind: str, state: str) -> str:
    """SQL: id, document and what stands beside it, of every entity of a kind, now or earlier."""
    own = state.format(kind=kind)
    if kind not in _BESIDE:
        return f"SELECT o.id, o.doc, o.publication, NULL AS said FROM ({own}) o"
    query, joined = _BESIDE[kind]
    beside = query.format_map({of: state.format(kind=of) for of in ("class", "relationship", "person")})
    return f"SELECT o.id, o.doc, o.publication, b.said FROM ({own}) o LEFT JOIN ({beside}) b ON b.id = {joined}"


async def standing(c: AsyncConnection, kind: str) -> AsyncGenerator[Entity]:
    """Every entity of a kind, in the order of their ids, however many there are."""
    async with c.stream(
        text(
            f"SELECT CAST(s.id AS text) AS id, s.doc, s.said, coalesce(p.at, now()) AS at "
            f"FROM ({_states(kind, _NOW)}) s LEFT JOIN publication p ON p.id = s.publication ORDER BY s.id"
        )
    ) as rows:
        async for row in rows:
            yield Entity(row.id, row.at, _state(row.doc, row.said))


async def changed(c: AsyncConnection, kind: str, since: Since, *, all_of_them: bool = False) -> AsyncGenerator[Entity]:
    """What became of a kind since then; with `all_of_them` also what stayed as it was. After `begin`."""
    async with c.stream(
        text(
            "SELECT CAST(id AS text) AS id, n.doc AS now, n.said AS now_said, w.doc AS was, w.said AS was_said, "
            "  coalesce(x.at, :latest) AS at "
            f"FROM ({_states(kind, _NOW)}) n FULL JOIN ({_states(kind, _WAS)}) w USING (id) "
            "LEFT JOIN (SELECT id, at FROM earlier WHERE kind = :kind) x USING (id) "
            "WHERE (:all_of_them OR x.at IS NOT NULL OR n.said IS DISTINCT FROM w.said) ORDER BY id"
        ),
        {"kind": kind, "latest": since.latest, "all_of_them": all_of_them},
    ) as rows:
        async for row in rows:
            yield Entity(row.id, row.at, _state(row.now, row.now_said), _state(row.was, row.was_said))


def _state(doc: dict[str, Any] | None, said: str | None) -> State | None:
    return None if doc is None else State(doc, msgspec.json.decode(said) if said else {})


async def begin(c: AsyncConnection, district: int, run: int) -> Since:
    """Look back to where a run left the district; what was earlier is then at hand in this transaction. Refused where
    the log does not reach so far back, or cannot name who is gone since."""
    found = (
        await c.execute(text("SELECT state, publication, finished_at FROM run WHERE id = :run"), {"run": run})
    ).one_or_none()
    if found is None or found.state != "published":
        raise ConfigError("run-unknown", f"No run {run} was published.", "`planbridge runs` lists them.")
    values = {"publication": found.publication, "finished": found.finished_at}
    was = (  # a run that changed nothing left what was published last before it
        await c.execute(
            text(
                "SELECT id, at FROM publication WHERE id = coalesce(CAST(:publication AS bigint), "
                "  (SELECT max(id) FROM publication WHERE at <= :finished))"
            ),
            values,
        )
    ).one_or_none()
    publication, at = (was.id, was.at) if was else (0, found.finished_at)
    await _refuse_gaps(c, district, at)
    await c.execute(
        text(
            "CREATE TEMP TABLE earlier ON COMMIT DROP AS SELECT DISTINCT ON (h.kind, h.entity_id) h.kind, "
            "  h.entity_id AS id, h.before AS doc, max(p.at) OVER (PARTITION BY h.kind, h.entity_id) AS at "
            "FROM change h JOIN publication p ON p.id = h.publication WHERE h.publication > :publication "
            "ORDER BY h.kind, h.entity_id, h.seq"
        ),
        {"publication": publication},
    )
    await c.execute(text("CREATE INDEX ON earlier (id)"))
    await c.execute(text("ANALYZE earlier"))
    latest = await c.scalar(text("SELECT max(at) FROM publication"))
    return Since(latest or at)


async def _refuse_gaps(c: AsyncConnection, district: int, at: datetime) -> None:
    forgotten = await c.scalar(text("SELECT history_from FROM district WHERE id = :id"), {"id": district})
    if forgotten is not None and at < forgotten:
        raise Refused(
            "history-gone",
            f"What was before {forgotten:%Y-%m-%d %H:%M} UTC was kept for its time and is gone.",
            "Export the whole, or what changed since a later run.",
        )
    if await c.scalar(text("SELECT EXISTS (SELECT FROM purge WHERE at > :at)"), {"at": at}):
        raise Refused(
            "export-since-purge",
            "Somebody was purged since then, and nothing is kept that could tell others who it was.",
            "Export the whole: whoever is not in it is gone.",
        )


async def latest_run(c: AsyncConnection) -> int | None:
    """The last run that published something: where a later export of changes goes on from."""
    found: int | None = await c.scalar(
        text("SELECT run_id FROM publication WHERE run_id IS NOT NULL ORDER BY id DESC LIMIT 1")
    )
    return found


async def ever_had(c: AsyncConnection, kinds: Sequence[str]) -> set[str]:
    """Of these kinds, those of which something is published or, as far as the log goes, was."""
    rows = await c.execute(
        text(
            "SELECT k FROM unnest(CAST(:kinds AS text[])) k WHERE EXISTS (SELECT FROM entity WHERE kind = k) "
            "OR EXISTS (SELECT FROM change WHERE kind = k)"
        ),
        {"kinds": list(kinds)},
    )
    return set(rows.scalars())


async def count(c: AsyncConnection, kind: str, since: Since | None) -> int:
    """How many of a kind are published; of changes, how many of them are new or another."""
    moved = "" if since is None else " AND id IN (SELECT id FROM earlier WHERE kind = :kind)"
    return int(str(await c.scalar(text(f"SELECT count(*) FROM entity WHERE kind = :kind{moved}"), {"kind": kind})))
