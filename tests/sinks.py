"""What notices arrive at, on real sockets: a mail server and a web server that take what comes and keep it."""

import asyncio
import email
import email.policy
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from email.message import EmailMessage
from typing import TypeVar


@dataclass
class MailServer:
    """A mail server (RFC 5321) for one test. `refusing`: no recipient is good enough."""

    port: int = 0
    refusing: bool = False
    mails: list[EmailMessage] = field(default_factory=list)

    async def talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 sink\r\n")
        while line := await reader.readline():
            match line.split()[0].upper():
                case b"DATA":
                    writer.write(b"354 go on\r\n")
                    text = await reader.readuntil(b"\r\n.\r\n")
                    self.mails.append(email.message_from_bytes(text[:-3], policy=email.policy.default))
                    writer.write(b"250 taken\r\n")
                case b"RCPT" if self.refusing:
                    writer.write(b"550 nobody of that name\r\n")
                case b"QUIT":
                    writer.write(b"221 bye\r\n")
                    break
                case _:
                    writer.write(b"250 fine\r\n")

    @property
    def texts(self) -> list[str]:
        return [mail.get_content() for mail in self.mails]

    @property
    def subjects(self) -> list[str]:
        return [mail["Subject"] for mail in self.mails]


@dataclass(frozen=True)
class Asked:
    """One request, as it came."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


@dataclass
class WebServer:
    """A web server for one test: answers every request with `status`, or with 0 never."""

    port: int = 0
    status: int = 200
    asked: list[Asked] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        first, *lines = head.strip().split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        body = await reader.readexactly(int(headers.get("content-length", "0")))
        method, path, _ = first.split()
        self.asked.append(Asked(method, path, headers, body))
        if not self.status:
            await reader.read()  # until the other side gives up
            return
        writer.write(f"HTTP/1.1 {self.status} x\r\ncontent-length: 2\r\nconnection: close\r\n\r\nOK".encode())
        await writer.drain()


Sink = TypeVar("Sink", MailServer, WebServer)


@asynccontextmanager
async def mail_server() -> AsyncIterator[MailServer]:
    async with _listening(MailServer()) as sink:
        yield sink


@asynccontextmanager
async def web_server() -> AsyncIterator[WebServer]:
    async with _listening(WebServer()) as sink:
        yield sink


@asynccontextmanager
async def _listening(sink: Sink) -> AsyncIterator[Sink]:
    """For as long as the block lasts; no socket is left behind, of which a later test would be told."""
    under_way = set[asyncio.Task[None]]()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        under_way.add(task)
        try:
            await sink.talk(reader, writer)
        finally:
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()
            under_way.discard(task)

    server = await asyncio.start_server(talk, "127.0.0.1", 0)
    sink.port = server.sockets[0].getsockname()[1]
    async with server:
        yield sink
    for task in (late := list(under_way)):
        task.cancel()
    await asyncio.gather(*late, return_exceptions=True)


@contextmanager
def both() -> Iterator[tuple[MailServer, WebServer]]:
    """Both, for tests that do not run in an event loop of their own."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()

    async def opened() -> tuple[MailServer, WebServer]:
        return await mail.__aenter__(), await web.__aenter__()

    async def closed() -> None:
        await web.__aexit__(None, None, None)
        await mail.__aexit__(None, None, None)

    mail, web = mail_server(), web_server()
    try:
        yield asyncio.run_coroutine_threadsafe(opened(), loop).result()
    finally:
        asyncio.run_coroutine_threadsafe(closed(), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
