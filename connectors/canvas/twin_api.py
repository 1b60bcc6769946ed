"""The part of Canvas' interface that a plan needs: what it takes, what it refuses, how its answers are shaped."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qsl, unquote, urlencode

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from connectors.canvas.twin_door import Bucket, Denied, Door
from connectors.canvas.twin_html import cleaned, given_out
from connectors.canvas.twin_world import Assignment, Column, Course, Enrollment, User, World

_LONGEST = 255
_ROLES = {"StudentEnrollment": 3, "TeacherEnrollment": 4, "TaEnrollment": 5, "DesignerEnrollment": 6}


@dataclass
class Quirks:
    """`page_cap`: rows on a page, whatever is asked for. `sis`: whether the account may see and set SIS ids of
    assignments. `branded`: descriptions are given out with style sheets. `denied`: parts of paths that the account may
    not use, and `denies` with which status. `shows_all`: assignments are for everybody, whatever is asked for."""

    page_cap: int = 100
    sis: bool = True
    branded: bool = False
    denied: tuple[str, ...] = ()
    denies: int = 403
    shows_all: bool = False
    foreign_links: bool = False


@dataclass
class Api:
    world: World
    door: Door
    bucket: Bucket
    quirks: Quirks = field(default_factory=Quirks)

    def routes(self) -> list[Route]:
        course = "/api/v1/courses/{course}"
        one, columns = f"{course}/assignments/{{id}}", f"{course}/custom_gradebook_columns"
        return [
            Route("/login/oauth2/auth", self._agree),
            Route("/login/oauth2/token", self.door.token, methods=["POST"]),
            self._route("/api/v1/users/{user}", self._user),
            self._route("/api/v1/users/{user}/enrollments", self._enrollments_of),
            self._route("/api/v1/users/{user}/observers", self._observers),
            self._route(course, self._course),
            self._route(f"{course}/enrollments", self._enrollments_in),
            self._route(f"{course}/assignments", self._assignments),
            self._route(f"{course}/assignments", self._create, "POST"),
            self._route(one, self._assignment),
            self._route(one, self._update, "PUT"),
            self._route(one, self._delete, "DELETE"),
            self._route(f"{one}/overrides", self._overrides),
            self._route(columns, self._columns),
            self._route(columns, self._create_column, "POST"),
            self._route(f"{columns}/{{id}}/data", self._cells),
            self._route(f"{columns}/{{id}}/data/{{user}}", self._fill, "PUT"),
        ]

    def _route(self, path: str, answer: Callable[[Request], Awaitable[Response]], method: str = "GET") -> Route:
        async def answered(request: Request) -> Response:
            try:
                self.bucket.enter()
            except Denied as denied:
                return denied.answer
            try:
                self.door.demand(request)
                if any(part in request.url.path for part in self.quirks.denied):
                    raise Denied(
                        _errors("user not authorized to perform that action", self.quirks.denies, status="unauthorized")
                    )
                found = await answer(request)
            except Denied as denied:
                found = denied.answer
            self.bucket.leave(found)
            return found

        return Route(path, answered, methods=[method])

    async def _agree(self, request: Request) -> Response:
        return self.door.agree(request)

    async def _user(self, request: Request) -> Response:
        if request.path_params["user"] == "self":
            return JSONResponse(
                {"id": 1, "name": "Planbridge", "short_name": "Planbridge", "sortable_name": "Planbridge"}
            )
        return JSONResponse(_user(self._person(request)))

    async def _enrollments_of(self, request: Request) -> Response:
        who = self._person(request).id
        return self._enrolled(request, [one for one in self.world.enrollments.values() if one.user == who])

    async def _enrollments_in(self, request: Request) -> Response:
        where = self._place(request).id
        return self._enrolled(request, [one for one in self.world.enrollments.values() if one.course == where])

    def _enrolled(self, request: Request, rows: list[Enrollment]) -> Response:
        kinds = request.query_params.getlist("type[]")
        states = request.query_params.getlist("state[]") or ["active", "invited"]
        kept = [one for one in rows if (not kinds or one.type in kinds) and one.state in states]
        return self._page(request, [self._enrollment(one, str(request.base_url)) for one in kept])

    def _enrollment(self, one: Enrollment, base: str) -> dict[str, Any]:
        user, course = self.world.users[one.user], self.world.courses[one.course]
        return {
            "id": one.id,
            "course_id": course.id,
            "course_integration_id": None,
            "course_section_id": course.id,
            "user_id": user.id,
            "associated_user_id": one.observed,
            "type": one.type,
            "role": one.type,
            "role_id": _ROLES.get(one.type, 7),
            "root_account_id": 1,
            "enrollment_state": one.state,
            "limit_privileges_to_course_section": False,
            "html_url": f"{base}courses/{course.id}/users/{user.id}",
            "sis_account_id": None,
            "sis_course_id": course.sis,
            "sis_section_id": None,
            "section_integration_id": None,
            "sis_user_id": user.sis,
            "start_at": None,
            "end_at": None,
            "last_attended_at": None,
            "user": _user(user),
        }

    async def _observers(self, request: Request) -> Response:
        who = self._person(request).id
        rows = [_user(self.world.users[one]) for one, student in sorted(self.world.observers) if student == who]
        return self._page(request, rows)

    async def _course(self, request: Request) -> Response:
        found = self._place(request)
        return JSONResponse(_course(found))

    async def _assignments(self, request: Request) -> Response:
        where = self._place(request).id
        rows = [one for one in self.world.assignments.values() if one.course == where and not one.deleted]
        return self._page(request, [self._task(one, str(request.base_url)) for one in rows])

    async def _assignment(self, request: Request) -> Response:
        return JSONResponse(self._task(self._found(request), str(request.base_url)))

    async def _create(self, request: Request) -> Response:
        made = Assignment(0, self._place(request).id)
        self._write(made, (await request.json()).get("assignment") or {})
        made.id = self.world.id()
        self.world.assignments[made.id] = made
        return JSONResponse(self._task(made, str(request.base_url)), 201)

    async def _update(self, request: Request) -> Response:
        found = self._found(request)
        self._write(found, (await request.json()).get("assignment") or {})
        return JSONResponse(self._task(found, str(request.base_url)))

    async def _delete(self, request: Request) -> Response:
        found = self._found(request)
        found.deleted = True
        return JSONResponse(self._task(found, str(request.base_url)))

    def _write(self, task: Assignment, sent: dict[str, Any]) -> None:
        """All or nothing: what is wrong is told by field."""
        name = sent.get("name", task.name)
        if not name or len(name) > _LONGEST:
            raise Denied(_invalid("name", "too_long" if name else "blank"))
        overrides = self._made(task.course, sent["assignment_overrides"]) if "assignment_overrides" in sent else None
        task.name = name
        task.description = cleaned(sent.get("description", task.description))
        task.due_at, task.lock_at = sent.get("due_at", task.due_at), sent.get("lock_at", task.lock_at)
        task.points = sent.get("points_possible", task.points)
        task.grading_type = sent.get("grading_type", task.grading_type)
        task.submission_types = sent.get("submission_types", task.submission_types)
        if task.submission_types == ["not_graded"] or task.grading_type == "not_graded":
            task.submission_types, task.grading_type = ["not_graded"], "not_graded"
        task.omitted = sent.get("omit_from_final_grade", task.omitted)
        task.published = sent.get("published", task.published)
        task.only_overrides = sent.get("only_visible_to_overrides", task.only_overrides) and not self.quirks.shows_all
        task.overrides = task.overrides if overrides is None else overrides
        if self.quirks.sis:
            task.integration_id = sent.get("integration_id", task.integration_id)
        task.updated = datetime.now(UTC)

    def _made(self, course: int, sent: list[dict[str, Any]]) -> list[dict[str, Any]]:
        open_ = self.world.courses[course].state == "available"
        students = {
            one.user
            for one in self.world.enrollments.values()
            if one.course == course and one.type == "StudentEnrollment" and one.state == "active" and open_
        }
        if any(not students.issuperset(one.get("student_ids") or [0]) for one in sent):
            raise Denied(JSONResponse({"errors": ["unknown student ids"]}, 400))
        return [{"id": self.world.id(), **one} for one in sent]

    async def _overrides(self, request: Request) -> Response:
        task = self._found(request)
        rows = [
            {
                "id": one["id"],
                "assignment_id": task.id,
                "title": f"{len(one['student_ids'])} student",
                "student_ids": one["student_ids"],
                **{name: one[name] for name in ("due_at", "lock_at") if name in one},
            }
            for one in task.overrides
        ]
        return self._page(request, rows)

    async def _columns(self, request: Request) -> Response:
        where, hidden = self._place(request).id, request.query_params.get("include_hidden") == "true"
        rows = [one for one in self.world.columns.values() if one.course == where and (hidden or not one.hidden)]
        return self._page(request, [_column(one) for one in rows])

    async def _create_column(self, request: Request) -> Response:
        sent = (await request.json()).get("column") or {}
        title = sent.get("title") or ""
        if not title or len(title) > _LONGEST:
            raise Denied(_invalid("title", "too_long" if title else "blank"))
        made = Column(self.world.id(), self._place(request).id, title, bool(sent.get("read_only")))
        made.hidden, made.teacher_notes = bool(sent.get("hidden")), bool(sent.get("teacher_notes"))
        self.world.columns[made.id] = made
        return JSONResponse(_column(made), 200)

    async def _cells(self, request: Request) -> Response:
        column = self._column_of(request)
        return self._page(request, [{"content": text, "user_id": who} for who, text in column.cells.items()])

    async def _fill(self, request: Request) -> Response:
        """What is longer than Canvas keeps is refused; an empty text takes the cell away."""
        column, who = self._column_of(request), int(request.path_params["user"])
        here = [one for one in self.world.enrollments.values() if one.course == column.course and one.user == who]
        if not here:
            raise Denied(_gone())
        content = str(((await request.json()).get("column_data") or {}).get("content") or "")
        if len(content) > _LONGEST:
            raise Denied(_invalid("content", "too_long"))
        column.cells[who] = content
        if not content:
            del column.cells[who]
        return JSONResponse({"content": content or None, "user_id": who})

    def _task(self, task: Assignment, base: str) -> dict[str, Any]:
        place = f"{base}courses/{task.course}"
        told: dict[str, Any] = dict.fromkeys(_NOTHING) | dict.fromkeys(_NOT, False) | dict.fromkeys(_NONE, 0)
        told |= {
            "id": task.id,
            "allowed_attempts": -1,
            "assignment_group_id": task.course,
            "can_duplicate": True,
            "course_id": task.course,
            "created_at": _time(task.updated),
            "description": given_out(task.description, branded=self.quirks.branded),
            "due_at": task.due_at,
            "grader_comments_visible_to_graders": True,
            "grader_names_visible_to_final_grader": True,
            "grading_type": task.grading_type,
            "has_overrides": bool(task.overrides),
            "html_url": f"{place}/assignments/{task.id}",
            "integration_data": {},
            "lock_at": task.lock_at,
            "max_name_length": _LONGEST,
            "muted": True,
            "name": task.name,
            "omit_from_final_grade": task.omitted,
            "only_visible_to_overrides": task.only_overrides,
            "points_possible": None if task.points is None else float(task.points),
            "position": task.id,
            "published": task.published,
            "speed_grader_url": f"{place}/gradebook/speed_grader?assignment_id={task.id}",
            "submission_types": task.submission_types,
            "submissions_download_url": f"{place}/assignments/{task.id}/submissions?zip=1",
            "unpublishable": True,
            "updated_at": _time(task.updated),
            "visible_to_everyone": not task.only_overrides,
            "workflow_state": "deleted" if task.deleted else "published" if task.published else "unpublished",
        }
        sis = {"sis_assignment_id": None, "integration_id": task.integration_id}
        return told | sis if self.quirks.sis else {name: part for name, part in told.items() if name not in sis}

    def _person(self, request: Request) -> User:
        kind, id = _named(request.path_params["user"])
        for one in self.world.users.values():
            if (kind == "id" and str(one.id) == id) or (kind == "sis_user_id" and one.sis == id):
                return one
        raise Denied(_gone())

    def _place(self, request: Request) -> Course:
        kind, id = _named(request.path_params["course"])
        for one in self.world.courses.values():
            if one.state != "deleted" and (
                (kind == "id" and str(one.id) == id) or (kind == "sis_course_id" and one.sis == id)
            ):
                return one
        raise Denied(_gone())

    def _found(self, request: Request) -> Assignment:
        found = self.world.assignments.get(int(request.path_params["id"]))
        if found is None or found.deleted or found.course != self._place(request).id:
            raise Denied(_gone())
        return found

    def _column_of(self, request: Request) -> Column:
        found = self.world.columns.get(int(request.path_params["id"]))
        if found is None or found.course != self._place(request).id:
            raise Denied(_gone())
        return found

    def _page(self, request: Request, rows: list[dict[str, Any]]) -> Response:
        """A page and the way to the next one, whose address means nothing to anybody else."""
        query = [(name, value) for name, value in parse_qsl(request.url.query) if name != "page"]
        size = min(int(request.query_params.get("per_page", "10")), self.quirks.page_cap, 100)
        at = int(request.query_params.get("page", "bookmark:0").removeprefix("bookmark:"))
        url = str(request.url.replace(query=None))

        def link(place: int, rel: str) -> str:
            home = url if not self.quirks.foreign_links else url.replace("127.0.0.1", "127.0.0.2")
            return f'<{home}?{urlencode([*query, ("page", f"bookmark:{place}")])}>; rel="{rel}"'

        links = [link(at, "current"), link(0, "first")]
        if at + size < len(rows):
            links.insert(1, link(at + size, "next"))
        return JSONResponse(rows[at : at + size], headers={"Link": ",".join(links)})


_NOTHING = (
    *("annotatable_attachment_id", "final_grader_id", "grading_standard_id", "group_category_id"),
    *("original_assignment_id", "original_assignment_name", "original_course_id", "original_lti_resource_link_id"),
    *("original_quiz_id", "peer_reviews_assign_at", "unlock_at"),
)
_NOT = (
    *("anonymize_students", "anonymous_grading", "anonymous_instructor_annotations", "anonymous_peer_reviews"),
    *("automatic_peer_reviews", "due_date_required", "grade_group_students_individually", "graded_submissions_exist"),
    *("graders_anonymous_to_graders", "has_submitted_submissions", "hide_in_gradebook", "important_dates"),
    *("in_closed_grading_period", "intra_group_peer_reviews", "is_quiz_assignment", "locked_for_user"),
    *("moderated_grading", "new_quizzes_anonymous_participants", "peer_reviews", "post_manually", "post_to_sis"),
    *("require_lockdown_browser", "restrict_quantitative_data", "suppress_assignment"),
)
_NONE = ("grader_count", "needs_grading_count", "peer_review_count")


def _named(part: str) -> tuple[str, str]:
    """How an object is named in a path: by its id, by one of the district's, or by that in hex."""
    text = unquote(part)
    if text.startswith("hex:"):
        kind, _, digits = text.removeprefix("hex:").partition(":")
        return kind, bytes.fromhex(digits).decode()
    kind, colon, id = text.partition(":")
    return (kind, id) if colon else ("id", text)


def _user(one: User) -> dict[str, Any]:
    given, _, family = one.name.rpartition(" ")
    told = {"id": one.id, "name": one.name, "short_name": one.name, "sortable_name": f"{family}, {given}"}
    return told | {"sis_user_id": one.sis, "integration_id": None, "login_id": f"user-{one.id}"}


def _course(one: Course) -> dict[str, Any]:
    told: dict[str, Any] = dict.fromkeys(_NOTHING_OF_A_COURSE) | dict.fromkeys(_NOT_A_COURSE, False)
    return told | {
        "id": one.id,
        "name": one.name,
        "course_code": one.sis,
        "sis_course_id": one.sis,
        "account_id": 1,
        "root_account_id": 1,
        "enrollment_term_id": 1,
        "calendar": {},
        "default_view": "modules",
        "enrollments": [],
        "storage_quota_mb": 500,
        "time_zone": "America/Denver",
        "workflow_state": one.state,
    }


_NOTHING_OF_A_COURSE = (
    *("course_color", "end_at", "friendly_name", "grade_passback_setting", "grading_standard_id", "integration_id"),
    *("license", "start_at"),
)
_NOT_A_COURSE = (
    *("apply_assignment_group_weights", "blueprint", "hide_final_grades", "homeroom_course", "is_public"),
    *("is_public_to_auth_users", "public_syllabus", "public_syllabus_to_auth", "template"),
    "restrict_enrollments_to_course_dates",
)


def _column(one: Column) -> dict[str, Any]:
    told = {"id": one.id, "title": one.title, "position": one.id, "hidden": one.hidden}
    return told | {"read_only": one.read_only, "teacher_notes": one.teacher_notes}


def _time(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def _gone() -> Response:
    return _errors("The specified resource does not exist.", 404)


def _errors(message: str, status_code: int, **more: str) -> Response:
    return JSONResponse({**more, "errors": [{"message": message}]}, status_code)


def _invalid(field: str, kind: str) -> Response:
    told = {"attribute": field, "type": kind, "message": kind}
    return JSONResponse({"errors": {field: [told]}}, 400)
