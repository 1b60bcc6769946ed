"""Pulls of what changed: what they ask for, what they must never lose, and when everything is asked for again."""

from collections.abc import Iterator
from typing import Any

import pytest
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from connectors.oneroster.twin import twin
from synthetic import build
from tests.e2e.office import HELD, Office
from tests.e2e.processes import steer
from tests.serving import serve

DISTRICT = build(students=60)


@pytest.fixture
def switches() -> dict[str, Any]:
    return {"tombstones": True}


@pytest.fixture
def sis(office: Office, switches: dict[str, Any]) -> Iterator[str]:
    """A source that was pulled once, wholly."""
    with serve(twin(DISTRICT, **switches)) as url:
        office.connect("oneroster", url, changes="yes")
        assert office.pull("oneroster")["state"] == "published"
        steer(url, "DELETE", "log")
        yield url


def partial(run: dict[str, Any]) -> set[bool]:
    """Whether its collections were asked for what changed."""
    return {count["partial"] for count in run["counts"]["collections"]}


def asked(sis: str) -> list[str]:
    """The collections of every request for data since the last look."""
    log = steer(sis, "GET", "log")
    steer(sis, "DELETE", "log")
    return [entry["path"].rpartition("/")[2] for entry in log if "/ims/oneroster/" in entry["path"]]


def marks(office: Office) -> list[tuple[str, str]]:
    """From where on each collection is asked for next. A few minutes of overlap hide it in what is asked for."""
    own = "(SELECT id FROM district WHERE name = %s)"
    with office.home.database() as c:
        query = f"SELECT collection, mark FROM watermark WHERE district_id = {own} ORDER BY 1"
        return c.execute(query, (office.district,)).fetchall()


def users(office: Office) -> set[str]:
    return set(office.published("oneroster")["person"])


def test_an_unchanged_source_is_asked_once_for_each_collection_and_nothing_is_written(office: Office, sis: str) -> None:
    before = office.written()
    run = office.pull("oneroster")
    collections = [count["collection"] for count in run["counts"]["collections"]]
    requests = asked(sis)
    requests.remove("orgs")  # the server is asked for its clock first
    assert sorted(requests) == sorted(collections)
    assert partial(run) == {True}
    assert office.written() == before


def test_changes_deletions_and_arrivals_come_as_in_a_whole_pull(office: Office, sis: str) -> None:
    for change in ({"without_students": 0.05}, {"with_new_students": 7}, {"moved": 0.1}):
        steer(sis, "POST", "change", change)
    run = office.pull("oneroster")
    assert run["state"] == "published" and partial(run) == {True}
    after = office.published("oneroster")
    assert sum(count["gone"] for count in run["counts"]["collections"]) > 0
    whole = office.ask("pull", "oneroster", "--whole")
    assert partial(whole) == {False}
    assert whole["counts"]["published"] == {}
    assert office.published("oneroster") == after


@pytest.mark.parametrize("switches", [{"tombstones": False}])
def test_what_disappears_without_a_word_is_found_by_the_next_whole_pull(office: Office, sis: str) -> None:
    before = users(office)
    steer(sis, "POST", "change", {"without_students": 0.05})
    assert partial(office.pull("oneroster")) == {True}
    assert users(office) == before
    office.ask("connections", "change", "oneroster", "--set", "whole_every=0")
    run = office.pull("oneroster")
    assert partial(run) == {False} and users(office) < before


def test_what_a_held_run_brought_is_asked_for_again(office: Office, sis: str) -> None:
    """Its mark is not kept: neither when it waits, nor when somebody refuses it."""
    office.tell("guards", "set", "oneroster", "--hold-all")
    steer(sis, "POST", "change", {"without_students": 0.3})
    before_it = marks(office)
    held = office.pull("oneroster", code=HELD)
    assert partial(held) == {True}
    again = office.pull("oneroster", code=HELD)
    gone = [sum(count["gone"] for count in run["counts"]["collections"]) for run in (held, again)]
    assert gone[0] == gone[1] > 0
    office.tell("holds", "refuse", str(again["id"]), "--because", "Look again tomorrow.")
    third = office.pull("oneroster", code=HELD)
    assert sum(count["gone"] for count in third["counts"]["collections"]) == gone[0]
    assert marks(office) == before_it
    before = users(office)
    office.ask("holds", "approve", str(third["id"]), "--because", "They moved away.")
    assert users(office) < before
    assert marks(office) != before_it
    assert sum(count["gone"] for count in office.pull("oneroster")["counts"]["collections"]) == 0


def test_removals_that_wait_alone_are_asked_for_again(office: Office, sis: str) -> None:
    steer(sis, "POST", "change", {"without_students": 0.3})
    steer(sis, "POST", "change", {"with_new_students": 3})
    before = marks(office)
    for _ in range(2):
        held = office.pull("oneroster", code=HELD)
        assert partial(held) == {True}
        assert sum(count["gone"] for count in held["counts"]["collections"]) > 0
    assert marks(office) == before


def test_what_is_set_aside_stays_on_the_list_until_it_comes_again(office: Office, switches: dict[str, Any]) -> None:
    with serve(twin(DISTRICT, **switches)) as sis:
        office.connect("oneroster", sis, changes="yes")
        steer(sis, "PUT", "faults", [{"kind": "mistype", "path": "/users", "rows": 3, "into": "object", "seed": 4}])
        assert office.pull("oneroster")["state"] == "published"
        first = office.ask("rejects")["set_aside"]
        assert sum(cause["records"] for cause in first) == 3
        run = office.pull("oneroster")
        assert partial(run) == {True}
        assert office.ask("rejects")["set_aside"] == first
        assert partial(office.ask("pull", "oneroster", "--whole")) == {False}
        assert office.ask("rejects")["set_aside"] == []


@pytest.mark.parametrize("switches", [{"tombstones": True, "undated": 3}])
def test_records_that_do_not_say_when_they_changed_are_read_each_time(office: Office, sis: str) -> None:
    steer(sis, "POST", "change", {"moved": 0.2})
    run = office.pull("oneroster")
    assert run["state"] == "published"
    pulled = {count["collection"]: count["partial"] for count in run["counts"]["collections"]}
    assert not pulled["users"] and not pulled["enrollments"]
    after = office.published("oneroster")
    whole = office.ask("pull", "oneroster", "--whole")
    assert whole["counts"]["published"] == {}
    assert office.published("oneroster") == after


class Doors:
    """An app in front of which a collection can be closed: its name -> the status that is answered."""

    def __init__(self, app: ASGIApp) -> None:
        self.closed: dict[str, int] = {}
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        status = self.closed.get(scope.get("path", "").rpartition("/")[2])
        await (self._app if status is None else Response(status_code=status))(scope, receive, send)


def test_a_collection_that_is_absent_for_a_night_loses_nothing(office: Office, switches: dict[str, Any]) -> None:
    """Neither what changed meanwhile, nor what of it was set aside before."""
    doors = Doors(twin(DISTRICT, **switches))
    with serve(doors) as sis:
        office.connect("oneroster", sis, changes="yes")
        fault = {"kind": "mistype", "path": "/users", "rows": 3, "into": "object", "seed": 4}
        steer(sis, "PUT", "faults", [fault])
        office.pull("oneroster")
        first = office.ask("rejects")["set_aside"]
        assert sum(cause["records"] for cause in first) == 3
        before = users(office)
        steer(sis, "POST", "change", {"with_new_students": 7})
        doors.closed = {"users": 403}
        run = office.pull("oneroster")
        assert [one["collection"] for one in run["counts"]["collections"] if one["absent"]] == ["users"]
        assert users(office) == before
        assert office.ask("rejects")["set_aside"] == first
        doors.closed = {}
        assert partial(office.pull("oneroster")) == {True}
        assert len(users(office) - before) >= 7
        assert office.ask("rejects")["set_aside"] == first


@pytest.mark.parametrize("switches", [{"tombstones": True, "bad_rows": 8}])
def test_records_without_a_key_stay_on_the_list_beside_new_ones(office: Office, sis: str) -> None:
    """What comes may be one of those that came before, or another: there are as many as there were in any case."""

    def unkeyed() -> int:
        query = (
            "SELECT count(*) FROM open_reject WHERE key IS NULL AND collection = 'users' "
            "AND district_id = (SELECT id FROM district WHERE name = %s)"
        )
        with office.home.database() as c:
            return int(c.execute(query, (office.district,)).fetchall()[0][0])

    assert unkeyed() == 6
    steer(sis, "POST", "change", {"with_new_students": 3})
    run = office.pull("oneroster")
    assert partial(run) == {True}
    (users,) = (one for one in run["counts"]["collections"] if one["collection"] == "users")
    assert 0 < users["unkeyed"] < 6
    assert unkeyed() == 6


def test_other_rules_or_settings_ask_for_everything(office: Office, sis: str) -> None:
    assert partial(office.pull("oneroster")) == {True}
    office.ask("crosswalks", "set", "oneroster", "org_type", "outpost", "school")
    assert partial(office.pull("oneroster")) == {False}
    assert partial(office.pull("oneroster")) == {True}
    office.ask("connections", "change", "oneroster", "--set", "page_size=77")
    assert partial(office.pull("oneroster")) == {False}


def test_after_an_undo_everything_is_asked_for(office: Office, sis: str) -> None:
    steer(sis, "POST", "change", {"moved": 0.1})
    run = office.pull("oneroster")
    assert partial(run) == {True}
    moved = office.written()[2]
    office.ask("undo", str(run["id"]), "--because", "Too early.")
    assert office.written()[2] != moved
    office.tell("connections", "resume", "oneroster")
    again = office.pull("oneroster")
    assert partial(again) == {False}
    assert office.written()[2] != moved  # publication times differ; the values do not
    assert again["counts"]["published"] == run["counts"]["published"]
