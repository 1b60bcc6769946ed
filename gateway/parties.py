"""Whom a plan is about, by the ids and numbers by which one destination knows them."""

from collections.abc import Collection, Mapping, Sequence
from datetime import date
from itertools import chain
from typing import Any

from gateway import clock, prefill, registry
from gateway.candidates import number_mark
from gateway.errors import Refused
from gateway.identity import Candidates, population
from gateway.mapping import Attended, Member, Parties
from gateway.schema.plan import Plan
from gateway.store import lti, reading, registers
from gateway.store import plans as stored
from gateway.store.database import Store, Transaction
from gateway.store.registers import Connection

Named = Mapping[str, tuple[Plan, Sequence[Mapping[str, Any]]]]
"""Plan id -> what of a version is given to a destination, and the team that counts today, whichever version that is."""


async def parties(store: Store, c: Transaction, connection: Connection, plans: Named) -> dict[str, Parties | Refused]:
    """Everybody that each plan names, by the ids this destination knows; or why the plan cannot go there: its student
    must be known. How often the database is asked does not grow with the number of plans."""
    staff = {id: _staff(plan, team) for id, (plan, team) in plans.items()}
    everyone = sorted({who for named in staff.values() for who in named})
    students = sorted({plan.student for plan, _ in plans.values()})
    people = await _people(c, everyone)
    schools: Mapping[str, str] = {}
    known: Mapping[str, str | Refused]
    if registry.connector(connection.connector).open_source is None:
        known = await _own_numbers(store, c, connection, students)
        numbers = {who: _number(connection, "staff", one) for who, one in people.items()}
        keys = {who: number for who, number in numbers.items() if number}
    else:
        # Never by the number that other systems know too: at the destination it may be somebody else's key.
        keys = await reading.keys_at(c, connection.id, "person", [*students, *everyone])
        known = {student: keys.get(student) or _not_there(connection) for student in students}
        schools = await reading.keys_at(c, connection.id, "organization", sorted({p.school for p, _ in plans.values()}))
    attended = await _attended(c, connection, students)
    places = await lti.places(c, connection.id)
    closed = await stored.closed(c, list(plans))
    today = clock.today()
    found: dict[str, Parties | Refused] = {}
    for id, (plan, team) in plans.items():
        student = known[plan.student]
        if isinstance(student, Refused):
            found[id] = student
            continue
        theirs = {who: keys[who] for who in staff[id] if who in keys}
        members = [
            Member(one["who"], theirs.get(one["who"], ""), one["role"].replace("_", " "))
            for one in team
            if isinstance(one["who"], str)
            and prefill.current(dict(one), today)
            and _works(people.get(one["who"]), today)
        ]
        named = {who: people[who] for who in staff[id] if who in people}
        found[id] = Parties(
            id,
            student,
            theirs,
            connection.settings,
            attended[plan.student],
            frozenset(connection.wires),
            schools.get(plan.school, ""),
            today,
            link=doorway(store, id),
            roles=_roles(plan, named, members, today),
            team=tuple(members),
            places=places,
            closed=id in closed,
        )
    return found


def _staff(plan: Plan, team: Sequence[Mapping[str, Any]]) -> list[str]:
    named = [
        plan.coordinator,
        *(one.owner for one in plan.supports),
        *(one.owner for one in plan.goals),
        *(one.get("who") for one in team),
    ]
    return list(dict.fromkeys(who for who in named if isinstance(who, str) and who != plan.student))


async def _people(c: Transaction, ids: Sequence[str]) -> dict[str, dict[str, Any]]:
    """People by the ids by which they were asked for; whoever was merged is found as that person."""
    people = {one["id"]: one for one in await reading.entities_in(c, "person", ids=ids)}
    for merged in [who for who in ids if who not in people]:
        if one := await reading.entity_in(c, "person", merged):
            people[merged] = one
    return {who: people[who] for who in ids if who in people}


def _not_there(connection: Connection) -> Refused:
    return Refused(
        "student-not-there",
        f"{connection.name} does not know this student.",
        f"Pull {connection.name} first; `planbridge rejects` shows who could not be matched.",
    )


def doorway(store: Store, plan: str) -> str:
    """Where a plan is read by those who may: the address tells of no student."""
    return f"{store.address.rstrip('/')}/plans/{plan}"


async def _own_numbers(
    store: Store, c: Transaction, connection: Connection, students: Sequence[str]
) -> dict[str, str | Refused]:
    """Student -> the number by which a destination knows them that was never pulled from. Refused where they have none,
    and where somebody else has it too: it would reach the wrong child."""
    children = await _people(c, students)
    numbers = {student: _number(connection, "student", children.get(student, {})) for student in students}
    holders = await _numbered(store, c, connection, "student", {number for number in numbers.values() if number})
    return {
        student: _no_number(connection)
        if not number
        else _shared_number(connection)
        if len(holders[number]) > 1
        else number
        for student, number in numbers.items()
    }


def _no_number(connection: Connection) -> Refused:
    return Refused(
        "student-number-missing",
        f"This student has no number of the sort by which {connection.name} knows students.",
        f"See which numbers there are: planbridge students. Name the sort that {connection.name} has: planbridge "
        f"connect {connection.name} --set student_identifier=...",
    )


def _shared_number(connection: Connection) -> Refused:
    return Refused(
        "student-number-shared",
        f"Two students have the number by which {connection.name} would know this one.",
        "Have it put right where it is kept, and pull that system again.",
    )


async def numbered(store: Store, c: Transaction, connection: Connection, population: str, number: str) -> list[str]:
    """Who of a population has the number by which a destination knows somebody that was never pulled from."""
    return (await _numbered(store, c, connection, population, {number}))[number]


async def _numbered(
    store: Store, c: Transaction, connection: Connection, population: str, numbers: Collection[str]
) -> dict[str, list[str]]:
    key = await registers.district_key(store, c, connection.district)
    marks = {number: number_mark(key, population, number) for number in numbers}
    people = await reading.marked(c, set(marks.values()))
    return {
        number: [one["id"] for one in people[mark] if _number(connection, population, one) == number]
        for number, mark in marks.items()
    }


def _number(connection: Connection, population: str, person: Mapping[str, Any]) -> str:
    """Somebody's own number of the sort that a connection's settings name, the first named first; empty without one.
    Of family they name none: whichever of the two sorts they have."""
    settings = ("student", "staff") if population == "contact" else (population,)
    named = [Candidates.read(connection.settings[f"{name}_identifier"]).named for name in settings]
    for system in chain.from_iterable(named):
        for one in person.get("identifiers", ()):
            if system.has(one):
                return str(one["value"])
    return ""


def _roles(plan: Plan, people: Mapping[str, dict[str, Any]], members: Sequence[Member], today: date) -> dict[str, str]:
    """What staff are, in words: on the team, else at the plan's school, else anywhere."""
    found = {}
    for who, person in people.items():
        roles = [role for role in person.get("roles", ()) if prefill.current(role, today)]
        roles.sort(key=lambda role: (role["organization"] != plan.school, not role.get("primary", False)))
        if population(person) == "staff" and roles:
            found[who] = str(roles[0]["role"]).replace("_", " ")
    if isinstance(plan.coordinator, str):
        found[plan.coordinator] = "coordinator"
    return found | {one.person: one.role for one in members}


async def _attended(c: Transaction, connection: Connection, students: Sequence[str]) -> dict[str, tuple[Attended, ...]]:
    """The classes each student is in today, where the destination's own records have them."""
    today = clock.today().isoformat()
    enrolled = {
        student: {one["class"] for one in theirs if one["role"] == "student" and one.get("end_on", "9999") > today}
        for student, theirs in (await reading.referring_to(c, "enrollment", "person", students)).items()
    }
    classes = await reading.entities_in(c, "class", ids=sorted({id for theirs in enrolled.values() for id in theirs}))
    keys = await reading.keys_at(c, connection.id, "class", [one["id"] for one in classes])
    schools = await reading.keys_at(c, connection.id, "organization", sorted({one["school"] for one in classes}))
    sessions = await reading.keys_at(
        c, connection.id, "session", sorted({session for one in classes for session in one.get("sessions", ())})
    )
    there = {
        one["id"]: Attended(
            keys[one["id"]],
            schools.get(one["school"], ""),
            tuple(sessions[session] for session in one.get("sessions", ()) if session in sessions),
        )
        for one in classes
        if one["id"] in keys
    }
    return {
        student: tuple(sorted((there[id] for id in theirs if id in there), key=lambda one: one.key))
        for student, theirs in enrolled.items()
    }


def _works(person: Mapping[str, Any] | None, today: date) -> bool:
    """Whether somebody is on the staff today: whoever left sees nothing more."""
    if person is None or population(dict(person)) != "staff" or not person.get("active", True):
        return False
    return any(prefill.current(role, today) for role in person.get("roles", ()))
