"""Destinations that are asked too often, each in its own way, and deliveries to them of one job."""

import time
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import text
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from bench import delivering
from connectors.canvas.settings import CanvasSettings
from connectors.canvas.twin import World as Canvas
from connectors.canvas.twin import twin as canvas_twin
from connectors.edfi.server import EdfiSettings
from connectors.edfi.twin import twin as edfi_twin
from gateway import dispatch, jobs
from gateway.connector import ConnectionSettings, validated
from gateway.store import deliveries, registers
from gateway.store.database import Store
from gateway.store.registers import Actor
from synthetic import build
from tests.identity.rosters import Person, connected
from tests.serving import serve

WAYS: Mapping[str, tuple[str, int, Mapping[str, str]]] = {
    "429": ("edfi", 429, {}),
    "429, Retry-After": ("edfi", 429, {"Retry-After": "1"}),
    "403 in words": ("canvas", 403, {}),
    "429 in words": ("canvas", 429, {}),
}
"""Whom, and how it refuses."""
_WORDS = {403: "403 Forbidden (Rate Limit Exceeded)\n", 429: "429 Too Many Requests (Rate Limit Exceeded)\n"}
_PLACE = {"private_addresses": ["127.0.0.1: a twin"]}


@dataclass
class Leaky:
    """A bucket before a server: each request is a unit, so many leak a second, and who finds it full is refused."""

    app: ASGIApp
    status: int
    headers: Mapping[str, str]
    brim: float = 4.0
    leak: float = 40.0
    on: bool = False
    level: float = 0.0
    at: float = 0.0
    asked: int = 0
    refused: int = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and self.on and self._full():
            await PlainTextResponse(_WORDS[self.status], self.status, dict(self.headers))(scope, receive, send)
        else:
            await self.app(scope, receive, send)

    def _full(self) -> bool:
        now = time.monotonic()
        self.level = max(0.0, self.level - (now - self.at) * self.leak)
        self.at, self.asked = now, self.asked + 1
        if self.level >= self.brim:
            self.refused += 1
            return True
        self.level += 1
        return False


async def pushed(store: Store, way: str, plans: int, actor: Actor, folder: Path) -> dict[str, Any]:
    """So many plans pushed by one job to a destination that throttles in this way: what became of them."""
    kind, status, headers = WAYS[way]
    district = await registers.district(store, f"throttled {way}")
    open_one = {"edfi": _edfi, "canvas": _canvas}[kind]
    async with open_one(store, district, plans, status, headers, actor, folder) as bucket:
        laid = await delivering.lay(store, district)
        bucket.on, began = True, time.monotonic()
        await dispatch.request_push_all(store, district, "there", actor)
        async with store.transaction(district) as c:
            [number] = (await c.execute(text("SELECT min(id) FROM delivery"))).scalars()
        await dispatch.deliver_job(store, district, number)
        seconds = time.monotonic() - began
    async with store.transaction(district) as c:
        rows = (await c.execute(text("SELECT state, reason, tries FROM delivery"))).all()
    return {
        "plans": laid,
        "states": dict(Counter(row.state for row in rows)),
        "reasons": dict(Counter(row.reason for row in rows if row.reason)),
        "tries": sum(row.tries for row in rows),
        "requests": bucket.asked,
        "refused": bucket.refused,
        "seconds": round(seconds, 1),
    }


@asynccontextmanager
async def _edfi(
    store: Store, district: int, plans: int, status: int, headers: Mapping[str, str], actor: Actor, folder: Path
) -> AsyncIterator[Leaky]:
    played = build(schools=1, students=plans, seed=plans)
    bucket = Leaky(edfi_twin(played), status, headers)
    with serve(bucket) as url:
        given = {"base_url": url, "key": "demo-key", "secret": "demo-secret"} | _PLACE
        given |= {"education_organization_id": played.number}
        number = await _added(store, district, "edfi", EdfiSettings, given, "secret", actor)
        run = await jobs.request_pull(store, district, number, actor)
        await jobs.run_job(store, district, run)
        yield bucket


@asynccontextmanager
async def _canvas(
    store: Store, district: int, plans: int, status: int, headers: Mapping[str, str], actor: Actor, folder: Path
) -> AsyncIterator[Leaky]:
    people = [
        Person(f"k-{n}", f"Filler{n}", f"Umberfield{n}", f"2012-{n % 12 + 1:02}-{n % 28 + 1:02}", f"9{n:04}")
        for n in range(plans)
    ]
    held = Canvas()
    homeroom = held.course("Homeroom", "HR-5A")
    for one in people:
        held.enroll(homeroom, held.person(f"{one.given} {one.family}", one.number), "StudentEnrollment")
    # The twin's own bucket makes the client slow and is never full: here it is that of somebody who tells nothing.
    bucket = Leaky(canvas_twin(holds=held, answers=0, costs=0.0, booked=0.0), status, headers)
    with serve(bucket) as url:
        sis = await connected(store, district, "sis", folder, actor)
        await sis.says(*people)
        given = {"base_url": url, "access_token": "demo-token"} | _PLACE
        number = await _added(store, district, "canvas", CanvasSettings, given, "access_token", actor)
        async with store.transaction(district) as c:
            await deliveries.set_profile(c, district, number, {"courses": ["HR-5A"]})
        yield bucket


async def _added(
    store: Store,
    district: int,
    kind: str,
    settings: type[ConnectionSettings],
    given: Mapping[str, Any],
    secret: str,
    actor: Actor,
) -> int:
    secrets = {name for name, field in settings.model_fields.items() if "SecretStr" in str(field.annotation)}
    plain = validated(settings, dict(given)).model_dump(mode="json", exclude=secrets)
    return await registers.add_connection(store, district, "there", kind, plain, {secret: given[secret]}, actor)
