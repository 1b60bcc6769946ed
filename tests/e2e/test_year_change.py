"""The year change as an act: announced, previewed, confirmed; who ends, ends with a reason; nothing else is lost."""

import json
from collections import Counter
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from connectors.edfi.twin import twin as edfi_twin
from connectors.oneroster.twin import twin
from synthetic import Year, build
from tests.e2e.office import HELD, Office
from tests.e2e.processes import steer, until
from tests.e2e.year import Evenings, Known, Plans, of_each_fate, on
from tests.serving import serve

DISTRICT = build(schools=4, students=150)
LAST, ENDS, HIDDEN, SHOWN = (date(2027, *day) for day in ((6, 14), (6, 15), (6, 24), (8, 2)))
RULE = 6


@pytest.fixture
def evenings(office: Office) -> Iterator[Evenings]:
    """The last day of the old year, pulled, with the change to the new one announced."""
    with serve(twin(DISTRICT)) as url:
        office.connect("oneroster", url)
        evenings = Evenings(office, {"oneroster": url})
        evenings.pull_all([LAST])
        with on(LAST):
            announce(office)
        yield evenings


def announce(office: Office) -> None:
    made = office.ask(
        "year", "announce", "--last-day", "2027-06-14", "--first-day", "2027-08-16", "--because", "2026/27 ends."
    )
    assert made["highest_grade"] == "12"


def plans_of(office: Office, folder: Path, known: Known) -> Plans:
    """A plan for a student of each fate; the last of them finalized."""
    staff = [one for one in Year(DISTRICT).on(SHOWN).staff if one.number in known.people]
    plans = Plans(office, folder)
    plans.begin(of_each_fate(DISTRICT).values(), LAST, known, staff)
    return plans


def reasons(office: Office, known: Known) -> dict[str, list[Any]]:
    """Fate -> why the student of that fate ended, in the order of the changes."""
    return {
        fate: [row["reason"] for row in reversed(office.ask("history", "entity", "person", known.people[number]))]
        for fate, number in of_each_fate(DISTRICT).items()
    }


def sums(preview: dict[str, Any]) -> Counter[str]:
    """What becomes of a whole district."""
    return sum((Counter({k: n for k, n in one.items() if k != "school"}) for one in preview["schools"]), Counter())


def test_a_rollover_waits_is_shown_school_by_school_and_confirmed(evenings: Evenings, tmp_path: Path) -> None:
    office, known = evenings.office, Known.now(evenings.office)
    plans, year = plans_of(office, tmp_path, known), Year(DISTRICT)
    assert evenings.pull(ENDS) == []
    [held] = evenings.pull(SHOWN)
    with on(SHOWN):
        told = office.ask("runs", str(held.run))["message"]
        assert "A year change is announced, from Mon 14 Jun 2027 to Mon 16 Aug 2027." in told["what_happened"]
        assert "planbridge year preview" in told["to_do"] and "planbridge year confirm" in told["to_do"]
        standing = office.written()
        [preview] = office.ask("year", "preview")
        assert office.written() == standing and preview["run"] == held.run

        before, after = year.on(LAST), year.on(SHOWN)
        there, back = {one.number for one in before.students}, {one.number: one for one in after.students}
        gone = {one.number for one in before.students if one.grade != "12"} - back.keys()
        assert sums(preview)["leavers"] == len(gone) and sums(preview)["graduates"] == 0
        assert sums(preview)["promoted"] == len(back.keys() & there)
        assert sums(preview)["sections_ended"] == len(before.sections)
        assert sums(preview)["enrollments_ended"] == len(before.enrollments)
        assert sums(preview)["sections_new"] == len(after.sections)
        assert len(preview["schools"]) == 4

        assert office.ask("year", "confirm", code=RULE)["error"] == "reason-missing"
        [run] = office.ask("year", "confirm", "--because", "The schools were asked.")
        assert (run["id"], run["state"]) == (held.run, "published")
        assert office.ask("year", "confirm", "--because", "Again.", code=RULE)["error"] == "year-not-previewed"
        [shown] = office.ask("year", "show")
        assert [(one["connection"], one["run"], one["because"]) for one in shown["confirmed"]] == [
            ("oneroster", held.run, "The schools were asked.")
        ]

        ends = reasons(office, known)
        assert ends.pop("graduates") == [None, "graduated", None] and ends.pop("leaves") == [None, "left"]
        assert {why for whys in ends.values() for why in whys} == {None}
    assert plans.lost() == set() and known.with_other_ids(Known.now(office)) == set()
    assert {plan["state"] for plan in office.ask("plan", "list")} == {"draft", "finalized"}


def test_staff_assignments_that_end_together_are_one_list(evenings: Evenings) -> None:
    office = evenings.office
    assert evenings.pull(ENDS) == []
    run = office.ask("runs")[0]
    teachers = Counter(one.school for one in Year(DISTRICT).on(ENDS).staff if one.school)
    told = office.ask("runs", str(run["id"]))["message"]
    assert told["what_happened"].count("Staff assignments that end on Thu 1 Jul 2027") == 1
    names = {school.number: school.name for school in DISTRICT.schools}
    for school, n in teachers.items():
        assert f"{n} at {names[school]}" in told["what_happened"]
    assert sum(one["assignments"] for one in run["counts"]["assignments"]) == len(Year(DISTRICT).on(ENDS).staff)


def test_what_a_dry_run_showed_is_published_and_what_differs_asks_again(evenings: Evenings) -> None:
    office = evenings.office
    evenings.pull_all([ENDS])
    evenings.play(SHOWN)
    with on(SHOWN):
        [preview] = office.ask("year", "preview")
        assert preview["state"] == "compared" and sums(preview)["leavers"] > 0
        evenings.play(date(2027, 8, 17))
        [run] = office.ask("year", "confirm", "--because", "The schools were asked.", code=HELD)
        assert run["state"] == "held" and run["id"] > preview["run"]

        [again] = office.ask("year", "preview")
        assert again["run"] == run["id"]
        evenings.play(date(2027, 8, 20))
        newer = office.ask("pull", "oneroster", code=HELD)
        refused = office.ask("year", "confirm", "--because", "The schools were asked.", code=RULE)
        assert refused["error"] == "year-preview-old"
        office.tell("holds", "refuse", str(newer["id"]), "--because", "Once more.")

        [dry] = office.ask("year", "preview")
        assert dry["state"] == "compared"
        [run] = office.ask("year", "confirm", "--because", "The schools were asked.")
        assert run["state"] == "published" and run["counts"]["year"]["schools"] == dry["schools"]


def test_without_an_announcement_nobody_is_ended_with_a_reason(evenings: Evenings) -> None:
    office, known = evenings.office, Known.now(evenings.office)
    with on(LAST):
        assert office.ask("year", "announce", "--last-day", "2027-06-14", "--first-day", "2027-08-16",
                          "--because", "Twice.", code=RULE)["error"] == "year-announced"  # fmt: skip
        office.tell("year", "cancel", "--because", "The calendar changed.")
        assert office.ask("year", "preview", code=RULE)["error"] == "year-not-announced"
    evenings.pull_all([ENDS, SHOWN])
    assert {why for whys in reasons(office, known).values() for why in whys} == {None}
    assert "year" not in office.ask("runs")[0]["counts"]


def test_who_ended_and_comes_back_under_another_key_is_the_same_person(office: Office) -> None:
    """The SIS hides students over the summer, somebody finds that right, and then it shows all of them remade."""
    with serve(twin(DISTRICT)) as url:
        office.connect("oneroster", url)
        office.pull("oneroster")
        known = Known.now(office)
        for change in ({"without_students": 0.3}, {"reset": True}, {"reissued": 1}):
            steer(url, "POST", "change", change)
            if change == {"reset": True}:
                gone = known.people.keys() - Known.now(office).people.keys()
                continue
            held = office.pull("oneroster", code=HELD)
            assert office.ask("holds", "approve", str(held["id"]), "--because", "So be it.")["state"] == "published"
        back = Known.now(office)
        assert len(gone) >= 45 and gone <= back.people.keys()
        assert known.with_other_ids(back) == set() and len(set(back.people.values())) == len(back.people)


# --- a connection for the new year


@pytest.fixture
def next_year() -> Iterator[str]:
    """The system of the new year, at another address."""
    with serve(twin(DISTRICT)) as url:
        steer(url, "POST", "change", {"day": SHOWN.isoformat()})
        yield url


def cloned(office: Office, url: str, day: str = "2027-08-02", code: int = 0, secret: str | None = "demo-secret") -> Any:
    """Clone the OneRoster connection for a system at `url`, with a secret of its own or none."""
    given = {"base_url": url, "token_url": f"{url}/token"} | ({"client_secret": "env:NEXT"} if secret else {})
    return clone(office, "oneroster", given, day, code, secret or "")


def clone(office: Office, old: str, given: dict[str, str], day: str, code: int, secret: str) -> Any:
    sets = [part for name, value in given.items() for part in ("--set", f"{name}={value}")]
    done = office.home.run(
        "connections", "new-year", old, "next", "--on", day, *sets, "--json", district=office.district, NEXT=secret
    )
    assert done.returncode == code, done.stdout + done.stderr
    return json.loads(done.stdout)


def test_a_clone_has_everything_but_the_secrets_and_publishes_nothing(evenings: Evenings, next_year: str) -> None:
    office = evenings.office
    office.tell("guards", "set", "oneroster", "--limit", "users.removed=0.3")
    office.tell("schedule", "set", "oneroster", "--cron", "0 2 * * *", "--zone", "America/Chicago")
    with on(LAST):
        assert cloned(office, next_year, secret=None, code=2)["error"] == "secret-not-given"
        assert cloned(office, next_year, secret="wrong", code=2)["error"] == "check-failed"
        assert [one["name"] for one in office.ask("connections")] == ["oneroster"]
        cloned(office, next_year)
        assert cloned(office, next_year, code=RULE)["error"] == "connection-has-successor"
        _, new = office.ask("connections")
        assert (new["name"], new["shadow"], new["takes_place_of"]) == ("next", True, "oneroster, on 2027-08-02")
        assert office.ask("guards", "show", "next")["limits"] == {"users": {"removed": 0.3}}
        assert [one["cron"] for one in office.ask("schedule", "list")] == ["0 2 * * *"] * 2

        standing = office.written()
        rehearsal = office.pull("next")
        assert (rehearsal["state"], rehearsal["counts"]["takes_over"]) == ("compared", "oneroster")
        assert office.written() == standing
        assert office.tell("connections", "shadow", "next", "--off", code=RULE) == ""
        assert office.pull("oneroster")["state"] == "published"


def test_a_new_years_connection_takes_the_place_and_nobody_gets_another_id(
    evenings: Evenings, next_year: str, tmp_path: Path
) -> None:
    office, known = evenings.office, Known.now(evenings.office)
    plans = plans_of(office, tmp_path, known)
    evenings.pull_all([ENDS])
    before = {one.id: one.doc for one in office.entities()}
    sections = {one.id for one in office.entities() if one.kind == "class"}
    with on(SHOWN):
        cloned(office, next_year)
        rehearsal = office.pull("next")
        run = office.ask("connections", "switch", "next", "--now", code=HELD)
        assert run["counts"]["collections"] == rehearsal["counts"]["collections"]
        assert "next would take the place of oneroster." in run["message"]["what_happened"]
        assert {one.id: one.doc for one in office.entities()} == before
        assert office.ask("pull", "oneroster")["state"] == "published"  # until then the old one is what counts

        assert {one["run"] for one in office.ask("year", "preview") if one["takes_over"]} == {run["id"]}
        [confirmed] = office.ask("year", "confirm", "--because", "So be it.")
        assert (confirmed["id"], confirmed["state"]) == (run["id"], "published")
        old, new = office.ask("connections")
        assert (new["shadow"], new["takes_place_of"]) == (False, "oneroster") and "next" in old["paused_because"]
        assert [one["name"] for one in office.ask("status", "--max-age", "26h")["connections"]] == ["next"]
        assert office.ask("pull", "oneroster", code=RULE)["error"] == "connection-paused"
        office.tell("connections", "resume", "oneroster")
        assert office.ask("pull", "oneroster", code=RULE)["error"] == "connection-retired"

        after = Known.now(office)
        assert known.with_other_ids(after) == set() and len(known.people.keys() & after.people.keys()) > 200
        assert {name for one in office.entities() for name in one.keys} == {"next"}
        assert plans.lost() == set()
        ends = reasons(office, known)
        assert ends["leaves"][-1] == "left" and "graduated" in ends["graduates"] and ends["changes id"][-1] is None
        [section] = office.ask("history", "entity", "class", sorted(sections)[0])[:1]
        assert (section["op"], section["reason"]) == ("removed", "not-carried-over")
        assert office.pull("next")["counts"]["published"] == {}

        undone = office.ask("undo", str(run["id"]), "--because", "The new system is not ready.")
        assert undone["state"] == "published" and {one.id: one.doc for one in office.entities()} == before
        first = min(one["id"] for one in office.ask("runs"))
        assert office.ask("undo", str(first), "--because", "All.", code=RULE)["error"] == "connection-retired"

        # What the old connection once said of somebody is found under the new one, and goes with them.
        number = of_each_fate(DISTRICT)["graduates"]
        for table in ("record_history", "claim_history", "link_history"):
            query = (
                f"SELECT DISTINCT n.name FROM {table} h JOIN connection n ON n.id = h.connection_id "
                "JOIN district d ON d.id = n.district_id WHERE d.name = %(name)s"
            )
            assert office.home.sql(query, name=office.district) == [("next",)]
        assert {"record_history", "claim_history", "ending"} <= traces(office, number, known.people[number])
        office.ask("purge", "student", known.people[number], "--because", "case 2027-1", "--yes")
        assert traces(office, number, known.people[number]) <= {"change"}  # which says that an id is gone


def test_of_ed_fi_too_one_list_of_assignments_and_a_new_address_with_the_same_ids(office: Office) -> None:
    with serve(edfi_twin(DISTRICT)) as old, serve(edfi_twin(DISTRICT)) as new:
        office.connect("edfi", old)
        steer(old, "POST", "change", {"day": LAST.isoformat()})
        steer(new, "POST", "change", {"day": SHOWN.isoformat()})
        with on(LAST):
            office.pull("edfi")
            announce(office)
        known = Known.now(office)
        steer(old, "POST", "change", {"day": ENDS.isoformat()})
        with on(ENDS):
            held = office.pull("edfi", code=HELD)
            assert [hold["code"] for hold in held["holds"]] == ["many-changed"]  # one reason, however many assignments
            assert held["message"]["affected"].count("Staff assignments that end on Wed 30 Jun 2027: ") == 1
            [preview] = office.ask("year", "preview")
            seniors = [one for one in Year(DISTRICT).on(ENDS).students if one.grade == "12"]
            assert sums(preview)["graduates"] == len(seniors)
            assert sums(preview)["assignments_ended"] == len(Year(DISTRICT).on(ENDS).staff)
            office.ask("year", "confirm", "--because", "They all end.")
        with on(SHOWN):
            clone(office, "edfi", {"base_url": new, "secret": "env:NEXT"}, "2027-08-02", 0, "demo-secret")
            run = office.ask("connections", "switch", "next", "--now", code=HELD)
            changed = {count["collection"] for count in run["counts"]["collections"] if count["changed"]}
            assert "schools" not in changed and "courses" not in changed  # another address is no change
            assert {one["run"] for one in office.ask("year", "preview") if one["takes_over"]} == {run["id"]}
            [confirmed] = office.ask("year", "confirm", "--because", "So be it.")
            assert confirmed["state"] == "published"
        assert known.with_other_ids(Known.now(office)) == set()
        ends = reasons(office, known)
        assert "left" in ends["leaves"] and "graduated" in ends["graduates"]


def traces(office: Office, *words: str) -> set[str]:
    """The tables of the district in which one of these words stands."""
    with office.home.database() as c:
        tables = c.execute(
            "SELECT relname FROM pg_class t JOIN pg_attribute a ON a.attrelid = t.oid AND attname = 'district_id' "
            "WHERE relkind = 'r'"
        ).fetchall()
        found = (
            c.execute(
                f"SELECT EXISTS (SELECT FROM {table} t JOIN district d ON d.id = t.district_id "
                "WHERE d.name = %s AND CAST(t AS text) ~ %s)".encode(),
                [office.district, "|".join(words)],
            ).fetchall()
            for (table,) in tables
        )
        return {table for (table,), [(there,)] in zip(tables, found, strict=True) if there}


def test_on_its_day_the_tick_lets_it_take_the_place(office: Office) -> None:
    with serve(twin(DISTRICT)) as old, serve(twin(DISTRICT)) as new:
        office.connect("oneroster", old)
        office.pull("oneroster")
        standing = {one.id: one.doc for one in office.entities()}
        cloned(office, new, day="2099-08-02")
        worker = office.home.start("worker")
        try:
            office.tell("connections", "switch", "next", "--on", "2020-08-02")
            taken = lambda: office.ask("connections")[1]["takes_place_of"] == "oneroster"  # noqa: E731
            until(taken, "the connection has taken the place")
        finally:
            office.home.stop(worker)
        run = office.ask("runs")[0]
        assert {count["changed"] for count in run["counts"]["collections"]} == {0}  # another address is no change
        assert {one.id: one.doc for one in office.entities()} == standing
        assert {name for one in office.entities() for name in one.keys} == {"next"}
