"""Keys that a source says became others: what they denote goes with them, so that nobody is made a second time."""

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.store.applying import KEEP_LINKS
from gateway.store.runs import Attempt


async def follow(c: AsyncConnection, attempt: Attempt) -> None:
    """Let the keys of renamed records denote what their old ones did. To be called when the run's records are in force,
    before anything is linked.

    Where a record is about several things of a kind and their keys do not begin with its own, nobody can tell which
    became which: they are made anew. So is a person of whom somebody said that the new key is another one.
    """
    values = {"run": attempt.run, "connection": attempt.connection, "district": attempt.district}
    if not await c.scalar(text(f"SELECT EXISTS ({_TOLD})"), values):
        return
    for statement in _FOLLOW:
        await c.execute(text(statement), values)


_TOLD = (
    "SELECT collection, key AS old, hash AS new FROM staged WHERE run_id = :run AND op IN ('gone', 'same') "
    "AND hash IS NOT NULL"
)
# What a record states about several things of a kind is told apart by what stands behind its own key in theirs.
_ANCHORS = (
    "SELECT t.collection, t.new, k.kind, k.key, CASE WHEN starts_with(k.key, t.{of}) "
    "THEN substr(k.key, length(t.{of}) + 1) WHEN count(*) OVER (PARTITION BY t.collection, t.new, k.kind) = 1 THEN '' "
    "END AS part FROM told t"
)
_FOLLOW = (
    f"CREATE TEMP TABLE renamed ON COMMIT DROP AS WITH told AS MATERIALIZED ({_TOLD}), "
    f"was AS MATERIALIZED ({_ANCHORS.format(of='old')} JOIN claim_history k ON k.ended_by = :run "
    "  AND k.connection_id = :connection AND k.collection = t.collection AND k.record_key = t.old "
    "  WHERE k.anchor AND k.same_as IS NULL), "
    f"has AS MATERIALIZED ({_ANCHORS.format(of='new')} JOIN claim k ON k.run_id = :run "
    "  AND k.connection_id = :connection AND k.collection = t.collection AND k.record_key = t.new "
    "  WHERE k.anchor AND k.same_as IS NULL) "
    "SELECT DISTINCT ON (l.kind, has.key) l.kind, was.key AS old, has.key AS new, l.entity_id, l.method "
    "FROM was JOIN has USING (collection, new, kind, part) "
    "JOIN link l ON l.connection_id = :connection AND l.kind = was.kind AND l.key = was.key AND l.method <> 'alias' "
    "WHERE was.key <> has.key AND NOT (l.kind = 'person' AND EXISTS (SELECT FROM identity_decision d "
    "  WHERE d.connection_id = :connection AND d.key = has.key AND d.entity_id = l.entity_id "
    "  AND d.act IN ('different', 'split') AND d.undone_by IS NULL)) ORDER BY l.kind, has.key",
    # Who had the new key until now has it no longer.
    "INSERT INTO orphan SELECT l.kind, l.entity_id FROM link l JOIN renamed r ON r.kind = l.kind AND r.new = l.key "
    "WHERE l.connection_id = :connection ON CONFLICT DO NOTHING",
    "WITH l AS (DELETE FROM link l USING (SELECT kind, old AS key FROM renamed UNION SELECT kind, new FROM renamed) r "
    "WHERE l.connection_id = :connection AND l.kind = r.kind AND l.key = r.key RETURNING l.*) "
    f"{KEEP_LINKS} FROM l",
    "INSERT INTO link (district_id, connection_id, kind, key, entity_id, method, run_id, since) "
    "SELECT :district, :connection, kind, new, entity_id, method, :run, :run FROM renamed",
    "DROP TABLE renamed",
)
