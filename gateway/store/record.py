"""Running records at rest: each student's entries in one stream, appended and read, never changed."""

import json
import secrets
import uuid
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import groupby
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.errors import Refused
from gateway.schema.record import Body, Entry, body_hash, entry_hash, written
from gateway.store.database import Store
from gateway.store.registers import Actor, log_act

CHUNK = 1_000
_TICK = timedelta(microseconds=1)


@dataclass(frozen=True)
class New:
    """An entry to be appended to the record of `student`, in whose name it is then kept."""

    student: str
    kind: str
    occurred_at: datetime
    body: Body
    domain: str | None = None
    restricted: bool = False
    supersedes: str | None = None
    about: tuple[str | None, str | None, str | None] = (None, None, None)


async def append(c: AsyncConnection, district: int, news: Sequence[New], actor: Actor, at: datetime) -> list[Entry]:
    """Append entries, each to the end of its student's stream, in the caller's transaction. The act is on record there
    by the hashes of what was written. Refused where one supersedes what was superseded meanwhile."""
    made: list[Entry] = []
    # One order everywhere, so that two who write into several streams do not wait for each other.
    ordered = sorted(news, key=lambda new: new.student)
    for first in range(0, len(ordered), CHUNK):
        made += await _append(c, district, ordered[first : first + CHUNK], json.loads(actor.as_json()), at)
    if made:
        told = {"entries": len(made), "hashes": [entry.hash for entry in made[:CHUNK]]}
        await log_act(c, district, actor, "record", made[0].kind if len({e.kind for e in made}) == 1 else "", told)
    return made


async def _append(
    c: AsyncConnection, district: int, news: Sequence[New], actor: dict[str, Any], at: datetime
) -> list[Entry]:
    heads = await _locked(c, district, sorted({new.student for new in news}))
    made = []
    for new in news:
        seq, before, last = heads[new.student]
        body, salt = written(new.body), secrets.token_hex(16)
        entry = Entry(
            id=str(uuid.uuid4()),
            student=new.student,
            seq=seq + 1,
            kind=new.kind,
            domain=new.domain,
            restricted=new.restricted,
            occurred_at=new.occurred_at,
            # Strictly later than the one before, also where a clock was set back: "as of" has one meaning then.
            recorded_at=at if last is None or at > last else last + _TICK,
            actor=actor,
            supersedes=new.supersedes,
            about=new.about,
            body=body,
            salt=salt,
            body_sha256=body_hash(body, salt),
            prev_hash=before,
            hash="",
        )
        entry = replace(entry, hash=entry_hash(entry))
        heads[new.student] = (entry.seq, entry.hash, entry.recorded_at)
        made.append(entry)
    await _refuse_superseded(c, [entry.supersedes for entry in made if entry.supersedes])
    await c.execute(text(_INSERT), {"district": district, "rows": json.dumps([_row(entry) for entry in made])})
    moved = [(student, seq, hash, at and at.isoformat()) for student, (seq, hash, at) in heads.items()]
    await c.execute(text(_MOVE), {"district": district, "rows": json.dumps(moved)})
    return made


async def _locked(
    c: AsyncConnection, district: int, students: Sequence[str]
) -> dict[str, tuple[int, str, datetime | None]]:
    """The ends of these streams, nobody else's until the transaction ends."""
    rows = await c.execute(
        text(
            "INSERT INTO record_stream AS s (district_id, student_id) SELECT :district, one FROM "
            "unnest(CAST(:students AS uuid[])) one ORDER BY one "
            "ON CONFLICT (district_id, student_id) DO UPDATE SET seq = s.seq "
            "RETURNING CAST(s.student_id AS text), s.seq, s.hash, s.recorded_at"
        ),
        {"district": district, "students": list(students)},
    )
    return {row[0]: (row[1], row[2], row[3]) for row in rows}


async def _refuse_superseded(c: AsyncConnection, ids: Sequence[str]) -> None:
    if not ids:
        return
    done = await c.scalar(
        text("SELECT count(*) FROM record_entry WHERE supersedes = ANY(CAST(:ids AS uuid[]))"), {"ids": list(ids)}
    )
    if done or len(set(ids)) < len(ids):
        raise Refused(
            "record-superseded",
            "That entry was corrected already.",
            "Read the record again and correct the entry that stands.",
        )


def _row(entry: Entry) -> list[Any]:
    return [
        entry.id, entry.student, entry.seq, entry.kind, entry.domain, entry.restricted,
        entry.occurred_at.isoformat(), entry.recorded_at.isoformat(), entry.actor, entry.supersedes, *entry.about,
        entry.body, entry.salt, entry.body_sha256, entry.prev_hash, entry.hash,
    ]  # fmt: skip


_INSERT = """
    INSERT INTO record_entry (district_id, id, student_id, seq, kind, domain, restricted, occurred_at, recorded_at,
        actor, supersedes, plan_id, item, result_id, body, salt, body_sha256, prev_hash, hash)
    SELECT :district, CAST(j->>0 AS uuid), CAST(j->>1 AS uuid), CAST(j->>2 AS int), j->>3, j->>4,
        CAST(j->>5 AS boolean), CAST(j->>6 AS timestamptz), CAST(j->>7 AS timestamptz), j->8, CAST(j->>9 AS uuid),
        CAST(j->>10 AS uuid), j->>11, CAST(j->>12 AS uuid), j->>13, j->>14, j->>15, j->>16, j->>17
    FROM json_array_elements(CAST(:rows AS json)) j
"""
_MOVE = """
    UPDATE record_stream s SET seq = CAST(j->>1 AS int), hash = j->>2, recorded_at = CAST(j->>3 AS timestamptz)
    FROM json_array_elements(CAST(:rows AS json)) j
    WHERE s.district_id = :district AND s.student_id = CAST(j->>0 AS uuid)
"""

_ENTRY = (
    "SELECT CAST(e.id AS text), CAST(e.student_id AS text), e.seq, e.kind, e.domain, e.restricted, e.occurred_at, "
    "e.recorded_at, e.actor, CAST(e.supersedes AS text), CAST(e.plan_id AS text) AS plan, e.item, "
    "CAST(e.result_id AS text) AS result, e.body, e.salt, e.body_sha256, e.prev_hash, e.hash FROM record_entry e "
)
# Whoever was merged into the student has a stream of their own, which is read with theirs.
_THEIRS = (
    "e.student_id = ANY(ARRAY(SELECT planbridge_survivor(CAST(:student AS uuid)) UNION ALL "
    "SELECT d.entity_id FROM identity_decision d WHERE d.act = 'merge' AND d.undone_by IS NULL "
    "AND planbridge_survivor(d.entity_id) = planbridge_survivor(CAST(:student AS uuid))))"
)


def _entry(row: Any) -> Entry:
    values = tuple(row)
    return Entry(*(*values[:10], values[10:13], *values[13:]))


async def entries(c: AsyncConnection, student: str, until: datetime | None = None) -> list[Entry]:
    """A student's record in the order in which it was written, all of it or what was recorded by a moment."""
    rows = await c.execute(
        text(
            f"{_ENTRY} WHERE {_THEIRS} AND e.recorded_at <= coalesce(CAST(:until AS timestamptz), 'infinity') "
            "ORDER BY e.recorded_at, e.student_id, e.seq"
        ),
        {"student": student, "until": until},
    )
    return [_entry(row) for row in rows]


async def entry(c: AsyncConnection, student: str, which: str) -> Entry | None:
    """The entry of that id or number; of a number that two streams have, the one of the newer stream."""
    rows = await c.execute(
        text(
            f"{_ENTRY} WHERE {_THEIRS} AND (CAST(e.id AS text) = :which OR CAST(e.seq AS text) = :which) "
            "ORDER BY e.recorded_at DESC, e.student_id DESC, e.seq DESC LIMIT 1"
        ),
        {"student": student, "which": which.lower()},
    )
    found = rows.first()
    return _entry(found) if found else None


async def about(c: AsyncConnection, *, plan: str | None = None, results: Iterable[str] = ()) -> list[Entry]:
    """Entries about a plan's supports and goals, or about results, in the order in which they were written."""
    rows = await c.execute(
        text(
            f"{_ENTRY} WHERE (e.plan_id = CAST(:plan AS uuid) OR e.result_id = ANY(CAST(:results AS uuid[]))) "
            "ORDER BY e.recorded_at, e.student_id, e.seq"
        ),
        {"plan": plan, "results": list(results)},
    )
    return [_entry(row) for row in rows]


async def student(c: AsyncConnection, id: str) -> str | None:
    """The id under which the roster has a student today; None where it has none."""
    found = await c.scalar(
        text(
            "SELECT CAST(id AS text) FROM entity WHERE kind = 'person' AND doc->>'population' = 'student' "
            "AND id = (SELECT planbridge_survivor(CAST(:id AS uuid)))"
        ),
        {"id": id},
    )
    return None if found is None else str(found)


async def survivor(c: AsyncConnection, student: str) -> str:
    """The id under which a student is known today."""
    return str(await c.scalar(text("SELECT CAST(planbridge_survivor(CAST(:id AS uuid)) AS text)"), {"id": student}))


async def heads(c: AsyncConnection, student: str | None = None) -> Mapping[str, tuple[int, str]]:
    """Stream -> number and hash of its last entry, as they are kept apart from the entries."""
    rows = await c.execute(
        text(
            "SELECT CAST(e.student_id AS text), e.seq, e.hash FROM record_stream e "
            f"WHERE CAST(:student AS uuid) IS NULL OR {_THEIRS} ORDER BY 1"
        ),
        {"student": student},
    )
    return {row[0]: (row[1], row[2]) for row in rows}


async def streams(c: AsyncConnection, students: Sequence[str]) -> AsyncIterator[tuple[str, list[Entry]]]:
    """The streams of these ids, each in order, as they stand in the table."""
    for first in range(0, len(students), CHUNK):
        rows = await c.execute(
            text(f"{_ENTRY} WHERE e.student_id = ANY(CAST(:students AS uuid[])) ORDER BY e.student_id, e.seq"),
            {"students": list(students[first : first + CHUNK])},
        )
        for student, theirs in groupby(map(_entry, rows), key=lambda entry: entry.student):
            yield student, list(theirs)


async def forget(store: Store, district: int, ids: Sequence[str], actor: Actor, because: str) -> int:
    """Remove for good what these entries say; who wrote when that there was something stays, and so does the chain.
    As the owner: nobody else may. Returns of how many there was something to remove."""
    if not because.strip():
        raise Refused("reason-missing", "Removing what an entry says needs a reason.", "Give --because.")
    async with store.owner.begin() as c:
        done = await c.execute(
            text(
                "UPDATE record_entry SET body = NULL, salt = NULL WHERE district_id = :district "
                "AND id = ANY(CAST(:ids AS uuid[])) AND body IS NOT NULL RETURNING hash"
            ),
            {"district": district, "ids": list(ids)},
        )
        hashes = list(done.scalars())
        if hashes:
            await log_act(c, district, actor, "record-forget", "", {"because": because, "hashes": hashes})
    return len(hashes)
