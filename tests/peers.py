"""Servers that answer byte for byte what a test tells them, names that mean what it says, and who was connected to."""

import asyncio
import datetime
import json
import socket
import ssl
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self
from urllib.parse import parse_qsl

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from gateway.http import ClientCredentials, Http, MemoryTokens, Token


@dataclass
class Asked:
    method: str
    path: str
    headers: dict[str, str]
    body: bytes = b""

    @property
    def bearer(self) -> str:
        return self.headers.get("authorization", "").removeprefix("Bearer ")

    @property
    def form(self) -> dict[str, str]:
        return dict(parse_qsl(self.body.decode()))


class Cut(bytes):
    """What is written before the connection is dropped."""


Answer = Callable[[Asked], "bytes | Awaitable[bytes]"]


@dataclass
class Peer:
    answer: Answer
    tls: ssl.SSLContext | None = None
    greeting: bytes = b""
    asked: list[Asked] = field(default_factory=list)
    connections: int = 0
    _writers: list[asyncio.StreamWriter] = field(default_factory=list)

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=self.tls)
        self.port: int = self._server.sockets[0].getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for writer in self._writers:
            writer.transport.abort()
        await asyncio.sleep(0)
        await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self._writers.append(writer)
        writer.write(self.greeting)
        try:
            while True:
                asked = await _read(reader)
                self.asked.append(asked)
                answer = self.answer(asked)
                out = answer if isinstance(answer, bytes) else await answer
                writer.write(out)
                await writer.drain()
                if isinstance(out, Cut):
                    break
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    def to(self, path: str) -> list[Asked]:
        return [asked for asked in self.asked if asked.path.partition("?")[0] == path]


async def _read(reader: asyncio.StreamReader) -> Asked:
    head = (await reader.readuntil(b"\r\n\r\n")).decode()
    first, *lines = head.strip().split("\r\n")
    method, path, _ = first.split(" ")
    headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}
    body = await reader.readexactly(int(headers.get("content-length", 0)))
    return Asked(method, path, headers, body)


def whole(status: int = 200, body: Any = None, *, kind: str = "application/json", **headers: str) -> bytes:
    """One full answer; a body that is not bytes is written as JSON."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    lines = [f"HTTP/1.1 {status} X", f"content-type: {kind}", f"content-length: {len(content)}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + content


def in_turn(*answers: bytes) -> Answer:
    """One answer after the other, the last for ever."""
    left = list(answers)
    return lambda _: left.pop(0) if len(left) > 1 else left[0]


def token_server(data: Answer, **grant: Any) -> Answer:
    """Hands out t1, t2, ... at /token, asks `data` for every other path."""
    count = 0

    def answer(asked: Asked) -> bytes | Awaitable[bytes]:
        nonlocal count
        if asked.path != "/token":
            return data(asked)
        count += 1
        return whole(body={"access_token": f"t{count}", "expires_in": 1800, "token_type": "bearer"} | grant)

    return answer


def credentials(peer: Peer, **other: Any) -> ClientCredentials:
    return ClientCredentials(f"{peer.url}/token", "client-1", "secret-1", **other)


@asynccontextmanager
async def http(auth: Any = None, **settings: Any) -> AsyncIterator[Http]:
    settings = {"tokens": MemoryTokens(), "allow_private": True, "attempts": 3, **settings}
    async with Http(auth, **settings) as client:
        yield client


async def expire(tokens: MemoryTokens) -> None:
    for key, token in list(tokens._tokens.items()):
        await tokens.put(key, Token(token.access_token, time.time() - 1))


OK = whole(body={"ok": True})


def dns(names: dict[str, list[str]], asked: list[str] | None = None) -> Callable[..., list[Any]]:
    """A name server that knows these names; addresses are understood as ever."""
    real = socket.getaddrinfo

    def look_up(host: str, port: int, family: int = 0, kind: int = 0, *_: Any, **__: Any) -> list[Any]:
        if asked is not None:
            asked.append(host)
        host.encode("idna")  # the real one refuses a label that is too long in the same way
        addresses = names.get(host, [host])
        return [entry for address in addresses for entry in real(address, port, family, kind, 0, socket.AI_NUMERICHOST)]

    return look_up


@dataclass
class Certificate:
    file: Path
    server: ssl.SSLContext
    names: list[str | None]


def made_certificate(folder: Path) -> Certificate:
    """A certificate of sis.example.org, signed by itself, and a server that notes which name it is asked as."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "sis.example.org")])
    now = datetime.datetime.now(datetime.UTC)
    signed = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("sis.example.org")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    (folder / "cert.pem").write_bytes(signed.public_bytes(serialization.Encoding.PEM))
    (folder / "key.pem").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(folder / "cert.pem", folder / "key.pem")
    names: list[str | None] = []
    server.sni_callback = lambda _, asked_name, __: names.append(asked_name)
    return Certificate(folder / "cert.pem", server, names)


_watching: list[list[Any]] = []


def _note_connect(event: str, args: tuple[Any, ...]) -> None:
    if event == "socket.connect" and _watching:
        _watching[-1].append(args[1][:2])


sys.addaudithook(_note_connect)


@contextmanager
def connecting() -> Iterator[list[Any]]:
    """Every address that anything in this process connects to meanwhile."""
    _watching.append([])
    yield _watching[-1]
    _watching.pop()
