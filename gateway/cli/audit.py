"""Commands that prove what was done: audit verify, head."""

from dataclasses import asdict
from typing import Annotated

import typer

from gateway.cli.output import DEFAULT_DISTRICT, District, Json, gateway, run, say, show
from gateway.errors import Refused
from gateway.store import chain
from gateway.store.chain import Break, Verified

audit = typer.Typer(help="The chain of acts: proof that nobody changed what was done.", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    app.add_typer(audit, name="audit")


@audit.command("verify")
def audit_verify(
    head: Annotated[
        list[str] | None, typer.Option("--head", help="A head that was kept elsewhere: planbridge audit head.")
    ] = None,
    district: District = DEFAULT_DISTRICT,
    as_json: Json = False,
) -> None:
    """Compute the whole chain of a district again, and say where it breaks first. Exit code 6 when it does."""

    async def work() -> Verified:
        async with gateway(district) as g:
            return await chain.verify(g.store, g.district, head or ())

    found = run(work())
    if found.breaks and not as_json:
        raise _broken(found.breaks[0], len(found.breaks))
    show(
        {**asdict(found), "holds": not found.breaks}, as_json, columns=("entries", "head", "purged", "waiting", "holds")
    )
    if found.breaks:
        raise typer.Exit(Refused.exit_code)


def _broken(first: Break, breaks: int) -> Refused:
    at = f"entry {first.entry}: " if first.entry is not None else ""
    about = f" ({first.table} {first.row})" if first.table or first.row else ""
    more = f" {breaks - 1} more places do not hold." if breaks > 1 else ""
    return Refused(
        "audit-broken",
        f"The chain of acts does not hold; the first place is {at}{first.what}{about}.{more}",
        "Keep the database as it is, and compare it with a backup: someone changed it past Planbridge.",
    )


@audit.command("head")
def audit_head(district: District = DEFAULT_DISTRICT, as_json: Json = False) -> None:
    """Print the last entry, to be kept elsewhere: `audit verify --head` tells later whether the end was cut off."""

    async def work() -> str:
        async with gateway(district) as g:
            return await chain.head(g.store, g.district)

    found = run(work())
    say({"head": found}, as_json, found)
