"""What every test at the edge may ask for: one installation, and in it a district of one's own."""

import itertools
from collections.abc import Iterator

import pytest

from tests.e2e.office import Office, QuickHome
from tests.e2e.processes import Home

NUMBERS = itertools.count(1)


@pytest.fixture(scope="session")
def installation() -> Iterator[Home]:
    """One installation for tests that do no harm to its server or its processes."""
    with QuickHome.made(laid=True) as made:
        yield made


@pytest.fixture
def office(installation: Home) -> Office:
    """A new district in it: tests see nothing of each other's."""
    return Office(installation, f"district-{next(NUMBERS)}")
