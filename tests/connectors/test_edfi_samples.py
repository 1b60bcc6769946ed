"""Requests that the Ed-Fi community publishes, for certification and for three data standards: each is understood."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import msgspec
import pytest

from connectors.edfi.openapi import Offered
from connectors.edfi.resources import resources
from connectors.edfi.sink import TEAM, WRITTEN
from gateway.connector import Page, Resource
from gateway.errors import RecordError
from gateway.payload import edge
from gateway.staging import decode
from mappings.edfi import MAPPING
from tests.connectors.test_edfi_openapi import contract, published
from tests.openapi import CONTRACTS, document, resolved

FILES = {
    "certification-sample-requests": "5.0",
    "community-postman-DataStandard_331b": "3.3",
    "community-postman-DataStandard__4": "4.0",
    "community-postman-DataStandard__5": "5.0",
}
each_file = pytest.mark.parametrize("file", FILES)


@dataclass(frozen=True)
class Request:
    """One request of a collection: `resource` as the document of its standard spells it, empty where it is none."""

    method: str
    url: str
    resource: str
    id: str
    query: str
    body: Any


@cache
def requests(file: str) -> tuple[Request, ...]:
    lines = (CONTRACTS / "edfi" / "derived" / f"{file}.jsonl").read_text(encoding="utf-8").splitlines()
    return tuple(_request(json.loads(line), FILES[file]) for line in lines)


def _request(one: Mapping[str, Any], standard: str) -> Request:
    """Read as its tool sends it: remarks left out, and a value where a variable or [ENTER ...] stands."""
    url = one["url"].strip()
    found = re.fullmatch(r"\{\{\w+\}\}(?:\{\{\w+\}\}|/data/v3)?/?ed-fi/(\w+)(?:/([^/?]+))?(?:\?(.*))?", url)
    resource = spelt(standard).get(found[1].casefold(), "") if found else ""
    body = None
    if one["body"]:
        text = re.sub(r"(?m)(^|[\s,{])//.*$", r"\1", one["body"])
        text = re.sub(r"(:\s*)(\[ENTER[^\]]*\]|\{\{[^}]*\}\})", r'\1"\2"', text)
        body = json.loads(re.sub(r",(\s*[}\]])", r"\1", text))
        if resource in documented(standard):
            found_schema = documented(standard)[resource]
            body = _filled(body, found_schema, document(f"edfi-openapi/resources-ds-{standard}.yaml"))
    return Request(one["method"], url, resource, (found and found[2]) or "", (found and found[3]) or "", body)


@cache
def offered(standard: str) -> tuple[Offered, Offered]:
    return published(f"resources-ds-{standard}"), published(f"descriptor-api-{standard}")


@cache
def spelt(standard: str) -> Mapping[str, str]:
    """# Ed-Fi: servers do not mind the case of paths; our own are spelt as the document has them."""
    names = [name.removeprefix("ed-fi/") for one in offered(standard) for name in one.resources]
    return {name.casefold(): name for name in names}


@cache
def documented(standard: str) -> Mapping[str, Any]:
    """The schema of what is posted to each collection."""
    found = document(f"edfi-openapi/resources-ds-{standard}.yaml")
    return {
        path.removeprefix("/ed-fi/"): item["post"]["requestBody"]["content"]["application/json"]["schema"]
        for path, item in found["paths"].items()
        if "post" in item and path.startswith("/ed-fi/")
    }


_OPEN = re.compile(r"\{\{[^}]*\}\}|\[ENTER[^\]]*\]", re.IGNORECASE)


def _filled(value: Any, schema: Any, of: Mapping[str, Any], name: str = "") -> Any:
    """The body with values in its open places, each of the type and the length that the standard gives the place.

    # Ed-Fi: a server takes "255901001" for a number, and gives the number back.
    """
    schema = resolved(of, schema)
    if isinstance(value, dict):
        inner = schema.get("properties", {})
        return {key: _filled(part, inner.get(key, {}), of, key) for key, part in value.items()}
    if isinstance(value, list):
        return [_filled(part, schema.get("items", {}), of, name) for part in value]
    if not isinstance(value, str):
        return value
    kind, form = schema.get("type"), schema.get("format")
    if not _OPEN.search(value):
        return int(value) if kind == "integer" and value.isdigit() else value
    if kind in ("integer", "number"):
        return 2026 if name == "schoolYear" else 7
    if kind == "boolean":
        return True
    if name.endswith("Descriptor"):
        return f"uri://ed-fi.org/{name[0].upper()}{name[1:]}#Sample"
    return {"date": "2026-09-01", "date-time": "2026-09-01T08:00:00Z", "time": "08:00:00"}.get(str(form), "sample")


# --- addresses and verbs ---------------------------------------------------------------------------------------------

OUTSIDE = (
    r"POST \S*oauth/token(_info)?$",
    r"POST \{\{oauthTokenUrl\}\}$",
    r"(DELETE|GET) \S*\{\{dataPath\}\}/\w+(/\w+)?$",  # the sample lacks its namespace
    r"DELETE \S*/\?id=\w+$",  # the sample lacks the id in its path: a 405
    r"GET \S*ed-fi/StudentContactAssociation(/\w+)?$",  # singular, and of data standard 5: a 404 in 4
    r"(PUT|DELETE) \S*ed-fi/StudentDisciplineIncidentAssociations/\w+$",  # of data standard 3: a 404 in 5
)
"""What is no request of a collection, or one that the server of that standard would refuse, too."""

FORMS = {("GET", False), ("GET", True), ("POST", False), ("PUT", True), ("DELETE", True)}
IGNORED = {
    "certification-sample-requests": {
        "grades?periodSequence",
        "gradingPeriods?gradingPeriodDescriptor_KEEP_IT_AT_THE_END",
        "studentEducationOrganizationResponsibilityAssociations?responsibilityDescriptor_KEEP_IT_AT_THE_END",
        "studentSchoolAssociations?schoolUniqueId",
    },
    "community-postman-DataStandard_331b": {"courses?schoolid", "staffClassificationDescriptors?codeValue"},
    "community-postman-DataStandard__4": {"courses?schoolid", "localPayrolls?studentUniqueId"},
    "community-postman-DataStandard__5": {
        "courses?schoolid",
        "staffClassificationDescriptors?codeValue",
        "studentProgramEvaluations?staffUniqueId",
    },
}
"""Query names that the document of the standard does not have: a server ignores them, so we would not send them."""


@contract
@each_file
def test_every_address_and_verb_is_one_we_know(file: str) -> None:
    of_resources, of_descriptors = offered(FILES[file])
    ignored = set()
    for one in requests(file):
        said = f"{one.method} {one.url}"
        if not one.resource:
            assert any(re.fullmatch(pattern, said) for pattern in OUTSIDE), said
            continue
        assert (one.method, bool(one.id)) in FORMS, said
        of = of_resources if of_resources.has(one.resource) else of_descriptors
        assert of.has(one.resource)
        if one.method in ("POST", "PUT"):
            assert f"ed-fi/{one.resource}" in of.writable, said
        known = {name.casefold() for name in of.filters(one.resource)}
        names = [pair.partition("=")[0] for pair in one.query.split("&") if pair]
        ignored |= {f"{one.resource}?{name}" for name in names if name.casefold() not in known}
    assert ignored == IGNORED.get(file, set())


# --- what is read ----------------------------------------------------------------------------------------------------

_CERTIFICATION = "certification-sample-requests"
REJECTED = {
    # Written as 09/01/2026: a server takes that, and gives 2026-09-01 back.
    (_CERTIFICATION, "staffEducationOrganizationAssignmentAssociations"): "unreadable-record beginDate",
    # Of a grading period it has the number, as up to standard 4, beside records of 5.
    (_CERTIFICATION, "grades"): "unreadable-record gradingPeriodReference",
    # Its program types are places to be filled in: codes that nobody knows are counted, and state nothing.
    (_CERTIFICATION, "studentProgramAssociations"): "states nothing",
    (_CERTIFICATION, "studentSpecialEducationProgramAssociations"): "states nothing",
}
"""Why samples of a kind are set aside, or say nothing. From a server they would be counted so too."""


@contract
@each_file
def test_every_record_that_we_read_decodes_and_states_something(file: str) -> None:
    by_name = {one.name: one for one in resources(int(FILES[file][0]))}
    tried, rejected = set(), set()
    for one in requests(file):
        if one.resource not in by_name or one.body is None:
            continue
        tried.add(one.resource)
        reason = why_not(by_name[one.resource], as_given_back(one.body))
        assert reason in ("", REJECTED.get((file, one.resource))), (one.resource, reason)
        if reason:
            rejected.add((file, one.resource))
    assert len(tried) >= 14
    assert rejected == {one for one in REJECTED if one[0] == file}


def as_given_back(body: Any) -> Any:
    """The samples of participations write ProgramReference: a server that takes it gives the standard's own spelling
    back."""
    return {("programReference" if name == "ProgramReference" else name): value for name, value in body.items()}


def why_not(resource: Resource, body: Any) -> str:
    """Why a record is set aside; empty where it states something. Anything but a RecordError is our bug."""
    decoded = decode(resource, Page([msgspec.Raw(msgspec.json.encode(body))]), edge(resource, "sample"))
    if decoded.rejects:
        return f"{decoded.rejects[0].code} {decoded.rejects[0].field}"
    [row] = decoded.rows
    try:
        stated = list(MAPPING.inbound[resource.wire](row.wire, MAPPING.codes()))
    except RecordError as error:
        return f"{error.code} {error.field}"
    return "" if stated else "states nothing"


# --- what is written -------------------------------------------------------------------------------------------------

WRONG = {
    "programs": ["educationOrganizationId is not known to this server"],  # a server ignores it: the reference has it
    "studentProgramAssociations": ["ProgramReference must be spelt programReference"],  # v8 minds the case
}
"""What the samples themselves have wrong, each in the same way."""


@contract
@each_file
def test_every_record_of_a_kind_that_we_write_passes_the_document_of_its_standard(file: str) -> None:
    found, _ = offered(FILES[file])
    good = set()
    for one in requests(file):
        if one.body is None or one.resource not in {*WRITTEN, *TEAM, "studentSchoolAssociations"}:
            continue
        problems = list(found.problems(one.resource, one.body, replacing=one.method == "PUT"))
        assert problems in ([], WRONG.get(one.resource)), (one.resource, problems)
        if not problems:
            good.add(one.resource)
    assert len(good) >= 3
