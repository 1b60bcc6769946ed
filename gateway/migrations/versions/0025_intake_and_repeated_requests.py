"""Under which id of a program's own a plan was taken in; and requests that came with a key of the caller's, so that a
repeated one is answered and not carried out again."""

from gateway.migrations import adding

revision = "0025"
down_revision = "0024"

# `caller`: the client, or the name that somebody at the command line gave to where a file comes from. `sha256`: of what
# was taken in, to tell whether the same comes again.
# `named`: every id that stood in a request or its answer: by them a purge finds it. `sealed_answer`: what was answered,
# encrypted; NULL while the first one is still being carried out.
STATEMENTS = """
CREATE TABLE intake (
    district_id int NOT NULL REFERENCES district ON DELETE CASCADE,
    caller text COLLATE "C" NOT NULL,
    own_id text COLLATE "C" NOT NULL,
    plan_id uuid NOT NULL REFERENCES plan ON DELETE CASCADE,
    sha256 text NOT NULL,
    at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (district_id, caller, own_id)
);
CREATE INDEX ON intake (plan_id);

CREATE TABLE repeatable (
    district_id int NOT NULL REFERENCES district ON DELETE CASCADE,
    client_id text COLLATE "C" NOT NULL,
    key_sha256 text COLLATE "C" NOT NULL,
    request_sha256 text NOT NULL,
    named uuid[] NOT NULL DEFAULT '{}',
    begun_at timestamptz NOT NULL DEFAULT now(),
    failed boolean NOT NULL DEFAULT false,
    status int,
    sealed_answer bytea,
    PRIMARY KEY (district_id, client_id, key_sha256)
);
CREATE INDEX ON repeatable (begun_at);

-- The scope has the name that vendors are told.
UPDATE client SET scopes = CAST(replace(CAST(scopes AS text), '"plans.write"', '"plan.write"') AS json)
WHERE CAST(scopes AS text) LIKE '%"plans.write"%';
"""


def upgrade() -> None:
    adding.apply(STATEMENTS, districts=("intake", "repeatable"))
