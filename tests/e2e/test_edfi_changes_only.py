"""Nights of an Ed-Fi connection: what they ask for, what they write, and what they make of deletions and new keys."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import httpx
import pytest
from starlette.types import ASGIApp, Receive, Scope, Send

from connectors.edfi.twin import twin
from gateway import guard
from gateway.guard import CollectionCount, Guards
from synthetic import build
from tests.e2e.office import Office
from tests.e2e.processes import steer
from tests.serving import serve

DISTRICT = build(students=60)


@pytest.fixture
def switches() -> dict[str, Any]:
    return {}


@pytest.fixture
def sis(office: Office, switches: dict[str, Any]) -> Iterator[str]:
    """A source that was pulled once, wholly."""
    with serve(twin(DISTRICT, **switches)) as url:
        office.connect("edfi", url)
        assert office.pull("edfi")["state"] == "published"
        steer(url, "DELETE", "log")
        yield url


def partial(run: dict[str, Any]) -> set[bool]:
    """Whether its collections were asked for what changed."""
    return {count["partial"] for count in run["counts"]["collections"]}


def gone(run: dict[str, Any]) -> int:
    return sum(count["gone"] for count in run["counts"]["collections"])


def asked(sis: str) -> Counter[str]:
    """How often each list was asked for since the last look."""
    log = steer(sis, "GET", "log")
    steer(sis, "DELETE", "log")
    paths = [entry["path"] for entry in log if "oauth" not in entry["path"] and entry["path"] != "/"]
    return Counter(path.rpartition("/ed-fi/")[2] if "/ed-fi/" in path else path.rpartition("/")[2] for path in paths)


def same_as_whole(office: Office) -> None:
    """What is published is what a whole pull gives: it finds nothing to do."""
    before = office.published("edfi")
    whole = office.ask("pull", "edfi", "--whole")
    assert partial(whole) == {False}
    assert whole["counts"]["published"] == {}
    assert office.published("edfi") == before


def test_an_unchanged_server_is_asked_for_its_change_version_and_nothing_is_written(office: Office, sis: str) -> None:
    before = office.written()
    run = office.pull("edfi")
    assert asked(sis) == {"availableChangeVersions": 1}
    assert partial(run) == {True}
    assert office.written() == before


def test_a_change_costs_three_requests_a_collection(office: Office, sis: str) -> None:
    steer(sis, "POST", "change", {"moved": 0.02})
    run = office.pull("edfi")
    names = [count["collection"] for count in run["counts"]["collections"]]
    assert asked(sis) == {"availableChangeVersions": 1} | {
        name + below: 1 for name in names for below in ("", "/deletes", "/keyChanges")
    }


def test_changes_deletions_arrivals_and_new_keys_come_as_in_a_whole_pull(office: Office, sis: str) -> None:
    for change in ({"without_students": 0.05}, {"with_new_students": 7}, {"moved": 0.1}, {"begun_later": 0.05}):
        steer(sis, "POST", "change", change)
    run = office.pull("edfi")
    assert run["state"] == "published" and partial(run) == {True}
    assert gone(run) > 0
    same_as_whole(office)


@pytest.mark.parametrize("switches", [{"suppressed": False}])
def test_what_was_deleted_and_made_anew_stays(office: Office, sis: str) -> None:
    """Also where the server tells of both."""
    before = office.published("edfi")
    steer(sis, "POST", "change", {"without_students": 0.05})
    steer(sis, "POST", "change", {"reset": True})
    run = office.pull("edfi")
    assert partial(run) == {True}
    assert gone(run) == 0 and sum(count["inactive"] for count in run["counts"]["collections"]) == 0
    assert office.published("edfi") == before


def test_a_row_of_a_window_that_came_twice_is_no_sign_that_deleted_ones_did_not_come() -> None:
    """Of a whole pull it is."""
    count = CollectionCount(
        "students", received=9, distinct=12, known=100, gone=3, inactive=3, repeated=2, partial=True
    )
    assert guard.holds([count], Guards()) == []
    reasons = guard.holds([replace(count, partial=False)], Guards())
    assert [reason.code for reason in reasons] == ["unstable-pages"]


@pytest.mark.parametrize("switches", [{"changes": "not granted"}])
def test_where_the_key_may_not_read_what_was_deleted_each_pull_is_whole_and_says_why(office: Office, sis: str) -> None:
    steer(sis, "POST", "change", {"without_students": 0.05})
    run = office.pull("edfi")
    assert partial(run) == {False} and gone(run) > 0
    assert {one["code"] for one in run["leniencies"]} == {"changes-not-told"}
    same_as_whole(office)


@pytest.mark.parametrize("switches", [{"changes": "off"}])
def test_where_change_queries_are_off_each_pull_is_whole(office: Office, sis: str) -> None:
    steer(sis, "POST", "change", {"without_students": 0.05})
    run = office.pull("edfi")
    assert partial(run) == {False} and gone(run) > 0


def test_what_has_another_key_stays_the_same_in_the_district(office: Office, sis: str) -> None:
    """A class is still the one its students are in, a student the one the plan is about."""

    def ids() -> dict[str, set[str]]:
        found: dict[str, set[str]] = {}
        for entity in office.entities():
            found.setdefault(entity.kind, set()).add(entity.id)
        return found

    before, keys = ids(), {entity.id: entity.keys["edfi"] for entity in office.entities()}
    steer(sis, "POST", "change", {"recoded": 0.1})
    steer(sis, "POST", "change", {"with_other_numbers": 0.02})
    run = office.pull("edfi")
    assert run["state"] == "published"
    assert ids() == before
    renamed = {entity.kind for entity in office.entities() if entity.keys["edfi"] != keys[entity.id]}
    assert {"class", "enrollment", "person"} <= renamed
    assert set(run["counts"]["published"]) >= {"class"} and all(
        not moved.get("added") and not moved.get("removed") for moved in run["counts"]["published"].values()
    )
    same_as_whole(office)


class Meanwhile:
    """In front of a twin: before every so many requests for records, one of the changes happens."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._side_door = httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://twin")
        self._requests = 0
        self.script: list[tuple[int, dict[str, Any]]] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and "/ed-fi/" in scope["path"] and self.script:
            self._requests += 1
            if self._requests >= self.script[0][0]:
                self._requests = 0
                (await self._side_door.post("/_twin/change", json=self.script.pop(0)[1])).raise_for_status()
        await self._app(scope, receive, send)


def test_what_is_published_is_what_the_server_has_although_it_changes_while_it_is_read(office: Office) -> None:
    """Inserts, updates, deletes and key changes, some of them of the same key, between pages of both kinds of pulls."""
    # Results of students with other numbers count as gone and as new: of fewer students they would be held.
    twin_of = Meanwhile(twin(build(schools=1, students=40), page_limit=20, cursor=False))
    with serve(twin_of) as url:
        office.connect("edfi", url)
        for every in (17, 5):  # a pull of all there is, and pulls of what changed
            twin_of.script = [
                (every, change)
                for change in (
                    *({"recoded": 0.2}, {"moved": 0.1}, {"with_new_students": 2}, {"with_other_numbers": 0.1}),
                    *({"recoded": 0.2}, {"without_students": 0.05}, {"with_other_names": 0.1}, {"begun_later": 0.1}),
                )
            ]
            while twin_of.script:
                assert office.pull("edfi")["state"] == "published"
        steer(url, "POST", "change", {"recoded": 0.2})
        run = office.pull("edfi")
        assert run["state"] == "published" and True in partial(run)
        same_as_whole(office)
