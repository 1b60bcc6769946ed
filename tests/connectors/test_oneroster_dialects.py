"""Each vendor's preset and each quirk that a server may have: all records are read, and what was odd is told."""

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import fields
from functools import cache
from typing import Any

import pytest
from starlette.responses import HTMLResponse
from starlette.types import Receive, Scope, Send

from connectors.oneroster import CONNECTOR
from connectors.oneroster.catalogue import HOMES
from connectors.oneroster.client import RestSource
from connectors.oneroster.paging import MOST, Place
from connectors.oneroster.presets import PRESETS
from connectors.oneroster.twin import twin
from connectors.oneroster.twin_quirks import PRESETS as KINDS
from connectors.oneroster.twin_quirks import Quirks
from connectors.oneroster.twin_shelves import Sources
from gateway import registry
from gateway.codes import Codes, merged
from gateway.connector import START, Page
from gateway.errors import ConfigError, Unavailable
from gateway.staging import decode, map_rows
from gateway.trying import learnt
from synthetic import District, build
from tests.connectors.oneroster import RESOURCES, every_page, keys, opened, talking

EVERYTHING = {"collections": "roster demographics assessments gradebook resources", "purpose": "evidence for goals"}
NOT_IN_1_1 = {"scoreScales", "assessmentLineItems", "assessmentResults"}
GROUPS = {
    "roster": {"roster", "demographics"},
    "gradebook": {"gradebook"},
    "assessment": {"assessments"},
    "resources": {"resources"},
}


@cache
def district() -> District:
    return build(students=60)


@cache
def truth() -> Mapping[str, frozenset[str]]:
    """The ids that there are, by collection, from the twin itself."""
    sources = Sources(district(), planted=None, full=False, doubled=0)
    return {name: frozenset(sources.facts(name)) for name in HOMES}


async def everything(source: RestSource) -> dict[str, dict[str, Page]]:
    return {resource.name: await every_page(source, resource) for resource in source.resources}


def read(pulled: Mapping[str, dict[str, Page]]) -> dict[str, frozenset[str]]:
    """Collection -> ids that came; what is absent is left out. No id came twice."""
    found = {name: keys(pages) for name, pages in pulled.items() if not pages[START].absent}
    assert all(len(set(ids)) == len(ids) for ids in found.values())
    return {name: frozenset(ids) for name, ids in found.items()}


def told(pulled: Mapping[str, dict[str, Page]]) -> set[str]:
    return {notice.code for pages in pulled.values() for page in pages.values() for notice in page.notices}


CODES = Codes(registry.mapping("oneroster"), merged(registry.mapping("oneroster"), ()), ())
Stated = dict[tuple[str, str], bytes]
"""(collection, key) -> what that record says, as claims of the common schema."""


def stated(source: RestSource, pulled: Mapping[str, dict[str, Page]], lax: bool = False) -> Stated:
    """What the rows say when they are decoded and mapped, as a run does it. Unless `lax`, each can be read."""
    said: Stated = {}
    for resource in source.resources:
        for page in pulled[resource.name].values():
            decoded = decode(resource, page, CODES.edge(resource))
            mapped = map_rows(resource, CODES, decoded, range(len(decoded.rows)))
            assert lax or not [*decoded.rejects, *mapped.rejects]
            said |= {(resource.name, row.key): bytes(row.claims or b"") for row in mapped.rows if row.op == "put"}
    return said


def given(preset: str, base: str) -> dict[str, Any]:
    """What a district sets for such a system."""
    kind = KINDS[preset]
    token = {"token_url": base + kind.access.grant_path} if kind.access.style == "oauth2" else {"token_url": ""}
    return {"preset": preset, "base_url": base + kind.below, **token, **EVERYTHING}


@pytest.mark.parametrize("preset", list(PRESETS))
async def test_a_preset_reads_all_that_such_a_system_has(preset: str) -> None:
    async with opened(twin(district(), preset=preset, page_cap=40), lambda base: given(preset, base)) as source:
        pulled = await everything(source)
        findings = await source.check()
        said = stated(source, pulled)
    kind = KINDS[preset]
    served = {name for name in truth() if any(HOMES[name].group in GROUPS[each] for each in kind.services)}
    if PRESETS[preset].settings.get("version") == "1.1":
        served -= NOT_IN_1_1
    assert read(pulled) == {name: ids for name, ids in truth().items() if name in served}
    assert told(pulled) == set()
    assert [finding.text for finding in findings if not finding.ok] == []
    texts = [finding.text for finding in findings]
    shape = kind.quirks.shape or kind.versions[0]
    assert f"The fields of its users are those of {shape}." in texts
    assert any(
        "As the settings are, everything is pulled" in text or "everything is pulled each time" in text
        for text in texts
    )
    plain = await said_plainly(shape)
    # Ed-Fi's service says nothing of who the primary teacher is.
    else_ = {"enrollments"} if kind.quirks.primaries == "students" else set()
    assert [at for at, one in said.items() if at[0] not in else_ and one != plain[at]] == []


@pytest.mark.parametrize("preset", list(PRESETS))
async def test_without_a_preset_check_finds_out_what_it_knows(preset: str) -> None:
    """What was found is kept, and reads the same. Only a secret in a query is never tried of our own accord."""
    knows = {"preset": "generic"} | {
        "infinite-campus": {"token_style": "query"},
        "classlink-proxy": {"auth": "bearer"},
    }.get(preset, {})
    async with opened(twin(district(), preset=preset, page_cap=40), lambda base: given(preset, base) | knows) as source:
        findings = await source.check()
        settings, news = learnt(CONNECTOR, source.settings, findings)
        assert [finding.text for finding in findings if not finding.ok] == []
        async with talking(settings) as learned:
            pulled = await everything(learned)
    assert news["version"] == ("1.2" if "1.2" in KINDS[preset].versions else "1.1")
    assert read(pulled)["users"] == truth()["users"]
    assert told(pulled) == set()


ASSESSMENT = {"assessmentLineItems", "assessmentResults"}
# Switches of the twin -> what the run says; all records are there nevertheless.
QUIRKS: list[tuple[str, dict[str, Any], set[str]]] = [
    ("none", {}, set()),
    ("1.1", {"versions": ("1.1",)}, set()),
    ("both versions", {"versions": ("1.1", "1.2")}, set()),
    ("1.2 below 1.1", {"versions": ("1.1",), "shape": "1.2"}, set()),
    ("mixed shapes", {"shape": "mixed"}, set()),
    ("no totals", {"totals": False}, set()),
    ("no links", {"link": False}, set()),
    ("neither", {"totals": False, "link": False}, set()),
    ("total too high", {"wrong_total": 37}, set()),
    ("total too low", {"wrong_total": -5}, set()),
    ("total far too low", {"wrong_total": -1000}, set()),
    ("small pages", {"page_cap": 15}, set()),
    ("small pages, no totals", {"page_cap": 15, "totals": False}, set()),
    ("limit refused", {"limit_refused_above": 250}, set()),
    ("limit refused below 100", {"limit_refused_above": 100, "totals": False}, set()),
    ("behind: 404", {"offset_beyond": "404", "totals": False}, set()),
    ("behind: 400", {"offset_beyond": "400", "totals": False}, set()),
    ("steady revision", {"perm_rev": "steady"}, set()),
    ("sort ignored", {"sort": "ignored"}, set()),
    ("sort refused", {"sort": "refused"}, {"order-refused"}),
    ("sort refused, no totals", {"sort": "refused", "totals": False}, {"order-refused"}),
    ("filter ignored", {"filter": "ignored"}, set()),
    ("filter refused", {"filter": "refused"}, set()),
    ("other case", {"envelope": "other-case"}, {"envelope-name"}),
    ("bare list", {"envelope": "bare-list"}, {"envelope-missing"}),
    ("bom", {"bom": True}, {"byte-order-mark"}),
    ("gzip", {"gzip": True}, set()),
    ("nulls", {"nulls": "null"}, set()),
    ("empty texts", {"nulls": "empty"}, set()),
    ("both", {"nulls": "both"}, set()),
    ("json booleans", {"booleans": "json"}, set()),
    ("True", {"booleans": "Title"}, set()),
    *((dates, {"dates": dates}, set()) for dates in ("z-date", "no-zone", "offset-z", "date-time", "day", "us")),
    *((grades, {"grades": grades}, set()) for grades in ("words", "unpadded", "KG")),
    *((refs, {"refs": refs}, set()) for refs in ("href-only", "no-id", "text")),
    ("id case", {"id_case": True}, set()),
    ("refresh times", {"refresh_times": True}, set()),
    ("tombstones", {"tombstones": True}, set()),
    ("primaries", {"primaries": "students"}, set()),
    ("usernames", {"usernames": False}, set()),
    ("dangling", {"dangling": 2}, set()),
    ("undated", {"undated": 5}, set()),
    ("late stamps", {"stamps_behind": 36_000.0}, set()),
    ("count of everything", {"counts": "everything"}, set()),
    ("clock", {"clock_ahead": 3600.0}, set()),
    ("html errors", {"html_errors": True, "versions": ("1.1",)}, set()),
    ("form", {"client": ("form",)}, set()),
    ("scope required", {"scope": "required"}, set()),
    ("token type", {"token_type": "bearer"}, set()),
    ("short tokens", {"token_seconds": 0.3}, set()),
]


_PLAIN: dict[str, Stated] = {}


async def said_plainly(version: str) -> Stated:
    """What the records of that version say where nothing is odd."""
    if version not in _PLAIN:
        async with opened(twin(district(), versions=(version,)), lambda _: {"version": version} | EVERYTHING) as source:
            _PLAIN[version] = stated(source, await everything(source))
    return _PLAIN[version]


@pytest.mark.parametrize(("name", "switches", "codes"), QUIRKS, ids=[each[0] for each in QUIRKS])
async def test_a_quirk_costs_no_record_and_is_told(name: str, switches: dict[str, Any], codes: set[str]) -> None:
    """And no value: each record says what it says where nothing is odd."""
    old = switches.get("versions") == ("1.1",)
    app = twin(district(), **{"page_cap": 100} | switches)
    known: dict[str, Any] = {"version": "1.1" if old else "auto"}
    if name == "html errors":  # which version it is, is found by an address that is not there
        known = {"version": "auto", "scopes": ""}
    async with opened(app, lambda _: known | EVERYTHING) as source:
        pulled = await everything(source)
        said = stated(source, pulled, lax=name == "us")
    assert read(pulled) == {name: ids for name, ids in truth().items() if not (old and name in NOT_IN_1_1)}
    assert told(pulled) == codes
    version = "1.1" if switches.get("shape", "") == "1.1" or (old and "shape" not in switches) else "1.2"
    plain = {at: one for at, one in (await said_plainly(version)).items() if not (old and at[0] in NOT_IN_1_1)}
    match name:
        case "mixed shapes":  # each record says what it says in one of the two
            older = await said_plainly("1.1")
            assert said.keys() == plain.keys()
            assert [at for at, one in said.items() if one not in (plain[at], older.get(at))] == []
        case "primaries":
            assert without("primary", said) == without("primary", plain)
        case "usernames":
            assert without("username", said) == without("username", plain)
        case "dangling":  # two of each collection have a reference to nobody
            assert said.keys() == plain.keys()
            differing = Counter(collection for (collection, key), one in said.items() if one != plain[collection, key])
            assert differing and set(differing.values()) <= {1, 2}
        case "id case":  # which record is meant is found with the others, by the run
            assert {at: one.lower() for at, one in said.items()} == {at: one.lower() for at, one in plain.items()}
        case "us":  # the tenth of October or the first day of a month: what has no such day is read
            assert said and said == {at: one for at, one in plain.items() if at in said}
        case _:
            assert said == plain


def without(field: str, said: Stated) -> Stated:
    """The same, but for one field."""
    return {at: re.sub(rb',?"%s":(?:"[^"]*"|true|false)' % field.encode(), b"", one) for at, one in said.items()}


async def test_a_web_page_where_1_2_would_be_leads_to_1_1() -> None:
    """Some sites answer addresses that they do not have with 200 and their front page."""
    app = twin(district(), versions=("1.1",))

    async def site(scope: Scope, receive: Receive, send: Send) -> None:
        found = HTMLResponse("<!doctype html><title>Welcome</title>") if "v1p2" in scope["path"] else app
        await found(scope, receive, send)

    async with opened(site, version="auto", scopes="") as source:
        assert set(keys(await every_page(source))) == truth()["users"]


async def test_pages_of_one_row_are_read() -> None:
    async with opened(twin(district(), page_cap=1, totals=False)) as source:
        assert set(keys(await every_page(source, source.resources[0]))) == truth()["orgs"]
    async with opened(twin(district(), page_cap=1)) as source:
        assert set(keys(await every_page(source, source.resources[0]))) == truth()["orgs"]


async def test_every_quirk_of_the_twin_is_among_these() -> None:
    tried = {name for _, switches, _ in QUIRKS for name in switches} | ELSEWHERE
    assert {each.name for each in fields(Quirks)} <= tried


# offset_ignored, duplicates, doubled, moving, perm_rev and bad rows have tests of their own
ELSEWHERE = {"offset_ignored", "duplicates", "doubled", "moving", "moves", "bad_rows", "filter_blind", "inactive"}


async def test_a_server_that_ignores_the_offset_is_refused_and_named() -> None:
    async with opened(twin(district(), offset_ignored=True, page_cap=40)) as source:
        with pytest.raises(ConfigError) as caught:
            await everything(source)
    assert caught.value.code == "oneroster-offset-ignored"


@pytest.mark.parametrize("totals", [True, False])
async def test_rows_that_come_twice_are_told_or_end_the_pull(totals: bool) -> None:
    """Three rows are met again: on one page it is said, from page to page the core counts keys and holds."""
    async with opened(twin(district(), duplicates=True, totals=totals, page_cap=1000)) as source:
        pages = await every_page(source)
    assert set(keys(pages)) == truth()["users"]
    assert [(one.code, one.count) for page in pages.values() for one in page.notices] == [("row-repeated", 3)]


async def test_a_bad_row_costs_no_other() -> None:
    async with opened(twin(district(), bad_rows=4, page_cap=40), lambda _: EVERYTHING) as source:
        for resource in source.resources:
            pages = await every_page(source, resource)
            assert sum(len(page.rows) for page in pages.values()) == len(truth()[resource.name])


async def test_a_revision_that_moves_is_told() -> None:
    async with opened(twin(district(), perm_rev="moving", page_cap=40)) as source:
        assert "revision-moved" in told(await everything(source))


@pytest.mark.parametrize("moving", ["removed", "inserted"])
async def test_what_a_moving_roster_looks_like_is_not_learnt(moving: str) -> None:
    """Neither that its counts are wrong, which would be believed for ever, nor that its pages are small."""
    async with opened(twin(district(), moving=moving, moves=2, page_cap=1000)) as source:
        found = await source.check()
    proposed = {name: value for finding in found for name, value in finding.propose.items()}
    assert not proposed.keys() & {"totals", "page_size", "order"}


@pytest.mark.parametrize("moving", ["order", "removed", "inserted"])
@pytest.mark.parametrize("totals", [True, False])
async def test_a_roster_that_moves_is_never_half_read(moving: str, totals: bool) -> None:
    ended: list[str] = []
    async with opened(twin(district(), moving=moving, totals=totals, page_cap=40)) as source:
        while len(ended) < 9:
            try:
                pages = await every_page(source)
                break
            except Unavailable as error:
                ended.append(error.code)
    assert ended
    assert set(ended) <= {"oneroster-roster-moved", "oneroster-pages-mixed-up"}
    # Now it stands still. What was taken from its front is the only thing that may be missing.
    missing = sorted(truth()["users"] - set(keys(pages)))
    assert missing == sorted(truth()["users"])[: 3 if moving == "removed" else 0]


@pytest.mark.parametrize("wrong", [2**32, 10**12, 10**30])
async def test_a_count_beyond_reason_is_no_flood_of_requests(wrong: int) -> None:
    """-1 as another program writes it, or worse: neither memory nor the server is to pay for it, and no row is lost."""
    async with opened(twin(district(), wrong_total=wrong, page_cap=50)) as source:
        page = await source.pull(RESOURCES["enrollments"], START)
        assert 0 < len(page.next) <= MOST
        *_, last = map(Place.parse, page.next)
        assert last.end is None, "behind the others it goes on to the end, however far that is"
        assert page.total is None or page.total < 2**63, "no more than the store can hold"
