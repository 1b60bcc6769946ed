"""An Ed-Fi server met for the first time: shapes of discovery, tokens, what check finds, the mail to its host."""

import asyncio
import json
import re
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from connectors.edfi import CONNECTOR, openapi, probe
from connectors.edfi.client import EdfiSource
from connectors.edfi.letter import letter
from connectors.edfi.routes import Route
from connectors.edfi.server import EdfiSettings, Server, auth, described, discover
from connectors.edfi.sink import BY_CHOICE, WRITTEN
from connectors.edfi.twin import twin
from gateway.connector import Finding
from gateway.errors import ConfigError, Unavailable
from gateway.http import Http, MemoryTokens, Reply
from gateway.settings import Settings
from gateway.store.database import Store
from gateway.store.tokens import DistrictTokens
from gateway.trying import try_out
from mappings.edfi.outbound import EdfiProfile
from synthetic import build
from tests.openapi import CONTRACTS
from tests.peers import Peer, dns, made_certificate, whole
from tests.serving import serve

SAMPLES = Path(__file__).parents[2] / "connectors" / "edfi" / "samples"
HOME = "https://edfi.example.org"
contract = pytest.mark.skipif(not CONTRACTS.exists(), reason="the published contracts are not beside the checkout")


def settings(base_url: str, **more: Any) -> EdfiSettings:
    return EdfiSettings(
        base_url=base_url, key="a-key", secret="a-secret", private_addresses=["127.0.0.0/8: a test"], **more
    )


def sample(name: str) -> Any:
    return json.loads((SAMPLES / f"discovery-{name}.json").read_text())


def found(document: Any, base_url: str, **more: Any) -> Server:
    reply = Reply(200, {}, json.dumps(document).encode(), f"{base_url}/")
    return described(settings(base_url, **more), reply)


# --- acceptance 1: discovery --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "path", "data", "version", "model"),
    [
        ("5.4-shared", "", "/data/v3", (5, 4), (3, 3, 1)),
        ("6.1-year", "", "/data/v3/2027", (6, 1), (4, 0, 0)),
        ("7.1", "", "/data/v3", (7, 1), (5, 0, 0)),
        ("7.3-tenant", "/larkspur/2027", "/larkspur/2027/data/v3", (7, 3, 1), (5, 2, 0)),
        ("8", "/api", "/api/data", (8, 0), (5, 2, 0)),
    ],
)
async def test_discovery_of_five_shapes(
    name: str, path: str, data: str, version: tuple[int, ...], model: tuple[int, ...]
) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        base = str(Request(scope).base_url).rstrip("/")
        await JSONResponse(json.loads(json.dumps(sample(name)).replace(HOME, base)))(scope, receive, send)

    with serve(app) as url:
        server = await discover(settings(f"{url}{path}/"))
        assert server.data_url == f"{url}{data}"
        assert server.collection("students") == f"{url}{data}/ed-fi/students"
        assert server.collection("tpdm/candidates") == f"{url}{data}/tpdm/candidates"
        assert server.changes_url.startswith(f"{url}{path}/changeQueries/v1")
        assert server.openapi_url.startswith(f"{url}{path}/metadata")
        assert "/dependencies" in server.dependencies_url
        assert server.token_info_url == f"{url}{path}/oauth/token_info"
    assert (server.version, server.model, server.standard) == (version, model, model[0])
    assert server.left_aside == ()


def test_what_a_release_does_is_decided_by_its_version() -> None:
    def facts(*version: int) -> tuple[Any, ...]:
        server = Server("", "", version, 5, "")
        return (
            server.pages_by_token,
            server.counting_limit,
            server.snapshots,
            server.tells_keys,
            server.problem_details,
            server.case_matters,
            server.dashed_ids,
            server.tells_last_modified,
        )

    assert facts(5, 3) == (False, 1, "identifier", False, False, False, False, False)
    assert facts(5, 4) == (False, 1, "identifier", True, False, False, False, False)
    assert facts(6, 0) == (False, 1, "identifier", False, False, False, False, False)
    assert facts(6, 1) == (False, 1, "identifier", True, False, False, False, False)
    assert facts(7, 0) == (False, 1, "use", True, False, False, False, True)
    assert facts(7, 1, 5) == (False, 0, "use", True, False, False, False, True)
    assert facts(7, 2) == (False, 0, "use", True, True, False, False, True)
    assert facts(7, 3, 2) == (True, 0, "use", True, True, False, False, True)
    assert facts(8, 0) == (False, 0, "none", True, True, True, True, True)
    assert facts(8, 1) == (True, 0, "none", True, True, True, True, True)


@contract
def test_the_real_document_of_a_year_is_understood() -> None:
    document = json.loads((CONTRACTS / "edfi/dependencies/v6.1-Version.json").read_text())
    server = found(document, "https://localhost/v6.1/WebApi")
    assert server.data_url == "https://localhost/v6.1/WebApi/data/v3/2025"
    assert server.openapi_url == "https://localhost/v6.1/WebApi/metadata/2025"
    assert server.changes_url == "https://localhost/v6.1/WebApi/changeQueries/v1/2025"
    assert server.title == "Ed-Fi ODS/API 6.1, data standard 4.0.0"
    # Its own addresses have the year, so that entering it changes nothing.
    assert found(document, "https://localhost/v6.1/WebApi", school_year=2025) == server


def published() -> list[tuple[str, str, str]]:
    """Every answer in the discovery documents: where it is from, which address gives it, and the body."""
    answers = []
    for path in sorted((CONTRACTS / "edfi/discovery").glob("*.json")):
        for item in json.loads(path.read_text())["item"]:
            for each in items(item):
                for response in each["response"]:
                    asked = "/".join(response["originalRequest"]["url"]["path"])
                    answers.append((path.name, asked, response["body"]))
    for path in sorted((CONTRACTS / "edfi/discovery").glob("*.yaml")):
        document = yaml.load(path.read_text(), Loader=yaml.CSafeLoader)
        for asked, operations in document["paths"].items():
            schema = operations["get"]["responses"]["200"]["content"]["application/json"]["schema"]
            answers.append((path.name, asked.strip("/"), json.dumps(example(document, schema))))
    return answers


def items(item: Any) -> Iterator[Any]:
    for each in item.get("item", [item]):
        yield from items(each) if each is not item else [each]


def example(document: Any, schema: Any) -> Any:
    """What the examples of a schema make together."""
    if "$ref" in schema:
        return example(document, document["components"]["schemas"][schema["$ref"].rpartition("/")[2]])
    if schema["type"] == "array":
        return [example(document, schema["items"])]
    if schema["type"] == "object":
        return {name: example(document, inner) for name, inner in schema["properties"].items()}
    if schema["type"] == "integer":
        return schema.get("example", 1)
    return str(schema.get("example", ""))


@contract
def test_every_published_discovery_document_is_understood() -> None:
    understood: dict[str, int] = {}
    for source, asked, body in published():
        last = asked.removeprefix("api").strip("/").rpartition("/")[2]
        kind = last if last in ("dependencies", "specifications", "metadata") else "root"
        if kind == "root":
            base = (re.findall(r'"(https://[^"]+)/oauth/token"', body) or ["https://api.example.org"])[0]
            document = json.loads(body)
            if "<string>" in body:  # a mock without one real value is refused, in words
                with pytest.raises(ConfigError) as refused:
                    found(document, base)
                assert (refused.value.code, "(not named)" in refused.value.message) == ("edfi-standard", True)
            else:
                server = found(document, base)
                assert server.data_url.startswith(f"{base}/data")
                assert server.is_ods is ("1.0" in source), source
                assert server.openapi_url and server.dependencies_url and server.changes_url
        elif kind in ("metadata", "specifications"):
            addresses = openapi.listed(body.encode())
            assert addresses, (source, asked)
            assert isinstance(addresses, str) is ("specifications" in body and kind == "metadata"), (source, asked)
        else:
            assert {"resource", "order", "operations"} <= json.loads(body)[0].keys()
        understood[kind] = understood.get(kind, 0) + 1
    assert understood == {"root": 4, "metadata": 4, "specifications": 2, "dependencies": 5}


# --- years, instances, tenants, overrides -------------------------------------------------------------------


def test_a_year_and_an_instance_stand_behind_the_area_up_to_6() -> None:
    server = found(sample("5.4-shared"), HOME, school_year=2027, instance="north")
    assert server.data_url == f"{HOME}/data/v3/north/2027"
    assert server.changes_url == f"{HOME}/changeQueries/v1/north/2027"
    assert server.openapi_url == f"{HOME}/metadata/north/2027"
    assert server.dependencies_url == f"{HOME}/metadata/data/v3/north/2027/dependencies"
    with pytest.raises(ConfigError) as refused:
        found(sample("5.4-shared"), HOME, edfi_tenant="larkspur")
    assert refused.value.code == "edfi-route"


def test_a_tenant_and_a_year_stand_before_the_area_from_7_on() -> None:
    more = {"edfi_tenant": "larkspur", "school_year": 2027}
    server = found(sample("7.1"), HOME, **more)
    assert server.data_url == f"{HOME}/larkspur/2027/data/v3"
    assert server.changes_url == f"{HOME}/larkspur/2027/changeQueries/v1"
    assert server.openapi_url == f"{HOME}/larkspur/2027/metadata"
    assert server.token_info_url == f"{HOME}/larkspur/oauth/token_info"
    assert auth(settings(HOME, **more)).token_url == f"{HOME}/larkspur/oauth/token"


def test_a_place_that_is_left_open_in_an_address_is_filled_or_asked_for() -> None:
    text = json.dumps(sample("7.3-tenant")).replace("/larkspur/2027", "/{tenantIdentifier}/{schoolYearFromRoute}")
    document = json.loads(text.replace("{schoolYearFromRoute}/oauth", "oauth").replace("}oauth", "}/oauth"))
    server = found(document, HOME, edfi_tenant="larkspur", school_year=2027)
    assert server.data_url == f"{HOME}/larkspur/2027/data/v3"
    with pytest.raises(ConfigError) as refused:
        found(document, HOME, edfi_tenant="larkspur")
    assert refused.value.code == "edfi-route" and refused.value.fix == "Enter the school year under Advanced."
    route = Route(HOME, instance="north")
    assert route.to(HOME + "/{instanceName}/data/v3") == f"{HOME}/north/data/v3"


def test_an_address_that_a_person_has_entered_is_asked_wherever_it_leads() -> None:
    entered = {
        "data_url": "https://data.example.org/v3/",
        "openapi_url": "https://docs.example.org/metadata",
        "change_queries_url": "https://data.example.org/changes",
        "dependencies_url": "https://docs.example.org/dependencies",
    }
    document = sample("7.1")
    document["urls"]["dataManagementApi"] = "http://inside.example.org/data/v3"
    server = found(document, HOME, **entered)
    assert server.data_url == "https://data.example.org/v3"
    assert (server.openapi_url, server.changes_url, server.dependencies_url) == (
        entered["openapi_url"],
        entered["change_queries_url"],
        entered["dependencies_url"],
    )


@pytest.mark.parametrize("name", ["data_url", "openapi_url", "change_queries_url", "dependencies_url"])
def test_an_override_is_an_address(name: str) -> None:
    for wrong in ("edfi.example.org", "https://edfi.example.org/?key=1", "ftp://edfi.example.org"):
        with pytest.raises(ValueError, match=name):
            settings(HOME, **{name: wrong})


# --- acceptance 14: a downgrade -----------------------------------------------------------------------------


@pytest.mark.parametrize("named", ["dataManagementApi", "oauth"])
async def test_a_discovery_address_that_leaves_https_is_refused(
    named: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    certificate = made_certificate(tmp_path)
    monkeypatch.setattr(socket, "getaddrinfo", dns({"sis.example.org": ["127.0.0.1"]}))
    document = sample("7.1")

    def answer(asked: Any) -> bytes:
        base = f"https://sis.example.org:{peer.port}"
        urls = {name: url.replace(HOME, base) for name, url in document["urls"].items()}
        urls[named] = urls[named].replace("https:", "http:")
        return whole(body={**document, "urls": urls})

    async with Peer(answer, certificate.server) as peer:
        wanted = settings(f"https://sis.example.org:{peer.port}", ca_file=str(certificate.file))
        with pytest.raises(ConfigError) as refused:
            await discover(wanted)
    assert refused.value.code == {"dataManagementApi": "left-origin", "oauth": "edfi-token-url"}[named]
    assert [asked.path for asked in peer.asked] == ["/"], "nothing was asked in the clear, and no secret was sent"
    assert not any("authorization" in asked.headers for asked in peer.asked)


@pytest.mark.parametrize("name", ["changeQueries", "openApiMetadata", "dependencies"])
@pytest.mark.parametrize("other", ["http://edfi.example.org", "https://elsewhere.example.org"])
def test_what_can_be_done_without_is_left_aside_and_told(name: str, other: str) -> None:
    document = sample("7.1")
    document["urls"][name] = document["urls"][name].replace(HOME, other)
    server = found(document, HOME)
    assert server.left_aside == (name,)
    told = [finding for finding in probe._about_the_server(server, probe._today()) if not finding.ok]
    assert len(told) == 1 and name in told[0].text and "Advanced" in told[0].fix


# --- a server that grants tokens ----------------------------------------------------------------------------

ORGANIZATION = {
    "education_organization_id": 990100,
    "name_of_institution": "Larkspur Valley",
    "type": "edfi.LocalEducationAgency",
}
WRITER = [{"resource": f"/ed-fi/{name}", "operations": ["Read", "Create", "Update"]} for name in WRITTEN]


class Host:
    """A server whose tokens behave as told: how they are asked for, how many there may be, which have ended."""

    def __init__(self) -> None:
        self.style = "basic"
        self.most = 15
        self.granted: list[str] = []
        self.asked: list[tuple[str, str]] = []
        self.scopes: set[str] = set()
        self.ended: set[str] = set()
        self.token_info: Any = {"active": True, "education_organizations": [ORGANIZATION], "resources": WRITER}
        self.openapi: Any = {"openapi": "3.0.1", "paths": {f"/ed-fi/{name}": {} for name in WRITTEN}}
        self.clock = ""
        self.document = sample("7.3-tenant")

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        request = Request(scope, receive)
        request.state.body = await request.body()
        await self.answer(request)(scope, receive, send)

    def answer(self, request: Request) -> Response:
        path, base = request.url.path, str(request.base_url).rstrip("/")
        shown = request.headers.get("authorization", "")
        if path.endswith("/oauth/token"):
            return self.token(shown, request.state.body.decode())
        if path.endswith("/token_info"):
            return JSONResponse(self.token_info, 200 if self.token_info else 404)
        if "/data/v3/ed-fi/" in path:
            self.asked.append((path, shown.removeprefix("Bearer ")))
            if shown.removeprefix("Bearer ") in self.ended or not shown:
                return JSONResponse({"type": "urn:ed-fi:api:security:authentication", "status": 401}, 401)
            headers = {"Total-Count": "0"} | ({"date": self.clock} if self.clock else {})
            return JSONResponse([], headers=headers)
        if path.endswith("/availableChangeVersions"):
            return JSONResponse({"oldestChangeVersion": 0, "newestChangeVersion": 7})
        if path.rstrip("/").endswith("/metadata"):
            return JSONResponse([{"name": "Resources", "endpointUri": f"{base}/swagger.json", "prefix": ""}])
        if path.endswith("/swagger.json"):
            return JSONResponse(self.openapi, 200 if self.openapi else 404)
        return JSONResponse(json.loads(json.dumps(self.document).replace(HOME, base)))

    def token(self, shown: str, form: str) -> Response:
        by = "basic" if shown.startswith("Basic ") else "form"
        self.granted.append(by)
        if by != self.style:
            return JSONResponse({"error": "invalid_client"}, 401)
        if "scope=" in form:
            self.scopes.add(form.partition("scope=")[2].partition("&")[0])
        live = self.granted.count(self.style) - len(self.ended)
        if live > self.most:
            problem = {"type": "urn:ed-fi:api:security:authentication:too-many-tokens", "status": 429}
            return JSONResponse(problem, 429)
        return JSONResponse({"access_token": f"t-{len(self.granted)}", "expires_in": 1800, "token_type": "bearer"})


@pytest.fixture(scope="module")
def served() -> Iterator[tuple[str, Host]]:
    host = Host()
    with serve(host) as url:
        yield url, host


@pytest.fixture
def host(served: tuple[str, Host]) -> Iterator[Host]:
    served[1].__init__()  # type: ignore[misc]
    openapi.forget()
    yield served[1]
    openapi.forget()


@pytest.fixture
def url(served: tuple[str, Host]) -> str:
    return f"{served[0]}/larkspur/2027"


async def ask(url: str, tokens: Any, times: int = 1, **more: Any) -> None:
    wanted = settings(url, **more)
    async with Http(auth(wanted), tokens=tokens, network=wanted.network, attempts=2) as http:
        for _ in range(times):
            assert (await http.get(f"{url}/data/v3/ed-fi/students")).status == 200


# --- acceptance 2: tokens -----------------------------------------------------------------------------------


async def test_basic_comes_first_and_carries_the_scope(url: str, host: Host) -> None:
    await ask(url, MemoryTokens(), times=3, scope="990100")
    assert (host.granted, host.scopes) == (["basic"], {"990100"})


async def test_the_form_is_tried_once_and_remembered_by_the_next_worker(
    url: str, host: Host, store: Store, district: int
) -> None:
    host.style = "form"
    tokens = DistrictTokens(store, district)
    await ask(url, tokens)
    assert host.granted == ["basic", "form"]
    stored = await tokens.get(await key_of(url, tokens))
    assert stored is not None and stored.style == "form"
    await tokens.put(await key_of(url, tokens), type(stored)(stored.access_token, 0.0, style=stored.style))
    await ask(url, tokens)
    assert host.granted == ["basic", "form", "form"]


async def key_of(url: str, tokens: Any) -> str:
    async with Http(auth(settings(url)), tokens=tokens, allow_private=True) as http:
        return http._key


async def test_a_token_that_ends_in_the_middle_is_renewed_and_nothing_is_lost(url: str, host: Host) -> None:
    wanted = settings(url)
    async with Http(auth(wanted), tokens=MemoryTokens(), network=wanted.network, attempts=1) as http:
        assert (await http.get(f"{url}/data/v3/ed-fi/students")).status == 200
        host.ended.add("t-1")
        replies = await asyncio.gather(*(http.get(f"{url}/data/v3/ed-fi/schools") for _ in range(8)))
    assert {reply.status for reply in replies} == {200}
    assert len(host.granted) == 2
    assert {token for path, token in host.asked[-8:]} == {"t-2"}


async def test_too_many_tokens_is_left_until_later_and_says_why(url: str, host: Host) -> None:
    host.most = 0
    with pytest.raises(Unavailable) as refused:
        await ask(url, MemoryTokens())
    assert refused.value.code == "server-busy" and "client id" in refused.value.fix
    assert len(host.granted) == 2, "not asked for ever"
    assert host.asked == []


SECOND_WORKER = """
import asyncio, sys
from pathlib import Path
from connectors.edfi.server import EdfiSettings, auth
from gateway.http import Http
from gateway.settings import Settings
from gateway.store.database import Store
from gateway.store.tokens import DistrictTokens

async def work(home, database, district, url):
    store = await Store.reach(Settings(home=Path(home), database_url=database))
    wanted = EdfiSettings(base_url=url, key="a-key", secret="a-secret", private_addresses=["127.0.0.0/8: a test"])
    tokens = DistrictTokens(store, int(district))
    async with Http(auth(wanted), tokens=tokens, network=wanted.network) as http:
        for _ in range(5):
            assert (await http.get(f"{url}/data/v3/ed-fi/students")).status == 200
    await store.close()

asyncio.run(work(*sys.argv[1:]))
"""


async def test_two_workers_that_are_processes_share_one_token(
    url: str, host: Host, store: Store, district: int, settings: Settings
) -> None:
    database = store.url.render_as_string(hide_password=False)
    workers = [
        await asyncio.create_subprocess_exec(
            sys.executable, "-c", SECOND_WORKER, str(settings.home), database, str(district), url
        )
        for _ in range(2)
    ]
    assert [await worker.wait() for worker in workers] == [0, 0]
    assert len(host.granted) == 1
    assert len(host.asked) == 10 and {token for _, token in host.asked} == {"t-1"}


# --- check --------------------------------------------------------------------------------------------------


async def check(url: str, **more: Any) -> list[Finding]:
    wanted = settings(url, **more)
    async with Http(auth(wanted), tokens=MemoryTokens(), network=wanted.network, attempts=1) as http:
        assert CONNECTOR.open_source is not None
        source = await CONNECTOR.open_source(wanted, http)
        assert isinstance(source, EdfiSource)
        return list(await source.check())


def wrong(findings: list[Finding]) -> list[str]:
    assert all(finding.fix for finding in findings if not finding.ok)
    return [finding.text for finding in findings if not finding.ok and not finding.choice]


DISTRICT = build(schools=1, students=4, seed=3)
YEAR = 2027


@pytest.mark.parametrize(
    ("version", "standard", "route", "more"),
    [
        ("5.3", "3.3", "", {}),
        ("5.4", "3.3", "instance/year", {"instance": "west", "school_year": YEAR}),
        ("6.1", "4.0", "year", {}),
        ("7.0", "4.0", "", {}),
        ("7.1", "5.0", "edfi_tenant/year", {"edfi_tenant": "mapleridge", "school_year": YEAR}),
        ("7.3", "6.0", "edfi_tenant", {"edfi_tenant": "mapleridge"}),
        ("8.0", "5.0", "", {}),
    ],
)
async def test_check_finds_nothing_wrong_with_any_release(
    version: str, standard: str, route: str, more: dict[str, Any]
) -> None:
    played = twin(DISTRICT, standard=standard, version=version, route=route, key="a-key", secret="a-secret")
    with serve(played) as url:
        findings = await check(
            f"{url}/api" if version == "8.0" else url, education_organization_id=DISTRICT.number, **more
        )
    assert wrong(findings) == []
    said = " ".join(finding.text for finding in findings)
    assert f" {version}, data standard {standard}" in said
    assert "collections; a page has at most 500 records." in said


async def test_check_of_a_key_that_may_write_for_one_district_proposes_it(url: str, host: Host) -> None:
    host.token_info["namespace_prefixes"] = ["uri://ed-fi.org", "uri://larkspur.example.org"]
    findings = await check(url)
    said = {finding.text for finding in findings}
    assert wrong(findings) == []
    assert "The Ed-Fi Alliance supports ODS/API through the school year 2028-29." in said
    assert "The key may use what belongs to uri://ed-fi.org, uri://larkspur.example.org." in said
    assert "Its OpenAPI documents name 4 collections." in said
    assert "Pulls read what changed, deletions included." in said
    assert [finding.propose for finding in findings if finding.propose] == [{"education_organization_id": 990100}]


async def test_check_proposes_nothing_for_a_key_that_only_reads_or_reaches_more(url: str, host: Host) -> None:
    host.token_info["resources"] = [{"resource": "/ed-fi/students", "operations": ["Read"]}]
    host.token_info["education_organizations"] = [ORGANIZATION, ORGANIZATION | {"education_organization_id": 990200}]
    findings = await check(url)
    assert [finding.propose for finding in findings if finding.propose] == []
    assert any("several districts" in finding.text for finding in findings)
    assert not any("several districts" in finding.text for finding in await check(url, scope="990200"))


async def test_check_of_a_writer_names_what_it_lacks(url: str, host: Host) -> None:
    host.token_info["resources"] = WRITER[1:]
    del host.openapi["paths"]["/ed-fi/interventions"]
    lacking = wrong(await check(url, education_organization_id=990200))
    assert lacking == [
        "The key does not belong to 990200, in whose name plans are written.",
        "programs: the key may not create them, so plans cannot be written.",
        "This server does not take interventions, so plans cannot be written.",
    ]


async def test_check_of_a_writer_names_what_the_delivery_profile_may_switch_on(url: str, host: Host) -> None:
    more = {"cohorts": ["Create", "Read", "Update"], "studentSchoolAssociations": ["Read"]}
    more_claims = [{"resource": f"/ed-fi/{name}", "operations": operations} for name, operations in more.items()]
    host.token_info["resources"] = [*WRITER, *more_claims]
    found = [one for one in await check(url, education_organization_id=990100) if one.choice]
    assert {(one.text.partition(":")[0], one.choice) for one in found} == {
        ("studentCohortAssociations", "include_team"),
        ("staffCohortAssociations", "include_team"),
        ("studentSchoolAssociations", "mark_enrollment"),
    }
    [mark] = [one.text for one in found if one.choice == "mark_enrollment"]
    assert mark.endswith("the key may not update them, so marking enrollments (mark_enrollment) is not possible.")
    assert set(BY_CHOICE) <= set(EdfiProfile.model_fields)
    writer, both = settings(url, education_organization_id=990100), {"include_team": True, "mark_enrollment": False}
    for profile, faults in ((None, set()), (both, {"include_team"})):
        told = [one for one in await try_out(CONNECTOR, writer, {}, profile) if one.choice]
        assert len(told) == 3 and {one.choice for one in told if not one.ok} == faults, "what is off is no fault"


async def test_check_takes_the_profile_that_marks_enrollments_for_no_fault(url: str, host: Host) -> None:
    host.token_info["assigned_profiles"] = ["Plan-Marks"]
    assert wrong(await check(url)) == ["The key is bound to API profiles: Plan-Marks."]
    assert wrong(await check(url, enrollment_profile="plan-marks")) == []


async def test_check_says_when_records_cannot_be_looked_at_before_they_are_sent(url: str, host: Host) -> None:
    host.openapi = None
    assert wrong(await check(url)) == []
    (told,) = wrong(await check(url, education_organization_id=990100))
    assert "answered 404" in told and told.endswith("Records are not looked at before they are sent.")


async def test_check_compares_the_clocks(url: str, host: Host) -> None:
    host.clock = "Tue, 01 Jan 2030 00:00:00 GMT"
    (told,) = wrong(await check(url))
    assert re.fullmatch(r"Its clock is \d+ minutes ahead of ours\.", told)


async def test_a_limit_of_pages_is_told(url: str, host: Host) -> None:
    limit = {"name": "limit", "in": "query", "schema": {"type": "integer", "maximum": 200}}
    host.openapi["components"] = {"parameters": {"limit": limit}}
    host.openapi["paths"]["/ed-fi/students"] = {"get": {"parameters": [{"$ref": "#/components/parameters/limit"}]}}
    said = [finding.text for finding in await check(url)]
    assert "Its OpenAPI documents name 5 collections; a page has at most 200 records." in said


async def test_extensions_that_are_served_are_named(url: str, host: Host) -> None:
    host.openapi["paths"] |= {"/tpdm/candidates": {}, "/ssp/successPlans": {}, "/ssp/planGoals": {}}
    said = [finding.text for finding in await check(url)]
    assert "Its OpenAPI documents name 7 collections, and extensions are served: ssp, tpdm." in said


def test_support_ends_for_ods_and_begins_with_5_3() -> None:
    def told(*version: int, year: int = 2026) -> tuple[bool, str]:
        server = Server("", "", version, 5, "")
        (finding,) = probe._about_the_server(server, probe._today().replace(year=year))
        return finding.ok, finding.text

    assert told(5, 2) == (False, "Its ODS/API is older than 5.3, the oldest that is known here.")
    assert told(7, 3)[0] and not told(7, 3, year=2029)[0]
    assert told(8, 0, year=2031)[0]
    assert told() == (True, "It does not say its version, so nothing is asked of it that came with a later one.")


# --- the mail to the host -----------------------------------------------------------------------------------


def test_the_mail_names_every_claim_and_no_secret() -> None:
    findings = [Finding(True, "All is well."), Finding(False, "sections: not granted to this key.", "Ask.")]
    text = letter(settings(HOME, education_organization_id=990100), findings, ["programs", "grades"])
    assert "- ed-fi/students: Read, ReadChanges\n" in text
    assert "- ed-fi/studentProgramAssociations: Create, Read, Update\n" in text
    assert "education organization 990100" in text
    assert "- sections: not granted to this key." in text and "All is well." not in text
    assert "a-secret" not in text and "a-key" not in text
    for name in WRITTEN:
        assert f"ed-fi/{name}: " in text
    assert "It reads rosters, results, programs, grades, and may write" in text
    for resource in CONNECTOR.resources:
        asked = f"ed-fi/{resource.name}: Read" in text
        assert asked == (resource.group in ("", "programs", "grades")), resource.name
    assert "ed-fi/students, ed-fi/staffs, ed-fi/studentSchoolAssociations, ed-fi/schools" in text
    assert "- only if our district asks for sending the team: ed-fi/cohorts: Create, Read, Update\n" in text
    assert "asks for marking enrollments: ed-fi/studentSchoolAssociations: Read, Update\n" in text
    assert CONNECTOR.letter is letter
