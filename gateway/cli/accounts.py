"""Commands about how people and automation get in: accounts ..., tokens ...."""

from typing import Annotated, Any

import typer

from gateway.access import SAYS
from gateway.cli.access import looking
from gateway.cli.output import (
    DEFAULT_DISTRICT,
    STDOUT,
    As,
    Because,
    District,
    Gateway,
    Json,
    Role,
    actor,
    gateway,
    moment,
    run,
    show,
)
from gateway.errors import ConfigError
from gateway.settings import referenced
from gateway.store import accounts as stored
from gateway.store import automation, grants, providers, sessions
from gateway.store.clients import SCOPES
from gateway.store.providers import MATCHED_BY, Provider

accounts = typer.Typer(help="Who may sign in, and how.", no_args_is_help=True)
tokens = typer.Typer(help="Tokens of your own automation.", no_args_is_help=True)
Name = Annotated[str, typer.Argument(metavar="NAME", help="The name they sign in with: planbridge accounts list.")]
IT = "district IT"


def register(app: typer.Typer) -> None:
    app.add_typer(accounts, name="accounts")
    app.add_typer(tokens, name="tokens")


@accounts.command("invite")
def invite(
    person: Annotated[str, typer.Argument(help="Entity id or exact number of somebody on the roster.")],
    name: Annotated[str, typer.Option("--name", help="What they sign in with: usually their e-mail address.")],
    district: District = DEFAULT_DISTRICT,
    as_: As = IT,
    role: Role = "district_it",
    as_json: Json = False,
) -> None:
    """Give somebody on the roster an account, or a new link to theirs: one-time, good for 72 hours."""

    async def work() -> str:
        async with gateway(district) as g:
            who = await looking(g, person)
            if who.person is None:
                raise ConfigError(
                    "account-for-role",
                    f"{person!r} is a role.",
                    f"Give one person: an entity id or number, none of {', '.join(SAYS)}.",
                )
            token = await stored.invite(g.store, g.district, who.person, name, actor(as_, role))
            return f"{g.settings.address}/enrol/{token}"

    _print_link(name, run(work()), as_json)


def _print_link(name: str, link: str, as_json: bool) -> None:
    if as_json:
        show({"name": name, "link": link, "valid_hours": stored.LINK_HOURS}, True)
        return
    STDOUT.print(f"{name}: whoever opens this link first sets the password, once, within {stored.LINK_HOURS} hours.")
    STDOUT.print(f"Send it on a way that nobody else reads; it is not shown again:\n  {link}", highlight=False)


@accounts.command("list")
def list_accounts(district: District = DEFAULT_DISTRICT, as_json: Json = False) -> None:
    """List the accounts: who, in which state, with how many open sessions."""

    async def work() -> list[dict[str, Any]]:
        async with gateway(district) as g:
            return await stored.listed(g.store, g.district)

    show(run(work()), as_json, empty="Nobody has an account.")


@accounts.command("suspend")
def suspend(
    name: Name,
    because: Because = "",
    district: District = DEFAULT_DISTRICT,
    as_: As = IT,
    role: Role = "district_it",
    as_json: Json = False,
) -> None:
    """Shut somebody out: their sessions and tokens end at once."""

    async def work(g: Gateway) -> None:
        await stored.suspend(g.store, g.district, name, because, actor(as_, role))

    _do(work, district, {"name": name, "state": "suspended"}, as_json)


@accounts.command("resume")
def resume(
    name: Name,
    district: District = DEFAULT_DISTRICT,
    as_: As = IT,
    role: Role = "district_it",
    as_json: Json = False,
) -> None:
    """Let somebody in again who was shut out."""

    async def work(g: Gateway) -> None:
        await stored.resume(g.store, g.district, name, actor(as_, role))

    _do(work, district, {"name": name, "state": "active"}, as_json)


@accounts.command("reset-factor")
def reset_factor(
    name: Name,
    district: District = DEFAULT_DISTRICT,
    as_: As = IT,
    role: Role = "district_it",
    as_json: Json = False,
) -> None:
    """End somebody's password and second factor, and give the link to set them anew."""

    async def work() -> str:
        async with gateway(district) as g:
            token = await stored.reset_factor(g.store, g.district, name, actor(as_, role))
            return f"{g.settings.address}/enrol/{token}"

    _print_link(name, run(work()), as_json)


@accounts.command("sessions")
def list_sessions(name: Name, district: District = DEFAULT_DISTRICT, as_json: Json = False) -> None:
    """List somebody's open sessions."""

    async def work() -> list[dict[str, Any]]:
        async with gateway(district) as g:
            account = await stored.known(g.store, g.district, name)
            return await sessions.listed(g.store, g.district, account.person)

    show(run(work()), as_json, empty="No session is open.")


@accounts.command("end-sessions")
def end_sessions(
    name: Name,
    only: Annotated[int | None, typer.Option("--session", help="One of them, by its number; else all.")] = None,
    district: District = DEFAULT_DISTRICT,
    as_: As = IT,
    role: Role = "district_it",
    as_json: Json = False,
) -> None:
    """End somebody's sessions; all of them together with what programs got for them."""

    async def work() -> int:
        async with gateway(district) as g:
            account = await stored.known(g.store, g.district, name)
            return await sessions.end_all(g.store, g.district, account.person, actor(as_, role), only)

    show({"name": name, "ended": run(work())}, as_json)


@accounts.command("provider")
def provider(
    issuer: Annotated[str, typer.Option("--issuer", help="As the provider writes it, letter by letter.")] = "",
    client_id: Annotated[str, typer.Option("--client-id", help="Ours there.")] = "",
    secret: Annotated[str, typer.Option("--secret", help="Where the secret is: env:NAME or file:PATH.")] = "",
    claim: Annotated[str, typer.Option("--claim", help="What of its word tells who it is: email, sub ...")] = "email",
    matched_by: Annotated[
        str, typer.Option("--matched-by", help=f"With what of the roster it is compared: {', '.join(MATCHED_BY)}.")
    ] = "email",
    second_factor: Annotated[
        bool, typer.Option("--second-factor", help="It asks everybody for a second factor, and need not say so.")
    ] = False,
    audience: Annotated[
        list[str] | None,
        typer.Option("--audience", metavar="AUD=CLIENT", help="Its tokens for this may be exchanged by our client."),
    ] = None,
    private_address: Annotated[
        list[str] | None, typer.Option("--private-address", help="Inside your network, with a reason: HOST: why.")
    ] = None,
    forget: Annotated[bool, typer.Option("--forget", help="Have people sign in with accounts again.")] = False,
    district: District = DEFAULT_DISTRICT,
    as_: As = IT,
    role: Role = "district_it",
    as_json: Json = False,
) -> None:
    """Show or set the district's own identity provider (OpenID Connect)."""

    async def work() -> dict[str, Any]:
        async with gateway(district) as g:
            if forget:
                await providers.forget(g.store, g.district, actor(as_, role))
            elif issuer:
                audiences = dict(_pair(one) for one in audience or ())
                if secret and referenced("--secret", secret) is None:
                    raise ConfigError(
                        "secret-reference",
                        "The provider's secret is named by no variable and no file.",
                        "Give it as env:NAME or file:PATH.",
                    )
                chosen = Provider(
                    issuer, client_id, secret, claim, matched_by, second_factor, audiences, private_address or ()
                )
                await providers.choose(g.store, g.district, chosen, actor(as_, role))
            found = await providers.of(g.store, g.district)
            return {"provider": None} if found is None else vars(found)

    show(run(work()), as_json)


def _pair(given: str) -> tuple[str, str]:
    audience, _, client = given.partition("=")
    if not audience or not client:
        raise ConfigError("audience-unreadable", f"{given!r} names no client.", "Write --audience AUD=CLIENT.")
    return audience, client


@accounts.command("redirects")
def redirects(
    client: Annotated[str, typer.Argument(metavar="CLIENT", help="Id of a program: planbridge client list.")],
    uri: Annotated[list[str] | None, typer.Option("--uri", help="To where people go back with a code; repeat.")] = None,
    district: District = DEFAULT_DISTRICT,
    as_: As = IT,
    role: Role = "district_it",
    as_json: Json = False,
) -> None:
    """Say to which addresses a program may have people sent back who allow it to act for them; none: to nowhere."""

    async def work(g: Gateway) -> None:
        await grants.set_redirects(g.store, g.district, client, uri or (), actor(as_, role))

    _do(work, district, {"client": client, "redirect_uris": uri or []}, as_json)


@tokens.command("add")
def token_add(
    name: Annotated[str, typer.Argument(metavar="NAME", help="What it is for.")],
    until: Annotated[str, typer.Option("--until", help="When it ends: a day within a year.")],
    scope: Annotated[list[str] | None, typer.Option("--scope", help=f"Repeat: {', '.join(SCOPES)}.")] = None,
    district: District = DEFAULT_DISTRICT,
    as_: As = IT,
    role: Role = "district_it",
    as_json: Json = False,
) -> None:
    """Make a token for automation of your own. It is shown once."""

    async def work() -> str:
        async with gateway(district) as g:
            return await automation.add(g.store, g.district, name, scope or (), moment(until), actor(as_, role))

    token = run(work())
    if as_json:
        show({"name": name, "token": token, "until": until}, True)
        return
    STDOUT.print(f"{name}: send it as Authorization: Bearer ... It is not shown again:\n  {token}", highlight=False)


@tokens.command("list")
def token_list(district: District = DEFAULT_DISTRICT, as_json: Json = False) -> None:
    """List the tokens, also those that were revoked."""

    async def work() -> list[dict[str, Any]]:
        async with gateway(district) as g:
            return await automation.listed(g.store, g.district)

    show(run(work()), as_json, empty="There is no token.")


@tokens.command("revoke")
def token_revoke(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Which token.")],
    district: District = DEFAULT_DISTRICT,
    as_: As = IT,
    role: Role = "district_it",
    as_json: Json = False,
) -> None:
    """End a token at once."""

    async def work(g: Gateway) -> None:
        await automation.revoke(g.store, g.district, name, actor(as_, role))

    _do(work, district, {"name": name, "state": "revoked"}, as_json)


def _do(work: Any, district: str, said: dict[str, Any], as_json: bool) -> None:
    async def within() -> None:
        async with gateway(district) as g:
            await work(g)

    run(within())
    show(said, as_json)
