"""Commands about what was set aside: by cause, one by one without its values, read again."""

import json
from typing import Annotated, Any

import typer

from gateway import rejects
from gateway.cli.output import (
    DEFAULT_DISTRICT,
    HELD,
    STDOUT,
    As,
    District,
    Gateway,
    Json,
    Role,
    actor,
    gateway,
    run,
    show,
)
from gateway.cli.runs import follow, print_run
from gateway.errors import ConfigError
from gateway.masking import masked, tail
from gateway.store import history, reading
from gateway.store import rejects as stored
from gateway.store.runs import Mode

group = typer.Typer(help="What could not be read, mapped, matched or resolved, by cause.", invoke_without_command=True)

HOW = "`planbridge rejects` lists the causes, `planbridge rejects --rows` the records."

Cause = Annotated[str | None, typer.Option("--cause", help="All of one cause.")]
Preview = Annotated[bool, typer.Option("--preview", help="Say what it would do, and publish nothing.")]


def register(app: typer.Typer) -> None:
    app.add_typer(group, name="rejects")


@group.callback()
def list_rejects(
    context: typer.Context,
    number: Annotated[int | None, typer.Option("--run", help="Of one run; else what is set aside now.")] = None,
    rows: Annotated[bool, typer.Option("--rows", help="Each record, not only the causes.")] = False,
    cause: Cause = None,
    district: District = DEFAULT_DISTRICT,
    as_json: Json = False,
) -> None:
    """Show what could not be read, mapped, matched or resolved, by cause."""
    if context.invoked_subcommand is not None:
        return

    async def look() -> dict[str, Any]:
        async with gateway(district) as g:
            async with g.store.transaction(g.district) as c:
                if rows or cause or number is not None:
                    found = await stored.rows(c, run=number, cause=cause, limit=10_000)
                    aside = [one | {"key": tail(one["key"])} for one in found]
                else:
                    aside = await rejects.with_news(g.store, c, g.district, await stored.causes(c))
                waiting = await stored.waiting(c)
            return {
                "set_aside": aside,
                "waiting": waiting,
                "differences": await reading.differences(g.store, g.district),
            }

    found = run(look())
    if as_json:
        show(found, True)
        return
    show(found["set_aside"], False, title="Set aside", empty="No record was set aside.")
    if any(one.get("read_differently") for one in found["set_aside"]):
        STDOUT.print("Some would be read differently now. To see what: planbridge rejects replay --all --preview")
    show(found["waiting"], False, title="\nWaiting", empty="No record waits for another.")
    show(found["differences"], False, title="\nSaid differently by a second source", empty="No source disagrees.")


@group.command("show")
def show_one(
    id: Annotated[int | None, typer.Argument(help="One reject.")] = None,
    waiting: Annotated[str | None, typer.Option("--waiting", help="Instead: what waits for this code.")] = None,
    limit: int = 20,
    district: District = DEFAULT_DISTRICT,
    as_json: Json = False,
) -> None:
    """Show a record that was set aside, or that waits: its place, why, and its payload without its values."""
    if (id is None) == (waiting is None):
        raise ConfigError("reject-unknown", "Give the number of one reject, or --waiting CODE.", HOW)

    async def look() -> Any:
        async with gateway(district) as g:
            if id is not None:
                return await rejects.look(g.store, g.district, id)
            async with g.store.transaction(g.district) as c:
                found = await stored.waiting_rows(c, waiting or "", limit)
            return [
                one | {"key": tail(one["key"]), "payload": None if one["body"] is None else masked(one["body"])}
                for one in found
            ]

    found = run(look())
    shown = [{k: v for k, v in one.items() if k != "body"} for one in (found if isinstance(found, list) else [found])]
    if as_json:
        show(shown[0] if id is not None else shown, True)
        return
    for one in shown:
        payload = one.pop("payload")
        show([{"what": name, "value": value} for name, value in one.items()], False)
        STDOUT.print(
            "Its payload was purged." if payload is None else json.dumps(payload, indent=2, ensure_ascii=False),
            markup=False, highlight=False,
        )  # fmt: skip
    if not shown:
        STDOUT.print("Nothing waits for that.")


@group.command("replay")
def replay(
    id: Annotated[int | None, typer.Argument(help="One reject.")] = None,
    cause: Cause = None,
    everything: Annotated[bool, typer.Option("--all", help="All that are set aside now.")] = False,
    preview: Preview = False,
    district: District = DEFAULT_DISTRICT,
    as_: As = "district IT",
    role: Role = "district_it",
    as_json: Json = False,
) -> None:
    """Read what was set aside once more, as mapping, codes and overrides are now. What waits is retried by each run."""
    if (id is not None) + (cause is not None) + everything != 1:
        raise ConfigError("cause-unknown", "Name one reject, --cause CAUSE, or --all.", HOW)

    async def work() -> list[dict[str, Any]]:
        async with gateway(district) as g:
            mode: Mode = "dry" if preview else "publish"
            asked = await rejects.replay(g.store, g.district, actor(as_, role), cause=cause, id=id, mode=mode)
            for one in asked:
                if one.refused:
                    STDOUT.print(f"{one.connection}: {one.refused}", markup=False, highlight=False)
            return await followed(g, [one.run for one in asked if one.run is not None], quiet=as_json)

    outcomes(run(work()), as_json)


async def followed(g: Gateway, runs: list[int], *, quiet: bool) -> list[dict[str, Any]]:
    """How each run ended; of one that only compared, also what it would change."""
    ends = []
    for number in runs:
        end = await follow(g, number, quiet=quiet)
        if end["state"] == "compared":
            end["changes"] = await history.previewed(g.store, g.district, number, 50)
        ends.append(end)
    return ends


def outcomes(ends: list[dict[str, Any]], as_json: bool) -> None:
    """Show how replays ended; leave with the exit code of the first that did not end well."""
    if as_json:
        show(ends, True)
    for end in ends:
        if not as_json:
            print_run(end)
            for collection, gone in end["payload_gone"].items():
                STDOUT.print(
                    f"{gone} {collection} wait for the next whole pull: their payloads were purged.", highlight=False
                )
            if end["state"] == "compared":
                show(end["changes"], False, empty="It would change nothing.")
    for end in ends:
        if end["state"] in ("held", "failed"):
            raise typer.Exit(HELD if end["state"] == "held" else end["exit_code"])
