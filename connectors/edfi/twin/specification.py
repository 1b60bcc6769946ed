"""The OpenAPI document of the server: its resources, their properties and keys, and how long a page may be."""

import re
from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from typing import Any

from connectors.edfi.twin.collection import Collection, Row
from connectors.edfi.twin.release import Release
from connectors.edfi.twin.shapes import DESCRIPTOR, Field, Fields, Shape

Document = dict[str, Any]

_IDENTITY = {"x-Ed-Fi-isIdentity": True}
_SAMPLED = 25
_DAY = re.compile(r"\d{4}-\d\d-\d\d")
_TEXT = {"type": "string"}
_KINDS: Mapping[str, Document] = {
    "day": {"type": "string", "format": "date"},
    "time": _TEXT,
    "whole": {"type": "integer", "format": "int32"},
    "flag": {"type": "boolean"},
}
_OF_THE_SERVER: Mapping[str, Document] = {"id": _TEXT, "_etag": _TEXT}
_CHANGE = {"type": "integer", "format": "int64"}
_PAGED = ("offset", "limit", "totalCount")
_CHANGED = ("MinChangeVersion", "MaxChangeVersion")
_CURSOR = ("pageToken", "pageSize")


class Specification:
    """The document of all collections: Swagger 2.0 up to 7.0, OpenAPI 3 after. Of what can be written it knows every
    property; of the rest those that the first rows have."""

    def __init__(
        self, release: Release, collections: Mapping[str, Collection], shapes: Mapping[str, Shape], *, page_limit: int
    ) -> None:
        self._release = release
        self._collections = collections
        self._shapes = shapes
        self._page_limit = page_limit
        self._place = "#/components/schemas/" if release.openapi3 else "#/definitions/"

    def document(self, area: str, address: str) -> Document:
        """`area` is resources or descriptors, `address` the one that all paths stand below."""
        self._schemas: dict[str, Document] = {
            "link": {"type": "object", "properties": {"rel": _TEXT, "href": _TEXT}},
        }
        names = [name for name in self._collections if name.endswith("Descriptors") == (area == "descriptors")]
        paths: Document = {}
        for name in names:
            paths |= self._paths(name, self._schema(name))
        said = {"title": f"Ed-Fi Operational Data Store API ({area})", "version": "3"}
        if self._release.openapi3:
            return {
                "openapi": "3.0.1",
                "info": said,
                "servers": [{"url": address}],
                "paths": paths,
                "components": {"schemas": self._schemas, "parameters": self._parameters()},
            }
        scheme, _, rest = address.partition("://")
        host, _, path = rest.partition("/")
        return {
            "swagger": "2.0",
            "info": said,
            "host": host,
            "basePath": f"/{path}",
            "schemes": [scheme],
            "consumes": ["application/json"],
            "produces": ["application/json"],
            "paths": paths,
            "definitions": self._schemas,
            "parameters": self._parameters(),
        }

    def _paths(self, name: str, schema: str) -> Document:
        one, release = {"$ref": self._place + schema}, self._release
        singular = schema.removeprefix("edFi_")
        listed: Document = {"get": self._reading(name, {"type": "array", "items": one})}
        item: Document = {"get": self._answering("200", one, [self._parameter("id")])}
        if name in self._shapes:
            given = self._body(singular, one)
            listed["post"] = self._answering("201", None, [], given)
            item["put"] = self._answering("204", None, [self._parameter("id"), self._parameter("IfMatch")], given)
            item["delete"] = self._answering("204", None, [self._parameter("id"), self._parameter("IfMatch")])
        at = f"/{self._collections[name].path}"
        paths = {at: listed, f"{at}/{{id}}": item}
        gone = [self._parameter(one) for one in (*_PAGED, *_CHANGED)]
        anything = {"type": "array", "items": {"type": "object"}}
        if release.changes != "off":
            paths[f"{at}/deletes"] = {"get": self._answering("200", anything, gone)}
            if release.key_changes:
                paths[f"{at}/keyChanges"] = {"get": self._answering("200", anything, gone)}
        if release.cursor:
            tokens = {"type": "object", "properties": {"pageTokens": {"type": "array", "items": _TEXT}}}
            number = self._query("number", {"type": "integer", "format": "int32", "minimum": 1, "maximum": 200})
            paths[f"{at}/partitions"] = {"get": self._answering("200", tokens, [number])}
        return paths

    def _reading(self, name: str, schema: Document) -> Document:
        known = self._schemas[f"edFi_{_singular(name)}"]["properties"]
        key = set(self._collections[name].natural)
        parameters = [self._parameter(one) for one in (*_PAGED, *_CHANGED)]
        if self._release.cursor:
            parameters += [self._parameter(one) for one in _CURSOR]
        # Ed-Fi: a query spells the keys of references flat.
        for one in dict.fromkeys((*self._collections[name].filters, *self._collections[name].natural)):
            type_ = {part: value for part, value in known.get(one, _TEXT).items() if not part.startswith("x-")}
            parameters.append(self._query(one, type_) | (_IDENTITY if one in key else {}))
        return self._answering("200", schema, parameters)

    def _answering(
        self, status: str, schema: Document | None, parameters: Sequence[Document], body: Document | None = None
    ) -> Document:
        answer: Document = {"description": "Done."}
        if schema is not None:
            content = {"content": {"application/json": {"schema": schema}}}
            answer |= content if self._release.openapi3 else {"schema": schema}
        operation: Document = {"parameters": list(parameters), "responses": {status: answer}}
        if body is not None and self._release.openapi3:
            operation["requestBody"] = body
        elif body is not None:
            operation["parameters"] = [*parameters, body]
        return operation

    def _body(self, singular: str, schema: Document) -> Document:
        if self._release.openapi3:
            return {"required": True, "content": {"application/json": {"schema": schema}}, "x-bodyName": singular}
        return {"name": singular, "in": "body", "required": True, "schema": schema}

    def _parameter(self, name: str) -> Document:
        return {"$ref": f"#/components/parameters/{name}" if self._release.openapi3 else f"#/parameters/{name}"}

    def _parameters(self) -> Document:
        whole = {"type": "integer", "format": "int32"}
        limit = {**whole, "minimum": self._release.lowest_limit, "maximum": self._page_limit, "default": 25}
        found = {
            "offset": self._query("offset", {**whole, "default": 0}),
            "limit": self._query("limit", limit),
            "totalCount": self._query("totalCount", {"type": "boolean", "default": False}),
            "MinChangeVersion": self._query("minChangeVersion", _CHANGE),
            "MaxChangeVersion": self._query("maxChangeVersion", _CHANGE),
            "id": self._named("id", "path", _TEXT) | {"required": True},
            "IfMatch": self._named("If-Match", "header", _TEXT),
        }
        if self._release.cursor:
            found |= {"pageToken": self._query("pageToken", _TEXT), "pageSize": self._query("pageSize", limit)}
        return found

    def _query(self, name: str, type_: Document) -> Document:
        return self._named(name, "query", type_)

    def _named(self, name: str, place: str, type_: Document) -> Document:
        return {"name": name, "in": place, **({"schema": type_} if self._release.openapi3 else type_)}

    def _schema(self, name: str) -> str:
        """The name of the schema of one item, which is added to the document."""
        singular = _singular(name)
        shape = self._shapes.get(name)
        key = set(self._collections[name].natural)
        if shape is not None and shape.fields is DESCRIPTOR:
            singular = shape.rel[0].lower() + shape.rel[1:]
        properties: Document = dict(_OF_THE_SERVER)
        required: list[str] = []
        if shape is None or shape.open:
            collection = self._collections[name]
            rows = [collection.row(one, dated=False) for one in islice(collection.entries(), _SAMPLED)]
            properties |= self._sampled(singular, rows, key)
            required = [each for each in properties if each in key]
        if shape is not None:
            own, required = self._shaped(singular, shape.fields, {path.split(".")[0] for path in shape.key})
            properties |= own
        if self._release.dated:
            properties["_lastModifiedDate"] = {"type": "string", "format": "date-time"}
        self._schemas[f"edFi_{singular}"] = {"type": "object", "required": required, "properties": properties}
        if not required:
            del self._schemas[f"edFi_{singular}"]["required"]
        return f"edFi_{singular}"

    def _shaped(self, within: str, fields: Fields, key: Iterable[str]) -> tuple[Document, list[str]]:
        """The properties of a shape, and which of them are required."""
        key = set(key)
        found = {}
        for name, field in fields.items():
            found[name] = self._property(within, name, field)
            # A keyword beside $ref is not read: a reference's parts say that they identify.
            if name in key and "$ref" not in found[name]:
                found[name] |= _IDENTITY
        return found, [name for name, field in fields.items() if field.required]

    def _property(self, within: str, name: str, field: Field) -> Document:
        if field.kind in ("text", "descriptor"):
            return {"type": "string", "maxLength": field.limit} | ({"minLength": 1} if field.kind == "text" else {})
        if field.kind == "whole" and name.endswith("Id"):
            return self._number()
        if field.kind not in ("reference", "many", "one"):
            return dict(_KINDS[field.kind])
        component = f"edFi_{within}{_capital(_singular(name))}"
        if field.kind == "reference":
            component = f"edFi_{field.of[0].lower()}{field.of[1:]}Reference"
        inner, required = self._shaped(
            component.removeprefix("edFi_"), field.fields, field.fields if field.kind == "reference" else ()
        )
        if field.kind == "reference":
            inner["link"] = {"$ref": f"{self._place}link"}
        self._schemas[component] = {"type": "object", "required": required, "properties": inner}
        pointed = {"$ref": self._place + component}
        return {"type": "array", "items": pointed} if field.kind == "many" else pointed

    def _number(self) -> Document:
        # Ed-Fi: ids of education organizations grew to int64 with 7.0.
        return {"type": "integer", "format": "int64" if self._release.segments_first else "int32"}

    def _sampled(self, within: str, rows: Iterable[Row], key: set[str]) -> Document:
        """The properties that some rows have."""
        values: dict[str, list[Any]] = {}
        for row in rows:
            for name, value in row.items():
                if name not in ("id", "_etag", "link"):
                    values.setdefault(name, []).append(value)
        found = {name: self._seen(within, name, listed) for name, listed in values.items()}
        return {name: one | (_IDENTITY if name in key and "$ref" not in one else {}) for name, one in found.items()}

    def _seen(self, within: str, name: str, values: Sequence[Any]) -> Document:
        one = values[0]
        if isinstance(one, bool):
            return {"type": "boolean"}
        if isinstance(one, int):
            return self._number() if name.endswith("Id") else dict(_KINDS["whole"])
        if isinstance(one, float):
            return {"type": "number", "format": "double"}
        if isinstance(one, str):
            if name.endswith("Descriptor"):
                return {"type": "string", "maxLength": 306}
            return dict(_KINDS["day"] if _DAY.fullmatch(one) else _TEXT)
        many = isinstance(one, list)
        items = [each for value in values for each in (value if many else [value]) if isinstance(each, dict)]
        reference = name.endswith("Reference") and not many
        component = f"edFi_{name}" if reference else f"edFi_{within}{_capital(_singular(name))}"
        # Every part of a reference is of the key of what it points to.
        inner = self._sampled(component.removeprefix("edFi_"), items, {part for item in items for part in item})
        if not reference:
            inner = {
                part: {word: of for word, of in one.items() if word not in _IDENTITY} for part, one in inner.items()
            }
        else:
            inner["link"] = {"$ref": f"{self._place}link"}
        self._schemas[component] = {"type": "object", "properties": inner}
        pointed = {"$ref": self._place + component}
        return {"type": "array", "items": pointed} if many else pointed


def _singular(name: str) -> str:
    if name.endswith("ies"):
        return f"{name[:-3]}y"
    return name.removesuffix("s")


def _capital(name: str) -> str:
    return f"{name[0].upper()}{name[1:]}"
