"""Looking again: what was delivered is looked at afterwards, and how it was found."""

from gateway.migrations import adding

revision = "0012"
down_revision = "0011"

# Of an object in the ledger: when it was last looked at, and whether it stands in a record of others; `lost` is what
# was found wrong then, `lost_at` since when; `renewed_at` when it was last sent again by itself.
# Of a destination: when its next look is due, whether that is one at everything, and what the last one found.
STATEMENTS = """
ALTER TABLE ledger
    ADD looked_at timestamptz,
    ADD lost text CHECK (lost IN ('gone', 'changed', 'dropped')),
    ADD merged boolean NOT NULL DEFAULT false,
    ADD lost_at timestamptz,
    ADD renewed_at timestamptz;

CREATE TABLE verification (
    connection_id int PRIMARY KEY REFERENCES connection ON DELETE CASCADE,
    district_id int NOT NULL REFERENCES district ON DELETE CASCADE,
    due_at timestamptz NOT NULL,
    whole boolean NOT NULL DEFAULT false,
    looked_at timestamptz,
    plans int NOT NULL DEFAULT 0,
    objects int NOT NULL DEFAULT 0,
    skipped int NOT NULL DEFAULT 0,
    renewed int NOT NULL DEFAULT 0,
    error_code text,
    told boolean NOT NULL DEFAULT true
);
CREATE INDEX ON verification (due_at);

ALTER TABLE alarm DROP CONSTRAINT alarm_kind_check;
ALTER TABLE alarm ADD CONSTRAINT alarm_kind_check
    CHECK (kind IN ('hold', 'failure', 'silence', 'delivery', 'overwritten'));
"""


def upgrade() -> None:
    adding.apply(STATEMENTS, districts=("verification",))
