"""Finalized plans that wait for an Ed-Fi server, laid by SQL: what is measured is the way there, and not how they came.

Each is the plan of another student and without supports, so that one record of its own tells of it.
"""

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.request import urlopen

from sqlalchemy import text

from bench import material, taking
from bench.measure import Cost, Serving, peak, used_by, used_by_server
from bench.ours import Installation
from gateway import clock, dispatch
from gateway.schema.plan import Plan, canonical
from gateway.settings import Settings
from gateway.store import registers
from gateway.store.database import Store
from gateway.store.registers import Actor
from synthetic import District

ROSTER = ("localEducationAgencies", "schools", "students", "studentSchoolAssociations")
"""Students, and at which school."""
IT = Actor("it@fennel.example.org", "district_it")
_STUDENT, _SCHOOL = "00000000-0000-4000-8000-000000000001", "00000000-0000-4000-8000-000000000002"
_LONGEST = 3600.0  # seconds


def write(folder: Path, district: District) -> None:
    """What the server has: the roster, and its own description."""
    material.write_edfi(folder, district, ROSTER)
    taking.describe(folder, district)


@dataclass(frozen=True)
class Desk:
    """A district with so many plans that none of its destinations has yet."""

    home: Installation
    server: Serving
    district: str
    plans: int

    def pushed(self) -> Cost:
        """All of them delivered to a server that has none, by one worker that rests before: from the moment
        they are queued to the last delivery's end. CPU is the worker's; the database server's stands beside it."""
        self.empty()
        with self.home.resting_worker() as worker, self.home.database() as c:
            before, before_server = used_by(worker), used_by_server(self.home.postmaster)
            queued, began = asyncio.run(self._requested())
            deadline = time.monotonic() + _LONGEST
            while (left := self._left()) and time.monotonic() < deadline:
                time.sleep(0.2)
            spent, spent_server = used_by(worker) - before, used_by_server(self.home.postmaster) - before_server
            [(ended, delivered)] = c.execute(
                "SELECT extract(epoch FROM max(finished_at))::float8, count(*) FILTER (WHERE state = 'delivered') "
                "FROM delivery"
            ).fetchall()
            memory = peak(worker)
        if left or delivered != queued:
            raise RuntimeError(f"{delivered} of {queued} were delivered: {self._why()}")
        return Cost(
            spent,
            ended - began,
            memory,
            {"rows": delivered, "database_cpu": round(spent_server, 2), "requests": self.server.asked()},
        )

    def empty(self) -> None:
        """As if nothing had ever been sent: at the server, and in our ledger."""
        _said(self.server, "_forget")
        self.server.asked()
        with self.home.database() as c:
            c.execute("DELETE FROM ledger")
            c.execute("DELETE FROM disclosure")
            c.execute("DELETE FROM delivery")
            c.execute("VACUUM ANALYZE")

    async def _requested(self) -> tuple[int, float]:
        store = await Store.open(Settings(home=self.home.home))
        try:
            district = await registers.district(store, self.district)
            return await dispatch.request_push_all(store, district, "edfi", IT), time.time()
        finally:
            await store.close()

    def _left(self) -> int:
        return int(self.home.one("SELECT count(*) FROM delivery WHERE state IN ('queued', 'sending')"))

    def _why(self) -> list[tuple[Any, ...]]:
        return self.home.sql("SELECT state, left(reason, 300), count(*) FROM delivery GROUP BY 1, 2 LIMIT 5")

    def lines(self, folder: Path) -> Path:
        """The records that arrived at the server, as a file of JSON lines for a peer to send."""
        path = folder / "lines" / f"{taking.WRITTEN[1]}.jsonl"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(_said(self.server, f"_written/{taking.WRITTEN[1]}") + b"\n")
        return path


@contextmanager
def desk(home: Installation, server: Serving, agency: int, in_flight: int | None = None) -> Iterator[Desk]:
    """A district that was pulled from the server, and a finalized plan of each student."""
    more = {} if in_flight is None else {"in_flight": str(in_flight)}
    district = home.fresh("edfi", server.url, education_organization_id=str(agency), **more)
    home.pull("edfi", district)
    yield Desk(home, server, district, asyncio.run(_laid(home, district)))


async def _laid(home: Installation, district: str) -> int:
    store = await Store.open(Settings(home=home.home))
    try:
        return await lay(store, await registers.district(store, district))
    finally:
        await store.close()


async def lay(store: Store, district: int) -> int:
    """A finalized plan of every student who is at a school; how many."""
    values = {
        "d": district,
        "content": canonical(_template()).decode(),
        "student": _STUDENT,
        "school": _SCHOOL,
        "actor": IT.as_json(),
    }
    async with store.owner.begin() as c:
        for statement in _ROWS:
            made = await c.execute(text(statement), values)
    return made.rowcount


def _template() -> Plan:
    today = clock.today()
    return Plan.model_validate(
        {
            "student": _STUDENT,
            "school": _SCHOOL,
            "period_start": today.isoformat(),
            "next_review_on": (today + timedelta(days=56)).isoformat(),
            "strengths": [{"statement": "Asks good questions", "domain": "academic"}],
            "needs": [
                {
                    "domain": "academic",
                    "statement": "Reads slowly",
                    "evidence": [{"observation": "Three pages in a quarter of an hour", "on": today.isoformat()}],
                }
            ],
            "goals": [
                {
                    "domain": "academic",
                    "statement": "Reads twelve pages",
                    "addresses": ["need-1"],
                    "baseline": {"measure": "Pages", "value": 3, "on": today.isoformat()},
                    "targets": [{"measure": "Pages", "value": 12, "due_on": today.isoformat()}],
                }
            ],
        }
    )


_ROWS = (
    # The content is text, of which the fingerprint is taken as it stands.
    "CREATE TEMPORARY TABLE laid ON COMMIT DROP AS SELECT gen_random_uuid() AS id, e.id AS student, "
    "  replace(replace(CAST(:content AS text), :student, CAST(e.id AS text)), :school, "
    "    e.doc#>>'{roles,0,organization}') AS content "
    "FROM entity e WHERE e.district_id = :d AND e.kind = 'person' AND e.doc#>>'{roles,0,role}' = 'student'",
    "INSERT INTO plan (id, district_id, student_id, state, content) "
    "SELECT id, :d, student, 'active', CAST(content AS json) FROM laid",
    "INSERT INTO plan_version (plan_id, version, district_id, content, sha256, finalized_at, finalized_by, "
    "  guard_report) SELECT id, 1, :d, content, encode(sha256(convert_to(content, 'UTF8')), 'hex'), now(), "
    "  CAST(:actor AS json), '[]' FROM laid",
)


def _said(server: Serving, door: str) -> bytes:
    with urlopen(f"{server.url}/{door}") as answer:  # noqa: S310 our own server
        return bytes(answer.read())
