"""The OAuth 2 server for programs: how they get tokens, what a token lets them do, and how it ends.

Authlib's authorization server asks for clients and keeps tokens by calls that cannot wait for our asynchronous
store; its errors, its reading of headers, scopes and assertions, and its checks of claims and metadata are used here.
"""

from fastapi import APIRouter

from gateway.api.oauth import ending, published, tokens
from gateway.api.oauth.calls import TOKEN_PATH, Call, begun, calling, may, opened
from gateway.api.oauth.signed import signed_call
from gateway.api.oauth.tokens import GRANTS, Asking, Grant, Token, granted

__all__ = [
    "GRANTS",
    "TOKEN_PATH",
    "Asking",
    "Call",
    "Grant",
    "Token",
    "begun",
    "calling",
    "granted",
    "may",
    "opened",
    "router",
    "signed_call",
]

router = APIRouter()
for part in (tokens, ending, published):
    router.include_router(part.router)
