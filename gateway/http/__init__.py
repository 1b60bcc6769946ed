"""The only place that speaks HTTP: who may be asked, as whom, how often, and what the answer means."""

# ruff: noqa: E402 the first lines are for what is imported after them
import sys

# httpx brings a command line of its own, with every language that pygments can colour: 5 MB in each of our processes.
sys.modules.setdefault("httpx._main", None)  # type: ignore[arg-type]  # None: as if it were not installed

from gateway.http.answers import Reply
from gateway.http.auth import Auth, ClientCredentials, OAuth1, RefreshToken, SignedAssertion, StaticBearer, Style
from gateway.http.client import Http, Pace
from gateway.http.grants import CodeGrant, redeemed
from gateway.http.guard import Network, PrivateAddress, permitted_addresses
from gateway.http.signing import Hash, signature
from gateway.http.tokens import MemoryTokens, Token, TokenStore
from gateway.http.urls import checked_origin, same_origin

__all__ = [
    "Auth",
    "ClientCredentials",
    "CodeGrant",
    "Hash",
    "Http",
    "MemoryTokens",
    "Network",
    "OAuth1",
    "Pace",
    "PrivateAddress",
    "RefreshToken",
    "Reply",
    "SignedAssertion",
    "StaticBearer",
    "Style",
    "Token",
    "TokenStore",
    "checked_origin",
    "permitted_addresses",
    "redeemed",
    "same_origin",
    "signature",
]
