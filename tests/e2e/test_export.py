"""The roster as a OneRoster CSV package: valid by a strict reader, and the same district again where it is taken in."""

import re
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from connectors.edfi.twin import twin as edfi_twin
from connectors.oneroster.twin import twin as oneroster_twin
from synthetic import build
from tests.e2e.office import Docs, Office
from tests.e2e.processes import Home, steer
from tests.serving import serve
from tests.strict_csv import checked

# What the export calls a field, where it is not our kind and field -> the kinds and fields of the common schema.
FIELDS = {
    "users.username": ["person.username"],
    "users.enabledUser": ["person.active"],
    "users.roles": ["person.roles"],
    "users.role": ["person.roles"],
    "users.primaryOrg": ["person.primary_organization"],
    "users.preferredFirstName": ["person.preferred_given_name"],
    "demographics.sex": ["person.sex"],
    "classes.classType": ["class.type"],
    "classes.subjects": ["class.subjects"],
    "courses.subjects": ["course.subjects"],
    "categories.weight": ["category.weight"],
    "lineItems.academicSession": ["line_item.session", "line_item.grading_period"],
    "lineItems.gradingPeriod": ["line_item.session", "line_item.grading_period"],
    "lineItems.school": ["line_item.school"],
    "results.class": ["result.class"],
}


@pytest.fixture
def templates(contracts: Path) -> Path:
    return contracts / "oneroster" / "templates"


@pytest.fixture
def other(installation: Home, office: Office) -> Office:
    """An empty district."""
    return Office(installation, f"{office.district}-copy")


@contextmanager
def source(office: Office, name: str, contracts: Path) -> Iterator[str]:
    """The district, filled from a system of that name."""
    kind, _, which = name.partition(" ")
    if kind == "files":
        office.connect_files(contracts / "oneroster" / "csv" / "synthetic-district" / which)
        office.pull("oneroster")
        yield ""
        return
    district = build(students=60, seed=int(which))
    made = oneroster_twin(district) if kind == "oneroster" else edfi_twin(district)
    with serve(made) as url:
        office.connect(kind, url)
        assert office.pull(kind)["state"] == "published"
        yield url


@pytest.mark.parametrize("version", ["1.2", "1.1"])
@pytest.mark.parametrize(
    "name", ["oneroster 1", "oneroster 2", "edfi 3", "files maple_v1p2_bulk.zip", "files maple_v1p1_bulk.zip"]
)
def test_what_is_exported_is_the_same_district_elsewhere_but_for_what_was_said(
    office: Office, other: Office, contracts: Path, templates: Path, tmp_path: Path, name: str, version: str
) -> None:
    with source(office, name, contracts):
        place = tmp_path / "roster.zip"
        said = office.ask("export", "oneroster-csv", str(place), "--demographics", "--version", version)
    sheets = checked(place, templates, version)
    assert {file: about["rows"] for file, about in said["files"].items() if about["rows"]} == {
        file: len(rows) for file, rows in sheets.items() if rows
    }
    other.connect_files(place)
    assert other.pull("oneroster")["state"] == "published"
    compare(differences(district(office), district_by_first(other)), said["losses"])


def compare(found: dict[str, int], losses: list[dict[str, Any]]) -> None:
    """Whatever differs there was said, and how often; nothing else was said. Several losses may be of one entity."""
    stated: dict[str, list[int]] = {}
    for loss in losses:
        for field in FIELDS.get(f"{loss['of']}.{loss['field']}", [f"{loss['of']}.{loss['field']}"]):
            stated.setdefault(field, []).append(loss["count"])
    assert found.keys() == stated.keys(), (found.items() - stated.items(), losses)
    assert all(max(counts) <= found[field] <= sum(counts) for field, counts in stated.items()), (found, stated)


def district(office: Office) -> dict[str, Docs]:
    found: dict[str, Docs] = {}
    for one in office.entities():
        found.setdefault(one.kind, {})[one.id] = one.doc
    return by_meaning(found)


def district_by_first(other: Office) -> dict[str, Docs]:
    """What the other district took in, by the ids of the first."""
    return by_meaning(other.published("oneroster"))


def by_meaning(found: dict[str, Docs]) -> dict[str, Docs]:
    """A relationship is known by whom it joins; the order of roles says nothing."""
    if "relationship" in found:
        found["relationship"] = {f"{doc['student']}|{doc['contact']}": doc for doc in found["relationship"].values()}
    for doc in found.get("person", {}).values():
        if "roles" in doc:
            doc["roles"] = sorted(doc["roles"], key=str)
        if "identifiers" in doc:
            doc["identifiers"] = sorted(doc["identifiers"], key=str)
    return found


def differences(ours: dict[str, Docs], theirs: dict[str, Docs]) -> dict[str, int]:
    found: Counter[str] = Counter()
    for kind in ours.keys() | theirs.keys():
        was, now = ours.get(kind, {}), theirs.get(kind, {})
        assert now.keys() <= was.keys(), f"{kind} was invented"
        for id, doc in was.items():
            if id not in now:
                found[f"{kind}."] += 1
                continue
            for field in doc.keys() | now[id].keys():
                if doc.get(field) != now[id].get(field):
                    found[f"{kind}.{field}"] += 1
    return dict(found)
