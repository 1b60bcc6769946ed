"""The one CSV template in which plans may come: its columns, and which place of a plan each cell is."""

import csv
import io
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from gateway.errors import ConfigError

PLAN, ITEMS = "plan", {"strength": "strengths", "interest": "interests", "need": "needs", "goal": "goals",
                       "support": "supports"}  # fmt: skip
KEYS = {"plan_id": "Your own id of the plan. Rows with the same one belong together.",
        "part": f"What the row is: {PLAN}, then {', '.join(ITEMS)}, as many as there are."}  # fmt: skip
NUMBERS = {"student_number": "student", "coordinator_number": "coordinator", "owner_number": "owner"}
"""Columns that name people by their number, and the field each fills."""
OF_PLAN = ("student_number", "coordinator_number", "title", "period_start", "period_end", "next_review_on", "tier")
OF_ITEM: Mapping[str, tuple[str, ...]] = {
    "strength": ("item", "domain", "statement"),
    "interest": ("item", "statement"),
    "need": ("item", "domain", "statement", "severity", "evidence", "evidence_on"),
    "goal": (
        "item", "domain", "statement", "addresses", "baseline_measure", "baseline_value", "baseline_on",
        "baseline_unknown_until", "target_measure", "target_value", "target_due_on",
    ),
    "support": (
        "item", "statement", "kind", "addresses", "setting", "frequency", "frequency_interval", "duration_minutes",
        "begin_on", "end_on", "owner_number",
    ),
}  # fmt: skip
COLUMNS = tuple(dict.fromkeys((*KEYS, *OF_PLAN, *(name for names in OF_ITEM.values() for name in names))))
PLACES: Mapping[str, str] = {
    "item": "id",
    "evidence": "evidence/0/observation",
    "evidence_on": "evidence/0/on",
    "baseline_measure": "baseline/measure",
    "baseline_value": "baseline/value",
    "baseline_on": "baseline/on",
    "target_measure": "targets/0/measure",
    "target_value": "targets/0/value",
    "target_due_on": "targets/0/due_on",
    **NUMBERS,
}
"""Column -> the field of the plan or the item that it fills, where it has another name."""
OF_SUPPORT = {"statement": "name", "addresses": "goals"}
MOST_CELL = 20_000


@dataclass
class Given:
    """One plan as it was handed in: under whose id, in which row or at which place, what of it is written, whom it
    names by number (pointer -> number), and where each pointer stands (pointer -> row, column). `faults`: what could
    not be read at all: row, field, reason."""

    own_id: str
    row: int
    content: dict[str, Any] = field(default_factory=dict)
    numbers: dict[str, str] = field(default_factory=dict)
    places: dict[str, tuple[int, str]] = field(default_factory=dict)
    faults: list[tuple[int, str, str]] = field(default_factory=list)


def header() -> str:
    """The template: one line, the names of the columns."""
    return ",".join(COLUMNS) + "\n"


def read(text: str) -> list[Given]:
    """The plans of a file. ConfigError where it is not the template at all; what is wrong with one plan stands there.
    Rows are counted as a spreadsheet counts them, the header being row 1."""
    # A spreadsheet of another language writes semicolons, and a mark at the beginning.
    text = text.removeprefix("\ufeff")
    first = text.partition("\n")[0]
    delimiter = ";" if first.count(";") > first.count(",") else ","
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    try:
        return list(_plans(reader))
    except csv.Error:
        raise ConfigError(
            "import-unreadable", f"The file is no CSV from row {reader.line_num} on.", "Save it as CSV (UTF-8) anew."
        ) from None


def _plans(reader: Iterator[list[str]]) -> Iterator[Given]:
    names = [name.strip().lower() for name in next(reader, [])]
    unknown = [n for n, name in enumerate(names, 1) if name not in COLUMNS]
    if unknown or len(set(names)) < len(names) or not {*KEYS, "student_number"} <= set(names):
        where = f"Column {unknown[0]} is none of its columns." if unknown else "A column is there twice, or is missing."
        raise ConfigError(
            "import-columns", f"This is not the template. {where}", "`planbridge plan template` prints it."
        )
    now: Given | None = None
    for row, cells in enumerate(reader, 2):
        if not any(cell.strip() for cell in cells):
            continue
        said = {name: cell.strip() for name, cell in zip(names, cells, strict=False) if cell.strip()}
        own, part = said.pop("plan_id", ""), said.pop("part", "").lower()
        if part == PLAN or now is None or own != now.own_id:
            if now is not None:
                yield now
            now = Given(own, row)
            if part != PLAN:
                now.faults.append((row, "part", "The first row of a plan says `plan` here."))
        if len(cells) > len(names):
            now.faults.append((row, "", "The row has more cells than the header has columns."))
        _fill(now, row, part, said)
    if now is not None:
        yield now


def _fill(plan: Given, row: int, part: str, said: Mapping[str, str]) -> None:
    """Put a row's cells where they belong."""
    columns = OF_PLAN if part == PLAN else OF_ITEM.get(part)
    if columns is None:
        plan.faults.append((row, "part", f"Write one of: {PLAN}, {', '.join(ITEMS)}."))
        return
    whole: dict[str, Any] = plan.content
    before = ""
    if part != PLAN:
        items = plan.content.setdefault(ITEMS[part], [])
        items.append({})
        whole, before = items[-1], f"/{ITEMS[part]}/{len(items) - 1}"
    plan.places.setdefault(before, (row, ""))
    for column, cell in said.items():
        if column not in columns:
            plan.faults.append((row, column, f"A row of the part {part} has nothing in this column."))
            continue
        place = (OF_SUPPORT if part == "support" else {}).get(column) or PLACES.get(column, column)
        plan.places[f"{before}/{place}"] = (row, column)
        if column in NUMBERS:
            plan.numbers[f"{before}/{place}"] = cell
        else:
            _put(whole, place.split("/"), _value(column, cell))


def _value(column: str, cell: str) -> Any:
    if column == "addresses":
        return cell.replace(",", " ").split()
    if column.endswith("_value") and re.fullmatch(r"-?[0-9]{1,15}(\.[0-9]{1,15})?", cell):
        return float(cell) if "." in cell else int(cell)
    return cell


def _put(whole: Any, steps: list[str], value: Any) -> None:
    """Set what is below a place, making what leads there."""
    for step, after in zip(steps, [*steps[1:], ""], strict=True):
        if isinstance(whole, list):
            if not whole:
                whole.append({})
            whole = whole[0]
            continue
        if not after:
            whole[step] = value
            return
        whole = whole.setdefault(step, [] if after == "0" else {})
