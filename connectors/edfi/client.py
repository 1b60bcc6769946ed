"""How an Ed-Fi API is read: pages by offset or by token, what changed, and what the key is allowed to see."""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

import msgspec

from connectors.edfi import openapi, probe, refusals, snapshots
from connectors.edfi.changes import Changes, Kind, Versions, Window, total_of
from connectors.edfi.resources import resources, without_identity_numbers
from connectors.edfi.server import EdfiSettings, Server, discover
from connectors.edfi.snapshots import LIVE, Header
from gateway.connector import START, Finding, Notice, Page, Resource
from gateway.errors import Unavailable
from gateway.http import Http, Reply
from gateway.payload import rows_of

_LARGEST_PAGE = 500  # Ed-Fi: DefaultPageSizeLimit; a host may set another
_LONGEST_PAGE = 2000  # however long a host would let it be: so many pages as are in flight must fit into memory
_SMALLEST_PARTITION = 5  # Ed-Fi: a partition has at least that many pages


async def open_source(settings: EdfiSettings, http: Http) -> "EdfiSource":
    """The server behind `settings`, discovered. ConfigError as `discover` says."""
    return EdfiSource(await discover(settings), settings, http)


class EdfiSource:
    """An Ed-Fi API, opened for reading.

    Cursors say all that is needed to pull a page, so that any worker can go on:
    `offset:<first>:<count>` exactly these rows; `tail:<first>:<count>` these and whatever comes after them;
    `token:<page token>` the next page of a chain; what begins with `changes:` a Place in a window of changes.

    All there is comes by token, else by windows that are read backwards, and by offset only where the server has
    neither: there a row may change pages while they are read.
    """

    def __init__(self, server: Server, settings: EdfiSettings, http: Http) -> None:
        self._all = resources(server.standard)
        self.collect(())
        self.pages_move = True  # what is read whole may move, also beside windows
        self._server = server
        self._settings = settings
        self._http = http
        self._limit = _LARGEST_PAGE
        self._since: Mapping[str, str] = {}
        self._versions: Versions | None = None
        self._asked = asyncio.Lock()
        self._limit_told = False
        self._snapshot: Header | None = None  # until it is known which, if any
        self._rekeyed = ""
        self._changes = Changes(server.standard, ask=self._list, told=_rows, now=self._versions_now)

    def collect(self, groups: Iterable[str]) -> None:
        """From now on roster, results and what these groups have."""
        on = {"", *groups}
        self.resources: Sequence[Resource] = [resource for resource in self._all if resource.group in on]

    async def marks(self) -> Mapping[str, str]:
        """For each collection the newest change version; none where the server does not tell."""
        versions = await self._told_versions()
        return {} if versions is None else {resource.name: str(versions.newest) for resource in self.resources}

    def since(self, marks: Mapping[str, str]) -> None:
        """From now on pull what changed after these versions, of the collections that are in them."""
        self._since = marks
        stands = self._versions.newest if self._versions else 0
        if (
            self._snapshot
            and self._settings.snapshot == "auto"
            and any(stands <= _version(mark) for mark in marks.values())
        ):
            self._snapshot, self._versions = LIVE, None  # what it has is known: the server itself may have more
        self.pages_move = not marks  # a window is read so that nothing which stays in it is missed

    def reached(self) -> Mapping[str, str]:
        """What was read wholly was read while the server changed: up to these versions, which are later than `marks`.

        # Ed-Fi: of several changes of a key in one window only the first and the last are told. What changes from here
        on must be asked for from here on: a key that was read in between would otherwise never be told of. Nor is one
        that was read between two changes while all was read: such a collection is read wholly once more.
        """
        return {
            name: f"{version}{_ONCE_MORE}" if name in self._changes.moved else str(version)
            for name, version in self._changes.reached.items()
        }

    async def pull(self, resource: Resource, cursor: str) -> Page:
        """One page. The first one tells the total and how to go on; it has no rows where partitions follow."""
        await self._told_versions()
        if cursor == START and resource.name in self._since:
            return await self._first_of_changes(resource, self._since[resource.name])
        if cursor == START:
            return await self._first(resource)
        if cursor.startswith("changes:"):
            return await self._changes.pull(resource, cursor)
        self.pages_move = True
        kind, _, place = cursor.partition(":")
        if kind == "token":
            return await self._by_token(resource, place)
        first, _, count = place.partition(":")
        return await self._by_offset(resource, int(first), int(count), open_ended=kind == "tail")

    async def check(self) -> Sequence[Finding]:
        """Discovery, credentials, what the key may do, and each collection with its count."""
        return await probe.findings(self._server, self._settings, self._http, self.resources)

    async def close(self) -> None:
        """Nothing is held open: the transport belongs to the caller."""

    async def _first_of_changes(self, resource: Resource, since: str) -> Page:
        """What changed after the mark, if the server can tell all of it; else everything, and why."""
        versions, mark = await self._told_versions(), _version(since)
        if versions is None:
            return await self._whole(resource, Notice("changes-not-told", "availableChangeVersions", resource.name))
        if not versions.reach_back_to(mark):
            return await self._whole(
                resource, Notice("change-versions-apart", "availableChangeVersions", resource.name)
            )
        doubt = self._doubt(resource, since)
        quiet = versions.newest == mark
        if quiet and doubt is None:
            return Page(partial=True)
        window = Window(mark + 1, versions.newest)
        found = Page(partial=True) if quiet else await self._changes.first(resource, window)
        if resource.name in _PEOPLE and (doubt is not None or resource.name in self._changes.rekeyed):
            self._rekeyed = self._rekeyed or resource.name
        if isinstance(found, Page) and doubt is not None:
            page = await self._whole(resource, doubt)
            if page.absent:
                return page
            following = self._changes.keys_beside(resource, found, page)
            return replace(page, gone=found.gone, renamed=found.renamed, next=following)
        return await self._whole(resource, found) if isinstance(found, Notice) else found

    def _doubt(self, resource: Resource, since: str) -> Notice | None:
        """Why what the server tells of its changes is not all that changed in what we have of a collection."""
        if self._rekeyed:
            return Notice("people-rekeyed", self._rekeyed, resource.name)
        return Notice("keys-moved", "keyChanges", resource.name) if since.endswith(_ONCE_MORE) else None

    async def _whole(self, resource: Resource, why: Notice) -> Page:
        page = await self._first(resource)
        return page if page.absent else replace(page, notices=(*page.notices, why))

    async def _told_versions(self) -> Versions | None:
        """Where the server, or its snapshot, stands, asked once: all windows of a run end there. None where it does not
        tell."""
        async with self._asked:
            if self._snapshot is None:
                self._snapshot = await snapshots.offered(self._server, self._settings.snapshot, self._http)
            if self._versions is None and self._server.changes_url:
                reply = await self._asked_versions()
                if self._snapshot and reply.status in _NO_SNAPSHOT:
                    if self._settings.snapshot == "always":
                        raise snapshots.gone()
                    self._snapshot = LIVE
                    reply = await self._asked_versions()
                self._versions = _versions(reply)
        return self._versions

    async def _versions_now(self) -> Versions | None:
        return _versions(await self._asked_versions())

    async def _asked_versions(self) -> Reply:
        return await self._http.get(
            f"{self._server.changes_url}/availableChangeVersions", headers=self._snapshot or LIVE
        )

    async def _first(self, resource: Resource) -> Page:
        await self._ask_for_limit()
        if self._server.pages_by_token:
            return await self._first_by_token(resource)
        versions = await self._told_versions()
        reply = await self._page(resource, {"offset": 0, "totalCount": "true"}, "limit")
        if reason := _absence(reply):
            return Page(absent=reason)
        by_windows = self._changes.whole(resource, reply, versions) if versions else None
        return by_windows or await self._first_by_offset(resource, reply)

    async def _first_by_offset(self, resource: Resource, reply: Reply) -> Page:
        rows, total = _rows(resource, reply), total_of(reply)
        if total == len(rows):
            self._changes.begin(resource, 1)
            return Page(rows, next=await self._rest(resource), total=total)
        if not rows:
            return Page(rows, total=total)
        # What came is what the server gives at once, whatever we asked for.
        step = len(rows)
        if total is None or total < step:  # a total that is wrong ends nothing
            return Page(rows, next=(f"tail:{step}:{step}",), total=total)
        *middle, end = range(step, total, step)
        return Page(rows, next=(*(f"offset:{start}:{step}" for start in middle), f"tail:{end}:{step}"), total=total)

    async def _by_offset(self, resource: Resource, first: int, count: int, *, open_ended: bool) -> Page:
        reply = await self._get(resource, {"offset": first, "limit": count})
        rows = _rows(resource, reply)
        received, missing = len(rows), count - len(rows)
        # More than was asked for are rows of other places: they stand for none of those that follow.
        if open_ended and received >= count:
            return Page(rows, next=(f"tail:{first + count}:{count}",))
        if not open_ended and received and missing > 0:
            return Page(rows, next=(f"offset:{first + received}:{missing}",))
        ended = open_ended and resource.name in self._changes.begun
        return Page(rows, next=await self._rest(resource) if ended else ())

    async def _first_by_token(self, resource: Resource) -> Page:
        reply = await self._count(resource)
        if reason := _absence(reply):
            return Page(absent=reason)
        total = total_of(reply)
        chains = min((total or 0) // (_SMALLEST_PARTITION * self._limit), self._settings.in_flight)
        if chains > 1 and (tokens := await self._partitions(resource, chains)):
            self._changes.begin(resource, len(tokens))
            return Page(next=tuple(f"token:{token}" for token in tokens), total=total)
        reply = await self._page(resource, {}, "pageSize")
        self._changes.begin(resource, 1)
        return Page(_rows(resource, reply), next=_after(reply) or await self._rest(resource), total=total)

    async def _by_token(self, resource: Resource, token: str) -> Page:
        reply = await self._page(resource, {"pageToken": token}, "pageSize")
        rows, following = _rows(resource, reply), _after(reply)
        # A row keeps its place here, but one that was deleted before it came would be missed by its count.
        return Page(rows, next=following or await self._rest(resource))

    async def _rest(self, resource: Resource) -> tuple[str, ...]:
        """What was written while the collection was read, where the server tells."""
        versions = await self._told_versions()
        return await self._changes.rest(resource, versions.newest) if versions else ()

    async def _partitions(self, resource: Resource, number: int) -> Sequence[str]:
        """The first tokens of chains that together are the collection; none where this is not offered."""
        reply = await self._get(resource, {"number": number}, "/partitions")
        tokens: Sequence[str] = reply.json().get("pageTokens", ()) if reply.status == 200 else ()
        return tokens

    async def _count(self, resource: Resource) -> Reply:
        return await self._get(resource, {"offset": 0, "limit": self._server.counting_limit, "totalCount": "true"})

    async def _ask_for_limit(self) -> None:
        """How long a page may be, where the server's own documents say so."""
        if self._limit_told:
            return
        self._limit_told = True
        documents = await openapi.offered(self._server, self._settings)
        told = [documents.limit(one.name) or 0 for one in self.resources] if documents else []
        self._limit = min(_LONGEST_PAGE, min((limit for limit in told if limit > 0), default=self._limit))

    async def _list(self, resource: Resource, params: Mapping[str, str | int], *, of: Kind) -> Reply:
        """A page of the collection, or of what was deleted from it or got another key."""
        below = "" if of == "rows" else f"/{of}"
        if "limit" in params:
            return await self._get(resource, params, below)
        return await self._page(resource, params, "limit", below)

    async def _page(self, resource: Resource, params: Mapping[str, str | int], sized_by: str, below: str = "") -> Reply:
        """A page as large as the server allows; what it allows is remembered."""
        asked = self._limit
        reply = await self._get(resource, {**params, sized_by: asked}, below)
        while asked > 1 and refusals.refuses_limit(reply):
            asked = min(refusals.largest_limit(reply) or max(asked // 5, 1), asked - 1)
            reply = await self._get(resource, {**params, sized_by: asked}, below)
            self._limit = min(self._limit, asked)
        return reply

    async def _get(self, resource: Resource, params: Mapping[str, str | int], below: str = "") -> Reply:
        url = self._server.collection(resource.name) + below
        reply = await self._http.get(url, params, headers=self._snapshot or LIVE)
        if self._snapshot and (
            reply.status == _GONE
            or (reply.status == _NOT_FOUND and (await self._asked_versions()).status in _NO_SNAPSHOT)
        ):
            raise snapshots.gone()
        return reply


# Ed-Fi: a server keeps what is about people by numbers of its own, so it need not count it as changed when their keys
# do, although it then serves it with other keys.
_PEOPLE = frozenset({"students", "staffs", "parents", "contacts"})
_ONCE_MORE = "*"
"""Ends the mark of a collection whose keys changed while all of it was read."""
_NOT_FOUND, _GONE = 404, 410
_NO_SNAPSHOT = (_NOT_FOUND, _GONE)  # Ed-Fi: the first from 7.0 on, the second before


def _version(mark: str) -> int:
    return int(mark.removesuffix(_ONCE_MORE))


def _absence(reply: Reply) -> str:
    return refusals.ABSENCES.get(reply.status, "")


def _after(reply: Reply) -> tuple[str, ...]:
    # The last page with rows still names a next one; that one is empty and names none.
    token = reply.headers.get("next-page-token", "")
    return (f"token:{token}",) if token else ()


def _rows(resource: Resource, reply: Reply) -> Sequence[msgspec.Raw]:
    try:
        rows = rows_of(refusals.granted(reply).body)
    except msgspec.DecodeError:
        raise Unavailable("edfi-not-a-list", f"{reply.name} answered 200 without a list of records.") from None
    return without_identity_numbers(resource, rows)


class _Told(msgspec.Struct):
    """# Ed-Fi: before 6.0 these names begin with a capital."""

    oldestChangeVersion: int | None = None
    newestChangeVersion: int | None = None
    OldestChangeVersion: int | None = None
    NewestChangeVersion: int | None = None


def _versions(reply: Reply) -> Versions | None:
    try:
        told = msgspec.json.decode(reply.body, type=_Told) if reply.status == 200 else _Told()
    except msgspec.DecodeError:
        return None
    newest = told.newestChangeVersion if told.newestChangeVersion is not None else told.NewestChangeVersion
    oldest = told.oldestChangeVersion if told.oldestChangeVersion is not None else told.OldestChangeVersion
    return None if newest is None else Versions(oldest or 0, newest)
