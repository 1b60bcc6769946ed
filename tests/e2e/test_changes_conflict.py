"""A key that comes back as somebody else in a pull of what changed: it waits, and is not forgotten."""

import json
from typing import Any

import httpx
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from connectors.oneroster.twin import twin
from synthetic import build
from tests.e2e.office import Office
from tests.serving import serve

DISTRICT = build(students=40)
NOW = "2026-11-27T12:00:00.000Z"


class Impostor:
    """A system before the twin, in which one key stands for somebody else from some day on."""

    def __init__(self, behind: str) -> None:
        self.key = ""
        self._behind = behind
        self.app = Starlette(routes=[Route("/{path:path}", self._answer, methods=["GET", "POST"])])

    async def _answer(self, request: Request) -> Response:
        headers = {k: v for k, v in request.headers.items() if k in ("authorization", "content-type")}
        async with httpx.AsyncClient(base_url=self._behind) as client:

            async def get(query: Any) -> httpx.Response:
                return await client.request(
                    request.method, request.url.path, params=query, headers=headers, content=await request.body()
                )

            got = await get(request.query_params.multi_items())
            name = request.url.path.rpartition("/")[2]
            if not self.key or name not in ("users", "demographics"):
                return _as_it_is(got)
            rows = got.json()[name]
            if "filter" in request.query_params and "2999" not in request.query_params["filter"]:
                [row] = (await get({"filter": f"sourcedId='{self.key}'"})).json()[name]
                rows = sorted([row, *rows], key=lambda one: str(one["sourcedId"]))
            for row in rows:
                if row["sourcedId"] == self.key:
                    row |= {"dateLastModified": NOW}
                    row |= {"givenName": "Zenobia", "familyName": "Other"} if name == "users" else {}
                    row |= {"birthDate": "2009-02-03"} if name == "demographics" else {}
            offset = int(request.query_params["offset"])
            return Response(json.dumps({name: rows if offset == 0 else rows[-1:]}), media_type="application/json")


def _as_it_is(got: httpx.Response) -> Response:
    kept = {k: v for k, v in got.headers.items() if k.lower() in ("content-type", "x-total-count")}
    return Response(got.content, got.status_code, kept)


def _marks(office: Office) -> dict[str, str]:
    with office.home.database() as c:
        query = "SELECT collection, mark FROM watermark WHERE district_id = (SELECT id FROM district WHERE name = %s)"
        return dict(c.execute(query, (office.district,)).fetchall())


def _in_conflict(office: Office) -> set[str]:
    with office.home.database() as c:
        query = (
            "SELECT collection FROM open_reject WHERE code = 'identity-conflict' AND district_id = "
            "(SELECT id FROM district WHERE name = %s)"
        )
        return {row[0] for row in c.execute(query, (office.district,)).fetchall()}


def test_after_a_decision_everything_of_the_new_one_is_asked_for(office: Office) -> None:
    """The decision ends every record under the key, also those that did not change: only a whole pull brings them."""
    with serve(twin(DISTRICT, tombstones=True)) as behind:
        before_it = Impostor(behind)
        with serve(before_it.app) as sis:
            office.connect("oneroster", sis, changes="yes")
            office.pull("oneroster")
            before = office.published("oneroster")
            before_it.key = next(key for key, one in before["person"].items() if one["population"] == "student")
            assert office.pull("oneroster")["changes_only"]
            [case] = office.ask("identity", "queue")["cases"]
            [entity] = [one.id for one in office.entities() if one.keys.get("oneroster") == before_it.key]
            office.ask("identity", "refuse", case["case"], entity, "--because", "Another child.")
            assert _marks(office) == {}
            run = office.pull("oneroster")
            assert run["state"] == "published" and not run["changes_only"]
            [now] = [one for one in office.entities() if one.keys.get("oneroster") == before_it.key]
            assert now.id != entity and (now.doc["given_name"], bool(now.doc["roles"])) == ("Zenobia", True)


def test_a_key_that_comes_back_as_somebody_else_waits_as_long_as_nobody_decided(office: Office) -> None:
    with serve(twin(DISTRICT, tombstones=True)) as behind:
        before_it = Impostor(behind)
        with serve(before_it.app) as sis:
            office.connect("oneroster", sis, changes="yes")
            assert office.pull("oneroster")["state"] == "published"
            before = office.published("oneroster")
            marks = _marks(office)
            before_it.key = next(key for key, one in before["person"].items() if one["population"] == "student")
            for _ in range(2):
                run = office.pull("oneroster")
                assert run["state"] == "published" and run["changes_only"]
                assert _in_conflict(office) == {"users", "demographics"}
                assert office.published("oneroster") == before
                after = _marks(office)
                assert {name for name in marks if marks[name] == after[name]} == {"users", "demographics"}
            before_it.key = ""
            assert office.ask("pull", "oneroster", "--whole")["state"] == "published"
            assert _in_conflict(office) == set()
            assert office.published("oneroster") == before
            assert all(mark > marks[name] for name, mark in _marks(office).items())
