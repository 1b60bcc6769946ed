"""Results that become progress points of the goals they measure, in the transaction that publishes them."""

from collections.abc import Sequence
from datetime import UTC, date, datetime, time
from typing import Any

from gateway import clock, progress
from gateway.progress import Tied
from gateway.schema.record import Body, Entry, Point
from gateway.store import measured, record
from gateway.store.database import Transaction
from gateway.store.measured import Result
from gateway.store.record import New
from gateway.store.registers import Actor

SOURCES = Actor("sources", "system")
"""Who measures where a result was pulled: the entry names the result, which knows its source."""


async def after_publishing(c: Transaction, district: int, publication: int) -> int:
    """Settle the points of every result that this publication moved; returns how many entries that took. It is part
    of the publication: it cannot be lost, is never done twice, and nobody reads the one without the other."""
    if not await measured.any_version(c):
        return 0
    news: list[New] = []
    async for results in measured.moved(c, publication):
        news += await _settled(c, results)
    return await _append(c, district, news)


async def after_finalizing(c: Transaction, district: int, student: str) -> int:
    """The same for all results of a student whose plan has a new version: what came while it was being written counts
    from now on."""
    return await _append(c, district, await _settled(c, await measured.results_of(c, student)))


async def _append(c: Transaction, district: int, news: Sequence[New]) -> int:
    # All at once, so that streams are locked in one order, whatever else is being written.
    await record.append(c, district, news, SOURCES, clock.now())
    return len(news)


async def _settled(c: Transaction, results: Sequence[Result]) -> list[New]:
    now = clock.now()
    goals = await measured.tied_goals(c, sorted({r.doc["student"] for r in results if r.doc}))
    known = _latest(results, await record.about(c, results=[result.id for result in results]))
    names = await measured.assessment_names(c, sorted({r.doc["assessment"] for r in results if r.doc}))
    news: list[New] = []
    for result in results:
        theirs = goals.get(result.doc["student"], ()) if result.doc else ()
        began = {(goal.plan, goal.goal, goal.student): goal.after for goal in theirs}
        for place, entry in known.get(result.id, {}).items():
            news += _revised(entry, result, place, now, began.get(place))
        for goal in theirs:
            before = known.get(result.id, {}).get((goal.plan, goal.goal, goal.student))
            news += _first(goal, result, names.get((result.doc or {})["assessment"], ()), before, now)
    return news


Place = tuple[str, str, str]
"""A goal in somebody's record: plan, goal, student."""


def _latest(results: Sequence[Result], entries: Sequence[Entry]) -> dict[str, dict[Place, Entry]]:
    """Result -> place -> the newest entry about it there: a point, or that there is none any more."""
    asked = {result.id: result for result in results}
    found: dict[str, dict[Place, Entry]] = {}
    for entry in entries:
        plan, goal, result = entry.about
        if plan and goal and result:
            found.setdefault(result, {})[plan, goal, asked[result].known_as(entry.student)] = entry
    return found


def _revised(entry: Entry, result: Result, place: Place, now: datetime, began: date | None = None) -> list[New]:
    """What a point becomes that was made of this result before. One whose content was removed stays as it is. `began`:
    the day of the goal's baseline, by which nothing is progress; a new version's later baseline withdraws nothing."""
    said = entry.said()
    if entry.kind != "progress_point" or said is None or said.point is None:
        return []
    before, doc = said.point, result.doc
    if before.score is None or (doc is None and result.ended):
        return []
    value = progress.score(doc, before.score) if doc else None
    on = date.fromisoformat(doc["on"]) if doc and doc.get("on") else before.measured_on
    early = began is not None and on != before.measured_on and on <= began
    if doc is None or value is None or doc["student"] != place[2] or early:
        why = "The result is another student's."
        if doc is None or value is None:
            why = "The result was removed at its source." if doc is None else "The result has this score no more."
        elif early:
            why = "The result is of the time before the baseline."
        about = (place[0], place[1], result.id)
        return [_new(entry.student, "correction", now, Body(because=why), entry.id, about)]
    if (value, on) == (before.value, before.measured_on):
        return []
    point = before.model_copy(update={"value": value, "measured_on": on, "day_known": "on" in doc})
    return [_point(entry.student, point, entry.id, "The result was corrected at its source.")]


def _first(goal: Tied, result: Result, names: Sequence[str], before: Entry | None, now: datetime) -> list[New]:
    """The point of a result and a goal that have none; also where it was withdrawn and the result is back. What a
    person withdrew stays withdrawn."""
    if result.doc is None or (before is not None and (before.kind != "correction" or not _by_sources(before))):
        return []
    point = progress.point_of(goal, result.id, result.doc, names, now.date())
    if point is None:
        return []
    return [_point(goal.student, point, before.id if before else None, "The result is back." if before else None)]


def _by_sources(entry: Entry) -> bool:
    return (entry.actor.get("name"), entry.actor.get("role")) == (SOURCES.name, SOURCES.role)


def _point(student: str, point: Point, supersedes: str | None, because: str | None) -> New:
    at = datetime.combine(point.measured_on, time(), UTC)
    body = Body(point=point, because=because)
    return _new(student, "progress_point", at, body, supersedes, (point.plan, point.goal, point.result))


def _new(student: str, kind: str, at: datetime, body: Body, supersedes: str | None, about: Any) -> New:
    return New(student, kind, at, body, supersedes=supersedes, about=about)
