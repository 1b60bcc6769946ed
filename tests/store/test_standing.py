"""What stands whatever is pulled or restored: the district's own restrictions, ended agreements, revoked consents."""

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import text

from gateway import clock, jobs, planning, projections
from gateway.errors import ConfigError, Refused
from gateway.store import (
    agreements,
    amendments,
    chain,
    clients,
    consents,
    denials,
    legal,
    purges,
    reading,
    registers,
    remembering,
    standing,
    vendors,
)
from gateway.store.consents import Given
from gateway.store.database import Store
from gateway.store.registers import Actor
from tests.store.school import NUMBER, SHARED_PARENT, School

ORDER = "court order 2026-88"


@pytest.fixture
async def school(store: Store, district: int, actor: Actor, tmp_path: Path) -> AsyncIterator[School]:
    made = School(tmp_path / "roster", store=store, district=district, actor=actor)
    await made.connect()
    await made.pull()
    yield made


async def family(school: School) -> tuple[str, str]:
    """The student, and the parent whom a sibling has too."""
    [student] = await reading.find_students(school.store, school.district, NUMBER)
    people = await reading.entities(school.store, school.district, "person")
    [parent] = [p["id"] for p in people if p.get("given_name") == "Dorothea"]
    return str(student["id"]), parent


async def refused(school: School) -> list[str]:
    """What is missing of a plan whose consultation was with this parent, and whose team has them."""
    student, parent = await family(school)
    plan = planning.parse(
        {
            "student": student,
            "school": student,
            "period_start": clock.today().isoformat(),
            "team": [{"who": parent, "role": "guardian"}],
            "consultations": [
                {
                    "held_on": clock.today().isoformat(),
                    "outcome": "agreed",
                    "participants": [{"who": parent, "role": "parent"}],
                }
            ],
        }
    )
    async with school.store.transaction(school.district) as c:
        facts = await planning.facts(school.store, c, plan, "00000000-0000-4000-8000-000000000000")
    found = planning.plans.check(plan, "finalize", facts)
    return [pointer for guard in found for pointer in guard.missing if pointer in BARRED]


BARRED = ("/team/0/who", "/consultations/0/participants")


async def forget(school: School) -> None:
    """As a restored backup forgets: the table does not know, the file does."""
    async with school.store.owner.begin() as c:
        await c.execute(text("DELETE FROM chain WHERE district_id = :d AND tab = 'standing'"), {"d": school.district})
        await c.execute(text("DELETE FROM standing WHERE district_id = :d"), {"d": school.district})


async def test_a_no_of_the_district_is_lifted_by_no_sync(school: School) -> None:
    assert await refused(school) == []
    student, parent = await family(school)
    await standing.restrict(school.store, school.district, student, parent, ORDER, school.actor)
    assert sorted(await refused(school)) == sorted(BARRED)
    school.row("users", SHARED_PARENT)["phone"] = "555-0199"
    await school.pull()
    assert sorted(await refused(school)) == sorted(BARRED)
    [listed] = await standing.restrictions(school.store, school.district, student)
    assert (listed["student"], listed["contact"], listed["because"]) == (student, parent, ORDER)
    with pytest.raises(Refused, match="stands already"):
        await standing.restrict(school.store, school.district, student, parent, ORDER, school.actor)
    await standing.lift(school.store, school.district, student, parent, "the order ended", school.actor)
    assert await refused(school) == [] and await standing.restrictions(school.store, school.district) == []
    with pytest.raises(ConfigError, match="no such restriction"):
        await standing.lift(school.store, school.district, student, parent, "again", school.actor)


async def test_it_holds_for_this_student_alone(school: School) -> None:
    student, parent = await family(school)
    [sibling] = await reading.find_students(school.store, school.district, "77310456")
    await standing.restrict(school.store, school.district, student, parent, ORDER, school.actor)
    async with school.store.transaction(school.district) as c:
        assert await standing.restricted(school.store, c, sibling["id"], [parent]) == {}


async def test_it_follows_whoever_is_merged(school: School) -> None:
    student, parent = await family(school)
    former = "00000000-0000-4000-8000-000000000077"
    await standing.restrict(school.store, school.district, former, parent, ORDER, school.actor)
    assert await refused(school) == []
    async with school.store.owner.begin() as c:
        await c.execute(
            text(
                "INSERT INTO identity_decision (district_id, act, entity_id, other_id, actor, because) "
                "VALUES (:d, 'merge', CAST(:former AS uuid), CAST(:id AS uuid), '{}', 'the same')"
            ),
            {"d": school.district, "former": former, "id": student},
        )
    assert sorted(await refused(school)) == sorted(BARRED)


async def test_a_restored_database_is_told_what_it_forgot(school: School) -> None:
    student, parent = await family(school)
    await standing.restrict(school.store, school.district, student, parent, ORDER, school.actor)
    assert student not in school.store.purges.path.read_text() and parent not in school.store.purges.path.read_text()
    await forget(school)
    assert await refused(school) == []
    await remembering.catch_up(school.store)
    assert sorted(await refused(school)) == sorted(BARRED)
    await standing.lift(school.store, school.district, student, parent, "the order ended", school.actor)
    async with school.store.owner.begin() as c:
        await c.execute(text("UPDATE standing SET ended = NULL WHERE district_id = :d"), {"d": school.district})
    assert sorted(await refused(school)) == sorted(BARRED)
    await remembering.catch_up(school.store)
    assert await refused(school) == [], "what was lifted does not come back"
    await jobs.seal(school.store)
    assert not (await chain.verify(school.store, school.district)).breaks


async def test_a_file_that_lacks_what_the_database_knows_is_given_it(school: School, tmp_path: Path) -> None:
    student, parent = await family(school)
    others = school.store.purges.path.read_bytes() if school.store.purges.path.exists() else b""
    await standing.restrict(school.store, school.district, student, parent, ORDER, school.actor)
    await standing.lift(school.store, school.district, student, parent, "the order ended", school.actor)
    mine = school.store.purges.path.read_bytes().removeprefix(others).splitlines()
    assert len(mine) == 2
    school.store.purges.path.write_bytes(b"")
    await remembering.catch_up(school.store)
    again = school.store.purges.path.read_bytes().splitlines()
    assert set(mine) <= set(again)


async def test_an_ended_agreement_stays_ended(school: School) -> None:
    store, district = school.store, school.district
    made = await registers.add_connection(store, district, "ods", "edfi", {}, {}, school.actor, keeps_roster=False)
    found = await registers.connection(store, district, made)
    today = clock.today()
    async with store.transaction(district) as c:
        await agreements.host(c, found, "Fennel Agency", school.actor)
        for reference in ("A-1", "A-2"):
            await agreements.add(c, found, reference, today, today + timedelta(days=9), school.actor)
    async with store.transaction(district) as c:
        first = next(one for one in await agreements.listed(c) if one["reference"] == "A-1")
        await agreements.end(store, c, district, first["id"], "It was called off.", school.actor)
    await forget(school)
    async with store.owner.begin() as c:
        await c.execute(text("UPDATE agreement SET ended_at = NULL WHERE district_id = :d"), {"d": district})
    await remembering.catch_up(store)
    async with store.transaction(district) as c:
        listed = {one["reference"]: one["ended_because"] for one in await agreements.listed(c) if one["ended_at"]}
    assert listed == {"A-1": "It was called off."}


async def test_a_revoked_consent_stays_revoked(school: School) -> None:
    store, district = school.store, school.district
    student, parent = await family(school)
    days = clock.today(), clock.today() + timedelta(days=9)
    given = Given(student, parent, "guardian", "organization:Fennel Library", ["goals"], "planning", True, *days)
    async with store.transaction(district) as c:
        first, second = [await consents.add(store, c, district, given, school.actor) for _ in range(2)]
    async with store.transaction(district) as c:
        await consents.revoke(store, c, district, first, "Ptolemaia's mother asked.", school.actor)
    assert "Ptolemaia" not in store.purges.path.read_text()
    await forget(school)
    async with store.owner.begin() as c:
        await c.execute(text("UPDATE consent SET revoked_at = NULL WHERE district_id = :d"), {"d": district})
    await remembering.catch_up(store)
    async with store.transaction(district) as c:
        revoked = {one["id"]: one["revoked_at"] is not None for one in await consents.listed(c)}
    assert revoked == {first: True, second: False}


async def test_a_legal_hold_holds_after_a_restore_and_one_that_was_lifted_does_not(school: School) -> None:
    store, district = school.store, school.district
    student, _ = await family(school)

    async def restored() -> list[bool]:
        """Of each hold whether it is lifted, in a database from before any of it."""
        await forget(school)
        async with store.owner.begin() as c:
            await c.execute(text("DELETE FROM legal_hold WHERE district_id = :d"), {"d": district})
        await remembering.catch_up(store)
        async with store.transaction(district) as c:
            return [one["lifted_at"] is not None for one in await legal.listed(c) if one["student"] == student]

    async with store.transaction(district) as c:
        hold = await legal.place(store, c, district, student, "Vexwood against Fennel", school.actor)
    assert b"Vexwood" not in store.purges.path.read_bytes()
    assert await restored() == [False]
    with pytest.raises(Refused, match="Legal hold"):
        await purges.purge_student(store, district, student, school.actor, "It was asked for.")
    async with store.transaction(district) as c:
        [again] = await legal.listed(c)
        assert again["id"] != hold
        await legal.lift(store, c, district, again["id"], "The case is closed.", school.actor)
    assert await restored() == [True]


async def test_what_a_family_forbade_holds_after_a_restore_until_they_take_it_back(school: School) -> None:
    store, district, today = school.store, school.district, clock.today()
    student, _ = await family(school)
    client, _ = await clients.add(store, district, "Reading App", ["students.read"], school.actor)

    async def restored() -> list[tuple[str, bool]]:
        """What holds of it in a database from before any of it."""
        await forget(school)
        async with store.owner.begin() as c:
            await c.execute(text("DELETE FROM directory_opt_out WHERE district_id = :d"), {"d": district})
            await c.execute(text("DELETE FROM consent WHERE district_id = :d"), {"d": district})
        await remembering.catch_up(store)
        async with store.transaction(district) as c:
            rows = await c.execute(text("SELECT withdrawn_at IS NULL FROM directory_opt_out"))
            found = [("directory", held) for held in rows.scalars()]
            for one in await consents.listed(c, student):
                assert (one["from_on"], one["until_on"], one["sections"]) == (*days, ["academic", "identity"])
                found.append((one["recipient"], one["revoked_at"] is None and not one["permit"]))
        return sorted(found)

    whom = (f"program:{client}", "person:Aunt Vexwood")
    days = (today, today + timedelta(days=9))
    made = []
    async with store.transaction(district) as c:
        await vendors.opt_out(store, c, district, student, "the mother", school.actor)
        for one in whom:
            given = Given(student, "Dorothea", "guardian", one, ["identity", "academic"], "planning", False, *days)
            made.append(await consents.add(store, c, district, given, school.actor))
    said = store.purges.path.read_bytes()
    assert not [word for word in ("Vexwood", "mother", "Dorothea", student, client) if word.encode() in said]
    untold = denials.UNTOLD
    assert await restored() == [("directory", True), (untold, True), (f"program:{client}", True)]

    async with store.transaction(district) as c:
        await vendors.opt_in(store, c, district, student, school.actor)
        [again] = [one for one in await consents.listed(c, student) if one["recipient"] == whom[0]]
        await consents.revoke(store, c, district, again["id"], "The family asked.", school.actor)
    assert await restored() == [("directory", False), (untold, True), (f"program:{client}", False)]


async def test_what_was_forbidden_waits_for_a_student_whom_a_restore_lost(school: School) -> None:
    store, district = school.store, school.district
    student, _ = await family(school)
    async with store.transaction(district) as c:
        await vendors.opt_out(store, c, district, student, "the mother", school.actor)
    await forget(school)
    held = text("SELECT count(*) FROM directory_opt_out WHERE district_id = :d")
    async with store.owner.begin() as c:
        await c.execute(text("DELETE FROM directory_opt_out WHERE district_id = :d"), {"d": district})
        await c.execute(text("UPDATE entity SET kind = 'away' WHERE district_id = :d"), {"d": district})
    await remembering.catch_up(store)
    async with store.owner.begin() as c:
        assert await c.scalar(held, {"d": district}) == 0
        await c.execute(text("UPDATE entity SET kind = 'person' WHERE district_id = :d"), {"d": district})
    await projections.follow(store, district)
    async with store.owner.begin() as c:
        assert await c.scalar(held, {"d": district}) == 1


async def test_a_request_that_a_restore_lost_is_named_and_one_of_a_purged_student_is_not(school: School) -> None:
    store, district, today = school.store, school.district, clock.today()
    student, _ = await family(school)

    async def restored() -> list[str]:
        """Of this district the requests that are missing, in a database from before any of them."""
        await forget(school)
        async with store.owner.begin() as c:
            await c.execute(text("DELETE FROM amendment WHERE district_id = :d"), {"d": district})
        await remembering.catch_up(store)
        async with store.owner.connect() as c:
            return [one["request"] for one in await standing.lost(c) if one["request"] in asked]

    words = ("Aunt Vexwood", "/needs/0", "It is wrong.", today, today + timedelta(days=45))
    async with store.transaction(district) as c:
        asked = [await amendments.ask(store, c, district, student, *words, school.actor)]
    async with store.owner.connect() as c:
        assert [one for one in await standing.lost(c) if one["request"] in asked] == []
    said = store.purges.path.read_bytes()
    assert b"Vexwood" not in said and student.encode() not in said
    assert await restored() == asked
    await purges.purge_student(store, district, student, school.actor, "It was asked for.")
    assert await restored() == [], "nobody is to be asked again for what was to be forgotten"


async def test_a_reason_gives_nobody_away(school: School) -> None:
    student, parent = await family(school)
    with pytest.raises(Refused, match="says who it is"):
        await standing.restrict(school.store, school.district, student, parent, "Mrs. Vexwood, by court", school.actor)
    with pytest.raises(Refused, match="needs a reason"):
        await standing.restrict(school.store, school.district, student, parent, " ", school.actor)


async def test_nothing_of_it_tells_of_a_student_who_was_purged(school: School) -> None:
    student, parent = await family(school)
    await standing.restrict(school.store, school.district, student, parent, ORDER, school.actor)
    await purges.purge_student(school.store, school.district, student, school.actor, "The family asked.")
    [listed] = await standing.restrictions(school.store, school.district)
    assert (listed["student"], listed["contact"]) == (None, None)
