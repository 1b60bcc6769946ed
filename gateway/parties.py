"""Whom a plan is about, by the ids and numbers by which one destination knows them."""

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

from gateway import clock, prefill, registry
from gateway.errors import Refused
from gateway.identity import Candidates, population
from gateway.mapping import Attended, Member, Parties
from gateway.schema.plan import Plan
from gateway.store import reading
from gateway.store.database import Store, Transaction
from gateway.store.registers import Connection

Plans = Mapping[str, Plan]
"""Plan id -> what of a version is given to a destination."""


async def parties(store: Store, c: Transaction, connection: Connection, plans: Plans) -> dict[str, Parties | Refused]:
    """Everybody that each plan names, by the ids this destination knows; or why a plan cannot go there: its student
    must be known. Asked for many at once: how often the database is asked does not grow with them."""
    staff = {id: _staff(plan) for id, plan in plans.items()}
    everyone = sorted({who for named in staff.values() for who in named})
    students = sorted({plan.student for plan in plans.values()})
    people = {one["id"]: one for one in await reading.entities_in(c, "person", ids=everyone)}
    for merged in [who for who in everyone if who not in people]:
        if one := await reading.entity_in(c, "person", merged):
            people[merged] = one
    schools: Mapping[str, str] = {}
    if registry.connector(connection.connector).open_source is None:
        known = await _numbered(c, connection, students)
        numbers = {who: _number(connection, "staff", one) for who, one in people.items()}
        keys = {who: number for who, number in numbers.items() if number}
    else:
        # Never by the number that other systems know too: at the destination it may be somebody else's key.
        keys = await reading.keys_at(c, connection.id, "person", [*students, *everyone])
        known = {student: keys.get(student) or _not_there(connection) for student in students}
        schools = await reading.keys_at(
            c, connection.id, "organization", sorted({one.school for one in plans.values()})
        )
    attended = await _attended(c, connection, students)
    today = clock.today()
    found: dict[str, Parties | Refused] = {}
    for id, plan in plans.items():
        student = known[plan.student]
        if isinstance(student, Refused):
            found[id] = student
            continue
        named = {who: people[who] for who in staff[id] if who in people}
        theirs = {who: keys[who] for who in staff[id] if who in keys}
        members = [
            Member(one.who, theirs.get(one.who, ""), one.role.replace("_", " "))
            for one in plan.team
            if isinstance(one.who, str) and population(named.get(one.who, {})) == "staff"
            and prefill.current(one.model_dump(mode="json", exclude_none=True), today)
        ]  # fmt: skip
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
        )
    return found


def _staff(plan: Plan) -> list[str]:
    named = [
        plan.coordinator,
        *(one.owner for one in plan.supports),
        *(one.owner for one in plan.goals),
        *(one.who for one in plan.team),
    ]
    return list(dict.fromkeys(who for who in named if isinstance(who, str) and who != plan.student))


def _not_there(connection: Connection) -> Refused:
    return Refused(
        "student-not-there",
        f"{connection.name} does not know this student.",
        f"Pull {connection.name} first; `planbridge rejects` shows who could not be matched.",
    )


def doorway(store: Store, plan: str) -> str:
    """Where a plan is read by those who may: the address tells of no student."""
    return f"{store.address.rstrip('/')}/plans/{plan}"


async def _numbered(c: Transaction, connection: Connection, students: Sequence[str]) -> dict[str, str | Refused]:
    """Student -> the number by which a destination knows them that was never pulled from. Refused where they have none,
    and where somebody else has it too: it would reach the wrong child."""
    children: dict[str, dict[str, Any] | None] = dict.fromkeys(students)
    for one in await reading.entities_in(c, "person", ids=students):
        children[one["id"]] = one
    for merged in [student for student, child in children.items() if child is None]:
        children[merged] = await reading.entity_in(c, "person", merged)
    numbers = {student: _number(connection, "student", child or {}) for student, child in children.items()}
    holders: dict[str, set[str]] = {}
    for one in await reading.numbered_in(c, sorted({number for number in numbers.values() if number})):
        holders.setdefault(_number(connection, "student", one), set()).add(one["id"])
    return {
        student: _missing(connection)
        if not number
        else _shared(connection)
        if len(holders.get(number, ())) > 1
        else number
        for student, number in numbers.items()
    }


def _missing(connection: Connection) -> Refused:
    return Refused(
        "student-number-missing",
        f"This student has no number of the sort by which {connection.name} knows students.",
        f"See which numbers there are: planbridge students. Name the sort that {connection.name} has: planbridge "
        f"connect {connection.name} --set student_identifier=...",
    )


def _shared(connection: Connection) -> Refused:
    return Refused(
        "student-number-shared",
        f"Two students have the number by which {connection.name} would know this one.",
        "Have it put right where it is kept, and pull that system again.",
    )


def _number(connection: Connection, population: str, person: Mapping[str, Any]) -> str:
    """Somebody's own number of the sort that a connection's settings name, the first named first; empty without one."""
    for system in Candidates.read(connection.settings[f"{population}_identifier"]).named:
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
    ids = sorted({id for theirs in enrolled.values() for id in theirs})
    classes = await reading.entities_in(c, "class", ids=ids)
    keys = await reading.keys_at(c, connection.id, "class", [one["id"] for one in classes])
    schools = await reading.keys_at(c, connection.id, "organization", sorted({one["school"] for one in classes}))
    sessions = await reading.keys_at(
        c, connection.id, "session", sorted({session for one in classes for session in one.get("sessions", ())})
    )
    by_id = {
        one["id"]: Attended(
            keys[one["id"]],
            schools.get(one["school"], ""),
            tuple(sessions[session] for session in one.get("sessions", ()) if session in sessions),
        )
        for one in classes
        if one["id"] in keys
    }
    return {
        student: tuple(sorted((by_id[id] for id in theirs if id in by_id), key=lambda one: one.key))
        for student, theirs in enrolled.items()
    }
