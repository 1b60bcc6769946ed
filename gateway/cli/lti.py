"""Commands about learning platforms that open our tool: lti."""

from typing import Annotated, Any

import typer

from gateway.cli.output import DEFAULT_DISTRICT, As, District, Json, Role, actor, gateway, installation, run, say, show
from gateway.errors import ConfigError
from gateway.http import PrivateAddress
from gateway.lti.login import LAUNCH
from gateway.store import launches, registers, tool_keys


def register(app: typer.Typer) -> None:
    app.add_typer(lti, name="lti", help="Learning platforms that open our tool by LTI 1.3.")


lti = typer.Typer(no_args_is_help=True)


@lti.command("platforms")
def platforms(district: District = DEFAULT_DISTRICT, as_json: Json = False) -> None:
    """List the registered platforms, and what a platform is told about this tool."""

    async def look() -> tuple[list[dict[str, Any]], dict[str, str]]:
        async with gateway(district) as g:
            found = [one for one in await registers.connections(g.store, g.district) if one.connector == "lti"]
            names = ("issuer", "client_id", "deployment_ids")
            rows = [
                {
                    "connection": one.name,
                    **{name: one.settings.get(name) for name in names},
                    "paused": one.paused_because,
                }
                for one in found
            ]
            return rows, _addresses(g.settings.address)

    rows, ours = run(look())
    if as_json:
        show({"platforms": rows, "tool": ours}, True)
        return
    show(rows, False, empty="No platform is registered yet: planbridge lti invite.")
    show([{"of_this_tool": name, "address": address} for name, address in ours.items()], False)


def _addresses(address: str) -> dict[str, str]:
    return {
        "tool (target link)": f"{address}{LAUNCH}",
        "login initiation": f"{address}/lti/login",
        "redirection": f"{address}{LAUNCH}",
        "public keyset": f"{address}/lti/jwks",
        "custom parameter": "person_sourcedid=$Person.sourcedId",
    }


@lti.command("invite")
def invite(
    name: Annotated[str, typer.Argument(help="What to call the connection that will be made.")],
    private: Annotated[
        list[str] | None,
        typer.Option(
            "--private-address", help="A platform in your own network: 'moodle.internal: our Moodle'. Repeat."
        ),
    ] = None,
    district: District = DEFAULT_DISTRICT,
    as_: As = "district IT",
    role: Role = "district_it",
    as_json: Json = False,
) -> None:
    """Make a link by which a platform registers this tool by itself. It works once, for three days."""
    try:
        private = [entry for entry in private or () if PrivateAddress.read(entry)]
    except ValueError as error:
        raise ConfigError("settings-invalid", f"The private address does not fit: {error}.", "Correct it.") from None

    async def make() -> str:
        async with gateway(district) as g:
            if any(one.name == name for one in await registers.connections(g.store, g.district)):
                raise ConfigError(
                    "connection-exists", f"A connection named {name!r} exists already.", "Choose another name."
                )
            token = await launches.invite(g.store, g.district, name, private or [], actor(as_, role))
            return f"{g.settings.address}/lti/register/{token}"

    link = run(make())
    say({"connection": name, "link": link}, as_json, link)


@lti.command("keys")
def keys(
    rotate: Annotated[bool, typer.Option("--rotate", help="Make another key; it signs in an hour.")] = False,
    at_once: Annotated[
        bool, typer.Option("--at-once", help="With --rotate: drop all other keys, one may be known.")
    ] = False,
    as_: As = "district IT",
    role: Role = "district_it",
    as_json: Json = False,
) -> None:
    """List the keys by which the tool signs, of all districts. Without --rotate a new one is made every 90 days."""

    async def look() -> list[dict[str, Any]]:
        async with installation() as (store, _):
            if rotate:
                await tool_keys.rotate(store, actor(as_, role), at_once=at_once)
            return await tool_keys.listed(store)

    show(run(look()), as_json)
