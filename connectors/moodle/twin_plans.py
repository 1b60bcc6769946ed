"""What the twin does with learning plans: its rules of status and due date, and what it tells of a plan."""

import html
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from connectors.moodle.twin_errors import (
    against_the_rules,
    invalid_parameter,
    not_permitted,
    not_saved,
    not_there,
    too_long,
)
from connectors.moodle.twin_site import ACTIVE, COMPLETE, DRAFT, Site, User

Function = Callable[[Site, User, dict[str, Any]], Any]
SOON = 600
"""Seconds by which the due date of an active plan must lie ahead."""
LONGEST_NAME = 100


def create_plan(site: Site, who: User, args: dict[str, Any]) -> dict[str, Any]:
    given = args["plan"]
    site.user(given["userid"])
    if given.get("templateid") is not None:
        raise against_the_rules("plans of a template are not made so")
    if given.get("status", DRAFT) == COMPLETE:
        raise against_the_rules("no plan begins as complete")
    site.demand(who, "planmanage", given["userid"])
    plan = {"description": "", "descriptionformat": 1, "status": DRAFT, "duedate": 0, "reviewerid": None, **given}
    _check(site, plan, None)
    id = site.next("plan")
    now = int(site.now())
    site.plans[id] = plan | {"id": id, "timecreated": now, "timemodified": now, "usermodified": who.id}
    return told(site, who, site.plans[id])


def update_plan(site: Site, who: User, args: dict[str, Any]) -> dict[str, Any]:
    """Partial: what is not given stays."""
    given = args["plan"]
    before = site.plan(given["id"])
    site.demand(who, "planmanage", before["userid"])
    if before["status"] == COMPLETE:
        raise against_the_rules("a complete plan is not edited")
    if given.get("userid", before["userid"]) != before["userid"]:
        raise against_the_rules("a plan stays its student's")
    if given.get("status", before["status"]) == COMPLETE:
        raise against_the_rules("complete_plan is for that")
    plan = before | given
    _check(site, plan, before)
    site.plans[plan["id"]] = plan | {"timemodified": int(site.now()), "usermodified": who.id}
    return told(site, who, site.plans[plan["id"]])


def _check(site: Site, plan: dict[str, Any], before: dict[str, Any] | None) -> None:
    if len(plan["name"]) > LONGEST_NAME:
        raise too_long()
    if plan["status"] not in (DRAFT, ACTIVE):
        raise not_saved("there is no such status")
    unchanged = before is not None and before["duedate"] == plan["duedate"] and before["status"] != DRAFT
    if plan["status"] == ACTIVE and plan["duedate"] and not unchanged:
        if plan["duedate"] <= site.now():
            raise not_saved("the due date is past")
        if plan["duedate"] <= site.now() + SOON:
            raise not_saved("the due date is too soon")


def complete_plan(site: Site, who: User, args: dict[str, Any]) -> bool:
    plan = site.plan(args["planid"])
    site.demand(who, "planmanage", plan["userid"])
    if plan["status"] != ACTIVE:
        raise against_the_rules("only an active plan is completed")
    site.edit(plan["id"], status=COMPLETE)
    return True


def reopen_plan(site: Site, who: User, args: dict[str, Any]) -> bool:
    plan = site.plan(args["planid"])
    site.demand(who, "planmanage", plan["userid"])
    if plan["status"] != COMPLETE:
        raise against_the_rules("only a complete plan is reopened")
    past = 0 < plan["duedate"] <= site.now()
    site.edit(plan["id"], status=ACTIVE, **({"duedate": 0} if past else {}))
    return True


def read_plan(site: Site, who: User, args: dict[str, Any]) -> dict[str, Any]:
    plan = site.plan(args["id"])
    if not site.sees(who, plan):
        raise not_permitted("planview")
    return told(site, who, plan)


def list_user_plans(site: Site, who: User, args: dict[str, Any]) -> list[dict[str, Any]]:
    site.user(args["userid"])
    if who.id != args["userid"] and not site.may(who, "planview", args["userid"]):
        raise not_permitted("planview")
    return [told(site, who, plan) for plan in site.plans.values() if plan["userid"] == args["userid"]]


def delete_plan(site: Site, who: User, args: dict[str, Any]) -> bool:
    plan = site.plan(args["id"])
    site.demand(who, "planmanage", plan["userid"])
    del site.plans[plan["id"]]
    for pair in [pair for pair in site.in_plans if pair[0] == plan["id"]]:
        del site.in_plans[pair]
    return True


def told(site: Site, who: User, plan: Mapping[str, Any]) -> dict[str, Any]:
    """A plan as every function answers it."""
    status, active = plan["status"], plan["status"] == ACTIVE
    manages = site.may(who, "planmanage", plan["userid"])
    count = sum(one["itemid"] == plan["id"] for one in site.comments.values())
    return {
        "name": html.escape(plan["name"], quote=True),
        "description": plan["description"],
        "descriptionformat": 1,
        "userid": plan["userid"],
        "templateid": None,
        "origtemplateid": None,
        "status": status,
        "duedate": plan["duedate"],
        "reviewerid": plan["reviewerid"],
        **{name: plan[name] for name in ("id", "timecreated", "timemodified", "usermodified")},
        "statusname": ("Draft", "Active", "Complete")[status],
        "isbasedontemplate": False,
        "canmanage": manages,
        "canrequestreview": False,
        "canreview": manages,
        "canbeedited": manages and status != COMPLETE,
        "isactive": active,
        "isdraft": status == DRAFT,
        "iscompleted": status == COMPLETE,
        "isinreview": False,
        "iswaitingforreview": False,
        "isreopenallowed": manages and status == COMPLETE,
        "iscompleteallowed": manages and active,
        "isunlinkallowed": False,
        "isrequestreviewallowed": False,
        "iscancelreviewrequestallowed": False,
        "isstartreviewallowed": False,
        "isstopreviewallowed": False,
        "isapproveallowed": manages and status == DRAFT,
        "isunapproveallowed": manages and active,
        "duedateformatted": f"{datetime.fromtimestamp(plan['duedate'], UTC):%A, %d %B %Y}",
        "commentarea": _comment_area(plan, count),
        "url": f"{site.url}/admin/tool/lp/plan.php?id={plan['id']}",
    }


def _comment_area(plan: Mapping[str, Any], count: int) -> dict[str, Any]:
    return {
        "component": "competency",
        "commentarea": "plan",
        "itemid": plan["id"],
        "courseid": 1,
        "contextid": context_of(plan["userid"]),
        "cid": f"plancommentarea{plan['id']}",
        "autostart": False,
        "canpost": True,
        "canview": True,
        "count": count,
        "collapsediconkey": "t/collapsed",
        "displaytotalcount": True,
        "displaycancel": False,
        "fullwidth": True,
        "linktext": "Comments",
        "notoggle": False,
        "template": "<div></div>",
        "canpostorhascomments": True,
    }


def context_of(user: int) -> int:
    """The id of the context of a user."""
    return 8 + user


def add_competency(site: Site, who: User, args: dict[str, Any]) -> bool:
    """Once more changes nothing."""
    plan, competency = site.plan(args["planid"]), args["competencyid"]
    site.demand(who, "planmanage", plan["userid"])
    if competency not in site.competencies:
        raise not_there("competencies")
    if plan["status"] == COMPLETE:
        raise against_the_rules("a complete plan is not edited")
    site.in_plans.setdefault((plan["id"], competency), {"grade": None, "note": None, "id": site.next("rating")})
    return True


def remove_competency(site: Site, who: User, args: dict[str, Any]) -> bool:
    plan = site.plan(args["planid"])
    site.demand(who, "planmanage", plan["userid"])
    if plan["status"] == COMPLETE:
        raise against_the_rules("a complete plan is not edited")
    return site.in_plans.pop((plan["id"], args["competencyid"]), None) is not None


def list_plan_competencies(site: Site, who: User, args: dict[str, Any]) -> list[dict[str, Any]]:
    plan = site.plan(args["id"])
    if not site.sees(who, plan):
        raise not_permitted("planview")
    return [
        {"competency": site.competencies[competency], "usercompetency": _usercompetency(site, plan, competency, one)}
        for (id, competency), one in site.in_plans.items()
        if id == plan["id"]
    ]


def _usercompetency(site: Site, plan: dict[str, Any], competency: int, rating: dict[str, Any]) -> dict[str, Any]:
    return {
        "userid": plan["userid"],
        "competencyid": competency,
        "status": 0,
        "reviewerid": None,
        "proficiency": None if rating["grade"] is None else rating["grade"] > 1,
        "grade": rating["grade"],
        "id": rating["id"],
        "timecreated": plan["timecreated"],
        "timemodified": plan["timemodified"],
        "usermodified": plan["usermodified"],
        "canrequestreview": False,
        "canreview": True,
        "gradename": _grade(rating["grade"]),
        "isrequestreviewallowed": False,
        "iscancelreviewrequestallowed": False,
        "isstartreviewallowed": False,
        "isstopreviewallowed": False,
        "isstatusidle": True,
        "isstatusinreview": False,
        "isstatuswaitingforreview": False,
        "proficiencyname": "Yes" if (rating["grade"] or 0) > 1 else "No",
        "statusname": "-",
        "url": f"{site.url}/admin/tool/lp/user_competency.php?id={rating['id']}",
    }


def _grade(grade: int | None) -> str:
    return {1: "Not yet competent", 2: "Competent"}.get(grade or 0, "-")


def grade_competency(site: Site, who: User, args: dict[str, Any]) -> dict[str, Any]:
    plan = site.plan(args["planid"])
    site.demand(who, "competencygrade", plan["userid"])
    if args["grade"] not in (1, 2):
        raise invalid_parameter()
    rating = site.in_plans[plan["id"], args["competencyid"]]
    rating |= {"grade": args["grade"], "note": args.get("note")}
    now = int(site.now())
    return {
        "usercompetencyid": rating["id"],
        "contextid": context_of(plan["userid"]),
        "action": 3,
        "actionuserid": who.id,
        "descidentifier": "evidence_manualoverrideinplan",
        "desccomponent": "core_competency",
        "desca": f'"{plan["name"]}"',
        "url": None,
        "grade": args["grade"],
        "note": args.get("note"),
        "id": site.next("evidence"),
        "timecreated": now,
        "timemodified": now,
        "usermodified": who.id,
        "actionuser": _short(site, who),
        "description": "It was rated by hand.",
        "gradename": _grade(args["grade"]),
        "userdate": f"{datetime.fromtimestamp(now, UTC):%A, %d %B %Y, %I:%M %p}",
        "candelete": False,
    }


def _short(site: Site, user: User) -> dict[str, Any]:
    email = f"{user.username}@district.invalid"
    return {
        "id": user.id,
        "email": email,
        "idnumber": user.idnumber,
        **dict.fromkeys(("phone1", "phone2", "department", "institution"), ""),
        "fullname": user.name,
        "identity": email,
        "profileurl": f"{site.url}/user/profile.php?id={user.id}",
        "profileimageurl": f"{site.url}/theme/f1",
        "profileimageurlsmall": f"{site.url}/theme/f2",
    }


PLANS: dict[str, Function] = {
    "core_competency_create_plan": create_plan,
    "core_competency_update_plan": update_plan,
    "core_competency_complete_plan": complete_plan,
    "core_competency_reopen_plan": reopen_plan,
    "core_competency_read_plan": read_plan,
    "core_competency_delete_plan": delete_plan,
    "core_competency_list_user_plans": list_user_plans,
    "core_competency_add_competency_to_plan": add_competency,
    "core_competency_remove_competency_from_plan": remove_competency,
    "core_competency_list_plan_competencies": list_plan_competencies,
    "core_competency_grade_competency_in_plan": grade_competency,
}
