"""A small school whose children have plans, for tests of what is written into their records."""

from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from gateway import clock, planning
from gateway.store import plans as stored
from gateway.store import reading
from gateway.store.database import Store
from gateway.store.registers import Actor
from tests.identity.rosters import FILLERS, Person, System, connected

CHILDREN = FILLERS[:6]
TEACHER = Person("k-t", "Ferdinand", "Umberteach", number="500", role="teacher")
SUPPORT = {
    "name": "Reading hour",
    "kind": "tutoring",
    "frequency": 2,
    "frequency_interval": "week",
    "duration_minutes": 30,
}


@dataclass
class Small:
    """The store, its district and the ids of its children, in the order of their numbers."""

    store: Store
    district: int
    actor: Actor
    sis: System
    children: list[str]
    teacher: str

    async def plan(self, child: int, **content: Any) -> str:
        """A plan with one support, a draft."""
        id = await planning.begin(self.store, self.district, self.children[child], self.actor)
        async with self.store.transaction(self.district) as c:
            found = await stored.load(c, id)
        body = found.content | {"supports": [SUPPORT]} | content
        await planning.edit(self.store, self.district, id, body, self.actor)
        return id

    async def finalized(self, child: int, **content: Any) -> str:
        """A plan that was finalized with that content."""
        id = await self.plan(child, **self.whole(**content))
        await self.finalize(id)
        return id

    def whole(self, **content: Any) -> dict[str, Any]:
        return {
            "coordinator": self.teacher,
            "strengths": [{"statement": "Explains mazes to others."}],
            "needs": [{"domain": "academic", "statement": "Reads slowly.", "evidence": [{"observation": "Heard it."}]}],
            "supports": [SUPPORT | {"owner": self.teacher, "goals": ["goal-1"]}],
        } | content

    async def finalize(self, id: str) -> None:
        """The family is consulted on what there is, and agrees."""
        await planning.take(self.store, self.district, id, "consult", self.actor)
        async with self.store.transaction(self.district) as c:
            found = await stored.load(c, id)
        mother = {"who": {"name": "Odalys Umberfield", "side": "family"}, "role": "parent"}
        held = {"held_on": clock.today().isoformat(), "participants": [mother], "outcome": "agreed"}
        content = found.content | {"consultations": [held]}
        await planning.edit(self.store, self.district, id, content, self.actor)
        await planning.take(self.store, self.district, id, "finalize", self.actor)


def tied_goal(**more: Any) -> dict[str, Any]:
    """A goal that is measured by the points of the Owl."""
    return {
        "domain": "academic",
        "statement": "Reads with ease.",
        "addresses": ["need-1"],
        "measure": {"assessment": "Owl Reading", "score_method": "points"},
        "baseline": {"measure": "Owl points", "value": 41, "on": "2026-09-15"},
        "targets": [{"measure": "Owl points", "value": 65, "due_on": "2027-05-31"}],
    } | more


async def small(store: Store, district: int, actor: Actor, folder: Path) -> Small:
    sis = await connected(store, district, "sis", folder, actor)
    await sis.says(*CHILDREN, TEACHER)
    people = await reading.entities(store, district, "person")
    known = {one["identifiers"][0]["value"]: one["id"] for one in people}
    return Small(store, district, actor, sis, [known[c.number] for c in CHILDREN], known[TEACHER.number])


def ago(days: int) -> str:
    return (clock.today() - timedelta(days=days)).isoformat()
