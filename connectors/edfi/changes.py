"""Windows of change versions of an Ed-Fi collection, read from their end: what changed since one, and all there is."""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
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

_IN_A_ROW_OF_ALL = 20
"""The same, where all there is is read. # Ed-Fi: what lies deeper than 10,000 rows comes slowly. Where rows were loaded
all at once most parts of a window are empty, and each costs a request: so no more of them than that."""

_TURNS = 5
"""How often what was written while all was read is read too. Each turn is shorter than the one before; what a server
that is never quiet writes during the last one comes with the next pull."""


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
    count the window is only opened: how many are there (its `total` then) decides about its pages.

    `upto`: where the server stood when the windows were set. `turn`: of a pull of all there is, how many windows of
    what was written meanwhile came before; below 0 where only what changed is pulled."""

    kind: Kind
    window: Window
    first: int = 0
    count: int = 0
    length: int = 0
    total: int = 0
    upto: int = -1
    turn: int = -1

    @property
    def whole(self) -> bool:
        return self.turn >= 0

    @property
    def asks_how_many(self) -> bool:
        """Whether only the first page is left, which came when the window was opened: it is read again where something
        has left the window since."""
        return self.kind == "rows" and 0 < self.first == self.length

    @property
    def is_last_of_all(self) -> bool:
        return self.turn == 0 and self.window == Window(0, self.upto) and 0 < self.total <= self.first + self.length

    def __str__(self) -> str:
        """As a cursor: `changes:rows:17:90:500:3:500:503:90:-1`."""
        pages = (self.first, self.count, self.length, self.total)
        numbers = (self.window.low, self.window.high, *pages, self.upto, self.turn)
        return ":".join(("changes", self.kind, *map(str, numbers)))

    @classmethod
    def parse(cls, cursor: str) -> "Place":
        _, kind, *numbers = cursor.split(":")
        low, high, *others = map(int, numbers)
        return cls(msgspec.convert(kind, Kind), Window(low, high), *others)


class Ask(Protocol):
    """How a page is asked for: of the collection itself, or of its `deletes` or `keyChanges`. Without a limit it is as
    long as the server allows."""

    async def __call__(self, resource: Resource, params: Mapping[str, str | int], *, of: Kind) -> Reply: ...


class Told(Protocol):
    """The list that an answer is. Raises where it is none."""

    def __call__(self, resource: Resource, reply: Reply) -> Sequence[msgspec.Raw]: ...


class Standing(Protocol):
    """Where the server stands now; None where that is not known."""

    async def __call__(self) -> Versions | None: ...


@dataclass(frozen=True)
class Answer:
    """What was told at a place. `total` is how many entries the window has, None where that is not known or wrong."""

    place: Place
    reply: Reply
    entries: Sequence[msgspec.Raw] = ()
    total: int | None = None

    @property
    def uncounted(self) -> bool:
        """Whether this is the beginning of nobody knows how much."""
        return not self.place.count and self.total is None

    @property
    def cut_off(self) -> bool:
        """Whether this is the beginning of more than a page."""
        return not self.place.count and self.total != len(self.entries)

    @property
    def following(self) -> Sequence[Place]:
        """Where to go on in the window: the page before this one; or, where it was just opened, its last page, or the
        parts of it that go side by side."""
        if self.cut_off:
            assert self.total is not None
            return list(_pages(self.place, self.total, len(self.entries)))
        if not self.place.first or self._begins_unchanged:
            return ()
        return [replace(self.place, first=self.place.first - self.place.length, count=self.place.length)]

    @property
    def rows(self) -> Sequence[msgspec.Raw]:
        """None where the window is parted, because its parts have them."""
        return () if self.cut_off and not self.following[0].count else self.entries

    @property
    def _begins_unchanged(self) -> bool:
        """Whether nothing has left the window since it was opened: then its first page came already."""
        place = self.place
        return place.asks_how_many and total_of(self.reply) == place.total


@dataclass(frozen=True)
class Changes:
    """Reads windows of the collections of one server, whose data standard is `standard`.

    The keys that are gone are handed over before all rows, so that one that was given up and taken again ends as
    present. What happens after the end of a window is left to the next one: of a pull of what changed, to the next
    pull; of a pull of all there is, to a window that is read before it ends, because what left the window did not
    come, and would count as gone.
    """

    standard: int
    ask: Ask
    told: Told
    now: Standing
    chains: dict[str, int] = field(default_factory=dict)
    """Of each collection that is being read wholly, how many chains of pages have not ended yet. Of one that another
    attempt began this is not known."""
    begun: set[str] = field(default_factory=set)
    """The collections whose whole reading began here, and not with an earlier attempt."""
    reached: dict[str, int] = field(default_factory=dict)
    """Of those, up to which change version each was read when it ended: all that came is of that version or older."""
    before: dict[str, int] = field(default_factory=dict)
    """Up to which change version changes of keys are told beside a whole reading: they were before it."""
    moved: set[str] = field(default_factory=set)
    """The collections whose keys changed while all of them was read: what was read between two changes of one key is
    told of by none."""
    rekeyed: set[str] = field(default_factory=set)
    """The collections of which changes of keys were told; also of keys that became again what they had been: what is
    about such a record may have been read with the one in between."""

    async def first(self, resource: Resource, window: Window) -> Page | Notice:
        """The beginning; all of it where little changed. A notice instead, where only a whole pull can tell."""
        renamed, deleted, changed = await asyncio.gather(
            *(self._open(resource, Place(kind, window, upto=window.high)) for kind in get_args(Kind))
        )
        moves = Moves()
        for answer in (renamed, deleted):
            try:
                moves.note(self._moves(resource, answer))
            except _KeyNotTold:
                return _not_told(resource, answer)
        for answer in (renamed, deleted, changed):
            if answer.reply.status != 200 or answer.total is None:
                return _not_told(resource, answer)
        if renamed.entries:
            self.rekeyed.add(resource.name)
        if renamed.cut_off or deleted.cut_off:
            return Page(next=(str(renamed.place),), partial=True)
        following = tuple(map(str, changed.following))
        return Page(changed.rows, gone=moves.gone, renamed=moves.renamed, next=following, partial=True)

    def whole(self, resource: Resource, reply: Reply, versions: Versions) -> Page | None:
        """All there is, of which `reply` is the first page, read without a window. None where that is not told, or
        nothing came of what is there."""
        entries, total = self.told(resource, reply), total_of(reply)
        if total is None or not 0 < len(entries) < total:
            return None
        window = Window(0, versions.newest)
        answer = Answer(Place("rows", window, upto=versions.newest, turn=0), reply, entries, total)
        self.begin(resource, len(answer.following))
        return Page(answer.rows, next=tuple(map(str, answer.following)), total=total)

    def begin(self, resource: Resource, chains: int) -> None:
        """All there is of the collection is read from here on, in so many chains of pages."""
        self.begun.add(resource.name)
        self.chains[resource.name] = chains

    def keys_beside(self, resource: Resource, changed: Page, page: Page) -> tuple[str, ...]:
        """How to go on where all there is is read, of which `page` is the first, although it was asked what `changed`:
        with which keys became which too, where these are more than came at once."""
        places = [Place.parse(cursor) for cursor in changed.next]
        self.before[resource.name] = max((place.window.high for place in places), default=-1)
        keys = [replace(place, turn=1) for place in places if place.kind in TOMBSTONES]
        if keys and page.next and resource.name in self.begun:
            self.chains[resource.name] += len(keys)
        return (*page.next, *map(str, keys))

    async def rest(self, resource: Resource, upto: int, turn: int = 0) -> tuple[str, ...]:
        """A chain of pages of all there is has ended: how to go on with what was written meanwhile, if this was the
        last one."""
        open_chains = self.chains.get(resource.name, 1) - 1
        if open_chains > 0:
            self.chains[resource.name] = open_chains
            return ()
        now = await self.now() if turn < _TURNS else Versions(0, upto)
        if now is None:
            return ()
        if now.newest <= upto:
            if resource.name in self.begun:
                self.reached[resource.name] = upto
            return ()
        self.chains[resource.name] = 1
        return (str(Place("keyChanges", Window(upto + 1, now.newest), upto=now.newest, turn=turn + 1)),)

    async def pull(self, resource: Resource, cursor: str) -> Page:
        """A later page, where `first`, `whole` or a page after it made that known."""
        place = Place.parse(cursor)
        answer = await (self._read if place.count else self._open)(resource, place)
        if place.whole and place.kind in TOMBSTONES and (answer.reply.status != 200 or answer.uncounted):
            return Page(next=await self._after(resource, place))  # what is gone is then what does not come
        if answer.reply.status != 200:
            granted(answer.reply)
        if answer.uncounted:
            raise Unavailable("edfi-not-counted", f"{answer.reply.name} did not tell how many changes there are.")
        following = tuple(map(str, answer.following))
        if answer.cut_off and place.whole:
            self.chains[resource.name] = self.chains.get(resource.name, 1) + len(following) - 1
        tail: tuple[str, ...] = ()
        if place.is_last_of_all and len(answer.entries) >= place.length:
            # There may be more than the server counted: its count ends nothing.
            tail = (f"tail:{place.first + place.length}:{place.length}",)
            if resource.name in self.begun:
                self.chains[resource.name] += 1
        following = (following or await self._after(resource, place)) + tail
        if place.kind == "rows":
            return Page(answer.rows, next=following, partial=not place.whole)
        if answer.cut_off:
            return Page(next=following, partial=not place.whole)
        meanwhile = place.window.low > self.before.get(resource.name, -1)
        if place.whole and place.kind == "keyChanges" and answer.entries and meanwhile:
            self.moved.add(resource.name)
        try:
            moves = self._moves(resource, answer)
        except _KeyNotTold:
            if place.whole:
                return Page(next=following)
            raise ConfigError(
                "edfi-key-not-told",
                f"{answer.reply.name} names a record that is gone by other fields than those of its key.",
                "Set `whole_every` of this connection to 0, so that each pull reads everything, and tell the API's"
                " administrator.",
            ) from None
        return Page(gone=moves.gone, renamed=moves.renamed, next=following, partial=not place.whole)

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
        counted = {"totalCount": "true"} if place.asks_how_many else {}
        while True:
            wanted = (place.length if place.is_last_of_all else place.count) - len(entries)
            params = {**place.window.query, "offset": place.first + len(entries), "limit": wanted}
            reply = await self.ask(resource, {**params, **counted}, of=place.kind)
            more = self.told(resource, reply)
            entries += more
            if len(entries) >= place.count:
                return Answer(place, reply, entries)
            # That not all there is came shows in the end, against its count.
            if not more and place.turn and await self._quiet(place):
                raise Unavailable(
                    "edfi-changes-missing",
                    f"{reply.name} has fewer entries than it said, and nothing was written meanwhile.",
                )
            if not more:
                return Answer(place, reply, entries)

    async def _quiet(self, place: Place) -> bool:
        """Whether nothing was written on the server since the windows were set."""
        now = await self.now()
        return now is not None and now.newest == place.upto

    async def _after(self, resource: Resource, place: Place) -> tuple[str, ...]:
        """The cursor of what is read when a window of one kind has been read to its beginning."""
        kinds = get_args(Kind)
        for kind in kinds[kinds.index(place.kind) + 1 :][:1]:
            return (str(Place(kind, place.window, upto=place.upto, turn=place.turn)),)
        return await self.rest(resource, place.upto, place.turn) if place.whole else ()

    def _moves(self, resource: Resource, answer: Answer) -> "Moves":
        """Keys that no record has any more and keys that became others, as far as these tombstones tell."""
        moves, first = Moves(), dict[str, str]()
        for entry in answer.entries:
            try:
                one = msgspec.json.decode(entry, type=_Tombstone)
                key = self._key(resource, one.oldKeyValues if one.newKeyValues else one.keyValues)
                if not one.newKeyValues:
                    moves.gone.append(key)
                    continue
                # Ed-Fi: of several changes of one record's key a window tells the first and the last as one. Where it
                # tells each, they are put together by the id; it may be written with and without dashes.
                key = first.setdefault(one.id.replace("-", "").casefold() or key, key)
                moves.renamed[key] = self._key(resource, one.newKeyValues)
            except (msgspec.DecodeError, UnicodeDecodeError, KeyError, TypeError, ValueError):
                raise _KeyNotTold from None
        moves.renamed = {old: new for old, new in moves.renamed.items() if old != new}
        taken = set(moves.renamed.values())
        moves.gone += [old for old in moves.renamed if old not in taken]
        return moves

    def _key(self, resource: Resource, values: Mapping[str, object] | None) -> str:
        return tombstones.key_of(resource.name, self.standard, values or {})


@dataclass
class Moves:
    """Keys that are gone, and those of them that became others."""

    gone: list[str] = field(default_factory=list)
    renamed: dict[str, str] = field(default_factory=dict)

    def note(self, more: "Moves") -> None:
        self.gone += more.gone
        self.renamed |= more.renamed


class _Tombstone(msgspec.Struct):
    """# Ed-Fi: before 6.1 (and 5.4) there are neither values nor key changes."""

    id: str = ""
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
    in_a_row = _IN_A_ROW_OF_ALL if place.whole else _IN_A_ROW
    # Only rows come in any order: all keys that are gone must be known before the first of them.
    # Parts are never of one size: the half of one more or less makes no more parts of it.
    if place.kind == "rows" and pages > in_a_row * 3 // 2 and window.high > window.low:
        for part in window.parts(-(-pages // in_a_row)):
            yield Place("rows", part, upto=place.upto, turn=place.turn)
    else:
        last = (total - 1) // length * length
        yield replace(place, first=last, count=total - last, length=length, total=total)


def total_of(reply: Reply) -> int | None:
    """How many records the server says there are, if it does."""
    told = reply.headers.get("total-count", "")
    return int(told) if told.isdecimal() else None
