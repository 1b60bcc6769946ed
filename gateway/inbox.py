"""Where delivered files lie: a path of this computer, or a folder of an SFTP server; the newest as a local path."""

import asyncio
import os
import re
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Annotated, ClassVar, Self
from urllib.parse import unquote, urlsplit

from pydantic import Field, SecretStr, field_validator, model_validator

from gateway import sftp
from gateway.connector import Advanced, ConnectionSettings, Finding, Page, Resource
from gateway.errors import ConfigError

UPLOADED = "upload-"
"""How the names of uploaded files begin: these alone are ours to remove."""
_UNFINISHED = (".part", ".partial", ".filepart", ".tmp", ".crdownload", ".writing")
_FETCHED = "planbridge-fetched-"
_DAY = 86_400


class FolderSettings(ConnectionSettings):
    """What a connection asks for that leads to a folder, here or at an SFTP server. A connector may give `path` a title
    of its own."""

    path: Annotated[
        str,
        Field(
            default="",
            title="Where the files are",
            description=(
                "A file, a folder, or a folder and a pattern (/data/in/*.zip); of several files the newest counts."
                " Or sftp://user@host/folder."
            ),
        ),
    ]
    sftp_password: Annotated[SecretStr, Field(default=SecretStr(""), title="SFTP password", json_schema_extra=Advanced)]
    sftp_key: Annotated[
        SecretStr,
        Field(
            default=SecretStr(""),
            title="SFTP private key",
            description="Instead of a password: an OpenSSH key without a passphrase, given as file:PATH.",
            json_schema_extra=Advanced,
        ),
    ]
    sftp_fingerprint: Annotated[
        str,
        Field(
            default="",
            title="SFTP host key",
            description="Its fingerprint (SHA256:...), from the owner of the server. Without it nobody is logged in.",
            json_schema_extra=Advanced,
        ),
    ]

    @field_validator("path")
    @classmethod
    def _place(cls, value: str) -> str:
        """The worker runs in another folder than the person who types."""
        if not value:
            return value
        if "://" not in value:
            return str(Path(value).expanduser().absolute())
        parts = urlsplit(value)
        try:
            parts.port  # noqa: B018  it is read when it is asked for
        except ValueError:
            raise ValueError("the port of an address like sftp://user@host/folder is a number below 65536") from None
        if parts.scheme != "sftp" or not parts.hostname or not parts.username:
            raise ValueError("give a path of this computer, or an address like sftp://user@host/folder")
        if parts.password is not None:
            raise ValueError("leave the password out of the address and give it as sftp_password")
        return value

    @model_validator(mode="after")
    def _way_in(self) -> Self:
        if self.path.startswith("sftp://") and bool(self._secret("sftp_password")) == bool(self._secret("sftp_key")):
            raise ValueError("SFTP needs sftp_password or sftp_key, and not both")
        return self

    def _secret(self, name: str) -> str:
        secret: SecretStr = getattr(self, name)
        return secret.get_secret_value()

    @property
    def login(self) -> sftp.Login:
        """Who asks which SFTP server, where the path leads to one."""
        parts = urlsplit(self.path)
        return sftp.Login(
            host=parts.hostname or "",
            port=parts.port or 22,
            user=unquote(parts.username or ""),
            password=self._secret("sftp_password"),
            key=self._secret("sftp_key"),
            fingerprint=self.sftp_fingerprint,
            private=self.network.private,
            patience=self.patience,
        )


class PlaceSettings(FolderSettings):
    """What a connection to delivered files asks for. A connector says with `takes` which files of a folder count where
    the path does not."""

    takes: ClassVar[Sequence[str]] = ("*.zip",)

    upload_days: Annotated[
        int,
        Field(
            default=14,
            ge=1,
            le=366,
            title="Days that uploaded files are kept",
            description="The newest one stays until there is a newer one.",
            json_schema_extra=Advanced,
        ),
    ]


@dataclass(frozen=True)
class Item:
    """One delivered file, or a folder that is one package. `name` is what its sender calls it."""

    path: Path
    name: str
    modified: datetime


class Parcel:
    """What was found at a place, oldest first, as local paths until it is closed. `place` names it for messages."""

    def __init__(self, place: str, items: Sequence[Item], fetched_into: Path | None = None) -> None:
        self.place = place
        self.items = items
        self._fetched_into = fetched_into

    @property
    def newest(self) -> Item:
        """ConfigError where there is nothing."""
        if not self.items:
            raise self.nothing()
        return self.items[-1]

    def nothing(self) -> ConfigError:
        """What to say where there is nothing yet."""
        return ConfigError(
            "inbox-empty",
            f"There is no file at {self.place}.",
            "Check the path, ask whoever sends the files, or put one there with planbridge upload.",
        )

    def nothing_yet(self) -> Finding:
        """The same when somebody connects: a folder may fill later, and nobody can upload to what is not connected. A
        file that is named is to be there."""
        if re.fullmatch(r"[^*?]*\.\w+", self.place.rpartition("/")[2]):
            raise self.nothing()
        return Finding(
            True, f"Nothing lies at {self.place} yet: check the path, or put a file there (planbridge upload)."
        )

    def close(self) -> None:
        """Removes what was fetched from another computer, and nothing else."""
        if self._fetched_into is not None:
            shutil.rmtree(self._fetched_into, ignore_errors=True)


class Nothing:
    """A place where nothing has come yet, as a source: it can be connected to, and not be pulled from, so that what
    was pulled before stays."""

    pages_move = False

    def __init__(self, parcel: Parcel, resources: Sequence[Resource]) -> None:
        self.resources = resources
        self._parcel = parcel

    async def pull(self, resource: Resource, cursor: str) -> Page:
        raise self._parcel.nothing()

    async def check(self) -> Sequence[Finding]:
        return [self._parcel.nothing_yet()]

    async def close(self) -> None:
        self._parcel.close()


Whole = Callable[[Path], bool]
"""Whether a delivered file says everything by itself, so that none before it counts."""


async def newest(settings: PlaceSettings, *, marker: str = "", whole: Whole = lambda path: True) -> Parcel:
    """The newest file there; none where nothing is there yet. Where it is not `whole`, those before it come along, as
    far back as the first that is.

    Of a folder those files count that `takes` of the settings names, unless its path says so itself. A folder that
    holds a file named `marker` is a package as a whole. Raises ConfigError, AuthError and Unavailable. Close the parcel
    when it is read.
    """
    return await _parcel(settings, marker, whole)


async def every(settings: PlaceSettings) -> Parcel:
    """The same with every file that counts, oldest first."""
    return await _parcel(settings, "", lambda path: False)


async def _parcel(settings: PlaceSettings, marker: str, whole: Whole) -> Parcel:
    if settings.path.startswith("sftp://"):
        return await _fetched(settings, marker, whole)
    return await asyncio.to_thread(_local, settings, marker, whole)


def _local(settings: PlaceSettings, marker: str, whole: Whole) -> Parcel:
    folder, patterns = _with_pattern(settings.path, settings.takes)
    path = Path(folder)
    try:
        if not path.is_dir():
            return Parcel(settings.path, [_item(path)] if path.exists() else [])
        if marker and any(file.name.casefold() == marker for file in path.iterdir()):
            return Parcel(settings.path, [_item(path)])
        sweep(path, settings.upload_days)
        files = [file for file in path.iterdir() if _counts(file.name, patterns) and file.is_file()]
        found = sorted(map(_item, files), key=_age)
    except OSError as error:
        raise ConfigError(
            "inbox-cannot-be-read",
            f"{settings.path} cannot be read: {error.strerror}.",
            "Check that the path is right, and that the user who runs Planbridge may read it.",
        ) from None
    items = []
    for item in reversed(found):
        items.append(item)
        if whole(item.path):
            break
    return Parcel(settings.path, items[::-1])


def _with_pattern(path: str, patterns: Sequence[str]) -> tuple[str, Sequence[str]]:
    """A pattern as the last part of a path says what counts in the folder before it."""
    folder, _, last = path.replace(os.sep, "/").rpartition("/")
    return (folder or "/", [last]) if "*" in last or "?" in last else (path, patterns)


def _counts(name: str, patterns: Sequence[str]) -> bool:
    """Files that are hidden or still being written do not."""
    small = name.casefold()
    if small.startswith(".") or small.endswith(_UNFINISHED):
        return False
    return any(fnmatchcase(small, pattern.casefold()) for pattern in patterns)


def _item(path: Path) -> Item:
    return Item(path, path.name, datetime.fromtimestamp(path.stat().st_mtime, UTC))


def _age(item: Item) -> tuple[datetime, str]:
    return item.modified, item.name


async def _fetched(settings: PlaceSettings, marker: str, whole: Whole) -> Parcel:
    folder, patterns = _with_pattern(unquote(urlsplit(settings.path).path) or ".", settings.takes)
    _forget_stale()
    into = Path(tempfile.mkdtemp(prefix=_FETCHED))
    try:
        async with sftp.opened(settings.login) as server:
            there = await server.listing(folder)
            if marker and any(entry.name.casefold() == marker for entry in there):
                return await _whole_folder(server, folder, there, into, settings.path)
            found = [entry for entry in there if _counts(entry.name, patterns)]
            items: list[Item] = []
            for n, entry in enumerate(reversed(found)):
                # A name of our own: that of the server could lead out of the folder.
                path = into / f"{n}{Path(entry.name).suffix.casefold()}"
                await server.fetch(entry, path)
                items.append(Item(path, entry.name, entry.modified))
                if await asyncio.to_thread(whole, path):
                    break
            return Parcel(settings.path, items[::-1], into)
    except BaseException:
        shutil.rmtree(into, ignore_errors=True)
        raise


async def _whole_folder(
    server: sftp.Server, folder: str, there: Sequence[sftp.Entry], into: Path, place: str
) -> Parcel:
    """A package that lies unpacked in its folder."""
    for entry in there:
        if re.fullmatch(r"[A-Za-z0-9_-]+\.csv", entry.name, re.IGNORECASE):
            await server.fetch(entry, into / entry.name)
    modified = max(entry.modified for entry in there)
    return Parcel(place, [Item(into, folder.rpartition("/")[2] or folder, modified)], into)


def _forget_stale() -> None:
    """What an earlier process fetched and, killed, could not remove."""
    for left in Path(tempfile.gettempdir()).glob(f"{_FETCHED}*"):
        try:
            if time.time() - left.stat().st_mtime > _DAY:
                shutil.rmtree(left, ignore_errors=True)
        except OSError:  # gone, or another user's
            continue


def put(settings: PlaceSettings, file: Path) -> Path:
    """Take in an uploaded file: a copy in the folder of the connection, for its owner alone. Whoever looks meanwhile
    sees all of it or nothing. Refused where the connection does not read a folder of this computer."""
    folder, patterns = _with_pattern(settings.path, settings.takes)
    path = Path(folder)
    if not settings.path or settings.path.startswith("sftp://") or path.is_file():
        raise ConfigError(
            "upload-no-folder",
            "This connection does not read a folder of this computer.",
            "Change its setting path to a folder, and then upload.",
        )
    name = f"{UPLOADED}{datetime.now(UTC):%Y%m%dT%H%M%S%f}-{re.sub(r'[^A-Za-z0-9._-]+', '_', file.name)}"
    if not _counts(name, patterns):
        raise ConfigError(
            "upload-not-read",
            f"{file.name} would never be read: of its folder the connection reads only {', '.join(patterns)}, and an"
            f" uploaded file is named like {UPLOADED}20261127-{file.name}.",
            "Give a file of that kind, or change the setting path of the connection to the folder alone.",
        )
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    whole, writing = path / name, path / f"{name}.writing"
    try:
        with file.open("rb") as source, open(writing, "xb", opener=_for_owner) as target:
            shutil.copyfileobj(source, target, 2**20)
            target.flush()
            os.fsync(target.fileno())
        writing.rename(whole)
    except OSError as error:
        writing.unlink(missing_ok=True)
        raise ConfigError(
            "upload-failed",
            f"{file.name} could not be taken in: {error.strerror}.",
            "Check that it can be read, that the folder of the connection can be written, and that there is room.",
        ) from None
    sweep(path, settings.upload_days)
    return whole


def _for_owner(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def sweep(folder: Path, days: int) -> None:
    """Remove what was uploaded into a folder more than so many days ago, but for the newest."""
    uploads = sorted(_uploads(folder))
    for upload in uploads[:-1]:
        if time.time() - upload.stat().st_mtime > days * _DAY:
            upload.unlink(missing_ok=True)


def uploaded(path: str) -> list[Path]:
    """The files that were uploaded to the path of a connection and are still there: copies of ours."""
    folder = Path(_with_pattern(path, ())[0])
    try:
        return sorted(_uploads(folder)) if path and "://" not in path and folder.is_dir() else []
    except PermissionError:  # another user's folder: nothing was uploaded to it by us
        return []


def _uploads(folder: Path) -> Iterator[Path]:
    """Their names begin with the time, so that they sort by it."""
    return (file for file in folder.iterdir() if re.match(rf"{UPLOADED}\d{{8}}T\d+-", file.name))
