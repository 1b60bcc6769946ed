"""Settings of this process from PLANBRIDGE_* variables, where its files lie, and secrets that are named elsewhere."""

import os
from ipaddress import ip_network
from pathlib import Path
from typing import Any, Literal

from platformdirs import user_data_path
from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from gateway.errors import ConfigError


class Settings(BaseSettings):
    """`home` holds the embedded database, the keys and the logs. Everything else has a default."""

    model_config = SettingsConfigDict(env_prefix="PLANBRIDGE_", env_ignore_empty=True, extra="ignore")

    home: Path = Field(
        default_factory=lambda: user_data_path("planbridge"), description="Folder for everything we keep."
    )
    database_url: SecretStr | None = Field(
        default=None, description="Any PostgreSQL >= 15; without it the embedded server is used."
    )
    keys: SecretStr | None = Field(
        default=None,
        description="Fernet keys, comma separated, the first one encrypts; else the file `keys` in home.",
    )
    host: str = Field(default="127.0.0.1", description="Address the API listens on.")
    port: int = Field(default=8433, description="Port the API listens on.")
    public_url: str | None = Field(
        default=None,
        pattern=r"^https?://[^/?#\s]+(/[^?#\s]*[^/?#\s])?$",
        description="Address by which others reach the API, without a slash at the end; for links.",
    )
    tls_certificate: Path | None = Field(default=None, description="PEM chain; needed beyond loopback.")
    tls_key: Path | None = Field(default=None, description="PEM key of that certificate.")
    trusted_proxy: str | None = Field(
        default=None,
        description="Addresses or networks of the proxies that end TLS, comma separated; may stand instead of a "
        "certificate. Whom they name as the caller is believed to them alone.",
    )
    metrics_token: SecretStr | None = Field(
        default=None, description="Bearer token of whoever may read /metrics; without it there is none."
    )
    purges: Path | None = Field(
        default=None,
        description="File of purges, kept apart from the database; else `purges.jsonl` in home.",
    )
    payload_days: int = Field(default=14, ge=1, description="Days that source payloads are kept.")
    reject_days: int = Field(default=30, ge=1, description="Days that the payload of what was set aside is kept.")
    history_days: int = Field(
        default=400, ge=1, description="Days that replaced records are kept; those of the last 30 runs always are."
    )
    plan_days: int = Field(
        default=1826, ge=1, description="Days that plans and their versions are kept after the student has left."
    )
    notice_days: int = Field(default=90, ge=1, description="Days that notices are kept after they were sent.")
    job_days: int = Field(default=30, ge=1, description="Days that finished jobs are kept.")
    log_days: int = Field(default=90, ge=1, description="Days that the log files of the embedded database are kept.")
    heartbeat_seconds: float = Field(default=10.0, gt=0, description="How often a worker says it lives.")
    takeover_seconds: float = Field(default=30.0, gt=0, description="Silence after which a worker's job is taken over.")
    watch_seconds: float = Field(
        default=60.0, gt=0, description="How often each process looks for silence and for notices that are due."
    )
    smtp_host: str | None = Field(default=None, description="Mail server that takes notices.")
    smtp_port: int = Field(default=587, description="Its port.")
    smtp_user: str | None = Field(default=None, description="User name there, if it wants one.")
    smtp_password: SecretStr | None = Field(default=None, description="Password there.")
    smtp_from: str | None = Field(default=None, description="Address that notices come from.")
    smtp_tls: Literal["starttls", "tls", "none"] = Field(
        default="starttls", description="How the line to it is encrypted; none only to a server on this machine."
    )
    shared_buffers: str = Field(default="512MB", description="Memory of the embedded server's page cache.")

    def __init__(self, **given: Any) -> None:
        """ConfigError names the variable that cannot be read, and repeats no value."""
        try:
            super().__init__(**given)
        except ValidationError as error:
            wrong = "; ".join(
                f"PLANBRIDGE_{str(one['loc'][0]).upper()}: {one['msg'].removeprefix('Value error, ')}"
                for one in error.errors(include_input=False, include_url=False)
            )
            raise ConfigError("environment-invalid", f"The settings cannot be read: {wrong}.", "Correct it.") from None

    @field_validator("trusted_proxy")
    @classmethod
    def _addresses(cls, proxies: str | None) -> str | None:
        """Never everybody."""
        for one in [] if proxies is None else proxies.split(","):
            one = one.strip()
            try:
                network = ip_network(one)
            except ValueError:
                raise ValueError(f"{one!r} is no address and no network") from None
            if network.prefixlen == 0:
                raise ValueError(f"{one!r} is everybody: name the proxies alone")
        return proxies

    @property
    def address(self) -> str:
        """Where the API is reached: as others do, where that is said, else on this machine."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return self.public_url or f"{'https' if self.tls_certificate else 'http'}://{host}:{self.port}"


def referenced(field: str, reference: str) -> str | None:
    """The secret that `env:NAME` or `file:PATH` stands for; None where it is no such reference. ConfigError when the
    variable is not set or the file cannot be read."""
    source, _, name = reference.partition(":")
    if source == "env" and name:
        if name not in os.environ:
            raise ConfigError("secret-missing", f"The variable {name} for {field} is not set.", f"Export {name}.")
        return os.environ[name]
    if source == "file" and name:
        try:
            return Path(name).read_text(encoding="utf-8").strip()
        except OSError as error:
            raise ConfigError("secret-missing", f"The file for {field} cannot be read.", str(error.strerror)) from None
    return None
