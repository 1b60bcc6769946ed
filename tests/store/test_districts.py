"""Districts as a whole: suspended nothing runs, exported it is all there, deleted nothing is left of it."""

import json
import re
import zipfile
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from gateway import clock, dispatch, jobs, record
from gateway.errors import ConfigError, Refused
from gateway.exports import district as exports
from gateway.store import (
    amendments,
    clients,
    consents,
    disclosures,
    districts,
    extracts,
    legal,
    reading,
    registers,
    standing,
    states,
)
from gateway.store.consents import Given
from gateway.store.database import Store
from gateway.store.disclosures import Disclosure
from gateway.store.erasure import Erased, tables
from gateway.store.purge_file import Purged
from gateway.store.registers import Actor
from gateway.store.remembering import catch_up
from tests.api.world import PLANTED, World, populate

WHY = "The contract ended."


@pytest.fixture
async def world(store: Store, district: int, actor: Actor, tmp_path: Path) -> World:
    """Its second connection with all that it would need to be used."""
    made = await populate(store, district, actor, tmp_path / "roster")
    async with store.owner.begin() as c:
        await c.execute(
            text(
                "UPDATE connection SET settings = CAST(CAST(settings AS jsonb) || CAST(:more AS jsonb) AS json), "
                "sealed_secrets = :sealed WHERE district_id = :d AND name = 'ods'"
            ),
            {
                "d": district,
                "more": json.dumps({"base_url": "https://ods.example.org", "key": "planbridge"}),
                "sealed": store.secrets.seal(json.dumps({"secret": "planted-secret"}).encode()),
            },
        )
    return made


async def name_of(store: Store, district: int) -> str:
    async with store.owner.connect() as c:
        return str(await c.scalar(text("SELECT name FROM district WHERE id = :d"), {"d": district}))


async def rows(store: Store, district: int) -> dict[str, int]:
    """Rows per table that has districts."""
    async with store.owner.connect() as c:
        tables = (
            await c.execute(
                text(
                    "SELECT table_name FROM information_schema.columns JOIN information_schema.tables "
                    "USING (table_schema, table_name) WHERE column_name = 'district_id' AND table_schema = 'public' "
                    "AND table_type = 'BASE TABLE'"
                )
            )
        ).scalars()
        counts = {
            table: await c.scalar(text(f"SELECT count(*) FROM {table} WHERE district_id = :d"), {"d": district})
            for table in tables
        }
        return {table: n for table, n in counts.items() if n}


async def test_suspended_nothing_runs_and_nothing_is_lost(store: Store, world: World, actor: Actor) -> None:
    name = await name_of(store, world.district)
    id, secret = await clients.add(store, world.district, "planner", ["students.read"], actor)
    client = await clients.authenticate(store, id, secret)
    assert client is not None and not client.suspended
    token = await clients.issue_token(store, client, client.scopes)
    waiting = await jobs.request_pull(store, world.district, "sis", actor)
    before = await reading.entity_counts(store, world.district)
    with pytest.raises(Refused, match="reason"):
        await districts.suspend(store, name, actor, " ")
    await districts.suspend(store, name, actor, WHY)

    for begin in (
        jobs.request_pull(store, world.district, "sis", actor),
        jobs.decide_hold(store, world.district, world.held, "approved", actor, "all right"),
        dispatch.request_push(store, world.district, world.final, "ods", actor),
    ):
        with pytest.raises(Refused, match=WHY) as refusal:
            await begin
        assert refusal.value.code == "district-suspended"
    await jobs.run_job(store, world.district, waiting)
    async with store.transaction(world.district) as c:
        [ended] = (await c.execute(text("SELECT state, error_code FROM run WHERE id = :id"), {"id": waiting})).all()
    assert tuple(ended) == ("failed", "district-suspended")
    held = await clients.token_client(store, token)
    assert held is not None and held.client.suspended
    again = await clients.authenticate(store, id, secret)
    assert again is not None and again.suspended
    assert not any(state.watched for state in await states.read(store, world.district)), "silence was ordered"
    assert await reading.entity_counts(store, world.district) == before

    await districts.resume(store, name, actor)
    await jobs.run_job(store, world.district, await jobs.request_pull(store, world.district, "sis", actor))
    held = await clients.token_client(store, token)
    assert held is not None and not held.client.suspended


async def test_an_export_has_everything_and_no_secret(store: Store, world: World, actor: Actor, tmp_path: Path) -> None:
    name = await name_of(store, world.district)
    async with store.transaction(world.district) as c:
        await c.execute(
            text(
                "INSERT INTO ending SELECT district_id, max(id), 'person', gen_random_uuid(), 'graduated' "
                "FROM publication GROUP BY district_id"
            )
        )
    file = tmp_path / "export.zip"
    manifest = await exports.export(store, name, file, actor)
    assert file.stat().st_mode & 0o777 == 0o600
    with zipfile.ZipFile(file) as package:
        held = {part: package.read(part) for part in package.namelist()}
    assert json.loads(held.pop("manifest.json")) == manifest
    assert {part: sha256(said).hexdigest() for part, said in held.items()} == {
        part: about["sha256"] for part, about in manifest["files"].items()
    }
    people = [json.loads(line) for line in held["entities/person.jsonl"].splitlines()]
    assert len(people) == manifest["files"]["entities/person.jsonl"]["rows"]
    assert sorted(person["id"] for person in people) == [
        person["id"] for person in await reading.entities(store, world.district, "person")
    ]
    plans = {plan["id"]: plan for plan in map(json.loads, held["plans.jsonl"].splitlines())}
    [version] = plans[world.final]["versions"]
    assert sha256(version["content"].encode()).hexdigest() == version["sha256"]
    assert {event["act"] for event in plans[world.final]["events"]} >= {"created", "finalize"}
    [ending] = [json.loads(line) for line in held["endings.jsonl"].splitlines()]
    assert (ending["kind"], ending["reason"]) == ("person", "graduated") and ending["at"]
    assert b'"connect"' in held["acts.jsonl"] and b"sis:" in held["configuration.yaml"]
    everything = b"".join(held.values())
    assert b"planted-secret" not in everything and PLANTED[0].encode() in everything
    with pytest.raises(ConfigError, match="there already"):
        await exports.export(store, name, file, actor)


async def decided(store: Store, world: World, actor: Actor) -> dict[str, str]:
    """What people said about one student, one thing of every sort: file of the export -> what must stand in it."""
    d, today = world.district, clock.today()
    async with store.transaction(d) as c:
        mother, student = (
            await c.execute(
                text(
                    "SELECT doc->>'contact', doc->>'student' FROM entity "
                    "WHERE kind = 'relationship' ORDER BY id LIMIT 1"
                )
            )
        ).one()
        given = Given(student, mother, "guardian", "program:x", ["goals"], "planning", True, today, today, "drawer 7")
        consent = await consents.add(store, c, d, given, actor)
        seen = Disclosure(student, "read", "planted-party", True, "guardian", "planning", "So.", ["goals"])
        await disclosures.note(c, d, seen, actor)
        request = await amendments.ask(
            store, c, d, student, "Her mother", "/needs/0", "planted-asked", today, today, actor
        )
        hold = await legal.place(store, c, d, student, "inquiry 7", actor)
        await legal.lift(store, c, d, hold, "closed", actor)
        await c.execute(
            text("INSERT INTO purpose SELECT :d, id, 'interim', 'The board.', '{}' FROM entity LIMIT 1"), {"d": d}
        )
        await c.execute(
            text(
                "INSERT INTO agreement (district_id, connection_id, agency, reference, from_on, until_on, actor) "
                "SELECT :d, id, 'Fennel Agency', 'A-1', now(), now(), '{}' FROM connection LIMIT 1"
            ),
            {"d": d},
        )
    await record.add(store, d, student, {"kind": "observation", "body": {"text": "planted-note"}}, actor)
    await standing.restrict(store, d, student, mother, "court order 2026-88", actor)
    await jobs.seal(store)
    return {
        "consents.jsonl": f'"id" : {consent}',
        "disclosures.jsonl": "planted-party",
        "amendments.jsonl": request,
        "legal-holds.jsonl": "inquiry 7",
        "purposes.jsonl": "The board.",
        "agreements.jsonl": "Fennel Agency",
        "standing.jsonl": "court order 2026-88",
        "restrictions.jsonl": mother,
        "records.jsonl": "planted-note",
        "chain.jsonl": '"table" : "consent"',
    }  # fmt: skip


async def test_an_export_has_what_people_said_of_students_and_a_deletion_takes_it(
    store: Store, world: World, actor: Actor, tmp_path: Path, erased: Erased
) -> None:
    said = await decided(store, world, actor)
    name = await name_of(store, world.district)
    await exports.export(store, name, tmp_path / "export.zip", actor)
    with zipfile.ZipFile(tmp_path / "export.zip") as package:
        for part, told in said.items():
            assert told in package.read(part).decode(), part
    assert await districts.delete(store, name, actor, WHY) is erased
    assert await rows(store, world.district) == {"purge": 1}


async def test_every_table_is_exported_or_says_why_not(store: Store) -> None:
    written = {table for sql in extracts.FILES.values() for table in re.findall(r"(?:FROM|JOIN) (\w+)", sql)}
    async with store.owner.connect() as c:
        assert set(await tables(c)) - written == set(extracts.NOT_WRITTEN) - written
    assert not {"consent", "disclosure", "chain", "standing", "record_entry"} & set(extracts.NOT_WRITTEN)


async def test_deleted_it_leaves_nothing_but_the_proof_and_does_not_come_back(
    store: Store, world: World, actor: Actor, tmp_path: Path, erased: Erased
) -> None:
    name = await name_of(store, world.district)
    other = await registers.district(store, f"{name}, its neighbour")
    await registers.add_connection(
        store, other, "sis", "oneroster", {"student_identifier": "a", "staff_identifier": "b"}, {}, actor
    )
    neighbour = await rows(store, other)
    with pytest.raises(Refused, match="exported"):
        await districts.delete(store, name, actor, WHY)
    await exports.export(store, name, tmp_path / "export.zip", actor)
    saved = await rows_of_district(store, world.district)
    assert await districts.delete(store, name, actor, WHY) is erased

    assert await rows(store, world.district) == {"purge": 1}
    assert await rows(store, other) == neighbour
    [proof] = [one for one in await districts.listed(store) if one["name"] == name]
    assert (proof["state"], proof["because"]) == ("deleted", WHY)
    [line] = [one for one in store.purges.read() if isinstance(one, Purged) and one.district == name]
    assert line.what == "district" and line.counts["entity"] > 10
    async with store.owner.connect() as c:
        left = "SELECT count(*) FROM procrastinate_jobs WHERE CAST(args->>'district' AS int) = :d"
        assert await c.scalar(text(left), {"d": world.district}) == 0

    # An older backup comes back, in which the district is and the deletion is not; and a district of the same name
    # is another district.
    async with store.owner.begin() as c:
        await c.execute(text("DELETE FROM purge WHERE CAST(id AS text) = :id"), {"id": line.id})
        await c.execute(
            text(
                "INSERT INTO district (id, name, sealed_key, created_at) OVERRIDING SYSTEM VALUE "
                "SELECT * FROM json_to_record(CAST(:row AS json)) AS (id int, name text, sealed_key bytea, "
                "created_at timestamptz)"
            ),
            {"row": json.dumps(saved)},
        )
    await catch_up(store)
    with pytest.raises(ConfigError, match="no district"):
        await districts.named(store, name)
    await districts.add(store, name, actor)
    await catch_up(store)
    assert await districts.named(store, name) > 0


async def rows_of_district(store: Store, district: int) -> dict[str, Any]:
    async with store.owner.connect() as c:
        row = await c.scalar(text("SELECT to_json(d) FROM district d WHERE id = :d"), {"d": district})
        return {name: row[name] for name in ("id", "name", "sealed_key", "created_at")}


async def test_a_district_is_added_once_and_named_rightly(store: Store, actor: Actor) -> None:
    await districts.add(store, "Fennel County", actor)
    with pytest.raises(ConfigError, match="already"):
        await districts.add(store, "Fennel County", actor)
    for act in (districts.link(store, "Fenel County", actor), districts.suspend(store, "Fenel County", actor, WHY)):
        with pytest.raises(ConfigError, match="no district"):
            await act
