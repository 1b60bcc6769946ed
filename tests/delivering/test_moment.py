"""What counts is how things are at the moment of sending, whoever took what before, and one's trouble is its own."""

from datetime import date
from typing import Any

import pytest
from sqlalchemy import text

from gateway import delivery, dispatch, sending
from gateway.connector import Document, Receipt
from gateway.errors import AuthError, RecordError, Refused, Unavailable
from gateway.store import consents, deliveries, registers, turns
from gateway.store.consents import Given
from gateway.store.deliveries import Delivery
from tests.delivering import board
from tests.delivering.conftest import Hall
from tests.store.school import GONE


async def queue(hall: Hall, plan: str = "") -> int:
    number, _ = await delivery.request(hall.store, hall.district, plan or hall.plan, "board", hall.actor)
    return number


async def take(hall: Hall) -> list[Delivery]:
    """As a worker does that never comes to their end."""
    connection = await registers.connection(hall.store, hall.district, "board")
    return await deliveries.take(hall.store, hall.district, connection.id, 8)


async def state(hall: Hall, number: int) -> str:
    async with hall.store.transaction(hall.district) as c:
        return str((await deliveries.status(c, number))["state"])


async def test_an_attempt_that_was_taken_over_neither_parks_nor_hands_back(hall: Hall) -> None:
    number = await queue(hall)
    [old], [new] = await take(hall), await take(hall)
    await turns.hand_back(hall.store, hall.district, {old.id: old.fence})
    assert await state(hall, number) == "sending"
    for error in (Unavailable("server-busy", "It rests."), Refused("it", "is", "so"), KeyError("x")):
        await dispatch._settle(hall.store, old, error)
        assert await state(hall, number) == "sending", "the newer attempt goes on"
    await turns.hand_back(hall.store, hall.district, {new.id: new.fence})
    assert await state(hall, number) == "queued"


@pytest.mark.parametrize("left", ["handed back", "by a dead worker"])
async def test_what_is_to_be_taken_back_is_not_sent_first(hall: Hall, left: str) -> None:
    number = await queue(hall)
    [taken] = await take(hall)
    [back] = await dispatch.request_withdrawal(hall.store, hall.district, hall.plan, hall.actor, "Wrong child.")
    if left == "handed back":
        await turns.hand_back(hall.store, hall.district, {taken.id: taken.fence})
    assert (await hall.carried_out(back))["state"] == "withdrawn"
    assert (await state(hall, number), hall.board.writes) == ("superseded", 0)


async def test_a_batch_under_way_follows_what_was_revoked_meanwhile(
    hall: Hall, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delivery, "OLD_SECONDS", -1.0)
    monkeypatch.setattr(delivery, "abreast", lambda connection: 1)
    first, second, third = hall.plan, await hall.finalized(), await hall.finalized()
    numbers = [await queue(hall, plan) for plan in (first, second, third)]
    put = hall.board.push

    async def push(document: Document) -> Receipt:
        if first in document.identity:
            no = Given(
                student=hall.ids[GONE], grantor="Dorothea Vexwood", capacity="guardian", recipient="destination:board",
                sections=["strengths"], purpose="planning", permit=False, begin=date.today(), until=date.today(),
            )  # fmt: skip
            async with hall.store.transaction(hall.district) as c:
                await consents.add(hall.store, c, hall.district, no, hall.actor)
            await dispatch.request_withdrawal(hall.store, hall.district, third, hall.actor, "Wrong child.")
        return await put(document)

    monkeypatch.setattr(hall.board, "push", push)
    await hall.carried_out(numbers[0])
    assert [await state(hall, one) for one in numbers] == ["delivered", "delivered", "superseded"]
    said = {
        plan: [part[0] for part in hung["said"]]
        for plan, hung in zip((first, second), hall.board.hangs.values(), strict=True)
    }
    assert said == {first: ["Strengths", "Goals", "Supports"], second: ["Goals", "Supports"]}
    async with hall.store.transaction(hall.district) as c:
        rows = await c.execute(
            text("SELECT CAST(plan_id AS text) AS plan, sections FROM disclosure WHERE act = 'push' ORDER BY id")
        )
        noted = ["strengths" in row.sections for row in rows if row.plan == second]
    assert noted == [True, False], "what left in the end is on record beside what was about to leave"


async def test_a_plan_that_meets_a_fault_of_ours_is_in_nobodys_way(hall: Hall, monkeypatch: pytest.MonkeyPatch) -> None:
    other = await hall.finalized()
    numbers = [await queue(hall, plan) for plan in (hall.plan, other)]
    whole = board.outbound

    def outbound(plan: Any, parties: Any, *rest: Any) -> Any:
        if parties.plan == hall.plan:
            raise KeyError("no page for this")
        return whole(plan, parties, *rest)

    monkeypatch.setattr(board, "outbound", outbound)
    broken = await hall.carried_out(numbers[0])
    assert broken["state"] == "parked" and "fault of Planbridge" in broken["reason"]
    assert await state(hall, numbers[1]) == "delivered"


async def test_what_is_to_be_taken_back_is_whatever_befalls_what_is_sent(
    hall: Hall, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert (await hall.push())["state"] == "delivered"
    number = await queue(hall, await hall.finalized())
    await dispatch.request_withdrawal(hall.store, hall.district, hall.plan, hall.actor, "The family asked.")

    async def expect(self: Any, several: Any) -> None:
        raise RuntimeError("a connector's own mistake")

    monkeypatch.setattr(sending.Desk, "expect", expect)
    assert (await hall.carried_out(number))["state"] == "parked"
    assert hall.board.hangs == {}


async def test_what_is_to_be_taken_back_waits_for_a_destination_that_rests(hall: Hall) -> None:
    assert (await hall.push())["state"] == "delivered"
    [back] = await dispatch.request_withdrawal(hall.store, hall.district, hall.plan, hall.actor, "The family asked.")
    hall.board.failure = AuthError("unauthorized", "The token is refused.")
    assert (await hall.carried_out(back))["state"] == "queued"
    hall.board.failure = None
    found = await registers.connection(hall.store, hall.district, "board")
    assert found.paused_because
    async with hall.store.transaction(hall.district) as c:
        await c.execute(text("UPDATE delivery SET next_at = NULL"))
    waits = await hall.carried_out(back)
    assert (waits["state"], len(hall.board.hangs)) == ("queued", 1) and "[connection-paused]" in waits["reason"]
    await registers.resume(hall.store, hall.district, found.id, hall.actor)
    async with hall.store.transaction(hall.district) as c:
        await c.execute(text("UPDATE delivery SET next_at = NULL"))
    assert ((await hall.carried_out(back))["state"], hall.board.hangs) == ("withdrawn", {})


async def test_what_was_taken_back_since_is_not_sent_again_by_an_old_number(hall: Hall) -> None:
    hall.board.failure = RecordError("it", "It does not fit.")
    parked = (await hall.push())["id"]
    hall.board.failure = None
    assert (await hall.push())["state"] == "delivered"
    [back] = await dispatch.request_withdrawal(hall.store, hall.district, hall.plan, hall.actor, "The family asked.")
    assert (await hall.carried_out(back))["state"] == "withdrawn"
    with pytest.raises(Refused, match=f"delivery {back} is newer"):
        await dispatch.request_resend(hall.store, hall.district, parked, hall.actor)


async def test_an_answer_that_no_database_holds_ends_one_delivery(hall: Hall, monkeypatch: pytest.MonkeyPatch) -> None:
    other = await hall.finalized()
    numbers = [await queue(hall, plan) for plan in (hall.plan, other)]
    put = hall.board.push

    async def push(document: Document) -> Receipt:
        return Receipt(422, message="No\0 \ud83d room") if other in document.identity else await put(document)

    monkeypatch.setattr(hall.board, "push", push)
    assert (await hall.carried_out(numbers[0]))["state"] == "delivered"
    refused = await hall.carried_out(numbers[1])
    assert refused["state"] == "parked" and "No ? room" in refused["reason"]


async def test_a_doorway_stays_one_when_all_is_sent(hall: Hall) -> None:
    assert (await hall.push(doorway=True))["state"] == "delivered"
    async with hall.store.transaction(hall.district) as c:
        await c.execute(text("UPDATE delivery SET state = 'parked', reason = 'It rests.'"))
    assert len(await dispatch.request_push_all(hall.store, hall.district, "board", hall.actor)) == 1
    [number] = await hall.queued()
    sent = await hall.carried_out(number)
    assert (sent["state"], sent["doorway"]) == ("delivered", True)
    assert [one["said"] for one in hall.board.hangs.values()] == [[]]
