"""Each way to be tied to a student, and each section: a platform may show it to whom the table of access shows it."""

from collections.abc import Mapping
from datetime import date, timedelta
from typing import Any

from gateway import audience, planning, viewing
from gateway.access import ON_TEAM, SECTIONS, TABLE, Section, Who
from gateway.connector import Document, Viewer
from gateway.sections import WHOLE
from gateway.store import consents, reading, registers, standing
from gateway.store.consents import Given
from tests.delivering.conftest import COLLEAGUE, COUNSELOR, DOROTHEA, IGNATZ, OTHER, Hall
from tests.store.school import GONE, NUMBER, user

NEWCOMER = "777"


async def shown_there(hall: Hall, number: str) -> dict[Section, bool]:
    """Section -> whether the board may show it to somebody."""
    connection = await registers.connection(hall.store, hall.district, "board")
    hall.board.viewers = [Viewer("other", number)]
    found: dict[Section, bool] = {}
    for section in SECTIONS:
        asked = await audience.ask(
            hall.store, connection, hall.board, [Document("notices", {"n": 1}, {})], {section}, hall.ids[GONE]
        )
        [found[section]] = [one.may for one in asked.seen]
    return found


async def reads_here(hall: Hall, person: str) -> dict[Section, bool]:
    """... and whether they read it whole here."""
    found = await viewing.why(hall.store, hall.district, Who(person=person), hall.ids[GONE])
    return {section: one.allowed and one.how in WHOLE for section, one in found.items()}


async def put(hall: Hall, **change: Any) -> None:
    """Into the plan as it is being written."""
    await planning.edit(hall.store, hall.district, hall.plan, await hall.content(**change), hall.actor)


def by_table(role: Any) -> Mapping[Section, bool]:
    return {section: TABLE[section][role] in WHOLE for section in SECTIONS}


NOTHING = dict.fromkeys(SECTIONS, False)


async def test_who_reads_it_here_may_see_it_there_and_nobody_else(hall: Hall) -> None:
    hall.school.files["users"].append(user("tea-9", "aide", "Lavinia", "Sorrel", identifier=NEWCOMER))
    assert (await hall.school.pull())["state"] == "published"
    async with hall.store.transaction(hall.district) as c:
        [newcomer] = await reading.people_at(c, hall.school.connection, "tea-9")
        [other] = await reading.people_at(c, hall.school.connection, "stu-other-0")

    # the student, and the parents
    for number, key, role in ((NUMBER, GONE, "student"), (DOROTHEA, "par-dorothea", "guardian")):
        found = await shown_there(hall, number)
        assert found == await reads_here(hall, hall.ids[key]) == by_table(role), role
    assert await shown_there(hall, OTHER) == NOTHING == await reads_here(hall, other)

    # each role on the team, and the coordinator; by nothing else is this one tied to the student
    assert await shown_there(hall, NEWCOMER) == NOTHING
    for of_team, role in ON_TEAM.items():
        await put(hall, team=[{"who": newcomer, "role": of_team}])
        assert await shown_there(hall, NEWCOMER) == await reads_here(hall, newcomer) == by_table(role), of_team
    await put(hall, team=[], coordinator=newcomer)
    assert await shown_there(hall, NEWCOMER) == await reads_here(hall, newcomer) == by_table("coordinator")

    # off the team since yesterday
    yesterday = (date.today() - timedelta(days=1)).isoformat()
    await put(hall, team=[{"who": newcomer, "role": "counselor", "end_on": yesterday}])
    assert await shown_there(hall, NEWCOMER) == NOTHING == await reads_here(hall, newcomer)

    # a class or an office: they read it here, where that is on record, and not in a platform
    for number, key in ((COLLEAGUE, "tea-2"), (COUNSELOR, "cou-1")):
        await put(hall, coordinator=hall.ids["tea-1"], team=[])
        assert any((await reads_here(hall, hall.ids[key])).values()), key
        assert await shown_there(hall, number) == NOTHING, key

    # a consent that names them, while it holds
    today = date.today()
    named = ["strengths", "health", "goals"]
    given = Given(hall.ids[GONE], "Dorothea Vexwood", "guardian", f"person:{newcomer}", named, "planning", True, today,
                  today)  # fmt: skip
    async with hall.store.transaction(hall.district) as c:
        consent = await consents.add(hall.store, c, hall.district, given, hall.actor)
    found = await shown_there(hall, NEWCOMER)
    assert found == await reads_here(hall, newcomer)
    assert {section for section, may in found.items() if may} == {"strengths", "goals"}, "health asks for more"
    async with hall.store.transaction(hall.district) as c:
        await consents.revoke(hall.store, c, hall.district, consent, "They changed their mind.", hall.actor)
    assert await shown_there(hall, NEWCOMER) == NOTHING == await reads_here(hall, newcomer)

    # a parent who is kept from the student, on the team or not
    assert await shown_there(hall, IGNATZ) == by_table("guardian")
    await standing.restrict(
        hall.store, hall.district, hall.ids[GONE], hall.ids["par-ignatz"], "court order 7", hall.actor
    )
    assert await shown_there(hall, IGNATZ) == NOTHING == await reads_here(hall, hall.ids["par-ignatz"])
