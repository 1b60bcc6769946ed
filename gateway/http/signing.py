"""How a request is signed by OAuth 1.0a (RFC 5849), two-legged: a key and its secret, no token.

Ours, because Authlib's core signs by HMAC-SHA1 alone, decodes keys that look encoded, and loses the port of an IPv6
address; tests hold it against oauthlib.
"""

import base64
import hmac
import time
from collections.abc import Iterator
from typing import Literal
from urllib.parse import quote, unquote_to_bytes
from uuid import uuid4

import httpx

Hash = Literal["sha1", "sha256"]
FORM = "application/x-www-form-urlencoded"


def signed(key: str, secret: str, hash: Hash, request: httpx.Request) -> str:
    """The Authorization header of this one request: a nonce serves once, so one that is repeated is signed again."""
    oauth = {
        "oauth_consumer_key": key,
        "oauth_nonce": uuid4().hex,
        "oauth_signature_method": f"HMAC-{hash.upper()}",
        "oauth_timestamp": str(int(time.time())),
        "oauth_version": "1.0",
    }
    text = _text(request, oauth)
    oauth["oauth_signature"] = _keyed(secret, hash, text)
    return "OAuth " + ", ".join(f'{name}="{_escaped(value)}"' for name, value in oauth.items())


def signature(secret: str, hash: Hash, method: str, url: str, query: bytes, oauth: dict[str, str]) -> str:
    """What the signature of somebody else's request without a form must be. `url` is without its query; `oauth` holds
    the parameters of its header without the signature."""
    parameters = [(_escaped(name), _escaped(value)) for name, value in oauth.items()]
    return _keyed(secret, hash, _joined(method, _address(httpx.URL(url)), [*parameters, *_decoded(query)]))


def _keyed(secret: str, hash: Hash, text: str) -> str:
    # RFC 5849 3.4.2: the secret of the token, which there is not, stands empty behind the `&`.
    return base64.b64encode(hmac.new(f"{_escaped(secret)}&".encode(), text.encode(), hash).digest()).decode()


def _text(request: httpx.Request, oauth: dict[str, str]) -> str:
    """What is signed. # RFC 5849 3.4.1.1"""
    parameters = [(_escaped(name), _escaped(value)) for name, value in oauth.items()]
    parameters += _decoded(request.url.query)
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() == FORM:
        parameters += _decoded(request.content)
    return _joined(request.method, _address(request.url), parameters)


def _joined(method: str, address: str, parameters: list[tuple[str, str]]) -> str:
    joined = "&".join(f"{name}={value}" for name, value in sorted(parameters))
    return "&".join(_escaped(part) for part in (method.upper(), address, joined))


def _address(url: httpx.URL) -> str:
    """Scheme, host, port where it is not the scheme's own, and path, as they are sent. # RFC 5849 3.4.1.2"""
    path = url.raw_path.partition(b"?")[0].decode("ascii") or "/"
    return f"{url.scheme}://{url.netloc.decode('ascii').lower()}{path}"


def _decoded(form: bytes) -> Iterator[tuple[str, str]]:
    """Names and values of a query or a form, each as it is signed. Bytes throughout: they need not be UTF-8."""
    for part in filter(None, form.split(b"&")):
        name, _, value = part.replace(b"+", b" ").partition(b"=")
        yield _escaped(unquote_to_bytes(name)), _escaped(unquote_to_bytes(value))


def _escaped(text: str | bytes) -> str:
    """# RFC 5849 3.6: all but the unreserved characters of RFC 3986, of UTF-8, in capitals."""
    return quote(text, safe="")
