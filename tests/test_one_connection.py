"""An act reads in its own transaction: it sees what it changes, and a full pool of connections does not stop itself."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from contextvars import ContextVar

import pytest
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway import decisions, planning, prefill, showing, viewing
from gateway.access import Who
from gateway.store.database import Store
from gateway.store.registers import Actor
from gateway.viewing import Program
from tests.village import AUTHOR, content, finalize, populate

TEACHER = Actor("Ottoline Farrow", "educator")
IT = Actor("Basil Thyme", "district_it")
PROGRAM = Program("planner", "Planner", "lms", frozenset({"identity", "academic", "goals"}))


@pytest.fixture
def one_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """A transaction that is begun inside another one fails."""
    inside = ContextVar("inside", default=False)
    begin = Store.transaction

    @asynccontextmanager
    async def transaction(self: Store, district: int | None = None) -> AsyncIterator[AsyncConnection]:
        assert not inside.get(), "a second connection is asked for inside a transaction"
        async with begin(self, district) as c:
            token = inside.set(True)
            try:
                yield c
            finally:
                inside.reset(token)

    monkeypatch.setattr(Store, "transaction", transaction)


@pytest.mark.usefixtures("one_at_a_time")
async def test_acts_on_plans_and_looks_at_students_take_one_connection(store: Store, district: int) -> None:
    village = await populate(store, district)
    await finalize(village)
    assert await planning.begin(store, district, village.other, AUTHOR, {"title": "planted-title"}, gathering=True)
    await planning.edit(store, district, village.plan, content(village) | {"coordinator": village.teacher}, AUTHOR)
    await planning.ask(store, district, village.plan, "consult")
    await planning.pass_time(store, district, village.plan)
    await prefill.of_plan(store, district, village.plan)
    who = Who(village.teacher)
    assert (await viewing.why(store, district, who, village.student))["goals"].allowed
    assert (await viewing.plan(store, district, village.student, who, TEACHER)).content["goals"]
    assert await viewing.reveal(store, district, village.student, viewing.reader(IT), IT, "A call.")
    students, people = await viewing.review(store, district)
    assert village.student in students and people
    asker = showing.Asker(who, TEACHER, PROGRAM)
    seen, _ = await showing.students(store, district, asker, "", 10, names=True)
    assert [one.id for one in seen] == [village.student]
    assert await showing.results(store, district, asker, [village.student])
    assert (await decisions.keys_of(store, district, village.student))["person"] == village.student
