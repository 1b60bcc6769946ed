"""When a platform's word counts, and what it then says: who is there, in which course, for what."""

import hmac
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal
from urllib.parse import urlsplit

from gateway.errors import Refused

CLAIM = "https://purl.imsglobal.org/spec/lti/claim/"
AGS = "https://purl.imsglobal.org/spec/lti-ags/claim/endpoint"
NRPS = "https://purl.imsglobal.org/spec/lti-nrps/claim/namesroleservice"
LINKING = "https://purl.imsglobal.org/spec/lti-dl/claim/deep_linking_settings"
VERSION = "1.3.0"
SKEW_SECONDS = 60
OLDEST_SECONDS = 600
"""How old a launch may be: it is made when it is sent."""
LONGEST_LIFE = 3600
"""How far ahead a launch may end: for so long it is remembered that it was used."""
CUSTOM = "person_sourcedid"
"""The custom parameter that is to hold $Person.sourcedId."""
STAFF = frozenset(
    ("administrator", "contentdeveloper", "faculty", "instructor", "manager", "officer", "staff", "teachingassistant")
)
"""The words for the roles of those who work there. # LTI 1.3 core A.2"""

Message = Literal["LtiResourceLinkRequest", "LtiDeepLinkingRequest"]


@dataclass(frozen=True)
class Expected:
    """What this launch was begun with: at whom, as whom, with which word used once, to lead where."""

    issuer: str
    client: str
    nonce: str
    target: str


@dataclass(frozen=True)
class Linking:
    """Where a chosen link is sent back to, and what goes back with it. # Deep Linking 2.0, 4.4.1"""

    back: str
    data: str | None


@dataclass(frozen=True)
class Launch:
    """What a platform says of a launch, once it is sure that it said it, to us, now, and for the first time.

    `sourcedid` and `parameter` are numbers under which it knows the person, as its profile and as a custom parameter
    say; which of them to believe is not known here. `staff`: whether it has them as staff there. `sections` are the
    roster's keys of the course. `frame` is where our page stands within one of the platform.
    """

    deployment: str
    message: Message
    target: str
    jti: str
    until: float
    sourcedid: str
    parameter: str
    staff: bool
    context: str = ""
    title: str = ""
    sections: tuple[str, ...] = ()
    line_items: str = ""
    memberships: str = ""
    scopes: tuple[str, ...] = ()
    frame: str = ""
    linking: Linking | None = field(default=None, repr=False)


def checked(claims: Mapping[str, Any], expected: Expected, now: float) -> Launch:
    """What these claims of a token with a good signature come to. Refused where one of them is not as it must be.
    # Security Framework 1.1, 5.1.3; LTI 1.3 core 5.3"""
    _refuse_strange(claims, expected)
    until = _refuse_untimely(claims, now)
    # The nonce is ours, goes with a login, and the login is gone once it was used.
    if not isinstance(claims.get("nonce"), str) or not hmac.compare_digest(
        claims["nonce"].encode(), expected.nonce.encode()
    ):
        raise _refused("It belongs to another launch.")
    if _text(claims, "version") != VERSION:
        raise _refused("It is of another version of LTI than 1.3.")
    message = _text(claims, "message_type")
    if message not in ("LtiResourceLinkRequest", "LtiDeepLinkingRequest"):
        raise _refused("It is a kind of message that this tool does not take.")
    if _text(claims, "target_link_uri") != expected.target:
        raise _refused("It leads elsewhere than the login before it said.")
    roles = claims.get(f"{CLAIM}roles")
    if not isinstance(roles, list) or not _text(claims, "deployment_id"):
        raise _refused("It says nothing of its deployment, or of roles.")
    if message == "LtiResourceLinkRequest" and not _told(claims, "resource_link").get("id"):
        raise _refused("It names no link.")
    context, lis = _told(claims, "context"), _told(claims, "lis")
    return Launch(
        deployment=_text(claims, "deployment_id"),
        message=message,  # type: ignore[arg-type]
        target=expected.target,
        jti=_string(claims.get("jti")),
        until=until,
        sourcedid=_number(lis.get("person_sourcedid")),
        parameter=_number(_told(claims, "custom").get(CUSTOM)),
        staff=_has_staff([role for role in roles if isinstance(role, str)]),
        context=_string(context.get("id")),
        title=_string(context.get("title") or context.get("label")),
        sections=tuple(filter(None, (_string(lis.get("course_section_sourcedid")),))),
        line_items=_string(_dict(claims.get(AGS)).get("lineitems")),
        memberships=_string(_dict(claims.get(NRPS)).get("context_memberships_url")),
        scopes=tuple(one for one in _list(_dict(claims.get(AGS)).get("scope")) if isinstance(one, str)),
        frame=origin(_string(_told(claims, "launch_presentation").get("return_url"))),
        linking=_linking(claims) if message == "LtiDeepLinkingRequest" else None,
    )


def _refuse_strange(claims: Mapping[str, Any], expected: Expected) -> None:
    """By whom and for whom. Of several for whom, one is named as the one that is meant."""
    named = claims.get("aud")
    audiences = [named] if isinstance(named, str) else _list(named)
    if claims.get("iss") != expected.issuer:
        raise _refused("It is not by the platform at which it was begun.")
    if expected.client not in audiences:
        raise _refused("It is for another tool.")
    if claims.get("azp", expected.client) != expected.client or (len(audiences) > 1 and "azp" not in claims):
        raise _refused("It is for several tools, and not for this one first.")


def _refuse_untimely(claims: Mapping[str, Any], now: float) -> float:
    """When it ends."""
    ends, made = _moment(claims.get("exp")), _moment(claims.get("iat"))
    if not now - SKEW_SECONDS < ends <= now + LONGEST_LIFE + SKEW_SECONDS:
        raise _refused("It is over, or has no end.")
    if not now - OLDEST_SECONDS <= made <= now + SKEW_SECONDS:
        raise _refused("It was made too long ago, or is not made yet: the clocks of the two servers may differ.")
    return ends


def _linking(claims: Mapping[str, Any]) -> Linking:
    told = _dict(claims.get(LINKING))
    back, data = _string(told.get("deep_link_return_url")), told.get("data")
    if not origin(back) or "ltiResourceLink" not in _list(told.get("accept_types")):
        raise _refused("It takes no link to a tool, or does not say where one is sent to.")
    return Linking(back, data if isinstance(data, str) else None)


def _number(said: Any) -> str:
    """A variable that the platform did not fill in stands there as it was asked for, and is no number."""
    number = _string(said).strip()
    return "" if number.startswith("$") else number


def _has_staff(roles: Sequence[str]) -> bool:
    """By the roles in the course, where there are any: whoever learns in it, teaches somewhere else at most. A role is
    a URI, or its last word alone where it is one of the course."""
    in_course = [role for role in roles if ":" not in role or "/membership" in role]
    return any(_word(role) in STAFF for role in in_course or roles)


def _word(role: str) -> str:
    """What somebody is. Of a role within a role the outer one: .../membership/Learner#Instructor is a learner."""
    outer = re.search(r"/membership/([A-Za-z]+)#", role)
    return (outer[1] if outer else role.rpartition("#")[2].rpartition("/")[2]).lower()


def origin(url: str) -> str:
    """Scheme, host and port of an address that a page may be shown at; nothing for what is none."""
    # It stands in headers of ours, where a star or a space would mean more than one place.
    if not re.fullmatch(r"[\x21-\x7e]+", url) or re.search(r"[\"';,\\]", url):
        return ""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return ""
    host = parts.hostname or ""
    if not re.fullmatch(r"[a-z0-9_-]+(\.[a-z0-9_-]+)*\.?", host):
        if not re.fullmatch(r"[0-9a-f:.]*:[0-9a-f:.]*", host):
            return ""
        host = f"[{host}]"
    if parts.scheme not in ("https", "http") or parts.username is not None:
        return ""
    return f"{parts.scheme}://{host}{f':{port}' if port else ''}"


def _refused(why: str) -> Refused:
    return Refused(
        "launch-refused",
        f"What your learning platform says of this launch does not hold. {why}",
        "Open the link in the platform again; if this page comes back, show it to whoever looks after the platform.",
    )


def _text(claims: Mapping[str, Any], name: str) -> str:
    return _string(claims.get(CLAIM + name))


def _told(claims: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    return _dict(claims.get(CLAIM + name))


def _string(said: Any) -> str:
    return said if isinstance(said, str) and len(said) <= 2000 and said.isprintable() else ""


def _dict(said: Any) -> Mapping[str, Any]:
    return said if isinstance(said, dict) else {}


def _list(said: Any) -> list[Any]:
    return said if isinstance(said, list) else []


def _moment(said: Any) -> float:
    is_one = isinstance(said, int | float) and not isinstance(said, bool) and 0 <= said < 10**11
    return float(said) if is_one else float("nan")
