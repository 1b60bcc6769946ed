"""What we serve, pulled by our own connector into a district of its own: 1.2 and 1.1, by tokens and by signatures."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from unittest.mock import patch

import pytest
import pytest_asyncio

from connectors.oneroster.catalogue import HOMES
from connectors.oneroster.twin import twin
from gateway import api, clock
from gateway.scopes import ONEROSTER
from gateway.settings import Settings
from gateway.store.database import Store
from synthetic import build
from tests.api.conftest import serving
from tests.e2e.conftest import NUMBERS
from tests.e2e.office import Docs, Office
from tests.e2e.processes import Home, steer
from tests.serving import serve

module = pytest.mark.asyncio(loop_scope="module")
EVERYTHING = {"collections": "roster demographics assessments gradebook resources", "purpose": "a proof"}


@dataclass
class Served:
    """A district that is served on a socket, the system that it comes from, and a program that may read all of it."""

    office: Office
    source: str
    url: str
    client: str
    secret: str
    consumer_secret: str
    readers: dict[str, Office] = field(default_factory=dict)

    def connected(self, version: str, auth: str = "oauth2", **more: str) -> Office:
        """A new district that has our service as its system."""
        reader = Office(self.office.home, f"district-{next(NUMBERS)}")
        given = {"base_url": self.url, "version": version, "auth": auth, "client_id": self.client, **EVERYTHING, **more}
        if auth == "oauth2":
            reader.connect("oneroster", self.url, token_url=f"{self.url}/oauth/token", secret=self.secret, **given)
        else:
            reader.connect("oneroster", self.url, token_url="", secret=self.consumer_secret, **given)
        return reader

    def there(self) -> dict[str, Docs]:
        """What is published in the district that is served: kind -> id -> values."""
        found: dict[str, Docs] = {}
        for entity in self.office.entities():
            found.setdefault(entity.kind, {})[entity.id] = entity.doc
        return found | {"relationship": by_pair(found["relationship"])}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def served(installation: Home) -> AsyncIterator[Served]:
    office = Office(installation, f"district-{next(NUMBERS)}")
    with serve(twin(build(schools=1, students=10), tombstones=True, full=True)) as source:
        await asyncio.to_thread(office.connect, "oneroster", source, **EVERYTHING)
        await asyncio.to_thread(office.pull, "oneroster")
        client, secret, consumer = await asyncio.to_thread(agreed, office)
        with patch.dict("os.environ", installation.environment):
            settings = Settings()
        store = await Store.open(settings)
        try:
            async with serving(api.create_app(store, settings)) as http:
                store.address = str(http.base_url).rstrip("/")
                yield Served(office, source, store.address, client, secret, consumer)
        finally:
            await store.close()


def agreed(office: Office) -> tuple[str, str, str]:
    """A program of which the district's IT makes a client, with an agreement about everything."""
    scopes = [part for scope in ONEROSTER for part in ("--scope", scope)]
    made = office.ask("client", "add", "reader", *scopes)
    client = made["client_id"]
    collections = [part for name in HOMES for part in ("--collection", name)]
    people = [part for name in ("student", "staff", "contact") for part in ("--people", name)]
    paper = ("--purpose", "rostering", "--basis", "school_official", "--signer", "Ottoline Farrow", "--document", "c-7")
    days = ("--breach-contact", "breach@vendor.example.org", "--from", f"{clock.today()}", "--until", "2099-06-30")
    office.ask("serve", "rebuild", "--as", "Imogen Hale")
    drafted = office.ask("vendors", "agree", client, *collections, *people, *paper, *days, "--as", "Imogen Hale")
    confirm = () if drafted["confirm"] is None else ("--people", str(drafted["confirm"]))
    office.ask("vendors", "approve", str(drafted["agreement"]), *confirm, "--as", "Ottoline Farrow")
    signing = office.ask("client", "signatures", client, "--on")
    return client, made["client_secret"], signing["consumer_secret"]


async def pulled(reader: Office) -> dict[str, Any]:
    run: dict[str, Any] = await asyncio.to_thread(reader.pull, "oneroster")
    assert run["state"] == "published"
    assert await asyncio.to_thread(reader.waiting) == {}
    return run


@module
async def test_it_comes_back_whole_in_1_2(served: Served) -> None:
    reader = await asyncio.to_thread(served.connected, "1.2", changes="yes")
    await pulled(reader)
    there = served.there()
    assert {"result", "assessment_result", "score_scale", "resource"} <= there.keys()
    same(reader, there)
    served.readers["1.2"] = reader


@module
async def test_it_comes_back_in_1_1_but_for_what_1_1_has_no_place_for(served: Served) -> None:
    reader = await asyncio.to_thread(served.connected, "1.1", changes="yes")
    await pulled(reader)
    same(reader, older(served.there()))
    served.readers["1.1"] = reader


@pytest.mark.parametrize("auth", ["oauth1-sha1", "oauth1-sha256"])
@module
async def test_by_signatures_the_core_of_the_roster_comes_back(served: Served, auth: str) -> None:
    reader = await asyncio.to_thread(served.connected, "1.1", auth, collections="roster", purpose="")
    await pulled(reader)
    same(reader, core(older(served.there())))


@module
async def test_what_changed_and_what_is_gone_comes_with_the_next_pull(served: Served) -> None:
    """Changes only: whoever is gone here is gone there because a tombstone says so."""
    before = served.there()
    for change in ({"without_students": 0.1}, {"with_new_students": 2}, {"moved": 0.1}):
        steer(served.source, "POST", "change", change)
    await pulled(served.office)
    await asyncio.to_thread(served.office.ask, "serve", "rebuild", "--as", "Imogen Hale")
    there = served.there()
    assert before["person"].keys() - there["person"].keys() and there["person"].keys() - before["person"].keys()
    assert before["result"].keys() - there["result"].keys()
    for version, expected in (("1.2", there), ("1.1", older(there))):
        run = await pulled(served.readers[version])
        assert {one["partial"] for one in run["counts"]["collections"] if not one["absent"]} == {True}
        same(served.readers[version], expected)


def same(reader: Office, expected: Mapping[str, Docs]) -> None:
    """What a reader has published is this, by our ids; a relationship goes by whom it joins."""
    found = {
        kind: by_pair(docs) if kind == "relationship" else docs for kind, docs in reader.published("oneroster").items()
    }
    assert found.keys() == expected.keys()
    for kind, docs in expected.items():
        assert found[kind].keys() == docs.keys(), kind
        for id, doc in docs.items():
            assert found[kind][id] == doc, kind


def by_pair(docs: Docs) -> Docs:
    return {f"{doc['student']} {doc['contact']}": doc for doc in docs.values()}


# --- what is declared lost (docs/oneroster-provider.md) -----------------------------------------------------------


def older(there: Mapping[str, Docs]) -> dict[str, Docs]:
    """What is left of it on its way through 1.1."""
    kept = {kind: docs for kind, docs in there.items() if kind not in _NO_COLLECTION}
    return {
        kind: {id: left for id, doc in docs.items() if (left := _older(kind, doc)) is not None}
        for kind, docs in kept.items()
    }


_NO_COLLECTION = ("score_scale", "assessment", "assessment_result")
_NO_FIELD = {
    "person": ("preferred_given_name", "preferred_middle_name", "preferred_family_name", "pronouns",
               "primary_organization", "resources"),
    "category": ("weight",),
    "line_item": ("school", "session", "score_scale", "learning_objectives"),
    "result": ("class", "text_score", "score_scale", "learning_objectives", "in_progress", "incomplete", "late",
               "missing"),
}  # fmt: skip
_ADMINISTRATORS = ("counselor", "district_administrator", "principal", "site_administrator", "system_administrator")


def _older(kind: str, doc: dict[str, Any]) -> dict[str, Any] | None:
    left = {name: value for name, value in doc.items() if name not in _NO_FIELD.get(kind, ())}
    match kind:
        case "person":
            [role] = doc["roles"]
            word = "administrator" if role["role"] in _ADMINISTRATORS else role["role"]
            left["roles"] = [{"role": word, "organization": role["organization"]}]
        case "resource" if "roles" in doc:
            left["roles"] = doc["roles"][:1]
        case "line_item":
            left.setdefault("minimum", "0")
            if "session" in doc:
                left.setdefault("grading_period", doc["session"])
        case "result" if not is_number(doc.get("score")):
            return None
    return left


def is_number(score: Any) -> bool:
    return score is not None and str(score).replace(".", "", 1).isdigit()


def core(there: Mapping[str, Docs]) -> dict[str, Docs]:
    """Without what a signature does not open."""
    gone = ("birth_date", "sex", "races", "hispanic", "resources")
    return {
        kind: {id: {name: value for name, value in doc.items() if name not in gone} for id, doc in docs.items()}
        for kind, docs in there.items()
        if kind not in ("resource", "category", "line_item", "result")
    }
