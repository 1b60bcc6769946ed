"""Commands that send plans: push with its preview, taking back, and why deliveries are parked."""

import json
from collections import Counter
from collections.abc import Sequence
from typing import Annotated, Any

import typer
from rich.markup import escape
from rich.progress import BarColumn, Progress, TextColumn

from gateway import delivery, destination, dispatch, messages
from gateway.cli.output import (
    DEFAULT_DISTRICT,
    STDERR,
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
from gateway.errors import ConfigError, PlanbridgeError, Refused, Unavailable
from gateway.store import delivered, deliveries, registers
from gateway.store.registers import Actor


def register(app: typer.Typer) -> None:
    app.command()(push)
    app.command()(refused)


def push(
    to: Annotated[str, typer.Option("--to", help="Destination: a connection that can be written to.")],
    id: Annotated[str, typer.Argument(help="The plan's id; left out with --all.")] = "",
    every: Annotated[
        bool,
        typer.Option(
            "--all",
            help="Every plan whose newest version the destination does not have; with --json a line each time that "
            "more of them have ended.",
        ),
    ] = False,
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
    """Push a finalized plan, or all: only what changed is sent, only a 2xx counts, and what did not fit is listed."""
    if every == bool(id) or (every and (preview or withdraw or overwrite or doorway)):
        raise ConfigError(
            "push-unclear",
            "One plan is pushed, or all that a destination lacks, as it gets each of them.",
            "Give the plan's id, or --all without --preview, --withdraw, --overwrite and --doorway.",
        )
    if every:
        _push_all(to, include or [], district, actor(named(as_), role), as_json)
        return

    async def work() -> dict[str, Any]:
        async with gateway(district) as g:
            if include:
                await destination.choose(g.store, g.district, to, actor(named(as_), role), profile=pairs(include))
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


def _push_all(to: str, include: list[str], district: str, who: Actor, as_json: bool) -> None:
    """Queue all that a destination lacks and wait until each has ended, or waits for its next try."""

    async def work() -> Counter[str]:
        async with gateway(district) as g:
            if include:
                await destination.choose(g.store, g.district, to, who, profile=pairs(include))
            numbers = await dispatch.request_push_all(g.store, g.district, to, who)
            return await _follow_all(g, to, numbers, as_json)

    ended = run(work())
    if not as_json:
        told = ", ".join(f"{count:,} {state}" for state, count in sorted(ended.items())) or "it has all of them"
        STDOUT.print(f"{ended.total():,} plans to [bold]{escape(to)}[/]: {told}.", highlight=False)
        if ended["parked"]:
            STDOUT.print(f"Why: planbridge refused --to {to}", markup=False, highlight=False)
    if ended["parked"]:
        raise typer.Exit(Refused.exit_code)
    if ended["waiting"]:
        raise typer.Exit(Unavailable.exit_code)


async def _follow_all(g: Gateway, to: str, numbers: list[int], as_json: bool) -> Counter[str]:
    """Wait for them with a progress bar, or with lines for machines; state -> how many, at the end."""
    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.completed:,.0f} of {task.total:,.0f}"),
        console=STDERR,
        transient=True,
        disable=as_json or not STDERR.is_terminal,
    )
    before: Counter[str] | None = None
    if not numbers:  # nobody has to work on that
        if as_json:
            print(json.dumps({"destination": to, "plans": 0, "ended": 0, "states": {}}))
        return Counter()
    async with working(g) as pause:
        with bar:
            task = bar.add_task(to, total=len(numbers))
            while True:
                async with g.store.transaction(g.district) as c:
                    found = Counter(await delivered.counted(c, numbers))
                going = found["queued"] + found["sending"]
                bar.update(task, completed=len(numbers) - going)
                if as_json and found != before:
                    line = {"destination": to, "plans": len(numbers), "ended": len(numbers) - going, "states": found}
                    print(json.dumps(line), flush=True)
                if not going:
                    return found
                before = found
                await pause()


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


def pairs(given: Sequence[str]) -> dict[str, str]:
    """Fields of a delivery profile as somebody types them."""
    return {name: value for name, _, value in (pair.partition("=") for pair in given)}
