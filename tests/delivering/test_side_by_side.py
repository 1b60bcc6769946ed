"""Deliveries to one destination go side by side: one's trouble is its own, the destination's is everybody's."""

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest

from gateway import delivery, dispatch
from gateway.connector import Document, Receipt
from gateway.errors import AuthError, Unavailable
from gateway.store import deliveries, registers
from tests.delivering.conftest import Hall


async def several(hall: Hall, count: int = 3) -> list[str]:
    return [hall.plan, *[await hall.finalized() for _ in range(count - 1)]]


async def pushed(hall: Hall) -> Mapping[str, Mapping[str, Any]]:
    """Everything that waits, carried out by one job; plan -> its newest delivery."""
    await dispatch.request_push_all(hall.store, hall.district, "board", hall.actor)
    [number, *_] = await hall.queued()
    await dispatch.deliver_job(hall.store, hall.district, number)
    return await told(hall)


async def told(hall: Hall) -> dict[str, dict[str, Any]]:
    async with hall.store.transaction(hall.district) as c:
        numbers = [n for plan in hall.plans for n in await deliveries.of_plan(c, plan, 1)]
        return {found["plan"]: found for found in [await deliveries.status(c, n) for n in numbers]}


async def test_one_job_sends_all_that_waits_and_side_by_side(hall: Hall, monkeypatch: pytest.MonkeyPatch) -> None:
    hall.plans = await several(hall)
    there, put = asyncio.Barrier(3), hall.board.push

    async def push(document: Document) -> Receipt:
        async with asyncio.timeout(20):
            await there.wait()  # nobody goes on before all three are there
        return await put(document)

    monkeypatch.setattr(hall.board, "push", push)
    found = await pushed(hall)
    assert {one["state"] for one in found.values()} == {"delivered"} and len(found) == 3
    assert len(hall.board.hangs) == 3
    assert await dispatch.request_push_all(hall.store, hall.district, "board", hall.actor) == []


async def test_what_plans_share_is_made_once(hall: Hall, monkeypatch: pytest.MonkeyPatch) -> None:
    hall.plans = await several(hall)
    hall.board.framed = True
    put = hall.board.push

    async def push(document: Document) -> Receipt:
        if document.create_only:
            await asyncio.sleep(0.5)  # the others come to it meanwhile
        return await put(document)

    monkeypatch.setattr(hall.board, "push", push)
    await pushed(hall)
    assert hall.board.writes == 4 and sum("frame" in one for one in hall.board.hangs) == 1


async def test_one_that_is_refused_is_parked_alone(hall: Hall, monkeypatch: pytest.MonkeyPatch) -> None:
    hall.plans = await several(hall)
    put = hall.board.push

    async def push(document: Document) -> Receipt:
        if hall.plans[1] in document.identity:
            return Receipt(422, message="It will not have it.")
        return await put(document)

    monkeypatch.setattr(hall.board, "push", push)
    found = await pushed(hall)
    assert [found[plan]["state"] for plan in hall.plans] == ["delivered", "parked", "delivered"]
    assert "It will not have it." in found[hall.plans[1]]["reason"]
    assert len(await dispatch.request_push_all(hall.store, hall.district, "board", hall.actor)) == 1


async def test_who_does_not_answer_is_asked_once_and_all_wait(hall: Hall, monkeypatch: pytest.MonkeyPatch) -> None:
    hall.plans = await several(hall, 5)
    asked: list[str] = []

    async def push(document: Document) -> Receipt:
        asked.append(document.identity)
        await asyncio.sleep(0.05)
        raise Unavailable("server-busy", "It rests.", retry_after=600)

    monkeypatch.setattr(hall.board, "push", push)
    monkeypatch.setattr(delivery, "abreast", lambda connection: 2)
    found = await pushed(hall)
    assert len(asked) <= 3  # those that were on their way; the fourth was not begun
    assert {one["state"] for one in found.values()} == {"queued"}
    assert sorted(one["tries"] for one in found.values()) == [0, 0, 0, 0, 1]  # one outage is one try
    assert all(one["next_at"] for one in found.values())


async def test_whose_credentials_are_refused_is_paused(hall: Hall, monkeypatch: pytest.MonkeyPatch) -> None:
    hall.plans = await several(hall)

    async def push(document: Document) -> Receipt:
        raise AuthError("unauthorized", "The token is refused.")

    monkeypatch.setattr(hall.board, "push", push)
    found = await pushed(hall)
    assert {one["state"] for one in found.values()} == {"parked"}
    assert (await registers.connection(hall.store, hall.district, "board")).paused_because


async def test_what_an_attempt_that_died_had_taken_is_taken_over(hall: Hall) -> None:
    hall.plans = await several(hall)
    await dispatch.request_push_all(hall.store, hall.district, "board", hall.actor)
    [first, *rest] = await hall.queued()
    connection = (await registers.connection(hall.store, hall.district, "board")).id
    taken = await deliveries.take(hall.store, hall.district, connection, 2)
    assert [one.id for one in taken] == [first, rest[0]]
    await dispatch.deliver_job(hall.store, hall.district, first)
    assert {one["state"] for one in (await told(hall)).values()} == {"delivered"}
    late = deliveries.Finished(taken[0], "parked")
    [fenced] = await deliveries.finish(hall.store, hall.district, [late])
    assert fenced is not None
    assert (await told(hall))[hall.plan]["state"] == "delivered"
