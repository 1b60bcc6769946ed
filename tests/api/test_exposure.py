"""Every route there is, called by a stranger and by a rightful client; tests/api/test_refusals.py has who is refused.

The calls are generated over the application's routes: a new route is tested as soon as it exists, and a test fails
until it is said here how it is called and with which scope.
"""

import re
from dataclasses import dataclass
from datetime import date
from typing import Any

import httpx
import pytest
from fastapi.routing import iter_route_contexts

from gateway import api
from gateway.events import PATTERN
from gateway.settings import Settings
from gateway.store import registers
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
    *("GET /v1/me", "GET /plans/{plan}", "GET /sign-in/provider", "GET /sign-in/callback", "POST /sign-out"),
}
"""What people come to with a browser and its cookie: tests/api/test_signin.py and test_acting_for.py."""
LTI = {
    *(
        "GET /lti/login",
        "POST /lti/login",
        "GET /lti/begin",
        "POST /lti/launch",
        "GET /lti/plans",
        "GET /lti/plans/{plan}",
    ),
    *("GET /lti/jwks", "GET /lti/register/{token}", "POST /lti/register/{token}"),
}
"""What people and platforms come to by a launch: tests/api/test_lti.py."""
MANUAL = {"GET /docs", "GET /docs/{name}"}
"""What programmers read: tests/api/test_documents.py."""
OPEN = {*PEOPLE, *LTI, *MANUAL, "GET /health", "GET /health/live", "GET /openapi.json", *FIRST, *PROVED, *PUBLISHED}
"""What answers without a token. Nothing of a district is behind it."""
WITHOUT_A_DISTRICT = {"GET /v1/schemas/plan"}
"""What is the same for every district."""
MONITORS = {"GET /metrics"}
"""What takes a token of its own: tests/api/test_metrics.py."""


@dataclass(frozen=True)
class How:
    """How a route is called so that it succeeds: the scope it takes and what is sent."""

    scope: str
    path: str = ""
    body: Any = None
    headers: tuple[tuple[str, str], ...] = ()
    person: str | None = None
    """For whom the token is issued: plans are written for somebody."""
    sections: tuple[str, ...] = ()


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
    "GET /v1/events": lambda w: How("events.read"),
    "GET /v1/events/types": lambda w: How("events.read"),
    "GET /v1/webhooks": lambda w: How("webhooks.write"),
    "POST /v1/webhooks": lambda w: How("webhooks.write", body={"url": "https://hooks.example.org/"}),
    "DELETE /v1/webhooks/{webhook}": lambda w: How("webhooks.write", "/v1/webhooks/1"),
    **{
        f"{method} /v1/webhooks/{{webhook}}/{what}": lambda w, what=what: How(
            "webhooks.write", f"/v1/webhooks/1/{what}"
        )
        for method, what in (
            *(("POST", "rotate"), ("POST", "test"), ("POST", "resume")),
            *(("GET", "attempts"), ("GET", "parked"), ("POST", "replay")),
        )
    },
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
    "GET /v1/students/{id}": lambda w: How("students.read", f"/v1/students/{w.student}"),
    "GET /v1/students/{id}/plan": lambda w: How("plans.read", f"/v1/students/{w.student}/plan"),
    "GET /v1/students/{id}/consents": lambda w: How(
        "record.read", f"/v1/students/{w.student}/consents", person=w.teacher, sections=("consultation",)
    ),
    "GET /v1/students/{id}/record": lambda w: How("record.read", f"/v1/students/{w.student}/record"),
    "POST /v1/students/{id}/record": lambda w: How(
        "input.write", f"/v1/students/{w.student}/record", {"kind": "student_voice", "body": {"text": "planted-talk"}}
    ),
    "GET /v1/plans": lambda w: How("plans.read"),
    "GET /v1/plans/{id}": lambda w: How("plans.read", f"/v1/plans/{w.final}"),
    "GET /v1/plans/{id}/versions": lambda w: How("plans.read", f"/v1/plans/{w.final}/versions"),
    "GET /v1/plans/{id}/versions/{version}": lambda w: How("plans.read", f"/v1/plans/{w.final}/versions/1"),
    "GET /v1/plans/{id}/progress": lambda w: How("record.read", f"/v1/plans/{w.final}/progress"),
    "GET /v1/plans/{id}/supports/{support}/deliveries": lambda w: How(
        "record.read", f"/v1/plans/{w.final}/supports/support-1/deliveries"
    ),
    "POST /v1/plans/{id}/supports/{support}/deliveries": lambda w: How(
        "plan.write",
        f"/v1/plans/{w.final}/supports/support-1/deliveries",
        {"on": date.today().isoformat(), "minutes": 30},
        person=w.teacher,
    ),
    "GET /v1/plans/{id}/deliveries": lambda w: How("deliveries.read", f"/v1/plans/{w.final}/deliveries"),
    "GET /v1/schemas/plan": lambda w: How("plans.read"),
    "POST /v1/plans": lambda w: How("plan.write", body=content(w), person=w.teacher),
    "POST /v1/plans/batch": lambda w: How(
        "plan.write", body={"plans": [{"id": "own-1", "plan": content(w)}]}, person=w.teacher
    ),
    "PUT /v1/plans/{id}": lambda w: How(
        "plan.write", f"/v1/plans/{w.plan}", content(w), (("If-Match", '"1"'),), w.teacher
    ),
    "POST /v1/plans/{id}/steps/{step}": lambda w: How(
        "plan.write", f"/v1/plans/{w.plan}/steps/consult", person=w.teacher
    ),
    "POST /v1/plans/{id}/reviews": lambda w: How(
        "plan.write", f"/v1/plans/{w.final}/reviews", REVIEW, person=w.teacher
    ),
    "POST /v1/plans/{id}/deliveries": lambda w: How(
        "deliveries.write", f"/v1/plans/{w.final}/deliveries", {"destination": "ods"}
    ),
    "GET /v1/plans/{id}/deliveries/preview": lambda w: How(
        "deliveries.read", f"/v1/plans/{w.final}/deliveries/preview?destination=ods"
    ),
    "POST /v1/plans/{id}/withdrawals": lambda w: How(
        "deliveries.write", f"/v1/plans/{w.final}/withdrawals", {"because": "asked for"}
    ),
    "GET /v1/deliveries": lambda w: How("deliveries.read"),
    "POST /v1/deliveries": lambda w: How("deliveries.write", body={"destination": "ods"}),
    "GET /v1/destinations/{name}": lambda w: How("deliveries.read", "/v1/destinations/ods"),
    "PUT /v1/destinations/{name}": lambda w: How("destinations.write", "/v1/destinations/ods", {"stage": "all"}),
    "POST /v1/deliveries/{id}/resend": lambda w: How("deliveries.write", f"/v1/deliveries/{w.delivery}/resend"),
    "GET /v1/destinations/{name}/reconcile": lambda w: How("deliveries.read", "/v1/destinations/ods/reconcile"),
    "POST /v1/destinations/{name}/reconcile": lambda w: How("deliveries.write", "/v1/destinations/ods/reconcile"),
    "GET /v1/deliveries/{id}": lambda w: How("deliveries.read", f"/v1/deliveries/{w.delivery}"),
    "GET /v1/vendors": lambda w: How("vendors.read"),
    "GET /v1/vendors/{agreement}": lambda w: How("vendors.read", f"/v1/vendors/{w.agreement}"),
    "GET /v1/vendors/{agreement}/use": lambda w: How("vendors.read", f"/v1/vendors/{w.agreement}/use"),
    "POST /v1/vendors/{agreement}/end": lambda w: How(
        "vendors.end", f"/v1/vendors/{w.agreement}/end", {"reason": "It is over."}
    ),
    "GET /v1/sandbox": lambda w: How("sandbox"),
    "POST /v1/sandbox/days": lambda w: How("sandbox"),
    "POST /v1/sandbox/refusals": lambda w: How("sandbox", body={"what": "agreement-ended"}),
    "DELETE /v1/sandbox/refusals": lambda w: How("sandbox"),
    "POST /v1/sandbox/consents": lambda w: How("sandbox", body={"redirect_uri": "x", "code_challenge": "x" * 43}),
}

ROUTES = sorted(
    f"{method} {route.path}"
    for route in iter_route_contexts(api.assembled(Settings()).routes)
    for method in (route.methods or set()) - {"HEAD"}  # what is mounted has none: tests/api/test_oneroster.py
)
GUARDED = [route for route in ROUTES if route not in OPEN | MONITORS]
OWN = {route for route in GUARDED if "/webhooks" in route or "/v1/sandbox" in route} | {"GET /v1/events/types"}
"""What belongs to the client that asks, is the same for all, or is there in sandboxes only: tests/api/test_events.py
and tests/api/test_sandbox.py."""
OF_A_DISTRICT = [route for route in GUARDED if route not in OWN]

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


@pytest.mark.parametrize("route", OF_A_DISTRICT)
async def test_no_answer_tells_about_a_person(
    route: str, world: World, http: httpx.AsyncClient, bearer: Bearer
) -> None:
    how = CALLS[route](world)
    answer = await call(
        http, route, world, await bearer(world.district, how.scope, person=how.person, sections=how.sections)
    )
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
    assert [word for word in (*PLANTED, world.student, '"ods"', '"sis"') if word in answer.text] == []


@pytest.mark.parametrize("route", OF_A_DISTRICT)
async def test_another_districts_client_sees_nothing(
    route: str, world: World, store: Store, http: httpx.AsyncClient, bearer: Bearer
) -> None:
    how = CALLS[route](world)
    its = {"person": how.person, "sections": how.sections}
    stranger = await bearer(await other_district(store), **its)
    answer = await call(http, route, world, stranger)
    alone = answer.status_code == 200 and (is_empty(answer.json()) or route in WITHOUT_A_DISTRICT)
    # Whom a token names is on no roster there, so it opens nothing at all.
    apart = answer.status_code == (401 if how.person else 404)
    its_own = route == "GET /v1/vendors" and world.agreement not in [one["id"] for one in answer.json()["agreements"]]
    assert apart or alone or its_own or nothing_taken_in(answer), answer.text
    # ... and has changed nothing: for the rightful client everything is as it was.
    assert (await call(http, route, world, await bearer(world.district, **its))).status_code < 300


def nothing_taken_in(answer: httpx.Response) -> bool:
    return bool(answer.status_code == 200 and answer.json().get("rejected") == 1 and not answer.json()["drafts"])


async def other_district(store: Store) -> int:
    return await registers.district(store, "somewhere else")


def is_empty(answer: Any) -> bool:
    parts = answer.values() if isinstance(answer, dict) else answer if isinstance(answer, list) else None
    at_the_beginning = isinstance(answer, str) and (answer == "0-0" or re.fullmatch(PATTERN, answer) is not None)
    return not answer or at_the_beginning if parts is None else all(map(is_empty, parts))
