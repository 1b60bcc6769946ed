"""What is known of the systems of each vendor before anyone asks: settings, and what to say to people."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Preset:
    """`settings` stand in for those that a district leaves at auto or empty. `{base}` in one of them is the address of
    the service. `ask` is what the vendor must be asked for, `know` what a district ought to know beforehand."""

    title: str
    settings: Mapping[str, str | int] = field(default_factory=dict)
    ask: tuple[str, ...] = ()
    know: tuple[str, ...] = ()


# What the vendors publish, and what was seen of their servers. A preset is only a better guess: `check` looks.
PRESETS: Mapping[str, Preset] = {
    "generic": Preset("any other OneRoster service"),
    "classlink": Preset(
        "ClassLink Roster Server, asked directly",
        {"version": "1.1", "auth": "oauth1-sha256"},
        ask=(
            "the address of the district's own roster server",
            "a consumer key and a consumer secret, signed with HMAC-SHA256",
        ),
        know=("Records may have the shape of 1.2 although the address says v1p1; both are read.",),
    ),
    "classlink-proxy": Preset(
        "ClassLink's proxy for partners",
        {"version": "1.1", "auth": "bearer"},
        ask=(
            "the address of this district below the proxy, as its list of applications names it",
            "the access token of the application, which does not end by itself",
        ),
        know=("The proxy does not say how many records there are.",),
    ),
    "infinite-campus": Preset(
        "Infinite Campus",
        {"version": "1.1", "auth": "oauth2", "token_style": "query", "token_url": "{base}/token"},
        ask=("the address of the district's OneRoster service and of its token service", "a client id and secret"),
        know=("Credentials are sent to the token address in its query: only to the vendor's own https address.",),
    ),
    "aeries": Preset(
        "Aeries",
        {"version": "1.1", "auth": "oauth2", "token_url": "{base}/token", "collections": "roster demographics"},
        ask=("the address of Aeries itself, such as https://sis.example.org/aeries", "a client id and secret"),
        know=(
            "A token is only given for named scopes.",
            "Aeries has no resources, and asks for pulls of everything outside school hours only.",
        ),
    ),
    "synergy": Preset(
        "Synergy (Edupoint)",
        {"version": "1.1", "auth": "oauth2", "token_style": "form"},
        ask=("the address of the OneRoster service and of its token service", "a client id and secret"),
        know=("The server keeps a session by cookie, which is sent again.",),
    ),
    "powerschool": Preset(
        "PowerSchool SIS (for registered partners)",
        {"version": "1.2", "auth": "oauth2"},
        ask=(
            "that the partner's plugin for Universal Rostering is installed and switched on",
            "the address of the service and of its token service, and the plugin's client id and secret",
        ),
        know=("PowerSchool gives OneRoster only to registered partners. Without one, connect its CSV export by path.",),
    ),
    "edfi": Preset(
        "the OneRoster service of an Ed-Fi ODS",
        {"version": "1.2", "auth": "oauth2", "page_size": 500, "changes": "no"},
        ask=("the address of the OneRoster service and of the token service of the Ed-Fi API", "a key and secret"),
        know=(
            "It never shows what was deleted, so everything is pulled each time.",
            "Somebody at two schools is two users there; they are proposed as one person.",
        ),
    ),
}
