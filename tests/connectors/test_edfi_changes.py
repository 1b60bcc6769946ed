"""Pulls of what changed at an Ed-Fi server: what they ask for, what they tell, and that nothing is missed while the
server changes under them."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Container, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

import httpx
import msgspec
import pytest
from hypothesis import Phase, example, given, settings
from hypothesis import strategies as st

from connectors.edfi.client import EdfiSource, open_source
from connectors.edfi.resources import STANDARDS, resources
from connectors.edfi.server import EdfiSettings, auth
from connectors.edfi.tombstones import key_of
from connectors.edfi.twin import twin
from connectors.edfi.twin.ods import Ods
from connectors.edfi.twin.planted import Planted
from connectors.edfi.twin.release import Release
from gateway.connector import START, Advancing, Incremental, Notice, Page
from gateway.errors import Unavailable
from gateway.http import Http, MemoryTokens
from synthetic import build
from tests.e2e.processes import steer
from tests.serving import serve

DISTRICT = build(schools=1, students=10, seed=11)
State = dict[str, dict[str, Any]]
"""Collection -> key -> record, as it is published."""
CHANGES: Sequence[Mapping[str, Any]] = (
    {"without_students": 0.2},
    {"with_new_students": 3},
    {"moved": 0.3},
    {"begun_later": 0.3},
    {"with_other_names": 0.3},
    {"left_sections": 0.1},
    {"recoded": 0.1},
    {"with_other_numbers": 0.1},
    {"reset": True},
)
"""Inserts, updates, deletes, key changes, and what was deleted made anew."""


ALL = frozenset(one.name for standard in STANDARDS for one in resources(standard))
CHANGING = frozenset({"students", "contacts", "parents", "sections", "studentAssessments"}) | frozenset(
    f"{what}Associations"
    for what in ("studentSchool", "studentEducationOrganization", "studentSection", "staffSection")
)
"""The collections that CHANGES change; what is read of the others says nothing more."""


class Reader:
    """What the core does with an Ed-Fi server, run after run: which pages it takes, in which order they count."""

    def __init__(self, url: str, tokens: MemoryTokens | None = None, snapshot: str = "auto") -> None:
        self.url = url
        self.snapshot = snapshot
        self.tokens = tokens or MemoryTokens()
        self.state: State = {}
        self.marks: Mapping[str, str] = {}
        self.notices: list[Notice] = []
        self.partial: dict[str, bool] = {}
        self.before_each: Callable[[], None] = lambda: None
        self.renamed: dict[str, str] = {}
        self.rows = 0
        self.wanted: Container[str] = ALL

    @asynccontextmanager
    async def source(self) -> AsyncIterator[EdfiSource]:
        given = {"base_url": self.url, "key": "demo-key", "secret": "demo-secret", "snapshot": self.snapshot}
        wanted = EdfiSettings.model_validate({**given, "allow_private": True})
        async with Http(auth(wanted), tokens=self.tokens, allow_private=True) as http:
            yield await open_source(wanted, http)

    async def pull(self) -> None:
        self.notices, self.partial = [], {}
        async with self.source() as opened:
            assert isinstance(opened, Incremental) and isinstance(opened, Advancing)
            marks = await opened.marks()
            opened.since({name: mark for name, mark in self.marks.items() if name in marks})
            for resource in [one for one in opened.resources if one.name in self.wanted]:
                pages = [page async for page in self._pages(opened, resource.name)]
                assert not any(page.absent for page in pages)
                self.partial[resource.name] = any(page.partial for page in pages)
                found = self.state.get(resource.name, {}) if self.partial[resource.name] else {}
                for page in pages:
                    for key in page.gone:
                        found.pop(key, None)
                    for row in page.rows:
                        found[resource.key(msgspec.json.decode(row, type=resource.wire))] = plain(row)
                    self.notices += page.notices
                    self.renamed |= page.renamed
                    self.rows += len(page.rows)
                self.state[resource.name] = found
            self.marks = {**marks, **opened.reached()}

    async def _pages(self, opened: EdfiSource, name: str) -> AsyncIterator[Page]:
        resource = next(one for one in opened.resources if one.name == name)
        waiting, seen = [START], {START}
        while waiting:
            self.before_each()
            page = await opened.pull(resource, waiting.pop(0))
            waiting += [cursor for cursor in page.next if cursor not in seen]
            seen.update(page.next)
            yield page


def plain(row: Any) -> Any:
    """The record without what its server keeps books of."""

    def without_links(value: Any) -> Any:
        match value:
            case dict():
                return {name: without_links(part) for name, part in value.items() if name != "link"}
            case list():
                return [without_links(part) for part in value]
        return value

    record = without_links(msgspec.json.decode(row))
    return {name: value for name, value in record.items() if name not in ("id", "_etag", "_lastModifiedDate")}


async def whole(reader: Reader) -> State:
    """What a new connection reads from the same server."""
    other = Reader(reader.url, reader.tokens, reader.snapshot)
    other.wanted = reader.wanted
    await other.pull()
    return other.state


def asked(url: str) -> Counter[str]:
    """How often each list was asked for since the last look."""
    log = steer(url, "GET", "log")
    steer(url, "DELETE", "log")
    return Counter(entry["path"].rpartition("/ed-fi/")[2] for entry in log if "/ed-fi/" in entry["path"]) + Counter(
        entry["path"].rpartition("/")[2] for entry in log if "changeQueries" in entry["path"]
    )


@pytest.fixture
def options() -> dict[str, Any]:
    return {}


@pytest.fixture
def server(options: dict[str, Any]) -> Iterator[str]:
    with serve(twin(DISTRICT, **options)) as url:
        yield url


async def pulled_once(url: str) -> Reader:
    reader = Reader(url)
    await reader.pull()
    assert set(reader.partial.values()) == {False}
    steer(url, "DELETE", "log")
    return reader


# --- what is asked for ----------------------------------------------------------------------------------------


async def test_an_unchanged_server_is_asked_for_its_change_version_and_nothing_else(server: str) -> None:
    reader = await pulled_once(server)
    await reader.pull()
    assert asked(server) == {"availableChangeVersions": 1}
    assert set(reader.partial.values()) == {True}
    assert reader.state == await whole(reader)


async def test_where_something_changed_each_collection_is_asked_three_times(server: str) -> None:
    reader = await pulled_once(server)
    mark = int(reader.marks["students"])
    steer(server, "POST", "change", {"begun_later": 0.1})
    await reader.pull()
    window = f"minChangeVersion={mark + 1}&maxChangeVersion={reader.marks['students']}&"
    assert all(window in entry["query"] for entry in steer(server, "GET", "log") if "/ed-fi/" in entry["path"])
    assert asked(server) == {"availableChangeVersions": 1} | {
        name + below: 1 for name in reader.state for below in ("", "/deletes", "/keyChanges")
    }
    assert reader.state == await whole(reader)


@pytest.mark.parametrize(
    "options",
    [
        {"standard": standard, "page_limit": limit, "cursor": cursor}
        for standard, limit, cursor in (("4.0", 500, False), ("5.0", 500, False), ("5.0", 4, False), ("5.0", 4, True))
    ],
    ids=str,
)
async def test_what_changed_makes_of_the_old_what_a_whole_pull_gives(server: str) -> None:
    reader = await pulled_once(server)
    for change in (*CHANGES, {"without_students": 1.0}, {"reset": True}):
        before = {name: dict(found) for name, found in reader.state.items()}
        steer(server, "POST", "change", change)
        await reader.pull()
        # Where people have other numbers, and where a reset takes these back, all about people is read.
        assert set(reader.partial.values()) == {True} or {"with_other_numbers", "reset"} & set(change)
        assert reader.state == await whole(reader), change
        assert reader.state != before, change


@pytest.mark.parametrize("options", [{"page_limit": 7}, {"page_limit": 7, "cursor": False}], ids=str)
async def test_pages_are_as_long_as_the_servers_documents_let_them_be(server: str) -> None:
    reader = Reader(server)
    await reader.pull()
    log = [entry for entry in steer(server, "GET", "log") if "/ed-fi/" in entry["path"]]
    assert {entry["status"] for entry in log} == {200}  # no page was asked for that it refuses
    assert reader.rows > 7 and reader.state == await whole(reader)


# --- servers that cannot tell ---------------------------------------------------------------------------------


@pytest.mark.parametrize("options", [{"changes": "not granted"}, {"changes": "not granted", "standard": "4.0"}])
async def test_where_the_key_may_not_read_what_was_deleted_everything_is_pulled(server: str) -> None:
    reader = await pulled_once(server)
    steer(server, "POST", "change", {"without_students": 0.2})
    await reader.pull()
    assert set(reader.partial.values()) == {False}
    assert {(notice.code, notice.field) for notice in reader.notices} == {("changes-not-told", "keyChanges")}
    assert {notice.example for notice in reader.notices} == set(reader.state)
    assert reader.state == await whole(reader)


@pytest.mark.parametrize("options", [{"changes": "off"}])
async def test_where_change_queries_are_off_there_is_no_mark(server: str) -> None:
    reader = await pulled_once(server)
    assert reader.marks == {}
    async with reader.source() as opened:
        said = {finding.text: finding.ok for finding in await opened.check()}
    assert said["Change queries are not offered here: each pull reads everything."]
    await reader.pull()
    assert set(reader.partial.values()) == {False}


async def test_a_server_that_was_set_back_is_read_wholly(server: str) -> None:
    reader = await pulled_once(server)
    reader.marks = {name: str(int(mark) + 1) for name, mark in reader.marks.items()}
    await reader.pull()
    assert set(reader.partial.values()) == {False}
    assert {notice.code for notice in reader.notices} == {"change-versions-apart"}


@pytest.mark.parametrize("options", [{"page_limit": 4}])
async def test_a_page_that_is_empty_although_nothing_was_written_ends_the_pull(server: str) -> None:
    reader = await pulled_once(server)
    steer(server, "POST", "change", {"moved": 1.0})
    fault = {"kind": "empty", "path": "studentSectionAssociations?", "skip": 1, "times": 9}
    steer(server, "PUT", "faults", [fault])
    with pytest.raises(Unavailable, match="edfi-changes-missing"):
        await reader.pull()
    steer(server, "DELETE", "faults")
    await reader.pull()
    assert reader.state == await whole(reader)


# --- while the server changes ---------------------------------------------------------------------------------


@pytest.mark.parametrize("options", [{"page_limit": 4}])
async def test_rows_that_leave_the_window_push_none_out_of_sight(server: str) -> None:
    """Each time a page is read, some of the rows before it are deleted, and those behind them move forward."""
    reader = await pulled_once(server)
    steer(server, "POST", "change", {"moved": 1.0})
    pages = 0

    def changing() -> None:
        nonlocal pages
        if asked(server)["studentSectionAssociations"]:
            pages += 1
            steer(server, "POST", "change", {"without_students": 0.2})

    reader.before_each = changing
    await reader.pull()
    assert pages > 3
    reader.before_each = lambda: None
    await reader.pull()
    assert reader.state == await whole(reader)


async def follow(
    url: str,
    script: Sequence[tuple[int, Mapping[str, Any]]],
    *,
    snapshots: bool = False,
    tokens: MemoryTokens | None = None,
) -> int:
    """Pull on and on while the server changes: each change comes so many pages after the one before it, the first in
    the middle of a pull of all there is. After that one quiet pull sees all of it. Returns how many pulls there were.
    With `snapshots`, the host makes one before each pull, and it alone is read.
    """
    reader, pulls = Reader(url, tokens, "always" if snapshots else "never"), 1
    reader.wanted = CHANGING
    left = [list(step) for step in script]

    def changing() -> None:
        while left and not left[0][0]:
            steer(url, "POST", "change", left.pop(0)[1])
        if left:
            left[0][0] -= 1

    reader.before_each = changing
    while left or pulls == 1:
        made(url, snapshots)
        await reader.pull()
        pulls += 1
    made(url, snapshots)
    await reader.pull()
    assert reader.state == await whole(reader)
    return pulls


def made(url: str, snapshots: bool) -> None:
    if snapshots:
        httpx.post(f"{url}/_host/snapshot").raise_for_status()


async def whole_once(url: str) -> int:
    """How many rows a whole pull of a quiet server takes, each as often as it came."""
    reader = Reader(url)
    await reader.pull()
    return reader.rows


PAGINGS: Mapping[str, Mapping[str, Any]] = {
    "cursor": {"page_limit": 4},
    "windows": {"page_limit": 4, "cursor": False},
    "windows of an older server": {"page_limit": 20, "standard": "4.0"},
    "offset alone": {"page_limit": 20, "cursor": False, "changes": "off"},
    "snapshots by their name": {"page_limit": 20, "standard": "4.0", "snapshots": True},
    "the snapshot, by token": {"page_limit": 20, "snapshots": True},
}


@settings(max_examples=12, deadline=None, phases=(Phase.explicit, Phase.reuse, Phase.generate))
@given(
    st.lists(st.tuples(st.integers(0, 40), st.sampled_from(CHANGES)), min_size=1, max_size=8),
    st.sampled_from(sorted(PAGINGS)),
)
@example([(38, {"with_other_numbers": 0.1}), (38, {"reset": True}), (36, {"recoded": 0.1})], "cursor")
@example([(25, {"recoded": 0.1}), (31, {"reset": True}), (34, {"recoded": 0.1})], "cursor")
def test_nothing_is_missed_while_the_server_changes(script: list[tuple[int, Mapping[str, Any]]], paging: str) -> None:
    with serve(twin(DISTRICT, **PAGINGS[paging])) as url:
        asyncio.run(follow(url, script, snapshots="snapshots" in PAGINGS[paging]))


@pytest.mark.parametrize("options", [PAGINGS["windows"]], ids=str)
async def test_what_changes_while_all_is_read_is_not_taken_for_gone(server: str) -> None:
    """Rows that were updated leave the window; what is read of them afterwards belongs to the same pull."""
    reader = Reader(server)
    pages = 0

    def changing() -> None:
        nonlocal pages
        pages += 1
        if not pages % 2:
            steer(server, "POST", "change", {"with_other_names": 0.5})

    reader.before_each = changing
    await reader.pull()
    assert set(reader.partial.values()) == {False}
    assert set(reader.state["students"]) == {f"student/{one.number}" for one in DISTRICT.students}


# --- keys that change -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("options", [PAGINGS["windows"]], ids=str)
async def test_a_key_that_changed_is_told_with_the_one_it_was(server: str) -> None:
    reader = await pulled_once(server)
    before = set(reader.state["sections"])
    for _ in range(2):  # two changes of one key are told as one
        steer(server, "POST", "change", {"recoded": 1.0})
    await reader.pull()
    now = set(reader.state["sections"])
    assert not before & now and len(before) == len(now)
    assert {old: new for old, new in reader.renamed.items() if old in before} == dict(
        zip(sorted(before), sorted(now), strict=True)
    )
    assert reader.notices == []


@pytest.mark.parametrize(
    ("options", "change"),
    [
        (PAGINGS["cursor"], {"recoded": 1.0}),
        (PAGINGS["windows"], {"recoded": 1.0}),
        ({}, {"with_other_numbers": 1.0}),  # all there is comes on one page
    ],
    ids=str,
)
async def test_a_key_that_was_read_between_two_changes_of_it_goes_with_the_second(
    server: str, change: Mapping[str, Any]
) -> None:
    """# Ed-Fi: both in one window are told as one, from the first key to the last."""
    reader = Reader(server)

    def changing() -> None:
        if asked(server)["schools"]:  # the whole pull has begun, and neither sections nor students came yet
            steer(server, "POST", "change", change)

    reader.before_each = changing
    await reader.pull()
    reader.before_each = lambda: None
    between = {name: set(found) for name, found in reader.state.items()}
    steer(server, "POST", "change", change)
    await reader.pull()
    assert {name: set(found) for name, found in reader.state.items()} != between and True in reader.partial.values()
    assert reader.state == await whole(reader)


async def test_what_is_about_people_whose_keys_changed_is_read_wholly(server: str) -> None:
    """A server need not count it as changed."""
    reader = await pulled_once(server)
    steer(server, "POST", "change", {"with_other_numbers": 0.2})
    await reader.pull()
    names = [one.name for one in resources(5) if not one.group]
    after = set(names[names.index("students") + 1 :])
    assert {name for name, partial in reader.partial.items() if not partial} == after
    assert {(notice.code, notice.field) for notice in reader.notices} == {("people-rekeyed", "students")}
    assert reader.state == await whole(reader)


@pytest.mark.parametrize("options", [PAGINGS["cursor"]], ids=str)
async def test_so_it_is_where_keys_of_people_moved_while_all_of_them_were_read(server: str) -> None:
    reader = Reader(server)

    def changing() -> None:
        if asked(server)["students"] == 1:
            steer(server, "POST", "change", {"with_other_numbers": 0.5})

    reader.before_each = changing
    await reader.pull()
    reader.before_each = lambda: None
    steer(server, "POST", "change", {"with_other_numbers": 0.2})
    await reader.pull()
    assert ("keys-moved", "students") in {(notice.code, notice.example) for notice in reader.notices}
    assert ("people-rekeyed", "students") in {(notice.code, notice.field) for notice in reader.notices}
    assert reader.state == await whole(reader)


@pytest.mark.parametrize("options", [PAGINGS["cursor"], PAGINGS["windows"]], ids=str)
async def test_all_keys_that_changed_are_told_where_everything_is_read_too(server: str) -> None:
    """They are more than come at once, and none of them is a loss."""
    reader = await pulled_once(server)
    before = set(reader.state["studentSectionAssociations"])
    steer(server, "POST", "change", {"recoded": 0.5})
    steer(server, "POST", "change", {"with_other_numbers": 0.1})
    await reader.pull()
    assert not reader.partial["studentSectionAssociations"]
    lost = before - set(reader.state["studentSectionAssociations"])
    assert len(lost) > 4 and lost <= set(reader.renamed)
    assert reader.state == await whole(reader)


# --- keys -----------------------------------------------------------------------------------------------------


NOT_PLAYED = {"studentSection504ProgramAssociations", "studentProgramAssociations"}
"""What the twin has in no standard of these, and what it has only when somebody has written it."""


@pytest.mark.parametrize("standard", [4, 5])
def test_a_tombstone_has_the_key_that_the_record_had(standard: int) -> None:
    release = Release(f"{standard}.0")
    ods = Ods(DISTRICT, release, namespace="uri://x.example.org", planted=Planted(), programs=True, needs=True)
    for resource in resources(standard):
        if resource.name in NOT_PLAYED:
            continue
        collection = ods.collection(resource.name)
        entries = list(collection.entries())
        keys = [
            resource.key(msgspec.convert(collection.row(one, dated=False), resource.wire, strict=False))
            for one in entries
        ]
        for one in entries:
            collection.remove(one.key)
        told = [row["keyValues"] for row in collection.deleted(0, None)]
        assert [key_of(resource.name, standard, values) for values in told] == keys, resource.name
        assert keys or resource.group, resource.name  # in a district so small not everything happens
