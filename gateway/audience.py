"""Who would see a delivery at its destination, and whether each of them may see all that stands in it."""

from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from gateway import access, clock, parties, registry, sections, viewing
from gateway.access import Section, Who
from gateway.connector import Allocating, Document, Loss, Showing, Sink, Viewer
from gateway.errors import Refused
from gateway.schema.plan import Plan
from gateway.store import deliveries, reading, rights
from gateway.store.database import Store, Transaction
from gateway.store.registers import Connection


@dataclass(frozen=True)
class Seen:
    """Somebody who would see it: may they, and why. `name` is the destination's own word for them."""

    relation: str
    name: str
    may: bool
    because: str


@dataclass(frozen=True)
class Audience:
    """Who would see a delivery. `told`: whether the destination can tell at all."""

    told: bool
    seen: Sequence[Seen] = ()

    @property
    def refusal(self) -> str:
        """Why it must not be sent, in a sentence that names nobody; empty where it may."""
        why = Counter((one.relation, one.because) for one in self.seen if not one.may)
        if not why:
            return ""
        said = " ".join(f"{n} x {relation}: {because}" for (relation, because), n in why.items())
        return str(
            Refused(
                "audience-refused",
                f"It would be seen there by people who may not see it. {said}",
                "Have them taken out there, or send a doorway, which holds nothing of the plan: planbridge push PLAN "
                "--to DESTINATION --doorway",
            )
        )

    def counted(self) -> list[dict[str, Any]]:
        """As it is kept with a delivery: nobody is named."""
        found = Counter((one.relation, one.may, one.because) for one in self.seen)
        return [
            {"relation": relation, "may": may, "because": because, "people": n}
            for (relation, may, because), n in found.items()
        ]


async def ask(
    store: Store, connection: Connection, sink: Sink, documents: Sequence[Document], stands: Collection[Section],
    student: str,
) -> Audience:  # fmt: skip
    """Ask the destination who sees what is to be sent, and the access rules whether each of them may see the sections
    that stand in it."""
    if not isinstance(sink, Showing):
        return Audience(told=False)
    if not documents:
        return Audience(told=True)
    viewers: dict[Viewer, None] = {}
    for document in documents:
        if isinstance(sink, Allocating):
            async with store.transaction(connection.district) as c:
                sink.know(document, await deliveries.remote_id(c, connection.id, document))
        viewers |= dict.fromkeys(await sink.audience(document))
    async with store.transaction(connection.district) as c:
        return Audience(True, [await _seen(store, c, connection, one, stands, student) for one in viewers])


def stands_in(plan: Plan, losses: Iterable[Loss]) -> frozenset[Section]:
    """The sections of a plan of which a delivery says something: of what is lost as a whole it says nothing."""
    lost = {loss.pointer for loss in losses}
    found: set[Section] = set()
    for field, value in plan.model_dump(mode="json", exclude_defaults=True).items():
        if field in _SAY_NOTHING or f"/{field}" in lost:
            continue
        for n, item in enumerate(value) if isinstance(value, list) else ():
            if f"/{field}/{n}" not in lost:
                found.update(sections.told(field, item))
        if not isinstance(value, list):
            found.update(sections.told(field, {}) if isinstance(value, str | dict) else ())
    return frozenset(found)


_SAY_NOTHING = ("student", "school", "coordinator", "period_start", "period_end", "language", "numbered")
"""Ids and days by which everything is known, and which everybody knows who knows the student."""


async def _seen(
    store: Store, c: Transaction, connection: Connection, viewer: Viewer, stands: Collection[Section], student: str
) -> Seen:
    if not stands:
        return _told(viewer, True, "It holds nothing of the plan.")
    if not viewer.key:
        return await _unnamed(store, c, viewer, student)
    people = await _people(store, c, connection, viewer)
    if len(people) != 1:
        why = "Nobody on the roster has this number." if not people else "Several people have this number."
        return _told(viewer, False, why)
    who, child, facts = await viewing.facts_of(store, c, Who(person=people[0]), "", student)
    # A platform shows a plan to its team, the student and the family. Who else may read it comes by the doorway, where
    # that is on record: somebody's class or office is no reason to have it lie in their platform.
    facts = replace(facts, teaches=False, at_school=frozenset(), opened=frozenset())
    today = clock.today()
    decisions = {one: access.decide(who, child, one, facts, today) for one in sorted(stands)}
    for section, decision in decisions.items():
        if not decision.allowed and decision.role is None and facts.staff and not facts.relationships:
            return _told(viewer, False, "They are not on the plan's team.")
        if decision.how not in sections.WHOLE:
            said = "" if decision.role is None else f" ({section.replace('_', ' ')})"
            return _told(viewer, False, f"{decision.reason.rstrip('.')}{said}.")
    return _told(viewer, True, next(iter(decisions.values())).reason)


async def _unnamed(store: Store, c: Transaction, viewer: Viewer, student: str) -> Seen:
    """The destination tells of a sort of people only."""
    if viewer.relation == "guardian":
        contacts = [one["contact"] for one in await reading.referring_in(c, "relationship", "student", student)]
        if (await rights.barred(store, c, {student: contacts}))[student]:
            return _told(viewer, False, "The platform does not tell which, and somebody is kept from the student.")
        return _told(viewer, True, "Nobody is kept from the student.")
    if viewer.relation in ("student", "staff"):
        return _told(viewer, True, "The student's own." if viewer.relation == "student" else "They run the platform.")
    return _told(viewer, False, "The platform does not tell who they are.")


async def _people(store: Store, c: Transaction, connection: Connection, viewer: Viewer) -> list[str]:
    if registry.connector(connection.connector).open_source is not None:
        return await reading.people_at(c, connection.id, viewer.key)
    found = []
    for population in ("student", "contact", "staff"):
        found += await parties.numbered(store, c, connection, population, viewer.key)
    return found


def _told(viewer: Viewer, may: bool, because: str) -> Seen:
    return Seen(viewer.relation, viewer.name, may, because)
