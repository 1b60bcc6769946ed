"""Commands against losing everything: backup and restore."""

from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

from gateway.cli.output import STDOUT, As, Json, Role, actor, installation, run, show
from gateway.settings import Settings
from gateway.store import backups, registers, standing
from gateway.store.backups import Manifest
from gateway.store.database import Store
from gateway.store.registers import Actor

KEEP_APART = (
    "Kept apart from it, and needed with it: the encryption keys ({keys}) and the file of purges ({purges}). "
    "Without the keys nobody can use the credentials in the backup; without that file it may bring back somebody "
    "who was purged since."
)

File = Annotated[Path, typer.Argument(metavar="FILE", help="The dump; its manifest is FILE.json beside it.")]


def register(app: typer.Typer) -> None:
    app.command()(backup)
    app.command()(restore)


def backup(file: File, as_: As = "district IT", role: Role = "district_it", as_json: Json = False) -> None:
    """Write the whole database, every district of it, into a file, while everything goes on."""

    async def work() -> Manifest:
        async with installation() as (store, _):
            made = await backups.backup(store, file)
            await _log(store, actor(as_, role), "backup", made)
            return made

    made = run(work())
    if as_json:
        show(_document(made) | {"file": str(file)}, True)
    else:
        STDOUT.print(f"{file}: {made.bytes:,} bytes, schema {made.schema}, sha256 {made.sha256}", highlight=False)
        STDOUT.print(_keep_apart(Settings()), highlight=False)


def restore(
    file: File,
    yes: Annotated[bool, typer.Option("--yes", help="Do it; without this the backup is only looked at.")] = False,
    replace: Annotated[bool, typer.Option("--replace", help="Give up the database that is there now.")] = False,
    as_: As = "district IT",
    role: Role = "district_it",
    as_json: Json = False,
) -> None:
    """Put a backup into the database, and purge again whoever was purged since it was made."""

    async def work() -> tuple[Manifest, list[dict[str, Any]]]:
        if not yes:
            return await backups.inspect(file), []
        store, found = await backups.restore(Settings(), file, replace=replace)
        try:
            await _log(store, actor(as_, role), "restore", found)
            async with store.owner.connect() as c:
                return found, await standing.lost(c)
        finally:
            await store.close()

    found, lost = run(work())
    if as_json:
        show(_document(found) | {"restored": yes, "lost_requests": lost}, True)
        return
    STDOUT.print(f"Made {found.made_at:%Y-%m-%d %H:%M} UTC by Planbridge {found.program}, schema {found.schema}.")
    show([{"table": table, "rows": rows} for table, rows in found.rows.items() if rows], False)
    if yes:
        STDOUT.print(
            "Restored, brought up to date and purged. Every token was ended; look through: planbridge client list"
        )
        if lost:
            show(lost, False, title="Requests to amend a record that came after this backup: ask the families again")
    else:
        STDOUT.print("The backup is whole and can be restored here. Nothing was changed yet; add --yes.")


async def _log(store: Store, who: Actor, act: str, what: Manifest) -> None:
    """It concerns every district."""
    for district in await registers.districts(store):
        async with store.transaction(district) as c:
            await registers.log_act(c, district, who, act, what.sha256, {"made_at": what.made_at.isoformat()})


def _keep_apart(settings: Settings) -> str:
    keys = "PLANBRIDGE_KEYS" if settings.keys else settings.home / "keys"
    return KEEP_APART.format(keys=keys, purges=settings.purges or settings.home / "purges.jsonl")


def _document(manifest: Manifest) -> dict[str, Any]:
    return dict(msgspec.to_builtins(manifest))
