"""An SFTP server of our own on loopback, which does wrong what it is told to."""

import asyncio
import os
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import asyncssh

PASSWORD = "correct horse"
HOST_KEY = asyncssh.generate_private_key("ssh-ed25519")
OUR_KEY = asyncssh.generate_private_key("ssh-ed25519")
FINGERPRINT = HOST_KEY.get_fingerprint()
PRIVATE = ["127.0.0.1: the server of these tests"]


@dataclass
class Told:
    """What a server was told, and where it can be reached."""

    port: int = 0
    users: list[str] = field(default_factory=list)
    passwords: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)
    cut_after: int | None = None
    """So many bytes of one file are written, and then the connection is gone."""
    falls: bool = False
    """The next PDF comes to stand under its name, the answer is lost, and from then on the server is `down`."""
    down: bool = False
    wrote: int = 0
    """How many PDFs came to stand under their names since `forget`."""

    def forget(self) -> None:
        self.wrote = 0


@asynccontextmanager
async def served(
    folder: Path, *, while_reading: Callable[[str], None] | None = None, replaces: bool = True
) -> AsyncIterator[Told]:
    """A server of that folder for as long as the block lasts. `replaces`: whether a file can take another's place in
    one step, as OpenSSH does it and others do not."""
    told = Told()

    class Server(asyncssh.SSHServer):
        def connection_made(self, conn: asyncssh.SSHServerConnection) -> None:
            if told.down:
                conn.abort()

        def begin_auth(self, username: str) -> bool:
            told.users.append(username)
            return True

        def password_auth_supported(self) -> bool:
            return True

        def validate_password(self, username: str, password: str) -> bool:
            told.passwords.append(password)
            return password == PASSWORD

        def public_key_auth_supported(self) -> bool:
            return True

        def validate_public_key(self, username: str, key: asyncssh.SSHKey) -> bool:
            return key.get_fingerprint() == OUR_KEY.get_fingerprint()

    class Files(asyncssh.SFTPServer):
        def __init__(self, channel: Any) -> None:
            super().__init__(channel, chroot=os.fsencode(folder))
            self._connection = channel.get_connection()

        def open(self, path: bytes, pflags: int, attrs: asyncssh.SFTPAttrs) -> object:
            told.requests.append(f"open {path.decode()} {pflags}")
            if while_reading is not None:
                while_reading(path.decode())
            return super().open(path, pflags, attrs)

        def write(self, file_obj: object, offset: int, data: bytes) -> Any:
            if told.cut_after is not None and offset + len(data) > told.cut_after:
                super().write(file_obj, offset, data[: max(told.cut_after - offset, 0)])
                self._connection.abort()
                raise asyncssh.SFTPConnectionLost("cut")
            return super().write(file_obj, offset, data)

        def posix_rename(self, oldpath: bytes, newpath: bytes) -> Any:
            if not replaces:
                raise asyncssh.SFTPOpUnsupported("not here")
            super().posix_rename(oldpath, newpath)
            if newpath.endswith(b".pdf"):
                told.wrote += 1
                if told.falls:
                    told.falls, told.down = False, True
                    self._connection.abort()
                    raise asyncssh.SFTPConnectionLost("cut")

        def remove(self, path: bytes) -> Any:
            told.requests.append("remove")
            return super().remove(path)

    server = await asyncssh.listen(
        "127.0.0.1", 0, server_factory=Server, server_host_keys=[HOST_KEY], sftp_factory=Files
    )
    told.port = server.get_port()
    try:
        yield told
    finally:
        server.close()
        await server.wait_closed()


@contextmanager
def served_apart(folder: Path) -> Iterator[Told]:
    """The same in a thread, for whoever has no event loop of their own, or several."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    server = served(folder)
    try:
        yield asyncio.run_coroutine_threadsafe(server.__aenter__(), loop).result()
    finally:
        asyncio.run_coroutine_threadsafe(server.__aexit__(None, None, None), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


def login(told: Told, path: str = "/out", **more: Any) -> dict[str, Any]:
    secret = {} if "sftp_key" in more else {"sftp_password": PASSWORD}
    at = {"path": f"sftp://planbridge@127.0.0.1:{told.port}{path}", "private_addresses": PRIVATE, "patience": 20}
    return at | secret | {"sftp_fingerprint": FINGERPRINT} | more
