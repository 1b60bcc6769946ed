"""What stands whatever is restored: restrictions, ended agreements, revoked consents, legal holds, who was shut out.

Each is a row here and a line in the file of purges, and both name whom or what they are about by keyed hashes only. So
a restriction holds also for a student who comes with the next pull only, and nothing of it tells of a purged one.
"""

import json
import uuid
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

import msgspec
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway import clock
from gateway.errors import ConfigError, Refused
from gateway.store import served
from gateway.store.database import Store
from gateway.store.marks import Parts
from gateway.store.purge_file import Stood, StoodDown
from gateway.store.registers import Actor, log_act

RESTRICTION = "restriction"
ENDED_AGREEMENT = "agreement-ended"
REVOKED_CONSENT = "consent-revoked"
ENDED_VENDOR = "vendor-agreement-ended"
LEGAL_HOLD = "legal-hold"
REVOKED_CLIENT = "client-revoked"
SUSPENDED_ACCOUNT = "account-suspended"
RESET_ACCOUNT = "account-reset"
REQUEST = "amendment-asked"
HELD_AGAIN = "It was placed before the database was restored; why is in the file of the case."


@dataclass(frozen=True)
class Ended:
    """What was ended here and is in force again in a restored database: which rows of a table that may be, by what
    they are marked, and what ends one."""

    table: str
    candidates: str
    end: str


ENDED = {
    ENDED_AGREEMENT: Ended(
        "agreement",
        "SELECT a.id, n.name, a.agency, a.reference, CAST(a.from_on AS text), CAST(a.until_on AS text) "
        "FROM agreement a JOIN connection n ON n.id = a.connection_id WHERE a.district_id = :district AND {}",
        "UPDATE agreement SET ended_at = :at, ended_because = :because WHERE id = :id AND ended_at IS NULL",
    ),
    REVOKED_CONSENT: Ended(
        "consent",
        "SELECT a.id, CAST(a.id AS text), CAST(extract(epoch FROM a.at) AS text) FROM consent a "
        "WHERE a.district_id = :district AND {}",
        "UPDATE consent SET revoked_at = :at, revoked_because = :because WHERE id = :id AND revoked_at IS NULL",
    ),
    ENDED_VENDOR: Ended(
        "vendor_agreement",
        "SELECT a.id, a.client_id, CAST(extract(epoch FROM a.at) AS text) FROM vendor_agreement a "
        "WHERE a.district_id = :district AND {}",
        "UPDATE vendor_agreement SET ended_at = :at, ended_because = :because WHERE id = :id AND ended_at IS NULL",
    ),
    REVOKED_CLIENT: Ended(
        "client",
        "SELECT a.id, a.id FROM client a WHERE a.district_id = :district AND {}",
        "WITH t AS (UPDATE api_token SET revoked_at = :at WHERE client_id = :id AND revoked_at IS NULL) "
        "UPDATE client SET revoked_at = :at WHERE id = :id AND revoked_at IS NULL",
    ),
    SUSPENDED_ACCOUNT: Ended(
        "account",
        "SELECT a.id, a.name FROM account a WHERE a.district_id = :district AND {}",
        "UPDATE account SET suspended_at = :at WHERE id = :id AND suspended_at IS NULL",
    ),
    RESET_ACCOUNT: Ended(
        "account",
        "SELECT a.id, a.name FROM account a WHERE a.district_id = :district AND {}",
        "UPDATE account SET password_hash = NULL, totp = NULL WHERE id = :id",
    ),
}


async def restrict(store: Store, district: int, student: str, contact: str, because: str, actor: Actor) -> str:
    """Keep a family member from a student's plans by the district's own word, which no source lifts; returns its id.
    Refused without a reason, with one that says who it is, and where it stands already."""
    if not because.strip():
        raise Refused("reason-missing", "A restriction needs a reason.", "Give --because: the court order's reference.")
    async with store.transaction(district) as c:
        await _refuse_names(c, (student, contact), because)
        if await restricted(store, c, student, [contact]):
            raise Refused("already-restricted", "This restriction stands already.", "`planbridge family restrictions`")
        await served.look_anew(c)
        return await stand(store, c, district, RESTRICTION, ("restriction", student, contact), because, actor)


async def lift(store: Store, district: int, student: str, contact: str, because: str, actor: Actor) -> None:
    """End a restriction of the district's; what the sources say holds again. A restored backup does not bring it
    back."""
    if not because.strip():
        raise Refused("reason-missing", "To lift a restriction needs a reason.", "Give --because.")
    async with store.transaction(district) as c:
        await _refuse_names(c, (student, contact), because)
        found = await restricted(store, c, student, [contact])
        if not found:
            raise ConfigError(
                "restriction-unknown",
                "There is no such restriction of the district's.",
                "`planbridge family restrictions` lists them; what a source says is corrected there.",
            )
        await served.look_anew(c)
        for id in found[contact]:
            line = StoodDown(id, clock.now(), because.strip(), json.loads(actor.as_json()))
            await end(c, line)
            await log_act(c, district, actor, f"{RESTRICTION}-lifted", id, {"because": because.strip()})
            store.purges.append([line])


async def _refuse_names(c: AsyncConnection, people: Sequence[str], because: str) -> None:
    """The reason is kept for good, outside the database too."""
    rows = await c.execute(
        text(
            "SELECT n.said FROM entity e CROSS JOIN LATERAL (VALUES (e.doc->>'given_name'), (e.doc->>'family_name')) "
            "n (said) WHERE e.kind = 'person' AND CAST(e.id AS text) = ANY(:people) AND n.said <> ''"
        ),
        {"people": list(people)},
    )
    words = set(because.lower().replace(",", " ").replace(".", " ").split())
    if any(set(str(said).lower().split()) & words for said in rows.scalars()):
        raise Refused(
            "reason-names-student",
            "The reason says who it is, and it is kept for good.",
            "Say why without a name or a number; a case number of your own is fine.",
        )


async def restricted(store: Store, c: AsyncConnection, student: str, contacts: Iterable[str]) -> dict[str, list[str]]:
    """Of these family members those whom the district keeps from the student -> the ids of the restrictions."""
    return (await restricted_among(store, c, {student: list(contacts)}))[student]


async def restricted_among(
    store: Store, c: AsyncConnection, named: Mapping[str, Collection[str]]
) -> dict[str, dict[str, list[str]]]:
    """The same of many: student -> people, each student with those of them who are kept away."""
    rows = await c.execute(
        text("SELECT CAST(id AS text) AS id, subject FROM standing WHERE kind = :kind AND ended IS NULL"),
        {"kind": RESTRICTION},
    )
    standing = {mark: row.id for row in rows for mark in row.subject}
    if not standing:
        return {student: {} for student in named}
    ids_of = await former(c, {*named, *(person for people in named.values() for person in people)})

    def between(student: str, person: str) -> list[str]:
        marks = (
            mark
            for whose in ids_of[student]
            for who in ids_of[person]
            for mark in store.marks.every(RESTRICTION, whose, who)
        )
        return [standing[mark] for mark in marks if mark in standing]

    return {
        student: {person: ids for person in people if (ids := between(student, person))}
        for student, people in named.items()
    }


async def former(c: AsyncConnection, people: Iterable[str]) -> dict[str, set[str]]:
    """Person -> every id that denotes them today, merged ones too."""
    asked = {one.lower(): one for one in people}
    found = {one: {one.lower()} for one in asked.values()}
    rows = await c.execute(
        text(
            "WITH RECURSIVE f (asked, id) AS ("
            "  SELECT CAST(a AS text), planbridge_survivor(CAST(a AS uuid)) FROM unnest(CAST(:people AS text[])) a "
            "  UNION SELECT f.asked, d.entity_id FROM f JOIN identity_decision d ON d.other_id = f.id "
            "  WHERE d.act = 'merge' AND d.undone_by IS NULL) SELECT asked, CAST(id AS text) AS id FROM f"
        ),
        {"people": list(asked)},
    )
    for row in rows:
        found[asked[row.asked]].add(row.id)
    return found


async def restrictions(store: Store, district: int, student: str | None = None) -> list[dict[str, Any]]:
    """Every restriction of the district's that stands, or one student's, with whom it is about as far as the roster
    has them."""
    async with store.transaction(district) as c:
        pairs = await c.execute(
            text(
                "SELECT doc->>'student' AS student, doc->>'contact' AS contact FROM entity WHERE kind = 'relationship' "
                "AND (CAST(:student AS text) IS NULL OR doc->>'student' = :student)"
            ),
            {"student": student},
        )
        by_student: dict[str, list[str]] = {}
        for pair in pairs:
            by_student.setdefault(pair.student, []).append(pair.contact)
        known: dict[str, dict[str, str | None]] = {}
        for one, contacts in by_student.items():
            for contact, ids in (await restricted(store, c, one, contacts)).items():
                known |= {id: {"student": one, "contact": contact} for id in ids}
        rows = await c.execute(
            text(
                "SELECT CAST(id AS text) AS id, because, actor, at FROM standing WHERE kind = :kind AND ended IS NULL "
                "ORDER BY at"
            ),
            {"kind": RESTRICTION},
        )
        nobody: dict[str, str | None] = {"student": None, "contact": None}
        return [dict(row._mapping) | known.get(row.id, nobody) for row in rows if student is None or row.id in known]


async def note_ended(
    store: Store, c: AsyncConnection, district: int, kind: str, id: int | str, because: str, actor: Actor
) -> None:
    """In the transaction that ends one of ENDED: so it stays in a restored database too."""
    row = (await c.execute(text(ENDED[kind].candidates.format("a.id = :id")), {"district": district, "id": id})).one()
    await stand(store, c, district, kind, (kind, *row[1:]), because, actor, log=False)


async def stand(
    store: Store,
    c: AsyncConnection,
    district: int,
    kind: str,
    about: Parts,
    because: str,
    actor: Actor,
    *more: Parts,
    log: bool = True,
    id: str | None = None,
) -> str:
    """Keep it here and, before this is committed, in the file; returns its id. `more`: what else it is marked by;
    `log`: it is an act of its own."""
    name = await c.scalar(text("SELECT name FROM district WHERE id = :id"), {"id": district})
    marks = [store.marks.new(*parts) for parts in (about, *more)]
    line = Stood(
        id or str(uuid.uuid4()), clock.now(), kind, str(name), marks, because.strip(), json.loads(actor.as_json())
    )
    await _keep(c, district, line)
    if log:
        await log_act(c, district, actor, kind, line.id, {"because": because.strip()})
    store.purges.append([line])
    return line.id


async def _keep(c: AsyncConnection, district: int, line: Stood) -> None:
    await c.execute(
        text(
            "INSERT INTO standing (id, district_id, kind, subject, because, actor, at) VALUES (CAST(:id AS uuid), "
            "  :district, :kind, :subject, :because, CAST(:actor AS json), :at)"
        ),
        {
            "id": line.id,
            "district": district,
            "kind": line.kind,
            "subject": line.subject,
            "because": line.because,
            "actor": json.dumps(line.actor),
            "at": line.at,
        },
    )


async def end(c: AsyncConnection, line: StoodDown) -> int | None:
    """It stands no more; returns its district, None where there is nothing to end."""
    found: int | None = await c.scalar(
        text(
            "UPDATE standing SET ended = CAST(:line AS json) WHERE CAST(id AS text) = :id AND ended IS NULL "
            "RETURNING district_id"
        ),
        {"id": line.id, "line": msgspec.json.encode(line).decode()},
    )
    return found


async def known(c: AsyncConnection) -> Mapping[str, bool]:
    """Id -> whether it was ended, of all districts."""
    rows = await c.execute(text("SELECT CAST(id AS text) AS id, ended IS NOT NULL AS ended FROM standing"))
    return {row.id: row.ended for row in rows}


async def again(store: Store, c: AsyncConnection, line: Stood | StoodDown, by: Actor) -> int | None:
    """Let a restored database know what it forgot: it holds before anybody is answered. Returns the district, None
    where there was nothing to tell it."""
    if isinstance(line, StoodDown):
        if (district := await end(c, line)) is not None:
            await _hold_no_more(store, c, district, line)
            await log_act(c, district, by, "stands-no-more", line.id, {})
        return district
    district = await c.scalar(
        text("SELECT id FROM district WHERE name = :name AND created_at < :at"), {"name": line.district, "at": line.at}
    )
    if district is None or line.id in await known(c):
        return None
    await _keep(c, district, line)
    if ended := ENDED.get(line.kind):
        await _end_again(store, c, district, line, ended)
    if line.kind == LEGAL_HOLD:
        await _hold_again(store, c, district, line)
    await log_act(c, district, by, "stands-again", line.id, {"kind": line.kind})
    return int(district)


async def _end_again(store: Store, c: AsyncConnection, district: int, line: Stood, ended: Ended) -> None:
    rows = await c.execute(text(ended.candidates.format("true")), {"district": district})
    for id, *parts in rows.all():
        if _meant(store, line.subject, (line.kind, *parts)):
            await c.execute(text(ended.end), {"id": id, "at": line.at, "because": line.because})


async def hold(store: Store, c: AsyncConnection, district: int, student: str, actor: Actor) -> None:
    """In the transaction that places a legal hold: so it is there in a restored database too."""
    await stand(store, c, district, LEGAL_HOLD, (LEGAL_HOLD, student), HELD_AGAIN, actor, log=False)


async def let_in(store: Store, c: AsyncConnection, name: str, actor: Actor) -> None:
    """In the transaction that ends the suspension of the account of this name."""
    rows = await c.execute(
        text("SELECT CAST(id AS text) AS id, subject FROM standing WHERE kind = :kind AND ended IS NULL"),
        {"kind": SUSPENDED_ACCOUNT},
    )
    lines = [
        StoodDown(row.id, clock.now(), "", json.loads(actor.as_json()))
        for row in rows.all()
        if _meant(store, row.subject, (SUSPENDED_ACCOUNT, name))
    ]
    for line in lines:
        await end(c, line)
    store.purges.append(lines)


async def hold_no_more(store: Store, c: AsyncConnection, district: int, student: str, actor: Actor) -> None:
    """In the transaction that lifts one."""
    rows = await c.execute(
        text("SELECT CAST(id AS text) AS id, subject FROM standing WHERE kind = :kind AND ended IS NULL ORDER BY at"),
        {"kind": LEGAL_HOLD},
    )
    ids = (await former(c, [student]))[student]
    for row in rows.all():
        if any(_meant(store, row.subject, (LEGAL_HOLD, id)) for id in ids):
            line = StoodDown(row.id, clock.now(), "", json.loads(actor.as_json()))
            await end(c, line)
            store.purges.append([line])
            return


async def ask(
    store: Store, c: AsyncConnection, district: int, request: str, student: str, due: date, actor: Actor
) -> None:
    """In the transaction that keeps a request to amend the record. What it says is in the database alone; that there
    was one, and when its answer is due, is known after a restore too."""
    await stand(store, c, district, REQUEST, (REQUEST, student), due.isoformat(), actor, log=False, id=request)


async def ask_no_more(store: Store, c: AsyncConnection, district: int, student: str, actor: Actor) -> None:
    """In the transaction that purges a student: whoever restores a backup misses no request of theirs."""
    rows = await c.execute(
        text(
            "SELECT CAST(id AS text) AS id, subject FROM standing "
            "WHERE district_id = :district AND kind = :kind AND ended IS NULL ORDER BY at"
        ),
        {"district": district, "kind": REQUEST},
    )
    ids = (await former(c, [student]))[student]
    gone = [row.id for row in rows.all() if any(_meant(store, row.subject, (REQUEST, id)) for id in ids)]
    lines = [StoodDown(id, clock.now(), "", json.loads(actor.as_json())) for id in gone]
    for line in lines:
        await end(c, line)
    store.purges.append(lines)


async def lost(c: AsyncConnection) -> list[dict[str, Any]]:
    """Requests to amend a record that a restored database does not have: id, when it was asked and is due."""
    rows = await c.execute(
        text(
            "SELECT CAST(s.id AS text) AS request, d.name AS district, s.at AS asked_at, s.because AS due_on "
            "FROM standing s JOIN district d ON d.id = s.district_id WHERE s.kind = :kind AND s.ended IS NULL "
            "AND NOT EXISTS (SELECT FROM amendment a WHERE a.id = s.id) ORDER BY s.because, s.id"
        ),
        {"kind": REQUEST},
    )
    return [dict(row._mapping) for row in rows]


async def _hold_again(store: Store, c: AsyncConnection, district: int, line: Stood) -> None:
    for student in await _held(store, c, district, line.subject):
        await c.execute(
            text(
                "INSERT INTO legal_hold (district_id, student_id, because, actor, at) "
                "VALUES (:district, CAST(:student AS uuid), :because, CAST(:actor AS json), :at)"
            ),
            {
                "district": district,
                "student": student,
                "because": line.because,
                "actor": json.dumps(line.actor),
                "at": line.at,
            },
        )


async def _hold_no_more(store: Store, c: AsyncConnection, district: int, line: StoodDown) -> None:
    """Of the holds of that student one is lifted: as many stand as stood. Who was let in again is."""
    row = (
        await c.execute(text("SELECT kind, subject FROM standing WHERE CAST(id AS text) = :id"), {"id": line.id})
    ).one()
    if row.kind == SUSPENDED_ACCOUNT:
        accounts = await c.execute(text(ENDED[row.kind].candidates.format("true")), {"district": district})
        ids = [id for id, name in accounts.all() if _meant(store, row.subject, (row.kind, name))]
        await c.execute(text("UPDATE account SET suspended_at = NULL WHERE id = ANY(:ids)"), {"ids": ids})
    if row.kind != LEGAL_HOLD:
        return
    await c.execute(
        text(
            "UPDATE legal_hold SET lifted_at = :at, lifted_because = :because WHERE id = (SELECT min(id) "
            "FROM legal_hold WHERE lifted_at IS NULL AND district_id = :district "
            "AND CAST(student_id AS text) = ANY(:students))"
        ),
        {
            "at": line.at,
            "because": "It was lifted before the database was restored.",
            "district": district,
            "students": await _held(store, c, district, row.subject),
        },
    )


async def _held(store: Store, c: AsyncConnection, district: int, subject: Collection[str]) -> list[str]:
    """The student that a mark means, among all of whom anything is kept."""
    return [id for id in await students(c, district) if _meant(store, subject, (LEGAL_HOLD, id))]


async def students(c: AsyncConnection, district: int) -> list[str]:
    """Every student of whom anything is kept."""
    rows = await c.execute(
        text(
            "SELECT CAST(id AS text) FROM entity WHERE district_id = :d AND kind = 'person' "
            "AND doc->>'population' = 'student' "
            "UNION SELECT CAST(student_id AS text) FROM plan WHERE district_id = :d "
            "UNION SELECT CAST(student_id AS text) FROM record_stream WHERE district_id = :d "
            "UNION SELECT CAST(student_id AS text) FROM legal_hold WHERE district_id = :d"
        ),
        {"d": district},
    )
    return list(rows.scalars())


def _meant(store: Store, subject: Collection[str], parts: Parts) -> bool:
    return any(mark in subject for mark in store.marks.every(*parts))


async def kept(c: AsyncConnection) -> list[Stood | StoodDown]:
    """What the database knows, as lines of the file."""
    if await c.scalar(text("SELECT to_regclass('standing')")) is None:
        return []
    rows = await c.execute(
        text(
            "SELECT CAST(s.id AS text) AS id, s.at, s.kind, d.name AS district, s.subject, s.because, s.actor, "
            "  CAST(s.ended AS text) AS ended FROM standing s JOIN district d ON d.id = s.district_id ORDER BY s.at"
        )
    )
    found: list[Stood | StoodDown] = []
    for row in rows:
        found.append(Stood(row.id, row.at, row.kind, row.district, row.subject, row.because, row.actor))
        if row.ended is not None:
            found.append(msgspec.json.decode(row.ended, type=StoodDown))
    return found
