"""What every connection asks for, and how what was typed is checked against it."""

from typing import Annotated, Any, TypeVar

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic.fields import FieldInfo

from gateway.errors import ConfigError
from gateway.http import Network, PrivateAddress
from gateway.identity import AUTO

Shape = TypeVar("Shape", bound=BaseModel)

Advanced = {"advanced": True}


class ConnectionSettings(BaseModel):
    """What every connection asks for; a connector adds its own fields. Secrets are `SecretStr`."""

    model_config = ConfigDict(extra="forbid", str_strip_whitespace=True, hide_input_in_errors=True)

    student_identifier: Annotated[
        str,
        Field(
            title="Student identifier",
            description="Which of this system's identifiers carries the number that other systems know too; several,"
            " parted by semicolons, or auto: the one by which most people are recognised.",
        ),
    ]
    staff_identifier: Annotated[str, Field(title="Staff identifier", description="The same for members of staff.")]
    in_flight: Annotated[int, Field(default=16, ge=1, le=64, title="Requests side by side", json_schema_extra=Advanced)]
    requests_per_second: Annotated[
        float | None,
        Field(
            default=None,
            gt=0,
            le=1000,
            title="Requests a second",
            description="At most so many, where the system asks for it; else as many as go side by side.",
            json_schema_extra=Advanced,
        ),
    ]
    patience: Annotated[
        float,
        Field(
            default=60.0,
            gt=0,
            le=600,
            title="Seconds to wait for one answer",
            description="A system that is slower than that is asked again, and then left until later.",
            json_schema_extra=Advanced,
        ),
    ]
    whole_every: Annotated[
        int,
        Field(
            default=7,
            ge=0,
            le=366,
            title="Days between whole pulls",
            description=(
                "In between, only what changed is asked for, where the system can tell. A whole pull finds what"
                " disappeared without a word. 0: every pull is whole."
            ),
            json_schema_extra=Advanced,
        ),
    ]
    proxy: Annotated[
        SecretStr | None,
        Field(
            default=None,
            title="Proxy",
            description="The way out, where there is no direct one: http://user:password@proxy.example.org:3128.",
            json_schema_extra=Advanced,
        ),
    ]
    ca_file: Annotated[
        str,
        Field(
            default="",
            title="Certificate authority",
            description="Full path of a PEM file on every machine with a worker, for a system whose certificate comes"
            " from your own authority. It is trusted beside the usual ones.",
            pattern=r"^(/|[A-Za-z]:[\\/]|$)",
            json_schema_extra=Advanced,
        ),
    ]
    private_addresses: Annotated[
        list[str],
        Field(
            default=[],
            title="Private addresses that are allowed",
            description="Only for a system inside your own network, each with its reason: 10.20.0.0/16: our SIS."
            " Several are parted by semicolons. Every other such address is refused.",
            json_schema_extra=Advanced,
        ),
    ]

    @model_validator(mode="before")
    @classmethod
    def _before_reasons(cls, given: Any) -> Any:
        """`allow_private`, as it was stored before reasons were asked for: the private ranges, to be narrowed."""
        if isinstance(given, dict) and "allow_private" in given:
            given = dict(given)
            if given.pop("allow_private") in (True, "true") and not given.get("private_addresses"):
                given["private_addresses"] = [f"{place}: allowed before a reason was asked for" for place in _RANGES]
        return given

    @field_validator("student_identifier", "staff_identifier", mode="before")
    @classmethod
    def _usual_first(cls, given: Any, info: ValidationInfo) -> Any:
        """`auto` begins with what is usual: that counts while the people do not say what is better."""
        usual = cls.model_fields[str(info.field_name)].default
        if isinstance(given, str) and isinstance(usual, str) and given.split(";")[0].strip() == AUTO:
            return f"{usual}; {given.strip()}"
        return given

    @field_validator("private_addresses", mode="before")
    @classmethod
    def _parted(cls, given: Any) -> Any:
        return [part for part in map(str.strip, given.split(";")) if part] if isinstance(given, str) else given

    @field_validator("private_addresses")
    @classmethod
    def _readable(cls, entries: list[str]) -> list[str]:
        for entry in entries:
            PrivateAddress.read(entry)
        return entries

    @property
    def network(self) -> Network:
        """How requests of this connection leave."""
        return Network(
            proxy=(self.proxy.get_secret_value() or None) if self.proxy else None,
            ca_file=self.ca_file,
            private=[PrivateAddress.read(entry) for entry in self.private_addresses],
        )


_RANGES = ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "127.0.0.0/8", "::1", "fc00::/7")


def is_secret(info: FieldInfo) -> bool:
    """Whether a setting is kept encrypted and never shown."""
    return "SecretStr" in str(info.annotation)


def validated(shape: type[Shape], values: dict[str, Any]) -> Shape:
    """Settings of that shape. ConfigError names each wrong field and never repeats a value."""
    try:
        return shape.model_validate(values)
    except ValidationError as error:
        problems = "; ".join(
            f"{'.'.join(map(str, problem['loc'])) or 'settings'}: {problem['msg'].removeprefix('Value error, ')}"
            for problem in error.errors(include_input=False, include_url=False)
        )
        raise ConfigError("settings-invalid", f"The settings do not fit: {problems}", "Correct them.") from None
