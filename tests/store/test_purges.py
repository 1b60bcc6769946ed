"""A student is purged: nothing is left that tells of them, nothing brings them back, and nobody else is touched."""

import os
from collections.abc import AsyncIterator, Sequence
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from gateway import clock, jobs
from gateway.errors import ConfigError, Refused
from gateway.store import purges, reading, registers, runs, successions, traces
from gateway.store.database import Store
from gateway.store.erasure import Erased
from gateway.store.purge_file import Purged, PurgeFile
from gateway.store.purges import Purge
from gateway.store.registers import Actor
from tests.store.school import GONE, HERS, NUMBER, SHARED_PARENT, SIBLING, TELLING, School, user


@pytest.fixture
async def school(store: Store, district: int, actor: Actor, tmp_path: Path) -> AsyncIterator[School]:
    made = School(tmp_path / "roster", store=store, district=district, actor=actor)
    await made.connect()
    made.row("users", GONE)["username"] = "ptolemaia-of-old"
    made.row("users", GONE)["enabledUser"] = "True"  # read leniently, with her key as the example
    await made.pull()
    yield made


async def purged(school: School) -> Purge:
    student = await id_of(school, NUMBER)
    return await purges.purge_student(school.store, school.district, student, school.actor, "The family asked.")


DECIDED = (
    # She was merged from another id, which was undone once and done again; a namesake was told apart from her.
    "INSERT INTO identity_decision (district_id, act, entity_id, other_id, actor, because, run_id) VALUES "
    "(:d, 'merge', '00000000-0000-4000-8000-000000000001', CAST(:id AS uuid), '{}', 'the same', 1), "
    "(:d, 'undo', '00000000-0000-4000-8000-000000000001', NULL, '{}', 'in doubt', 1)",
    "UPDATE identity_decision SET undone_by = (SELECT max(id) FROM identity_decision) WHERE district_id = :d "
    "AND act = 'merge'",
    "INSERT INTO identity_decision (district_id, act, entity_id, other_id, before, actor, because, run_id) VALUES "
    "(:d, 'merge', '00000000-0000-4000-8000-000000000001', CAST(:id AS uuid), '[\"ptolemaia-of-before\"]', '{}', "
    " 'the same', 1)",
    "INSERT INTO identity_decision (district_id, act, connection_id, key, entity_id, actor, because, run_id) "
    "VALUES (:d, 'different', :n, :key, '00000000-0000-4000-8000-000000000002', '{}', 'a namesake', 1)",
    "INSERT INTO identity_conflict (district_id, connection_id, key, entity_id, collections, doc, run_id) "
    "VALUES (:d, :n, :key, CAST(:id AS uuid), ARRAY['users'], '{\"given_name\": \"Ptolemaia\"}', 1)",
    "INSERT INTO identity_proposal (district_id, connection_id, key, entity_id, score, fields) "
    "VALUES (:d, :n, 'stu-other-1', CAST(:id AS uuid), 0.9, '{}')",
)


async def id_of(school: School, number: str) -> str:
    [student] = await reading.find_students(school.store, school.district, number)
    return str(student["id"])


async def kept(school: School) -> str:
    """Everything that the database holds of the district, as text; what is sealed, opened."""
    found = []
    async with school.store.owner.connect() as c:
        for table in await district_tables(school.store):
            rows = await c.execute(
                text(f"SELECT CAST(t AS text) FROM {table} t WHERE district_id = :d"), {"d": school.district}
            )
            found += [f"{table}: {row}" for row in rows.scalars()]
        bodies = await c.execute(text("SELECT sealed_body FROM reject WHERE sealed_body IS NOT NULL"))
        found += [f"reject: {school.store.secrets.open(body).decode()}" for body in bodies.scalars()]
    return "\n".join(found)


async def district_tables(store: Store) -> list[str]:
    async with store.owner.connect() as c:
        rows = await c.execute(
            text(
                "SELECT c.relname FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid "
                "WHERE a.attname = 'district_id' AND c.relkind = 'r' "
                "AND c.relnamespace = 'public'::regnamespace ORDER BY 1"
            )
        )
        return list(rows.scalars())


def told(everything: str, words: Sequence[str] = TELLING) -> list[str]:
    return [word for word in words if word in everything]


async def counted(school: School) -> dict[str, int]:
    async with school.store.transaction(school.district) as c:
        return {
            table: int(str(await c.scalar(text(f"SELECT count(*) FROM {table}"))))
            for table in ("entity", "claim", "record", "link")
        }


def dropped(run: dict[str, Any]) -> dict[str, int]:
    return {c["collection"]: c["purged"] for c in run["counts"]["collections"] if c["purged"]}


async def test_nothing_is_left_and_nobody_else_is_touched(school: School, erased: Erased) -> None:
    """Neither of what is live nor of what was stated before."""
    school.row("users", GONE)["username"] = "ptolemaia-of-late"
    await school.pull()
    assert len(told(await kept(school))) == len(TELLING), "else there would be nothing to find"
    assert any(line.startswith("leniency: ") and GONE in line for line in (await kept(school)).splitlines())
    before = await reading.entity_counts(school.store, school.district)
    student = await id_of(school, NUMBER)
    async with school.store.owner.begin() as c:
        for statement in DECIDED:
            await c.execute(text(statement), {"d": school.district, "n": school.connection, "id": student, "key": GONE})
    done = await purged(school)
    everything = await kept(school)
    assert told(everything) == []
    assert [line for line in everything.splitlines() if student in line and not line.startswith("change: ")] == []
    assert done.erased is erased
    after = await reading.entity_counts(school.store, school.district)
    assert {kind: n - after[kind] for kind, n in before.items() if n != after[kind]} == {
        "student": 1, "contact": 1, "relationship": 2, "enrollment": 1, "result": 1,
    }  # fmt: skip
    assert done.counts | {"record_history": 1, "claim_history": 3} == done.counts
    async with school.store.transaction(school.district) as c:
        rows = await c.execute(
            text(
                "SELECT c.op, c.before, p.at IS NOT NULL AS told FROM change c JOIN publication p "
                "ON p.id = c.publication WHERE c.entity_id = CAST(:id AS uuid)"
            ),
            {"id": student},
        )
        assert [tuple(row) for row in rows] == [("removed", None, True)], "for those who ask what changed"


async def test_the_proof_says_what_the_preview_said_and_names_nobody(school: School) -> None:
    before = await kept(school)
    student = await id_of(school, NUMBER)
    seen = await purges.preview(school.store, school.district, student)
    assert await kept(school) == before
    assert {key.key for key in seen.keys} == {GONE, "par-ignatz"}
    done = await purged(school)
    [listed] = await purges.listed(school.store, school.district)
    assert (listed["id"], listed["because"], listed["what"]) == (done.id, "The family asked.", "student")
    assert listed["counts"] == done.counts == seen.counts and listed["erased_at"] is not None
    assert await purges.listed(school.store, school.district, student) == [listed]
    assert await purges.listed(school.store, school.district, await id_of(school, "77310456")) == []
    lines = [line for line in school.store.purges.read() if line.id == done.id]
    assert len(lines) == 1 and isinstance(lines[0], Purged)
    assert told(school.store.purges.path.read_text()) == [] and student not in school.store.purges.path.read_text()
    assert school.store.purges.path.stat().st_mode & 0o777 == 0o600
    last = await purges.preview(school.store, school.district, await id_of(school, "77310456"))
    assert {key.key for key in last.keys} == {SIBLING, SHARED_PARENT}, "the parent of both leaves with the second"


async def test_a_pull_of_the_same_source_does_not_bring_them_back(school: School) -> None:
    await purged(school)
    settled = await counted(school)
    run = await school.pull()
    assert run["state"] == "published"
    assert dropped(run) == {"users": 2, "demographics": 1, "enrollments": 1, "results": 1}
    assert await counted(school) == settled
    school.files["enrollments"].append(school.row("enrollments", "enr-0") | {"sourcedId": "enr-new"})
    school.row("users", GONE)["givenName"] = ""  # set aside now, with its bytes
    school.row("demographics", GONE)["sex"] = "planted"
    run = await school.pull()
    assert (run["state"], run["rejects"]) == ("published", 0)
    assert dropped(run)["enrollments"] == 2
    assert told(await kept(school)) == []


async def test_under_a_new_key_they_are_known_by_their_number(school: School) -> None:
    await purged(school)
    settled = await counted(school)
    new = "stu-vexwood-new"
    for name, field in (
        ("users", "sourcedId"), ("demographics", "sourcedId"), ("enrollments", "userSourcedId"),
        ("results", "studentSourcedId"),
    ):  # fmt: skip
        for row in school.files[name]:
            row[field] = new if row[field] == GONE else row[field]
    run = await school.pull()
    assert run["state"] == "published" and dropped(run)["enrollments"] == 1
    assert new not in await kept(school)
    assert await counted(school) == settled


async def test_another_connection_to_the_same_school_does_not_bring_them_back(school: School) -> None:
    await purged(school)
    await school.connect("another sis")
    assert (await school.pull())["state"] == "published"
    assert told(await kept(school), HERS) == []


async def test_a_successor_of_the_connection_knows_whom_it_may_not_take_in(school: School) -> None:
    await purged(school)
    await school.connect("sis-next-year")
    async with school.store.transaction(school.district) as c:
        await purges.inherit(c, school.district, "sis-next-year", "sis")
    await school.pull()
    assert told(await kept(school)) == []


@pytest.mark.parametrize("numbered", [True, False])
@pytest.mark.parametrize("held", [True, False])
async def test_who_was_purged_after_the_connection_was_cloned_does_not_come_with_the_clone(
    school: School, numbered: bool, held: bool
) -> None:
    """Nor does their family; and also where the new system knows no number, and what it says waits already."""
    old = await registers.connection(school.store, school.district, school.connection)
    settings = {"path": str(school.folder), "student_identifier": "identifier", "staff_identifier": "identifier"}
    new = await successions.clone(school.store, old, "sis-next", settings, {}, date(2099, 8, 2), school.actor)
    if not numbered:
        school.row("users", GONE)["identifier"] = ""
        await school.pull()
    if held:
        for name in ("enrollments", "results"):
            school.files[name] = school.files[name][:1]
    else:
        await purges.purge_student(
            school.store, school.district, await one_called(school, "Ptolemaia"), school.actor, "The family asked."
        )
    school.write()
    run = await jobs.switch(school.store, await registers.connection(school.store, school.district, new), school.actor)
    assert run is not None
    await jobs.run_job(school.store, school.district, run)
    if held:
        await purges.purge_student(
            school.store, school.district, await one_called(school, "Ptolemaia"), school.actor, "The family asked."
        )
        while await held_now(school, new):  # without them it may be another change set, and asks again
            await jobs.decide_hold(school.store, school.district, run, "approved", school.actor, "It is so.")
            await jobs.run_job(school.store, school.district, run)
    async with school.store.transaction(school.district) as c:
        [found] = await runs.summary(c, run=run)
    assert (found["state"], found["counts"]["takes_over"]) == ("published", "sis")
    assert told(await kept(school)) == []


async def held_now(school: School, connection: int) -> int | None:
    async with school.store.transaction(school.district) as c:
        return await runs.held(c, connection)


async def test_who_was_purged_after_a_switch_is_known_in_a_backup_from_before_it(school: School) -> None:
    """There they have the keys of the old connection."""
    old = await registers.connection(school.store, school.district, school.connection)
    settings = {"path": str(school.folder), "student_identifier": "identifier", "staff_identifier": "identifier"}
    new = await successions.clone(school.store, old, "sis-next", settings, {}, date(2099, 8, 2), school.actor)
    run = await jobs.switch(school.store, await registers.connection(school.store, school.district, new), school.actor)
    assert run is not None
    await jobs.run_job(school.store, school.district, run)
    done = await purged(school)
    [line] = [line for line in school.store.purges.read() if line.id == done.id and isinstance(line, Purged)]
    for key in (("person", GONE), ("contact", "par-ignatz")):
        marked = set(school.store.marks.every(*key))
        assert {name for name, mark in line.marks if mark in marked} == {"sis", "sis-next"}


async def one_called(school: School, name: str) -> str:
    people = await reading.entities(school.store, school.district, "person")
    return str(next(person["id"] for person in people if person["given_name"] == name))


async def test_a_held_run_does_not_bring_them_back(school: School) -> None:
    """Its rows were staged before the purge."""
    school.row("users", GONE)["username"] = "ptolemaia-of-today"
    for name in ("enrollments", "results"):
        school.files[name] = school.files[name][:1]
    held = await school.pull()
    assert held["state"] == "held" and "ptolemaia-of-today" in await kept(school)
    await purged(school)
    assert told(await kept(school)) == []
    number = int(str(held["id"]))
    await jobs.decide_hold(school.store, school.district, number, "approved", school.actor, "It is so.")
    await jobs.run_job(school.store, school.district, number)
    assert told(await kept(school)) == []


async def test_a_parent_who_has_another_child_now_comes_back_for_that_child(school: School) -> None:
    await purged(school)
    school.files["users"].append(user("stu-late", "student", "Odo", "Vexwood", agentSourcedIds="par-ignatz"))
    await school.pull()
    await school.pull()
    contacts = await reading.entities(school.store, school.district, "person")
    assert [person["given_name"] for person in contacts if person["given_name"] == "Ignatz"] == ["Ignatz"]
    assert told(await kept(school), HERS) == []


async def test_a_parent_who_may_come_back_is_asked_for_although_nothing_of_theirs_changed(school: School) -> None:
    """A pull of changes would not bring them: the next one is whole."""
    await purged(school)
    async with school.store.transaction(school.district) as c:
        await c.execute(
            text(
                "INSERT INTO watermark (district_id, connection_id, collection, mark, read_by, whole_at) "
                "SELECT :d, id, 'users', 'm', 'r', now() FROM connection WHERE district_id = :d"
            ),
            {"d": school.district},
        )
    marks = text("SELECT count(*) FROM watermark")
    await school.pull()
    async with school.store.transaction(school.district) as c:
        assert await c.scalar(marks) == 1
    school.files["users"].append(user("stu-late", "student", "Odo", "Vexwood", agentSourcedIds="par-ignatz"))
    await school.pull()
    async with school.store.transaction(school.district) as c:
        assert await c.scalar(marks) == 0


async def test_a_parent_who_works_at_the_school_stays(school: School) -> None:
    school.row("users", "par-ignatz")["role"] = "teacher"
    await school.pull()
    seen = await purges.preview(school.store, school.district, await id_of(school, NUMBER))
    assert {key.key for key in seen.keys} == {GONE}


async def test_a_lifted_purge_lets_them_be_pulled_again(school: School) -> None:
    done = await purged(school)
    with pytest.raises(ConfigError, match="no such purge"):
        await purges.lift(school.store, school.district, "00000000-0000-4000-8000-000000000000", school.actor, "Back.")
    await purges.lift(school.store, school.district, done.id, school.actor, "Enrolled again.")
    await school.pull()
    [back] = await reading.find_students(school.store, school.district, NUMBER)
    assert back["given_name"] == "Ptolemaia"
    assert (await purges.listed(school.store, school.district))[0]["lifted"]["because"] == "Enrolled again."


async def test_a_purge_needs_a_student_and_a_reason_that_does_not_say_who_it_is(school: School) -> None:
    student = await id_of(school, NUMBER)
    for because in ("", "  ", "Ptolemaia moved away.", "vexwood family", f"case of {NUMBER}"):
        with pytest.raises(Refused) as refusal:
            await purges.purge_student(school.store, school.district, student, school.actor, because)
        assert refusal.value.code == ("reason-names-student" if because.strip() else "reason-missing")
    people = await reading.entities(school.store, school.district, "person")
    teacher = next(person["id"] for person in people if person["given_name"] == "Ferdinand")
    with pytest.raises(Refused, match="not a student"):
        await purges.preview(school.store, school.district, teacher)
    for nobody in ("Ptolemaia", "00000000-0000-4000-8000-000000000000"):
        with pytest.raises(ConfigError, match="no such student"):
            await purges.preview(school.store, school.district, nobody)
    assert await id_of(school, NUMBER) == student


def line(id: str) -> Purged:
    return Purged(id, clock.now(), "student", "Fennel County", "mark", [], {}, {}, "case 1", {})


def test_a_line_that_was_cut_off_spoils_none_that_follow(tmp_path: Path) -> None:
    file = PurgeFile(tmp_path / "purges.jsonl")
    file.append([line("1")])
    whole = file.path.read_bytes()
    file.path.write_bytes(whole + whole[:40])
    assert [one.id for one in file.read()] == ["1"]
    file.append([line("2")])
    file.append([line("3")])
    assert [one.id for one in file.read()] == ["1", "2", "3"]


def test_a_line_of_which_the_disk_takes_a_part_at_first_is_written_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Or a purge would be committed that no restored backup honours."""
    write = os.write
    monkeypatch.setattr(os, "write", lambda handle, text: write(handle, text[:40]))
    file = PurgeFile(tmp_path / "purges.jsonl")
    file.append([line("1")])
    assert [one.id for one in file.read()] == ["1"]


async def test_every_table_of_a_district_is_swept_or_says_why_not(store: Store) -> None:
    tables = set(await district_tables(store))
    assert tables - set(traces.tables()) - set(traces.NOBODY) == set(), "name these in gateway/store/traces.py"
    assert set(traces.tables()) | set(traces.NOBODY) <= tables
