"""What clients wrote over the SIS's own records, and what they added to them, until the SIS writes again."""

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from connectors.edfi.twin.collection import Collection, Entry, Key, Row, Source


class Written(NamedTuple):
    """One item as a client wrote it. `over` is what the SIS had there, None where it had nothing."""

    key: Key
    body: Row
    over: Any = None


class Overlay:
    """All that was written to one of the SIS's resources. `row` renders a body."""

    def __init__(self, row: Callable[[Row], Row]) -> None:
        self._row = row
        self._written: dict[Key, Written] = {}  # by its present natural key

    def keep(self, key: Key, body: Row, entry: Entry | None) -> Written:
        """Remember the body; `entry` is the item that it replaces."""
        over = entry.fact if entry is not None else None
        if isinstance(over, Written):
            over = over.over
        if entry is not None:
            self._written.pop(entry.key, None)
        self._written[key] = Written(key, body, over)
        return self._written[key]

    def drop(self, key: Key) -> None:
        self._written.pop(key, None)

    def created(self) -> Iterable[Key]:
        """What only clients know."""
        return [one.key for one in self._written.values() if one.over is None]

    def repost(self, collection: Collection) -> None:
        """The SIS writes its own records again, as if nobody had touched them."""
        for one in list(self._written.values()):
            if one.over is not None:
                own = self._source.key(one.over)
                if own != one.key:
                    collection.rename(one.key, own, one.over)
                collection.put(own, one.over)
                self.drop(one.key)

    def source(self, source: Source) -> Source:
        """What the collection is filled with: the SIS's facts, and in the place of some what was written. A fact that
        is another than the one that was written over is one the SIS has written since."""
        self._source = source
        facts: Iterable[Any] = source.facts
        if self._written:
            over = {source.key(one.over): one for one in self._written.values() if one.over is not None}
            added = [one for one in self._written.values() if one.over is None]
            facts = [self._present(fact, over.pop(source.key(fact), None)) for fact in facts]
            for gone in over.values():
                self.drop(gone.key)
            facts = [*facts, *added]
        same = source.same
        return Source(
            facts,
            lambda fact: fact.key if isinstance(fact, Written) else source.key(fact),
            lambda fact: self._row(fact.body) if isinstance(fact, Written) else source.row(fact),
            same and (lambda fact: _same(fact, same)),
        )

    def _present(self, fact: Any, written: Written | None) -> Any:
        if written is None or written.over == fact:
            return written or fact
        self.drop(written.key)
        return fact


def _same(fact: Any, same: Callable[[Any], Any]) -> Any:
    """By what an item is known whose natural key may change; one that only clients know by itself."""
    if not isinstance(fact, Written):
        return same(fact)
    return same(fact.over) if fact.over is not None else ("written", fact.key)
