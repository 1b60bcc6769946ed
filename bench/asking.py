"""A caller that costs little: so many requests over so many connections, each sent when the last one is answered."""

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from urllib.parse import urlsplit

ABREAST = 8


@dataclass
class Asked:
    """How many answers came, and one of them with its head."""

    answers: int = 0
    sample: bytes = field(default=b"", repr=False)


async def ask(url: str, headers: Sequence[str], times: int, abreast: int = ABREAST) -> Asked:
    """Ask for one address so often. RuntimeError for an answer that is not 200."""
    place = urlsplit(url)
    target = f"{place.path}?{place.query}" if place.query else place.path
    said = "\r\n".join([f"GET {target} HTTP/1.1", f"Host: {place.netloc}", *headers, "", ""]).encode()
    asked = Asked()
    left = iter(range(times))
    await asyncio.gather(*(_connection(place.hostname or "", place.port or 80, said, left, asked)
                           for _ in range(abreast)))  # fmt: skip
    return asked


async def _connection(host: str, port: int, said: bytes, left: Iterator[int], asked: Asked) -> None:
    reader, writer = await asyncio.open_connection(host, port, limit=1 << 22)
    try:
        for _ in left:
            writer.write(said)
            head = await reader.readuntil(b"\r\n\r\n")
            lower = head.lower()
            begin = lower.index(b"content-length:") + 15
            body = await reader.readexactly(int(lower[begin : lower.index(b"\r\n", begin)]))
            if not head.startswith(b"HTTP/1.1 200"):
                raise RuntimeError((head + body)[:2000].decode(errors="replace"))
            asked.answers += 1
            asked.sample = head + body
    finally:
        writer.close()
        await writer.wait_closed()
