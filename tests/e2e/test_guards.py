"""What a run may do unseen: removals that wait alone, limits, blackouts, runs that only compare."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from connectors.oneroster.twin import twin
from synthetic import build
from tests.e2e.office import HELD, Office
from tests.e2e.processes import steer
from tests.serving import serve

DISTRICT = build(students=150)
NEW = 40


@pytest.fixture
def sis(office: Office) -> Iterator[str]:
    """A source that was pulled once."""
    with serve(twin(DISTRICT)) as url:
        office.connect("oneroster", url)
        assert office.pull("oneroster")["state"] == "published"
        yield url


def students(office: Office) -> set[str]:
    return {one.id for one in office.entities() if one.doc.get("population") == "student"}


def leave_and_arrive(sis: str) -> None:
    """12 % of the students vanish, and 40 new ones arrive."""
    steer(sis, "POST", "change", {"without_students": 0.12, "with_new_students": NEW})


def test_new_students_are_published_and_only_the_removals_wait(office: Office, sis: str) -> None:
    before = students(office)
    leave_and_arrive(sis)
    run = office.pull("oneroster", code=HELD)
    after = students(office)
    assert len(after - before) == NEW and before <= after
    assert {hold["effect"] for hold in run["holds"]} == {"removals"}
    assert [one["id"] for one in office.ask("holds", "show")] == [run["id"]]
    gone = run["counts"]["collections"]
    vanished = next(count["gone"] for count in gone if count["collection"] == "users")
    assert 0.12 * len(DISTRICT.students) - 1 < vanished

    waits = office.ask("holds", "show", str(run["id"]), "--changes", "--limit", "1000")["changes"]
    assert {row["op"] for row in waits} == {"removed"}
    leaving = {row["entity"] for row in waits if row["kind"] == "person"}
    approved = office.ask("holds", "approve", str(run["id"]), "--because", "They moved away.")
    assert approved["state"] == "published"
    assert before - students(office) == leaving & before != set()


def test_where_a_district_says_so_everything_waits(office: Office, sis: str) -> None:
    office.tell("guards", "set", "oneroster", "--hold-all")
    before = office.written()
    leave_and_arrive(sis)
    run = office.pull("oneroster", code=HELD)
    assert office.written() == before
    only_new = office.ask("holds", "approve", str(run["id"]), "--additions-only", "--because", "The rest is wrong.")
    assert only_new["state"] == "published"
    assert {op for moved in only_new["counts"]["published"].values() for op in moved} <= {"added", "changed"}
    assert sum(moved.get("removed", 0) for moved in only_new["counts"]["published"].values()) == 0
    assert office.ask("holds", "show") == []
    assert office.pull("oneroster", code=HELD)["state"] == "held", "what was dropped is asked again by the next run"


def test_limits_are_set_and_eased(office: Office, sis: str) -> None:
    steer(sis, "POST", "change", {"without_students": 0.12})
    until = (datetime.now(UTC) + timedelta(days=1)).strftime("%Y-%m-%dT%H:%M:%S")
    office.tell("guards", "allow", "oneroster", "--limit", "*.removed=1", "--until", until, "--because", "A merger.")
    assert office.pull("oneroster")["state"] == "published"
    office.tell("guards", "set", "oneroster", "--limit", "users.removed=0", "--limit", "users.at_least=0")
    steer(sis, "POST", "change", {"without_students": 0.02})
    shown = office.ask("guards", "show", "oneroster")
    assert shown["limits"] == {"users": {"removed": 0.0, "at_least": 0.0}} and len(shown["allowed"]) == 1
    assert office.pull("oneroster")["state"] == "published", "what a person allowed goes before the limits"


def test_an_unknown_limit_is_refused(office: Office, sis: str) -> None:
    for wrong in ("users.removal=0.2", "users.removed=much", "removed"):
        done = office.home.run("guards", "set", "oneroster", "--limit", wrong, district=office.district)
        assert done.returncode == 2 and "limits-invalid" in done.stderr


def test_a_dry_run_says_exactly_what_the_next_run_does(office: Office, sis: str) -> None:
    steer(sis, "POST", "change", {"moved": 0.1, "with_new_students": 5})
    before = office.written()
    dry = office.ask("pull", "oneroster", "--dry-run")
    assert (dry["state"], office.written()) == ("compared", before)
    promised = office.ask("holds", "show", str(dry["id"]), "--changes", "--limit", "100000")["changes"]
    real = office.pull("oneroster")
    assert outcome(real) == outcome(dry)
    assert sum(sum(moved.values()) for moved in real["counts"]["published"].values()) == len(promised) > 0


def test_a_dry_run_of_what_would_be_held_says_so_and_leaves_the_held_run(office: Office, sis: str) -> None:
    leave_and_arrive(sis)
    held = office.pull("oneroster", code=HELD)
    steer(sis, "POST", "change", {"without_students": 0.2})
    dry = office.ask("pull", "oneroster", "--dry-run")
    assert dry["state"] == "compared" and dry["counts"]["would_hold"]
    assert [one["id"] for one in office.ask("holds", "show")] == [held["id"]]
    assert office.pull("oneroster", code=HELD)["counts"]["published"] == dry["counts"]["published"]


def outcome(run: dict[str, Any]) -> Any:
    return run["counts"]["collections"], run["counts"]["published"]


def test_in_shadow_a_connection_publishes_nothing(office: Office) -> None:
    with serve(twin(DISTRICT)) as url:
        office.connect("oneroster", url)
        office.tell("connections", "shadow", "oneroster", "--on")
        first = office.pull("oneroster")
        assert (first["state"], first["mode"]) == ("compared", "shadow")
        assert first["counts"]["published"]["person"]["added"] > len(DISTRICT.students)
        assert office.entities() == []
        office.tell("connections", "shadow", "oneroster", "--off")
        published = office.pull("oneroster")
        assert (published["state"], published["counts"]["published"]) == ("published", first["counts"]["published"])


def test_what_is_held_stays_so_while_its_connection_only_compares(office: Office, sis: str) -> None:
    leave_and_arrive(sis)
    held = office.pull("oneroster", code=HELD)
    office.tell("connections", "shadow", "oneroster", "--on")
    assert office.pull("oneroster")["state"] == "compared"
    assert [one["id"] for one in office.ask("holds", "show")] == [held["id"]]
    office.tell("connections", "shadow", "oneroster", "--off")
    assert office.pull("oneroster", code=HELD)["id"] != held["id"]
    assert held["id"] not in [one["id"] for one in office.ask("holds", "show")]


def test_nothing_is_written_in_a_blackout(office: Office, sis: str) -> None:
    steer(sis, "POST", "change", {"with_new_students": 3})
    now = datetime.now(UTC)
    begin, end = (now - timedelta(hours=1)).isoformat(), (now + timedelta(hours=1)).isoformat()
    steer(sis, "PUT", "faults", [{"kind": "slow", "path": "users", "seconds": 0.1}])
    before = office.written()
    office.tell("blackouts", "add", "--from", begin[:19], "--until", end[:19], "--because", "State report.")
    done = office.home.run("pull", "oneroster", "--json", district=office.district)
    assert done.returncode == 6 and '"blackout"' in done.stdout
    assert office.ask("pull", "oneroster", "--dry-run")["state"] == "compared"
    assert office.written() == before
    [blackout] = office.ask("blackouts")
    office.tell("blackouts", "end", str(blackout["id"]))
    assert office.pull("oneroster")["state"] == "published"


def test_a_paused_connection_rests_until_it_is_resumed(office: Office, sis: str) -> None:
    office.tell("connections", "pause", "oneroster", "--because", "The SIS moves.")
    done = office.home.run("pull", "oneroster", "--json", district=office.district)
    assert done.returncode == 6 and "The SIS moves." in done.stdout
    office.tell("connections", "resume", "oneroster")
    assert office.pull("oneroster")["state"] == "published"
