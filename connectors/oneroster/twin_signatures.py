"""Whether the client who is known signed a request: OAuth 1.0a without a token, written from RFC 5849."""

import hmac
import time
from base64 import b64encode
from collections.abc import Sequence
from urllib.parse import parse_qsl, quote, unquote

from starlette.requests import Request

from connectors.oneroster.twin_errors import Denied

_DIGESTS = {"HMAC-SHA1": "sha1", "HMAC-SHA256": "sha256"}
_NEEDED = {
    "oauth_consumer_key", "oauth_signature_method", "oauth_timestamp", "oauth_nonce", "oauth_signature",
}  # fmt: skip
_KNOWN = _NEEDED | {"oauth_version", "oauth_token"}


class Signatures:
    """The one client's key and secret. No nonce is good twice, and no timestamp that is far from the clock."""

    def __init__(self, key: str, secret: str, hashes: Sequence[str], window: float) -> None:
        self._key = key
        self._hashes = hashes
        self._window = window
        self._seen: set[tuple[str, str]] = set()
        self.revoked = False
        self.ahead = 0.0
        self.renew(secret)

    def demand(self, request: Request, wanted: frozenset[str]) -> None:
        """Refuse with 401 whatever is not signed as it should be; there are no scopes."""
        said = _said(request)
        if said is None or not said.keys() >= _NEEDED:
            raise Denied(401, "The request is not signed: an OAuth header is missing, or a parameter in it.")
        if unknown := said.keys() - _KNOWN:
            raise Denied(401, f"The OAuth header has a parameter that is not known: {sorted(unknown)[0]}.")
        method = said["oauth_signature_method"]
        if method not in self._hashes:
            raise Denied(401, f"The signature method is none of {', '.join(self._hashes)}.")
        if self.revoked or said["oauth_consumer_key"] != self._key or said.get("oauth_version", "1.0") != "1.0":
            raise Denied(401, "The consumer key is unknown.")
        text = _signed(request, said).encode()
        right = b64encode(hmac.digest(f"{_quoted(self._secret)}&".encode(), text, _DIGESTS[method])).decode()
        if not hmac.compare_digest(right.encode(), said["oauth_signature"].encode()):
            raise Denied(401, "The signature is wrong.")
        self._demand_fresh(said["oauth_timestamp"], said["oauth_nonce"])

    def _demand_fresh(self, timestamp: str, nonce: str) -> None:
        if not timestamp.isdecimal() or abs(int(timestamp) - time.time() - self.ahead) > self._window:
            raise Denied(401, "The timestamp is too far from this server's clock.")
        if (timestamp, nonce) in self._seen:
            raise Denied(401, "The nonce was used before.")
        self._seen.add((timestamp, nonce))

    def forget(self) -> None:
        """There is nothing that was given out."""

    def renew(self, secret: str) -> None:
        self._secret = secret


def _said(request: Request) -> dict[str, str] | None:
    """The parameters of the Authorization header, decoded; None where it is none of OAuth 1, or names one twice."""
    scheme, _, rest = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "oauth":
        return None
    pairs = [part.strip().partition("=") for part in rest.split(",") if part.strip()]
    said = {unquote(name): unquote(value.strip('"')) for name, _, value in pairs}
    said.pop("realm", None)
    return said if len(said) >= len([name for name, *_ in pairs if name != "realm"]) else None


def _signed(request: Request, said: dict[str, str]) -> str:
    """The signature base string, RFC 5849 3.4.1: method, address without its query, every parameter in order."""
    scheme = request.url.scheme
    host = request.headers["host"].lower().removesuffix({"http": ":80", "https": ":443"}[scheme])
    path = request.scope.get("raw_path", b"").decode("ascii").partition("?")[0] or "/"
    query = request.scope["query_string"].decode("ascii")
    sent = [*parse_qsl(query, keep_blank_values=True), *said.items()]
    pairs = sorted((_quoted(name), _quoted(value)) for name, value in sent if name != "oauth_signature")
    parameters = "&".join(f"{name}={value}" for name, value in pairs)
    return "&".join((request.method, _quoted(f"{scheme}://{host}{path}"), _quoted(parameters)))


def _quoted(text: str) -> str:
    return quote(text, safe="-._~")
