"""The chain of acts, what outlives a restore, requests to amend a record, and holds of the law."""

from gateway.migrations import adding

revision = "0019"
down_revision = "0018"

# unsealed: rows that the next seal takes into the chain, put there by triggers in the act's own transaction. `ref` is
# the row's key. chain: see gateway.store.chain; `gone_by` is the purge that took the row and the salt.
# standing: what no restore and no sync undoes; `subject` are keyed hashes (gateway.store.marks).
STATEMENTS = """
CREATE TABLE unsealed (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    district_id int NOT NULL,
    tab text COLLATE "C" NOT NULL,
    ref text COLLATE "C" NOT NULL
);
CREATE INDEX ON unsealed (district_id, id);

CREATE TABLE chain (
    district_id int NOT NULL,
    n bigint NOT NULL,
    tab text COLLATE "C" NOT NULL,
    ref text COLLATE "C" NOT NULL,
    salt uuid,
    content_sha256 text COLLATE "C" NOT NULL,
    previous text COLLATE "C" NOT NULL,
    own text COLLATE "C" NOT NULL,
    gone_by text COLLATE "C",
    at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (district_id, n)
);
CREATE INDEX ON chain (ref, tab);
CREATE INDEX ON chain (gone_by) WHERE gone_by IS NOT NULL;

CREATE TABLE standing (
    id uuid PRIMARY KEY,
    district_id int NOT NULL,
    kind text COLLATE "C" NOT NULL,
    subject text[] COLLATE "C" NOT NULL,
    because text NOT NULL,
    actor json NOT NULL,
    at timestamptz NOT NULL,
    ended json
);
CREATE INDEX ON standing (district_id, kind);

CREATE TABLE amendment (
    id uuid PRIMARY KEY,
    district_id int NOT NULL,
    student_id uuid NOT NULL,
    asked_by text NOT NULL,
    about text NOT NULL,
    asked text NOT NULL,
    asked_on date NOT NULL,
    due_on date NOT NULL,
    decision text CHECK (decision IN ('granted', 'refused')),
    because text,
    decided_at timestamptz,
    statement text,
    actor json NOT NULL
);
CREATE INDEX ON amendment (student_id);

CREATE TABLE legal_hold (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    district_id int NOT NULL,
    student_id uuid NOT NULL,
    because text NOT NULL,
    actor json NOT NULL,
    at timestamptz NOT NULL DEFAULT now(),
    lifted_at timestamptz,
    lifted_because text
);
CREATE INDEX ON legal_hold (student_id);

-- Since when the student is on no roster any more; plans go some years after that.
ALTER TABLE plan ADD left_on date;

-- By what a version is named in the chain: its plan's id would outlive the plan there.
ALTER TABLE plan_version ADD chain_ref uuid NOT NULL DEFAULT gen_random_uuid();
CREATE UNIQUE INDEX ON plan_version (chain_ref);

CREATE FUNCTION planbridge_to_seal() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO unsealed (district_id, tab, ref) VALUES (NEW.district_id, TG_TABLE_NAME, to_jsonb(NEW)->>TG_ARGV[0]);
    RETURN NULL;
END $$;
"""

SEALED = {
    "act": "seq",
    "plan_event": "seq",
    "plan_version": "chain_ref",
    "identity_decision": "id",
    "crosswalk_change": "id",
    "standing": "id",
    "consent": "id",
    "record_entry": "id",
    "disclosure": "id",
}


def upgrade() -> None:
    adding.apply(
        STATEMENTS, districts=("unsealed", "chain", "standing", "amendment", "legal_hold"), kept=("chain",),
        sealed=SEALED,
    )  # fmt: skip
