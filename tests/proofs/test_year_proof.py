"""A simulated school year, evening by evening, and the summer after it: what was held, and that nothing was lost."""

from collections import Counter
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import pytest
from starlette.types import ASGIApp

from connectors.edfi.twin import twin as edfi_twin
from connectors.oneroster.twin import twin as oneroster_twin
from synthetic import build
from synthetic.summer import CHANGE_ID, CHANGE_SCHOOL
from synthetic.terms import ONE_TERM
from synthetic.year import RATES
from tests.e2e.office import Office, QuickHome
from tests.e2e.year import Evenings, Plans, summer, working_days
from tests.proofs.record import proof
from tests.serving import serve

pytestmark = [pytest.mark.proof, pytest.mark.timeout(7200)]

SEED = 2026
DISTRICT = build(schools=4, students=400, seed=SEED)
TWINS: dict[str, ASGIApp] = {"oneroster": oneroster_twin(DISTRICT), "edfi": edfi_twin(DISTRICT)}
YEAR = working_days(date(2026, 8, 17), date(2027, 6, 14))
SUMMER = working_days(date(2027, 6, 15), date(2027, 9, 15))


@pytest.fixture(params=TWINS)
def evenings(request: pytest.FixtureRequest) -> Iterator[Evenings]:
    with QuickHome.made() as home, serve(TWINS[request.param]) as url:
        office = Office(home, "district")
        office.connect(request.param, url)
        yield Evenings(office, {request.param: url})


def test_of_a_years_evenings_two_in_a_hundred_at_most_are_held_and_a_summer_loses_nothing(
    evenings: Evenings, tmp_path: Path
) -> None:
    [name] = evenings.urls
    with proof(f"year-{name}", seed=SEED) as counts:
        counts["students"] = len(DISTRICT.students)
        counts["rates"] = {"records changed a day": RATES, "sections changed between terms": ONE_TERM}
        counts["rates"] |= {"change school": CHANGE_SCHOOL, "change id": CHANGE_ID}
        evenings.pull_all(YEAR)
        counts["ordinary evenings"] = {"runs": evenings.runs, "held": len(evenings.held), "reasons": reasons(evenings)}
        assert len(evenings.held) <= 0.02 * evenings.runs
        assert evenings.office.waiting() == {}

        year, evenings.runs, evenings.held = evenings.runs, 0, []
        went = summer(evenings, Plans(evenings.office, tmp_path), DISTRICT, SUMMER)
        counts["summer"] = {
            "runs": evenings.runs,
            "held": [{"day": str(held.day), "reasons": list(held.reasons.values())} for held in evenings.held],
            "plans lost": len(went.plans_lost),
            "people who came back": went.returned,
            "of them with another id": len(went.with_other_ids),
            "writes in the blackout": went.written_in_the_blackout,
        }
        assert year > 180 and len(evenings.held) <= 3
        assert (went.plans_lost, went.with_other_ids, went.written_in_the_blackout) == (set(), set(), False)


def reasons(evenings: Evenings) -> dict[str, int]:
    return dict(Counter(code for held in evenings.held for code in held.reasons))
