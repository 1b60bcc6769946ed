"""Commands about how long things are kept: retention show, run, page; and what the law holds: hold, holds, lift."""

from pathlib import Path
from typing import Annotated, Any

import typer

from gateway.cli.output import (
    DEFAULT_DISTRICT,
    As,
    Because,
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
from gateway.cli.plans import student_id
from gateway.errors import ConfigError
from gateway.exports import schedule
from gateway.settings import Settings
from gateway.store import legal
from gateway.store import retention as stored

retention = typer.Typer(help="How long things are kept, and the proof that they went.", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    app.add_typer(retention, name="retention")


@retention.command("show")
def retention_show(as_json: Json = False) -> None:
    """Show what is kept for how long, what is due now, and what every pass of a worker removed. Of all districts."""

    async def look() -> list[dict[str, Any]]:
        async with installation() as (store, settings):
            return await stored.shown(store, settings)

    show(run(look()), as_json)


@retention.command("run")
def retention_run(as_json: Json = False) -> None:
    """Remove now what is due. A worker does so every hour."""

    async def work() -> list[dict[str, Any]]:
        async with installation() as (store, settings):
            done = await stored.keep(store, settings)
            return [{"what": rule, **counts} for rule, counts in done.items()]

    show(run(work()), as_json)


@retention.command("page")
def retention_page(
    to: Annotated[
        Path | None, typer.Option("--to", help="Write it into this file; .html is HTML, anything else Markdown.")
    ] = None,
    as_json: Json = False,
) -> None:
    """The public page that says how long what is kept, from the rules in force."""
    settings = Settings()
    if to is None:
        if as_json:
            show({"markdown": schedule.markdown(settings)}, True)
        else:
            print(schedule.markdown(settings), end="")
        return
    page = schedule.html(settings) if to.suffix == ".html" else schedule.markdown(settings)
    try:
        to.write_text(page, encoding="utf-8")
    except OSError as error:
        raise ConfigError("file-unwritable", f"{to} cannot be written: {error.strerror}.", "Correct it.") from None
    say({"file": str(to)}, as_json, f"Written to {to}.")


@retention.command("hold")
def retention_hold(
    student: Annotated[str, typer.Argument(metavar="STUDENT", help="Student number or entity id.")],
    because: Because = "",
    district: District = DEFAULT_DISTRICT,
    as_: As = "district IT",
    role: Role = "district_it",
    as_json: Json = False,
) -> None:
    """Hold a student's plans and record for a court or an inquiry: no rule and no purge removes them."""

    async def work() -> int:
        async with gateway(district) as g:
            meant = await student_id(g, student)
            async with g.store.transaction(g.district) as c:
                return await legal.place(g.store, c, g.district, meant, because, actor(as_, role))

    made = run(work())
    say({"id": made}, as_json, f"Legal hold {made}: nothing of this student is removed until it is lifted.")


@retention.command("holds")
def retention_holds(district: District = DEFAULT_DISTRICT, as_json: Json = False) -> None:
    """List legal holds."""

    async def look() -> list[dict[str, Any]]:
        async with gateway(district) as g, g.store.transaction(g.district) as c:
            return await legal.listed(c)

    show(run(look()), as_json, empty="There is no legal hold.")


@retention.command("lift")
def retention_lift(
    hold: Annotated[int, typer.Argument(metavar="HOLD", help="The hold: planbridge retention holds.")],
    because: Because = "",
    district: District = DEFAULT_DISTRICT,
    as_: As = "district IT",
    role: Role = "district_it",
    as_json: Json = False,
) -> None:
    """Lift a legal hold: the rules hold again."""

    async def work() -> None:
        async with gateway(district) as g, g.store.transaction(g.district) as c:
            await legal.lift(g.store, c, g.district, hold, because, actor(as_, role))

    run(work())
    say({"id": hold, "lifted": True}, as_json, f"Legal hold {hold} is lifted.")
