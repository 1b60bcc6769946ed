"""How a page of the console is made: its words, its frame, and the headers by which a browser runs nothing else."""

import hashlib
import tomllib
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

from fastapi import Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from gateway.api.problems import STATUS
from gateway.api.signin import root
from gateway.console import pictures
from gateway.console.visit import ROOT, Visit
from gateway.errors import ConfigError, PlanbridgeError

FOLDER = Path(__file__).parent
ASSETS: Mapping[str, tuple[Path, str]] = {
    "pico.css": (FOLDER / "vendored" / "pico.css", "text/css"),
    "htmx.js": (FOLDER / "vendored" / "htmx.js", "text/javascript"),
    "console.css": (FOLDER / "console.css", "text/css"),
}
POLICY = (
    # Pico draws its small signs from data: addresses. Nothing is inline, nothing comes from elsewhere.
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src data:; connect-src 'self'; base-uri 'none'; "
    "form-action 'self'; frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "Referrer-Policy": "no-referrer",
    "X-Frame-Options": "DENY",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}


def page(request: Request, visit: Visit | None, template: str, status: int = 200, /, **given: Any) -> HTMLResponse:
    """A page from its template, which escapes everything."""
    return HTMLResponse(drawn(request, visit, template, **given), status, HEADERS)


def drawn(request: Request, visit: Visit | None, template: str, /, **given: Any) -> str:
    language = visit.language if visit is not None else "en"
    here = f"{root(request)}{ROOT}"
    return _templates().get_template(f"{template}.html").render(
        words=words(language), language=language, here=here, manual=f"{root(request)}/docs", visit=visit,
        out=f"{root(request)}/sign-out", **given,
    )  # fmt: skip


def status_of(error: PlanbridgeError) -> int:
    """The status of a page that tells of an error."""
    if isinstance(error, ConfigError) and error.code.endswith("-unknown"):
        return 404
    return next(status for kind, (status, _) in STATUS.items() if isinstance(error, kind))


def leads_to(request: Request, path: str) -> Response:
    """After a form: the page that shows what came of it, so that a reload sends nothing twice."""
    return RedirectResponse(f"{root(request)}{ROOT}{path}", 303, HEADERS)


@cache
def words(language: str) -> Mapping[str, Any]:
    """Every sentence of the console in a language."""
    return tomllib.loads((FOLDER / "languages" / f"{language}.toml").read_text(encoding="utf-8"))


@cache
def asset(name: str) -> tuple[bytes, str]:
    path, kind = ASSETS[name]
    return path.read_bytes(), kind


@cache
def _version(name: str) -> str:
    return hashlib.sha256(asset(name)[0]).hexdigest()[:12]


@cache
def _templates() -> Environment:
    made = Environment(
        loader=FileSystemLoader(FOLDER / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.globals |= {"version": _version, "line_picture": pictures.line, "bars": pictures.bars}
    made.filters |= {"moment": _moment, "number": _number, "span": _span}
    return made


def _moment(at: datetime) -> str:
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def _number(n: float) -> str:
    """Digits in groups, parted by a narrow space: a comma is a decimal sign to half the world."""
    return f"{n:,}".replace(",", "\u202f")


def _span(long: timedelta | float, units: Mapping[str, str]) -> str:
    """How long, in the largest unit that fits."""
    seconds = long.total_seconds() if isinstance(long, timedelta) else long
    for unit, size in (("day", 86_400), ("hour", 3_600), ("minute", 60), ("second", 1)):
        if seconds >= size or unit == "second":
            n = int(seconds // size)
            return units[unit if n == 1 else f"{unit}s"].format(n=n)
    raise AssertionError("unreachable")
