"""Requests that are signed by OAuth 1.0a, for OneRoster 1.1, of clients for whom their district has allowed it."""

import hmac
import time
from urllib.parse import unquote

from fastapi import HTTPException, Request

from gateway.api.oauth.calls import Call
from gateway.errors import Refused
from gateway.http import Hash, signature
from gateway.scopes import V1P1
from gateway.store import clients, credentials
from gateway.store.database import Store

SCOPES = frozenset({f"{V1P1}roster-core.readonly"})
"""What a signature opens, whatever the client may do with tokens: the roster without demographics."""
WINDOW = 300
"""Seconds that a clock may differ; so long a nonce is remembered."""
_HASHES: dict[str, Hash] = {"HMAC-SHA1": "sha1", "HMAC-SHA256": "sha256"}
_CHALLENGE = {"WWW-Authenticate": "OAuth"}


async def signed_call(request: Request) -> Call:
    """The call that the signature of a request authorizes; 401 for every one that is wrong, old or used before.
    # RFC 5849 3.2"""
    store: Store = request.app.state.store
    said = _said(request.headers.get("authorization", ""))
    hash = _HASHES.get(said.get("oauth_signature_method", ""))
    key, nonce, at = said.get("oauth_consumer_key", ""), said.get("oauth_nonce", ""), said.get("oauth_timestamp", "")
    if (
        hash is None
        or not key.isprintable()
        or not nonce
        or not at.isdecimal()
        or said.get("oauth_version", "1.0") != "1.0"
    ):
        raise _refused("The signature is not complete, or neither HMAC-SHA1 nor HMAC-SHA256.")
    if len(at) > 12 or abs(time.time() - int(at)) > WINDOW:
        raise _refused("The time of the signature is too far from ours.")
    found = await clients.proving(store, key)
    secret = store.secrets.open(found.sealed_oauth1).decode() if found and found.sealed_oauth1 else ""
    unsigned = {name: value for name, value in said.items() if name not in ("oauth_signature", "realm")}
    address = f"{store.address}{request.scope['raw_path'].decode('ascii', 'replace')}"
    right = signature(secret, hash, request.method, address, request.scope["query_string"], unsigned)
    given = said.get("oauth_signature", "").encode("utf-8", "surrogatepass")
    if found is None or not secret or not hmac.compare_digest(right.encode(), given):
        if found is not None:
            await credentials.count_refused(store, found.client.id)
        raise _refused("The key or the signature is not right.")
    one = found.client
    if not await credentials.is_first_use(store, one.district, one.id, f"nonce/{at}/{nonce}", int(at) + 2 * WINDOW):
        raise _refused("The nonce was used before.")
    if one.suspended:
        raise Refused("district-suspended", "The district is suspended.", "Ask who runs Planbridge for it.")
    return Call(store, one, None, SCOPES & one.scopes)


def _said(header: str) -> dict[str, str]:
    """The parameters of an Authorization header, each once. # RFC 5849 3.5.1"""
    kind, _, rest = header.partition(" ")
    if kind.lower() != "oauth":
        raise _refused("This needs a request that is signed by OAuth 1.0a.")
    found: dict[str, str] = {}
    for part in rest.split(","):
        name, equals, value = part.strip().partition("=")
        if not equals or name in found:
            raise _refused("The header of the signature cannot be read.")
        found[unquote(name)] = unquote(value.strip('"'))
    return found


def _refused(why: str) -> HTTPException:
    return HTTPException(401, why, _CHALLENGE)
