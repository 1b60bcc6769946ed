"""What a Canvas connection asks a district for: its address, and a developer key or a token."""

from typing import Annotated, Self

from pydantic import Field, SecretStr, field_validator, model_validator

from gateway.connector import Advanced, ConnectionSettings
from gateway.http import Auth, CodeGrant, RefreshToken, StaticBearer, checked_origin

# Canvas leads a browser back to its own page, whose address then ends in the code.
_NOWHERE = "urn:ietf:wg:oauth:2.0:oob"


class CanvasSettings(ConnectionSettings):
    """Either a developer key with what somebody agreed to, or a token that a person made by hand."""

    base_url: Annotated[
        str,
        Field(title="Address of Canvas", description="As people open it: https://example.instructure.com"),
    ]
    client_id: Annotated[
        str, Field(default="", title="Developer key", description="The long number of the key, from Developer Keys.")
    ]
    client_secret: Annotated[
        SecretStr, Field(default=SecretStr(""), title="Secret of the key", description="Shown beside it.")
    ]
    refresh_token: Annotated[
        SecretStr,
        Field(
            default=SecretStr(""),
            title="What was agreed to",
            description="Comes by itself: planbridge connections authorize, with the name of this connection.",
            json_schema_extra=Advanced,
        ),
    ]
    access_token: Annotated[
        SecretStr,
        Field(
            default=SecretStr(""),
            title="Access token",
            description="Instead of a key: made by hand in the settings of the account that Planbridge uses.",
        ),
    ]
    redirect_uri: Annotated[
        str,
        Field(
            default=_NOWHERE,
            title="Redirect address of the key",
            description="Where the browser is led after somebody agreed; nothing has to answer there.",
            json_schema_extra=Advanced,
        ),
    ]
    student_identifier: Annotated[
        str,
        Field(
            default="identifier; District; studentUniqueId",
            title="Student identifier",
            description="Which number of a student Canvas has as their SIS ID, as your student information system calls"
            " it; several, parted by semicolons: the first that a student has counts.",
        ),
    ]
    staff_identifier: Annotated[
        str,
        Field(
            default="identifier; District; staffUniqueId",
            title="Staff identifier",
            description="The same for members of staff.",
        ),
    ]
    in_flight: Annotated[
        int,
        Field(
            default=1,
            ge=1,
            le=8,
            title="Requests side by side",
            description="Canvas never finds that one is too many.",
            json_schema_extra=Advanced,
        ),
    ]

    @field_validator("base_url")
    @classmethod
    def _as_opened(cls, url: str) -> str:
        """Whatever page of it somebody copied: the interface stands beside the first."""
        return checked_origin(url)

    @model_validator(mode="after")
    def _one_way_in(self) -> Self:
        if self.access_token.get_secret_value():
            return self
        if not (self.client_id and self.client_secret.get_secret_value()):
            raise ValueError("give client_id and client_secret of a developer key, or an access_token")
        return self


def auth(settings: CanvasSettings) -> Auth | None:
    """By which requests are let in; None while nobody has agreed."""
    if token := settings.access_token.get_secret_value():
        return StaticBearer(token)
    if agreed := settings.refresh_token.get_secret_value():
        return RefreshToken(
            f"{settings.base_url}/login/oauth2/token",
            settings.client_id,
            settings.client_secret.get_secret_value(),
            agreed,
        )
    return None


def grant(settings: CanvasSettings) -> CodeGrant:
    """How somebody lets us in. # Canvas: OAuth2 endpoints"""
    return CodeGrant(
        f"{settings.base_url}/login/oauth2/auth",
        f"{settings.base_url}/login/oauth2/token",
        settings.client_id,
        settings.client_secret.get_secret_value(),
        settings.redirect_uri,
        " ".join(SCOPES),
    )


_API = "/api/v1"
SCOPES = tuple(
    f"url:{verb}|{_API}/{path}"
    for verb, path in (
        ("GET", "users/:id"),
        ("GET", "users/:user_id/enrollments"),
        ("GET", "users/:user_id/observers"),
        ("GET", "courses/:id"),
        ("GET", "courses/:course_id/enrollments"),
        ("GET", "courses/:course_id/assignments"),
        ("GET", "courses/:course_id/assignments/:id"),
        ("POST", "courses/:course_id/assignments"),
        ("PUT", "courses/:course_id/assignments/:id"),
        ("DELETE", "courses/:course_id/assignments/:id"),
        ("GET", "courses/:course_id/assignments/:assignment_id/overrides"),
        ("GET", "courses/:course_id/custom_gradebook_columns"),
        ("POST", "courses/:course_id/custom_gradebook_columns"),
        ("GET", "courses/:course_id/custom_gradebook_columns/:id/data"),
        ("PUT", "courses/:course_id/custom_gradebook_columns/:id/data/:user_id"),
    )
)
"""All that is asked for, so that a key can be limited to it."""
