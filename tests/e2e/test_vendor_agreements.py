"""An agreement from the first draft to the letter that asks for destruction, typed by the people of a district."""

import csv
import json
import random
from dataclasses import dataclass
from io import StringIO
from typing import Any

import pytest
from sqlalchemy import text

from gateway import clock
from gateway.settings import Settings
from gateway.store import clients, reads, vendors
from gateway.store.clients import Client
from gateway.store.database import Store
from gateway.store.registers import Actor
from tests.store.served_rows import link, serve
from tests.store.test_reach import World
from tests.test_seeing import typed

IT, PRINCIPAL = ("--as", "Imogen Hale"), ("--as", "Ottoline Farrow")
PAPER = (
    "--purpose", "rostering", "--basis", "school_official", "--signer", "Ottoline Farrow", "--document", "contract 17",
    "--breach-contact", "breach@vendor.example.org", "--from", f"{clock.today()}", "--until", "2099-06-30",
)  # fmt: skip


@dataclass
class Desk:
    """Where somebody types about this district, in which two schools with their students are served."""

    store: Store
    district: int
    settings: Settings
    world: World
    client: str

    async def typed(self, *words: str) -> Any:
        ended, said = await typed(self, self.settings, *words, "--json")  # type: ignore[arg-type]
        assert ended == 0, said
        return json.loads(said)

    async def refused(self, *words: str) -> str:
        ended, said = await typed(self, self.settings, *words, "--json")  # type: ignore[arg-type]
        assert ended != 0, said
        return str(json.loads(said)["error"])

    async def reached(self, agreement: int) -> set[str]:
        async with self.store.transaction(self.district) as c:
            rows = await c.execute(
                text("SELECT sourced_id FROM reach WHERE agreement_id = :a AND visible AND collection = 'users'"),
                {"a": agreement},
            )
            return set(rows.scalars())


@pytest.fixture
async def desk(store: Store, district: int, settings: Settings, actor: Actor) -> Desk:
    world = World(random.Random(5))
    for n, student in enumerate(world.students):
        world.rows["users"][student]["roles"] = [{"role": "student", "org": link(world.schools[n % 2])}]
    for one in world.staff:
        world.rows["users"][one]["roles"] = []
    world.rows["enrollments"].clear()
    async with store.transaction(district) as c:
        await serve(c, district, world.rows)
    client, _ = await clients.add(store, district, "Reading App", ["students.read"], actor)
    return Desk(store, district, settings, world, client)


async def test_a_rule_that_was_widened_by_accident_changes_nothing(desk: Desk) -> None:
    """Disaster scenario 12."""
    agree = ("vendors", "agree", desk.client)
    one_school = ("--school", desk.world.schools[0], "--people", "student")
    first = await desk.typed(*agree, *PAPER, *one_school, "--collection", "users=givenName,grades", *IT)
    number = str(first["agreement"])
    assert (first["newly"], first["confirm"], first["people"]) == (4, 4, {"students": 4})
    assert [one["students"] for one in first["schools"] if one["students"]] == [4]
    masked = json.dumps(first["examples"])
    assert len(first["examples"]) == 4 and "Maud" not in masked and "Xxxx Xxxxxxxx" in masked
    assert await desk.reached(first["agreement"]) == set()

    approve = ("vendors", "approve", number)
    assert await desk.refused(*approve, "--people", "4", *IT) == "approver-is-drafter"
    assert await desk.refused(*approve, *PRINCIPAL) == "agreement-widens"
    await desk.typed(*approve, "--people", "4", *PRINCIPAL)
    here = await desk.reached(first["agreement"])
    assert here == set(desk.world.students[::2])
    assert await desk.refused(*approve, *PRINCIPAL) == "nothing-to-approve"

    # Somebody forgets the school: everybody would be seen.
    wide = await desk.typed(*agree, "--school", "all", *IT)
    assert (wide["newly"], wide["no_longer"], wide["widening"]["seen"]) == (4, 0, 4)
    assert wide["widening"]["schools"] == ["School 1"]
    assert await desk.refused(*approve, *PRINCIPAL) == "agreement-widens"
    assert await desk.refused(*approve, "--people", "3", *PRINCIPAL) == "agreement-widens"
    assert await desk.reached(first["agreement"]) == here
    async with desk.store.transaction(desk.district) as c:
        in_force = await vendors.in_force(c, desk.client, clock.today())
    assert in_force.version == 1 and in_force.terms.rule.schools == {desk.world.schools[0]}

    # A field that tells more is told too; fewer people need no number.
    fields = await desk.typed(*agree, *one_school, "--collection", "users=givenName,email", *IT)
    assert fields["widening"]["fields"] == ["users.email"] and fields["newly"] == 0
    assert await desk.refused(*approve, *PRINCIPAL) == "agreement-widens"
    await desk.typed(*agree, "--collection", "users=givenName", "--grade", "03", *IT)
    await desk.typed(*approve, *PRINCIPAL)
    third = {id for id in here if desk.world.rows["users"][id]["grades"] == ["03"]}
    assert await desk.reached(first["agreement"]) == third != here
    [listed] = await desk.typed("vendors", "list")
    assert (listed["state"], listed["version"], listed["draft"]) == ("in force", 4, None)
    shown = await desk.typed("vendors", "show", number)
    assert [one["approved_by"] and one["approved_by"]["name"] for one in shown["versions"]] == [
        "Ottoline Farrow", None, None, "Ottoline Farrow",
    ]  # fmt: skip


async def test_from_what_was_read_to_the_letter(desk: Desk) -> None:
    made = await desk.typed(
        "vendors", "agree", desk.client, *PAPER, "--collection", "users=givenName,email", "--bulk", *IT
    )
    number = str(made["agreement"])
    await desk.typed("vendors", "approve", number, "--people", str(made["confirm"]), *PRINCIPAL)
    student = desk.world.students[0]

    @dataclass
    class Asked:
        client = Client(desk.client, desk.district, "Reading App", frozenset())
        person = None

    async with desk.store.transaction(desk.district) as c:
        await reads.log(c, Asked(), "users", [student], ["givenName"])
    assert [(one["read"], one["never_read"]) for one in await desk.typed("vendors", "use", number)] == [
        (["givenName"], ["email"])
    ]
    span = ("--client", desk.client, "--from", "2026-01-01", "--to", "2099-01-01")
    [found] = await desk.typed("incident", *span)
    assert (found["student"], found["collection"], found["field"], found["times"]) == (student, "users", "givenName", 1)
    ended, said = await typed(desk, desk.settings, "incident", *span, "--csv")  # type: ignore[arg-type]
    [row] = csv.DictReader(StringIO(said))
    assert ended == 0 and row["student"] == student
    assert await desk.refused("incident", "--client", "client-0", *span[2:]) == "client-unknown"

    assert await desk.refused("vendors", "bulk", number, *IT) == "reason-missing"
    leave = await desk.typed("vendors", "bulk", number, "--because", "The yearly load.", *IT)
    assert leave["until"] == "2099-06-30"
    assert await desk.typed("vendors", "bulk", number, "--off", *IT) == {"agreement": int(number), "until": None}

    assert await desk.refused("vendors", "destroyed", number, *IT) == "agreement-goes-on"
    assert await desk.refused("vendors", "end", number, *IT) == "reason-missing"
    done = await desk.typed("vendors", "end", number, "--because", "They were bought.", *IT)
    assert [one["student"] for one in done["received"]] == [student] and "Destroy all of it" in done["request"]
    await desk.typed("vendors", "destroyed", number, *IT)
    [listed] = await desk.typed("vendors", "list")
    assert (listed["state"], listed["destroyed_on"]) == ("ended", f"{clock.today()}")
