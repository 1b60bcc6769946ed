"""Every trace that a person leaves in the database: where it stands, and that nothing of it is left.

Works on what gateway.store.gathering found, in its transaction.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.store import chain
from gateway.store.gathering import QUOTES


@dataclass(frozen=True)
class Place:
    """Where traces stand: rows `t` of a table that are theirs. `blank` is what becomes NULL where the row stays, or
    becomes `left`, which tells of the others only."""

    table: str
    theirs: str
    blank: str = ""
    left: str = "NULL"

    @property
    def name(self) -> str:
        return f"{self.table}.{self.blank}" if self.blank else self.table


_OF_ENTITY = "EXISTS (SELECT FROM trace_entity e WHERE e.kind = t.kind AND e.id = t.entity_id)"
_OF_KEY = (
    "EXISTS (SELECT FROM trace_key k WHERE k.kind = t.kind AND k.key = t.key AND k.connection_id = t.connection_id)"
)
_OF_PERSON_KEY = (
    "EXISTS (SELECT FROM trace_key k WHERE k.kind = 'person' AND k.key = t.key AND k.connection_id = t.connection_id)"
)


def _person(id: str) -> str:
    return f"EXISTS (SELECT FROM trace_entity e WHERE e.kind = 'person' AND e.id = t.{id})"


_OF_PERSON = f"{_person('entity_id')} OR {_OF_PERSON_KEY}"
_DECIDED = f"{_OF_PERSON} OR {_person('other_id')}"
_OF_PLAN = "t.plan_id IN (SELECT p.id FROM plan p JOIN trace_entity e ON e.kind = 'person' AND e.id = p.student_id)"


def _served(kind: str) -> str:
    return f"EXISTS (SELECT FROM trace_entity e WHERE e.kind = '{kind}' AND e.id = t.entity_id)"


_IDS = "(SELECT CAST(e.id AS text) FROM trace_entity e WHERE e.kind = 'person')"


def _of_record(key: str) -> str:
    return (
        "EXISTS (SELECT FROM trace_record r WHERE r.connection_id = t.connection_id "
        f"AND r.collection = t.collection AND r.key = t.{key})"
    )


PLACES = (
    Place(
        "staged",
        "EXISTS (SELECT FROM trace_record r JOIN run u ON u.connection_id = r.connection_id WHERE u.id = t.run_id "
        "AND r.collection = t.collection AND r.key = t.key)",
    ),
    Place("staged", QUOTES, blank="body"),
    Place("claim", _of_record("record_key")),
    Place("claim_history", _of_record("record_key")),
    Place("record", _of_record("key")),
    Place("record", QUOTES, blank="body"),
    Place("record_history", _of_record("key")),
    Place("record_history", QUOTES, blank="body"),
    Place("reject", "t.id IN (SELECT id FROM trace_reject)"),
    Place(
        "leniency",
        "EXISTS (SELECT FROM trace_record r WHERE r.connection_id = t.connection_id AND r.key = ANY(t.examples)) "
        "OR EXISTS (SELECT FROM trace_key k WHERE k.connection_id = t.connection_id AND k.key = ANY(t.examples))",
        blank="examples",
    ),
    Place("quality_finding", "EXISTS (SELECT FROM trace_entity e WHERE e.id = ANY(t.examples))", blank="examples"),
    Place(
        "waiting",
        f"{_OF_KEY} OR EXISTS (SELECT FROM trace_key k WHERE k.kind = t.target_kind AND k.key = t.target_key "
        "AND k.connection_id = t.connection_id)",
    ),
    Place("difference", _OF_ENTITY),
    Place(
        "preview",
        f"{_OF_ENTITY} OR EXISTS (SELECT FROM trace_entity e WHERE e.kind = 'person' AND "
        "position(CAST(e.id AS text) in concat(t.before, t.after)) > 0)",
    ),
    Place("person_trait", _OF_PERSON),
    Place("person_number", _OF_PERSON),
    Place("identity_conflict", _OF_PERSON),
    Place("identity_proposal", _OF_PERSON),
    # What belongs to such a decision, or undid it, goes with it.
    Place(
        "identity_decision",
        f"{_DECIDED} OR EXISTS (SELECT FROM (SELECT t.id, t.part_of, t.undone_by FROM identity_decision t "
        f"WHERE t.district_id = :district AND ({_DECIDED})) d "
        "WHERE t.id IN (d.part_of, d.undone_by) OR d.id IN (t.part_of, t.undone_by))",
    ),
    Place("link", f"{_OF_KEY} OR {_OF_ENTITY}"),
    Place("link_history", f"{_OF_KEY} OR {_OF_ENTITY}"),
    Place("ending", _OF_ENTITY),
    # What stays of the log says that an id is gone, to those who ask what changed.
    Place("change", f"{_OF_ENTITY} AND (t.op <> 'removed' OR t.before IS NOT NULL)"),
    Place("entity", "EXISTS (SELECT FROM trace_entity e WHERE e.kind = t.kind AND e.id = t.id)"),
    # What is told of them, and what refers to them, also where it is gone.
    Place("served_users", f"{_person('entity_id')} OR t.survivor IN {_IDS}"),
    Place("served_demographics", f"{_person('entity_id')} OR t.survivor IN {_IDS}"),
    Place("served_enrollments", f"{_served('enrollment')} OR t.user_id IN {_IDS}"),
    Place("served_results", f"{_served('result')} OR t.student_id IN {_IDS}"),
    Place("served_assessment_results", f"{_served('assessment_result')} OR t.student_id IN {_IDS}"),
    # What a program wrote is known by its own key.
    Place(
        "reach",
        "t.sourced_id IN (SELECT CAST(e.id AS text) FROM trace_entity e) OR EXISTS (SELECT FROM trace_key k "
        "JOIN connection n ON n.id = k.connection_id AND n.client_id IS NOT NULL WHERE k.key = t.sourced_id "
        "AND (k.kind, t.collection) IN (('result', 'results'), ('assessment_result', 'assessmentResults')))",
    ),
    Place("served_family", f"{_person('student_id')} OR {_person('contact_id')}"),
    Place(
        "served_gap",
        "EXISTS (SELECT FROM trace_entity e WHERE e.id = t.entity_id) "
        "OR EXISTS (SELECT FROM trace_entity e WHERE e.kind = 'person' AND e.id = t.target)",
    ),
    Place(
        "attention",
        f"{_OF_PLAN} OR EXISTS (SELECT FROM trace_entity e WHERE e.kind = 'person' AND CAST(e.id AS text) = t.person)",
    ),
    Place(
        "plan_named",
        f"{_OF_PLAN} OR EXISTS (SELECT FROM trace_entity e WHERE e.kind = 'person' AND CAST(e.id AS text) = t.person)",
    ),
    Place("ledger", f"t.delivery_id IN (SELECT t.id FROM delivery t WHERE {_OF_PLAN})"),
    Place("recheck", _OF_PLAN),
    Place("delivery", _OF_PLAN),
    Place("record_entry", _person("student_id")),
    Place("record_stream", _person("student_id")),
    Place("plan_prefill", _OF_PLAN),
    Place("intake", _OF_PLAN),
    Place(
        "repeatable",
        "EXISTS (SELECT FROM trace_entity e WHERE e.kind = 'person' AND e.id = ANY(t.named)) OR EXISTS (SELECT FROM "
        "plan p JOIN trace_entity e ON e.kind = 'person' AND e.id = p.student_id WHERE p.id = ANY(t.named))",
    ),
    Place("plan_event", _OF_PLAN),
    Place("plan_version", _OF_PLAN),
    Place("disclosure", _person("student_id")),
    Place("disclosure", _person("person_id"), blank="person_id"),
    Place(
        "client_read",
        "t.students && CAST((SELECT array_agg(id) FROM trace_entity WHERE kind = 'person') AS uuid[])",
        blank="students",
        left="(SELECT array_agg(CASE WHEN e.id IS NULL THEN s.id END ORDER BY s.n) "
        "FROM unnest(t.students) WITH ORDINALITY s (id, n) "
        "LEFT JOIN trace_entity e ON e.kind = 'person' AND e.id = s.id)",
    ),
    Place("client_read", _person("person_id"), blank="person_id"),
    Place("directory_opt_out", _person("student_id")),
    Place("consent", _person("student_id")),
    Place("session", _person("person_id")),
    Place("lti_session", _person("person_id")),
    Place("authorization_code", _person("person_id")),
    Place("refresh_token", _person("person_id")),
    Place("recovery_code", f"t.account_id IN (SELECT t.id FROM account t WHERE {_person('person_id')})"),
    Place("account_link", f"t.account_id IN (SELECT t.id FROM account t WHERE {_person('person_id')})"),
    Place("account", _person("person_id")),
    # What is on its way to a program; that the student is gone is told after it.
    Place("webhook_message", "EXISTS (SELECT FROM trace_entity e WHERE e.id = ANY(t.ids))"),
    Place("plan", "t.student_id IN (SELECT id FROM trace_entity WHERE kind = 'person')"),
    Place("amendment", _person("student_id")),
    Place("legal_hold", _person("student_id")),
    Place("client_token", _person("person")),
)
"""In the order in which they are swept."""

NOBODY = {
    "act": "who did what: ids and counts",
    "api_token": "hashes of tokens of automation",
    "family_token": "ids of tokens",
    "identity_provider": "settings of a district",
    "sign_in_begun": "random values of ten minutes",
    "sign_in_try": "keyed hashes, and counts of one day",
    "agreement": "references and days of agreements with agencies",
    "allowance": "limits of a connection",
    "blackout": "times of a connection",
    "bulk_export": "which collection was taken when",
    "bulk_grant": "days and a reason",
    "chain": "hashes, and numbers of rows",
    "client": "programs that may call",
    "collected": "what a district reads, and what for",
    "connection": "settings of a system",
    "crosswalk_change": "codes",
    "destination": "settings of a system",
    "field_override": "expressions over field names",
    "hold": "counts and codes",
    "hosting": "names of agencies",
    "lti_context": "courses of a platform, and where its services are",
    "projection": "numbers and times",
    "publication": "times",
    "first_link": "hashes of links",
    "lti_invitation": "hashes of links",
    "lti_used": "hashes of what platforms signed",
    "identifier_choice": "names of identifier systems, and counts",
    "identity_rule": "settings of a district",
    "quality_report": "times",
    "purpose": "what assessments are for",
    "purge": "the proof: keyed hashes and counts",
    "purged_mark": "keyed hashes",
    "run": "counts and codes",
    "run_page": "counts and cursors",
    "verification": "counts and times",
    "used_once": "hashes of what programs signed",
    "walked": "keyed hashes of what programs asked today",
    "watermark": "instants or change versions of whole collections",
    "schedule": "times of a connection",
    "scope_miss": "names of scopes, and counts",
    **dict.fromkeys(
        (
            *("served_orgs", "served_academic_sessions", "served_resources", "served_courses", "served_classes"),
            *("served_categories", "served_score_scales", "served_line_items", "served_assessment_line_items"),
        ),
        "what belongs to nobody: places, times, what is taught and graded",
    ),
    "standing": "keyed hashes",
    "succession": "a day of two connections",
    "survivorship": "settings of a district",
    "system_of_record": "settings of a district",
    "vendor_agreement": "programs, days and a letter that names nobody",
    "vendor_terms": "what was agreed: collections, fields, schools, classes",
    "year_change": "days of a district",
    "token": "sealed access tokens of systems",
    "unsealed": "numbers of rows",
    "webhook": "sealed addresses of programs",
    "webhook_attempt": "hashes that name events, and how sending them went",
    **dict.fromkeys(("alarm", "channel", "heartbeat", "notice", "sending"), "counts, times, sealed addresses of staff"),
}
"""Tables of districts in which nobody leaves a trace, and why."""


async def count(c: AsyncConnection, district: int) -> dict[str, int]:
    """Place -> how many rows are theirs; places without any are left out."""
    found = {}
    for place in PLACES:
        n = await c.scalar(text(f"SELECT count(*) FROM {place.table} t WHERE {_theirs(place)}"), {"district": district})
        if n:
            found[place.name] = int(n)
    return found


async def let_go(c: AsyncConnection, district: int, by: str) -> dict[str, Any]:
    """Tell the chain of acts, before the sweep, which rows go lawfully; what the purge's act has to say of it."""
    theirs: dict[str, str] = {}
    for place in PLACES:
        if not place.blank:
            theirs[place.table] = place.theirs
    return await chain.let_go(c, district, by, theirs)


async def sweep(c: AsyncConnection, district: int) -> dict[str, int]:
    """Remove every trace and say to those who ask what changed that it is gone; place -> rows removed.

    Afterwards nothing is found any more: that is looked for, and RuntimeError rolls everything back otherwise.
    """
    values = {"district": district}
    await c.execute(text(_RESOLVE_REST), values)
    publication = await c.scalar(text("INSERT INTO publication (district_id) VALUES (:district) RETURNING id"), values)
    swept = {}
    for place in PLACES:
        if place.table == "entity":
            await c.execute(text(_REMOVED), values | {"publication": publication})
        act = (
            f"UPDATE {place.table} t SET {place.blank} = {place.left}"
            if place.blank
            else f"DELETE FROM {place.table} t"
        )
        done = await c.execute(text(f"{act} WHERE {_theirs(place)}"), values)
        if done.rowcount:
            swept[place.name] = done.rowcount
    await c.execute(text("UPDATE publication SET at = clock_timestamp() WHERE id = :id"), {"id": publication})
    if left := await count(c, district):
        raise RuntimeError(f"traces were left in {', '.join(left)}")
    return swept


def _theirs(place: Place) -> str:
    standing = f"t.{place.blank} IS NOT NULL AND " if place.blank else ""
    return f"t.district_id = :district AND {standing}({place.theirs})"


# A record that speaks of several people takes with it what it said of the others: they are resolved again.
_RESOLVE_REST = f"""
    UPDATE district SET resolve_all = true WHERE id = :district AND EXISTS (
        SELECT FROM claim t WHERE t.district_id = :district AND {_of_record("record_key")} AND NOT {_OF_KEY})
"""
_REMOVED = """
    INSERT INTO change (district_id, publication, kind, entity_id, op)
    SELECT :district, :publication, t.kind, t.id, 'removed' FROM entity t
    JOIN trace_entity e ON e.kind = t.kind AND e.id = t.id WHERE t.district_id = :district ORDER BY t.kind, t.id
"""


async def mentions(c: AsyncConnection, district: int, texts: Sequence[str]) -> list[str]:
    """Plans of other students, and entries of their records, in whose text one of these stands as a word of its own."""
    rows = await c.execute(
        text(
            "SELECT CAST(p.id AS text) FROM plan p WHERE p.district_id = :district "
            "AND NOT EXISTS (SELECT FROM trace_entity e WHERE e.kind = 'person' AND e.id = p.student_id) "
            "AND (CAST(p.content AS text) ~ :pattern OR EXISTS (SELECT FROM plan_version v WHERE v.plan_id = p.id "
            "  AND v.content ~ :pattern) OR EXISTS (SELECT FROM plan_event v WHERE v.plan_id = p.id "
            "  AND CAST(v.detail AS text) ~ :pattern)) "
            "UNION SELECT 'record entry ' || CAST(r.id AS text) FROM record_entry r WHERE r.district_id = :district "
            "AND NOT EXISTS (SELECT FROM trace_entity e WHERE e.kind = 'person' AND e.id = r.student_id) "
            "AND r.body ~ :pattern ORDER BY 1"
        ),
        {"district": district, "pattern": "|".join(rf"\m{_literal(said)}\M" for said in texts) or r"\Z\A"},
    )
    return list(rows.scalars())


def _literal(said: str) -> str:
    """As a regular expression that matches just this. # PostgreSQL: what is no word character may be escaped"""
    return "".join(letter if letter.isalnum() or letter == "_" else f"\\{letter}" for letter in said)


@dataclass(frozen=True)
class Remote:
    """An object that was written elsewhere. `shared`: it is not the student's alone, plans of others use it too."""

    connection: str
    resource: str
    identity: str
    remote_id: str
    shared: bool


async def remote(c: AsyncConnection) -> list[Remote]:
    """What other systems were sent of the student's plans, or may have got: still to be deleted there."""
    rows = await c.execute(
        text(
            "SELECT n.name, l.resource, l.identity, l.remote_id, l.shared FROM ledger l "
            "JOIN delivery d ON d.id = l.delivery_id JOIN plan p ON p.id = d.plan_id "
            "JOIN trace_entity e ON e.kind = 'person' AND e.id = p.student_id "
            "JOIN connection n ON n.id = l.connection_id "
            "WHERE l.delivered_sha256 IS NOT NULL OR l.remote_id <> '' OR l.status IS NULL ORDER BY 1, l.at, 2, 3"
        )
    )
    return [Remote(*row) for row in rows]


async def under_way(c: AsyncConnection) -> bool:
    """Whether a plan of theirs is being sent this moment."""
    return bool(
        await c.scalar(
            text(
                "SELECT EXISTS (SELECT FROM delivery d JOIN plan p ON p.id = d.plan_id "
                "JOIN trace_entity e ON e.kind = 'person' AND e.id = p.student_id WHERE d.state = 'sending')"
            )
        )
    )


def tables() -> Sequence[str]:
    """Tables in which somebody may leave a trace."""
    return sorted({place.table for place in PLACES})
