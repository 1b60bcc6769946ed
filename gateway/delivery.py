"""A finalized plan on its way to a destination: what would be sent, sent once, and what the other side has."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Any, Self

from gateway import audience, clock, registry, sending, withdrawing
from gateway.audience import Audience
from gateway.composing import Composed, Wanted, compose
from gateway.connected import opened
from gateway.connector import Allocating, Document, Showing
from gateway.errors import AuthError, Refused, Unavailable
from gateway.sending import Desk, NotBegun
from gateway.store import (
    agreements,
    audiences,
    blackouts,
    deliveries,
    destinations,
    disclosures,
    ledger,
    reading,
    rechecks,
    registers,
    rollouts,
    turns,
    verifications,
)
from gateway.store import plans as stored
from gateway.store.database import DatabaseError, Store, Transaction, is_lost
from gateway.store.deliveries import Cause, Delivery, Finished
from gateway.store.disclosures import Disclosure
from gateway.store.ledger import Known
from gateway.store.registers import Actor, Connection
from gateway.store.rollouts import Rollout
from gateway.store.runs import Fenced

SENDING = Actor("Planbridge", "worker")
Also = Callable[[Transaction, int, int], Awaitable[None]]


Settle = Callable[[Delivery, Exception], Awaitable[None]]
"""What is to become of a delivery that could not be carried out."""
MOST = 500
"""So many are composed together at the most, and no more than were sent lately in a quarter of OLD_SECONDS: they wait
for those before them, and then for one another."""
OLD_SECONDS = 5.0
"""What was composed so long ago, and is not on its way, is composed anew: a destination that is slow, or asks to wait,
gets nothing by a consent that was revoked meanwhile."""


async def preview(
    store: Store,
    district: int,
    plan: str,
    destination: str,
    number: int | None = None,
    *,
    doorway: bool | None = None,
) -> Composed:
    """What pushing a plan's version would send. `doorway`: a link and nothing of the plan; left out, as it was sent
    last. Refused while nothing is finalized."""
    connection = await registers.connection(store, district, destination)
    (made,) = await compose(store, connection, [Wanted(plan, number, doorway)])
    if not isinstance(made, Composed):
        raise made
    return made


async def seen_by(store: Store, district: int, destination: str, made: Composed) -> Audience:
    """Who would see there what a preview shows: asks the destination, sends nothing. Only into a learning platform
    people look by rules of its own."""
    connection = await registers.connection(store, district, destination)
    if registry.connector(connection.connector).place != "lms":
        return Audience(told=False)
    async with opened(store, connection) as (connector, settings, http):
        assert connector.open_sink is not None
        sink = await connector.open_sink(settings, http)
        try:
            return await audience.ask(store, connection, sink, made.documents, made.stands, made.student)
        finally:
            await sink.close()


async def request(
    store: Store,
    district: int,
    plan: str,
    destination: str,
    actor: Actor,
    also: Also | None = None,
    overwrite: str = "",
    *,
    doorway: bool = False,
) -> tuple[int, int]:
    """Note a delivery of the plan's newest version; returns (delivery, connection). Composes it first, so that
    what cannot be sent is refused now and not at night. `also` happens in the same transaction. `overwrite` is the
    reason why it may take the place of records that others wrote; what was found lost there is then sent again."""
    made = await preview(store, district, plan, destination, doorway=doorway)
    connection = await registers.connection(store, district, destination)
    async with store.transaction(district) as c:
        await agreements.refuse(c, connection, clock.today())
        if overwrite:
            await verifications.forget_lost(c, connection.id, plan)
        number = await deliveries.queue(c, district, plan, made.version, connection.id, actor, overwrite)
        detail: dict[str, Any] = {"destination": destination, "version": made.version}
        detail |= ({"overwrite": overwrite} if overwrite else {}) | ({"doorway": True} if doorway else {})
        if doorway:
            await audiences.note_doorway(c, number)
        await stored.note(c, district, plan, "push", actor, detail)
        if also is not None:
            await also(c, number, connection.id)
    return number, connection.id


async def request_all(store: Store, district: int, destination: str, actor: Actor, also: Also) -> list[int]:
    """Note a delivery of every plan's newest version that a destination does not have; their numbers. They are composed
    on their way: what cannot be sent is parked with its reason. `also` happens once in the same transaction."""
    connection = await registers.connection(store, district, destination)
    await compose(store, connection, [])
    async with store.transaction(district) as c:
        made = await deliveries.queue_all(c, district, connection, actor)
        if made:
            await also(c, made[0], connection.id)
    return made


async def deliver_all(store: Store, district: int, connection: int, settle: Settle) -> int:
    """Carry out whatever waits for a destination, batch after batch: while one is sent the next is composed. How many.

    What is sent goes side by side, as far as the destination takes requests side by side; then what is taken back. Of
    each is sent what differs from what was delivered, in the order that the destination wants; what refers to something
    that was refused is not sent, the rest is. What the plan had and has no more is ended last. Safe to repeat: each
    object has a natural key or a marker, the ledger says what was delivered, and only a 2xx counts. Refused in a
    blackout, while the destination is paused, and without an agreement with the agency that hosts it.

    Once the destination cannot answer, or refuses our credentials, what was not begun is handed back. A database that
    fails, or another attempt that took over, ends it all.
    """
    count = 0
    async with _Line(store, district, connection, settle) as line:
        batch = await line.next()
        while batch.taken:
            ahead = asyncio.create_task(line.next([one.id for one in batch.taken]))
            try:
                answers = await line.carry_out(batch)
            except BaseException:
                ahead.cancel()  # what it took is under way still, and the next attempt takes it over
                await asyncio.gather(ahead, return_exceptions=True)
                raise
            count += len(batch.taken)
            batch = await ahead
            if not answers:
                await turns.hand_back(store, district, _attempts(batch.taken))
            if not (answers and batch.taken):  # of the plans that were under way something may wait
                batch = await line.next()
    return count


EVERYWHERE = Rollout()


@dataclass(frozen=True)
class _Batch:
    """Deliveries that were taken, and what of them is `ready` to be sent; `error` is in the way of all of them."""

    taken: Sequence[Delivery]
    connection: Connection
    rollout: Rollout = EVERYWHERE
    ready: Sequence[tuple[Delivery, Composed, Known]] = ()
    refused: Sequence[tuple[Delivery, Exception]] = ()
    error: Exception | None = None
    facts: Mapping[str, str] = field(default_factory=dict)
    """By what each plan is judged; read before it is composed, so that a change in between counts as one."""
    at: float = field(default_factory=time.monotonic)

    @property
    def old(self) -> bool:
        return time.monotonic() - self.at > OLD_SECONDS


class _Line:
    """What goes to one destination: opened when the first is sent, and again where its settings changed meanwhile."""

    def __init__(self, store: Store, district: int, connection: int, settle: Settle) -> None:
        self._store = store
        self._district = district
        self._number = connection
        self._settle = settle
        self._desk: Desk | None = None
        self._of: Connection | None = None
        self._open = AsyncExitStack()
        self._most = 0

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._open.aclose()

    async def next(self, under_way: Sequence[int] = ()) -> _Batch:
        """Take and compose what waits next, beside what is under way."""
        connection = await registers.connection(self._store, self._district, self._number)
        most = min(max(8, self._most or 8 * abreast(connection)), MOST)
        return await self.ready(await deliveries.take(self._store, self._district, self._number, most, under_way))

    async def ready(self, taken: Sequence[Delivery]) -> _Batch:
        """Compose them as consents and agreements are now, not as they were when somebody asked."""
        connection = await registers.connection(self._store, self._district, self._number)
        pushes = [one for one in taken if one.kind == "push"]
        if not pushes:
            return _Batch(taken, connection)
        try:
            return await self._composed(taken, connection, pushes)
        except Exception as error:
            if _ends_all(error):
                raise
            return _Batch(taken, connection, error=error)

    async def _composed(self, taken: Sequence[Delivery], connection: Connection, pushes: Sequence[Delivery]) -> _Batch:
        if connection.paused_because:
            raise Refused(
                "connection-paused",
                f"{connection.name} is paused: {connection.paused_because}",
                "Mend it and lift the pause, then send the plan again.",
            )
        began = time.monotonic()
        async with self._store.transaction(self._district) as c:
            await blackouts.refuse(c, connection.id, clock.now())  # they may have waited for their turn until then
            rollout = await rollouts.of(c, connection.id)
            plans = [one.plan for one in pushes]
            known = await ledger.known(c, connection.id, plans)
            facts = await rechecks.facts(self._store, c, connection.id, plans, clock.today())
        wanted = [Wanted(one.plan, one.version, one.doorway) for one in pushes]
        both = list(zip(pushes, await compose(self._store, connection, wanted), strict=True))
        return _Batch(
            taken,
            connection,
            rollout,
            [(one, made, known[one.plan]) for one, made in both if isinstance(made, Composed)],
            [(one, made) for one, made in both if not isinstance(made, Composed)],
            facts=facts,
            at=began,
        )

    async def carry_out(self, batch: _Batch) -> bool:
        """Send a batch, and take back what is to be taken back; false once the destination does not answer."""
        answers = True
        rest: Sequence[Delivery] = [one for one in batch.taken if one.kind == "push"]
        pushes = await self._anew(rest) if batch.old else batch
        while rest:
            answers, rest = await self._push(pushes)
            if rest:
                pushes = await self._anew(rest)
        for one in batch.taken:
            if one.kind == "withdraw":
                try:
                    await withdrawing.carry_out(self._store, one)
                except Exception as error:
                    if _ends_all(error):
                        raise
                    await self._settle(one, error)
        return answers

    async def _anew(self, taken: Sequence[Delivery]) -> _Batch:
        """Compose what was not begun as things are now; what a newer one has taken the place of goes no more."""
        gone = await turns.make_way(self._store, self._district, _attempts(taken))
        return await self.ready([one for one in taken if one.id not in gone])

    async def _push(self, batch: _Batch) -> tuple[bool, Sequence[Delivery]]:
        """Whether the destination answers, and what was not begun while the batch was young."""
        pushes = [one for one, *_ in batch.ready] or [one for one in batch.taken if one.kind == "push"]
        for one, why in batch.refused:
            await self._settle(one, why)
        try:
            if batch.error:
                raise batch.error
            return await self._send(batch) if batch.ready else (True, ())
        except Unavailable as error:
            first, *rest = pushes
            await self._settle(first, error)
            await turns.hand_back(self._store, self._district, _attempts(rest))
            return False, ()
        except Exception as error:  # what is true of the destination is true of each
            if _ends_all(error):
                raise
            for one in pushes:
                await self._settle(one, error)
            return True, ()

    async def _send(self, batch: _Batch) -> tuple[bool, Sequence[Delivery]]:
        async with self._store.transaction(self._district) as c:
            choice = await destinations.edited_there(c, batch.connection.id)
            sent = [(one, made) for one, made, _ in batch.ready if batch.rollout.sends(made.given.plan.school)]
            await _note(c, batch.connection, sent)
        desk = await self._opened(batch.connection)
        desk.stopped, desk.edited_there = False, choice
        await desk.expect([(one, made.documents, known) for one, made, known in batch.ready])
        began = time.monotonic()
        work = _Abreast(desk, batch, self._settle)
        await work.all(abreast(batch.connection))
        sent_now = len(batch.ready) - len(work.late)
        self._most = round(OLD_SECONDS / 4 * sent_now / max(time.monotonic() - began, 0.001))
        return not desk.stopped, work.late

    async def _opened(self, connection: Connection) -> Desk:
        if self._desk is None or connection != self._of:
            await self._open.aclose()
            connector, settings, http = await self._open.enter_async_context(opened(self._store, connection))
            assert connector.open_sink is not None
            sink = await connector.open_sink(settings, http)
            self._open.push_async_callback(sink.close)
            self._desk, self._of = Desk(self._store, self._district, sink, abreast(connection)), connection
        return self._desk


class _Abreast:
    """Deliveries of a batch that go side by side, and those that are to be composed anew before they go."""

    def __init__(self, desk: Desk, batch: _Batch, settle: Settle) -> None:
        self._desk = desk
        self._batch = batch
        self._settle = settle
        self._begun = False
        self.late: list[Delivery] = []
        self._handed_back: list[Delivery] = []

    async def all(self, abreast: int) -> None:
        work = iter(self._batch.ready)
        # Each writes down what it was answered before it is over: with no more of them than requests, nothing would be
        # on its way meanwhile. Whom the destination is asked about first keeps it as busy as they are.
        if not isinstance(self._desk.sink, Showing):
            abreast *= 3
        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(min(abreast, len(self._batch.ready))):
                    group.create_task(self._some(work))
        except BaseExceptionGroup as several:
            raise several.exceptions[0] from None
        if self._desk.stopped:
            self._handed_back += self.late
            self.late = []
        if self._handed_back:
            await turns.hand_back(self._desk.store, self._batch.connection.district, _attempts(self._handed_back))

    async def _some(self, work: Iterator[tuple[Delivery, Composed, Known]]) -> None:
        for one, made, known in work:
            if self._desk.stopped:
                self._handed_back.append(one)
                continue
            if self._begun and self._batch.old:
                self.late.append(one)
                continue
            self._begun = True
            try:
                await self._desk.finish(await self._one(one, made, known))
            except NotBegun:
                self._handed_back.append(one)
            except Exception as error:
                if _ends_all(error):
                    raise
                if isinstance(error, Unavailable) and self._desk.stopped:  # one of them waits for all
                    self._handed_back.append(one)
                    continue
                self._desk.stopped = self._desk.stopped or isinstance(error, Unavailable | AuthError)
                await self._settle(one, error)

    async def _one(self, delivery: Delivery, made: Composed, known: Known) -> Finished:
        desk, connection = self._desk, self._batch.connection
        seen = await audience.ask(desk.store, connection, desk.sink, made.documents, made.stands, made.student)
        if seen.told:
            await audiences.note(desk.store, delivery, seen.counted())
        if seen.refusal:
            async with desk.store.transaction(delivery.district) as c:  # what lies there from before is looked at anew
                await rechecks.forget(c, connection.id, delivery.plan)
            return Finished(delivery, "parked", made.losses, seen.refusal, causes=[Cause(0, seen.refusal)])
        if not self._batch.rollout.sends(made.given.plan.school):
            await audiences.note_rehearsed(desk.store, delivery, made.documents)
            return Finished(delivery, "rehearsed", made.losses)
        ended = await sending.send(desk, delivery, known, made.documents, made.losses, made.period_start)
        state = "parked" if ended.reason else "delivered"
        facts = self._batch.facts.get(delivery.plan, "")
        return Finished(delivery, state, ended.losses, ended.reason, ended.waits, ended.causes, facts)


def _attempts(taken: Sequence[Delivery]) -> turns.Attempts:
    return {one.id: one.fence for one in taken}


def _ends_all(error: Exception) -> bool:
    """Whether there is nothing left to go on with: another attempt took over, or the database is gone. What the
    database refuses of one delivery is that one's trouble."""
    return isinstance(error, Fenced) or (isinstance(error, DatabaseError) and is_lost(error))


def abreast(connection: Connection) -> int:
    """How many requests a destination takes side by side."""
    usual = registry.connector(connection.connector).settings.model_fields["in_flight"].default
    return int(connection.settings.get("in_flight", usual))


async def _note(c: Transaction, connection: Connection, sent: Sequence[tuple[Delivery, Composed]]) -> None:
    """What leaves is on record before it does: whoever never hears the answer has it said all the same."""
    agency = await agreements.hosted_by(c, connection.id)
    lines = [
        Disclosure(
            made.student,
            "push",
            f"{connection.name}, hosted by {agency}" if agency else connection.name,
            True,
            "a destination of the student's plan",
            made.given.purpose,
            f"An agreement with {agency} is in force today." if agency else "The district runs this system itself.",
            made.given.sections,
            plan=delivery.plan,
            version=delivery.version,
            delivery=delivery.id,
        )
        for delivery, made in sent
    ]
    await disclosures.note_all(c, connection.district, lines, SENDING)


async def again(store: Store, connection: Connection, also: Also) -> list[int]:
    """Queue the deliveries to a destination that may end now that it was pulled: those that lacked something there, and
    those whose student was not enrolled and is by now. Their numbers. `also` happens in the same transaction."""
    async with store.transaction(connection.district) as c:
        found = await deliveries.waiting(c, connection.id)
    queued = []
    for number, waits, student in found:
        if waits == "enrollment" and not await _enrolled(store, connection, student):
            continue
        async with store.transaction(connection.district) as c:
            if await deliveries.again(c, number):
                await also(c, number, connection.id)
                queued.append(number)
    return queued


async def _enrolled(store: Store, connection: Connection, student: str) -> bool:
    """Whether the destination's own records have the student at a school today."""
    today = clock.today().isoformat()
    async with store.transaction(connection.district) as c:
        claims = await reading.provenance(c, "person", student)
    return any(
        role["role"] == "student" and (role.get("end_on") or "9999") > today
        for claim in claims
        if claim["connection_id"] == connection.id
        for role in claim["stated"].get("roles", ())
    )


async def read_back(
    store: Store, district: int, plan: str, destination: str
) -> list[tuple[Document, dict[str, Any] | None]]:
    """Each object of the plan's newest version as the destination has it now, or None."""
    connection = await registers.connection(store, district, destination)
    made = await preview(store, district, plan, destination)
    async with opened(store, connection) as (connector, settings, http):
        assert connector.open_sink is not None
        sink = await connector.open_sink(settings, http)
        try:
            found = []
            for document in made.documents:
                if isinstance(sink, Allocating):
                    async with store.transaction(district) as c:
                        sink.know(document, await deliveries.remote_id(c, connection.id, document))
                found.append((document, await sink.read_back(document)))
            return found
        finally:
            await sink.close()
