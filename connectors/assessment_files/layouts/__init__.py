"""How a vendor lays out its result file: a CSV that says what each column means, and how rows are read by it.

The layouts in this folder and a district's own are written in the same language; the README explains it.
"""

import csv
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from functools import cache
from pathlib import Path

from connectors.assessment_files.layouts.reading import MEANINGS, Cell, Reading
from gateway.errors import ConfigError

COLUMNS = ("column", "meaning", "name", "datatype", "objective", "flags")
FLAGS = {"key", "required"}
DATATYPES = {"score": ("integer", "decimal", "percentile", "percentage", "range", "text"), "date": ("day first",)}


@dataclass(frozen=True)
class Row:
    """One line of a layout: what a column means, or, without a column, what holds of the whole file."""

    column: str
    meaning: str
    name: str = ""
    datatype: str = ""
    objective: str = ""
    flags: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Layout:
    name: str
    rows: Sequence[Row]

    @property
    def required(self) -> list[str]:
        return [row.column for row in self.rows if "required" in row.flags]

    def constant(self, meaning: str) -> str:
        """What a line without a column says, empty where none does."""
        return next((row.name for row in self.rows if row.meaning == meaning and not row.column), "")

    def lacks(self, header: Sequence[str]) -> list[str]:
        """The required columns that a header has not."""
        there = {title.casefold() for title in header}
        return [column for column in self.required if column.casefold() not in there]

    def is_called(self, file: str) -> bool:
        """Whether a file of that name may be of this layout."""
        pattern = self.constant("file")
        return not pattern or fnmatch(file.casefold().rpartition("/")[2], pattern.casefold())

    def reading(self, header: Sequence[str]) -> Reading:
        """How the rows below that header are read. ConfigError where it has a column twice that counts."""
        periods = [one.strip() for one in self.constant("periods").split("|") if one.strip()]
        patterns = [(_pattern(row.column, periods), row) for row in self.rows if row.column]
        cells: list[Cell] = []
        unknown: list[str] = []
        taken: set[str] = set()
        for place, title in enumerate(header):
            meant = _meant(title, patterns)
            if not meant:
                unknown += [title] if title else []
                continue
            if title.casefold() in taken and any(row.meaning != "ignored" for row, _ in meant):
                raise ConfigError(
                    "layout-column-twice", f"There is more than one column {title}.", "Each column may be there once."
                )
            taken.add(title.casefold())
            cells += [_cell(place, row, captured) for row, captured in meant if row.meaning != "ignored"]
        constants = {row.meaning: row.name for row in self.rows if not row.column}
        return Reading(self.name, list(header), cells, constants, unknown)


@cache
def builtin() -> Mapping[str, Layout]:
    """Every layout that comes with this connector, by name."""
    return {path.stem: read(path) for path in sorted(Path(__file__).parent.glob("*.csv"))}


def named(name: str) -> Layout:
    """The layout of that name. ConfigError when there is none."""
    if name not in builtin():
        raise ConfigError("layout-unknown", f"There is no layout {name!r}.", f"Choose one of: {', '.join(builtin())}.")
    return builtin()[name]


def recognised(header: Sequence[str], file: str) -> Layout:
    """The layout whose required columns are all there; of several, the one that requires most."""
    fitting = [one for one in builtin().values() if one.is_called(file) and not one.lacks(header)]
    most = max((len(one.required) for one in fitting), default=0)
    best = [one for one in fitting if len(one.required) == most]
    if len(best) == 1:
        return best[0]
    if best:
        names = ", ".join(one.name for one in best)
        raise ConfigError(
            "layout-ambiguous", f"{file} may be laid out as any of {names}.", "Name the layout in the settings."
        )
    # Not said what stands there: a file without a header begins with a student.
    raise ConfigError(
        "layout-not-recognised",
        f"The column names of {file} are those of no layout that is known.",
        f"Name the layout (one of {', '.join(builtin())}) if the vendor renamed columns, or give a layout of your own.",
    )


def read(path: Path) -> Layout:
    """A layout from its CSV. ConfigError names the line that does not make sense."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as lines:
            table = csv.DictReader(lines)
            if not table.fieldnames or not {"column", "meaning"} <= set(table.fieldnames) <= set(COLUMNS):
                raise _wrong(path, 1, f"its columns must be {', '.join(COLUMNS)}")
            rows = [_row(path, n, {k: (v or "").strip() for k, v in line.items() if k}) for n, line in _lines(table)]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ConfigError(
            "layout-invalid",
            f"The layout {path.name} cannot be read: {getattr(error, 'strerror', None) or type(error).__name__}.",
            "Check the path, and save it as CSV in UTF-8.",
        ) from error
    layout = Layout(path.stem, rows)
    for meaning, why in (("assessment", "what was measured"), ("id", "whose result it is")):
        if not any(row.meaning.endswith(meaning) for row in rows):
            raise _wrong(path, 1, f"no line says {why} ({meaning})")
    if not any("key" in row.flags for row in rows) and not any("{period}" in row.column for row in rows):
        raise _wrong(path, 1, "no column has the flag key, so that results could not be told apart")
    return layout


def _lines(table: "csv.DictReader[str]") -> Iterator[tuple[int, Mapping[str | None, str | None]]]:
    for n, line in enumerate(table, start=2):
        if any(value for value in line.values() if isinstance(value, str)):
            yield n, line


def _row(path: Path, n: int, line: Mapping[str, str]) -> Row:
    flags = frozenset(line.get("flags", "").split())
    row = Row(
        line.get("column", ""),
        line.get("meaning", ""),
        line.get("name", ""),
        line.get("datatype", ""),
        line.get("objective", ""),
        flags,
    )
    if row.meaning not in MEANINGS:
        raise _wrong(path, n, f"{row.meaning!r} is no meaning; use one of {', '.join(MEANINGS)}")
    if flags - FLAGS:
        raise _wrong(path, n, f"flags may be {' '.join(sorted(FLAGS))}")
    if row.datatype and row.datatype not in DATATYPES.get(row.meaning, ()):
        raise _wrong(path, n, f"{row.datatype!r} is no datatype of a {row.meaning}; the README lists them")
    if not row.column and not row.name:
        raise _wrong(path, n, "a line without a column needs a name")
    return row


def _wrong(path: Path, n: int, why: str) -> ConfigError:
    return ConfigError(
        "layout-invalid",
        f"The layout {path.name} is wrong in line {n}: {why}.",
        "Correct it; the README of the connector explains each column.",
    )


def _pattern(column: str, periods: Iterable[str]) -> re.Pattern[str]:
    """`{name}` stands for any text, `{period}` for one of the periods, `*` for any text that does not matter."""
    parts = re.split(r"(\{\w+\}|\*)", column)
    one_of = "|".join(re.escape(period) for period in periods) or ".+?"
    return re.compile("".join(_part(part, one_of) for part in parts), re.IGNORECASE)


def _part(part: str, periods: str) -> str:
    if part == "*":
        return ".*?"
    if part == "{n}":
        return "(?P<n>[0-9]+)"
    if re.fullmatch(r"\{\w+\}", part):
        return f"(?P<{part[1:-1]}>{periods if part == '{period}' else '.+?'})"
    return re.escape(part)


_LONGEST_TITLE = 250
"""Characters. Patterns take the square of it, and no vendor has half of it."""


def _meant(title: str, patterns: Sequence[tuple[re.Pattern[str], Row]]) -> list[tuple[Row, dict[str, str]]]:
    """The lines that speak of a column: those that name it, else the first pattern that fits."""
    exact: list[tuple[Row, dict[str, str]]] = [
        (row, {}) for _, row in patterns if row.column.casefold() == title.casefold()
    ]
    if exact or not title or len(title) > _LONGEST_TITLE:
        return exact
    return next(([(row, m.groupdict())] for pattern, row in patterns if (m := pattern.fullmatch(title))), [])


def _cell(place: int, row: Row, captured: dict[str, str]) -> Cell:
    def filled(template: str) -> str:
        for name, value in captured.items():
            template = template.replace(f"{{{name}}}", value.strip())
        return template

    return Cell(
        place=place,
        meaning=row.meaning,
        name=filled(row.name),
        datatype=row.datatype,
        objective=filled(row.objective),
        period=captured.get("period", ""),
        key="key" in row.flags,
    )
