"""What anybody may know of the OAuth 2 server: where its endpoints are, what it takes, and its public keys."""

from typing import Any

from authlib.oauth2.rfc8414 import AuthorizationServerMetadata  # type: ignore[import-untyped]
from fastapi import APIRouter, Request, Response

from gateway.api.oauth.calls import TOKEN_PATH
from gateway.api.oauth.ending import INTROSPECT_PATH, REVOKE_PATH
from gateway.api.oauth.proofs import ALGORITHMS
from gateway.api.oauth.tokens import GRANTS
from gateway.store import keys
from gateway.store.clients import SCOPES
from gateway.store.database import Store

router = APIRouter(tags=["access"])
JWKS_PATH = "/.well-known/jwks.json"
METHODS = ["client_secret_basic", "client_secret_post", "private_key_jwt"]
MORE: dict[str, Any] = {"response_types_supported": []}
"""What other modules serve: an endpoint as its path, which begins with a slash, or a list of what it takes."""


@router.get("/.well-known/oauth-authorization-server")
async def metadata(request: Request) -> dict[str, Any]:
    """Where tokens come from and what they are asked with. # RFC 8414 3"""
    store: Store = request.app.state.store
    return dict(described(store.address))


def described(address: str) -> AuthorizationServerMetadata:
    """The metadata of the server at this address."""
    found: dict[str, Any] = {
        "issuer": address,
        "token_endpoint": TOKEN_PATH,
        "revocation_endpoint": REVOKE_PATH,
        "introspection_endpoint": INTROSPECT_PATH,
        "jwks_uri": JWKS_PATH,
        "scopes_supported": list(SCOPES),
        "grant_types_supported": sorted(GRANTS),
        **{
            f"{endpoint}_endpoint_auth_{what}": list(values)
            for endpoint in ("token", "revocation", "introspection")
            for what, values in (("methods_supported", METHODS), ("signing_alg_values_supported", ALGORITHMS))
        },
        **MORE,
    }
    return AuthorizationServerMetadata(
        {
            name: f"{address}{value}" if isinstance(value, str) and value.startswith("/") else value
            for name, value in found.items()
        }
    )


@router.get(JWKS_PATH)
async def jwks(request: Request, response: Response) -> dict[str, Any]:
    """The public keys of access tokens. Ask again when a token names one that is not among them. # RFC 7517 5"""
    return {"keys": await keys.published(request.app.state.store)}
