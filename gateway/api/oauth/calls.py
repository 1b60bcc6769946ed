"""How a bearer token is turned into a call on behalf of one district."""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import HTTPException, Request, Security
from fastapi.openapi.models import OAuthFlowClientCredentials, OAuthFlows
from fastapi.security import OAuth2, SecurityScopes

from gateway import clock
from gateway.errors import Refused
from gateway.store import automation, clients, keys, vendors
from gateway.store.clients import Client
from gateway.store.database import Ask, Store, Transaction
from gateway.store.registers import Actor
from gateway.viewing import Program

TOKEN_PATH = "/oauth/token"  # noqa: S105 an address


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
    """The call that a bearer token authorizes; 401 without a good one, 403 when it lacks a scope (# RFC 6750 3), or is
    a vendor's with whom no agreement is in force: credentials alone open nothing to it, but its way back from
    the end of one that it plays in a sandbox."""
    async with opened(request, authorization, needed.scopes) as (call, c):
        if call.client.kind == "vendor" and "sandbox" not in needed.scopes:
            await vendors.in_force(c, call.client.id, clock.today())
        return call


@asynccontextmanager
async def opened(
    request: Request, authorization: str | None, scopes: Sequence[str]
) -> AsyncIterator[tuple[Call, Transaction]]:
    """The call that a bearer token with these scopes authorizes, and the transaction in which it was found: a route
    that reads in it needs no second one. Refuses as `calling` does."""
    async with begun(request, authorization, scopes) as (call, c, _):
        yield call, c


@asynccontextmanager
async def begun(
    request: Request,
    authorization: str | None,
    scopes: Sequence[str] = (),
    more: Callable[[Ask], Ask] | None = None,
) -> AsyncIterator[tuple[Call, Transaction, Any]]:
    """The same, and the row that says who holds the token. `more`: what a route asks instead of that row, to have it
    with further columns; what is served is then steady. None for a token of automation, which has no such row."""
    kind, _, given = (authorization or "").partition(" ")
    if kind.lower() != "bearer":
        raise HTTPException(401, "This needs an access token.", {"WWW-Authenticate": "Bearer"})
    store: Store = request.app.state.store
    token = given.strip()
    said = await keys.said(store, token)
    district = automation.district_of(token) if said is None else said.district
    if district is None:
        raise _unknown()
    asked = () if said is None else (more(clients.holding(said)) if more else clients.holding(said),)
    async with store.begun(district, *asked, steady=bool(more)) as (c, found):
        row = next(iter(found[0]), None) if found else None
        held = await automation.held(c, token) if said is None else row and clients.of_holding(row)
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
        yield Call(store, held.client, held.person, held.scopes), c, row


def _unknown() -> HTTPException:
    return HTTPException(401, "The token is not known or has expired.", _challenge("invalid_token"))


def may(scope: str) -> Any:
    """What a route asks for: a call whose token has this scope."""
    return Security(calling, scopes=[scope])


def _challenge(error: str, scopes: Sequence[str] = ()) -> dict[str, str]:
    scope = f', scope="{" ".join(scopes)}"' if scopes else ""
    return {"WWW-Authenticate": f'Bearer error="{error}"{scope}'}
