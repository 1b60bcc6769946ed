"""How a OneRoster service is read: which pages there are, and what each must have in common with its neighbours."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TypeVar

from connectors.oneroster.catalogue import HOMES, scope_of
from connectors.oneroster.envelope import Answer, short
from connectors.oneroster.models import asked
from connectors.oneroster.paging import Changes, Place
from connectors.oneroster.probe import findings
from connectors.oneroster.server import FAR_AHEAD, LONG_AGO, NOT_OFFERED, Server, changed_since, spelt
from connectors.oneroster.settings import OneRosterSettings, dialect
from gateway.connector import Finding, Notice, Page, Resource
from gateway.errors import ConfigError, Unavailable
from gateway.http import Http

_OVERLAP = timedelta(days=2)
"""How far before a mark changes are asked for. Slow transactions end later than the time that they write; servers call
local time UTC, compare days alone, or show with tonight's copy what its source changed this morning. Nothing of that
can be seen in a row, and to be given a day's changes twice costs little."""

_SAFE_LIMIT = 100
"""What no server refuses. # OneRoster 1.1, 1.2: the default limit"""

T = TypeVar("T")


class RestSource:
    """A service as a source.

    A cursor is a Place. Without a total, pages follow each other until there are no more rows: servers clamp the limit
    without a word, so that a short page ends nothing. With a total the first page makes known every stretch of its own
    length, to be pulled side by side; a stretch that comes short goes on where it stopped, and the last one is open.

    Every later page begins with the last row of the one before it. As long as the server keeps any one order, nothing
    that was there all the time can then be missed, however the roster changes meanwhile: what moved over the edge
    between two pages moved the row at that edge too. Where that is another one, the pull ends, to be begun again. Link
    headers add nothing to that and are not read.

    Where a filter for changes is ignored, it is applied here, and the server's count, which is that of everything, is
    kept from whoever would miss the rest. Where it is refused, the collection is pulled whole.
    """

    pages_move = True

    def __init__(self, settings: OneRosterSettings, http: Http) -> None:
        self._dialect = dialect(settings)
        self.resources: Sequence[Resource] = asked(self._dialect.collections)
        self.settings = settings
        self._server = Server(self._dialect, http)
        self._shared = 0 if self._dialect.order == "none" else 1
        self._limit = self._dialect.page_size
        self._since: dict[str, datetime] = {}
        self._begun: set[str] = set()
        self._edges: dict[tuple[str, int], str] = {}
        self._revision = ""
        self._finds_nothing = False
        self._counts_everything: bool | None = None

    async def marks(self) -> Mapping[str, str]:
        """For each collection the moment from which changes are to be asked for next: now, by the server's clock or by
        ours, whichever is behind. None where a filter finds nothing of what there must be."""
        if not self._dialect.changes:
            return {}
        got = await self._server.page("orgs", 0, 1, natural=True, filter=changed_since(LONG_AGO))
        if not got.refused and not got.rows:
            self._finds_nothing = True
            return {}
        if got.refused:
            got = await self._server.page("orgs", 0, 1, natural=True)
        if got.refused:
            return {}
        now = datetime.now(UTC)
        mark = spelt(min(got.given_at or now, now) - _OVERLAP)
        return {resource.name: mark for resource in self.resources}

    def since(self, marks: Mapping[str, str]) -> None:
        """From now on pull what changed since these marks, of the collections that are in them."""
        if self._dialect.changes:
            self._since = {name: datetime.fromisoformat(mark) for name, mark in marks.items()}

    async def pull(self, resource: Resource, cursor: str) -> Page:
        place = Place.parse(cursor)
        if self._server.version == "1.1" and not HOMES[resource.name].scope_1_1:
            return Page(absent="not in OneRoster 1.1")
        return await (self._later if place.start else self._first)(resource.name, place)

    async def check(self) -> Sequence[Finding]:
        """What the server does, in plain words, and the settings that follow from it."""
        return await findings(self.settings)

    async def close(self) -> None:
        """Nothing to do: the transport belongs to the caller."""

    async def _first(self, name: str, place: Place) -> Page:
        place, got, notices = await self._first_answer(name)
        if not got.refused and got.total is None and not got.rows:
            got = await self._ask(name, place, 0)  # an end that nobody counted to is asked for twice
        if got.refused:
            return self._refusal(name, place, got, behind=False)
        self._begun.add(name)
        self._edges = {at: edge for at, edge in self._edges.items() if at[0] != name}
        if place.changes and (since := self._since.get(name)) and any(got.old(since)):
            place = replace(place, changes="~")
            notices.append(Notice("filter-ignored", "filter", name))
        elif place.changes and (got.total or 0) > len(got.rows) and await self._is_count_of_everything(name, place):
            place = replace(place, changes="*")
            notices.append(Notice("total-of-everything", "X-Total-Count", name))
        if self._finds_nothing:
            notices.append(Notice("filter-finds-nothing", "filter", name))
        if not self._shared:
            notices.append(Notice("pages-not-compared", name))
        place = replace(place, first=got.fingerprint)
        received, total = len(got.rows), self._total(place, got)
        following: tuple[str, ...] = ()
        if got.rows:
            edge = self._edge(name, received, got.keys[-1])
            if total is None:
                following = place.following(received, edge)
            else:
                following = place.side_by_side(received, total, max(received - self._shared, 1))
        return self._page(name, place, got, 0, following, notices)

    async def _first_answer(self, name: str) -> tuple[Place, Answer, list[Notice]]:
        """The first page in the way that the server accepts: it may refuse the limit, or to sort, or to filter."""
        changes: Changes = "+" if name in self._since else ""
        sorts = self._dialect.order in ("auto", "sorted")
        for place in (Place(changes=c, natural=n) for c in _each(changes, "") for n in _each(not sorts, True)):
            for limit in _each(self._limit, min(self._limit, _SAFE_LIMIT)):
                self._limit, before = limit, self._limit
                got = await self._ask(name, place, 0)
                if got.refused not in (400, 422):
                    return place, got, self._concessions(name, place, got, bool(changes), sorts)
                self._limit = before
        return place, got, []

    def _concessions(self, name: str, place: Place, got: Answer, changes: bool, sorts: bool) -> list[Notice]:
        """What was asked for and is not done by this server."""
        notices = []
        if not got.refused and sorts and place.natural:
            notices.append(Notice("order-refused", "sort", name))
        if not got.refused and changes and not place.changes:
            notices.append(Notice("filter-refused", "filter", name))
        return notices

    async def _is_count_of_everything(self, name: str, place: Place) -> bool:
        """Whether the server counts also what the filter leaves out: nothing changes in times to come."""
        if self._counts_everything is None:
            never = changed_since(FAR_AHEAD)
            got = await self._server.page(name, 0, 1, natural=place.natural, filter=never)
            self._counts_everything = not got.refused and not got.rows and bool(got.total)
        return self._counts_everything

    async def _later(self, name: str, place: Place) -> Page:
        offset = place.start - self._shared
        got = await self._ask(name, place, offset)
        if not got.refused and self._is_doubtful(name, place, got):
            got = await self._ask(name, place, offset)
        if got.refused:
            return self._refusal(name, place, got, behind=not self._shared and not place.end)
        if self._is_first_page(place, offset, got):
            return await self._first_page_again(name, place, got)
        notices: list[Notice] = []
        if self._shared:
            if not place.edge and name not in self._begun:
                # Pages of an earlier attempt: which rows they ended with is not known any more.
                notices.append(Notice("pages-not-compared", name, f"row {place.start}"))
            self._edge(name, place.start, got.keys[0] if got.rows else "", place.edge)
        skip = min(self._shared, len(got.rows))
        if self._shared and skip == len(got.rows):
            # No more than the row that is shared: the end, or a page of one row. No total is believed here.
            got, skip = await self._ask(name, place, place.start), 0
            if got.refused:
                return self._refusal(name, place, got, behind=True)
            if self._is_first_page(place, place.start, got):
                return await self._first_page_again(name, place, got)
            if got.rows:  # between the two questions something may have moved
                notices.append(Notice("pages-not-compared", name, f"row {place.start}"))
        received = len(got.rows) - skip
        following: tuple[str, ...] = ()
        if received:
            following = place.following(received, self._edge(name, place.start + received, got.keys[-1]))
        return self._page(name, place, got, skip, following, notices)

    async def _ask(self, name: str, place: Place, offset: int) -> Answer:
        limit = place.end - offset if place.end else self._limit
        since = changed_since(self._since[name]) if place.changes else ""
        return await self._server.page(name, offset, limit, natural=place.natural, filter=since)

    def _page(
        self, name: str, place: Place, got: Answer, skip: int, following: tuple[str, ...], notices: list[Notice]
    ) -> Page:
        """The rows from `skip` on, without what the filter would have left out."""
        rows, total = got.rows[skip:], self._total(place, got)
        if place.changes == "~":
            old = got.old(self._since[name])
            rows, total = [row for n, row in enumerate(got.rows) if n >= skip and not old[n]], None
        elif not place.changes and self._dialect.changes and (undated := sum(got.undated[skip:])):
            first = got.keys[skip + got.undated[skip:].index(True)]
            notices.append(Notice("change-undated", "dateLastModified", first, undated))
        notices += got.notices
        if got.revision:
            self._revision = self._revision or got.revision
            if got.revision != self._revision:
                notices.append(Notice("revision-moved", "x-perm-rev", name))
        return Page(rows, next=following, total=total, notices=notices, partial=bool(place.changes))

    def _total(self, place: Place, got: Answer) -> int | None:
        return got.total if self._dialect.totals and place.changes != "*" else None

    def _is_doubtful(self, name: str, place: Place, got: Answer) -> bool:
        """Whether an answer may be a mistake of the moment: no rows, or not those of this place."""
        if not got.rows or got.fingerprint == place.first:
            return True
        known = place.edge or self._edges.get((name, place.start))
        return bool(self._shared and known and known != short(got.keys[0]))

    def _edge(self, name: str, start: int, key: str, known: str = "") -> str:
        """The row before a place, which the page that ends with it and the page that begins with it must both have."""
        edge = short(key)
        known = known or self._edges.setdefault((name, start), edge)
        if self._shared and edge != known:
            raise Unavailable(
                "oneroster-roster-moved",
                f"The rows of {name} moved from page to page while they were pulled: it changes, or is in no order.",
                "If it happens each time, have `planbridge check` look at the order of its pages.",
            )
        return edge

    def _is_first_page(self, place: Place, offset: int, got: Answer) -> bool:
        return bool(offset and got.rows and got.fingerprint == place.first)

    async def _first_page_again(self, name: str, place: Place, got: Answer) -> Page:
        """A server that ignores the offset gives its first page again. That is the end if it was all there is."""
        # Where a later page twice equals the first, the first may have been the wrong one.
        first = await self._ask(name, replace(place, end=None), 0)
        if first.fingerprint != place.first:
            raise Unavailable(
                "oneroster-pages-mixed-up",
                f"{first.reply.name} answered the first page of {name} with the rows of another one.",
            )
        received, total = len(got.rows), self._total(place, got)
        if received != self._limit if total is None else received >= total:
            return Page(total=total, notices=[Notice("offset-ignored", "offset", name)], partial=bool(place.changes))
        raise ConfigError(
            "oneroster-offset-ignored",
            f"The service answers every page of {name} with the same rows.",
            "Ask the vendor whether paging by limit and offset is switched on.",
        )

    def _refusal(self, name: str, place: Place, got: Answer, *, behind: bool) -> Page:
        """What a status other than 200 means at this place, which may be `behind` the last row."""
        status = got.refused
        if behind and status in (400, 404, 422):
            return Page(partial=bool(place.changes))  # some servers refuse an offset behind the last row
        if place.start:
            raise Unavailable("oneroster-page-refused", f"{got.reply.name} answered {status} in the middle of {name}.")
        if status == 403:
            return Page(absent=f"not granted: scope {scope_of(name, self._server.version or '1.2').rpartition('/')[2]}")
        if status in NOT_OFFERED and name != "orgs":
            return Page(absent="not offered by this server")
        # No OneRoster server is without orgs.
        raise ConfigError(
            "oneroster-refused",
            f"{got.reply.name} answered {status}.",
            "Check that the address is that of a OneRoster service.",
        )


def _each(first: T, second: T) -> tuple[T, ...]:
    """Both, where they differ."""
    return tuple(dict.fromkeys((first, second)))
