"""Every route there is, of OneRoster too, asked by everybody who may not: the right refusal in the right words, and
nothing of another district, whatever is asked."""

import re
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import httpx
import pytest
import pytest_asyncio
from sqlalchemy import text

from gateway import clock
from gateway.access import SECTIONS
from gateway.api.oneroster import ROOT
from gateway.api.oneroster.operations import OPERATIONS, Operation
from gateway.settings import Settings
from gateway.store import automation, clients
from gateway.store.clients import SCOPES, Grant
from tests.api import two
from tests.api.conftest import agree, token
from tests.api.leaks import open_doors, played, unfiltered
from tests.api.test_exposure import CALLS, GUARDED, WITHOUT_A_DISTRICT, is_empty, nothing_taken_in
from tests.api.two import ACTOR, ROUTES, Headers, Two, asked, told
from tests.sampling import seed

module = pytest.mark.asyncio(loop_scope="module")
DAY = timedelta(days=1)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def both(settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Two]:
    async with two.served(settings, tmp_path_factory.mktemp("refusals")) as made:
        yield made


def refused(route: str | Operation, answer: httpx.Response) -> tuple[int, str]:
    """Status and code of a refusal, which is one of this route's own kind and explains itself."""
    said = answer.json()
    if isinstance(route, Operation):
        assert answer.headers["content-type"] == "application/json" and said["imsx_codeMajor"] == "failure"
        [field] = said["imsx_CodeMinor"]["imsx_codeMinorField"]
        assert said["imsx_description"]
        return answer.status_code, field["imsx_codeMinorFieldValue"]
    assert answer.headers["content-type"] == "application/problem+json"
    assert said["status"] == answer.status_code and said["detail"]
    return answer.status_code, said["code"]


async def everywhere(both: Two, header: Headers, status: int, code: str, minor: str, challenge: str = "") -> None:
    """Everything is refused so to whoever shows this, and nothing is told."""
    for route in ROUTES:
        answer = await asked(both, route, both.here, header)
        wanted = minor if isinstance(route, Operation) else code
        if wanted.startswith("agreement-") and "/v1/sandbox" in str(route):
            assert refused(route, answer) == (404, "sandbox-unknown"), "only in a sandbox there is something to ask"
            continue
        assert refused(route, answer) == (status, wanted), (route, answer.text)
        assert answer.headers.get("www-authenticate", "") == challenge, route
        assert not told(answer, both.here), route


@pytest.mark.parametrize(
    ("header", "challenge"),
    [
        ({}, "Bearer"),
        ({"Authorization": "Basic YTpi"}, "Bearer"),
        ({"Authorization": "Bearer guessed"}, 'Bearer error="invalid_token"'),
        ({"Authorization": "Bearer"}, 'Bearer error="invalid_token"'),
    ],
)
@module
async def test_nobody_gets_in_without_a_token(both: Two, header: Headers, challenge: str) -> None:
    await everywhere(both, header, 401, "unauthorized", "unauthorisedrequest", challenge)


@pytest.mark.parametrize("how", ["expired", "revoked", "of a revoked client", "of automation, over"])
@module
async def test_a_token_that_is_over_opens_nothing(both: Two, how: str) -> None:
    district = both.here.district
    client, _ = await clients.add(both.store, district, "once", SCOPES, ACTOR, Grant("sis"))
    header = await token(both.store, district, client)
    if how == "of automation, over":
        given = await automation.add(both.store, district, "once", SCOPES, clock.now() + DAY, ACTOR)
        header = {"Authorization": f"Bearer {given}"}
    assert (await asked(both, "GET /v1/runs", both.here, header)).status_code == 200
    async with both.store.owner.begin() as c:
        if how == "expired":
            await c.execute(text("UPDATE client_token SET expires_at = now() WHERE client_id = :c"), {"c": client})
        elif how == "revoked":
            jti = await c.scalar(text("SELECT jti FROM client_token WHERE client_id = :c"), {"c": client})
            assert await clients.end_token(c, jti, client)
        else:
            await c.execute(text("UPDATE api_token SET expires_at = now() WHERE district_id = :d"), {"d": district})
    if how == "of a revoked client":
        await clients.revoke(both.store, district, client, ACTOR)
    await everywhere(both, header, 401, "unauthorized", "unauthorisedrequest", 'Bearer error="invalid_token"')


@module
async def test_every_route_wants_its_scope(both: Two) -> None:
    district, client = both.here.district, both.here.laid.client
    for route in ROUTES:
        needed = route.scopes if isinstance(route, Operation) else {CALLS[route](both.here.world).scope}
        header = await token(both.store, district, client, scopes=SCOPES.keys() - needed)
        answer = await asked(both, route, both.here, header)
        assert refused(route, answer) == (403, "forbidden"), route
        challenge = f'Bearer error="insufficient_scope", scope="{min(needed)}"'
        assert answer.headers["www-authenticate"] == challenge
        assert not told(answer, both.here), route


@pytest.mark.parametrize(
    ("code", "agreed"),
    [
        ("agreement-none", {}),
        ("agreement-none", {"begin": clock.today() + DAY}),
        ("agreement-ended", {"begin": clock.today() - 9 * DAY, "until": clock.today() - DAY}),
    ],
)
@module
async def test_a_vendor_gets_nothing_without_an_agreement_in_force(both: Two, code: str, agreed: Any) -> None:
    header = await two.vendor(both.store, both.here, **agreed)
    await everywhere(both, header, 403, code, "forbidden")


@module
async def test_an_answer_that_is_kept_is_given_under_an_agreement_too(both: Two) -> None:
    client, _ = await clients.add(both.store, both.here.district, "vendor", SCOPES, ACTOR, Grant())
    await agree(both.store, both.here.district, client)
    header = await token(both.store, both.here.district, client, person=both.here.world.teacher)
    header["Idempotency-Key"] = "once"
    first = await asked(both, "POST /v1/plans", both.here, header)
    assert (first.status_code, (await asked(both, "POST /v1/plans", both.here, header)).text) == (201, first.text)
    async with both.store.transaction(both.here.district) as c:
        ended = "UPDATE vendor_agreement SET ended_at = now() WHERE client_id = :c"
        await c.execute(text(ended), {"c": client})
    answer = await asked(both, "POST /v1/plans", both.here, header)
    assert refused("POST /v1/plans", answer) == (403, "agreement-ended")


@pytest.mark.parametrize("caller", ["vendor", "vendor for a teacher", "own", "own for a teacher"])
@module
async def test_what_another_district_has_is_not_there(both: Two, caller: str) -> None:
    """Also for who may do everything at home."""
    for route in ROUTES:
        answer = await asked(both, route, both.there, both.here.callers[caller])
        assert not told(answer, both.there), route
        if isinstance(route, Operation) and route.parameters:
            # the district's own programs read OneRoster under an agreement too
            wanted = (403, "forbidden") if caller == "own" else (404, "unknownobject")
            assert refused(route, answer) == wanted, route
        elif isinstance(route, str) and names_something(route):
            gone = answer.status_code in (404, 403) or is_empty(answer.json()) or nothing_taken_in(answer)
            assert gone or route in WITHOUT_A_DISTRICT, (route, answer.text)


def names_something(route: str) -> bool:
    return "{" in route and not any(part in route for part in ("{name}", "{webhook}", "{run}"))


OF_A_STUDENT = [
    route for route in GUARDED if "students/{id}" in route or "plans/{id}" in route or "deliveries/{id}" in route
]


@module
async def test_a_student_beyond_the_agreement_is_not_there(both: Two) -> None:
    """Whom a rule, an opt-out or a consent that forbids keeps out of reach; the plans and deliveries likewise."""
    district, world = both.here.district, both.here.world
    client, _ = await clients.add(both.store, district, "vendor", SCOPES, ACTOR, Grant(sections=SECTIONS))
    await agree(both.store, district, client)
    header = await token(both.store, district, client, person=world.teacher)
    async with both.store.transaction(district) as c:
        await c.execute(
            text(
                "UPDATE reach SET visible = false WHERE sourced_id = :s "
                "AND agreement_id = (SELECT id FROM vendor_agreement WHERE client_id = :c)"
            ),
            {"s": world.student, "c": client},
        )
    assert len(OF_A_STUDENT) > 15
    for route in OF_A_STUDENT:
        answer = await asked(both, route, both.here, header)
        # What was asked for is unknown; that it tells of a student would be told otherwise.
        what = re.search(r"(student|plan|deliver)(?=s/|ies/)", route)
        assert what is not None
        code = {"deliver": "delivery"}.get(what[0], what[0]) + "-unknown"
        assert refused(route, answer) == (404, code), (route, answer.text)
    for route in ("GET /v1/students", "GET /v1/plans", "GET /v1/students/results", "GET /v1/deliveries"):
        answer = await asked(both, route, both.here, header)
        assert answer.status_code == 200 and world.student not in answer.text and world.final not in answer.text, route
    for operation in (one for one in OPERATIONS if one.one and one.view.name in ("users", "students")):
        hidden = f"{ROOT}/{operation.service}/v1p2/{operation.view.name}/{both.here.id('hidden')}"
        answer = await both.http.get(hidden, headers=both.here.callers["vendor"])
        assert refused(operation, answer) == (404, "unknownobject")


# --- random requests: a sample of tests/proofs --------------------------------------------------------------

SEED, REQUESTS = "77012", 250


@module
async def test_nothing_of_another_district_is_told(both: Two) -> None:
    counts, leaks = await played(both, seed() or SEED, REQUESTS)
    assert leaks == []
    assert counts["told of the own district"] > REQUESTS / 20, counts


@module
async def test_nor_is_it_where_no_statement_asks_for_the_district(both: Two) -> None:
    with unfiltered(both.store) as stripped:
        counts, leaks = await played(both, f"{seed() or SEED}/without", REQUESTS)
    assert leaks == []
    assert stripped["statements"] > REQUESTS / 4 and counts["told of the own district"] > REQUESTS / 20, counts


@module
async def test_without_both_it_would_be_found(both: Two) -> None:
    with open_doors(both.store), unfiltered(both.store):
        _, leaks = await played(both, SEED, 150, only_reading=True)
    assert len(leaks) > 5
