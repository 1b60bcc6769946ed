"""How a record is written to a OneRoster gradebook, by PUT or where a server allocates ids itself by POST."""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

import msgspec

from connectors.oneroster.catalogue import Service, Version
from connectors.oneroster.envelope import answer
from connectors.oneroster.models import is_gone
from connectors.oneroster.server import Server, spelt
from connectors.oneroster.settings import OneRosterSettings, dialect
from gateway.connector import Document, Receipt
from gateway.errors import ConfigError
from gateway.http import Http, Reply

SINGULAR = {"categories": "category", "lineItems": "lineItem", "results": "result"}
_PATHS: Mapping[str, tuple[Service, str]] = {
    "academicSession": ("rostering", "academicSessions"),
    "class": ("rostering", "classes"),
    "org": ("rostering", "orgs"),
    "user": ("rostering", "users"),
    "category": ("gradebook", "categories"),
    "lineItem": ("gradebook", "lineItems"),
}
_OK = (200, 201, 202, 204)
_LOOK = 100  # rows at once
_NO_SUCH_VERB = (404, 405, 501)


async def open_sink(settings: OneRosterSettings, http: Http) -> "GradebookSink":
    """The gradebook behind `settings`. ConfigError where there is none, or writing is not switched on."""
    if settings.path:
        raise ConfigError(
            "oneroster-files-only-read",
            "A OneRoster CSV package is read, never written to.",
            "To give the roster to another system, export it: planbridge export oneroster-csv",
        )
    if settings.write == "no":
        raise ConfigError(
            "oneroster-write-off",
            "Writing is not switched on for this connection.",
            "Set `write` to put, or to post where the server allocates ids itself.",
        )
    server = Server(dialect(settings), http)
    if server.version is None:
        await server.get("orgs", {"limit": 1, "offset": 0})
    return GradebookSink(server, http, posts=settings.write == "post")


class GradebookSink:
    """A gradebook, opened for writing. What it makes is found again by the id that it gave, or that the server did.

    # OneRoster 1.2 Gradebook: createput, createpost, delete; 1.1 has PUT and DELETE only
    """

    def __init__(self, server: Server, http: Http, *, posts: bool) -> None:
        self._server = server
        self._http = http
        self._version: Version = server.version or "1.2"
        self._posts = posts
        self._ids: dict[tuple[str, str], str] = {}

    def know(self, document: Document, remote_id: str) -> None:
        if remote_id:
            self._ids[document.resource, document.key["sourcedId"]] = remote_id

    async def push(self, document: Document) -> Receipt:
        """Create or update one object. A shared one is made where it is missing, and otherwise left as it is."""
        if document.create_only:
            found = await self._get(document)
            if found.status == 200 and not _is_deleted(_single(document.resource, found)):
                return Receipt(200, self._id(document), unchanged=True)
            if found.status not in (200, 404):
                return _refused(found)
        if self._posts and self._id(document) == document.key["sourcedId"] and document.resource != "categories":
            return await self._post(document)
        return await self._put(document)

    async def delete(self, document: Document) -> Receipt:
        """Take one object back; where the server has no DELETE it is marked as deleted. What is gone already counts
        as taken back."""
        reply = await self._http.send("DELETE", self._address(document), json=None, repeatable=True)
        if reply.status in _OK:
            return Receipt(200, self._id(document))
        if reply.status not in _NO_SUCH_VERB:
            return _refused(reply)
        # 404 may mean the object or the verb: what is there all the same is marked.
        marked = await self._mark_deleted(document)
        if self._posts and marked.unchanged and self._id(document) == document.key["sourcedId"]:
            return Receipt(reply.status, message=_LOST)  # it may be there under the id that the server gave
        return marked

    async def _mark_deleted(self, document: Document) -> Receipt:
        """What stands there, marked, and without the words that were about somebody."""
        found = await self._get(document)
        record = _single(document.resource, found) if found.status == 200 else None
        if found.status == 404 or _is_deleted(record):
            return Receipt(200, unchanged=True)
        if record is None:
            return _refused(found)
        record = {name: part for name, part in record.items() if name != "comment"}
        record |= {"status": "tobedeleted", "dateLastModified": spelt(datetime.now(UTC))}
        body = _encoded({SINGULAR[document.resource]: record})
        reply = await self._http.send("PUT", self._address(document), json=body, repeatable=True)
        return Receipt(200, self._id(document)) if reply.status in _OK else _refused(reply)

    async def read_back(self, document: Document) -> dict[str, Any] | None:
        """The object as the server has it, without what the server adds. ConfigError where it may not be read."""
        found = await self._get(document)
        if found.status == 404:
            return None
        if found.status != 200:
            raise ConfigError(
                "oneroster-read-back",
                f"{found.name} answered {found.status}.",
                "Ask the vendor for a scope that reads the gradebook.",
            )
        record = _single(document.resource, found)
        if record is None or _is_deleted(record):
            return None
        return {name: _bare(part) for name, part in record.items() if name not in ("status", "dateLastModified")}

    async def edited(self, document: Document, revision: str) -> bool:
        """By the texts that we wrote. What a server does not give back nobody can have been seen to edit."""
        found = await self._get(document)
        record = _single(document.resource, found) if found.status == 200 else None
        if record is None or _is_deleted(record):
            return False
        wrote = msgspec.json.decode(revision, type=dict[str, str])
        return any(name in record and _mark(record[name]) != mark for name, mark in wrote.items())

    async def close(self) -> None:
        """Nothing is held open: the transport belongs to the caller."""

    async def _get(self, document: Document) -> Reply:
        return await self._http.get(self._address(document))

    async def _put(self, document: Document) -> Receipt:
        # The sourcedId is ours: the same request again has the same effect.
        body = _encoded({SINGULAR[document.resource]: self._wire(document)})
        reply = await self._http.send("PUT", self._address(document), json=body, repeatable=True)
        if reply.status in _OK:
            return Receipt(reply.status, self._id(document), _revision(document))
        if self._version == "1.1" and document.resource == "results" and reply.status in (400, 422):
            return Receipt(reply.status, message=_SCORE)
        return _refused(reply)

    async def _post(self, document: Document) -> Receipt:
        found = await self._get(document)  # some keep the id that they are given
        if found.status == 200:
            return await self._put(document)
        there = await self._made_before(document)
        if isinstance(there, Receipt):
            return there
        if there is not None:
            self.know(document, str(there.get("sourcedId") or ""))
            if document.create_only or there.get("comment") == document.body.get("comment"):
                return Receipt(200, self._id(document), _revision(document), unchanged=True, adopted=True)
            return replace(await self._put(document), adopted=True)
        parent = self._reference(document.body["class" if document.resource == "lineItems" else "lineItem"])
        reply = await self._http.send(
            "POST",
            f"{self._root('gradebook')}/{_PATHS[parent['type']][1]}/{_in_path(parent['sourcedId'])}/{document.resource}",
            json=_encoded({document.resource: [self._wire(document)]}),
            repeatable=False,
        )
        if reply.status not in _OK:
            return _refused(reply)
        if not (id := _allocated(reply, document.key["sourcedId"])):
            there = await self._made_before(document)
            id = str(there.get("sourcedId") or "") if isinstance(there, Mapping) else ""
        if not id:
            return Receipt(0, message=_UNNAMED)
        self.know(document, id)
        return Receipt(reply.status, self._id(document), _revision(document))

    async def _made_before(self, document: Document) -> Mapping[str, Any] | Receipt | None:
        """The object as an earlier POST made it, whose answer, or our note of it, was lost: a second one would stand
        beside it for the class to see. A Receipt where the server does not let us look."""
        body = document.body
        address = f"{self._root('gradebook')}/classes/{_in_path(body['class']['sourcedId'])}/lineItems"
        if document.resource == "results":
            item = self._reference(body["lineItem"])
            address += f"/{_in_path(item['sourcedId'])}/results"
        seen: set[str] = set()
        offset = 0
        while True:
            reply = await self._http.get(address, {"limit": _LOOK, "offset": offset})
            if reply.status == 404:  # so some say that there are none; a class that is not there takes no POST either
                return None
            if reply.status != 200:
                return _refused(reply)
            got = answer(document.resource, reply, _LOOK)
            for row in got.rows:
                record = msgspec.json.decode(row)
                if isinstance(record, dict) and not _is_deleted(record) and _is_same(document, record):
                    return record
            if seen.issuperset(got.keys):  # the end, or a server that gives the same page again
                return None
            seen.update(got.keys)
            offset += len(got.rows)

    def _id(self, document: Document) -> str:
        given = str(document.key["sourcedId"])
        return self._ids.get((document.resource, given), given)

    def _address(self, document: Document) -> str:
        return f"{self._root('gradebook')}/{document.resource}/{_in_path(self._id(document))}"

    def _root(self, service: Service) -> str:
        spoken = self._server.dialect
        return f"{spoken.base_url}{spoken.path(service, self._version)}"

    def _wire(self, document: Document) -> dict[str, Any]:
        """The record as this version of the standard wants it."""
        record = {
            **{name: self._reference(part) if isinstance(part, dict) else part for name, part in document.body.items()},
            "sourcedId": self._id(document),
            "status": "active",
            "dateLastModified": spelt(datetime.now(UTC)),
        }
        return record if self._version == "1.2" else _as_1_1(document.resource, record)

    def _reference(self, part: Mapping[str, str]) -> dict[str, str]:
        service, collection = _PATHS[part["type"]]
        id = self._ids.get((collection, part["sourcedId"]), part["sourcedId"])
        return {"href": f"{self._root(service)}/{collection}/{_in_path(id)}", "sourcedId": id, "type": part["type"]}


def _in_path(id: str) -> str:
    """An id of the server's own may hold what leads elsewhere in a URL."""
    return quote(id, safe="")


def _is_same(document: Document, record: Mapping[str, Any]) -> bool:
    """Whether a record of the class is what the document says, under another id: the student's result in our line
    item, or the line item with our title for the same days."""
    body = document.body
    if document.resource == "results":
        return _id_of(record.get("student")) == str(body["student"]["sourcedId"])
    days = all(str(record.get(name))[:10] == str(body[name])[:10] for name in ("assignDate", "dueDate"))
    return days and str(record.get("title")) == str(body["title"])


def _id_of(part: Any) -> str:
    return str(part.get("sourcedId")) if isinstance(part, dict) else ""


def _as_1_1(resource: str, record: dict[str, Any]) -> dict[str, Any]:
    """# OneRoster 1.1: a line item has a grading period and a range of values, and no school; a result no class"""
    if resource == "lineItems":
        record.pop("school", None)
        if period := record.pop("academicSession", None):
            record["gradingPeriod"] = period
        return record | {"resultValueMin": 0, "resultValueMax": 100}
    if resource == "results":
        record.pop("class", None)
    return record


def _encoded(body: Mapping[str, Any]) -> bytes:
    return msgspec.json.encode(body)


_EDITABLE = ("title", "comment", "scoreStatus", "score")
"""What a person may change in a gradebook; dates a server may spell in its own way."""


def _revision(document: Document) -> str:
    """What we wrote, to be known again, without its words."""
    wrote = {name: _mark(document.body[name]) for name in _EDITABLE if name in document.body}
    return msgspec.json.encode(wrote).decode()


def _mark(value: Any) -> str:
    return hashlib.sha256(str(value or "").strip().encode()).hexdigest()[:16]


def _single(resource: str, reply: Reply) -> dict[str, Any] | None:
    body = reply.json()
    found = body.get(SINGULAR[resource], body) if isinstance(body, dict) else None
    return found if isinstance(found, dict) else None


def _is_deleted(record: Mapping[str, Any] | None) -> bool:
    return record is not None and is_gone(str(record.get("status") or ""))


def _bare(part: Any) -> Any:
    return {name: value for name, value in part.items() if name != "href"} if isinstance(part, dict) else part


def _allocated(reply: Reply, supplied: str) -> str:
    """The id that the server gave; empty where it does not say."""
    body = reply.json() if reply.body.strip() else None
    pairs = body.get("sourcedIdPairs") if isinstance(body, dict) else None
    for pair in pairs if isinstance(pairs, list) else [pairs]:
        if isinstance(pair, dict) and pair.get("suppliedSourcedId") == supplied:
            return str(pair.get("allocatedSourcedId") or "")
    return ""


# 1.1 demands a score of every result. A made-up one could move a grade where "exempt" is not understood.
_SCORE = (
    "This gradebook of OneRoster 1.1 seems to want a score, and a plan is never graded. Deliver plans to its 1.2"
    " service, or to another destination."
)

_UNNAMED = (
    "The gradebook took it and does not say under which id, so that it could not be found again. Ask the vendor for"
    " `sourcedIdPairs` in the answer to a POST, or for ids that the client gives (`write` set to put)."
)

_LOST = (
    "It is not there under our id, and under which one the gradebook has it, if it has, was not written down. Push the"
    " plan once more, which finds it, and then take it back."
)

# What an answer may say that is a word of the standard; its description may quote what was sent.
_MINOR = re.compile(
    rb'"(invaliddata|unauthorisedrequest|forbidden|server_busy|unknownobject|internal_server_error|deletefailure'
    rb'|unsupported|unsupportedoperation|linkfailure)"'
)


def _refused(reply: Reply) -> Receipt:
    said = _MINOR.search(reply.body)
    minor = f" ({said[1].decode()})" if said else ""
    if reply.status in _NO_SUCH_VERB:
        message = f"The gradebook does not know this object, or does not do this{minor}. See `write` in its settings."
    elif reply.status == 403:
        message = f"The credentials may not write there{minor}: ask the vendor for the scopes that write a gradebook."
    else:
        message = (
            f"The gradebook refused it{minor}; ask the vendor what it misses (correlation-id {reply.correlation_id})."
        )
    return Receipt(reply.status, message=message)
