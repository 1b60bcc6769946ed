"""A learning platform that plays its part over a real socket, and may be told to play it badly."""

import secrets
import time
from dataclasses import dataclass, field
from typing import Any

from joserfc import jwt
from joserfc.jwk import OctKey, RSAKey
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

CLIENT, DEPLOYMENT = "tool-7", "dep-1"
CLAIM = "https://purl.imsglobal.org/spec/lti/claim/"
ROLE = "http://purl.imsglobal.org/vocab/lis/v2/membership#"
KEYS = {name: RSAKey.generate_key(2048, {"kid": name}) for name in ("one", "two", "strange")}


@dataclass
class LearningPlatform:
    """`published` are the names of the keys that it shows; `asked` counts how often."""

    issuer: str = ""
    published: list[str] = field(default_factory=lambda: ["one"])
    asked: int = 0
    described_as: dict[str, Any] = field(default_factory=dict)
    registered: list[dict[str, Any]] = field(default_factory=list)

    @property
    def app(self) -> Starlette:
        return Starlette(
            routes=[
                Route("/jwks", self.jwks),
                Route("/openid", self.described),
                Route("/register", self.register, methods=["POST"]),
            ]
        )

    async def jwks(self, request: Request) -> Response:
        self.asked += 1
        return JSONResponse({"keys": [KEYS[name].as_dict(private=False) for name in self.published]})

    async def described(self, request: Request) -> Response:
        if request.headers.get("authorization") != "Bearer planted-registration":
            return JSONResponse({"error": "unauthorized"}, 401)
        endpoints = {
            "authorization_endpoint": "auth", "token_endpoint": "token", "jwks_uri": "jwks",
            "registration_endpoint": "register",
        }  # fmt: skip
        told = {"issuer": self.issuer, **{name: f"{self.issuer}/{path}" for name, path in endpoints.items()}}
        return JSONResponse(told | self.described_as)

    async def register(self, request: Request) -> Response:
        if request.headers.get("authorization") != "Bearer planted-registration":
            return JSONResponse({"error": "invalid_token"}, 401)
        self.registered.append(await request.json())
        tool = {"https://purl.imsglobal.org/spec/lti-tool-configuration": {"deployment_id": "9"}}
        return JSONResponse({"client_id": "made-client", **tool})

    def settings(self, **more: Any) -> dict[str, Any]:
        """What a connection to it is set to."""
        return {
            "issuer": self.issuer, "client_id": CLIENT, "deployment_ids": [DEPLOYMENT],
            "authorization_url": f"{self.issuer}/auth", "jwks_url": f"{self.issuer}/jwks",
            "student_identifier": "local", "staff_identifier": "local", "trusted_number": "both",
            "private_addresses": ["127.0.0.1: played in a test"],
        } | more  # fmt: skip

    def token(
        self, nonce: str, target: str, number: str | None, role: str = "Instructor", /, *, key: str = "one",
        header: dict[str, Any] | None = None, secret: OctKey | None = None, **said: Any,
    ) -> str:  # fmt: skip
        """A launch of whoever has this number, with what is said laid over it; None takes a claim away."""
        now = int(time.time())
        claims: dict[str, Any] = {
            "iss": self.issuer, "aud": CLIENT, "sub": "u-1", "iat": now, "exp": now + 300, "nonce": nonce,
            "jti": secrets.token_hex(8), "email": "planted-mail@example.org",
            "version": "1.3.0", "message_type": "LtiResourceLinkRequest", "deployment_id": DEPLOYMENT,
            "target_link_uri": target, "roles": [role if ":" in role else f"{ROLE}{role}"],
            "resource_link": {"id": "l-1"}, "context": {"id": "c-1", "title": "Reading"},
            "lis": {} if number is None else {"person_sourcedid": number},
            "launch_presentation": {"return_url": "https://lms.district.example.org/back?x=1"},
        } | said  # fmt: skip
        ours = ("iss", "aud", "azp", "sub", "iat", "exp", "nonce", "jti", "email")
        named = {
            name if name in ours or ":" in name else f"{CLAIM}{name}": value
            for name, value in claims.items()
            if value is not None
        }
        algorithm = {"alg": "HS256" if secret else "RS256", "kid": key}
        signed = {name: value for name, value in (algorithm | (header or {})).items() if value is not None}
        return jwt.encode(signed, named, secret or KEYS[key], algorithms=["RS256", "HS256"])
