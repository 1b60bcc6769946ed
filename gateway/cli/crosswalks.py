"""Commands about code tables and overrides: what is missing, lines of one's own, their changes and how to undo them."""

from typing import Annotated, Any

import typer

from gateway import codes, crosswalks, overrides
from gateway.cli.output import (
    DEFAULT_DISTRICT,
    STDOUT,
    As,
    District,
    Gateway,
    Json,
    Role,
    actor,
    gateway,
    run,
    say,
    show,
)
from gateway.cli.rejects import Preview, followed, outcomes
from gateway.store import codes as stored
from gateway.store import registers
from gateway.store.codes import Line

tables = typer.Typer(help="Code tables: what has no word, lines of the district's own, undo.", no_args_is_help=True)
custom = typer.Typer(help="Custom fields: one JMESPath expression and at most one crosswalk.", no_args_is_help=True)

MappingName = Annotated[str, typer.Argument(metavar="MAPPING", help="Whose tables: oneroster, edfi ...")]
Table = Annotated[str, typer.Argument(metavar="TABLE", help="Which table: grade, role ...")]
Code = Annotated[str, typer.Argument(metavar="CODE", help="The code as the source writes it.")]
Target = Annotated[str, typer.Argument(metavar="WORD", help="The common schema's word; none with --match none.")]
Match = Annotated[str, typer.Option("--match", help="exact, narrower, broader, or none: it has no counterpart.")]
Note = Annotated[str, typer.Option("--note", help="Why, for whoever reads it later.")]
ConnectionName = Annotated[str, typer.Argument(metavar="CONNECTION", help="Which connection.")]
Collection = Annotated[str, typer.Argument(metavar="COLLECTION", help="Which collection of the source.")]
Place = Annotated[str, typer.Argument(metavar="KIND.FIELD", help="Which field of the common schema.")]


def register(app: typer.Typer) -> None:
    app.add_typer(tables, name="crosswalks")
    app.add_typer(custom, name="overrides")


@tables.command("list")
def list_lines(
    name: Annotated[str | None, typer.Argument(metavar="MAPPING", help="Only this one.")] = None,
    table: Annotated[str | None, typer.Option("--table", help="Only this table.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="Also what is shipped.")] = False,
    district: District = DEFAULT_DISTRICT,
    as_json: Json = False,
) -> None:
    """Show the lines of the district's own; with --all every line that holds."""

    async def look() -> list[dict[str, Any]]:
        async with gateway(district) as g:
            names = [name] if name else sorted({c.connector for c in await registers.connections(g.store, g.district)})
            return [line for each in names for line in await lines_of(g, each, table, everything=everything)]

    found = run(look())
    show(found, as_json, empty="The district has no lines of its own: what is shipped holds.")


async def lines_of(g: Gateway, name: str, table: str | None, *, everything: bool) -> list[dict[str, Any]]:
    """The lines that hold: own ones, and what is shipped where it is asked for."""
    mapping = codes.mapping_named(name)
    async with g.store.transaction(g.district) as c:
        own = await stored.lines(c, mapping.name)
    rows = [
        {"mapping": name, "table": one.table, "code": one.source, "word": one.target, "match": one.match,
         "note": one.note, "own": True}
        for one in own
    ]  # fmt: skip
    mine = {(one.table, one.source) for one in own}
    if everything:
        rows += [
            {"mapping": name, "table": each, "code": one.source, "word": one.target, "match": one.match,
             "note": one.note, "own": False}
            for each, shipped in mapping.codes().tables.items()
            for one in shipped.values()
            if (each, one.source) not in mine
        ]  # fmt: skip
    return [row for row in rows if table in (None, row["table"])]


@tables.command("unmapped")
def unmapped(
    name: Annotated[str | None, typer.Argument(metavar="CONNECTION", help="Only of this connection.")] = None,
    district: District = DEFAULT_DISTRICT,
    as_json: Json = False,
) -> None:
    """Show every code without a word, or with a default, and how many records and rejects have it now."""

    async def look() -> list[dict[str, Any]]:
        async with gateway(district) as g:
            chosen = (await registers.connection(g.store, g.district, name)).id if name else None
            async with g.store.transaction(g.district) as c:
                return [
                    {"connection": one["connection"], "mapping": one["connector"], "table": one["place"],
                     "code": one["code"], "default": one["word"] or None, "records": one["records"],
                     "rejects": one["rejects"]}
                    for one in await stored.missed(c, chosen) if one["why"] != "override"
                ]  # fmt: skip

    show(run(look()), as_json, empty="Every code that came has a word.")


@tables.command("set")
def set_line(
    name: MappingName,
    table: Table,
    code: Code,
    target: Target = "",
    match: Match = "exact",
    note: Note = "",
    district: District = DEFAULT_DISTRICT,
    as_: As = "district IT",
    role: Role = "district_it",
    as_json: Json = False,
) -> None:
    """Give a code a word, for this district. Records with it are read so from the next pull on, or when replayed."""
    _choose(name, Line(table, code, target, match, note), district, as_, role, as_json)


@tables.command("default")
def set_default(
    name: MappingName,
    table: Table,
    target: Annotated[str, typer.Argument(metavar="WORD", help="The common schema's word.")],
    note: Note = "",
    district: District = DEFAULT_DISTRICT,
    as_: As = "district IT",
    role: Role = "district_it",
    as_json: Json = False,
) -> None:
    """Give one word to everything a table does not know. Each such code is counted as defaulted."""
    _choose(name, Line(table, None, target, "broader", note), district, as_, role, as_json)


@tables.command("remove")
def remove(
    name: MappingName,
    table: Table,
    code: Annotated[str | None, typer.Argument(metavar="CODE", help="Left out: the table's default.")] = None,
    district: District = DEFAULT_DISTRICT,
    as_: As = "district IT",
    role: Role = "district_it",
    as_json: Json = False,
) -> None:
    """Take a line of the district's own back; what is shipped holds again."""
    _choose(name, Line(table, code, match=None), district, as_, role, as_json)


def _choose(name: str, line: Line, district: str, as_: str, role: str, as_json: bool) -> None:
    async def work() -> dict[str, Any]:
        async with gateway(district) as g:
            concerned = await crosswalks.concerns(g.store, g.district, name, [line])
            change = await crosswalks.choose(g.store, g.district, name, [line], actor(as_, role))
            return {"change": change, "concerns": [vars(one) for one in concerned]}

    done = run(work())
    if as_json:
        show(done, True)
    elif done["change"] is None:
        STDOUT.print("It was so already: nothing was changed.")
    else:
        STDOUT.print(f"Kept as change {done['change']}. To take it back: planbridge crosswalks undo {done['change']}")
        for one in done["concerns"]:
            offer(**one)


def offer(connection: str, records: int, rejects: int, everything: bool) -> None:
    """Say how a change takes effect: with the next pull, or now."""
    whom = f"any of {records:,} records" if everything else f"{records:,} records and {rejects:,} rejects"
    again = f"planbridge crosswalks replay {connection}" + (" --everything" if everything else "")
    STDOUT.print(
        f"It concerns {whom} of {connection}. The next pull takes it in; or now: {again} (first with --preview).",
        highlight=False,
    )


@tables.command("preview")
def preview(
    name: MappingName,
    table: Table,
    code: Code,
    target: Target = "",
    match: Match = "exact",
    district: District = DEFAULT_DISTRICT,
    as_: As = "district IT",
    role: Role = "district_it",
    as_json: Json = False,
) -> None:
    """Say what a line would do to what is published; keep nothing, publish nothing."""

    async def work() -> list[dict[str, Any]]:
        async with gateway(district) as g:
            lines = [Line(table, code, target, match)]
            runs = await crosswalks.preview(g.store, g.district, name, lines, actor(as_, role))
            return await followed(g, runs, quiet=as_json)

    outcomes(run(work()), as_json)


@tables.command("replay")
def replay(
    name: ConnectionName,
    everything: Annotated[
        bool, typer.Option("--everything", help="All that is stored, not only what had no word before.")
    ] = False,
    preview: Preview = False,
    district: District = DEFAULT_DISTRICT,
    as_: As = "district IT",
    role: Role = "district_it",
    as_json: Json = False,
) -> None:
    """Read stored records once more whose codes had no word, or a default, and would be read differently now."""

    async def work() -> list[dict[str, Any]]:
        async with gateway(district) as g:
            number = await crosswalks.replay(
                g.store, g.district, name, actor(as_, role), everything=everything,
                mode="dry" if preview else "publish",
            )  # fmt: skip
            return await followed(g, [number], quiet=as_json)

    outcomes(run(work()), as_json)


@tables.command("changes")
def changes(district: District = DEFAULT_DISTRICT, as_json: Json = False) -> None:
    """Show what was changed, by whom and when, the newest first."""

    async def look() -> list[dict[str, Any]]:
        async with gateway(district) as g, g.store.transaction(g.district) as c:
            return await stored.changes(c)

    show(run(look()), as_json, empty="Nothing was ever changed: what is shipped holds.")


@tables.command("undo")
def undo(
    number: Annotated[int | None, typer.Argument(metavar="CHANGE", help="Left out: the newest that stands.")] = None,
    district: District = DEFAULT_DISTRICT,
    as_: As = "district IT",
    role: Role = "district_it",
    as_json: Json = False,
) -> None:
    """Put the lines of a change back as they were before it."""

    async def work() -> dict[str, Any]:
        async with gateway(district) as g:
            undone, mapping = await crosswalks.undo(g.store, g.district, number, actor(as_, role))
            return {"undone": undone, "mapping": mapping}

    done = run(work())
    say(done, as_json, f"Change {done['undone']} of {done['mapping']} is undone.")


@custom.command("list")
def list_overrides(
    name: Annotated[str | None, typer.Argument(metavar="CONNECTION", help="Only of this connection.")] = None,
    district: District = DEFAULT_DISTRICT,
    as_json: Json = False,
) -> None:
    """Show the overrides, and how many records leave the field out because what was found does not fit."""

    async def look() -> list[dict[str, Any]]:
        async with gateway(district) as g:
            found = []
            for one in await registers.connections(g.store, g.district):
                if name in (None, one.name):
                    found += await _overrides(g, one)
            return found

    show(run(look()), as_json, empty="No field is overridden.")


async def _overrides(g: Gateway, connection: registers.Connection) -> list[dict[str, Any]]:
    async with g.store.transaction(g.district) as c:
        missed = await stored.missed(c, connection.id)
        unfit = {one["place"]: one["records"] for one in missed if one["why"] == "override"}
        return [
            {"connection": connection.name, "collection": one.collection, "field": one.place,
             "expression": one.expression, "crosswalk": one.crosswalk, "left_out": unfit.get(one.place, 0)}
            for one in await stored.overrides(c, connection.id)
        ]  # fmt: skip


@custom.command("set")
def set_override(
    name: ConnectionName,
    collection: Collection,
    place: Place,
    expression: Annotated[str, typer.Argument(metavar="EXPRESSION", help="JMESPath over the record.")],
    crosswalk: Annotated[str | None, typer.Option("--crosswalk", help="Translate what is found by this table.")] = None,
    preview: Preview = False,
    district: District = DEFAULT_DISTRICT,
    as_: As = "district IT",
    role: Role = "district_it",
    as_json: Json = False,
) -> None:
    """Read a field from where this district keeps it. Records are read so from the next pull on, or when replayed."""
    one = overrides.at(collection, place, expression, crosswalk)

    async def try_out() -> list[dict[str, Any]]:
        async with gateway(district) as g:
            runs = await crosswalks.preview_override(g.store, g.district, name, one, actor(as_, role))
            return await followed(g, runs, quiet=as_json)

    async def work() -> dict[str, Any]:
        async with gateway(district) as g:
            return {"changed": await crosswalks.add_override(g.store, g.district, name, one, actor(as_, role))}

    if preview:
        outcomes(run(try_out()), as_json)
        return
    done = run(work())
    if as_json:
        show(done, True)
    elif not done["changed"]:
        STDOUT.print("It was so already: nothing was changed.")
    else:
        STDOUT.print(
            f"Kept. The next pull takes it in; or now: planbridge crosswalks replay {name} --everything "
            "(first with --preview). What was not kept before comes with the next pull only.",
            highlight=False,
        )


@custom.command("remove")
def remove_override(
    name: ConnectionName,
    collection: Collection,
    place: Place,
    district: District = DEFAULT_DISTRICT,
    as_: As = "district IT",
    role: Role = "district_it",
    as_json: Json = False,
) -> None:
    """Take an override back: the mapping's own reading holds again."""
    one = overrides.at(collection, place, "")

    async def work() -> None:
        async with gateway(district) as g:
            await crosswalks.remove_override(g.store, g.district, name, one, actor(as_, role))

    run(work())
    say(
        {"connection": name, "collection": collection, "place": place, "removed": True},
        as_json,
        f"{place} is read as the mapping reads it again.",
    )
