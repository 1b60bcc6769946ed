"""What destinations have is taken back when what it stood on has ended, and a person is told what of it stays there."""

from datetime import date, timedelta
from typing import Any

import pytest
from sqlalchemy import text

from gateway import dispatch, notify, planning
from gateway.errors import Refused, Unavailable
from gateway.plans import Given as StepGiven
from gateway.store import agreements, consents, registers, withdrawals
from gateway.store.consents import Given
from tests.delivering.conftest import Hall
from tests.store.school import GONE

TODAY = date.today()


async def tick(hall: Hall) -> list[dict[str, Any]]:
    """What a worker's tick queues, carried out."""
    await dispatch.due(hall.store)
    return [await hall.carried_out(number) for number in await hall.queued()]


async def told(hall: Hall) -> list[tuple[str, str]]:
    """What people are told of withdrawals: (event, what happened)."""
    await notify._tell(hall.store, hall.district)
    async with hall.store.transaction(hall.district) as c:
        rows = await c.execute(
            text("SELECT event, CAST(message AS text) AS said FROM notice WHERE key LIKE 'withdrawal/%' ORDER BY id")
        )
        return [(row.event, row.said) for row in rows]


async def consented(hall: Hall) -> int:
    given = Given(hall.ids[GONE], "Dorothea Vexwood", "guardian", "destination:board",
                  ["identity", "goals", "strengths", "school_supports"], "planning", True, TODAY, TODAY)  # fmt: skip
    async with hall.store.transaction(hall.district) as c:
        return await consents.add(hall.store, c, hall.district, given, hall.actor)


async def ends(hall: Hall, cause: str) -> None:
    """What a delivery stood on ends."""
    if cause == "plan":
        await planning.take(
            hall.store, hall.district, hall.plan, "revoke", hall.actor, StepGiven(because="Written by mistake.")
        )
    elif cause == "left":
        async with hall.store.owner.begin() as c:
            await c.execute(
                text("UPDATE plan SET left_on = :day WHERE id = CAST(:plan AS uuid)"),
                {"day": TODAY - timedelta(days=2), "plan": hall.plan},
            )
        async with hall.store.transaction(hall.district) as c:
            await withdrawals.look_soon(c, hall.district)  # an hour is over
    else:
        async with hall.store.transaction(hall.district) as c:
            if cause == "consent":
                number = await c.scalar(text("SELECT max(id) FROM consent"))
                await consents.revoke(hall.store, c, hall.district, number, "They changed their mind.", hall.actor)
            else:
                [one] = await agreements.listed(c)
                await agreements.end(hall.store, c, hall.district, one["id"], "It was not kept.", hall.actor)


@pytest.mark.parametrize("cause", ["plan", "consent", "agreement", "left"])
async def test_it_is_taken_back_by_itself_and_people_are_told(hall: Hall, cause: str) -> None:
    if cause == "consent":
        await consented(hall)
    if cause == "agreement":
        found = await registers.connection(hall.store, hall.district, "board")
        async with hall.store.transaction(hall.district) as c:
            await agreements.host(c, found, "Linden Learning", hall.actor)
            await agreements.add(c, found, "MOU 4", TODAY, TODAY + timedelta(days=9), hall.actor)
    assert (await hall.push())["state"] == "delivered"
    assert await tick(hall) == [] and len(hall.board.hangs) == 1, "nothing has ended"
    await ends(hall, cause)
    [back] = await tick(hall)
    assert (back["kind"], back["cause"], back["state"]) == ("withdraw", cause, "withdrawn"), back["reason"]
    assert hall.board.hangs == {} and [one["status"] for one in back["receipts"]] == [204]
    assert await tick(hall) == []
    [(event, said)] = await told(hall)
    assert event == "plans" and "1 plan" in said and "changed their mind" not in said
    assert await told(hall) == [(event, said)], "once"
    async with hall.store.transaction(hall.district) as c:
        acts = [one for one in await planning.stored.events(c, hall.plan) if one["act"] == "withdraw"]
    assert [(one["detail"]["cause"], one["actor"]["role"]) for one in acts] == [(cause, "system")]


async def test_what_a_destination_does_not_give_back_is_told_and_left_to_a_person(hall: Hall) -> None:
    assert (await hall.push())["state"] == "delivered"
    hall.board.screws = True
    await ends(hall, "plan")
    [kept] = await tick(hall)
    assert (kept["state"], len(hall.board.hangs)) == ("parked", 1) and "caretaker" in kept["reason"]
    [(event, said)] = await told(hall)
    assert event == "failure" and "still there" in said and "caretaker" in said
    async with hall.store.transaction(hall.district) as c:
        await withdrawals.look_soon(c, hall.district)
    assert await tick(hall) == [], "a person is next"
    hall.board.screws = False
    again = await dispatch.request_resend(hall.store, hall.district, kept["id"], hall.actor)
    assert (await hall.carried_out(again))["state"] == "withdrawn" and hall.board.hangs == {}


async def test_a_person_takes_it_back_from_everywhere_and_is_not_told_what_they_did(hall: Hall) -> None:
    assert (await hall.push())["state"] == "delivered"
    with pytest.raises(Refused, match="reason"):
        await dispatch.request_withdrawal(hall.store, hall.district, hall.plan, hall.actor, " ")
    [number] = await dispatch.request_withdrawal(hall.store, hall.district, hall.plan, hall.actor, "The family asked.")
    assert (await hall.carried_out(number))["state"] == "withdrawn" and hall.board.hangs == {}
    assert await told(hall) == []
    assert await dispatch.request_withdrawal(hall.store, hall.district, hall.plan, hall.actor, "Again.") == []


async def test_a_withdrawal_goes_instead_of_what_waits_and_outlives_an_outage(hall: Hall) -> None:
    assert (await hall.push())["state"] == "delivered"
    waiting = await dispatch.request_push(hall.store, hall.district, hall.plan, "board", hall.actor)
    [number] = await dispatch.request_withdrawal(hall.store, hall.district, hall.plan, hall.actor, "Wrong child.")
    hall.board.failure = Unavailable("outcome-unknown", "The line was cut.")
    assert (await hall.carried_out(waiting))["state"] == "superseded"
    assert (await hall.carried_out(number))["state"] == "queued"
    hall.board.failure = None
    # Whether it was taken down nobody knows: whoever sends the plan again now really sends it.
    hall.board.hangs.clear()
    anew = await dispatch.request_push(hall.store, hall.district, hall.plan, "board", hall.actor)
    assert (await hall.carried_out(number))["state"] == "superseded"
    assert (await hall.carried_out(anew))["state"] == "delivered" and len(hall.board.hangs) == 1
