"""Every route of the console for every role: what stands in the one table, and nothing else."""

import re
from collections.abc import Iterator

import httpx
import pytest
from fastapi import FastAPI
from fastapi.routing import iter_route_contexts
from starlette.routing import Mount

from gateway.access import ROLES
from gateway.api.signin import SESSION
from gateway.console import rights
from tests.console.conftest import PEOPLE, Office, Person

EXPECTED = {"it": "it", "administrator": "administrator"}
"""Who has a role of the whole district; everybody else of PEOPLE has none here."""


def routes(application: FastAPI) -> Iterator[tuple[str, str]]:
    [console] = [one for one in application.routes if isinstance(one, Mount) and one.path == "/console"]
    assert isinstance(console.app, FastAPI)
    for route in iter_route_contexts(console.app.routes):
        assert route.methods is not None, "nothing of the console goes around the door"
        for method in route.methods:
            yield method, route.path


async def test_every_route_for_every_role(office: Office) -> None:
    found = sorted(routes(office.application))
    named = {f"{method} {path}" for method, path in found}
    assert named == set(rights.RIGHTS) | rights.OPEN, "say in gateway/console/rights.py who may"
    people = {who: await office.person(who) for who in PEOPLE}
    for method, path in found:
        if f"{method} {path}" in rights.OPEN:
            continue
        for who, person in people.items():
            told = await _call(office, person, method, path)
            may = rights.may({EXPECTED[who]} & set(ROLES), f"{method} {path}") if who in EXPECTED else False
            assert (told.status_code != 403) is may, (who, method, path, told.status_code)
            if not may:
                assert "Your role does not open this page" in told.text
        told = await _call(office, Person(office.http), method, path)
        assert told.status_code == 303 and told.headers["location"].startswith("/sign-in?"), (method, path)


async def _call(office: Office, person: Person, method: str, path: str) -> httpx.Response:
    """Where it is allowed it does as little as it can: the run is none that could be decided."""
    # no such run or connection: whoever may gets as far as being told so
    path = re.sub(r"\{(run|connection)\}", "999999", path).replace("{connector}", "oneroster")
    return await (person.get if method == "GET" else person.post)(f"/console{path}")


@pytest.mark.parametrize("role", ROLES)
def test_what_stands_in_no_line_is_refused(role: str) -> None:
    assert not rights.may({role} & set(ROLES), "POST /nobody/thought/of/it")


def test_only_the_district_s_it_changes_anything() -> None:
    changing = [route for route in rights.RIGHTS if not route.startswith("GET ")]
    assert {role for role in ROLES for route in changing if rights.may({role}, route)} == {"it"}
    assert {"GET /assets/{name}"} == rights.OPEN


async def test_a_form_must_be_of_this_session(office: Office) -> None:
    it, other = await office.person("it"), await office.person("it")
    path = f"/console/runs/{office.held}/decide"
    form = {"verdict": "refuse", "reason": "Half the school is missing."}
    for told in (
        await it.http.post(path, data=form, headers=it.headers | {"cookie": f"{SESSION}={it.token}"}),
        await it.post(path, **form, csrf="0" * 64),
        await Person(it.http, it.token, {"sec-fetch-site": "cross-site"}).post(path, **form),
        await it.http.post(
            path,
            data=form | {"csrf": await _csrf(other)},
            headers=it.headers | {"cookie": f"{SESSION}={it.token}"},
        ),
    ):
        assert told.status_code == 403 and "did not come from here" in told.text
    assert "held: it waits" in (await it.get(f"/console/runs/{office.held}")).text


async def _csrf(person: Person) -> str:
    found = re.search(r'name="csrf" value="([0-9a-f]{64})"', (await person.get("/console/")).text)
    assert found is not None
    return found[1]


async def test_who_is_not_signed_in_comes_back_to_the_page(office: Office) -> None:
    told = await office.http.get("/console/runs?district=fennel")
    assert told.status_code == 303
    assert told.headers["location"] == "/sign-in?district=fennel&next=%2Fconsole%2Fruns"
    assert (await office.http.get("/console")).headers["location"] == "/console/"
    part = await office.http.get(f"/console/runs/{office.held}/progress", headers={"hx-request": "true"})
    assert part.status_code == 200 and part.headers["hx-redirect"].startswith("/sign-in?") and part.text == ""
    assert (await office.http.get("/console/runs", headers={"cookie": f"{SESSION}=1.nonsense"})).status_code == 303
