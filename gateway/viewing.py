"""Somebody looks at a student: what ties them, what they may see, and the line about it in the same transaction."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import Any

from gateway import access, clock, planning, prefill, sections
from gateway.access import SECTIONS, STAFF, Decision, Facts, Role, Section, Who
from gateway.errors import ConfigError, Refused
from gateway.identity import population
from gateway.messages import Message
from gateway.plan_guards import RelationshipFacts
from gateway.store import consents, disclosures, outbox, purposes, reading, reads, standing, ties
from gateway.store import plans as stored
from gateway.store.database import Store, Transaction
from gateway.store.disclosures import Disclosure
from gateway.store.registers import Actor, log_act

Decisions = dict[Section, Decision]


@dataclass(frozen=True)
class Program:
    """A program that asks, for itself or for a person: its id, its kind, and what the district granted to it. `caller`:
    under which its reads are counted."""

    id: str
    name: str
    kind: Role
    sections: frozenset[Section]
    purpose: str = "planning"
    caller: reads.Caller | None = None


@dataclass(frozen=True)
class View:
    """What somebody sees of a plan, with each section's decision. `content` is None where there is none for them."""

    student: str
    plan: str | None
    state: str | None
    revision: int | None
    version: int | None
    content: dict[str, Any] | None
    left: Sequence[sections.Left]
    decisions: Mapping[Section, Decision]


async def why(
    store: Store, district: int, who: Who, student: str, name: str = "", program: Program | None = None
) -> Decisions:
    """What somebody, or a program, may see of a student, section by section. `name`: under which they open what is
    masked to them otherwise."""
    refuse_judging(program)
    async with store.transaction(district) as c:
        return await decisions_of(store, c, who, name, student, program)


AUTHOR = "author"
"""Whoever writes the plan at the district's own machine, and so reads all of it."""


async def shown(store: Store, district: int, id: str, actor: Actor, version: int | None = None) -> dict[str, Any]:
    """A plan's content for somebody at the district's own machine, in the role of the actor: all of it for its author.
    ConfigError for a role that there is not."""
    async with store.transaction(district) as c:
        found = await stored.load(c, id)
        if actor.role == AUTHOR:
            content = found.content if version is None else json.loads((await stored.version(c, id, version)).content)
            read = sections.touched(content)
            line = Disclosure(
                found.student, "read", actor.name or AUTHOR, False, AUTHOR, "planning",
                "They write the plan, at the district's own machine.", read, None, id, version or found.version,
            )  # fmt: skip
            await disclosures.note(c, district, line, actor)
            return content
    view = await plan(store, district, found.student, reader(actor), actor, id=id, version=version)
    left = {"left_out": [one.pointer for one in view.left]} if view.left else {}
    return {**(view.content or {}), **left}


def reader(actor: Actor) -> Who:
    """Whoever reads at the district's own machine in a role other than the author's. ConfigError for no role."""
    if actor.role not in access.SAYS:
        raise ConfigError(
            "role-unknown", f"There is no role {actor.role!r}.", f"Choose from: {AUTHOR}, {', '.join(access.SAYS)}."
        )
    return Who(says=access.SAYS[actor.role])


async def plan(
    store: Store,
    district: int,
    student: str,
    who: Who,
    actor: Actor,
    *,
    id: str | None = None,
    version: int | None = None,
    program: Program | None = None,
    parts: frozenset[str] | None = None,
) -> View:
    """A plan as somebody may see it, or `parts` of it: the student's newest one unless `id` names one. Only the
    district's staff see what is not finalized; a family and a student do once it was put before them. Refused, and on
    record, where nothing ties the person to the student, and where the program is to judge."""
    refuse_judging(program)
    async with store.transaction(district) as c:
        decisions = await decisions_of(store, c, who, actor.name, student, program)
        if not any(one.allowed for one in decisions.values()) and who.person is not None:
            refusal: Refused | None = _refused(decisions)
            await log_act(c, district, actor, "look-refused", student, {"person": who.person})
        else:
            refusal = None
            found = await _stored(c, student, decisions, id, version)
            content, left = None, list[sections.Left]()
            if found.content is not None:
                content, left = sections.seen(
                    found.content, {s: d.how for s, d in decisions.items() if d.allowed}, theirs(who)
                )
                if parts is not None:
                    content = {name: value for name, value in content.items() if name in parts}
                told = {name: value for name, value in found.content.items() if parts is None or name in parts}
                await _note(c, district, found, told, who, decisions, actor, program)
    if refusal is not None:
        raise refusal
    return View(student, found.plan, found.state, found.revision, found.version, content, left, decisions)


def itself(program: Program) -> Who:
    """A program that asks for nobody but itself."""
    return Who(says=program.kind, names=frozenset({f"program:{program.id}", f"program:{program.name}"}))


def refuse_judging(program: Program | None) -> None:
    """Refused where the program is to judge."""
    if program is not None and program.purpose in access.JUDGING:
        raise purposes.judging(program.purpose)


def _refused(decisions: Decisions) -> Refused:
    reason = next(iter(decisions.values())).reason
    return Refused("access-refused", reason, "`planbridge access why` tells what each section asks for.")


@dataclass(frozen=True)
class _Found:
    student: str
    plan: str | None = None
    state: str | None = None
    revision: int | None = None
    version: int | None = None
    content: dict[str, Any] | None = None


async def _stored(c: Transaction, student: str, decisions: Decisions, id: str | None, version: int | None) -> _Found:
    if id is None:
        under_way = await ties.plans(c, student)
        if not under_way:
            return _Found(student)
        id = under_way[0].id
    found = await stored.load(c, id)
    roles = {one.role for one in decisions.values() if one.allowed}
    staff = bool(roles & STAFF)
    family = bool(roles & {"guardian", "student"}) and found.state == "consultation"
    content: dict[str, Any] | None = None
    if version is not None or not (staff or family):
        if found.version is not None:
            content = json.loads((await stored.version(c, id, version)).content)
    else:
        content = found.content
    return _Found(student, id, found.state, found.revision, version or found.version, content)


def theirs(who: Who) -> Any:
    """Whether an item of a plan is somebody's own: they, or their organization, are named in it."""

    def mine(item: Mapping[str, Any]) -> bool:
        named = [item.get("owner"), item.get("who"), item.get("by")]
        named += [one.get("who") for one in item.get("participants", ()) if isinstance(one, dict)]
        named += [*item.get("providers", ()), {"organization": item.get("provider_organization")}]
        return any(
            one == who.person
            if isinstance(one, str)
            else isinstance(one, dict) and f"organization:{one.get('organization')}".lower() in who.names
            for one in named
            if one
        )

    return mine


async def _note(
    c: Transaction,
    district: int,
    found: _Found,
    content: Mapping[str, Any],
    who: Who,
    decisions: Decisions,
    actor: Actor,
    program: Program | None,
) -> None:
    shown = [section for section in sections.touched(content) if decisions[section].allowed]
    if not shown:
        return
    best = decisions[shown[0]]
    party = program.name if program else (best.role or actor.role) if who.person else actor.name or actor.role
    if program is not None and program.caller is not None:
        await reads.log(c, program.caller, "plans", [found.student], shown)
    await disclosures.note(
        c,
        district,
        Disclosure(
            found.student,
            "read",
            party,
            program is not None or best.role not in STAFF,
            "a program of the district's" if program and who.person is None else (best.role or actor.role),
            program.purpose if program else "planning",
            best.reason,
            shown,
            who.person,
            found.plan,
            found.version,
        ),
        actor,
    )


async def reveal(
    store: Store, district: int, student: str, who: Who, actor: Actor, because: str, wanted: Iterable[Section] = ()
) -> list[Section]:
    """Open for a quarter of an hour what is masked to somebody; whoever is told of it gets a notice. The sections.
    Refused without a reason, and to those who open nothing for themselves."""
    if not because.strip():
        raise Refused("reason-missing", "To open a student's record needs a reason.", "Give --because.")
    async with store.transaction(district) as c:
        who, student, facts = await facts_of(store, c, who, actor.name, student)
        roles = access.roles_of(who, student, facts, clock.today())
        may = [
            section
            for section in SECTIONS
            if any(access.TABLE[section][role] in access.OPENED.get(role, ()) for role in roles)
        ]
        asked = set(wanted) or set(may)
        if not asked <= set(may) or not may:
            raise Refused(
                "not-to-be-opened",
                "This role opens nothing of that for itself.",
                "Ask the plan's coordinator; `planbridge access why` shows what each role sees.",
            )
        opened = [section for section in SECTIONS if section in asked]
        role = next(role for role in roles if role in access.OPENED)
        await disclosures.note(
            c,
            district,
            Disclosure(
                student,
                "reveal",
                role if who.person else actor.name or actor.role,
                False,
                because.strip(),
                "planning",
                f"{roles[role]} They opened it with a reason.",
                opened,
                who.person,
            ),
            actor,
        )
        await log_act(c, district, actor, "reveal", student, {"sections": opened})
        at = clock.now()
        await outbox.add(c, district, "access", f"access/{student}/{at:%Y%m%d%H%M%S%f}", _told(role, opened))
    return opened


def _told(role: Role, opened: Sequence[Section]) -> Message:
    return Message(
        "Somebody opened what is masked to them in a student's record, and gave a reason.",
        f"One student; {len(opened)} sections, in the role {role.replace('_', ' ')}.",
        "It is open to them for fifteen minutes and closes by itself.",
        "Look who it was and why: planbridge access review. Talk to them if the reason is none.",
        "Within a day.",
    )


async def decisions_of(
    store: Store,
    c: Transaction,
    who: Who,
    name: str,
    student: str,
    program: Program | None = None,
) -> Decisions:
    """What somebody may see of a student, section by section, in the caller's transaction; through a program no more
    than it was granted."""
    who, student, facts = await facts_of(store, c, who, name, student)
    if program is not None:
        facts = replace(facts, granted=program.sections)
    today = clock.today()
    made = {section: access.decide(who, student, section, facts, today) for section in SECTIONS}
    if program is None:
        return made
    # A program is a receiver as a destination is: what a family forbade it, or took back, it has for nobody.
    given = await consents.of_student(c, student, itself(program).names)
    may = access.receiver(program.sections, False, given, today)
    return {
        section: one
        if section in may.sections
        else Decision(
            False,
            "none",
            one.role,
            may.withheld[section]
            if section in program.sections
            else "The district did not grant this section to the program.",
        )
        for section, one in made.items()
    }


async def facts_of(store: Store, c: Transaction, who: Who, name: str, student: str) -> tuple[Who, str, Facts]:
    """What is on record between the two, and both by the ids that stand for them today: whoever was merged is known by
    several, and what was said of one holds for all."""
    child = await reading.entity_in(c, "person", student)
    if child is None or population(child) != "student":
        raise ConfigError("student-unknown", "There is no such student.", "`planbridge students` shows their ids.")
    ids: set[str] = set()
    person = None
    if who.person is not None:
        person = await reading.entity_in(c, "person", who.person)
        if person is None:
            raise ConfigError("person-unknown", "There is no such person.", "Give the id that the roster has.")
        ids = (await standing.former(c, [person["id"]]))[person["id"]]
        who = replace(who, person=person["id"])
    facts = Facts(
        born=date.fromisoformat(child["birth_date"]) if "birth_date" in child else None,
        consents=await consents.of_student(c, student, who.names | {f"person:{id}" for id in ids}),
        opened=await disclosures.opened(c, student, name, who.person),
    )
    if person is None:
        return who, child["id"], facts
    today = clock.today()
    roles = [role for role in person.get("roles", ()) if prefill.current(role, today)]
    staff = population(person) == "staff" and person.get("active", True) and bool(roles)
    # OneRoster 1.1 says of the person only that they are a parent, and of the tie only that there is one.
    parent = any(role["role"] in prefill.GUARDIANS for role in roles)
    under_way = await ties.plans(c, student)
    made = replace(
        facts,
        staff=staff,
        teaches=staff and (person["id"], child["id"]) in await ties.taught(c, today.isoformat(), person["id"]),
        coordinates=any(one.coordinator in ids for one in under_way),
        team=frozenset(
            m["role"]
            for one in under_way
            for m in one.team
            if isinstance(m.get("who"), str) and m["who"] in ids and prefill.current(m, today)
        ),
        at_school=await _at_school(c, child, roles, today),
        relationships=[
            *(
                replace(tie, parent_or_guardian=tie.parent_or_guardian or parent)
                for one in await reading.referring_in(c, "relationship", "student", child["id"])
                if one["contact"] == person["id"] and (tie := planning.relationship(one))
            ),
            *await planning.kept_away(store, c, child["id"], [person["id"]]),
            *(_BARRED for one in under_way if one.barred & ids),
        ],
    )
    return who, child["id"], made


_BARRED = RelationshipFacts("", "no", False, False)
"""The district's own word about somebody's rights, as a consultation has it; no source lifts it."""


async def _at_school(
    c: Transaction, child: Mapping[str, Any], roles: Sequence[Mapping[str, Any]], today: date
) -> frozenset[str]:
    """Their roles at a school where the student is enrolled today, or above it."""
    places = places_of(child, await organizations_above(c), today)
    return frozenset(role["role"] for role in roles if role["organization"] in places)


async def organizations_above(c: Transaction) -> dict[str, str | None]:
    """Organization -> the one right above it."""
    return {one["id"]: one.get("parent") for one in await reading.entities_in(c, "organization")}


def places_of(child: Mapping[str, Any], above: Mapping[str, str | None], today: date) -> set[str]:
    """Where a student is enrolled today, and all that is above it."""
    places: set[str] = set()
    for school in prefill.schools(dict(child), today):
        place: str | None = school
        while place is not None and place not in places:
            places.add(place)
            place = above.get(place)
    return places


async def review(store: Store, district: int, school: str | None = None) -> tuple[set[str], list[dict[str, Any]]]:
    """The students of a school, or of the district; and who may see them, by which tie, and how many of them."""
    today = clock.today()
    async with store.transaction(district) as c:
        people = {one["id"]: one for one in await reading.entities_in(c, "person")}
        above = await organizations_above(c)
        pairs = [(teacher, "teacher", student) for teacher, student in await ties.taught(c, today.isoformat())]
        for plan in await ties.plans(c):
            pairs += [(plan.coordinator, "coordinator", plan.student)] if plan.coordinator else []
            pairs += [
                (m["who"], access.ON_TEAM[m["role"]], plan.student)
                for m in plan.team
                if isinstance(m.get("who"), str) and m["role"] in access.ON_TEAM and prefill.current(m, today)
            ]
    here = {
        id
        for id, one in people.items()
        if population(one) == "student"
        and (prefill.schools(one, today) if school is None else school in prefill.schools(one, today))
    }
    at = {student: places_of(people[student], above, today) for student in here}
    for id, one in people.items():
        for role in one.get("roles", ()) if population(one) == "staff" else ():
            if role["role"] in access.AT_SCHOOL and prefill.current(role, today):
                column = access.AT_SCHOOL[role["role"]]
                pairs += [(id, column, student) for student in here if role["organization"] in at[student]]
    rows: dict[tuple[str, str], set[str]] = {}
    for who, tie, student in pairs:
        if student in here and population(people.get(who, {})) == "staff" and people[who].get("active", True):
            rows.setdefault((who, tie), set()).add(student)
    return here, [
        {
            "person": who,
            "as": tie,
            "students": len(students),
            "reads": [s for s in SECTIONS if access.TABLE[s][tie] in sections.WHOLE],  # type: ignore[index]
            "masked": [s for s in SECTIONS if access.TABLE[s][tie] == "masked"],  # type: ignore[index]
        }
        for (who, tie), students in sorted(rows.items())
    ]
