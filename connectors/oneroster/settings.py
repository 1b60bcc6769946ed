"""What a OneRoster connection asks a district for: the address of a service, or a CSV package."""

import re
from typing import Annotated, Self

from pydantic import Field, SecretStr, field_validator, model_validator

from gateway.connector import Advanced
from gateway.http import ClientCredentials
from gateway.inbox import PlaceSettings

SCOPE = "https://purl.imsglobal.org/spec/or/v1p2/scope/"
_SERVICE = re.compile(
    r"(https?://[^/?#]+[^?#]*?)(?:/ims/oneroster(?:/(?:rostering|gradebook|resources)(?:/v1p2)?)?)?/*"
)
_NEEDED = {
    "token_url": "the token address",
    "client_id": "the client id",
    "client_secret": "the client secret",
}


class OneRosterSettings(PlaceSettings):
    """Either a service (address, token address, client id and secret) or a package (path), never both."""

    base_url: Annotated[
        str,
        Field(
            default="",
            title="Address of the OneRoster 1.2 service",
            description="With or without /ims/oneroster at the end. Leave it empty for CSV files.",
        ),
    ]
    token_url: Annotated[
        str,
        Field(
            default="",
            title="Token address",
            description="Where tokens are given out. The vendor names it; it is often not below the address above.",
        ),
    ]
    client_id: Annotated[str, Field(default="", title="Client id", description="From the vendor.")]
    client_secret: Annotated[
        SecretStr, Field(default=SecretStr(""), title="Client secret", description="From the vendor.")
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
    scopes: Annotated[
        str,
        Field(
            default=" ".join(
                SCOPE + name for name in ("roster-core.readonly", "roster-demographics.readonly", "assessment.readonly")
            ),
            title="Scopes",
            description="What the token is asked for, separated by spaces. Empty: no scope is sent.",
            json_schema_extra=Advanced,
        ),
    ]
    page_size: Annotated[
        int,
        Field(
            default=1000,
            ge=1,
            le=10_000,
            title="Rows asked for at once",
            description="A server may give fewer.",
            json_schema_extra=Advanced,
        ),
    ]
    student_identifier: Annotated[
        str,
        Field(
            default="identifier",
            title="Student identifier",
            description="Which number other systems know too: identifier, userMasterIdentifier or a type in userIds.",
        ),
    ]
    staff_identifier: Annotated[
        str,
        Field(default="identifier", title="Staff identifier", description="The same for members of staff."),
    ]

    @field_validator("base_url")
    @classmethod
    def _service(cls, value: str) -> str:
        if not value:
            return value
        found = _SERVICE.fullmatch(value)
        if found is None or "/ims/oneroster/" in found[1]:
            raise ValueError(
                "give the address of a OneRoster 1.2 service, like https://sis.example.org/ims/oneroster"
                " (of a 1.1 system, give its CSV export as path instead)"
            )
        return found[1]

    @model_validator(mode="after")
    def _one_of_two(self) -> Self:
        if self.base_url and self.path:
            raise ValueError("give the address of a service or the path of a CSV package, not both")
        if not self.base_url and not self.path:
            raise ValueError("give the address of a service (base_url) or the path of a CSV package (path)")
        missing = [words for field, words in _NEEDED.items() if self.base_url and not getattr(self, field)]
        if missing:
            raise ValueError(f"a service also needs {', '.join(missing)}")
        return self


def auth(settings: OneRosterSettings) -> ClientCredentials | None:
    """Client credentials by Basic, or in the form body where that is refused; none for files.

    # OneRoster 1.2 Security; Synergy and others want the form
    """
    if settings.path:
        return None
    return ClientCredentials(
        token_url=settings.token_url,
        client_id=settings.client_id,
        client_secret=settings.client_secret.get_secret_value(),
        scope=settings.scopes or None,
        try_form=True,
    )
