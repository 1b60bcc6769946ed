"""Commands about who may see what: access why, review, reveal; consents; disclosures; purposes."""

from collections.abc import Mapping
from datetime import date
from typing import Annotated, Any

import typer

from gateway import access as rules
from gateway import clock, viewing
from gateway.access import PURPOSES, SAYS, Who
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
from gateway.cli.plans import named, student_id
from gateway.errors import ConfigError
from gateway.store import consents as stored_consents
from gateway.store import disclosures as stored_disclosures
from gateway.store import purposes as stored_purposes
from gateway.store import reading
from gateway.store.consents import CAPACITIES, Given

access = typer.Typer(help="Who may see what of a student, and why.", no_args_is_help=True)
consents = typer.Typer(help="Who lets whom see what of a student.", no_args_is_help=True)
purposes = typer.Typer(help="What assessments are for, where their source does not say it.", no_args_is_help=True)
Student = Annotated[str, typer.Argument(help="Student number (with leading zeros) or entity id.")]
Sections = Annotated[list[str] | None, typer.Option("--section", help="A section, as docs/access.md names it; repeat.")]


def register(app: typer.Typer) -> None:
    app.add_typer(access, name="access")
    app.add_typer(consents, name="consents")
    app.add_typer(purposes, name="purposes")
    app.command()(disclosures)


async def looking(g: Gateway, given: str) -> Who:
    """Whom a command names: a role, or a person of the roster by entity id or exact number. ConfigError for nobody."""
    if given in SAYS:
        return Who(says=SAYS[given])
    people = await reading.entities(g.store, g.district, "person")
    found = [
        one["id"]
        for one in people
        if one["id"] == given or any(number["value"] == given for number in one.get("identifiers", ()))
    ]
    if len(found) != 1:
        raise ConfigError(
            "person-unknown",
            f"{'Nobody' if not found else 'More than one person'} on the roster is known as {given!r}.",
            f"Give the entity id, or a role: {', '.join(SAYS)}.",
        )
    return Who(person=found[0])


@access.command("why")
def why(
    person: Annotated[str, typer.Argument(help="Entity id or number of a person, or a role.")],
    student: Student,
    district: District = DEFAULT_DISTRICT,
    as_json: Json = False,
) -> None:
    """Say of each section whether somebody may see it, and by which reason."""

    async def work() -> list[dict[str, Any]]:
        async with gateway(district) as g:
            who = await looking(g, person)
            return rules.as_words(await viewing.why(g.store, g.district, who, await student_id(g, student)))

    show(run(work()), as_json)


@access.command("review")
def review(
    school: Annotated[str, typer.Option("--school", help="Entity id of a school; else the whole district.")] = "",
    days: Annotated[int, typer.Option("--days", help="How far back to look for who saw something.", min=1)] = 30,
    district: District = DEFAULT_DISTRICT,
    as_json: Json = False,
) -> None:
    """List who may see students of a school, by which tie, and who saw something of them lately."""

    async def work() -> dict[str, Any]:
        async with gateway(district) as g:
            students, rows = await viewing.review(g.store, g.district, school or None)
            async with g.store.transaction(g.district) as c:
                return {"may": rows, "saw": await stored_disclosures.lately(c, students, days)}

    found = run(work())
    if as_json:
        show(found, True)
        return
    show(found["may"], False, title="Who may see students", columns=("person", "as", "students", "reads", "masked"),
         empty="Nobody is tied to a student here.")  # fmt: skip
    show(found["saw"], False, title=f"\nWho saw something in the last {days} days", empty="Nobody looked.")


@access.command("reveal")
def reveal(
    student: Student,
    because: Because = "",
    section: Sections = None,
    district: District = DEFAULT_DISTRICT,
    as_: As = "",
    role: Role = "district_it",
    as_json: Json = False,
) -> None:
    """Open what is masked to you for fifteen minutes, with a reason; whoever is told of it gets a notice."""

    async def work() -> list[Any]:
        async with gateway(district) as g:
            who, wanted = Who(says=_said(role)), stored_consents.checked_sections(section or ())
            by = actor(named(as_), role)
            return list(
                await viewing.reveal(g.store, g.district, await student_id(g, student), who, by, because, wanted)
            )

    opened = run(work())
    if as_json:
        show({"sections": opened, "minutes": 15}, True)
        return
    STDOUT.print(f"Open for fifteen minutes: {', '.join(opened)}. It is on record, and told.", highlight=False)


def _said(role: str) -> rules.Role:
    if role not in SAYS:
        raise ConfigError("role-unknown", f"There is no role {role!r}.", f"Choose from: {', '.join(SAYS)}.")
    return SAYS[role]


@consents.command("add")
def consents_add(
    student: Student,
    by: Annotated[str, typer.Option("--by", help="Who gives it: entity id, or the name of whoever is in no feed.")],
    to: Annotated[
        str,
        typer.Option(
            "--to", metavar="KIND:NAME", help="destination:ods, program:ID, person:ID or organization:Lantern Club."
        ),
    ],
    section: Annotated[list[str], typer.Option("--section", help="A section it covers; repeat.")],
    begin: Annotated[date, typer.Option("--from", parser=day, metavar="DATE", help="First day.")],
    until: Annotated[date, typer.Option("--until", parser=day, metavar="DATE", help="Last day.")],
    as_what: Annotated[str, typer.Option("--as-what", help=f"As what: {', '.join(CAPACITIES)}.")] = "guardian",
    purpose: Annotated[str, typer.Option("--purpose", help=f"What for: {', '.join(PURPOSES)}.")] = "planning",
    deny: Annotated[bool, typer.Option("--deny", help="It forbids these sections instead.")] = False,
    evidence: Annotated[str, typer.Option("--evidence", help="Where the signed paper is.")] = "",
    district: District = DEFAULT_DISTRICT,
    as_: As = "",
    role: Role = "educator",
    as_json: Json = False,
) -> None:
    """Record that somebody with the right to do so lets a recipient see sections of a student, or forbids it."""

    async def work() -> int:
        async with gateway(district) as g:
            by_whom = actor(named(as_), role)
            await stored_purposes.refuse_judging(g.store, g.district, purpose, to, by_whom)
            given = Given(
                await student_id(g, student), by, as_what, to, section, purpose, not deny, begin, until, evidence
            )
            async with g.store.transaction(g.district) as c:
                return await stored_consents.add(g.store, c, g.district, given, by_whom)

    made = run(work())
    say({"id": made}, as_json, f"Consent {made} is recorded.")


@consents.command("list")
def consents_list(
    student: Annotated[str, typer.Option("--student", help="Only this student's.")] = "",
    district: District = DEFAULT_DISTRICT,
    as_json: Json = False,
) -> None:
    """List consents, the newest first."""

    async def look() -> list[dict[str, Any]]:
        async with gateway(district) as g:
            only = await student_id(g, student) if student else None
            async with g.store.transaction(g.district) as c:
                return await stored_consents.listed(c, only)

    columns = ("id", "student", "capacity", "recipient", "sections", "permit", "from_on", "until_on", "revoked_at")
    show(run(look()), as_json, columns=columns, empty="There is no consent.")


@consents.command("revoke")
def consents_revoke(
    number: Annotated[int, typer.Argument(metavar="NUMBER", help="The consent: planbridge consents list.")],
    because: Because = "",
    district: District = DEFAULT_DISTRICT,
    as_: As = "",
    role: Role = "educator",
    as_json: Json = False,
) -> None:
    """Take a consent back: nothing is shown or sent under it from now on, not even what waits to be sent."""

    async def work() -> None:
        async with gateway(district) as g, g.store.transaction(g.district) as c:
            await stored_consents.revoke(g.store, c, g.district, number, because, actor(named(as_), role))

    run(work())
    say({"id": number, "revoked": True}, as_json, f"Consent {number} is revoked.")


def disclosures(
    student: Student,
    everything: Annotated[bool, typer.Option("--all", help="Also what the district's own staff looked at.")] = False,
    district: District = DEFAULT_DISTRICT,
    as_json: Json = False,
) -> None:
    """Tell a family who was shown what of a student, when, what for, and by which right."""

    async def look() -> list[dict[str, Any]]:
        async with gateway(district) as g:
            id = await student_id(g, student)
            async with g.store.transaction(g.district) as c:
                return await stored_disclosures.of_student(c, id, outside=None if everything else True)

    found = run(look())
    if as_json:
        show(found, True)
        return
    for one in found:
        STDOUT.print(in_words(one), markup=False, highlight=False)
    if not found:
        STDOUT.print("Nothing of this student was shown to anybody outside." if not everything else "Nobody looked.")


def in_words(one: Mapping[str, Any]) -> str:
    """One line of the log as a family reads it."""
    what = ", ".join(section.replace("_", " ") for section in one["sections"]) or "nothing"
    done = {"read": "was shown", "push": "was sent", "reveal": "opened"}[one["act"]]
    party = str(one["party"]).replace("_", " ").removesuffix(".")
    what_for = PURPOSES.get(one["purpose"], one["purpose"])
    return f"{one['at']:%d %B %Y, %H:%M} UTC: {party} {done} {what}. What for: {what_for}. Why: {one['basis']}"


@purposes.command("list")
def purposes_list(district: District = DEFAULT_DISTRICT, as_json: Json = False) -> None:
    """List assessments, what their source says they are for, and as what their results count."""

    async def look() -> list[dict[str, Any]]:
        async with gateway(district) as g, g.store.transaction(g.district) as c:
            return await stored_purposes.listed(c)

    columns = ("id", "title", "stated", "decided", "counts_as")
    show(run(look()), as_json, columns=columns, empty="There is no assessment.")


@purposes.command("set")
def purposes_set(
    assessment: Annotated[str, typer.Argument(help="The assessment's title or entity id: planbridge purposes list.")],
    purpose: Annotated[str, typer.Argument(help=f"{', '.join(rules.RESULT_PURPOSES)}.")],
    because: Because = "",
    district: District = DEFAULT_DISTRICT,
    as_: As = "",
    role: Role = "district_it",
    as_json: Json = False,
) -> None:
    """Say what an assessment is for of which its source says nothing; until then its results are diagnostic."""

    async def work() -> None:
        async with gateway(district) as g, g.store.transaction(g.district) as c:
            await stored_purposes.decide(c, g.district, assessment, purpose, because, actor(named(as_), role))

    run(work())
    say(
        {"assessment": assessment, "counts_as": purpose, "since": clock.today()},
        as_json,
        f"Its results count as {purpose} from {clock.today()} on.",
    )
