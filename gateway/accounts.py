"""How people prove who they are: with a password and a second factor, or by the word of their district's provider."""

import asyncio
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import pyotp
from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from gateway import access, clock, oidc
from gateway.errors import ConfigError, Refused
from gateway.settings import referenced
from gateway.store import accounts, providers, sessions
from gateway.store.accounts import Account
from gateway.store.database import Store, Transaction
from gateway.store.present import on_roster
from gateway.store.providers import Provider
from gateway.store.sessions import Session

SHORTEST, LONGEST = 12, 200
RECOVERY_CODES = 10
HASHER = PasswordHasher()
"""argon2id with what its library recommends: 64 MB a try."""


async def sign_in(store: Store, district: int, name: str, password: str, code: str, browser: str = "") -> str:
    """A session, for whoever has an account of that name with this password, and the code of their second factor
    where they have one; `browser` is what theirs was given by `known_browser`. Refused in the same words, and after the
    same time, whatever was wrong."""
    if not await accounts.may_try(store, district, name, browser):
        raise Refused(
            "sign-in-waits",
            "There were too many wrong tries with this name.",
            "Wait a while; each further wrong try makes the wait longer.",
        )
    async with store.transaction(district) as c:
        account = await accounts.named(store, c, name)
    hashed = account.password_hash if account is not None else None
    right = await asyncio.to_thread(_is_password, hashed or _nobody(), password)
    if account is None or hashed is None or not right:
        raise _WRONG
    async with store.transaction(district) as c:
        if await accounts.named(store, c, name) != account:  # set anew, or shut out, while the password was looked at
            raise _WRONG
        if account.totp is not None and not await _has_code(c, account, code):
            raise _WRONG
        await accounts.succeeded(store, c, district, account, browser)
        return await _begin(c, district, account.person, "account", second_factor=account.totp is not None)


_WRONG = Refused(
    "sign-in-refused",
    "Name, password or code is not right.",
    "Try again with a new code, or ask your district for a link to set them anew.",
)


def known_browser(store: Store, district: int, name: str) -> str:
    """What a browser may show at its next sign-in with this name."""
    return accounts.known_browser(store, district, name)


async def _begin(c: Transaction, district: int, person: str, means: str, *, second_factor: bool) -> str:
    """A session for somebody who may have one. Refused otherwise."""
    found = await on_roster(c, district, person)
    if found is None or await accounts.is_suspended(c, person):
        raise _WRONG
    if needs_second_factor(found[1]) and not second_factor:
        raise _NO_FACTOR
    return await sessions.begin(c, district, found[0], means, second_factor=second_factor)


_NO_FACTOR = Refused(
    "second-factor-missing",
    "Your role sees more than your own students, so a password alone is not enough.",
    "Ask your district for a link to set up a second factor: planbridge accounts reset-factor.",
)


def needs_second_factor(person: Mapping[str, Any]) -> bool:
    """Whether somebody's roles of today show them more than their own students."""
    today = clock.today().isoformat()
    return access.sees_beyond_own(
        role["role"] for role in person.get("roles", ()) if role.get("begin_on", "") <= today <= role.get("end_on", "9")
    )


async def current(store: Store, token: str) -> Session | None:
    """Whose session it is; None where it is over, or its person's role came to need more than they showed."""
    session = await sessions.found(store, token)
    if session is None or (needs_second_factor(session.doc) and not session.second_factor):
        return None
    return session


# --- a second factor of ours # RFC 6238 -----------------------------------------------------------------------------


async def _has_code(c: Transaction, account: Account, code: str) -> bool:
    code = "".join(code.split()).upper()
    if account.totp is not None and (step := _step(account.totp, code)) is not None:
        return await accounts.spend_step(c, account, step)
    return await accounts.spend_recovery(c, account, code.replace("-", ""))


def _step(seed: str, code: str) -> int | None:
    """The step of time whose code it is: this one or a neighbour, because clocks differ."""
    totp, now = pyotp.TOTP(seed), clock.now()
    if not (code.isascii() and code.isdigit()):
        return None
    for n in (0, -1, 1):
        if secrets.compare_digest(totp.at(for_time=now, counter_offset=n), code):
            return totp.timecode(now) + n
    return None


def seed_address(seed: str, name: str) -> str:
    """What an authenticator reads a seed from."""
    return pyotp.TOTP(seed).provisioning_uri(name=name, issuer_name="Planbridge")


# --- enrolment ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Invited:
    """Whom a link is for, the seed it offers, and whether they need a second factor."""

    name: str
    seed: str = field(repr=False)
    needs_factor: bool


async def invited(store: Store, token: str) -> Invited | None:
    """What a link is for; None where it opens nothing. Looking uses nothing up."""
    district = sessions.district_of(token)
    if district is None:
        return None
    async with store.transaction(district) as c:
        link = await accounts.opened_by(store, c, token)
        person = None if link is None else await on_roster(c, district, link.account.person)
    if link is None or person is None:
        return None
    return Invited(link.account.name, link.totp, needs_second_factor(person[1]))


async def enrol(store: Store, token: str, password: str, code: str) -> Sequence[str] | None:
    """Set password and second factor by a link, once: the recovery codes, which are not kept and cannot be shown
    again; none without a second factor. None where the link opens nothing. Refused, with the link still good, where
    the password is weak, the code wrong, or a factor is needed and none was set up."""
    who = await invited(store, token)
    if who is None:
        return None
    _refuse_weak(password, who.name)
    step = _step(who.seed, "".join(code.split())) if code.strip() else None
    if step is None and (code.strip() or who.needs_factor):
        raise Refused(
            "enrol-code-wrong",
            "The code is not the one that belongs to this key, or is too old.",
            "Add the key to your authenticator, then type the code that it shows now.",
        )
    hashed = await asyncio.to_thread(HASHER.hash, password)
    codes = [secrets.token_hex(8).upper() for _ in range(RECOVERY_CODES)] if step is not None else []
    district = int(token.partition(".")[0])
    async with store.transaction(district) as c:
        link = await accounts.opened_by(store, c, token, use=True)
        if link is None:
            return None
        seed = link.totp if step is not None else None
        await accounts.enrol(store, c, district, link.account, hashed, seed, step or 0, codes)
    return codes


def _refuse_weak(password: str, name: str) -> None:
    if not SHORTEST <= len(password) <= LONGEST or name in password.lower() or len(set(password)) < 5:
        raise Refused(
            "password-weak",
            f"A password has {SHORTEST} characters or more, not only a few different ones, and not your name in it.",
            "Several words in a row are easy to remember.",
        )


def _is_password(hashed: str, password: str) -> bool:
    try:
        return HASHER.verify(hashed, password)
    except (VerificationError, InvalidHashError):
        return False


@cache
def _nobody() -> str:
    """The hash of a password that nobody has."""
    return HASHER.hash(secrets.token_urlsafe(32))


# --- by the word of the district's provider -------------------------------------------------------------------------


async def leave(store: Store, district: int, redirect_uri: str, next: str) -> tuple[str, str]:
    """Where somebody is sent to sign in at their district's provider, and the state by which they come back."""
    provider = await _provider(store, district)
    of = await oidc.metadata(provider.issuer, provider.private_addresses)
    begun = await providers.begin(store, district, next)
    where = oidc.address(of, provider.client_id, redirect_uri, begun.state, begun.nonce, begun.verifier)
    return where, begun.state


async def come_back(store: Store, state: str, code: str, redirect_uri: str) -> tuple[str, str]:
    """A session for whoever the provider vouches for, and where they were going. Refused where it vouches for nobody,
    or for nobody or several on the roster."""
    taken = await providers.take(store, state)
    if taken is None:
        raise Refused("sign-in-over", "This sign-in took too long, or was finished already.", "Sign in again.")
    district, begun = taken
    provider = await _provider(store, district)
    of = await oidc.metadata(provider.issuer, provider.private_addresses)
    secret = _secret(provider)
    token = await oidc.redeemed(
        of, provider.private_addresses, provider.client_id, secret, redirect_uri, code, begun.verifier
    )
    claims = await oidc.verified(
        provider.issuer, provider.private_addresses, token, [provider.client_id], begun.nonce
    )  # fmt: skip
    async with store.transaction(district) as c:
        person = await _matched(c, district, provider, claims)
        factor = provider.second_factor or oidc.says_second_factor(claims)
        return await _begin(c, district, person, "provider", second_factor=factor), begun.next


async def vouched_for(store: Store, district: int, client_id: str, token: str) -> tuple[str, oidc.Claims]:
    """The person whom a token of the district's provider, issued to this client's application, is about. Refused as
    at sign-in. # RFC 8693"""
    provider = await _provider(store, district)
    audiences = [aud for aud, client in provider.audiences.items() if client == client_id]
    claims = await oidc.verified(provider.issuer, provider.private_addresses, token, audiences)
    async with store.transaction(district) as c:
        person = await _matched(c, district, provider, claims)
        found = await on_roster(c, district, person)
        if found is None or await accounts.is_suspended(c, person):
            raise _UNMATCHED
        if needs_second_factor(found[1]) and not (provider.second_factor or oidc.says_second_factor(claims)):
            raise _NO_FACTOR
    return found[0], claims


async def _provider(store: Store, district: int) -> Provider:
    provider = await providers.of(store, district)
    if provider is None:
        raise ConfigError(
            "provider-unknown",
            "This district has no identity provider of its own here.",
            "Sign in with an account, or set one: planbridge accounts provider.",
        )
    return provider


def _secret(provider: Provider) -> str:
    if not provider.secret_reference:
        return ""
    found = referenced("the identity provider", provider.secret_reference)
    if found is None:
        raise ConfigError(
            "secret-reference", "The provider's secret is named by no variable and no file.",
            "Give it as env:NAME or file:PATH.",
        )  # fmt: skip
    return found


async def _matched(c: Transaction, district: int, provider: Provider, claims: oidc.Claims) -> str:
    value = claims.get(provider.claim)
    if not isinstance(value, str) or not value.strip():
        raise _UNMATCHED
    # Some say it in words.
    if provider.claim == "email" and str(claims.get("email_verified", "")).lower() in ("false", "0", "no"):
        raise _UNMATCHED  # anybody can claim an address
    found = await providers.people(c, district, provider.matched_by, value.strip())
    if len(found) != 1:
        raise _UNMATCHED
    return found[0][0]


_UNMATCHED = Refused(
    "person-not-matched",
    "Your district's sign-in knows you, but that is not exactly one person on the roster today.",
    "Ask your district to compare what its sign-in says of you with what its student information system has.",
)
