"""Whom a plan is about, by the ids and numbers by which one destination knows them."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from itertools import chain
from typing import Any

from gateway import clock, prefill, registry
from gateway.candidates import number_mark
from gateway.errors import Refused
from gateway.identity import Candidates, population
from gateway.mapping import Attended, Member, Parties
from gateway.schema.plan import Plan
from gateway.store import plans as stored
from gateway.store import reading, registers
from gateway.store.database import Store, Transaction
from gateway.store.registers import Connection


async def parties(
    store: Store, connection: Connection, id: str, plan: Plan, team: Sequence[Mapping[str, Any]]
) -> Parties:
    """Everybody the plan names, by the ids this destination knows; the student must be known there. `team` is the one
    that counts today, whichever version is sent."""
    named = [
        plan.coordinator,
        *(one.owner for one in plan.supports),
        *(one.owner for one in plan.goals),
        *(one.get("who") for one in team),
    ]
    staff = list(dict.fromkeys(who for who in named if isinstance(who, str) and who != plan.student))
    async with store.transaction(connection.district) as c:
        people = {one["id"]: one for one in await reading.entities_in(c, "person", ids=staff)}
        for merged in [who for who in staff if who not in people]:
            if one := await reading.entity_in(c, "person", merged):
                people[merged] = one
        if registry.connector(connection.connector).open_source is None:
            student, school = await _own_number(store, c, connection, plan.student), ""
            numbers = {who: _number(connection, "staff", one) for who, one in people.items()}
            keys = {who: number for who, number in numbers.items() if number}
        else:
            # Never by the number that other systems know too: at the destination it may be somebody else's key.
            keys = await reading.keys_at(c, connection.id, "person", [plan.student, *staff])
            school = (await reading.keys_at(c, connection.id, "organization", [plan.school])).get(plan.school, "")
            student = keys.pop(plan.student, "")
        closed = (await stored.load(c, id)).state == "closed"
    if not student:
        raise Refused(
            "student-not-there",
            f"{connection.name} does not know this student.",
            f"Pull {connection.name} first; `planbridge rejects` shows who could not be matched.",
        )
    today = clock.today()
    members = [
        Member(one["who"], keys.get(one["who"], ""), one["role"].replace("_", " "))
        for one in team
        if isinstance(one["who"], str) and prefill.current(dict(one), today) and _works(people.get(one["who"]), today)
    ]
    return Parties(
        id,
        student,
        keys,
        connection.settings,
        tuple(await _attended(store, connection, plan.student)),
        frozenset(connection.wires),
        school,
        today,
        link=doorway(store, id),
        roles=_roles(plan, people, members, today),
        team=tuple(members),
        closed=closed,
    )


def doorway(store: Store, plan: str) -> str:
    """Where a plan is read by those who may: the address tells of no student."""
    return f"{store.address.rstrip('/')}/plans/{plan}"


async def _own_number(store: Store, c: Transaction, connection: Connection, student: str) -> str:
    """The number by which a destination knows the student that was never pulled from. Refused where they have none, and
    where somebody else has it too: it would reach the wrong child."""
    child = await reading.entity_in(c, "person", student)
    number = _number(connection, "student", child or {})
    if not number:
        raise Refused(
            "student-number-missing",
            f"This student has no number of the sort by which {connection.name} knows students.",
            f"See which numbers there are: planbridge students. Name the sort that {connection.name} has: planbridge "
            f"connect {connection.name} --set student_identifier=...",
        )
    if len(await numbered(store, c, connection, "student", number)) > 1:
        raise Refused(
            "student-number-shared",
            f"Two students have the number by which {connection.name} would know this one.",
            "Have it put right where it is kept, and pull that system again.",
        )
    return number


async def numbered(store: Store, c: Transaction, connection: Connection, population: str, number: str) -> list[str]:
    """Who of a population has the number by which a destination knows somebody that was never pulled from."""
    mark = number_mark(await registers.district_key(store, c, connection.district), population, number)
    return [one["id"] for one in await reading.marked(c, mark) if _number(connection, population, one) == number]


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


def _works(person: Mapping[str, Any] | None, today: date) -> bool:
    """Whether somebody is on the staff today: whoever left sees nothing more."""
    if person is None or population(dict(person)) != "staff" or not person.get("active", True):
        return False
    return any(prefill.current(role, today) for role in person.get("roles", ()))
