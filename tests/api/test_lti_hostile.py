"""What somebody tries who means no good where platforms come in: with texts, keys, roles, numbers and addresses."""

import base64
import json
import secrets
from collections.abc import AsyncIterator, Mapping
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from sqlalchemy import text
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response

from gateway import launching
from gateway.settings import Settings
from gateway.store import launches, registers
from gateway.store.database import Store
from gateway.store.registers import Actor
from tests import village as invented
from tests.api.conftest import serving
from tests.api.platform import KEYS, LearningPlatform
from tests.api.test_lti import LINKING, Lms, connect, rows
from tests.village import Village


@pytest.fixture(autouse=True)
async def nobody_asked_before(store: Store) -> None:
    async with store.transaction() as c:
        await c.execute(text("DELETE FROM token_rate"))


class Sly(LearningPlatform):
    """A platform that publishes as its keys whatever it is told to."""

    answer: Any = None

    async def jwks(self, request: Request) -> Response:
        if isinstance(self.answer, Response):
            return self.answer
        return await super().jwks(request) if self.answer is None else JSONResponse(self.answer)


@pytest.fixture
async def village(store: Store, district: int) -> Village:
    made = await invented.populate(store, district)
    await invented.finalize(made)
    return made


@pytest.fixture
async def lms(
    store: Store, settings: Settings, village: Village, http: httpx.AsyncClient, actor: Actor
) -> AsyncIterator[Lms]:
    platform = Sly()
    async with serving(platform.app) as there:  # type: ignore[arg-type]
        platform.issuer = str(there.base_url)
        await connect(store, village.district, platform.settings(), actor)
        yield Lms(platform, http, settings.address)


def encoded(said: Any) -> str:
    given = said if isinstance(said, str) else json.dumps(said)
    return base64.urlsafe_b64encode(given.encode()).rstrip(b"=").decode()


async def set_to(store: Store, lms: Lms, village: Village, actor: Actor, **said: Any) -> None:
    found = await registers.connection(store, village.district, "lms")
    await registers.change_settings(store, found, found.settings | said, {}, actor)


async def test_no_text_whatever_is_a_fault_of_ours(
    store: Store, lms: Lms, district: int, actor: Actor, http: httpx.AsyncClient
) -> None:
    browser = lms.browser()
    deep = "[" * 20_000
    here = {"https://purl.imsglobal.org/spec/lti/claim/deployment_id": "dep-1"}
    for head in (deep, {"alg": "RS256", "kid": ["one"]}, {"alg": "RS256", "kid": {"a": 1}}, {"alg": ["RS256"]}, "[1]"):
        for body in (deep, here, [1], '{"a": "\\ud800"}'):
            sent = await lms.login(browser)
            token = f"{encoded(head)}.{encoded(body)}.eA"
            answer = await browser.post("/lti/launch", {"state": sent["state"], "id_token": token})
            assert answer.status_code == 403, (str(head)[:40], str(body)[:40])
    for name in ("iss", "login_hint", "target_link_uri", "client_id", "lti_deployment_id", "lti_message_hint"):
        answer = await browser.get(f"/lti/login?{lms.asked(**{name: 'a' + chr(0) + chr(0xD7FF)})}")
        assert answer.status_code in (303, 403), name
    link = f"/lti/register/{await launches.invite(store, district, 'm', ['127.0.0.1: played in a test'], actor)}"
    for word in ("a\nb", "a\0", "ü", "\u2028"):
        answer = await browser.post(
            link, {"openid_configuration": f"{lms.platform.issuer}/openid", "registration_token": word}
        )
        assert answer.status_code == 400, (word, answer.text)
    for url in ("https://[::1", "https://a\0b/", "javascript:alert(1)", "//evil.example.org", "https://" + "a" * 3000):
        assert (await browser.post(link, {"openid_configuration": url})).status_code in (400, 403, 503), url
        assert (await browser.get(f"{link}?openid_configuration={quote(url)}")).status_code in (200, 400), url


async def test_what_a_platform_publishes_as_keys_breaks_nothing(lms: Lms, monkeypatch: pytest.MonkeyPatch) -> None:
    platform: Any = lms.platform
    good = KEYS["one"].as_dict(private=False)
    monkeypatch.setattr(launching, "_FRESH", 0.0)
    for answer in (
        [], {"keys": None}, {"keys": [1]}, {"keys": [{"kty": "RSA", "n": 1, "e": "AQAB", "kid": "one"}]},
        {"keys": [{"kty": "RSA", "kid": "one"}]}, {"keys": {"a": good}}, {"keys": []}, "x",
        {"keys": [{"kty": "oct", "k": "AAAA", "kid": "one"}]},
        RedirectResponse("http://127.0.0.1:1/jwks"),
    ):  # fmt: skip
        platform.answer = answer
        refused = await lms.launch("N-teacher")
        assert refused.status_code in (400, 403), (answer, refused.text)
    # one key that nobody understands does not spoil the others # RFC 7517 5
    platform.answer = {"keys": [{"kty": "AKP", "kid": "new", "pub": "AA"}, {"kty": "EC", "crv": "?"}, 7, good]}
    assert (await lms.launch("N-teacher")).status_code == 200
    platform.answer = {"keys": [good | {"x": "y" * (2 << 20)}]}
    assert (await lms.launch("N-teacher")).status_code == 400, "nobody has megabytes of keys"


async def test_a_role_within_a_role_makes_nobody_staff(lms: Lms) -> None:
    role = "http://purl.imsglobal.org/vocab/lis/v2/membership/{}"
    refused = await lms.launch("N-teacher", roles=[role.format("Learner#Instructor")])
    assert refused.status_code == 403 and "not a member of staff" in refused.text
    assert (await lms.launch("N-teacher", roles=[role.format("Instructor#TeachingAssistant")])).status_code == 200


async def test_keys_that_one_district_may_read_are_not_anothers(
    store: Store, lms: Lms, village: Village, actor: Actor
) -> None:
    """What is held of a platform's keys came by a way that only that district chose."""
    assert (await lms.launch("N-teacher")).status_code == 200
    other = await registers.district(store, secrets.token_hex(6))
    theirs = lms.platform.settings(deployment_ids=["dep-2"], private_addresses=[])
    await connect(store, other, theirs, actor)
    refused = await lms.launch("N-teacher", deployment_id="dep-2")
    assert refused.status_code == 400 and "public internet" in refused.text


async def test_made_up_names_of_keys_do_not_send_us_to_the_platform_for_ever(
    lms: Lms, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(launching, "_ANEW", 2)
    for _ in range(4):
        assert (await lms.launch("N-teacher", header={"kid": secrets.token_hex(4)})).status_code == 403
    assert lms.platform.asked == 3, "once for what is held, twice for more"
    assert (await lms.launch("N-teacher")).status_code == 200


async def test_a_page_may_be_framed_by_no_pattern_and_by_nobody_else(lms: Lms) -> None:
    for url in ("https://*", "https://*.example.org/", "https://a.example.org;script-src", "https://a$b/", "data:x"):
        shown = await lms.launch("N-teacher", launch_presentation={"return_url": url})
        frames = shown.headers["content-security-policy"].partition("frame-ancestors ")[2].partition(";")[0]
        assert shown.status_code == 200 and frames == lms.platform.issuer, url


async def test_a_link_goes_back_encrypted_or_to_the_platform_itself(lms: Lms) -> None:
    def asked(back: str) -> Mapping[str, Any]:
        told = {"deep_link_return_url": back, "accept_types": ["ltiResourceLink"]}
        return {
            "message_type": "LtiDeepLinkingRequest", "resource_link": None, f"{LINKING}deep_linking_settings": told
        }  # fmt: skip

    for back in ("http://lms.district.example.org/back", "javascript:alert(1)", "https://*/", "https://a@b.example/"):
        refused = await lms.launch(None, **asked(back))
        assert refused.status_code == 403 and "JWT" not in refused.text, back
    for back in (f"{lms.platform.issuer}/back", "https://lms.district.example.org/back"):
        assert 'name="JWT"' in (await lms.launch(None, **asked(back))).text, back


async def test_whoever_comes_next_to_a_shared_browser_finds_no_page_of_whoever_was_there(
    store: Store, lms: Lms, village: Village
) -> None:
    browser = lms.browser()
    await lms.launch("N-teacher", browser=browser)
    assert "planted-goal" in (await browser.get(f"/lti/plans/{village.plan}")).text
    assert (await lms.launch("N-nobody", browser=browser)).status_code == 403
    assert (await browser.get(f"/lti/plans/{village.plan}")).status_code == 403
    assert await rows(store, village.district, "SELECT 1 FROM lti_session") == []


async def test_a_number_counts_only_where_the_district_says_that_no_user_can_change_it(
    store: Store, lms: Lms, village: Village, actor: Actor
) -> None:
    """A teacher may give a link of theirs any custom parameter, and some platforms let people write their own number:
    either would be a way to come in as somebody else."""
    await set_to(store, lms, village, actor, trusted_number="none")
    for said in ({"lis": {"person_sourcedid": "N-teacher"}}, {"custom": {"person_sourcedid": "N-teacher"}}):
        refused = await lms.launch(None, **said)
        assert refused.status_code == 403 and "has not said" in refused.text and "planted" not in refused.text
    assert await rows(store, village.district, "SELECT 1 FROM lti_session") == []
    lis, custom = {"person_sourcedid": "N-student"}, {"person_sourcedid": "N-teacher"}
    for trusted, role, owner in (
        ("sourcedid", "Learner", village.student), ("parameter", "Instructor", village.teacher),
        ("both", "Learner", village.student),
    ):  # fmt: skip
        await set_to(store, lms, village, actor, trusted_number=trusted)
        assert (await lms.launch(None, role, lis=lis, custom=custom)).status_code == 200, trusted
        [[person]] = await rows(
            store, village.district, "SELECT CAST(person_id AS text) FROM lti_session ORDER BY began_at DESC LIMIT 1"
        )
        assert person == owner, trusted
    await set_to(store, lms, village, actor, trusted_number="sourcedid")
    refused = await lms.launch(None, custom=custom)
    assert refused.status_code == 403 and "which number" in refused.text
