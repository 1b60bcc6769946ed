"""What was measured, kept in docs/proofs, and the tables of docs/bench.md and docs/sizing.md that it makes.

`python -m bench.report` writes both pages anew from what is kept.
"""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.measure import ROOT

FIGURES = ROOT / "docs" / "proofs" / "bench.json"
PAGE = ROOT / "docs" / "bench.md"
SIZING = ROOT / "docs" / "sizing.md"
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
    Goal("So many pages of 100 users served", "provider", "wall", "first page", "bare, columns", 2),
    Goal("the same, its CPU alone", "provider", "cpu", "first page", "bare, columns", 2),
    Goal("The last page of 100,000 users", "provider", "wall", "last page", "first page", 1.25),
    Goal(
        "A row of the 1 % of enrollments that changed",
        "provider",
        "wall per row",
        "changed 1.0%",
        "changed 10.0%",
        1.25,
    ),
    Goal("A row of the 10 % that changed", "provider", "wall per row", "changed 10.0%", "changed 1.0%", 1.25),
    Goal("10,000 plans delivered, 30 ms a request", "deliveries", "wall", "planbridge", "lightbeam", 0.6),
)


def keep(job: str, found: Kept) -> None:
    """Put one job's figures in the place of its earlier ones, and write the page anew."""
    figures = json.loads(FIGURES.read_text(encoding="utf-8")) if FIGURES.exists() else {}
    figures[job] = found
    FIGURES.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    render()


def render() -> None:
    """Write the tables of both pages anew from what is kept."""
    figures = _kept("bench")
    _put(PAGE, [*_goals(figures), "", *_costs(figures)])
    _put(SIZING, [*_sizes(figures, _kept("disk"), _kept("memory")), ""])


def _kept(name: str) -> Kept:
    path = FIGURES.with_name(f"{name}.json")
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}


def _put(page: Path, lines: Iterable[str]) -> None:
    text = page.read_text(encoding="utf-8")
    before, after = text.partition(BEGIN)[0], text.partition(END)[2]
    page.write_text(f"{before}{BEGIN}\n\n" + "\n".join(lines) + f"\n{END}{after}", encoding="utf-8")


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
        case "wall per row":
            return float(cost["wall"] / cost["rows"])
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


def _sizes(bench: Kept, disk: Kept, memory: Kept) -> Iterator[str]:
    """What a district takes; what was not measured says so in its place."""
    yield "| what | figure | measured |"
    yield "|---|---:|---|"
    for what, figure, proof in (*_time(bench), *_disk(disk), *_memory(memory)):
        yield f"| {what} | {figure or 'not measured yet'} | {_origin(proof) if figure else ''} |"


def _origin(proof: Kept) -> str:
    return f"{proof.get('at', '')[:10]} {proof['commit'][:12]}".strip()


def _time(bench: Kept) -> Iterator[tuple[str, str, Kept]]:
    size, night = bench.get("size", {}), bench.get("night", {})
    for rows in ("100,000", "1,000,000"):
        cost = size.get("costs", {}).get(rows, {})
        figure = (
            "" if "database_cpu" not in cost else " and ".join(f"{cost[k] / cost['rows'] * 1e5:.1f} s" for k in _PARTS)
        )
        yield f"CPU per 100,000 records of a first pull of {rows} enrollments: worker and database", figure, size
    for name, what in _NIGHTS.items():
        cost = night.get("costs", {}).get(name, {})
        there = "database_cpu" in cost
        yield f"{what}: minutes", f"{cost['wall'] / 60:.1f}" if there else "", night
        cpu = " and ".join(f"{cost[k]:.0f} s" for k in _PARTS) if there else ""
        yield f"{what}: CPU of worker and database", cpu, night
        yield f"{what}: peak memory of the worker", f"{cost['memory']} MB" if there else "", night
        asked = sum(cost.get("requests", {}).values())
        yield f"{what}: requests to the source", f"{asked:,}" if there and asked else "", night


_PARTS = ("cpu", "database_cpu")
_NIGHTS = {
    "full": "A district of 40,000 students, 600,000 enrollments, 100 rows a page, 100 ms a page: first pull",
    "unchanged": "the same, nothing changed",
    "1 % changed": "the same, 1 % changed",
}


def _disk(disk: Kept) -> Iterator[tuple[str, str, Kept]]:
    found = disk.get("counts", {})
    pulls = found.get("pulls", [])
    per = 100_000 / found["enrollments"] if pulls else 0.0
    first, grown = (pulls[0]["database"], "") if pulls else (0, "")
    if len(pulls) > 2:
        nights = pulls[2:]
        changed = sum(night["changed"] for night in nights)
        grown = f"{(nights[-1]['database'] - pulls[1]['database']) / changed * 1_000 / 1e6:.1f} MB"
    yield "Database, empty", f"{found['empty'] / 1e6:.0f} MB" if pulls else "", disk
    fresh = f"{(first - found['empty']) * per / 1e6:.0f} MB" if pulls else ""
    yield "Database per 100,000 enrollments, with their students and classes", fresh, disk
    whole = f"{pulls[-1]['whole folder'] / 1e6:.0f} MB" if pulls else ""
    held = f" of {found['enrollments']:,} enrollments" if pulls else ""
    yield f"Home folder{held}, write-ahead log included", whole, disk
    yield "What each 1,000 changed records add, history included", grown, disk


def _memory(memory: Kept) -> Iterator[tuple[str, str, Kept]]:
    for what, pull in memory.get("counts", {}).items():
        if isinstance(pull, dict) and "peak of the worker in MB" in pull:
            yield f"Peak memory of a worker, {what}", f"{pull['peak of the worker in MB']:.0f} MB", memory


if __name__ == "__main__":
    render()
