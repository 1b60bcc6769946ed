"""How OneRoster says that something went wrong: imsx_StatusInfo, with a code of its vocabulary and a plain sentence."""

from collections.abc import Awaitable, Callable, Collection, Mapping
from typing import Any

import msgspec
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from gateway.errors import ConfigError, PlanbridgeError, RecordError, Refused, Unavailable
from gateway.store.database import DatabaseError, explained

# The words for a status, where nothing more exact is known. # OneRoster 1.2: the vocabulary has none for the others
MINOR = {
    400: "invalid_selection_field",
    401: "unauthorisedrequest",
    403: "forbidden",
    404: "unknownobject",
    405: "forbidden",
    422: "invaliddata",
    429: "server_busy",
    503: "server_busy",
}


class Trouble(Exception):
    """An answer that is an error: its status, the code of the vocabulary, and what to do in plain words."""

    def __init__(self, status: int, minor: str, description: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(description)
        self.status = status
        self.minor = minor
        self.description = description
        self.headers = headers


def refuse_other_scopes(held: Collection[str], wanted: Collection[str]) -> None:
    """Trouble where a token has none of the scopes that an operation takes."""
    if not set(wanted) & set(held):
        challenge = {"WWW-Authenticate": f'Bearer error="insufficient_scope", scope="{min(wanted)}"'}
        raise Trouble(403, "forbidden", f"This needs a token with the scope {' or '.join(sorted(wanted))}.", challenge)


def status_info(status: int, description: str, minor: str = "", headers: Mapping[str, str] | None = None) -> Response:
    """The answer itself."""
    minor = minor or MINOR.get(status, "internal_server_error")
    field = {"imsx_codeMinorFieldName": "TargetEndSystem", "imsx_codeMinorFieldValue": minor}
    body = {
        "imsx_codeMajor": "failure",
        "imsx_severity": "error",
        "imsx_description": description,
        "imsx_CodeMinor": {"imsx_codeMinorField": [field]},
    }
    return Response(msgspec.json.encode(body), status, headers, media_type="application/json")


async def of_trouble(request: Request, error: Exception) -> Response:
    """What this package itself refuses."""
    assert isinstance(error, Trouble)
    return status_info(error.status, error.description, error.minor, error.headers)


async def of_http(request: Request, error: Exception) -> Response:
    """What the framework and the check of the token refuse."""
    assert isinstance(error, HTTPException)
    return status_info(error.status_code, str(error.detail), headers=error.headers)


async def of_ours(request: Request, error: Exception) -> Response:
    """An error of the gateway's tree. A rule that refuses is `forbidden`, whichever it is: the standard knows no
    conflict. Its code stands at the end, so that the manual can be asked."""
    assert isinstance(error, PlanbridgeError)
    status, headers = 500, {}
    if isinstance(error, Refused):
        status = 429 if error.code.endswith("-rate") else 403
    elif isinstance(error, ConfigError):
        status = 404 if error.code.endswith("-unknown") else 422
    elif isinstance(error, RecordError):
        status = 422
    elif isinstance(error, Unavailable):
        status = 503
    if isinstance(error, Unavailable) and error.retry_after is not None:
        status, headers = 429, {"Retry-After": str(max(1, round(error.retry_after)))}
    where = f"{error.field}: " if isinstance(error, RecordError) and error.field else ""
    return status_info(status, f"{where}{error}", headers=headers)


async def of_database(request: Request, error: Exception) -> Response:
    """A database that is full or gone."""
    assert isinstance(error, DatabaseError)
    known = explained(error)
    if known is None:
        raise error
    return status_info(503, known.message)


async def of_bug(request: Request, error: Exception) -> Response:
    """Our bug: what went wrong is in the log, under the number that the header correlation-id gives."""
    return status_info(500, "This is a mistake of the service; the header correlation-id finds it in its log.")


HANDLERS = {
    Trouble: of_trouble,
    HTTPException: of_http,
    PlanbridgeError: of_ours,
    DatabaseError: of_database,
    Exception: of_bug,
}

# OneRoster 1.1: what its vocabulary has for words that came later
_OLDER_MINOR = {
    "invalid_filter_field": "invaliddata",
    "forbidden": "unauthorisedrequest",
    "server_busy": "targetreadfailure",
    "internal_server_error": "targetreadfailure",
}


def _older(answer: Callable[[Request, Exception], Awaitable[Response]]) -> Callable[[Request, Exception], Any]:
    async def answered(request: Request, error: Exception) -> Response:
        found = await answer(request, error)
        said = msgspec.json.decode(found.body)
        [field] = said["imsx_CodeMinor"]["imsx_codeMinorField"]
        minor = field["imsx_codeMinorFieldValue"]
        minor = "unsupportedoperation" if found.status_code == 405 else _OLDER_MINOR.get(minor, minor)
        field["imsx_codeMinorFieldValue"] = minor
        said["imsx_messageRefIdentifier"] = request.state.correlation  # OneRoster 1.1 demands one, 1.2 has none
        headers = {name: value for name, value in found.headers.items() if name != "content-length"}
        return Response(msgspec.json.encode(said), found.status_code, headers)

    return answered


OLDER_HANDLERS = {kind: _older(answer) for kind, answer in HANDLERS.items()}
"""The same for OneRoster 1.1."""
