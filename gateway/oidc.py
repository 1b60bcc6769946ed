"""What an OpenID provider says of somebody: where it is asked, and when its word counts. # OpenID Connect Core 1.0"""

import base64
import hashlib
import time
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from gateway.errors import ConfigError, Refused
from gateway.http import Http, MemoryTokens, Network, PrivateAddress

ALGORITHMS = ("RS256", "PS256", "ES256", "ES384", "EdDSA")
"""Signatures by a key that only the provider has: never a shared one, never none."""
SKEW_SECONDS = 60
FRESH_SECONDS = 300
"""How long what a provider published of itself is taken as it was."""

Claims = Mapping[str, Any]


@dataclass(frozen=True)
class Metadata:
    """What a provider publishes of itself. # OpenID Connect Discovery 1.0"""

    issuer: str
    authorization_endpoint: str
    token_endpoint: str
    keys: KeySet
    basic: bool
    read_at: float


_known: dict[str, Metadata] = {}


async def metadata(issuer: str, private: Sequence[str], *, again: bool = False) -> Metadata:
    """A provider's own description and keys. ConfigError where they are not what an issuer of that name publishes."""
    found = _known.get(issuer)
    if found is not None and not again and found.read_at > time.monotonic() - FRESH_SECONDS:
        return found
    async with _http(private) as http:
        told = (await http.get(issuer.rstrip("/") + "/.well-known/openid-configuration")).json()
        try:
            if told["issuer"] != issuer:
                raise ValueError
            keys = KeySet.import_key_set((await http.get(told["jwks_uri"])).json())
            found = Metadata(
                issuer,
                str(told["authorization_endpoint"]),
                str(told["token_endpoint"]),
                keys,
                "client_secret_basic" in told.get("token_endpoint_auth_methods_supported", ["client_secret_basic"]),
                time.monotonic(),
            )
        except (KeyError, TypeError, ValueError, JoseError):
            raise ConfigError(
                "provider-unreadable",
                "What the identity provider publishes of itself is not that of this issuer.",
                "Give the issuer letter by letter as the provider writes it: planbridge accounts provider.",
            ) from None
    _known[issuer] = found
    return found


@asynccontextmanager
async def _http(private: Sequence[str]) -> AsyncIterator[Http]:
    network = Network(private=[PrivateAddress.read(entry) for entry in private])
    async with Http(None, tokens=MemoryTokens(), network=network, timeout=15.0, attempts=3, longest_wait=5.0) as http:
        yield http


def address(of: Metadata, client_id: str, redirect_uri: str, state: str, nonce: str, verifier: str) -> str:
    """Where somebody's browser is sent to sign in. # RFC 7636 4.3"""
    query = {
        "response_type": "code",
        "client_id": client_id,
        "redirect_uri": redirect_uri,
        "scope": "openid email profile",
        "state": state,
        "nonce": nonce,
        "code_challenge": challenge(verifier),
        "code_challenge_method": "S256",
    }
    return f"{of.authorization_endpoint}{'&' if '?' in of.authorization_endpoint else '?'}{urlencode(query)}"


def challenge(verifier: str) -> str:
    """# RFC 7636 4.2, S256"""
    return base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()


async def redeemed(
    of: Metadata, private: Sequence[str], client_id: str, secret: str, redirect_uri: str, code: str, verifier: str
) -> str:
    """The ID token that the provider gives for a code. Refused where it gives none."""
    form = {
        "grant_type": "authorization_code", "code": code, "redirect_uri": redirect_uri, "code_verifier": verifier,
    }  # fmt: skip
    headers = {"content-type": "application/x-www-form-urlencoded"}
    if secret and of.basic:
        given = f"{quote(client_id, safe='')}:{quote(secret, safe='')}"  # RFC 6749 2.3.1
        headers["authorization"] = f"Basic {base64.b64encode(given.encode()).decode()}"
    else:
        form |= {"client_id": client_id} | ({"client_secret": secret} if secret else {})
    async with _http(private) as http:
        reply = await http.send(
            "POST", of.token_endpoint, json=urlencode(form).encode(), headers=headers, repeatable=False
        )
    told = reply.json() if reply.status == 200 else None
    if not isinstance(told, dict) or not isinstance(told.get("id_token"), str):
        raise _refused("It took the code for the sign-in for nothing.")
    return str(told["id_token"])


async def verified(
    issuer: str, private: Sequence[str], token: str, audiences: Collection[str], nonce: str | None = None
) -> Claims:
    """What a token says, once it is sure that this provider said it, to one of these, now. # OIDC Core 3.1.3.7
    Refused otherwise."""
    claims = None
    for again in (False, True):  # a key that we do not know may be newer than what we read
        of = await metadata(issuer, private, again=again)
        try:
            decoded = jwt.decode(token, of.keys, algorithms=list(ALGORITHMS))
            claims = decoded.claims
            break
        except (JoseError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
            continue
    if claims is None:
        raise _refused("The signature of its token is not right.")
    # RFC 8725 3.11: an access token or a notice of a logout is signed by the same keys
    if str(decoded.header.get("typ", "JWT")).lower() != "jwt" or "events" in claims:
        raise _refused("Its token is of another kind.")
    named = claims.get("aud")
    named = [named] if isinstance(named, str) else named if isinstance(named, list) else []
    now = time.time()
    if claims.get("iss") != issuer or not set(audiences) & {one for one in named if isinstance(one, str)}:
        raise _refused("Its token is for somebody else.")
    if len(named) > 1 and claims.get("azp") not in audiences:
        raise _refused("Its token is for somebody else.")
    if not _number(claims.get("exp")) > now - SKEW_SECONDS or not _number(claims.get("iat")) < now + SKEW_SECONDS:
        raise _refused("Its token is over, or not begun.")
    if nonce is not None and claims.get("nonce") != nonce:
        raise _refused("Its token is of another sign-in.")
    return claims


def _number(said: Any) -> float:
    """A moment, in seconds; no number where it is none, or of the year 5000."""
    is_one = isinstance(said, int | float) and not isinstance(said, bool) and 0 <= said < 10**11
    return float(said) if is_one else float("nan")


def _refused(why: str) -> Refused:
    return Refused("provider-refused", f"The district's sign-in did not vouch for anybody. {why}", "Sign in again.")


# RFC 8176 2: several, or one that a password is not
_FACTORS = frozenset({"mfa", "otp", "hwk", "swk", "sc"})


def says_second_factor(claims: Claims) -> bool:
    """Whether the provider says that it saw more than a password."""
    means = claims.get("amr")
    return isinstance(means, list) and not _FACTORS.isdisjoint(one for one in means if isinstance(one, str))
