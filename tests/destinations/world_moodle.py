"""A Moodle: a plan is a learning plan of its student, with roles of its team beside it."""

import re
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from html import unescape
from pathlib import Path
from typing import Any

from connectors.moodle.settings import MoodleSettings
from connectors.moodle.twin import TEAM, Site, User, twin
from gateway.store import registers
from gateway.store.database import Store
from synthetic import build
from tests.destinations.world import ACTOR, There, World, wired
from tests.identity.rosters import FILLERS, connected
from tests.records import TEACHER


@dataclass
class LearningPlans(There):
    site: Site

    @property
    def settings(self) -> tuple[Mapping[str, Any], Mapping[str, str]]:
        secrets = {"token": "demo-token"}
        given = {"base_url": self.url, "team_role": TEAM, "private_addresses": ["127.0.0.1: a twin"]}
        made = MoodleSettings.model_validate(given | secrets)
        return made.model_dump(mode="json", exclude={"token", "proxy"}), secrets

    def standing(self) -> Mapping[str, str]:
        plans = {f"plan {id}": _read(one["description"]) for id, one in self.site.plans.items()}
        roles = {f"role {'/'.join(map(str, one))}": "" for one in self.site.assignments}
        return plans | roles | {f"comment {id}": one["content"] for id, one in self.site.comments.items()}

    def edit(self, id: str, word: str) -> None:
        self.site.edit(int(id.removeprefix("plan ")), description=f"<p>{word}</p>")


def _read(description: str) -> str:
    """As a browser shows it."""
    return unescape(re.sub(r"<[^>]*>", " ", description))


class MoodleWorld(World):
    name = "moodle"
    shows = ("strength", "goal", "support")
    choices: Mapping[str, Any] = {"include_domains": True, "include_consultation": True}
    adopts = True

    @contextmanager
    def serve(self) -> Iterator[There]:
        made = twin(build(schools=1, students=1, seed=11))
        for n, one in enumerate([*FILLERS, TEACHER]):
            made.state.site.add(User(700 + n, f"u{n}", "U", str(n), one.number))
        with wired(made, _writes) as (url, wire):
            yield LearningPlans(url, wire, made.state.site)

    def alone(self, documents: Any) -> int:
        """A domain in a plan has no words and no life of its own."""
        return super().alone([one for one in documents if one.resource != "planCompetencies"])

    async def roster(self, store: Store, district: int, connection: registers.Connection) -> None:
        with tempfile.TemporaryDirectory() as name:
            sis = await connected(store, district, "sis", Path(name), ACTOR)
            await sis.says(*FILLERS, TEACHER)

    def reads(self, text: str) -> str:
        return " ".join(text.split())


def _writes(method: str, path: str, body: bytes) -> bool:
    called = re.search(rb"wsfunction=(\w+)", body)
    return called is not None and not re.search(rb"_(get|list|read)_", called[1])


WORLD = MoodleWorld()
