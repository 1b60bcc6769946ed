"""How a written body is judged and kept: required fields, lengths, coercion, descriptors, references."""

import re
from collections.abc import Callable, Iterator
from datetime import date
from functools import reduce
from typing import Any, NamedTuple

from connectors.edfi.twin import refusals, wire
from connectors.edfi.twin.collection import Key, Row
from connectors.edfi.twin.shapes import Field, Fields, Shape

# Ed-Fi: error knowledge base 7.3, "potentially dangerous value"
_MARKUP = re.compile(r"<[a-zA-Z!/?]|&#")
_TIME = re.compile(r"([01]\d|2[0-3]):[0-5]\d:[0-5]\d")
_DAY = re.compile(r"\d{4}-\d\d-\d\d")
_WHOLE = re.compile(r"-?\d{1,9}")
_RESOURCES = {
    "Student": "students",
    "Staff": "staffs",
    "Program": "programs",
    "Intervention": "interventions",
    "Cohort": "cohorts",
}


class Pointer(NamedTuple):
    """A reference found in a body: to which kind of item, by what natural key."""

    rel: str
    key: Key


def judge(fields: Fields, body: object, exists: Callable[[str, str], bool]) -> Row:
    """The body as it is kept: known properties only, nulls gone, digits in strings read as numbers.

    `exists` tells whether a descriptor has such a value. Raises Refusal (400) naming every faulty place at
    once; unknown descriptor values are told when nothing else is wrong.
    """
    if not isinstance(body, dict):
        raise refusals.bad_request("A non-empty request body is required.")
    check = _Check(exists)
    row = check.properties(fields, body, "$")
    if check.faults:
        raise refusals.invalid(check.faults)
    if check.unknown:
        raise refusals.unknown_descriptors(check.unknown)
    return row


def key_of(shape: Shape, row: Row) -> Key:
    """The natural key of a judged body."""
    return tuple(reduce(lambda part, name: part[name], path.split("."), row) for path in shape.key)


def pointers(fields: Fields, row: Row) -> Iterator[Pointer]:
    """Every reference in a judged body, in the order of the shape."""
    for name, value in row.items():
        wanted = fields[name]
        if wanted.kind == "reference":
            yield Pointer(wanted.of, tuple(value[part] for part in wanted.fields))
        for inner in value if wanted.kind == "many" else ():
            yield from pointers(wanted.fields, inner)


def linked(fields: Fields, row: Row, agency: int) -> Row:
    """A kept body with the links a server adds to its references; `agency` is the id of the district."""
    served = dict(row)
    for name, value in row.items():
        wanted = fields[name]
        if wanted.kind == "many":
            served[name] = [linked(wanted.fields, inner, agency) for inner in value]
        elif wanted.of == "EducationOrganization":
            number = value["educationOrganizationId"]
            served[name] = wire.organization(number, agency=number == agency)
        elif wanted.of in _RESOURCES:
            served[name] = wire.reference(wanted.of, _RESOURCES[wanted.of], **value)
    return served


class _Check:
    """One pass over a body, collecting what is wrong with it by JSON path."""

    def __init__(self, exists: Callable[[str, str], bool]) -> None:
        self._exists = exists
        self.faults: dict[str, list[str]] = {}
        self.unknown: dict[str, tuple[str, str]] = {}

    def properties(self, fields: Fields, body: Row, path: str) -> Row:
        # Ed-Fi: unknown properties are ignored, null is the same as absent.
        kept: Row = {}
        for name, wanted in fields.items():
            value, place = body.get(name), f"{path}.{name}"
            if value is not None and value != "":
                kept[name] = getattr(self, f"_{wanted.kind}")(wanted, value, place)
            elif wanted.required:
                self._fault(place, "is required.")
        return kept

    def _many(self, wanted: Field, value: object, path: str) -> Any:
        if not isinstance(value, list):
            return self._unfit(value, path, "a collection")
        return [self._one(wanted, item, f"{path}[{place}]") for place, item in enumerate(value)]

    def _one(self, wanted: Field, value: object, path: str) -> Any:
        if not isinstance(value, dict):
            return self._unfit(value, path, "an object")
        return self.properties(wanted.fields, value, path)

    _reference = _one

    def _text(self, wanted: Field, value: object, path: str) -> Any:
        if not isinstance(value, str):
            return self._unfit(value, path, "a string")
        if len(value) > wanted.limit:
            self._fault(path, f"must be between 1 and {wanted.limit} characters in length.")
        if wanted.key and value != value.strip():
            self._fault(path, "cannot contain leading or trailing spaces.")
        if _MARKUP.search(value):
            self._fault(path, "contains a value that could be dangerous for downstream systems using this data.")
        return value

    def _descriptor(self, wanted: Field, value: object, path: str) -> Any:
        if not self._exists(wanted.of, str(value)):
            self.unknown[path] = (wanted.of, str(value))
        return self._text(wanted, value, path)

    def _day(self, wanted: Field, value: object, path: str) -> Any:
        try:
            date.fromisoformat(str(value))
        except ValueError:
            return self._unfit(value, path, "a date")
        # Ed-Fi: yyyy-MM-dd only; Python reads other ISO 8601 forms too.
        return value if _DAY.fullmatch(str(value)) else self._unfit(value, path, "a date")

    def _time(self, wanted: Field, value: object, path: str) -> Any:
        return value if _TIME.fullmatch(str(value)) else self._unfit(value, path, "a time")

    def _whole(self, wanted: Field, value: object, path: str) -> Any:
        # Ed-Fi: ODS reads "7" as 7.
        return int(str(value)) if _WHOLE.fullmatch(str(value)) else self._unfit(value, path, "an integer")

    def _flag(self, wanted: Field, value: object, path: str) -> Any:
        text = str(value).lower()
        return text == "true" if text in ("true", "false") else self._unfit(value, path, "a boolean")

    def _unfit(self, value: object, path: str, kind: str) -> None:
        self.faults[path] = [f"Error converting value {value!r} to {kind}. Path '{path[2:]}'."]

    def _fault(self, path: str, sentence: str) -> None:
        name = path.rsplit(".", 1)[-1]
        self.faults.setdefault(path, []).append(f"{name[0].upper()}{name[1:]} {sentence}")
