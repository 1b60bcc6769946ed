"""Who is who at the command line: nothing of a child is shown unless somebody asks for it with a reason."""

from pathlib import Path

import pytest

from tests.e2e.conftest import installation as installation
from tests.e2e.conftest import office as office
from tests.e2e.office import Office
from tests.identity.rosters import ADA, BEN, FILLERS, again, write

SECRETS = ("Larksmith", "Ada", "2014-03-01", "0001", "k-ada", "v-ada")


@pytest.fixture
def two(office: Office, tmp_path: Path) -> Office:
    """An office with a roster and a vendor who has lost the zeros of Ada's number."""
    write(tmp_path / "sis", [ADA, again(ADA, key="k-twice", number="0101"), BEN, *FILLERS])
    write(tmp_path / "vendor", [again(ADA, number="1")])
    for name in ("sis", "vendor"):
        office.ask("connect", "oneroster", "--name", name, "--set", f"path={tmp_path / name}", "--yes")
        office.pull(name)
    return office


def test_from_the_queue_to_a_decision_and_back(two: Office) -> None:
    told = two.tell("identity", "queue")
    [case] = two.ask("identity", "queue")["cases"]
    [ada] = [one["person"] for one in case["candidates"] if one["strength"] == "strong"]
    shown = two.tell("identity", "show", case["case"])
    assert [secret for secret in SECRETS if secret in told + shown] == []
    assert "A…" in shown and "L…" in shown and "2014-…" in shown
    two.tell("identity", "show", case["case"], "--reveal", code=6)
    full = two.tell("identity", "show", case["case"], "--reveal", "--because", "Is it Ada?")
    assert "Larksmith" in full and "v-ada" in full

    two.tell("identity", "confirm", case["case"], ada, code=6)
    done = two.ask("identity", "confirm", case["case"], ada, "--because", "Asked the school.")
    assert two.tell("identity", "queue").startswith("Nobody waits.")
    keys = two.ask("identity", "show", ada, "--person")["keys"]
    assert {(one["connection"], one["method"]) for one in keys} == {("sis", "first"), ("vendor", "decided")}
    assert "first" in two.tell("identity", "show", ada, "--person")
    said = two.tell("identity", "undo", str(done["decision"]), "--because", "Asked again.")
    assert "person: 1 changed" in said
    two.ask("identity", "refuse", case["case"], ada, "--because", "It is another Ada.")
    acts = [one["act"] for one in two.ask("identity", "decisions")]
    assert acts == ["different", "undo", "same"]


def test_merge_and_split(two: Office) -> None:
    one, other = (two.ask("students", "--number", number)[0]["id"] for number in (ADA.number, "0101"))
    two.tell("identity", "merge", other, "--into", one, "--because", "Enrolled twice.")
    keys = two.ask("identity", "show", other, "--person")["keys"]
    assert {key["id"] for key in keys} == {one, other}
    two.tell("identity", "split", one, "--key", other, "--because", "Two cousins.")
    assert two.ask("students", "--number", "0101")[0]["id"] not in (one, other), "no id is given twice"


def test_rules_are_off_until_somebody_switches_one_on(two: Office) -> None:
    assert [rule["on"] for rule in two.ask("identity", "rules")] == [False, False]
    two.tell("identity", "rule", "state-id", "--system", "State")
    assert {rule["rule"]: rule["systems"] for rule in two.ask("identity", "rules")}["state-id"] == "State"
    two.tell("identity", "rule", "state-id")
    assert [rule["on"] for rule in two.ask("identity", "rules")] == [False, False]
    two.tell("identity", "rule", "intuition", code=2)
