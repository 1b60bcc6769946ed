"""What is served, as an OpenAPI document of each service: written from our own tables of operations and fields."""

from functools import lru_cache
from typing import Any

import msgspec

import gateway
from gateway.api.oneroster.answers import MINOR
from gateway.api.oneroster.asking import LIMIT, MOST
from gateway.api.oneroster.operations import MOST_POSTED, OPERATIONS, SERVICES, WRITINGS, Operation, Writing, singular
from gateway.served import COLLECTIONS, Collection, Field

# OneRoster 1.2: where a service says what it can do
NAMES = {
    "rostering": "onerosterv1p2rostersservice_openapi3_v1p0.json",
    "gradebook": "onerosterv1p2gradebookservice_openapi3_v1p0.json",
    "resources": "onerosterv1p2resourcesservice_openapi3_v1p0.json",
}
_TEXT: dict[str, Any] = {"type": "string"}
_TEXTS = {"type": "array", "items": _TEXT}
_BOOLEAN = {"type": "string", "enum": ["true", "false"]}
_TYPES: dict[str, Any] = {
    "text": _TEXT,
    "number": {"type": "number"},
    "date": {"type": "string", "format": "date"},
    "datetime": {"type": "string", "format": "date-time"},
    "boolean": _BOOLEAN,
    "list": _TEXTS,
}
_ERRORS = {
    400: "A filter or a selection of fields that cannot be used.",
    401: "No access token, or one that is not good.",
    403: "The token lacks the scope, or the agreement with the district does not allow it.",
    404: "There is no such object, or none within reach.",
    422: "A parameter that cannot be read.",
    429: "Too many requests: come again after as many seconds as Retry-After says.",
    500: "A mistake of the service.",
    503: "The service cannot answer now.",
}


@lru_cache(maxsize=16)  # a caller may come by many names
def document(service: str, origin: str) -> bytes:
    """The document of one service, as it is served below this address."""
    served = [operation for operation in OPERATIONS if operation.service == service]
    written = WRITINGS if service == "gradebook" else ()
    scopes = sorted(
        {scope for one in served for scope in one.scopes} | {scope for one in written for scope in one.scopes}
    )
    flow = {"tokenUrl": f"{origin}/oauth/token", "scopes": {scope: scope.rpartition("/")[2] for scope in scopes}}
    schemas: dict[str, Any] = {"StatusInfo": _STATUS_INFO, "Reference": _REFERENCE}
    paths: dict[str, dict[str, Any]] = {operation.path: {"get": _operation(operation)} for operation in served}
    for one in written:
        paths.setdefault(one.path, {})[one.method.lower()] = _writing(one)
    for name in SERVICES[service]:
        schemas[_named(COLLECTIONS[name])] = _record(COLLECTIONS[name])
    found = {
        "openapi": "3.0.3",
        "info": {
            "title": f"OneRoster 1.2 {service}, as Planbridge serves it",
            "version": gateway.__version__,
        },
        "servers": [{"url": f"{origin}/ims/oneroster/{service}/v1p2"}],
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": {"OAuth2CC": {"type": "oauth2", "flows": {"clientCredentials": flow}}},
        },
    }
    return msgspec.json.encode(found)


def _operation(operation: Operation) -> dict[str, Any]:
    record = {"$ref": f"#/components/schemas/{_named(COLLECTIONS[operation.view.collection])}"}
    content = record if operation.one else {"type": "array", "items": record}
    answer: dict[str, Any] = {
        "description": "What was asked for.",
        "content": {
            "application/json": {
                "schema": {
                    "type": "object",
                    "required": [operation.envelope],
                    "properties": {operation.envelope: content},
                    "additionalProperties": False,
                }
            }
        },
    }
    if not operation.one:
        answer["headers"] = {
            "X-Total-Count": {"description": "How many rows answer the filter.", "schema": {"type": "integer"}},
            "Link": {"description": "The pages first, last, next and prev.", "schema": _TEXT},
        }
    info = {"application/json": {"schema": {"$ref": "#/components/schemas/StatusInfo"}}}
    return {
        "operationId": operation.id,
        "summary": _summary(operation),
        "security": [{"OAuth2CC": [scope]} for scope in sorted(operation.scopes)],
        "parameters": [
            *({"name": name, "in": "path", "required": True, "schema": _TEXT} for name in operation.parameters),
            *(() if operation.one else _PAGING),
            _FIELDS,
        ],
        "responses": {
            "200": answer,
            **{str(status): {"description": said, "content": info} for status, said in _ERRORS.items()},
        },
    }


def _writing(operation: Writing) -> dict[str, Any]:
    record: dict[str, Any] = {"$ref": f"#/components/schemas/{_named(COLLECTIONS[operation.collection])}"}
    several: dict[str, Any] = {"type": "array", "minItems": 1, "maxItems": MOST_POSTED, "items": record}
    name, content = singular(operation.collection), record
    answers: dict[str, Any] = {"204": {"description": "It is gone."}}
    if operation.method == "PUT":
        answers = {"201": {"description": "It is new."}, "200": {"description": "It is as it was sent."}}
    elif operation.method == "POST":
        name, content = operation.collection, several
        pairs = {"application/json": {"schema": _PAIRS}}
        answers = {"201": {"description": "All of them are new, under these sourcedIds.", "content": pairs}}
    info = {"application/json": {"schema": {"$ref": "#/components/schemas/StatusInfo"}}}
    found: dict[str, Any] = {
        "operationId": operation.id,
        "summary": {"PUT": f"Write a {name}.", "DELETE": f"Take back a {name}.", "POST": f"Write {name}."}[
            operation.method
        ],
        "security": [{"OAuth2CC": [scope]} for scope in sorted(operation.scopes)],
        "parameters": [
            {"name": name, "in": "path", "required": True, "schema": _TEXT} for name in operation.parameters
        ],
        "responses": answers
        | {str(status): {"description": said, "content": info} for status, said in _ERRORS.items() if status != 400},
    }
    if operation.method != "DELETE":
        body = {"type": "object", "required": [name], "properties": {name: content}}
        found["requestBody"] = {"required": True, "content": {"application/json": {"schema": body}}}
    return found


def _summary(operation: Operation) -> str:
    if operation.one:
        return f"One of the {operation.view.name}."
    above = " and ".join(singular(parent.view.name) for parent in operation.parents)
    return f"The {operation.view.name} of one {above}." if above else f"All {operation.view.name}."


_FIELDS = {
    "name": "fields",
    "in": "query",
    "description": "Names of fields, separated by commas: nothing else is sent.",
    "schema": _TEXT,
}
_PAGING = (
    {"name": "limit", "in": "query", "schema": {"type": "integer", "minimum": 1, "maximum": MOST, "default": LIMIT}},
    {"name": "offset", "in": "query", "schema": {"type": "integer", "minimum": 0, "default": 0}},
    {"name": "sort", "in": "query", "description": "A field; by sourcedId otherwise.", "schema": _TEXT},
    {"name": "orderBy", "in": "query", "schema": {"type": "string", "enum": ["asc", "desc"]}},
    {
        "name": "filter",
        "in": "query",
        "description": "field='value' with = != > >= < <= ~, or two of these joined by AND or OR.",
        "schema": _TEXT,
    },
)


def _named(collection: Collection) -> str:
    return collection.singular[0].upper() + collection.singular[1:]


def _record(collection: Collection) -> dict[str, Any]:
    """Nothing is required: what is sent depends on `fields`, and of a row that is gone nothing is told."""
    properties = {
        "sourcedId": _TEXT,
        "status": {"type": "string", "enum": ["active", "tobedeleted"]},
        "dateLastModified": _TYPES["datetime"],
        **{name: _field(field) for name, field in collection.fields.items()},
    }
    return {"type": "object", "properties": properties, "additionalProperties": False}


def _field(field: Field) -> dict[str, Any]:
    if field.type == "ref":
        return {"$ref": "#/components/schemas/Reference"}
    if field.type == "refs":
        return {"type": "array", "items": {"$ref": "#/components/schemas/Reference"}}
    if field.type == "object":
        return {"type": "object"} if field.name == "metadata" else {"type": "array", "items": {"type": "object"}}
    found: dict[str, Any] = _TYPES[field.type]
    return found


_REFERENCE = {
    "type": "object",
    "required": ["href", "sourcedId", "type"],
    "properties": {"href": {"type": "string", "format": "uri"}, "sourcedId": _TEXT, "type": _TEXT},
    "additionalProperties": False,
}
_PAIRS = {
    "type": "object",
    "required": ["sourcedIdPairs"],
    "properties": {
        "sourcedIdPairs": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["suppliedSourcedId", "allocatedSourcedId"],
                "properties": {"suppliedSourcedId": _TEXT, "allocatedSourcedId": _TEXT},
            },
        }
    },
}
_STATUS_INFO = {
    "type": "object",
    "required": ["imsx_codeMajor", "imsx_severity"],
    "properties": {
        "imsx_codeMajor": {"type": "string", "enum": ["failure"]},
        "imsx_severity": {"type": "string", "enum": ["error"]},
        "imsx_description": _TEXT,
        "imsx_CodeMinor": {
            "type": "object",
            "properties": {
                "imsx_codeMinorField": {
                    "type": "array",
                    "items": {
                        "type": "object",
                        "properties": {
                            "imsx_codeMinorFieldName": _TEXT,
                            "imsx_codeMinorFieldValue": {
                                "type": "string",
                                "enum": sorted({*MINOR.values(), "invalid_filter_field", "internal_server_error"}),
                            },
                        },
                    },
                }
            },
        },
    },
}
