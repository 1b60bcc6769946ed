"""How the operations are served: one application of their own, so that every error below its root is OneRoster's."""

from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping
from dataclasses import replace
from datetime import datetime
from urllib.parse import quote

import msgspec
from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gateway import clock
from gateway.api.oauth import Call, opened
from gateway.api.oneroster import asking, discovery
from gateway.api.oneroster.answers import HANDLERS, Trouble
from gateway.api.oneroster.asking import BASE, Asked
from gateway.api.oneroster.operations import OPERATIONS, SERVICES, Operation, singular
from gateway.errors import ConfigError
from gateway.queries import Query
from gateway.served import MARK, instant
from gateway.settings import Settings
from gateway.store import bulk, reads, serving, vendors, within
from gateway.store.database import Transaction
from gateway.store.questions import moment
from gateway.store.serving import Row
from gateway.vendors import PAGE, Agreement, is_bulk

ROOT = "/ims/oneroster"
_LOOSE = msgspec.json.Decoder(dict[str, msgspec.Raw])
Guard = Callable[[Request], Awaitable[None]]


def provider(application: FastAPI, guard: Guard) -> Starlette:
    """What is to be mounted at ROOT; it shares the application's store and settings. `guard` is asked before anything
    else of a request is looked at."""
    routes = [
        Route(f"/{operation.service}/v1p2{operation.path}", _endpoint(operation, guard), methods=["GET"])
        for operation in OPERATIONS
    ]
    for service in SERVICES:
        path = f"/{service}/v1p2/discovery/{discovery.NAMES[service]}"
        routes.append(Route(path, _discovery(service, guard), methods=["GET"]))
    found = Starlette(routes=routes, exception_handlers=HANDLERS)
    found.router.redirect_slashes = False
    found.state = application.state
    return found


def _endpoint(operation: Operation, guard: Guard) -> Callable[[Request], Awaitable[Response]]:
    async def answer(request: Request) -> Response:
        await guard(request)
        async with opened(request, request.headers.get("authorization"), ()) as (call, c):
            _refuse_other_scopes(call, operation)
            asked = asking.read(operation, request.path_params, request.query_params)
            agreement = await vendors.in_force(c, call.client.id, clock.today())
            fields = _agreed(agreement, asked)
            if operation.one:
                return await _single(c, request, call, agreement, operation, fields)
            return await _page(c, request, call, agreement, operation, asked.query, fields)

    return answer


def _refuse_other_scopes(call: Call, operation: Operation) -> None:
    if operation.scopes.isdisjoint(call.scopes):
        wanted = " or ".join(sorted(operation.scopes))
        challenge = {"WWW-Authenticate": f'Bearer error="insufficient_scope", scope="{min(operation.scopes)}"'}
        raise Trouble(403, "forbidden", f"This needs a token with the scope {wanted}.", challenge)


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
    agreement: Agreement,
    operation: Operation,
    query: Query,
    fields: frozenset[str] | None,
) -> Response:
    collection = query.view.collection
    try:
        since = _since(query)
    except ConfigError as error:
        raise _told(error) from None
    if is_bulk(agreement.terms, limit=query.limit, offset=query.offset, delta=False) and (
        query.limit > PAGE or since is None or not await reads.began(c, call, collection, since)
    ):
        await bulk.check(c, call, agreement, collection)
    allowed = agreement.fields(collection)
    if allowed is not None and query.sort.partition(".")[0] not in allowed | {*BASE}:
        query = replace(query, sort="")  # an order tells something too
    try:
        found = await serving.page(c, call.client.district, agreement.id, query)
    except ConfigError as error:
        raise _told(error) from None
    rows = await within.cut(c, agreement, collection, found.rows)
    written, served = _written(rows, fields, _asked_by(query))
    await reads.log_each(c, call, collection, served)
    address = f"{_origin(request)}{ROOT}{quote(request.scope['path'].removeprefix(ROOT))}"
    headers = {
        "X-Total-Count": str(found.total),
        "Link": asking.links(address, request.query_params.multi_items(), query, found.total),
    }
    body = b'{"%s":[%s]}' % (operation.envelope.encode(), b",".join(written))
    return _answer(request, body, headers)


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
    fields: frozenset[str] | None,
) -> Response:
    """One row. What is no longer there is unknown: nothing that could be served of it would be a valid record. Whoever
    was merged into another is named in the description, as is the tombstone's metadata in a delta."""
    view, id = operation.view, request.path_params["sourcedId"]
    row = await serving.single(c, call.client.district, agreement.id, view, id)
    if row is None:
        into = await serving.survivor(c, call.client.district, agreement.id, view, id)
        what = f"It is one with {into} now." if into else "It never was, or is gone, or is beyond the agreement."
        raise Trouble(404, "unknownobject", f"There is no such {singular(view.collection)}. {what}")
    written, served = _written(await within.cut(c, agreement, view.collection, [row]), fields)
    await reads.log_each(c, call, view.collection, served)
    return _answer(request, b'{"%s":%s}' % (operation.envelope.encode(), written[0]), {})


def _told(error: ConfigError) -> Trouble:
    if error.code == "parent-unknown":
        return Trouble(404, "unknownobject", error.message)
    return Trouble(400, "invalid_filter_field", error.message)


def _asked_by(query: Query) -> frozenset[str]:
    """By which fields rows were chosen or put in order: whoever is among the answers was told of by these too."""
    named = (*(clause.field for clause in query.filter.clauses), query.sort)
    return frozenset(name.partition(".")[0] for name in named)


def _written(
    rows: Iterable[Row], fields: frozenset[str] | None, asked_by: frozenset[str] = frozenset()
) -> tuple[list[bytes], Mapping[str, Collection[str]]]:
    """Each row as it is sent, and the names of the fields that it has and of which it tells, by its id."""
    written, served = [], {}
    for row in rows:
        said = whole = _said(row)
        if fields is not None:
            said = {name: value for name, value in whole.items() if name in fields}
        written.append(msgspec.json.encode(said))
        served[row.sourced_id] = said.keys() | (asked_by & whole.keys()) if asked_by else said.keys()
    return written, served


def _said(row: Row) -> dict[str, msgspec.Raw]:
    status = _GONE if row.document is None else _ACTIVE
    base = {
        "sourcedId": msgspec.Raw(msgspec.json.encode(row.sourced_id)),
        "status": status,
        "dateLastModified": msgspec.Raw(b'"%s"' % instant(row.at).encode()),
    }
    if row.document is not None:
        return base | _LOOSE.decode(row.document)
    if row.survivor is not None:
        base["metadata"] = msgspec.Raw(msgspec.json.encode({"planbridge.mergedInto": row.survivor}))
    return base


_ACTIVE, _GONE = msgspec.Raw(b'"active"'), msgspec.Raw(b'"tobedeleted"')
_MARK = MARK.encode()


def _answer(request: Request, body: bytes, headers: Mapping[str, str]) -> Response:
    body = body.replace(_MARK, b'"href":"%s%s/' % (_origin(request).encode(), ROOT.encode()))
    return Response(body, 200, headers, media_type="application/json")


def _origin(request: Request) -> str:
    settings: Settings = request.app.state.settings
    return settings.public_url or f"{request.url.scheme}://{request.url.netloc}"


def _discovery(service: str, guard: Guard) -> Callable[[Request], Awaitable[Response]]:
    async def answer(request: Request) -> Response:
        await guard(request)
        return Response(discovery.document(service, _origin(request)), media_type="application/json")

    return answer
