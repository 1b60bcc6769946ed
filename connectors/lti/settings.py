"""What a platform tells of itself when our tool is registered with it: who it is, where it signs, where it is asked."""

import re
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, field_validator, model_validator

from gateway.connector import Advanced, ConnectionSettings

Trusted = Literal["none", "sourcedid", "parameter", "both"]
"""Which of a platform's words for who somebody is is believed."""

BRIGHTSPACE = ("auth.brightspace.com", "api.brightspace.com")
"""Where it gives tokens out, and for whom assertions are."""


class LtiSettings(ConnectionSettings):
    """One registration at one platform. `tool_key` is ours, not asked for: the gateway puts its present key there."""

    issuer: Annotated[
        str,
        Field(
            title="Issuer",
            description="Who the platform says it is (platform id, `iss`), letter by letter: https://moodle.example.org,"
            " https://canvas.instructure.com, https://schoology.schoology.com.",
        ),
    ]
    client_id: Annotated[
        str, Field(title="Client id", description="Under which the platform knows this tool.", min_length=1)
    ]
    deployment_ids: Annotated[
        list[str],
        Field(
            title="Deployment ids",
            default=[],
            description="Each place where the platform's administrator installed the tool for this district; several"
            " are parted by semicolons. A launch from any other deployment is refused, and says which one it was.",
        ),
    ]
    authorization_url: Annotated[
        str,
        Field(
            title="Authentication address",
            description="Where the platform is asked who is there (OIDC authentication request).",
        ),
    ]
    token_url: Annotated[
        str,
        Field(
            default="",
            title="Token address",
            description="Where tokens for its services are given out. Empty: the tool is only opened there, and nothing"
            " is written.",
        ),
    ]
    token_audience: Annotated[
        str,
        Field(
            default="",
            title="Audience of our assertions",
            description="Where the platform wants another `aud` than its token address (Brightspace does).",
            json_schema_extra=Advanced,
        ),
    ]
    jwks_url: Annotated[str, Field(title="Keyset address", description="Where the platform publishes its keys.")]
    frames: Annotated[
        list[str],
        Field(
            default=[],
            title="Other addresses at which people open it",
            description="Where people see the platform under another address than those above, as at Canvas:"
            " https://district.instructure.com. Several are parted by semicolons. Only there our pages may be shown"
            " within others.",
            json_schema_extra=Advanced,
        ),
    ]
    second_factor: Annotated[
        bool,
        Field(
            default=False,
            title="Asks everybody for a second factor",
            description="Whether the sign-in behind the platform does. Without it, people whose role shows them more"
            " than their own students see no plan there.",
        ),
    ]
    trusted_number: Annotated[
        Trusted,
        Field(
            default="none",
            title="Number that tells people apart",
            description="sourcedid: the one in their profile there, where neither they nor their teachers can change it"
            " (Moodle: the field ID number is locked). parameter: the custom parameter person_sourcedid, where nobody"
            " who builds a course can set it on a link. both: the first, else the second. none: nobody is let in, and"
            " nothing is written.",
        ),
    ]
    student_identifier: Annotated[
        str,
        Field(
            default="identifier",
            title="Student identifier",
            description="Which number on the roster the platform knows people by (lis_person_sourcedid, Moodle's ID"
            " number, Canvas' SIS id); sourcedId for the id that the roster's own system gives. Several are parted by"
            " semicolons; whoever is not told apart sees nothing.",
        ),
    ]
    staff_identifier: Annotated[
        str,
        Field(default="identifier", title="Staff identifier", description="The same for members of staff."),
    ]
    tool_key: Annotated[
        SecretStr,
        Field(
            default=SecretStr(""),
            title="Our key",
            description="Leave it empty: the gateway signs with its own key, which the platform reads at /lti/jwks.",
            json_schema_extra=Advanced,
        ),
    ]

    @field_validator("deployment_ids", "frames", mode="before")
    @classmethod
    def _several(cls, given: object) -> object:
        return [part for part in map(str.strip, given.split(";")) if part] if isinstance(given, str) else given

    @field_validator("issuer", "authorization_url", "token_url", "jwks_url")
    @classmethod
    def _address(cls, value: str) -> str:
        parts = urlsplit(value)
        if value and (parts.scheme not in ("https", "http") or not parts.netloc or re.search(r"[\s\"'<>;,]", value)):
            raise ValueError("give an address like https://lms.example.org/path")
        return value

    @model_validator(mode="after")
    def _audience_there(self) -> Self:
        """An assertion for one server that is sent to another could be used by that other one: all districts of an
        installation sign by the same keys."""
        pair = (urlsplit(self.token_url).netloc, urlsplit(self.token_audience).netloc)
        if self.token_audience and pair[0] != pair[1] and pair != BRIGHTSPACE:
            raise ValueError("the audience of our assertions is at another server than the token address")
        return self

    @field_validator("frames")
    @classmethod
    def _origins(cls, values: list[str]) -> list[str]:
        if not all(re.fullmatch(r"https?://[A-Za-z0-9.-]+(:\d+)?", value) for value in values):
            raise ValueError("give addresses like https://district.example.org, without a path")
        return values

    @property
    def audience(self) -> str:
        """What our assertions are for. # RFC 7523 3"""
        return self.token_audience or self.token_url
