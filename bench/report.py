"""What was measured, kept job by job in docs/proofs/bench.json, and the tables of docs/bench.md that it makes."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from bench.measure import ROOT

FIGURES = ROOT / "docs" / "proofs" / "bench.json"
PAGE = ROOT / "docs" / "bench.md"
BEGIN, END = "<!-- figures: written by make bench -->", "<!-- end of figures -->"

Kept = dict[str, Any]


@dataclass(frozen=True)
class Goal:
    """One figure of `ours` in a job: at most `limit` times that of `theirs`, or at most `limit` itself."""

    says: str
    job: str
    measure: str
    ours: str
    theirs: str
    limit: float


_CLIENT, _CLIENT_AS_IS = "edfi_api_client", "edfi_api_client, its own 100 a page"
GOALS = (
    Goal("Section associations to published, its fetch alone", "sections", "cpu", "planbridge", _CLIENT_AS_IS, 1.0),
    Goal("the same, its pages raised to 500", "sections", "cpu", "planbridge", _CLIENT, 1.0),
    Goal("Section associations to published", "sections", "cpu", "planbridge", "dlt", 0.25),
    Goal("Student assessments to published, its fetch alone", "assessments", "cpu", "planbridge", _CLIENT_AS_IS, 1.1),
    Goal("the same, its pages raised to 500", "assessments", "cpu", "planbridge", _CLIENT, 1.1),
    Goal("100 ms a page, to published", "slow", "wall", "planbridge", _CLIENT_AS_IS, 0.2),
    Goal("the same, its pages raised to 500", "slow", "wall", "planbridge", _CLIENT, 0.2),
    Goal("OneRoster users to published, its fetch alone", "users", "cpu", "planbridge", "timeback_oneroster", 0.5),
    Goal("CSV, a million enrollments to published", "package", "wall", "planbridge", "earthmover", 0.6),
    Goal("CPU per row at a million and at 100,000", "size", "cpu per 100,000", "1,000,000", "100,000", 1.25),
    Goal("Worker memory at a million, MB", "size", "memory", "1,000,000", "", 200),
    Goal("A night: full pull, minutes", "night", "minutes", "full", "", 60),
    Goal("A night: nothing changed, minutes", "night", "minutes", "unchanged", "", 2),
    Goal("A night: 1 % changed, minutes", "night", "minutes", "1 % changed", "", 5),
)


def keep(job: str, found: Kept) -> None:
    """Put one job's figures in the place of its earlier ones, and write the page anew."""
    figures = json.loads(FIGURES.read_text(encoding="utf-8")) if FIGURES.exists() else {}
    figures[job] = found
    FIGURES.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    page = PAGE.read_text(encoding="utf-8")
    before, after = page.partition(BEGIN)[0], page.partition(END)[2]
    tables = "\n".join([*_goals(figures), "", *_costs(figures)])
    PAGE.write_text(f"{before}{BEGIN}\n\n{tables}\n{END}{after}", encoding="utf-8")


def _goals(figures: Kept) -> Iterator[str]:
    yield "| what | against | ratio or figure | wanted at most | |"
    yield "|---|---|---:|---:|---|"
    for goal in GOALS:
        costs = figures.get(goal.job, {}).get("costs", {})
        ours, theirs = (costs.get(name, {}) for name in (goal.ours, goal.theirs))
        against = f"{goal.theirs}, {goal.measure}" if goal.theirs else goal.measure
        if why := theirs.get("failed") or ours.get("failed") or ("" if ours else "not measured yet"):
            yield f"| {goal.says} | {against} | {why} | {goal.limit:g} | |"
            continue
        figure = _figure(goal, ours) / (_figure(goal, theirs) if goal.theirs else 1)
        verdict = "met" if figure <= goal.limit else "missed"
        yield f"| {goal.says} | {against} | {figure:.2f} | {goal.limit:g} | {verdict} |"


def _figure(goal: Goal, cost: Kept) -> float:
    match goal.measure:
        case "cpu per 100,000":
            return float(cost["cpu"] / cost["rows"] * 100_000)
        case "minutes":
            return float(cost["wall"] / 60)
    return float(cost[goal.measure])


def _costs(figures: Kept) -> Iterator[str]:
    for job, found in figures.items():
        yield f"**{job}** ({found['at'][:10]}, {found['commit'][:12]}, {found['machine']}, {found['rounds']} rounds, "
        yield f"load {found['load before']} before it began)"
        yield ""
        yield "| | CPU s | wall s | memory MB | rows | database CPU s | records changed | published |"
        yield "|---|---:|---:|---:|---:|---:|---:|---:|"
        for name, cost in found["costs"].items():
            if "failed" in cost:
                yield f"| {name} | {cost['failed']} | | | | | | |"
                continue
            told = [
                cost.get(key, "") for key in ("cpu", "wall", "memory", "rows", "database_cpu", "changed", "published")
            ]
            yield f"| {name} | {' | '.join(map(str, told))} |"
        yield ""
