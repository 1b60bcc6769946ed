"""How a plan is told in a platform's gradebook: one column for a course, in it a comment for a student and no score."""

import asyncio
import hashlib
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from connectors.lti.services import AGS, NRPS, Member, No, Result, Services
from connectors.lti.settings import LtiSettings
from gateway.connector import Announce, Document, Finding, Judgement, Loss, Receipt, Viewer
from gateway.errors import ConfigError
from gateway.http import Http, Reply

NEUTRAL = "Nothing stands here any more."
"""What takes the place of a comment that is taken back, where the column has to stay for others. Some platforms keep
what stood there before it among the comments of a submission."""
_SERVICES = {
    f"{AGS}/lineitem": "make a column (Assignment and Grade Services: manage line items)",
    f"{AGS}/score": "write a comment (Assignment and Grade Services: scores)",
    f"{AGS}/result.readonly": "read what stands in its column (Assignment and Grade Services: results)",
    NRPS: "list who is in a course (Names and Role Provisioning)",
}
_TEACHERS = {"Instructor", "TeachingAssistant", "ContentDeveloper", "Administrator"}
_FAMILY = {"Mentor", "Observer"}


async def open_sink(settings: LtiSettings, http: Http) -> "CommentSink":
    """The gradebooks of the platform behind `settings`."""
    return CommentSink(http, settings)


class CommentSink:
    """The gradebooks of a platform, opened for writing.

    A column is found by its mark before one is made, and what stands in it is read before it is written: no platform
    has keys of ours, and Canvas adds a comment each time. The remote id is the address of the column and the id that
    the platform gave the student. # AGS 2.0, NRPS 2.0
    """

    def __init__(self, http: Http, settings: LtiSettings) -> None:
        self._settings = settings
        self._services = Services(http, settings.trusted_number)
        self._known: dict[str, str] = {}
        self._columns: dict[str, str] = {}
        self._turns: dict[str, asyncio.Lock] = {}
        self._announce: Announce | None = None
        self._last = datetime.min.replace(tzinfo=UTC)

    def know(self, document: Document, remote_id: str) -> None:
        self._known[document.name] = remote_id

    def announcing(self, announce: Announce) -> None:
        self._announce = announce

    async def check(self) -> Sequence[Finding]:
        """Whether the platform gives us a token, and for what; where it is only opened there is nothing to ask."""
        if not self._settings.token_url:
            return [Finding(True, "The platform opens our tool; it has no token address, so nothing is written there.")]
        if not self._settings.tool_key.get_secret_value():
            return [Finding(True, "What it grants our tool is seen once this is saved: planbridge check.")]
        if self._settings.trusted_number == "none":
            return [Finding(False, _UNTRUSTED, "docs/lti.md says what to look at first.")]
        granted = (await self._services.http.token()).scope.split()
        missing = [name for scope, name in _SERVICES.items() if scope not in granted]
        if not missing:
            return [Finding(True, "The platform lets our tool list members, and make and fill a column of ours.")]
        fix = "Have these services switched on for the tool; the platform may call them otherwise."
        return [Finding(False, f"The platform does not let our tool {'; '.join(missing)}.", fix)]

    async def judge(self, documents: Sequence[Document]) -> Judgement:
        """Only those for courses that the student is in."""
        kept, problems, losses = [], [], []
        for document in documents:
            found = await self._member(document)
            if isinstance(found, Member):
                kept.append(document)
            elif found.message == _NOBODY:
                losses.append(Loss("", "cannot", f"Nothing is sent to course {document.key['context']}. {_NOBODY}"))
            else:
                problems.append(found.message)
        if problems:
            return Judgement((), list(dict.fromkeys(problems)))
        return Judgement(kept, losses=losses)

    async def audience(self, document: Document) -> Sequence[Viewer]:
        """Who reads a comment in a gradebook: the student, whoever teaches the course, and those whom the platform
        lets look over the student's shoulder, whom it seldom names."""
        members = await self._services.members(document.body["course"]["memberships"])
        if isinstance(members, No):
            raise ConfigError("lti-no-members", _refused(members.reply).message, "Have names and roles switched on.")
        number = document.body["person"]
        student = next((one for one in members if number in one.numbers), None)
        if student is None:
            return []  # nothing is written there
        viewers = [Viewer("student", number, student.name)]
        for one in members:
            number = one.numbers[0] if one.numbers else ""
            if one.roles & _TEACHERS:
                viewers.append(Viewer("teacher", number, one.name))
            elif one.roles & _FAMILY:
                viewers.append(Viewer("guardian", number, one.name))
        return [*viewers, Viewer("guardian")]

    async def push(self, document: Document) -> Receipt:
        """Write the comment, unless the very same stands there. A column that was known and that somebody deleted since
        then is looked up once more, or made again."""
        member = await self._member(document)
        if isinstance(member, Receipt):
            return member
        for _ in range(2):
            column = await self._column(document)
            if isinstance(column, Receipt):
                return column
            receipt = await self._write(document, column, member)
            if receipt.status not in (404, 410):
                break
            self._forget(column)
        return receipt

    async def _write(self, document: Document, column: str, member: Member) -> Receipt:
        remote_id = f"{column} {member.id}"
        comment = document.body["score"]["comment"]
        found = await self._result(column, member.id)
        if found is not None and found.comment == comment:
            return Receipt(200, remote_id, _revision(found), unchanged=True, adopted=True)
        if self._announce:
            await self._announce(document, remote_id)
        reply = await self._services.put_score(column, self._score(document.body["score"], member.id))
        found = await self._result(column, member.id)
        if reply.status == 409 and found is not None and found.comment == comment:
            return Receipt(200, remote_id, _revision(found), unchanged=True)
        if not _took(reply):
            if self._announce and not self._known.get(document.name):
                await self._announce(document, "")
            return _refused(reply)
        return Receipt(reply.status, remote_id, _revision(found))

    async def edited(self, document: Document, revision: str) -> bool:
        """Whether another comment stands there, or a score, which we never give."""
        column, person = self._place(document)
        found = await self._result(column, person) if column and revision else None
        return found is not None and _revision(found) != revision

    async def read_back(self, document: Document) -> dict[str, Any] | None:
        column, person = self._place(document)
        found = await self._result(column, person) if column else None
        if found is None or found.comment in ("", NEUTRAL):
            return None
        return {**document.body, "score": {**document.body.get("score", {}), "comment": found.comment}}

    async def delete(self, document: Document) -> Receipt:
        """Take a comment back: with its column where nobody else has anything in it, else another takes its place."""
        column, person = self._place(document)
        if not column:
            return Receipt(200, unchanged=True)  # it was never sent: each is announced before
        results = await self._services.results(column)
        if isinstance(results, No):
            return Receipt(200, unchanged=True) if results.reply.status in (404, 410) else _refused(results.reply)
        others = [one for one in results if one.person != person and not one.is_empty and one.comment != NEUTRAL]
        mine = next((one for one in results if one.person == person), None)
        if not others and (mine is None or mine.score is None):
            refused = await self._services.drop_column(column)
            self._forget(column)
            return _refused(refused.reply) if refused else Receipt(200)
        if mine is None or mine.comment in ("", NEUTRAL):
            return Receipt(200, unchanged=True)
        empty = {"activityProgress": "Initialized", "gradingProgress": "NotReady", "comment": NEUTRAL}
        reply = await self._services.put_score(column, self._score(empty, person))
        return Receipt(200) if _took(reply) else _refused(reply)

    async def close(self) -> None:
        """Nothing is held open: the transport belongs to the caller."""

    async def _member(self, document: Document) -> Member | Receipt:
        """The student as the platform knows them: by the district's number and by nothing else."""
        course, number = document.body["course"], document.body["person"]
        if self._settings.trusted_number == "none":
            return Receipt(422, message=_UNTRUSTED)
        if not course["memberships"] or not course["lineItems"]:
            return Receipt(422, message=_OFF)
        members = await self._services.members(course["memberships"])
        if isinstance(members, No):
            return _refused(members.reply)
        found = {one.id: one for one in members if number in one.numbers and one.id}
        if len(found) > 1:
            return Receipt(409, message=_TWO)
        if not found:
            without = members and not any(one.numbers for one in members)
            return Receipt(422, message=_NO_NUMBERS if without else _NOBODY)
        return next(iter(found.values()))

    async def _column(self, document: Document) -> str | Receipt:
        """The column of the course: the one that bears our mark, or a new one. One plan at a time looks for it: two
        would each make one."""
        url, wanted = document.body["course"]["lineItems"], document.body["lineItem"]
        async with self._turns.setdefault(url, asyncio.Lock()):
            return self._columns.get(url) or await self._found_or_made(url, wanted)

    async def _found_or_made(self, url: str, wanted: dict[str, Any]) -> str | Receipt:
        found = await self._services.columns(url, wanted["resourceId"])
        if not found:
            made = await self._services.add_column(url, wanted)
            if isinstance(made, No):
                return _refused(made.reply)
            found = [made] if made else await self._services.columns(url, wanted["resourceId"])
        if isinstance(found, No):
            return _refused(found.reply)
        if len(found) != 1:
            return Receipt(409, message=_COLUMNS if found else _UNNAMED)
        self._columns[url] = found[0]
        return found[0]

    def _forget(self, column: str) -> None:
        self._columns = {course: one for course, one in self._columns.items() if one != column}

    async def _result(self, column: str, person: str) -> Result | None:
        """What stands in a column for a person; None where nothing does, or it may not be read."""
        found = await self._services.results(column, person)
        return next(iter(found), None) if not isinstance(found, No) else None

    def _place(self, document: Document) -> tuple[str, str]:
        column, _, person = self._known.get(document.name, "").partition(" ")
        return column, person

    def _score(self, score: dict[str, Any], person: str) -> dict[str, Any]:
        # Of now and not of the plan's version: what was taken back and is sent again is later than both. Each is later
        # than the one before it: a platform refuses what is not, and some keep milliseconds only. # AGS 2.0 3.4.5
        self._last = max(datetime.now(UTC), self._last + timedelta(milliseconds=1))
        return {**score, "userId": person, "timestamp": self._last.isoformat(timespec="milliseconds")[:-6] + "Z"}


def _took(reply: Reply) -> bool:
    return reply.status in (200, 201, 202, 204)


def _revision(found: Result | None) -> str:
    """Of what stands there, as it was read back: platforms change white space and signs."""
    return hashlib.sha256(f"{found.score}\n{found.comment}".encode()).hexdigest()[:32] if found else ""


_OFF = (
    "The platform offers this tool no gradebook or no list of members in this course. Have both services switched on"
    " for the tool (IMS LTI Assignment and Grade Services; Names and Role Provisioning), then open the tool in the"
    " course once."
)
_UNTRUSTED = (
    "It is not said yet which number in this platform tells people apart. Look who can change it there, and set"
    " `trusted_number`."
)
_NOBODY = "The student is not in this course there, by the number that both systems know."
_NO_NUMBERS = (
    "The platform tells nobody's number in this course, so that nobody can be recognised. Have it send"
    " lis_person_sourcedid (Moodle: the ID number of the user; Canvas: the SIS id)."
)
_TWO = "Two people in this course have this student's number there. Have one of them put right; nothing was sent."
_COLUMNS = (
    "The course has more than one column with our mark, perhaps because it was copied. Have all but one of them"
    " deleted there, then send the plan again."
)
_UNNAMED = "The platform took the column and does not show it. Ask whoever runs it whether the tool may read columns."


def _refused(reply: Reply) -> Receipt:
    match reply.status:
        case 403:
            message = "The platform does not let this tool do that. Have its services switched on, with all scopes."
        case 404 | 410:
            message = (
                "The platform does not know this course or this column any more. Open the tool in the course once."
            )
        case 409:
            message = "The platform has something newer for this student, which is not ours. Look at it there."
        case 400 | 412 | 422:
            message = (
                "The platform refused it. Usual causes: the person is no student of the course there, or the course"
                " is not published."
            )
        case _:
            message = "The platform refused it; ask whoever runs it why."
    return Receipt(reply.status, message=message, trace=reply.correlation_id)
