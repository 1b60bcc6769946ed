"""Records of OneRoster 1.2 made from the JSON schemas of its services: full, bare, and any at all."""

import json
from collections.abc import Iterator
from functools import cache
from typing import Any

from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from tests.openapi import CONTRACTS, FORMATS

SCHEMAS = CONTRACTS / "oneroster" / "jsonschema"
SERVICES = {"rostering": 7, "gradebook": 6, "resources": 1}
"""Each service, and how many models it has."""
_WORDS = [
    "identifier",
    "userMasterIdentifier",
    "SSN",
    "State",
    "KG",
    "9",
    "case",
    "unknown",
    "2027",
    " a",
    "",
    "ext:aide",
]


@cache
def definitions(service: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((SCHEMAS / f"v1p2_{service}.schema.json").read_text(encoding="utf-8"))["$defs"]
    return found


@cache
def models() -> dict[str, tuple[str, str]]:
    """Collection -> its service and the name of its model, as the services' envelopes say."""
    found = {}
    for service in SERVICES if SCHEMAS.exists() else ():
        for name, schema in definitions(service).items():
            if name.endswith("SetDType") and not name.startswith(("GUIDPair", "Learning")):
                ((collection, items),) = schema["properties"].items()
                found[collection] = service, items["items"]["$ref"].rpartition("/")[2]
    return found


def made(service: str, model: str, *, full: bool) -> Any:
    """One record, with everything there may be or only what must be."""
    return _made(definitions(service), {"$ref": f"#/$defs/{model}"}, model, full)


def _made(defs: dict[str, Any], schema: dict[str, Any], name: str, full: bool) -> Any:
    if "$ref" in schema:
        return _made(defs, defs[schema["$ref"].rpartition("/")[2]], name, full)
    if "anyOf" in schema:
        closed = [one for one in schema["anyOf"] if "enum" in one]
        return _made(defs, (closed or schema["anyOf"])[0], name, full)
    if "enum" in schema:
        return schema["enum"][0]
    match schema["type"]:
        case "object":
            wanted = schema.get("properties", {}) if full else schema.get("required", ())
            return {one: _made(defs, schema["properties"][one], one, full) for one in wanted}
        case "array":
            return [_made(defs, schema["items"], name, full)]
        case "number":
            return 12.5
    texts = {"date": "2026-09-14", "date-time": "2026-09-14T00:00:00.000Z", "uri": f"https://sis.example.org/{name}"}
    plain = {"grades": "09", "schoolYear": "2027"}
    return texts.get(schema.get("format", "")) or plain.get(name) or f"some {name}"


def neighbours(service: str, model: str, record: Any) -> Iterator[Any]:
    """The record with one thing in it changed, each that the schema allows: a list holds its first item twice, a text
    has a blank behind it or is another one, such as each word of each list of words."""
    valid = Draft202012Validator({"$ref": f"#/$defs/{model}", "$defs": definitions(service)}, format_checker=FORMATS)
    return (one for one in _changed(record, (*OTHER_TEXTS, *_enumerated(service))) if valid.is_valid(one))


OTHER_TEXTS = ("false", "ext:coach", "2026-09-14T12:30:00.000Z", "identifier", "SSN", "")


@cache
def _enumerated(service: str) -> tuple[str, ...]:
    """Every word of every closed list of words."""
    found: list[str] = []
    waiting: list[Any] = [definitions(service)]
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict):
            found += value.get("enum", ()) if isinstance(value.get("enum"), list) else ()
            waiting += value.values()
        elif isinstance(value, list):
            waiting += value
    return tuple(sorted(set(found)))


def _changed(value: Any, texts: tuple[str, ...]) -> Iterator[Any]:
    match value:
        case dict():
            for name, inner in value.items():
                yield from ({**value, name: other} for other in _changed(inner, texts))
        case list():
            yield [*value, *value[:1]]
            for n, inner in enumerate(value):
                yield from ([*value[:n], other, *value[n + 1 :]] for other in _changed(inner, texts))
        case str():
            yield from (f"{value} ", *texts)


def any_of(service: str, model: str) -> st.SearchStrategy[Any]:
    """Every record that the schema allows, more or less: texts are short, and often those that are hard."""
    return _any(service, f"#/$defs/{model}")


@cache
def _any(service: str, pointer: str) -> st.SearchStrategy[Any]:
    name = pointer.rpartition("/")[2]
    if name == "MetadataDType":
        purposes = st.sampled_from(["interim", "benchmark", "never heard of", None])
        return st.dictionaries(st.sampled_from(["purpose", "locker"]), purposes)
    return _strategy(service, definitions(service)[name])


def _strategy(service: str, schema: dict[str, Any]) -> st.SearchStrategy[Any]:
    if "$ref" in schema:
        return st.deferred(lambda: _any(service, schema["$ref"]))
    if "anyOf" in schema:
        return st.one_of(*(_strategy(service, one) for one in schema["anyOf"]))
    if "enum" in schema:
        return st.sampled_from(schema["enum"])
    match schema["type"]:
        case "object":
            required = set(schema.get("required", ()))
            fields = {name: _strategy(service, one) for name, one in schema.get("properties", {}).items()}
            if "sourcedId" in fields and "status" in fields:
                fields["sourcedId"] = st.sampled_from(["id-1", " id 2"])
            return st.fixed_dictionaries(
                {name: one for name, one in fields.items() if name in required},
                optional={name: one for name, one in fields.items() if name not in required},
            )
        case "array":
            return st.lists(_strategy(service, schema["items"]), min_size=schema.get("minItems", 0), max_size=3)
        case "number":
            return st.floats(allow_nan=False, allow_infinity=False) | st.integers(-1000, 1000)
    if schema.get("pattern"):
        return st.sampled_from(["ext:aide", "ext:administrator", "ext:coach"])
    match schema.get("format"):
        case "date":
            return st.dates().map(str)
        case "date-time":
            midnight = st.dates().map(lambda day: f"{day}T00:00:00.000Z")
            return midnight | st.datetimes().map(lambda at: f"{at.isoformat(timespec='milliseconds')}Z")
        case "uri":
            return st.sampled_from(["https://sis.example.org/a", "https://sis.example.org/b"])
    return st.sampled_from(_WORDS) | st.text(st.sampled_from("aß \t9,:"), max_size=4)
