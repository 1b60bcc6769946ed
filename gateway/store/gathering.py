"""Whose traces are to be found: from a person to every key, record, entity and word that is theirs.

All of it happens in one transaction of the owner, who sees every district: each statement names its own. The working
tables are temporary: trace_key (source keys that are theirs), trace_entity, trace_record, trace_reject, trace_number
(the number that several systems know them by), trace_word (what tells them from others in a text).
"""

from collections.abc import Callable
from dataclasses import dataclass

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.schema import KINDS
from gateway.store import served
from gateway.store.marks import WORD_LENGTH, words_of

STUDENT_OF = {
    kind.name: reference.field
    for kind in KINDS.values()
    for reference in kind.references
    if reference.kind == "person" and reference.field != "contact"
}
"""Kind -> the field that says whose it is. What has such a field is about that person as a whole."""

if any(
    reference.many or not reference.required
    for kind in KINDS.values()
    for reference in kind.references
    if reference.kind == "person"
):
    raise TypeError("a list of people, or a person that may be left out, needs a rule of its own here")

_PEOPLE = ", ".join(f"('{kind}', '{field}')" for kind, field in (*STUDENT_OF.items(), ("relationship", "contact")))

# Every claim that is or was stated, also by runs that are under way or held.
_SAID = """(
    SELECT connection_id, collection, record_key, kind, key, same_as, stated FROM claim WHERE district_id = :district
    UNION ALL
    SELECT connection_id, collection, record_key, kind, key, same_as, stated FROM claim_history
    WHERE district_id = :district
    UNION ALL
    SELECT r.connection_id, s.collection, s.key, a->>0, a->>1, a->>2, a->5
    FROM staged s JOIN run r ON r.id = s.run_id, json_array_elements(s.claims) a WHERE s.district_id = :district
)"""

_WORKING_TABLES = (
    'CREATE TEMP TABLE trace_key (connection_id int, kind text COLLATE "C", key text COLLATE "C", '
    "PRIMARY KEY (key, kind, connection_id)) ON COMMIT DROP",
    'CREATE TEMP TABLE trace_entity (kind text COLLATE "C", id uuid, PRIMARY KEY (id, kind)) ON COMMIT DROP',
    'CREATE TEMP TABLE trace_record (connection_id int, collection text COLLATE "C", key text COLLATE "C", '
    "PRIMARY KEY (key, collection, connection_id)) ON COMMIT DROP",
    "CREATE TEMP TABLE trace_reject (id bigint PRIMARY KEY) ON COMMIT DROP",
    'CREATE TEMP TABLE trace_number (number text COLLATE "C" PRIMARY KEY) ON COMMIT DROP',
    'CREATE TEMP TABLE trace_word (word text COLLATE "C" PRIMARY KEY) ON COMMIT DROP',
    'CREATE TEMP TABLE trace_contact (connection_id int, key text COLLATE "C", who text, '
    "PRIMARY KEY (key, connection_id)) ON COMMIT DROP",
)
_MEASURED = ("trace_key", "trace_entity", "trace_record", "trace_word")


async def begin(c: AsyncConnection, district: int) -> None:
    """Keep pages from being staged and runs from being published until the transaction ends."""
    await c.execute(text("SELECT pg_advisory_xact_lock(hashtext('planbridge.purge'), :d)"), {"d": district})
    await c.execute(text("SELECT pg_advisory_xact_lock(hashtext('planbridge.publish'), :d)"), {"d": district})
    await served.alone(c, district)
    for statement in _WORKING_TABLES:
        await c.execute(text(statement))


async def note_person(c: AsyncConnection, id: str) -> None:
    """Begin with somebody by entity id."""
    await c.execute(text("INSERT INTO trace_entity VALUES ('person', CAST(:id AS uuid))"), {"id": id})


async def note_keys(c: AsyncConnection, district: int, theirs: Callable[[str, str], bool]) -> None:
    """Begin with the people whose source key is `theirs`, asked as (connection name, key)."""
    rows = await c.execute(
        text(
            "SELECT DISTINCT n.name, s.connection_id, s.key FROM ("
            "  SELECT connection_id, key FROM link WHERE district_id = :district AND kind = 'person' "
            "  UNION SELECT connection_id, key FROM link_history WHERE district_id = :district AND kind = 'person' "
            f"  UNION SELECT connection_id, key FROM {_SAID} c WHERE kind = 'person') s "
            "JOIN connection n ON n.id = s.connection_id"
        ),
        {"district": district},
    )
    found = [(row.connection_id, row.key) for row in rows if theirs(row.name, row.key)]
    await c.execute(
        text(
            "INSERT INTO trace_key SELECT u.connection_id, 'person', u.key "
            "FROM unnest(CAST(:connections AS int[]), CAST(:keys AS text[])) u(connection_id, key)"
        ),
        {"connections": [connection for connection, _ in found], "keys": [key for _, key in found]},
    )
    await c.execute(text(_ENTITIES), {"district": district})


_KEYS = """
    INSERT INTO trace_key
    SELECT l.connection_id, l.kind, l.key FROM link l JOIN trace_entity e ON e.kind = l.kind AND e.id = l.entity_id
    WHERE l.district_id = :district
    UNION
    SELECT h.connection_id, h.kind, h.key FROM link_history h
    JOIN trace_entity e ON e.kind = h.kind AND e.id = h.entity_id
    WHERE h.district_id = :district AND NOT EXISTS (SELECT FROM link l WHERE l.key = h.key AND l.kind = h.kind
        AND l.connection_id = h.connection_id AND l.entity_id <> h.entity_id)
    ON CONFLICT DO NOTHING
"""
_MERGED = """
    INSERT INTO trace_entity
    SELECT 'person', d.entity_id FROM identity_decision d
    WHERE d.district_id = :district AND d.act = 'merge' AND d.undone_by IS NULL
    AND planbridge_survivor(d.entity_id) IN (SELECT id FROM trace_entity WHERE kind = 'person')
    ON CONFLICT DO NOTHING
"""
_NUMBERS = f"""
    INSERT INTO trace_number
    SELECT trim(i->>'value') FROM {_SAID} c
    JOIN trace_key k ON k.kind = c.kind AND k.key = c.key AND k.connection_id = c.connection_id
    JOIN number_system n ON n.connection_id = c.connection_id AND n.population = 'student',
        json_array_elements(c.stated->'identifiers') i
    WHERE c.kind = 'person' AND i->>'system' = n.name AND n.assigned_by IN ('', i->>'assigned_by')
    AND trim(i->>'value') <> ''
    ON CONFLICT DO NOTHING
"""
# Somebody else who has the number and was never recognised as anybody: unpublished, and listed as waiting.
_SAME_NUMBER = f"""
    INSERT INTO trace_key
    SELECT DISTINCT c.connection_id, c.kind, c.key FROM {_SAID} c
    JOIN number_system n ON n.connection_id = c.connection_id AND n.population = 'student',
        json_array_elements(c.stated->'identifiers') i, trace_number t
    WHERE c.kind = 'person' AND i->>'system' = n.name AND n.assigned_by IN ('', i->>'assigned_by')
    AND trim(i->>'value') = t.number
    AND coalesce(c.stated->>'population', 'student') = 'student'
    AND NOT EXISTS (SELECT FROM link l WHERE l.key = c.key AND l.kind = c.kind AND l.connection_id = c.connection_id)
    ON CONFLICT DO NOTHING
"""
# The family goes too, unless it belongs to somebody else as well or works here.
_CONTACTS = (
    f"""
    INSERT INTO trace_contact
    SELECT DISTINCT c.connection_id, c.stated->>'contact',
        coalesce(CAST(l.entity_id AS text), c.connection_id || '/' || (c.stated->>'contact'))
    FROM {_SAID} c JOIN trace_key k ON k.kind = 'person' AND k.connection_id = c.connection_id
        AND k.key = c.stated->>'student'
    LEFT JOIN link l ON l.kind = 'person' AND l.connection_id = c.connection_id AND l.key = c.stated->>'contact'
    WHERE c.kind = 'relationship' ON CONFLICT DO NOTHING
    """,
    """
    INSERT INTO trace_contact
    SELECT DISTINCT o.connection_id, o.key, t.who FROM trace_contact t
    JOIN link l ON l.kind = 'person' AND l.connection_id = t.connection_id AND l.key = t.key
    JOIN link o ON o.kind = 'person' AND o.entity_id = l.entity_id ON CONFLICT DO NOTHING
    """,
    """
    DELETE FROM trace_contact WHERE who IN (
        SELECT t.who FROM trace_contact t
        JOIN claim r ON r.kind = 'relationship' AND r.connection_id = t.connection_id AND r.stated->>'contact' = t.key
        WHERE NOT EXISTS (SELECT FROM trace_key k WHERE k.kind = 'person' AND k.connection_id = r.connection_id
            AND k.key = r.stated->>'student')
        UNION
        SELECT t.who FROM trace_contact t
        JOIN claim p ON p.kind = 'person' AND p.connection_id = t.connection_id AND p.key = t.key
        WHERE p.stated->>'population' <> 'contact'
        UNION
        SELECT t.who FROM trace_contact t JOIN plan p ON p.district_id = :district
            AND position(t.who in CAST(p.content AS text)) > 0
        WHERE NOT EXISTS (SELECT FROM trace_entity e WHERE e.kind = 'person' AND e.id = p.student_id))
    """,
    "INSERT INTO trace_key SELECT connection_id, 'person', key FROM trace_contact ON CONFLICT DO NOTHING",
)
# One that is to take a connection's place knows people by the same keys: it may have staged them, and takes in nobody.
# Nor may one whose place was taken, in a restored backup that is older than that.
_SUCCESSORS = tuple(
    f"INSERT INTO {table} ({columns}) SELECT CASE WHEN s.done_at IS NULL THEN s.new_id ELSE s.old_id END, {others} "
    f"FROM {table} t JOIN succession s "
    "  ON t.connection_id = CASE WHEN s.done_at IS NULL THEN s.old_id ELSE s.new_id END "
    f"{only} ON CONFLICT DO NOTHING"
    for table, columns, others, only in (
        ("trace_contact", "connection_id, key, who", "key, who", ""),
        ("trace_key", "connection_id, kind, key", "kind, key", "WHERE kind = 'person'"),
    )
)
_REFERRING = f"""
    INSERT INTO trace_key
    SELECT DISTINCT c.connection_id, c.kind, c.key FROM {_SAID} c
    JOIN (VALUES {_PEOPLE}) f(kind, field) ON f.kind = c.kind
    JOIN trace_key k ON k.kind = 'person' AND k.connection_id = c.connection_id AND k.key = c.stated->>f.field
    ON CONFLICT DO NOTHING
"""
_ENTITIES = """
    INSERT INTO trace_entity
    SELECT DISTINCT l.kind, l.entity_id FROM link l
    JOIN trace_key k ON k.kind = l.kind AND k.key = l.key AND k.connection_id = l.connection_id
    UNION
    SELECT DISTINCT h.kind, h.entity_id FROM link_history h
    JOIN trace_key k ON k.kind = h.kind AND k.key = h.key AND k.connection_id = h.connection_id
    WHERE NOT EXISTS (SELECT FROM link l WHERE l.kind = h.kind AND l.entity_id = h.entity_id AND NOT EXISTS (
        SELECT FROM trace_key k WHERE k.kind = l.kind AND k.key = l.key AND k.connection_id = l.connection_id))
    ON CONFLICT DO NOTHING
"""
# A telephone or the address of a parent is not the student's alone.
_WORDS = f"""
    INSERT INTO trace_word SELECT w FROM (
        SELECT key FROM trace_key WHERE kind = 'person'
        UNION SELECT said.word FROM {_SAID} c
        JOIN trace_key k ON k.kind = c.kind AND k.key = c.key AND k.connection_id = c.connection_id,
        LATERAL (SELECT i->>'value' FROM json_array_elements(c.stated->'identifiers') i
            UNION SELECT c.stated->>field FROM unnest(ARRAY['email', 'username']) field) said(word)
        WHERE c.kind = 'person' AND NOT EXISTS (SELECT FROM trace_contact t
            WHERE t.connection_id = k.connection_id AND t.key = k.key)
    ) words(w) WHERE length(w) >= {WORD_LENGTH} ON CONFLICT DO NOTHING
"""
_RECORDS = f"""
    INSERT INTO trace_record
    SELECT c.connection_id, c.collection, c.record_key FROM {_SAID} c
    JOIN trace_key k ON k.kind = c.kind AND k.key = c.key AND k.connection_id = c.connection_id
    UNION
    SELECT c.connection_id, c.collection, c.record_key FROM {_SAID} c
    JOIN trace_key k ON k.kind = c.kind AND k.key = c.same_as AND k.connection_id = c.connection_id
    ON CONFLICT DO NOTHING
"""
QUOTES = "EXISTS (SELECT FROM trace_word w WHERE position(CAST(to_json(w.word) AS text) in t.body) > 0)"
# Records that state nothing at all, and name the person all the same.
_MUTE_RECORDS = f"""
    INSERT INTO trace_record
    SELECT t.connection_id, t.collection, t.key FROM (
        SELECT connection_id, collection, key, body FROM record WHERE district_id = :district
        UNION ALL
        SELECT connection_id, collection, key, body FROM record_history WHERE district_id = :district) t
    WHERE (string_to_array(t.key, '|') && ARRAY(SELECT word FROM trace_word) OR {QUOTES})
    AND NOT EXISTS (SELECT FROM claim c WHERE c.record_key = t.key AND c.collection = t.collection
        AND c.connection_id = t.connection_id)
    AND NOT EXISTS (SELECT FROM claim_history c WHERE c.record_key = t.key AND c.collection = t.collection
        AND c.connection_id = t.connection_id)
    ON CONFLICT DO NOTHING
"""
_STEPS = (
    *(_MERGED, _KEYS, _NUMBERS, _SAME_NUMBER, *_CONTACTS, *_SUCCESSORS, _REFERRING),
    *(_ENTITIES, _KEYS, *_SUCCESSORS, _WORDS, _RECORDS, _MUTE_RECORDS),
)


async def gather(c: AsyncConnection, district: int, unseal: Callable[[bytes], bytes]) -> None:
    """From the people that were noted, find everything else that is theirs."""
    values = {"district": district}
    for statement in (
        _MERGED,
        _KEYS,
        _NUMBERS,
        _SAME_NUMBER,
        *_CONTACTS,
        *_SUCCESSORS,
        _REFERRING,
        _ENTITIES,
        _KEYS,
        *_SUCCESSORS,
        _WORDS,
        _RECORDS,
    ):
        await c.execute(text(statement), values if ":district" in statement else {})
    await c.execute(text(_MUTE_RECORDS), values)
    for table in _MEASURED:
        await c.execute(text(f"ANALYZE {table}"))
    await _gather_rejects(c, district, unseal)


async def _gather_rejects(c: AsyncConnection, district: int, unseal: Callable[[bytes], bytes]) -> None:
    """What was set aside is sealed: it is theirs by its key, or by what is found when it is opened."""
    words = set((await c.execute(text("SELECT word FROM trace_word"))).scalars())
    records = {(r.connection_id, r.key) for r in await c.execute(text("SELECT connection_id, key FROM trace_record"))}
    rows = await c.stream(
        text("SELECT id, connection_id, key, sealed_body FROM reject WHERE district_id = :district"),
        {"district": district},
    )
    theirs = []
    async for row in rows:
        body = None if row.sealed_body is None else unseal(row.sealed_body).decode()
        if (row.connection_id, row.key) in records or words_of(row.key, body) & words:
            theirs.append(row.id)
    await c.execute(text("INSERT INTO trace_reject SELECT unnest(CAST(:ids AS bigint[]))"), {"ids": theirs})


@dataclass(frozen=True)
class Key:
    """A source key of somebody, and whether as the student or as their family."""

    connection: str
    key: str
    contact: bool


async def keys(c: AsyncConnection) -> list[Key]:
    """The people that are to go, as their systems know them."""
    rows = await c.execute(
        text(
            "SELECT n.name, k.key, EXISTS (SELECT FROM trace_contact t WHERE t.connection_id = k.connection_id "
            "  AND t.key = k.key) AS contact FROM trace_key k JOIN connection n ON n.id = k.connection_id "
            "WHERE k.kind = 'person' ORDER BY 3, 1, 2"
        )
    )
    return [Key(row.name, row.key, row.contact) for row in rows]


async def former(c: AsyncConnection, district: int) -> dict[str, list[str]]:
    """Connection -> those whose place it has, itself first: an older backup knows the keys under their names."""
    rows = await c.execute(
        text(
            "WITH RECURSIVE had AS (SELECT id, id AS by, 0 AS n FROM connection WHERE district_id = :district "
            "  UNION ALL SELECT h.id, s.old_id, n + 1 FROM had h JOIN succession s ON s.new_id = h.by "
            "  AND s.done_at IS NOT NULL) "
            "SELECT c.name, array_agg(o.name ORDER BY h.n) AS had FROM had h JOIN connection c ON c.id = h.id "
            "JOIN connection o ON o.id = h.by GROUP BY c.name"
        ),
        {"district": district},
    )
    return {row.name: list(row.had) for row in rows}


async def own_records(c: AsyncConnection, district: int) -> list[tuple[str, str, str]]:
    """(connection, collection, key) of the records that speak of the student as a person."""
    rows = await c.execute(
        text(
            f"SELECT DISTINCT n.name, c.collection, c.record_key FROM {_SAID} c "
            "JOIN trace_key k ON k.kind = c.kind AND k.key = c.key AND k.connection_id = c.connection_id "
            "JOIN connection n ON n.id = c.connection_id WHERE c.kind = 'person' "
            "AND NOT EXISTS (SELECT FROM trace_contact t WHERE t.connection_id = k.connection_id AND t.key = k.key)"
        ),
        {"district": district},
    )
    return [(row.name, row.collection, row.record_key) for row in rows]


async def numbers(c: AsyncConnection) -> list[str]:
    return list((await c.execute(text("SELECT number FROM trace_number"))).scalars())


async def words(c: AsyncConnection) -> list[str]:
    return list((await c.execute(text("SELECT word FROM trace_word"))).scalars())


async def names(c: AsyncConnection, district: int) -> list[tuple[str, str]]:
    """The student as (given name, family name), in every way that was ever stated."""
    rows = await c.execute(
        text(
            "SELECT DISTINCT given, c.stated->>'family_name' AS family "
            f"FROM {_SAID} c JOIN trace_key k ON k.kind = c.kind AND k.key = c.key "
            "  AND k.connection_id = c.connection_id, "
            "LATERAL (SELECT c.stated->>field FROM unnest(ARRAY['given_name', 'preferred_given_name']) field) g(given) "
            "WHERE c.kind = 'person' AND given <> '' AND c.stated->>'family_name' <> '' "
            "AND NOT EXISTS (SELECT FROM trace_contact t WHERE t.connection_id = k.connection_id AND t.key = k.key) "
            "ORDER BY 1, 2"
        ),
        {"district": district},
    )
    return [(row.given, row.family) for row in rows]
