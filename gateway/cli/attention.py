"""Commands about what of plans waits for a person."""

from typing import Annotated, Any

import typer

from gateway import clock, desk
from gateway.cli.access import looking
from gateway.cli.output import DEFAULT_DISTRICT, As, District, Gateway, Json, actor, gateway, run, show
from gateway.cli.plans import Reader
from gateway.errors import ConfigError
from gateway.store import attention as stored
from gateway.store import reading, runs
from gateway.viewing import AUTHOR

School = Annotated[str, typer.Option("--school", help="Only this school: its number, name or entity id.")]


def register(app: typer.Typer) -> None:
    app.command()(attention)


def attention(
    person: Annotated[str, typer.Option("--for", help="Only what this person must act on: number or entity id.")] = "",
    school: School = "",
    number: Annotated[int | None, typer.Option("--run", help="What this run showed, mended by now or not.")] = None,
    district: District = DEFAULT_DISTRICT,
    as_: As = "",
    role: Reader = AUTHOR,
    as_json: Json = False,
) -> None:
    """What of plans waits for a person: who left, who moved, whose rights ended, what is due; and who must act."""

    async def work() -> list[dict[str, Any]]:
        async with gateway(district) as g:
            at = await school_id(g, school)
            acts = (await looking(g, person)).person if person else ""
            if acts is None:
                raise ConfigError("person-unknown", f"{person!r} is a role.", "Name one person: entity id or number.")
            async with g.store.transaction(g.district) as c:
                if number is not None and not await runs.summary(c, run=number):
                    raise ConfigError("run-unknown", f"There is no run {number}.", "`planbridge runs` lists them.")
                whole = await desk.over_students(c, g.district, actor(as_, role), "attention")
                await stored.look_again(g.store, c, g.district, clock.today())
                found = await stored.listed(c, clock.today(), acts=acts, school=at, run=number)
            return [one if whole else {**one, "reason": None, "person": None} for one in found]

    show(run(work()), as_json, columns=("due_on", "says", "plan", "item", "school_name", "who_acts", "to_do", "reason"),
         empty="Nothing of any plan waits for a person.")  # fmt: skip


async def school_id(g: Gateway, given: str) -> str:
    """The school of that number or entity id; empty where none is given. ConfigError when there is none."""
    if not given:
        return ""
    for one in await reading.entities(g.store, g.district, "organization"):
        if given in (one["id"], one.get("identifier"), one.get("name")):
            return str(one["id"])
    raise ConfigError("school-unknown", f"There is no school {given!r}.", "Give its number, name or entity id.")
