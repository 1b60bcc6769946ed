"""What the twin's other web service functions do: people, roles, competencies, comments, notes, the calendar."""

from datetime import UTC, datetime
from html import escape
from typing import Any

from connectors.moodle.twin_errors import invalid_parameter, no_such_user, not_saved, not_there
from connectors.moodle.twin_plans import PLANS, Function
from connectors.moodle.twin_site import Course, Site, User

RELEASE, VERSION = "4.5.6 (Build: 20250811)", "2024100706"
COMMENTS_ON_A_PAGE = 15


def site_info(site: Site, who: User, args: dict[str, Any]) -> dict[str, Any]:
    token = next(one for one in site.tokens.values() if one.user == who.id)
    functions = FUNCTIONS if token.functions is None else [name for name in FUNCTIONS if name in token.functions]
    return {
        "sitename": "The invented district's LMS",
        "username": who.username,
        "firstname": who.given,
        "lastname": who.family,
        "fullname": who.name,
        "lang": "en",
        "userid": who.id,
        "siteurl": site.url,
        "userpictureurl": f"{site.url}/theme/f1",
        "functions": [{"name": name, "version": VERSION} for name in functions],
        "downloadfiles": 1,
        "uploadfiles": 1,
        "release": RELEASE,
        "version": VERSION,
        "mobilecssurl": "",
        "advancedfeatures": [{"name": name, "value": 1} for name in ("usecomments", "enablecompetencies")],
        "usercanmanageownfiles": True,
        "userquota": 104857600,
        "usermaxuploadfilesize": 67108864,
        "userhomepage": 1,
        "userprivateaccesskey": "0" * 32,
        "siteid": 1,
        "sitecalendartype": "gregorian",
        "usercalendartype": "gregorian",
        "userissiteadmin": False,
        "theme": "boost",
        "limitconcurrentlogins": 0,
        "policyagreed": 0,
    }


def users_by_field(site: Site, who: User, args: dict[str, Any]) -> list[dict[str, Any]]:
    """Case counts, and nobody promises that an ID number is one person's alone. Who may not change accounts is not
    shown the number by which they asked."""
    if args["field"] != "idnumber":
        raise invalid_parameter()
    hidden = frozenset[str]() if site.may(who, "userupdate") else {"idnumber"}
    return [
        {
            **{name: part for name, part in _person(site, user).items() if name not in hidden},
            "auth": "manual",
            "suspended": user.suspended,
            "confirmed": True,
            "lang": "en",
            "theme": "",
            "timezone": "99",
            "mailformat": 1,
            "trackforums": 0,
            **_pictures(site),
        }
        for user in site.users.values()
        if user.idnumber and user.idnumber in args["values"]
    ]


def _person(site: Site, user: User) -> dict[str, Any]:
    return {
        "id": user.id,
        "username": user.username,
        "firstname": user.given,
        "lastname": user.family,
        "fullname": user.name,
        "email": f"{user.username}@district.invalid",
        "department": "",
        "idnumber": user.idnumber,
        "firstaccess": 0,
        "lastaccess": 0,
    }


def _pictures(site: Site) -> dict[str, str]:
    return {"profileimageurlsmall": f"{site.url}/theme/f2", "profileimageurl": f"{site.url}/theme/f1"}


def courses_by_field(site: Site, who: User, args: dict[str, Any]) -> dict[str, Any]:
    found = [one for one in site.courses.values() if one.idnumber == args["value"] and args["field"] == "idnumber"]
    return {"courses": [_course(site, one) for one in found], "warnings": []}


def _course(site: Site, course: Course) -> dict[str, Any]:
    teachers = [site.users[user] for user, _, role in course.people if role == "editingteacher"]
    zeros: tuple[str, ...] = (
        "summaryformat",
        "newsitems",
        "startdate",
        "enddate",
        "maxbytes",
        "showreports",
        "groupmode",
    )
    zeros += ("groupmodeforce", "defaultgroupingid", "enablecompletion", "completionnotify", "marker")
    return {
        "id": course.id,
        "fullname": course.name,
        "displayname": course.name,
        "shortname": course.short,
        "courseimage": f"{site.url}/pluginfile.php/course.svg",
        "categoryid": 1,
        "categoryname": "Category 1",
        "sortorder": 10000 + course.id,
        "summary": "",
        "summaryfiles": [],
        "overviewfiles": [],
        "showactivitydates": False,
        "showcompletionconditions": True,
        "contacts": [{"id": one.id, "fullname": one.name} for one in teachers],
        "enrollmentmethods": ["manual"],
        "format": "topics",
        "showgrades": 1,
        "visible": 1,
        "lang": "",
        "theme": "",
        **dict.fromkeys(zeros, 0),
        "filters": [{"filter": "emoticon", "localstate": 0, "inheritedstate": 1}],
        "courseformatoptions": [{"name": "hiddensections", "value": 1}, {"name": "indentation", "value": "1"}],
    }


def enrolled_users(site: Site, who: User, args: dict[str, Any]) -> list[dict[str, Any]]:
    course = site.courses.get(args["courseid"])
    if course is None:
        raise not_there("courses")
    return [
        {
            **_person(site, site.users[user]),
            "lastcourseaccess": 0,
            **_pictures(site),
            "roles": [{"roleid": role, "name": "", "shortname": name, "sortorder": 0}],
            "enrolledcourses": [{"id": course.id, "fullname": course.name, "shortname": course.short}],
        }
        for user, role, name in course.people
    ]


def create_framework(site: Site, who: User, args: dict[str, Any]) -> dict[str, Any]:
    given = args["competencyframework"]
    site.demand(who, "competencymanage")
    if any(one["idnumber"] == given["idnumber"] for one in site.frameworks.values()):
        raise not_saved("the ID number is taken")
    id, now = site.next("framework"), int(site.now())
    made = {"description": "", "descriptionformat": 1, "visible": True, "taxonomies": "", "contextid": 1} | given
    made |= {"id": id, "timecreated": now, "timemodified": now, "usermodified": who.id}
    site.frameworks[id] = made
    return _framework(site, made)


def _framework(site: Site, made: dict[str, Any]) -> dict[str, Any]:
    count = sum(one["competencyframeworkid"] == made["id"] for one in site.competencies.values())
    return made | {
        "canmanage": True,
        "competenciescount": count,
        "contextname": "System",
        "contextnamenoprefix": "System",
    }


def list_frameworks(site: Site, who: User, args: dict[str, Any]) -> list[dict[str, Any]]:
    return [_framework(site, one) for one in site.frameworks.values()]


def create_competency(site: Site, who: User, args: dict[str, Any]) -> dict[str, Any]:
    given = args["competency"]
    site.demand(who, "competencymanage")
    framework = given.get("competencyframeworkid", 0)
    if framework not in site.frameworks:
        raise not_there("frameworks")
    same = [one for one in site.competencies.values() if one["competencyframeworkid"] == framework]
    if any(one["idnumber"] == given["idnumber"] for one in same):
        raise not_saved("the ID number is taken")
    id, now = site.next("competency"), int(site.now())
    site.competencies[id] = {
        "description": "",
        "descriptionformat": 1,
        "sortorder": len(same),
        "parentid": 0,
        "path": "/0/",
        "ruleoutcome": 0,
        **dict.fromkeys(("ruletype", "ruleconfig", "scaleid", "scaleconfiguration")),
        **given,
        "id": id,
        "timecreated": now,
        "timemodified": now,
        "usermodified": who.id,
    }
    return site.competencies[id]


def list_competencies(site: Site, who: User, args: dict[str, Any]) -> list[dict[str, Any]]:
    wanted = [(one["column"], one["value"]) for one in args.get("filters", ())]
    return [one for one in site.competencies.values() if all(str(one.get(name)) == value for name, value in wanted)]


def assign_roles(site: Site, who: User, args: dict[str, Any]) -> None:
    """Once more changes nothing, and answers the same: null."""
    for one in args["assignments"]:
        site.assignments.add(_assignment(site, who, one))


def unassign_roles(site: Site, who: User, args: dict[str, Any]) -> None:
    for one in args["unassignments"]:
        site.assignments.discard(_assignment(site, who, one))


def _assignment(site: Site, who: User, one: dict[str, Any]) -> tuple[int, int, int]:
    if one.get("contextlevel") != "user" or one.get("instanceid") not in site.users:
        raise invalid_parameter()
    site.demand(who, "assign", one["instanceid"])
    role = site.roles.get(one["roleid"])
    if role is None or not role.in_user_context:
        raise invalid_parameter()
    return role.id, site.user(one["userid"]).id, one["instanceid"]


def add_comments(site: Site, who: User, args: dict[str, Any]) -> list[dict[str, Any]]:
    made = []
    for one in args["comments"]:
        plan = site.plan(_commented(one))
        if not site.sees(who, plan):
            raise no_such_user()
        id = site.next("comment")
        site.comments[id] = {**one, "id": id, "userid": who.id, "timecreated": int(site.now())}
        made.append(_comment(site, site.comments[id], 0))
    return made


def _commented(one: dict[str, Any]) -> int:
    if (one["component"], one["contextlevel"], one.get("area")) != ("competency", "user", "plan"):
        raise invalid_parameter()
    return int(one["itemid"])


def _comment(site: Site, one: dict[str, Any], form: int) -> dict[str, Any]:
    user = site.users[one["userid"]]
    return {
        "id": one["id"],
        "content": f'<div class="no-overflow"><div class="text_to_html">{escape(one["content"], quote=False)}</div>'
        "</div>",
        "format": form,
        "timecreated": one["timecreated"],
        "strftimeformat": "%a, %d %b %Y, %I:%M %p",
        "profileurl": f"{site.url}/user/view.php?id={user.id}",
        "fullname": user.name,
        "time": f"{datetime.fromtimestamp(one['timecreated'], UTC):%a, %d %b %Y, %I:%M %p}",
        "avatar": "<span></span>",
        "userid": user.id,
        "delete": True,
    }


def get_comments(site: Site, who: User, args: dict[str, Any]) -> dict[str, Any]:
    """Fifteen on a page, the newest first."""
    found = [one for one in site.comments.values() if one["itemid"] == _commented(args)]
    first = args.get("page", 0) * COMMENTS_ON_A_PAGE
    page = found[::-1][first : first + COMMENTS_ON_A_PAGE]
    return {
        "comments": [_comment(site, one, 1) for one in page],
        "count": len(found),
        "perpage": COMMENTS_ON_A_PAGE,
        "canpost": True,
        "warnings": [],
    }


def delete_comments(site: Site, who: User, args: dict[str, Any]) -> list[Any]:
    for id in args["comments"]:
        if id not in site.comments:
            raise not_there("comments")
        del site.comments[id]
    return []


def create_notes(site: Site, who: User, args: dict[str, Any]) -> list[dict[str, Any]]:
    """Each for itself: one that fails says so in the list."""
    site.demand(who, "notes")
    told: list[dict[str, Any]] = []
    for one in args["notes"]:
        client = {"clientnoteid": one["clientnoteid"]} if "clientnoteid" in one else {}
        if one["userid"] not in site.users:
            told.append({**client, "noteid": -1, "errormessage": "There is nobody of that id."})
            continue
        id = site.next("note")
        # What it does not know becomes the one that the whole course sees.
        state = {"personal": "draft", "site": "site"}.get(one["publishstate"], "public")
        site.notes[id] = one | {"id": id, "state": state, "usermodified": who.id, "at": int(site.now())}
        told.append({**client, "noteid": id})
    return told


def course_notes(site: Site, who: User, args: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, list[dict[str, Any]]] = {"site": [], "public": [], "draft": []}
    for one in site.notes.values():
        if one["courseid"] == args["courseid"] and one["userid"] == args.get("userid", one["userid"]):
            found[one["state"]].append(
                {
                    **{name: one[name] for name in ("id", "courseid", "userid", "usermodified")},
                    "content": one["text"],
                    "format": 1,
                    "created": one["at"],
                    "lastmodified": one["at"],
                    "publishstate": one["state"],
                }
            )
    return {
        "sitenotes": found["site"],
        "coursenotes": found["public"],
        "personalnotes": found["draft"],
        "canmanagesystemnotes": True,
        "canmanagecoursenotes": True,
        "warnings": [],
    }


def create_events(site: Site, who: User, args: dict[str, Any]) -> dict[str, Any]:
    site.demand(who, "calendar")
    made = []
    for one in args["events"]:
        id = site.next("event")
        site.events[id] = {
            "description": "",
            "format": 1,
            "courseid": 0,
            "eventtype": "user",
            "timestart": 0,
            "timeduration": 0,
            **one,
            "id": id,
            "groupid": 0,
            "userid": who.id,
            "modulename": "",
            "instance": 0,
            "visible": 1,
            "uuid": "",
            "sequence": 1,
            "timemodified": int(site.now()),
            "subscriptionid": None,
        }
        made.append(site.events[id])
    return {"events": made, "warnings": []}


FUNCTIONS: dict[str, Function] = {
    "core_webservice_get_site_info": site_info,
    "core_user_get_users_by_field": users_by_field,
    "core_course_get_courses_by_field": courses_by_field,
    "core_enrol_get_enrolled_users": enrolled_users,
    **PLANS,
    "core_competency_create_competency_framework": create_framework,
    "core_competency_list_competency_frameworks": list_frameworks,
    "core_competency_create_competency": create_competency,
    "core_competency_list_competencies": list_competencies,
    "core_comment_add_comments": add_comments,
    "core_comment_get_comments": get_comments,
    "core_comment_delete_comments": delete_comments,
    "core_role_assign_roles": assign_roles,
    "core_role_unassign_roles": unassign_roles,
    "core_notes_create_notes": create_notes,
    "core_notes_get_course_notes": course_notes,
    "core_calendar_create_calendar_events": create_events,
}
OTHERS = frozenset({"core_course_delete_courses"})
"""Functions that a Moodle has and the twin does not play: never in a service."""
