"""A OneRoster CSV package being written: files, manifest, and all of it in its place at once or not at all."""

import csv
import os
import shutil
import zipfile
from collections import Counter
from collections.abc import Collection
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

from connectors.oneroster.catalogue import Version
from connectors.oneroster.server import spelt
from connectors.oneroster.sheets import FILES, Line, header
from gateway.errors import ConfigError


class Package:
    """A package under way, in a folder beside its place that only we can read. It ends in its place with `finish`, and
    is gone without a trace where that is not reached.

    `listed` names the files of a bulk set that are there also without a line, which says: nothing is there. A file that
    is neither listed nor written to is absent. A file of a delta is there when something in it changed.
    """

    def __init__(
        self, place: Path, version: Version, system: str, code: str, *, delta: bool, listed: Collection[str] = ()
    ) -> None:
        self._place = place
        self._version: Version = version
        self._source = {"source.systemName": system, "source.systemCode": code}
        self._mode = "delta" if delta else "bulk"
        self._open: dict[str, tuple[IO[str], Any]] = {}
        self.counts: Counter[str] = Counter()
        if place.exists():
            raise ConfigError("export-exists", f"{place} is there already.", "Choose another name: none is replaced.")
        # No name that anybody else would give: what is there of it is removed.
        self._draft = place.with_name(f".{place.name}.planbridge-draft")
        try:
            shutil.rmtree(self._draft, ignore_errors=True)  # of an export that was killed
            self._draft.mkdir(mode=0o700)
        except OSError as error:
            raise _unwritable(place, error) from None
        for file in listed:
            self._sheet(file)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        for stream, _ in self._open.values():
            stream.close()
        shutil.rmtree(self._draft, ignore_errors=True)

    def put(self, line: Line, at: datetime | None = None, *, gone: bool = False) -> None:
        """Write a line. In a delta it needs the time at which it became so. ConfigError when the disk does not take it.

        # OneRoster CSV: a bulk set has neither status nor time, a delta has both on each line
        """
        if self._mode == "bulk":
            base = (line.id, "", "")
        else:
            assert at is not None, "a line of a delta has a time"
            base = (line.id, "tobedeleted" if gone else "active", spelt(at))
        try:
            self._sheet(line.file).writerow((*base, *line.cells))
        except OSError as error:
            raise _unwritable(self._place, error) from None
        self.counts[line.file] += 1

    def finish(self) -> None:
        """Write the manifest and put the package in its place, as a zip where that is its name, else as a folder."""
        try:
            self._write_manifest()
            for stream, _ in self._open.values():
                stream.close()
            if self._place.suffix.casefold() == ".zip":
                self._pack()
                os.replace(self._zipped, self._place)
            else:
                os.replace(self._draft, self._place)
        except OSError as error:
            raise _unwritable(self._place, error) from None

    @property
    def modes(self) -> dict[str, str]:
        """File -> absent, bulk or delta: every file that there is in this version."""
        return {file: self._mode if file in self._open else "absent" for file in FILES[self._version]}

    @property
    def _zipped(self) -> Path:
        """In the draft: only there can nobody have put a file before us that others may read."""
        return self._draft / "package.zip"

    def _sheet(self, file: str) -> Any:
        """The writer of a file, which begins with its header."""
        if file not in self._open:
            self._open[file] = self._begin(file)
            self._open[file][1].writerow(header(self._version, file))
        return self._open[file][1]

    def _begin(self, name: str) -> tuple[IO[str], Any]:
        path = self._draft / f"{name}.csv"
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        stream = os.fdopen(descriptor, "w", encoding="utf-8", newline="")
        return stream, csv.writer(stream, lineterminator="\r\n")  # RFC 4180

    def _write_manifest(self) -> None:
        properties = {"manifest.version": "1.0", "oneroster.version": self._version}
        properties |= {f"file.{file}": mode for file, mode in self.modes.items()} | self._source
        stream, writer = self._begin("manifest")
        with stream:
            writer.writerows([("propertyName", "value"), *properties.items()])

    def _pack(self) -> None:
        files = sorted(self._draft.iterdir(), key=lambda path: (path.name != "manifest.csv", path.name))
        descriptor = os.open(self._zipped, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as made, zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as package:
            for path in files:
                package.write(path, path.name)


def _unwritable(place: Path, error: OSError) -> ConfigError:
    return ConfigError("file-unwritable", f"{place} cannot be written: {error.strerror}.", "Correct it.")
