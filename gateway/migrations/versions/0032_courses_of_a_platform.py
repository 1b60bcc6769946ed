"""Which courses of an LTI platform launches told of, and where each has its services."""

from gateway.migrations import adding

revision = "0032"
down_revision = "0031"

# One row for a course in a deployment, as the newest launch told it; an empty address: that service is not offered.
STATEMENTS = """
CREATE TABLE lti_context (
    district_id int NOT NULL REFERENCES district ON DELETE CASCADE,
    connection_id int NOT NULL REFERENCES connection ON DELETE CASCADE,
    deployment text COLLATE "C" NOT NULL,
    context text COLLATE "C" NOT NULL,
    title text NOT NULL DEFAULT '',
    line_items text NOT NULL DEFAULT '',
    memberships text NOT NULL DEFAULT '',
    first_at timestamptz NOT NULL DEFAULT now(),
    last_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (connection_id, deployment, context)
);
"""


def upgrade() -> None:
    adding.apply(STATEMENTS, districts=("lti_context",))
