"""What each kind of refusal by an Ed-Fi server means, by its type, its fixed words or its status, and what to do."""

import re
from collections.abc import Iterable
from typing import NamedTuple


class Meaning(NamedTuple):
    """What was refused, without its full stop; and what a person can do about it, in a sentence."""

    reason: str
    fix: str


def meaning(status: int, kind: str, texts: Iterable[str]) -> Meaning:
    """By the type, where there is one (from 7.2 on); else by words that every server before 7.2 uses; else by the
    status. A few types stand for several things, which only their words tell apart."""
    said = " ".join(texts)
    told = [prefix for prefix in _TYPES if kind.startswith(prefix)]
    if not told or told[0] in _COARSE:
        for pattern, found in _WORDS:
            if pattern.search(said):
                return found
    if told:
        return _TYPES[told[0]]
    return _STATUSES.get(status, _OTHER if status < 500 else _BROKEN)


INVALID = Meaning(
    "The server finds the record invalid",
    "Correct what is named there and send it again.",
)
_OURS = "That is for Planbridge's developers: report it with this id."
_UNREADABLE = Meaning("The server could not read what it was sent", _OURS)
_QUERY = Meaning("The server refuses a query parameter", _OURS)
_KEY_CHANGE = Meaning("The server does not let the key of this record be changed", _OURS)
_PROFILE = Meaning(
    "The key is bound to an API profile that does not allow this",
    "Ask the server's host which profile the key has, and for one that allows it.",
)
_CLAIM_SET = Meaning("The key's claim set does not grant this", "Ask the server's host to grant it to this key.")
_NAMESPACE = Meaning("The key may not write in this namespace", "Ask the server's host to give the key this namespace.")
_RELATIONSHIP = Meaning(
    "The key has no relationship to this student or organization",
    "Have the person enrolled or employed there first, or ask the server's host to give the key this organization.",
)
_SIGNED_OUT = Meaning(
    "The server does not accept our sign-in", "Ask the server's host whether the key is still switched on."
)
_TOKENS = Meaning(
    "The key has as many access tokens as it may have",
    "Try again in half an hour; if it stays so, look what else uses this key.",
)
UNRESOLVED = Meaning(
    "The server does not have something the record refers to",
    "Have it entered there first, then send this again.",
)
_DEPENDENT = Meaning(
    "Other records on the server depend on this one",
    "Have those removed there first, or leave this one in place.",
)
_SAME_KEY = Meaning(
    "Another record on the server has the same key",
    "Look there which of the two is right, and have the other corrected.",
)
_CHANGED = Meaning("The record was changed by someone else meanwhile", "Send it again: it is then read anew.")
_SNAPSHOT = Meaning(
    "The server has no snapshot to read from, or lets nothing be written to one",
    "Ask the server's host for a snapshot, or switch snapshots off for this connection.",
)
_NOT_THERE = Meaning(
    "The server does not have this resource",
    "Check the address and the school year of this connection, and ask the server's host what it offers.",
)
_GONE = Meaning(
    "The server does not have this record",
    "Look there whether somebody has removed it; sending it again makes it anew.",
)
_METHOD = Meaning("The server does not allow this here", "Ask the server's host whether this resource is read-only.")
_MEDIA = Meaning("The server does not take the form in which the record was sent", _OURS)
_TOO_LARGE = Meaning("The record is larger than the server takes", "Ask the server's host for its limit.")
_CONFLICT = Meaning(
    "The record conflicts with what the server has, or refers to something it lacks",
    "Look there for a record with the same key, and whether all it refers to is there.",
)
_FORBIDDEN = Meaning("The key may not do this", "Ask the server's host what the key's claim set grants.")
_BUSY = Meaning("The server says that it is asked too often", "Try again later; it is then asked more slowly.")
_BROKEN = Meaning(
    "The server met an error of its own", "Try again later; if it stays so, give this id to the server's host."
)
_OTHER = Meaning("The server refuses the record", "Ask the server's host with this id.")
UNTOLD = "Ask the server's host with this id: the server does not say what is wrong."
IN_BETWEEN = Meaning(
    "Something in front of the server answered with a web page instead of the server",
    "Ask the server's host, and your network staff, which proxy or firewall stands in between.",
)

# Ed-Fi: error response knowledge base 7.3 and 8; the first prefix that fits wins. Types exist from 7.2 on.
_URN = "urn:ed-fi:api:"
_TYPES = {
    _URN + "bad-request:data-validation-failed:key-change-not-supported": _KEY_CHANGE,
    _URN + "bad-request:data-validation-failed": INVALID,
    _URN + "bad-request:parameter-validation-failed": _QUERY,
    _URN + "bad-request": Meaning("The server cannot process the request", _OURS),
    _URN + "profile": _PROFILE,
    _URN + "security:data-policy": _PROFILE,
    _URN + "security:authentication:too-many-tokens": _TOKENS,
    _URN + "security:authentication": _SIGNED_OUT,
    _URN + "security:authorization:access-denied": _CLAIM_SET,
    _URN + "security:authorization:namespace": _NAMESPACE,
    _URN + "security:authorization": _RELATIONSHIP,
    _URN + "data-conflict:unresolved-reference": UNRESOLVED,
    _URN + "data-conflict:dependent-item-exists": _DEPENDENT,
    _URN + "data-conflict:non-unique-identity": _SAME_KEY,
    _URN + "data-conflict": _CONFLICT,
    _URN + "identity-conflict": _SAME_KEY,
    _URN + "optimistic-lock-failed": _CHANGED,
    _URN + "snapshot": _SNAPSHOT,
    _URN + "not-found:snapshot": _SNAPSHOT,
    _URN + "not-found": _NOT_THERE,
    _URN + "method-not-allowed": _METHOD,
    _URN + "unsupported-media-type": _MEDIA,
    _URN + "system": _BROKEN,
    _URN + "internal-server-error": _BROKEN,
}
_COARSE = frozenset(
    {
        _URN + "bad-request:data-validation-failed",
        _URN + "bad-request",
        _URN + "security:authorization",
        _URN + "not-found",
    }
)

# The fixed words of every generation, the narrower before the wider. None of them can be a value of a record.
_WORDS = tuple(
    (re.compile(words, re.IGNORECASE), found)
    for words, found in (
        (r"Identifying values for the \w+ (?:item|resource) cannot be changed", _KEY_CHANGE),
        (r"identifiers cannot be assigned by the client", Meaning("The server gives the id of a record itself", _OURS)),
        (r"non-empty request body|Unexpected (?:character|end)|Invalid property identifier", _UNREADABLE),
        (r"profile-(?:based|specific) content type|using (?:API )?profile '", _PROFILE),
        (r"namespace prefix|'Namespace' value of the data", _NAMESPACE),
        (r"No relationships? (?:has|have) been established", _RELATIONSHIP),
        (r"assigned claim ?set|claim set .* must grant|resource claims?:", _CLAIM_SET),
        (r"reference could not be resolved|'\w+' (?:item|resource) does not exist|related '\w+' resource", UNRESOLVED),
        (r"(?:dependent|dependency|referenced by (?:an )?existing)", _DEPENDENT),
        (r"natural key conflict|duplicate key|same as another item", _SAME_KEY),
        (r"modified by another", _CHANGED),
        (r"\bsnapshots?\b", _SNAPSHOT),
        (r"\bitem could not be found|to (?:update|delete) was not found", _GONE),
    )
)  # fmt: skip
_STATUSES = {
    400: INVALID,
    401: _SIGNED_OUT,
    403: _FORBIDDEN,
    404: _NOT_THERE,
    405: _METHOD,
    409: _CONFLICT,
    410: _NOT_THERE,
    412: _CHANGED,
    413: _TOO_LARGE,
    415: _MEDIA,
    429: _BUSY,
}
