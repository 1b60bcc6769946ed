"""Ed-Fi and OneRoster servers that cost next to nothing: rows are bytes already, an answer is cut out of a file."""

import argparse
import asyncio
import json
import mmap
import re
import sys
from array import array
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlencode

from connectors.edfi.twin import refusals

_BELOW = ("/partitions", "/deletes", "/keyChanges")
"""What an Ed-Fi collection has besides its rows."""
TOKEN = "bench"  # noqa: S105 of servers that hold invented people only
_JSON = "application/json; charset=utf-8"


@dataclass(frozen=True)
class Answer:
    """What goes back: a status, its own headers, a body that is JSON."""

    status: int
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)

    def encoded(self) -> bytes:
        lines = [f"HTTP/1.1 {self.status} -", f"content-type: {_JSON}", f"content-length: {len(self.body)}"]
        lines += [f"{name}: {value}" for name, value in self.headers.items()]
        return "\r\n".join([*lines, "", ""]).encode() + self.body


@dataclass(frozen=True)
class Request:
    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes = b""

    @property
    def address(self) -> str:
        return f"http://{self.headers['host']}"

    def number(self, name: str, default: int) -> int:
        return int(self.query.get(name, default))


class Rows:
    """A file of JSON lines, of which any stretch can be had as the inside of a JSON list."""

    def __init__(self, path: Path) -> None:
        with path.open("rb") as file:
            self._bytes = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) if path.stat().st_size else b""
        self._ends = [0, *(found.end() for found in re.finditer(rb"\n", self._bytes))]

    def __len__(self) -> int:
        return len(self._ends) - 1

    def cut(self, first: int, count: int) -> bytes:
        last = min(first + count, len(self))
        if first >= last:
            return b"[]"
        return b"[%b]" % self._bytes[self._ends[first] : self._ends[last] - 1].replace(b"\n", b",")

    def these(self, places: Iterable[int]) -> bytes:
        return b"[%b]" % b",".join(self._bytes[self._ends[one] : self._ends[one + 1] - 1] for one in places)


class Changed:
    """The change version of each row of a collection, and its tombstones; windows are found as a server does."""

    def __init__(self, folder: Path, name: str) -> None:
        versions = array("q")
        versions.frombytes((folder / f"{name}.versions").read_bytes())
        self._by_version = sorted(range(len(versions)), key=versions.__getitem__)
        self._versions = [versions[place] for place in self._by_version]
        self._told = {kind: _lines(folder / f"{name}.{kind}") for kind in ("deletes", "keyChanges")}

    def places(self, low: int, high: int) -> Sequence[int]:
        """Where the rows of that window stand, in the order in which a server lists them."""
        return sorted(self._by_version[bisect_left(self._versions, low) : bisect_right(self._versions, high)])

    def tombstones(self, kind: str, low: int, high: int) -> Sequence[object]:
        return [one for one in self._told[kind] if low <= one["changeVersion"] <= high]


def _lines(path: Path) -> Sequence[dict[str, Any]]:
    return [json.loads(line) for line in path.read_bytes().splitlines()]


class Server:
    """What both have in common. `asked` counts the pages of each collection since the count was last read."""

    def __init__(self, folder: Path, *, page_cap: int) -> None:
        self._rows = {path.stem: Rows(path) for path in sorted(folder.glob("*.jsonl"))}
        self._page_cap = page_cap
        self.asked: Counter[str] = Counter()

    def answer(self, request: Request) -> Answer:
        if request.path == "/_asked":
            told, self.asked = dict(self.asked), Counter()
            return _json(told)
        if request.path in ("/token", "/oauth/token"):
            return _json({"access_token": TOKEN, "token_type": "bearer", "expires_in": 86_400})
        described = self.described(request)
        if described is not None:
            return described
        if request.headers.get("authorization", "").casefold() != f"bearer {TOKEN}":
            return _json({"error": "a bearer token, please"}, 401)
        if (other := self.other(request)) is not None:
            return other
        path = request.path
        for below in _BELOW:
            path = path.removesuffix(below)
        name = path.rpartition("/")[2]
        if name not in self._rows:
            return _json({"error": "no such collection"}, 404)
        self.asked[name + request.path[len(path) :]] += 1
        return self.page(request, name, self._rows[name])

    def described(self, request: Request) -> Answer | None:
        """What is told without a token."""
        return None

    def other(self, request: Request) -> Answer | None:
        """What else there is than rows."""
        return None

    def page(self, request: Request, name: str, rows: Rows) -> Answer:
        raise NotImplementedError


class Edfi(Server):
    """An ODS/API 7.3 with Data Standard 5.0: pages by offset and by token, partitions, a total when asked; what
    changed within a window of change versions, by offset."""

    def __init__(self, folder: Path, *, page_cap: int) -> None:
        super().__init__(folder, page_cap=page_cap)
        self._changed = {name: Changed(folder, name) for name in self._rows}
        self._newest = int((folder / "newest").read_text(encoding="ascii"))

    def described(self, request: Request) -> Answer | None:
        here = request.address
        resources = [f"/ed-fi/{name}" for name in self._rows]
        told = {
            "/": {
                "version": "7.3",
                "suite": "3",
                "dataModels": [{"name": "Ed-Fi", "version": "5.0.0"}],
                "urls": {
                    "dependencies": f"{here}/metadata/data/v3/dependencies",
                    "openApiMetadata": f"{here}/metadata/",
                    "oauth": f"{here}/oauth/token",
                    "dataManagementApi": f"{here}/data/v3/",
                    "changeQueries": f"{here}/changeQueries/v1/",
                },
            },
            "/changeQueries/v1/availableChangeVersions": {
                "oldestChangeVersion": 0,
                "newestChangeVersion": self._newest,
            },
            "/metadata/data/v3/dependencies": [
                {"resource": name, "order": n, "operations": ["Create", "Update"]} for n, name in enumerate(resources)
            ],
            # As much of them as a client wants that asks for parameters before it reads.
            "/metadata": [
                {"name": name, "endpointUri": f"{here}/metadata/{name}"} for name in ("Resources", "Descriptors")
            ],
            "/metadata/Resources": {"paths": {}},
            "/metadata/Descriptors": {"paths": {}},
        }.get(request.path.rstrip("/") or "/")
        return None if told is None else _json(told)

    def page(self, request: Request, name: str, rows: Rows) -> Answer:
        if request.path.endswith("/partitions"):
            return self._partitions(request, rows)
        by_token = "pageToken" in request.query
        size = request.number("pageSize" if by_token else "limit", min(25, self._page_cap))
        if size > self._page_cap:
            what = f"Limit must be omitted or set to a value between 0 and {self._page_cap}."
            return _json(refusals.body(refusals.bad_parameter("limit", what), modern=True), 400)
        if "minChangeVersion" in request.query:
            return self._window(request, name, rows, size)
        first, last = _span(request.query.get("pageToken", ""), request.number("offset", 0), len(rows))
        count = max(0, min(size, last - first))
        headers = {"Next-Page-Token": f"{first + count}.{last}"} if count else {}
        if request.query.get("totalCount", "").casefold() == "true":
            headers["Total-Count"] = str(len(rows))
        return Answer(200, rows.cut(first, count), headers)

    def _window(self, request: Request, name: str, rows: Rows, size: int) -> Answer:
        low, high = request.number("minChangeVersion", 0), request.number("maxChangeVersion", self._newest)
        changed, first = self._changed[name], request.number("offset", 0)
        kind = request.path.rpartition("/")[2]
        found: Sequence[object]
        if kind == name:
            places = changed.places(low, high)
            found, body = places, rows.these(places[first : first + size])
        else:
            found = changed.tombstones(kind, low, high)
            body = json.dumps(found[first : first + size]).encode()
        counted = request.query.get("totalCount", "").casefold() == "true"
        return Answer(200, body, {"Total-Count": str(len(found))} if counted else {})

    def _partitions(self, request: Request, rows: Rows) -> Answer:
        wanted = request.number("number", 10)
        size = max(5 * self._page_cap, -(-len(rows) // wanted))
        return _json({"pageTokens": [f"{n}.{min(n + size, len(rows))}" for n in range(0, len(rows), size)]})


def _span(token: str, offset: int, total: int) -> tuple[int, int]:
    if not token:
        return offset, total
    first, _, last = token.partition(".")
    return int(first), int(last)


class OneRoster(Server):
    """A OneRoster 1.2 provider that clamps the limit without a word, gives totals and Link headers."""

    def page(self, request: Request, name: str, rows: Rows) -> Answer:
        size = min(request.number("limit", 100), self._page_cap)
        first = request.number("offset", 0)
        headers = {"X-Total-Count": str(len(rows))}
        if first + size < len(rows):
            following = urlencode({**request.query, "limit": size, "offset": first + size})
            headers["Link"] = f'<{request.address}{request.path}?{following}>; rel="next"'
        return Answer(200, b'{"%b":%b}' % (name.encode(), rows.cut(first, size)), headers)


def _json(content: object, status: int = 200) -> Answer:
    return Answer(status, json.dumps(content).encode())


class _Connection(asyncio.Protocol):
    """One client: request after request, each answered after `delay` seconds if it asks for a page or writes."""

    def __init__(self, answer: Callable[[Request], Answer], delay: float) -> None:
        self._answer = answer
        self._delay = delay
        self._received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._received += data
        while (end := self._received.find(b"\r\n\r\n")) >= 0:
            request = _parsed(self._received[:end].decode("latin-1"))
            whole = end + 4 + int(request.headers.get("content-length", 0))
            if len(self._received) < whole:
                return
            request = replace(request, body=self._received[end + 4 : whole])
            self._received = self._received[whole:]
            self._reply(request)

    def _reply(self, request: Request) -> None:
        encoded = self._answer(request).encoded()
        if self._delay and (request.query or request.method != "GET"):
            asyncio.get_running_loop().call_later(self._delay, self._write, encoded)
        else:
            self._write(encoded)

    def _write(self, encoded: bytes) -> None:
        if not self._transport.is_closing():
            self._transport.write(encoded)


def _parsed(head: str) -> Request:
    first, *lines = head.split("\r\n")
    method, target, _ = first.split(" ")
    path, _, query = target.partition("?")
    headers = {name.casefold(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    return Request(method, path, dict(parse_qsl(query)), headers)


async def serve(server: Server, *, port: int = 0, delay: float = 0.0) -> asyncio.Server:
    """Listen on loopback; answers to queries, which pages are, and to writes come after `delay` seconds."""
    loop = asyncio.get_running_loop()
    return await loop.create_server(lambda: _Connection(server.answer, delay), "127.0.0.1", port)


async def run(kinds: Mapping[str, type[Server]]) -> None:
    """A server process of one of these kinds, as its command line says; it tells its address."""
    asked = argparse.ArgumentParser()
    asked.add_argument("kind", choices=tuple(kinds))
    asked.add_argument("folder", type=Path)
    asked.add_argument("--port", type=int, default=0)
    asked.add_argument("--page-cap", type=int, default=500)
    asked.add_argument("--delay", type=float, default=0.0)
    told = asked.parse_args()
    server = kinds[told.kind](told.folder, page_cap=told.page_cap)
    listening = await serve(server, port=told.port, delay=told.delay)
    print(f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}", flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)  # until whoever started it is gone


if __name__ == "__main__":
    asyncio.run(run({"edfi": Edfi, "oneroster": OneRoster}))
