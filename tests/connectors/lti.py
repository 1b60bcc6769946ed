"""A platform on a socket and our way to it, for the tests of what we ask of its services."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from joserfc.jwk import RSAKey

from connectors.lti import CONNECTOR
from connectors.lti.settings import LtiSettings
from connectors.lti.sink import CommentSink, open_sink
from connectors.lti.twin import Platform, twin
from connectors.lti.twin_courses import STUDENT, TEACHER, Course
from gateway.connector import Document
from gateway.http import Http, MemoryTokens
from synthetic import build
from tests.serving import serve

DISTRICT = build(schools=1, students=24, seed=11)
KEY = RSAKey.generate_key(2048, auto_kid=True)
PRIVATE = json.dumps(KEY.as_dict(private=True))
PLAN = "0e0c9c3e-6d6e-4b5e-9a4c-1f2f3a4b5c6d"


@dataclass
class There:
    """A platform, the course that everything happens in, and our sink."""

    url: str
    platform: Platform
    course: Course
    sink: CommentSink

    def of(self, role: str) -> list[str]:
        """Numbers of the people in the course in this role."""
        return [self.platform.courses.people[id].number for id, one in self.course.members.items() if one == role]

    @property
    def student(self) -> str:
        return self.of(STUDENT)[0]

    @property
    def teacher(self) -> str:
        return self.of(TEACHER)[0]

    def document(self, comment: str = "There is a plan.", number: str = "", **score: Any) -> Document:
        course = {
            "lineItems": f"{self.url}/courses/{self.course.id}/lineitems",
            "memberships": f"{self.url}/courses/{self.course.id}/memberships",
        }
        if self.platform.kind == "moodle":
            course["lineItems"] += "?type_id=1"
        column = {"label": "Success plan", "scoreMaximum": 1, "resourceId": "planbridge-1", "tag": "planbridge"}
        told = {"activityProgress": "InProgress", "gradingProgress": "NotReady", "comment": comment} | score
        body = {"course": course, "person": number or self.student, "lineItem": column, "score": told}
        return Document("scores", {"plan": f"{PLAN}{number}", "context": self.course.id}, body, after=())

    def sent(self, method: str) -> list[str]:
        """Paths of the requests of that method to services."""
        return [path for verb, path, _ in self.platform.received if verb == method and path != "token"]


def settings(url: str, **more: Any) -> LtiSettings:
    given = {
        "issuer": url,
        "client_id": "planbridge-tool",
        "deployment_ids": "1",
        "trusted_number": "both",
        "authorization_url": f"{url}/auth",
        "token_url": f"{url}/token",
        "jwks_url": f"{url}/jwks",
        "tool_key": PRIVATE,
    }
    return LtiSettings.model_validate(given | more)


def way(url: str, tokens: MemoryTokens | None = None, **more: Any) -> Http:
    """Our way to that platform. It is patient with nobody: a test waits for nothing."""
    return Http(
        CONNECTOR.auth(settings(url, **more)), tokens=tokens or MemoryTokens(), allow_private=True, longest_wait=0.01
    )


@asynccontextmanager
async def a_platform(tokens: MemoryTokens | None = None, **switches: Any) -> AsyncIterator[There]:
    made = twin(DISTRICT, lambda: [KEY.as_dict(private=False)], **switches)
    platform: Platform = made.state.platform
    course = next(one for one in platform.courses.courses.values() if len(one.members) > 4)
    with serve(made) as url:
        async with way(url, tokens) as http:
            yield There(url, platform, course, await open_sink(settings(url), http))
