"""The server over HTTP: its routes, what a page is, what a write answers."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from connectors.edfi.twin import refusals
from connectors.edfi.twin.collection import Collection, Entry, cursor_page, identify, partitions
from connectors.edfi.twin.metadata import Metadata
from connectors.edfi.twin.ods import CLAIM_SET, Ods
from connectors.edfi.twin.release import Release
from connectors.edfi.twin.tokens import Tokens, fields
from synthetic.faults import Faults

_DEFAULT_PAGE = 25
_METHODS = ["GET", "POST", "PUT", "DELETE", "PATCH"]
_OFFSET_PAGING = frozenset({"offset", "limit", "totalcount"})
_NEEDS_ID = 'Resource collections cannot be replaced or deleted. Include the "id" in the route.'
_NEEDS_NO_ID = 'Resource items can only be updated using PUT. To "upsert" an item, remove the "id" from the route.'
_ORGANIZATION = ("education_organization_id", "name_of_institution", "type")


class Server:
    """One ODS/API of one release."""

    def __init__(self, ods: Ods, tokens: Tokens, release: Release, *, page_limit: int) -> None:
        self._ods = ods
        self._tokens = tokens
        self._modern = release.modern
        self._cursor = release.cursor
        self._changes = release.changes
        self._suppressed = release.suppressed
        self._page_limit = page_limit
        year = ods.district.school_year
        self._metadata = Metadata(release, ods.operations, year=year, page_limit=page_limit)

    def application(self, *, control: bool) -> Starlette:
        item = f"{self._metadata.data_path}/ed-fi/{{resource}}/{{identifier}}"
        return Starlette(
            routes=[
                *self._metadata.routes(),
                Route("/oauth/token", self._tokens.grant, methods=["POST"]),
                Route("/oauth/token_info", self._token_info, methods=["POST"]),
                Route(self._metadata.change_path + "/availableChangeVersions", self._change_versions),
                Route(item.rpartition("/")[0], self._of_collection, methods=_METHODS),
                Route(item, self._of_item, methods=_METHODS),
            ],
            middleware=[
                Middleware(
                    Faults,
                    district=self._ods.district,
                    play=self._ods.play,
                    error=self._fault,
                    tokens=self._tokens,
                    control=control,
                )
            ],
            exception_handlers={refusals.Refusal: self._refused, HTTPException: self._off_the_map},
        )

    async def _of_collection(self, request: Request) -> Response:
        self._tokens.check(request)
        collection = self._ods.collection(request.path_params["resource"])
        match request.method:
            case "GET":
                return self._page(request, collection)
            case "POST":
                entry, created = self._ods.upsert(collection, await _body(request))
                return self._written(request, collection, entry, 201 if created else 200)
            case "PUT" | "DELETE":
                raise refusals.not_allowed(_NEEDS_ID)
        raise _unsupported(request.method)

    async def _of_item(self, request: Request) -> Response:
        self._tokens.check(request)
        collection = self._ods.collection(request.path_params["resource"])
        identifier, if_match = request.path_params["identifier"], request.headers.get("if-match")
        match request.method:
            case "GET" if self._cursor and identifier.lower() == "partitions":
                return self._partitions(request, collection)
            case "GET" if self._changes != "off" and identifier.lower() in ("deletes", "keychanges"):
                return self._tombstones(request, collection, deleted=identifier.lower() == "deletes")
            case "GET":
                return self._item(request, collection, identifier)
            case "PUT":
                entry = self._ods.replace(collection, identifier, await _body(request), if_match)
                return self._written(request, collection, entry, 204)
            case "DELETE":
                self._ods.delete(collection, identifier, if_match)
                return Response(status_code=204)
            case "POST":
                raise refusals.not_allowed(_NEEDS_NO_ID)
        raise _unsupported(request.method)

    def _page(self, request: Request, collection: Collection) -> Response:
        query = _query(request)
        token = query.get("pagetoken", "") if self._cursor else ""
        if token and not _OFFSET_PAGING.isdisjoint(query):
            raise refusals.bad_parameter("pageToken", "Use pageToken without offset, limit and totalCount.")
        size = self._size(query, "pageSize" if self._cursor and (token or "pagesize" in query) else "limit")
        offset = _whole(query, "offset", 0)
        found = self._found(collection, query)
        page = found[offset : offset + size]
        following = None
        if self._cursor:
            try:
                page, following = cursor_page(found if token else page, token, size)
            except ValueError as problem:
                raise refusals.bad_parameter("pageToken", "The pageToken is not valid.") from problem
        headers = {"Next-Page-Token": following} if following else {}
        if query.get("totalcount", "").lower() == "true":
            headers["Total-Count"] = str(len(found))
        return _json([collection.row(entry, dated=self._modern) for entry in page], headers=headers)

    def _partitions(self, request: Request, collection: Collection) -> Response:
        query = _query(request)
        wanted = _whole(query, "number", 10)
        if not 1 <= wanted <= 200:
            raise refusals.bad_parameter("number", "Number must be a value between 1 and 200.")
        found = self._found(collection, query)
        return _json({"pageTokens": partitions(found, wanted, 5 * self._size(query, "pageSize"))})

    def _tombstones(self, request: Request, collection: Collection, *, deleted: bool) -> Response:
        """What is gone, or has another key. # Ed-Fi: both are paged by offset only"""
        if self._changes != "told":
            raise refusals.denied_action(CLAIM_SET, "ReadChanges", collection.name)
        query = _query(request)
        size, offset = self._size(query, "limit"), _whole(query, "offset", 0)
        window = _window(query)
        found = collection.deleted(*window, suppressed=self._suppressed) if deleted else collection.renamed(*window)
        headers = {"Total-Count": str(len(found))} if query.get("totalcount", "").lower() == "true" else {}
        return _json(found[offset : offset + size], headers=headers)

    def _found(self, collection: Collection, query: Mapping[str, str]) -> Sequence[Entry]:
        return collection.matching(query, *_window(query))

    def _size(self, query: Mapping[str, str], name: str) -> int:
        """How many items of a page are asked for, within what this server allows."""
        # Ed-Fi: before 7.1 a limit of 0 is refused.
        lowest, most = 0 if self._modern else 1, self._page_limit
        size = _whole(query, name, min(_DEFAULT_PAGE, most))
        if not lowest <= size <= most:
            what = f"{name[0].upper()}{name[1:]} must be omitted or set to a value between {lowest} and "
            old = f"{what}max value defined in configuration file (defaultPageSizeLimit)."
            raise refusals.bad_parameter(name, f"{what}{most}.", old)
        return size

    def _item(self, request: Request, collection: Collection, identifier: str) -> Response:
        entry = collection.find(identifier)
        if entry is None:
            raise refusals.no_such_item()
        tag = {"ETag": f'"{entry.etag}"'}
        if request.headers.get("if-none-match", "").strip('"') == entry.etag:
            return Response(status_code=304, headers=tag)
        return _json(collection.row(entry, dated=self._modern), headers=tag)

    def _written(self, request: Request, collection: Collection, entry: Entry, status: int) -> Response:
        address = f"{self._metadata.data_url(request)}/ed-fi/{collection.name}"
        location = f"{address}/{identify(collection.name, entry.key)}"
        return Response(status_code=status, headers={"Location": location, "ETag": f'"{entry.etag}"'})

    async def _change_versions(self, request: Request) -> Response:
        self._tokens.check(request)
        if self._changes == "off":
            raise refusals.no_such_data()
        newest = self._ods.changes.newest
        return _json({"oldestChangeVersion": 0, "newestChangeVersion": newest})

    async def _token_info(self, request: Request) -> Response:
        bearer = self._tokens.check(request)
        if fields(request, await request.body()).get("token") != bearer:
            raise refusals.unauthenticated("The token must be the one that authorizes the request.")
        district = self._ods.district
        agency = (district.number, district.name, "edfi.LocalEducationAgency")
        return _json(
            {
                "active": True,
                "client_id": self._tokens.key,
                "namespace_prefixes": [self._ods.namespace],
                "education_organizations": [dict(zip(_ORGANIZATION, agency, strict=True))],
                "assigned_profiles": [],
                "claim_set": {"name": CLAIM_SET},
                "resources": [
                    {"resource": f"/ed-fi/{name}", "operations": list(operations)}
                    for name, operations in self._ods.operations.items()
                ],
                "services": [],
            }
        )

    async def _refused(self, request: Request, problem: Exception) -> Response:
        assert isinstance(problem, refusals.Refusal)
        return refusals.render(problem, modern=self._modern, correlation=request.headers.get("correlation-id"))

    async def _off_the_map(self, request: Request, problem: Exception) -> Response:
        """A path or method that leads to no route at all."""
        allowed = not (isinstance(problem, HTTPException) and problem.status_code == 405)
        return await self._refused(request, refusals.no_such_data() if allowed else _unsupported(request.method))

    def _fault(self, status: int) -> object:
        """What a server or the gateway in front of it says when it cannot answer."""
        detail = "Too many requests." if status == 429 else "An unexpected problem has occurred."
        kind, title = ("rate-limit", "Too Many Requests") if status == 429 else ("system", "System Error")
        return refusals.body(refusals.Refusal(status, kind, title, detail), modern=self._modern)


async def _body(request: Request) -> object:
    """The JSON of a request. Raises Refusal (400) if there is none."""
    sent = await request.body()
    try:
        return json.loads(sent) if sent.strip() else None
    except ValueError as problem:
        raise refusals.invalid({"$": [f"The body is not JSON: {problem}."]}) from problem


def _query(request: Request) -> dict[str, str]:
    # Ed-Fi: names in a query are case-insensitive.
    return {name.lower(): value for name, value in request.query_params.items()}


def _window(query: Mapping[str, str]) -> tuple[int, int | None]:
    """The change versions that are asked for, from the lowest to the highest."""
    highest = _whole(query, "maxChangeVersion", 0) if "maxchangeversion" in query else None
    return _whole(query, "minChangeVersion", 0), highest


def _whole(query: Mapping[str, str], name: str, default: int) -> int:
    text = query.get(name.lower(), str(default))
    if not text.isascii() or not text.isdecimal():
        raise refusals.bad_parameter(name, f"{name[0].upper()}{name[1:]} must be a number from 0 on.")
    return int(text)


def _unsupported(method: str) -> refusals.Refusal:
    return refusals.not_allowed(f"The endpoint of the request does not support the '{method}' method.")


def _json(content: Any, *, headers: Mapping[str, str] | None = None) -> Response:
    return JSONResponse(content, headers=headers, media_type="application/json; charset=utf-8")
