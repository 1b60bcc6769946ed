"""What the suite has to know of a destination, and the wire between the gateway and its twin."""

import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, unquote_plus

from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway import jobs, sync
from gateway.connector import Document
from gateway.store import reading, registers
from gateway.store.database import Store
from gateway.store.registers import Actor
from tests.serving import serve

ACTOR = Actor("Ottoline Farrow", "educator")
Words = Mapping[str, str]
"""What each of `need`, `goal`, `strength` and `support` of a plan says."""
WORDS: Words = {part: f"A {part} in plain words." for part in ("need", "goal", "strength", "support")}
ODD: Words = {
    "need": 'Braucht <b>Ruhe</b> & "Zeit", it\'s 5 > 4 &amp; &nbsp; so.',
    "goal": "Liest 🐢🏳️‍🌈 und 𝒜 laut vor: " + "x" * 101,
    "strength": "يقرأ كثيرًا ‏(עברית)‏ every day.",
    "support": "Ｌese-Gruppe <i>naïve</i> & Co. — ½ 時間 " + "n" * 61,
}
"""Markup, entities, emoji and what is beyond the first plane, right-to-left text, names of 101 characters."""


@dataclass(frozen=True)
class Asked:
    """One request as it came. `wrote`: it changed something there, or would have."""

    method: str
    path: str
    body: bytes
    wrote: bool
    head: bytes = b""
    """The whole address and every header, a line each."""


@dataclass
class Wire:
    """Stands before a twin. `falls`: the next write is done, its answer is lost, and from then on nobody is there.
    `down`: nobody is there, and what comes is asked to come back in an hour."""

    app: ASGIApp
    writes: Callable[[str, str, bytes], bool]
    falls: bool = False
    down: bool = False
    echoes: str = ""
    """No write that has this in it is taken, and in the answer, which has that `status`, stands what it said, in every
    place for words."""
    status: int = 400
    seen: list[Asked] = field(default_factory=list)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        body, more = b"", True
        while more:
            message = await receive()
            body, more = body + message.get("body", b""), message.get("more_body", False)
        wrote = self.writes(scope["method"], scope["path"], body)
        lines = [scope["raw_path"] + b"?" + scope["query_string"], *(b": ".join(one) for one in scope["headers"])]
        asked = Asked(scope["method"], scope["path"], body, wrote, b"\n".join(lines))
        if self.down:
            await Response(status_code=503, headers={"retry-after": "3600"})(scope, receive, send)
            return
        self.seen.append(asked)
        if self.echoes and self.echoes.encode() in body:
            await _echo(body, self.status)(scope, receive, send)
            return

        async def again() -> Message:
            return {"type": "http.request", "body": body, "more_body": False}

        if not (self.falls and asked.wrote):
            await self.app(scope, again, send)
            return
        self.falls, self.down = False, True

        async def lost(message: Message) -> None:
            pass

        await self.app(scope, again, lost)
        # Less of a body than was said: the server cuts the connection.
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"1000")]})

    @property
    def wrote(self) -> int:
        """How many writes were asked for since `forget`."""
        return sum(one.wrote for one in self.seen)

    def forget(self) -> None:
        self.seen.clear()


def _echo(body: bytes, status: int) -> Response:
    said = unquote_plus(body.decode("utf-8", "replace"))
    names = ("message", "error", "errors", "detail", "title", "type", "exception", "errorcode", "debuginfo", "text")
    names += ("imsx_description", "imsx_codeMinor", "correlationId", "validationErrors", "error_description")
    headers = {"x-request-id": quote(said[:2000]), "x-canvas-meta": quote(said[:2000])}
    return JSONResponse(dict.fromkeys(names, said) | {"errors": [{"message": said}]}, status, headers)


@dataclass
class There(ABC):
    """A destination that is served now."""

    url: str
    wire: Wire

    @property
    @abstractmethod
    def settings(self) -> tuple[Mapping[str, Any], Mapping[str, str]]:
        """Of the connection: what is plain, and the secrets."""

    @abstractmethod
    def standing(self) -> Mapping[str, str]:
        """What stands there today that bears words of plans or is one student's alone: its id -> all its text. What was
        ended or deleted does not stand there."""

    @abstractmethod
    def edit(self, id: str, word: str) -> None:
        """A person puts a word of their own into a text of ours."""


class World(ABC):
    """A kind of destination: its connector's name, the profile choices by which words of a plan leave, and which parts
    of a plan (`need`, `goal`, `strength`, `support`) then stand there word for word. `adopts`: the destination gives
    ids of its own, so that what was made before the ledger knew of it is found by its marker. `odd`: texts that
    arrive as they are, however odd; where it refuses some of ODD by its contract, without these."""

    name: str
    shows: Sequence[str]
    choices: Mapping[str, Any]
    adopts: bool = False
    odd: Words = ODD

    @abstractmethod
    def serve(self) -> Any:
        """A context manager around a There."""

    def chosen(self, classes: Sequence[str]) -> Mapping[str, Any]:
        """The choices, where they depend on the classes of the student."""
        return self.choices

    def alone(self, documents: Sequence[Document]) -> int:
        """How many objects these are of those that `standing` tells."""
        return sum(not (one.create_only or one.merge) for one in documents)

    async def roster(self, store: Store, district: int, connection: registers.Connection) -> None:
        """Let the district know its students and staff. Destinations that are pulled from are; another one's world
        publishes people with the numbers by which the destination knows them."""
        run = await jobs.request_pull(store, district, connection.id, ACTOR)
        assert await sync.run(store, district, run) is not None

    def reads(self, text: str) -> str:
        """A text as the destination gives it back in `standing`."""
        return json.dumps(text, ensure_ascii=False)[1:-1]


@contextmanager
def wired(app: ASGIApp, writes: Callable[[str, str, bytes], bool]) -> Iterator[tuple[str, Wire]]:
    """A twin behind a wire, on a socket."""
    wire = Wire(app, writes)
    with serve(wire) as url:
        yield url, wire


async def classes_of(store: Store, district: int, connection: int, student: str) -> list[str]:
    """The classes of a student by the ids that a destination has for them."""
    found = await reading.referring(store, district, "enrollment", "person", student)
    async with store.transaction(district) as c:
        keys = await reading.keys_at(c, connection, "class", [one["class"] for one in found])
    return sorted(keys.values())
