"""A small server that behaves like a OneRoster 1.2 provider playing the invented district."""

import hmac
import os
import secrets
import time
from base64 import b64decode
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Literal
from urllib.parse import parse_qs, unquote_plus, urlencode

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from connectors.oneroster.twin_filter import leaves, parse, stamp
from connectors.oneroster.twin_rows import FIELDS, GRADEBOOK, ROSTERING, Roster, Row
from synthetic import District, build
from synthetic.faults import Faults
from synthetic.model import Staff, Student


def twin(
    district: District,
    *,
    client_id: str = "demo-client",
    client_secret: str = "demo-secret",  # noqa: S107  a twin guards nothing
    page_cap: int = 500,
    token_seconds: float = 3600,
    totals: bool = True,
    link: bool = True,
    tombstones: bool = False,
    planted: str | None = None,
    control: bool = True,
) -> Starlette:
    """An ASGI application with `POST /token`, the rostering and the assessment routes of OneRoster 1.2.

    No page is longer than `page_cap`, whatever limit is asked. `totals` and `link` switch X-Total-Count and
    Link. Rows that a change takes away vanish, or with `tombstones` stay as "tobedeleted". `planted` is put
    into every field that planning never needs. `control` opens the side door of `synthetic.faults`.
    """
    tokens = _Tokens(client_id, client_secret, token_seconds)
    shelves = _Shelves(Roster(district, planted), tombstones=tombstones)
    service = _Service(tokens, shelves, page_cap=page_cap, totals=totals, link=link)
    faults = Middleware(
        Faults,
        district=district,
        play=lambda changed: shelves.play(Roster(changed, planted)),
        error=_status_info,
        tokens=tokens,
        control=control,
    )
    return Starlette(
        routes=[
            Route("/token", tokens.grant, methods=["POST"]),
            *(route for view in _VIEWS for route in service.routes(view)),
        ],
        middleware=[faults],
        exception_handlers={_Refused: _refused, HTTPException: _refused, Exception: _broken},
    )


def app() -> Starlette:
    """The twin as `uvicorn --factory` wants it, sized and named by TWIN_* in the environment."""
    take = os.environ.get
    district = build(
        schools=int(take("TWIN_SCHOOLS", "3")),
        students=int(take("TWIN_STUDENTS", "600")),
        seed=int(take("TWIN_SEED", "2026")),
    )
    return twin(
        district,
        client_id=take("TWIN_CLIENT_ID", "demo-client"),
        client_secret=take("TWIN_CLIENT_SECRET", "demo-secret"),
        page_cap=int(take("TWIN_PAGE_CAP", "500")),
    )


_SCOPE = "https://purl.imsglobal.org/spec/or/v1p2/scope/"
_CORE = frozenset({f"{_SCOPE}roster-core.readonly", f"{_SCOPE}roster.readonly"})
_DEMOGRAPHICS = frozenset({f"{_SCOPE}roster-demographics.readonly"})
_ASSESSMENT = frozenset({f"{_SCOPE}assessment.readonly"})
_SCOPES = _CORE | _DEMOGRAPHICS | _ASSESSMENT


@dataclass(frozen=True)
class _View:
    """One path: the facts of a collection it shows, in which envelope, to holders of any of the scopes."""

    name: str
    singular: str
    collection: str
    scopes: frozenset[str] = _CORE
    root: str = ROSTERING
    keep: Callable[[Any], bool] = lambda fact: True


# OneRoster 1.2 rostering and gradebook: paths, envelopes and scopes
_VIEWS = (
    _View("orgs", "org", "orgs"),
    _View("schools", "org", "orgs", keep=lambda org: org.level != "district"),
    _View("academicSessions", "academicSession", "academicSessions"),
    _View("terms", "academicSession", "academicSessions", keep=lambda term: term.code != "year"),
    _View("gradingPeriods", "academicSession", "academicSessions", keep=lambda term: False),
    _View("courses", "course", "courses"),
    _View("classes", "class", "classes"),
    _View("users", "user", "users"),
    _View("students", "user", "users", keep=lambda user: isinstance(user, Student)),
    _View("teachers", "user", "users", keep=lambda user: isinstance(user, Staff) and user.role == "teacher"),
    _View("enrollments", "enrollment", "enrollments"),
    _View("demographics", "demographics", "demographics", _DEMOGRAPHICS),
    _View("assessmentLineItems", "assessmentLineItem", "assessmentLineItems", _ASSESSMENT, GRADEBOOK),
    _View("assessmentResults", "assessmentResult", "assessmentResults", _ASSESSMENT, GRADEBOOK),
)


class _Tokens:
    """The OAuth 2 client credentials grant (RFC 6749 4.4) for one client, and the tokens it gave out."""

    def __init__(self, client_id: str, client_secret: str, seconds: float) -> None:
        self._id = client_id
        self.renew(client_secret)
        self._seconds = seconds
        self._given: dict[str, tuple[frozenset[str], float]] = {}
        self.revoked = False
        self.ahead = 0.0

    async def grant(self, request: Request) -> Response:
        form = parse_qs((await request.body()).decode("latin-1"))
        asked = frozenset(" ".join(form.get("scope", ())).split())
        granted = asked & _SCOPES if asked else _SCOPES
        if not self._knows(request.headers.get("authorization", "")):
            return _no_token("invalid_client", 401, {"WWW-Authenticate": 'Basic realm="OneRoster"'})
        if any(len(values) > 1 for values in form.values()) or "grant_type" not in form:
            return _no_token("invalid_request")
        if form["grant_type"] != ["client_credentials"]:
            return _no_token("unsupported_grant_type")
        if not granted:
            return _no_token("invalid_scope")
        token = secrets.token_urlsafe(24)
        self._given[token] = granted, time.monotonic() + self._seconds
        answer = {
            "access_token": token,
            "token_type": "Bearer",
            "expires_in": int(self._seconds),
            "scope": " ".join(sorted(granted)),
        }
        return JSONResponse(answer, headers={"Cache-Control": "no-store"})

    def _knows(self, authorization: str) -> bool:
        scheme, _, credentials = authorization.partition(" ")
        try:
            said = b64decode(credentials, validate=True).decode()
        except ValueError:
            return False
        name, _, secret = said.partition(":")
        said = f"{unquote_plus(name)}:{unquote_plus(secret)}"  # RFC 6749 2.3.1
        return not self.revoked and scheme.lower() == "basic" and hmac.compare_digest(said.encode(), self._client)

    def demand(self, request: Request, scopes: frozenset[str]) -> None:
        """Refuse a request without a live token (401) or without one of the scopes (403)."""
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        granted, until = self._given.get(token, (frozenset(), 0.0))
        if scheme.lower() != "bearer" or until <= time.monotonic() + self.ahead:
            raise _Refused(401, "The access token is missing, unknown or expired.")
        if not granted & scopes:
            raise _Refused(403, "The access token lacks the scope of this collection.")

    def forget(self) -> None:
        self._given.clear()

    def renew(self, secret: str) -> None:
        self._client = f"{self._id}:{secret}".encode()


def _no_token(error: str, status: int = 400, headers: Mapping[str, str] | None = None) -> Response:
    return JSONResponse({"error": error}, status, {"Cache-Control": "no-store", **(headers or {})})


@dataclass(frozen=True)
class _Selection:
    """Which rows of a view and in which order, as the request spelled it."""

    filter: str
    sort: str
    descending: bool


class _Shelves:
    """The rows of the district of today: found by selection, rendered one by one when asked for."""

    _REMEMBERED = 64

    def __init__(self, roster: Roster, *, tombstones: bool) -> None:
        self._roster = roster
        self._tombstones = tombstones
        self._last = datetime(2026, 7, 1, tzinfo=UTC)
        self._born = stamp(self._last)
        self._stamps: dict[tuple[str, str], str] = {}
        self._gone: dict[str, dict[str, Any]] = {collection: {} for collection in roster.facts}
        self._found: dict[tuple[str, _Selection], list[str]] = {}

    def play(self, roster: Roster) -> None:
        """Go over to another district; what differs carries the time of this call as dateLastModified."""
        self._last = max(datetime.now(UTC), self._last + timedelta(milliseconds=1))
        now = stamp(self._last)
        for collection, facts in roster.facts.items():
            before, gone = self._roster.facts[collection], self._gone[collection]
            for sourced_id, fact in facts.items():
                if before.get(sourced_id) != fact:
                    self._stamps[collection, sourced_id] = now
            if self._tombstones:
                for sourced_id in before.keys() - facts.keys():
                    self._stamps[collection, sourced_id] = now
                    gone[sourced_id] = before[sourced_id]
        self._roster = roster
        self._found.clear()

    def find(self, view: _View, selection: _Selection) -> list[str]:
        """The sourcedIds of the rows selected, remembered until the district changes."""
        key = view.name, selection
        if key not in self._found:
            if len(self._found) >= self._REMEMBERED:
                self._found.clear()
            self._found[key] = self._search(view, selection)
        return self._found[key]

    def _search(self, view: _View, selection: _Selection) -> list[str]:
        everything = {**self._gone[view.collection], **self._roster.facts[view.collection]}
        found = sorted(sourced_id for sourced_id, fact in everything.items() if view.keep(fact))
        if selection.filter:
            try:
                matches = parse(selection.filter, FIELDS[view.collection])
            except ValueError as problem:
                raise _Refused(400, str(problem), "invalid_filter_field") from None
            found = [sourced_id for sourced_id in found if matches(self.row(view, sourced_id))]
        path = selection.sort.split(".")
        if path[0] in FIELDS[view.collection]:
            found.sort(key=lambda sourced_id: sorted(map(str, leaves(self.row(view, sourced_id), path))))
        if selection.descending:
            found.reverse()
        return found

    def row(self, view: _View, sourced_id: str, base: str = "") -> Row:
        """The row as it is served; refuses with 404 what this view does not show."""
        facts, gone = self._roster.facts[view.collection], self._gone[view.collection]
        fact = facts.get(sourced_id, gone.get(sourced_id))
        if fact is None or not view.keep(fact):
            raise _Refused(404, f"There is no such object in {view.name}.")
        return {
            "sourcedId": sourced_id,
            "status": "active" if sourced_id in facts else "tobedeleted",
            "dateLastModified": self._stamps.get((view.collection, sourced_id), self._born),
            **self._roster.row(view.collection, fact, base),
        }


class _Service:
    """The answers: who may read what, which part of it, in which envelope."""

    def __init__(self, tokens: _Tokens, shelves: _Shelves, *, page_cap: int, totals: bool, link: bool) -> None:
        self._tokens = tokens
        self._shelves = shelves
        self._page_cap = page_cap
        self._totals = totals
        self._link = link

    def routes(self, view: _View) -> list[Route]:
        async def many(request: Request) -> Response:
            self._tokens.demand(request, view.scopes)
            return self._page(view, request)

        async def one(request: Request) -> Response:
            self._tokens.demand(request, view.scopes)
            fields = _fields(request, view)
            row = self._shelves.row(view, request.path_params["sourcedId"], _address(request))
            return JSONResponse({view.singular: fields(row)})

        address = f"{view.root}/{view.name}"
        return [Route(address, many), Route(f"{address}/{{sourcedId}}", one)]

    def _page(self, view: _View, request: Request) -> Response:
        limit = min(_number(request, "limit", 100, least=1), self._page_cap)
        offset = _number(request, "offset", 0, least=0)
        order = request.query_params.get("orderBy", "asc")
        if order not in ("asc", "desc"):
            raise _Refused(422, "orderBy is asc or desc.")
        fields = _fields(request, view)
        selection = _Selection(
            request.query_params.get("filter", ""), request.query_params.get("sort", ""), order == "desc"
        )
        found = self._shelves.find(view, selection)
        base = _address(request)
        rows = [fields(self._shelves.row(view, one, base)) for one in found[offset : offset + limit]]
        headers = {}
        if self._totals:
            headers["X-Total-Count"] = str(len(found))
        if self._link:
            headers["Link"] = _links(request, limit, offset, len(found))
        return JSONResponse({view.collection: rows}, headers=headers)


def _number(request: Request, name: str, default: int, *, least: int) -> int:
    text = request.query_params.get(name, str(default))
    if not text.isdecimal() or int(text) < least:
        raise _Refused(422, f"{name} is a whole number from {least}.")
    return int(text)


def _fields(request: Request, view: _View) -> Callable[[Row], Row]:
    text = request.query_params.get("fields")
    if text is None:
        return lambda row: row
    wanted = {name.strip() for name in text.split(",")}
    if not wanted <= FIELDS[view.collection]:
        raise _Refused(400, "A selected field is unknown.", "invalid_selection_field")
    return lambda row: {name: value for name, value in row.items() if name in wanted}


def _links(request: Request, limit: int, offset: int, total: int) -> str:
    """The Link header: every other query parameter is kept as it was asked."""
    places = {"first": 0, "last": max(0, (total - 1) // limit * limit)}
    if offset + limit < total:
        places["next"] = offset + limit
    if offset > 0:
        places["prev"] = max(0, offset - limit)
    kept = [pair for pair in request.query_params.multi_items() if pair[0] not in ("limit", "offset")]
    address = f"{_address(request)}{request.url.path}"
    return ", ".join(
        f'<{address}?{urlencode([*kept, ("limit", limit), ("offset", place)])}>; rel="{rel}"'
        for rel, place in places.items()
    )


def _address(request: Request) -> str:
    return str(request.base_url).rstrip("/")


class _Refused(Exception):
    """A request that is answered with an imsx_StatusInfo."""

    def __init__(self, status: int, detail: str, minor: str | None = None) -> None:
        self.status_code = status
        self.detail = detail
        self.minor = minor


# OneRoster 1.2: the code minor that goes with a status
_MINOR = {
    401: "unauthorisedrequest",
    403: "forbidden",
    404: "unknownobject",
    422: "invaliddata",
    429: "server_busy",
    500: "internal_server_error",
    503: "server_busy",
}


def _status_info(status: int, detail: str = "", minor: str | None = None) -> Row:
    major: Literal["failure", "unsupported"] = "unsupported" if status == 405 else "failure"
    info: Row = {"imsx_codeMajor": major, "imsx_severity": "error"}
    if detail:
        info["imsx_description"] = detail
    if code := minor or _MINOR.get(status):
        field = {"imsx_codeMinorFieldName": "TargetEndSystem", "imsx_codeMinorFieldValue": code}
        info["imsx_CodeMinor"] = {"imsx_codeMinorField": [field]}
    return info


async def _refused(request: Request, problem: Exception) -> Response:
    assert isinstance(problem, _Refused | HTTPException)
    minor = problem.minor if isinstance(problem, _Refused) else None
    headers = {"WWW-Authenticate": 'Bearer realm="OneRoster"'} if problem.status_code == 401 else None
    return JSONResponse(_status_info(problem.status_code, problem.detail, minor), problem.status_code, headers)


async def _broken(request: Request, problem: Exception) -> Response:
    return JSONResponse(_status_info(500, "The twin itself is broken."), 500)
