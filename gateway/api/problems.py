"""Which error becomes which answer: application/problem+json with a stable code, and no value that was sent to us."""

import re
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException

from gateway.errors import AuthError, ConfigError, PlanbridgeError, RecordError, Refused, Unavailable
from gateway.store.database import DatabaseError, explained

STATUS: dict[type[PlanbridgeError], tuple[int, str]] = {
    ConfigError: (400, "Something in the request or the configuration must be changed"),
    Refused: (409, "A rule of the gateway refuses"),
    AuthError: (502, "The remote system refuses our credentials"),
    Unavailable: (503, "The remote system cannot answer now"),
    RecordError: (422, "A record cannot be used"),
}


FORBIDDEN = (
    "access-refused",
    "author-missing",
    "author-refused",
    "idempotency-narrower",
    "input-refused",
    "purpose-firewall",
    "purpose-refused",
)
"""Refusals that are about who asks: 403."""


class Wrong(BaseModel):
    """One thing that is wrong with a request."""

    pointer: str = Field(description="Where, as a JSON pointer into the body, the query or the path.")
    reason: str


class Problem(BaseModel):
    """An answer that is an error. # RFC 9457"""

    type: str = Field(description="Stable name of the problem.")
    title: str
    status: int
    detail: str
    code: str = Field(description="Stable; the manual explains it.")
    fix: str = Field(default="", description="What to do, in one sentence.")
    missing: list[str] = Field(default=[], description="What would have to be there, as JSON pointers.")
    wrong: list[Wrong] = Field(default=[], description="What cannot be read, place by place.")


def install(application: FastAPI) -> None:
    """Answer every error of the tree, of the framework and of validation as a problem."""
    application.add_exception_handler(PlanbridgeError, _planned)
    application.add_exception_handler(DatabaseError, _stored)
    application.add_exception_handler(HTTPException, _http)
    application.add_exception_handler(RequestValidationError, _invalid)


def answer(request: Request, error: Exception) -> JSONResponse:
    """The answer to an error of the tree, or of the framework, where no route stands around it."""
    return _of_tree(error) if isinstance(error, PlanbridgeError) else _of_framework(error)


async def _planned(request: Request, error: Exception) -> JSONResponse:
    return _of_tree(error)


def _of_tree(error: Exception) -> JSONResponse:
    assert isinstance(error, PlanbridgeError)
    status, title = next(found for kind, found in STATUS.items() if isinstance(error, kind))
    headers = {}
    if isinstance(error, ConfigError) and error.code.endswith("-unknown") and error.code != "moment-unknown":
        status = 404
    if error.code in FORBIDDEN:
        status = 403
    if error.code == "idempotency-reused":
        status = 422  # draft-ietf-httpapi-idempotency-key-header 2.7
    if error.code == "idempotency-running":
        headers["Retry-After"] = "1"
    if error.code in ("events-expired", "events-reset"):
        status = 410  # RFC 9110 15.5.11: what was asked for is gone for good
    if error.code.startswith(("agreement-", "bulk-not-")):
        status = 403
    if error.code in ("bulk-too-often", "webhook-tests-many"):
        status, title = 429, "Too many requests"  # RFC 6585 4
    if error.code == "plan-changed":
        status = 412  # RFC 9110 13.1.1: what If-Match asked for is not so
    if isinstance(error, Unavailable) and error.retry_after is not None:
        headers["Retry-After"] = str(max(1, round(error.retry_after)))
    missing = error.missing if isinstance(error, Refused) else ()
    return _answer(status, title, error.message, error.code, fix=error.fix, missing=missing, headers=headers)


async def _stored(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, DatabaseError)
    known = explained(error)
    if known is None:
        raise error
    return _answer(503, "The database cannot answer now", known.message, known.code, fix=known.fix)


async def _http(request: Request, error: Exception) -> JSONResponse:
    return _of_framework(error)


def _of_framework(error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    title = _PHRASES.get(error.status_code) or HTTPStatus(error.status_code).phrase
    code = title.lower().replace(" ", "-")
    return _answer(error.status_code, title, str(error.detail), code, headers=error.headers)


_PHRASES = {413: "Content Too Large"}  # RFC 9110; Python says so only from 3.13 on


async def _invalid(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    wrong = [Wrong(pointer=_pointer(one["loc"]), reason=_reason(one)) for one in error.errors()]
    detail = "The request does not have the form that is expected."
    return _answer(422, "The request cannot be read", detail, "request-invalid", wrong=wrong)


# Names of our own: what else stands in a location is pydantic's word for a choice, or a name the caller made up.
_NAME = re.compile(r"[a-z][a-z_]{0,40}")


def _pointer(location: Sequence[int | str]) -> str:
    """The caller's own place in what was sent; without names that are not the schema's (they may be anything)."""
    return "".join(f"/{part}" for part in location if isinstance(part, int) or _NAME.fullmatch(part))


def _reason(error: Mapping[str, Any]) -> str:
    """Why: what is expected, in pydantic's words or in those of the schema, which repeat no value."""
    return str(error["msg"]).removeprefix("Value error, ")


def _answer(
    status: int,
    title: str,
    detail: str,
    code: str,
    *,
    fix: str = "",
    missing: Sequence[str] = (),
    wrong: Sequence[Wrong] = (),
    headers: Mapping[str, str] | None = None,
) -> JSONResponse:
    problem = Problem(
        type=f"urn:planbridge:problem:{code}",
        title=title,
        status=status,
        detail=detail,
        code=code,
        fix=fix,
        missing=list(missing),
        wrong=list(wrong),
    )
    return JSONResponse(problem.model_dump(), status, headers, media_type="application/problem+json")
