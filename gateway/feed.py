"""Which events a program may be told: its scopes, its agreement and what that reaches, what families said."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta

from gateway import clock, events, viewing
from gateway.errors import ConfigError
from gateway.events import CHANGES, KEPT_DAYS, Event, Happened, Place
from gateway.store import events as stored
from gateway.store import reads, vendors
from gateway.store.clients import Client
from gateway.store.database import Store, Transaction
from gateway.store.events import Head
from gateway.vendors import Agreement
from gateway.viewing import Program

ROUNDS = 20
"""So many times more rows are looked at for one answer, where most of them are not for who asks."""


@dataclass(frozen=True)
class Told:
    """Some events in their order, and the place to go on from. `more`: there are, or may be, others after them."""

    events: Sequence[Event]
    place: Place
    more: bool


@dataclass
class Listener:
    """A program that is told events, as it stands in this transaction; `scopes` are what it may do here, `person` is
    for whom it asks, if for anybody."""

    store: Store
    client: Client
    agreement: Agreement | None
    scopes: frozenset[str]
    person: str | None = None
    _plans: dict[str, bool] = field(default_factory=dict)

    @classmethod
    async def of(
        cls,
        store: Store,
        c: Transaction,
        client: Client,
        scopes: frozenset[str] | None = None,
        person: str | None = None,
    ) -> "Listener":
        """With these scopes, else all of the client. Refused where it is a vendor without an agreement in force that
        names events."""
        agreement = None
        if client.kind == "vendor":
            agreement = await vendors.in_force(c, client.id, clock.today())
            agreement.fields("events")
        return cls(store, client, agreement, client.scopes if scopes is None else scopes, person)

    async def may(self, c: Transaction, rows: Sequence[tuple[Event, Happened | None]]) -> list[Event]:
        """Those of these events that it may be told now. What just came within reach is told where it comes from the
        reach, and not by the row that a publication added."""
        if self.agreement is not None:
            rows = [one for one in rows if one[0].collection in self.agreement.collections]
            wanted = [_row(event) for event, _ in rows]
            reached = await stored.reached(c, self.agreement.id, wanted)
            rows = [(event, row) for event, row in rows if _is_reached(event, row, reached.get(_row(event)))]
        return [event for event, _ in rows if event.collection != "plans" or await self._sees_plans(event)]

    async def _sees_plans(self, event: Event) -> bool:
        """As the plan itself would be shown to the program: by what it was granted and what the family said."""
        if event.student is None:
            return False
        if event.student not in self._plans:
            one = self.client
            program = Program(one.id, one.name, one.kind, one.sections, one.purpose)  # type: ignore[arg-type]
            asks = viewing.itself(program)
            try:
                found = await viewing.why(self.store, one.district, asks, event.student, one.name, program)
                self._plans[event.student] = any(section.allowed for section in found.values())
            except ConfigError:  # no student any more
                self._plans[event.student] = False
        return self._plans[event.student]

    async def note(self, c: Transaction, told: Iterable[Event]) -> None:
        """Keep of which students it is told what; an answer that tells of none leaves no line."""
        of: dict[str, set[str]] = {}
        for event in told:
            if event.student is not None:
                of.setdefault(event.student, set()).add(event.type)
        if of:
            await reads.log_each(c, self, "events", of)


def _row(event: Event) -> tuple[str, str]:
    """The row of a collection that has to be within reach: of what concerns plans, the student."""
    return ("users", event.student or "") if event.collection == "plans" else (event.collection or "", event.about)


def _is_reached(event: Event, row: Happened | None, since: int | None) -> bool:
    if row is not None and row.source == events.REACH:
        return since is not None or row.op == "removed"
    if since is None:
        return event.type.endswith(".removed") and row is None  # it waited while the row left the reach
    return row is None or row.source != CHANGES or row.op != "added" or since < row.xid


async def read(
    store: Store,
    client: Client,
    after: str | None,
    *,
    limit: int,
    scopes: frozenset[str],
    person: str | None = None,
    types: Sequence[str] = (),
    days: int = KEPT_DAYS,
) -> Told:
    """The next events for a program that holds a token with these scopes, for a person if for one; noted as read.
    Refused where its place in the feed is lost, or nothing may be served to it."""
    async with store.transaction(client.district) as c:
        listener = await Listener.of(store, c, client, scopes, person)
        head = await stored.head(c, client.district)
        if after == "now":
            return Told([], head.place, False)
        place = Place.read(after) if after else None
        told = await following(c, listener, head, place, limit=limit, types=types, days=days)
        await listener.note(c, told.events)
        return told


async def following(
    c: Transaction,
    listener: Listener,
    head: Head,
    place: Place | None,
    *,
    limit: int,
    types: Sequence[str] = (),
    days: int = KEPT_DAYS,
) -> Told:
    """The next events after a place, none: after the oldest that is kept, as a program may be told them now."""
    kept_from = head.at - timedelta(days=min(days, KEPT_DAYS))
    if place is not None:
        events.refuse_lost(place, head.epoch, kept_from)
    place = place or Place(head.epoch, kept_from)
    wanted = events.sources(listener.scopes, types)
    agreement = listener.agreement.id if listener.agreement is not None else None
    told: list[Event] = []
    for _ in range(ROUNDS):
        size = limit - len(told)
        rows = await stored.since(c, place, head, kept_from, wanted, size, agreement)
        pairs = [(event, row) for row in rows if (event := events.of(head.epoch, row)) is not None]
        told += await listener.may(c, [one for one in pairs if events.is_wanted(one[0].type, types)])
        if len(rows) < size:
            return Told(told, head.place, False)
        place = Place(head.epoch, rows[-1].at, *rows[-1].order)
        if len(told) >= limit:
            break
    return Told(told, place, True)
