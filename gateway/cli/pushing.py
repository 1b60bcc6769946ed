"""Commands that send plans: push with its preview, taking back, and why deliveries are parked."""

import json
from typing import Annotated, Any

import typer

from gateway import delivery, dispatch, messages, registry
from gateway.cli.output import (
    DEFAULT_DISTRICT,
    STDOUT,
    As,
    District,
    Gateway,
    Json,
    Role,
    actor,
    gateway,
    run,
    show,
)
from gateway.cli.plans import named
from gateway.cli.runs import working
from gateway.composing import Composed
from gateway.connector import validated
from gateway.errors import ConfigError, PlanbridgeError, Refused, Unavailable
from gateway.store import deliveries, registers
from gateway.store.registers import Actor


def register(app: typer.Typer) -> None:
    app.command()(push)
    app.command()(refused)


def push(
    id: Annotated[str, typer.Argument(help="The plan's id.")],
    to: Annotated[str, typer.Option("--to", help="Destination: a connection that can be written to.")],
    preview: Annotated[bool, typer.Option("--preview", help="Show exactly what would be sent; send nothing.")] = False,
    withdraw: Annotated[
        bool,
        typer.Option(
            "--withdraw",
            help="Take back what the destination has of this plan, or end it today where nothing is deleted; needs "
            "--because.",
        ),
    ] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Put ours in the place of what others wrote there; needs --because.")
    ] = False,
    doorway: Annotated[
        bool,
        typer.Option("--doorway", help="Send a link and nothing of the plan; whoever follows it sees what they may."),
    ] = False,
    because: Annotated[str, typer.Option("--because", help="Why; kept with the plan.")] = "",
    include: Annotated[
        list[str] | None, typer.Option("--set", help="Delivery profile of the destination, field=value; kept.")
    ] = None,
    district: District = DEFAULT_DISTRICT,
    as_: As = "",
    role: Role = "educator",
    as_json: Json = False,
) -> None:
    """Push a finalized plan: only what changed is sent, only a 2xx counts, and what did not fit is listed."""

    async def work() -> dict[str, Any]:
        async with gateway(district) as g:
            if include:
                await set_profile(g, to, include, actor(named(as_), role))
            if preview:
                made = await delivery.preview(g.store, g.district, id, to, doorway=doorway)
                return {
                    "version": made.version,
                    "sha256": made.sha256,
                    "would_send": [{"resource": d.resource, "body": d.body} for d in made.documents],
                    "losses": [vars(loss) for loss in made.losses],
                    "audience": await _audience(g, to, made),
                }
            if withdraw:
                [back] = await dispatch.request_withdrawal(
                    g.store, g.district, id, actor(named(as_), role), because, to
                )
                return await follow(g, back)
            if overwrite and not because.strip():
                raise Refused("reason-missing", "Overwriting what others wrote needs a reason.", "Give --because.")
            who = actor(named(as_), role)
            number = await dispatch.request_push(
                g.store, g.district, id, to, who, because if overwrite else "", doorway=doorway
            )
            return await follow(g, number)

    found = run(work())
    if as_json or preview:
        print(json.dumps(found, indent=None if as_json else 2, default=str))
    else:
        print_delivery(found)
    if found.get("state") == "parked":
        raise typer.Exit(Refused.exit_code)
    if found.get("state") == "queued":
        raise typer.Exit(Unavailable.exit_code)


async def _audience(g: Gateway, to: str, made: Composed) -> dict[str, Any]:
    """Who would see it there, with what each may; or why that is not known."""
    try:
        found = await delivery.seen_by(g.store, g.district, to, made)
    except PlanbridgeError as error:
        return {"told": False, "because": str(error), "viewers": [], "refusal": ""}
    because = "" if found.told else "The destination does not tell who sees what."
    return {
        "told": found.told,
        "because": because,
        "viewers": [vars(one) for one in found.seen],
        "refusal": found.refusal,
    }


def refused(
    to: Annotated[str, typer.Option("--to", help="Only those to this destination.")] = "",
    district: District = DEFAULT_DISTRICT,
    as_json: Json = False,
) -> None:
    """Why deliveries are parked: each cause once, with the plans and records it explains and what to do about it."""

    async def work() -> list[dict[str, Any]]:
        async with gateway(district) as g:
            only = (await registers.connection(g.store, g.district, to)).id if to else None
            async with g.store.transaction(g.district) as c:
                return await deliveries.causes(c, only)

    show(run(work()), as_json, columns=("destination", "plans", "refused", "not_sent", "message", "trace"),
         empty="No delivery is parked.")  # fmt: skip


async def follow(g: Gateway, number: int) -> dict[str, Any]:
    """Wait for a delivery's end."""
    async with working(g) as pause:
        while True:
            async with g.store.transaction(g.district) as c:
                found = await deliveries.status(c, number)
            if found["state"] in ("delivered", "parked", "superseded", "withdrawn", "rehearsed") or found["next_at"]:
                return found
            await pause()


def print_delivery(found: dict[str, Any]) -> None:
    STDOUT.print(f"Delivery {found['id']} to [bold]{found['destination']}[/]: [bold]{found['state']}[/]")
    if found["reason"] and not found["causes"]:
        STDOUT.print(found["reason"], markup=False, highlight=False)
    if found["state"] == "queued" and found["next_at"]:
        STDOUT.print(f"It is tried again at {found['next_at']:%Y-%m-%d %H:%M %Z}.", highlight=False)
    show(found["causes"], False, title="\nWhy", columns=("message", "status", "refused", "not_sent", "trace"), empty="")
    if found["state"] == "parked" and found["waits"]:
        STDOUT.print(messages.tried_again(found["destination"], found["waits"]), markup=False, highlight=False)
    adopted = ("adopted",) if any(one["adopted"] for one in found["receipts"]) else ()
    show(found["receipts"], False, title="Sent", columns=("resource", "status", "delivered", "attempts", *adopted),
         empty="Nothing had changed: no request was needed.")  # fmt: skip
    if found["state"] == "rehearsed":
        show(found["rehearsed"], False, title="Would have been sent", columns=("resource", "objects"), empty="Nothing.")
    show(found["losses"], False, title="\nDid not leave", columns=("pointer", "kind", "reason"), empty="")


async def set_profile(g: Gateway, destination: str, pairs: list[str], who: Actor) -> None:
    """Keep choices about what a destination gets; each is checked against the mapping's delivery profile."""
    found = await registers.connection(g.store, g.district, destination)
    shape = registry.mapping(found.connector).profile
    if shape is None:
        raise ConfigError("not-a-destination", f"Plans cannot be pushed to {destination}.", "Choose another.")
    async with g.store.transaction(g.district) as c:
        profile = await deliveries.profile(c, found.id) or {}
        for pair in pairs:
            name, _, value = pair.partition("=")
            if name not in shape.model_fields:
                raise ConfigError(
                    "setting-unknown",
                    f"The delivery profile has no field {name!r}.",
                    f"Its fields are: {', '.join(shape.model_fields)}.",
                )
            profile[name] = value
        kept = validated(shape, profile).model_dump(mode="json")
        await deliveries.set_profile(c, g.district, found.id, kept)
        await registers.log_act(c, g.district, who, "delivery-profile", destination, kept)
