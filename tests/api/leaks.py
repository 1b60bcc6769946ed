"""Random requests of two districts' programs over all routes, and what an answer has that is the other one's."""

import asyncio
import json
import re
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from random import Random
from typing import Any

import httpx
from sqlalchemy import event

from gateway.api.oneroster.operations import OPERATIONS, Operation
from gateway.served import COLLECTIONS
from gateway.store.database import Store
from tests.api.test_exposure import CALLS, GUARDED
from tests.api.two import Side, Two, address, told

AT_ONCE = 8
READING = [route for route in GUARDED if route.startswith("GET ")]
WRITING = [route for route in GUARDED if not route.startswith("GET ")]
OWN_WRITES = 0.02
"""How much of what is written a district's programs write at home: the rest is tried upon the other district."""
PLACES = ("", "now", "0-0", "2026-11-28", "1", "7", "2099-01-01T00:00:00Z")


async def played(
    both: Two, drawn_by: str, requests: int, *, only_reading: bool = False
) -> tuple[Counter[str], list[str]]:
    """So many requests, with counts of what came of them, and each answer that told what it may not."""
    asking, counts, leaks = Asking(both, Random(drawn_by), only_reading), Counter[str](), list[str]()

    async def ask() -> None:
        while counts["requests"] < requests:
            counts["requests"] += 1
            side, other, label, request = asking.request()
            answer = await both.http.send(request)
            asking.remember(answer)
            counts[f"answered {answer.status_code}"] += 1
            counts["told of the own district"] += any(mark in answer.text for mark in (side.mark, side.world.student))
            asking.seen.add(label)
            if found := told(answer, other):
                leaks.append(f"{label} {request.url} for {side.mark}: {found[:3]}")
            if answer.status_code >= 500 and answer.status_code != 503:
                leaks.append(f"{label} {request.url}: {answer.status_code}")

    await asyncio.gather(*(ask() for _ in range(AT_ONCE)))
    counts["routes"] = len(asking.seen)
    return counts, leaks


class Asking:
    """What is asked next: by whom, of what, with which words; some of them heard in answers to the other one."""

    def __init__(self, both: Two, chance: Random, only_reading: bool) -> None:
        self.both, self.chance, self.only_reading = both, chance, only_reading
        self.ids = {side.mark: sorted(side.planted - {side.mark}) for side in (both.here, both.there)}
        self.cursors = [""]
        self.seen: set[str] = set()

    def request(self) -> tuple[Side, Side, str, httpx.Request]:
        side, other = self.chance.sample([self.both.here, self.both.there], 2)
        header = side.callers[self.chance.choice(sorted(side.callers))]
        if self.chance.random() < 0.5:
            one = self.chance.choice(OPERATIONS)
            path = self.oneroster(one, side, other)
            return side, other, one.id, self.both.http.build_request("GET", path, headers=header)
        writes = not self.only_reading and self.chance.random() < 0.25
        route = self.chance.choice(WRITING if writes else READING)
        return side, other, route, self.plain(route, side, other, header)

    def oneroster(self, one: Operation, side: Side, other: Side) -> str:
        path = address(one, self.chance.choice([side, side, other]))
        if one.parameters and self.chance.random() < 0.2:
            path = re.sub(r"[0-9a-f-]{36}", lambda _: self.any_id(side, other), path)
        asked = {"fields": self.fields(one)} if self.chance.random() < 0.2 else {}
        if not one.one:
            for name, value in (
                ("limit", self.chance.choice([1, 2, 100, 1000, 1001])),
                ("offset", self.chance.choice([0, 1, 5, 5000])),
                ("sort", self.fields(one)),
                ("orderBy", self.chance.choice(["asc", "desc"])),
                ("filter", self.filter(one, side, other)),
            ):
                if self.chance.random() < 0.3:
                    asked[name] = str(value)
        return str(httpx.URL(path, params=asked))

    def fields(self, one: Operation) -> str:
        return self.chance.choice(["sourcedId", "dateLastModified", *COLLECTIONS[one.view.collection].fields])

    def filter(self, one: Operation, side: Side, other: Side) -> str:
        def clause() -> str:
            value = self.chance.choice(["active", "tobedeleted", other.mark, side.mark, self.any_id(side, other), "05"])
            field = self.chance.choice(["status", "sourcedId", self.fields(one)])
            if self.chance.random() < 0.3:
                field, value = "dateLastModified", "2026-01-01T00:00:00.000Z"
            return f"{field}{self.chance.choice(['=', '!=', '>', '>=', '<', '~'])}'{value}'"

        return self.chance.choice([clause(), f"{clause()} AND {clause()}", f"{clause()} OR {clause()}"])

    def any_id(self, side: Side, other: Side) -> str:
        return self.chance.choice(self.ids[self.chance.choice([side, other, other]).mark])

    def plain(self, route: str, side: Side, other: Side, header: dict[str, str]) -> httpx.Request:
        writes = route in WRITING
        at_home = self.chance.random() < (OWN_WRITES if writes else 0.4)
        mine = CALLS[route](side.world)
        how = mine if at_home else CALLS[route](other.world)
        method, path = route.split(" ")
        path = how.path or path
        if self.chance.random() < 0.1:
            path = re.sub(r"[0-9a-f-]{36}", lambda _: self.any_id(other, other), path)
        # The words are the own ones, so that what is kept of them at home is no leak; whom they are about is not.
        body = mine.body
        if body is not None and not at_home:
            said = json.dumps(body).replace(side.world.student, other.world.student)
            body = json.loads(said.replace(side.world.twice, other.world.twice))
        if self.chance.random() < 0.1 and writes:
            header = header | {"Idempotency-Key": self.chance.choice(["one", "two"])}
        return self.both.http.build_request(
            method, path, params=self.query(side, other), json=body, headers=header | dict(how.headers)
        )

    def query(self, side: Side, other: Side) -> dict[str, Any]:
        every = {
            "limit": self.chance.choice([1, 5, 500, 1000]),
            "cursor": self.chance.choice(self.cursors),
            "after": self.chance.choice(PLACES),
            "as_of": self.chance.choice(PLACES),
            "student": self.chance.choice([side.world.student, other.world.student]),
            "fields": self.chance.choice(["given_name,family_name", "goals,supports", "title", "text"]),
            "everything": "true",
            "run": self.chance.choice([side.world.first, other.world.first]),
            "dry_run": "true",
        }
        return {name: value for name, value in every.items() if self.chance.random() < 0.2}

    def remember(self, answer: httpx.Response) -> None:
        """Where the next page begins, for whoever asks next. What was done without a word (204) has none."""
        if answer.status_code == 200 and isinstance(said := answer.json(), dict):
            self.cursors = [*self.cursors[-20:], str(said.get("next") or "")]


FILTERED = re.compile(r"(?:\b\w+\.)?\bdistrict_id = %\((\w+)\)s")


@contextmanager
def unfiltered(store: Store) -> Iterator[Counter[str]]:
    """No statement of the application's asks for a district by itself: what keeps districts apart is the database."""
    stripped: Counter[str] = Counter()

    def strip(c: Any, cursor: Any, statement: str, parameters: Any, context: Any, many: bool) -> tuple[str, Any]:
        less, n = FILTERED.subn(r"(%(\1)s IS NOT NULL)", statement)
        stripped["statements"] += n > 0
        return less, parameters

    engine = store.engine.sync_engine
    event.listen(engine, "before_cursor_execute", strip, retval=True)
    try:
        yield stripped
    finally:
        event.remove(engine, "before_cursor_execute", strip)


@contextmanager
def open_doors(store: Store) -> Iterator[None]:
    """The database keeps nobody apart either: then leaks have to be found, else none ever would be."""
    guarded, store.engine = store.engine, store.owner
    try:
        yield
    finally:
        store.engine = guarded
