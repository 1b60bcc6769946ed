"""The only place that speaks SFTP: a server is known by its host key before it is told anything."""

import asyncio
import logging
import re
import stat
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, cast

from gateway.errors import AuthError, ConfigError, Unavailable
from gateway.http import PrivateAddress, permitted_addresses

if TYPE_CHECKING:
    import asyncssh

LARGEST = 4 * 1024**3  # bytes of one file; a package of ten million rows is a tenth of it

LARGEST_READ = 256 * 1024**2  # bytes of a file that is read at once


@dataclass(frozen=True)
class Login:
    """Who asks whom. Either a password or a private key."""

    host: str
    port: int
    user: str
    password: str = field(repr=False)
    key: str = field(repr=False)
    fingerprint: str
    private: Sequence[PrivateAddress]
    patience: float


@dataclass(frozen=True)
class Entry:
    """One file there; `folder` is where."""

    folder: str
    name: str
    size: int
    modified: datetime


@asynccontextmanager
async def opened(login: Login) -> AsyncIterator["Server"]:
    """A server, logged in. ConfigError names the host key that is shown where it is not the one that is expected."""
    import asyncssh  # here: 15 MB that no worker needs who reads no SFTP

    asyncssh.set_log_level(logging.WARNING)  # below that it writes users and file names
    shown: list[asyncssh.SSHKey] = []

    class Known(asyncssh.SSHClient):
        def validate_host_public_key(self, host: str, addr: str, port: int, key: "asyncssh.SSHKey") -> bool:
            shown.append(key)
            return _same(key.get_fingerprint(), login.fingerprint)

    key = _private_key(login)
    try:
        with _failures(login.host):
            # Looked up once: what was permitted is what is connected to.
            address, *_ = await permitted_addresses(login.host, login.port, login.private, login.patience)
            connection = await asyncssh.connect(
                address,
                login.port,
                username=login.user,
                password=login.password or None,
                client_keys=[key] if key else None,
                client_factory=Known,
                known_hosts=([], [], []),
                # Nothing of whoever runs this: no configuration, agent, keys or tickets.
                config=[],
                agent_path=None,
                gss_host=None,
                x509_trusted_certs=None,
                host_based_auth=False,
                preferred_auth=["publickey"] if key else ["password", "keyboard-interactive"],
                connect_timeout=login.patience,
                login_timeout=login.patience,
                keepalive_interval=login.patience / 3,
            )
    except asyncssh.HostKeyNotVerifiable:
        raise _stranger(login, shown[0] if shown else None) from None
    try:
        with _failures(login.host):
            client = await connection.start_sftp_client()
        yield Server(login, client)
    finally:
        connection.close()
        await connection.wait_closed()


def _same(shown: str, expected: str) -> bool:
    return bool(expected) and shown.removeprefix("SHA256:").rstrip("=") == expected.removeprefix("SHA256:").rstrip("=")


def _private_key(login: Login) -> "asyncssh.SSHKey | None":
    import asyncssh

    if not login.key:
        return None
    try:
        return asyncssh.import_private_key(login.key + "\n")
    except asyncssh.KeyImportError:
        raise ConfigError(
            "sftp-key",
            "The private key for SFTP cannot be read.",
            "Give an OpenSSH private key without a passphrase, as sftp_key=file:PATH.",
        ) from None


def _stranger(login: Login, key: "asyncssh.SSHKey | None") -> ConfigError:
    if key is None:
        return ConfigError(
            "sftp-host-key",
            f"{login.host} shows no host key that can be read.",
            "Ask the owner of the server which kinds of host key it has.",
        )
    shown = f"{login.host} shows the host key {key.get_fingerprint()} ({key.get_algorithm()})"
    if login.fingerprint:
        return ConfigError(
            "sftp-host-key",
            f"{shown}, which is not the one that is set.",
            "Somebody may stand in between: ask the owner of the server before you change sftp_fingerprint.",
        )
    return ConfigError(
        "sftp-host-key",
        f"{shown}; none is set yet, so nobody was logged in.",
        "Ask the owner of the server whether it is theirs, and set sftp_fingerprint to it.",
    )


@contextmanager
def _failures(host: str, what: str = "", done: str = "read") -> Iterator[None]:
    """What goes wrong between us and a server, by what happens next: `what` was to be read or written. The server's own
    words are not repeated."""
    import asyncssh

    try:
        yield
    except asyncssh.HostKeyNotVerifiable:
        raise
    except asyncssh.PermissionDenied:
        raise AuthError(
            "sftp-login-refused",
            f"{host} does not let this user in.",
            "Check the user in the address, and the password or the key; ask the owner of the server.",
        ) from None
    except (asyncssh.SFTPNoSuchFile, asyncssh.SFTPNoSuchPath, asyncssh.SFTPPermissionDenied) as error:
        denied = isinstance(error, asyncssh.SFTPPermissionDenied)
        raise ConfigError(
            "sftp-folder",
            f"{what} {f'may not be {done} by this user' if denied else 'is not there'} on {host}.",
            "Correct the folder in the address, or ask the owner of the server.",
        ) from None
    except (asyncssh.Error, OSError, UnicodeError) as error:
        raise Unavailable(
            "sftp-unreachable",
            f"{host} could not be {done} by SFTP ({type(error).__name__}).",
            "It is tried again later; if it lasts, ask the owner of the server.",
        ) from None


class Server:
    """A server that is logged in to."""

    def __init__(self, login: Login, client: "asyncssh.SFTPClient") -> None:
        self._login = login
        self._client = client

    async def listing(self, folder: str) -> Sequence[Entry]:
        """The plain files of a folder, oldest first. Links are not followed: they may lead anywhere."""
        with _failures(self._login.host, folder):
            async with asyncio.timeout(self._login.patience):
                found = await self._client.readdir(folder)
        entries = [
            Entry(folder, str(one.filename), one.attrs.size or 0, datetime.fromtimestamp(one.attrs.mtime or 0, UTC))
            for one in found
            if one.attrs.permissions is not None and stat.S_ISREG(one.attrs.permissions)
            if re.fullmatch(r"[^/\\\x00-\x1f]+", str(one.filename))
        ]
        return sorted(entries, key=lambda entry: (entry.modified, entry.name))

    async def fetch(self, entry: Entry, to: Path) -> None:
        """Copy a file here, for this user alone. Unavailable when it was still being written."""
        remote = _in(entry.folder, entry.name)
        if entry.size > LARGEST:
            raise ConfigError(
                "sftp-too-large",
                f"{entry.name} on {self._login.host} has {entry.size / 1024**3:.0f} GB.",
                "No district delivers so much: ask the sender what it is.",
            )
        with _failures(self._login.host, remote):
            copied = 0
            async with self._client.open(remote, "rb") as source:
                with to.open("xb") as target:
                    while copied <= entry.size:
                        async with asyncio.timeout(self._login.patience):
                            block = cast(bytes, await source.read(2**20))
                        if not block:
                            break
                        await asyncio.to_thread(target.write, block)
                        copied += len(block)
            after = await self._client.stat(remote)
        if copied != entry.size or after.size != entry.size:
            raise Unavailable(
                "sftp-being-written",
                f"{entry.name} on {self._login.host} changed while it was read.",
                "It is read again later, when its sender has finished.",
            )

    async def read(self, folder: str, name: str) -> bytes | None:
        """The whole of a small file; None where it is not there."""
        import asyncssh

        with _failures(self._login.host, folder):
            async with asyncio.timeout(self._login.patience):
                try:
                    async with self._client.open(_in(folder, name), "rb") as source:
                        found = cast(bytes, await source.read(LARGEST_READ + 1))
                except asyncssh.SFTPNoSuchFile:
                    return None
        if len(found) > LARGEST_READ:
            raise ConfigError(
                "sftp-too-large",
                f"A list on {self._login.host} has more than {LARGEST_READ / 1024**2:.0f} MB.",
                "No list of ours is so long: ask the owner of the server who wrote it.",
            )
        return found

    async def write(self, folder: str, name: str, content: bytes, temporary: str) -> None:
        """Put a whole file there: nobody sees a part of it under its name. It is written as `temporary` first, which
        stays behind where the connection ends before that."""
        import asyncssh

        with _failures(self._login.host, folder, "written"):
            async with asyncio.timeout(self._login.patience):
                # Whoever else has an account at the server has no business with it. A server may give less.
                ours = asyncssh.SFTPAttrs(permissions=0o640)
                async with self._client.open(_in(folder, temporary), "xb", ours) as target:
                    await target.write(content)
                    with suppress(asyncssh.SFTPOpUnsupported):  # then it is as durable as the server makes it
                        await target.fsync()
                await self._rename(_in(folder, temporary), _in(folder, name))

    async def _rename(self, old: str, new: str) -> None:
        import asyncssh

        try:
            await self._client.posix_rename(old, new)
        except asyncssh.SFTPOpUnsupported:
            # Such a server replaces nothing: for a moment there is no file, and never half of one.
            with suppress(asyncssh.SFTPNoSuchFile):
                await self._client.remove(new)
            await self._client.rename(old, new)

    async def remove(self, folder: str, name: str) -> None:
        """Take a file away; what is gone already is fine."""
        import asyncssh

        with _failures(self._login.host, folder, "written"):
            async with asyncio.timeout(self._login.patience):
                with suppress(asyncssh.SFTPNoSuchFile):
                    await self._client.remove(_in(folder, name))


def _in(folder: str, name: str) -> str:
    return f"{folder.rstrip('/')}/{name}"
