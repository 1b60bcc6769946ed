"""Commands about plans: begin, edit, consult, finalize; and push with its preview."""

import json
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from gateway import delivery, jobs, messages, planning, registry
from gateway.cli.output import (
    DEFAULT_DISTRICT,
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
from gateway.cli.runs import working
from gateway.connector import validated
from gateway.errors import ConfigError, Refused
from gateway.plans import Step
from gateway.schema.plan import published
from gateway.store import deliveries, reading, registers
from gateway.store import plans as stored
from gateway.store.plans import StoredVersion
from gateway.store.registers import Actor

plan = typer.Typer(help="Success plans: new, show, edit, check, consult, finalize.", no_args_is_help=True)
Id = Annotated[str, typer.Argument(help="The plan's id.")]


def register(app: typer.Typer) -> None:
    app.add_typer(plan, name="plan")
    app.command()(push)
    app.command()(refused)


@plan.command("new")
def new(
    student: Annotated[str, typer.Option("--student", help="Student number (with leading zeros) or entity id.")],
    file: Annotated[Path | None, typer.Option("--file", help="Content as JSON; else only what is known.")] = None,
    district: District = DEFAULT_DISTRICT,
    as_: As = "",
    role: Role = "educator",
    as_json: Json = False,
) -> None:
    """Begin a plan for a student, filled in with what the roster knows."""

    async def work() -> dict[str, Any]:
        async with gateway(district) as g:
            who = actor(named(as_), role)
            id = await planning.begin(g.store, g.district, await student_id(g, student), who)
            if file is not None:
                async with g.store.transaction(g.district) as c:
                    found = await stored.load(c, id)
                await planning.edit(g.store, g.district, id, found.content | read(file), who)
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
) -> None:
    """Print a plan's content as JSON, ready to be edited."""

    async def work() -> str:
        async with gateway(district) as g, g.store.transaction(g.district) as c:
            if version is not None:
                return (await stored.version(c, id, version)).content
            return json.dumps((await stored.load(c, id)).content)

    print(json.dumps(json.loads(run(work())), indent=2, ensure_ascii=False))


@plan.command("schema")
def schema() -> None:
    """Print the JSON Schema of a plan: its version, every field with its meaning and the source of its term."""
    print(json.dumps(published(), indent=2))


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
    step: Annotated[Literal["consult", "finalize"], typer.Option("--step", help="Which step.")] = "finalize",
    district: District = DEFAULT_DISTRICT,
    as_json: Json = False,
) -> None:
    """Say what a step would ask for; nothing is changed."""

    async def work() -> list[dict[str, Any]]:
        async with gateway(district) as g:
            return [vars(result) for result in await planning.ask(g.store, g.district, id, step)]

    found = run(work())
    show(found, as_json, columns=("code", "ok", "text", "missing"))
    if not all(result["ok"] for result in found):
        raise typer.Exit(Refused.exit_code)


def _step(name: Step, doc: str) -> None:
    def command(
        id: Id,
        district: District = DEFAULT_DISTRICT,
        as_: As = "",
        role: Role = "educator",
        as_json: Json = False,
    ) -> None:
        async def work() -> dict[str, Any]:
            async with gateway(district) as g:
                made = await planning.take(g.store, g.district, id, name, actor(named(as_), role))
                described_plan = await described(g, id)
                if isinstance(made, StoredVersion):
                    described_plan |= {"version": made.version, "sha256": made.sha256}
                return described_plan

        show(run(work()), as_json)

    command.__doc__ = doc
    plan.command(name)(command)


_step("consult", "Put the plan before the family: guard G1, and what is shown is remembered by its fingerprint.")
_step("reopen", "Back from consultation to draft.")
_step("finalize", "Finalize the plan: guards G1 and G2a to G2e, then an immutable version with its sha256.")


def push(
    id: Annotated[str, typer.Argument(help="The plan's id.")],
    to: Annotated[str, typer.Option("--to", help="Destination: a connection that can be written to.")],
    preview: Annotated[bool, typer.Option("--preview", help="Show exactly what would be sent; send nothing.")] = False,
    withdraw: Annotated[
        bool,
        typer.Option(
            "--withdraw",
            help="Take back what the destination has of this plan, or end it today where nothing is deleted; needs "
            "--because.",
        ),
    ] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Put ours in the place of what others wrote there; needs --because.")
    ] = False,
    because: Annotated[str, typer.Option("--because", help="Why; kept with the plan.")] = "",
    include: Annotated[
        list[str] | None, typer.Option("--set", help="Delivery profile of the destination, field=value; kept.")
    ] = None,
    district: District = DEFAULT_DISTRICT,
    as_: As = "",
    role: Role = "educator",
    as_json: Json = False,
) -> None:
    """Push a finalized plan: only what changed is sent, only a 2xx counts, and what did not fit is listed."""

    async def work() -> dict[str, Any]:
        async with gateway(district) as g:
            if include:
                await set_profile(g, to, include, actor(named(as_), role))
            if preview:
                made = await delivery.preview(g.store, g.district, id, to)
                return {
                    "version": made.version,
                    "sha256": made.sha256,
                    "would_send": [{"resource": d.resource, "body": d.body} for d in made.documents],
                    "losses": [vars(loss) for loss in made.losses],
                }
            if withdraw:
                gone = await delivery.withdraw(g.store, g.district, id, to, actor(named(as_), role), because)
                return {"destination": to, "taken_back": gone}
            if overwrite and not because.strip():
                raise Refused("reason-missing", "Overwriting what others wrote needs a reason.", "Give --because.")
            who = actor(named(as_), role)
            number = await jobs.request_push(g.store, g.district, id, to, who, because if overwrite else "")
            return await follow(g, number)

    found = run(work())
    if as_json or preview:
        print(json.dumps(found, indent=None if as_json else 2, default=str))
    elif withdraw:
        STDOUT.print(
            f"{found['taken_back']} objects were taken back from {to}, or ended today if it deletes nothing.",
            highlight=False,
        )
    else:
        print_delivery(found)
    if found.get("state") == "parked":
        raise typer.Exit(Refused.exit_code)


def refused(
    to: Annotated[str, typer.Option("--to", help="Only those to this destination.")] = "",
    district: District = DEFAULT_DISTRICT,
    as_json: Json = False,
) -> None:
    """Why deliveries are parked: each cause once, with the plans and records it explains and what to do about it."""

    async def work() -> list[dict[str, Any]]:
        async with gateway(district) as g:
            only = (await registers.connection(g.store, g.district, to)).id if to else None
            async with g.store.transaction(g.district) as c:
                return await deliveries.causes(c, only)

    show(run(work()), as_json, columns=("destination", "plans", "refused", "not_sent", "message", "trace"),
         empty="No delivery is parked.")  # fmt: skip


async def follow(g: Gateway, number: int) -> dict[str, Any]:
    """Wait for a delivery's end."""
    async with working(g) as pause:
        while True:
            async with g.store.transaction(g.district) as c:
                found = await deliveries.status(c, number)
            if found["state"] in ("delivered", "parked"):
                return found
            await pause()


def print_delivery(found: dict[str, Any]) -> None:
    STDOUT.print(f"Delivery {found['id']} to [bold]{found['destination']}[/]: [bold]{found['state']}[/]")
    if found["reason"] and not found["causes"]:
        STDOUT.print(found["reason"], markup=False, highlight=False)
    show(found["causes"], False, title="\nWhy", columns=("message", "status", "refused", "not_sent", "trace"), empty="")
    if found["state"] == "parked" and found["waits"]:
        STDOUT.print(messages.tried_again(found["destination"], found["waits"]), markup=False, highlight=False)
    show(found["receipts"], False, title="Sent", columns=("resource", "status", "delivered", "attempts"),
         empty="Nothing had changed: no request was needed.")  # fmt: skip
    show(found["losses"], False, title="\nDid not leave", columns=("pointer", "kind", "reason"), empty="")


async def set_profile(g: Gateway, destination: str, pairs: list[str], who: Actor) -> None:
    """Keep choices about what a destination gets; each is checked against the mapping's delivery profile."""
    found = await registers.connection(g.store, g.district, destination)
    shape = registry.mapping(found.connector).profile
    if shape is None:
        raise ConfigError("not-a-destination", f"Plans cannot be pushed to {destination}.", "Choose another.")
    async with g.store.transaction(g.district) as c:
        profile = await deliveries.profile(c, found.id) or {}
        for pair in pairs:
            name, _, value = pair.partition("=")
            if name not in shape.model_fields:
                raise ConfigError(
                    "setting-unknown",
                    f"The delivery profile has no field {name!r}.",
                    f"Its fields are: {', '.join(shape.model_fields)}.",
                )
            profile[name] = value
        kept = validated(shape, profile).model_dump(mode="json")
        await deliveries.set_profile(c, g.district, found.id, kept)
        await registers.log_act(c, g.district, who, "delivery-profile", destination, kept)


async def described(g: Gateway, id: str) -> dict[str, Any]:
    async with g.store.transaction(g.district) as c:
        found = await stored.load(c, id)
    return {"id": found.id, "state": found.state, "revision": found.revision, "version": found.version}


async def student_id(g: Gateway, given: str) -> str:
    """The student of that number or entity id. ConfigError when there is none, Refused when there are several."""
    found = await reading.find_students(g.store, g.district, given)
    if not found:
        found = [s for s in await reading.find_students(g.store, g.district) if s["id"] == given]
    if not found:
        raise ConfigError("student-unknown", "No student has this number.", "Give it exactly, with leading zeros.")
    if len(found) > 1:
        raise Refused("student-ambiguous", "Several students have this number.", "Give the student's id instead.")
    return str(found[0]["id"])


def read(file: Path) -> dict[str, Any]:
    """A JSON object from a file. ConfigError says where it is not one."""
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError("file-unreadable", f"{file} cannot be read: {error.strerror}.", "Check the path.") from None
    except ValueError as error:
        where = f" at line {error.lineno}" if isinstance(error, json.JSONDecodeError) else ""
        raise ConfigError("file-no-json", f"{file} is no JSON{where}.", "Correct it.") from None
    if not isinstance(found, dict):
        raise ConfigError("file-no-json", f"{file} holds no JSON object.", "Begin it with a brace.")
    return found


def named(name: str) -> str:
    """Acts upon a child's plan name a person."""
    if not name:
        raise ConfigError(
            "actor-missing", "It must be on record who does this.", "Add --as NAME (or set PLANBRIDGE_AS)."
        )
    return name
