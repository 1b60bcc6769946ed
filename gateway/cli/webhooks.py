"""Commands about where programs have events sent: webhooks."""

from typing import Annotated, Any

import typer

from gateway import webhooks as sending
from gateway.cli.output import DEFAULT_DISTRICT, As, District, Json, Role, actor, gateway, run, say, show
from gateway.errors import ConfigError
from gateway.events import OF_WEBHOOKS, TYPES
from gateway.store import webhooks as stored

webhooks = typer.Typer(help="Where programs have events sent, and what arrived.", no_args_is_help=True)

Number = Annotated[int, typer.Argument(metavar="WEBHOOK", help="As `planbridge webhooks list` shows it.")]


def register(app: typer.Typer) -> None:
    app.add_typer(webhooks, name="webhooks")


@webhooks.command("types")
def list_types(as_json: Json = False) -> None:
    """Show every type of events, and what it says."""
    show([{"type": name, "says": says} for name, says in {**TYPES, **OF_WEBHOOKS}.items()], as_json)


@webhooks.command("list")
def list_webhooks(district: District = DEFAULT_DISTRICT, as_json: Json = False) -> None:
    """Show where events go, how much waits, and how much is parked."""

    async def look() -> list[dict[str, Any]]:
        async with gateway(district) as g, g.store.transaction(g.district) as c:
            return await stored.listed(c)

    show(run(look()), as_json, empty="Events are sent nowhere.")


@webhooks.command("add")
def add(
    url: str,
    client: Annotated[str, typer.Option("--client", help="The program whose events they are: what it may be told.")],
    types: Annotated[
        list[str] | None, typer.Option("--types", help="Repeat for several; `planbridge webhooks types`. Default: all.")
    ] = None,
    allow_private: Annotated[
        bool, typer.Option("--allow-private", help="It is in the district's own network.")
    ] = False,
    district: District = DEFAULT_DISTRICT,
    as_: As = "district IT",
    role: Role = "district_it",
    as_json: Json = False,
) -> None:
    """Have what happens from now on sent to an address. The secret that signs it is shown once."""

    async def work() -> dict[str, Any]:
        async with gateway(district) as g:
            made, secret = await stored.add(
                g.store, g.district, client, url, types or (), actor(as_, role), allow_private=allow_private
            )
            return {"webhook": made, "secret": secret}

    show(run(work()), as_json)


@webhooks.command("remove")
def remove(
    webhook: Number,
    district: District = DEFAULT_DISTRICT,
    as_: As = "district IT",
    role: Role = "district_it",
    as_json: Json = False,
) -> None:
    """Send nothing there any more, not even what waits."""

    async def work() -> None:
        async with gateway(district) as g, g.store.transaction(g.district) as c:
            await stored.remove(g.store, c, await stored.get(g.store, c, webhook), actor(as_, role))

    run(work())
    say({"webhook": webhook, "removed": True}, as_json, f"Webhook {webhook} is removed.")


@webhooks.command("rotate")
def rotate(
    webhook: Number,
    district: District = DEFAULT_DISTRICT,
    as_: As = "district IT",
    role: Role = "district_it",
    as_json: Json = False,
) -> None:
    """Make a new secret, shown once. For a day the former one signs beside it."""

    async def work() -> dict[str, Any]:
        async with gateway(district) as g, g.store.transaction(g.district) as c:
            secret = await stored.rotate(g.store, c, await stored.get(g.store, c, webhook), actor(as_, role))
            return {"webhook": webhook, "secret": secret}

    show(run(work()), as_json)


@webhooks.command("test")
def test(webhook: Number, district: District = DEFAULT_DISTRICT, as_json: Json = False) -> None:
    """Send a test there now, once, and say what became of it."""

    async def work() -> sending.Outcome:
        async with gateway(district) as g:
            return await sending.test(g.store, g.district, webhook)

    found = run(work())
    show({"arrived": found.arrived, "status": found.status, "code": found.code, "ms": found.ms}, as_json)
    if not found.arrived:
        raise typer.Exit(ConfigError.exit_code)


@webhooks.command("attempts")
def attempts(webhook: Number, limit: int = 20, district: District = DEFAULT_DISTRICT, as_json: Json = False) -> None:
    """Show the newest attempts to send something there."""

    async def look() -> list[dict[str, Any]]:
        async with gateway(district) as g, g.store.transaction(g.district) as c:
            return await stored.attempts(c, (await stored.get(g.store, c, webhook)).id, limit)

    show(run(look()), as_json, empty="Nothing was sent there yet.")


@webhooks.command("parked")
def parked(webhook: Number, district: District = DEFAULT_DISTRICT, as_json: Json = False) -> None:
    """Show what could not be sent within a day, and why."""

    async def look() -> list[dict[str, Any]]:
        async with gateway(district) as g, g.store.transaction(g.district) as c:
            return await stored.parked(c, (await stored.get(g.store, c, webhook)).id)

    show(run(look()), as_json, empty="Nothing is parked.")


@webhooks.command("replay")
def replay(
    webhook: Number,
    message: Annotated[list[str] | None, typer.Option("--message", help="Repeat for several. Default: all.")] = None,
    district: District = DEFAULT_DISTRICT,
    as_: As = "district IT",
    role: Role = "district_it",
    as_json: Json = False,
) -> None:
    """Send what is parked once more; it is tried for a day again."""

    async def work() -> dict[str, Any]:
        async with gateway(district) as g, g.store.transaction(g.district) as c:
            found = await stored.get(g.store, c, webhook)
            return {"messages": await stored.replay(c, found, message or (), actor(as_, role))}

    show(run(work()), as_json)


@webhooks.command("resume")
def resume(
    webhook: Number,
    district: District = DEFAULT_DISTRICT,
    as_: As = "district IT",
    role: Role = "district_it",
    as_json: Json = False,
) -> None:
    """Send there again, after it was stopped because it said that it is gone."""

    async def work() -> None:
        async with gateway(district) as g, g.store.transaction(g.district) as c:
            await stored.resume(c, await stored.get(g.store, c, webhook), actor(as_, role))

    run(work())
    say(
        {"webhook": webhook, "resumed": True},
        as_json,
        f"What comes is sent to webhook {webhook} again. What is parked: planbridge webhooks replay {webhook}",
    )
