"""The commands about what is served by OneRoster: how far it follows what is published, and making it anew."""

from dataclasses import asdict
from typing import Any

import typer

from gateway import projections
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
from gateway.projections import Projected
from gateway.store import registers, served
from gateway.store.served import Status

commands = typer.Typer(help="What programs read by OneRoster.", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    app.add_typer(commands, name="serve")


@commands.command("status")
def show_status(district: District = DEFAULT_DISTRICT, as_json: Json = False) -> None:
    """Show how far what is served follows what is published, how much it is, and what is left out and why."""

    async def look() -> Status:
        async with gateway(district) as g, g.store.transaction(g.district) as c:
            return await served.status(c)

    found = run(look())
    gaps = [{key: one[key] for key in ("collection", "field", "records")} | _fate(one) for one in found.gaps]
    if as_json:
        show(asdict(found) | {"gaps": gaps}, True)
        return
    STDOUT.print(_standing(found), highlight=False, markup=False)
    show([one for one in found.counts if one["served"] or one["gone"]], False, empty="Nothing is served.")
    if gaps:
        STDOUT.print("\nWhat is not served, or not wholly:", highlight=False)
        show(gaps, False)


def _standing(found: Status) -> str:
    if found.at is None:
        return "Nothing is ready to be served yet: `planbridge serve rebuild` makes it ready."
    said = f"Projection {found.number}, seen since {found.at:%Y-%m-%d %H:%M:%S} UTC."
    if found.behind:
        since = f", since {found.since:%Y-%m-%d %H:%M} UTC" if found.since else ""
        said += f" {found.behind} publications are not in it yet{since}."
    if found.failed_at:
        said += f" The last try failed at {found.failed_at:%Y-%m-%d %H:%M} UTC; the log of the worker says where."
    return said


def _fate(gap: dict[str, Any]) -> dict[str, str]:
    why = "it refers to what is left out" if gap["refers"] else "the standard demands it, and nobody states it"
    return {"what": "left out" if gap["whole"] else "without the field", "why": why}


@commands.command("rebuild")
def rebuild(
    name: As,
    role: Role = "district_it",
    because: Because = "",
    district: District = DEFAULT_DISTRICT,
    as_json: Json = False,
) -> None:
    """Look at everything that is published anew. What turns out as it was keeps its time."""

    async def make() -> Projected:
        async with gateway(district) as g:
            async with g.store.transaction(g.district) as c:
                await served.ask_again(c, g.district)
                who = actor(name, role)
                await registers.log_act(c, g.district, who, "serve-rebuild", district, {"because": because})
            return await projections.follow(g.store, g.district)

    done = run(make())
    show(
        {"rows": done.rows, "at": done.at} if as_json else [{"collection": k, "rows": n} for k, n in done.rows.items()],
        as_json,
        empty="Everything was as it is published.",
    )
