"""A small server that behaves like a OneRoster provider playing the invented district."""

import os
from dataclasses import fields, replace
from functools import partial
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware

from connectors.oneroster.twin_auth import door
from connectors.oneroster.twin_errors import Denied, broken, refused, refused_in_html, status_info
from connectors.oneroster.twin_quirks import PRESETS, Access, Preset, Quirks, Writing
from connectors.oneroster.twin_received import Ledger, ledger
from connectors.oneroster.twin_service import Service
from connectors.oneroster.twin_shelves import Shelves, Sources
from synthetic import District, build
from synthetic.faults import Faults

__all__ = ["PRESETS", "Access", "Preset", "Quirks", "Writing", "app", "twin"]


def twin(
    district: District,
    *,
    client_id: str = "demo-client",
    client_secret: str = "demo-secret",  # noqa: S107  a twin guards nothing
    preset: str | Preset = "generic",
    planted: str | None = None,
    full: bool = False,
    control: bool = True,
    **switches: Any,
) -> Starlette:
    """An ASGI application that is one kind of system: `preset` names it, "generic" keeps OneRoster 1.2 to the letter.

    Each of `switches` is a field of `Quirks`, `Access`, `Writing` or `Preset`, and takes the place of what the preset
    has there (`page_cap=70`, `totals=False`, `put=False`, `style="oauth1"`, `versions=("1.1", "1.2")`).

    `planted` is put into every field that planning never needs. A `full` district also has family contacts as users
    and agents, grading periods, profiles to sign in with, and the books of courses. `control` opens the side door of
    `synthetic.faults`. `app.state.received` are the requests so far, without the client's secrets; `app.state.play`
    takes the district as it is on another day.
    """
    played = _switched(PRESETS[preset] if isinstance(preset, str) else preset, switches)
    sources = partial(Sources, planted=planted, full=full, doubled=played.quirks.doubled)
    entrance = door(played.access, client_id, client_secret, played.versions)
    shelves = Shelves(sources(district), played.quirks)
    received = ledger()
    version = played.versions[0]
    no = refused_in_html if played.quirks.html_errors else refused
    made = Starlette(
        routes=Service(played, entrance, shelves).routes(),
        middleware=[
            Middleware(Ledger, received=received),
            Middleware(
                Faults,
                district=district,
                play=lambda changed: shelves.play(sources(changed)),
                error=partial(status_info, version=version),
                tokens=entrance,
                control=control,
            ),
        ],
        exception_handlers={Denied: no, HTTPException: no, Exception: broken},
    )
    made.state.received = received
    made.state.play = lambda changed: shelves.play(sources(changed))
    return made


def _switched(preset: Preset, switches: dict[str, Any]) -> Preset:
    """The preset with these switches set; TypeError for one that nothing has."""
    left = dict(switches)
    for part in ("quirks", "access", "writing"):
        if part in left:
            preset = replace(preset, **{part: left.pop(part)})
        inner: Any = getattr(preset, part)
        names = {field.name for field in fields(inner)}
        own = {name: left.pop(name) for name in names & left.keys()}
        preset = replace(preset, **{part: replace(inner, **own)})
    return replace(preset, **left)


def app() -> Starlette:
    """The twin as `uvicorn --factory` wants it, sized and named by TWIN_* in the environment."""
    take = os.environ.get
    district = build(
        schools=int(take("TWIN_SCHOOLS", "3")),
        students=int(take("TWIN_STUDENTS", "600")),
        seed=int(take("TWIN_SEED", "2026")),
    )
    switches: dict[str, Any] = {"page_cap": int(cap)} if (cap := take("TWIN_PAGE_CAP")) else {}
    return twin(
        district,
        client_id=take("TWIN_CLIENT_ID", "demo-client"),
        client_secret=take("TWIN_CLIENT_SECRET", "demo-secret"),
        preset=take("TWIN_PRESET", "generic"),
        **switches,
    )
