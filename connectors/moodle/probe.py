"""What a Moodle needs to have set up, looked at from outside, and how its administrator mends what is missing."""

from collections.abc import Sequence
from typing import Any

from connectors.moodle.beside import Team
from connectors.moodle.client import Moodle, Problem
from connectors.moodle.settings import MoodleSettings
from gateway.connector import Finding

PLANS = (
    *("core_webservice_get_site_info", "core_user_get_users_by_field", "core_competency_create_plan"),
    *("core_competency_update_plan", "core_competency_complete_plan", "core_competency_reopen_plan"),
    *("core_competency_read_plan", "core_competency_delete_plan", "core_competency_list_user_plans"),
)
TEAM = ("core_role_assign_roles", "core_role_unassign_roles")
DOMAINS = (
    *("core_competency_list_competency_frameworks", "core_competency_create_competency_framework"),
    *("core_competency_list_competencies", "core_competency_create_competency"),
    *("core_competency_add_competency_to_plan", "core_competency_remove_competency_from_plan"),
    "core_competency_list_plan_competencies",
)
COMMENTS = ("core_comment_get_comments", "core_comment_add_comments", "core_comment_delete_comments")
_LONG_AGO = 946684800  # a due date in 2000


async def check(moodle: Moodle, settings: MoodleSettings) -> Sequence[Finding]:
    """Asks; what it asks for last would change something nowhere, and Moodle refuses it or has nothing to do."""
    site = await moodle.call("core_webservice_get_site_info")
    if isinstance(site, Problem):
        return [
            Finding(False, "The site does not say what it is.", "Add core_webservice_get_site_info to the service.")
        ]
    release = str(site.get("release", "")).split(" ")[0]
    found = [Finding(True, f"Moodle {release or 'of an unknown release'} answers the account {site.get('username')}.")]
    found += _site(site)
    has = {str(one.get("name")) for one in site.get("functions", ())}
    found += [*_functions(has, PLANS, "plans"), *_functions(has, DOMAINS, "domains", "include_domains")]
    found += _functions(has, COMMENTS, "the day of a consultation", "include_consultation")
    if settings.team_role is not None:
        found += _functions(has, TEAM, "a plan's team")
    if "core_competency_create_plan" in has:
        found.append(await _manages(moodle, int(site["userid"])))
    if settings.team_role is None:
        found.append(
            Finding(True, "No role for a plan's team is named (team_role): in Moodle its student alone sees it.")
        )
    elif has.issuperset(TEAM):
        found.append(await _gives_role(moodle, int(site["userid"]), settings.team_role))
    return found


def _site(site: dict[str, Any]) -> list[Finding]:
    found = []
    off = [one.get("name") for one in site.get("advancedfeatures", ()) if not one.get("value")]
    if "enablecompetencies" in off:
        found.append(
            Finding(
                False,
                "Competencies are switched off on this site, and learning plans with them.",
                "Switch them on: Site administration > Competencies > Competencies settings.",
            )
        )
    if site.get("userissiteadmin"):
        found.append(
            Finding(
                False,
                "The token is a site administrator's: whoever got hold of it could do everything.",
                "Make an account for Planbridge alone, with the role that the README of this connector describes.",
            )
        )
    return found


def _functions(has: set[str], needed: Sequence[str], what: str, choice: str = "") -> list[Finding]:
    missing = [name for name in needed if name not in has]
    if not missing:
        return []
    return [
        Finding(
            False,
            f"The service lacks what {what} need: {', '.join(missing)}.",
            "Add them: Site administration > Server > Web services > External services > Functions.",
            choice=choice,
        )
    ]


async def _manages(moodle: Moodle, user: int) -> Finding:
    """A plan that is due in the past is refused to everybody; whoever may make none is told that instead. Should a
    site take it all the same, it is taken back at once: it is the service account's own, and says nothing."""
    given = {"name": "check", "userid": user, "status": 1, "duedate": _LONG_AGO}
    said = await moodle.call("core_competency_create_plan", {"plan": given}, repeatable=False)
    if not isinstance(said, Problem):
        await moodle.call("core_competency_delete_plan", {"id": said["id"]})
    elif said.code == "nopermissions":
        return Finding(
            False,
            "The account may not make learning plans.",
            "Allow moodle/competency:planmanage and planview in its role, and give it that role in the whole site.",
        )
    return Finding(True, "The account may make learning plans.")


async def _gives_role(moodle: Moodle, user: int, role: int) -> Finding:
    """Taking from the service account, in its own context, a role that it has not there: nothing changes, and Moodle
    looks at the same rules as for giving one."""
    said = await Team(moodle).unassign(user, user, role)
    if said is None:
        return Finding(True, f"The account may give the role {role} of a plan's team.")
    if said.code == "nopermissions":
        return Finding(
            False,
            "The account may not give roles.",
            "Allow moodle/role:assign in its role.",
        )
    return Finding(
        False,
        f"The account may not give the role {role} in the context of a user, or there is no such role.",
        "Look at team_role: it is the roleid in the address of the role. In that role tick User among the context"
        " types; under Define roles > Allow role assignments tick it for the service account's role.",
    )
