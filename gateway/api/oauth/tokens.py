"""The token endpoint: one route for every grant, how often it may be asked, and which scopes a token gets."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from authlib.oauth2.rfc6749 import (  # type: ignore[import-untyped]
    InvalidRequestError,
    InvalidScopeError,
    OAuth2Error,
    UnauthorizedClientError,
    UnsupportedGrantTypeError,
    scope_to_list,
)
from fastapi import APIRouter, Form, Request
from pydantic import BaseModel

from gateway import scopes
from gateway.api.oauth import proofs
from gateway.api.oauth.calls import TOKEN_PATH
from gateway.store import clients, credentials, rates
from gateway.store.clients import SCOPES, Client
from gateway.store.database import Store

router = APIRouter(tags=["access"])
PER_CLIENT = 60
"""Tokens a minute that one client gets: each lasts an hour, and one is enough for all its processes."""


class Token(BaseModel):
    """An access token. # RFC 6749 5.1"""

    access_token: str
    token_type: str = "Bearer"  # noqa: S105 a kind
    expires_in: int = clients.TOKEN_SECONDS
    scope: str
    refresh_token: str | None = None
    issued_token_type: str | None = None


@dataclass(frozen=True)
class Asking:
    """A client that has proved who it is, and what it sent."""

    store: Store
    request: Request
    form: Mapping[str, str]
    client: Client


Grant = Callable[[Asking], Awaitable[Token]]
GRANTS: dict[str, Grant] = {}
"""grant_type -> what gives the token, or raises one of Authlib's OAuth2Error."""


@router.post(TOKEN_PATH, response_model=Token, response_model_exclude_none=True, responses=proofs.RESPONSES)
async def token(
    request: Request,
    grant_type: Annotated[str, Form(description="Such as client_credentials.")] = "",
    scope: Annotated[str, Form(description="Separated by spaces; the client's default where it is left out.")] = "",
    client_id: Annotated[str, Form(description="Where HTTP Basic is not used.")] = "",
    client_secret: Annotated[str, Form(description="Where HTTP Basic is not used.")] = "",
    client_assertion_type: Annotated[str, Form(description="Where a key is used: RFC 7523.")] = "",
    client_assertion: Annotated[str, Form(description="Where a key is used: a signed JWT.")] = "",
) -> Any:
    """Get an access token. # RFC 6749 4.4, RFC 7523 2.2"""
    try:
        store: Store = request.app.state.store
        await proofs.refuse_many(request)
        form = await proofs.form(request)
        if not grant_type:
            raise InvalidRequestError("grant_type is missing.")
        if (grant := GRANTS.get(grant_type)) is None:
            raise UnsupportedGrantTypeError(grant_type)
        client = await proofs.authenticated(request, form)
        if client.suspended:
            raise UnauthorizedClientError("The client's district is suspended.")
        if (wait := await rates.count(store, f"client/{client.id}", PER_CLIENT)) is not None:
            raise proofs.TooMany(wait)
        return await grant(Asking(store, request, form, client))
    except OAuth2Error as error:
        return proofs.answered(error)


async def _client_credentials(asking: Asking) -> Token:
    """# RFC 6749 4.4"""
    wanted = await granted(asking.store, asking.client, asking.form.get("scope", ""))
    given = await clients.issue_token(asking.store, asking.client, wanted)
    return Token(access_token=given, scope=" ".join(wanted))


GRANTS["client_credentials"] = _client_credentials


async def granted(store: Store, client: Client, asked: str) -> list[str]:
    """The scopes that a token gets: those asked for, the client's default where none are. InvalidScopeError for one
    that the client lacks, or that there is not; one that was nearly right is named and counted."""
    wanted = set(scope_to_list(asked)) or client.default
    for scope in sorted(wanted - SCOPES.keys()):
        if (meant := scopes.meant(scope, SCOPES)) is not None:
            await credentials.count_miss(store, client.district, client.id, meant)
            raise InvalidScopeError(f"A scope is not spelt exactly as it is defined. Perhaps {meant} is meant.")
    if not wanted <= client.scopes:
        raise InvalidScopeError("The client does not have all the scopes that are asked for.")
    return sorted(wanted)
