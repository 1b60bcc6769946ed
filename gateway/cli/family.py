"""Commands for a family's rights: who is kept from a student, a copy of everything, requests to amend the record."""

from typing import Annotated, Any

import typer

from gateway import clock
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
from gateway.errors import ConfigError
from gateway.identity import population
from gateway.store import attention, reading, standing

family = typer.Typer(help="A family's rights: restrictions, copies, amendments.", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    app.add_typer(family, name="family")


Student = Annotated[str, typer.Argument(metavar="STUDENT", help="The student's id: planbridge students.")]
Contact = Annotated[str, typer.Argument(metavar="CONTACT", help="The family member's id.")]


@family.command("restrict")
def family_restrict(
    student: Student,
    contact: Contact,
    because: Because = "",
    district: District = DEFAULT_DISTRICT,
    as_: As = "district IT",
    role: Role = "district_it",
) -> None:
    """Keep a family member from a student's plans by the district's own word. No source and no restore lifts it."""

    async def work() -> None:
        async with gateway(district) as g:
            child, adult = await _person(g, student, "student"), await _person(g, contact, "contact")
            await standing.restrict(g.store, g.district, child, adult, because, actor(as_, role))
            await _look_at_plans(g, child)

    run(work())
    STDOUT.print("Kept from this student until somebody lifts it: planbridge family lift.")


@family.command("lift")
def family_lift(
    student: Student,
    contact: Contact,
    because: Because = "",
    district: District = DEFAULT_DISTRICT,
    as_: As = "district IT",
    role: Role = "district_it",
) -> None:
    """End a restriction of the district's. What the sources say of this family member holds again."""

    async def work() -> None:
        async with gateway(district) as g:
            child, adult = await _person(g, student, "student"), await _person(g, contact, "contact")
            await standing.lift(g.store, g.district, child, adult, because, actor(as_, role))
            await _look_at_plans(g, child)

    run(work())
    STDOUT.print("Lifted. What the sources say of this family member holds again.")


async def _look_at_plans(g: Gateway, student: str) -> None:
    """Plans that rest on them are listed at once. Should this fail, the look of every day does it."""
    async with g.store.transaction(g.district) as c:
        await attention.look_again(g.store, c, g.district, clock.today(), student)


@family.command("restrictions")
def family_restrictions(
    student: Annotated[str | None, typer.Option("--student", help="Only this student's.")] = None,
    district: District = DEFAULT_DISTRICT,
    as_json: Json = False,
) -> None:
    """List the district's own restrictions, with whom they are about as far as the roster has them."""

    async def look() -> list[dict[str, Any]]:
        async with gateway(district) as g:
            whose = None if student is None else await _person(g, student, "student")
            return await standing.restrictions(g.store, g.district, whose)

    show(run(look()), as_json, empty="The district keeps nobody from a student.")


async def _person(g: Gateway, id: str, kind: str) -> str:
    """The id that stands for this person today. ConfigError where nobody of that kind has it."""
    found = await reading.entity(g.store, g.district, "person", id) if _like_an_id(id) else None
    if found is None or population(found) != kind:
        if kind == "student":
            raise ConfigError("student-unknown", "There is no such student.", "`planbridge students` shows their ids.")
        raise ConfigError(
            "contact-unknown", "There is no such family member.", "The student's relationships name their ids."
        )
    return str(found["id"])


def _like_an_id(text: str) -> bool:
    return len(text) == 36 and text.count("-") == 4 and all(letter in "0123456789abcdefABCDEF-" for letter in text)
