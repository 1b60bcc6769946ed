"""What a connection collects beyond roster and results, and why."""

from gateway.migrations import adding

revision = "0013"
down_revision = "0012"

# A group without a row is off.
STATEMENTS = """
CREATE TABLE collected (
    district_id int NOT NULL REFERENCES district ON DELETE CASCADE,
    connection_id int NOT NULL REFERENCES connection ON DELETE CASCADE,
    name text COLLATE "C" NOT NULL,
    purpose text NOT NULL CHECK (purpose <> ''),
    basis text NOT NULL,
    actor json NOT NULL,
    at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (connection_id, name)
);
"""


def upgrade() -> None:
    adding.apply(STATEMENTS, districts=("collected",))
