"""Commands about what a connection collects beyond roster and results: connections collect."""

from typing import Annotated, Any

import typer

from gateway import collecting, registry
from gateway.cli.connections import connections
from gateway.cli.output import DEFAULT_DISTRICT, STDOUT, As, District, Json, Role, actor, gateway, run, show
from gateway.collecting import Reason
from gateway.errors import ConfigError
from gateway.store import collected, registers


def register(app: typer.Typer) -> None:
    connections.command("collect")(collect)


def collect(
    name: Annotated[str, typer.Argument(metavar="CONNECTION", help="The connected system.")],
    group: Annotated[str, typer.Argument(metavar="GROUP", help=f"{', '.join(collecting.GROUPS)}; none: list.")] = "",
    purpose: Annotated[str, typer.Option("--purpose", help="What it is collected for, in words.")] = "",
    basis: Annotated[str, typer.Option("--basis", help="For meals: the law or agreement that allows it.")] = "",
    off: Annotated[
        bool, typer.Option("--off", help="Collect it no more; the next pull removes what there is.")
    ] = False,
    district: District = DEFAULT_DISTRICT,
    as_: As = "district IT",
    role: Role = "district_it",
    as_json: Json = False,
) -> None:
    """Collect something beyond roster and results, for a purpose, or collect it no more; without GROUP: list."""
    if group:
        run(_switch(name, group, None if off else (purpose, basis), district, as_, role))
    if as_json or not group:
        show(run(_listed(name, district)), as_json, empty=f"{name} has nothing but roster and results.")
    elif off:
        STDOUT.print(f"{name} collects no {group}. What there is goes with the next: planbridge pull {name}")
    else:
        STDOUT.print(f"{name} collects {group} from the next pull on.")


async def _switch(name: str, group: str, reason: tuple[str, str] | None, district: str, as_: str, role: str) -> None:
    async with gateway(district) as g:
        found = await registers.connection(g.store, g.district, name)
        kind = registry.connector(found.connector)
        wanted: Reason | None = None
        if reason is not None:
            wanted = collecting.reason(kind, group, *reason)
        elif group not in collecting.GROUPS:
            raise ConfigError(
                "group-unknown", f"There is nothing called {group!r}.", f"Choose from: {', '.join(collecting.GROUPS)}."
            )
        collections = [resource.name for resource in kind.resources if resource.group == group]
        await collected.switch(g.store, found, {group: wanted}, collections, actor(as_, role))


async def _listed(name: str, district: str) -> list[dict[str, Any]]:
    """Every group that the system may have, and of those that are on, why, by whom and since when."""
    async with gateway(district) as g:
        found = await registers.connection(g.store, g.district, name)
        async with g.store.transaction(g.district) as c:
            on = {row.pop("group"): row for row in await collected.listed(c, found.id)}
    return [
        {"group": group, "what": collecting.GROUPS[group], "collected": group in on}
        | on.get(group, {"purpose": None, "basis": None, "actor": None, "at": None})
        for group in collecting.offered(registry.connector(found.connector))
    ]
