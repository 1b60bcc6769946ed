"""Commands about agreements with vendors, what they reach and read, and whom an incident concerns."""

import csv
import hashlib
import json
import sys
from collections.abc import Iterable, Sequence
from datetime import date, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from gateway import clock
from gateway import vendors as rules
from gateway.access import PURPOSES
from gateway.cli.output import (
    DEFAULT_DISTRICT,
    STDOUT,
    As,
    Because,
    District,
    Json,
    Role,
    actor,
    day,
    gateway,
    moment,
    run,
    say,
    show,
)
from gateway.cli.plans import named, student_id
from gateway.errors import ConfigError
from gateway.served import WRITABLE
from gateway.store import bulk as stored_bulk
from gateway.store import reads
from gateway.store import vendors as stored
from gateway.store.previews import Preview
from gateway.vendors import MOST_PAGES, Agreement, Terms

vendors = typer.Typer(
    help="Agreements with vendors: what each may see, and what it really reads.", no_args_is_help=True
)
Number = Annotated[int, typer.Argument(metavar="AGREEMENT", help="Its number: planbridge vendors list.")]
Several = list[str] | None
ALL = "all"


def register(app: typer.Typer) -> None:
    app.add_typer(vendors, name="vendors")
    app.command()(incident)


@vendors.command("agree")
def agree(
    client: Annotated[str, typer.Argument(metavar="CLIENT", help="The program: planbridge client list.")],
    collection: Annotated[
        Several,
        typer.Option(
            "--collection",
            metavar="NAME[=FIELD,FIELD]",
            help="What it may be served, and which fields of it; without, all. Repeat. "
            f"{', '.join(rules.COLLECTIONS)}.",
        ),
    ] = None,
    purpose: Annotated[str | None, typer.Option("--purpose", help=f"What for: {', '.join(PURPOSES)}.")] = None,
    basis: Annotated[str | None, typer.Option("--basis", help=f"By which right: {', '.join(rules.BASES)}.")] = None,
    signer: Annotated[str | None, typer.Option("--signer", help="Who signed for the district.")] = None,
    document: Annotated[
        str | None, typer.Option("--document", help="Where the signed paper is; of a file its SHA-256 is kept.")
    ] = None,
    breach: Annotated[str | None, typer.Option("--breach-contact", help="Whom to call at the vendor.")] = None,
    begin: Annotated[date | None, typer.Option("--from", parser=day, metavar="DATE", help="First day.")] = None,
    until: Annotated[date | None, typer.Option("--until", parser=day, metavar="DATE", help="Last day.")] = None,
    destroy: Annotated[
        date | None, typer.Option("--destroy-by", parser=day, metavar="DATE", help="When all of it is destroyed.")
    ] = None,
    school: Annotated[Several, typer.Option("--school", help=f"Entity id; repeat; `{ALL}` for all.")] = None,
    grade: Annotated[Several, typer.Option("--grade", help=f"Repeat; `{ALL}` for all.")] = None,
    class_: Annotated[Several, typer.Option("--class", help=f"Entity id; repeat; `{ALL}` for all.")] = None,
    subject: Annotated[
        Several, typer.Option("--subject", help=f"Classes of this subject, name or code; repeat; `{ALL}` for all.")
    ] = None,
    course: Annotated[
        Several, typer.Option("--course", help=f"Classes of this course code; repeat; `{ALL}` for all.")
    ] = None,
    only_classes: Annotated[
        bool | None, typer.Option("--only-classes/--whole-schools", help="Students of those classes only.")
    ] = None,
    people: Annotated[Several, typer.Option("--people", help="student, staff, contact; repeat.")] = None,
    authoring: Annotated[
        bool | None, typer.Option("--authoring/--no-authoring", help="It writes plans on behalf of educators.")
    ] = None,
    bulk: Annotated[
        bool | None, typer.Option("--bulk/--no-bulk", help="It may be given leave to take whole collections.")
    ] = None,
    writes: Annotated[
        Several, typer.Option("--writes", help=f"What it writes itself; repeat: {', '.join(WRITABLE)}; `none`.")
    ] = None,
    pages: Annotated[
        int | None,
        typer.Option("--pages", min=1, max=MOST_PAGES, help="Pages of a collection in a day before that is bulk."),
    ] = None,
    district: District = DEFAULT_DISTRICT,
    as_: As = "",
    role: Role = "district_it",
    as_json: Json = False,
) -> None:
    """Draft what a program may see. Of one that has an agreement, what is not given stays as it is. Nothing changes
    for the vendor before somebody else approves it."""
    given = {
        "purpose": purpose,
        "basis": basis,
        "signer": signer,
        "document": None if document is None else _document(document),
        "breach_contact": breach,
        "begin": begin,
        "until": until,
        "destroy_by": destroy,
        "collections": None if collection is None else _collections(collection),
        "authoring": authoring,
        "bulk": bulk,
        "writes": [] if writes == ["none"] else writes,
        "pages": pages,
    }
    rule = {
        "schools": school,
        "grades": grade,
        "classes": class_,
        "subjects": subject,
        "courses": course,
        "only_classes": only_classes,
        "people": people,
    }

    async def work() -> tuple[Agreement, Preview]:
        async with gateway(district) as g:
            async with g.store.transaction(g.district) as c:
                before = await stored.open_terms(c, client)
            terms = _terms(before, given, rule)
            made = await stored.draft(g.store, g.district, client, terms, actor(named(as_), role))
            async with g.store.transaction(g.district) as c:
                return made, await stored.preview(c, made)

    made, seen = run(work())
    _show_preview(made, seen, as_json)
    if not as_json:
        STDOUT.print(f"\nNothing has changed for the vendor: planbridge vendors approve {made.id}", highlight=False)


def _document(said: str) -> str:
    file = Path(said)
    return f"sha256:{hashlib.sha256(file.read_bytes()).hexdigest()}" if file.is_file() else said


def _collections(said: Sequence[str]) -> dict[str, list[str] | None]:
    found: dict[str, list[str] | None] = {}
    for one in said:
        name, equals, fields = one.partition("=")
        found[name] = [field.strip() for field in fields.split(",") if field.strip()] if equals else None
    return found


def _terms(before: Terms | None, given: dict[str, Any], rule: dict[str, Any]) -> Terms:
    """The newest terms, with what was given in its place."""
    said: dict[str, Any] = json.loads(rules.as_json(before)) if before else {}
    said |= {name: value for name, value in given.items() if value is not None}
    asked = {name: None if value == [ALL] else value for name, value in rule.items() if value is not None}
    said["rule"] = said.get("rule", {}) | asked
    if lacking := [name for name in ("purpose", "basis", "signer", "document", "breach_contact", "begin", "until",
                                     "collections") if name not in said]:  # fmt: skip
        raise ConfigError(
            "vendor-terms-incomplete",
            f"These terms are not complete. Not said: {', '.join(lacking)}.",
            "`planbridge vendors agree --help` names the options.",
        )
    return rules.from_json(said)


@vendors.command("preview")
def preview(number: Number, district: District = DEFAULT_DISTRICT, as_json: Json = False) -> None:
    """Show whom the newest draft would reach, and what that changes for the vendor."""

    async def look() -> tuple[Agreement, Preview]:
        async with gateway(district) as g, g.store.transaction(g.district) as c:
            drafted = await stored.get(c, number)
            return drafted, await stored.preview(c, drafted)

    _show_preview(*run(look()), as_json)


def _show_preview(drafted: Agreement, seen: Preview, as_json: bool) -> None:
    document = {"agreement": drafted.id, "version": drafted.version, "client": drafted.client} | seen.as_document()
    if as_json:
        show(document, True)
        return
    STDOUT.print(f"Agreement {drafted.id} with {drafted.client}, draft {drafted.version}.", highlight=False)
    show([{"rows of": name, "reached": n} for name, n in seen.rows.items()], False, empty="It reaches nothing.")
    show(seen.schools, False, title="\nSchools", empty="No school.",
         columns=("name", "classes", "students", "staff", "grades"))  # fmt: skip
    show(seen.examples, False, title="\nSome of them, masked", empty="Nobody.")
    STDOUT.print(
        f"\nPeople seen today: {seen.widening.seen}. Newly seen: {seen.newly}. No longer seen: {seen.no_longer}.",
        highlight=False,
    )
    for what, names in (("schools", seen.widening.schools), ("sensitive fields", seen.widening.fields)):
        if names:
            STDOUT.print(f"New {what}: {', '.join(names)}.", highlight=False, markup=False)
    if seen.widening.large:
        STDOUT.print(f"To approve this, add --people {seen.widening.people}.", highlight=False)


@vendors.command("approve")
def approve(
    number: Number,
    people: Annotated[
        int | None,
        typer.Option("--people", help="How many people it newly shows, where that is many: see the preview."),
    ] = None,
    district: District = DEFAULT_DISTRICT,
    as_: As = "",
    role: Role = "administrator",
    as_json: Json = False,
) -> None:
    """Put the newest draft in force."""

    async def work() -> Preview:
        async with gateway(district) as g, g.store.transaction(g.district) as c:
            return await stored.approve(c, g.district, number, actor(named(as_), role), people=people)

    seen = run(work())
    say(
        {"agreement": number} | seen.as_document(),
        as_json,
        f"Agreement {number} is in force: {sum(seen.people.values())} people are reached, {seen.newly} newly, "
        f"{seen.no_longer} no longer.",
    )


@vendors.command("list")
def vendors_list(district: District = DEFAULT_DISTRICT, as_json: Json = False) -> None:
    """List the agreements with vendors, and which of them wait for approval."""

    async def look() -> list[dict[str, Any]]:
        async with gateway(district) as g, g.store.transaction(g.district) as c:
            return await stored.listed(c)

    columns = ("id", "client", "name", "state", "begin_on", "until_on", "draft", "destroy_by", "destroyed_on")
    show(run(look()), as_json, columns=columns, empty="There is no agreement with a vendor.")


@vendors.command("show")
def vendors_show(number: Number, district: District = DEFAULT_DISTRICT, as_json: Json = False) -> None:
    """Show what was agreed, version by version, by whom drafted and approved."""

    async def look() -> dict[str, Any]:
        async with gateway(district) as g, g.store.transaction(g.district) as c:
            return await stored.shown(c, number)

    found = run(look())
    if as_json:
        show(found, True)
        return
    request, versions = found.pop("destruction"), found.pop("versions")
    show(found, False)
    for one in versions:
        STDOUT.print(f"\nVersion {one['version']}, drafted by {one['actor']['name']}", markup=False, highlight=False)
        show([{"what": name, "agreed": value} for name, value in one["terms"].items()], False)
    if request:
        STDOUT.print(f"\n{request}", markup=False, highlight=False)


@vendors.command("use")
def use(number: Number, district: District = DEFAULT_DISTRICT, as_json: Json = False) -> None:
    """Show of each collection that is agreed which fields were read, which never were, and when last."""

    async def look() -> list[dict[str, Any]]:
        async with gateway(district) as g, g.store.transaction(g.district) as c:
            return await stored.use(c, number)

    show(run(look()), as_json, columns=("collection", "reads", "last", "read", "never_read"))


@vendors.command("end")
def end(
    number: Number,
    because: Because = "",
    district: District = DEFAULT_DISTRICT,
    as_: As = "",
    role: Role = "district_it",
    as_json: Json = False,
) -> None:
    """End an agreement now: its tokens are worth nothing. Lists all that was received and writes the letter that asks
    to destroy it."""

    async def work() -> dict[str, Any]:
        async with gateway(district) as g, g.store.transaction(g.district) as c:
            return await stored.end(g.store, c, g.district, number, because, actor(named(as_), role))

    found = run(work())
    if as_json:
        show(found, True)
        return
    show(found["received"], False, title="Received", empty="It never received anything of a student.")
    STDOUT.print(f"\n{found['request']}", markup=False, highlight=False)


@vendors.command("destroyed")
def destroyed(
    number: Number,
    on: Annotated[date | None, typer.Option("--on", parser=day, metavar="DATE", help="When; else today.")] = None,
    district: District = DEFAULT_DISTRICT,
    as_: As = "",
    role: Role = "district_it",
    as_json: Json = False,
) -> None:
    """Record that the vendor confirmed that it destroyed everything."""

    async def work() -> None:
        async with gateway(district) as g, g.store.transaction(g.district) as c:
            await stored.destroyed(c, g.district, number, on or clock.today(), actor(named(as_), role))

    run(work())
    say(
        {"agreement": number, "destroyed_on": on or clock.today()},
        as_json,
        f"It is on record that what was received under agreement {number} is destroyed.",
    )


@vendors.command("bulk")
def bulk(
    number: Number,
    because: Because = "",
    until: Annotated[date | None, typer.Option("--until", parser=day, metavar="DATE", help="Last day.")] = None,
    per_day: Annotated[int, typer.Option("--per-day", min=1, help="How many exports within a day.")] = 1,
    off: Annotated[bool, typer.Option("--off", help="Take the leave back.")] = False,
    district: District = DEFAULT_DISTRICT,
    as_: As = "",
    role: Role = "district_it",
    as_json: Json = False,
) -> None:
    """Give a program leave to take whole collections at once, or take it back."""

    async def work() -> date | None:
        by = actor(named(as_), role)
        async with gateway(district) as g, g.store.transaction(g.district) as c:
            found = await stored.get(c, number)
            if off:
                await stored_bulk.take_back(c, g.district, number, by)
                return None
            in_force = await stored.in_force(c, found.client, clock.today())
            last = until or in_force.until
            await stored_bulk.grant(c, g.district, in_force, because, per_day, last, by)
            return last

    last = run(work())
    say(
        {"agreement": number, "until": last},
        as_json,
        "The leave is ended." if last is None else f"Leave is given until {last}.",
    )


@vendors.command("opt-out")
def opt_out(
    student: Annotated[str, typer.Argument(help="Student number (with leading zeros) or entity id.")],
    by: Annotated[str, typer.Option("--by", help="Who said so: entity id, or the name of whoever is in no feed.")] = "",
    off: Annotated[bool, typer.Option("--off", help="The family takes its word back.")] = False,
    district: District = DEFAULT_DISTRICT,
    as_: As = "",
    role: Role = "educator",
    as_json: Json = False,
) -> None:
    """Record that a family wants nothing of the student given as directory information, or no longer so."""

    async def work() -> None:
        async with gateway(district) as g:
            id = await student_id(g, student)
            async with g.store.transaction(g.district) as c:
                if off:
                    await stored.opt_in(g.store, c, g.district, id, actor(named(as_), role))
                else:
                    await stored.opt_out(g.store, c, g.district, id, by, actor(named(as_), role))

    run(work())
    say({"opted_out": not off}, as_json, "It holds no longer." if off else "It holds from now on.")


def incident(
    client: Annotated[str, typer.Option("--client", help="The program whose credentials leaked.")],
    begin: Annotated[datetime, typer.Option("--from", parser=moment, metavar="TIME", help="Since when.")],
    until: Annotated[datetime, typer.Option("--to", parser=moment, metavar="TIME", help="Until before when.")],
    as_csv: Annotated[bool, typer.Option("--csv", help="As CSV.")] = False,
    district: District = DEFAULT_DISTRICT,
    as_json: Json = False,
) -> None:
    """List each student and field that a program's credentials read or were sent, how often, when first and last."""

    async def look() -> list[dict[str, Any]]:
        async with gateway(district) as g, g.store.transaction(g.district) as c:
            await stored.known(c, g.district, client)
            return await reads.incident(c, client, begin, until)

    found = run(look())
    if as_csv:
        _write(found)
    else:
        show(found, as_json, empty="Nothing of any student was read or sent.")


def _write(rows: Iterable[dict[str, Any]]) -> None:
    out = csv.DictWriter(sys.stdout, ("student", "collection", "field", "times", "first", "last"))
    out.writeheader()
    for row in rows:
        out.writerow(row | {"first": row["first"].isoformat(), "last": row["last"].isoformat()})
