"""Which rows of the served collections each agreement reaches, and since when: the rules, set-based."""

from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway import clock
from gateway.store import standing
from gateway.store.database import Store
from gateway.store.vendors import every_in_force
from gateway.vendors import ONEROSTER, Agreement, Terms

UNSTAMPED = "infinity"
"""The time of rows whose transaction has not said when it ends."""


async def refresh(store: Store, c: AsyncConnection, district: int, agreement: int | None = None) -> int:
    """Bring what every agreement in force reaches, or this one, up to what is served in this transaction; returns how
    many rows came or went. They have no time yet: whoever commits them calls `stamp`, as the last statement."""
    today = clock.today()
    moved = 0
    for one in await every_in_force(c, today):
        if agreement in (None, one.id):
            moved += await _refresh(store, c, district, one, today)
    return moved


async def stamp(c: AsyncConnection, district: int, at: datetime) -> None:
    """Say when the rows changed that this transaction moved."""
    await c.execute(
        text("UPDATE reach SET at = :at WHERE district_id = :district AND at = 'infinity'"),
        {"at": at, "district": district},
    )


async def _refresh(store: Store, c: AsyncConnection, district: int, agreement: Agreement, today: date) -> int:
    wanted = await wanting(store, c, agreement.client, agreement.terms, today)
    moved = await c.scalar(
        text(f"{wanted.sql}{_MOVE}"), wanted.values | {"district": district, "agreement": agreement.id}
    )
    return int(moved or 0)


# What is gone stays as it was: whoever saw it is told that it was deleted.
_MOVE = """,
    came AS (
        INSERT INTO reach AS r (district_id, agreement_id, collection, sourced_id, visible)
        SELECT :district, :agreement, w.collection, w.sourced_id, true FROM wanted w
        WHERE NOT EXISTS (SELECT FROM reach h WHERE h.agreement_id = :agreement AND h.collection = w.collection
            AND h.sourced_id = w.sourced_id AND h.visible)
        ON CONFLICT (agreement_id, collection, sourced_id) DO UPDATE SET visible = true, at = 'infinity' RETURNING 1),
    went AS (
        UPDATE reach r SET visible = false, at = 'infinity' WHERE r.agreement_id = :agreement AND r.visible
        AND NOT EXISTS (SELECT FROM wanted w WHERE w.collection = r.collection AND w.sourced_id = r.sourced_id)
        AND (NOT r.collection = ANY(CAST(:collections AS text[]))
            OR EXISTS (SELECT FROM alive l WHERE l.collection = r.collection AND l.sourced_id = r.sourced_id))
        RETURNING 1)
    SELECT (SELECT count(*) FROM came) + (SELECT count(*) FROM went)
"""


@dataclass(frozen=True)
class Wanted:
    """A WITH clause, to be followed by a statement or by further parts, and its values. In it stand `wanted` (what is
    reached), `alive` (what is there at all of the collections agreed), `child`, `staff`, `contact` (people reached by
    entity and sourcedId), `class` and `place` (organizations that the rule names and what is below)."""

    sql: str
    values: dict[str, Any]


async def wanting(store: Store, c: AsyncConnection, client: str, terms: Terms, today: date) -> Wanted:
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
        "collections": sorted(set(terms.collections) & set(ONEROSTER)),
        "basis": terms.basis,
        "recipient": f"program:{client}".lower(),
        "today": today,
        **await _kept_away(store, c),
    }
    return Wanted(_WANTED, values)


async def _kept_away(store: Store, c: AsyncConnection) -> dict[str, Any]:
    """Students, and beside each the family member whom the district keeps from them."""
    pairs: list[tuple[str, str]] = []
    if await c.scalar(
        text("SELECT EXISTS (SELECT FROM standing WHERE kind = :kind AND ended IS NULL)"),
        {"kind": standing.RESTRICTION},
    ):
        rows = await c.execute(
            text("SELECT doc->>'student' AS student, doc->>'contact' AS contact FROM entity WHERE kind = 'relationship'")
        )
        known: dict[str, list[str]] = {}
        for row in rows:
            known.setdefault(row.student, []).append(row.contact)
        found = await standing.restricted_among(store, c, known)
        pairs = [(student, contact) for student, contacts in found.items() for contact in contacts]
    return {"kept_students": [one for one, _ in pairs], "kept_contacts": [one for _, one in pairs]}


TABLES = {
    name: "served_" + "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in name)
    for name in ONEROSTER
}


_CONSENTED = """
    EXISTS (SELECT FROM consent n WHERE planbridge_survivor(n.student_id) = s.entity_id AND n.permit = {permit}
        AND lower(n.recipient) = :recipient AND n.revoked_at IS NULL
        AND :today BETWEEN n.from_on AND n.until_on
        AND EXISTS (SELECT FROM json_array_elements_text(n.sections) x WHERE x = 'identity'))
"""
_WANTED = f"""
WITH RECURSIVE place AS (
        SELECT sourced_id FROM served_orgs WHERE NOT gone
        AND (CAST(:schools AS text[]) IS NULL OR sourced_id = ANY(CAST(:schools AS text[])))
        UNION SELECT o.sourced_id FROM served_orgs o JOIN place p ON o.parent = p.sourced_id WHERE NOT o.gone),
    org AS (
        SELECT o.sourced_id, o.parent FROM served_orgs o JOIN place p ON p.sourced_id = o.sourced_id
        UNION SELECT o.sourced_id, o.parent FROM served_orgs o JOIN org h ON o.sourced_id = h.parent WHERE NOT o.gone),
    class AS MATERIALIZED (
        SELECT k.sourced_id, k.course, k.school FROM served_classes k JOIN place p ON p.sourced_id = k.school
        LEFT JOIN served_courses u ON u.sourced_id = k.course
        WHERE NOT k.gone
        AND (CAST(:grades AS text[]) IS NULL OR coalesce(cardinality(k.grades), 0) = 0
            OR k.grades && CAST(:grades AS text[]))
        AND (NOT :by_class OR k.sourced_id = ANY(CAST(:classes AS text[]))
            OR k.subjects && CAST(:subjects AS text[]) OR k.subject_codes && CAST(:subjects AS text[])
            OR u.course_code = ANY(CAST(:courses AS text[])))),
    seat AS MATERIALIZED (
        SELECT e.sourced_id, e."user", e.role FROM served_enrollments e JOIN class k ON k.sourced_id = e.class
        WHERE NOT e.gone),
    now_in AS MATERIALIZED (
        SELECT DISTINCT e."user", e.role = 'student' AS learns FROM served_enrollments e
        JOIN class k ON k.sourced_id = e.class
        WHERE NOT e.gone AND (e.end_date IS NULL OR e.end_date >= :today)),
    part AS MATERIALIZED (
        SELECT DISTINCT s.sourced_id, s.entity_id, r->>'role' AS role, r->'org'->>'sourcedId' AS org
        FROM served_users s CROSS JOIN LATERAL json_array_elements(s.doc->'roles') r
        WHERE NOT s.gone AND coalesce(r->>'endDate', 'z') >= CAST(:today AS text)),
    child AS MATERIALIZED (
        SELECT s.sourced_id, s.entity_id FROM served_users s WHERE NOT s.gone AND 'student' = ANY(:people)
        AND EXISTS (SELECT FROM part t JOIN place p ON p.sourced_id = t.org
            WHERE t.sourced_id = s.sourced_id AND t.role = 'student')
        AND (CAST(:grades AS text[]) IS NULL OR s.grades && CAST(:grades AS text[]))
        AND (NOT :only_classes
            OR EXISTS (SELECT FROM now_in n WHERE n."user" = s.sourced_id AND n.learns))
        AND NOT (:basis = 'directory' AND EXISTS (SELECT FROM directory_opt_out d
            WHERE planbridge_survivor(d.student_id) = s.entity_id AND d.withdrawn_at IS NULL))
        AND (:basis <> 'consent' OR {_CONSENTED.format(permit="true")})
        AND NOT {_CONSENTED.format(permit="false")}),
    staff AS MATERIALIZED (
        SELECT DISTINCT t.sourced_id, t.entity_id FROM part t WHERE 'staff' = ANY(:people)
        AND t.role NOT IN ('student', 'guardian', 'parent', 'relative')
        AND (EXISTS (SELECT FROM now_in n WHERE n."user" = t.sourced_id AND NOT n.learns)
            OR NOT :only_classes AND EXISTS (SELECT FROM org o WHERE o.sourced_id = t.org))),
    contact AS MATERIALIZED (
        SELECT DISTINCT s.sourced_id, s.entity_id FROM served_users s
        JOIN entity e ON e.kind = 'relationship' AND e.doc->>'contact' = CAST(s.entity_id AS text)
        JOIN child k ON CAST(k.entity_id AS text) = e.doc->>'student'
        WHERE NOT s.gone AND 'contact' = ANY(:people)
        AND coalesce(e.doc->>'restrictions', '') = '' AND coalesce(e.doc->>'education_rights', '') <> 'no'
        AND NOT EXISTS (SELECT FROM unnest(CAST(:kept_students AS text[]), CAST(:kept_contacts AS text[])) x (student,
            contact) WHERE x.student = e.doc->>'student' AND x.contact = e.doc->>'contact')),
    person AS MATERIALIZED (
        SELECT sourced_id FROM child UNION SELECT sourced_id FROM staff UNION SELECT sourced_id FROM contact),
    item AS MATERIALIZED (
        SELECT l.sourced_id FROM served_line_items l JOIN class k ON k.sourced_id = l.class WHERE NOT l.gone),
    test AS MATERIALIZED (
        SELECT l.sourced_id FROM served_assessment_line_items l WHERE NOT l.gone
        AND (l.class IS NULL OR EXISTS (SELECT FROM class k WHERE k.sourced_id = l.class))),
    every_wanted (collection, sourced_id) AS (
        SELECT 'academicSessions', sourced_id FROM served_academic_sessions WHERE NOT gone
        UNION ALL SELECT 'categories', sourced_id FROM served_categories WHERE NOT gone
        UNION ALL SELECT 'resources', sourced_id FROM served_resources WHERE NOT gone
        UNION ALL SELECT 'orgs', sourced_id FROM org
        UNION ALL SELECT 'classes', sourced_id FROM class
        UNION ALL SELECT 'courses', u.sourced_id FROM served_courses u WHERE NOT u.gone
            AND (EXISTS (SELECT FROM class k WHERE k.course = u.sourced_id)
                OR NOT :by_class AND EXISTS (SELECT FROM org o WHERE o.sourced_id = u.org))
        UNION ALL SELECT 'users', sourced_id FROM person
        UNION ALL SELECT 'demographics', d.sourced_id FROM served_demographics d
            JOIN child k ON k.sourced_id = d.sourced_id WHERE NOT d.gone
        UNION ALL SELECT 'enrollments', e.sourced_id FROM seat e JOIN person p ON p.sourced_id = e."user"
        UNION ALL SELECT 'lineItems', sourced_id FROM item
        UNION ALL SELECT 'results', r.sourced_id FROM served_results r JOIN item l ON l.sourced_id = r.line_item
            JOIN child k ON k.sourced_id = r.student WHERE NOT r.gone
        UNION ALL SELECT 'scoreScales', l.sourced_id FROM served_score_scales l WHERE NOT l.gone
            AND (l.class IS NULL OR EXISTS (SELECT FROM class k WHERE k.sourced_id = l.class))
        UNION ALL SELECT 'assessmentLineItems', sourced_id FROM test
        UNION ALL SELECT 'assessmentResults', r.sourced_id FROM served_assessment_results r
            JOIN test l ON l.sourced_id = r.assessment_line_item
            JOIN child k ON k.sourced_id = r.student WHERE NOT r.gone),
    wanted AS MATERIALIZED (
        SELECT collection, sourced_id FROM every_wanted WHERE collection = ANY(CAST(:collections AS text[]))),
    alive (collection, sourced_id) AS (
        {" UNION ALL ".join(f"SELECT '{name}', sourced_id FROM {table} WHERE NOT gone" for name, table in TABLES.items())})
"""
