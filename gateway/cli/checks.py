"""Trying a connected system: what a check says, what is learnt from it and kept, and the mail to its vendor."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Annotated, Any

import typer
from rich.markup import escape

from gateway import collecting, identifiers, registry
from gateway.cli.output import DEFAULT_DISTRICT, STDOUT, District, Json, actor, gateway, run, show
from gateway.collecting import Reason
from gateway.connected import opened
from gateway.connector import Checking, ConnectionSettings, Connector, Finding, validated
from gateway.errors import ConfigError, PlanbridgeError
from gateway.http import Http, MemoryTokens, Pace
from gateway.identifiers import sentences
from gateway.store import collected, deliveries, registers
from gateway.store.database import Store


def check(
    name: str,
    dry: Annotated[bool, typer.Option("--dry", help="Only look: keep nothing of what is learnt.")] = False,
    letter: Annotated[bool, typer.Option("--letter", help="Print the mail to the vendor: what to ask for.")] = False,
    district: District = DEFAULT_DISTRICT,
    as_json: Json = False,
) -> None:
    """Say in plain words what is right and what is wrong with a connection. What it learns is kept as settings where
    nobody has set them; a pause for refused credentials is lifted when all is right."""

    who = actor("planbridge check", "system")

    async def look() -> tuple[list[Finding], Mapping[str, Any]]:
        async with gateway(district) as g:
            found = await registers.connection(g.store, g.district, name)
            reasons, profile = await collects(g.store, found), await chosen(g.store, found)
            async with opened(g.store, found) as (kind, settings, http):
                findings = await _seen(kind, settings, http, reasons, profile)
            async with g.store.transaction(g.district) as c:
                by = await identifiers.seen(c, found.id)
            findings += [Finding(True, " ".join(sentences(*one))) for one in by.items()]
            settings, news = learnt(kind, settings, findings)
            now = await registers.connection(g.store, g.district, found.id)
            if news and not dry and (now.settings, now.secrets) != (found.settings, found.secrets):
                news = {}
                findings.append(
                    Finding(
                        False, "Its settings were changed meanwhile, so nothing of this is kept.", "Check it again."
                    )
                )
            elif news and not dry:
                dumped = {k: v for k, v in settings.model_dump(mode="json").items() if k not in found.secrets}
                await registers.change_settings(g.store, found, dumped, found.secrets, who)
            if found.paused_code == "credentials" and all(finding.ok for finding in findings) and not dry:
                await registers.resume(g.store, g.district, found.id, who)
                findings.append(Finding(True, "The pause is lifted."))
            return findings, news

    if letter:
        STDOUT.print(escape(run(_written(name, district))), highlight=False, soft_wrap=True)
        return
    findings, news = run(look())
    if as_json:
        show([vars(finding) for finding in findings], True)
    else:
        print_findings(findings)
        print_learnt(news, dry=dry)
    if any(not finding.ok for finding in findings):
        raise typer.Exit(ConfigError.exit_code)


async def collects(store: Store, connection: registers.Connection) -> dict[str, Reason]:
    """What a connection collects beyond roster and results, and why."""
    async with store.transaction(connection.district) as c:
        return await collected.reasons(c, connection.id)


async def try_out(
    kind: Connector,
    settings: Any,
    reasons: Mapping[str, Reason] | None = None,
    profile: Mapping[str, Any] | None = None,
) -> list[Finding]:
    """Talk to the system as these settings say, and report. `reasons`: what is collected beyond roster and results;
    `profile`: what a destination gets."""
    async with Http(
        kind.auth(settings),
        tokens=MemoryTokens(),
        network=settings.network,
        in_flight=settings.in_flight,
        pace=Pace(settings.requests_per_second),
        timeout=settings.patience,
    ) as http:
        return await _seen(kind, settings, http, reasons or {}, profile or {})


async def _seen(
    kind: Connector,
    settings: ConnectionSettings,
    http: Http,
    reasons: Mapping[str, Reason],
    profile: Mapping[str, Any],
) -> list[Finding]:
    """What a check sees. Something that the delivery profile leaves out is no fault where it is not possible."""
    found = [*await _asked(kind, settings, http, reasons), *_collected(kind, reasons), *_opened(settings)]
    off = {one.choice for one in found} - {name for name, value in profile.items() if value} - {""}
    return [replace(one, ok=True, fix="") if one.choice in off else one for one in found]


async def _asked(
    kind: Connector, settings: ConnectionSettings, http: Http, reasons: Mapping[str, Reason]
) -> Sequence[Finding]:
    """What the system itself says; one that is only written to is asked by whoever writes to it."""
    if kind.open_source is None:
        assert kind.open_sink is not None
        sink = await kind.open_sink(settings, http)
        try:
            return await sink.check() if isinstance(sink, Checking) else []
        finally:
            await sink.close()
    source = await kind.open_source(settings, http)
    try:
        collecting.open_for(source, reasons)
        return await source.check()
    finally:
        await source.close()


async def chosen(store: Store, connection: registers.Connection) -> Mapping[str, Any]:
    """The delivery profile of a connection; empty where it is no destination."""
    async with store.transaction(connection.district) as c:
        return await deliveries.profile(c, connection.id) or {}


def _collected(kind: Connector, reasons: Mapping[str, Reason]) -> list[Finding]:
    """What is read beyond roster and results: whoever reads the check sees the purpose again."""
    found = [
        Finding(True, f"{group} is collected: {why.purpose}" + (f" (basis: {why.basis})" if why.basis else ""))
        for group, why in reasons.items()
    ]
    if off := [group for group in collecting.offered(kind) if group not in reasons]:
        found.append(Finding(True, f"Not collected, and not asked for: {', '.join(off)}."))
    return found


def _opened(settings: ConnectionSettings) -> list[Finding]:
    """What is reached although it is not on the public internet: whoever reads the check sees the reason again."""
    return [
        Finding(True, f"{one.place} is allowed although it is private: {one.reason}.")
        for one in settings.network.private
    ]


def learnt(kind: Connector, settings: Any, findings: Sequence[Finding]) -> tuple[Any, Mapping[str, Any]]:
    """The settings with what a check proposes where nobody has set anything, and what that is."""
    proposed = {name: value for finding in findings for name, value in finding.propose.items()}
    fields = kind.settings.model_fields
    news = {
        name: value
        for name, value in proposed.items()
        if getattr(settings, name) == fields[name].default and value != fields[name].default
    }
    if not news:
        return settings, news
    # From what is set, so that defaults stay what they are; dumping would hide the secrets.
    return validated(kind.settings, {name: getattr(settings, name) for name in fields} | news), news


def print_findings(findings: Sequence[Finding]) -> None:
    for finding in findings:
        mark = "[green]ok   [/]" if finding.ok else "[red]wrong[/]"
        STDOUT.print(f"{mark} {escape(f'{finding.text} {finding.fix}'.strip())}", highlight=False)


def print_learnt(news: Mapping[str, Any], *, dry: bool = False) -> None:
    if news:
        words = ", ".join(f"{name}={value or 'empty'}" for name, value in news.items())
        STDOUT.print(escape(f"{'It would be kept' if dry else 'Kept'} as settings: {words}"), highlight=False)


async def _written(name: str, district: str) -> str:
    """The mail to the vendor, with what a check saw where the system can be reached."""
    async with gateway(district) as g:
        found = await registers.connection(g.store, g.district, name)
        kind = registry.connector(found.connector)
        if kind.letter is None:
            raise ConfigError(
                "letter-unknown",
                f"There is no letter for {kind.title}.",
                "Its README names what to ask the vendor for.",
            )
        reasons, profile = await collects(g.store, found), await chosen(g.store, found)
        async with opened(g.store, found) as (kind, settings, http):
            assert kind.letter is not None
            try:
                findings = await _seen(kind, settings, http, reasons, profile)
            except PlanbridgeError as error:
                findings = [Finding(False, error.message, error.fix)]
            return kind.letter(settings, findings, reasons)
