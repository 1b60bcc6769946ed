"""What a destination is given of plans today, and as which documents: of one plan, or of many at once."""

import itertools
import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from functools import partial
from typing import Any, TypeVar

from gateway import access, audience, clock, codes, parties, registry, sections
from gateway.access import Section
from gateway.codes import Codes
from gateway.connector import Document, Loss
from gateway.continuity import named_contacts
from gateway.errors import ConfigError, Refused
from gateway.mapping import Parties
from gateway.schema.plan import Plan
from gateway.store import agreements, audiences, consents, deliveries, rights
from gateway.store import plans as stored
from gateway.store.agreements import Terms
from gateway.store.database import Store, Transaction
from gateway.store.plans import StoredVersion
from gateway.store.registers import Connection
from gateway.summary import SERVES_WITHHELD, PlanProfile

Held = TypeVar("Held")


@dataclass(frozen=True)
class Wanted:
    """A plan's version, the newest unless a number is given. `doorway`: a link and nothing of the plan; left out, as it
    was sent last."""

    plan: str
    version: int | None = None
    doorway: bool | None = None


@dataclass(frozen=True)
class Given:
    """What of a version a destination may have today, what of it is withheld, and for which purpose it gets it."""

    plan: Plan
    withheld: Sequence[Loss]
    sections: Sequence[Section]
    purpose: str


@dataclass(frozen=True)
class Composed:
    """Exactly what a push would send, in order, and what the destination will not get. `stands`: the sections of which
    it says something; of a doorway there are none."""

    version: int
    sha256: str
    documents: Sequence[Document]
    losses: Sequence[Loss]
    period_start: date
    student: str
    stands: frozenset[Section]
    given: Given


async def compose(store: Store, connection: Connection, wanted: Sequence[Wanted]) -> list[Composed | Exception]:
    """What pushing each of these plans would send to a destination, or why nothing of it may leave (Refused), or which
    fault of ours it met, which is in no other plan's way: agreements and consents count as they are now. No plan twice.
    Refused where nothing may be sent there at all; ConfigError for what is no destination. How often the database is
    asked does not grow with the number of plans."""
    mapping = registry.mapping(connection.connector)
    writes = registry.connector(connection.connector).writes(connection.settings)
    async with store.transaction(connection.district) as c:
        by = await codes.opened(c, connection)
        profile = await deliveries.profile(c, connection.id) or {}
        versions = {
            one.plan: found
            for one, found in zip(
                wanted, await stored.deliverables(c, [(one.plan, one.version) for one in wanted]), strict=True
            )
        }
        there = {plan: found for plan, found in versions.items() if isinstance(found, StoredVersion)}
        if wanted and not there:  # what was never finalized leaves for nowhere, and is told so wherever it was to go
            return [why for why in versions.values() if isinstance(why, Refused)]
        if mapping.outbound is None or mapping.profile is None or not writes:
            raise ConfigError(
                "not-a-destination",
                f"Plans cannot be pushed to {connection.name}: {connection.connector} only reads.",
                "Choose another connection.",
            )
        given = await _given(store, c, connection, there)
        allowed = {plan: one for plan, one in given.items() if isinstance(one, Given)}
        teams = await stored.teams(c, list(allowed))
        were = await audiences.were_doorways(c, connection.id, [one.plan for one in wanted if one.doorway is None])
        named = {plan: (one.plan, teams.get(plan, ())) for plan, one in allowed.items()}
        people = await parties.parties(store, c, connection, named)
    found: list[Composed | Exception] = []
    for one in wanted:
        doorway = one.plan in were if one.doorway is None else one.doorway
        try:
            version, may, who = _held(versions[one.plan]), _held(given.get(one.plan)), _held(people.get(one.plan))
            found.append(_composed(connection, version, may, who, profile, by, doorway))
        except Exception as why:
            found.append(why)
    return found


def _held(found: Held | Exception | None) -> Held:
    if isinstance(found, Exception):
        raise found
    assert found is not None  # it was refused before, and that was raised
    return found


async def _given(
    store: Store, c: Transaction, connection: Connection, versions: Mapping[str, StoredVersion]
) -> dict[str, Given | Exception]:
    """Agreements and consents as they hold today, laid over each version. Refused, as a whole or for a plan, where
    nothing of it may leave."""
    today = clock.today()
    await agreements.refuse(c, connection, today)
    agreed = await agreements.terms(c, connection, today)
    contents = {plan: json.loads(version.content) for plan, version in versions.items()}
    students = {content["student"] for content in contents.values()}
    known = await consents.of_students(c, students, await agreements.names(c, connection))
    contacts: dict[str, set[str]] = {}
    for content in contents.values():
        contacts.setdefault(content["student"], set()).update(person for _, person in named_contacts(content))
    barred = await rights.barred(store, c, {student: sorted(people) for student, people in contacts.items() if people})
    consented = access.CONSENTED if registry.connector(connection.connector).place == "lms" else frozenset[Section]()
    found: dict[str, Given | Exception] = {}
    for plan, content in contents.items():
        student = content["student"]
        receiver = access.receiver(agreed.sections, agreed.needs_consent, known[student], today, consented=consented)
        try:
            found[plan] = _laid_over(connection, content, receiver, agreed, barred.get(student, frozenset()))
        except Exception as fault:
            found[plan] = fault
    return found


def _laid_over(
    connection: Connection, content: dict[str, Any], receiver: access.Receiver, agreed: Terms, barred: Collection[str]
) -> Given | Refused:
    if "identity" in receiver.withheld:
        return Refused(
            "consent-missing",
            f"{connection.name} may have nothing of this student. {receiver.withheld['identity']}",
            "Record the consent that was given: `planbridge consents add`. Then send the plan again.",
        )
    # A version stays as it was finalized; whom it names may have lost the right to it since.
    if named := [item for item, person in named_contacts(content) if person in barred]:
        return Refused(
            "contact-without-rights",
            f"This plan is withheld: {', '.join(named)} names a contact who has no right to it, or is kept from the "
            "student.",
            "Take the contact out of the plan and finalize it again.",
        )
    kept, left = sections.seen(content, dict.fromkeys(receiver.sections, "read"))
    withheld = [
        Loss(one.pointer, "withheld", receiver.withheld.get(one.section, "") if one.section else "It has no section.")
        for one in left
    ]
    telling = sections.serving_only(content, frozenset(access.SECTIONS) - receiver.sections)
    if telling:
        here = {one["id"] for one in kept.get("supports", ())} & telling
        kept["supports"] = [one for one in kept.get("supports", ()) if one["id"] not in here]
        places = {one["id"]: n for n, one in enumerate(content["supports"])}
        withheld += [Loss(f"/supports/{places[id]}", "withheld", SERVES_WITHHELD) for id in sorted(here)]
    touched = [section for section in sections.touched(kept) if section in receiver.sections]
    return Given(Plan.model_validate(kept), withheld, touched, agreed.purpose)


def _composed(
    connection: Connection,
    version: StoredVersion,
    given: Given,
    people: Parties,
    profile: Mapping[str, Any],
    by: Codes,
    doorway: bool,
) -> Composed:
    mapping, plan = by.mapping, given.plan
    assert mapping.outbound is not None and mapping.profile is not None
    finalized_on = datetime.fromisoformat(version.finalized_at).date()
    people = replace(people, version=version.version, finalized_on=finalized_on)
    people = replace(people, print=partial(_printed, plan, people, version))
    if doorway and "doorway" not in mapping.profile.model_fields:
        raise Refused(
            "doorway-missing",
            f"{connection.name} has no place for a link, and so for no doorway.",
            "Push the plan as it is, or not at all.",
        )
    shown = mapping.profile.model_validate({**profile, **({"doorway": True} if doorway else {})})
    documents, losses = mapping.outbound(plan, people, shown, by.crosswalks.fresh())
    stands = frozenset[Section]() if getattr(shown, "doorway", False) else audience.stands_in(plan, losses)
    told = {loss.pointer for loss in given.withheld}
    losses = [replace(loss, pointer=_in_whole(loss.pointer, told)) for loss in losses]
    losses = [*given.withheld, *(loss for loss in losses if loss.pointer not in told)]
    return Composed(version.version, version.sha256, documents, losses, plan.period_start, plan.student, stands, given)


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
