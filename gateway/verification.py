"""Looking again at what was delivered: whether the other side still has it as it was sent, and what follows."""

import logging
from collections import Counter
from collections.abc import Mapping
from typing import Literal

from gateway import clock, delivery, logs
from gateway.connected import opened
from gateway.connector import Allocating, Document, Merging, Sink
from gateway.delivery import Also
from gateway.errors import ConfigError, PlanbridgeError, Refused
from gateway.sameness import holds
from gateway.sending import fingerprint
from gateway.store import agreements, deliveries, registers, verifications
from gateway.store import plans as stored
from gateway.store.database import DatabaseError, Store
from gateway.store.registers import Actor, Connection
from gateway.store.verifications import Known, Look, Wanted

log = logging.getLogger(__name__)

BY_ITSELF = Actor("verification", "system")
Found = Literal["kept", "due", "gone", "changed", "dropped", "other"]


async def look(store: Store, district: int, connection_id: int, also: Also) -> None:
    """Look at what is wanted of one destination, and write down how it was found.

    Nothing is sent from here. A value of ours in somebody else's record that was dropped, or is due elsewhere, is
    delivered again, once a day: `also` happens in the transaction that queues that. Everything else waits for a
    person. An error of the other system is the look's outcome; it is made anew in an hour.
    """
    connection = await registers.connection(store, district, connection_id)
    found, failed = None, None
    try:
        found = await _look(store, connection, also)
    except PlanbridgeError as error:
        failed = error.code
        log.warning("the look ended early: %s", failed)
    except DatabaseError:
        raise
    except Exception as error:
        failed = "our-fault"
        log.error("the look met a fault of ours: %s", logs.where(error))
    async with store.transaction(district) as c:
        await verifications.finish(c, connection.id, found, failed)


async def _look(store: Store, connection: Connection, also: Also) -> Look:
    if connection.paused_because:
        raise Refused(
            "connection-paused",
            f"{connection.name} is paused: {connection.paused_because}",
            f"Mend it and lift the pause, then look again: planbridge verify {connection.name}",
        )
    async with store.transaction(connection.district) as c:
        await agreements.refuse(c, connection, clock.today())
        wanted = await verifications.wanted(c, connection.id)
    counts: Counter[str] = Counter(plans=len(wanted))
    async with opened(store, connection) as (connector, settings, http):
        if connector.open_sink is None:
            raise ConfigError("not-a-destination", f"{connection.name} only reads.", "Choose another connection.")
        sink = await connector.open_sink(settings, http)
        try:
            for one in wanted:
                counts.update(await _look_at(store, connection, sink, one, also))
        finally:
            await sink.close()
    return Look(counts["plans"], counts["objects"], counts["skipped"], counts["renewed"])


async def _look_at(store: Store, connection: Connection, sink: Sink, one: Wanted, also: Also) -> Mapping[str, int]:
    """One plan: how many objects were looked at, how many could not be compared, whether it is delivered again."""
    counts: Counter[str] = Counter()
    renew: list[Document] = []
    try:
        made = await delivery.preview(store, connection.district, one.plan, connection.name, one.version)
    except (Refused, ConfigError):  # a student who is not known there any more, a setting that was taken out
        made, counts["skipped"] = None, 1
    as_sent = True
    for document in made.documents if made else ():
        async with store.transaction(connection.district) as c:
            known = await verifications.known(c, connection.id, document)
        if known is None:
            as_sent = as_sent and document.merge
            continue
        if not (one.wholly or document.merge):
            as_sent = as_sent and known.delivered and known.sent_sha256 == fingerprint(document)
            continue
        if isinstance(sink, Allocating):
            sink.know(document, known.remote_id)
        found = await _found(sink, document, known)
        counts["skipped" if found == "other" else "objects"] += 1
        as_sent = as_sent and (document.merge or (known.delivered and found != "other"))
        if document.merge and found in ("due", "dropped") and known.renewable:
            renew.append(document)
        if found != "other":
            async with store.transaction(connection.district) as c:
                lost = None if found in ("kept", "due") else found
                await verifications.note_found(c, connection.id, document, lost)
    async with store.transaction(connection.district) as c:
        if one.wholly:
            await verifications.note_looked(c, connection.id, one.plan, made.documents if made else None)
        if renew and as_sent:  # else the delivery would send more than these, which is for a person to decide
            for document in renew:
                await verifications.forget(c, connection.id, document)
            detail = {"destination": connection.name, "version": one.version}
            await stored.note(c, connection.district, one.plan, "push", BY_ITSELF, detail)
            number = await deliveries.queue(c, connection.district, one.plan, one.version, connection.id, BY_ITSELF)
            await also(c, number, connection.id)
            counts["renewed"] = 1
    return counts


async def _found(sink: Sink, document: Document, known: Known) -> Found:
    same = known.sent_sha256 == fingerprint(document)
    if document.merge:
        # What is to be there, or not to be there any more, may be another thing today without a new version.
        return "due" if not same else await sink.standing(document) if isinstance(sink, Merging) else "other"
    if not same:
        return "other"
    there = await sink.read_back(document)
    if there is None:
        return "gone"
    # A text that is longer than the target takes was left out.
    sent = {name: part for name, part in document.body.items() if name in there or name not in document.texts}
    return "kept" if document.create_only or holds(there, sent) else "changed"
