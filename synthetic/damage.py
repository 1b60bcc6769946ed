"""What can be wrong with an answer although a system gave it: its end, its rows, its figures, its clock."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from random import Random
from typing import Any
from urllib.parse import parse_qsl, urlencode

from starlette.types import ASGIApp, Message, Receive, Scope, Send

DEPTH = 5_000
"""How deep a poisoned row is nested: deeper than any reader should follow."""
LENGTH = 4_000_000
"""How many characters a poisoned row has: more than any row of a roster."""

_PAGING = ("offset", "limit", "pageToken", "pageSize")
_DEFAULT_LIMIT = 100


@dataclass
class Answer:
    """A whole answer of a twin, before it is sent."""

    status: int
    headers: dict[bytes, bytes]
    body: bytes

    @classmethod
    async def of(cls, app: ASGIApp, scope: Scope, receive: Receive) -> "Answer":
        """Let `app` answer, and keep what it says."""
        found = cls(500, {}, b"")

        async def collect(message: Message) -> None:
            if message["type"] == "http.response.start":
                found.status, found.headers = message["status"], dict(message["headers"])
            else:
                found.body += message.get("body", b"")

        await app(scope, receive, collect)
        return found

    async def send(self, send: Send, *, length: int | None = None) -> None:
        """Send it. A `length` longer than the body makes the server close the connection in the middle."""
        headers = {**self.headers, b"content-length": str(length or len(self.body)).encode()}
        await send({"type": "http.response.start", "status": self.status, "headers": list(headers.items())})
        await send({"type": "http.response.body", "body": self.body, "more_body": (length or 0) > len(self.body)})

    @property
    def rows(self) -> list[Any]:
        """The rows of a page, none where the answer is no page."""
        return _rows(_document(self.body))

    def with_rows(self, change: Callable[[list[Any]], Sequence[Any]]) -> None:
        """Put other rows in place of those of the page."""
        document = _document(self.body)
        rows = _rows(document)
        rows[:] = change(rows)
        self.body = json.dumps(document, separators=(",", ":")).encode()


def _document(body: bytes) -> Any:
    try:
        return json.loads(body)
    except ValueError:
        return None


def _rows(document: Any) -> list[Any]:
    """The list that the document is, or the first list of objects directly in it; changed in place by callers."""
    for found in (document, *(document.values() if isinstance(document, dict) else ())):
        if isinstance(found, list) and all(isinstance(row, dict) for row in found):
            return found
    return []


async def cut(answer: Answer, send: Send, *, honest: bool) -> None:
    """Half of it: honest, a complete answer whose JSON is broken; otherwise a connection that ends too early."""
    whole = len(answer.body)
    answer.body = answer.body[: whole // 2]
    await answer.send(send, length=None if honest else whole)


def empty(answer: Answer, total: int | None) -> None:
    """No rows, and nothing that follows; with `total` the server also says that there are only so many."""
    answer.with_rows(lambda rows: [])
    answer.headers.pop(b"next-page-token", None)
    if total is not None:
        count(answer, total)


def count(answer: Answer, total: int | None) -> None:
    """Another total than the true one, or none."""
    for name in [name for name in answer.headers if name.endswith(b"total-count")]:
        del answer.headers[name]
        if total is not None:
            answer.headers[name] = str(total).encode()


def mistype(answer: Answer, number: int, seed: int, into: str = "") -> None:
    """In so many rows one field has another type: a text becomes a number, a list or an object, and so on."""
    rng = Random(seed)

    def change(rows: list[Any]) -> list[Any]:
        for row in rng.sample(rows, min(number, len(rows))):
            fields = [field for field in sorted(row) if _others(row[field], into)]
            if fields:
                field = rng.choice(fields)
                row[field] = rng.choice(_others(row[field], into))
        return rows

    answer.with_rows(change)


def _others(value: Any, into: str) -> list[Any]:
    """What may stand in the place of a value: something of each other type, or of the one it turns into."""
    every = {"number": 12345, "text": "perhaps", "truth": True, "list": [value], "object": {"value": value}}
    return [other for name, other in every.items() if into in ("", name) and type(other) is not type(value)]


def poison(answer: Answer, shape: str, seed: int) -> None:
    """One row that nobody can use: `garbled` is no object, `nul` has a character that no text may have, `deep` is
    nested beyond reason, `huge` longer than any row."""
    rows = answer.rows
    if not rows:
        return
    place = Random(seed).randrange(len(rows))
    row = json.dumps(rows[place])
    text = next(name for name in _TEXTS if isinstance(rows[place].get(name), str))
    poisoned = {
        "garbled": '"no object"',
        "nul": json.dumps(rows[place] | {text: "\0"}),
        "deep": f'{row[:-1]}, "depth": {"[" * DEPTH}{"]" * DEPTH}}}',
        "huge": json.dumps(rows[place] | {text: "x" * LENGTH}),
    }[shape]
    # Python's own reader cannot follow the depth, so it is put in as text.
    answer.with_rows(lambda rows: [*rows[:place], _MARK, *rows[place + 1 :]])
    answer.body = answer.body.replace(json.dumps(_MARK).encode(), poisoned.encode())


_MARK = "the poisoned row"
_TEXTS = ("familyName", "lastSurname", "title", "name", "nameOfInstitution", "sourcedId", "id")


def elsewhere(scope: Scope) -> Scope:
    """The request for another page of the same collection: the first, or of the first the second."""
    query = dict(parse_qsl(scope["query_string"].decode("latin-1")))
    kept = {name: value for name, value in query.items() if name not in _PAGING}
    limit = query.get("limit") or query.get("pageSize") or str(_DEFAULT_LIMIT)
    first = "pageToken" not in query and query.get("offset", "0") == "0"
    asked = kept | {"offset": limit if first else "0", "limit": limit}
    return {**scope, "query_string": urlencode(asked).encode()}


def mix(answer: Answer, other: Answer, kind: str, number: int, seed: int) -> None:
    """What the server does to a page that it does not keep apart from another one.

    `missing`: it answers the other page's rows. `twice`: it answers those too. `unstable`: so many of its rows have
    moved to a place that was read before, and rows of the other page stand where they were.
    """
    rng = Random(seed)

    def unstable(rows: list[Any]) -> list[Any]:
        for place in rng.sample(range(len(rows)), min(number, len(rows))):
            rows[place] = rng.choice(other.rows)
        return rows

    if other.rows:
        answer.with_rows({"missing": lambda rows: other.rows, "twice": lambda rows: [*rows, *other.rows],
                          "unstable": unstable}[kind])  # fmt: skip


def by_clock(answer: Answer, ahead: float) -> None:
    """What a system says whose clock is so many seconds ahead of the world's, or behind: the Date header, and the
    life of a token, which another of its machines counts rightly."""
    answer.headers |= {name.lower().encode(): value.encode() for name, value in dates(ahead).items()}
    document = _document(answer.body)
    if isinstance(document, dict) and "expires_in" in document:
        answer.body = json.dumps(document | {"expires_in": document["expires_in"] + int(ahead)}).encode()


def dates(ahead: float, retry_after: int | None = None) -> dict[str, str]:
    """The headers that such a system writes dates into: Date, and Retry-After in so many seconds if given."""
    now = datetime.now(UTC) + timedelta(seconds=ahead)
    then = {} if retry_after is None else {"Retry-After": now + timedelta(seconds=retry_after)}
    return {name: format_datetime(moment, usegmt=True) for name, moment in {"Date": now, **then}.items()}
