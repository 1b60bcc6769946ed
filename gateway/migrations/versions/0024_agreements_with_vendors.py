"""Agreements with vendors, what each of them reaches, what was read, who opted out, and leave to take all at once."""

from gateway.migrations import adding

revision = "0024"
down_revision = "0023"

# vendor_agreement: one open one for a program at a time. What it says stands in vendor_terms, a row for every draft;
# `version` is the one that the district approved last, NULL before it approved any. `destruction`: the request.
# reach: which rows of the served collections an agreement reaches, and those that it reached once; `at` is 'infinity'
# until the transaction that changed them is stamped. Its `students` are no collection of the standard: those whose
# plans and records it reaches. There is no foreign key to the served tables: they are written
# anew as a whole.
# client_read: one row for an answer. `students` are those whom it tells of, `sets` says for each which of the lists in
# `fields` was served of them; a purge leaves NULL in a student's place. `at` is when the transaction began, as in the
# disclosures of that transaction.
# directory_opt_out: a family's word against directory information.
# bulk_grant: leave to take a collection at once, `per_day` times; bulk_export: that it was taken.
STATEMENTS = """
CREATE TABLE vendor_agreement (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    district_id int NOT NULL REFERENCES district ON DELETE CASCADE,
    client_id text COLLATE "C" NOT NULL,
    version int,
    begin_on date,
    until_on date,
    at timestamptz NOT NULL DEFAULT now(),
    ended_at timestamptz,
    ended_because text,
    destruction text,
    destroy_by date,
    destroyed_on date
);
CREATE UNIQUE INDEX vendor_agreement_open ON vendor_agreement (district_id, client_id) WHERE ended_at IS NULL;

CREATE TABLE vendor_terms (
    district_id int NOT NULL,
    agreement_id bigint NOT NULL REFERENCES vendor_agreement ON DELETE CASCADE,
    version int NOT NULL,
    terms json NOT NULL,
    actor json NOT NULL,
    at timestamptz NOT NULL DEFAULT now(),
    approved_by json,
    approved_at timestamptz,
    PRIMARY KEY (agreement_id, version)
);

CREATE TABLE reach (
    district_id int NOT NULL,
    agreement_id bigint NOT NULL REFERENCES vendor_agreement ON DELETE CASCADE,
    collection text COLLATE "C" NOT NULL,
    sourced_id text COLLATE "C" NOT NULL,
    visible boolean NOT NULL,
    at timestamptz NOT NULL DEFAULT 'infinity',
    PRIMARY KEY (agreement_id, collection, sourced_id)
);
CREATE INDEX ON reach (agreement_id, collection, at);
CREATE INDEX reach_unstamped ON reach (district_id) WHERE at = 'infinity';

CREATE TABLE client_read (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    district_id int NOT NULL,
    at timestamptz NOT NULL DEFAULT now(),
    client_id text COLLATE "C" NOT NULL,
    agreement_id bigint,
    person_id uuid,
    collection text COLLATE "C" NOT NULL,
    row_count int NOT NULL,
    fields json NOT NULL,
    students uuid[] NOT NULL,
    sets smallint[] NOT NULL
);
CREATE INDEX ON client_read (client_id, at);

CREATE TABLE directory_opt_out (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    district_id int NOT NULL REFERENCES district ON DELETE CASCADE,
    student_id uuid NOT NULL,
    said_by text NOT NULL,
    actor json NOT NULL,
    at timestamptz NOT NULL DEFAULT now(),
    withdrawn_at timestamptz
);
CREATE INDEX ON directory_opt_out (district_id, student_id);

CREATE TABLE bulk_grant (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    district_id int NOT NULL,
    agreement_id bigint NOT NULL REFERENCES vendor_agreement ON DELETE CASCADE,
    because text NOT NULL,
    per_day int NOT NULL,
    until_on date NOT NULL,
    actor json NOT NULL,
    at timestamptz NOT NULL DEFAULT now(),
    ended_at timestamptz
);
CREATE INDEX ON bulk_grant (agreement_id);

CREATE TABLE bulk_export (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    district_id int NOT NULL,
    agreement_id bigint NOT NULL,
    collection text COLLATE "C" NOT NULL,
    form text COLLATE "C" NOT NULL,
    at timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX ON bulk_export (agreement_id, at);
"""


def upgrade() -> None:
    adding.apply(
        STATEMENTS,
        districts=(
            "vendor_agreement",
            "vendor_terms",
            "reach",
            "client_read",
            "directory_opt_out",
            "bulk_grant",
            "bulk_export",
        ),
        kept=("client_read",),
    )
