"""Commands about what was: history, undo, why, precedence."""

from dataclasses import asdict
from datetime import datetime
from typing import Annotated, Any

import typer

from gateway import jobs, provenance
from gateway.cli.output import (
    DEFAULT_DISTRICT,
    STDOUT,
    As,
    Because,
    District,
    Json,
    Role,
    actor,
    gateway,
    moment,
    run,
    say,
    show,
)
from gateway.cli.runs import follow, report
from gateway.errors import ConfigError
from gateway.store import history as stored
from gateway.store import registers
from gateway.store.runs import Mode

history = typer.Typer(help="What a run changed, and how a record looked on a day.", no_args_is_help=True)
precedence = typer.Typer(help="Whose word counts for a single field.", invoke_without_command=True)

Kind = Annotated[str, typer.Argument(help="person, class, enrollment ...")]
Entity = Annotated[str, typer.Argument(help="The entity's id.")]


def register(app: typer.Typer) -> None:
    app.add_typer(history, name="history")
    app.command()(undo)
    app.command()(why)
    app.add_typer(precedence, name="precedence")


@history.command("run")
def history_run(number: int, limit: int = 50, district: District = DEFAULT_DISTRICT, as_json: Json = False) -> None:
    """Show what a run changed: counts, and each entity with the fields that differ."""

    async def look() -> dict[str, Any]:
        async with gateway(district) as g:
            return {
                "counts": await stored.counts_by(g.store, g.district, number),
                "changes": await stored.changed_by(g.store, g.district, number, limit),
            }

    found = run(look())
    if as_json:
        show(found, True)
        return
    show(found["counts"], False, empty="It changed nothing.")
    if found["changes"]:
        show(found["changes"], False)


@history.command("entity")
def history_entity(
    kind: Kind,
    id: Entity,
    on: Annotated[
        datetime | None, typer.Option("--on", parser=moment, help="How it was then; UTC unless it says otherwise.")
    ] = None,
    district: District = DEFAULT_DISTRICT,
    as_json: Json = False,
) -> None:
    """Show how an entity was on a day, or every change of it, newest first."""

    async def look() -> Any:
        async with gateway(district) as g:
            if on is not None:
                return await stored.as_of(g.store, g.district, kind, id, on)
            return await stored.changes_of(g.store, g.district, kind, id)

    found = run(look())
    if on is None:
        show(found, as_json, empty="It never changed, or there is no such entity.")
    elif found is None:
        raise ConfigError("entity-unknown", f"No such {kind} was published then.", "Leave out --on to see when it was.")
    else:
        show(found if as_json else [{"field": name, "value": value} for name, value in found.items()], as_json)


def undo(
    number: Annotated[int, typer.Argument(help="The first run to be undone.")],
    preview: Annotated[bool, typer.Option("--preview", help="Say what it would do, and do nothing.")] = False,
    because: Because = "",
    district: District = DEFAULT_DISTRICT,
    as_: As = "district IT",
    role: Role = "district_it",
    as_json: Json = False,
) -> None:
    """Undo a run and every later one of its connection. The connection then waits until somebody resumes it."""

    async def work() -> dict[str, Any]:
        async with gateway(district) as g:
            mode: Mode = "dry" if preview else "publish"
            made = await jobs.request_undo(g.store, g.district, number, actor(as_, role), because, mode=mode)
            outcome = await follow(g, made, quiet=as_json)
            return outcome | {"deliver_again": await stored.compensations(g.store, g.district, made)}

    outcome = run(work())
    report(outcome, as_json)
    if as_json:
        return
    if outcome["deliver_again"]:
        STDOUT.print(
            "\nThese were delivered since, about students who are now as before. To send them as they are now:"
        )
        for one in outcome["deliver_again"]:
            STDOUT.print(f"  planbridge plan push {one['plan']} {one['destination']}", highlight=False)
    if not preview:
        name = outcome["connection"]
        STDOUT.print(
            f"{name} rests now, or its next pull would publish the same again. Mend the source, look at a dry run "
            f"(planbridge connections resume {name}; planbridge pull {name} --dry-run), then pull."
        )


def why(
    kind: Kind,
    id: Entity,
    field: Annotated[str | None, typer.Argument(help="One field; else all.")] = None,
    district: District = DEFAULT_DISTRICT,
    as_json: Json = False,
) -> None:
    """Say where each value of an entity comes from, and what other sources say."""

    async def look() -> list[provenance.Provenance]:
        async with gateway(district) as g:
            return await provenance.why(g.store, g.district, kind, id, field)

    found = run(look())
    if as_json:
        show([asdict(one) for one in found], True)
        return
    for one in found:
        STDOUT.print(f"[bold]{one.field}[/]: {one.value!r} ({one.because})", highlight=False)
        for origin in one.origins:
            STDOUT.print(f"  from {_told(origin)}", highlight=False, markup=False)
        for origin in one.others:
            STDOUT.print(f"  and {origin.value!r} in {_told(origin)}", highlight=False, markup=False)


def _told(origin: provenance.Origin) -> str:
    fields = f" ({', '.join(origin.source_fields)})" if origin.source_fields else ""
    return f"{origin.connection} {origin.collection} {origin.record}{fields}, run {origin.run}, {origin.mapping}"


@precedence.callback()
def precedence_list(context: typer.Context, district: District = DEFAULT_DISTRICT, as_json: Json = False) -> None:
    """List the fields for which the district chose whose word counts."""
    if context.invoked_subcommand is not None:
        return

    async def look() -> list[dict[str, Any]]:
        async with gateway(district) as g:
            names = {one.id: one.name for one in await registers.connections(g.store, g.district)}
            async with g.store.transaction(g.district) as c:
                chosen = await registers.survivors(c)
            return [
                {"field": f"{kind}.{field}", "connections": ", ".join(names[one] for one in first)}
                for kind, fields in chosen.items()
                for field, first in fields.items()
            ]

    show(run(look()), as_json, empty="Everywhere the system of record counts first, then whoever was connected first.")


@precedence.command("set")
def precedence_set(
    field: Annotated[str, typer.Argument(help="kind.field, for instance person.email.")],
    connections: Annotated[
        list[str] | None, typer.Argument(help="First the one that counts most; none: usual.")
    ] = None,
    district: District = DEFAULT_DISTRICT,
    as_: As = "district IT",
    role: Role = "district_it",
    as_json: Json = False,
) -> None:
    """Choose whose word counts for a field. It takes effect with the next pull of any connection."""

    async def work() -> None:
        async with gateway(district) as g:
            ids = [(await registers.connection(g.store, g.district, name)).id for name in connections or []]
            kind, _, name = field.partition(".")
            await registers.set_survivors(g.store, g.district, kind, name, ids, actor(as_, role))

    run(work())
    say(
        {"field": field, "connections": connections or []},
        as_json,
        f"Set for {field}; it takes effect with the next pull.",
    )
