"""Who is told what, and what was told."""

from gateway.migrations import adding

revision = "0005"
down_revision = "0004"

STATEMENTS = """
"""


def upgrade() -> None:
    adding.apply(STATEMENTS)
