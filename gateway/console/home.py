"""The first page: how every connection stands, what waits for a person, how deliveries and counts went."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from fastapi import APIRouter, Request
from fastapi.responses import Response

from gateway import registry
from gateway.console.pages import page
from gateway.console.standing import TONES, Standing, Tone, Use, standing
from gateway.console.visit import Visit, Visitor
from gateway.status import ConnectionState
from gateway.store import overview, registers, states, workers
from gateway.store.database import Transaction
from gateway.store.overview import MANY, Sync

router = APIRouter()

SHOWN = 8
"""Collections whose counts stand on the first page, the largest; the page of the connection has all."""


@dataclass(frozen=True)
class Line:
    """A connection as the page shows it."""

    state: ConnectionState
    standing: Standing
    tone: Tone
    syncs: list[Sync]
    read: bool

    @property
    def collections(self) -> list[str]:
        """The largest collections of the last sync."""
        last = self.syncs[-1].records if self.syncs else {}
        return [name for name in sorted(last, key=lambda name: -last[name]) if last[name]]

    def over_time(self, collection: str) -> list[int]:
        return [one.records.get(collection, 0) for one in self.syncs]


async def lines_of(c: Transaction, visit: Visit, found: Sequence[ConnectionState]) -> list[Line]:
    """Connections with their last syncs, in the caller's transaction."""
    programs = {one.id for one in await registers.connections_in(visit.store, c) if one.client is not None}
    made = []
    for state in found:
        use = _use(state, programs)
        said = standing(state, use)
        made.append(Line(state, said, TONES[said], await overview.syncs(c, state.connection), use == "read"))
    return made


def _use(state: ConnectionState, programs: Collection[int]) -> Use:
    if state.connection in programs:
        return "written"
    return "sends" if registry.connector(state.connector).open_source is None else "read"


@router.get("/")
async def home(request: Request, visit: Visitor) -> Response:
    """Where everybody begins."""
    found = await states.read(visit.store, visit.district)
    async with visit.store.transaction(visit.district) as c:
        lines = await lines_of(c, visit, found)
        waits = await overview.waits(c)
        deliveries = await overview.deliveries(c)
    held = [one for one in found if one.held_run is not None or one.removals_held]
    works = await workers.alive(visit.store, request.app.state.settings.takeover_seconds)
    return page(
        request, visit, "home", lines=lines, waits=waits, held=held, deliveries=deliveries, works=works, shown=SHOWN,
        many=MANY,
    )  # fmt: skip
