"""Thirty runs taken back: hash for hash; dry runs that predict; a poller that misses nothing of a long publish."""

import asyncio
import time
from random import Random

import psycopg
import pytest

from connectors.edfi.twin import twin as edfi_twin
from connectors.oneroster.twin import twin as oneroster_twin
from gateway.store import history
from gateway.store.database import Store
from synthetic import build
from tests.e2e.office import Office, QuickHome
from tests.e2e.processes import steer
from tests.proofs.record import proof
from tests.serving import serve
from tests.undoing import standing

pytestmark = [pytest.mark.proof, pytest.mark.timeout(3600)]

SEED = 30_303
RUNS = 30


def test_thirty_runs_are_undone_hash_for_hash_and_each_was_foretold() -> None:
    rng = Random(SEED)
    district = build(students=150, seed=SEED)
    with proof("undo", seed=SEED) as counts, QuickHome.made() as home:
        for kind in ("oneroster", "edfi"):
            with serve(oneroster_twin(district) if kind == "oneroster" else edfi_twin(district)) as url:
                office = Office(home, f"{kind} undone")
                office.connect(kind, url)
                office.pull(kind)
                eased = [f"*.{limit}=1" for limit in ("removed", "rekeyed", "shrunk", "unmatched")]
                office.tell("guards", "set", kind, *(part for limit in eased for part in ("--limit", limit)))
                before, standings, runs, foretold = standing(office), [], [], 0
                for _ in range(RUNS):
                    standings.append(standing(office))
                    steer(url, "POST", "change", _some_change(rng))
                    dry = office.ask("pull", kind, "--dry-run")
                    run = office.pull(kind)
                    assert (dry["counts"]["collections"], dry["counts"]["published"]) == (
                        run["counts"]["collections"],
                        run["counts"]["published"],
                    )
                    foretold += 1
                    runs.append(run)
                half = next(run["id"] for run in runs[RUNS // 2 :] if run["publication"] is not None)
                office.ask("undo", str(half), "--because", "Half of it.")
                assert standing(office) == standings[[run["id"] for run in runs].index(half)]
                first = next(run["id"] for run in runs if run["publication"] is not None)
                office.ask("undo", str(first), "--because", "All of it.")
                assert standing(office) == before
                counts[kind] = {
                    "runs": RUNS,
                    "runs that published": sum(run["publication"] is not None for run in runs),
                    "dry runs that foretold the counts": foretold,
                    "rows compared by hash": {table: rows for table, (rows, _) in before.items()},
                }


def _some_change(rng: Random) -> dict[str, float | int]:
    return rng.choice(
        [
            {"moved": rng.uniform(0.02, 0.3)},
            {"without_students": rng.uniform(0.02, 0.2)},
            {"with_new_students": rng.randrange(1, 20)},
            {"moved": 0.05, "with_new_students": 3},
        ]
    )


async def test_a_poller_misses_nothing_of_a_publish_of_thirty_seconds(store: Store, district: int) -> None:
    url = store.url.set(drivername="postgresql").render_as_string(hide_password=False)
    insert = (
        "INSERT INTO change (district_id, publication, kind, entity_id, op) "
        "SELECT %s, 1, 'person', gen_random_uuid(), 'added' FROM generate_series(1, %s)"
    )
    with (
        proof("poller", seed=0) as counts,
        psycopg.connect(url) as slow,
        psycopg.connect(url, autocommit=True) as quick,
    ):
        seen: list[str] = []
        place, polls, ends = history.BEGINNING, 0, time.monotonic() + 30
        while time.monotonic() < ends:
            slow.execute(insert, [district, 50])
            quick.execute(insert, [district, 3])
            feed = await history.changes_since(store, district, place, limit=500)
            seen += [change["entity"] for change in feed.changes]
            place, polls = feed.place, polls + 1
            await asyncio.sleep(0.1)
        slow.commit()
        while (feed := await history.changes_since(store, district, place, limit=500)).changes:
            seen += [change["entity"] for change in feed.changes]
            place = feed.place
        row = quick.execute("SELECT count(*) FROM change WHERE district_id = %s", [district]).fetchone()
        assert row is not None and len(seen) == len(set(seen)) == row[0]
        counts |= {"seconds of one publish": 30, "looks meanwhile": polls, "changes": row[0], "missed": 0}
