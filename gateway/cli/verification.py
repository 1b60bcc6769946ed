"""Commands about what became of what was delivered: look again, list what did not stay."""

from typing import Annotated, Any

import typer

from gateway import jobs
from gateway.cli.output import DEFAULT_DISTRICT, STDOUT, District, Json, gateway, run, show
from gateway.cli.runs import working
from gateway.errors import Refused
from gateway.store import registers, verifications


def register(app: typer.Typer) -> None:
    app.command()(verify)
    app.command()(reconcile)


def verify(
    destination: Annotated[str, typer.Argument(help="Destination: a connection that plans were pushed to.")],
    whole: Annotated[bool, typer.Option("--all", help="Look at everything that was ever delivered.")] = False,
    only_list: Annotated[bool, typer.Option("--list", help="Ask nothing; show what the last look found.")] = False,
    district: District = DEFAULT_DISTRICT,
    as_json: Json = False,
) -> None:
    """Look whether a destination still has what was delivered. Ends with 6 where something did not stay."""

    async def work() -> dict[str, Any]:
        async with gateway(district) as g:
            found = await registers.connection(g.store, g.district, destination)

            async def last() -> dict[str, Any]:
                async with g.store.transaction(g.district) as c:
                    return await verifications.last(c, found.id) or {"looked_at": None, "error_code": None}

            before = await last()
            if not only_list:
                await jobs.request_look(g.store, g.district, destination, whole=whole)
                async with working(g) as pause:
                    while (now := await last())["looked_at"] == before["looked_at"] and not now["error_code"]:
                        await pause()
            async with g.store.transaction(g.district) as c:
                return {**await last(), "lost": await verifications.lost(c, found.id)}

    found = run(work())
    if as_json:
        show(found, True)
    else:
        _print(destination, found)
    if found["lost"] or found["error_code"]:
        raise typer.Exit(Refused.exit_code)


def reconcile(
    destination: Annotated[str, typer.Argument(help="Destination: a connection that plans were pushed to.")],
    district: District = DEFAULT_DISTRICT,
    as_json: Json = False,
) -> None:
    """Read back all that a destination was ever sent, and report what it changed or lost. Nothing is sent. Ends with 6
    where something did not stay."""
    verify(destination, whole=True, only_list=False, district=district, as_json=as_json)


def _print(destination: str, found: dict[str, Any]) -> None:
    if found["error_code"]:
        STDOUT.print(f"The look at {destination} ended early: {found['error_code']}, explained in docs/errors.md.")
    if found["looked_at"] is None:
        STDOUT.print(f"{destination} was never looked at.", highlight=False)
        return
    STDOUT.print(
        f"{destination} was looked at on {found['looked_at']:%Y-%m-%d %H:%M} UTC: {found['objects']} objects of "
        f"{found['plans']} plans. {found['skipped']} could not be compared: they would be sent otherwise today. "
        f"{found['renewed']} plans are sent again.",
        highlight=False,
    )
    show(found["lost"], False, title="\nDid not stay", columns=("plan", "version", "resource", "lost", "since"),
         empty="All of it is there as it was delivered.")  # fmt: skip
