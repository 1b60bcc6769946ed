"""A record of any Ed-Fi standard is read whatever of the optional is missing or null, and is the same record still."""

import json
from collections.abc import Collection, Iterator
from functools import cache
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from connectors.edfi.resources import resources
from gateway.connector import Resource
from gateway.mapping import Alias, Claim
from gateway.payload import edge
from gateway.schema import KINDS
from mappings.edfi import MAPPING
from tests.openapi import CONTRACTS, document, resolved

pytestmark = pytest.mark.skipif(not CONTRACTS.exists(), reason="the published documents are not beside this checkout")
STANDARDS = {"3.3": 3, "4.0": 4, "5.0": 5, "6.0": 6}
TABLES = MAPPING.codes().tables.items()
CODES = MAPPING.codes().with_own(
    [], {name: next(row.target for row in rows.values() if row.target) for name, rows in TABLES if "out_" not in name}
)
"""Where each code means something."""
MAY_BE_CUT = {
    "students": {"birthDate"},
    "sessions": {"beginDate", "endDate", "termDescriptor", "totalInstructionalDays"},
    "studentSchoolAssociations": {"entryGradeLevelDescriptor"},
}
"""What the standard requires and an API profile may cut off all the same: no key, name or title."""


@pytest.mark.parametrize("standard", STANDARDS)
@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_whatever_of_the_optional_is_left_out(standard: str, data: st.DataObject) -> None:
    resource = data.draw(st.sampled_from(list(served(standard))), label="collection")
    whole = full(standard, resource.name)
    record = data.draw(without_some(standard, resource.name), label="record")
    assert key_of(resource, record) == key_of(resource, whole)
    assert state(resource, record)  # no error, and each statement is one of the common schema


@pytest.mark.parametrize("standard", STANDARDS)
def test_a_record_with_all_there_is_and_one_with_the_least_have_one_key(standard: str) -> None:
    for resource in served(standard):
        whole, least = full(standard, resource.name), bare(standard, resource.name)
        assert key_of(resource, whole) == key_of(resource, least), resource.name
        assert len(state(resource, whole)) >= len(state(resource, least)) > 0, resource.name
        assert len(json.dumps(whole)) > len(json.dumps(least))


def state(resource: Resource, record: Any) -> list[Any]:
    kept, _ = edge(resource, "")(json.dumps(record).encode())
    found = list(MAPPING.inbound[resource.wire](msgspec.json.decode(kept, type=resource.wire), CODES.fresh()))
    for one in found:
        if not isinstance(one, Alias):
            assert isinstance(one, Claim)
            as_json = json.loads(msgspec.json.encode(one.values))
            assert msgspec.convert(as_json, type=KINDS[one.kind].values, strict=True) == one.values
    return found


def key_of(resource: Resource, record: Any) -> str:
    return str(resource.key(msgspec.json.decode(json.dumps(record), type=resource.wire)))


def served(standard: str) -> Iterator[Resource]:
    paths = document(f"edfi-openapi/resources-ds-{standard}.yaml")["paths"]
    for resource in resources(STANDARDS[standard]):
        if f"/ed-fi/{resource.name}" in paths and not getattr(resource, "group", ""):
            yield resource


@cache
def schema(standard: str, name: str) -> Any:
    found = document(f"edfi-openapi/resources-ds-{standard}.yaml")
    answer = found["paths"][f"/ed-fi/{name}"]["get"]["responses"]["200"]["content"]["application/json"]["schema"]
    return resolved(found, answer["items"])


@cache
def full(standard: str, name: str) -> Any:
    """A record with every property there is; the same property has the same value wherever it stands."""
    return made(document(f"edfi-openapi/resources-ds-{standard}.yaml"), schema(standard, name), "", whole=True)


@cache
def bare(standard: str, name: str) -> Any:
    found = document(f"edfi-openapi/resources-ds-{standard}.yaml")
    record = made(found, schema(standard, name), "", whole=False)
    return {prop: value for prop, value in record.items() if prop not in MAY_BE_CUT.get(name, ())}


def made(found: Any, described: Any, name: str, *, whole: bool) -> Any:
    described = resolved(found, described)
    if "properties" in described:
        required = set(described.get("required", ()))
        return {
            prop: made(found, inner, prop, whole=whole)
            for prop, inner in described["properties"].items()
            if (whole or prop in required) and prop != "_ext"
        }
    kind = described.get("type")
    if kind == "array":
        return [made(found, described["items"], name, whole=whole)]
    if kind in ("integer", "number"):
        return 2027
    if kind == "boolean":
        return True
    if kind == "object":
        return {}
    formats = {"date": "2026-09-01", "date-time": "2026-09-01T08:00:00Z", "time": "08:00:00"}
    if text := formats.get(described.get("format", "")):
        return text
    if name.endswith("Descriptor"):
        own = next((end for end in ("GradeLevel", "AcademicSubject") if end in name), name.removesuffix("Descriptor"))
        return f"uri://larkspur.example.org/{own}Descriptor#Own"
    return name[: described.get("maxLength", 20)] or "text"


@cache
def without_some(standard: str, name: str) -> st.SearchStrategy[Any]:
    """The full record with optional properties, at any depth, there, left out or null."""
    found = document(f"edfi-openapi/resources-ds-{standard}.yaml")
    return thinned(found, schema(standard, name), full(standard, name), MAY_BE_CUT.get(name, set()))


def thinned(found: Any, described: Any, value: Any, may_be_cut: Collection[str] = ()) -> st.SearchStrategy[Any]:
    described = resolved(found, described)
    if isinstance(value, dict) and "properties" in described:
        needed = set(described.get("required", ())) - set(may_be_cut)
        parts = {prop: thinned(found, described["properties"][prop], inner) for prop, inner in value.items()}
        there = {prop: part for prop, part in parts.items() if prop in needed}
        optional = {prop: st.none() | part for prop, part in parts.items() if prop not in needed}
        return st.fixed_dictionaries(there, optional=optional)
    if isinstance(value, list):
        return st.lists(thinned(found, described["items"], value[0]), max_size=2)
    return st.just(value)
