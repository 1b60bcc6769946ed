"""What is seen of an Ed-Fi API when it is tried by reading: the server, the key, and each collection of ours."""

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from email.utils import parsedate_to_datetime

import msgspec

from connectors.edfi import openapi, refusals
from connectors.edfi.changes import TOMBSTONES, total_of
from connectors.edfi.openapi import Offered
from connectors.edfi.server import EdfiSettings, Server
from connectors.edfi.sink import BY_CHOICE, WRITTEN
from gateway.connector import Finding, Resource
from gateway.errors import PlanbridgeError
from gateway.http import Http, Reply


async def findings(
    server: Server, settings: EdfiSettings, http: Http, resources: Sequence[Resource]
) -> Sequence[Finding]:
    """All that can be seen by reading. None says a secret or a value of a record."""
    found = [Finding(True, f"{server.title} answers."), *_about_the_server(server, _today())]
    try:
        token = await http.token()
    except PlanbridgeError as error:
        return [*found, Finding(False, error.message, error.fix)]
    found.append(Finding(True, "Key and secret are accepted."))
    return found + await _Look(server, settings, http, resources).everything(token.access_token)


_OLDEST = (5, 3)
_ODS_ENDS = date(2029, 6, 30)


def _about_the_server(server: Server, today: date) -> Iterator[Finding]:
    """# Ed-Fi: ODS/API is supported through the school year 2028-29; the Ed-Fi API 8 takes its place by 2029-30."""
    if not server.version:
        yield Finding(True, "It does not say its version, so nothing is asked of it that came with a later one.")
    elif server.version < _OLDEST:
        yield Finding(
            False,
            "Its ODS/API is older than 5.3, the oldest that is known here.",
            "Ask the API's administrator when it will be brought up to date.",
        )
    elif server.is_ods and today > _ODS_ENDS:
        yield Finding(
            False,
            "The Ed-Fi Alliance supported ODS/API until the school year 2028-29.",
            "Ask the API's administrator when the Ed-Fi API takes its place; this connection speaks both.",
        )
    elif server.is_ods:
        yield Finding(True, "The Ed-Fi Alliance supports ODS/API through the school year 2028-29.")
    else:
        yield Finding(True, "It is the Ed-Fi API that the Alliance puts in the place of ODS/API.")
    if server.left_aside:
        yield Finding(
            False,
            f"Its addresses of {' and '.join(server.left_aside)} lead to another host or out of https;"
            " they are not asked.",
            "Ask the API's administrator to correct its public address, or enter the right one under Advanced.",
        )


_CLOCKS_AGREE = timedelta(minutes=2)


class _Look:
    """One look at a server that lets us in."""

    def __init__(self, server: Server, settings: EdfiSettings, http: Http, resources: Sequence[Resource]) -> None:
        self._server = server
        self._settings = settings
        self._http = http
        self._resources = resources
        self._ahead: timedelta | None = None

    async def everything(self, token: str) -> list[Finding]:
        key = await self._key(token)
        found = [*_about(key, self._settings)] if key else []
        found += [await self._documents(), await self._changes()]
        counted = await asyncio.gather(*(self._reachable(resource) for resource in self._resources))
        return [*found, *self._clock(), *_of_results_only(counted)]

    async def _key(self, token: str) -> "_TokenInfo | None":
        """What the server says of the key. # Ed-Fi: OAuth token introspection; hosts may switch it off."""
        if not self._server.token_info_url:
            return None
        body = msgspec.json.encode({"token": token})
        try:
            reply = await self._http.send("POST", self._server.token_info_url, json=body, repeatable=True)
            return msgspec.json.decode(reply.body, type=_TokenInfo)
        except (PlanbridgeError, msgspec.DecodeError):
            return None

    async def _documents(self) -> Finding:
        """What the OpenAPI documents say; a key that only reads can do without them."""
        writes = self._settings.education_organization_id is not None
        if not self._server.openapi_url:
            return Finding(
                not writes,
                "It names no OpenAPI documents, so that records are not looked at before they are sent.",
                "Ask the API's administrator to switch its OpenAPI metadata on." if writes else "",
            )
        try:
            offered = await openapi.load(self._server, self._settings)
        except PlanbridgeError as error:
            return Finding(not writes, f"{error.message} Records are not looked at before they are sent.", error.fix)
        lacking = [name for name in WRITTEN if f"ed-fi/{name}" not in offered.writable] if writes else []
        if lacking:
            return Finding(
                False,
                f"This server does not take {', '.join(lacking)}, so plans cannot be written.",
                "Ask the API's administrator why they are not served.",
            )
        return Finding(True, self._in_numbers(offered))

    def _in_numbers(self, offered: Offered) -> str:
        limits = {limit for resource in self._resources if (limit := offered.limit(resource.name))}
        pages = f"; a page has at most {max(limits)} records" if limits else ""
        own = sorted({name.partition("/")[0] for name in offered.resources} - {"ed-fi"})
        extensions = f", and extensions are served: {', '.join(own)}" if own else ""
        return f"Its OpenAPI documents name {len(offered.resources)} collections{pages}{extensions}."

    async def _changes(self) -> Finding:
        """Whether a pull reads what changed. It is no fault where it cannot; it takes longer."""
        if not self._server.changes_url:
            return _NOT_TOLD
        params = {"offset": 0, "limit": self._server.counting_limit}
        students = self._server.collection("students")
        try:
            told = await self._http.get(f"{self._server.changes_url}/availableChangeVersions")
            if told.status != 200 or b"ewestChangeVersion" not in told.body:
                return _NOT_TOLD
            granted = all([(await self._http.get(f"{students}/{kind}", params)).status == 200 for kind in TOMBSTONES])
        except PlanbridgeError as error:
            return Finding(False, f"Change queries: {error.message}", error.fix)
        if not granted:
            return Finding(
                True,
                "The key may not read deletions and key changes: each pull reads everything."
                " With ReadChanges in its claim set, pulls read what changed.",
            )
        if not self._server.tells_keys:
            return Finding(True, "This release does not say whose record was deleted: each pull reads everything.")
        return Finding(True, "Pulls read what changed, deletions included.")

    async def _reachable(self, resource: Resource) -> "_Seen":
        finding, absent = await self._counted(resource)
        return _Seen(resource.name, finding, absent)

    async def _counted(self, resource: Resource) -> tuple[Finding, bool]:
        """What is seen of a collection, and whether it is not there for us."""
        limit = self._server.counting_limit
        try:
            reply = await self._http.get(
                self._server.collection(resource.name), {"offset": 0, "limit": limit, "totalCount": "true"}
            )
            self._note_clock(reply)
            if resource.group and reply.status == 404:  # not every version of a standard has all of a group
                return Finding(True, f"{resource.name}: {refusals.ABSENCES[404]}, and left out."), True
            if reason := refusals.ABSENCES.get(reply.status):
                return Finding(False, f"{resource.name}: {reason}.", _FIXES.get(reply.status, "")), True
            total = total_of(refusals.granted(reply))
        except PlanbridgeError as error:
            return Finding(False, f"{resource.name}: {error.message}", error.fix), False
        return Finding(True, f"{resource.name}: {'not counted' if total is None else total}"), False

    def _note_clock(self, reply: Reply) -> None:
        try:
            there = parsedate_to_datetime(reply.headers.get("date", "")).replace(tzinfo=UTC)
        except ValueError:
            return
        self._ahead = there - datetime.now(UTC)

    def _clock(self) -> Iterator[Finding]:
        if self._ahead is None:
            yield Finding(True, "It does not say what time it has.")
        elif abs(self._ahead) <= _CLOCKS_AGREE:
            yield Finding(True, "Its clock and ours agree.")
        else:
            way = "ahead of" if self._ahead > timedelta() else "behind"
            minutes = round(abs(self._ahead) / timedelta(minutes=1))
            yield Finding(False, f"Its clock is {minutes} minutes {way} ours.", "Have the clock set that is wrong.")


@dataclass(frozen=True)
class _Seen:
    """One collection. `absent`: the server has none, or none for this key."""

    name: str
    finding: Finding
    absent: bool


_RESULTS = "studentAssessments"
_ROSTER = {"schools", "studentSchoolAssociations", "sections", "studentSectionAssociations"}


def _of_results_only(seen: Sequence[_Seen]) -> list[Finding]:
    """Of a server with results and no roster, as a vendor's or a state's, what belongs to a roster is no fault."""
    absent = {one.name for one in seen if one.absent}
    if _RESULTS in absent or not absent >= _ROSTER:
        return [one.finding for one in seen]
    lacking = ", ".join(one.name for one in seen if one.absent)
    return [
        Finding(
            True,
            f"Only results are read: it has no roster for this key. Not there: {lacking}.",
            "Another connection brings the roster; if this one is to, have it added to the key's claim set.",
        ),
        *(one.finding for one in seen if not one.absent),
    ]


_NOT_TOLD = Finding(True, "Change queries are not offered here: each pull reads everything.")
_FIXES = {
    403: "Ask the API's administrator to add Read on it to the key's claim set, if it is wanted.",
    404: "If every collection says so, the address of the API is wrong.",
}


class _Organization(msgspec.Struct):
    education_organization_id: int
    name_of_institution: str | None = None
    type: str | None = None

    @property
    def is_district(self) -> bool:
        return (self.type or "").rpartition(".")[2] == "LocalEducationAgency"


class _ClaimSet(msgspec.Struct):
    name: str = ""


class _ResourceClaim(msgspec.Struct):
    resource: str
    operations: list[str] = []


class _TokenInfo(msgspec.Struct):
    """# Ed-Fi: OAuth token introspection 1.0."""

    active: bool
    namespace_prefixes: list[str] | None = None
    education_organizations: list[_Organization] | None = None
    assigned_profiles: list[str] | None = None
    claim_set: _ClaimSet | None = None
    resources: list[_ResourceClaim] | None = None

    def may(self, operation: str, resource: str) -> bool:
        return any(
            claim.resource.strip("/").casefold() == f"ed-fi/{resource}".casefold()
            and operation.casefold() in (each.casefold() for each in claim.operations)
            for claim in self.resources or ()
        )


def _about(key: _TokenInfo, settings: EdfiSettings) -> Iterator[Finding]:
    organizations = key.education_organizations or []
    places = ", ".join(
        f"{place.name_of_institution or ''} ({place.education_organization_id})".strip() for place in organizations
    )
    claim_set = key.claim_set.name if key.claim_set else ""
    yield Finding(
        key.active,
        f"The key belongs to {places or 'no organization'}, claim set {claim_set or '-'}.",
        "" if key.active else "Ask the API's administrator to activate the key.",
    )
    yield from _about_the_district(key, settings)
    if key.namespace_prefixes:
        yield Finding(True, f"The key may use what belongs to {', '.join(key.namespace_prefixes)}.")
    elif key.namespace_prefixes is not None:
        yield Finding(True, "The key has no namespace: assessments and codes of one's own may stay out of its reach.")
    # One that is there to mark enrollments is meant to cut off all else.
    if bound := [
        one for one in key.assigned_profiles or () if one.casefold() != settings.enrollment_profile.casefold()
    ]:
        yield Finding(
            False,
            f"The key is bound to API profiles: {', '.join(bound)}.",
            "Ask the API's administrator for a key without profiles; those cut fields off.",
        )
    if settings.education_organization_id is not None and key.resources is not None:
        for name in WRITTEN:
            yield from _lacking(key, name, ("Create",), "plans cannot be written")
        for choice, (what, resources) in BY_CHOICE.items():
            for name, operations in resources.items():
                yield from _lacking(key, name, operations, f"{what} ({choice}) is not possible", choice)


def _lacking(key: _TokenInfo, name: str, operations: Sequence[str], so: str, choice: str = "") -> Iterator[Finding]:
    if lacking := [operation for operation in operations if not key.may(operation, name)]:
        yield Finding(
            False,
            f"{name}: the key may not {' or '.join(lacking).lower()} them, so {so}.",
            "Ask the API's administrator to add them to the key's claim set.",
            choice=choice,
        )


def _about_the_district(key: _TokenInfo, settings: EdfiSettings) -> Iterator[Finding]:
    organizations = key.education_organizations or []
    districts = [place.education_organization_id for place in organizations if place.is_district]
    ours = settings.education_organization_id
    if ours is None and len(districts) == 1 and all(key.may("Create", name) for name in WRITTEN):
        yield Finding(
            True,
            f"The key may write plans, for one district: {districts[0]}.",
            propose={"education_organization_id": districts[0]},
        )
    # The key of a state, of a service center or of a network of schools reaches what lies below it.
    if ours is not None and districts and len(districts) == len(organizations) and ours not in districts:
        yield Finding(
            False,
            f"The key does not belong to {ours}, in whose name plans are written.",
            "Correct the education organization id of the district, or ask for a key of it.",
        )
    if len(districts) > 1 and not settings.scope:
        yield Finding(
            True, "The key reaches several districts. The id of one, entered as the scope, narrows it to that one."
        )


def _today() -> date:
    return datetime.now(UTC).date()
