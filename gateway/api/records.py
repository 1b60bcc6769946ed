"""The running record: entries as the caller may see them, input that is added, what was given of a support."""

import re
from datetime import UTC, date, datetime, time
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Path, Query
from pydantic import BaseModel, ConfigDict, Field

from gateway import authoring, showing
from gateway.api.agreeing import Author, asker, writing
from gateway.api.oauth import Call, may
from gateway.api.paging import NEXT, Cursor, Fields, Limit, cursor, parts, place
from gateway.errors import ConfigError
from gateway.record import Session
from gateway.schema.part import Who
from gateway.schema.record import NOT_HELD, DeliveryOutcome, Entry, EntryKind, Written
from gateway.sections import BODY_FIELDS
from gateway.store import plans as stored

router = APIRouter(prefix="/v1", tags=["record"])

Reading = Annotated[Call, may("record.read")]
Support = Annotated[str, Path(pattern=r"^support-[0-9]{1,6}$", description="Id of the support in the plan.")]


class RecordEntry(BaseModel):
    """An entry, with what of it the caller may read."""

    id: str
    number: int = Field(description="In the student's stream.")
    kind: EntryKind
    domain: str | None
    restricted: bool
    occurred_on: date
    recorded_at: datetime
    supersedes: str | None = Field(description="The entry in whose place it stands.")
    says: dict[str, Any] = Field(description="Of text, because, evidence, delivery, point what may be read.")
    left_out: list[str] = Field(description="Which of these there are and are not shown.")


class Record(BaseModel):
    student: str
    entries: list[RecordEntry] = Field(description="In the order in which they were written.")
    hidden: int = Field(description="Entries of this page of which nothing may be read.")
    next: str | None = Field(description=NEXT)


class Added(BaseModel):
    """An entry that was appended; it is never changed."""

    id: str
    number: int
    hash: str = Field(description="Ties it to the entry before it.")


class Given(BaseModel):
    """One session of a support for this student."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"on": "2026-11-27", "minutes": 30, "outcome": "delivered"}]}
    )

    on: date
    minutes: int = Field(ge=0, le=1440, description="Minutes of the session.")
    outcome: DeliveryOutcome = "delivered"
    provider: Who | None = Field(default=None, description="Who gave it, where that is not the owner.")


class GoalProgress(BaseModel):
    """A goal against its line. A fact about this goal, and nothing else is derived from it."""

    model_config = ConfigDict(from_attributes=True)

    goal: str
    measured_on: date | None
    value: int | float | str | None
    expected: float | None
    on_track: bool | None
    points: int
    sentence: str


class SupportProgress(BaseModel):
    """A support against what the plan prescribes."""

    model_config = ConfigDict(from_attributes=True, extra="ignore")

    support: str
    sentence: str


class PlanProgress(BaseModel):
    """How a plan is doing, as far as its goals and supports are shown to the caller."""

    goals: list[GoalProgress]
    supports: list[SupportProgress]


@router.get("/students/{id}/record")
async def read_record(
    id: UUID,
    call: Reading,
    as_of: Annotated[
        str,
        Query(
            description="As it stood at the end of this day, at this moment (with its zone), or when its entry of this "
            "number had just been written. Today's access rules hold.",
            max_length=40,
        ),
    ] = "",
    everything: Annotated[bool, Query(description="Also what was superseded.")] = False,
    fields: Fields = "",
    given: Annotated[Cursor, Query(alias="cursor")] = "",
    limit: Limit = 100,
) -> Record:
    """A student's running record, entry by entry as the caller may read it."""
    after = place(given, "record", int)
    wanted = parts(fields, BODY_FIELDS)
    found = await showing.entries(
        call.store, call.district, await asker(call, "record"), str(id),
        as_of=_moment(as_of), everything=everything, parts=wanted, after=_place(after), limit=limit,
    )  # fmt: skip
    return _record(found, limit)


@router.post("/students/{id}/record", status_code=201)
async def add_to_record(id: UUID, entry: Written, call: Annotated[Call, may("input.write")]) -> Added:
    """Add input or evidence. A program may do so by itself, or for a person; what educators did only they say."""
    asked = await asker(call, "record")
    asked.refuse_unreached(str(id))
    content = entry.model_dump(mode="json", exclude_defaults=True)
    return _added(await authoring.add(call.store, call.district, str(id), content, call.actor))


@router.get("/plans/{id}/supports/{support}/deliveries")
async def list_given(
    id: UUID, support: Support, call: Reading, given: Annotated[Cursor, Query(alias="cursor")] = "", limit: Limit = 100
) -> Record:
    """What was given of a support of a plan, session by session, as the caller may read it."""
    after = place(given, "record", int)
    async with call.store.transaction(call.district) as c:
        plan = await stored.load(c, str(id))
    asked = await asker(call, "record")
    asked.refuse_unreached_plan(plan)
    found = await showing.entries(
        call.store, call.district, asked, plan.student,
        after=_place(after), limit=limit, about=(plan.id, support),
    )  # fmt: skip
    return _record(found, limit)


@router.post("/plans/{id}/supports/{support}/deliveries", status_code=201)
async def log_given(id: UUID, support: Support, what: Given, author: Annotated[Author, writing()]) -> Added:
    """Log a session of a support, for an educator who gives or coordinates it."""
    call = author.call
    await author.refuse_unreached(str(id))
    minutes = 0 if what.outcome in NOT_HELD else what.minutes
    exceptions = {} if what.outcome == "delivered" else {str(id): minutes if minutes else what.outcome}
    session = Session(what.on, what.minutes, {}, exceptions, what.provider)
    [entry] = await authoring.deliver(call.store, call.district, str(id), support, session, call.actor)
    return _added(entry)


@router.get("/plans/{id}/progress")
async def plan_progress(id: UUID, call: Reading) -> PlanProgress:
    """How a plan is doing: its goals against their lines, its supports against what is prescribed."""
    made = await showing.progress(call.store, call.district, await asker(call, "record"), str(id))
    return PlanProgress(
        goals=[GoalProgress.model_validate(one) for one in made.goals],
        supports=[SupportProgress.model_validate(one) for one in made.supports],
    )


def _moment(given: str) -> datetime | int | None:
    if not given:
        return None
    if re.fullmatch(r"[0-9]{1,9}", given):
        return int(given)
    try:
        if len(given) == 10:
            return datetime.combine(date.fromisoformat(given), time.max, UTC)
        found = datetime.fromisoformat(given)
    except ValueError:
        found = datetime.min
    if found.tzinfo is None:
        raise ConfigError(
            "time-unreadable", "This is no day, no moment with its zone and no number.", "As in 2026-11-28."
        )
    return found


def _place(after: list[str | int] | None) -> int:
    return int(after[0]) if after else 0


def _record(found: showing.ShownRecord, limit: int) -> Record:
    shown = found.entries[:limit]
    more = cursor("record", [shown[-1].place]) if len(found.entries) > limit else None
    return Record(student=found.student, entries=[_entry(one) for one in shown], hidden=found.hidden, next=more)


def _entry(one: showing.ShownEntry) -> RecordEntry:
    it = one.entry
    return RecordEntry.model_validate({
        "id": it.id, "number": it.seq, "kind": it.kind, "domain": it.domain, "restricted": it.restricted,
        "occurred_on": it.occurred_at.date(), "recorded_at": it.recorded_at, "supersedes": it.supersedes,
        "says": one.says, "left_out": list(one.left_out),
    })  # fmt: skip


def _added(entry: Entry) -> Added:
    return Added(id=entry.id, number=entry.seq, hash=entry.hash)
