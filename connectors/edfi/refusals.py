"""What an Ed-Fi server means when it says no, in a sentence that can be shown to anyone: never a value of a record."""

import re
from collections.abc import Iterator
from typing import Any, Literal, NamedTuple

import msgspec

from connectors.edfi.meanings import IN_BETWEEN, INVALID, UNRESOLVED, UNTOLD, meaning
from gateway.connector import Receipt
from gateway.errors import AuthError, ConfigError
from gateway.http import Reply


class Said(NamedTuple):
    """A refusal in plain words: what and where, with its full stop; what to do; and the id under which the server's
    host finds the rest, theirs where they gave one, else the one we sent."""

    reason: str
    fix: str
    trace: str


def said(reply: Reply) -> Said:
    """What a server of any generation means.

    Servers quote keys, names and codes of the record in their texts. So none of their text is passed on: only
    what kind of refusal it is, names of fields and entities of the standard, and the correlation id.
    """
    if reply.is_html:
        return Said(f"{IN_BETWEEN.reason}.", IN_BETWEEN.fix, _trace({}, reply))
    answer = _decoded(reply.body)
    kind, texts = str(answer.get("type", "")), list(_texts(answer))
    reason, fix = meaning(reply.status, kind, texts)
    if reason == INVALID.reason and not kind and any(_ENTITIES.search(text) for text in texts):
        reason, fix = UNRESOLVED
    names = sorted(set(_fields(answer)))
    if reason == INVALID.reason and not names:
        fix = UNTOLD
    more = [f"and {len(names) - _MOST} more"] if len(names) > _MOST else []
    where = f" ({'; '.join(names[:_MOST] + more)})" if names else ""
    return Said(f"{reason}{where}.", fix, _trace(answer, reply))


def sentence(reply: Reply) -> str:
    """The same as one text, with the status and the id."""
    reason, fix, trace = said(reply)
    return f"{reason[:-1]} [{reply.status}, correlation-id {trace}]. {fix}"


def receipt(reply: Reply, before: str = "") -> Receipt:
    """The refusal of a write, as a destination's receipt. `before` says what was tried, where that is not plain."""
    reason, fix, trace = said(reply)
    return Receipt(reply.status, message=f"{before}{reason} {fix}", waits=waits(reply), trace=trace)


def granted(reply: Reply) -> Reply:
    """The reply, if it is 200. AuthError where the key may not do this, ConfigError for everything else: errors
    that time may heal do not come as replies."""
    if reply.status == 200:
        return reply
    reason, fix, trace = said(reply)
    told = f"{reply.name}: {reason[:-1]} [{reply.status}, correlation-id {trace}]."
    if reply.status == 403:
        raise AuthError("edfi-not-granted", told, fix)
    raise ConfigError("edfi-refused", told, fix)


ABSENCES = {403: "not granted to this key", 404: "not offered by this server"}
"""What it means for a collection that the server answers so."""


def waits(reply: Reply) -> Literal["", "parent", "enrollment"]:
    """For what a refused write may wait: that the server gets what the record refers to, or that it learns that the
    student is enrolled. Empty where only a person can help."""
    answer = _decoded(reply.body)
    kind = str(answer.get("type", ""))
    texts = " ".join(_texts(answer))
    if kind.startswith("urn:ed-fi:api:data-conflict:unresolved-reference"):
        return "parent"
    # Ed-Fi: before 7.2 a person who is not there is a 400, everything else a 409; neither has a type.
    if not kind and reply.status in (400, 409) and _UNRESOLVED.search(texts):
        return "parent"
    if reply.status == 403 and kind.rstrip(":") in ("", _RELATIONSHIP) and _UNRELATED.search(texts):
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
_MOST = 6  # fields named in a sentence

# What a server says of one field; the text itself would quote the value.
_COMPLAINTS = tuple(
    (re.compile(words, re.IGNORECASE), plain)
    for words, plain in (
        (r"\brequired\b|at least one item", "is missing"),
        (r"does not exist|could not be resolved|unable to resolve|not exist", "is not known to the server"),
        (r"characters in length|(?:maximum|minimum) length", "has the wrong length"),
        (r"leading or trailing spaces", "begins or ends with a space"),
        (r"must match", "differs between references"),
        (r"dangerous", "has characters the server refuses"),
        (r"converting value|could not (?:be )?convert|not a valid|must be of type", "is not of the type it should be"),
        (r"Unexpected (?:end|character)|Invalid property identifier", "cannot be read"),
        (r"must be (?:unique|distinct)|duplicate", "is there more than once"),
        (r"must be (?:between|greater|less|at most|at least)", "is out of its range"),
        (r"unknown property|not (?:allowed|defined|a member|part of)|overpost", "is not known there by this name"),
    )
)
# Before 7.2 the only hint is a text; these are its fixed parts around names of entities.
_ENTITIES = re.compile(
    r"The (?:referenced|value supplied for the related) '(?P<new>\w+)' (?:item|resource)"
    r"|(?P<old>\b[A-Z][a-z]+) reference could not be resolved"
    r"|(?P<code>\b[A-Z]\w+Descriptor) value '"
    r"|to an existing '(?P<listed>[A-Z]\w+Descriptor)' resource"
)
_KEYS = re.compile(r"\b((?:Student|Staff|Contact|Parent)UniqueId|SchoolId|EducationOrganizationId)\b")
_UNRESOLVED = re.compile(r"'\w+' (?:item|resource) does not exist|\b\w+ reference could not be resolved")
_RELATIONSHIP = "urn:ed-fi:api:security:authorization"
_UNRELATED = re.compile(r"no relationships? (?:has|have) been established.*student", re.IGNORECASE | re.DOTALL)
_KNOWN_ENTITIES = re.compile(
    r"student|staff|contact|parent|program|intervention\w*|school\w*|educationOrganization"
    r"|localEducationAgency|cohort|section|session|course\w*|\w+Descriptor|\w+Association",
    re.IGNORECASE,
)
_PLACE = re.compile(r"[A-Za-z_][\w.\[\]]*")
_WHOLE = frozenset({"", "$", "$.", "request", "body"})


def _decoded(body: bytes) -> dict[str, Any]:
    """The answer as the members that any server tells, in the spelling of the newest; empty where it is none."""
    try:
        answer = msgspec.json.decode(body.removeprefix(b"\xef\xbb\xbf"))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return {}
    if isinstance(answer, list) and answer and isinstance(answer[0], dict):
        answer = answer[0]
    if isinstance(answer, dict):
        return {_MEMBERS.get(str(name).casefold(), str(name)): value for name, value in answer.items()}
    return {"errors": answer} if isinstance(answer, list) else {"message": answer}


_MEMBERS = {
    name.casefold(): name
    for name in ("type", "detail", "message", "errors", "validationErrors", "modelState", "correlationId")
}


def _fields(answer: dict[str, Any]) -> Iterator[str]:
    # Ed-Fi: validationErrors {"$.path": [...]} from 7.2; before, modelState {"request.path": [...]}. What stands below
    # Ed-Fi, as ASP.NET itself, says errors {"path": [...]}.
    for group in ("validationErrors", "modelState", "errors"):
        complaints = answer.get(group)
        for path, texts in complaints.items() if isinstance(complaints, dict) else ():
            name = "the record" if path in _WHOLE else re.sub(r"^(\$|request)\.", "", path)
            if name == "the record" or _PLACE.fullmatch(name):
                yield f"{name} {_complaint(texts)}"
    for text in _texts(answer):
        for found in _ENTITIES.finditer(text):
            name = next(filter(None, found.groups()))
            if _KNOWN_ENTITIES.fullmatch(name):
                yield f"{name[0].lower()}{name[1:]} is not known to the server"
        for key in _KEYS.findall(text) if "relationship" in text else ():
            yield f"{key[0].lower()}{key[1:]} is outside of what the key reaches"


def _complaint(texts: object) -> str:
    listed = texts if isinstance(texts, list) else [texts]
    said = (next((plain for words, plain in _COMPLAINTS if words.search(str(text))), "is not valid") for text in listed)
    return " and ".join(dict.fromkeys(said)) or "is not valid"


def _texts(answer: dict[str, Any]) -> Iterator[str]:
    for name in ("detail", "message"):
        if isinstance(answer.get(name), str):
            yield answer[name]
    errors = answer.get("errors")
    yield from (text for text in errors if isinstance(text, str)) if isinstance(errors, list) else ()


def _trace(answer: dict[str, Any], reply: Reply) -> str:
    for found in (answer.get("correlationId"), reply.headers.get("correlation-id")):
        if isinstance(found, str) and re.fullmatch(r"[0-9A-Fa-f-]{8,64}", found):
            return found
    return reply.correlation_id
