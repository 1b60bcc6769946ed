"""Every route there is, called by nobody, by a client without the scope, by a stranger, and by a rightful client.

The calls are generated over the application's routes: a new route is tested as soon as it exists, and a test fails
until it is said here how it is called and with which scope.
"""

from dataclasses import dataclass
from datetime import date
from typing import Any

import httpx
import pytest
from fastapi.routing import iter_route_contexts

from gateway import api
from gateway.settings import Settings
from gateway.store import registers
from gateway.store.clients import SCOPES
from gateway.store.database import Store
from tests.api.conftest import Bearer
from tests.api.world import PLANTED, World, content

FIRST = {"GET /first-admin/{token}", "POST /first-admin/{token}"}
"""Whose token stands in the address: tests/api/test_first_link.py."""
PROVED = {"POST /oauth/token", "POST /oauth/revoke", "POST /oauth/introspect"}
"""What a client proves itself to: tests/api/test_oauth*.py."""
PUBLISHED = {"GET /.well-known/oauth-authorization-server", "GET /.well-known/jwks.json"}
PEOPLE = {
    *(f"{method} {path}" for method in ("GET", "POST") for path in ("/sign-in", "/enrol/{token}", "/oauth/authorize")),
    *("GET /v1/me", "GET /sign-in/provider", "GET /sign-in/callback", "POST /sign-out"),
}
"""What people come to with a browser and its cookie: tests/api/test_signin.py and test_acting_for.py."""
OPEN = {*PEOPLE, "GET /health", "GET /health/live", "GET /openapi.json", *FIRST, *PROVED, *PUBLISHED}
"""What answers without a token. Nothing of a district is behind it."""
MONITORS = {"GET /metrics"}
"""What takes a token of its own: tests/api/test_metrics.py."""


@dataclass(frozen=True)
class How:
    """How a route is called so that it succeeds: the scope it takes and what is sent."""

    scope: str
    path: str = ""
    body: Any = None
    headers: tuple[tuple[str, str], ...] = ()


def educator(world: World) -> tuple[tuple[str, str], ...]:
    """Plans are written for somebody."""
    return (("Planbridge-On-Behalf-Of", world.teacher),)


PLANTED_GRADE = {"table": "grade", "code": "planted-grade", "word": "05"}
REVIEW = {"held_on": date.today().isoformat(), "decision": "continue"}
EMAIL = {"collection": "users", "kind": "person", "field": "email", "expression": "metadata.mail"}

CALLS: dict[str, Any] = {
    "GET /v1/connections": lambda w: How("connections.read"),
    "POST /v1/connections/{name}/pull": lambda w: How("runs.write", "/v1/connections/sis/pull"),
    "GET /v1/runs": lambda w: How("runs.read"),
    "GET /v1/runs/{run}": lambda w: How("runs.read", f"/v1/runs/{w.held}"),
    "POST /v1/runs/{run}/approve": lambda w: How(
        "holds.decide", f"/v1/runs/{w.held}/approve", {"reason": "The school closed."}
    ),
    "POST /v1/runs/{run}/approve-additions": lambda w: How(
        "holds.decide", f"/v1/runs/{w.held}/approve-additions", {"reason": "The rest is wrong."}
    ),
    "POST /v1/runs/{run}/undo": lambda w: How("runs.undo", f"/v1/runs/{w.first}/undo", {"reason": "Wrong file."}),
    "GET /v1/connections/{name}/quality": lambda w: How("runs.read", "/v1/connections/sis/quality"),
    "GET /v1/changes": lambda w: How("changes.read"),
    "POST /v1/runs/{run}/refuse": lambda w: How("holds.decide", f"/v1/runs/{w.held}/refuse", {"reason": "Too many."}),
    "GET /v1/notices": lambda w: How("notices.read"),
    "GET /v1/identity/queue": lambda w: How("identity.read"),
    "POST /v1/identity/decisions": lambda w: How(
        "identity.decide", body={"act": "merge", "person": w.twice, "into": w.student, "reason": "One child."}
    ),
    "GET /v1/rejects": lambda w: How("rejects.read"),
    "GET /v1/rejects/{id}": lambda w: How("rejects.read", f"/v1/rejects/{w.reject}"),
    "POST /v1/rejects/replay": lambda w: How("rejects.replay", body={"mode": "dry"}),
    "POST /v1/connections/{name}/replay": lambda w: How(
        "rejects.replay", "/v1/connections/sis/replay", {"everything": True, "mode": "dry"}
    ),
    "GET /v1/crosswalks": lambda w: How("crosswalks.read"),
    "GET /v1/crosswalks/unmapped": lambda w: How("crosswalks.read"),
    "GET /v1/crosswalks/changes": lambda w: How("crosswalks.read"),
    "POST /v1/crosswalks/undo": lambda w: How("crosswalks.write", body={}),
    "POST /v1/connections/{name}/crosswalks": lambda w: How(
        "crosswalks.write", "/v1/connections/sis/crosswalks", {"lines": [PLANTED_GRADE]}
    ),
    "POST /v1/connections/{name}/crosswalks/preview": lambda w: How(
        "crosswalks.write", "/v1/connections/sis/crosswalks/preview", {"lines": [PLANTED_GRADE]}
    ),
    "GET /v1/connections/{name}/overrides": lambda w: How("crosswalks.read", "/v1/connections/sis/overrides"),
    "PUT /v1/connections/{name}/overrides": lambda w: How(
        "crosswalks.write", "/v1/connections/sis/overrides", {"overrides": [EMAIL]}
    ),
    "GET /v1/students": lambda w: How("students.read"),
    "GET /v1/students/results": lambda w: How("results.read"),
    "GET /v1/students/{id}/plan": lambda w: How("plans.read", f"/v1/students/{w.student}/plan"),
    "POST /v1/plans": lambda w: How("plans.write", body=content(w), headers=educator(w)),
    "PUT /v1/plans/{id}": lambda w: How(
        "plans.write", f"/v1/plans/{w.plan}", content(w), (("If-Match", '"1"'), *educator(w))
    ),
    "POST /v1/plans/{id}/steps": lambda w: How(
        "plans.write", f"/v1/plans/{w.plan}/steps", {"step": "consult"}, educator(w)
    ),
    "POST /v1/plans/{id}/reviews": lambda w: How("plans.write", f"/v1/plans/{w.final}/reviews", REVIEW, educator(w)),
    "POST /v1/plans/{id}/deliveries": lambda w: How(
        "deliveries.write", f"/v1/plans/{w.final}/deliveries", {"destination": "ods"}
    ),
    "GET /v1/deliveries/{id}": lambda w: How("deliveries.read", f"/v1/deliveries/{w.delivery}"),
}

ROUTES = sorted(
    f"{method} {route.path}"
    for route in iter_route_contexts(api.assembled(Settings()).routes)
    for method in route.methods - {"HEAD"}
)
GUARDED = [route for route in ROUTES if route not in OPEN | MONITORS]

UNKNOWN = "00000000-0000-4000-8000-000000000000"
NOWHERE = World(0, UNKNOWN, UNKNOWN, UNKNOWN, UNKNOWN, 1, 1, 1, UNKNOWN, UNKNOWN, 1)


async def call(http: httpx.AsyncClient, route: str, world: World, header: dict[str, str]) -> httpx.Response:
    method, path = route.split(" ")
    how = CALLS[route](world)
    headers = {**header, **dict(how.headers)}
    return await http.request(method, how.path or path, json=how.body, headers=headers)


def test_there_is_a_call_for_every_route() -> None:
    assert set(GUARDED) == set(CALLS)
    assert len(GUARDED) > 10


@pytest.mark.parametrize("route", GUARDED)
async def test_no_answer_tells_about_a_person(
    route: str, world: World, http: httpx.AsyncClient, bearer: Bearer
) -> None:
    its_scope = CALLS[route](world).scope
    answer = await call(http, route, world, await bearer(world.district, its_scope))
    assert answer.status_code in (200, 201, 202), answer.text
    said = f"{answer.headers} {answer.text}".casefold()
    assert [word for word in PLANTED if word.casefold() in said] == []


async def test_what_is_planted_is_there_to_be_found(store: Store, world: World) -> None:
    """Else the test above could not fail."""
    async with store.transaction(world.district) as c:
        kept = ""
        for table in ("entity", "reject", "waiting", "run", "plan", "plan_version", "delivery", "ledger"):
            rows = await c.exec_driver_sql(f"SELECT coalesce(json_agg(t)::text, '') FROM {table} t")
            found = str(rows.scalar())
            assert len(found) > 10, table
            kept += found.casefold()
    assert [word for word in PLANTED if word.casefold() not in kept] == []


@pytest.mark.parametrize("route", ["GET /health", "GET /health/live", "GET /openapi.json", *sorted(PUBLISHED)])
async def test_what_is_open_says_nothing_of_a_district(route: str, world: World, http: httpx.AsyncClient) -> None:
    answer = await http.get(route.split(" ")[1])
    assert answer.status_code == 200
    assert [word for word in (*PLANTED, world.student, "ods", '"sis"') if word in answer.text] == []


@pytest.mark.parametrize("route", GUARDED)
async def test_nobody_gets_in_without_a_token(route: str, http: httpx.AsyncClient) -> None:
    for header, challenge in (
        ({}, "Bearer"),
        ({"Authorization": "Basic YTpi"}, "Bearer"),
        ({"Authorization": "Bearer guessed"}, 'Bearer error="invalid_token"'),
        ({"Authorization": "Bearer"}, 'Bearer error="invalid_token"'),
    ):
        answer = await call(http, route, NOWHERE, header)
        assert answer.status_code == 401
        assert answer.headers["www-authenticate"] == challenge
        assert answer.json()["code"] == "unauthorized"


@pytest.mark.parametrize("route", GUARDED)
async def test_every_route_wants_its_scope(route: str, district: int, http: httpx.AsyncClient, bearer: Bearer) -> None:
    scope = CALLS[route](NOWHERE).scope
    answer = await call(http, route, NOWHERE, await bearer(district, *(SCOPES.keys() - {scope})))
    assert answer.status_code == 403
    assert answer.headers["www-authenticate"] == f'Bearer error="insufficient_scope", scope="{scope}"'
    assert answer.json()["code"] == "forbidden"


@pytest.mark.parametrize("route", GUARDED)
async def test_another_districts_client_sees_nothing(
    route: str, world: World, store: Store, http: httpx.AsyncClient, bearer: Bearer
) -> None:
    stranger = await bearer(await other_district(store))
    answer = await call(http, route, world, stranger)
    assert answer.status_code == 404 or (answer.status_code == 200 and is_empty(answer.json())), answer.text
    # ... and has changed nothing: for the rightful client everything is as it was.
    assert (await call(http, route, world, await bearer(world.district))).status_code < 300


async def other_district(store: Store) -> int:
    return await registers.district(store, "somewhere else")


def is_empty(answer: Any) -> bool:
    parts = answer.values() if isinstance(answer, dict) else answer if isinstance(answer, list) else None
    at_the_beginning = answer == "0-0"
    return not answer or at_the_beginning if parts is None else all(map(is_empty, parts))
