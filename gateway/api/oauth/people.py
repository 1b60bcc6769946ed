"""The grants by which a client acts for a person: a code that the person allowed, its refreshing, token exchange."""

from collections.abc import Sequence

from authlib.oauth2.rfc6749 import (  # type: ignore[import-untyped]
    InvalidGrantError,
    InvalidRequestError,
    InvalidScopeError,
    scope_to_list,
)

from gateway import accounts, oidc
from gateway.api.oauth.published import MORE
from gateway.api.oauth.tokens import GRANTS, Asking, Token
from gateway.errors import ConfigError, Refused
from gateway.store import grants
from gateway.store.clients import Client
from gateway.store.grants import Issued
from gateway.store.present import on_roster

FOR_PEOPLE = frozenset(
    {
        "students.read",
        "plans.read",
        "plan.write",
        "record.read",
        "results.read",
        "input.write",
        "deliveries.read",
        "deliveries.write",
    }
)
"""What a client can do for a person. The rest is the district's business, which nobody allows for it by a click."""
AUTHORIZE_PATH = "/oauth/authorize"
EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"
ACCESS_TOKEN = "urn:ietf:params:oauth:token-type:access_token"  # noqa: S105 a kind
ID_TOKENS = ("urn:ietf:params:oauth:token-type:id_token", "urn:ietf:params:oauth:token-type:jwt")


def scopes_for(client: Client, asked: str) -> Sequence[str]:
    """The scopes that a person is asked to allow. InvalidScopeError where the client may not have one of them for a
    person, or none is left."""
    wanted = set(scope_to_list(asked) or ()) or client.default & FOR_PEOPLE
    if not wanted or not wanted <= client.scopes & FOR_PEOPLE:
        raise InvalidScopeError("The client cannot have all of these scopes for a person.")
    return sorted(wanted)


async def by_code(asking: Asking) -> Token:
    """# RFC 6749 4.1.3 and RFC 7636 4.5"""
    store, client, form = asking.store, asking.client, asking.form
    verifier = form.get("code_verifier", "")
    if not form.get("code") or not 43 <= len(verifier) <= 128 or not verifier.isascii():
        raise InvalidRequestError("code or code_verifier is missing.")
    allowed = await grants.take_code(
        store, client, form["code"], form.get("redirect_uri", ""), oidc.challenge(verifier)
    )  # fmt: skip
    if allowed is None:
        raise InvalidGrantError("The code is not known, was used, is too old, or was given to somebody else.")
    return _answer(await grants.issue(store, client, allowed, allowed.scopes))


async def by_refresh(asking: Asking) -> Token:
    """# RFC 6749 6, rotated as RFC 9700 4.14.2 asks"""
    store, client, form = asking.store, asking.client, asking.form
    if not form.get("refresh_token"):
        raise InvalidRequestError("refresh_token is missing.")
    taken = await grants.take_refresh(store, client, form["refresh_token"])
    if taken is None:
        raise InvalidGrantError("The refresh token is not known, was used, or is too old.")
    allowed, until = taken
    wanted = scope_to_list(form.get("scope", "")) or allowed.scopes
    if not set(wanted) <= set(allowed.scopes):
        raise InvalidScopeError("The person did not allow all of these scopes.")
    async with store.transaction(client.district) as c:
        person = await on_roster(c, client.district, allowed.person)
    if person is None or (accounts.needs_second_factor(person[1]) and not allowed.second_factor):
        raise _gone()
    granted = sorted(set(wanted) & client.scopes)  # the district may have taken some away meanwhile
    return _answer(await grants.issue(store, client, allowed, granted, until))


async def by_exchange(asking: Asking) -> Token:
    """A token of the district's identity provider, issued to this client's application, for one of ours. # RFC 8693"""
    store, client, form = asking.store, asking.client, asking.form
    token = form.get("subject_token", "")
    if not token or form.get("subject_token_type") not in ID_TOKENS:
        raise InvalidRequestError("subject_token is missing, or its type is none that is taken here.")
    if form.get("requested_token_type", ACCESS_TOKEN) != ACCESS_TOKEN or "actor_token" in form:
        raise InvalidRequestError("Only access tokens are given, and the client itself is who acts.")
    scopes = scopes_for(client, form.get("scope", ""))
    try:
        person, claims = await accounts.vouched_for(store, client.district, client.id, token)
    except (Refused, ConfigError) as error:
        raise InvalidGrantError(error.message) from None
    # Without its signature: of one that is good others can be written that are good as well.
    once = str(claims["jti"]) if isinstance(claims.get("jti"), str) else token.rpartition(".")[0]
    issued = await grants.exchange(store, client, person, scopes, once, float(claims["exp"]) + oidc.SKEW_SECONDS)
    if issued is None:
        raise InvalidGrantError("This token was exchanged before.")
    return _answer(issued, ACCESS_TOKEN)


def _answer(issued: Issued | None, kind: str | None = None) -> Token:
    if issued is None:
        raise _gone()
    scope = " ".join(issued.scopes)
    return Token(access_token=issued.access, scope=scope, refresh_token=issued.refresh, issued_token_type=kind)


def _gone() -> InvalidGrantError:
    return InvalidGrantError("The person is not on the roster any more, is suspended, or has to sign in again.")


GRANTS |= {"authorization_code": by_code, "refresh_token": by_refresh, EXCHANGE: by_exchange}
MORE |= {
    "authorization_endpoint": AUTHORIZE_PATH,
    "response_types_supported": ["code"],
    "response_modes_supported": ["query"],
    "code_challenge_methods_supported": ["S256"],
    "authorization_response_iss_parameter_supported": True,
}
