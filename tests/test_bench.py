"""The benchmark measures what it says: its servers answer like the twins, its gateway publishes, its table is right."""

import asyncio
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import msgspec
import pytest
from sqlalchemy import text

from bench import asking, material, report, town
from bench.measure import serving
from bench.ours import Installation
from bench.servers import Edfi, OneRoster, Server, serve
from connectors.edfi import twin as edfi
from connectors.oneroster import twin as oneroster
from connectors.oneroster.files import open_files
from gateway import scopes
from gateway.api import create_app
from gateway.connector import START
from gateway.settings import Settings
from gateway.store import clients
from gateway.store.database import Store
from synthetic import build
from synthetic.changes import begun_later, without_students
from tests import serving as twins
from tests.api.conftest import serving as serving_app

DISTRICT = build(students=60)
EDFI, ONEROSTER = "/data/v3/ed-fi", "/ims/oneroster/rostering/v1p2"


@contextmanager
def running(server: Server) -> Iterator[str]:
    """A bench server within this process, for as long as a with block lasts."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    listening = asyncio.run_coroutine_threadsafe(serve(server), loop).result()
    try:
        yield f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        listening.close()
        loop.close()


@contextmanager
def both(bench: str, twin: str, token: str, **auth: Any) -> Iterator[tuple[httpx.Client, httpx.Client]]:
    """The bench server and the twin, each with a token that it gave out itself."""
    with httpx.Client(base_url=bench) as one, httpx.Client(base_url=twin) as other:
        for client in (one, other):
            granted = client.post(token, data={"grant_type": "client_credentials"}, **auth).json()
            client.headers["authorization"] = f"Bearer {granted['access_token']}"
        yield one, other


@pytest.fixture(scope="module")
def edfi_servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[httpx.Client, httpx.Client]]:
    folder = tmp_path_factory.mktemp("edfi")
    material.write_edfi(folder, DISTRICT)
    played = edfi.twin(DISTRICT, district_namespace="uri://bench.example.org")
    with running(Edfi(folder, page_cap=500)) as bench, twins.serve(played) as twin:
        with both(bench, twin, "/oauth/token", auth=("demo-key", "demo-secret")) as clients:
            yield clients


def rows_by_token(client: httpx.Client, name: str, token: str = "") -> list[Any]:
    rows: list[Any] = []
    while True:
        query = {"pageToken": token, "pageSize": 70} if token else {"pageSize": 70}
        page = client.get(f"{EDFI}/{name}", params=query)
        rows += page.json()
        token = page.headers.get("next-page-token", "")
        if not token:
            return rows


def test_the_edfi_server_answers_like_the_twin(edfi_servers: tuple[httpx.Client, httpx.Client]) -> None:
    bench, twin = edfi_servers
    assert bench.get("/").json()["dataModels"] == [{"name": "Ed-Fi", "version": "5.0.0"}]
    assert bench.get("/").json()["version"] == twin.get("/").json()["version"]
    for name in ("students", "studentSectionAssociations", "studentAssessments", "schools"):
        for query in (
            {"totalCount": "true"},
            {"offset": 20, "limit": 500},
            {"offset": 10_000, "limit": 5},
            {"limit": 0},
        ):
            one, other = (client.get(f"{EDFI}/{name}", params=query) for client in (bench, twin))
            assert (one.status_code, one.json()) == (other.status_code, other.json()), (name, query)
            assert one.headers.get("total-count") == other.headers.get("total-count")
        assert rows_by_token(bench, name) == rows_by_token(twin, name)
    too_many = [client.get(f"{EDFI}/students", params={"limit": 501}) for client in (bench, twin)]
    assert [(one.status_code, one.json()["errors"]) for one in too_many] == [(400, too_many[1].json()["errors"])] * 2
    assert [client.get(f"{EDFI}/nothings").status_code for client in (bench, twin)] == [404, 404]
    assert bench.get(f"{EDFI}/students", headers={"authorization": ""}).status_code == 401


@pytest.mark.parametrize(("change", "tombstones"), [(without_students, "/deletes"), (begun_later, "/keyChanges")])
def test_its_changes_are_those_of_the_twin(tmp_path: Path, change: Any, tombstones: str) -> None:
    material.write_edfi(tmp_path, change(DISTRICT, 0.1, 1), after=DISTRICT)
    played = edfi.twin(DISTRICT, district_namespace="uri://bench.example.org")
    with running(Edfi(tmp_path, page_cap=500)) as bench, twins.serve(played) as twin:
        with both(bench, twin, "/oauth/token", auth=("demo-key", "demo-secret")) as (one, other):
            versions = "/changeQueries/v1/availableChangeVersions"
            mark = other.get(versions).json()["newestChangeVersion"]
            assert other.post("/_twin/change", json={change.__name__: 0.1}).status_code == 204
            newest = other.get(versions).json()["newestChangeVersion"]
            assert one.get(versions).json() == other.get(versions).json()
            told = set()
            for name in ("students", "studentSchoolAssociations", "studentSectionAssociations"):
                for below in ("", "/deletes", "/keyChanges"):
                    for window in ((mark + 1, high) for high in range(mark + 1, newest + 1, 2)):
                        query = {"minChangeVersion": window[0], "maxChangeVersion": window[1], "totalCount": "true"}
                        pages = [client.get(f"{EDFI}/{name}{below}", params=query | {"offset": 1, "limit": 4})
                                 for client in (one, other)]  # fmt: skip
                        assert pages[0].json() == pages[1].json(), (name, below, window)
                        assert pages[0].headers["total-count"] == pages[1].headers["total-count"]
                        told |= {below} if pages[0].json() else set()
            assert tombstones in told


def test_its_partitions_are_the_whole_collection(
    edfi_servers: tuple[httpx.Client, httpx.Client], tmp_path: Path
) -> None:
    _, twin = edfi_servers
    material.write_edfi(tmp_path, DISTRICT, ["studentSectionAssociations"])
    with running(Edfi(tmp_path, page_cap=10)) as url, httpx.Client(base_url=url) as bench:
        bench.headers["authorization"] = "Bearer bench"
        tokens = bench.get(f"{EDFI}/studentSectionAssociations/partitions?number=4").json()["pageTokens"]
        assert len(tokens) == 4
        found = []
        for token in tokens:
            while token:
                page = bench.get(f"{EDFI}/studentSectionAssociations", params={"pageToken": token, "pageSize": 10})
                found += page.json()
                token = page.headers.get("next-page-token", "")
    assert found == rows_by_token(twin, "studentSectionAssociations")


def test_the_oneroster_server_answers_like_the_twin(tmp_path: Path) -> None:
    material.write_oneroster(tmp_path, DISTRICT)
    with (
        running(OneRoster(tmp_path, page_cap=100)) as url,
        twins.serve(oneroster.twin(DISTRICT, page_cap=100)) as other,
    ):
        with both(url, other, "/token", auth=("demo-client", "demo-secret")) as (bench, twin):
            for name in ("orgs", "users", "enrollments"):
                for query in ({"limit": 1000}, {"limit": 7, "offset": 30, "sort": "sourcedId"}, {"offset": 10_000}):
                    one, two = (client.get(f"{ONEROSTER}/{name}", params=query) for client in (bench, twin))
                    assert without_links(one.json()) == without_links(two.json()), (name, query)
                    assert one.headers["x-total-count"] == two.headers["x-total-count"]
                    assert ('rel="next"' in one.headers.get("link", "")) == ('rel="next"' in two.headers["link"])


def without_links(page: dict[str, list[dict[str, Any]]]) -> Any:
    """Addresses name the server; and the moment of birth is the twin's own."""
    return json.loads(
        json.dumps(page),
        object_hook=lambda one: {name: one[name] for name in one if name not in ("href", "dateLastModified")},
    )


def test_ours_is_measured_from_the_first_page_to_publication(tmp_path: Path) -> None:
    material.write_edfi(tmp_path, DISTRICT)
    with Installation.made() as home, serving("edfi", tmp_path) as server:
        cost = home.pull("edfi", home.fresh("edfi", server.url))
        asked = server.asked()
    rows = {path.stem: path.read_bytes().count(b"\n") for path in tmp_path.glob("*.jsonl")}
    # Beside the collections it is asked whether it tells what is gone.
    assert {name for name in asked if "/" not in name} == set(rows) and sum(rows.values()) > 500
    told = cost.more
    assert (told["rows"], told["waiting"], told["rejected"]) == (sum(rows.values()), 0, 0)
    assert told["published"] > 500
    assert cost.cpu > 0 and cost.wall >= told["pulled_after"] > 0 and 50 < cost.memory < 500


async def test_the_package_can_be_read_whole(tmp_path: Path) -> None:
    material.write_package(tmp_path, material.crowded(DISTRICT, 600))
    source = await open_files(tmp_path)
    found: dict[str, list[str]] = {}
    for resource in source.resources:
        page = await source.pull(resource, START)
        found[resource.name] = [resource.key(msgspec.json.decode(row, type=resource.wire)) for row in page.rows]
        assert not page.unreadable
    await source.close()
    assert len(set(found["enrollments"])) == 600
    assert len(found["users"]) == len(found["roles"]) == len(DISTRICT.students) + len(DISTRICT.staff)


def test_a_day_later_about_that_share_is_different() -> None:
    district = material.crowded(build(students=2_000), 30_000)
    today, tomorrow = set(district.enrollments), set(material.next_day(district, 0.01).enrollments)
    assert len(district.enrollments) == 30_000
    assert 250 < len(tomorrow - today) < 400 and 150 < len(today - tomorrow) < 400


def test_the_table_says_what_is_met_missed_and_cannot_be_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = tmp_path / "bench.md"
    page.write_text(f"Before.\n{report.BEGIN}\nold\n{report.END}\nAfter.\n")
    monkeypatch.setattr(report, "PAGE", page)
    sizing = tmp_path / "sizing.md"
    sizing.write_text(page.read_text())
    monkeypatch.setattr(report, "SIZING", sizing)
    monkeypatch.setattr(report, "FIGURES", tmp_path / "bench.json")
    kept = {"at": "2026-11-24T04:00:00", "commit": "abc", "machine": "a machine", "rounds": 3, "load before": 0.1}
    ours = {"cpu": 2.0, "wall": 4.0, "memory": 150, "rows": 1000}
    client = {"edfi_api_client": {**ours, "cpu": 4.0}, "edfi_api_client, its own 100 a page": {**ours, "cpu": 1.0}}
    report.keep("sections", kept | {"costs": {"planbridge": ours, **client, "dlt": {"failed": "no such package"}}})
    report.keep("night", kept | {"costs": {"full": {**ours, "wall": 90.0}}})
    told = page.read_text()
    assert told.startswith("Before.\n") and told.endswith("After.\n") and "old" not in told
    lines = [line for line in told.splitlines() if line.startswith("| ")]
    assert any(line.endswith("| edfi_api_client, cpu | 0.50 | 1 | met |") for line in lines)
    assert any(line.endswith("| edfi_api_client, its own 100 a page, cpu | 2.00 | 1 | missed |") for line in lines)
    assert any("| dlt, cpu | no such package |" in line for line in lines)
    assert any("full pull" in line and line.endswith("| 1.50 | 60 | met |") for line in lines)
    assert any("timeback_oneroster, cpu | not measured yet |" in line for line in lines)


def test_the_sizing_page_says_what_was_measured_and_what_was_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("PAGE", "SIZING"):
        monkeypatch.setattr(report, name, tmp_path / f"{name}.md")
        (tmp_path / f"{name}.md").write_text(f"Before.\n{report.BEGIN}\nold\n{report.END}\nAfter.\n")
    monkeypatch.setattr(report, "FIGURES", tmp_path / "bench.json")
    report.render()
    told = (tmp_path / "SIZING.md").read_text()
    assert "| Database, empty | not measured yet |" in told and "\nold\n" not in told

    pulls = [{"database": 60_000_000, "whole folder": 99_000_000, "changed": 50_000},
             {"database": 61_000_000, "whole folder": 99_000_000, "changed": 0},
             {"database": 62_000_000, "whole folder": 99_000_000, "changed": 500}]  # fmt: skip
    counts = {"enrollments": 50_000, "empty": 10_000_000, "pulls": pulls}
    proof = {"commit": "abcdef", "at": "2026-11-27T17:00:00"}
    (tmp_path / "disk.json").write_text(json.dumps(proof | {"counts": counts}))
    pulled = {"100 section associations": {"peak of the worker in MB": 188.7}}
    (tmp_path / "memory.json").write_text(json.dumps(proof | {"counts": pulled}))
    kept = {"at": "2026-11-24T04:00:00", "commit": "abc", "machine": "a machine", "rounds": 3, "load before": 0.1}
    cost = {"cpu": 30.0, "database_cpu": 20.0, "wall": 90.0, "memory": 150, "rows": 200_000, "requests": {"a": 1_500}}
    report.keep("size", kept | {"costs": {"1,000,000": cost, "100,000": cost}})
    report.keep("night", kept | {"costs": {"full": cost}})
    told = (tmp_path / "SIZING.md").read_text()
    for line in (
        "first pull of 1,000,000 enrollments: worker and database | 15.0 s and 10.0 s | 2026-11-24 abc |",
        "the same, nothing changed: minutes | not measured yet |",
        "first pull: minutes | 1.5 |", "first pull: requests to the source | 1,500 |",
        "with their students and classes | 100 MB | 2026-11-27 abcdef |",
        "| What each 1,000 changed records add, history included | 2.0 MB |",
        "| Peak memory of a worker, 100 section associations | 189 MB |",
    ):  # fmt: skip
        assert line in told, line


async def test_the_town_is_served_as_agreed_and_its_changes_are_the_share_asked_for(
    store: Store, settings: Settings
) -> None:
    made = await town.lay(store, 120, 300)
    whose = clients.Client(made.client, made.district, "Reading App", frozenset(scopes.ONEROSTER))
    headers = [f"Authorization: Bearer {await clients.issue_token(store, whose, sorted(scopes.ONEROSTER))}"]
    async with serving_app(create_app(store, settings)) as http:
        at = f"{http.base_url}/ims/oneroster/rostering/v1p2".replace("//ims", "/ims")
        asked = await asking.ask(f"{at}/users?limit=100", headers, 9, abreast=2)
        users = json.loads(asked.sample.partition(b"\r\n\r\n")[2])["users"]
        assert (asked.answers, len(users)) == (9, 100)
        assert {name for one in users for name in one} == {*town.AGREED, "sourcedId", "status", "dateLastModified"}
        assert users[0]["primaryOrg"]["href"].startswith(f"{at}/orgs/")
        for share in (0.01, 0.1):
            delta = quote(f"dateLastModified>='{made.since(share)}'")
            asked = await asking.ask(f"{at}/enrollments?limit=1000&filter={delta}", headers, 1)
            assert len(json.loads(asked.sample.partition(b"\r\n\r\n")[2])["enrollments"]) == 300 * share
        with pytest.raises(RuntimeError, match="401 Unauthorized"):
            await asking.ask(f"{at}/users", [], 1)
    async with store.transaction(made.district) as c:
        read = await c.execute(
            text("SELECT row_count, cardinality(students) FROM client_read WHERE collection = 'users'")
        )
        assert [tuple(row) for row in read] == [(100, sum(one["roles"][0]["role"] == "student" for one in users))] * 9
