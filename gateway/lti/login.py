"""The first step of a launch: what a platform says of it, and where a browser is sent to have it confirmed."""

from dataclasses import dataclass
from urllib.parse import urlencode

from gateway.errors import Refused

LAUNCH = "/lti/launch"
"""Where a platform sends people to; also what is registered as the address of the tool."""
PLANS = "/lti/plans"
DOORWAY = "/plans/"
"""Before the id of a plan, in links that stand elsewhere."""


@dataclass(frozen=True)
class Asked:
    """What a platform sends a browser to us with. `hint` and `message` are the platform's own words for the person
    and the place: they go back to it and are kept nowhere. # Security Framework 1.1, 5.1.1.1; LTI 1.3 core 4.1"""

    issuer: str
    hint: str
    target: str
    message: str = ""
    client: str = ""
    deployment: str = ""


def refuse_elsewhere(target: str, address: str) -> None:
    """Refused where a launch is to lead anywhere but to us: nobody is sent on to strangers from here."""
    ours = (f"{address}{LAUNCH}", f"{address}{PLANS}")
    if target not in ours and not plan_of(target, address):
        raise Refused(
            "launch-elsewhere",
            "The platform names another address as the target of this link than one of this tool.",
            f"In the platform's settings of the tool, give {ours[0]} as its address.",
        )


def plan_of(target: str, address: str) -> str:
    """The id of the plan that a link of ours leads to, or nothing."""
    for before in (f"{address}{DOORWAY}", f"{address}{PLANS}/"):
        id = target.removeprefix(before)
        if id != target and len(id) == 36 and set(id) <= set("0123456789abcdef-"):
            return id
    return ""


def address(endpoint: str, client: str, redirect: str, asked: Asked, state: str, nonce: str) -> str:
    """Where a browser is sent on, at the platform. # Security Framework 1.1, 5.1.1.2"""
    query = {
        "scope": "openid",
        "response_type": "id_token",
        "response_mode": "form_post",
        "prompt": "none",
        "client_id": client,
        "redirect_uri": redirect,
        "login_hint": asked.hint,
        "state": state,
        "nonce": nonce,
        **({"lti_message_hint": asked.message} if asked.message else {}),
    }
    return f"{endpoint}{'&' if '?' in endpoint else '?'}{urlencode(query)}"
