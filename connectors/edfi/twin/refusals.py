"""How a server says no: problem details from 7.2 on, {"message": ...} and {"modelState": ...} before."""

from collections.abc import Collection, Mapping, Sequence
from uuid import uuid4

from starlette.responses import JSONResponse, Response


class Refusal(Exception):
    """One refused request, in both generations: `message` is what a server before 7.2 says.

    `validation` names the faulty places of the body as JSON paths ("$.services[0].serviceDescriptor"), `lost` those of
    references that lead nowhere, which only the Ed-Fi API (8.0) tells.
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
        lost: Mapping[str, str] | None = None,
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
        self.lost = dict(lost or {})


def render(refusal: Refusal, *, modern: bool, correlation: str | None, paths: bool = False) -> Response:
    """`modern`: as problem details; otherwise as servers before 7.2 put it, which from 7.0 on name a `correlation`.
    `paths`: every reference that leads nowhere by its path."""
    status = refusal.status if modern else refusal.message_status
    return JSONResponse(body(refusal, modern=modern, correlation=correlation, paths=paths), status)


def body(refusal: Refusal, *, modern: bool, correlation: str | None = None, paths: bool = False) -> dict[str, object]:
    if not modern:
        named = {"correlationId": correlation} if correlation else {}
        if not refusal.validation:
            return {"message": refusal.message, **named}
        state = {path.replace("$", "request", 1): texts for path, texts in refusal.validation.items()}
        return {"message": "The request is invalid.", "modelState": state, **named}
    problem: dict[str, object] = {
        "detail": refusal.detail,
        "type": f"urn:ed-fi:api:{refusal.kind}",
        "title": refusal.title,
        "status": refusal.status,
        "correlationId": correlation or str(uuid4()),
    }
    if paths and refusal.lost:
        problem["detail"] = "One or more references could not be resolved. See 'validationErrors' for details."
        problem["validationErrors"] = {
            path: [f"The referenced {rel} item does not exist."] for path, rel in refusal.lost.items()
        }
        problem["errors"] = []
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
    return Refusal(403, "security:authorization", _DENIED_TITLE, _DENIED, errors=[_unrelated(claims, prop)])


def denied_person(claims: Sequence[int], prop: str, association: str) -> Refusal:
    """No association ties that person to the key's organizations yet."""
    detail = f"{_DENIED} Hint: You may need to create a corresponding '{association}' item."
    return Refusal(403, "security:authorization", _DENIED_TITLE, detail, errors=[_unrelated(claims, prop)])


def _unrelated(claims: Sequence[int], prop: str) -> str:
    return (
        "No relationships have been established between the caller's education organization id claims "
        f"({', '.join(map(str, claims))}) and the resource item's '{prop}' value."
    )


def no_such_data() -> Refusal:
    return Refusal(404, "not-found", "Not Found", "The specified data could not be found.")


def no_such_item() -> Refusal:
    return Refusal(404, "not-found", "Not Found", "The specified item could not be found.")


def no_snapshot() -> Refusal:
    """# Ed-Fi: from 7.0 on"""
    return Refusal(404, "not-found", "Not Found", "Snapshots are not configured, or there is none at the moment.")


def snapshot_gone() -> Refusal:
    """# Ed-Fi: up to 6.2"""
    return Refusal(410, "gone", "Gone", "There is no snapshot of that identifier.")


def snapshot_is_read_only() -> Refusal:
    return Refusal(
        405, "snapshots:method-not-allowed", "Method Not Allowed with Snapshots", "Snapshots are read, never written."
    )


def not_allowed(error: str) -> Refusal:
    detail = "The request construction was invalid."
    return Refusal(405, "method-not-allowed", "Method Not Allowed", detail, errors=[error])


def unresolved(lost: Mapping[str, str], *, within: str, people: Collection[str]) -> Refusal:
    """An item of `within` names some that do not exist: at each path one of that kind. `people` are kinds of people."""
    rel = next(iter(lost.values()))
    old = f"The value supplied for the related '{rel[0].lower()}{rel[1:]}' resource does not exist."
    if rel in people:
        old = f"Validation of '{within}' failed. {rel} reference could not be resolved."
    return Refusal(
        409,
        "data-conflict:unresolved-reference",
        "Unresolved Reference",
        f"The referenced '{rel}' item does not exist.",
        message=old,
        # Ed-Fi: before 7.2 an unknown person is a bad request.
        message_status=400 if rel in people else 409,
        lost=lost,
    )


def dependent_exists(rel: str) -> Refusal:
    return Refusal(
        409,
        "data-conflict:dependent-item-exists",
        "Dependent Item Exists",
        f"The requested action cannot be performed because this item is referenced by an existing '{rel}' item.",
    )


def not_unique(rel: str) -> Refusal:
    detail = f"The identifying value(s) of the '{rel}' item are the same as another item that already exists."
    return Refusal(409, "identity-conflict", "Identifying Values Are Not Unique", detail)


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
