"""Commands about programs that call the API: client, signing-key."""

import json
import re
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any

import typer

from gateway.access import PURPOSES
from gateway.cli.output import DEFAULT_DISTRICT, As, District, Json, Role, actor, gateway, installation, run, say, show
from gateway.errors import ConfigError
from gateway.store import clients, credentials, keys
from gateway.store.credentials import Keys

KeyFile = Annotated[
    Path | None, typer.Option("--jwks", metavar="FILE", help="Its public keys as a JWK set: it gets no secret.")
]
KeyUrl = Annotated[str | None, typer.Option("--jwks-url", help="Where it publishes its public keys.")]


def register(app: typer.Typer) -> None:
    app.add_typer(client, name="client", help="Programs that may call the API.")
    app.add_typer(signing_key, name="signing-key", help="The keys that sign access tokens.")


client = typer.Typer(no_args_is_help=True)


@client.command("add")
def client_add(
    name: str,
    scope: Annotated[list[str], typer.Option("--scope", help="What it may do; repeat for several.")],
    kind: Annotated[str, typer.Option("--kind", help="What it is: sis, lms or vendor.")] = "vendor",
    purpose: Annotated[str, typer.Option("--purpose", help=f"What it is for: {', '.join(PURPOSES)}.")] = "planning",
    section: Annotated[
        list[str] | None, typer.Option("--section", help="Sections of a student's record it may get; repeat.")
    ] = None,
    default_scope: Annotated[
        list[str] | None,
        typer.Option("--default-scope", help="What a token may do that was asked for without a scope; else all."),
    ] = None,
    jwks: KeyFile = None,
    jwks_url: KeyUrl = None,
    district: District = DEFAULT_DISTRICT,
    as_: As = "district IT",
    role: Role = "district_it",
    as_json: Json = False,
) -> None:
    """Make credentials for a program that calls the API. The secret is shown once."""

    async def add() -> dict[str, str]:
        grant = clients.Grant(kind, purpose, section or (), default_scope or (), _keys(jwks, jwks_url))
        async with gateway(district) as g:
            id, secret = await clients.add(g.store, g.district, name, scope, actor(as_, role), grant)
            return {"client_id": id, **({"client_secret": secret} if secret else {})}

    show(run(add()), as_json)


@client.command("list")
def client_list(district: District = DEFAULT_DISTRICT, as_json: Json = False) -> None:
    """List the programs that may call the API, how they prove themselves, and how often that failed."""

    async def look() -> list[dict[str, Any]]:
        async with gateway(district) as g:
            return await clients.listed(g.store, g.district)

    show(run(look()), as_json, empty="No program may call the API yet.")


@client.command("rotate")
def client_rotate(
    client_id: str,
    overlap: Annotated[str, typer.Option("--overlap", help="So long the old secret is good too: 7d, 12h, 30m.")] = "7d",
    district: District = DEFAULT_DISTRICT,
    as_: As = "district IT",
    role: Role = "district_it",
    as_json: Json = False,
) -> None:
    """Give a program another secret, shown once. The one it has stays good for a while; an older one ends."""

    async def rotate() -> dict[str, str]:
        async with gateway(district) as g:
            secret, until = await credentials.rotate(
                g.store, g.district, client_id, _duration(overlap), actor(as_, role)
            )
            return {"client_id": client_id, "client_secret": secret, "old_secret_until": until.isoformat()}

    show(run(rotate()), as_json)


@client.command("keys")
def client_keys(
    client_id: str,
    jwks: KeyFile = None,
    jwks_url: KeyUrl = None,
    district: District = DEFAULT_DISTRICT,
    as_: As = "district IT",
    role: Role = "district_it",
    as_json: Json = False,
) -> None:
    """Let a program prove itself by these public keys from now on, and by no secret."""
    given = _keys(jwks, jwks_url)
    if not given:
        raise typer.BadParameter("Give --jwks or --jwks-url.")

    async def replace() -> None:
        async with gateway(district) as g:
            await credentials.replace_keys(g.store, g.district, client_id, given, actor(as_, role))

    run(replace())
    say({"client_id": client_id, "keys": True}, as_json, f"{client_id} proves itself by its keys now.")


@client.command("signatures")
def client_signatures(
    client_id: str,
    on: Annotated[bool, typer.Option("--on/--off", help="Whether it may.")] = True,
    district: District = DEFAULT_DISTRICT,
    as_: As = "district IT",
    role: Role = "district_it",
    as_json: Json = False,
) -> None:
    """Let an old program sign its requests by OAuth 1.0a, and read OneRoster 1.1 without demographics."""

    async def switch() -> dict[str, str]:
        async with gateway(district) as g:
            secret = await credentials.switch_oauth1(g.store, g.district, client_id, on, actor(as_, role))
            return {"consumer_key": client_id, **({} if secret is None else {"consumer_secret": secret})}

    made = run(switch())
    if on:
        show(made, as_json)
    else:
        say(made | {"signatures": False}, as_json, f"{client_id} may not sign by OAuth 1.0a any more.")


@client.command("revoke")
def client_revoke(
    client_id: str,
    district: District = DEFAULT_DISTRICT,
    as_: As = "district IT",
    role: Role = "district_it",
    as_json: Json = False,
) -> None:
    """End a program's credentials and every token it holds."""

    async def revoke() -> None:
        async with gateway(district) as g:
            await clients.revoke(g.store, g.district, client_id, actor(as_, role))

    run(revoke())
    say({"client_id": client_id, "revoked": True}, as_json, f"{client_id} may call the API no more.")


signing_key = typer.Typer(no_args_is_help=True)


@signing_key.command("rotate")
def signing_key_rotate(
    at_once: Annotated[
        bool, typer.Option("--at-once", help="Drop all other keys and with them every token: one may be known.")
    ] = False,
    as_: As = "district IT",
    role: Role = "district_it",
    as_json: Json = False,
) -> None:
    """Make another key for access tokens, of all districts. Without this a new one is made every 90 days."""

    async def rotate() -> str:
        async with installation() as (store, _):
            return await keys.rotate(store, actor(as_, role), at_once=at_once)

    kid = run(rotate())
    sentence = (
        f"{kid} signs from now on. Every token has ended: programs ask for new ones."
        if at_once
        else f"{kid} is published, and signs in an hour. Tokens stay good."
    )
    say({"key": kid, "at_once": at_once}, as_json, sentence)


def _keys(file: Path | None, url: str | None) -> Keys:
    try:
        found = None if file is None else json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        found = ""
    if found is not None and not isinstance(found, dict):
        raise ConfigError(
            "client-keys-unreadable", "The file of keys cannot be read, or is no JSON.", "Give a file with a JWK set."
        )
    return Keys(found, url)


def _duration(said: str) -> timedelta:
    found = re.fullmatch(r"(\d{1,4})([dhm])", said.strip())
    if found is None:
        raise typer.BadParameter("Write it as 7d, 12h or 30m.", param_hint="--overlap")
    return timedelta(**{{"d": "days", "h": "hours", "m": "minutes"}[found[2]]: int(found[1])})
