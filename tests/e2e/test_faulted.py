"""Runs over a system that goes wrong: all of it is published, or nothing of what is in doubt; rests are kept."""

from random import Random

import pytest

from tests.e2e.conftest import NUMBERS
from tests.e2e.faulted import CATEGORIES, LONGEST_WAIT, Found, Source, State
from tests.e2e.processes import Home

SEED = 51_515
KINDS = ["oneroster", "edfi"]


@pytest.mark.parametrize("kind", KINDS)
def test_what_goes_wrong_at_random_is_made_up_for_or_held(installation: Home, kind: str) -> None:
    """Most categories once; first where nothing is published yet, then over the changes of a day."""
    rng, found = Random(SEED), Found()
    with Source.connected(installation, kind, f"faulted {next(NUMBERS)}", rng, tried=3) as source:
        source.evening(rng, found)
        source.change(rng)
        source.evening(rng, found)
    assert found.runs == 6 and len(found.ended) > 1
    assert len(found.faults) > len(CATEGORIES) / 2


@pytest.mark.parametrize("kind", KINDS)
def test_a_server_is_left_alone_for_as_long_as_it_says(installation: Home, kind: str) -> None:
    """In seconds or by a date, at a page or where tokens are given out, whatever its clock says."""
    rng, found = Random(SEED), Found()
    token, page, other = {
        "oneroster": ("/token", "/enrollments?", "/users?"),
        "edfi": ("/oauth/token", "/studentSectionAssociations?", "/staffs?"),
    }[kind]
    busy = {"kind": "status", "retry_after": 1}
    rests = {
        "at the token": busy | {"path": token, "status": 429},
        "in the middle": busy | {"path": page, "status": 503, "skip": 3},
        "by a clock that is fast": busy | {"path": page, "status": 429, "ahead": 600},
        "by a clock that is slow": busy | {"path": other, "status": 503, "ahead": -600},
        "by a clock that is right": busy | {"path": other, "status": 429, "ahead": 0.001},
    }
    with Source.connected(installation, kind, f"rests {next(NUMBERS)}", rng, tried=1, abreast=True) as source:
        [office] = source.tried
        source.calm.pull(kind)
        whole = State.of(source.calm)
        source.disturbed(office, whole, rests, found)
        assert (found.rests, dict(found.ended)) == (len(rests), {"equal at once": 1})
        source.before = whole
        too_long = busy | {"path": page, "status": 429, "retry_after": 2 * LONGEST_WAIT}
        source.disturbed(office, whole, {"for longer than anybody waits": too_long}, found)
        assert found.reasons == {"server-busy": 1}
