"""The command that takes in a delivered file: upload."""

from contextlib import suppress
from pathlib import Path
from typing import Annotated

import typer

from gateway import inbox, registry
from gateway.cli.output import DEFAULT_DISTRICT, District, Json, gateway, run, say
from gateway.errors import ConfigError
from gateway.store import registers
from gateway.store.database import Store


def register(app: typer.Typer) -> None:
    app.command()(upload)


def upload(
    connection: Annotated[str, typer.Argument(help="The connection that reads such files.")],
    file: Annotated[Path, typer.Argument(help="The zip or CSV file.")],
    district: District = DEFAULT_DISTRICT,
    as_json: Json = False,
) -> None:
    """Put a file into the folder that a connection reads, as its newest one; `pull` then reads it."""

    async def work() -> Path:
        async with gateway(district) as g:
            found = await registers.connection(g.store, g.district, connection)
            settings = registry.connector(found.connector).settings.model_validate(found.settings | found.secrets)
            if not isinstance(settings, inbox.PlaceSettings):
                raise ConfigError(
                    "upload-no-folder",
                    f"{connection} is no connection to files.",
                    "Connect one whose setting path is a folder, and upload to that.",
                )
            return inbox.put(settings, file)

    put = run(work())
    say(
        {"connection": connection, "taken_in_as": put.name},
        as_json,
        f"Taken in as {put.name}. Next: planbridge pull {connection}",
    )


async def uploads_of(store: Store, district: int) -> list[Path]:
    """What was uploaded for any connection of a district and is still in its folder on this computer."""
    found: set[Path] = set()
    for one in await registers.connections(store, district):
        with suppress(ConfigError):  # of a connector that is not installed any more
            if issubclass(registry.connector(one.connector).settings, inbox.PlaceSettings):
                found.update(inbox.uploaded(str(one.settings.get("path", ""))))
    return sorted(found)
