"""Districts that rest, first sign-in links, and what was purged for good."""

from gateway.migrations import adding

revision = "0007"
down_revision = "0006"

# A purge outlives what it purged, its district included: nothing here refers to anything else, and nothing says
# who it was. Marks are keyed hashes (gateway.store.marks); `connection` is empty where any connection is meant.
STATEMENTS = """
CREATE TABLE purge (
    id uuid PRIMARY KEY,
    district_id int NOT NULL,
    district text NOT NULL,
    what text NOT NULL CHECK (what IN ('student', 'district')),
    subject text COLLATE "C" NOT NULL,
    counts json NOT NULL,
    remote json NOT NULL,
    because text NOT NULL,
    actor json NOT NULL,
    at timestamptz NOT NULL,
    erased_at timestamptz,
    lifted json
);

CREATE TABLE purged_mark (
    district_id int NOT NULL,
    mark text COLLATE "C" NOT NULL,
    connection text COLLATE "C" NOT NULL,
    purge_id uuid NOT NULL REFERENCES purge ON DELETE CASCADE,
    PRIMARY KEY (mark, connection, district_id, purge_id)
);
CREATE INDEX ON purged_mark (district_id);

ALTER TABLE district ADD suspended_at timestamptz, ADD suspended_because text;

-- A link that lets its bearer make the first client of a district, once. Found before the district is known, so
-- without a policy; it holds a hash.
CREATE TABLE first_link (
    token_hash text COLLATE "C" PRIMARY KEY,
    district_id int NOT NULL REFERENCES district ON DELETE CASCADE,
    expires_at timestamptz NOT NULL,
    used_at timestamptz
);
GRANT SELECT, UPDATE ON first_link TO planbridge_app;

-- Rows of a page that were dropped because they speak of somebody who was purged.
ALTER TABLE run_page ADD purged int NOT NULL DEFAULT 0;

-- A purge publishes too, and no run did it.
ALTER TABLE publication ALTER run_id DROP NOT NULL;

-- An object that plans of several students use: it stays at the destination when one of them is purged.
ALTER TABLE ledger ADD shared boolean NOT NULL DEFAULT false;

-- Whole records are never searched for, and a sample of them in the statistics would outlive them.
ALTER TABLE record ALTER body SET STATISTICS 0;
ALTER TABLE record_history ALTER body SET STATISTICS 0;
ALTER TABLE staged ALTER body SET STATISTICS 0;
ALTER TABLE plan_version ALTER content SET STATISTICS 0;

-- From where on history is whole: before that retention has taken some of it.
ALTER TABLE district ADD history_from timestamptz;
ALTER TABLE connection ADD history_from bigint NOT NULL DEFAULT 0;

-- Rule -> rows that were due, and rows still due when it was done. Counts only, so no policy.
CREATE TABLE retention_pass (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at timestamptz NOT NULL DEFAULT now(),
    done json NOT NULL
);
CREATE INDEX ON retention_pass (at);

-- Whether the district has purged anybody, asked before a page is written. The lock is the one a purge holds until
-- it is done; a function sees what was committed while it waited, where one statement would not.
CREATE FUNCTION planbridge_has_purged(district int) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_advisory_xact_lock_shared(hashtext('planbridge.purge'), district);
    RETURN EXISTS (SELECT FROM purged_mark WHERE district_id = district);
END $$;
"""


def upgrade() -> None:
    adding.apply(STATEMENTS, districts=("purge", "purged_mark"), kept=("purge",))
