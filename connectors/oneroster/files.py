"""What a OneRoster CSV package holds: a zip or a folder, its manifest, and which files it says are whole or changes."""

import asyncio
import zipfile
from collections.abc import Container, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path

import msgspec

from connectors.oneroster.columns import COLUMNS, NEVER_READ
from connectors.oneroster.manifest import read_manifest
from connectors.oneroster.models import RESOURCES
from connectors.oneroster.rows import Place, Table
from connectors.oneroster.students import Students
from gateway import zips
from gateway.connector import START, Finding, Notice, Page, Resource
from gateway.errors import ConfigError
from gateway.inbox import Parcel

FIRST = 2
"""The line of a table's first row."""
_SPELT_WRONG = ("csv-header-typo", "csv-older-column")


async def open_files(path: Path) -> "FileSource":
    """The package at `path`, a zip or a folder, its manifest and every header read. ConfigError if it is none."""
    return await asyncio.to_thread(FileSource, path)


class FileSource:
    """A package as a source. A cursor is the number of the line that the page begins with; the header is 1.

    The rows of a page stand next to each other in the file, so that `first_row` numbers them all; a row that cannot
    be read ends the page. Only one page is held at a time, however long the file is. A cursor carries the mark of the
    package: where another one has taken its place meanwhile, its lines are others.
    """

    pages_move = False

    def __init__(self, path: Path, parcel: Parcel | None = None) -> None:
        self._parcel = parcel
        self.resources: Sequence[Resource] = [RESOURCES[name] for name in COLUMNS]
        self._zip: zipfile.ZipFile | None = None
        self._tables: dict[str, Table] = {}
        self._students: Students | None = None
        try:
            with zips.damage(path.name):
                self._contents = _contents(self._top(path), path.name)
                self.mark = _mark(self._zip, self._contents)
                files = self._contents.files
                self.manifest = read_manifest(files["manifest.csv"], files.keys())
                for name in COLUMNS:
                    if not self._reason_absent(name):
                        self._table(name).close()
        except BaseException:
            self.shut()
            raise

    async def pull(self, resource: Resource, cursor: str) -> Page:
        if reason := self._reason_absent(resource.name):
            return Page(absent=reason)
        line, _, mark = cursor.partition("@")
        if cursor != START and mark != self.mark:
            raise ConfigError(
                "csv-package-changed",
                f"Another package has taken the place of the one of which {resource.name}.csv was being read.",
                "Pull again: the new one is then read from its beginning.",
            )
        return await asyncio.to_thread(self._page, resource.name, int(line or FIRST))

    def _page(self, name: str, line: int) -> Page:
        with zips.damage(f"{name}.csv"):
            table = self._tables.pop(name, None)
            if table is None or table.line != line:
                if table is not None:
                    table.close()
                table = self._table(name, students=self._who_is_a_student() if name == "users" else None)
                table.skip_to(line)
            page = table.page()
            if page.next:
                self._tables[name] = table
            else:
                table.close()
        notices = (*page.notices, *table.notices, *self._of_the_package(name)) if line == FIRST else page.notices
        return replace(page, next=tuple(f"{line}@{self.mark}" for line in page.next), notices=notices)

    def _of_the_package(self, name: str) -> Iterator[Notice]:
        """What about a file is odd, but not in it; with the first one of all, what is odd in the package."""
        if self._contents.names[f"{name}.csv".casefold()] != f"{name}.csv":
            yield Notice("csv-file-name", f"{name}.csv", f"{name}.csv")
        if name in self.manifest.unlisted:
            yield Notice("csv-file-not-listed", f"{name}.csv", "manifest.csv")
        if name == next(one for one in COLUMNS if not self._reason_absent(one)):
            yield from self.manifest.notices
            yield from self._oddities()

    def _oddities(self) -> Iterator[Notice]:
        if self._contents.folder:
            yield Notice("csv-folder-in-package", "manifest.csv", "manifest.csv")
        for name in NEVER_READ:
            if f"{name}.csv".casefold() in self._contents.files:
                yield Notice("csv-file-dropped", f"{name}.csv", f"{name}.csv")
        if strange := self._strange_files():
            yield Notice("csv-unknown-file", ", ".join(strange), strange[0], len(strange))

    def _strange_files(self) -> list[str]:
        known = {f"{name}.csv".casefold() for name in (*COLUMNS, *NEVER_READ, "manifest")}
        return sorted(name for key, name in self._contents.names.items() if key.endswith(".csv") and key not in known)

    def _who_is_a_student(self) -> Students | None:
        """What roles.csv says; read before the users, and only where it is part of the package."""
        if self._students is None and self.manifest.version != "1.1":
            mode = self.manifest.modes.get("roles", "absent")
            if self._reason_absent("roles"):
                self._students = Students((), whole=False)
            else:
                with closing(self._table("roles")) as table:
                    self._students = Students(table.rows(), whole=mode == "bulk")
        return self._students

    async def check(self) -> Sequence[Finding]:
        """What the package holds, file by file."""
        named = f", {self._parcel.newest.name}" if self._parcel is not None else ""
        whole = Finding(True, f"OneRoster {self.manifest.version} CSV package{named}, from {self.manifest.system}.")
        found = [whole, *[await asyncio.to_thread(self._finding, name) for name in COLUMNS]]
        for name in NEVER_READ:
            if f"{name}.csv".casefold() in self._contents.files:
                found.append(Finding(True, f"{name}.csv is not read: it holds credentials, which are never kept."))
        if strange := self._strange_files():
            found.append(Finding(True, f"Not read, because OneRoster does not know them: {', '.join(strange)}."))
        return found

    def _finding(self, name: str) -> Finding:
        if reason := self._reason_absent(name):
            there = f"{name}.csv".casefold() in self._contents.files
            fix = "Ask the sender to list it as bulk or delta in manifest.csv." if there else ""
            return Finding(not there, f"{name}: {reason}.", fix)
        with zips.damage(f"{name}.csv"), closing(self._table(name)) as table:
            unreadable, notices = table.page().unreadable, table.notices
        mode = self.manifest.modes[name]
        said = f"{name}.csv: {'not listed, read' if name in self.manifest.unlisted else 'listed'} as {mode}"
        said += ", header understood"
        if mode == "delta":
            said += " (only what changed: without a bulk package before it, the rest is missing)"
        if table.extra:
            fate = "dropped" if "metadata" in RESOURCES[name].closed else "kept as metadata"
            said += f", columns unknown to OneRoster ({fate}): {', '.join(table.extra)}"
        if typos := [notice.field.partition(": ")[2] for notice in notices if notice.code in _SPELT_WRONG]:
            said += f", {', '.join(typos)}"
        if unreadable:
            return Finding(False, f"{said}, {unreadable[0].position} cannot be read.", unreadable[0].reason)
        return Finding(True, f"{said}.")

    def mode(self, name: str) -> str:
        """bulk, delta or absent."""
        return "absent" if self._reason_absent(name) else self.manifest.modes[name]

    def keys(self, name: str) -> Container[str]:
        """The key of every record in a file; they are held all at once, so it should be a delta."""
        with zips.damage(f"{name}.csv"), closing(self._table(name)) as table:
            return {key for row in table.rows() if (key := key_of(row))}

    async def close(self) -> None:
        self.shut()

    def shut(self) -> None:
        for table in self._tables.values():
            table.close()
        if self._zip is not None:
            self._zip.close()
        if self._parcel is not None:
            self._parcel.close()

    def _top(self, path: Path) -> Place:
        if path.is_dir():
            return path
        self._zip = zips.opened(path)
        return zipfile.Path(self._zip)

    def _reason_absent(self, name: str) -> str:
        """Why a collection is not in the package; empty when it is."""
        mode = self.manifest.modes.get(name)
        if mode in ("bulk", "delta"):
            return ""
        if name == "roles" and self.manifest.version == "1.1":
            return "roles.csv begins with OneRoster 1.2"
        there = f", although {name}.csv is there" if f"{name}.csv".casefold() in self._contents.files else ""
        said = "is marked absent in manifest.csv" if mode else "is not listed in manifest.csv"
        return f"{name}.csv {said}{there}"

    def _table(self, name: str, students: Students | None = None) -> Table:
        file = self._contents.files.get(f"{name}.csv".casefold())
        mode = self.manifest.modes[name]
        if file is None:
            raise ConfigError(
                "csv-file-missing",
                f"manifest.csv lists {name}.csv as {mode}, but the package does not hold it.",
                f"Ask for a package with {name}.csv, or with file.{name} marked absent.",
            )
        return Table(file, name, delta=mode == "delta", students=students)


def key_of(row: msgspec.Raw | bytes) -> str:
    """Empty where a row has none."""
    return msgspec.json.decode(row, type=_Keyed).sourcedId


class _Keyed(msgspec.Struct):
    sourcedId: str = ""


@dataclass(frozen=True)
class Contents:
    """The files of a package and their names as they are written, by lower-case name; whether they lie in a folder."""

    files: dict[str, Place]
    names: dict[str, str]
    folder: bool


def _contents(top: Place, name: str) -> Contents:
    """The files in the folder where the manifest is: at the top or in the one folder there."""
    folders = [item for item in top.iterdir() if item.is_dir() and not item.name.startswith(("__MACOSX", "."))]
    for folder in (top, *(folders if len(folders) == 1 else ())):
        found = [item for item in folder.iterdir() if item.is_file()]
        files: dict[str, Place] = {item.name.casefold(): item for item in found}
        if "manifest.csv" not in files:
            continue
        _check_folder(folder, found, len(files))
        return Contents(files, {item.name.casefold(): item.name for item in found}, folder is not top)
    raise ConfigError(
        "csv-no-manifest",
        f"{name} holds no manifest.csv.",
        "Export again as OneRoster 1.1 or 1.2 CSV; manifest.csv must be beside the other files.",
    )


def _check_folder(folder: Place, found: Sequence[Place], names: int) -> None:
    """The same rules for a folder as for a zip: no name twice, nothing that lies elsewhere."""
    elsewhere = [item.name for item in found if isinstance(item, Path) and item.is_symlink()]
    if elsewhere or names != len(found):
        what = f"{elsewhere[0]} is a link" if elsewhere else "Two files have one name, but for capitals"
        raise ConfigError(
            "csv-unsafe-folder", f"{what} in {folder.name}.", "Put the files themselves into the folder, each once."
        )


def _mark(opened: zipfile.ZipFile | None, contents: Contents) -> str:
    """Tells one package from another: by what is in it for a zip, by length and time for a folder."""
    if opened is not None:
        state = sorted((entry.filename, entry.CRC, entry.file_size) for entry in opened.infolist())
    else:
        stats = {name: file.stat() for name, file in contents.files.items() if isinstance(file, Path)}
        state = sorted((name, found.st_mtime_ns, found.st_size) for name, found in stats.items())
    return sha256(repr(state).encode()).hexdigest()[:12]
