"""What a OneRoster CSV package holds: a zip or a folder, its manifest, and which files it says are whole."""

import asyncio
import csv
import re
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from connectors.oneroster.models import RESOURCES
from connectors.oneroster.rows import COLUMNS, LONGEST_LINE, Place, Table
from gateway.connector import START, Finding, Page, Resource
from gateway.errors import ConfigError
from gateway.inbox import Parcel, PlaceSettings, newest

LONGEST_FILE = 8 * 1024**3  # bytes unpacked; ten million results are about 1.5 GB


async def open_package(place: PlaceSettings) -> "FileSource | NoPackage":
    """The newest package at a place, opened; where nothing is there yet, a source that says so."""
    parcel = await newest(place, marker="manifest.csv")
    if not parcel.items:
        return NoPackage(parcel)
    try:
        return await asyncio.to_thread(FileSource, parcel.newest.path, parcel)
    except BaseException:
        parcel.close()
        raise


class NoPackage:
    """A place where nothing has come yet: it can be connected to, and not be pulled from."""

    pages_move = False

    def __init__(self, parcel: Parcel) -> None:
        self.resources: Sequence[Resource] = [RESOURCES[name] for name in COLUMNS]
        self._parcel = parcel

    async def pull(self, resource: Resource, cursor: str) -> Page:
        raise self._parcel.nothing()

    async def check(self) -> Sequence[Finding]:
        nothing = self._parcel.nothing()
        return [Finding(False, nothing.message, nothing.fix)]

    async def close(self) -> None:
        self._parcel.close()


async def open_files(path: Path) -> "FileSource":
    """The package at `path`, a zip or a folder, its manifest and every header read. ConfigError if it is none."""
    return await asyncio.to_thread(FileSource, path)


class FileSource:
    """A bulk package as a source. A cursor is the number of the line that the page begins with; the header is 1.

    The rows of a page stand next to each other in the file, so that `first_row` numbers them all; a row that cannot
    be read ends the page. Only one page is held at a time, however long the file is.
    """

    pages_move = False

    def __init__(self, path: Path, parcel: Parcel | None = None) -> None:
        self._parcel = parcel
        self.resources: Sequence[Resource] = [RESOURCES[name] for name in COLUMNS]
        self._zip: zipfile.ZipFile | None = None
        self._tables: dict[str, Table] = {}
        try:
            with _damage(path.name):
                self._files = _files_with_manifest(self._top(path), path.name)
                self.manifest = _read_manifest(self._files["manifest.csv"])
                for name in COLUMNS:
                    if not self._reason_absent(name):
                        self._table(name).close()
        except ConfigError:
            self._shut()
            raise

    async def pull(self, resource: Resource, cursor: str) -> Page:
        if reason := self._reason_absent(resource.name):
            return Page(absent=reason)
        return await asyncio.to_thread(self._page, resource.name, 2 if cursor == START else int(cursor))

    def _page(self, name: str, line: int) -> Page:
        with _damage(f"{name}.csv"):
            table = self._tables.pop(name, None)
            if table is None or table.line != line:
                if table is not None:
                    table.close()
                table = self._table(name)
                table.skip_to(line)
            page = table.page()
            if page.next:
                self._tables[name] = table
            else:
                table.close()
            return page

    async def check(self) -> Sequence[Finding]:
        """What the package holds, file by file."""
        whole = Finding(True, f"OneRoster {self.manifest.version} CSV package, from {self.manifest.system}.")
        return [whole, *[await asyncio.to_thread(self._finding, name) for name in COLUMNS]]

    def _finding(self, name: str) -> Finding:
        if reason := self._reason_absent(name):
            there = f"{name}.csv".casefold() in self._files
            fix = "Ask the sender to list it as bulk in manifest.csv." if there else ""
            return Finding(not there, f"{name}: {reason}.", fix)
        with _damage(f"{name}.csv"), closing(self._table(name)) as table:
            unreadable = table.page().unreadable
        said = f"{name}.csv: listed as bulk, header understood"
        if table.extra:
            fate = "dropped" if "metadata" in RESOURCES[name].closed else "kept as metadata"
            said += f", columns unknown to OneRoster ({fate}): {', '.join(table.extra)}"
        if unreadable:
            return Finding(False, f"{said}, {unreadable[0].position} cannot be read.", unreadable[0].reason)
        return Finding(True, f"{said}.")

    async def close(self) -> None:
        self._shut()

    def _shut(self) -> None:
        for table in self._tables.values():
            table.close()
        if self._zip is not None:
            self._zip.close()
        if self._parcel is not None:
            self._parcel.close()

    def _top(self, path: Path) -> Place:
        if path.is_dir():
            return path
        self._zip = zipfile.ZipFile(path)
        _check_entries(self._zip)
        return zipfile.Path(self._zip)

    def _reason_absent(self, name: str) -> str:
        """Why a collection is not in the package; empty when it is."""
        mode = self.manifest.modes.get(name.casefold())
        if mode == "bulk":
            return ""
        if name == "roles" and self.manifest.version == "1.1":
            return "roles.csv begins with OneRoster 1.2"
        there = f", although {name}.csv is there" if f"{name}.csv".casefold() in self._files else ""
        said = "is marked absent in manifest.csv" if mode else "is not listed in manifest.csv"
        return f"{name}.csv {said}{there}"

    def _table(self, name: str) -> Table:
        file = self._files.get(f"{name}.csv".casefold())
        if file is None:
            raise ConfigError(
                "csv-file-missing",
                f"manifest.csv lists {name}.csv as bulk, but the package does not hold it.",
                f"Ask for a package with {name}.csv, or with file.{name} marked absent.",
            )
        return Table(file, name)


@contextmanager
def _damage(name: str) -> Iterator[None]:
    """What a broken or unreadable file raises, as a ConfigError."""
    try:
        yield
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, NotImplementedError) as error:
        raise ConfigError(
            "csv-cannot-be-read",
            f"{name} cannot be read: {getattr(error, 'strerror', None) or error}.",
            "Check that the path is right, that this computer may read it, and that the upload was complete.",
        ) from error


def _check_entries(opened: zipfile.ZipFile) -> None:
    for entry in opened.infolist():
        if entry.flag_bits & 1:
            raise ConfigError("csv-encrypted", f"{entry.filename} is encrypted.", "Give a package without a password.")
        if entry.file_size > LONGEST_FILE:
            raise ConfigError(
                "csv-too-large",
                f"{entry.filename} would unpack to {entry.file_size / 1024**3:.0f} GB.",
                "No district has so many rows: ask the sender what it is.",
            )


def _files_with_manifest(top: Place, name: str) -> dict[str, Place]:
    """The files by lower-case name, in the folder where the manifest is: at the top or in the one folder there."""
    folders = [item for item in top.iterdir() if item.is_dir() and not item.name.startswith(("__MACOSX", "."))]
    for folder in (top, *(folders if len(folders) == 1 else ())):
        files: dict[str, Place] = {item.name.casefold(): item for item in folder.iterdir() if item.is_file()}
        if "manifest.csv" in files:
            return files
    raise ConfigError(
        "csv-no-manifest",
        f"{name} holds no manifest.csv.",
        "Export again as OneRoster 1.1 or 1.2 CSV; manifest.csv must be beside the other files.",
    )


@dataclass(frozen=True)
class Manifest:
    """`modes` holds bulk or absent by lower-case collection name."""

    version: str
    modes: dict[str, str]
    system: str


def _read_manifest(file: Place) -> Manifest:
    with file.open("rb") as stream:
        text = stream.read(LONGEST_LINE).decode("utf-8-sig", "replace")
    lines = [line for line in csv.reader(text.splitlines()) if len(line) >= 2]
    properties = {line[0].strip().casefold(): line[1].strip() for line in lines}
    stated = properties.get("oneroster.version", "")
    version = re.match(r"1\.[12]", stated)
    if version is None:
        raise ConfigError(
            "csv-version",
            f"manifest.csv has the oneroster.version {stated!r}.",
            "Export as OneRoster 1.1 or 1.2.",
        )
    modes = {
        name.removeprefix("file."): mode.casefold() for name, mode in properties.items() if name.startswith("file.")
    }
    for name in COLUMNS:
        _check_mode(name, modes.get(name.casefold(), ""))
    system = properties.get("source.systemname") or "a system that does not say its name"
    return Manifest(version[0], {name: mode for name, mode in modes.items() if mode}, system)


def _check_mode(name: str, mode: str) -> None:
    if mode == "delta":
        raise ConfigError(
            "csv-delta-not-supported",
            f"manifest.csv lists {name}.csv as delta, and this release reads whole (bulk) packages only.",
            "Set the export to bulk.",
        )
    if mode not in ("bulk", "absent", ""):
        raise ConfigError(
            "csv-manifest-value",
            f"manifest.csv has {mode!r} for file.{name}.",
            "It must be bulk or absent.",
        )
