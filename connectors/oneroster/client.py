"""How a OneRoster 1.2 service is read: where its collections are, how their pages follow, what it refuses."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import msgspec

from connectors.oneroster.models import asked
from connectors.oneroster.settings import SCOPE, OneRosterSettings
from gateway.connector import START, Finding, Page, Resource
from gateway.errors import ConfigError, PlanbridgeError, Unavailable
from gateway.http import Http, Reply
from gateway.payload import members_of, rows_of

_CORE = "roster-core.readonly"
# The service and the scope of each collection. # OneRoster 1.2 Rostering, Gradebook (assessment results profile)
_COLLECTIONS = {
    "orgs": ("rostering", _CORE),
    "academicSessions": ("rostering", _CORE),
    "courses": ("rostering", _CORE),
    "classes": ("rostering", _CORE),
    "users": ("rostering", _CORE),
    "demographics": ("rostering", "roster-demographics.readonly"),
    "enrollments": ("rostering", _CORE),
    "assessmentLineItems": ("gradebook", "assessment.readonly"),
    "assessmentResults": ("gradebook", "assessment.readonly"),
}
# Rows move between pages that have no order. Servers that cannot sort are to leave the order alone.
_ORDER = {"sort": "sourcedId", "orderBy": "asc"}


class RestSource:
    """A service as a source.

    A cursor is an offset, `4000`, or a stretch, `4000-5000`. Without a total, pages follow each other until one is
    empty: servers clamp the limit without a word, so that a short page ends nothing. With a total the first page
    makes known every stretch of its own length, to be pulled side by side; a stretch that comes short goes on where
    it stopped, and the last one is open, because totals are wrong too. A page that would end a collection too early is
    asked for twice: the end that nobody counted to, and the first page once more. Link headers add nothing to that and
    are not read.
    """

    pages_move = True

    def __init__(self, settings: OneRosterSettings, http: Http) -> None:
        self.resources: Sequence[Resource] = asked(_COLLECTIONS)
        self._settings = settings
        self._http = http
        self._order = _ORDER
        self._first_pages: dict[str, bytes] = {}

    async def pull(self, resource: Resource, cursor: str) -> Page:
        stretch = _Stretch.parse(cursor)
        reply = await self._get(resource.name, stretch)
        if self._ends_too_early(resource.name, stretch, reply):
            reply = await self._get(resource.name, stretch)
        if reply.status != 200:
            return _refused(resource.name, stretch, reply)
        rows = _rows(resource.name, reply)
        total = _total(reply)
        if stretch.start == 0:
            self._first_pages[resource.name] = reply.body
        elif self._is_first_page(resource.name, reply):
            await self._check_first_page(resource.name)
            return self._page_for_ever(resource.name, len(rows), total)
        return Page(rows, next=tuple(stretch.following(len(rows), total)), total=total)

    async def check(self) -> Sequence[Finding]:
        """Token, scopes, and the first page of every collection."""
        try:
            token = await self._http.token()
        except PlanbridgeError as error:
            return [Finding(False, error.message, error.fix)]
        missing = sorted(set(self._settings.scopes.split()) - set(token.scope.split()))
        findings = [Finding(True, "The service gave a token.")]
        findings += [Finding(False, f"The token lacks the scope {scope}.", _ask_for(scope)) for scope in missing]
        return [*findings, *[await self._finding(resource) for resource in self.resources]]

    async def close(self) -> None:
        """Nothing to do: the transport belongs to the caller."""

    async def _get(self, name: str, stretch: "_Stretch") -> Reply:
        limit = stretch.end - stretch.start if stretch.end else self._settings.page_size
        service, _ = _COLLECTIONS[name]
        reply = await self._http.get(
            f"{self._settings.base_url}/ims/oneroster/{service}/v1p2/{name}",
            {"limit": limit, "offset": stretch.start, **self._order},
        )
        if reply.status == 400 and self._order:
            # 1.1 servers may answer invalid_sort_field.
            self._order = {}
            return await self._get(name, stretch)
        return reply

    def _ends_too_early(self, name: str, stretch: "_Stretch", reply: Reply) -> bool:
        if reply.status != 200:
            return False
        uncounted = _total(reply) is None and not _rows(name, reply)
        return uncounted or (stretch.start > 0 and self._is_first_page(name, reply))

    def _is_first_page(self, name: str, reply: Reply) -> bool:
        return reply.body == self._first_pages.get(name) and bool(_rows(name, reply))

    async def _check_first_page(self, name: str) -> None:
        """Where a later page twice equals the first, the first may have been the wrong one."""
        first = await self._get(name, _Stretch(0))
        if first.body != self._first_pages[name]:
            raise Unavailable(
                "oneroster-pages-mixed-up",
                f"{first.name} answered the first page of {name} with the rows of another one.",
            )

    def _page_for_ever(self, name: str, received: int, total: int | None) -> Page:
        """A server that ignores the offset gives its first page again. That is the end if it was all there is."""
        everything = received != self._settings.page_size if total is None else received >= total
        if everything:
            return Page(total=total)
        raise ConfigError(
            "oneroster-offset-ignored",
            f"The service answers every page of {name} with the same rows.",
            "Ask the vendor whether paging by limit and offset is switched on.",
        )

    async def _finding(self, resource: Resource) -> Finding:
        name, asked = resource.name, self._settings.page_size
        try:
            page = await self.pull(resource, START)
        except PlanbridgeError as error:
            return Finding(False, f"{name}: {error.message}", error.fix)
        if page.absent:
            return Finding(False, f"{name}: {page.absent}.", _ask_for(SCOPE + _COLLECTIONS[name][1]))
        received = len(page.rows)
        if page.total is None:
            return Finding(True, f"{name}: {received} on the first page; no X-Total-Count, so pages come one by one.")
        clamped = f", {received} a page instead of {asked}" if received < min(asked, page.total) else ""
        return Finding(received > 0 or page.total == 0, f"{name}: {page.total}{clamped}.")


def _ask_for(scope: str) -> str:
    return f"Ask the vendor for {scope}; until then that part is left out."


@dataclass(frozen=True)
class _Stretch:
    """Part of a collection, from `start` up to but not including `end`; without one, as far as it goes."""

    start: int
    end: int | None = None

    @classmethod
    def parse(cls, cursor: str) -> "_Stretch":
        start, _, end = cursor.partition("-")
        return cls(int(start or 0), int(end) if end else None)

    def following(self, received: int, total: int | None) -> Iterator[str]:
        """The cursors that a page of so many rows makes known."""
        reached = self.start + received
        if not received:
            return
        if self.end:
            if reached < self.end:
                yield f"{reached}-{self.end}"
            return
        if self.start == 0 and total is not None:
            while reached + received < total:
                yield f"{reached}-{reached + received}"
                reached += received
        yield str(reached)


def _refused(name: str, stretch: _Stretch, reply: Reply) -> Page:
    """What a status other than 200 means at this place."""
    if stretch.start and not stretch.end and reply.status in (400, 404, 422):
        return Page()  # some servers refuse an offset behind the last row
    if stretch.start:
        raise Unavailable("oneroster-page-refused", f"{reply.name} answered {reply.status} in the middle of {name}.")
    if reply.status == 403:
        return Page(absent=f"not granted: scope {_COLLECTIONS[name][1]}")
    if reply.status == 404 and name != "orgs":
        return Page(absent="not offered by this server")
    # No OneRoster server is without orgs.
    raise ConfigError(
        "oneroster-refused",
        f"{reply.name} answered {reply.status}.",
        "Check that the address is that of a OneRoster 1.2 service.",
    )


def _rows(name: str, reply: Reply) -> list[msgspec.Raw]:
    """The rows of `{"<name>": [...]}`, undecoded. Another spelling of the name, or another name for the only list,
    will do. # OneRoster 1.2 3: envelopes, which servers often get wrong"""
    try:
        body = members_of(reply.body)
        spelt = {key.casefold(): value for key, value in body.items()}
        lists = [value for value in body.values() if bytes(value).startswith(b"[")]
        found = body.get(name) or spelt.get(name.casefold()) or (lists[0] if len(lists) == 1 else msgspec.Raw(b'""'))
        return [] if bytes(found) == b"null" else rows_of(found)
    except msgspec.DecodeError as error:
        raise ConfigError(
            "oneroster-envelope",
            f"{reply.name} answered without a list named {name}.",
            "Check that the address is that of a OneRoster 1.2 service.",
        ) from error


def _total(reply: Reply) -> int | None:
    stated = reply.headers.get("x-total-count", "").strip()
    return int(stated) if stated.isascii() and stated.isdigit() else None
