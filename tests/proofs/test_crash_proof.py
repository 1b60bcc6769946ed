"""Fifty workers killed, and workers stopped past their takeover: no page twice, nothing different, nothing written."""

from collections import Counter
from random import Random

import pytest

from synthetic import build
from tests.e2e.processes import Home
from tests.e2e.test_crash import a_system, interrupted, stopped_and_woken, undisturbed
from tests.proofs.record import proof

pytestmark = [pytest.mark.proof, pytest.mark.timeout(3600)]

SEED = 50_501
KILLS = 50


def test_fifty_kills_cost_no_page_and_change_nothing() -> None:
    rng = Random(SEED)
    killed: Counter[str] = Counter()
    with proof("crash", seed=SEED) as counts, Home.made() as home:
        for kind in ("oneroster", "edfi"):
            with a_system(kind, build(schools=2, students=120, seed=SEED)) as system:
                whole = undisturbed(home, system)
                runs = 0
                while killed.total() - killed["too late"] < KILLS / 2 * (1 + (kind == "edfi")):
                    runs += 1
                    killed += interrupted(home, system, whole, f"{kind} {runs}", rng, pulling=4, resolving=1)
                counts[kind] = {"runs": runs, "pages of a run": whole.pages}
        counts["kills while pulling"] = killed["pulling"]
        counts["kills while resolving"] = killed["resolving"]
        counts["kills that came too late to count"] = killed["too late"]
        assert killed["pulling"] > 30 and killed["resolving"] > 3


def test_workers_stopped_past_their_takeover_write_nothing_when_they_wake() -> None:
    rng = Random(SEED)
    with proof("takeover", seed=SEED) as counts, Home.made() as home:
        for kind in ("oneroster", "edfi"):
            with a_system(kind, build(schools=2, students=120, seed=SEED)) as system:
                whole = undisturbed(home, system)
                for number in range(5):
                    stopped_and_woken(home, system, whole, f"{kind} stopped {number}", rng)
                stopped_and_woken(home, system, whole, f"{kind} stopped resolving", rng, resolving=True)
        counts |= {"stopped while pulling": 10, "stopped while resolving": 2}
