"""The command about people of a source whom the system of record does not know."""

import csv
import sys
from typing import Annotated, Any

import typer

from gateway import waiting
from gateway.cli.output import (
    DEFAULT_DISTRICT,
    STDOUT,
    As,
    Because,
    District,
    Json,
    Role,
    actor,
    gateway,
    run,
    show,
)
from gateway.identifiers import sentences


def register(app: typer.Typer) -> None:
    app.command()(unmatched)


def unmatched(
    name: Annotated[str, typer.Argument(help="Which connection.")],
    reveal: Annotated[
        bool, typer.Option("--reveal", help="With their numbers; needs --because, which is kept.")
    ] = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="The same as a CSV, to be corrected; needs --because.")] = False,
    because: Because = "",
    district: District = DEFAULT_DISTRICT,
    as_: As = "district IT",
    role: Role = "district_it",
    as_json: Json = False,
) -> None:
    """Show how many people of a source are recognised, and who is not, with how many results wait for them."""

    async def look() -> dict[str, Any]:
        async with gateway(district) as g:
            who = actor(as_, role)
            return await waiting.unmatched(g.store, g.district, name, who, reveal=reveal or as_csv, because=because)

    found = run(look())
    if as_json:
        show(found, True)
    elif as_csv:
        table = csv.DictWriter(sys.stdout, _columns(found["students"]), extrasaction="ignore", restval="")
        table.writeheader()
        table.writerows({name: _disarmed(value) for name, value in row.items()} for row in found["students"])
    else:
        show(found["students"], False, columns=_columns(found["students"]), empty="Everybody is recognised.")
        if found["named"]:
            share = 100 * found["recognised"] / found["named"]
            said = f"{found['recognised']} of {found['named']} people are recognised ({share:.0f} %)."
            STDOUT.print(said, highlight=False)
        for population, by in found["identifiers"].items():
            for line in sentences(population, by):
                STDOUT.print(line, highlight=False, markup=False)


def _disarmed(value: Any) -> Any:
    """A text that a spreadsheet would take for a formula, behind an apostrophe. The numbers come from other systems."""
    return f"'{value}" if isinstance(value, str) and value.startswith(("=", "+", "-", "@", "\t", "\r")) else value


def _columns(rows: list[dict[str, Any]]) -> list[str]:
    """Which are shown: identifier systems as the source has them, then why each waits."""
    first = list(dict.fromkeys(name for row in rows for name in row))
    return first or ["key", "code", "results"]
