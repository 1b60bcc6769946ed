"""What changed in an Ed-Fi collection since a change version: its windows, read from their end, and its tombstones."""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, Protocol, get_args

import msgspec

from connectors.edfi import tombstones
from connectors.edfi.refusals import granted
from gateway.connector import Notice, Page, Resource
from gateway.errors import ConfigError, Unavailable
from gateway.http import Reply

Kind = Literal["keyChanges", "deletes", "rows"]
"""In this order they are read: a record that is served is there, whatever was deleted or renamed before."""

TOMBSTONES: Sequence[Kind] = ("keyChanges", "deletes")

_IN_A_ROW = 8
"""Pages of one window that are read one after the other; a longer window is parted into such as go side by side."""


@dataclass(frozen=True)
class Versions:
    """The change versions of which a server can tell what changed."""

    oldest: int
    newest: int

    def reach_back_to(self, mark: int) -> bool:
        """Whether what changed after it can be told. Not where the server was set back to before it."""
        return self.oldest <= mark + 1 <= self.newest + 1


@dataclass(frozen=True)
class Window:
    """Change versions, both ends included. What is changed after `high` leaves a window and nothing comes into it: so
    rows only ever move towards its beginning, and whoever reads it from the end misses none that stays."""

    low: int
    high: int

    @property
    def query(self) -> Mapping[str, int]:
        return {"minChangeVersion": self.low, "maxChangeVersion": self.high}

    def parts(self, number: int) -> Iterator["Window"]:
        """As many windows, of about equal width, that together are this one."""
        width = -(-(self.high - self.low + 1) // number)
        for low in range(self.low, self.high + 1, width):
            yield Window(low, min(low + width - 1, self.high))


@dataclass(frozen=True)
class Place:
    """One page: `count` of a window's entries from `first` on; all pages but the last have `length` of them. Without a
    count the window is only opened: how many are there decides about its pages."""

    kind: Kind
    window: Window
    first: int = 0
    count: int = 0
    length: int = 0

    def __str__(self) -> str:
        """As a cursor: `changes:rows:17:90:500:3:500`."""
        numbers = (self.window.low, self.window.high, self.first, self.count, self.length)
        return ":".join(("changes", self.kind, *map(str, numbers)))

    @classmethod
    def parse(cls, cursor: str) -> "Place":
        _, kind, *numbers = cursor.split(":")
        low, high, first, count, length = map(int, numbers)
        return cls(msgspec.convert(kind, Kind), Window(low, high), first, count, length)


class Ask(Protocol):
    """How a page is asked for: of the collection itself, or of its `deletes` or `keyChanges`. Without a limit it is as
    long as the server allows."""

    async def __call__(self, resource: Resource, params: Mapping[str, str | int], *, of: Kind) -> Reply: ...


class Told(Protocol):
    """The list that an answer is. Raises where it is none."""

    def __call__(self, resource: Resource, reply: Reply) -> Sequence[msgspec.Raw]: ...


class Quiet(Protocol):
    """Whether nothing was written on the server since the windows were set; False also where that is not known."""

    async def __call__(self) -> bool: ...


@dataclass(frozen=True)
class Answer:
    """What was told at a place. `total` is how many entries the window has, None where that is not known or wrong."""

    place: Place
    reply: Reply
    entries: Sequence[msgspec.Raw] = ()
    total: int | None = None

    @property
    def cut_off(self) -> bool:
        """Whether this is the beginning of more than a page."""
        return not self.place.count and self.total != len(self.entries)


@dataclass(frozen=True)
class Changes:
    """Reads windows of the collections of one server, whose data standard is `standard`.

    The keys that are gone are handed over before all rows, so that one that was given up and taken again ends as
    present. What happens after the end of a window is left to the next one.
    """

    standard: int
    ask: Ask
    told: Told
    quiet: Quiet

    async def first(self, resource: Resource, window: Window) -> Page | Notice:
        """The beginning; all of it where little changed. A notice instead, where only a whole pull can tell."""
        renamed, deleted, changed = await asyncio.gather(
            *(self._open(resource, Place(kind, window)) for kind in get_args(Kind))
        )
        gone: list[str] = []
        for answer in (renamed, deleted):
            try:
                gone += self._gone(resource, answer)
            except _KeyNotTold:
                return _not_told(resource, answer)
        for answer in (renamed, deleted, changed):
            if answer.reply.status != 200 or answer.total is None:
                return _not_told(resource, answer)
        if renamed.cut_off or deleted.cut_off:
            return Page(next=(str(Place("keyChanges", window)),), partial=True)
        rows = () if changed.cut_off else changed.entries
        return Page(rows, gone=gone, next=self._following(changed), partial=True)

    async def pull(self, resource: Resource, cursor: str) -> Page:
        """A later page, where `first` or a page after it made that known."""
        place = Place.parse(cursor)
        answer = await (self._read if place.count else self._open)(resource, place)
        if answer.reply.status != 200:
            granted(answer.reply)
        if not place.count and answer.total is None:
            raise Unavailable("edfi-not-counted", f"{answer.reply.name} did not tell how many changes there are.")
        following = self._following(answer)
        if answer.cut_off:
            return Page(next=following, partial=True)
        if place.kind == "rows":
            return Page(answer.entries, next=following, partial=True)
        try:
            return Page(gone=self._gone(resource, answer), next=following, partial=True)
        except _KeyNotTold:
            raise ConfigError(
                "edfi-key-not-told",
                f"{answer.reply.name} names a record that is gone by other fields than those of its key.",
                "Set `whole_every` of this connection to 0, so that each pull reads everything, and tell the API's"
                " administrator.",
            ) from None

    async def _open(self, resource: Resource, place: Place) -> Answer:
        reply = await self.ask(resource, {**place.window.query, "offset": 0, "totalCount": "true"}, of=place.kind)
        if reply.status != 200:
            return Answer(place, reply)
        entries, total = self.told(resource, reply), total_of(reply)
        if total is not None and (total < len(entries) or (total and not entries)):
            total = None
        return Answer(place, reply, entries, total)

    async def _read(self, resource: Resource, place: Place) -> Answer:
        """The page at that place; where less comes at once than before, in several answers."""
        entries: list[msgspec.Raw] = []
        while True:
            params = {**place.window.query, "offset": place.first + len(entries), "limit": place.count - len(entries)}
            reply = await self.ask(resource, params, of=place.kind)
            more = self.told(resource, reply)
            entries += more
            if len(entries) >= place.count:
                return Answer(place, reply, entries)
            if not more and await self.quiet():
                raise Unavailable(
                    "edfi-changes-missing",
                    f"{reply.name} has fewer entries than it said, and nothing was written meanwhile.",
                )
            if not more:
                return Answer(place, reply, entries)

    def _following(self, answer: Answer) -> tuple[str, ...]:
        """The cursors of what is read next: the window's pages from the last to the first, then the next kind."""
        place = answer.place
        if answer.cut_off:
            assert answer.total is not None
            return tuple(map(str, _pages(place, answer.total, len(answer.entries))))
        if place.first:
            return (str(replace(place, first=place.first - place.length, count=place.length)),)
        kinds = get_args(Kind)
        return tuple(str(Place(kind, place.window)) for kind in kinds[kinds.index(place.kind) + 1 :][:1])

    def _gone(self, resource: Resource, answer: Answer) -> Sequence[str]:
        """Keys that no record has any more, as far as these tombstones tell."""
        given_up, taken = [], set()
        for entry in answer.entries:
            try:
                one = msgspec.json.decode(entry, type=_Tombstone)
                given_up.append(self._key(resource, one.oldKeyValues if one.newKeyValues else one.keyValues))
                if one.newKeyValues:
                    taken.add(self._key(resource, one.newKeyValues))
            except (msgspec.DecodeError, UnicodeDecodeError, KeyError, TypeError, ValueError):
                raise _KeyNotTold from None
        return [key for key in given_up if key not in taken]

    def _key(self, resource: Resource, values: Mapping[str, object] | None) -> str:
        return tombstones.key_of(resource.name, self.standard, values or {})


class _Tombstone(msgspec.Struct):
    """# Ed-Fi: before 6.1 (and 5.4) there are neither values nor key changes."""

    keyValues: dict[str, Any] | None = None
    oldKeyValues: dict[str, Any] | None = None
    newKeyValues: dict[str, Any] | None = None


class _KeyNotTold(Exception):
    """A tombstone does not say whose it is."""


def _not_told(resource: Resource, answer: Answer) -> Notice:
    return Notice("changes-not-told", answer.place.kind, resource.name)


def _pages(place: Place, total: int, length: int) -> Iterator[Place]:
    """Where to go on in a window of so many entries, when so many came at once."""
    window, pages = place.window, -(-total // length)
    # Only rows come in any order: all keys that are gone must be known before the first of them.
    if place.kind == "rows" and pages > _IN_A_ROW and window.high > window.low:
        for part in window.parts(-(-pages // _IN_A_ROW)):
            yield Place("rows", part)
    else:
        last = (total - 1) // length * length
        yield replace(place, first=last, count=total - last, length=length)


def total_of(reply: Reply) -> int | None:
    """How many records the server says there are, if it does."""
    told = reply.headers.get("total-count", "")
    return int(told) if told.isdecimal() else None
