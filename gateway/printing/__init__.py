"""A plan on paper: read with its names, drawn as HTML or tagged PDF, and the print kept on record."""

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, Literal

from gateway import clock, planning, sections
from gateway.access import SAYS, TABLE, Role, Section
from gateway.errors import ConfigError
from gateway.printing import content, words
from gateway.printing.content import Known, Standing, Visible
from gateway.printing.sheet import Paper, Sheet
from gateway.schema.plan import CitedResult, Plan, canonical, sha256, shown
from gateway.store import disclosures, reading
from gateway.store import plans as stored
from gateway.store.database import Store
from gateway.store.disclosures import Disclosure
from gateway.store.plans import StoredPlan, StoredVersion
from gateway.store.registers import Actor
from gateway.viewing import AUTHOR, View

__all__ = ["FORMS", "Audience", "Form", "Paper", "Printed", "Visible", "page", "printed"]

Form = Literal["html", "pdf"]
Audience = Literal["family", "student", "school"]
FORMS: Mapping[Form, str] = {"html": "text/html; charset=utf-8", "pdf": "application/pdf"}
"""Form of a print -> its media type."""

DRAFTS = ("gathering", "draft", "consultation")
READERS: Mapping[Audience, Role] = {"family": "guardian", "student": "student"}
"""Whose copy follows which column of the table of access; a copy for the school has what its printer may see."""


@dataclass(frozen=True)
class Printed:
    """A print. `shown_sha256` is what a consultation on it refers to; `left_out` are sections that are not on it."""

    content: bytes
    media_type: str
    version: int | None
    shown_sha256: str
    left_out: tuple[str, ...]
    marked: int
    """How many lines say that they are not translated, or that their translation is stale."""


async def printed(
    store: Store,
    district: int,
    id: str,
    actor: Actor,
    *,
    version: int | None = None,
    language: str = "en",
    paper: Paper = "letter",
    audience: Audience = "family",
    form: Form = "html",
    visible: Visible | None = None,
    fonts: Path | None = None,
) -> Printed:
    """Print a plan as it stands, or a finalized version of it. That it was printed is on record before it is handed
    out, as something that was disclosed. On it is what both the reader and the one who prints may see by the table of
    access, and of that what `visible` allows.

    ConfigError where there is no such plan, language or role; Refused where there is no such version, or where the PDF
    has no picture of a character.
    """
    say = words.words(language)
    rules = (_may(_role(actor.role)), _may(READERS.get(audience)), visible or _may(None))
    report = await planning.ask(store, district, id, "finalize")
    async with store.transaction(district) as c:
        found = await stored.load(c, id)
        if version is None and found.state not in DRAFTS:
            version = found.version
        of = await stored.version(c, id, version) if version is not None else None
    now = planning.parse(found.content)
    plan = now if of is None else planning.parse(json.loads(of.content))
    if of is None:
        standing = Standing(_mark(found, None), sha256(shown(plan)), report=report)
    else:
        finalized = datetime.fromisoformat(of.finalized_at).date()
        standing = Standing(
            _mark(found, of), sha256(shown(plan)), of.version, of.sha256, finalized, translations=now.translations
        )
    known = await _known(store, district, plan, now)
    made = content.sheet(plan, standing, known, say, lambda section: all(rule(section) for rule in rules))
    at = clock.now().astimezone(UTC).replace(microsecond=0)
    drawn = await asyncio.to_thread(_drawn, made, form, paper, at, fonts)
    detail: dict[str, Any] = {
        "version": version,
        "language": say.tag,
        "for": audience,
        "form": form,
        "shown_sha256": standing.shown_sha256,
        "left_out": list(made.left_out),
        "sha256": sha256(drawn),
    }
    async with store.transaction(district) as c:
        await stored.note(c, district, id, "printed", actor, detail)
        said = [one for one in sections.touched(json.loads(canonical(plan))) if one not in made.left_out]
        given = Disclosure(
            found.student,
            "read",
            f"A copy for the {audience}.",
            audience != "school",
            READERS.get(audience, actor.role),
            "planning",
            "The plan was printed at the district's own machine.",
            said,
            None,
            id,
            version,
        )
        await disclosures.note(c, district, given, actor)
    return Printed(drawn, FORMS[form], version, standing.shown_sha256, made.left_out, made.marked)


async def page(store: Store, district: int, view: View, language: str = "en") -> bytes:
    """A finished version as a web page, for whoever was let see it, which is on record already: see gateway.viewing. On
    it is what they read wholly."""
    assert view.plan is not None and view.version is not None
    say = words.words(language)
    async with store.transaction(district) as c:
        found = await stored.load(c, view.plan)
        of = await stored.version(c, view.plan, view.version)
    now, plan = planning.parse(found.content), planning.parse(json.loads(of.content))
    standing = Standing(
        _mark(found, of), sha256(shown(plan)), of.version, of.sha256, datetime.fromisoformat(of.finalized_at).date(),
        translations=now.translations,
    )  # fmt: skip

    def visible(section: Section) -> bool:
        return view.decisions[section].allowed and view.decisions[section].how in sections.WHOLE

    made = content.sheet(plan, standing, await _known(store, district, plan, now), say, visible)
    return await asyncio.to_thread(_drawn, made, "html", "letter", clock.now(), None)


def _role(name: str) -> Role | None:
    """The column of the table for a role that somebody prints in; None for the author, who reads all of the plan."""
    if name != AUTHOR and name not in SAYS:
        raise ConfigError("role-unknown", f"There is no role {name!r}.", f"Choose from: {AUTHOR}, {', '.join(SAYS)}.")
    return SAYS.get(name)


def _may(role: Role | None) -> Visible:
    return lambda section: role is None or TABLE[section][role] in sections.WHOLE


def _drawn(made: Sheet, form: Form, paper: Paper, at: datetime, fonts: Path | None) -> bytes:
    # What draws pages is loaded by whoever prints, not by every command.
    if form == "html":
        from gateway.printing.html import html

        return html(made, paper)
    from gateway.printing.pdf import pdf

    return pdf(made, paper, at, fonts)


def _mark(found: StoredPlan, version: StoredVersion | None) -> str:
    if found.state == "entered_in_error":
        return "error"
    if version is None:
        return "draft"
    if found.version is not None and version.version < found.version:
        return "superseded"
    return found.state if found.state in ("revoked", "superseded") else ""


async def _known(store: Store, district: int, *plans: Plan) -> Known:
    """The names behind the ids of a plan."""
    ids = sorted({who for plan in plans for who in _people(plan)})
    people = await reading.entities(store, district, "person", ids=ids)
    schools = await reading.entities(store, district, "organization", ids=sorted({plan.school for plan in plans}))
    return Known(
        {one["id"]: _name(one) for one in people},
        {one["id"]: one["name"] for one in schools if "name" in one},
        await _results(store, district, sorted({id for plan in plans for id in _cited(plan)})),
    )


def _people(plan: Plan) -> set[str]:
    who = [plan.student, plan.coordinator, *(member.who for member in plan.team)]
    who += [support.owner for support in plan.supports]
    who += [person.who for meeting in plan.consultations for person in meeting.participants]
    who += [one.translator for one in plan.translations]
    who += [plan.waiver.approved_by] if plan.waiver else []
    return {one for one in who if isinstance(one, str)}


def _name(person: dict[str, Any]) -> str:
    """The name in use."""
    given = person.get("preferred_given_name") or person.get("given_name") or ""
    family = person.get("preferred_family_name") or person.get("family_name") or ""
    return f"{given} {family}".strip()


def _cited(plan: Plan) -> set[str]:
    evidence = [one for need in plan.needs for one in need.evidence]
    return {one.assessment_result for one in evidence if isinstance(one, CitedResult)}


async def _results(store: Store, district: int, ids: list[str]) -> dict[str, tuple[str, date | None]]:
    """Assessment results by what was taken and when; what came out of them the plan itself says, or nobody."""
    if not ids:
        return {}
    results = await reading.entities(store, district, "assessment_result", ids=ids)
    wanted = sorted({one["assessment"] for one in results if "assessment" in one})
    taken = {one["id"]: one for one in await reading.entities(store, district, "assessment", ids=wanted)}
    return {
        one["id"]: (
            taken.get(one.get("assessment", ""), {}).get("title", ""),
            date.fromisoformat(one["on"]) if "on" in one else None,
        )
        for one in results
    }
