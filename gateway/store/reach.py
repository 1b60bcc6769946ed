"""Which rows of the served collections each agreement reaches, and since when: the rules, set-based."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway import clock
from gateway.served import COLLECTIONS
from gateway.vendors import OF_STUDENTS, Agreement, Terms, from_json

UNSTAMPED = "infinity"
"""The time of rows whose transaction has not said when it ends."""


async def refresh(c: AsyncConnection, district: int, agreement: int | None = None) -> int:
    """Bring what every agreement in force reaches, or this one, up to what is served in this transaction; returns how
    many rows came or went. They have no time yet: whoever commits them calls `stamp`, as the last statement."""
    today = clock.today()
    moved = 0
    await whole(c)
    for one in await _in_force(c, today):
        if agreement in (None, one.id):
            moved += await _moved(c, _MOVE, district, one, today)
    await c.execute(text("SELECT set_config('enable_nestloop', 'on', true)"))
    return moved


async def fill(c: AsyncConnection, district: int, agreement: Agreement) -> None:
    """The same for an agreement that this transaction puts in force for the first time. Nobody has read under it, so
    nobody's next question can miss what came before its end: its rows have their time at once, and are written once.
    """
    await whole(c)
    await _moved(c, _FILL, district, agreement, clock.today())
    await c.execute(text("SELECT set_config('enable_nestloop', 'on', true)"))


async def refresh_rows(c: AsyncConnection, district: int, rows: Mapping[str, Sequence[str]]) -> None:
    """The same for these rows of the gradebook alone, by collection: nobody else comes into reach by them or leaves it.
    What hangs on a line item that went elsewhere follows with the next projection."""
    today = clock.today()
    for agreement in await _in_force(c, today):
        for name in sorted(set(rows) & set(agreement.terms.collections)):
            collection, ids = COLLECTIONS[name], list(rows[name])
            wanted = wanting(agreement.client, agreement.terms, today)
            item = {"results": "line_item_id", "assessmentResults": "assessment_line_item_id"}.get(name)
            named = (
                await c.execute(
                    text(
                        f"SELECT student_id, {item} FROM {collection.table} "
                        "WHERE sourced_id = ANY(CAST(:ids AS text[])) AND NOT gone"
                    ),
                    {"ids": ids},
                )
                if item
                else ()
            )
            users, items = [list(of) for of in zip(*named, strict=True)] or [[], ids]
            narrowed = {"collections": [name], "rows": ids, "users": users, "items": items}
            values = wanted.values | narrowed | {"district": district, "agreement": agreement.id, "collection": name}
            await c.execute(text(f"{wanted.sql}{_MOVE_ROWS}"), values)


_MOVE_ROWS = """,
    mine AS (SELECT sourced_id FROM wanted WHERE collection = :collection AND sourced_id = ANY(CAST(:rows AS text[]))),
    came AS (
        INSERT INTO reach (district_id, agreement_id, collection, sourced_id, visible)
        SELECT :district, :agreement, :collection, sourced_id, true FROM mine w
        WHERE NOT EXISTS (SELECT FROM reach h WHERE h.agreement_id = :agreement AND h.collection = :collection
            AND h.sourced_id = w.sourced_id AND h.visible)
        ON CONFLICT (agreement_id, collection, sourced_id) DO UPDATE SET visible = true, at = 'infinity')
    UPDATE reach r SET visible = false, at = 'infinity'
    WHERE r.agreement_id = :agreement AND r.collection = :collection AND r.visible
    AND r.sourced_id = ANY(CAST(:rows AS text[])) AND NOT EXISTS (SELECT FROM mine w WHERE w.sourced_id = r.sourced_id)
    AND EXISTS (SELECT FROM alive l WHERE l.collection = r.collection AND l.sourced_id = r.sourced_id)
"""


async def whole(c: AsyncConnection) -> None:
    """Each of these statements reads whole tables, and how large its parts become nobody can guess before: taken for
    few, they would be gone through again for every row."""
    await c.execute(text("SELECT set_config('enable_nestloop', 'off', true)"))


async def students(c: AsyncConnection, agreement: Agreement) -> frozenset[str]:
    """Entity ids of the students whose plans and records an agreement reaches."""
    rows = await c.execute(
        text("SELECT sourced_id FROM reach WHERE agreement_id = :id AND collection = 'students' AND visible"),
        {"id": agreement.id},
    )
    return frozenset(rows.scalars())


async def reaches(c: AsyncConnection, agreement: Agreement, student: str) -> bool:
    """Whether it reaches the plans and the record of this student."""
    return bool(
        await c.scalar(
            text(
                "SELECT EXISTS (SELECT FROM reach WHERE agreement_id = :id AND collection = 'students' AND visible "
                "AND sourced_id = CAST(planbridge_survivor(CAST(:student AS uuid)) AS text))"
            ),
            {"id": agreement.id, "student": student},
        )
    )


async def alone(c: AsyncConnection, district: int) -> None:
    """Before anything that decides who is reached is changed: a projection under way would go by what was before."""
    await c.execute(text("SELECT pg_advisory_xact_lock(hashtext('planbridge.project'), :d)"), {"d": district})


async def follow(c: AsyncConnection, district: int) -> None:
    """Let what a family said in this transaction hold from its end on, for every agreement: its last act in the
    database."""
    if await c.scalar(text("SELECT EXISTS (SELECT FROM projection WHERE at IS NOT NULL)")):  # else it has nobody yet
        await refresh(c, district)
        await settle(c, district)


async def settle(c: AsyncConnection, district: int) -> None:
    """Let what this transaction moved be seen: its last act, where it is no projection that stamps and commits."""
    await c.execute(text("SELECT pg_advisory_xact_lock(hashtext('planbridge.served'), :d)"), {"d": district})
    at = await c.scalar(
        text(
            "UPDATE projection SET number = number + 1, "
            "  at = greatest(clock_timestamp(), at + interval '1 microsecond') "
            "WHERE district_id = :d AND at IS NOT NULL RETURNING at"
        ),
        {"d": district},
    )
    await stamp(c, district, at or (await c.execute(text("SELECT clock_timestamp()"))).scalar_one())


async def stamp(c: AsyncConnection, district: int, at: datetime) -> None:
    """Say when the rows changed that this transaction moved."""
    await c.execute(
        text("UPDATE reach SET at = :at WHERE district_id = :district AND at = 'infinity'"),
        {"at": at, "district": district},
    )


async def _in_force(c: AsyncConnection, today: date) -> list[Agreement]:
    """Every agreement under which somebody is served today, or will be from its first day on."""
    rows = await c.execute(
        text(
            "SELECT a.id, a.client_id, a.version, t.terms FROM vendor_agreement a JOIN vendor_terms t "
            "ON t.agreement_id = a.id AND t.version = a.version WHERE a.ended_at IS NULL AND a.until_on >= :today "
            "ORDER BY a.id"
        ),
        {"today": today},
    )
    return [Agreement(row.id, row.client_id, row.version, from_json(row.terms)) for row in rows]


async def _moved(c: AsyncConnection, how: str, district: int, agreement: Agreement, today: date) -> int:
    wanted = wanting(agreement.client, agreement.terms, today)
    values = wanted.values | {"district": district, "agreement": agreement.id}
    moved = int(await c.scalar(text(f"{wanted.sql}{how}"), values) or 0)
    await c.execute(text("SELECT planbridge_grown(:n, 'reach')"), {"n": moved})
    if moved and how is _MOVE:
        await c.execute(text(_RENEW), {"agreement": agreement.id, "collections": wanted.values["collections"]})
    return moved


async def renew(c: AsyncConnection, agreement: int, collections: Iterable[str]) -> None:
    """Let every row of these collections be told anew: of each the agreement says something else by now."""
    await c.execute(
        text(
            "UPDATE reach SET at = 'infinity' WHERE agreement_id = :id AND visible "
            "AND collection = ANY(CAST(:collections AS text[]))"
        ),
        {"id": agreement, "collections": sorted(collections)},
    )


# A row that names another is shown without that where it is not reached: when that one comes or goes, the row is
# another. One statement, so that nothing follows from what it renews itself.
_RENEW = f"""
    UPDATE reach r SET at = 'infinity' FROM (
        {
    " UNION ".join(
        f"SELECT '{one.name}' AS collection, s.sourced_id FROM {one.table} s "
        f"CROSS JOIN LATERAL unnest({f's.{column.name}' if several else f'ARRAY[s.{column.name}]'}) n (id) "
        f"JOIN reach m ON m.agreement_id = :agreement AND m.collection = '{target}' AND m.at = 'infinity' "
        f"AND m.sourced_id = n.id WHERE NOT s.gone"
        for one in COLLECTIONS.values()
        for column, several, target in one.loose
    )
}) x
    WHERE r.agreement_id = :agreement AND r.collection = x.collection AND r.sourced_id = x.sourced_id AND r.visible
    AND r.at <> 'infinity' AND r.collection = ANY(CAST(:collections AS text[]))
"""


# In the order of the key: every row goes behind the last one of its index.
_FILL = """,
    came AS (
        INSERT INTO reach (district_id, agreement_id, collection, sourced_id, visible, at)
        SELECT :district, :agreement, w.collection, w.sourced_id, true, statement_timestamp() FROM wanted w
        ORDER BY w.collection, w.sourced_id RETURNING 1)
    SELECT count(*) FROM came
"""
# What is gone stays as it was: whoever saw it is told that it was deleted.
_MOVE = """,
    came AS (
        INSERT INTO reach AS r (district_id, agreement_id, collection, sourced_id, visible)
        SELECT :district, :agreement, w.collection, w.sourced_id, true FROM wanted w
        WHERE NOT EXISTS (SELECT FROM reach h WHERE h.agreement_id = :agreement AND h.collection = w.collection
            AND h.sourced_id = w.sourced_id AND h.visible)
        ON CONFLICT (agreement_id, collection, sourced_id) DO UPDATE SET visible = true, at = 'infinity' RETURNING 1),
    went AS (
        UPDATE reach r SET visible = false, at = 'infinity' FROM (
            SELECT h.collection, h.sourced_id FROM reach h
            LEFT JOIN wanted w ON w.collection = h.collection AND w.sourced_id = h.sourced_id
            LEFT JOIN alive l ON l.collection = h.collection AND l.sourced_id = h.sourced_id
            WHERE h.agreement_id = :agreement AND h.visible AND w.sourced_id IS NULL
            AND (l.sourced_id IS NOT NULL OR NOT h.collection = ANY(CAST(:collections AS text[])))) g
        WHERE r.agreement_id = :agreement AND r.collection = g.collection AND r.sourced_id = g.sourced_id RETURNING 1)
    SELECT (SELECT count(*) FROM came) + (SELECT count(*) FROM went)
"""


@dataclass(frozen=True)
class Wanted:
    """A WITH clause, to be followed by a statement or by further parts, and its values. In it stand `wanted` (what is
    reached), `alive` (what is there at all of the collections agreed), `child`, `staff`, `contact` (people reached by
    entity and sourcedId), `class` and `place` (organizations that the rule names and what is below)."""

    sql: str
    values: dict[str, Any]


def wanting(client: str, terms: Terms, today: date) -> Wanted:
    """How to find what these terms reach of what is served in this transaction."""
    rule = terms.rule

    def listed(of: frozenset[str] | None, *, lower: bool = False) -> list[str] | None:
        return None if of is None else sorted(one.lower() if lower else one for one in of)

    by_class = rule.classes is not None or rule.subjects is not None or rule.courses is not None
    values = {
        "schools": listed(rule.schools),
        "grades": listed(rule.grades, lower=True),
        "by_class": by_class,
        "classes": sorted(rule.classes or ()),
        "subjects": listed(rule.subjects or frozenset(), lower=True),
        "courses": listed(rule.courses or frozenset(), lower=True),
        "only_classes": rule.only_classes,
        "people": sorted(rule.people),
        "collections": sorted(set(terms.collections) & set(COLLECTIONS)),
        "of_students": terms.authoring or not OF_STUDENTS.isdisjoint(terms.collections),
        "basis": terms.basis,
        "client": client,
        "today": today,
        "rows": None,
        "users": None,
        "items": None,
    }
    return Wanted(_WANTED, values)


_ALIVE = " UNION ALL ".join(
    f"SELECT '{one.name}', sourced_id FROM {one.table} WHERE NOT gone" for one in COLLECTIONS.values()
)
_CONSENTED = """
    EXISTS (SELECT FROM consent n WHERE planbridge_survivor(n.student_id) = s.entity_id AND n.permit = {permit}
        AND lower(n.recipient) IN (lower('program:' || CAST(:client AS text)),
            (SELECT lower('program:' || o.name) FROM client o WHERE o.id = :client)) AND n.revoked_at IS NULL
        AND :today BETWEEN n.from_on AND n.until_on
        AND EXISTS (SELECT FROM json_array_elements_text(n.sections) x WHERE x = '{section}'))
"""


def _given(section: str) -> str:
    """SQL: that a family keeps nothing of this section of a student `s` from the program, and where it takes their
    consent, that they gave it."""
    permitted, forbidden = (_CONSENTED.format(permit=permit, section=section) for permit in ("true", "false"))
    return f"(:basis <> 'consent' OR {permitted}) AND NOT {forbidden}"


_WANTED = f"""
WITH RECURSIVE place AS (
        SELECT sourced_id FROM served_orgs WHERE NOT gone
        AND (CAST(:schools AS text[]) IS NULL OR sourced_id = ANY(CAST(:schools AS text[])))
        UNION SELECT o.sourced_id FROM served_orgs o JOIN place p ON o.parent_id = p.sourced_id WHERE NOT o.gone),
    org AS (
        SELECT o.sourced_id, o.parent_id FROM served_orgs o JOIN place p ON p.sourced_id = o.sourced_id
        UNION SELECT o.sourced_id, o.parent_id FROM served_orgs o JOIN org h ON o.sourced_id = h.parent_id
        WHERE NOT o.gone),
    class AS MATERIALIZED (
        SELECT k.sourced_id, k.course_id, k.school_id FROM served_classes k JOIN place p ON p.sourced_id = k.school_id
        LEFT JOIN served_courses u ON u.sourced_id = k.course_id
        WHERE NOT k.gone
        AND (CAST(:grades AS text[]) IS NULL OR coalesce(cardinality(k.grades), 0) = 0
            OR k.grades && CAST(:grades AS text[]))
        AND (NOT :by_class OR k.sourced_id = ANY(CAST(:classes AS text[]))
            OR k.subjects && CAST(:subjects AS text[]) OR k.subject_codes && CAST(:subjects AS text[])
            OR u.course_code = ANY(CAST(:courses AS text[])))),
    seat AS MATERIALIZED (
        SELECT e.sourced_id, e.user_id, e.role FROM served_enrollments e JOIN class k ON k.sourced_id = e.class_id
        WHERE NOT e.gone AND (CAST(:users AS text[]) IS NULL OR e.user_id = ANY(CAST(:users AS text[])))),
    now_in AS MATERIALIZED (
        SELECT DISTINCT e.user_id, e.role = 'student' AS learns FROM served_enrollments e
        JOIN class k ON k.sourced_id = e.class_id
        WHERE NOT e.gone AND (e.end_date IS NULL OR e.end_date >= :today)
        AND (CAST(:users AS text[]) IS NULL OR e.user_id = ANY(CAST(:users AS text[])))),
    part AS MATERIALIZED (
        SELECT DISTINCT s.sourced_id, s.entity_id, r->>'role' AS role, r->'org'->>'sourcedId' AS org
        FROM served_users s CROSS JOIN LATERAL json_array_elements(s.doc->'roles') r
        WHERE NOT s.gone AND coalesce(r->>'endDate', 'z') >= CAST(:today AS text)
        AND (CAST(:users AS text[]) IS NULL OR s.sourced_id = ANY(CAST(:users AS text[])))),
    child AS MATERIALIZED (
        SELECT s.sourced_id, s.entity_id FROM served_users s WHERE NOT s.gone AND 'student' = ANY(:people)
        AND (CAST(:users AS text[]) IS NULL OR s.sourced_id = ANY(CAST(:users AS text[])))
        AND EXISTS (SELECT FROM part t JOIN place p ON p.sourced_id = t.org
            WHERE t.sourced_id = s.sourced_id AND t.role = 'student')
        AND (CAST(:grades AS text[]) IS NULL OR s.grades && CAST(:grades AS text[]))
        AND (NOT :only_classes
            OR EXISTS (SELECT FROM now_in n WHERE n.user_id = s.sourced_id AND n.learns))
        AND NOT (:basis = 'directory' AND EXISTS (SELECT FROM directory_opt_out d
            WHERE planbridge_survivor(d.student_id) = s.entity_id AND d.withdrawn_at IS NULL))
        AND {_given("identity")}),
    scored AS MATERIALIZED (
        SELECT s.sourced_id FROM child s WHERE {_given("academic")}),
    staff AS MATERIALIZED (
        SELECT t.sourced_id, t.entity_id FROM part t JOIN now_in n ON n.user_id = t.sourced_id AND NOT n.learns
        WHERE 'staff' = ANY(:people) AND t.role NOT IN ('student', 'guardian', 'parent', 'relative')
        UNION
        SELECT t.sourced_id, t.entity_id FROM part t JOIN org o ON o.sourced_id = t.org
        WHERE 'staff' = ANY(:people) AND t.role NOT IN ('student', 'guardian', 'parent', 'relative')
        AND NOT :only_classes),
    contact AS MATERIALIZED (
        SELECT DISTINCT s.sourced_id, s.entity_id FROM served_family f JOIN child k ON k.entity_id = f.student_id
        JOIN served_users s ON s.entity_id = f.contact_id WHERE NOT s.gone AND 'contact' = ANY(:people)),
    person AS MATERIALIZED (
        SELECT sourced_id FROM child UNION SELECT sourced_id FROM staff UNION SELECT sourced_id FROM contact),
    item AS MATERIALIZED (
        SELECT l.sourced_id FROM served_line_items l JOIN class k ON k.sourced_id = l.class_id WHERE NOT l.gone
        AND (CAST(:items AS text[]) IS NULL OR l.sourced_id = ANY(CAST(:items AS text[])))),
    test AS MATERIALIZED (
        SELECT l.sourced_id FROM served_assessment_line_items l LEFT JOIN class k ON k.sourced_id = l.class_id
        WHERE NOT l.gone AND (l.class_id IS NULL OR k.sourced_id IS NOT NULL)
        AND (CAST(:items AS text[]) IS NULL OR l.sourced_id = ANY(CAST(:items AS text[])))),
    every_wanted (collection, sourced_id) AS (
        SELECT 'academicSessions', sourced_id FROM served_academic_sessions WHERE NOT gone
        UNION ALL SELECT 'categories', sourced_id FROM served_categories WHERE NOT gone
        UNION ALL SELECT 'resources', sourced_id FROM served_resources WHERE NOT gone
        UNION ALL SELECT 'orgs', sourced_id FROM org
        UNION ALL SELECT 'classes', sourced_id FROM class
        UNION ALL SELECT 'courses', u.sourced_id FROM served_courses u WHERE NOT u.gone
            AND (EXISTS (SELECT FROM class k WHERE k.course_id = u.sourced_id)
                OR NOT :by_class AND EXISTS (SELECT FROM org o WHERE o.sourced_id = u.org_id))
        UNION ALL SELECT 'users', sourced_id FROM person
        UNION ALL SELECT 'demographics', d.sourced_id FROM served_demographics d
            JOIN child k ON k.sourced_id = d.sourced_id WHERE NOT d.gone
        UNION ALL SELECT 'enrollments', e.sourced_id FROM seat e JOIN person p ON p.sourced_id = e.user_id
        UNION ALL SELECT 'lineItems', sourced_id FROM item
        UNION ALL SELECT 'results', r.sourced_id FROM served_results r JOIN item l ON l.sourced_id = r.line_item_id
            JOIN scored k ON k.sourced_id = r.student_id WHERE NOT r.gone
            AND (CAST(:rows AS text[]) IS NULL OR r.sourced_id = ANY(CAST(:rows AS text[])))
        UNION ALL SELECT 'scoreScales', l.sourced_id FROM served_score_scales l
            LEFT JOIN class k ON k.sourced_id = l.class_id
            WHERE NOT l.gone AND (l.class_id IS NULL OR k.sourced_id IS NOT NULL)
        UNION ALL SELECT 'assessmentLineItems', sourced_id FROM test
        UNION ALL SELECT 'assessmentResults', r.sourced_id FROM served_assessment_results r
            JOIN test l ON l.sourced_id = r.assessment_line_item_id
            JOIN scored k ON k.sourced_id = r.student_id WHERE NOT r.gone
            AND (CAST(:rows AS text[]) IS NULL OR r.sourced_id = ANY(CAST(:rows AS text[])))),
    wanted AS MATERIALIZED (
        SELECT collection, sourced_id FROM every_wanted WHERE collection = ANY(CAST(:collections AS text[]))
        UNION ALL SELECT 'students', CAST(entity_id AS text) FROM child WHERE :of_students),
    alive (collection, sourced_id) AS (
        SELECT collection, sourced_id FROM ({_ALIVE}) l (collection, sourced_id)
        WHERE collection = ANY(CAST(:collections AS text[])))
"""
