"""Crosswalk rows and overrides of a district's own; rejects with a life."""

from gateway.migrations import adding

revision = "0003"
down_revision = "0002"

STATEMENTS = """
"""


def upgrade() -> None:
    adding.apply(STATEMENTS)
