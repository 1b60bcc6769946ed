"""A launch from its login to the page behind it: whose word counts, which person that is, which plans they see."""

import secrets
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import msgspec
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet, RSAKey
from joserfc.jws import extract_compact

from connectors.lti.settings import LtiSettings
from gateway import accounts, clock, sections, showing, viewing
from gateway.access import STAFF, Who
from gateway.connector import validated
from gateway.errors import ConfigError, Refused
from gateway.http import Http, MemoryTokens, Network, PrivateAddress
from gateway.identity import population
from gateway.lti import linking, login, registration
from gateway.lti.launch import CLAIM, Expected, Launch, checked, origin
from gateway.prefill import current
from gateway.store import accounts as kept_accounts
from gateway.store import disclosures, launches, rates, reading, registers, ties, tool_keys
from gateway.store import lti as courses
from gateway.store import plans as stored
from gateway.store.database import Store, Transaction
from gateway.store.disclosures import Disclosure
from gateway.store.launches import Open, Platform
from gateway.store.registers import Actor, log_act
from gateway.store.sessions import whoever
from gateway.viewing import View

CONNECTOR = "lti"
MOST = 200
"""Of so many students a page shows that they have a plan."""
_LONGEST = 1 << 16
_FRESH = 300.0  # seconds that a platform's keys are held; a key that is not among them is asked for at once
_ANEW = 12
"""Times a minute that a platform is asked for a key that it has not shown: who makes up names of keys is told no."""
_LARGEST = 1 << 20  # bytes that a platform says of itself: nobody has megabytes of keys
_keys_of: dict[tuple[int, str], tuple[KeySet, float]] = {}


async def begun(store: Store, asked: login.Asked, address: str, browser: str) -> str:
    """Where a browser is sent on, at the platform that it came from. Refused where we do not know it, or where the
    launch is to lead elsewhere than to us."""
    login.refuse_elsewhere(asked.target, address)
    known = await launches.platforms(store, asked.issuer)
    named = [one for one in known if asked.client in ("", one.client)]
    if not named:
        raise _unknown("This learning platform is not registered here, or not under this client id.")
    here = [one for one in named if asked.deployment in ("", *one.deployments)]
    if not here:
        raise _strange_deployment(asked.deployment)
    if len({one.client for one in here}) > 1:
        raise _unknown("This learning platform is registered more than once, and did not say as which client.")
    settings = await _settings(store, here[0])
    state, kept = await launches.begin(store, asked.issuer, here[0].client, asked.target, browser)
    redirect = f"{address}{login.LAUNCH}"
    return login.address(settings.authorization_url, kept.client, redirect, asked, state, kept.nonce)


@dataclass(frozen=True)
class Launched:
    """What a launch opens: a page of ours, by its secret; or a link to be sent `back`, as `signed`. `frames` are where
    it may be shown within other pages."""

    frames: Sequence[str]
    token: str = field(default="", repr=False)
    path: str = login.PLANS
    back: str = ""
    signed: str = field(default="", repr=False)


async def launched(store: Store, state: str, browser: str, token: str, address: str, *, before: str = "") -> Launched:
    """What came of a launch. Refused where the platform's word does not count, where it is not of this district's
    deployments, or where nobody on the roster is meant. The page that was open in this browser `before` is over
    whatever comes of it: somebody else may sit there now."""
    await launches.close_page(store, before)
    kept = await launches.take(store, state, browser)
    if kept is None:
        raise Refused(
            "launch-over",
            "This launch took too long, was finished already, or was begun in another browser.",
            "Open the link in the learning platform again, and let this site keep cookies.",
        )
    platform = await _platform(store, kept, token)
    settings = await _settings(store, platform)
    claims = await _claims(store, platform, settings, token)
    launch = checked(claims, Expected(kept.issuer, kept.client, kept.nonce, kept.target), time.time())
    frames = tuple(dict.fromkeys(filter(None, (*_origins(settings), launch.frame, *settings.frames))))
    async with store.transaction(platform.district) as c:
        if launch.jti and not await launches.spend(c, platform, launch.jti, launch.until):
            raise Refused(
                "launch-over", "This launch was used already.", "Open the link in the learning platform again."
            )
        await _note_course(c, platform, launch, {*frames, origin(settings.token_url)})
        if launch.linking is not None:
            return await _linked(store, c, platform, settings, launch, frames, address)
        person = await _person(c, platform.district, settings, launch)
        opened = await launches.open_page(
            c, platform, person, staff=launch.staff, sections=launch.sections, frames=frames
        )
    plan = login.plan_of(launch.target, address)
    return Launched(frames, opened, f"{login.PLANS}/{plan}" if plan else login.PLANS)


async def _platform(store: Store, kept: launches.Login, token: str) -> Platform:
    """The registration of the deployment that a token names. Nothing else of it is believed before it is known whose
    keys it must be signed by: those of another district's registration never count for this one."""
    try:
        told = msgspec.json.decode(extract_compact(token.encode()).payload) if len(token) <= _LONGEST else {}
        deployment = str(told.get(f"{CLAIM}deployment_id", ""))[:255]
    except (JoseError, ValueError, TypeError, AttributeError, RecursionError):
        raise _unsigned() from None
    named = [one for one in await launches.platforms(store, kept.issuer) if one.client == kept.client]
    if not named:
        raise _unknown("This learning platform is not registered here any more.")
    here = [one for one in named if deployment in one.deployments]
    if len(here) != 1:
        raise _strange_deployment(deployment)
    return here[0]


async def _settings(store: Store, platform: Platform) -> LtiSettings:
    found = await registers.connection(store, platform.district, platform.connection)
    return LtiSettings.model_validate(found.settings | found.secrets)


async def _claims(store: Store, platform: Platform, settings: LtiSettings, token: str) -> Mapping[str, Any]:
    """The claims of a token that the platform signed. # Security Framework 1.1, 5.1.3: RS256 alone"""
    for again in (False, True):  # a key that we do not know may be newer than what we read
        if again and await rates.count(store, f"keys/{platform.connection}", _ANEW) is not None:
            break
        keys = await _keys(platform, settings, again=again)
        try:
            kid = extract_compact(token.encode()).headers().get("kid")
            if kid is None or kid not in {key.kid for key in keys.keys}:
                continue
            return jwt.decode(token, keys, algorithms=[tool_keys.ALGORITHM]).claims
        except (JoseError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
            break
    raise _unsigned()


async def _keys(platform: Platform, settings: LtiSettings, *, again: bool) -> KeySet:
    # Kept for this connection alone: another district may come to the same address by another way, and trust others.
    place = platform.connection, settings.jwks_url
    found = _keys_of.get(place)
    if found is not None and not again and found[1] > time.monotonic() - _FRESH:
        return found[0]
    async with _http(settings.network) as http:
        told = (await http.get(settings.jwks_url)).json()
    shown = told.get("keys") if isinstance(told, dict) else None
    if not isinstance(shown, list):
        raise ConfigError(
            "platform-unreadable",
            "What the learning platform publishes as its keys cannot be read.",
            "Compare the keyset address of the connection with what the platform's administrator sees.",
        )
    keys = KeySet([key for one in shown if (key := _rsa(one)) is not None])
    _keys_of[place] = keys, time.monotonic()
    return keys


def _rsa(told: Any) -> RSAKey | None:
    """A key to check signatures by. One of another kind could be misread as a shared secret and is not even looked at,
    and one that cannot be read spoils no other. # RFC 7517 5"""
    if not isinstance(told, dict) or told.get("kty") != "RSA" or not isinstance(told.get("kid"), str):
        return None
    if told.get("use", "sig") != "sig" or told.get("alg", tool_keys.ALGORITHM) != tool_keys.ALGORITHM:
        return None
    with suppress(JoseError, ValueError, TypeError, KeyError, AttributeError):
        return RSAKey.import_key({name: told[name] for name in ("kty", "kid", "n", "e")})
    return None


@asynccontextmanager
async def _http(network: Network) -> AsyncIterator[Http]:
    async with Http(
        None, tokens=MemoryTokens(), network=network, timeout=15.0, attempts=3, longest_wait=5.0, largest=_LARGEST
    ) as http:  # fmt: skip
        yield http


def _origins(settings: LtiSettings) -> Sequence[str]:
    return origin(settings.issuer), origin(settings.authorization_url)


async def _note_course(c: Transaction, platform: Platform, launch: Launch, own: set[str]) -> None:
    """Keep where the course has its services; addresses that lead elsewhere than to the platform are left out."""
    if not launch.context:
        return
    line_items, memberships = (
        one if origin(one) in own else "" for one in (launch.line_items, launch.memberships)
    )  # fmt: skip
    await courses.note_context(
        c, platform.district, platform.connection, deployment=launch.deployment, context=launch.context,
        title=launch.title, line_items=line_items, memberships=memberships,
    )  # fmt: skip


async def _linked(
    store: Store, c: Transaction, platform: Platform, settings: LtiSettings, launch: Launch, frames: Sequence[str],
    address: str,
) -> Launched:  # fmt: skip
    """The answer to whoever builds a course and chooses our link: staff there, on our roster or not."""
    assert launch.linking is not None
    if not launch.staff:
        raise _not_staff()
    back = origin(launch.linking.back)
    if not back.startswith("https://") and back not in _origins(settings):
        raise Refused(
            "launch-refused",
            "What your learning platform says of this launch does not hold. It wants its link sent in the clear.",
            "Show this to whoever looks after the platform: the address that links are sent back to begins with https.",
        )
    claims = linking.response(
        launch.linking, issuer=settings.issuer, client=settings.client_id, deployment=launch.deployment,
        target=f"{address}{login.LAUNCH}", title=registration.TITLE, nonce=secrets.token_urlsafe(24),
        now=int(time.time()),
    )  # fmt: skip
    await log_act(c, platform.district, Actor("LTI", "system"), "lti-link", str(platform.connection), {})
    return Launched(frames, back=launch.linking.back, signed=await tool_keys.sign(store, claims))


async def _person(c: Transaction, district: int, settings: LtiSettings, launch: Launch) -> str:
    """Exactly one person on the roster today, who may come in this way. Never by a name or an address."""
    if settings.trusted_number == "none":
        raise Refused(
            "launch-number-untrusted",
            "Your district has not said yet by which number of this learning platform people may be let in.",
            "Whoever looks after Planbridge sets it: planbridge connections change NAME --set trusted_number=...;"
            " docs/lti.md says what to look at first.",
        )
    said = {"sourcedid": (launch.sourcedid,), "parameter": (launch.parameter,)}
    told = said.get(settings.trusted_number, (launch.sourcedid, launch.parameter))
    numbers = [one for one in told if one]
    if not numbers:
        raise Refused(
            "launch-number-missing",
            "Your learning platform does not say which number you have, so it cannot be told who you are.",
            "Whoever looks after it fills in your ID number (SIS id), and lets the tool read it: docs/lti.md.",
        )
    found = await launches.people(
        c, district, numbers[0], settings.student_identifier, settings.staff_identifier
    )  # fmt: skip
    for number in numbers[1:] if not found else ():
        found = await launches.people(c, district, number, settings.student_identifier, settings.staff_identifier)
    if len(found) > 1:
        raise Refused(
            "launch-person-several",
            "The number that your learning platform has for you is that of more than one person on the roster.",
            "Your school office compares the two; until then nobody is let in by it.",
        )
    if not found or await kept_accounts.is_suspended(c, found[0][0]):
        raise Refused(
            "launch-person-unknown",
            "The number that your learning platform has for you is that of nobody on the roster today.",
            "Your school office compares the number there with the one in the student information system.",
        )
    id, doc = found[0]
    if population(doc) == "staff":
        if not launch.staff:
            raise _not_staff()
        if accounts.needs_second_factor(doc) and not settings.second_factor:
            raise Refused(
                "launch-factor-missing",
                "Your role sees more than your own students, and your learning platform asks for a password alone.",
                "Sign in to Planbridge itself with your second factor. A district whose platform asks everybody for"
                " one says so in the connection's settings.",
            )
    return id


def _not_staff() -> Refused:
    return Refused(
        "launch-not-staff",
        "In this course of your learning platform you are not a member of staff, so no plan is shown here.",
        "Open it from a course that you teach.",
    )


# --- what the page shows --------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Line:
    """A student with a finished plan; the name where it may be read. `own`: it is the reader's own plan."""

    plan: str
    name: str
    own: bool


@dataclass(frozen=True)
class Shown:
    """The lines, by name; `narrowed`: only students of the course; `more`: there are others beyond MOST."""

    lines: Sequence[Line]
    narrowed: bool
    more: bool


async def opened(store: Store, token: str) -> Open | None:
    """Whose page it is; None where it is over, or its person's role came to need more than they showed."""
    found = await launches.found(store, token)
    if found is None or population(dict(found.doc)) != "staff" or not accounts.needs_second_factor(found.doc):
        return found
    settings = await _settings(store, Platform(found.district, found.connection, "", ()))
    return found if settings.second_factor else None


async def plans(store: Store, page: Open, *, everyone: bool = False) -> Shown:
    """The students with a finished plan of whom the person may see anything: of the course that they came from, where
    the roster knows it, or all. That a name was shown is on record."""
    who = Who(person=page.person)
    async with store.transaction(page.district) as c:
        finished = await launches.finished(c)
        listed = [one for one in await reading.find_students_in(c) if one["id"] in finished]
        tied = await showing.tied(c, page.person, listed)
        narrowed = False
        if page.staff and not everyone and (here := await _in_course(c, page.sections)) is not None:
            tied, narrowed = tied & here, True
        lines: list[Line] = []
        for one in (one for one in listed if one["id"] in tied):
            decisions = await viewing.decisions_of(store, c, who, page.actor.name, one["id"])
            if not any(d.allowed for d in decisions.values()):
                continue
            if len(lines) == MOST:
                return Shown(_sorted(lines), narrowed, True)
            own, identity, name = one["id"] == page.person, decisions["identity"], ""
            if not own and identity.allowed and identity.how in sections.WHOLE:
                name = f"{one.get('given_name', '')} {one.get('family_name', '')}".strip()
                line = Disclosure(
                    one["id"], "read", identity.role or page.actor.role, identity.role not in STAFF,
                    identity.role or page.actor.role, "planning", identity.reason, ["identity"], page.person,
                )  # fmt: skip
                await disclosures.note(c, page.district, line, page.actor)
            lines.append(Line(finished[one["id"]], name, own))
    return Shown(_sorted(lines), narrowed, False)


def _sorted(lines: Sequence[Line]) -> Sequence[Line]:
    return sorted(lines, key=lambda line: (line.name.casefold(), line.plan))


async def _in_course(c: Transaction, keys: Sequence[str]) -> set[str] | None:
    """Who learns today in the course with one of these keys; None where the roster does not know it."""
    known = await launches.classes(c, keys) if keys else []
    if not known:
        return None
    today = clock.today()
    enrolled = [one for id in known for one in await reading.referring_in(c, "enrollment", "class", id)]
    return {one["person"] for one in enrolled if one.get("role") == "student" and current(one, today)}


async def plan(store: Store, district: int, person: str, id: str) -> View:
    """The newest finished version of a plan that is under way, as somebody may see it who launched a page or signed in.
    Refused, and on record, where nothing ties them to the student."""
    async with store.transaction(district) as c:
        found = await stored.load(c, id)
        under_way = {one.id for one in await ties.plans(c, found.student)}
    if id not in under_way or found.version is None:
        raise Refused(
            "plan-not-shown",
            "There is no finished plan here that is in force.",
            "Ask whoever coordinates it; once it is finished, this link shows it.",
        )
    who, actor = Who(person=person), whoever(person)
    return await viewing.plan(store, district, found.student, who, actor, id=id, version=found.version)


# --- a platform registers itself ------------------------------------------------------------------------------------


async def registered(store: Store, token: str, url: str, pass_: str, address: str) -> launches.Invitation:
    """Register the tool at a platform by an invitation, which is used up only where that worked; what was made of it.
    ConfigError where the platform's own description does not hold, Refused where the link opens nothing."""
    invitation = await launches.invited(store, token, use=True)
    if invitation is None:
        raise Refused(
            "lti-link-over", "This link was used already, or is too old.", "Make another one: planbridge lti invite."
        )
    try:
        await _register(store, invitation, url, pass_, address)
    except BaseException:
        await launches.give_back(store, token)
        raise
    return invitation


async def _register(store: Store, of: launches.Invitation, url: str, pass_: str, address: str) -> None:
    if any(one.name == of.name for one in await registers.connections(store, of.district)):
        raise ConfigError("connection-exists", f"A connection named {of.name!r} exists already.", "Make another link.")
    network = Network(private=[PrivateAddress.read(one) for one in of.private_addresses])
    async with _http(network) as http:
        bearer = registration.bearer(pass_)  # Canvas wants it for its description too
        found = registration.described(url, (await http.get(url, headers=bearer)).json())
        body = msgspec.json.encode(registration.asked(address, found.scopes))
        reply = await http.send("POST", found.registration_url, json=body, headers=bearer, repeatable=False)
        told = reply.json() if reply.status in (200, 201) else None
    made = validated(
        LtiSettings, {**registration.settings(found, told), "private_addresses": list(of.private_addresses)}
    )  # fmt: skip
    plain = made.model_dump(mode="json", exclude={"tool_key", "proxy"})
    actor = Actor("The link of planbridge lti invite", "system")
    await registers.add_connection(store, of.district, of.name, CONNECTOR, plain, {}, actor, keeps_roster=False)


# --- refusals -------------------------------------------------------------------------------------------------------


def _unknown(what: str) -> Refused:
    return Refused(
        "platform-unknown", what, "Its administrator and the district register it first: docs/lti.md says how."
    )


def _strange_deployment(deployment: str) -> Refused:
    return Refused(
        "deployment-unknown",
        f"The learning platform is known here, but not this installation of the tool in it: deployment {deployment!r}.",
        "Its administrator tells the district this deployment id; the district adds it: planbridge connections change"
        " NAME --set deployment_ids=...",
    )


def _unsigned() -> Refused:
    return Refused(
        "launch-refused",
        "What your learning platform says of this launch does not hold. Its signature is not right.",
        "Open the link in the platform again; if this page comes back, show it to whoever looks after the platform.",
    )
