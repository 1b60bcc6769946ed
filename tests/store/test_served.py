"""What is served follows what is published: nothing is missed, nothing is left behind, every record is valid."""

import asyncio
import json
import random
import uuid
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from sqlalchemy import text

from connectors.edfi.twin import twin as edfi_twin
from connectors.oneroster.twin import twin as oneroster_twin
from gateway import clock, jobs, projections
from gateway.errors import Unavailable
from gateway.served import COLLECTIONS, instant
from gateway.settings import Settings
from gateway.store import reach, registers, served, standing
from gateway.store.database import Store, Transaction
from gateway.store.registers import Actor
from synthetic import build
from tests.mappings.oneroster_records import SCHEMAS, definitions, models
from tests.serving import serve
from tests.store.school import GONE, HERS, NUMBER, SHARED_PARENT, School
from tests.store.served_town import Roster, Town, rows
from tests.store.test_purges import id_of, kept, purged
from tests.test_seeing import typed


@pytest.fixture
def town(store: Store, district: int) -> Town:
    return Town(store, district)


async def follow(town: Town) -> projections.Projected:
    return await projections.follow(town.store, town.district)


async def anew(town: Town) -> dict[str, int]:
    """What differs when everything is looked at anew."""
    async with town.store.transaction(town.district) as c:
        await served.ask_again(c, town.district)
    return (await follow(town)).rows


async def test_whom_the_district_keeps_away_is_nobodys_family(town: Town, actor: Actor) -> None:
    school, child, father = (str(uuid.UUID(int=n)) for n in (1, 2, 3))
    role = {"roles": [{"role": "student", "organization": school}]}
    tie = {"student": child, "contact": father, "relation": "father"}
    await town.publish({
        ("organization", school): {"name": "North", "type": "school"},
        ("person", child): {"population": "student", "given_name": "Ada", "family_name": "Wren", "active": True} | role,
        ("person", father): {"population": "contact", "given_name": "Ben", "family_name": "Wren", "active": True},
        ("relationship", str(uuid.UUID(int=4))): tie,
    })  # fmt: skip
    await follow(town)
    assert (await town.rows())["users"][child].agents_ids == [father]
    await standing.restrict(town.store, town.district, child, father, "Court order 17.", actor)
    assert town.district in await served.due(town.store)
    await follow(town)
    assert (await town.rows())["users"][child].agents_ids is None
    await town.publish({("relationship", str(uuid.UUID(int=4))): tie | {"relation": "parent"}})
    await follow(town)
    assert (await town.rows())["users"][child].agents_ids is None, "whatever a source says"
    await standing.lift(town.store, town.district, child, father, "Court order 18.", actor)
    await follow(town)
    assert (await town.rows())["users"][child].agents_ids == [father]


@pytest.mark.parametrize("seed", range(2))
async def test_changes_come_to_what_everything_anew_comes_to(town: Town, seed: int) -> None:
    dice = random.Random(seed)
    roster = Roster(dice)
    kept: dict[str, dict[str, Any]] = {name: {} for name in COLLECTIONS}
    for step in range(10):
        await town.publish(roster.changes(town.there, 60 if step == 0 else dice.choice([1, 2, 8])))
        if dice.random() < 0.3:
            continue
        done = await follow(town)
        now = await town.rows()
        for name, found in now.items():
            changed = {id for id, row in found.items() if kept[name].get(id) is None or kept[name][id] != row}
            if any(kept.values()):
                assert {found[id].at for id in changed} <= {done.at}
            assert len(changed) == done.rows.get(name, 0)
            assert not kept[name].keys() - found.keys()
        kept = now
        valid(now)
    await follow(town)
    assert await anew(town) == {}
    twin = Town(town.store, await registers.district(town.store, f"twin-of-{town.district}"))
    await twin.publish(town.there)
    await follow(twin)
    assert living(await twin.rows()) == living(await town.rows())
    assert await twin.gaps() == await town.gaps()


def living(rows: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """All but the times, which are not the same."""
    return {name: {id: tuple(row)[3:] for id, row in found.items() if not row.gone} for name, found in rows.items()}


def valid(rows: dict[str, dict[str, Any]]) -> None:
    """Each record is one of the standard, and leads only to what is served."""
    for name, found in rows.items():
        for row in found.values():
            record = json.loads(row.doc)
            if row.gone:
                assert record.keys() <= {"sourcedId", "metadata"}
                continue
            for link in links(record):
                _, service, version, collection, id = link["href"].split("/")
                assert (service, version) == (COLLECTIONS[collection].service, "v1p2")
                assert id == link["sourcedId"] and not rows[collection][id].gone
            if SCHEMAS.exists():
                errors = schema(name).iter_errors(
                    record | {"status": "active", "dateLastModified": "2026-01-01T00:00:00.000Z"}
                )
                assert [error.message for error in errors] == []


def schema(name: str) -> Draft202012Validator:
    service, model = models()[name]
    return Draft202012Validator({"$ref": f"#/$defs/{model}", "$defs": definitions(service)})


def links(record: Any) -> list[dict[str, Any]]:
    if isinstance(record, list):
        return [link for one in record for link in links(one)]
    if isinstance(record, dict):
        return [record] if "href" in record else links(list(record.values()))
    return []


async def test_what_was_left_out_comes_with_what_it_refers_to(town: Town) -> None:
    """And goes with it again; what only may refer to it is served without."""
    ids = Roster(random.Random(1)).ids
    org, term, course, class_, seat, who, kin = (
        (kind, ids[kind][0])
        for kind in ("organization", "session", "course", "class", "enrollment", "person", "relationship")
    )
    other = ("person", ids["person"][1])
    role = {"roles": [{"role": "student", "organization": org[1]}], "family_name": "Wren", "population": "student"}
    whole = {"title": "Term", "type": "term", "begin_on": "2026-08-17", "end_on": "2027-06-12", "school_year": 2027}
    endless = {name: value for name, value in whole.items() if name != "end_on"}
    await town.publish(
        {
            org: {"name": "North", "type": "school"},
            term: endless,
            course: {"title": "Reading", "session": term[1]},
            class_: {"title": "Reading a", "course": course[1], "school": org[1], "sessions": [term[1]]},
            seat: {"person": who[1], "class": class_[1], "role": "student"},
            who: {**role, "given_name": "Ada"},
            other: role,
            kin: {"student": who[1], "contact": other[1]},
        }
    )
    await follow(town)
    assert await served_of(town) == {"orgs", "courses", "users"}
    assert await town.gaps() == [
        ("academicSessions", "endDate", True, 1),
        ("classes", "terms", True, 1),
        ("courses", "schoolYear", False, 1),
        ("enrollments", "class", True, 1),
        ("users", "givenName", True, 1),
        ("users", "agents", False, 1),
    ]
    await town.publish({term: whole, other: {**role, "given_name": "Ben"}})
    await follow(town)
    assert await served_of(town) == {"orgs", "courses", "users", "academicSessions", "classes", "enrollments"}
    assert await town.gaps() == []
    found = await town.rows()
    assert other[1] in found["users"][who[1]].doc and term[1] in found["courses"][course[1]].doc
    south = ("organization", ids["organization"][1])
    moved = {"title": "Reading a", "course": course[1], "school": south[1], "sessions": [term[1]]}
    await town.publish({south: {"name": "South", "type": "school"}, class_: moved})
    await follow(town)
    assert south[1] in (await town.rows())["enrollments"][seat[1]].doc
    await town.publish({term: endless})
    await follow(town)
    assert await served_of(town) == {"orgs", "courses", "users"}
    assert await anew(town) == {}


async def served_of(town: Town) -> set[str]:
    return {name for name, of in (await town.rows()).items() if any(not row.gone for row in of.values())}


async def test_who_asks_what_changed_since_the_last_time_misses_nothing(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also not while a projection takes long, and is as old at its end as it is long."""
    dice = random.Random(11)
    roster = Roster(dice)
    poller = Poller(town)
    with pytest.raises(Unavailable):
        await poller.ask()
    await town.publish(roster.changes(town.there, 50))
    await follow(town)
    written, go = asyncio.Event(), asyncio.Event()

    async def takes_long(c: Transaction, district: int) -> int:
        written.set()
        await go.wait()
        return 0

    monkeypatch.setattr(reach, "refresh", takes_long)
    for _ in range(8):
        written.clear()
        go.clear()
        await poller.ask()
        await town.publish(roster.changes(town.there, 6))
        under_way = asyncio.create_task(follow(town))
        await written.wait()
        await poller.ask()
        go.set()
        await asyncio.gather(under_way, *(poller.ask() for _ in range(3)))
        await poller.ask()
        seen = {(name, id) for name, found in (await town.rows()).items() for id, row in found.items() if not row.gone}
        assert poller.there == seen
    assert poller.deleted > 5


class Poller:
    """It keeps a copy, and asks for what is younger than its last question, by its own clock."""

    def __init__(self, town: Town) -> None:
        self._town = town
        self._since = "1970-01-01T00:00:00.000Z"
        self._turn = asyncio.Lock()
        self.there: set[tuple[str, str]] = set()
        self.deleted = 0

    async def ask(self) -> None:
        async with self._turn:
            asked = instant(clock.now())
            async with self._town.store.transaction(self._town.district) as c:
                await served.reading(c, self._town.district)
                found = await rows(c)
            since, self._since = datetime.fromisoformat(self._since), asked
            for name, of_name in found.items():
                for id, row in of_name.items():
                    if row.at > since:
                        self.deleted += row.gone and (name, id) in self.there
                        (self.there.discard if row.gone else self.there.add)((name, id))


async def test_who_was_merged_names_the_survivor(town: Town) -> None:
    roster = Roster(random.Random(3))
    first, second, third = roster.ids["person"][:3]
    [school] = roster.ids["organization"][:1]
    named = {"given_name": "Ada", "family_name": "Wren", "roles": [{"role": "student", "organization": school}]}
    everybody = {("person", id): named for id in (first, second, third)}
    await town.publish({("organization", school): {"name": "North", "type": "school"}, **everybody})
    await follow(town)
    await merge(town, first, second)
    assert await gone(town) == {first: second}
    await merge(town, second, third)
    assert await gone(town) == {first: third, second: third}
    async with town.store.owner.begin() as c:
        undo = "UPDATE identity_decision SET undone_by = id WHERE district_id = :d AND entity_id = CAST(:id AS uuid)"
        await c.execute(text(undo), {"d": town.district, "id": second})
    await town.publish({("person", second): named})
    await follow(town)
    assert await gone(town) == {first: second}
    assert await anew(town) == {}


async def merge(town: Town, one: str, other: str) -> None:
    async with town.store.transaction(town.district) as c:
        await c.execute(
            text(
                "INSERT INTO identity_decision (district_id, act, entity_id, other_id, actor, because, run_id) "
                "VALUES (:d, 'merge', CAST(:one AS uuid), CAST(:other AS uuid), '{}', 'the same', 1)"
            ),
            {"d": town.district, "one": one, "other": other},
        )
        await town.publish_in(c, {("person", one): None})
    await follow(town)


async def gone(town: Town) -> dict[str, Any]:
    users = (await town.rows())["users"]
    return {id: json.loads(row.doc).get("metadata", {}).get("survivor") for id, row in users.items() if row.gone}


@pytest.fixture
async def school(store: Store, district: int, actor: Actor, tmp_path: Path) -> School:
    """With all that the standard demands, so that everything of it is served."""
    made = School(tmp_path / "roster", store=store, district=district, actor=actor)
    year = {"title": "2026-27", "type": "schoolYear", "startDate": "2026-08-17", "endDate": "2027-06-12"}
    made.files["academicSessions"] = [{"sourcedId": "year", "schoolYear": "2027", **year}]
    made.files["classes"][0]["termSourcedIds"] = "year"
    made.files["categories"] = [{"sourcedId": "essays", "title": "Essays"}]
    made.files["lineItems"][0] |= {"categorySourcedId": "essays", "dueDate": "2026-09-01"}
    for result in made.files["results"]:
        result |= {"scoreStatus": "fully graded", "scoreDate": "2026-09-02"}
    for user in made.files["users"]:
        if user["sourcedId"] == SHARED_PARENT:
            user["orgSourcedIds"] = ""
    await made.connect()
    await made.pull()
    return made


async def test_of_who_was_purged_nothing_is_served_nor_said_to_be_gone(school: School) -> None:
    town = Town(school.store, school.district)
    student = await id_of(school, NUMBER)
    await follow(town)
    before = await town.rows()
    hers = {name: {id for id, row in found.items() if student in str(row)} for name, found in before.items()}
    assert {name for name, ids in hers.items() if ids} == {"users", "demographics", "enrollments", "results"}
    # One of her rows is gone already when she is purged.
    school.files["results"] = [row for row in school.files["results"] if row["studentSourcedId"] != GONE]
    await school.pull()
    await follow(town)
    assert sum(row.gone for row in (await town.rows())["results"].values()) == 1
    await purged(school)
    for _ in range(2):
        after = await town.rows()
        assert not any(after[name].keys() & ids for name, ids in hers.items())
        assert not any(row.gone for found in after.values() for row in found.values())
        assert [said for said in HERS if said in await kept(school)] == []
        await follow(town)
    assert student not in await kept_of_served(town)
    assert len(after["users"]) == len(before["users"]) - 2  # she and the parent who was hers alone
    assert await anew(town) == {}


async def kept_of_served(town: Town) -> str:
    found = []
    async with town.store.transaction(town.district) as c:
        for table in ("served_gap", "served_family", *(one.table for one in COLLECTIONS.values())):
            read = await c.execute(text(f"SELECT CAST(t AS text) FROM {table} t"))
            found += list(read.scalars())
    return "\n".join(found)


SOURCES: dict[str, tuple[Any, dict[str, Any], dict[str, str]]] = {
    "edfi": (edfi_twin, {"key": "demo-key"}, {"secret": "demo-secret"}),
    "oneroster": (oneroster_twin, {"client_id": "demo-client"}, {"client_secret": "demo-secret"}),
}
SAID = {"orgs", "academicSessions", "courses", "classes", "users", "demographics", "enrollments"} | {
    "assessmentLineItems",
    "assessmentResults",
}


@pytest.mark.parametrize("source", SOURCES)
async def test_what_a_source_says_is_served_as_the_standard_says(
    store: Store, district: int, actor: Actor, source: str
) -> None:
    twin, settings, secrets = SOURCES[source]
    people = {"student_identifier": "Local", "staff_identifier": "Local"}
    with serve(twin(build(schools=1, students=4))) as url:
        token = {"token_url": f"{url}/token"} if source == "oneroster" else {}
        settings = {"base_url": url, "allow_private": True, **people, **token, **settings}
        await registers.add_connection(store, district, "sis", source, settings, secrets, actor)
        await jobs.run_job(store, district, await jobs.request_pull(store, district, "sis", actor))
    town = Town(store, district)
    await follow(town)
    found = await town.rows()
    valid(found)
    assert {name for name, of_name in found.items() if of_name} == SAID
    assert await town.gaps() == []
    assert await anew(town) == {}


async def test_a_district_is_followed_that_somebody_may_read(
    town: Town, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    roster = Roster(random.Random(5))
    await town.publish(roster.changes(town.there, 20))
    assert town.district not in await served.due(town.store)
    scope = "https://purl.imsglobal.org/spec/or/v1p2/scope/roster-core.readonly"
    async with town.store.owner.begin() as c:
        await c.execute(
            text(
                "INSERT INTO client (id, district_id, name, secret_hash, scopes) "
                "VALUES ('reader-' || :d, :d, 'reader', '', CAST(:scopes AS json))"
            ),
            {"d": town.district, "scopes": json.dumps([scope])},
        )
    await jobs.project_due(town.store, town.district)
    await jobs.project_due(town.store, town.district)
    assert await queued(town) == 1
    await jobs.project_job(town.store, town.district)
    assert town.district not in await served.due(town.store)
    await town.publish({("category", roster.ids["category"][0]): {"title": "Talks"}})
    assert town.district in await served.due(town.store)
    code, said = await typed(town, settings, "serve", "status", "--json")  # type: ignore[arg-type]
    assert code == 0 and json.loads(said)["behind"] == 1

    async def breaks(store: Store, district: int) -> None:
        raise ZeroDivisionError

    with monkeypatch.context() as broken:
        broken.setattr(projections, "follow", breaks)
        await jobs.project_job(town.store, town.district)
    assert town.district not in await served.due(town.store)  # not at once
    code, said = await typed(town, settings, "serve", "status")  # type: ignore[arg-type]
    assert code == 0 and "failed" in said
    code, said = await typed(town, settings, "serve", "rebuild", "--as", "it", "--json")  # type: ignore[arg-type]
    assert code == 0 and json.loads(said)["rows"] == {"categories": 1}


async def queued(town: Town) -> int:
    async with town.store.owner.begin() as c:
        jobs_of = "SELECT count(*) FROM procrastinate_jobs WHERE task_name = 'project' AND args->>'district' = :d"
        return int(str(await c.scalar(text(jobs_of), {"d": str(town.district)})))


async def test_what_is_gone_is_said_as_long_as_changes_are_kept(town: Town) -> None:
    one, other = Roster(random.Random(9)).ids["category"]
    await town.publish({("category", id): {"title": "Talks"} for id in (one, other)})
    await follow(town)
    await town.publish({("category", one): None})
    await follow(town)
    assert set((await town.rows())["categories"]) == {one, other}
    async with town.store.owner.begin() as c:
        await c.execute(text("UPDATE district SET history_from = now() WHERE id = :d"), {"d": town.district})
    await follow(town)
    assert set((await town.rows())["categories"]) == {other}


async def test_after_a_restore_everything_counts_as_changed(town: Town) -> None:
    await town.publish(Roster(random.Random(7)).changes({}, 40))
    before = await follow(town)
    async with town.store.owner.begin() as c:
        await c.execute(text("UPDATE projection SET xid = '0', seq = 0, again = true, restamp = true"))
    async with town.store.transaction(town.district) as c:
        with pytest.raises(Unavailable):  # what families said since the backup is not in it yet
            await served.reading(c, town.district)
    after = await follow(town)
    assert after.rows == before.rows and before.at and after.at and after.at > before.at
