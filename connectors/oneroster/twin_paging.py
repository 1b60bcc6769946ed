"""Which part of what was found is one page, and what the headers of the page say about the rest."""

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any
from urllib.parse import urlencode

from starlette.requests import Request

from connectors.oneroster.twin_errors import Denied
from connectors.oneroster.twin_quirks import Quirks
from connectors.oneroster.twin_rows import Row


class Paging:
    """The pages of one system."""

    def __init__(self, quirks: Quirks) -> None:
        self._quirks = quirks
        self._moved: Counter[str] = Counter()

    def page(
        self, request: Request, found: Sequence[str], revision: int
    ) -> tuple[list[tuple[int, str]], dict[str, str]]:
        """The sourcedIds of the page that is asked for, each with its place, and the headers of the page."""
        quirks = self._quirks
        limit = self._limit(request)
        offset = number(request, "offset", 0, least=0)
        listed = self._moving(request.url.path, offset, found)
        total = len(listed)
        if quirks.duplicates:
            listed = [*listed[: total // 2], *listed[:3], *listed[total // 2 :]]
        if quirks.offset_beyond != "empty" and offset >= max(1, len(listed)):
            raise Denied(int(quirks.offset_beyond), "The offset is behind the last row.", "invaliddata")
        first = 0 if quirks.offset_ignored else offset
        rows = list(enumerate(listed))[first : first + limit]
        headers: dict[str, str] = {}
        if quirks.totals:
            headers["X-Total-Count"] = str(max(0, total + quirks.wrong_total))
        if quirks.link:
            headers["Link"] = _links(request, limit, offset, len(listed))
        if quirks.perm_rev:
            moved = self._moved["revision"] = min(self._moved["revision"] + 1, quirks.moves)
            headers["x-count"] = str(len(rows))
            headers["x-perm-rev"] = str(revision * 1000 + (moved if quirks.perm_rev == "moving" else 0))
        return rows, headers

    def _limit(self, request: Request) -> int:
        limit = number(request, "limit", 100, least=1)
        refused_above = self._quirks.limit_refused_above
        if refused_above is not None and limit > refused_above:
            raise Denied(400, f"limit is at most {refused_above}.", "invaliddata")
        return min(limit, self._quirks.page_cap)

    def _moving(self, path: str, offset: int, found: Sequence[str]) -> Sequence[str]:
        """The list as it is by now; each page behind a first one finds it moved once more, until it rests."""
        moving, moves = self._quirks.moving, min(self._quirks.moves, len(found) - 1)
        if not moving or moves < 1:
            return found
        if offset:
            self._moved[path] = min(self._moved[path] + 1, moves)
        moved = self._moved[path]
        match moving:
            case "order":
                return [*found[moved:], *found[:moved]]
            case "removed":
                return found[moved:]
            case _:
                return found[moves - moved :]


def number(request: Request, name: str, default: int, *, least: int) -> int:
    """A whole number of the query."""
    text = request.query_params.get(name, str(default))
    if not text.isdecimal() or int(text) < least:
        raise Denied(422, f"{name} is a whole number from {least}.")
    return int(text)


def chosen(request: Request, known: frozenset[str]) -> Callable[[Row], Row]:
    """What `fields` leaves of a row."""
    text = request.query_params.get("fields")
    if text is None:
        return lambda row: row
    wanted = {name.strip() for name in text.split(",")}
    if not wanted <= known:
        raise Denied(400, "A selected field is unknown.", "invalid_selection_field")
    return lambda row: {name: value for name, value in row.items() if name in wanted}


def _links(request: Request, limit: int, offset: int, total: int) -> str:
    """The Link header: every other query parameter is kept as it was asked."""
    places = {"first": 0, "last": max(0, (total - 1) // limit * limit)}
    if offset + limit < total:
        places["next"] = offset + limit
    if offset > 0:
        places["prev"] = max(0, offset - limit)
    kept: list[Any] = [pair for pair in request.query_params.multi_items() if pair[0] not in ("limit", "offset")]
    address = f"{address_of(request)}{request.url.path}"
    return ", ".join(
        f'<{address}?{urlencode([*kept, ("limit", limit), ("offset", place)])}>; rel="{rel}"'
        for rel, place in places.items()
    )


def address_of(request: Request) -> str:
    """Scheme, host and port, as the request named them."""
    return str(request.base_url).rstrip("/")
