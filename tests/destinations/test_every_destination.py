"""What every destination keeps to, over a socket: one object for one plan, whatever is lost, edited, revoked or odd."""

from collections.abc import AsyncIterator, Awaitable, Callable
from importlib import import_module
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
import pytest_asyncio

from gateway import clock, delivery, registry
from gateway.access import SECTIONS
from gateway.sameness import holds
from gateway.settings import Settings
from gateway.store import consents, destinations, ledger
from gateway.store.consents import Given
from tests.destinations.world import ACTOR, WORDS, Words, World
from tests.destinations.written import Place, placed

WORLDS: list[World] = [
    import_module(f"tests.destinations.{path.stem}").WORLD for path in sorted(Path(__file__).parent.glob("world_*.py"))
]
OTHER: Words = {part: f"Another {part}, later." for part in WORDS}
module = pytest.mark.asyncio(loop_scope="module")


class Killed(BaseException):
    """The process ends here."""


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=WORLDS, ids=[world.name for world in WORLDS])
async def place(request: pytest.FixtureRequest, settings: Settings) -> AsyncIterator[Place]:
    async with placed(request.param, settings, "destination") as made:
        yield made


def test_every_destination_has_a_world() -> None:
    written = {name for name in registry.names() if registry.connector(name).open_sink is not None}
    assert written - {world.name for world in WORLDS} - YET == set()


YET: set[str] = set()
"""Connectors whose worlds are being written."""


@module
async def test_twice_is_once(place: Place) -> None:
    plan = await place.plan()
    first = await plan.push()
    assert first["state"] == "delivered", first["reason"]
    there = plan.there()
    assert there and all(word in plan.words() for word in plan.shown(WORDS))
    assert all(receipt["delivered"] and not receipt["adopted"] for receipt in first["receipts"])
    place.there.wire.forget()
    assert (await plan.push())["state"] == "delivered"
    assert (place.there.wire.wrote, plan.there()) == (0, there)


@module
async def test_an_edit_is_one_update(place: Place) -> None:
    plan = await place.plan()
    await plan.push()
    before = plan.there()
    await plan.finalize(OTHER)
    place.there.wire.forget()
    pushed = await plan.push()
    assert pushed["state"] == "delivered", pushed["reason"]
    assert plan.there().keys() == before.keys() and 0 < place.there.wire.wrote <= len(before)
    assert all(word in plan.words() for word in plan.shown(OTHER))
    assert not any(word in plan.words() for word in plan.shown(WORDS))


@module
async def test_an_outcome_that_is_unknown_is_never_a_second_object(place: Place) -> None:
    """The destination makes it, its answer is lost, and nobody is there for hours: nothing but time is needed."""
    plan = await place.plan()
    place.there.wire.falls = True
    number = await plan.queue()
    waits = await plan.send(number)
    assert (waits["state"], place.there.wire.down) == ("queued", True)
    assert waits["next_at"] > clock.now() and waits["tries"] == 1
    place.there.wire.down = False
    after = await plan.send(number)
    assert after["state"] == "delivered", after["reason"]
    once = plan.there()
    assert len(once) == await plan.intended()
    # The same with a change to what is there: what arrived without an answer is ours, and no edit of a person.
    await plan.finalize(OTHER)
    place.there.wire.falls = True
    number = await plan.queue()
    assert (await plan.send(number))["state"] == "queued"
    place.there.wire.down = False
    after = await plan.send(number)
    assert after["state"] == "delivered", after["reason"]
    assert plan.there().keys() == once.keys() and all(word in plan.words() for word in plan.shown(OTHER))


@module
async def test_who_dies_before_writing_it_down_finds_it_again(place: Place) -> None:
    """Each object in turn: it is made, and the process ends before the ledger knows of it."""
    plan = await place.plan()
    number = await plan.queue()
    died, after = 0, None
    while after is None:
        with patch.object(ledger, "record", _dying(min(died, 1))):
            try:
                after = await plan.send(number)
            except Killed:
                died += 1
    assert died and after["state"] == "delivered", after["reason"]
    assert len(plan.there()) == await plan.intended()
    assert any(receipt["adopted"] for receipt in after["receipts"]) == place.world.adopts
    place.there.wire.forget()
    assert (await plan.push())["state"] == "delivered" and place.there.wire.wrote == 0


def _dying(after: int) -> Callable[..., Awaitable[list[Exception | None]]]:
    """Writes down what the destination answered so often, and then the process ends instead."""
    left, write = [after], ledger.record

    async def record(*arguments: Any) -> list[Exception | None]:
        if not left[0]:
            raise Killed
        left[0] -= 1
        return await write(*arguments)

    return record


@module
async def test_what_a_person_edited_there_is_not_written_over(place: Place) -> None:
    plan = await place.plan()
    await plan.push()
    [word, *_] = plan.shown(WORDS)
    edited = next(id for id, text in plan.there().items() if word in text)
    place.there.edit(edited, "Mine alone.")
    await plan.finalize(OTHER)
    asked = await plan.push()
    assert asked["state"] == "parked" and "[edited-there]" in asked["reason"]
    assert "Mine alone." in plan.there()[edited]
    async with place.store.transaction(place.district) as c:
        await destinations.set_edited_there(c, place.connection, "keep", ACTOR)
    try:
        kept = await plan.push()
        assert kept["state"] == "delivered" and "Mine alone." in plan.there()[edited]
        assert any("theirs was kept" in loss["reason"] for loss in kept["losses"])
    finally:
        async with place.store.transaction(place.district) as c:
            await destinations.set_edited_there(c, place.connection, "ask", ACTOR)
    assert (await plan.push())["state"] == "parked", "it is still theirs"
    over = await plan.push("The meeting said so.")
    assert over["state"] == "delivered" and "Mine alone." not in plan.words()
    assert all(word in plan.words() for word in plan.shown(OTHER))


@module
async def test_what_is_taken_back_is_gone_and_its_receipt_stays(place: Place) -> None:
    plan = await place.plan()
    await plan.push()
    assert plan.there()
    back = await plan.take_back()
    assert back["state"] == "withdrawn", back["reason"]
    assert plan.there() == {} and back["receipts"]
    assert all(200 <= receipt["status"] < 300 for receipt in back["receipts"])
    place.there.wire.forget()
    again = await plan.take_back()
    assert (again["state"], place.there.wire.wrote) == ("withdrawn", 0)
    anew = await plan.push()
    assert anew["state"] == "delivered", anew["reason"]
    assert all(word in plan.words() for word in plan.shown(WORDS))


@module
async def test_a_consent_that_is_revoked_while_a_plan_waits_keeps_it_here(place: Place) -> None:
    plan = await place.plan()
    today = clock.today()
    sections = sorted(SECTIONS)
    given = Given(plan.student, "Imre Halloway", "guardian", f"destination:{place.connection.name}", sections,
                  "planning", True, today, today.replace(year=today.year + 1))  # fmt: skip
    async with place.store.transaction(place.district) as c:
        consent = await consents.add(place.store, c, place.district, given, ACTOR)
    number = await plan.queue()
    async with place.store.transaction(place.district) as c:
        await consents.revoke(place.store, c, place.district, consent, "They changed their mind.", ACTOR)
    parked = await plan.send(number)
    assert parked["state"] == "parked" and "consent" in parked["reason"].lower()
    assert "[consent-missing]" in parked["reason"] and "changed their mind" not in parked["reason"]
    assert (place.there.wire.wrote, plan.there()) == (0, {})


@module
async def test_odd_names_and_texts_arrive_as_they_are(place: Place) -> None:
    plan = await place.plan(place.world.odd)
    pushed = await plan.push()
    assert pushed["state"] == "delivered", pushed["reason"]
    found = await delivery.read_back(place.store, place.district, plan.id, place.connection.name)
    for document, there in found:
        assert there is not None, document.resource
        sent = {name: part for name, part in document.body.items() if name in there or name not in document.texts}
        assert holds(there, sent), document.resource
    assert all(word in plan.words() for word in plan.shown(place.world.odd))
    place.there.wire.forget()
    assert (await plan.push())["state"] == "delivered" and place.there.wire.wrote == 0
