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
    "Contact": "contacts",
    "Parent": "parents",
    "School": "schools",
    "Program": "programs",
    "Intervention": "interventions",
    "Cohort": "cohorts",
}
# What a server adds to an item; a body may have it and nothing comes of it.
_OF_THE_SERVER = frozenset({"id", "link", "_etag", "_lastmodifieddate"})


class Pointer(NamedTuple):
    """A reference found in a body: to which kind of item, by what natural key."""

    rel: str
    key: Key


def judge(shape: Shape, body: object, exists: Callable[[str, str], bool], *, exact: bool) -> Row:
    """The body as it is kept: known properties only, nulls gone, digits in strings read as numbers; of an open shape
    the unknown ones too.

    `exists` tells whether a descriptor has such a value; `exact` whether names must be spelled as the shape does.
    Raises Refusal (400) naming every faulty place at once; unknown descriptor values when nothing else is wrong.
    """
    if not isinstance(body, dict):
        raise refusals.bad_request("A non-empty request body is required.")
    check = _Check(exists, exact=exact, open=shape.open)
    row = check.properties(shape.fields, body, "$")
    if check.faults:
        raise refusals.invalid(check.faults)
    if check.unknown:
        raise refusals.unknown_descriptors(check.unknown)
    return row


def key_of(shape: Shape, row: Row) -> Key:
    """The natural key of a judged body."""
    key = tuple(reduce(lambda part, name: part[name], path.split("."), row) for path in shape.key)
    # The district's own records have dates in their keys.
    return tuple(_as_day(shape, path, part) for path, part in zip(shape.key, key, strict=True)) if shape.open else key


def references(fields: Fields, row: Row, path: str = "$") -> Iterator[tuple[str, Pointer]]:
    """Every reference in a judged body with its JSON path, in the order of the body."""
    for name, value in row.items():
        wanted = fields.get(name)
        if wanted is None:
            continue
        if wanted.kind == "reference":
            yield f"{path}.{name}", Pointer(wanted.of, tuple(value[part] for part in wanted.fields))
        for place, inner in enumerate(value if wanted.kind == "many" else ()):
            yield from references(wanted.fields, inner, f"{path}.{name}[{place}]")


def linked(fields: Fields, row: Row, agency: int) -> Row:
    """A kept body with the links a server adds to its references; `agency` is the id of the district."""
    served = dict(row)
    for name, value in row.items():
        wanted = fields.get(name)
        if wanted is None:
            continue
        if wanted.kind == "many":
            served[name] = [linked(wanted.fields, inner, agency) for inner in value]
        elif wanted.of == "EducationOrganization":
            number = value["educationOrganizationId"]
            served[name] = wire.organization(number, agency=number == agency)
        elif wanted.of in _RESOURCES:
            served[name] = wire.reference(wanted.of, _RESOURCES[wanted.of], **value)
    return served


def _as_day(shape: Shape, path: str, part: Any) -> Any:
    wanted = shape.fields[path.partition(".")[0]]
    return date.fromisoformat(part) if wanted.kind == "day" else part


def _bare(value: Any) -> Any:
    """What was sent, without the links and nulls in it."""
    if isinstance(value, dict):
        return {name: _bare(part) for name, part in value.items() if name != "link" and part is not None}
    return [_bare(part) for part in value] if isinstance(value, list) else value


class _Check:
    """One pass over a body, collecting what is wrong with it by JSON path."""

    def __init__(self, exists: Callable[[str, str], bool], *, exact: bool, open: bool) -> None:
        self._exists = exists
        self._exact = exact
        self._open = open
        self.faults: dict[str, list[str]] = {}
        self.unknown: dict[str, tuple[str, str]] = {}

    def properties(self, fields: Fields, body: Row, path: str) -> Row:
        # Ed-Fi: unknown properties are ignored, null is the same as absent; ODS does not mind the case of names.
        given = body if self._exact else {name.lower(): value for name, value in body.items()}
        kept: Row = {}
        for name, wanted in fields.items():
            value, place = given.get(name if self._exact else name.lower()), f"{path}.{name}"
            if value is not None and value != "":
                kept[name] = getattr(self, f"_{wanted.kind}")(wanted, value, place)
            elif wanted.required:
                self._fault(place, "is required.")
        return kept | self._others(fields, body) if self._open else kept

    def _others(self, fields: Fields, body: Row) -> Row:
        """The properties that the shape does not name. One that is spelled in another case is none of them."""
        known = {name.lower() for name in fields} | _OF_THE_SERVER
        return {name: _bare(part) for name, part in body.items() if name.lower() not in known and part is not None}

    def _many(self, wanted: Field, value: object, path: str) -> Any:
        if not isinstance(value, list):
            return self._unfit(value, path, "a collection")
        return [self._one(wanted, item, f"{path}[{place}]") for place, item in enumerate(value)]

    def _one(self, wanted: Field, value: object, path: str) -> Any:
        if not isinstance(value, dict):
            return self._unfit(value, path, "an object")
        return self.properties(wanted.fields, value, path)

    def _reference(self, wanted: Field, value: object, path: str) -> Any:
        kept = self._one(wanted, value, path)
        return {name: kept[name] for name in wanted.fields if name in kept} if kept else kept

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
