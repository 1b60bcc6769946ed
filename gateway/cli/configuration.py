"""Commands about a district's configuration as one file: export-config, apply."""

from pathlib import Path
from typing import Annotated, Any

import typer

from gateway import configuration
from gateway.cli.output import (
    DEFAULT_DISTRICT,
    STDERR,
    STDOUT,
    As,
    District,
    Json,
    Role,
    actor,
    gateway,
    run,
    show,
)
from gateway.errors import ConfigError


def register(app: typer.Typer) -> None:
    app.command("export-config")(export_config)
    app.command("apply")(apply)


def export_config(
    file: Annotated[Path | None, typer.Argument(help="Where to write it; left out, to the screen.")] = None,
    district: District = DEFAULT_DISTRICT,
) -> None:
    """Write the district's whole configuration as a file without secrets."""

    async def work() -> str:
        async with gateway(district) as g:
            return await configuration.exported(g.store, g.district)

    text = run(work())
    if file is None:
        print(text, end="")
        return
    try:
        file.write_text(text, encoding="utf-8")
    except OSError as error:
        raise ConfigError(
            "file-unwritable", f"{file} cannot be written: {error.strerror}.", "Check the path."
        ) from None


def apply(
    file: Annotated[Path, typer.Argument(help="A configuration, as export-config writes it.")],
    preview: Annotated[bool, typer.Option("--preview", help="Say what it would change, and change nothing.")] = False,
    district: District = DEFAULT_DISTRICT,
    as_: As = "district IT",
    role: Role = "district_it",
    as_json: Json = False,
) -> None:
    """Make the district what the file says. What the file does not name stays; a second time changes nothing."""
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or "it is no UTF-8"
        raise ConfigError("file-unreadable", f"{file} cannot be read: {why}.", "Check the path.") from None

    async def work() -> configuration.Outcome:
        async with gateway(district) as g:
            return await configuration.apply(g.store, g.district, text, actor(as_, role), preview=preview)

    done = run(work())
    if as_json:
        shown: dict[str, Any] = {
            "changes": [vars(one) for one in done.changes],
            "missing": done.missing,
            "left": done.left,
        }
        show(shown, True)
        return
    show([vars(one) for one in done.changes], False, empty="It is so already: nothing changes.")
    for one in done.missing:
        STDERR.print(f"Not set: {one}", markup=False, highlight=False)
    for one in done.left:
        STDOUT.print(f"{one} is not in the file and stays as it is.", markup=False, highlight=False)
    if done.changes:
        STDOUT.print("Nothing was changed yet." if preview else "Applied. To try the systems: planbridge check NAME")
