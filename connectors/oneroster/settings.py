"""What a OneRoster connection asks a district for: the address of a service, or a CSV package."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Self, cast

from pydantic import Field, SecretStr, field_validator, model_validator

from connectors.oneroster.catalogue import (
    BEYOND_ROSTER,
    DEFAULT,
    HOMES,
    ROOTS,
    SERVICES,
    Service,
    Version,
    chosen,
    scopes_of,
)
from connectors.oneroster.presets import PRESETS
from gateway.connector import Advanced
from gateway.http import Auth, ClientCredentials, OAuth1, StaticBearer, Style
from gateway.inbox import PlaceSettings

AUTO = "auto"
"""Left to the preset, and where that says nothing, to what the server shows."""

LARGEST_PAGE = 10_000
_PAGE = 1000
_SERVICE = re.compile(
    r"(https?://[^/?#]+[^?#]*?)"
    r"(?:/ims/oneroster(?:(?P<old>/v1p1)|/(?:rostering|gradebook|resources)(?P<new>/v1p2)?)?)?/*"
)

# Named here, because mypy reads an Annotated field's own type only.
VersionSetting = Literal["auto", "1.1", "1.2"]
AuthSetting = Literal["auto", "oauth2", "oauth1-sha256", "oauth1-sha1", "bearer"]
StyleSetting = Literal["auto", "basic", "form", "query"]
OrderSetting = Literal["auto", "sorted", "natural", "none"]
YesNo = Literal["auto", "yes", "no"]
WriteSetting = Literal["no", "put", "post"]


class OneRosterSettings(PlaceSettings):
    """Either a service (its address, and what its kind of credentials needs) or a package (path), never both."""

    preset: Annotated[
        str,
        Field(
            default="generic",
            title="Vendor",
            description=f"Whose system it is: {', '.join(PRESETS)}. It fills in what is left empty or at auto below.",
        ),
    ]
    base_url: Annotated[
        str,
        Field(
            default="",
            title="Address of the OneRoster service",
            description="With or without /ims/oneroster at the end. Leave it empty for CSV files.",
        ),
    ]
    token_url: Annotated[
        str,
        Field(
            default="",
            title="Token address",
            description="Where tokens are given out. The vendor names it; it is often not below the address above. "
            "Empty for a consumer key (OAuth 1) or a fixed token.",
        ),
    ]
    client_id: Annotated[
        str, Field(default="", title="Client id", description="From the vendor: client id or consumer key.")
    ]
    client_secret: Annotated[
        SecretStr,
        Field(
            default=SecretStr(""),
            title="Client secret",
            description="From the vendor: client secret, consumer secret, or the fixed token.",
        ),
    ]
    path: Annotated[
        str,
        Field(
            default="",
            title="CSV package",
            description="A OneRoster 1.1 or 1.2 zip, the folder with its files, or a folder of zips (the newest"
            " counts), or sftp://user@host/folder. Leave it empty for a service.",
        ),
    ]
    collections: Annotated[
        str,
        Field(
            default=AUTO,
            title="Collections",
            description=f"What is pulled from a service: {' '.join(DEFAULT)} where it says auto; also gradebook and "
            "resources, or collections by name.",
            json_schema_extra=Advanced,
        ),
    ]
    purpose: Annotated[
        str,
        Field(
            default="",
            title="Purpose",
            description="What gradebook or resources are for, where they are pulled. It is kept with the connection.",
            json_schema_extra=Advanced,
        ),
    ]
    version: Annotated[
        VersionSetting,
        Field(
            default="auto",
            title="Version",
            description="Where the services are: one root (1.1) or three (1.2). What records look like does not "
            "depend on it.",
            json_schema_extra=Advanced,
        ),
    ]
    rostering_path: Annotated[
        str,
        Field(
            default="",
            title="Path of rostering",
            description="Where it is not where the standard has it: /ims/oneroster/rostering/v1p2.",
            json_schema_extra=Advanced,
        ),
    ]
    gradebook_path: Annotated[
        str, Field(default="", title="Path of the gradebook", description="The same.", json_schema_extra=Advanced)
    ]
    resources_path: Annotated[
        str, Field(default="", title="Path of resources", description="The same.", json_schema_extra=Advanced)
    ]
    auth: Annotated[
        AuthSetting,
        Field(
            default="auto",
            title="Kind of credentials",
            description="auto: oauth2, or oauth1-sha256 where there is a client id and no token address.",
            json_schema_extra=Advanced,
        ),
    ]
    token_style: Annotated[
        StyleSetting,
        Field(
            default="auto",
            title="How the token is asked for",
            description="Client id and secret as basic, in the form, or in the query of the token address. "
            "auto: basic, and the form where that is refused.",
            json_schema_extra=Advanced,
        ),
    ]
    scopes: Annotated[
        str,
        Field(
            default=AUTO,
            title="Scopes",
            description="What the token is asked for, separated by spaces; auto: what the collections need. "
            "Empty: no scope is sent.",
            json_schema_extra=Advanced,
        ),
    ]
    page_size: Annotated[
        int,
        Field(
            default=0,
            ge=0,
            le=LARGEST_PAGE,
            title="Rows asked for at once",
            description=f"A server may give fewer. 0: what the preset says, else {_PAGE}.",
            json_schema_extra=Advanced,
        ),
    ]
    order: Annotated[
        OrderSetting,
        Field(
            default="auto",
            title="Order of its pages",
            description="sorted by sourcedId; natural: its own, always the same; none: another each time. "
            "auto: sorted, natural where that is refused.",
            json_schema_extra=Advanced,
        ),
    ]
    totals: Annotated[
        YesNo,
        Field(
            default="auto",
            title="Believe its counts",
            description="no: its X-Total-Count is wrong and is not looked at.",
            json_schema_extra=Advanced,
        ),
    ]
    changes: Annotated[
        YesNo,
        Field(
            default="auto",
            title="Ask for changes only",
            description="yes: only what changed is asked for, and everything every so many days. no: everything is "
            "pulled each time. auto: no, until a check sees that the server honours a filter on dateLastModified and "
            "shows what was deleted.",
            json_schema_extra=Advanced,
        ),
    ]
    write: Annotated[
        WriteSetting,
        Field(
            default="no",
            title="Write to its gradebook",
            description="put: objects get our ids, as the standard prefers. post: for a server that gives ids of its "
            "own. What of a plan is written, and in which classes, is chosen with the destination.",
            json_schema_extra=Advanced,
        ),
    ]
    student_identifier: Annotated[
        str,
        Field(
            default="identifier",
            title="Student identifier",
            description="Which number other systems know too: identifier, userMasterIdentifier or a type in userIds."
            " Several, parted by semicolons, or auto: the one by which most students are recognised.",
        ),
    ]
    staff_identifier: Annotated[
        str,
        Field(default="identifier", title="Staff identifier", description="The same for members of staff."),
    ]

    @model_validator(mode="before")
    @classmethod
    def _version_of_the_address(cls, given: Any) -> Any:
        """An address that names a version says which one it is, unless somebody says otherwise."""
        found = _SERVICE.fullmatch(str(given.get("base_url", "")).strip()) if isinstance(given, Mapping) else None
        if found is None or not (found["old"] or found["new"]) or given.get("version", AUTO) != AUTO:
            return given
        return {**given, "version": "1.1" if found["old"] else "1.2"}

    @field_validator("preset")
    @classmethod
    def _known(cls, value: str) -> str:
        if value not in PRESETS:
            raise ValueError(f"there is {', '.join(PRESETS)}")
        return value

    @field_validator("base_url")
    @classmethod
    def _service(cls, value: str) -> str:
        if not value:
            return value
        found = _SERVICE.fullmatch(value)
        if found is None or "/ims/oneroster/" in found[1]:
            raise ValueError(
                "give the address of a OneRoster service, like https://sis.example.org/ims/oneroster"
                " (what stands elsewhere is set as rostering_path)"
            )
        return found[1]

    @field_validator("rostering_path", "gradebook_path", "resources_path")
    @classmethod
    def _below(cls, value: str) -> str:
        if value and re.fullmatch(r"(/[\w.~-]+)+/?", value) is None:
            raise ValueError("give a path like /ims/oneroster/rostering/v1p2")
        return value.rstrip("/")

    @field_validator("collections")
    @classmethod
    def _collections(cls, value: str) -> str:
        if value != AUTO and "orgs" not in chosen(value):
            raise ValueError("orgs cannot be left out: everything else belongs to one (roster has them)")
        return value

    @model_validator(mode="after")
    def _one_of_two(self) -> Self:
        if self.base_url and self.path:
            raise ValueError("give the address of a service or the path of a CSV package, not both")
        if not self.base_url and not self.path:
            raise ValueError("give the address of a service (base_url) or the path of a CSV package (path)")
        if self.base_url and (missing := _missing(self)):
            raise ValueError(f"a service also needs {', '.join(missing)}")
        beyond = sorted({HOMES[name].group for name in dialect(self).collections} & BEYOND_ROSTER)
        if beyond and not self.purpose:
            raise ValueError(f"say as purpose what {' and '.join(beyond)} should be for: it goes beyond the roster")
        return self


def _missing(settings: OneRosterSettings) -> list[str]:
    spoken = dialect(settings)
    needed = {
        "the token address": spoken.auth != "oauth2" or spoken.token_url,
        "the client id": spoken.auth == "bearer" or settings.client_id,
        "the client secret": settings.client_secret.get_secret_value(),
    }
    return [words for words, there in needed.items() if not there]


@dataclass(frozen=True)
class Dialect:
    """How one server is to be spoken to: what the district set, else what its preset knows, else the standard.

    `version` None: to be found by asking. `paths` are those that somebody set. `scopes` is what a token is asked for;
    empty: nothing. `order`: how far its pages may be relied on. `totals`: whether its counts are believed. `changes`:
    whether it is asked for what changed since a moment.
    """

    base_url: str
    token_url: str
    version: Version | None
    paths: Mapping[Service, str]
    collections: Sequence[str]
    auth: str
    token_style: str
    scopes: str
    page_size: int
    order: str
    totals: bool
    changes: bool
    write: str

    def address(self, name: str, version: Version) -> str:
        """Where a collection is in that version."""
        return f"{self.base_url}{self.path(HOMES[name].service, version)}/{name}"

    def path(self, service: Service, version: Version) -> str:
        """Where a service is below the address of the server."""
        return self.paths.get(service) or ROOTS[version][service]


def dialect(settings: OneRosterSettings) -> Dialect:
    """What the settings come to."""
    known = PRESETS[settings.preset].settings

    def said(name: str) -> str:
        value = str(getattr(settings, name))
        return value if value not in ("", AUTO, "0") else str(known.get(name, value))

    version = None if said("version") == AUTO else cast(Version, said("version"))
    collections = chosen(" ".join(DEFAULT) if said("collections") == AUTO else said("collections"))
    token_url = said("token_url").replace("{base}", settings.base_url)
    auth = said("auth")
    if auth == AUTO:  # what the vendor gave tells: a token address, or a key with its secret and no more
        auth = "oauth1-sha256" if settings.client_id and not token_url else "oauth2"
    return Dialect(
        base_url=settings.base_url,
        token_url=token_url,
        version=version,
        paths={service: path for service in SERVICES if (path := said(f"{service}_path"))},
        collections=collections,
        auth=auth,
        token_style=said("token_style"),
        scopes=" ".join(scopes_of(collections, version or "1.2", settings.write))
        if settings.scopes == AUTO
        else settings.scopes,
        page_size=int(said("page_size")) or _PAGE,
        order=said("order"),
        totals=said("totals") != "no",
        changes=said("changes") == "yes",
        write=settings.write,
    )


def auth(settings: OneRosterSettings) -> Auth | None:
    """The credentials as this server wants them; none for files.

    # OneRoster 1.2 Security: client credentials by Basic, though Synergy and others want the form; 1.1: OAuth 1 too
    """
    if settings.path:
        return None
    spoken, secret = dialect(settings), settings.client_secret.get_secret_value()
    if spoken.auth == "bearer":
        return StaticBearer(secret)
    if spoken.auth != "oauth2":
        return OAuth1(settings.client_id, secret, "sha1" if spoken.auth == "oauth1-sha1" else "sha256")
    return ClientCredentials(
        token_url=spoken.token_url,
        client_id=settings.client_id,
        client_secret=secret,
        scope=spoken.scopes or None,
        style="basic" if spoken.token_style == AUTO else cast(Style, spoken.token_style),
        try_form=spoken.token_style == AUTO,
    )
