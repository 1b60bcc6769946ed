"""A sheet as one HTML file: no script, no image, nothing to fetch, readable without its style."""

from functools import cache
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template

from gateway.printing.sheet import Paper, Sheet, as_json


def html(sheet: Sheet, paper: Paper) -> bytes:
    """The file. Everything from the plan is escaped by the template engine."""
    return _template().render(sheet=as_json(sheet), paper=paper).encode()


@cache
def _template() -> Template:
    folder = FileSystemLoader(Path(__file__).parent)
    return Environment(loader=folder, autoescape=True, undefined=StrictUndefined, trim_blocks=True,
                       lstrip_blocks=True).get_template("page.html")  # fmt: skip
