"""Our tool and a platform that was not written here: a launch by its hand, and then a delivery to where that led."""

from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from gateway import delivery, dispatch
from gateway.settings import Settings
from gateway.store import deliveries, lti, registers
from gateway.store.database import Store
from gateway.store.registers import Actor
from tests import village as invented
from tests.api.browser import Browser
from tests.lti_platform import CLIENT, COURSE, DEPLOYMENT, INSTRUCTOR, LEARNER, Foreign, foreign
from tests.village import Village


@pytest.fixture
async def village(store: Store, district: int) -> Village:
    made = await invented.populate(store, district)
    await invented.finalize(made)
    return made


@pytest.fixture
async def platform(
    store: Store, settings: Settings, village: Village, http: httpx.AsyncClient, actor: Actor
) -> AsyncIterator[Foreign]:
    """It reads our keys from our server, and knows the people of the village by their numbers."""
    target = f"{settings.address}/lti/launch"
    with foreign(f"{http.base_url}/lti/jwks", f"{http.base_url}/lti/login", target) as there:
        there.add_member("7", "N-teacher", INSTRUCTOR, "T.")
        there.add_member("8", "N-other", LEARNER, "O.")
        there.add_member("9", "N-student", LEARNER, "S.")
        told: dict[str, Any] = {"issuer": there.url, "client_id": CLIENT, "deployment_ids": [DEPLOYMENT]}
        told |= {"authorization_url": f"{there.url}/auth", "token_url": f"{there.url}/token"}
        told |= {"jwks_url": f"{there.url}/jwks", "student_identifier": "local", "staff_identifier": "local"}
        told |= {"private_addresses": ["127.0.0.1: played in a test"], "trusted_number": "sourcedid"}
        await registers.add_connection(store, village.district, "lms", "lti", told, {}, actor, keeps_roster=False)
        yield there


async def opened(platform: Foreign, http: httpx.AsyncClient, person: str) -> tuple[Browser, httpx.Response]:
    """A browser of somebody who opens the tool at the platform, and the page where that ends."""
    browser = Browser(http)
    answer = await browser.get(platform.preflight(person).removeprefix(str(http.base_url)))
    if answer.headers.get("location", "").startswith("/lti/begin"):
        answer = await browser.get(answer.headers["location"])
    asked = {name: values[0] for name, values in parse_qs(urlsplit(answer.headers["location"]).query).items()}
    form = platform.launch(asked)
    assert urlsplit(form.pop("launch_url")).path == "/lti/launch"
    answer = await browser.post("/lti/launch", form)
    return browser, await browser.get(answer.headers["location"]) if answer.status_code == 303 else answer


async def test_a_launch_shows_the_plan_and_a_delivery_finds_its_way_by_it(
    store: Store, platform: Foreign, village: Village, http: httpx.AsyncClient, actor: Actor
) -> None:
    browser, page = await opened(platform, http, "7")
    assert page.status_code == 200 and f"/lti/plans/{village.plan}" in page.text, page.text
    assert "planted-goal" in (await browser.get(f"/lti/plans/{village.plan}")).text
    _, page = await opened(platform, http, "8")
    assert page.status_code == 200 and village.plan not in page.text

    connection = await registers.connection(store, village.district, "lms")
    async with store.transaction(village.district) as c:
        (place,) = await lti.places(c, connection.id)
        assert (place.key, place.facts["line_items"]) == (COURSE, platform.columns_url())
        await deliveries.set_profile(c, village.district, connection.id, {"courses": [COURSE]})
    number, _ = await delivery.request(store, village.district, village.plan, "lms", actor)
    await dispatch.deliver_job(store, village.district, number)
    async with store.transaction(village.district) as c:
        ended = await deliveries.status(c, number)
    assert ended["state"] == "delivered", (ended["reason"], ended["receipts"])
    ((column, person), score), *others = platform.results.items()
    assert (person, others, "scoreGiven" in score) == ("9", [], False)
    assert score["comment"].endswith(f"/plans/{village.plan}") and "planted" not in str(score)
    assert platform.columns[column]["label"] == "Student success plan"

    (number,) = await dispatch.request_withdrawal(store, village.district, village.plan, actor, "asked for", "lms")
    await dispatch.deliver_job(store, village.district, number)
    assert (platform.columns, platform.results) == ({}, {})
