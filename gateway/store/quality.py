"""The checks of gateway.quality as SQL over what a connection has published, and the report of each run."""

from dataclasses import dataclass
from datetime import date, datetime

import msgspec
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.quality import CHECKS, OLDEST, SEVERITIES, YOUNGEST, Severity, check_of
from gateway.schema import KINDS
from gateway.store import registers

SHOWN = 3
"""Examples kept of each finding."""


@dataclass(frozen=True)
class Finding:
    """One thing that looks wrong: how often, for example in which entities (id, key of the connection), since when."""

    code: str
    kind: str
    severity: Severity
    records: int
    since: datetime
    says: str
    look: str
    examples: list[tuple[str, str]]


@dataclass(frozen=True)
class Report:
    """What was found after a run, the worst first. No finding: all is well."""

    run: int
    at: datetime
    findings: list[Finding]


async def check(c: AsyncConnection, district: int, run: int, today: date, *, again: bool = False) -> bool:
    """Check what the connection of a published run has published, and keep the report with the run. False where there
    is nothing to check, or it was done already, unless `again`."""
    found = (
        await c.execute(
            text(
                "SELECT n.connection_id AS id, n.name AS system, n.assigned_by "
                "FROM run r JOIN number_system n ON n.connection_id = r.connection_id AND n.population = 'student' "
                "WHERE r.id = :run AND r.publication IS NOT NULL"
            ),
            {"run": run},
        )
    ).one_or_none()
    if found is None:
        return False
    # Somebody else may be at it: whoever comes second finds it done.
    await c.execute(
        text("SELECT pg_advisory_xact_lock(hashtext('planbridge.quality'), :connection)"), {"connection": found.id}
    )
    if not again and await c.scalar(
        text("SELECT EXISTS (SELECT FROM quality_report WHERE run_id = :run)"), {"run": run}
    ):
        return False
    owners = await registers.owners(c, district, await registers.order(c))
    owned = [collection for collection, owner in owners.items() if owner == found.id]
    values = {
        "connection": found.id,
        "system": found.system,
        "assigned_by": found.assigned_by,
        "today": today,
        "run": run,
    }
    # Of what it reads here the planner knows too little; a nested loop over a district takes hours.
    await c.execute(text("SET LOCAL enable_nestloop = off"))
    entities = await c.execute(text(_of_entities(owned)), values)
    findings = [(row.code, row.kind, row.n, [str(id) for id in row.examples]) for row in entities]
    await c.execute(text("SET LOCAL enable_nestloop = on"))
    findings += [(row.code, row.kind, row.n, []) for row in await c.execute(text(_OF_RECORDS), values)]
    await _keep(c, district, found.id, run, findings)
    return True


async def _keep(
    c: AsyncConnection, district: int, connection: int, run: int, findings: list[tuple[str, str, int, list[str]]]
) -> None:
    """Write the report, instead of an earlier one of the same run. What the one before it found too goes on."""
    before = await c.execute(
        text(
            "SELECT code, kind, since FROM quality_finding WHERE run_id = ("
            "  SELECT max(run_id) FROM quality_report WHERE connection_id = :connection AND run_id <= :run)"
        ),
        {"connection": connection, "run": run},
    )
    since = {(row.code, row.kind): row.since.isoformat() for row in before}
    await c.execute(text("DELETE FROM quality_report WHERE run_id = :run"), {"run": run})
    await c.execute(
        text("INSERT INTO quality_report (run_id, district_id, connection_id) VALUES (:run, :district, :connection)"),
        {"run": run, "district": district, "connection": connection},
    )
    rows = [(code, kind, n, since.get((code, kind)), ids) for code, kind, n, ids in findings]
    await c.execute(
        text(
            "INSERT INTO quality_finding (district_id, run_id, code, kind, n, since, examples) "
            "SELECT :district, :run, j->>0, j->>1, CAST(j->>2 AS bigint), coalesce(CAST(j->>3 AS timestamptz), now()), "
            "  ARRAY(SELECT CAST(e AS uuid) FROM json_array_elements_text(j->4) e) "
            "FROM json_array_elements(CAST(:rows AS json)) j"
        ),
        {"district": district, "run": run, "rows": msgspec.json.encode(rows).decode()},
    )


async def newest(c: AsyncConnection, connection: int) -> int | None:
    """The last run of the connection that has published anything and was not undone."""
    found: int | None = await c.scalar(
        text(
            "SELECT max(id) FROM run WHERE connection_id = :connection AND publication IS NOT NULL "
            "AND state IN ('published', 'held')"
        ),
        {"connection": connection},
    )
    return found


async def severities(c: AsyncConnection, run: int) -> list[Severity] | None:
    """The severity of each finding of a run; None where it was not checked."""
    made = await c.scalar(text("SELECT EXISTS (SELECT FROM quality_report WHERE run_id = :run)"), {"run": run})
    if not made:
        return None
    rows = await c.execute(text("SELECT code, kind FROM quality_finding WHERE run_id = :run"), {"run": run})
    return sorted(known.severity for row in rows if (known := check_of(row.code, row.kind)) is not None)


async def report(c: AsyncConnection, connection: int, run: int | None = None) -> Report | None:
    """The connection's newest report, or that of one run."""
    made = (
        await c.execute(
            text(
                "SELECT run_id, at FROM quality_report WHERE connection_id = :connection "
                "AND run_id = coalesce(CAST(:run AS bigint), run_id) ORDER BY run_id DESC LIMIT 1"
            ),
            {"connection": connection, "run": run},
        )
    ).one_or_none()
    if made is None:
        return None
    rows = await c.execute(
        text(
            "SELECT f.code, f.kind, f.n, f.since, ARRAY("
            "  SELECT ARRAY[CAST(e AS text), coalesce((SELECT l.key FROM link l WHERE l.entity_id = e "
            "    AND l.kind = f.kind AND l.connection_id = :connection ORDER BY l.key LIMIT 1), '')] "
            "  FROM unnest(f.examples) e) AS examples "
            "FROM quality_finding f WHERE f.run_id = :run"
        ),
        {"connection": connection, "run": made.run_id},
    )
    found = []
    for row in rows:
        if (known := check_of(row.code, row.kind)) is not None:
            examples = [(id, key) for id, key in row.examples]
            found.append(
                Finding(row.code, row.kind, known.severity, row.n, row.since, known.says, known.look, examples)
            )
    order = {(check.code, check.kind): n for n, check in enumerate(CHECKS)}
    found.sort(key=lambda one: (SEVERITIES.index(one.severity), order.get((one.code, one.kind), 0), one.kind))
    return Report(made.run_id, made.at, found)


# --- what is published. Each check is a query that gives ids, over the tables below.

_READ = {
    "organization": "type text, parent uuid",
    "session": "type text, begin_on date, end_on date, school_year int, parent uuid",
    "class": "school uuid, sessions json",
    "person": "population text, identifiers json, roles json, primary_organization uuid, grades json, birth_date date",
    "relationship": "contact uuid",
    "enrollment": 'person uuid, "class" uuid, school uuid, role text, "primary" boolean, begin_on date, end_on date',
    "line_item": '"class" uuid, minimum text, maximum text, assign_on date, due_on date',
    "result": 'line_item uuid, student uuid, "class" uuid, score text',
    "assessment": "minimum text, maximum text",
    "assessment_result": "assessment uuid, scores json",
}
_MORE = {
    "meets": "SELECT c.id, CAST(v AS uuid) AS session FROM seen_class c, json_array_elements_text(c.sessions) v",
    # When a class meets, where all of its sessions have dates.
    "days": "SELECT m.id, min(s.begin_on) AS begin_on, max(s.end_on) AS end_on FROM meets m "
    "JOIN seen_session s ON s.id = m.session GROUP BY m.id HAVING bool_and(s.begin_on IS NOT NULL AND "
    "s.end_on IS NOT NULL)",
    # Who has left a class that goes on is in it no more. Of a class that is over, everybody has; that says nothing.
    "stays": "SELECT e.* FROM seen_enrollment e LEFT JOIN days d ON d.id = e.class "
    "WHERE e.end_on IS NULL OR e.end_on >= :today OR d.id IS NULL OR d.end_on < :today",
    "taught": "SELECT class AS id, count(*) AS teachers, bool_or(\"primary\" IS TRUE) AS lead FROM stays "
    "WHERE role = 'teacher' GROUP BY class",
    "student": "SELECT * FROM seen_person WHERE own AND population = 'student'",
    "has_role": "SELECT p.id, CAST(r->>'organization' AS uuid) AS organization, "
    "  CAST(r->>'primary' AS boolean) AS is_primary, r->>'begin_on' AS begin_on, r->>'end_on' AS end_on "
    "FROM seen_person p, json_array_elements(p.roles) r WHERE p.own",
    # Last year's role beside this year's is no second one.
    "holds": "SELECT * FROM has_role WHERE coalesce(CAST(begin_on AS date) <= :today, true) "
    "AND coalesce(CAST(end_on AS date) >= :today, true)",
    "numbered": "SELECT s.id, i->>'value' AS number FROM student s, json_array_elements(s.identifiers) i "
    "WHERE i->>'system' = :system AND CAST(:assigned_by AS text) IN ('', i->>'assigned_by')",
    "graded": "SELECT r.id, r.own, r.student, coalesce(r.class, l.class) AS class, r.score, l.minimum, l.maximum "
    "FROM seen_result r JOIN seen_line_item l ON l.id = r.line_item",
    "scored": "SELECT r.id, v->>'value' AS score, a.minimum, a.maximum FROM seen_assessment_result r "
    "JOIN seen_assessment a ON a.id = r.assessment, json_array_elements(r.scores) v "
    "WHERE r.own AND v->>'method' = 'score'",
}  # fmt: skip
_NOT_OVER = "NOT EXISTS (SELECT FROM days d WHERE d.id = c.id AND d.end_on < :today)"
_NUMBER = "'^[+-]?[0-9]+([.][0-9]+)?$'"


def _beyond(score: str, minimum: str, maximum: str) -> str:
    """Numbers are text, and not all of them are numbers."""

    def number(column: str) -> str:
        return f"CASE WHEN {column} ~ {_NUMBER} THEN CAST({column} AS numeric) END"

    return f"({number(score)} < {number(minimum)} OR {number(score)} > {number(maximum)})"


_QUERIES = {
    ("school-without-parent", "organization"): "SELECT id FROM seen_organization WHERE own AND type = 'school' "
    "AND parent IS NULL AND EXISTS (SELECT FROM seen_organization WHERE parent IS NOT NULL)",
    ("session-without-dates", "session"): "SELECT id FROM seen_session WHERE own "
    "AND (begin_on IS NULL OR end_on IS NULL)",
    ("ends-before-it-begins", "session"): "SELECT id FROM seen_session WHERE own AND end_on < begin_on",
    ("session-outside-parent", "session"): "SELECT s.id FROM seen_session s JOIN seen_session p ON p.id = s.parent "
    "WHERE s.own AND (s.begin_on < p.begin_on OR s.end_on > p.end_on)",
    ("session-outside-school-year", "session"): "SELECT id FROM seen_session WHERE own "
    "AND NOT extract(year FROM end_on) BETWEEN school_year - 1 AND school_year",
    ("class-at-no-school", "class"): "SELECT c.id FROM seen_class c JOIN seen_organization o ON o.id = c.school "
    "WHERE c.own AND o.type <> 'school'",
    ("class-without-session", "class"): "SELECT c.id FROM seen_class c WHERE c.own "
    "AND NOT EXISTS (SELECT FROM meets m WHERE m.id = c.id)",
    ("class-session-no-term", "class"): "SELECT DISTINCT c.id FROM seen_class c JOIN meets m ON m.id = c.id "
    "JOIN seen_session s ON s.id = m.session WHERE c.own AND s.type IN ('school_year', 'grading_period')",
    ("class-without-teacher", "class"): f"SELECT c.id FROM seen_class c WHERE c.own AND {_NOT_OVER} "
    "AND NOT EXISTS (SELECT FROM taught t WHERE t.id = c.id) AND EXISTS (SELECT FROM taught)",
    ("class-without-student", "class"): f"SELECT c.id FROM seen_class c WHERE c.own AND {_NOT_OVER} "
    "AND NOT EXISTS (SELECT FROM stays e WHERE e.class = c.id AND e.role = 'student') "
    "AND EXISTS (SELECT FROM seen_enrollment WHERE role = 'student')",
    ("class-without-lead", "class"): "SELECT c.id FROM seen_class c JOIN taught t ON t.id = c.id "
    "WHERE c.own AND t.teachers > 1 AND NOT t.lead AND EXISTS (SELECT FROM taught WHERE lead)",
    ("student-without-enrollment", "person"): "SELECT s.id FROM student s WHERE EXISTS (SELECT FROM seen_enrollment) "
    "AND NOT EXISTS (SELECT FROM seen_enrollment e WHERE e.person = s.id AND e.role = 'student')",
    ("student-without-school", "person"): "SELECT s.id FROM student s "
    "WHERE NOT EXISTS (SELECT FROM has_role r LEFT JOIN seen_organization o ON o.id = r.organization "
    "  WHERE r.id = s.id AND coalesce(o.type, 'school') = 'school')",
    ("student-without-grade", "person"): "SELECT id FROM student WHERE grades IS NULL",
    ("student-without-number", "person"): "SELECT s.id FROM student s "
    "WHERE NOT EXISTS (SELECT FROM numbered n WHERE n.id = s.id)",
    ("number-twice", "person"): "SELECT DISTINCT n.id FROM numbered n JOIN ("
    "  SELECT number FROM numbered GROUP BY number HAVING count(DISTINCT id) > 1) o ON o.number = n.number",
    ("birth-date-implausible", "person"): "SELECT id FROM student "
    f"WHERE birth_date > :today - interval '{YOUNGEST} years' OR birth_date <= :today - interval '{OLDEST + 1} years'",
    ("no-primary-role", "person"): "SELECT DISTINCT id FROM holds GROUP BY id, organization "
    "HAVING count(*) > 1 AND count(is_primary) > 0 AND NOT bool_or(is_primary)",
    ("several-primary-roles", "person"): "SELECT DISTINCT id FROM holds WHERE is_primary "
    "GROUP BY id, organization HAVING count(*) > 1",
    ("primary-organization-without-role", "person"): "SELECT p.id FROM seen_person p WHERE p.own "
    "AND p.primary_organization IS NOT NULL AND NOT EXISTS ("
    "  SELECT FROM has_role r WHERE r.id = p.id AND r.organization = p.primary_organization)",
    ("ends-before-it-begins", "person"): "SELECT DISTINCT id FROM has_role WHERE end_on < begin_on",
    ("contact-without-student", "person"): "SELECT p.id FROM seen_person p WHERE p.own AND p.population = 'contact' "
    "AND EXISTS (SELECT FROM seen_relationship) "
    "AND NOT EXISTS (SELECT FROM seen_relationship r WHERE r.contact = p.id)",
    ("ends-before-it-begins", "enrollment"): "SELECT id FROM seen_enrollment WHERE own AND end_on < begin_on",
    ("enrollment-outside-session", "enrollment"): "SELECT e.id FROM seen_enrollment e JOIN days d ON d.id = e.class "
    "WHERE e.own AND (e.begin_on > d.end_on OR e.end_on < d.begin_on)",
    ("enrollment-school-differs", "enrollment"): "SELECT e.id FROM seen_enrollment e "
    "JOIN seen_class c ON c.id = e.class WHERE e.own AND e.school <> c.school",
    ("enrollment-role-differs", "enrollment"): "SELECT e.id FROM seen_enrollment e "
    "JOIN seen_person p ON p.id = e.person WHERE e.own AND (e.role = 'student' AND p.population <> 'student' "
    "  OR e.role = 'teacher' AND p.population = 'student')",
    # An enrollment may end on the day that the next one begins: OneRoster's last day is not part of it.
    ("enrolled-twice", "enrollment"): "SELECT id FROM ("
    "  SELECT id, own, coalesce(begin_on, '-infinity') < max(coalesce(end_on, 'infinity')) OVER ("
    "    PARTITION BY person, class, role ORDER BY begin_on NULLS FIRST, id "
    "    ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS again FROM seen_enrollment) e WHERE own AND again",
    ("ends-before-it-begins", "line_item"): "SELECT id FROM seen_line_item WHERE own AND due_on < assign_on",
    ("limits-reversed", "line_item"): "SELECT id FROM seen_line_item "
    f"WHERE own AND minimum ~ {_NUMBER} AND {_beyond('minimum', 'minimum', 'maximum')}",
    ("score-out-of-range", "result"): "SELECT id FROM graded "
    f"WHERE own AND {_beyond('score', 'minimum', 'maximum')}",
    ("result-not-enrolled", "result"): "SELECT g.id FROM graded g WHERE g.own "
    "AND EXISTS (SELECT FROM seen_enrollment WHERE role = 'student') AND NOT EXISTS ("
    "  SELECT FROM seen_enrollment e WHERE e.class = g.class AND e.person = g.student AND e.role = 'student')",
    ("score-out-of-range", "assessment_result"): "SELECT DISTINCT id FROM scored "
    f"WHERE {_beyond('score', 'minimum', 'maximum')}",
}  # fmt: skip


def _of_entities(owned: list[str]) -> str:
    """All of them in one statement: they look at one moment, and read every entity once."""
    tables = {f"seen_{kind}": _seen(kind, columns, owned) for kind, columns in _READ.items()} | _MORE
    found = " UNION ALL ".join(
        f"SELECT '{code}' AS code, '{kind}' AS kind, id FROM ({query}) q{n}"
        for n, ((code, kind), query) in enumerate(_QUERIES.items())
    )
    return (
        "WITH "
        + ", ".join(f"{name} AS MATERIALIZED ({query})" for name, query in tables.items())
        + f", found AS ({found}) SELECT code, kind, count(*) AS n, (array_agg(id ORDER BY id))[1:{SHOWN}] AS examples "
        "FROM found GROUP BY code, kind"
    )


def _seen(kind: str, columns: str, owned: list[str]) -> str:
    """The published entities of a kind; `own` are those that the connection publishes."""
    of = KINDS[kind].system_of_record
    if kind == "person":
        who = ", ".join(f"'{collection}'" for collection in owned)
        own = f"d.population IN ({who})" if owned else "false"
    elif of is not None:
        own = "true" if of in owned else "false"
    else:
        own = f"e.id IN (SELECT l.entity_id FROM link l WHERE l.kind = '{kind}' AND l.connection_id = :connection)"
    return (
        f"SELECT e.id, {own} AS own, d.* FROM entity e CROSS JOIN LATERAL json_to_record(e.doc) AS d({columns}) "
        f"WHERE e.kind = '{kind}'"
    )


# --- what did not get in, or not wholly: nothing of it is an entity.

_WAITING = {
    "unresolved-reference": "dangling-reference",
    "no-anchor": "no-record-of-its-own",
    "incomplete": "incomplete-record",
    "no-role": "person-without-role",
}
_OF_RECORDS = (
    "SELECT w.code, x.kind, count(DISTINCT x.key) AS n FROM waiting x JOIN (VALUES "
    + ", ".join(f"('{waits}', '{code}')" for waits, code in _WAITING.items())
    + ") w(waits, code) ON w.waits = x.code WHERE x.connection_id = :connection GROUP BY 1, 2 "
    "UNION ALL SELECT 'set-aside', collection, count(*) FROM open_reject WHERE connection_id = :connection GROUP BY 2 "
    "UNION ALL SELECT 'unmapped-code', collection, count(*) FROM record WHERE connection_id = :connection "
    "  AND left_out IS NOT NULL AND EXISTS (SELECT FROM json_array_elements(left_out) m WHERE m->>0 = 'unmapped') "
    "  GROUP BY 2 "
    "UNION ALL SELECT 'duplicate-key', k->>'collection', CAST(k->>'duplicates' AS bigint) FROM run r, "
    "  json_array_elements(r.counts->'collections') k WHERE r.id = :run AND CAST(k->>'duplicates' AS bigint) > 0"
)

WRITTEN = {*_QUERIES, *((code, "") for code in (*_WAITING.values(), "set-aside", "unmapped-code", "duplicate-key"))}
"""(code, kind) of every check that is carried out here."""
