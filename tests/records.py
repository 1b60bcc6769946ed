"""A small school whose children have plans, for tests of what is written into their records."""

import asyncio
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from gateway import clock, jobs, planning, registry
from gateway.schema.plan import sha256, shown
from gateway.store import plans as stored
from gateway.store import reading, registers, runs
from gateway.store.database import Store
from gateway.store.registers import Actor
from gateway.store.runs import Mode
from tests.identity.rosters import FILLERS, Person, System, connected

LAYOUT = Path(__file__).parents[1] / "connectors" / "assessment_files" / "samples" / "owl-layout.csv"
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
        held: dict[str, Any] = {"held_on": clock.today().isoformat(), "participants": [mother], "outcome": "agreed"}
        held["shown_sha256"] = sha256(shown(planning.parse(found.content)))
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


RESULTS = "Pupil Number,Subject,Year,Grade,Fall Date,Fall Points,Winter Date,Winter Points,Winter Level"


@dataclass
class Owl:
    """A vendor's system that delivers result files of the Owl."""

    here: Small
    folder: Path
    connection: int

    async def says(self, *rows: str, mode: Mode = "publish") -> dict[str, Any]:
        """A file with these rows is delivered and pulled."""
        lines = "\n".join([RESULTS, *rows, ""])
        await asyncio.to_thread((self.folder / "owl.csv").write_text, lines, encoding="utf-8")
        run = await jobs.request_pull(self.here.store, self.here.district, self.connection, self.here.actor, mode=mode)
        return await self.done(run)

    async def done(self, run: int) -> dict[str, Any]:
        await jobs.run_job(self.here.store, self.here.district, run)
        async with self.here.store.transaction(self.here.district) as c:
            [found] = await runs.summary(c, run=run)
        assert found["state"] in ("published", "compared"), found
        return found

    async def undo(self, run: int) -> None:
        asked = await jobs.request_undo(self.here.store, self.here.district, run, self.here.actor, "A wrong file.")
        await self.done(asked)
        await registers.resume(self.here.store, self.here.district, self.connection, self.here.actor)


async def owl(here: Small, folder: Path) -> Owl:
    await asyncio.to_thread(folder.mkdir)
    shape = registry.connector("assessment_files").settings
    given = shape.model_validate({"path": str(folder), "layout_file": str(LAYOUT)}).model_dump(mode="json")
    id = await registers.add_connection(here.store, here.district, "owl", "assessment_files", given, {}, here.actor)
    return Owl(here, folder, id)


def ago(days: int) -> str:
    return (clock.today() - timedelta(days=days)).isoformat()
