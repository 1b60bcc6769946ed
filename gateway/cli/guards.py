"""Commands about what makes a run wait: guards, blackouts."""

from datetime import datetime
from typing import Annotated, Any

import typer

from gateway import clock
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
    moment,
    run,
    say,
    show,
)
from gateway.errors import ConfigError
from gateway.guard import EVERY, Limits
from gateway.store import blackouts as stored_blackouts
from gateway.store import limits, registers

guards = typer.Typer(help="How much a run may change before it waits for a person.", no_args_is_help=True)
blackouts = typer.Typer(help="When nothing may be published or delivered.", invoke_without_command=True)

Until = Annotated[datetime, typer.Option("--until", parser=moment, help="End, UTC unless it says otherwise.")]


def register(app: typer.Typer) -> None:
    app.add_typer(guards, name="guards")
    app.add_typer(blackouts, name="blackouts")


@guards.command("show")
def guards_show(name: str, district: District = DEFAULT_DISTRICT, as_json: Json = False) -> None:
    """Show a connection's limits, what each means, and what is allowed for a while."""

    async def look() -> dict[str, Any]:
        async with gateway(district) as g:
            found = await registers.connection(g.store, g.district, name)
            own = await limits.own_guards(g.store, g.district, found.id)
            return {
                "hold_all": own.hold_all,
                "limits": own.limits,
                "default": Limits().model_dump(),
                "allowed": await limits.allowances(g.store, g.district, found.id, clock.now()),
            }

    found = run(look())
    if as_json:
        show(found, True)
        return
    rows = [
        {
            "limit": limit,
            "default": found["default"][limit],
            "set": ", ".join(
                f"{collection}: {own[limit]}" for collection, own in found["limits"].items() if limit in own
            ),
            "meaning": field.description or "",
        }
        for limit, field in Limits.model_fields.items()
    ]
    show(rows, False)
    waits = "everything" if found["hold_all"] else "the removals alone"
    STDOUT.print(f"Where only removals pass a limit, {waits} waits.")
    show(found["allowed"], False, title="\nAllowed for a while", empty="Nothing is allowed beyond that.")


@guards.command("set")
def guards_set(
    name: str,
    limit: Annotated[
        list[str] | None,
        typer.Option(
            "--limit", help="collection.limit=value, for instance users.removed=0.2; * for all; no value unsets."
        ),
    ] = None,
    hold_all: Annotated[
        bool | None, typer.Option("--hold-all/--hold-removals", help="What waits where only removals pass a limit.")
    ] = None,
    district: District = DEFAULT_DISTRICT,
    as_: As = "district IT",
    role: Role = "district_it",
    as_json: Json = False,
) -> None:
    """Set limits of a connection."""

    async def work() -> dict[str, Any]:
        async with gateway(district) as g:
            found = await registers.connection(g.store, g.district, name)
            own = await limits.own_guards(g.store, g.district, found.id)
            wanted = {collection: dict(values) for collection, values in own.limits.items()}
            for pair in limit or []:
                collection, field, value = _limit(pair)
                wanted.setdefault(collection, {}).pop(field, None)
                if value is not None:
                    wanted[collection][field] = value
            values = {
                "hold_all": own.hold_all if hold_all is None else hold_all,
                "limits": {collection: own for collection, own in wanted.items() if own},
            }
            await limits.set_guards(g.store, g.district, found.id, values, actor(as_, role))
            return {"connection": name, **values}

    say(run(work()), as_json, f"The limits of {name} are set; they hold from the next run on.")


@guards.command("allow")
def guards_allow(
    name: str,
    limit: Annotated[list[str], typer.Option("--limit", help="collection.limit=value; * for all.")],
    until: Until,
    because: Because = "",
    district: District = DEFAULT_DISTRICT,
    as_: As = "district IT",
    role: Role = "district_it",
    as_json: Json = False,
) -> None:
    """Ease limits for a while, with a reason: a merger of schools, a year change. It ends by itself."""

    async def work() -> dict[str, Any]:
        async with gateway(district) as g:
            found = await registers.connection(g.store, g.district, name)
            wanted: dict[str, dict[str, float]] = {}
            for pair in limit:
                collection, field, value = _limit(pair)
                if value is not None:
                    wanted.setdefault(collection, {})[field] = value
            await limits.allow(g.store, g.district, found.id, wanted, until, because, actor(as_, role))
            return {"connection": name, "limits": wanted, "until": until}

    say(run(work()), as_json, f"Allowed for {name} until {until:%Y-%m-%d %H:%M} UTC.")


def _limit(pair: str) -> tuple[str, str, float | None]:
    place, equals, value = pair.partition("=")
    collection, dot, name = place.rpartition(".")
    try:
        if equals and dot:
            return collection or EVERY, name, float(value) if value else None
    except ValueError:
        pass
    raise ConfigError(
        "limits-invalid", f"{pair!r} is no limit.", "Give it as collection.limit=value, for instance users.removed=0.2."
    )


@blackouts.callback()
def blackouts_list(context: typer.Context, district: District = DEFAULT_DISTRICT, as_json: Json = False) -> None:
    """List the blackouts."""
    if context.invoked_subcommand is not None:
        return

    async def look() -> list[dict[str, Any]]:
        async with gateway(district) as g:
            return await stored_blackouts.listed(g.store, g.district)

    show(run(look()), as_json, empty="There is no blackout.")


@blackouts.command("add")
def blackouts_add(
    begin: Annotated[datetime, typer.Option("--from", parser=moment, help="Begin, UTC unless it says otherwise.")],
    until: Until,
    name: Annotated[str | None, typer.Option("--connection", help="Only this one; else all of the district.")] = None,
    because: Because = "",
    district: District = DEFAULT_DISTRICT,
    as_: As = "district IT",
    role: Role = "district_it",
    as_json: Json = False,
) -> None:
    """Let nothing be published or delivered in these days."""

    async def work() -> int:
        async with gateway(district) as g:
            one = (await registers.connection(g.store, g.district, name)).id if name else None
            return await stored_blackouts.add(g.store, g.district, one, begin, until, because, actor(as_, role))

    number = run(work())
    say(
        {"blackout": number, "connection": name, "from": begin, "until": until},
        as_json,
        f"Blackout {number}: from {begin:%Y-%m-%d %H:%M} to {until:%Y-%m-%d %H:%M} UTC.",
    )


@blackouts.command("end")
def blackouts_end(
    number: int,
    district: District = DEFAULT_DISTRICT,
    as_: As = "district IT",
    role: Role = "district_it",
    as_json: Json = False,
) -> None:
    """End a blackout now."""

    async def work() -> None:
        async with gateway(district) as g:
            await stored_blackouts.end(g.store, g.district, number, actor(as_, role))

    run(work())
    say({"blackout": number, "ended": True}, as_json, f"Blackout {number} is over.")
