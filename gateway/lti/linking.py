"""What goes back to a platform where somebody chose a link to this tool."""

from collections.abc import Mapping
from typing import Any

from gateway.lti.launch import CLAIM, CUSTOM, VERSION, Linking

DL = "https://purl.imsglobal.org/spec/lti-dl/claim/"
LASTS_SECONDS = 300


def response(
    linking: Linking, *, issuer: str, client: str, deployment: str, target: str, title: str, nonce: str, now: int
) -> Mapping[str, Any]:
    """The claims of the answer: one link, that carries no grade and no student. # Deep Linking 2.0, 4.5"""
    return {
        "iss": client,
        "aud": [issuer],
        "iat": now,
        "exp": now + LASTS_SECONDS,
        "nonce": nonce,
        "jti": nonce,
        f"{CLAIM}deployment_id": deployment,
        f"{CLAIM}message_type": "LtiDeepLinkingResponse",
        f"{CLAIM}version": VERSION,
        f"{DL}content_items": [
            {"type": "ltiResourceLink", "title": title, "url": target, "custom": {CUSTOM: "$Person.sourcedId"}}
        ],
        **({} if linking.data is None else {f"{DL}data": linking.data}),
    }
