"""What is looked at before a record is written to an Ed-Fi server, and what its refusals wait for."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest

from connectors.edfi import CONNECTOR, openapi, refusals
from connectors.edfi.server import EdfiSettings, auth
from connectors.edfi.sink import EdfiSink
from connectors.edfi.twin import twin
from gateway.connector import Document
from gateway.http import Http, MemoryTokens, Reply
from synthetic import build
from tests.serving import serve

DISTRICT = build(schools=1, students=4, seed=5)
STUDENT = DISTRICT.students[0].number
OWNER = {"educationOrganizationReference": {"educationOrganizationId": DISTRICT.number}}
KEY = {"educationOrganizationId": DISTRICT.number, "interventionIdentificationCode": "SSP-1"}
INTERVENTION = Document(
    "interventions",
    KEY,
    {
        **OWNER,
        "interventionIdentificationCode": "SSP-1",
        "beginDate": "2026-09-01",
        "deliveryMethodDescriptor": "uri://ed-fi.org/DeliveryMethodDescriptor#Small Group",
        "interventionClassDescriptor": "uri://ed-fi.org/InterventionClassDescriptor#Practice",
    },
    after=(),
)
ASSIGNMENT = Document(
    "studentInterventionAssociations",
    KEY | {"studentUniqueId": STUDENT},
    {"interventionReference": KEY, "studentReference": {"studentUniqueId": STUDENT}, "diagnosticStatement": "n" * 1025},
    after=(INTERVENTION.name,),
    texts={"diagnosticStatement": ("/needs/0/statement",)},
)


@asynccontextmanager
async def opened(version: str, standard: str) -> AsyncIterator[EdfiSink]:
    openapi.forget()
    with serve(twin(DISTRICT, standard=standard, version=version)) as url:
        base = f"{url}/api" if version == "8.0" else url
        wanted = EdfiSettings(
            base_url=base, key="demo-key", secret="demo-secret", allow_private=True,
            token_url=f"{base}/oauth/token", education_organization_id=DISTRICT.number,
        )  # fmt: skip
        async with Http(auth(wanted), tokens=MemoryTokens(), allow_private=True, attempts=1) as http:
            assert CONNECTOR.open_sink is not None
            sink = await CONNECTOR.open_sink(wanted, http)
            assert isinstance(sink, EdfiSink)
            yield sink


@pytest.mark.parametrize(("version", "standard"), [("5.4", "3.3"), ("6.2", "4.0"), ("7.3", "5.0"), ("8.0", "6.0")])
async def test_a_text_over_the_servers_limit_is_lost_and_never_cut(version: str, standard: str) -> None:
    async with opened(version, standard) as sink:
        judged = await sink.judge([ASSIGNMENT, INTERVENTION])
        # In the server's order, and without the text; nothing was written.
        assert [one.resource for one in judged.documents] == ["interventions", "studentInterventionAssociations"]
        assert judged.problems == () and "diagnosticStatement" not in judged.documents[1].body
        assert [(loss.pointer, loss.kind) for loss in judged.losses] == [("/needs/0/statement", "cannot")]
        assert await sink.read_back(INTERVENTION) is None
        short = replace(ASSIGNMENT, body={**ASSIGNMENT.body, "diagnosticStatement": "n" * 1024})
        assert (await sink.judge([short])).documents[0].body == short.body


@pytest.mark.parametrize(("version", "standard"), [("7.3", "5.0"), ("8.0", "6.0")])
async def test_13_what_the_server_would_drop_without_a_word_is_refused_before(version: str, standard: str) -> None:
    body = {**INTERVENTION.body, "MinDosage": 30, "interventionIdentificationCode": "x" * 400}
    async with opened(version, standard) as sink:
        wrong = await sink.judge([replace(INTERVENTION, body=body)])
        if version == "8.0":  # what would become of it otherwise
            misspelt = replace(INTERVENTION, body={**INTERVENTION.body, "MinDosage": 30})
            assert (await sink.push(misspelt)).status == 201
            there = await sink.read_back(INTERVENTION)
            assert there is not None and not any(name.casefold() == "mindosage" for name in there)
    assert any("MinDosage" in problem for problem in wrong.problems)
    assert any("interventionIdentificationCode" in problem for problem in wrong.problems)
    assert "xxx" not in str(wrong.problems) and not wrong.losses


@pytest.mark.parametrize(("version", "standard", "length"), [("7.3", "5.0", 32), ("8.0", "6.0", 36)])
async def test_5_the_two_forms_of_an_id_are_both_understood(version: str, standard: str, length: int) -> None:
    async with opened(version, standard) as sink:
        made, again = await sink.push(INTERVENTION), await sink.push(INTERVENTION)
    assert (made.status, again.status) == (201, 200)
    assert made.remote_id == again.remote_id and len(made.remote_id) == length


def reply(status: int, body: dict[str, Any]) -> Reply:
    return Reply(status, {}, json.dumps(body).encode(), "POST /ed-fi/x", "c-1")


TYPE = "urn:ed-fi:api:"
RELATIONSHIP = "No relationships have been established between the caller's education organization id claims (1) and"


@pytest.mark.parametrize(
    ("status", "body", "waits"),
    [
        (409, {"type": f"{TYPE}data-conflict:unresolved-reference"}, "parent"),
        (409, {"message": "The value supplied for the related 'program' resource does not exist."}, "parent"),
        (400, {"message": "Validation of 'X' failed. Student reference could not be resolved."}, "parent"),
        (400, {"message": "The request is invalid.", "modelState": {"request.x": ["Required."]}}, ""),
        (409, {"type": f"{TYPE}data-conflict:dependent-item-exists"}, ""),
        (409, {"type": f"{TYPE}data-conflict:non-unique-identity"}, ""),
        (
            403,
            {
                "type": f"{TYPE}security:authorization:",
                "errors": [f"{RELATIONSHIP} the resource item's 'StudentUniqueId' value."],
            },
            "enrollment",
        ),
        (403, {"message": f"Authorization denied. {RELATIONSHIP} the resource item's StudentUSI value."}, "enrollment"),
        (
            403,
            {
                "type": f"{TYPE}security:authorization",
                "errors": [f"{RELATIONSHIP} the resource item's 'EducationOrganizationId' value."],
            },
            "",
        ),
        (403, {"type": f"{TYPE}security:authorization:access-denied:action"}, ""),
    ],
)
def test_a_refusal_waits_for_what_may_come_by_itself(status: int, body: dict[str, Any], waits: str) -> None:
    assert refusals.waits(reply(status, body)) == waits
