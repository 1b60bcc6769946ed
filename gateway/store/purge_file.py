"""The file of purges: what no restored backup may forget, kept outside the database: who was purged, what stands."""

import os
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec

from gateway.errors import ConfigError


class Purged(msgspec.Struct, frozen=True, tag_field="act", tag="purge"):
    """One purge. `marks` are (connection or empty for any, mark); nothing here says who it was."""

    id: str
    at: datetime
    what: str
    district: str
    subject: str
    marks: list[tuple[str, str]]
    counts: dict[str, int]
    remote: dict[str, int]
    because: str
    actor: dict[str, Any]


class Lifted(msgspec.Struct, frozen=True, tag_field="act", tag="lift"):
    """The end of a purge: what was removed stays removed, but its person may be pulled again."""

    id: str
    at: datetime
    because: str
    actor: dict[str, Any]


class Stood(msgspec.Struct, frozen=True, tag_field="act", tag="stand"):
    """What stands from now on (gateway.store.standing). `subject` are marks."""

    id: str
    at: datetime
    kind: str
    district: str
    subject: list[str]
    because: str
    actor: dict[str, Any]


class StoodDown(msgspec.Struct, frozen=True, tag_field="act", tag="stand-down"):
    """The end of that."""

    id: str
    at: datetime
    because: str
    actor: dict[str, Any]


Line = Purged | Lifted | Stood | StoodDown
CUT_OFF = b" "
"""What ends a line that was begun and never finished. None of ours ends with it."""


class PurgeFile:
    """One JSON object per line, only ever added to; readable by us alone."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def read(self) -> list[Line]:
        """Every line, the oldest first. A line that was cut off by a crash, the last one or closed by `append`, belongs
        to no purge: it is written before the purge is committed. ConfigError for anything else that cannot be read."""
        try:
            lines = self.path.read_bytes().split(b"\n")
        except FileNotFoundError:
            return []
        except OSError as error:
            raise self._unusable(str(error.strerror)) from None
        decoder = msgspec.json.Decoder(Line)
        try:
            return [decoder.decode(line) for line in lines[:-1] if line.strip() and not line.endswith(CUT_OFF)]
        except msgspec.DecodeError:
            raise self._unusable("it has lines that are not its own") from None

    def append(self, lines: Iterable[Line]) -> None:
        """Add lines and see them on the disk. ConfigError when that cannot be done."""
        text = b"".join(msgspec.json.encode(line) + b"\n" for line in lines)
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            handle = os.open(self.path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o600)
            try:
                size = os.fstat(handle).st_size
                cut_off = size > 0 and _last_byte(handle, size) != b"\n"
                text = CUT_OFF + b"\n" + text if cut_off else text
                while text:  # a disk that gets full takes a part first
                    text = text[os.write(handle, text) :]
                os.fsync(handle)
            finally:
                os.close(handle)
        except OSError as error:
            raise self._unusable(str(error.strerror)) from None

    def _unusable(self, why: str) -> ConfigError:
        return ConfigError(
            "purge-file-unusable",
            f"The file of purges {self.path} cannot be used: {why}.",
            "Restore it from its copy, or correct its rights or PLANBRIDGE_PURGES; without it nothing is purged.",
        )


def _last_byte(handle: int, size: int) -> bytes:
    os.lseek(handle, size - 1, os.SEEK_SET)
    return os.read(handle, 1)
