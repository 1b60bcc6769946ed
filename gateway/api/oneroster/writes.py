"""PUT, DELETE and POST of the gradebook service: from a body to records under sourcedIds, and the answer."""

import asyncio
import uuid
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from gateway import clock, writing
from gateway.api.oauth import opened
from gateway.api.oneroster.answers import Trouble, refuse_other_scopes
from gateway.api.oneroster.operations import CLASS, LINE_ITEM, MOST_POSTED, SCHOOL, SESSION, Writing, singular
from gateway.store import vendors
from gateway.store import writing as stored
from gateway.store.database import Transaction

LONGEST_ID = 255
Guard = Callable[[Request], Awaitable[None]]


class Turns:
    """Of this process one request at a time writes to a district: those that wait for it hold no connection to the
    database."""

    def __init__(self) -> None:
        self._locks: defaultdict[int, asyncio.Lock] = defaultdict(asyncio.Lock)

    @asynccontextmanager
    async def turn(self, district: int) -> AsyncIterator[None]:
        """Unavailable where it does not come soon."""
        lock = self._locks[district]
        try:
            await asyncio.wait_for(lock.acquire(), stored.PATIENCE)
        except TimeoutError:
            raise stored.busy("Others are writing just now, so nothing was written.") from None
        try:
            yield
        finally:
            lock.release()


@dataclass(frozen=True)
class _Posted:
    """A record of a POST, and the sourcedId that it came with, which is not the one that it gets."""

    supplied: str
    record: dict[str, Any]


def endpoint(operation: Writing, guard: Guard, turns: Turns) -> Callable[[Request], Awaitable[Response]]:
    async def answer(request: Request) -> Response:
        await guard(request)
        posted: Mapping[str, _Posted] = {}
        async with opened(request, request.headers.get("authorization"), ()) as (call, c):
            refuse_other_scopes(call.scopes, operation.scopes)
            agreement = await vendors.in_force(c, call.client.id, clock.today())
            agreement.fields(operation.collection)
            agreement.refuse_writing(operation.collection)
            path = {name: _sourced_id(value) for name, value in request.path_params.items()}
            if operation.method == "POST":
                posted = _many(operation, await request.body())
                await _below(c, agreement.id, operation, path, posted)
        if operation.method == "DELETE":
            async with turns.turn(call.district):
                await writing.delete(call, operation.collection, path["sourcedId"])
            return Response(status_code=204)
        if operation.method == "PUT":
            id = path["sourcedId"]
            record = _one(operation, id, await request.body())
            async with turns.turn(call.district):
                new = await writing.put(call, operation.collection, {id: record})
            return Response(status_code=201 if new else 200)
        async with turns.turn(call.district):
            await writing.put(call, operation.collection, {id: one.record for id, one in posted.items()})
        pairs = [{"suppliedSourcedId": one.supplied, "allocatedSourcedId": id} for id, one in posted.items()]
        return Response(msgspec.json.encode({"sourcedIdPairs": pairs}), 201, media_type="application/json")

    return answer


def _sourced_id(value: str) -> str:
    if not value or len(value) > LONGEST_ID or not value.isprintable():
        raise Trouble(422, "invaliddata", f"sourcedId: it has 1 to {LONGEST_ID} characters that can be printed.")
    return value


def _one(operation: Writing, id: str, body: bytes) -> dict[str, Any]:
    """The record in its envelope."""
    name = singular(operation.collection)
    found = _read(body).get(name)
    if not isinstance(found, dict):
        raise Trouble(422, "invaliddata", f'{name}: the body is {{"{name}": {{...}}}}.')
    if found.get("sourcedId") not in (None, "", id):
        raise Trouble(422, "invaliddata", "sourcedId: the one in the body is not the one in the address.")
    return found


def _many(operation: Writing, body: bytes) -> dict[str, _Posted]:
    """The records of a collection, by the sourcedIds that they get here."""
    name = operation.collection
    found = _read(body).get(name)
    if not isinstance(found, list) or not all(isinstance(one, dict) for one in found):
        raise Trouble(422, "invaliddata", f'{name}: the body is {{"{name}": [{{...}}]}}.')
    if not 1 <= len(found) <= MOST_POSTED:
        raise Trouble(422, "invaliddata", f"{name}: 1 to {MOST_POSTED} of them in one request.")
    return {str(uuid.uuid4()): _Posted(str(one.get("sourcedId") or ""), one) for one in found}


def _read(body: bytes) -> dict[str, Any]:
    try:
        return msgspec.json.decode(body, type=dict[str, Any])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise Trouble(422, "invaliddata", "The body is no JSON object.") from None


# --- what is posted below a parent ----------------------------------------------------------------------------


async def _below(
    c: Transaction, agreement: int, operation: Writing, path: Mapping[str, str], posted: Mapping[str, _Posted]
) -> None:
    """Have the records say what the path says. Trouble where a parent is not there, or a record stands elsewhere."""
    for parameter, kind in _KINDS.items():
        if parameter in path and not await stored.reached(c, agreement, kind, [path[parameter]]):
            raise Trouble(404, "unknownobject", f"Within the agreement there is no {kind.replace('_', ' ')} like that.")
    for one in posted.values():
        record = one.record
        if LINE_ITEM in path:
            _say(record, "lineItem", path[LINE_ITEM])
        elif SESSION in path:
            item = await stored.row(c, "lineItems", _told(record, "lineItem")) or {}
            _agree("lineItem", _told(item, "class"), path[CLASS])
            if (session := _told(item, "academicSession") or _told(item, "gradingPeriod")) != "":
                _agree("lineItem", session, path[SESSION])
            _say(record, "class", path[CLASS])
        elif CLASS in path:
            _say(record, "class", path[CLASS])
        else:
            taught = await stored.row(c, "classes", _told(record, "class")) or {}
            _agree("class", _told(taught, "school"), path[SCHOOL])
            _say(record, "school", path[SCHOOL])


_KINDS = {SCHOOL: "organization", CLASS: "class", LINE_ITEM: "line_item", SESSION: "session"}


def _say(record: dict[str, Any], field: str, id: str) -> None:
    if _told(record, field):
        _agree(field, _told(record, field), id)
    record[field] = {"sourcedId": id}


def _agree(field: str, told: str, id: str) -> None:
    if told != id:
        raise Trouble(422, "invaliddata", f"{field}: it stands elsewhere than the address says.")


def _told(record: Mapping[str, Any], field: str) -> str:
    """The sourcedId of what a record refers to; empty where it does not say."""
    link = record.get(field)
    return str(link.get("sourcedId") or "") if isinstance(link, dict) else ""
