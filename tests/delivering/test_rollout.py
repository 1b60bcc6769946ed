"""A destination is rolled out in stages: everything is composed and looked at, and sent to whom it is to go."""

from typing import Any

import pytest
from sqlalchemy import text

from gateway import dispatch
from gateway.connector import Viewer
from gateway.errors import ConfigError, Refused
from gateway.store import delivered, deliveries, registers, rollouts
from tests.delivering.conftest import COLLEAGUE, Hall


async def stage(hall: Hall, name: str, *schools: str) -> None:
    found = await registers.connection(hall.store, hall.district, "board")
    async with hall.store.transaction(hall.district) as c:
        await rollouts.put(c, found, name, schools, hall.actor)


async def ask(hall: Hall, statement: str) -> Any:
    async with hall.store.transaction(hall.district) as c:
        return await c.scalar(text(statement))


async def test_shadow_then_one_school_then_all(hall: Hall) -> None:
    here = (await hall.content())["school"]
    await stage(hall, "shadow")
    ended = await hall.push()
    assert (ended["state"], ended["rehearsed"]) == ("rehearsed", [{"resource": "notices", "objects": 1}])
    assert ended["losses"] and ended["audience"], "what would be lost, and who would see it, is known"
    assert hall.board.writes == 0
    assert await ask(hall, "SELECT count(*) FROM disclosure WHERE act = 'push'") == 0, "nobody was told anything"
    await stage(hall, "schools", "00000000-0000-4000-8000-000000000001")
    assert (await hall.push())["state"] == "rehearsed"
    await stage(hall, "schools", here)
    assert (await hall.push())["state"] == "delivered"
    await stage(hall, "all")
    assert (await hall.push())["state"] == "delivered"
    assert await ask(hall, "SELECT count(*) FROM act WHERE act = 'roll-out'") == 4
    async with hall.store.transaction(hall.district) as c:
        found = await delivered.listed(c, state="rehearsed")
    assert [one["state"] for one in found] == ["rehearsed"] * 2


async def test_a_stage_makes_sense(hall: Hall) -> None:
    for name, schools, code in (
        ("half", (), "stage-unknown"),
        ("schools", (), "stage-schools"),
        ("all", ("x",), "stage-schools"),
    ):
        with pytest.raises(ConfigError) as refused:
            await stage(hall, name, *schools)
        assert refused.value.code == code


async def test_in_the_shadow_it_is_seen_who_would_be_in_the_way(hall: Hall) -> None:
    await stage(hall, "shadow")
    hall.board.viewers.append(Viewer("teacher", COLLEAGUE))
    assert (await hall.push())["state"] == "parked"


async def test_what_is_parked_is_sent_again_as_it_was_asked_for(hall: Hall) -> None:
    hall.board.viewers.append(Viewer("teacher", COLLEAGUE))
    first = await hall.push()
    hall.board.viewers.pop()
    board = (await registers.connection(hall.store, hall.district, "board")).id
    async with hall.store.transaction(hall.district) as c:
        assert await delivered.parked(c, board) == await delivered.parked(c, board, "not on the plan's team")
        assert await delivered.parked(c, board, "another cause") == []
        [number] = await delivered.parked(c, board)
    assert number == first["id"]
    again = await hall.carried_out(await dispatch.request_resend(hall.store, hall.district, number, hall.actor))
    assert (again["state"], again["doorway"]) == ("delivered", False)
    with pytest.raises(Refused) as refused:
        await dispatch.request_resend(hall.store, hall.district, again["id"], hall.actor)
    assert refused.value.code == "delivery-over"


async def test_a_consent_lets_a_platform_have_what_it_never_gets_otherwise(hall: Hall) -> None:
    async with hall.store.transaction(hall.district) as c:
        await deliveries.set_profile(
            c, hall.district, (await registers.connection(hall.store, hall.district, "board")).id,
            {"include_needs": True},
        )  # fmt: skip
    ended = await hall.push()
    lost = {one["pointer"]: one["reason"] for one in ended["losses"]}
    assert lost["/needs/0"] == "A learning platform gets it only where a consent names it."
