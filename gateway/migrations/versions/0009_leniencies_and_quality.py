"""What a run read although the standard does not allow it, and what looks wrong in what is published."""

from gateway.migrations import adding

revision = "0009"
down_revision = "0008"

# `examples` are keys of records, or places in a file; NULL once somebody was purged who may be among them.
STATEMENTS = """
CREATE TABLE leniency (
    district_id int NOT NULL,
    run_id bigint NOT NULL REFERENCES run ON DELETE CASCADE,
    connection_id int NOT NULL,
    collection text COLLATE "C" NOT NULL,
    code text COLLATE "C" NOT NULL,
    field text COLLATE "C" NOT NULL,
    n bigint NOT NULL,
    examples text[] COLLATE "C"
);
CREATE INDEX ON leniency (run_id);

-- What the checks found right after a run, or when a person asked for it later. No finding: all is well.
CREATE TABLE quality_report (
    run_id bigint PRIMARY KEY REFERENCES run ON DELETE CASCADE,
    district_id int NOT NULL,
    connection_id int NOT NULL,
    at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX ON quality_report (connection_id, run_id);

-- `since`: from the report on in which it was first found, without a report between that did not find it. `examples`
-- are entity ids.
CREATE TABLE quality_finding (
    district_id int NOT NULL,
    run_id bigint NOT NULL REFERENCES quality_report ON DELETE CASCADE,
    code text COLLATE "C" NOT NULL,
    kind text COLLATE "C" NOT NULL,
    n bigint NOT NULL,
    since timestamptz NOT NULL,
    examples uuid[],
    PRIMARY KEY (run_id, code, kind)
);
"""


def upgrade() -> None:
    adding.apply(STATEMENTS, districts=("leniency", "quality_report", "quality_finding"))
