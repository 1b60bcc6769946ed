"""How a token is ended before its time, and how a client asks whether one is good."""

from collections.abc import Mapping
from typing import Annotated, Any

from authlib.oauth2.rfc6749 import InvalidRequestError, OAuth2Error  # type: ignore[import-untyped]
from fastapi import APIRouter, Form, Request, Response
from pydantic import BaseModel

from gateway.api.oauth import proofs
from gateway.store import clients, keys
from gateway.store.database import Store

router = APIRouter(tags=["access"])
REVOKE_PATH, INTROSPECT_PATH = "/oauth/revoke", "/oauth/introspect"


class State(BaseModel):
    """What a token is; of one that is not good, or not for the asker to know of, only that. # RFC 7662 2.2"""

    active: bool
    scope: str | None = None
    client_id: str | None = None
    token_type: str | None = None
    exp: int | None = None
    iat: int | None = None
    sub: str | None = None
    aud: str | None = None
    iss: str | None = None
    jti: str | None = None


Given = Annotated[str, Form(description="The token.")]
Hint = Annotated[str, Form(description="access_token, or nothing.")]


@router.post(REVOKE_PATH, status_code=200, responses=proofs.RESPONSES)
async def revoke(request: Request, token: Given = "", token_type_hint: Hint = "") -> Response:
    """End a token of one's own. What is none, or somebody else's, is answered alike. # RFC 7009 2"""
    try:
        await proofs.refuse_many(request)
        sent = await proofs.form(request)
        client = await proofs.authenticated(request, sent)
        store: Store = request.app.state.store
        said = await keys.said(store, _token(sent))
        if said is not None and said.district == client.district:
            async with store.transaction(client.district) as c:
                await clients.end_token(c, said.jti, client.id)
        return Response()
    except OAuth2Error as error:
        return proofs.answered(error)


@router.post(INTROSPECT_PATH, response_model=State, response_model_exclude_none=True, responses=proofs.RESPONSES)
async def introspect(request: Request, token: Given = "", token_type_hint: Hint = "") -> Any:
    """Ask whether a token is good and what for: a client's own, or, with the scope tokens.introspect, any of its
    district. # RFC 7662 2"""
    try:
        await proofs.refuse_many(request)
        sent = await proofs.form(request)
        client = await proofs.authenticated(request, sent)
        store: Store = request.app.state.store
        said = await keys.said(store, _token(sent))
        if said is None or said.district != client.district or client.suspended:
            return State(active=False)
        async with store.transaction(client.district) as c:
            held = await clients.held(c, said)
        if held is None or (held.client.id != client.id and "tokens.introspect" not in client.scopes):
            return State(active=False)
        return State(
            active=True,
            scope=" ".join(sorted(held.scopes)),
            client_id=held.client.id,
            token_type="Bearer",  # noqa: S106 a kind
            exp=int(held.expires_at.timestamp()),
            iat=int(held.issued_at.timestamp()),
            sub=held.person or held.client.id,
            aud=store.address,
            iss=store.address,
            jti=said.jti,
        )
    except OAuth2Error as error:
        return proofs.answered(error)


def _token(sent: Mapping[str, str]) -> str:
    if not (given := sent.get("token", "")):
        raise InvalidRequestError("token is missing.")
    return given
