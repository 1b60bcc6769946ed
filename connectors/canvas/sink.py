"""How a plan stands in Canvas: an assignment for one student alone that counts for nothing, and a cell for staff."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from connectors.canvas.reading import Course, Marked, Student, digest, is_ours, marked, same_words
from connectors.canvas.recall import Recall
from connectors.canvas.server import Server, Unwilling, by_sis
from connectors.canvas.settings import CanvasSettings, auth
from gateway.connector import Announce, Document, Finding, Judgement, Loss, Receipt, Viewer
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

    A course may get another SIS id, and its old one be given to another course, so each remote id begins with Canvas'
    own of the course: `12/345` is assignment 345 of course 12, `12/` one that may have been made there and whose number
    nobody heard, `12/6/78` the cell of user 78 in column 6.
    """

    def __init__(self, server: Server) -> None:
        self._server = server
        self._ids: dict[str, str] = {}
        self._recall = Recall()
        self._announce: Announce | None = None

    def know(self, document: Document, remote_id: str) -> None:
        self._ids[document.name] = remote_id

    def announcing(self, announce: Announce) -> None:
        self._announce = announce

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
            staff = await self._staff_of(spot.course.id, document)
            if document.resource == CELLS:
                return staff
            student = Viewer("student", str(document.body["student"]), spot.student.name)
            return list(dict.fromkeys([student, *await self._observers(spot), *staff]))
        except Unwilling as refusal:
            raise refusal.error from None

    async def _left_behind(self, document: Document) -> list[Viewer]:
        """Of what was written while the student was in the course: its staff go on seeing it."""
        course, id, _ = self._known(document)
        return await self._staff_of(course, document) if id else []

    async def _staff_of(self, course: int, document: Document) -> list[Viewer]:
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
            _, there = await self._there(document)
        except Unwilling as refusal:
            raise refusal.error from None
        return there is not None and bool(revision) and digest(there) != revision

    async def read_back(self, document: Document) -> dict[str, Any] | None:
        """The object in the words of the document. Where Canvas spells the same text in its own way, ours stands; where
        it is not this student's alone any more, or is shown to nobody, it is not `student`'s."""
        try:
            course, there = await self._there(document)
            theirs = there is not None and (
                document.resource != ASSIGNMENTS or await self._is_theirs(document, course, there)
            )
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
                told |= {} if theirs else {"student": ""}
                return told | ({} if same else {"description": there.get("description") or ""})
            case "gradebook_cells":
                return told | {"content": there.get("content")}
        return told

    async def delete(self, document: Document) -> Receipt:
        """Take back the assignment, and each copy of it in its course; or empty the cell. A column is shared."""
        try:
            if document.resource == COLUMNS:
                return Receipt(200, unchanged=True)
            course, id, _ = self._known(document)
            if not course:
                named = await self._course(str(document.key["course"]))
                course = named.id if named else 0
            if not course:
                return Receipt(200, unchanged=True)
            if document.resource == CELLS:
                return await self._empty(document, course)
            gone = await self._take_all(course, id, _marker(document))
            return Receipt(200, self._ids.get(document.name, ""), unchanged=not gone)
        except Unwilling as refusal:
            return refusal.receipt

    async def end(self, document: Document, on: date) -> Receipt:
        """What the plan has no more, in a course that was switched off or for staff who want no column, goes."""
        return await self.delete(document)

    async def close(self) -> None:
        """Nothing is held open: the transport belongs to the caller."""

    async def _push_assignment(self, document: Document) -> Receipt:
        spot = await self._spot(document)
        if isinstance(spot, Receipt):
            return spot
        course = spot.course.id
        before, id, _ = self._known(document)
        if before and before != course:
            await self._take_all(before, id, _marker(document))  # the SIS id leads to another course by now
            id = ""
        if id and await self._assignment(course, id) is None:
            id = ""  # somebody deleted it
        adopted = False
        if not id:
            bearing = await self._marked(course, _marker(document))
            if len(bearing) > 1:
                return Receipt(409, message=_SEVERAL)
            # What is remembered of a course may be minutes old.
            if bearing and await self._assignment(course, bearing[0]) is not None:
                id, adopted = bearing[0], True
        await self._tell(document, f"{course}/{id}")
        return await self._write_assignment(document, spot, id, adopted)

    async def _write_assignment(self, document: Document, spot: _Spot, id: str, adopted: bool) -> Receipt:
        """A new one is published once it is seen to be for this student alone: Canvas mails the class what is."""
        course, is_new = spot.course.id, not id
        wire = _wire(document, spot.student) | {"published": not is_new}
        place = f"courses/{course}/assignments"
        if is_new:
            try:
                made = await self._server.write("POST", place, {"assignment": wire}, "make an assignment")
            except BaseException:
                self._recall.forget(("marked", course))  # it may be there all the same
                raise
        else:
            made = await self._server.write("PUT", f"{place}/{id}", {"assignment": wire}, "change an assignment")
        id = str(made.get("id") or id)
        if not id:
            return Receipt(0, message=_UNNAMED)
        if is_new:
            (await self._looked_through(course)).append(Marked(id, _marker(document), frozenset()))
            self.know(document, f"{course}/{id}")
        if not (is_ours(made) and await self._is_alone(course, id, spot.student.id)):
            await self._take(course, id)
            return Receipt(409, message=_SHOWN)
        if is_new:
            shown = {"assignment": {"published": True}}
            made = await self._server.write("PUT", f"{place}/{id}", shown, "publish an assignment")
        there = await self._assignment(course, id)
        return Receipt(200, f"{course}/{id}", revision=digest(there or made), adopted=adopted)

    async def _tell(self, document: Document, remote_id: str) -> None:
        """Before it is written, so that of what is never answered it is known in which course it is."""
        if self._announce is not None and self._ids.get(document.name) != remote_id:
            await self._announce(document, remote_id)
            self.know(document, remote_id)

    async def _is_alone(self, course: int, id: str, student: int) -> bool:
        """Whether it is for this student and nobody else."""
        place = f"courses/{course}/assignments/{id}/overrides"
        overrides = await self._server.rows(place, "tell for whom an assignment is")
        return [one.get("student_ids") for one in overrides] == [[student]]

    async def _is_theirs(self, document: Document, course: int, there: dict[str, Any]) -> bool:
        student = await self._student(str(document.body["student"]))
        shown = there.get("published") is not False and is_ours(there)
        return shown and student is not None and await self._is_alone(course, str(there["id"]), student.id)

    async def _push_column(self, document: Document) -> Receipt:
        course = await self._course(str(document.key["course"]))
        if course is None:
            return Receipt(404, message=_no_course(str(document.key["course"])))
        columns = await self._columns(course.id, str(document.key["title"]))
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
        columns = await self._columns(spot.course.id, str(document.key["title"]))
        if len(columns) != 1:
            return Receipt(409, message=_COLUMNS)
        course, column = spot.course.id, str(columns[0]["id"])
        made = await self._write_cell(course, column, spot.student.id, str(document.body["content"]))
        return Receipt(200, f"{course}/{column}/{spot.student.id}", revision=digest(made))

    async def _empty(self, document: Document, course: int) -> Receipt:
        """A student has one cell: what is another plan's by now is left. Where it stands was written down; else it is
        found by the plan's address in it."""
        plan = str(document.key["plan"])
        _, known, student = self._known(document)
        title = str(document.key["title"])
        columns = [known] if known else [str(one["id"]) for one in await self._columns(course, title)]
        emptied = False
        for column in columns:
            for cell in await self._cells(course, column):
                content = str(cell.get("content") or "")
                ours = plan in content or (str(cell.get("user_id")) == student and not re.search(_A_PLAN, content))
                if ours and content:
                    await self._write_cell(course, column, int(cell["user_id"]), "")
                    emptied = True
        return Receipt(200, unchanged=not emptied)

    async def _write_cell(self, course: int, column: str, student: int, content: str) -> dict[str, Any]:
        """# Canvas: Update column data; an empty one takes the cell away"""
        place = f"courses/{course}/custom_gradebook_columns/{column}/data/{student}"
        return await self._server.write("PUT", place, {"column_data": {"content": content}}, "fill a gradebook column")

    async def _take_all(self, course: int, id: str, marker: str) -> bool:
        """Whether something was there: the one that is known first, then whatever else bears the marker."""
        gone = [await self._take(course, id)] if id else []
        try:
            rows = await self._server.rows(f"courses/{course}/assignments", "list assignments")
        except Unwilling as refusal:
            if refusal.status != 404:
                raise
            rows = []  # the course is gone, and all that was in it
        found = [one.id for one in map(marked, rows) if one.bears(marker) and one.id != id]
        self._recall.forget(("marked", course))
        return any([*gone, *[await self._take(course, one) for one in found]])

    async def _take(self, course: int, id: str) -> bool:
        """Whether it was there. # Canvas: Delete an assignment"""
        self._recall.forget(("marked", course))
        try:
            await self._server.write("DELETE", f"courses/{course}/assignments/{id}", None, "delete an assignment")
        except Unwilling as refusal:
            if refusal.status != 404:
                raise
            return False
        return True

    def _known(self, document: Document) -> tuple[int, str, str]:
        """Course, object, and of a cell whose it is, as far as they were written down."""
        course, id, student, *_ = [*self._ids.get(document.name, "").split("/"), "", "", ""]
        return int(course or 0), id, student

    async def _there(self, document: Document) -> tuple[int, dict[str, Any] | None]:
        """Where it is, and what."""
        where, id, _ = self._known(document)
        if document.resource == ASSIGNMENTS and id:
            return where, await self._assignment(where, id)
        course = await self._course(str(document.key["course"]))
        if course is None:
            return 0, None
        if document.resource == COLUMNS:
            return course.id, next(iter(await self._columns(course.id, str(document.key["title"]))), None)
        if document.resource == CELLS:
            return course.id, await self._cell(document, course.id)
        found = next(iter(await self._marked(course.id, _marker(document))), "")
        return course.id, await self._assignment(course.id, found) if found else None

    async def _cell(self, document: Document, course: int) -> dict[str, Any] | None:
        student = await self._student(str(document.body["student"]))
        columns = await self._columns(course, str(document.key["title"]))
        if student is None or not columns:
            return None
        cells = await self._cells(course, str(columns[0]["id"]))
        return next((one for one in cells if one.get("user_id") == student.id), None)

    async def _cells(self, course: int, column: str) -> list[dict[str, Any]]:
        place = f"courses/{course}/custom_gradebook_columns/{column}/data"
        try:
            return await self._server.rows(place, "read a gradebook column", [("include_hidden", "true")])
        except Unwilling as refusal:
            if refusal.status != 404:
                raise
            return []

    async def _assignment(self, course: int, id: str) -> dict[str, Any] | None:
        found = await self._server.found(f"courses/{course}/assignments/{id}", "read an assignment")
        return None if found is None or found.get("workflow_state") == "deleted" else found

    async def _marked(self, course: int, marker: str) -> list[str]:
        """The assignments with our marker; of those made by copying one, which lack the integration id, only if none
        has it."""
        bearing = [one for one in await self._looked_through(course) if one.bears(marker)]
        return [one.id for one in bearing if one.own == marker] or [one.id for one in bearing]

    async def _looked_through(self, course: int) -> list[Marked]:
        """A course of five hundred has as many assignments of ours: they are not read anew for each."""

        async def ask() -> list[Marked]:
            rows = await self._server.rows(f"courses/{course}/assignments", "list assignments")
            return [one for one in map(marked, rows) if one.own or one.told]

        return await self._recall(("marked", course), ask)

    async def _columns(self, course: int, title: str) -> list[dict[str, Any]]:
        place = f"courses/{course}/custom_gradebook_columns"
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
        async def ask() -> Course | None:
            place = named if named.isdecimal() else by_sis("sis_course_id", named.removeprefix("sis_course_id:"))
            found = await self._server.found(f"courses/{place}", "read a course")
            return Course(int(found["id"]), str(found.get("workflow_state") or "")) if found else None

        return await self._recall(("course", named), ask)

    async def _student(self, number: str) -> Student | None:
        async def ask() -> Student | None:
            found = await self._server.found(f"users/{by_sis('sis_user_id', number)}", "read a user")
            return await self._in_courses(found) if found else None

        return await self._recall(("student", number), ask)

    async def _in_courses(self, user: dict[str, Any]) -> Student:
        states = [("type[]", "StudentEnrollment"), ("state[]", "active"), ("state[]", "invited")]
        rows = await self._server.rows(f"users/{user['id']}/enrollments", "tell which courses a student is in", states)
        return Student(int(user["id"]), str(user.get("name") or ""), frozenset(int(one["course_id"]) for one in rows))

    async def _enrolled(self, course: int) -> list[dict[str, Any]]:
        """Staff and observers of a course. # Canvas: who taught it goes on reading when that has concluded"""

        async def ask() -> list[dict[str, Any]]:
            asked = [("type[]", kind) for kind in (*_STAFF, "ObserverEnrollment")]
            asked += [("state[]", state) for state in ("active", "invited", "completed")]
            return await self._server.rows(f"courses/{course}/enrollments", "tell who is in a course", asked)

        return await self._recall(("enrolled", course), ask)

    async def _observers(self, spot: _Spot) -> list[Viewer]:
        """By the account, and by this course alone."""
        place = f"users/{spot.student.id}/observers"
        linked = await self._server.rows(place, "tell who observes a student")
        here = [
            one.get("user") or {}
            for one in await self._enrolled(spot.course.id)
            if one["type"] == "ObserverEnrollment" and one.get("associated_user_id") == spot.student.id
        ]
        people = {one.get("id"): one for one in [*here, *linked]}
        return [Viewer("guardian", *_who({"user": one})) for one in people.values()]


_GRADERS = ("TeacherEnrollment", "TaEnrollment")
_STAFF = (*_GRADERS, "DesignerEnrollment")
_A_PLAN = r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"


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
