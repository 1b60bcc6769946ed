"""How a OneRoster system says no: its status information, in the words of the version that was asked."""

from collections.abc import Mapping
from typing import Any, Literal

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response

from connectors.oneroster.twin_fields import Version


class Denied(Exception):
    """A request that is answered with an imsx_StatusInfo."""

    def __init__(self, status: int, detail: str, minor: str | None = None) -> None:
        self.status_code = status
        self.detail = detail
        self.minor = minor


# OneRoster 1.2: the code minor that goes with a status
_MINOR = {
    401: "unauthorisedrequest",
    403: "forbidden",
    404: "unknownobject",
    422: "invaliddata",
    429: "server_busy",
    500: "internal_server_error",
    503: "server_busy",
}
# OneRoster 1.1 knows fewer; those it lacks are told by another
_MINOR_1P1 = {
    "forbidden": "unauthorisedrequest",
    "server_busy": "targetreadfailure",
    "internal_server_error": "targetreadfailure",
    "invalid_filter_field": "invaliddata",
}


def status_info(status: int, detail: str = "", minor: str | None = None, version: Version = "1.2") -> dict[str, Any]:
    """The imsx_StatusInfo of a refusal."""
    major: Literal["failure", "unsupported"] = "unsupported" if status == 405 else "failure"
    info: dict[str, Any] = {"imsx_codeMajor": major, "imsx_severity": "error"}
    if version == "1.1":
        info["imsx_messageRefIdentifier"] = "00000000-0000-4000-8000-000000000000"
    if detail:
        info["imsx_description"] = detail
    if code := minor or _MINOR.get(status):
        code = _MINOR_1P1.get(code, code) if version == "1.1" else code
        field = {"imsx_codeMinorFieldName": "TargetEndSystem", "imsx_codeMinorFieldValue": code}
        info["imsx_CodeMinor"] = {"imsx_codeMinorField": [field]}
    return info


async def refused(request: Request, problem: Exception) -> Response:
    """The answer to a request that was refused."""
    assert isinstance(problem, Denied | HTTPException)
    minor = problem.minor if isinstance(problem, Denied) else None
    version: Version = "1.1" if "/v1p1/" in request.url.path else "1.2"
    headers: Mapping[str, str] | None = None
    if problem.status_code == 401:
        headers = {"WWW-Authenticate": 'Bearer realm="OneRoster"'}
    return JSONResponse(status_info(problem.status_code, problem.detail, minor, version), problem.status_code, headers)


async def refused_in_html(request: Request, problem: Exception) -> Response:
    """The same from a system that thinks that a person asked."""
    assert isinstance(problem, Denied | HTTPException)
    page = f"<!doctype html><title>Error</title><h1>{problem.status_code}</h1><p>{problem.detail}"
    return HTMLResponse(page, problem.status_code)


async def broken(request: Request, problem: Exception) -> Response:
    return JSONResponse(status_info(500, "The twin itself is broken."), 500)
