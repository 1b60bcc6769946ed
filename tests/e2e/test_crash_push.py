"""A worker killed while it pushes: no object twice, and a request repeated only when its outcome was unknown."""

import asyncio
import hashlib
import signal
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date, timedelta
from functools import partial
from random import Random
from typing import Any

import msgspec
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from connectors.edfi.twin import twin
from gateway import delivery, dispatch, planning, sending
from gateway.settings import Settings
from gateway.store import plans as stored
from gateway.store import reading, registers
from gateway.store.database import Store
from gateway.store.registers import Actor
from synthetic import District, build
from tests.e2e.processes import Home, steer, until
from tests.serving import serve

SEED = 20_260_818
EDUCATOR = Actor("Ottoline Farrow", "educator")
PAUSE = 0.06
"""Seconds that each request to the destination takes, so that there are moments to be killed at."""


def test_a_worker_killed_while_pushing_makes_no_second_object() -> None:
    district = build(schools=1, students=24, seed=SEED)
    with Home.made(laid=True) as home, destination(district) as there:
        killed = killed_while_pushing(home, there, "pushing", Random(SEED), plans=4, kills=5)
    assert killed["pushing"] >= 3


# --- what the proof of many kills does too -----------------------------------------------------------------


@dataclass
class Written:
    """Stands before the twin and keeps every write: the resource, the fingerprint of its body, when it was answered."""

    app: ASGIApp
    writes: list[tuple[str, str]] = field(default_factory=list)
    answered: list[tuple[str, str]] = field(default_factory=list)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope.get("path", "")
        if scope["type"] != "http" or scope["method"] not in ("POST", "PUT") or "/ed-fi/" not in path:
            await self.app(scope, receive, send)
            return
        body, more = b"", True
        while more:
            message = await receive()
            body, more = body + message.get("body", b""), message.get("more_body", False)
        write = (path.rpartition("/")[2], _fingerprint(msgspec.json.decode(body)))
        self.writes.append(write)

        async def again() -> Message:
            return {"type": "http.request", "body": body, "more_body": False}

        await self.app(scope, again, send)
        self.answered.append(write)


@dataclass(frozen=True)
class There:
    """A destination."""

    url: str
    written: Written


@contextmanager
def destination(district: District) -> Iterator[There]:
    written = Written(twin(district))
    with serve(written) as url:
        yield There(url, written)


def killed_while_pushing(
    home: Home, there: There, name: str, rng: Random, *, plans: int, kills: int, one_at_a_time: bool = False
) -> "Counter[str]":
    """Plans on their way to a destination, two workers, and one of them killed at seeded moments, again and again.

    Returns how often while something was under way. In the end everything is there once, as it was meant.
    """
    home.connect_edfi(there.url, district=name, education_organization_id="990100")
    assert home.json("pull", "edfi", district=name)["state"] == "published"
    intended = asyncio.run(_requested(home, name, plans))
    slow = {"kind": "slow", "path": "/ed-fi/", "seconds": PAUSE, "times": 1_000_000}
    steer(there.url, "PUT", "faults", [slow])
    there.written.writes.clear()
    killed: Counter[str] = Counter()
    unknown: Counter[tuple[str, str]] = Counter()
    workers = [home.start("worker"), home.start("worker")]
    for count in sorted(rng.sample(range(1, len(intended)), kills)):
        until(partial(_reached, home, name, there, count), f"{count} requests were made")
        time.sleep(rng.uniform(0.0, 2 * PAUSE))
        # One of them sends, the other waits for it: both die, or one, who may have been the one that waits.
        victims = rng.choice([(0, 1), (0, 1), (0,), (1,)]) if one_at_a_time else (0, 1)
        for victim in victims:
            home.kill(workers[victim])
        if _over(home, name):
            break
        killed["pushing"] += 1
        known = _delivered(home, name)
        unknown.update({write for write in there.written.writes if write not in known})
        for victim in victims:
            workers[victim] = home.start("worker")
    until(lambda: _over(home, name), "every plan is delivered", 120)
    for worker in workers:
        worker.terminate()
        assert worker.wait(timeout=30) in (0, -signal.SIGTERM), "one that has only just begun knows no other end"
    assert _delivered(home, name) == set(intended)
    assert set(there.written.writes) <= set(intended), "what is repeated is repeated unchanged"
    again = {write: times - 1 for write, times in Counter(there.written.writes).items() if times > 1}
    assert all(times <= unknown[write] for write, times in again.items()), "only where nobody knew how it had ended"
    assert asyncio.run(_there(home, name)) == intended
    killed["repeated"] = sum(again.values())
    return killed


async def _requested(home: Home, name: str, plans: int) -> "Counter[tuple[str, str]]":
    """Finalize so many plans and ask for their delivery; what is meant to be written."""
    store, district = await _opened(home, name)
    try:
        people = await reading.entities(store, district, "person")
        teacher = next(one["id"] for one in people if one.get("population") == "staff" and one.get("roles"))
        students = [one["id"] for one in people if one.get("population") == "student"][:plans]
        intended: Counter[tuple[str, str]] = Counter()
        for student in students:
            plan = await _finalized(store, district, student, teacher)
            made = await delivery.preview(store, district, plan, "edfi")
            intended.update({(one.resource, sending.fingerprint(one)) for one in made.documents})
            await dispatch.request_push(store, district, plan, "edfi", EDUCATOR)
        return Counter(set(intended))
    finally:
        await store.close()


async def _finalized(store: Store, district: int, student: str, teacher: str) -> str:
    plan = await planning.begin(store, district, student, EDUCATOR)
    async with store.transaction(district) as c:
        begun = (await stored.load(c, plan)).content
    await planning.edit(store, district, plan, begun | _content(teacher), EDUCATOR)
    await planning.take(store, district, plan, "consult", EDUCATOR)
    async with store.transaction(district) as c:
        [*_, seen] = [one for one in await stored.events(c, plan) if one["act"] == "shown"]
        content = (await stored.load(c, plan)).content
    meeting = {
        "held_on": date.today().isoformat(),
        "participants": [{"who": {"name": "Imre Halloway", "side": "family"}, "role": "guardian"}],
        "outcome": "agreed",
        "shown_sha256": seen["detail"]["shown_sha256"],
    }
    await planning.edit(store, district, plan, content | {"consultations": [meeting]}, EDUCATOR)
    await planning.take(store, district, plan, "finalize", EDUCATOR)
    return plan


def _content(teacher: str) -> dict[str, Any]:
    later = (date.today() + timedelta(days=90)).isoformat()
    need = {"domain": "academic", "statement": "Loses the thread.", "evidence": [{"observation": "Read aloud."}]}
    goal = {
        "domain": "academic",
        "statement": "Retells a chapter.",
        "addresses": ["need-1"],
        "baseline": {"measure": "retelling", "value": 1, "on": date.today().isoformat()},
        "targets": [{"measure": "retelling", "value": 4, "due_on": later}],
    }
    support = {"name": "Reading group", "kind": "counseling", "duration_minutes": 30}
    return {
        "coordinator": teacher,
        "strengths": [{"statement": "Draws maps."}],
        "needs": [need],
        "goals": [goal],
        "supports": [support | {"owner": teacher, "goals": ["goal-1"]}],
    }


async def _there(home: Home, name: str) -> "Counter[tuple[str, str]]":
    """What the destination has of every plan, read back."""
    store, district = await _opened(home, name)
    try:
        async with store.transaction(district) as c:
            ids = [one["id"] for one in await stored.listed(c)]
        found: set[tuple[str, str]] = set()
        for plan in ids:
            for document, body in await delivery.read_back(store, district, plan, "edfi"):
                found.add((document.resource, _fingerprint(body)))
        return Counter(found)
    finally:
        await store.close()


async def _opened(home: Home, name: str) -> tuple[Store, int]:
    store = await Store.open(Settings(home=home.home, shared_buffers="64MB"))
    return store, await registers.district(store, name)


def _reached(home: Home, name: str, there: There, count: int) -> bool:
    return len(there.written.writes) >= count or _over(home, name)


def _over(home: Home, name: str) -> bool:
    states = home.sql(
        "SELECT DISTINCT d.state FROM delivery d JOIN district i ON i.id = d.district_id WHERE i.name = %(name)s",
        name=name,
    )
    assert ("parked",) not in states
    return states == [("delivered",)]


def _delivered(home: Home, name: str) -> set[tuple[str, str]]:
    """What the ledger says has arrived."""
    rows = home.sql(
        "SELECT l.resource, l.sent_sha256 FROM ledger l JOIN district i ON i.id = l.district_id "
        "WHERE i.name = %(name)s AND l.delivered_sha256 = l.sent_sha256",
        name=name,
    )
    return {(str(resource), str(sha256)) for resource, sha256 in rows}


def _fingerprint(body: Any) -> str:
    return hashlib.sha256(msgspec.json.encode(body, order="sorted")).hexdigest()
