"""Commands that hand the roster on as files: export oneroster-csv."""

from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import Progress, TaskID, TextColumn

from gateway.access import PURPOSES
from gateway.cli.output import (
    DEFAULT_DISTRICT,
    STDERR,
    STDOUT,
    As,
    District,
    Json,
    Role,
    actor,
    installation,
    run,
    show,
)
from gateway.exports import oneroster
from gateway.exports.oneroster import Written
from gateway.store import districts, purposes

export = typer.Typer(help="Hand the published roster on as files.", no_args_is_help=True)


class Version(StrEnum):
    OLD = "1.1"
    NEW = "1.2"


def register(app: typer.Typer) -> None:
    app.add_typer(export, name="export")


@export.callback()
def of_what() -> None:
    """Hand the published roster on as files."""


@export.command("oneroster-csv")
def oneroster_csv(
    place: Annotated[Path, typer.Argument(metavar="PLACE", help="A name that ends in .zip, or a folder to be made.")],
    version: Annotated[Version, typer.Option("--version", help="Of OneRoster CSV.")] = Version.NEW,
    since: Annotated[
        int | None, typer.Option("--since", metavar="RUN", help="Only what changed since this run (a delta).")
    ] = None,
    demographics: Annotated[
        bool,
        typer.Option("--demographics", help="With birth dates, sex, race and ethnicity of children; else without."),
    ] = False,
    purpose: Annotated[str, typer.Option("--purpose", help=f"What it is for: {', '.join(PURPOSES)}.")] = "rostering",
    district: District = DEFAULT_DISTRICT,
    as_: As = "district IT",
    role: Role = "district_it",
    as_json: Json = False,
) -> None:
    """Write everything that is published as a OneRoster CSV package that only you can read; say what it cannot hold."""
    bars = Progress(
        TextColumn("{task.description}"),
        TextColumn("{task.completed:,.0f}"),
        console=STDERR,
        transient=True,
        disable=as_json or not STDERR.is_terminal,
    )
    shown: dict[str, TaskID] = {}

    def told(kind: str, rows: int) -> None:
        if kind not in shown:
            shown[kind] = bars.add_task(kind)
        bars.update(shown[kind], completed=rows)

    async def work() -> Written:
        async with installation() as (store, _):
            by = actor(as_, role)
            await purposes.refuse_judging(store, await districts.named(store, district), purpose, "export", by)
            with bars:
                return await oneroster.export(
                    store,
                    district,
                    place,
                    by,
                    version=version.value,
                    since=since,
                    demographics=demographics,
                    told=told,
                )

    written = run(work())
    if as_json:
        show(asdict(written), True)
    else:
        _print(place, written)


def _print(place: Path, written: Written) -> None:
    rows = [{"file": f"{file}.csv", **about} for file, about in written.files.items() if about["listed"] != "absent"]
    what = "what is published" if written.since is None else f"what changed since run {written.since}"
    show(rows, False, title=f"{place}: {what}, OneRoster {written.version}", empty="Nothing changed.")
    if written.losses:
        show(written.losses, False, title="\nWhat the package does not say, or says otherwise")
    if written.run is not None:
        STDOUT.print(f"\nWhat changes from now on: planbridge export oneroster-csv PLACE --since {written.run}")
