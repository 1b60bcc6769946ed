"""What Ed-Fi servers answer instead of a record: each answer becomes one plain sentence, and says what to do."""

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from starlette.responses import Response

from connectors.edfi import refusals
from gateway.errors import AuthError, ConfigError, PlanbridgeError, Unavailable
from gateway.http import Http, MemoryTokens, Reply
from tests.connectors.test_edfi import PARTICIPATION, Edge, contract, sink, source
from tests.openapi import CONTRACTS
from tests.serving import serve

CORRELATION = "5f0a7c1e-0000-4000-8000-000000000001"
PAGE = b"<!DOCTYPE html><html><body>Imani Okonkwo: bad gateway</body></html>"
MISSING = "The server does not have something the record refers to"
INVALID = "The server finds the record invalid"


@pytest.mark.parametrize(
    ("status", "body", "sentence", "waits"),
    [
        # {"message"} and {"modelState"}, before 7.2
        (
            400,
            {"message": "The request is invalid.", "modelState": {"request.beginDate": ["BeginDate is required."]}},
            f"{INVALID} (beginDate is missing)",
            "",
        ),
        (
            400,
            {"message": "Validation of 'StudentProgramAssociation' failed.\nStudent reference could not be resolved."},
            f"{MISSING} (student is not known to the server)",
            "parent",
        ),
        (
            409,
            {"message": "The value supplied for the related 'intervention' resource does not exist."},
            f"{MISSING} (intervention is not known to the server)",
            "parent",
        ),
        (
            400,
            {"message": "Unable to resolve value 'uri://x#Grief' to an existing 'ServiceDescriptor' resource."},
            f"{MISSING} (serviceDescriptor is not known to the server)",
            "",
        ),
        (
            403,
            {
                "message": "Authorization denied. No relationships have been established between the caller's "
                "education organization id claims (990100) and the resource item's StudentUniqueId value.",
                "correlationId": CORRELATION,
            },
            "The key has no relationship to this student or organization",
            "enrollment",
        ),
        (412, {"message": "Resource was modified by another consumer."}, "The record was changed by someone else", ""),
        (
            409,
            {"message": "The resource cannot be deleted because a dependent 'Okonkwo' value exists."},
            "Other records on the server depend on this one",
            "",
        ),
        (409, {"message": "The referenced 'Imani' item does not exist."}, f"{MISSING}.", "parent"),
        # problem details, from 7.2 on
        (
            400,
            {
                "type": "urn:ed-fi:api:bad-request:data-validation-failed",
                "correlationId": CORRELATION,
                "validationErrors": {
                    "$.diagnosticStatement": [
                        "DiagnosticStatement must be at most 1024 characters in length.",
                        "DiagnosticStatement contains a value that could be dangerous for downstream systems.",
                    ],
                    "$.services[0].serviceDescriptor": ["ServiceDescriptor value 'uri://x#Grief' does not exist."],
                    "$.Okonkwo Imani": ["Nonsense."],
                },
            },
            f"{INVALID} (diagnosticStatement has the wrong length and has characters the server refuses; "
            "services[0].serviceDescriptor is not known to the server)",
            "",
        ),
        (
            400,
            {
                "type": "urn:ed-fi:api:bad-request:data-validation-failed",
                "validationErrors": {f"$.services[{n}].serviceDescriptor": ["It is required."] for n in range(90)},
            },
            f"{INVALID} (services[0].serviceDescriptor is missing;",
            "",
        ),
        (
            409,
            {
                "type": "urn:ed-fi:api:data-conflict:unresolved-reference",
                "detail": "The referenced 'Program' item does not exist.",
            },
            f"{MISSING} (program is not known to the server)",
            "parent",
        ),
        (
            409,
            {
                "type": "urn:ed-fi:api:data-conflict:unresolved-reference",
                "detail": "One or more references could not be resolved. See 'validationErrors' for details.",
                "validationErrors": {"$.studentReference": ["The referenced Student item does not exist."]},
                "errors": [],
            },
            f"{MISSING} (studentReference is not known to the server)",
            "parent",
        ),
        (
            403,
            {
                "type": "urn:ed-fi:api:security:authorization:",
                "errors": ["No relationships have been established between (990100) and 'StudentUniqueId'."],
            },
            "The key has no relationship to this student or organization",
            "enrollment",
        ),
        (
            403,
            {"type": "urn:ed-fi:api:security:data-policy:incorrect-usage", "errors": ["Profile 'Okonkwo' is missing."]},
            "The key is bound to an API profile that does not allow this",
            "",
        ),
        (
            403,
            {"message": "Based on profile assignments, one of the following profile-specific content types is"},
            "The key is bound to an API profile that does not allow this",
            "",
        ),
        (
            405,
            {"type": "urn:ed-fi:api:snapshots:method-not-allowed", "detail": "Snapshots are read-only."},
            "The server has no snapshot to read from",
            "",
        ),
        (412, {"type": "urn:ed-fi:api:optimistic-lock-failed"}, "The record was changed by someone else meanwhile", ""),
        (409, {"type": "urn:ed-fi:api:something-new-in-2030"}, "The record conflicts with what the server has", ""),
        # what no Ed-Fi server means to say
        (400, {"errors": {"$.beginDate": ["The JSON value 'Okonkwo' could not be converted."]}}, INVALID, ""),
        (400, {"errors": {"": ["A required property is lacking."]}}, f"{INVALID} (the record is missing)", ""),
        (403, PAGE, "Something in front of the server answered with a web page", ""),
        (413, b"", "The record is larger than the server takes", ""),
        (405, b"", "The server does not allow this here", ""),
        (400, ["Imani", "Okonkwo"], f"{INVALID}.", ""),
        (
            409,
            [{"message": "The value supplied for the related 'program' resource does not exist."}],
            MISSING,
            "parent",
        ),
        (400, "Okonkwo is wrong", f"{INVALID}.", ""),
        (400, b"Okonkwo is wrong", f"{INVALID}.", ""),
        (418, b"\xff\xfe not json", "The server refuses the record", ""),
        (400, b"[" * 5000, f"{INVALID}.", ""),
    ],
)
async def test_refusals_of_every_form_become_one_plain_sentence(
    status: int, body: Any, sentence: str, waits: str
) -> None:
    answer = body if isinstance(body, bytes) else json.dumps(body).encode()
    edge = Edge(lambda request: Response(answer, status, media_type="application/json"))
    async with sink(edge) as opened:
        receipt = await opened.push(PARTICIPATION)
    assert receipt.status == status and not receipt.delivered
    assert receipt.message.startswith(sentence)
    assert len(receipt.message) < 500 and action(receipt.message)
    assert receipt.waits == waits
    assert not re.search("Okonkwo|Imani|Grief|990100|uri:", receipt.message)
    told = isinstance(body, dict) and "correlationId" in body
    assert receipt.trace == (CORRELATION if told else edge.asked[0].headers["correlation-id"])


def action(text: str) -> bool:
    """Whether it ends with a sentence that tells somebody to do something."""
    wanted = r"Ask|Correct|Try|Send|Have|Look|Check|report it|Make"
    return bool(re.search(rf"\. (?:That is for Planbridge's developers: )?(?:{wanted})[^.]*\.$", text))


@pytest.mark.parametrize(
    ("status", "body", "code", "parts"),
    [
        (502, PAGE, "server-error", ["502", "a web page", "whoever runs it"]),
        (500, json.dumps({"correlationId": CORRELATION, "detail": "Okonkwo"}).encode(), "server-error", [CORRELATION]),
        (503, b"", "server-busy", ["503", "Try again later"]),
        (429, b"Okonkwo, too many", "server-busy", ["429", "try again later"]),
    ],
)
async def test_what_time_may_heal_is_no_refusal_and_says_what_to_do_too(
    status: int, body: bytes, code: str, parts: list[str]
) -> None:
    edge = Edge(lambda request: Response(body, status, headers={"retry-after": "0"}))
    with serve(edge) as url:
        async with Http(None, tokens=MemoryTokens(), attempts=1, allow_private=True) as http:
            with pytest.raises(Unavailable) as caught:
                await http.get(f"{url}/data/v3/ed-fi/students")
    assert caught.value.code == code
    assert all(part in str(caught.value) for part in parts) and "Okonkwo" not in str(caught.value)
    ours = edge.asked[0].headers["correlation-id"]
    assert (CORRELATION if CORRELATION in body.decode() else ours) in str(caught.value)


async def test_too_many_tokens_says_what_else_may_use_the_key() -> None:
    problem = {
        "type": "urn:ed-fi:api:security:authentication:too-many-tokens",
        "title": "Too Many Access Tokens Requested",
        "status": 429,
        "correlationId": CORRELATION,
    }

    class Full(Edge):
        async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
            if str(scope.get("path", "")).endswith("/token"):
                await Response(json.dumps(problem), 429, headers={"retry-after": "0"})(scope, receive, send)
            else:
                await super().__call__(scope, receive, send)

    with pytest.raises(Unavailable, match=rf"429 \(correlation-id {CORRELATION}\).*what else uses this client id"):
        async with source(Full(lambda request: Response(b"[]"))) as opened:
            await opened.pull(opened.resources[0], "offset:0:5")


# --- the two catalogues of what servers answer ---------------------------------------------------------------------


def catalogued(document: str) -> Iterator[tuple[str, int, str]]:
    """Each answer of a catalogue that is a refusal: the heading it stands below, its status, its body."""
    text = (CONTRACTS / "edfi" / "errors" / document).read_text(encoding="utf-8")
    heading = ""
    pattern = r"^#{3,4} (?P<heading>[^\n]+)$|^HTTP/1\.1 (?P<status>[45]\d\d) [^{`]*(?P<body>\{[^`]*\})\s*```"
    for found in re.finditer(pattern, text, re.MULTILINE):
        if found["heading"]:
            heading = found["heading"].replace("\xa0", " ")
        else:
            yield heading, int(found["status"]), found["body"]


# By the end of the type, or for types that stand for several things by the heading: a part of the right reason.
REASONS = {
    "Resource identifiers cannot be assigned": "gives the id of a record itself",
    "Empty Request Body": "could not read what it was sent",
    "Transmitting in the Wrong Character Encoding": "could not read what it was sent",
    "Integer Overflow": "not of the type it should be",
    "Leading or Trailing Whitespace": "ratingTitle begins or ends with a space",
    "Non-Compliant JSON Body": "cannot be read",
    "No Item in Required Array": "classPeriods is missing",
    "Missing a Required Property on an Item": "scores[1].assessmentReportingMethodDescriptor is missing",
    "Missing a Required Property": "codeValue is missing",
    "Key Unification": "schoolReference.schoolId differs between references",
    "Descriptor Does Not Exist": "termDescriptor is not known to the server",
    "String Length": "wrong length",
    "Excessive String Length": "rating has the wrong length",
    "Potentially Dangerous": "characters the server refuses",
    "Invalid Limit": "refuses a query parameter",
    "key-change-not-supported": "does not let the key",
    "invalid-profile-usage": "API profile",
    "method-usage": "API profile",
    "incorrect-usage": "API profile",
    "security:authentication": "does not accept our sign-in",
    "namespace-mismatch": "may not write in this namespace",
    "security:authorization": "no relationship to this student or organization",
    "access-denied:action": "claim set does not grant",
    "access-denied:resource": "claim set does not grant",
    "ID Does Not Exist": "does not have this record",
    "not-found": "does not have this resource",
    "method-not-allowed": "does not allow this here",
    "dependent-item-exists": "depend on this one",
    "unresolved-reference": "does not have something the record refers to",
    "non-unique-identity": "has the same key",
    "identity-conflict": "has the same key",
    "optimistic-lock-failed": "changed by someone else",
    "unsupported-media-type": "does not take the form",
}


@contract
@pytest.mark.parametrize(
    ("document", "count"),
    [("ods-7.3-error-response-knowledge-base.md", 40), ("v8-error-response-knowledge-base.md", 40)],
)
def test_every_answer_of_the_catalogues_has_its_reason_and_its_action_and_no_value(document: str, count: int) -> None:
    seen = list(catalogued(document))
    assert len(seen) >= count
    for heading, status, body in seen:
        problem = json.loads(body)
        reply = Reply(status, {}, body.encode(), "https://x.example.org", "POST", "c")
        reason, fix, trace = refusals.said(reply)
        expected = next((part for start, part in REASONS.items() if heading.startswith(start)), None)
        kind = problem.get("type", "")
        expected = expected or next(part for end, part in REASONS.items() if kind.rstrip(":").endswith(end))
        assert expected in reason, (heading, reason)
        assert action(f"{reason} {fix}"), (heading, fix)
        assert trace == problem.get("correlationId", "c")
        assert len(reason) < 350
        for value in values(body):
            assert value not in reason + fix, (heading, value)


def values(body: str) -> set[str]:
    """Whatever an answer quotes of a record, a key or a claim set: in quotes, in brackets, or as a number."""
    said = json.loads(body)
    texts = " ".join([str(said.get("detail", "")), *map(str, said.get("errors", ()))])
    texts += " ".join(text for group in said.get("validationErrors", {}).values() for text in group)
    quoted = {part for part in re.findall(r"'([^']+)'", texts) if re.search(r"\d|\w\W+\w", part)}
    quoted = {part for part in quoted if not re.fullmatch(r"[\w.]*[a-z][A-Z][\w.]*", part)}  # names of fields
    return quoted | set(re.findall(r"\d{4,}", texts)) | set(re.findall(r"= ([^)]+)\)", texts)) | {"Vendor"}


@contract
async def test_a_read_that_is_refused_says_the_same_as_an_error() -> None:
    for status, code, kind in ((403, "edfi-not-granted", AuthError), (400, "edfi-refused", ConfigError)):
        edge = Edge(lambda request, status=status: Response(b'{"message": "Okonkwo."}', status))  # type: ignore[misc]
        async with source(edge) as opened:
            with pytest.raises(PlanbridgeError) as caught:
                await opened.pull(opened.resources[0], "offset:500:500")
        assert isinstance(caught.value, kind) and caught.value.code == code
        assert f"[{status}, correlation-id " in caught.value.message and caught.value.fix.startswith(("Ask", "Correct"))
        assert "Okonkwo" not in str(caught.value)
