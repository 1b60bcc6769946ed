"""Two hundred workers killed, fifty stopped past their takeover: no page twice, nothing different, nothing doubled."""

from collections import Counter
from random import Random

import pytest

from synthetic import build
from tests.e2e.processes import Home
from tests.e2e.test_crash import a_system, interrupted, stopped_and_woken, undisturbed
from tests.e2e.test_crash_push import destination, killed_while_pushing
from tests.proofs.record import proof

pytestmark = [pytest.mark.proof, pytest.mark.timeout(7200)]

SEED = 50_501
KILLS = 80
"""Of workers that pull, resolve and publish, for each kind of system; with those that push, two hundred."""
KILLS_PUSHING = 40
STOPS = 25
"""For each kind of system."""
RUNS_OF_A_SYSTEM = 5
"""An Ed-Fi server gives a client no more than fifteen tokens, and each district asks for one."""
DISTRICT = build(schools=2, students=120, seed=SEED)


@pytest.mark.parametrize("kind", ["oneroster", "edfi"])
def test_kills_cost_no_page_and_change_nothing(kind: str) -> None:
    rng = Random(SEED)
    killed: Counter[str] = Counter()
    runs = 0
    with proof(f"crash-{kind}", seed=SEED) as counts, Home.made() as home:
        while killed.total() - killed["too late"] < KILLS:
            with a_system(kind, DISTRICT) as system:
                whole = undisturbed(home, system)
                for _ in range(RUNS_OF_A_SYSTEM):
                    runs += 1
                    killed += interrupted(home, system, whole, f"{kind} {runs}", rng, pulling=4, resolving=1)
        counts |= {"runs": runs, "pages of a run": whole.pages}
        counts["kills while pulling"] = killed["pulling"]
        counts["kills while resolving and publishing"] = killed["resolving"]
        counts["kills that came too late to count"] = killed["too late"]
        assert killed["pulling"] > 50 and killed["resolving"] >= 5


def test_kills_while_pushing_make_no_second_object() -> None:
    rng = Random(SEED)
    killed: Counter[str] = Counter()
    with proof("crash-push", seed=SEED) as counts, Home.made() as home:
        number = 0
        while killed["pushing"] < KILLS_PUSHING:
            number += 1
            with destination(build(schools=1, students=40, seed=SEED + number)) as there:
                killed += killed_while_pushing(
                    home, there, f"pushed {number}", rng, plans=20, kills=10, one_at_a_time=True
                )
        counts["kills while pushing"] = killed["pushing"]
        counts["requests repeated whose outcome was unknown"] = killed["repeated"]


@pytest.mark.parametrize("kind", ["oneroster", "edfi"])
def test_workers_stopped_past_their_takeover_write_nothing_when_they_wake(kind: str) -> None:
    rng = Random(SEED)
    with proof(f"takeover-{kind}", seed=SEED) as counts, Home.made() as home:
        for first in range(0, STOPS, RUNS_OF_A_SYSTEM):
            with a_system(kind, DISTRICT) as system:
                whole = undisturbed(home, system)
                for number in range(first, first + RUNS_OF_A_SYSTEM):
                    # One that is stopped while it resolves keeps the district's lock for a minute: a few do.
                    name = f"{kind} stopped {number}"
                    stopped_and_woken(home, system, whole, name, rng, resolving=number < 2)
        counts |= {"stopped while pulling": STOPS - 2, "stopped while resolving": 2}
