"""What is published by all keys at once is what folding them one by one would publish, to the last byte."""

from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest

from connectors.edfi.twin import twin as edfi_twin
from connectors.oneroster.twin import twin as oneroster_twin
from gateway.identity import entity_id
from gateway.schema import KINDS
from gateway.store import changes, wholes
from gateway.store.secrets import Secrets
from synthetic import build
from tests.e2e.office import Office
from tests.e2e.processes import Home, published, steer
from tests.serving import serve

DISTRICT = build(students=50)
NIGHTS: list[dict[str, Any]] = [{}, {"moved": 0.3}, {"without_students": 0.04, "with_new_students": 3}]


@contextmanager
def systems() -> Iterator[dict[str, str]]:
    """Two systems of the district that know the same people; the rosters are the system of record."""
    with serve(oneroster_twin(DISTRICT)) as rosters, serve(edfi_twin(DISTRICT)) as ods:
        yield {"oneroster": rosters, "edfi": ods}


@pytest.fixture
def folded(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """Kind -> how many entities went through the fold."""
    counted: Counter[str] = Counter()
    fill_batch = changes.fill_batch

    async def counting(c: Any, kind: str) -> int:
        filled = await fill_batch(c, kind)
        counted[kind] += filled
        return filled

    monkeypatch.setattr(changes, "fill_batch", counting)
    return counted


def test_both_ways_lead_to_the_same(installation: Home, folded: Counter[str], monkeypatch: pytest.MonkeyPatch) -> None:
    with ExitStack() as stack:
        offices = {way: Office(installation, f"wholes {way}") for way in ("at once", "one by one")}
        urls = {way: stack.enter_context(systems()) for way in offices}
        seen = {}
        for night, change in enumerate(NIGHTS):
            for way, office in offices.items():
                whole = wholes_alone if way == "at once" else lambda kind: False
                monkeypatch.setattr(wholes, "may_be_whole", whole)
                for kind, url in urls[way].items():
                    if not night:
                        office.connect(kind, url)
                    if change:
                        steer(url, "POST", "change", change)
                    assert office.pull(kind)["state"] == "published"
                    seen.setdefault((way, kind), dict(folded))
                    folded.clear()
            at_once, one_by_one = (followed(installation, office) for office in offices.values())
            assert at_once == one_by_one, f"night {night}"
    one_by_one = seen["one by one", "oneroster"]
    assert one_by_one["enrollment"] == len(DISTRICT.enrollments) and one_by_one["assessment_result"] > 100
    assert {kind for kind, n in seen["at once", "oneroster"].items() if n} == {"person"}


wholes_alone = wholes.may_be_whole


def followed(installation: Home, office: Office) -> dict[str, tuple[int, str]]:
    """All that followed from the records; these name the port that they came from."""
    return {table: rows for table, rows in published(installation, office.district).items() if table != "record"}


def test_ids_are_those_that_a_key_gets_on_first_sight(office: Office) -> None:
    with serve(oneroster_twin(DISTRICT)) as url:
        office.connect("oneroster", url)
        assert office.pull("oneroster")["state"] == "published"
    with office.home.database() as c:
        [(sealed,)] = c.execute("SELECT sealed_key FROM district WHERE name = %s", [office.district])
        links = c.execute(
            "SELECT kind, connection_id, key, CAST(entity_id AS text) FROM link JOIN district d ON d.id = district_id "
            "WHERE d.name = %s",
            [office.district],
        ).fetchall()
    key = Secrets.load(None, office.home.home).open(sealed)
    assert len(links) > len(DISTRICT.enrollments)
    assert [one for one in links if entity_id(key, *one[:3]) != one[3]] == []


def test_only_people_are_always_folded() -> None:
    assert [kind.name for kind in KINDS.values() if not wholes.may_be_whole(kind)] == ["person"]
