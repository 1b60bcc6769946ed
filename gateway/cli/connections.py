"""Commands about connected systems: connect, check, connections, system-of-record."""

from datetime import UTC, datetime
from typing import Annotated, Any

import typer
from pydantic.fields import FieldInfo

from gateway import registry, trying
from gateway.cli import authorizing, checks
from gateway.cli.output import (
    DEFAULT_DISTRICT,
    STDERR,
    STDOUT,
    As,
    Because,
    District,
    Json,
    Role,
    actor,
    gateway,
    run,
    say,
    show,
)
from gateway.connector import Connector, Finding, is_secret, validated
from gateway.errors import ConfigError
from gateway.settings import referenced
from gateway.store import notices, registers, successions

EndDate = Annotated[
    datetime | None,
    typer.Option("--secret-expires", formats=["%Y-%m-%d"], help="When these credentials end, as 2027-06-30."),
]


def register(app: typer.Typer) -> None:
    app.command()(connect)
    app.command()(checks.check)
    connections.command("authorize")(authorizing.authorize)
    app.add_typer(connections, name="connections")
    app.command("system-of-record")(system_of_record)


def connect(
    connector: Annotated[str, typer.Argument(help="Kind of system: a folder under connectors/.")],
    name: Annotated[str, typer.Option("--name", help="What to call this connection.")],
    given: Annotated[
        list[str] | None,
        typer.Option("--set", help="field=value; a secret as field=env:NAME or field=file:PATH."),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask before saving.")] = False,
    ends: EndDate = None,
    district: District = DEFAULT_DISTRICT,
    as_: As = "district IT",
    role: Role = "district_it",
    as_json: Json = False,
) -> None:
    """Connect a system: ask for its settings, show what would be kept, try it, and only then save it."""
    kind = registry.connector(connector)
    ask = STDERR.is_terminal and not as_json
    plain, hidden = settings_of(kind, given or [], ask=ask)
    settings = validated(kind.settings, plain | hidden)
    if ask and hidden and ends is None:
        ends = _asked_end_date()
    if not as_json and kind.resources:
        show(trying.kept(kind), False, title="What would be kept of each record, and what is dropped on arrival")
    findings = run(trying.try_out(kind, settings))
    wrong = [finding for finding in findings if not finding.ok]
    if not as_json:
        checks.print_findings(findings)
    if wrong and not yes and not (STDERR.is_terminal and typer.confirm("Save it all the same?", err=True)):
        raise ConfigError(
            "check-failed", f"The connection was not saved: {wrong[0].text}", wrong[0].fix or "Mend it and try again."
        )
    settings, learnt = trying.learnt(kind, settings, findings)
    if not as_json:
        checks.print_learnt(learnt)

    async def save() -> int:
        async with gateway(district) as g:
            dumped = {k: v for k, v in settings.model_dump(mode="json").items() if k not in hidden}
            who = actor(as_, role)
            made = await registers.add_connection(
                g.store, g.district, name, connector, dumped, hidden, who, keeps_roster=kind.keeps_roster
            )
            if ends is not None:
                found = await registers.connection(g.store, g.district, made)
                await notices.set_end_date(g.store, found, ends.date(), who)
            return made

    made = run(save())
    if as_json:
        show({"connection": name, "id": made, "findings": [vars(f) for f in findings]}, True)
    else:
        right = all(finding.ok for finding in findings)
        then = f"pull {name}" if kind.open_source else f"push PLAN --to {name} --preview"
        STDOUT.print(
            f"Connected as [bold]{name}[/]. Next: planbridge {then}"
            if right
            else f"Saved as [bold]{name}[/], though something is wrong. Mend it, then: planbridge check {name}"
        )


def _asked_end_date() -> datetime | None:
    answer: str = typer.prompt("When do these credentials end (2027-06-30; empty: not known)", default="", err=True)
    try:
        return datetime.strptime(answer, "%Y-%m-%d").replace(tzinfo=UTC) if answer else None
    except ValueError:
        raise ConfigError("end-date-invalid", f"{answer!r} is no date.", "Give one like 2027-06-30.") from None


def settings_of(kind: Connector, given: list[str], *, ask: bool) -> tuple[dict[str, Any], dict[str, str]]:
    """Settings from --set and, at a terminal, from questions: (plain ones, secret ones)."""
    fields = kind.settings.model_fields
    plain: dict[str, Any] = {}
    hidden: dict[str, str] = {}
    for pair in given:
        field, equals, value = pair.partition("=")
        if not equals or field not in fields:
            raise ConfigError(
                "setting-unknown",
                f"{kind.title} has no setting {field!r}.",
                f"Its settings are: {', '.join(fields)}.",
            )
        if is_secret(fields[field]):
            hidden[field] = _secret(field, value) if value or fields[field].is_required() else ""
        else:
            plain[field] = value
    for field, info in fields.items():
        if ask and field not in plain and field not in hidden and not _advanced(info):
            STDERR.print(f"[bold]{info.title or field}[/]: {info.description or ''}", highlight=False)
            preset = "" if info.is_required() or info.default in (None, "") or is_secret(info) else str(info.default)
            answer = typer.prompt(
                field, default=preset, hide_input=is_secret(info), show_default=bool(preset), err=True
            )
            if answer:
                (hidden if is_secret(info) else plain)[field] = answer
    return plain, hidden


def _secret(field: str, value: str) -> str:
    found = referenced(field, value)
    if found is None:
        raise ConfigError(
            "secret-on-command-line",
            f"{field} is a secret; on the command line other users of this machine could read it.",
            f"Give it as {field}=env:NAME or {field}=file:PATH.",
        )
    return found


def _advanced(info: FieldInfo) -> bool:
    return bool(isinstance(info.json_schema_extra, dict) and info.json_schema_extra.get("advanced"))


connections = typer.Typer(
    help="The connected systems: list, change, authorize, collect, pause, resume, shadow, new-year, switch.",
    invoke_without_command=True,
)


@connections.callback()
def listed(context: typer.Context, district: District = DEFAULT_DISTRICT, as_json: Json = False) -> None:
    """List the connected systems."""
    if context.invoked_subcommand is not None:
        return

    async def look() -> list[dict[str, Any]]:
        async with gateway(district) as g:
            async with g.store.transaction(g.district) as c:
                ends, places = await notices.end_dates(c), await successions.plans(c)
            return [
                {
                    "name": one.name,
                    "connector": one.connector,
                    "shadow": one.shadow,
                    "takes_place_of": _place(places.get(one.id)),
                    "paused_because": one.paused_because,
                    "secret_expires": ends.get(one.id),
                }
                for one in await registers.connections(g.store, g.district)
            ]

    show(run(look()), as_json, empty="No system is connected. Begin with: planbridge connect")


def _place(plan: dict[str, Any] | None) -> str | None:
    """Whose place a connection of a new year takes, and when."""
    if plan is None:
        return None
    return str(plan["old"]) if plan["done_at"] else f"{plan['old']}, on {plan['on_day']}"


@connections.command("change")
def change(
    name: str,
    given: Annotated[
        list[str], typer.Option("--set", help="field=value; a secret as field=env:NAME or field=file:PATH.")
    ],
    yes: Annotated[bool, typer.Option("--yes", help="Save it also where the trial fails.")] = False,
    ends: EndDate = None,
    district: District = DEFAULT_DISTRICT,
    as_: As = "district IT",
    role: Role = "district_it",
    as_json: Json = False,
) -> None:
    """Change settings of a connection, or renew its secret. It is tried first; where all is right a pause for refused
    credentials is lifted."""

    async def work() -> list[Finding]:
        async with gateway(district) as g:
            found = await registers.connection(g.store, g.district, name)
            kind = registry.connector(found.connector)
            plain, hidden = settings_of(kind, given, ask=False)
            settings = validated(kind.settings, found.settings | found.secrets | plain | hidden)
            findings = await trying.try_out(
                kind, settings, await trying.collects(g.store, found), await trying.chosen(g.store, found)
            )
            wrong = [finding for finding in findings if not finding.ok]
            if wrong and not yes:
                raise ConfigError(
                    "check-failed", f"Nothing was changed: {wrong[0].text}", wrong[0].fix or "Mend it and try again."
                )
            settings, _ = trying.learnt(kind, settings, findings)
            secrets = found.secrets | hidden
            dumped = {k: v for k, v in settings.model_dump(mode="json").items() if k not in secrets}
            await registers.change_settings(g.store, found, dumped, secrets, actor(as_, role))
            if ends is not None:
                await notices.set_end_date(g.store, found, ends.date(), actor(as_, role))
            if found.paused_code == "credentials" and not wrong:
                await registers.resume(g.store, g.district, found.id, actor(as_, role))
                findings.append(Finding(True, "The pause is lifted."))
            return findings

    findings = run(work())
    if as_json:
        show([vars(finding) for finding in findings], True)
    else:
        checks.print_findings(findings)


@connections.command("pause")
def pause(
    name: str,
    because: Because = "",
    district: District = DEFAULT_DISTRICT,
    as_: As = "district IT",
    role: Role = "district_it",
    as_json: Json = False,
) -> None:
    """Stop pulling from a system and pushing to it, until `resume`."""

    async def work() -> None:
        async with gateway(district) as g:
            found = await registers.connection(g.store, g.district, name)
            await registers.pause(g.store, g.district, found.id, because, actor(as_, role))

    run(work())
    say({"connection": name, "paused_because": because}, as_json, f"{name} is paused.")


@connections.command("resume")
def resume(
    name: str,
    district: District = DEFAULT_DISTRICT,
    as_: As = "district IT",
    role: Role = "district_it",
    as_json: Json = False,
) -> None:
    """Lift a pause."""

    async def work() -> None:
        async with gateway(district) as g:
            found = await registers.connection(g.store, g.district, name)
            await registers.resume(g.store, g.district, found.id, actor(as_, role))

    run(work())
    say({"connection": name, "paused_because": None}, as_json, f"{name} may be pulled and pushed to again.")


@connections.command("shadow")
def shadow(
    name: str,
    on: Annotated[bool, typer.Option("--on/--off", help="Compare only, or publish.")] = True,
    district: District = DEFAULT_DISTRICT,
    as_: As = "district IT",
    role: Role = "district_it",
    as_json: Json = False,
) -> None:
    """Let a connection's pulls compare and publish nothing, or publish again."""

    async def work() -> None:
        async with gateway(district) as g:
            found = await registers.connection(g.store, g.district, name)
            await registers.set_shadow(g.store, g.district, found.id, on, actor(as_, role))

    run(work())
    say(
        {"connection": name, "shadow": on},
        as_json,
        f"{name} is in shadow: it publishes nothing." if on else f"{name} publishes.",
    )


def system_of_record(
    collection: Annotated[str, typer.Argument(help=", ".join(registers.RECORD_COLLECTIONS))],
    connection: Annotated[str, typer.Argument(help="Whose word counts.")],
    district: District = DEFAULT_DISTRICT,
    as_: As = "district IT",
    role: Role = "district_it",
    as_json: Json = False,
) -> None:
    """Choose which connection is the system of record of a collection."""

    async def choose() -> None:
        async with gateway(district) as g:
            found = await registers.connection(g.store, g.district, connection)
            await registers.set_system_of_record(g.store, g.district, collection, found.id, actor(as_, role))

    run(choose())
    say(
        {"collection": collection, "connection": connection},
        as_json,
        f"{connection} is now the system of record of {collection}; it takes effect with the next pull.",
    )
