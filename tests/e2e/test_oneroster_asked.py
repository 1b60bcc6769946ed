"""What a service is not asked for is not waited for: a reference to it is dropped at the edge."""

from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from connectors.oneroster.models import RESOURCES, asked
from gateway.payload import edge
from tests.e2e.office import Office
from tests.serving import serve


def ref(key: str, type: str) -> dict[str, str]:
    return {"href": f"https://sis.example.org/{key}", "sourcedId": key, "type": type}


ROWS: dict[str, dict[str, Any]] = {
    "orgs": {"sourcedId": "sch-1", "name": "Fennel School", "type": "school", "identifier": "7"},
    "courses": {"sourcedId": "crs-1", "title": "Reading", "courseCode": "R", "resources": [ref("res-1", "resource")]},
    "assessmentLineItems": {"sourcedId": "ali-1", "title": "Screening", "scoreScale": ref("sc-1", "scoreScale")},
}


def service() -> Starlette:
    async def token(request: Request) -> JSONResponse:
        return JSONResponse({"access_token": "t", "token_type": "Bearer", "expires_in": 3600, "scope": ""})

    async def page(request: Request) -> JSONResponse:
        name = request.path_params["collection"]
        first = request.query_params.get("offset", "0") == "0" and name in ROWS
        rows = [ROWS[name] | {"status": "active", "dateLastModified": "2026-09-01T08:00:00.000Z"}] if first else []
        return JSONResponse({name: rows}, headers={"X-Total-Count": "1" if name in ROWS else "0"})

    return Starlette(
        routes=[
            Route("/token", token, methods=["POST"]),
            Route("/ims/oneroster/{service}/v1p2/{collection}", page),
        ]
    )


def test_nothing_waits_for_what_nobody_asks_for(office: Office) -> None:
    with serve(service()) as url:
        office.connect("oneroster", url)
        assert office.pull("oneroster")["state"] == "published"
    assert office.waiting() == {}
    found = office.published("oneroster")
    assert found["course"] == {"crs-1": {"title": "Reading", "code": "R"}}
    assert found["assessment"] == {"ali-1": {"title": "Screening"}}


@pytest.mark.parametrize("there", [True, False])
def test_a_reference_is_kept_where_its_collection_is_asked_for(there: bool) -> None:
    names = {"courses", "results"} | ({"resources", "scoreScales"} if there else set())
    found = {resource.name: resource for resource in asked(names)}
    assert list(found) == [name for name in RESOURCES if name in names]
    course, _ = edge(found["courses"], "")(b'{"sourcedId":"1","resources":[{"sourcedId":"r"}]}')
    result, _ = edge(found["results"], "")(b'{"sourcedId":"1","scoreScale":{"sourcedId":"s"},"score":1}')
    assert (b"resources" in course, b"scoreScale" in result) == (there, there)
    assert b'"score":1' in result
