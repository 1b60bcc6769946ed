"""The OpenAPI document: made so that clients generated from it have names, and know what an error looks like."""

import json
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute

from gateway.api import idempotency, removals
from gateway.api.problems import Problem

ERRORS = {
    "400": "Something in the request must be changed.",
    "401": "No access token, or none that is good.",
    "403": "The token, the agreement or the access rules do not allow it.",
    "404": "There is no such thing for this caller.",
    "409": "A rule of the gateway refuses; `missing` says what would have to be there.",
    "422": "The request does not have the form that is expected; `wrong` says where.",
    "503": "The gateway cannot answer now; nothing was changed.",
}
WITH_MATCH = {
    "412": "The plan was changed since it was read.",
    "428": "The header If-Match is missing.",
}
OF_ITS_OWN = {
    "/v1/events": {"410": "What was asked for is gone for good: read everything again."},
    "/first-admin/{token}": {"404": "The link is unknown, used or over.", "409": ERRORS["409"], "503": ERRORS["503"]},
    "/metrics": {"401": "No token for the numbers, or another one.", "404": "Nobody may read the numbers."},
}
"""What the routes below a path answer beside what every route does."""
TAGS = {
    "students": "Students as the caller may see them.",
    "record": "Running records, input, and what was given of supports.",
    "results": "Assessment results, student by student.",
    "plans": "Success plans: what they say, their life, and many at once.",
    "deliveries": "What was sent to destinations.",
    "changes": "What changed.",
    "pull": "Connections and runs.",
    "quality": "How good the data are.",
    "rejects": "What was set aside.",
    "identity": "Who is who.",
    "codes": "Code tables and custom fields.",
    "notices": "What people were told.",
    "vendors": "Agreements with vendors, and what they really read.",
    "access": "How a program gets a token.",
    "sandbox": "What a vendor does in a district of invented people.",
    "service": "What monitors ask.",
}


def operation_id(route: APIRoute) -> str:
    """A name that is its own: what it is about, and what is done."""
    tag = str(route.tags[0]) if route.tags else "gateway"
    return route.name if tag.rstrip("s") in route.name else f"{tag}_{route.name}"


def install(application: FastAPI) -> None:
    """Have the document made once, when it is first asked for."""

    def document() -> dict[str, Any]:
        if application.openapi_schema is None:
            application.openapi_schema = _completed(
                get_openapi(
                    title=application.title,
                    version=application.version,
                    routes=application.routes,
                    servers=application.servers,
                    tags=[{"name": name, "description": text} for name, text in TAGS.items()],
                )
            )
        return application.openapi_schema

    application.openapi = document  # type: ignore[method-assign]


def _completed(found: dict[str, Any]) -> dict[str, Any]:
    found = _distinct(found)
    schemas = found["components"]["schemas"]
    schemas |= _problem()
    for name in ("HTTPValidationError", "ValidationError"):
        schemas.pop(name, None)
    for path, operations in found["paths"].items():
        for method, operation in operations.items():
            if path.startswith("/v1/"):
                _complete(operation, path, method)
            elif "422" in operation["responses"]:
                operation["responses"]["422"] = _answer(ERRORS["422"])
            for status, text in OF_ITS_OWN.get(path, {}).items():
                operation["responses"][status] = _answer(text)
    return found


def _distinct(found: dict[str, Any]) -> dict[str, Any]:
    """Each schema under one name that is its title too: generators name a class by the title, and leave out, with
    every route that needs it, a second one of the same name."""
    names = {name: _name(name) for name in found["components"]["schemas"]}
    if len(set(names.values())) < len(names):
        raise RuntimeError("two schemas would have one name")
    written = json.dumps(found)
    for old, new in names.items():
        written = written.replace(f'"#/components/schemas/{old}"', f'"#/components/schemas/{new}"')
    told: dict[str, Any] = json.loads(written)
    schemas = told["components"]["schemas"]
    told["components"]["schemas"] = {names[old]: schema | {"title": names[old]} for old, schema in schemas.items()}
    return told


def _name(name: str) -> str:
    """What pydantic calls `gateway__api__rejects__Cause` or `Delivery-Output`, where one word would do for several."""
    *module, plain = name.split("__")
    return (module[-1].title().replace("_", "") if module else "") + plain.replace("-", "")


def _complete(operation: dict[str, Any], path: str, method: str) -> None:
    answers = operation["responses"]
    named = {parameter["name"].lower() for parameter in operation.get("parameters", ())}
    for status, text in {**ERRORS, **(WITH_MATCH if "if-match" in named else {})}.items():
        answers[status] = _answer(text)
    for body in operation.get("requestBody", {}).get("content", {}).values():
        match body["schema"]:  # what may be left out need not be null as well: generated clients would send their null
            case {"anyOf": [{"$ref": one}, {"type": "null"}]}:
                body["schema"] = {"$ref": one}
    if method == "post":
        operation.setdefault("parameters", []).append(idempotency.DESCRIBED)
    if method in ("post", "put"):
        answers["413"] = _answer("The body is larger than this route takes.")
    if any(one.method == method.upper() and one.path == path for one in removals.REMOVALS):
        operation["deprecated"] = True


def _answer(text: str) -> dict[str, Any]:
    schema = {"$ref": "#/components/schemas/Problem"}
    return {"description": text, "content": {"application/problem+json": {"schema": schema, "example": EXAMPLE}}}


EXAMPLE = Problem(
    type="urn:planbridge:problem:plan-changed",
    title="A rule of the gateway refuses",
    status=412,
    detail="Somebody changed this plan meanwhile: it is at revision 3.",
    code="plan-changed",
    fix="Read it again, then repeat your change.",
).model_dump()


def _problem() -> dict[str, Any]:
    made = Problem.model_json_schema(ref_template="#/components/schemas/{model}")
    return {**made.pop("$defs", {}), "Problem": made}
