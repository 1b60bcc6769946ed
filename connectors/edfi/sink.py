"""How a record is written to an Ed-Fi API, ended, and read back by its natural key."""

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any, Literal

import msgspec

from connectors.edfi import refusals
from connectors.edfi.marker import ENROLLMENTS, Marker
from connectors.edfi.server import EdfiSettings, Server, discover
from connectors.edfi.terms import Terms
from gateway.connector import Announce, Document, Judgement, Receipt
from gateway.errors import ConfigError
from gateway.http import Http, Reply

_Places = Mapping[str, tuple[str, ...]]
_EDUCATION_ORGANIZATION = ("educationOrganizationReference", "educationOrganizationId")
_STUDENT = ("studentReference", "studentUniqueId")
_COHORT = {
    "cohortIdentifier": ("cohortReference", "cohortIdentifier"),
    "educationOrganizationId": ("cohortReference", "educationOrganizationId"),
}

WRITTEN: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "programs": {
        "educationOrganizationId": _EDUCATION_ORGANIZATION,
        "programName": ("programName",),
        "programTypeDescriptor": ("programTypeDescriptor",),
    },
    "studentProgramAssociations": {
        "beginDate": ("beginDate",),
        "educationOrganizationId": _EDUCATION_ORGANIZATION,
        "programEducationOrganizationId": ("programReference", "educationOrganizationId"),
        "programName": ("programReference", "programName"),
        "programTypeDescriptor": ("programReference", "programTypeDescriptor"),
        "studentUniqueId": _STUDENT,
    },
    "interventions": {
        "educationOrganizationId": _EDUCATION_ORGANIZATION,
        "interventionIdentificationCode": ("interventionIdentificationCode",),
    },
    "studentInterventionAssociations": {
        "educationOrganizationId": ("interventionReference", "educationOrganizationId"),
        "interventionIdentificationCode": ("interventionReference", "interventionIdentificationCode"),
        "studentUniqueId": _STUDENT,
    },
}
"""What plans are written to: per resource the query name of each key field and where it stands in the record.
A query name the server does not know is ignored by it, and everything comes back; so only these are sent."""


TEAM: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "cohorts": {
        "cohortIdentifier": ("cohortIdentifier",),
        "educationOrganizationId": _EDUCATION_ORGANIZATION,
    },
    "studentCohortAssociations": {"beginDate": ("beginDate",), **_COHORT, "studentUniqueId": _STUDENT},
    "staffCohortAssociations": {
        "beginDate": ("beginDate",),
        **_COHORT,
        "staffUniqueId": ("staffReference", "staffUniqueId"),
    },
}
"""The same of what only a destination that gets the team is sent."""

BY_CHOICE: Mapping[str, tuple[str, Mapping[str, tuple[str, ...]]]] = {
    "include_team": ("sending the team", dict.fromkeys(TEAM, ("Create", "Read", "Update"))),
    "mark_enrollment": ("marking enrollments", {ENROLLMENTS: ("Read", "Update")}),
}
"""What the delivery profile switches on: in words, and what the key must be able to do for it."""

_KEYS = {**WRITTEN, **TEAM}


async def open_sink(settings: EdfiSettings, http: Http) -> "EdfiSink":
    """The server behind `settings`, for writing in the name of one education organization."""
    if settings.education_organization_id is None:
        raise ConfigError(
            "edfi-no-organization",
            "This connection does not say in whose name plans are written.",
            "Enter the education organization id of the district.",
        )
    server = await discover(settings)
    marker = Marker(server, http, settings.enrollment_profile)
    return EdfiSink(server, http, Terms(server, settings, http), marker)


class EdfiSink:
    """An Ed-Fi API, opened for writing. It creates, updates and ends what is ours; it never deletes."""

    def __init__(self, server: Server, http: Http, terms: Terms, marker: Marker) -> None:
        self._server = server
        self._http = http
        self._terms = terms
        self._marker = marker

    def know(self, document: Document, remote_id: str) -> None:
        if document.resource == ENROLLMENTS:
            self._marker.know(document, remote_id)

    def announcing(self, announce: Announce) -> None:
        self._marker.announcing(announce)

    async def judge(self, documents: Sequence[Document]) -> Judgement:
        """By the server's own OpenAPI documents, descriptors and dependencies: see Terms."""
        return await self._terms.judge(documents)

    async def foreign(self, document: Document) -> Receipt | None:
        """# Ed-Fi: a POST replaces wholly whatever has this key, whoever wrote it."""
        if document.merge:
            return None  # it is somebody else's by nature, and stays so
        found = await self._ask(document)
        if found.status != 200:
            return refusals.receipt(found, "Whether somebody else's record stands there cannot be told: ")
        places = await self._places(document)
        item = _matching(document, found, places)
        if item is None or _without_bookkeeping(item) == document.body:
            return None
        return Receipt(
            409,
            message=f"Somebody else's record stands there ({', '.join(places)} are the same), and it "
            "is left alone. Ask the host whose it is. Only a person can put ours in its place, with a reason: "
            "planbridge push PLAN --to DESTINATION --overwrite --because REASON.",
        )

    async def push(self, document: Document) -> Receipt:
        """Send one record. # Ed-Fi: POST inserts or replaces by natural key, so repeating it does no harm."""
        if document.merge:
            return await self._marker.push(document)
        if document.create_only:
            found = await self._ask(document)
            if found.status != 200:
                return refusals.receipt(found)
            if item := _matching(document, found, await self._places(document)):
                return Receipt(200, item.get("id", ""), item.get("_etag", ""), unchanged=True)
        return await self._post(document.resource, document.body)

    async def end(self, document: Document, on: date) -> Receipt:
        """By reading the record and sending it back with its last day, and that of what it lists; all else stays."""
        if document.resource == ENROLLMENTS:
            return await self._marker.push(document)
        days = await self._days(document.resource)
        if days is None:
            return Receipt(200, unchanged=True)
        found = await self._ask(document)
        if found.status != 200:
            return refusals.receipt(found)
        item = _matching(document, found, await self._places(document))
        if item is None:
            return Receipt(200, unchanged=True)
        body, same = _without_bookkeeping(item), (item.get("id", ""), item.get("_etag", ""))
        if not _ended(body, *days, on):
            return Receipt(200, *same, unchanged=True)
        for part in body.get("services") or ():
            _ended(part, "serviceBeginDate", "serviceEndDate", on)
        for part in (*(body.get("programParticipationStatuses") or ()), body.get("participationStatus") or {}):
            _ended(part, "statusBeginDate", "statusEndDate", on)
        return await self._post(document.resource, body)

    async def read_back(self, document: Document) -> dict[str, Any] | None:
        """The record as the server has it, without what the server adds. AuthError if the key may not read it."""
        if document.merge:
            return await self._marker.read_back(document)
        item = _matching(document, refusals.granted(await self._ask(document)), await self._places(document))
        return None if item is None else _without_bookkeeping(item)

    async def edited(self, document: Document, revision: str) -> bool:
        """By the record's version, which every write gives anew. What is a value in somebody else's record is theirs to
        write; where a server gives no versions, nobody can tell."""
        if document.merge or not revision:
            return False
        found = await self._ask(document)
        item = _matching(document, found, await self._places(document)) if found.status == 200 else None
        there = str((item or {}).get("_etag") or "")
        return bool(there) and there.strip('"') != revision.strip('"')

    async def standing(self, document: Document) -> Literal["kept", "dropped", "due"]:
        return await self._marker.standing(document)

    async def close(self) -> None:
        """Nothing is held open: the transport belongs to the caller."""

    async def _post(self, resource: str, body: Mapping[str, Any]) -> Receipt:
        url = self._server.collection(resource)
        reply = await self._http.send("POST", url, json=msgspec.json.encode(body), repeatable=True)
        if reply.status not in (200, 201):
            return refusals.receipt(reply)
        remote_id = reply.headers.get("location", "").rstrip("/").rpartition("/")[2]
        return Receipt(reply.status, remote_id, reply.headers.get("etag", ""))

    async def _ask(self, document: Document) -> Reply:
        key = _key(document, await self._places(document))
        return await self._http.get(self._server.collection(document.resource), key)

    async def _places(self, document: Document) -> _Places:
        """Where the key stands: in an extension as the server says itself."""
        if "/" not in document.resource:
            return _KEYS[document.resource]
        places, _ = await self._terms.extension(document.resource)
        if not places:  # a GET without its key would be answered with everybody's
            raise ConfigError(
                "edfi-no-extension",
                f"This server has no {document.resource}, or does not say what identifies it.",
                "Ask its host for the extension, or set extension=none in the delivery profile.",
            )
        return places

    async def _days(self, resource: str) -> tuple[str, str] | None:
        """What its first and its last day are called; None where it has no last one, or is gone altogether."""
        if "/" not in resource:
            return ("beginDate", "endDate") if resource in _ENDING else None
        names = (await self._terms.extension(resource))[1]
        ends = sorted(name for name in names if name.lower().endswith("enddate"))
        return (f"{ends[0][:-7]}{'beginDate' if ends[0] == 'endDate' else 'BeginDate'}", ends[0]) if ends else None


_ENDING = frozenset(
    {"studentProgramAssociations", "interventions", "studentCohortAssociations", "staffCohortAssociations"}
)
"""What has a last day; a studentInterventionAssociation ends with its intervention, a cohort with who is in it."""


def _ended(record: dict[str, Any], begin: str, end: str, on: date) -> bool:
    """Give a record its last day, unless it has an earlier one; true if it was given."""
    if not record:
        return False
    last = max(on.isoformat(), record.get(begin) or "")
    if (record.get(end) or "9999") <= last:
        return False
    record[end] = last
    return True


def _key(document: Document, places: _Places) -> dict[str, Any]:
    """The key as the server is asked for it. A document that is to be ended has a key and no body."""
    return {
        name: document.key[name] if name in document.key else _at(document.body, path) for name, path in places.items()
    }


def _matching(document: Document, reply: Reply, places: _Places) -> dict[str, Any] | None:
    """The one item with the key of the document, whatever else came with it."""
    paths = places.values()
    wanted = [_comparable(value) for value in _key(document, places).values()]
    for item in reply.json():
        if [_comparable(_at(item, path)) for path in paths] == wanted:
            found: dict[str, Any] = item
            return found
    return None


def _at(record: Mapping[str, Any], path: tuple[str, ...]) -> Any:
    value: Any = record
    for name in path:
        value = value[name]
    return value


def _comparable(value: object) -> str:
    # Servers may give a key or a code back in another case than it was sent in.
    return str(value).casefold()


_BOOKKEEPING = frozenset({"id", "link", "_etag", "_lastModifiedDate"})


def _without_bookkeeping(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _without_bookkeeping(part) for name, part in value.items() if name not in _BOOKKEEPING}
    if isinstance(value, list):
        return [_without_bookkeeping(part) for part in value]
    return value
