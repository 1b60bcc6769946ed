"""Commands about running records: write, correct, read as of a moment, log a session, progress, verify; open plans."""

import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, get_args

import typer

from gateway import clock, contributing, desk, opening, record
from gateway.cli.access import looking
from gateway.cli.output import (
    DEFAULT_DISTRICT,
    STDERR,
    STDOUT,
    As,
    Because,
    District,
    Json,
    Role,
    actor,
    gateway,
    moment,
    plain,
    run,
    show,
)
from gateway.cli.plans import Reader, named, plan, read, read_text, student_id
from gateway.contributing import ADDED_TO
from gateway.desk import SeenEntry
from gateway.errors import ConfigError, Refused
from gateway.record import Session
from gateway.schema.record import DeliveryOutcome, Entry
from gateway.viewing import AUTHOR

records = typer.Typer(help="Running records: what is known of a student, entry by entry.", no_args_is_help=True)
Student = Annotated[str, typer.Argument(help="Student number (with leading zeros) or entity id.")]
Which = Annotated[str, typer.Argument(help="Number or id of the entry.")]
Text = Annotated[str, typer.Option("--text", help="What it says; beware that shells keep a history: or use --file.")]
File = Annotated[Path | None, typer.Option("--file", help="The entry as JSON instead.")]


def register(app: typer.Typer) -> None:
    app.add_typer(records, name="record")
    plan.command("open")(open_plans)
    plan.command("known")(known)


@records.command("add")
def add(
    student: Student,
    kind: Annotated[str, typer.Option("--kind", help="observation, meeting, family_contact ...")] = "observation",
    text: Text = "",
    file: File = None,
    on: Annotated[str, typer.Option("--on", help="Day it is about; else today.")] = "",
    domain: Annotated[str, typer.Option("--domain", help="academic, social_emotional ...")] = "",
    restricted: Annotated[bool, typer.Option("--restricted", help="Only for who may read restricted notes.")] = False,
    district: District = DEFAULT_DISTRICT,
    as_: As = "",
    role: Role = "educator",
    as_json: Json = False,
) -> None:
    """Append an entry to a student's record. What is written stays; `correct` supersedes it."""
    content: dict[str, Any] = {"kind": kind, "body": {"text": text}, "restricted": restricted}
    content |= {name: value for name, value in (("occurred_on", on), ("domain", domain)) if value}
    if file is not None:
        content = read(file)

    async def work() -> dict[str, Any]:
        async with gateway(district) as g:
            entry = await record.add(g.store, g.district, await student_id(g, student), content, _by(as_, role))
            return _told(entry)

    show(run(work()), as_json)


@records.command("input")
def add_input(
    student: Student,
    person: Annotated[str, typer.Option("--by", help="Whose words: entity id or number of a parent, or the student.")],
    section: Annotated[str, typer.Option("--section", help=f"What they speak of: {', '.join(ADDED_TO)}.")],
    text: Text = "",
    file: Annotated[Path | None, typer.Option("--file", help="A text file with their words instead.")] = None,
    on: Annotated[str, typer.Option("--on", help="Day they said it; else today.")] = "",
    district: District = DEFAULT_DISTRICT,
    as_: As = "",
    role: Role = "educator",
    as_json: Json = False,
) -> None:
    """Add what a family or the student has to say to the record, in their own words and under their name."""
    said = read_text(file) if file is not None else text

    async def work() -> dict[str, Any]:
        async with gateway(district) as g:
            who = (await looking(g, person)).person
            by = replace(_by(as_, role), person=who)
            day = moment(on).date() if on else None
            id = await student_id(g, student)
            return _told(await contributing.add(g.store, g.district, id, section, said, by, day))

    show(run(work()), as_json)


@records.command("list")
def list_entries(
    student: Student,
    as_of: Annotated[
        str, typer.Option("--as-of", help="A number of an entry, a day or a time: as it stood then.")
    ] = "",
    everything: Annotated[bool, typer.Option("--all", help="Also what was superseded.")] = False,
    district: District = DEFAULT_DISTRICT,
    as_: As = "",
    role: Reader = AUTHOR,
    as_json: Json = False,
) -> None:
    """The record as it stands, or as it stood, as far as it is for the role."""

    async def work() -> desk.SeenRecord:
        async with gateway(district) as g:
            return await desk.entries(
                g.store,
                g.district,
                await student_id(g, student),
                actor(as_, role),
                as_of=_as_of(as_of),
                everything=everything,
            )

    found = run(work())
    columns = ("seq", "kind", "domain", "occurred_on", "recorded_at", "by", "says")
    empty = "There is nothing in this record." if not found.hidden else ""
    show([_seen(one) for one in found.entries], as_json, columns=columns, empty=empty)
    _print_hidden(found.hidden, "entries")


@records.command("show")
def show_entry(
    student: Student,
    which: Which,
    district: District = DEFAULT_DISTRICT,
    as_: As = "",
    role: Reader = AUTHOR,
    as_json: Json = False,
) -> None:
    """One entry, and what became of it, as JSON, as far as it is for the role."""

    async def work() -> list[dict[str, Any]]:
        async with gateway(district) as g:
            id = await student_id(g, student)
            return [_seen(one) for one in await desk.entry(g.store, g.district, id, which, actor(as_, role))]

    found = run(work())
    if as_json:
        show(found, True)
    else:
        print(json.dumps(found, indent=2, ensure_ascii=False, default=plain))


def _print_hidden(number: int, what: str) -> None:
    if number:
        STDERR.print(f"{number} {what} are not for this role.", highlight=False)


@records.command("correct")
def correct(
    student: Student,
    which: Which,
    text: Text = "",
    file: Annotated[Path | None, typer.Option("--file", help="The new body as JSON instead.")] = None,
    withdraw: Annotated[bool, typer.Option("--withdraw", help="It does not stand, and nothing instead of it.")] = False,
    because: Because = "",
    district: District = DEFAULT_DISTRICT,
    as_: As = "",
    role: Role = "educator",
    as_json: Json = False,
) -> None:
    """Supersede an entry. Both stay to be read; what stands is the new one."""
    body = read(file) if file is not None else {"text": text} if text else None
    if withdraw == (body is not None):
        raise ConfigError("correction-unclear", "What is to stand instead?", "Give --text, --file or --withdraw.")

    async def work() -> dict[str, Any]:
        async with gateway(district) as g:
            id = await student_id(g, student)
            return _told(await record.correct(g.store, g.district, id, which, body, _by(as_, role), because))

    show(run(work()), as_json)


@records.command("forget")
def forget(
    student: Student,
    which: Which,
    because: Because = "",
    district: District = DEFAULT_DISTRICT,
    as_: As = "",
    role: Role = "district_it",
    as_json: Json = False,
) -> None:
    """Remove for good what one entry says, as a law or a court demands; that it was there stays, and verifies."""

    async def work() -> dict[str, Any]:
        async with gateway(district) as g:
            id = await student_id(g, student)
            entry = await record.forget(g.store, g.district, id, which, _by(as_, role), because)
            return {"seq": entry.seq, "removed": entry.body is not None}

    show(run(work()), as_json)


@records.command("session")
def session(
    given: Annotated[list[str], typer.Option("--for", help="PLAN/support-1 of each child; repeat for a group.")],
    minutes: Annotated[int, typer.Option("--minutes", help="How long it was.", min=1, max=1440)],
    on: Annotated[str, typer.Option("--on", help="Day; else today.")] = "",
    exceptions: Annotated[
        list[str] | None,
        typer.Option("--except", help="PLAN=student_absent, another outcome, or the minutes of that child."),
    ] = None,
    provider: Annotated[str, typer.Option("--provider", help="Entity id of who gave it.")] = "",
    district: District = DEFAULT_DISTRICT,
    as_: As = "",
    role: Role = "educator",
    as_json: Json = False,
) -> None:
    """Log a session of a support once; it stands in each child's record without naming the others."""
    plans = {plan.lower(): support for plan, _, support in (pair.partition("/") for pair in given)}
    if len(plans) < len(given):
        raise Refused("session-double", "Two of these plans are the same child's.", "Name each child once.")
    others = {plan.lower(): _exception(what) for plan, _, what in (pair.partition("=") for pair in exceptions or ())}
    day = moment(on).date() if on else clock.today()
    held = Session(day, minutes, plans, others, provider or None)

    async def work() -> list[dict[str, Any]]:
        async with gateway(district) as g:
            return [_told(entry) for entry in await record.log_session(g.store, g.district, held, _by(as_, role))]

    show(run(work()), as_json, columns=("student", "seq", "occurred_on", "says"))


def _exception(what: str) -> DeliveryOutcome | int:
    if what.isdigit():
        return int(what)
    for outcome in get_args(DeliveryOutcome):
        if what == outcome:
            return outcome  # type: ignore[no-any-return]
    known = ", ".join(get_args(DeliveryOutcome))
    raise ConfigError("session-outcome", "That is no outcome of a session.", f"Give minutes, or one of: {known}.")


@records.command("progress")
def progress(
    plan: Annotated[str, typer.Argument(help="The plan's id.")],
    district: District = DEFAULT_DISTRICT,
    as_: As = "",
    role: Reader = AUTHOR,
    as_json: Json = False,
) -> None:
    """Each goal against the line to its target, each support against its prescription."""

    async def work() -> dict[str, Any]:
        async with gateway(district) as g:
            found = await desk.progress(g.store, g.district, plan, actor(as_, role))
            return {"goals": [vars(one) for one in found.goals], "supports": [vars(one) for one in found.supports]}

    found = run(work())
    if as_json:
        show(found, True)
        return
    show(found["goals"], False, columns=("goal", "points", "sentence"), empty="This plan has no goals.")
    show(found["supports"], False, columns=("support", "name", "sentence"), empty="This plan has no supports.")


@records.command("verify")
def verify(
    student: Annotated[str, typer.Argument(help="Student number or entity id; else every record.")] = "",
    district: District = DEFAULT_DISTRICT,
    as_json: Json = False,
) -> None:
    """Compute every hash again: nothing was changed, added between or taken away."""

    async def work() -> dict[str, Any]:
        async with gateway(district) as g:
            return vars(await record.verify(g.store, g.district, await student_id(g, student) if student else None))

    found = run(work())
    if as_json:
        show(found, True)
    else:
        STDOUT.print(
            f"{found['entries']} entries in {found['records']} records; the content of {found['removed']} was removed.",
            highlight=False,
        )
        _print_faults(found["faults"])
    if found["faults"]:
        raise typer.Exit(Refused.exit_code)


def _print_faults(faults: Sequence[tuple[str, int, str]]) -> None:
    for student, seq, what in faults:
        STDOUT.print(f"Record of {student}: entry {seq} {what}.", highlight=False)


def open_plans(
    school: Annotated[str, typer.Option("--school", help="Name, number or entity id of a school.")] = "",
    grade: Annotated[str, typer.Option("--grade", help="Grade, CEDS code as 09 or KG.")] = "",
    dry: Annotated[bool, typer.Option("--dry-run", help="Only say what would be opened.")] = False,
    district: District = DEFAULT_DISTRICT,
    as_: As = "",
    role: Role = "educator",
    as_json: Json = False,
) -> None:
    """Open a plan for each student of a school or grade who has none; prefilled, and for people to go on with."""

    async def work() -> opening.Opened:
        async with gateway(district) as g:
            by = _by(as_, role)
            return await opening.open_plans(g.store, g.district, by, school=school, grade=grade, dry=dry)

    done = run(work())
    if as_json:
        plans = [{"student": student, "plan": id or None} for student, id in done.plans]
        show({"opened": len(plans), "skipped": done.skipped, "plans": plans, "dry_run": dry}, True)
        return
    if not done.plans and not done.skipped:
        STDOUT.print("No student is meant. Grades are CEDS codes: KG, 01 ... 12.")
        return
    STDOUT.print(f"{len(done.plans)} plans {'would be' if dry else 'were'} opened.", highlight=False)
    for why, many in sorted(done.skipped.items()):
        STDOUT.print(f"Students who were left out ({why}): {many}.", highlight=False)


def known(
    id: Annotated[str, typer.Argument(help="The plan's id.")],
    district: District = DEFAULT_DISTRICT,
    as_: As = "",
    role: Reader = AUTHOR,
    as_json: Json = False,
) -> None:
    """What a plan was begun with: filled in, suggested or told beside it, and which source said so."""

    async def work() -> tuple[list[dict[str, Any]], int]:
        async with gateway(district) as g:
            rows, hidden = await desk.known(g.store, g.district, id, actor(as_, role))
            return [vars(row) for row in rows], hidden

    rows, hidden = run(work())
    empty = "Nothing was known of it." if not hidden else ""
    show(rows, as_json, columns=("use", "pointer", "value", "origins"), empty=empty)
    _print_hidden(hidden, "values")


def _by(name: str, role: str) -> Any:
    return actor(named(name), role)


def _as_of(given: str) -> datetime | int | None:
    if not given:
        return None
    if given.isdigit():
        return int(given)
    found = moment(given)
    # A day is meant to its end.
    return found.replace(hour=23, minute=59, second=59, microsecond=999_999) if len(given) == 10 else found


def _seen(one: SeenEntry) -> dict[str, Any]:
    row = _told(one.entry)
    if one.entry.body is not None:
        row["says"] = one.says
    return row | ({"left_out": one.left_out} if one.left_out else {})


def _told(entry: Entry) -> dict[str, Any]:
    said = entry.said()
    return {
        "id": entry.id,
        "student": entry.student,
        "seq": entry.seq,
        "kind": entry.kind,
        "domain": entry.domain,
        "restricted": entry.restricted,
        "occurred_on": entry.occurred_at.date(),
        "recorded_at": entry.recorded_at,
        "by": entry.actor.get("name"),
        "supersedes": entry.supersedes,
        "says": "what it said was removed" if said is None else said.model_dump(mode="json", exclude_defaults=True),
        "hash": entry.hash,
    }
