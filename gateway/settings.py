"""Settings of this process from PLANBRIDGE_* variables, where its files lie, and secrets that are named elsewhere."""

import os
from pathlib import Path
from typing import Literal

from platformdirs import user_data_path
from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

from gateway.errors import ConfigError


class Settings(BaseSettings):
    """`home` holds the embedded database, the keys and the logs. Everything else has a default."""

    model_config = SettingsConfigDict(env_prefix="PLANBRIDGE_", extra="ignore")

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
    tls_certificate: Path | None = Field(default=None, description="PEM chain; needed beyond loopback.")
    tls_key: Path | None = Field(default=None, description="PEM key of that certificate.")
    trusted_proxy: str | None = Field(
        default=None, description="Address of the proxy that ends TLS; may stand instead of a certificate."
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
