"""A school with a board in its hall, and a plan that may hang there."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from gateway import delivery, dispatch, planning
from gateway.connector import Viewer
from gateway.store import deliveries, reading, registers
from gateway.store.database import Store
from gateway.store.registers import Actor
from tests.delivering.board import Board
from tests.store.school import GONE, NUMBER, School, user

TUTOR, COLLEAGUE, COUNSELOR, IGNATZ, DOROTHEA, OTHER = "500", "501", "502", "9001", "9002", "88000"
"""Numbers of the teacher on the team, another teacher of the class, a counselor at the school, the parents, and of
another student."""


@dataclass
class Hall:
    """What a test does with the plan and the board."""

    store: Store
    district: int
    actor: Actor
    school: School
    board: Board = field(default_factory=Board)
    ids: dict[str, str] = field(default_factory=dict)
    plan: str = ""
    plans: list[str] = field(default_factory=list)

    async def begin(self) -> None:
        files = self.school.files
        self.school.row("users", "par-ignatz")["identifier"] = IGNATZ
        self.school.row("users", "par-dorothea")["identifier"] = DOROTHEA
        files["users"] += [
            user("tea-2", "teacher", "Ermintrude", "Quill", identifier=COLLEAGUE),
            user("cou-1", "administrator", "Osric", "Tansy", identifier=COUNSELOR),
        ]
        files["enrollments"] += [
            {"sourcedId": f"enr-{key}", "classSourcedId": "class-1", "schoolSourcedId": "school-1",
             "userSourcedId": key, "role": "teacher"}
            for key in ("tea-1", "tea-2")
        ]  # fmt: skip
        await self.school.connect()
        assert (await self.school.pull())["state"] == "published"
        async with self.store.transaction(self.district) as c:
            for key in (GONE, "par-ignatz", "par-dorothea", "tea-1", "tea-2", "cou-1"):
                [self.ids[key]] = await reading.people_at(c, self.school.connection, key)
        await registers.add_connection(
            self.store, self.district, "board", "board",
            {"student_identifier": "identifier", "staff_identifier": "identifier"}, {}, self.actor,
        )  # fmt: skip
        self.plan = await self.finalized()
        self.board.viewers = [Viewer("student", NUMBER), Viewer("teacher", TUTOR), Viewer("guardian", DOROTHEA)]

    async def content(self, **more: Any) -> dict[str, Any]:
        [child] = await reading.entities(self.store, self.district, "person", ids=[self.ids[GONE]])
        today = date.today()
        return {
            "student": child["id"],
            "school": child["roles"][0]["organization"],
            "coordinator": self.ids["cou-1"],
            "period_start": today.isoformat(),
            "next_review_on": (today + timedelta(days=56)).isoformat(),
            "strengths": [{"statement": "Asks good questions", "domain": "academic"}],
            "needs": [
                {"domain": "academic", "statement": "planted-need",
                 "evidence": [{"observation": "planted-seen", "on": today.isoformat()}]},
            ],
            "goals": [
                {"domain": "academic", "statement": "Reads twelve pages", "addresses": ["need-1"],
                 "baseline": {"measure": "Pages", "value": 3, "on": today.isoformat()},
                 "targets": [{"measure": "Pages", "value": 12, "due_on": today.isoformat()}]},
            ],
            "supports": [
                {"name": "Reading group", "kind": "tutoring", "goals": ["goal-1"], "owner": self.ids["tea-1"],
                 "frequency": 2, "frequency_interval": "week", "duration_minutes": 30},
            ],
            "team": [{"who": self.ids["tea-1"], "role": "teacher"}],
            **more,
        }  # fmt: skip

    async def finalized(self) -> str:
        plan = await planning.create(self.store, self.district, await self.content(), self.actor)
        await planning.take(self.store, self.district, plan, "consult", self.actor)
        held = {
            "held_on": date.today().isoformat(),
            "outcome": "agreed",
            "summary": "planted-talk",
            "participants": [{"who": self.ids["par-dorothea"], "role": "parent"}],
        }
        await planning.edit(self.store, self.district, plan, await self.content(consultations=[held]), self.actor)
        await planning.take(self.store, self.district, plan, "finalize", self.actor)
        await planning.pass_time(self.store, self.district, plan)
        return plan

    async def push(self, *, doorway: bool = False) -> dict[str, Any]:
        """A delivery to its end, as the worker carries it out."""
        number, _ = await delivery.request(
            self.store, self.district, self.plan, "board", self.actor, doorway=doorway
        )  # fmt: skip
        return await self.carried_out(number)

    async def carried_out(self, number: int) -> dict[str, Any]:
        await dispatch.deliver_job(self.store, self.district, number)
        async with self.store.transaction(self.district) as c:
            return await deliveries.status(c, number)

    async def queued(self) -> list[int]:
        """Deliveries that wait for the worker."""
        async with self.store.transaction(self.district) as c:
            return list((await c.execute(text("SELECT id FROM delivery WHERE state = 'queued' ORDER BY id"))).scalars())


@pytest.fixture
async def hall(
    store: Store, district: int, actor: Actor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Hall]:
    made = Hall(store, district, actor, School(tmp_path / "sis", store=store, district=district, actor=actor))
    made.board.hang_up(monkeypatch, tmp_path)
    await made.begin()
    yield made
