"""Of whom a record is, and what waits for a destination: found by an index, however large the district."""

from gateway.migrations import adding

revision = "0034"
down_revision = "0033"

# Under row-level security an index on a member of a document is of no use: its operators may tell what they look at.
STATEMENTS = """
ALTER TABLE entity ADD of_person text COLLATE "C" GENERATED ALWAYS AS (
    CASE kind WHEN 'enrollment' THEN doc->>'person' ELSE doc->>'student' END) STORED;
CREATE INDEX ON entity (of_person) WHERE of_person IS NOT NULL;
CREATE INDEX ON delivery (connection_id, id) WHERE state IN ('queued', 'sending');
"""


def upgrade() -> None:
    adding.apply(STATEMENTS)
