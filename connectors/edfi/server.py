"""Which Ed-Fi server this is: what the district tells us about it, and what its discovery document says."""

import re
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import msgspec
from pydantic import Field, SecretStr

from connectors.edfi.resources import STANDARDS
from connectors.edfi.routes import Route
from gateway.connector import Advanced, ConnectionSettings
from gateway.errors import ConfigError
from gateway.http import ClientCredentials, Http, MemoryTokens, Reply, same_origin

_SEGMENT = r"^[A-Za-z0-9._~-]*$"


def _override(of: str, what: str) -> Any:
    """# Ed-Fi: discovery is right by contract, and wrong behind many a proxy."""
    return Field(
        default="",
        pattern=r"^(https?://[^/?#]+[^?#]*)?$",
        title=f"Address of {of}",
        description=f"Only where what the server says of itself is wrong: {what}.",
        json_schema_extra={"advanced": True},
    )


class EdfiSettings(ConnectionSettings):
    """What a connection to an Ed-Fi ODS/API or Ed-Fi API asks for."""

    base_url: Annotated[
        str,
        Field(
            title="Address",
            description="Where the API describes itself, for example https://edfi.example.org/v7.1/api.",
            pattern=r"^https?://[^/?#]+[^?#]*$",
        ),
    ]
    key: Annotated[str, Field(title="Key", description="From the API's administrator.", min_length=1)]
    secret: Annotated[SecretStr, Field(title="Secret", description="From the API's administrator.")]
    token_url: Annotated[
        str,
        Field(
            default="",
            title="Token address",
            description="Only where it is not the address above followed by /oauth/token.",
            json_schema_extra=Advanced,
        ),
    ]
    scope: Annotated[
        str,
        Field(
            default="",
            title="Scope",
            description="Narrows a key of several districts to one: its education organization id.",
            json_schema_extra=Advanced,
        ),
    ]
    school_year: Annotated[
        int | None,
        Field(
            default=None,
            ge=1900,
            le=2200,
            title="School year in the addresses",
            description="The year in which it ends. Only where the server keeps each year apart and does not name it.",
            json_schema_extra=Advanced,
        ),
    ]
    instance: Annotated[
        str,
        Field(
            default="",
            pattern=_SEGMENT,
            title="Instance in the addresses",
            description="Only where the server keeps several instances apart.",
            json_schema_extra=Advanced,
        ),
    ]
    edfi_tenant: Annotated[
        str,
        Field(
            default="",
            pattern=_SEGMENT,
            title="Tenant in the addresses",
            description="Only where the server has tenants, and the address above does not name yours.",
            json_schema_extra=Advanced,
        ),
    ]
    data_url: Annotated[str, _override("data", "as far as /data/v3, with a year or a tenant if it has one")]
    dependencies_url: Annotated[str, _override("dependencies", "the order in which records are written")]
    openapi_url: Annotated[str, _override("OpenAPI", "the list of its OpenAPI documents")]
    change_queries_url: Annotated[str, _override("change queries", "as far as /changeQueries/v1")]
    education_organization_id: Annotated[
        int | None,
        Field(
            default=None,
            title="Education organization id of the district",
            description="Plans are written in its name; without it nothing can be pushed.",
        ),
    ]
    enrollment_profile: Annotated[
        str,
        Field(
            default="",
            title="API profile for enrollments",
            description="Where the key is bound to an API profile: its name. Only enrollments are read and marked with"
            " it, and only if marking is switched on for this destination.",
            pattern=r"^[\w.-]*$",
            json_schema_extra=Advanced,
        ),
    ]
    student_identifier: Annotated[
        str,
        Field(
            default="studentUniqueId",
            title="Student identifier",
            description="studentUniqueId, or the identification system (District, State ...) whose number"
            " other systems know too.",
        ),
    ]
    staff_identifier: Annotated[
        str,
        Field(
            default="staffUniqueId",
            title="Staff identifier",
            description="staffUniqueId, or the identification system whose number other systems know too.",
        ),
    ]


def auth(settings: EdfiSettings) -> ClientCredentials:
    """Client credentials by Basic. # Ed-Fi: the CMS of the Ed-Fi API wants them in the form body."""
    return ClientCredentials(
        token_url=_token_url(settings),
        client_id=settings.key,
        client_secret=settings.secret.get_secret_value(),
        scope=settings.scope or None,
        try_form=True,
    )


@dataclass(frozen=True)
class Server:
    """A server that has described itself. Addresses have no slash at the end.

    `version` is the software's, empty where it does not say; `standard` the major version of the data standard. What a
    release does and does not do is decided here and nowhere else. # Ed-Fi: "What's new" of ODS/API 5.4 to 7.3, and
    the release notes of Ed-Fi API 8.0.
    """

    data_url: str
    token_info_url: str
    version: tuple[int, ...]
    standard: int
    title: str
    changes_url: str = ""
    """Where it tells its change versions; empty where it does not."""
    model: tuple[int, ...] = ()
    """The whole version of its data standard, (5, 2, 0)."""
    openapi_url: str = ""
    """Where its OpenAPI documents are listed; empty where they are not."""
    dependencies_url: str = ""
    """Where it tells in which order records are written; empty where it does not."""
    left_aside: tuple[str, ...] = ()
    """The names of addresses that it gave and that are not asked: they lead to another host, or out of https."""

    @property
    def is_ods(self) -> bool:
        """ODS/API, and not the Ed-Fi API that is to follow it: another program, from version 8 on."""
        return self.version < (8,)

    @property
    def pages_by_token(self) -> bool:
        """Cursor paging came with ODS/API 7.3; the first release of the Ed-Fi API, 8.0, lacks it."""
        return self.version >= (7, 3) and self.version[:2] != (8, 0)

    @property
    def counting_limit(self) -> int:
        """The smallest `limit` for a request that only counts: 0 is refused before 7.1."""
        return 1 if () < self.version < (7, 1) else 0

    @property
    def snapshots(self) -> Literal["identifier", "use", "none"]:
        """How a snapshot is asked for: by its id in Snapshot-Identifier, from 7.0 on by Use-Snapshot; 8.0 has none."""
        if not self.is_ods:
            return "none"
        return "use" if self.version >= (7,) else "identifier"

    @property
    def tells_keys(self) -> bool:
        """Whether deletions come with the fields of the key, and key changes are told: 5.4, and from 6.1 on."""
        return self.version[:2] == (5, 4) or self.version >= (6, 1) or not self.version

    @property
    def problem_details(self) -> bool:
        """Whether a refusal has a type and a detail (RFC 9457), from 7.2 on; before, only a message."""
        return self.version >= (7, 2)

    @property
    def case_matters(self) -> bool:
        """Whether a property in another spelling is taken for an unknown one and dropped: from 8.0 on."""
        return not self.is_ods

    @property
    def dashed_ids(self) -> bool:
        """Whether ids are UUIDs with dashes, from 8.0 on; before, they have none."""
        return not self.is_ods

    @property
    def tells_last_modified(self) -> bool:
        """Whether records carry _lastModifiedDate: from 7.0 on."""
        return self.version >= (7,)

    def collection(self, resource: str) -> str:
        """The address of a collection; without a namespace (`tpdm/candidates`), `ed-fi` is meant."""
        return f"{self.data_url}/{resource}" if "/" in resource else f"{self.data_url}/ed-fi/{resource}"


async def discover(settings: EdfiSettings) -> Server:
    """Read the discovery document, without credentials. ConfigError where it is none, where the standard is not
    known here, or where it would send the credentials or the token to another place than the settings say."""
    async with Http(None, tokens=MemoryTokens(), network=settings.network, timeout=settings.patience) as anonymous:
        reply = await anonymous.get(f"{_address(settings)}/")
    return described(settings, reply)


def described(settings: EdfiSettings, reply: Reply) -> Server:
    """The server of which this is the discovery document; errors as of `discover`."""
    try:
        found = msgspec.json.decode(reply.body, type=_Discovery)
    except msgspec.DecodeError:
        raise ConfigError(
            "edfi-no-discovery",
            f"{_address(settings)} answered {reply.status}, and not with the description of an Ed-Fi API.",
            "Give the address that shows the API's version and urls in a browser, without /data/v3.",
        ) from None
    named = next((model for model in found.dataModels if model.name.casefold() == "ed-fi"), None)
    model = _numbers(named.version) if named else ()
    if not model or model[0] not in STANDARDS:
        raise ConfigError(
            "edfi-standard",
            f"This server speaks Ed-Fi data standard {named.version if named else '(not named)'}; "
            f"known here are {' and '.join(map(str, STANDARDS))}.",
            "Ask the API's administrator for a server with one of these.",
        )
    version = found.software
    route = _route(settings, version)
    _same_token_url(settings, route.to_tokens(found.urls.oauth))
    # What a person has entered is meant, wherever it leads; what a server gives stays with the server.
    data_url = settings.data_url or same_origin(_address(settings), route.to(found.urls.dataManagementApi))
    near = _Near(settings, route)
    return Server(
        data_url=data_url.rstrip("/"),
        token_info_url=_token_info_url(settings, found.urls, near),
        version=version,
        standard=model[0],
        title=f"{found.applicationName or 'Ed-Fi ODS/API'} {found.version}".strip()
        + f", data standard {'.'.join(map(str, model))}",
        changes_url=near.url("changeQueries", settings.change_queries_url, found.urls.changeQueries),
        model=model,
        openapi_url=near.url("openApiMetadata", settings.openapi_url, found.urls.openApiMetadata),
        dependencies_url=near.url("dependencies", settings.dependencies_url, found.urls.dependencies),
        left_aside=tuple(near.left_aside),
    )


class _DataModel(msgspec.Struct):
    name: str
    version: str


class _Urls(msgspec.Struct):
    oauth: str
    dataManagementApi: str
    tokenInfo: str | None = None
    oauthTokenIntrospection: str | None = None
    changeQueries: str | None = None
    openApiMetadata: str | None = None
    dependencies: str | None = None


class _Discovery(msgspec.Struct):
    """# Ed-Fi: Discovery API 1.0 and the draft of 2.0. The Ed-Fi API has applicationName, and may leave the version
    out; 2.0 calls tokenInfo oauthTokenIntrospection."""

    dataModels: list[_DataModel]
    urls: _Urls
    version: str = ""
    applicationName: str = ""

    @property
    def software(self) -> tuple[int, ...]:
        told = _numbers(self.version)
        return max(told, (8, 0)) if self.applicationName else told


def _address(settings: EdfiSettings) -> str:
    return settings.base_url.rstrip("/")


def _route(settings: EdfiSettings, version: tuple[int, ...]) -> Route:
    return Route(
        base=_address(settings),
        tenant=settings.edfi_tenant,
        instance=settings.instance,
        year=str(settings.school_year or ""),
        after=() < version < (7,),
    )


def _token_url(settings: EdfiSettings) -> str:
    if settings.token_url:
        return settings.token_url
    # Ed-Fi: the token of a tenant or of an instance is asked for below it; a year is none of its business.
    return "/".join(filter(None, [_address(settings), settings.edfi_tenant, settings.instance, "oauth/token"]))


def _same_token_url(settings: EdfiSettings, discovered: str) -> None:
    # A token address that was typed in is meant; one that we assumed must be what the server says.
    if settings.token_url or discovered.rstrip("/") == _token_url(settings):
        return
    raise ConfigError(
        "edfi-token-url",
        f"The server names {discovered} as its token address; assumed was {_token_url(settings)}.",
        "If the server is right, enter its address as the token address; the key and secret go there.",
    )


def _token_info_url(settings: EdfiSettings, urls: _Urls, near: "_Near") -> str:
    """Empty where it is not below the address of the API: the token is shown to nobody else."""
    offered = urls.tokenInfo or urls.oauthTokenIntrospection
    if offered:
        return near.url("tokenInfo", "", offered)
    try:
        return same_origin(_address(settings), f"{_token_url(settings)}_info")
    except ConfigError:
        return ""


class _Near:
    """Addresses that can be done without: those that lead elsewhere are left aside, and that is told."""

    def __init__(self, settings: EdfiSettings, route: Route) -> None:
        self._address = _address(settings)
        self._route = route
        self.left_aside: list[str] = []

    def url(self, name: str, entered: str, given: str | None) -> str:
        if entered or not given:
            return entered.rstrip("/")
        try:
            return same_origin(self._address, self._route.to(given)).rstrip("/")
        except ConfigError as error:
            if error.code != "left-origin":
                raise
            self.left_aside.append(name)
            return ""


def _numbers(version: str) -> tuple[int, ...]:
    """`7.3.1` as (7, 3, 1), and whatever stands behind the numbers (`5.0.0-pre2`) left away."""
    leading = re.match(r"\d+(\.\d+)*", version)
    return tuple(int(part) for part in leading.group().split(".")) if leading else ()
