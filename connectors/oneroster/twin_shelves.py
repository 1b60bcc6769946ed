"""The records of the district of today and those that clients wrote: found by selection, rendered when asked for."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

from connectors.oneroster import twin_gradebook
from connectors.oneroster.twin_1p1 import older
from connectors.oneroster.twin_errors import Denied
from connectors.oneroster.twin_fields import MODELS, Version, fields
from connectors.oneroster.twin_filter import leaves, parse, stamp
from connectors.oneroster.twin_gradebook import Gradebook, resource_id
from connectors.oneroster.twin_quirks import Quirks
from connectors.oneroster.twin_rows import Roster, Row
from synthetic import District
from synthetic.model import Student

Shape = Literal["1.1", "1.2", "mixed"]
Among = Callable[[str, Row], bool]


@dataclass(frozen=True)
class Selection:
    """Which rows and in which order, as the request spelled it, of records in this shape."""

    filter: str
    sort: str
    descending: bool
    shape: Shape


@dataclass(frozen=True)
class Written:
    """A record of a client's, in 1.2; its hrefs begin with the root."""

    row: Row


class Sources:
    """All collections of one district: the roster's nine and the five of its gradebooks. `doubled` students are two."""

    def __init__(self, district: District, *, planted: str | None, full: bool, doubled: int) -> None:
        self.roster = Roster(district, planted, full=full)
        self._gradebook = Gradebook(district, self.roster)
        users = self.roster.facts["users"]
        students = sorted(sourced_id for sourced_id, fact in users.items() if isinstance(fact, Student))
        self._users = {**users, **{f"{one}-again": users[one] for one in students[:doubled]}} if doubled else users

    def facts(self, collection: str) -> Mapping[str, Any]:
        if collection == "users":
            return self._users
        source = self._gradebook if collection in twin_gradebook.COLLECTIONS else self.roster
        return source.facts[collection]

    def known(self) -> tuple[str, ...]:
        """The collections that were looked at or may have been."""
        return (*self.roster.facts, *(twin_gradebook.COLLECTIONS if self._gradebook.known else ()))

    def row(self, collection: str, fact: Any, base: str) -> Row:
        if isinstance(fact, Written):
            row: Row = _placed(fact.row, base)
            return row
        source = self._gradebook if collection in twin_gradebook.COLLECTIONS else self.roster
        return source.row(collection, fact, base)


def _placed(value: Any, base: str) -> Any:
    """The same with `base` before every href."""
    if isinstance(value, list):
        return [_placed(part, base) for part in value]
    if isinstance(value, dict):
        return {name: base + part if name == "href" else _placed(part, base) for name, part in value.items()}
    return value


class Shelves:
    """What the system has, by collection and sourcedId."""

    _REMEMBERED = 64

    def __init__(self, sources: Sources, quirks: Quirks) -> None:
        self._sources = sources
        self._quirks = quirks
        self._last = self._now() if quirks.refresh_times else datetime(2026, 7, 1, tzinfo=UTC)
        self._born = stamp(self._last)
        self._stamps: dict[tuple[str, str], str] = {}
        self._gone: dict[str, dict[str, Any]] = {collection: {} for collection in MODELS["1.2"]}
        self._written: dict[str, dict[str, Any]] = {collection: {} for collection in MODELS["1.2"]}
        self._deleted: dict[str, set[str]] = {collection: set() for collection in MODELS["1.2"]}
        self._found: dict[Any, list[str]] = {}
        self._rows: dict[str, dict[str, Row]] = {}
        self.revision = 1

    def play(self, sources: Sources) -> None:
        """Go over to another district; what differs carries the time of this call as dateLastModified."""
        now = self._tick()
        for collection in self._sources.known():
            before, facts, gone = self._sources.facts(collection), sources.facts(collection), self._gone[collection]
            for sourced_id, fact in facts.items():
                if before.get(sourced_id) != fact:
                    self._stamps[collection, sourced_id] = now
            if self._quirks.tombstones:
                for sourced_id in before.keys() - facts.keys():
                    self._stamps[collection, sourced_id] = now
                    gone[sourced_id] = before[sourced_id]
        self._sources = sources
        self._born = now if self._quirks.refresh_times else self._born

    def _tick(self) -> str:
        """Forget what was found, and give the time of a change: never that of another one."""
        self._last = max(self._now(), self._last + timedelta(milliseconds=1))
        self._found.clear()
        self._rows.clear()
        self.revision += 1
        return stamp(self._last - timedelta(seconds=self._quirks.stamps_behind))

    def _now(self) -> datetime:
        return datetime.now(UTC) + timedelta(seconds=self._quirks.clock_ahead)

    def put(self, collection: str, sourced_id: str, row: Row) -> bool:
        """Keep a record; whether it is a new one."""
        new = not self.has(collection, sourced_id)
        self._written[collection][sourced_id] = Written(row)
        self._deleted[collection].discard(sourced_id)
        self._gone[collection].pop(sourced_id, None)
        self._stamps[collection, sourced_id] = self._tick()
        return new

    def delete(self, collection: str, sourced_id: str) -> None:
        """Take a record away, a line item with its results; refuses with 404 what is not there."""
        if not self.has(collection, sourced_id):
            raise Denied(404, f"There is no such object in {collection}.")
        if collection == "lineItems":
            for result, row in self.rows("results").items():
                if row["lineItem"]["sourcedId"] == sourced_id:
                    self.delete("results", result)
        fact = self._written[collection].pop(sourced_id, None) or self._sources.facts(collection)[sourced_id]
        self._deleted[collection].add(sourced_id)
        self._stamps[collection, sourced_id] = self._tick()
        if self._quirks.tombstones:
            self._gone[collection][sourced_id] = fact

    def has(self, collection: str, sourced_id: str) -> bool:
        return sourced_id in self._written[collection] or (
            sourced_id in self._sources.facts(collection) and sourced_id not in self._deleted[collection]
        )

    def rows(self, collection: str) -> dict[str, Row]:
        """All live records of a collection in 1.2, remembered until something changes."""
        if collection not in self._rows:
            self._rows[collection] = {
                sourced_id: self._sources.row(collection, fact, "")
                for sourced_id, fact in self._everything(collection).items()
                if self.has(collection, sourced_id)
            }
        return self._rows[collection]

    def _everything(self, collection: str) -> dict[str, Any]:
        """The tombstones too."""
        everything = {**self._sources.facts(collection), **self._written[collection]}
        for sourced_id in self._deleted[collection]:
            everything.pop(sourced_id, None)
        return {**self._gone[collection], **everything}

    def resource_of(self, course: str) -> str:
        """The sourcedId of the book of a course."""
        return self._sources.roster.reissued(resource_id(self._sources.facts("courses")[course][0]))

    def find(
        self, key: Any, collection: str, keep: Callable[[Any], bool], among: Among | None, selection: Selection
    ) -> list[str]:
        """The sourcedIds selected among the records that `keep` lets through by their fact and `among` by their row.

        Remembered under the key until something changes.
        """
        if (key, selection) not in self._found:
            if len(self._found) >= self._REMEMBERED:
                self._found.clear()
            found = sorted(sourced_id for sourced_id, fact in self._everything(collection).items() if keep(fact))
            if among:
                rows = self.rows(collection)
                found = [
                    sourced_id for sourced_id in found if sourced_id in rows and among(sourced_id, rows[sourced_id])
                ]
            self._found[key, selection] = self._selected(collection, found, selection)
        return self._found[key, selection]

    def _selected(self, collection: str, found: list[str], selection: Selection) -> list[str]:
        def row(sourced_id: str) -> Row:
            return self.row(collection, sourced_id, "", selection.shape)

        known = fields(collection, _shapes(selection.shape))
        if selection.filter and self._quirks.filter != "ignored":
            try:
                matches = self._filter(selection.filter, known)
            except ValueError as problem:
                raise Denied(400, str(problem), "invalid_filter_field") from None
            found = [sourced_id for sourced_id in found if matches(row(sourced_id))]
        path = selection.sort.split(".")
        if path[0] in known and self._quirks.sort == "honoured":
            found.sort(key=lambda sourced_id: sorted(map(str, leaves(row(sourced_id), path))))
        if selection.descending and self._quirks.sort == "honoured":
            found.reverse()
        if self._quirks.sort == "ignored":  # in an order of its own, always the same
            found.sort(key=lambda sourced_id: sourced_id[::-1])
        return found

    def _filter(self, text: str, known: frozenset[str]) -> Callable[[Row], bool]:
        quirk = self._quirks.filter
        if quirk == "refused":
            raise ValueError("Filters are not supported.")
        if quirk == "and-only" and "' OR " in text:
            raise ValueError("Clauses are joined by AND.")
        if any(text.startswith(blind) or f" {blind}" in text for blind in self._quirks.filter_blind):
            raise ValueError("The filter names a field that cannot be filtered on.")
        if quirk == "finds-nothing":
            return lambda row: False
        if quirk == "by-day" and (asked := re.fullmatch(r"dateLastModified>'(\d{4}-\d\d-\d\d)[^']*'", text)):
            return lambda row: row.get("dateLastModified", "")[:10] > asked[1]
        return parse(text, known, exact=quirk == "case-broken")

    def row(self, collection: str, sourced_id: str, base: str, shape: Shape) -> Row:
        """The record as it is served, but for the system's own spelling; refuses with 404 what is not there."""
        alive = self.has(collection, sourced_id)
        fact = (
            self._written[collection].get(sourced_id) or self._sources.facts(collection).get(sourced_id)
            if alive
            else self._gone[collection].get(sourced_id)
        )
        if fact is None:
            raise Denied(404, f"There is no such object in {collection}.")
        row = {
            "sourcedId": sourced_id,
            "status": "active" if alive else "tobedeleted",
            "dateLastModified": self._born
            if self._quirks.refresh_times
            else self._stamps.get((collection, sourced_id), self._born),
            **self._sources.row(collection, fact, base),
        }
        if self._quirks.undated and sum(sourced_id.encode()) % self._quirks.undated == 0:
            del row["dateLastModified"]
        if _is_older(collection, sourced_id, shape):
            return older(collection, row)
        return row

    def fact(self, collection: str, sourced_id: str) -> Any:
        """What a view decides by; None where there is nothing."""
        everything = (self._written[collection], self._sources.facts(collection), self._gone[collection])
        return next((facts[sourced_id] for facts in everything if sourced_id in facts), None)


def _is_older(collection: str, sourced_id: str, shape: Shape) -> bool:
    if collection not in MODELS["1.1"] or shape == "1.2":
        return False
    return shape == "1.1" or sum(sourced_id.encode()) % 2 == 1


def _shapes(shape: Shape) -> tuple[Version, ...]:
    return ("1.1", "1.2") if shape == "mixed" else (shape,)
