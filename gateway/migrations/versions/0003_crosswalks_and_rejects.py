"""Crosswalk rows and overrides of a district's own; rejects with a life."""

from gateway.migrations import adding

revision = "0003"
down_revision = "0002"

STATEMENTS = """
-- Collection -> the wire record as which the last pull read it: what is stored is read the same way again.
ALTER TABLE connection ADD wires json NOT NULL DEFAULT '{}';

-- Collection -> records to be replayed whose payload was purged: they wait for the next pull.
ALTER TABLE run ADD payload_gone json NOT NULL DEFAULT '{}';

-- What of a record is not in its claims: [[why, crosswalk or kind.field, code, what stands in its place], ...].
ALTER TABLE staged ADD left_out json;
ALTER TABLE record ADD left_out json;
ALTER TABLE record_history ADD left_out json;
CREATE INDEX ON record (connection_id, collection, key) WHERE left_out IS NOT NULL;

-- Figures and what stands in quotation marks differ from record to record; the cause is the same.
ALTER TABLE reject
    ADD unmapped json,
    ADD replayed_by bigint,
    ADD cause text GENERATED ALWAYS AS (left(md5(connection_id || '/' || collection || '/' || code || '/' || field
        || '/' || regexp_replace(reason, $$'[^']*'|"[^"]*"|[0-9]+$$, '#', 'g')), 8)) STORED;
CREATE INDEX ON reject (connection_id, id);

-- What is set aside now: by the newest pull that came to its end, and by replays since; unless a replay took it in.
CREATE VIEW open_reject WITH (security_invoker = true) AS
SELECT j.* FROM reject j
JOIN run r ON r.id = j.run_id
JOIN (
    SELECT connection_id, max(id) AS id FROM run WHERE kind = 'pull' AND state IN
        ('held', 'approved', 'published', 'compared', 'refused', 'superseded') GROUP BY connection_id
) newest ON newest.connection_id = j.connection_id
WHERE (j.run_id = newest.id OR (j.run_id > newest.id AND r.kind = 'replay' AND r.mode = 'publish'
    AND r.state = 'published' AND r.undone_by IS NULL))
AND NOT EXISTS (
    SELECT FROM run p WHERE p.id = j.replayed_by AND p.state = 'published' AND p.undone_by IS NULL);
GRANT SELECT ON open_reject TO planbridge_app;

-- Every line a district ever chose; the newest of each place holds. Without a source it is the table's default;
-- without a match it was taken back, and what is shipped holds again.
CREATE TABLE crosswalk_change (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    district_id int NOT NULL REFERENCES district ON DELETE CASCADE,
    change int NOT NULL,
    undoes int,
    mapping text COLLATE "C" NOT NULL,
    tbl text COLLATE "C" NOT NULL,
    source text COLLATE "C",
    target text NOT NULL,
    match text CHECK (match IN ('exact', 'narrower', 'broader', 'none')),
    note text NOT NULL,
    actor json NOT NULL,
    at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX ON crosswalk_change (district_id, mapping);

CREATE TABLE field_override (
    district_id int NOT NULL,
    connection_id int NOT NULL REFERENCES connection ON DELETE CASCADE,
    collection text COLLATE "C" NOT NULL,
    kind text COLLATE "C" NOT NULL,
    field text COLLATE "C" NOT NULL,
    expression text NOT NULL,
    crosswalk text,
    actor json NOT NULL,
    at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (connection_id, collection, kind, field)
);
"""


def upgrade() -> None:
    adding.apply(STATEMENTS, districts=("crosswalk_change", "field_override"), kept=("crosswalk_change",))
