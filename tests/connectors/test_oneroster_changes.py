"""What a OneRoster service says changed: asked for by filter, sieved here where it is ignored, whole where refused."""

from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from functools import cache
from typing import Any

import httpx
import msgspec
import pytest
from starlette.types import ASGIApp

from connectors.oneroster.client import RestSource
from connectors.oneroster.models import is_deleted
from connectors.oneroster.twin import twin
from gateway.connector import START, Incremental, Page
from synthetic import District, build
from tests.connectors import oneroster
from tests.connectors.oneroster import RESOURCES, USERS, every_page, keys, talking

CHANGE = {"without_students": 0.1, "with_new_students": 7}


def opened(app: ASGIApp, **given: Any) -> AbstractAsyncContextManager[RestSource]:
    """A source that is to ask for changes."""
    return oneroster.opened(app, **{"changes": "yes", **given})


@cache
def district() -> District:
    return build(students=60)


def door(source: RestSource, path: str, body: Any = None, method: str = "POST") -> Any:
    """The twin's side door."""
    answer = httpx.request(method, f"{source.settings.base_url}/_twin/{path}", json=body)
    answer.raise_for_status()
    return answer.json() if answer.content else None


async def everything(source: RestSource) -> dict[str, dict[str, Page]]:
    return {resource.name: await every_page(source, resource) for resource in source.resources}


def standing(name: str, pages: Mapping[str, dict[str, Page]]) -> dict[str, bytes]:
    """What a collection holds: id -> row, without tombstones."""
    wire = RESOURCES[name].wire
    rows = [(msgspec.json.decode(row, type=wire), bytes(row)) for page in pages[name].values() for row in page.rows]
    return {record.sourcedId: row for record, row in rows if not is_deleted(record)}


def gone(name: str, pages: Mapping[str, dict[str, Page]]) -> set[str]:
    wire = RESOURCES[name].wire
    rows = [msgspec.json.decode(row, type=wire) for page in pages[name].values() for row in page.rows]
    return {record.sourcedId for record in rows if is_deleted(record)}


def told(pages: dict[str, Page]) -> set[str]:
    return {notice.code for page in pages.values() for notice in page.notices}


@pytest.mark.parametrize("switches", [{}, {"totals": False}, {"sort": "refused"}, {"versions": ("1.1",)}])
async def test_what_changed_since_the_marks_makes_the_same_as_all_of_it(switches: dict[str, Any]) -> None:
    old = {"version": "1.1"} if "versions" in switches else {}
    async with opened(twin(district(), tombstones=True, page_cap=40, **switches), **old) as source:
        assert isinstance(source, Incremental)
        marks = await source.marks()
        before = await everything(source)
        door(source, "change", CHANGE)
        async with talking(source.settings) as later:
            later.since(marks)
            changes = await everything(later)
        async with talking(source.settings) as fresh:
            after = await everything(fresh)
    assert set(marks) == {resource.name for resource in source.resources}
    for name, pages in changes.items():
        if pages[START].absent:
            continue
        assert all(page.partial for page in pages.values())
        merged = standing(name, before) | standing(name, changes)
        assert {k: row for k, row in merged.items() if k not in gone(name, changes)} == standing(name, after)
    assert 0 < len(keys(changes["users"])) < len(keys(after["users"])) / 2
    assert gone("users", changes)
    assert keys(changes["courses"]) == []


async def test_where_nothing_changed_each_collection_is_asked_for_once() -> None:
    async with opened(twin(district(), tombstones=True), version="1.2") as source:
        source.since(await source.marks())
        door(source, "log", method="DELETE")
        pulled = await everything(source)
        asked = [entry["path"] for entry in door(source, "log", method="GET") if "oneroster" in entry["path"]]
    assert all(keys(pages) == [] for pages in pulled.values())
    assert len(asked) == len(set(asked)) == len(source.resources)


@pytest.mark.parametrize("totals", [True, False])
async def test_a_filter_that_is_ignored_is_applied_here(totals: bool) -> None:
    async with opened(twin(district(), tombstones=True, page_cap=40, filter="ignored", totals=totals)) as source:
        source.since(await source.marks())
        door(source, "change", CHANGE)
        pages = await every_page(source)
        async with talking(source.settings) as fresh:
            count = len(keys(await every_page(fresh)))
    assert 0 < len(keys(pages)) < count / 2
    assert all(page.partial and page.total is None for page in pages.values())
    assert told(pages) == {"filter-ignored"}


async def test_where_the_filter_is_refused_all_of_it_is_pulled() -> None:
    async with opened(twin(district(), page_cap=40, filter="refused")) as source:
        source.since(await source.marks())
        pages = await every_page(source)
        async with talking(source.settings) as fresh:
            assert sorted(keys(pages)) == sorted(keys(await every_page(fresh)))
    assert not any(page.partial for page in pages.values())
    assert told(pages) == {"filter-refused"}


async def test_changes_are_not_asked_for_where_that_is_off() -> None:
    async with opened(twin(district()), changes="no") as source:
        assert await source.marks() == {}
        source.since({"users": "2026-11-01T00:00:00.000Z"})
        assert not (await source.pull(USERS, START)).partial


@pytest.mark.parametrize(
    "switches",
    [{"filter": "by-day"}, {"stamps_behind": 36_000.0}, {"stamps_behind": 36_000.0, "filter": "by-day"}],
    ids=["compares days", "local time or a nightly copy", "both"],
)
async def test_a_coarse_or_late_time_of_change_hides_nothing(switches: dict[str, Any]) -> None:
    # A clock that is a little ahead is one that is told: the test's server says no time by itself.
    async with opened(twin(district(), tombstones=True, clock_ahead=0.001, **switches)) as source:
        marks = await source.marks()
        before = keys(await every_page(source))
        door(source, "change", CHANGE)
        async with talking(source.settings) as fresh:
            new = set(keys(await every_page(fresh))) - set(before)
        source.since(marks)
        assert new and new <= set(keys(await every_page(source)))


async def test_a_filter_that_finds_nothing_is_not_believed() -> None:
    async with opened(twin(district(), page_cap=40, filter="finds-nothing")) as source:
        source.since(await source.marks())
        pages = await every_page(source)
        async with talking(source.settings) as fresh:
            assert sorted(keys(pages)) == sorted(keys(await every_page(fresh)))
    assert not any(page.partial for page in pages.values())
    assert told(pages) == {"filter-finds-nothing"}


async def test_a_count_of_everything_is_not_taken_for_that_of_the_changes() -> None:
    async with opened(twin(district(), tombstones=True, page_cap=40, counts="everything")) as source:
        marks = await source.marks()
        door(source, "change", CHANGE)
        source.since(marks)
        pages = await every_page(source)
        async with talking(source.settings) as other:
            other.since(marks)
            for place in list(pages)[1:]:
                page = await other.pull(USERS, place)
                assert page.partial and page.total is None
    assert 0 < len(keys(pages)) < 40
    assert all(page.partial and page.total is None for page in pages.values())
    assert told(pages) == {"total-of-everything"}


async def test_records_that_do_not_say_when_they_changed_are_told_in_a_whole_pull() -> None:
    async with opened(twin(district(), page_cap=40, undated=5)) as source:
        pages = await every_page(source)
        undated = [row for page in pages.values() for row in page.rows if b"dateLastModified" not in bytes(row)]
        notices = [one for page in pages.values() for one in page.notices]
        assert sum(one.count for one in notices) == len(undated) > 0
        assert {one.code for one in notices} == {"change-undated"}
        source.since(await source.marks())
        assert told(await every_page(source)) == set()


@pytest.mark.parametrize("ahead", [-7200.0, 7200.0])
async def test_the_mark_is_by_the_clock_of_the_server(ahead: float) -> None:
    """However wrong it is, what changes after the mark carries a later time, and what was long ago an earlier one."""
    async with opened(twin(district(), tombstones=True, clock_ahead=ahead)) as source:
        source.since(await source.marks())
        door(source, "change", CHANGE)
        count = len(keys(await every_page(source)))
        assert 0 < count < 40


@pytest.mark.parametrize("cursor", ["+", "~"])
async def test_a_worker_that_takes_over_goes_on_as_it_was_begun(cursor: str) -> None:
    """Whether a filter is honoured was seen on the first page; it stands in the cursors."""
    switches: dict[str, Any] = {"filter": "ignored"} if cursor == "~" else {}
    async with opened(twin(district(), page_cap=4, **switches)) as source:
        marks = await source.marks()
        source.since(marks)
        door(source, "change", CHANGE)
        pages = await every_page(source)
        for place in list(pages)[1:]:
            assert cursor in place
            async with talking(source.settings) as other:
                other.since(marks)
                page = await other.pull(USERS, place)
            assert [bytes(row) for row in page.rows] == [bytes(row) for row in pages[place].rows]
            assert page.partial


@pytest.mark.parametrize(
    ("switches", "proposed"),
    [
        ({"tombstones": True}, "yes"),
        ({"tombstones": False}, None),
        ({"tombstones": True, "filter": "ignored"}, "no"),
        ({"tombstones": True, "refresh_times": True}, "no"),
    ],
)
async def test_asking_for_changes_is_proposed_only_where_deletions_are_seen(
    switches: dict[str, Any], proposed: str | None
) -> None:
    async with oneroster.opened(twin(district(), **switches)) as source:
        door(source, "change", {"without_students": 0.3})
        found = {name: value for one in await source.check() for name, value in one.propose.items()}
    assert found.get("changes") == proposed
