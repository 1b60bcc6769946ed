"""Commands about who is told what, and of what: notices, connections heartbeat, connections secret-expires."""

from datetime import datetime
from typing import Annotated, Any

import typer

from gateway import clock, notify
from gateway.cli.connections import connections
from gateway.cli.output import DEFAULT_DISTRICT, STDOUT, As, District, Json, Role, actor, gateway, run, say, show
from gateway.errors import ConfigError, PlanbridgeError
from gateway.messages import Message
from gateway.settings import Settings
from gateway.store import channels, outbox, registers
from gateway.store import notices as stored
from gateway.store.channels import EVENTS
from gateway.store.outbox import Sending

notices = typer.Typer(help="Who is told what, and what was told.", invoke_without_command=True)

Events = Annotated[
    list[str] | None, typer.Option("--event", help=f"Repeat for several: {', '.join(EVENTS)}. Default: all.")
]
At = Annotated[str, typer.Option("--digest-at", help="When the morning digest goes out.")]
Zone = Annotated[str, typer.Option("--zone", help="Time zone of the digest, and of the times in messages.")]
TEST = Message(
    "This is a test of notices. Somebody typed planbridge notices test.",
    "Nobody.",
    "Everything as before.",
    "Nothing: it has arrived.",
    "Nothing is due.",
)


def register(app: typer.Typer) -> None:
    app.add_typer(notices, name="notices")
    connections.command("heartbeat")(heartbeat)
    connections.command("secret-expires")(secret_expires)


@notices.callback()
def default(context: typer.Context, district: District = DEFAULT_DISTRICT, as_json: Json = False) -> None:
    if context.invoked_subcommand is None:
        list_notices(None, 20, district, as_json)


@notices.command("list")
def list_notices(
    number: Annotated[int | None, typer.Argument(help="One of them in full.")] = None,
    limit: int = 20,
    district: District = DEFAULT_DISTRICT,
    as_json: Json = False,
) -> None:
    """Show what people were told, the newest first, and what did not reach them."""

    async def look() -> list[dict[str, Any]]:
        async with gateway(district) as g:
            return await outbox.listed(g.store, g.district, limit, number)

    found = run(look())
    if number is not None and not found:
        raise ConfigError("notice-unknown", f"There is no notice {number}.", "`planbridge notices list` shows them.")
    if as_json:
        show(found[0] if number is not None else found, True)
    elif number is not None:
        STDOUT.print(Message(**found[0]["message"]).text, highlight=False, markup=False)
    else:
        show(
            [one | {"subject": Message(**one["message"]).subject} for one in found],
            False,
            columns=("id", "at", "event", "subject", "sent", "queued", "failed", "errors"),
            empty="Nobody was told anything yet.",
        )


@notices.command("channels")
def list_channels(district: District = DEFAULT_DISTRICT, as_json: Json = False) -> None:
    """Show where notices go."""

    async def look() -> dict[str, Any]:
        async with gateway(district) as g:
            return {
                "channels": await channels.listed(g.store, g.district),
                "heartbeats": await channels.heartbeats(g.store, g.district),
            }

    found = run(look())
    if as_json:
        show(found, True)
        return
    show(found["channels"], False, empty="Notices go nowhere. Begin with: planbridge notices add-email")
    if found["heartbeats"]:
        show(found["heartbeats"], False, title="\nCalled after each good run")


@notices.command("add-email")
def add_email(
    address: str,
    event: Events = None,
    digest_at: At = "07:00",
    zone: Zone = "UTC",
    district: District = DEFAULT_DISTRICT,
    as_: As = "district IT",
    role: Role = "district_it",
    as_json: Json = False,
) -> None:
    """Send notices to an e-mail address."""

    async def add() -> dict[str, Any]:
        async with gateway(district) as g:
            morning = channels.parsed_morning(digest_at, zone)
            return {
                "channel": await channels.add_email(
                    g.store, g.district, address, event or list(EVENTS), morning, actor(as_, role)
                ),
                "mail_server": g.settings.smtp_host,
            }

    made = run(add())
    if as_json:
        show(made, True)
        return
    STDOUT.print(f"Notices go to {address} (channel {made['channel']}).", highlight=False)
    if made["mail_server"] is None:
        STDOUT.print("No mail server is configured yet: set PLANBRIDGE_SMTP_HOST and PLANBRIDGE_SMTP_FROM.")


@notices.command("add-webhook")
def add_webhook(
    url: str,
    event: Events = None,
    digest_at: At = "07:00",
    zone: Zone = "UTC",
    allow_private: Annotated[
        bool, typer.Option("--allow-private", help="It is in the district's own network.")
    ] = False,
    district: District = DEFAULT_DISTRICT,
    as_: As = "district IT",
    role: Role = "district_it",
    as_json: Json = False,
) -> None:
    """Send notices to a URL, signed. The secret is shown once."""

    async def add() -> dict[str, Any]:
        async with gateway(district) as g:
            morning = channels.parsed_morning(digest_at, zone)
            made, secret = await channels.add_webhook(
                g.store, g.district, url, event or list(EVENTS), morning, allow_private, actor(as_, role)
            )
            return {"channel": made, "secret": secret}

    show(run(add()), as_json)


@notices.command("remove")
def remove(
    channel: int,
    district: District = DEFAULT_DISTRICT,
    as_: As = "district IT",
    role: Role = "district_it",
    as_json: Json = False,
) -> None:
    """Send nothing to a channel any more."""

    async def work() -> None:
        async with gateway(district) as g:
            await channels.remove(g.store, g.district, channel, actor(as_, role))

    run(work())
    say({"channel": channel, "removed": True}, as_json, f"Channel {channel} is removed.")


@notices.command("test")
def test(
    channel: Annotated[int | None, typer.Argument(help="Only this one.")] = None,
    district: District = DEFAULT_DISTRICT,
    as_json: Json = False,
) -> None:
    """Send a test message to every channel now, and say what became of it."""

    async def work() -> list[dict[str, Any]]:
        async with gateway(district) as g:
            every = await channels.opened(g.store, g.district)
            chosen = every if channel is None else [await channels.get(g.store, g.district, channel)]
            return [{"channel": one.id, "kind": one.kind} | await _tried(g.settings, one, district) for one in chosen]

    tried = run(work())
    show(tried, as_json, empty="Notices go nowhere. Begin with: planbridge notices add-email")
    if any(one["code"] for one in tried):
        raise typer.Exit(ConfigError.exit_code)


async def _tried(settings: Settings, channel: channels.Channel, district: str) -> dict[str, str]:
    now = clock.now()
    sending = Sending(0, channel.id, f"test-{now:%Y%m%d%H%M%S}", "test", district, None, None, now, TEST)
    try:
        await notify.send(settings, channel, sending)
    except PlanbridgeError as error:
        return {"code": error.code, "result": f"{error.message} {error.fix}"}
    return {"code": "", "result": "It was accepted."}


def heartbeat(
    name: str,
    url: Annotated[str | None, typer.Argument(help="What to call after each good run; none: nothing any more.")] = None,
    post: Annotated[bool, typer.Option("--post", help="By POST; else by GET.")] = False,
    allow_private: Annotated[
        bool, typer.Option("--allow-private", help="It is in the district's own network.")
    ] = False,
    district: District = DEFAULT_DISTRICT,
    as_: As = "district IT",
    role: Role = "district_it",
    as_json: Json = False,
) -> None:
    """Have a monitor's URL called after each good run of a connection, so that it notices when none comes."""

    async def work() -> None:
        async with gateway(district) as g:
            await channels.set_heartbeat(g.store, g.district, name, url, post, allow_private, actor(as_, role))

    run(work())
    say(
        {"connection": name, "called": url is not None},
        as_json,
        f"Each good run of {name} is reported there." if url else f"Nothing is called after runs of {name}.",
    )


def secret_expires(
    name: str,
    ends: Annotated[
        datetime | None, typer.Argument(metavar="DATE", formats=["%Y-%m-%d"], help="As 2027-06-30; none: not known.")
    ] = None,
    district: District = DEFAULT_DISTRICT,
    as_: As = "district IT",
    role: Role = "district_it",
    as_json: Json = False,
) -> None:
    """Say when a connection's credentials end; it is announced 30, 7 and 1 day before."""
    day = ends.date() if ends is not None else None

    async def work() -> dict[str, Any]:
        async with gateway(district) as g:
            found = await registers.connection(g.store, g.district, name)
            await stored.set_end_date(g.store, found, day, actor(as_, role))
            return {"connection": found.name, "secret_expires": day}

    done = run(work())
    say(done, as_json, f"The credentials of {name} end on {day}." if day else f"It is not known when {name}'s end.")
