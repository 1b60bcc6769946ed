"""What may be written: a record that the contract allows, about things that are there."""

import json
import re
from collections.abc import Mapping
from datetime import date, datetime
from typing import Any

from starlette.requests import Request

from connectors.oneroster.twin_1p1 import newer
from connectors.oneroster.twin_errors import Denied
from connectors.oneroster.twin_fields import MODELS, REFERRED, Property, Version
from connectors.oneroster.twin_rows import GRADEBOOK, ROSTERING, Row
from connectors.oneroster.twin_shelves import Shelves

_GRADED = {"categories", "lineItems", "results", "scoreScales", "assessmentLineItems", "assessmentResults"}
_STATUSES = {"exempt", "fully graded", "not submitted", "partially graded", "submitted"}
_EXTENSION = re.compile(r"ext:[a-zA-Z0-9.\-_]+")
_INSIDE = {
    "learningObjectiveSet": {"source"},
    "scoreScaleValue": {"itemValueLHS", "itemValueRHS"},
}


async def body(request: Request, envelope: str) -> Any:
    """What the envelope of the request holds; refuses what is no JSON, or has another envelope."""
    try:
        found = json.loads(await request.body())
    except ValueError:
        raise Denied(422, "The body is no JSON.", "invaliddata") from None
    if not isinstance(found, dict) or list(found) != [envelope]:
        raise Denied(422, f"The body is an object with {envelope} and nothing else.", "invaliddata")
    return found[envelope]


def record(shelves: Shelves, version: Version, collection: str, row: Any, waived: tuple[str, ...] = ()) -> Row:
    """The record as it is kept, in 1.2; refuses with 422 what breaks the contract or names what is not there.
    `waived` may be missing."""
    model = MODELS[version][collection]
    if not isinstance(row, dict):
        raise Denied(422, f"A record of {collection} is an object.")
    if unknown := sorted(row.keys() - model.keys()):
        raise Denied(422, f"{collection} have no property {unknown[0]}.")
    for one in model.values():
        if one.name in row:
            _check(shelves, one, row[one.name])
        elif one.required and one.name not in waived:
            raise Denied(422, f"{one.name} is missing.")
    status = row.get("scoreStatus")
    if status is not None and status not in _STATUSES and not (version == "1.2" and _EXTENSION.fullmatch(status)):
        raise Denied(422, "scoreStatus is no word of the vocabulary.")
    kept = newer(collection, row, lambda sourced_id: shelves.rows("classes")[sourced_id]["school"])
    return {
        name: _here(name, value)
        for name, value in kept.items()
        if name not in ("sourcedId", "status", "dateLastModified")
    }


def _check(shelves: Shelves, one: Property, value: Any) -> None:
    if not _fits(one, value):
        raise Denied(422, f"{one.name} is no {one.kind}.")
    if one.name == "status" and value not in ("active", "tobedeleted"):
        raise Denied(422, "status is active or tobedeleted.")
    if one.kind == "ref" and not shelves.has(REFERRED[one.name], value["sourcedId"]):
        raise Denied(422, f"{one.name} names an object that is not here.")
    for part in value if one.name in _INSIDE else ():
        if not isinstance(part, dict) or not part.keys() >= _INSIDE[one.name]:
            raise Denied(422, f"A part of {one.name} lacks {', '.join(sorted(_INSIDE[one.name]))}.")


def _fits(one: Property, value: Any) -> bool:
    match one.kind:
        case "text":
            return isinstance(value, str)
        case "number":
            return isinstance(value, int | float) and not isinstance(value, bool)
        case "truth":
            return value in ("true", "false") if isinstance(value, str) else False
        case "date":
            return isinstance(value, str) and _reads(date, value) and len(value) == 10
        case "moment":
            return isinstance(value, str) and "T" in value and value.endswith("Z") and _reads(datetime, value)
        case "ref":
            return isinstance(value, dict) and all(
                isinstance(value.get(name), str) for name in ("href", "sourcedId", "type")
            )
        case "object":
            return isinstance(value, dict)
        case "texts" | "refs" | "objects":
            return isinstance(value, list)


def _reads(kind: type[date], value: str) -> bool:
    try:
        kind.fromisoformat(value)
    except ValueError:
        return False
    return True


def _here(name: str, value: Any) -> Any:
    """A reference as this system writes it: whatever href a client sent, it leads here."""
    if name not in REFERRED or not isinstance(value, dict):
        return value
    collection = REFERRED[name]
    root = GRADEBOOK if collection in _GRADED else ROSTERING
    return {"href": f"{root}/{collection}/{value['sourcedId']}", "sourcedId": value["sourcedId"], "type": value["type"]}


def within(shelves: Shelves, collection: str, row: Row, parents: Mapping[str, str]) -> None:
    """Refuse with 422 a record that belongs to something else than the path says."""
    item = shelves.rows("lineItems").get(row.get("lineItem", {}).get("sourcedId", ""), {})
    for name, sourced_id in parents.items():
        said = row.get(name) or item.get(name)
        if said is not None and said["sourcedId"] != sourced_id:
            raise Denied(422, f"The record is about another {name} than the path.")
