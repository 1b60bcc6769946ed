"""Trying a connected system: what a check says, what is learnt from it and kept, and the mail to its vendor."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import typer
from rich.markup import escape

from gateway import identifiers, registry
from gateway.cli.output import DEFAULT_DISTRICT, STDOUT, District, Json, actor, gateway, run, show
from gateway.connected import opened
from gateway.connector import Finding
from gateway.errors import ConfigError, PlanbridgeError
from gateway.identifiers import sentences
from gateway.store import registers
from gateway.trying import chosen, collects, learnt, seen


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
                findings = await seen(kind, settings, http, reasons, profile)
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
                findings = await seen(kind, settings, http, reasons, profile)
            except PlanbridgeError as error:
                findings = [Finding(False, error.message, error.fix)]
            return kind.letter(settings, findings, reasons)
