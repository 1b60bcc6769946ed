"""Leave to take a whole collection at once: given by the district with a reason, limited, told and on record."""

from dataclasses import dataclass
from datetime import date

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway import clock
from gateway.errors import Refused, Unavailable
from gateway.messages import Message
from gateway.store import outbox
from gateway.store.database import Ask
from gateway.store.marks import Marks
from gateway.store.reads import Caller
from gateway.store.registers import Actor, log_act
from gateway.vendors import Agreement, is_bulk, share

WALK = 3600
"""Seconds within which pages of one collection in one form are the same export."""
DAY = 86_400


@dataclass(frozen=True)
class Step:
    """One answer of a walk through a collection. `question`: a keyed hash of all that was asked; `goes_on`: whether it
    follows another one, from a place or from a value onwards."""

    agreement: Agreement
    collection: str
    question: str
    limit: int
    goes_on: bool


def step(marks: Marks, agreement: Agreement, collection: str, asked: str, limit: int, *, goes_on: bool) -> Step:
    """A step by what was asked, of which nothing is kept that could be read."""
    return Step(agreement, collection, marks.new("walked", str(agreement.id), asked), limit, goes_on)


async def refuse(c: AsyncConnection, call: Caller, one: Step, offset: int = 0) -> None:
    """Refused where the program walked as many pages of the collection today as were agreed, in whatever way, and has
    no leave to take all: see `check`. The same question asked again is no further page."""
    walked = await c.scalar(
        text(
            "SELECT coalesce(sum(share), 0) FROM walked WHERE agreement_id = :id AND collection = :collection "
            "AND on_day = :today AND question <> :question"
        ),
        _values(one),
    )
    if is_bulk(one.agreement.terms, limit=one.limit, offset=offset, delta=False, walked=float(walked or 0)):
        await check(c, call, one.agreement, one.collection)


async def note(c: AsyncConnection, call: Caller, one: Step, rows: int) -> None:
    """Keep that a step was answered with so many rows."""
    statement, values = noting(call, one, rows)
    await c.execute(text(statement), values)


def noting(call: Caller, one: Step, rows: int) -> Ask:
    """The same, to be written together with something else."""
    return _NOTE, {
        **_values(one),
        "district": call.client.district,
        "share": share(rows, one.limit, goes_on=one.goes_on),
    }


_NOTE = (
    "INSERT INTO walked (district_id, agreement_id, collection, on_day, question, share) VALUES (CAST(:district AS "
    "int), CAST(:id AS bigint), :collection, CAST(:today AS date), :question, CAST(:share AS double precision)) "
    "ON CONFLICT DO NOTHING"
)


def _values(one: Step) -> dict[str, object]:
    return {
        "id": one.agreement.id,
        "collection": one.collection,
        "today": clock.today(),
        "question": one.question,
    }


async def check(c: AsyncConnection, call: Caller, agreement: Agreement, collection: str, form: str = "pages") -> None:
    """Whether a program may take this collection at once, as `pages` or `csv`; ask before each answer that is bulk
    (gateway.vendors.is_bulk, and every file). Refused where the agreement does not say so or the district gave no
    leave; Unavailable where it took as often today as it may. The first answer of an export leaves an act and a notice.
    """
    await c.execute(text("SELECT pg_advisory_xact_lock(hashtext('planbridge.bulk'), :id)"), {"id": agreement.id})
    given = (
        await c.execute(
            text(
                "SELECT per_day FROM bulk_grant WHERE agreement_id = :id AND ended_at IS NULL AND until_on >= :today "
                "ORDER BY id DESC LIMIT 1"
            ),
            {"id": agreement.id, "today": clock.today()},
        )
    ).one_or_none()
    if not agreement.bulk or given is None:
        raise Refused(
            "bulk-not-granted",
            "Taking a whole collection at once is a privilege of its own, which this program does not have.",
            "Ask for what changed since a time (dateLastModified), or ask the district for the privilege.",
        )
    taken = (
        await c.execute(
            text(
                "SELECT coalesce(bool_or(collection = :collection AND form = :form AND at > clock_timestamp() "
                "  - make_interval(secs => :walk)), false) AS same, count(*) AS n, "
                "  extract(epoch FROM min(at) + make_interval(secs => :day) - clock_timestamp()) AS wait "
                "FROM bulk_export WHERE agreement_id = :id AND at > clock_timestamp() - make_interval(secs => :day)"
            ),
            {"id": agreement.id, "collection": collection, "form": form, "walk": WALK, "day": DAY},
        )
    ).one()
    if taken.same:
        return
    if taken.n >= given.per_day:
        raise Unavailable(
            "bulk-too-often",
            f"This program took whole collections {taken.n} times within a day, which is as often as it may.",
            "Come back later, or ask for what changed since a time.",
            retry_after=float(taken.wait),
        )
    made = await c.scalar(
        text(
            "INSERT INTO bulk_export (district_id, agreement_id, collection, form) "
            "VALUES (:district, :id, :collection, :form) RETURNING id"
        ),
        {"district": call.client.district, "id": agreement.id, "collection": collection, "form": form},
    )
    detail = {"agreement": agreement.id, "collection": collection, "form": form}
    by = Actor(call.client.name, "client", call.person, call.client.id)
    await log_act(c, call.client.district, by, "bulk-export", call.client.id, detail)
    await outbox.add(c, call.client.district, "access", f"bulk/{made}", _told(agreement, collection, form))


def _told(agreement: Agreement, collection: str, form: str) -> Message:
    what = "as a file" if form == "csv" else "in one walk through its pages"
    return Message(
        "A vendor takes a whole collection at once, as the district gave it leave to.",
        f"One collection, {collection}, {what}, under agreement {agreement.id}.",
        "It gets what its agreement reaches, and each answer is on record.",
        f"If nobody expects this, end the leave: planbridge vendors bulk {agreement.id} --off.",
        "Within a day.",
    )


async def grant(
    c: AsyncConnection, district: int, agreement: Agreement, because: str, per_day: int, until: date, actor: Actor
) -> None:
    """Give a program leave to take collections at once, so often a day, until a day. Refused without a reason, and
    where its agreement does not name it."""
    if not because.strip():
        raise Refused("reason-missing", "Leave to take whole collections needs a reason.", "Give --because.")
    if not agreement.bulk:
        raise Refused(
            "bulk-not-agreed",
            "The agreement in force does not name bulk export.",
            "Change it first: `planbridge vendors agree --bulk`, and have that approved.",
        )
    await _end(c, agreement.id)
    await c.execute(
        text(
            "INSERT INTO bulk_grant (district_id, agreement_id, because, per_day, until_on, actor) "
            "VALUES (:district, :id, :because, :per_day, :until, CAST(:actor AS json))"
        ),
        {
            "district": district,
            "id": agreement.id,
            "because": because.strip(),
            "per_day": per_day,
            "until": until,
            "actor": actor.as_json(),
        },
    )
    detail = {"because": because.strip(), "per_day": per_day, "until": until.isoformat()}
    await log_act(c, district, actor, "bulk-granted", str(agreement.id), detail)


async def take_back(c: AsyncConnection, district: int, agreement: int, actor: Actor) -> None:
    """End a program's leave at once."""
    await _end(c, agreement)
    await log_act(c, district, actor, "bulk-ended", str(agreement), {})


async def _end(c: AsyncConnection, agreement: int) -> None:
    await c.execute(
        text("UPDATE bulk_grant SET ended_at = now() WHERE agreement_id = :id AND ended_at IS NULL"), {"id": agreement}
    )
