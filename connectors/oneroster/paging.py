"""Where a page begins and what must be so for none to be lost: offsets, the rows that pages share, their first page."""

import re
from dataclasses import dataclass, replace
from typing import Literal, cast

from gateway.connector import START

Changes = Literal["", "+", "*", "~"]
"""What is pulled: everything; what changed, as the server filters; the same, though it counts everything; what changed,
out of everything that it gives."""

_CURSOR = re.compile(r"(\d+)(?:-(\d+))?([+*~]?)(n?)(?:@([0-9a-f]+))?(?:\.([0-9a-f]+))?")


MOST = 2000
"""Stretches that are pulled side by side; a count may be any number, and each of them is a request."""


@dataclass(frozen=True)
class Place:
    """Part of a collection, from row `start` up to but not including `end`; without one, as far as it goes.

    It is the whole of a cursor, so that any worker can go on from it: also whether changes only are pulled, whether in
    the server's `natural` order, and the fingerprints of the `first` page and of the row before this place (`edge`).
    Written as `4000-4999+n@<first>.<edge>`.
    """

    start: int = 0
    end: int | None = None
    changes: Changes = ""
    natural: bool = False
    first: str = ""
    edge: str = ""

    @classmethod
    def parse(cls, cursor: str) -> "Place":
        found = _CURSOR.fullmatch(cursor) if cursor != START else None
        if found is None:
            return cls()
        start, end, changes, natural, first, edge = found.groups()
        return cls(
            int(start), int(end) if end else None, cast(Changes, changes), bool(natural), first or "", edge or ""
        )

    def __str__(self) -> str:
        span = f"{self.start}-{self.end}" if self.end else f"{self.start}"
        ways = f"{self.changes}{'n' if self.natural else ''}"
        return f"{span}{ways}{self.first and f'@{self.first}'}{self.edge and f'.{self.edge}'}"

    def following(self, received: int, edge: str) -> tuple[str, ...]:
        """The cursor that so many rows from this place make known, where it is not at its end; `edge` is the last of
        them."""
        reached = self.start + received
        if not received or (self.end is not None and reached >= self.end):
            return ()
        return (str(replace(self, start=reached, edge=edge)),)

    def side_by_side(self, received: int, total: int, step: int) -> tuple[str, ...]:
        """The cursors of all that follows the first page, each of `step` rows, `MOST` at most; the last is open,
        because totals are wrong too."""
        starts = list(range(received, max(received + 1, total), step)[:MOST])
        # What is left of a whole step belongs to the open one.
        return (
            *(str(replace(self, start=start, end=start + step)) for start in starts[:-1]),
            str(replace(self, start=starts[-1])),
        )
