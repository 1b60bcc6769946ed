"""The life of a run and its staged pages; every write demands the fencing number of the present attempt."""

import json
from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, Literal, TypedDict

import msgspec
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.errors import PlanbridgeError
from gateway.mapping import Missed
from gateway.store import leniencies, sieve
from gateway.store.database import Store
from gateway.store.registers import Actor

Kind = Literal["pull", "replay", "undo", "decision", "write"]
Mode = Literal["publish", "shadow", "dry"]
Effect = Literal["all", "additions"]
Verdict = Literal["approved", "additions", "refused"]


class Wanted(TypedDict, total=False):
    """What a new run shall be; see Attempt."""

    kind: Kind
    mode: Mode
    undoes: Sequence[int]
    proposal: dict[str, Any] | None
    whole: bool


class Fenced(Exception):
    """This attempt has been superseded by a newer one: stop, nothing more may be written."""


@dataclass(frozen=True)
class Attempt:
    """One attempt at a run. `fence` is higher than that of every earlier attempt.

    `kind`: pull (collections from the source; `whole`: nothing but whole ones), replay (stored payloads, mapped again),
    undo (back to before the runs in `undoes`), decision (a person said who is who), write (a program's request).
    `mode`: publish, shadow or dry (both compare and publish nothing). `effect`: all, or additions where a person
    approved no more than these.
    `proposal`: what a dry run supposes, for those who know its parts; `systems_of_record` (collection -> connection id)
    is known to resolve.
    """

    run: int
    district: int
    connection: int
    fence: int
    approved: bool
    kind: Kind = "pull"
    mode: Mode = "publish"
    effect: Effect = "all"
    undoes: tuple[int, ...] = ()
    proposal: dict[str, Any] | None = None
    whole: bool = False


class StagedRow(msgspec.Struct, frozen=True, omit_defaults=True):
    """One row as it is staged. `claims` and `body` are JSON, present only where the row is a change; `left_out` says
    what of it is not in the claims. Of a row that says that its key became another one, `hash` is the other."""

    key: str
    op: str
    hash: str | None = None
    body: msgspec.Raw | None = None
    claims: msgspec.Raw | None = None
    left_out: tuple[Missed, ...] = ()


class Reject(msgspec.Struct, frozen=True):
    """A record set aside: where it stood, which field, why. `body` rests encrypted. `unmapped` as in StagedRow."""

    code: str
    reason: str
    key: str | None = None
    position: str = ""
    field: str = ""
    body: str | None = None
    unmapped: tuple[Missed, ...] = ()


class StagedPage(msgspec.Struct, frozen=True):
    """A page ready to be written in one statement."""

    collection: str
    cursor: str
    next: tuple[str, ...]
    rows: Sequence[StagedRow]
    received: int
    rejects: Sequence[Reject] = ()
    total: int | None = None
    absent: str = ""
    partial: bool = False
    unkeyed: int = 0
    """Rows set aside whose key could not be read: while there are any, nothing counts as gone."""
    unmapped: Sequence[tuple[str, str, int]] = ()
    leniencies: Sequence[tuple[str, str, int, Sequence[str]]] = ()
    """(code, field, how often, examples) of what was read although the standard does not allow it."""


@dataclass(frozen=True)
class PageDone:
    """What is known of a page that is staged."""

    collection: str
    cursor: str
    next: tuple[str, ...]
    rows: int


async def request(
    c: AsyncConnection,
    district: int,
    connection: int,
    actor: Actor,
    *,
    kind: Kind = "pull",
    mode: Mode = "publish",
    undoes: Sequence[int] = (),
    proposal: dict[str, Any] | None = None,
    whole: bool = False,
) -> int | None:
    """A new queued run, or None while one is under way. A held run of the connection is superseded, unless the new one
    only compares. A connection in shadow compares whatever it reads; what a person has undone is undone."""
    made = await c.execute(
        text(
            "INSERT INTO run (district_id, connection_id, state, actor, kind, mode, undoes, proposal, whole) "
            "SELECT :district, id, 'queued', :actor, :kind, "
            "  CASE WHEN shadow AND CAST(:mode AS text) = 'publish' AND CAST(:kind AS text) <> 'undo' THEN 'shadow' "
            "    ELSE :mode END, "
            "  CAST(:undoes AS json), CAST(:proposal AS json), :whole FROM connection WHERE id = :connection "
            "ON CONFLICT (connection_id) WHERE state IN ('queued', 'pulling', 'resolving', 'approved') "
            "DO NOTHING RETURNING id, mode"
        ),
        {
            "district": district,
            "connection": connection,
            "actor": actor.as_json(),
            "kind": kind,
            "mode": mode,
            "undoes": json.dumps(sorted(undoes)),
            "proposal": None if proposal is None else json.dumps(proposal),
            "whole": whole,
        },
    )
    run = made.one_or_none()
    if run is None:
        return None
    if run.mode == "publish":
        await end_held(c, connection, "superseded")
    return int(run.id)


async def held(c: AsyncConnection, connection: int) -> int | None:
    """The run of a connection that waits for a person, if one does."""
    found: int | None = await c.scalar(
        text("SELECT max(id) FROM run WHERE connection_id = :connection AND state = 'held'"), {"connection": connection}
    )
    return found


async def end_held(c: AsyncConnection, connection: int, state: str) -> None:
    """Nobody has to decide any more about the run of a connection that waits, if one does."""
    ended = (
        await c.execute(
            text(
                "UPDATE run SET state = :state, finished_at = now() "
                "WHERE connection_id = :connection AND state = 'held' RETURNING id"
            ),
            {"connection": connection, "state": state},
        )
    ).scalars()
    for run in ended.all():
        await c.execute(text("UPDATE hold SET state = :state WHERE run_id = :run AND state = 'open'"),
                        {"run": run, "state": state})  # fmt: skip
        for table in ("staged", "preview"):
            await c.execute(text(f"DELETE FROM {table} WHERE run_id = :run"), {"run": run})


async def begin(store: Store, district: int, run: int) -> Attempt | None:
    """Take the run: its fence rises, so that whoever held it before can write no more. None when it is over."""
    async with store.transaction(district) as c:
        taken = (
            await c.execute(
                text(
                    "UPDATE run SET fence = fence + 1, started_at = coalesce(started_at, now()), "
                    "  state = CASE WHEN state = 'queued' THEN 'pulling' ELSE state END "
                    "WHERE id = :run AND state IN ('queued', 'pulling', 'resolving', 'approved') "
                    "RETURNING connection_id, fence, state, kind, mode, effect, undoes, proposal, whole"
                ),
                {"run": run},
            )
        ).one_or_none()
    if taken is None:
        return None
    return Attempt(
        run,
        district,
        taken.connection_id,
        taken.fence,
        taken.state == "approved",
        taken.kind,
        taken.mode,
        taken.effect,
        tuple(taken.undoes),
        taken.proposal,
        taken.whole,
    )


async def pages(store: Store, attempt: Attempt) -> list[PageDone]:
    """Every page staged so far, by this attempt or an earlier one."""
    async with store.transaction(attempt.district) as c:
        rows = await c.execute(
            text("SELECT collection, cursor, next, rows FROM run_page WHERE run_id = :run"),
            {"run": attempt.run},
        )
        return [PageDone(r.collection, r.cursor, tuple(r.next), r.rows) for r in rows]


async def differing(
    c: AsyncConnection, attempt: Attempt, collection: str, hashes: Sequence[tuple[str, str]]
) -> Container[int]:
    """The places of those (key, hash) that are not as they are published now."""
    found: list[int] = await c.scalar(
        _DIFFERING,
        {
            "connection": attempt.connection,
            "collection": collection,
            "hashes": msgspec.json.encode(hashes).decode(),
        },
    )
    return set(found)


# A subquery, because a join invites the planner to read the whole table for each page.
_DIFFERING = text(
    """
    SELECT coalesce(array_agg(h.place - 1), '{}')
    FROM json_array_elements(CAST(:hashes AS json)) WITH ORDINALITY AS h(pair, place)
    WHERE (SELECT r.hash FROM record r WHERE r.connection_id = :connection AND r.collection = :collection
           AND r.key = h.pair->>0) IS DISTINCT FROM h.pair->>1
    """
)

STAGE = text(
    """
    WITH mine AS (
        SELECT id FROM run WHERE id = :run AND fence = :fence AND state IN ('pulling', 'resolving') FOR SHARE
    ), page AS (
        INSERT INTO run_page (district_id, run_id, collection, cursor, next, rows, total, absent, partial, unkeyed,
                              purged, unmapped)
        SELECT :district, id, :collection, :cursor, CAST(:next AS json), :received, :total, :absent, :partial,
               :unkeyed, :purged, CAST(:unmapped AS json)
        FROM mine
        ON CONFLICT DO NOTHING
        RETURNING id
    ), rows AS (
        INSERT INTO staged (district_id, run_id, page, place, collection, key, op, hash, body, claims,
                            left_out)
        SELECT :district, :run, page.id, r.place, :collection, r.key, r.op, r.hash, CAST(r.body AS text), r.claims,
               r.left_out
        FROM page, ROWS FROM (
            json_to_recordset(CAST(:rows AS json)) AS (key text, op text, hash text, body json, claims json,
                                                       left_out json)
        ) WITH ORDINALITY AS r(key, op, hash, body, claims, left_out, place)
    ), rejects AS (
        INSERT INTO reject (district_id, run_id, connection_id, collection, key, position, field, code, reason,
                            sealed_body, unmapped)
        SELECT :district, :run, :connection, :collection, r->>'key', r->>'position', r->>'field', r->>'code',
               r->>'reason', CAST(r->>'body' AS bytea),
               CASE WHEN json_array_length(r->'unmapped') > 0 THEN r->'unmapped' END
        FROM page, json_array_elements(CAST(:rejects AS json)) AS r
    ), leniencies AS (
        INSERT INTO leniency (district_id, run_id, connection_id, collection, code, field, n, examples)
        SELECT :district, :run, :connection, :collection, l->>0, l->>1, CAST(l->>2 AS bigint),
               ARRAY(SELECT json_array_elements_text(l->3))
        FROM page, json_array_elements(CAST(:leniencies AS json)) AS l
    )
    SELECT (SELECT count(*) FROM mine)
    """
)


async def stage(store: Store, c: AsyncConnection, attempt: Attempt, page: StagedPage) -> None:
    """Write a page and its progress in one statement, without what speaks of somebody who was purged. Raises Fenced
    when a newer attempt has the run."""
    page, purged = await _sifted(store, c, attempt, page)
    mine = await c.scalar(
        STAGE,
        {
            "run": attempt.run,
            "fence": attempt.fence,
            "district": attempt.district,
            "connection": attempt.connection,
            "collection": page.collection,
            "cursor": page.cursor,
            "next": json.dumps(page.next),
            "received": page.received,
            "total": page.total,
            "absent": page.absent,
            "partial": page.partial,
            "unkeyed": page.unkeyed,
            "purged": purged,
            "unmapped": json.dumps(page.unmapped),
            "rows": msgspec.json.encode(page.rows).decode(),
            "rejects": json.dumps([_sealed(store, reject) for reject in page.rejects]),
            "leniencies": json.dumps(page.leniencies),
        },
    )
    if not mine:
        raise Fenced


async def _sifted(store: Store, c: AsyncConnection, attempt: Attempt, page: StagedPage) -> tuple[StagedPage, int]:
    """The page without the purged, and how many rows that were. A reject that has no key keeps its place only."""
    rows = chain(
        (sieve.Row(row.key, row.claims, row.body) for row in page.rows),
        (sieve.Row(reject.key, None, _raw(reject.body)) for reject in page.rejects),
    )
    dropped, wordless = await sieve.sift(c, store.marks, attempt.district, attempt.run, page.collection, rows)
    if not dropped and not wordless:
        return page, 0
    kept = [
        row if n not in wordless else msgspec.structs.replace(row, body=None)
        for n, row in enumerate(page.rows)
        if n not in dropped
    ]
    told = [
        reject if n not in dropped else msgspec.structs.replace(reject, body=None)
        for n, reject in enumerate(page.rejects, start=len(page.rows))
        if n not in dropped or reject.key is None
    ]
    gone = {key for n, key in enumerate(_keys(page)) if n in dropped}
    lenient = [
        (code, field, n, [example for example in examples if example not in gone])
        for code, field, n, examples in page.leniencies
    ]
    return msgspec.structs.replace(page, rows=kept, rejects=told, leniencies=lenient), len(page.rows) - len(kept)


def _keys(page: StagedPage) -> Iterator[str | None]:
    yield from (row.key for row in page.rows)
    yield from (reject.key for reject in page.rejects)


def _raw(body: str | None) -> msgspec.Raw | None:
    return None if body is None else msgspec.Raw(body.encode())


def _sealed(store: Store, reject: Reject) -> dict[str, Any]:
    row = msgspec.to_builtins(reject)
    if reject.body is not None:
        row["body"] = store.secrets.seal(reject.body.encode()).decode()
    return dict(row)


async def hold_fence(c: AsyncConnection, attempt: Attempt) -> None:
    """Lock the run for this transaction and make sure it is still ours."""
    mine = await c.scalar(
        text(
            "UPDATE run SET state = 'resolving' WHERE id = :run AND fence = :fence "
            "AND state IN ('pulling', 'resolving', 'approved') RETURNING id"
        ),
        {"run": attempt.run, "fence": attempt.fence},
    )
    if mine is None:
        raise Fenced


async def fail(store: Store, attempt: Attempt, error: PlanbridgeError) -> None:
    """End the run as failed; what was staged is dropped, what is published stays."""
    async with store.transaction(attempt.district) as c:
        ended = await c.scalar(
            text(
                "UPDATE run SET state = 'failed', finished_at = now(), error_code = :code, error = :message, "
                "  exit_code = :exit_code "
                "WHERE id = :run AND fence = :fence RETURNING id"
            ),
            {
                "run": attempt.run,
                "fence": attempt.fence,
                "code": error.code,
                "message": str(error),
                "exit_code": error.exit_code,
            },
        )
        if ended is None:
            raise Fenced
        await c.execute(text("DELETE FROM staged WHERE run_id = :run"), {"run": attempt.run})


async def fail_for_our_fault(store: Store, district: int, run: int, where: str) -> None:
    """End a run that met an error nobody foresaw; what is published stays."""
    async with store.transaction(district) as c:
        await c.execute(
            text(
                "UPDATE run SET state = 'failed', finished_at = now(), error_code = 'internal-error', error = :error, "
                "  exit_code = 1 "
                "WHERE id = :run AND state IN ('queued', 'pulling', 'resolving', 'approved')"
            ),
            {"run": run, "error": f"This is a fault of Planbridge; please report it: {where}"},
        )
        await c.execute(text("DELETE FROM staged WHERE run_id = :run"), {"run": run})


async def pause_connection(store: Store, district: int, run: int, because: str) -> None:
    """Stop the run's connection from being pulled until a person mends it. One that rests for another reason does so
    already, and good credentials do not end that."""
    async with store.transaction(district) as c:
        await c.execute(
            text(
                "UPDATE connection SET paused_because = :because, paused_code = 'credentials' "
                "WHERE id = (SELECT connection_id FROM run WHERE id = :run) "
                "AND coalesce(paused_code, 'credentials') = 'credentials'"
            ),
            {"run": run, "because": because},
        )


async def set_mapping(store: Store, attempt: Attempt, mapping: str) -> None:
    """Remember which mapping version this run maps with: part of every value's provenance."""
    async with store.transaction(attempt.district) as c:
        await c.execute(
            text("UPDATE run SET mapping = :mapping WHERE id = :run AND fence = :fence"),
            {"run": attempt.run, "fence": attempt.fence, "mapping": mapping},
        )


async def summary(c: AsyncConnection, *, run: int | None = None, limit: int = 20) -> list[dict[str, Any]]:
    """Runs, newest first, with counts, open holds and what they read leniently. Of what a program wrote in a day the
    last run stands for all, and `writes` says how many they are."""
    rows = await c.execute(
        text(
            "SELECT r.id, n.name AS connection, r.kind, r.mode, r.state, r.undone_by, "
            "  r.actor, r.mapping, r.created_at, r.started_at, "
            "  r.finished_at, r.publication, r.error_code, r.exit_code, r.error, r.counts, r.unmapped, r.payload_gone, "
            "  r.kind = 'pull' AND coalesce((SELECT bool_or(p.partial) FROM run_page p WHERE p.run_id = r.id), false) "
            "    AS changes_only, "
            f"  CASE WHEN r.kind = 'write' THEN (SELECT count(*) FROM run w WHERE {_SAME_DAY}) END AS writes, "
            "  (SELECT count(*) FROM reject j WHERE j.run_id = r.id) AS rejects, "
            "  (SELECT coalesce(sum(p.rows), 0) FROM run_page p WHERE p.run_id = r.id) AS received, "
            "  (SELECT coalesce(json_agg(json_build_object('code', h.code, 'collection', h.collection, "
            "     'reason', h.reason, 'affected', h.affected, 'known', h.known, 'effect', h.effect, 'state', h.state, "
            "     'decided_by', h.decided_by, 'decided_because', h.decided_because)), '[]') "
            "   FROM hold h WHERE h.run_id = r.id) AS holds "
            "FROM run r JOIN connection n ON n.id = r.connection_id "
            "WHERE r.id = coalesce(CAST(:run AS bigint), r.id) AND (CAST(:run AS bigint) IS NOT NULL "
            f"  OR r.kind <> 'write' OR NOT EXISTS (SELECT FROM run w WHERE {_SAME_DAY} AND w.id > r.id)) "
            "ORDER BY r.id DESC LIMIT :limit"
        ),
        {"run": run, "limit": limit},
    )
    found = [dict(row._mapping) for row in rows]
    lenient = await leniencies.of_runs(c, [one["id"] for one in found])
    return [one | {"leniencies": lenient[one["id"]]} for one in found]


_SAME_DAY = (
    "w.connection_id = r.connection_id AND w.kind = 'write' AND CAST(w.started_at AS date) = CAST(r.started_at AS date)"
)


async def progress(c: AsyncConnection, run: int) -> dict[str, tuple[int, int | None]]:
    """Collection -> rows received so far, and the total the server claims."""
    rows = await c.execute(
        text(
            "SELECT collection, sum(rows) AS rows, max(total) AS total FROM run_page "
            "WHERE run_id = :run GROUP BY collection"
        ),
        {"run": run},
    )
    return {row.collection: (int(row.rows), row.total) for row in rows}
