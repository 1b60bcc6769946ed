"""What is stored of a connection, read once more: published records and what was set aside, as pages of a source."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from gateway.codes import Proposal, as_read
from gateway.connector import START, Page, Resource
from gateway.store import payloads
from gateway.store.database import Store
from gateway.store.payloads import PAGE, Selection, Stored
from gateway.store.registers import Connection
from gateway.store.runs import Attempt


@dataclass(frozen=True)
class Wanted:
    """What a run of the kind replay reads again, and what it supposes meanwhile."""

    selection: Selection
    suppose: Proposal | None = None

    def as_stored(self) -> dict[str, Any]:
        """As it is kept with the run."""
        return {"selection": msgspec.to_builtins(self.selection), "suppose": msgspec.to_builtins(self.suppose)}


def wanted(attempt: Attempt) -> Wanted:
    """What was kept with the run."""
    kept = attempt.proposal or {}
    return Wanted(
        msgspec.convert(kept.get("selection", {}), Selection), msgspec.convert(kept.get("suppose"), Proposal | None)
    )


async def stored_source(store: Store, attempt: Attempt, connection: Connection, selection: Selection) -> "StoredSource":
    """The source of a replay. What is meant and was purged is noted with the run: it waits for the next whole pull."""
    async with store.transaction(attempt.district) as c:
        meant = {one.collection: one for one in await payloads.extent(c, connection.id, selection)}
    await payloads.begin(store, attempt, selection, {name: one.gone for name, one in meant.items() if one.gone})
    readable = [
        resource
        for name, resource in as_read(connection).items()
        if name in meant and meant[name].records + meant[name].rejects > meant[name].gone
    ]
    return StoredSource(store, connection, selection, readable)


class StoredSource:
    """Cursors are `record:<key>` and `reject:<id>`, after which a page begins: records first, and then what was set
    aside later, so that of one key the newer payload counts."""

    def __init__(self, store: Store, connection: Connection, selection: Selection, resources: list[Resource]) -> None:
        self.resources: Sequence[Resource] = resources
        self._store = store
        self._connection = connection
        self._selection = selection

    async def pull(self, resource: Resource, cursor: str) -> Page:
        kind, _, after = ("record:" if cursor == START else cursor).partition(":")
        async with self._store.transaction(self._connection.district) as c:
            if kind == "record":
                rows = await payloads.records(c, self._connection.id, self._selection, resource.name, after)
                onward = f"record:{rows[-1].place}" if len(rows) == PAGE else "reject:0"
                return _page(rows, onward)
            rows = await payloads.rejects(
                self._store, c, self._connection.id, self._selection, resource.name, int(after)
            )
            return _page(rows, f"reject:{rows[-1].place}" if len(rows) == PAGE else None)


def _page(rows: list[Stored], onward: str | None) -> Page:
    return Page(
        [row.body.encode() for row in rows],
        next=(onward,) if onward is not None else (),
        positions=[row.position for row in rows],
    )
