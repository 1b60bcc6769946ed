"""The command by which a person lets us into a system once: connections authorize."""

import secrets
from typing import Annotated

import typer
from rich.markup import escape

from gateway import registry, trying
from gateway.cli import checks
from gateway.cli.output import DEFAULT_DISTRICT, STDERR, As, District, Json, Role, actor, gateway, run, say
from gateway.connector import Connector, Finding, validated
from gateway.errors import ConfigError
from gateway.http import CodeGrant, Http, MemoryTokens, redeemed
from gateway.settings import referenced
from gateway.store import registers

KEPT = "refresh_token"


def authorize(
    name: str,
    code: Annotated[
        str, typer.Option("--code", help="env:NAME or file:PATH with the code, where nobody is there to be asked.")
    ] = "",
    district: District = DEFAULT_DISTRICT,
    as_: As = "district IT",
    role: Role = "district_it",
    as_json: Json = False,
) -> None:
    """Let Planbridge into a system: open the address that is printed, agree there, and paste where it led."""

    async def asked() -> CodeGrant:
        async with gateway(district) as g:
            found = await registers.connection(g.store, g.district, name)
            kind = registry.connector(found.connector)
            return _grant(kind, validated(kind.settings, found.settings | found.secrets))

    state = secrets.token_urlsafe(16)
    if code:
        found, state = referenced("code", code), ""
        if found is None:
            raise ConfigError(
                "secret-on-command-line",
                "A code is a secret; on the command line other users of this machine could read it.",
                "Give it as --code env:NAME or --code file:PATH, or be asked for it.",
            )
        pasted = found
    else:
        address = escape(run(asked()).address(state))
        STDERR.print("Open this in a browser, as the account that Planbridge is to use, and agree:", highlight=False)
        STDERR.print(address, highlight=False, soft_wrap=True)
        pasted = typer.prompt("The address that it led to, or the code in it", hide_input=True, err=True)

    async def work() -> list[Finding]:
        async with gateway(district) as g:
            found = await registers.connection(g.store, g.district, name)
            kind = registry.connector(found.connector)
            settings = validated(kind.settings, found.settings | found.secrets)
            async with Http(None, tokens=MemoryTokens(), network=settings.network, timeout=settings.patience) as http:
                given = await redeemed(http, _grant(kind, settings), pasted, state)
            hidden = found.secrets | {KEPT: given.refresh_token}
            plain = {field: value for field, value in found.settings.items() if field not in hidden}
            await registers.change_settings(g.store, found, plain, hidden, actor(as_, role))
            findings = await trying.try_out(kind, validated(kind.settings, plain | hidden))
            if found.paused_code == "credentials" and all(one.ok for one in findings):
                await registers.resume(g.store, g.district, found.id, actor(as_, role))
                findings.append(Finding(True, "The pause is lifted."))
            return findings

    findings = run(work())
    if not as_json:
        checks.print_findings(findings)
    told = {"connection": name, "findings": [vars(one) for one in findings]}
    say(told, as_json, f"Planbridge is let into {name}, until somebody ends that there.")


def _grant(kind: Connector, settings: object) -> CodeGrant:
    grant = kind.grant(settings) if kind.grant else None
    if grant is None or not grant.client_id:
        raise ConfigError(
            "grant-not-asked-for",
            f"{kind.title} lets nobody in this way, with the settings that this connection has.",
            "Give its key or its token: `planbridge connections change`.",
        )
    return grant
