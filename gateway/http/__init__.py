"""The only place that speaks HTTP: who may be asked, as whom, how often, and what the answer means."""

from gateway.http.answers import Reply
from gateway.http.auth import Auth, ClientCredentials, OAuth1, StaticBearer, Style
from gateway.http.client import Http, Pace
from gateway.http.guard import Network, PrivateAddress, permitted_addresses
from gateway.http.tokens import MemoryTokens, Token, TokenStore
from gateway.http.urls import checked_origin, same_origin

__all__ = [
    "Auth",
    "ClientCredentials",
    "Http",
    "MemoryTokens",
    "Network",
    "OAuth1",
    "Pace",
    "PrivateAddress",
    "Reply",
    "StaticBearer",
    "Style",
    "Token",
    "TokenStore",
    "checked_origin",
    "permitted_addresses",
    "same_origin",
]
