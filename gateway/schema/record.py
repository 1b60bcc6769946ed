"""The running record as a document: what an entry may say, and the hash that ties it to the one before it."""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from gateway.schema import codes
from gateway.schema.part import EntityId, Part, Text, Who
from gateway.schema.work import Value

EntryKind = Literal[
    "observation",
    "assessment_result",
    "meeting",
    "family_contact",
    "student_voice",
    "support_delivery",
    "progress_point",
    "attendance_signal",
    "behavior_signal",
    "document",
    "import_note",
    "correction",
]
"""What an entry is. A `correction` says only that what it supersedes does not stand; an entry of another kind that
supersedes one stands in its place."""

DeliveryOutcome = Literal["delivered", "partially", "student_absent", "provider_absent", "cancelled"]
NOT_HELD: frozenset[DeliveryOutcome] = frozenset({"student_absent", "provider_absent", "cancelled"})


class Delivery(Part):
    """What a student got of a support in one session. Source: Ed-Fi SEDM ServiceDelivery."""

    plan: Annotated[EntityId, Field(description="The plan that prescribes it.")]
    support: Annotated[str, Field(description="Id of the support in that plan.", pattern=r"^support-[0-9]{1,6}$")]
    session: Annotated[EntityId, Field(description="The session; all of a group have the same.")]
    group: Annotated[bool, Field(description="Others took part. Who they were stands in their own records.")] = False
    minutes: Annotated[int, Field(description="Minutes this student got.", ge=0, le=1440)]
    outcome: Annotated[DeliveryOutcome, Field(description="What came of it.")] = "delivered"
    provider: Annotated[Who | None, Field(description="Who gave it.")] = None

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if (self.minutes == 0) != (self.outcome in NOT_HELD):
            raise ValueError("minutes are given exactly where the student got some")
        return self


class Point(Part):
    """One measurement of what a goal is about. Source: OneRoster 1.2 AssessmentResult; Ed-Fi StudentAssessment."""

    plan: Annotated[EntityId, Field(description="The plan with the goal.")]
    goal: Annotated[str, Field(description="Id of the goal in that plan.", pattern=r"^goal-[0-9]{1,6}$")]
    measured_on: Annotated[date, Field(description="Day.")]
    day_known: Annotated[bool, Field(description="No: its source states no day, so it is the day it arrived.")] = True
    measure: Annotated[Text, Field(description="What was measured: assessment and score method.")]
    value: Value
    result: Annotated[EntityId | None, Field(description="The assessment result it comes from.")] = None
    score: Annotated[str | None, Field(description="Score method of that result.")] = None


class Cited(Part):
    """What an entry rests on: a result, or an earlier entry."""

    assessment_result: Annotated[EntityId | None, Field(description="Entity id of an assessment result.")] = None
    entry: Annotated[EntityId | None, Field(description="Id of an entry of this record.")] = None


class Body(Part):
    """What an entry says; a lawful purge removes it and leaves its hash."""

    text: Annotated[Text | None, Field(description="In plain words.")] = None
    because: Annotated[Text | None, Field(description="Of a correction: why.")] = None
    evidence: Annotated[tuple[Cited, ...], Field(description="What it rests on.")] = ()
    delivery: Annotated[Delivery | None, Field(description="Of a support_delivery.")] = None
    point: Annotated[Point | None, Field(description="Of a progress_point.")] = None
    adds_to: Annotated[
        Literal["strengths", "goals", "outside_supports"] | None,
        Field(description="Of what a family or the student added: the section of the plan that they speak of."),
    ] = None


class Written(Part):
    """An entry as somebody writes it."""

    kind: Annotated[EntryKind, Field(description="Kind.")]
    occurred_on: Annotated[date | None, Field(description="Day it is about; else today.")] = None
    domain: Annotated[codes.Domain | None, Field(description="Domain.")] = None
    restricted: Annotated[bool, Field(description="Only for those who may read restricted notes.")] = False
    body: Annotated[Body, Field(description="What it says.")]

    @model_validator(mode="after")
    def _of_its_kind(self) -> Self:
        if (self.kind == "support_delivery") != (self.body.delivery is not None):
            raise ValueError("a support_delivery has body.delivery, and nothing else has")
        if (self.kind == "progress_point") != (self.body.point is not None):
            raise ValueError("a progress_point has body.point, and nothing else has")
        if self.body.delivery is None and self.body.point is None and not (self.body.text or self.body.because):
            raise ValueError("it says nothing: give body.text")
        return self


@dataclass(frozen=True)
class Entry:
    """An entry as it stands in a student's record. `student`: whose stream it was written into; `about` finds it:
    plan, support or goal, result. `body` is None once its content was lawfully removed."""

    id: str
    student: str
    seq: int
    kind: str
    domain: str | None
    restricted: bool
    occurred_at: datetime
    recorded_at: datetime
    actor: dict[str, Any]
    supersedes: str | None
    about: tuple[str | None, str | None, str | None]
    body: str | None
    salt: str | None
    body_sha256: str
    prev_hash: str
    hash: str

    def said(self) -> Body | None:
        return None if self.body is None else Body.model_validate_json(self.body)


def canonical(value: Any) -> str:
    """JSON in one spelling, without what is not stated."""
    return json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"))


def written(body: Body) -> str:
    return canonical(body.model_dump(mode="json", exclude_defaults=True))


def body_hash(body: str, salt: str) -> str:
    return hashlib.sha256(f"{salt}{body}".encode()).hexdigest()


def entry_hash(entry: Entry) -> str:
    """The hash of all an entry states, its content by hash, and of the entry before it."""
    stated = {
        "id": entry.id,
        "student": entry.student,
        "seq": entry.seq,
        "kind": entry.kind,
        "domain": entry.domain,
        "restricted": entry.restricted,
        "occurred_at": _moment(entry.occurred_at),
        "recorded_at": _moment(entry.recorded_at),
        "actor": entry.actor,
        "supersedes": entry.supersedes,
        "about": entry.about,
        "body_sha256": entry.body_sha256,
        "prev_hash": entry.prev_hash,
    }
    return hashlib.sha256(canonical(stated).encode()).hexdigest()


def _moment(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="microseconds")


def standing(entries: Iterable[Entry]) -> list[Entry]:
    """Of the entries up to some moment, those that stood at it: not superseded, and not mere withdrawals."""
    known = list(entries)
    superseded = {entry.supersedes for entry in known}
    return [entry for entry in known if entry.id not in superseded and entry.kind != "correction"]


def faults(entries: Iterable[Entry], head: tuple[int, str]) -> list[tuple[int, str]]:
    """What is wrong with one stream, given in order, and with its end: (number of the entry, in plain words)."""
    found: list[tuple[int, str]] = []
    seq, before = 0, ""
    for entry in entries:
        if entry.seq != seq + 1:
            found.append((seq + 1, "is not there"))
        elif entry.prev_hash != before:
            found.append((entry.seq, "does not follow from the entry before it"))
        if entry.body is not None and body_hash(entry.body, entry.salt or "") != entry.body_sha256:
            found.append((entry.seq, "says something else than was written"))
        if entry_hash(entry) != entry.hash:
            found.append((entry.seq, "was changed"))
        seq, before = entry.seq, entry.hash
    if (seq, before) != head:
        found.append((head[0], "is not the last one, or not what it was"))
    return found
