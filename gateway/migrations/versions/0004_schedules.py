"""When a connection is pulled by itself, and what was last heard of it."""

from gateway.migrations import adding

revision = "0004"
down_revision = "0003"

STATEMENTS = """
"""


def upgrade() -> None:
    adding.apply(STATEMENTS)
