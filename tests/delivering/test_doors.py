"""One door leads a teacher to all plans of a student: it closes with the last plan that needs it."""

from datetime import date
from typing import Any

import pytest

from gateway import delivery, dispatch
from gateway.connector import Document, Loss, Receipt
from tests.delivering import board
from tests.delivering.conftest import Hall


class Corridor(board.Board):
    """A board behind a door, which is opened for each plan's teacher and is the same for all plans of a student."""

    admits = ("doors",)
    opened: bool = False
    wanted: bool = True

    async def push(self, document: Document) -> Receipt:
        if document.resource != "doors":
            return await super().push(document)
        self.opened = True
        return Receipt(200, "the only door")

    async def delete(self, document: Document) -> Receipt:
        if document.resource != "doors":
            return await super().delete(document)
        self.opened = False
        return Receipt(200)

    async def end(self, document: Document, on: date) -> Receipt:
        return await self.delete(document)


@pytest.fixture
async def corridor(hall: Hall, monkeypatch: pytest.MonkeyPatch) -> Hall:
    hall.board.__class__ = Corridor
    plain = board.outbound

    def outbound(*given: Any) -> tuple[list[Document], list[Loss]]:
        documents, losses = plain(*given)
        door = Document("doors", documents[0].key, {"of": "the student"})
        return [*documents, *([door] if hall.board.wanted else [])], losses  # type: ignore[attr-defined]

    monkeypatch.setattr(board, "outbound", outbound)
    hall.plans = [hall.plan, await hall.finalized()]
    await sent(hall)
    assert hall.board.opened  # type: ignore[attr-defined]
    return hall


async def sent(hall: Hall) -> None:
    for plan in hall.plans:
        await delivery.request(hall.store, hall.district, plan, "board", hall.actor)
    for number in await hall.queued():
        assert (await hall.carried_out(number))["state"] == "delivered"


async def test_it_closes_with_the_last_plan_that_is_taken_back(corridor: Hall) -> None:
    for plan, still in zip(corridor.plans, (True, False), strict=True):
        asked = await dispatch.request_withdrawal(
            corridor.store, corridor.district, plan, corridor.actor, "It is over.", "board"
        )
        assert [(await corridor.carried_out(number))["state"] for number in asked] == ["withdrawn"]
        assert corridor.board.opened == still  # type: ignore[attr-defined]
    assert corridor.board.hangs == {}


async def test_it_closes_when_nobody_needs_it_though_all_stop_at_once(corridor: Hall) -> None:
    corridor.board.wanted = False  # type: ignore[attr-defined]
    await sent(corridor)
    assert not corridor.board.opened  # type: ignore[attr-defined]
