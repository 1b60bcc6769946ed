"""Commands about a plan on paper: print it, and take in a translation that a person made."""

import json
import os
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from gateway import clock, desk, planning, printing
from gateway.cli.output import DEFAULT_DISTRICT, STDOUT, As, District, Json, Role, actor, gateway, run, show
from gateway.cli.plans import Id, described, named, plan, read
from gateway.errors import ConfigError
from gateway.printing import Audience, Paper
from gateway.printing.translations import template, translated
from gateway.store import plans as stored
from gateway.viewing import AUTHOR


def register(app: typer.Typer) -> None:
    plan.command("print")(print_plan)
    plan.command("translate")(translate)


def print_plan(
    id: Id,
    to: Annotated[Path, typer.Option("--to", help="File to write; its name ends in .html or .pdf.")],
    version: Annotated[int | None, typer.Option(help="A finalized version; else the plan as it stands.")] = None,
    language: Annotated[str, typer.Option(help="Language of the print: en, es ...")] = "en",
    paper: Annotated[Paper, typer.Option(help="Size of the paper.")] = "letter",
    audience: Annotated[Audience, typer.Option("--for", help="Who reads it.")] = "family",
    fonts: Annotated[
        Path | None,
        typer.Option(envvar="PLANBRIDGE_PRINT_FONTS", help="Folder of more fonts, for what the PDF cannot show."),
    ] = None,
    district: District = DEFAULT_DISTRICT,
    as_: As = "",
    role: Annotated[
        str,
        typer.Option("--role", envvar="PLANBRIDGE_ROLE", help="In which role; default: the author, who reads it all."),
    ] = AUTHOR,
    as_json: Json = False,
) -> None:
    """Print a plan to a file that only you can read: HTML or tagged PDF. A draft says so on every page."""
    form: Literal["html", "pdf"]
    match to.suffix.lower():
        case ".html" | ".htm":
            form = "html"
        case ".pdf":
            form = "pdf"
        case _:
            raise ConfigError("print-form-unknown", f"{to} is neither .html nor .pdf.", "End its name in one of them.")

    _new(to)  # before anything is on record as handed out

    async def work() -> printing.Printed:
        async with gateway(district) as g:
            return await printing.printed(
                g.store,
                g.district,
                id,
                actor(named(as_), role),
                version=version,
                language=language,
                paper=paper,
                audience=audience,
                form=form,
                fonts=fonts,
            )

    made = run(work())
    _write(to, made.content)
    said = {
        "file": str(to),
        "version": made.version,
        "shown_sha256": made.shown_sha256,
        "lines_not_translated": made.marked,
        "left_out": list(made.left_out),
    }
    if as_json:
        show(said, True)
        return
    what = f"version {made.version}" if made.version else "the draft"
    STDOUT.print(f"{to}: {what}. What is shown has the fingerprint {made.shown_sha256}.", highlight=False, markup=False)
    if made.marked:
        STDOUT.print(f"{made.marked} lines have no current translation and say so.", highlight=False)
    if made.left_out:
        STDOUT.print(f"Left out for this reader: {', '.join(made.left_out)}.", highlight=False)


def translate(
    id: Id,
    language: Annotated[str, typer.Option(help="Language by its three letters (ISO 639-3): spa, som ...")],
    file: Annotated[Path, typer.Option("--file", help="JSON: item -> text, as --template writes it.")],
    make: Annotated[bool, typer.Option("--template", help="Write the file to be filled in by a translator.")] = False,
    translator: Annotated[str, typer.Option(help="Who translated: entity id, or a name.")] = "",
    organization: Annotated[str, typer.Option(help="Organization of a translator who is named.")] = "",
    revision: Annotated[int | None, typer.Option(help="Only if the plan is still at this revision.")] = None,
    district: District = DEFAULT_DISTRICT,
    as_: As = "",
    role: Role = "educator",
    as_json: Json = False,
) -> None:
    """Take in a person's translation of a plan's words, or write the file for it. Nothing is translated by machine."""

    async def written() -> dict[str, Any]:
        async with gateway(district) as g:
            content = await desk.for_translator(g.store, g.district, id, translator, actor(named(as_), role))
            return template(planning.parse(content), language)

    async def taken() -> dict[str, Any]:
        async with gateway(district) as g:
            who = actor(named(as_), role)
            async with g.store.transaction(g.district) as c:
                found = await stored.load(c, id)
            by = _who(translator, organization)
            now = planning.parse(found.content)
            content = translated(now, found.content, language, read(file), by, clock.today())
            seen = found.revision if revision is None else revision
            await planning.edit(g.store, g.district, id, content, who, seen)
            return await described(g, id)

    if make:
        _new(file)  # before anything is on record as handed out
        _write(file, json.dumps(run(written()), ensure_ascii=False, indent=2).encode())
        STDOUT.print(f"{file}: write each line's words into `text`, then leave out --template.", highlight=False)
    else:
        show(run(taken()), as_json)


def _who(name: str, organization: str) -> str | dict[str, str]:
    """A person on the roster by id, or somebody named."""
    if not name.strip():
        raise ConfigError("translator-missing", "A translation names the person who made it.", "Add --translator.")
    if len(name) == 36 and name.count("-") == 4:
        return name
    return {"name": name, "side": "partner"} | ({"organization": organization} if organization else {})


def _new(file: Path) -> None:
    if file.exists():
        raise ConfigError("export-exists", f"{file} is there already.", "Choose another name: none is replaced.")


def _write(to: Path, content: bytes) -> None:
    """Write a new file whole, for the eyes of whoever writes it: a translator's work is never written over."""
    _new(to)
    draft = to.with_name(f".{to.name}.part")
    try:
        draft.unlink(missing_ok=True)
        handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with open(handle, "wb") as file:
            file.write(content)
        draft.replace(to)
    except OSError as error:
        draft.unlink(missing_ok=True)
        raise ConfigError(
            "file-unwritable", f"{to} cannot be written: {error.strerror}.", "Correct the folder or its rights."
        ) from None
