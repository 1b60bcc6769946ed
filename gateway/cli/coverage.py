"""Commands about whom plans reach: coverage, load, equity."""

from typing import Annotated, Any, get_args

import typer

from gateway import clock, coverage, desk
from gateway.access import ADMINISTRATORS
from gateway.cli.attention import School, school_id
from gateway.cli.output import DEFAULT_DISTRICT, As, District, Json, Role, actor, gateway, run, show
from gateway.cli.plans import Reader, named
from gateway.coverage import LACKS, STATES, Dimension, Row, Student
from gateway.errors import ConfigError, Refused
from gateway.store import coverage as stored
from gateway.store import registers
from gateway.store.database import Transaction
from gateway.viewing import AUTHOR

HIDDEN = "not told"


def register(app: typer.Typer) -> None:
    app.command("coverage")(cover)
    app.command()(load)
    app.command()(equity)


def cover(
    school: School = "",
    grade: Annotated[str, typer.Option("--grade", help="Only this grade, by its CEDS code: KG, 01 ... 12.")] = "",
    state: Annotated[str, typer.Option("--state", help="List the students in this state instead of counting.")] = "",
    no_adult: Annotated[
        bool, typer.Option("--no-adult", help="List those whose team has no trusted adult who is here.")
    ] = False,
    district: District = DEFAULT_DISTRICT,
    as_: As = "",
    role: Reader = AUTHOR,
    as_json: Json = False,
) -> None:
    """In which state every enrolled student is on the way to a plan, school by school: each in exactly one."""
    if state and state not in STATES:
        raise ConfigError("state-unknown", f"{state!r} is no state.", f"Choose one of {', '.join(STATES)}.")

    async def work() -> list[dict[str, Any]]:
        async with gateway(district) as g:
            at = await school_id(g, school)
            async with g.store.transaction(g.district) as c:
                await desk.over_students(c, g.district, actor(as_, role), "coverage")
                everybody = await stored.enrolled(c, clock.today())
                meant = [one for one in everybody if at in ("", one.school) and grade in ("", one.grade)]
                if state:
                    return await _students(c, [one for one in meant if one.state == state])
                here = (await stored.who_is_here(c, meant, clock.today())).__contains__
                alone = [one for one in meant if coverage.without_adult(one, here)]
                return await (_students(c, alone) if no_adult else _counts(c, meant, alone))

    asked = school or grade or state or no_adult
    none = "No student is meant. Grades are CEDS codes: KG, 01 ... 12." if asked else "Nobody is enrolled today."
    show(run(work()), as_json, empty=none)


async def _students(c: Transaction, students: list[Student]) -> list[dict[str, Any]]:
    names = await stored.names(c, (one.school for one in students))
    return [
        {
            "student": one.id,
            "school": names.get(one.school, one.school),
            "grade": one.grade,
            "state": one.state,
            "plan": one.plan.id if one.plan else None,
        }
        for one in students
    ]


async def _counts(c: Transaction, students: list[Student], alone: list[Student]) -> list[dict[str, Any]]:
    found = coverage.counted(students)
    names = await stored.names(c, found)
    rows: list[dict[str, Any]] = [
        {"school": names.get(place, place), "students": sum(at.values())}
        | at
        | {"without_trusted_adult": sum(one.school == place for one in alone)}
        for place, at in sorted(found.items(), key=lambda item: names.get(item[0], item[0]))
    ]
    if len(rows) > 1:
        rows.append({"school": "all"} | {name: sum(row[name] for row in rows) for name in rows[0] if name != "school"})
    return rows


def load(
    school: School = "",
    district: District = DEFAULT_DISTRICT,
    as_: As = "",
    role: Reader = AUTHOR,
    as_json: Json = False,
) -> None:
    """What everybody answers for in open plans: to plan work by. It rates nobody."""

    async def work() -> list[dict[str, Any]]:
        async with gateway(district) as g:
            at = await school_id(g, school)
            async with g.store.transaction(g.district) as c:
                await desk.over_students(c, g.district, actor(as_, role), "load")
                students = [one for one in await stored.enrolled(c, clock.today()) if at in ("", one.school)]
                found = coverage.loads(students)
                here = await stored.who_is_here(c, students, clock.today())
                names = await stored.names(c, (one.person for one in found))
                rows = [{"name": names.get(one.person, ""), **vars(one), "here": one.person in here} for one in found]
                return sorted(rows, key=lambda row: (row["name"], row["person"]))

    show(run(work()), as_json, empty="Nobody answers for a support of an open plan.")


def equity(
    by: Annotated[
        list[str] | None, typer.Option("--by", help=f"One of {', '.join(get_args(Dimension))}; repeat for several.")
    ] = None,
    district: District = DEFAULT_DISTRICT,
    as_: As = "",
    role: Role = "",
    as_json: Json = False,
) -> None:
    """Whom plans do not reach: how many lack a plan, an owner, a consultation, delivered minutes; never by teacher."""
    wanted = [one for one in get_args(Dimension) if one in (by or get_args(Dimension))]
    if unknown := set(by or ()) - set(wanted):
        raise ConfigError(
            "equity-dimension",
            f"Nothing is told by {', '.join(sorted(unknown))}.",
            f"Choose from {', '.join(get_args(Dimension))}.",
        )
    who = actor(named(as_), role)
    if role not in ADMINISTRATORS:
        raise Refused(
            "equity-role",
            "Counts by program status are for those who administer a school or the district.",
            f"Give --role: {', '.join(sorted(ADMINISTRATORS))}.",
        )

    async def work() -> dict[str, Any]:
        async with gateway(district) as g:
            async with g.store.transaction(g.district) as c:
                students = await stored.enrolled(c, clock.today())
                here = (await stored.who_is_here(c, students, clock.today())).__contains__
                together, found = coverage.reach(students, wanted, here)
                names = await stored.names(c, (row.group for row in found.get("school", ())))
                await registers.log_act(c, g.district, who, "equity-view", "", {"by": wanted})
            return {
                "all": _told(together, {}),
                "by": {dimension: [_told(row, names) for row in rows] for dimension, rows in found.items()},
            }

    found = run(work())
    if as_json:
        show(found, True)
        return
    show([_plain(found["all"])], False, title=f"Students who lack what (numbers below {coverage.SMALL} are not told)")
    for dimension, rows in found["by"].items():
        show([_plain(row) for row in rows], False, title=f"\nBy {dimension}")


def _told(row: Row, names: dict[str, str]) -> dict[str, Any]:
    return {"group": names.get(row.group, row.group), "students": row.students} | {
        f"without_{what}": row.lacks[what] for what in LACKS
    }


def _plain(row: dict[str, Any]) -> dict[str, Any]:
    return {name: HIDDEN if value is None else value for name, value in row.items()}
