"""Which delivery of a plan goes, and when again: after an outage of a night, without a person, for a day at most."""

from datetime import UTC, datetime, timedelta
from typing import Any
from unittest.mock import patch

import pytest
from sqlalchemy import text

from gateway import clock, delivery, dispatch, planning
from gateway.errors import Refused, Unavailable
from gateway.store import deliveries, turns
from gateway.store.turns import GIVEN_UP
from tests.delivering.conftest import Hall
from tests.turning import taken


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Lets time pass: `later(minutes=5)`."""
    gone = [timedelta(0)]
    monkeypatch.setattr(clock, "now", lambda: datetime.now(UTC) + gone[0])

    def passes(**by: float) -> None:
        gone[0] += timedelta(**by)

    return passes


async def queue(hall: Hall) -> int:
    number, _ = await delivery.request(hall.store, hall.district, hall.plan, "board", hall.actor)
    return number


async def outcome(hall: Hall, number: int) -> dict[str, Any]:
    async with hall.store.transaction(hall.district) as c:
        return await deliveries.status(c, number)


async def due(hall: Hall) -> list[int]:
    """What a tick queues now because it waited for long enough, of this district."""
    theirs = [one for one in await turns.due(hall.store, clock.now()) if one[0] == hall.district]
    await dispatch.due(hall.store)
    return [number for _, number, _ in theirs]


async def test_an_outage_of_a_night_ends_delivered_in_the_morning(hall: Hall, later: Any) -> None:
    hall.board.failure = Unavailable("http-unavailable", "The board is locked.", status=503)
    number = await queue(hall)
    waits = await hall.carried_out(number)
    assert (waits["state"], waits["tries"]) == ("queued", 1) and "locked" in waits["reason"]
    assert waits["next_at"] > clock.now() and await due(hall) == []
    for _ in range(10):  # half an hour each, from two o'clock on
        later(minutes=30)
        for one in await due(hall):
            assert (await hall.carried_out(one))["state"] == "queued"
        assert await due(hall) == [], "it is queued once"
    tried = (await outcome(hall, number))["tries"]
    assert 5 <= tried <= 11
    hall.board.failure = None
    later(minutes=60)
    assert await due(hall) == [number]
    done = await hall.carried_out(number)
    assert (done["state"], done["next_at"], hall.board.writes) == ("delivered", None, 1)


async def test_it_waits_for_as_long_as_the_destination_asks(hall: Hall, later: Any) -> None:
    hall.board.failure = Unavailable("http-unavailable", "Come back.", retry_after=7200, status=429)
    waits = await hall.carried_out(await queue(hall))
    assert waits["next_at"] - clock.now() > timedelta(seconds=7190)
    later(minutes=119)
    assert await due(hall) == []


async def test_after_a_day_a_person_is_next_and_sends_it_again_at_once(hall: Hall, later: Any) -> None:
    hall.board.failure = Unavailable("http-unavailable", "The board is locked.")
    number = await queue(hall)
    await hall.carried_out(number)
    later(hours=GIVEN_UP / timedelta(hours=1))
    [number] = await due(hall)
    parked = await hall.carried_out(number)
    assert parked["state"] == "parked" and "locked" in parked["reason"] and "send it again" in parked["reason"]
    later(hours=30)
    assert await due(hall) == []
    hall.board.failure = None
    again = await dispatch.request_resend(hall.store, hall.district, number, hall.actor)
    assert (await hall.carried_out(again))["state"] == "delivered"
    with pytest.raises(Refused) as over:
        await dispatch.request_resend(hall.store, hall.district, again, hall.actor)
    assert over.value.code == "delivery-over"


async def test_of_a_plan_the_newest_goes_alone(hall: Hall) -> None:
    old = await queue(hall)
    await revised(hall)
    new = await queue(hall)
    replaced = await hall.carried_out(old)  # whatever waits for the board goes with it
    assert (replaced["state"], replaced["version"], hall.board.writes) == ("superseded", 1, 1)
    assert f"Delivery {new} is newer" in replaced["reason"]
    gone = await hall.carried_out(new)
    assert (gone["state"], gone["version"], hall.board.writes) == ("delivered", 2, 1)


async def revised(hall: Hall) -> None:
    """A second version, about which the family was asked."""
    async with hall.store.transaction(hall.district) as c:
        content = (await planning.stored.load(c, hall.plan)).content
    changed = content | {"title": "Twelve pages and a half"}
    await planning.edit(hall.store, hall.district, hall.plan, changed, hall.actor)
    await planning.take(hall.store, hall.district, hall.plan, "consult", hall.actor)
    async with hall.store.transaction(hall.district) as c:
        [*_, seen] = [one for one in await planning.stored.events(c, hall.plan) if one["act"] == "shown"]
    [held] = content["consultations"]
    anew = {name: part for name, part in held.items() if name != "id"}
    again = {"consultations": [held, anew | {"shown_sha256": seen["detail"]["shown_sha256"]}]}
    await planning.edit(hall.store, hall.district, hall.plan, changed | again, hall.actor)
    await planning.take(hall.store, hall.district, hall.plan, "finalize", hall.actor)


async def test_one_that_failed_makes_room_for_a_newer_one(hall: Hall) -> None:
    old = await queue(hall)
    [begun] = await taken(hall.store, hall.district, old)
    new = await queue(hall)
    assert (await outcome(hall, old))["state"] == "sending", "what is on its way goes on"
    assert (
        await turns.later(hall.store, hall.district, old, begun.fence, "No answer.", clock.now(), timedelta(0)) is None
    )
    assert [(await outcome(hall, one))["state"] for one in (old, new)] == ["superseded", "queued"]


async def test_whoever_was_queued_before_an_outage_waits_with_the_one_that_met_it(hall: Hall, later: Any) -> None:
    """Hundreds of plans do not each wait for a server that is down; and none of them waits behind one that the server
    cannot stomach."""
    first = await queue(hall)
    other = await hall.finalized()
    async with hall.store.transaction(hall.district) as c:
        connection = await c.scalar(text("SELECT connection_id FROM delivery WHERE id = :id"), {"id": first})
        second = await deliveries.queue(c, hall.district, other, 1, connection, hall.actor)
    hall.board.failure = Unavailable("http-unavailable", "The board is locked.")
    with patch.object(delivery, "abreast", lambda connection: 1):  # else either of the two may meet it
        waits = await hall.carried_out(first)
    assert await taken(hall.store, hall.district, second) == []
    rests = await outcome(hall, second)
    assert (rests["state"], rests["tries"], rests["next_at"]) == ("queued", 0, waits["next_at"])
    assert rests["reason"] == waits["reason"]
    later(minutes=10)
    assert await due(hall) == [second, first], "who failed goes last"
    # Whoever asks for it now is not made to wait.
    asked = await queue(hall)
    assert asked in [one.id for one in await taken(hall.store, hall.district, asked)]
