"""A platform of LTI: a plan is a comment without a score, in the course that is switched on."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from connectors.lti.settings import LtiSettings
from connectors.lti.sink import NEUTRAL
from connectors.lti.twin import Platform, twin
from connectors.lti.twin_courses import STUDENT, Course, Entry
from connectors.oneroster.settings import OneRosterSettings
from connectors.oneroster.twin import twin as a_sis
from gateway import jobs, sync
from gateway.store import lti, registers, tool_keys
from gateway.store.database import Store
from synthetic import build
from tests.destinations.world import ACTOR, There, World, wired
from tests.serving import serve

DISTRICT = build(schools=1, students=24, seed=11)
LOCAL = ["127.0.0.1: a twin"]


@dataclass
class Lms(There):
    platform: Platform
    course: Course

    @property
    def settings(self) -> tuple[Mapping[str, Any], Mapping[str, str]]:
        given = {"issuer": self.url, "client_id": "planbridge-tool", "deployment_ids": ["1"]}
        given |= {"trusted_number": "sourcedid"}
        given |= {"authorization_url": f"{self.url}/auth", "token_url": f"{self.url}/token"}
        made = LtiSettings.model_validate(given | {"jwks_url": f"{self.url}/jwks", "private_addresses": LOCAL})
        return made.model_dump(mode="json", exclude={"proxy", "tool_key"}), {}

    def standing(self) -> Mapping[str, str]:
        return {id: one.comments[-1] for id, one in self._entries() if one.comments and one.comments[-1] != NEUTRAL}

    def edit(self, id: str, word: str) -> None:
        dict(self._entries())[id].comments = [word]

    def _entries(self) -> Iterator[tuple[str, Entry]]:
        for column in self.course.columns.values():
            yield from ((f"{column.id} {person}", entry) for person, entry in column.entries.items())


@dataclass
class LtiWorld(World):
    name = "lti"
    shows = ("strength", "goal", "support")
    choices: Mapping[str, Any] = field(default_factory=lambda: {"doorway": False})
    adopts = True
    keys: list[Mapping[str, Any]] = field(default_factory=list)

    @contextmanager
    def serve(self) -> Iterator[There]:
        made = twin(DISTRICT, lambda: self.keys)
        platform: Platform = made.state.platform
        # All students are in it, and nobody who teaches: who sees it is asked elsewhere.
        self.course = platform.courses.add_course("homeroom", "Homeroom")
        self.course.members = {platform.courses.person(one.number).id: STUDENT for one in DISTRICT.students}
        writes = ("PUT", "DELETE", "POST")
        with wired(made, lambda method, path, body: method in writes and path != "/token") as (url, wire):
            self.url = url
            yield Lms(url, wire, platform, self.course)

    def chosen(self, classes: Sequence[str]) -> Mapping[str, Any]:
        return {**self.choices, "courses": [self.course.id]}

    async def roster(self, store: Store, district: int, connection: registers.Connection) -> None:
        self.keys = await tool_keys.published(store)
        async with store.transaction(district) as c:
            place = f"{self.url}/courses/{self.course.id}"
            places = {"line_items": f"{place}/lineitems", "memberships": f"{place}/memberships"}
            await lti.note_context(
                c, district, connection.id, deployment="1", context=self.course.id, title="Homeroom", **places
            )
        with serve(a_sis(DISTRICT)) as sis:
            given = {"base_url": sis, "token_url": f"{sis}/token", "client_id": "demo-client"}
            secret = {"client_secret": "demo-secret"}
            made = OneRosterSettings.model_validate({**given, **secret, "private_addresses": LOCAL})
            plain = made.model_dump(mode="json", exclude={"client_secret", "proxy"})
            number = await registers.add_connection(store, district, "sis", "oneroster", plain, secret, ACTOR)
            run = await jobs.request_pull(store, district, number, ACTOR)
            assert await sync.run(store, district, run) is not None

    def reads(self, text: str) -> str:
        return " ".join(text.split())


WORLD = LtiWorld()
