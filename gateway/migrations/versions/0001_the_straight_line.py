"""The straight line: from districts and connections to plans and deliveries; and the job queue."""

from alembic import op
from procrastinate.schema import SchemaManager

revision = "0001"
down_revision = None

# Bulk tables carry no foreign keys: a check per row would double the cost of a page.
# Their indexes begin with the column that decides: a transaction that fills a table has no statistics about it,
# and an index that begins with the district or the connection would look as good to the planner as the right one.
# Keys are compared byte by byte (COLLATE "C"); what is hashed is text or json, never jsonb (it reorders).
TABLES = """
CREATE TABLE district (
    id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name text NOT NULL UNIQUE,
    sealed_key bytea NOT NULL,
    resolve_all boolean NOT NULL DEFAULT false,
    created_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE connection (
    id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    district_id int NOT NULL REFERENCES district ON DELETE CASCADE,
    name text COLLATE "C" NOT NULL,
    connector text NOT NULL,
    settings json NOT NULL,
    sealed_secrets bytea NOT NULL,
    paused_because text,
    created_at timestamptz NOT NULL DEFAULT now(),
    UNIQUE (district_id, name)
);

CREATE TABLE system_of_record (
    district_id int NOT NULL REFERENCES district ON DELETE CASCADE,
    collection text COLLATE "C" NOT NULL,
    connection_id int NOT NULL REFERENCES connection ON DELETE CASCADE,
    PRIMARY KEY (district_id, collection)
);

CREATE TABLE token (
    district_id int NOT NULL REFERENCES district ON DELETE CASCADE,
    key text COLLATE "C" NOT NULL,
    sealed bytea NOT NULL,
    PRIMARY KEY (district_id, key)
);

CREATE TABLE run (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    district_id int NOT NULL REFERENCES district ON DELETE CASCADE,
    connection_id int NOT NULL REFERENCES connection ON DELETE CASCADE,
    state text NOT NULL CHECK (state IN
        ('queued', 'pulling', 'resolving', 'held', 'approved', 'published', 'failed', 'refused', 'superseded')),
    fence int NOT NULL DEFAULT 0,
    mapping text,
    actor text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    started_at timestamptz,
    finished_at timestamptz,
    publication bigint,
    error_code text,
    exit_code int,
    error text,
    counts json NOT NULL DEFAULT '{}',
    unmapped json NOT NULL DEFAULT '[]'
);
CREATE INDEX ON run (connection_id, id);
CREATE UNIQUE INDEX run_under_way ON run (connection_id)
    WHERE state IN ('queued', 'pulling', 'resolving', 'approved');

CREATE TABLE run_page (
    id bigint GENERATED ALWAYS AS IDENTITY,
    district_id int NOT NULL,
    run_id bigint NOT NULL REFERENCES run ON DELETE CASCADE,
    collection text COLLATE "C" NOT NULL,
    cursor text COLLATE "C" NOT NULL,
    next json NOT NULL,
    rows int NOT NULL,
    total bigint,
    absent text NOT NULL,
    unkeyed int NOT NULL,
    unmapped json NOT NULL,
    PRIMARY KEY (run_id, collection, cursor)
);

CREATE TABLE staged (
    district_id int NOT NULL,
    run_id bigint NOT NULL,
    page bigint NOT NULL,
    place int NOT NULL,
    collection text COLLATE "C" NOT NULL,
    key text COLLATE "C" NOT NULL,
    op text NOT NULL CHECK (op IN ('put', 'same', 'gone')),
    hash text COLLATE "C",
    body text,
    claims json,
    PRIMARY KEY (run_id, page, place)
);

CREATE TABLE reject (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    district_id int NOT NULL,
    run_id bigint NOT NULL REFERENCES run ON DELETE CASCADE,
    connection_id int NOT NULL REFERENCES connection ON DELETE CASCADE,
    collection text COLLATE "C" NOT NULL,
    key text COLLATE "C",
    position text NOT NULL,
    field text NOT NULL,
    code text NOT NULL,
    reason text NOT NULL,
    sealed_body bytea,
    at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX ON reject (run_id);

CREATE TABLE hold (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    district_id int NOT NULL,
    run_id bigint NOT NULL REFERENCES run ON DELETE CASCADE,
    code text NOT NULL,
    collection text NOT NULL,
    reason text NOT NULL,
    affected bigint NOT NULL,
    known bigint NOT NULL,
    digest text NOT NULL,
    state text NOT NULL DEFAULT 'open' CHECK (state IN ('open', 'approved', 'refused', 'superseded')),
    at timestamptz NOT NULL DEFAULT now(),
    decided_by text,
    decided_because text,
    decided_at timestamptz
);
CREATE INDEX ON hold (run_id);

CREATE TABLE record (
    district_id int NOT NULL,
    connection_id int NOT NULL,
    collection text COLLATE "C" NOT NULL,
    key text COLLATE "C" NOT NULL,
    hash text COLLATE "C" NOT NULL,
    body text,
    run_id bigint NOT NULL,
    fetched_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (key, collection, connection_id)
);

CREATE TABLE record_history (
    district_id int NOT NULL,
    connection_id int NOT NULL,
    collection text COLLATE "C" NOT NULL,
    key text COLLATE "C" NOT NULL,
    hash text COLLATE "C" NOT NULL,
    body text,
    run_id bigint NOT NULL,
    fetched_at timestamptz NOT NULL,
    ended_by bigint NOT NULL
);
CREATE INDEX ON record_history (connection_id, collection, key);

CREATE TABLE claim (
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
    PRIMARY KEY (record_key, collection, connection_id, n)
);
CREATE INDEX ON claim (key, kind, connection_id);
CREATE INDEX ON claim (same_as) WHERE same_as IS NOT NULL;

CREATE TABLE link (
    district_id int NOT NULL,
    connection_id int NOT NULL,
    kind text COLLATE "C" NOT NULL,
    key text COLLATE "C" NOT NULL,
    entity_id uuid NOT NULL,
    method text NOT NULL CHECK (method IN ('first', 'matched', 'alias')),
    run_id bigint NOT NULL,
    PRIMARY KEY (key, kind, connection_id)
);
CREATE INDEX ON link (entity_id);

CREATE TABLE entity (
    district_id int NOT NULL,
    kind text COLLATE "C" NOT NULL,
    id uuid NOT NULL,
    doc json NOT NULL,
    match text COLLATE "C",
    publication bigint NOT NULL,
    PRIMARY KEY (id, kind, district_id)
);
CREATE INDEX ON entity (match) WHERE match IS NOT NULL;

CREATE TABLE waiting (
    district_id int NOT NULL,
    connection_id int NOT NULL,
    kind text COLLATE "C" NOT NULL,
    key text COLLATE "C" NOT NULL,
    field text NOT NULL,
    code text NOT NULL,
    target_kind text COLLATE "C" NOT NULL,
    target_key text COLLATE "C" NOT NULL,
    reason text NOT NULL,
    run_id bigint NOT NULL
);
CREATE INDEX ON waiting (key);
CREATE INDEX ON waiting (target_key);

CREATE TABLE difference (
    district_id int NOT NULL,
    connection_id int NOT NULL,
    kind text COLLATE "C" NOT NULL,
    entity_id uuid NOT NULL,
    field text NOT NULL
);
CREATE INDEX ON difference (entity_id);

CREATE TABLE publication (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    district_id int NOT NULL,
    run_id bigint NOT NULL REFERENCES run ON DELETE CASCADE,
    at timestamptz
);

CREATE TABLE change (
    seq bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    xid xid8 NOT NULL DEFAULT pg_current_xact_id(),
    district_id int NOT NULL,
    publication bigint NOT NULL,
    kind text COLLATE "C" NOT NULL,
    entity_id uuid NOT NULL,
    op text NOT NULL CHECK (op IN ('added', 'changed', 'removed')),
    before json
);
CREATE INDEX ON change (entity_id);
CREATE INDEX ON change (publication);

CREATE TABLE plan (
    id uuid PRIMARY KEY,
    district_id int NOT NULL,
    student_id uuid NOT NULL,
    state text NOT NULL,
    content json NOT NULL,
    revision int NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX ON plan (district_id, student_id);

CREATE TABLE plan_version (
    plan_id uuid NOT NULL REFERENCES plan ON DELETE CASCADE,
    version int NOT NULL,
    district_id int NOT NULL,
    content text NOT NULL,
    sha256 text NOT NULL,
    finalized_at timestamptz NOT NULL,
    finalized_by json NOT NULL,
    guard_report json NOT NULL,
    amends int,
    PRIMARY KEY (plan_id, version)
);

CREATE TABLE plan_event (
    seq bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    district_id int NOT NULL,
    plan_id uuid NOT NULL REFERENCES plan ON DELETE CASCADE,
    act text NOT NULL,
    actor json NOT NULL,
    detail json NOT NULL,
    at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX ON plan_event (plan_id, seq);

CREATE TABLE destination (
    connection_id int PRIMARY KEY REFERENCES connection ON DELETE CASCADE,
    district_id int NOT NULL,
    profile json NOT NULL
);

CREATE TABLE delivery (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    district_id int NOT NULL,
    plan_id uuid NOT NULL REFERENCES plan ON DELETE CASCADE,
    version int NOT NULL,
    connection_id int NOT NULL REFERENCES connection ON DELETE CASCADE,
    state text NOT NULL CHECK (state IN ('queued', 'sending', 'delivered', 'parked')),
    fence int NOT NULL DEFAULT 0,
    actor json NOT NULL,
    losses json NOT NULL DEFAULT '[]',
    reason text,
    created_at timestamptz NOT NULL DEFAULT now(),
    finished_at timestamptz
);
CREATE INDEX ON delivery (plan_id, version);

CREATE TABLE ledger (
    district_id int NOT NULL,
    connection_id int NOT NULL REFERENCES connection ON DELETE CASCADE,
    resource text COLLATE "C" NOT NULL,
    identity text COLLATE "C" NOT NULL,
    delivery_id bigint NOT NULL REFERENCES delivery ON DELETE CASCADE,
    sent_sha256 text,
    delivered_sha256 text,
    status int,
    remote_id text NOT NULL DEFAULT '',
    revision text NOT NULL DEFAULT '',
    message text NOT NULL DEFAULT '',
    attempts int NOT NULL DEFAULT 0,
    at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (connection_id, resource, identity)
);
CREATE INDEX ON ledger (delivery_id);

CREATE TABLE client (
    id text COLLATE "C" PRIMARY KEY,
    district_id int NOT NULL REFERENCES district ON DELETE CASCADE,
    name text NOT NULL,
    secret_hash text NOT NULL,
    scopes json NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    revoked_at timestamptz
);

CREATE TABLE client_token (
    token_hash text COLLATE "C" PRIMARY KEY,
    client_id text COLLATE "C" NOT NULL REFERENCES client ON DELETE CASCADE,
    scopes json NOT NULL,
    expires_at timestamptz NOT NULL
);
CREATE INDEX ON client_token (client_id);

CREATE TABLE act (
    seq bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    district_id int NOT NULL,
    at timestamptz NOT NULL DEFAULT now(),
    actor json NOT NULL,
    act text NOT NULL,
    subject text NOT NULL,
    detail json NOT NULL
);
"""

DISTRICT_TABLES = (
    "connection",
    "system_of_record",
    "token",
    "run",
    "run_page",
    "staged",
    "reject",
    "hold",
    "record",
    "record_history",
    "claim",
    "link",
    "entity",
    "waiting",
    "difference",
    "publication",
    "change",
    "plan",
    "plan_version",
    "plan_event",
    "destination",
    "delivery",
    "ledger",
    "act",
)
# client and client_token have no policy: a caller's token must be found before its district is known. They
# hold hashes and scopes, no personal data.
OPEN_TABLES = ("district", "client", "client_token")

ROLE = """
DO $$ BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'planbridge_app') THEN
        CREATE ROLE planbridge_app NOLOGIN NOSUPERUSER NOBYPASSRLS NOCREATEDB NOCREATEROLE;
    END IF;
    EXECUTE format('GRANT planbridge_app TO %I', current_user);
    EXECUTE format('GRANT TEMPORARY ON DATABASE %I TO planbridge_app', current_database());
END $$;
"""

POLICY = """
ALTER TABLE {table} ENABLE ROW LEVEL SECURITY;
CREATE POLICY district_only ON {table} TO planbridge_app
    USING (district_id = (SELECT nullif(current_setting('planbridge.district', true), '')::int));
"""

# What a transaction fills has no statistics, and a plan made for an empty table does not end on a full one. Only
# the owner may ANALYZE; it locks against another ANALYZE until commit, so it is done only where a table grew much.
STATISTICS = """
CREATE FUNCTION planbridge_grown(grown_by bigint, VARIADIC names text[]) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE name text;
BEGIN
    FOREACH name IN ARRAY names LOOP
        IF grown_by > 1000 AND (SELECT reltuples FROM pg_class WHERE oid = name::regclass) < 2 * grown_by THEN
            EXECUTE format('ANALYZE %I', name);
        END IF;
    END LOOP;
END $$;
"""

GRANTS = """
GRANT USAGE ON SCHEMA public TO planbridge_app;
GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO planbridge_app;
REVOKE INSERT, UPDATE, DELETE ON alembic_version FROM planbridge_app;
REVOKE UPDATE, DELETE ON change, plan_version, plan_event, act, record_history FROM planbridge_app;
REVOKE DELETE ON district, plan FROM planbridge_app;  -- what may not be deleted would go with them
GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO planbridge_app;
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA public TO planbridge_app;
"""


def upgrade() -> None:
    """Applied in one transaction by the owner."""
    driver = op.get_bind().connection.driver_connection
    assert driver is not None
    run = driver.execute
    run(ROLE)
    run(TABLES)
    run(SchemaManager.get_schema())
    for table in DISTRICT_TABLES:
        run(POLICY.format(table=table))
    run(STATISTICS)
    run(GRANTS)
