"""Guards with limits of one's own, runs that only compare, and the history that undo needs."""

from gateway.migrations import adding

revision = "0002"
down_revision = "0001"

STATEMENTS = """
ALTER TABLE connection
    ADD guards json NOT NULL DEFAULT '{}',
    ADD shadow boolean NOT NULL DEFAULT false,
    ADD paused_code text CHECK (paused_code IN ('credentials', 'undo', 'person'));
UPDATE connection SET paused_code = 'credentials' WHERE paused_because IS NOT NULL;

ALTER TABLE run
    ADD kind text NOT NULL DEFAULT 'pull' CHECK (kind IN ('pull', 'replay', 'undo')),
    ADD mode text NOT NULL DEFAULT 'publish' CHECK (mode IN ('publish', 'shadow', 'dry')),
    ADD effect text NOT NULL DEFAULT 'all' CHECK (effect IN ('all', 'additions')),
    ADD proposal json,
    ADD undoes json NOT NULL DEFAULT '[]',
    ADD undone_by bigint,
    ADD good_at timestamptz,
    DROP CONSTRAINT run_state_check,
    ADD CONSTRAINT run_state_check CHECK (state IN
        ('queued', 'pulling', 'resolving', 'held', 'approved', 'published', 'compared', 'failed', 'refused',
         'superseded'));

ALTER TABLE hold
    ADD effect text NOT NULL DEFAULT 'all' CHECK (effect IN ('all', 'removals')),
    DROP CONSTRAINT hold_state_check,
    ADD CONSTRAINT hold_state_check CHECK (state IN ('open', 'approved', 'additions', 'refused', 'superseded'));

-- `good_at`: when it did what it was to do, also where its removals wait for a person since.
UPDATE run SET good_at = finished_at WHERE state = 'published';

-- `run_id` says which run the source stated it in, `since` which run put it in force: an undo puts an old row back.
ALTER TABLE record ADD since bigint;
UPDATE record SET since = run_id;
ALTER TABLE record ALTER since SET NOT NULL;
ALTER TABLE record_history ADD since bigint;
UPDATE record_history SET since = run_id;
ALTER TABLE record_history ALTER since SET NOT NULL;
CREATE INDEX ON record_history (connection_id, ended_by);
CREATE INDEX ON record (since, connection_id);

CREATE TABLE claim_history (
    district_id int NOT NULL,
    connection_id int NOT NULL,
    collection text COLLATE "C" NOT NULL,
    record_key text COLLATE "C" NOT NULL,
    n smallint NOT NULL,
    kind text COLLATE "C" NOT NULL,
    key text COLLATE "C" NOT NULL,
    same_as text COLLATE "C",
    anchor boolean NOT NULL,
    rank int NOT NULL,
    stated json,
    run_id bigint NOT NULL,
    ended_by bigint NOT NULL
);
CREATE INDEX ON claim_history (ended_by, connection_id);

ALTER TABLE link ADD since bigint;
UPDATE link SET since = run_id;
ALTER TABLE link ALTER since SET NOT NULL;
CREATE INDEX ON link (since);
CREATE INDEX ON change (xid, seq);
CREATE TABLE link_history (
    district_id int NOT NULL,
    connection_id int NOT NULL,
    kind text COLLATE "C" NOT NULL,
    key text COLLATE "C" NOT NULL,
    entity_id uuid NOT NULL,
    method text NOT NULL,
    run_id bigint NOT NULL,
    since bigint NOT NULL,
    ended_by bigint NOT NULL
);
CREATE INDEX ON link_history (ended_by);

-- What a run that is held or only compares would do: looked at by a person, dropped with the run's staged rows.
CREATE TABLE preview (
    district_id int NOT NULL,
    run_id bigint NOT NULL REFERENCES run ON DELETE CASCADE,
    kind text COLLATE "C" NOT NULL,
    entity_id uuid NOT NULL,
    op text NOT NULL CHECK (op IN ('added', 'changed', 'removed')),
    before json,
    after json
);
CREATE INDEX ON preview (run_id);

-- No connection named: it holds for the whole district.
CREATE TABLE blackout (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    district_id int NOT NULL REFERENCES district ON DELETE CASCADE,
    connection_id int REFERENCES connection ON DELETE CASCADE,
    from_at timestamptz NOT NULL,
    until_at timestamptz NOT NULL CHECK (until_at > from_at),
    because text NOT NULL,
    actor json NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
);

-- Whose word counts for one field, where that is not the order of the connections.
CREATE TABLE survivorship (
    district_id int NOT NULL REFERENCES district ON DELETE CASCADE,
    kind text COLLATE "C" NOT NULL,
    field text COLLATE "C" NOT NULL,
    connections json NOT NULL,
    PRIMARY KEY (district_id, kind, field)
);

-- Limits that a person lifted for a while, with a reason: an announced year change, a merger of schools.
CREATE TABLE allowance (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    district_id int NOT NULL REFERENCES district ON DELETE CASCADE,
    connection_id int NOT NULL REFERENCES connection ON DELETE CASCADE,
    limits json NOT NULL,
    until_at timestamptz NOT NULL,
    because text NOT NULL,
    actor json NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
);
"""


def upgrade() -> None:
    adding.apply(
        STATEMENTS,
        districts=("claim_history", "link_history", "preview", "blackout", "survivorship", "allowance"),
        kept=("claim_history", "link_history"),
    )
