"""Commands about districts as a whole: district add, list, link, suspend, resume, export, delete."""

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from gateway.access import PURPOSES
from gateway.cli.output import STDOUT, As, Because, Json, Role, actor, installation, run, say, show
from gateway.cli.purge import IN_THE_FILES
from gateway.cli.upload import uploads_of
from gateway.errors import Refused
from gateway.exports import district as exports
from gateway.settings import Settings
from gateway.store import districts as stored
from gateway.store import purposes
from gateway.store.database import Store
from gateway.store.registers import Actor

district = typer.Typer(help="Districts of this installation: add, suspend, export, delete.", no_args_is_help=True)
Name = Annotated[str, typer.Argument(metavar="NAME", help="Which district: planbridge district list.")]


def register(app: typer.Typer) -> None:
    app.add_typer(district, name="district")


@district.command("add")
def district_add(
    name: Annotated[str, typer.Argument(metavar="NAME", help="What to call it.")],
    as_: As = "district IT",
    role: Role = "district_it",
    as_json: Json = False,
) -> None:
    """Add a district, and give the one-time link for its first administrator."""
    _print_link(name, stored.add, actor(as_, role), as_json)


@district.command("link")
def district_link(name: Name, as_: As = "district IT", role: Role = "district_it", as_json: Json = False) -> None:
    """Give another link for the first administrator; earlier ones end."""
    _print_link(name, stored.link, actor(as_, role), as_json)


def _print_link(name: str, make: Callable[[Store, str, Actor], Awaitable[str]], who: Actor, as_json: bool) -> None:
    async def work() -> str:
        async with installation() as (store, settings):
            return f"{settings.address}/first-admin/{await make(store, name, who)}"

    link = run(work())
    if as_json:
        show({"district": name, "link": link, "valid_hours": stored.LINK_HOURS}, True)
        return
    STDOUT.print(f"{name}: whoever has this link makes the district's first client, once, within 72 hours.")
    STDOUT.print(
        f"Send it on a way that nobody else reads; it is not shown again:\n  curl -X POST {link}", highlight=False
    )
    if Settings().public_url is None:
        STDOUT.print("Set PLANBRIDGE_PUBLIC_URL to the address that others reach this API by.")


@district.command("list")
def district_list(as_json: Json = False) -> None:
    """List the districts, also those that were deleted."""

    async def look() -> list[dict[str, Any]]:
        async with installation() as (store, _):
            return await stored.listed(store)

    show(run(look()), as_json, empty="There is no district yet.")


@district.command("suspend")
def district_suspend(
    name: Name, because: Because = "", as_: As = "district IT", role: Role = "district_it", as_json: Json = False
) -> None:
    """Let a district rest: nothing runs, the API refuses its clients, everything it has stays."""

    async def work() -> None:
        async with installation() as (store, _):
            await stored.suspend(store, name, actor(as_, role), because)

    run(work())
    say(
        {"district": name, "suspended": True},
        as_json,
        f"{name} is suspended. To end that: planbridge district resume {name}",
    )


@district.command("resume")
def district_resume(name: Name, as_: As = "district IT", role: Role = "district_it", as_json: Json = False) -> None:
    """Let a suspended district work again."""

    async def work() -> None:
        async with installation() as (store, _):
            await stored.resume(store, name, actor(as_, role))

    run(work())
    say({"district": name, "suspended": False}, as_json, f"{name} works again; its schedules go on.")


@district.command("export")
def district_export(
    name: Name,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A zip of JSON lines; nobody else can read it.")],
    also: Annotated[
        list[str] | None, typer.Option("--also", metavar="KIND", help="What is withheld otherwise: meal_eligibility.")
    ] = None,
    purpose: Annotated[str, typer.Option("--purpose", help=f"What it is for: {', '.join(PURPOSES)}.")] = "transfer",
    as_: As = "district IT",
    role: Role = "district_it",
    as_json: Json = False,
) -> None:
    """Write everything a district has into a file: what is published, plans with versions, acts, configuration."""

    async def work() -> dict[str, Any]:
        async with installation() as (store, _):
            await purposes.refuse_judging(store, await stored.named(store, name), purpose, "export", actor(as_, role))
            return await exports.export(store, name, file, actor(as_, role), also or ())

    made = run(work())
    if as_json:
        show(made, True)
        return
    rows = [{"file": part, "rows": about.get("rows")} for part, about in made["files"].items()]
    show(rows, False, title=f"{file}, everything of everybody in the clear")
    if made["withheld"]:
        STDOUT.print(f"Withheld: {', '.join(made['withheld'])}. --also KIND writes it too.", highlight=False)


@district.command("delete")
def district_delete(
    name: Name,
    yes: Annotated[str, typer.Option("--yes", metavar="NAME", help="The name once more.")] = "",
    without_export: Annotated[
        bool, typer.Option("--without-export", help="Although nothing was exported in the last seven days.")
    ] = False,
    because: Because = "",
    as_: As = "district IT",
    role: Role = "district_it",
    as_json: Json = False,
) -> None:
    """Remove a district with everything it has. It cannot be undone, and no restored backup brings it back."""
    if yes != name:
        raise Refused("not-confirmed", "Nothing was deleted.", f"To delete it for good, add --yes {name!r}.")

    async def work() -> Any:
        async with installation() as (store, _):
            uploads = await uploads_of(store, await stored.named(store, name))
            erased = await stored.delete(store, name, actor(as_, role), because, without_export=without_export)
            for path in uploads:  # copies of ours; what others put into the folder is theirs
                path.unlink(missing_ok=True)
            return erased

    erased = run(work())
    say({"deleted": name, "erased": erased.value}, as_json, f"{name} is gone. {IN_THE_FILES[erased]}")
