"""A school year and a summer, in a sample of their days: ordinary evenings are not held, nobody and nothing is lost."""

from datetime import date
from pathlib import Path

from connectors.oneroster.twin import twin
from synthetic import build
from tests.e2e.office import Office
from tests.e2e.year import Evenings, Plans, summer, working_days
from tests.serving import serve

DISTRICT = build(schools=4, students=150)
TERM_CHANGE = [
    *working_days(date(2026, 12, 10), date(2026, 12, 16)),
    *working_days(date(2027, 1, 7), date(2027, 1, 12)),
    *working_days(date(2027, 1, 15), date(2027, 1, 20)),
]
SUMMER = [date(2027, *day) for day in ((6, 15), (6, 24), (7, 1), (7, 15), (8, 2), (8, 3), (8, 16), (8, 17), (8, 18))]


def test_ordinary_evenings_are_not_held_nor_are_those_of_the_term_change(office: Office) -> None:
    with serve(twin(DISTRICT)) as url:
        office.connect("oneroster", url)
        evenings = Evenings(office, {"oneroster": url})
        evenings.pull_all(TERM_CHANGE)
        assert evenings.runs == len(TERM_CHANGE) and evenings.held == []


def test_a_summer_loses_no_plan_and_nobody_who_comes_back(office: Office, tmp_path: Path) -> None:
    with serve(twin(DISTRICT)) as url:
        office.connect("oneroster", url)
        evenings = Evenings(office, {"oneroster": url})
        evenings.pull_all([date(2027, 6, 14)])
        went = summer(evenings, Plans(office, tmp_path), DISTRICT, SUMMER)
        assert not went.written_in_the_blackout
        assert (went.plans_lost, went.with_other_ids) == (set(), set()) and went.returned > 100
        assert {held.day: set(held.reasons) for held in evenings.held} == {
            date(2027, 6, 24): {"empty-collection"},
            date(2027, 8, 2): {"many-changed", "many-added"},
        }
