"""How an ODS/API says no: problem details from 7.2 on, {"message": ...} and {"modelState": ...} before."""

from collections.abc import Mapping, Sequence
from uuid import uuid4

from starlette.responses import JSONResponse, Response


class Refusal(Exception):
    """One refused request, in both generations: `message` is what a server before 7.2 says.

    `validation` names the faulty places of the body as JSON paths ("$.services[0].serviceDescriptor").
    """

    def __init__(
        self,
        status: int,
        kind: str,
        title: str,
        detail: str,
        *,
        errors: Sequence[str] = (),
        validation: Mapping[str, list[str]] | None = None,
        message: str = "",
        message_status: int = 0,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.kind = kind
        self.title = title
        self.detail = detail
        self.errors = list(errors)
        self.validation = dict(validation or {})
        self.message = message or next(iter(self.errors), detail)
        self.message_status = message_status or status


def render(refusal: Refusal, *, modern: bool, correlation: str | None) -> Response:
    """`modern`: as problem details; otherwise as servers before 7.2 put it."""
    status = refusal.status if modern else refusal.message_status
    return JSONResponse(body(refusal, modern=modern, correlation=correlation), status)


def body(refusal: Refusal, *, modern: bool, correlation: str | None = None) -> dict[str, object]:
    if not modern and not refusal.validation:
        return {"message": refusal.message}
    if not modern:
        state = {path.replace("$", "request", 1): texts for path, texts in refusal.validation.items()}
        return {"message": "The request is invalid.", "modelState": state}
    problem: dict[str, object] = {
        "detail": refusal.detail,
        "type": f"urn:ed-fi:api:{refusal.kind}",
        "title": refusal.title,
        "status": refusal.status,
        "correlationId": correlation or str(uuid4()),
    }
    if refusal.validation:
        problem["validationErrors"] = refusal.validation
    if refusal.errors:
        problem["errors"] = refusal.errors
    return problem


def invalid(validation: Mapping[str, list[str]]) -> Refusal:
    detail = "Data validation failed. See 'validationErrors' for details."
    return Refusal(400, *_DATA, detail, validation=validation)


def unknown_descriptors(found: Mapping[str, tuple[str, str]]) -> Refusal:
    """`found` gives (descriptor name, value) per path."""
    sentences = {path: [f"{name} value '{value}' does not exist."] for path, (name, value) in found.items()}
    return invalid(sentences)


def assigned_identifier() -> Refusal:
    return Refusal(
        400,
        *_DATA,
        "The request data was constructed incorrectly.",
        errors=[
            "Resource identifiers cannot be assigned by the client. "
            "The 'id' property should not be included in the request body."
        ],
        message="Resource identifiers cannot be assigned by the client.",
    )


def key_change(rel: str) -> Refusal:
    detail = f"Identifying values for the {rel} item cannot be changed. Delete and recreate the item instead."
    return Refusal(
        400, "bad-request:data-validation-failed:key-change-not-supported", "Key Change Not Supported", detail
    )


def bad_request(error: str) -> Refusal:
    detail = "The request could not be processed. See 'errors' for details."
    return Refusal(400, "bad-request", "Bad Request", detail, errors=[error])


def bad_parameter(name: str, error: str, message: str = "") -> Refusal:
    return Refusal(
        400,
        "bad-request:parameter-validation-failed",
        "Parameter Validation Failed",
        f"The {name} parameter was incorrect.",
        errors=[error],
        message=message,
    )


def unauthenticated(error: str) -> Refusal:
    detail = "The caller could not be authenticated."
    return Refusal(401, "security:authentication", "Authentication Failed", detail, errors=[error])


def too_many_tokens(most: int) -> Refusal:
    return Refusal(
        429,
        "security:authentication:too-many-tokens",
        "Too Many Access Tokens Requested",
        "The caller has requested too many access tokens. Access tokens should be reused until they expire.",
        errors=[f"The API client has reached its limit of {most} concurrent access tokens."],
    )


def denied_action(claim_set: str, action: str, rel: str) -> Refusal:
    """The key's claim set may not do this with that resource."""
    error = (
        f"The API client's assigned claim set (currently '{claim_set}') must grant permission of the "
        f"'http://ed-fi.org/odsapi/actions/{action}' action on the resource claim of '{rel}'."
    )
    return Refusal(403, "security:authorization:access-denied:action", _DENIED_TITLE, _DENIED, errors=[error])


def denied_namespace(granted: str) -> Refusal:
    detail = (
        f"{_DENIED} The 'Namespace' value of the data does not start with any of the caller's "
        f"associated namespace prefixes ('{granted}')."
    )
    return Refusal(403, "security:authorization:namespace:access-denied:namespace-mismatch", _DENIED_TITLE, detail)


def denied_organization(claims: Sequence[int], prop: str) -> Refusal:
    error = (
        "No relationships have been established between the caller's education organization id claims "
        f"({', '.join(map(str, claims))}) and the resource item's '{prop}' value."
    )
    return Refusal(403, "security:authorization", _DENIED_TITLE, _DENIED, errors=[error])


def no_such_data() -> Refusal:
    return Refusal(404, "not-found", "Not Found", "The specified data could not be found.")


def no_such_item() -> Refusal:
    return Refusal(404, "not-found", "Not Found", "The specified item could not be found.")


def not_allowed(error: str) -> Refusal:
    detail = "The request construction was invalid."
    return Refusal(405, "method-not-allowed", "Method Not Allowed", detail, errors=[error])


def unresolved(rel: str, *, within: str, person: bool) -> Refusal:
    """An item of `within` names one of `rel` that does not exist."""
    old = f"The value supplied for the related '{rel[0].lower()}{rel[1:]}' resource does not exist."
    if person:
        old = f"Validation of '{within}' failed. {rel} reference could not be resolved."
    return Refusal(
        409,
        "data-conflict:unresolved-reference",
        "Unresolved Reference",
        f"The referenced '{rel}' item does not exist.",
        message=old,
        message_status=400 if person else 409,
    )


def dependent_exists(rel: str) -> Refusal:
    return Refusal(
        409,
        "data-conflict:dependent-item-exists",
        "Dependent Item Exists",
        f"The requested action cannot be performed because this item is referenced by an existing '{rel}' item.",
    )


def modified() -> Refusal:
    return Refusal(
        412,
        "optimistic-lock-failed",
        "Optimistic Lock Failed",
        "The item has been modified by another user.",
        message="Resource was modified by another consumer.",
    )


_DATA = ("bad-request:data-validation-failed", "Data Validation Failed")
_DENIED_TITLE = "Authorization Denied"
_DENIED = "Access to the requested data could not be authorized."
