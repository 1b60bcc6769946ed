"""A Canvas: a plan is an assignment of its student's homeroom, for that student alone."""

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from html import unescape
from pathlib import Path
from typing import Any

from connectors.canvas.settings import CanvasSettings
from connectors.canvas.twin import World as Held
from connectors.canvas.twin import twin
from gateway.connector import validated
from gateway.store import registers
from gateway.store.database import Store
from tests.destinations.world import ACTOR, There, World, wired
from tests.identity.rosters import FILLERS, connected
from tests.records import TEACHER


@dataclass
class Canvas(There):
    held: Held

    @property
    def settings(self) -> tuple[Mapping[str, Any], Mapping[str, str]]:
        given = {"base_url": self.url, "access_token": "demo-token", "private_addresses": ["127.0.0.1: a twin"]}
        made = validated(CanvasSettings, given)
        secrets = {"access_token", "client_secret", "refresh_token", "proxy"}
        return made.model_dump(mode="json", exclude=secrets), {"access_token": "demo-token"}

    def standing(self) -> Mapping[str, str]:
        tasks = [one for one in self.held.assignments.values() if not one.deleted]
        return {str(one.id): unescape(f"{one.name} {one.description}") for one in tasks}

    def edit(self, id: str, word: str) -> None:
        self.held.assignments[int(id)].description = f"<p>{word}</p>"


class CanvasWorld(World):
    name = "canvas"
    shows = ("strength", "goal", "support")
    choices: Mapping[str, Any] = {"courses": ["HR-5A"]}
    adopts = True

    @contextmanager
    def serve(self) -> Iterator[There]:
        held = Held()
        homeroom = held.course("Homeroom", "HR-5A")
        for one in FILLERS:
            held.enroll(homeroom, held.person(f"{one.given} {one.family}", one.number), "StudentEnrollment")
        held.enroll(homeroom, held.person("Ferdinand Umberteach", TEACHER.number), "TeacherEnrollment")
        app = twin(holds=held, branded=True)
        with wired(app, lambda method, path, body: method != "GET" and path.startswith("/api/")) as (url, wire):
            yield Canvas(url, wire, held)

    async def roster(self, store: Store, district: int, connection: registers.Connection) -> None:
        with tempfile.TemporaryDirectory() as name:
            sis = await connected(store, district, "sis", Path(name), ACTOR)
            await sis.says(*FILLERS, TEACHER)

    def reads(self, text: str) -> str:
        return text


WORLD = CanvasWorld()
