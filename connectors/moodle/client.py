"""How Moodle's web services are asked, and what their errors mean: the status is 200 whatever they answer."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from connectors.moodle.settings import REST, MoodleSettings
from gateway.connector import Receipt
from gateway.errors import AuthError, ConfigError, Unavailable
from gateway.http import Http

Args = Mapping[str, Any]
_WHO = "core_webservice_get_site_info"


@dataclass(frozen=True)
class Problem:
    """What a function answered instead, by Moodle's own code. Its words stay there: they may quote what was sent."""

    code: str
    function: str

    @property
    def gone(self) -> bool:
        return self.code == "invalidrecord"

    @property
    def error(self) -> ConfigError:
        """For whoever only looked: what cannot be read is not gone."""
        return ConfigError(
            "moodle-refused",
            refused(self, "a question").message,
            "See which rights connectors/moodle/README.md asks for.",
        )


class Moodle:
    """One site's functions, called by name."""

    def __init__(self, settings: MoodleSettings, http: Http) -> None:
        self._url = f"{settings.base_url}{REST}"
        self._token = settings.token.get_secret_value()
        self._http = http

    async def call(self, function: str, args: Args | None = None, *, repeatable: bool = True) -> Any:
        """What a function answers, which may be null, or the Problem that it has with this call.

        AuthError where the token is not in order, ConfigError where only the service lacks the function, Unavailable
        while the site is worked on. A call that is not `repeatable` ends in Unavailable `outcome-unknown` where nobody
        knows whether it was carried out.
        """
        name, said = await self._asked(function, args, repeatable)
        if not isinstance(said, dict) or "exception" not in said:
            return said
        code = str(said.get("errorcode", ""))
        # A token that has ended is gone with that answer, and then tells nothing any more. One that still says who it
        # is lacks this function alone: no reason for everything else to stand still.
        if code == "accessexception" and function != _WHO and await self._lets_in():
            raise ConfigError(
                "moodle-function-missing",
                f"{name} may not be asked for {function}: the service of this token has no such function, or the role"
                " of its account lacks what it needs.",
                "Add it: Site administration > Server > Web services > External services > Functions. What else it"
                " needs stands in connectors/moodle/README.md.",
            )
        return _problem(name, function, code)

    async def _lets_in(self) -> bool:
        _, said = await self._asked(_WHO, None, True)
        return isinstance(said, dict) and "exception" not in said

    async def _asked(self, function: str, args: Args | None, repeatable: bool) -> tuple[str, Any]:
        """How what was asked may be named, and what was said."""
        # The token stands in the form: an address would be written into the logs of every server on the way.
        form = [("wstoken", self._token), ("wsfunction", function), ("moodlewsrestformat", "json")]
        reply = await self._http.send(
            "POST",
            self._url,
            json=urlencode([*form, *fields(args or {})]).encode(),
            headers={"content-type": "application/x-www-form-urlencoded"},
            repeatable=repeatable,
        )
        if reply.status != 200:
            raise ConfigError(
                "moodle-no-web-services",
                f"{reply.name} answered {reply.status}: there are no web services at this address.",
                "Check the address, and have web services and the REST protocol switched on: Site administration >"
                " Server > Web services > Overview.",
            )
        return reply.name, reply.json()


def fields(args: Args, within: str = "") -> Iterator[tuple[str, str]]:
    """Arguments as PHP reads them: plan[name]=..., comments[0][content]=..."""
    for name, value in args.items():
        place = f"{within}[{name}]" if within else name
        if isinstance(value, Mapping):
            yield from fields(value, place)
        elif isinstance(value, Sequence) and not isinstance(value, str):
            yield from fields({str(n): one for n, one in enumerate(value)}, place)
        else:
            yield place, str(int(value) if isinstance(value, bool) else value)


def _problem(asked: str, function: str, code: str) -> Problem:
    """# Moodle 4.5: an ended token answers like a missing function, and is gone with that answer"""
    if code == "invalidtoken":
        raise AuthError(
            "moodle-token-refused",
            f"{asked}: this Moodle does not know the token.",
            "Make a new one for the service account, and give it to this connection: planbridge connections change NAME"
            " --set token=env:TOKEN",
        )
    if code == "accessexception":
        raise AuthError(
            "moodle-access-refused",
            f"{asked} may not be asked for {function}. Either the function is not in the service, or the account may"
            " not use REST, or the token has ended: Moodle says the same to all three, and deletes a token that has.",
            "Look at the service's functions first; if this one is there, make a new token and give it to this"
            " connection.",
        )
    if code == "sitemaintenance":
        raise Unavailable(
            "moodle-maintenance",
            f"{asked}: the site is in maintenance mode.",
            "It is tried again by itself; ask the site's administrator how long it lasts.",
        )
    return Problem(code, function)


def refused(problem: Problem, what: str) -> Receipt:
    """A problem as the receipt of whatever met it. The same words for the same cause."""
    status, why = _MEANS.get(problem.code, (400, ""))
    if problem.code == "nopermissions":
        why = f"The service account may not do this. Allow {_NEEDS.get(problem.function, 'it')} in its role."
    code = problem.code if re.fullmatch(r"[a-z_]{1,40}", problem.code) else "no code"
    return Receipt(status, message=f"Moodle did not take {what} ({code} from {problem.function}). {why}".strip())


_MEANS: Mapping[str, tuple[int, str]] = {
    "nopermissions": (403, ""),
    "invaliduser": (404, "The account is not there any more: push the plan again."),
    "invalidrecord": (404, "It is not there any more: push the plan again."),
    "invalidparameter": (400, "It does not take a value as it is: report this to Planbridge, with this line."),
    "invalidpersistenterror": (422, "A rule of Moodle's forbids a value: report this to Planbridge, with this line."),
    "codingerror": (409, "The plan's status there does not allow it: look at it in Moodle, then push it again."),
    "dmlwriteexception": (422, "Its database does not hold a value of this length: report this to Planbridge."),
}
_MANAGE = "moodle/competency:planmanage and planview"
_COMPETENCIES = "moodle/competency:competencymanage and competencyview"
_NEEDS: Mapping[str, str] = {
    "core_competency_create_plan": _MANAGE,
    "core_competency_update_plan": _MANAGE,
    "core_competency_complete_plan": _MANAGE,
    "core_competency_reopen_plan": _MANAGE,
    "core_competency_delete_plan": _MANAGE,
    "core_competency_read_plan": _MANAGE,
    "core_competency_list_user_plans": _MANAGE,
    "core_competency_add_competency_to_plan": _MANAGE,
    "core_competency_remove_competency_from_plan": _MANAGE,
    "core_competency_create_competency_framework": _COMPETENCIES,
    "core_competency_create_competency": _COMPETENCIES,
    "core_role_assign_roles": "moodle/role:assign",
    "core_role_unassign_roles": "moodle/role:assign",
    "core_comment_add_comments": "moodle/competency:plancomment and moodle/comment:post",
    "core_comment_delete_comments": "moodle/comment:delete",
    "core_user_get_users_by_field": "moodle/user:viewdetails, viewhiddendetails and moodle/user:update",
}
