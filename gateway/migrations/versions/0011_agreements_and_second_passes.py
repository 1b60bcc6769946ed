"""Deliveries that end by themselves, objects that were ended, agreements with the agencies that host destinations."""

from gateway.migrations import adding

revision = "0011"
down_revision = "0010"

# delivery.waits: for what a parked delivery is tried again when the destination was pulled; `overwrite`: why a person
# lets it take the place of what others wrote. ledger.ended_on: the last day that was given to what a plan has no more.
# `hosting` names the agency that runs a destination; of a connection without a row it is the district itself.
STATEMENTS = """
ALTER TABLE delivery ADD waits text CHECK (waits IN ('parent', 'enrollment')), ADD overwrite text;
ALTER TABLE ledger ADD ended_on date;

CREATE TABLE hosting (
    connection_id int PRIMARY KEY REFERENCES connection ON DELETE CASCADE,
    district_id int NOT NULL REFERENCES district ON DELETE CASCADE,
    agency text NOT NULL
);

CREATE TABLE agreement (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    district_id int NOT NULL REFERENCES district ON DELETE CASCADE,
    connection_id int NOT NULL REFERENCES connection ON DELETE CASCADE,
    agency text NOT NULL,
    reference text NOT NULL,
    from_on date NOT NULL,
    until_on date NOT NULL CHECK (until_on >= from_on),
    actor json NOT NULL,
    at timestamptz NOT NULL DEFAULT now(),
    ended_at timestamptz,
    ended_because text
);
CREATE INDEX ON agreement (connection_id);
"""


def upgrade() -> None:
    adding.apply(STATEMENTS, districts=("hosting", "agreement"))
