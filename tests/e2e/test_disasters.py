"""Days on which a source goes badly wrong: nothing published is harmed, and a person is told what to do."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from starlette.types import ASGIApp

from connectors.oneroster.twin import twin
from connectors.oneroster.twin_files import export
from gateway.errors import AuthError, ConfigError, Unavailable
from synthetic import build
from synthetic.disasters import with_twins
from tests.e2e import messages
from tests.e2e.conftest import NUMBERS
from tests.e2e.messages import DISASTERS, anonymous
from tests.e2e.office import HELD, Office
from tests.e2e.processes import Home, published, steer
from tests.e2e.test_two_sources import Misnumbered
from tests.serving import serve

CHANGE, CREDENTIALS, LATER = (kind.exit_code for kind in (ConfigError, AuthError, Unavailable))
DISTRICT = with_twins(build(schools=2, students=78, seed=16), 2)
FOR_EVER = 1_000_000
GOOD_AT, BEGAN_AT = "2026-10-05 06:04+00", "2026-10-06 06:00+00"


@dataclass
class Sis:
    """A connected OneRoster source of one district that was pulled well; `good` is the last run that was."""

    office: Office
    url: str
    good: int

    def faults(self, *faults: dict[str, Any]) -> None:
        """What goes wrong from now on."""
        steer(self.url, "PUT", "faults", [{"times": FOR_EVER} | fault for fault in faults])

    def change(self, **what: Any) -> None:
        steer(self.url, "POST", "change", what)

    def state(self) -> dict[str, tuple[int, str]]:
        """Everything that is published, as hashes. What a held run set aside is listed with it, and is no change."""
        found = published(self.office.home, self.office.district)
        return {table: state for table, state in found.items() if table != "reject"}

    def pull(self, code: int) -> dict[str, Any]:
        """Pull, as on a Tuesday morning after a good Monday; the run, with its message as the files have it."""
        run = pull(self.office, self.good, code)
        if code == 0:
            self.good = run["id"]
        return run

    def recover(self) -> None:
        """All is well again, and so is the next run."""
        steer(self.url, "DELETE", "faults")
        self.change(reset=True)
        self.office.tell("connections", "resume", "oneroster")
        self.pull(0)


def pull(office: Office, good: int, code: int) -> dict[str, Any]:
    number = office.pull("oneroster", code=code)["id"]
    with office.home.database() as c:
        c.execute("UPDATE run SET good_at = %s WHERE id = %s", [GOOD_AT, good])
        c.execute("UPDATE run SET created_at = %s WHERE id = %s", [BEGAN_AT, number])
    run: dict[str, Any] = office.ask("runs", str(number))
    if run["message"]:
        run["message"] = {part: anonymous(text, run=number, good=good) for part, text in run["message"].items()}
    return run


def held(sis: Sis, number: int | None, holds: set[tuple[str, str]], *, only: bool = False) -> None:
    """The next run waits for these reasons, among others or for `only` these: nothing that is published changes,
    people are told what stands in the file of that number, and when all is well again nothing has changed."""
    before = sis.state()
    run = sis.pull(HELD)
    assert sis.state() == before
    assert run["state"] == "held"
    found = {(hold["code"], hold["collection"]) for hold in run["holds"]}
    assert found == holds if only else holds <= found, found
    if number is not None:
        DISASTERS[number].told(run["message"])
    sis.recover()
    assert sis.state() == before


def stopped(sis: Sis, number: int | None, code: str, *, ends: int) -> None:
    """The same of a run that stops with an error."""
    before = sis.state()
    run = sis.pull(ends)
    assert sis.state() == before
    assert (run["state"], run["error_code"]) == ("failed", code)
    if number is not None:
        DISASTERS[number].told(run["message"])
    sis.recover()
    assert sis.state() == before


@contextmanager
def source(home: Home, app: ASGIApp) -> Iterator[Sis]:
    """One page at a time, so that what arrived before an end is always the same."""
    office = Office(home, f"disaster-{next(NUMBERS)}")
    with serve(app) as url:
        office.connect("oneroster", url, in_flight="1")
        run = office.pull("oneroster")
        assert run["state"] == "published"
        yield Sis(office, url, run["id"])


@pytest.fixture(scope="module")
def sis(installation: Home) -> Iterator[Sis]:
    """One that says how many records there are."""
    with source(installation, twin(DISTRICT, page_cap=101)) as made:
        yield made


@pytest.fixture(scope="module")
def silent(installation: Home) -> Iterator[Sis]:
    """One that never says how many records there are, and whose tokens live for five minutes."""
    with source(installation, twin(DISTRICT, page_cap=101, totals=False, token_seconds=300)) as made:
        yield made


def test_1_the_source_says_that_nobody_is_there(sis: Sis) -> None:
    sis.faults({"kind": "empty", "path": "/users?", "total": 0})
    held(sis, 1, {("empty-collection", "users")})


@pytest.mark.parametrize(("kept", "code"), [(0, "empty-collection"), (1, "oneroster-roster-moved")])
def test_1_nor_is_anybody_removed_where_the_total_is_not_told(silent: Sis, kept: int, code: str) -> None:
    """The first page is empty, or every one after it."""
    silent.faults({"kind": "empty", "path": "/enrollments?", "skip": kept})
    if kept:  # the next page does not begin where the last one ended
        stopped(silent, None, code, ends=LATER)
    else:
        held(silent, None, {(code, "enrollments")})


def test_2_invisible_signs_in_the_column_names(office: Office, tmp_path: Path) -> None:
    folder = tmp_path / "export"
    export(DISTRICT, folder)
    office.connect_files(folder)
    office.pull("oneroster")
    before = published(office.home, office.district)

    export(DISTRICT, folder, mark="\ufeff")
    marked = office.pull("oneroster")
    assert marked["counts"]["published"] == {}, "a byte order mark alone does no harm"
    export(DISTRICT, folder, mark="\ufeff", respelt={"sourcedId": "sourcedId\u200b"})
    run = pull(office, marked["id"], CHANGE)
    assert (run["state"], run["error_code"]) == ("failed", "csv-missing-column")
    assert published(office.home, office.district) == before
    DISASTERS[2].told(run["message"])

    export(DISTRICT, folder, respelt={"identifier": "identifer"})
    assert office.pull("oneroster")["counts"]["published"] == {}, "a name that can only be meant for one is read so"
    export(DISTRICT, folder, respelt={"identifier": "student no"})
    run = office.pull("oneroster", code=HELD)
    assert "many-changed" in {hold["code"] for hold in run["holds"]}, "a column that may be missing is missed too"
    assert published(office.home, office.district) == before


def test_3_the_schools_have_other_ids(sis: Sis) -> None:
    sis.change(schools_renumbered=1000)
    held(sis, 3, {("ids-changed", "classes"), ("many-changed", "users")})


def test_4_half_of_the_pages_then_errors(sis: Sis) -> None:
    sis.faults({"kind": "status", "path": "/enrollments?", "status": 500, "skip": 3})
    stopped(sis, 4, "server-error", ends=LATER)


UNSTABLE = {"kind": "unstable", "path": "/enrollments?", "rows": 19, "skip": 3, "times": 1}


def test_5_an_unstable_order_drops_19_of_606(sis: Sis) -> None:
    assert len(DISTRICT.enrollments) == 606
    sis.faults(UNSTABLE)
    stopped(sis, 5, "oneroster-roster-moved", ends=LATER)


def test_5_nor_where_the_total_is_not_told(silent: Sis) -> None:
    silent.faults(UNSTABLE)
    stopped(silent, None, "oneroster-roster-moved", ends=LATER)


def test_5_nor_where_only_new_records_may_be_missed(installation: Home) -> None:
    """A page came with another one in it, so that the next began too far behind, and nobody knows of how many."""
    office = Office(installation, f"disaster-{next(NUMBERS)}")
    with serve(twin(DISTRICT, page_cap=20, totals=False)) as url:
        office.connect("oneroster", url)
        steer(url, "PUT", "faults", [{"kind": "twice", "path": "/users?", "skip": 2}])
        run = office.pull("oneroster", code=LATER)
        assert (run["state"], run["error_code"]) == ("failed", "oneroster-roster-moved")
        assert office.entities() == []
        assert office.pull("oneroster")["state"] == "published"


def test_6_everybody_changes_section(sis: Sis) -> None:
    sis.change(reshuffled=1.0)
    held(sis, 6, {("ids-changed", "enrollments")}, only=True)


def test_7_the_next_year_is_hidden_until_rollover(sis: Sis) -> None:
    sis.change(without_sections=1.0)
    held(sis, 7, {("empty-collection", "classes"), ("empty-collection", "enrollments")})


def test_8_all_ids_are_generated_anew(sis: Sis) -> None:
    sis.change(reissued=1)
    held(sis, 8, {("ids-changed", "users"), ("ids-changed", "enrollments")})


def test_8_nor_do_all_students_get_other_numbers(sis: Sis) -> None:
    sis.change(renumbered=1.0)
    held(sis, None, {("ids-changed", "users"), ("ids-changed", "demographics")})


def test_9_the_credentials_are_revoked_in_the_middle(sis: Sis) -> None:
    sis.faults({"kind": "revoke", "path": "/enrollments?", "skip": 2})
    stopped(sis, 9, "token-refused", ends=CREDENTIALS)


def test_10_a_web_page_instead_of_a_token(sis: Sis) -> None:
    sis.faults({"kind": "expire_tokens", "path": "/orgs?", "times": 1}, {"kind": "html", "path": "/token"})
    stopped(sis, 10, "token-url-wrong", ends=CHANGE)


@pytest.mark.parametrize("shape", ["deep", "nul", "huge", "garbled"])
def test_11_one_record_that_nobody_can_read(installation: Home, shape: str) -> None:
    """Only that one is set aside: what it said before stays, and all others are taken in.

    Each has a source of its own: the newcomers of another change would be other people under the same keys.
    """
    with source(installation, twin(DISTRICT, page_cap=101)) as sis:
        before = {one.id: one for one in sis.office.entities()}
        sis.change(with_new_students=3)
        sis.faults({"kind": "poison", "path": "/users?", "shape": shape, "times": 1})
        run = sis.pull(0)
        assert (run["state"], run["rejects"]) == ("published", 1)
        after = {one.id: one for one in sis.office.entities()}
        assert {id: after[id] for id in before} == before
        moved = run["counts"]["published"]
        assert moved["person"] == {"added": 3} and moved.keys() == {"person", "enrollment"}
        assert moved["enrollment"].keys() == {"added"}
        if shape == "deep":
            DISASTERS[11].told(run["message"])


def test_16_twins_are_taken_for_one_child(sis: Sis) -> None:
    sis.change(twins_merged=2)
    held(sis, 16, {("students-confused", "assessment_result")}, only=True)


def test_16_nor_may_they_change_places(sis: Sis) -> None:
    sis.change(twins_mixed=1)
    held(sis, None, {("students-confused", "person")}, only=True)


def test_16_nor_may_two_have_one_number(installation: Home) -> None:
    one, other = DISTRICT.students[:2]
    mistake = Misnumbered(twin(DISTRICT), wrong=other.number, number=one.number)
    mistake.mended = True
    with source(installation, mistake) as sis:
        before = sis.state()
        mistake.mended = False
        [hold] = sis.pull(HELD)["holds"]
        assert (hold["code"], hold["affected"]) == ("students-confused", 1)
        assert sis.state() == before


def test_19_a_clock_that_is_ten_minutes_wrong(silent: Sis) -> None:
    silent.faults({"kind": "clock", "path": "/", "ahead": 600})
    stopped(silent, 19, "clock-differs", ends=CREDENTIALS)


def test_19_nor_does_a_slow_clock_or_a_token_that_lives_longer_than_it_says(silent: Sis) -> None:
    before = silent.state()
    steer(silent.url, "DELETE", "log")
    silent.faults(
        {"kind": "status", "path": "/users?", "status": 429, "retry_after": 1, "ahead": -600, "times": 1},
        {"kind": "clock", "path": "/", "ahead": -600},
    )
    assert silent.pull(0)["state"] == "published"
    assert silent.state() == before
    log = steer(silent.url, "GET", "log")
    [busy] = [place for place, entry in enumerate(log) if entry["status"] == 429]
    assert log[busy + 1]["at"] - log[busy]["at"] >= 1, "it waited by the clock of who asked for it"
    silent.recover()


def test_the_list_of_messages_is_right() -> None:
    messages.index()
