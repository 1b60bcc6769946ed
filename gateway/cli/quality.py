"""The command about data quality: what looks wrong in what a connection has published."""

from dataclasses import asdict
from typing import Annotated, Any

import typer

from gateway import clock
from gateway.cli.output import DEFAULT_DISTRICT, STDOUT, District, Json, gateway, run, show
from gateway.errors import ConfigError
from gateway.masking import tail
from gateway.quality import counted
from gateway.store import quality as stored
from gateway.store import registers
from gateway.store.quality import Report


def register(app: typer.Typer) -> None:
    app.command("quality")(show_quality)


def show_quality(
    name: Annotated[str, typer.Argument(help="Which connection.")],
    number: Annotated[int | None, typer.Option("--run", help="As it was after this run.")] = None,
    again: Annotated[bool, typer.Option("--again", help="Check now, instead of showing what was found last.")] = False,
    district: District = DEFAULT_DISTRICT,
    as_json: Json = False,
) -> None:
    """Show what looks wrong in what a connection has published: how often, since when, where in the SIS to look."""

    async def look() -> Report:
        async with gateway(district) as g:
            connection = await registers.connection(g.store, g.district, name)
            async with g.store.transaction(g.district) as c:
                newest = await stored.newest(c, connection.id)
                if again and newest is not None and number is None:
                    await stored.check(c, g.district, newest, clock.today(), again=True)
                found = await stored.report(c, connection.id, number)
            if found is None:
                raise ConfigError(
                    "quality-unknown",
                    f"{name} was not checked{'' if number is None else f' after run {number}'}.",
                    f"Every run that publishes is checked; `planbridge pull {name}` starts one."
                    if newest is None else f"To check what is published now: planbridge quality {name} --again",
                )  # fmt: skip
            return found

    found = run(look())
    findings = [
        asdict(one) | {"examples": [{"id": id, "key": tail(key)} for id, key in one.examples]} for one in found.findings
    ]
    if as_json:
        show({"run": found.run, "at": found.at, "findings": findings}, True)
        return
    STDOUT.print(
        f"{name} after run {found.run}, checked {found.at:%Y-%m-%d %H:%M}: "
        f"{counted(one.severity for one in found.findings)}",
        highlight=False, markup=False,
    )  # fmt: skip
    for one in findings:
        print_finding(one)


def print_finding(one: dict[str, Any]) -> None:
    """A finding for people; of keys the ends, which are enough to find a record."""
    examples = ", ".join(example["key"] or example["id"] for example in one["examples"])
    STDOUT.print(
        f"\n{one['severity']}: {one['records']} {one['kind'].replace('_', ' ')}: {one['says']} "
        f"({one['code']}, since {one['since']:%Y-%m-%d})\n  Look at: {one['look']}"
        f"{examples and f'{chr(10)}  For example: {examples}'}",
        highlight=False, markup=False,
    )  # fmt: skip
