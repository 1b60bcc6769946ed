"""Runs and what waits of them: the list, one run, the decision about a held one, and undoing with a preview."""

from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request
from fastapi.responses import HTMLResponse, Response

from gateway import jobs, messages
from gateway.console.pages import HEADERS, drawn, leads_to, page, status_of
from gateway.console.visit import Visit, Visitor
from gateway.errors import ConfigError, PlanbridgeError
from gateway.store import history, notices, runs
from gateway.store.runs import Verdict

router = APIRouter(prefix="/runs")

OVER = ("held", "published", "compared", "failed", "refused", "superseded")
NEWEST = 50
CHANGES = 100
VERDICTS: dict[str, Verdict] = {"approve": "approved", "additions": "additions", "refuse": "refused"}
"""What a button says -> the decision."""

Number = Annotated[int, Path(ge=1, lt=1 << 63)]
Done = Annotated[str, Query(max_length=20)]
Preview = Annotated[int, Query(ge=0, lt=1 << 63)]


@router.get("")
async def listed(request: Request, visit: Visitor) -> Response:
    """The newest runs; those that wait for a person stand first."""
    async with visit.store.transaction(visit.district) as c:
        found = await runs.summary(c, limit=NEWEST)
    waiting = [one for one in found if one["state"] == "held"]
    return page(request, visit, "runs", runs=found, waiting=waiting)


@router.get("/{run}")
async def one(request: Request, run: Number, visit: Visitor, done: Done = "") -> Response:
    """What a run did, or would do, and why it waits."""
    return await _page(request, visit, run, done=done)


@router.get("/{run}/progress")
async def progress(request: Request, run: Number, visit: Visitor) -> Response:
    """The part of its page that says how far a run is: pages with script ask for it again while it goes on."""
    async with visit.store.transaction(visit.district) as c:
        found = await _run(c, run)
        received = await runs.progress(c, run)
    headers = dict(HEADERS)
    if found["state"] in OVER:
        headers["HX-Refresh"] = "true"  # it is over: the whole page says more
    return HTMLResponse(drawn(request, visit, "progress", run=found, received=received, over=OVER), headers=headers)


@router.post("/{run}/decide")
async def decide(request: Request, run: Number, visit: Visitor) -> Response:
    """Approve a held run, wholly or for its additions alone, or refuse it."""
    verdict = VERDICTS.get(visit["verdict"])
    try:
        if verdict is None:
            raise ConfigError(
                "verdict-missing", "None of the three buttons was pressed.", "Choose what is to become of the run."
            )
        async with visit.store.transaction(visit.district) as c:
            await _run(c, run)
        await jobs.decide_hold(visit.store, visit.district, run, verdict, visit.actor, visit["reason"].strip())
    except PlanbridgeError as error:
        return await _page(request, visit, run, wrong=error)
    return leads_to(request, f"/runs/{run}?done={verdict}")


@router.get("/{run}/undo")
async def undo_page(request: Request, run: Number, visit: Visitor, preview: Preview = 0) -> Response:
    """What undoing means, what it would do once that was asked for, and the form that does it."""
    return await _undo_page(request, visit, run, preview)


@router.post("/{run}/undo/preview")
async def undo_preview(request: Request, run: Number, visit: Visitor) -> Response:
    """Find out what undoing it would do; nothing is published by that."""
    try:
        made = await jobs.request_undo(visit.store, visit.district, run, visit.actor, "", mode="dry")
    except PlanbridgeError as error:
        return await _undo_page(request, visit, run, 0, wrong=error)
    return leads_to(request, f"/runs/{run}/undo?preview={made}")


@router.post("/{run}/undo")
async def undo(request: Request, run: Number, visit: Visitor) -> Response:
    """Undo it and every later one of its connection."""
    try:
        made = await jobs.request_undo(visit.store, visit.district, run, visit.actor, visit["reason"].strip())
    except PlanbridgeError as error:
        shown = visit["preview"]
        return await _undo_page(
            request, visit, run, int(shown) if shown.isdecimal() and len(shown) < 18 else 0, wrong=error
        )
    return leads_to(request, f"/runs/{made}?done=undone")


async def _run(c: Any, run: int) -> dict[str, Any]:
    found = await runs.summary(c, run=run)
    if not found:
        raise ConfigError("run-unknown", f"There is no run {run}.", "The list of runs has the newest.")
    return found[0]


async def _page(
    request: Request, visit: Visit, run: int, *, done: str = "", wrong: PlanbridgeError | None = None
) -> Response:
    async with visit.store.transaction(visit.district) as c:
        found = await _run(c, run)
        message = messages.of_run(found, await notices.standing(c, run))
        received = await runs.progress(c, run)
    return page(
        request, visit, "run", 200 if wrong is None else status_of(wrong), run=found, message=message,
        received=received, changes=await _changes(visit, found), unmapped=_unmapped(found), done=done, wrong=wrong,
        over=OVER, most=CHANGES,
    )  # fmt: skip


async def _undo_page(
    request: Request, visit: Visit, run: int, preview: int, *, wrong: PlanbridgeError | None = None
) -> Response:
    async with visit.store.transaction(visit.district) as c:
        found = await _run(c, run)
        meant = await history.undoable(c, run) if found["publication"] and not found["undone_by"] else None
        seen = (await runs.summary(c, run=preview) if preview else [])[:1]
        shown = seen[0] if seen and seen[0]["kind"] == "undo" and seen[0]["mode"] == "dry" else None
        received = await runs.progress(c, shown["id"]) if shown else {}
    return page(
        request, visit, "undo", 200 if wrong is None else status_of(wrong), run=found, meant=meant, shown=shown,
        received=received, changes=await _changes(visit, shown) if shown else [], wrong=wrong, over=OVER, most=CHANGES,
    )  # fmt: skip


async def _changes(visit: Visit, run: dict[str, Any]) -> list[dict[str, Any]]:
    """What a run changed, or what it would change: whom by a number of ours alone, and of values only that they
    differ."""
    if run["state"] in ("held", "compared"):
        found = await history.previewed(visit.store, visit.district, run["id"], CHANGES)
        if found or run["publication"] is None:
            return found
    return await history.changed_by(visit.store, visit.district, run["id"], CHANGES)


def _unmapped(run: dict[str, Any]) -> dict[str, int]:
    """Crosswalk -> records with a code that has no line there. The code itself is a person's value."""
    counted: dict[str, int] = {}
    for table, _, records in run["unmapped"]:
        counted[table] = counted.get(table, 0) + records
    return counted
