"""Who calls: how a client gets a token, and how its token is turned into a call on behalf of one district.

Authlib's authorization server asks for clients and keeps tokens by calls that cannot wait for our asynchronous
store, and one grant needs none of its machinery; its errors and its reading of headers and scopes are used here.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Annotated, Any

from authlib.oauth2.rfc6749 import (  # type: ignore[import-untyped]
    InvalidClientError,
    InvalidRequestError,
    InvalidScopeError,
    OAuth2Error,
    UnauthorizedClientError,
    UnsupportedGrantTypeError,
    scope_to_list,
)
from authlib.oauth2.rfc6749.util import extract_basic_authorization  # type: ignore[import-untyped]
from fastapi import APIRouter, Form, HTTPException, Request, Security
from fastapi.openapi.models import OAuthFlowClientCredentials, OAuthFlows
from fastapi.responses import JSONResponse
from fastapi.security import OAuth2, SecurityScopes
from pydantic import BaseModel
from starlette.datastructures import Headers

from gateway.errors import Refused
from gateway.store import clients, keys
from gateway.store.clients import Client
from gateway.store.database import Store, Transaction
from gateway.store.registers import Actor
from gateway.viewing import Program

router = APIRouter(tags=["access"])
TOKEN_PATH = "/oauth/token"  # noqa: S105 an address


class Token(BaseModel):
    """An access token. # RFC 6749 5.1"""

    access_token: str
    token_type: str = "Bearer"  # noqa: S105 a kind
    expires_in: int = clients.TOKEN_SECONDS
    scope: str


@router.post(TOKEN_PATH, response_model=Token)
async def token(
    request: Request,
    grant_type: Annotated[str, Form(description="client_credentials")] = "",
    scope: Annotated[str, Form(description="Separated by spaces; all that the client has when left out.")] = "",
    client_id: Annotated[str, Form(description="Where HTTP Basic is not used.")] = "",
    client_secret: Annotated[str, Form(description="Where HTTP Basic is not used.")] = "",
) -> Any:
    """Get an access token by client credentials. # RFC 6749 4.4"""
    try:
        form = (await request.form()).multi_items()
        if len({name for name, _ in form}) < len(form):
            raise InvalidRequestError("A parameter is given twice.")
        if not grant_type:
            raise InvalidRequestError("grant_type is missing.")
        if grant_type != "client_credentials":
            raise UnsupportedGrantTypeError(grant_type)
        store: Store = request.app.state.store
        client = await _authenticated(store, *_credentials(request.headers, client_id, client_secret))
        if client.suspended:
            raise UnauthorizedClientError("The client's district is suspended.")
        granted = _granted(client, scope)
        return Token(access_token=await clients.issue_token(store, client, granted), scope=" ".join(granted))
    except OAuth2Error as error:
        headers = {name: value for name, value in error.get_headers() if name == "WWW-Authenticate"}
        return JSONResponse(dict(error.get_body()), error.status_code, headers)


def _credentials(headers: Headers, client_id: str, client_secret: str) -> tuple[str, str]:
    """Id and secret from the one place where they stand. # RFC 6749 2.3"""
    if "authorization" not in headers:
        return client_id, client_secret
    if client_secret:
        raise InvalidRequestError("The secret stands in the header and in the form.")
    try:
        user, password = extract_basic_authorization(headers)
    except ValueError:  # not text
        user, password = None, None
    if client_id not in ("", user):
        raise InvalidRequestError("The header and the form name different clients.")
    return user or "", password or ""


async def _authenticated(store: Store, client_id: str, secret: str) -> Client:
    # RFC 6749 appendix A: only visible characters. PostgreSQL would not take every other one.
    visible = client_id.isascii() and client_id.isprintable()
    if visible and (client := await clients.authenticate(store, client_id, secret)):
        return client
    raise InvalidClientError("The client or its secret is not known.", status_code=401)


def _granted(client: Client, asked: str) -> list[str]:
    wanted = set(scope_to_list(asked)) or client.default
    if not wanted <= client.scopes:
        raise InvalidScopeError("The client does not have all the scopes that are asked for.")
    return sorted(wanted)


@dataclass(frozen=True)
class Call:
    """One authenticated call: the client that makes it, and the store it works on, for the client's district.
    `person` is the id of whoever of the roster the token was issued for, None where the client calls for itself;
    `scopes` are what the token, which may have fewer than the client, may do."""

    store: Store
    client: Client
    person: str | None
    scopes: frozenset[str]

    @property
    def district(self) -> int:
        return self.client.district

    @property
    def actor(self) -> Actor:
        """The client, and the person for whom its token was issued."""
        return Actor(self.client.name, "client", self.person, self.client.id)

    @property
    def program(self) -> Program:
        """The client as what it is and may get."""
        one = self.client
        return Program(one.id, one.name, one.kind, one.sections, one.purpose)  # type: ignore[arg-type]


SCHEME = OAuth2(
    scheme_name="client_credentials",
    flows=OAuthFlows(clientCredentials=OAuthFlowClientCredentials(tokenUrl=TOKEN_PATH, scopes=clients.SCOPES)),
    auto_error=False,
)


async def calling(
    request: Request, needed: SecurityScopes, authorization: Annotated[str | None, Security(SCHEME)]
) -> Call:
    """The call that a bearer token authorizes; 401 without a good one, 403 when it lacks a scope. # RFC 6750 3"""
    async with opened(request, authorization, needed.scopes) as (call, _):
        return call


@asynccontextmanager
async def opened(
    request: Request, authorization: str | None, scopes: Sequence[str]
) -> AsyncIterator[tuple[Call, Transaction]]:
    """The call that a bearer token with these scopes authorizes, and the transaction in which it was found: a route
    that reads in it needs no second one. Refuses as `calling` does."""
    kind, _, given = (authorization or "").partition(" ")
    if kind.lower() != "bearer":
        raise HTTPException(401, "This needs an access token.", {"WWW-Authenticate": "Bearer"})
    store: Store = request.app.state.store
    said = await keys.said(store, given.strip())
    if said is None:
        raise _unknown()
    async with store.transaction(said.district) as c:
        held = await clients.held(c, said)
        if held is None:
            raise _unknown()
        if held.client.suspended:
            raise Refused("district-suspended", "The district is suspended.", "Ask who runs Planbridge for it.")
        if not held.scopes.issuperset(scopes):
            raise HTTPException(
                403,
                f"This needs the scope {' '.join(scopes)}, which the token does not have.",
                _challenge("insufficient_scope", scopes),
            )
        yield Call(store, held.client, held.person, held.scopes), c


def _unknown() -> HTTPException:
    return HTTPException(401, "The token is not known or has expired.", _challenge("invalid_token"))


def may(scope: str) -> Any:
    """What a route asks for: a call whose token has this scope."""
    return Security(calling, scopes=[scope])


def _challenge(error: str, scopes: Sequence[str] = ()) -> dict[str, str]:
    scope = f', scope="{" ".join(scopes)}"' if scopes else ""
    return {"WWW-Authenticate": f'Bearer error="{error}"{scope}'}
