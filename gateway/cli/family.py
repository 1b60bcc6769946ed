"""Commands for a family's rights: who is kept from a student, a copy of everything, requests to amend the record."""

from datetime import date
from pathlib import Path
from typing import Annotated, Any

import typer

from gateway import clock, desk
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
    day,
    gateway,
    run,
    say,
    show,
)
from gateway.cli.plans import read_text, student_id
from gateway.errors import ConfigError
from gateway.exports import family as exports
from gateway.identity import population
from gateway.store import amendments, attention, reading, standing
from gateway.store.copies import Copy

family = typer.Typer(help="A family's rights: restrictions, copies, amendments.", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    app.add_typer(family, name="family")


Student = Annotated[str, typer.Argument(metavar="STUDENT", help="Student number (with leading zeros) or entity id.")]
Contact = Annotated[str, typer.Argument(metavar="CONTACT", help="The family member's id: planbridge family members.")]
Request = Annotated[str, typer.Argument(metavar="REQUEST", help="The request: planbridge family amendments.")]


@family.command("members")
def family_members(student: Student, district: District = DEFAULT_DISTRICT, as_json: Json = False) -> None:
    """List a student's family by id and relation, without names: whom sources or the district keep away."""

    async def look() -> list[dict[str, Any]]:
        async with gateway(district) as g:
            child = await _person(g, student, "student")
            ties = await reading.referring(g.store, g.district, "relationship", "student", child)
            away = {one["contact"] for one in await standing.restrictions(g.store, g.district, child)}
            return [
                {
                    "id": tie["contact"],
                    "relation": tie.get("relation"),
                    "legal_guardian": tie.get("legal_guardian"),
                    "education_rights": tie.get("education_rights", "unknown"),
                    "restricted_by_a_source": bool(tie.get("restrictions")),
                    "kept_away_by_the_district": tie["contact"] in away,
                }
                for tie in ties
            ]

    show(run(look()), as_json, empty="No source names family of this student.")


@family.command("restrict")
def family_restrict(
    student: Student,
    contact: Contact,
    because: Because = "",
    district: District = DEFAULT_DISTRICT,
    as_: As = "district IT",
    role: Role = "district_it",
    as_json: Json = False,
) -> None:
    """Keep a family member from a student's plans by the district's own word. No source and no restore lifts it."""

    async def work() -> dict[str, Any]:
        async with gateway(district) as g:
            child, adult = await _person(g, student, "student"), await _person(g, contact, "contact")
            id = await standing.restrict(g.store, g.district, child, adult, because, actor(as_, role))
            await _look_at_plans(g, child)
            return {"id": id, "student": child, "contact": adult, "restricted": True}

    done = run(work())
    if as_json:
        show(done, True)
        return
    STDOUT.print("Kept from this student until somebody lifts it: planbridge family lift.")


@family.command("lift")
def family_lift(
    student: Student,
    contact: Contact,
    because: Because = "",
    district: District = DEFAULT_DISTRICT,
    as_: As = "district IT",
    role: Role = "district_it",
    as_json: Json = False,
) -> None:
    """End a restriction of the district's. What the sources say of this family member holds again."""

    async def work() -> dict[str, Any]:
        async with gateway(district) as g:
            child, adult = await _person(g, student, "student"), await _person(g, contact, "contact")
            await standing.lift(g.store, g.district, child, adult, because, actor(as_, role))
            await _look_at_plans(g, child)
            return {"student": child, "contact": adult, "restricted": False}

    done = run(work())
    if as_json:
        show(done, True)
        return
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


@family.command("copy")
def family_copy(
    student: Student,
    to: Annotated[Path, typer.Option("--to", help="A new or empty folder.")],
    recipient: Annotated[
        str, typer.Option("--for", help="The family member who gets it; without, no other person's contacts are in it.")
    ] = "",
    district: District = DEFAULT_DISTRICT,
    as_: As = "district IT",
    role: Role = "district_it",
    as_json: Json = False,
) -> None:
    """Write everything about one student into a folder, as JSON and as a page to read."""
    exports.prepare(to)

    async def work() -> Copy:
        async with gateway(district) as g:
            child = await _person(g, student, "student")
            adult = await _person(g, recipient, "contact") if recipient else ""
            return await desk.family_copy(g.store, g.district, child, adult, actor(as_, role))

    done = exports.write(run(work()), to)
    if as_json:
        show(done | {"folder": str(to)}, True)
        return
    show([{"part": part, "rows": rows} for part, rows in done["rows"].items()], False)
    for what, n in done["left_out"].items():
        STDOUT.print(f"Left out: {n} {what}.", highlight=False)
    STDOUT.print(f"{to / exports.PAGE} is the page to read. Hand it over safely, then remove the folder.", markup=False)


@family.command("amend")
def family_amend(
    student: Student,
    by: Annotated[str, typer.Option("--by", help="Who asks.")],
    about: Annotated[str, typer.Option("--about", help="Which part of the record.")],
    asked: Annotated[str, typer.Option("--asked", help="What is to be changed, and why.")],
    on: Annotated[date | None, typer.Option("--on", parser=day, metavar="DATE", help="Day it was asked.")] = None,
    due: Annotated[date | None, typer.Option("--due", parser=day, metavar="DATE", help="Day of the answer.")] = None,
    district: District = DEFAULT_DISTRICT,
    as_: As = "district IT",
    role: Role = "district_it",
    as_json: Json = False,
) -> None:
    """Record a family's request to amend the student's record. It is answered within 45 days, or by --due."""
    asked_on = on or clock.today()
    until = due or asked_on + amendments.ANSWER_IN

    async def work() -> str:
        async with gateway(district) as g:
            child = await _person(g, student, "student")
            async with g.store.transaction(g.district) as c:
                return await amendments.ask(
                    g.store, c, g.district, child, by, about, asked, asked_on, until, actor(as_, role)
                )

    made = run(work())
    say({"id": made, "due_on": until}, as_json, f"Request {made}, to be answered by {until}: planbridge family decide.")


@family.command("amendments")
def family_amendments(
    student: Annotated[str | None, typer.Option("--student", help="Only this student's.")] = None,
    overdue: Annotated[bool, typer.Option("--overdue", help="Only those whose day of the answer is past.")] = False,
    district: District = DEFAULT_DISTRICT,
    as_json: Json = False,
) -> None:
    """List requests to amend a record, those that wait longest first."""

    async def look() -> list[dict[str, Any]]:
        async with gateway(district) as g:
            whose = None if student is None else await _person(g, student, "student")
            async with g.store.transaction(g.district) as c:
                return await amendments.listed(c, clock.today(), whose)

    found = [one for one in run(look()) if one["overdue"] or not overdue]
    columns = ("id", "student", "about", "asked_on", "due_on", "overdue", "decision")
    show(found, as_json, columns=columns, empty="No request.")


@family.command("decide")
def family_decide(
    request: Request,
    grant: Annotated[bool, typer.Option("--grant", help="The record is amended, in its source.")] = False,
    refuse: Annotated[bool, typer.Option("--refuse", help="The record stays as it is.")] = False,
    because: Because = "",
    district: District = DEFAULT_DISTRICT,
    as_: As = "district IT",
    role: Role = "district_it",
    as_json: Json = False,
) -> None:
    """Answer a request to amend the record."""
    if grant == refuse:
        raise ConfigError("decision-unclear", "A request is either granted or refused.", "Give --grant or --refuse.")

    async def work() -> None:
        async with gateway(district) as g, g.store.transaction(g.district) as c:
            decision: amendments.Decision = "granted" if grant else "refused"
            await amendments.decide(c, g.district, request, decision, because, actor(as_, role))

    run(work())
    if as_json:
        show({"id": request, "decision": "granted" if grant else "refused"}, True)
    elif grant:
        STDOUT.print("Granted. Correct it where it comes from; the next pull brings the correction.")
    else:
        STDOUT.print(
            "Refused. Tell the family so, and of their right to a hearing; if it stays refused, keep their statement: "
            "planbridge family statement."
        )


@family.command("statement")
def family_statement(
    request: Request,
    text: Annotated[str, typer.Option("--text", help="The family's own words.")] = "",
    file: Annotated[Path | None, typer.Option("--file", help="A text file with them.")] = None,
    district: District = DEFAULT_DISTRICT,
    as_: As = "district IT",
    role: Role = "district_it",
    as_json: Json = False,
) -> None:
    """Keep the family's statement beside what was not amended, word for word."""
    said = text if file is None else read_text(file)

    async def work() -> None:
        async with gateway(district) as g, g.store.transaction(g.district) as c:
            await amendments.state(c, g.district, request, said, actor(as_, role))

    run(work())
    if as_json:
        show({"id": request, "statement": True}, True)
        return
    STDOUT.print("Kept. It goes with every copy of the record.")


async def _person(g: Gateway, id: str, kind: str) -> str:
    """The id that stands for this person today; a student's number will do. ConfigError where nobody is meant."""
    if kind == "student" and not _like_an_id(id):
        return await student_id(g, id)
    found = await reading.entity(g.store, g.district, "person", id) if _like_an_id(id) else None
    if found is None or population(found) != kind:
        if kind == "student":
            raise ConfigError("student-unknown", "There is no such student.", "`planbridge students` shows their ids.")
        raise ConfigError(
            "contact-unknown", "There is no such family member.", "`planbridge family members STUDENT` lists them."
        )
    return str(found["id"])


def _like_an_id(text: str) -> bool:
    return len(text) == 36 and text.count("-") == 4 and all(letter in "0123456789abcdefABCDEF-" for letter in text)
