"""Districts that rest, first sign-in links, and what was purged for good."""

from gateway.migrations import adding

revision = "0007"
down_revision = "0006"

STATEMENTS = """
"""


def upgrade() -> None:
    adding.apply(STATEMENTS)
