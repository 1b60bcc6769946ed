"""What was, and back to it: undo, as of a day, why a value is here, what changed since my last look."""

import asyncio
import time
from collections.abc import Iterator
from datetime import UTC, datetime

import psycopg
import pytest

from connectors.edfi.twin import twin as edfi_twin
from connectors.oneroster.twin import twin
from gateway.store import history
from gateway.store.database import Store
from synthetic import build
from tests.e2e.office import HELD, Office
from tests.e2e.processes import steer
from tests.serving import serve
from tests.undoing import standing

DISTRICT = build(students=60)


@pytest.fixture
def sis(office: Office) -> Iterator[str]:
    """A source that was pulled once."""
    with serve(twin(DISTRICT)) as url:
        office.connect("oneroster", url)
        assert office.pull("oneroster")["state"] == "published"
        yield url


def test_undone_is_as_before_hash_for_hash(office: Office, sis: str) -> None:
    office.tell("guards", "set", "oneroster", "--limit", "*.removed=1", "--limit", "*.rekeyed=1")
    before = standing(office)
    changes = [{"moved": 0.2}, {"without_students": 0.2}, {"with_new_students": 4}, {"reset": True}, {"moved": 0.3}]
    runs = []
    for change in changes:
        steer(sis, "POST", "change", change)
        runs.append(office.pull("oneroster")["id"])
    after = standing(office)
    assert after != before

    preview = office.ask("undo", str(runs[0]), "--preview")
    assert (preview["state"], standing(office)) == ("compared", after)
    undone = office.ask("undo", str(runs[0]), "--because", "The export was wrong.")
    assert undone["counts"]["published"] == preview["counts"]["published"]
    assert standing(office) == before
    assert {run["undone_by"] for run in office.ask("runs") if run["id"] in runs} == {undone["id"]}

    refused = office.home.run("pull", "oneroster", "--json", district=office.district)
    assert refused.returncode == 6 and "undone" in refused.stdout, "or the next pull would publish the same again"
    assert office.ask("undo", str(undone["id"]), "--because", "It was right after all.")["state"] == "published"
    assert standing(office) == after
    again = office.home.run("undo", str(runs[1]), "--because", "Once more.", "--json", district=office.district)
    assert again.returncode == 0 and standing(office) != after


def test_what_was_partly_published_is_undone_as_well(office: Office, sis: str) -> None:
    before = standing(office)
    steer(sis, "POST", "change", {"without_students": 0.3, "with_new_students": 5})
    held = office.pull("oneroster", code=HELD)
    assert standing(office) != before
    office.ask("undo", str(held["id"]), "--because", "Wrong file.")
    assert standing(office) == before
    assert office.ask("holds", "show") == []


def test_two_sources_are_undone_one_after_the_other(office: Office, sis: str) -> None:
    with serve(edfi_twin(DISTRICT, standard="5.0")) as ods:
        alone = standing(office)
        office.connect("edfi", ods)
        first = office.pull("edfi")["id"]
        both = standing(office)
        for url in (sis, ods):
            steer(url, "POST", "change", {"with_new_students": 3})
        edfi, oneroster = (office.pull(name)["id"] for name in ("edfi", "oneroster"))
        assert any(cause == "unmatched" for _, _, cause in office.waiting()) is False
        office.ask("undo", str(oneroster), "--because", "Test.")
        office.ask("undo", str(edfi), "--because", "Test.")
        assert standing(office) == both
        office.ask("undo", str(first), "--because", "Test.")
        assert standing(office) == alone


def test_what_cannot_be_undone_is_said(office: Office, sis: str) -> None:
    unchanged = office.pull("oneroster")["id"]
    for number, code in ((unchanged, "nothing-to-undo"), (10**9, "run-unknown")):
        done = office.home.run("undo", str(number), "--because", "x", "--json", district=office.district)
        assert done.returncode != 0 and code in done.stdout
    [_, first] = [run["id"] for run in office.ask("runs")]
    assert "reason-missing" in office.home.run("undo", str(first), "--json", district=office.district).stdout


def test_a_record_as_it_was_on_a_day(office: Office, sis: str) -> None:
    someone = next(one for one in office.entities() if one.doc.get("population") == "student")
    then = datetime.now(UTC)
    office.tell("guards", "set", "oneroster", "--limit", "*.removed=1")
    steer(sis, "POST", "change", {"without_students": 1.0, "with_new_students": 60})
    run = office.pull("oneroster", code=HELD)
    office.ask("holds", "approve", str(run["id"]), "--because", "A new school.")
    gone = office.home.run(
        "history", "entity", "person", someone.id, "--on", datetime.now(UTC).isoformat(), "--json",
        district=office.district,
    )  # fmt: skip
    assert gone.returncode == 2 or someone.id in {one.id for one in office.entities()}
    was = office.ask("history", "entity", "person", someone.id, "--on", then.isoformat())
    assert was == someone.doc
    ops = [change["op"] for change in office.ask("history", "entity", "person", someone.id)]
    assert ops[-1] == "added" and set(ops[:-1]) <= {"removed", "changed"}
    counts = office.ask("history", "run", str(run["id"]))["counts"]
    assert {row["op"] for row in counts if row["kind"] == "person"} == {"added", "removed"}


def test_why_a_value_is_here_and_who_says_otherwise(office: Office, sis: str) -> None:
    with serve(edfi_twin(DISTRICT, standard="5.0")) as ods:
        office.connect("edfi", ods)
        office.pull("edfi")
        child = next(one for one in office.entities() if one.doc.get("population") == "student" and "edfi" in one.keys)
        [name] = office.ask("why", "person", child.id, "given_name")
        assert name["value"] == child.doc["given_name"]
        [origin] = name["origins"]
        assert (origin["connection"], origin["collection"], origin["source_fields"]) == (
            "oneroster", "users", ["givenName"],
        )  # fmt: skip
        assert origin["record"] == child.keys["oneroster"] and origin["mapping"].startswith("oneroster@")
        assert {other["connection"] for other in name["others"]} == {"edfi"}
        assert {o["connection"] for o in office.ask("why", "person", child.id, "identifiers")[0]["origins"]} == {
            "oneroster", "edfi",
        }  # fmt: skip

        office.tell("precedence", "set", "person.email", "edfi", "oneroster")
        office.pull("oneroster")
        [email] = office.ask("why", "person", child.id, "email")
        stated = {o["connection"] for o in (*email["origins"], *email["others"])}
        assert email["origins"][0]["connection"] == ("edfi" if "edfi" in stated else "oneroster")
        assert office.ask("precedence") == [{"field": "person.email", "connections": "edfi, oneroster"}]
        refused = office.home.run("precedence", "set", "person.identifiers", "edfi", district=office.district)
        assert refused.returncode == 2 and "field-unknown" in refused.stderr


async def test_a_poller_misses_nothing_of_a_slow_publish(store: Store, district: int) -> None:
    """A transaction that began first and ends last has the lowest numbers: a cursor over numbers would skip it."""
    url = store.url.set(drivername="postgresql").render_as_string(hide_password=False)
    insert = (
        "INSERT INTO change (district_id, publication, kind, entity_id, op) "
        "SELECT %s, 1, 'person', gen_random_uuid(), 'added' FROM generate_series(1, %s)"
    )
    seen: list[str] = []
    place = history.BEGINNING
    with psycopg.connect(url) as slow, psycopg.connect(url, autocommit=True) as quick:
        slow.execute(insert, [district, 5])
        ends = time.monotonic() + 1.5
        while time.monotonic() < ends:
            quick.execute(insert, [district, 3])
            feed = await history.changes_since(store, district, place, limit=4)
            seen += [change["entity"] for change in feed.changes]
            place = feed.place
            await asyncio.sleep(0.05)
        assert seen == [], "what is younger than a publish under way waits for it"
        slow.commit()
        total = quick.execute("SELECT count(*) FROM change WHERE district_id = %s", [district]).fetchone()
    while feed.changes or not seen:
        feed = await history.changes_since(store, district, place, limit=4)
        seen += [change["entity"] for change in feed.changes]
        place = feed.place
    assert total is not None and len(seen) == len(set(seen)) == total[0] > 20
