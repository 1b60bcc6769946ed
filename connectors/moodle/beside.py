"""What belongs to a learning plan and stands beside it in Moodle: its team's roles, its domains, its comments."""

import html
import re
from collections.abc import Sequence
from typing import Any

import msgspec

from connectors.moodle.client import Moodle, Problem, refused
from gateway.connector import Document, Receipt

PAGES = 40
"""Pages of comments that are looked through, of fifteen each."""


class Team:
    """Roles in the context of one student: whoever has the team's role there sees that student's plans."""

    def __init__(self, moodle: Moodle) -> None:
        self._moodle = moodle

    async def assign(self, student: int, member: int, role: int) -> Problem | None:
        answer = await self._moodle.call("core_role_assign_roles", {"assignments": [_role(student, member, role)]})
        return answer if isinstance(answer, Problem) else None

    async def unassign(self, student: int, member: int, role: int) -> Problem | None:
        answer = await self._moodle.call("core_role_unassign_roles", {"unassignments": [_role(student, member, role)]})
        return answer if isinstance(answer, Problem) else None


def _role(student: int, member: int, role: int) -> dict[str, Any]:
    return {"roleid": role, "userid": member, "contextlevel": "user", "instanceid": student}


class Domains:
    """Competencies of one framework, by their ID numbers. Everybody who signs in may read a framework: nothing in it
    is about a child."""

    def __init__(self, moodle: Moodle, scale: int) -> None:
        self._moodle = moodle
        self._scale = scale
        self._framework: int | None = None
        self._known: dict[str, int] = {}

    async def framework(self, document: Document) -> Receipt:
        """Made where it is missing."""
        found = await self._frameworks(document.key["idnumber"])
        if isinstance(found, Problem):
            return refused(found, "the question for frameworks")
        if found:
            return Receipt(200, str(found), unchanged=True)
        made = await self._moodle.call(
            "core_competency_create_competency_framework",
            {
                "competencyframework": {
                    "shortname": document.body["name"],
                    "idnumber": document.key["idnumber"],
                    "scaleid": self._scale,
                    "scaleconfiguration": self._configuration(),
                    "contextid": 1,
                    "visible": 1,
                }
            },
            repeatable=False,
        )
        if isinstance(made, Problem):
            return refused(made, "the framework of domains")
        self._framework = int(made["id"])
        return Receipt(201, str(self._framework))

    def _configuration(self) -> str:
        """The first value is what nobody rates, the second what counts as reached. We rate nobody."""
        values = [{"id": 1, "scaledefault": 1, "proficient": 0}, {"id": 2, "scaledefault": 0, "proficient": 1}]
        return msgspec.json.encode([{"scaleid": str(self._scale)}, *values]).decode()

    async def _frameworks(self, idnumber: str) -> int | Problem | None:
        found = await self._moodle.call(
            "core_competency_list_competency_frameworks", {"context": {"contextid": 1}, "includes": "self"}
        )
        if isinstance(found, Problem):
            return found
        self._framework = next((int(one["id"]) for one in found if one.get("idnumber") == idnumber), None)
        return self._framework

    async def domain(self, document: Document) -> Receipt:
        """Made where it is missing."""
        idnumber = document.key["idnumber"]
        found = await self.find(idnumber)
        if isinstance(found, Problem):
            return refused(found, "the question for domains")
        if found:
            return Receipt(200, str(found), unchanged=True)
        framework = self._framework or await self._frameworks(document.body["framework"])
        if framework is None or isinstance(framework, Problem):
            return refused(framework or Problem("invalidrecord", "core_competency_list_competency_frameworks"), "it")
        given = {"shortname": document.body["name"], "idnumber": idnumber, "competencyframeworkid": framework}
        made = await self._moodle.call("core_competency_create_competency", {"competency": given}, repeatable=False)
        if isinstance(made, Problem):
            return refused(made, "a domain of the framework")
        self._known[idnumber] = int(made["id"])
        return Receipt(201, str(made["id"]))

    async def find(self, idnumber: str) -> int | Problem | None:
        """The competency of that ID number, which is unique in its framework."""
        if idnumber not in self._known:
            found = await self._moodle.call(
                "core_competency_list_competencies", {"filters": [{"column": "idnumber", "value": idnumber}]}
            )
            if isinstance(found, Problem):
                return found
            self._known |= {str(one["idnumber"]): int(one["id"]) for one in found}
        return self._known.get(idnumber)

    async def there(self, document: Document) -> bool:
        framework = document.resource == "competencyFrameworks"
        found = await (self._frameworks if framework else self.find)(document.key["idnumber"])
        if isinstance(found, Problem):
            raise found.error
        return found is not None

    async def add(self, plan: int, competency: int) -> Problem | None:
        """Once more changes nothing."""
        args = {"planid": plan, "competencyid": competency}
        answer = await self._moodle.call("core_competency_add_competency_to_plan", args)
        return answer if isinstance(answer, Problem) else None

    async def remove(self, plan: int, competency: int) -> Problem | None:
        args = {"planid": plan, "competencyid": competency}
        answer = await self._moodle.call("core_competency_remove_competency_from_plan", args)
        return answer if isinstance(answer, Problem) else None

    async def has(self, plan: int, idnumber: str) -> bool:
        found = await self._moodle.call("core_competency_list_plan_competencies", {"id": plan})
        if isinstance(found, Problem) and not found.gone:
            raise found.error
        rows: Sequence[Any] = found if isinstance(found, list) else ()
        return any(one["competency"].get("idnumber") == idnumber for one in rows)


class Comments:
    """Comments on a plan: they are read by those who read the plan, and cannot be edited."""

    def __init__(self, moodle: Moodle) -> None:
        self._moodle = moodle

    async def find(self, user: int, plan: int, text: str) -> int | Problem | None:
        """The comment that says that; None where there is none."""
        for page in range(PAGES):
            told = await self._moodle.call("core_comment_get_comments", _area(user, plan) | {"page": page})
            if isinstance(told, Problem):
                return None if told.gone else told
            rows = told["comments"]
            for one in rows:
                if _plain(str(one["content"])) == text:
                    return int(one["id"])
            if not rows or (page + 1) * int(told.get("perpage", 15)) >= int(told["count"]):
                break
        return None

    async def add(self, user: int, plan: int, text: str) -> int | Problem:
        given = {"comments": [_area(user, plan) | {"content": text}]}
        made = await self._moodle.call("core_comment_add_comments", given, repeatable=False)
        return made if isinstance(made, Problem) else int(made[0]["id"])

    async def delete(self, comment: int) -> Problem | None:
        answer = await self._moodle.call("core_comment_delete_comments", {"comments": [comment]})
        return answer if isinstance(answer, Problem) else None


def _area(user: int, plan: int) -> dict[str, Any]:
    return {
        "contextlevel": "user",
        "instanceid": user,
        "component": "competency",
        "itemid": plan,
        "area": "plan",
    }


def _plain(content: str) -> str:
    """Its words: they come inside of elements."""
    return html.unescape(re.sub(r"<[^>]*>", "", content)).strip()
