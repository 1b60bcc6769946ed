"""Which Ed-Fi server this is: what the district tells us about it, and what its discovery document says."""

import re
from dataclasses import dataclass
from typing import Annotated

import msgspec
from pydantic import Field, SecretStr

from connectors.edfi.resources import STANDARDS
from gateway.connector import Advanced, ConnectionSettings
from gateway.errors import ConfigError
from gateway.http import ClientCredentials, Http, MemoryTokens, same_origin


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
    education_organization_id: Annotated[
        int | None,
        Field(
            default=None,
            title="Education organization id of the district",
            description="Plans are written in its name; without it nothing can be pushed.",
        ),
    ]
    student_identifier: Annotated[
        str,
        Field(
            default="studentUniqueId",
            title="Student identifier",
            description="studentUniqueId, or the identification system (District, State ...) whose number"
            " other systems know too; 'District @ 255901' where two organizations assign such numbers. Several, parted"
            " by semicolons, or auto: the one by which most students are recognised.",
        ),
    ]
    staff_identifier: Annotated[
        str,
        Field(
            default="staffUniqueId",
            title="Staff identifier",
            description="staffUniqueId, or the identification system whose number other systems know too; several"
            " or auto as for students.",
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

    `version` is the software's, empty where it does not say; `standard` the major version of the data standard.
    """

    data_url: str
    token_info_url: str
    version: tuple[int, ...]
    standard: int
    title: str
    changes_url: str = ""
    """Where it tells its change versions; empty where it does not."""

    @property
    def pages_by_token(self) -> bool:
        """Cursor paging came with ODS/API 7.3; the first release of the Ed-Fi API, 8.0, lacks it."""
        return self.version >= (7, 3) and self.version[:2] != (8, 0)

    @property
    def counting_limit(self) -> int:
        """The smallest `limit` for a request that only counts: 0 is refused before 7.1."""
        return 1 if () < self.version < (7, 1) else 0

    def collection(self, resource: str) -> str:
        return f"{self.data_url}/ed-fi/{resource}"


async def discover(settings: EdfiSettings) -> Server:
    """Read the discovery document, without credentials. ConfigError where it is none, where the standard is not
    known here, or where it would send the credentials or the token to another place than the settings say."""
    async with Http(None, tokens=MemoryTokens(), network=settings.network, timeout=settings.patience) as anonymous:
        reply = await anonymous.get(f"{_address(settings)}/")
    try:
        found = msgspec.json.decode(reply.body, type=_Discovery)
    except msgspec.DecodeError:
        raise ConfigError(
            "edfi-no-discovery",
            f"{_address(settings)} answered {reply.status}, and not with the description of an Ed-Fi API.",
            "Give the address that shows the API's version and urls in a browser, without /data/v3.",
        ) from None
    _same_token_url(settings, found.urls.oauth)
    named = next((model for model in found.dataModels if model.name.casefold() == "ed-fi"), None)
    standard = _numbers(named.version) if named else ()
    if not standard or standard[0] not in STANDARDS:
        raise ConfigError(
            "edfi-standard",
            f"This server speaks Ed-Fi data standard {named.version if named else '(not named)'}; "
            f"known here are {' and '.join(map(str, STANDARDS))}.",
            "Ask the API's administrator for a server with one of these.",
        )
    data_url = same_origin(_address(settings), found.urls.dataManagementApi).rstrip("/")
    return Server(
        data_url=data_url,
        token_info_url=_token_info_url(settings, found.urls),
        version=_numbers(found.version),
        standard=standard[0],
        title=f"{found.applicationName or 'Ed-Fi ODS/API'} {found.version}".strip()
        + f", data standard {'.'.join(map(str, standard))}",
        changes_url=_changes_url(settings, found.urls),
    )


class _DataModel(msgspec.Struct):
    name: str
    version: str


class _Urls(msgspec.Struct):
    oauth: str
    dataManagementApi: str
    tokenInfo: str = ""
    changeQueries: str | None = None


class _Discovery(msgspec.Struct):
    """# Ed-Fi: Discovery API 1.0. The Ed-Fi API (8.x) has applicationName and may leave the version out."""

    dataModels: list[_DataModel]
    urls: _Urls
    version: str = ""
    applicationName: str = ""


def _address(settings: EdfiSettings) -> str:
    return settings.base_url.rstrip("/")


def _token_url(settings: EdfiSettings) -> str:
    return settings.token_url or f"{_address(settings)}/oauth/token"


def _same_token_url(settings: EdfiSettings, discovered: str) -> None:
    # A token address that was typed in is meant; one that we assumed must be what the server says.
    if settings.token_url or discovered.rstrip("/") == _token_url(settings):
        return
    raise ConfigError(
        "edfi-token-url",
        f"The server names {discovered} as its token address; assumed was {_token_url(settings)}.",
        "If the server is right, enter its address as the token address; the key and secret go there.",
    )


def _token_info_url(settings: EdfiSettings, urls: _Urls) -> str:
    """Empty where it is not below the address of the API: the token is shown to nobody else."""
    offered = urls.tokenInfo or f"{_token_url(settings)}_info"
    try:
        return same_origin(_address(settings), offered)
    except ConfigError:
        return ""


def _changes_url(settings: EdfiSettings, urls: _Urls) -> str:
    """Empty where it is not below the address of the API; then every pull is whole."""
    try:
        return same_origin(_address(settings), urls.changeQueries).rstrip("/") if urls.changeQueries else ""
    except ConfigError:
        return ""


def _numbers(version: str) -> tuple[int, ...]:
    """`7.3.1` as (7, 3, 1), and whatever stands behind the numbers (`5.0.0-pre2`) left away."""
    leading = re.match(r"\d+(\.\d+)*", version)
    return tuple(int(part) for part in leading.group().split(".")) if leading else ()
