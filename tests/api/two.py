"""Two districts of which everything is there twice, every text and id of one unlike those of the other."""

import json
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
from sqlalchemy import text

from gateway import api
from gateway.access import SECTIONS
from gateway.api.oneroster import ROOT
from gateway.api.oneroster.operations import OPERATIONS, Operation
from gateway.settings import Settings
from gateway.store import clients, registers
from gateway.store.clients import FOR_VENDORS, SCOPES, Grant
from gateway.store.database import Store
from gateway.store.registers import Actor
from tests.api import wire
from tests.api.conftest import agree, serving, token
from tests.api.test_exposure import CALLS, GUARDED
from tests.api.test_oneroster import present
from tests.api.wire import RECORDS, START, Laid, name
from tests.api.world import World, populate

ACTOR = Actor("it@district.example.org", "district_it")
TEXTS = frozenset(
    {
        *("givenName", "familyName", "title", "name", "email", "identifier", "courseCode", "vendorResourceId"),
        *("description", "textScore", "location", "house", "itemValueLHS"),
    }
)
MARKS = ("amberly", "cobaltine")
Headers = dict[str, str]


@dataclass
class Side:
    """One of them. `mark` stands in each of its texts; `callers`: what each kind of program has to show."""

    district: int
    mark: str
    world: World
    laid: Laid
    callers: dict[str, Headers] = field(default_factory=dict)
    planted: frozenset[str] = frozenset()
    """What may stand in no answer to anybody of the other one."""

    def id(self, short: str) -> str:
        """The sourcedId of what tests.api.wire calls so."""
        return name(f"{self.mark}-{short}")


@dataclass
class Two:
    store: Store
    http: httpx.AsyncClient
    here: Side
    there: Side


@asynccontextmanager
async def served(settings: Settings, folder: Path) -> AsyncIterator[Two]:
    store = await Store.open(settings)
    try:
        sides = [await made(store, mark, folder.with_name(f"{folder.name}-{mark}")) for mark in MARKS]
        async with serving(api.create_app(store, settings)) as http:
            yield Two(store, http, *sides)
    finally:
        await store.close()


async def made(store: Store, mark: str, folder: Path) -> Side:
    district = await registers.district(store, f"{mark}-{folder.name}")
    world = await populate(store, district, ACTOR, folder, mark)
    side = Side(district, mark, world, await laid(store, district, mark))
    vendor = side.laid.client
    own, _ = await clients.add(store, district, "own", SCOPES, ACTOR, Grant("sis", sections=SECTIONS))
    writer, _ = await clients.add(store, district, "writer", SCOPES, ACTOR, Grant("sis", sections=SECTIONS))
    await agree(store, district, writer)
    side.callers = {
        "vendor": await token(store, district, vendor),
        "vendor for a teacher": await token(store, district, vendor, person=world.teacher),
        "own": await token(store, district, own),
        "own for a teacher": await token(store, district, writer, person=world.teacher),
    }
    async with store.transaction(district) as c:
        ids = set((await c.execute(text("SELECT CAST(id AS text) FROM entity"))).scalars())
        ids |= set((await c.execute(text("SELECT CAST(id AS text) FROM plan"))).scalars())
    side.planted = frozenset({mark, vendor, *ids, *(side.id(short) for rows in RECORDS.values() for short in rows)})
    return side


async def laid(store: Store, district: int, mark: str) -> Laid:
    """The records of tests.api.wire under ids and with texts of this district's own, and a vendor that reaches all but
    `hidden` of them; of the students of the common schema it reaches every one."""
    client, _ = await clients.add(store, district, f"reader-{mark}", FOR_VENDORS, ACTOR, Grant(sections=SECTIONS))
    made = Laid(district, client, 0)
    said = json.dumps(RECORDS)
    for short in {short for rows in RECORDS.values() for short in rows}:
        said = said.replace(name(short), name(f"{mark}-{short}"))
    records = marked(json.loads(said), mark)
    await agree(store, district, client)
    async with store.transaction(district) as c:
        made.agreement = await c.scalar(text("SELECT max(id) FROM vendor_agreement"))
        await c.execute(text("INSERT INTO projection (district_id, number, at) VALUES (:d, 1, now())"), {"d": district})
        for n, (collection, short) in enumerate((k, short) for k, rows in records.items() for short in rows):
            at, gone = START + timedelta(seconds=n), short == "gone"
            await wire.put(c, district, collection, f"{mark}-{short}", records[collection][short], at, gone=gone)
            if not short.startswith("hidden"):
                await wire.reach(c, made, collection, f"{mark}-{short}", at, visible=short != "left")
    return made


def marked(value: Any, mark: str, key: str = "") -> Any:
    if isinstance(value, dict):
        return {name: marked(part, mark, name) for name, part in value.items()}
    if isinstance(value, list):
        return [marked(part, mark) for part in value]
    return f"{value} {mark}" if key in TEXTS and isinstance(value, str) else value


async def vendor(store: Store, side: Side, *, sections: Iterable[Any] = SECTIONS, **agreed: Any) -> Headers:
    """Another vendor of a district, for its teacher; `agreed`: see tests.api.conftest.agree."""
    client, _ = await clients.add(store, side.district, "vendor", FOR_VENDORS, ACTOR, Grant(sections=list(sections)))
    if agreed:
        await agree(store, side.district, client, **agreed)
    return await token(store, side.district, client, person=side.world.teacher)


# --- asking them -------------------------------------------------------------------------------------------


ROUTES: list[str | Operation] = [*GUARDED, *OPERATIONS]


def address(operation: Operation, side: Side) -> str:
    """Where an operation of OneRoster is asked for something that a district has."""
    path = operation.path
    for parameter in operation.parameters:
        short = wire.PARENTS.get(parameter.removesuffix("SourcedId")) or present(operation)
        path = path.replace(f"{{{parameter}}}", side.id(short))
    return f"{ROOT}/{operation.service}/v1p2{path}"


async def asked(both: Two, route: str | Operation, side: Side, header: Headers) -> httpx.Response:
    """A route, called with everything that it takes, for what a district has."""
    if isinstance(route, Operation):
        return await both.http.get(address(route, side), headers=header)
    how = CALLS[route](side.world)
    method, path = route.split(" ")
    return await both.http.request(method, how.path or path, json=how.body, headers={**header, **dict(how.headers)})


def told(answer: httpx.Response, side: Side) -> list[str]:
    """What an answer has of a district: its words, and its ids that did not stand in the question."""
    said = f"{answer.headers} {answer.text}".casefold()
    given = f"{answer.request.url} {answer.request.content.decode()}".casefold()
    return [word for word in side.planted if word.casefold() in said and word.casefold() not in given]
