"""Who writes a plan through a program: an educator of the student's, whom it names, as far as they see the plan."""

from typing import Any

from gateway import planning, sections, viewing
from gateway.access import STAFF, Decision, Who
from gateway.errors import Refused
from gateway.plans import Given, Step
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


async def review(
    store: Store, district: int, id: str, held: dict[str, Any], actor: Actor, revision: int | None
) -> StoredPlan:
    """Keep a review for an educator of the student's."""
    found = await _found(store, district, id)
    await may_write(store, district, found.student, actor)
    return await planning.review(store, district, id, held, actor, revision)


async def _found(store: Store, district: int, id: str) -> StoredPlan:
    async with store.transaction(district) as c:
        return await stored.load(c, id)


async def may_write(store: Store, district: int, student: str, actor: Actor, *, author: bool = True) -> Decisions:
    """What the actor's person may see of the student. Refused, and on record, where they do not write plans."""
    if actor.person is None:
        raise Refused(
            "author-missing",
            "Plans are written by educators: a program does it for one, never as itself.",
            "Come with a token that names the educator: by authorization code, or by exchange of their identity token.",
        )
    decisions = await viewing.why(store, district, Who(person=actor.person), student)
    goals = decisions["goals"]
    if not _writes(goals, author):
        async with store.transaction(district) as c:
            await log_act(c, district, actor, "write-refused", student, {"person": actor.person})
        raise Refused(
            "author-refused",
            f"This person does not write plans for this student. {goals.reason}",
            "An educator who works with the student does; `planbridge access why` says who is what.",
        )
    return decisions


def _writes(goals: Decision, author: bool) -> bool:
    """Whoever may write goals is an author (E3)."""
    if not goals.allowed or goals.role not in STAFF:
        return False
    return goals.how == "full" or (not author and goals.role == "administrator")
