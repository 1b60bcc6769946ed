"""What an Ed-Fi server means when it says no, in a sentence that can be shown to anyone: never a value of a record."""

import re
from collections.abc import Iterator
from typing import Any, Literal

import msgspec

from gateway.errors import AuthError, ConfigError
from gateway.http import Reply


def granted(reply: Reply) -> Reply:
    """The reply, if it is 200. AuthError where the key may not do this, ConfigError for everything else: errors
    that time may heal do not come as replies."""
    if reply.status == 200:
        return reply
    if reply.status == 403:
        raise AuthError(
            "edfi-not-granted",
            f"{reply.name}: {sentence(reply)}",
            "Ask the API's administrator what the key's claim set grants.",
        )
    raise ConfigError("edfi-refused", f"{reply.name}: {sentence(reply)}", "Show this to the API's administrator.")


def sentence(reply: Reply) -> str:
    """One plain sentence about a refusal of any server generation.

    Servers quote keys, names and codes of the record in their texts. So none of their text is passed on: only
    the status, what kind of refusal it is, names of fields and entities of the standard, and the
    correlation id under which the API's administrator finds the rest.
    """
    answer = _decoded(reply.body)
    reason = _reason(reply.status, str(answer.get("type", "")), answer)
    fields = sorted(set(_fields(answer)))
    where = f" ({'; '.join(fields)})" if fields else ""
    return f"{reason}{where} [{reply.status}, correlation-id {_correlation(answer) or reply.correlation_id}]."


ABSENCES = {403: "not granted to this key", 404: "not offered by this server"}
"""What it means for a collection that the server answers so."""


def waits(reply: Reply) -> Literal["", "parent", "enrollment"]:
    """For what a refused write may wait: that the server gets what the record refers to, or that it learns that the
    student is enrolled. Empty where only a person can help."""
    answer = _decoded(reply.body)
    kind = str(answer.get("type", ""))
    said = " ".join(_texts(answer))
    if kind.startswith("urn:ed-fi:api:data-conflict:unresolved-reference"):
        return "parent"
    # Ed-Fi: before 7.2 a person who is not there is a 400, everything else a 409; neither has a type.
    if not kind and reply.status in (400, 409) and _UNRESOLVED.search(said):
        return "parent"
    if reply.status == 403 and kind.rstrip(":") in ("", _RELATIONSHIP) and _UNRELATED.search(said):
        return "enrollment"
    return ""


def refuses_limit(reply: Reply) -> bool:
    """Whether the server found the page size we asked for too large."""
    return reply.status == 400 and bool(_LIMIT.search(" ".join(_texts(_decoded(reply.body)))))


def largest_limit(reply: Reply) -> int | None:
    """The page size that a server which refused ours says it allows."""
    # Ed-Fi: "... set to a value between 0 and 500." Before 7.2 the number is left out.
    named = re.search(r"between \d+ and (\d+)", " ".join(_texts(_decoded(reply.body))))
    return int(named.group(1)) if named else None


_LIMIT = re.compile(r"\b(limit|page ?size)\b", re.IGNORECASE)

# Ed-Fi: error response knowledge base 7.3 and 8; the first prefix that fits wins. Types exist from 7.2 on.
_TYPES = {
    "urn:ed-fi:api:bad-request:data-validation-failed": "The server finds the record invalid",
    "urn:ed-fi:api:bad-request:parameter-validation-failed": "The server refuses a query parameter",
    "urn:ed-fi:api:bad-request": "The server cannot process the request",
    "urn:ed-fi:api:profile": "The key is bound to an API profile that does not allow this",
    "urn:ed-fi:api:security:data-policy": "The key is bound to an API profile that does not allow this",
    "urn:ed-fi:api:security:authorization:access-denied": "The key's claim set does not grant this",
    "urn:ed-fi:api:security:authorization:namespace": "The key may not write in this namespace",
    "urn:ed-fi:api:security:authorization": "The key has no relationship to this student or organization",
    "urn:ed-fi:api:data-conflict:unresolved-reference": "The server does not have something the record refers to",
    "urn:ed-fi:api:data-conflict:dependent-item-exists": "Other records on the server depend on this one",
    "urn:ed-fi:api:data-conflict:non-unique-identity": "Another record on the server has the same key",
    "urn:ed-fi:api:optimistic-lock-failed": "The record was changed by someone else meanwhile",
    "urn:ed-fi:api:not-found": "The server does not have this resource",
}
_STATUSES = {
    400: "The server finds the record invalid",
    403: "The key may not do this",
    404: "The server does not have this resource",
    405: "The server does not allow this here",
    409: "The record conflicts with what the server has, or refers to something it lacks",
    412: "The record was changed by someone else meanwhile",
}
# What a server says of one field; the text itself would quote the value.
_COMPLAINTS = (
    (re.compile(r"\brequired\b|at least one item", re.IGNORECASE), "is missing"),
    (re.compile(r"does not exist|could not be resolved|not exist", re.IGNORECASE), "is not known to the server"),
    (re.compile(r"characters in length|maximum length", re.IGNORECASE), "has the wrong length"),
    (re.compile(r"leading or trailing spaces", re.IGNORECASE), "begins or ends with a space"),
    (re.compile(r"must match", re.IGNORECASE), "differs between references"),
    (re.compile(r"dangerous", re.IGNORECASE), "has characters the server refuses"),
)
# Before 7.2 the only hint is a text; these are its fixed parts around names of entities.
_ENTITIES = re.compile(
    r"The (?:referenced|value supplied for the related) '(?P<new>\w+)' (?:item|resource)"
    r"|(?P<old>\b[A-Z][a-z]+) reference could not be resolved"
    r"|(?P<code>\b[A-Z]\w+Descriptor) value '"
)
_UNRESOLVED = re.compile(r"'\w+' (?:item|resource) does not exist|\b\w+ reference could not be resolved")
_RELATIONSHIP = "urn:ed-fi:api:security:authorization"
_UNRELATED = re.compile(r"no relationships? (?:has|have) been established.*student", re.IGNORECASE | re.DOTALL)
_KNOWN_ENTITIES = re.compile(
    r"student|staff|contact|parent|program|intervention\w*|school\w*|educationOrganization"
    r"|localEducationAgency|cohort|section|session|course\w*|\w+Descriptor|\w+Association",
    re.IGNORECASE,
)


def _decoded(body: bytes) -> dict[str, Any]:
    try:
        answer = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return {}
    return answer if isinstance(answer, dict) else {}


def _reason(status: int, kind: str, answer: dict[str, Any]) -> str:
    for prefix, reason in _TYPES.items():
        if kind.startswith(prefix):
            return reason
    if any(_ENTITIES.search(text) for text in _texts(answer)):
        return "The server does not have something the record refers to"
    return _STATUSES.get(status, "The server refuses the record")


def _fields(answer: dict[str, Any]) -> Iterator[str]:
    # Ed-Fi: validationErrors {"$.path": [...]} from 7.2; before, modelState {"request.path": [...]}.
    for group in ("validationErrors", "modelState"):
        complaints = answer.get(group)
        for path, texts in complaints.items() if isinstance(complaints, dict) else ():
            name = re.sub(r"^(\$|request)\.", "", path)
            if re.fullmatch(r"[A-Za-z_][\w.\[\]]*", name):
                yield f"{name} {_complaint(texts)}"
    for text in _texts(answer):
        for found in _ENTITIES.finditer(text):
            name = found["new"] or found["old"] or found["code"]
            if _KNOWN_ENTITIES.fullmatch(name):
                yield f"{name[0].lower()}{name[1:]} is not known to the server"


def _complaint(texts: object) -> str:
    joined = " ".join(map(str, texts)) if isinstance(texts, list) else str(texts)
    return next((plain for pattern, plain in _COMPLAINTS if pattern.search(joined)), "is not valid")


def _texts(answer: dict[str, Any]) -> Iterator[str]:
    for name in ("detail", "message"):
        if isinstance(answer.get(name), str):
            yield answer[name]
    errors = answer.get("errors")
    yield from (text for text in errors if isinstance(text, str)) if isinstance(errors, list) else ()


def _correlation(answer: dict[str, Any]) -> str:
    found = str(answer.get("correlationId", ""))
    return found if re.fullmatch(r"[0-9A-Fa-f-]{8,64}", found) else ""
