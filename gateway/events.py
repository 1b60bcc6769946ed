"""What an event is: its types, whom each concerns, and the place up to which somebody knows them all."""

import hashlib
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from gateway.errors import ConfigError, Refused

KEPT_DAYS = 30
"""So long the feed tells of an event."""
MANUAL = "Read everything again where it is served, then go on from a new place: see docs/events.md."


@dataclass(frozen=True)
class Event:
    """Something that happened: ids and nothing else. `about` is the row of `collection` that it happened to, by its
    id; events of one `subject`, a student where it is about one, keep their order."""

    id: str
    type: str
    at: datetime
    ids: Mapping[str, str | int]
    collection: str | None
    about: str
    student: str | None = None

    @property
    def subject(self) -> str:
        return self.student or self.about

    def as_json(self) -> dict[str, Any]:
        """As feed and webhooks tell it. # Standard Webhooks 1.0: type, timestamp, data"""
        at = self.at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        return {"id": self.id, "type": self.type, "timestamp": at, "data": dict(self.ids)}


_ROSTER = {
    "organization": ("organization", "orgs", "A school, a district, or what stands above them"),
    "session": ("session", "academicSessions", "A stretch of the school year"),
    "course": ("course", "courses", "A course"),
    "class": ("class", "classes", "A class"),
    "student": ("person", "users", "A student"),
    "staff": ("person", "users", "A member of staff"),
    "contact": ("person", "users", "A contact of a family"),
    "person": ("person", "users", "Somebody of whom nothing else is known"),
    "enrollment": ("enrollment", "enrollments", "That somebody is in a class"),
    "relationship": ("relationship", None, "How a contact belongs to a student"),
    "resource": ("resource", "resources", "Something to teach or learn with"),
    "category": ("category", "categories", "A category of a gradebook"),
    "score_scale": ("score_scale", "scoreScales", "A scale of marks"),
    "line_item": ("line_item", "lineItems", "A column of a gradebook"),
    "result": ("result", "results", "A mark in a gradebook"),
    "assessment": ("assessment", "assessmentLineItems", "An assessment"),
    "assessment_result": ("assessment_result", "assessmentResults", "A result of an assessment"),
}
"""First word of a type -> kind of the common schema, OneRoster collection, what it is. Kinds that tell what a student
needs or lived through are not here: of them no event is told."""
_COLLECTIONS = {kind: collection for kind, collection, _ in _ROSTER.values()}
_KINDS = {collection: kind for kind, collection, _ in _ROSTER.values() if collection}
_OPS = {
    "added": "is new, or came within reach.",
    "changed": "changed.",
    "removed": "is gone, or left what the program may see.",
}
_OF_PLANS = {
    "created": ("plan.created", "A plan was begun."),
    "edited": ("plan.changed", "What a plan says was changed."),
    "consult": ("plan.consulted", "A plan was put before the family."),
    "reopen": ("plan.reopened", "A plan went back to being written."),
    "finalize": ("plan.finalized", "A version of a plan was finalized."),
    "activate": ("plan.activated", "A plan is in force from now on."),
    "review": ("plan.review_due", "The day of a plan's review has come."),
    "reviewed": ("plan.reviewed", "A plan was reviewed."),
    "continue": ("plan.continued", "A plan goes on after its review."),
    "hold": ("plan.held", "A plan rests."),
    "resume": ("plan.resumed", "A plan that rested goes on."),
    "close": ("plan.closed", "A plan came to its end."),
    "revoke": ("plan.revoked", "A plan was taken back."),
    "void": ("plan.voided", "A plan was entered in error, and counts for nothing."),
    "archive": ("plan.archived", "A plan was put away."),
}
_OF_DELIVERIES = {
    "delivered": ("delivery.done", "A plan arrived at a destination."),
    "parked": ("delivery.parked", "A plan could not be delivered, and waits for a person."),
    "withdrawn": ("delivery.withdrawn", "What a destination had of a plan was taken back."),
}
RESET = "feed.reset"
TEST = "webhook.test"

TYPES: dict[str, str] = {
    **{f"{word}.{op}": f"{what} {said}" for word, (_, _, what) in _ROSTER.items() for op, said in _OPS.items()},
    **dict(_OF_PLANS.values()),
    **dict(_OF_DELIVERIES.values()),
}
"""Every type that is told when something happened, with a sentence."""
OF_WEBHOOKS = {
    RESET: "Events were missed for good, or the gateway was restored from a backup: read everything again.",
    TEST: "Somebody asked for a test of the webhook.",
}
"""Types that a webhook gets whatever it asked for."""

_ONEROSTER = "https://purl.imsglobal.org/spec/or/v1p2/scope/"
_CORE = (f"{_ONEROSTER}roster-core.readonly", f"{_ONEROSTER}roster.readonly")
_GRADES = (f"{_ONEROSTER}gradebook-core.readonly", f"{_ONEROSTER}gradebook.readonly")
_SCOPES = {
    **dict.fromkeys(("organization", "session", "course", "class", "person", "enrollment"), _CORE),
    "resource": (f"{_ONEROSTER}resource-core.readonly", f"{_ONEROSTER}resource.readonly"),
    **dict.fromkeys(("category", "score_scale", "line_item", "result"), _GRADES),
    **dict.fromkeys(("assessment", "assessment_result"), (f"{_ONEROSTER}assessment.readonly",)),
}
"""Kind -> the scopes of which any opens its events; `changes.read` opens those of every kind."""


@dataclass(frozen=True)
class Sources:
    """Of what somebody may be told at all: kinds of the common schema, plans, deliveries."""

    kinds: tuple[str, ...]
    plans: bool
    deliveries: bool


def sources(scopes: Iterable[str], types: Iterable[str] = ()) -> Sources:
    """What these scopes open, of these types only where some are named. ConfigError for a type that there is not."""
    has, wanted = set(scopes), set(checked(types)) or set(TYPES)
    words = {one.partition(".")[0] for one in wanted}
    kinds = dict.fromkeys(
        kind
        for word, (kind, _, _) in _ROSTER.items()
        if word in words and ("changes.read" in has or has & set(_SCOPES.get(kind, ())))
    )
    return Sources(
        tuple(kinds),
        "plan" in words and "plans.read" in has,
        "delivery" in words and "deliveries.read" in has,
    )


def checked(types: Iterable[str]) -> list[str]:
    """These types. ConfigError for one that there is not."""
    found = list(dict.fromkeys(types))
    unknown = [one for one in found if one not in TYPES]
    if unknown:
        raise ConfigError(
            "event-type-invalid",
            "There is no event of one of the types that were named.",
            "`planbridge webhooks types`, or GET /v1/events/types, lists them.",
        )
    return found


def is_wanted(type: str, types: Collection[str]) -> bool:
    """Whether somebody who asked for these types, or for none and so for every one, is told of this. Of who was purged
    nobody knows any more whether it was a student: whoever asked when one of them goes is told."""
    people = {f"{word}.removed" for word, (kind, _, _) in _ROSTER.items() if kind == "person"}
    return not types or type in types or (type == "person.removed" and not people.isdisjoint(types))


CHANGES, DELIVERIES, PLANS, REACH = range(4)
"""Where events come from, in the order in which those of one transaction are told."""


@dataclass(frozen=True)
class Happened:
    """A row of one of the four, as the store finds it: what happened (`op`) to what, and the ids beside it."""

    source: int
    xid: int
    seq: int
    at: datetime
    kind: str
    op: str
    id: str
    ids: Mapping[str, str | int]
    student: str | None = None
    population: str | None = None
    collection: str | None = None

    @property
    def order(self) -> tuple[int, int, int]:
        return self.xid, self.source, self.seq


def of(epoch: str, row: Happened) -> Event | None:
    """The event that a row is; None where no event is told of it."""
    mark = hashlib.sha256(f"{epoch}/{row.source}/{row.xid}/{row.seq}".encode()).hexdigest()
    id = f"evt_{mark[:32]}"
    if row.kind == "plan":
        known = _OF_PLANS.get(row.op)
        return known and Event(id, known[0], row.at, row.ids, "plans", row.id, row.student)
    if row.kind == "delivery":
        known = _OF_DELIVERIES.get(row.op)
        return known and Event(id, known[0], row.at, row.ids, "plans", row.id, row.student)
    word = (row.population or "person") if row.kind == "person" else row.kind
    if word not in _ROSTER:
        return None
    return Event(id, f"{word}.{row.op}", row.at, row.ids, _COLLECTIONS[row.kind], row.id, row.student)


def kind_of(collection: str) -> str | None:
    """The kind of the common schema that a OneRoster collection serves; None where nothing is told of it by itself."""
    return _KINDS.get(collection)


@dataclass(frozen=True)
class Place:
    """Up to where somebody knows all events: `epoch` is of the feed, `at` when the last of them happened."""

    epoch: str
    at: datetime
    xid: int = 0
    source: int = REACH
    seq: int = 0

    def __str__(self) -> str:
        return f"{self.epoch}-{int(self.at.timestamp())}-{self.xid}-{self.source}-{self.seq}"

    @classmethod
    def read(cls, text: str) -> "Place":
        """From what `str` wrote. ConfigError for anything else."""
        if not re.fullmatch(PATTERN, text):
            raise ConfigError("cursor-unreadable", "This is no place in the feed.", "Give the `next` of the last look.")
        epoch, at, xid, source, seq = text.split("-")
        return cls(epoch, datetime.fromtimestamp(int(at), UTC), int(xid), int(source), int(seq))

    def after(self, source: int) -> int:
        """The number of the last row of a source, in this place's transaction, that is known."""
        return self.seq if source == self.source else 0 if source > self.source else 2**63 - 1


PATTERN = r"[0-9a-f]{12}-\d{1,11}-\d{1,18}-[0-3]-\d{1,18}"


def refuse_lost(place: Place, epoch: str, kept_from: datetime) -> None:
    """Refused where events after a place may be missing: it is too old, or of the feed before a restore."""
    if place.epoch != epoch:
        raise Refused(
            "events-reset",
            "The feed begins anew: the gateway was restored from a backup, or moved, since this place was given.",
            MANUAL,
        )
    if place.at < kept_from:
        raise Refused("events-expired", "This place is too old: events after it are not kept any more.", MANUAL)
