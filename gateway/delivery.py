"""A finalized plan on its way to a destination: what would be sent, sent once, and what the other side has."""

import asyncio
import hashlib
import json
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from gateway import clock, codes, registry
from gateway.codes import Codes
from gateway.connected import opened
from gateway.connector import Allocating, Document, Loss, Receipt, Retracting, Sink
from gateway.errors import ConfigError, Refused
from gateway.mapping import Attended, Parties
from gateway.schema.plan import Plan
from gateway.store import blackouts, deliveries, reading, registers
from gateway.store import plans as stored
from gateway.store.database import Store, Transaction
from gateway.store.deliveries import Delivery
from gateway.store.plans import StoredVersion
from gateway.store.registers import Actor, Connection

LAST_ANSWER_SECONDS = 5.0
Also = Callable[[Transaction, int, int], Awaitable[None]]


@dataclass(frozen=True)
class Preview:
    """Exactly what a push would send, in order, and what the destination will not get."""

    version: int
    sha256: str
    documents: Sequence[Document]
    losses: Sequence[Loss]


async def preview(store: Store, district: int, plan: str, destination: str, number: int | None = None) -> Preview:
    """What pushing a plan's version would send. Refused while nothing is finalized."""
    connection = await registers.connection(store, district, destination)
    async with store.transaction(district) as c:
        version = await stored.version(c, plan, number)
        profile = await deliveries.profile(c, connection.id)
        opened_codes = await codes.opened(c, connection)
    return await _compose(store, connection, version, profile, opened_codes)


async def request(
    store: Store, district: int, plan: str, destination: str, actor: Actor, also: Also | None = None
) -> tuple[int, int]:
    """Note a delivery of the plan's newest version; returns (delivery, connection). Composes it first, so that
    what cannot be sent is refused now and not at night. `also` happens in the same transaction."""
    made = await preview(store, district, plan, destination)
    connection = await registers.connection(store, district, destination)
    async with store.transaction(district) as c:
        number = await deliveries.queue(c, district, plan, made.version, connection.id, actor)
        await stored.note(c, district, plan, "push", actor, {"destination": destination, "version": made.version})
        if also is not None:
            await also(c, number, connection.id)
    return number, connection.id


async def deliver(store: Store, district: int, delivery_id: int) -> None:
    """Send what differs from what was delivered, in order; a refusal stops what depends on it.

    Safe to repeat: each object has a natural key, the ledger says what was delivered, and only a 2xx counts. Refused
    in a blackout, and while the destination is paused.
    """
    delivery = await deliveries.begin(store, district, delivery_id)
    if delivery is None:
        return
    connection = await registers.connection(store, district, delivery.connection)
    if connection.paused_because:
        raise Refused(
            "connection-paused",
            f"{connection.name} is paused: {connection.paused_because}",
            "Mend it and lift the pause, then send the plan again.",
        )
    async with store.transaction(district) as c:
        await blackouts.refuse(c, connection.id, clock.now())  # it may have waited for its turn until then
        version = await stored.version(c, delivery.plan, delivery.version)
        profile = await deliveries.profile(c, connection.id)
        opened_codes = await codes.opened(c, connection)
    made = await _compose(store, connection, version, profile, opened_codes)
    async with opened(store, connection) as (connector, settings, http):
        assert connector.open_sink is not None
        sink = await connector.open_sink(settings, http)
        try:
            for document in made.documents:
                receipt = await _to_the_answer(_send(store, delivery, sink, document))
                if not receipt.delivered:
                    reason = f"{document.resource} was refused with {receipt.status}: {receipt.message}"
                    await deliveries.finish(store, delivery, "parked", made.losses, reason)
                    return
        finally:
            await sink.close()
    await deliveries.finish(store, delivery, "delivered", made.losses)


async def withdraw(store: Store, district: int, plan: str, destination: str, actor: Actor, because: str) -> int:
    """Take back what a destination has of this plan alone; what it shares with others stays. How many objects.

    Refused without a reason, while the plan is on its way there, and where the destination gives nothing back; what
    it refuses to give back is Refused after the others were taken.
    """
    if not because.strip():
        raise Refused("reason-missing", "Taking a plan back needs a reason.", "Give --because.")
    connection = await registers.connection(store, district, destination)
    async with store.transaction(district) as c:
        theirs = await deliveries.own_objects(c, plan, connection.id)
    refused = ""
    async with opened(store, connection) as (connector, settings, http):
        assert connector.open_sink is not None
        sink = await connector.open_sink(settings, http)
        try:
            if not isinstance(sink, Retracting):
                raise Refused(
                    "destination-keeps",
                    f"{destination} gives nothing back.",
                    "End the supports in the plan and push it again, or have it removed there.",
                )
            for document, remote_id in theirs:
                if isinstance(sink, Allocating):
                    sink.know(document, remote_id)
                receipt = await sink.delete(document)
                if not receipt.delivered:
                    refused = refused or f"{document.resource} was refused with {receipt.status}: {receipt.message}"
                    continue
                async with store.transaction(district) as c:
                    await deliveries.note_taken_back(c, connection.id, document, receipt)
        finally:
            await sink.close()
    async with store.transaction(district) as c:
        detail = {"destination": destination, "because": because, "objects": len(theirs)}
        await stored.note(c, district, plan, "withdraw", actor, detail)
    if refused:
        raise Refused("not-taken-back", refused, "Have it removed there, or try again.")
    return len(theirs)


async def _to_the_answer(sending: Coroutine[Any, Any, Receipt]) -> Receipt:
    """A worker that is told to stop still hears what the destination says to what is on its way."""
    task = asyncio.create_task(sending)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait({task}, timeout=LAST_ANSWER_SECONDS)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        raise


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


async def _send(store: Store, delivery: Delivery, sink: Sink, document: Document) -> Receipt:
    content = fingerprint(document)
    known = await deliveries.claim(store, delivery, document, content)
    if isinstance(sink, Allocating):
        sink.know(document, known.remote_id)
    if known.delivered_sha256 == content:
        return Receipt(200, known.remote_id, unchanged=True)
    receipt = await sink.push(document)
    await deliveries.record(store, delivery, document, content, receipt)
    return receipt


def fingerprint(document: Document) -> str:
    """Of the body as it is sent: the same body is never sent twice."""
    return hashlib.sha256(msgspec.json.encode(document.body, order="sorted")).hexdigest()


async def _compose(
    store: Store, connection: Connection, version: StoredVersion, profile: dict[str, Any] | None, by: Codes
) -> Preview:
    mapping = by.mapping
    writes = registry.connector(connection.connector).writes(connection.settings)
    if mapping.outbound is None or mapping.profile is None or not writes:
        raise ConfigError(
            "not-a-destination",
            f"Plans cannot be pushed to {connection.name}: {connection.connector} only reads.",
            "Choose another connection.",
        )
    plan = Plan.model_validate(json.loads(version.content))
    parties = await _parties(store, connection, version.plan, plan)
    shown = mapping.profile.model_validate(profile or {})
    documents, losses = mapping.outbound(plan, parties, shown, by.crosswalks.fresh())
    return Preview(version.version, version.sha256, documents, losses)


async def _parties(store: Store, connection: Connection, id: str, plan: Plan) -> Parties:
    """Everybody the plan names, by the ids this destination knows; the student must be known there."""
    owners = {support.owner for support in plan.supports}
    people = [who for who in {plan.student, plan.coordinator, *owners} if isinstance(who, str)]
    # Never by the number that other systems know too: at the destination it may be somebody else's key.
    async with store.transaction(connection.district) as c:
        keys = await reading.keys_at(c, connection.id, "person", people)
    student = keys.pop(plan.student, None)
    if student is None:
        raise Refused(
            "student-not-there",
            f"{connection.name} does not know this student.",
            f"Pull {connection.name} first; `planbridge rejects` shows who could not be matched.",
        )
    classes = tuple(await _attended(store, connection, plan.student))
    return Parties(id, student, keys, connection.settings, student, classes)


async def _attended(store: Store, connection: Connection, student: str) -> Iterable[Attended]:
    """The classes the student is in today, where the destination's own records have them."""
    today = clock.today().isoformat()
    enrollments = await reading.referring(store, connection.district, "enrollment", "person", student)
    ids = {one["class"] for one in enrollments if one["role"] == "student" and one.get("end_on", "9999") > today}
    classes = await reading.entities(store, connection.district, "class", ids=sorted(ids))
    async with store.transaction(connection.district) as c:
        keys = await reading.keys_at(c, connection.id, "class", [one["id"] for one in classes])
        schools = await reading.keys_at(c, connection.id, "organization", [one["school"] for one in classes])
        sessions = await reading.keys_at(
            c, connection.id, "session", [session for one in classes for session in one.get("sessions", ())]
        )
    return [
        Attended(
            keys[one["id"]],
            schools.get(one["school"], ""),
            tuple(sessions[session] for session in one.get("sessions", ()) if session in sessions),
        )
        for one in sorted(classes, key=lambda one: keys.get(one["id"], ""))
        if one["id"] in keys
    ]
