"""A finalized plan on its way to a destination: what would be sent, sent once, and what the other side has."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from typing import Any

from gateway import audience, clock, sending, withdrawing
from gateway.audience import Audience
from gateway.composing import Composed, Wanted, compose
from gateway.connected import opened
from gateway.connector import Allocating, Document
from gateway.errors import AuthError, PlanbridgeError, Refused, Unavailable
from gateway.sending import Desk
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
from gateway.store.database import DatabaseError, Store, Transaction
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
ABREAST = 200
"""So many are read and composed together."""


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
    if isinstance(made, Refused):
        raise made
    return made


async def seen_by(store: Store, district: int, destination: str, made: Composed) -> Audience:
    """Who would see there what a preview shows: asks the destination, sends nothing."""
    connection = await registers.connection(store, district, destination)
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


async def request_all(store: Store, district: int, destination: str, actor: Actor, also: Also) -> int:
    """Note a delivery of every plan's newest version that a destination does not have; how many. They are composed on
    their way: what cannot be sent is parked with its reason. `also` happens once in the same transaction."""
    connection = await registers.connection(store, district, destination)
    await compose(store, connection, [])
    async with store.transaction(district) as c:
        made = await deliveries.queue_all(c, district, connection, actor)
        if made:
            await also(c, made[0], connection.id)
    return len(made)


async def deliver(store: Store, district: int, delivery_id: int) -> None:
    """Carry out one delivery, whatever else waits for its destination. Raises what `settle` of `carry_out` is told."""
    delivery = await deliveries.begin(store, district, delivery_id)
    if delivery is None:
        return

    async def settle(_: Delivery, error: Exception) -> None:
        raise error

    await carry_out(store, district, [delivery], settle)


async def carry_out(store: Store, district: int, taken: Sequence[Delivery], settle: Settle) -> None:
    """Carry out deliveries to one destination that were taken: what is sent goes side by side, as many as it has
    requests side by side; then what is taken back.

    Of each is sent what differs from what was delivered, in the order that the destination wants; what refers to
    something that was refused is not sent, the rest is. What the plan had and has no more is ended last. Safe to
    repeat: each object has a natural key or a marker, the ledger says what was delivered, and only a 2xx counts.
    Refused in a blackout, while the destination is paused, and without an agreement with the agency that hosts it.

    Once the destination cannot answer, or refuses our credentials, what was not begun is handed back. A database that
    fails, or another attempt that took over, ends it all.
    """
    connection = await registers.connection(store, district, taken[0].connection)
    if pushes := [one for one in taken if one.kind == "push"]:
        try:
            await _push(store, connection, pushes, settle)
        except Unavailable as error:
            await settle(pushes[0], error)
            await turns.hand_back(store, district, [one.id for one in pushes])
        except PlanbridgeError as error:  # what is true of the destination is true of each
            for one in pushes:
                await settle(one, error)
    for one in taken:
        if one.kind == "withdraw":
            try:
                await withdrawing.carry_out(store, one)
            except (Fenced, DatabaseError):
                raise
            except Exception as error:
                await settle(one, error)


async def _push(store: Store, connection: Connection, pushes: Sequence[Delivery], settle: Settle) -> None:
    """Compose them all, write down what is about to leave, and send. Raises what stands in the way of each."""
    if connection.paused_because:
        raise Refused(
            "connection-paused",
            f"{connection.name} is paused: {connection.paused_because}",
            "Mend it and lift the pause, then send the plan again.",
        )
    async with store.transaction(connection.district) as c:
        await blackouts.refuse(c, connection.id, clock.now())  # they may have waited for their turn until then
    # As consents and agreements are now, not when it was queued.
    composed = await compose(store, connection, [Wanted(one.plan, one.version, one.doorway) for one in pushes])
    ready = []
    for one, made in zip(pushes, composed, strict=True):
        if isinstance(made, Refused):
            await settle(one, made)
        else:
            ready.append((one, made))
    async with store.transaction(connection.district) as c:
        rollout = await rollouts.of(c, connection.id)
        known = await ledger.known(c, connection.id, [one.plan for one, _ in ready])
        choice = await destinations.edited_there(c, connection.id)
        sent = [(one, made) for one, made in ready if rollout.sends(made.given.plan.school)]
        await _note(c, connection, sent)
    if not ready:
        return
    async with opened(store, connection) as (connector, settings, http):
        assert connector.open_sink is not None
        sink = await connector.open_sink(settings, http)
        try:
            desk = Desk(store, connection.district, sink, choice)
            await _Abreast(desk, connection, known, rollout, settle).all(ready, settings.in_flight)
        finally:
            await sink.close()


class _Abreast:
    """Deliveries that go to one destination side by side, and whether it answers still."""

    def __init__(
        self, desk: Desk, connection: Connection, known: Mapping[str, Known], rollout: Rollout, settle: Settle
    ) -> None:
        self._desk = desk
        self._connection = connection
        self._known = known
        self._rollout = rollout
        self._settle = settle
        self._stopped = False
        self._handed_back: list[int] = []

    async def all(self, ready: Sequence[tuple[Delivery, Composed]], abreast: int) -> None:
        work = iter(ready)
        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(min(abreast, len(ready))):
                    group.create_task(self._some(work))
        except BaseExceptionGroup as several:
            raise several.exceptions[0] from None
        if self._handed_back:
            await turns.hand_back(self._desk.store, self._connection.district, self._handed_back)

    async def _some(self, work: Iterator[tuple[Delivery, Composed]]) -> None:
        for one, made in work:
            if self._stopped:
                self._handed_back.append(one.id)
                continue
            try:
                await self._desk.finish(await self._one(one, made))
            except (Fenced, DatabaseError):
                raise
            except Exception as error:
                if isinstance(error, Unavailable) and self._stopped:  # one of them waits for all
                    self._handed_back.append(one.id)
                    continue
                self._stopped = self._stopped or isinstance(error, Unavailable | AuthError)
                await self._settle(one, error)

    async def _one(self, delivery: Delivery, made: Composed) -> Finished:
        desk = self._desk
        seen = await audience.ask(desk.store, self._connection, desk.sink, made.documents, made.stands, made.student)
        if seen.told:
            await audiences.note(desk.store, delivery, seen.counted())
        if seen.refusal:
            async with desk.store.transaction(delivery.district) as c:  # what lies there from before is looked at anew
                await rechecks.forget(c, self._connection.id, delivery.plan)
            return Finished(delivery, "parked", made.losses, seen.refusal, causes=[Cause(0, seen.refusal)])
        if not self._rollout.sends(made.given.plan.school):
            await audiences.note_rehearsed(desk.store, delivery, made.documents)
            return Finished(delivery, "rehearsed", made.losses)
        known = self._known[delivery.plan]
        ended = await sending.send(desk, delivery, known, made.documents, made.losses, made.period_start)
        state = "parked" if ended.reason else "delivered"
        return Finished(delivery, state, ended.losses, ended.reason, ended.waits, ended.causes)


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
