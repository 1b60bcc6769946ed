"""A platform without a network: what is pushed hangs on a board, and the board tells who stands before it."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from gateway import registry
from gateway.connector import ConnectionSettings, Connector, Document, Loss, Receipt, Viewer
from gateway.errors import PlanbridgeError
from gateway.mapping import Crosswalks, Mapping, Parties
from gateway.schema.plan import Plan
from gateway.summary import PlanProfile, summarize


@dataclass
class Board:
    """`hangs` is by natural key; `viewers` see all of it. While there is a `failure`, nobody gets so far as to write;
    with `screws` it gives nothing back. It is a connector's sink, and made one by `hang_up`."""

    hangs: dict[str, dict[str, Any]] = field(default_factory=dict)
    viewers: list[Viewer] = field(default_factory=list)
    writes: int = 0
    failure: PlanbridgeError | None = None
    screws: bool = False

    async def push(self, document: Document) -> Receipt:
        if self.failure:
            raise self.failure
        self.writes += 1
        self.hangs[document.identity] = document.body
        return Receipt(200)

    async def read_back(self, document: Document) -> dict[str, Any] | None:
        return self.hangs.get(document.identity)

    async def delete(self, document: Document) -> Receipt:
        if self.failure:
            raise self.failure
        if self.screws:
            return Receipt(403, message="It is screwed to the wall; ask the caretaker.")
        self.writes += 1
        self.hangs.pop(document.identity, None)
        return Receipt(204)

    async def audience(self, document: Document) -> Sequence[Viewer]:
        return self.viewers

    async def close(self) -> None:
        """Nothing is open."""

    def hang_up(self, monkeypatch: pytest.MonkeyPatch, place: Path) -> None:
        """From now on there is a connector `board`, as if it had been installed."""

        async def open_sink(settings: Any, http: Any) -> Board:
            return self

        kind = Connector(
            "board", "A board", BoardSettings, auth=lambda settings: None, open_sink=open_sink, keeps_roster=False,
            place="lms",
        )  # fmt: skip
        mapping = Mapping("board", "1", {}, place, outbound, profile=PlanProfile)
        found, mapped = registry.connector, registry.mapping
        monkeypatch.setattr(registry, "connector", lambda name: kind if name == "board" else found(name))
        monkeypatch.setattr(registry, "mapping", lambda name: mapping if name == "board" else mapped(name))


class BoardSettings(ConnectionSettings):
    student_identifier: str = "identifier"
    staff_identifier: str = "identifier"


def outbound(
    plan: Plan, parties: Parties, profile: PlanProfile, codes: Crosswalks
) -> tuple[list[Document], list[Loss]]:
    short, losses = summarize(plan, profile, parties.roles, id=parties.plan, link=parties.link)
    said = [
        [part.heading, item.text, *(f"{name}: {value}" for name, value in item.details)]
        for part in short.sections
        for item in part.items
    ]
    body = {
        "title": short.title,
        "of": parties.student,
        "said": said,
        "link": short.link,
        "team": [f"{one.role} {one.number}" for one in parties.team],
    }
    return [Document("notices", {"marker": short.marker}, body)], losses
