"""The server over HTTP: its routes, what a page is, what a write answers."""

import json
from collections.abc import Mapping, Sequence
from typing import Any
from uuid import uuid4

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Mount, Route

from connectors.edfi.twin import refusals
from connectors.edfi.twin.collection import Collection, Entry, cursor_page, identify, partitions
from connectors.edfi.twin.ids import dashed, with_dashes
from connectors.edfi.twin.metadata import Metadata
from connectors.edfi.twin.ods import Ods
from connectors.edfi.twin.release import Release
from connectors.edfi.twin.snapshot import Snapshot
from connectors.edfi.twin.specification import Specification
from connectors.edfi.twin.tokens import Tokens, fields
from synthetic.faults import Faults

_DEFAULT_PAGE = 25
_METHODS = ["GET", "POST", "PUT", "DELETE", "PATCH"]
_TO_COLLECTION = {"POST": "Create"}
_TO_ITEM = {"PUT": "Update", "DELETE": "Delete"}
_PATH_BASE = "/api"
_OFFSET_PAGING = frozenset({"offset", "limit", "totalcount"})
_NEEDS_ID = 'Resource collections cannot be replaced or deleted. Include the "id" in the route.'
_NEEDS_NO_ID = 'Resource items can only be updated using PUT. To "upsert" an item, remove the "id" from the route.'
_ORGANIZATION = ("education_organization_id", "name_of_institution", "type")


class Server:
    """One ODS/API of one release."""

    def __init__(self, ods: Ods, tokens: Tokens, release: Release, *, page_limit: int) -> None:
        self._ods = ods
        self._tokens = tokens
        self._release = release
        self._page_limit = page_limit
        self._snapshot = Snapshot(ods, release)
        specification = Specification(release, ods.collections, ods.shapes, page_limit=page_limit)
        paths = {name: ods.collections[name].path for name in ods.operations}
        self._metadata = Metadata(release, paths, specification, year=ods.district.school_year)

    def application(self, *, control: bool) -> Starlette:
        at = self._metadata.addresses
        item = f"{at.data}/{{namespace}}/{{resource}}/{{identifier}}"
        routes: list[BaseRoute] = [
            *self._metadata.routes(),
            Route(at.token, self._tokens.grant, methods=["POST"]),
            Route(f"{at.token}_info", self._token_info, methods=["POST"]),
            Route(at.changes + "/availableChangeVersions", self._change_versions),
            Route(at.changes + "/snapshots", self._snapshots),
            Route(item.rpartition("/")[0], self._of_collection, methods=_METHODS),
            Route(item, self._of_item, methods=_METHODS),
        ]
        if at.form_token:
            routes.append(Route(at.form_token, self._tokens.grant, methods=["POST"]))
        if self._release.eight:
            # Ed-Fi: the Ed-Fi API has a path of its own before everything, and answers without it too.
            routes.append(Mount(_PATH_BASE, routes=list(routes)))
        if control:
            routes.append(Route("/_sis/repost", self._repost, methods=["POST"]))
            routes.append(Route("/_host/snapshot", self._make_snapshot, methods=["POST"]))
        return Starlette(
            routes=routes,
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
        collection = self._collection(request, _TO_COLLECTION)
        match request.method:
            case "GET":
                return self._page(request, collection)
            case "POST":
                entry, created = self._ods.upsert(collection, await _body(request), request.headers.get("if-match"))
                return self._written(request, collection, entry, 201 if created else 200)
            case "PUT" | "DELETE":
                raise refusals.not_allowed(_NEEDS_ID)
        raise _unsupported(request.method)

    async def _of_item(self, request: Request) -> Response:
        self._tokens.check(request)
        collection = self._collection(request, _TO_ITEM)
        identifier, if_match = request.path_params["identifier"], request.headers.get("if-match")
        match request.method:
            case "GET" if self._release.cursor and identifier.lower() == "partitions":
                return self._partitions(request, collection)
            case "GET" if self._tells(identifier.lower()):
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

    def _collection(self, request: Request, actions: Mapping[str, str]) -> Collection:
        """The one that the path names. Raises Refusal where there is none, or nothing for this key."""
        named = request.path_params
        found = self._ods.collection(named["resource"], actions.get(request.method, "Read"), named["namespace"])
        return self._snapshot.of(found) if self._snapshot.asked_for(request.headers, request.method) else found

    def _tells(self, what: str) -> bool:
        """Whether this server has such a list of changes."""
        told = ("deletes", "keychanges") if self._release.key_changes else ("deletes",)
        return self._release.changes != "off" and what in told

    def _page(self, request: Request, collection: Collection) -> Response:
        query = _query(request)
        token = query.get("pagetoken", "") if self._release.cursor else ""
        if token and not _OFFSET_PAGING.isdisjoint(query):
            raise refusals.bad_parameter("pageToken", "Use pageToken without offset, limit and totalCount.")
        size = self._size(query, "pageSize" if self._release.cursor and (token or "pagesize" in query) else "limit")
        offset = _whole(query, "offset", 0)
        found = self._found(collection, query)
        page = found[offset : offset + size]
        following = None
        if self._release.cursor:
            try:
                page, following = cursor_page(found if token else page, token, size)
            except ValueError as problem:
                raise refusals.bad_parameter("pageToken", "The pageToken is not valid.") from problem
        headers = {"Next-Page-Token": following} if following else {}
        if query.get("totalcount", "").lower() == "true":
            headers["Total-Count"] = str(len(found))
        return _json([self._row(collection, entry) for entry in page], headers=headers)

    def _partitions(self, request: Request, collection: Collection) -> Response:
        query = _query(request)
        wanted = _whole(query, "number", 10)
        if not 1 <= wanted <= 200:
            raise refusals.bad_parameter("number", "Number must be a value between 1 and 200.")
        found = self._found(collection, query)
        return _json({"pageTokens": partitions(found, wanted, 5 * self._size(query, "pageSize"))})

    def _tombstones(self, request: Request, collection: Collection, *, deleted: bool) -> Response:
        """What is gone, or has another key. # Ed-Fi: both are paged by offset only"""
        if "ReadChanges" not in self._ods.operations[collection.name]:
            raise refusals.denied_action(self._ods.claims.name, "ReadChanges", collection.name)
        query = _query(request)
        size, offset = self._size(query, "limit"), _whole(query, "offset", 0)
        window = _window(query)
        suppressed = self._release.suppressed
        found = collection.deleted(*window, suppressed=suppressed) if deleted else collection.renamed(*window)
        headers = {"Total-Count": str(len(found))} if query.get("totalcount", "").lower() == "true" else {}
        return _json([self._told(row) for row in found[offset : offset + size]], headers=headers)

    def _found(self, collection: Collection, query: Mapping[str, str]) -> Sequence[Entry]:
        return self._ods.visible(collection, collection.matching(query, *_window(query)))

    def _size(self, query: Mapping[str, str], name: str) -> int:
        """How many items of a page are asked for, within what this server allows."""
        lowest, most = self._release.lowest_limit, self._page_limit
        size = _whole(query, name, min(_DEFAULT_PAGE, most))
        if not lowest <= size <= most:
            what = f"{name[0].upper()}{name[1:]} must be omitted or set to a value between {lowest} and "
            old = f"{what}max value defined in configuration file (defaultPageSizeLimit)."
            raise refusals.bad_parameter(name, f"{what}{most}.", old)
        return size

    def _item(self, request: Request, collection: Collection, identifier: str) -> Response:
        entry = self._ods.item(collection, identifier)
        tag = {"ETag": f'"{entry.etag}"'}
        if request.headers.get("if-none-match", "").strip('"') == entry.etag:
            return Response(status_code=304, headers=tag)
        return _json(self._row(collection, entry), headers=tag)

    def _row(self, collection: Collection, entry: Entry) -> dict[str, Any]:
        row = collection.row(entry, dated=self._release.dated)
        return dashed(row) if self._release.dashed else row

    def _told(self, row: dict[str, Any]) -> dict[str, Any]:
        """A tombstone as this server has it."""
        if self._release.dashed != self._release.dashed_tombstones:
            row = dashed(row)
        return row if self._release.key_values else {name: row[name] for name in ("id", "changeVersion")}

    def _written(self, request: Request, collection: Collection, entry: Entry, status: int) -> Response:
        address = f"{self._metadata.data_url(request)}/{collection.path}"
        identifier = identify(collection.name, entry.key)
        location = f"{address}/{with_dashes(identifier) if self._release.dashed else identifier}"
        return Response(status_code=status, headers={"Location": location, "ETag": f'"{entry.etag}"'})

    async def _change_versions(self, request: Request) -> Response:
        self._tokens.check(request)
        if self._release.changes == "off":
            raise refusals.no_such_data()
        changes = self._snapshot if self._snapshot.asked_for(request.headers) else self._ods.changes
        told = {"oldestChangeVersion": 0, "newestChangeVersion": changes.newest}
        if self._release.capital_versions:
            told = {f"{name[0].upper()}{name[1:]}": version for name, version in told.items()}
        return _json(told)

    async def _snapshots(self, request: Request) -> Response:
        self._tokens.check(request)
        if self._release.changes == "off" or self._release.snapshot_header != "snapshot-identifier":
            raise refusals.no_such_data()
        return _json(self._snapshot.listed())

    async def _make_snapshot(self, request: Request) -> Response:
        """The host makes one, as it does each night."""
        self._snapshot.make()
        return Response(status_code=204)

    async def _repost(self, request: Request) -> Response:
        """The SIS sends all its enrolments again."""
        self._ods.repost()
        return Response(status_code=204)

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
                "claim_set": {"name": self._ods.claims.name},
                "resources": [
                    {"resource": f"/{self._ods.collections[name].path}", "operations": list(operations)}
                    for name, operations in self._ods.operations.items()
                ],
                "services": [],
            }
        )

    async def _refused(self, request: Request, problem: Exception) -> Response:
        assert isinstance(problem, refusals.Refusal)
        form, correlation = self._release.form, request.headers.get("correlation-id")
        if form == "correlated":
            correlation = correlation or str(uuid4())
        return refusals.render(
            problem,
            modern=self._release.modern,
            correlation=None if form == "message" else correlation,
            paths=form == "paths",
        )

    async def _off_the_map(self, request: Request, problem: Exception) -> Response:
        """A path or method that leads to no route at all."""
        allowed = not (isinstance(problem, HTTPException) and problem.status_code == 405)
        return await self._refused(request, refusals.no_such_data() if allowed else _unsupported(request.method))

    def _fault(self, status: int) -> object:
        """What a server or the gateway in front of it says when it cannot answer."""
        detail = "Too many requests." if status == 429 else "An unexpected problem has occurred."
        kind, title = ("rate-limit", "Too Many Requests") if status == 429 else ("system", "System Error")
        return refusals.body(refusals.Refusal(status, kind, title, detail), modern=self._release.modern)


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
