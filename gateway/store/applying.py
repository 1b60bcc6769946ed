"""A change set put in force: records and claims begun, ended, or brought back, and every key that this touches.

It makes the temporary tables that the rest of the transaction works with; see gateway.store.changes.
"""

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.store.compare import BY_KEY
from gateway.store.runs import Attempt


async def apply_records(c: AsyncConnection, attempt: Attempt, *, everything: bool) -> None:
    """Put the changed records and their claims in place and note every claim key they touch."""
    values = {"run": attempt.run, "connection": attempt.connection, "district": attempt.district}
    for statement in (*_WORKING_TABLES, *_END, *(_RESTORE if attempt.kind == "undo" else _BEGIN), _TOUCH):
        await c.execute(text(statement), values)
    if attempt.kind == "undo":
        for statement in _RESTORE_LINKS:
            await c.execute(text(statement), {"runs": list(attempt.undoes), "run": attempt.run})
    if everything:
        await c.execute(
            text("INSERT INTO touched SELECT DISTINCT connection_id, kind, key FROM claim ON CONFLICT DO NOTHING")
        )
        await c.execute(text("UPDATE district SET resolve_all = false WHERE id = :district"), values)
    await c.execute(text("ANALYZE touched"))
    await c.execute(text("SELECT planbridge_grown((SELECT count(*) FROM changed), 'record', 'claim')"))
    await c.execute(text(BY_KEY))


_WORKING_TABLES = (
    'CREATE TEMP TABLE touched (connection_id int, kind text COLLATE "C", key text COLLATE "C", '
    "done boolean NOT NULL DEFAULT false, PRIMARY KEY (kind, connection_id, key)) ON COMMIT DROP",
    'CREATE TEMP TABLE said (kind text COLLATE "C", connection_id int, key text COLLATE "C", entity_id uuid, '
    "match text, doc text) ON COMMIT DROP",
    'CREATE TEMP TABLE orphan (kind text COLLATE "C", entity_id uuid, PRIMARY KEY (kind, entity_id)) ON COMMIT DROP',
    "CREATE TEMP TABLE batch (n bigint PRIMARY KEY, entity_id uuid) ON COMMIT DROP",
    'CREATE TEMP TABLE word (connection_id int, key text COLLATE "C", word text COLLATE "C", first uuid, '
    "about text NOT NULL DEFAULT '', named bigint, born bigint, email bigint, phone bigint, numbers bigint[]) "
    "ON COMMIT DROP",
    "CREATE INDEX ON word (word)",
    'CREATE TEMP TABLE loose (connection_id int, kind text COLLATE "C", key text COLLATE "C", '
    'word text COLLATE "C", again boolean NOT NULL, PRIMARY KEY (kind, connection_id, key)) ON COMMIT DROP',
    "CREATE TEMP TABLE moved (kind text, entity_id uuid, op text, seen boolean NOT NULL DEFAULT false) ON COMMIT DROP",
    "CREATE INDEX ON moved (kind, entity_id)",
)

_OF_CHANGED = "c.connection_id = :connection AND c.collection = x.collection AND c.record_key = x.key"
_TOUCH = (
    "INSERT INTO touched SELECT DISTINCT c.connection_id, c.kind, c.key FROM claim c JOIN changed x "
    f"ON {_OF_CHANGED} ON CONFLICT DO NOTHING"
)
_END = (
    _TOUCH,
    f"WITH c AS (DELETE FROM claim c USING changed x WHERE {_OF_CHANGED} RETURNING c.*) "
    "INSERT INTO claim_history (district_id, connection_id, collection, record_key, n, kind, key, same_as, anchor, "
    "  rank, stated, run_id, ended_by) SELECT c.district_id, c.connection_id, c.collection, c.record_key, c.n, c.kind, "
    "  c.key, c.same_as, c.anchor, c.rank, c.stated, c.run_id, CAST(:run AS bigint) FROM c",
    "INSERT INTO record_history (district_id, connection_id, collection, key, hash, body, left_out, run_id, "
    "  fetched_at, since, ended_by) SELECT r.district_id, r.connection_id, r.collection, r.key, r.hash, r.body, "
    "  r.left_out, r.run_id, r.fetched_at, r.since, :run FROM record r JOIN changed x "
    "ON r.connection_id = :connection AND r.collection = x.collection AND r.key = x.key",
    "DELETE FROM record r USING changed x WHERE r.connection_id = :connection "
    "AND r.collection = x.collection AND r.key = x.key",
)
_BEGIN = (
    "INSERT INTO record (district_id, connection_id, collection, key, hash, body, left_out, run_id, since) "
    "SELECT :district, :connection, x.collection, x.key, s.hash, s.body, s.left_out, :run, :run FROM changed x "
    "JOIN staged s ON s.run_id = :run AND s.page = x.page AND s.place = x.place WHERE x.op <> 'gone'",
    "INSERT INTO claim SELECT :district, :connection, x.collection, x.key, a.n, a.j->>0, a.j->>1, a.j->>2, "
    "  CAST(a.j->>3 AS boolean), CAST(a.j->>4 AS int), a.j->5, :run "
    "FROM changed x JOIN staged s ON s.run_id = :run AND s.page = x.page AND s.place = x.place, "
    "  json_array_elements(s.claims) WITH ORDINALITY AS a(j, n) WHERE x.op <> 'gone'",
)
KEEP_LINKS = (
    "INSERT INTO link_history (district_id, connection_id, kind, key, entity_id, method, run_id, since, ended_by) "
    "SELECT l.district_id, l.connection_id, l.kind, l.key, l.entity_id, l.method, l.run_id, l.since, "
    "CAST(:run AS bigint)"
)
# What an undo brings back keeps the run that stated it; `since` says from when on it is in force again.
_RESTORE = (
    "INSERT INTO record (district_id, connection_id, collection, key, hash, body, left_out, run_id, fetched_at, since) "
    "SELECT h.district_id, h.connection_id, h.collection, h.key, h.hash, h.body, h.left_out, h.run_id, h.fetched_at, "
    "  :run FROM changed x JOIN record_history h ON h.connection_id = :connection AND h.ended_by = x.restored_from "
    "  AND h.collection = x.collection AND h.key = x.key WHERE x.op <> 'gone'",
    "INSERT INTO claim (district_id, connection_id, collection, record_key, n, kind, key, same_as, anchor, rank, "
    "  stated, run_id) "
    "SELECT h.district_id, h.connection_id, h.collection, h.record_key, h.n, h.kind, h.key, h.same_as, h.anchor, "
    "  h.rank, h.stated, h.run_id FROM changed x JOIN claim_history h ON h.connection_id = :connection "
    "  AND h.ended_by = x.restored_from AND h.collection = x.collection AND h.record_key = x.key "
    "WHERE x.op <> 'gone'",
)
# A link goes back only where the runs to be undone were the last to set it. What a key denoted is resolved again, and
# so is what it denotes now, also where no key denotes it any more.
_RESTORE_LINKS = (
    "CREATE TEMP TABLE undone ON COMMIT DROP AS SELECT connection_id, kind, key FROM link WHERE since = ANY(:runs) "
    "UNION SELECT h.connection_id, h.kind, h.key FROM link_history h WHERE h.ended_by = ANY(:runs) "
    "  AND NOT EXISTS (SELECT FROM link l WHERE l.connection_id = h.connection_id AND l.kind = h.kind "
    "    AND l.key = h.key AND NOT l.since = ANY(:runs)) "
    "  AND NOT EXISTS (SELECT FROM link_history o WHERE o.connection_id = h.connection_id AND o.kind = h.kind "
    "    AND o.key = h.key AND o.ended_by > ALL(:runs))",
    "INSERT INTO orphan SELECT DISTINCT l.kind, l.entity_id FROM link l JOIN undone u USING (connection_id, kind, key) "
    "ON CONFLICT DO NOTHING",
    f"WITH l AS (DELETE FROM link l USING undone u WHERE l.connection_id = u.connection_id AND l.kind = u.kind "
    f"AND l.key = u.key RETURNING l.*) {KEEP_LINKS} FROM l",
    "INSERT INTO link (district_id, connection_id, kind, key, entity_id, method, run_id, since) "
    "SELECT o.district_id, o.connection_id, o.kind, o.key, o.entity_id, o.method, o.run_id, :run FROM ("
    "  SELECT DISTINCT ON (h.connection_id, h.kind, h.key) h.* FROM link_history h "
    "  JOIN undone u USING (connection_id, kind, key) WHERE h.ended_by = ANY(:runs) "
    "  ORDER BY h.connection_id, h.kind, h.key, h.ended_by, h.since) o WHERE NOT o.since = ANY(:runs)",
    "INSERT INTO touched SELECT connection_id, kind, key FROM undone ON CONFLICT DO NOTHING",
)
