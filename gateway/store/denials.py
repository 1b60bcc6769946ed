"""What a family forbade, which no restored backup forgets: opt-outs of the directory, consents that forbid."""

import json
from collections.abc import Iterable
from datetime import date

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway import clock
from gateway.store import standing
from gateway.store.database import Store
from gateway.store.marks import Marks
from gateway.store.purge_file import Stood, StoodDown
from gateway.store.registers import Actor

OPT_OUT = "directory-opt-out"
DENIAL = "consent-denied"
US = Actor("Planbridge", "system")
SAID_BEFORE = "said before the database was restored"
UNTOLD = f"organization:somebody, {SAID_BEFORE}"
"""Whom a denial names when a restored database knows nobody by that name: it stands in the list of consents."""


async def opted_out(store: Store, c: AsyncConnection, district: int, student: str, actor: Actor) -> None:
    """In the transaction that keeps a family's word against directory information: so it holds after a restore too."""
    await standing.stand(store, c, district, OPT_OUT, (OPT_OUT, student), "", actor, log=False)


async def opted_in(store: Store, c: AsyncConnection, student: str, actor: Actor) -> None:
    """In the transaction in which they take it back."""
    await _end(store, c, OPT_OUT, [(OPT_OUT, one) for one in (await standing.former(c, [student]))[student]], actor)


async def denied(store: Store, c: AsyncConnection, district: int, consent: int, actor: Actor) -> None:
    """In the transaction that records a consent which forbids. The file names sections, days and a purpose, nobody."""
    row = (await c.execute(text(f"{_DENIAL} WHERE id = :id"), {"id": consent})).one()
    said = " ".join((str(row.from_on), str(row.until_on), row.capacity, row.purpose, *sorted(row.sections)))
    marked = ((DENIAL, row.student), (DENIAL, row.student, row.recipient))
    await standing.stand(store, c, district, DENIAL, marked[0], said, actor, marked[1], log=False)


async def allowed(store: Store, c: AsyncConnection, consent: int, actor: Actor) -> None:
    """In the transaction that revokes a consent; one that permits leaves nothing here."""
    row = (await c.execute(text(f"{_DENIAL} WHERE id = :id"), {"id": consent})).one()
    if not row.permit:
        theirs = (await standing.former(c, [row.student]))[row.student]
        await _end(store, c, DENIAL, [(DENIAL, one, row.recipient) for one in theirs], actor, at_most=1)


_DENIAL = (
    "SELECT CAST(student_id AS text) AS student, lower(recipient) AS recipient, capacity, purpose, sections, permit, "
    "from_on, until_on FROM consent"
)


async def _end(
    store: Store, c: AsyncConnection, kind: str, parts: Iterable[tuple[str, ...]], actor: Actor, at_most: int = 1_000
) -> None:
    marks = {mark for one in parts for mark in store.marks.every(*one)}
    rows = await c.execute(
        text("SELECT CAST(id AS text) AS id, subject FROM standing WHERE kind = :kind AND ended IS NULL ORDER BY at"),
        {"kind": kind},
    )
    ids = [row.id for row in rows.all() if marks.intersection(row.subject)]
    lines = [StoodDown(id, clock.now(), "", json.loads(actor.as_json())) for id in ids[:at_most]]
    for line in lines:
        await standing.end(c, line)
    store.purges.append(lines)


# --- after a restore -----------------------------------------------------------------------------------------


async def again(store: Store, c: AsyncConnection, district: int, line: Stood | StoodDown) -> None:
    """What a line of the file that a restored database did not know says of it. A student who comes with the next pull
    only is seen to by `place`."""
    if isinstance(line, Stood):
        if line.kind in (OPT_OUT, DENIAL):
            await c.execute(text("UPDATE standing SET placed = false WHERE CAST(id AS text) = :id"), {"id": line.id})
            await place(store, c, district)
        return
    row = (
        await c.execute(
            text("SELECT kind, subject, because FROM standing WHERE CAST(id AS text) = :id"), {"id": line.id}
        )
    ).one()
    student = await _student(c, store.marks, district, row.kind, row.subject)
    if student is not None and row.kind == OPT_OUT:
        await c.execute(
            text(
                "UPDATE directory_opt_out SET withdrawn_at = :at WHERE withdrawn_at IS NULL "
                "AND district_id = :district AND student_id = CAST(:student AS uuid)"
            ),
            {"at": line.at, "district": district, "student": student},
        )
    elif student is not None and row.kind == DENIAL:
        recipient = await _recipient(c, store.marks, district, student, row.subject)
        await c.execute(
            text(
                "UPDATE consent SET revoked_at = :at, revoked_because = :because WHERE id = (SELECT min(id) FROM "
                "consent WHERE revoked_at IS NULL AND NOT permit AND district_id = :district "
                "AND student_id = CAST(:student AS uuid) AND lower(recipient) = :recipient)"
            ),
            {
                "at": line.at,
                "because": "It was revoked before the database was restored.",
                "district": district,
                "student": student,
                "recipient": recipient.lower(),
            },
        )


async def place(store: Store, c: AsyncConnection, district: int) -> None:
    """Let what a restored database was told of hold for students who are there by now."""
    rows = await c.execute(
        text(
            "SELECT CAST(id AS text) AS id, kind, subject, because FROM standing "
            "WHERE district_id = :district AND NOT placed AND ended IS NULL ORDER BY at"
        ),
        {"district": district},
    )
    for row in rows.all():
        student = await _student(c, store.marks, district, row.kind, row.subject)
        if student is None:
            continue
        if row.kind == OPT_OUT:
            await _opt_out(c, district, student)
        else:
            recipient = await _recipient(c, store.marks, district, student, row.subject)
            await _deny(c, district, student, recipient, row.because)
        await c.execute(text("UPDATE standing SET placed = true WHERE CAST(id AS text) = :id"), {"id": row.id})


async def _opt_out(c: AsyncConnection, district: int, student: str) -> None:
    await c.execute(
        text(
            "INSERT INTO directory_opt_out (district_id, student_id, said_by, actor) SELECT :district, "
            "CAST(:student AS uuid), :by, CAST(:actor AS json) WHERE NOT EXISTS (SELECT FROM directory_opt_out "
            "WHERE student_id = CAST(:student AS uuid) AND withdrawn_at IS NULL)"
        ),
        {"district": district, "student": student, "by": SAID_BEFORE, "actor": US.as_json()},
    )


async def _deny(c: AsyncConnection, district: int, student: str, recipient: str, said: str) -> None:
    begin, until, capacity, purpose, *sections = said.split(" ")
    await c.execute(
        text(
            "INSERT INTO consent (district_id, student_id, grantor, capacity, recipient, sections, purpose, permit, "
            "  from_on, until_on, evidence, actor) VALUES (:district, CAST(:student AS uuid), :by, :capacity, "
            "  :recipient, CAST(:sections AS json), :purpose, false, :begin, :until, '', CAST(:actor AS json))"
        ),
        {
            "district": district,
            "student": student,
            "by": SAID_BEFORE,
            "capacity": capacity,
            "recipient": recipient,
            "sections": json.dumps(sections),
            "purpose": purpose,
            "begin": date.fromisoformat(begin),
            "until": date.fromisoformat(until),
            "actor": US.as_json(),
        },
    )


async def _student(c: AsyncConnection, marks: Marks, district: int, kind: str, subject: Iterable[str]) -> str | None:
    """The student whom marks mean, if anything is kept of them."""
    if kind not in (OPT_OUT, DENIAL):
        return None
    meant = set(subject)
    people = await standing.students(c, district)
    return next((id for id in people if meant.intersection(marks.every(kind, id))), None)


async def _recipient(c: AsyncConnection, marks: Marks, district: int, student: str, subject: Iterable[str]) -> str:
    meant = set(subject)
    rows = await c.execute(
        text(
            "SELECT recipient FROM consent WHERE district_id = :d "
            "UNION SELECT 'program:' || id FROM client WHERE district_id = :d "
            "UNION SELECT 'program:' || name FROM client WHERE district_id = :d "
            "UNION SELECT 'destination:' || name FROM connection WHERE district_id = :d "
            "UNION SELECT 'person:' || CAST(id AS text) FROM entity WHERE district_id = :d AND kind = 'person' "
            "UNION SELECT 'organization:' || (doc->>'name') FROM entity WHERE district_id = :d "
            "  AND kind = 'organization'"
        ),
        {"d": district},
    )
    named = (one for one in rows.scalars() if one and meant.intersection(marks.every(DENIAL, student, one.lower())))
    return next(named, UNTOLD)
