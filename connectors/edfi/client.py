"""How an Ed-Fi API is read: pages by offset or by token, what changed, and what the key is allowed to see."""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

import msgspec

from connectors.edfi import refusals
from connectors.edfi.changes import TOMBSTONES, Changes, Kind, Versions, Window, total_of
from connectors.edfi.resources import resources, without_identity_numbers
from connectors.edfi.server import EdfiSettings, Server, discover
from connectors.edfi.sink import WRITTEN
from gateway.connector import START, Finding, Notice, Page, Resource
from gateway.errors import PlanbridgeError, Unavailable
from gateway.http import Http, Reply
from gateway.payload import rows_of

_LARGEST_PAGE = 500  # Ed-Fi: DefaultPageSizeLimit; a host may set another
_SMALLEST_PARTITION = 5  # Ed-Fi: a partition has at least that many pages


async def open_source(settings: EdfiSettings, http: Http) -> "EdfiSource":
    """The server behind `settings`, discovered. ConfigError as `discover` says."""
    return EdfiSource(await discover(settings), settings, http)


class EdfiSource:
    """An Ed-Fi API, opened for reading.

    Cursors say all that is needed to pull a page, so that any worker can go on:
    `offset:<first>:<count>` exactly these rows; `tail:<first>:<count>` these and whatever comes after them;
    `token:<page token>` the next page of a chain; what begins with `changes:` a Place in a window of changes.
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
        self._changes = Changes(server.standard, ask=self._list, told=_rows, quiet=self._quiet)

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
        self.pages_move = not marks  # a window is read so that nothing which stays in it is missed

    async def pull(self, resource: Resource, cursor: str) -> Page:
        """One page. The first one tells the total and how to go on; it has no rows where partitions follow."""
        if cursor == START and resource.name in self._since:
            return await self._first_of_changes(resource, int(self._since[resource.name]))
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
        findings = [Finding(True, f"{self._server.title} answers.")]
        try:
            token = await self._http.token()
        except PlanbridgeError as error:
            return [*findings, Finding(False, error.message, error.fix)]
        findings.append(Finding(True, "Key and secret are accepted."))
        findings += await self._about_the_key(token.access_token)
        findings.append(await self._about_changes())
        findings += await asyncio.gather(*(self._reachable(resource) for resource in self.resources))
        return findings

    async def close(self) -> None:
        """Nothing is held open: the transport belongs to the caller."""

    async def _first_of_changes(self, resource: Resource, mark: int) -> Page:
        """What changed after the mark, if the server can tell all of it; else everything, and why."""
        versions = await self._told_versions()
        if versions is None:
            return await self._whole(resource, Notice("changes-not-told", "availableChangeVersions", resource.name))
        if not versions.reach_back_to(mark):
            return await self._whole(
                resource, Notice("change-versions-apart", "availableChangeVersions", resource.name)
            )
        if versions.newest == mark:
            return Page(partial=True)
        found = await self._changes.first(resource, Window(mark + 1, versions.newest))
        return await self._whole(resource, found) if isinstance(found, Notice) else found

    async def _whole(self, resource: Resource, why: Notice) -> Page:
        page = await self._first(resource)
        return page if page.absent else replace(page, notices=(*page.notices, why))

    async def _told_versions(self) -> Versions | None:
        """Where the server stands, asked once: all windows of a run end there. None where it does not tell."""
        async with self._asked:
            if self._versions is None and self._server.changes_url:
                self._versions = await self._versions_now()
        return self._versions

    async def _quiet(self) -> bool:
        return self._versions is not None and self._versions == await self._versions_now()

    async def _versions_now(self) -> Versions | None:
        return _versions(await self._http.get(f"{self._server.changes_url}/availableChangeVersions"))

    async def _first(self, resource: Resource) -> Page:
        if self._server.pages_by_token:
            return await self._first_by_token(resource)
        return await self._first_by_offset(resource)

    async def _first_by_offset(self, resource: Resource) -> Page:
        reply = await self._page(resource, {"offset": 0, "totalCount": "true"}, "limit")
        if reason := _absence(reply):
            return Page(absent=reason)
        rows, total = _rows(resource, reply), total_of(reply)
        if not rows or total == len(rows):
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
        return Page(rows)

    async def _first_by_token(self, resource: Resource) -> Page:
        reply = await self._count(resource)
        if reason := _absence(reply):
            return Page(absent=reason)
        total = total_of(reply)
        chains = min((total or 0) // (_SMALLEST_PARTITION * self._limit), self._settings.in_flight)
        if chains > 1 and (tokens := await self._partitions(resource, chains)):
            return Page(next=tuple(f"token:{token}" for token in tokens), total=total)
        reply = await self._page(resource, {}, "pageSize")
        return Page(_rows(resource, reply), next=_after(reply), total=total)

    async def _by_token(self, resource: Resource, token: str) -> Page:
        reply = await self._page(resource, {"pageToken": token}, "pageSize")
        return Page(_rows(resource, reply), next=_after(reply))

    async def _partitions(self, resource: Resource, number: int) -> Sequence[str]:
        """The first tokens of chains that together are the collection; none where this is not offered."""
        url = f"{self._server.collection(resource.name)}/partitions"
        reply = await self._http.get(url, {"number": number})
        tokens: Sequence[str] = reply.json().get("pageTokens", ()) if reply.status == 200 else ()
        return tokens

    async def _count(self, resource: Resource) -> Reply:
        return await self._get(resource, {"offset": 0, "limit": self._server.counting_limit, "totalCount": "true"})

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
        return await self._http.get(self._server.collection(resource.name) + below, params)

    async def _reachable(self, resource: Resource) -> Finding:
        try:
            reply = await self._count(resource)
            if resource.group and reply.status == 404:  # Ed-Fi: not every version of a standard has all of a group
                return Finding(True, f"{resource.name}: {_absence(reply)}, and left out.")
            if reason := _absence(reply):
                return Finding(False, f"{resource.name}: {reason}.", _FIXES.get(reply.status, ""))
            total = total_of(refusals.granted(reply))
        except PlanbridgeError as error:
            return Finding(False, f"{resource.name}: {error.message}", error.fix)
        return Finding(True, f"{resource.name}: {'not counted' if total is None else total}")

    async def _about_changes(self) -> Finding:
        """Whether a pull reads what changed. It is no fault where it cannot; it takes longer."""
        students = next(resource for resource in self.resources if resource.name == "students")
        try:
            if await self._told_versions() is None:
                return Finding(True, "Change queries are not offered here: each pull reads everything.")
            params = {"offset": 0, "limit": self._server.counting_limit}
            granted = all([(await self._list(students, params, of=kind)).status == 200 for kind in TOMBSTONES])
        except PlanbridgeError as error:
            return Finding(False, f"Change queries: {error.message}", error.fix)
        if granted:
            return Finding(True, "Pulls read what changed, deletions included.")
        return Finding(
            True,
            "The key may not read deletions and key changes: each pull reads everything."
            " With ReadChanges in its claim set, pulls read what changed.",
        )

    async def _about_the_key(self, token: str) -> Sequence[Finding]:
        """What the server says of the key. # Ed-Fi: OAuth token introspection; hosts may switch it off."""
        if not self._server.token_info_url:
            return ()
        body = msgspec.json.encode({"token": token})
        try:
            reply = await self._http.send("POST", self._server.token_info_url, json=body, repeatable=True)
            key = msgspec.json.decode(reply.body, type=_TokenInfo)
        except (PlanbridgeError, msgspec.DecodeError):
            return ()
        return _about(key, writes=self._settings.education_organization_id is not None)


class _Organization(msgspec.Struct):
    education_organization_id: int
    name_of_institution: str = ""


class _ClaimSet(msgspec.Struct):
    name: str = ""


class _ResourceClaim(msgspec.Struct):
    resource: str
    operations: list[str] = []


class _TokenInfo(msgspec.Struct):
    active: bool
    education_organizations: list[_Organization] | None = None
    assigned_profiles: list[str] | None = None
    claim_set: _ClaimSet | None = None
    resources: list[_ResourceClaim] | None = None


def _about(key: _TokenInfo, *, writes: bool) -> Sequence[Finding]:
    places = ", ".join(
        f"{place.name_of_institution} ({place.education_organization_id})".strip()
        for place in key.education_organizations or ()
    )
    claim_set = key.claim_set.name if key.claim_set else ""
    findings = [Finding(key.active, f"The key belongs to {places or 'no organization'}, claim set {claim_set or '-'}.")]
    if key.assigned_profiles:
        findings.append(
            Finding(
                False,
                f"The key is bound to API profiles: {', '.join(key.assigned_profiles)}.",
                "Ask the API's administrator for a key without profiles; those cut fields off.",
            )
        )
    if writes and key.resources is not None:
        creatable = {claim.resource.rpartition("/")[2] for claim in key.resources if "Create" in claim.operations}
        findings += [
            Finding(
                False,
                f"{name}: the key may not create them, so plans cannot be written.",
                "Ask the API's administrator to add them to the key's claim set.",
            )
            for name in WRITTEN
            if name not in creatable
        ]
    return findings


_ABSENCES = {403: "not granted to this key", 404: "not offered by this server"}
_FIXES = {
    403: "Ask the API's administrator to add Read on it to the key's claim set, if it is wanted.",
    404: "If every collection says so, the address of the API is wrong.",
}


def _absence(reply: Reply) -> str:
    return _ABSENCES.get(reply.status, "")


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
