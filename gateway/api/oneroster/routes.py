"""How the operations are served: one application of their own, so that every error below its root is OneRoster's."""

import re
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import datetime
from functools import partial
from typing import Any
from urllib.parse import quote

import msgspec
from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Mount, Route

from gateway.api.oauth import Call, begun, signed_call
from gateway.api.oneroster import asking, discovery, older, writes
from gateway.api.oneroster.answers import HANDLERS, OLDER_HANDLERS, Trouble, refuse_other_scopes
from gateway.api.oneroster.asking import BASE, Asked
from gateway.api.oneroster.operations import (
    OLDER_OPERATIONS,
    OLDER_WRITINGS,
    OPERATIONS,
    SERVICES,
    WRITINGS,
    Operation,
    singular,
)
from gateway.errors import ConfigError
from gateway.queries import Query
from gateway.served import MARK, instant
from gateway.settings import Settings
from gateway.store import bulk, reads, serving, within
from gateway.store.database import Transaction
from gateway.store.questions import moment
from gateway.store.reads import Line
from gateway.store.serving import Look, Row
from gateway.vendors import PAGE, Agreement, is_bulk

ROOT = "/ims/oneroster"
_LOOSE = msgspec.json.Decoder(list[dict[str, msgspec.Raw]])
_ENCODER = msgspec.json.Encoder()
Guard = Callable[[Request], Awaitable[None]]
Said = Callable[[Row, dict[str, msgspec.Raw]], tuple[Mapping[str, Any], Collection[str]]]
"""What of a row is sent, and the names of 1.2 for the fields that it has."""


def provider(application: FastAPI, guard: Guard) -> Starlette:
    """What is to be mounted at ROOT; it shares the application's store and settings. `guard` is asked before anything
    else of a request is looked at."""
    routes: list[BaseRoute] = [
        Route(f"/{operation.service}/v1p2{operation.path}", _endpoint(operation, guard), methods=["GET"])
        for operation in OPERATIONS
    ]
    turns = writes.Turns()
    routes += [
        Route(f"/gradebook/v1p2{one.path}", writes.endpoint(one, guard, turns), methods=[one.method])
        for one in WRITINGS
    ]
    for service in SERVICES:
        path = f"/{service}/v1p2/discovery/{discovery.NAMES[service]}"
        routes.append(Route(path, _discovery(service, guard), methods=["GET"]))
    of_1_1: list[BaseRoute] = [
        Route(operation.path, _endpoint(operation, guard), methods=["GET"]) for operation in OLDER_OPERATIONS
    ]
    of_1_1 += [Route(one.path, writes.endpoint(one, guard, turns), methods=[one.method]) for one in OLDER_WRITINGS]
    routes.append(Mount("/v1p1", _application(application, of_1_1, OLDER_HANDLERS)))
    return _application(application, routes, HANDLERS)


def _application(application: FastAPI, routes: Sequence[BaseRoute], handlers: Mapping[Any, Any]) -> Starlette:
    found = Starlette(routes=routes, exception_handlers=handlers)
    found.router.redirect_slashes = False
    found.state = application.state
    return found


def _endpoint(operation: Operation, guard: Guard) -> Callable[[Request], Awaitable[Response]]:
    told = tuple(Query(operation.view, operation.parents, operation.bonds, operation.all_of).told)

    async def answer(request: Request) -> Response:
        await guard(request)
        async with _begun(request, operation, told) as (call, c, look):
            refuse_other_scopes(call.scopes, operation.scopes)
            asked = asking.read(operation, request.path_params, request.query_params)
            found = await look(call, c)
            fields = _agreed(found.agreement, asked)
            if operation.older:
                allowed = found.agreement.fields(operation.view.collection)
                asked = replace(asked, query=older.can_be_said(asked.query, allowed))
                said: Said = partial(_older_said, operation.view.collection, asked.named, allowed)
            else:
                said = partial(_said, fields)
            if operation.one:
                return await _single(c, request, call, found.agreement, operation, asked, said)
            return await _page(c, request, call, found, operation, asked, said)

    return answer


@asynccontextmanager
async def _begun(
    request: Request, operation: Operation, told: Sequence[str]
) -> AsyncIterator[tuple[Call, Transaction, Callable[[Call, Transaction], Awaitable[Look]]]]:
    """The call and its transaction, by a token or, of 1.1, by a signature; and how to know by what it is served."""

    async def look(call: Call, c: Transaction) -> Look:
        return await serving.look(c, call.district, call.client.id, told)

    header = request.headers.get("authorization")
    if operation.older and (header or "").partition(" ")[0].lower() == "oauth":
        call = await signed_call(request)
        async with call.store.transaction(call.district) as c:
            yield call, c, look
        return
    async with begun(request, header, more=lambda whose: serving.looking(whose, told)) as (call, c, row):

        async def looked(call: Call, c: Transaction) -> Look:
            return serving.looked(row, call.client.id) if row else await look(call, c)

        yield call, c, looked


def _agreed(agreement: Agreement, asked: Asked) -> frozenset[str] | None:
    """The fields that are served: what is asked for, of what was agreed; None for all. Refused where the agreement
    does not name a collection; Trouble where rows would be chosen by a field that it does not name."""
    for collection, names in asked.query.told.items():
        allowed = agreement.fields(collection)
        if allowed is not None and not names <= allowed:
            raise Trouble(
                403,
                "forbidden",
                f"The agreement with the district does not name {', '.join(sorted(names - allowed))} of {collection}, "
                "so nothing can be found by that either. Ask the district.",
            )
    allowed = agreement.fields(asked.query.view.collection)
    if allowed is None:
        return asked.fields
    allowed = allowed | frozenset(BASE)
    return allowed if asked.fields is None else allowed & asked.fields


async def _page(
    c: Transaction,
    request: Request,
    call: Call,
    look: Look,
    operation: Operation,
    asked: Asked,
    said: Said,
) -> Response:
    query = asked.query
    collection, agreement = query.view.collection, look.agreement
    try:
        since = _since(query)
    except ConfigError as error:
        raise _told(error) from None
    walks = None
    if query.limit > PAGE or since is None or not await reads.began(c, call, collection, since):
        walks = _step(call, agreement, request, query)
        if walks is None:
            if is_bulk(agreement.terms, limit=query.limit, offset=query.offset, delta=False):
                await bulk.check(c, call, agreement, collection)
        else:
            await bulk.refuse(c, call, walks, query.offset)
    allowed = agreement.fields(collection)
    if allowed is not None and query.sort.partition(".")[0] not in allowed | {*BASE}:
        query = replace(query, sort="")  # an order tells something too
    try:
        found = await serving.page(c, call.client.district, agreement.id, query, look.state)
    except ConfigError as error:
        raise _told(error) from None
    rows = await within.cut(c, agreement, collection, found.rows)
    written, line = _written(collection, rows, said, _asked_by(query))
    address = f"{_origin(request)}{ROOT}{quote(request.scope['path'].removeprefix(ROOT))}"
    headers = {
        "X-Total-Count": str(found.total),
        "Link": asking.links(address, request.query_params.multi_items(), query, found.total),
    }
    body = b'{"%s":%s}' % (operation.envelope.encode(), written)
    answer = _answer(request, operation, body, headers)
    noted = [bulk.noting(call, walks, len(rows))] if walks is not None and rows else []
    await reads.keep(c, call, agreement.id, line, *noted)
    return answer


def _step(call: Call, agreement: Agreement, request: Request, query: Query) -> bulk.Step | None:
    """What of a walk a page is whose offset alone does not tell how far it goes; None of a plain walk, and where one
    row is asked for by a number of its own."""
    clauses = query.filter.clauses
    if not (clauses or query.parents or query.sort):
        return None
    if not query.filter.either and any(one.op == "=" and one.field in _NUMBERS for one in clauses):
        return None
    goes_on = query.offset > 0 or any(one.op in (">", ">=", "<", "<=") for one in clauses)
    asked = repr((request.scope["path"], query.filter, query.sort, query.descending, query.limit, query.offset))
    return bulk.step(call.store.marks, agreement, query.view.collection, asked, query.limit, goes_on=goes_on)


_NUMBERS = frozenset({"sourcedId", "username", "identifier", "userMasterIdentifier", "userIds.identifier", "email"})


def _since(query: Query) -> datetime | None:
    """Since when changes are asked for; None where they are not."""
    asked = query.filter
    times = [
        moment(clause.value)
        for clause in asked.clauses
        if not asked.either and clause.field == "dateLastModified" and clause.op in (">", ">=")
    ]
    return max(times, default=None)


async def _single(
    c: Transaction,
    request: Request,
    call: Call,
    agreement: Agreement,
    operation: Operation,
    asked: Asked,
    said: Said,
) -> Response:
    """One row. What is no longer there is unknown: nothing that could be served of it would be a valid record. Whoever
    was merged into another is named in the description, as is the tombstone's metadata in a delta."""
    view, id = asked.query.view, request.path_params["sourcedId"]
    row = await serving.single(c, call.client.district, agreement.id, view, id)
    if row is None:
        into = await serving.survivor(c, call.client.district, agreement.id, view, id)
        what = f"It is one with {into} now." if into else "It never was, or is gone, or is beyond the agreement."
        raise Trouble(404, "unknownobject", f"There is no such {singular(view.collection)}. {what}")
    rows = await within.cut(c, agreement, view.collection, [row])
    written, line = _written(view.collection, rows, said)
    answer = _answer(request, operation, b'{"%s":%s}' % (operation.envelope.encode(), written[1:-1]), {})
    await reads.keep(c, call, agreement.id, line)
    return answer


def _told(error: ConfigError) -> Trouble:
    if error.code == "parent-unknown":
        return Trouble(404, "unknownobject", error.message)
    return Trouble(400, "invalid_filter_field", error.message)


def _asked_by(query: Query) -> frozenset[str]:
    """By which fields rows were chosen or put in order: whoever is among the answers was told of by these too."""
    named = (*(clause.field for clause in query.filter.clauses), query.sort)
    return frozenset(name.partition(".")[0] for name in named)


def _written(
    collection: str, rows: Sequence[Row], said: Said, asked_by: frozenset[str] = frozenset()
) -> tuple[bytes, Line]:
    """The rows as they are sent, in a list, and what is kept of it: of whom they told, and by which fields."""
    sets: dict[tuple[str, ...], int] = {}
    students, written = [], []
    documents = _LOOSE.decode("[" + ",".join([row.document or "{}" for row in rows]) + "]")
    for row, document in zip(rows, documents, strict=True):
        record, names = said(row, document)
        written.append(record)
        if asked_by:
            names = sorted({*names, *(asked_by & document.keys())})
        of = sets.setdefault(tuple(names), len(sets))
        if row.student is not None:
            students.append((row.student, of))
    return _ENCODER.encode(written), Line(collection, len(rows), [sorted(one) for one in sets], students)


def _said(
    fields: frozenset[str] | None, row: Row, document: dict[str, msgspec.Raw]
) -> tuple[Mapping[str, Any], Collection[str]]:
    said = _always(row) | document
    if fields is not None:
        said = {name: said[name] for name in said if name in fields}
    return said, said.keys()


def _older_said(
    collection: str,
    named: frozenset[str] | None,
    allowed: frozenset[str] | None,
    row: Row,
    document: dict[str, msgspec.Raw],
) -> tuple[Mapping[str, Any], Collection[str]]:
    """The same in 1.1. What 1.1 has no words for is gone, as far as it is concerned."""
    made = row.document and older.record(collection, msgspec.json.decode(row.document), named, allowed)
    always = _always(row if made else row._replace(document=None))
    shown = frozenset(always) if allowed is None else allowed | frozenset(BASE)
    always = {name: value for name, value in always.items() if name in shown and (named is None or name in named)}
    record, told = made or ({}, set())
    return always | record, sorted({*always, *told})


def _always(row: Row) -> dict[str, Any]:
    """What every row has; of one that is gone there is nothing else."""
    if row.document is not None:
        return {"sourcedId": row.sourced_id, "status": "active", "dateLastModified": instant(row.at)}
    gone = {"sourcedId": row.sourced_id, "status": "tobedeleted", "dateLastModified": instant(row.at)}
    return gone if row.survivor is None else gone | {"metadata": {"planbridge.mergedInto": row.survivor}}


_MARK = MARK.encode()
_OLDER_MARK = re.compile(re.escape(_MARK) + rb"\w+/v1p2/")


def _answer(request: Request, operation: Operation, body: bytes, headers: Mapping[str, str]) -> Response:
    root = f'"href":"{_origin(request)}{ROOT}/'.encode()
    body = _OLDER_MARK.sub(lambda _: root + b"v1p1/", body) if operation.older else body.replace(_MARK, root)
    return Response(body, 200, headers, media_type="application/json")


def _origin(request: Request) -> str:
    settings: Settings = request.app.state.settings
    return settings.public_url or f"{request.url.scheme}://{request.url.netloc}"


def _discovery(service: str, guard: Guard) -> Callable[[Request], Awaitable[Response]]:
    async def answer(request: Request) -> Response:
        await guard(request)
        return Response(discovery.document(service, _origin(request)), media_type="application/json")

    return answer
