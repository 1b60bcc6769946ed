"""Commands about how long things are kept: retention show, run."""

from typing import Any

import typer

from gateway.cli.output import Json, installation, run, show
from gateway.store import retention as stored

retention = typer.Typer(help="How long things are kept, and the proof that they went.", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    app.add_typer(retention, name="retention")


@retention.command("show")
def retention_show(as_json: Json = False) -> None:
    """Show what is kept for how long, what is due now, and what every pass of a worker removed. Of all districts."""

    async def look() -> list[dict[str, Any]]:
        async with installation() as (store, settings):
            return await stored.shown(store, settings)

    show(run(look()), as_json)


@retention.command("run")
def retention_run(as_json: Json = False) -> None:
    """Remove now what is due. A worker does so every hour."""

    async def work() -> list[dict[str, Any]]:
        async with installation() as (store, settings):
            done = await stored.keep(store, settings)
            return [{"what": rule, **counts} for rule, counts in done.items()]

    show(run(work()), as_json)
