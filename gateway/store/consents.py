"""Consents at rest: who let whom see what of a student, or forbade it, and that it was taken back."""

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.access import PURPOSES, SECTIONS, Consent, Section
from gateway.errors import ConfigError, Refused
from gateway.plan_guards import ConsentFacts
from gateway.store import denials, reach, standing, withdrawals
from gateway.store.database import Store
from gateway.store.registers import Actor, log_act

AGAIN = "It was revoked; why stood in the database before it was restored."
CAPACITIES = ("guardian", "eligible_student", "agency")
KINDS = ("destination", "program", "person", "organization")
_RECIPIENT = re.compile(rf"({'|'.join(KINDS)}):\S.*")


@dataclass(frozen=True)
class Given:
    """A consent as it is recorded. `recipient` is kind:name, so that no program passes for a person."""

    student: str
    grantor: str
    capacity: str
    recipient: str
    sections: Sequence[str]
    purpose: str
    permit: bool
    begin: date
    until: date
    evidence: str = ""


async def add(store: Store, c: AsyncConnection, district: int, given: Given, actor: Actor) -> int:
    """Record a consent, and let it hold at once for what a program is served; one that forbids holds after a restore
    too. ConfigError for what is none."""
    sections = checked_sections(given.sections)
    if given.capacity not in CAPACITIES or not _RECIPIENT.fullmatch(given.recipient) or not given.grantor.strip():
        raise ConfigError(
            "consent-incomplete",
            "A consent says who gives it, as what, and for whom.",
            f"Give --by, --as-what ({', '.join(CAPACITIES)}) and --to KIND:NAME, where KIND is {', '.join(KINDS)}.",
        )
    if given.until < given.begin or not sections:
        raise ConfigError(
            "consent-incomplete",
            "A consent names at least one section, and ends no earlier than it begins.",
            "Give --section, and --from before --until.",
        )
    checked_purpose(given.purpose)
    if _of_a_program(given.recipient):
        await reach.alone(c, district)
    made = await c.scalar(
        text(
            "INSERT INTO consent (district_id, student_id, grantor, capacity, recipient, sections, purpose, permit, "
            "  from_on, until_on, evidence, actor) VALUES (:district, CAST(:student AS uuid), :grantor, :capacity, "
            "  :recipient, CAST(:sections AS json), :purpose, :permit, :begin, :until, :evidence, "
            "  CAST(:actor AS json)) RETURNING id"
        ),
        {
            "district": district,
            "student": given.student,
            "grantor": given.grantor.strip(),
            "capacity": given.capacity,
            "recipient": given.recipient,
            "sections": json.dumps(sorted(sections)),
            "purpose": given.purpose,
            "permit": given.permit,
            "begin": given.begin,
            "until": given.until,
            "evidence": given.evidence.strip(),
            "actor": actor.as_json(),
        },
    )
    await log_act(c, district, actor, "consent", str(made), {"sections": sorted(sections), "permit": given.permit})
    if not given.permit:
        await withdrawals.look_soon(c, district)
        await denials.denied(store, c, district, int(made), actor)
    if _of_a_program(given.recipient):
        await reach.follow(c, district)
    return int(made)


def _of_a_program(recipient: str) -> bool:
    return recipient.startswith("program:")


async def revoke(store: Store, c: AsyncConnection, district: int, consent: int, because: str, actor: Actor) -> None:
    """Take a consent back: from this moment nothing rests on it, also after a restore. Refused without a reason."""
    if not because.strip():
        raise Refused("reason-missing", "Revoking a consent needs a reason.", "Give --because.")
    recipient = await c.scalar(text("SELECT recipient FROM consent WHERE id = :id"), {"id": consent})
    if _of_a_program(str(recipient)):
        await reach.alone(c, district)
    found = await c.scalar(
        text(
            "UPDATE consent SET revoked_at = now(), revoked_because = :because "
            "WHERE id = :id AND revoked_at IS NULL RETURNING id"
        ),
        {"id": consent, "because": because.strip()},
    )
    if found is None:
        raise ConfigError(
            "consent-unknown", f"There is no consent {consent} that could be revoked.", "`planbridge consents list`"
        )
    await log_act(c, district, actor, "consent-revoked", str(consent), {})
    await withdrawals.look_soon(c, district)
    await denials.allowed(store, c, consent, actor)
    if _of_a_program(str(recipient)):
        await reach.follow(c, district)
    # The reason may tell who it is about, and the file is kept apart from everything that a purge reaches.
    await standing.note_ended(store, c, district, standing.REVOKED_CONSENT, consent, AGAIN, actor)


async def of_student(c: AsyncConnection, student: str, recipients: Iterable[str]) -> list[Consent]:
    """Every consent for a student to one of these recipients, also those that hold no more."""
    return (await of_students(c, [student], recipients))[student]


async def of_students(
    c: AsyncConnection, students: Iterable[str], recipients: Iterable[str]
) -> dict[str, list[Consent]]:
    """Each of these students -> the same."""
    ids_of = await standing.former(c, students)
    rows = await c.execute(
        text(
            "SELECT CAST(student_id AS text) AS student, recipient, sections, permit, from_on, until_on, "
            "  revoked_at IS NOT NULL AS revoked, capacity FROM consent "
            "WHERE student_id = ANY(CAST(:ids AS uuid[])) AND lower(recipient) = ANY(:recipients) ORDER BY id"
        ),
        {
            "ids": sorted({id for ids in ids_of.values() for id in ids}),
            "recipients": [one.lower() for one in recipients],
        },
    )
    given: dict[str, list[Consent]] = {}
    for r in rows:
        given.setdefault(r.student, []).append(
            Consent(r.recipient, frozenset(r.sections), r.permit, r.from_on, r.until_on, r.revoked, r.capacity)
        )
    return {student: [one for id in sorted(ids) for one in given.get(id, ())] for student, ids in ids_of.items()}


async def references(c: AsyncConnection, student: str, today: date) -> dict[str, list[ConsentFacts]]:
    """By what plans name the consents for a student that permit something today (their number, and where the paper is)
    -> those consents, without what another one that holds forbids the same recipient."""
    rows = (
        await c.execute(
            text(
                "SELECT CAST(id AS text) AS id, evidence, recipient, sections, permit FROM consent "
                "WHERE planbridge_survivor(student_id) = planbridge_survivor(CAST(:student AS uuid)) "
                "AND revoked_at IS NULL AND :today BETWEEN from_on AND until_on ORDER BY consent.id"
            ),
            {"student": student, "today": today},
        )
    ).all()
    forbidden: dict[str, set[str]] = {}
    for row in rows:
        if not row.permit:
            forbidden.setdefault(row.recipient.lower(), set()).update(row.sections)
    found: dict[str, list[ConsentFacts]] = {}
    for row in rows:
        if row.permit:
            sections = frozenset(row.sections) - forbidden.get(row.recipient.lower(), set())
            for reference in filter(None, (row.id, row.evidence)):
                found.setdefault(reference, []).append(ConsentFacts(row.recipient, sections))
    return found


async def listed(c: AsyncConnection, student: str | None = None) -> list[dict[str, Any]]:
    """Consents, all or one student's, the newest first."""
    rows = await c.execute(
        text(
            "SELECT id, CAST(planbridge_survivor(student_id) AS text) AS student, grantor, capacity, recipient, "
            "  sections, purpose, permit, from_on, until_on, evidence, at, revoked_at, revoked_because FROM consent "
            "WHERE CAST(:student AS uuid) IS NULL "
            "OR planbridge_survivor(student_id) = planbridge_survivor(CAST(:student AS uuid)) ORDER BY id DESC"
        ),
        {"student": student},
    )
    return [dict(row._mapping) for row in rows]


def checked_sections(sections: Iterable[str]) -> frozenset[Section]:
    """These sections. ConfigError where one is none."""
    wanted = {one.strip().replace("-", "_").replace(" ", "_") for one in sections}
    if unknown := sorted(wanted - set(SECTIONS)):
        raise ConfigError(
            "section-unknown", f"There is no section {unknown[0]!r}.", f"Choose from: {', '.join(SECTIONS)}."
        )
    return frozenset(wanted)  # type: ignore[arg-type]


def checked_purpose(purpose: str) -> str:
    """This purpose. ConfigError where it is not one of the list."""
    if purpose not in PURPOSES:
        raise ConfigError(
            "purpose-unknown", f"There is no purpose {purpose!r}.", f"Choose from: {', '.join(PURPOSES)}."
        )
    return purpose
