"""How far each collection of a connection is published: from there on, what changed is enough."""

import json
from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.store.runs import Attempt, Fenced

UNDATED = "change-undated"
"""The notice of a source that has met records which do not say when they changed."""


@dataclass(frozen=True)
class Bounds:
    """What one run pulls: `since` these marks, by collection, and up to where its source stood when it began."""

    since: dict[str, str]
    marks: dict[str, str]


async def bounds(c: AsyncConnection, attempt: Attempt) -> Bounds | None:
    """What an earlier attempt at this run began with: another one carries on from there."""
    row = (
        await c.execute(
            text("SELECT since, marks FROM run WHERE id = :run AND marks IS NOT NULL"), {"run": attempt.run}
        )
    ).one_or_none()
    return None if row is None else Bounds(dict(row.since), dict(row.marks))


async def begin(
    c: AsyncConnection, attempt: Attempt, marks: Mapping[str, str], *, read_by: str, whole_every: int
) -> Bounds:
    """Decide what the run pulls, and keep it with the run.

    Only what changed is enough where a collection was published whole by the same rules (`read_by`), less than
    `whole_every` days ago. A few hours are taken off, because no night begins at the same second as the last. What an
    open identity conflict keeps out of publication is asked for again: its collections' marks stand still until
    somebody has decided.
    """
    if attempt.whole or not whole_every:
        since = {}
    else:
        rows = await c.execute(
            text(
                "SELECT collection, mark FROM watermark WHERE connection_id = :connection AND read_by = :read_by "
                "AND whole_at > now() - make_interval(days => :days) + interval '6 hours'"
            ),
            {"connection": attempt.connection, "read_by": read_by, "days": whole_every},
        )
        since = {row.collection: row.mark for row in rows if row.collection in marks}
    mine = await c.scalar(
        text(
            "UPDATE run SET since = CAST(:since AS json), marks = CAST(:marks AS json), read_by = :read_by "
            "WHERE id = :run AND fence = :fence RETURNING id"
        ),
        {
            "since": json.dumps(since),
            "marks": json.dumps(dict(marks)),
            "read_by": read_by,
            "run": attempt.run,
            "fence": attempt.fence,
        },
    )
    if mine is None:
        raise Fenced
    return Bounds(since, dict(marks))


async def advance(c: AsyncConnection, attempt: Attempt, reached: Mapping[str, str]) -> None:
    """All pages of the run are staged, and those of these collections up to later marks than it began with."""
    mine = await c.scalar(
        text(
            "UPDATE run SET marks = CAST(CAST(marks AS jsonb) || CAST(:reached AS jsonb) AS json) "
            "WHERE id = :run AND fence = :fence RETURNING id"
        ),
        {"reached": json.dumps(dict(reached)), "run": attempt.run, "fence": attempt.fence},
    )
    if mine is None:
        raise Fenced


async def carry_rejects(c: AsyncConnection, attempt: Attempt) -> None:
    """What is set aside stays on the list although a pull of what changed, or without its collection, does not bring
    it again; what it brings, it judges anew. Of records without a key nobody can tell which they are: there are
    never fewer of one cause than there were. Harmless when repeated."""
    await c.execute(
        text(
            "INSERT INTO reject (district_id, run_id, connection_id, collection, key, position, field, code, reason, "
            "  sealed_body, unmapped, at) "
            "SELECT j.district_id, :run, j.connection_id, j.collection, j.key, j.position, j.field, j.code, j.reason, "
            "  j.sealed_body, j.unmapped, j.at FROM (SELECT *, row_number() OVER (PARTITION BY collection, key, "
            "    position, field, code, reason ORDER BY id) AS place FROM open_reject "
            "  WHERE connection_id = :connection AND run_id <> :run AND code <> 'identity-conflict') j "
            "WHERE EXISTS (SELECT FROM run_page p WHERE p.run_id = :run AND p.collection = j.collection "
            "  AND (p.partial OR p.absent <> '')) "
            "AND NOT EXISTS (SELECT FROM staged s WHERE s.run_id = :run AND s.collection = j.collection "
            "  AND s.key = j.key) "
            "AND CASE WHEN j.key IS NOT NULL THEN NOT EXISTS (SELECT FROM reject n WHERE n.run_id = :run "
            "    AND n.collection = j.collection AND n.key = j.key) "
            "  ELSE j.place > (SELECT count(*) FROM reject n WHERE n.run_id = :run AND n.collection = j.collection "
            "    AND n.key IS NULL AND n.position = j.position AND n.field = j.field AND n.code = j.code "
            "    AND n.reason = j.reason) END"
        ),
        {"run": attempt.run, "connection": attempt.connection},
    )


async def keep(c: AsyncConnection, attempt: Attempt) -> None:
    """In the transaction that publishes all of a pull: from now on, what changes after its marks is enough. Not of a
    collection that has records which do not say when they changed: only a whole pull finds a change of theirs."""
    await c.execute(
        text(
            "DELETE FROM watermark w WHERE w.connection_id = :connection AND EXISTS (SELECT FROM leniency l "
            f"  WHERE l.run_id = :run AND l.collection = w.collection AND l.code = '{UNDATED}')"
        ),
        {"connection": attempt.connection, "run": attempt.run},
    )
    await c.execute(
        text(
            "INSERT INTO watermark (district_id, connection_id, collection, mark, read_by, whole_at) "
            "SELECT r.district_id, r.connection_id, p.collection, r.marks->>p.collection, r.read_by, "
            "  coalesce(r.started_at, r.created_at) "
            "FROM run r JOIN (SELECT collection, bool_or(partial) AS partial FROM run_page WHERE run_id = :run "
            "  GROUP BY collection HAVING max(absent) = '') p ON r.marks->>p.collection IS NOT NULL "
            "WHERE r.id = :run AND r.kind = 'pull' AND NOT EXISTS (SELECT FROM identity_conflict i "
            "  WHERE i.connection_id = r.connection_id AND p.collection = ANY(i.collections)) "
            "AND NOT EXISTS (SELECT FROM leniency l WHERE l.run_id = r.id AND l.collection = p.collection "
            f"  AND l.code = '{UNDATED}') "
            # A run that pulled only what changed finds the row of the whole pull before it, and leaves its time. If it
            # finds none, the next pull was made whole meanwhile.
            "AND (NOT p.partial OR EXISTS (SELECT FROM watermark w WHERE w.connection_id = r.connection_id "
            "  AND w.collection = p.collection)) "
            "ON CONFLICT (connection_id, collection) DO UPDATE SET mark = excluded.mark, "
            "  read_by = excluded.read_by, whole_at = CASE WHEN (SELECT bool_or(partial) FROM run_page "
            "    WHERE run_id = :run AND collection = excluded.collection) "
            "  THEN watermark.whole_at ELSE excluded.whole_at END"
        ),
        {"run": attempt.run},
    )


async def forget(c: AsyncConnection, connection: int) -> None:
    """Its next pull is whole."""
    await c.execute(text("DELETE FROM watermark WHERE connection_id = :connection"), {"connection": connection})
