"""The command that gives a vendor a district of invented people: sandbox."""

import shlex
from dataclasses import asdict
from typing import Annotated, Any, get_args

import typer

from gateway import projections
from gateway import sandbox as sandboxes
from gateway.cli.output import STDOUT, As, Gateway, Json, Role, actor, installation, run, show
from gateway.cli.purge import IN_THE_FILES
from gateway.cli.runs import follow
from gateway.errors import ConfigError, PlanbridgeError
from gateway.http import Http, MemoryTokens
from gateway.sandbox import REFUSALS, Refusal
from gateway.settings import Settings
from gateway.store import sandboxes as stored
from gateway.store import webhooks
from gateway.store.database import Store
from gateway.store.registers import Actor


def register(app: typer.Typer) -> None:
    app.command()(sandbox)


def sandbox(
    name: Annotated[str, typer.Argument(metavar="NAME", help="What to call it; it is a district of its own.")],
    action: Annotated[
        str, typer.Argument(metavar="[day|refuse|restore|remove]", help="Without one, the sandbox is made.")
    ] = "",
    what: Annotated[
        str, typer.Argument(metavar="[REFUSAL]", help=f"With refuse: {', '.join(get_args(Refusal))}.")
    ] = "",
    webhook: Annotated[
        str, typer.Option("--webhook", help="An address that gets every event, also one on this machine.")
    ] = "",
    redirect: Annotated[
        str, typer.Option("--redirect", help="Where the teacher's browser is sent back to with a code.")
    ] = sandboxes.BACK,
    env: Annotated[bool, typer.Option("--env", help="Print it as SANDBOX_... variables, for a shell to read.")] = False,
    as_: As = "district IT",
    role: Role = "district_it",
    as_json: Json = False,
) -> None:
    """Make a district of invented people for a vendor, with a client, an agreement, a teacher who has an account and
    a system to send plans to. A day passes, refusals come on request, and it is removed, by the same command."""
    who = actor(as_, role)

    async def work() -> dict[str, Any]:
        async with installation() as (store, settings):
            match action, what:
                case "", "":
                    return await _made(store, settings, name, redirect, webhook, who)
                case "day", "":
                    return await _day(store, settings, name, who)
                case "refuse", refusal if refusal in REFUSALS:
                    district = await stored.named(store, name)
                    client = await sandboxes.client_of(store, district)
                    return await sandboxes.refuse(store, district, client, refusal, who)  # type: ignore[arg-type]
                case "restore", "":
                    district = await stored.named(store, name)
                    return await sandboxes.restore(store, district, await sandboxes.client_of(store, district), who)
                case "remove", "":
                    return {"removed": name, "in_the_files": IN_THE_FILES[await sandboxes.remove(store, name, who)]}
        raise ConfigError(
            "sandbox-action",
            f"A sandbox does not know {f'{action} {what}'.strip()!r}.",
            f"Say day, restore, remove, or refuse with one of: {', '.join(REFUSALS)}.",
        )

    found = run(work())
    if as_json or env:
        if as_json:
            show(found, True)
        else:
            print("\n".join(f"SANDBOX_{key.upper()}={shlex.quote(str(value))}" for key, value in found.items()))
        return
    show([{"what": key, "is": value} for key, value in found.items()], False, columns=("what", "is"))
    if not action:
        STDOUT.print("The secrets are not shown again. How to go on: docs/quick-start.md, or /docs in the browser.")


async def _made(store: Store, settings: Settings, name: str, redirect: str, webhook: str, who: Actor) -> dict[str, Any]:
    await _refuse_down(settings)
    district, number = await sandboxes.begin(store, settings, name, who)
    await _published(Gateway(store, settings, district), number)
    made = await sandboxes.furnish(store, district, name, redirect)
    found = {"name": name, "address": settings.address} | asdict(made)
    if webhook:
        kept, secret = await webhooks.add(store, district, made.client_id, webhook, (), who, allow_private=True)
        found |= {"webhook": kept, "webhook_secret": secret}
    return found


async def _day(store: Store, settings: Settings, name: str, who: Actor) -> dict[str, Any]:
    await _refuse_down(settings)
    district = await stored.named(store, name)
    day, number = await sandboxes.pass_day(store, district, who)
    outcome = await follow(Gateway(store, settings, district), number, quiet=True)
    await projections.follow(store, district)
    return {"day": day, "run": number, "state": outcome["state"]}


async def _published(g: Gateway, number: int) -> None:
    outcome = await follow(g, number, quiet=True)
    if outcome["state"] != "published":
        raise ConfigError(
            "sandbox-unfinished",
            f"The roster of the sandbox was not published: its run is {outcome['state']}.",
            "Look at `planbridge runs`, remove the sandbox, and make it anew.",
        )


async def _refuse_down(settings: Settings) -> None:
    """The invented system is served by the API."""
    here = sandboxes.api_address(settings)
    try:
        async with Http(None, tokens=MemoryTokens(), allow_private=True) as http:
            await http.get(f"{here}/health/live")
    except PlanbridgeError as error:
        raise ConfigError(
            "sandbox-needs-service",
            f"Planbridge does not answer at {here}, and a sandbox is served by it.",
            "Start it, in another window: planbridge up",
        ) from error
