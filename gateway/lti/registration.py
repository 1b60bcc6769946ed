"""What a tool asks of a platform that registers it by itself, and what it may be told. # Dynamic Registration 1.0"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from gateway.errors import ConfigError
from gateway.lti.launch import CUSTOM, origin
from gateway.lti.login import LAUNCH

TOOL = "https://purl.imsglobal.org/spec/lti-tool-configuration"
SCOPES = (
    "https://purl.imsglobal.org/spec/lti-ags/scope/lineitem",
    "https://purl.imsglobal.org/spec/lti-ags/scope/result.readonly",
    "https://purl.imsglobal.org/spec/lti-ags/scope/score",
    "https://purl.imsglobal.org/spec/lti-nrps/scope/contextmembership.readonly",
)
TITLE = "Student success plans"


@dataclass(frozen=True)
class Described:
    """What a platform publishes of itself."""

    issuer: str
    authorization_url: str
    token_url: str
    jwks_url: str
    registration_url: str
    scopes: frozenset[str]


def described(url: str, told: Any) -> Described:
    """The description that was read at an address. ConfigError where it is not complete, or where it speaks for
    another host than it was read from."""
    told = told if isinstance(told, dict) else {}
    names = ("issuer", "authorization_endpoint", "token_endpoint", "jwks_uri", "registration_endpoint")
    found = {name: told.get(name) for name in names}
    if not all(isinstance(one, str) and origin(one) and len(one) <= 2000 for one in found.values()):
        raise _unreadable("It does not name all that a registration needs.")
    # Whoever gets somebody to open such a link could else register under the name of another platform.
    issuer, authorization, token, jwks, register = (str(one) for one in found.values())
    if _host(issuer) != _host(url):
        raise _unreadable("It speaks for another host than the one it was read from.")
    if urlsplit(url).scheme == "https" and not all(str(one).startswith("https://") for one in found.values()):
        raise _unreadable("Some of its addresses are not https.")
    granted = told.get("scopes_supported")
    scopes = frozenset(one for one in SCOPES if not isinstance(granted, list) or one in granted)
    return Described(issuer, authorization, token, jwks, register, scopes)


def bearer(pass_: str) -> Mapping[str, str]:
    """The header that shows a platform the pass that it gave its administrator's browser, where it gave one."""
    if not re.fullmatch(r"[\x21-\x7e]*", pass_):
        raise _unreadable("The pass that came along with the link is none.")
    return {"authorization": f"Bearer {pass_}"} if pass_ else {}


def asked(address: str, scopes: frozenset[str]) -> Mapping[str, Any]:
    """What the tool says of itself: its addresses and keys, no name and no e-mail address asked for."""
    custom = {CUSTOM: "$Person.sourcedId"}
    target = f"{address}{LAUNCH}"
    return {
        "application_type": "web",
        "response_types": ["id_token"],
        "grant_types": ["implicit", "client_credentials"],
        "initiate_login_uri": f"{address}/lti/login",
        "redirect_uris": [target],
        "client_name": TITLE,
        "jwks_uri": f"{address}/lti/jwks",
        "token_endpoint_auth_method": "private_key_jwt",
        "scope": " ".join(one for one in SCOPES if one in scopes),
        TOOL: {
            "domain": urlsplit(address).netloc,
            "target_link_uri": target,
            "custom_parameters": custom,
            "claims": ["iss", "sub"],
            "messages": [
                {"type": "LtiResourceLinkRequest", "target_link_uri": target, "label": TITLE},
                {"type": "LtiDeepLinkingRequest", "target_link_uri": target, "label": TITLE},
            ],
        },
    }


def settings(described: Described, told: Any) -> Mapping[str, Any]:
    """The settings of a connection to the platform, from its answer. ConfigError where it registered nothing. Not
    every platform says a deployment: then its administrator does, and until then nothing can be launched."""
    told = told if isinstance(told, dict) else {}
    client = told.get("client_id")
    if not isinstance(client, str) or not 0 < len(client) <= 255:
        raise _unreadable("It answered the registration without a client id.")
    tool = told.get(TOOL)
    deployment = tool.get("deployment_id") if isinstance(tool, dict) else None
    return {
        "issuer": described.issuer,
        "client_id": client,
        "deployment_ids": [str(deployment)] if isinstance(deployment, str | int) and str(deployment) else [],
        "authorization_url": described.authorization_url,
        "token_url": described.token_url,
        "jwks_url": described.jwks_url,
    }


def _host(url: Any) -> str:
    return origin(str(url)).partition("://")[2]


def _unreadable(why: str) -> ConfigError:
    return ConfigError(
        "registration-refused",
        f"The platform could not be registered. {why}",
        "Register the tool by hand: docs/lti.md says which addresses go where.",
    )
