"""What the twin's web service functions take, and the type and the rules of each argument."""

import re
from typing import Any

from connectors.moodle.twin_cleaner import is_fixed_point
from connectors.moodle.twin_errors import invalid_parameter

_STAMPS = {"timecreated": "int", "timemodified": "int", "usermodified": "int"}
_PLAN = {
    "description": "cleanhtml",
    "descriptionformat": "int",
    "templateid": "int",
    "origtemplateid": "int",
    "status": "int",
    "duedate": "int",
    "reviewerid": "int",
    **_STAMPS,
}
_WORDS = {"shortname": "text!", "idnumber": "raw!", "description": "cleanhtml", "descriptionformat": "int"}
_SCALE = {"scaleid": "int", "scaleconfiguration": "raw"}
_CONTEXT = {"contextid": "int", "contextlevel": "alpha", "instanceid": "int"}
_LIST = {"sort": "alphanumext", "order": "alpha", "skip": "int", "limit": "int"}
_ROLE = {"roleid": "int!", "userid": "int!", **_CONTEXT}

SIGNATURES: dict[str, dict[str, Any]] = {
    "core_webservice_get_site_info": {"serviceshortnames": ["alphanumext!"]},
    "core_user_get_users_by_field": {"field": "alpha!", "values": ["raw!"]},
    "core_course_get_courses_by_field": {"field": "alpha", "value": "raw"},
    "core_enrol_get_enrolled_users": {"courseid": "int!", "options": [{"name": "alphanumext!", "value": "raw!"}]},
    "core_competency_create_plan": {"plan": {"name": "text!", "userid": "int!", **_PLAN}},
    "core_competency_update_plan": {"plan": {"id": "int!", "name": "text", "userid": "int", **_PLAN}},
    "core_competency_complete_plan": {"planid": "int!"},
    "core_competency_reopen_plan": {"planid": "int!"},
    "core_competency_read_plan": {"id": "int!"},
    "core_competency_delete_plan": {"id": "int!"},
    "core_competency_list_user_plans": {"userid": "int!"},
    "core_competency_create_competency_framework": {
        "competencyframework": {
            **_WORDS,
            "visible": "bool",
            "scaleid": "int!",
            "scaleconfiguration": "raw!",
            **_CONTEXT,
            "taxonomies": "raw",
            **_STAMPS,
        }
    },
    "core_competency_list_competency_frameworks": {
        **_LIST,
        "context": _CONTEXT,
        "includes": "alpha",
        "onlyvisible": "bool",
        "query": "raw",
    },
    "core_competency_create_competency": {
        "competency": {
            **_WORDS,
            "sortorder": "int",
            "parentid": "int",
            "path": "raw",
            "ruleoutcome": "int",
            "ruletype": "raw",
            "ruleconfig": "raw",
            **_SCALE,
            "competencyframeworkid": "int",
            **_STAMPS,
        }
    },
    "core_competency_list_competencies": {"filters": [{"column": "alphanumext!", "value": "text!"}], **_LIST},
    "core_competency_add_competency_to_plan": {"planid": "int!", "competencyid": "int!"},
    "core_competency_remove_competency_from_plan": {"planid": "int!", "competencyid": "int!"},
    "core_competency_list_plan_competencies": {"id": "int!"},
    "core_competency_grade_competency_in_plan": {
        "planid": "int!",
        "competencyid": "int!",
        "grade": "int!",
        "note": "notags",
    },
    "core_comment_add_comments": {
        "comments": [
            {
                "contextlevel": "alpha!",
                "instanceid": "int!",
                "component": "component!",
                "content": "raw!",
                "itemid": "int!",
                "area": "area",
            }
        ]
    },
    "core_comment_get_comments": {
        "contextlevel": "alpha!",
        "instanceid": "int!",
        "component": "component!",
        "itemid": "int!",
        "area": "area",
        "page": "int",
        "sortdirection": "alpha",
    },
    "core_comment_delete_comments": {"comments": ["int"]},
    "core_role_assign_roles": {"assignments": [_ROLE]},
    "core_role_unassign_roles": {"unassignments": [_ROLE]},
    "core_notes_create_notes": {
        "notes": [
            {
                "userid": "int!",
                "publishstate": "alpha!",
                "courseid": "int!",
                "text": "raw!",
                "format": "int",
                "clientnoteid": "alphanumext",
            }
        ]
    },
    "core_notes_get_course_notes": {"courseid": "int!", "userid": "int"},
    "core_calendar_create_calendar_events": {
        "events": [
            {
                "name": "text!",
                "description": "raw",
                "format": "int",
                "courseid": "int",
                "groupid": "int",
                "repeats": "int",
                "eventtype": "text",
                "timestart": "int",
                "timeduration": "int",
                "visible": "int",
                "sequence": "int",
            }
        ]
    },
}
"""Function -> its arguments. A list stands for a PHP list of such, an exclamation mark for what must be given."""

_SHAPES = {
    "alpha": r"[a-zA-Z]*",
    "alphanumext": r"[a-zA-Z0-9_-]*",
    "component": r"[a-z][a-z0-9]*(_[a-z0-9_]+)?",
    "area": r"[a-z][a-z0-9_]*|",
}


def read(form: list[tuple[str, str]], signature: dict[str, Any]) -> dict[str, Any]:
    """The arguments of a call out of its form. invalidparameter for what the function does not take, for what it
    misses, and for a value that cleaning would change."""
    nested: dict[str, Any] = {}
    for name, value in form:
        first, *rest = re.split(r"\[|\]\[", name.removesuffix("]")) if name.endswith("]") else [name]
        place = nested
        steps = [first, *rest]
        for step in steps[:-1]:
            place = place.setdefault(step, {})
            if not isinstance(place, dict):
                raise invalid_parameter()
        place[steps[-1]] = value
    return _object(nested, signature)


def _object(given: Any, spec: dict[str, Any]) -> dict[str, Any]:
    if not isinstance(given, dict) or set(given) - set(spec):
        raise invalid_parameter()
    if missing := [name for name, kind in spec.items() if name not in given and _is_needed(kind)]:
        raise invalid_parameter(f"Not given: {missing[0]}")
    return {name: _value(given[name], spec[name]) for name in given}


def _is_needed(kind: Any) -> bool:
    """A structure with something that must be given must be given itself; a list may be empty."""
    if isinstance(kind, dict):
        return any(_is_needed(part) for part in kind.values())
    return isinstance(kind, str) and kind.endswith("!")


def _value(given: Any, kind: Any) -> Any:
    if isinstance(kind, list):
        if not isinstance(given, dict) or not all(place.isdigit() for place in given):
            raise invalid_parameter()
        return [_value(given[place], kind[0]) for place in sorted(given, key=int)]
    if isinstance(kind, dict):
        return _object(given, kind)
    if not isinstance(given, str):
        raise invalid_parameter()
    return _scalar(given, kind.rstrip("!"))


def _scalar(given: str, kind: str) -> str | int | bool:
    if kind == "int":
        if not re.fullmatch(r"-?[0-9]{1,18}", given):
            raise invalid_parameter()
        return int(given)
    if kind == "bool":
        return given in ("1", "true")
    if kind == "cleanhtml" and not is_fixed_point(given):
        raise invalid_parameter()
    if kind in ("text", "notags") and stripped(given) != given:
        raise invalid_parameter()
    if kind in _SHAPES and not re.fullmatch(_SHAPES[kind], given):
        raise invalid_parameter()
    return given


def stripped(text: str) -> str:
    """# PHP strip_tags: what begins like a tag goes, to its end or to that of the text"""
    return re.sub(r"<[^\s].*?(>|$)", "", text, flags=re.DOTALL)
