"""Which files are read, in which order, and how their rows become pages of students, assessments and results."""

import asyncio
import zipfile
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import msgspec

from connectors.assessment_files import layouts
from connectors.assessment_files.layouts import Layout
from connectors.assessment_files.layouts.reading import Reading
from connectors.assessment_files.models import RESOURCES, Assessment, Student
from connectors.assessment_files.settings import AssessmentFilesSettings
from connectors.assessment_files.table import Place, Table
from gateway import zips
from gateway.connector import Finding, Notice, Page, Resource, Unreadable
from gateway.errors import ConfigError
from gateway.inbox import Nothing, Parcel, every, newest

PAGE_ROWS = 2000

_encode = msgspec.json.Encoder().encode


async def open_files(settings: AssessmentFilesSettings) -> "ResultFiles | Nothing":
    """The files at the settings' path, each with its layout. ConfigError where one cannot be read or understood."""
    find = newest if settings.which == "newest" else every
    parcel = await find(settings)
    if not parcel.items:
        return Nothing(parcel, list(RESOURCES.values()))
    try:
        return await asyncio.to_thread(ResultFiles, settings, parcel)
    except BaseException:
        parcel.close()
        raise


@dataclass
class Found:
    """What all files say of students and assessments: few, however many results there are. `differing`: students of
    whom the files state two numbers of one kind; none of them counts, since one is somebody else's."""

    students: dict[str, Student] = field(default_factory=dict)
    by_vendor_id: dict[str, Student] = field(default_factory=dict)
    differing: set[tuple[str, str]] = field(default_factory=set)
    assessments: dict[str, Assessment] = field(default_factory=dict)

    def add(self, student: Student | None, vendor_id: str | None, assessments: Sequence[Assessment]) -> None:
        for one in assessments:
            self.assessments.setdefault(one.key, one)
        if student is None:
            return
        same = [self.students.setdefault(student.key, student)]
        if vendor_id is not None:
            same.append(self.by_vendor_id.setdefault(vendor_id, student))
        for known in same:
            for kind in ("district", "state"):
                was, now = getattr(known, kind), getattr(student, kind)
                if was and now and was != now:
                    self.differing |= {(student.key, kind), (known.key, kind)}
        known = same[0]
        self.students[student.key] = Student(
            student.key, student.district or known.district, student.state or known.state
        )

    def stated(self) -> list[Student]:
        return [
            Student(
                one.key,
                None if (one.key, "district") in self.differing else one.district,
                None if (one.key, "state") in self.differing else one.state,
            )
            for _, one in sorted(self.students.items())
        ]


class ResultFiles:
    """Delivered result files as a source. A file is never the whole truth: every page is partial, and a result that
    does not come again is not gone.

    A cursor of the results is `<line>:<file>`, where its page begins. Only one page is held at a time; who the students
    are and what was measured is collected in a first pass.
    """

    pages_move = False
    reads_all_again: Literal[True] = True

    def __init__(self, settings: AssessmentFilesSettings, parcel: Parcel) -> None:
        self.resources: Sequence[Resource] = list(RESOURCES.values())
        self._settings = settings
        self._parcel = parcel
        self._zips: list[zipfile.ZipFile] = []
        self._open: tuple[Table, Reading] | None = None
        self._found: Found | None = None
        self._own = layouts.read(Path(settings.layout_file)) if settings.layout_file else None
        try:
            self._files = self._places()
            for name in self._files:
                self._opened(name)[0].close()
        except ConfigError:
            self._shut()
            raise

    async def pull(self, resource: Resource, cursor: str) -> Page:
        if resource.name == "results":
            return await asyncio.to_thread(self._results, cursor)
        return await asyncio.to_thread(self._few, resource.name, int(cursor or 0))

    async def check(self) -> Sequence[Finding]:
        """What each file is taken for, how many results it holds, and which of its columns are not understood."""
        return [await asyncio.to_thread(self._finding, name) for name in self._files]

    async def close(self) -> None:
        self._shut()
        self._parcel.close()

    def _results(self, cursor: str) -> Page:
        names = list(self._files)
        line, _, name = cursor.partition(":") if cursor else ("2", "", names[0])
        if name not in self._files:
            raise ConfigError(
                "result-file-gone", f"{name} is not there any more.", "Leave a file where it is until it is read."
            )
        with zips.damage(name):
            if self._open is None or (self._open[0].name, self._open[0].line) != (name, int(line)):
                self._shut_table()
                self._open = self._opened(name)
                self._open[0].skip_to(int(line))
            table, reading = self._open
            page, more = _page(table, reading)
        if more:
            following = [f"{table.line}:{name}"]
        else:
            self._shut_table()
            following = [f"2:{one}" for one in names[names.index(name) + 1 :][:1]]
        return replace(page, next=tuple(following))

    def _few(self, collection: str, first: int) -> Page:
        """Students or assessments, which are known when every file was read once."""
        if self._found is None:
            self._found = self._first_pass()
        records: Sequence[Student | Assessment] = self._found.stated()
        if collection == "assessments":
            records = list(self._found.assessments.values())
        rows = [msgspec.Raw(_encode(one)) for one in records[first : first + PAGE_ROWS]]
        following = first + PAGE_ROWS
        notices = [
            Notice("two-numbers-of-one-student", kind, count=n)
            for kind, n in Counter(kind for _, kind in self._found.differing).items()
            if collection == "students" and not first
        ]
        return Page(
            rows, next=(str(following),) if following < len(records) else (), total=len(records), notices=notices,
            partial=True,
        )  # fmt: skip

    def _first_pass(self) -> Found:
        found = Found()
        for name in self._files:
            with zips.damage(name):
                table, reading = self._opened(name)
                with closing(table):
                    for line in table.records():
                        if isinstance(line.cells, list):
                            for _, assessments in reading.results(line.cells):
                                found.add(reading.student(line.cells), reading.vendor_id(line.cells), assessments)
        return found

    def _finding(self, name: str) -> Finding:
        table, reading = self._opened(name)
        results = unreadable = unnamed = 0
        with zips.damage(name), closing(table):
            for line in table.records():
                if isinstance(line.cells, Unreadable):
                    unreadable += 1
                    continue
                students = [result.student for result, _ in reading.results(line.cells)]
                results += len(students)
                unnamed += students.count(None)
        said = f"{name}: {reading.layout}, {results} results"
        if reading.unknown:
            said += f"; columns that are not understood and dropped: {', '.join(reading.unknown)}"
        if unreadable or unnamed:
            wrong = f"{said}; {unreadable} rows cannot be read, {unnamed} results are nobody's."
            return Finding(False, wrong, "They are set aside: `planbridge rejects` lists them after a pull.")
        return Finding(True, f"{said}.")

    def _opened(self, name: str) -> tuple[Table, Reading]:
        with zips.damage(name):
            table = Table(self._files[name], name)
        try:
            return table, self._layout(table.header, name).reading(table.header)
        except ConfigError:
            table.close()
            raise

    def _layout(self, header: Sequence[str], name: str) -> Layout:
        chosen = self._own or (layouts.named(self._settings.layout) if self._settings.layout else None)
        if chosen is None:
            return layouts.recognised(header, name)
        if lacking := chosen.lacks(header):
            raise ConfigError(
                "csv-missing-column",
                f"{name} has no column {', '.join(lacking)}, which the layout {chosen.name} requires.",
                "The first line must hold the column names; or choose another layout.",
            )
        return chosen

    def _places(self) -> dict[str, Place]:
        """The files by name: the oldest first, and those in a zip by their names there."""
        files: dict[str, Place] = {}
        for item in self._parcel.items:
            with zips.damage(item.name):
                if zipfile.is_zipfile(item.path):
                    opened = zips.opened(item.path)
                    self._zips.append(opened)
                    files |= {f"{item.name}/{place.at}": place for place in _in_zip(opened)}
                else:
                    files[item.name] = item.path
        if not files:
            raise ConfigError(
                "result-files-none",
                f"There is no CSV file in what lies at {self._parcel.place}.",
                "Give the path of a CSV file, of a zip with CSV files, or of a folder with either.",
            )
        return files

    def _shut_table(self) -> None:
        if self._open is not None:
            self._open[0].close()
            self._open = None

    def _shut(self) -> None:
        self._shut_table()
        for opened in self._zips:
            opened.close()


def _page(table: Table, reading: Reading) -> tuple[Page, bool]:
    """The next results of a file, and whether there may be more."""
    rows: list[msgspec.Raw] = []
    positions: list[str] = []
    unreadable: list[Unreadable] = []
    notices = Counter({Notice("file-unknown-column", title): 1 for title in reading.unknown if table.line == 2})
    for line in table.records():
        if isinstance(line.cells, Unreadable):
            unreadable.append(line.cells)
        else:
            if line.foreign:
                notices[Notice("file-not-utf-8", table.name)] += 1
            for result, _ in reading.results(line.cells):
                rows.append(msgspec.Raw(_encode(result)))
                positions.append(f"{table.name} row {line.number}")
        if len(rows) + len(unreadable) >= PAGE_ROWS:
            break
    else:
        return _made(rows, positions, unreadable, notices), False
    return _made(rows, positions, unreadable, notices), True


def _made(
    rows: list[msgspec.Raw], positions: list[str], unreadable: list[Unreadable], notices: Counter[Notice]
) -> Page:
    counted = [replace(notice, count=n) for notice, n in notices.items()]
    return Page(rows, positions=positions, unreadable=unreadable, notices=counted, partial=True)


def _in_zip(opened: zipfile.ZipFile) -> Iterator[zipfile.Path]:
    for name in sorted(opened.namelist()):
        hidden = name.startswith("__MACOSX") or Path(name).name.startswith(".")
        if not hidden and name.casefold().endswith((".csv", ".txt")):
            yield zipfile.Path(opened, name)
