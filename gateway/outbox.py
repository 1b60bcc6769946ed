"""A folder that files are put into, here or at an SFTP server: each is there whole or not at all."""

import asyncio
import errno
import os
import re
import secrets
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence, Set
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Protocol
from urllib.parse import unquote, urlsplit

from gateway import sftp
from gateway.errors import ConfigError, Unavailable
from gateway.inbox import FolderSettings

ABANDONED = timedelta(hours=1)
"""A file of ours that is unfinished for so long is nobody's work any more."""
_UNFINISHED = re.compile(r"\.planbridge-[0-9a-f]{16}-(.+)\.part")


class _Files(Protocol):
    async def listing(self) -> Mapping[str, datetime]:
        """Name -> when it was last written, of what is unfinished."""
        ...

    async def read(self, name: str) -> bytes | None: ...
    async def write(self, name: str, content: bytes, temporary: str) -> None: ...
    async def remove(self, name: str) -> None: ...


@asynccontextmanager
async def opened(settings: FolderSettings) -> AsyncIterator["Folder"]:
    """The folder that the settings name. ConfigError where it is not there, AuthError and Unavailable as by SFTP."""
    if not settings.path.startswith("sftp://"):
        yield Folder(_Local(Path(settings.path)))
        return
    async with sftp.opened(settings.login) as server:
        yield Folder(_Remote(server, unquote(urlsplit(settings.path).path) or "."))


@dataclass(frozen=True)
class Lying:
    """What lies in a folder: `names` of files, and what is `unfinished`, by the name under which it lies: what it was
    to become, and when it was last written."""

    names: Set[str]
    unfinished: Mapping[str, tuple[str, datetime]]

    @property
    def abandoned(self) -> Sequence[str]:
        """What nobody is still at, whoever began it."""
        return [name for name, (_, at) in self.unfinished.items() if datetime.now(UTC) - at > ABANDONED]


class Folder:
    """An outgoing folder. Whoever looks into it meanwhile sees each file as it was or as it is now."""

    def __init__(self, files: _Files) -> None:
        self._files = files

    async def lying(self) -> Lying:
        """What lies there."""
        names, unfinished = set(), {}
        for name, modified in (await self._files.listing()).items():
            if found := _UNFINISHED.fullmatch(name):
                unfinished[name] = found[1], modified
            else:
                names.add(name)
        return Lying(names, unfinished)

    async def read(self, name: str) -> bytes | None:
        """The whole of a file; None where it is not there."""
        return await self._files.read(name)

    async def write(self, name: str, content: bytes) -> None:
        """Put a file there, in the place of the one of that name. What an earlier attempt left unfinished stays until
        somebody removes it."""
        await self._files.write(name, content, f".planbridge-{secrets.token_hex(8)}-{name}.part")

    async def remove(self, name: str) -> None:
        """Take a file away; what is gone already is fine."""
        await self._files.remove(name)

    async def try_out(self) -> None:
        """Write something and take it away: ConfigError where that is not allowed."""
        name = f".planbridge-{secrets.token_hex(8)}-check.part"
        await self._files.write(name, b"", f"{name}.part")
        await self._files.remove(name)


@dataclass(frozen=True)
class _Remote:
    server: sftp.Server
    folder: str

    async def listing(self) -> Mapping[str, datetime]:
        return {entry.name: entry.modified for entry in await self.server.listing(self.folder)}

    async def read(self, name: str) -> bytes | None:
        return await self.server.read(self.folder, name)

    async def write(self, name: str, content: bytes, temporary: str) -> None:
        await self.server.write(self.folder, name, content, temporary)

    async def remove(self, name: str) -> None:
        await self.server.remove(self.folder, name)


@dataclass(frozen=True)
class _Local:
    folder: Path

    async def listing(self) -> Mapping[str, datetime]:
        return await asyncio.to_thread(self._listing)

    async def read(self, name: str) -> bytes | None:
        return await asyncio.to_thread(self._read, name)

    async def write(self, name: str, content: bytes, temporary: str) -> None:
        await asyncio.to_thread(self._write, name, content, temporary)

    async def remove(self, name: str) -> None:
        await asyncio.to_thread(self._remove, name)

    def _listing(self) -> Mapping[str, datetime]:
        found = {}
        with _failures(self.folder), os.scandir(self.folder) as entries:
            for entry in entries:
                with suppress(FileNotFoundError):  # another worker may have taken it away just now
                    if entry.is_file(follow_symlinks=False):
                        # To ask each of ten thousand for its time would be most of the work.
                        when = entry.stat().st_mtime if _UNFINISHED.fullmatch(entry.name) else 0
                        found[entry.name] = datetime.fromtimestamp(when, UTC)
        return found

    def _read(self, name: str) -> bytes | None:
        with _failures(self.folder):
            try:
                return (self.folder / name).read_bytes()
            except FileNotFoundError:
                return None

    def _write(self, name: str, content: bytes, temporary: str) -> None:
        writing = self.folder / temporary
        with _failures(self.folder):
            # For the owner and the group of the folder: another program is to read it, and nobody else.
            handle = os.open(writing, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o640)
            try:
                with open(handle, "wb") as file:
                    file.write(content)
                    file.flush()
                    os.fsync(file.fileno())
                os.replace(writing, self.folder / name)
            except OSError:
                writing.unlink(missing_ok=True)
                raise
            self._keep()

    def _remove(self, name: str) -> None:
        with _failures(self.folder):
            (self.folder / name).unlink(missing_ok=True)
            self._keep()

    def _keep(self) -> None:
        """The folder itself, so that a name survives a power cut; not every system can."""
        with suppress(OSError):
            handle = os.open(self.folder, os.O_RDONLY)
            try:
                os.fsync(handle)
            finally:
                os.close(handle)


_A_PERSON_MENDS = {errno.ENOENT, errno.ENOTDIR, errno.EACCES, errno.EPERM, errno.EROFS, errno.ENAMETOOLONG}


@contextmanager
def _failures(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in _A_PERSON_MENDS:
            raise ConfigError(
                "outbox-folder",
                f"{folder} cannot be used: {error.strerror}.",
                "Check that the folder is there, and that the user who runs Planbridge may read and write it.",
            ) from None
        raise Unavailable(
            "outbox-failed",
            f"{folder} could not be written: {error.strerror}.",
            "Check that there is room, and that the disk or the share is there; then send the plan again.",
        ) from None
