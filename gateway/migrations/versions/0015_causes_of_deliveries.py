"""Why a delivery is parked: each root cause once, with how many records it explains."""

from gateway.migrations import adding

revision = "0015"
down_revision = "0014"

# A list of {status, message, resources, refused, not_sent, trace}; none where a delivery was parked before this.
STATEMENTS = "ALTER TABLE delivery ADD causes json;"


def upgrade() -> None:
    adding.apply(STATEMENTS)
