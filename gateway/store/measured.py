"""What progress points are made of: results that a publication moved, and the goals that are tied to a score."""

import json
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.progress import Tied, tied

CHUNK = 1_000
ENDED = ("closed", "superseded", "revoked", "entered_in_error", "archived", "purged")
"""States in which a plan's goals are measured no more."""


@dataclass(frozen=True)
class Result:
    """An assessment result as it is published now; `doc` is None where it is no more. `survivors`: whoever was merged
    into another person -> whom."""

    id: str
    doc: dict[str, Any] | None
    survivors: Mapping[str, str] = field(default_factory=dict)

    def known_as(self, student: str) -> str:
        return self.survivors.get(student, student)


async def any_version(c: AsyncConnection) -> bool:
    """Whether any plan of the district was ever finalized: else nothing can be tied to one."""
    return bool(await c.scalar(text("SELECT EXISTS (SELECT FROM plan_version)")))


async def moved(c: AsyncConnection, publication: int) -> AsyncIterator[list[Result]]:
    """Every result that this publication added, changed or removed, each once, as it is now."""
    first = await c.scalar(
        text("SELECT min(seq) FROM change WHERE publication = :publication AND kind = 'assessment_result'"),
        {"publication": publication},
    )
    survivors, seen, place = await _survivors(c), set[str](), int(first or 0) - 1
    while first is not None:
        rows = (
            await c.execute(
                text(
                    "SELECT CAST(h.entity_id AS text) AS id, h.seq, e.doc FROM change h LEFT JOIN entity e "
                    "ON e.kind = 'assessment_result' AND e.id = h.entity_id WHERE h.publication = :publication "
                    "AND h.kind = 'assessment_result' AND h.seq > :place ORDER BY h.seq LIMIT :chunk"
                ),
                {"publication": publication, "place": place, "chunk": CHUNK},
            )
        ).all()
        if not rows:
            return
        place = rows[-1].seq
        yield [
            Result(row.id, row.doc, survivors) for row in {row.id: row for row in rows if row.id not in seen}.values()
        ]
        seen.update(row.id for row in rows)


async def results_of(c: AsyncConnection, student: str) -> list[Result]:
    """Every published result of a student."""
    rows = await c.execute(
        text(
            "SELECT CAST(id AS text) AS id, doc FROM entity WHERE kind = 'assessment_result' "
            "AND doc->>'student' = (SELECT CAST(planbridge_survivor(CAST(:id AS uuid)) AS text)) ORDER BY entity.id"
        ),
        {"id": student},
    )
    survivors = await _survivors(c)
    return [Result(row.id, row.doc, survivors) for row in rows]


async def _survivors(c: AsyncConnection) -> dict[str, str]:
    rows = await c.execute(
        text(
            "SELECT DISTINCT CAST(entity_id AS text), CAST(planbridge_survivor(entity_id) AS text) "
            "FROM identity_decision WHERE act = 'merge' AND undone_by IS NULL"
        )
    )
    return {row[0]: row[1] for row in rows}


async def tied_goals(c: AsyncConnection, students: Sequence[str]) -> dict[str, list[Tied]]:
    """Student -> the goals of the newest versions of their plans that are tied to a score."""
    survivors, wanted = await _survivors(c), set(students)
    ids = [*students, *(gone for gone, stays in survivors.items() if stays in wanted)]
    rows = await c.execute(
        text(
            "SELECT CAST(p.id AS text) AS plan, CAST(p.student_id AS text) AS student, v.content FROM plan p "
            "JOIN plan_version v ON v.plan_id = p.id AND v.version = ("
            "  SELECT max(version) FROM plan_version n WHERE n.plan_id = p.id) "
            "WHERE p.student_id = ANY(CAST(:ids AS uuid[])) AND p.state <> ALL(:ended) ORDER BY p.id"
        ),
        {"ids": ids, "ended": list(ENDED)},
    )
    found: dict[str, list[Tied]] = {}
    for row in rows:
        student = survivors.get(row.student, row.student)
        found.setdefault(student, []).extend(tied(row.plan, student, json.loads(row.content)))
    return found


async def assessment_names(c: AsyncConnection, ids: Sequence[str]) -> dict[str, list[str]]:
    """Assessment -> what a goal may call it: its id, its identifier, its title last."""
    rows = await c.execute(
        text(
            "SELECT CAST(id AS text) AS id, doc->>'identifier' AS identifier, doc->>'title' AS title FROM entity "
            "WHERE kind = 'assessment' AND id = ANY(CAST(:ids AS uuid[]))"
        ),
        {"ids": list(ids)},
    )
    return {row.id: [name for name in (row.id, row.identifier, row.title) if name] for row in rows}
