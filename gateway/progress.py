"""How a goal and a support are doing: measurements against the line to the target, minutes given against prescribed."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

from gateway.schema.record import Delivery, Point
from gateway.schema.work import Goal, Support

OVER = ("completed", "cancelled", "rejected", "entered_in_error")
"""Goals in such a lifecycle get no new measurements."""
DAYS = {"day": 7 / 5, "week": 7.0, "month": 365.25 / 12, "quarter": 365.25 / 4, "semester": 365.25 / 2, "year": 365.25}
"""Interval -> calendar days. What is given daily is given from Monday to Friday."""
MINUTES_FOR = {"per_week": "week", "per_month": "month"}


@dataclass(frozen=True)
class Standing:
    """Where a goal stands. `expected`: where the line from the baseline to the target stood that day; `on_track` is
    None where no line can be drawn. A fact about this goal, and nothing else is derived from it."""

    goal: str
    measured_on: date | None
    value: Any
    expected: float | None
    on_track: bool | None
    points: int
    sentence: str


def against_line(goal: Goal, points: Iterable[Point]) -> Standing:
    """The newest measurement of a goal against its line; of several targets the one that is due next."""
    ordered = sorted(points, key=lambda point: point.measured_on)
    id = goal.id or ""
    if not ordered:
        return Standing(id, None, None, None, None, 0, "Nothing has been measured since the plan began.")
    last = ordered[-1]
    said = f"Measured {last.value} on {last.measured_on}"
    expected, why = _expected(goal, last)
    if expected is None:
        return Standing(id, last.measured_on, last.value, None, None, len(ordered), f"{said}; {why}")
    target = _target(goal, last.measured_on)
    reached = {
        "at_least": float(last.value) >= expected,
        "more_than": float(last.value) > expected,
        "at_most": float(last.value) <= expected,
        "less_than": float(last.value) < expected,
        "equal_to": float(last.value) == expected,
    }[target.comparator]
    where = "on track" if reached else "above the line" if target.comparator in ("at_most", "less_than") else "below it"
    if target.comparator == "equal_to" and not reached:
        where = "not on it"
    sentence = (
        f"{said}. The line to {target.value:g} by {target.due_on} stood at {expected:g} that day: {where}."
        if last.measured_on < target.due_on
        else f"{said}. The target was {target.value:g} by {target.due_on}: {'reached' if reached else 'not reached'}."
    )
    return Standing(id, last.measured_on, last.value, expected, reached, len(ordered), sentence)


def _target(goal: Goal, on: date) -> Any:
    """The target that is due next on a day, else the last one."""
    ordered = sorted(goal.targets, key=lambda target: target.due_on)
    return next((target for target in ordered if target.due_on >= on), ordered[-1])


def _expected(goal: Goal, point: Point) -> tuple[float | None, str]:
    """Where the line stood on the day of a measurement; None and why where there is no line."""
    if not goal.targets:
        return None, "the goal has no target to compare it with."
    target = _target(goal, point.measured_on)
    if _number(point.value) is None or _number(target.value) is None:
        return None, f"the target is {target.value} by {target.due_on}. Words make no line: a person compares them."
    if point.measured_on >= target.due_on:
        return float(target.value), ""
    began = _number(goal.baseline.value) if goal.baseline else None
    if goal.baseline is None or began is None:
        return None, f"the target is {target.value} by {target.due_on}. Without a baseline there is no line to it."
    length = (target.due_on - goal.baseline.on).days
    if length <= 0:
        return float(target.value), ""
    share = max(0.0, (point.measured_on - goal.baseline.on).days / length)
    return round(began + (float(target.value) - began) * share, 1), ""


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


@dataclass(frozen=True)
class Dosage:
    """What was given of a support, and what would have been by then. `planned` is None where no dosage is prescribed.
    Weeks without school are not known: they count as any other."""

    support: str
    name: str
    planned: int | None
    delivered: int
    sessions: int
    absent: int
    not_held: int
    sentence: str


def dosage(support: Support, begins: date, given: Iterable[Delivery], today: date) -> Dosage:
    """Minutes delivered against the prescription, from its first day to today. `begins`: where the support names no
    first day."""
    sessions = list(given)
    minutes = sum(one.minutes for one in sessions)
    planned = planned_minutes(support, begins, today)
    held = sum(one.minutes > 0 for one in sessions)
    absent = sum(one.outcome == "student_absent" for one in sessions)
    fallen_out = sum(one.outcome in ("provider_absent", "cancelled") for one in sessions)
    of = f" of about {planned} minutes prescribed so far" if planned is not None else " minutes; none are prescribed"
    sentence = f"{minutes}{of}, in {held} sessions; absent {absent} times, not held {fallen_out} times."
    return Dosage(support.id or "", support.name, planned, minutes, held, absent, fallen_out, sentence)


def planned_minutes(support: Support, begins: date, today: date) -> int | None:
    """Minutes that the prescription comes to, from its first day to today or its last one."""
    if support.duration_minutes is None:
        return None
    first, last = support.begin_on or begins, min(today, support.end_on or today)
    days = max(0, (last - first + timedelta(days=1)).days)
    interval = MINUTES_FOR.get(support.duration_interval or "per_session")
    if interval is not None:
        return round(support.duration_minutes * days / DAYS[interval])
    if support.frequency is None or support.frequency_interval is None:
        return None
    return round(support.duration_minutes * support.frequency * days / DAYS[support.frequency_interval])


# --- results that are measurements of a goal ---------------------------------------------------------------


@dataclass(frozen=True)
class Tied:
    """A goal of a plan's newest version whose progress is read off results."""

    plan: str
    student: str
    goal: str
    assessment: str
    score: str
    after: date | None
    """The day of its baseline: what was measured by then is where it began."""


def tied(plan: str, student: str, content: Mapping[str, Any]) -> list[Tied]:
    """The goals of a plan, as its document has them, that are tied to a score and still worked on."""
    found = []
    for goal in content.get("goals", ()):
        measure = goal.get("measure")
        if measure and goal.get("lifecycle", "proposed") not in OVER:
            since = (goal.get("baseline") or {}).get("on")
            begins = date.fromisoformat(content["period_start"]) - timedelta(days=1)
            after = date.fromisoformat(since) if since else begins
            found.append(Tied(plan, student, goal["id"], measure["assessment"], measure["score_method"], after))
    return found


def point_of(goal: Tied, id: str, result: Mapping[str, Any], names: Sequence[str], arrived: date) -> Point | None:
    """What a result says of a goal; None where it is of another assessment, has no such score, or is of the time before
    the baseline. `names`: what its assessment goes by."""
    if goal.assessment not in names:
        return None
    value = score(result, goal.score)
    on = date.fromisoformat(result["on"]) if result.get("on") else None
    if value is None or (on is not None and goal.after is not None and on <= goal.after):
        return None
    return Point(
        plan=goal.plan,
        goal=goal.goal,
        measured_on=on or arrived,
        day_known=on is not None,
        measure=f"{names[-1]}, {goal.score}",
        value=value,
        result=id,
        score=goal.score,
    )


def score(result: Mapping[str, Any], method: str) -> int | float | str | None:
    """A result's score by that method: a number where it is one."""
    for one in result.get("scores", ()):
        if one["method"] == method and one["value"].strip():
            return in_numbers(one["value"].strip())
    return next((one["level"] for one in result.get("performance_levels", ()) if one["method"] == method), None)


def in_numbers(value: str) -> int | float | str:
    """A score stays text in the sources; a line is drawn through numbers."""
    digits = value.removeprefix("-").removeprefix("+")
    if digits.isascii() and digits.replace(".", "", 1).isdigit() and len(digits) <= 15:
        return float(value) if "." in digits else int(value)
    return value
