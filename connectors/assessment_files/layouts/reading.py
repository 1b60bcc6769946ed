"""How the cells of a row become records: whose result it is, in what, at which time, with which values and parts."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date

from connectors.assessment_files.models import Assessment, Level, Part, Result, Score, Student

MEANINGS = (
    "district id", "state id", "vendor id", "assessment", "part", "objective", "subject", "family", "purpose", "date",
    "period", "periods", "school year", "grade", "retest", "not tested", "score", "level", "test id", "empty", "file",
    "ignored",
)  # fmt: skip
_IDS = ("district id", "state id", "vendor id")
_VALUES = ("date", "score", "level")


@dataclass(frozen=True)
class Cell:
    """One column as a layout understands it. `name` is the score's or the level's method; in it and in `objective`,
    `{Column}` stands for what that column holds. `period`: the time it speaks of, where the header says it."""

    place: int
    meaning: str
    name: str
    datatype: str
    objective: str
    period: str
    key: bool


class Reading:
    """How the rows below one header are read. `unknown`: the columns that the layout does not know."""

    def __init__(
        self,
        layout: str,
        header: Sequence[str],
        cells: Sequence[Cell],
        constants: Mapping[str, str],
        unknown: Sequence[str],
    ) -> None:
        self.layout = layout
        self.unknown = unknown
        self._places = {title.casefold(): place for place, title in reversed(list(enumerate(header))) if title}
        self._cells = cells
        self._constants = constants
        self._empty = {one.strip().casefold() for one in constants.get("empty", "").split("|")} | {""}
        self._periods = list(dict.fromkeys(cell.period for cell in cells if cell.period))

    def student(self, row: Sequence[str]) -> Student | None:
        """Whom the row is about. Known by a number that the files of every vendor have: a child who had two keys in one
        connection would be nobody."""
        ids = {meaning: self._one(row, meaning) for meaning in _IDS}
        key = next((f"{meaning.removesuffix(' id')}|{ids[meaning]}" for meaning in _IDS if ids[meaning]), None)
        return None if key is None else Student(key, ids["district id"], ids["state id"])

    def vendor_id(self, row: Sequence[str]) -> str | None:
        """What the vendor calls the student, if the file says so."""
        stated = self._one(row, "vendor id")
        return stated and f"{self._constants.get('family', self.layout)}|{stated}"

    def results(self, row: Sequence[str]) -> Iterator[tuple[Result, list[Assessment]]]:
        """The results of a row, one for each period it speaks of, and what they are results in."""
        if not self._periods:
            yield self._result(row, "")
            return
        for period in self._periods:
            if any(self._value(row, cell) for cell in self._cells if cell.period == period and cell.meaning in _VALUES):
                yield self._result(row, period)

    def _result(self, row: Sequence[str], period: str) -> tuple[Result, list[Assessment]]:
        cells = [cell for cell in self._cells if cell.period in ("", period)]
        student = self.student(row)
        whole = Assessment(
            key=self._text(row, "assessment", cells) or self.layout,
            title=self._text(row, "assessment", cells) or self.layout,
            subject=self._text(row, "subject", cells),
            family=self._text(row, "family", cells),
            purpose=self._text(row, "purpose", cells),
        )
        day = _day(self._text(row, "date", cells), "day first" in self._formats(cells))
        year = self._text(row, "school year", cells)
        # Where a file says only the season, the day says of which year: next fall is another result.
        told_apart = [self._value(row, cell) or "" for cell in cells if cell.key]
        told_apart = [_day(told, False) or told for told in told_apart]
        if period:
            told_apart += [year or _school_year(day), period]
        # A district's number may be put right later: then the result is another student's, and still the same result.
        vendor = self._one(row, "vendor id")
        whose = f"vendor|{vendor}" if vendor else student.key if student else ""
        key = "|".join([whole.key, whose, *told_apart])
        own, parts = self._reported(row, cells, whole)
        defined = [whole, *(Assessment(part.assessment, part.name, parent=whole.key) for part in parts)]
        part_of = self._text(row, "part", cells)
        if part_of is not None:
            defined.append(Assessment(f"{whole.key}|{part_of}", part_of, parent=whole.key))
        result = Result(
            key=key if part_of is None else f"{key}|{part_of}",
            assessment=defined[-1].key if part_of is not None else whole.key,
            student=student.key if student else None,
            parent=None if part_of is None else key,
            date=day,
            period=period or self._text(row, "period", cells),
            school_year=year,
            grade=self._text(row, "grade", cells),
            retest=self._text(row, "retest", cells),
            not_tested=self._text(row, "not tested", cells),
            scores=own.scores,
            levels=own.levels,
            parts=parts,
        )
        return result, defined

    def _reported(self, row: Sequence[str], cells: Sequence[Cell], whole: Assessment) -> tuple[Part, list[Part]]:
        """The scores and levels of the whole, and of each part that has any."""
        own = Part("", whole.key, [], [])
        parts: dict[str, Part] = {}
        for cell in cells:
            value = self._value(row, cell) if cell.meaning in ("score", "level") else None
            if value is None:
                continue
            objective = self._filled(row, cell.objective)
            if cell.objective and not objective:
                continue  # a value of a part that has no name
            part = own
            if objective:
                part = parts.setdefault(objective, Part(objective, f"{whole.key}|{objective}", [], []))
            name = self._filled(row, cell.name)
            if cell.meaning == "score":
                part.scores.append(Score(name, value, cell.datatype or "text"))
            else:
                part.levels.append(Level(name, value))
        return own, list(parts.values())

    def _formats(self, cells: Sequence[Cell]) -> set[str]:
        return {cell.datatype for cell in cells if cell.meaning == "date"}

    def _text(self, row: Sequence[str], meaning: str, cells: Sequence[Cell]) -> str | None:
        """What a column of that meaning holds, else what the layout says of the whole file."""
        for cell in cells:
            if cell.meaning == meaning and (value := self._value(row, cell)):
                return value
        return self._filled(row, self._constants.get(meaning, "")) or None

    def _one(self, row: Sequence[str], meaning: str) -> str | None:
        return next(
            (value for cell in self._cells if cell.meaning == meaning and (value := self._value(row, cell))), None
        )

    def _value(self, row: Sequence[str], cell: Cell) -> str | None:
        value = row[cell.place].strip()
        return None if value.casefold() in self._empty else value

    def _filled(self, row: Sequence[str], template: str) -> str:
        def held(found: re.Match[str]) -> str:
            place = self._places.get(found[1].casefold())
            return "" if place is None else row[place].strip()

        return re.sub(r"\{([^{}]+)\}", held, template).strip()


_AMERICAN = re.compile(r"([0-9]{1,2})[/.-]([0-9]{1,2})[/.-]([0-9]{4})(?:[ T].*)?")
_ISO = re.compile(r"([0-9]{4})-?([0-9]{2})-?([0-9]{2})(?:[ T].*)?")


def _day(text: str | None, day_first: bool) -> str | None:
    """The day as 2026-10-01; what is no date stays as it is, for the mapping to refuse."""
    if text is None:
        return None
    if found := _ISO.fullmatch(text):
        year, month, day = found.groups()
    elif found := _AMERICAN.fullmatch(text):
        month, day, year = found.groups()
        if day_first:
            month, day = day, month
    else:
        return text
    try:
        return date(int(year), int(month), int(day)).isoformat()
    except ValueError:
        return text


def _school_year(day: str | None) -> str:
    """The year in which the school year of a day ends, which in the United States begins in July."""
    if not day or not re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", day):
        return ""
    return str(int(day[:4]) + (int(day[5:7]) >= 7))
