"""One connection: how it stands, its counts over time, and what may be done with it."""

from typing import Annotated

from fastapi import APIRouter, Path, Query, Request
from fastapi.responses import Response

from gateway import jobs, registry, trying
from gateway.connected import opened
from gateway.connector import Finding
from gateway.console.home import Line, lines_of
from gateway.console.pages import leads_to, page, status_of
from gateway.console.visit import Visit, Visitor
from gateway.errors import ConfigError, PlanbridgeError, Refused
from gateway.store import registers, runs, states

router = APIRouter(prefix="/connections/{connection}")

Number = Annotated[int, Path(ge=1, lt=1 << 31)]
Done = Annotated[str, Query(max_length=20)]


@router.get("")
async def one(request: Request, connection: Number, visit: Visitor, done: Done = "") -> Response:
    """Its page."""
    return await _page(request, visit, connection, done=done)


@router.post("/pull")
async def pull(request: Request, connection: Number, visit: Visitor) -> Response:
    """Pull it now; with `dry` only to see what it would do."""
    try:
        run = await jobs.request_pull(
            visit.store, visit.district, connection, visit.actor, mode="dry" if visit["dry"] else "publish"
        )
    except PlanbridgeError as error:
        return await _page(request, visit, connection, wrong=error)
    return leads_to(request, f"/runs/{run}")


@router.post("/check")
async def check(request: Request, connection: Number, visit: Visitor) -> Response:
    """Say what is right and what is wrong with it, now. It keeps nothing."""
    found = await registers.connection(visit.store, visit.district, connection)
    if found.client is not None:
        raise ConfigError(
            "connection-unknown",
            "What a program writes here is no system that could be checked.",
            "Its runs tell more.",
        )
    try:
        reasons, profile = await trying.collects(visit.store, found), await trying.chosen(visit.store, found)
        async with opened(visit.store, found) as (kind, settings, http):
            findings = await trying.seen(kind, settings, http, reasons, profile)
    except PlanbridgeError as error:
        findings = [Finding(False, error.message, error.fix)]
    return await _page(request, visit, connection, findings=findings)


@router.post("/on")
async def on(request: Request, connection: Number, visit: Visitor) -> Response:
    """From now on its pulls publish."""
    await registers.connection(visit.store, visit.district, connection)  # there is one
    await registers.set_shadow(visit.store, visit.district, connection, False, visit.actor)
    return leads_to(request, f"/connections/{connection}?done=on")


@router.post("/pause")
async def pause(request: Request, connection: Number, visit: Visitor) -> Response:
    """Let it rest, for a reason that is kept."""
    await registers.connection(visit.store, visit.district, connection)
    try:
        await registers.pause(visit.store, visit.district, connection, visit["reason"].strip(), visit.actor)
    except Refused as error:
        return await _page(request, visit, connection, wrong=error)
    return leads_to(request, f"/connections/{connection}?done=paused")


@router.post("/resume")
async def resume(request: Request, connection: Number, visit: Visitor) -> Response:
    """Lift the pause."""
    await registers.connection(visit.store, visit.district, connection)
    await registers.resume(visit.store, visit.district, connection, visit.actor)
    return leads_to(request, f"/connections/{connection}?done=resumed")


async def _page(
    request: Request,
    visit: Visit,
    connection: int,
    *,
    done: str = "",
    wrong: PlanbridgeError | None = None,
    findings: list[Finding] | None = None,
) -> Response:
    line = await _line(visit, connection)
    found = await registers.connection(visit.store, visit.district, connection)
    kind = registry.connector(found.connector) if found.client is None else None
    async with visit.store.transaction(visit.district) as c:
        newest = [one for one in await runs.summary(c, limit=100) if one["connection"] == line.state.name][:10]
    title, pulled = ("", False) if kind is None else (kind.title, kind.open_source is not None)
    return page(
        request, visit, "connection", 200 if wrong is None else status_of(wrong), line=line, title=title,
        pulled=pulled, runs=newest, done=done, wrong=wrong, findings=findings,
    )  # fmt: skip


async def _line(visit: Visit, connection: int) -> Line:
    for state in await states.read(visit.store, visit.district):
        if state.connection == connection:
            async with visit.store.transaction(visit.district) as c:
                [line] = await lines_of(c, visit, [state])
                return line
    raise ConfigError("connection-unknown", "There is no such connection.", "The first page lists them.")
