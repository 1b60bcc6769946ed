"""Commands about deliveries that were asked for, and about how far a destination is rolled out."""

from typing import Annotated, Any

import typer

from gateway import destination as choices
from gateway import dispatch
from gateway.cli.output import (
    DEFAULT_DISTRICT,
    STDOUT,
    As,
    District,
    Json,
    Role,
    actor,
    gateway,
    run,
    say,
    show,
)
from gateway.cli.plans import named
from gateway.cli.pushing import follow, pairs, print_delivery
from gateway.errors import ConfigError, PlanbridgeError, Refused
from gateway.store import delivered, registers, rollouts
from gateway.store import deliveries as stored

deliveries = typer.Typer(help="What became of what was pushed.", invoke_without_command=True)
destination = typer.Typer(help="How far a destination is rolled out, and what it gets.")


def register(app: typer.Typer) -> None:
    app.add_typer(deliveries, name="deliveries")
    app.add_typer(destination, name="destination")


@deliveries.callback()
def deliveries_list(
    context: typer.Context,
    to: Annotated[str, typer.Option("--to", help="Only those to this destination.")] = "",
    state: Annotated[str, typer.Option("--state", help=f"Only those that are: {', '.join(delivered.STATES)}.")] = "",
    plan: Annotated[str, typer.Option("--plan", help="Only those of this plan.")] = "",
    most: Annotated[int, typer.Option("--most", min=1, max=10_000, help="So many.")] = 50,
    district: District = DEFAULT_DISTRICT,
    as_json: Json = False,
) -> None:
    """List deliveries, the newest first."""
    if context.invoked_subcommand is not None:
        return

    async def work() -> list[dict[str, Any]]:
        async with gateway(district) as g:
            only = (await registers.connection(g.store, g.district, to)).id if to else None
            async with g.store.transaction(g.district) as c:
                return await delivered.listed(c, connection=only, state=state, plan=plan, most=most)

    columns = ("id", "plan", "version", "destination", "kind", "state", "created_at")
    show(run(work()), as_json, columns=columns, empty="There is no such delivery.")


@deliveries.command("show")
def deliveries_show(
    number: Annotated[int, typer.Argument(help="The delivery.")],
    district: District = DEFAULT_DISTRICT,
    as_json: Json = False,
) -> None:
    """What became of one: its receipts, what did not leave, who sees it there."""

    async def work() -> dict[str, Any]:
        async with gateway(district) as g, g.store.transaction(g.district) as c:
            return await stored.status(c, number)

    found = run(work())
    if as_json:
        show(found, True)
        return
    print_delivery(found)
    show(found["audience"] or [], False, title="\nSeen there by", columns=("relation", "may", "people", "because"),
         empty="")  # fmt: skip


@deliveries.command("resend")
def deliveries_resend(
    number: Annotated[int, typer.Argument(help="The delivery; 0 for all that are parked at --to.")] = 0,
    to: Annotated[str, typer.Option("--to", help="Every parked one to this destination.")] = "",
    cause: Annotated[str, typer.Option("--cause", help="Of these only those whose cause says so.")] = "",
    district: District = DEFAULT_DISTRICT,
    as_: As = "",
    role: Role = "educator",
    as_json: Json = False,
) -> None:
    """Send again what was parked: one delivery, or all of a destination, or those of one cause."""
    if bool(number) == bool(to):
        raise ConfigError("resend-unclear", "One delivery is sent again, or many.", "Give a number, or --to NAME.")

    async def one() -> dict[str, Any]:
        async with gateway(district) as g:
            return await follow(g, await dispatch.request_resend(g.store, g.district, number, actor(named(as_), role)))

    async def many() -> dict[str, Any]:
        queued, refused = 0, list[str]()
        async with gateway(district) as g:
            there = await registers.connection(g.store, g.district, to)
            async with g.store.transaction(g.district) as c:
                numbers = await delivered.parked(c, there.id, cause)
            for each in numbers:
                try:
                    await dispatch.request_resend(g.store, g.district, each, actor(named(as_), role))
                    queued += 1
                except PlanbridgeError as error:
                    refused.append(f"{each}: {error}")
        return {"destination": to, "queued": queued, "refused": refused}

    found = run(one() if number else many())
    if as_json:
        show(found, True)
    elif number:
        print_delivery(found)
    else:
        STDOUT.print(f"{found['queued']} deliveries to {to} are queued.", highlight=False)
        for line in found["refused"]:
            STDOUT.print(line, markup=False, highlight=False)
    if found.get("state") == "parked" or found.get("refused"):
        raise typer.Exit(Refused.exit_code)


Name = Annotated[str, typer.Argument(help="A connection that can be written to.")]


@destination.command("show")
def destination_show(name: Name, district: District = DEFAULT_DISTRICT, as_json: Json = False) -> None:
    """Its stage, its delivery profile, and what becomes of a text that somebody edited there."""

    async def work() -> dict[str, Any]:
        async with gateway(district) as g:
            return vars(await choices.chosen(g.store, g.district, name))

    show(run(work()), as_json)


@destination.command("set")
def destination_set(
    name: Name,
    stage: Annotated[str, typer.Option("--stage", help=f"One of: {', '.join(rollouts.STAGES)}.")] = "",
    school: Annotated[
        list[str] | None, typer.Option("--school", help="In stage schools: id, number or name; once for each.")
    ] = None,
    edited_there: Annotated[
        str, typer.Option("--edited-there", help="A text that a person edited there: ask, keep theirs, or send ours.")
    ] = "",
    include: Annotated[
        list[str] | None, typer.Option("--set", help="Delivery profile of the destination, field=value.")
    ] = None,
    district: District = DEFAULT_DISTRICT,
    as_: As = "district IT",
    role: Role = "district_it",
    as_json: Json = False,
) -> None:
    """Roll a destination out: in the shadow nothing is sent; then to schools; then to all. On record with who did."""

    async def work() -> None:
        async with gateway(district) as g:
            await choices.choose(
                g.store,
                g.district,
                name,
                actor(named(as_), role),
                stage=stage,
                schools=school or (),
                edited_there=edited_there,
                profile=pairs(include or ()),
            )

    run(work())
    say({"destination": name}, as_json, f"{name} is set.")
