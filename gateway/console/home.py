"""The first page: how every connection stands, what waits for a person, how deliveries and counts went."""

from dataclasses import dataclass

from fastapi import APIRouter, Request
from fastapi.responses import Response

from gateway.console.pages import page
from gateway.console.standing import TONES, Standing, Tone, standing
from gateway.console.visit import Visitor
from gateway.status import ConnectionState
from gateway.store import overview, states, workers
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

    @property
    def collections(self) -> list[str]:
        """The largest collections of the last sync."""
        last = self.syncs[-1].records if self.syncs else {}
        return [name for name in sorted(last, key=lambda name: -last[name]) if last[name]]

    def over_time(self, collection: str) -> list[int]:
        return [one.records.get(collection, 0) for one in self.syncs]


def line_of(state: ConnectionState, syncs: list[Sync]) -> Line:
    said = standing(state)
    return Line(state, said, TONES[said], syncs)


@router.get("/")
async def home(request: Request, visit: Visitor) -> Response:
    """Where everybody begins."""
    found = await states.read(visit.store, visit.district)
    async with visit.store.transaction(visit.district) as c:
        lines = [line_of(one, await overview.syncs(c, one.connection)) for one in found]
        waits = await overview.waits(c)
        deliveries = await overview.deliveries(c)
    held = [one for one in found if one.held_run is not None or one.removals_held]
    works = await workers.alive(visit.store, request.app.state.settings.takeover_seconds)
    return page(
        request, visit, "home", lines=lines, waits=waits, held=held, deliveries=deliveries, works=works, shown=SHOWN,
        many=MANY,
    )  # fmt: skip
