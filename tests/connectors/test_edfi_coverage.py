"""The README's table of Ed-Fi's data standards says what is so, and is the one that is generated."""

import pytest

from connectors.edfi.resources import resources
from connectors.edfi.sink import TEAM, WRITTEN
from tests.connectors.edfi_coverage import NOT_READ, README, STANDARDS, exists, served, with_table, written
from tests.openapi import CONTRACTS

pytestmark = pytest.mark.skipif(not CONTRACTS.exists(), reason="the published documents are not beside this checkout")


def test_the_table_is_as_it_is_generated() -> None:
    text = README.read_text(encoding="utf-8")
    assert text == with_table(text), "run: PYTHONPATH=. python -m tests.connectors.edfi_coverage"


@pytest.mark.parametrize("standard", STANDARDS)
def test_what_is_asked_for_is_in_the_standard(standard: str) -> None:
    """Of the later releases of 5, which have no document here, a collection may be asked for that 5.0 has not."""
    asked = {resource.name for resource in resources(STANDARDS[standard])}
    assert {name for name in asked if not served(standard, name)} <= ({*_ADDED_IN_5_2} if standard == "5.0" else set())
    assert not asked & NOT_READ.keys() and all(served("6.0", name) for name in NOT_READ)


_ADDED_IN_5_2 = ("studentSection504ProgramAssociations",)


@pytest.mark.parametrize("standard", STANDARDS)
def test_every_field_that_is_written_has_a_place_in_one_of_the_standards(standard: str) -> None:
    assert {*WRITTEN, *TEAM} >= set(written()) - {"studentSchoolAssociations"}
    for name, paths in written().items():
        assert served(standard, name)
        lost = [path for path in paths if not exists(standard, name, path)]
        assert all(any(exists(other, name, path) for other in STANDARDS) for path in lost), (name, lost)
