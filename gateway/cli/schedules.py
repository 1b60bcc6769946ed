"""Commands about what happens by itself: schedule, status."""

from datetime import datetime, timedelta
from typing import Annotated, Any
from zoneinfo import ZoneInfo

import typer

from gateway import clock, schedules
from gateway.cli.output import (
    DEFAULT_DISTRICT,
    STDOUT,
    As,
    District,
    Json,
    Role,
    actor,
    gateway,
    installation,
    run,
    say,
    show,
)
from gateway.errors import ConfigError
from gateway.status import ConnectionState, late
from gateway.store import registers, states, workers
from gateway.store import schedules as stored

LATE = 1
"""Exit code of `status` when a connection is late: what outside monitors look at."""


def register(app: typer.Typer) -> None:
    app.command()(status)
    app.add_typer(schedule, name="schedule", help="When connections are pulled by themselves.")


schedule = typer.Typer(no_args_is_help=True)


@schedule.command("set")
def schedule_set(
    name: Annotated[str, typer.Argument(help="Which connection.")],
    cron: Annotated[str, typer.Option(help="Minute, hour, day, month, day of the week: '0 2 * * *' is nightly at 2.")],
    zone: Annotated[str, typer.Option(help="Time zone the cron is read in, as in America/Chicago.")],
    jitter: Annotated[
        str, typer.Option(help="Begin up to so much later, each night by another part of it: 10m.")
    ] = "0s",
    window: Annotated[str, typer.Option(help="Only at this time of day, as in 20:00-06:00.")] = "",
    limit: Annotated[
        str | None, typer.Option(help="Late after so much silence; else the longest pause of the cron and 2h.")
    ] = None,
    district: District = DEFAULT_DISTRICT,
    as_: As = "district IT",
    role: Role = "district_it",
    as_json: Json = False,
) -> None:
    """Pull a connection by itself from now on. To pull it now: planbridge pull."""
    wanted = schedules.read(cron, zone, jitter, window)
    silence = wanted.limit(clock.today()) if limit is None else schedules.duration(limit)
    if not silence:
        raise ConfigError("duration-invalid", "A limit of nothing is always passed.", "Write it like 26h.")

    async def work() -> datetime:
        async with gateway(district) as g:
            connection = await registers.connection(g.store, g.district, name)
            return await stored.save(g.store, connection, wanted, silence, actor(as_, role))

    first = run(work())
    say(
        {"connection": name, "next_due_at": first, "limit_seconds": int(silence.total_seconds())},
        as_json,
        f"{name} is due first on {_local(first, zone)}. It is late after {_span(silence)} without a good sync.",
    )


@schedule.command("list")
def schedule_list(district: District = DEFAULT_DISTRICT, as_json: Json = False) -> None:
    """List the schedules of the connections."""

    async def look() -> list[dict[str, Any]]:
        async with gateway(district) as g, g.store.transaction(g.district) as c:
            return await stored.listed(c)

    found = run(look())
    if not as_json:
        for row in found:
            row["jitter"] = _span(timedelta(seconds=row["jitter_seconds"]))
            row["next_due"] = _local(row["next_due_at"], row["zone"]) if row["enabled"] else "off"
            row["last"] = row["last_skipped"] or (f"run {row['last_run']}" if row["last_run"] else "")
    columns = ("connection", "cron", "zone", "jitter", "window", "next_due", "last")
    show(found, as_json, columns=columns, empty="No connection is on a schedule.")


@schedule.command("off")
def schedule_off(
    name: Annotated[str, typer.Argument(help="Which connection.")],
    district: District = DEFAULT_DISTRICT,
    as_: As = "district IT",
    role: Role = "district_it",
    as_json: Json = False,
) -> None:
    """Pull a connection by itself no more. Its silence is watched as before."""

    async def work() -> None:
        async with gateway(district) as g:
            await stored.switch_off(g.store, await registers.connection(g.store, g.district, name), actor(as_, role))

    run(work())
    say({"connection": name, "enabled": False}, as_json, f"{name} is off its schedule.")


def status(
    max_age: Annotated[
        str | None, typer.Option(help="Late after so much silence, whatever each connection's own limit is: 26h.")
    ] = None,
    district: Annotated[
        str | None, typer.Option("--district", envvar="PLANBRIDGE_DISTRICT", help="Only this one; else all.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Show how every connection stands; for monitors: ends with 1 and names what is late, as long as anything is."""
    most = None if max_age is None else schedules.duration(max_age)

    async def look() -> tuple[list[ConnectionState], bool]:
        async with installation() as (store, settings):
            found = await states.read(store)
            alive = await workers.alive(store, settings.takeover_seconds)
            return [state for state in found if district in (None, state.district_name)], alive

    found, alive = run(look())
    if max_age is not None and not any(state.watched for state in found):
        # A monitor that watches nothing would be content for ever.
        raise ConfigError("nothing-watched", "No connection is pulled here.", "Check the district and the database.")
    behind = late(found, most)
    if as_json:
        rows = [_document(state, state in behind) for state in found]
        show({"worker": alive, "late": [state.name for state in behind], "connections": rows}, True)
    else:
        show(
            [_row(state, state in behind) for state in found],
            False,
            empty="No system is connected. Begin with: planbridge connect",
        )
        if not alive:
            STDOUT.print("No worker is alive: what is due or queued waits.")
        for state in found:
            if state.failing_since:
                STDOUT.print(
                    f"Failing: {state.name} ({state.district_name}) since {state.failing_since:%Y-%m-%d %H:%M} UTC; "
                    f"what is wrong now: planbridge check {state.name}",
                    highlight=False,
                )
        for state in behind:
            limit = _span(most or state.limit)
            STDOUT.print(
                f"Late: {state.name} ({state.district_name}), silent for {_span(state.silence)}; the limit is {limit}.",
                highlight=False,
            )
    if behind:
        raise typer.Exit(LATE)


def _document(state: ConnectionState, is_late: bool) -> dict[str, Any]:
    """A state as machines read it; durations in seconds."""
    spans = {"limit": state.limit, "age": state.age, "silence": state.silence}
    return {
        **{name: value for name, value in vars(state).items() if name != "limit"},
        **{f"{name}_seconds": None if span is None else int(span.total_seconds()) for name, span in spans.items()},
        "late": is_late,
        "waits_for": state.waits_for,
    }


def _times(number: int) -> str:
    return "once" if number == 1 else f"{number} times"


def _row(state: ConnectionState, is_late: bool) -> dict[str, Any]:
    facts = (
        ("late", is_late),
        (f"paused: {state.paused_because}", state.paused_because),
        (f"run {state.held_run} is held", state.held_run),
        ("removals are held", state.removals_held),
        (f"{state.overwritten} delivered objects did not stay", state.overwritten),
        (f"failed {_times(state.failures)}: {state.error_code}", state.failing_since),
        (f"run {state.under_way} is under way", state.under_way),
        ("in shadow", state.shadow),
        (f"blackout until {state.quiet_until}", state.in_blackout),
        (f"not pulled when last due: {state.last_skipped}", state.last_skipped),
    )
    return {
        "district": state.district_name,
        "connection": state.name,
        "last_good_sync": "never" if state.age is None else f"{_span(state.age)} ago",
        "next_due": "" if state.next_due_at is None else f"in {_span(max(state.next_due_at - state.at, timedelta(0)))}",
        "state": "; ".join(fact for fact, so in facts if so) or "well",
    }


def _span(span: timedelta) -> str:
    """A duration in its two largest units."""
    minutes, seconds = divmod(int(span.total_seconds()), 60)
    hours, minutes = divmod(minutes, 60)
    if hours >= 48:
        return f"{hours // 24} d {hours % 24} h"
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min" if minutes else f"{seconds} s"


def _local(moment: datetime, zone: str) -> str:
    return f"{moment.astimezone(ZoneInfo(zone)):%Y-%m-%d %H:%M %Z}"
