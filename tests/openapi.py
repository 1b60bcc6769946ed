"""What a published OpenAPI document says of a request, of its answer, and of one record."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import yaml
from jsonschema import Draft202012Validator, FormatChecker

CONTRACTS = Path(__file__).resolve().parents[2] / "shared" / "contracts"
FORMATS = FormatChecker()


@FORMATS.checks("date-time", raises=ValueError)
def _is_moment(value: object) -> bool:
    return not isinstance(value, str) or datetime.fromisoformat(value).tzinfo is not None


@cache
def document(name: str) -> dict[str, Any]:
    """One OpenAPI document below the folder of contracts, its slips mended; read once."""
    text = (CONTRACTS / name).read_text(encoding="utf-8")
    found: dict[str, Any] = yaml.load(text, Loader=yaml.CSafeLoader)
    _mend(found)
    return found


def _mend(value: Any) -> None:
    """Put right what the published files have wrong: "true" read as true, a pattern that is none, a lost name."""
    if isinstance(value, list):
        for part in value:
            _mend(part)
    elif isinstance(value, dict):
        if isinstance(value.get("enum"), list):
            value["enum"] = [str(each).lower() if isinstance(each, bool) else each for each in value["enum"]]
        if isinstance(value.get("pattern"), str) and not _compiles(value["pattern"]):
            del value["pattern"]
        if value.get("$ref") == "":  # Ed-Fi 4.0: in every list of parameters, where 5.0 has the offset
            value["$ref"] = "#/components/parameters/offset"
        for part in value.values():
            _mend(part)


def _compiles(pattern: str) -> bool:
    try:
        re.compile(pattern)
    except re.error:
        return False
    return True


@cache
def closed(name: str) -> dict[str, Any]:
    """The document with no component that takes a property it does not name."""
    found = document(name)
    schemas = {key: {**schema, "additionalProperties": False} for key, schema in found["components"]["schemas"].items()}
    return found | {"components": found["components"] | {"schemas": schemas}}


def validator(found: Mapping[str, Any], schema: Mapping[str, Any]) -> Draft202012Validator:
    """Judges by one schema of a document."""
    return Draft202012Validator({**schema, "components": found["components"]}, format_checker=FORMATS)


def resolved(found: Mapping[str, Any], schema: Any) -> Any:
    """What a reference in a document leads to."""
    while "$ref" in schema:
        place: Any = found
        for step in schema["$ref"].removeprefix("#/").split("/"):
            place = place[step]
        schema = place
    return schema


@dataclass(frozen=True)
class Exchange:
    """One request as it was sent, and its answer. Names of headers are in lower case."""

    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    body: bytes
    status: int
    answer_headers: Mapping[str, str]
    answer: bytes

    @property
    def parameters(self) -> list[tuple[str, str]]:
        return parse_qsl(self.query, keep_blank_values=True, strict_parsing=bool(self.query))

    def __str__(self) -> str:
        return f"{self.method} {self.path}?{self.query} -> {self.status}"


@dataclass(frozen=True)
class Service:
    """One service: its document, and the path below which it is served."""

    found: Mapping[str, Any]
    root: str

    def complaints(self, exchange: Exchange, *, besides: Sequence[str] = ()) -> Iterator[str]:
        """What in an exchange is not as the document says. `besides` names query parameters judged elsewhere."""
        described = self._operation(exchange)
        if described is None:
            yield f"{exchange}: no such operation"
            return
        path, operation = described
        for complaint in (
            *self._query(exchange, [*path.get("parameters", ()), *operation.get("parameters", ())], besides),
            *self._headers(exchange, operation),
            *self._body(exchange, operation),
            *self._answer(exchange, operation),
        ):
            yield f"{exchange}: {complaint}"

    def _operation(self, exchange: Exchange) -> tuple[Any, Any] | None:
        below = exchange.path.removeprefix(self.root)
        for template, path in self.found["paths"].items():
            if re.fullmatch(re.sub(r"\\{[^}]*\\}", "[^/]+", re.escape(template).replace(r"\{", "{")), below):
                operation = path.get(exchange.method.lower())
                return (path, operation) if operation is not None else None
        return None

    def _query(self, exchange: Exchange, parameters: Sequence[Any], besides: Sequence[str]) -> Iterator[str]:
        known = {each["name"]: each for each in (resolved(self.found, each) for each in parameters)}
        known = {name: each for name, each in known.items() if each["in"] == "query"}
        given = [(name, value) for name, value in exchange.parameters if name not in besides]
        for name in {name for name, _ in given}:
            if len([each for each, _ in given if each == name]) > 1:
                yield f"{name} is there more than once"
        for name, value in given:
            if name not in known:
                yield f"{name} is no query parameter"
            else:
                yield from self._errors(known[name]["schema"], _typed(value, known[name]["schema"]), name)
        yield from (
            f"{name} is missing" for name, each in known.items() if each.get("required") and name not in dict(given)
        )

    def _headers(self, exchange: Exchange, operation: Any) -> Iterator[str]:
        guarded = operation.get("security", self.found.get("security"))
        if guarded and not re.fullmatch(r"Bearer [\w.~+/-]+=*", exchange.headers.get("authorization", "")):
            yield "no bearer token"
        accepted = exchange.headers.get("accept", "*/*")
        if not re.search(r"application/json|\*/\*", accepted):
            yield f"answers in {accepted} only"

    def _body(self, exchange: Exchange, operation: Any) -> Iterator[str]:
        if "requestBody" not in operation:
            if exchange.body or "content-type" in exchange.headers:
                yield "a body where none is expected"
            return
        described = resolved(self.found, operation["requestBody"])
        yield from self._content(described["content"], exchange.headers, exchange.body, "body")

    def _answer(self, exchange: Exchange, operation: Any) -> Iterator[str]:
        answers = operation["responses"]
        if str(exchange.status) not in answers and "default" not in answers:
            yield "no such status"
            return
        answer = resolved(self.found, answers.get(str(exchange.status), answers.get("default")))
        for name, header in answer.get("headers", {}).items():
            if (value := exchange.answer_headers.get(name.lower())) is not None:
                yield from self._errors(header["schema"], _typed(value, header["schema"]), name)
        if content := answer.get("content"):
            yield from self._content(content, exchange.answer_headers, exchange.answer, "answer")

    def _content(self, content: Any, headers: Mapping[str, str], body: bytes, what: str) -> Iterator[str]:
        media_type = headers.get("content-type", "").partition(";")[0].strip()
        if media_type not in content:
            yield f"{what} in {media_type or 'no media type'}"
        elif media_type == "application/json":
            yield from self._errors(content[media_type].get("schema", {}), json.loads(body), what)

    def _errors(self, schema: Any, value: Any, what: str) -> Iterator[str]:
        for error in validator(self.found, schema).iter_errors(value):
            yield f"{what}{error.json_path[1:]}: {error.message[:200]}"


def _typed(value: str, schema: Any) -> Any:
    """A value of a query or a header as the schema's type; text stays what is none."""
    match schema.get("type"):
        case "integer" if re.fullmatch("-?[0-9]+", value):
            return int(value)
        case "boolean" if value in ("true", "false"):
            return value == "true"
        case "array":
            return value.split(",")
    return value
