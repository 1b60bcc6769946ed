"""What data are for: what the district decided of assessments, and the refusal of whatever would judge by them."""

from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.access import JUDGING, PURPOSES, RESULT_PURPOSES, effective_purpose
from gateway.errors import ConfigError, Refused
from gateway.store.database import Store
from gateway.store.registers import Actor, log_act

# A part of an assessment is for what the whole is for, unless it says so itself.
_ASSESSMENTS = """
    WITH RECURSIVE up AS (
        SELECT a.id, a.id AS at, a.doc->>'purpose' AS stated, CAST(a.doc->>'parent' AS uuid) AS parent, 0 AS step
        FROM entity a WHERE a.kind = 'assessment' AND (CAST(:ids AS uuid[]) IS NULL OR a.id = ANY(CAST(:ids AS uuid[])))
        UNION ALL
        SELECT up.id, p.id, p.doc->>'purpose', CAST(p.doc->>'parent' AS uuid), step + 1
        FROM up JOIN entity p ON p.kind = 'assessment' AND p.id = up.parent WHERE step < 9
    )
    SELECT DISTINCT ON (up.id) CAST(up.id AS text) AS id, a.doc->>'title' AS title, up.stated, d.purpose AS decided,
        d.because, d.at
    FROM up JOIN entity a ON a.kind = 'assessment' AND a.id = up.id
    LEFT JOIN purpose d ON d.assessment_id = up.at
    ORDER BY up.id, (coalesce(up.stated, 'other') = 'other'), (d.purpose IS NULL), up.step
"""


async def listed(c: AsyncConnection, ids: list[str] | None = None) -> list[dict[str, Any]]:
    """Assessments, all or these: what their source says they are for, what the district decided, and as what their
    results count."""
    rows = await c.execute(text(_ASSESSMENTS), {"ids": ids})
    return [
        {
            "id": row.id,
            "title": row.title,
            "stated": row.stated,
            "decided": row.decided,
            "counts_as": effective_purpose(row.stated, row.decided),
            "because": row.because,
            "at": row.at,
        }
        for row in rows
    ]


async def decide(c: AsyncConnection, district: int, assessment: str, purpose: str, because: str, actor: Actor) -> None:
    """Say what an assessment is for. Refused where its source says it: a diagnostic result stays one."""
    if purpose not in RESULT_PURPOSES:
        raise ConfigError(
            "purpose-unknown", f"There is no purpose {purpose!r}.", f"Choose from: {', '.join(RESULT_PURPOSES)}."
        )
    if not because.strip():
        raise Refused("reason-missing", "To say what an assessment is for needs a reason.", "Give --because.")
    found = await _meant(c, assessment)
    if found["stated"] not in (None, "other"):
        raise Refused(
            "purpose-stated",
            f"Its source says what it is for: {found['stated']}.",
            "Correct it at the source, or the code in its crosswalk: planbridge crosswalks set",
        )
    await c.execute(
        text(
            "INSERT INTO purpose (district_id, assessment_id, purpose, because, actor) "
            "VALUES (:district, CAST(:id AS uuid), :purpose, :because, CAST(:actor AS json)) "
            "ON CONFLICT (district_id, assessment_id) DO UPDATE SET purpose = excluded.purpose, "
            "  because = excluded.because, actor = excluded.actor, at = now()"
        ),
        {
            "district": district,
            "id": found["id"],
            "purpose": purpose,
            "because": because.strip(),
            "actor": actor.as_json(),
        },
    )
    await log_act(c, district, actor, "purpose", found["id"], {"purpose": purpose, "because": because.strip()})


async def _meant(c: AsyncConnection, given: str) -> dict[str, Any]:
    """The one assessment of that title or entity id. ConfigError where there is none, or several have the title."""
    found = [one for one in await listed(c) if given in (one["id"], one["title"])]
    if len(found) != 1:
        raise ConfigError(
            "assessment-unknown",
            "Several assessments have this title." if found else "There is no such assessment.",
            "Give the entity id: `planbridge purposes list` shows it.",
        )
    return found[0]


async def refuse_judging(store: Store, district: int, purpose: str, subject: str, actor: Actor) -> None:
    """Refused, and on record, where an agreement, an export or a program is to judge staff, classes or schools.
    ConfigError for what is no purpose at all."""
    if purpose not in PURPOSES:
        raise ConfigError(
            "purpose-unknown", f"There is no purpose {purpose!r}.", f"Choose from: {', '.join(PURPOSES)}."
        )
    if purpose in JUDGING:
        async with store.transaction(district) as c:
            await log_act(c, district, actor, "purpose-refused", subject, {"purpose": purpose})
        raise judging(purpose)


async def refuse_measure(store: Store, district: int, measure: str, by: str, actor: Actor) -> None:
    """Refused, and on record: a number about staff, classes or schools made of what was measured to help a student."""
    async with store.transaction(district) as c:
        await log_act(c, district, actor, "measure-refused", "results", {"measure": measure, "by": by})
    raise Refused(
        "purpose-firewall",
        "Results are here to plan with each student. No mean, growth, rate or ranking by staff, class or school is "
        "made of them.",
        "Ask for the results of students whom the person may see.",
    )


def judging(purpose: str) -> Refused:
    """What is said to a purpose that judges."""
    return Refused(
        "purpose-refused",
        f"Nothing is given for the purpose {purpose!r} ({PURPOSES[purpose]}): what helps a student judges nobody.",
        "Name the purpose it has for the student, if there is one.",
    )
