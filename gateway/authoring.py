"""Who writes through a program: plans an educator of the student's, whom its token names; input others too."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from gateway import planning, record, sections, viewing
from gateway.access import STAFF, Decision, Who
from gateway.errors import Refused
from gateway.plans import Given, GuardResult, Step
from gateway.record import Session
from gateway.schema.record import Entry
from gateway.store import plans as stored
from gateway.store.database import Store
from gateway.store.plans import StoredPlan, StoredVersion
from gateway.store.registers import Actor, log_act
from gateway.viewing import Decisions, Program

AUTHORED: frozenset[Step] = frozenset({"draft", "consult", "finalize"})
"""Steps of those who write; every other one is an administrator's too."""


async def create(store: Store, district: int, content: dict[str, Any], actor: Actor, *, gathering: bool = False) -> str:
    """Keep a draft for the educator who is named as the actor's person; returns its id."""
    await may_write(store, district, planning.parse(content).student, actor)
    return await planning.create(store, district, content, actor, gathering=gathering)


async def edit(
    store: Store, district: int, id: str, content: dict[str, Any], actor: Actor, program: Program, revision: int | None
) -> StoredPlan:
    """Replace as much of a plan as the educator sees through this program; what they were not shown stays."""
    found = await _found(store, district, id)
    decisions = await may_write(store, district, found.student, actor)
    if program.sections:  # one that reads nothing writes what it holds itself, and that is whole
        decisions = {one: decision for one, decision in decisions.items() if one in program.sections}
    how = {section: decision.how for section, decision in decisions.items() if decision.allowed}
    kept = sections.written(found.content, content, how, viewing.theirs(Who(person=actor.person)))
    return await planning.edit(store, district, id, kept, actor, found.revision if revision is None else revision)


async def take(
    store: Store, district: int, id: str, step: Step, actor: Actor, given: Given, revision: int | None
) -> StoredPlan | StoredVersion:
    """Take a step for an educator of the student's; one that is not about its words for an administrator too."""
    found = await _found(store, district, id)
    await may_write(store, district, found.student, actor, author=step in AUTHORED)
    return await planning.take(store, district, id, step, actor, given, revision)


async def ask(store: Store, district: int, id: str, step: Step, actor: Actor, given: Given) -> list[GuardResult]:
    """What a step would say to whoever may take it; changes nothing."""
    found = await _found(store, district, id)
    await may_write(store, district, found.student, actor, author=step in AUTHORED)
    return await planning.ask(store, district, id, step, given)


async def review(
    store: Store, district: int, id: str, held: dict[str, Any], actor: Actor, revision: int | None
) -> StoredPlan:
    """Keep a review for an educator of the student's."""
    found = await _found(store, district, id)
    await may_write(store, district, found.student, actor)
    return await planning.review(store, district, id, held, actor, revision)


async def deliver(
    store: Store, district: int, id: str, support: str, session: Session, actor: Actor
) -> Sequence[Entry]:
    """Log what was given of a support, for somebody who may write the supports of this student."""
    found = await _found(store, district, id)
    decisions = await _named(store, district, found.student, actor)
    if not any(
        one.allowed and one.how == "full" and one.role in STAFF
        for one in (decisions["school_supports"], decisions["outside_supports"])
    ):
        raise await _not_theirs(store, district, found.student, actor, decisions["school_supports"])
    return await record.log_session(store, district, replace(session, given={found.id: support}), actor)


BY_EDUCATORS = frozenset({"support_delivery", "meeting", "correction"})
"""Kinds of entries that say what educators did: no program says so by itself."""
BY_FAMILY = frozenset({"student_voice", "family_contact"})
"""What a family and a student add in their own words."""


async def add(store: Store, district: int, student: str, content: dict[str, Any], actor: Actor) -> Entry:
    """Append input or evidence to a student's record: for a person who may add any, or of a program's own. Refused for
    what only an educator says."""
    written = record.parse(content)
    if actor.person is None:
        if written.kind in BY_EDUCATORS or written.restricted:
            raise Refused(
                "author-missing",
                "A program adds input and evidence by itself; what educators did, and what is restricted, they say.",
                "Come with a token that names the educator.",
            )
        return await record.add(store, district, student, content, actor)
    decisions = await _named(store, district, student, actor)
    allowed = [one for one in decisions.values() if one.allowed]
    staff = any(one.role in STAFF and one.how in ("full", "own") for one in allowed)
    family = any(one.role not in STAFF and one.how == "add" for one in allowed) and written.kind in BY_FAMILY
    hidden = written.restricted and decisions["restricted_notes"].how != "full"
    if hidden or not (staff or family):
        raise await _not_theirs(store, district, student, actor, decisions["notes"])
    return await record.add(store, district, student, content, actor)


def refuse_nobody(actor: Actor) -> None:
    """Refused where no person is named."""
    if actor.person is None:
        raise Refused(
            "author-missing",
            "Plans are written by educators: a program does it for one, never as itself.",
            "Come with a token that names the educator: by authorization code, or by exchange of their identity token.",
        )


async def _named(store: Store, district: int, student: str, actor: Actor) -> Decisions:
    refuse_nobody(actor)
    return await viewing.why(store, district, Who(person=actor.person), student)


async def _not_theirs(store: Store, district: int, student: str, actor: Actor, decision: Decision) -> Refused:
    """That somebody does not write this, once it is on record that they tried."""
    async with store.transaction(district) as c:
        await log_act(c, district, actor, "write-refused", student, {"person": actor.person})
    return Refused(
        "author-refused",
        f"This person does not write this for this student. {decision.reason}",
        "An educator who works with the student does; `planbridge access why` says who is what.",
    )


async def _found(store: Store, district: int, id: str) -> StoredPlan:
    async with store.transaction(district) as c:
        return await stored.load(c, id)


async def may_write(store: Store, district: int, student: str, actor: Actor, *, author: bool = True) -> Decisions:
    """What the actor's person may see of the student. Refused, and on record, where they do not write plans."""
    decisions = await _named(store, district, student, actor)
    if not _writes(decisions["goals"], author):
        raise await _not_theirs(store, district, student, actor, decisions["goals"])
    return decisions


def _writes(goals: Decision, author: bool) -> bool:
    """Whoever may write goals is an author (E3)."""
    if not goals.allowed or goals.role not in STAFF:
        return False
    return goals.how == "full" or (not author and goals.role == "administrator")
