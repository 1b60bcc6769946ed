"""The log of who was shown what of a student, and what was opened with a reason: lines are added, none is changed."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Literal

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.access import Section
from gateway.store.registers import Actor

OPEN_FOR = timedelta(minutes=15)
"""How long something stays open that somebody opened with a reason."""

Act = Literal["read", "push", "reveal"]


@dataclass(frozen=True)
class Disclosure:
    """One look, or one sending. `party` got it: a name, or of a person on the roster (`person`) the role. `interest` is
    why they may have it, `basis` by which right. `outside`: not the district's own staff; families ask for these."""

    student: str
    act: Act
    party: str
    outside: bool
    interest: str
    purpose: str
    basis: str
    sections: Sequence[Section]
    person: str | None = None
    plan: str | None = None
    version: int | None = None
    delivery: int | None = None


async def note(c: AsyncConnection, district: int, done: Disclosure, actor: Actor) -> None:
    """Keep a line, in the transaction of the act. A delivery that is tried again has one line."""
    await note_all(c, district, [done], actor)


async def note_all(c: AsyncConnection, district: int, done: Sequence[Disclosure], actor: Actor) -> None:
    """The same of many acts of somebody. A delivery has one line, however often it is tried, and another one each time
    when something else of the plan left than before."""
    await c.execute(
        text(
            "INSERT INTO disclosure (district_id, student_id, act, party, person_id, actor, outside, interest, "
            "  purpose, basis, sections, plan_id, version, delivery_id, until) "
            "SELECT :district, student, a.act, a.party, "
            "  person, CAST(:actor AS json), a.outside, a.interest, a.purpose, a.basis, a.sections, plan, a.version, "
            "  CASE WHEN o.id IS NULL THEN delivery END, "
            "  CASE WHEN a.act = 'reveal' THEN now() + make_interval(secs => :seconds) END "
            "FROM json_to_recordset(CAST(:rows AS json)) AS a (student uuid, act text, party text, person uuid, "
            "  outside boolean, interest text, purpose text, basis text, sections json, plan uuid, version int, "
            "  delivery bigint) LEFT JOIN disclosure o ON o.delivery_id = a.delivery "
            "WHERE o.id IS NULL OR NOT EXISTS (SELECT FROM disclosure s WHERE s.plan_id = plan AND s.party = a.party "
            "  AND s.student_id = student AND s.version = a.version AND s.act = a.act "
            "  AND CAST(s.sections AS text) = CAST(a.sections AS text) "
            "  AND (s.delivery_id IS NULL OR s.delivery_id = a.delivery)) "
            "ON CONFLICT (delivery_id) WHERE delivery_id IS NOT NULL DO NOTHING"
        ),
        {
            "district": district,
            "actor": actor.as_json(),
            "seconds": OPEN_FOR.total_seconds(),
            "rows": json.dumps([{**vars(one), "sections": list(one.sections)} for one in done]),
        },
    )


async def opened(c: AsyncConnection, student: str, party: str, person: str | None) -> frozenset[Section]:
    """The sections that somebody opened for themselves and that are open still: a person of the roster, or whoever
    acts under this name."""
    rows = await c.execute(
        text(
            "SELECT DISTINCT json_array_elements_text(sections) FROM disclosure WHERE act = 'reveal' "
            "AND person_id IS NOT DISTINCT FROM CAST(:person AS uuid) "
            "AND (person_id IS NOT NULL OR party = :party) AND until > now() "
            "AND planbridge_survivor(student_id) = planbridge_survivor(CAST(:student AS uuid))"
        ),
        {"student": student, "party": party, "person": person},
    )
    return frozenset(rows.scalars())


async def of_student(c: AsyncConnection, student: str, *, outside: bool | None = None) -> list[dict[str, Any]]:
    """Everything that was shown of a student, the newest first; only to others than the district's staff, or only to
    its staff, where asked for."""
    rows = await c.execute(
        text(
            "SELECT at, act, party, outside, interest, purpose, basis, sections, CAST(plan_id AS text) AS plan, "
            "  version, CAST(person_id AS text) AS person FROM disclosure "
            "WHERE planbridge_survivor(student_id) = planbridge_survivor(CAST(:student AS uuid)) "
            "AND outside = coalesce(CAST(:outside AS boolean), outside) ORDER BY id DESC"
        ),
        {"student": student, "outside": outside},
    )
    return [dict(row._mapping) for row in rows]


async def lately(c: AsyncConnection, students: Iterable[str], days: int) -> list[dict[str, Any]]:
    """Who saw something of these students in the last days: party, act, how many students, when last."""
    rows = await c.execute(
        text(
            "SELECT party, act, outside, count(DISTINCT student_id) AS students, max(at) AS last FROM disclosure "
            "WHERE planbridge_survivor(student_id) = ANY(CAST(:students AS uuid[])) "
            "AND at > now() - make_interval(days => :days) GROUP BY 1, 2, 3 ORDER BY 5 DESC"
        ),
        {"students": list(students), "days": days},
    )
    return [dict(row._mapping) for row in rows]
