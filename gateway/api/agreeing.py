"""Under which terms a call is served: a vendor only while an agreement with the district is in force that says so."""

from dataclasses import dataclass, replace
from typing import Annotated, Any

from fastapi import Depends

from gateway import authoring, clock
from gateway.access import Who
from gateway.api.oauth import Call, may
from gateway.showing import WHOLLY, Asker
from gateway.store import bulk, plans, reach, vendors
from gateway.store.bulk import Step
from gateway.viewing import itself


async def asker(call: Call, collection: str = "") -> Asker:
    """Who asks, and what of it they may be served: of a vendor no more than is agreed of this collection (none: of
    which students there are), and of the students whom the agreement reaches. Refused without one in force. The
    district's own systems need none."""
    program = replace(call.program, caller=call)
    who = itself(program) if call.person is None else Who(person=call.person)
    if call.client.kind != "vendor":
        return Asker(who, call.actor, program)
    async with call.store.transaction(call.district) as c:
        agreement = await vendors.in_force(c, call.client.id, clock.today())
        students = await reach.students(c, agreement)
    if not collection:
        told = agreement.told_of_students
        if not told:
            agreement.fields("users")  # none of those by which a program may know who there is
        if "names" not in told:
            program = replace(program, sections=program.sections - {"identity"})
        return Asker(who, call.actor, program, students, told)
    fields = agreement.fields(collection)
    if collection in ("plans", "record") and fields is not None:
        program = replace(program, sections=program.sections & fields)
    return Asker(who, call.actor, program, students, agreement.told_of_results if collection == "results" else WHOLLY)


async def refuse_bulk(call: Call, collection: str, limit: int, *asked: object, searched: bool = False) -> Step | None:
    """Refused where a vendor walks further through a list than is agreed and has no leave for that, which is on record
    where it has: see gateway.store.bulk. `asked`: what tells this page from others; `searched`: of certain students
    alone. Returns what `note_walked` is to be given; None of the district's own."""
    if call.client.kind != "vendor":
        return None
    async with call.store.transaction(call.district) as c:
        agreement = await vendors.in_force(c, call.client.id, clock.today())
        step = bulk.step(call.store.marks, agreement, collection, repr((asked, limit)), limit, goes_on=not searched)
        await bulk.refuse(c, call, step)
    return step


async def note_walked(call: Call, step: Step | None, rows: int) -> None:
    """Keep, before it is answered, that a page had so many rows."""
    if step is not None and rows:
        async with call.store.transaction(call.district) as c:
            await bulk.note(c, call, step, rows)


@dataclass(frozen=True)
class Author:
    """A call by which somebody writes plans: a person, through a program whose agreement names authoring."""

    call: Call
    asker: Asker

    async def refuse_unreached(self, plan: str) -> None:
        """ConfigError where the plan is none, or of a student whom the agreement does not reach."""
        async with self.call.store.transaction(self.call.district) as c:
            self.asker.refuse_unreached_plan(await plans.load(c, plan))


def writing() -> Any:
    """What a route asks for that writes plans. Refused where the token names nobody, whatever kind of program it is,
    and where its agreement does not name authoring."""
    return Depends(_author)


async def _author(call: Annotated[Call, may("plan.write")]) -> Author:
    authoring.refuse_nobody(call.actor)
    async with call.store.transaction(call.district) as c:
        agreement = await vendors.in_force(c, call.client.id, clock.today())
        agreement.refuse_authoring()
        students = await reach.students(c, agreement)
    return Author(call, Asker(Who(person=call.person), call.actor, call.program, students))
