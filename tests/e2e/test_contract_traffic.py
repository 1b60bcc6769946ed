"""Every request of ours to a twin and every answer of a twin, held against the published contracts."""

import base64
import json
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import date, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import pytest
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from connectors.edfi.twin import twin as edfi_twin
from connectors.oneroster.twin import twin as oneroster_twin
from synthetic import build
from tests.e2e.office import Office
from tests.e2e.processes import steer
from tests.openapi import Exchange, Service, closed, document, validator
from tests.serving import serve

DISTRICT = build(students=60)
SCOPE = "https://purl.imsglobal.org/spec/or/v1p2/scope/"
ROSTERING, GRADEBOOK = "/ims/oneroster/rostering/v1p2", "/ims/oneroster/gradebook/v1p2"

pytestmark = pytest.mark.usefixtures("contracts")


class Recorder:
    """Writes down what passes between a client and a system, its side door left out."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self.exchanges: list[Exchange] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"].startswith("/_twin/"):
            await self._app(scope, receive, send)
            return
        sent, answer = b"", b""
        start: Message = {}

        async def hear() -> Message:
            nonlocal sent
            message = await receive()
            sent += message.get("body", b"")
            return message

        async def say(message: Message) -> None:
            nonlocal start, answer
            start = message if message["type"] == "http.response.start" else start
            answer += message.get("body", b"")
            await send(message)

        await self._app(scope, hear, say)
        self.exchanges.append(
            Exchange(
                scope["method"], scope["path"], scope["query_string"].decode(), named(scope["headers"]), sent,
                start["status"], named(start["headers"]), answer,
            )
        )  # fmt: skip


def named(headers: Sequence[tuple[bytes, bytes]]) -> dict[str, str]:
    return {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in headers}


@contextmanager
def recorded(app: ASGIApp) -> Iterator[tuple[str, list[Exchange]]]:
    """The system on a socket, and what passes."""
    recorder = Recorder(app)
    with serve(recorder) as url:
        yield url, recorder.exchanges


# --- OneRoster


@pytest.mark.parametrize("options", [{}, {"totals": False, "link": False}], ids=["with totals", "without totals"])
def test_oneroster_traffic_is_as_published(office: Office, options: dict[str, Any]) -> None:
    with recorded(oneroster_twin(DISTRICT, page_cap=100, **options)) as (url, exchanges):
        office.connect("oneroster", url)
        office.ask("check", "oneroster")
        assert office.pull("oneroster")["state"] == "published"
        busy = {"kind": "status", "path": "/v1p2/classes", "retry_after": 0}
        steer(url, "PUT", "faults", [busy | {"status": 429}, busy | {"status": 503}, {"kind": "expire_tokens"}])
        steer(url, "POST", "change", {"moved": 0.1})
        assert office.pull("oneroster")["state"] == "published"
    assert complaints_about_oneroster(exchanges) == []
    assert {200, 401, 429, 503} <= {exchange.status for exchange in exchanges}
    pages = Counter(exchange.path for exchange in exchanges)
    assert pages[f"{ROSTERING}/enrollments"] > 10, "pages were followed"
    assert len(pages) == 10, "nine collections and the token"


def test_a_oneroster_refusal_is_as_published(office: Office) -> None:
    with recorded(oneroster_twin(DISTRICT)) as (url, exchanges):
        office.connect("oneroster", url, scopes=f"{SCOPE}roster-core.readonly")
        office.pull("oneroster")
    assert complaints_about_oneroster(exchanges) == []
    refused = {exchange.path.rpartition("/")[2] for exchange in exchanges if exchange.status == 403}
    assert refused == {"demographics", "assessmentLineItems", "assessmentResults"}


def complaints_about_oneroster(exchanges: Sequence[Exchange]) -> list[str]:
    folder = "oneroster/openapi/v1p2/onerosterv1p2{}service_openapi3_v1p0.yaml"
    rostering = Service(document(folder.format("rosters")), ROSTERING)
    gradebook = Service(document(folder.format("gradebook")), GRADEBOOK)
    found: list[str] = []
    for exchange in exchanges:
        if exchange.path == "/token":
            found += about_a_token(exchange)
            asked = dict(parse_qsl(exchange.body.decode()))["scope"].split()
            found += [f"{scope} is no scope" for scope in asked if scope not in scopes(rostering, gradebook)]
            found += about_granted(exchange, asked)
        else:
            service = rostering if exchange.path.startswith(ROSTERING) else gradebook
            found += service.complaints(exchange)
    return found


def scopes(*services: Service) -> set[str]:
    """Every scope the documents name."""
    schemes = [service.found["components"]["securitySchemes"]["OAuth2CC"] for service in services]
    return {scope for scheme in schemes for scope in scheme["flows"]["clientCredentials"]["scopes"]}


def about_granted(exchange: Exchange, asked: Sequence[str]) -> Iterator[str]:
    granted = json.loads(exchange.answer)["scope"].split()
    if not set(granted) <= set(asked):
        yield f"{exchange}: granted more than was asked"


# --- Ed-Fi


@pytest.mark.parametrize(
    ("standard", "options"),
    [("4.0", {}), ("5.0", {}), ("5.0", {"cursor": False})],
    ids=["4.0 on 6.2", "5.0 on 7.3", "5.0 on 7.2"],
)
def test_edfi_traffic_is_as_published(office: Office, standard: str, options: dict[str, Any], tmp_path: Path) -> None:
    with recorded(edfi_twin(DISTRICT, standard=standard, page_limit=20, **options)) as (url, exchanges):
        office.connect("edfi", url, education_organization_id=str(DISTRICT.number))
        office.ask("check", "edfi")
        assert office.pull("edfi")["state"] == "published"
        steer(url, "PUT", "faults", [{"kind": "expire_tokens", "path": "/ed-fi/sections"}])
        assert office.ask("pull", "edfi", "--whole")["state"] == "published"
        steer(url, "POST", "change", {"without_students": 0.05})
        assert office.pull("edfi")["changes_only"]
        plan = finalized(office, tmp_path)
        whole = [f"{name}=true" for name in ("include_staff", "include_need_statements", "include_diagnoses")]
        for choices in ([], whole):
            sets = [part for choice in choices for part in ("--set", choice)]
            done = office.ask("push", plan, "--to", "edfi", "--as", WHO, *sets)
            assert (done["state"], done["reason"]) == ("delivered", None)
    assert complaints_about_edfi(exchanges, standard) == []
    assert {200, 201, 400, 401} <= {exchange.status for exchange in exchanges}, "a page too large, a token too old"
    assert Counter(exchange.path.rpartition("/")[2] for exchange in exchanges if exchange.method == "POST") == {
        "token": Counter(exchange.path for exchange in exchanges)["/oauth/token"],
        "token_info": 2,
        "programs": 1,
        "studentProgramAssociations": 1,
        "interventions": 4,
        "studentInterventionAssociations": 4,
    }
    asked = {name for exchange in exchanges for name, _ in exchange.parameters}
    assert ("pageToken" in asked) == (standard == "5.0" and not options)
    assert any(exchange.path.endswith("/partitions") for exchange in exchanges) == ("pageToken" in asked)


CURSOR = ("pageToken", "pageSize")


def complaints_about_edfi(exchanges: Sequence[Exchange], standard: str) -> list[str]:
    data_path, changes_path = next(
        (path_of(exchange, "dataManagementApi"), path_of(exchange, "changeQueries"))
        for exchange in exchanges
        if exchange.path == "/"
    )
    resources = Service(closed(f"edfi-openapi/resources-ds-{standard}.yaml"), data_path)
    descriptors = Service(document(f"edfi-openapi/descriptor-api-{standard}.yaml"), data_path)
    introspection = Service(document("edfi-openapi/oauth-token-introspection-api-1.0.yaml"), "/oauth")
    changes = Service(document("edfi-openapi/change-queries-api-1.0.0.yaml"), changes_path)
    discovery = Service(document("edfi/discovery/discovery-api-1.0.yaml"), "")
    found: list[str] = []
    for exchange in exchanges:
        if exchange.path == "/oauth/token":
            found += about_a_token(exchange)
        elif exchange.path == "/oauth/token_info":
            found += introspection.complaints(exchange)
        elif exchange.path == "/":
            found += discovery.complaints(exchange)
            found += [f"{exchange}: credentials"] if "authorization" in exchange.headers else []
        elif exchange.path == f"{changes_path}/snapshots":  # Ed-Fi: up to 6.2, in no published document
            found += [] if exchange.method == "GET" and not exchange.parameters else [f"{exchange}: a list"]
        elif exchange.path.startswith(f"{changes_path}/"):
            found += changes.complaints(exchange)
        elif exchange.path.startswith("/metadata"):
            found += [] if exchange.method == "GET" and exchange.status == 200 else [f"{exchange}: a document"]
        elif exchange.path.endswith("Descriptors"):
            # The published document lists no filters of descriptors; servers know the two, and others ignore them.
            found += descriptors.complaints(exchange, besides=("namespace", "codeValue"))
        elif exchange.path.endswith("/partitions"):
            found += about_partitions(exchange)
        elif exchange.path.endswith(("/deletes", "/keyChanges")):
            found += about_what_is_gone(exchange)
        else:
            found += about_a_cursor(exchange)
            found += resources.complaints(exchange, besides=CURSOR)
            if exchange.method == "POST" and "id" in json.loads(exchange.body):
                found.append(f"{exchange}: ids are given by the server")
    return found


def path_of(discovery: Exchange, service: str) -> str:
    """The path of a service, as the discovery document tells it."""
    address = str(json.loads(discovery.answer)["urls"][service])
    return "/" + address.split("/", 3)[3].rstrip("/")


def about_a_cursor(exchange: Exchange) -> Iterator[str]:
    """# Ed-Fi: cursor paging came with ODS/API 7.3, after the published documents."""
    given = dict(exchange.parameters)
    size = given.get("pageSize", "1")
    if not size.isdecimal() or not 1 <= int(size) <= 500:
        yield f"{exchange}: pageSize"
    if "pageToken" in given and not set(given) <= {*CURSOR}:
        yield f"{exchange}: pageToken goes with pageSize only"
    if "pageSize" in given and {"limit", "offset", "totalCount"} & set(given):
        yield f"{exchange}: two ways of paging"


def about_partitions(exchange: Exchange) -> Iterator[str]:
    """# Ed-Fi: ODS/API 7.3"""
    number = dict(exchange.parameters).get("number", "")
    if exchange.method != "GET" or [*dict(exchange.parameters)] != ["number"] or not number.isdecimal():
        yield f"{exchange}: a number and nothing else is asked"
    elif not 1 <= int(number) <= 200:
        yield f"{exchange}: between 1 and 200"
    answer = json.loads(exchange.answer)
    shape = {"pageTokens": {"type": "array", "items": {"type": "string"}, "maxItems": int(number or 0)}}
    for error in validator({"components": {}}, {"properties": shape, "required": ["pageTokens"]}).iter_errors(answer):
        yield f"{exchange}: {error.message}"


def about_what_is_gone(exchange: Exchange) -> Iterator[str]:
    """# Ed-Fi: in no published document of the resources; paged by offset alone, keys flat under keyValues, or under
    oldKeyValues and newKeyValues"""
    if exchange.method != "GET" or not set(dict(exchange.parameters)) <= set(WINDOW):
        yield f"{exchange}: a page of a window and nothing else is asked"
    if not all(value.isdecimal() or value in ("true", "false") for _, value in exchange.parameters):
        yield f"{exchange}: numbers"
    if exchange.status != 200:  # a page that is too large, a token that is too old
        return
    keys = ["keyValues"] if exchange.path.endswith("/deletes") else ["oldKeyValues", "newKeyValues"]
    flat = {"type": "object", "additionalProperties": {"type": ["string", "integer", "number", "boolean"]}}
    item = {"type": "object", "required": ["id", "changeVersion", *keys], "properties": dict.fromkeys(keys, flat)}
    for error in validator({"components": {}}, {"type": "array", "items": item}).iter_errors(
        json.loads(exchange.answer)
    ):
        yield f"{exchange}: {error.message}"


WINDOW = ("offset", "limit", "totalCount", "minChangeVersion", "maxChangeVersion")


# --- tokens


def about_a_token(exchange: Exchange) -> Iterator[str]:
    """RFC 6749: 4.4.2 the request, 2.3.1 by Basic and not in the body as well, 5.1 the answer."""
    form = dict(parse_qsl(exchange.body.decode()))
    kind, _, credentials = exchange.headers.get("authorization", "").partition(" ")
    if (exchange.method, exchange.query) != ("POST", ""):
        yield f"{exchange}: not by POST, or with a query"
    if exchange.headers.get("content-type", "").partition(";")[0] != "application/x-www-form-urlencoded":
        yield f"{exchange}: no form"
    if form.pop("grant_type", "") != "client_credentials" or not set(form) <= {"scope"}:
        yield f"{exchange}: more or less than grant_type and scope"
    if kind != "Basic" or not re.fullmatch(rb"demo-[a-z]+:demo-secret", base64.b64decode(credentials)):
        yield f"{exchange}: not by Basic"
    answer: dict[str, Any] = json.loads(exchange.answer)
    if exchange.status != 200 or exchange.answer_headers.get("cache-control") != "no-store":
        yield f"{exchange}: refused, or may be stored"
    if not (answer["access_token"] and answer["token_type"].lower() == "bearer" and answer["expires_in"] > 0):
        yield f"{exchange}: no token"


# --- a plan to push

WHO = "Imani Castellanos-Vega"


def finalized(office: Office, folder: Path) -> str:
    """A finalized plan of one student, with two supports in school; its id."""
    student = DISTRICT.students[0]
    people = {entity.keys.get("edfi"): entity.id for entity in office.entities() if entity.kind == "person"}
    teacher = people[f"staff/{next(one.number for one in DISTRICT.staff if one.school == student.school)}"]
    today = date.today()
    later = (today + timedelta(days=90)).isoformat()
    content: dict[str, Any] = {
        "coordinator": teacher,
        "next_review_on": (today + timedelta(days=56)).isoformat(),
        "strengths": [{"statement": "Builds bridges of paper that hold a shoe."}],
        "needs": [
            {
                "domain": "academic",
                "statement": "Loses the thread of long texts.",
                "evidence": [{"observation": "Read aloud in class."}],
            }
        ],
        "goals": [
            {
                "domain": "academic",
                "statement": "Retells a chapter.",
                "addresses": ["need-1"],
                "baseline_unknown_until": (today + timedelta(days=14)).isoformat(),
                "targets": [{"measure": "retelling", "value": 4, "due_on": later}],
            }
        ],
        "supports": [
            {"name": name, "kind": kind, "goals": ["goal-1"], "owner": teacher, "duration_minutes": 30}
            for name, kind in (("Reading group", "tutoring"), ("Talks", "counseling"))
        ],
    }
    file = folder / "plan.json"
    file.write_text(json.dumps(content))
    id = str(office.ask("plan", "new", "--student", student.number, "--file", str(file), "--as", WHO)["id"])
    office.ask("plan", "consult", id, "--as", WHO)
    meeting = {
        "held_on": today.isoformat(),
        "participants": [{"who": {"name": "Imre Halloway", "side": "family"}, "role": "guardian"}],
        "outcome": "agreed",
    }
    file.write_text(json.dumps(json.loads(office.tell("plan", "show", id)) | {"consultations": [meeting]}))
    office.ask("plan", "edit", id, "--file", str(file), "--as", WHO)
    office.ask("plan", "finalize", id, "--as", WHO)
    return id
