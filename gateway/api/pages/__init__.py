"""The few pages that people see before a program gets on: plain HTML without script, in the reader's language."""

import base64
import hashlib
import re
import tomllib
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from fastapi import Request
from fastapi.responses import HTMLResponse
from jinja2 import Environment, FileSystemLoader, StrictUndefined

FOLDER = Path(__file__).parent


def page(
    request: Request, template: str, status: int = 200, /, *, leads_to: str = "", within: Sequence[str] = (),
    script: str = "", **given: Any,
) -> HTMLResponse:  # fmt: skip
    """A page from its template, which escapes everything. `leads_to`: the origin to which its form may end up;
    `within`: origins whose pages may show it in theirs; `script`: the only one that runs, where there is one."""
    language = _language(request.headers.get("accept-language", ""))
    words = _words()[language]
    html = _templates().get_template(f"{template}.html").render(language=language, words=words, script=script, **given)
    return HTMLResponse(
        html, status, {"Content-Security-Policy": _policy(leads_to, within, script), "Referrer-Policy": "no-referrer"}
    )


def sheet(html: bytes, within: Sequence[str] = ()) -> HTMLResponse:
    """A plan that was drawn as a page: it shows itself, and does nothing."""
    style = re.search(rb"<style>(.*?)</style>", html, re.DOTALL)
    assert style is not None
    policy = (
        f"default-src 'none'; style-src 'sha256-{hashed(style[1].decode())}'; base-uri 'none'; form-action 'none'; "
        f"frame-ancestors {' '.join(within) or NOWHERE}"
    )
    return HTMLResponse(html, headers={"Content-Security-Policy": policy, "Referrer-Policy": "no-referrer"})


def language_of(request: Request) -> str:
    """The reader's language, of those that pages have words of."""
    return _language(request.headers.get("accept-language", ""))


def said(request: Request, code: str, otherwise: str) -> str:
    """The sentence for a refusal in the reader's language."""
    found = _words()[_language(request.headers.get("accept-language", ""))]["refusals"].get(code)
    return otherwise if found is None else str(found)


def _policy(leads_to: str, within: Sequence[str], script: str) -> str:
    # Nothing is loaded; a form goes to us, and after a consent its answer leads on to the program.
    runs = f"script-src 'sha256-{hashed(script)}'; " if script else ""
    return (
        f"default-src 'none'; style-src 'sha256-{_style_hash()}'; {runs}base-uri 'none'; "
        f"frame-ancestors {' '.join(within) or NOWHERE}; "
        f"form-action 'self'{' ' + leads_to if leads_to else ''}"
    )


NOWHERE = "'none'"


def hashed(text: str) -> str:
    """What a policy calls a style or a script by that it lets work. # CSP 3, 2.3.1"""
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


@cache
def _style_hash() -> str:
    return hashed((FOLDER / "style.css").read_text(encoding="utf-8"))


def _language(accepted: str) -> str:
    """The first language of a browser's list that we have words of, else English."""
    # RFC 9110 12.5.4; browsers list by preference
    for one in accepted.split(","):
        tag = one.partition(";")[0].strip().partition("-")[0].lower()
        if tag in _words():
            return tag
    return "en"


@cache
def _words() -> Mapping[str, Mapping[str, Any]]:
    return {
        path.stem: tomllib.loads(path.read_text(encoding="utf-8"))
        for path in sorted((FOLDER / "languages").glob("*.toml"))
    }


@cache
def _templates() -> Environment:
    made = Environment(
        loader=FileSystemLoader(FOLDER),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.globals["style"] = (FOLDER / "style.css").read_text(encoding="utf-8")
    return made
