"""A finalized plan on its way to a destination: what would be sent, sent once, and what the other side has."""

import itertools
import json
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from functools import partial
from typing import Any

from gateway import access, audience, clock, codes, parties, registry, sections, sending, withdrawing
from gateway.access import Section
from gateway.audience import Audience
from gateway.codes import Codes
from gateway.connected import opened
from gateway.connector import Allocating, Document, Loss
from gateway.continuity import named_contacts
from gateway.errors import ConfigError, Refused
from gateway.mapping import Parties
from gateway.schema.plan import Plan
from gateway.store import (
    agreements,
    audiences,
    blackouts,
    consents,
    deliveries,
    disclosures,
    reading,
    rechecks,
    registers,
    rights,
    rollouts,
    verifications,
)
from gateway.store import plans as stored
from gateway.store.database import Store, Transaction
from gateway.store.deliveries import Cause, Delivery
from gateway.store.disclosures import Disclosure
from gateway.store.plans import StoredVersion
from gateway.store.registers import Actor, Connection
from gateway.summary import PlanProfile

SENDING = Actor("Planbridge", "worker")
Also = Callable[[Transaction, int, int], Awaitable[None]]


@dataclass(frozen=True)
class Preview:
    """Exactly what a push would send, in order, and what the destination will not get. `stands`: the sections of which
    it says something; of a doorway there are none."""

    version: int
    sha256: str
    documents: Sequence[Document]
    losses: Sequence[Loss]
    period_start: date
    student: str
    stands: frozenset[Section]


async def preview(
    store: Store,
    district: int,
    plan: str,
    destination: str,
    number: int | None = None,
    *,
    doorway: bool | None = None,
) -> Preview:
    """What pushing a plan's version would send. `doorway`: a link and nothing of the plan; left out, as it was sent
    last. Refused while nothing is finalized."""
    connection = await registers.connection(store, district, destination)
    async with store.transaction(district) as c:
        version = await stored.deliverable(c, plan, number)
        profile = await deliveries.profile(c, connection.id)
        opened_codes = await codes.opened(c, connection)
        given = await _given(c, connection, version)
        if doorway is None:
            doorway = await audiences.was_doorway(c, connection.id, plan)
    return await _compose(store, connection, version, profile, opened_codes, given, doorway=doorway)


async def seen_by(store: Store, district: int, destination: str, made: Preview) -> Audience:
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


async def deliver(store: Store, district: int, delivery_id: int) -> None:
    """Send what differs from what was delivered, in the order that the destination wants; what refers to something that
    was refused is not sent, the rest is. What the plan had and has no more is ended last.

    Safe to repeat: each object has a natural key, the ledger says what was delivered, and only a 2xx counts. Refused
    in a blackout, while the destination is paused, and without an agreement with the agency that hosts it.
    """
    delivery = await deliveries.begin(store, district, delivery_id)
    if delivery is None:
        return
    if delivery.kind == "withdraw":
        await withdrawing.carry_out(store, delivery)
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
        version = await stored.deliverable(c, delivery.plan, delivery.version)
        profile = await deliveries.profile(c, connection.id)
        opened_codes = await codes.opened(c, connection)
        given = await _given(c, connection, version)  # as consents and agreements are now, not when it was queued
        doorway = await audiences.is_doorway(c, delivery.id)
        sends = await rollouts.sends(c, connection.id, given.plan.school)
        if sends:
            await _note(c, district, connection, delivery, given)
    made = await _compose(store, connection, version, profile, opened_codes, given, doorway=doorway)
    async with opened(store, connection) as (connector, settings, http):
        assert connector.open_sink is not None
        sink = await connector.open_sink(settings, http)
        try:
            seen = await audience.ask(store, connection, sink, made.documents, made.stands, made.student)
            if seen.told:
                await audiences.note(store, delivery, seen.counted())
            if seen.refusal:
                async with store.transaction(district) as c:  # what lies there from before is looked at anew
                    await rechecks.forget(c, connection.id, delivery.plan)
                ended = sending.Ended(made.losses, seen.refusal, causes=[Cause(0, seen.refusal)])
            elif not sends:
                await audiences.note_rehearsed(store, delivery, made.documents)
                await deliveries.finish(store, delivery, "rehearsed", made.losses)
                return
            else:
                ended = await sending.send(store, delivery, sink, made.documents, made.losses, made.period_start)
        finally:
            await sink.close()
    state = "parked" if ended.reason else "delivered"
    await deliveries.finish(store, delivery, state, ended.losses, ended.reason, ended.waits, ended.causes)


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


@dataclass(frozen=True)
class Given:
    """What of a version a destination may have today, what of it is withheld, and for which purpose it gets it."""

    plan: Plan
    withheld: Sequence[Loss]
    sections: Sequence[Section]
    purpose: str
    team: Sequence[Mapping[str, Any]]


async def _given(c: Transaction, connection: Connection, version: StoredVersion) -> Given:
    """Agreements and consents as they hold today, laid over a version. Refused where nothing of it may leave."""
    content = json.loads(version.content)
    today = clock.today()
    await agreements.refuse(c, connection, today)
    agreed = await agreements.terms(c, connection, today)
    known = await consents.of_student(c, content["student"], await agreements.names(c, connection))
    consented = access.CONSENTED if registry.connector(connection.connector).place == "lms" else frozenset[Section]()
    receiver = access.receiver(agreed.sections, agreed.needs_consent, known, today, consented=consented)
    if "identity" in receiver.withheld:
        raise Refused(
            "consent-missing",
            f"{connection.name} may have nothing of this student. {receiver.withheld['identity']}",
            "Record the consent that was given: `planbridge consents add`. Then send the plan again.",
        )
    kept, left = sections.seen(content, dict.fromkeys(receiver.sections, "read"))
    withheld = [
        Loss(one.pointer, "withheld", receiver.withheld.get(one.section, "") if one.section else "It has no section.")
        for one in left
    ]
    touched = [section for section in sections.touched(kept) if section in receiver.sections]
    return Given(Plan.model_validate(kept), withheld, touched, agreed.purpose, await _team(c, version.plan))


async def _team(c: Transaction, plan: str) -> list[Mapping[str, Any]]:
    """Who was put on the team by a finalized version, and is on it still: whoever was taken off a draft sees nothing
    more from then on, whoever was added to one sees nothing yet."""
    agreed = json.loads((await stored.version(c, plan)).content).get("team", ())
    now = (await stored.load(c, plan)).content.get("team", ())
    return [one for one in now if any((m["who"], m["role"]) == (one["who"], one["role"]) for m in agreed)]


async def _note(c: Transaction, district: int, connection: Connection, delivery: Delivery, given: Given) -> None:
    """What leaves is on record before it does: whoever never hears the answer has it said all the same."""
    agency = await agreements.hosted_by(c, connection.id)
    await disclosures.note(
        c,
        district,
        Disclosure(
            given.plan.student,
            "push",
            f"{connection.name}, hosted by {agency}" if agency else connection.name,
            True,
            "a destination of the student's plan",
            given.purpose,
            f"An agreement with {agency} is in force today." if agency else "The district runs this system itself.",
            given.sections,
            plan=delivery.plan,
            version=delivery.version,
            delivery=delivery.id,
        ),
        SENDING,
    )


async def _compose(
    store: Store,
    connection: Connection,
    version: StoredVersion,
    profile: dict[str, Any] | None,
    by: Codes,
    given: Given,
    *,
    doorway: bool,
) -> Preview:
    mapping = by.mapping
    writes = registry.connector(connection.connector).writes(connection.settings)
    if mapping.outbound is None or mapping.profile is None or not writes:
        raise ConfigError(
            "not-a-destination",
            f"Plans cannot be pushed to {connection.name}: {connection.connector} only reads.",
            "Choose another connection.",
        )
    plan = given.plan
    await _refuse_barred(store, connection.district, plan.student, json.loads(version.content))
    people = await parties.parties(store, connection, version.plan, plan, given.team)
    finalized_on = datetime.fromisoformat(version.finalized_at).date()
    people = replace(people, version=version.version, finalized_on=finalized_on)
    people = replace(people, print=partial(_printed, plan, people, version))
    if doorway and "doorway" not in mapping.profile.model_fields:
        raise Refused(
            "doorway-missing",
            f"{connection.name} has no place for a link, and so for no doorway.",
            "Push the plan as it is, or not at all.",
        )
    shown = mapping.profile.model_validate((profile or {}) | ({"doorway": True} if doorway else {}))
    documents, losses = mapping.outbound(plan, people, shown, by.crosswalks.fresh())
    stands = frozenset[Section]() if getattr(shown, "doorway", False) else audience.stands_in(plan, losses)
    told = {loss.pointer for loss in given.withheld}
    losses = [replace(loss, pointer=_in_whole(loss.pointer, told)) for loss in losses]
    losses = [*given.withheld, *(loss for loss in losses if loss.pointer not in told)]
    return Preview(version.version, version.sha256, documents, losses, plan.period_start, plan.student, stands)


def _printed(plan: Plan, people: Parties, version: StoredVersion, profile: PlanProfile) -> bytes:
    # What draws pages is loaded where a destination takes them, not by every worker.
    from gateway.printing.short import short

    return short(plan, people, profile, datetime.fromisoformat(version.finalized_at))


def _in_whole(pointer: str, dropped: Collection[str]) -> str:
    """Where something stands in the whole plan that stands at `pointer` once these items are gone."""
    match pointer.split("/"):
        case ["", name, place, *rest] if place.isdigit():
            gone = {int(n) for n in (one.removeprefix(f"/{name}/") for one in dropped) if n.isdigit()}
            free = (n for n in itertools.count() if n not in gone)
            return "/".join(["", name, str(next(itertools.islice(free, int(place), None))), *rest])
    return pointer


async def _refuse_barred(store: Store, district: int, student: str, content: dict[str, Any]) -> None:
    """A version stays as it was finalized; whom it names may have lost the right to it since."""
    async with store.transaction(district) as c:
        people = [person for _, person in named_contacts(content)]
        barred = (await rights.barred(store, c, {student: people}))[student]
    named = [item for item, person in named_contacts(content) if person in barred]
    if named:
        raise Refused(
            "contact-without-rights",
            f"This plan is withheld: {', '.join(named)} names a contact who has no right to it, or is kept from the "
            "student.",
            "Take the contact out of the plan and finalize it again.",
        )
