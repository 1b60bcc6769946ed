"""Purges: a student leaves for good, with a proof that names nobody, and no restored backup brings them back."""

import json
import re
import uuid
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import msgspec
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway import clock
from gateway.errors import ConfigError, Refused
from gateway.store import gathering, legal, marks, standing, traces
from gateway.store.database import Store
from gateway.store.erasure import Erased, erase
from gateway.store.gathering import Key
from gateway.store.purge_file import Lifted, Purged
from gateway.store.registers import Actor, log_act
from gateway.store.traces import Remote


@dataclass(frozen=True)
class Purge:
    """What a purge removes, or removed: rows per table, the keys that are never taken in again, what other systems
    still have, and plans of other students that mention the student by name. Only for the eyes of who purges."""

    id: str
    counts: dict[str, int]
    keys: Sequence[Key]
    remote: Sequence[Remote]
    mentions: Sequence[str]
    erased: Erased | None = None

    def as_document(self) -> dict[str, Any]:
        return asdict(self) | {"erased": self.erased.value if self.erased else None}


async def preview(store: Store, district: int, student: str) -> Purge:
    """What a purge of this student would remove; nothing is changed."""
    async with store.owner.connect() as c:  # no commit: what is gathered goes with the transaction
        return await _gathered(store, c, district, student)


async def purge_student(store: Store, district: int, student: str, actor: Actor, because: str) -> Purge:
    """Remove a student from everything we keep, for good.

    One transaction removes it, looks that nothing is left, and leaves the proof; the file of purges is written
    before it commits. Afterwards the database's files are written anew. Refused without a reason, or with one that
    says who it is, and while a plan of the student is being sent.
    """
    if not because.strip():
        raise Refused("reason-missing", "A purge needs a reason.", "Give --because.")
    async with store.owner.begin() as c:
        found = await _gathered(store, c, district, student)
        if await traces.under_way(c):
            raise Refused("delivery-under-way", "A plan of this student is being sent.", "Wait for its end.")
        await legal.refuse(c, district, student)
        await standing.ask_no_more(store, c, district, student, actor)
        await _refuse_telling_reason(c, district, because)
        purged = await _described(store, c, district, student, found, actor, because)
        sealed = await traces.let_go(c, district, purged.id)
        swept = await traces.sweep(c, district)
        await keep(c, district, purged)
        told = {"because": because, "rows": swept, "sealed": sealed}
        await log_act(c, district, actor, "purge-student", purged.id, told)
        store.purges.append([purged])
    return replace(found, id=purged.id, erased=await finish(store, [purged.id]))


async def _gathered(store: Store, c: AsyncConnection, district: int, student: str) -> Purge:
    id = await _student(c, district, student)
    await gathering.begin(c, district)
    await gathering.note_person(c, id)
    await gathering.gather(c, district, store.secrets.open)
    texts = [" ".join(name) for name in await gathering.names(c, district)] + await gathering.words(c)
    return Purge(
        "",
        await traces.count(c, district),
        await gathering.keys(c),
        await traces.remote(c),
        await traces.mentions(c, district, texts),
    )


async def _student(c: AsyncConnection, district: int, id: str) -> str:
    """The id, once it is sure that it is or was a student's. ConfigError when it is nobody's."""
    row = None
    if re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", id.lower()):
        row = (
            await c.execute(
                text(
                    "SELECT CAST(l.entity_id AS text) AS id, e.doc->>'population' AS population FROM link l "
                    "LEFT JOIN entity e ON e.id = l.entity_id AND e.kind = l.kind AND e.district_id = l.district_id "
                    "WHERE l.district_id = :district AND l.kind = 'person' "
                    "AND l.entity_id = planbridge_survivor(CAST(:id AS uuid)) LIMIT 1"
                ),
                {"district": district, "id": id},
            )
        ).one_or_none()
    if row is None:
        raise ConfigError("student-unknown", "There is no such student.", "`planbridge students` shows their ids.")
    if row.population not in (None, "student"):
        raise Refused("not-a-student", "This is not a student's id.", "Staff and family leave with their source.")
    return str(row.id)


async def _refuse_telling_reason(c: AsyncConnection, district: int, because: str) -> None:
    """The reason is kept for good."""
    told = {part for name in await gathering.names(c, district) for part in name} | set(await gathering.words(c))
    if any(re.search(rf"(?<!\w){re.escape(said)}(?!\w)", because, re.IGNORECASE) for said in told):
        raise Refused(
            "reason-names-student",
            "The reason says who it is, and it is kept for good.",
            "Say why without a name or a number; a case number of your own is fine.",
        )


async def _described(
    store: Store, c: AsyncConnection, district: int, student: str, found: Purge, actor: Actor, because: str
) -> Purged:
    """The proof, and the marks by which the student is recognised again."""
    own = [key for key in found.keys if not key.contact]
    numbers = await gathering.numbers(c)
    kept = [(key.connection, marks.person(key.key)) for key in own]
    kept += [(key.connection, marks.contact(key.key)) for key in found.keys if key.contact]
    kept += [(n, marks.record(collection, key)) for n, collection, key in await gathering.own_records(c, district)]
    former = await gathering.former(c, district)
    kept = [(name, parts) for connection, parts in kept for name in former[connection]]
    kept += [("", marks.number(number)) for number in numbers]
    kept += [("", marks.word(word)) for word in {*numbers, *(key.key for key in own)} if marks.telling(word)]
    name = await c.scalar(text("SELECT name FROM district WHERE id = :id"), {"id": district})
    return Purged(
        id=str(uuid.uuid4()),
        at=clock.now(),
        what="student",
        district=str(name),
        subject=store.marks.new("entity", student.lower()),
        marks=[(connection, store.marks.new(*parts)) for connection, parts in kept],
        counts=found.counts,
        remote=dict(Counter(f"{one.connection}/{one.resource}" for one in found.remote if not one.shared)),
        because=because,
        actor=json.loads(actor.as_json()),
    )


async def keep(c: AsyncConnection, district: int, purged: Purged) -> None:
    """Write down the proof and the marks."""
    await c.execute(
        text(
            "INSERT INTO purge (id, district_id, district, what, subject, counts, remote, because, actor, at) "
            "VALUES (CAST(:id AS uuid), :district_id, :district, :what, :subject, CAST(:counts AS json), "
            "  CAST(:remote AS json), :because, CAST(:actor AS json), :at)"
        ),
        {
            "id": purged.id,
            "district_id": district,
            "district": purged.district,
            "what": purged.what,
            "subject": purged.subject,
            "counts": json.dumps(purged.counts),
            "remote": json.dumps(purged.remote),
            "because": purged.because,
            "actor": json.dumps(purged.actor),
            "at": purged.at,
        },
    )
    await c.execute(
        text(
            "INSERT INTO purged_mark (district_id, mark, connection, purge_id) "
            "SELECT :district, j->>1, j->>0, CAST(:id AS uuid) FROM json_array_elements(CAST(:marks AS json)) j "
            "ON CONFLICT DO NOTHING"
        ),
        {"district": district, "id": purged.id, "marks": json.dumps(purged.marks)},
    )


async def finish(store: Store, purges: Sequence[str]) -> Erased:
    """See to it that nothing of these purges is left in the files either."""
    done = await erase(store)
    if done is not Erased.NOT_YET:
        async with store.owner.begin() as c:
            await c.execute(
                text("UPDATE purge SET erased_at = now() WHERE id = ANY(CAST(:ids AS uuid[]))"), {"ids": list(purges)}
            )
    return done


async def erase_rest(store: Store) -> Erased:
    """Try again where tables were too busy to be written anew right after a purge."""
    async with store.owner.begin() as c:
        rows = await c.execute(text("SELECT CAST(id AS text) FROM purge WHERE erased_at IS NULL"))
        waiting = list(rows.scalars())
    return await finish(store, waiting) if waiting else Erased.WHOLLY


async def inherit(c: AsyncConnection, district: int, successor: str, predecessor: str) -> None:
    """A connection that takes the place of another one takes in nobody who was purged from it."""
    await c.execute(
        text(
            "INSERT INTO purged_mark (district_id, mark, connection, purge_id) "
            "SELECT district_id, mark, :successor, purge_id FROM purged_mark "
            "WHERE district_id = :district AND connection = :predecessor ON CONFLICT DO NOTHING"
        ),
        {"district": district, "successor": successor, "predecessor": predecessor},
    )


async def lift(store: Store, district: int, purge: str, actor: Actor, because: str) -> None:
    """Let a purged student be pulled again, who came back; what was removed stays removed."""
    if not because.strip():
        raise Refused("reason-missing", "To lift a purge needs a reason.", "Give --because.")
    async with store.owner.begin() as c:
        lifted = Lifted(purge.lower(), clock.now(), because, json.loads(actor.as_json()))
        if not await end(c, lifted, district):
            raise ConfigError(
                "purge-unknown", "There is no such purge in force.", "`planbridge purge list` shows them."
            )
        await log_act(c, district, actor, "purge-lift", lifted.id, {"because": because})
        store.purges.append([lifted])


async def end(c: AsyncConnection, lifted: Lifted, district: int | None = None) -> bool:
    """Forget the marks of a student's purge; False when there is none in force."""
    found = await c.scalar(
        text(
            "UPDATE purge SET lifted = CAST(:lifted AS json) WHERE CAST(id AS text) = :id AND lifted IS NULL "
            "AND what = 'student' AND district_id = coalesce(CAST(:district AS int), district_id) RETURNING id"
        ),
        {"id": lifted.id, "district": district, "lifted": msgspec.json.encode(lifted).decode()},
    )
    await c.execute(text("DELETE FROM purged_mark WHERE purge_id = :id"), {"id": found})
    # Who may be known again comes with the next pull only if that asks for more than what changed.
    await c.execute(
        text("DELETE FROM watermark WHERE district_id = (SELECT district_id FROM purge WHERE id = :id)"), {"id": found}
    )
    return found is not None


async def listed(store: Store, district: int, student: str | None = None) -> list[dict[str, Any]]:
    """The district's purges, or those of one entity id, the newest first: what, when, by whom and why, rows per
    table, what other systems still had."""
    subjects = None if student is None else list(store.marks.every("entity", student.lower()))
    async with store.transaction(district) as c:
        rows = await c.execute(
            text(
                "SELECT CAST(id AS text) AS id, at, what, actor, because, counts, remote, erased_at, lifted "
                "FROM purge WHERE CAST(:subjects AS text[]) IS NULL OR subject = ANY(:subjects) ORDER BY at DESC"
            ),
            {"subjects": subjects},
        )
        return [dict(row._mapping) for row in rows]
