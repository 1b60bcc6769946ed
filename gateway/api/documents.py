"""The manual for those who write programs, as pages without script: from docs/*.md, and the scopes from their table."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from fastapi import APIRouter, HTTPException, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse
from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML
from markdown_it.token import Token
from markdown_it.utils import EnvType, OptionsDict

import gateway
from gateway.api.oauth.people import FOR_PEOPLE
from gateway.api.pages import page
from gateway.scopes import ONEROSTER
from gateway.store.clients import SCOPES

router = APIRouter(tags=["service"], include_in_schema=False)

PAGES: Mapping[str, str] = {
    "quick-start": "docs/quick-start.md",
    "oauth": "docs/oauth.md",
    "scopes": "",
    "accounts": "docs/accounts.md",
    "oneroster-provider": "docs/oneroster-provider.md",
    "plan-api": "docs/plan-api.md",
    "success-plan": "docs/success-plan.md",
    "running-record": "docs/running-record.md",
    "events": "docs/events.md",
    "vendors": "docs/vendors.md",
    "access": "docs/access.md",
    "errors": "docs/errors.md",
    "changelog": "CHANGELOG.md",
}
"""Name -> the file, from the root of the source; the scopes have none."""
OUTSIDE = re.compile(r"https?:|mailto:")


@dataclass(frozen=True)
class Document:
    """A page: what stands in its first heading, and the HTML of the rest."""

    title: str
    html: str


@router.get("/docs")
async def first_document() -> Response:
    """The manual begins with the quick start."""
    return RedirectResponse("docs/quick-start", 307)


@router.get("/docs/{name}", response_class=HTMLResponse)
async def document(name: str, request: Request) -> Response:
    """A page of the manual."""
    if name not in PAGES:
        raise HTTPException(404, "There is no such page. The manual begins at /docs.")
    shown = rendered(name)
    return page(request, "document", name=name, heading=shown.title, html=shown.html, titles=_titles())


@cache
def rendered(name: str) -> Document:
    """A page by its name in PAGES."""
    source = _source(name)
    return Document(_title(source), markup(source.partition("\n")[2]))


def markup(text: str) -> str:
    """Markdown as HTML, whose links lead to pages that are served."""
    return str(_markdown().render(text))


@cache
def _titles() -> Mapping[str, str]:
    return {name: _title(_source(name)) for name in PAGES}


def _title(source: str) -> str:
    return source.partition("\n")[0].removeprefix("# ").strip()


def _source(name: str) -> str:
    if not PAGES[name]:
        return _scopes()
    package = Path(gateway.__file__).parent
    inside = package / "documents" / Path(PAGES[name]).name  # in a wheel; in a checkout the files stand beside
    return (inside if inside.is_file() else package.parent / PAGES[name]).read_text(encoding="utf-8")


def _scopes() -> str:
    """The table of scopes, as the token endpoint knows it."""
    ours = [name for name in SCOPES if name not in ONEROSTER]
    return "\n".join(
        (
            "# Scopes",
            "",
            "What a client may ask a token for. How it is asked for stands in [Access for programs](oauth.md#scopes).",
            "",
            "## Of Planbridge",
            "",
            "Those that are marked make sense for a person too: an educator can let a program do that for them.",
            "",
            *_table(ours, for_people=True),
            "",
            "## Of OneRoster",
            "",
            "They need an agreement with the district, and stand here as the standard spells them.",
            "",
            *_table(list(ONEROSTER), for_people=False),
        )
    )


def _table(names: Sequence[str], *, for_people: bool) -> Sequence[str]:
    lines = ["| Scope | What it opens |", "|---|---|"]
    if for_people:
        lines = ["| Scope | What it opens | For a person |", "|---|---|---|"]
    for name in names:
        person = f" {'yes' if name in FOR_PEOPLE else ''} |" if for_people else ""
        lines.append(f"| `{name}` | {SCOPES[name]} |{person}")
    return lines


@cache
def _markdown() -> MarkdownIt:
    # No HTML of a document gets through: what looks like it is shown as it is typed.
    made = MarkdownIt("commonmark", {"html": False}).enable("table")
    made.add_render_rule("heading_open", _heading)
    made.add_render_rule("link_open", _link)
    made.add_render_rule("th_open", _column)
    made.add_render_rule("fence", _block)
    made.add_render_rule("code_block", _block)
    return made


def _heading(self: RendererHTML, tokens: Sequence[Token], place: int, options: OptionsDict, env: EnvType) -> str:
    """Headings are named as GitHub names them, so that links go on working."""
    slug = re.sub(r"[^\w\- ]", "", tokens[place + 1].content.lower()).replace(" ", "-")
    tokens[place].attrSet("id", slug)
    return self.renderToken(tokens, place, options, env)


def _link(self: RendererHTML, tokens: Sequence[Token], place: int, options: OptionsDict, env: EnvType) -> str:
    """Links between pages that are served; to other documents of the source they lead nowhere here."""
    target = str(tokens[place].attrGet("href") or "")
    if not OUTSIDE.match(target) and not target.startswith("#"):
        file, hash, heading = target.partition("#")
        name = next((name for name, path in PAGES.items() if path and Path(path).name == file), "")
        tokens[place].attrs = {"href": f"{name}{hash}{heading}"} if name else {}
    return self.renderToken(tokens, place, options, env)


def _column(self: RendererHTML, tokens: Sequence[Token], place: int, options: OptionsDict, env: EnvType) -> str:
    tokens[place].attrs = {"scope": "col"}
    return self.renderToken(tokens, place, options, env)


def _block(self: RendererHTML, tokens: Sequence[Token], place: int, options: OptionsDict, env: EnvType) -> str:
    """What is wider than the page can be scrolled with the keyboard too."""
    return f'<pre tabindex="0"><code>{_escaped(tokens[place].content)}</code></pre>\n'


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
