"""A learning plan of Moodle's: found by our marker, made as active, kept in step, completed, taken back."""

import hashlib
import html
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from typing import Any

from connectors.moodle.client import Moodle, Problem

ACTIVE, COMPLETE = 1, 2
SOON = 900
"""Seconds by which a due date must lie ahead: Moodle asks for ten minutes, and its clock is not ours."""

There = Mapping[str, Any]
"""A learning plan as Moodle tells it."""


@dataclass(frozen=True)
class Wanted:
    """A learning plan as it is to be. `due` is the day, `ended`: nothing of it goes on."""

    name: str
    description: str
    due: str
    ended: bool
    marker: str


class LearningPlans:
    """The learning plans of one site."""

    def __init__(self, moodle: Moodle) -> None:
        self._moodle = moodle

    async def read(self, plan: int) -> There | Problem | None:
        """The plan of that id; None where there is none any more."""
        found = await self._moodle.call("core_competency_read_plan", {"id": plan})
        if isinstance(found, Problem):
            return None if found.gone else found
        return dict(found)

    async def marked(self, user: int, marker: str) -> list[There] | Problem:
        """The plans of an account that bear our marker."""
        found = await self._moodle.call("core_competency_list_user_plans", {"userid": user})
        if isinstance(found, Problem):
            # Whoever deletes an account deletes its plans.
            return [] if found.gone or found.code == "invaliduser" else found
        return [one for one in found if f'title="{marker}"' in str(one.get("description", ""))]

    async def create(self, user: int, wanted: Wanted) -> There | Problem:
        """Made as active, whatever it is to become: none begins as complete.

        Never asked twice without a look: the same name again makes a second plan."""
        given = {**_words(wanted), "userid": user, "status": ACTIVE, **_due(wanted.due)}
        made = await self._moodle.call("core_competency_create_plan", {"plan": given}, repeatable=False)
        return made if isinstance(made, Problem) else await self._closed(made, wanted)

    async def update(self, there: There, wanted: Wanted) -> There | Problem:
        """The same plan with our words. A complete one is reopened first: as it is, nobody can edit it."""
        if there["status"] == COMPLETE and (problem := await self.reopen(int(there["id"]))):
            return problem
        given: dict[str, Any] = {"id": there["id"], **_words(wanted)}
        if there["status"] not in (ACTIVE, COMPLETE):
            given["status"] = ACTIVE
        if (due := _due(wanted.due)) != {"duedate": there.get("duedate")}:
            given |= due
        if not wanted.due and there.get("duedate"):
            given["duedate"] = 0  # what is left out would stay: the day of a review, beside a doorway
        made = await self._moodle.call("core_competency_update_plan", {"plan": given})
        return made if isinstance(made, Problem) else await self._closed(made, wanted)

    async def _closed(self, made: There, wanted: Wanted) -> There | Problem:
        if not wanted.ended:
            return made
        problem = await self._moodle.call("core_competency_complete_plan", {"planid": made["id"]})
        return problem if isinstance(problem, Problem) else made

    async def complete(self, plan: int) -> Problem | None:
        """The plan as over; one that is so already, or is gone, stays as it is."""
        there = await self.read(plan)
        if there is None or isinstance(there, Problem) or there["status"] == COMPLETE:
            return there if isinstance(there, Problem) else None
        problem = await self._moodle.call("core_competency_complete_plan", {"planid": plan})
        return problem if isinstance(problem, Problem) else None

    async def reopen(self, plan: int) -> Problem | None:
        problem = await self._moodle.call("core_competency_reopen_plan", {"planid": plan})
        return problem if isinstance(problem, Problem) else None

    async def delete(self, plan: int) -> Problem | None:
        """Gone; also where it was already."""
        problem = await self._moodle.call("core_competency_delete_plan", {"id": plan})
        return problem if isinstance(problem, Problem) and not problem.gone else None


def revision(there: There, ended: bool | None) -> str:
    """Of the words that stand there, of the day and of what is over: another one where a person has edited them. An
    answer to words alone does not say yet that it is `ended`; a draft is neither."""
    words = f"{said(there)}\n{int(there.get('duedate') or 0)}\n{ended}"
    return hashlib.sha256(words.encode()).hexdigest()


def said(there: There) -> str:
    """Name and text. Moodle escapes a name in its answers, and not twice what looks escaped."""
    return f"{html.unescape(html.unescape(str(there.get('name', ''))))}\n{there.get('description', '')}"


def is_over(there: There) -> bool | None:
    """Whether nothing of it goes on; None where it is a draft, which its student does not see."""
    status: bool | None = {ACTIVE: False, COMPLETE: True}.get(there.get("status", ACTIVE))
    return status


def _words(wanted: Wanted) -> dict[str, Any]:
    return {"name": wanted.name, "description": wanted.description, "descriptionformat": 1}


def _due(day: str) -> dict[str, int]:
    """Noon of that day, so that it is the same day everywhere; nothing where that is past, which Moodle refuses."""
    if not day:
        return {}
    noon = datetime.combine(date.fromisoformat(day), time(12), UTC)
    return {"duedate": int(noon.timestamp())} if (noon - datetime.now(UTC)).total_seconds() > SOON else {}
