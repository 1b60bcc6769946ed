"""Commands that remove a person for good: purge student, list, lift."""

from pathlib import Path
from typing import Annotated, Any

import typer

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
    run,
    say,
    show,
)
from gateway.cli.upload import uploads_of
from gateway.store import purges
from gateway.store.erasure import Erased
from gateway.store.purges import Purge

IN_THE_FILES = {
    Erased.WHOLLY: "The database's files were written anew; they hold nothing of it either.",
    Erased.BUT_FOR_THE_LOG: "The tables were written anew. The write-ahead log, replicas and backups of your own "
    "database server keep what they keep, for as long as you let them.",
    Erased.NOT_YET: "Tables were busy, so deleted rows are still in the database's files. A worker tries again "
    "every hour.",
}


def register(app: typer.Typer) -> None:
    app.add_typer(purge, name="purge")


purge = typer.Typer(help="Remove a student for good, with a proof that names nobody.", no_args_is_help=True)


@purge.command("student")
def purge_student(
    student: Annotated[str, typer.Argument(metavar="ID", help="The student's id: planbridge students.")],
    because: Because = "",
    yes: Annotated[bool, typer.Option("--yes", help="Do it; without this it is only shown.")] = False,
    district: District = DEFAULT_DISTRICT,
    as_: As = "district IT",
    role: Role = "district_it",
    as_json: Json = False,
) -> None:
    """Remove a student, and family that is theirs alone, from everything that is kept. It cannot be undone."""

    async def work() -> tuple[Purge, list[Path]]:
        async with gateway(district) as g:
            uploads = await uploads_of(g.store, g.district)
            if not yes:
                return await purges.preview(g.store, g.district, student), uploads
            return await purges.purge_student(g.store, g.district, student, actor(as_, role), because), uploads

    found, uploads = run(work())
    if as_json:
        show({"purged": yes, **found.as_document(), "uploaded": list(map(str, uploads))}, True)
    else:
        _print(found, uploads)


def _print(found: Purge, uploads: list[Path]) -> None:
    STDOUT.print(f"Purge {found.id}" if found.id else "Nothing was removed yet. This is what would be:")
    show([{"what": place, "rows": rows} for place, rows in found.counts.items()], False, empty="Nothing is kept.")
    show([vars(key) for key in found.keys], False, title="\nWho is never taken in again, by source key")
    own = [one for one in found.remote if not one.shared]
    if own:
        columns = ("connection", "resource", "identity", "remote_id")
        show([vars(one) for one in own], False, columns=columns, title="\nStill to be deleted at other systems, by you")
    if found.mentions:
        STDOUT.print(
            f"\nPlans and record entries of other students that mention this one by name: {', '.join(found.mentions)}"
        )
    if uploads:
        STDOUT.print("\nUploaded files that may hold the student, to be removed by you once they are not needed:")
        for path in uploads:
            STDOUT.print(f"  {path}", highlight=False, markup=False, soft_wrap=True)
    if found.erased:
        STDOUT.print(f"\n{IN_THE_FILES[found.erased]}")
    else:
        STDOUT.print("\nTo do it, say why and add --yes.")


@purge.command("list")
def purge_list(
    student: Annotated[
        str | None, typer.Option("--student", help="Only those of this id: proof that it is gone.")
    ] = None,
    district: District = DEFAULT_DISTRICT,
    as_json: Json = False,
) -> None:
    """Show what was purged, when, by whom and why."""

    async def look() -> list[dict[str, Any]]:
        async with gateway(district) as g:
            return await purges.listed(g.store, g.district, student)

    show(run(look()), as_json, columns=("id", "at", "because", "actor", "counts", "lifted"), empty="Nobody was purged.")


@purge.command("lift")
def purge_lift(
    id: Annotated[str, typer.Argument(metavar="PURGE", help="The purge: planbridge purge list.")],
    because: Because = "",
    district: District = DEFAULT_DISTRICT,
    as_: As = "district IT",
    role: Role = "district_it",
    as_json: Json = False,
) -> None:
    """Let somebody who was purged be pulled again, because they came back. What was removed stays removed."""

    async def work() -> None:
        async with gateway(district) as g:
            await purges.lift(g.store, g.district, id, actor(as_, role), because)

    run(work())
    say(
        {"purge": id, "lifted": True},
        as_json,
        "Lifted. The next pull takes them in again, if the source still has them.",
    )
