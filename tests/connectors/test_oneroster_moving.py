"""Whatever changes between the pages of a pull, no record is lost and none invented without the run saying so."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from hypothesis import HealthCheck, Phase, event, given, settings
from hypothesis import strategies as st
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from connectors.oneroster.admission import way_out
from connectors.oneroster.client import RestSource
from connectors.oneroster.settings import OneRosterSettings
from gateway.connector import START, Page
from gateway.errors import ConfigError, Unavailable
from tests.connectors.oneroster import USERS, configured, talking
from tests.serving import serve

NOW = datetime(2026, 11, 2, 8, tzinfo=UTC)
Op = tuple[str, int]
"""What happens to the roster: `insert`, `delete` or `touch`, and where."""


def spelt(moment: datetime) -> str:
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


@dataclass
class Roster:
    """A served list of users that changes between requests: `script` says before which request what happens.

    `ever` are all rows that were there at any time, `always` the ids that never went away, both since `watch`.
    """

    rows: dict[str, str] = field(default_factory=dict)
    cap: int = 3
    totals: bool = True
    off: int = 0
    sorts: bool = True
    filters: bool = True
    script: dict[int, list[Op]] = field(default_factory=dict)
    asked: int = 0
    clock: datetime = NOW
    ever: set[tuple[str, str]] = field(default_factory=set)
    always: set[str] = field(default_factory=set)
    gone: set[str] = field(default_factory=set)

    def watch(self) -> None:
        self.asked = 0
        self.ever = set(self.rows.items())
        self.always = set(self.rows)

    def play(self, op: str, where: int) -> None:
        self.clock += timedelta(minutes=1)
        name = f"u{where:03}"
        if op == "delete" and self.rows:
            name = sorted(self.rows)[where % len(self.rows)]
            del self.rows[name]
            self.always.discard(name)
        elif op == "insert" or (op == "touch" and name in self.rows):
            self.rows[name] = spelt(self.clock)
            self.ever.add((name, self.rows[name]))

    async def page(self, request: Request) -> Response:
        query = request.query_params
        for op, where in self.script.get(self.asked, []):
            self.play(op, where)
        self.asked += 1
        if "sort" in query and not self.sorts:
            return JSONResponse({}, 400)
        names = sorted(self.rows) if "sort" in query else list(self.rows)
        if (wanted := query.get("filter", "")) and self.filters:
            since = wanted.partition("'")[2].rstrip("'")
            names = [name for name in names if self.rows[name] > since]
        first = int(query["offset"])
        page = names[first : first + min(int(query["limit"]), self.cap)]
        headers = {"Date": self.clock.strftime("%a, %d %b %Y %H:%M:%S GMT")}
        if self.totals:
            headers["X-Total-Count"] = str(max(len(names) + self.off, 0))
        rows = [{"sourcedId": name, "dateLastModified": self.rows[name]} for name in page]
        return Response(json.dumps({"users": rows}), headers=headers, media_type="application/json")


class Stage:
    """The roster of the moment, at one address for all examples."""

    roster = Roster()

    async def page(self, request: Request) -> Response:
        return await self.roster.page(request)

    async def token(self, request: Request) -> Response:
        return JSONResponse({"access_token": "t", "token_type": "Bearer"})


STAGE = Stage()


@pytest.fixture(scope="module")
def at() -> Iterator[OneRosterSettings]:
    """Settings that lead to the stage."""
    routes = [
        Route("/token", STAGE.token, methods=["POST"]),
        Route("/ims/oneroster/rostering/v1p2/{collection}", STAGE.page),
    ]
    with serve(Starlette(routes=routes)) as url:
        yield configured(
            base_url=url,
            token_url=f"{url}/token",
            client_id="us",
            client_secret="kept-quiet",
            allow_private=True,
            version="1.2",
            changes="yes",
        )


async def pulled(settings: OneRosterSettings, since: dict[str, str], crash: int, lifo: bool) -> list[Page]:
    """All pages, in this order or the other; after `crash` of them another worker goes on."""
    pages: list[Page] = []
    waiting, seen = [START], {START}
    async with way_out(settings) as http:
        while waiting:
            source = RestSource(settings, http)
            source.since(since)
            while waiting and not (len(pages) == crash and pages):
                page = await source.pull(USERS, waiting.pop(-1 if lifo else 0))
                pages.append(page)
                waiting += [cursor for cursor in page.next if cursor not in seen]
                seen.update(page.next)
            crash = -1
    return pages


def read(pages: list[Page]) -> list[tuple[str, str]]:
    rows = [msgspec.json.decode(row) for page in pages for row in page.rows]
    return [(row["sourcedId"], row["dateLastModified"]) for row in rows]


def says(pages: list[Page]) -> str:
    """How the run tells that something may be missing: it is held, or a notice says so."""
    keys = [key for key, _ in read(pages)]
    total = max((page.total for page in pages if page.total is not None), default=None)
    if total is not None and len(set(keys)) < total:
        return "held: incomplete"
    if total is None and len(set(keys)) < len(keys):
        return "held: pages shift"
    codes = {notice.code for page in pages for notice in page.notices}
    return "told: pages-not-compared" if "pages-not-compared" in codes else ""


OPS = st.lists(st.tuples(st.sampled_from(["insert", "delete", "delete", "touch"]), st.integers(0, 60)), max_size=3)
ROSTERS = st.builds(
    Roster,
    rows=st.sets(st.integers(0, 60), min_size=4, max_size=24).map(
        lambda ns: {f"u{n:03}": spelt(NOW) for n in sorted(ns)}
    ),
    cap=st.integers(1, 5),
    totals=st.booleans(),
    off=st.sampled_from([0, 0, 0, 5, -3]),
    sorts=st.sampled_from([True, True, False]),
    filters=st.sampled_from([True, True, False]),
    script=st.dictionaries(st.integers(1, 6), OPS, max_size=4),
)
EXAMPLES = settings(
    max_examples=60,
    deadline=None,
    derandomize=True,
    phases=(Phase.explicit, Phase.generate, Phase.shrink),
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


@EXAMPLES
@given(ROSTERS, st.integers(-1, 4), st.booleans())
async def test_no_record_is_lost_and_none_invented(
    at: OneRosterSettings, roster: Roster, crash: int, lifo: bool
) -> None:
    STAGE.roster = roster
    roster.watch()
    try:
        pages = await pulled(at, {}, crash, lifo)
    except (Unavailable, ConfigError) as error:
        event(error.code)
        assert roster.script  # a roster that stands still is always read
        return
    got = read(pages)
    event(says(pages) or "all there")
    assert set(got) <= roster.ever
    assert roster.always <= {key for key, _ in got} or says(pages)
    if not roster.script and not roster.off:
        assert sorted(got) == sorted(roster.rows.items())
        assert says(pages) in ("", "told: pages-not-compared")


@EXAMPLES
@given(ROSTERS, st.lists(OPS, max_size=3), st.integers(-1, 3))
async def test_no_change_is_lost(at: OneRosterSettings, roster: Roster, before: list[list[Op]], crash: int) -> None:
    STAGE.roster = roster
    script, roster.script = roster.script, {}
    async with talking(at) as source:
        marks = await source.marks()
    held = dict(roster.rows)
    for op, where in (each for ops in before for each in ops):
        roster.play(op, where)
    roster.script = script
    roster.watch()
    changed = {key for key, stamp in roster.rows.items() if held.get(key) != stamp}
    try:
        pages = await pulled(at, {"users": marks["users"]}, crash, lifo=False)
    except (Unavailable, ConfigError) as error:
        event(error.code)
        assert script
        return
    got = read(pages)
    assert all(page.partial for page in pages)
    assert set(got) <= roster.ever
    assert changed & roster.always <= {key for key, _ in got} or says(pages)
