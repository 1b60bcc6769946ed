"""Commands about runs: pull, runs, holds, students."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Annotated, Any

import typer
from rich.progress import BarColumn, Progress, TaskID, TextColumn

from gateway import jobs, messages, worker
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
from gateway.errors import ConfigError
from gateway.identifiers import sentences
from gateway.masking import place
from gateway.quality import counted
from gateway.store import history, notices, quality, reading, workers
from gateway.store import runs as stored
from gateway.store.database import Transaction

OVER = ("held", "published", "compared", "failed", "refused", "superseded")


def register(app: typer.Typer) -> None:
    app.command()(pull)
    app.command("runs")(list_runs)
    app.add_typer(holds, name="holds")
    app.command()(students)


def pull(
    name: Annotated[str, typer.Argument(help="Which connection.")],
    wait: Annotated[bool, typer.Option(help="Wait for the end and show it.")] = True,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what it would do, and publish nothing.")] = False,
    whole: Annotated[
        bool, typer.Option("--whole", help="Ask for everything, also where the system can tell what changed.")
    ] = False,
    district: District = DEFAULT_DISTRICT,
    as_: As = "district IT",
    role: Role = "district_it",
    as_json: Json = False,
) -> None:
    """Pull a connection: what it says is staged, judged as a whole, and published or held."""

    async def work() -> dict[str, Any]:
        async with gateway(district) as g:
            mode: stored.Mode = "dry" if dry_run else "publish"
            number = await jobs.request_pull(g.store, g.district, name, actor(as_, role), mode=mode, whole=whole)
            if not wait:
                return {"id": number, "state": "queued", "connection": name}
            return await follow(g, number, quiet=as_json)

    outcome = run(work())
    report(outcome, as_json)


def report(outcome: dict[str, Any], as_json: bool) -> None:
    """Show how a run ended; leave with the exit code that says so."""
    if as_json:
        show(outcome, True)
    elif outcome["state"] == "queued":
        STDOUT.print(f"Run {outcome['id']} is queued.")
    else:
        print_run(outcome)
    if outcome["state"] == "held":
        raise typer.Exit(HELD)
    if outcome["state"] == "failed":
        raise typer.Exit(outcome["exit_code"])


async def follow(g: Gateway, number: int, *, quiet: bool = False) -> dict[str, Any]:
    """Wait for a run's end with a progress bar."""
    bars = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.completed:,.0f} {task.fields[of]}"),
        console=STDERR,
        transient=True,
        disable=quiet or not STDERR.is_terminal,
    )
    shown: dict[str, TaskID] = {}
    async with working(g) as pause:
        with bars:
            while True:
                async with g.store.transaction(g.district) as c:
                    [found] = await stored.summary(c, run=number)
                    for collection, (rows, total) in (await stored.progress(c, number)).items():
                        if collection not in shown:
                            shown[collection] = bars.add_task(collection, total=total, of="")
                        bars.update(shown[collection], completed=rows, of=f"of {total:,}" if total else "")
                if found["state"] in OVER:
                    await jobs.check_quality(g.store, g.district, number)  # waits for a worker that is at it
                    async with g.store.transaction(g.district) as c:
                        return await told(c, found)
                await pause()


@asynccontextmanager
async def working(g: Gateway) -> AsyncIterator[Callable[[], Awaitable[None]]]:
    """Somebody works on the queue: a worker that lives, else this process while it waits. Gives a short pause."""
    own = None
    if not await workers.alive(g.store, g.settings.takeover_seconds):
        own = asyncio.create_task(worker.work(g.store, g.settings, scheduled=False))

    async def pause() -> None:
        if own is not None and own.done():
            own.result()
        await asyncio.sleep(0.2)

    try:
        yield pause
    finally:
        if own is not None:
            own.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await own


async def told(c: Transaction, found: dict[str, Any]) -> dict[str, Any]:
    """The run with the message that people get about it, if they get one; of keys no more than their ends."""
    message = messages.of_run(found, await notices.standing(c, found["id"]))
    lenient = [one | {"examples": [place(example) for example in one["examples"]]} for one in found["leniencies"]]
    looked = await quality.severities(c, found["id"])
    return found | {"message": message and message.parts(), "leniencies": lenient, "quality": looked}


def print_run(found: dict[str, Any]) -> None:
    """A run's outcome for people: what came, what it did, what there is to do."""
    STDOUT.print(f"Run {found['id']} of [bold]{found['connection']}[/]: [bold]{found['state']}[/]")
    if found["error"]:
        STDOUT.print(found["error"], highlight=False, markup=False)
    collections = found["counts"].get("collections", [])
    if collections:
        show(
            collections,
            False,
            columns=(
                "collection", "received", "added", "changed", "remapped", "gone", "same", "inactive", "duplicates",
                "rejected",
            ),
        )  # fmt: skip
    if changed := [count["collection"] for count in collections if count.get("partial")]:
        STDOUT.print(f"Only what changed was asked for: {', '.join(changed)}", highlight=False)
    for count in collections:
        if count["absent"] and count["gone"]:
            said = (
                f"{count['collection']} is {count['absent']}: what was kept of it is removed, {count['gone']} records."
            )
            STDOUT.print(said, highlight=False)
        elif count["absent"]:
            STDOUT.print(f"{count['collection']} was left as it is: {count['absent']}", highlight=False)
    for hold in found["holds"]:
        if hold["state"] != "open":
            STDOUT.print(f"Was held, then {hold['state']}: {hold['reason']}", highlight=False, markup=False)
    for hold in found["counts"].get("would_hold", []):
        STDOUT.print(f"It would be held: {hold['reason']}", highlight=False, markup=False)
    for table, code, times in found["unmapped"][:10]:
        STDOUT.print(f"Unmapped in {table}: {code!r}, {times} times", highlight=False, markup=False)
    print_leniencies(found["leniencies"])
    if found["quality"] is not None:
        wrong = f"Looks wrong in what is published: {counted(found['quality'])}. "
        where = f"`planbridge quality {found['connection']}` says what."
        said = wrong + where if found["quality"] else "Nothing looks wrong in what is published."
        STDOUT.print(said, highlight=False, markup=False)
    if people := found["counts"].get("people"):
        share = 100 * people["recognised"] / people["named"]
        STDOUT.print(
            f"{people['recognised']} of {people['named']} students are recognised ({share:.0f} %).", highlight=False
        )
    for population, by in found["counts"].get("identifiers", {}).items():
        for line in sentences(population, by):
            STDOUT.print(line, highlight=False, markup=False)
    print_published(found)
    if found["message"]:
        STDOUT.print("\n" + messages.Message(**found["message"]).text, highlight=False, markup=False)


def print_leniencies(found: Sequence[dict[str, Any]]) -> None:
    """What was read although the standard does not allow it, for example where."""
    for one in found[:10]:
        where = f"{one['collection']} {one['field']}".rstrip()
        examples = ", ".join(one["examples"])
        STDOUT.print(
            f"Read leniently in {where}: {one['code']}, {one['records']} times{examples and f' (as in {examples})'}",
            highlight=False, markup=False,
        )  # fmt: skip
    if len(found) > 10:
        STDOUT.print(f"... and {len(found) - 10} more leniencies; --json shows all.")


def print_published(found: dict[str, Any]) -> None:
    """What is live of a run, or would be, in entities."""
    moved = found["counts"].get("published", {})
    said = ", ".join(f"{n} {kind} {op}" for kind, ops in moved.items() for op, n in ops.items()) or "no entity"
    waits = {hold["effect"] for hold in found["holds"] if hold["state"] == "open"}
    if found["state"] == "compared":
        STDOUT.print(f"Nothing was published. It would publish: {said}.", highlight=False)
    elif found["state"] == "held" and waits == {"removals"}:
        STDOUT.print(f"Published: {said}. The removals wait.", highlight=False)
    elif found["state"] == "held":
        STDOUT.print("Nothing was published.")


def list_runs(
    number: Annotated[int | None, typer.Argument(help="One run in full.")] = None,
    limit: int = 20,
    district: District = DEFAULT_DISTRICT,
    as_json: Json = False,
) -> None:
    """Show the runs, newest first, or one of them. What a program writes in a day is one line."""

    async def look() -> list[dict[str, Any]]:
        async with gateway(district) as g, g.store.transaction(g.district) as c:
            found = await stored.summary(c, run=number, limit=limit)
            if number is None:
                return [{key: value for key, value in one.items() if key != "leniencies"} for one in found]
            return [await told(c, one) for one in found]

    found = run(look())
    if number is not None and not found:
        raise ConfigError("run-unknown", f"There is no run {number}.", "`planbridge runs` lists them.")
    if as_json:
        show(found[0] if number is not None else found, True)
    elif number is not None:
        print_run(found[0])
    else:
        show(
            found,
            False,
            columns=("id", "connection", "state", "received", "rejects", "writes", "created_at", "error_code"),
            empty="Nothing was pulled yet.",
        )


holds = typer.Typer(help="Runs that wait for a person: show, approve, refuse.", no_args_is_help=True)


@holds.command("show")
def holds_show(
    number: Annotated[int | None, typer.Argument(help="One held or compared run.")] = None,
    changes: Annotated[bool, typer.Option("--changes", help="What the run would do, entity by entity.")] = False,
    limit: int = 50,
    district: District = DEFAULT_DISTRICT,
    as_json: Json = False,
) -> None:
    """Show what waits, and why; with --changes also whom it concerns, without names."""

    async def look() -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        async with gateway(district) as g:
            async with g.store.transaction(g.district) as c:
                found = [await told(c, one) for one in await stored.summary(c, run=number, limit=1000)]
            rows = await history.previewed(g.store, g.district, number, limit) if changes and number else []
            return [one for one in found if number is not None or one["state"] == "held"], rows

    found, rows = run(look())
    if as_json:
        show(found if not changes else {"runs": found, "changes": rows}, True)
        return
    if not found:
        STDOUT.print("Nothing is held.")
    for held in found:
        print_run(held)
    if changes:
        show(rows, False, empty="It would change nothing.")


@holds.command("approve")
def holds_approve(
    number: int,
    because: Because = "",
    additions_only: Annotated[
        bool, typer.Option("--additions-only", help="Publish what it adds; drop its updates and removals.")
    ] = False,
    district: District = DEFAULT_DISTRICT,
    as_: As = "district IT",
    role: Role = "district_it",
    as_json: Json = False,
) -> None:
    """Publish a held run after all. It is resolved again and asks again if it would now do something else."""
    verdict: stored.Verdict = "additions" if additions_only else "approved"

    async def work() -> dict[str, Any]:
        async with gateway(district) as g:
            await jobs.decide_hold(g.store, g.district, number, verdict, actor(as_, role), because)
            return await follow(g, number, quiet=as_json)

    report(run(work()), as_json)


@holds.command("refuse")
def holds_refuse(
    number: int,
    because: Because = "",
    district: District = DEFAULT_DISTRICT,
    as_: As = "district IT",
    role: Role = "district_it",
    as_json: Json = False,
) -> None:
    """Drop a held run; what is published stays."""

    async def work() -> None:
        async with gateway(district) as g:
            await jobs.decide_hold(g.store, g.district, number, "refused", actor(as_, role), because)

    run(work())
    say({"run": number, "decided": "refused"}, as_json, f"Run {number} is refused; what is published stays as it is.")


def students(
    number: Annotated[str | None, typer.Option("--number", help="Exactly this identifier.")] = None,
    limit: int = 20,
    district: District = DEFAULT_DISTRICT,
    as_json: Json = False,
) -> None:
    """Show students with name, grade and id."""

    async def look() -> list[dict[str, Any]]:
        async with gateway(district) as g:
            found = await reading.find_students(g.store, g.district, number)
            return [
                {
                    "id": s["id"],
                    "given_name": s["given_name"],
                    "family_name": s["family_name"],
                    "grade": ", ".join(s.get("grades", [])),
                    "numbers": ", ".join(sorted({i["value"] for i in s.get("identifiers", [])})),
                }
                for s in found
            ]

    found = run(look())
    if number is not None and not found:
        raise ConfigError("student-unknown", "No student has this identifier.", "Give it exactly, with leading zeros.")
    show(found[:limit] if not as_json else found, as_json, empty="No students are published yet.")
    if len(found) > limit and not as_json:
        STDOUT.print(f"... and {len(found) - limit} more; --limit shows more, --number finds one.")
