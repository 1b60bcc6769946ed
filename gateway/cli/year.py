"""Commands about the change from one school year to the next: year, connections new-year, connections switch."""

from datetime import datetime
from typing import Annotated, Any

import typer

from gateway import clock, jobs, registry
from gateway.cli.checks import print_findings
from gateway.cli.connections import EndDate, connections, settings_of
from gateway.cli.output import (
    DEFAULT_DISTRICT,
    HELD,
    STDERR,
    STDOUT,
    As,
    Because,
    District,
    Gateway,
    Json,
    Role,
    actor,
    gateway,
    run,
    say,
    show,
)
from gateway.cli.runs import follow, report
from gateway.connector import Finding, is_secret, validated
from gateway.errors import ConfigError, PlanbridgeError
from gateway.store import notices, registers, successions, years
from gateway.store import runs as stored
from gateway.store.registers import Connection
from gateway.store.years import Seen
from gateway.trying import chosen, collects, try_out
from gateway.year import Change, listed

year = typer.Typer(help="The change from one school year to the next: announced, previewed, confirmed.")

COLUMNS = {
    "school": "school",
    "promoted": "promoted",
    "graduates": "graduate",
    "leavers": "leave",
    "sections_ended": "sections end",
    "enrollments_ended": "enrollments end",
    "sections_new": "new sections",
    "assignments_ended": "staff assignments end",
}


def register(app: typer.Typer) -> None:
    app.add_typer(year, name="year")
    connections.command("new-year")(new_year)
    connections.command("switch")(switch)


@year.command("announce")
def announce(
    last: Annotated[
        datetime, typer.Option("--last-day", formats=["%Y-%m-%d"], help="Last day of the old year, as 2027-06-14.")
    ],
    first: Annotated[
        datetime, typer.Option("--first-day", formats=["%Y-%m-%d"], help="First day of the new one, as 2027-08-16.")
    ],
    because: Because = "",
    district: District = DEFAULT_DISTRICT,
    as_: As = "district IT",
    role: Role = "district_it",
    as_json: Json = False,
) -> None:
    """Announce the change before the old year ends. Runs that pass a limit are held as ever, and say so; who ends is
    ended with a reason."""

    async def work() -> Change:
        async with gateway(district) as g:
            who = actor(as_, role)
            return await years.announce(g.store, g.district, last.date(), first.date(), because, who, clock.today())

    made = run(work())
    say(
        made.told() | {"highest_grade": made.highest_grade},
        as_json,
        f"Year change {made.id} is announced, from {made.last_day} to {made.first_day}. Students of grade "
        f"{made.highest_grade or '(none known)'} who end across it graduate, others leave. "
        "What it would do: planbridge year preview",
    )


@year.command("show")
def show_all(district: District = DEFAULT_DISTRICT, as_json: Json = False) -> None:
    """Show the year changes, and what of them was confirmed, by whom and why."""

    async def look() -> list[dict[str, Any]]:
        async with gateway(district) as g, g.store.transaction(g.district) as c:
            return await years.listed(c)

    show(run(look()), as_json, empty="No year change was announced.")


@year.command("cancel")
def cancel(
    because: Because = "",
    district: District = DEFAULT_DISTRICT,
    as_: As = "district IT",
    role: Role = "district_it",
    as_json: Json = False,
) -> None:
    """Take the announcement back; what was published stays."""

    async def work() -> Change:
        async with gateway(district) as g, g.store.transaction(g.district) as c:
            found = await years.needed(c, clock.today())
            await years.cancel(c, g.district, found, because, actor(as_, role))
            return found

    found = run(work())
    say({"year_change": found.id, "cancelled": True}, as_json, f"Year change {found.id} is cancelled.")


@year.command("preview")
def preview(
    district: District = DEFAULT_DISTRICT,
    as_: As = "district IT",
    role: Role = "district_it",
    as_json: Json = False,
) -> None:
    """Show, school by school, what the runs that are held would do; of every other connection, what a pull would do."""

    async def work() -> list[dict[str, Any]]:
        async with gateway(district) as g:
            async with g.store.transaction(g.district) as c:
                change = await years.needed(c, clock.today())
                concerned = await years.concerned(c)
            shown, seen = [], {}
            for one in await registers.connections(g.store, g.district):
                if one.id in concerned:
                    shown.append(await _previewed(g, one, as_, role, quiet=as_json))
                    if (found := shown[-1].pop("seen")) is not None and not one.shadow:
                        seen[one.id] = found
            async with g.store.transaction(g.district) as c:
                await years.see(c, change, seen)
            return shown

    found = run(work())
    if as_json:
        show(found, True)
        return
    for one in found:
        _print_preview(one)
    STDOUT.print('\nIf that is right: planbridge year confirm --because "..."', highlight=False)


async def _previewed(g: Gateway, one: Connection, as_: str, role: str, *, quiet: bool) -> dict[str, Any]:
    """What a connection would do, from the run that is held or else from a dry run."""
    async with g.store.transaction(g.district) as c:
        number = await stored.held(c, one.id)
        seen = await years.shown(c, number) if number is not None else None
    try:
        if seen is None or number is None:
            number = await jobs.request_pull(g.store, g.district, one.name, actor(as_, role), mode="dry")
            await follow(g, number, quiet=quiet)
    except PlanbridgeError as error:
        return {"connection": one.name, "run": None, "error": str(error), "schools": [], "seen": None}
    async with g.store.transaction(g.district) as c:
        [found] = await stored.summary(c, run=number)
        seen = await years.shown(c, number) or seen
    told = found["counts"]
    return {
        "connection": one.name,
        "run": number,
        "state": found["state"],
        "shadow": one.shadow,
        "takes_over": told.get("takes_over"),
        "error": found["error"],
        "reasons": [hold["reason"] for hold in (*found["holds"], *told.get("would_hold", ()))],
        "schools": told.get("year", {}).get("schools", []),
        "assignments": told.get("assignments", []),
        "seen": seen,
    }


def _print_preview(one: dict[str, Any]) -> None:
    STDOUT.print(f"\n[bold]{one['connection']}[/], run {one['run']}", highlight=False)
    if one["error"]:
        STDOUT.print(one["error"], highlight=False, markup=False)
        return
    if one["takes_over"]:
        STDOUT.print(f"It would take the place of {one['takes_over']}.", highlight=False)
    if one["shadow"]:
        STDOUT.print("It is in shadow: this is a rehearsal, and nothing to be confirmed.")
    rows = [{title: school[name] for name, title in COLUMNS.items()} for school in one["schools"]]
    show(rows, False, empty="Nothing of the year change.")
    if one["assignments"]:
        STDOUT.print(listed(one["assignments"]).strip(), highlight=False, markup=False)
    for why in one["reasons"]:
        STDOUT.print(f"It waits, or would: {why}", highlight=False, markup=False)


@year.command("confirm")
def confirm(
    because: Because = "",
    district: District = DEFAULT_DISTRICT,
    as_: As = "district IT",
    role: Role = "district_it",
    as_json: Json = False,
) -> None:
    """Publish exactly what was previewed, of every connection. What would do something else by now asks again."""

    async def work() -> list[dict[str, Any]]:
        async with gateway(district) as g:
            async with g.store.transaction(g.district) as c:
                change = await years.needed(c, clock.today())
                seen = await years.seen(c, change)
            ended = []
            for one in await registers.connections(g.store, g.district):
                if one.id in seen:
                    number = await _confirmed(g, one, change, seen[one.id], because, as_, role)
                    ended.append(await follow(g, number, quiet=as_json))
            return ended

    found = run(work())
    if as_json:
        show(found, True)
    for one in found if not as_json else ():
        STDOUT.print(f"{one['connection']}: run {one['id']} is {one['state']}.", highlight=False)
    if any(one["state"] == "held" for one in found):
        raise typer.Exit(HELD)
    if failed := [one for one in found if one["state"] == "failed"]:
        raise typer.Exit(failed[0]["exit_code"])


async def _confirmed(g: Gateway, one: Connection, change: Change, seen: Seen, because: str, as_: str, role: str) -> int:
    return await jobs.confirm_year(g.store, one, change, seen, actor(as_, role), because)


def new_year(
    old: Annotated[str, typer.Argument(help="The connection of the year that ends.")],
    new: Annotated[str, typer.Argument(help="What to call that of the new year.")],
    on: Annotated[
        datetime, typer.Option("--on", formats=["%Y-%m-%d"], help="The day on which it takes the old one's place.")
    ],
    given: Annotated[
        list[str] | None,
        typer.Option("--set", help="What differs: field=value; a secret as field=env:NAME or field=file:PATH."),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Save it also where the trial fails.")] = False,
    ends: EndDate = None,
    district: District = DEFAULT_DISTRICT,
    as_: As = "district IT",
    role: Role = "district_it",
    as_json: Json = False,
) -> None:
    """Clone a connection for the new year, without its secrets. It is tried, then pulled in shadow beside the old one,
    and takes its place on a day."""

    async def work() -> list[Finding]:
        async with gateway(district) as g:
            found = await registers.connection(g.store, g.district, old)
            kind = registry.connector(found.connector)
            plain, hidden = settings_of(kind, given or [], ask=False)
            _ask_secrets(found, hidden, ask=STDERR.is_terminal and not as_json)
            settings = validated(kind.settings, found.settings | plain | hidden)
            findings = await try_out(kind, settings, await collects(g.store, found), await chosen(g.store, found))
            wrong = [finding for finding in findings if not finding.ok]
            if wrong and not yes:
                raise ConfigError(
                    "check-failed", f"Nothing was saved: {wrong[0].text}", wrong[0].fix or "Mend it and try again."
                )
            dumped = {k: v for k, v in settings.model_dump(mode="json").items() if k not in hidden}
            who = actor(as_, role)
            made = await successions.clone(g.store, found, new, dumped, hidden, on.date(), who)
            if ends is not None:
                await notices.set_end_date(
                    g.store, await registers.connection(g.store, g.district, made), ends.date(), who
                )
            return findings

    findings = run(work())
    if as_json:
        show([vars(finding) for finding in findings], True)
        return
    print_findings(findings)
    STDOUT.print(
        f"{new} is in shadow beside {old} and takes its place on {on:%Y-%m-%d}. What that would do: "
        f"planbridge pull {new}",
        highlight=False,
    )


def _ask_secrets(old: Connection, hidden: dict[str, str], *, ask: bool) -> None:
    """The clone has secrets of its own: whatever the old one has is asked for, and never taken from it."""
    fields = registry.connector(old.connector).settings.model_fields
    for name in old.secrets:
        if name not in hidden and is_secret(fields[name]):
            if not ask:
                raise ConfigError(
                    "secret-not-given",
                    f"The new connection has no {name}: secrets are never copied.",
                    f"Give it as --set {name}=env:NAME or --set {name}=file:PATH.",
                )
            hidden[name] = typer.prompt(name, hide_input=True, err=True)


def switch(
    new: Annotated[str, typer.Argument(help="The connection of the new year.")],
    now: Annotated[bool, typer.Option("--now", help="Take the old one's place now.")] = False,
    on: Annotated[
        datetime | None, typer.Option("--on", formats=["%Y-%m-%d"], help="Another day; until then back into shadow.")
    ] = None,
    district: District = DEFAULT_DISTRICT,
    as_: As = "district IT",
    role: Role = "district_it",
    as_json: Json = False,
) -> None:
    """Let a new year's connection take the place of the old one now, or on another day."""
    if now == (on is not None):
        raise ConfigError("switch-when", "It is not clear when to switch.", "Give either --now or --on with a day.")

    async def work() -> dict[str, Any]:
        async with gateway(district) as g:
            found = await registers.connection(g.store, g.district, new)
            async with g.store.transaction(g.district) as c:
                plan = await successions.planned(c, found)
                if on is not None:
                    await successions.postpone(c, found, on.date(), actor(as_, role))
                    return {"connection": new, "on": on.date()}
            number = await jobs.switch(g.store, found, actor(as_, role))
            if number is None:  # its day has come, and what it would do waits
                number = await jobs.request_pull(g.store, g.district, new, actor(as_, role))
            return await follow(g, number, quiet=as_json) | {"old": plan["old"]}

    found = run(work())
    if on is not None:
        say(found, as_json, f"{new} takes the place of the old connection on {on:%Y-%m-%d}.")
        return
    report(found, as_json)
    if not as_json:
        STDOUT.print(f"{new} has taken the place of {found['old']}, which rests now.", highlight=False)
