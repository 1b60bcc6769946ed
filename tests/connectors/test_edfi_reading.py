"""Whole pulls of an Ed-Fi server: in which order pages come, what a snapshot changes, and how much is asked for."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from connectors.edfi.client import EdfiSource
from gateway.connector import START
from gateway.errors import ConfigError, PlanbridgeError, Unavailable
from tests.connectors.test_edfi import Edge, named, pulled, source

OFFERED = "discovery-7.1.json"
YEAR = "discovery-6.1-year.json"
KEYS = ("/deletes", "/keyChanges")


@dataclass
class Table:
    """A collection with change versions, paged by offset: rows (number, version), in the order of their numbers. What
    `meanwhile` says happens before the request of that number (from 1), once."""

    rows: dict[int, int]
    limit: int = 4
    deleted: dict[int, int] = field(default_factory=dict)
    meanwhile: dict[int, tuple[str, int]] = field(default_factory=dict)
    granted: bool = True
    requests: list[str] = field(default_factory=list)
    sent: int = 0

    @property
    def newest(self) -> int:
        return max((*self.rows.values(), *self.deleted.values()), default=0)

    def touch(self, number: int) -> None:
        self.rows[number] = self.newest + 1

    def delete(self, number: int) -> None:
        version = self.newest + 1
        del self.rows[number]
        self.deleted[number] = version

    def __call__(self, request: Request) -> Response:
        query = request.query_params
        below = next((name for name in KEYS if request.url.path.endswith(name)), "")
        self.requests.append(f"{below}?{request.url.query}")
        if happening := self.meanwhile.pop(len(self.requests), None):
            getattr(self, happening[0])(happening[1])
        low, high = int(query.get("minChangeVersion", 0)), int(query.get("maxChangeVersion", 10**9))
        if below and not self.granted:
            return JSONResponse({"message": "No."}, 403)
        versions = {"": self.rows, "/deletes": self.deleted, "/keyChanges": {}}[below]
        found = [number for number, version in sorted(versions.items()) if low <= version <= high]
        at, limit = int(query.get("offset", 0)), int(query["limit"])
        if limit > self.limit:
            text = f"Limit must be omitted or set to a value between 1 and {self.limit}."
            return JSONResponse({"message": text}, 400)
        page = found[at : at + limit]
        headers = {"Total-Count": str(len(found))} if query.get("totalCount") == "true" else {}
        if below:
            return JSONResponse([{"keyValues": {"studentUniqueId": f"{n:03}"}} for n in page], headers=headers)
        self.sent += len(page)
        return JSONResponse([{"studentUniqueId": f"{number:03}"} for number in page], headers=headers)


@dataclass
class Versioned(Edge):
    """An Edge in front of a Table."""

    table: Table = field(default_factory=lambda: Table({}))

    def _response(self, request: Request) -> Response:
        self.newest = self.table.newest
        return super()._response(request)


def loaded(count: int) -> dict[int, int]:
    return {number: number + 1 for number in range(count)}


async def everything(table: Table) -> tuple[set[str], set[str], list[int | None]]:
    """Keys that came, keys that are gone, totals."""
    async with source(Versioned(table, OFFERED, table=table)) as opened:
        await opened.marks()
        table.requests.clear()
        opened._limit = table.limit  # learned before
        rows, pages = await pulled(opened, "students")
    assert not any(page.partial for page in pages)
    gone = {key.removeprefix("student/") for page in pages for key in page.gone}
    return {row["studentUniqueId"] for row in rows}, gone, [page.total for page in pages if page.total is not None]


# --- windows --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [0, 1, 4, 5, 8, 13, 80, 119, 400])
async def test_every_row_comes_once_by_windows_and_costs_no_request_more_than_it_must(count: int) -> None:
    table = Table(loaded(count))
    came, gone, totals = await everything(table)
    assert (len(came), gone, totals) == (count, set(), [count])
    pages = max(1, -(-count // 4))
    if pages <= 30:  # one chain: its first page was not read twice
        assert table.sent == count
        assert len(table.requests) == pages + (count > 4 and not count % 4)  # a full last page may not be the last
    else:  # the window was parted after its first page
        assert table.sent == count + 4
        assert len(table.requests) <= pages + 1 + -(-pages // 20)


async def test_pages_are_read_from_the_last_to_the_first() -> None:
    table = Table(loaded(13))
    await everything(table)
    offsets = [dict(part.split("=") for part in asked[1:].split("&"))["offset"] for asked in table.requests]
    assert offsets == ["0", "12", "8", "4"]
    assert all("minChangeVersion=0&maxChangeVersion=13" in asked for asked in table.requests[1:])


@pytest.mark.parametrize("before", range(2, 5))
@pytest.mark.parametrize("happens", ["touch", "delete"])
@pytest.mark.parametrize("number", [0, 3, 4, 9, 12])
async def test_what_moves_while_pages_are_read_comes_all_the_same(before: int, happens: str, number: int) -> None:
    table = Table(loaded(13), meanwhile={before: (happens, number)})
    came, gone, [total] = await everything(table)
    assert {f"{one:03}" for one in table.rows} <= came
    assert len(came | gone) >= total  # nothing that was counted is missed, so the run does not wait for a person
    assert gone == ({f"{number:03}"} if happens == "delete" else set())


async def test_what_was_written_between_the_mark_and_the_first_page_comes() -> None:
    table = Table(loaded(13), meanwhile={1: ("touch", 5)})
    came, _, _ = await everything(table)
    assert len(came) == 13


async def test_a_server_that_is_never_quiet_ends_all_the_same() -> None:
    table = Table(loaded(13), meanwhile={n: ("touch", n % 13) for n in range(1, 200)})
    came, _, _ = await everything(table)
    assert len(came) == 13 and len(table.requests) < 40


async def test_where_the_key_may_not_read_deletions_all_rows_come_by_windows_too() -> None:
    table = Table(loaded(13), granted=False, meanwhile={2: ("touch", 0), 3: ("delete", 12)})
    came, gone, _ = await everything(table)
    assert {f"{one:03}" for one in table.rows} <= came and not gone


async def test_an_attempt_that_carries_on_reads_what_was_written_meanwhile() -> None:
    """It does not know which chains are open."""
    table = Table(loaded(13))
    edge = Versioned(table, OFFERED, table=table)
    async with source(edge) as opened:
        opened._limit = 4
        first = await opened.pull(named(opened, "students"), START)
    table.touch(0)
    async with source(edge) as opened:
        cursors, came = list(first.next), [*first.rows]
        while cursors:
            page = await opened.pull(named(opened, "students"), cursors.pop(0))
            cursors += page.next
            came += page.rows
        # Nor how far the pages came that another attempt read: the next pull asks from the mark on.
        assert opened.reached() == {}
    assert len(set(map(bytes, came))) == 13
    assert "minChangeVersion=14&maxChangeVersion=14" in table.requests[-1]


# --- snapshots ------------------------------------------------------------------------------------------------


@dataclass
class Frozen(Edge):
    """A server with snapshots as its generation has them; `made` says how many hours ago each was made."""

    made: Mapping[str, float] = field(default_factory=dict)
    gone: bool = False
    headers: list[Mapping[str, str]] = field(default_factory=list)
    stands: Sequence[int] = (7, 9)
    """The change version of the snapshot, and of the server itself."""

    def _response(self, request: Request) -> Response:
        path = request.url.path
        if path.endswith("/snapshots"):
            now = datetime.now(UTC)
            return JSONResponse(
                [
                    {
                        "id": name * 8,
                        "snapshotIdentifier": name,
                        "snapshotDateTime": (now - timedelta(hours=hours)).isoformat(),
                    }
                    for name, hours in self.made.items()
                ]
            )
        if "/ed-fi/" in path or path.endswith("/availableChangeVersions"):
            self.headers.append(request.headers)
            frozen = request.headers.get("use-snapshot") or request.headers.get("snapshot-identifier")
            if frozen and (self.gone or not self.made):
                return JSONResponse({"message": "Gone."}, 410 if "snapshot-identifier" in request.headers else 404)
            self.newest = self.stands[0 if frozen else 1]
        return super()._response(request)

    def asked_as(self) -> set[str]:
        """How the snapshot was named in the requests so far; empty where it was not."""
        names = ("use-snapshot", "snapshot-identifier")
        found = {next((f"{n}: {h[n]}" for n in names if n in h), "") for h in self.headers}
        self.headers.clear()
        return found


async def read(edge: Frozen, **more: Any) -> EdfiSource:
    async with source(edge, **more) as opened:
        await opened.marks()
        await pulled(opened, "students")
        return opened


@pytest.mark.parametrize(
    ("sample", "snapshot", "made", "expected"),
    [
        (OFFERED, "always", {"a": 300.0}, "use-snapshot: true"),
        (OFFERED, "auto", {"a": 1.0}, ""),  # nobody says how old it is
        (OFFERED, "never", {"a": 1.0}, ""),
        (YEAR, "auto", {"a": 30.0, "b": 3.0, "c": 5.0}, "snapshot-identifier: b"),
        (YEAR, "auto", {"a": 30.0}, ""),
        (YEAR, "auto", {}, ""),
        (YEAR, "always", {"a": 30.0}, "snapshot-identifier: a"),
        (YEAR, "never", {"b": 3.0}, ""),
    ],
)
async def test_every_request_names_the_snapshot_from_the_first_on(
    sample: str, snapshot: str, made: Mapping[str, float], expected: str
) -> None:
    edge = Frozen(sample=sample, made=made)
    await read(edge, snapshot=snapshot)
    assert edge.asked_as() == {expected}


@pytest.mark.parametrize("sample", [OFFERED, YEAR])
async def test_a_snapshot_that_goes_away_ends_the_pull_and_is_no_missing_collection(sample: str) -> None:
    edge = Frozen(sample=sample, made={"a": 1.0})
    async with source(edge, snapshot="always") as opened:
        await opened.marks()
        edge.gone = True
        with pytest.raises(Unavailable, match="edfi-snapshot-gone"):
            await opened.pull(named(opened, "students"), START)


async def test_a_collection_that_a_snapshot_does_not_have_is_absent() -> None:
    edge = Frozen(lambda request: JSONResponse({}, 404), made={"a": 1.0})
    async with source(edge, snapshot="always") as opened:
        page = await opened.pull(named(opened, "students"), START)
    assert page.absent


@pytest.mark.parametrize(
    ("sample", "path", "error"),
    [(OFFERED, "", Unavailable), (YEAR, "", Unavailable), ("discovery-8.json", "/api", ConfigError)],
)
async def test_where_only_a_snapshot_will_do_its_absence_is_an_error(
    sample: str, path: str, error: type[PlanbridgeError]
) -> None:
    with pytest.raises(error):
        async with source(Frozen(sample=sample), path, snapshot="always") as opened:
            await opened.marks()


async def test_a_snapshot_with_nothing_new_is_left_for_the_server_itself() -> None:
    edge = Frozen(sample=YEAR, made={"a": 1.0})
    async with source(edge) as opened:
        marks = await opened.marks()
        assert set(marks.values()) == {"7"} and edge.asked_as() == {"snapshot-identifier: a"}
        opened.since(marks)
        await opened.pull(named(opened, "students"), START)
    assert edge.asked_as() == {""}
    assert "9" in {query.get("maxChangeVersion") for query in edge.queries}
