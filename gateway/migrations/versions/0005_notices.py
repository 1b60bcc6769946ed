"""Who is told what, and what was told."""

from gateway.migrations import adding

revision = "0005"
down_revision = "0004"

STATEMENTS = """
-- An ended run is its own note that somebody has to be told: it is open until `told` says what the state says. So
-- the transaction that ends a run leaves the note, whoever writes it, and a crash loses none.
ALTER TABLE run ADD told text;
UPDATE run SET told = state;
CREATE INDEX run_untold ON run (district_id, id)
    WHERE state IN ('held', 'failed', 'published', 'compared') AND told IS DISTINCT FROM state;
ALTER TABLE delivery ADD told boolean NOT NULL DEFAULT false;
UPDATE delivery SET told = true;
CREATE INDEX delivery_untold ON delivery (district_id, id) WHERE state IN ('parked', 'delivered') AND NOT told;

-- `secret_told`: of 30, 7 and 1 day before its end, the last that was announced.
ALTER TABLE connection ADD secret_ends date, ADD secret_told int;

-- An address may be a key in itself (that of a chat room is), so it rests sealed; `shown` is what may be seen of it.
CREATE TABLE channel (
    id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    district_id int NOT NULL REFERENCES district ON DELETE CASCADE,
    kind text NOT NULL CHECK (kind IN ('email', 'webhook')),
    shown text NOT NULL,
    sealed_address bytea NOT NULL,
    sealed_secret bytea,
    allow_private boolean NOT NULL DEFAULT false,
    events text[] NOT NULL,
    digest_at time NOT NULL,
    zone text NOT NULL,
    digested_on date NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
);

-- `key` says what it is about: the same thing is told once.
CREATE TABLE notice (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    district_id int NOT NULL REFERENCES district ON DELETE CASCADE,
    mark uuid NOT NULL DEFAULT gen_random_uuid(),
    event text NOT NULL,
    key text NOT NULL,
    connection_id int REFERENCES connection ON DELETE CASCADE,
    run_id bigint,
    message json NOT NULL,
    at timestamptz NOT NULL DEFAULT now(),
    UNIQUE (district_id, key)
);

CREATE TABLE sending (
    notice_id bigint NOT NULL REFERENCES notice ON DELETE CASCADE,
    channel_id int NOT NULL REFERENCES channel ON DELETE CASCADE,
    district_id int NOT NULL,
    state text NOT NULL DEFAULT 'queued' CHECK (state IN ('queued', 'sent', 'failed')),
    attempts int NOT NULL DEFAULT 0,
    next_at timestamptz NOT NULL DEFAULT now(),
    error_code text,
    sent_at timestamptz,
    PRIMARY KEY (notice_id, channel_id)
);
CREATE INDEX ON sending (next_at) WHERE state = 'queued';

-- What is known to be wrong, from the first notice of it to the good run that ends it.
CREATE TABLE alarm (
    connection_id int NOT NULL REFERENCES connection ON DELETE CASCADE,
    kind text NOT NULL CHECK (kind IN ('hold', 'failure', 'silence', 'delivery')),
    district_id int NOT NULL,
    since timestamptz NOT NULL,
    told_days int NOT NULL DEFAULT 0,
    PRIMARY KEY (connection_id, kind)
);

-- `run_id` is the good run that has not been reported yet.
CREATE TABLE heartbeat (
    connection_id int PRIMARY KEY REFERENCES connection ON DELETE CASCADE,
    district_id int NOT NULL,
    shown text NOT NULL,
    sealed_url bytea NOT NULL,
    method text NOT NULL CHECK (method IN ('GET', 'POST')),
    allow_private boolean NOT NULL,
    run_id bigint,
    attempts int NOT NULL DEFAULT 0,
    next_at timestamptz,
    called_at timestamptz,
    failures int NOT NULL DEFAULT 0,
    error_code text
);
"""


def upgrade() -> None:
    adding.apply(STATEMENTS, districts=("channel", "notice", "sending", "alarm", "heartbeat"))
