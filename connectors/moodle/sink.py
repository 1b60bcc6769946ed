"""How a finished plan and what belongs to it are written to a Moodle, found again there, and taken back."""

from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, date, datetime
from functools import partial
from typing import Any

from connectors.moodle.beside import Comments, Domains, Team
from connectors.moodle.client import Moodle, Problem, refused
from connectors.moodle.people import Account, Accounts
from connectors.moodle.plans import LearningPlans, There, Wanted, is_over, revision, said
from connectors.moodle.probe import check
from connectors.moodle.settings import MoodleSettings
from gateway.connector import Announce, Document, Finding, Receipt, Viewer
from gateway.http import Http

PLAN, TEAM = "learningPlans", "teamRoles"
FRAMEWORK, DOMAIN = "competencyFrameworks", "competencies"
IN_PLAN, COMMENT = "planCompetencies", "planComments"


async def open_sink(settings: MoodleSettings, http: Http) -> "MoodleSink":
    return MoodleSink(settings, http)


class MoodleSink:
    """A Moodle, opened for writing.

    What it gives has ids of its own, so each remote id begins with the account's: `5/17` is plan 17 of account 5, `5/`
    one of account 5 that may have been made and whose number nobody heard, `5/4/12` role 12 of account 4 there.
    """

    admits = (TEAM,)

    def __init__(self, settings: MoodleSettings, http: Http) -> None:
        self._settings = settings
        self._moodle = Moodle(settings, http)
        self._accounts = Accounts(self._moodle)
        self._plans = LearningPlans(self._moodle)
        self._team = Team(self._moodle)
        self._domains = Domains(self._moodle, settings.scale)
        self._comments = Comments(self._moodle)
        self._ids: dict[str, str] = {}
        self._announce: Announce | None = None

    def know(self, document: Document, remote_id: str) -> None:
        self._ids[document.name] = remote_id

    def announcing(self, announce: Announce) -> None:
        self._announce = announce

    async def close(self) -> None:
        """Nothing is held open: the transport belongs to the caller."""

    async def check(self) -> Sequence[Finding]:
        return await check(self._moodle, self._settings)

    async def expect(self, documents: Sequence[Document]) -> None:
        """Whose accounts these are, in one question for all of them."""
        numbers = [one.body.get(who) for one in documents for who in ("student", "member")]
        await self._accounts.expect(number for number in numbers if number)

    async def push(self, document: Document) -> Receipt:
        match document.resource:
            case "learningPlans":
                return await self._push_plan(document)
            case "teamRoles":
                return await self._push_role(document)
            case "competencyFrameworks":
                return await self._domains.framework(document)
            case "competencies":
                return await self._domains.domain(document)
            case "planCompetencies":
                return await self._push_domain(document)
            case _:
                return await self._push_comment(document)

    async def _push_plan(self, document: Document) -> Receipt:
        """Made once: without an id of Moodle's what bears our marker is looked for, also after an answer that never
        came."""
        body = document.body
        account = await self._accounts.one(body["student"], "the student")
        if isinstance(account, Receipt):
            return account
        user, plan = self._numbers(document)
        if user and user != account.id:
            return Receipt(409, message=_MOVED)
        wanted = Wanted(body["name"], body["description"], body["due"], body["ended"], body["marker"])
        there = await self._plans.read(plan) if plan else None
        adopted = False
        if there is None:
            marked = await self._plans.marked(account.id, wanted.marker)
            if isinstance(marked, Problem):
                return refused(marked, "the question for the student's plans")
            if len(marked) > 1:
                return Receipt(409, message=f"{len(marked)} learning plans of the student bear our marker. {_SEVERAL}")
            there, adopted = (marked[0], True) if marked else (None, False)
        if isinstance(there, Problem):
            return refused(there, "the question for the plan")
        if there is None:
            await self._tell(document, f"{account.id}/")  # also in the place of one that somebody deleted
            made = await self._plans.create(account.id, wanted)
        else:
            await self._tell(document, f"{account.id}/{there['id']}")
            made = await self._plans.update(there, wanted)
        if isinstance(made, Problem):
            return refused(made, "the plan")
        id = f"{account.id}/{made['id']}"
        self.know(document, id)
        return Receipt(200 if there else 201, id, revision(made, wanted.ended), adopted=adopted)

    async def _push_role(self, document: Document) -> Receipt:
        """The member gets the team's role in the context of this one student; once more changes nothing."""
        body = document.body
        student = await self._accounts.one(body["student"], "the student")
        if isinstance(student, Receipt):
            return student
        member = await self._accounts.one(body["member"], f"the team's {body['as']} ({body['member']})")
        if isinstance(member, Receipt):
            return member
        id = f"{student.id}/{member.id}/{body['role']}"
        if (before := self._ids.get(document.name)) and before != id:
            return Receipt(409, message=_MOVED)
        await self._tell(document, id)
        problem = await self._team.assign(student.id, member.id, int(body["role"]))
        return refused(problem, "a member of the team") if problem else Receipt(200, id)

    async def _push_domain(self, document: Document) -> Receipt:
        place = await self._place(document)
        if isinstance(place, Receipt):
            return place
        user, plan = place
        competency = await self._domains.find(document.body["competency"])
        if competency is None or isinstance(competency, Problem):
            lost = competency or Problem("invalidrecord", "core_competency_list_competencies")
            return refused(lost, "a domain")
        problem = await self._while_open(plan, partial(self._domains.add, plan, competency))
        return refused(problem, "a domain of the plan") if problem else Receipt(200, f"{user}/{plan}/{competency}")

    async def _while_open(self, plan: int, act: Callable[[], Awaitable[Problem | None]]) -> Problem | None:
        """A complete plan is reopened for it, and completed again."""
        problem = await act()
        if problem is None or problem.code != "codingerror":
            return problem
        if reopened := await self._plans.reopen(plan):
            return reopened
        problem = await act()
        return await self._plans.complete(plan) or problem

    async def _push_comment(self, document: Document) -> Receipt:
        place = await self._place(document)
        if isinstance(place, Receipt):
            return place
        user, plan = place
        found = await self._comments.find(user, plan, document.key["text"])
        if isinstance(found, int):
            return Receipt(200, f"{user}/{plan}/{found}", adopted=True)
        if found is None:
            await self._tell(document, f"{user}/{plan}/")
            found = await self._comments.add(user, plan, document.key["text"])
        if isinstance(found, Problem):
            return refused(found, "a comment on the plan")
        return Receipt(201, f"{user}/{plan}/{found}")

    async def _place(self, document: Document) -> tuple[int, int] | Receipt:
        """Account and plan to which something belongs: its plan was sent before it, by this sink or by an earlier
        one."""
        account = await self._accounts.one(document.body["student"], "the student")
        if isinstance(account, Receipt):
            return account
        plan = Document(PLAN, {"plan": document.key["plan"]}, {})
        user, number = self._numbers(plan)
        if user == account.id and number:
            return user, number
        marked = await self._plans.marked(account.id, f"urn:uuid:{document.key['plan']}")
        if isinstance(marked, Problem):
            return refused(marked, "the question for the student's plans")
        if len(marked) != 1:
            return Receipt(409, message=_SEVERAL, waits="parent")
        return account.id, int(marked[0]["id"])

    async def edited(self, document: Document, revision_then: str) -> bool:
        """Whether somebody edited the plan in Moodle: its name or text, its day, or that it is over. Roles, domains and
        comments have nothing that can be edited."""
        _, plan = self._numbers(document)
        if document.resource != PLAN or not plan or not revision_then:
            return False
        there = await self._read(plan)
        return there is not None and revision(there, is_over(there)) != revision_then

    async def _read(self, plan: int) -> There | None:
        there = await self._plans.read(plan)
        if isinstance(there, Problem):
            raise there.error
        return there

    async def read_back(self, document: Document) -> dict[str, Any] | None:
        """What stands there, of that of which Moodle tells. It tells nobody who has a role in whose context."""
        user, plan = self._numbers(document)
        match document.resource:
            case "learningPlans":
                there = await self._read(plan) if plan else None
                return None if there is None else _as_sent(document, there)
            case "planComments":
                found = await self._comments.find(user, plan, document.key["text"]) if plan else None
                if isinstance(found, Problem):
                    raise found.error
                return document.body if found else None
            case "planCompetencies":
                has = await self._domains.has(plan, document.body["competency"]) if plan else False
                return document.body if has else None
            case "competencyFrameworks" | "competencies":
                return document.body if await self._domains.there(document) else None
            case _:
                return document.body if self._ids.get(document.name) else None

    async def audience(self, document: Document) -> Sequence[Viewer]:
        """To whom Moodle shows it. Who has a parent's role, or may manage the site, cannot be asked."""
        body = document.body
        if document.resource not in (PLAN, TEAM):
            return ()
        if document.resource == TEAM:
            member = await self._accounts.one(body["member"], "a member of the team")
            return [Viewer("staff", body["member"], member.name if isinstance(member, Account) else "")]
        student = await self._accounts.one(body["student"], "the student")
        seen = [Viewer("student", body["student"], student.name if isinstance(student, Account) else "")]
        seen.append(Viewer("staff", name="whoever manages the site"))
        return [*seen, Viewer("guardian")] if self._settings.parents == "yes" else seen

    async def delete(self, document: Document) -> Receipt:
        """Take one object back; what is gone already counts as taken back."""
        if document.resource == PLAN:
            return await self._delete_plan(document)
        return await self._remove(document)

    async def end(self, document: Document, on: date) -> Receipt:
        """What the plan has no more, a member of its team first of all, is taken away; the plan itself is completed."""
        if document.resource != PLAN:
            return await self._remove(document)
        _, plan = self._numbers(document)
        problem = await self._plans.complete(plan) if plan else None
        return refused(problem, "the plan's end") if problem else Receipt(200, self._ids.get(document.name, ""))

    async def _delete_plan(self, document: Document) -> Receipt:
        user, plan = self._numbers(document)
        if plan and (problem := await self._plans.delete(plan)):
            return refused(problem, "the plan's removal")
        # What was made and never answered bears our marker, and so does what somebody made of it.
        marked = await self._plans.marked(user, f"urn:uuid:{document.key['plan']}") if user else []
        if isinstance(marked, Problem):
            return refused(marked, "the question for the student's plans")
        for one in marked:
            if problem := await self._plans.delete(int(one["id"])):
                return refused(problem, "the plan's removal")
        return Receipt(200, unchanged=not (plan or marked))

    async def _remove(self, document: Document) -> Receipt:
        first, second, *rest = [int(one or 0) for one in self._ids.get(document.name, "").split("/")] + [0, 0, 0]
        third = rest[0]
        problem: Problem | None = None
        if document.resource == TEAM and third:
            problem = await self._team.unassign(first, second, third)
        elif document.resource == IN_PLAN and third:
            problem = await self._while_open(second, partial(self._domains.remove, second, third))
        elif document.resource == COMMENT and second:
            found = third or await self._comments.find(first, second, document.key["text"])
            problem = found if isinstance(found, Problem) else await self._comments.delete(found) if found else None
        if problem and not problem.gone:
            return refused(problem, "a removal")
        return Receipt(200, unchanged=not first)

    async def _tell(self, document: Document, remote_id: str) -> None:
        """Before it is written, where nobody has written down so: also of what is never answered it is then known to
        whom it went."""
        if self._announce is not None and self._ids.get(document.name) != remote_id:
            await self._announce(document, remote_id)
            self.know(document, remote_id)

    def _numbers(self, document: Document) -> tuple[int, int]:
        first, _, rest = self._ids.get(document.name, "").partition("/")
        return int(first or 0), int(rest.partition("/")[0] or 0)


def _as_sent(document: Document, there: There) -> dict[str, Any]:
    """The plan in the words of its document, so that what differs is what somebody changed there."""
    same = said(there) == said(document.body)
    words = {} if same else {"name": there.get("name", ""), "description": there.get("description", "")}
    day = datetime.fromtimestamp(int(there.get("duedate") or 0), UTC).date().isoformat() if there.get("duedate") else ""
    return {**document.body, **words, "due": day, "ended": is_over(there)}


_MOVED = (
    "The ID number belongs to another account of this Moodle than the one that has the plan. Take the plan back, which"
    " takes it from that account, and push it again."
)
_SEVERAL = "Look at the student's learning plans in Moodle, delete what is there twice, and push the plan again."
