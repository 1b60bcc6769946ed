"""How a record is written to an Ed-Fi API and read back by its natural key."""

from collections.abc import Mapping
from typing import Any, Literal

import msgspec

from connectors.edfi import refusals
from connectors.edfi.marker import Marker
from connectors.edfi.server import EdfiSettings, Server, discover
from gateway.connector import Document, Receipt
from gateway.errors import ConfigError
from gateway.http import Http, Reply

_EDUCATION_ORGANIZATION = ("educationOrganizationReference", "educationOrganizationId")
_STUDENT = ("studentReference", "studentUniqueId")

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


async def open_sink(settings: EdfiSettings, http: Http) -> "EdfiSink":
    """The server behind `settings`, for writing in the name of one education organization."""
    if settings.education_organization_id is None:
        raise ConfigError(
            "edfi-no-organization",
            "This connection does not say in whose name plans are written.",
            "Enter the education organization id of the district.",
        )
    return EdfiSink(await discover(settings), http, settings.enrollment_profile)


class EdfiSink:
    """An Ed-Fi API, opened for writing. It creates and updates; it never deletes."""

    def __init__(self, server: Server, http: Http, enrollment_profile: str = "") -> None:
        self._server = server
        self._http = http
        self._marker = Marker(server, http, enrollment_profile)

    def know(self, document: Document, remote_id: str) -> None:
        if document.merge:
            self._marker.know(document, remote_id)

    async def push(self, document: Document) -> Receipt:
        """Send one record. # Ed-Fi: POST inserts or replaces by natural key, so repeating it does no harm."""
        if document.merge:
            return await self._marker.push(document)
        if document.create_only:
            found = await self._ask(document)
            if found.status != 200:
                return Receipt(found.status, message=refusals.sentence(found))
            if item := _matching(document, found):
                return Receipt(200, item.get("id", ""), item.get("_etag", ""), unchanged=True)
        url = self._server.collection(document.resource)
        reply = await self._http.send("POST", url, json=msgspec.json.encode(document.body), repeatable=True)
        if reply.status not in (200, 201):
            return Receipt(reply.status, message=refusals.sentence(reply))
        remote_id = reply.headers.get("location", "").rstrip("/").rpartition("/")[2]
        return Receipt(reply.status, remote_id, reply.headers.get("etag", ""))

    async def read_back(self, document: Document) -> dict[str, Any] | None:
        """The record as the server has it, without what the server adds. AuthError if the key may not read it."""
        if document.merge:
            return await self._marker.read_back(document)
        item = _matching(document, refusals.granted(await self._ask(document)))
        return None if item is None else _without_bookkeeping(item)

    async def standing(self, document: Document) -> Literal["kept", "dropped", "due"]:
        return await self._marker.standing(document)

    async def close(self) -> None:
        """Nothing is held open: the transport belongs to the caller."""

    async def _ask(self, document: Document) -> Reply:
        filters = {name: _at(document.body, path) for name, path in WRITTEN[document.resource].items()}
        return await self._http.get(self._server.collection(document.resource), filters)


def _matching(document: Document, reply: Reply) -> dict[str, Any] | None:
    """The one item with the key of the document, whatever else came with it."""
    paths = WRITTEN[document.resource].values()
    wanted = [_comparable(_at(document.body, path)) for path in paths]
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
