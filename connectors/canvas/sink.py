"""How a plan stands in Canvas: an assignment for one student alone that counts for nothing, and a cell for staff."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from connectors.canvas.reading import Course, Student, digest, is_ours, same_words
from connectors.canvas.server import Server, Unwilling, by_sis
from connectors.canvas.settings import CanvasSettings, auth
from gateway.connector import Document, Finding, Judgement, Loss, Receipt, Viewer
from gateway.http import Http

ASSIGNMENTS, COLUMNS, CELLS = "assignments", "gradebook_columns", "gradebook_cells"


async def open_sink(settings: CanvasSettings, http: Http) -> "CanvasSink":
    """Nothing is asked yet."""
    return CanvasSink(Server(settings.base_url, http, agreed=auth(settings) is not None))


@dataclass(frozen=True)
class _Spot:
    """Where a document goes: a course, and the student who is in it."""

    course: Course
    student: Student


class CanvasSink:
    """A Canvas, opened for writing.

    An assignment bears the plan's marker as its integration id, which Canvas keeps where the account may manage SIS
    data, and always in its link. It is found by that before a second one is made.
    """

    def __init__(self, server: Server) -> None:
        self._server = server
        self._ids: dict[str, str] = {}
        self._courses: dict[str, Course | None] = {}
        self._students: dict[str, Student | None] = {}
        self._staff: dict[int, list[dict[str, Any]]] = {}

    def know(self, document: Document, remote_id: str) -> None:
        self._ids[document.name] = remote_id

    async def check(self) -> Sequence[Finding]:
        """Who we are there. Which courses may be written to shows when a plan is looked at: only then it is known which
        they are."""
        if not self._server.agreed:
            fix = "Save it, and run `planbridge connections authorize` with the name of this connection."
            return [Finding(False, "Nobody has let Planbridge into this Canvas yet.", fix)]
        try:
            me = await self._server.found("users/self", "tell who it is")
        except Unwilling as refusal:
            return [Finding(False, refusal.error.message, refusal.error.fix)]
        return [Finding(True, f"Canvas lets Planbridge in as {(me or {}).get('name') or 'an account without a name'}.")]

    async def judge(self, documents: Sequence[Document]) -> Judgement:
        """What goes to a course that the student is not in is left out; a course that is not open is a problem."""
        problems: dict[str, None] = {}
        kept: list[Document] = []
        elsewhere = []
        try:
            for document in documents:
                spot = await self._spot(document) if document.resource != COLUMNS else None
                if spot is None or isinstance(spot, _Spot):
                    kept.append(document)
                elif spot.waits:
                    elsewhere.append(document)
                else:
                    problems[spot.message] = None
        except Unwilling as refusal:
            return Judgement((), [refusal.receipt.message])
        homes = {str(one.key["course"]) for one in kept if one.resource != COLUMNS}
        if elsewhere and not homes and not problems:
            problems["The student is in none of the Canvas courses that are switched on for this destination."] = None
        kept = [one for one in kept if one.resource != COLUMNS or str(one.key["course"]) in homes]
        away = dict.fromkeys(str(one.key["course"]) for one in elsewhere)
        losses = [Loss("", "withheld", f"Not in the course {course}: the student is not in it.") for course in away]
        return Judgement(kept, list(problems), losses)

    async def audience(self, document: Document) -> Sequence[Viewer]:
        """The student, everybody who observes them, and the staff of the course; of a cell the graders alone.
        Administrators of the account see all that there is, and are not listed. # Canvas: List observers"""
        if document.resource == COLUMNS:
            return ()
        try:
            spot = await self._spot(document)
            if isinstance(spot, Receipt):
                return await self._left_behind(document) if spot.waits else ()
            staff = await self._staff_of(spot.course, document)
            if document.resource == CELLS:
                return staff
            student = Viewer("student", str(document.body["student"]), spot.student.name)
            return list(dict.fromkeys([student, *await self._observers(spot), *staff]))
        except Unwilling as refusal:
            raise refusal.error from None

    async def _left_behind(self, document: Document) -> list[Viewer]:
        """Of what was written while the student was in the course: its staff go on seeing it."""
        course = await self._course(str(document.key["course"]))
        return await self._staff_of(course, document) if course and self._ids.get(document.name) else []

    async def _staff_of(self, course: Course, document: Document) -> list[Viewer]:
        kinds = _GRADERS if document.resource == CELLS else _STAFF
        staff = [one for one in await self._enrolled(course) if one["type"] in kinds]
        told = [Viewer("teacher" if one["type"] == "TeacherEnrollment" else "staff", *_who(one)) for one in staff]
        return list(dict.fromkeys(told))

    async def push(self, document: Document) -> Receipt:
        try:
            match document.resource:
                case "assignments":
                    return await self._push_assignment(document)
                case "gradebook_columns":
                    return await self._push_column(document)
                case _:
                    return await self._push_cell(document)
        except Unwilling as refusal:
            return refusal.receipt

    async def edited(self, document: Document, revision: str) -> bool:
        """Whether somebody changed the words, or the days. Who sees it is put right with every push."""
        if document.resource == COLUMNS:
            return False
        try:
            there = await self._there(document)
        except Unwilling as refusal:
            raise refusal.error from None
        return there is not None and bool(revision) and digest(there) != revision

    async def read_back(self, document: Document) -> dict[str, Any] | None:
        """The object in the words of the document. Where Canvas spells the same text in its own way, ours stands."""
        try:
            there = await self._there(document)
        except Unwilling as refusal:
            raise refusal.error from None
        if there is None:
            return None
        told = document.body | {
            name: there.get(name) for name in ("name", "due_at", "lock_at") if name in document.body
        }
        match document.resource:
            case "assignments":
                same = same_words(there.get("description"), document.body["description"])
                return told | ({} if same else {"description": there.get("description") or ""})
            case "gradebook_cells":
                return told | {"content": there.get("content")}
        return told

    async def delete(self, document: Document) -> Receipt:
        """Take back the assignment, and each copy of it in its course; or empty the cell. A column is shared."""
        try:
            if document.resource == COLUMNS:
                return Receipt(200, unchanged=True)
            course = await self._course(str(document.key["course"]))
            if course is None:
                return Receipt(200, unchanged=True)
            if document.resource == CELLS:
                return await self._empty(document, course)
            known = self._ids.get(document.name, "")
            ids = [known] if known else []
            ids += [str(one["id"]) for one in await self._bearing(course, _marker(document), copies=True)]
            gone = [await self._take(course, id) for id in dict.fromkeys(ids)]
            return Receipt(200, known, unchanged=not any(gone))
        except Unwilling as refusal:
            return refusal.receipt

    async def close(self) -> None:
        """Nothing is held open: the transport belongs to the caller."""

    async def _push_assignment(self, document: Document) -> Receipt:
        spot = await self._spot(document)
        if isinstance(spot, Receipt):
            return spot
        id, adopted = self._ids.get(document.name, ""), False
        if id and await self._assignment(spot.course, id) is None:
            id = ""  # somebody deleted it
        if not id:
            bearing = await self._bearing(spot.course, _marker(document))
            if len(bearing) > 1:
                return Receipt(409, message=_SEVERAL)
            id, adopted = (str(bearing[0]["id"]), True) if bearing else ("", False)
        wire = {"assignment": _wire(document, spot.student)}
        place = f"courses/{spot.course.id}/assignments"
        if id:
            made = await self._server.write("PUT", f"{place}/{id}", wire, "change an assignment")
        else:
            made = await self._server.write("POST", place, wire, "make an assignment")
        id = str(made.get("id") or id)
        if not id:
            return Receipt(0, message=_UNNAMED)
        if not await self._is_private(spot, id, made):
            await self._take(spot.course, id)
            return Receipt(409, message=_SHOWN)
        there = await self._assignment(spot.course, id)
        return Receipt(200, id, revision=digest(there or made), adopted=adopted)

    async def _is_private(self, spot: _Spot, id: str, made: dict[str, Any]) -> bool:
        """Whether it is what was asked for: for this student alone, and without weight."""
        place = f"courses/{spot.course.id}/assignments/{id}/overrides"
        overrides = await self._server.rows(place, "tell for whom an assignment is")
        return is_ours(made) and [one.get("student_ids") for one in overrides] == [[spot.student.id]]

    async def _push_column(self, document: Document) -> Receipt:
        course = await self._course(str(document.key["course"]))
        if course is None:
            return Receipt(404, message=_no_course(str(document.key["course"])))
        columns = await self._columns(course, str(document.key["title"]))
        if len(columns) > 1:
            return Receipt(409, message=_COLUMNS)
        if columns:
            return Receipt(200, str(columns[0]["id"]), unchanged=True)
        wire = {"title": document.key["title"], "read_only": True, "teacher_notes": False, "hidden": False}
        made = await self._server.write(
            "POST", f"courses/{course.id}/custom_gradebook_columns", {"column": wire}, "make a gradebook column"
        )
        return Receipt(200, str(made.get("id") or ""))

    async def _push_cell(self, document: Document) -> Receipt:
        spot = await self._spot(document)
        if isinstance(spot, Receipt):
            return spot
        columns = await self._columns(spot.course, str(document.key["title"]))
        if len(columns) != 1:
            return Receipt(409, message=_COLUMNS)
        made = await self._write_cell(spot.course, columns[0], spot.student.id, str(document.body["content"]))
        return Receipt(200, f"{columns[0]['id']}/{spot.student.id}", revision=digest(made))

    async def _empty(self, document: Document, course: Course) -> Receipt:
        # Where it stands was written down; else it is found by the plan's address in it.
        places = [tuple(self._ids[document.name].split("/"))] if self._ids.get(document.name) else []
        for column in [] if places else await self._columns(course, str(document.key["title"])):
            cells = await self._cells(course, column)
            places += [
                (str(column["id"]), str(one["user_id"]))
                for one in cells
                if str(document.key["plan"]) in str(one.get("content") or "")
            ]
        for column_id, student_id in places:
            try:
                await self._write_cell(course, {"id": column_id}, int(student_id), "")
            except Unwilling as refusal:
                if refusal.status != 404:
                    raise
        return Receipt(200, unchanged=not places)

    async def _write_cell(self, course: Course, column: dict[str, Any], student: int, content: str) -> dict[str, Any]:
        """# Canvas: Update column data; an empty one takes the cell away"""
        place = f"courses/{course.id}/custom_gradebook_columns/{column['id']}/data/{student}"
        return await self._server.write("PUT", place, {"column_data": {"content": content}}, "fill a gradebook column")

    async def _take(self, course: Course, id: str) -> bool:
        """Whether it was there. # Canvas: Delete an assignment"""
        try:
            place = f"courses/{course.id}/assignments/{id}"
            await self._server.write("DELETE", place, None, "delete an assignment")
        except Unwilling as refusal:
            if refusal.status != 404:
                raise
            return False
        return True

    async def _there(self, document: Document) -> dict[str, Any] | None:
        course = await self._course(str(document.key["course"]))
        if course is None:
            return None
        if document.resource == COLUMNS:
            return next(iter(await self._columns(course, str(document.key["title"]))), None)
        if document.resource == CELLS:
            return await self._cell(document, course)
        if id := self._ids.get(document.name, ""):
            return await self._assignment(course, id)
        return next(iter(await self._bearing(course, _marker(document))), None)

    async def _cell(self, document: Document, course: Course) -> dict[str, Any] | None:
        student = await self._student(str(document.body["student"]))
        columns = await self._columns(course, str(document.key["title"]))
        if student is None or not columns:
            return None
        cells = await self._cells(course, columns[0])
        return next((one for one in cells if one.get("user_id") == student.id), None)

    async def _cells(self, course: Course, column: dict[str, Any]) -> list[dict[str, Any]]:
        place = f"courses/{course.id}/custom_gradebook_columns/{column['id']}/data"
        return await self._server.rows(place, "read a gradebook column", [("include_hidden", "true")])

    async def _assignment(self, course: Course, id: str) -> dict[str, Any] | None:
        found = await self._server.found(f"courses/{course.id}/assignments/{id}", "read an assignment")
        return None if found is None or found.get("workflow_state") == "deleted" else found

    async def _bearing(self, course: Course, marker: str, *, copies: bool = False) -> list[dict[str, Any]]:
        """The assignments with our marker; of those made by copying one, which lack the integration id, only if asked
        for, or if none has it."""
        rows = await self._server.rows(f"courses/{course.id}/assignments", "list assignments")
        ours = [one for one in rows if one.get("integration_id") == marker]
        told = [one for one in rows if marker in (one.get("description") or "")]
        return [*ours, *(one for one in told if one not in ours)] if copies else ours or told

    async def _columns(self, course: Course, title: str) -> list[dict[str, Any]]:
        place = f"courses/{course.id}/custom_gradebook_columns"
        rows = await self._server.rows(place, "list gradebook columns", [("include_hidden", "true")])
        return [one for one in rows if one.get("title") == title]

    async def _spot(self, document: Document) -> _Spot | Receipt:
        """Where it goes; a Receipt that says why it goes nowhere, which `waits` where the student is only elsewhere."""
        named, number = str(document.key["course"]), str(document.body["student"])
        course = await self._course(named)
        if course is None:
            return Receipt(404, message=_no_course(named))
        if course.state != "available":
            return Receipt(
                409, message=f"The Canvas course {named} is {course.state}, so that nobody would see it there."
            )
        student = await self._student(number)
        if student is None:
            return Receipt(404, message=_NOBODY)
        if course.id not in student.courses:
            return Receipt(404, message=f"The student is not in the Canvas course {named}.", waits="enrollment")
        return _Spot(course, student)

    async def _course(self, named: str) -> Course | None:
        if named not in self._courses:
            place = named if named.isdecimal() else by_sis("sis_course_id", named.removeprefix("sis_course_id:"))
            found = await self._server.found(f"courses/{place}", "read a course")
            state = str((found or {}).get("workflow_state") or "")
            self._courses[named] = Course(int(found["id"]), state) if found else None
        return self._courses[named]

    async def _student(self, number: str) -> Student | None:
        if number not in self._students:
            found = await self._server.found(f"users/{by_sis('sis_user_id', number)}", "read a user")
            self._students[number] = await self._in_courses(found) if found else None
        return self._students[number]

    async def _in_courses(self, user: dict[str, Any]) -> Student:
        states = [("type[]", "StudentEnrollment"), ("state[]", "active"), ("state[]", "invited")]
        rows = await self._server.rows(f"users/{user['id']}/enrollments", "tell which courses a student is in", states)
        return Student(int(user["id"]), str(user.get("name") or ""), frozenset(int(one["course_id"]) for one in rows))

    async def _enrolled(self, course: Course) -> list[dict[str, Any]]:
        """Staff and observers of a course."""
        if course.id not in self._staff:
            kinds = [("type[]", kind) for kind in (*_STAFF, "ObserverEnrollment")]
            place = f"courses/{course.id}/enrollments"
            self._staff[course.id] = await self._server.rows(place, "tell who is in a course", kinds)
        return self._staff[course.id]

    async def _observers(self, spot: _Spot) -> list[Viewer]:
        """By the account, and by this course alone."""
        place = f"users/{spot.student.id}/observers"
        linked = await self._server.rows(place, "tell who observes a student")
        here = [
            one.get("user") or {}
            for one in await self._enrolled(spot.course)
            if one["type"] == "ObserverEnrollment" and one.get("associated_user_id") == spot.student.id
        ]
        people = {one.get("id"): one for one in [*here, *linked]}
        return [Viewer("guardian", *_who({"user": one})) for one in people.values()]


_GRADERS = ("TeacherEnrollment", "TaEnrollment")
_STAFF = (*_GRADERS, "DesignerEnrollment")


def _who(enrollment: dict[str, Any]) -> tuple[str, str]:
    """The SIS id, where the account may see it, and the name."""
    user = enrollment.get("user") or {}
    return str(user.get("sis_user_id") or enrollment.get("sis_user_id") or ""), str(user.get("name") or "")


def _marker(document: Document) -> str:
    """Of what is taken back only the key is known."""
    return f"urn:uuid:{document.key['plan']}"


def _wire(document: Document, student: Student) -> dict[str, Any]:
    """# Canvas: Create an assignment. Days stand in the override too, where the student's own are looked for."""
    days = {name: document.body.get(name) for name in ("due_at", "lock_at")}
    return {
        "name": document.body["name"],
        "description": document.body["description"],
        **days,
        "points_possible": 0,
        "grading_type": "not_graded",
        "submission_types": ["not_graded"],
        "omit_from_final_grade": True,
        "only_visible_to_overrides": True,
        "assignment_overrides": [{"student_ids": [student.id], **days}],
        "integration_id": _marker(document),
        "published": True,
    }


_SEVERAL = (
    "Several assignments of this course bear the mark of this plan, perhaps because one was copied. Delete all but one"
    " there, and send it again."
)
_SHOWN = (
    "Canvas did not keep it for this student alone and without a grade, so it was taken back at once. Ask whoever runs"
    " Canvas whether assignments may be given to single students."
)
_UNNAMED = "Canvas took it and does not say under which id. Send it again: it is looked for first."
_COLUMNS = (
    "The gradebook of this course must have one column with the title of this destination. Delete what is too much."
)
_NOBODY = "Canvas has nobody with this student's number as SIS ID. See `student_identifier` of this connection."


def _no_course(named: str) -> str:
    return f"Canvas has no course {named}, or does not show it to the account that Planbridge uses."
