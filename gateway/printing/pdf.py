"""A sheet as a tagged PDF (PDF/UA-1), set by Typst with the fonts of this package, and of a folder if one is given."""

import json
from datetime import datetime
from pathlib import Path

import typst

from gateway.errors import ConfigError, Refused
from gateway.printing.sheet import Paper, Sheet, as_json

HERE = Path(__file__).parent
FAMILY = "DejaVu Sans"


def pdf(sheet: Sheet, paper: Paper, at: datetime, fonts: Path | None = None) -> bytes:
    """The file. `at` stands in it as the moment it was made: the same sheet gives the same bytes.

    Refused where a character has no picture in any font: half a name on paper is worse than none. What the plan says
    goes in as data, never as something to be set or run.
    """
    if fonts is not None and not fonts.is_dir():
        raise ConfigError("fonts-missing", f"{fonts} is no folder.", "Name the folder that holds the font files.")
    folders = [HERE / "fonts", *([fonts] if fonts else [])]
    found = typst.Fonts(include_system_fonts=False, include_embedded_fonts=False, font_paths=folders)
    families = [FAMILY, *(name for name in found.families() if name != FAMILY)]
    data = {**as_json(sheet), "paper": "us-letter" if paper == "letter" else "a4", "families": families}
    compiler = typst.Compiler(HERE / "page.typ", root=HERE, font_paths=found)
    try:
        made = compiler.compile(
            format="pdf", sys_inputs={"sheet": json.dumps(data)}, pdf_standards="ua-1", timestamp=at
        )
    except typst.TypstError as error:
        if "could not be displayed with font" not in error.message:
            raise RuntimeError("the page of a printed plan cannot be set") from None  # its text may quote the plan
        raise Refused(
            "print-no-font",
            "The PDF cannot show some characters of this plan: no font has them.",
            "Name a folder of fonts that has them with --fonts, or print to a file that ends in .html.",
        ) from None
    assert isinstance(made, bytes)
    return made
