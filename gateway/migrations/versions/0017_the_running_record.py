"""The running record of each student, and what a plan was begun with."""

from gateway.migrations import adding

revision = "0017"
down_revision = "0016"

# `body` is JSON as text, because it is hashed; `salt` is hashed with it, so that the hash does not give away what a
# purge removed. What is about a plan's support or goal, or a result, says so in columns by which it is found.
STATEMENTS = """
CREATE TABLE record_stream (
    district_id int NOT NULL,
    student_id uuid NOT NULL,
    seq int NOT NULL DEFAULT 0,
    hash text NOT NULL DEFAULT '',
    recorded_at timestamptz,
    PRIMARY KEY (district_id, student_id)
);

CREATE TABLE record_entry (
    id uuid PRIMARY KEY,
    district_id int NOT NULL,
    student_id uuid NOT NULL,
    seq int NOT NULL,
    kind text NOT NULL,
    domain text,
    restricted boolean NOT NULL,
    occurred_at timestamptz NOT NULL,
    recorded_at timestamptz NOT NULL,
    actor json NOT NULL,
    supersedes uuid,
    plan_id uuid,
    item text,
    result_id uuid,
    body text,
    salt text,
    body_sha256 text NOT NULL,
    prev_hash text NOT NULL,
    hash text NOT NULL,
    UNIQUE (district_id, student_id, seq)
);
ALTER TABLE record_entry ALTER body SET STATISTICS 0;
CREATE UNIQUE INDEX record_entry_superseded_once ON record_entry (supersedes) WHERE supersedes IS NOT NULL;
CREATE UNIQUE INDEX record_entry_point_once ON record_entry (plan_id, item, result_id, student_id)
    WHERE kind = 'progress_point' AND result_id IS NOT NULL AND supersedes IS NULL;
CREATE INDEX ON record_entry (result_id) WHERE result_id IS NOT NULL;
CREATE INDEX ON record_entry (plan_id) WHERE plan_id IS NOT NULL;

-- Nobody rewrites the record, not even its owner; a purge takes the content away, and with a student all of it.
CREATE FUNCTION planbridge_record_stays() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.body IS NOT NULL OR NEW.salt IS NOT NULL
        OR to_jsonb(NEW) - 'body' - 'salt' IS DISTINCT FROM to_jsonb(OLD) - 'body' - 'salt' THEN
        RAISE EXCEPTION 'an entry of a running record is never changed';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER record_entry_stays BEFORE UPDATE ON record_entry
    FOR EACH ROW EXECUTE FUNCTION planbridge_record_stays();

CREATE TABLE plan_prefill (
    plan_id uuid NOT NULL REFERENCES plan ON DELETE CASCADE,
    n int NOT NULL,
    district_id int NOT NULL,
    use text NOT NULL CHECK (use IN ('filled', 'suggested', 'context')),
    pointer text NOT NULL,
    value json NOT NULL,
    origins json NOT NULL,
    at timestamptz NOT NULL,
    PRIMARY KEY (plan_id, n)
);
"""


def upgrade() -> None:
    adding.apply(
        STATEMENTS,
        districts=("record_stream", "record_entry", "plan_prefill"),
        kept=("record_entry", "plan_prefill"),
    )
