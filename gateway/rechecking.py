"""Looking again whether what was delivered may still lie where it does, once what it was judged by has changed."""

import logging
from collections import Counter
from typing import Literal

from gateway import clock, delivery, logs, withdrawing
from gateway.delivery import Also
from gateway.errors import PlanbridgeError, Refused
from gateway.sending import fingerprint
from gateway.store import audiences, blackouts, deliveries, rechecks, registers, rollouts
from gateway.store import plans as stored
from gateway.store.database import DatabaseError, Store
from gateway.store.rechecks import There
from gateway.store.registers import Actor, Connection
from gateway.store.withdrawals import Cause

log = logging.getLogger(__name__)

BY_ITSELF = Actor("re-check", "system")
AT_MOST = 500
"""So many plans in one look, and the rest in the next one, at once: what waits to be sent goes in between."""
CAUSES: dict[str, Cause] = {
    "consent-missing": "consent",
    "agreement-missing": "agreement",
    "contact-without-rights": "rights",
    "student-number-shared": "audience",  # it may have become another child's
}
"""A refusal to send that is also a reason to take back."""
NOT_ROLLED_OUT = "Something of it was to change, and nothing is sent there for its school any more."


async def look(store: Store, district: int, connection_id: int, also: Also) -> Counter[str]:
    """Judge anew each plan at a destination about which something changed: it is taken back, where it may not lie there
    any more; sent again in the same version, where something else of it is to be there today; or left. How many of
    each. What cannot be judged now, because the destination does not answer, is judged with the next look.
    """
    connection = await registers.connection(store, district, connection_id)
    found: Counter[str] = Counter()
    async with store.transaction(district) as c:
        theirs = await rechecks.changed(store, c, connection.id, clock.today())
    for there in theirs[:AT_MOST]:
        try:
            found[await _judge(store, connection, there, also)] += 1
        except PlanbridgeError as error:
            found["later"] += 1
            log.warning("a plan could not be judged anew: %s", error.code)
        except DatabaseError:
            raise
        except Exception as error:  # one plan's trouble is not the others'
            found["later"] += 1
            log.error("the judging of a plan met a fault of ours: %s", logs.where(error))
    if len(theirs) > AT_MOST and found.total() > found["later"]:
        async with store.transaction(district) as c:
            await rechecks.look_on(c, connection.id)
    return found


async def _judge(
    store: Store, connection: Connection, there: There, also: Also
) -> Literal["taken back", "sent again", "left"]:
    cause: Cause | None = None
    try:
        made = await delivery.preview(store, connection.district, there.plan, connection.name, there.version)
    except Refused as refusal:
        cause, because = CAUSES.get(refusal.code), str(refusal)
        if cause is None:  # a student who is not known there any more, a plan that was taken back: others see to it
            return await _note(store, connection, there)
    else:
        seen = await delivery.seen_by(store, connection.district, connection.name, made)
        if seen.refusal:
            cause, because = "audience", seen.refusal
    place = (connection.district, there.plan, connection.id)
    async with store.transaction(connection.district) as c:
        if cause is not None:
            await withdrawing.queue(store, c, *place, BY_ITSELF, because, cause, also)
            await rechecks.note(c, connection.district, connection.id, there)
            return "taken back"
        contents = {one.name: fingerprint(one) for one in made.documents if not one.create_only}
        # What was sent before anybody judged it may differ for reasons of its own: for a person to decide.
        same = there.known is None or not await rechecks.differ(c, connection.id, there.plan, contents)
        await rechecks.note(c, connection.district, connection.id, there)
        if same:
            return "left"
        if not (await rollouts.of(c, connection.id)).sends(made.given.plan.school):
            await withdrawing.queue(store, c, *place, BY_ITSELF, NOT_ROLLED_OUT, "audience", also)
            return "taken back"
        await blackouts.refuse(c, connection.id, clock.now())  # it would be parked; the next look comes
        detail = {"destination": connection.name, "version": there.version}
        number = await deliveries.queue(c, connection.district, there.plan, there.version, connection.id, BY_ITSELF)
        if await audiences.were_doorways(c, connection.id, [there.plan]):
            await audiences.note_doorway(c, number)
        await stored.note(c, connection.district, there.plan, "push", BY_ITSELF, detail)
        await also(c, number, connection.id)
    return "sent again"


async def _note(store: Store, connection: Connection, there: There) -> Literal["left"]:
    async with store.transaction(connection.district) as c:
        await rechecks.note(c, connection.district, connection.id, there)
    return "left"
