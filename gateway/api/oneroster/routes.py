"""How the operations are served: one application of their own, so that every error below its root is OneRoster's."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any
from urllib.parse import quote

import msgspec
from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gateway.api.oauth import Call, begun
from gateway.api.oneroster import asking, discovery
from gateway.api.oneroster.answers import HANDLERS, Trouble
from gateway.api.oneroster.asking import BASE, Asked
from gateway.api.oneroster.operations import OPERATIONS, SERVICES, Operation, singular
from gateway.errors import ConfigError
from gateway.queries import Query
from gateway.served import MARK, instant
from gateway.settings import Settings
from gateway.store import bulk, reads, serving
from gateway.store.database import Transaction
from gateway.store.reads import Line
from gateway.store.serving import Look, Row
from gateway.vendors import Agreement, is_bulk

ROOT = "/ims/oneroster"
_LOOSE = msgspec.json.Decoder(list[dict[str, msgspec.Raw]])
_ENCODER = msgspec.json.Encoder()
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
    told = tuple(Query(operation.view, operation.parents, operation.bonds, operation.all_of).told)

    async def answer(request: Request) -> Response:
        await guard(request)
        authorization = request.headers.get("authorization")
        async with begun(request, authorization, more=lambda whose: serving.looking(whose, told)) as (call, c, row):
            _refuse_other_scopes(call, operation)
            asked = asking.read(operation, request.path_params, request.query_params)
            client = call.client.id
            found = serving.looked(row, client) if row else await serving.look(c, call.district, client, told)
            fields = _agreed(found.agreement, asked)
            if operation.one:
                return await _single(c, request, call, found.agreement, operation, fields)
            return await _page(c, request, call, found, operation, asked.query, fields)

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
    look: Look,
    operation: Operation,
    query: Query,
    fields: frozenset[str] | None,
) -> Response:
    collection, agreement = query.view.collection, look.agreement
    if is_bulk(agreement.terms, limit=query.limit, offset=query.offset, delta=_is_delta(query)):
        await bulk.check(c, call, agreement, collection)
    if (allowed := agreement.fields(collection)) is not None and query.sort.partition(".")[0] not in allowed:
        query = replace(query, sort="")  # an order tells something too
    try:
        found = await serving.page(c, call.client.district, agreement.id, query, look.state)
    except ConfigError as error:
        raise _told(error) from None
    written, line = _written(collection, found.rows, fields)
    address = f"{_origin(request)}{ROOT}{quote(request.scope['path'].removeprefix(ROOT))}"
    headers = {
        "X-Total-Count": str(found.total),
        "Link": asking.links(address, request.query_params.multi_items(), query, found.total),
    }
    answer = _answer(request, b'{"%s":%s}' % (operation.envelope.encode(), written), headers)
    await reads.keep(c, call, agreement.id, line)
    return answer


def _is_delta(query: Query) -> bool:
    asked = query.filter
    return not asked.either and any(
        clause.field == "dateLastModified" and clause.op in (">", ">=") for clause in asked.clauses
    )


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
    written, line = _written(view.collection, [row], fields)
    answer = _answer(request, b'{"%s":%s}' % (operation.envelope.encode(), written[1:-1]), {})
    await reads.keep(c, call, agreement.id, line)
    return answer


def _told(error: ConfigError) -> Trouble:
    if error.code == "parent-unknown":
        return Trouble(404, "unknownobject", error.message)
    return Trouble(400, "invalid_filter_field", error.message)


def _written(collection: str, rows: Sequence[Row], fields: frozenset[str] | None) -> tuple[bytes, Line]:
    """The rows as they are sent, in a list, and what is kept of it: of whom they told, and with which fields."""
    sets: dict[tuple[str, ...], int] = {}
    students, written = [], []
    documents = _LOOSE.decode("[" + ",".join([row.document or "{}" for row in rows]) + "]")
    for row, document in zip(rows, documents, strict=True):
        said = _always(row) | document
        if fields is not None:
            said = {name: said[name] for name in said if name in fields}
        written.append(said)
        of = sets.setdefault(tuple(said), len(sets))
        if row.student is not None:
            students.append((row.student, of))
    return _ENCODER.encode(written), Line(collection, len(rows), [sorted(one) for one in sets], students)


def _always(row: Row) -> dict[str, Any]:
    if row.document is not None:
        return {"sourcedId": row.sourced_id, "status": "active", "dateLastModified": instant(row.at)}
    gone = {"sourcedId": row.sourced_id, "status": "tobedeleted", "dateLastModified": instant(row.at)}
    return gone if row.survivor is None else gone | {"metadata": {"planbridge.mergedInto": row.survivor}}


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
