"""Commands about who hosts a destination, and under which agreement another agency is sent plans."""

from datetime import date
from typing import Annotated, Any

import typer

from gateway.access import PURPOSES
from gateway.cli.output import DEFAULT_DISTRICT, As, District, Json, Role, actor, day, gateway, run, say, show
from gateway.errors import ConfigError
from gateway.store import agreements as stored
from gateway.store import purposes, registers
from gateway.store.consents import checked_sections

agreements = typer.Typer(help="Agencies that host destinations, and what was agreed.", invoke_without_command=True)


def register(app: typer.Typer) -> None:
    app.add_typer(agreements, name="agreements")


Destination = Annotated[str, typer.Argument(help="The connection that plans are pushed to.")]


@agreements.callback()
def agreements_list(context: typer.Context, district: District = DEFAULT_DISTRICT, as_json: Json = False) -> None:
    """List the agreements."""
    if context.invoked_subcommand is not None:
        return

    async def look() -> list[dict[str, Any]]:
        async with gateway(district) as g, g.store.transaction(g.district) as c:
            return await stored.listed(c)

    show(run(look()), as_json, empty="There is no agreement.")


@agreements.command("host")
def agreements_host(
    destination: Destination,
    agency: Annotated[str, typer.Option("--agency", help="The agency that hosts it.")] = "",
    own: Annotated[bool, typer.Option("--own", help="The district hosts it itself.")] = False,
    district: District = DEFAULT_DISTRICT,
    as_: As = "district IT",
    role: Role = "district_it",
    as_json: Json = False,
) -> None:
    """Say who hosts a destination. While it is another agency, nothing is pushed without an agreement in force."""
    if own == bool(agency.strip()):
        raise ConfigError("host-unclear", "Either the district hosts it or an agency.", "Give --own or --agency NAME.")

    async def work() -> None:
        async with gateway(district) as g:
            found = await registers.connection(g.store, g.district, destination)
            async with g.store.transaction(g.district) as c:
                await stored.host(c, found, agency, actor(as_, role))

    run(work())
    say(
        {"destination": destination, "agency": agency.strip() or None},
        as_json,
        f"{destination} is hosted by {agency.strip() or 'the district itself'}.",
    )


@agreements.command("add")
def agreements_add(
    destination: Destination,
    reference: Annotated[str, typer.Option("--reference", help="Under which number or name it is kept.")],
    begin: Annotated[date, typer.Option("--from", parser=day, metavar="DATE", help="First day.")],
    until: Annotated[date, typer.Option("--until", parser=day, metavar="DATE", help="Last day.")],
    purpose: Annotated[str, typer.Option("--purpose", help=f"What it is for: {', '.join(PURPOSES)}.")] = "planning",
    section: Annotated[
        list[str] | None, typer.Option("--section", help="Sections of a plan it covers; without, all. Repeat.")
    ] = None,
    consent: Annotated[
        bool, typer.Option("--needs-consent", help="Nothing of a student is sent unless a family consented.")
    ] = False,
    district: District = DEFAULT_DISTRICT,
    as_: As = "district IT",
    role: Role = "district_it",
    as_json: Json = False,
) -> None:
    """Record an agreement with the agency that hosts a destination."""

    async def work() -> int:
        async with gateway(district) as g:
            found = await registers.connection(g.store, g.district, destination)
            await purposes.refuse_judging(g.store, g.district, purpose, destination, actor(as_, role))
            agreed = stored.Terms(purpose, checked_sections(section) if section else None, consent)
            async with g.store.transaction(g.district) as c:
                return await stored.add(c, found, reference, begin, until, actor(as_, role), agreed)

    number = run(work())
    say(
        {"agreement": number, "destination": destination, "from": begin, "until": until},
        as_json,
        f"Agreement {number}: plans may be pushed to {destination} from {begin} until {until}.",
    )


@agreements.command("end")
def agreements_end(
    number: int,
    because: Annotated[str, typer.Option("--because", help="Why.")] = "",
    district: District = DEFAULT_DISTRICT,
    as_: As = "district IT",
    role: Role = "district_it",
    as_json: Json = False,
) -> None:
    """End an agreement now: nothing is pushed under it any more."""

    async def work() -> None:
        async with gateway(district) as g, g.store.transaction(g.district) as c:
            await stored.end(g.store, c, g.district, number, because, actor(as_, role))

    run(work())
    say({"agreement": number, "ended": True}, as_json, f"Agreement {number} is over.")
