"""What people do with a student's running record: write, correct, read as of a moment, log a session, verify."""

import json
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, time
from typing import Any

from pydantic import ValidationError

from gateway import clock, progress
from gateway.errors import ConfigError, Refused
from gateway.progress import Dosage, Standing
from gateway.schema import record as documents
from gateway.schema.plan import Goal, Plan, Who
from gateway.schema.record import NOT_HELD, Body, DeliveryOutcome, Entry, Point, Written, standing
from gateway.store import plans as stored
from gateway.store import record
from gateway.store.database import Store, Transaction
from gateway.store.record import New
from gateway.store.registers import Actor


async def add(store: Store, district: int, student: str, content: Mapping[str, Any], actor: Actor) -> Entry:
    """Append what somebody writes. A delivery or a measurement may be written by hand too, of a plan of the student."""
    written = parse(content)
    if written.kind == "correction":
        raise ConfigError("record-invalid", "A correction corrects an entry.", "`planbridge record correct` does it.")
    if written.body.point and written.body.point.result:
        raise ConfigError("record-invalid", "Points of results come with their run.", "Leave out body.point.result.")
    async with store.transaction(district) as c:
        known_as = await record.student(c, student)
        if known_as is None:
            raise ConfigError("student-unknown", "There is no such student.", "`planbridge students` shows their ids.")
        new = _new(known_as, written)
        await _refuse_other_plan(c, new)
        [entry] = await record.append(c, district, [new], actor, clock.now())
    return entry


async def correct(
    store: Store, district: int, student: str, which: str, body: Mapping[str, Any] | None, actor: Actor, because: str
) -> Entry:
    """Supersede an entry by one that says something else, or (no body) by the statement that it does not stand. Both
    stay to be read. Refused where it was superseded before, and without a reason."""
    if not because.strip():
        raise Refused("reason-missing", "A correction needs a reason.", "Give --because.")
    async with store.transaction(district) as c:
        before = await find(c, student, which)
        if before.kind == "correction":
            raise Refused("record-withdrawn", "That entry withdraws another one.", "Write a new entry instead.")
        stated: dict[str, Any] = {"kind": "correction", "body": {"because": because}}
        if body is not None:
            stated = {
                "kind": before.kind,
                "domain": before.domain,
                "body": _of_result(before, body) | {"because": because},
            }
        written = parse(stated | {"restricted": before.restricted, "occurred_on": before.occurred_at.date()})
        new = _new(before.student, written, supersedes=before.id)
        if body is None or before.about[2]:  # it goes on being about that result, which may change at its source
            new = replace(new, about=before.about)
        await _refuse_other_plan(c, new)
        [entry] = await record.append(c, district, [new], actor, clock.now())
    return entry


def _of_result(before: Entry, body: Mapping[str, Any]) -> dict[str, Any]:
    """What takes the place of a result's point goes on being that result's, which may change at its source."""
    said = before.said()
    if not (before.about[2] and said and said.point and isinstance(body.get("point"), dict)):
        return dict(body)
    kept = said.point.model_dump(mode="json", include={"plan", "goal", "result", "score"})
    return {**body, "point": body["point"] | kept}


def parse(content: Mapping[str, Any]) -> Written:
    """The entry that JSON states. ConfigError names each wrong field and repeats no value."""
    try:
        written = Written.model_validate(content)
    except ValidationError as error:
        problems = "; ".join(
            f"/{'/'.join(map(str, problem['loc']))}: {problem['msg']}"
            for problem in error.errors(include_input=False, include_url=False, include_context=False)
        )
        raise ConfigError("record-invalid", f"This is no entry: {problems}", "Correct these fields.") from None
    if written.occurred_on and written.occurred_on > clock.today():
        raise Refused("record-future", "The record says what was, not what will be.", "Give a day up to today.")
    return written


def _new(student: str, written: Written, supersedes: str | None = None) -> New:
    said = written.body
    about: tuple[str | None, str | None, str | None] = (None, None, None)
    if said.delivery:
        about = (said.delivery.plan, said.delivery.support, None)
    if said.point:
        about = (said.point.plan, said.point.goal, said.point.result)
    at = datetime.combine(written.occurred_on or clock.today(), time(), UTC)
    return New(student, written.kind, at, said, written.domain, written.restricted, supersedes, about)


async def _refuse_other_plan(c: Transaction, new: New) -> None:
    if new.about[0] is None:
        return
    plan = await stored.load(c, new.about[0])
    if plan.student != await record.survivor(c, new.student):
        raise Refused("plan-other-student", "That plan is another student's.", "Name a plan of this student.")


async def find(c: Transaction, student: str, which: str) -> Entry:
    """The entry of that id or number; of a number that two streams have, the one of the newer stream."""
    found = await record.entry(c, student, which)
    if found is None:
        raise ConfigError("record-unknown", "There is no such entry.", "`planbridge record list` numbers them.")
    return found


@dataclass(frozen=True)
class Record:
    """A student's record as it stood: what stood then, and every entry up to then."""

    standing: Sequence[Entry]
    entries: Sequence[Entry]


async def read(store: Store, district: int, student: str, as_of: datetime | int | None = None) -> Record:
    """The record now, at a moment, or when its entry of that number had just been written."""
    async with store.transaction(district) as c:
        if isinstance(as_of, int):
            as_of = (await find(c, student, str(as_of))).recorded_at
        entries = await record.entries(c, student, as_of)
    return Record(standing(entries), entries)


async def became(store: Store, district: int, student: str, which: str) -> list[Entry]:
    """An entry, and one after the other what took its place."""
    async with store.transaction(district) as c:
        chain = [await find(c, student, which)]
        after = {entry.supersedes: entry for entry in await record.entries(c, student)}
    while later := after.get(chain[-1].id):
        chain.append(later)
    return chain


# --- what was given of a support ---------------------------------------------------------------------------


@dataclass(frozen=True)
class Session:
    """One session of a support. `given`: plan -> its support, one for each child; `exceptions`: plan -> what was
    different for that child: an outcome, or other minutes."""

    on: date
    minutes: int
    given: Mapping[str, str]
    exceptions: Mapping[str, DeliveryOutcome | int] = field(default_factory=dict)
    provider: Who | None = None


async def log_session(store: Store, district: int, session: Session, actor: Actor) -> list[Entry]:
    """Log a session once: it stands in each child's record, and says there only that others took part. Refused as a
    whole where a plan has no such support, or two of the plans are one child's."""
    if not session.given:
        raise ConfigError("session-empty", "Nobody took part in this session.", "Name at least one plan and support.")
    if strangers := set(session.exceptions) - set(session.given):
        raise ConfigError("session-stranger", f"{len(strangers)} exceptions are of nobody who took part.", "Name them.")
    if session.on > clock.today():
        raise Refused("record-future", "The record says what was, not what will be.", "Give a day up to today.")
    number = str(uuid.uuid4())
    async with store.transaction(district) as c:
        news = [await _delivered(c, session, plan, support, number) for plan, support in sorted(session.given.items())]
        if len({new.student for new in news}) < len(news):
            raise Refused("session-double", "Two of these plans are the same child's.", "Name each child once.")
        return await record.append(c, district, news, actor, clock.now())


async def _delivered(c: Transaction, session: Session, plan: str, support: str, number: str) -> New:
    found = await stored.load(c, plan)
    if support not in await _supports(c, found):
        raise Refused("support-unknown", f"That plan has no {support}.", "`planbridge plan show` numbers its supports.")
    exception = session.exceptions.get(plan, session.minutes)
    outcome: DeliveryOutcome = exception if isinstance(exception, str) else "delivered"
    minutes = exception if isinstance(exception, int) else 0 if outcome in NOT_HELD else session.minutes
    if outcome == "delivered" and minutes < session.minutes:
        outcome = "partially"
    delivery = {
        "plan": found.id,
        "support": support,
        "session": number,
        "group": len(session.given) > 1,
        "minutes": minutes,
        "outcome": outcome,
        "provider": session.provider,
    }
    content = {"kind": "support_delivery", "occurred_on": session.on, "body": {"delivery": delivery}}
    return _new(found.student, parse(content))


async def _supports(c: Transaction, plan: stored.StoredPlan) -> set[str]:
    """Those of the newest version, and those being written: an urgent one may begin before it is finalized."""
    contents = [plan.content]
    if plan.version is not None:
        contents.append(json.loads((await stored.version(c, plan.id)).content))
    return {support["id"] for content in contents for support in content.get("supports", ())}


# --- how a plan is doing -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Progress:
    """A plan's goals against their lines, and its supports against their prescriptions."""

    goals: Sequence[Standing]
    supports: Sequence[Dosage]


async def progress_of(store: Store, district: int, plan: str) -> Progress:
    """What the record says of a plan's newest version, or of its draft where there is none yet."""
    async with store.transaction(district) as c:
        found = await stored.load(c, plan)
        content = found.content
        if found.version is not None:
            content = json.loads((await stored.version(c, found.id)).content)
        entries = standing(await record.about(c, plan=found.id))
    document = Plan.model_validate(content)
    said = [body for entry in entries if (body := entry.said()) is not None]
    return Progress(
        [progress.against_line(goal, _points(goal, said)) for goal in document.goals],
        [
            progress.dosage(
                support,
                document.period_start,
                [body.delivery for body in said if body.delivery and body.delivery.support == support.id],
                clock.today(),
            )
            for support in document.supports
        ],
    )


def _points(goal: Goal, said: Sequence[Body]) -> list[Point]:
    return [body.point for body in said if body.point and body.point.goal == goal.id]


# --- the chain ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Verified:
    """How many records and entries were looked at, of how many the content was lawfully removed, and what is wrong:
    (student, number of the entry, in plain words)."""

    records: int
    entries: int
    removed: int
    faults: Sequence[tuple[str, int, str]]


async def verify(store: Store, district: int, student: str | None = None) -> Verified:
    """Compute every hash of one record, or of all, again."""
    entries, removed = 0, 0
    faults: list[tuple[str, int, str]] = []
    async with store.transaction(district) as c:
        heads = await record.heads(c, student)
        left = set(heads)
        async for owner, stream in record.streams(c, list(heads)):
            left.discard(owner)
            entries += len(stream)
            removed += sum(entry.body is None for entry in stream)
            faults += [(owner, seq, what) for seq, what in documents.faults(stream, heads[owner])]
        faults += [(owner, 1, "and all after it are not there") for owner in sorted(left) if heads[owner][0]]
    return Verified(len(heads), entries, removed, faults)


async def forget(store: Store, district: int, student: str, which: str, actor: Actor, because: str) -> Entry:
    """Lawfully remove what one entry says; that there was one stays, and the chain still verifies."""
    async with store.transaction(district) as c:
        entry = await find(c, student, which)
    await record.forget(store, district, [entry.id], actor, because)
    return entry
