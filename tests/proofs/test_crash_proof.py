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
KILLS = 160
KILLS_PUSHING = 40
STOPS = 50


def test_kills_cost_no_page_and_change_nothing() -> None:
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
        pushed: Counter[str] = Counter()
        with Home.made() as other:
            number = 0
            while pushed["pushing"] < KILLS_PUSHING:
                number += 1
                with destination(build(schools=1, students=40, seed=SEED + number)) as there:
                    pushed += killed_while_pushing(
                        other, there, f"pushed {number}", rng, plans=20, kills=10, one_at_a_time=True
                    )
        counts["kills while pushing"] = pushed["pushing"]
        counts["requests repeated whose outcome was unknown"] = pushed["repeated"]
        counts["kills while pulling"] = killed["pulling"]
        counts["kills while resolving"] = killed["resolving"]
        counts["kills that came too late to count"] = killed["too late"]
        assert killed["pulling"] > 100 and killed["resolving"] > 10


def test_workers_stopped_past_their_takeover_write_nothing_when_they_wake() -> None:
    rng = Random(SEED)
    with proof("takeover", seed=SEED) as counts, Home.made() as home:
        for kind in ("oneroster", "edfi"):
            with a_system(kind, build(schools=2, students=120, seed=SEED)) as system:
                whole = undisturbed(home, system)
                for number in range(STOPS // 2):
                    # One that is stopped while it resolves keeps the district's lock for a minute: a few are enough.
                    stopped_and_woken(home, system, whole, f"{kind} stopped {number}", rng, resolving=number < 2)
        counts |= {"stopped while pulling": STOPS - 4, "stopped while resolving": 4}
