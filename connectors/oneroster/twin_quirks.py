"""How the systems of districts differ from the published contract: every difference a switch, and who has which."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from connectors.oneroster.twin_fields import Version

Filtering = Literal["honoured", "ignored", "refused", "and-only", "case-broken", "by-day", "finds-nothing"]
Service = Literal["roster", "gradebook", "assessment", "resources"]
SERVICES: tuple[Service, ...] = ("roster", "gradebook", "assessment", "resources")


@dataclass(frozen=True)
class Quirks:
    """Everything that a system may do otherwise than the contract has it; as it stands here, nothing.

    Paging:

    - `totals`, `link`: whether X-Total-Count and Link are sent; `wrong_total` is added to the number of rows;
    - `page_cap`: no page is longer, whatever limit is asked; a limit above `limit_refused_above` is refused with 400;
    - `offset_ignored`: every page is the first; `offset_beyond`: what is behind the last row;
    - `duplicates`: three rows are met again in the middle of the list, and the total counts each row once;
    - `moving`: with each of the first `moves` pages behind a first one the list is another: "order" turns it by one
      row, "removed" takes one from its front, "inserted" puts one there that had been held back;
    - `perm_rev`: x-count and x-perm-rev are sent; the revision stands still unless the roster changes, or is "moving"
      with each of the first `moves` pages.

    Asking:

    - `filter`: "ignored" shows everything, "refused" is a 400, "and-only" refuses OR, "case-broken" compares capitals,
      "by-day" compares the days of dateLastModified alone, "finds-nothing" finds nothing, whatever is asked for;
      a filter on a field in `filter_blind` is refused with 400;
    - `counts`: X-Total-Count is of what a filter "found", or of "everything";
    - `sort`: honoured, ignored (rows then have an order of the server's own), or refused with 400.

    Spelling:

    - `shape`: the version whose records are served, if not that of the path; "mixed" differs from record to record;
    - `envelope`: "other-case" (Users), "other-name" (that of the path: students), "bare-list" (none);
    - `nulls`: what is absent is left out, null, "" (texts only), or "both": "" in texts and null elsewhere;
    - `booleans`: "text" ("true"), "json" (true) or "Title" ("True"); without it as the version has them;
    - `dates`: "z-date" 2024-10-01Z, "no-zone" 2024-10-01T00:00:00.000, "offset-z" ...+00:00Z, "date-time" where a date
      belongs, "day" where a dateTime belongs, "us" 10/01/2024;
    - `grades`: "words" (Ninth grade), "unpadded" (9), "KG" (kindergarten as KG, K, Kinder or kindergarten, by record);
    - `primaries`: "students" says of every student's enrollment that it is not primary, and nothing of a teacher's;
      without `usernames` each is "";
    - `refs`: "href-only" has no sourcedId, "no-id" an empty one, "text" is the sourcedId alone;
    - `id_case`: references are in capitals, the records they mean are not; `bom`: a mark before the JSON; `gzip`.

    Truth:

    - `tombstones`: what goes away stays as tobedeleted, or with `inactive` as 1.0 had it; `refresh_times`:
      dateLastModified is when the system last refreshed its copy, in every row;
    - `undated`: one of so many rows has no dateLastModified; `stamps_behind`: by how many seconds a dateLastModified is
      earlier than the change can be seen (local time that is called UTC, or a copy that is made each night);
    - `bad_rows` of each collection have a wrong type, no required field, no sourcedId, or are no record;
      `dangling` of each have a reference to nobody;
    - `doubled` students are there a second time under another sourcedId, with the same numbers and in no class;
    - `clock_ahead`: how many seconds its clock is ahead; `html_errors`: what is refused is answered with a web page.
    """

    totals: bool = True
    link: bool = True
    wrong_total: int = 0
    page_cap: int = 500
    limit_refused_above: int | None = None
    offset_ignored: bool = False
    offset_beyond: Literal["empty", "404", "400"] = "empty"
    duplicates: bool = False
    moving: Literal["", "order", "removed", "inserted"] = ""
    moves: int = 3
    perm_rev: Literal["", "steady", "moving"] = ""
    filter: Filtering = "honoured"
    filter_blind: tuple[str, ...] = ()
    counts: Literal["found", "everything"] = "found"
    sort: Literal["honoured", "ignored", "refused"] = "honoured"
    shape: Literal["", "1.1", "1.2", "mixed"] = ""
    envelope: Literal["right", "other-case", "other-name", "bare-list"] = "right"
    nulls: Literal["absent", "null", "empty", "both"] = "absent"
    booleans: Literal["", "text", "json", "Title"] = ""
    dates: Literal["iso", "z-date", "no-zone", "offset-z", "date-time", "day", "us"] = "iso"
    grades: Literal["ceds", "words", "unpadded", "KG"] = "ceds"
    primaries: Literal["teachers", "students"] = "teachers"
    usernames: bool = True
    refs: Literal["right", "href-only", "no-id", "text"] = "right"
    id_case: bool = False
    bom: bool = False
    gzip: bool = False
    tombstones: bool = False
    inactive: bool = False
    refresh_times: bool = False
    undated: int = 0
    stamps_behind: float = 0.0
    bad_rows: int = 0
    dangling: int = 0
    doubled: int = 0
    clock_ahead: float = 0.0
    html_errors: bool = False


@dataclass(frozen=True)
class Access:
    """How a system lets a client in.

    - `style`: OAuth 2 client credentials, OAuth 1.0a signatures, or the client secret itself as a bearer token;
    - `client`: where the token endpoint takes the credentials, all other places are refused;
    - `scope`: whether a token request names scopes: "optional" (all where none is named), "required", "ignored" (all,
      always), "refused";
    - `grant_path`: below the address of the server, wherever the data is; `token_type` as it spells it;
    - `hashes`: what OAuth 1.0a signs with; `window`: how many seconds a timestamp may be off;
    - `cookie`: a session begins with the first answer, and every request after it must bring the cookie.
    """

    style: Literal["oauth2", "oauth1", "bearer"] = "oauth2"
    client: tuple[Literal["basic", "form", "query"], ...] = ("basic",)
    scope: Literal["optional", "required", "ignored", "refused"] = "optional"
    grant_path: str = "/token"
    token_type: str = "Bearer"  # noqa: S105  a word of RFC 6749
    token_seconds: float = 3600
    hashes: tuple[Literal["HMAC-SHA1", "HMAC-SHA256"], ...] = ("HMAC-SHA1", "HMAC-SHA256")
    window: float = 300
    cookie: bool = False


@dataclass(frozen=True)
class Writing:
    """What can be written: each verb can be missing; `allocates`: a POST is answered with ids of the server's own;
    `score_missing`: a result of 1.1 may come without the score that 1.1 demands."""

    put: bool = True
    post: bool = True
    delete: bool = True
    allocates: bool = True
    score_missing: bool = False


@dataclass(frozen=True)
class Preset:
    """One kind of system: which versions and services it has below which path, and all that it does its own way."""

    versions: tuple[Version, ...] = ("1.2",)
    services: tuple[Service, ...] = SERVICES
    below: str = ""
    applications: bool = False
    access: Access = field(default_factory=Access)
    writing: Writing = field(default_factory=Writing)
    quirks: Quirks = field(default_factory=Quirks)


_READ_ONLY = Writing(put=False, post=False, delete=False)

PRESETS: Mapping[str, Preset] = {
    "generic": Preset(),
    # ClassLink direct: signed with SHA-256; records of 1.2 below the path of 1.1
    "classlink": Preset(
        versions=("1.1",),
        services=("roster",),
        access=Access(style="oauth1", hashes=("HMAC-SHA256",)),
        writing=_READ_ONLY,
        quirks=Quirks(shape="1.2", perm_rev="steady", page_cap=1000),
    ),
    # ClassLink's proxy: one token for all districts of a partner, and a list of these
    "classlink-proxy": Preset(
        versions=("1.1",),
        services=("roster",),
        below="/larkspur-application",
        applications=True,
        access=Access(style="bearer"),
        writing=_READ_ONLY,
        quirks=Quirks(shape="1.2", totals=False, link=False, page_cap=1000),
    ),
    "infinite-campus": Preset(
        versions=("1.1", "1.2"),
        below="/campus/api",
        access=Access(client=("query",), grant_path="/campus/oauth2/token"),
    ),
    "aeries": Preset(
        versions=("1.1",),
        services=("roster", "gradebook"),
        below="/aeries",
        access=Access(scope="required", grant_path="/aeries/token", token_seconds=21_600),
        writing=Writing(delete=False),
    ),
    "synergy": Preset(
        versions=("1.1",),
        services=("roster", "gradebook"),
        below="/api",
        access=Access(client=("form",), grant_path="/api/token", cookie=True),
    ),
    # PowerSchool, through an authorised partner's plugin
    "powerschool": Preset(
        services=("roster", "gradebook"),
        writing=Writing(post=False, delete=False),
    ),
    "edfi": Preset(
        services=("roster",),
        below="/oneroster",
        access=Access(grant_path="/oneroster/oauth/token"),
        writing=_READ_ONLY,
        quirks=Quirks(
            totals=False, link=False, page_cap=500, filter_blind=("role", "roles"), grades="words",
            primaries="students", nulls="both",
            dates="no-zone",
        ),
    ),
}  # fmt: skip
