"""How a person lets us in once, so that we may ask for tokens ever after: the authorization code grant of OAuth 2."""

import hmac
from dataclasses import dataclass, field
from urllib.parse import parse_qs, urlencode, urlsplit

import msgspec

from gateway.errors import AuthError, ConfigError
from gateway.http.answers import Reply
from gateway.http.auth import RefreshToken
from gateway.http.client import Http
from gateway.http.signing import FORM


@dataclass(frozen=True)
class CodeGrant:
    """Where somebody agrees, and where the code that they are then shown is turned into a refresh token.

    # RFC 6749 4.1"""

    authorize_url: str
    token_url: str
    client_id: str
    client_secret: str = field(repr=False)
    redirect_uri: str
    scope: str = ""

    def address(self, state: str) -> str:
        """Where a person agrees, in a browser."""
        asked = {"client_id": self.client_id, "response_type": "code", "redirect_uri": self.redirect_uri}
        asked |= {"state": state} | ({"scope": self.scope} if self.scope else {})
        return f"{self.authorize_url}?{urlencode(asked)}"


async def redeemed(http: Http, grant: CodeGrant, pasted: str, state: str = "") -> RefreshToken:
    """What the code is good for. `pasted` is the code, or the whole address that the browser was led to: then its
    state must be ours. AuthError where it is refused; a code is good once, and for minutes."""
    form = {
        "grant_type": "authorization_code",
        "client_id": grant.client_id,
        "client_secret": grant.client_secret,
        "redirect_uri": grant.redirect_uri,
        "code": _code(pasted, state),
    }
    reply = await http.send(
        "POST",
        grant.token_url,
        json=urlencode(form).encode(),
        headers={"content-type": FORM},
        repeatable=False,
    )
    return RefreshToken(grant.token_url, grant.client_id, grant.client_secret, _refresh_token(reply))


def _code(pasted: str, state: str) -> str:
    text = pasted.strip()
    if "://" not in text:
        return text
    try:
        told = parse_qs(urlsplit(text).query)
    except ValueError:
        told = {}
    if "error" in told:
        raise AuthError("grant-refused", "It was not agreed to there.", "Open the address again, and agree.")
    theirs = told.get("state", [""])[0]
    if state and not hmac.compare_digest(theirs.encode(), state.encode()):
        raise ConfigError(
            "grant-state", "That is the answer to another question.", "Open the address that was printed just now."
        )
    if not (code := told.get("code", [""])[0]):
        raise ConfigError("grant-state", "No code is in that address.", "Paste the whole address that it led to.")
    return code


class _Given(msgspec.Struct):
    refresh_token: str = ""


def _refresh_token(reply: Reply) -> str:
    if reply.status == 200:
        try:
            if found := msgspec.json.decode(reply.body, type=_Given).refresh_token:
                return found
        except msgspec.MsgspecError:
            pass
    raise AuthError(
        "grant-refused",
        f"{reply.name} answered {reply.status} to the code, and gave nothing that lasts "
        f"(correlation-id {reply.correlation_id}).",
        "A code is good once and for a few minutes: open the address again. If it stays so, compare client id, secret"
        " and redirect address with those of the key there.",
    )
