"""The answers: who may read and write what, which part of it, in which envelope."""

import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from itertools import count
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from connectors.oneroster import twin_writing as writing
from connectors.oneroster.twin_auth import Door, Sessions, Tokens, scopes
from connectors.oneroster.twin_errors import Denied
from connectors.oneroster.twin_fields import MODELS, Version, fields
from connectors.oneroster.twin_oddities import Oddities
from connectors.oneroster.twin_paging import Paging, address_of, chosen
from connectors.oneroster.twin_quirks import Preset
from connectors.oneroster.twin_shelves import Selection, Shape, Shelves
from connectors.oneroster.twin_views import POSTS, VIEWS, Post, View, rerooted

Answer = Callable[[Request], Awaitable[Response]]


class Service:
    """One system's routes, for all versions and services that it has."""

    def __init__(self, preset: Preset, door: Door, shelves: Shelves) -> None:
        self._preset = preset
        self._door = door
        self._shelves = shelves
        self._paging = Paging(preset.quirks)
        self._oddities = Oddities(preset.quirks)
        self._sessions = Sessions() if preset.access.cookie else None
        self._allocated = count(1)

    def routes(self) -> list[Route]:
        preset = self._preset
        found = []
        if isinstance(self._door, Tokens) and preset.access.style == "oauth2":
            found.append(Route(preset.access.grant_path, self._granting(self._door), methods=["POST"]))
        if preset.applications:
            found.append(Route("/applications", self._applications))
        for version in preset.versions:
            for view in VIEWS:
                if version in view.versions and view.service in preset.services:
                    found += self._reading(version, view)
        if "1.2" in preset.versions and "gradebook" in preset.services and preset.writing.post:
            found += [self._posting(post) for post in POSTS]
        return found

    def _granting(self, tokens: Tokens) -> Answer:
        async def grant(request: Request) -> Response:
            answer = await tokens.grant(request)
            if self._sessions and answer.status_code == 200:
                self._sessions.begin(request, answer, f"Bearer {json.loads(bytes(answer.body))['access_token']}")
            return answer

        return grant

    async def _applications(self, request: Request) -> Response:
        """Whom the one token of a partner opens: as ClassLink's proxy lists them."""
        self._door.demand(request, frozenset())
        name = self._preset.below.strip("/")
        return self._answer(request, {"applications": [{"oneroster_application_id": name, "name": "Larkspur"}]})

    def _reading(self, version: Version, view: View) -> list[Route]:
        granted = scopes(version, view.scopes)

        async def many(request: Request) -> Response:
            self._demand(request, granted)
            return self._page(version, view, request)

        async def one(request: Request) -> Response:
            self._demand(request, granted)
            return self._one(version, view, request)

        address = f"{self._preset.below}{view.root(version)}/{view.path}"
        found = [Route(address, many)]
        if view.singular:
            found.append(Route(f"{address}/{{sourcedId}}", one))
        if view.service in ("gradebook", "assessment") and view.singular and view.collection in MODELS[version]:
            found += self._writing(version, view, f"{address}/{{sourcedId}}")
        return found

    def _demand(self, request: Request, wanted: frozenset[str]) -> None:
        self._door.demand(request, wanted)
        if self._sessions:
            self._sessions.demand(request)

    def _shape(self, version: Version) -> Shape:
        return self._preset.quirks.shape or version

    def _page(self, version: Version, view: View, request: Request) -> Response:
        parents = self._parents(request, view.parents)
        known = fields(view.collection, ("1.1", "1.2") if self._preset.quirks.shape else (version,))
        order = request.query_params.get("orderBy", "asc")
        if order not in ("asc", "desc"):
            raise Denied(422, "orderBy is asc or desc.")
        sort = request.query_params.get("sort", "")
        if sort and self._preset.quirks.sort == "refused":
            raise Denied(400, "Sorting is not supported.", "invalid_sort_field" if version == "1.1" else None)
        shape = self._shape(version)
        selection = Selection(request.query_params.get("filter", ""), sort, order == "desc", shape)
        fielded = chosen(request, known)
        among = view.within(self._shelves, parents) if view.within else None
        key = view.path, tuple(parents.values())
        found = self._shelves.find(key, view.collection, view.keep, among, selection)
        listed, headers = self._paging.page(request, found, self._shelves.revision)
        if self._preset.quirks.counts == "everything" and "X-Total-Count" in headers:
            unfiltered = self._shelves.find(key, view.collection, view.keep, among, replace(selection, filter=""))
            headers["X-Total-Count"] = str(len(unfiltered))
        base = address_of(request) + self._preset.below
        rows = []
        for place, sourced_id in listed:
            row = rerooted(self._shelves.row(view.collection, sourced_id, base, shape), base, version)
            rows.append(self._oddities.spell(view.collection, fielded(row), place))
        return self._answer(request, self._oddities.envelope(view.collection, view.name, rows), headers=headers)

    def _parents(self, request: Request, parents: tuple[tuple[str, str], ...]) -> Mapping[str, str]:
        found = {name: request.path_params[name] for name, _ in parents}
        for name, collection in parents:
            if not self._shelves.has(collection, found[name]):
                raise Denied(404, f"There is no such {name}.")
        return found

    def _one(self, version: Version, view: View, request: Request) -> Response:
        fielded = chosen(request, fields(view.collection, (version,)))
        sourced_id = request.path_params["sourcedId"]
        base = address_of(request) + self._preset.below
        fact = self._shelves.fact(view.collection, sourced_id)
        if fact is not None and not view.keep(fact):
            raise Denied(404, f"There is no such object in {view.name}.")
        row = rerooted(self._shelves.row(view.collection, sourced_id, base, self._shape(version)), base, version)
        return self._answer(
            request, self._oddities.one(view.singular, self._oddities.spell(view.collection, fielded(row)))
        )

    def _writing(self, version: Version, view: View, address: str) -> list[Route]:
        family = "gradebook" if view.service == "gradebook" else "assessment"

        async def put(request: Request) -> Response:
            self._demand(request, scopes(version, f"{family}.createput"))
            row = await writing.body(request, view.singular)
            waived = ("score",) if self._preset.writing.score_missing else ()
            kept = writing.record(self._shelves, version, view.collection, row, waived)
            if row["sourcedId"] != request.path_params["sourcedId"]:
                raise Denied(422, "The sourcedId of the record is not that of the path.")
            self._shelves.put(view.collection, row["sourcedId"], kept)
            if row.get("status") == "tobedeleted":
                self._shelves.delete(view.collection, row["sourcedId"])
            # OneRoster: the document of 1.1 knows 200 only, that of 1.2 only 201
            return self._answer(request, None, 200 if version == "1.1" else 201)

        async def delete(request: Request) -> Response:
            self._demand(request, scopes(version, f"{family}.delete"))
            self._shelves.delete(view.collection, request.path_params["sourcedId"])
            return self._answer(request, None, 200 if version == "1.1" else 204)

        found = [Route(address, put, methods=["PUT"])] if self._preset.writing.put else []
        return [*found, Route(address, delete, methods=["DELETE"])] if self._preset.writing.delete else found

    def _posting(self, post: Post) -> Route:
        async def add(request: Request) -> Response:
            self._demand(request, scopes("1.2", "gradebook.createpost"))
            parents = self._parents(request, post.parents)
            rows = await writing.body(request, post.collection)
            if not isinstance(rows, list):
                raise Denied(422, f"{post.collection} are a list.")
            kept = [writing.record(self._shelves, "1.2", post.collection, row) for row in rows]
            for row in kept:
                writing.within(self._shelves, post.collection, row, parents)
            pairs = []
            for supplied, row in zip((row["sourcedId"] for row in rows), kept, strict=True):
                allocated = f"allocated-{next(self._allocated)}" if self._preset.writing.allocates else supplied
                self._shelves.put(post.collection, allocated, row)
                pairs.append({"suppliedSourcedId": supplied, "allocatedSourcedId": allocated})
            return self._answer(request, {"sourcedIdPairs": pairs}, 201)

        return Route(f"{self._preset.below}{_GRADEBOOK}/{post.path}", add, methods=["POST"])

    def _answer(
        self, request: Request, content: Any, status: int = 200, headers: Mapping[str, str] | None = None
    ) -> Response:
        text, needed = self._oddities.encode(content) if content is not None else (b"", {})
        answer = Response(text, status, {**(headers or {}), **needed}, media_type="application/json" if text else None)
        if ahead := self._preset.quirks.clock_ahead:
            answer.headers["Date"] = format_datetime(datetime.now(UTC) + timedelta(seconds=ahead), usegmt=True)
        if self._sessions:
            self._sessions.begin(request, answer)
        return answer


_GRADEBOOK = next(view.root("1.2") for view in VIEWS if view.service == "gradebook")
