"""Deliveries as jobs: asked for, due again, carried out, and what each error does to one."""

import logging
from datetime import timedelta
from functools import partial

from gateway import clock, delivery, logs, withdrawing
from gateway.connected import refuse_paused
from gateway.deferring import defer
from gateway.errors import AuthError, PlanbridgeError, Refused, Unavailable
from gateway.store import blackouts, deliveries, districts, registers, turns, withdrawals
from gateway.store.database import DatabaseError, Store, Transaction, is_lost
from gateway.store.deliveries import Delivery
from gateway.store.registers import Actor

log = logging.getLogger(__name__)

OUR_FAULT = "This is a fault of Planbridge; please report it."
GIVEN_UP = "By itself it is not tried for longer than a day: send it again once the destination answers."


async def request_push(
    store: Store,
    district: int,
    plan: str,
    destination: str,
    actor: Actor,
    overwrite: str = "",
    *,
    doorway: bool = False,
) -> int:
    """Queue a delivery of a plan's newest version; one at a time goes to each destination. `overwrite`: a reason, see
    delivery.request; `doorway`: a link and nothing of the plan."""
    await _refuse_resting(store, district, destination)
    number, _ = await delivery.request(
        store, district, plan, destination, actor, deliver_next(district), overwrite, doorway=doorway
    )
    return number


async def request_push_all(store: Store, district: int, destination: str, actor: Actor) -> list[int]:
    """Queue a delivery of every plan's newest version that a destination does not have yet; their numbers."""
    await _refuse_resting(store, district, destination)
    return await delivery.request_all(store, district, destination, actor, deliver_next(district))


async def _refuse_resting(store: Store, district: int, destination: str) -> None:
    """Refused while a destination is paused or has its blackout, or the district is suspended."""
    found = await registers.connection(store, district, destination)
    refuse_paused(found)
    async with store.transaction(district) as c:
        await districts.refuse_suspended(c, district)
        await blackouts.refuse(c, found.id, clock.now())


async def request_resend(store: Store, district: int, number: int, actor: Actor) -> int:
    """Queue once more what a delivery that is parked, or waits for its next try, was to do: the plan's newest version
    is sent, or what is there is taken back. Refused for one that is over, or older than another one of the plan, which
    may have taken it back since; and as any push is."""
    async with store.transaction(district) as c:
        found = await deliveries.status(c, number)
        newest = await deliveries.newest(c, number)
    if found["state"] not in ("parked", "queued") or newest != number:
        now = found["state"] if newest == number else f"{found['state']}, and delivery {newest} is newer"
        raise Refused(
            "delivery-over",
            f"Delivery {number} is {now}: there is nothing to send again.",
            "To send the plan's newest version: `planbridge push`.",
        )
    plan, to = found["plan"], found["destination"]
    if found["kind"] == "withdraw":
        [again] = await request_withdrawal(store, district, plan, actor, found["because"] or "Once more.", to)
        return again
    return await request_push(store, district, plan, to, actor, found["overwrite"] or "", doorway=found["doorway"])


async def request_withdrawal(
    store: Store, district: int, plan: str, actor: Actor, because: str, destination: str = ""
) -> list[int]:
    """Queue the taking back of a plan from one destination, or from all: see withdrawing.request."""
    async with store.transaction(district) as c:
        await districts.refuse_suspended(c, district)
    return await withdrawing.request(store, district, plan, actor, because, deliver_next(district), destination)


def deliver_next(district: int) -> delivery.Also:
    """What queues the job that carries a delivery out, in the transaction that makes it."""

    async def with_job(c: Transaction, number: int, connection: int) -> None:
        await defer(c, "deliver", f"destination/{connection}", district=district, delivery=number)

    return with_job


async def due(store: Store) -> None:
    """Deliveries whose destination could not answer are tried again; what may not stay where it is is taken back."""
    for district, number, connection in await turns.due(store, now := clock.now()):
        async with store.transaction(district) as c:
            if await turns.claim(c, number, now):
                await deliver_next(district)(c, number, connection)
    for district in await withdrawals.due(store):
        with logs.about(district=district):
            try:
                found = await withdrawing.sweep(store, district, deliver_next(district))
            except Exception as error:  # one district's trouble is not the others'
                if isinstance(error, DatabaseError) and is_lost(error):
                    raise
                log.error("the look at what may not stay met a fault of ours: %s", logs.where(error))
            else:
                for cause, count in found.items():
                    log.info("%s plans are taken back from destinations: %s", count, cause)


async def deliver_job(store: Store, district: int, delivery_id: int) -> None:
    """Carry out a delivery, and whatever else waits for its destination. A refusal parks one with its reason; where the
    destination could not answer it is tried again, for a day, and then parked."""
    connection = await deliveries.destination(store, district, delivery_id)
    if connection is None:
        return
    count = await delivery.deliver_all(store, district, connection, partial(_settle, store))
    log.info("%s deliveries to the destination of %s ended, or wait for their turn", count, delivery_id)


async def _settle(store: Store, one: Delivery, error: Exception) -> None:
    attempt = (one.district, one.id, one.fence)
    if isinstance(error, AuthError):
        await deliveries.pause_destination(store, one.district, one.id, str(error))
    match error:
        case Unavailable() | AuthError() | Refused() if _waits(one, error):
            asked = timedelta(seconds=getattr(error, "retry_after", None) or 0)
            if (again := await turns.later(store, *attempt, str(error), clock.now(), asked)) is not None:
                log.info("delivery %s is tried again at %s", one.id, again.isoformat())
            else:  # where a newer one goes instead nothing is there to park
                await deliveries.park(store, one.district, one.id, f"{error} {GIVEN_UP}", one.fence)
        case PlanbridgeError():
            await deliveries.park(store, one.district, one.id, str(error), one.fence)
        case _:
            log.error("delivery %s met a fault of ours: %s", one.id, logs.where(error))
            await deliveries.park(store, one.district, one.id, f"{OUR_FAULT} ({logs.where(error)})", one.fence)


def _waits(one: Delivery, error: Exception) -> bool:
    """Whether it is tried again by itself. What is to be taken back waits for a destination that rests, too: what was
    sent there may not stay because somebody changed a password."""
    rests = isinstance(error, AuthError) or getattr(error, "code", "") == "connection-paused"
    return isinstance(error, Unavailable) or (one.kind == "withdraw" and rests)
