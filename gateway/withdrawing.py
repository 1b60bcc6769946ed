"""Taking back what destinations have of plans: because a person says so, or because what it stood on has ended."""

from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import date

from gateway import access, clock, sending
from gateway.access import Consent
from gateway.connected import opened
from gateway.errors import Refused
from gateway.store import agreements, consents, deliveries, registers, withdrawals
from gateway.store import plans as stored
from gateway.store.agreements import Terms
from gateway.store.database import Store, Transaction
from gateway.store.deliveries import Delivery
from gateway.store.registers import Actor, Connection
from gateway.store.withdrawals import Cause, Held

BY_ITSELF = Actor("withdrawal", "system")
Also = Callable[[Transaction, int, int], Awaitable[None]]
BECAUSE: Mapping[Cause, str] = {
    "plan": "The plan was taken back.",
    "agreement": "No agreement with the agency that hosts the destination is in force.",
    "consent": "The consent on which it stood was revoked or is over, or the family forbade it.",
    "left": "The student has left the district.",
}
"""Why something is taken back without a person, in words."""


async def request(
    store: Store, district: int, plan: str, actor: Actor, because: str, also: Also, destination: str = ""
) -> list[int]:
    """Queue the taking back of what a destination has of a plan, or all destinations that have any; the deliveries
    that do it. It takes the place of whatever waits to be sent there. `also` happens in the same transaction. Refused
    without a reason, and where a destination is named that was never sent the plan."""
    if not because.strip():
        raise Refused("reason-missing", "Taking a plan back needs a reason.", "Give --because.")
    only = await registers.connection(store, district, destination) if destination else None
    async with store.transaction(district) as c:
        await stored.load(c, plan)
        there = await withdrawals.holders(c, plan)
        return [
            await queue(store, c, district, plan, connection, actor, because, "person", also)
            for connection in ([only.id] if only else there)
        ]


async def queue(
    store: Store,
    c: Transaction,
    district: int,
    plan: str,
    connection: int,
    actor: Actor,
    because: str,
    cause: Cause,
    also: Also,
) -> int:
    """Queue one, on record with why, in the caller's transaction; `also` happens in it too."""
    number = await withdrawals.queue(c, district, plan, connection, actor, because, cause)
    name = (await registers.connection_in(store, c, connection)).name
    detail = {"destination": name, "because": because, "cause": cause, "delivery": number}
    await stored.note(c, district, plan, "withdraw", actor, detail)
    await also(c, number, connection)
    return number


async def carry_out(store: Store, delivery: Delivery) -> None:
    """Take back what a destination has of a plan; neither a blackout nor an agreement that is over is in the way of
    that. Safe to repeat: what is gone counts as taken back. What is not given back parks it, with the reason."""
    connection = await registers.connection(store, delivery.district, delivery.connection)
    if connection.paused_because:
        raise Refused(
            "connection-paused",
            f"{connection.name} is paused: {connection.paused_because}",
            "Mend it and lift the pause, then take the plan back again.",
        )
    async with opened(store, connection) as (connector, settings, http):
        assert connector.open_sink is not None
        sink = await connector.open_sink(settings, http)
        try:
            ended = await sending.take_back(store, delivery, sink)
        finally:
            await sink.close()
    state = "parked" if ended.reason else "withdrawn"
    await deliveries.finish(store, delivery, state, ended.losses, ended.reason, causes=ended.causes)


async def sweep(store: Store, district: int, also: Also) -> Counter[Cause]:
    """Queue the taking back of whatever may not stay where it is: the plan was taken back, the agreement with the host
    is over, no consent that it stood on holds, the student has left. How many by each cause; `also` happens in the
    transaction that queues one."""
    found: Counter[Cause] = Counter()
    today = clock.today()
    async with store.transaction(district) as c:
        if not await withdrawals.look(c, district):
            return found
        theirs = await withdrawals.held(c)
        for number in dict.fromkeys(one.connection for one in theirs):
            there = [one for one in theirs if one.connection == number]
            connection = await registers.connection_in(store, c, number)
            rights = await _rights(c, connection, there, today)
            for one in there:
                if cause := _cause(one, *rights, today):
                    because = BECAUSE[cause]
                    await queue(store, c, district, one.plan, number, BY_ITSELF, because, cause, also)
                    found[cause] += 1
    return found


Rights = tuple[bool, Terms, Mapping[str, Sequence[Consent]]]


async def _rights(c: Transaction, connection: Connection, there: Sequence[Held], today: date) -> Rights:
    """Whether nothing may be sent to a destination for want of an agreement, the terms, the consents by student."""
    try:
        await agreements.refuse(c, connection, today)
        over = False
    except Refused:
        over = True
    known = await consents.of_students(c, {one.student for one in there}, await agreements.names(c, connection))
    return over, await agreements.terms(c, connection, today), known


def _cause(one: Held, over: bool, agreed: Terms, known: Mapping[str, Sequence[Consent]], today: date) -> Cause | None:
    if one.taken_back:
        return "plan"
    if over:
        return "agreement"
    receiver = access.receiver(agreed.sections, agreed.needs_consent, known.get(one.student, ()), today)
    if "identity" in receiver.withheld:
        return "consent"
    return "left" if one.left else None
