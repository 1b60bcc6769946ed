"""The state at each closed issue is brought up to date: all of it reads as it did, and work goes on."""

import json
import shutil
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import pytest

from tests.e2e.office import QuickHome
from tests.e2e.processes import Home
from tests.upgrades.keep import chosen

STATES = sorted(path for path in Path(__file__).parent.glob("issue-*") if path.is_dir())


@pytest.fixture(params=STATES, ids=lambda path: path.name)
def state(request: pytest.FixtureRequest) -> Path:
    return Path(request.param)


@pytest.fixture
def home(state: Path) -> Iterator[Home]:
    """An installation with the keys of then, and the roster where its connection looks for it."""
    with QuickHome.made() as made:
        made.home.mkdir()
        shutil.copy(state / "keys", made.home / "keys")
        shutil.copy(state / "roster.zip", made.folder / "roster.zip")
        yield made


def test_a_state_of_then_is_read_and_worked_on_by_the_program_of_now(state: Path, home: Home) -> None:
    facts = json.loads((state / "facts.json").read_text())
    assert home.json("restore", str(state / "database.dump"), "--yes")["restored"] is True

    assert len(home.json("students")) == facts["students"]
    assert entities(home) == facts["entities"]
    assert sorted([run["id"], run["state"]] for run in home.json("runs")) == facts["runs"]
    assert [held["id"] for held in home.json("holds", "show")] == [facts["held"]]
    plans = {plan["id"]: plan for plan in home.json("plan", "list")}
    assert {id: plan["state"] for id, plan in plans.items()} == {facts["final"]: "finalized", facts["draft"]: "draft"}
    content = home.one("SELECT content FROM plan_version")
    for plan in plans.values():  # its history begins with what it said then
        told = home.json("plan", "history", plan["id"], "--at", "2100-01-01")
        assert told["state"] == plan["state"] and told["content"] == home.json("plan", "show", plan["id"])
    assert plans[facts["final"]]["standing"] == "finalized"
    assert sha256(content.encode()).hexdigest() == facts["sha256"] == home.one("SELECT sha256 FROM plan_version")
    assert home.one("SELECT state FROM delivery WHERE id = %(id)s", id=facts["delivery"]) == "delivered"
    assert [client["id"] for client in home.json("client", "list")] == [facts["client"]["client_id"]]

    for words, said in facts.get("chosen", {}).items():
        assert chosen(home.json(*words.split())) == said

    # The connection's secrets open, the held run can still be decided, and the next pull goes on.
    assert "secret" in home.run("export-config").stdout
    home.run("holds", "refuse", str(facts["held"]), "--because", "The export was broken.")
    assert home.json("holds", "show") == []
    known_as = ids(home)
    elsewhere(home, "sis", str(home.folder / "roster.zip"))
    run = home.json("pull", "sis")
    assert run["state"] == "published", run
    assert sum(c["added"] + c["changed"] + c["gone"] + c["rejected"] for c in run["counts"]["collections"]) == 0
    assert entities(home) == facts["entities"]
    assert ids(home) == known_as


def entities(home: Home) -> dict[str, int]:
    return dict(home.sql("SELECT kind, count(*) FROM entity GROUP BY 1"))


def ids(home: Home) -> str:
    """What vendors know people and all else by, as one hash."""
    rows = home.sql("SELECT kind, CAST(id AS text) FROM entity ORDER BY 1, 2")
    return sha256(repr(rows).encode()).hexdigest()


def elsewhere(home: Home, connection: str, path: str) -> None:
    with home.database() as c:
        c.execute(
            "UPDATE connection SET settings = CAST(CAST(settings AS jsonb) || jsonb_build_object('path', %s::text) "
            "AS json) WHERE name = %s",
            [path, connection],
        )
