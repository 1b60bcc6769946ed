"""Names and roles, assignments and grades, as a platform serves them: strict about types, with each one's refusals."""

import json
from collections.abc import Sequence
from datetime import datetime
from html import escape
from typing import Any, Literal
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route

from connectors.lti.twin_courses import AIDE, PARENT, STUDENT, TEACHER, Column, Course, Courses, Entry
from connectors.lti.twin_tokens import AGS, NRPS, Door

Kind = Literal["moodle", "canvas"]
MEMBERSHIP = "http://purl.imsglobal.org/vocab/lis/v2/membership#"
ROLES = {STUDENT: "Learner", TEACHER: "Instructor", AIDE: "Instructor", PARENT: "Mentor"}
MEMBERS = "application/vnd.ims.lti-nrps.v2.membershipcontainer+json"
COLUMNS = "application/vnd.ims.lis.v2.lineitemcontainer+json"
COLUMN = "application/vnd.ims.lis.v2.lineitem+json"
RESULTS = "application/vnd.ims.lis.v2.resultcontainer+json"
SCORE = "application/vnd.ims.lis.v1.score+json"
ACTIVITY = ("Initialized", "Started", "InProgress", "Submitted", "Completed")
GRADING = ("FullyGraded", "Pending", "PendingManual", "Failed", "NotReady")


class Services:
    """The routes of a platform's services. `curly`: links as Moodle writes them; `page_size`: so many rows at most,
    whether the client asks for a limit or not."""

    def __init__(self, courses: Courses, door: Door, kind: Kind, *, curly: bool, page_size: int | None) -> None:
        self._courses, self._door, self._kind = courses, door, kind
        self._curly, self._page_size = curly, page_size

    def routes(self) -> list[Route]:
        column = "/courses/{course}/lineitems/{column:int}/lineitem"
        return [
            Route("/courses/{course}/memberships", self.members),
            Route("/courses/{course}/lineitems", self.columns, methods=["GET", "POST"]),
            Route(column, self.column, methods=["GET", "PUT", "DELETE"]),
            Route(f"{column}/scores", self.score, methods=["POST"]),
            Route(f"{column}/results", self.results),
        ]

    async def members(self, request: Request) -> Response:
        """# NRPS 2.0"""
        if refused := self._door.refusal(request, NRPS) or self._wrong_accept(request, MEMBERS):
            return refused
        course = self._courses.courses[request.path_params["course"]]
        rows = []
        for id, role in course.members.items():
            one = self._courses.people[id]
            # Moodle lists whoever may not edit as a learner, and says it short.
            said = "Learner" if role == AIDE and self._kind == "moodle" else ROLES[role]
            rows.append(
                {
                    "status": "Active",
                    "user_id": id,
                    "roles": [said if self._kind == "moodle" else f"{MEMBERSHIP}{said}"],
                    "lis_person_sourcedid": one.number,
                    "name": one.name,
                }
            )
        if wanted := request.query_params.get("role"):
            rows = [row for row in rows if wanted.rpartition("#")[2] in row["roles"][0]]
        page, link = self._page(request, rows)
        body = {"id": str(request.url), "context": {"id": course.id, "label": course.code, "title": course.title}}
        return JSONResponse(body | {"members": page}, headers=link, media_type=MEMBERS)

    async def columns(self, request: Request) -> Response:
        """# AGS 2.0, line item container"""
        course = self._courses.courses[request.path_params["course"]]
        if request.method == "POST":
            return await self._add(request, course)
        if refused := self._door.refusal(request, *_READS) or self._wrong_accept(request, COLUMNS):
            return refused
        asked = request.query_params
        rows = [
            self._shown(request, course, one)
            for one in course.columns.values()
            if one.by_tool
            and all(one.item.get(field, "") == asked[name] for name, field in _FILTERS.items() if name in asked)
        ]
        page, link = self._page(request, rows)
        return JSONResponse(page, headers=link, media_type=COLUMNS)

    async def _add(self, request: Request, course: Course) -> Response:
        if refused := self._door.refusal(request, f"{AGS}/lineitem") or self._wrong_type(request, COLUMN):
            return refused
        item = await request.json()
        if wrong := self._wrong_item(item):
            return wrong
        kept = {name: value for name, value in item.items() if name in _KEPT}
        made = self._courses.add_column(course, kept, by_tool=True)  # the same resourceId again is a second column
        return JSONResponse(self._shown(request, course, made) | item, 201, media_type=COLUMN)

    async def column(self, request: Request) -> Response:
        """# AGS 2.0, line item"""
        course = self._courses.courses[request.path_params["course"]]
        scopes = _READS if request.method == "GET" else (f"{AGS}/lineitem",)
        if refused := self._door.refusal(request, *scopes):
            return refused
        found = course.columns.get(request.path_params["column"])
        if found is None:
            return _error(404, "Not Found")
        if request.method == "DELETE":
            if self._kind == "canvas" and (not found.by_tool or "resourceLinkId" in found.item):
                return _error(401, "This line item cannot be deleted")
            del course.columns[found.id]
            return Response(status_code=204, media_type="text/html")
        if request.method == "PUT":
            if refused := self._wrong_type(request, COLUMN):
                return refused
            item = await request.json()
            if wrong := self._wrong_item(item):
                return wrong
            found.item = {name: value for name, value in item.items() if name in _KEPT}
        elif refused := self._wrong_accept(request, COLUMN):
            return refused
        return JSONResponse(self._shown(request, course, found), media_type=COLUMN)

    async def score(self, request: Request) -> Response:
        """# AGS 2.0, score publishing"""
        if refused := self._door.refusal(request, f"{AGS}/score") or self._wrong_type(request, SCORE):
            return refused
        course = self._courses.courses[request.path_params["course"]]
        column = course.columns.get(request.path_params["column"])
        if column is None:
            return _error(404, "Not Found")
        score = await request.json()
        if refused := self._refused_score(course, column, score):
            bare = self._kind == "moodle" and refused.status_code < 500  # it tells nothing but the status
            return Response("[]", refused.status_code, media_type=SCORE) if bare else refused
        entry = column.entries.setdefault(score["userId"], Entry())
        entry.timestamp = score["timestamp"]
        if "scoreGiven" in score:
            given = score["scoreGiven"] / score["scoreMaximum"] * column.maximum
            entry.score = min(max(given, 0.0), column.maximum) if self._kind == "moodle" else given
        if "comment" in score:
            if self._kind == "moodle":
                entry.comments = [score["comment"]] if score["comment"] else []
            elif score["comment"]:
                entry.comments.append(score["comment"])
        if self._kind == "moodle":
            return Response(media_type=SCORE)
        return JSONResponse({"resultUrl": f"{_address(request, course, column)}/results/{score['userId']}"})

    def _refused_score(self, course: Course, column: Column, score: dict[str, Any]) -> Response | None:
        moodle = self._kind == "moodle"
        who = str(score.get("userId", ""))
        if moodle and not who.isdigit():
            return HTMLResponse("<html><head><title>502 Bad Gateway</title></head></html>", 502)
        if any(not score.get(name) for name in ("userId", "timestamp", "activityProgress", "gradingProgress")):
            return _error(400 if moodle else 422, "a required member is missing")
        if score["gradingProgress"] not in GRADING or (not moodle and score["activityProgress"] not in ACTIVITY):
            return _error(400 if moodle else 422, "unknown progress")
        if not moodle and not course.published:
            return _error(422, "User not found in course or is not a student")
        if course.members.get(who) != STUDENT:
            return _error(400 if moodle else 422, "User not found in course or is not a student")
        if "scoreGiven" in score and not score.get("scoreMaximum"):
            return _error(400 if moodle else 422, "scoreMaximum is missing")
        entry = column.entries.get(who)
        if entry is not None and entry.timestamp:
            before, now = (datetime.fromisoformat(one) for one in (entry.timestamp, score["timestamp"]))
            if now < before or (moodle and now == before):
                return _error(409 if moodle else 400, "Refusing score with an earlier timestamp")
        return None

    async def results(self, request: Request) -> Response:
        """# AGS 2.0, results"""
        if refused := self._door.refusal(request, f"{AGS}/result.readonly") or self._wrong_accept(request, RESULTS):
            return refused
        course = self._courses.courses[request.path_params["course"]]
        column = course.columns.get(request.path_params["column"])
        if column is None:
            return _error(404, "Not Found")
        if self._kind == "moodle" and "limit" in request.query_params:
            return HTMLResponse("<!DOCTYPE html><html><head><title>Error</title></head></html>", 404)
        wanted = request.query_params.get("user_id")
        address = _address(request, course, column)
        rows = [
            {"id": f"{address}/results/{who}", "scoreOf": self._url(request, course, column), "userId": who}
            | ({"resultScore": entry.score, "resultMaximum": column.maximum} if entry.score is not None else {})
            | ({"comment": entry.comments[-1]} if entry.comments else {})
            for who, entry in column.entries.items()
            if wanted in (None, who)
        ]
        return JSONResponse(rows, media_type=RESULTS)

    def _shown(self, request: Request, course: Course, column: Column) -> dict[str, Any]:
        return {"resourceId": "", "tag": "", **column.item, "id": self._url(request, course, column)}

    def _url(self, request: Request, course: Course, column: Column) -> str:
        return _address(request, course, column) + ("?type_id=1" if self._kind == "moodle" else "")

    def _wrong_item(self, item: dict[str, Any]) -> Response | None:
        if not item.get("label") or "scoreMaximum" not in item:
            return _error(400, "label and scoreMaximum are required")
        if len(item["label"]) > 255:
            return HTMLResponse("<html><head><title>502 Bad Gateway</title></head></html>", 502)
        if self._kind == "canvas" and not item["scoreMaximum"] > 0:
            return _error(422, "scoreMaximum must be positive")
        return None

    def _wrong_accept(self, request: Request, wanted: str) -> Response | None:
        """Moodle answers to the type itself only."""
        if self._kind == "moodle" and request.headers.get("accept") != wanted:
            return _error(400, "No context or unsupported content type")
        return None

    def _wrong_type(self, request: Request, wanted: str) -> Response | None:
        if request.headers.get("content-type", "").partition(";")[0] != wanted:
            return _error(400 if self._kind == "moodle" else 415, "No handler found")
        return None

    def _page(self, request: Request, rows: Sequence[Any]) -> tuple[Sequence[Any], dict[str, str]]:
        """So many rows, and the header that says where the others are."""
        asked = dict(request.query_params)
        limits = [one for one in (int(asked.get("limit", 0)), self._page_size) if one]
        if not limits:
            return rows, {}
        start, limit = int(asked.get("from", 0)), min(limits)
        page = rows[start : start + limit]
        if start + limit >= len(rows):
            return page, {}
        following = f"{request.url.replace(query='')}?{urlencode(asked | {'from': start + limit})}"
        if not self._curly:
            return page, {"link": f'<{following}>; rel="next"'}
        first = f"{request.url.replace(query='')}?{urlencode(asked | {'from': 0})}"
        said = ", ".join(
            f"<{escape(url)}>; rel=\u201c{rel}\u201d" for url, rel in ((first, "first"), (following, "next"))
        )
        return page, {"link": said.encode().decode("latin-1")}


_READS = (f"{AGS}/lineitem", f"{AGS}/lineitem.readonly")
_FILTERS = {"resource_id": "resourceId", "tag": "tag", "resource_link_id": "resourceLinkId"}
_KEPT = ("label", "scoreMaximum", "resourceId", "tag", "resourceLinkId")
"""Moodle stores no dates."""


def _address(request: Request, course: Course, column: Column) -> str:
    return f"{str(request.base_url).rstrip('/')}/courses/{course.id}/lineitems/{column.id}/lineitem"


def _error(status: int, reason: str) -> Response:
    return Response(json.dumps({"status": status, "reason": reason}), status, media_type="application/json")
