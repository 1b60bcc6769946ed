"""What people decided about who is who."""

from gateway.migrations import adding

revision = "0006"
down_revision = "0005"

STATEMENTS = """
"""


def upgrade() -> None:
    adding.apply(STATEMENTS)
