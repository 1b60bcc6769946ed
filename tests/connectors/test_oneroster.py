"""OneRoster services with every oddity that real servers show, and the twin, over real sockets."""

import json
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import pytest
import yaml
from pydantic import ValidationError
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route

from connectors.oneroster import CONNECTOR
from connectors.oneroster.catalogue import SCOPE
from connectors.oneroster.settings import dialect
from connectors.oneroster.twin import twin
from gateway.connector import START
from gateway.errors import AuthError, ConfigError, RecordError, Unavailable
from gateway.http import ClientCredentials
from gateway.payload import edge
from mappings.oneroster import MAPPING
from synthetic import build
from tests.connectors.oneroster import RESOURCES, USERS, configured, every_page, keys, opened

GIVEN = {"token_url": "https://sis.example.org/token", "client_id": "us", "client_secret": "kept-quiet"}


LAST = "2026-07-01T00:00:00.000Z"


@dataclass
class Service:
    """A provider of users u0000, u0001 ... that does not keep the contract in the ways its fields say.

    `short` tells how many rows are left out at the end of the page at an offset; `status` what is answered at an
    offset; `behind` what is answered behind the last row. Once only, the page at `empty_once` is empty, that at
    `first_once` is the first page, and the first page is the second (`second_once`).
    """

    rows: int = 0
    cap: int = 10_000
    total: int | None = None
    total_spelt: str = ""
    short: dict[int, int] = field(default_factory=dict)
    status: dict[int, int] = field(default_factory=dict)
    behind: int = 200
    largest: int | None = None
    ignores_limit: bool = False
    ignores_offset: bool = False
    sorts: bool = True
    envelope: str = '{"users": %s}'
    collection_status: dict[str, int] = field(default_factory=dict)
    html: bool = False
    empty_once: int | None = None
    first_once: int | None = None
    second_once: bool = False
    granted: str | None = None
    asked: list[dict[str, str]] = field(default_factory=list)
    paths: set[str] = field(default_factory=set)

    def app(self) -> Starlette:
        return Starlette(
            routes=[
                Route("/token", self.token, methods=["POST"]),
                Route("/ims/oneroster/{service}/v1p2/{collection}", self.page),
            ]
        )

    async def token(self, request: Request) -> Response:
        scope = (await request.form()).get("scope", "") if self.granted is None else self.granted
        return JSONResponse({"access_token": "t", "token_type": "bearer", "expires_in": 3600, "scope": scope})

    async def page(self, request: Request) -> Response:
        query = dict(request.query_params)
        self.asked.append(query)
        self.paths.add(request.url.path)
        limit, offset = int(query["limit"]), int(query["offset"])
        status = self.collection_status.get(request.path_params["collection"]) or self.status.get(offset, 200)
        if ("sort" in query and not self.sorts) or (self.largest is not None and limit > self.largest):
            status = 400
        if offset >= max(self.rows, 1) and status == 200:
            status = self.behind
        if self.html:
            return HTMLResponse("<html>Please sign in</html>")
        if status != 200:
            return JSONResponse({"imsx_codeMajor": "failure"}, status_code=status)
        first = 0 if self.ignores_offset else offset
        if offset == self.first_once:
            first, self.first_once = 0, None
        if offset == 0 and self.second_once:
            first, self.second_once = self.cap, False
        if offset == self.empty_once:
            first, self.empty_once = self.rows, None
        count = self.rows if self.ignores_limit else min(limit, self.cap) - self.short.get(offset, 0)
        rows = [
            {"sourcedId": f"u{n:04}", "dateLastModified": LAST} for n in range(first, min(first + count, self.rows))
        ]
        stated = self.total_spelt or ("" if self.total is None else str(self.total))
        headers = {"X-Total-Count": stated} if stated else {}
        return Response(self.envelope % json.dumps(rows), headers=headers, media_type="application/json")


def spans(cursor: str) -> str:
    """Where a cursor stands, without what it remembers."""
    return cursor.partition("@")[0]


def all_users(count: int) -> list[str]:
    return [f"u{n:04}" for n in range(count)]


async def test_with_a_total_the_first_page_makes_all_stretches_known() -> None:
    service = Service(rows=1230, cap=500, total=1230)
    async with opened(service.app()) as source:
        first = await source.pull(USERS, START)
        assert ([spans(cursor) for cursor in first.next], first.total) == (["500-999", "999"], 1230)
        assert keys(await every_page(source)) == all_users(1230)
    assert service.asked[0] == {"limit": "1000", "offset": "0", "sort": "sourcedId", "orderBy": "asc"}
    # A stretch asks for what it is short of and for the row before it, not for more.
    assert {(one["offset"], one["limit"]) for one in service.asked} >= {("499", "500"), ("998", "1000")}


async def test_what_is_asked_is_in_the_published_contract(contracts: Path) -> None:
    service = Service(rows=3, envelope='{"rows": %s}')
    async with opened(service.app()) as source:
        for resource in source.resources:
            await source.pull(resource, START)
    published: dict[str, set[str]] = {}
    for name, root in (("rosters", "rostering"), ("gradebook", "gradebook")):
        file = contracts / "oneroster" / "openapi" / "v1p2" / f"onerosterv1p2{name}service_openapi3_v1p0.yaml"
        for path, item in yaml.safe_load(file.read_text(encoding="utf-8"))["paths"].items():
            queries = {one["name"] for one in item.get("get", {}).get("parameters", ()) if one["in"] == "query"}
            published[f"/ims/oneroster/{root}/v1p2{path}"] = queries
    assert len(service.paths) == len(source.resources)
    for path in service.paths:
        assert {name for query in service.asked for name in query} <= published[path]


@pytest.mark.parametrize("rows", [0, 1, 70, 140, 257])
async def test_without_a_total_pages_follow_until_one_is_empty(rows: int) -> None:
    async with opened(Service(rows=rows, cap=70).app()) as source:
        pages = await every_page(source)
    assert keys(pages) == all_users(rows)
    assert all(len(page.next) <= 1 and page.total is None for page in pages.values())


async def test_a_page_that_comes_short_goes_on_where_it_stopped() -> None:
    service = Service(rows=400, cap=100, total=400, short={99: 30, 168: 29, 298: 1})
    async with opened(service.app()) as source:
        pages = await every_page(source)
    assert sorted(keys(pages)) == all_users(400)
    assert {"100-199", "169-199", "199-298", "397-400"} - {spans(cursor) for cursor in pages} == {"397-400"}


async def test_a_short_first_page_is_not_the_end() -> None:
    async with opened(Service(rows=250, cap=100, short={0: 60}).app()) as source:
        assert keys(await every_page(source)) == all_users(250)


@pytest.mark.parametrize("total", [0, 99, 150, 249, 400])
async def test_a_wrong_total_neither_ends_nor_prolongs_a_pull(total: int) -> None:
    async with opened(Service(rows=250, cap=100, total=total).app()) as source:
        pages = await every_page(source)
    assert sorted(keys(pages)) == all_users(250)
    assert pages[START].total == total


async def test_a_pull_goes_on_in_a_new_source_from_any_cursor() -> None:
    service = Service(rows=950, cap=200, total=950)
    async with opened(service.app()) as source:
        pages = await every_page(source)
    for cursor, page in pages.items():
        async with opened(service.app()) as source:
            again = await source.pull(USERS, cursor)
        assert keys({cursor: again}) == keys({cursor: page})
        assert again.next == page.next


@pytest.mark.parametrize("behind", [400, 404, 422])
async def test_a_refusal_behind_the_last_row_is_the_end(behind: int) -> None:
    async with opened(Service(rows=250, cap=100, behind=behind).app()) as source:
        assert keys(await every_page(source)) == all_users(250)


@pytest.mark.parametrize("status", [400, 403, 404, 422])
async def test_a_refusal_in_the_middle_is_not_the_end(status: int) -> None:
    async with opened(Service(rows=250, cap=100, total=250, status={99: status}).app()) as source:
        with pytest.raises(Unavailable) as caught:
            await every_page(source)
    assert caught.value.code == "oneroster-page-refused"


async def test_a_server_that_cannot_sort_is_asked_without() -> None:
    service = Service(rows=250, cap=100, sorts=False)
    async with opened(service.app()) as source:
        pages = await every_page(source)
    assert keys(pages) == all_users(250)
    assert [("sort" in one) for one in service.asked] == [True, True, *[False] * 5]
    assert [notice.code for page in pages.values() for notice in page.notices] == ["order-refused"]


async def test_a_refusal_in_the_middle_leaves_the_order_alone() -> None:
    service = Service(rows=250, cap=100, status={198: 400})
    async with opened(service.app()) as source:
        with pytest.raises(Unavailable):
            await every_page(source)
        await source.pull(RESOURCES["orgs"], START)
    assert all("sort" in one for one in service.asked)


@pytest.mark.parametrize(("largest", "taken"), [(500, 100), (1000, 1000), (100, 100)])
async def test_a_limit_that_is_too_high_is_lowered_and_loses_nothing(largest: int, taken: int) -> None:
    service = Service(rows=250, total=250, largest=largest)
    async with opened(service.app()) as source:
        assert keys(await every_page(source)) == all_users(250)
        assert all(int(one["limit"]) <= taken for one in service.asked[1:])
        assert all("sort" in one for one in service.asked)


@pytest.mark.parametrize("total", [None, 30])
async def test_a_server_that_gives_everything_at_once_is_read_once(total: int | None) -> None:
    service = Service(rows=30, total=total, ignores_limit=True, ignores_offset=True)
    async with opened(service.app(), page_size=20) as source:
        assert keys(await every_page(source)) == all_users(30)


@pytest.mark.parametrize("total", [None, 300])
async def test_a_server_that_ignores_the_offset_is_refused(total: int | None) -> None:
    async with opened(Service(rows=300, total=total, ignores_offset=True).app(), page_size=100) as source:
        with pytest.raises(ConfigError) as caught:
            await every_page(source)
    assert caught.value.code == "oneroster-offset-ignored"


async def test_an_end_that_nobody_counted_to_is_asked_for_twice() -> None:
    async with opened(Service(rows=250, cap=100, empty_once=100).app()) as source:
        assert keys(await every_page(source)) == all_users(250)


@pytest.mark.parametrize("total", [None, 250])
async def test_the_first_page_instead_of_another_is_asked_for_again(total: int | None) -> None:
    async with opened(Service(rows=250, cap=100, total=total, first_once=100).app()) as source:
        assert keys(await every_page(source)) == all_users(250)


@pytest.mark.parametrize("total", [None, 250])
async def test_another_page_instead_of_the_first_is_no_end(total: int | None) -> None:
    async with opened(Service(rows=250, cap=100, total=total, second_once=True).app()) as source:
        with pytest.raises(Unavailable) as caught:
            await every_page(source)
    assert caught.value.code == "oneroster-roster-moved"


@pytest.mark.parametrize(
    ("envelope", "code"),
    [
        ('{"users": %s}', ""),
        ('{"Users": %s}', "envelope-name"),
        ('{"user": %s}', "envelope-name"),
        ('{"page": 1, "data": %s}', "envelope-name"),
        ('{"USERS": %s, "warnings": []}', "envelope-name"),
        ("%s", "envelope-missing"),
        ('\ufeff{"users": %s}', "byte-order-mark"),
    ],
)
async def test_envelopes_of_any_spelling_are_read_and_counted(envelope: str, code: str) -> None:
    async with opened(Service(rows=3, total=3, envelope=envelope).app()) as source:
        page = await source.pull(USERS, START)
    assert keys({START: page}) == all_users(3)
    assert [notice.code for notice in page.notices] == [code] * bool(code)


async def test_a_null_collection_is_an_empty_one() -> None:
    async with opened(Service(rows=3, total=0, envelope='{"users": null, "was": %s}').app()) as source:
        page = await source.pull(USERS, START)
    assert (keys({START: page}), [notice.code for notice in page.notices]) == ([], ["envelope-null"])


@pytest.mark.parametrize(("spelt", "total"), [("1,250", 1250), ("250.0", 250), ("many", None), ("", None)])
async def test_a_total_may_be_spelt_oddly(spelt: str, total: int | None) -> None:
    async with opened(Service(rows=3, total_spelt=spelt).app()) as source:
        page = await source.pull(USERS, START)
    assert page.total == total
    assert [notice.code for notice in page.notices] == ["total-spelt"] * (total is not None)


async def test_a_row_twice_on_a_page_is_told() -> None:
    twice = json.dumps({"sourcedId": "u0000", "dateLastModified": LAST})
    service = Service(rows=3, total=3, envelope=f'{{"users": [{twice}, {twice}], "was": %s}}')
    async with opened(service.app()) as source:
        page = await source.pull(USERS, START)
    assert [(one.code, one.example, one.count) for one in page.notices] == [("row-repeated", "u0000", 1)]


@pytest.mark.parametrize("envelope", ['{"message": "hello", "was": {"x": %s}}', '["hello", %s]', '{"a": %s, "b": []}'])
async def test_an_answer_without_the_collection_is_a_wrong_address(envelope: str) -> None:
    async with opened(Service(rows=3, envelope=envelope).app()) as source:
        with pytest.raises(ConfigError) as caught:
            await source.pull(USERS, START)
    assert caught.value.code == "oneroster-envelope"


@pytest.mark.parametrize(
    ("collection", "status", "absent"),
    [
        ("demographics", 403, "not granted: scope roster-demographics.readonly"),
        ("assessmentResults", 403, "not granted: scope assessment.readonly"),
        ("assessmentResults", 404, "not offered by this server"),
    ],
)
async def test_a_refused_collection_is_absent_with_its_reason(collection: str, status: int, absent: str) -> None:
    async with opened(Service(collection_status={collection: status}).app()) as source:
        page = await source.pull(RESOURCES[collection], START)
    assert (page.absent, list(page.rows), page.next) == (absent, [], ())


async def test_no_orgs_means_a_wrong_address() -> None:
    async with opened(Service(collection_status={"orgs": 404}).app()) as source:
        with pytest.raises(ConfigError) as caught:
            await source.pull(RESOURCES["orgs"], START)
    assert caught.value.code == "oneroster-refused"


async def test_a_web_page_and_a_refused_token_are_named() -> None:
    async with opened(Service(html=True).app()) as source:
        with pytest.raises(ConfigError) as wrong:
            await source.pull(USERS, START)
    assert wrong.value.code == "http-html-instead-of-json"
    async with opened(Service(collection_status={"users": 401}).app()) as source:
        with pytest.raises(AuthError):
            await source.pull(USERS, START)


async def test_check_tells_scopes_totals_and_page_cap() -> None:
    service = Service(rows=700, cap=500, total=700, envelope='{"rows": %s}', granted=f"{SCOPE}roster-core.readonly")
    service.collection_status = {"demographics": 403}
    async with opened(service.app()) as source:
        findings = await source.check()
    said = {finding.text: finding.ok for finding in findings}
    assert said[f"The token lacks the scope {SCOPE}assessment.readonly."] is False
    assert said["users: 700, 500 a page instead of 1000."] is True
    assert said["demographics: not granted: scope roster-demographics.readonly."] is False
    assert all(finding.ok or finding.fix for finding in findings)
    async with opened(Service(rows=5, envelope='{"rows": %s}').app()) as source:
        said = {finding.text: finding.ok for finding in await source.check()}
    assert "users: 5 in all; no X-Total-Count." in said


async def test_check_says_that_a_secret_is_refused() -> None:
    async with opened(twin(build(students=20)), client_secret="no-longer-this") as source:
        [finding] = await source.check()
    assert not finding.ok
    assert "no-longer-this" not in finding.text + finding.fix


@pytest.mark.parametrize("totals", [True, False])
async def test_the_twin_is_read_whole(totals: bool) -> None:
    district = build(students=150)
    planted = "planted-9d41"
    async with opened(twin(district, page_cap=70, totals=totals, planted=planted), page_size=100) as source:
        pulled = {resource.name: await every_page(source, resource) for resource in source.resources}
    for name in ("users", "demographics"):
        assert all(planted.encode() in bytes(row) for row in pulled[name][START].rows[-9:])
    codes = MAPPING.codes()
    for name, pages in pulled.items():
        resource = RESOURCES[name]
        assert len(keys(pages)) == len(set(keys(pages))) > 0
        assert pages[START].total == (len(keys(pages)) if totals else None)
        for row in (row for page in pages.values() for row in page.rows):
            assert list(MAPPING.inbound[resource.wire](msgspec.json.decode(row, type=resource.wire), codes))
            kept, _ = edge(resource, "")(row)
            assert planted.encode() not in kept
    assert not codes.unmapped
    assert len(keys(pulled["demographics"])) == 150


def test_settings_want_a_service_or_a_package() -> None:
    with pytest.raises(ValidationError, match=r"address of a service .* or the path"):
        configured()
    with pytest.raises(ValidationError, match="not both"):
        configured(base_url="https://sis.example.org", path="roster.zip", **GIVEN)
    with pytest.raises(ValidationError, match="also needs the token address, the client id") as caught:
        configured(base_url="https://sis.example.org", client_secret="kept-quiet")
    assert "kept-quiet" not in str(caught.value)


@pytest.mark.parametrize(
    "address",
    [
        "https://sis.example.org/district",
        "https://sis.example.org/district/",
        "https://sis.example.org/district/ims/oneroster",
        "https://sis.example.org/district/ims/oneroster/rostering/v1p2/",
        "https://sis.example.org/district/ims/oneroster/gradebook/v1p2",
        "https://sis.example.org/district/ims/oneroster/v1p1/",
    ],
)
def test_an_address_is_taken_with_and_without_its_path(address: str) -> None:
    taken = configured(base_url=address, **GIVEN)
    named = {"v1p1": "1.1", "v1p2": "1.2"}.get(address.rstrip("/").rpartition("/")[2])
    assert (taken.base_url, dialect(taken).version) == ("https://sis.example.org/district", named)


def test_what_is_set_comes_before_the_preset_and_the_preset_before_the_standard() -> None:
    plain, old = dialect(configured(base_url="https://sis.example.org", **GIVEN)), {"preset": "synergy"}
    known = dialect(configured(base_url="https://sis.example.org", **GIVEN, **old))
    said = dialect(configured(base_url="https://sis.example.org", **GIVEN, **old, version="1.2", token_style="basic"))
    assert (plain.version, plain.token_style) == (None, "auto")
    assert (known.version, known.token_style) == ("1.1", "form")
    assert (said.version, said.token_style) == ("1.2", "basic")
    assert known.address("results", "1.1") == "https://sis.example.org/ims/oneroster/v1p1/results"
    assert said.address("results", "1.2") == "https://sis.example.org/ims/oneroster/gradebook/v1p2/results"
    assert all("/or/v1p1/scope/" in scope for scope in known.scopes.split())


def test_a_preset_stays_one_after_it_was_saved() -> None:
    """What a preset knows is not written into the settings: another one takes its place."""
    saved = configured(base_url="https://sis.example.org", **GIVEN, preset="aeries").model_dump(mode="json")
    other = configured(**saved | {"preset": "powerschool", "client_secret": "kept-quiet"})
    assert (dialect(other).version, len(dialect(other).collections)) == ("1.2", 9)


@pytest.mark.parametrize(
    ("preset", "needed"), [("generic", "token address"), ("classlink", "client id"), ("wrong", "")]
)
def test_a_preset_needs_what_its_credentials_need(preset: str, needed: str) -> None:
    with pytest.raises(ValidationError, match=needed or "there is generic"):
        configured(base_url="https://sis.example.org", client_secret="kept-quiet", preset=preset)


def test_collections_beyond_the_roster_need_a_purpose() -> None:
    given = {"base_url": "https://sis.example.org", **GIVEN}
    with pytest.raises(ValidationError, match="purpose what gradebook should be for"):
        configured(**given, collections="roster gradebook")
    with pytest.raises(ValidationError, match="neither one of roster"):
        configured(**given, collections="roster grades")
    with pytest.raises(ValidationError, match="orgs cannot be left out"):
        configured(**given, collections="users")
    taken = dialect(configured(**given, collections="roster results", purpose="evidence for the reading goals"))
    assert "results" in taken.collections
    assert SCOPE + "gradebook-core.readonly" in taken.scopes.split()


@pytest.mark.parametrize("address", ["sis.example.org", "https://x.example.org/ims/oneroster/v2p0", "https://x?y=1"])
def test_an_address_that_is_none_is_refused(address: str) -> None:
    with pytest.raises(ValidationError, match=r"address of a OneRoster service"):
        configured(base_url=address, **GIVEN)


def test_scopes_may_be_left_out() -> None:
    asked = configured(base_url="https://sis.example.org", **GIVEN)
    assert dialect(asked).scopes.split() == [
        SCOPE + name for name in ("roster-core.readonly", "roster-demographics.readonly", "assessment.readonly")
    ]
    none = configured(base_url="https://sis.example.org", scopes="", **GIVEN)
    auth = CONNECTOR.auth(none)
    assert isinstance(auth, ClientCredentials)
    assert auth.scope is None
    assert CONNECTOR.auth(configured(path="roster.zip")) is None


def test_a_record_without_an_id_is_no_record() -> None:
    for row in ('{"sourcedId": ""}', '{"sourcedId": null}', '{"status": "active"}'):
        with pytest.raises((msgspec.ValidationError, RecordError)):
            USERS.key(msgspec.json.decode(row, type=USERS.wire))


@pytest.mark.parametrize(
    ("status", "gone"), [("tobedeleted", True), ("Inactive", True), ("active", False), ("", False)]
)
def test_tombstones_are_recognised(status: str, gone: bool) -> None:
    row = json.dumps({"sourcedId": "u1", "status": status})
    assert USERS.inactive is not None
    assert USERS.inactive(msgspec.json.decode(row, type=USERS.wire)) is gone
