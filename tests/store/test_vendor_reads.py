"""What a program read: an incident's set of students and fields, what is never read, bulk, purge and restore."""

import random
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from gateway import clock
from gateway.errors import PlanbridgeError
from gateway.store import bulk, clients, disclosures, outbox, purges, reading, reads, standing, vendors
from gateway.store.clients import Client
from gateway.store.database import Store
from gateway.store.disclosures import Disclosure
from gateway.store.purge_file import Stood
from gateway.store.registers import Actor
from gateway.vendors import Agreement
from tests.store.school import NUMBER, School
from tests.store.served_rows import agreed, serve, terms
from tests.store.test_reach import World

HOUR = timedelta(hours=1)


@dataclass
class Asking:
    """A program that asks, with its agreement, in a district with some rows."""

    store: Store
    district: int
    world: World
    agreement: Agreement
    client: Client
    person: str | None = None

    async def log(self, collection: str, fields: dict[str, set[str]]) -> None:
        async with self.store.transaction(self.district) as c:
            await reads.log_each(c, self, collection, fields)


@pytest.fixture
async def asking(store: Store, district: int, actor: Actor) -> Asking:
    world = World(random.Random(7))
    async with store.transaction(district) as c:
        await serve(c, district, world.rows)
    made = await agreed(store, district, actor, terms(bulk=True))
    client = Client(made.client, district, "Reading App", frozenset())
    return Asking(store, district, world, made, client)


async def code(awaited: Any) -> str:
    with pytest.raises(PlanbridgeError) as refused:
        await awaited
    return refused.value.code


def whose(world: World, collection: str, id: str) -> str | None:
    """The student of whom a row tells."""
    row = world.rows[collection][id]
    if collection in ("users", "demographics"):
        return id if id in world.students else None
    if collection == "enrollments":
        return str(row["user"]["sourcedId"]) if row["role"] == "student" else None
    return str(row["student"]["sourcedId"]) if "student" in row else None


async def test_an_incident_has_exactly_what_was_read(asking: Asking, actor: Actor) -> None:
    chance, world = random.Random(3), asking.world
    expected: dict[tuple[str, str, str], list[datetime]] = {}
    names = ["users", "demographics", "enrollments", "results", "assessmentResults", "classes", "plans", "events"]
    began = clock.now() - HOUR
    for n in range(60):
        name = chance.choice(names)
        ids = world.students if name in ("plans", "events") else sorted(world.rows[name])
        fields = ["sourcedId", "email", "phone", "role"]
        of = {id: set(chance.sample(fields, chance.randint(1, 4))) for id in chance.sample(ids, chance.randint(0, 5))}
        at = began + n * timedelta(minutes=1)
        async with asking.store.transaction(asking.district) as c:
            await reads.log_each(c, asking, name, of)
        async with asking.store.owner.begin() as c:  # nobody else may change a line
            newest = "SELECT max(id) FROM client_read WHERE district_id = :d"
            await c.execute(
                text(f"UPDATE client_read SET at = :at WHERE id = ({newest})"), {"at": at, "d": asking.district}
            )
        for id, served in of.items():
            student = id if name in ("plans", "events") else whose(world, name, id)
            if student is not None and 10 <= n < 50:
                for field in served:
                    expected.setdefault((student, name, field), []).append(at)
    other, _ = await clients.add(asking.store, asking.district, "Another App", ["students.read"], actor)
    theirs = Asking(
        asking.store, asking.district, world, asking.agreement, Client(other, asking.district, "", frozenset())
    )
    await theirs.log("users", {world.students[0]: {"sms"}})
    async with asking.store.transaction(asking.district) as c:
        found = await reads.incident(c, asking.client.id, began + timedelta(minutes=10), began + timedelta(minutes=50))
    assert {(one["student"], one["collection"], one["field"]): one["times"] for one in found} == {
        key: len(times) for key, times in expected.items()
    }
    for one in found:
        times = expected[one["student"], one["collection"], one["field"]]
        assert (one["first"], one["last"]) == (min(times), max(times))


async def test_a_read_that_is_a_disclosure_too_counts_once(asking: Asking) -> None:
    [student, another, *_] = asking.world.students
    by = Actor("Reading App", "client", client=asking.client.id)

    def shown(whom: str) -> Disclosure:
        return Disclosure(whom, "read", "Reading App", True, "planning", "planning", "So.", ["goals"], plan=whom)

    async with asking.store.transaction(asking.district) as c:
        await reads.log(c, asking, "plans", [student], ["goals"])
        await disclosures.note(c, asking.district, shown(student), by)
    async with asking.store.transaction(asking.district) as c:  # as before reads had lines of their own
        await disclosures.note(c, asking.district, shown(another), by)
    async with asking.store.transaction(asking.district) as c:
        found = await reads.received(c, asking.client.id)
    assert sorted((one["student"], one["collection"], one["field"], one["times"]) for one in found) == sorted(
        [(student, "plans", "goals", 1), (another, "plans", "goals", 1)]
    )


async def test_what_is_agreed_and_never_read(asking: Asking) -> None:
    student = asking.world.students[0]
    await asking.log("users", {student: {"givenName", "email"}})
    async with asking.store.transaction(asking.district) as c:
        found = {one["collection"]: one for one in await vendors.use(c, asking.agreement.id)}
    assert found["users"]["read"] == ["email", "givenName"] and "phone" in found["users"]["never_read"]
    assert found["users"]["reads"] == 1 and found["users"]["last"] is not None
    assert found["demographics"]["last"] is None and "birthDate" in found["demographics"]["never_read"]


async def test_bulk_is_refused_limited_told_and_on_record(asking: Asking, actor: Actor) -> None:
    async def take(collection: str = "users", form: str = "pages") -> None:
        async with asking.store.transaction(asking.district) as c:
            await bulk.check(c, asking, asking.agreement, collection, form)

    assert await code(take()) == "bulk-not-granted"
    async with asking.store.transaction(asking.district) as c:
        today = clock.today()
        await bulk.grant(c, asking.district, asking.agreement, "The yearly load.", 1, today, actor)
    for _ in range(3):  # one walk through its pages is one export
        await take()
    assert await code(take("classes")) == "bulk-too-often"
    assert await code(take(form="csv")) == "bulk-too-often"
    async with asking.store.transaction(asking.district) as c:
        acts = await c.scalar(text("SELECT count(*) FROM act WHERE act = 'bulk-export'"))
    told = [one for one in await outbox.listed(asking.store, asking.district) if one["event"] == "access"]
    assert (acts, len(told)) == (1, 1)
    async with asking.store.transaction(asking.district) as c:
        await bulk.take_back(c, asking.district, asking.agreement.id, actor)
    assert await code(take()) == "bulk-not-granted"


async def test_what_is_ended_stays_ended(asking: Asking, actor: Actor) -> None:
    store, district, world = asking.store, asking.district, asking.world
    await asking.log("users", {world.students[0]: {"email"}, world.staff[0]: {"email"}})
    await clients.issue_token(store, asking.client, ["students.read"])
    async with store.transaction(district) as c:
        await vendors.in_force(c, asking.client.id, clock.today())
        done = await vendors.end(store, c, district, asking.agreement.id, "They were bought.", actor)
    assert [(one["student"], one["field"]) for one in done["received"]] == [(world.students[0], "email")]
    assert "data of 1 students" in done["request"] and "users: email" in done["request"]
    assert world.students[0] not in done["request"]
    async with store.transaction(district) as c:
        tokens = await c.scalar(text("SELECT count(*) FROM client_token WHERE client_id = :c"), {"c": asking.client.id})
        reached = await c.scalar(text("SELECT count(*) FROM reach WHERE agreement_id = :a"), {"a": asking.agreement.id})
    assert (tokens, reached) == (0, 0)

    async def in_force() -> None:
        async with store.transaction(district) as c:
            await vendors.in_force(c, asking.client.id, clock.today())

    assert await code(in_force()) == "agreement-ended"
    # As a restored backup has it: the agreement goes on there, and nobody knows of its end but the file.
    async with store.owner.begin() as c:
        await c.execute(text("DELETE FROM chain WHERE district_id = :d AND tab = 'standing'"), {"d": district})
        await c.execute(text("DELETE FROM standing WHERE district_id = :d"), {"d": district})
        await c.execute(text("UPDATE vendor_agreement SET ended_at = NULL WHERE district_id = :d"), {"d": district})
    await in_force()
    *_, line = [one for one in store.purges.read() if isinstance(one, Stood) and one.kind == standing.ENDED_VENDOR]
    async with store.owner.begin() as c:
        await standing.again(store, c, line, actor)
    assert await code(in_force()) == "agreement-ended"


async def test_before_and_after_its_days_nothing_is_served(store: Store, district: int, actor: Actor) -> None:
    today, day = clock.today(), timedelta(days=1)
    made = await agreed(store, district, actor, terms(begin=today + day))

    async def in_force(on: Any, client: str = made.client) -> None:
        async with store.transaction(district) as c:
            await vendors.in_force(c, client, on)

    assert await code(in_force(today)) == "agreement-none"
    await in_force(today + day)
    await in_force(made.until)
    assert await code(in_force(made.until + day)) == "agreement-ended"
    client, _ = await clients.add(store, district, "Another App", ["students.read"], actor)
    assert await code(in_force(today, client)) == "agreement-none"
    await vendors.draft(store, district, client, terms(), actor)
    assert await code(in_force(today, client)) == "agreement-none"


async def test_a_purge_takes_one_student_out_of_what_was_read(
    store: Store, district: int, actor: Actor, tmp_path: Path
) -> None:
    school = School(tmp_path / "roster", store=store, district=district, actor=actor)
    await school.connect()
    await school.pull()
    [gone] = await reading.find_students(store, district, NUMBER)
    [stays] = await reading.find_students(store, district, "88000")
    made = await agreed(store, district, actor, terms(collections={"plans": None}))
    asking = Asking(store, district, World(random.Random(1)), made, Client(made.client, district, "", frozenset()))
    await asking.log("plans", {gone["id"]: {"goals"}, stays["id"]: {"academic"}})
    async with store.transaction(district) as c:
        await vendors.opt_out(store, c, district, gone["id"], "the mother", actor)
    await purges.purge_student(store, district, gone["id"], actor, "The family asked.")
    async with store.transaction(district) as c:
        found = await reads.received(c, made.client)
        left = await c.scalar(text("SELECT CAST(array_agg(r) AS text) FROM client_read r"))
        opted = await c.scalar(text("SELECT count(*) FROM directory_opt_out"))
    assert [(one["student"], one["field"]) for one in found] == [(stays["id"], "academic")]
    assert gone["id"] not in str(left) and opted == 0
