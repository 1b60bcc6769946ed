"""What a record of OneRoster 1.2 is in 1.1, and what a record that was written in 1.1 is in 1.2."""

from collections.abc import Callable
from typing import Any

from connectors.oneroster.twin_fields import MODELS

Row = dict[str, Any]
ROOT = "/ims/oneroster/v1p1"

# 1.1 has one word where 1.2 has five
_ADMINISTRATORS = {"districtAdministrator", "siteAdministrator", "systemAdministrator", "principal", "counselor"}


def older(collection: str, row: Row) -> Row:
    """The record in 1.1, nothing of it shared with the one of 1.2. What 1.1 has no property for is left out."""
    known = MODELS["1.1"][collection]
    made = {name: value for name, value in row.items() if name in known}
    match collection:
        case "users":
            orgs = {role["org"]["sourcedId"]: role["org"] for role in row["roles"]}
            made |= {"role": _role(row["roles"][0]["role"]), "orgs": list(orgs.values())}
            made.setdefault("username", "")
        case "classes" if "periods" in row:
            made["periods"] = ",".join(row["periods"])  # OneRoster 1.1: the OpenAPI document has a text here
        case "enrollments":
            made["role"] = _role(row["role"])
        case "lineItems":
            session = row.get("gradingPeriod") or row.get("academicSession")
            if session:
                made["gradingPeriod"] = {**session, "type": "gradingPeriod"}
            made.setdefault("resultValueMin", 0.0)
        case "results":
            made.setdefault("score", 0.0)  # 1.1 demands one, of who did not hand in too
        case "resources":
            made["role"] = _role(row["roles"][0]) if row.get("roles") else "student"
    return {
        name: value == "true" if known[name].kind == "truth" and isinstance(value, str) else value
        for name, value in made.items()
    }


def _role(role: str) -> str:
    return "administrator" if role in _ADMINISTRATORS else role


def newer(collection: str, row: Row, school_of: Callable[[str], Row]) -> Row:
    """The record in 1.2 as a system keeps it; `school_of` a class is a reference to its school."""
    made = dict(row)
    if collection == "lineItems":
        made["school"] = school_of(row["class"]["sourcedId"])
        if "gradingPeriod" in row:
            made["gradingPeriod"] = {**row["gradingPeriod"], "type": "academicSession"}
    return made
