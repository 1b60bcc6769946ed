"""How one resource is kept: items by natural key in order of arrival, with change versions, paged both ways."""

import struct
from base64 import urlsafe_b64decode, urlsafe_b64encode
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from copy import copy
from datetime import UTC, datetime, timedelta
from hashlib import md5
from itertools import count, pairwise
from typing import Any, NamedTuple

from synthetic.changes import origin

Row = dict[str, Any]
Key = tuple[Any, ...]

_EPOCH = datetime(2026, 7, 1, tzinfo=UTC)
_FIRST_ETAG = 5_250_000_000_000_000_000
_SPAN = ">qq"
_OPEN_END = 2**62
# Keys of a reference that a query spells with the reference's role in front.
_ROLES = {
    ("reportedSchoolReference", "schoolId"): "reportedSchoolId",
    ("programReference", "educationOrganizationId"): "programEducationOrganizationId",
    ("cohortReference", "educationOrganizationId"): "cohortEducationOrganizationId",
    ("gradingPeriodReference", "schoolYear"): "gradingPeriodSchoolYear",
    ("gradingPeriodReference", "periodSequence"): "gradingPeriodSequence",
    ("responsibilitySchoolReference", "schoolId"): "responsibilitySchoolId",
}


class Source(NamedTuple):
    """What fills a collection: facts, the natural key of one, and its row without id, _etag and dates.

    `same` tells by what an item whose natural key may change is known all the same; see also synthetic.changes.origin.
    """

    facts: Iterable[Any]
    key: Callable[[Any], Key]
    row: Callable[[Any], Row]
    same: Callable[[Any], Any] | None = None


class Entry(NamedTuple):
    """`number` grows with every new item and stays; `version` is the change version of the last write."""

    number: int
    version: int
    key: Key
    fact: Any

    @property
    def etag(self) -> str:
        return str(_FIRST_ETAG + self.version)


class Deleted(NamedTuple):
    """An item that was deleted; `values` is its natural key."""

    version: int
    key: Key
    values: Row


class Renamed(NamedTuple):
    """An item that got another natural key."""

    version: int
    number: int
    key: Key
    old: Row
    new: Row


class Changes:
    """The change versions of the whole server."""

    def __init__(self) -> None:
        self.newest = 0

    def next(self) -> int:
        self.newest += 1
        return self.newest


class Collection:
    """All items of one resource. Rows are rendered when they are asked for, never before.

    `filters` are the names a query may use; a server ignores all others. `natural` are the names of the natural key;
    `path` is where it is below all data.
    """

    def __init__(
        self,
        name: str,
        changes: Changes,
        row: Callable[[Any], Row],
        filters: Iterable[str],
        natural: Sequence[str] = (),
        namespace: str = "ed-fi",
    ) -> None:
        self.name = name
        self.path = f"{namespace}/{name}"
        self.natural = natural
        self._deleted: list[Deleted] = []
        self._renamed: list[Renamed] = []
        self._changes = changes
        self._row = row
        self._filters = {name.lower(): name for name in filters}
        self._entries: dict[Key, Entry] = {}
        self._numbers = count(1)
        # Derived from the entries, when somebody asks.
        self._listed: list[Entry] | None = None
        self._keys: dict[str, Key] | None = None
        self._selected: tuple[object, list[Entry]] = (None, [])

    def frozen(self) -> "Collection":
        """All of it as it stands now: what happens to this one does not happen to that one."""
        other = copy(self)
        other._entries, other._deleted, other._renamed = dict(self._entries), [*self._deleted], [*self._renamed]
        return other

    @property
    def filters(self) -> Iterable[str]:
        return self._filters.values()

    def load(self, source: Source) -> None:
        """Take over the source's facts: items that stay keep their number, changed ones get a new version."""
        fresh = {source.key(fact): fact for fact in source.facts}
        values = {key: self._values(entry) for key, entry in self._entries.items() if key not in fresh}
        self._row = source.row

        def same(key: Key, fact: Any) -> Any:
            return origin(source.same(fact) if source.same else key)

        new = {same(key, fact): key for key, fact in fresh.items() if key not in self._entries}
        for key, old in values.items():
            if (other := new.pop(same(key, self._entries[key].fact), None)) is not None:
                self._rename(key, old, other, fresh[other])
            else:
                self._remove(key, old)
        for key, fact in fresh.items():
            self.put(key, fact)
        self._forget()

    def put(self, key: Key, fact: Any) -> bool:
        """Create or replace one item; true if it is new. A replacement that changes nothing is no write."""
        old = self._entries.get(key)
        if old is not None and old.fact == fact:
            return False
        number = old.number if old else next(self._numbers)
        self._entries[key] = Entry(number, self._changes.next(), key, fact)
        self._forget()
        return old is None

    def rename(self, key: Key, other: Key, fact: Any) -> None:
        """The item with that natural key has another one from now on."""
        self._rename(key, self._values(self._entries[key]), other, fact)
        self._forget()

    def remove(self, key: Key) -> None:
        self._remove(key, self._values(self._entries[key]))
        self._forget()

    def deleted(self, lowest: int, highest: int | None, *, suppressed: bool = True) -> Sequence[Row]:
        """The tombstones in that window of change versions; if `suppressed`, none of an item created anew."""
        return [
            {"id": identify(self.name, one.key), "changeVersion": one.version, "keyValues": one.values}
            for one in self._deleted
            if lowest <= one.version
            and (highest is None or one.version <= highest)
            and not (suppressed and one.key in self._entries)
        ]

    def renamed(self, lowest: int, highest: int | None) -> Sequence[Row]:
        """The changes of keys in that window; several of one item are told as one, from the first to the last."""
        found: dict[int, Row] = {}
        for one in self._renamed:
            if lowest <= one.version and (highest is None or one.version <= highest):
                before = found.pop(one.number, {"oldKeyValues": one.old})
                found[one.number] = {
                    "id": identify(self.name, one.key),
                    "changeVersion": one.version,
                    "oldKeyValues": before["oldKeyValues"],
                    "newKeyValues": one.new,
                }
        return list(found.values())

    def _remove(self, key: Key, values: Row) -> None:
        del self._entries[key]
        self._deleted.append(Deleted(self._changes.next(), key, values))

    def _rename(self, key: Key, old: Row, other: Key, fact: Any) -> None:
        entry = Entry(self._entries.pop(key).number, self._changes.next(), other, fact)
        self._entries[other] = entry
        self._renamed.append(Renamed(entry.version, entry.number, other, old, self._values(entry)))

    def _values(self, entry: Entry) -> Row:
        """The natural key as a tombstone tells it: flat, whatever references its parts stand in."""
        found = dict(_scalars(self._row(entry.fact)))
        return {name: found[name] for name in self.natural}

    def get(self, key: Key) -> Entry | None:
        return self._entries.get(key)

    def find(self, identifier: str) -> Entry | None:
        """The item with that id, which may be written with or without dashes."""
        if self._keys is None:
            self._keys = {identify(self.name, key): key for key in self._entries}
        key = self._keys.get(identifier.replace("-", "").lower())
        return None if key is None else self._entries[key]

    def entries(self) -> Sequence[Entry]:
        """All items, the oldest first."""
        if self._listed is None:
            self._listed = sorted(self._entries.values())  # an item keeps its place when it gets another key
        return self._listed

    def matching(self, query: Mapping[str, str], lowest: int, highest: int | None) -> Sequence[Entry]:
        """The items in that window of change versions whose key fields and root scalars equal the query's.

        The last selection is remembered, because its next page is likely to be asked for.
        """
        wanted = {
            self._filters[name.lower()]: value.lower() for name, value in query.items() if name.lower() in self._filters
        }
        if not (wanted or lowest or highest is not None):
            return self.entries()
        asked = (tuple(sorted(wanted.items())), lowest, highest)
        if self._selected[0] != asked:
            self._selected = (asked, [entry for entry in self.entries() if self._fits(entry, *asked)])
        return self._selected[1]

    def _fits(self, entry: Entry, wanted: Iterable[tuple[str, str]], lowest: int, highest: int | None) -> bool:
        if entry.version < lowest or (highest is not None and entry.version > highest):
            return False
        if not wanted:
            return True
        asked = {(name, str(value).lower()) for name, value in _scalars(self.row(entry, dated=False))}
        return set(wanted) <= asked

    def row(self, entry: Entry, *, dated: bool) -> Row:
        """The item as it is served. `dated`: with _lastModifiedDate (ODS 7.0 on)."""
        row = {"id": identify(self.name, entry.key), **self._row(entry.fact), "_etag": entry.etag}
        if dated:
            moment = _EPOCH + timedelta(milliseconds=entry.version)
            row["_lastModifiedDate"] = moment.isoformat(timespec="microseconds").replace("+00:00", "Z")
        return row

    def _forget(self) -> None:
        self._listed = self._keys = None
        self._selected = (None, [])


def identify(resource: str, key: Key) -> str:
    """The id of an item: 32 hex digits without dashes, the same in every run."""
    return md5(f"{resource}{key}".encode(), usedforsecurity=False).hexdigest()


def cursor_page(entries: Sequence[Entry], token: str, size: int) -> tuple[Sequence[Entry], str | None]:
    """The page a token stands for ("" for the first) and the token of the next, None after an empty page.

    Raises ValueError for a token that no server gave.
    """
    above, last = _span(token) if token else (0, _OPEN_END)
    first = bisect_right(entries, above, key=lambda entry: entry.number)
    end = bisect_right(entries, last, key=lambda entry: entry.number)
    page = entries[first : min(end, first + size)]
    return page, _token(page[-1].number, last) if page else None


def partitions(entries: Sequence[Entry], wanted: int, least: int) -> list[str]:
    """Tokens that split the entries into up to `wanted` ranges of `least` entries or more."""
    size = max(least, -(-len(entries) // wanted))
    bounds = [0, *(entry.number for entry in entries[size - 1 : -1 : size]), _OPEN_END]
    return [_token(above, last) for above, last in pairwise(bounds)]


def _span(token: str) -> tuple[int, int]:
    try:
        above, last = struct.unpack(_SPAN, urlsafe_b64decode(token + "=" * (-len(token) % 4)))
    except struct.error as problem:
        raise ValueError("not a page token") from problem
    return above, last


def _token(above: int, last: int) -> str:
    """The opaque token of the numbers over `above` up to `last`."""
    return urlsafe_b64encode(struct.pack(_SPAN, above, last)).decode().rstrip("=")


def _scalars(row: Row) -> Iterator[tuple[str, Any]]:
    """The names and values that a query can ask for: root scalars and the keys of references."""
    for name, value in row.items():
        if isinstance(value, dict):
            for key, part in value.items():
                # The role tells two organizations apart; where there is only one, it has none.
                role = (
                    None
                    if name == "cohortReference" and "interventionReference" not in row
                    else _ROLES.get((name, key))
                )
                yield role or key, part
        elif not isinstance(value, list):
            yield name, value
