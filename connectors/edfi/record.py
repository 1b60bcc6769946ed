"""Whether one record is what an OpenAPI schema of an Ed-Fi server asks for, told without repeating a value."""

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import date, datetime
from typing import Any

import msgspec


class Schema(msgspec.Struct, frozen=True):
    """The part of a schema, of OpenAPI 2.0 or 3, that says what a server refuses or leaves away."""

    ref: str = msgspec.field(name="$ref", default="")
    type: str | list[str] | None = None
    format: str = ""
    properties: dict[str, "Schema"] = {}
    required: Any = ()  # in OpenAPI 2.0 a parameter says true or false here
    items: "Schema | None" = None
    allOf: list["Schema"] = []
    additionalProperties: Any = None
    enum: list[Any] | None = None
    maxLength: int | None = None
    minLength: int | None = None
    maximum: float | None = None
    minimum: float | None = None
    minItems: int | None = None
    identity: Any = msgspec.field(name="x-Ed-Fi-isIdentity", default=False)


def wrong_with(record: Any, schema: Schema, schemas: Mapping[str, Schema]) -> Sequence[str]:
    """What is wrong, in the order of the record; `$ref`s are looked up in `schemas`."""
    return list(_wrong(record, schema, schemas, ""))


def following(schema: Schema, schemas: Mapping[str, Schema]) -> Schema:
    """The schema that is meant: references followed, and parts that hold together put into one."""
    for _ in range(16):  # a reference that comes back to itself ends here
        if not schema.ref:
            break
        schema = schemas.get(schema.ref.rpartition("/")[2], _ANYTHING)
    if not schema.allOf:
        return schema
    parts = [following(part, schemas) for part in schema.allOf]
    return msgspec.structs.replace(
        schema,
        allOf=[],
        type=schema.type or next((part.type for part in parts if part.type), None),
        properties={name: inner for part in [*parts, schema] for name, inner in part.properties.items()},
        required=[name for part in [*parts, schema] for name in part.required or ()],
    )


_ANYTHING = Schema()


def _wrong(value: Any, schema: Schema, schemas: Mapping[str, Schema], place: str) -> Iterator[str]:
    schema = following(schema, schemas)
    kinds = [schema.type] if isinstance(schema.type, str) else schema.type or []
    if kinds and not any(_is(value, kind) for kind in kinds):
        yield f"{place or 'the record'} is not {' or '.join(_KINDS.get(kind, kind) for kind in kinds)}"
    elif isinstance(value, dict):
        yield from _wrong_object(value, schema, schemas, place)
    elif isinstance(value, list):
        if len(value) < (schema.minItems or 0):
            yield f"{place} has too few entries: at least {schema.minItems}"
        for n, part in enumerate(value):
            yield from _wrong(part, schema.items or _ANYTHING, schemas, f"{place}[{n}]")
    elif isinstance(value, str):
        yield from (f"{place} {what}" for what in _wrong_text(value, schema, place))
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield from (f"{place} {what}" for what in _wrong_number(value, schema))
    if schema.enum and value not in schema.enum:
        yield f"{place} is none of the values that are allowed"


def _wrong_object(value: Mapping[str, Any], schema: Schema, schemas: Mapping[str, Schema], place: str) -> Iterator[str]:
    before = f"{place}." if place else ""
    spelt = {name.casefold(): name for name in schema.properties}
    for name, part in value.items():
        inner = schema.properties.get(name)
        if inner is not None:
            # Ed-Fi: null is the same as leaving the property away.
            if part is not None:
                yield from _wrong(part, inner, schemas, f"{before}{name}")
        elif right := spelt.get(name.casefold()):
            yield f"{before}{name} must be spelt {right}"
        elif schema.properties and not schema.additionalProperties:
            yield f"{before}{name} is not known to this server"
    given = {name.casefold() for name, part in value.items() if part is not None}
    # Ed-Fi: documents of 3.x list the id, which the server gives. A wrong spelling is told above.
    for name in schema.required or ():
        if name != "id" and name.casefold() not in given:
            yield f"{before}{name} is missing"


def _wrong_text(value: str, schema: Schema, place: str) -> Iterator[str]:
    # Ed-Fi: its servers are .NET, where the length of a text counts UTF-16 units.
    length = len(value.encode("utf-16-le", "surrogatepass")) // 2
    if schema.maxLength is not None and length > schema.maxLength:
        yield f"is longer than {schema.maxLength} characters"
    if length < (schema.minLength or 0):
        yield f"is shorter than {schema.minLength} characters"
    if schema.identity in (True, "true") and value != value.strip():
        yield "begins or ends with a space, which is refused in a key"
    if schema.format == "date" and not _is_date(value):
        yield "is not a date (yyyy-mm-dd)"
    if schema.format == "date-time" and not _is_moment(value):
        yield "is not a date and time with its offset"
    name = place.rpartition(".")[2]
    # Ed-Fi: a descriptor is written as its namespace, #, and its code, which has no # in it.
    if name.endswith("Descriptor") and not re.fullmatch(r"[^#]+#[^#]+", value):
        yield "is not a descriptor (namespace#code)"


def _wrong_number(value: float, schema: Schema) -> Iterator[str]:
    bits = {"int32": 31, "int64": 63}.get(schema.format)
    if bits and not -(2**bits) <= value < 2**bits:
        yield f"is too large for {schema.format}"
    if schema.maximum is not None and value > schema.maximum:
        yield f"is more than {schema.maximum:g}"
    if schema.minimum is not None and value < schema.minimum:
        yield f"is less than {schema.minimum:g}"


_KINDS = {
    "string": "a text",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
    "array": "a list",
    "object": "an object",
}


def _is(value: Any, kind: str) -> bool:
    match kind:
        case "string":
            return isinstance(value, str)
        case "integer":
            return isinstance(value, int) and not isinstance(value, bool)
        case "number":
            return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
        case "boolean":
            return isinstance(value, bool)
        case "array":
            return isinstance(value, list)
        case "object":
            return isinstance(value, dict)
        case _:
            return True


def _is_date(value: str) -> bool:
    return bool(re.fullmatch(r"\d{4}-\d\d-\d\d", value)) and _reads(date.fromisoformat, value)


def _is_moment(value: str) -> bool:
    return bool(re.fullmatch(r"\d{4}-\d\d-\d\dT.+(Z|[+-]\d\d:\d\d)", value)) and _reads(datetime.fromisoformat, value)


def _reads(how: Any, value: str) -> bool:
    try:
        how(value)
    except ValueError:
        return False
    return True
