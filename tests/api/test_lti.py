"""A learning platform launches our tool over the real server: whose word counts, who that is, and what they see."""

import asyncio
import base64
import json
import time
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import httpx
import pytest
from click.testing import Result
from joserfc import jwt
from joserfc.jwk import KeySet, OctKey
from sqlalchemy import text
from typer.testing import CliRunner

from gateway.cli import app
from gateway.errors import PlanbridgeError
from gateway.settings import Settings
from gateway.store import launches, registers, sessions, tool_keys
from gateway.store.database import Store
from gateway.store.registers import Actor
from tests import village as invented
from tests.api.browser import Browser
from tests.api.conftest import serving
from tests.api.platform import CLAIM, CLIENT, DEPLOYMENT, KEYS, LearningPlatform
from tests.village import Village

LINKING = "https://purl.imsglobal.org/spec/lti-dl/claim/"


@pytest.fixture(autouse=True)
async def nobody_asked_before(store: Store) -> None:
    async with store.transaction() as c:
        await c.execute(text("DELETE FROM token_rate"))


@pytest.fixture
async def village(store: Store, district: int) -> Village:
    made = await invented.populate(store, district)
    await invented.finalize(made)
    return made


@pytest.fixture
async def platform() -> AsyncIterator[LearningPlatform]:
    made = LearningPlatform()
    async with serving(made.app) as http:  # type: ignore[arg-type]
        made.issuer = str(http.base_url)
        yield made


class Lms:
    """A platform that is registered for a district, and people's browsers that come from it."""

    def __init__(self, platform: LearningPlatform, http: httpx.AsyncClient, address: str) -> None:
        self.platform, self.http, self.address = platform, http, address
        self.target = f"{address}/lti/launch"

    def browser(self) -> Browser:
        return Browser(self.http)

    def asked(self, **more: str) -> str:
        given = {"iss": self.platform.issuer, "login_hint": "u-1", "target_link_uri": self.target, "client_id": CLIENT}
        return urlencode({name: value for name, value in (given | more).items() if value})

    async def login(self, browser: Browser, **more: str) -> Mapping[str, str]:
        """As far as the platform's own page: what we ask it there."""
        answer = await browser.get(f"/lti/login?{self.asked(**more)}")
        if answer.headers.get("location", "").startswith("/lti/begin"):
            answer = await browser.get(answer.headers["location"])
        assert answer.status_code == 303, answer.text
        where = urlsplit(answer.headers["location"])
        assert f"{where.scheme}://{where.netloc}{where.path}" == f"{self.platform.issuer}/auth"
        return {name: values[0] for name, values in parse_qs(where.query).items()}

    async def launch(
        self, number: str | None, role: str = "Instructor", browser: Browser | None = None, *, to: str = "", **said: Any
    ) -> httpx.Response:
        """A launch, and the page that it ends at."""
        browser = browser or self.browser()
        target = to or self.target
        sent = await self.login(browser, target_link_uri=target)
        token = self.platform.token(sent["nonce"], target, number, role, **said)
        answer = await browser.post("/lti/launch", {"state": sent["state"], "id_token": token})
        return await browser.get(answer.headers["location"]) if answer.status_code == 303 else answer


@pytest.fixture
async def lms(
    store: Store, settings: Settings, village: Village, platform: LearningPlatform, http: httpx.AsyncClient,
    actor: Actor,
) -> Lms:  # fmt: skip
    await connect(store, village.district, platform.settings(), actor)
    return Lms(platform, http, settings.address)


async def connect(store: Store, district: int, settings: Mapping[str, Any], actor: Actor, name: str = "lms") -> int:
    return await registers.add_connection(store, district, name, "lti", dict(settings), {}, actor, keeps_roster=False)


async def rows(store: Store, district: int, query: str) -> list[Any]:
    async with store.transaction(district) as c:
        return list((await c.execute(text(query))).all())


async def test_everybody_sees_what_the_rules_let_them(store: Store, lms: Lms, village: Village) -> None:
    plan = f"/lti/plans/{village.plan}"
    browser = lms.browser()
    listed = await lms.launch("N-teacher", browser=browser)
    assert listed.status_code == 200 and plan in listed.text and "planted-student" in listed.text
    assert "planted-other" not in listed.text and village.student not in listed.text
    shown = await browser.get(plan)
    assert shown.status_code == 200 and "planted-goal" in shown.text and "planted-support" in shown.text
    for hidden in ("planted-physical_health", "planted-social_emotional", "planted-family", "planted-talk"):
        assert hidden not in shown.text, "a teacher of the class does not read that"
    for page in (listed, shown):
        policy = page.headers["content-security-policy"]
        assert "default-src 'none'" in policy and "script" not in policy and "unsafe" not in policy
        where = policy.partition("frame-ancestors ")[2].partition(";")[0].split()
        assert where == [lms.platform.issuer, "https://lms.district.example.org"], "only the platform shows it"
        assert page.headers["referrer-policy"] == "no-referrer" and page.headers["cache-control"] == "no-store"
    for line in browser.set:
        flags = {part.strip() for part in line.split(";")}
        assert {"Secure", "HttpOnly", "SameSite=None", "Partitioned", "Path=/"} <= flags
    names = await rows(
        store, village.district,
        f"SELECT sections FROM disclosure WHERE person_id = '{village.teacher}' AND act = 'read' ORDER BY id",
    )  # fmt: skip
    assert names[0] == (["identity"],) and "goals" in names[-1][0], "both looks are on record"

    # whoever teaches nobody here, or is nobody to the student, gets a sentence and no word of the plan
    for number, role in (("N-stranger", "Instructor"), ("N-other", "Learner"), ("N-father", "Mentor")):
        browser = lms.browser()
        listed = await lms.launch(number, role, browser)
        refused = await browser.get(plan)
        assert listed.status_code == 200 and village.plan not in listed.text, number
        assert refused.status_code == 403 and "planted" not in listed.text + refused.text, number
    acts = await rows(store, village.district, "SELECT count(*) FROM act WHERE act = 'look-refused'")
    assert acts == [(3,)]

    for number, role, words in (("N-student", "Learner", "Your plan"), ("N-mother", "Mentor", "planted-student")):
        browser = lms.browser()
        listed = await lms.launch(number, role, browser)
        shown = await browser.get(plan)
        assert words in listed.text and "planted-goal" in shown.text, number

    # a link to one plan leads there; one that is none, or is not finished, tells nothing
    shown = await lms.launch("N-teacher", to=f"{lms.address}/plans/{village.plan}")
    assert "planted-goal" in shown.text
    shown = await lms.launch("N-teacher", to=f"{lms.address}/plans/{village.student}")
    assert shown.status_code == 404 and "no finished plan" in shown.text


async def test_the_doorway_asks_who_is_there(store: Store, village: Village, http: httpx.AsyncClient) -> None:
    link = f"/plans/{village.plan}"
    asked = await http.get(link)
    name = await rows(store, village.district, "SELECT name FROM district WHERE id = " + str(village.district))
    where = urlsplit(asked.headers["location"])
    assert asked.status_code == 303 and where.path == "/sign-in"
    assert parse_qs(where.query) == {"district": [name[0][0]], "next": [link]}
    pages = {}
    for who in ("teacher", "stranger", "mother", "father"):
        async with store.transaction(village.district) as c:
            token = await sessions.begin(c, village.district, village.ids[who], "account", second_factor=True)
        pages[who] = await Browser(http, cookies={"__Host-planbridge": token}).get(link)
    assert {who: page.status_code for who, page in pages.items()} == {
        "teacher": 200, "stranger": 403, "mother": 200, "father": 403,
    }  # fmt: skip
    assert "planted-goal" in pages["mother"].text and "planted" not in pages["father"].text + pages["stranger"].text
    assert "frame-ancestors 'none'" in pages["teacher"].headers["content-security-policy"]


async def test_staff_is_who_is_staff_in_both(store: Store, lms: Lms, village: Village, actor: Actor) -> None:
    refused = await lms.launch("N-teacher", "Learner")
    assert refused.status_code == 403 and "not a member of staff" in refused.text
    elsewhere = "http://purl.imsglobal.org/vocab/lis/v2/institution/person#Instructor"
    refused = await lms.launch(
        "N-teacher", roles=[f"{CLAIM.replace('spec/lti/claim/', 'vocab/lis/v2/')}membership#Learner", elsewhere]
    )
    assert refused.status_code == 403, "whoever teaches somewhere learns in this course"
    browser = lms.browser()
    await lms.launch("N-student", "Instructor", browser)
    assert "planted-physical_health" not in (await browser.get(f"/lti/plans/{village.plan}")).text
    # a role that shows more than one's own students needs what the district's sign-in asks for beyond a password
    refused = await lms.launch("N-counselor")
    assert refused.status_code == 403 and "second factor" in refused.text
    connection = await registers.connection(store, village.district, "lms")
    await registers.change_settings(store, connection, connection.settings | {"second_factor": True}, {}, actor)
    browser = lms.browser()
    assert village.plan in (await lms.launch("N-counselor", browser=browser)).text
    await registers.change_settings(store, connection, connection.settings, {}, actor)
    assert (await browser.get("/lti/plans")).status_code == 403


async def test_only_the_course_where_the_roster_knows_it(
    store: Store, lms: Lms, village: Village, actor: Actor
) -> None:
    connection = await connect(store, village.district, {}, actor, "sis")
    async with store.transaction(village.district) as c:
        for key, entity in (("sec-1", village.ids["class"]), ("sec-2", village.ids["course"])):
            await c.execute(
                text(
                    "INSERT INTO link (district_id, connection_id, kind, key, entity_id, method, run_id, since) "
                    "VALUES (:district, :connection, 'class', :key, CAST(:entity AS uuid), 'first', 1, 1)"
                ),
                {"district": village.district, "connection": connection, "key": key, "entity": entity},
            )
    here = await lms.launch("N-teacher", lis={"person_sourcedid": "N-teacher", "course_section_sourcedid": "sec-1"})
    assert village.plan in here.text
    browser = lms.browser()
    there = await lms.launch(
        "N-teacher", browser=browser, lis={"person_sourcedid": "N-teacher", "course_section_sourcedid": "sec-2"}
    )
    assert village.plan not in there.text and "planted" not in there.text
    assert village.plan in (await browser.get("/lti/plans?all=1")).text


async def test_nothing_but_a_right_launch_opens_anything(store: Store, lms: Lms, village: Village) -> None:
    now = int(time.time())
    public = OctKey.import_key(json.dumps(KEYS["one"].as_dict(private=False)).encode(), {"kid": "one"})
    bad: dict[str, dict[str, Any]] = {
        "for somebody else": {"aud": "another-tool"},
        "for several, and not for us first": {"aud": [CLIENT, "another-tool"], "azp": "another-tool"},
        "for several, and nobody first": {"aud": [CLIENT, "another-tool"]},
        "by another issuer": {"iss": "https://other.example.org"},
        "over": {"exp": now - 61},
        "without an end": {"exp": None},
        "good for a day": {"exp": now + 86_400},
        "made an hour ago": {"iat": now - 3600},
        "made in the future": {"iat": now + 120},
        "without a time": {"iat": None},
        "with another nonce": {"nonce": "guessed"},
        "without a nonce": {"nonce": None},
        "of LTI 1.1": {"version": "LTI-1p0"},
        "of another kind": {"message_type": "LtiSubmissionReviewRequest"},
        "of no kind": {"message_type": None},
        "without a deployment": {"deployment_id": None},
        "of another deployment": {"deployment_id": "dep-2"},
        "to another place": {"target_link_uri": f"{lms.address}/lti/plans"},
        "without roles": {"roles": None},
        "without a link": {"resource_link": None},
        "by a stranger's key": {"key": "strange"},
        "by a stranger's key of our name": {"key": "strange", "header": {"kid": "one"}},
        "by a key that is not published": {"key": "two"},
        "by no key's name": {"header": {"kid": None}},
        "by the public key as a secret": {"secret": public},
    }
    let_in = []
    for what, said in bad.items():
        refused = await lms.launch("N-teacher", **said)
        told = "does not hold" in refused.text or "not this installation" in refused.text
        if refused.status_code != 403 or "planted" in refused.text or not told:
            let_in.append(what)
    browser = lms.browser()
    none = base64.urlsafe_b64encode(b'{"alg":"none","kid":"one"}').rstrip(b"=").decode()
    spoilt: dict[str, Callable[[str], str]] = {
        "unsigned": lambda token: f"{none}.{token.split('.')[1]}.",
        "with its signature taken away": lambda token: f"{token.rpartition('.')[0]}.",
        "with another signature": lambda token: f"{token[:-9]}AAAAAAAAA",
        "no token": lambda token: "no token",
        "nothing": lambda token: "",
        "three parts of nothing": lambda token: "a.b.c",
    }
    for what, spoil in spoilt.items():
        sent = await lms.login(browser)
        token = spoil(lms.platform.token(sent["nonce"], lms.target, "N-teacher"))
        refused = await browser.post("/lti/launch", {"state": sent["state"], "id_token": token})
        if refused.status_code != 403 or "does not hold" not in refused.text:
            let_in.append(what)
    assert let_in == []
    assert (await lms.launch("N-teacher", aud=[CLIENT, "another-tool"], azp=CLIENT)).status_code == 200
    assert len(await rows(store, village.district, "SELECT 1 FROM lti_session")) == 1, "of all these one opened a page"


async def test_a_launch_works_once_and_in_its_own_browser(lms: Lms) -> None:
    mine, theirs = lms.browser(), lms.browser()
    sent = await lms.login(mine)
    await lms.login(theirs)
    form = {"state": sent["state"], "id_token": lms.platform.token(sent["nonce"], lms.target, "N-teacher", jti=None)}
    for other in (theirs, lms.browser()):
        refused = await other.post("/lti/launch", form)
        assert refused.status_code == 403 and "another browser" in refused.text
    assert (await mine.post("/lti/launch", form)).status_code == 303
    assert (await mine.post("/lti/launch", form)).status_code == 403, "neither state nor nonce come twice"
    assert (await lms.launch("N-teacher", jti="j-1")).status_code == 200
    again = await lms.launch("N-teacher", jti="j-1")
    assert again.status_code == 403 and "used already" in again.text, "nor does the id of a message"
    sent = await lms.login(mine)
    nobody = await mine.post("/lti/launch", {"state": sent["state"], "error": "login_required"})
    assert nobody.status_code == 403 and "Sign in to it again" in nobody.text
    # a browser that keeps no cookie within other pages is shown a way out, before the platform's word is used up
    nothing = await lms.http.get(f"/lti/begin?{lms.asked(lti_message_hint='m-1')}")
    assert nothing.status_code == 200 and 'target="_blank"' in nothing.text and 'value="m-1"' in nothing.text
    assert "script" not in nothing.text


async def test_nobody_is_led_elsewhere(lms: Lms) -> None:
    browser = lms.browser()
    await lms.login(browser)
    for target in (
        "https://evil.example.org/lti/launch", f"{lms.address}.evil.example.org/lti/launch", "//evil.example.org",
        f"{lms.address}/sign-in", f"{lms.address}/plans/../sign-in", "",
    ):  # fmt: skip
        refused = await browser.get(f"/lti/login?{lms.asked(target_link_uri=target)}")
        assert refused.status_code == 403 and "location" not in refused.headers, target
        assert "another address" in refused.text
    for more, words in (
        ({"iss": "https://evil.example.org"}, "not registered"),
        ({"client_id": "another"}, "not registered"),
        ({"lti_deployment_id": "dep-2"}, "dep-2"),
    ):
        refused = await browser.get(f"/lti/login?{lms.asked(**more)}")
        assert refused.status_code == 403 and words in refused.text and "location" not in refused.headers
    post = await browser.post("/lti/login", dict(parse_qs_one(lms.asked())))
    assert post.status_code == 303 and post.headers["location"].startswith(f"{lms.platform.issuer}/auth?")


def parse_qs_one(query: str) -> Mapping[str, str]:
    return {name: values[0] for name, values in parse_qs(query).items()}


async def test_a_deployment_is_of_one_district(
    store: Store, lms: Lms, village: Village, platform: LearningPlatform, actor: Actor
) -> None:
    """Another district of the same platform, with keys of its own, vouches for its own deployment at most."""
    other = await registers.district(store, f"{time.time_ns()}")
    async with serving((evil := LearningPlatform(published=["strange"])).app) as http:  # type: ignore[arg-type]
        evil.issuer = str(http.base_url)
        theirs = platform.settings(deployment_ids=["dep-2"], jwks_url=f"{evil.issuer}/jwks")
        theirs_id = await connect(store, other, theirs, actor)
        refused = await lms.launch("N-teacher", key="strange")
        assert refused.status_code == 403 and "signature" in refused.text
        refused = await lms.launch("N-teacher", key="strange", deployment_id="dep-2")
        assert refused.status_code == 403 and "nobody on the roster" in refused.text, "who is known here, is not there"
        # and where both claim one deployment, neither has it
        connection = await registers.connection(store, other, theirs_id)
        await registers.change_settings(store, connection, theirs | {"deployment_ids": [DEPLOYMENT]}, {}, actor)
        refused = await lms.launch("N-teacher")
        assert refused.status_code == 403 and "not this installation" in refused.text
        await registers.pause(store, other, theirs_id, "Not ours.", actor)
        assert (await lms.launch("N-teacher")).status_code == 200


async def test_who_somebody_is(store: Store, lms: Lms, village: Village) -> None:
    for said, words in (
        ({}, "does not say which number"),
        ({"lis": {"person_sourcedid": "$Person.sourcedId"}, "custom": {"person_sourcedid": ""}}, "which number"),
        ({"lis": {"person_sourcedid": "planted-mail@example.org"}}, "nobody on the roster"),
        ({"lis": {"person_sourcedid": "n-teacher"}}, "nobody on the roster"),
    ):
        refused = await lms.launch(None, **said)
        assert refused.status_code == 403 and words in refused.text, said
    assert (await lms.launch(None, custom={"person_sourcedid": "N-teacher"})).status_code == 200
    both = {"lis": {"person_sourcedid": "N-gone"}, "custom": {"person_sourcedid": "N-teacher"}}
    assert (await lms.launch(None, **both)).status_code == 200
    async with store.transaction(village.district) as c:
        await c.execute(
            text("UPDATE entity SET doc = CAST(replace(CAST(doc AS text), 'N-nurse', 'N-teacher') AS json) "
                 "WHERE kind = 'person'")
        )  # fmt: skip
    refused = await lms.launch("N-teacher")
    assert refused.status_code == 403 and "more than one person" in refused.text
    spanish = Browser(lms.http, "es")
    assert "más de una persona" in (await lms.launch("N-teacher", browser=spanish)).text


async def test_a_page_ends_with_its_person(store: Store, lms: Lms, village: Village, actor: Actor) -> None:
    async def opened() -> Browser:
        browser = lms.browser()
        assert (await lms.launch("N-teacher", browser=browser)).status_code == 200
        return browser

    async def is_over(browser: Browser) -> bool:
        answers = [await browser.get("/lti/plans"), await browser.get(f"/lti/plans/{village.plan}")]
        return all(one.status_code == 403 and "planted" not in one.text for one in answers)

    browser = await opened()
    token = browser.cookies["__Host-planbridge-lti"]
    me = await Browser(lms.http, cookies={"__Host-planbridge": token}).get("/v1/me")
    assert me.status_code == 401, "a launched page is no sign-in"
    await sessions.end_all(store, village.district, village.teacher, actor)
    assert await is_over(browser)
    browser = await opened()
    async with store.transaction(village.district) as c:
        await c.execute(text("UPDATE lti_session SET ends_at = now()"))
    assert await is_over(browser)
    browser = await opened()
    async with store.transaction(village.district) as c:
        await c.execute(
            text(
                "UPDATE entity SET doc = CAST(jsonb_set(CAST(doc AS jsonb), '{active}', 'false') AS json) "
                "WHERE id = CAST(:id AS uuid)"
            ),
            {"id": village.teacher},
        )
    assert await is_over(browser)
    assert "nobody on the roster" in (await lms.launch("N-teacher")).text
    kept = await rows(store, village.district, "SELECT CAST(s AS text) FROM lti_session s")
    assert token not in str(kept), "a page's secret is kept as a hash"


async def test_keys_change_on_both_sides(store: Store, lms: Lms, platform: LearningPlatform, actor: Actor) -> None:
    assert (await lms.launch("N-teacher")).status_code == 200
    assert (await lms.launch("N-teacher")).status_code == 200
    assert platform.asked == 1, "a platform's keys are held"
    platform.published = ["one", "two"]
    assert (await lms.launch("N-teacher", key="two")).status_code == 200
    assert platform.asked == 2
    assert (await lms.launch("N-teacher", key="strange")).status_code == 403
    assert platform.asked == 3, "for a key that nobody knows it is asked once"

    before = (await lms.http.get("/lti/jwks")).json()["keys"]
    assert all(key["kty"] == "RSA" and key["alg"] == "RS256" and "d" not in key for key in before)
    signing = (await tool_keys.current(store)).kid
    kid = await tool_keys.rotate(store, actor)
    after = [key["kid"] for key in (await lms.http.get("/lti/jwks")).json()["keys"]]
    assert after[0] == kid and signing in after
    assert (await tool_keys.current(store)).kid == signing, "a new key is published before it signs"
    kid = await tool_keys.rotate(store, actor, at_once=True)
    assert [key["kid"] for key in (await lms.http.get("/lti/jwks")).json()["keys"]] == [kid]


async def test_a_link_is_put_into_a_course(lms: Lms, village: Village) -> None:
    settings = {
        f"{LINKING}deep_linking_settings": {
            "deep_link_return_url": "https://lms.district.example.org/back", "accept_types": ["ltiResourceLink"],
            "accept_presentation_document_targets": ["iframe"], "data": "op=3",
        }
    }  # fmt: skip
    asked = {"message_type": "LtiDeepLinkingRequest", "resource_link": None} | settings
    page = await lms.launch(None, **asked)
    assert page.status_code == 200 and 'action="https://lms.district.example.org/back"' in page.text
    assert "form-action 'self' https://lms.district.example.org" in page.headers["content-security-policy"]
    signed = page.text.partition('name="JWT" value="')[2].partition('"')[0]
    keys = KeySet.import_key_set((await lms.http.get("/lti/jwks")).json())
    said = jwt.decode(signed, keys, algorithms=["RS256"]).claims
    assert (said["iss"], said["aud"], said[f"{LINKING}data"]) == (CLIENT, [lms.platform.issuer], "op=3")
    assert said[f"{CLAIM}deployment_id"] == DEPLOYMENT and said[f"{CLAIM}message_type"] == "LtiDeepLinkingResponse"
    [item] = said[f"{LINKING}content_items"]
    assert item["url"] == lms.target and "lineItem" not in item
    assert (await lms.launch(None, "Learner", **asked)).status_code == 403
    settings[f"{LINKING}deep_linking_settings"]["accept_types"] = ["file"]
    assert (await lms.launch(None, **asked)).status_code == 403


async def test_a_platform_registers_the_tool(
    store: Store, district: int, settings: Settings, platform: LearningPlatform, http: httpx.AsyncClient, actor: Actor
) -> None:
    browser = Browser(http)

    async def link(*private: str, name: str = "moodle") -> str:
        return f"/lti/register/{await launches.invite(store, district, name, private, actor)}"

    asked = urlencode(
        {"openid_configuration": f"{platform.issuer}/openid", "registration_token": "planted-registration"}
    )
    mine = await link("127.0.0.1: played in a test")
    for looked in (await browser.get(mine), await browser.get(f"{mine}?{asked}")):
        assert looked.status_code in (200, 400)
    assert platform.issuer in browser.page and platform.registered == [], "looking does nothing"
    platform.described_as = {"issuer": "https://canvas.instructure.com"}
    refused = await browser.fill(mine)
    assert refused.status_code == 400 and "another host" in refused.text and platform.registered == []
    platform.described_as = {}
    await browser.get(f"{mine}?{asked}")
    done = await browser.fill(mine)
    assert done.status_code == 200 and "moodle" in done.text, done.text
    assert "script-src 'sha256-" in done.headers["content-security-policy"]
    [told] = platform.registered
    assert told["initiate_login_uri"] == f"{settings.address}/lti/login"
    tool = told["https://purl.imsglobal.org/spec/lti-tool-configuration"]
    assert tool["claims"] == ["iss", "sub"], "nobody's name or address is asked for"
    kept = await registers.connection(store, district, "moodle")
    assert (kept.connector, kept.settings["client_id"], kept.settings["deployment_ids"]) == (
        "lti",
        "made-client",
        ["9"],
    )
    over = await browser.get(f"{mine}?{asked}")
    assert over.status_code == 404 and "used already" in over.text, "a link works once"
    strange = f"/lti/register/{district}.guessed"
    assert (await browser.get(f"{strange}?{asked}")).status_code == 404
    assert (await browser.post(strange, dict(parse_qs_one(asked)))).status_code == 403
    # without leave nobody is made to ask within the district's own network
    mine = await link(name="other")
    refused = await browser.post(mine, dict(parse_qs_one(asked)))
    assert refused.status_code == 400 and len(platform.registered) == 1
    assert await launches.invited(store, mine.rpartition("/")[2]) is not None


async def test_the_commands(
    store: Store, district: int, settings: Settings, platform: LearningPlatform, actor: Actor,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr("gateway.cli.output.Settings", lambda: settings)
    monkeypatch.setattr("gateway.store.database.migrate", lambda url: None)
    [[name]] = await rows(store, district, f"SELECT name FROM district WHERE id = {district}")

    async def ran(*words: str, of: str = name) -> Result:
        given = ["lti", *words, *(["--district", of] if of else []), "--json"]
        return await asyncio.to_thread(lambda: CliRunner().invoke(app, given, catch_exceptions=True))

    async def refused(*words: str) -> str:
        error = (await ran(*words)).exception
        assert isinstance(error, PlanbridgeError), error
        return error.code

    said = json.loads((await ran("invite", "lms", "--private-address", "moodle.internal: our Moodle")).stdout)
    assert said["link"].startswith(f"{settings.address}/lti/register/{district}.")
    assert await rows(store, district, "SELECT private_addresses, used_at FROM lti_invitation") == [
        (["moodle.internal: our Moodle"], None)
    ]
    assert await refused("invite", "lms", "--private-address", "169.254.169.254: metadata") == "settings-invalid"
    await connect(store, district, platform.settings(), actor)
    assert await refused("invite", "lms") == "connection-exists"
    shown = json.loads((await ran("platforms")).stdout)
    assert shown["platforms"] == [
        {"connection": "lms", "issuer": platform.issuer, "client_id": CLIENT, "deployment_ids": [DEPLOYMENT],
         "paused": None}
    ]  # fmt: skip
    assert f"{settings.address}/lti/jwks" in shown["tool"].values()
    before = json.loads((await ran("keys", of="")).stdout)
    after = json.loads((await ran("keys", "--rotate", of="")).stdout)
    assert [key["signs"] for key in after].count(True) == 1 and len(after) == len(before) + 1
    acts = await rows(store, district, "SELECT act FROM act WHERE act IN ('lti-invite', 'tool-key') ORDER BY seq")
    assert [act for (act,) in acts] == ["lti-invite", "tool-key"]
