"""What of plans waits for a person, kept: looked for with every run, every change of a plan and every day."""

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway import continuity
from gateway.access import ADMINISTRATORS
from gateway.continuity import (
    DRAFTED,
    OVER,
    SAYS,
    TO_DO,
    Breaks,
    Concern,
    Doc,
    Facts,
    Somebody,
    Waits,
)
from gateway.store import rights
from gateway.store.database import Store
from gateway.store.runs import Attempt

AT_ONCE = 1000
"""Plans looked over at a time: so many documents are in memory."""
QUIET = ("review-due",)
"""Listed, and not told of before it is overdue."""
AGAIN = {"review-overdue": 7, "urgent": 1, "urgent-overdue": 1}
"""Days after which people are told again of what still waits."""
_AGAIN = " ".join(f"WHEN '{kind}' THEN {days}" for kind, days in AGAIN.items())
UNTOLD = (
    f"a.closed_at IS NULL AND a.kind <> ALL(ARRAY{list(QUIET)}) "
    f"AND (a.told_on IS NULL OR a.told_on + (CASE a.kind {_AGAIN} END) <= CAST(:today AS date))"
)


@dataclass(frozen=True)
class Found:
    """A plan as it is looked at: what is worked on, and the finalized version that is in force, with its state."""

    id: str
    student: str
    state: str
    working: Doc
    in_force: Doc | None
    standing: str | None


async def after_run(
    store: Store, c: AsyncConnection, attempt: Attempt, publication: int, today: date
) -> dict[str, Any]:
    """Look over the plans that this transaction's publication concerns, in it, so that nothing it shows is lost.
    `plans`: kind -> how many things wait that did not wait before; empty where none does."""
    opened: Counter[str] = Counter()
    for part in _parts(await _concerned(c, publication), AT_ONCE):
        opened += await look(c, attempt.district, part, today, store=store, run=attempt.run)
    return {"plans": dict(opened)} if opened else {}


async def _concerned(c: AsyncConnection, publication: int) -> list[str]:
    """The plans whose student, or whose family relationships, changed, and those that name a person who did: only in
    what says who is here."""
    if not await c.scalar(text("SELECT EXISTS (SELECT FROM plan)")):
        return []
    rows = await c.execute(
        text(
            """
            WITH moved AS MATERIALIZED (
                SELECT h.kind, CAST(h.entity_id AS text) AS id, h.before->>'student' AS was,
                       e.doc->>'student' AS student
                FROM change h LEFT JOIN entity e ON e.kind = h.kind AND e.id = h.entity_id
                WHERE h.publication = :publication AND (h.kind = 'relationship' OR h.kind = 'person' AND (
                    h.before->>'roles' IS DISTINCT FROM e.doc->>'roles'
                    OR h.before->>'active' IS DISTINCT FROM e.doc->>'active'))
            ), touched AS MATERIALIZED (
                SELECT id, kind = 'person' AS moved FROM moved WHERE kind = 'person'
                UNION SELECT was, false FROM moved UNION SELECT student, false FROM moved
            ), known AS MATERIALIZED (
                SELECT id, moved FROM touched
                UNION SELECT CAST(d.entity_id AS text), t.moved FROM identity_decision d
                JOIN touched t ON t.id = CAST(planbridge_survivor(d.entity_id) AS text)
                WHERE d.act = 'merge' AND d.undone_by IS NULL
            )
            SELECT CAST(p.id AS text) FROM plan p WHERE p.state <> ALL(:over) AND p.id IN (
                SELECT q.id FROM plan q JOIN known k ON q.student_id = CAST(k.id AS uuid)
                UNION SELECT n.plan_id FROM plan_named n JOIN known k ON n.person = k.id AND k.moved)
            ORDER BY 1
            """
        ),
        {"publication": publication, "over": list(OVER)},
    )
    return list(rows.scalars())


async def name(c: AsyncConnection, district: int, plan: str) -> None:
    """Keep who coordinates a plan or owns a support of it, in what is worked on and in its newest version: a run that
    moves people finds their plans by it, and reads no other."""
    await c.execute(
        text(
            """
            WITH who AS MATERIALIZED (
                SELECT DISTINCT w #>> '{}' AS person FROM plan p
                CROSS JOIN LATERAL (SELECT p.content UNION ALL (
                    SELECT CAST(v.content AS json) FROM plan_version v WHERE v.plan_id = p.id
                    ORDER BY v.version DESC LIMIT 1)) d (doc)
                CROSS JOIN LATERAL (SELECT d.doc->'coordinator'
                    UNION ALL SELECT s->'owner' FROM json_array_elements(d.doc->'supports') s) n (w)
                WHERE p.id = CAST(:plan AS uuid) AND json_typeof(w) = 'string'
            ), gone AS (
                DELETE FROM plan_named n WHERE n.plan_id = CAST(:plan AS uuid)
                AND n.person NOT IN (SELECT person FROM who)
            )
            INSERT INTO plan_named (district_id, plan_id, person)
            SELECT :district, CAST(:plan AS uuid), person FROM who ON CONFLICT DO NOTHING
            """
        ),
        {"district": district, "plan": plan},
    )


async def look(
    c: AsyncConnection,
    district: int,
    plans: Sequence[str],
    today: date,
    *,
    store: Store | None = None,
    run: int | None = None,
) -> Counter[str]:
    """Look over these plans: what waits is opened, what was mended is closed. Kind -> how many were opened. The
    district's own word about rights is asked for where there is the `store` with its keys; else who was found without
    a right counts as that still."""
    found = await _plans(c, plans)
    facts = await _facts(c, found, today, store)
    waits = [
        (plan, one)
        for plan in found
        for one in continuity.concerns(
            plan.state, plan.working, plan.in_force, facts[plan.id], rests=plan.standing == "on_hold"
        )
    ]
    rows = [_row(plan, one) for plan, one in waits]
    await c.execute(
        text(
            "UPDATE attention a SET closed_at = now() WHERE a.closed_at IS NULL AND a.plan_id = ANY(CAST(:plans AS "
            "uuid[])) AND NOT EXISTS (SELECT FROM json_to_recordset(CAST(:rows AS json)) "
            "  AS r (plan uuid, kind text, item text, person text) "
            "  WHERE r.plan = a.plan_id AND r.kind = a.kind AND r.item = a.item AND r.person = a.person)"
        ),
        {"plans": list(plans), "rows": json.dumps(rows)},
    )
    made = await c.execute(
        text(
            "INSERT INTO attention AS a (district_id, plan_id, kind, item, person, acts, acts_at, school, reason, "
            "  drafted, run_id, due_on) "
            "SELECT :district, r.plan, r.kind, r.item, r.person, r.acts, r.acts_at, r.school, "
            "  CASE WHEN r.kind = 'student-left' THEN (SELECT g.reason FROM ending g WHERE g.kind = 'person' "
            "    AND g.entity_id = r.student ORDER BY g.publication DESC LIMIT 1) END, r.drafted, :run, r.due_on "
            "FROM json_to_recordset(CAST(:rows AS json)) AS r (plan uuid, kind text, item text, person text, "
            "  acts uuid, acts_at text, school text, student uuid, drafted boolean, due_on date) "
            "ON CONFLICT (plan_id, kind, item, person) WHERE closed_at IS NULL DO UPDATE "
            "  SET acts = excluded.acts, acts_at = excluded.acts_at, drafted = excluded.drafted "
            "RETURNING kind, xmax = 0 AS new"
        ),
        {"district": district, "run": run, "rows": json.dumps(rows)},
    )
    return Counter(row.kind for row in made if row.new)


def _row(plan: Found, one: Concern) -> dict[str, Any]:
    doc = plan.in_force or plan.working
    return {
        "plan": plan.id,
        "kind": one.kind,
        "item": one.item,
        "person": one.person or "",
        "acts": one.acts,
        "acts_at": one.acts_at,
        "school": str(doc.get("school", "")),
        "student": plan.student,
        "drafted": one.drafted,
        "due_on": one.due_on.isoformat(),
    }


async def _plans(c: AsyncConnection, ids: Sequence[str]) -> list[Found]:
    rows = await c.execute(
        text(
            "SELECT CAST(p.id AS text) AS id, CAST(planbridge_survivor(p.student_id) AS text) AS student, p.state, "
            "  p.standing, p.content, (SELECT v.content FROM plan_version v WHERE v.plan_id = p.id "
            "    ORDER BY v.version DESC LIMIT 1) AS version FROM plan p WHERE p.id = ANY(CAST(:ids AS uuid[]))"
        ),
        {"ids": list(ids)},
    )
    return [
        Found(
            row.id,
            row.student,
            row.state,
            row.content,
            json.loads(row.version) if row.version and row.standing not in OVER else None,
            row.standing,
        )
        for row in rows
    ]


async def _facts(c: AsyncConnection, plans: Sequence[Found], today: date, store: Store | None) -> dict[str, Facts]:
    """What must be known of everybody these plans name."""
    named = {person for plan in plans for doc in (plan.working, plan.in_force or {}) for person in _named(doc)}
    docs = await people(c, named | {plan.student for plan in plans})
    places, breaks = await above(c), await _breaks(c)
    barred = await _barred(c, plans, store)
    had = await _had(c, named)
    known: dict[str, Somebody] = {}
    for person in named:
        if found := continuity.somebody(docs.get(person), had.get(person, ()), today):
            known[person] = found
    return {
        plan.id: Facts(
            today,
            known,
            places,
            continuity.enrolled_at(docs.get(plan.student), today),
            barred.get(plan.student, frozenset()),
            breaks,
        )
        for plan in plans
    }


async def _barred(c: AsyncConnection, plans: Sequence[Found], store: Store | None) -> dict[str, frozenset[str]]:
    """Student -> who of those named in a version in force has no right."""
    named: dict[str, set[str]] = {}
    for plan in plans:
        if plan.in_force is not None:
            named.setdefault(plan.student, set()).update(continuity.named(plan.in_force))
    if store is not None:
        return await rights.barred(store, c, named)
    rows = await c.execute(
        text(
            "SELECT CAST(a.plan_id AS text) AS plan, a.person FROM attention a WHERE a.kind = 'rights-ended' "
            "AND a.closed_at IS NULL AND a.plan_id = ANY(CAST(:plans AS uuid[]))"
        ),
        {"plans": [plan.id for plan in plans]},
    )
    student = {plan.id: plan.student for plan in plans}
    found = dict(await rights.barred_by_sources(c, named))
    for row in rows:
        found[student[row.plan]] = found.get(student[row.plan], frozenset()) | {row.person}
    return found


def _named(doc: Doc) -> Iterator[str]:
    who = [doc.get("coordinator"), *(support.get("owner") for support in doc.get("supports", ()))]
    yield from (person for person in who if isinstance(person, str))


async def people(c: AsyncConnection, ids: Iterable[str]) -> dict[str, Doc]:
    """Those who are published, by the ids that were asked for: whoever was merged into another person is that one."""
    rows = await c.execute(
        text(
            "SELECT CAST(asked AS text) AS id, e.doc FROM unnest(CAST(:ids AS uuid[])) asked "
            "JOIN entity e ON e.kind = 'person' AND e.id = planbridge_survivor(asked)"
        ),
        {"ids": sorted(set(ids))},
    )
    return {row.id: row.doc for row in rows}


async def _had(c: AsyncConnection, ids: Iterable[str]) -> dict[str, list[Doc]]:
    """The roles that people had before, as far back as changes are kept."""
    rows = await c.execute(
        text(
            "SELECT DISTINCT CAST(h.entity_id AS text) AS id, r->>'organization' AS organization FROM change h "
            "CROSS JOIN json_array_elements(h.before->'roles') r "
            "WHERE h.kind = 'person' AND h.entity_id = ANY(CAST(:ids AS uuid[]))"
        ),
        {"ids": sorted(set(ids))},
    )
    found: dict[str, list[Doc]] = {}
    for row in rows:
        found.setdefault(row.id, []).append({"organization": row.organization})
    return found


async def above(c: AsyncConnection) -> dict[str, frozenset[str]]:
    """Organization -> itself and all above it."""
    rows = await c.execute(
        text("SELECT CAST(id AS text) AS id, doc->>'parent' AS parent FROM entity WHERE kind = 'organization'")
    )
    parents = {row.id: row.parent for row in rows}
    found = {}
    for organization in parents:
        way, at = {organization}, parents[organization]
        while at is not None and at not in way:
            way.add(at)
            at = parents.get(at)
        found[organization] = frozenset(way)
    return found


async def _breaks(c: AsyncConnection) -> Breaks:
    rows = await c.execute(text("SELECT last_day, first_day FROM year_change WHERE cancelled IS NULL"))
    return [(row.last_day, row.first_day) for row in rows]


async def due(store: Store, today: date) -> list[int]:
    """The districts whose plans were not looked over today."""
    async with store.owner.begin() as c:
        rows = await c.execute(
            text(
                "SELECT id FROM district d WHERE coalesce(plans_looked_on < :today, true) "
                "AND EXISTS (SELECT FROM plan p WHERE p.district_id = d.id) ORDER BY id"
            ),
            {"today": today},
        )
        return list(rows.scalars())


async def look_today(store: Store, district: int, today: date) -> dict[str, int] | None:
    """Look over all plans of a district; kind -> how many were opened. None where another process does so."""
    async with store.transaction(district) as c:
        mine = await c.scalar(
            text(
                "UPDATE district SET plans_looked_on = :today WHERE id = :district "
                "AND coalesce(plans_looked_on < :today, true) RETURNING id"
            ),
            {"district": district, "today": today},
        )
        return None if mine is None else await look_all(store, c, district, today)


async def look_all(store: Store, c: AsyncConnection, district: int, today: date) -> dict[str, int]:
    """Look over every plan that is not over, and every one in which something waits."""
    rows = await c.execute(
        text(
            "SELECT CAST(id AS text) AS id FROM plan WHERE state <> ALL(:over) UNION "
            "SELECT CAST(plan_id AS text) FROM attention WHERE closed_at IS NULL ORDER BY 1"
        ),
        {"over": list(OVER)},
    )
    opened: Counter[str] = Counter()
    for part in _parts(list(rows.scalars()), AT_ONCE):
        opened += await look(c, district, part, today, store=store)
    return dict(opened)


async def look_again(store: Store, c: AsyncConnection, district: int, today: date, student: str | None = None) -> None:
    """Look over the plans in which something waits, as it may be mended by now; or over those of one student, of whose
    family the district has just said something."""
    rows = await c.execute(
        text(
            "SELECT CAST(id AS text) FROM plan p WHERE CASE WHEN CAST(:student AS text) IS NULL "
            "THEN EXISTS (SELECT FROM attention a WHERE a.plan_id = p.id AND a.closed_at IS NULL) "
            "ELSE planbridge_survivor(p.student_id) = planbridge_survivor(CAST(:student AS uuid)) END"
        ),
        {"student": student},
    )
    for part in _parts(list(rows.scalars()), AT_ONCE):
        await look(c, district, part, today, store=store)


def _parts(ids: Sequence[str], size: int) -> Iterator[Sequence[str]]:
    yield from (ids[n : n + size] for n in range(0, len(ids), size))


# --- what people look at, and are told of


async def listed(
    c: AsyncConnection, today: date, *, acts: str = "", school: str = "", run: int | None = None
) -> list[dict[str, Any]]:
    """What waits, the soonest due first: why, since when, by when, who must act. `acts`: only what this person must act
    on, as coordinator or as an administrator; `run`: what this run showed, also where it is mended by now."""
    rows = await c.execute(
        text(
            "SELECT a.kind, CAST(a.plan_id AS text) AS plan, "
            "  CAST(planbridge_survivor(p.student_id) AS text) AS student, a.item, a.person, a.reason, "
            "  a.drafted, a.since, a.due_on, a.closed_at, a.run_id AS run, a.school, "
            "  s.doc->>'name' AS school_name, CAST(a.acts AS text) AS acts, "
            "  concat_ws(' ', o.doc->>'given_name', o.doc->>'family_name') AS acts_name, a.acts_at, "
            "  t.doc->>'name' AS acts_at_name "
            "FROM attention a JOIN plan p ON p.id = a.plan_id "
            "LEFT JOIN entity o ON o.kind = 'person' AND o.id = planbridge_survivor(a.acts) "
            "LEFT JOIN entity s ON s.kind = 'organization' AND CAST(s.id AS text) = a.school "
            "LEFT JOIN entity t ON t.kind = 'organization' AND CAST(t.id AS text) = a.acts_at "
            "WHERE CASE WHEN CAST(:run AS bigint) IS NULL THEN a.closed_at IS NULL ELSE a.run_id = :run END "
            "AND (:school = '' OR a.school = :school OR a.acts_at = :school) ORDER BY a.due_on, a.id"
        ),
        {"school": school, "run": run},
    )
    found = [dict(row._mapping) for row in rows]
    administrators = await _administrators(c, today, {one["acts_at"] for one in found if one["acts"] is None})
    for one in found:
        ids = [one["acts"]] if one["acts"] else administrators.get(one["acts_at"], [])
        where = one.pop("acts_at_name") or "the district"
        one |= {
            "says": SAYS[one["kind"]],
            "who_acts": one.pop("acts_name") if one["acts"] else f"the administrators of {where}",
            "who_acts_ids": ids,
            "to_do": DRAFTED if one["drafted"] else TO_DO[one["kind"]],
        }
    return [one for one in found if not acts or acts in one["who_acts_ids"]]


async def _administrators(c: AsyncConnection, today: date, schools: Iterable[str]) -> dict[str, list[str]]:
    """School -> who administers it, or what is above it where nobody does."""
    places = await above(c)
    rows = await c.execute(
        text(
            "SELECT CAST(e.id AS text) AS id, r->>'organization' AS at FROM entity e "
            "CROSS JOIN json_array_elements(e.doc->'roles') r WHERE e.kind = 'person' "
            "AND e.doc->>'population' = 'staff' AND r->>'role' = ANY(:roles) "
            "AND coalesce(r->>'end_on', '9') >= :today ORDER BY 1"
        ),
        {"roles": sorted(ADMINISTRATORS), "today": today.isoformat()},
    )
    at: dict[str, list[str]] = {}
    for row in rows:
        at.setdefault(row.at, []).append(row.id)
    return {
        school: at.get(school) or sorted({one for place in places.get(school, ()) for one in at.get(place, ())})
        for school in schools
    }


async def untold(c: AsyncConnection, today: date) -> tuple[str, list[Waits]]:
    """What people are to be told of now, and under which name that is told once; it counts as told."""
    rows = await c.execute(
        text(
            f"WITH told AS (UPDATE attention a SET told_on = :today WHERE {UNTOLD} RETURNING a.*) "
            "SELECT t.id, t.kind, CAST(t.plan_id AS text) AS plan, coalesce(o.doc->>'name', '') AS school, t.due_on "
            "FROM told t LEFT JOIN entity o ON o.kind = 'organization' AND CAST(o.id AS text) = t.school ORDER BY t.id"
        ),
        {"today": today},
    )
    found = list(rows)
    key = f"plans/{today}/{max((row.id for row in found), default=0)}"
    return key, [Waits(row.kind, row.plan, row.school, row.due_on) for row in found]
