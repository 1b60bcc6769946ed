"""How one value is put into an enrollment that belongs to the SIS, and taken out again: read, merge, write back."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Literal

import msgspec

from connectors.edfi import refusals
from connectors.edfi.server import Server
from gateway import clock
from gateway.connector import Announce, Document, Receipt
from gateway.errors import Unavailable
from gateway.http import Http, Reply

ENROLLMENTS = "studentSchoolAssociations"
ATTEMPTS = 3
"""How often it is merged anew, where others write the same record at the same time."""

Record = dict[str, Any]


class Marker:
    """Puts `educationPlans` values into enrollments. Everything else in them goes back as it came.

    A mark that was there before is not ours: its receipt has no id, and it is never taken away. The id of the record
    that is about to be written is announced before, so that a mark whose answer we did not live to hear is still ours.
    """

    def __init__(self, server: Server, http: Http, profile: str = "") -> None:
        self._url = server.collection(ENROLLMENTS)
        self._http = http
        self._profile = profile
        self._known: dict[str, str] = {}
        self._announce: Announce = _nobody

    def announcing(self, announce: Announce) -> None:
        self._announce = announce

    def know(self, document: Document, remote_id: str) -> None:
        """The id of the enrollment that we put this mark into; empty where we put it into none."""
        self._known[document.identity] = remote_id

    async def push(self, document: Document) -> Receipt:
        """Put the mark into the student's open enrollment; or take out of the one that has it what we put there, also
        where the document has no body any more."""
        if not _wanted(document):
            ours = self._known.get(document.identity, "")
            return await self._merge(document, ours) if ours else Receipt(200, unchanged=True)
        reply = await self._ask(document)
        if reply.status != 200:
            return refusals.receipt(reply)
        match _open(document, reply):
            case []:
                return Receipt(404, message=_NOT_ENROLLED, waits="enrollment")
            case [one]:
                return await self._merge(document, one["id"])
        return Receipt(409, message="The student has open enrollments at several schools, none of them the plan's.")

    async def read_back(self, document: Document) -> dict[str, Any] | None:
        """What the open enrollment says of this mark, in the form of the document; None where there is none."""
        ours = self._known.get(document.identity, "")
        if _wanted(document):
            record = await self._open_one(document)
        else:
            record = await self._read_if_there(ours) if ours else {}
        if record is None:
            return None
        there = [{"educationPlanDescriptor": _descriptor(document)}] if _has(record, _descriptor(document)) else []
        return {**document.body, "educationPlans": there}

    async def standing(self, document: Document) -> Literal["kept", "dropped", "due"]:
        """How a mark that was delivered stands now. `dropped`: the enrollment is there, and has it no more. `due`: the
        student has another open enrollment by now, or the mark is still where it should be gone."""
        ours, descriptor = self._known.get(document.identity, ""), _descriptor(document)
        if not _wanted(document):
            before = await self._read_if_there(ours) if ours else None
            return "due" if before is not None and _has(before, descriptor) else "kept"
        record = await self._open_one(document)
        if record is None or _has(record, descriptor):
            return "kept"  # who has left needs no mark
        if not ours or _same(record["id"], ours):
            return "dropped"
        return "due"

    async def _ask(self, document: Document) -> Reply:
        student = document.body["studentReference"]["studentUniqueId"]
        return await self._http.get(self._url, {"studentUniqueId": student}, self._reading)

    async def _open_one(self, document: Document) -> Record | None:
        found = _open(document, refusals.granted(await self._ask(document)))
        return found[0] if len(found) == 1 else None

    async def _merge(self, document: Document, id: str) -> Receipt:
        """Read, merge, write with If-Match; again where somebody was faster. # Ed-Fi: PUT replaces the whole record"""
        wanted, descriptor = _wanted(document), _descriptor(document)
        before = self._known.get(document.identity, "")
        ours = _same(id, before)
        announced = False
        ended: Receipt | Unavailable | None = None
        for _ in range(ATTEMPTS):
            reply = await self._read(id)
            if reply.status == 404 and not wanted:
                return Receipt(200, unchanged=True)  # the enrollment is gone, and the mark with it
            if reply.status != 200:
                return refusals.receipt(reply)
            record = _decoder.decode(reply.body)
            tag = reply.headers.get("etag") or record.get("_etag", "")
            if _has(record, descriptor) == wanted:
                return Receipt(200, id if wanted and ours else "", tag, unchanged=True)
            if not tag:
                return Receipt(412, message="The server gives no ETag, so nothing can be merged into its records.")
            if wanted and not ours and not announced:
                await self._announce(document, id)
                announced = True
            body = _encoder.encode(_with(record, descriptor) if wanted else _without(record, descriptor))
            headers = self._writing | {"if-match": tag}
            try:
                answer = await self._http.send("PUT", f"{self._url}/{id}", json=body, headers=headers, repeatable=False)
            except Unavailable as error:
                if error.code != "outcome-unknown":
                    if announced and not ours:
                        await self._announce(document, before)
                    raise
                # A repetition would be told 412 by our own write. The mark was not there: if it is now, it is ours.
                ours, ended = True, error
                continue
            if answer.status in (200, 204):
                return Receipt(answer.status, id if wanted else "", answer.headers.get("etag", ""))
            ended = refusals.receipt(answer)
            if answer.status != 412:
                break
        if isinstance(ended, Unavailable):
            raise ended
        if announced and not ours:  # it was refused for certain: what stands there later is somebody else's
            await self._announce(document, before)
        assert ended is not None
        return ended

    async def _read(self, id: str) -> Reply:
        return await self._http.get(f"{self._url}/{id}", headers=self._reading)

    async def _read_if_there(self, id: str) -> Record | None:
        reply = await self._read(id)
        return None if reply.status == 404 else _decoder.decode(refusals.granted(reply).body)

    # Ed-Fi: a key that is bound to an API profile reads and writes with the profile's media types.
    @property
    def _reading(self) -> Mapping[str, str]:
        return {"accept": self._media_type("readable")} if self._profile else {}

    @property
    def _writing(self) -> dict[str, str]:
        return {"content-type": self._media_type("writable")} if self._profile else {}

    def _media_type(self, usage: str) -> str:
        return f"application/vnd.ed-fi.studentschoolassociation.{self._profile.lower()}.{usage}+json"


async def _nobody(document: Document, remote_id: str) -> None:
    """Where nothing is written down, nothing is announced."""


_NOT_ENROLLED = "The student has no open enrollment there that could be marked."


def _wanted(document: Document) -> bool:
    return bool(document.body.get("educationPlans"))


def _descriptor(document: Document) -> str:
    return str(document.key["educationPlanDescriptor"])


def _open(document: Document, reply: Reply) -> list[Record]:
    """Of the student's enrollments the one that is to be marked; several where nothing decides between schools.

    Open means without a day of leaving. Next year's are often there already: those that have begun go before. Then
    the primary one counts, then that of the plan's school, then the latest.
    """
    student, school = document.body["studentReference"]["studentUniqueId"], document.body.get("schoolReference")
    # A server that does not know a filter gives everything.
    found = [row for row in _decoder.decode(reply.body) if _of(row, student) and not row.get("exitWithdrawDate")]
    today = clock.today().isoformat()
    found = [row for row in found if str(row.get("entryDate", "")) <= today] or found
    found = [row for row in found if row.get("primarySchool") is True] or found
    found = [row for row in found if school and _school(row) == school["schoolId"]] or found
    if len({_school(row) for row in found}) > 1:
        return found
    return sorted(found, key=lambda row: str(row.get("entryDate", "")))[-1:]


def _school(row: Record) -> object:
    return row.get("schoolReference", {}).get("schoolId")


def _of(row: Record, student: str) -> bool:
    return str(row.get("studentReference", {}).get("studentUniqueId")).casefold() == student.casefold()


def _same(id: str, other: str) -> bool:
    # Ed-Fi: with dashes or without, even on one server.
    return id.replace("-", "").casefold() == other.replace("-", "").casefold()


def _has(record: Record, descriptor: str) -> bool:
    return any(_names(item, descriptor) for item in record.get(_plans(record)) or ())


def _with(record: Record, descriptor: str) -> Record:
    sent, plans = _as_sent(record), _plans(record)
    return {**sent, plans: [*(sent.get(plans) or ()), {"educationPlanDescriptor": descriptor}]}


def _without(record: Record, descriptor: str) -> Record:
    sent, plans = _as_sent(record), _plans(record)
    return {**sent, plans: [item for item in sent[plans] if not _names(item, descriptor)]}


def _names(item: Record, descriptor: str) -> bool:
    named = next((value for name, value in item.items() if name.casefold() == "educationplandescriptor"), "")
    return str(named).casefold() == descriptor.casefold()


def _plans(record: Record) -> str:
    """The property's name as the server spells it: the Ed-Fi API drops what is spelled otherwise."""
    return next((name for name in record if name.casefold() == "educationplans"), "educationPlans")


def _as_sent(record: Record) -> Record:
    """A record without what the server adds to it. The id stays: PUT wants it."""
    return {name: _unlinked(value) for name, value in record.items() if name not in ("_etag", "_lastModifiedDate")}


def _unlinked(value: Any) -> Any:
    if isinstance(value, dict):
        # Only what is a link: an extension may call a field of its own so.
        return {
            name: _unlinked(part)
            for name, part in value.items()
            if not (name == "link" and isinstance(part, dict) and part.keys() <= {"rel", "href"})
        }
    return [_unlinked(part) for part in value] if isinstance(value, list) else value


# Numbers go back with every digit they came with.
_decoder = msgspec.json.Decoder(float_hook=Decimal)
_encoder = msgspec.json.Encoder(decimal_format="number")
