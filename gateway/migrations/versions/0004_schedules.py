"""When a connection is pulled by itself, and for how long it may be silent."""

from gateway.migrations import adding

revision = "0004"
down_revision = "0003"

STATEMENTS = """
-- 26 hours: a nightly pull, and two hours for a slow night.
ALTER TABLE connection ADD fresh_seconds int NOT NULL DEFAULT 93600 CHECK (fresh_seconds > 0);

-- `last_*` say what became of the newest due time: a run, or a code that says why there was none.
CREATE TABLE schedule (
    connection_id int PRIMARY KEY REFERENCES connection ON DELETE CASCADE,
    district_id int NOT NULL REFERENCES district ON DELETE CASCADE,
    cron text NOT NULL,
    zone text NOT NULL,
    jitter_seconds int NOT NULL CHECK (jitter_seconds >= 0),
    window_from time,
    window_until time,
    enabled boolean NOT NULL DEFAULT true,
    next_due_at timestamptz NOT NULL,
    last_due_at timestamptz,
    last_run bigint,
    last_skipped text,
    CHECK ((window_from IS NULL) = (window_until IS NULL))
);
CREATE INDEX ON schedule (next_due_at) WHERE enabled;
"""


def upgrade() -> None:
    adding.apply(STATEMENTS, districts=("schedule",))
