"""What the Ed-Fi twin serves, also beyond roster and results: each row is one that the played standard describes."""

import json
from collections.abc import Iterator
from functools import cache
from typing import Any

import httpx
import pytest

from connectors.edfi.resources import resources
from connectors.edfi.twin import twin
from connectors.edfi.twin.keys import natural_key
from connectors.edfi.twin.release import STANDARDS
from synthetic import build
from tests import openapi
from tests.openapi import CONTRACTS
from tests.serving import serve

pytestmark = pytest.mark.skipif(not CONTRACTS.is_dir(), reason=f"no contracts at {CONTRACTS}")

DISTRICT = build(schools=1, students=12)
NEEDY = build(schools=3, students=60, seed=41)
"""Has somebody in every program."""
NAMESPACE = "uri://mapleridge.example.org"
PLANTED = "Quillwort-7Q"
SHIPPED = {"3.3": "3.3", "4.0": "3.3", "5.0": "5.2", "6.0": "5.2"}
"""Whose list of core code values holds for a standard; there is none of 4.0 and of 6.0."""
ONLY_IN_6 = {
    "uri://ed-fi.org/EconomicDisadvantageDescriptor#Other Economic Disadvantage",
    "uri://ed-fi.org/EconomicDisadvantageDescriptor#Not Qualified As Economically Disadvantaged",
}


@pytest.fixture(params=STANDARDS)
def standard(request: pytest.FixtureRequest) -> str:
    return str(request.param)


FROM_5_2 = "studentSection504ProgramAssociations"
ANY_PROGRAM = "studentProgramAssociations"
"""The invented district has none: a record of its own says more."""


def names(standard: str) -> list[str]:
    """Whatever is read of a standard; 5.0 has no 504 yet."""
    every = (each.name for each in resources(int(standard[0])))
    return [name for name in every if name != ANY_PROGRAM and (standard, name) != ("5.0", FROM_5_2)]


def beyond(standard: str) -> set[str]:
    """Those that are beyond roster and results."""
    return {each.name for each in resources(int(standard[0])) if each.group} & set(names(standard))


@pytest.mark.parametrize("planted", [None, PLANTED])
def test_every_row_is_one_the_standard_describes(standard: str, planted: str | None) -> None:
    document = openapi.closed(f"edfi-openapi/resources-ds-{standard}.yaml")
    held: set[str] = set()
    for resource, rows in served(standard, planted):
        answer = document["paths"][f"/ed-fi/{resource}"]["get"]["responses"]["200"]["content"]
        errors = list(openapi.validator(document, answer["application/json"]["schema"]).iter_errors(rows))
        assert not errors, (resource, errors[0].json_path, errors[0].message)
        if PLANTED in json.dumps(rows):
            held.add(resource)
        for name, value in leaves(rows):
            assert value is not None, (resource, name)
            if name.endswith("Descriptor") and not value.startswith(NAMESPACE):
                assert value in core_values(standard), (resource, name)
    assert held == (set() if planted is None else never_needed(standard))


def never_needed(standard: str) -> set[str]:
    """The collections that have a place for what planning never needs."""
    six = {"studentDemographics", "studentDirectories", "studentIdentificationCodes", "staffDirectories"}
    family = "contacts" if standard >= "5" else "parents"
    return (
        {
            "students",
            "staffs",
            family,
            "studentEducationOrganizationAssociations",
            "studentSchoolAssociations",
            "studentAssessments",
        }
        | (six if standard >= "6" else set())
        | (beyond(standard) - SAYS_LITTLE)
    )


SAYS_LITTLE = {
    "studentCTEProgramAssociations",
    "studentLanguageInstructionProgramAssociations",
    "studentSchoolFoodServiceProgramAssociations",
    "studentTitleIPartAProgramAssociations",
}
"""Those in which nothing is planted."""


def test_keys_are_those_of_the_standard(standard: str) -> None:
    paths = openapi.closed(f"edfi-openapi/resources-ds-{standard}.yaml")["paths"]
    for resource in names(standard):
        parameters = paths[f"/ed-fi/{resource}"]["get"]["parameters"]
        identity = {one["name"] for one in parameters if one.get("x-Ed-Fi-isIdentity")}
        assert set(natural_key(resource, five=standard >= "5")) == identity, resource


def served(standard: str, planted: str | None) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """Every collection with its first rows; none is empty."""
    needs = beyond(standard)
    for district, asked in ((DISTRICT, [n for n in names(standard) if n not in needs]), (NEEDY, sorted(needs))):
        app = twin(district, standard=standard, planted=planted, needs=True)
        with serve(app) as url, httpx.Client(timeout=60) as client:
            urls = client.get(url).json()["urls"]
            form = {"grant_type": "client_credentials"}
            token = client.post(urls["oauth"], data=form, auth=("demo-key", "demo-secret")).json()["access_token"]
            for resource in asked:
                place = f"{urls['dataManagementApi'].rstrip('/')}/ed-fi/{resource}"
                rows = client.get(place, params={"limit": 500}, headers={"Authorization": f"Bearer {token}"}).json()
                assert rows and isinstance(rows, list), resource
                yield resource, rows


@cache
def core_values(standard: str) -> frozenset[str]:
    sets = json.loads((CONTRACTS / "edfi" / "derived" / f"descriptors-{SHIPPED[standard]}.json").read_text())
    shipped = {f"{one['namespace']}#{one['codeValue']}" for codes in sets.values() for one in codes}
    return frozenset(shipped | (ONLY_IN_6 if standard >= "6" else set()))


def leaves(value: object, name: str = "") -> Iterator[tuple[str, Any]]:
    """Every scalar below a value, with the name of the property that holds it."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from leaves(inner, key)
    elif isinstance(value, list):
        for inner in value:
            yield from leaves(inner, name)
    else:
        yield name, value
