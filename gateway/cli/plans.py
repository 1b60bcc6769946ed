"""Commands about plans: begin, edit, take each step of their life, and look at what they were at any moment."""

import json
from dataclasses import asdict, replace
from datetime import date
from pathlib import Path
from typing import Annotated, Any

import typer

from gateway import desk, intake, plan_template, planning, viewing
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
    run,
    show,
)
from gateway.errors import ConfigError, RecordError, Refused
from gateway.plan_events import Told
from gateway.plans import TAKEN_BACK, Given, Step
from gateway.schema.codes import ClosingOutcome
from gateway.schema.plan import published
from gateway.store import plans as stored
from gateway.store import reading
from gateway.store.plans import StoredVersion
from gateway.store.registers import Actor
from gateway.viewing import AUTHOR

plan = typer.Typer(help="Success plans: what they say, their life, and their history.", no_args_is_help=True)
Id = Annotated[str, typer.Argument(help="The plan's id.")]
Outcome = Annotated[ClosingOutcome | None, typer.Option("--outcome", help="With which outcome it is closed.")]
Note = Annotated[str, typer.Option("--note", help="For whoever comes next.")]
Reader = Annotated[
    str,
    typer.Option(
        "--role",
        envvar="PLANBRIDGE_ROLE",
        help="Show what this role may see; district_it sees no words. Default: the author, who reads all of it.",
    ),
]
"""In which role somebody reads."""


def register(app: typer.Typer) -> None:
    app.add_typer(plan, name="plan")


@plan.command("new")
def new(
    student: Annotated[str, typer.Option("--student", help="Student number (with leading zeros) or entity id.")],
    file: Annotated[Path | None, typer.Option("--file", help="Content as JSON; else only what is known.")] = None,
    gathering: Annotated[
        bool, typer.Option("--gathering", help="Only bring together what is known; nobody writes yet.")
    ] = False,
    district: District = DEFAULT_DISTRICT,
    as_: As = "",
    role: Role = "educator",
    as_json: Json = False,
) -> None:
    """Begin a plan for a student, filled in with what the roster knows."""

    async def work() -> dict[str, Any]:
        async with gateway(district) as g:
            who = actor(named(as_), role)
            written = read(file) if file is not None else None
            id = await planning.begin(
                g.store, g.district, await student_id(g, student), who, written, gathering=gathering
            )
            return await described(g, id)

    show(run(work()), as_json)


@plan.command("edit")
def edit(
    id: Id,
    file: Annotated[Path, typer.Option("--file", help="The new content as JSON.")],
    revision: Annotated[int | None, typer.Option(help="Only if the plan is still at this revision.")] = None,
    district: District = DEFAULT_DISTRICT,
    as_: As = "",
    role: Role = "educator",
    as_json: Json = False,
) -> None:
    """Replace a plan's content; of a finalized plan this begins the next version."""

    async def work() -> dict[str, Any]:
        async with gateway(district) as g:
            await planning.edit(g.store, g.district, id, read(file), actor(named(as_), role), revision)
            return await described(g, id)

    show(run(work()), as_json)


@plan.command("show")
def show_plan(
    id: Id,
    version: Annotated[int | None, typer.Option(help="A finalized version instead of the working content.")] = None,
    district: District = DEFAULT_DISTRICT,
    as_: As = "",
    role: Reader = AUTHOR,
    as_json: Json = False,
) -> None:
    """Print a plan's content as JSON, ready to be edited; or as a role may see it."""

    async def work() -> dict[str, Any]:
        async with gateway(district) as g:
            return await viewing.shown(g.store, g.district, id, actor(as_, role), version)

    _print(run(work()), as_json)


@plan.command("schema")
def schema(as_json: Json = False) -> None:
    """Print the JSON Schema of a plan: its version, every field with its meaning and the source of its term."""
    _print(published(), as_json)


def _print(document: dict[str, Any], as_json: bool) -> None:
    """What is JSON for people too: on many lines for them, on one for machines."""
    print(json.dumps(document, indent=None if as_json else 2, ensure_ascii=False))


@plan.command("template")
def template() -> None:
    """Print the columns of the one CSV file in which plans may come; docs/plan-api.md says what stands in each."""
    print(plan_template.header(), end="")


@plan.command("import")
def take_in(
    file: Annotated[Path, typer.Argument(help="Plans as JSON, or in the CSV template.")],
    source: Annotated[
        str, typer.Option(help="Where they come from: by it and your own ids none comes twice.")
    ] = "file",
    district: District = DEFAULT_DISTRICT,
    as_: As = "",
    role: Role = "educator",
    as_json: Json = False,
) -> None:
    """Take in many plans: each becomes a draft, or is rejected with the row, the field and why. What came before under
    the same id stays as it is."""

    async def work() -> intake.Taken:
        given = intake.read(content(file), as_csv=file.suffix.lower() != ".json")
        async with gateway(district) as g:
            return await intake.take(g.store, g.district, given, actor(named(as_), role), source)

    done = run(work())
    if as_json:
        print(json.dumps(asdict(done)))
    else:
        if done.faults:
            show([asdict(fault) for fault in done.faults], as_json=False)
        STDOUT.print(
            f"{len(done.drafts)} drafts, {len(done.unchanged)} taken in before, {done.rejected} rejected.",
            highlight=False,
        )
    if done.rejected:
        raise typer.Exit(RecordError.exit_code)


@plan.command("list")
def list_plans(district: District = DEFAULT_DISTRICT, as_json: Json = False) -> None:
    """List the plans."""

    async def work() -> list[dict[str, Any]]:
        async with gateway(district) as g, g.store.transaction(g.district) as c:
            return await stored.listed(c)

    show(run(work()), as_json, empty="There is no plan yet. Begin with: planbridge plan new --student NUMBER")


@plan.command("check")
def check(
    id: Id,
    step: Annotated[Step, typer.Option("--step", help="Which step.")] = "finalize",
    because: Because = "",
    outcome: Outcome = None,
    note: Note = "",
    district: District = DEFAULT_DISTRICT,
    as_json: Json = False,
) -> None:
    """Say what a step would ask for; nothing is changed."""

    async def work() -> list[dict[str, Any]]:
        async with gateway(district) as g:
            given = Given(because, outcome or "", note)
            return [vars(result) for result in await planning.ask(g.store, g.district, id, step, given)]

    found = run(work())
    show(found, as_json, columns=("code", "ok", "text", "missing"), empty="Nothing is asked for.")
    if not all(result["ok"] for result in found):
        raise typer.Exit(Refused.exit_code)


async def taken(district: str, id: str, step: Step, who: Actor, given: Given) -> dict[str, Any]:
    """Take a step, and where the plan is then."""
    async with gateway(district) as g:
        made = await planning.take(g.store, g.district, id, step, who, given)
        found = await described(g, id)
        if isinstance(made, StoredVersion):
            found |= {"version": made.version, "sha256": made.sha256}
        if found["state"] in TAKEN_BACK:
            async with g.store.transaction(g.district) as c:
                found["retract"] = await stored.holders(c, id)
        return found


def _step(name: Step, doc: str) -> None:
    def command(
        id: Id, district: District = DEFAULT_DISTRICT, as_: As = "", role: Role = "educator", as_json: Json = False
    ) -> None:
        show(run(taken(district, id, name, actor(named(as_), role), Given())), as_json)

    command.__doc__ = doc
    plan.command(name)(command)


def _reasoned_step(name: Step, doc: str) -> None:
    def command(
        id: Id,
        because: Because = "",
        district: District = DEFAULT_DISTRICT,
        as_: As = "",
        role: Role = "educator",
        as_json: Json = False,
    ) -> None:
        found = run(taken(district, id, name, actor(named(as_), role), Given(because)))
        show(found, as_json)
        for destination in () if as_json else found.get("retract", ()):
            STDOUT.print(
                f"{destination} has something of it, and a worker takes it back by itself. To do so now: "
                f"planbridge push {id} --to {destination} --withdraw --because REASON",
                highlight=False,
                markup=False,
            )

    command.__doc__ = doc
    plan.command(name)(command)


_step("draft", "From gathering to draft: somebody begins to write.")
_step("consult", "Put the plan before the family: guard G1, and what is shown is remembered by its fingerprint.")
_step("reopen", "Back from consultation to draft.")
_step("finalize", "Finalize the plan: guards G1 and G2a to G2h, then an immutable version with its sha256.")
_step("activate", "Begin the plan on its first day (G3). Time does so by itself.")
_step("review", "The day of the review has come (G5). Time does so by itself.")
_step("continue", "Go on after a review (G6); `planbridge plan reviewed` keeps the review.")
_reasoned_step("hold", "Let the plan rest; needs a reason (G10).")
_step("resume", "Go on with a plan that rested.")
_reasoned_step("revoke", "Take the plan back; needs a reason (G8). Says which destinations have something of it.")
_reasoned_step(
    "void", "The plan was entered in error; needs a reason (G8). Says which destinations have something of it."
)
_step("archive", "Put away a plan that is over.")


@plan.command("close")
def close(
    id: Id,
    outcome: Outcome = None,
    note: Note = "",
    district: District = DEFAULT_DISTRICT,
    as_: As = "",
    role: Role = "educator",
    as_json: Json = False,
) -> None:
    """End the plan with an outcome and a note for whoever comes next (G7)."""
    show(run(taken(district, id, "close", actor(named(as_), role), Given("", outcome or "", note))), as_json)


@plan.command("reviewed")
def reviewed(
    id: Id,
    file: Annotated[Path, typer.Option("--file", help="The review as JSON: held_on, decision, per_goal ...")],
    revision: Annotated[int | None, typer.Option(help="Only if the plan is still at this revision.")] = None,
    district: District = DEFAULT_DISTRICT,
    as_: As = "",
    role: Role = "educator",
    as_json: Json = False,
) -> None:
    """Keep a review of a plan in force; it begins no new version."""

    async def work() -> dict[str, Any]:
        async with gateway(district) as g:
            await planning.review(g.store, g.district, id, read(file), actor(named(as_), role), revision)
            return await described(g, id)

    show(run(work()), as_json)


@plan.command("history")
def history(
    id: Id,
    at: Annotated[str, typer.Option("--at", help="The plan after the act of this number, or on this day.")] = "",
    district: District = DEFAULT_DISTRICT,
    as_: As = "",
    role: Reader = AUTHOR,
    as_json: Json = False,
) -> None:
    """Every act upon a plan; or the plan as it was at any moment, as JSON."""

    async def work() -> list[dict[str, Any]] | Told:
        async with gateway(district) as g:
            if at:
                told = await planning.at(g.store, g.district, id, moment(at))
                return replace(told, content=await desk.earlier(g.store, g.district, id, told, actor(as_, role)))
            return await planning.history(g.store, g.district, id)

    found = run(work())
    if isinstance(found, Told):
        print(json.dumps(vars(found), indent=None if as_json else 2, ensure_ascii=False))
        return
    rows = [
        {"number": event["seq"], "at": event["at"], "act": event["act"], "by": event["actor"]["name"]}
        | {name: event["detail"].get(name) for name in ("to", "standing", "revision", "because", "outcome")}
        for event in found
    ]
    show(rows, as_json, columns=("number", "at", "act", "by", "to", "standing", "because"))


def moment(given: str) -> int | date:
    """The number of an act, or a day."""
    if given.isascii() and given.isdigit():
        return int(given)
    try:
        return date.fromisoformat(given)
    except ValueError:
        raise ConfigError(
            "moment-unknown", "This is neither the number of an act nor a day.", "As in 2026-11-28."
        ) from None


async def described(g: Gateway, id: str) -> dict[str, Any]:
    async with g.store.transaction(g.district) as c:
        found = await stored.load(c, id)
    return {
        "id": found.id,
        "state": found.state,
        "revision": found.revision,
        "version": found.version,
        "standing": found.standing,
    }


async def student_id(g: Gateway, given: str) -> str:
    """The student of that number or entity id. ConfigError when there is none, Refused when there are several."""
    found = await reading.find_students(g.store, g.district, given)
    if not found:
        found = [s for s in await reading.find_students(g.store, g.district) if s["id"] == given.lower()]
    if not found:
        raise ConfigError("student-unknown", "No student has this number.", "Give it exactly, with leading zeros.")
    if len(found) > 1:
        raise Refused("student-ambiguous", "Several students have this number.", "Give the student's id instead.")
    return str(found[0]["id"])


def read(file: Path) -> dict[str, Any]:
    """A JSON object from a file. ConfigError says where it is not one."""
    try:
        found = json.loads(content(file))
    except ValueError as error:
        where = f" at line {error.lineno}" if isinstance(error, json.JSONDecodeError) else ""
        raise ConfigError("file-no-json", f"{file} is no JSON{where}.", "Correct it.") from None
    if not isinstance(found, dict):
        raise ConfigError("file-no-json", f"{file} holds no JSON object.", "Begin it with a brace.")
    return found


def content(file: Path) -> bytes:
    """What a file holds. ConfigError where it cannot be read."""
    try:
        return file.read_bytes()
    except OSError as error:
        raise ConfigError("file-unreadable", f"{file} cannot be read: {error.strerror}.", "Check the path.") from None


def read_text(file: Path) -> str:
    """The words in a file. ConfigError where it is no text."""
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        raise ConfigError("file-unreadable", f"{file} cannot be read as text.", "Correct it.") from None


def named(name: str) -> str:
    """Acts upon a child's plan name a person."""
    if not name:
        raise ConfigError(
            "actor-missing", "It must be on record who does this.", "Add --as NAME (or set PLANBRIDGE_AS)."
        )
    return name
