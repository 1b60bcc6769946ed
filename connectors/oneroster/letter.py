"""The mail to a vendor: what a district must have of it, in exact words, and what was seen of its server."""

from collections.abc import Collection, Iterator, Sequence

from connectors.oneroster.catalogue import GROUPS, HOMES, Version
from connectors.oneroster.presets import PRESETS
from connectors.oneroster.settings import Dialect, OneRosterSettings, dialect
from gateway.connector import Finding

_CREDENTIALS = {
    "oauth2": "OAuth 2 client credentials (a client id and a client secret){style}, token address: {token}",
    "oauth1-sha256": "OAuth 1.0a (a consumer key and a consumer secret), signed with HMAC-SHA256",
    "oauth1-sha1": "OAuth 1.0a (a consumer key and a consumer secret), signed with HMAC-SHA1",
    "bearer": "a fixed access token",
}
_STYLES = {
    "basic": ", sent by HTTP Basic",
    "form": ", sent in the form body",
    "query": ", sent in the query of the token address",
}
_WRITING = {
    "put": "line items and results by PUT, with ids of ours; a category too where we are given none; DELETE of these",
    "post": "line items and results by POST, with ids of yours, and PUT where they change; DELETE of these",
}
_QUESTIONS = (
    "How many rows do you give at once, and how many requests a second or side by side may we make?",
    "Do pages come sorted by sourcedId (sort=sourcedId), and do limit and offset work on every collection?",
    "Do you send X-Total-Count, and does it count what the filter leaves?",
    "Do you honour filter=dateLastModified>'...'? Is dateLastModified the time of the change itself, in UTC?",
    "For how long do you show deleted records as tobedeleted?",
    "At what times is your data refreshed, and when should we not ask?",
    "When do these credentials end, and whom do we ask for new ones?",
)


def letter(settings: OneRosterSettings, findings: Sequence[Finding], groups: Collection[str]) -> str:
    """The mail, ready to be sent. It holds no secret and nothing about a person."""
    spoken, preset = dialect(settings), PRESETS[settings.preset]
    parts = [
        "Subject: OneRoster access for our district",
        "Hello,",
        f"we connect {preset.title} to Planbridge, our gateway for student success plans. It reads by OneRoster"
        f"{_and_writes(spoken)}. Please set up the access below, or tell us what is different on your side.",
        "What we need:\n" + _listed(_needs(spoken)) + ("\n" + _listed(preset.ask) if preset.ask else ""),
        _about_scopes(spoken),
        "What we read:\n" + _listed(_read(spoken)),
        f"What we write:\n- {_WRITING[spoken.write]}" if spoken.write in _WRITING else "",
        "Please tell us:\n" + _numbered(_QUESTIONS),
    ]
    if seen := [finding.text for finding in findings if not finding.ok]:
        parts.append("When we tried, we saw this. Please look into it:\n" + _listed(seen))
    if known := preset.know:
        parts.append("What we know so far of your system:\n" + _listed(known))
    return "\n\n".join(filter(None, [*parts, "Please send the secret by another way than the rest. Thank you."]))


def _and_writes(spoken: Dialect) -> str:
    return " and writes nothing" if spoken.write == "no" else ", and writes into the gradebooks of classes that we name"


def _needs(spoken: Dialect) -> Iterator[str]:
    version: Version = spoken.version or "1.2"
    written = ["categories"] if spoken.write != "no" else []
    for service in dict.fromkeys(HOMES[name].service for name in (*spoken.collections, *written)):
        address = f"{spoken.base_url}{spoken.path(service, version)}"
        yield f"the address of {service}, which must answer without a redirect; we use: {address}"
    if spoken.version is None:
        yield "the version of OneRoster: 1.1 or 1.2"
    style = _STYLES.get(spoken.token_style, "")
    yield _CREDENTIALS[spoken.auth].format(style=style, token=spoken.token_url)


def _about_scopes(spoken: Dialect) -> str:
    if spoken.auth != "oauth2":
        return ""
    if not spoken.scopes:
        return "We ask for a token without naming scopes; it must open all that is listed below."
    about = " (all of them only read)" if spoken.write == "no" else ""
    return f"The scopes, spelt exactly so{about}:\n" + _listed(spoken.scopes.split())


def _read(spoken: Dialect) -> Iterator[str]:
    for group, names in GROUPS.items():
        if chosen := [name for name in names if name in spoken.collections]:
            yield f"{group}: {', '.join(chosen)}"


def _listed(lines: Sequence[str] | Iterator[str]) -> str:
    return "\n".join(f"- {line}" for line in lines)


def _numbered(lines: Sequence[str]) -> str:
    return "\n".join(f"{number}. {line}" for number, line in enumerate(lines, 1))
